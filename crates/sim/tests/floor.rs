//! The floor and the loops of sources alone: machines, a broker, networks, and a process that ends at any moment.

#[cfg(test)]
mod tests {
    use andon_contract::{Contract, from_files};
    use andon_model::{Name, Time, span::Span};
    use andon_sim::{
        chance::Chance,
        floor::{
            Floor, Mishap, Rest, Source,
            check::{self, Held, Tally, Terms},
            ledger::{Fate, Says},
            machines::{Form, Signal},
        },
    };
    use andon_store::{Fault, Limits, SimDisk, Store, Trouble};
    use std::{collections::BTreeMap, sync::Arc, time::Duration};

    /// Worlds of an ordinary run.
    const SEEDS: u64 = 60;
    /// What happens in one of them.
    const ACTS: u32 = 400;
    /// Steps in which a healed world must come to rest.
    const STEPS_MAX: u32 = 400_000;

    macro_rules! files {
        ($($path:literal,)*) => { &[$(($path, include_str!(concat!("../floor/", $path)))),*] };
    }

    const FILES: &[(&str, &str)] = files![
        "andon.yaml",
        "assets/home.yaml",
        "classes/press.yaml",
        "policies/ownership.yaml",
        "sources/new.yaml",
        "sources/old.yaml",
    ];

    fn contract() -> Arc<Contract> {
        let files: BTreeMap<String, String> =
            FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let render = |problems: Vec<andon_contract::Problem>| {
            problems.iter().map(|problem| problem.render(false)).collect::<Vec<_>>().join("\n")
        };
        Arc::new(from_files(files).map_err(render).unwrap().contract)
    }

    fn devices() -> Vec<Vec<Signal>> {
        let signal = |asset: &str, name: &str, topic: String, qos, form| Signal {
            name: format!("{asset}/{name}"),
            topic,
            qos,
            form,
            low: 0,
            high: 100,
        };
        let mut devices = Vec::new();
        for asset in ["press-01", "press-02"] {
            devices.push(vec![
                signal(asset, "temperature", format!("plant/{asset}/temperature"), 1, Form::Qualified),
                signal(asset, "speed", format!("fast/{asset}/speed"), 0, Form::Timed),
            ]);
            devices.push(vec![
                signal(asset, "force", format!("once/{asset}/force"), 2, Form::Timed),
                signal(asset, "strokes", format!("plain/{asset}/strokes"), 1, Form::Plain),
            ]);
        }
        devices.push(vec![
            signal("press-01", "temperature", "old/plant/press-01/temperature".to_owned(), 1, Form::Qualified),
            signal("press-01", "force", "old/once/press-01/force".to_owned(), 2, Form::Timed),
            signal("press-01", "strokes", "old/plain/press-01/strokes".to_owned(), 1, Form::Plain),
        ]);
        devices
    }

    /// The store of a process that starts.
    fn open(disk: Option<&SimDisk>, seed: u64) -> Store {
        let mut chance = Chance::new(seed);
        let bytes = &mut |buffer: &mut [u8]| buffer.fill_with(|| chance.draw().to_le_bytes()[0]);
        let limits = Limits { segment_bytes: 1 << 20, ring_bytes: 1 << 20 };
        let mut last = String::new();
        for _ in 0..100 {
            let Some(disk) = disk else { return Store::memory(bytes) };
            match Store::simulated(disk, &limits, bytes) {
                Ok(store) => return store,
                Err(error) => last = error.to_string(),
            }
        }
        panic!("the store does not open: {last}");
    }

    /// One world.
    struct World {
        chance: Chance,
        contract: Arc<Contract>,
        store: Store,
        /// Every other world has a disk that may crash inside each operation.
        disk: Option<SimDisk>,
        /// The crashes of the disk when this process began.
        crashes: u64,
        floor: Floor,
        sources: Vec<(Name, Source, Rest)>,
        utc: Time,
        monotonic: Duration,
        /// The broker loses its sessions now and then.
        forgets: bool,
        ends: u32,
    }

    impl World {
        fn new(seed: u64) -> Self {
            let mut chance = Chance::new(seed);
            let utc = Time::parse("2026-11-22T08:00:00Z").unwrap();
            let disk = (seed % 2 == 1).then(SimDisk::new);
            let store = open(disk.as_ref(), chance.draw());
            let floor = Floor::new(chance.draw(), devices(), utc);
            let forgets = chance.percent(50);
            let sources = Vec::new();
            let contract = contract();
            let monotonic = Duration::ZERO;
            let crashes = 0;
            let mut world =
                Self { chance, contract, store, disk, crashes, floor, sources, utc, monotonic, forgets, ends: 0 };
            world.start();
            world
        }

