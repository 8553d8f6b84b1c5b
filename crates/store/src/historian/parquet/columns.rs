//! The columns of a file of samples: their types and encodings, and the rows of a group on their way into them.

use super::Row;
use ::parquet::{
    basic::{Compression, Encoding, ZstdLevel},
    column::writer::ColumnWriterImpl,
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type},
    errors::Result as ParquetResult,
    file::{
        properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr},
        writer::SerializedRowGroupWriter,
    },
    schema::{
        parser::parse_message_type,
        types::{ColumnPath, TypePtr},
    },
};
use andon_model::{Value, sample::Origin};
use std::{io::Write, sync::Arc};

/// The columns in their order. `origin` and `claimed` are null for nearly all samples.
const SCHEMA: &str = "message samples {
    REQUIRED BYTE_ARRAY signal (STRING);
    REQUIRED INT64 time (TIMESTAMP(NANOS,true));
    REQUIRED INT64 received (TIMESTAMP(MILLIS,true));
    REQUIRED INT32 quality (INTEGER(32,false));
    OPTIONAL BOOLEAN v_bool;
    OPTIONAL INT64 v_i64;
    OPTIONAL DOUBLE v_f64;
    OPTIONAL BYTE_ARRAY v_text (STRING);
    OPTIONAL BYTE_ARRAY v_bytes;
    REQUIRED INT32 epoch (INTEGER(32,false));
    REQUIRED INT64 offset;
    OPTIONAL BYTE_ARRAY origin (STRING);
    OPTIONAL INT64 claimed (TIMESTAMP(NANOS,true));
}";

/// The numbers of the columns.
pub(crate) mod number {
    pub(crate) const SIGNAL: usize = 0;
    pub(crate) const TIME: usize = 1;
    pub(crate) const RECEIVED: usize = 2;
    pub(crate) const QUALITY: usize = 3;
    pub(crate) const BOOL: usize = 4;
    pub(crate) const I64: usize = 5;
    pub(crate) const F64: usize = 6;
    pub(crate) const TEXT: usize = 7;
    pub(crate) const BYTES: usize = 8;
    pub(crate) const EPOCH: usize = 9;
    pub(crate) const OFFSET: usize = 10;
    pub(crate) const ORIGIN: usize = 11;
    pub(crate) const CLAIMED: usize = 12;
}

/// Rows of a group at most: what a reader must have of a column at once, and what a writer holds.
pub(crate) const GROUP_ROWS_MAX: usize = 256 << 10;

/// Bytes of texts and byte strings of a group after which the next one begins.
pub(crate) const GROUP_HEAP_MAX: usize = 32 << 20;

/// What was measured; see `docs/decisions`. Tests vary it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tuning {
    /// Level of zstd.
    pub(crate) zstd: i32,
    /// Rows of a page.
    pub(crate) page_rows: usize,
    /// Rows of a page of numbers and texts: the larger, the more of what comes again is found in it.
    pub(crate) value_page_rows: usize,
    /// Rows of a group.
    pub(crate) group_rows: usize,
    /// How numbers are written that are not in a dictionary.
    pub(crate) f64: Encoding,
    /// The most bytes of a dictionary of numbers; 0: none.
    pub(crate) f64_dictionary: usize,
    /// How times are written.
    pub(crate) time: Encoding,
    /// How receive times are written.
    pub(crate) received: Encoding,
    /// How places are written.
    pub(crate) offset: Encoding,
    /// How texts are written that are not in a dictionary.
    pub(crate) text: Encoding,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            zstd: 3,
            page_rows: 16 << 10,
            value_page_rows: GROUP_ROWS_MAX,
            group_rows: GROUP_ROWS_MAX,
            f64: Encoding::BYTE_STREAM_SPLIT,
            f64_dictionary: 0,
            time: Encoding::DELTA_BINARY_PACKED,
            received: Encoding::DELTA_BINARY_PACKED,
            offset: Encoding::DELTA_BINARY_PACKED,
            text: Encoding::DELTA_LENGTH_BYTE_ARRAY,
        }
    }
}

