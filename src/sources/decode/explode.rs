//! Arrays that are exploded: a line stands for as many records as its array has elements.
//!
//! Guarantees: the record of an element is that of a line with the element in the place of the
//! array, but for its identity and for the columns that are told, which are those of the line as it
//! is. A line costs one walk, and each element one of its own bytes. State: nothing.

use std::fmt;

use limbeck_operators::hash::xxh3_64_with_seed;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use smol_str::SmolStr;

use super::layout::{Exploded, Form};
use super::{Decoder, Lines, Take, Unreadable, identify, offset, syntax};
use crate::model::{Id, Scalar};

/// An array with more elements is a dead letter as a whole.
const ELEMENTS_MAX: usize = 1 << 16;

impl Decoder {
    /// Reads a line whose array is exploded: a record for each element, or why there is none.
    pub fn explode<'a>(&'a self, line: &'a str, lines: &mut Lines<'a>, take: Take<'_, 'a>) {
        let layout = &self.layout;
        let Form::Exploded(exploded) = &layout.form else {
            let record = self.decode_text(line, lines);
            return take(lines, line, record);
        };
        let parts = lines
            .captured
            .walk(line, &layout.nodes, layout.captures)
            .map_err(|error| syntax(line, &error))
            .and_then(|()| Parts::new(exploded, line));
        let parts = match parts {
            Ok(parts) => parts,
            Err(error) => return take(lines, line, Err(error)),
        };
        let arrival = layout.arrival.as_ref().map(|from| from.capture);
        let before = arrival.map(|capture| lines.captured.values[capture].clone());
        let around = parts.around(before.as_ref());
        lines.explode(line, layout, parts.array);
        for (number, element) in parts.elements.iter().enumerate() {
            let element = element.get();
            let start = offset(line, element);
            let walked = lines.captured.walk_element(element, &layout.nodes, exploded);
            lines.element = element;
            let decoded = match walked {
                Ok(()) => {
                    self.record(line, (start, start + element.len()), lines, |arrival, id| {
                        let arrival = arrival.filter(|value| is_within(element, value));
                        let (own, content) = identify(element, arrival, id);
                        let content = xxh3_64_with_seed(&content.to_le_bytes(), around);
                        match own {
                            Id::Content(own) => {
                                // Equal elements of one array are records of their own.
                                let seed = around ^ (number as u64).rotate_left(32);
                                (Id::Content(xxh3_64_with_seed(&own.to_le_bytes(), seed)), content)
                            }
                            own => (own, content),
                        }
                    })
                }
                Err(error) => {
                    let mut error = syntax(element, &error);
                    error.column += start;
                    Err(error)
                }
            };
            take(lines, element, decoded);
        }
    }
}

/// A line with its array.
struct Parts<'a> {
    line: &'a str,
    array: &'a str,
    elements: Vec<&'a RawValue>,
}

impl<'a> Parts<'a> {
    /// Finds the array in a line that has been walked.
    fn new(exploded: &Exploded, line: &'a str) -> Result<Self, Unreadable> {
        let name = &exploded.name;
        let array = exploded.path.iter().try_fold(line, |object, key| under(object, key));
        let array = array.ok_or_else(|| Unreadable {
            column: line.len().max(1),
            reason: format!("`{name}` is missing"),
        })?;
        let wrong = |reason| Unreadable { column: offset(line, array) + 1, reason };
        let elements: Vec<&RawValue> = serde_json::from_str(array)
            .map_err(|_| wrong(format!("`{name}` must be an array, which is exploded")))?;
        if elements.len() > ELEMENTS_MAX {
            let count = elements.len();
            return Err(wrong(format!("`{name}` has {count} elements, more than {ELEMENTS_MAX}")));
        }
        Ok(Self { line, array, elements })
    }

    /// A hash of what stands around the array, the arrival left out.
    fn around(&self, arrival: Option<&Scalar<'a>>) -> u64 {
        let start = offset(self.line, self.array);
        let sides = [&self.line[..start], &self.line[start + self.array.len()..]];
        sides.into_iter().fold(0, |seed, side| {
            let arrival = arrival.filter(|value| is_within(side, value));
            let (_, content) = identify(side, arrival, None);
            xxh3_64_with_seed(&content.to_le_bytes(), seed)
        })
    }
}

/// Whether a value was written in this part of a line.
fn is_within(part: &str, value: &Scalar<'_>) -> bool {
    match value {
        Scalar::Str(std::borrow::Cow::Borrowed(text)) => {
            offset(part, text).checked_add(text.len()).is_some_and(|end| end <= part.len())
        }
        _ => false,
    }
}

/// The first value under a key, as it is written; none in what is no object.
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
