//! A figure that was measured, beside what it is held to: so all measurements stand in one table and one picture.

use std::fs::OpenOptions;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// Names the file to which a measurement adds its figures, one JSON line each.
pub(super) const FILE: &str = "ANDON_BENCH_FIGURES";

/// A figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Figure {
    /// The measurement.
    pub(super) bench: String,
    /// What it is, with its unit.
    pub(super) name: String,
    pub(super) value: f64,
    /// Whether less of it is better.
    pub(super) less: bool,
    /// What must be reached, if anything.
    pub(super) target: Option<f64>,
    /// What others reach, and what the machine allows.
    pub(super) beside: Vec<Beside>,
}

/// What a figure stands beside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Beside {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) kind: Kind,
}

/// What stands beside a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Another program that does the work, in the same run.
    Rival,
    /// Another program, measured earlier on such a machine.
    Earlier,
    /// What this machine allows to a program that does nothing else.
    Limit,
}

impl Figure {
    /// A figure of which more is better.
    pub(super) fn more(bench: &str, name: &str, value: f64) -> Self {
        Self { bench: bench.to_owned(), name: name.to_owned(), value, less: false, target: None, beside: Vec::new() }
    }

    /// A figure of which less is better.
    pub(super) fn less(bench: &str, name: &str, value: f64) -> Self {
        Self { less: true, ..Self::more(bench, name, value) }
    }

    /// It must reach this.
    pub(super) fn held_to(mut self, target: f64) -> Self {
        self.target = Some(target);
        self
    }

    /// It stands beside this.
    pub(super) fn beside(mut self, kind: Kind, name: &str, value: f64) -> Self {
        self.beside.push(Beside { name: name.to_owned(), value, kind });
        self
    }

    /// How often it is as good as another value: above 1 it is better.
    pub(super) fn times(&self, other: f64) -> f64 {
        let (of, to) = if self.less { (other, self.value) } else { (self.value, other) };
        if to == 0.0 { if of == 0.0 { 1.0 } else { f64::INFINITY } } else { of / to }
    }

    /// Whether the target is reached; `None`: there is none.
    pub(super) fn is_met(&self) -> Option<bool> {
        self.target.map(|target| if self.less { self.value <= target } else { self.value >= target })
    }
}

/// Adds figures to the file that is asked for, if one is.
pub(super) fn tell(figures: &[Figure]) -> Result<()> {
    let Some(path) = std::env::var_os(FILE) else { return Ok(()) };
    let mut lines = String::new();
    for figure in figures {
        lines.push_str(&serde_json::to_string(figure)?);
        lines.push('\n');
    }
    let file = OpenOptions::new().create(true).append(true).open(&path);
    file.and_then(|mut file| file.write_all(lines.as_bytes()))
        .with_context(|| format!("writing figures to {}", path.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_is_above_one_whichever_way() {
        assert!((Figure::more("a", "runs/s", 300.0).times(100.0) - 3.0).abs() < 1e-9);
        assert!((Figure::less("a", "ms", 5.0).times(10.0) - 2.0).abs() < 1e-9);
        assert!((Figure::less("a", "lost", 0.0).times(0.0) - 1.0).abs() < 1e-9);
        assert_eq!(Figure::less("a", "ms", 5.0).held_to(4.0).is_met(), Some(false));
        assert_eq!(Figure::more("a", "runs/s", 5.0).held_to(4.0).is_met(), Some(true));
        assert_eq!(Figure::more("a", "runs/s", 5.0).is_met(), None);
    }
}
