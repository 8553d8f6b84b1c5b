//! Scenarios: what is given can happen in this project, what is expected can be found in it.

mod told;

use super::{Known, assets::Assets, classes::Classes, coverage, schemas::SchemaSet, stem, systems::Systems};
use crate::{
    codes,
    contract::{
        Answer, Expect, Expected, Given, Happening, OperationRef, Reply, Rule, Scenario, Shelving, Source,
        capability_key,
    },
    files::scenarios::{
        AnswerFile, ExpectFile, ExpectedCallFile, ExpectedEventFile, ExpectedExceptionFile, FailureWord, GivenFile,
        QualityWord, ScenarioFile,
    },
    files::words::Named,
    load::Project,
    problem::{Finding, Spot},
    read::{At, Raw},
};
use andon_model::{AssetName, Name, Quality, SignalName, Time, Value, span::Span, value::Kind};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// Samples of a scenario at most.
pub(crate) const SAMPLES_MAX: usize = 1_000_000;
/// The start of a scenario that tells none: 2026-01-01T00:00:00Z.
const START: Time = Time(1_767_225_600_000_000_000);
/// How long an answer takes unless told.
const ANSWER_AFTER: Span = Span::from_millis(100);

/// The parts of a project that scenarios speak of.
pub(crate) struct Parts<'a> {
    pub(crate) classes: &'a Classes,
    pub(crate) assets: &'a Assets,
    pub(crate) sources: &'a BTreeMap<Name, Source>,
    pub(crate) systems: &'a Systems,
    pub(crate) schemas: &'a SchemaSet,
    pub(crate) capabilities: &'a Known,
    pub(crate) rules: &'a BTreeMap<Name, Rule>,
    pub(crate) shelving: &'a Shelving,
}

pub(crate) fn resolve(project: &Project, parts: &Parts<'_>) -> BTreeMap<Name, Scenario> {
    let mut scenarios = BTreeMap::new();
    for doc in &project.scenarios {
        let (Some(name), Some(file)) = (stem(project, doc), &doc.body) else { continue };
        let path = project.findings.path(doc.file).to_owned();
        if let Some(scenario) = scenario(project, parts, file, path) {
            scenarios.insert(name, scenario);
        }
    }
    scenarios
}

fn scenario(project: &Project, parts: &Parts<'_>, file: &ScenarioFile, path: String) -> Option<Scenario> {
    let start = match &file.start {
        None => START,
        Some(text) => Time::parse(text).unwrap_or_else(|_| {
            // The rest of the file is looked at all the same.
            let message = format!("`{}` is no moment", text.value);
            project.push(refuse(text.spot, message, "RFC 3339, such as 2026-01-01T06:00:00Z", "correct it"));
            START
        }),
    };
    let mut given = Vec::new();
    for item in file.given.iter() {
        happen(project, parts, item, start, &mut given);
        if given.len() > SAMPLES_MAX {
            let message = format!("the scenario gives more than {SAMPLES_MAX} samples");
            project.push(refuse(item.at.spot, message, "a short story", "write a shorter scenario"));
            return None;
        }
    }
    // What is given at one moment keeps the order of the file.
    given.sort_by_key(|given| given.at);
    let last = given.last().map_or(start, |given| given.at);
    let end = match &file.until {
        Some(until) if start.plus(until.0) < last => {
            let message = format!("the plant ends after {}, and something happens later", until.0);
            project.push(refuse(
                until.spot,
                message,
                "at least the moment of the last thing given",
                "let it go on longer",
            ));
            return None;
        }
        Some(until) => start.plus(until.0),
        None => last,
    };
    let answers = file.answers.iter().filter_map(|item| answer(project, parts, item)).collect();
    let expect = expect(project, parts, &file.expect, start);
    Some(Scenario { description: file.description.clone(), file: path, start, end, given, answers, expect })
}

fn refuse(spot: Spot, message: impl Into<String>, expected: &str, help: &str) -> Finding {
    Finding::error(codes::SCENARIO, spot, message).expected(expected).help(help)
}

