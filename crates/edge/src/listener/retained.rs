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
    /// Topics that are reserved and not there yet.
    reserved_new: usize,
    reserved_bytes: usize,
}

impl RetainedMessages {
    /// Reserves room for a message; false where there is none.
    pub fn reserve(&mut self, message: &Message) -> bool {
        let is_known = self.by_topic.contains_key(&message.topic) || self.reserved.contains_key(&message.topic);
        let topics = self.by_topic.len() + self.reserved_new + usize::from(!is_known);
        let before = self.by_topic.get(&message.topic).map_or(0, |kept| kept.message.size());
        let bytes = (self.bytes + self.reserved_bytes + message.size()).saturating_sub(before);
        // What forgets a topic needs no room.
        if !message.payload.is_empty() && (topics > RETAINED_MAX || bytes > RETAINED_BYTES_MAX) {
            return false;
        }
        self.reserved_new += usize::from(!is_known);
        *self.reserved.entry(Arc::clone(&message.topic)).or_default() += 1;
        self.reserved_bytes += message.size();
        true
    }

    /// Gives back room that was reserved.
    pub fn release(&mut self, message: &Message) {
        let Some(count) = self.reserved.get_mut(&message.topic) else { return };
        *count -= 1;
        if *count == 0 {
            self.reserved.remove(&message.topic);
            self.reserved_new -= usize::from(!self.by_topic.contains_key(&message.topic));
        }
        self.reserved_bytes = self.reserved_bytes.saturating_sub(message.size());
    }

    /// Keeps a message for which room was reserved; one without payload forgets its topic.
    pub fn keep(&mut self, kept: Kept) {
        let topic = &kept.message.topic;
        self.release(&kept.message);
        let is_reserved = self.reserved.contains_key(topic);
        let was_there = self.by_topic.contains_key(topic);
        let is_there = !kept.message.payload.is_empty();
        // A topic that is reserved again is new exactly when it is not there.
        match (is_reserved, was_there, is_there) {
            (true, false, true) => self.reserved_new -= 1,
            (true, true, false) => self.reserved_new += 1,
            _ => {}
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
    fn a_full_store_takes_topics_that_it_has_however_many_are_on_their_way() {
        let mut all = RetainedMessages::default();
        for n in 0..RETAINED_MAX {
            assert!(put(&mut all, &n.to_string(), b"x"));
        }
        let on_their_way: Vec<_> = (0..100).map(|n| message(&n.to_string(), b"y")).collect();
        assert!(on_their_way.iter().all(|message| all.reserve(message)));
        assert!(!all.reserve(&message("one more", b"x")));
        let empty = message("one more", b"");
        assert!(all.reserve(&empty), "what forgets a topic needs no room");
        all.keep(Kept { message: empty, qos: 0, site: None });
        for message in on_their_way {
            all.keep(Kept { message, qos: 0, site: None });
        }
        assert_eq!((all.len(), all.reserved_new, all.reserved_bytes), (RETAINED_MAX, 0, 0));
    }

    proptest! {
        #[test]
        fn what_is_reserved_is_counted(steps in prop::collection::vec((0_u8..3, 0_usize..3, any::<bool>()), 0..40)) {
            let mut all = RetainedMessages::default();
            let mut way = std::collections::VecDeque::new();
            for (what, topic, is_empty) in steps {
                let message = message(["a", "b", "c"][topic], if is_empty { b"" } else { b"xyz" });
                match what {
                    0 => {
                        all.reserve(&message);
                        way.push_back(message);
                    }
                    1 => way.pop_front().into_iter().for_each(|message| {
                        all.keep(Kept { message, qos: 0, site: None });
                    }),
                    _ => way.pop_back().into_iter().for_each(|message| all.release(&message)),
                }
                let new = all.reserved.keys().filter(|topic| !all.by_topic.contains_key(*topic)).count();
                prop_assert_eq!(all.reserved_new, new);
                prop_assert_eq!(all.reserved_bytes, way.iter().map(|m| m.size()).sum::<usize>());
            }
        }
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
            let found = all.matching(&wanted).into_iter().map(|k| Arc::clone(&k.message.topic));
            let found: Vec<Arc<str>> = found.collect();
            let mut expected: Vec<Arc<str>> =
                topics.iter().filter(|t| filter::matches(&wanted, t)).map(|t| t.as_str().into()).collect();
            expected.sort();
            expected.dedup();
            prop_assert_eq!(found, expected);
        }
    }
}
