//! Limits: in order, reachable, each set in one place; a severity for each.

use super::{On, severity, version};
use crate::{
    checks::{
        assets::{AssetInfo, Assets},
        classes::{NUMBERS, SPANS},
    },
    codes,
    contract::{Limit, LimitLevel, LimitSettings, Rule, RuleKind, RuleSettings, Setting},
    files::{
        rules::{LevelSeverities, LimitRuleFile},
        words::Duration,
    },
    load::Project,
    problem::{Finding, Spot},
    read::{At, Raw, read},
};
use andon_model::{AssetName, span::Span, value::Kind};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

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
    let severities = severities(project, file.severity)?;
    let own = own_settings(file);
    for (key, (_, spot)) in &own {
        let parameter = format!("{}.{key}", on.signal);
        if let Some((_, other)) = on.info.parameters.get(&parameter) {
            let line = project.findings.line_of(*other);
            let message = format!("`{key}` is set here and as the parameter `{parameter}` of the class ({line})");
            let finding = Finding::error(codes::SET_TWICE, *spot, message);
            project.push(finding.help("keep one: the parameter, where sites or assets set it; else this one"));
        }
    }
    let told = RefCell::default();
    let mut rule = Rule { class: on.class.clone(), signal: on.signal.clone(), assets: BTreeMap::new() };
    for (name, info) in on.assets(project, assets) {
        let settings = Settings { project, on, own: &own, info, name, told: &told };
        if let Some(limits) = settings.limits(&severities, file.severity.spot) {
            let (limit, version) = settings.finish(limits, &signal.unit);
            let settings = RuleSettings::plain(RuleKind::Limit(limit), &signal.unit, &version);
            rule.assets.insert(name.clone(), Arc::new(settings));
        }
    }
    let of_class = |key: &str| on.info.parameters_known.has(&format!("{}.{key}", on.signal));
    if !LEVELS.iter().any(|(_, key)| own.contains_key(key) || of_class(key)) {
        let finding = Finding::error(codes::NO_LIMIT, on.spot, "the rule has no limit");
        let help = format!("add `High: ...` here, or the parameter `{}.High` to the class `{}`", on.signal, on.class);
        project.push(finding.expected("at least one of `HighHigh`, `High`, `Low`, `LowLow`").help(help));
    }
    Some(rule)
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

/// The settings that the rule itself makes, by key.
fn own_settings(file: &LimitRuleFile) -> BTreeMap<&'static str, (Setting, Spot)> {
    let number = |at: &Option<At<f64>>| at.as_ref().map(|at| (Setting::Number(at.value), at.spot));
    let span = |at: &Option<At<Duration>>| at.as_ref().map(|at| (Setting::Span(at.0), at.spot));
    let numbers = [&file.high_high, &file.high, &file.low, &file.low_low, &file.deadband].map(number);
    let spans = [&file.on_delay, &file.off_delay, &file.realarm].map(span);
    let set = NUMBERS.iter().chain(&SPANS).zip(numbers.into_iter().chain(spans));
    set.filter_map(|(key, value)| Some((*key, value?))).collect()
}

/// The settings of a limit rule for one asset.
struct Settings<'a> {
    project: &'a Project,
    on: &'a On<'a>,
    own: &'a BTreeMap<&'static str, (Setting, Spot)>,
    info: &'a AssetInfo,
    name: &'a AssetName,
    /// Settings that were told of another asset; a class's default is wrong once, not for each of its assets.
    told: &'a RefCell<BTreeSet<Spot>>,
}

