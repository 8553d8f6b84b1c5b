//! Metrics in the text format of Prometheus, from the same rows as everything else.

use crate::seams::Seam;
use std::{collections::BTreeMap, fmt::Write as _};

/// The metrics of an instance: rows by kind and state, the terms of every seam, the log's ends.
pub fn metrics(counts: &BTreeMap<String, u64>, seams: &[Seam], log: (u64, u64), ready: bool) -> String {
    let mut out = String::new();
    let head = |name: &str, about: &str| format!("# HELP {name} {about}\n# TYPE {name} gauge\n");
    let rows = head("andon_rows", "Rows kept, by kind and state.");
    let terms =
        head("andon_seam_units", "Terms of the conservation equation of a seam; the first is the sum of the others.");
    let holds = head("andon_seam_holds", "Whether the equation of a seam holds.");
    let log_head = head("andon_log_offset", "First and next offset of the log.");
    let ready_head = head("andon_ready", "Whether the instance does its work.");
    out.push_str(&rows);
    for (kind, count) in counts {
        let (kind, state) = kind.split_once('.').unwrap_or((kind, ""));
        let _ = writeln!(out, "andon_rows{{kind=\"{}\",state=\"{}\"}} {count}", label(kind), label(state));
    }
    out.push_str(&terms);
    for seam in seams {
        for term in &seam.terms {
            let _ = writeln!(
                out,
                "andon_seam_units{{seam=\"{}\",term=\"{}\"}} {}",
                label(&seam.seam),
                label(term.name),
                term.count
            );
        }
    }
    out.push_str(&holds);
    for seam in seams {
        let _ = writeln!(out, "andon_seam_holds{{seam=\"{}\"}} {}", label(&seam.seam), u8::from(seam.holds));
    }
    out.push_str(&log_head);
    let _ = writeln!(out, "andon_log_offset{{end=\"first\"}} {}", log.0);
    let _ = writeln!(out, "andon_log_offset{{end=\"next\"}} {}", log.1);
    out.push_str(&ready_head);
    let _ = writeln!(out, "andon_ready {}", u8::from(ready));
    out
}

/// A label's value with what the format escapes.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seams::Term;

    #[test]
    fn every_line_is_of_the_format() {
        let counts = BTreeMap::from([("events".to_owned(), 3), ("calls.in-flight".to_owned(), 1)]);
        let seams = [Seam {
            seam: "source -> historian (a\"b)".into(),
            terms: vec![Term { name: "received", count: 2 }],
            holds: true,
        }];
        let text = metrics(&counts, &seams, (0, 7), true);
        assert!(text.contains("andon_rows{kind=\"calls\",state=\"in-flight\"} 1\n"));
        assert!(text.contains("{seam=\"source -> historian (a\\\"b)\",term=\"received\"} 2\n"));
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let (_, number) = line.rsplit_once(' ').expect("name and value");
            number.parse::<u64>().expect("a number");
        }
    }
}
