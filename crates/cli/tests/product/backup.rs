//! A backup of an instance at work, and what it is worth: put back after more work was done, every document is there
//! once.

use crate::support::*;
use serde_json::Value as Json;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A request, then another one.
const REPAIR: &str = r#"document: { dsl: 1.0.3, namespace: foundry, name: repair, version: 1.0.0 }
do:
  - request:
      call: maintenance.request-work
      with:
        title: "${ $workflow.input.what }"
        description: it is loose
        asset: machine-01
        site: foundry
        priority: 2
        reportedAt: "2026-11-22T06:00:00Z"
        reportedBy: somebody
  - pause: { wait: { milliseconds: 300 } }
  - again:
      call: maintenance.request-work
      with:
        title: "${ \"again \" + .document }"
        description: it is loose again
        asset: machine-01
        site: foundry
        priority: 2
        reportedAt: "2026-11-22T06:00:00Z"
        reportedBy: somebody
"#;

pub(crate) fn project(dir: &Path) -> PathBuf {
    let project = dir.join("project");
    copy_project(&example(), &project);
    fs::write(project.join("workflows/repair.yaml"), REPAIR).unwrap();
    project
}

pub(crate) fn begin(api: &str, key: &str) {
    let mut curl = Command::new("curl");
    curl.args(["-sf", "-X", "POST", "-H", "Content-Type: application/json", "-d", r#"{"what": "a bolt"}"#]);
    let done = curl.arg(format!("http://{api}/v1/workflows/repair/runs/{key}")).output().expect("curl is installed");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}

/// How often each reference stands in the office's own file.
pub(crate) fn documents(file: &Path) -> BTreeMap<String, usize> {
    let mut documents = BTreeMap::new();
    for request in office_requests(file) {
        *documents.entry(request["reference"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    documents
}

pub(crate) fn completed(world: &World, data: &Path) -> usize {
    world.list("runs", data, &["workflow=repair", "state=completed"]).len()
}

#[test]
fn a_restored_backup_of_an_instance_at_work_makes_every_document_once() {
    const RUNS: usize = 12;
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let port = free_port();
    let world = World { mqtt: broker.address(), eam: format!("http://127.0.0.1:{port}") };
    let (file, project, data) = (dir.path().join("office.jsonl"), project(dir.path()), dir.path().join("data"));
    let _office = start_office(&world, port, &file);
    let mut running = start_instance(&world, &project, &data);
    let api = api_of(&running);
    for n in 0..RUNS {
        begin(&api, &format!("r{n}"));
    }
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (to, from) = (dir.path().join("backup"), text(&data));
    let made: Json =
        serde_json::from_str(&world.ok(&["backup", &text(&to), "--data", &from, "--by", "ada", "--json"])).unwrap();
    assert_eq!(made["to"], text(&to), "{made}");
    assert!(to.join("backup.json").is_file() && !dir.path().join("backup.unfinished").exists());
    let again = world.run(&["backup", &text(&to), "--data", &from]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("A7120"), "{again:?}");
    let told = world.list("audit", &data, &["act=folder.backup"]);
    assert_eq!((told.len(), told[0]["actor"].as_str()), (1, Some("ada")));

    // Work goes on, to its end; then all of it is lost with the disk.
    wait_until("all runs have ended", || completed(&world, &data) == RUNS);
    let done = documents(&file);
    assert_eq!(done.len(), 2 * RUNS);
    let held = world.run(&["restore", &text(&to), "--data", &from, "--replace"]);
    assert_eq!(held.status.code(), Some(1), "somebody runs on it");
    running.kill();
    let refused = world.run(&["restore", &text(&to), "--data", &from]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("A7125"), "{refused:?}");
    let restored = world.ok(&["restore", &text(&to), "--data", &from, "--replace", "--by", "ada", "--json"]);
    let restored: Json = serde_json::from_str(&restored).unwrap();
    assert!(restored["epoch"].as_u64() > restored["before"].as_u64(), "{restored}");
    assert!(Path::new(restored["replaced"].as_str().unwrap()).join("andon.db").is_file());
    world.ok(&["doctor", "--data", &from]);

    let running = start_instance(&world, &project, &data);
    wait_until("all runs of the backup have ended", || completed(&world, &data) == RUNS);
    assert_eq!(documents(&file), done, "nothing was done twice");
    assert_eq!(world.list("exceptions", &data, &[]), Vec::<Json>::new());
    let gaps = world.list("gaps", &data, &[]);
    let told = |gap: &&Json| gap["reason"].as_str().is_some_and(|reason| reason.contains("restored from a backup"));
    assert_eq!(gaps.iter().filter(told).count(), 1, "its source has one: {gaps:?}");
    // What comes now is made as ever.
    begin(&api_of(&running), "after");
    wait_until("the new run has ended", || completed(&world, &data) == RUNS + 1);
    let all = documents(&file);
    assert_eq!((all.len(), all.values().max()), (2 * RUNS + 2, Some(&1)));
}
