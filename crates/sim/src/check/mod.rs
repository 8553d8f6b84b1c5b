//! What must hold at the end of every world.

mod effects;
mod explained;
mod kept;
mod model;
mod restored;
mod rules;

pub(crate) use kept::every_sample;
pub use rules::Era;

use crate::{
    floor::check::{Held, Terms, all},
    world::{Broken, World, fault, intake},
};
use andon_model::{Entry, Event, ExceptionId, Mark, span::Span};
use andon_store::{
    Store,
    rows::{Evidence, ExceptionRow},
};

/// An event as it is stored.
pub(crate) struct Told {
    /// Its order number.
    pub(crate) sequence: u64,
    /// The event.
    pub(crate) event: Event,
    /// What it was made from.
    pub(crate) evidence: Evidence,
}

impl Told {
    /// Whether it begins an alarm.
    fn is_activation(&self) -> bool {
        self.event.correlation == self.event.id
    }

    /// The rule that made it.
    fn rule(&self) -> &str {
        self.event.source.rsplit('/').next().unwrap_or_default()
    }
}

/// All promises of a healed world in which nothing happens by itself any more; the first that is broken.
pub fn at_rest(world: &mut World) -> Result<(), Broken> {
    world.remember().map_err(fault)?;
    let told = events(&world.store)?;
    samples(world)?;
    restored::no_place_means_two_things(world)?;
    kept::every_sample(world)?;
    let again = restored::events_come_again(world, &told)?;
    world.seen.add("restored: events that came again", again);
    // What a full disk took before rules had read it is in none of their events.
    let is_whole = !kept::has_dropped(world)?;
    if is_whole {
        rules::each_event_once(world, &told)?;
    }
    rules::stories(&told)?;
    if is_whole {
        rules::nothing_lost(world)?;
        model::every_activation_is_there(world, &told)?;
    } else {
        world.seen.count("fault: a full disk takes what rules have not read");
    }
    effects::every_event_has_its_runs(&world.store)?;
    effects::of_each_event(world, &told)?;
    effects::in_order(world, &told)?;
    if is_whole {
        explained::every_document(world)?;
    }
    count(world, &told)
}

/// What people were told of an item that was passed over, because processes ended again and again with it alone at
/// hand: none of these is to blame in these worlds.
fn set_aside(store: &Store, item: &str) -> Result<Option<ExceptionRow>, Broken> {
    store.exception(ExceptionId::derived(&[b"poison", item.as_bytes()])).map_err(fault)
}

/// Only that every document explains back to what machines said.
pub fn documents(world: &World) -> Result<(), Broken> {
    explained::every_document(world)
}

/// Only that the activations are those of the model.
pub fn activations(world: &World) -> Result<(), Broken> {
    model::every_activation_is_there(world, &events(&world.store)?)
}

/// The same when people have dealt with everything: nothing is left, and nothing was doubled on the way.
pub fn all_dealt_with(world: &mut World) -> Result<(), Broken> {
    let told = events(&world.store)?;
    effects::every_event_has_its_runs(&world.store)?;
    effects::of_each_event(world, &told)?;
    effects::all_has_ended(world, &told)
}

/// No sample is lost without a gap, each is stored once, and what could not be read was set aside.
fn samples(world: &mut World) -> Result<(), Broken> {
    let source = intake::source_name();
    let mut held = Held::read(&world.store, &source).map_err(fault)?;
    // What is sealed is not in the log any more.
    held.samples = explained::samples(world, &source)?;
    let clock_moved = world.moved > Span::ZERO;
    restored::each_is_a_gap(world, &held)?;
    let slack = world.floor.terms(&held.client).slack;
    let slack = Span::from_nanos(slack.nanos().saturating_add(world.moved.nanos()));
    let tally = all(world.floor.ledger(), &held, Terms { slack, clock_moved });
    let tally = tally.map_err(|what| Broken::new("samples", what))?;
    world.seen.add("samples that came twice", tally.duplicates);
    world.seen.add("messages set aside", tally.quarantined);
    world.seen.add("messages sent again", tally.repeated);
    world.seen.add("messages in a gap", tally.excused);
    world.seen.add("messages that a restore has lost", tally.undone);
    Ok(())
}

/// All events with what they were made from, in the order of their numbers.
pub(crate) fn events(store: &Store) -> Result<Vec<Told>, Broken> {
    let mut all = Vec::new();
    let mut after = 0;
    loop {
        let page = store.events_after(after, 1_000).map_err(fault)?;
        let Some(last) = page.last() else { return Ok(all) };
        after = last.sequence;
        for stored in page {
            let evidence = store.event(stored.event.id).map_err(fault)?.and_then(|(_, evidence)| evidence);
            let evidence = evidence.ok_or_else(|| Broken::new("evidence", "an alarm has no evidence"))?;
            all.push(Told { sequence: stored.sequence, event: stored.event, evidence });
        }
    }
}

fn count(world: &mut World, told: &[Told]) -> Result<(), Broken> {
    let (mut samples, mut ticks) = (0, 0);
    for batch in &world.archive {
        for entry in &batch.part.entries {
            match entry {
                Entry::Sample(_) => samples += 1,
                Entry::Mark(Mark::Tick { .. }) => ticks += 1,
                Entry::Mark(_) => {}
            }
        }
    }
    let seen = &mut world.seen;
    seen.add("samples", samples);
    seen.add("ticks", ticks);
    seen.add("events", told.len() as u64);
    seen.add("activations", told.iter().filter(|told| told.is_activation()).count() as u64);
    let is_gone = |id| !told.iter().any(|told| told.event.id == id);
    seen.add("restored: events that are gone", world.lost.events.keys().filter(|id| is_gone(**id)).count() as u64);
    let known_again = |effect: &&crate::office::Effect| {
        world.lost.calls.contains(&effect.reference)
            && told.iter().any(|told| told.event.id.to_string() == effect.event)
    };
    let known_again = world.office.effects().iter().filter(known_again).count() as u64;
    seen.add("restored: documents of events that came again", known_again);
    seen.add("documents", world.office.effects().len() as u64);
    seen.add("requests", world.office.served);
    let exceptions = world.store.counts().map_err(fault)?;
    let exceptions = exceptions.iter().filter(|(what, _)| what.starts_with("exceptions."));
    exceptions.for_each(|(_, count)| seen.add("exceptions", *count));
    world.office.fates.iter().for_each(|(fate, count)| seen.add(&format!("office: {fate}"), *count));
    Ok(())
}
