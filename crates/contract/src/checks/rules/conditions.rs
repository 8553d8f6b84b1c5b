//! Conditions: what they look at exists, and what they compare it with is of its kind.

use super::On;
use crate::{
    checks::Known,
    codes,
    contract::{Condition, Signal, Test, What, Word},
    files::{rules::common::ConditionFile, words::Comparand},
    load::Project,
    problem::{Finding, Spot},
    read::{At, Items},
    tree::Plain,
};
use andon_model::{Schemas, SignalName, Value, object::CONTEXT, value::Kind};
use serde_json::Value as Json;
use std::{collections::BTreeMap, sync::Arc};

/// What values are compared with.
struct Of {
    kind: Form,
    /// What it is called in messages.
    told: String,
    /// The words it may have; empty: any.
    words: Vec<String>,
    /// What its numbers are called.
    states: Option<Arc<BTreeMap<i64, String>>>,
    /// The lowest and the highest number it can be.
    range: Option<(f64, f64)>,
}

/// The form of the values that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Bool,
    Whole,
    Number,
    Text,
    /// It cannot be compared, only known or not.
    Opaque,
    /// Nobody knows; the word decides.
    Any,
}

impl Form {
    fn told(self) -> &'static str {
        match self {
            Self::Bool => "which is true or false",
            Self::Whole => "a whole number",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Opaque => "which is only there or not",
            Self::Any => "of which nothing is known",
        }
    }
}

/// The conditions of a list; tells what is wrong with them. `None` where one is wrong.
pub(super) fn conditions(
    project: &Project,
    schemas: &Schemas,
    on: &On<'_>,
    list: &Items<ConditionFile>,
    at: Spot,
) -> Option<Vec<Condition>> {
    let mut all = Vec::new();
    for file in list.iter() {
        all.push(condition(project, schemas, on, file, at));
    }
    if list.spoilt > 0 { None } else { all.into_iter().collect() }
}

/// A condition that looks at a signal; tells what is wrong with it.
pub(super) fn of_signal(project: &Project, on: &On<'_>, file: &ConditionFile, at: Spot) -> Option<Condition> {
    one_test(project, file, at)?;
    let (what, of) = signal(project, on, file.signal.as_ref()?)?;
    Some(Condition { what, test: test(project, file, &of)? })
}

/// The test of a condition that looks at a number, which is called so in messages.
pub(super) fn of_number(project: &Project, file: &ConditionFile, told: String, at: Spot) -> Option<Test> {
    one_test(project, file, at)?;
    test(project, file, &Of { kind: Form::Number, told, words: Vec::new(), states: None, range: None })
}

/// The place of a condition that has one test; tells where it has none or several.
fn one_test(project: &Project, file: &ConditionFile, at: Spot) -> Option<Spot> {
    let tests = [
        file.is.as_ref().map(|at| at.spot),
        file.not.as_ref().map(|at| at.spot),
        file.one_of.as_ref().map(|at| at.spot),
        file.above.as_ref().map(|at| at.spot),
        file.below.as_ref().map(|at| at.spot),
        file.exists.as_ref().map(|at| at.spot),
    ];
    let spots: Vec<Spot> = tests.into_iter().flatten().collect();
    let place =
        file.signal.as_ref().or(file.context.as_ref()).map(|at| at.spot).or(spots.first().copied()).unwrap_or(at);
    if spots.len() != 1 {
        let message = if spots.is_empty() { "the condition has no test" } else { "the condition has several tests" };
        let finding = Finding::error(codes::CONDITION, spots.get(1).copied().unwrap_or(place), message);
        let help =
            if spots.is_empty() { "add one: `is: ...`" } else { "write a condition for each; all of them must hold" };
        project.push(finding.expected("one of `is`, `not`, `in`, `above`, `below`, `exists`").help(help));
        return None;
    }
    Some(place)
}

fn condition(project: &Project, schemas: &Schemas, on: &On<'_>, file: &ConditionFile, at: Spot) -> Option<Condition> {
    let place = one_test(project, file, at)?;
    let (what, of) = match (&file.signal, &file.context) {
        (Some(name), None) => signal(project, on, name)?,
        (None, Some(path)) => context(project, schemas, path)?,
        (found, _) => {
            let message =
                if found.is_some() { "the condition looks at two things" } else { "the condition looks at nothing" };
            let finding = Finding::error(codes::CONDITION, place, message);
            let expected = "`signal: <name>` or `context: <what>.<field>`";
            project.push(finding.expected(expected).help("write one condition for each thing"));
            return None;
        }
    };
    Some(Condition { what, test: test(project, file, &of)? })
}

