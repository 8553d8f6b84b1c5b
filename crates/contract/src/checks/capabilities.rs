//! Capabilities: named in two parts and by their major, owned by a team, with an input and an output whose schemas
//! exist.

use super::{Known, days::day, ownership::Owners, schemas::SchemaSet};
use crate::{
    codes,
    contract::{Capability, Deprecated, Objective, capability_key},
    files::capabilities::{CapabilityFile, DeprecatedFile, TypeWord},
    load::{Doc, Project},
    problem::{Finding, Spot, Where},
    read::{At, Entries, Raw, read},
};
use andon_model::{Name, span::Span};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// All capabilities.
pub(crate) struct Capabilities {
    pub(crate) good: BTreeMap<String, Capability>,
    /// Their names as they are kept, also of those that are wrong.
    pub(crate) known: Known,
    pub(crate) domains: Known,
}

impl Capabilities {
    /// A capability by `name`, which is its first major, or `name@major`; tells where there is none.
    pub(crate) fn find<'a>(&'a self, project: &Project, at: Spot, name: &'a str) -> Option<(&'a str, &'a Capability)> {
        let key = capability_key(name);
        if self.known.has(key) {
            return Some((key, self.good.get(key)?));
        }
        let plain = key.split('@').next().unwrap_or(key);
        let majors = self.majors(plain);
        if majors.is_empty() {
            project.push(self.known.unknown(codes::UNKNOWN_CAPABILITY, at, "capability", name));
            return None;
        }
        let message = match key.split_once('@') {
            Some((_, major)) => format!("the capability `{plain}` has no major {major}"),
            None => format!("the capability `{plain}` has no first major, which its plain name means"),
        };
        let finding = Finding::error(codes::UNKNOWN_CAPABILITY, at, message).known(name, majors);
        project.push(finding.help("name a major that is declared, or declare this one"));
        None
    }

    /// The same for a call: tells also where the capability goes away, and where a newer major may be meant.
    pub(crate) fn called<'a>(
        &'a self,
        project: &Project,
        at: Spot,
        name: &'a str,
    ) -> Option<(&'a str, &'a Capability)> {
        let (key, capability) = self.find(project, at, name)?;
        if let Some(deprecated) = &capability.deprecated {
            let end = deprecated.sunset.as_ref().map(|day| format!("; from {day} on nobody need answer it"));
            let message =
                format!("`{key}` should not be called any more since {}{}", deprecated.since, end.unwrap_or_default());
            let finding = Finding::warning(codes::DEPRECATED, at, message);
            project.push(finding.help(format!("call `{}`", deprecated.instead)));
        } else if !name.contains('@')
            && let Some(newest) = self.majors(key).into_iter().rfind(|other| *other != key)
        {
            let message = format!("`{key}` is the first major, and there is `{newest}`");
            let finding = Finding::warning(codes::NEWER_MAJOR, at, message);
            project.push(finding.help(format!("write `{key}@1` to say that it is meant, or call `{newest}`")));
        }
        Some((key, capability))
    }

    /// The names of all majors of a capability, the oldest first.
    fn majors(&self, plain: &str) -> Vec<&str> {
        let of = |name: &&str| *name == plain || name.strip_prefix(plain).is_some_and(|rest| rest.starts_with('@'));
        let mut majors: Vec<&str> = self.known.0.iter().map(String::as_str).filter(of).collect();
        majors.sort_by_key(|name| major_of(name).1);
        majors
    }
}

/// A capability's plain name and its major; 0 where that is no number.
fn major_of(name: &str) -> (&str, u32) {
    match name.split_once('@') {
        None => (name, 1),
        Some((plain, major)) => (plain, major.parse().unwrap_or(0)),
    }
}

pub(crate) fn resolve(project: &Project, owners: &Owners, schemas: &SchemaSet) -> Capabilities {
    let mut all =
        Capabilities { good: BTreeMap::new(), known: Known::stems(&project.capabilities), domains: Known::default() };
    for doc in &project.capabilities {
        let Some(file) = &doc.body else {
            file_name(project, doc, None);
            continue;
        };
        file_name(project, doc, Some(&file.version));
        all.domains.0.insert(file.domain.to_string());
        owners.expect(project, &file.owner);
        if let Some(o) = file.objective.as_ref().filter(|o| o.within.0 <= Span::ZERO) {
            let finding = Finding::error(codes::CAPABILITY, o.within.spot, "nothing is done within no time");
            project.push(finding.expected("a duration longer than 0 s").help("correct the duration"));
        }
        let input = known_schema(project, schemas, &file.input.schema);
        let (output, output_schema) = output(project, schemas, &file.output);
        let capability = Capability {
            version: file.version.value,
            domain: file.domain.to_string(),
            owner: file.owner.0.clone(),
            effect: effect(project, &file.effect),
            input,
            output,
            output_schema,
            objective: file.objective.as_ref().map(|o| Objective { within: o.within.0, percent: o.of.0 }),
            deprecated: file.deprecated.as_ref().and_then(|deprecated| self::deprecated(project, deprecated)),
        };
        all.good.insert(doc.stem.clone(), capability);
    }
    for doc in &project.capabilities {
        if let Some(deprecated) = doc.body.as_ref().and_then(|file| file.deprecated.as_ref()) {
            instead(project, &all, &doc.stem, deprecated);
        }
    }
    all
}