        /// The process ends without a word, and another one starts.
        fn start(&mut self) {
            self.sources.clear();
            if let Some(disk) = self.disk.as_ref().filter(|_| self.ends > 0) {
                if disk.crashes() == self.crashes {
                    let seed = self.chance.draw();
                    if seed.is_multiple_of(2) { disk.kill() } else { disk.power_cut(seed) }
                }
                self.store = open(Some(disk), self.chance.draw());
                self.crashes = disk.crashes();
            }
            let suspects = self.store.take_up(self.utc).unwrap_or_default();
            assert!(self.disk.is_some() || suspects.is_empty(), "something is taken for poison: {suspects:?}");
            for name in ["new", "old"] {
                let name = Name::new(name).unwrap();
                let seed = self.chance.draw();
                let source = Source::start(&self.store, &self.contract, &name, seed, self.utc).unwrap();
                self.sources.push((name, source, Rest::None));
            }
        }

        fn pass(&mut self, span: Duration) {
            self.monotonic += span;
            self.utc = self.utc.plus(Span::from_nanos(i64::try_from(span.as_nanos()).unwrap()));
        }

        /// What a disk does wrong.
        fn plan(&mut self) {
            let (skipped, seed) = (self.chance.below(12), self.chance.draw());
            let Some(disk) = &self.disk else {
                let fault = *self.chance.one(&[Fault::Before, Fault::After]);
                return self.store.plan_fault(skipped % 4, fault);
            };
            match self.chance.below(6) {
                0 => disk.plan(skipped, Trouble::Kill(seed)),
                1 => disk.plan(skipped, Trouble::PowerCut(seed)),
                2 => disk.plan(skipped, Trouble::Error(seed)),
                3 => disk.plan(skipped, Trouble::Full(seed)),
                4 => disk.hold_submissions(true),
                _ => disk.hold_submissions(false),
            }
        }

        fn has_crashed(&self) -> bool {
            self.disk.as_ref().is_some_and(|disk| disk.crashes() != self.crashes)
        }

        fn step(&mut self, at: usize) {
            if self.chance.percent(20) {
                self.store.settle();
            }
            let (_, source, rest) = &mut self.sources[at];
            *rest = source.step(&mut self.floor, self.utc, self.monotonic);
        }

        fn act(&mut self) {
            match self.chance.below(100) {
                0..30 => self.floor.speak(&mut self.chance, self.utc),
                30..40 => {
                    self.floor.step(self.utc, self.monotonic);
                }
                40..85 => {
                    for _ in 0..self.chance.between(1, 12) {
                        let at = usize::try_from(self.chance.below(2)).unwrap();
                        self.floor.step(self.utc, self.monotonic);
                        self.step(at);
                        let span = self.chance.millis(0, 40);
                        self.pass(span.std());
                    }
                }
                85..92 => {
                    let span = self.chance.millis(1, 3_000);
                    self.pass(span.std());
                }
                92 => {
                    let span = self.chance.millis(1_000, 100_000);
                    self.pass(span.std());
                }
                93..96 => {
                    let mishap = match self.chance.below(8) {
                        0 if self.forgets => Mishap::Forget(self.chance.millis(0, 60_000)),
                        _ => Mishap::draw(&mut self.chance),
                    };
                    self.floor.suffer(mishap, self.monotonic);
                }
                96 | 97 => {
                    self.plan();
                }
                98 => {
                    self.ends += 1;
                    self.start();
                }
                _ => {
                    // A clean stop, as far as it comes before the next end.
                    for (_, source, _) in &self.sources {
                        source.stop();
                    }
                    for _ in 0..20 {
                        self.floor.step(self.utc, self.monotonic);
                        self.step(0);
                        self.step(1);
                        let span = self.chance.millis(0, 40);
                        self.pass(span.std());
                    }
                    self.ends += 1;
                    self.start();
                }
            }
        }

        /// Everything works from now on, and comes to rest.
        fn finish(&mut self) {
            self.floor.heal();
            if let Some(disk) = &self.disk {
                disk.forget_plans();
                disk.hold_submissions(false);
            }
            if self.disk.is_some() {
                // A log that could not be synced takes nothing before the next start.
                self.ends += 1;
                self.start();
            }
            for _ in 0..STEPS_MAX {
                self.store.settle();
                let heard = self.floor.step(self.utc, self.monotonic);
                for at in 0..self.sources.len() {
                    self.step(at);
                }
                let connected = self.sources.iter().all(|(_, source, _)| source.status().connected);
                let rests: Vec<Rest> = self.sources.iter().map(|(.., rest)| *rest).collect();
                if heard || rests.contains(&Rest::None) {
                    continue;
                }
                if connected && self.floor.is_quiet() {
                    return;
                }
                let untils = rests.iter().filter_map(|rest| if let Rest::Until(until) = rest { *until } else { None });
                let next = untils.chain(self.floor.next()).min().unwrap_or(self.monotonic);
                self.pass(next.saturating_sub(self.monotonic).max(Duration::from_millis(1)));
            }
            panic!("a healed world does not come to rest");
        }

        fn check(&self) -> Result<Tally, String> {
            let mut all = Tally::default();
            for (name, ..) in &self.sources {
                let held = Held::read(&self.store, name)?;
                let terms = self.floor.terms(&held.client);
                all.add(&check::all(self.floor.ledger(), &held, terms).map_err(|e| format!("{name}: {e}"))?);
            }
            Ok(all)
        }
    }

