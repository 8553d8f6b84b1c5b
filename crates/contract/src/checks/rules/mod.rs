//! Rules: they stand on a signal of a class, their limits are in order, each key is set in one place, and what an
//! asset of the class gets is complete.

mod common;
mod conditions;
mod counter;
mod limit;
mod measures;
mod spc;
mod spectrum;
mod stale;
mod state;
mod table;
mod zones;

use super::{
    assets::{AssetInfo, Assets},
    classes::{ClassInfo, Classes},
    sources::kind,
    stem,
};
use crate::{
    codes,
    contract::Rule,
    files::rules::KINDS,
    load::{Project, hex},
    problem::{Finding, Spot},
    read::At,
};
use andon_model::{AssetName, Name, Schemas, SignalName};
use common::Ground;
use sha2::{Digest, Sha256};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

pub(crate) fn resolve(
    project: &Project,
    classes: &Classes,
    assets: &Assets,
    schemas: &Schemas,
) -> BTreeMap<Name, Rule> {
    let ground = Ground { project, classes, assets, schemas, used: RefCell::default() };
    let mut rules = BTreeMap::new();
    let mut whole = true;
    for doc in &project.rules {
        let (Some(name), Some(raw)) = (stem(project, doc), doc.body) else {
            whole = false;
            continue;
        };
        let rule = match kind(project, doc, raw, "rule", &KINDS, |_| None) {
            Some("limit") => ground.rule("limit", &name, raw, limit::limit),
            Some("deviation") => ground.rule("deviation", &name, raw, measures::deviation),
            Some("rate-of-change") => ground.rule("rate-of-change", &name, raw, measures::rate),
            Some("window") => ground.rule("window", &name, raw, measures::window),
            Some("stale") => ground.rule("stale", &name, raw, stale::stale),
            Some("state") => ground.rule("state", &name, raw, state::state),
            Some("counter") => ground.rule("counter", &name, raw, counter::counter),
            Some("spc") => ground.rule("spc", &name, raw, spc::spc),
            Some("table") => ground.rule("table", &name, raw, table::table),
            Some("spectrum") => ground.rule("spectrum", &name, raw, spectrum::spectrum),
            _ => None,
        };
        whole &= rule.is_some();
        if let Some(rule) = rule {
            rules.insert(name, rule);
        }
    }
    if whole {
        idle_parameters(project, classes, &ground.used.borrow());
    }
    rules
}

/// The class and signal a rule stands on, and the assets that it is looked at for.
struct On<'a> {
    class: Name,
    info: &'a ClassInfo,
    signal: SignalName,
    spot: Spot,
    /// Those of the class whose parameters are the same.
    assets: Vec<AssetName>,
    /// Settings that were told of other assets; a class's default is wrong once, not for each of its assets.
    told: RefCell<BTreeSet<Spot>>,
}

impl On<'_> {
    /// The assets that are looked at.
    fn assets<'a>(&self, _: &Project, assets: &'a Assets) -> Vec<(&'a AssetName, &'a AssetInfo)> {
        self.assets.iter().filter_map(|name| assets.assets.get_key_value(name)).collect()
    }

    /// Tells where no asset has the class.
    fn told_idle(&self, project: &Project, assets: &Assets, none: bool) {
        if none && assets.whole && !project.findings.has_errors() {
            let message = format!("no asset has the class `{}`, so this rule watches nothing", self.class);
            let finding = Finding::warning(codes::IDLE_RULE, self.spot, message);
            project.push(finding.help("give an asset this class, or remove the rule"));
        }
    }

    /// Whom a setting is wrong for.
    fn whom(&self) -> String {
        self.assets.first().map_or_else(|| format!("the class `{}`", self.class), |name| format!("`{name}`"))
    }

    /// Of the places of two settings that do not go together the one that a site or an asset changed.
    fn changed(&self, one: Spot, other: Spot) -> Spot {
        let is_default =
            |spot: Spot| spot.file == self.spot.file || self.info.parameters.values().any(|(_, place)| *place == spot);
        if is_default(one) && !is_default(other) { other } else { one }
    }

    /// Tells what is wrong with a setting, once.
    fn tell(&self, project: &Project, spot: Spot, finding: Finding) {
        if self.told.borrow_mut().insert(spot) {
            project.push(finding);
        }
    }
}

fn on<'a>(project: &Project, classes: &'a Classes, on: &At<String>) -> Option<On<'a>> {
    let Some((class, signal)) = on.split_once('.') else {
        let finding = Finding::error(codes::RULE_ON, on.spot, format!("`{}` names no signal", on.value));
        project.push(finding.expected("`<class>.<signal>`, such as `machine.temperature`").help("name both"));
        return None;
    };
    if !classes.known.expect(project, codes::UNKNOWN_CLASS, on.spot, "class", class) {
        return None;
    }
    let (name, info) = classes.good.get_key_value(class)?;
    if !info.signals.has(signal) {
        let message = format!("the class `{class}` has no signal `{signal}`");
        project.push(info.signals.lacking(codes::UNKNOWN_SIGNAL, on.spot, signal, message));
        return None;
    }
    let signal = SignalName::new(signal).ok()?;
    info.class.signals.get(&signal)?;
    Some(On { class: name.clone(), info, signal, spot: on.spot, assets: Vec::new(), told: RefCell::default() })
}

/// A severity from 1 to 1000.
fn severity(project: &Project, severity: u16, spot: Spot) -> Option<u16> {
    if !(1..=1000).contains(&severity) {
        let finding = Finding::error(codes::SEVERITY, spot, format!("{severity} is no severity"));
        project.push(finding.expected("1 (lowest) to 1000 (highest)").help("correct the number"));
        return None;
    }
    Some(severity)
}

/// The first 16 bytes of the SHA-256 over the parts, in hexadecimal.
pub(crate) fn version(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize()).chars().take(32).collect()
}

/// Parameters that no rule reads.
fn idle_parameters(project: &Project, classes: &Classes, used: &BTreeSet<(Name, String)>) {
    for (name, class) in &classes.good {
        for (key, (_, spot)) in &class.parameters {
            if used.contains(&(name.clone(), key.clone())) {
                continue;
            }
            let mut parts = key.rsplitn(3, '.').skip(1);
            let (near, far) = (parts.next().unwrap_or_default(), parts.next());
            let message = if let Some(signal) = far.filter(|signal| class.signals.has(signal)) {
                format!("no {near} rule is `on: {name}.{signal}`, so this parameter does nothing")
            } else {
                let signal = key.rsplit_once('.').map_or("", |(signal, _)| signal);
                format!("no limit rule is `on: {name}.{signal}`, so this parameter does nothing")
            };
            let finding = Finding::warning(codes::IDLE_PARAMETER, *spot, message);
            project.push(finding.help("add the rule, or remove the parameter"));
        }
    }
}
