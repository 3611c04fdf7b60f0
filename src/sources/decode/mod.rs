//! A line becomes a record: parsed once, and only where a rule or the record's identity looks.
//!
//! Guarantees: a line is *readable* exactly if it is what the contract says (UTF-8, one valid JSON
//! object, the attributes present, of their type and not repeated); otherwise the reason and the
//! column come back. Of other repeated keys the first counts. State: buffers only.

pub(crate) mod csv;
mod explode;
mod layout;
mod learn;
mod reader;
mod shape;
#[cfg(test)]
mod tests;
mod time;
mod token;
mod value;
mod walk;
mod written;

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};

use limbeck_operators::hash::xxh3_64;
use serde_json::{Map, Value};
use smol_str::SmolStr;

use self::layout::{Fill, Form, From, Layout, Made};
use self::reader::Reader;
pub use self::shape::Shapes;
pub(crate) use self::time::decimal;
pub(crate) use self::value::{Members, value};
use self::walk::Captured;
use crate::model::{Id, Scalar, Sequence};
use crate::rules::{Paths, RecordView, Source};

/// A readable record, borrowed from its line.
#[derive(Clone, Debug)]
pub struct Decoded<'a> {
    /// When the source says it happened.
    pub event_time_ns: i64,
    /// When it was recorded, if it says so.
    pub arrival_ns: Option<i64>,
    /// The entity, if it has one.
    pub subject: Option<Cow<'a, str>>,
    /// Who says it.
    pub source: Cow<'a, str>,
    /// The source's own number of it.
    pub sequence: Sequence,
    /// What tells it apart.
    pub id: Id,
    /// Equal for lines with equal bytes, the value of the arrival left out.
    pub content: u64,
}

/// A line that looks like one before.
#[derive(Clone, Copy, Debug)]
pub struct KnownLine<'a> {
    /// Where it begins in its text, without white space.
    pub start: usize,
    /// Its newline, or where its text ends.
    pub newline: usize,
    /// The line without white space around it.
    pub line: &'a str,
}

/// Why a line is not a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where, in bytes from 1.
    pub column: usize,
    /// What is wrong, or what would be right.
    pub reason: String,
}

/// Reads the lines of one source.
#[derive(Clone, Debug)]
pub struct Decoder {
    layout: Layout,
}

/// What takes the records of a line: each with the conditions' view of it and the text it is from.
pub type Take<'t, 'a> = &'t mut dyn FnMut(&Lines<'a>, &'a str, Result<Decoded<'a>, Unreadable>);

/// Buffers for the lines of one block, and the conditions' view of the last line decoded.
///
/// The default remembers no shapes: every line is parsed in full.
#[derive(Debug, Default)]
pub struct Lines<'a> {
    shapes: Option<&'a mut Shapes>,
    line: &'a str,
    layout: Option<&'a Layout>,
    captured: Captured<'a>,
    fills: &'a [Fill],
    /// By slot; void for those that are captured as they are.
    made: Vec<Scalar<'a>>,
    /// The columns, and the capture that takes each, if one does.
    header: &'a [SmolStr],
    columns: Vec<Option<usize>>,
    /// The groups of a pattern in the last line.
    groups: Option<regex::CaptureLocations>,
    /// The array that is exploded, the element that is shown, and the line without the array.
    array: &'a str,
    element: &'a str,
    around: OnceCell<Value>,
    /// Whether somebody asked for all of `data` since it is watched.
    asked_for_all: Cell<bool>,
}

impl<'a> Lines<'a> {
    /// Buffers that use and add to the shapes of earlier blocks.
    pub fn new(shapes: &'a mut Shapes) -> Self {
        Self { shapes: Some(shapes), ..Self::default() }
    }

    /// The same for rows under a header.
    #[must_use]
    pub fn under(mut self, header: &'a [SmolStr], decoder: &Decoder) -> Self {
        self.header = header;
        self.columns = vec![None; header.len()];
        for (name, node) in &decoder.layout.nodes[0].children {
            // Of equal names the first counts.
            if let Some(column) = header.iter().position(|known| known == name) {
                self.columns[column] = decoder.layout.nodes[*node].capture;
            }
        }
        self
    }

