//! What became of the events that were read: counted in rows of its own, in one commit with the cursor and the runs, so
//! that an event that was passed over without a run is missing in the sum.

use super::{CURSOR, Loop};
use andon_store::{Store, StoreError, rows::Write};

/// The counts, each the last part of a cursor's name.
const NAMES: [&str; COUNTS] = ["wanted", "unwanted", "aside", "matched", "already", "together", "refused", "forgotten"];
const COUNTS: usize = 8;

/// From which order number on events are counted.
const FROM: &str = "from";
/// The runs that events had started before they were counted.
const BEFORE: &str = "before";

/// The counts since the folder exists, or since it was counted first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Events that matched a workflow.
    pub(super) wanted: u64,
    /// Events that matched none.
    pub(super) unwanted: u64,
    /// Events that were set aside as poison, and exceptions tell of them.
    pub(super) aside: u64,
    /// Events, each once for every workflow it matched.
    pub(super) matched: u64,
    /// Of them: the run was there already.
    pub(super) already: u64,
    /// Of them: a later event started the run together with this one.
    pub(super) together: u64,
    /// Of them: the filter has no answer, and an exception says so.
    pub(super) refused: u64,
    /// Of them: they waited for others with which no workflow begins any more.
    pub(super) forgotten: u64,
}

impl Counts {
    fn numbers(&self) -> [u64; COUNTS] {
        let Self { wanted, unwanted, aside, matched, already, together, refused, forgotten } = *self;
        [wanted, unwanted, aside, matched, already, together, refused, forgotten]
    }
}

/// The counts as they are now, and as they are durable.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) now: Counts,
    durable: Counts,
    /// Where counting begins, and the runs before it, as long as that is not durable.
    begins: Option<(u64, u64)>,
}

fn name(of: &str) -> String {
    format!("{CURSOR}/{of}")
}

impl Tally {
    /// Reads the counts; a folder that was never counted is counted from here on.
    pub(super) fn read(store: &Store) -> Result<Self, StoreError> {
        if store.cursor(&name(FROM))?.is_none() {
            let passed = store.passed()?;
            let from = passed.cursors.get(CURSOR).copied().unwrap_or(0);
            // What waits for others has matched before.
            let now = Counts { matched: passed.gathered, ..Counts::default() };
            return Ok(Self { now, durable: Counts::default(), begins: Some((from, passed.runs)) });
        }
        let mut numbers = [0; COUNTS];
        for (number, of) in numbers.iter_mut().zip(NAMES) {
            *number = store.cursor(&name(of))?.unwrap_or(0);
        }
        let [wanted, unwanted, aside, matched, already, together, refused, forgotten] = numbers;
        let now = Counts { wanted, unwanted, aside, matched, already, together, refused, forgotten };
        Ok(Self { now, durable: now, begins: None })
    }

    /// What is not durable yet.
    pub(super) fn writes(&self) -> impl Iterator<Item = Write> {
        let begins = self.begins.into_iter().flat_map(|(from, before)| [(FROM, from), (BEFORE, before)]);
        let changed = NAMES.into_iter().zip(self.now.numbers()).zip(self.durable.numbers());
        let changed = changed.filter(|((_, now), durable)| now != durable).map(|(now, _)| now);
        begins.chain(changed).map(|(of, number)| Write::Cursor(name(of), number))
    }

    /// All of it is durable.
    pub(super) fn durable(&mut self) {
        (self.durable, self.begins) = (self.now, None);
    }
}

impl Loop {
    /// The events of these order numbers were passed over unread.
    pub(super) fn pass_over(&mut self, count: u64) {
        self.tally.now.unwanted += count;
    }

    /// An event was held against all workflows; `before` is what had matched by then.
    pub(super) fn told_of(&mut self, before: u64) {
        let now = &mut self.tally.now;
        *(if now.matched > before { &mut now.wanted } else { &mut now.unwanted }) += 1;
    }
}

/// Nothing is lost between the events and their runs, by rows alone.
#[cfg(test)]
pub(super) fn assert_whole(store: &Store) {
    let passed = store.passed().unwrap();
    let row = |of: &str| passed.cursors.get(&name(of)).copied().unwrap_or(0);
    let read = passed.cursors.get(CURSOR).copied().unwrap_or(0);
    let told = row("wanted") + row("unwanted") + row("aside");
    assert_eq!(read - row(FROM), told, "every event that was read was told of: {passed:?}");
    let begun = passed.runs - row(BEFORE);
    let others = row("already") + row("together") + row("refused") + row("forgotten") + passed.gathered;
    assert_eq!(row("matched"), begun + others, "every event that matched has its run: {passed:?}");
}

