//! What a table says of its rows.

use super::{Settings, State, held, number};
use crate::{
    guard,
    saw::{self, row_words},
    why::{Finding, Look, Reason},
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

impl State {
    /// Why it has not fired, row by row.
    pub(crate) fn why(&self, set: &Settings, look: &Look) -> Vec<Finding> {
        let mut all = Vec::new();
        for (name, outcome) in &self.outcomes {
            if let Some(event) = outcome.activation {
                let text = format!("the alarm {name} stands since {}", outcome.since);
                let finding = Finding::new(Reason::Fired, text).at(outcome.since).with("outcome", name.as_str());
                all.push(Finding { event: Some(event), ..finding });
            } else {
                let what = format!("a row of {name} held");
                all.push(look.runs("OnDelay", &what, outcome.since, outcome.since.plus(set.on_delay)));
            }
        }
        if let Some(waits) = self.waits {
            let text = format!("what was said at {waits} is judged when the clock has passed that time");
            all.push(Finding::new(Reason::Waits, text).at(waits));
        }
        let held = held(set, &self.inputs);
        for (number, row) in (1..).zip(&set.rows) {
            let mut failed = Vec::new();
            for test in &row.when {
                let value = self.value(set, test.what);
                if !guard::test(&test.test, value.as_ref()) {
                    let words = saw::test_words(&test.test);
                    let subject = saw::subject(set, test.what, look.signals);
                    let value = value.as_ref().map_or_else(|| "not known".to_owned(), saw::value_words);
                    failed.push(format!("{subject} {words}, and it was {value}"));
                }
            }
            let text = match (failed.is_empty(), held.contains(&row.outcome.as_str())) {
                (true, true) => continue,
                (true, false) => format!("row {number} ({}) holds, but one before it counts", row.outcome),
                (false, _) => format!("row {number} ({}) does not hold: {}", row.outcome, failed.join("; ")),
            };
            let mut finding =
                Finding::new(Reason::NotBeyond, text).with("row", number).with("outcome", row.outcome.as_str());
            finding.time = self.inputs.iter().flatten().map(|raw| raw.time).max();
            all.push(finding);
        }
        all
    }
}
