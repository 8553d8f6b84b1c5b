//! Who may be attempted next: calls wait in line, per system and, inside it, per key.
//!
//! A *lane* is a key at a system. Only the call at its front is attempted; the others stand behind it until it is
//! delivered, refused, skipped or parked. The front is the oldest call, unless another is under way already when an
//! older one comes back. Calls that only read have no lane. What may be attempted waits for its
//! time, then for one of its system's places. What a breaker keeps away is held beside the queue until it closes or
//! wants a call that tries the system.

use crate::resilience::Gate;
use andon_model::{CallId, Name, Time};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The order in which calls were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// When it was made.
    pub(crate) created: Time,
    /// The order number of its event, among those made at the same moment.
    pub(crate) number: u64,
    /// Its id, among those of the same event.
    pub(crate) id: CallId,
}

/// A key at a system.
pub(crate) type Lane = (Name, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Behind another call of its lane.
    Behind,
    /// Waits for its time.
    Timed,
    /// Waits for a place at its system.
    Queued,
    /// Kept away by a breaker.
    Held,
    /// An attempt is under way.
    Flying,
}

#[derive(Debug)]
struct Waiter {
    place: Place,
    due: Time,
    /// Not before this, whatever becomes of its system.
    floor: Option<Time>,
    lane: Option<Lane>,
    system: Name,
    standing: Standing,
    /// Since when it waits for a place.
    queued: Time,
    /// The breaker that keeps it away, and until when at the latest.
    gate: Option<(Gate, Time)>,
}

/// When a call may be attempted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct When {
    /// After its pause.
    pub(crate) due: Time,
    /// Not before this, whatever becomes of its system.
    pub(crate) floor: Option<Time>,
}

/// Calls that a breaker keeps away, and which of them tried its system last.
#[derive(Debug, Default)]
struct Away {
    calls: BTreeSet<Place>,
    tried: Option<Place>,
}

/// The unfinished calls of a lane.
#[derive(Debug, Default)]
struct Line {
    places: BTreeSet<Place>,
    /// The only one that does not stand behind another.
    front: Option<CallId>,
}

/// All unfinished calls.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    waiters: HashMap<CallId, Waiter>,
    lanes: HashMap<Lane, Line>,
    timed: BTreeSet<(Time, CallId)>,
    queued: BTreeMap<Name, BTreeSet<Place>>,
    held: BTreeMap<Gate, Away>,
    flying: BTreeMap<Name, u32>,
    /// Unfinished calls of each system.
    unfinished: BTreeMap<Name, usize>,
}

impl Lines {
    /// How many calls are unfinished.
    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// How many calls of a system are unfinished.
    pub(crate) fn unfinished(&self, system: &Name) -> usize {
        self.unfinished.get(system).copied().unwrap_or(0)
    }

    /// Whether any system has so many.
    pub(crate) fn is_crowded(&self, share: usize) -> bool {
        self.unfinished.values().any(|count| *count >= share)
    }

    /// The next moment at which a call becomes due.
    pub(crate) fn wake(&self) -> Option<Time> {
        self.timed.first().map(|(due, _)| *due)
    }

    /// When a call is made that is the last of its lane: not before the others, also where the clock was set back.
    pub(crate) fn last_made(&self, lane: Option<&Lane>, now: Time) -> Time {
        let last = lane.and_then(|lane| self.lanes.get(lane)).and_then(|line| line.places.last());
        last.map_or(now, |last| last.created.max(now))
    }

    /// A call joins: it is due at `due`, at this system.
    pub(crate) fn join(&mut self, place: Place, when: When, lane: Option<&Lane>, system: Name, now: Time) {
        self.leave(place.id, now);
        let When { due, floor } = when;
        let standing = Standing::Behind;
        *self.unfinished.entry(system.clone()).or_insert(0) += 1;
        let waiter = Waiter { place, due, floor, lane: lane.cloned(), system, standing, queued: now, gate: None };
        self.waiters.insert(place.id, waiter);
        if let Some(lane) = lane {
            self.lanes.entry(lane.clone()).or_default().places.insert(place);
        }
        self.call_forward(place.id, lane, now);
    }

