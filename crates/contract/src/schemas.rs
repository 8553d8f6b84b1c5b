//! JSON Schemas of the files people write, from their types; editors complete and check with them.

use crate::checks::Key;
use crate::files::{
    assets::AssetsFile,
    capabilities::CapabilityFile,
    classes::ClassFile,
    exceptions::ExceptionsFile,
    file::FileSourceFile,
    http::HttpSourceFile,
    identifiers::IdentifiersFile,
    listeners::ListenerSourceFile,
    ownership::OwnershipFile,
    project::ProjectFile,
    retention::RetentionFile,
    routes::RoutesFile,
    rules::{
        KINDS, LimitRuleFile, StaleRuleFile,
        common::{CommonRuleFile, SeverityLineFile},
        counter::CounterRuleFile,
        measures::{DeviationRuleFile, RateRuleFile, WindowRuleFile},
        spc::SpcRuleFile,
        spectrum::SpectrumRuleFile,
        state::StateRuleFile,
        table::TableRuleFile,
    },
    scenarios::ScenarioFile,
    shdr::ShdrSourceFile,
    shelving::ShelvingFile,
    sources::MqttSourceFile,
    subscribers::SubscriberFile,
    systems::SystemFile,
    words::Duration,
    workflows::WorkflowFile,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value as Json, json};
use std::{collections::BTreeMap, sync::LazyLock};

/// File name and schema of each kind of file.
pub fn json_schemas() -> Vec<(String, Json)> {
    let schemas = [
        ("andon", of::<ProjectFile>("andon.yaml")),
        ("assets", of::<AssetsFile>("assets/<site>.yaml")),
        ("classes", of::<ClassFile>("classes/<class>.yaml")),
        ("sources", one_of("sources/<source>.yaml", &SOURCES)),
        ("rules", rules()),
        ("identifiers", of::<IdentifiersFile>("identifiers/<system>.yaml")),
        ("workflows", of::<WorkflowFile>("workflows/<workflow>.yaml")),
        ("capabilities", of::<CapabilityFile>("capabilities/<name>.yaml")),
        ("systems", of::<SystemFile>("systems/<system>.yaml")),
        ("routes", of::<RoutesFile>("routes.yaml")),
        ("ownership", of::<OwnershipFile>("policies/ownership.yaml")),
        ("exceptions", of::<ExceptionsFile>("policies/exceptions.yaml")),
        ("retention", of::<RetentionFile>("policies/retention.yaml")),
        ("shelving", of::<ShelvingFile>("policies/shelving.yaml")),
        ("subscribers", of::<SubscriberFile>("subscribers/<subscriber>.yaml")),
        ("tests", of::<ScenarioFile>("tests/<scenario>.yaml")),
    ];
    schemas.into_iter().map(|(name, schema)| (format!("{name}.schema.json"), schema)).collect()
}

fn of<T: JsonSchema>(title: &str) -> Json {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<T>().to_value();
    if let Some(map) = schema.as_object_mut() {
        map.insert("title".to_owned(), title.into());
    }
    schema
}

/// The shape of one kind.
type Shape = fn(&mut SchemaGenerator) -> Schema;

/// The kinds of sources.
const SOURCES: [Shape; 5] = [
    SchemaGenerator::subschema_for::<MqttSourceFile>,
    SchemaGenerator::subschema_for::<ListenerSourceFile>,
    SchemaGenerator::subschema_for::<HttpSourceFile>,
    SchemaGenerator::subschema_for::<ShdrSourceFile>,
    SchemaGenerator::subschema_for::<FileSourceFile>,
];
/// The kinds of rules.
const RULES: [Shape; 10] = [
    SchemaGenerator::subschema_for::<LimitRuleFile>,
    SchemaGenerator::subschema_for::<DeviationRuleFile>,
    SchemaGenerator::subschema_for::<RateRuleFile>,
    SchemaGenerator::subschema_for::<WindowRuleFile>,
    SchemaGenerator::subschema_for::<StaleRuleFile>,
    SchemaGenerator::subschema_for::<StateRuleFile>,
    SchemaGenerator::subschema_for::<CounterRuleFile>,
    SchemaGenerator::subschema_for::<SpcRuleFile>,
    SchemaGenerator::subschema_for::<SpectrumRuleFile>,
    SchemaGenerator::subschema_for::<TableRuleFile>,
];

fn one_of(title: &str, shapes: &[Shape]) -> Json {
    let mut generator = SchemaGenerator::default();
    let shapes: Vec<Schema> = shapes.iter().map(|shape| shape(&mut generator)).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "oneOf": shapes,
        "$defs": generator.take_definitions(true)
    })
}

