//! One-minute summaries of samples: lowest, highest, mean and count of each signal, in Parquet.

use super::parquet::{
    Row,
    column::{Column, common, metadata, missing, pages},
    sums::{Checked, Shared, Summing as Summed, failed, guarded},
};
use crate::{StoreError, disk::Disk};
use ::parquet::{
    basic::{Compression, Encoding, ZstdLevel},
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    errors::{ParquetError, Result as ParquetResult},
    file::{
        metadata::ParquetMetaData,
        page_index::column_index::ColumnIndexMetaData,
        properties::{EnabledStatistics, WriterProperties},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::{
        parser::parse_message_type,
        types::{ColumnPath, TypePtr},
    },
};
use andon_model::Time;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A minute in nanoseconds.
pub(crate) const MINUTE: i64 = 60_000_000_000;

/// The columns.
const SCHEMA: &str = "message minutes {
    REQUIRED BYTE_ARRAY signal (STRING);
    REQUIRED INT64 time (TIMESTAMP(NANOS,true));
    REQUIRED INT64 count;
    REQUIRED DOUBLE min;
    REQUIRED DOUBLE max;
    REQUIRED DOUBLE mean;
}";

/// Minutes of a group of rows.
const GROUP_ROWS_MAX: usize = 128 << 10;

/// Minutes of a page: nearly three days of a signal.
const PAGE_ROWS: usize = 4 << 10;

/// Minutes that are decoded at once.
const ROWS_AT_ONCE: usize = 4_096;

/// A minute of a signal: of its samples whose value is a number and not bad.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Minute {
    /// The signal: `asset/signal`.
    pub(crate) signal: Arc<str>,
    /// Where the minute of source time begins.
    pub(crate) time: Time,
    /// Samples in it; never 0.
    pub(crate) count: u64,
    /// The lowest value.
    pub(crate) min: f64,
    /// The highest value.
    pub(crate) max: f64,
    /// The mean of the values.
    pub(crate) mean: f64,
}

/// What a file of minutes holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MinuteFacts {
    /// Minutes.
    pub(crate) rows: u64,
    /// Bytes of the file.
    pub(crate) bytes: u64,
}

/// Sums rows up while they pass by on their way into a file; sorted as they are.
#[derive(Debug, Default)]
pub(crate) struct Summing {
    done: Vec<Minute>,
}

impl Summing {
    /// The next row.
    pub(crate) fn take(&mut self, row: &Row) {
        let Some(value) = row.value.number().filter(|_| !row.quality.is_bad()) else { return };
        let time = begin(row.time);
        match self.done.last_mut() {
            Some(last) if last.time == time && *last.signal == *row.signal => last.add(1, value, value, value),
            _ => {
                let signal = Arc::clone(&row.signal);
                self.done.push(Minute { signal, time, count: 1, min: value, max: value, mean: value });
            }
        }
    }

    /// The minutes, by signal and time.
    pub(crate) fn finish(self) -> Vec<Minute> {
        self.done
    }
}

/// Where the minute of a time begins.
pub(crate) fn begin(time: Time) -> Time {
    Time(time.0.checked_sub(time.0.rem_euclid(MINUTE)).unwrap_or(i64::MIN))
}

impl Minute {
    /// Adds what is known of further samples of the same minute.
    fn add(&mut self, count: u64, min: f64, max: f64, mean: f64) {
        self.min = self.min.min(min);
        self.max = self.max.max(max);
        (self.count, self.mean) = joined((self.count, self.mean), (count, mean));
    }
}

/// The mean of two stretches, each with its count; it stays finite where their sums would not.
#[expect(clippy::cast_precision_loss, reason = "counts of samples are far below 2^53")]
pub(crate) fn joined(one: (u64, f64), other: (u64, f64)) -> (u64, f64) {
    let count = one.0 + other.0;
    let share = other.0 as f64 / count.max(1) as f64;
    (count, one.1 * (1.0 - share) + other.1 * share)
}

/// The minutes of rows that are sorted by signal and time.
pub(crate) fn of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<Minute> {
    let mut summing = Summing::default();
    rows.into_iter().for_each(|row| summing.take(row));
    summing.finish()
}

