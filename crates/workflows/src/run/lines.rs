//! Who may be attempted next: calls wait in line, per system and, inside it, per key.
//!
//! A *lane* is a key at a system. Only the first call of a lane is attempted; the others stand behind it until it is
//! delivered, refused, skipped or parked. Calls that only read have no lane. What may be attempted waits for its
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
    /// The breaker that keeps it away.
    gate: Option<Gate>,
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

/// All unfinished calls.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    waiters: HashMap<CallId, Waiter>,
    lanes: HashMap<Lane, BTreeSet<Place>>,
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
        let last = lane.and_then(|lane| self.lanes.get(lane)).and_then(BTreeSet::last);
        last.map_or(now, |last| last.created.max(now))
    }

    /// A call joins: it is due at `due`, at this system.
    pub(crate) fn join(&mut self, place: Place, when: When, lane: Option<Lane>, system: Name, now: Time) {
        self.leave(place.id, now);
        let mut first = true;
        if let Some(lane) = &lane {
            let queue = self.lanes.entry(lane.clone()).or_default();
            let before = queue.first().copied();
            queue.insert(place);
            first = queue.first() == Some(&place);
            // An older call that comes back goes before the one that was first, unless that one is under way.
            if first && let Some(before) = before {
                match self.waiters.get(&before.id).map(|waiter| waiter.standing) {
                    Some(Standing::Flying) => first = false,
                    _ => self.step_back(before.id),
                }
            }
        }
        let When { due, floor } = when;
        let standing = Standing::Behind;
        let waiter = Waiter { place, due, floor, lane, system, standing, queued: now, gate: None };
        *self.unfinished.entry(waiter.system.clone()).or_insert(0) += 1;
        self.waiters.insert(place.id, waiter);
        if first {
            self.step_forward(place.id, now);
        }
    }

    /// An attempt of a call is under way, at the system it is made at.
    pub(crate) fn fly(&mut self, id: CallId, system: &Name) {
        self.step_back(id);
        if let Some(waiter) = self.waiters.get_mut(&id) {
            waiter.standing = Standing::Flying;
            let before = std::mem::replace(&mut waiter.system, system.clone());
            count(&mut self.unfinished, &before, system);
            *self.flying.entry(system.clone()).or_insert(0) += 1;
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
        match lane {
            None => self.step_forward(id, now),
            // It stays first, unless an older one came back meanwhile.
            Some(lane) => self.call_first(&lane, now),
        }
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
            line.remove(&waiter.place);
            if line.is_empty() {
                self.lanes.remove(&lane);
            } else {
                self.call_first(&lane, now);
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
        (waiter.standing, waiter.due) = (Standing::Held, until);
        self.held.entry(gate.clone()).or_default().calls.insert(waiter.place);
        waiter.gate = Some(gate);
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
        let Some(gate) = waiter.gate.take() else { return };
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

    fn call_first(&mut self, lane: &Lane, now: Time) {
        let Some(first) = self.lanes.get(lane).and_then(BTreeSet::first).copied() else { return };
        if self.waiters.get(&first.id).is_some_and(|waiter| waiter.standing == Standing::Behind) {
            self.step_forward(first.id, now);
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
            Standing::Behind => {}
            Standing::Timed | Standing::Held => {
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
        lines.join(place(1), at(now), Some(lane("a")), name("eam"), now);
        lines.join(place(2), at(now), Some(lane("a")), name("eam"), now);
        lines.join(place(3), at(now), Some(lane("b")), name("eam"), now);
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
        lines.join(place(2), at(now), Some(lane("a")), name("eam"), now);
        lines.join(place(1), at(now), Some(lane("a")), name("eam"), now);
        assert_eq!(lines.next(&name("eam")), Some(place(1).id));
        lines.fly(place(1).id, &name("eam"));
        lines.join(place(0), at(now), Some(lane("a")), name("eam"), now);
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
            lines.join(place(number), at(now), Some(lane(key)), name("eam"), now);
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
}
