//! Values as they are written: the part of a text that the parser made a value of.
//!
//! Guarantees: under each key it is the first value, as everywhere. State: nothing.

use std::borrow::Cow;
use std::fmt;

use memchr::memmem;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use smol_str::SmolStr;

use crate::model::Scalar;

/// How a text or number under these keys is written, of which this is the value.
#[inline(always)]
pub(super) fn scalar<'a>(json: &'a str, keys: &[SmolStr], value: &Scalar<'a>) -> Option<&'a str> {
    match value {
        Scalar::Str(Cow::Borrowed(text)) => Some(text),
        Scalar::Missing | Scalar::Null | Scalar::Bool(_) | Scalar::Composite => None,
        Scalar::Int(number) => integer(json, keys, *number),
        Scalar::UInt(number) => integer(json, keys, *number),
        Scalar::Float(_) | Scalar::Str(Cow::Owned(_)) => at(json, keys),
    }
}

/// JSON has one way to write an integer: where its digits stand once, it is they. Else the text is
/// parsed once more, which takes longer.
#[inline(never)]
fn integer<'a>(json: &'a str, keys: &[SmolStr], number: impl itoa::Integer) -> Option<&'a str> {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number);
    let mut found = memmem::find_iter(json.as_bytes(), digits);
    match (found.next(), found.next()) {
        (Some(start), None) => json.get(start..start + digits.len()),
        _ => at(json, keys),
    }
}

/// What stands under these keys, outermost first.
pub(super) fn at<'a>(json: &'a str, keys: &[SmolStr]) -> Option<&'a str> {
    keys.iter().try_fold(json, |object, key| under(object, key))
}

/// The first value under a key; none in what is no object.
fn under<'a>(object: &'a str, key: &SmolStr) -> Option<&'a str> {
    let found = serde_json::Deserializer::from_str(object).deserialize_map(Under(key)).ok()?;
    found.map(RawValue::get)
}

struct Under<'k>(&'k str);

impl<'a> Visitor<'a> for Under<'_> {
    type Value = Option<&'a RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Is(self.0))? {
            if is_it && found.is_none() {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Reads a key: whether it is this one.
struct Is<'k>(&'k str);

impl<'a> DeserializeSeed<'a> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}
