//! What a table says of its rows.

use super::{Settings, State, held, number};
use crate::{
    guard,
    saw::{self, row_words},
};
use andon_contract::contract::TableWhat;
use andon_model::Value;
use serde_json::{Map, Value as Json, json};

impl State {
    /// Its rows with what they test, the values they look at, and whether they hold.
    pub(crate) fn shown(&self, set: &Settings, signals: &[String]) -> Map<String, Json> {
        let held = held(set, &self.inputs);
        let rows = set.rows.iter().map(|row| {
            let tests = row.when.iter().map(|test| self.value(set, test.what));
            let holds = row.when.iter().zip(tests).all(|(test, value)| guard::test(&test.test, value.as_ref()));
            let counts = holds && held.contains(&row.outcome.as_str());
            json!({ "outcome": row.outcome, "when": row_words(set, row, signals), "held": counts })
        });
        let mut all = Map::new();
        all.insert("rows".to_owned(), rows.collect());
        let values = set.rows.iter().flat_map(|row| &row.when).map(|test| {
            let value = self.value(set, test.what).map_or(Json::Null, |value| value.to_json());
            (saw::subject(set, test.what, signals).to_owned(), value)
        });
        all.insert("values".to_owned(), values.collect());
        all
    }

    /// The value that a test looks at; `None`: it is not known.
    fn value(&self, set: &Settings, what: TableWhat) -> Option<Value> {
        let input = |number: u8| self.inputs.get(usize::from(number)).and_then(Option::as_ref).map(|raw| &raw.value);
        match what {
            TableWhat::Input(number) => input(number).cloned(),
            TableWhat::Value(place) => set.values.get(usize::from(place)).and_then(|value| number(value, &input)),
        }
    }
}
