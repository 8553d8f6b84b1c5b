//! `andon demo`, as a user starts it: both stories to their end, the documents of the offices, a limit that is set, a
//! route that leads elsewhere, and `kill -9` at any moment.

use crate::support::*;
use serde_json::Value as Json;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

/// The documents that both stories leave at the offices: office, kind, how many.
const DOCUMENTS: [(&str, &str, usize); 14] = [
    ("crm", "case", 1),
    ("eam", "maintenance-request", 1),
    ("lab", "sample", 2),
    ("legacy-erp", "order-flag", 1),
    ("legacy-erp", "order-schedule", 1),
    ("maximo", "service-request", 1),
    ("planning", "disruption", 2),
    ("planning", "reschedule", 2),
    ("qms", "closure", 2),
    ("qms", "incident", 2),
    ("s4", "order-change", 2),
    ("supplier", "notice", 2),
    ("wms", "movement", 2),
    ("wms", "reservation", 1),
];

/// What the plant reports that has no bearing in its store.
const SHORTAGE: (&str, &str, usize) = ("wms", "shortage", 1);

/// A folder of a demo; the world that still lives in it ends with this value.
struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn demo(&self, more: &[&str]) -> Command {
        let mut command = andon(&["demo", "--once", "--json", "--data", self.path().to_str().unwrap()]);
        command.args(more);
        command
    }

    /// Plays both stories to their end.
    fn play(&self, more: &[&str]) -> Json {
        summary(&self.demo(more).output().unwrap())
    }

    /// What the offices keep: office and line.
    fn documents(&self) -> Vec<(String, Json)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.path().join("world/offices")).unwrap() {
            let path = entry.unwrap().path();
            let office = path.file_stem().unwrap().to_str().unwrap().to_owned();
            for line in fs::read_to_string(&path).unwrap().lines() {
                found.push((office.clone(), serde_json::from_str(line).unwrap()));
            }
        }
        found
    }

    /// How many documents of each kind there are.
    fn counts(&self) -> BTreeMap<(String, String), usize> {
        let mut counts = BTreeMap::new();
        for (office, line) in self.documents() {
            *counts.entry((office, line["kind"].as_str().unwrap().to_owned())).or_default() += 1;
        }
        counts
    }

    /// Every document is there once, under a reference of its own at its office.
    fn once_each(&self) {
        assert_eq!(self.counts(), expected(&[]));
        let mut seen = BTreeSet::new();
        for (office, line) in self.documents() {
            let reference = line["reference"].as_str().unwrap_or_else(|| panic!("no reference: {line}")).to_owned();
            assert!(seen.insert((office, reference)), "twice: {line}");
        }
    }

    /// Every document leads back to a sample of the ramp.
    fn explained(&self) {
        let data = self.path().join("data");
        for (office, line) in self.documents() {
            let reference = line["reference"].as_str().unwrap();
            let output = andon(&["explain", reference, "--json", "--data", data.to_str().unwrap()]).output().unwrap();
            assert!(output.status.success(), "{office} {reference}: {}", String::from_utf8_lossy(&output.stderr));
            let lineage: Json = serde_json::from_slice(&output.stdout).unwrap();
            let events = lineage["events"].as_array().unwrap();
            let samples = events.iter().filter_map(|event| event["evidence"]["samples"].as_array()).flatten();
            let of_ramp = samples.filter(|sample| {
                sample["signal"].as_str().unwrap().ends_with("/vibration") && sample["value"].as_f64() > Some(4.5)
            });
            assert!(of_ramp.count() > 0, "{office} {reference} leads to no sample of the ramp: {lineage}");
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        end_world(&self.path().join("world"));
    }
}

/// Ends a world that nobody speaks to any more.
fn end_world(dir: &Path) {
    if let Some(pid) = pid_of(dir) {
        let _ = Command::new("kill").arg(pid.to_string()).status();
        wait_until("the world ends", || !lives(pid));
    }
}