/// Writes minutes, sorted by signal and time, into a new file and closes it.
pub(crate) fn write(
    disk: &Disk,
    path: &Path,
    minutes: impl IntoIterator<Item = Minute>,
) -> Result<MinuteFacts, StoreError> {
    let mut writer = Writer::create(disk, path)?;
    minutes.into_iter().try_for_each(|minute| writer.push(minute))?;
    writer.finish()
}

/// Merges sorted files into a new one; the same minute of several files becomes one.
pub(crate) fn merge(disk: &Disk, inputs: &[&Path], out: &Path) -> Result<MinuteFacts, StoreError> {
    let mut writer = Writer::create(disk, out)?;
    let mut files = Vec::new();
    for path in inputs {
        files.push(Minutes::open(disk, path, None, Time(i64::MIN), Time(i64::MAX))?);
    }
    let mut next = BinaryHeap::new();
    let mut held: Vec<Option<Minute>> = Vec::new();
    let key = |minute: &Minute, number: usize| Reverse((Arc::clone(&minute.signal), minute.time, number));
    for (number, file) in files.iter_mut().enumerate() {
        let minute = file.next()?;
        next.extend(minute.as_ref().map(|minute| key(minute, number)));
        held.push(minute);
    }
    while let Some(Reverse((_, _, number))) = next.pop() {
        let following = files.get_mut(number).map_or(Ok(None), Minutes::next)?;
        next.extend(following.as_ref().map(|minute| key(minute, number)));
        let minute = held.get_mut(number).and_then(|place| std::mem::replace(place, following));
        writer.push(minute.expect("what is next is held"))?;
    }
    writer.finish()
}

/// Reads the minutes of a signal (`None`: of all) that begin at or after `from` and before `to`, in their order, until
/// `take` has enough.
pub(crate) fn read(
    disk: &Disk,
    path: &Path,
    signal: Option<&str>,
    from: Time,
    to: Time,
    take: &mut dyn FnMut(Minute) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let mut minutes = Minutes::open(disk, path, signal, from, to)?;
    while let Some(minute) = minutes.next()? {
        if take(minute).is_break() {
            break;
        }
    }
    Ok(())
}

fn schema() -> TypePtr {
    Arc::new(parse_message_type(SCHEMA).expect("the columns are well formed"))
}

/// A file that is being written.
struct Writer {
    path: PathBuf,
    file: SerializedFileWriter<Summed>,
    group: Vec<Minute>,
    /// The newest minute: what follows may belong to it.
    last: Option<Minute>,
    rows: u64,
}

