//! Who subscribed what: a tree of the levels of topic filters. A topic walks it once, whatever the number of filters.

use super::packets::Options;
use std::collections::HashMap;

/// Filters of one client; one more is refused (0x97).
pub const SUBSCRIPTIONS_MAX: usize = 1_000;
/// Bytes of the filters of one client; more are refused (0x97).
pub const FILTER_BYTES_MAX: usize = 128 << 10;
/// Levels of the filters of all clients; more are refused (0x97).
pub const LEVELS_ALL_MAX: usize = 1_000_000;

/// A client in the tree.
pub type ClientNo = u64;

/// How a message reaches a client that has several filters for it: once, by the best of them [MQTT-3.3.4-2].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// Who.
    pub client: ClientNo,
    /// The highest QoS of its filters.
    pub qos: u8,
    /// Whether the retain flag stays as it was published.
    pub retain_as_published: bool,
}

/// The subscriptions of all clients.
#[derive(Debug, Default)]
pub struct Subscriptions {
    root: Node,
    by_client: HashMap<ClientNo, Vec<String>>,
    levels: usize,
}

#[derive(Debug, Default)]
struct Node {
    levels: HashMap<Box<str>, Node>,
    /// Filters that end here.
    here: Vec<(ClientNo, Options)>,
    /// Filters that end here with `#`.
    below: Vec<(ClientNo, Options)>,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.levels.is_empty() && self.here.is_empty() && self.below.is_empty()
    }
}

/// What became of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// A new subscription.
    New,
    /// The client had this filter; its options are those now [MQTT-3.8.4-3].
    Replaced,
    /// The client has too many.
    TooMany,
}

impl Subscriptions {
    /// Whether nobody subscribed anything.
    pub fn is_empty(&self) -> bool {
        self.by_client.is_empty()
    }

    /// Adds a valid filter of a client.
    pub fn add(&mut self, client: ClientNo, filter: &str, options: Options) -> Added {
        let filters = self.by_client.get(&client).map(Vec::as_slice).unwrap_or_default();
        if !filters.iter().any(|known| known == filter) {
            let bytes: usize = filters.iter().map(String::len).sum();
            let levels = self.levels + levels(filter);
            if filters.len() >= SUBSCRIPTIONS_MAX || bytes + filter.len() > FILTER_BYTES_MAX || levels > LEVELS_ALL_MAX
            {
                return Added::TooMany;
            }
            self.levels = levels;
            self.by_client.entry(client).or_default().push(filter.to_owned());
        }
        let mut node = &mut self.root;
        for level in filter.split('/') {
            if level == "#" {
                return put(&mut node.below, client, options);
            }
            node = node.levels.entry(level.into()).or_default();
        }
        put(&mut node.here, client, options)
    }

    /// Removes a filter of a client; whether it had it.
    pub fn remove(&mut self, client: ClientNo, filter: &str) -> bool {
        let Some(filters) = self.by_client.get_mut(&client) else { return false };
        let Some(at) = filters.iter().position(|known| known == filter) else { return false };
        filters.swap_remove(at);
        self.levels -= levels(filter);
        if filters.is_empty() {
            self.by_client.remove(&client);
        }
        take(&mut self.root, filter, client);
        true
    }

    /// Removes all filters of a client.
    pub fn remove_client(&mut self, client: ClientNo) {
        for filter in self.by_client.remove(&client).unwrap_or_default() {
            self.levels -= levels(&filter);
            take(&mut self.root, &filter, client);
        }
    }

    /// Who is to be given a message of this topic, each once; `from` published it.
    pub fn matches(&self, topic: &str, from: ClientNo, found: &mut Vec<Match>) {
        found.clear();
        if self.is_empty() {
            return;
        }
        let mut add = |entries: &[(ClientNo, Options)]| {
            for (client, options) in entries {
                if options.no_local && *client == from {
                    continue;
                }
                match found.iter_mut().find(|known| known.client == *client) {
                    Some(known) => {
                        known.qos = known.qos.max(options.qos);
                        known.retain_as_published |= options.retain_as_published;
                    }
                    None => found.push(Match {
                        client: *client,
                        qos: options.qos,
                        retain_as_published: options.retain_as_published,
                    }),
                }
            }
        };
        walk(&self.root, Some(topic), topic.starts_with('$'), &mut add);
    }
}

