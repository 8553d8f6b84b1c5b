//! Control charts: run rules that exist, lines that are given or learned, and a severity for each run rule.

use super::{On, severity, version};
use crate::{
    checks::assets::Assets,
    codes,
    contract::{Learn, Lines, Rule, RuleKind, RuleSettings, RunRule, SUBGROUP_MAX, SigmaFrom, SpcSettings},
    files::rules::spc::{SigmaWord, SpcRuleFile},
    load::Project,
    problem::{Finding, Spot},
    read::{At, Entries, Items, Raw, read},
};
use andon_model::value::Kind;
use std::sync::Arc;

/// Samples that lines are learned from.
const LEARN_SAMPLES: std::ops::RangeInclusive<u32> = 20..=1_000_000;

/// The sets of run rules with the beginning of their words.
const SETS: [(&str, &str); 2] = [("western-electric", "western-electric-"), ("nelson", "nelson-")];

pub(super) fn spc(project: &Project, file: &SpcRuleFile, on: &On<'_>, assets: &Assets) -> Option<Rule> {
    let signal = on.info.class.signals.get(&on.signal)?;
    if !matches!(signal.kind, Kind::F64 | Kind::I64) {
        let message = format!("the signal `{}` is no number, so it has no chart", on.signal);
        let finding = Finding::error(codes::SIGNAL_KIND, on.spot, message);
        project.push(finding.expected("a signal of the kind f64 or i64").help("name another signal"));
        return None;
    }
    let rules = severities(project, file.severity, &run_rules(project, file.rules)?)?;
    let subgroup = subgroup(project, file)?;
    let given = given(project, file, subgroup).ok()?;
    let learn = learn(project, file).ok()?;
    if given.is_none() && learn.is_none() {
        let finding = Finding::error(codes::CHART, on.spot, "the chart has no lines");
        let expected = "`centre` and `sigma`, `UCL` and `LCL`, or `learn: { samples: 100 }`";
        project.push(finding.expected(expected).help("give them, or let them be learned"));
        return None;
    }
    let mut parts = vec!["spc".to_owned(), on.signal.to_string(), signal.unit.clone(), format!("of {subgroup}")];
    parts.extend(rules.iter().map(|(rule, severity)| format!("{} {severity}", rule.word())));
    parts.extend(given.map(|lines| format!("lines {} {}", lines.centre, lines.sigma)));
    parts.extend(learn.map(|learn| format!("learn {} {:?}", learn.samples, learn.sigma)));
    let version = version(&parts.iter().map(String::as_str).collect::<Vec<_>>());
    let settings = SpcSettings { rules, subgroup, given, learn, unit: signal.unit.clone() };
    let settings = Arc::new(RuleSettings::plain(RuleKind::Spc(settings), &signal.unit, &version));
    let assets = on.assets(project, assets).into_iter().map(|(name, _)| (name.clone(), Arc::clone(&settings)));
    Some(Rule { class: on.class.clone(), signal: on.signal.clone(), assets: assets.collect() })
}

/// The run rules of a set, or of a list, each once.
fn run_rules(project: &Project, raw: Raw) -> Option<Vec<RunRule>> {
    let tree = project.findings.tree(raw.spot.file)?;
    if tree.scalar(raw.spot.node).is_some() {
        let word: At<String> = read(&project.findings, raw.spot)?;
        if let Some((_, prefix)) = SETS.iter().find(|(set, _)| *set == word.value) {
            return Some(RunRule::ALL.into_iter().filter(|rule| rule.word().starts_with(prefix)).collect());
        }
        let sets = SETS.iter().map(|(set, _)| *set);
        if run_rule(&word).is_some() {
            let finding = Finding::error(codes::RUN_RULE, raw.spot, format!("`{}` is one run rule", word.value));
            project.push(finding.expected("a list, or the name of a set").help(format!("write `[{}]`", word.value)));
        } else {
            let message = format!("there is no set of run rules `{}`", word.value);
            let finding = Finding::error(codes::RUN_RULE, raw.spot, message).known(&word, sets);
            project.push(finding.help("name a set, or list run rules: `[nelson-1, nelson-2]`"));
        }
        return None;
    }
    let list: Items<At<String>> = read(&project.findings, raw.spot)?;
    let mut rules = Vec::new();
    for word in list.iter() {
        let rule = known(project, word)?;
        if rules.contains(&rule) {
            let finding = Finding::error(codes::RUN_RULE, word.spot, format!("`{}` stands twice", word.value));
            project.push(finding.help("leave one out"));
            return None;
        }
        rules.push(rule);
    }
    if rules.is_empty() {
        let finding = Finding::error(codes::RUN_RULE, raw.spot, "no run rule is looked for");
        project.push(finding.expected("`nelson`, `western-electric` or a list").help("name at least one run rule"));
        return None;
    }
    Some(rules)
}

fn run_rule(word: &str) -> Option<RunRule> {
    RunRule::ALL.into_iter().find(|rule| rule.word() == word)
}

