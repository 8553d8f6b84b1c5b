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
            r#"events Missing at 00:10:00, type asset.alarm, subject machine-01, data {"change":"activated","limit":"High"}"#,
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