impl Subscriptions {
    /// Whether anybody subscribed a topic.
    pub fn is_wanted(&self, topic: &str) -> bool {
        let mut wanted = false;
        if !self.is_empty() {
            walk(&self.root, Some(topic), topic.starts_with('$'), &mut |entries| wanted |= !entries.is_empty());
        }
        wanted
    }
}

/// Is given the filters that end at a node.
type Add<'a> = dyn FnMut(&[(ClientNo, Options)]) + 'a;

/// Walks the nodes of a topic; `rest` is what is left of it, `None` at its end. No wildcard stands for a first level
/// with `$`. The depth is that of the filters, which is limited.
fn walk(node: &Node, rest: Option<&str>, no_wildcard: bool, add: &mut Add<'_>) {
    if !no_wildcard {
        add(&node.below);
    }
    let Some(rest) = rest else { return add(&node.here) };
    let (level, rest) = rest.split_once('/').map_or((rest, None), |(level, rest)| (level, Some(rest)));
    if let Some(next) = node.levels.get(level) {
        walk(next, rest, false, add);
    }
    if let Some(next) = node.levels.get("+").filter(|_| !no_wildcard && level != "+") {
        walk(next, rest, false, add);
    }
}

fn levels(filter: &str) -> usize {
    filter.split('/').count()
}

fn put(entries: &mut Vec<(ClientNo, Options)>, client: ClientNo, options: Options) -> Added {
    if let Some((_, known)) = entries.iter_mut().find(|(known, _)| *known == client) {
        *known = options;
        return Added::Replaced;
    }
    entries.push((client, options));
    Added::New
}

