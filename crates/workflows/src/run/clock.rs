//! Clocks that are set, and clocks that nobody saw being set: calls wait out their spans whatever UTC is made to show.
//!
//! Rows say in UTC from when and until when a call waits. While the process lives it is told by how much its clock was
//! set, and the rows of unfinished calls follow. Of the time in which there was no process nobody knows: no pause is
//! longer than it was meant to be, and the last byte of an attempt was sent before this process began.

use super::advance::to_json;
use super::{Held, Loop};
use crate::clocks::{meant, moved};
use crate::resilience::moved_row;
use andon_model::Time;
use andon_store::StoreError;
use andon_store::rows::{AttemptRow, CallRow, Write};

/// The row that counts how often the clock was set: it tells whether a commit that seemed to fail is durable.
const SETS: &str = "workflows/clock";

/// The clock as it was set.
#[derive(Debug, Default)]
pub(super) struct Setting {
    /// Nanoseconds that are not accounted for yet; negative: back.
    by: i64,
    /// What is being written: by how much, and the count afterwards.
    writing: Option<(i64, u64)>,
    /// When the first step of this process was that is durable, by the clock as it is set now. What rows say is of
    /// another process until then.
    pub(super) begun: Option<Time>,
}

impl Loop {
    /// The clock that steps are told was set by so many nanoseconds since the last step, back where they are negative.
    /// Calls that wait for a span wait as long as they would have.
    pub fn clock_was_set(&mut self, by: i64) {
        self.setting.by = self.setting.by.saturating_add(by);
        self.setting.begun = self.setting.begun.map(|begun| moved(begun, by));
        self.guards.clock_was_set(by);
    }

    /// Lets the rows of unfinished calls, of their attempts under way and of breakers follow a clock that was set.
    pub(super) fn follow_clock(&mut self) -> Result<(), StoreError> {
        while self.setting.by != 0 || self.setting.writing.is_some() {
            let sets = self.store.cursor(SETS)?.unwrap_or(0);
            let writing = self.setting.writing.take();
            // What is being written comes first: a clock that is set once more meanwhile waits.
            let (by, count) = writing.unwrap_or_else(|| (std::mem::take(&mut self.setting.by), sets + 1));
            self.setting.writing = Some((by, count));
            if sets < count {
                self.forget();
                let mut writes = self.moved_rows(by)?;
                writes.push(Write::Cursor(SETS.to_owned(), count));
                self.store.commit(writes)?;
            }
            self.setting.writing = None;
            self.stale = true;
        }
        Ok(())
    }

    fn moved_rows(&mut self, by: i64) -> Result<Vec<Write>, StoreError> {
        let mut writes = Vec::new();
        let in_flight = self.store.calls_in_flight()?;
        for row in &in_flight {
            let under_way = self.store.attempts(row.id)?.into_iter().filter(|attempt| attempt.outcome.is_none());
            writes.extend(under_way.map(|attempt| {
                let started = moved(attempt.started, by);
                Write::Attempt(Box::new(AttemptRow { started, ..attempt }))
            }));
        }
        let unfinished = in_flight.into_iter().chain(self.waiting()?);
        writes.extend(unfinished.map(|row| Write::Call(Box::new(moved_call(row, by)))));
        let systems = self.store.system_rows()?.into_iter().filter_map(|row| moved_row(row, by));
        writes.extend(systems.map(|row| Write::System(Box::new(row))));
        Ok(writes)
    }

    /// What a new process makes of a call that it finds.
    pub(super) fn found(&mut self, row: CallRow, now: Time) -> CallRow {
        let mut held = Held::read(row);
        if held.memory.damaged {
            return held.row;
        }
        let before = held.clone();
        let written = held.row.updated;
        held.row.due = held.row.due.map(|due| meant(due, written, now));
        held.memory.found(written, now);
        // It was written by now, whatever the clock showed then.
        held.row.updated = written.min(now);
        if (&held.memory, held.row.due, held.row.updated) != (&before.memory, before.row.due, written) {
            return self.write_call(&mut held);
        }
        held.row
    }
}

/// The row of a call by a clock that was set.
fn moved_call(row: CallRow, by: i64) -> CallRow {
    let mut held = Held::read(row);
    if held.memory.damaged {
        return held.row;
    }
    held.row.due = held.row.due.map(|due| moved(due, by));
    held.row.updated = moved(held.row.updated, by);
    held.memory.clock_was_set(by);
    held.row.memory = to_json(&held.memory);
    held.row
}

