//! A folder that the binary of an earlier release wrote under load, and left when it was killed: this one goes on with
//! it, and every document is there once. `cargo xtask upgrade` plays it live with the release before.

use crate::{
    backup::{begin, completed, documents, project},
    support::*,
};
use serde_json::Value as Json;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Runs that are begun under the earlier binary.
const RUNS: usize = 30;

/// Documents after which it is killed.
const DONE: usize = 12;

/// What earlier binaries have left, packed: `data`, `project` and the file of the office.
const LEFT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/upgrade");

/// The binary of the release before.
fn before() -> PathBuf {
    env::var_os("ANDON_BEFORE").map(PathBuf::from).expect("cargo xtask upgrade names the binary")
}

/// A world with an office over `dir`.
fn world(dir: &Path) -> (World, Mosquitto, Running) {
    let broker = Mosquitto::start(&dir.join("broker"), "").unwrap();
    let port = free_port();
    let world = World { mqtt: broker.address(), eam: format!("http://127.0.0.1:{port}") };
    let office = start_office(&world, port, &dir.join("office.jsonl"));
    (world, broker, office)
}

/// The earlier binary begins runs in `dir` and is killed while they are under way.
fn write(world: &World, program: &Path, dir: &Path) {
    let project = project(dir);
    let mut command = Command::new(program);
    command.args([
        "run",
        project.to_str().unwrap(),
        "--data",
        dir.join("data").to_str().unwrap(),
        "--api",
        "127.0.0.1:0",
    ]);
    command.env("ANDON_MQTT", &world.mqtt).env("ANDON_EAM", &world.eam).env_remove("ANDON_API").env("NO_COLOR", "1");
    let mut running = Running::start(command);
    wait_ready(&running);
    let api = api_of(&running);
    for n in 0..RUNS {
        begin(&api, &format!("r{n}"));
    }
    wait_until("some documents are there", || documents(&dir.join("office.jsonl")).len() >= DONE);
    running.kill();
}

/// This binary goes on with the folder.
fn goes_on(world: &World, dir: &Path) {
    let data = dir.join("data");
    let running = start_instance(world, &dir.join("project"), &data);
    wait_until("all runs have ended", || completed(world, &data) == RUNS);
    let documents = documents(&dir.join("office.jsonl"));
    assert_eq!((documents.len(), documents.values().max()), (2 * RUNS, Some(&1)), "every document once");
    assert_eq!(world.list("exceptions", &data, &[]), Vec::<Json>::new());
    begin(&api_of(&running), "new");
    wait_until("a new run has ended", || completed(world, &data) == RUNS + 1);
    drop(running);
    world.ok(&["doctor", "--data", data.to_str().unwrap()]);
}

#[test]
fn what_an_earlier_binary_left_when_it_was_killed_goes_on_and_every_document_is_there_once() {
    let left: Vec<_> = fs::read_dir(LEFT).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!left.is_empty());
    for packed in left {
        let dir = tempfile::tempdir().unwrap();
        let unpacked = Command::new("tar").arg("-xzf").arg(&packed).arg("-C").arg(dir.path()).status().unwrap();
        assert!(unpacked.success(), "{}", packed.display());
        let (world, _broker, _office) = world(dir.path());
        goes_on(&world, dir.path());
    }
}

#[test]
#[ignore = "needs the binary of the release before: cargo xtask upgrade"]
fn a_folder_of_the_release_before_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (world, _broker, _office) = world(dir.path());
    write(&world, &before(), dir.path());
    goes_on(&world, dir.path());
}

#[test]
#[ignore = "needs the binary of the release before: cargo xtask upgrade --keep NAME"]
fn keep_a_folder_of_the_release_before() {
    let name = env::var("ANDON_KEEP").expect("cargo xtask upgrade --keep names the file");
    let dir = tempfile::tempdir().unwrap();
    let (world, _broker, office) = world(dir.path());
    write(&world, &before(), dir.path());
    drop(office);
    fs::create_dir_all(LEFT).unwrap();
    let packed = Path::new(LEFT).join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.arg("-czf").arg(packed).args(["--exclude=data/reserve", "--exclude=data/lock", "-C"]).arg(dir.path());
    assert!(tar.args(["data", "project", "office.jsonl"]).status().unwrap().success());
}