fn signal(project: &Project, on: &On<'_>, name: &At<String>) -> Option<(What, Of)> {
    if !on.info.signals.has(name) {
        let message = format!("the class `{}` has no signal `{}`", on.class, name.value);
        project.push(on.info.signals.lacking(codes::UNKNOWN_SIGNAL, name.spot, name, message));
        return None;
    }
    let signal_name = SignalName::new(name).ok()?;
    let signal: &Signal = on.info.class.signals.get(&signal_name)?;
    let kind = match signal.kind {
        Kind::Bool => Form::Bool,
        Kind::I64 => Form::Whole,
        Kind::F64 => Form::Number,
        Kind::Text => Form::Text,
        Kind::Bytes => Form::Opaque,
    };
    let words = signal.states.iter().flat_map(|states| states.values().cloned()).collect();
    let told = format!("the signal `{}`, {}", name.value, kind.told());
    Some((What::Signal(signal_name), Of { kind, told, words, states: signal.states.clone(), range: signal.range }))
}

fn context(project: &Project, schemas: &Schemas, path: &At<String>) -> Option<(What, Of)> {
    let mut parts = path.split('.').map(str::to_owned);
    let name = parts.next().unwrap_or_default();
    let field: Vec<String> = parts.collect();
    let Some((_, kind)) = CONTEXT.iter().find(|(known, _)| *known == name) else {
        let finding = Finding::error(codes::CONDITION, path.spot, format!("nothing is called `{name}` in the context"));
        let known = finding.known(&name, CONTEXT.iter().map(|(known, _)| *known));
        project.push(known.help("begin with one of these: `order.state`"));
        return None;
    };
    if field.is_empty() || field.iter().any(String::is_empty) {
        let finding = Finding::error(codes::CONDITION, path.spot, format!("`{}` names no field", path.value));
        project.push(finding.expected("`<what>.<field>`, such as `order.state`").help("name the field"));
        return None;
    }
    let schema = format!("{kind}/1");
    let told = format!("`{}`", path.value);
    let mut of = Of { kind: Form::Any, told, words: Vec::new(), states: None, range: None };
    if let Some(root) = schemas.json(&schema) {
        let found = field.iter().try_fold(root, |at, part| {
            let properties = at.get("properties").and_then(Json::as_object);
            let next = properties.and_then(|all| all.get(part));
            if next.is_none() {
                let names = Known(properties.map(|all| all.keys().cloned().collect()).unwrap_or_default());
                let message = format!("the schema {schema} has no field `{part}` there");
                project.push(names.lacking(codes::CONDITION, path.spot, part, message));
            }
            next.map(|next| referred(root, next))
        })?;
        of.kind = form(found);
        of.told = format!("{}, {}", of.told, of.kind.told());
        let words = found.get("enum").and_then(Json::as_array);
        of.words = words.into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect();
    }
    Some((What::Context { name, field }, of))
}

/// A schema, or the one of `$defs` that it refers to.
fn referred<'a>(root: &'a Json, at: &'a Json) -> &'a Json {
    let to = at.get("$ref").and_then(Json::as_str).and_then(|to| root.pointer(to.strip_prefix('#')?));
    to.unwrap_or(at)
}

fn form(schema: &Json) -> Form {
    let is_text = schema.get("enum").and_then(Json::as_array).is_some_and(|all| all.iter().all(Json::is_string));
    match schema.get("type").and_then(Json::as_str) {
        _ if is_text => Form::Text,
        // Amounts of objects are decimals, written as texts so that no digit is lost.
        Some("string") if schema.get("pattern").is_some_and(|p| p.as_str().is_some_and(|p| p.contains("[0-9]+"))) => {
            Form::Number
        }
        Some("string") => Form::Text,
        Some("integer") => Form::Whole,
        Some("number") => Form::Number,
        Some("boolean") => Form::Bool,
        Some("object" | "array") => Form::Opaque,
        _ => Form::Any,
    }
}