    /// An attempt of a call is under way, at the system it is made at.
    pub(crate) fn fly(&mut self, id: CallId, system: &Name) {
        self.step_back(id);
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        waiter.standing = Standing::Flying;
        let before = std::mem::replace(&mut waiter.system, system.clone());
        count(&mut self.unfinished, &before, system);
        *self.flying.entry(system.clone()).or_insert(0) += 1;
        let line = waiter.lane.as_ref().and_then(|lane| self.lanes.get_mut(lane));
        if let Some(before) = line.and_then(|line| line.front.replace(id))
            && !self.flies(before)
        {
            self.step_back(before);
        }
    }

    /// A call is due again, at this system.
    pub(crate) fn again(&mut self, id: CallId, when: When, system: Name, now: Time) {
        self.step_back(id);
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        (waiter.due, waiter.floor) = (when.due, when.floor);
        count(&mut self.unfinished, &waiter.system, &system);
        waiter.system = system;
        let lane = waiter.lane.clone();
        self.call_forward(id, lane.as_ref(), now);
    }

    /// A call is finished, or gone: the next of its lane comes forward.
    pub(crate) fn leave(&mut self, id: CallId, now: Time) {
        self.step_back(id);
        let Some(waiter) = self.waiters.remove(&id) else { return };
        if let Some(count) = self.unfinished.get_mut(&waiter.system) {
            *count = count.saturating_sub(1);
        }
        let Some(lane) = waiter.lane else { return };
        if let Some(line) = self.lanes.get_mut(&lane) {
            line.places.remove(&waiter.place);
            line.front = line.front.filter(|front| *front != id);
            match line.places.first().map(|first| first.id) {
                Some(first) => self.call_forward(first, Some(&lane), now),
                None => {
                    self.lanes.remove(&lane);
                }
            }
        }
    }

    /// Calls whose time has come join the queue of their system.
    pub(crate) fn ripen(&mut self, now: Time) {
        while let Some((due, id)) = self.timed.first().copied()
            && due <= now
        {
            self.timed.pop_first();
            self.unhold(id);
            if let Some(waiter) = self.waiters.get_mut(&id) {
                // Held until then, it is looked at again; otherwise it has waited since its time came.
                waiter.queued = if waiter.standing == Standing::Held { now } else { waiter.due };
                waiter.standing = Standing::Queued;
                self.queued.entry(waiter.system.clone()).or_default().insert(waiter.place);
            }
        }
    }

    /// A breaker keeps a call away, until this moment at the latest.
    pub(crate) fn hold(&mut self, id: CallId, gate: Gate, until: Time) {
        self.step_back(id);
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        waiter.standing = Standing::Held;
        self.held.entry(gate.clone()).or_default().calls.insert(waiter.place);
        waiter.gate = Some((gate, until));
        self.timed.insert((until, id));
    }

    /// The breakers that keep calls away.
    pub(crate) fn gates(&self) -> impl Iterator<Item = &Gate> {
        self.held.iter().filter(|(_, away)| !away.calls.is_empty()).map(|(gate, _)| gate)
    }

    /// How many calls wait for a place at a system, and how many its breakers keep away.
    pub(crate) fn standing(&self, system: &Name) -> (usize, usize) {
        let held = self.held.iter().filter(|(gate, _)| gate.system == *system).map(|(_, away)| away.calls.len());
        (self.queued.get(system).map_or(0, BTreeSet::len), held.sum())
    }

    /// Lets one of the calls that a breaker keeps away join the queue, to try the system: the first behind the one that
    /// tried it last, so that one that always fails keeps nobody from it.
    pub(crate) fn call_probe(&mut self, gate: &Gate, now: Time) {
        let Some(away) = self.held.get_mut(gate) else { return };
        let behind = away
            .tried
            .and_then(|tried| away.calls.range((std::ops::Bound::Excluded(tried), std::ops::Bound::Unbounded)).next());
        let Some(next) = behind.or_else(|| away.calls.first()).copied() else { return };
        away.tried = Some(next);
        self.release(next.id, now);
    }