fn happen(project: &Project, parts: &Parts<'_>, file: &GivenFile, start: Time, given: &mut Vec<Given>) {
    let at = start.plus(file.at.0);
    let things = [
        file.signal.is_some(),
        file.disconnect.is_some(),
        file.connect.is_some(),
        file.object.is_some(),
        file.shelve.is_some(),
        file.unshelve.is_some(),
        file.disable.is_some(),
        file.enable.is_some(),
    ];
    if things.iter().filter(|thing| **thing).count() != 1 {
        project.push(refuse(
            file.at.spot,
            "nothing, or several things at once, happen here",
            "one of `signal`, `disconnect`, `connect`, `object`, `shelve`, `unshelve`, `disable`, `enable`",
            "write one item for each thing that happens",
        ));
        return;
    }
    told::fits(project, file);
    if let Some(signal) = &file.signal {
        return samples(project, parts, file, signal, start, given);
    }
    let source = |source: &At<Named>| known_source(project, parts, source).then(|| source.value.0.clone());
    let what = match (&file.disconnect, &file.connect, &file.object) {
        (Some(of), ..) => source(of).map(Happening::Disconnected),
        (_, Some(of), _) => source(of).map(Happening::Connected),
        (.., Some(object)) => told::object(project, parts, file, object, start),
        _ => told::act(project, parts, file, at),
    };
    given.extend(what.map(|what| Given { at, what }));
}

fn known_source(project: &Project, parts: &Parts<'_>, source: &At<Named>) -> bool {
    let known = Known(parts.sources.keys().map(ToString::to_string).collect());
    known.expect(project, codes::UNKNOWN_SOURCE, source.spot, "source", source.as_str())
}

/// The source that delivers a sample: the one that is named, or the first that may deliver signals of its asset.
fn source(project: &Project, parts: &Parts<'_>, file: &GivenFile, asset: &AssetName) -> Option<Name> {
    if let Some(source) = &file.source {
        return known_source(project, parts, source).then(|| source.value.0.clone());
    }
    let info = parts.assets.assets.get(asset)?;
    let class = &parts.classes.good.get(&info.asset.class)?.class;
    let found = coverage::first(parts.sources, asset, info, class).cloned();
    if found.is_none() {
        let message = format!("no source delivers signals of `{asset}`, and by the clock of one this sample is judged");
        project.push(refuse(file.at.spot, message, "`source: NAME`", "name a source"));
    }
    found
}

/// The asset, the signal and the kind of its values.
fn signal(project: &Project, parts: &Parts<'_>, of: &At<String>) -> Option<(AssetName, SignalName, Kind)> {
    let Some((asset, signal)) = of.split_once('/') else {
        let expected = "`<asset>/<signal>`";
        project.push(refuse(of.spot, format!("`{}` names no signal", of.value), expected, "name asset and signal"));
        return None;
    };
    if !parts.assets.known_assets.expect(project, codes::UNKNOWN_ASSET, of.spot, "asset", asset) {
        return None;
    }
    let (name, info) = parts.assets.assets.get_key_value(asset)?;
    let class = parts.classes.good.get(&info.asset.class)?;
    if !class.signals.has(signal) {
        let message = format!("the class `{}` has no signal `{signal}`", info.asset.class);
        project.push(class.signals.lacking(codes::UNKNOWN_SIGNAL, of.spot, signal, message));
        return None;
    }
    let signal = SignalName::new(signal).ok()?;
    let kind = class.class.signals.get(&signal)?.kind;
    Some((name.clone(), signal, kind))
}

fn samples(
    project: &Project,
    parts: &Parts<'_>,
    file: &GivenFile,
    of: &At<String>,
    start: Time,
    given: &mut Vec<Given>,
) {
    let Some((asset, signal, kind)) = signal(project, parts, of) else { return };
    let Some(source) = source(project, parts, file, &asset) else { return };
    let quality = match file.quality.as_ref().map(|word| word.value) {
        None | Some(QualityWord::Good) => Quality::GOOD,
        Some(QualityWord::Uncertain) => Quality::UNCERTAIN,
        Some(QualityWord::Bad) => Quality::BAD,
    };
    let Some((values, every)) = values(project, file, kind) else { return };
    let delayed = file.delayed.as_ref().map_or(Span::ZERO, |span| span.0);
    let mut at = start.plus(file.at.0);
    for value in values.into_iter().take(SAMPLES_MAX + 1) {
        let time = Time(at.0.saturating_sub(delayed.nanos()));
        let (source, asset, signal) = (source.clone(), asset.clone(), signal.clone());
        given.push(Given { at, what: Happening::Sample { source, asset, signal, time, value, quality } });
        at = at.plus(every);
    }
}

