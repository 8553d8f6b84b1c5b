//! Clocks that are set, and clocks that nobody saw being set: calls wait out their spans whatever UTC is made to show.
//!
//! Rows say in UTC from when and until when a call waits. While the process lives it is told by how much its clock was
//! set, and the rows of unfinished calls follow. Of the time in which there was no process nobody knows: no pause is
//! longer than it was meant to be, and the last byte of an attempt was sent before this process began.

use super::{Held, Loop};
use andon_model::Time;
use andon_store::StoreError;
use andon_store::rows::{CallRow, Write};

/// The row that counts how often the clock was set: it tells whether a commit that seemed to fail is durable.
const SETS: &str = "workflows/clock";

/// The clock as it was set.
#[derive(Debug, Default)]
pub(super) struct Setting {
    /// Nanoseconds that are not accounted for yet; negative: back.
    by: i64,
    /// What is being written: by how much, and the count afterwards.
    writing: Option<(i64, u64)>,
    /// Whether a step of this process is durable: what it finds before was written by another one.
    pub(super) begun: bool,
}

impl Loop {
    /// The clock that steps are told was set by so many nanoseconds since the last step, back where they are negative.
    /// Calls that wait for a span wait as long as they would have.
    pub fn clock_was_set(&mut self, by: i64) {
        self.setting.by = self.setting.by.saturating_add(by);
    }

    /// Lets the rows of unfinished calls follow a clock that was set.
    pub(super) fn follow_clock(&mut self) -> Result<(), StoreError> {
        while self.setting.by != 0 || self.setting.writing.is_some() {
            let sets = self.store.cursor(SETS)?.unwrap_or(0);
            let writing = self.setting.writing.take();
            // What is being written comes first: a clock that is set once more meanwhile waits.
            let (by, count) = writing.unwrap_or_else(|| (std::mem::take(&mut self.setting.by), sets + 1));
            self.setting.writing = Some((by, count));
            if sets < count {
                self.forget();
                let unfinished = self.store.calls_in_flight()?.into_iter().chain(self.waiting()?);
                let moved = unfinished.map(|row| moved(row, by));
                let mut writes: Vec<Write> = moved.map(|row| Write::Call(Box::new(row))).collect();
                writes.push(Write::Cursor(SETS.to_owned(), count));
                self.store.commit(writes)?;
            }
            self.setting.writing = None;
            self.stale = true;
        }
        Ok(())
    }

    /// What a new process makes of a call that it finds.
    pub(super) fn found(&mut self, row: &CallRow, now: Time) -> CallRow {
        let mut held = Held::read(row.clone());
        if held.memory.damaged {
            return held.row;
        }
        let updated = held.row.updated;
        let meant = |until: Time| {
            if until > updated { until.min(now.plus(until.since(updated))) } else { until.min(now) }
        };
        held.row.due = held.row.due.map(meant);
        held.memory.floor = held.memory.floor.map(meant);
        held.memory.first = held.memory.first.map(|first| first.min(now));
        if let Some(doubt) = held.memory.doubt.as_mut().filter(|doubt| doubt.not_found.is_none()) {
            doubt.last_byte = now;
        }
        // It was written by now, whatever the clock showed then.
        held.row.updated = updated.min(now);
        if held.memory != Held::read(row.clone()).memory || (held.row.due, held.row.updated) != (row.due, updated) {
            return self.write_call(&mut held);
        }
        held.row
    }
}

/// The row of a call by a clock that was set.
fn moved(row: CallRow, by: i64) -> CallRow {
    let mut held = Held::read(row);
    if held.memory.damaged {
        return held.row;
    }
    let to = |time: Time| Time(time.0.saturating_add(by));
    held.row.due = held.row.due.map(to);
    held.row.updated = to(held.row.updated);
    held.memory.first = held.memory.first.map(to);
    held.memory.floor = held.memory.floor.map(to);
    if let Some(doubt) = &mut held.memory.doubt {
        doubt.last_byte = to(doubt.last_byte);
        doubt.not_found = doubt.not_found.map(to);
    }
    held.row.memory = serde_json::to_value(&held.memory).expect("a memory is made of texts and numbers");
    held.row
}

