//! A folder of files: an instance that is killed while it reads takes every row once, and tells of each its file.

use crate::support::*;
use std::{fmt::Write as _, fs};

const ROWS: u64 = 150_000;

#[test]
fn a_killed_instance_takes_every_row_of_a_file_once() {
    let dir = tempfile::tempdir().unwrap();
    let (project, data, drop) = (dir.path().join("project"), dir.path().join("data"), dir.path().join("drop"));
    copy_project(&root().join("examples/cnc-cell"), &project);
    fs::create_dir(&drop).unwrap();
    fs::remove_file(project.join("sources/lathe.yaml")).unwrap();
    let source = format!(
        "kind: file\nfolder: {}\npattern: '*.csv'\nformat: csv\nsettle: 50 ms\nevery: 100 ms\n\
         after: move\nmoved-to: done\nclock: recorded\nrows:\n  asset: multus-01\n\
         \x20 time: {{ columns: [t], form: ms }}\n  signals: {{ S1load: {{ value: load }} }}\n",
        drop.display()
    );
    fs::write(project.join("sources/drop.yaml"), source).unwrap();
    let mut text = "t,load\n".to_owned();
    for n in 0..ROWS {
        // Each row differs from all others, and from those beyond the window of duplicates.
        writeln!(text, "{},{}", 1_767_225_600_000_u64 + n, n % 100).unwrap();
        if n % 50_000 == 7 {
            text.push_str("broken row\n");
        }
    }
    // As a program that writes slowly does: under another name first.
    fs::write(drop.join("large.csv.part"), &text).unwrap();
    fs::rename(drop.join("large.csv.part"), drop.join("large.csv")).unwrap();
    let world = World { mqtt: String::new(), eam: String::new() };
    let done = drop.join("done/large.csv");
    let stored = || {
        let sources = world.list("sources", &data, &[]);
        sources.first().map_or(0, |source| source["stored"].as_u64().unwrap())
    };
    let mut kills = 0;
    let mut before = 0;
    while !done.exists() {
        let mut instance = start_instance(&world, &project, &data);
        wait_until("more is stored, or all", || done.exists() || stored() > before);
        instance.kill();
        before = stored();
        kills += 1;
    }
    eprintln!("killed {kills} times");
    let source = &world.list("sources", &data, &[])[0];
    assert_eq!(source["stored"], ROWS, "{source}");
    assert_eq!(source["duplicate"], 0, "{source}");
    assert_eq!(source["quarantined"], 3, "{source}");
    assert_eq!(world.list("quarantine", &data, &[]).len(), 3);
    let sample = &world.list("samples", &data, &[])[0];
    let place = sample["position"].as_str().unwrap();
    let place = place.split_once('/').unwrap().1;
    let shown = world.ok(&["show", place, "--data", data.to_str().unwrap(), "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert!(shown["sample"]["rows"]["of"].as_str().unwrap().starts_with("large.csv#"), "{shown}");
}