/// Takes a client's filter out of a node, and nodes that are empty then with it.
fn take(node: &mut Node, filter: &str, client: ClientNo) {
    if filter == "#" {
        return node.below.retain(|(known, _)| *known != client);
    }
    let (level, rest) = filter.split_once('/').map_or((filter, None), |(level, rest)| (level, Some(rest)));
    let Some(next) = node.levels.get_mut(level) else { return };
    match rest {
        Some(rest) => take(next, rest, client),
        None => next.here.retain(|(known, _)| *known != client),
    }
    if next.is_empty() {
        node.levels.remove(level);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::packets::Retained, *};
    use crate::listener::filter;
    use proptest::prelude::*;

    fn options(qos: u8) -> Options {
        Options { qos, no_local: false, retain_as_published: false, retained: Retained::Send }
    }

    fn found(subscriptions: &Subscriptions, topic: &str) -> Vec<(ClientNo, u8)> {
        let mut found = Vec::new();
        subscriptions.matches(topic, 0, &mut found);
        found.sort_by_key(|m| m.client);
        found.into_iter().map(|m| (m.client, m.qos)).collect()
    }

    #[test]
    fn overlapping_filters_deliver_once_at_the_highest_qos() {
        // MQTT-3.3.4-2
        let mut subscriptions = Subscriptions::default();
        subscriptions.add(1, "a/#", options(0));
        subscriptions.add(1, "a/+", options(1));
        subscriptions.add(1, "a/b", options(0));
        subscriptions.add(2, "a/b", options(0));
        assert_eq!(found(&subscriptions, "a/b"), [(1, 1), (2, 0)]);
        assert_eq!(found(&subscriptions, "a"), [(1, 0)]);
        subscriptions.remove_client(1);
        assert_eq!(found(&subscriptions, "a/b"), [(2, 0)]);
    }

    #[test]
    fn a_filter_subscribed_again_replaces_the_first() {
        // MQTT-3.8.4-3
        let mut subscriptions = Subscriptions::default();
        assert_eq!(subscriptions.add(1, "a", options(1)), Added::New);
        assert_eq!(subscriptions.add(1, "a", options(0)), Added::Replaced);
        assert_eq!(found(&subscriptions, "a"), [(1, 0)]);
        assert!(subscriptions.remove(1, "a"));
        assert!(!subscriptions.remove(1, "a"));
        assert!(subscriptions.is_empty() && subscriptions.root.is_empty());
    }

    #[test]
    fn the_number_of_filters_of_a_client_is_limited() {
        let mut subscriptions = Subscriptions::default();
        for n in 0..SUBSCRIPTIONS_MAX {
            assert_eq!(subscriptions.add(1, &n.to_string(), options(0)), Added::New);
        }
        assert_eq!(subscriptions.add(1, "one more", options(0)), Added::TooMany);
        assert_eq!(subscriptions.add(1, "0", options(1)), Added::Replaced);
        assert_eq!(subscriptions.add(2, "one more", options(0)), Added::New);
    }

    #[test]
    fn the_bytes_of_the_filters_of_a_client_and_the_levels_of_all_are_limited() {
        let mut subscriptions = Subscriptions::default();
        let long = |n: usize| format!("{n}/{}", "x".repeat(FILTER_BYTES_MAX / 3));
        let added: Vec<Added> = (0..3).map(|n| subscriptions.add(1, &long(n), options(0))).collect();
        assert_eq!(added, [Added::New, Added::New, Added::TooMany]);
        assert!(subscriptions.remove(1, &long(0)));
        assert_eq!(subscriptions.add(1, &long(2), options(0)), Added::New);
        subscriptions.remove_client(1);
        assert_eq!(subscriptions.levels, 0);
        let deep = "a/".repeat(filter::LEVELS_MAX - 1);
        let most = u64::try_from(LEVELS_ALL_MAX).unwrap();
        let last = (0..most).find(|n| subscriptions.add(n / 800, &format!("{deep}{n}"), options(0)) == Added::TooMany);
        assert_eq!(last, Some(most / filter::LEVELS_MAX as u64));
        assert_eq!(subscriptions.add(0, &format!("{deep}0"), options(1)), Added::Replaced);
    }

    #[test]
    fn nobody_is_sent_what_he_published_where_he_says_so() {
        // MQTT-3.8.3-3
        let mut subscriptions = Subscriptions::default();
        subscriptions.add(7, "a", Options { no_local: true, ..options(0) });
        let mut found = Vec::new();
        subscriptions.matches("a", 7, &mut found);
        assert_eq!(found, []);
        subscriptions.matches("a", 8, &mut found);
        assert_eq!(found.len(), 1);
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_a_list_finds(
            filters in prop::collection::vec((0_u64..3, "(\\+|a|b|\\$c)(/(\\+|a|b)){0,3}(/#)?|#"), 0..12),
            topic in "(a|b|\\$c)(/(a|b|)){0,4}",
            removed in prop::collection::vec(0_usize..12, 0..4),
        ) {
            let mut subscriptions = Subscriptions::default();
            let mut list: Vec<(u64, String)> = Vec::new();
            for (client, filter) in filters {
                subscriptions.add(client, &filter, options(0));
                if !list.contains(&(client, filter.clone())) {
                    list.push((client, filter));
                }
            }
            for at in removed {
                if at < list.len() {
                    let (client, filter) = list.remove(at);
                    prop_assert!(subscriptions.remove(client, &filter));
                }
            }
            let mut expected: Vec<u64> =
                list.iter().filter(|(_, f)| filter::matches(f, &topic)).map(|(client, _)| *client).collect();
            expected.sort_unstable();
            expected.dedup();
            let got: Vec<u64> = found(&subscriptions, &topic).into_iter().map(|(client, _)| client).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
