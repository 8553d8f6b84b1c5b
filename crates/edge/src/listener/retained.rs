//! The last retained message of each topic, within limits.

use super::{filter, session::Message};
use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

/// Topics with a retained message; one more is refused (0x97).
pub const RETAINED_MAX: usize = 50_000;
/// Bytes of retained messages; more are refused (0x97).
pub const RETAINED_BYTES_MAX: usize = 32 << 20;

/// A message that is kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The message.
    pub message: Arc<Message>,
    /// The quality of service it was published with.
    pub qos: u8,
    /// The number of its site, where it is known.
    pub site: Option<usize>,
}

/// The retained messages of a listener. Room is reserved when a message comes; it is kept once it is durable.
#[derive(Debug, Default)]
pub struct RetainedMessages {
    by_topic: BTreeMap<Arc<str>, Kept>,
    bytes: usize,
    reserved: HashMap<Arc<str>, usize>,
    reserved_bytes: usize,
}

impl RetainedMessages {
    /// Reserves room for a message; false where there is none.
    pub fn reserve(&mut self, message: &Message) -> bool {
        let is_known = self.by_topic.contains_key(&message.topic) || self.reserved.contains_key(&message.topic);
        let topics = self.by_topic.len() + self.reserved.len() + usize::from(!is_known);
        let before = self.by_topic.get(&message.topic).map_or(0, |kept| kept.message.size());
        let bytes = (self.bytes + self.reserved_bytes + message.size()).saturating_sub(before);
        if topics > RETAINED_MAX || bytes > RETAINED_BYTES_MAX {
            return false;
        }
        *self.reserved.entry(Arc::clone(&message.topic)).or_default() += 1;
        self.reserved_bytes += message.size();
        true
    }

    /// Keeps a message for which room was reserved; one without payload forgets its topic.
    pub fn keep(&mut self, kept: Kept) {
        let topic = &kept.message.topic;
        if let Some(count) = self.reserved.get_mut(topic) {
            *count -= 1;
            if *count == 0 {
                self.reserved.remove(topic);
            }
            self.reserved_bytes = self.reserved_bytes.saturating_sub(kept.message.size());
        }
        let before = if kept.message.payload.is_empty() {
            self.by_topic.remove(topic)
        } else {
            self.bytes += kept.message.size();
            self.by_topic.insert(Arc::clone(topic), kept)
        };
        self.bytes = self.bytes.saturating_sub(before.map_or(0, |before| before.message.size()));
    }

    /// What belongs to a filter, by topic.
    pub fn matching(&self, wanted: &str) -> Vec<Kept> {
        if !wanted.contains(['+', '#']) {
            return self.by_topic.get(wanted).cloned().into_iter().collect();
        }
        let belongs = |topic: &&Arc<str>| filter::matches(wanted, topic);
        let prefix = wanted.split(['+', '#']).next().unwrap_or_default();
        // `a/#` also stands for `a`.
        let parent = wanted.strip_suffix("/#").filter(|parent| !parent.contains('+'));
        let parent = parent.and_then(|parent| self.by_topic.get(parent));
        let below = self
            .by_topic
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(topic, _)| topic.starts_with(prefix));
        parent.into_iter().chain(below.filter(|(topic, _)| belongs(topic)).map(|(_, kept)| kept)).cloned().collect()
    }

    /// Topics with a retained message.
    pub fn len(&self) -> usize {
        self.by_topic.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(topic: &str, payload: &[u8]) -> Arc<Message> {
        let (properties, received) = ([].into(), andon_model::Time(0));
        Arc::new(Message { topic: topic.into(), payload: payload.into(), properties, received, expires: None })
    }

    fn put(all: &mut RetainedMessages, topic: &str, payload: &[u8]) -> bool {
        let message = message(topic, payload);
        let taken = all.reserve(&message);
        if taken {
            all.keep(Kept { message, qos: 0, site: None });
        }
        taken
    }

    #[test]
    fn the_last_one_is_kept_and_an_empty_one_forgets() {
        // MQTT-3.3.1-5, -6, -7
        let mut all = RetainedMessages::default();
        assert!(put(&mut all, "a/b", b"1") && put(&mut all, "a/b", b"22"));
        assert_eq!(all.matching("a/b")[0].message.payload.as_ref(), b"22");
        assert!(put(&mut all, "a/b", b""));
        assert!(all.is_empty() && all.bytes == 0 && all.reserved.is_empty() && all.reserved_bytes == 0);
        assert!(put(&mut all, "never", b""));
        assert!(all.is_empty());
    }

    #[test]
    fn topics_and_bytes_are_limited() {
        let mut all = RetainedMessages::default();
        for n in 0..RETAINED_MAX {
            assert!(put(&mut all, &n.to_string(), b"x"));
        }
        assert!(!put(&mut all, "one more", b"x"));
        assert!(put(&mut all, "0", b"y"), "a known topic has its room");
        let mut all = RetainedMessages::default();
        let large = vec![0; 1 << 20];
        let taken = (0..40).filter(|n| put(&mut all, &n.to_string(), &large)).count();
        assert_eq!(taken, 31, "31 of 1 MiB and their topics go into 32 MiB");
    }

    proptest! {
        #[test]
        fn a_filter_finds_what_matches(
            topics in prop::collection::vec("(a|b|\\$c)(/(a|b|)){0,3}", 0..10),
            wanted in "(\\+|a|b|\\$c)(/(\\+|a|b)){0,3}(/#)?|#",
        ) {
            let mut all = RetainedMessages::default();
            for topic in &topics {
                assert!(put(&mut all, topic, b"x"));
            }
            let found: Vec<Arc<str>> = all.matching(&wanted).into_iter().map(|k| Arc::clone(&k.message.topic)).collect();
            let mut expected: Vec<Arc<str>> =
                topics.iter().filter(|t| filter::matches(&wanted, t)).map(|t| t.as_str().into()).collect();
            expected.sort();
            expected.dedup();
            prop_assert_eq!(found, expected);
        }
    }
}
