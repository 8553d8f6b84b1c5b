//! Conservation: for every seam, what came in is what came out, was set aside, or waits.

use andon_contract::Contract;
use andon_store::{Passed, Store, StoreError, historian::Holdings};
use serde::Serialize;

/// The name of the cursor of workflows.
const WORKFLOWS: &str = "workflows";

/// The states of calls.
const CALLS: [&str; 6] = ["delivered", "refused", "parked", "skipped", "in-flight", "waiting"];

/// The equation of a seam: the first term equals the sum of the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seam {
    /// The seam: `source -> historian`, with the name of the part where there are several.
    pub seam: String,
    /// Words and numbers.
    pub terms: Vec<Term>,
    /// Whether it holds.
    pub holds: bool,
}

impl Seam {
    /// Its equation in words and numbers.
    pub fn equation(&self) -> String {
        let terms: Vec<String> = self.terms.iter().map(|term| format!("{} {}", term.name, term.count)).collect();
        let sign = if self.holds { "=" } else { "!=" };
        match terms.split_first() {
            Some((first, rest)) => format!("{first} {sign} {}", rest.join(" + ")),
            None => String::new(),
        }
    }
}

/// A term of an equation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Term {
    /// Its word.
    pub name: &'static str,
    /// Its number.
    pub count: u64,
}

