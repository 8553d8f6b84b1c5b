//! Parameters: which there may be, and what their values are.
//!
//! A parameter is `<signal>.<key>` for the limit rules on the signal, `<signal>.<kind>.<key>` for the rules of another
//! kind, and `<signal>.<rule>.<key>` for one rule by its name, which comes before the others.

use super::{Known, classes::ClassInfo};
use crate::{
    codes,
    contract::Setting,
    files::{rules::KINDS, words::Word},
    load::Project,
    problem::Finding,
    read::At,
    schemas::rule_keys,
};
use andon_model::{Name, SignalName, span::Span};

/// What a key of a rule holds that a parameter may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// A number.
    Number,
    /// A length of time.
    Span,
}

impl Key {
    /// The keys of a kind of rule that a parameter may set.
    pub(crate) fn all(kind: &str) -> impl Iterator<Item = (&'static str, Self)> {
        rule_keys(kind).iter().map(|(key, of)| (key.as_str(), *of))
    }

    /// The parameters that set a key of a rule, the first of them before the other.
    pub(crate) fn names(signal: &SignalName, kind: &str, rule: &Name, key: &str) -> [String; 2] {
        let of_kind = if kind == LIMIT { format!("{signal}.{key}") } else { format!("{signal}.{kind}.{key}") };
        [format!("{signal}.{rule}.{key}"), of_kind]
    }

    fn read(self, text: &str) -> Option<Setting> {
        match self {
            Self::Number => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Setting::Number),
            Self::Span => Span::parse(text).ok().map(Setting::Span),
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Number => "a number in the unit of the signal",
            Self::Span => "a duration like 60 min, 1h 30m or PT1H",
        }
    }
}

/// The kind whose parameters do not name it.
const LIMIT: &str = "limit";

/// The signal and the value of a parameter; tells what is wrong with it.
pub(crate) fn parameter(
    project: &Project,
    class: &ClassInfo,
    key: &At<String>,
    value: &At<Word>,
) -> Option<(SignalName, Setting)> {
    if !key.contains('.') {
        let finding = Finding::error(codes::PARAMETER, key.spot, format!("`{}` is no parameter", key.value));
        project.push(finding.expected("`<signal>.<key>`, such as `temperature.High`").help("name signal and key"));
        return None;
    }
    // Names of signals may have dots: the longest one that is declared counts.
    let places = key.char_indices().filter(|(_, c)| *c == '.').map(|(at, _)| at);
    let mut splits: Vec<(&str, &str)> = places.filter_map(|at| Some((key.get(..at)?, key.get(at + 1..)?))).collect();
    splits.reverse();
    let Some((signal, rest)) = splits.iter().find(|(signal, _)| class.signals.has(signal)).copied() else {
        let signal = splits.first().map_or("", |(signal, _)| signal);
        project.push(class.signals.unknown(codes::UNKNOWN_SIGNAL, key.spot, "signal", signal));
        return None;
    };
    let (kind, setting) = match rest.split_once('.') {
        None => (LIMIT, rest),
        Some((word, setting)) => (kind_of(project, key, word)?, setting),
    };
    let Some((_, of)) = Key::all(kind).find(|(known, _)| *known == setting) else {
        let what =
            if rest.contains('.') { format!("a {kind} rule has no key") } else { "no rule has a key".to_owned() };
        let finding = Finding::error(codes::PARAMETER, key.spot, format!("{what} `{setting}`"));
        project.push(finding.known(setting, Key::all(kind).map(|(known, _)| known)).help("correct the key"));
        return None;
    };
    let read = of.read(value);
    if read.is_none() {
        let message = format!("`{}` is no value for `{setting}`", &**value as &str);
        let finding = Finding::error(codes::PARAMETER, value.spot, message);
        project.push(finding.expected(of.expected()).help("correct the value"));
    }
    Some((SignalName::new(signal).ok()?, read?))
}

/// The kind of rule that the middle of a parameter means: a kind, or a rule by its name.
fn kind_of(project: &Project, key: &At<String>, word: &str) -> Option<&'static str> {
    if let Some(kind) = KINDS.iter().find(|kind| **kind == word && **kind != LIMIT) {
        return Some(kind);
    }
    let rule = project.rules.iter().find(|doc| doc.stem == word);
    let written = rule.and_then(|doc| {
        let raw = doc.body?;
        let tree = project.findings.tree(raw.spot.file)?;
        tree.text(tree.get(raw.spot.node, "kind")?)
    });
    if let Some(kind) = written.and_then(|written| KINDS.iter().find(|kind| **kind == written)) {
        return Some(kind);
    }
    if rule.is_none() {
        let mut known = Known(project.rules.iter().map(|doc| doc.stem.clone()).collect());
        known.0.extend(KINDS.iter().filter(|kind| **kind != LIMIT).map(|kind| (*kind).to_owned()));
        let message = format!("no rule and no kind of rule is called `{word}`");
        project.push(known.lacking(codes::PARAMETER, key.spot, word, message));
    }
    None
}
