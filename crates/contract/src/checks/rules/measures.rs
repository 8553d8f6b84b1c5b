//! Deviations, rates of change and windows: what their numbers are made of, and the unit they have.

use super::{On, limit, version};
use crate::{
    checks::{assets::Assets, units},
    codes,
    contract::{
        LimitSettings, RateSettings, Rule, RuleKind, RuleSettings, WINDOW_PARTS_MAX, WindowFunction, WindowSettings,
    },
    files::rules::{
        LimitRuleFile,
        measures::{DeviationRuleFile, RateRuleFile, WindowRuleFile},
    },
    load::Project,
    problem::Finding,
    read::At,
    units::{is_linear, valid},
};
use andon_model::{SignalName, span::Span, value::Kind};
use std::{collections::BTreeMap, sync::Arc};

/// What windows work out, beside percentiles.
const FUNCTIONS: [&str; 7] = ["mean", "rms", "min", "max", "stddev", "slope", "count"];

/// A window is this long at least.
const WINDOW_MIN: Span = Span::from_millis(1);

pub(super) fn deviation(project: &Project, file: &DeviationRuleFile, on: &On<'_>, assets: &Assets) -> Option<Rule> {
    let unit = number(project, on)?;
    let refuse = |message: String, expected: &str, help: &str| {
        project.push(Finding::error(codes::SETPOINT, file.setpoint.spot, message).expected(expected).help(help));
        None
    };
    let name = file.setpoint.as_str();
    if !on.info.signals.has(name) {
        let message = format!("the class `{}` has no signal `{name}`", on.class);
        project.push(on.info.signals.lacking(codes::UNKNOWN_SIGNAL, file.setpoint.spot, name, message));
        return None;
    }
    let setpoint = SignalName::new(name).ok()?;
    let signal = on.info.class.signals.get(&setpoint)?;
    if setpoint == on.signal {
        let message = format!("`{setpoint}` is held against itself");
        return refuse(message, "another signal of the class", "name the signal that holds the setpoint");
    }
    if matches!(signal.kind, Kind::Text | Kind::Bytes) {
        let message = format!("the setpoint `{setpoint}` is of the kind {}, and no number", units::word(signal.kind));
        return refuse(message, "a signal of the kind f64, i64 or bool", "name another signal");
    }
    if signal.unit != unit {
        let message = format!("the setpoint `{setpoint}` is in {}, and `{}` in {unit}", signal.unit, on.signal);
        return refuse(message, &format!("a signal in {unit}"), "give both the same unit; a mapping converts to it");
    }
    let unit = difference(&unit);
    let parts = format!("against {setpoint}");
    let rule = judged(project, &file.levels(), on, assets, (&unit, &parts), RuleKind::Deviation)?;
    let with_setpoint = |settings: Arc<RuleSettings>| {
        Arc::new(RuleSettings { inputs: vec![setpoint.clone()], ..RuleSettings::clone(&settings) })
    };
    let assets = rule.assets.into_iter().map(|(name, settings)| (name, with_setpoint(settings))).collect();
    Some(Rule { assets, ..rule })
}

pub(super) fn rate(project: &Project, file: &RateRuleFile, on: &On<'_>, assets: &Assets) -> Option<Rule> {
    let signal = number(project, on)?;
    let unit = per(project, on, &signal, file.per.value.word())?;
    if let Some(over) = file.over.as_ref().filter(|over| over.0 <= Span::ZERO) {
        let finding = Finding::error(codes::DELAY, over.spot, "a rate over no time is none");
        project.push(finding.expected("more than 0 s").help("make it longer, or leave it out"));
        return None;
    }
    let (per, over) = (file.per.value.span(), file.over.as_ref().map(|over| over.value.0));
    let parts = format!("per {} over {}", per.nanos(), over.map_or(0, Span::nanos));
    let kind = |levels| RuleKind::RateOfChange(RateSettings { per, over, levels });
    judged(project, &file.levels(), on, assets, (&unit, &parts), kind)
}

pub(super) fn window(project: &Project, file: &WindowRuleFile, on: &On<'_>, assets: &Assets) -> Option<Rule> {
    let signal = number(project, on)?;
    let function = function(project, file)?;
    let (over, every) = (file.over.0, file.every.as_ref().map_or(file.over.0, |every| every.value.0));
    let lateness = file.lateness.as_ref().map_or(Span::ZERO, |lateness| lateness.value.0);
    lengths(project, file, over, every, lateness)?;
    let unit = match function {
        WindowFunction::Mean
        | WindowFunction::Rms
        | WindowFunction::Min
        | WindowFunction::Max
        | WindowFunction::Percentile(_) => signal,
        WindowFunction::Stddev => difference(&signal),
        WindowFunction::Slope(_) => per(project, on, &signal, file.per.as_ref()?.value.word())?,
        WindowFunction::Count => "1".to_owned(),
    };
    let least = u64::from(function != WindowFunction::Count);
    let at_least = file.at_least.as_ref().map_or(least, |at| at.value).max(least);
    let parts = format!("{function:?} {} {} {} {at_least}", over.nanos(), every.nanos(), lateness.nanos());
    let kind = |levels| RuleKind::Window(WindowSettings { function, over, every, lateness, at_least, levels });
    judged(project, &file.levels(), on, assets, (&unit, &parts), kind)
}

