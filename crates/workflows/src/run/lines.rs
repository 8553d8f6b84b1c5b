//! Who may be attempted next: calls wait in line, per system and, inside it, per key.
//!
//! A *lane* is a key at a system. Only the first call of a lane is attempted; the others stand behind it until it is
//! delivered, refused, skipped or parked. Calls that only read have no lane. What may be attempted waits for its
//! time, then for one of its system's places.

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
    /// An attempt is under way.
    Flying,
}

#[derive(Debug)]
struct Waiter {
    place: Place,
    due: Time,
    lane: Option<Lane>,
    system: Name,
    standing: Standing,
}

/// All unfinished calls.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    waiters: HashMap<CallId, Waiter>,
    lanes: HashMap<Lane, BTreeSet<Place>>,
    timed: BTreeSet<(Time, CallId)>,
    queued: BTreeMap<Name, BTreeSet<Place>>,
    flying: BTreeMap<Name, u32>,
}

impl Lines {
    /// How many calls are unfinished.
    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// The next moment at which a call becomes due.
    pub(crate) fn wake(&self) -> Option<Time> {
        self.timed.first().map(|(due, _)| *due)
    }

    /// A call joins: it is due at `due`, at this system.
    pub(crate) fn join(&mut self, place: Place, due: Time, lane: Option<Lane>, system: Name, now: Time) {
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
        self.waiters.insert(place.id, Waiter { place, due, lane, system, standing: Standing::Behind });
        if first {
            self.step_forward(place.id, now);
        }
    }

    /// An attempt of a call is under way, at the system it is made at.
    pub(crate) fn fly(&mut self, id: CallId, system: &Name) {
        self.step_back(id);
        if let Some(waiter) = self.waiters.get_mut(&id) {
            waiter.standing = Standing::Flying;
            waiter.system = system.clone();
            *self.flying.entry(system.clone()).or_insert(0) += 1;
        }
    }

    /// A call is due again, at this system.
    pub(crate) fn again(&mut self, id: CallId, due: Time, system: Name, now: Time) {
        self.step_back(id);
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        waiter.due = due;
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
            if let Some(waiter) = self.waiters.get_mut(&id) {
                waiter.standing = Standing::Queued;
                self.queued.entry(waiter.system.clone()).or_default().insert(waiter.place);
            }
        }
    }

    /// The systems for which calls wait.
    pub(crate) fn systems(&self) -> Vec<Name> {
        self.queued.iter().filter(|(_, line)| !line.is_empty()).map(|(name, _)| name.clone()).collect()
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
            waiter.standing = Standing::Queued;
            self.queued.entry(waiter.system.clone()).or_default().insert(waiter.place);
        } else {
            waiter.standing = Standing::Timed;
            self.timed.insert((waiter.due, id));
        }
    }

    fn step_back(&mut self, id: CallId) {
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        match waiter.standing {
            Standing::Behind => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn place(number: u64) -> Place {
        Place { created: Time(1), number, id: CallId::derived(&[&number.to_le_bytes()]) }
    }

    fn lane(key: &str) -> Lane {
        (name("eam"), key.to_owned())
    }

    #[test]
    fn a_key_keeps_its_order_while_others_pass() {
        let (mut lines, now) = (Lines::default(), Time(10));
        lines.join(place(1), now, Some(lane("a")), name("eam"), now);
        lines.join(place(2), now, Some(lane("a")), name("eam"), now);
        lines.join(place(3), now, Some(lane("b")), name("eam"), now);
        assert_eq!(lines.next(&name("eam")), Some(place(1).id));
        lines.fly(place(1).id, &name("eam"));
        assert_eq!(lines.under_way(&name("eam")), 1);
        assert_eq!(lines.next(&name("eam")), Some(place(3).id), "the second of the key waits, another key passes");
        lines.again(place(1).id, Time(100), name("eam"), now);
        assert_eq!(lines.next(&name("eam")), Some(place(3).id));
        assert_eq!(lines.wake(), Some(Time(100)));
        lines.ripen(Time(100));
        assert_eq!(lines.next(&name("eam")), Some(place(1).id), "in the order in which they were made");
        lines.leave(place(1).id, Time(100));
        assert_eq!(lines.next(&name("eam")), Some(place(2).id));
        assert_eq!((lines.under_way(&name("eam")), lines.len()), (0, 2));
    }

    #[test]
    fn an_older_call_that_comes_back_goes_first_but_not_over_one_under_way() {
        let (mut lines, now) = (Lines::default(), Time(10));
        lines.join(place(2), now, Some(lane("a")), name("eam"), now);
        lines.join(place(1), now, Some(lane("a")), name("eam"), now);
        assert_eq!(lines.next(&name("eam")), Some(place(1).id));
        lines.fly(place(1).id, &name("eam"));
        lines.join(place(0), now, Some(lane("a")), name("eam"), now);
        assert_eq!(lines.next(&name("eam")), None);
        lines.leave(place(1).id, now);
        assert_eq!(lines.next(&name("eam")), Some(place(0).id));
    }
}
