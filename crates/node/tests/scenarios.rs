//! The scenarios of the examples and of a new project are as expected, and what is not is told so that one sees it.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use andon_contract::{Contract, from_files, init_files, load};
use andon_node::scenario::{LineKind, Report, play};
use std::{collections::BTreeMap, path::Path, sync::Arc};

fn all(contract: Contract) -> Vec<Report> {
    let contract = Arc::new(contract);
    contract.scenarios.iter().map(|(name, scenario)| play(&contract, name.as_str(), scenario)).collect()
}

fn new_project(change: impl Fn(&str, &str) -> String) -> Contract {
    let files: BTreeMap<String, String> =
        init_files().into_iter().map(|(path, text)| (path.to_owned(), change(path, text))).collect();
    from_files(files).unwrap().contract
}

/// Each line that is not as expected: part, sign and words, then its fields.
fn told(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for part in &report.parts {
        for line in part.lines.iter().filter(|line| line.kind != LineKind::Ok) {
            lines.push(format!("{} {:?} {}", part.of, line.kind, line.what));
            lines.extend(line.differences.iter().map(|(field, want, found)| format!("  {field}: {want} {found}")));
        }
    }
    lines.extend(report.stopped.clone());
    lines
}

#[test]
fn the_scenarios_of_all_examples_are_as_expected() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut played = 0;
    for example in std::fs::read_dir(examples).unwrap() {
        let dir = example.unwrap().path();
        for report in all(load(&dir).unwrap().contract) {
            assert!(report.passed, "{}: {}: {:#?}", dir.display(), report.scenario, told(&report));
            played += 1;
        }
    }
    assert!(played >= 3, "only {played} scenarios were played");
}

#[test]
fn a_new_project_shows_what_it_does() {
    let reports = all(new_project(|_, text| text.to_owned()));
    let [report] = &reports[..] else { panic!("{} scenarios", reports.len()) };
    assert!(report.passed, "{:#?}", told(report));
    assert_eq!((report.samples, report.played.as_str()), (16, "00:15:00"));
}

#[test]
fn a_changed_limit_is_told_with_the_field_and_what_follows_from_it() {
    let reports = all(new_project(|_, text| text.replace("temperature.High: 90", "temperature.High: 100")));
    let lines = told(&reports[0]);
    assert_eq!(
        lines,
        [
            "events Missing at 00:10:00, type asset.alarm, subject machine-01, \
             data {\"change\":\"activated\",\"limit\":\"High\"}",
            "calls Missing capability maintenance.request-work, state delivered, document MR-1",
        ]
    );
    let reports = all(new_project(|_, text| text.replace("OnDelay: 5 min", "OnDelay: 2 min")));
    assert_eq!(
        told(&reports[0]),
        [
            "events Differs 00:07:00 asset.alarm machine-01 activated High",
            r#"  time: "2026-01-01T00:10:00Z" "2026-01-01T00:07:00Z""#,
        ]
    );
}

#[test]
fn a_request_that_no_answer_fits_is_told_by_its_operation() {
    let change = |_: &str, text: &str| {
        text.replace("status: 201, body: { number: MR-1, status: open }", "search: true, status: 200, body: {}")
    };
    let reports = all(new_project(change));
    let lines = told(&reports[0]);
    assert!(
        lines.contains(&"answers Missing an answer of maintenance.create-request: add one under `answers`".to_owned()),
        "{lines:#?}"
    );
    assert!(lines.iter().any(|line| line.starts_with("exceptions Unexpected output of ")), "{lines:#?}");
}

#[test]
fn a_scenario_is_the_same_in_every_playing() {
    let once = || serde_json::to_string(&all(new_project(|_, text| text.to_owned()))).unwrap();
    assert_eq!(once(), once());
}

