//! `kind: table`: several signals, and what they mean together.

use super::common::ConditionFile;
use crate::{
    files::words::{Comparand, Duration},
    read::{At, Entries, Items},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Alarms where several signals of an asset say something together. It is judged when all that one moment says is
/// there.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableRuleFile {
    /// `table`.
    #[expect(dead_code, reason = "the key decides which shape the file has and is looked at before")]
    pub(crate) kind: TableWord,
    /// Numbers made of signals, by name: `spread: { difference: [process-temperature, air-temperature] }`.
    #[serde(default)]
    pub(crate) values: Entries<String, TableValueFile>,
    /// The rows. Rows of the same outcome are alternatives.
    pub(crate) rows: Items<TableRowFile>,
    /// `all` rows that hold count (default), or only the `first`.
    #[serde(default)]
    pub(crate) hits: Option<At<HitsWord>>,
    /// 1 to 1000, of rows that say no other.
    #[serde(default)]
    pub(crate) severity: Option<At<u16>>,
    /// An outcome must hold this long before it is an alarm; default 0 s.
    #[serde(default, rename = "OnDelay")]
    pub(crate) on_delay: Option<At<Duration>>,
    /// It must not hold this long before the alarm ends; default 0 s.
    #[serde(default, rename = "OffDelay")]
    pub(crate) off_delay: Option<At<Duration>>,
}

/// The word `table`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum TableWord {
    /// A decision table.
    Table,
}

/// Which rows count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum HitsWord {
    /// All that hold.
    All,
    /// The first that holds.
    First,
}

/// A number made of signals of the asset: one of four forms, of at least two signals.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableValueFile {
    /// The first less all others.
    #[serde(default)]
    pub(crate) difference: Option<At<Vec<At<String>>>>,
    /// All together.
    #[serde(default)]
    pub(crate) sum: Option<At<Vec<At<String>>>>,
    /// All multiplied.
    #[serde(default)]
    pub(crate) product: Option<At<Vec<At<String>>>>,
    /// The first divided by all others.
    #[serde(default)]
    pub(crate) ratio: Option<At<Vec<At<String>>>>,
    /// The result is multiplied by this; default 1.
    #[serde(default)]
    pub(crate) factor: Option<At<f64>>,
}

/// A row: what must hold, and what it means then.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableRowFile {
    /// What it means, in a word: `data.outcome` of the alarm.
    pub(crate) outcome: At<String>,
    /// Conditions that must all hold.
    pub(crate) when: Items<TableConditionFile>,
    /// 1 to 1000; default that of the table.
    #[serde(default)]
    pub(crate) severity: Option<At<u16>>,
}

/// A condition: a signal or one of the table's values, and one test of it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableConditionFile {
    /// A signal of the asset: its newest good value.
    #[serde(default)]
    pub(crate) signal: Option<At<String>>,
    /// One of `values`.
    #[serde(default)]
    pub(crate) value: Option<At<String>>,
    /// Equal to this.
    #[serde(default)]
    pub(crate) is: Option<At<Comparand>>,
    /// Known, and not equal to this.
    #[serde(default)]
    pub(crate) not: Option<At<Comparand>>,
    /// Equal to one of these.
    #[serde(default, rename = "in")]
    pub(crate) one_of: Option<At<Vec<At<Comparand>>>>,
    /// A number above this.
    #[serde(default)]
    pub(crate) above: Option<At<f64>>,
    /// A number below this.
    #[serde(default)]
    pub(crate) below: Option<At<f64>>,
    /// Whether it is known at all.
    #[serde(default)]
    pub(crate) exists: Option<At<bool>>,
}

impl TableConditionFile {
    /// The same as a condition of a guard, without what it looks at where that is one of the table's values.
    pub(crate) fn plain(&self) -> ConditionFile {
        ConditionFile {
            signal: self.signal.clone(),
            context: None,
            is: self.is.clone(),
            not: self.not.clone(),
            one_of: self.one_of.clone(),
            above: self.above.clone(),
            below: self.below.clone(),
            exists: self.exists.clone(),
        }
    }
}
