//! Every file of the fuzz corpora is fed to its target, so that what once failed cannot come back unseen where nobody
//! fuzzes.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// What a target does with bytes.
type Entry = fn(&[u8]);

/// The targets of `fuzz/Cargo.toml` with what they call.
const TARGETS: [(&str, Entry); 18] = [
    ("project", andon_contract::fuzz),
    ("expression", andon_contract::expr::fuzz::fuzz),
    ("mqtt", andon_edge::fuzz::mqtt),
    ("listener_packets", andon_edge::fuzz::listener_packets),
    ("openapi", andon_contract::openapi::fuzz),
    ("payload", andon_edge::fuzz::payload),
    ("shdr", andon_edge::fuzz::shdr),
    ("rows", andon_edge::fuzz::file_rows),
    ("feed", andon_edge::fuzz::feed_csv),
    ("ingest", andon_edge::fuzz::http),
    ("cloudevents", andon_edge::fuzz::cloud_events),
    ("frame", andon_store::fuzz),
    ("historian_file", andon_store::historian::fuzz),
    ("answer", andon_systems::fuzz),
    ("states_file", andon_store::fuzz_states),
    ("rule_state", andon_events::fuzz),
    ("waveform", andon_events::rules::spectrum::fuzz),
    ("run_memory", andon_workflows::fuzz),
];

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_file_of_every_corpus_is_survived() {
    let mut failed = Vec::new();
    for (target, call) in TARGETS {
        let folder = fuzz().join("corpus").join(target);
        let files = names(&folder);
        assert!(!files.is_empty(), "{} is empty", folder.display());
        for file in files {
            let bytes = fs::read(folder.join(&file)).unwrap();
            // The panic itself has told where and why; here is which file it was.
            if catch_unwind(AssertUnwindSafe(|| call(&bytes))).is_err() {
                failed.push(format!("{target}/{file}"));
            }
        }
    }
    assert!(failed.is_empty(), "these inputs panic: {failed:?}");
}

#[test]
fn the_list_names_every_target() {
    let listed: BTreeSet<String> = TARGETS.iter().map(|(target, _)| (*target).to_owned()).collect();
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let built = manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""));
    assert_eq!(built.map(str::to_owned).collect::<BTreeSet<_>>(), listed, "fuzz/Cargo.toml has other targets");
    assert_eq!(names(&fuzz().join("corpus")), listed, "fuzz/corpus has other folders");
    let programs = names(&fuzz().join("fuzz_targets"));
    assert_eq!(programs, listed.iter().map(|target| format!("{target}.rs")).collect(), "fuzz/fuzz_targets has others");
}
