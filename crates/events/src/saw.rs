//! What a rule saw when it found something: the settings in force, its timers, its conditions with the values they
//! looked at, what kept its alarms quiet, and the context with its age. Made where an event is born and nowhere else.

use crate::{
    gate::Gate,
    guard::Looked,
    identity::{ChangeKind, level_word},
    rules::{Change, Fact},
};
use andon_contract::contract::{
    Condition, CounterSettings, Every, LimitSettings, RuleKind, RuleSettings, SpcSettings, SpectrumSettings,
    StateSettings, TableForm, TableRow, TableSettings, TableWhat, Test, What, WindowFunction, WindowSettings, Word,
};
use andon_model::{SignalName, Time, Value, quantity::decimal, span::Span};
use serde_json::{Map, Value as Json, json};

/// What is in force of a rule for an asset, by the keys of its file; `inputs` are the signals it reads, the first of
/// them being the one it stands on.
pub(crate) fn settings(of: &RuleSettings, inputs: &[SignalName]) -> Map<String, Json> {
    let mut all = Map::new();
    let name = |number: u8| inputs.get(usize::from(number)).map_or("", SignalName::as_str);
    put(&mut all, "kind", of.kind.word());
    put(&mut all, "signal", name(0));
    if of.unit != "1" {
        put(&mut all, "unit", of.unit.as_str());
    }
    match &of.kind {
        RuleKind::Limit(set) => levels(&mut all, set),
        RuleKind::Deviation(set) => {
            put(&mut all, "setpoint", name(1));
            levels(&mut all, set);
        }
        RuleKind::RateOfChange(set) => {
            put(&mut all, "per", set.per.to_string());
            if let Some(over) = set.over {
                put(&mut all, "over", over.to_string());
            }
            levels(&mut all, &set.levels);
        }
        RuleKind::Window(set) => window(&mut all, set),
        RuleKind::Stale(set) => {
            put(&mut all, "after", set.after.to_string());
            put(&mut all, "severity", set.severity);
        }
        RuleKind::Spc(set) => spc(&mut all, set),
        RuleKind::Spectrum(set) => spectrum(&mut all, set),
        RuleKind::State(set) => states(&mut all, set, &name),
        RuleKind::Counter(set) => counter(&mut all, set, &name),
        RuleKind::Table(set) => table(&mut all, set, &name),
    }
    all
}

fn put(all: &mut Map<String, Json>, name: &str, value: impl Into<Json>) {
    all.insert(name.to_owned(), value.into());
}

fn levels(all: &mut Map<String, Json>, set: &LimitSettings) {
    for (level, limit) in &set.limits {
        put(all, level_word(*level), json!({ "value": limit.value, "severity": limit.severity }));
    }
    if set.deadband > 0.0 {
        put(all, "Deadband", set.deadband);
    }
    delays(all, set.on_delay, set.off_delay);
    if let Some(span) = set.realarm {
        put(all, "ReAlarmTime", span.to_string());
    }
}

fn delays(all: &mut Map<String, Json>, on: Span, off: Span) {
    for (name, span) in [("OnDelay", on), ("OffDelay", off)] {
        if span > Span::ZERO {
            put(all, name, span.to_string());
        }
    }
}

/// The word of a function of a window.
pub(crate) fn function(of: WindowFunction) -> String {
    match of {
        WindowFunction::Mean => "mean".to_owned(),
        WindowFunction::Rms => "rms".to_owned(),
        WindowFunction::Min => "min".to_owned(),
        WindowFunction::Max => "max".to_owned(),
        WindowFunction::Stddev => "stddev".to_owned(),
        WindowFunction::Slope(per) => format!("slope per {per}"),
        WindowFunction::Count => "count".to_owned(),
        WindowFunction::Percentile(share) => format!("percentile {}", decimal(share)),
    }
}

fn window(all: &mut Map<String, Json>, set: &WindowSettings) {
    put(all, "function", function(set.function));
    put(all, "over", set.over.to_string());
    put(all, "every", set.every.to_string());
    if set.lateness > Span::ZERO {
        put(all, "lateness", set.lateness.to_string());
    }
    put(all, "at-least", set.at_least);
    levels(all, &set.levels);
}

