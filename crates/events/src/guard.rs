//! What must hold besides what a rule looks for: conditions on other signals and on the context.
//!
//! A guard remembers the newest good value of each signal its conditions read, in the rule's own
//! state: so what it says depends on nothing but the log up to the state's position.

use crate::{context::Known, evidence::Raw};
use andon_contract::contract::{Condition, LimitLevel, RuleSettings, SeverityLine, Test, What, Word};
use andon_model::{AssetName, Position, Sample, SignalName, Time, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::sync::Arc;

/// The conditions of a rule for one asset, with what they have seen.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is an answer by itself")]
pub(crate) struct Guard {
    settings: Arc<RuleSettings>,
    /// The signals they read, in the order of [`andon_contract::contract::Guard::signals`].
    signals: Vec<SignalName>,
    /// By the number of its signal, the newest good sample.
    values: Vec<Option<Raw>>,
    /// Whether the answers depend on the context, and so on the time that is asked about.
    reads_context: bool,
    /// Whether a value has changed since the conditions were last asked.
    changed: bool,
    holds: bool,
    suppressed: bool,
    /// Which lines of the table of severities hold.
    lines: Vec<bool>,
    /// The place of a sample of the rule's own signal that the message which is read still holds.
    comes: Option<Position>,
}

/// What a guard remembers: whether its conditions held, and of each signal the newest good sample.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seen {
    holds: bool,
    values: Vec<(SignalName, Raw)>,
}

/// A condition as it stands, with what it looks at.
pub(crate) struct Looked<'a> {
    /// What it is for: `when`, `suppress`, or a severity.
    pub(crate) of: String,
    pub(crate) condition: &'a Condition,
    pub(crate) held: bool,
    /// `None`: it is not known.
    pub(crate) value: Option<Value>,
    /// Since when: the time of the sample, or the beginning of the object.
    pub(crate) time: Option<Time>,
    /// The object, of the context.
    pub(crate) object: Option<String>,
}

impl Guard {
    /// The guard of a rule that asks for something.
    pub(crate) fn new(settings: &Arc<RuleSettings>) -> Option<Box<Self>> {
        if settings.guard.is_empty() {
            return None;
        }
        let signals = settings.guard.signals();
        Some(Box::new(Self {
            settings: Arc::clone(settings),
            values: vec![None; signals.len()],
            signals,
            reads_context: settings.guard.reads_context(),
            changed: true,
            holds: false,
            suppressed: false,
            lines: vec![false; settings.guard.severities.len()],
            comes: None,
        }))
    }

    /// What it remembers.
    pub(crate) fn seen(&self) -> Seen {
        let known = self.signals.iter().zip(&self.values);
        let values = known.filter_map(|(signal, value)| Some((signal.clone(), value.clone()?))).collect();
        Seen { holds: self.holds, values }
    }