/// The values that are given, with the time between them.
fn values(project: &Project, file: &GivenFile, kind: Kind) -> Option<(Vec<Value>, Span)> {
    let every = file.every.as_ref().map(|span| (span.0, span.spot));
    if let Some((_, spot)) = every.filter(|(span, _)| *span <= Span::ZERO) {
        project.push(refuse(spot, "no time passes between the values", "more than 0 s", "let some time pass"));
        return None;
    }
    match (file.value, &file.values, &file.to) {
        (Some(raw), None, None) => Some((vec![value(project, raw, kind)?], Span::ZERO)),
        (Some(raw), None, Some(to)) => {
            let Some((every, _)) = every else {
                project.push(refuse(to.spot, "nothing says how often the value is repeated", "`every`", "add it"));
                return None;
            };
            let value = value(project, raw, kind)?;
            let length = to.nanos().saturating_sub(file.at.nanos());
            if length < 0 {
                let message = format!("it ends after {} and begins after {}", to.0, file.at.0);
                project.push(refuse(to.spot, message, "a later moment than `at`", "correct one of the two"));
                return None;
            }
            let count = usize::try_from(length / every.nanos()).unwrap_or(usize::MAX).min(SAMPLES_MAX) + 1;
            Some((vec![value; count], every))
        }
        (None, Some(list), None) => {
            let Some((every, _)) = every else {
                let message = "nothing says how much time lies between the values";
                project.push(refuse(file.at.spot, message, "`every`", "add it"));
                return None;
            };
            let values: Vec<_> = list.iter().map(|raw| value(project, *raw, kind)).collect();
            values.into_iter().collect::<Option<Vec<_>>>().map(|values| (values, every))
        }
        _ => {
            let expected = "`value`, `value` with `every` and `to`, or `values` with `every`";
            project.push(refuse(
                file.at.spot,
                "it is not clear which values are given",
                expected,
                "choose one of these",
            ));
            None
        }
    }
}

/// A value of the kind of its signal.
fn value(project: &Project, raw: Raw, kind: Kind) -> Option<Value> {
    let tree = project.findings.tree(raw.spot.file)?;
    let json = tree.json(raw.spot.node);
    let found = match (kind, &json) {
        (Kind::Bool, Json::Bool(b)) => Some(Value::Bool(*b)),
        (Kind::I64, Json::Number(n)) => n.as_i64().map(Value::I64),
        (Kind::F64, Json::Number(n)) => n.as_f64().map(Value::F64),
        (Kind::Text, Json::String(text)) => Some(Value::Text(text.as_str().into())),
        (Kind::Bytes, Json::String(text)) => bytes(text).map(|bytes| Value::Bytes(bytes.into())),
        _ => None,
    };
    if found.is_none() {
        let expected = match kind {
            Kind::Bool => "true or false",
            Kind::I64 => "a whole number",
            Kind::F64 => "a number",
            Kind::Text => "a text",
            Kind::Bytes => "bytes in hexadecimal digits",
        };
        project.push(refuse(raw.spot, format!("{json} is no value of this signal"), expected, "correct the value"));
    }
    found
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(text.get(i..i + 2)?, 16).ok()).collect()
}

fn operation(project: &Project, parts: &Parts<'_>, of: &At<String>) -> Option<OperationRef> {
    let Some((system, operation)) = of.split_once('.') else {
        let message = format!("`{}` names no operation", of.value);
        project.push(refuse(of.spot, message, "`<system>.<operation>`", "name system and operation"));
        return None;
    };
    if !parts.systems.known.expect(project, codes::UNKNOWN_SYSTEM, of.spot, "system", system) {
        return None;
    }
    let found = parts.systems.good.get(system)?;
    if !found.operations.contains_key(operation) {
        let known = Known(found.operations.keys().map(ToString::to_string).collect());
        let message = format!("the system `{system}` has no operation `{operation}`");
        project.push(known.lacking(codes::UNKNOWN_OPERATION, of.spot, operation, message));
        return None;
    }
    Some(OperationRef { system: Name::new(system).ok()?, operation: Name::new(operation).ok()? })
}

