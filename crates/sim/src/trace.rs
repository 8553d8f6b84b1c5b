//! What happened in a world, one line for each thing, and the hash of all lines: the same seed gives the same hash.

use sha2::{Digest, Sha256};
use std::fmt;

/// The lines of a world.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    lines: Vec<String>,
    hash: Sha256,
}

impl Trace {
    /// Adds a line.
    pub fn line(&mut self, line: String) {
        self.hash.update(line.as_bytes());
        self.hash.update(b"\n");
        self.lines.push(line);
    }

    /// All lines so far.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The first 64 bits of the hash of all lines, as text.
    pub fn hash(&self) -> String {
        let whole = self.hash.clone().finalize();
        let bits = whole.iter().take(8).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        format!("{bits:016x}")
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