    /// A breaker keeps nobody away any more; with `all` those that others keep away are looked at again as well.
    pub(crate) fn release_from(&mut self, gate: &Gate, all: bool, now: Time) {
        let of = self.held.iter().filter(|(of, _)| all || *of == gate);
        let released: Vec<CallId> = of.flat_map(|(_, away)| away.calls.iter().map(|place| place.id)).collect();
        for id in released {
            self.release(id, now);
        }
        self.held.retain(|of, _| !all && of != gate);
    }

    /// The pauses of calls at a system are over: its breaker decides from here on.
    pub(crate) fn hasten(&mut self, system: &Name, now: Time) {
        let waits = |waiter: &&Waiter| waiter.standing == Standing::Timed && waiter.system == *system;
        let all: Vec<CallId> = self.waiters.values().filter(waits).map(|waiter| waiter.place.id).collect();
        for id in all {
            self.step_back(id);
            if let Some(waiter) = self.waiters.get_mut(&id) {
                waiter.due = waiter.floor.map_or(now, |floor| floor.max(now)).min(waiter.due);
            }
            self.step_forward(id, now);
        }
    }

    fn release(&mut self, id: CallId, now: Time) {
        self.step_back(id);
        if let Some(waiter) = self.waiters.get_mut(&id) {
            waiter.due = now;
        }
        self.step_forward(id, now);
    }

    /// Since when a call waits for its place.
    pub(crate) fn queued_since(&self, id: CallId) -> Option<Time> {
        self.waiters.get(&id).map(|waiter| waiter.queued)
    }

    fn unhold(&mut self, id: CallId) {
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        let Some((gate, until)) = waiter.gate.take() else { return };
        self.timed.remove(&(until, id));
        if let Some(away) = self.held.get_mut(&gate) {
            away.calls.remove(&waiter.place);
        }
    }

    /// The systems for which calls wait.
    pub(crate) fn systems(&self) -> Vec<Name> {
        self.queued.iter().filter(|(_, line)| !line.is_empty()).map(|(name, _)| name.clone()).collect()
    }

    /// Whether any call that is not finished is to go to a system, or is there.
    pub(crate) fn is_awaited(&self, system: &Name) -> bool {
        self.under_way(system) > 0 || self.waiters.values().any(|waiter| waiter.system == *system)
    }

    /// Attempts under way at a system.
    pub(crate) fn under_way(&self, system: &Name) -> u32 {
        self.flying.get(system).copied().unwrap_or(0)
    }

    /// The call that is next at a system.
    pub(crate) fn next(&self, system: &Name) -> Option<CallId> {
        self.queued.get(system)?.first().map(|place| place.id)
    }

    fn flies(&self, id: CallId) -> bool {
        self.waiters.get(&id).is_some_and(|waiter| waiter.standing == Standing::Flying)
    }

    /// A call that stands behind comes forward; where it has a lane, whoever is the first there, unless one of them is
    /// under way.
    fn call_forward(&mut self, id: CallId, lane: Option<&Lane>, now: Time) {
        let Some(all) = lane.and_then(|lane| self.lanes.get(lane)) else { return self.step_forward(id, now) };
        let (front, first) = (all.front, all.places.first().map_or(id, |first| first.id));
        if front.is_some_and(|front| self.flies(front)) {
            return;
        }
        if let Some(front) = front.filter(|front| *front != first) {
            self.step_back(front);
        }
        if let Some(all) = lane.and_then(|lane| self.lanes.get_mut(lane)) {
            all.front = Some(first);
        }
        if self.waiters.get(&first).is_some_and(|waiter| waiter.standing == Standing::Behind) {
            self.step_forward(first, now);
        }
    }

    fn step_forward(&mut self, id: CallId, now: Time) {
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        if waiter.due <= now {
            (waiter.standing, waiter.queued) = (Standing::Queued, now);
            self.queued.entry(waiter.system.clone()).or_default().insert(waiter.place);
        } else {
            waiter.standing = Standing::Timed;
            self.timed.insert((waiter.due, id));
        }
    }

    fn step_back(&mut self, id: CallId) {
        self.unhold(id);
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        match waiter.standing {
            // What a breaker kept away is so no more.
            Standing::Behind | Standing::Held => {}
            Standing::Timed => {
                self.timed.remove(&(waiter.due, id));
            }
            Standing::Queued => {
                if let Some(line) = self.queued.get_mut(&waiter.system) {
                    line.remove(&waiter.place);
                }
            }
            Standing::Flying => {
                if let Some(count) = self.flying.get_mut(&waiter.system) {
                    *count = count.saturating_sub(1);
                }
            }
        }
        waiter.standing = Standing::Behind;
    }
}