#[cfg(test)]
mod tests {
    use super::super::tests::{activated, first, one_call};
    use super::super::world::{World, answer};
    use andon_model::call::Step;
    use andon_model::{Outcome, OutcomeClass, span::Span};
    use andon_store::{Fault, rows::CallState};

    const HOUR: Span = Span::from_secs(3_600);
    const BACK: Span = Span::from_secs(-2 * 3_600);

    /// A call of which nobody knows what became, 30 s ago; a search is due in 30 s.
    fn in_doubt() -> World {
        let mut world = one_call("lookup");
        let sent = first(&mut world);
        world.reply(&sent, answer(OutcomeClass::Unknown, true, None, "no answer in 10 s"));
        assert!(world.settle().is_empty());
        world.pass(Span::from_secs(30));
        world
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
        for by in [HOUR, BACK] {
            let mut world = in_doubt();
            world.set_clock(by);
            assert_searches_after(&mut world, 30);
        }
    }

    #[test]
    fn a_clock_that_was_set_while_there_was_no_process_shortens_nothing_and_holds_nothing_up() {
        for by in [HOUR, BACK] {
            let mut world = in_doubt();
            world.pass(by);
            world.crash(&[]);
            assert_searches_after(&mut world, 60);
        }
    }

    #[test]
    fn rows_follow_the_clock_once_although_nobody_was_told_that_they_did() {
        let mut world = in_doubt();
        world.set_clock(HOUR);
        world.store.plan_fault(0, Fault::After);
        assert!(world.runner.step(world.now).is_err());
        world.set_clock(Span::from_secs(-60));
        assert_searches_after(&mut world, 30);
    }

    #[test]
    fn calls_of_a_key_keep_their_order_when_the_clock_is_set_back() {
        let mut world = one_call("key");
        let sent = first(&mut world);
        world.reply(&sent, answer(OutcomeClass::Transient, false, None, "connection refused"));
        world.set_clock(BACK);
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
    /// A call that its system has asked to come back in a quarter of an hour.
    fn told_to_wait() -> World {
        let mut world = one_call("key");
        let sent = first(&mut world);
        let later = Outcome {
            retry_after: Some(Span::from_secs(900)),
            ..answer(OutcomeClass::Limit, true, Some(429), "come back later")
        };
        world.reply(&sent, later);
        assert!(world.settle().is_empty());
        world
    }

    #[test]
    fn what_a_system_has_asked_for_is_kept_whatever_the_clock_is_set_to() {
        for by in [HOUR, BACK] {
            let mut world = told_to_wait();
            world.set_clock(by);
            world.pass(Span::from_secs(899));
            assert!(world.settle().is_empty(), "it is asked too early");
            world.pass(Span::from_secs(5));
            assert_eq!(world.settle().len(), 1);
        }
    }

    #[test]
    fn rows_follow_a_clock_that_is_set_just_before_a_clean_stop() {
        let mut world = told_to_wait();
        world.set_clock(HOUR);
        world.runner.close(world.now).unwrap();
        world.crash(&[]);
        assert!(world.settle().is_empty(), "it is asked too early");
        world.pass(Span::from_secs(905));
        assert_eq!(world.settle().len(), 1);
    }

    #[test]
    fn an_attempt_that_is_under_way_when_the_clock_is_set_is_answered_as_ever() {
        for by in [HOUR, BACK] {
            let mut world = one_call("lookup");
            let sent = first(&mut world);
            world.pass(Span::from_secs(1));
            world.set_clock(by);
            assert!(world.settle().is_empty());
            let attempt = &world.attempts(sent.request.call)[0];
            assert_eq!(world.now.since(attempt.started), Span::from_secs(1), "it began when it did");
            world.reply(&sent, answer(OutcomeClass::Unknown, true, None, "no answer in 10 s"));
            assert_searches_after(&mut world, 60);
        }
    }

    #[test]
    fn what_was_under_way_when_the_process_ended_has_no_more_time_by_a_clock_that_was_set_back() {
        let mut world = one_call("key");
        first(&mut world);
        world.pass(BACK);
        world.crash(&[]);
        let start = world.now;
        while !matches!(world.calls()[0].state, CallState::Parked) {
            for ready in world.settle() {
                world.reply(&ready, answer(OutcomeClass::Transient, true, Some(503), "busy"));
            }
            let wake = world.runner.step(world.now).unwrap().wake;
            world.now = wake.map_or(world.now, |wake| wake.max(world.now));
            assert!(world.now.since(start) < Span::from_secs(7 * 86_400), "it is never given up");
        }
        let within = world.contract.systems.values().next().unwrap().retry.within;
        let took = world.now.since(start);
        assert!(took <= within, "{took} of {within}");
    }
}
