//! The examples of the repository are projects.

use andon_contract::{
    contract::{RuleSettings, Setting, SourceKind, Target},
    load,
};
use andon_model::span::Span;
use std::path::Path;

fn example(name: &str) -> andon_contract::Loaded {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    load(&dir).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"))
    })
}

#[test]
fn every_example_passes_without_a_warning() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for entry in std::fs::read_dir(examples).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let warnings = example(&name).warnings;
        assert!(warnings.is_empty(), "{name}: {warnings:#?}");
    }
}

#[test]
fn the_machine_is_resolved() {
    let contract = example("machine-temperature").contract;
    let asset = &contract.assets["machine-01"];
    let delay = &asset.parameters["temperature.OnDelay"];
    assert_eq!(delay.value, Setting::Span(Span::from_secs(3600)));
    assert_eq!(delay.from, "classes/machine.yaml:8");
    let rule = &contract.rules["machine-temperature"];
    let RuleSettings::Limit(settings) = &rule.assets["machine-01"] else { panic!("a limit rule") };
    assert_eq!(settings.limits.len(), 2);
    assert_eq!((settings.deadband, settings.on_delay), (5.0, Span::from_secs(3600)));
    let SourceKind::Mqtt(source) = &contract.sources["machines"].kind else { panic!("an MQTT source") };
    assert_eq!(source.topics[0].filter(), "machines/+/temperature");
    let Target::Operation(target) = &contract.routes[0].target else { panic!("an operation") };
    assert_eq!(contract.operation(target).unwrap().1.idempotency.word(), "lookup");
    assert_eq!(contract.workflows["request-maintenance"].tasks.len(), 4);
    assert_eq!(contract.owner("output", Some("maintenance"), None).unwrap().as_str(), "maintenance-planning");
}
