//! States: every state of the signal has a class of time, and a cycle can begin and be completed.

use super::{On, version};
use crate::{
    checks::assets::Assets,
    codes,
    contract::{
        CyclePart, CycleSettings, ReasonSettings, Rule, RuleKind, RuleSettings, STANDARD_STATES, Signal, StateSettings,
        TimeClass,
    },
    files::rules::state::{ClassWord, CycleFile, StateRuleFile},
    load::Project,
    problem::Finding,
    read::At,
};
use andon_model::{AssetName, SignalName, span::Span, value::Kind};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A reason that comes so long after the beginning counts where a rule does not say otherwise.
const REASON_WITHIN: Span = Span::from_secs(30);

pub(super) fn state(project: &Project, file: &StateRuleFile, on: &On<'_>, assets: &Assets) -> Option<Rule> {
    let signal = on.info.class.signals.get(&on.signal)?;
    if matches!(signal.kind, Kind::F64 | Kind::Bytes) {
        let message = format!("the signal `{}` tells no states", on.signal);
        let finding = Finding::error(codes::STATE_RULE, on.spot, message);
        let help = "set its kind in the class to `i64` with `states`, or to `text`";
        project.push(finding.expected("a signal of the kind text, i64 or bool").help(help));
        return None;
    }
    let names = Names::of(signal);
    let classes = classes(project, file, on, &names)?;
    let mut inputs = Vec::new();
    let reason = match &file.reason {
        Some(name) => {
            let (input, signal) = input(project, on, name, &mut inputs)?;
            let within = file.reason_within.as_ref().map_or(REASON_WITHIN, |within| within.0);
            Some(ReasonSettings { input, names: signal.states.clone(), within })
        }
        None => None,
    };
    if let (Some(within), None) = (&file.reason_within, &file.reason) {
        let finding = Finding::error(codes::STATE_RULE, within.spot, "`reason-within` stands without `reason`");
        project.push(finding.help("name the signal that tells the reason: `reason: stop-reason`, or remove the key"));
    }
    let cycle = match &file.cycle {
        Some(of) => Some(cycle(project, of, on, &names, &mut inputs)?),
        None => None,
    };
    let at_least = file.at_least.as_ref().map_or(Span::ZERO, |span| span.0);
    let settings = StateSettings { names: signal.states.clone(), classes, at_least, reason, cycle };
    let version = settings_version(&on.signal, &inputs, &settings);
    let kind = RuleKind::State(Arc::new(settings));
    let settings = Arc::new(RuleSettings { inputs, ..RuleSettings::plain(kind, "1", &version) });
    let all = on.assets(project, assets).into_iter();
    let assets = all.map(|(name, _): (&AssetName, _)| (name.clone(), Arc::clone(&settings))).collect();
    Some(Rule { class: on.class.clone(), signal: on.signal.clone(), assets })
}

/// The states that a signal can have by name; `None`: any text, or any number.
struct Names<'a>(Option<BTreeSet<&'a str>>);

impl<'a> Names<'a> {
    fn of(signal: &'a Signal) -> Self {
        match (signal.kind, &signal.states) {
            (Kind::Bool, _) => Self(Some(["false", "true"].into())),
            (_, Some(states)) => Self(Some(states.values().map(String::as_str).collect())),
            _ => Self(None),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|known| known.contains(name))
    }

    /// Whether the signal can have this state; tells where it cannot.
    fn expect(&self, project: &Project, on: &On<'_>, name: &At<String>) -> bool {
        let known = self.has(name);
        if let (false, Some(names)) = (known, &self.0) {
            let message = format!("the signal `{}` has no state `{}`", on.signal, name.value);
            let finding = Finding::error(codes::STATE_RULE, name.spot, message);
            project.push(finding.known(name, names.iter().copied()).help("correct the name, or the signal's `states`"));
        }
        known
    }
}

fn class(word: ClassWord) -> TimeClass {
    match word {
        ClassWord::Production => TimeClass::Production,
        ClassWord::Setup => TimeClass::Setup,
        ClassWord::Delay => TimeClass::Delay,
        ClassWord::Idle => TimeClass::Idle,
        ClassWord::PlannedDown => TimeClass::PlannedDown,
        ClassWord::Unknown => TimeClass::Unknown,
    }
}

/// The class of each state.
fn classes(
    project: &Project,
    file: &StateRuleFile,
    on: &On<'_>,
    names: &Names<'_>,
) -> Option<BTreeMap<String, TimeClass>> {
    let standard = STANDARD_STATES.iter().filter(|(name, _, _)| names.has(name));
    let mut classes: BTreeMap<String, TimeClass> =
        standard.map(|(name, class, _)| ((*name).to_owned(), *class)).collect();
    for (name, word) in &file.classes.good {
        if names.expect(project, on, name) {
            classes.insert(name.value.clone(), class(word.value));
        }
    }
    let spoilt = |name: &str| file.classes.spoilt.iter().any(|spoilt| spoilt == name);
    let mut whole = true;
    for name in names.0.iter().flatten().filter(|name| !classes.contains_key(**name) && !spoilt(name)) {
        let message = format!("nobody says what the time of the state `{name}` counts as");
        let finding = Finding::error(codes::STATE_RULE, on.spot, message);
        let words = TimeClass::ALL.map(TimeClass::word).join(", ");
        project.push(finding.expected(format!("one of {words}")).help(format!("add `{name}: ...` to `classes`")));
        whole = false;
    }
    let is_number = on.info.class.signals.get(&on.signal).is_some_and(|signal| signal.kind == Kind::I64);
    if names.0.is_none() && is_number && file.classes.good.is_empty() && file.classes.spoilt.is_empty() {
        let message = format!("the numbers of `{}` have no names, so nobody knows what they count as", on.signal);
        let finding = Finding::error(codes::STATE_RULE, on.spot, message);
        let help = "add `states: packml`, `states: machinery` or names of your own to the signal in its class, or \
                    class the numbers here: `classes: { 6: production }`";
        project.push(finding.help(help));
        whole = false;
    }
    whole.then_some(classes)
}