fn spc(all: &mut Map<String, Json>, set: &SpcSettings) {
    let rules = set.rules.iter().map(|(rule, severity)| json!({ "rule": rule.word(), "severity": severity }));
    put(all, "rules", rules.collect::<Vec<_>>());
    put(all, "subgroup", set.subgroup);
    if let Some(learn) = set.learn {
        put(all, "learn", json!({ "samples": learn.samples, "sigma": learn.sigma }));
    }
}

fn spectrum(all: &mut Map<String, Json>, set: &SpectrumSettings) {
    use andon_contract::contract::Feature;
    put(all, "feature", set.feature.word());
    if let Feature::VelocityRms(band) | Feature::Band(band) = set.feature {
        put(all, "from", band.from);
        put(all, "to", band.to);
    }
    put(all, "rate", set.waveform.rate);
    if set.zones {
        put(all, "zones", true);
    }
    levels(all, &set.limit);
}

fn states<'a>(all: &mut Map<String, Json>, set: &StateSettings, name: &impl Fn(u8) -> &'a str) {
    put(all, "at-least", set.at_least.to_string());
    if let Some(reason) = &set.reason {
        put(all, "reason", name(reason.input));
        put(all, "reason-within", reason.within.to_string());
    }
    if let Some(cycle) = &set.cycle {
        let cycle = json!({ "runs": cycle.runs, "completed": cycle.completed, "given-up": cycle.given_up });
        put(all, "cycle", cycle);
    }
}

fn counter<'a>(all: &mut Map<String, Json>, set: &CounterSettings, name: &impl Fn(u8) -> &'a str) {
    let counts: Map<String, Json> =
        set.counts.iter().zip(0_u8..).map(|(kind, number)| (kind.word().to_owned(), name(number).into())).collect();
    put(all, "counts", counts);
    if let Some(rollover) = set.rollover {
        put(all, "rollover", rollover);
    }
    if let Some(most) = set.max_step {
        put(all, "max-step", most);
    }
    if let Some(gap) = set.gap {
        put(all, "gap", gap.to_string());
    }
    put(
        all,
        "every",
        match set.every {
            Every::Count(count, span) => format!("{count} or {span}"),
            Every::Time(span) => span.to_string(),
        },
    );
}

fn table<'a>(all: &mut Map<String, Json>, set: &TableSettings, name: &impl Fn(u8) -> &'a str) {
    for value in &set.values {
        let of: Vec<&str> = value.of.iter().map(|number| name(*number)).collect();
        let sign = match value.form {
            TableForm::Difference => " - ",
            TableForm::Sum => " + ",
            TableForm::Product => " * ",
            TableForm::Ratio => " / ",
        };
        put(all, &value.name, format!("{} times {}", of.join(sign), decimal(value.factor)));
    }
    put(all, "hit", if set.first_only { "first" } else { "all" });
    delays(all, set.on_delay, set.off_delay);
}

