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

    #[test]
    fn every_world_keeps_its_promises() {
        let seen = run_all(0, SEEDS).unwrap_or_else(|failed| panic!("{failed}"));
        for what in
            ["samples", "ticks", "activations", "documents", "crash: killed", "clean stop", "edit of the project"]
        {
            assert!(seen.of(what) > SEEDS, "too little happens ({what}): {seen:#?}");
        }
        for what in ["retry", "edit", "skip", "reroute", "discard", "breach: doubled", "office: not-found"] {
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

    /// A world that went well, at rest.
    fn ended(seed: u64) -> World {
        let plan = Plan::of(seed);
        let mut world = World::new(&plan).unwrap();
        plan.actions.iter().try_for_each(|planned| world.act(planned)).unwrap();
        world.finish(&plan).unwrap();
        world
    }

    fn found(world: &mut World) -> Broken {
        check::at_rest(world).unwrap_err()
    }

    #[test]
    fn an_event_from_nowhere_is_found() {
        let mut world = ended(7);
        let mut event = world.store.events_after(0, 1).unwrap().remove(0).event;
        let (_, evidence) = world.store.event(event.id).unwrap().unwrap();
        event.id = andon_model::EventId::derived(&[b"nowhere"]);
        world.store.commit(vec![Write::Event(Box::new(event), evidence.map(Box::new))]).unwrap();
        assert_eq!(found(&mut world).check, "events");
    }

    #[test]
    fn a_second_effect_is_found() {
        let mut world = ended(7);
        world.office.breaches.clear();
        assert!(world.office.repeat_first());
        assert_eq!(found(&mut world).check, "doubled");
    }

    #[test]
    fn an_effect_that_is_not_there_is_found() {
        let mut world = ended(7);
        world.office.breaches.clear();
        assert!(world.office.lose_last("maintenance.note"));
        assert_eq!(found(&mut world).check, "runs");
    }

    #[test]
    fn effects_out_of_order_are_found() {
        let mut world = ended(7);
        world.office.breaches.clear();
        let of = |world: &World, event: &str| {
            let id = andon_model::EventId::parse(event).unwrap();
            world.store.event(id).unwrap().unwrap().0.event
        };
        let undisturbed = |event: &str| {
            let id = andon_model::EventId::parse(event).unwrap();
            world
                .store
                .runs_of_event(id)
                .unwrap()
                .iter()
                .all(|run| world.store.exceptions_of_run(run.id).unwrap().is_empty())
        };
        let pairs: Vec<(String, String)> = world
            .office
            .effects()
            .iter()
            .flat_map(|a| world.office.effects().iter().map(move |b| (a, b)))
            .filter(|(a, b)| a.at < b.at && (&a.system, a.capability) == (&b.system, b.capability))
            .filter(|(a, b)| undisturbed(&a.event) && undisturbed(&b.event))
            .filter(|(a, b)| {
                let (a, b) = (of(&world, &a.event), of(&world, &b.event));
                a.id != b.id && (a.subject, a.source) == (b.subject, b.source)
            })
            .map(|(a, b)| (a.event.clone(), b.event.clone()))
            .collect();
        let (first, second) = pairs.first().expect("there are two effects of a kind for an asset").clone();
        assert!(world.office.exchange(|a, b| (&a.event, &b.event) == (&first, &second)));
        assert_eq!(found(&mut world).check, "order");
    }

    #[test]
    fn an_unread_entry_is_found() {
        let mut world = ended(7);
        let first = world.store.read(world.store.log_start()).unwrap().unwrap();
        let mut part = first.part.clone();
        part.entries = vec![Entry::Mark(Mark::Connected)];
        part.counts.stored = 1;
        part.counts.received = 1;
        world.store.append(vec![part]).unwrap();
        assert_eq!(found(&mut world).check, "seams");
    }
}
