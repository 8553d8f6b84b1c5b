//! `DuckDB` reads the folder of the historian as it lies there and finds the same samples as [`Store::range`].
#![expect(clippy::unwrap_used, reason = "a test: a panic is its verdict")]

use andon_model::{Time, Value, span::Span};
use andon_store::{
    Store,
    conformance::history::{Chance, some_samples},
    historian::{Keeper, Kept, Policy, Progress, Range},
};
use serde_json::{Value as Json, json};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

/// The version that is installed; any from 1.0 on reads the files.
const DUCKDB: &str = "duckdb==2.0.1";

fn chance(bytes: &mut [u8]) {
    bytes.fill(7);
}

/// Python with `DuckDB`, in a folder of its own beside what is built.
fn python() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let venv = target.join("venv");
    let python = venv.join("bin/python");
    // Several tests may install at the same time.
    let lock = File::create(target.join("venv.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let has = |python: &Path| {
        let asked = Command::new(python).args(["-c", "import duckdb"]).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    if !has(&python) {
        let remedy = "The test needs Python 3 with venv (Debian: apt-get install python3-venv) and PyPI, or a Python \
                      with the package duckdb as target/venv/bin/python";
        let run = |program: &Path, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output();
            let output = output.unwrap_or_else(|e| panic!("{}: {e}. {remedy}", program.display()));
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{} {arguments:?}: {told}\n{remedy}", program.display());
        };
        run(Path::new("python3"), &["-m", "venv", venv.to_str().unwrap()]);
        run(&python, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", DUCKDB]);
    }
    python
}

/// What the store says of its signals, in the words of the script.
fn told(store: &Store) -> BTreeMap<String, Json> {
    let mut told = BTreeMap::new();
    for (_, asset, signal) in store.signals().unwrap() {
        let name = format!("{asset}/{signal}");
        let mut range = Range { asset, signal, from: Time::MIN, to: Time::MAX, after: None, limit: 1_000 };
        let (mut count, mut f64, mut i64, mut quality) = (0, 0.0, 0, 0);
        let (mut yes, mut text, mut bytes) = (0, 0, 0);
        let (mut time, mut received, mut offset) = (Time::MIN, Time::MIN, 0);
        loop {
            let (page, more) = store.range(&range).unwrap();
            range.after = page.last().map(|last| (last.time, last.position));
            for sample in page {
                count += 1;
                match sample.value {
                    Value::Bool(value) => yes += i32::from(value),
                    Value::I64(value) => i64 += value,
                    Value::F64(value) => f64 += value,
                    Value::Text(value) => text += value.chars().count(),
                    Value::Bytes(value) => bytes += value.len(),
                }
                quality += u64::from(sample.quality.0);
                (time, received) = (time.max(sample.time), received.max(sample.received));
                offset = offset.max(sample.position.offset);
            }
            if !more {
                break;
            }
        }
        let (time, received) = (time.0, received.millis());
        told.insert(
            name,
            json!({ "count": count, "f64": f64, "i64": i64, "yes": yes, "text": text, "bytes": bytes,
                "quality": quality, "time": time, "received": received, "offset": offset }),
        );
    }
    told
}

#[test]
fn duckdb_counts_the_same_samples() {
    let python = python();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &mut chance).unwrap();
    let mut one = Chance::new(42);
    let policy = Policy {
        seal_after: Span::from_secs(3_600),
        samples: Arc::new(|_| Kept::default()),
        minutes: Kept::default(),
        reduce: Arc::new(|_, _| None),
    };
    let mut keeper = Keeper::new(store.clone(), policy);
    // Merged days first, then files that are not merged yet.
    for now in ["2025-12-26T00:00:00Z", "2025-11-26T00:00:00Z"] {
        for _ in 0..20 {
            let (part, _) = some_samples(&store, 500, &mut one);
            store.append(vec![part]).unwrap();
        }
        keeper.seal_now().ask();
        while keeper.step(Time::parse(now).unwrap()).unwrap() == Progress::Worked {}
    }
    let holdings = store.holdings().unwrap();
    assert_eq!((holdings.samples, holdings.sealed), (20_000, store.log_end()));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/against/duckdb/compare.py");
    let mut compare = Command::new(python);
    compare.arg(script).arg(dir.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut compare = compare.spawn().unwrap();
    let expected = serde_json::to_vec(&told(&store)).unwrap();
    compare.stdin.take().unwrap().write_all(&expected).unwrap();
    let output = compare.wait_with_output().unwrap();
    let told = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&told));
}
