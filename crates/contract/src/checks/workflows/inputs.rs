//! What a task gives to a capability or an event, against its schema: keys, what is required, and constants.

use super::Scope;
use crate::{
    checks::shapes::{Nowhere, follow},
    codes,
    expr::{Step, embedded},
    problem::{Finding, Spot},
    read::Raw,
    tree::{Kind, NodeId, Tree},
};
use serde_json::Value as Json;

impl Scope<'_> {
    /// Checks an object that is written out; one that an expression makes is checked when it is made.
    pub(super) fn input(&self, raw: Raw, reference: &str) {
        let Some(tree) = self.project.findings.tree(raw.spot.file) else { return };
        if matches!(tree.node(raw.spot.node).kind, Kind::Map(_)) {
            self.fields(raw, reference);
            let there: Vec<&str> = tree.entries(raw.spot.node).iter().filter_map(|(key, _)| tree.text(*key)).collect();
            self.demanded(reference, raw.spot, &there);
        }
    }

    /// Tells of fields that a schema demands and that are missing.
    pub(super) fn demanded(&self, reference: &str, spot: Spot, there: &[&str]) {
        let Some(schema) = self.schemas.json(reference) else { return };
        for required in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
            if !there.contains(&required) {
                let message = format!("{reference} demands `{required}`, which is missing");
                let finding = Finding::error(codes::INPUT, spot, message);
                self.project.push(finding.help(format!("add `{required}: ...`")));
            }
        }
    }

    /// Checks the fields of an object that is written out: each is there in the schema, and constants fit.
    pub(super) fn fields(&self, raw: Raw, reference: &str) {
        let project = self.project;
        let (Some(schema), Some(tree)) = (self.schemas.json(reference), project.findings.tree(raw.spot.file)) else {
            return;
        };
        if !matches!(tree.node(raw.spot.node).kind, Kind::Map(_)) {
            return;
        }
        let entries = tree.entries(raw.spot.node);
        for (key, value) in entries {
            let name = tree.text(*key).unwrap_or_default();
            let at = |node| Spot { file: raw.spot.file, node };
            if let Err(Nowhere { key: written, known }) = follow(schema, &[Step::Key(name.to_owned())]) {
                let finding = Finding::error(codes::INPUT, at(*key), format!("{reference} has no `{written}`"));
                let finding = finding.known(&written, known.iter().map(String::as_str));
                project.push(finding.help("correct the key, or extend the schema"));
            } else if let Some(problem) = constant(tree, *value, schema, name) {
                let finding =
                    Finding::error(codes::INPUT, at(*value), format!("`{name}` does not fit {reference}: {problem}"));
                project.push(finding.help("correct the value"));
            }
        }
    }
}

/// What is wrong with a value without expressions.
fn constant(tree: &Tree, node: NodeId, root: &Json, key: &str) -> Option<String> {
    if has_expression(tree, node) {
        return None;
    }
    let property = root.get("properties")?.get(key)?;
    let mut schema = property.clone();
    if let (Some(map), Some(defs)) = (schema.as_object_mut(), root.get("$defs")) {
        map.entry("$defs").or_insert_with(|| defs.clone());
    }
    let validator = jsonschema::draft202012::new(&schema).ok()?;
    let value = tree.json(node);
    validator.iter_errors(&value).next().map(|error| error.to_string())
}

fn has_expression(tree: &Tree, node: NodeId) -> bool {
    match &tree.node(node).kind {
        Kind::Scalar { text, .. } => embedded(text).is_some(),
        Kind::List(items) => items.iter().any(|item| has_expression(tree, *item)),
        Kind::Map(entries) => entries.iter().any(|(_, value)| has_expression(tree, *value)),
    }
}
