//! Classes: units that are UCUM, ranges that are ranges, and parameters that belong to a signal and a key of a rule.

use super::{Known, parameters::parameter, reduction, states, stem, units};
use crate::{
    codes,
    contract::{Class, Setting, Signal},
    files::classes::SignalFile,
    load::Project,
    problem::{Finding, Spot},
};
use andon_model::Name;
use std::collections::BTreeMap;

/// All classes.
pub(crate) struct Classes {
    pub(crate) good: BTreeMap<Name, ClassInfo>,
    pub(crate) known: Known,
}

/// A class and the places of its parts.
pub(crate) struct ClassInfo {
    pub(crate) class: Class,
    pub(crate) parameters: BTreeMap<String, (Setting, Spot)>,
    /// Signals and parameters that are declared, also those that are wrong.
    pub(crate) signals: Known,
    pub(crate) parameters_known: Known,
}

pub(crate) fn resolve(project: &Project) -> Classes {
    let mut classes = Classes { good: BTreeMap::new(), known: Known::stems(&project.classes) };
    for doc in &project.classes {
        let (Some(name), Some(file)) = (stem(project, doc), &doc.body) else { continue };
        let mut info = ClassInfo {
            class: Class { signals: BTreeMap::new() },
            parameters: BTreeMap::new(),
            signals: Known(file.signals.spoilt.iter().map(|signal| signal.0.to_string()).collect()),
            parameters_known: Known(file.parameters.spoilt.iter().cloned().collect()),
        };
        for (name, signal) in &file.signals.good {
            info.signals.0.insert(name.value.0.to_string());
            info.class.signals.insert(name.value.0.clone(), self::signal(project, signal));
        }
        for (key, value) in &file.parameters.good {
            info.parameters_known.0.insert(key.value.clone());
            if let Some((_, setting)) = parameter(project, &info, key, value) {
                info.parameters.insert(key.value.clone(), (setting, value.spot));
            }
        }
        classes.good.insert(name, info);
    }
    classes
}

fn signal(project: &Project, file: &SignalFile) -> Signal {
    if let Some(unit) = &file.unit {
        units::unit(project, unit);
    }
    let range = file.range.as_ref().filter(|range| {
        let ordered = range.0 < range.1;
        if !ordered {
            let message = format!("the range ends at {} before it begins at {}", range.1, range.0);
            let finding = Finding::error(codes::SIGNAL_RANGE, range.spot, message);
            project.push(finding.expected("`[lowest, highest]`").help("write the lowest value first"));
        }
        ordered
    });
    Signal {
        kind: file.kind.value,
        unit: file.unit.as_ref().map_or_else(|| "1".to_owned(), |unit| unit.value.clone()),
        range: range.map(|range| range.value),
        reduce: reduction::resolve(project, file),
        states: file.states.and_then(|raw| states::resolve(project, file.kind.value, raw)),
    }
}
