//! What is on its way to a subscriber, in the order of the events: what may be sent now, what waits behind another
//! event of its key, what is tried again later, and what is over. Pure.
//!
//! Order per key: where the other side may refuse an event for now, one event of a key is under way at a time, so
//! that nothing of the key overtakes one that is tried again. Events of other keys pass. Where it refuses nothing, as
//! MQTT 3.1.1 and QoS 0, all are sent in their order without waiting.
//!
//! An event counts once everything before it is over, together with the cursor that passes it. So what is refused for
//! good becomes an exception once, however often the connection is made again.

use andon_store::rows::{StoredEvent, Write};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    mem,
    time::Duration,
};

/// Events beyond the cursor that are held; while one of them cannot be delivered, so many pass it.
pub const AHEAD_MAX: usize = 5_000;
/// Refusals of one event for now, before it is set aside as an exception; with the pauses some 45 minutes.
pub const TRIES_MAX: u32 = 100;
/// The pause after the first refusal; each further one doubles it.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The longest pause.
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// How many events up to the cursor ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Taken by the other side.
    pub(super) delivered: u64,
    /// Set aside as exceptions.
    pub(super) parked: u64,
    /// Of a type that is not wanted.
    pub(super) unwanted: u64,
}

/// See above.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Everything up to here is over and committed.
    committed: u64,
    /// Everything up to here is over.
    cursor: u64,
    /// Read from the store up to here.
    read: u64,
    /// Whether one event of a key is under way at a time.
    one_by_one: bool,
    /// Behind the cursor, in order.
    entries: VecDeque<Entry>,
    /// What may be sent, in this order.
    ready: VecDeque<u64>,
    /// Events of keys of which one is ready, under way or refused: those behind it.
    keys: HashMap<String, VecDeque<u64>>,
    /// Refused for now, by when they are tried again.
    retries: BTreeSet<(Duration, u64)>,
    /// Sent with these packet ids.
    packets: HashMap<u16, u64>,
    /// Sent without acknowledgement, their bytes not yet written.
    unwritten: Vec<u64>,
    /// Exceptions of events up to the cursor that are not committed.
    exceptions: Vec<Write>,
    tally: Tally,
}

#[derive(Debug)]
struct Entry {
    sequence: u64,
    event: Option<Box<StoredEvent>>,
    tries: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Ready, behind another one of its key, or refused for now.
    Waiting,
    UnderWay,
    Delivered,
    Parked(Box<Write>),
    Unwanted,
}

impl Outbox {
    pub(super) fn new(cursor: u64, tally: Tally) -> Self {
        Self {
            committed: cursor,
            cursor,
            read: cursor,
            one_by_one: true,
            entries: VecDeque::new(),
            ready: VecDeque::new(),
            keys: HashMap::new(),
            retries: BTreeSet::new(),
            packets: HashMap::new(),
            unwritten: Vec::new(),
            exceptions: Vec::new(),
            tally,
        }
    }

    /// A connection is over: what was under way is sent again, what is over stays so.
    pub(super) fn again(&mut self, one_by_one: bool) {
        self.one_by_one = one_by_one;
        self.ready.clear();
        self.keys.clear();
        self.packets.clear();
        self.unwritten.clear();
        let retries = mem::take(&mut self.retries);
        let refused: HashMap<u64, Duration> = retries.into_iter().map(|(at, sequence)| (sequence, at)).collect();
        let mut entries = mem::take(&mut self.entries);
        for entry in &mut entries {
            if !matches!(entry.state, State::Waiting | State::UnderWay) {
                continue;
            }
            entry.state = State::Waiting;
            let Some(event) = &entry.event else { continue };
            if let Some(at) = refused.get(&entry.sequence).filter(|_| one_by_one) {
                // It is the first of its key: those behind it were never under way.
                self.keys.entry(event.event.key.clone()).or_default();
                self.retries.insert((*at, entry.sequence));
            } else {
                self.line_up(entry.sequence, &event.event.key);
            }
        }
        self.entries = entries;
    }

    /// How many events more may be read.
    pub(super) fn room(&self) -> usize {
        AHEAD_MAX.saturating_sub(self.entries.len())
    }