    /// Captures what a line has where the layout looks, and checks the rest.
    fn capture(&mut self, line: &'a str, layout: &Layout) -> Result<(), serde_json::Error> {
        let (nodes, captures) = (&layout.nodes, layout.captures);
        if let Some(shapes) = &mut self.shapes {
            shapes.look_at(line, nodes);
            if shapes.read(line, 0, nodes, captures, &mut self.captured) == Some(line.len()) {
                return Ok(());
            }
        }
        self.capture_unknown(line, layout)
    }

    /// The same for a line that has none of the shapes.
    #[inline(never)]
    fn capture_unknown(&mut self, line: &'a str, layout: &Layout) -> Result<(), serde_json::Error> {
        let (nodes, captures) = (&layout.nodes, layout.captures);
        self.captured.walk(line, nodes, captures)?;
        if let Some(shapes) = &mut self.shapes {
            shapes.learn(line, nodes, captures);
        }
        Ok(())
    }

    /// Captures the fields of a row.
    fn capture_columns(&mut self, line: &'a str, delimiter: u8) -> Result<(), Unreadable> {
        let (mut count, mut surplus) = (0, None);
        for field in csv::Fields::new(line, delimiter) {
            let (start, text) = field?;
            match self.columns.get(count) {
                Some(Some(capture)) => self.captured.values[*capture] = Scalar::Str(text),
                Some(None) => {}
                None => surplus = surplus.or(Some(start)),
            }
            count += 1;
        }
        if count == self.columns.len() {
            return Ok(());
        }
        let column = surplus.unwrap_or(line.len()) + 1;
        let wanted = self.columns.len();
        Err(Unreadable { column, reason: format!("{count} fields under a header of {wanted}") })
    }

    /// Captures the groups of a pattern.
    fn capture_groups(
        &mut self,
        line: &'a str,
        pattern: &regex::Regex,
        captures: &[(usize, usize)],
    ) -> Result<(), Unreadable> {
        let groups = self.groups.get_or_insert_with(|| pattern.capture_locations());
        if pattern.captures_read(groups, line).is_none() {
            let reason = "does not match the pattern".to_owned();
            return Err(Unreadable { column: 1, reason });
        }
        for (group, capture) in captures {
            if let Some((start, end)) = groups.get(*group) {
                self.captured.values[*capture] = Scalar::Str(Cow::Borrowed(&line[start..end]));
            }
        }
        Ok(())
    }

    /// Begins to show the elements of an array.
    fn explode(&mut self, line: &'a str, layout: &'a Layout, array: &'a str) {
        self.line = line;
        self.layout = Some(layout);
        self.array = array;
        self.around.take();
    }

    /// Watches what is looked at.
    pub fn watch(&self) {
        self.asked_for_all.set(false);
    }

    /// Whether nothing but slots was looked at since it is watched.
    pub fn was_judged_by_slots(&self) -> bool {
        !self.asked_for_all.get()
    }

    /// The line with the element in the place of its array.
    fn with_element(&self, path: &[SmolStr]) -> Value {
        let around = self.around.get_or_init(|| {
            let start = offset(self.line, self.array);
            let (before, after) = (&self.line[..start], &self.line[start + self.array.len()..]);
            value(&format!("{before}null{after}"))
        });
        let mut record = around.clone();
        let place = path.iter().try_fold(&mut record, |at, key| at.get_mut(key.as_str()));
        if let Some(place) = place {
            *place = value(self.element);
        }
        record
    }
}