/// A call is one of another system from now on.
fn count(unfinished: &mut BTreeMap<Name, usize>, before: &Name, after: &Name) {
    if before != after {
        if let Some(count) = unfinished.get_mut(before) {
            *count = count.saturating_sub(1);
        }
        *unfinished.entry(after.clone()).or_insert(0) += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn place(number: u64) -> Place {
        Place { created: Time(1), number, id: CallId::derived(&[&number.to_le_bytes()]) }
    }

    fn at(due: Time) -> When {
        When { due, floor: None }
    }

    fn lane(key: &str) -> Lane {
        (name("eam"), key.to_owned())
    }

    #[test]
    fn a_key_keeps_its_order_while_others_pass() {
        let (mut lines, now) = (Lines::default(), Time(10));
        lines.join(place(1), at(now), Some(&lane("a")), name("eam"), now);
        lines.join(place(2), at(now), Some(&lane("a")), name("eam"), now);
        lines.join(place(3), at(now), Some(&lane("b")), name("eam"), now);
        assert_eq!(lines.next(&name("eam")), Some(place(1).id));
        lines.fly(place(1).id, &name("eam"));
        assert_eq!(lines.under_way(&name("eam")), 1);
        assert_eq!(lines.next(&name("eam")), Some(place(3).id), "the second of the key waits, another key passes");
        lines.again(place(1).id, at(Time(100)), name("eam"), now);
        assert_eq!(lines.next(&name("eam")), Some(place(3).id));
        assert_eq!(lines.wake(), Some(Time(100)));
        lines.ripen(Time(100));
        assert_eq!(lines.next(&name("eam")), Some(place(1).id), "in the order in which they were made");
        lines.leave(place(1).id, Time(100));
        assert_eq!(lines.next(&name("eam")), Some(place(2).id));
        assert_eq!((lines.under_way(&name("eam")), lines.len()), (0, 2));
        lines.fly(place(2).id, &name("erp"));
        assert_eq!((lines.unfinished(&name("eam")), lines.unfinished(&name("erp"))), (1, 1), "where it is asked");
        lines.leave(place(2).id, now);
        assert_eq!((lines.unfinished(&name("erp")), lines.is_crowded(1), lines.is_crowded(2)), (0, true, false));
    }

    #[test]
    fn an_older_call_that_comes_back_goes_first_but_not_over_one_under_way() {
        let (mut lines, now) = (Lines::default(), Time(10));
        lines.join(place(2), at(now), Some(&lane("a")), name("eam"), now);
        lines.join(place(1), at(now), Some(&lane("a")), name("eam"), now);
        assert_eq!(lines.next(&name("eam")), Some(place(1).id));
        lines.fly(place(1).id, &name("eam"));
        lines.join(place(0), at(now), Some(&lane("a")), name("eam"), now);
        assert_eq!(lines.next(&name("eam")), None);
        lines.leave(place(1).id, now);
        assert_eq!(lines.next(&name("eam")), Some(place(0).id));
    }

    fn gate() -> Gate {
        Gate { system: name("eam"), operation: None }
    }

    #[test]
    fn what_a_breaker_keeps_away_is_called_one_by_one_and_none_twice_before_the_others() {
        let (mut lines, now) = (Lines::default(), Time(10));
        for (number, key) in [(1, "a"), (2, "a"), (3, "b"), (4, "c")] {
            lines.join(place(number), at(now), Some(&lane(key)), name("eam"), now);
        }
        while let Some(id) = lines.next(&name("eam")) {
            lines.hold(id, gate(), Time(1_000));
        }
        assert_eq!(lines.standing(&name("eam")), (0, 3), "the second of a key stands behind the first");
        let mut tried = Vec::new();
        for _ in 0..4 {
            lines.call_probe(&gate(), now);
            let id = lines.next(&name("eam")).unwrap();
            lines.fly(id, &name("eam"));
            lines.again(id, at(now), name("eam"), now);
            lines.hold(id, gate(), Time(1_000));
            tried.push(id);
        }
        assert_eq!(tried, [1, 3, 4, 1].map(|number| place(number).id));
        let other = Gate { operation: Some(name("post")), ..gate() };
        lines.release_from(&other, false, now);
        assert_eq!(lines.standing(&name("eam")), (0, 3), "that of another breaker keeps them where they are");
        lines.release_from(&gate(), false, now);
        assert_eq!((lines.next(&name("eam")), lines.standing(&name("eam"))), (Some(place(1).id), (3, 0)));
        assert_eq!(lines.wake(), None, "nobody waits for a time any more");
    }

    #[test]
    fn a_held_call_is_looked_at_again_when_its_time_is_up() {
        let (mut lines, now) = (Lines::default(), Time(10));
        lines.join(place(1), at(now), None, name("eam"), now);
        lines.hold(place(1).id, gate(), Time(100));
        lines.ripen(Time(99));
        assert_eq!((lines.next(&name("eam")), lines.wake()), (None, Some(Time(100))));
        lines.ripen(Time(100));
        assert_eq!((lines.next(&name("eam")), lines.standing(&name("eam"))), (Some(place(1).id), (1, 0)));
    }

    #[test]
    fn pauses_end_when_a_breaker_decides_but_not_before_the_floor() {
        let (mut lines, now) = (Lines::default(), Time(10));
        lines.join(place(1), at(Time(100)), None, name("eam"), now);
        lines.join(place(2), When { due: Time(100), floor: Some(Time(50)) }, None, name("eam"), now);
        lines.join(place(3), at(Time(100)), None, name("erp"), now);
        lines.hasten(&name("eam"), now);
        assert_eq!((lines.next(&name("eam")), lines.next(&name("erp"))), (Some(place(1).id), None));
        assert_eq!(lines.wake(), Some(Time(50)));
    }

    #[test]
    fn what_a_breaker_kept_away_behind_an_older_call_waits_for_that_one_alone() {
        let (mut lines, now) = (Lines::default(), Time(10));
        lines.join(place(2), at(now), Some(&lane("a")), name("eam"), now);
        lines.hold(place(2).id, gate(), Time(1_000_000));
        lines.join(place(1), at(now), Some(&lane("a")), name("eam"), now);
        lines.release_from(&gate(), false, now);
        lines.fly(place(1).id, &name("eam"));
        lines.leave(place(1).id, now);
        assert_eq!(lines.next(&name("eam")), Some(place(2).id), "its own time came long ago");
        assert_eq!(lines.wake(), None);
    }

    /// What happens to lines, by chance.
    #[derive(Debug, Clone)]
    enum Step {
        Join { number: u64, lane: Option<u8>, pause: i64 },
        Next { hold: Option<i64> },
        End { nth: usize, pause: Option<i64>, elsewhere: bool },
        Leave { nth: usize },
        Probe,
        Release { all: bool },
        Hasten,
        Pass(i64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0_u64..40, prop::option::of(0_u8..3), 0_i64..50)
                .prop_map(|(number, lane, pause)| Step::Join { number, lane, pause }),
            6 => prop::option::of(1_i64..1_000).prop_map(|hold| Step::Next { hold }),
            4 => (any::<usize>(), prop::option::of(0_i64..50), any::<bool>())
                .prop_map(|(nth, pause, elsewhere)| Step::End { nth, pause, elsewhere }),
            1 => any::<usize>().prop_map(|nth| Step::Leave { nth }),
            1 => Just(Step::Probe),
            1 => any::<bool>().prop_map(|all| Step::Release { all }),
            1 => Just(Step::Hasten),
            3 => (0_i64..40).prop_map(Step::Pass),
        ];
        prop::collection::vec(step, 1..120)
    }

    /// Who stands where, looked at from all sides.
    fn assert_in_order(lines: &Lines, asked: &BTreeMap<CallId, Time>, now: Time) {
        let stands = |id: CallId| lines.waiters[&id].standing;
        for (lane, line) in &lines.lanes {
            let flies = line.places.iter().find(|place| stands(place.id) == Standing::Flying);
            let forward = flies.or(line.places.first()).expect("a line without calls is none");
            assert_eq!(line.front, Some(forward.id));
            for place in &line.places {
                let is_behind = stands(place.id) == Standing::Behind;
                assert_eq!(is_behind, place != forward, "{place:?} of {lane:?}: {:?}", lines.waiters[&place.id]);
            }
        }
        let (mut timed, mut queued, mut held, mut flying) = (BTreeSet::new(), 0, 0, BTreeMap::new());
        for (id, waiter) in &lines.waiters {
            assert_eq!(waiter.gate.is_some(), waiter.standing == Standing::Held, "{waiter:?}");
            match waiter.standing {
                Standing::Behind => assert!(waiter.lane.is_some(), "behind whom? {waiter:?}"),
                Standing::Timed => {
                    assert!(waiter.due > now, "its time has come: {waiter:?} at {now:?}");
                    assert!(waiter.due <= asked[id], "longer than it was told to: {waiter:?}, {:?}", asked[id]);
                    timed.insert((waiter.due, *id));
                }
                Standing::Queued => {
                    assert!(lines.queued[&waiter.system].contains(&waiter.place), "{waiter:?}");
                    queued += 1;
                }
                Standing::Held => {
                    let (gate, until) = waiter.gate.as_ref().unwrap();
                    assert!(lines.held[gate].calls.contains(&waiter.place), "{waiter:?}");
                    timed.insert((*until, *id));
                    held += 1;
                }
                Standing::Flying => *flying.entry(waiter.system.clone()).or_insert(0) += 1,
            }
        }
        assert_eq!(lines.timed, timed);
        assert_eq!(lines.queued.values().map(BTreeSet::len).sum::<usize>(), queued);
        assert_eq!(lines.held.values().map(|away| away.calls.len()).sum::<usize>(), held);
        for (system, count) in &lines.flying {
            assert_eq!(*count, flying.get(system).copied().unwrap_or(0), "{system}");
        }
    }

    proptest! {
        #[test]
        fn nobody_waits_for_anything_but_the_call_before_its_time_a_place_or_a_breaker(steps in steps()) {
            let (mut lines, mut now, mut asked) = (Lines::default(), Time(1_000), BTreeMap::new());
            for step in steps {
                let flying: Vec<CallId> = lines
                    .waiters
                    .values()
                    .filter(|waiter| waiter.standing == Standing::Flying)
                    .map(|waiter| waiter.place.id)
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect();
                let after = |pause: i64| Time(now.0 + pause);
                match step {
                    Step::Join { number, lane: key, pause } => {
                        // What is under way is never made anew.
                        if !flying.contains(&place(number).id) {
                            let lane = key.map(|key| lane(&key.to_string()));
                            asked.insert(place(number).id, after(pause));
                            lines.join(place(number), at(after(pause)), lane.as_ref(), name("eam"), now);
                        }
                    }
                    Step::Next { hold } => {
                        if let Some(id) = lines.next(&name("eam")) {
                            match hold {
                                Some(pause) => lines.hold(id, gate(), after(pause)),
                                None => lines.fly(id, &name("eam")),
                            }
                        }
                    }
                    Step::End { nth, pause, elsewhere } => {
                        if let Some(id) = flying.get(nth % flying.len().max(1)).copied() {
                            match pause {
                                Some(pause) => {
                                    asked.insert(id, after(pause));
                                    let system = name(if elsewhere { "erp" } else { "eam" });
                                    lines.again(id, at(after(pause)), system, now);
                                }
                                None => lines.leave(id, now),
                            }
                        }
                    }
                    Step::Leave { nth } => {
                        let all: BTreeSet<CallId> = lines.waiters.keys().copied().collect();
                        if let Some(id) = all.iter().nth(nth % all.len().max(1)) {
                            lines.leave(*id, now);
                        }
                    }
                    Step::Probe => lines.call_probe(&gate(), now),
                    Step::Release { all } => lines.release_from(&gate(), all, now),
                    Step::Hasten => lines.hasten(&name("eam"), now),
                    Step::Pass(span) => now = after(span),
                }
                lines.ripen(now);
                assert_in_order(&lines, &asked, now);
            }
        }
    }
}
