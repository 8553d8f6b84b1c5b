//! Rows of a file one after the other, without those that its statistics rule out.

use super::{
    Filter, Row,
    column::{Column, Walk, common, metadata, pages, statistics},
    columns::{AHEAD, RETAINED, RETAINED_AHEAD, RETAINED_UNTIMED, number},
    sums::{Checked, Shared, failed, guarded},
};
use crate::{StoreError, disk::Disk};
use ::parquet::{
    data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type},
    errors::{ParquetError, Result as ParquetResult},
    file::{
        metadata::{ParquetMetaData, RowGroupMetaData},
        page_index::column_index::ColumnIndexMetaData,
        statistics::Statistics,
    },
};
use andon_model::{Position, Quality, Time, Value, sample::Origin};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Rows that are decoded at once.
const ROWS_AT_ONCE: usize = 4_096;

/// The filter, owned.
#[derive(Debug, Clone, Default)]
struct Wanted {
    signal: Option<Bytes>,
    from: Option<i64>,
    to: Option<i64>,
    position: Option<Position>,
}

impl Wanted {
    fn of(filter: &Filter<'_>) -> Self {
        Self {
            signal: filter.signal.map(|name| Bytes::copy_from_slice(name.as_bytes())),
            from: filter.from.map(|time| time.0),
            to: filter.to.map(|time| time.0),
            position: filter.position,
        }
    }

    /// Whether there may be such a signal between two.
    fn may_name(&self, first: Option<&[u8]>, last: Option<&[u8]>) -> bool {
        let Some(signal) = &self.signal else { return true };
        first.is_none_or(|first| first <= signal) && last.is_none_or(|last| last >= signal)
    }

    /// Whether there may be such a time between two.
    fn may_time(&self, first: Option<i64>, last: Option<i64>) -> bool {
        !(first.is_some_and(|first| self.to.is_some_and(|to| first >= to))
            || last.is_some_and(|last| self.from.is_some_and(|from| last < from)))
    }

    /// Whether there may be such a place between two.
    fn may_place(&self, first: Option<i64>, last: Option<i64>) -> bool {
        let Some(offset) = self.position.map(|at| at.offset.cast_signed()) else { return true };
        first.is_none_or(|first| first <= offset) && last.is_none_or(|last| last >= offset)
    }

    fn is(&self, signal: &[u8], time: i64) -> bool {
        self.signal.as_ref().is_none_or(|wanted| wanted == signal)
            && self.from.is_none_or(|from| time >= from)
            && self.to.is_none_or(|to| time < to)
    }

    /// Whether nothing behind a row with these can be wanted.
    fn is_past(&self, signal: &[u8], time: i64) -> bool {
        self.signal
            .as_ref()
            .is_some_and(|wanted| signal > wanted || signal == wanted && self.to.is_some_and(|to| time >= to))
    }
}

/// Passes over the signals of a file with the samples of each, a signal once or several times; nothing else is read.
pub(crate) fn signals(disk: &Disk, path: &Path, each: &mut dyn FnMut(&str, u64)) -> Result<(), StoreError> {
    let Rows { file, metadata, .. } = Rows::open(disk, path, &Filter::default())?;
    guarded(path, || {
        let mut read = || -> ParquetResult<()> {
            for (group, of) in metadata.row_groups().iter().enumerate() {
                let mut column = Column::<ByteArrayType>::open(&file, &metadata, group, number::SIGNAL)?;
                let rows = usize::try_from(of.num_rows())?;
                for start in (0..rows).step_by(ROWS_AT_ONCE) {
                    let signals = column.read(start..rows.min(start + ROWS_AT_ONCE))?.values;
                    for same in signals.chunk_by(|a, b| a.data() == b.data()) {
                        let name = same.first().map(ByteArray::as_utf8).transpose()?.unwrap_or_default();
                        each(name, same.len() as u64);
                    }
                }
            }
            Ok(())
        };
        read().map_err(|e| failed(path, "read", e))
    })
}

/// The rows of a file that pass a filter, in their order.
pub(crate) struct Rows {
    path: PathBuf,
    file: Shared,
    metadata: Arc<ParquetMetaData>,
    wanted: Wanted,
    /// Stretches of rows that may hold what is wanted, by group.
    ahead: VecDeque<(usize, Range<usize>)>,
    open: Option<(usize, Columns)>,
    ready: VecDeque<Row>,
    name: Arc<str>,
}

impl Rows {
    /// Opens a file.
    pub(crate) fn open(disk: &Disk, path: &Path, filter: &Filter<'_>) -> Result<Self, StoreError> {
        Self::of(path, Checked::open(disk, path)?, filter)
    }

