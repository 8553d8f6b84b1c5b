//! Every file of the fuzz corpora is fed to its target, and so are damaged ones: cut short, with flipped bits, with
//! pieces of the others. What once failed cannot come back unseen where nobody fuzzes.
//!
//! `cargo xtask check fuzz` looks that each target of `fuzz/` stands here.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use andon_contract::Contract;
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// What a target does with bytes.
type Entry = fn(&[u8]);

/// Damaged inputs of a target at most, of all its files together.
const DAMAGED_MAX: usize = 1_500;

/// One test for each target.
macro_rules! targets {
    ($($target:ident: $entry:expr,)*) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target), $entry);
            }
        )*
    };
}

targets! {
    adapter: andon_edge::fuzz::adapter,
    answer: andon_systems::fuzz,
    certificate: andon_edge::fuzz::certificate,
    cloudevents: andon_edge::fuzz::cloud_events,
    expression: andon_contract::expr::fuzz::fuzz,
    feed: andon_edge::fuzz::feed_csv,
    folder_files: andon_store::fuzz_folder,
    frame: andon_store::fuzz,
    historian_file: andon_store::historian::fuzz,
    ingest: andon_edge::fuzz::http,
    listener_packets: andon_edge::fuzz::listener_packets,
    message: andon_edge::fuzz::message,
    mqtt: andon_edge::fuzz::mqtt,
    openapi: andon_contract::openapi::fuzz,
    payload: andon_edge::fuzz::payload,
    post: andon_edge::fuzz::post,
    project: andon_contract::fuzz::project,
    request: andon_node::fuzz::request,
    rows: andon_edge::fuzz::file_rows,
    rule_state: andon_events::fuzz,
    run_memory: andon_workflows::fuzz,
    schema: andon_contract::fuzz::schema,
    servers: andon_systems::fuzz_around,
    shdr: andon_edge::fuzz::shdr,
    states_file: andon_store::fuzz_states,
    stored_row: andon_node::fuzz::row,
    systems: packaging_line,
    waveform: andon_events::rules::spectrum::fuzz,
    words: andon_contract::fuzz::words,
    workflow: andon_workflows::fuzz_definition,
}

/// The answers that the operations of an example read.
fn packaging_line(bytes: &[u8]) {
    static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/packaging-line");
        andon_contract::load(&folder).unwrap().contract
    });
    andon_systems::fuzz_project(&CONTRACT, bytes);
}

/// The corpus of a target: names and bytes, in the order of the names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
        })
        .collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.sort();
    files
}

/// Feeds a target its corpus and what becomes of it when it is damaged.
fn replay(target: &str, call: Entry) {
    let files = corpus(target);
    let mut failed = Vec::new();
    for (name, bytes) in &files {
        survive(call, target, name, bytes, &mut failed);
    }
    let each = (DAMAGED_MAX / files.len()).max(4);
    for (at, (name, bytes)) in files.iter().enumerate() {
        let (_, other) = files.get((at + 1) % files.len()).unwrap();
        for (number, damaged) in damaged(bytes, other, each).into_iter().enumerate() {
            survive(call, target, &format!("{name}-damaged-{number}"), &damaged, &mut failed);
        }
    }
    assert!(failed.is_empty(), "{target} panics on: {failed:?}");
}

/// The panic itself has told where and why; the bytes are kept for whoever mends it.
fn survive(call: Entry, target: &str, name: &str, bytes: &[u8], failed: &mut Vec<PathBuf>) {
    if catch_unwind(AssertUnwindSafe(|| call(bytes))).is_err() {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{target}-{name}"));
        fs::write(&kept, bytes).unwrap();
        failed.push(kept);
    }
}

/// So many damaged forms of some bytes, always the same.
fn damaged(bytes: &[u8], other: &[u8], count: usize) -> Vec<Vec<u8>> {
    // An xorshift, begun by the bytes themselves: each file is damaged in a way of its own.
    let seed = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let mut state = seed | 1;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % (below.max(1) as u64)).unwrap()
    };
    (0..count)
        .map(|number| {
            let mut made = bytes.to_vec();
            let at = draw(made.len());
            match number % 5 {
                0 => made.truncate(at),
                1 | 2 => {
                    for _ in 0..=draw(3) {
                        let at = draw(made.len());
                        if let Some(byte) = made.get_mut(at) {
                            *byte ^= 1 << draw(8);
                        }
                    }
                }
                // A piece is left out, or stands there twice.
                3 => {
                    let end = at + draw(made.len() - at);
                    let piece = made.get(at..end).unwrap_or_default().to_vec();
                    made.splice(at..end, if draw(2) == 0 { Vec::new() } else { piece.repeat(2) });
                }
                _ => {
                    let from = draw(other.len());
                    let piece = other.get(from..from + draw(other.len() - from)).unwrap_or_default();
                    made.splice(at..at, piece.iter().copied());
                }
            }
            made
        })
        .collect()
}

#[test]
fn a_target_that_panics_is_found_and_its_bytes_are_kept() {
    let mut failed = Vec::new();
    let call: Entry = |bytes| assert!(bytes != b"bad", "as told");
    survive(call, "none", "good", b"good", &mut failed);
    survive(call, "none", "bad", b"bad", &mut failed);
    assert_eq!(failed.len(), 1);
    assert_eq!(fs::read(&failed[0]).unwrap(), b"bad");
}

#[test]
fn damage_is_of_every_kind_and_always_the_same() {
    let (bytes, other) = (b"{\"a\":[1,2,3]}".as_slice(), b"other".as_slice());
    let made = damaged(bytes, other, 100);
    assert_eq!(made, damaged(bytes, other, 100));
    assert!(made.iter().any(|one| one.len() < bytes.len()) && made.iter().any(|one| one.len() > bytes.len()));
    assert!(made.iter().filter(|one| one.as_slice() != bytes).count() > 60);
    assert_eq!(damaged(b"", b"", 10).len(), 10, "an empty file has nothing to damage");
}
