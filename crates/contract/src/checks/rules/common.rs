//! What all kinds of rule are read with: the signal they stand on, their conditions, a table of severities, and the
//! parameters that set their keys.
//!
//! A kind is checked once for each set of assets with the same parameters, and never knows of parameters: the values
//! stand in the place of its keys, each with the place where it was set. So what is wrong with one is told there.

use super::{On, conditions::conditions, on, severity, version};
use crate::{
    checks::{assets::Assets, classes::Classes, parameters::Key},
    codes,
    contract::{Condition, Guard, Rule, RuleSettings, SeverityLine, Test, What, WhenStale, Word},
    files::rules::common::{COMMON_KEYS, CommonRuleFile, SeverityLineFile},
    load::Project,
    problem::{Finding, Spot},
    read::{Items, Raw, Shared, read, read_shared},
};
use andon_model::{AssetName, Name, Schemas};
use serde::de::DeserializeOwned;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Words of priorities, the highest first.
const PRIORITIES: [&str; 4] = ["urgent", "high", "medium", "low"];

/// What all rules of a project are read with.
pub(super) struct Ground<'a> {
    pub(super) project: &'a Project,
    pub(super) classes: &'a Classes,
    pub(super) assets: &'a Assets,
    pub(super) schemas: &'a Schemas,
    /// Parameters that a rule reads, by class and name.
    pub(super) used: RefCell<BTreeSet<(Name, String)>>,
}