    /// The same of a file that is open.
    pub(crate) fn of(path: &Path, file: Checked, filter: &Filter<'_>) -> Result<Self, StoreError> {
        guarded(path, || {
            let metadata = metadata(&file).map_err(|e| failed(path, "read", e))?;
            let expected = super::columns::schema();
            if *metadata.file_metadata().schema() != *expected {
                return Err(StoreError::corrupt(path, 0, "it has other columns than a file of samples"));
            }
            let wanted = Wanted::of(filter);
            let ahead = plan(&metadata, &wanted).map_err(|e| failed(path, "read", e))?;
            Ok(Self {
                path: path.to_owned(),
                file: Arc::new(file),
                metadata: Arc::new(metadata),
                wanted,
                ahead,
                open: None,
                ready: VecDeque::new(),
                name: "".into(),
            })
        })
    }

    /// The next row.
    pub(crate) fn next(&mut self) -> Result<Option<Row>, StoreError> {
        while self.ready.is_empty() && !self.ahead.is_empty() {
            let path = self.path.clone();
            guarded(&path, || self.decode().map_err(|e| failed(&path, "read", e)))?;
        }
        Ok(self.ready.pop_front())
    }

    /// Decodes the next rows ahead.
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
        let wanted = &self.wanted;
        let signals = columns.signal.read(range.clone())?.values;
        let times = columns.time.read(range.clone())?.values;
        let mut is: Vec<bool> =
            signals.iter().zip(&times).map(|(signal, time)| wanted.is(signal.data(), *time)).collect();
        if let Some((signal, time)) = signals.last().zip(times.last())
            && wanted.is_past(signal.data(), *time)
        {
            self.ahead.clear();
        }
        if let Some(Position { epoch, offset }) = wanted.position {
            let epochs = columns.epoch.read(range.clone())?.values;
            let offsets = columns.offset.read(range.clone())?.values;
            for ((is, at_epoch), at) in is.iter_mut().zip(&epochs).zip(&offsets) {
                *is = *is && at_epoch.cast_unsigned() == epoch && at.cast_unsigned() == offset;
            }
            if let Some(found) = is.iter().position(|is| *is) {
                // A second look at the columns that are read already.
                columns = Columns::open(&self.file, &self.metadata, group)?;
                self.ahead.clear();
                let row = range.start + found;
                is = vec![true];
                let (signal, time) = (signals.get(found..=found), times.get(found..=found));
                let (signal, time) = (signal.unwrap_or_default(), time.unwrap_or_default());
                columns.rows(row..row + 1, signal, time, &is, &mut self.name, &mut self.ready)?;
            }
        } else if let Some((first, last)) = is.iter().position(|is| *is).zip(is.iter().rposition(|is| *is)) {
            let (signal, time, is) = (signals.get(first..=last), times.get(first..=last), is.get(first..=last));
            let (signal, time, is) = (signal.unwrap_or_default(), time.unwrap_or_default(), is.unwrap_or_default());
            let range = range.start + first..range.start + last + 1;
            columns.rows(range, signal, time, is, &mut self.name, &mut self.ready)?;
        }
        self.open = Some((group, columns));
        Ok(())
    }
}

/// Which rows of which groups may hold what is wanted, by the statistics of groups and pages.
fn plan(metadata: &ParquetMetaData, wanted: &Wanted) -> ParquetResult<VecDeque<(usize, Range<usize>)>> {
    let mut plan = VecDeque::new();
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let rows = usize::try_from(group.num_rows())?;
        if !may_hold(group, wanted) {
            continue;
        }
        let signals = pages(metadata, number, number::SIGNAL, rows, |index, page| match index {
            ColumnIndexMetaData::BYTE_ARRAY(of) => wanted.may_name(of.min_value(page), of.max_value(page)),
            _ => true,
        });
        let times = pages(metadata, number, number::TIME, rows, |index, page| match index {
            ColumnIndexMetaData::INT64(of) => wanted.may_time(of.min_value(page).copied(), of.max_value(page).copied()),
            _ => true,
        });
        let places = pages(metadata, number, number::OFFSET, rows, |index, page| match index {
            ColumnIndexMetaData::INT64(of) => {
                wanted.may_place(of.min_value(page).copied(), of.max_value(page).copied())
            }
            _ => true,
        });
        plan.extend(common(&common(&signals, &times), &places).into_iter().map(|range| (number, range)));
    }
    Ok(plan)
}

fn may_hold(group: &RowGroupMetaData, wanted: &Wanted) -> bool {
    let numbers = |column| match statistics(group, column) {
        Some(Statistics::Int64(of)) => (of.min_opt().copied(), of.max_opt().copied()),
        _ => (None, None),
    };
    let named =
        statistics(group, number::SIGNAL).is_none_or(|of| wanted.may_name(of.min_bytes_opt(), of.max_bytes_opt()));
    let (first, last) = numbers(number::TIME);
    let (lowest, highest) = numbers(number::OFFSET);
    named && wanted.may_time(first, last) && wanted.may_place(lowest, highest)
}

