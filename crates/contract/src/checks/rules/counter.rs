//! Counters: signals that count, and steps that they can take.

use super::{On, state::input, version};
use crate::{
    checks::assets::Assets,
    codes,
    contract::{CountKind, CounterSettings, Every, Rule, RuleKind, RuleSettings, Signal},
    files::{
        rules::counter::{CounterRuleFile, CountsWord},
        words::Duration,
    },
    load::Project,
    problem::{Finding, Spot},
    read::{At, read},
    tree::Plain,
};
use andon_model::{AssetName, SignalName, span::Span, value::Kind};
use std::sync::Arc;

/// What is counted is told at the latest after this where a rule does not say otherwise.
const WITHIN: Span = Span::from_secs(60);

pub(super) fn counter(project: &Project, file: &CounterRuleFile, on: &On<'_>, assets: &Assets) -> Option<Rule> {
    counts(project, on.info.class.signals.get(&on.signal)?, on.signal.as_str(), on.spot);
    let first = match file.counts.as_ref().map(|counts| counts.value) {
        None | Some(CountsWord::Produced) => CountKind::Produced,
        Some(CountsWord::Good) => CountKind::Good,
        Some(CountsWord::Reject) => CountKind::Reject,
    };
    let mut inputs = Vec::new();
    let mut kinds = vec![first];
    for (name, kind) in [(&file.good, CountKind::Good), (&file.reject, CountKind::Reject)] {
        let Some(name) = name else { continue };
        let before = inputs.len();
        let (_, signal) = input(project, on, name, &mut inputs)?;
        counts(project, signal, name, name.spot);
        if inputs.len() == before || kinds.contains(&kind) {
            let message =
                format!("`{}` is counted twice", if kinds.contains(&kind) { kind.word() } else { name.as_str() });
            let finding = Finding::error(codes::COUNTER_RULE, name.spot, message);
            project.push(finding.expected("one signal for each of produced, good and reject").help("remove one"));
            return None;
        }
        kinds.push(kind);
    }
    bounds(project, file);
    let settings = CounterSettings {
        counts: kinds,
        rollover: file.rollover.as_ref().map(|at| at.value),
        max_step: file.max_step.as_ref().map(|at| at.value),
        gap: file.gap.as_ref().map(|at| at.0),
        every: every(project, file)?,
        run_time: file.run_time.as_ref().map(|at| at.0),
    };
    let version = settings_version(&on.signal, &inputs, &settings);
    let kind = RuleKind::Counter(Arc::new(settings));
    let settings = Arc::new(RuleSettings { inputs, ..RuleSettings::plain(kind, "1", &version) });
    let all = on.assets(project, assets).into_iter();
    let assets = all.map(|(name, _): (&AssetName, _)| (name.clone(), Arc::clone(&settings))).collect();
    Some(Rule { class: on.class.clone(), signal: on.signal.clone(), assets })
}

/// Tells of a signal that cannot count.
fn counts(project: &Project, signal: &Signal, name: &str, spot: Spot) {
    if !matches!(signal.kind, Kind::I64 | Kind::F64) {
        let finding = Finding::error(codes::COUNTER_RULE, spot, format!("the signal `{name}` does not count"));
        project.push(finding.expected("a signal of the kind i64 or f64").help("name another signal"));
    }
}

fn bounds(project: &Project, file: &CounterRuleFile) {
    let wrong = |spot, message: String, expected: &str| {
        let finding = Finding::error(codes::COUNTER_RULE, spot, message);
        project.push(finding.expected(expected).help("correct the number, or remove the key"));
    };
    if let Some(rollover) = file.rollover.as_ref().filter(|at| at.value < 2) {
        let message = format!("a counter of {} values never counts", rollover.value);
        wrong(rollover.spot, message, "how many values it has, such as 65536 of one with 16 bits");
    }
    if let Some(most) = &file.max_step {
        let values = file.rollover.as_ref().map_or(i64::MAX, |at| at.value);
        if most.value < 1 {
            wrong(most.spot, format!("with steps of at most {} nothing is counted", most.value), "1 or more");
        } else if most.value >= values {
            let message = format!("a step of {} is a whole way round of {values} values", most.value);
            wrong(most.spot, message, "less than `rollover`");
        }
    }
    if let Some(run_time) = file.run_time.as_ref().filter(|at| at.0 <= Span::ZERO) {
        wrong(run_time.spot, "nothing is made in no time".to_owned(), "more than 0 s");
    }
    if let Some(gap) = file.gap.as_ref().filter(|at| at.0 <= Span::ZERO) {
        wrong(gap.spot, "every step would be one over a gap".to_owned(), "more than 0 s");
    }
}

/// When counts are told.
fn every(project: &Project, file: &CounterRuleFile) -> Option<Every> {
    let within = file.within.as_ref();
    let Some(raw) = file.every else { return Some(Every::Count(1, within.map_or(WITHIN, |at| at.0))) };
    let tree = project.findings.tree(raw.spot.file)?;
    let wrong = |spot: Spot, message: String| {
        let finding = Finding::error(codes::COUNTER_RULE, spot, message);
        project.push(finding.expected("a number from 1, or a duration like 1 min").help("correct it"));
    };
    if let Some(Plain::Int(count)) = tree.scalar(raw.spot.node) {
        if count < 1 {
            wrong(raw.spot, format!("{count} parts are never together"));
            return None;
        }
        return Some(Every::Count(count, within.map_or(WITHIN, |at| at.0)));
    }
    let span: At<Duration> = read(&project.findings, raw.spot)?;
    if span.0 <= Span::ZERO {
        wrong(raw.spot, "after no time nothing is together".to_owned());
        return None;
    }
    if let Some(within) = within {
        let finding = Finding::error(codes::COUNTER_RULE, within.spot, "`within` does nothing where `every` is a time");
        project.push(finding.help("remove it"));
    }
    Some(Every::Time(span.0))
}

/// The hash of what the rule means.
fn settings_version(on: &SignalName, inputs: &[SignalName], set: &CounterSettings) -> String {
    let inputs = std::iter::once(on).chain(inputs).zip(&set.counts);
    let mut parts = vec!["counter".to_owned()];
    parts.push(inputs.map(|(signal, kind)| format!("{}={signal}", kind.word())).collect::<Vec<_>>().join("\n"));
    let number = |number: Option<i64>| number.map_or_else(String::new, |number| number.to_string());
    parts.extend([number(set.rollover), number(set.max_step), number(set.gap.map(Span::nanos))]);
    parts.push(match set.every {
        Every::Count(count, within) => format!("{count} {}", within.nanos()),
        Every::Time(span) => format!("time {}", span.nanos()),
    });
    parts.extend(set.run_time.map(|span| format!("run-time {}", span.nanos())));
    version(&parts.iter().map(String::as_str).collect::<Vec<_>>())
}