impl RecordView for Lines<'_> {
    #[inline(always)]
    fn slot(&self, slot: usize) -> &Scalar<'_> {
        match self.fills[slot] {
            Fill::Capture(capture) => &self.captured.values[capture],
            Fill::Text(capture, _) => match &self.captured.values[capture] {
                text @ Scalar::Str(_) => text,
                _ => &self.made[slot],
            },
            Fill::Made(_) => &self.made[slot],
        }
    }

    fn data(&self) -> Value {
        self.asked_for_all.set(true);
        let Some(layout) = self.layout else { return Value::Object(Map::new()) };
        match &layout.form {
            Form::Json | Form::Placed => match (layout.data_key, value(self.line)) {
                (Some(key), Value::Object(mut record)) => {
                    record.remove(key).unwrap_or_else(|| Value::Object(Map::new()))
                }
                (_, record) => record,
            },
            Form::Exploded(exploded) => self.with_element(&exploded.path),
            Form::Columns(delimiter) => {
                let fields = csv::Fields::new(self.line, *delimiter).flatten();
                let mut data = Map::new();
                for (name, (_, text)) in self.header.iter().zip(fields) {
                    data.entry(name.as_str()).or_insert_with(|| text.into());
                }
                data.into()
            }
            Form::Groups(pattern, _) => {
                let groups = pattern.captures(self.line);
                let groups = groups.iter().flat_map(|groups| {
                    let names = pattern.capture_names().flatten();
                    names.filter_map(|name| Some((name, groups.name(name)?.as_str())))
                });
                groups.map(|(name, text)| (name.to_owned(), Value::from(text))).collect()
            }
        }
    }
}

impl Decoder {
    /// A decoder for a source; the conditions' paths say what else to look for.
    pub fn new(source: &Source, paths: &Paths) -> Self {
        Self { layout: Layout::new(source, paths) }
    }