fn answer(project: &Project, parts: &Parts<'_>, file: &AnswerFile) -> Option<Answer> {
    let operation = operation(project, parts, &file.operation)?;
    let spot = file.operation.spot;
    let reply = match (&file.failure, &file.status) {
        (Some(failure), None) if file.body.is_none() && file.headers.good.is_empty() => match failure.value {
            FailureWord::Lost => Reply::Lost,
            FailureWord::Refused => Reply::Refused,
        },
        (None, Some(status)) if (100..=599).contains(&status.value) => Reply::Http {
            status: status.value,
            headers: file.headers.good.iter().map(|(k, v)| (k.to_ascii_lowercase(), v.value.clone())).collect(),
            body: file.body.and_then(|raw| Some(project.findings.tree(raw.spot.file)?.json(raw.spot.node))),
        },
        _ => {
            let expected = "`status: 200` with `body`, or `failure: lost`, or `failure: refused`";
            project.push(refuse(spot, "it is not clear what is answered", expected, "choose one of these"));
            return None;
        }
    };
    Some(Answer {
        operation,
        search: file.search,
        reply,
        after: file.after.as_ref().map_or(ANSWER_AFTER, |span| span.0),
        times: file.times.as_ref().map_or(1, |times| times.value.max(1)),
        line: project.findings.line_number(spot),
    })
}

fn expect(project: &Project, parts: &Parts<'_>, file: &ExpectFile, start: Time) -> Expect {
    let ignore: Vec<String> = file.ignore.iter().map(|kind| kind.value.clone()).collect();
    for kind in file.ignore.iter() {
        known_event(project, parts, kind);
    }
    Expect {
        ignore,
        events: file.events.as_ref().map(|all| all.iter().map(|e| event(project, parts, e, start)).collect()),
        calls: file.calls.as_ref().map(|all| all.iter().map(|call| self::call(project, parts, call)).collect()),
        exceptions: file.exceptions.iter().map(|exception| self::exception(project, exception)).collect(),
    }
}

fn known_event(project: &Project, parts: &Parts<'_>, kind: &At<String>) {
    parts.schemas.events.expect(project, codes::UNKNOWN_EVENT, kind.spot, "type of event", kind);
}

/// Puts a field, where it is told.
fn put<T>(fields: &mut Map<String, Json>, name: &str, value: Option<&At<T>>, json: impl Fn(&T) -> Json) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), json(&value.value));
    }
}

fn put_raw(project: &Project, fields: &mut Map<String, Json>, name: &str, raw: Option<Raw>) {
    if let Some(raw) = raw
        && let Some(tree) = project.findings.tree(raw.spot.file)
    {
        fields.insert(name.to_owned(), tree.json(raw.spot.node));
    }
}

fn event(project: &Project, parts: &Parts<'_>, file: &ExpectedEventFile, start: Time) -> Expected {
    known_event(project, parts, &file.kind);
    let mut fields = Map::new();
    put(&mut fields, "time", file.at.as_ref(), |at| json!(start.plus(at.0)));
    fields.insert("type".to_owned(), file.kind.value.as_str().into());
    put(&mut fields, "subject", file.subject.as_ref(), |text| text.as_str().into());
    put_raw(project, &mut fields, "data", file.data);
    Expected { fields: Json::Object(fields), line: project.findings.line_number(file.kind.spot) }
}

fn call(project: &Project, parts: &Parts<'_>, file: &ExpectedCallFile) -> Expected {
    let name = capability_key(&file.capability);
    parts.capabilities.expect(project, codes::UNKNOWN_CAPABILITY, file.capability.spot, "capability", name);
    let mut fields = Map::new();
    fields.insert("capability".to_owned(), name.into());
    if let Some(of) = &file.operation
        && let Some(found) = operation(project, parts, of)
    {
        fields.insert("operation".to_owned(), found.to_string().into());
    }
    put(&mut fields, "state", file.state.as_ref(), |text| text.as_str().into());
    put(&mut fields, "attempts", file.attempts.as_ref(), |number| (*number).into());
    put(&mut fields, "document", file.document.as_ref(), |text| text.as_str().into());
    put_raw(project, &mut fields, "input", file.input);
    Expected { fields: Json::Object(fields), line: project.findings.line_number(file.capability.spot) }
}

fn exception(project: &Project, file: &ExpectedExceptionFile) -> Expected {
    let mut fields = Map::new();
    fields.insert("kind".to_owned(), file.kind.value.as_str().into());
    put(&mut fields, "owner", file.owner.as_ref(), |owner| owner.as_str().into());
    put(&mut fields, "cause", file.cause.as_ref(), |text| text.as_str().into());
    Expected { fields: Json::Object(fields), line: project.findings.line_number(file.kind.spot) }
}