#[cfg(test)]
mod tests {
    use super::super::world::World;
    use super::*;
    use crate::testing::plant::contract;
    use serde_json::json;

    /// Two workflows that every activation begins.
    fn one() -> World {
        let activated = json!({"with": {"type": "asset.alarm", "data": "${ .change == \"activated\" }"}});
        let of = json!({"schedule": {"on": {"one": activated}}, "do": [{"a": {"set": {"n": 1}}}]});
        World::new(contract(&[("first", of.clone()), ("second", of)]))
    }

    /// Beside them one that needs two events, and one whose filter has no answer.
    fn world() -> World {
        let on = |kind: &str, data: &str| json!({"with": {"type": kind, "data": data}});
        let activated = on("asset.alarm", "${ .change == \"activated\" }");
        let one =
            |filter: &serde_json::Value| json!({"schedule": {"on": {"one": filter}}, "do": [{"a": {"set": {"n": 1}}}]});
        let both = json!({"schedule": {"on": {"all": [
            on("asset.alarm", "${ .change == \"activated\" }"), on("asset.alarm", "${ .change == \"returned\" }"),
        ]}}, "do": [{"a": {"set": {"n": 1}}}]});
        let broken = on("asset.alarm", "${ .change / 2 == 1 }");
        World::new(contract(&[
            ("first", one(&activated)),
            ("second", one(&activated)),
            ("both", both),
            ("broken", one(&broken)),
        ]))
    }

    fn row(world: &World, of: &str) -> u64 {
        world.store.cursor(&name(of)).unwrap().unwrap_or(0)
    }

    #[test]
    fn every_event_that_matches_is_found_again_in_one_of_the_terms() {
        let mut world = world();
        for (number, change) in (1..).zip(["activated", "activated", "returned", "level"]) {
            world.event(number, "m-1", json!({"change": change}));
        }
        world.finish();
        let counted = ["wanted", "unwanted", "matched", "already", "together", "refused"].map(|of| row(&world, of));
        // Four filters without an answer; twice two runs; three that wait for each other, of whom two have begun a run.
        assert_eq!(counted, [4, 0, 4 + 4 + 3, 0, 1, 4]);
        let passed = world.store.passed().unwrap();
        assert_eq!((passed.runs, passed.gathered), (5, 1));
        assert_whole(&world.store);
    }

    #[test]
    fn a_cursor_that_jumps_and_a_run_that_is_there_are_seen() {
        let mut world = one();
        world.event(1, "m-1", json!({"change": "activated"}));
        world.finish();
        // The same events once more, as after a cursor was put back by hand.
        world.store.commit(vec![Write::Cursor(CURSOR.into(), 0), Write::Cursor(name("wanted"), 0)]).unwrap();
        world.crash(&[]);
        world.finish();
        assert_eq!(row(&world, "already"), 2);
        // An event that nobody looked at.
        world.event(2, "m-1", json!({"change": "activated"}));
        world.store.commit(vec![Write::Cursor(CURSOR.into(), 2)]).unwrap();
        let store = world.store.clone();
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| assert_whole(&store)));
        assert!(seen.is_err(), "the sum lacks it");
    }

    #[test]
    fn where_counting_begins_is_kept_although_nothing_came_at_first() {
        let mut world = one();
        assert!(world.settle().is_empty());
        world.event(1, "m-1", json!({"change": "activated"}));
        world.finish();
        assert_eq!(["from", "before"].map(|of| world.store.cursor(&name(of)).unwrap()), [Some(0), Some(0)]);
    }

    #[test]
    fn a_folder_that_was_never_counted_is_counted_from_where_it_stands() {
        let mut other = one();
        other.event(1, "m-1", json!({"change": "activated"}));
        other.finish();
        let mut world = one();
        world.event(1, "m-1", json!({"change": "activated"}));
        let begun = other.runs().into_iter().map(|row| Write::StartRun(Box::new(row)));
        world.store.commit(begun.chain([Write::Cursor(CURSOR.into(), 1)]).collect()).unwrap();
        world.event(2, "m-2", json!({"change": "activated"}));
        world.finish();
        assert_eq!(["from", "before", "wanted", "matched"].map(|of| row(&world, of)), [1, 2, 1, 2]);
    }
}
