//! Names of states: of a standard, or one for each whole number.

use crate::{
    codes,
    files::classes::StandardStates,
    load::Project,
    problem::Finding,
    read::{At, Entries, Raw, read},
};
use andon_model::value::Kind;
use std::{collections::BTreeMap, sync::Arc};

/// `PackML` (ISA-TR88.00.02) as OPC 30050 numbers its states.
const PACKML: [(i64, &str); 18] = [
    (0, "Undefined"),
    (1, "Clearing"),
    (2, "Stopped"),
    (3, "Starting"),
    (4, "Idle"),
    (5, "Suspended"),
    (6, "Execute"),
    (7, "Stopping"),
    (8, "Aborting"),
    (9, "Aborted"),
    (10, "Holding"),
    (11, "Held"),
    (12, "Unholding"),
    (13, "Suspending"),
    (14, "Unsuspending"),
    (15, "Resetting"),
    (16, "Completing"),
    (17, "Complete"),
];

/// The item state of OPC UA for Machinery (OPC 40001-1).
const MACHINERY: [(i64, &str); 4] = [(0, "NotAvailable"), (1, "OutOfService"), (2, "NotExecuting"), (3, "Executing")];

/// The names of a signal's states; tells what is wrong with them.
pub(super) fn resolve(project: &Project, kind: Kind, raw: Raw) -> Option<Arc<BTreeMap<i64, String>>> {
    if kind != Kind::I64 {
        let finding = Finding::error(codes::STATES, raw.spot, "only whole numbers have names of states");
        let help = "set `kind: i64`, or leave `states` out: a text is its own name, a truth is `true` or `false`";
        project.push(finding.expected("a signal of the kind i64").help(help));
        return None;
    }
    let is_word = project.findings.tree(raw.spot.file)?.scalar(raw.spot.node).is_some();
    if is_word {
        let of = |states: &[(i64, &str)]| states.iter().map(|(number, name)| (*number, (*name).to_owned())).collect();
        return Some(Arc::new(match read::<StandardStates>(&project.findings, raw.spot)? {
            StandardStates::Packml => of(&PACKML),
            StandardStates::Machinery => of(&MACHINERY),
        }));
    }
    let own: Entries<String, At<String>> = read(&project.findings, raw.spot)?;
    let mut states: BTreeMap<i64, String> = BTreeMap::new();
    for (number, name) in &own.good {
        let Ok(at) = number.parse::<i64>() else {
            let finding = Finding::error(codes::STATES, number.spot, format!("`{number}` is no whole number"));
            project.push(finding.expected("`<number>: <name>`, such as `6: Execute`").help("write the number first"));
            continue;
        };
        let other = states.iter().find(|(_, known)| **known == name.value).map(|(other, _)| *other);
        let problem = match other {
            _ if name.trim().is_empty() => Some(format!("the state {at} has no name")),
            Some(other) => Some(format!("the states {other} and {at} have the same name `{}`", name.value)),
            None if states.contains_key(&at) => Some(format!("the state {at} has two names")),
            None => None,
        };
        if let Some(message) = problem {
            let finding = Finding::error(codes::STATES, name.spot, message);
            project.push(finding.expected("one name for each number").help("name one of them otherwise"));
            continue;
        }
        states.insert(at, name.value.clone());
    }
    if own.good.is_empty() && own.spoilt.is_empty() {
        let finding = Finding::error(codes::STATES, raw.spot, "no state has a name");
        project.push(finding.expected("`{ 0: Off, 1: Running }`").help("name the states, or leave `states` out"));
    }
    Some(Arc::new(states))
}
