//! Limits: in order, reachable, far enough from each other; a severity for each.

use super::{On, severity, version};
use crate::{
    checks::assets::Assets,
    codes,
    contract::{Limit, LimitLevel, LimitSettings, Rule, RuleKind, RuleSettings},
    files::rules::{LevelSeverities, LimitRuleFile},
    load::Project,
    problem::{Finding, Spot},
    read::{At, Raw, read},
};
use andon_model::{span::Span, value::Kind};
use std::{collections::BTreeMap, sync::Arc};

/// The levels from the highest limit to the lowest.
const LEVELS: [(LimitLevel, &str); 4] = [
    (LimitLevel::HighHigh, "HighHigh"),
    (LimitLevel::High, "High"),
    (LimitLevel::Low, "Low"),
    (LimitLevel::LowLow, "LowLow"),
];

pub(super) fn limit(project: &Project, file: &LimitRuleFile, on: &On<'_>, assets: &Assets) -> Option<Rule> {
    let signal = on.info.class.signals.get(&on.signal)?;
    if matches!(signal.kind, Kind::Text | Kind::Bytes) {
        let message = format!("the signal `{}` is no number, so it has no limits", on.signal);
        let finding = Finding::error(codes::SIGNAL_KIND, on.spot, message);
        project.push(finding.expected("a signal of the kind f64, i64 or bool").help("name another signal"));
        return None;
    }
    let rule = levels(project, file, on, assets, &signal.unit)?;
    for (level, key, at) in set(file) {
        reachable(project, on, key, level, &at);
    }
    Some(rule)
}

/// The limits that are set, from the highest level to the lowest.
fn set(file: &LimitRuleFile) -> Vec<(LimitLevel, &'static str, At<f64>)> {
    let all = LEVELS.iter().zip([&file.high_high, &file.high, &file.low, &file.low_low]);
    all.filter_map(|((level, key), at)| Some((*level, *key, at.clone()?))).collect()
}

/// Limits of a value in this unit, be it the signal's own or one that is worked out of it.
pub(super) fn levels(
    project: &Project,
    file: &LimitRuleFile,
    on: &On<'_>,
    assets: &Assets,
    unit: &str,
) -> Option<Rule> {
    let severities = severities(project, file.severity)?;
    let set = set(file);
    if set.is_empty() {
        let finding = Finding::error(codes::NO_LIMIT, on.spot, "the rule has no limit");
        let help = format!("add `High: ...` here, or the parameter `{}.High` to the class `{}`", on.signal, on.class);
        project.push(finding.expected("at least one of `HighHigh`, `High`, `Low`, `LowLow`").help(help));
        return None;
    }
    let limits = limits(project, on, &set, &severities, file.severity.spot)?;
    deadband(project, on, &set, file.deadband.as_ref())?;
    let settings = LimitSettings {
        limits,
        deadband: file.deadband.as_ref().map_or(0.0, |at| at.value),
        on_delay: file.on_delay.as_ref().map_or(Span::ZERO, |at| at.value.0),
        off_delay: file.off_delay.as_ref().map_or(Span::ZERO, |at| at.value.0),
        realarm: file.realarm.as_ref().map(|at| at.value.0).filter(|span| *span > Span::ZERO),
    };
    let version = meaning(&settings, on, unit);
    let settings = Arc::new(RuleSettings::plain(RuleKind::Limit(settings), unit, &version));
    let assets = on.assets(project, assets).into_iter().map(|(name, _)| (name.clone(), Arc::clone(&settings)));
    Some(Rule { class: on.class.clone(), signal: on.signal.clone(), assets: assets.collect() })
}

/// Severities by level; one number stands for all.
fn severities(project: &Project, raw: Raw) -> Option<BTreeMap<LimitLevel, (u16, Spot)>> {
    let tree = project.findings.tree(raw.spot.file)?;
    if tree.scalar(raw.spot.node).is_some() {
        let one: u16 = read(&project.findings, raw.spot)?;
        let one = severity(project, one, raw.spot)?;
        return Some(LEVELS.iter().map(|(level, _)| (*level, (one, raw.spot))).collect());
    }
    let file: LevelSeverities = read(&project.findings, raw.spot)?;
    let mut all = BTreeMap::new();
    for ((level, _), set) in LEVELS.iter().zip([&file.high_high, &file.high, &file.low, &file.low_low]) {
        if let Some(set) = set {
            all.insert(*level, (severity(project, set.value, set.spot)?, set.spot));
        }
    }
    Some(all)
}

