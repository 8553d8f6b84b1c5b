//! Are all samples there, each once, and is every message that nobody can read kept with its bytes?

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::machines::{Content, Message, SITES, payload};
use super::parts::Place;
use super::time::{micros, rfc3339};
use super::world::Forgotten;

/// A sample that is stored.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) signal: String,
    pub(super) time_us: i64,
    pub(super) value: Value,
    /// Epoch and offset.
    pub(super) position: (u64, u64),
}

/// All samples of the assets of both sites, in the order of the log.
pub(super) fn stored(place: &Place, begin_us: i64) -> Result<Vec<Stored>> {
    let mut found = Vec::new();
    let (from, to) = (rfc3339(begin_us - 3_600_000_000), "2100-01-01T00:00:00Z");
    for asset in SITES.iter().flat_map(|site| site.assets) {
        for row in place.ask(&["list", "samples", "--asset", asset, "--from", &from, "--to", to])? {
            found.push(read(&row).with_context(|| format!("a sample without a part: {row}"))?);
        }
    }
    found.sort_by_key(|sample| sample.position);
    Ok(found)
}

fn read(row: &Value) -> Option<Stored> {
    let text = |name: &str| row.get(name).and_then(Value::as_str);
    let position = text("position")?;
    let mut parts = position.rsplit('/').map(|part| part.parse::<u64>().ok());
    let (offset, epoch) = (parts.next()??, parts.next()??);
    Some(Stored {
        signal: text("signal")?.to_owned(),
        time_us: micros(text("time")?)?,
        value: row.get("value")?.clone(),
        position: (epoch, offset),
    })
}

/// What is set aside.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Topic and number of bytes of all.
    pub(super) listed: HashSet<(String, u64)>,
    /// The bytes of some.
    pub(super) shown: HashSet<String>,
}

/// What came of the comparison.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) acknowledged: u64,
    /// Acknowledged by the broker, which was killed before it wrote them down.
    pub(super) forgotten: u64,
    pub(super) stored: u64,
    pub(super) garbage: u64,
    pub(super) violations: Vec<String>,
}

/// Holds what was published against what is stored and set aside.
pub(super) fn compare(messages: &[Message], stored: &[Stored], kept: &Kept, forgotten: &[Forgotten]) -> Compared {
    let mut compared = Compared { stored: stored.len() as u64, ..Compared::default() };
    let mut there: HashMap<(&str, i64), Vec<&Stored>> = HashMap::new();
    for sample in stored {
        there.entry((&sample.signal, sample.time_us)).or_default().push(sample);
    }
    let mut expected: BTreeMap<(String, i64), Value> = BTreeMap::new();
    let mut garbage: HashSet<&str> = HashSet::new();
    for message in messages {
        // Only those of Monterrey come by the broker.
        let may_be_forgotten = message.asset.ends_with("-21");
        let excused = message
            .acknowledged
            .is_none_or(|at| may_be_forgotten && forgotten.iter().any(|(from, to)| (*from..=*to).contains(&at)));
        compared.acknowledged += u64::from(message.acknowledged.is_some());
        if let Content::Garbage(bytes) = &message.content {
            compared.garbage += 1;
            garbage.insert(bytes);
            if !excused && !kept.listed.contains(&(message.topic.clone(), bytes.len() as u64)) {
                compared.violations.push(format!("acknowledged and not set aside: {bytes:?} to {}", message.topic));
            }
            continue;
        }
        for (signal, value) in samples(message) {
            let name = format!("{}/{signal}", message.asset);
            if !excused && !there.contains_key(&(name.as_str(), message.time_us)) {
                let time = rfc3339(message.time_us);
                compared.violations.push(format!(
                    "acknowledged and not stored: {name} at {time}, {}, acknowledged {:?} ms after the start",
                    payload(message),
                    message.acknowledged
                ));
            }
            compared.forgotten += u64::from(
                excused && message.acknowledged.is_some() && !there.contains_key(&(name.as_str(), message.time_us)),
            );
            expected.insert((name, message.time_us), value);
        }
    }
    for bytes in kept.shown.iter().filter(|bytes| !garbage.contains(bytes.as_str())) {
        compared.violations.push(format!("set aside, and not garbage: {bytes:?}"));
    }
    for ((signal, time_us), of) in &there {
        let time = rfc3339(*time_us);
        let positions: Vec<_> = of.iter().map(|sample| sample.position).collect();
        if of.len() > 1 {
            compared.violations.push(format!("stored {} times: {signal} at {time}, at {positions:?}", of.len()));
        }
        match expected.get(&((*signal).to_owned(), *time_us)) {
            None => compared.violations.push(format!("never published: {signal} at {time}, at {positions:?}")),
            Some(value) => {
                for sample in of.iter().filter(|sample| !is_same(value, &sample.value)) {
                    let other = &sample.value;
                    compared.violations.push(format!("{signal} at {time} was {value} and is stored as {other}"));
                }
            }
        }
    }
    compared.violations.sort();
    compared
}

