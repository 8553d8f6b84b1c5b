//! Bytes and time a sample takes on disk, of real recordings: asserted on a part of them, measured on all by hand with
//! `cargo test --release -p andon-store --lib historian::parquet::size -- --ignored --nocapture`.

#![expect(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a measurement divides and reads the clock"
)]

use super::{Row, Writer, columns::Tuning};
use crate::disk::Disk;
use ::parquet::basic::Encoding;
use andon_model::{Position, Quality, Time, Value, sample::Origin};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Instant};

/// The recordings, where they lie: `ANDON_TESTDATA`, else `../shared/data` beside the workspace.
fn recording(name: &str) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = std::env::var_os("ANDON_TESTDATA").map_or_else(|| root.join("../shared/data"), |d| root.join(d));
    let text = std::fs::read_to_string(data.join(name)).ok();
    if text.is_none() {
        println!("skipped: no {name} under ANDON_TESTDATA");
    }
    text
}

/// Numbers that look random and are the same every time (an xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        i64::try_from(self.0 % limit).unwrap()
    }
}

const SECOND: i64 = 1_000_000_000;
const MILLI: i64 = 1_000_000;

/// The machine temperature over and over at 1 Hz with jitter of 3 ms in steps of `step` nanoseconds.
fn temperature(samples: usize, step: i64) -> Option<Vec<Row>> {
    let csv = recording("nab-machine-temperature/machine_temperature_system_failure.csv")?;
    let values: Vec<f64> = csv.lines().skip(1).map(|line| line.split_once(',').unwrap().1.parse().unwrap()).collect();
    let mut chance = Chance(42);
    let signal: Arc<str> = "cartoner-07/temperature".into();
    let row = |(n, value): (usize, &f64)| {
        let n = i64::try_from(n).unwrap();
        let time = 1_764_000_000 * SECOND + n * SECOND + chance.below(u64::try_from(3 * MILLI / step).unwrap()) * step;
        Row {
            signal: Arc::clone(&signal),
            time: Time(time),
            received: Time((time + chance.below(5_000_000)).div_euclid(MILLI) * MILLI + MILLI),
            quality: Quality::GOOD,
            value: Value::F64(*value),
            position: Position { epoch: 1, offset: n.unsigned_abs() },
            origin: Origin::Live,
        }
    };
    Some(values.iter().cycle().take(samples).enumerate().map(row).collect())
}

/// The recording of a machine tool, every data item a signal; conditions and assets as texts.
fn shdr(times_over: i64) -> Option<Vec<Row>> {
    let text = recording("mtconnect-okuma-imts2022/okuma.shdr.txt")?;
    let mut chance = Chance(42);
    let mut rows = Vec::new();
    for pass in 0..times_over {
        for line in text.lines() {
            let mut parts = line.split('|');
            let Some(Ok(time)) = parts.next().map(Time::parse) else { continue };
            let time = Time(time.0 + pass * 86_400 * SECOND);
            let received = Time((time.0 + chance.below(5_000_000)).div_euclid(MILLI) * MILLI + MILLI);
            while let Some((key, value)) = parts.next().zip(parts.next()) {
                rows.push(Row {
                    signal: format!("okuma/{key}").into(),
                    time,
                    received,
                    quality: Quality::GOOD,
                    value: value.parse().map_or_else(|_| Value::Text(value.into()), Value::F64),
                    position: Position { epoch: 1, offset: rows.len() as u64 },
                    origin: Origin::Live,
                });
            }
        }
    }
    rows.sort_by(|a, b| a.key().cmp(&b.key()));
    Some(rows)
}

/// Bytes a sample, and nanoseconds.
fn measure(rows: &[Row], tuning: Tuning) -> (f64, f64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let begun = Instant::now();
    let mut writer = Writer::create(&Disk::System, &path, tuning).unwrap();
    for row in rows {
        writer.push(row).unwrap();
    }
    let facts = writer.finish().unwrap();
    (facts.bytes as f64 / rows.len() as f64, begun.elapsed().as_nanos() as f64 / rows.len() as f64)
}

#[test]
fn a_sample_of_a_temperature_takes_five_bytes_at_most() {
    let Some(rows) = temperature(120_000, 1_000) else { return };
    let (bytes, _) = measure(&rows, Tuning::default());
    assert!(bytes <= 5.0, "{bytes}");
}