fn seam(name: impl Into<String>, total: (&'static str, u64), parts: &[(&'static str, u64)]) -> Seam {
    let sum: u64 = parts.iter().map(|(_, n)| n).sum();
    let term = |&(name, count): &(&'static str, u64)| Term { name, count };
    Seam {
        seam: name.into(),
        terms: std::iter::once(term(&total)).chain(parts.iter().map(term)).collect(),
        holds: total.1 == sum,
    }
}

/// The seam between the log and the rules. What rules have read and what waits is theirs to know.
pub fn rules(stored: u64, evaluated: u64, late: u64, waiting: u64) -> Seam {
    let parts = [("evaluated", evaluated), ("late", late), ("waiting", waiting)];
    seam("historian -> rules", ("stored", stored), &parts)
}

/// The seam between the log and the files of the historian: what was stored is in a file, need not be kept, is no
/// longer kept, or waits in the log.
pub fn historian(stored: u64, holdings: &Holdings, hot: u64) -> Seam {
    let parts = [
        ("in files", holdings.samples),
        ("reduced", holdings.reduced.values().sum()),
        ("expired", holdings.expired.values().sum()),
        ("dropped", holdings.dropped.values().sum()),
        ("in the log", hot),
    ];
    seam("log -> files", ("stored", stored), &parts)
}

/// The name of a subscriber's cursor.
pub fn subscriber_cursor(name: &str) -> String {
    format!("subscriber/{name}")
}

/// A row that is committed with a cursor.
fn counted(passed: &Passed, cursor: &str, what: &str) -> Option<u64> {
    passed.cursors.get(&format!("{cursor}/{what}")).copied()
}

/// The seams of workflows. How far events were read is the cursor; what became of each is counted in rows beside it,
/// and the runs are those that are there: an event that the cursor passed, or a run that is gone, is missing in a sum.
fn runs(passed: &Passed) -> [Seam; 2] {
    let row = |what: &str| counted(passed, WORKFLOWS, what);
    let read = passed.cursors.get(WORKFLOWS).copied().unwrap_or(0);
    // A folder whose events were never counted is counted from where it stands.
    let (from, before) = row("from").map_or((read, passed.runs), |from| (from, row("before").unwrap_or(0)));
    let matched = row("from").map_or(passed.gathered, |_| row("matched").unwrap_or(0));
    let number = |what: &str| row(what).unwrap_or(0);
    let waiting = passed.last.saturating_sub(read);
    let events = [
        ("matching", number("wanted")),
        ("others", number("unwanted")),
        ("set aside", number("aside")),
        ("waiting", waiting),
    ];
    let parts = [
        ("started", passed.runs.saturating_sub(before)),
        ("already started", number("already")),
        ("together", number("together")),
        ("refused", number("refused")),
        ("forgotten", number("forgotten")),
        ("waiting", passed.gathered),
    ];
    [
        seam("events -> workflows", ("events", passed.last.saturating_sub(from)), &events),
        seam("event -> run", ("matched", matched), &parts),
    ]
}

/// The seam of calls: as many were made as have a number, and each is in one state.
fn calls(passed: &Passed) -> Seam {
    let parts = CALLS.map(|state| (state, passed.calls.get(state).copied().unwrap_or(0)));
    seam("task -> system", ("made", passed.made), &parts)
}

/// The seam of a subscriber. Its cursor tells what waits; what ended how is counted in rows of its own, event by event
/// and in one commit with the cursor: an event that the cursor passed and nobody delivered is missing in the sum.
/// `None`: it has not begun.
fn subscriber(passed: &Passed, name: &str) -> Option<Seam> {
    let cursor = subscriber_cursor(name);
    let row = |what: &str| counted(passed, &cursor, what).unwrap_or(0);
    let from = counted(passed, &cursor, "from")?;
    let waiting = passed.last.saturating_sub(*passed.cursors.get(&cursor)?);
    let ended = ["delivered", "parked", "unwanted"].map(|what| (what, row(what)));
    let parts: Vec<_> = ended.into_iter().chain([("waiting", waiting)]).collect();
    let events = passed.last.saturating_sub(from);
    Some(seam(format!("hub -> subscriber ({name})"), ("events", events), &parts))
}

/// The seams of an instance, from its rows.
pub fn seams(store: &Store, contract: &Contract) -> Result<Vec<Seam>, StoreError> {
    let mut seams = Vec::new();
    let of_project = |(source, _): &(andon_model::Name, _)| contract.sources.contains_key(source);
    for (source, counts) in store.source_counts().into_iter().filter(of_project) {
        seams.push(seam(
            format!("source -> historian ({source})"),
            ("received", counts.received),
            &[
                ("stored", counts.stored),
                ("duplicate", counts.duplicate),
                ("quarantined", counts.quarantined),
                ("refused", counts.refused),
            ],
        ));
    }
    let passed = store.passed()?;
    seams.extend(runs(&passed));
    seams.push(calls(&passed));
    seams.extend(contract.subscribers.keys().filter_map(|name| subscriber(&passed, name.as_str())));
    Ok(seams)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(cursors: &[(&str, u64)]) -> Passed {
        let cursors = cursors.iter().map(|(name, place)| ((*name).to_owned(), *place)).collect();
        let calls = [("delivered".to_owned(), 3), ("parked".to_owned(), 1)].into();
        Passed { last: 10, cursors, runs: 4, gathered: 1, made: 4, calls }
    }

    fn told(seam: &Seam) -> String {
        let terms: Vec<String> = seam.terms.iter().map(|term| format!("{} {}", term.name, term.count)).collect();
        format!("{} {}: {}", seam.seam, seam.holds, terms.join(", "))
    }

    #[test]
    fn what_is_missing_in_a_sum_is_seen() {
        let rows = [
            ("workflows", 8),
            ("workflows/from", 2),
            ("workflows/before", 1),
            ("workflows/wanted", 4),
            ("workflows/unwanted", 2),
            ("workflows/matched", 5),
            ("workflows/refused", 1),
        ];
        let whole = passed(&rows);
        let [events, run] = runs(&whole);
        assert_eq!(told(&events), "events -> workflows true: events 8, matching 4, others 2, set aside 0, waiting 2");
        let terms = "started 3, already started 0, together 0, refused 1, forgotten 0, waiting 1";
        assert_eq!(told(&run), format!("event -> run true: matched 5, {terms}"));
        assert!(calls(&whole).holds);
        // One that was set aside as poison is told of, and is missing nowhere.
        let mut aside = Passed { last: 11, ..whole.clone() };
        aside.cursors.extend([("workflows".to_owned(), 9), ("workflows/aside".to_owned(), 1)]);
        assert!(runs(&aside)[0].holds);

        // The cursor has passed an event that nobody looked at; a run is gone; so is a call.
        let jumped = Passed {
            cursors: whole.cursors.iter().map(|(k, v)| (k.clone(), *v + u64::from(k == "workflows"))).collect(),
            ..whole.clone()
        };
        assert!(!runs(&jumped)[0].holds);
        assert!(!runs(&Passed { runs: 3, ..whole.clone() })[1].holds);
        assert!(!calls(&Passed { calls: [("delivered".to_owned(), 3)].into(), ..whole.clone() }).holds);
        // A state that nobody counts is no place for a call.
        let calls_of = [("delivered".to_owned(), 3), ("lost".to_owned(), 1)].into();
        assert!(!calls(&Passed { calls: calls_of, ..whole }).holds);
    }

    #[test]
    fn a_folder_that_was_never_counted_holds() {
        let [events, run] = runs(&passed(&[("workflows", 7)]));
        assert_eq!(told(&events), "events -> workflows true: events 3, matching 0, others 0, set aside 0, waiting 3");
        assert!(run.holds);
        assert_eq!(subscriber(&passed(&[]), "broker"), None);
    }

    #[test]
    fn an_event_that_a_subscriber_passed_and_nobody_delivered_is_seen() {
        let rows = [("subscriber/b", 9), ("subscriber/b/from", 1), ("subscriber/b/delivered", 7)];
        assert!(!subscriber(&passed(&rows), "b").unwrap().holds);
        let rows = [rows.as_slice(), &[("subscriber/b/parked", 1)]].concat();
        let seam = subscriber(&passed(&rows), "b").unwrap();
        assert_eq!(told(&seam), "hub -> subscriber (b) true: events 9, delivered 7, parked 1, unwanted 0, waiting 1");
    }
}