impl Writer {
    fn create(disk: &Disk, path: &Path) -> Result<Self, StoreError> {
        let column = |name: &str| ColumnPath::from(name);
        let zstd = ZstdLevel::try_new(3).expect("the level exists");
        let mut to = WriterProperties::builder()
            .set_created_by(concat!("andon ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(zstd))
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_max_row_group_row_count(None)
            .set_column_dictionary_enabled(column("signal"), true);
        for name in ["signal", "time"] {
            to = to.set_column_statistics_enabled(column(name), EnabledStatistics::Page);
        }
        for name in ["time", "count"] {
            to = to.set_column_encoding(column(name), Encoding::DELTA_BINARY_PACKED);
        }
        for name in ["min", "max", "mean"] {
            to = to.set_column_encoding(column(name), Encoding::BYTE_STREAM_SPLIT);
        }
        let file = SerializedFileWriter::new(Summed::create(disk, path)?, schema(), Arc::new(to.build()));
        let file = file.map_err(|e| failed(path, "write", e))?;
        Ok(Self { path: path.to_owned(), file, group: Vec::new(), last: None, rows: 0 })
    }

    fn push(&mut self, minute: Minute) -> Result<(), StoreError> {
        match &mut self.last {
            Some(last) if last.time == minute.time && *last.signal == *minute.signal => {
                last.add(minute.count, minute.min, minute.max, minute.mean);
                return Ok(());
            }
            Some(last) if (&*last.signal, last.time) > (&*minute.signal, minute.time) => {
                let what = format!("the minutes of {} are not sorted", self.path.display());
                return Err(StoreError::Refused(what));
            }
            _ => {}
        }
        let before = self.last.replace(minute);
        self.group.extend(before);
        if self.group.len() >= GROUP_ROWS_MAX { self.close_group() } else { Ok(()) }
    }

    fn close_group(&mut self) -> Result<(), StoreError> {
        self.rows += self.group.len() as u64;
        let group = std::mem::take(&mut self.group);
        let write = self.file.next_row_group().and_then(|to| write_group(&group, to));
        write.map_err(|e| failed(&self.path, "write", e))
    }

    fn finish(mut self) -> Result<MinuteFacts, StoreError> {
        self.group.extend(self.last.take());
        if !self.group.is_empty() {
            self.close_group()?;
        }
        let closed = self.file.into_inner().and_then(|file| file.finish().map_err(ParquetError::from));
        let bytes = closed.map_err(|e| failed(&self.path, "write", e))?;
        Ok(MinuteFacts { rows: self.rows, bytes })
    }
}

fn write_group(group: &[Minute], mut to: SerializedRowGroupWriter<'_, Summed>) -> ParquetResult<()> {
    let mut names: Vec<ByteArray> = Vec::with_capacity(group.len());
    let mut before: Option<&Minute> = None;
    for minute in group {
        let same = before.is_some_and(|before| before.signal == minute.signal);
        let name = names.last().filter(|_| same).cloned();
        names.push(name.unwrap_or_else(|| ByteArray::from(&*minute.signal)));
        before = Some(minute);
    }
    column::<ByteArrayType>(&mut to, &names)?;
    column::<Int64Type>(&mut to, &group.iter().map(|minute| minute.time.0).collect::<Vec<_>>())?;
    column::<Int64Type>(&mut to, &group.iter().map(|minute| minute.count.cast_signed()).collect::<Vec<_>>())?;
    for of in [|minute: &Minute| minute.min, |minute: &Minute| minute.max, |minute: &Minute| minute.mean] {
        column::<DoubleType>(&mut to, &group.iter().map(of).collect::<Vec<_>>())?;
    }
    to.close().map(|_| ())
}

fn column<D: DataType>(to: &mut SerializedRowGroupWriter<'_, Summed>, values: &[D::T]) -> ParquetResult<()> {
    let mut column = to.next_column()?.expect("the schema has as many columns");
    column.typed::<D>().write_batch(values, None, None)?;
    column.close()
}

/// The minutes of a file one after the other.
struct Minutes {
    path: PathBuf,
    file: Shared,
    metadata: ParquetMetaData,
    signal: Option<Arc<str>>,
    from: i64,
    to: i64,
    ahead: VecDeque<(usize, Range<usize>)>,
    open: Option<(usize, Columns)>,
    ready: VecDeque<Minute>,
    name: Arc<str>,
}

/// The columns of a group.
struct Columns {
    signal: Column<ByteArrayType>,
    time: Column<Int64Type>,
    count: Column<Int64Type>,
    numbers: [Column<DoubleType>; 3],
}

impl Columns {
    fn open(file: &Shared, metadata: &ParquetMetaData, group: usize) -> ParquetResult<Self> {
        Ok(Self {
            signal: Column::open(file, metadata, group, 0)?,
            time: Column::open(file, metadata, group, 1)?,
            count: Column::open(file, metadata, group, 2)?,
            numbers: [
                Column::open(file, metadata, group, 3)?,
                Column::open(file, metadata, group, 4)?,
                Column::open(file, metadata, group, 5)?,
            ],
        })
    }
}

impl Minutes {
    fn open(disk: &Disk, path: &Path, signal: Option<&str>, from: Time, to: Time) -> Result<Self, StoreError> {
        Self::of(path, Checked::open(disk, path)?, signal, from, to)
    }

    fn of(path: &Path, file: Checked, signal: Option<&str>, from: Time, to: Time) -> Result<Self, StoreError> {
        guarded(path, || {
            let metadata = metadata(&file).map_err(|e| failed(path, "read", e))?;
            if *metadata.file_metadata().schema() != *schema() {
                return Err(StoreError::corrupt(path, 0, "it has other columns than a file of minutes"));
            }
            let ahead = plan(&metadata, signal, from.0, to.0).map_err(|e| failed(path, "read", e))?;
            Ok(Self {
                path: path.to_owned(),
                file: Arc::new(file),
                metadata,
                signal: signal.map(Into::into),
                from: from.0,
                to: to.0,
                ahead,
                open: None,
                ready: VecDeque::new(),
                name: "".into(),
            })
        })
    }

    fn next(&mut self) -> Result<Option<Minute>, StoreError> {
        while self.ready.is_empty() && !self.ahead.is_empty() {
            let path = self.path.clone();
            guarded(&path, || self.decode().map_err(|e| failed(&path, "read", e)))?;
        }
        Ok(self.ready.pop_front())
    }

    fn decode(&mut self) -> ParquetResult<()> {
        let Some((group, mut range)) = self.ahead.pop_front() else { return Ok(()) };
        let later = range.end.min(range.start + ROWS_AT_ONCE)..range.end;
        range.end = later.start;
        if !later.is_empty() {
            self.ahead.push_front((group, later));
        }
        let mut columns = match self.open.take() {
            Some((open, columns)) if open == group => columns,
            _ => Columns::open(&self.file, &self.metadata, group)?,
        };
        let signals = columns.signal.read(range.clone())?.values;
        let times = columns.time.read(range.clone())?.values;
        let is = |signal: &ByteArray, time: i64| {
            self.signal.as_ref().is_none_or(|name| name.as_bytes() == signal.data())
                && time >= self.from
                && time < self.to
        };
        let wanted: Vec<bool> = signals.iter().zip(&times).map(|(signal, time)| is(signal, *time)).collect();
        if let Some((first, last)) = wanted.iter().position(|is| *is).zip(wanted.iter().rposition(|is| *is)) {
            let range = range.start + first..range.start + last + 1;
            let counts = columns.count.read(range.clone())?.values;
            let [min, max, mean] = &mut columns.numbers;
            let (min, max, mean) =
                (min.read(range.clone())?.values, max.read(range.clone())?.values, mean.read(range)?.values);
            let fixed = signals.iter().zip(times).zip(wanted).skip(first);
            for (((((signal, time), is), count), (min, max)), mean) in
                fixed.zip(counts).zip(min.into_iter().zip(max)).zip(mean)
            {
                if !is {
                    continue;
                }
                if self.name.as_bytes() != signal.data() {
                    self.name = signal.as_utf8()?.into();
                }
                let count = u64::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| missing("a count"))?;
                self.ready.push_back(Minute {
                    signal: Arc::clone(&self.name),
                    time: Time(time),
                    count,
                    min,
                    max,
                    mean,
                });
            }
        }
        self.open = Some((group, columns));
        Ok(())
    }
}

fn plan(
    metadata: &ParquetMetaData,
    signal: Option<&str>,
    from: i64,
    to: i64,
) -> ParquetResult<VecDeque<(usize, Range<usize>)>> {
    let mut plan = VecDeque::new();
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let rows = usize::try_from(group.num_rows())?;
        let named = pages(metadata, number, 0, rows, |index, page| match (index, signal) {
            (ColumnIndexMetaData::BYTE_ARRAY(of), Some(signal)) => {
                of.min_value(page).is_none_or(|first| first <= signal.as_bytes())
                    && of.max_value(page).is_none_or(|last| last >= signal.as_bytes())
            }
            _ => true,
        });
        let timed = pages(metadata, number, 1, rows, |index, page| match index {
            ColumnIndexMetaData::INT64(of) => {
                of.min_value(page).is_none_or(|first| *first < to)
                    && of.max_value(page).is_none_or(|last| *last >= from)
            }
            _ => true,
        });
        plan.extend(common(&named, &timed).into_iter().map(|range| (number, range)));
    }
    Ok(plan)
}