/// The limits with their severities, in order.
fn limits(
    project: &Project,
    on: &On<'_>,
    set: &[(LimitLevel, &str, At<f64>)],
    severities: &BTreeMap<LimitLevel, (u16, Spot)>,
    severity_spot: Spot,
) -> Option<BTreeMap<LimitLevel, Limit>> {
    let mut limits = BTreeMap::new();
    let mut above: Option<(&str, &At<f64>)> = None;
    for (level, key, at) in set {
        let value = at.value;
        if let Some((higher, limit)) = above.filter(|(_, limit)| value >= limit.value) {
            let message = format!("{key} ({value}) is not below {higher} ({}) for {}", limit.value, on.whom());
            let spot = on.changed(at.spot, limit.spot);
            let finding = Finding::error(codes::LIMIT_ORDER, spot, message);
            on.tell(project, spot, finding.expected("HighHigh > High > Low > LowLow").help("put the limits in order"));
            return None;
        }
        above = Some((key, at));
        let Some((severity, _)) = severities.get(level) else {
            let message = format!("the level {key} has no severity");
            let finding = Finding::error(codes::SEVERITY, severity_spot, message);
            project.push(finding.expected(format!("`{key}: <1 to 1000>`")).help("add it"));
            return None;
        };
        limits.insert(*level, Limit { value, severity: *severity });
    }
    Some(limits)
}

/// A deadband is narrower than every gap between two limits.
fn deadband(
    project: &Project,
    on: &On<'_>,
    set: &[(LimitLevel, &str, At<f64>)],
    deadband: Option<&At<f64>>,
) -> Option<()> {
    let Some(deadband) = deadband else { return Some(()) };
    let pairs = set.iter().zip(set.iter().skip(1));
    let narrowest = pairs
        .map(|((_, _, high), (_, _, low))| (high.value - low.value, on.changed(low.spot, high.spot)))
        .min_by(|(a, _), (b, _)| a.total_cmp(b));
    let (gap, neighbour) = narrowest.unwrap_or((f64::INFINITY, deadband.spot));
    let width = deadband.value;
    if width >= 0.0 && width < gap {
        return Some(());
    }
    let (message, spot) = if width < 0.0 {
        (format!("a deadband of {width} is negative"), deadband.spot)
    } else {
        let message =
            format!("the deadband of {width} is as wide as the gap of {gap} between two limits of {}", on.whom());
        (message, on.changed(deadband.spot, neighbour))
    };
    let finding = Finding::error(codes::DEADBAND, spot, message);
    on.tell(project, spot, finding.expected("0, or more and less than the gap").help("make it smaller"));
    None
}

/// A limit outside of the range that the signal can have is never passed.
fn reachable(project: &Project, on: &On<'_>, key: &str, level: LimitLevel, at: &At<f64>) {
    let range = on.info.class.signals.get(&on.signal).and_then(|signal| signal.range);
    let Some((lowest, highest)) = range else { return };
    let is_high = matches!(level, LimitLevel::HighHigh | LimitLevel::High);
    if (is_high && at.value >= highest) || (!is_high && at.value <= lowest) {
        let message = format!("{key} ({}) is never passed: the signal's range is {lowest} to {highest}", at.value);
        let finding = Finding::error(codes::LIMIT_ORDER, at.spot, message);
        let help = "values outside of the range are uncertain and never judged; change one of the two";
        on.tell(project, at.spot, finding.help(help));
    }
}

fn meaning(settings: &LimitSettings, on: &On<'_>, unit: &str) -> String {
    let limits = settings.limits.iter().map(|(level, limit)| format!("{level:?} {} {}", limit.value, limit.severity));
    let mut parts: Vec<String> = vec!["limit".into(), on.signal.to_string(), unit.to_owned()];
    parts.extend(limits);
    parts.push(format!("deadband {}", settings.deadband));
    let realarm = settings.realarm.map_or(0, Span::nanos);
    parts.push(format!("{} {} {realarm}", settings.on_delay.nanos(), settings.off_delay.nanos()));
    version(&parts.iter().map(String::as_str).collect::<Vec<_>>())
}
