//! The form of a line: what stands around the values that have columns of their own.
//!
//! A record whose arrival jumps is a dead letter that shows its line, under any rule file, so the
//! line must come back as it was. Lines of one program have few forms: a column of them costs next
//! to nothing. Guarantees: a form, filled with the values of its line, gives the beginning of the
//! line, as much as a dead letter keeps. State: the last forms.

use std::borrow::Cow;
use std::ops::Range;

use super::leaves::{Leaf, place};
use crate::model::ledger::DEAD_LETTER_BYTES_MAX;

/// Around the number of a column; a mark without a number is itself.
const MARK: char = '\0';
/// As many forms are remembered.
const FORMS_MAX: usize = 16;

/// The last forms.
pub(super) struct Forms {
    json: bool,
    last: Vec<Form>,
}

struct Form {
    /// What stands before each value, and the path of that.
    parts: Vec<(String, usize)>,
    tail: String,
    text: String,
}

impl Forms {
    /// No forms yet, of lines that are JSON or other text.
    pub(super) fn new(json: bool) -> Self {
        Self { json, last: Vec::new() }
    }

    /// The form of a line with these leaves.
    pub(super) fn of(&mut self, line: &str, leaves: &[Leaf<'_>]) -> &str {
        match self.last.iter().position(|form| form.fits(line, leaves, self.json)) {
            Some(place) => self.last[..=place].rotate_right(1),
            None => {
                self.last.truncate(FORMS_MAX - 1);
                self.last.insert(0, Form::new(line, leaves));
            }
        }
        &self.last[0].text
    }
}

impl Form {
    fn new(line: &str, leaves: &[Leaf<'_>]) -> Self {
        let stands = |leaf: &Leaf<'_>| Some((place(line, leaf.text?), leaf.path));
        let within = |(place, _): &(Range<usize>, usize)| {
            place.start <= place.end && place.end <= line.len()
        };
        let mut places: Vec<_> = leaves.iter().filter_map(stands).filter(within).collect();
        places.sort_unstable_by_key(|(place, _)| (place.start, place.end));
        let (mut parts, mut at) = (Vec::new(), 0);
        for (place, path) in places {
            // Groups of a pattern may lie within each other.
            if place.start >= at && at < DEAD_LETTER_BYTES_MAX {
                parts.push((line[at..place.start].to_owned(), path));
                at = place.end;
            }
        }
        let end = line.ceil_char_boundary(DEAD_LETTER_BYTES_MAX.max(at).min(line.len()));
        let tail = line[at..end].to_owned();
        let mut text = String::new();
        for (before, path) in &parts {
            push_escaped(&mut text, before);
            text.push(MARK);
            text.push_str(&path.to_string());
            text.push(MARK);
        }
        push_escaped(&mut text, &tail);
        Self { parts, tail, text }
    }

    /// Whether the form, filled with these leaves, is the line.
    fn fits(&self, line: &str, leaves: &[Leaf<'_>], json: bool) -> bool {
        let mut rest = line;
        for (before, path) in &self.parts {
            let leaf = leaves.iter().find(|leaf| leaf.path == *path);
            let Some(after) = rest.strip_prefix(before.as_str()) else { return false };
            let Some(text) = leaf.and_then(|leaf| leaf.value.text(json)) else { return false };
            let Some(after) = after.strip_prefix(&*text) else { return false };
            rest = after;
        }
        let filled = line.len() - rest.len() + self.tail.len();
        rest.starts_with(&self.tail)
            && (rest.len() == self.tail.len() || filled >= DEAD_LETTER_BYTES_MAX)
    }
}

/// A text as it stands in a line: in JSON, within its quotes.
pub(super) fn written(text: Cow<'_, str>, json: bool) -> Cow<'_, str> {
    let is_special = |byte: u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    match json && text.bytes().any(is_special) {
        true => {
            let quoted = serde_json::to_string(&text).expect("a text encodes");
            Cow::Owned(quoted[1..quoted.len() - 1].to_owned())
        }
        false => text,
    }
}

fn push_escaped(text: &mut String, literal: &str) {
    for part in literal.split_inclusive(MARK) {
        text.push_str(part);
        if part.ends_with(MARK) {
            text.push(MARK);
        }
    }
}

/// What stands at a mark in a segment.
pub(super) enum At<'v> {
    /// The value of a column.
    Column(usize),
    /// Always this.
    Text(Cow<'v, str>),
}

/// The form with numbers of columns in the place of those of paths; `None` where it cannot be.
pub(super) fn resolved<'v>(form: &str, at: impl Fn(usize) -> Option<At<'v>>) -> Option<String> {
    let mut text = String::new();
    for (number, part) in form.split(MARK).enumerate() {
        match (number % 2, part) {
            (0, literal) => text.push_str(literal),
            (_, "") => text.extend([MARK, MARK]),
            (_, path) => match at(path.parse().ok()?)? {
                At::Column(column) => {
                    text.push(MARK);
                    text.push_str(&column.to_string());
                    text.push(MARK);
                }
                At::Text(literal) => push_escaped(&mut text, &literal),
            },
        }
    }
    Some(text)
}

/// The beginning of a line, from its form and the values by their columns.
pub(super) fn fill<'v>(
    form: &str,
    value: impl Fn(usize) -> Option<Cow<'v, str>>,
) -> Option<String> {
    let mut line = String::new();
    for (number, part) in form.split(MARK).enumerate() {
        match (number % 2, part) {
            (0, literal) => line.push_str(literal),
            (_, "") => line.push(MARK),
            (_, column) => line.push_str(&value(column.parse().ok()?)?),
        }
    }
    Some(line)
}