    /// The part of a line that is the record, and how much stands before it; blank lines have none.
    pub fn trim<'l>(&self, line: &'l [u8]) -> (usize, &'l [u8]) {
        let trimmed = trimmed(line);
        if !self.layout.flat || trimmed.1.is_empty() {
            return trimmed;
        }
        // White space belongs to the text, but for the end of a last line.
        (0, line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// Whether a line stands for as many records as [`explode`](Self::explode) makes of it.
    pub fn explodes(&self) -> bool {
        matches!(self.layout.form, Form::Exploded(_))
    }

    /// Whether the lines were made of documents.
    pub fn reads_documents(&self) -> bool {
        matches!(self.layout.form, Form::Placed)
    }

    /// Reads a line as one record; `lines` then shows it to conditions.
    ///
    /// # Errors
    ///
    /// Why it is no record.
    pub fn decode<'a>(
        &'a self,
        line: &'a [u8],
        lines: &mut Lines<'a>,
    ) -> Result<Decoded<'a>, Unreadable> {
        self.decode_text(text(line)?, lines)
    }

    /// [`decode`](Self::decode) for what is known to be UTF-8.
    ///
    /// # Errors
    ///
    /// Why it is no record.
    #[inline(always)]
    pub fn decode_text<'a>(
        &'a self,
        line: &'a str,
        lines: &mut Lines<'a>,
    ) -> Result<Decoded<'a>, Unreadable> {
        let layout = &self.layout;
        lines.layout = Some(layout);
        if layout.flat {
            self.capture_flat(line, lines)?;
        } else {
            lines.capture(line, layout).map_err(|error| syntax(line, &error))?;
        }
        self.whole(line, lines)
    }

    /// Begins with a text, of which [`known_line`](Self::known_line) then reads lines; whether it can.
    pub fn look_at<'a>(&'a self, text: &'a str, lines: &mut Lines<'a>) -> bool {
        let Layout { nodes, form, .. } = &self.layout;
        let shapes = lines.shapes.as_mut().filter(|_| matches!(form, Form::Json));
        lines.layout = Some(&self.layout);
        shapes.map(|shapes| shapes.look_at(text, nodes)).is_some()
    }

    /// The line that begins here in the text, if it looks like one before: where it begins and ends
    /// without white space, and its newline or the end of the text. [`whole`](Self::whole) makes a
    /// record of it.
    #[inline(always)]
    pub fn known_line<'a>(
        &'a self,
        text: &'a str,
        mut start: usize,
        lines: &mut Lines<'a>,
    ) -> Option<KnownLine<'a>> {
        let Layout { nodes, captures, .. } = &self.layout;
        let after_space = |mut at: usize| {
            while let Some(b' ' | b'\t' | b'\r') = text.as_bytes().get(at) {
                at += 1;
            }
            at
        };
        start = after_space(start);
        let shapes = lines.shapes.as_mut()?;
        let end = shapes.read(text, start, nodes, *captures, &mut lines.captured)?;
        let newline = after_space(end);
        if text.as_bytes().get(newline).is_some_and(|byte| *byte != b'\n') {
            return None;
        }
        Some(KnownLine { start, newline, line: text.get(start..end)? })
    }

    /// Reads a line of the text that does not look like one before.
    ///
    /// # Errors
    ///
    /// Why it is no record.
    pub fn unknown_line<'a>(
        &'a self,
        line: &'a str,
        lines: &mut Lines<'a>,
    ) -> Result<Decoded<'a>, Unreadable> {
        lines.capture_unknown(line, &self.layout).map_err(|error| syntax(line, &error))?;
        self.whole(line, lines)
    }

    /// Makes a record of a line that has been captured.
    ///
    /// # Errors
    ///
    /// Why it is no record.
    #[inline(always)]
    pub fn whole<'a>(
        &'a self,
        line: &'a str,
        lines: &mut Lines<'a>,
    ) -> Result<Decoded<'a>, Unreadable> {
        lines.line = line;
        self.record(line, (0, line.len()), lines, |arrival, id| {
            let from = self.layout.arrival.as_ref();
            let arrival = from.and_then(|from| written::scalar(line, &from.path, arrival?));
            identify(line, arrival, id)
        })
    }

    #[inline(never)]
    fn capture_flat<'a>(&'a self, line: &'a str, lines: &mut Lines<'a>) -> Result<(), Unreadable> {
        lines.captured.clear(self.layout.captures);
        match &self.layout.form {
            Form::Columns(delimiter) => lines.capture_columns(line, *delimiter),
            Form::Groups(pattern, captures) => lines.capture_groups(line, pattern, captures),
            Form::Json | Form::Placed | Form::Exploded(_) => unreachable!("JSON has depth"),
        }
    }

    /// Makes a record of what was captured of a line, or of a part of it.
    #[inline(always)]
    fn record<'a>(
        &'a self,
        line: &'a str,
        part: (usize, usize),
        lines: &mut Lines<'a>,
        identify: impl FnOnce(Option<&Scalar<'a>>, Option<&str>) -> (Id, u64),
    ) -> Result<Decoded<'a>, Unreadable> {
        let layout = &self.layout;
        let values = &lines.captured.values;

        let reader = Reader { line, part, values, strict: layout.strict, flat: layout.flat };
        let id = layout.id.as_ref().map(|from| reader.text(from)).transpose()?.flatten();
        if layout.strict && id.is_none() {
            return Err(reader.missing("id"));
        }
        let source = reader.required(&layout.source)?;
        if !reader.has_plain_text(&layout.type_) {
            reader.required(&layout.type_)?;
        }
        let event_time_ns = reader.required_time(&layout.time)?;
        let arrival_ns = match &layout.arrival {
            Some(from) => reader.time(from)?,
            None => None,
        };
        let subject = reader.lenient(&layout.subject).filter(|subject| !subject.is_empty());
        let sequence = match &layout.sequence {
            Some(from) => reader.sequence(from),
            None => Sequence::Absent,
        };
        let arrival = layout.arrival.as_ref().map(|from| &values[from.capture]);
        let (identity, content) = identify(arrival, id.as_deref());

        lines.fills = &layout.slots;
        if lines.made.len() != layout.slots.len() {
            lines.made.resize_with(layout.slots.len(), Scalar::default);
        }
        for (slot, made) in &layout.made {
            if let Fill::Text(capture, _) = layout.slots[*slot]
                && matches!(values[capture], Scalar::Str(_))
            {
                continue;
            }
            lines.made[*slot] = match made {
                Made::Data(capture) => match &values[*capture] {
                    Scalar::Missing => Scalar::Composite,
                    data => data.clone(),
                },
                Made::Id => Scalar::Str(id.clone().unwrap_or_else(|| hexadecimal(&identity))),
                Made::Source => Scalar::Str(source.clone()),
                Made::Type => reader.lenient(&layout.type_).map_or(Scalar::Missing, Scalar::Str),
                Made::Subject => subject.clone().map_or(Scalar::Missing, Scalar::Str),
                Made::Sequence => match &layout.sequence {
                    Some(From::Capture(..)) if sequence == Sequence::Absent && layout.flat => {
                        Scalar::Missing
                    }
                    Some(From::Capture(capture, _)) => as_text(&values[*capture]),
                    _ => Scalar::Missing,
                },
                Made::Missing => Scalar::Missing,
            };
        }
        let id = identity;
        Ok(Decoded { event_time_ns, arrival_ns, subject, source, sequence, id, content })
    }
}

