//! What stands around a machine: its samples, its clock, its conditions, its gate.

use super::{
    Finding, Reason,
    replay::{Late, Replayed},
    story::{Story, word},
};
use crate::{
    context::Known,
    evidence::Raw,
    guard::Looked,
    saw::{self, value_words},
};
use andon_contract::contract::{Guard, What, WhenStale};
use andon_model::{AssetName, Event, Time, span::Span};

/// Late samples that are told one by one.
const LATE_SHOWN: usize = 3;
/// A signal is silent once so many times its usual step have passed.
const STEPS: i64 = 5;

/// What the stored events say.
pub(super) fn gate(story: &Story) -> Vec<Finding> {
    let mut all = Vec::new();
    let of = |event: &Event, reason, text: String| {
        let finding = Finding::new(reason, text).at(event.time);
        Finding { event: Some(event.id), ..finding }
    };
    if let Some(event) = &story.disabled {
        let (actor, why) = (word(event, "actor"), word(event, "reason"));
        let text = format!("{actor} had disabled it for this asset at {}: {why}", event.time);
        all.push(of(event, Reason::Disabled, text).with("actor", actor).with("why", why));
    }
    if let Some(event) = &story.shelved {
        let (actor, why, until) = (word(event, "actor"), word(event, "reason"), word(event, "until"));
        let text = format!("{actor} had shelved its alarms at {} until {until}: {why}", event.time);
        all.push(of(event, Reason::Shelved, text).with("actor", actor).with("why", why).with("until", until));
    }
    if let Some(event) = &story.standing {
        let (change, limit) = (word(event, "change"), word(event, "limit"));
        let limit = if limit.is_empty() { word(event, "outcome") } else { limit };
        if event.kind == "asset.alarm" {
            let text = format!("it had fired: {change} {limit} at {}, and the alarm had not returned", event.time);
            all.push(of(event, Reason::Fired, text));
        } else {
            let why = event.data.get("suppression");
            let of_why = |name: &str| why.and_then(|why| why.get(name)?.as_str()).unwrap_or("").to_owned();
            let (kind, by, reason) = (of_why("kind"), of_why("by"), of_why("reason"));
            let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
            let text = format!("it was recorded at {} and not raised: {kind}{by} ({reason})", event.time);
            let found = if kind == "shelved" { Reason::Shelved } else { Reason::Suppressed };
            all.push(of(event, found, text).with("why", reason));
        }
    }
    if let Some(event) = story.told.as_ref().filter(|_| story.standing.is_none()) {
        let text = format!("the last it told was {} {} at {}", event.kind, word(event, "change"), event.time);
        all.push(of(event, Reason::Told, text));
    }
    all
}

/// What the conditions say.
pub(super) fn conditions(
    looked: &[Looked],
    suppressed: bool,
    asset: &AssetName,
    at: Time,
    guard: &Guard,
    known: Known,
) -> Vec<Finding> {
    let mut all = Vec::new();
    if suppressed {
        let which = looked.iter().filter(|of| of.of == "suppress").map(words).collect::<Vec<_>>().join("; ");
        all.push(Finding::new(Reason::Suppressed, format!("its alarms are suppressed: {which}")));
    }
    for of in looked.iter().filter(|of| of.of == "when" && !of.held) {
        let condition = saw::condition_words(of.condition);
        let mut finding = match (&of.value, &of.condition.what) {
            (Some(value), _) => {
                let text = format!("when {} did not hold", words(of));
                Finding::new(Reason::ConditionFailed, text).with("value", value.to_json())
            }
            (None, What::Signal(signal)) => {
                let text = format!("when {condition} did not hold: {signal} has no good sample");
                Finding::new(Reason::ConditionUnknown, text)
            }
            (None, What::Context { name, field }) => unknown(&condition, name, field, asset, at, guard, known),
        };
        finding.time = finding.time.or(of.time);
        all.push(finding.with("condition", condition));
    }
    all
}

/// A condition with what it looked at.
fn words(of: &Looked) -> String {
    let condition = saw::condition_words(of.condition);
    let value = of.value.as_ref().map_or_else(|| "not known".to_owned(), value_words);
    let since = of.time.map_or_else(String::new, |time| format!(" since {time}"));
    let object = of.object.as_ref().map_or_else(String::new, |object| format!(" in {object}"));
    format!("{condition}: it was {value}{object}{since}")
}