fn test(project: &Project, file: &ConditionFile, of: &Of) -> Option<Test> {
    if let Some(exists) = &file.exists {
        return Some(Test::Exists(exists.value));
    }
    if let Some(is) = &file.is {
        return word(project, is, of).map(Test::Is);
    }
    if let Some(not) = &file.not {
        return word(project, not, of).map(Test::Not);
    }
    if let Some(list) = &file.one_of {
        if list.is_empty() {
            let finding =
                Finding::error(codes::CONDITION, list.spot, "nothing is in an empty list, so this never holds");
            project.push(finding.expected("`in: [a, b]`").help("name what it may be"));
            return None;
        }
        let words: Vec<Option<Word>> = list.iter().map(|comparand| word(project, comparand, of)).collect();
        return words.into_iter().collect::<Option<Vec<Word>>>().map(Test::In);
    }
    let (limit, above) = match (&file.above, &file.below) {
        (Some(above), _) => (above, true),
        (None, below) => (below.as_ref()?, false),
    };
    if !matches!(of.kind, Form::Number | Form::Whole | Form::Any) || !limit.is_finite() {
        let key = if above { "above" } else { "below" };
        let finding =
            Finding::error(codes::CONDITION, limit.spot, format!("`{key}` compares numbers, not {}", of.told));
        project.push(finding.expected("a thing that is a number").help("use `is`, `not` or `in`"));
        return None;
    }
    if let Some((lowest, highest)) = of.range
        && ((above && limit.value >= highest) || (!above && limit.value <= lowest))
    {
        never(project, limit.spot, &limit.value.to_string(), (lowest, highest));
        return None;
    }
    Some(if above { Test::Above(limit.value) } else { Test::Below(limit.value) })
}

fn never(project: &Project, spot: Spot, value: &str, (lowest, highest): (f64, f64)) {
    let message = format!("{value} makes a test that never holds: the signal's range is {lowest} to {highest}");
    let finding = Finding::error(codes::CONDITION, spot, message);
    project.push(finding.expected("a value inside of the range").help("change one of the two"));
}

/// What is compared, in the form of what it is compared with.
fn word(project: &Project, comparand: &At<Comparand>, of: &Of) -> Option<Word> {
    let text = comparand.value.0.as_str();
    let number = || text.parse::<f64>().ok().filter(|number| number.is_finite());
    let wrong = |expected: &str| {
        let finding =
            Finding::error(codes::CONDITION, comparand.spot, format!("`{text}` is not comparable with {}", of.told));
        let finding = if of.words.is_empty() {
            finding.expected(expected)
        } else {
            finding.known(text, of.words.iter().map(String::as_str))
        };
        project.push(finding.help("correct the value"));
        None
    };
    match of.kind {
        Form::Bool => match text {
            "true" => Some(Word::Bool(true)),
            "false" => Some(Word::Bool(false)),
            _ => wrong("`true` or `false`"),
        },
        Form::Whole | Form::Number => {
            let named = || of.states.iter().flat_map(|states| states.iter()).find(|(_, name)| name.as_str() == text);
            let state = || named().and_then(|(number, _)| Value::I64(*number).number());
            let Some(number) = state().or_else(number) else {
                return wrong(if of.kind == Form::Whole { "a whole number" } else { "a number" });
            };
            if of.kind == Form::Whole && number.fract() != 0.0 {
                return wrong("a whole number");
            }
            if let Some((lowest, highest)) = of.range.filter(|(lowest, highest)| number < *lowest || number > *highest)
            {
                never(project, comparand.spot, text, (lowest, highest));
                return None;
            }
            Some(Word::Number(number))
        }
        Form::Text if !of.words.is_empty() && !of.words.iter().any(|word| word == text) => wrong(""),
        Form::Text => Some(Word::Text(text.to_owned())),
        Form::Opaque => wrong("`exists: true` or `exists: false`"),
        Form::Any => {
            let tree = project.findings.tree(comparand.spot.file)?;
            Some(match tree.scalar(comparand.spot.node)? {
                Plain::Bool(truth) => Word::Bool(truth),
                Plain::Int(_) | Plain::Float(_) => Word::Number(number()?),
                Plain::Text | Plain::Null => Word::Text(text.to_owned()),
            })
        }
    }
}