    /// Read from the store up to here.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Takes events that follow what was read.
    pub(super) fn take(&mut self, events: Vec<StoredEvent>, wants: &dyn Fn(&StoredEvent) -> bool) {
        for event in events {
            let sequence = event.sequence;
            self.read = sequence;
            if wants(&event) {
                self.line_up(sequence, &event.event.key);
                let event = Some(Box::new(event));
                self.entries.push_back(Entry { sequence, event, tries: 0, state: State::Waiting });
            } else {
                self.entries.push_back(Entry { sequence, event: None, tries: 0, state: State::Unwanted });
            }
        }
    }

    fn line_up(&mut self, sequence: u64, key: &str) {
        if !self.one_by_one {
            self.ready.push_back(sequence);
        } else if let Some(behind) = self.keys.get_mut(key) {
            behind.push_back(sequence);
        } else {
            self.keys.insert(key.to_owned(), VecDeque::new());
            self.ready.push_back(sequence);
        }
    }

    /// The next event that may be sent; it stays the next one until it is told what became of it.
    pub(super) fn next(&mut self, now: Duration) -> Option<&StoredEvent> {
        while let Some((at, sequence)) = self.retries.first().copied().filter(|(at, _)| *at <= now) {
            self.retries.remove(&(at, sequence));
            self.ready.push_front(sequence);
        }
        let sequence = *self.ready.front()?;
        self.entry(sequence)?.event.as_deref()
    }

    /// The next one was sent, with this packet id where it is acknowledged.
    pub(super) fn sent(&mut self, id: Option<u16>) {
        let Some(sequence) = self.ready.pop_front() else { return };
        if let Some(entry) = self.entry(sequence) {
            entry.state = State::UnderWay;
        }
        match id {
            Some(id) => {
                self.packets.insert(id, sequence);
            }
            None => self.unwritten.push(sequence),
        }
    }

    /// The next one can never be sent.
    pub(super) fn unsendable(&mut self, exception: Write) {
        if let Some(sequence) = self.ready.pop_front() {
            self.over(sequence, State::Parked(Box::new(exception)));
        }
    }

    /// What was sent without acknowledgement has left.
    pub(super) fn written(&mut self) {
        for sequence in mem::take(&mut self.unwritten) {
            self.over(sequence, State::Delivered);
        }
    }

    /// The other side has taken the event of a packet id.
    pub(super) fn acknowledged(&mut self, id: u16) {
        if let Some(sequence) = self.packets.remove(&id) {
            self.over(sequence, State::Delivered);
        }
    }

    /// The event of a packet id.
    pub(super) fn event(&mut self, id: u16) -> Option<&StoredEvent> {
        let sequence = *self.packets.get(&id)?;
        self.entry(sequence)?.event.as_deref()
    }

    /// The event of a packet id is refused for good.
    pub(super) fn refused(&mut self, id: u16, exception: Write) {
        if let Some(sequence) = self.packets.remove(&id) {
            self.over(sequence, State::Parked(Box::new(exception)));
        }
    }

    /// The event of a packet id is refused for now: it is tried again after a pause. `false`: that was the last time,
    /// and it is to be [`Outbox::refused`].
    pub(super) fn refused_for_now(&mut self, id: u16, now: Duration, chance: u64) -> bool {
        let Some(sequence) = self.packets.get(&id).copied() else { return true };
        let Some(entry) = self.entry(sequence) else { return true };
        if entry.tries + 1 >= TRIES_MAX {
            return false;
        }
        let full = RETRY_FIRST.saturating_mul(1 << entry.tries.min(10)).min(RETRY_LONGEST);
        entry.tries += 1;
        entry.state = State::Waiting;
        let pause = full / 2 + full / 2 * u32::try_from(chance % 1_000).unwrap_or(0) / 1_000;
        self.packets.remove(&id);
        self.retries.insert((now + pause, sequence));
        true
    }

    fn over(&mut self, sequence: u64, state: State) {
        let Some(entry) = self.entry(sequence) else { return };
        entry.state = state;
        let Some(event) = entry.event.take() else { return };
        if let Some(behind) = self.keys.get_mut(&event.event.key) {
            match behind.pop_front() {
                Some(next) => self.ready.push_back(next),
                None => {
                    self.keys.remove(&event.event.key);
                }
            }
        }
    }

