//! Rows that say the same to conditions, by number: what has been judged of one holds of all.
//!
//! Guarantee: of two rows with one code all coded columns have the same value, or none. State: none
//! beside the rows.

use arrow_array::Array;
use arrow_buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};

use super::values::{Text, Values};

/// More codes than these would hardly come again in a group of rows.
const CODES_MAX: usize = 4096;

/// Numbers rows by what stands in some of their columns.
pub(super) struct Codes {
    columns: Vec<Coded>,
    len: usize,
}

/// A column of few different values.
struct Coded {
    keys: Keys,
    nulls: Option<NullBuffer>,
    /// How many codes there are of the columns before.
    stride: usize,
    /// Whether what is not in it may stand elsewhere.
    optional: bool,
}

/// By row, which value it has.
enum Keys {
    Texts(ScalarBuffer<i32>),
    Bools(BooleanBuffer),
}

impl Codes {
    /// Of rows that are all alike, as long as there are no columns.
    pub(super) fn new() -> Self {
        Self { columns: Vec::new(), len: 1 }
    }

    /// How many codes there may be.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Tells rows apart by texts too; `None` if these may be too many.
    pub(super) fn with_texts(self, texts: &Text, optional: bool) -> Option<Self> {
        match texts {
            Text::Absent => Some(self),
            Text::Plain(_) => None,
            Text::Dictionary(keys, nulls, values) => {
                self.with(Keys::Texts(keys.clone()), nulls.clone(), values.len(), optional)
            }
        }
    }

    /// Tells rows apart by values too; `None` if these may be too many.
    pub(super) fn with_values(self, values: &Values) -> Option<Self> {
        match values {
            Values::Text(texts) => self.with_texts(texts, true),
            Values::Bool(array) => {
                let (bools, nulls) = array.clone().into_parts();
                self.with(Keys::Bools(bools), nulls, 2, true)
            }
            Values::Int(_) | Values::Float(_) => None,
        }
    }

    fn with(
        mut self,
        keys: Keys,
        nulls: Option<NullBuffer>,
        values: usize,
        optional: bool,
    ) -> Option<Self> {
        let stride = self.len;
        self.len = stride.checked_mul(values + 1).filter(|len| *len <= CODES_MAX)?;
        self.columns.push(Coded { keys, nulls, stride, optional });
        Some(self)
    }

    /// The code of a row, and whether none of its optional columns is empty.
    #[inline]
    pub(super) fn of(&self, row: usize) -> (usize, bool) {
        let (mut code, mut is_full) = (0, true);
        for Coded { keys, nulls, stride, optional } in &self.columns {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                is_full &= !optional;
                continue;
            }
            let key = match keys {
                Keys::Texts(keys) => keys[row] as usize,
                Keys::Bools(bools) => usize::from(bools.value(row)),
            };
            code += stride * (key + 1);
        }
        (code, is_full)
    }
}