/// What a project of a press says to a scenario about its pressure.
fn played(scenario: &str) -> Report {
    let files = [
        ("andon.yaml", "format: 1\nname: p\ninstances: { plant: { role: both, zone: z } }\n"),
        ("assets/home.yaml", "site: home\nzone: z\ntimezone: UTC\nassets: { press-01: { class: press, line: one } }\n"),
        ("classes/press.yaml", "signals: { pressure: { kind: f64, unit: bar } }\n"),
        (
            "sources/mill.yaml",
            "kind: mqtt\nbroker: mqtt://127.0.0.1:1\nversion: 5\nsession: { expiry: 1 h }\n\
             topics:\n  - { topic: \"m/{asset}/p\", qos: 1, signals: { pressure: { value: /value } } }\n",
        ),
        ("policies/ownership.yaml", "teams: { people: { mail: a@b.example } }\nrules: [{ owner: people }]\n"),
        (
            "rules/pressure.yaml",
            "kind: limit\non: press.pressure\nHigh: 6\nseverity: 600\n\
             when: [{ context: order.state, in: [Running] }]\n\
             suppress: [{ context: maintenance.state, in: [in progress] }]\n",
        ),
        ("tests/one.yaml", scenario),
    ];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    let loaded = from_files(files).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    all(loaded.contract).remove(0)
}

#[test]
fn an_order_lets_a_rule_look_and_a_late_one_corrects_what_was_said() {
    let report = played(
        r#"
given:
  - { at: 0 s, signal: press-01/pressure, value: 9, every: 1 min, to: 9 min }
  - at: 10 min
    object: ProductionOrder/home/1
    from: 10 min
    line: one
    data: { state: Running, material: foil, quantity: { value: "5", unit: kg } }
  - { at: 11 min, signal: press-01/pressure, value: 9 }
  - at: 20 min
    object: ProductionOrder/home/2
    from: 10 min
    to: 15 min
    assets: [press-01]
    data: { state: Completed, material: foil, quantity: { value: "5", unit: kg } }
expect:
  ignore: [production-order.changed]
  events:
    - type: asset.alarm
      at: 11 min
      data: { change: activated, context: { order: ProductionOrder/home/1, revision: 1 } }
    - type: context.corrected
      at: 20 min
      data:
        object: ProductionOrder/home/2
        count: 1
        events: [{ was: ProductionOrder/home/1, is: ProductionOrder/home/2 }]
"#,
    );
    assert!(!report.passed, "an entry of a list is equal or not");
    let lines = told(&report);
    assert_eq!(lines.len(), 2, "only the id of the event is missing: {lines:#?}");
    assert!(lines[1].starts_with("  data.events: "), "{lines:#?}");
}

#[test]
fn an_alarm_in_maintenance_or_on_the_shelf_is_not_raised() {
    let report = played(
        r#"
given:
  - at: 0 s
    object: ProductionOrder/home/1
    assets: [press-01]
    data: { state: Running, material: m, quantity: { value: "5", unit: kg } }
  - { at: 1 min, shelve: { rule: pressure, asset: press-01, for: 5 min, reason: hot work } }
  - { at: 2 min, signal: press-01/pressure, value: 9 }
  - { at: 3 min, signal: press-01/pressure, value: 5 }
  - { at: 3 min, unshelve: { rule: pressure, asset: press-01 } }
  - at: 4 min
    object: MaintenanceState/home/WO-7
    from: 4 min
    to: 8 min
    assets: [press-01]
    data: { state: in progress }
  - { at: 5 min, signal: press-01/pressure, value: 9 }
  - { at: 6 min, signal: press-01/pressure, value: 5 }
  - { at: 9 min, signal: press-01/pressure, value: 9 }
  - { at: 10 min, disable: { rule: pressure, asset: press-01 } }
  - { at: 11 min, enable: { rule: pressure, asset: press-01 } }
  - { at: 12 min, signal: press-01/pressure, value: 9 }
expect:
  ignore: [production-order.changed, maintenance-state.changed]
  events:
    - { type: asset.alarm.control, at: 1 min, data: { change: shelved, reason: hot work } }
    - { type: asset.alarm.suppressed, at: 2 min, data: { change: activated } }
    - { type: asset.alarm.suppressed, at: 3 min, data: { change: returned } }
    - { type: asset.alarm.control, at: 3 min, data: { change: unshelved } }
    - { type: asset.alarm.suppressed, at: 5 min, data: { change: activated } }
    - { type: asset.alarm.suppressed, at: 6 min, data: { change: returned } }
    - { type: asset.alarm, at: 9 min, data: { change: activated } }
    - { type: asset.alarm.control, at: 10 min, data: { change: disabled } }
    - { type: asset.alarm, data: { change: returned } }
    - { type: asset.alarm.control, at: 11 min, data: { change: enabled } }
    - { type: asset.alarm, at: 12 min, data: { change: activated } }
"#,
    );
    assert!(report.passed, "{:#?}", told(&report));
}
