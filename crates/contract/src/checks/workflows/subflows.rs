//! Workflows that run others: the others exist, in the version that is meant, and nobody waits for itself.

use super::{Beside, Reading, WorkflowCall};
use crate::{
    checks::Known,
    codes,
    load::Project,
    problem::{Finding, Spot},
};
use andon_model::Name;
use std::collections::{BTreeMap, BTreeSet};

/// Checks the runs of other workflows, and answers with the calls of all by what can start them.
pub(super) fn check(beside: Beside, all: &BTreeMap<Name, Reading>) -> Vec<WorkflowCall> {
    let project = beside.project;
    if !beside.open {
        let known = Known::stems(&project.workflows);
        for reading in all.values() {
            named(project, reading, &known, all);
        }
    }
    if beside.follow {
        cycles(project, all);
    }
    let triggers = triggers(all);
    let mut calls = Vec::new();
    for (name, reading) in all {
        let mut kinds = triggers.get(name.as_str()).into_iter().flatten().flatten();
        let trigger = kinds.next().filter(|_| kinds.next().is_none());
        for call in &reading.calls {
            let trigger = trigger.map(|kind| (*kind).to_owned());
            calls.push(WorkflowCall { capability: call.capability.clone(), spot: call.spot, trigger });
        }
    }
    calls
}

/// Namespace, name and version of each workflow that is run.
fn named(project: &Project, reading: &Reading, known: &Known, all: &BTreeMap<Name, Reading>) {
    for subflow in &reading.subflows {
        let name = &subflow.name;
        if !known.expect(project, codes::SUBFLOW, name.spot, "workflow", name) {
            continue;
        }
        let Some(target) = Name::new(name.as_str()).ok().and_then(|name| all.get(&name)) else { continue };
        let head = &target.file.document;
        if head.namespace.value != subflow.namespace.value {
            let message = format!("the workflow `{}` stands in another namespace", name.value);
            let finding = Finding::error(codes::SUBFLOW, subflow.namespace.spot, message);
            project.push(finding.expected(format!("`{}`", head.namespace.value)).help("correct the namespace"));
        }
        if let Some(version) = subflow.version.as_ref().filter(|version| version.value != head.version.value) {
            let message = format!("the workflow `{}` has no version `{}`", name.value, version.value);
            let finding = Finding::error(codes::SUBFLOW, version.spot, message);
            project.push(finding.expected(format!("`{}` or `latest`", head.version.value)).help("correct the version"));
        }
    }
}

/// Tells of workflows that run themselves, over others or at once: their runs would never stop to start others.
fn cycles(project: &Project, all: &BTreeMap<Name, Reading>) {
    for name in all.keys() {
        let mut open: Vec<(&str, Option<Spot>)> = vec![(name.as_str(), None)];
        let mut seen = BTreeSet::new();
        while let Some((at, first)) = open.pop() {
            let Some(reading) = Name::new(at).ok().and_then(|at| all.get(&at)) else { continue };
            for subflow in &reading.subflows {
                let spot = first.unwrap_or(subflow.name.spot);
                if subflow.name.value == name.as_str() {
                    let message = format!("the workflow `{name}` would start itself, again and again");
                    let finding = Finding::error(codes::ENDLESS, spot, message);
                    project.push(finding.help("repeat with `for`, or start it by an event that comes from outside"));
                } else if seen.insert(subflow.name.as_str()) {
                    open.push((subflow.name.as_str(), Some(spot)));
                }
            }
        }
    }
}

/// The types of events that start a workflow, by itself or through others; `None`: something else may start it too.
fn triggers<'a>(all: &'a BTreeMap<Name, Reading>) -> BTreeMap<&'a str, Option<BTreeSet<&'a str>>> {
    let own = |reading: &'a Reading| {
        let kinds: BTreeSet<&str> = reading.triggers.iter().map(String::as_str).collect();
        (!kinds.is_empty()).then_some(kinds)
    };
    let mut found: BTreeMap<&str, Option<BTreeSet<&str>>> =
        all.iter().map(|(name, reading)| (name.as_str(), own(reading))).collect();
    loop {
        let mut changed = false;
        for (name, reading) in all {
            let of_caller = found.get(name.as_str()).cloned().flatten();
            for subflow in &reading.subflows {
                let Some(known) = found.get_mut(subflow.name.as_str()) else { continue };
                let joined = match (&known, &of_caller) {
                    (Some(own), Some(others)) => Some(own | others),
                    _ => None,
                };
                changed |= joined != *known;
                *known = joined;
            }
        }
        if !changed {
            return found;
        }
    }
}