/// The columns of a group.
struct Columns {
    signal: Column<ByteArrayType>,
    time: Column<Int64Type>,
    received: Column<Int64Type>,
    quality: Column<Int32Type>,
    bool: Column<BoolType>,
    i64: Column<Int64Type>,
    f64: Column<DoubleType>,
    text: Column<ByteArrayType>,
    bytes: Column<ByteArrayType>,
    epoch: Column<Int32Type>,
    offset: Column<Int64Type>,
    origin: Column<ByteArrayType>,
    claimed: Column<Int64Type>,
}

impl Columns {
    fn open(file: &Shared, metadata: &ParquetMetaData, group: usize) -> ParquetResult<Self> {
        Ok(Self {
            signal: Column::open(file, metadata, group, number::SIGNAL)?,
            time: Column::open(file, metadata, group, number::TIME)?,
            received: Column::open(file, metadata, group, number::RECEIVED)?,
            quality: Column::open(file, metadata, group, number::QUALITY)?,
            bool: Column::open(file, metadata, group, number::BOOL)?,
            i64: Column::open(file, metadata, group, number::I64)?,
            f64: Column::open(file, metadata, group, number::F64)?,
            text: Column::open(file, metadata, group, number::TEXT)?,
            bytes: Column::open(file, metadata, group, number::BYTES)?,
            epoch: Column::open(file, metadata, group, number::EPOCH)?,
            offset: Column::open(file, metadata, group, number::OFFSET)?,
            origin: Column::open(file, metadata, group, number::ORIGIN)?,
            claimed: Column::open(file, metadata, group, number::CLAIMED)?,
        })
    }

    /// The rows of a range, those of which `is` says so; signals and times were read before.
    fn rows(
        &mut self,
        range: Range<usize>,
        signals: &[ByteArray],
        times: &[i64],
        is: &[bool],
        name: &mut Arc<str>,
        to: &mut VecDeque<Row>,
    ) -> ParquetResult<()> {
        let received = self.received.read(range.clone())?.values;
        let quality = self.quality.read(range.clone())?.values;
        let mut bools = Walk::new(self.bool.read(range.clone())?);
        let mut whole = Walk::new(self.i64.read(range.clone())?);
        let mut numbers = Walk::new(self.f64.read(range.clone())?);
        let mut texts = Walk::new(self.text.read(range.clone())?);
        let mut bytes = Walk::new(self.bytes.read(range.clone())?);
        let epochs = self.epoch.read(range.clone())?.values;
        let offsets = self.offset.read(range.clone())?.values;
        let mut origins = Walk::new(self.origin.read(range.clone())?);
        let mut claims = Walk::new(self.claimed.read(range)?);
        let fixed = signals.iter().zip(times).zip(is).zip(received).zip(quality).zip(epochs).zip(offsets);
        for ((((((signal, time), is), received), quality), epoch), offset) in fixed {
            let (bool, i64, f64) = (bools.next(), whole.next(), numbers.next());
            let (text, blob, origin, claimed) = (texts.next(), bytes.next(), origins.next(), claims.next());
            if !is {
                continue;
            }
            let value = match (bool, i64, f64, text, blob) {
                (Some(value), ..) => Value::Bool(value),
                (_, Some(value), ..) => Value::I64(value),
                (_, _, Some(value), ..) => Value::F64(value),
                (.., Some(value), _) => Value::Text(value.as_utf8()?.into()),
                (.., Some(value)) => Value::Bytes(value.data().into()),
                _ => return Err(ParquetError::General("a row has no value".into())),
            };
            if name.as_bytes() != signal.data() {
                *name = signal.as_utf8()?.into();
            }
            to.push_back(Row {
                signal: Arc::clone(name),
                time: Time(*time),
                received: Time(received.saturating_mul(1_000_000)),
                quality: Quality(quality.cast_unsigned()),
                value,
                position: Position { epoch: epoch.cast_unsigned(), offset: offset.cast_unsigned() },
                origin: origin_of(origin.as_ref(), claimed)?,
            });
        }
        Ok(())
    }
}

fn origin_of(word: Option<&ByteArray>, claimed: Option<i64>) -> ParquetResult<Origin> {
    let Some(word) = word else { return Ok(Origin::Live) };
    match (word.as_utf8()?, claimed) {
        (AHEAD, Some(claimed)) => Ok(Origin::Ahead(Time(claimed))),
        (RETAINED, _) => Ok(Origin::Retained),
        (RETAINED_UNTIMED, _) => Ok(Origin::RetainedUntimed),
        (RETAINED_AHEAD, Some(claimed)) => Ok(Origin::RetainedAhead(Time(claimed))),
        (other, _) => Err(ParquetError::General(format!("the origin {other:?} is unknown"))),
    }
}