/// The columns as the library knows them.
pub(crate) fn schema() -> TypePtr {
    Arc::new(parse_message_type(SCHEMA).expect("the columns are well formed"))
}

/// How they are written.
pub(crate) fn properties(tuning: &Tuning) -> WriterPropertiesPtr {
    let path = |name: &str| ColumnPath::from(name);
    let zstd = ZstdLevel::try_new(tuning.zstd).expect("the level exists");
    let mut to = WriterProperties::builder()
        .set_created_by(concat!("andon ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(zstd))
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_data_page_row_count_limit(tuning.page_rows)
        .set_data_page_size_limit(8 << 20)
        .set_max_row_group_row_count(None)
        .set_column_encoding(path("time"), tuning.time)
        .set_column_encoding(path("received"), tuning.received)
        .set_column_encoding(path("offset"), tuning.offset)
        .set_column_encoding(path("v_i64"), Encoding::DELTA_BINARY_PACKED)
        .set_column_encoding(path("claimed"), Encoding::DELTA_BINARY_PACKED)
        .set_column_encoding(path("v_f64"), tuning.f64)
        .set_column_dictionary_enabled(path("v_f64"), tuning.f64_dictionary > 0)
        .set_column_dictionary_page_size_limit(path("v_f64"), tuning.f64_dictionary)
        .set_column_data_page_row_count_limit(path("v_f64"), tuning.value_page_rows)
        .set_column_data_page_row_count_limit(path("v_text"), tuning.value_page_rows)
        .set_column_encoding(path("v_text"), tuning.text)
        .set_column_encoding(path("v_bytes"), Encoding::DELTA_LENGTH_BYTE_ARRAY);
    for name in ["signal", "quality", "epoch", "origin", "v_text"] {
        to = to.set_column_dictionary_enabled(path(name), true);
    }
    for name in ["signal", "time", "offset"] {
        to = to.set_column_statistics_enabled(path(name), EnabledStatistics::Page);
    }
    Arc::new(to.build())
}

/// A column that may be null: which rows have a value, and the values.
struct Nullable<T> {
    levels: Vec<i16>,
    values: Vec<T>,
}

impl<T> Default for Nullable<T> {
    fn default() -> Self {
        Self { levels: Vec::new(), values: Vec::new() }
    }
}

impl<T> Nullable<T> {
    /// The value of a row; the rows between the last one with a value and this have none.
    fn set(&mut self, row: usize, value: T) {
        self.levels.resize(row, 0);
        self.levels.push(1);
        self.values.push(value);
    }

    fn write<D: DataType<T = T>>(&mut self, rows: usize, to: &mut ColumnWriterImpl<'_, D>) -> ParquetResult<()> {
        self.levels.resize(rows, 0);
        to.write_batch(&self.values, Some(&self.levels), None)?;
        self.levels.clear();
        self.values.clear();
        Ok(())
    }
}

/// The rows of a group by column.
#[derive(Default)]
pub(crate) struct Group {
    rows: usize,
    /// Bytes of texts and byte strings.
    heap: usize,
    name: Option<(Arc<str>, ByteArray)>,
    signal: Vec<ByteArray>,
    time: Vec<i64>,
    received: Vec<i64>,
    quality: Vec<i32>,
    bool: Nullable<bool>,
    i64: Nullable<i64>,
    f64: Nullable<f64>,
    text: Nullable<ByteArray>,
    bytes: Nullable<ByteArray>,
    epoch: Vec<i32>,
    offset: Vec<i64>,
    origin: Nullable<ByteArray>,
    claimed: Nullable<i64>,
}

/// The word for where the time of a sample comes from; live ones have none.
pub(crate) const AHEAD: &str = "ahead";
/// A retained message with a time of its source.
pub(crate) const RETAINED: &str = "retained";
/// A retained message without one.
pub(crate) const RETAINED_UNTIMED: &str = "retained-untimed";
/// A retained message with a time that is not believed, which stands in the column of claimed times.
pub(crate) const RETAINED_AHEAD: &str = "retained-ahead";

impl Group {
    /// Whether the group is as large as one may be.
    pub(crate) fn is_full(&self, tuning: &Tuning) -> bool {
        self.rows >= tuning.group_rows || self.heap >= GROUP_HEAP_MAX
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: &Row) {
        let at = self.rows;
        self.rows += 1;
        let signal = match &self.name {
            Some((name, bytes)) if Arc::ptr_eq(name, &row.signal) || *name == row.signal => bytes.clone(),
            _ => {
                let bytes = ByteArray::from(&*row.signal);
                self.name = Some((Arc::clone(&row.signal), bytes.clone()));
                bytes
            }
        };
        self.signal.push(signal);
        self.time.push(row.time.0);
        self.received.push(row.received.0.div_euclid(1_000_000));
        self.quality.push(row.quality.0.cast_signed());
        match &row.value {
            Value::Bool(value) => self.bool.set(at, *value),
            Value::I64(value) => self.i64.set(at, *value),
            Value::F64(value) => self.f64.set(at, *value),
            Value::Text(value) => {
                self.heap += value.len();
                self.text.set(at, ByteArray::from(&**value));
            }
            Value::Bytes(value) => {
                self.heap += value.len();
                self.bytes.set(at, ByteArray::from(value.to_vec()));
            }
        }
        self.epoch.push(row.position.epoch.cast_signed());
        self.offset.push(row.position.offset.cast_signed());
        let origin = match row.origin {
            Origin::Live => return,
            Origin::Ahead(claimed) => {
                self.claimed.set(at, claimed.0);
                AHEAD
            }
            Origin::Retained => RETAINED,
            Origin::RetainedUntimed => RETAINED_UNTIMED,
            Origin::RetainedAhead(claimed) => {
                self.claimed.set(at, claimed.0);
                RETAINED_AHEAD
            }
        };
        self.origin.set(at, ByteArray::from(origin));
    }

    /// Writes the group, column by column, and is empty again.
    pub(crate) fn write<W: Write + Send>(&mut self, mut to: SerializedRowGroupWriter<'_, W>) -> ParquetResult<()> {
        let rows = std::mem::take(&mut self.rows);
        self.heap = 0;
        required::<ByteArrayType, W>(&mut to, &mut self.signal)?;
        required::<Int64Type, W>(&mut to, &mut self.time)?;
        required::<Int64Type, W>(&mut to, &mut self.received)?;
        required::<Int32Type, W>(&mut to, &mut self.quality)?;
        nullable::<BoolType, W>(&mut to, rows, &mut self.bool)?;
        nullable::<Int64Type, W>(&mut to, rows, &mut self.i64)?;
        nullable::<DoubleType, W>(&mut to, rows, &mut self.f64)?;
        nullable::<ByteArrayType, W>(&mut to, rows, &mut self.text)?;
        nullable::<ByteArrayType, W>(&mut to, rows, &mut self.bytes)?;
        required::<Int32Type, W>(&mut to, &mut self.epoch)?;
        required::<Int64Type, W>(&mut to, &mut self.offset)?;
        nullable::<ByteArrayType, W>(&mut to, rows, &mut self.origin)?;
        nullable::<Int64Type, W>(&mut to, rows, &mut self.claimed)?;
        to.close().map(|_| ())
    }
}

fn required<D: DataType, W: Write + Send>(
    to: &mut SerializedRowGroupWriter<'_, W>,
    values: &mut Vec<D::T>,
) -> ParquetResult<()> {
    let mut column = to.next_column()?.expect("the schema has as many columns");
    column.typed::<D>().write_batch(values, None, None)?;
    values.clear();
    column.close()
}

fn nullable<D: DataType, W: Write + Send>(
    to: &mut SerializedRowGroupWriter<'_, W>,
    rows: usize,
    values: &mut Nullable<D::T>,
) -> ParquetResult<()> {
    let mut column = to.next_column()?.expect("the schema has as many columns");
    values.write(rows, column.typed::<D>())?;
    column.close()
}
