//! JSON Schemas of the files people write, from their types; editors complete and check with them.

use crate::files::{
    assets::AssetsFile,
    capabilities::CapabilityFile,
    classes::ClassFile,
    file::FileSourceFile,
    http::HttpSourceFile,
    identifiers::IdentifiersFile,
    listeners::ListenerSourceFile,
    ownership::OwnershipFile,
    project::ProjectFile,
    retention::RetentionFile,
    routes::RoutesFile, scenarios::ScenarioFile,
    rules::{LimitRuleFile, StaleRuleFile, counter::CounterRuleFile, state::StateRuleFile},
    shdr::ShdrSourceFile,
    sources::MqttSourceFile,
    subscribers::SubscriberFile,
    systems::SystemFile,
    workflows::WorkflowFile,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value as Json, json};

/// File name and schema of each kind of file.
pub fn json_schemas() -> Vec<(String, Json)> {
    let schemas = [
        ("andon", of::<ProjectFile>("andon.yaml")),
        ("assets", of::<AssetsFile>("assets/<site>.yaml")),
        ("classes", of::<ClassFile>("classes/<class>.yaml")),
        ("sources", one_of("sources/<source>.yaml", &SOURCES)),
        ("rules", one_of("rules/<rule>.yaml", &RULES)),
        ("identifiers", of::<IdentifiersFile>("identifiers/<system>.yaml")),
        ("workflows", of::<WorkflowFile>("workflows/<workflow>.yaml")),
        ("capabilities", of::<CapabilityFile>("capabilities/<name>.yaml")),
        ("systems", of::<SystemFile>("systems/<system>.yaml")),
        ("routes", of::<RoutesFile>("routes.yaml")),
        ("ownership", of::<OwnershipFile>("policies/ownership.yaml")),
        ("retention", of::<RetentionFile>("policies/retention.yaml")),
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
const RULES: [Shape; 4] = [
    SchemaGenerator::subschema_for::<LimitRuleFile>,
    SchemaGenerator::subschema_for::<StaleRuleFile>,
    SchemaGenerator::subschema_for::<StateRuleFile>,
    SchemaGenerator::subschema_for::<CounterRuleFile>,
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
            "retention" => Some(project.join("policies/retention.yaml")).into_iter().filter(|p| p.exists()).collect(),
            folder => fs::read_dir(project.join(folder))
                .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
                .unwrap_or_default(),
        }
    }
}