    fn ended(seed: u64) -> World {
        let mut world = World::new(seed);
        for _ in 0..ACTS {
            world.act();
            if world.has_crashed() {
                world.ends += 1;
                world.start();
            }
        }
        world.finish();
        world
    }

    #[test]
    fn what_was_acknowledged_is_stored_once_or_set_aside_or_lies_in_a_gap() {
        let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
        let (from, seeds) = (number("ANDON_SIM_FROM", 0), number("ANDON_SIM_SEEDS", SEEDS));
        let mut all = Tally::default();
        for seed in from..from + seeds {
            let world = ended(seed);
            match world.check() {
                Ok(tally) => all.add(&tally),
                Err(broken) => panic!("seed {seed}: {broken}"),
            }
        }
        println!("{seeds} worlds from {from}: {all:?}");
        if seeds >= 20 {
            let enough = [all.stored, all.duplicates, all.quarantined, all.excused, all.repeated];
            assert!(enough.into_iter().all(|count| count > seeds), "too little happens: {all:?}");
        }
    }

    #[test]
    fn the_same_seed_is_the_same_floor() {
        let (one, other) = (ended(5), ended(5));
        assert_eq!(one.floor.ledger().deliveries, other.floor.ledger().deliveries);
        assert_eq!(one.floor.ledger().messages, other.floor.ledger().messages);
        for (name, ..) in &one.sources {
            let (one, other) = (Held::read(&one.store, name).unwrap(), Held::read(&other.store, name).unwrap());
            assert_eq!((one.samples, one.gaps, one.counts), (other.samples, other.gaps, other.counts));
        }
    }

    #[test]
    fn every_check_finds_what_it_is_there_for() {
        let world = ended(3);
        let new = Name::new("new").unwrap();
        let held = Held::read(&world.store, &new).unwrap();
        let ledger = world.floor.ledger();
        let broken = |change: &dyn Fn(&mut andon_sim::floor::ledger::Ledger, &mut Held)| {
            let (mut ledger, mut held) = (ledger.clone(), held.clone());
            change(&mut ledger, &mut held);
            check::all(&ledger, &held, Terms::default()).unwrap_err()
        };
        let lost = broken(&|_, held| {
            held.samples.remove(0);
            held.counts.stored -= 1;
            held.counts.received -= 1;
            held.gaps.clear();
        });
        assert!(lost.contains("lost without a gap"), "{lost}");
        let twice = broken(&|_, held| {
            let timed = held.samples.iter().find(|(name, _)| name.ends_with("temperature")).unwrap().clone();
            held.samples.push(timed);
        });
        assert!(twice.contains("stored 2 times"), "{twice}");
        let nowhere = broken(&|_, held| held.samples[0].1.time = Time(5));
        assert!(nowhere.contains("nobody sent"), "{nowhere}");
        let aside = broken(&|_, held| {
            held.quarantined.remove(0);
            held.counts.quarantined = 0;
            held.counts.received = held.counts.stored + held.counts.duplicate;
            held.gaps.clear();
        });
        assert!(aside.contains("lost without a gap"), "{aside}");
        let bytes = broken(&|_, held| held.quarantined[0].1.push(b'!'));
        assert!(bytes.contains("more than it was sent"), "{bytes}");
        let counted = broken(&|_, held| held.counts.duplicate += 1);
        assert!(counted.contains("set aside"), "{counted}");
        let forgotten = broken(&|ledger, held| {
            let ours = ledger.deliveries.iter_mut().filter(|is| is.client == held.client);
            let found = ours.filter(|is| is.qos > 0).find(|is| ledger.messages[is.message].says == Says::Nothing);
            found.unwrap().fate = Fate::Lost(Time(0));
            held.quarantined.clear();
            held.counts.quarantined = 0;
            held.counts.received = held.counts.stored + held.counts.duplicate;
            held.gaps.clear();
        });
        assert!(forgotten.contains("lost without a gap"), "{forgotten}");
        let undone = broken(&|ledger, held| {
            let (name, sample) = held.samples.remove(0);
            held.counts.stored -= 1;
            held.counts.received -= 1;
            held.gaps.push((Time::MIN, Time::MAX));
            for (at, message) in ledger.messages.iter().enumerate() {
                let is = matches!(&message.says, Says::Sample(said) if said.signal == name
                    && said.time.is_none_or(|time| time == sample.time));
                let of = |delivery: &&mut andon_sim::floor::ledger::Delivery| delivery.message == at;
                ledger.deliveries.iter_mut().filter(of).filter(|_| is).for_each(|is| is.fate = Fate::Undone);
            }
        });
        assert!(undone.contains("lost without a gap"), "{undone}");
        let said = broken(&|ledger, _| ledger.complaints.push("it did what it must not".to_owned()));
        assert!(said.contains("must not"), "{said}");
    }
}
