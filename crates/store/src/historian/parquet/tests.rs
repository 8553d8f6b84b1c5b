//! Files are read back as they were written, by every filter, and damage is found.

use super::*;
use proptest::prelude::*;

pub(crate) fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Value::F64),
        ".{0,40}".prop_map(|text| Value::Text(text.into())),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Bytes(bytes.into())),
    ]
}

pub(crate) fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![
        5 => Just(Origin::Live),
        1 => any::<i64>().prop_map(|time| Origin::Ahead(Time(time))),
        1 => Just(Origin::Retained),
        1 => Just(Origin::RetainedUntimed),
        1 => any::<i64>().prop_map(|time| Origin::RetainedAhead(Time(time))),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let name = prop_oneof![Just("a/x"), Just("a/y"), Just("bc/x"), Just("bc/yy")];
    let place = (1u32..3, 0u64..50);
    (name, -100i64..100, -100i64..100, prop_oneof![3 => Just(0), 1 => any::<u32>()], value(), place, origin()).prop_map(
        |(name, time, received, quality, value, (epoch, offset), origin)| Row {
            signal: name.into(),
            time: Time(time),
            received: Time(received * 1_000_000),
            quality: Quality(quality),
            value,
            position: Position { epoch, offset },
            origin,
        },
    )
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|a, b| a.key().cmp(&b.key()));
    rows.dedup_by(|a, b| a.key() == b.key());
    rows
}

/// A small file in which everything has several pages and groups.
fn write_small(path: &Path, rows: &[Row]) -> Facts {
    let tuning = Tuning { page_rows: 7, group_rows: 20, ..Tuning::default() };
    let mut writer = Writer::create(&Disk::System, path, tuning).unwrap();
    for row in rows {
        writer.push(row).unwrap();
    }
    writer.finish().unwrap()
}

fn read_back(path: &Path, filter: &Filter<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut take = |row| {
        rows.push(row);
        ControlFlow::Continue(())
    };
    read(&Disk::System, path, filter, &mut take).unwrap();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_reads_back_under_every_filter(
        rows in proptest::collection::vec(row(), 0..120),
        from in proptest::option::of(-110i64..110),
        to in proptest::option::of(-110i64..110),
        signal in proptest::option::of(prop_oneof![Just("a/x"), Just("bc/x"), Just("b"), Just("zz")]),
        position in proptest::option::of((1u32..3, 0u64..50)),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("one.parquet");
        let rows = sorted(rows);
        let facts = write_small(&path, &rows);
        prop_assert_eq!(facts.rows, rows.len() as u64);
        prop_assert_eq!(facts.bytes, std::fs::metadata(&path).unwrap().len());
        if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
            prop_assert_eq!((&facts.first_signal, &facts.last_signal), (&first.signal, &last.signal));
            prop_assert_eq!(Some(facts.first_time), rows.iter().map(|row| row.time).min());
            prop_assert_eq!(Some(facts.last_time), rows.iter().map(|row| row.time).max());
            prop_assert_eq!(Some(facts.newest_received), rows.iter().map(|row| row.received).max());
            prop_assert_eq!(Some(facts.first_position), rows.iter().map(|row| row.position).min());
            prop_assert_eq!(Some(facts.last_position), rows.iter().map(|row| row.position).max());
        }
        prop_assert_eq!(&read_back(&path, &Filter::default()), &rows);
        let (from, to) = (from.map(Time), to.map(Time));
        let position = position.map(|(epoch, offset)| Position { epoch, offset });
        let filter = Filter { signal, from, to, position };
        let mut expected: Vec<Row> = rows.into_iter().filter(|row| {
            signal.is_none_or(|name| *row.signal == *name)
                && from.is_none_or(|from| row.time >= from)
                && to.is_none_or(|to| row.time < to)
                && position.is_none_or(|at| row.position == at)
        }).collect();
        if position.is_some() {
            // A place is that of one sample.
            expected.truncate(1);
        }
        prop_assert_eq!(read_back(&path, &filter), expected);
    }

    #[test]
    fn merged_files_hold_every_row_once(
        rows in proptest::collection::vec((row(), 0usize..3, any::<bool>()), 0..120),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let all = sorted(rows.iter().map(|(row, ..)| row.clone()).collect());
        let mut paths = Vec::new();
        for file in 0..3 {
            let of_file = |(row, of, twice): &(Row, usize, bool)| (*of == file || *twice).then(|| row.clone());
            let path = dir.path().join(format!("{file}.parquet"));
            let mut part: Vec<Row> = rows.iter().filter_map(of_file).collect();
            // The same key stands for the same row.
            for row in &mut part {
                *row = all.iter().find(|other| other.key() == row.key()).unwrap().clone();
            }
            write_small(&path, &sorted(part));
            paths.push(path);
        }
        let out = dir.path().join("out.parquet");
        let inputs: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        let facts = merge(&Disk::System, &inputs, &out).unwrap();
        prop_assert_eq!(facts.rows, all.len() as u64);
        prop_assert_eq!(read_back(&out, &Filter::default()), all);
    }
}

