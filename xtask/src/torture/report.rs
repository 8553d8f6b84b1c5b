//! What came of it: a line for each kill while it goes on, a table and the line that repeats it at the end.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use serde_json::json;

use super::Arguments;
use super::world::World;
use crate::clock::{Stopwatch, spoken};

/// Violations told in full; of more only the number is.
const TOLD_MAX: usize = 30;

/// The width of the bar.
const BAR: u64 = 30;

/// How far it is: on a terminal a bar below the lines.
pub(super) struct Bar {
    of: u64,
    terminal: bool,
    stopwatch: Stopwatch,
}

impl Bar {
    pub(super) fn new(of: u64) -> Self {
        Self { of, terminal: std::io::stderr().is_terminal(), stopwatch: Stopwatch::start() }
    }

    /// A kill, and what was going on.
    pub(super) fn tell(&self, kills: u64, what: &str) {
        let mut out = std::io::stderr().lock();
        if self.terminal {
            let done = usize::try_from(kills * BAR / self.of.max(1)).unwrap_or(0);
            let bar: String =
                (0..usize::try_from(BAR).unwrap_or(0)).map(|at| if at < done { '#' } else { '-' }).collect();
            let elapsed = spoken(self.stopwatch.elapsed());
            let _ = write!(out, "\r\x1b[K{kills:>5}  {what}\n[{bar}] {kills}/{} in {elapsed}", self.of);
            let _ = out.flush();
        } else {
            let _ = writeln!(out, "{kills:>5}  {what}");
        }
    }
}

/// All that is told at the end.
pub(super) struct Report {
    pub(super) violations: Vec<String>,
    /// What was found in order, in numbers.
    pub(super) found: BTreeMap<&'static str, u64>,
    counts: BTreeMap<&'static str, u64>,
    left_out: Vec<String>,
    ready: Vec<Duration>,
    repeats: String,
    stopwatch: Stopwatch,
}

impl Report {
    pub(super) fn new(seed: u64, arguments: &Arguments, left_out: &[String]) -> Self {
        let andon = arguments.andon.as_ref().map_or_else(String::new, |path| format!(" --andon {}", path.display()));
        let rate = arguments.rate;
        let repeats = format!("cargo xtask torture --kills {} --seed {seed} --rate {rate}{andon}", arguments.kills);
        Self {
            violations: Vec::new(),
            found: BTreeMap::new(),
            counts: BTreeMap::new(),
            left_out: left_out.to_vec(),
            ready: Vec::new(),
            repeats,
            stopwatch: Stopwatch::start(),
        }
    }

    /// What the world counted.
    pub(super) fn fill(&mut self, world: &World) {
        self.counts.clone_from(&world.counts);
        self.ready.clone_from(&world.ready_after);
        self.ready.sort_unstable();
        let lost = world.book.lost.load(std::sync::atomic::Ordering::Relaxed);
        self.counts.insert("connections of machines lost", lost);
    }

    /// The time to ready below which so many of a hundred starts are.
    fn ready(&self, percent: usize) -> Duration {
        let at = self.ready.len().saturating_sub(1) * percent / 100;
        self.ready.get(at).copied().unwrap_or_default()
    }

    pub(super) fn print(&self, as_json: bool) {
        if std::io::stderr().is_terminal() {
            eprintln!();
        }
        let millis = |at: Duration| u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        let ready = [("median", self.ready(50)), ("p99", self.ready(99)), ("max", self.ready(100))];
        if as_json {
            let ready: BTreeMap<_, _> = ready.iter().map(|(name, at)| (*name, millis(*at))).collect();
            let line = json!({
                "seconds": self.stopwatch.elapsed().as_secs(), "done": self.counts, "found": self.found,
                "ready_ms": ready, "left_out": self.left_out, "violations": self.violations, "repeat": self.repeats,
            });
            println!("{line}");
            return;
        }
        println!();
        for (name, count) in self.counts.iter().chain(&self.found) {
            println!("{name:<44} {count:>10}");
        }
        for (name, at) in ready {
            println!("{:<44} {:>10}", format!("ready after a kill, {name}, ms"), millis(at));
        }
        for what in &self.left_out {
            println!("left out: {what}");
        }
        println!("it took {}; again: {}", spoken(self.stopwatch.elapsed()), self.repeats);
        for violation in self.violations.iter().take(TOLD_MAX) {
            println!("VIOLATION: {violation}");
        }
        if self.violations.len() > TOLD_MAX {
            println!("and {} more", self.violations.len() - TOLD_MAX);
        }
    }
}