/// Values that stand in the place of keys of a rule.
type Instead = Vec<(&'static str, Spot)>;

impl Ground<'_> {
    /// A rule of a kind, whose own keys `T` reads.
    pub(super) fn rule<T: DeserializeOwned>(
        &self,
        kind: &str,
        name: &Name,
        raw: Raw,
        check: impl Fn(&Project, &T, &On<'_>, &Assets) -> Option<Rule>,
    ) -> Option<Rule> {
        let (project, findings) = (self.project, &self.project.findings);
        let read_own = |instead: &[(&'static str, Spot)]| {
            read_shared::<T>(findings, raw.spot, Shared { others: &COMMON_KEYS, quiet: false, instead })
        };
        let common = read_shared(findings, raw.spot, Shared { others: &[], quiet: true, instead: &[] });
        let common: Option<CommonRuleFile> = common;
        let stands = common.as_ref().and_then(|common| on(project, self.classes, &common.on));
        let table = self.table(raw);
        let (Some(common), Some(mut on)) = (common, stands) else {
            // What is wrong with its own keys is told all the same.
            read_own(&table.iter().map(|(_, fallback)| ("severity", *fallback)).collect::<Instead>());
            return None;
        };
        let guard = self.guard(&common, &on, raw, table.as_ref().map(|(lines, _)| lines));
        let names = self.names(kind, name, raw, &on)?;
        let of_class: Vec<&AssetName> = self.assets.of_class(&on.class);
        on.told_idle(project, self.assets, of_class.is_empty());
        let mut rule = Rule { class: on.class.clone(), signal: on.signal.clone(), assets: BTreeMap::new() };
        let mut is_good = true;
        for (mut instead, assets) in self.groups(&names, &on, of_class) {
            instead.extend(table.iter().map(|(_, fallback)| ("severity", *fallback)));
            on.assets = assets;
            let made = read_own(&instead).and_then(|file| check(project, &file, &on, self.assets));
            is_good &= made.is_some();
            rule.assets.extend(made.into_iter().flat_map(|made| made.assets));
        }
        let guard = guard?;
        share(&mut rule, &guard.0, &guard.1);
        is_good.then_some(rule)
    }

    /// The parameters of the class that set keys of a rule; `None` where one of them is wrong. Tells of keys that
    /// stand in both places.
    fn names(&self, kind: &str, name: &Name, raw: Raw, on: &On<'_>) -> Option<Vec<(&'static str, String)>> {
        let tree = self.project.findings.tree(raw.spot.file)?;
        let mut names = Vec::new();
        for (key, _) in Key::all(kind) {
            for parameter in Key::names(&on.signal, kind, name, key) {
                self.used.borrow_mut().insert((on.class.clone(), parameter.clone()));
                if !on.info.parameters_known.has(&parameter) {
                    continue;
                }
                let (_, other) = on.info.parameters.get(&parameter)?;
                let Some(own) = tree.get(raw.spot.node, key) else {
                    names.push((key, parameter));
                    continue;
                };
                let line = self.project.findings.line_of(*other);
                let message = format!("`{key}` is set here and as the parameter `{parameter}` of the class ({line})");
                let finding = Finding::error(codes::SET_TWICE, Spot { node: own, ..raw.spot }, message);
                self.project.push(finding.help("keep one: the parameter, where sites or assets set it; else this one"));
            }
        }
        Some(names)
    }

    /// The assets by the values that they have for parameters, in order; without parameters all of them.
    fn groups(
        &self,
        names: &[(&'static str, String)],
        on: &On<'_>,
        assets: Vec<&AssetName>,
    ) -> Vec<(Instead, Vec<AssetName>)> {
        let value = |find: &dyn Fn(&str) -> Option<Spot>| {
            let mut instead: Instead = Vec::new();
            // The parameter of one rule comes before that of its kind.
            for (key, parameter) in names {
                if !instead.iter().any(|(known, _)| known == key)
                    && let Some(spot) = find(parameter)
                {
                    instead.push((key, spot));
                }
            }
            instead
        };
        let default = value(&|parameter| on.info.parameters.get(parameter).map(|(_, spot)| *spot));
        let mut groups: BTreeMap<Instead, Vec<AssetName>> = BTreeMap::from([(default.clone(), Vec::new())]);
        for name in assets {
            let places = self.assets.assets.get(name).map(|info| &info.places);
            let instead = if names.is_empty() {
                Vec::new()
            } else {
                value(&|parameter| places.and_then(|places| places.get(parameter)).copied())
            };
            groups.entry(instead).or_default().push(name.clone());
        }
        let first = groups.remove(&default).map(|assets| (default, assets));
        first.into_iter().chain(groups).collect()
    }

    /// The lines of a table of severities, and the place of the one that counts where no condition holds.
    fn table(&self, raw: Raw) -> Option<(Items<SeverityLineFile>, Spot)> {
        let (project, findings) = (self.project, &self.project.findings);
        let tree = findings.tree(raw.spot.file)?;
        let node = tree.get(raw.spot.node, "severity")?;
        let spot = Spot { node, ..raw.spot };
        if !matches!(tree.node(node).kind, crate::tree::Kind::List(_)) {
            return None;
        }
        let lines: Items<SeverityLineFile> = read(findings, spot)?;
        let is_default = |line: &&SeverityLineFile| line.limit.is_none() && line.when.good.is_empty();
        let Some(default) = lines.iter().last().filter(is_default).map(|line| line.severity.spot) else {
            if lines.spoilt == 0 {
                let message = "the table says nothing of alarms that no line is for";
                let finding = Finding::error(codes::SEVERITY, spot, message);
                let expected = "a last line without `limit` and `when`: `- { severity: 500 }`";
                project.push(finding.expected(expected).help("add it"));
            }
            let any = lines.iter().next().map_or(spot, |line| line.severity.spot);
            return Some((lines, any));
        };
        Some((lines, default))
    }

    /// What must hold besides, with its meaning in words.
    fn guard(
        &self,
        common: &CommonRuleFile,
        on: &On<'_>,
        raw: Raw,
        table: Option<&Items<SeverityLineFile>>,
    ) -> Option<(Guard, Vec<String>)> {
        let project = self.project;
        let list = |list| conditions(project, self.schemas, on, list, raw.spot);
        let (when, suppress) = (list(&common.when), list(&common.suppress));
        let mut severities = Vec::new();
        for line in table.iter().flat_map(|lines| lines.iter()) {
            let priority = line.priority.as_ref().map(|priority| {
                if !PRIORITIES.contains(&priority.as_str()) {
                    let message = format!("there is no priority `{}`", priority.value);
                    let finding = Finding::error(codes::SEVERITY, priority.spot, message);
                    project.push(finding.known(priority, PRIORITIES).help("correct the word"));
                }
                priority.value.clone()
            });
            severities.push(Some(SeverityLine {
                limit: line.limit.as_ref().map(|word| word.value.into()),
                when: list(&line.when)?,
                severity: severity(project, line.severity.value, line.severity.spot)?,
                priority,
            }));
        }
        let guard = Guard {
            when: when?,
            suppress: suppress?,
            when_stale: common.when_stale.as_ref().map_or(WhenStale::Use, |word| word.0),
            max_age: common.max_age.as_ref().map(|span| span.value.0),
            severities: severities.into_iter().collect::<Option<_>>()?,
        };
        let meaning = meaning(&guard, on);
        Some((guard, meaning))
    }
}

/// Gives the settings their guard, and lets those that are equal be one.
fn share(rule: &mut Rule, guard: &Guard, meaning: &[String]) {
    let mut shared: BTreeMap<String, Arc<RuleSettings>> = BTreeMap::new();
    let mut last: Option<(Arc<RuleSettings>, Arc<RuleSettings>)> = None;
    for settings in rule.assets.values_mut() {
        if let Some((_, made)) = last.as_ref().filter(|(from, _)| Arc::ptr_eq(from, settings)) {
            *settings = Arc::clone(made);
            continue;
        }
        let from = Arc::clone(settings);
        let made = shared.entry(from.version.clone()).or_insert_with(|| {
            if *guard == Guard::default() {
                return Arc::clone(&from);
            }
            let parts: Vec<&str> =
                std::iter::once(from.version.as_str()).chain(meaning.iter().map(String::as_str)).collect();
            Arc::new(RuleSettings { guard: guard.clone(), version: version(&parts), ..RuleSettings::clone(&from) })
        });
        *settings = Arc::clone(made);
        last = Some((from, Arc::clone(made)));
    }
}

/// The meaning of a guard: what its rule's version is made of besides the rule's own.
fn meaning(guard: &Guard, on: &On<'_>) -> Vec<String> {
    let mut parts = Vec::new();
    let mut list = |title: String, conditions: &[Condition]| {
        parts.push(title);
        parts.extend(conditions.iter().map(|condition| condition_meaning(condition, on)));
    };
    list("when".to_owned(), &guard.when);
    list("suppress".to_owned(), &guard.suppress);
    for line in &guard.severities {
        let priority = line.priority.as_deref().unwrap_or("-");
        list(format!("severity {:?} {} {priority}", line.limit, line.severity), &line.when);
    }
    parts.push(match guard.when_stale {
        WhenStale::Use => "use".to_owned(),
        WhenStale::Wait(span) => format!("wait {}", span.nanos()),
        WhenStale::Ignore => "ignore".to_owned(),
    });
    parts.push(guard.max_age.map_or_else(String::new, |age| age.nanos().to_string()));
    parts
}

fn condition_meaning(condition: &Condition, on: &On<'_>) -> String {
    let what = match &condition.what {
        What::Signal(signal) => {
            let unit = on.info.class.signals.get(signal).map_or("1", |signal| signal.unit.as_str());
            format!("signal {signal} {unit}")
        }
        What::Context { name, field } => format!("context {name}.{}", field.join(".")),
    };
    let word = |word: &Word| match word {
        Word::Bool(truth) => format!("bool {truth}"),
        Word::Number(number) => format!("number {number}"),
        Word::Text(text) => format!("text {text:?}"),
    };
    let test = match &condition.test {
        Test::Is(is) => format!("is {}", word(is)),
        Test::Not(not) => format!("not {}", word(not)),
        Test::In(list) => format!("in {}", list.iter().map(word).collect::<Vec<_>>().join(", ")),
        Test::Above(limit) => format!("above {limit}"),
        Test::Below(limit) => format!("below {limit}"),
        Test::Exists(exists) => format!("exists {exists}"),
    };
    format!("{what} {test}")
}