fn some_rows(count: u32) -> Vec<Row> {
    let row = |n: u32| Row {
        signal: if n < count / 2 { "a/x" } else { "a/y" }.into(),
        time: Time(i64::from(n) * 1_000),
        received: Time(i64::from(n / 7) * 1_000_000),
        quality: Quality(n % 2),
        value: match n % 5 {
            0 => Value::Bool(n.is_multiple_of(2)),
            1 => Value::I64(n.into()),
            2 => Value::F64(n.into()),
            3 => Value::Text("ä text".into()),
            _ => Value::Bytes([1, 2, 3][..].into()),
        },
        position: Position { epoch: 1, offset: u64::from(n) * 3 },
        origin: if n.is_multiple_of(9) { Origin::Ahead(Time(7)) } else { Origin::Live },
    };
    (0..count).map(row).collect()
}

#[test]
fn rows_out_of_order_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = some_rows(4);
    rows.swap(0, 1);
    let refused = write(&Disk::System, &dir.path().join("a.parquet"), rows).unwrap_err();
    assert!(refused.to_string().contains("not sorted"), "{refused}");
}

#[test]
fn no_damaged_byte_goes_unnoticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let rows = some_rows(60);
    write_small(&path, &rows);
    let sound = std::fs::read(&path).unwrap();
    let read = |bytes: &[u8]| -> Result<Vec<Row>, StoreError> {
        std::fs::write(&path, bytes).unwrap();
        let mut file = Rows::open(&Disk::System, &path, &Filter::default())?;
        std::iter::from_fn(|| file.next().transpose()).collect()
    };
    assert_eq!(read(&sound).unwrap(), rows);
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (at % 8);
        let refused = read(&bytes).expect_err(&format!("byte {at} of {} is damaged", sound.len()));
        assert!(matches!(&refused, StoreError::Corrupt { path: of, .. } if *of == path), "{refused}");
    }
    for length in (0..sound.len()).step_by(13) {
        assert!(matches!(read(&sound[..length]), Err(StoreError::Corrupt { .. })), "cut to {length}");
    }
}

#[test]
fn bytes_that_nothing_vouches_for_are_survived() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    write_small(&path, &some_rows(60));
    let sound = std::fs::read(&path).unwrap();
    let all = |bytes: Vec<u8>| {
        let mut rows = Rows::of(&path, Checked::unchecked(bytes.into())?, &Filter::default())?;
        std::iter::from_fn(|| rows.next().transpose()).collect::<Result<Vec<Row>, _>>()
    };
    let (mut refused, mut caught) = (0, 0);
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x81;
        // Without the table of checksums: whatever becomes of it, it is an answer or an error.
        let Err(error) = all(bytes) else { continue };
        refused += 1;
        caught += u32::from(error.to_string().contains("cannot be decoded"));
    }
    assert!(refused > 100 && caught > 0, "{refused} refused, {caught} panics caught");
}

/// Writes the corpus of the fuzz target anew: `ANDON_REGENERATE=1`.
#[test]
fn the_corpus_is_made_of_files_as_they_are_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/historian_file");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let file = |name: &str, bytes: &mut dyn FnMut(&Path)| {
        bytes(&path);
        let sound = std::fs::read(&path).unwrap();
        if std::env::var_os("ANDON_REGENERATE").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(name), &sound).unwrap();
            std::fs::write(folder.join(format!("{name}-torn")), &sound[..sound.len() - 9]).unwrap();
            let mut flipped = sound.clone();
            flipped[sound.len() / 3] ^= 1;
            std::fs::write(folder.join(format!("{name}-flipped")), &flipped).unwrap();
        }
        // What an earlier version wrote is still read.
        let kept = std::fs::read(folder.join(name)).unwrap();
        assert!(Checked::memory(kept.into()).is_ok(), "{name}");
    };
    let rows = some_rows(60);
    file("samples", &mut |path| drop(write_small(path, &rows)));
    file("samples-none", &mut |path| drop(write_small(path, &[])));
    let minutes = crate::historian::minutes::of(&rows);
    file("minutes", &mut |path| {
        crate::historian::minutes::write(&Disk::System, path, minutes.clone()).unwrap();
    });
}
