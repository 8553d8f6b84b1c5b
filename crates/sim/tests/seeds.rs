//! Worlds from many seeds, and worlds that were doctored: what is wrong with them must be found.

/// Worlds of an ordinary test run.
#[cfg(test)]
const SEEDS: u64 = 200;

#[cfg(test)]
mod tests {
    use super::SEEDS;
    use andon_model::{Entry, Mark};
    use andon_sim::{Broken, Plan, World, check, live, run, run_all};
    use andon_store::Write;
    use serde_json::{Value as Json, json};
    use std::process::Command;

    #[test]
    fn every_world_keeps_its_promises() {
        let seen = run_all(0, SEEDS).unwrap_or_else(|failed| panic!("{failed}"));
        for what in
            ["samples", "ticks", "activations", "documents", "crash: killed", "clean stop", "edit of the project"]
        {
            assert!(seen.of(what) > SEEDS, "too little happens ({what}): {seen:#?}");
        }
        for what in ["samples", "activations", "documents", "clean stop", "edit of the project"] {
            assert!(seen.of(what) > SEEDS, "too little happens ({what}): {seen:#?}");
        }
        assert!(seen.all_of("crash: ") > SEEDS && seen.all_of("fault: ") > SEEDS, "too little happens: {seen:#?}");
        for what in [
            "crash: restored from a backup",
            "restored again from the same backup",
            "restored: events that came again",
            "restored: events that are gone",
            "restored: documents of events that came again",
            "messages that a restore has lost",
            "messages in a gap",
            "fault: the broker loses its sessions",
            "fault: samples are kept for another time",
            "files of samples merged or removed",
        ] {
            assert!(seen.of(what) > SEEDS / 4, "too little happens ({what}): {seen:#?}");
        }
        for what in ["ticks", "retry", "edit", "skip", "reroute", "discard", "messages sent again", "breach: doubled"] {
            assert!(seen.of(what) > 0, "it never happens ({what}): {seen:#?}");
        }
    }

    #[test]
    fn the_same_seed_is_the_same_world() {
        for seed in [3, 4] {
            let (one, other) = (live(&Plan::of(seed)), live(&Plan::of(seed)));
            assert_eq!(one.1, other.1);
            assert_eq!(run(seed).unwrap(), run(seed).unwrap());
        }
    }

    /// Neither addresses nor the order of a hash map, which are others in each process, decide anything.
    #[test]
    fn the_same_seed_is_the_same_world_in_every_process() {
        const SEEDS: u64 = 3;
        let told = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_andon-sim"));
            let output = command.args(["0", &SEEDS.to_string(), "1"]).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let (one, other) = (told(), told());
        assert_eq!(one, other);
        let lines: Vec<Json> = one.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len() as u64, SEEDS);
        for (seed, line) in (0..SEEDS).zip(&lines) {
            assert_eq!(line["hash"], json!(run(seed).unwrap().hash), "{line}");
        }
    }

    /// The first world in which something of this kind happened, at its end.
    fn ended(wanted: impl Fn(&World) -> bool) -> World {
        let worlds = (0..60).map(|seed| {
            let plan = Plan::of(seed);
            let mut world = World::new(&plan).unwrap();
            plan.actions.iter().try_for_each(|planned| world.act(planned)).unwrap();
            world.finish(&plan).unwrap();
            world
        });
        worlds
            .into_iter()
            .find(|world| world.office.breaches.is_empty() && wanted(world))
            .expect("it happens somewhere")
    }

    fn effects(world: &World) -> usize {
        world.office.effects().len()
    }

    fn found(world: &mut World) -> Broken {
        check::at_rest(world).unwrap_err()
    }

    #[test]
    fn an_event_from_nowhere_is_found() {
        let mut world = ended(|world| world.seen.of("events") > 0);
        let mut event = world.store.events_after(0, 1).unwrap().remove(0).event;
        let (_, evidence) = world.store.event(event.id).unwrap().unwrap();
        event.id = andon_model::EventId::derived(&[b"nowhere"]);
        world.store.commit(vec![Write::Event(Box::new(event), evidence.map(Box::new))]).unwrap();
        assert_eq!(found(&mut world).check, "events");
    }

    #[test]
    fn a_second_effect_is_found() {
        let mut world = ended(|world| effects(world) > 0);
        assert!(world.office.repeat_first());
        assert_eq!(found(&mut world).check, "doubled");
    }

    #[test]
    fn an_effect_that_is_not_there_is_found() {
        let is_note = |world: &World| world.office.effects().iter().any(|of| of.capability == "maintenance.note");
        let mut world = ended(is_note);
        assert!(world.office.lose_last("maintenance.note"));
        assert_eq!(found(&mut world).check, "runs");
    }

    #[test]
    fn effects_out_of_order_are_found() {
        let mut world = ended(|world| exchangeable(world).is_some());
        let (first, second) = exchangeable(&world).unwrap();
        assert!(world.office.exchange(|a, b| (&a.event, &b.event) == (&first, &second)));
        assert_eq!(found(&mut world).check, "order");
    }

    /// The events of two effects of a kind for one asset, of which nobody had to be told.
    fn exchangeable(world: &World) -> Option<(String, String)> {
        // What a restore has lost is nothing that is looked at.
        let event = |text: &str| {
            let id = andon_model::EventId::parse(text).unwrap();
            world.store.event(id).unwrap().map(|stored| stored.0.event)
        };
        let undisturbed = |text: &str| {
            let runs = world.store.runs_of_event(andon_model::EventId::parse(text).unwrap()).unwrap();
            runs.iter().all(|run| world.store.exceptions_of_run(run.id).unwrap().is_empty())
        };
        let all: Vec<_> = world.office.effects().iter().filter(|one| !world.lost.has_sent(&one.reference)).collect();
        let pairs = all.iter().enumerate().flat_map(|(at, a)| all.iter().skip(at + 1).map(move |b| (a, b)));
        let mut alike = pairs.filter(|(a, b)| (&a.system, a.capability) == (&b.system, b.capability));
        let found = alike.find(|(a, b)| {
            let (Some(one), Some(other)) = (event(&a.event), event(&b.event)) else { return false };
            let same = one.id != other.id && (one.subject, one.source) == (other.subject, other.source);
            same && undisturbed(&a.event) && undisturbed(&b.event)
        });
        found.map(|(a, b)| (a.event.clone(), b.event.clone()))
    }

    #[test]
    fn a_sample_that_was_counted_and_is_not_there_is_found() {
        let mut world = ended(|world| world.seen.of("samples") > 0);
        let mut part = world.archive.iter().find(|batch| batch.part.source.as_str() == "plc").unwrap().part.clone();
        part.entries = vec![Entry::Mark(Mark::Connected)];
        part.counts.stored = 1;
        part.counts.received = 1;
        world.store.append(vec![part]).unwrap();
        assert_eq!(found(&mut world).check, "samples");
    }

    #[test]
    fn a_document_that_no_machine_has_given_cause_for_is_found() {
        let mut world = ended(|world| effects(world) > 0);
        world.floor.ledger_mut().messages.clear();
        assert_eq!(check::documents(&world).unwrap_err().check, "explained");
    }

    #[test]
    fn an_activation_without_its_samples_is_found() {
        let mut world = ended(|world| {
            let events = world.store.events_after(0, 1_000).unwrap();
            let of_limit = |source: &str| source.ends_with("/hot") || source.ends_with("/fast");
            world.variants.len() == 1 && events.iter().any(|stored| of_limit(&stored.event.source))
        });
        world.archive.clear();
        assert_eq!(check::activations(&world).unwrap_err().check, "model");
    }
}
