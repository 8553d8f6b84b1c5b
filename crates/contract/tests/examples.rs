//! The examples of the repository are projects.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

use andon_contract::{
    contract::{RuleKind, Setting, SourceKind, Target},
    load, summary,
};
use andon_model::span::Span;
use std::{collections::BTreeMap, path::Path};

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
    let RuleKind::Limit(settings) = &rule.assets["machine-01"].kind else { panic!("a limit rule") };
    assert_eq!(settings.limits.len(), 2);
    assert_eq!((settings.deadband, settings.on_delay), (5.0, Span::from_secs(3600)));
    let SourceKind::Mqtt(source) = &contract.sources["machines"].kind else { panic!("an MQTT source") };
    assert_eq!(source.topics[0].filter(), "machines/+/temperature");
    let Target::Operation(target) = &contract.routes[0].target else { panic!("an operation") };
    assert_eq!(contract.operation(target).unwrap().1.idempotency.word(), "lookup");
    assert_eq!(contract.workflows["request-maintenance"].tasks.len(), 4);
    assert_eq!(contract.owner("output", Some("maintenance"), None).unwrap().as_str(), "maintenance-planning");
}

/// The files of an example, by their paths.
fn files_of(name: &str) -> BTreeMap<String, String> {
    fn read(root: &Path, dir: &Path, files: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(root, &path, files);
            } else if path.extension().is_some_and(|ending| ending != "md") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    let mut files = BTreeMap::new();
    read(&root, &root, &mut files);
    files
}

/// The packaging line with a text of a file replaced.
fn packaging_line(path: &str, old: &str, new: &str) -> Result<andon_contract::Loaded, Vec<andon_contract::Problem>> {
    let mut files = files_of("packaging-line");
    assert_eq!(files[path].matches(old).count(), 1, "{old} stands once in {path}");
    files.insert(path.to_owned(), files[path].replace(old, new));
    andon_contract::from_files(files)
}

#[test]
fn a_route_of_the_packaging_line_that_is_missing_is_refused() {
    let line = "- { capability: service.open-case, site: hamburg, use: crm.open-case }\n";
    let problems = packaging_line("routes.yaml", line, "").unwrap_err();
    assert_eq!(problems.iter().map(|p| p.code).collect::<Vec<_>>(), ["A3111"]);
    assert!(problems[0].message.contains("`service.open-case` at hamburg"), "{}", problems[0].message);
}

#[test]
fn limits_of_the_packaging_line_that_are_out_of_order_are_refused_wherever_they_are_set() {
    let class = ("classes/cartoner.yaml", "vibration.High: 4.5", "vibration.High: 1000");
    let site = ("assets/monterrey.yaml", "zone: plant\n", "zone: plant\nset: { cartoner: { vibration.High: 8 } }\n");
    let asset = ("assets/hamburg.yaml", "{ class: cartoner,", "{ class: cartoner, set: { vibration.HighHigh: 4 },");
    for (path, old, new) in [class, site, asset] {
        let problems = packaging_line(path, old, new).unwrap_err();
        let found: Vec<_> = problems.iter().map(|p| (p.code, p.file.as_str())).collect();
        assert_eq!(found, [("A2103", path)]);
    }
    let both = "vibration.High: 1000\n  vibration.HighHigh: 2000";
    packaging_line("classes/cartoner.yaml", "vibration.High: 4.5\n  vibration.HighHigh: 7.1", both).unwrap();
}

#[test]
fn one_route_of_the_packaging_line_moves_hamburg_to_another_maintenance_system() {
    let (old, new) = ("site: hamburg, use: maximo.create-request", "site: hamburg, use: eam.create-request");
    let moved = packaging_line("routes.yaml", old, new).unwrap();
    assert!(moved.warnings.is_empty(), "{:#?}", moved.warnings);
    let before = example("packaging-line").contract;
    assert_eq!(before.workflows["line-at-risk"].hash, moved.contract.workflows["line-at-risk"].hash);
    let target = |contract: &andon_contract::Contract| match &contract.routes[0].target {
        Target::Operation(name) => name.system.to_string(),
        Target::None { .. } => "none".to_owned(),
    };
    assert_eq!((target(&before).as_str(), target(&moved.contract).as_str()), ("maximo", "eam"));
}

