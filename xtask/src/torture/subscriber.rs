//! Somebody who reads the events of the product at the broker: each must come, and those of an asset in their order.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::mqtt::{Connection, Said};
use super::world::Forgotten;
use crate::clock::Stopwatch;

/// How often it says that it is still there.
const PING_EVERY: Duration = Duration::from_secs(5);

/// An event that came, perhaps not for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Came {
    pub(super) id: String,
    pub(super) subject: String,
    pub(super) sequence: u64,
    /// Milliseconds since the start of the run.
    pub(super) at: u64,
}

/// A reader with a session that the broker keeps; it ends with this value.
pub(super) struct Subscriber {
    came: Arc<Mutex<Vec<Came>>>,
    ended: Arc<AtomicBool>,
}

impl Subscriber {
    pub(super) fn start(broker: u16, stopwatch: Stopwatch) -> Self {
        let subscriber = Self { came: Arc::default(), ended: Arc::default() };
        let (came, ended) = (Arc::clone(&subscriber.came), Arc::clone(&subscriber.ended));
        thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                let _ = read(broker, stopwatch, &came, &ended);
                thread::sleep(Duration::from_millis(50));
            }
        });
        subscriber
    }

    /// All that came so far.
    pub(super) fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

fn read(broker: u16, stopwatch: Stopwatch, came: &Mutex<Vec<Came>>, ended: &AtomicBool) -> io::Result<()> {
    let mut connection = Connection::open(broker, "reader-of-alarms", false)?;
    // Also where the session is there already: a broker that was killed may have forgotten it.
    connection.subscribe("alarms/#")?;
    let mut pinged = Stopwatch::start();
    while !ended.load(Ordering::SeqCst) {
        if pinged.elapsed() > PING_EVERY {
            pinged = Stopwatch::start();
            connection.ping()?;
        }
        for said in connection.read()? {
            let Said::Message(id, _, payload) = said else { continue };
            let at = u64::try_from(stopwatch.elapsed().as_millis()).unwrap_or(u64::MAX);
            let event: Value = serde_json::from_slice(&payload).unwrap_or(Value::Null);
            let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let sequence = text("sequence").parse().unwrap_or(0);
            let one = Came { id: text("id"), subject: text("subject"), sequence, at };
            came.lock().unwrap_or_else(PoisonError::into_inner).push(one);
            if id != 0 {
                connection.acknowledge(id)?;
            }
        }
    }
    Ok(())
}

/// What is wrong with what came, of these events (id, subject, sequence), and how many the killed broker forgot.
pub(super) fn compare(events: &[(String, String, u64)], came: &[Came], forgotten: &[Forgotten]) -> (Vec<String>, u64) {
    let (mut violations, mut lost) = (Vec::new(), 0);
    let known: HashSet<&str> = events.iter().map(|(id, _, _)| id.as_str()).collect();
    let mut newest: HashMap<&str, u64> = HashMap::new();
    let mut first: BTreeMap<u64, &Came> = BTreeMap::new();
    for one in came {
        if !known.contains(one.id.as_str()) {
            violations.push(format!("the subscriber was told of {} of {}, which is no event", one.id, one.subject));
        }
        // A repeat is allowed; what comes for the first time comes in its order.
        if let Entry::Vacant(entry) = first.entry(one.sequence) {
            let (new, before) = (one.sequence, newest.entry(&one.subject).or_default());
            if new < *before {
                violations.push(format!("the subscriber was told of {new} of {} after {before}", one.subject));
            }
            *before = new.max(*before);
            entry.insert(one);
        }
    }
    for (id, subject, sequence) in events.iter().filter(|(_, _, sequence)| !first.contains_key(sequence)) {
        let before = first.range(..sequence).next_back().map_or(0, |(_, one)| one.at);
        let after = first.range(sequence..).next().map_or(u64::MAX, |(_, one)| one.at);
        if forgotten.iter().any(|(from, to)| *from <= after && before <= *to) {
            lost += 1;
        } else {
            violations.push(format!("the subscriber was never told of {id} of {subject}"));
        }
    }
    (violations, lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_come_or_came_out_of_order_is_found() {
        let events: Vec<_> = (1..5).map(|n| (format!("ev_{n}"), "cartoner".to_owned(), n)).collect();
        let came = |numbers: &[u64]| -> Vec<Came> {
            let one = |n: &u64| Came { id: format!("ev_{n}"), subject: "cartoner".into(), sequence: *n, at: n * 1_000 };
            numbers.iter().map(one).collect()
        };
        assert_eq!(compare(&events, &came(&[1, 2, 2, 3, 1, 4]), &[]), (vec![], 0));
        assert_eq!(compare(&events, &came(&[1, 3, 2, 4]), &[]).0.len(), 1);
        assert_eq!(compare(&events, &came(&[1, 2, 4]), &[]).0.len(), 1);
        assert_eq!(compare(&events, &came(&[1, 2, 4]), &[(2_500, 3_500)]), (vec![], 1));
        assert_eq!(compare(&events, &came(&[1, 2, 3, 4, 9]), &[]).0.len(), 1);
    }
}
