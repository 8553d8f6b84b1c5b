//! Decision tables: several signals of one asset, and what they mean together.

use super::Test;
use andon_model::span::Span;

/// A decision table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSettings {
    /// Numbers that are made of signals; a row reads them by their place in this list.
    pub values: Vec<TableValue>,
    /// The rows, in the order of the file.
    pub rows: Vec<TableRow>,
    /// Whether only the first row that holds counts; otherwise all of them.
    pub first_only: bool,
    /// An outcome must hold this long in plant time before it is an alarm.
    pub on_delay: Span,
    /// It must not hold this long before the alarm ends.
    pub off_delay: Span,
}

impl TableSettings {
    /// What the rows mean, each outcome once, in the order of the file.
    pub fn outcomes(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !all.contains(&row.outcome.as_str()) {
                all.push(&row.outcome);
            }
        }
        all
    }
}

/// A number that is made of signals: unknown while one of them is.
#[derive(Debug, Clone, PartialEq)]
pub struct TableValue {
    /// What rows call it.
    pub name: String,
    /// How it is made.
    pub form: TableForm,
    /// Of which inputs, by their number; 0 is the signal the rule stands on.
    pub of: Vec<u8>,
    /// The result is multiplied by this.
    pub factor: f64,
}

/// How a number is made of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableForm {
    /// The first less all others.
    Difference,
    /// All together.
    Sum,
    /// All multiplied.
    Product,
    /// The first divided by all others; unknown where one of them is 0.
    Ratio,
}

impl TableForm {
    /// The word of its key.
    pub fn word(self) -> &'static str {
        match self {
            Self::Difference => "difference",
            Self::Sum => "sum",
            Self::Product => "product",
            Self::Ratio => "ratio",
        }
    }
}

/// A row: what must hold, and what it means then.
#[derive(Debug, Clone, PartialEq)]
pub struct TableRow {
    /// What it means; rows of the same outcome are alternatives.
    pub outcome: String,
    /// All must hold.
    pub when: Vec<TableTest>,
    /// 1 to 1000.
    pub severity: u16,
}

/// A test of a signal or of a number made of signals.
#[derive(Debug, Clone, PartialEq)]
pub struct TableTest {
    /// What is looked at.
    pub what: TableWhat,
    /// What must be true of it.
    pub test: Test,
}

/// What a test of a table looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableWhat {
    /// The newest good value of an input, by its number.
    Input(u8),
    /// A number made of signals, by its place.
    Value(u8),
}