#[test]
fn a_new_project_passes_and_says_what_it_guarantees() {
    let files = andon_contract::init_files().into_iter().map(|(path, text)| (path.to_owned(), text.to_owned()));
    let loaded = andon_contract::from_files(files.collect()).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"))
    });
    assert!(loaded.warnings.is_empty(), "{:#?}", loaded.warnings);
    let mut told = summary(&loaded.contract);
    told.revision = "(the hash of the files)".to_owned();
    insta::assert_snapshot!(told);
}

#[test]
fn every_way_in_and_out_says_what_it_guarantees() {
    let files = andon_contract::init_files().into_iter().map(|(path, text)| (path.to_owned(), text.to_owned()));
    let mut files: BTreeMap<String, String> = files.collect();
    let andon = files.get_mut("andon.yaml").unwrap();
    andon.push_str(concat!(
        "    listeners:\n",
        "      cell: { address: '127.0.0.1:1884' }\n",
        "      line:\n        address: 0.0.0.0:8883\n",
        "        tls: { certificate: a.pem, key: 'file:a.key' }\n        clients: { m1: { password: 'env:M1' } }\n",
    ));
    let of_topic = "topics:\n  - topic: cell/{asset}/t\n    signals: { temperature: { value: /value } }\n";
    for (path, text) in [
        ("sources/cell.yaml", format!("kind: mqtt\nlistener: cell\n{of_topic}")),
        ("sources/line.yaml", format!("kind: mqtt\nlistener: line\n{}", of_topic.replace("cell", "line"))),
        (
            "sources/hall.yaml",
            "kind: mqtt\nbroker: mqtt://hall\ntopics:\n  - topic: hall/{asset}/t\n    qos: 2\n    signals: { \
             temperature: { value: /value } }\n  - topic: hall/{asset}/u\n    qos: 0\n    signals: { temperature: { \
             value: /value } }\n"
                .to_owned(),
        ),
        ("subscribers/historian.yaml", "kind: mqtt\nbroker: mqtt://hall\ntopic: events/{asset}\n".to_owned()),
        ("sources/platform.yaml", "kind: http\nkeys: { cloud: 'env:CLOUD' }\n".to_owned()),
        (
            "sources/lathe.yaml",
            "kind: shdr\nadapter: shdr://lathe:7878\nasset: machine-01\nitems: { t: temperature }\n".to_owned(),
        ),
        ("subscribers/board.yaml", "kind: mqtt\nlistener: cell\ntopic: alarms/{asset}\n".to_owned()),
    ] {
        files.insert(path.to_owned(), text);
    }
    let loaded = andon_contract::from_files(files).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"))
    });
    let mut told = summary(&loaded.contract);
    told.revision = "(the hash of the files)".to_owned();
    insta::assert_snapshot!(told);
}

#[test]
fn the_revision_is_that_of_the_files_and_a_comment_changes_no_version() {
    let project = |comment: &str, limit: &str| {
        let files = andon_contract::init_files().into_iter().map(|(path, text)| {
            let text = text.replace("temperature.High: 90", limit);
            (path.to_owned(), format!("{comment}{text}"))
        });
        andon_contract::from_files(files.collect()).unwrap().contract
    };
    let version =
        |contract: &andon_contract::Contract| contract.rules["temperature"].assets["machine-01"].version.clone();
    let hash = |contract: &andon_contract::Contract| contract.workflows["request-maintenance"].hash.clone();
    let (a, b) = (project("", "temperature.High: 90"), project("# a comment\n", "temperature.High: 90.0"));
    assert_ne!(a.revision, b.revision);
    assert_eq!((version(&a), hash(&a)), (version(&b), hash(&b)));
    let c = project("", "temperature.High: 91");
    assert_ne!(version(&a), version(&c));
    assert_eq!(hash(&a), hash(&c));
}

