//! Large projects load in time, and settings that are equal are one.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use andon_contract::{Contract, contract::RuleSettings, from_files};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
    sync::Arc,
    time::Instant,
};

fn read(root: &Path, dir: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

/// The base with so many classes more, each with ten rules and so many assets; every tenth asset has a limit of its
/// own.
fn project(classes: usize, assets: usize) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/base");
    let mut files = BTreeMap::new();
    read(&root, &root, &mut files);
    for class in 0..classes {
        let text = "signals:\n  t: { kind: f64, unit: Cel }\n  state: { kind: i64, states: packml }\n\
                    parameters:\n  t.High: 90\n  t.OnDelay: 10 s\n";
        files.insert(format!("classes/c-{class}.yaml"), text.to_owned());
        for rule in 0..10 {
            let text = format!(
                "kind: limit\non: c-{class}.t\nHighHigh: {}\nseverity: 500\nwhen: [{{ signal: state, is: Execute }}]\n",
                100 + rule
            );
            files.insert(format!("rules/c-{class}-{rule}.yaml"), text);
        }
        let site = format!("site-{}", class / 20);
        let head = || format!("site: {site}\nzone: plant\nassets:\n");
        let text = files.entry(format!("assets/{site}.yaml")).or_insert_with(head);
        for asset in 0..assets {
            let set = if asset % 10 == 0 { ", set: { t.High: 80 }" } else { "" };
            writeln!(text, "  a-{class}-{asset}: {{ class: c-{class}{set} }}").unwrap();
        }
    }
    files
}

fn settings(contract: &Contract) -> impl Iterator<Item = &Arc<RuleSettings>> {
    contract.rules.values().flat_map(|rule| rule.assets.values())
}

/// How long it takes, in seconds.
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn timed(classes: usize, assets: usize) -> (Contract, f64) {
    let files = project(classes, assets);
    let start = Instant::now();
    let loaded = from_files(files).unwrap_or_else(|problems| panic!("{problems:?}"));
    (loaded.contract, start.elapsed().as_secs_f64())
}

#[test]
fn settings_that_are_equal_are_one() {
    let (contract, _) = timed(3, 100);
    let mut places: BTreeMap<*const RuleSettings, usize> = BTreeMap::new();
    for settings in settings(&contract).filter(|settings| !settings.guard.is_empty()) {
        *places.entry(Arc::as_ptr(settings)).or_default() += 1;
    }
    // Of each rule those of the assets as their class says, and those of the assets with a limit of their own.
    let counts: BTreeSet<usize> = places.values().copied().collect();
    assert_eq!((places.len(), counts), (3 * 10 * 2, BTreeSet::from([10, 90])));
}

#[test]
fn a_thousand_rules_of_twenty_thousand_assets_load_in_time() {
    let (contract, seconds) = timed(100, 200);
    assert_eq!(settings(&contract).filter(|settings| !settings.guard.is_empty()).count(), 200_000);
    // Without optimization on a busy machine; it is a twentieth of that otherwise.
    assert!(seconds < 60.0, "{seconds} s");
}

#[test]
#[ignore = "it measures: `cargo test --release -p andon-contract --test large -- --ignored --nocapture`"]
fn ten_thousand_rules_of_two_hundred_thousand_assets() {
    let (contract, seconds) = timed(1_000, 200);
    println!("{} rules, {} assets: {seconds:.1} s", contract.rules.len(), contract.assets.len());
}