fn pid_of(world: &Path) -> Option<u64> {
    let text = fs::read(world.join("world.json")).ok()?;
    serde_json::from_slice::<Json>(&text).ok()?["pid"].as_u64()
}

/// Whether a process is there, and is more than its exit code that nobody has asked for.
fn lives(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, state)| !state.trim_start().starts_with('Z'))
}

fn andon(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_andon"));
    command.args(args).env_remove("ANDON_DATA").env_remove("ANDON_API").env("NO_COLOR", "1");
    command
}

/// The line of a demo that came to its end.
fn summary(output: &Output) -> Json {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert_eq!(out.lines().count(), 1, "one line and nothing else: {out}");
    serde_json::from_str(&out).unwrap()
}

/// The counts of both stories, with what a test changes of them.
fn expected(changed: &[(&str, &str, usize)]) -> BTreeMap<(String, String), usize> {
    let all = DOCUMENTS.iter().chain([&SHORTAGE]).chain(changed);
    let counts: BTreeMap<_, _> =
        all.map(|(office, kind, count)| (((*office).to_owned(), (*kind).to_owned()), *count)).collect();
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn project() -> PathBuf {
    root().join("examples/packaging-line")
}

/// Numbers of a seed (`splitmix64`).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

#[test]
fn both_stories_come_to_their_end_and_every_document_leads_back_to_the_ramp() {
    let folder = Folder::new();
    let summary = folder.play(&[]);
    let keys: Vec<&str> = summary.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["sites", "events", "runs", "calls", "exceptions", "lineage", "suppressed_in_maintenance"],
        "{summary}"
    );
    assert_eq!(summary["runs"], serde_json::json!({ "completed": 2, "faulted": 0 }), "{summary}");
    for kind in ["eam", "erp", "wms", "qms", "crm", "planning"] {
        assert!(summary["calls"][kind].as_u64() > Some(0), "{kind}: {summary}");
    }
    assert_eq!(summary["exceptions"], 0, "{summary}");
    // The lab takes its samples by itself.
    assert_eq!(summary["lineage"]["documents"], folder.documents().len() as u64 - 2, "{summary}");
    assert_eq!(summary["lineage"]["documents"], summary["lineage"]["complete"], "{summary}");
    assert_eq!(summary["suppressed_in_maintenance"], 2, "the test run of each plant");
    for site in ["hamburg", "monterrey"] {
        assert_eq!(summary["sites"][site]["runs"], 1, "{summary}");
        assert_eq!(summary["sites"][site]["line"], "repaired", "{summary}");
    }
    folder.once_each();
    folder.explained();
    assert!(!folder.path().join("world/world.json").exists(), "the world has ended with the demo");
}

#[test]
fn it_tells_where_it_is_what_happens_and_which_ids_to_ask_for() {
    let folder = Folder::new();
    let dir = folder.path().to_str().unwrap();
    let output = andon(&["demo", "--once", "--data", dir]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with("Andon runs, its API is http://127.0.0.1:"), "{text}");
    for said in [
        "the bearing of cartoner-07 begins to wear",
        "an alarm",
        "maintenance is asked for work: SR1001 at maximo",
        "the order is marked as at risk",
        "a bearing is reserved",
        "there is no bearing: the shortage is reported",
        "quality is warned about the batch, with the evidence",
        "planning hears of the disruption",
        "the customer gets a case",
        "nobody answers for service.open-case at monterrey: Monterrey has no CRM",
        "but in maintenance: recorded, and nothing more happens",
        "the alarm ends",
        "the bearing is booked out",
        "planning plans the order anew",
        "the supplier hears of the new end",
        "the incident is closed with the lab's result",
        "line-at-risk is done",
        "both stories are told",
    ] {
        assert!(text.contains(said), "it does not say {said:?}:\n{text}");
    }
    let asked = text.lines().filter_map(|line| line.rsplit("  ").next()).filter(|id| {
        id.len() == 16 && id.bytes().all(|b| b.is_ascii_alphanumeric())
            || id.starts_with("ev_")
            || id.starts_with("ru_")
    });
    let ids: BTreeSet<&str> = asked.collect();
    assert!(ids.len() > 30, "{text}");
    let data = folder.path().join("data");
    for id in ids {
        let explained = andon(&["explain", id, "--data", data.to_str().unwrap()]).output().unwrap();
        assert!(explained.status.success(), "{id}: {}", String::from_utf8_lossy(&explained.stderr));
    }
}