fn known(project: &Project, word: &At<String>) -> Option<RunRule> {
    let rule = run_rule(word);
    if rule.is_none() {
        let finding = Finding::error(codes::RUN_RULE, word.spot, format!("there is no run rule `{}`", word.value));
        let words = RunRule::ALL.map(RunRule::word);
        project.push(finding.known(word, words).help("correct the name; the page of this kind lists them"));
    }
    rule
}

/// The run rules with their severities; one number stands for all.
fn severities(project: &Project, raw: Raw, rules: &[RunRule]) -> Option<Vec<(RunRule, u16)>> {
    let tree = project.findings.tree(raw.spot.file)?;
    if tree.scalar(raw.spot.node).is_some() {
        let one: u16 = read(&project.findings, raw.spot)?;
        let one = severity(project, one, raw.spot)?;
        return Some(rules.iter().map(|rule| (*rule, one)).collect());
    }
    let each: Entries<String, At<u16>> = read(&project.findings, raw.spot)?;
    for (word, _) in &each.good {
        if !rules.contains(&known(project, word)?) {
            let message = format!("the run rule `{}` is not looked for, so it has no severity", word.value);
            let finding = Finding::error(codes::RUN_RULE, word.spot, message);
            project.push(finding.help("add it to `rules`, or leave its severity out"));
            return None;
        }
    }
    let mut all = Vec::new();
    for rule in rules {
        let Some((_, set)) = each.good.iter().find(|(word, _)| word.value == rule.word()) else {
            let message = format!("the run rule `{}` has no severity", rule.word());
            let finding = Finding::error(codes::SEVERITY, raw.spot, message);
            project.push(finding.expected(format!("`{}: <1 to 1000>`", rule.word())).help("add it"));
            return None;
        };
        all.push((*rule, severity(project, set.value, set.spot)?));
    }
    Some(all)
}

fn subgroup(project: &Project, file: &SpcRuleFile) -> Option<usize> {
    let Some(set) = &file.subgroup else { return Some(1) };
    let size = usize::from(set.value);
    if !(1..=SUBGROUP_MAX).contains(&size) {
        let finding = Finding::error(codes::CHART, set.spot, format!("a subgroup of {size} samples makes no chart"));
        project.push(finding.expected(format!("1 to {SUBGROUP_MAX}")).help("choose a size in between"));
        return None;
    }
    Some(size)
}

/// The lines that are given, with the sigma of points. What is wrong with them has been told.
#[expect(clippy::cast_precision_loss, reason = "a subgroup has few samples")]
fn given(project: &Project, file: &SpcRuleFile, subgroup: usize) -> Result<Option<Lines>, ()> {
    let wrong = |spot: Spot, message: &str, expected: &str| {
        project.push(Finding::error(codes::CHART, spot, message).expected(expected).help("correct the lines"));
        Err(())
    };
    match (&file.centre, &file.sigma, &file.ucl, &file.lcl) {
        (None, None, None, None) => Ok(None),
        (Some(centre), Some(sigma), None, None) => {
            if sigma.value <= 0.0 {
                return wrong(sigma.spot, &format!("a sigma of {} is no deviation", sigma.value), "more than 0");
            }
            Ok(Some(Lines { centre: centre.value, sigma: sigma.value / (subgroup as f64).sqrt() }))
        }
        (None, None, Some(ucl), Some(lcl)) => {
            let sigma = (ucl.value - lcl.value) / 6.0;
            if sigma <= 0.0 || !sigma.is_finite() {
                let message = format!("UCL ({}) is not above LCL ({})", ucl.value, lcl.value);
                return wrong(ucl.spot, &message, "UCL > LCL");
            }
            Ok(Some(Lines { centre: f64::midpoint(ucl.value, lcl.value), sigma }))
        }
        (centre, sigma, ucl, lcl) => {
            let set = [centre, sigma, ucl, lcl].into_iter().flatten().next().ok_or(())?;
            let message = "the lines are given in halves, or twice";
            wrong(set.spot, message, "`centre` and `sigma`, or `UCL` and `LCL`")
        }
    }
}

/// How lines are learned. What is wrong with it has been told.
fn learn(project: &Project, file: &SpcRuleFile) -> Result<Option<Learn>, ()> {
    let Some(learn) = &file.learn else { return Ok(None) };
    if !LEARN_SAMPLES.contains(&learn.samples.value) {
        let message = format!("lines are not learned from {} samples", learn.samples.value);
        let finding = Finding::error(codes::CHART, learn.samples.spot, message);
        let expected = format!("{} to {}", LEARN_SAMPLES.start(), LEARN_SAMPLES.end());
        project.push(finding.expected(expected).help("100 are usual"));
        return Err(());
    }
    let sigma = match learn.sigma {
        SigmaWord::Range => SigmaFrom::Range,
        SigmaWord::Sample => SigmaFrom::Sample,
    };
    Ok(Some(Learn { samples: learn.samples.value, sigma }))
}
