//! Rule states as rows: what is written, and what a start makes of what it finds.

use crate::{
    context::{Context, Floor},
    engine::Counts,
    evidence::{Rest, Rests, Sharing, from_file, into_file},
    gate::Gate,
    guard::Seen,
    rules::State,
    waiting::Waiting,
};
use andon_model::{AssetName, Name, Position, SignalName, SiteName};
use andon_store::{KeptState, StatesFile, rows::RuleStateRow};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// The version that marks the row of the clocks; a rule's version is a hash and never has a colon.
const CLOCKS: &str = "andon:clocks/1";
/// The version that marks a row of evidence that several states share.
const EVIDENCE: &str = "andon:evidence/1";

/// The stored state of a rule for an asset, with what an event needs when the rule is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedState {
    /// The signals its machine reads; the first is the one it stands on.
    pub(crate) inputs: Vec<SignalName>,
    /// The asset's site.
    pub(crate) site: SiteName,
    /// The unit of its values.
    pub(crate) unit: String,
    /// The source whose clock its timers run by, once a sample has come.
    pub(crate) source: Option<Name>,
    /// What its guard remembers, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) guard: Option<Seen>,
    /// What its gate remembers, where there is anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gate: Option<Gate>,
    /// Its events that wait for newer context.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(crate) waiting: VecDeque<Waiting>,
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
    /// The revision of the context that is known.
    #[serde(default)]
    pub context: u64,
    /// What of the context was forgotten, since it was too much.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) forgotten: Vec<Floor>,
}

impl Clocks {
    /// Puts them into a file as a row, which stands at the place the file begins with; they never go into the database.
    pub(crate) fn put(&self, file: &mut StatesFile) {
        let (rule, asset) = (Name::new("clocks"), AssetName::new("all"));
        let (rule, asset) = (rule.expect("it is a name"), asset.expect("it is a name"));
        file.put(&rule, &asset, CLOCKS, file.from(), |bytes| {
            serde_json::to_writer(bytes, self).expect("names and numbers become JSON");
        });
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
    pub rows: BTreeMap<(Name, AssetName), KeptState>,
    /// What the evidence of several of them shares.
    pub(crate) rests: Arc<Rests>,
    /// What is known of the context at that position; `None`: nothing.
    pub context: Option<Context>,
}

impl Saved {
    /// Nothing yet: reading begins here.
    pub fn at(position: Position) -> Self {
        Self { position, ..Self::default() }
    }

    /// Joins the file beside the log and the rows of the database: of each state the one that has
    /// read further. `start` is where a log is read from that was never read.
    pub fn merge(file: Vec<KeptState>, database: Vec<RuleStateRow>, start: Position) -> Result<Self, String> {
        let mut saved = Self::at(start);
        let mut rests = Rests::new();
        for row in file {
            if row.version == EVIDENCE {
                let shared = serde_json::from_slice(&row.state);
                let Shared { number, rest } = shared.map_err(|e| format!("the evidence that rules share: {e}"))?;
                rests.insert(number, rest);
                continue;
            }
            if row.version != CLOCKS {
                saved.rows.insert((row.rule.clone(), row.asset.clone()), row);
                continue;
            }
            // One row, or several of which each has a piece.
            let clocks = serde_json::from_slice(&row.state);
            let Clocks { revision, counts, newest, plant, context, forgotten } =
                clocks.map_err(|e| format!("the clocks of rules: {e}"))?;
            saved.position = row.position;
            saved.clocks.revision = revision;
            saved.clocks.counts = counts;
            saved.clocks.context = context;
            saved.clocks.forgotten = forgotten;
            saved.clocks.newest.extend(newest);
            saved.clocks.plant.extend(plant);
        }
        for row in database {
            let key = (row.rule.clone(), row.asset.clone());
            // At the same place the database wins: an edit commits there without reading on.
            let older =
                saved.rows.get(&key).map_or(row.position < saved.position, |known| row.position < known.position);
            if !older {
                saved.rows.insert(key, row.into());
            }
        }
        saved.rests = Arc::new(rests);
        Ok(saved)
    }
}

/// Puts the ranges that have no row yet into a file; the states that name them stand there too.
pub(crate) fn put_shared(sharing: &mut Sharing, file: &mut StatesFile) {
    for (number, rest) in sharing.take_new() {
        let (rule, asset) = (Name::new("evidence"), AssetName::new("all"));
        let (rule, asset) = (rule.expect("it is a name"), asset.expect("it is a name"));
        file.put(&rule, &asset, EVIDENCE, file.from(), |bytes| {
            serde_json::to_writer(bytes, &Shared { number, rest }).expect("samples become JSON");
        });
    }
}

/// A row of evidence that several states share.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shared {
    number: u64,
    rest: Arc<Rest>,
}

/// The state of a row, or what is wrong with it; `rests` is what the rows of its file share.
pub(crate) fn decode(row: &KeptState, rests: &Arc<Rests>) -> Result<SavedState, String> {
    let error = match from_file(rests, || serde_json::from_slice(&row.state)) {
        Ok(saved) => return Ok(saved),
        Err(error) => error,
    };
    let Ok(Json::Object(map)) = serde_json::from_slice(&row.state) else { return Err(error.to_string()) };
    from_file(rests, || SavedState::deserialize(&renewed(Json::Object(map)))).map_err(|_| error.to_string())
}