    /// Takes up what an earlier one remembered of the signals that this one reads; `None`: there were no conditions,
    /// and so nothing was kept from beginning.
    pub(crate) fn resume(&mut self, seen: Option<Seen>) {
        let seen = seen.unwrap_or(Seen { holds: true, values: Vec::new() });
        self.holds = seen.holds;
        for (signal, value) in seen.values {
            let number = self.signals.iter().position(|known| *known == signal);
            if let Some(slot) = number.and_then(|number| self.values.get_mut(number)) {
                *slot = Some(value);
            }
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

    /// How bad an alarm of a level is by the table, as its conditions were last asked.
    pub(crate) fn line(&self, level: Option<LimitLevel>) -> Option<&SeverityLine> {
        let lines = self.settings.guard.severities.iter().zip(&self.lines);
        let mut fitting = lines.filter(|(line, holds)| **holds && (line.limit.is_none() || line.limit == level));
        fitting.next().map(|(line, _)| line)
    }

    /// The next sample of one of its signals that is not late. One that was foreseen stays where it is.
    pub(crate) fn sample(&mut self, signal: usize, at: Position, sample: &Sample) {
        if sample.quality.is_good()
            && let Some(slot) = self.values.get_mut(signal)
            && slot.as_ref().is_none_or(|known| known.position < at)
        {
            *slot = Some(Raw::new(at, sample));
            self.changed = true;
        }
    }

    /// A sample of the rule's own signal comes later in the message that is read: it decides, not what was before.
    pub(crate) fn comes(&mut self, at: Position) {
        self.comes = Some(at);
    }

    /// Whether the message that is read holds a sample of the rule's own signal behind this place.
    pub(crate) fn awaits(&self, at: Position) -> bool {
        self.comes.is_some_and(|comes| comes > at)
    }

    /// Asks its conditions about a time of the asset; says whether the answer is another one than before.
    pub(crate) fn ask(&mut self, asset: &AssetName, time: Time, known: Known) -> bool {
        if !self.changed && !self.reads_context {
            return false;
        }
        self.changed = false;
        let guard = &self.settings.guard;
        let all = |list: &[Condition]| list.iter().all(|condition| self.passes(condition, asset, time, known));
        let suppressed = !guard.suppress.is_empty() && all(&guard.suppress);
        let holds = all(&guard.when);
        let lines = guard.severities.iter().map(|line| all(&line.when)).collect();
        self.suppressed = suppressed;
        self.lines = lines;
        std::mem::replace(&mut self.holds, holds) != holds
    }

    /// Each condition as it stands now, with what it looks at; the context is asked about this time.
    pub(crate) fn look(&self, asset: &AssetName, time: Time, known: Known) -> Vec<Looked<'_>> {
        let guard = &self.settings.guard;
        let when = guard.when.iter().map(|condition| ("when".to_owned(), condition));
        let suppress = guard.suppress.iter().map(|condition| ("suppress".to_owned(), condition));
        let of_line = |line: &'_ SeverityLine| format!("severity {}", line.severity);
        let lines = guard.severities.iter().flat_map(|line| line.when.iter().map(move |c| (of_line(line), c)));
        let all = when.chain(suppress).chain(lines);
        all.map(|(of, condition)| self.looked(of, condition, asset, time, known)).collect()
    }

    fn looked<'a>(
        &self,
        of: String,
        condition: &'a Condition,
        asset: &AssetName,
        time: Time,
        known: Known,
    ) -> Looked<'a> {
        let held = self.passes(condition, asset, time, known);
        let (value, time, object) = match &condition.what {
            What::Signal(signal) => {
                let number = self.signals.iter().position(|known| known == signal);
                let raw = number.and_then(|number| self.values.get(number)?.as_ref());
                (raw.map(|raw| raw.value.clone()), raw.map(|raw| raw.time), None)
            }
            What::Context { name, field } => {
                let valid = known.at(asset, name, time, &self.settings.guard);
                let mut found = valid.map(|valid| &*valid.data);
                for part in field {
                    found = found.and_then(|json| json.get(part));
                }
                let value = found.and_then(|json| plain(json, &condition.test));
                let from = valid.map(|valid| valid.from).filter(|from| *from != Time::MIN);
                (value, from, valid.map(|valid| valid.object.clone()))
            }
        };
        Looked { of, condition, held, value, time, object }
    }

    fn passes(&self, condition: &Condition, asset: &AssetName, time: Time, known: Known) -> bool {
        match &condition.what {
            What::Signal(signal) => {
                let number = self.signals.iter().position(|known| known == signal);
                let raw = number.and_then(|number| self.values.get(number)?.as_ref());
                test(&condition.test, raw.map(|raw| &raw.value))
            }
            What::Context { name, field } => {
                let mut found = known.at(asset, name, time, &self.settings.guard).map(|valid| &*valid.data);
                for part in field {
                    found = found.and_then(|json| json.get(part));
                }
                let value = found.and_then(|json| plain(json, &condition.test));
                test(&condition.test, value.as_ref())
            }
        }
    }
}

/// A field of an object as a value that can be compared. Amounts are decimals in texts: a number is compared with what
/// they say.
fn plain(json: &Json, test: &Test) -> Option<Value> {
    let number = match test {
        Test::Above(_) | Test::Below(_) => true,
        Test::Is(word) | Test::Not(word) => matches!(word, Word::Number(_)),
        Test::In(words) => words.iter().any(|word| matches!(word, Word::Number(_))),
        Test::Exists(_) => false,
    };
    match json {
        Json::String(word) if number => word.parse::<f64>().ok().filter(|n| n.is_finite()).map(Value::F64),
        Json::Bool(b) => Some(Value::Bool(*b)),
        Json::Number(n) => n.as_f64().map(Value::F64),
        Json::String(word) => Some(Value::Text(word.as_str().into())),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// Whether a value passes a test.
pub(crate) fn test(test: &Test, value: Option<&Value>) -> bool {
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