/// An identity as the string it is to conditions.
fn hexadecimal(id: &Id) -> Cow<'static, str> {
    Cow::Owned(match id {
        Id::Text(id) => id.to_string(),
        Id::Content(hash) => format!("{hash:016x}"),
    })
}

/// A sequence as the string it is to conditions.
fn as_text<'a>(value: &Scalar<'a>) -> Scalar<'a> {
    match value {
        Scalar::Int(number) => Scalar::Str(Cow::Owned(number.to_string())),
        Scalar::UInt(number) => Scalar::Str(Cow::Owned(number.to_string())),
        Scalar::Str(_) => value.clone(),
        _ => Scalar::Missing,
    }
}

/// A line as text.
///
/// # Errors
///
/// Where it is none.
pub fn text(line: &[u8]) -> Result<&str, Unreadable> {
    simdutf8::basic::from_utf8(line).map_err(|_| not_utf8(line))
}

/// A line without the white space of JSON around it, and how much stood before. Other white space
/// makes a line that is no record.
pub(crate) fn trimmed(line: &[u8]) -> (usize, &[u8]) {
    let is_white = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let Some(start) = line.iter().position(|byte| !is_white(byte)) else {
        return (line.len(), &[]);
    };
    let end = line.iter().rposition(|byte| !is_white(byte)).map_or(start, |last| last + 1);
    (start, &line[start..end])
}

#[cold]
fn not_utf8(line: &[u8]) -> Unreadable {
    let valid_up_to = std::str::from_utf8(line).map_or_else(|e| e.valid_up_to(), str::len);
    Unreadable { column: valid_up_to + 1, reason: "not valid UTF-8".to_owned() }
}

#[cold]
fn syntax(line: &str, error: &serde_json::Error) -> Unreadable {
    let reason = error.to_string();
    let reason = reason.split(" at line ").next().unwrap_or_default();
    if error.column() <= 1 && line.starts_with('\u{feff}') {
        let reason = "a byte order mark, which stands at the beginning of a log alone".to_owned();
        return Unreadable { column: 1, reason };
    }
    Unreadable { column: error.column().max(1), reason: reason.to_owned() }
}

/// Identity and content. Both are of the whole line but the value of its arrival: a record that is
/// delivered again is the same. Where the producer has given an identity, the content only serves
/// to find conflicts; where not, to tell records of one source, time and subject apart. For either
/// 64 bits are enough.
#[inline(always)]
fn identify(line: &str, arrival: Option<&str>, id: Option<&str>) -> (Id, u64) {
    let content = content(line, arrival);
    (id.map_or(Id::Content(content), |id| Id::Text(SmolStr::new(id))), content)
}

fn content(line: &str, arrival: Option<&str>) -> u64 {
    /// Odd: the product says as much as the factor.
    const HEAD: u64 = 0x9e37_79b9_7f4a_7c15;
    match arrival {
        Some(value) => {
            let (start, line) = (offset(line, value), line.as_bytes());
            let head = xxh3_64(&line[..start]).wrapping_mul(HEAD);
            head.wrapping_add(xxh3_64(&line[start + value.len()..]))
        }
        None => xxh3_64(line.as_bytes()),
    }
}

/// Where a part of a line begins in it.
fn offset(line: &str, part: &str) -> usize {
    (part.as_ptr() as usize).wrapping_sub(line.as_ptr() as usize)
}