/// Reads any bytes as a file of minutes: what is none is refused, and nothing else happens.
pub(crate) fn fuzz(data: &[u8]) {
    let all = |file| Minutes::of(Path::new("memory"), file, None, Time(i64::MIN), Time(i64::MAX));
    let Ok(mut minutes) = Checked::memory(data.to_vec().into()).and_then(all) else { return };
    while let Ok(Some(minute)) = minutes.next() {
        assert!(minute.count > 0, "a minute holds samples");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_model::{Position, Quality, Value, sample::Origin};
    use proptest::prelude::*;

    fn row(signal: &str, seconds: i64, value: f64) -> Row {
        Row {
            signal: signal.into(),
            time: Time(seconds * 1_000_000_000),
            received: Time(0),
            quality: Quality::GOOD,
            value: Value::F64(value),
            position: Position::default(),
            origin: Origin::Live,
        }
    }

    fn read_back(path: &Path, signal: Option<&str>, from: i64, to: i64) -> Vec<Minute> {
        let mut minutes = Vec::new();
        let mut take = |minute| {
            minutes.push(minute);
            ControlFlow::Continue(())
        };
        read(&Disk::System, path, signal, Time(from), Time(to), &mut take).unwrap();
        minutes
    }

    #[test]
    fn a_minute_begins_where_the_clock_says_so_also_before_1970() {
        assert_eq!(begin(Time(0)), Time(0));
        assert_eq!(begin(Time(MINUTE - 1)), Time(0));
        assert_eq!(begin(Time(-1)), Time(-MINUTE));
        assert_eq!(begin(Time(i64::MIN)), Time(i64::MIN));
    }

    #[test]
    fn what_is_no_number_or_bad_is_in_no_minute() {
        let mut rows = vec![row("a/x", 0, 1.0), row("a/x", 59, 3.0), row("a/x", 60, 5.0), row("b/x", 60, 7.0)];
        rows.insert(1, Row { value: Value::Text("5".into()), ..row("a/x", 1, 0.0) });
        rows.insert(2, Row { quality: Quality::BAD, ..row("a/x", 2, 99.0) });
        let minutes = of(&rows);
        let seen: Vec<_> =
            minutes.iter().map(|m| (&*m.signal, m.time.0 / MINUTE, m.count, m.min, m.max, m.mean)).collect();
        assert_eq!(seen, [("a/x", 0, 2, 1.0, 3.0, 2.0), ("a/x", 1, 1, 5.0, 5.0, 5.0), ("b/x", 1, 1, 7.0, 7.0, 7.0)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn merged_minutes_are_those_of_all_samples(
            samples in proptest::collection::vec(("[ab]", 0i64..20_000, -50i32..50, 0usize..3), 0..400),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let sorted = |which: &dyn Fn(usize) -> bool| {
                let of = samples.iter().filter(|sample| which(sample.3));
                let mut rows: Vec<Row> = of.map(|(name, at, value, _)| row(name, *at, f64::from(*value))).collect();
                rows.sort_by(|a, b| a.key().cmp(&b.key()));
                rows
            };
            let mut paths = Vec::new();
            for file in 0..3 {
                let path = dir.path().join(format!("{file}.parquet"));
                write(&Disk::System, &path, of(&sorted(&|of| of == file))).unwrap();
                paths.push(path);
            }
            let out = dir.path().join("out.parquet");
            let inputs: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
            let facts = merge(&Disk::System, &inputs, &out).unwrap();
            let expected = of(&sorted(&|_| true));
            let merged = read_back(&out, None, i64::MIN, i64::MAX);
            prop_assert_eq!(facts.rows, expected.len() as u64);
            prop_assert_eq!(facts.bytes, std::fs::metadata(&out).unwrap().len());
            prop_assert_eq!(merged.len(), expected.len());
            for (one, other) in merged.iter().zip(&expected) {
                prop_assert_eq!((&one.signal, one.time, one.count), (&other.signal, other.time, other.count));
                prop_assert_eq!((one.min, one.max), (other.min, other.max));
                prop_assert!((one.mean - other.mean).abs() < 1e-9);
            }
            let (from, to) = (60 * MINUTE, 200 * MINUTE);
            let some: Vec<Minute> =
                merged.into_iter().filter(|m| &*m.signal == "b" && m.time.0 >= from && m.time.0 < to).collect();
            prop_assert_eq!(read_back(&out, Some("b"), from, to), some);
        }
    }
}
