//! Conservation: for every seam, what came in is what came out, was set aside, or waits.

use andon_contract::Contract;
use andon_store::{Store, StoreError, historian::Holdings};
use serde::Serialize;

/// Looks at rows that are committed together, until they did not change between two of them.
const LOOKS_MAX: usize = 1_000;

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

/// The seam of a subscriber. Its cursor tells what waits; what ended how is counted in rows of its own, event by event
/// and in one commit with the cursor: an event that the cursor passed and nobody delivered is missing in the sum.
/// `None`: it has not begun.
fn subscriber(store: &Store, name: &str) -> Result<Option<Seam>, StoreError> {
    let cursor = subscriber_cursor(name);
    let row = |what: &str| store.cursor(&format!("{cursor}/{what}"));
    let Some(from) = row("from")? else { return Ok(None) };
    for _ in 0..LOOKS_MAX {
        let Some(read) = store.cursor(&cursor)? else { return Ok(None) };
        let counted = [row("delivered")?, row("parked")?, row("unwanted")?].map(Option::unwrap_or_default);
        if store.cursor(&cursor)? != Some(read) {
            continue;
        }
        let last = store.last_sequence()?;
        let [delivered, parked, unwanted] = counted;
        let waiting = last.saturating_sub(read);
        let parts = [("delivered", delivered), ("parked", parked), ("unwanted", unwanted), ("waiting", waiting)];
        let events = last.saturating_sub(from);
        return Ok(Some(seam(format!("hub -> subscriber ({name})"), ("events", events), &parts)));
    }
    Ok(None)
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
    let last = store.last_sequence()?;
    let read = store.cursor("workflows")?.unwrap_or(0);
    seams.push(seam(
        "event -> run",
        ("events", last),
        &[("considered", read.min(last)), ("waiting", last - read.min(last))],
    ));
    let counts = store.counts()?;
    let of = |name: &str| counts.get(name).copied().unwrap_or(0);
    let made = counts.iter().filter(|(name, _)| name.starts_with("calls.")).map(|(_, count)| count).sum();
    let parts = [
        ("delivered", of("calls.delivered")),
        ("refused", of("calls.refused")),
        ("parked", of("calls.parked")),
        ("skipped", of("calls.skipped")),
        ("in flight", of("calls.in-flight")),
        ("waiting", of("calls.waiting")),
    ];
    seams.push(seam("task -> system", ("made", made), &parts));
    for name in contract.subscribers.keys() {
        seams.extend(subscriber(store, name.as_str())?);
    }
    Ok(seams)
}
