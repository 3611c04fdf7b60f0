//! Columns of a segment on their way into its file.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow_schema::{Field, Schema};
use limbeck_operators::hash::FixedState;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::schema::{KEY, Kind, Layout};
use super::texts::Texts;
use super::write::{Held, Values};

/// Rows are read so many at a time.
pub(super) const GROUP_ROWS: usize = 16 * 1024;

const ZSTD_LEVEL: i32 = 3;
/// A dictionary that is longer than this ends.
const DICTIONARY_BYTES_MAX: usize = 4 << 20;
/// Fewer different numbers than one in so many rows are worth a dictionary.
const REPEATED_SHARE: usize = 16;

/// Columns on their way; those that would hold nothing are left out.
#[derive(Default)]
pub(super) struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
    /// How each is written.
    encodings: Vec<Packing>,
}

#[derive(Clone, Copy)]
enum Packing {
    Dictionary,
    Encoding(Encoding),
    /// As it is, and not compressed.
    Bare,
}

impl Columns {
    fn push(&mut self, name: &str, array: impl Array + 'static, encoding: Packing) {
        if array.null_count() < array.len() {
            let nullable = array.null_count() > 0;
            self.fields.push(Field::new(name, array.data_type().clone(), nullable));
            self.arrays.push(Arc::new(array));
            self.encodings.push(encoding);
        }
    }

    pub(super) fn numbers(&mut self, name: &str, numbers: impl Iterator<Item = Option<u64>>) {
        let delta = Packing::Encoding(Encoding::DELTA_BINARY_PACKED);
        self.push(name, numbers.collect::<UInt64Array>(), delta);
    }

    /// Adds times, in the coarsest unit that holds all of them.
    pub(super) fn times(&mut self, name: &str, times: &[Option<i64>]) {
        const ZONE: &str = "UTC";
        let delta = Packing::Encoding(Encoding::DELTA_BINARY_PACKED);
        let fit = |ns: i64| times.iter().flatten().all(|time| time % ns == 0);
        let counts = |ns: i64| times.iter().map(move |time| time.map(|time| time / ns));
        // Parquet has no seconds.
        if fit(1_000_000) {
            let array = counts(1_000_000).collect::<TimestampMillisecondArray>();
            self.push(name, array.with_timezone(ZONE), delta);
        } else if fit(1_000) {
            let array = counts(1_000).collect::<TimestampMicrosecondArray>();
            self.push(name, array.with_timezone(ZONE), delta);
        } else {
            let array = counts(1).collect::<TimestampNanosecondArray>();
            self.push(name, array.with_timezone(ZONE), delta);
        }
    }

    pub(super) fn texts(&mut self, name: &str, texts: &Texts) {
        self.keyed_texts(name, &texts.keys, texts);
    }

    fn keyed_texts(&mut self, name: &str, keys: &[Option<u32>], texts: &Texts) {
        if texts.len() * 2 <= keys.len() {
            let values: StringArray =
                (0..texts.len() as u32).map(|n| Some(texts.text(n))).collect();
            let keys = keys.iter().map(|key| key.map(|key| key as i32));
            let array =
                DictionaryArray::<Int32Type>::new(keys.collect::<Int32Array>(), Arc::new(values));
            self.push(name, array, Packing::Dictionary);
        } else {
            let text = |key: &Option<u32>| key.map(|key| texts.text(key));
            let array: StringArray = keys.iter().map(text).collect();
            // Packs better than lengths apart from the texts.
            self.push(name, array, Packing::Encoding(Encoding::PLAIN));
        }
    }

    pub(super) fn hashes(&mut self, name: &str, hashes: &[Option<u64>]) {
        let hashes = hashes.iter().copied();
        self.push(name, hashes.collect::<UInt64Array>(), Packing::Bare);
    }

    /// Adds the values of a kind.
    pub(super) fn values(&mut self, name: &str, kind: Kind, values: &Values, rows: usize) {
        let of_kind = values.rows.iter().zip(&values.values);
        let mut of_kind = of_kind.filter(|(_, held)| held.kind() == Some(kind)).peekable();
        let held = (0..rows as u32).map(|row| of_kind.next_if(|(at, _)| **at == row));
        let held = held.map(|found| found.map(|(_, held)| *held));
        match kind {
            Kind::Bool => {
                let bools = held.map(|held| match held {
                    Some(Held::Bool(value)) => Some(value),
                    _ => None,
                });
                let plain = Packing::Encoding(Encoding::RLE);
                self.push(name, bools.collect::<BooleanArray>(), plain);
            }
            Kind::Int => {
                let ints = held.map(|held| match held {
                    Some(Held::Int(number)) => Some(number),
                    _ => None,
                });
                let ints: Int64Array = ints.collect();
                let different: HashSet<Option<i64>, FixedState> = ints.iter().collect();
                let packing = match different.len() * REPEATED_SHARE < rows {
                    true => Packing::Dictionary,
                    false => Packing::Encoding(Encoding::DELTA_BINARY_PACKED),
                };
                self.push(name, ints, packing);
            }
            Kind::Float => {
                let floats = held.map(|held| match held {
                    Some(Held::Float(number, _)) => Some(number),
                    _ => None,
                });
                self.push(name, floats.collect::<Float64Array>(), Packing::Dictionary);
            }
            Kind::Text => {
                let keys = held.map(|held| match held {
                    Some(Held::Text(number)) => Some(number),
                    _ => None,
                });
                self.keyed_texts(name, &keys.collect::<Vec<_>>(), &values.texts);
            }
        }
    }

    /// The rows as they are.
    pub(super) fn batch(self) -> RecordBatch {
        let Self { fields, arrays, .. } = self;
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .expect("all columns have the rows of the segment")
    }

    /// The file.
    pub(super) fn write(mut self, layout: &Layout) -> Vec<u8> {
        let encodings = std::mem::take(&mut self.encodings);
        let level = ZstdLevel::try_new(ZSTD_LEVEL).expect("a level of zstd");
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
            .set_created_by(concat!("limbeck ", env!("CARGO_PKG_VERSION")).to_owned());
        for (field, encoding) in self.fields.iter().zip(encodings) {
            let column = || ColumnPath::new(vec![field.name().clone()]);
            properties = match encoding {
                Packing::Dictionary => properties,
                Packing::Encoding(encoding) => properties
                    .set_column_dictionary_enabled(column(), false)
                    .set_column_encoding(column(), encoding),
                Packing::Bare => properties
                    .set_column_dictionary_enabled(column(), false)
                    .set_column_encoding(column(), Encoding::PLAIN)
                    .set_column_compression(column(), Compression::UNCOMPRESSED),
            };
        }
        let described = serde_json::to_string(layout).expect("plain values encode");
        let described = vec![KeyValue::new(KEY.to_owned(), described)];
        let properties = properties.set_key_value_metadata(Some(described)).build();
        let batch = self.batch();
        let write = || {
            let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
            writer.write(&batch)?;
            writer.into_inner()
        };
        write().expect("memory takes every write, and the columns are of kinds that Parquet has")
    }
}
