//! Columns of a file on their way back, and the rows its statistics rule out.

use super::sums::{Checked, Shared};
use ::parquet::{
    column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader},
    data_type::DataType,
    errors::{ParquetError, Result as ParquetResult},
    file::{
        metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData},
        page_index::column_index::ColumnIndexMetaData,
        serialized_reader::SerializedPageReader,
        statistics::Statistics,
    },
};
use std::{ops::Range, sync::Arc};

/// The footer and the index of the pages.
pub(crate) fn metadata(file: &Checked) -> ParquetResult<ParquetMetaData> {
    ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required).parse_and_finish(file)
}

/// The statistics of a column of a group.
pub(crate) fn statistics(group: &RowGroupMetaData, column: usize) -> Option<&Statistics> {
    group.columns().get(column).and_then(|column| column.statistics())
}

/// The rows of the pages of a column that may hold what is wanted; neighbours joined.
pub(crate) fn pages(
    metadata: &ParquetMetaData,
    group: usize,
    column: usize,
    rows: usize,
    may: impl Fn(&ColumnIndexMetaData, usize) -> bool,
) -> Vec<Range<usize>> {
    let index = metadata.page_index_for_row_group(group);
    let (Some(places), Some(index)) = (index.page_locations(column), index.column_index(column)) else {
        return std::iter::once(0..rows).collect();
    };
    let starts: Vec<usize> = places.iter().filter_map(|page| usize::try_from(page.first_row_index).ok()).collect();
    if starts.len() as u64 != index.num_pages() {
        return std::iter::once(0..rows).collect();
    }
    let ends = starts.iter().skip(1).copied().chain([rows]);
    let mut found: Vec<Range<usize>> = Vec::new();
    for (page, (start, end)) in starts.iter().zip(ends).enumerate() {
        if !may(index, page) {
            continue;
        }
        match found.last_mut() {
            Some(before) if before.end == *start => before.end = end,
            _ => found.push(*start..end),
        }
    }
    found
}

/// What two lists of rows have in common.
pub(crate) fn common(one: &[Range<usize>], other: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut ones, mut others) = (one.iter().peekable(), other.iter().peekable());
    while let (Some(a), Some(b)) = (ones.peek(), others.peek()) {
        let range = a.start.max(b.start)..a.end.min(b.end);
        if !range.is_empty() {
            found.push(range);
        }
        let _ = if a.end <= b.end { ones.next() } else { others.next() };
    }
    found
}

/// What was read of a column: which rows have a value (all, where it is empty), and the values.
pub(crate) struct Read<T> {
    levels: Vec<i16>,
    pub(crate) values: Vec<T>,
}

/// A column of a group that is read forward.
pub(crate) struct Column<D: DataType> {
    /// `None`: no row has a value.
    reader: Option<ColumnReaderImpl<D>>,
    nullable: bool,
    /// The row it stands at.
    at: usize,
}

impl<D: DataType> Column<D> {
    /// Opens a column of a group.
    pub(crate) fn open(file: &Shared, metadata: &ParquetMetaData, group: usize, number: usize) -> ParquetResult<Self> {
        let of = metadata.row_groups().get(group).ok_or_else(|| missing("a group"))?;
        let chunk = of.columns().get(number).ok_or_else(|| missing("a column"))?;
        let about = metadata.file_metadata().schema_descr().column(number);
        let nullable = about.max_def_level() > 0;
        let nulls = chunk.statistics().and_then(Statistics::null_count_opt);
        if nullable && nulls == Some(of.num_rows().cast_unsigned()) {
            return Ok(Self { reader: None, nullable, at: 0 });
        }
        let rows = usize::try_from(of.num_rows())?;
        let places = metadata.page_index_for_row_group(group).page_locations(number).cloned();
        let places = places.ok_or_else(|| missing("the index of the pages"))?;
        let pages = SerializedPageReader::new(Arc::clone(file), chunk, rows, Some(places))?;
        let reader = get_typed_column_reader::<D>(get_column_reader(about, Box::new(pages)));
        Ok(Self { reader: Some(reader), nullable, at: 0 })
    }

    /// Reads these rows; those before are skipped.
    pub(crate) fn read(&mut self, range: Range<usize>) -> ParquetResult<Read<D::T>> {
        let rows = range.len();
        let mut read = Read { levels: Vec::new(), values: Vec::new() };
        let Some(reader) = &mut self.reader else {
            read.levels.resize(rows, 0);
            return Ok(read);
        };
        if range.start > self.at {
            let skipped = reader.skip_records(range.start - self.at)?;
            if skipped != range.start - self.at {
                return Err(missing("rows"));
            }
        }
        read.values.reserve(rows);
        let levels = self.nullable.then_some(&mut read.levels);
        let (found, values, _) = reader.read_records(rows, levels, None, &mut read.values)?;
        if found != rows || values != read.values.len() {
            return Err(missing("rows"));
        }
        self.at = range.end;
        Ok(read)
    }
}

/// What a file promises and does not hold.
pub(crate) fn missing(what: &str) -> ParquetError {
    ParquetError::General(format!("{what} its footer promises is missing"))
}

/// Values that may be null, row by row.
pub(crate) struct Walk<T> {
    levels: std::vec::IntoIter<i16>,
    values: std::vec::IntoIter<T>,
}

impl<T> Walk<T> {
    /// From the first row on.
    pub(crate) fn new(read: Read<T>) -> Self {
        Self { levels: read.levels.into_iter(), values: read.values.into_iter() }
    }

    /// The value of the next row, where it has one.
    pub(crate) fn next(&mut self) -> Option<T> {
        if self.levels.next()? == 0 { None } else { self.values.next() }
    }
}
