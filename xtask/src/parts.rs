//! Runs the parts of a command one after the other, times each, and repeats every failure at the very end.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::clock::{Stopwatch, spoken};

/// What a part found wrong, each with all that is needed to mend it; empty means the part is well.
pub(crate) type Problems = Vec<String>;

/// What has been run so far.
#[derive(Default)]
pub(crate) struct Parts {
    done: Vec<Part>,
}

struct Part {
    name: &'static str,
    time: Duration,
    problems: Problems,
}

impl Parts {
    /// Runs one part; its failure is kept and stops no other part.
    pub(crate) fn run(&mut self, name: &'static str, work: impl FnOnce() -> Result<Problems>) {
        println!("== {name}");
        let stopwatch = Stopwatch::start();
        let problems = work().unwrap_or_else(|error| vec![format!("{error:#}")]);
        let part = Part { name, time: stopwatch.elapsed(), problems };
        println!("{}", part.line());
        self.done.push(part);
    }

    /// The time of all parts together.
    pub(crate) fn total(&self) -> Duration {
        self.done.iter().map(|part| part.time).sum()
    }

    /// Adds a failure that is not the result of work of its own.
    pub(crate) fn add(&mut self, name: &'static str, problem: String) {
        self.done.push(Part { name, time: Duration::ZERO, problems: vec![problem] });
    }

    /// The minutes of every part and their sum.
    pub(crate) fn table(&self) -> String {
        let mut table = String::from("part                 minutes\n");
        for part in &self.done {
            let mark = if part.problems.is_empty() { "" } else { "  FAILED" };
            let _ = writeln!(table, "{:<20} {:>7.1}{mark}", part.name, minutes(part.time));
        }
        let _ = write!(table, "{:<20} {:>7.1}", "total", minutes(self.total()));
        table
    }

    /// Repeats all failures in full, then one line per part; an error when there was any.
    pub(crate) fn finish(self) -> Result<()> {
        let failed: Vec<&Part> = self.done.iter().filter(|part| !part.problems.is_empty()).collect();
        for part in &failed {
            println!("\n== {}: what is wrong", part.name);
            for problem in &part.problems {
                println!("{problem}");
            }
        }
        println!();
        for part in &self.done {
            println!("{}", part.line());
        }
        if failed.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = failed.iter().map(|part| part.name).collect();
        bail!("failed: {} (each is told in full above)", names.join(", "))
    }
}

impl Part {
    fn line(&self) -> String {
        let result = match self.problems.len() {
            0 => "ok".to_owned(),
            1 => "FAILED, 1 problem".to_owned(),
            many => format!("FAILED, {many} problems"),
        };
        format!("{:<14} {result} ({})", self.name, spoken(self.time))
    }
}

fn minutes(time: Duration) -> f64 {
    time.as_secs_f64() / 60.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_part_stops_no_other_and_fails_the_whole() {
        let mut parts = Parts::default();
        parts.run("first", || anyhow::bail!("broken"));
        parts.run("second", || Ok(vec!["a".to_owned(), "b".to_owned()]));
        parts.run("third", || Ok(Vec::new()));
        let lines: Vec<String> = parts.done.iter().map(Part::line).collect();
        assert!(lines[0].contains("FAILED, 1 problem"), "{lines:?}");
        assert!(lines[1].contains("FAILED, 2 problems"), "{lines:?}");
        assert!(lines[2].contains(" ok "), "{lines:?}");
        assert!(parts.table().contains("first                    0.0  FAILED"), "{}", parts.table());
        assert!(parts.finish().unwrap_err().to_string().contains("first, second"));
    }

    #[test]
    fn all_well_is_no_error() {
        let mut parts = Parts::default();
        parts.run("only", || Ok(Vec::new()));
        assert!(parts.finish().is_ok());
    }
}
