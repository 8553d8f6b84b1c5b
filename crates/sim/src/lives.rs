//! Worlds are lived: one from a seed, or many beside each other.

use crate::{
    plan::Plan,
    seen::Seen,
    shrink::shrink,
    world::{Broken, World},
};
use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// Lives that are tried to find a shorter one that fails as well.
const TRIES: u32 = 250;

/// Worlds that fail before no other begins.
const FAILED_MAX: u64 = 10;

/// A world that came to its end with all promises kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lived {
    /// How much happened.
    pub seen: Seen,
    /// The hash of the trace.
    pub hash: String,
}

/// A world in which a promise was broken, with the shortest story that was found.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// What was broken.
    pub broken: Broken,
    /// What happened up to there, one line for each thing.
    pub trace: String,
    /// Actions of the whole plan, and of the story.
    pub actions: (usize, usize),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, broken, trace, actions: (whole, left) } = self;
        writeln!(f, "the world {seed} breaks a promise; {left} of its {whole} actions do:\n\n{trace}\n{broken}\n")?;
        write!(f, "again with: cargo xtask sim --seeds 1 --from {seed}")
    }
}

/// Lives the world of a plan to its end and checks it; its trace stands beside what became of it.
pub fn live(plan: &Plan) -> (Result<Lived, Broken>, String) {
    let mut world = match World::new(plan) {
        Ok(world) => world,
        Err(broken) => return (Err(broken), String::new()),
    };
    let lived = plan.actions.iter().try_for_each(|planned| world.act(planned)).and_then(|()| world.finish(plan));
    let trace = world.trace.to_string();
    (lived.map(|()| Lived { seen: world.seen, hash: world.trace.hash() }), trace)
}

/// Lives the world of a seed. One that fails is told by the shortest story that was found.
pub fn run(seed: u64) -> Result<Lived, Box<Failed>> {
    run_plan(&Plan::of(seed))
}

/// The same with a plan.
pub fn run_plan(plan: &Plan) -> Result<Lived, Box<Failed>> {
    let (lived, trace) = live(plan);
    let broken = match lived {
        Ok(lived) => return Ok(lived),
        Err(broken) => broken,
    };
    let check = broken.check;
    let mut last = (broken, trace);
    let short = shrink(plan, TRIES, |plan| {
        let (lived, trace) = live(plan);
        match lived {
            Err(broken) if broken.check == check => {
                last = (broken, trace);
                true
            }
            _ => false,
        }
    });
    let (broken, trace) = last;
    Err(Box::new(Failed { seed: plan.seed, broken, trace, actions: (plan.actions.len(), short.actions.len()) }))
}

/// Lives so many worlds from a seed on with so many threads; each is told as it ends. After `FAILED_MAX` that fail
/// none begins any more.
pub fn run_many(from: u64, seeds: u64, threads: usize, tell: impl Fn(u64, &Result<Lived, Box<Failed>>) + Sync) {
    let next = AtomicU64::new(0);
    let failed = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while failed.load(Ordering::Relaxed) < FAILED_MAX {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= seeds {
                        return;
                    }
                    let lived = run(from.saturating_add(number));
                    if lived.is_err() {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    tell(from.saturating_add(number), &lived);
                }
            });
        }
    });
}

/// Lives so many worlds beside each other; what was seen in all of them, or the first that failed.
pub fn run_all(from: u64, seeds: u64) -> Result<Seen, Box<Failed>> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let all = Mutex::new((Seen::default(), None));
    run_many(from, seeds, threads, |_, lived| {
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        match lived {
            Ok(lived) => all.0.join(&lived.seen),
            Err(failed) => all.1 = Some(failed.clone()),
        }
    });
    let (seen, failed) = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.map_or(Ok(seen), Err)
}
