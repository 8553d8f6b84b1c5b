//! Rule states as rows: what is written, and what a start makes of what it finds.

use crate::{engine::Counts, rules::State};
use andon_model::{AssetName, Name, Position, SignalName, SiteName};
use andon_store::rows::RuleStateRow;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The version that marks the row of the clocks; a rule's version is a hash and never has a colon.
const CLOCKS: &str = "andon:clocks/1";

/// The stored state of a rule for an asset, with what an event needs when the rule is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedState {
    /// The signal it reads.
    pub(crate) signal: SignalName,
    /// The asset's site.
    pub(crate) site: SiteName,
    /// The unit of its values.
    pub(crate) unit: String,
    /// The source whose clock its timers run by, once a sample has come.
    pub(crate) source: Option<Name>,
    /// What its machine remembers.
    pub(crate) state: State,
}

/// What all rules share: written with the file of states, at the place all of them have reached.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Clocks {
    /// The revision of the contract in force.
    pub revision: String,
    /// What became of the samples so far.
    pub counts: Counts,
    /// The newest time of each signal by number, in ns.
    pub newest: Vec<(u32, i64)>,
    /// The newest time of each clock, in ns.
    pub plant: Vec<(AssetName, Name, i64)>,
}

impl Clocks {
    /// As a row of the file; it never goes into the database.
    pub(crate) fn row(&self, position: Position) -> RuleStateRow {
        RuleStateRow {
            rule: Name::new("clocks").expect("it is a name"),
            asset: AssetName::new("all").expect("it is a name"),
            version: CLOCKS.to_owned(),
            position,
            state: serde_json::to_value(self).expect("names and numbers become JSON"),
        }
    }
}

/// Everything a start goes on from.
#[derive(Debug, Clone, Default)]
pub struct Saved {
    /// The smallest position: reading goes on here.
    pub position: Position,
    /// The clocks at that position.
    pub clocks: Clocks,
    /// The states by rule and asset.
    pub rows: BTreeMap<(Name, AssetName), RuleStateRow>,
}

impl Saved {
    /// Joins the file beside the log and the rows of the database: of each state the one that has
    /// read further. `start` is where a log is read from that was never read.
    pub fn merge(file: Vec<RuleStateRow>, database: Vec<RuleStateRow>, start: Position) -> Result<Self, String> {
        let mut saved = Self { position: start, ..Self::default() };
        let mut from_file = BTreeMap::new();
        for row in file {
            if row.version == CLOCKS {
                saved.position = row.position;
                saved.clocks = serde_json::from_value(row.state).map_err(|e| format!("the clocks of rules: {e}"))?;
            } else {
                from_file.insert((row.rule.clone(), row.asset.clone()), row);
            }
        }
        saved.rows = from_file;
        for row in database {
            let key = (row.rule.clone(), row.asset.clone());
            // At the same place the database wins: an edit commits there without reading on.
            let older =
                saved.rows.get(&key).map_or(row.position < saved.position, |known| row.position < known.position);
            if !older {
                saved.rows.insert(key, row);
            }
        }
        Ok(saved)
    }
}

/// The state of a row, or what is wrong with it.
pub(crate) fn decode(row: &RuleStateRow) -> Result<SavedState, String> {
    SavedState::deserialize(&row.state).map_err(|e| e.to_string())
}

pub(crate) fn encode(saved: &SavedState) -> Json {
    serde_json::to_value(saved).expect("a state is made of names and numbers")
}

/// Reads bytes as a stored state; whatever is accepted must read back the same. For fuzzing.
pub fn fuzz(data: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Json>(data) else { return };
    let Ok(saved) = SavedState::deserialize(&json) else { return };
    let again = encode(&saved);
    let read = SavedState::deserialize(&again).expect("what was written reads back");
    assert_eq!(encode(&read), again, "a state changes when it is read back");
}