#[test]
fn with_limits_that_are_never_reached_nobody_is_asked_for_anything() {
    let folder = Folder::new();
    let set = ["--set", "cartoner.vibration.High=1000", "--set", "cartoner.vibration.HighHigh=2000"];
    let summary = folder.play(&set);
    assert_eq!(summary["runs"], serde_json::json!({ "completed": 0, "faulted": 0 }), "{summary}");
    assert!(summary["calls"].as_object().unwrap().values().all(|count| count == 0), "{summary}");
    assert_eq!(summary["sites"]["hamburg"]["line"], "worn-out", "{summary}");
    assert!(folder.documents().is_empty());
}

#[test]
fn a_limit_beyond_the_next_one_is_refused_as_check_refuses_it() {
    let folder = Folder::new();
    let refused = folder.demo(&["--set", "cartoner.vibration.High=1000"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stdout).unwrap();
    let project = folder.path().join("project");
    let checked = andon(&["check", project.to_str().unwrap(), "--json"]).output().unwrap();
    assert_eq!(checked.status.code(), Some(1));
    assert_eq!(said, String::from_utf8(checked.stdout).unwrap());
    assert!(said.contains("HighHigh") && said.contains("classes/cartoner.yaml"), "{said}");
    assert!(!folder.path().join("world/world.json").exists(), "nothing was started");
    let unknown = folder.demo(&["--set", "oven.vibration.High=1"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn without_the_route_of_its_crm_the_project_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    copy_project(&project(), dir.path());
    let file = dir.path().join("routes.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let without: Vec<&str> =
        text.lines().filter(|line| !(line.contains("service.open-case") && line.contains("hamburg"))).collect();
    assert_eq!(without.len() + 1, text.lines().count());
    fs::write(&file, without.join("\n")).unwrap();
    let refused = andon(&["check", dir.path().to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8(refused.stdout).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("service.open-case") && said.contains("hamburg"), "{said}");
}

#[test]
fn another_route_changes_which_office_is_asked_and_nothing_else() {
    let folder = Folder::new();
    let copy = folder.path().join("project");
    copy_project(&project(), &copy);
    let file = copy.join("routes.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let swapped = text.replace("maximo.create-request", "eam.create-request");
    assert_ne!(text, swapped);
    fs::write(&file, swapped).unwrap();
    let summary = folder.play(&[]);
    assert_eq!(summary["runs"], serde_json::json!({ "completed": 2, "faulted": 0 }), "{summary}");
    assert_eq!(
        folder.counts(),
        expected(&[("maximo", "service-request", 0), ("eam", "maintenance-request", 2)]),
        "{summary}"
    );
    folder.explained();
}

/// A demo at work; killed with this value, and its world not.
struct Playing(Option<Child>);

impl Playing {
    fn start(folder: &Folder) -> Self {
        Self(Some(folder.demo(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
    }

    fn finish(mut self) -> Json {
        summary(&self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn killed_at_any_moment_it_ends_the_same_with_every_document_once() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("ANDON_DEMO_KILLS").unwrap_or(3);
    let seed = number("ANDON_DEMO_SEED").unwrap_or_else(|| RandomState::new().hash_one("seed"));
    eprintln!("ANDON_DEMO_KILLS={kills} ANDON_DEMO_SEED={seed}");
    let mut chance = Chance(seed);
    let folder = Folder::new();
    let mut worlds = BTreeSet::new();
    for nth in 0..kills {
        let demo = Playing::start(&folder);
        // The moments are spread over the whole of both stories; the first ones fall into the start, too.
        let moment = Duration::from_millis(100 + chance.below(45_000 / kills.max(1)));
        eprintln!("kill {nth} after {moment:?}");
        thread::sleep(moment);
        drop(demo);
        worlds.extend(pid_of(&folder.path().join("world")));
    }
    let summary = folder.play(&[]);
    assert_eq!(summary["runs"], serde_json::json!({ "completed": 2, "faulted": 0 }), "{summary}");
    assert_eq!(summary["exceptions"], 0, "{summary}");
    assert_eq!(summary["suppressed_in_maintenance"], 2, "{summary}");
    assert_eq!(summary["lineage"]["documents"], summary["lineage"]["complete"], "{summary}");
    assert!(worlds.len() <= 1, "the world has lived on: {worlds:?}");
    let status = andon(&["status", "--json", "--data", folder.path().join("data").to_str().unwrap()]).output().unwrap();
    let status: Json = serde_json::from_slice(&status.stdout).unwrap();
    for seam in status["seams"].as_array().unwrap() {
        assert_eq!(seam["holds"], true, "{seam}");
    }
    folder.once_each();
    folder.explained();
}

#[test]
fn a_world_that_is_killed_goes_on_where_it_was() {
    let folder = Folder::new();
    let demo = Playing::start(&folder);
    let offices = folder.path().join("world/offices");
    // From then on the part is on its way, and comes before the repair is done however long the calls wait.
    let reported = || fs::read_to_string(offices.join("wms.jsonl")).is_ok_and(|text| text.contains("shortage"));
    wait_until("the warehouse hears of the part that is missing", reported);
    let world = folder.path().join("world");
    let pid = pid_of(&world).unwrap();
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    wait_until("another one goes on", || pid_of(&world).is_some_and(|now| now != pid && lives(now)));
    let summary = demo.finish();
    assert_eq!(summary["runs"], serde_json::json!({ "completed": 2, "faulted": 0 }), "{summary}");
    folder.once_each();
}

#[test]
fn a_second_demo_of_a_folder_is_refused_and_the_first_goes_on() {
    let folder = Folder::new();
    let first = Playing::start(&folder);
    let offices = folder.path().join("world/offices");
    wait_until("the first is at work", || {
        fs::read_to_string(folder.path().join("world/clock.json")).is_ok_and(|text| !text.contains("\"begun\":null"))
    });
    let second = folder.demo(&[]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("stop the instance that holds it"), "{said}");
    assert!(pid_of(&folder.path().join("world")).is_some_and(lives), "the world lives on");
    wait_until("maintenance is asked for work", || {
        fs::read(offices.join("maximo.jsonl")).is_ok_and(|text| !text.is_empty())
    });
    drop(first);
}

#[test]
fn without_a_folder_of_its_own_the_world_ends_with_the_demo_however_that_ends() {
    let mut demo = andon(&["demo"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let dir = std::env::temp_dir().join(format!("andon-demo-{}", demo.id()));
    let world = dir.join("world");
    wait_until("the world is there", || pid_of(&world).is_some_and(lives));
    let pid = pid_of(&world).unwrap();
    demo.kill().unwrap();
    demo.wait().unwrap();
    wait_until("the world ends", || !lives(pid));
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn it_goes_on_until_somebody_ends_it_and_leaves_nothing_behind() {
    let mut demo = Running::start(andon(&["demo", "--json"]));
    let dir = std::env::temp_dir().join(format!("andon-demo-{}", demo.child.id()));
    wait_until("the story has begun", || {
        fs::read_to_string(dir.join("world/clock.json")).is_ok_and(|text| !text.contains("\"begun\":null"))
    });
    let pid = pid_of(&dir.join("world")).unwrap();
    demo.stop();
    assert!(!lives(pid), "the world has ended");
    assert!(!dir.exists(), "and nothing is left");
}
