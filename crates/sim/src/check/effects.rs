//! What was done for each event at the offices, and what people have been told where it was not.

use super::{Told, set_aside};
use crate::{
    office::Effect,
    world::{Broken, World, fault, people},
};
use andon_model::{EventId, Reference, Time};
use andon_store::{
    Query, RunRow, Store,
    rows::{CallRow, CallState, RunState},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// events = matching + others + waiting, and matched = runs + what became of the others: from rows, whatever was
/// killed.
pub(super) fn every_event_has_its_runs(store: &Store) -> Result<(), Broken> {
    let passed = store.passed().map_err(fault)?;
    let row = |of: &str| passed.cursors.get(&format!("workflows{of}")).copied().unwrap_or(0);
    let told = row("/wanted") + row("/unwanted") + row("/aside") + passed.last.saturating_sub(row(""));
    let ended = row("/already") + row("/together") + row("/refused") + row("/forgotten") + passed.gathered;
    let (events, runs) = (passed.last - row("/from"), passed.runs - row("/before"));
    let calls: u64 = passed.calls.values().sum();
    if events == told && row("/matched") == runs + ended && passed.made == calls {
        return Ok(());
    }
    Err(Broken::new("seams", format!("what matched and was made is not what is there: {passed:?}")))
}

/// Every activation has one run. Each of its calls that is delivered has its effect, each that is refused or skipped
/// has none, and each that is neither has an exception with an owner. No event has two effects of a kind, except at an
/// office that breaks what is assumed of it.
pub(super) fn of_each_event(world: &mut World, told: &[Told]) -> Result<(), Broken> {
    let mut by_event: BTreeMap<(&str, &str), Vec<&Effect>> = BTreeMap::new();
    for effect in world.office.effects() {
        by_event.entry((effect.event.as_str(), effect.capability)).or_default().push(effect);
    }
    let (mut breaches, mut unknown) = (0, 0);
    for ((event, capability), effects) in &by_event {
        let known = told.iter().any(|told| told.is_activation() && told.event.id.to_string() == *event);
        if !known && !lost(world, event) {
            return Err(Broken::new("effects", format!("without an activation: {event} {effects:?}")));
        }
        if effects.len() > 1 {
            if effects.iter().any(|effect| world.office.breaches.contains_key(effect.system.as_str())) {
                breaches += 1;
            } else if nobody_can_know(world, event, capability, effects) {
                unknown += 1;
            } else {
                return Err(doubled(world, told, event, capability, effects));
            }
        }
    }
    for told in told.iter().filter(|told| told.is_activation()) {
        of_activation(world, told)?;
    }
    let counted = world.seen.of("breach: doubled");
    world.seen.add("breach: doubled", breaches - counted.min(breaches));
    let counted = world.seen.of("restored: doubled by what nobody can know");
    world.seen.add("restored: doubled by what nobody can know", unknown - counted.min(unknown));
    Ok(())
}

/// Whether a lost time has told this event.
fn lost(world: &World, event: &str) -> bool {
    EventId::parse(event).is_ok_and(|id| world.lost.events.contains_key(&id))
}

/// Whether effects of an event are there twice by what only a lost time knew: a person had edited the call or led it
/// elsewhere, or an edit of the project had. What has the same key at the same system is never excused.
fn nobody_can_know(world: &World, event: &str, capability: &str, effects: &[&Effect]) -> bool {
    let Ok(id) = EventId::parse(event) else { return false };
    let places: BTreeSet<(&str, &Reference)> =
        effects.iter().map(|effect| (effect.system.as_str(), &effect.reference)).collect();
    let systems: BTreeSet<&str> = effects.iter().map(|effect| effect.system.as_str()).collect();
    let by_edit = systems.len() == effects.len() && world.lost.has_moved(capability, &world.variants);
    let by_person = places.len() == effects.len() && world.lost.acted.contains(&id);
    world.lost.events.contains_key(&id) && (by_person || by_edit)
}

fn doubled(world: &World, told: &[Told], event: &str, capability: &str, effects: &[&Effect]) -> Broken {
    let told = told.iter().find(|told| told.event.id.to_string() == event);
    let runs = told.and_then(|told| world.store.runs_of_event(told.event.id).ok()).unwrap_or_default();
    let text = attempts(world, &runs).unwrap_or_default();
    Broken::new("doubled", format!("{event} has {} times {capability}: {effects:#?}\n{text}", effects.len()))
}

fn of_activation(world: &World, told: &Told) -> Result<(), Broken> {
    let runs = world.store.runs_of_event(told.event.id).map_err(fault)?;
    let wrong = |what: &str| {
        let text = attempts(world, &runs).unwrap_or_default();
        let states: Vec<&str> = runs.iter().map(|run| run.state.word()).collect();
        Broken::new("runs", format!("the activation {} ({states:?}): {what}\n{text}", told.event.id))
    };
    let run = match runs.as_slice() {
        [run] => run,
        [] if is_passed_over(world, told.event.id)? => return Ok(()),
        _ => return Err(wrong("it has not one run")),
    };
    let exceptions = world.store.exceptions_of_run(run.id).map_err(fault)?;
    let open = exceptions.iter().any(|row| !row.state.has_ended() && !row.owner.as_str().is_empty());
    let touched = exceptions.iter().any(|row| world.touched.exceptions.contains(&row.id));
    let told_of = match run.state {
        RunState::Completed => true,
        RunState::Faulted => open || touched,
        RunState::Cancelled => touched,
        _ => open,
    };
    if !told_of {
        return Err(wrong("nobody was told, and nobody acted"));
    }
    let moved = |capability: &str| world.lost.has_moved(capability, &world.variants);
    for call in world.store.calls_of(run.id).map_err(fault)? {
        let effects = world.office.effects().iter().filter(|effect| effect.reference == call.reference).count();
        let given_up = people::is_touched(world, call.id)?;
        let edited = exceptions.iter().any(|row| world.touched.exceptions.contains(&row.id));
        let fits = match call.state {
            CallState::Delivered => effects > 0,
            // Somebody may have had it made in a lost time, or that time knew nothing of the refusal.
            CallState::Refused => {
                effects == 0 || world.lost.acted.contains(&told.event.id) || world.lost.has_sent(&call.reference)
            }
            // It may have gone by a route, in a lost time, that the folder does not know, and that has become none.
            CallState::Skipped => effects == 0 || given_up || edited || moved(&call.capability),
            CallState::Parked => open || given_up,
            CallState::Waiting | CallState::InFlight => open,
        };
        if !fits && world.office.breaches.is_empty() {
            return Err(wrong(&format!("{} is {} and has {effects} effects", call.reference, call.state.word())));
        }
    }
    Ok(())
}

/// Whether an event was passed over, and its owner was told.
fn is_passed_over(world: &World, event: EventId) -> Result<bool, Broken> {
    Ok(set_aside(&world.store, &event.to_string())?.is_some_and(|row| {
        let is_cared_for = !row.state.has_ended() || world.touched.exceptions.contains(&row.id);
        is_cared_for && !row.owner.as_str().is_empty()
    }))
}

/// When people have dealt with everything no run waits any more, and what has not completed was given up by a person.
pub(super) fn all_has_ended(world: &World, told: &[Told]) -> Result<(), Broken> {
    for told in told.iter().filter(|told| told.is_activation()) {
        for run in world.store.runs_of_event(told.event.id).map_err(fault)? {
            if !run.state.has_ended() {
                let text = attempts(world, std::slice::from_ref(&run)).unwrap_or_default();
                return Err(Broken::new("runs", format!("{} is {} for ever\n{text}", run.id, run.state.word())));
            }
        }
    }
    Ok(())
}

/// A call whose run nobody had to deal with.
struct Made {
    /// How many calls were made before it.
    after: usize,
    /// When it was made, by the clock of the machine.
    at: Time,
    /// The order number of its event.
    event: u64,
    /// Whether its run has made none before.
    is_first: bool,
}

impl Made {
    /// Whether it goes before another call of its line: those that were made at one moment go by their events. First
    /// calls are made in the order of the events.
    fn goes_before(&self, other: &Self) -> bool {
        let was_made_before =
            if self.is_first && other.is_first { self.event < other.event } else { self.after < other.after };
        was_made_before && !(self.at == other.at && other.event < self.event)
    }
}

/// For each asset, what a system did of one kind it did in the order in which the calls were made; what people had to
/// deal with has no order any more.
pub(super) fn in_order(world: &World, told: &[Told]) -> Result<(), Broken> {
    if !world.office.breaches.is_empty() {
        return Ok(());
    }
    let made = made(world, told)?;
    let mut before = BTreeMap::<_, Vec<(&Made, &Effect)>>::new();
    for effect in world.office.effects() {
        let Some((asset, made)) = made.get(effect.reference.as_str()) else { continue };
        // What a lost time has sent was done in the order of that time, and at another system where routes have moved.
        if world.lost.has_sent(&effect.reference) || world.lost.has_moved(effect.capability, &world.variants) {
            continue;
        }
        let before = before.entry((effect.system.as_str(), effect.capability, *asset)).or_default();
        if let Some((_, other)) = before.iter().find(|(other, _)| made.goes_before(other)) {
            return Err(Broken::new("order", format!("{other:?} was done before {effect:?}")));
        }
        before.push((made, effect));
    }
    Ok(())
}

/// By its reference each call of a run that nobody had to deal with, with the asset that its event is about.
fn made<'t>(world: &World, told: &'t [Told]) -> Result<BTreeMap<String, (&'t str, Made)>, Broken> {
    let mut events = BTreeMap::new();
    // What a lost time has told and made has no order any more either.
    let kept = |told: &&Told| told.is_activation() && !world.lost.told.contains(&told.event.id);
    for told in told.iter().filter(kept) {
        for run in world.store.runs_of_event(told.event.id).map_err(fault)? {
            if world.store.exceptions_of_run(run.id).map_err(fault)?.is_empty() {
                events.insert(run.id, told);
            }
        }
    }
    let (mut all, mut after, mut query) = (BTreeMap::new(), 0, Query { ascending: true, ..Query::default() });
    loop {
        let page = world.store.list("calls", &query).map_err(fault)?;
        for row in page.rows {
            let call: CallRow = serde_json::from_value(row).map_err(fault)?;
            if let Some(told) = events.get(&call.run) {
                let is_first = call.pointer.starts_with("/do/0/");
                let made = Made { after, at: call.created, event: told.sequence, is_first };
                all.insert(call.reference.to_string(), (told.event.subject.as_str(), made));
            }
            after += 1;
        }
        query.after = page.next;
        if query.after.is_none() {
            return Ok(all);
        }
    }
}

