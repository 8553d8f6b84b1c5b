//! Metrics in the text format of Prometheus, from the same rows as everything else.

use crate::{
    condition::REASONS,
    health::{Observed, Owned},
    seams::Seam,
};
use andon_model::Time;
use std::{collections::BTreeMap, fmt::Write as _};

/// What is measured of an instance.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    /// Rows by kind and state.
    pub counts: &'a BTreeMap<String, u64>,
    /// The conservation of every seam.
    pub seams: &'a [Seam],
    /// First and next offset of the log.
    pub log: (u64, u64),
    /// Whether the instance does its work.
    pub ready: bool,
    /// The sources with their condition.
    pub sources: &'a [Observed],
    /// Files, bytes and samples of the historian, and the age of the oldest sample that is in no file yet.
    pub historian: [(&'static str, u64); 4],
    /// Connections that stand, by listener.
    pub listeners: &'a [(String, u64)],
    /// Reads of systems, and how they stand.
    pub reads: &'a [ReadMeasured],
    /// Exceptions that have not ended, by the team that owns them.
    pub owners: &'a [Owned],
    /// Whether the disk of the data folder is full, and the bytes that are free there; `None` where it has no disk.
    pub disk: Option<(bool, u64)>,
    /// Systems that calls go to, and how they fare.
    pub systems: &'a [SystemMeasured],
    /// The present time.
    pub now: Time,
}

/// How a read of a system stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadMeasured {
    /// `erp.orders`.
    pub read: String,
    /// The site it asks for; empty where it asks for all at once.
    pub site: String,
    /// Whether its last request was answered, and is not too old.
    pub is_ok: bool,
    /// How long ago it was answered whole; `None`: never.
    pub answered_seconds: Option<u64>,
    /// Items that its last poll set aside.
    pub aside: u64,
}

/// How a system fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemMeasured {
    /// The system.
    pub system: String,
    /// Where its breaker stands: `closed`, `open`, `half-open`.
    pub breaker: &'static str,
    /// Attempts under way.
    pub under_way: u64,
    /// How many may be.
    pub places: u64,
    /// Calls that wait for a place.
    pub queued: u64,
    /// Calls that wait for a breaker.
    pub held: u64,
    /// How long the last requests waited until they went, in the middle, in microseconds.
    pub wait_micros: u64,
}

/// The metrics of an instance: rows by kind and state, the terms of every seam, the log's ends, sources, historian.
pub fn metrics(measured: &Measured<'_>) -> String {
    let Measured { counts, seams, log, ready, .. } = *measured;
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
    sources(&mut out, measured);
    listeners(&mut out, measured);
    reads(&mut out, measured);
    owners(&mut out, measured);
    if let Some((full, free)) = measured.disk {
        let about = "Whether the disk is full: nothing more is acknowledged to sources.";
        let _ = writeln!(out, "{}andon_disk_full {}", head("andon_disk_full", about), u8::from(full));
        let about = "Bytes that are free on the disk of the data folder.";
        let _ = writeln!(out, "{}andon_disk_free_bytes {free}", head("andon_disk_free_bytes", about));
    }
    systems(&mut out, measured);
    for (name, count) in measured.historian {
        let about = match name {
            "files" => "Files of samples in the historian.",
            "bytes" => "Bytes of them.",
            "samples" => "Samples in them.",
            _ => "Age of the oldest sample that is in no file yet, in seconds.",
        };
        let _ = writeln!(out, "{}andon_historian_{name} {count}", head(&format!("andon_historian_{name}"), about));
    }
    out
}

/// The connections of each listener.
fn listeners(out: &mut String, measured: &Measured<'_>) {
    out.push_str("# HELP andon_listener_connections Connections that stand.\n");
    out.push_str("# TYPE andon_listener_connections gauge\n");
    for (name, connections) in measured.listeners {
        let _ = writeln!(out, "andon_listener_connections{{listener=\"{}\"}} {connections}", label(name));
    }
}

/// Exceptions that have not ended, by owner and state.
fn owners(out: &mut String, measured: &Measured<'_>) {
    out.push_str("# HELP andon_exceptions Exceptions that have not ended.\n# TYPE andon_exceptions gauge\n");
    for of in measured.owners {
        for (state, count) in of.states {
            let owner = label(of.owner.as_str());
            let _ = writeln!(out, "andon_exceptions{{owner=\"{owner}\",state=\"{state}\"}} {count}");
        }
    }
}

/// How each read stands, how long ago it was answered, and what it set aside.
fn reads(out: &mut String, measured: &Measured<'_>) {
    if measured.reads.is_empty() {
        return;
    }
    let ok: fn(&ReadMeasured) -> Option<u64> = |of| Some(u64::from(of.is_ok));
    let answered: fn(&ReadMeasured) -> Option<u64> = |of| of.answered_seconds;
    let aside: fn(&ReadMeasured) -> Option<u64> = |of| Some(of.aside);
    for (name, about, value) in [
        ("ok", "Whether the last request of a read was answered, and is not too old.", ok),
        ("answered_seconds", "Seconds since a read was answered whole.", answered),
        ("aside_items", "Items that the last poll of a read set aside.", aside),
    ] {
        let _ = writeln!(out, "# HELP andon_read_{name} {about}\n# TYPE andon_read_{name} gauge");
        for of in measured.reads {
            let Some(value) = value(of) else { continue };
            let (read, site) = (label(&of.read), label(&of.site));
            let _ = writeln!(out, "andon_read_{name}{{read=\"{read}\",site=\"{site}\"}} {value}");
        }
    }
}