#[test]
fn a_folder_that_cannot_be_read_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let code = |problems: Vec<andon_contract::Problem>| problems.iter().map(|p| p.code).collect::<Vec<_>>();
    assert_eq!(code(load(&dir.path().join("nowhere")).unwrap_err()), ["A0111"]);
    assert_eq!(code(load(dir.path()).unwrap_err()), ["A0112"]);
    for (path, text) in andon_contract::init_files() {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    for ignored in ["README.md", ".gitignore", "data/andon.db"] {
        let path = dir.path().join(ignored);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "not ours").unwrap();
    }
    // An editor marks a file that is being edited with a hidden link that leads nowhere.
    let nowhere = |path: &str| std::os::unix::fs::symlink("me@desk.4711", dir.path().join(path)).unwrap();
    nowhere("rules/.#temperature.yaml");
    load(dir.path()).unwrap();
    nowhere("rules/link.yaml");
    let problems = load(dir.path()).unwrap_err();
    assert_eq!((problems.len(), problems[0].code, problems[0].file.as_str()), (1, "A0111", "rules/link.yaml"));
    std::fs::remove_file(dir.path().join("rules/link.yaml")).unwrap();
    let pipe = dir.path().join("rules/pipe.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let problems = load(dir.path()).unwrap_err();
    assert!(problems[0].message.contains("pipe"), "{problems:?}");
    std::fs::remove_file(&pipe).unwrap();
    std::fs::create_dir(dir.path().join("aplications")).unwrap();
    std::fs::write(dir.path().join("rules/latin.yaml"), b"# \xE4\n").unwrap();
    std::fs::write(dir.path().join("rules/large.yaml"), vec![b'#'; andon_contract::FILE_MAX_BYTES + 1]).unwrap();
    let mut codes = code(load(dir.path()).unwrap_err());
    codes.sort_unstable();
    assert_eq!(codes, ["A0109", "A0110", "A0111"]);
}

#[test]
fn problems_are_drawn_for_a_terminal_and_written_as_json() {
    let mut files: std::collections::BTreeMap<String, String> =
        andon_contract::init_files().into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
    let rule = files["rules/temperature.yaml"].replace("on: machine.temperature", "on: machine.temprature");
    files.insert("rules/temperature.yaml".into(), rule);
    let problems = andon_contract::from_files(files).unwrap_err();
    let drawn = problems[0].render(true);
    assert!(drawn.contains("\u{1b}[") && drawn.contains("machine.temprature"), "{drawn}");
    assert!(problems[0].render(false).starts_with("rules/temperature.yaml:3:5: error[A0119]: "));
    let json = serde_json::to_value(&problems[0]).unwrap();
    assert_eq!(json["line"], 3);
    assert_eq!(json["suggestion"], "temperature");
    assert_eq!(json["severity"], "error");
}

#[test]
fn a_large_plant_is_read_quickly() {
    let mut files: std::collections::BTreeMap<String, String> =
        andon_contract::init_files().into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
    let assets = (2..=10_000).map(|n| format!("  machine-{n}: {{ class: machine }}\n")).collect::<Vec<_>>().concat();
    let names = (2..=10_000).map(|n| format!("machine-{n}: EQ-{n}, ")).collect::<Vec<_>>().concat();
    files.get_mut("assets/plant-1.yaml").unwrap().push_str(&assets);
    let identifiers = files["identifiers/maintenance.yaml"].replace("machine-01:", &format!("{names}machine-01:"));
    files.insert("identifiers/maintenance.yaml".into(), identifiers);
    let loaded = andon_contract::from_files(files).unwrap();
    assert_eq!(loaded.contract.assets.len(), 10_000);
    assert_eq!(loaded.contract.rules["temperature"].assets.len(), 10_000);
}