/// A state as it is written today: those of earlier folders named the one signal they read `signal`.
fn renewed(mut state: Json) -> Json {
    if let Some(map) = state.as_object_mut()
        && let Some(signal) = map.remove("signal")
    {
        map.insert("inputs".to_owned(), Json::Array(vec![signal]));
    }
    state
}

pub(crate) fn encode(saved: &SavedState) -> Json {
    serde_json::to_value(saved).expect("a state is made of names and numbers")
}

/// Appends a state as JSON; what others of the file have too it names by its number.
pub(crate) fn write_state(saved: &SavedState, sharing: &mut Sharing, bytes: &mut Vec<u8>) {
    into_file(sharing, || serde_json::to_writer(bytes, saved).expect("a state is made of names and numbers"));
}

/// Reads bytes as a stored state; whatever is accepted must read back the same. For fuzzing.
pub fn fuzz(data: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Json>(data) else { return };
    let Ok(saved) = SavedState::deserialize(&json) else { return };
    let again = encode(&saved);
    let read = SavedState::deserialize(&again).expect("what was written reads back");
    assert_eq!(encode(&read), again, "a state changes when it is read back");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(rule: &str, offset: u64, state: Json) -> RuleStateRow {
        RuleStateRow {
            rule: Name::new(rule).unwrap(),
            asset: AssetName::new("m").unwrap(),
            version: "v".into(),
            position: Position { epoch: 1, offset },
            state,
        }
    }

    #[test]
    fn of_each_state_the_one_that_has_read_further_is_taken() {
        let clocks = |newest| {
            let clocks = Clocks { newest: vec![newest], ..Clocks::default() };
            KeptState { version: CLOCKS.into(), ..row("clocks", 10, json!(clocks)).into() }
        };
        let of = |rule| KeptState::from(row(rule, 10, json!("file")));
        let file = vec![clocks((1, 1)), of("a"), of("b"), of("c"), clocks((2, 2))];
        let database = vec![
            row("a", 9, json!("database")),
            row("b", 10, json!("database")),
            row("c", 12, json!("database")),
            row("gone", 9, json!("database")),
            row("late", 11, json!("database")),
        ];
        let saved = Saved::merge(file, database, Position::default()).unwrap();
        let text = |row: &KeptState| String::from_utf8(row.state.clone()).unwrap();
        let found: Vec<String> = saved.rows.values().map(|row| format!("{} {}", row.rule, text(row))).collect();
        assert_eq!(found, [r#"a "file""#, r#"b "database""#, r#"c "database""#, r#"late "database""#]);
        assert_eq!(saved.position.offset, 10);
        assert_eq!(saved.clocks.newest, [(1, 1), (2, 2)]);
    }

    #[test]
    fn a_log_that_was_never_read_is_read_from_its_start() {
        let start = Position { epoch: 1, offset: 4 };
        assert_eq!(Saved::merge(Vec::new(), Vec::new(), start).unwrap().position, start);
        let damaged = KeptState { version: CLOCKS.into(), ..row("clocks", 4, json!(7)).into() };
        assert!(Saved::merge(vec![damaged], Vec::new(), start).is_err());
    }

    #[test]
    fn whatever_stands_in_a_state_is_read_or_refused() {
        let good = json!({
            "inputs": ["t"], "site": "home", "unit": "Cel", "source": "plc",
            "state": {"kind": "limit", "newest": [1, 2, 3, 4, 0, 5.5], "phase": {"pending": {
                "level": "High", "since": "2026-11-22T08:00:00Z", "start": {"epoch": 1, "offset": 2},
                "gather": {"first": [1, 2, 3, 4, 0, null], "rest": null},
                "tail": {"first": [1, 2, 3, 4, 0, ["0aFF"]], "rest": null}
            }}}
        });
        let mut good = good;
        good["waiting"] = json!([{
            "until": "2026-11-22T08:00:00Z",
            "event": {"specversion": "1.0", "id": "ev_7K3QF0ZT9M2RX4B8", "source": "/home/rules/hot",
                "type": "asset.alarm", "time": "2026-11-22T08:05:00.25Z", "subject": "m",
                "dataschema": "andon:asset.alarm/1.2", "site": "home",
                "partitionkey": "m", "correlationid": "ev_7K3QF0ZT9M2RX4B8", "recordedtime": "2026-11-22T08:05:01Z",
                "datacontenttype": "application/json", "data": {"change": "activated"}},
            "evidence": {"from": {"epoch": 1, "offset": 2}, "to": {"epoch": 1, "offset": 3}, "count": 2, "hash": "00",
                "samples": []},
        }]);
        let text = serde_json::to_vec(&good).unwrap();
        assert!(SavedState::deserialize(&good).is_ok());
        fuzz(&text);
        let mut chance: u64 = 1;
        for _ in 0..20_000 {
            let mut bytes = text.clone();
            for _ in 0..3 {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = usize::try_from(chance >> 33).unwrap() % bytes.len();
                bytes[at] = b"0123456789.,:[]{}\"-eEnul"[usize::try_from(chance >> 40).unwrap() % 24];
            }
            fuzz(&bytes);
        }
    }
}