/// Why something of the context is not known.
fn unknown(
    condition: &str,
    name: &str,
    field: &[String],
    asset: &AssetName,
    at: Time,
    guard: &Guard,
    known: Known,
) -> Finding {
    let Some(valid) = known.context.at(asset, name, at) else {
        let revision = known.context.revision();
        let text =
            format!("when {condition} did not hold: no {name} is known for {asset} at {at} (revision {revision})");
        return Finding::new(Reason::ContextUnknown, text).with("revision", revision);
    };
    if guard.when_stale == WhenStale::Ignore && known.at(asset, name, at, guard).is_none() {
        let object = &valid.object;
        let told = known.context.told_by(&valid.origin).map_or_else(String::new, |told| format!(" since {told}"));
        let text = format!(
            "when {condition} did not hold: {} is silent{told}, which is too long, so {object} counts as unknown \
             (when-stale: ignore)",
            valid.origin
        );
        return Finding::new(Reason::ContextStale, text).with("object", object.as_str());
    }
    let text = format!("when {condition} did not hold: {} does not say {}", valid.object, field.join("."));
    Finding::new(Reason::ConditionUnknown, text).with("object", valid.object.as_str())
}

/// What the samples and the clock say; `signals` are the names of all that is read.
pub(super) fn samples(replayed: &Replayed, signals: &[String], at: Time) -> Vec<Finding> {
    let mut all = Vec::new();
    for (number, (name, list)) in signals.iter().zip(&replayed.samples).enumerate() {
        // A condition may read what the machine reads: it is told once.
        if signals.iter().take(number).any(|before| before == name) {
            continue;
        }
        let Some(newest) = list.last() else {
            let text = format!("{name} has no sample up to {at}");
            all.push(Finding::new(Reason::NoSample, text).with("signal", name.as_str()));
            continue;
        };
        if !newest.quality.is_good() {
            let good = list.iter().rev().find(|raw| raw.quality.is_good());
            let good = good.map_or_else(
                || "no good one came before".to_owned(),
                |raw| format!("the last good value was {} at {}", value_words(&raw.value), raw.time),
            );
            let text = format!(
                "the newest sample of {name}, at {}, is {} and decides nothing; {good}",
                newest.time, newest.quality
            );
            let finding = Finding::new(Reason::BadQuality, text).at(newest.time).with("signal", name.as_str());
            all.push(finding.with("status", newest.quality.0));
        }
        if let Some(step) = step(list).filter(|_| newest.input == 0) {
            let silent = at.since(newest.time);
            if silent.nanos() > step.nanos().saturating_mul(STEPS) {
                // To the millisecond: it is a habit, not a promise.
                let step = Span::from_millis(step.millis().max(1));
                let text = format!("{name} has no sample since {}; it usually has one every {step}", newest.time);
                all.push(Finding::new(Reason::Silent, text).at(newest.time).with("signal", name.as_str()));
            }
        }
    }
    if let Some((source, false, newest)) = replayed.engine.only_source() {
        let text = format!("the source {source} is away: its clock stands at {newest}, and so do all delays");
        all.push(Finding::new(Reason::Disconnected, text).at(newest).with("source", source.as_str()));
    }
    all.extend(late(&replayed.late, signals, at));
    all
}

/// Those of the last that came late.
fn late(late: &[Late], signals: &[String], at: Time) -> Vec<Finding> {
    let mut all = Vec::new();
    let until = late.iter().filter(|late| late.raw.time <= at);
    let count = until.clone().count();
    for Late { raw, newest } in until.rev().take(LATE_SHOWN) {
        let name = signals.get(usize::from(raw.input)).map_or("", String::as_str);
        let text = format!(
            "the sample of {name} at {} ({}) came late and was skipped: one of {newest} had come before it; {count} of \
             the samples looked at came late",
            raw.time,
            value_words(&raw.value)
        );
        let finding = Finding::new(Reason::Late, text).at(raw.time).with("signal", name);
        all.push(finding.with("value", raw.value.to_json()).with("newest", newest.to_string()));
    }
    all
}

/// The usual step from sample to sample: the one in the middle.
fn step(list: &[Raw]) -> Option<Span> {
    let mut steps: Vec<i64> =
        list.windows(2).filter_map(|pair| Some(pair.last()?.time.since(pair.first()?.time).nanos())).collect();
    steps.sort_unstable();
    let middle = steps.get(steps.len() / 2).copied().filter(|_| steps.len() >= 2)?;
    (middle > 0).then(|| Span::from_nanos(middle))
}
