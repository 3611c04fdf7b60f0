//! Arrays that are exploded: a line stands for as many records as its array has elements.
//!
//! Guarantees: the record of an element is that of a line with the element in the place of the
//! array, but for its identity and for the columns that are told, which are those of the line as it
//! is. A line costs one walk, and each element one of its own bytes. State: nothing.

use limbeck_operators::hash::xxh3_64_with_seed;
use serde_json::value::RawValue;

use super::layout::{Exploded, Form};
use super::{Decoder, Lines, Take, Unreadable, identify, offset, syntax, written};
use crate::model::Id;

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
        let arrival = layout.arrival.as_ref();
        // An arrival stands in each element, or around them all.
        let own = arrival.and_then(|from| from.path.strip_prefix(&exploded.path[..]));
        let shared = arrival.filter(|_| own.is_none()).and_then(|from| {
            written::scalar(line, &from.path, &lines.captured.values[from.capture])
        });
        let around = parts.around(shared);
        lines.explode(line, layout, parts.array);
        for (number, element) in parts.elements.iter().enumerate() {
            let element = element.get();
            let start = offset(line, element);
            let walked = lines.captured.walk_element(element, &layout.nodes, exploded);
            lines.element = element;
            let decoded = match walked {
                Ok(()) => {
                    self.record(line, (start, start + element.len()), lines, |arrival, id| {
                        let arrival = own.and_then(|keys| written::scalar(element, keys, arrival?));
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
        let array = written::at(line, &exploded.path);
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
    fn around(&self, arrival: Option<&str>) -> u64 {
        let start = offset(self.line, self.array);
        let sides = [&self.line[..start], &self.line[start + self.array.len()..]];
        sides.into_iter().fold(0, |seed, side| {
            let arrival = arrival.filter(|text| is_within(side, text));
            let (_, content) = identify(side, arrival, None);
            xxh3_64_with_seed(&content.to_le_bytes(), seed)
        })
    }
}

/// Whether a text was written in this part of a line.
fn is_within(part: &str, text: &str) -> bool {
    offset(part, text).checked_add(text.len()).is_some_and(|end| end <= part.len())
}