/// What was tried for these runs, for whoever looks for the mistake.
pub(super) fn attempts(world: &World, runs: &[RunRow]) -> Result<String, Broken> {
    let mut text = String::new();
    for run in runs {
        let _ = writeln!(text, "run {} of {} is {}: {:?}", run.id, run.workflow, run.state.word(), run.error);
        let calls: Vec<CallRow> = world.store.calls_of(run.id).map_err(fault)?;
        for call in calls {
            let (created, state) = (call.created, call.state.word());
            let _ = writeln!(text, "  call {} of {} made at {created} is {state}", call.reference, call.capability);
            for attempt in world.store.attempts(call.id).map_err(fault)? {
                let said = attempt.outcome.as_ref().map(|o| format!("{} {} {}", o.class, o.detail, o.output));
                let (number, step, to) = (attempt.number, attempt.step, &attempt.system);
                let _ =
                    writeln!(text, "    {number} {step:?} {to} {} to {:?}: {said:?}", attempt.started, attempt.ended);
            }
        }
        for row in world.store.exceptions_of_run(run.id).map_err(fault)? {
            let _ = writeln!(text, "  {} is {}: {} {}", row.id, row.state.word(), row.cause, row.detail);
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_calls_go_by_their_events_and_later_ones_by_when_they_were_made() {
        let made = |after, at, event, is_first| Made { after, at: Time(at), event, is_first };
        for (what, one, other, goes) in [
            ("as made", made(1, 10, 1, false), made(2, 20, 2, false), true),
            ("a younger run was quicker", made(1, 10, 2, false), made(2, 20, 1, false), true),
            ("though the clock was set back", made(1, 20, 2, false), made(2, 10, 1, false), true),
            ("at one moment, and the other is older", made(1, 10, 2, false), made(2, 10, 1, false), false),
            ("later", made(2, 20, 1, false), made(1, 10, 2, false), false),
            ("first ones", made(2, 20, 1, true), made(1, 10, 2, true), true),
            ("first ones, later", made(1, 10, 2, true), made(2, 20, 1, true), false),
        ] {
            assert_eq!(one.goes_before(&other), goes, "{what}");
        }
    }
}
