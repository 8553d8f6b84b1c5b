//! `andon status`: health with reasons and what to do next.

use crate::{
    args,
    output::{self, NO_INSTANCE},
    target::Target,
};
use andon_api::{
    objects::Read,
    types::{Source, Status},
};
use std::{collections::BTreeMap, process::ExitCode};

pub(super) fn run(args: &args::Status) -> anyhow::Result<ExitCode> {
    let target = Target::find(&args.instance)?;
    let status = target.status()?;
    if args.instance.json {
        output::line(serde_json::to_string(&status)?);
    } else {
        for line in page(&status, output::colour()) {
            output::line(line);
        }
    }
    // Systems may be down and exceptions open: those are warnings.
    let at_work = status.running && status.findings.iter().all(|finding| finding.level != "error");
    Ok(if at_work { ExitCode::SUCCESS } else { ExitCode::from(NO_INSTANCE) })
}

/// The page a person reads: the sources, what else is wrong, the numbers.
fn page(status: &Status, colour: bool) -> Vec<String> {
    let at_work = if status.running { "running" } else { "stopped" };
    let health = painted(&status.health, &status.health, colour);
    let mut lines = vec![format!("{} ({}), {at_work}: {health}", status.project, status.instance)];
    for source in &status.sources {
        lines.extend(of_source(source, colour));
    }
    for read in &status.reads {
        lines.extend(of_read(read, colour));
    }
    // What is wrong with a source or a read stands with it.
    let told = |subject: &str| {
        subject.strip_prefix("source ").is_some_and(|name| status.sources.iter().any(|source| source.source == name))
            || status.reads.iter().any(|read| called(read) == subject)
    };
    for finding in status.findings.iter().filter(|finding| !told(&finding.subject)) {
        let since = finding.since.as_deref().map(|s| format!(", since {s}")).unwrap_or_default();
        let level = painted(&finding.level, &finding.level, colour);
        lines.push(format!("  {level}: {}: {}{since}", finding.subject, finding.detail));
        lines.push(format!("    next: {}", finding.remedy));
    }
    lines.push(of_alarms(&status.counts));
    let historian = &status.historian;
    let behind = if historian.hot == 0 {
        "nothing is in the log only".to_owned()
    } else {
        format!("the oldest sample in the log only is of {} s ago", historian.lag_seconds)
    };
    lines.push(format!(
        "  historian: {} files, {}, everything before {}; {behind}",
        historian.files,
        size(historian.bytes),
        historian.sealed,
    ));
    for seam in &status.seams {
        let terms: Vec<String> = seam.terms.iter().map(|t| format!("{} {}", t.name, t.count)).collect();
        let sign = if seam.holds { "=" } else { "!=" };
        if let Some((first, rest)) = terms.split_first() {
            lines.push(format!("  {}: {first} {sign} {}", seam.seam, rest.join(" + ")));
        }
    }
    lines
}

/// How many alarms stand raised, and of how many rules for assets none are raised, by what keeps them.
fn of_alarms(counts: &BTreeMap<String, u64>) -> String {
    let count = |what: &str| counts.get(&format!("alarms.{what}")).copied().unwrap_or_default();
    let quiet: Vec<String> = ["shelved", "suppressed", "disabled"]
        .into_iter()
        .filter_map(|gate| Some(count(gate)).filter(|of| *of > 0).map(|of| format!(", {of} {gate}")))
        .collect();
    format!("  alarms: {} active{}", count("active"), quiet.concat())
}

/// One line of a source; under it why, and what to do next, where it is not well.
fn of_source(source: &Source, colour: bool) -> Vec<String> {
    let state = painted(&source.state, &source.state, colour);
    let since = source.since.as_deref().map(|since| format!(", since {since}")).unwrap_or_default();
    if source.state == "connected" {
        let last = source.last.as_deref().map(|last| format!(", the last at {last}")).unwrap_or_default();
        return vec![format!("  source {}: {state}{since}, {} samples{last}", source.source, source.stored)];
    }
    let mut lines = vec![
        format!("  source {}: {state} ({}){since}", source.source, source.reason),
        format!("    {}", source.detail),
    ];
    if !source.remedy.is_empty() {
        lines.push(format!("    next: {}", source.remedy));
    }
    lines
}

/// `read erp.orders (hamburg)`
fn called(read: &Read) -> String {
    match &read.site {
        None if read.by == "webhook" => format!("webhook {}", read.read),
        Some(site) => format!("read {} ({site})", read.read),
        None => format!("read {}", read.read),
    }
}

