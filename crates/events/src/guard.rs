//! What must hold besides what a rule looks for: conditions on other signals and on the context.
//!
//! A guard remembers the newest good value of each signal its conditions read, in the rule's own
//! state: so what it says depends on nothing but the log up to the state's position.

use crate::{context::Context, evidence::Raw};
use andon_contract::contract::{Condition, RuleSettings, Test, What, Word};
use andon_model::{AssetName, Position, Sample, SignalName, Time, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::sync::Arc;

/// The conditions of a rule for one asset, with what they have seen.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    settings: Arc<RuleSettings>,
    /// The signals they read, in the order of [`andon_contract::contract::Guard::signals`].
    signals: Vec<SignalName>,
    seen: Seen,
    holds: bool,
    suppressed: bool,
}

/// What a guard remembers: by the number of its signal, the newest good sample.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen(Vec<Option<Raw>>);

impl Guard {
    /// The guard of a rule that asks for something.
    pub(crate) fn new(settings: &Arc<RuleSettings>) -> Option<Box<Self>> {
        if settings.guard.is_empty() {
            return None;
        }
        let signals = settings.guard.signals();
        let seen = Seen(vec![None; signals.len()]);
        Some(Box::new(Self { settings: Arc::clone(settings), signals, seen, holds: false, suppressed: false }))
    }

    /// What it remembers.
    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Takes up what an earlier one remembered, where it read the same signals.
    pub(crate) fn resume(&mut self, seen: Seen) {
        if seen.0.len() == self.seen.0.len() {
            self.seen = seen;
        }
    }

    /// Whether all conditions held when it was last asked.
    pub(crate) fn holds(&self) -> bool {
        self.holds
    }

    /// Whether all its `suppress` conditions held when it was last asked; never where there is none.
    pub(crate) fn suppressed(&self) -> bool {
        self.suppressed
    }

    /// The next sample of one of its signals that is not late.
    pub(crate) fn sample(&mut self, signal: usize, at: Position, sample: &Sample) {
        if sample.quality.is_good()
            && let Some(slot) = self.seen.0.get_mut(signal)
        {
            *slot = Some(Raw::new(at, sample));
        }
    }

    /// Asks its conditions about a time of the asset; says whether the answer is another one than before.
    pub(crate) fn ask(&mut self, asset: &AssetName, time: Time, context: &Context) -> bool {
        let suppress = &self.settings.guard.suppress;
        self.suppressed =
            !suppress.is_empty() && suppress.iter().all(|condition| self.passes(condition, asset, time, context));
        let holds = self.settings.guard.when.iter().all(|condition| self.passes(condition, asset, time, context));
        std::mem::replace(&mut self.holds, holds) != holds
    }

    fn passes(&self, condition: &Condition, asset: &AssetName, time: Time, context: &Context) -> bool {
        match &condition.what {
            What::Signal(signal) => {
                let number = self.signals.iter().position(|known| known == signal);
                let raw = number.and_then(|number| self.seen.0.get(number)?.as_ref());
                test(&condition.test, raw.map(|raw| &raw.value))
            }
            What::Context { name, field } => {
                let mut found = context.at(asset, name, time).map(|valid| &*valid.data);
                for part in field {
                    found = found.and_then(|json| json.get(part));
                }
                let value = found.and_then(plain);
                test(&condition.test, value.as_ref())
            }
        }
    }
}

/// A field of an object as a value that can be compared.
fn plain(json: &Json) -> Option<Value> {
    match json {
        Json::Bool(b) => Some(Value::Bool(*b)),
        Json::Number(n) => n.as_f64().map(Value::F64),
        Json::String(text) => Some(Value::Text(text.as_str().into())),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

fn test(test: &Test, value: Option<&Value>) -> bool {
    match test {
        Test::Exists(wanted) => value.is_some() == *wanted,
        Test::Is(word) => value.is_some_and(|value| equal(value, word)),
        Test::Not(word) => value.is_some_and(|value| !equal(value, word)),
        Test::In(words) => value.is_some_and(|value| words.iter().any(|word| equal(value, word))),
        Test::Above(limit) => value.and_then(Value::number).is_some_and(|number| number > *limit),
        Test::Below(limit) => value.and_then(Value::number).is_some_and(|number| number < *limit),
    }
}

fn equal(value: &Value, word: &Word) -> bool {
    match (value, word) {
        (Value::Bool(value), Word::Bool(word)) => value == word,
        (Value::Text(value), Word::Text(word)) => **value == **word,
        #[expect(clippy::float_cmp, reason = "a number is the same or it is not")]
        (value, Word::Number(word)) => value.number().is_some_and(|value| value == *word),
        _ => false,
    }
}
