//! Worlds from many seeds.

/// Worlds of an ordinary test run.
#[cfg(test)]
const SEEDS: u64 = 24;

#[cfg(test)]
mod tests {
    use super::SEEDS;
    use andon_model::{Entry, Mark};
    use andon_sim::{
        World,
        check::{self, Seen},
        run,
    };
    use andon_store::Write;

    fn from_env(name: &str, default: u64) -> u64 {
        std::env::var(name)
            .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
    }

    #[test]
    fn every_world_keeps_its_promises() {
        let from = from_env("ANDON_SIM_FROM", 0);
        let seeds = from_env("ANDON_SIM_SEEDS", SEEDS);
        let mut all = Seen::default();
        for seed in from..from + seeds {
            match run(seed) {
                Ok(seen) => all.add(&seen),
                Err(broken) => panic!("{broken}"),
            }
        }
        println!("{seeds} worlds from {from}: {all:?}");
        if seeds >= 10 {
            assert!(all.activations > seeds && all.ticks > seeds && all.crashes > seeds, "too little happens: {all:?}");
        }
    }

    fn ended() -> World {
        let mut world = World::new(7).unwrap();
        for _ in 0..600 {
            world.act().unwrap();
        }
        world.finish().unwrap();
        check::all(&world).unwrap();
        world
    }

    #[test]
    fn an_event_from_nowhere_is_found() {
        let world = ended();
        let mut event = world.store.events_after(0, 1).unwrap().remove(0).event;
        event.id = andon_model::EventId::derived(&[b"nowhere"]);
        let (_, evidence) = world.store.event(world.store.events_after(0, 1).unwrap()[0].event.id).unwrap().unwrap();
        world.store.commit(vec![Write::Event(Box::new(event), evidence.map(Box::new))]).unwrap();
        let broken = check::all(&world).unwrap_err();
        assert!(broken.contains("an undisturbed evaluation does not make"), "{broken}");
    }

    #[test]
    fn a_second_effect_is_found() {
        let mut world = ended();
        assert!(world.office.repeat_first());
        let broken = check::all(&world).unwrap_err();
        assert!(broken.contains("has the effects"), "{broken}");
    }

    #[test]
    fn an_unread_entry_is_found() {
        let world = ended();
        let first = world.store.read(world.store.log_start()).unwrap().unwrap();
        let mut part = first.part.clone();
        part.entries = vec![Entry::Mark(Mark::Connected)];
        part.counts.stored = 1;
        part.counts.received = 1;
        world.store.append(vec![part]).unwrap();
        let broken = check::all(&world).unwrap_err();
        assert!(broken.contains("samples are stored"), "{broken}");
    }

    #[test]
    fn the_same_seed_is_the_same_world() {
        assert_eq!(run(3).unwrap(), run(3).unwrap());
    }
}