/// Another signal of the class that the rule reads, with its number; tells where there is none.
pub(super) fn input<'a>(
    project: &Project,
    on: &On<'a>,
    name: &At<String>,
    inputs: &mut Vec<SignalName>,
) -> Option<(u8, &'a Signal)> {
    if !on.info.signals.has(name) {
        let message = format!("the class `{}` has no signal `{}`", on.class, name.value);
        project.push(on.info.signals.lacking(codes::UNKNOWN_SIGNAL, name.spot, name, message));
        return None;
    }
    let (found, signal) = on.info.class.signals.get_key_value(name.as_str())?;
    if *found == on.signal {
        let message = format!("`{found}` is the signal that the rule stands on");
        let finding = Finding::error(codes::RULE_ON, name.spot, message);
        project.push(finding.expected("another signal of the class").help("name the other one, or remove the key"));
        return None;
    }
    let at = inputs.iter().position(|known| known == found).unwrap_or_else(|| {
        inputs.push(found.clone());
        inputs.len() - 1
    });
    Some((u8::try_from(at + 1).ok()?, signal))
}

fn cycle(
    project: &Project,
    file: &CycleFile,
    on: &On<'_>,
    names: &Names<'_>,
    inputs: &mut Vec<SignalName>,
) -> Option<CycleSettings> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let parts = [
        ("runs", &file.runs, CyclePart::Runs),
        ("completed", &file.completed, CyclePart::Completed),
        ("given-up", &file.given_up, CyclePart::GivenUp),
    ];
    for (key, list, _) in &parts {
        for name in *list {
            names.expect(project, on, name);
            if let Some(other) = seen.insert(name.as_str(), key) {
                let message = format!("the state `{}` stands under `{other}` and under `{key}`", name.value);
                project.push(Finding::error(codes::STATE_RULE, name.spot, message).help("remove it from one of them"));
            }
        }
    }
    let [runs, completed, given_up] = parts.map(|(_, list, part)| {
        if list.is_empty() {
            let standard = STANDARD_STATES.iter().filter(|(name, _, of)| *of == Some(part) && names.has(name));
            let free = standard.filter(|(name, _, _)| !seen.contains_key(name));
            return free.map(|(name, _, _)| (*name).to_owned()).collect::<Vec<String>>();
        }
        list.iter().map(|name| name.value.clone()).collect()
    });
    for (key, list) in [("runs", &runs), ("completed", &completed)] {
        if list.is_empty() {
            let spot = file.program.as_ref().or(file.part.as_ref()).map_or(on.spot, |name| name.spot);
            let message = format!("no state of `{}` is known as one of a cycle: `{key}` is empty", on.signal);
            let finding = Finding::error(codes::STATE_RULE, spot, message);
            project.push(finding.expected(format!("`{key}: [...]` with states of the signal")).help("add it"));
        }
    }
    let mut number = |name: &Option<At<String>>| match name {
        Some(name) => input(project, on, name, inputs).map(|(number, _)| Some(number)),
        None => Some(None),
    };
    let (program, part) = (number(&file.program)?, number(&file.part)?);
    Some(CycleSettings { runs, completed, given_up, program, part })
}

/// The hash of what the rule means.
fn settings_version(on: &SignalName, inputs: &[SignalName], set: &StateSettings) -> String {
    let mut parts = vec!["state".to_owned(), on.to_string(), set.at_least.nanos().to_string()];
    let names = |names: &Option<Arc<BTreeMap<i64, String>>>| {
        let names = names.iter().flat_map(|names| names.iter());
        names.map(|(number, name)| format!("{number}={name}")).collect::<Vec<_>>().join("\n")
    };
    parts.push(inputs.iter().map(SignalName::as_str).collect::<Vec<_>>().join("\n"));
    parts.push(names(&set.names));
    let classes = set.classes.iter().map(|(name, class)| format!("{name}={}", class.word()));
    parts.push(classes.collect::<Vec<_>>().join("\n"));
    if let Some(reason) = &set.reason {
        parts.extend([reason.input.to_string(), names(&reason.names), reason.within.nanos().to_string()]);
    }
    if let Some(cycle) = &set.cycle {
        parts.extend([cycle.runs.join("\n"), cycle.completed.join("\n"), cycle.given_up.join("\n")]);
        parts.push(format!("{:?} {:?}", cycle.program, cycle.part));
    }
    version(&parts.iter().map(String::as_str).collect::<Vec<_>>())
}