#[cfg(test)]
mod tests {
    use super::super::tests::{activated, first, one_call};
    use super::super::world::{World, answer};
    use andon_model::call::Step;
    use andon_model::{OutcomeClass, Time, span::Span};
    use andon_store::Fault;

    const HOUR: Span = Span::from_secs(3_600);

    /// A call of which nobody knows what became, 30 s ago; a search is due in 30 s.
    fn in_doubt() -> World {
        let mut world = one_call("lookup");
        let sent = first(&mut world);
        world.reply(&sent, answer(OutcomeClass::Unknown, true, None, "no answer in 10 s"));
        assert!(world.settle().is_empty());
        world.pass(Span::from_secs(30));
        world
    }

    fn set(world: &mut World, by: i64) {
        world.now = Time(world.now.0 + by);
        world.runner.clock_was_set(by);
    }

    /// Found by `cargo xtask torture --seed 1`: what was due at once by a clock that was ahead was due in an hour.
    #[test]
    fn what_was_due_at_once_is_due_at_once_after_a_start_by_a_clock_that_was_set_back() {
        let mut world = one_call("key");
        for n in 1..=5 {
            world.event(n, &format!("m-{n}"), activated(n));
        }
        assert_eq!(world.settle().len(), 4, "one waits for a place");
        world.now = world.now.minus(HOUR);
        world.crash(&[]);
        let start = world.now;
        world.finish();
        assert!(world.now.since(start) < Span::from_secs(60), "it took {}", world.now.since(start).nanos());
        world.assert_exactly_once(5, 5, "a clock that was set back");
    }

    fn assert_searches_after(world: &mut World, secs: i64) {
        assert!(world.settle().is_empty());
        world.pass(Span::from_secs(secs - 1));
        assert!(world.settle().is_empty(), "the effect may still come");
        world.pass(Span::from_secs(1));
        let requests = world.settle();
        assert_eq!(requests.iter().map(|ready| ready.request.step).collect::<Vec<_>>(), [Step::Search]);
    }

    #[test]
    fn a_clock_that_is_set_neither_shortens_nor_prolongs_what_a_search_waits_for() {
        for by in [HOUR.nanos(), -2 * HOUR.nanos()] {
            let mut world = in_doubt();
            set(&mut world, by);
            assert_searches_after(&mut world, 30);
        }
    }

    #[test]
    fn a_clock_that_was_set_while_there_was_no_process_shortens_nothing_and_holds_nothing_up() {
        for by in [HOUR.nanos(), -2 * HOUR.nanos()] {
            let mut world = in_doubt();
            world.now = Time(world.now.0 + by);
            world.crash(&[]);
            assert_searches_after(&mut world, 60);
        }
    }

    #[test]
    fn rows_follow_the_clock_once_although_nobody_was_told_that_they_did() {
        let mut world = in_doubt();
        set(&mut world, HOUR.nanos());
        world.store.plan_fault(0, Fault::After);
        assert!(world.runner.step(world.now).is_err());
        set(&mut world, -60_000_000_000);
        assert_searches_after(&mut world, 30);
    }

    #[test]
    fn calls_of_a_key_keep_their_order_when_the_clock_is_set_back() {
        let mut world = one_call("key");
        let sent = first(&mut world);
        world.reply(&sent, answer(OutcomeClass::Transient, false, None, "connection refused"));
        set(&mut world, -HOUR.nanos());
        world.event(2, "m-1", activated(2));
        assert!(world.settle().is_empty(), "it waits for the first of its key");
        world.finish();
        let calls = world.calls();
        assert!(calls.iter().all(|call| call.attempts > 0));
        let order: Vec<_> = world.office.seen.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(order, ["m-1", "m-1"]);
        let of = |n: u64| calls.iter().find(|call| call.input["n"] == n).unwrap();
        assert!(of(1).created <= of(2).created && of(1).updated <= of(2).updated);
    }
}