/// One line of a read; under it why, and what to do next, where it is not well.
fn of_read(read: &Read, colour: bool) -> Vec<String> {
    let state = painted(&read.state, &read.state, colour);
    let what = if read.by == "webhook" { "post" } else { "answer" };
    let answer = read.age_seconds.map_or_else(|| format!("no {what} yet"), |age| format!("last {what} {age} s ago"));
    let changed =
        if read.changed == 1 { "1 object changed".to_owned() } else { format!("{} objects changed", read.changed) };
    let aside = if read.aside == 0 { String::new() } else { format!(", {} set aside", read.aside) };
    let posts = read.posts.map_or_else(String::new, |posts| format!(", {posts} posts"));
    let again = read.duplicates.filter(|again| *again > 0);
    let again = again.map_or_else(String::new, |again| format!(", {again} sent again"));
    let next = read.next_seconds.map_or_else(String::new, |next| format!(", next in {next} s"));
    let mut lines = vec![format!("  {}: {state}, {answer}{posts}{again}, {changed}{aside}{next}", called(read))];
    if !read.detail.is_empty() {
        lines.push(format!("    {}", read.detail));
    }
    if !read.remedy.is_empty() {
        lines.push(format!("    next: {}", read.remedy));
    }
    lines
}

/// A text in the colour of a state: green is well, yellow wants a look, red stands still.
fn painted(text: &str, state: &str, colour: bool) -> String {
    let code = match state {
        "ok" | "connected" => 32,
        "disconnected" | "down" | "error" => 31,
        _ => 33,
    };
    output::painted(text, code, colour)
}

/// A size in its largest whole unit.
pub(super) fn size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    units
        .iter()
        .find(|(_, shift)| bytes >> shift >= 10)
        .map_or_else(|| format!("{bytes} bytes"), |(unit, shift)| format!("{} {unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_api::{
        samples::Historian,
        types::{Finding, Seam, Term},
    };

    fn source(name: &str, state: &str, reason: &str, detail: &str, remedy: &str) -> Source {
        Source {
            source: name.into(),
            kind: "mqtt".into(),
            state: state.into(),
            reason: reason.into(),
            since: Some("2026-11-22T07:40:12Z".into()),
            detail: detail.into(),
            remedy: remedy.into(),
            connected: state != "disconnected",
            connected_since: (state != "disconnected").then(|| "2026-11-22T07:40:12Z".into()),
            last: Some("2026-11-22T08:05:00Z".into()),
            silent_assets: Vec::new(),
            received: 7,
            stored: 6,
            duplicate: 1,
            quarantined: 0,
            refused: 0,
        }
    }

    fn read(name: &str, state: &str, age: u64) -> Read {
        let is_ok = state == "ok";
        Read {
            read: name.into(),
            site: is_ok.then(|| "hamburg".into()),
            object: "ProductionOrder/1".into(),
            by: "poll".into(),
            state: state.into(),
            detail: if is_ok {
                String::new()
            } else {
                "not answered 3 times in a row: no connection (transient)".into()
            },
            remedy: if is_ok { String::new() } else { "look at the system; it is asked again by itself".into() },
            answered: Some("2026-11-22T08:05:00Z".into()),
            age_seconds: Some(age),
            changed: 3,
            aside: u64::from(!is_ok),
            posts: None,
            duplicates: None,
            next_seconds: Some(18),
            cursor: serde_json::Value::Null,
        }
    }

    fn status() -> Status {
        let finding = |level: &str, subject: &str| Finding {
            level: level.into(),
            subject: subject.into(),
            detail: "something".into(),
            since: None,
            remedy: "do something".into(),
        };
        let term = |name: &str, count| Term { name: name.into(), count };
        Status {
            project: "plant-north".into(),
            revision: "9f2c".into(),
            instance: "in_7K3QF0ZT9M2RX4B8".into(),
            running: true,
            health: "down".into(),
            findings: vec![finding("error", "source line-2"), finding("warning", "exception ex_1")],
            sources: vec![
                source("line-1", "connected", "ok", "", ""),
                source("line-2", "disconnected", "refused-credentials", "not authorized (0x87)", "check the user"),
                source("line-3", "silent", "silent", "connected, and no sample came for 25 min", "look at it"),
            ],
            reads: vec![read("erp.orders", "ok", 12), read("eam.requests", "stale", 400)],
            counts: [("alarms.active", 2), ("alarms.shelved", 1), ("alarms.disabled", 0)]
                .map(|(name, count)| (name.to_owned(), count))
                .into(),
            historian: Historian {
                files: 3,
                bytes: 12_345_678,
                sealed: "1/41002".into(),
                hot: 12,
                lag_seconds: 77,
                ..Historian::default()
            },
            seams: vec![Seam {
                seam: "source -> historian (line-1)".into(),
                terms: vec![term("received", 7), term("stored", 6), term("duplicate", 1)],
                holds: true,
            }],
        }
    }

    #[test]
    fn what_a_person_reads() {
        insta::assert_snapshot!("page", page(&status(), false).join("\n"));
    }

    #[test]
    fn colours_change_nothing_else() {
        let plain: Vec<String> = page(&status(), true)
            .iter()
            .map(|line| {
                [31, 32, 33].iter().fold(line.replace("\u{1b}[0m", ""), |l, c| l.replace(&format!("\u{1b}[{c}m"), ""))
            })
            .collect();
        assert_eq!(plain, page(&status(), false));
        assert!(page(&status(), true).iter().any(|line| line.contains("\u{1b}[31mdisconnected\u{1b}[0m")));
        assert_eq!((size(900), size(10 << 10), size(64 << 30)), ("900 bytes".into(), "10 KiB".into(), "64 GiB".into()));
    }
}
