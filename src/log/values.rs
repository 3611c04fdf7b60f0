//! Columns of a group of rows, to be read by row.

use std::borrow::Cow;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int32Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt64Array,
};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use arrow_schema::{DataType, TimeUnit};

use super::schema::Kind;
use crate::model::Scalar;

/// Texts of a column; of one that is not there, none.
#[derive(Clone, Debug, Default)]
pub(super) enum Text {
    #[default]
    Absent,
    Dictionary(ScalarBuffer<i32>, Option<NullBuffer>, StringArray),
    Plain(StringArray),
}

impl Text {
    pub(super) fn of(batch: &RecordBatch, name: &str) -> Result<Self, String> {
        let Some(array) = batch.column_by_name(name) else { return Ok(Self::Absent) };
        if let Some(plain) = array.as_string_opt::<i32>() {
            return Ok(Self::Plain(plain.clone()));
        }
        let dictionary = array.as_dictionary_opt::<Int32Type>();
        let parts = dictionary.and_then(|array| {
            Some((array.keys().clone(), array.values().as_string_opt::<i32>()?.clone()))
        });
        let (keys, values) = parts.ok_or_else(|| format!("its column `{name}` holds no texts"))?;
        let (_, keys, nulls) = keys.into_parts();
        Ok(Self::Dictionary(keys, nulls, values))
    }

    pub(super) fn is_there(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    #[inline(always)]
    pub(super) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Absent => None,
            Self::Dictionary(keys, nulls, values) => {
                let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                (!is_null).then(|| values.value(keys[row] as usize))
            }
            Self::Plain(texts) => (!texts.is_null(row)).then(|| texts.value(row)),
        }
    }
}

/// Times of a column; of one that is not there, none.
#[derive(Clone, Debug)]
pub(super) struct Times {
    counts: ScalarBuffer<i64>,
    nulls: Option<NullBuffer>,
    unit_ns: i64,
}

impl Times {
    pub(super) fn of(batch: &RecordBatch, name: &str) -> Result<Option<Self>, String> {
        let Some(array) = batch.column_by_name(name) else { return Ok(None) };
        let (counts, unit_ns) = match array.data_type() {
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                (array.as_primitive::<TimestampMillisecondType>().values(), 1_000_000)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                (array.as_primitive::<TimestampMicrosecondType>().values(), 1_000)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                (array.as_primitive::<TimestampNanosecondType>().values(), 1)
            }
            _ => return Err(format!("its column `{name}` holds no times")),
        };
        Ok(Some(Self { counts: counts.clone(), nulls: array.nulls().cloned(), unit_ns }))
    }

    /// Whether every row has one.
    pub(super) fn is_full(&self) -> bool {
        self.nulls.is_none()
    }

    #[inline]
    pub(super) fn get(&self, row: usize) -> Option<i64> {
        let is_null = self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        (!is_null).then(|| self.counts[row].saturating_mul(self.unit_ns))
    }
}

/// Whole numbers of a column.
pub(super) fn numbers(batch: &RecordBatch, name: &str) -> Result<Option<UInt64Array>, String> {
    let Some(array) = batch.column_by_name(name) else { return Ok(None) };
    let numbers = array.as_primitive_opt::<UInt64Type>();
    numbers.cloned().map(Some).ok_or_else(|| format!("its column `{name}` holds no numbers"))
}

/// The value of a row, if it has one.
#[inline]
pub(super) fn number(numbers: &Option<UInt64Array>, row: usize) -> Option<u64> {
    numbers.as_ref().filter(|array| !array.is_null(row)).map(|array| array.value(row))
}

/// Values of records.
#[derive(Clone, Debug)]
pub(super) enum Values {
    Bool(BooleanArray),
    Int(Int64Array),
    Float(Float64Array),
    Text(Text),
}

impl Values {
    pub(super) fn of(batch: &RecordBatch, name: &str, kind: Kind) -> Result<Self, String> {
        let array = batch.column_by_name(name);
        let found = array.and_then(|array: &ArrayRef| match kind {
            Kind::Bool => array.as_boolean_opt().cloned().map(Self::Bool),
            Kind::Int => array.as_primitive_opt().cloned().map(Self::Int),
            Kind::Float => array.as_primitive_opt().cloned().map(Self::Float),
            Kind::Text => Text::of(batch, name).ok().map(Self::Text),
        });
        found.ok_or_else(|| format!("its column `{name}` is not what its layout says"))
    }

    /// The value of a row; [`Scalar::Missing`] if it has none.
    #[inline]
    pub(super) fn get(&self, row: usize) -> Scalar<'_> {
        match self {
            Self::Text(texts) => {
                texts.get(row).map_or(Scalar::Missing, |text| Scalar::Str(Cow::Borrowed(text)))
            }
            Self::Bool(array) if !array.is_null(row) => Scalar::Bool(array.value(row)),
            Self::Int(array) if !array.is_null(row) => Scalar::Int(array.value(row)),
            Self::Float(array) if !array.is_null(row) => Scalar::Float(array.value(row)),
            Self::Bool(_) | Self::Int(_) | Self::Float(_) => Scalar::Missing,
        }
    }
}