/// The kinds of rules: each has the keys that all have, and may have a table of severities where it has severities.
fn rules() -> Json {
    let mut schema = one_of("rules/<rule>.yaml", &RULES);
    let mut generator = SchemaGenerator::default();
    generator.subschema_for::<CommonRuleFile>();
    let table = generator.subschema_for::<SeverityLineFile>().to_value();
    let mut shared = generator.take_definitions(true);
    let common = shared.remove("CommonRuleFile").unwrap_or_default();
    let kinds: Vec<String> = kinds(&schema).map(str::to_owned).collect();
    let Some(definitions) = schema.get_mut("$defs").and_then(Json::as_object_mut) else { return schema };
    for kind in kinds {
        let Some(kind) = definitions.get_mut(&kind).and_then(Json::as_object_mut) else { continue };
        let required = kind.entry("required").or_insert_with(|| json!([])).as_array_mut();
        if let Some(required) = required.filter(|all| !all.contains(&json!("on"))) {
            required.push("on".into());
        }
        let Some(own) = kind.get_mut("properties").and_then(Json::as_object_mut) else { continue };
        if let Some(severity) = own.get_mut("severity") {
            let description = severity.get("description").cloned();
            let rows = json!({ "description": "The first line that matches counts.", "type": "array", "items": table });
            *severity = json!({ "description": description, "anyOf": [severity.take(), rows] });
        }
        for (key, property) in common.get("properties").and_then(Json::as_object).into_iter().flatten() {
            own.insert(key.clone(), property.clone());
        }
    }
    definitions.extend(shared);
    schema
}

/// The names of the definitions of the kinds.
fn kinds(schema: &Json) -> impl Iterator<Item = &str> {
    let shapes = schema.get("oneOf").and_then(Json::as_array).into_iter().flatten();
    shapes.filter_map(|shape| shape.get("$ref")?.as_str()?.strip_prefix("#/$defs/"))
}

/// The keys of a kind of rule that a parameter may set: numbers and durations.
pub(crate) fn rule_keys(kind: &str) -> &'static [(String, Key)] {
    static KEYS: LazyLock<BTreeMap<String, Vec<(String, Key)>>> = LazyLock::new(|| {
        let schema = one_of("rules", &RULES);
        let shapes = kinds(&schema).filter_map(|name| schema.get("$defs")?.get(name)?.get("properties")?.as_object());
        let of_kind = |keys: &serde_json::Map<String, Json>| {
            // The word of a kind is the only one that its key `kind` takes.
            let word = texts(keys.get("kind")?).into_iter().find(|word| KINDS.contains(&word.as_str()))?;
            let settable = |(key, schema): (&String, &Json)| Some((key.clone(), key_of(schema)?));
            Some((word, keys.iter().filter_map(settable).collect()))
        };
        shapes.filter_map(of_kind).collect()
    });
    KEYS.get(kind).map_or(&[], Vec::as_slice)
}

/// What a key holds by its schema; `None`: neither a number nor a duration.
fn key_of(schema: &Json) -> Option<Key> {
    let types = texts(schema.get("type")?);
    let is = |word: &str| types.iter().any(|known| known == word);
    // A duration is a text with these examples, wherever it stands.
    let is_span = || schema.get("examples") == DURATION.get("examples") && schema.get("examples").is_some();
    match () {
        () if is("number") || is("integer") => Some(Key::Number),
        () if is("string") && is_span() => Some(Key::Span),
        () => None,
    }
}

/// The schema of a duration.
static DURATION: LazyLock<Json> = LazyLock::new(|| Duration::json_schema(&mut SchemaGenerator::default()).to_value());

/// All texts in a schema.
fn texts(schema: &Json) -> Vec<String> {
    match schema {
        Json::String(text) => vec![text.clone()],
        Json::Array(all) => all.iter().flat_map(texts).collect(),
        Json::Object(all) => all.values().flat_map(texts).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;
    use std::{fs, path::Path};

    fn root() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    #[test]
    fn the_checked_in_schemas_are_those_of_the_types() {
        let folder = root().join("docs/schemas");
        for (name, schema) in json_schemas() {
            let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
            let path = folder.join(&name);
            if std::env::var_os("ANDON_REGENERATE").is_some() {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, &text).unwrap();
            }
            let found = fs::read_to_string(&path).unwrap_or_default();
            assert!(found == text, "docs/schemas/{name} is old; write it anew with ANDON_REGENERATE=1");
        }
    }

    #[test]
    fn what_passes_fits_its_schema() {
        let schemas = json_schemas();
        let mut seen = 0;
        for project in ["examples/machine-temperature", "crates/contract/testdata/base"] {
            for (name, schema) in &schemas {
                let kind = name.split('.').next().unwrap();
                let validator = jsonschema::draft202012::new(schema).unwrap();
                for path in files(&root().join(project), kind) {
                    let tree = Tree::parse(&fs::read_to_string(&path).unwrap()).unwrap();
                    let value = tree.json(tree.root());
                    let errors: Vec<String> =
                        validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
                    assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
                    seen += 1;
                }
            }
        }
        assert!(seen > 20, "only {seen} files were looked at");
    }

    fn files(project: &Path, kind: &str) -> Vec<std::path::PathBuf> {
        match kind {
            "andon" | "routes" => vec![project.join(format!("{kind}.yaml"))],
            "ownership" => vec![project.join("policies/ownership.yaml")],
            "exceptions" | "retention" | "shelving" => {
                let policy = project.join(format!("policies/{kind}.yaml"));
                Some(policy).into_iter().filter(|p| p.exists()).collect()
            }
            folder => fs::read_dir(project.join(folder))
                .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
                .unwrap_or_default(),
        }
    }
}
