//! What a source that speaks MQTT has at hand, and what becomes of a message that ends the process.
//!
//! As a rule only that messages are being read is noted, once for many. After a process has ended in it, each message
//! is named by its content and read with nothing else at hand in the whole instance, until so many were read. One that
//! ends the process twice so is set aside with its bytes, and acknowledged, when it comes again.

use crate::{
    mapping::{Incoming, Numbers},
    mqtt::Ack,
    source::SourceCore,
};
use andon_model::Name;
use andon_store::{Hand, Store, StoreError, Suspects};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Messages that are read one at a time after a process has ended while messages were read: more than a broker sends
/// again.
pub(crate) const CAREFUL_MESSAGES_MAX: usize = 10_000;
/// Bytes of the hash that names a message.
const NAME_BYTES: usize = 16;
/// Some messages are being read.
const SOME: &str = "messages";

/// What one source has at hand.
pub(crate) struct Careful {
    store: Store,
    hand: Hand,
    suspects: Suspects,
    /// It is noted that messages are being read.
    noted: bool,
    /// Messages left to be read one at a time.
    left: usize,
}

impl Careful {
    pub(crate) fn new(store: &Store, source: &Name) -> Self {
        let part = format!("source/{source}");
        let suspects = store.suspects(&part).unwrap_or_else(|error| {
            tracing::warn!(%source, %error, "what the process before had at hand cannot be read");
            Suspects::default()
        });
        let left = if suspects.is_empty() { 0 } else { CAREFUL_MESSAGES_MAX };
        Self { store: store.clone(), hand: store.hand(&part), suspects, noted: false, left }
    }

    /// Messages are read from here on.
    pub(crate) fn begin(&mut self) {
        if self.left == 0 && !self.noted {
            self.hand.take(SOME);
            self.noted = true;
        }
    }

    /// They are read.
    pub(crate) fn end(&mut self) {
        self.hand.free();
        self.noted = false;
    }

    /// Gives a message to the core of the source, or sets it aside where it is poison.
    pub(crate) fn message(
        &mut self,
        core: &mut SourceCore,
        message: Incoming<'_>,
        ack: Option<Ack>,
        numbers: &mut Numbers<'_>,
    ) -> Result<(), StoreError> {
        if self.left == 0 {
            let gate = self.hand.gate(false);
            let _inside = gate.enter();
            return core.message(message, ack, numbers);
        }
        let item = named(message);
        if self.suspects.meets(&item) {
            // It stays poison until it is certainly acknowledged.
            core.poison(message, ack);
        } else {
            let gate = self.hand.gate(true);
            let _inside = gate.enter();
            self.hand.take(&item);
            let taken = core.message(message, ack, numbers);
            self.hand.free();
            taken?;
        }
        self.left -= 1;
        if self.left == 0 {
            self.hand.gate(false);
            let rows = self.suspects.acquit_all();
            if let Err(error) = self.store.commit(rows) {
                tracing::warn!(%error, "messages that were suspected stay so until the next end");
            }
        }
        Ok(())
    }
}

/// The name of a message: the same whenever it comes.
fn named(message: Incoming<'_>) -> String {
    let mut hash = Sha256::new();
    hash.update((message.topic.len() as u64).to_be_bytes());
    hash.update(message.topic.as_bytes());
    hash.update(message.payload);
    let mut name = "message/".to_owned();
    for byte in hash.finalize().iter().take(NAME_BYTES) {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duplicates::Duplicates;
    use andon_model::{Time, sample::Counts};
    use andon_store::ENDS_MAX;
    use std::{collections::BTreeMap, sync::Arc};

    fn core(name: &Name) -> SourceCore {
        let files = andon_contract::init_files().into_iter().map(|(path, text)| (path.to_owned(), text.to_owned()));
        let files: BTreeMap<String, String> = files.collect();
        let contract = Arc::new(andon_contract::from_files(files).unwrap().contract);
        SourceCore::new(contract, name, Duplicates::new([7; 4])).unwrap()
    }

    #[test]
    fn a_message_that_ends_the_process_is_set_aside_with_its_bytes_when_it_comes_again() {
        let now = Time::parse("2026-11-22T08:00:00Z").unwrap();
        let source = Name::new("machines").unwrap();
        let store = Store::memory(&mut |bytes| bytes.fill(7));
        let of = |payload: &'static str| Incoming {
            topic: "machines/machine-01/temperature",
            payload: payload.as_bytes(),
            retained: false,
            received: now,
        };
        let (good, bad) = (
            of(r#"{"value": 71.5, "time": "2026-11-22T08:00:00Z"}"#),
            of(r#"{"value": 72.5, "time": "2026-11-22T08:00:01Z"}"#),
        );

        // The process ends while messages are read, and then twice with one of them alone at hand.
        let mut careful = Careful::new(&store, &source);
        careful.begin();
        drop(careful);
        store.take_up(now).unwrap();
        for ends in 1..=ENDS_MAX {
            let mut careful = Careful::new(&store, &source);
            careful.begin();
            careful.hand.gate(true);
            careful.hand.take(&named(bad));
            drop(careful);
            let rows = store.take_up(now).unwrap();
            assert_eq!((rows.len(), rows[0].ends), (1, ends));
        }

        let (mut careful, mut core) = (Careful::new(&store, &source), core(&source));
        let ack = |id| Some(Ack { id, exactly_once: false });
        let mut numbers = |asset: &_, signal: &_| store.signal(asset, signal);
        careful.message(&mut core, good, ack(1), &mut numbers).unwrap();
        careful.message(&mut core, bad, ack(2), &mut numbers).unwrap();
        let group = core.take_group();
        assert_eq!(group.counts(), Counts { received: 2, stored: 1, quarantined: 1, ..Counts::default() });
        assert_eq!(group.acks.len(), 2, "it is acknowledged, so that it does not come for ever");
        store.commit(group.quarantine.into_writes()).unwrap();
        let kept = store.quarantined(None, 0, 9).unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].1.bytes, bad.payload);
        assert!(kept[0].1.detail.contains("ended the process"), "{}", kept[0].1.detail);

        // After so many messages nobody is suspected any more.
        for _ in 2..CAREFUL_MESSAGES_MAX {
            careful.message(&mut core, good, None, &mut numbers).unwrap();
        }
        assert_eq!(store.in_process().unwrap(), []);
        careful.begin();
        careful.message(&mut core, bad, ack(3), &mut numbers).unwrap();
        careful.end();
        assert_eq!(store.take_up(now).unwrap(), []);
    }
}