/// A row of a table in words: `torque above 5, speed is 0`.
pub(crate) fn row_words(set: &TableSettings, row: &TableRow, inputs: &[String]) -> String {
    row.when
        .iter()
        .map(|test| format!("{} {}", subject(set, test.what, inputs), test_words(&test.test)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// What a test of a table looks at, by name.
pub(crate) fn subject<'a>(set: &'a TableSettings, what: TableWhat, inputs: &'a [String]) -> &'a str {
    match what {
        TableWhat::Input(number) => inputs.get(usize::from(number)).map_or("", |name| bare(name)),
        TableWhat::Value(place) => set.values.get(usize::from(place)).map_or("", |value| &value.name),
    }
}

/// A signal without its asset.
pub(crate) fn bare(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, signal)| signal)
}

/// A condition in words: `state is Execute`.
pub(crate) fn condition_words(condition: &Condition) -> String {
    let what = match &condition.what {
        What::Signal(signal) => signal.to_string(),
        What::Context { name, field } => format!("{name}.{}", field.join(".")),
    };
    format!("{what} {}", test_words(&condition.test))
}

pub(crate) fn test_words(test: &Test) -> String {
    match test {
        Test::Is(wanted) => format!("is {}", word(wanted)),
        Test::Not(wanted) => format!("is not {}", word(wanted)),
        Test::In(list) => format!("is one of {}", list.iter().map(word).collect::<Vec<_>>().join(", ")),
        Test::Above(limit) => format!("is above {}", decimal(*limit)),
        Test::Below(limit) => format!("is below {}", decimal(*limit)),
        Test::Exists(true) => "is known".to_owned(),
        Test::Exists(false) => "is not known".to_owned(),
    }
}

fn word(word: &Word) -> String {
    match word {
        Word::Bool(b) => b.to_string(),
        Word::Number(n) => decimal(*n),
        Word::Text(text) => text.clone(),
    }
}

/// A value in words.
pub(crate) fn value_words(value: &Value) -> String {
    match value {
        Value::F64(number) if number.is_finite() => decimal(*number),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::Text(text) if text.chars().count() > 60 => text.chars().take(57).chain("...".chars()).collect(),
        other => other.to_string(),
    }
}

/// The delays of alarms of a kind of rule: `OnDelay`, `OffDelay`, `ReAlarmTime`.
pub(crate) fn delays_of(kind: &RuleKind) -> (Span, Span, Option<Span>) {
    let of = |set: &LimitSettings| (set.on_delay, set.off_delay, set.realarm);
    match kind {
        RuleKind::Limit(set) | RuleKind::Deviation(set) => of(set),
        RuleKind::RateOfChange(set) => of(&set.levels),
        RuleKind::Window(set) => of(&set.levels),
        RuleKind::Spectrum(set) => of(&set.limit),
        RuleKind::Table(set) => (set.on_delay, set.off_delay, None),
        RuleKind::State(set) => (set.at_least, Span::ZERO, None),
        RuleKind::Stale(_) | RuleKind::Spc(_) | RuleKind::Counter(_) => (Span::ZERO, Span::ZERO, None),
    }
}

/// The timers that a change is about: those that ran out and those that run from it on.
pub(crate) fn timers(kind: &RuleKind, change: &Change) -> Vec<Json> {
    let mut all = Vec::new();
    let mut timer = |name: &str, lasts: Span, from: Time, passed: bool| {
        if lasts > Span::ZERO {
            let state = if passed { "passed" } else { "runs" };
            let (lasts, to) = (lasts.to_string(), from.plus(lasts));
            all.push(json!({ "timer": name, "lasts": lasts, "from": from, "to": to, "state": state }));
        }
    };
    let (on, off, again) = delays_of(kind);
    let time = change.time;
    match (&change.fact, change.kind) {
        (Fact::Alarm(alarm) | Fact::Suppressed(alarm, _), ChangeKind::Activated) => {
            if let RuleKind::Stale(set) = kind {
                timer("after", set.after, alarm.since, true);
            }
            timer("OnDelay", on, alarm.since, true);
            timer("ReAlarmTime", again.unwrap_or(Span::ZERO), time, false);
        }
        (Fact::Alarm(_), ChangeKind::Realarmed) => {
            let again = again.unwrap_or(Span::ZERO);
            timer("ReAlarmTime", again, time.minus(again), true);
            timer("ReAlarmTime", again, time, false);
        }
        // Where it has a reason, something else ended it.
        (Fact::Alarm(alarm) | Fact::Suppressed(alarm, _), ChangeKind::Returned) if alarm.reason.is_none() => {
            timer("OffDelay", off, time.minus(off), true);
        }
        (Fact::Other(..), ChangeKind::Started) => timer("at-least", on, time.minus(on), true),
        _ => {}
    }
    all
}

/// A condition as it was looked at.
pub(crate) fn looked(of: &Looked) -> Json {
    let mut row = Map::new();
    put(&mut row, "of", of.of.as_str());
    put(&mut row, "condition", condition_words(of.condition));
    put(&mut row, "held", of.held);
    if let Some(value) = &of.value {
        put(&mut row, "value", value.to_json());
    }
    if let Some(time) = of.time {
        put(&mut row, "time", json!(time));
    }
    if let Some(object) = &of.object {
        put(&mut row, "object", object.as_str());
    }
    Json::Object(row)
}

/// What keeps alarms quiet; `None`: nothing.
pub(crate) fn gate(gate: &Gate) -> Option<Json> {
    let mut all = Map::new();
    if let Some(shelved) = &gate.shelved {
        let by = &shelved.by;
        let row = json!({ "actor": by.actor, "reason": by.reason, "at": by.at, "until": shelved.until });
        put(&mut all, "shelved", row);
    }
    if let Some(by) = &gate.disabled {
        put(&mut all, "disabled", json!({ "actor": by.actor, "reason": by.reason, "at": by.at }));
    }
    if gate.suppressed {
        put(&mut all, "suppressed", true);
    }
    (!all.is_empty()).then_some(Json::Object(all))
}