/// The file's name is the capability's, with its major from the second on.
fn file_name(project: &Project, doc: &Doc<CapabilityFile>, version: Option<&At<u32>>) {
    let (plain, major) = major_of(&doc.stem);
    let is_name = plain.contains('.') && plain.split('.').all(|part| Name::new(part).is_ok());
    let is_major = !doc.stem.contains('@') || (major > 1 && doc.stem.ends_with(&format!("@{major}")));
    if !is_name || !is_major {
        let message = format!("the file's name is no capability: `{}`", doc.stem);
        let finding = Finding::error(codes::FILE_NAME, Where::File(doc.file), message);
        project.push(
            finding
                .expected(
                    "`<domain>.<verb>`, such as `maintenance.request-work`, and from the second major on \
                     `maintenance.request-work@2`",
                )
                .help("rename the file"),
        );
        return;
    }
    let Some(version) = version else { return };
    if version.value == 0 {
        let finding = Finding::error(codes::CAPABILITY, version.spot, "there is no version 0");
        project.push(finding.expected("a whole number from 1").help("begin with 1"));
    } else if version.value != major {
        let message = format!("the major {} stands in the file of the major {major}", version.value);
        let finding = Finding::error(codes::CAPABILITY, version.spot, message);
        let file = if version.value == 1 { plain.to_owned() } else { format!("{plain}@{}", version.value) };
        project.push(
            finding
                .expected(format!("{major}"))
                .help(format!("correct the number, or rename the file to `capabilities/{file}.yaml`")),
        );
    }
}

/// What it changes; `None`: it only reads.
fn effect(project: &Project, text: &At<String>) -> Option<String> {
    let effect = text.trim();
    if effect == "reads" || effect.starts_with("reads ") {
        return None;
    }
    if !effect.contains(' ') {
        let finding = Finding::error(codes::CAPABILITY, text.spot, format!("`{effect}` names no effect"));
        project.push(
            finding
                .expected("`reads`, or a verb and its object: `creates MaintenanceRequest`, `changes ProductionOrder`")
                .help("say what is changed: it decides what an unknown outcome means"),
        );
    }
    Some(effect.to_owned())
}

fn known_schema(project: &Project, schemas: &SchemaSet, text: &At<String>) -> String {
    let reference = with_major(text);
    if !schemas.known.has(&reference) {
        project.push(schemas.known.unknown(codes::UNKNOWN_SCHEMA, text.spot, "schema", text));
    }
    reference
}

/// The fields that an output must have with their types, and its schema where it names one.
fn output(
    project: &Project,
    schemas: &SchemaSet,
    file: &Entries<String, Raw>,
) -> (BTreeMap<String, String>, Option<String>) {
    let text = |raw: &Raw| Some(project.findings.tree(raw.spot.file)?.text(raw.spot.node)?.to_owned());
    if let [(key, raw)] = file.good.as_slice()
        && key.value == "schema"
        && let Some(value) = text(raw)
        && !TypeWord::ALL.iter().any(|word| word.word() == value)
    {
        let schema = known_schema(project, schemas, &At { spot: raw.spot, value });
        let fields = schemas.json(&schema).map(required).unwrap_or_default();
        return (fields, Some(schema));
    }
    let field = |(name, raw): &(At<String>, Raw)| {
        let word: TypeWord = read(&project.findings, raw.spot)?;
        Some((name.value.clone(), word.word().to_owned()))
    };
    (file.good.iter().filter_map(field).collect(), None)
}

/// The fields that a schema requires, with their types where it tells one.
fn required(schema: &Json) -> BTreeMap<String, String> {
    let required = schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    let kind = |field: &str| schema.get("properties")?.get(field)?.get("type")?.as_str();
    required.map(|field| (field.to_owned(), kind(field).unwrap_or("any").to_owned())).collect()
}

fn deprecated(project: &Project, file: &DeprecatedFile) -> Option<Deprecated> {
    let since = day(project, &file.since)?;
    let sunset = match &file.sunset {
        None => None,
        Some(text) => Some(day(project, text)?),
    };
    if let (Some(day), Some(text)) = (sunset.filter(|day| *day < since), &file.sunset) {
        let finding =
            Finding::error(codes::CAPABILITY, text.spot, format!("it ends on {day}, before it is deprecated"));
        project.push(finding.expected(format!("a day from {since} on")).help("correct the days"));
    }
    Some(Deprecated {
        since: since.to_owned(),
        sunset: sunset.map(str::to_owned),
        instead: capability_key(&file.instead).to_owned(),
    })
}

/// What is called instead exists, and is another one.
fn instead(project: &Project, all: &Capabilities, name: &str, file: &DeprecatedFile) {
    let found = all.find(project, file.instead.spot, &file.instead);
    if found.is_some_and(|(key, _)| key == name) {
        let finding = Finding::error(codes::CAPABILITY, file.instead.spot, "it is called instead of itself");
        project.push(finding.expected("another capability, or another major").help("name what replaces it"));
    }
}

/// A reference to a schema with its major; 1 where it names none.
fn with_major(reference: &str) -> String {
    if reference.contains('/') { reference.to_owned() } else { format!("{reference}/1") }
}