fn is_same(one: &Value, other: &Value) -> bool {
    one == other || (one.is_number() && one.as_f64() == other.as_f64())
}

/// The samples of a message by the name of their signal.
fn samples(message: &Message) -> Vec<(&'static str, Value)> {
    match message.content {
        Content::Status { good, speed } => vec![
            ("state", 6.into()),
            ("mode", 1.into()),
            ("speed", speed.into()),
            ("good", good.into()),
            ("rejects", (good / 50).into()),
        ],
        Content::Condition { vibration, temperature } => {
            vec![("vibration", vibration.into()), ("temperature", temperature.into())]
        }
        Content::Energy(count) => vec![("energy", count.into())],
        Content::Garbage(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u64, acknowledged: bool) -> Message {
        let acknowledged = acknowledged.then_some(number * 1_000);
        let time_us = i64::try_from(number).unwrap();
        let topic = "plant/filler-21/status".to_owned();
        Message { asset: "filler-21", topic, content: Content::Energy(number), time_us, acknowledged }
    }

    fn sample(number: u64, offset: u64) -> Stored {
        let time_us = i64::try_from(number).unwrap();
        Stored { signal: "filler-21/energy".into(), time_us, value: number.into(), position: (1, offset) }
    }

    fn found(messages: &[Message], stored: &[Stored], forgotten: &[Forgotten]) -> Vec<String> {
        compare(messages, stored, &Kept::default(), forgotten).violations
    }

    #[test]
    fn what_is_lost_doubled_changed_or_invented_is_found() {
        let messages = [message(1, true), message(2, true), message(3, false)];
        assert_eq!(found(&messages, &[sample(1, 0), sample(2, 1)], &[]), [""; 0]);
        assert_eq!(found(&messages, &[sample(1, 0), sample(2, 1), sample(3, 2)], &[]), [""; 0]);
        let lost = found(&messages, &[sample(1, 0)], &[]);
        assert!(lost.len() == 1 && lost[0].starts_with("acknowledged and not stored"), "{lost:?}");
        assert_eq!(found(&messages, &[sample(1, 0)], &[(1_500, 2_500)]), [""; 0]);
        let doubled = found(&messages, &[sample(1, 0), sample(2, 1), sample(2, 7)], &[]);
        assert!(doubled.len() == 1 && doubled[0].starts_with("stored 2 times"), "{doubled:?}");
        let invented = found(&messages, &[sample(1, 0), sample(2, 1), sample(9, 2)], &[]);
        assert!(invented.len() == 1 && invented[0].starts_with("never published"), "{invented:?}");
        let mut changed = sample(2, 1);
        changed.value = 7.into();
        assert_eq!(found(&messages, &[sample(1, 0), changed], &[]).len(), 1);
    }

    #[test]
    fn garbage_must_be_set_aside_with_its_bytes() {
        let mut garbage = message(4, true);
        garbage.content = Content::Garbage("garbage 4".into());
        let none = compare(std::slice::from_ref(&garbage), &[], &Kept::default(), &[]);
        assert_eq!(none.violations.len(), 1);
        let mut kept = Kept::default();
        kept.listed.insert((garbage.topic.clone(), 9));
        assert_eq!(compare(std::slice::from_ref(&garbage), &[], &kept, &[]).violations, [""; 0]);
        kept.shown.insert("garbage 5".into());
        assert_eq!(compare(&[garbage], &[], &kept, &[]).violations.len(), 1);
    }
}