    fn entry(&mut self, sequence: u64) -> Option<&mut Entry> {
        let at = self.entries.partition_point(|entry| entry.sequence < sequence);
        self.entries.get_mut(at).filter(|entry| entry.sequence == sequence)
    }

    /// Moves the cursor over what is over.
    pub(super) fn advance(&mut self) {
        while let Some(entry) =
            self.entries.pop_front_if(|entry| !matches!(entry.state, State::Waiting | State::UnderWay))
        {
            match entry.state {
                State::Delivered => self.tally.delivered += 1,
                State::Unwanted => self.tally.unwanted += 1,
                State::Parked(exception) => {
                    self.tally.parked += 1;
                    self.exceptions.push(*exception);
                }
                State::Waiting | State::UnderWay => {}
            }
            self.cursor = entry.sequence;
        }
    }

    /// When an event that was refused for now is tried again.
    pub(super) fn due(&self) -> Option<Duration> {
        self.retries.first().map(|(at, _)| *at)
    }

    /// Events that are refused for now.
    pub(super) fn refused_now(&self) -> usize {
        self.retries.len()
    }

    /// Whether something may be sent at once.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether nothing is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.packets.is_empty() && self.unwritten.is_empty()
    }

    /// Events that are under way.
    pub(super) fn under_way(&self) -> usize {
        self.packets.len() + self.unwritten.len()
    }

    /// Whether there is something to commit.
    pub(super) fn is_dirty(&self) -> bool {
        self.cursor > self.committed
    }

    /// Events that the cursor has passed since it was committed.
    pub(super) fn uncommitted(&self) -> u64 {
        self.cursor - self.committed
    }

    /// The cursor with what ended how up to it.
    pub(super) fn progress(&self) -> (u64, Tally) {
        (self.cursor, self.tally)
    }

    /// Exceptions to be committed with the cursor.
    pub(super) fn exceptions(&self) -> &[Write] {
        &self.exceptions
    }

    /// The cursor is committed.
    pub(super) fn committed(&mut self) {
        self.committed = self.cursor;
        self.exceptions.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_model::{Event, EventId, SiteName, Time};
    use proptest::prelude::*;

    fn event(sequence: u64, key: u64) -> StoredEvent {
        let id = EventId::derived(&[&sequence.to_le_bytes()]);
        let event = Event {
            id,
            kind: "asset.alarm".into(),
            source: "/home/rules/x".into(),
            time: Time(0),
            subject: format!("machine-{key}"),
            schema: "andon:asset.alarm/1.0".into(),
            site: SiteName::new("home").unwrap(),
            key: format!("machine-{key}"),
            correlation: id,
            causation: None,
            recorded: Time(0),
            data: serde_json::Value::Null,
        };
        StoredEvent { sequence, event }
    }

    fn exception(n: u64) -> Write {
        Write::Cursor("exception".into(), n)
    }

    /// Sends what may be sent; the sequences.
    fn send(outbox: &mut Outbox, now: u64, first_id: u16) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some(event) = outbox.next(Duration::from_millis(now)) {
            sent.push(event.sequence);
            outbox.sent(Some(first_id + u16::try_from(sent.len()).unwrap() - 1));
        }
        sent
    }

    #[test]
    fn a_refused_event_holds_up_its_key_only() {
        let mut outbox = Outbox::new(0, Tally::default());
        outbox.take(vec![event(1, 0), event(2, 1), event(3, 0), event(4, 2)], &|_| true);
        assert_eq!(send(&mut outbox, 0, 1), [1, 2, 4]);
        assert!(outbox.refused_for_now(1, Duration::ZERO, 0));
        outbox.acknowledged(2);
        outbox.acknowledged(3);
        outbox.advance();
        assert_eq!((outbox.progress().0, outbox.refused_now()), (0, 1));
        assert!(send(&mut outbox, 100, 10).is_empty(), "the pause is not over");
        assert_eq!(send(&mut outbox, 125, 10), [1]);
        outbox.acknowledged(10);
        assert_eq!(send(&mut outbox, 125, 20), [3]);
        outbox.acknowledged(20);
        outbox.advance();
        assert_eq!(outbox.progress(), (4, Tally { delivered: 4, ..Tally::default() }));
    }

    #[test]
    fn what_is_refused_for_good_counts_once_though_the_connection_is_lost() {
        let mut outbox = Outbox::new(0, Tally::default());
        outbox.take(vec![event(1, 0), event(2, 1), event(3, 1)], &|_| true);
        assert_eq!(send(&mut outbox, 0, 1), [1, 2]);
        outbox.refused(2, exception(2));
        outbox.advance();
        assert!(outbox.exceptions().is_empty() && !outbox.is_dirty(), "the one before is not over");
        outbox.again(true);
        assert_eq!(send(&mut outbox, 0, 1), [1, 3], "2 is over and is not sent again");
        outbox.acknowledged(1);
        outbox.acknowledged(2);
        outbox.advance();
        assert!(matches!(outbox.exceptions(), [Write::Cursor(_, 2)]));
        assert_eq!(outbox.progress(), (3, Tally { delivered: 2, parked: 1, unwanted: 0 }));
        outbox.committed();
        assert!(outbox.exceptions().is_empty());
    }

    #[test]
    fn an_event_is_refused_for_now_so_many_times_only() {
        let mut outbox = Outbox::new(0, Tally::default());
        outbox.take(vec![event(1, 0)], &|_| true);
        let mut now = 0;
        for _ in 1..TRIES_MAX {
            now += 60_000;
            assert_eq!(send(&mut outbox, now, 1), [1]);
            assert!(outbox.refused_for_now(1, Duration::from_millis(now), 999));
        }
        assert_eq!(send(&mut outbox, now + 60_000, 1), [1]);
        assert!(!outbox.refused_for_now(1, Duration::from_millis(now), 999));
        outbox.refused(1, exception(1));
        outbox.advance();
        assert_eq!(outbox.progress().1.parked, 1);
    }

    proptest! {
        /// Whatever is refused, lost and sent again: each key is acknowledged in order, and the cursor passes what is
        /// over and nothing else.
        #[test]
        fn every_key_keeps_its_order(
            keys in prop::collection::vec(0_u64..4, 1..40),
            steps in prop::collection::vec((0_u8..6, 0_usize..8), 0..300),
        ) {
            let count = keys.len() as u64;
            let mut outbox = Outbox::new(0, Tally::default());
            let events = keys.iter().zip(1..).map(|(key, n)| event(n, *key)).collect();
            outbox.take(events, &|event| event.sequence % 7 != 0);
            let (mut under_way, mut done, mut now, mut id) = (Vec::new(), Vec::new(), 0_u64, 0_u16);
            for (what, which) in steps.into_iter().chain([(0, 0), (2, 0)].repeat(400)) {
                now += 40_000;
                match what {
                    0 | 1 => if let Some(event) = outbox.next(Duration::from_millis(now)) {
                        id += 1;
                        under_way.push((id, event.sequence));
                        outbox.sent(Some(id));
                    },
                    5 => {
                        under_way.clear();
                        outbox.again(true);
                    }
                    _ if under_way.is_empty() => {}
                    2 => {
                        let (id, sequence) = under_way.remove(which % under_way.len());
                        outbox.acknowledged(id);
                        done.push(sequence);
                    }
                    3 => {
                        let (id, sequence) = under_way.remove(which % under_way.len());
                        outbox.refused(id, exception(sequence));
                        done.push(sequence);
                    }
                    _ => {
                        let (id, _) = under_way.remove(which % under_way.len());
                        outbox.refused_for_now(id, Duration::from_millis(now), 7);
                    }
                }
                outbox.advance();
                let over = |n: u64| n.is_multiple_of(7) || done.contains(&n);
                prop_assert_eq!(outbox.progress().0, (1..=count).take_while(|n| over(*n)).count() as u64);
            }
            for key in 0..4 {
                let is_of_key = |n: &u64| keys[usize::try_from(n - 1).unwrap()] == key;
                let of_key: Vec<u64> = done.iter().copied().filter(is_of_key).collect();
                prop_assert!(of_key.is_sorted(), "{:?}", of_key);
            }
            let (cursor, tally) = outbox.progress();
            prop_assert_eq!(cursor, count);
            prop_assert_eq!(tally.delivered + tally.parked + tally.unwanted, count);
            prop_assert_eq!(outbox.exceptions().len() as u64, tally.parked);
        }
    }
}