impl Settings<'_> {
    fn tell(&self, spot: Spot, finding: Finding) {
        if self.told.borrow_mut().insert(spot) {
            self.project.push(finding);
        }
    }

    fn get(&self, key: &str) -> Option<(Setting, Spot)> {
        let parameter = format!("{}.{key}", self.on.signal);
        let of_asset = || Some((self.info.asset.parameters.get(&parameter)?.value, *self.info.places.get(&parameter)?));
        self.own.get(key).copied().or_else(of_asset)
    }

    fn number(&self, key: &str) -> Option<(f64, Spot)> {
        match self.get(key)? {
            (Setting::Number(number), spot) => Some((number, spot)),
            (Setting::Span(_), _) => None,
        }
    }

    fn span(&self, key: &str) -> Option<Span> {
        match self.get(key)? {
            (Setting::Span(span), _) => Some(span),
            (Setting::Number(_), _) => None,
        }
    }

    /// The limits with their severities, in order and far enough from each other.
    fn limits(
        &self,
        severities: &BTreeMap<LimitLevel, (u16, Spot)>,
        severity_spot: Spot,
    ) -> Option<BTreeMap<LimitLevel, Limit>> {
        let (project, name) = (self.project, self.name);
        let mut limits = BTreeMap::new();
        let mut above: Option<(&str, f64)> = None;
        let mut gap = f64::INFINITY;
        for (level, key) in LEVELS {
            let Some((value, spot)) = self.number(key) else { continue };
            if let Some((higher, limit)) = above {
                gap = gap.min(limit - value);
                if value >= limit {
                    let message = format!("{key} ({value}) is not below {higher} ({limit}) for `{name}`");
                    let finding = Finding::error(codes::LIMIT_ORDER, spot, message);
                    self.tell(spot, finding.expected("HighHigh > High > Low > LowLow").help("put the limits in order"));
                    return None;
                }
            }
            above = Some((key, value));
            self.reachable(key, level, value, spot);
            let Some((severity, _)) = severities.get(&level) else {
                let message = format!("the level {key} has no severity");
                let finding = Finding::error(codes::SEVERITY, severity_spot, message);
                project.push(finding.expected(format!("`{key}: <1 to 1000>`")).help("add it"));
                return None;
            };
            limits.insert(level, Limit { value, severity: *severity });
        }
        if let Some((deadband, spot)) = self.number("Deadband")
            && (deadband < 0.0 || deadband >= gap)
        {
            let message = if deadband < 0.0 {
                format!("a deadband of {deadband} is negative")
            } else {
                format!("the deadband of {deadband} is as wide as the gap of {gap} between two limits of `{name}`")
            };
            let finding = Finding::error(codes::DEADBAND, spot, message);
            self.tell(spot, finding.expected("0, or more and less than the gap").help("make it smaller"));
            return None;
        }
        Some(limits)
    }

    /// A limit outside of the range that the signal can have is never passed.
    fn reachable(&self, key: &str, level: LimitLevel, value: f64, spot: Spot) {
        let range = self.on.info.class.signals.get(&self.on.signal).and_then(|signal| signal.range);
        let Some((lowest, highest)) = range else { return };
        let is_high = matches!(level, LimitLevel::HighHigh | LimitLevel::High);
        if (is_high && value >= highest) || (!is_high && value <= lowest) {
            let message = format!("{key} ({value}) is never passed: the signal's range is {lowest} to {highest}");
            let finding = Finding::error(codes::LIMIT_ORDER, spot, message);
            let help = "values outside of the range are uncertain and never judged; change one of the two";
            self.tell(spot, finding.help(help));
        }
    }

    fn finish(&self, limits: BTreeMap<LimitLevel, Limit>, unit: &str) -> (LimitSettings, String) {
        let settings = LimitSettings {
            limits,
            deadband: self.number("Deadband").map_or(0.0, |(number, _)| number),
            on_delay: self.span("OnDelay").unwrap_or(Span::ZERO),
            off_delay: self.span("OffDelay").unwrap_or(Span::ZERO),
            realarm: self.span("ReAlarmTime").filter(|span| *span > Span::ZERO),
        };
        let limits =
            settings.limits.iter().map(|(level, limit)| format!("{level:?} {} {}", limit.value, limit.severity));
        let mut parts: Vec<String> = vec!["limit".into(), self.on.signal.to_string(), unit.to_owned()];
        parts.extend(limits);
        parts.push(format!("deadband {}", settings.deadband));
        let realarm = settings.realarm.map_or(0, Span::nanos);
        parts.push(format!("{} {} {realarm}", settings.on_delay.nanos(), settings.off_delay.nanos()));
        let version = version(&parts.iter().map(String::as_str).collect::<Vec<_>>());
        (settings, version)
    }
}
