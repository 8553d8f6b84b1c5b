//! The settings of a broker that a source names are looked at where a project is read from a folder, and nowhere else.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use andon_contract::{Problem, Severity, from_files, load};
use std::{fs, path::Path};

const FILES: [(&str, &str); 5] = [
    ("andon.yaml", "name: plant\nformat: 1\ninstances: { edge: { role: both, zone: plant } }\n"),
    ("classes/machine.yaml", "signals: { temperature: { kind: f64, unit: Cel } }\n"),
    ("assets/home.yaml", "site: home\nzone: plant\nassets: { press-01: { class: machine } }\n"),
    ("policies/ownership.yaml", "teams: { team: { mail: a@b.example } }\nrules: [{ owner: team }]\n"),
    (
        "sources/plc.yaml",
        "kind: mqtt\nbroker: mqtt://127.0.0.1:1883\nbroker-settings: data/mosquitto.conf\ntopics:\n  - topic: plant/{asset}/t\n    \
         signals: { temperature: { value: /v, time: { at: /t, form: ms } } }\n",
    ),
];

fn project(dir: &Path) {
    for (path, text) in FILES {
        fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
        fs::write(dir.join(path), text).unwrap();
    }
    fs::create_dir_all(dir.join("data/conf.d")).unwrap();
}

fn told(problems: &[Problem]) -> Vec<(&str, &str, usize)> {
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning), "{problems:?}");
    problems.iter().map(|problem| (problem.code, problem.file.as_str(), problem.line)).collect()
}

#[test]
fn what_a_broker_loses_is_told_with_its_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let alone =
        from_files(FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()).unwrap();
    assert_eq!(told(&alone.warnings), []);

    // The file is not there.
    let missing = load(dir.path()).unwrap();
    assert_eq!(told(&missing.warnings), [("A1175", "sources/plc.yaml", 1)]);

    let main = "# ours\npersistence true\nqueue_qos0_messages true\nautosave_interval 30\ninclude_dir conf.d\n";
    fs::write(dir.path().join("data/mosquitto.conf"), main).unwrap();
    fs::write(dir.path().join("data/conf.d/limits.conf"), "\nmax_queued_messages 500\n").unwrap();
    let loaded = load(dir.path()).unwrap();
    assert_eq!(told(&loaded.warnings), [("A1174", "data/conf.d/limits.conf", 2)]);
    let message = loaded.warnings[0].to_string();
    assert!(message.contains("`max_queued_messages` is 500: while we are away"), "{message}");
    assert!(message.contains("set it to 0 (no limit)"), "{message}");
    // The settings are no part of the project.
    assert_eq!(loaded.contract.revision, alone.contract.revision);

    fs::write(dir.path().join("data/conf.d/limits.conf"), "max_queued_messages 0\n").unwrap();
    assert_eq!(told(&load(dir.path()).unwrap().warnings), []);
}