/// The breaker, the places and the queue of each system.
fn systems(out: &mut String, measured: &Measured<'_>) {
    if measured.systems.is_empty() {
        return;
    }
    out.push_str("# HELP andon_system_breaker 1 for where the breaker of a system stands.\n");
    out.push_str("# TYPE andon_system_breaker gauge\n");
    for of in measured.systems {
        for state in ["closed", "open", "half-open"] {
            let (system, is) = (label(&of.system), u8::from(of.breaker == state));
            let _ = writeln!(out, "andon_system_breaker{{system=\"{system}\",state=\"{state}\"}} {is}");
        }
    }
    let under_way: fn(&SystemMeasured) -> u64 = |of| of.under_way;
    for (name, about, value) in [
        ("under_way", "Attempts under way at a system.", under_way),
        ("places", "How many attempts may be under way at a system.", |of| of.places),
        ("queued", "Calls that wait for a place at a system.", |of| of.queued),
        ("held", "Calls that wait for a breaker of a system.", |of| of.held),
        ("wait_microseconds", "How long the last requests to a system waited until they went, in the middle.", |of| {
            of.wait_micros
        }),
    ] {
        let _ = writeln!(out, "# HELP andon_system_{name} {about}\n# TYPE andon_system_{name} gauge");
        for of in measured.systems {
            let _ = writeln!(out, "andon_system_{name}{{system=\"{}\"}} {}", label(&of.system), value(of));
        }
    }
}

/// The state and the reason of each source, and how long ago it was heard.
fn sources(out: &mut String, measured: &Measured<'_>) {
    out.push_str("# HELP andon_source_state 1 for the state and the reason that a source has.\n");
    out.push_str("# TYPE andon_source_state gauge\n");
    for observed in measured.sources {
        let reason = observed.condition.reason;
        for (known, word, state, _) in REASONS {
            let _ = writeln!(
                out,
                "andon_source_state{{source=\"{}\",state=\"{}\",reason=\"{word}\"}} {}",
                label(observed.source.as_str()),
                state.word(),
                u8::from(known == reason)
            );
        }
    }
    out.push_str("# HELP andon_source_heard_seconds Seconds since the newest sample of a source was received.\n");
    out.push_str("# TYPE andon_source_heard_seconds gauge\n");
    for observed in measured.sources {
        let Some(last) = observed.last else { continue };
        let age = (measured.now.since(last).millis() / 1_000).max(0);
        let _ = writeln!(out, "andon_source_heard_seconds{{source=\"{}\"}} {age}", label(observed.source.as_str()));
    }
}

/// A label's value with what the format escapes.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        condition::{Condition, Reason, State},
        seams::Term,
    };
    use andon_model::Name;

    #[test]
    fn every_line_is_of_the_format() {
        let counts = BTreeMap::from([("events".to_owned(), 3), ("calls.in-flight".to_owned(), 1)]);
        let seams = [Seam {
            seam: "source -> historian (a\"b)".into(),
            terms: vec![Term { name: "received", count: 2 }],
            holds: true,
        }];
        let condition = Condition {
            state: State::Silent,
            reason: Reason::Silent,
            since: None,
            detail: String::new(),
            remedy: String::new(),
            silent: Vec::new(),
        };
        let source = Name::new("machines").unwrap();
        let heard = Observed { source, condition, connected: Some(Time(0)), last: Some(Time(0)) };
        let text = metrics(&Measured {
            counts: &counts,
            seams: &seams,
            log: (0, 7),
            ready: true,
            sources: &[heard],
            historian: [("files", 1), ("bytes", 2), ("samples", 3), ("lag_seconds", 4)],
            listeners: &[("floor".to_owned(), 5)],
            reads: &[ReadMeasured {
                read: "erp.orders".to_owned(),
                site: "hamburg".to_owned(),
                is_ok: true,
                answered_seconds: Some(12),
                aside: 3,
            }],
            owners: &[Owned {
                owner: Name::new("planning").unwrap(),
                states: [("open", 2), ("assigned", 0), ("waiting", 1), ("resubmitted", 0)],
                groups: 1,
                most: ("the order is not there".to_owned(), 3),
                since: Time(0),
            }],
            disk: Some((true, 1_024)),
            systems: &[SystemMeasured {
                system: "erp".to_owned(),
                breaker: "open",
                under_way: 1,
                places: 4,
                queued: 0,
                held: 12,
                wait_micros: 1_500,
            }],
            now: Time(61_000_000_000),
        });
        assert!(text.contains("andon_exceptions{owner=\"planning\",state=\"waiting\"} 1\n"));
        assert!(text.contains("andon_disk_full 1\n") && text.contains("andon_disk_free_bytes 1024\n"));
        assert!(text.contains("andon_listener_connections{listener=\"floor\"} 5\n"));
        assert!(text.contains("andon_read_answered_seconds{read=\"erp.orders\",site=\"hamburg\"} 12\n"));
        assert!(text.contains("andon_source_heard_seconds{source=\"machines\"} 61\n"));
        assert!(text.contains("{source=\"machines\",state=\"silent\",reason=\"silent\"} 1\n"));
        assert!(text.contains("andon_historian_lag_seconds 4\n"));
        assert!(text.contains("andon_rows{kind=\"calls\",state=\"in-flight\"} 1\n"));
        assert!(text.contains("{seam=\"source -> historian (a\\\"b)\",term=\"received\"} 2\n"));
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let (_, number) = line.rsplit_once(' ').expect("name and value");
            number.parse::<u64>().expect("a number");
        }
    }
}
