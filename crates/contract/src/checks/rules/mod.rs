//! Rules: they stand on a signal of a class, their limits are in order, each key is set in one place, and what an
//! asset of the class gets is complete.

mod limit;
mod stale;

use super::{
    assets::{AssetInfo, Assets},
    classes::{ClassInfo, Classes},
    sources::kind,
    stem,
};
use crate::{
    codes,
    contract::Rule,
    files::{
        not_built,
        rules::{KINDS, LimitRuleFile, StaleRuleFile},
    },
    load::{Project, hex},
    problem::{Finding, Spot},
    read::{At, read},
};
use andon_model::{AssetName, Name, SignalName};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn resolve(project: &Project, classes: &Classes, assets: &Assets) -> BTreeMap<Name, Rule> {
    let mut rules = BTreeMap::new();
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    let mut whole = true;
    for doc in &project.rules {
        let (Some(name), Some(raw)) = (stem(project, doc), doc.body) else {
            whole = false;
            continue;
        };
        let rule = match kind(project, doc, raw, "rule", &KINDS, not_built::rule_kind) {
            Some("limit") => read::<LimitRuleFile>(&project.findings, raw.spot).and_then(|file| {
                let on = on(project, classes, &file.on)?;
                used.insert((on.class.to_string(), on.signal.to_string()));
                limit::limit(project, &file, &on, assets)
            }),
            Some("stale") => read::<StaleRuleFile>(&project.findings, raw.spot).and_then(|file| {
                let on = on(project, classes, &file.on)?;
                stale::stale(project, &file, &on, assets)
            }),
            _ => None,
        };
        whole &= rule.is_some();
        if let Some(rule) = rule {
            rules.insert(name, rule);
        }
    }
    if whole {
        idle_parameters(project, classes, &used);
    }
    rules
}

/// The class and signal a rule stands on.
struct On<'a> {
    class: Name,
    info: &'a ClassInfo,
    signal: SignalName,
    spot: Spot,
}

impl On<'_> {
    /// The assets of the class; tells where there is none.
    fn assets<'a>(&self, project: &Project, assets: &'a Assets) -> Vec<(&'a AssetName, &'a AssetInfo)> {
        let found: Vec<_> = assets.assets.iter().filter(|(_, info)| info.asset.class == self.class).collect();
        if found.is_empty() && assets.whole && !project.findings.has_errors() {
            let message = format!("no asset has the class `{}`, so this rule watches nothing", self.class);
            let finding = Finding::warning(codes::IDLE_RULE, self.spot, message);
            project.push(finding.help("give an asset this class, or remove the rule"));
        }
        found
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
    Some(On { class: name.clone(), info, signal, spot: on.spot })
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
fn idle_parameters(project: &Project, classes: &Classes, used: &BTreeSet<(String, String)>) {
    for (name, class) in &classes.good {
        for (key, (_, spot)) in &class.parameters {
            let signal = key.rsplit_once('.').map_or("", |(signal, _)| signal);
            if !used.contains(&(name.to_string(), signal.to_owned())) {
                let message = format!("no limit rule is `on: {name}.{signal}`, so this parameter does nothing");
                let finding = Finding::warning(codes::IDLE_PARAMETER, *spot, message);
                project.push(finding.help("add the rule, or remove the parameter"));
            }
        }
    }
}
