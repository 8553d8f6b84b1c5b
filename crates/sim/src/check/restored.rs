//! What a restore promises, and nothing more: no place means two things, the lost time is a gap, and an event that
//! comes again is the one it was.

use super::Told;
use crate::{
    floor::check::Held,
    world::{Broken, World},
};
use andon_model::span::Span;

/// Entries that came after a restore lie under its epoch or a later one, and each epoch was used by one timeline.
pub(super) fn no_place_means_two_things(world: &World) -> Result<(), Broken> {
    let mut last = 0;
    for batch in &world.archive {
        let epoch = batch.first.epoch;
        let known = epoch == 1 || world.lost.epochs.contains(&epoch);
        if epoch < last || !known {
            let text = format!("a batch at {} after epoch {last}; the restores: {:?}", batch.first, world.lost.epochs);
            return Err(Broken::new("restored", text));
        }
        last = epoch;
    }
    let end = world.store.log_end().epoch;
    let newest = world.lost.epochs.last().copied().unwrap_or(1);
    if end != newest {
        return Err(Broken::new("restored", format!("the log ends in epoch {end}, the last restore began {newest}")));
    }
    Ok(())
}

/// Each restore that the folder has seen has left its source a gap. By a clock that was set back two of them may be the
/// same.
pub(super) fn each_is_a_gap(world: &World, held: &Held) -> Result<(), Broken> {
    let (gaps, restores) = (&held.restored, world.lost.epochs.len());
    let least = if world.moved > Span::ZERO { restores.min(1) } else { restores };
    if (least..=restores).contains(&gaps.len()) {
        return Ok(());
    }
    Err(Broken::new("restored", format!("{restores} restores, and these gaps tell of them: {gaps:?}")))
}

/// An event that a lost time had told and that is told again is about the same; how many there are.
pub(super) fn events_come_again(world: &World, told: &[Told]) -> Result<u64, Broken> {
    let mut again = 0;
    for Told { event, .. } in told {
        let Some(before) = world.lost.events.get(&event.id) else { continue };
        let same = (&before.source, &before.kind, &before.subject, before.time, before.correlation)
            == (&event.source, &event.kind, &event.subject, event.time, event.correlation);
        if !same {
            let (one, other) = (before.to_json(None), event.to_json(None));
            return Err(Broken::new("restored", format!("the id of {one} in a lost time is now that of {other}")));
        }
        again += 1;
    }
    Ok(again)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check,
        plan::{Action, Plan},
        world::intake,
    };

    /// A world that was restored, that has stored something since, and of which this holds.
    fn restored(holds: impl Fn(&World) -> bool) -> World {
        for seed in 0..200 {
            let plan = Plan::of(seed).with_only(&[Action::BackUp, Action::Restore]);
            if !plan.actions.iter().any(|planned| planned.action == Action::Restore) {
                continue;
            }
            let mut world = World::new(&plan).unwrap();
            plan.actions.iter().try_for_each(|planned| world.act(planned)).unwrap();
            if world.lost.epochs.is_empty() || !world.office.breaches.is_empty() {
                continue;
            }
            world.finish(&plan).unwrap();
            if holds(&world) {
                return world;
            }
        }
        panic!("it happens nowhere");
    }

    #[test]
    fn a_place_that_means_two_things_is_found() {
        let mut world = restored(|_| true);
        no_place_means_two_things(&world).unwrap();
        let epochs = std::mem::take(&mut world.lost.epochs);
        assert_eq!(no_place_means_two_things(&world).unwrap_err().check, "restored");
        world.lost.epochs = epochs;
        // Something was stored under the epoch of the lost time.
        let first = world.archive.first().unwrap().clone();
        world.archive.push(first);
        assert_eq!(no_place_means_two_things(&world).unwrap_err().check, "restored");
    }

    #[test]
    fn a_restore_without_a_gap_is_found() {
        let world = restored(|_| true);
        let mut held = Held::read(&world.store, &intake::source_name()).unwrap();
        each_is_a_gap(&world, &held).unwrap();
        held.restored.pop();
        assert_eq!(each_is_a_gap(&world, &held).unwrap_err().check, "restored");
    }

    #[test]
    fn an_id_that_is_given_to_another_event_is_found() {
        let again = |world: &World| events_come_again(world, &check::events(&world.store).unwrap()).unwrap() > 0;
        let mut world = restored(again);
        world.lost.events.values_mut().for_each(|event| event.subject = "press-99".to_owned());
        let told = check::events(&world.store).unwrap();
        assert_eq!(events_come_again(&world, &told).unwrap_err().check, "restored");
    }

    #[test]
    fn what_is_done_twice_under_one_key_is_found_whoever_has_acted_in_a_lost_time() {
        let mut world = restored(|world| !world.office.effects().is_empty());
        let acted: Vec<_> = check::events(&world.store).unwrap().into_iter().map(|told| told.event).collect();
        for event in acted {
            world.lost.acted.insert(event.id);
            world.lost.events.insert(event.id, event);
        }
        assert!(world.office.repeat_first());
        assert_eq!(check::at_rest(&mut world).unwrap_err().check, "doubled");
    }
}
