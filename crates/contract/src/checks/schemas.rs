//! Schemas: files named `<Name>-<major>.<minor>`, that are JSON Schemas, beside the built-in ones and each other.

use super::Known;
use crate::{
    codes,
    load::{Doc, Project, has_ending},
    problem::{Finding, Where},
};
use andon_model::{
    Schemas,
    matching::{KEYWORD, Match},
};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// All schemas.
pub(crate) struct SchemaSet {
    pub(crate) all: Schemas,
    /// Names with their majors, `Name/1`; also of those that are wrong.
    pub(crate) known: Known,
    /// Names that are types of events: those with a dot.
    pub(crate) events: Known,
}

impl SchemaSet {
    /// The schema of `name` or `name/major`.
    pub(crate) fn json(&self, reference: &str) -> Option<&Json> {
        self.all.json(reference)
    }
}

pub(crate) fn resolve(project: &Project) -> SchemaSet {
    let built_in = Schemas::built_in();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for name in built_in.names() {
        known.insert(major(&name), "Andon".to_owned());
    }
    let mut extra = Vec::new();
    for doc in &project.schemas {
        let Some((name, version)) = name_and_version(project, doc) else { continue };
        let key = major(&format!("{name}/{version}"));
        let path = project.findings.path(doc.file).to_owned();
        if let Some(other) = known.insert(key.clone(), path) {
            let finding =
                Finding::error(codes::SCHEMA, Where::File(doc.file), format!("{key} already comes from {other}"));
            project.push(finding.help("give it another name, or the next major version"));
            continue;
        }
        let Some(json) = json(project, doc) else { continue };
        match Schemas::with(vec![(name.clone(), version.clone(), json.clone())]) {
            Ok(_) => {
                check_match(project, doc, &name, &json);
                extra.push((name, version, json));
            }
            Err(error) => {
                let finding =
                    Finding::error(codes::SCHEMA, Where::File(doc.file), format!("no JSON Schema: {}", error.cause));
                project.push(finding.expected("JSON Schema 2020-12").help("correct the schema"));
            }
        }
    }
    let known = Known(known.into_keys().collect());
    let all = Schemas::with(extra).unwrap_or(built_in);
    let names: Vec<String> = all.names().chain(known.0.iter().cloned()).collect();
    let events = names.iter().filter_map(|name| name.split('/').next()).filter(|name| name.contains('.'));
    let events = Known(events.map(str::to_owned).collect());
    SchemaSet { all, known, events }
}

/// The match that a type of events names leads to its times.
fn check_match(project: &Project, doc: &Doc<()>, name: &str, json: &Json) {
    let text = project.findings.files.get(doc.file as usize).map_or("", |file| &file.text);
    // The schema may be JSON, whose places are not kept: the key is looked for behind the keyword.
    let start = text.find(KEYWORD).unwrap_or(0);
    let at = |key: &str| {
        let behind = text.get(start..).unwrap_or_default();
        let end = behind.find('}').unwrap_or(behind.len());
        let found = behind.get(KEYWORD.len()..end).and_then(|keys| keys.find(key)).filter(|_| !key.is_empty());
        let (from, length) = found.map_or((start, KEYWORD.len()), |at| (start + KEYWORD.len() + at, key.len()));
        Where::Bytes(doc.file, from..from + length)
    };
    if json.get(KEYWORD).is_some() && !name.contains('.') {
        let message = format!("`{name}` is no type of events, and only reports of events tell facts");
        let finding = Finding::error(codes::MATCH, at(""), message);
        project.push(finding.expected("a match in the schema of a type of events").help("leave it out"));
        return;
    }
    let Err(wrong) = Match::of(json) else { return };
    let key = wrong.at.rsplit('/').next().filter(|key| *key != KEYWORD).unwrap_or_default();
    let finding = Finding::error(codes::MATCH, at(key), wrong.cause);
    let finding = match &wrong.known {
        Some((written, known)) => finding.known(written, known.iter().map(String::as_str)),
        None => finding.expected(wrong.expected),
    };
    project.push(finding.help("correct the match, or leave it out: then every report is an event of its own"));
}

/// `name/major.minor` without its minor.
fn major(name: &str) -> String {
    let (name, version) = name.split_once('/').unwrap_or((name, "1"));
    format!("{name}/{}", version.split('.').next().unwrap_or(version))
}

fn name_and_version(project: &Project, doc: &Doc<()>) -> Option<(String, String)> {
    let parts = doc.stem.rsplit_once('-').filter(|(name, version)| {
        let is_version = version.split_once('.').is_some_and(|(major, minor)| {
            [major, minor].iter().all(|part| part.parse::<u32>().is_ok_and(|n| n.to_string() == **part))
        });
        is_version && !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
    });
    if parts.is_none() {
        let message = format!("`{}` names no schema and version", doc.stem);
        let finding = Finding::error(codes::FILE_NAME, Where::File(doc.file), message);
        project.push(finding.expected("`<Name>-<major>.<minor>`, such as `Pallet-1.0.json`").help("rename the file"));
    }
    parts.map(|(name, version)| (name.to_owned(), version.to_owned()))
}

fn json(project: &Project, doc: &Doc<()>) -> Option<Json> {
    if let Some(tree) = project.findings.tree(doc.file) {
        return Some(tree.json(tree.root()));
    }
    let text = &project.findings.files.get(doc.file as usize)?.text;
    if has_ending(project.findings.path(doc.file), "yaml") {
        return None;
    }
    match serde_json::from_str(text) {
        Ok(json) => Some(json),
        Err(error) => {
            let start: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
            let at = start + error.column().saturating_sub(1);
            let finding =
                Finding::error(codes::SYNTAX, Where::Bytes(doc.file, at..at), format!("this is not JSON: {error}"));
            project.push(finding.help("correct the file here or just before"));
            None
        }
    }
}