/// Levels of a number that is worked out, in its unit; `parts` is what else it means.
fn judged(
    project: &Project,
    levels: &LimitRuleFile,
    on: &On<'_>,
    assets: &Assets,
    (unit, parts): (&str, &str),
    kind: impl Fn(LimitSettings) -> RuleKind,
) -> Option<Rule> {
    let rule = limit::levels(project, levels, on, assets, unit)?;
    let mut made = BTreeMap::new();
    for (name, settings) in rule.assets {
        let RuleKind::Limit(levels) = settings.kind.clone() else { continue };
        let kind = kind(levels);
        let version = version(&[kind.word(), &settings.version, parts]);
        made.insert(name, Arc::new(RuleSettings { kind, version, ..RuleSettings::clone(&settings) }));
    }
    Some(Rule { assets: made, ..rule })
}

/// The unit of the signal, which must be a number.
fn number(project: &Project, on: &On<'_>) -> Option<String> {
    let signal = on.info.class.signals.get(&on.signal)?;
    if matches!(signal.kind, Kind::Text | Kind::Bytes) {
        let message = format!("the signal `{}` is no number, so nothing can be worked out of it", on.signal);
        let finding = Finding::error(codes::SIGNAL_KIND, on.spot, message);
        project.push(finding.expected("a signal of the kind f64, i64 or bool").help("name another signal"));
        return None;
    }
    Some(signal.unit.clone())
}

/// The unit of a difference of two values: that of temperatures has no zero of its own.
fn difference(unit: &str) -> String {
    match unit {
        "Cel" => "K".to_owned(),
        "[degF]" => "[degR]".to_owned(),
        other => other.to_owned(),
    }
}

/// The unit of a change in a time.
fn per(project: &Project, on: &On<'_>, unit: &str, time: &str) -> Option<String> {
    let rate = format!("{}/{time}", difference(unit));
    if valid(&rate).is_err() || !is_linear(&difference(unit)) {
        let message = format!("a change of `{}` has no unit: {unit} cannot be divided by {time}", on.signal);
        let finding = Finding::error(codes::RATE_UNIT, on.spot, message);
        let help = "give the signal a unit that can be divided by a time; a mapping converts to it";
        project.push(finding.expected("a unit such as `bar`, `mm/s` or `1`").help(help));
        return None;
    }
    Some(rate)
}

fn function(project: &Project, file: &WindowRuleFile) -> Option<WindowFunction> {
    let word = file.function.as_str();
    let percentile = word.strip_prefix('p').and_then(|percent| percent.parse::<f64>().ok());
    let function = match word {
        "mean" => WindowFunction::Mean,
        "rms" => WindowFunction::Rms,
        "min" => WindowFunction::Min,
        "max" => WindowFunction::Max,
        "stddev" => WindowFunction::Stddev,
        "count" => WindowFunction::Count,
        "slope" => {
            let Some(per) = &file.per else {
                let message = "a slope is a change in a unit of time, and none is named";
                let finding = Finding::error(codes::WINDOW, file.function.spot, message);
                project.push(finding.expected("`per: min`, or `s`, `h`, `d`").help("add it"));
                return None;
            };
            WindowFunction::Slope(per.value.span())
        }
        _ => match percentile {
            Some(percent) if (0.0..=100.0).contains(&percent) => WindowFunction::Percentile(percent),
            Some(percent) => {
                let message = format!("there is no percentile {percent}");
                let finding = Finding::error(codes::WINDOW, file.function.spot, message);
                project.push(finding.expected("`p0` to `p100`").help("correct the number"));
                return None;
            }
            None => {
                let message = format!("there is no function `{word}`");
                let finding = Finding::error(codes::WINDOW, file.function.spot, message).known(word, FUNCTIONS);
                project.push(finding.help("name one of them, or a percentile: `p95`"));
                return None;
            }
        },
    };
    if let Some(per) = file.per.as_ref().filter(|_| !matches!(function, WindowFunction::Slope(_))) {
        let message = format!("`per` is of a slope, and this is `{word}`");
        let finding = Finding::error(codes::WINDOW, per.spot, message);
        project.push(finding.expected("`per` only with `function: slope`").help("leave it out"));
        return None;
    }
    Some(function)
}

/// Windows that tile, and not too many parts of them at once.
fn lengths(project: &Project, file: &WindowRuleFile, over: Span, every: Span, lateness: Span) -> Option<()> {
    let of = |at: &Option<At<_>>| at.as_ref().map_or(file.over.spot, |at: &At<crate::files::words::Duration>| at.spot);
    let refuse = |spot, message: String, expected: String, help: &str| {
        project.push(Finding::error(codes::WINDOW, spot, message).expected(expected).help(help));
        None
    };
    if every < WINDOW_MIN {
        let message = format!("a window every {every} is none");
        return refuse(of(&file.every), message, format!("at least {WINDOW_MIN}"), "make it longer");
    }
    if over < every || over.nanos() % every.nanos() != 0 {
        let message = format!("a window of {over} does not end every {every}");
        let expected = "`over` as a whole multiple of `every`: `over: 5 min` with `every: 1 min`";
        return refuse(of(&file.every), message, expected.to_owned(), "change one of the two");
    }
    let parts = (over.nanos().saturating_add(lateness.nanos())) / every.nanos();
    if parts > WINDOW_PARTS_MAX {
        let (spot, message) = if over.nanos() / every.nanos() > WINDOW_PARTS_MAX {
            (of(&file.every), format!("a window of {over} every {every} has {parts} parts"))
        } else {
            (of(&file.lateness), format!("with a lateness of {lateness} there are {parts} parts of {every} at once"))
        };
        let expected = format!("`every` {WINDOW_PARTS_MAX} times in `over` and `lateness` together at most");
        return refuse(spot, message, expected, "make `every` longer, or the other shorter");
    }
    Some(())
}
