//! `andon doctor`: whether a data folder is whole, and what was mended.

use crate::{
    args,
    output::{self, NO, failure},
};
use andon_node::doctor::{DoctorError, Report, doctor};
use andon_store::{Ailment, Gravity};
use std::{path::PathBuf, process::ExitCode};

pub(super) fn run(args: &args::Doctor) -> anyhow::Result<ExitCode> {
    let dir = args.data.clone().unwrap_or_else(|| PathBuf::from(".andon"));
    let refused = |error: DoctorError| failure(NO, &error, error.remedy());
    let report = doctor(&dir, args.repair).map_err(refused)?;
    if args.json {
        output::line(serde_json::to_string(&report)?);
    } else {
        page(&report, output::colour()).into_iter().for_each(output::line);
    }
    Ok(if report.well { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

/// The page a person reads: what was looked at, the equations, what was mended, what is wrong.
fn page(report: &Report, colour: bool) -> Vec<String> {
    let instance = report.instance.as_deref().unwrap_or("of no known instance");
    let at_work = if report.running { "looked at beside the running instance" } else { "stopped" };
    let mut lines = vec![format!("{} ({instance}), {at_work}", report.dir.display())];
    lines.extend(report.looked.iter().map(|of| format!("  {}: {}", of.part, of.told)));
    lines.extend(report.seams.iter().map(|seam| format!("  {}: {}", seam.seam, seam.equation())));
    for of in &report.repaired {
        let word = output::painted("repaired", 32, colour);
        lines.push(format!("  {word} {}: {}: {}", of.code, of.subject, of.detail));
        lines.push(format!("    done: {}", of.repaired.as_deref().unwrap_or_default()));
    }
    for of in &report.ailments {
        let (word, paint) = if of.gravity == Gravity::Error { ("error", 31) } else { ("warning", 33) };
        lines.push(format!("  {} {}: {}: {}", output::painted(word, paint, colour), of.code, of.subject, of.detail));
        if !of.remedy.is_empty() {
            lines.push(format!("    next: {}", of.remedy));
        }
    }
    lines.push(verdict(report, colour));
    lines
}

fn verdict(report: &Report, colour: bool) -> String {
    if report.well {
        return output::painted("everything is as it should be", 32, colour);
    }
    let count = |of: fn(&Ailment) -> bool| report.ailments.iter().filter(|ailment| of(ailment)).count();
    let (all, mends) = (report.ailments.len(), count(|of| of.can_repair));
    let mends = if mends == 0 { String::new() } else { format!(", {mends} of them --repair can mend") };
    let things = if all == 1 { "1 thing is wrong".to_owned() } else { format!("{all} things are wrong") };
    output::painted(&format!("{things}{mends}"), 31, colour)
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_store::Looked;

    #[test]
    fn a_person_reads_what_was_looked_at_what_was_done_and_what_is_left() {
        let mut done = Ailment::new("A7106", "leftovers", "12 bytes that a crash left and nothing names: states.new");
        done.repaired = Some("files removed: 1".to_owned());
        let left = Ailment::new("A7110", "audit row 2", "its text is not the one that was written");
        let mut mends = Ailment::new("A7116", "reserve", "no room is kept back").mild();
        mends.can_repair = true;
        let report = Report {
            dir: "/srv/andon".into(),
            instance: Some("in_7K3QF0ZT9M2RX4B8".to_owned()),
            running: false,
            well: false,
            looked: vec![Looked { part: "log", told: "3 segments, 41 frames, every checksum fits".to_owned() }],
            seams: Vec::new(),
            repaired: vec![done],
            ailments: vec![left.remedy("keep the folder as it is"), mends.remedy("andon doctor --repair")],
        };
        insta::assert_snapshot!("doctor", page(&report, false).join("\n"));
        let well = Report { well: true, ailments: Vec::new(), repaired: Vec::new(), ..report };
        assert!(page(&well, false).join("\n").ends_with("everything is as it should be"));
    }
}