#[test]
fn a_sample_of_a_machine_tool_takes_twelve_bytes_at_most() {
    let Some(rows) = shdr(1) else { return };
    let (bytes, _) = measure(&rows, Tuning::default());
    assert!(bytes <= 12.0, "{bytes} of {} rows", rows.len());
}

/// Bytes a sample by column, of the newest file.
fn by_column(rows: &[Row], tuning: Tuning) -> BTreeMap<String, f64> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let mut writer = Writer::create(&Disk::System, &path, tuning).unwrap();
    for row in rows {
        writer.push(row).unwrap();
    }
    writer.finish().unwrap();
    let metadata = super::column::metadata(&super::Checked::open(&Disk::System, &path).unwrap()).unwrap();
    let mut sums = BTreeMap::new();
    for column in metadata.row_groups().iter().flat_map(::parquet::file::metadata::RowGroupMetaData::columns) {
        *sums.entry(column.column_path().string()).or_default() += column.compressed_size() as f64 / rows.len() as f64;
    }
    sums
}

#[test]
#[ignore = "a measurement"]
fn all_encodings() {
    let base = Tuning::default();
    let once = temperature(22_695, 1_000);
    let tenths = temperature(1_000_000, 1_000).map(|mut rows| {
        for row in &mut rows {
            row.value = Value::F64((row.value.number().unwrap() * 10.0).round() / 10.0);
        }
        rows
    });
    let kinds = [
        ("temperature, jitter in ns", temperature(1_000_000, 1)),
        ("temperature, jitter in us", temperature(1_000_000, 1_000)),
        ("temperature, jitter in ms", temperature(1_000_000, MILLI)),
        ("temperature, once", once),
        ("temperature, in tenths", tenths),
        ("machine tool", shdr(1)),
        ("machine tool, 20 days", shdr(20)),
    ];
    let plain = Encoding::PLAIN;
    let tries = [
        ("as chosen", base),
        ("f64 plain", Tuning { f64: plain, ..base }),
        ("f64 dictionary <= 64 KiB, else split", Tuning { f64_dictionary: 64 << 10, ..base }),
        ("f64 dictionary <= 256 KiB, else split", Tuning { f64_dictionary: 256 << 10, ..base }),
        ("f64 dictionary <= 64 KiB, else plain", Tuning { f64_dictionary: 64 << 10, f64: plain, ..base }),
        ("time plain", Tuning { time: plain, ..base }),
        ("time split", Tuning { time: Encoding::BYTE_STREAM_SPLIT, ..base }),
        ("received plain", Tuning { received: plain, ..base }),
        ("received split", Tuning { received: Encoding::BYTE_STREAM_SPLIT, ..base }),
        ("offset plain", Tuning { offset: plain, ..base }),
        ("offset split", Tuning { offset: Encoding::BYTE_STREAM_SPLIT, ..base }),
        ("text plain", Tuning { text: plain, ..base }),
        ("text delta", Tuning { text: Encoding::DELTA_BYTE_ARRAY, ..base }),
        ("zstd 1", Tuning { zstd: 1, ..base }),
        ("zstd 6", Tuning { zstd: 6, ..base }),
        ("zstd 9", Tuning { zstd: 9, ..base }),
        ("zstd 12", Tuning { zstd: 12, ..base }),
        ("pages of 4 Ki", Tuning { page_rows: 4 << 10, ..base }),
        ("pages of 64 Ki", Tuning { page_rows: 64 << 10, ..base }),
        ("values in pages of 16 Ki", Tuning { value_page_rows: 16 << 10, ..base }),
        ("values in pages of 64 Ki", Tuning { value_page_rows: 64 << 10, ..base }),
        ("values in pages of 128 Ki", Tuning { value_page_rows: 128 << 10, ..base }),
        ("groups of 64 Ki", Tuning { group_rows: 64 << 10, ..base }),
        ("groups and values of 1 Mi", Tuning { group_rows: 1 << 20, value_page_rows: 1 << 20, ..base }),
    ];
    for (name, rows) in kinds {
        let Some(rows) = rows else { continue };
        println!("\n{name}: {} samples", rows.len());
        for (what, tuning) in tries {
            let (bytes, nanos) = measure(&rows, tuning);
            println!("{what:40} {bytes:6.2} bytes {nanos:6.0} ns");
        }
        for (column, bytes) in by_column(&rows, base) {
            println!("    {column:10} {bytes:6.3} bytes");
        }
    }
}
