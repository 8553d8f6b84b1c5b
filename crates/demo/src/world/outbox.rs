//! What the machines of a site have said and nobody has acknowledged yet: kept in order, sent again after a lost
//! connection.

use crate::line::Message;
use andon_model::Time;
use std::collections::VecDeque;

/// Messages that wait at most: more than a day of a line. Beyond it the oldest are lost, and counted.
pub const OUTBOX_MAX: usize = 100_000;

/// The memory of a gateway between machines and whoever takes what they say.
#[derive(Debug, Clone)]
pub struct Outbox {
    waiting: VecDeque<Message>,
    /// So many of those that wait, from the oldest on, are on their way.
    sent: usize,
    /// Nothing before this time waits.
    said: Time,
    lost: u64,
}

impl Outbox {
    /// An empty one; what is older than `said` was acknowledged before.
    pub fn new(said: Time) -> Self {
        Self { waiting: VecDeque::new(), sent: 0, said, lost: 0 }
    }

    /// Takes what the machines say, in the order of time.
    pub fn push(&mut self, messages: impl IntoIterator<Item = Message>) {
        let new = messages.into_iter().filter(|message| message.time >= self.said);
        self.waiting.extend(new);
        while self.waiting.len() > OUTBOX_MAX {
            self.waiting.pop_front();
            self.sent = self.sent.saturating_sub(1);
            self.lost += 1;
        }
    }

    /// The next one to be sent, where one waits.
    pub fn send(&mut self) -> Option<Message> {
        let next = self.waiting.get(self.sent)?.clone();
        self.sent += 1;
        Some(next)
    }

    /// So many more, the oldest of those that were sent, are acknowledged.
    pub fn acknowledged(&mut self, count: u64) {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.sent);
        if let Some(last) = self.waiting.drain(..count).next_back() {
            // Two of one time may stand on both sides of this line: the second is said twice rather than never.
            self.said = last.time;
        }
        self.sent -= count;
    }

    /// What was sent and is not acknowledged is to be sent again.
    pub fn again(&mut self) {
        self.sent = 0;
    }

    /// How many are not acknowledged.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The time of the last one that was acknowledged: what was said before it needs not be said again.
    pub fn said(&self) -> Time {
        self.said
    }

    /// How many were lost because too many waited.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_model::span::Span;

    fn message(second: i64) -> Message {
        Message {
            topic: "plant/x/status".into(),
            payload: second.to_string(),
            time: Time(0).plus(Span::from_secs(second)),
        }
    }

    fn sent(outbox: &mut Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.send()).map(|message| message.payload).collect()
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_in_order() {
        let mut outbox = Outbox::new(Time(0));
        outbox.push((1..=4).map(message));
        assert_eq!(sent(&mut outbox), ["1", "2", "3", "4"]);
        outbox.acknowledged(2);
        outbox.push([message(5)]);
        assert_eq!(sent(&mut outbox), ["5"]);
        outbox.again();
        assert_eq!(sent(&mut outbox), ["3", "4", "5"]);
        outbox.acknowledged(3);
        assert_eq!((outbox.waiting(), outbox.said()), (0, message(5).time));
        outbox.acknowledged(7);
        assert_eq!(outbox.waiting(), 0);
    }

    #[test]
    fn after_a_restart_nothing_that_was_acknowledged_long_ago_is_said_again() {
        let mut outbox = Outbox::new(message(3).time);
        outbox.push((1..=4).map(message));
        assert_eq!(sent(&mut outbox), ["3", "4"]);
    }

    #[test]
    fn of_too_many_the_oldest_are_lost_and_counted() {
        let mut outbox = Outbox::new(Time(0));
        outbox.push((0..3).map(message));
        outbox.send();
        outbox.push((3..i64::try_from(OUTBOX_MAX).unwrap() + 2).map(message));
        assert_eq!((outbox.waiting(), outbox.lost()), (OUTBOX_MAX, 2));
        assert_eq!(outbox.send().unwrap().payload, "2");
    }
}
