//! Rows become a segment: collected by column, then laid out and written at once.
//!
//! Guarantee: the bytes of a segment depend on its rows alone. State: the rows of the segment that
//! is written, at most [`ROWS_MAX`] or about [`BYTES_MAX`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::columns::{Columns, GROUP_ROWS};
use super::form::{self, Forms};
use super::leaves::{Leaf, Tree, Value, put_together};
use super::manifest::Range;
use super::schema::{self, At, Column, Kind, Layout, Same, Unit, names};
use super::texts::Texts;
use crate::model::time::format_rfc3339;
use crate::model::{Id, Sequence};
use crate::sources::decode::Decoded;

/// A segment has no more rows.
pub(super) const ROWS_MAX: usize = 8 * GROUP_ROWS;
/// Nor does it take up more memory before it is written, but for its last row.
const BYTES_MAX: usize = 64 << 20;
/// A value is common if one row of so many has it ...
const COMMON_SHARE: usize = 64;
/// ... and there are not so many others.
const COLUMNS_MAX: usize = 256;

/// What is the same for all records of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Under which key of the record the conditions' `data` stands.
    pub(super) data: Option<SmolStr>,
    /// Whether conditions see the sequence.
    pub(super) sequence_shown: bool,
    /// Whether the lines are JSON.
    pub(super) json: bool,
}

/// Rows on their way into a segment.
pub(super) struct Builder {
    pub(super) shape: Shape,
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) dead_letters: u64,
    pub(super) marks: u64,
    pub(super) line: Vec<u64>,
    pub(super) element: Vec<Option<u64>>,
    pub(super) time: Vec<Option<i64>>,
    pub(super) arrival: Vec<Option<i64>>,
    pub(super) source: Texts,
    pub(super) type_: Texts,
    pub(super) subject: Texts,
    pub(super) sequence: Vec<Option<u64>>,
    pub(super) sequence_text: Texts,
    pub(super) id: Texts,
    pub(super) hash: Vec<Option<u64>>,
    pub(super) content: Vec<Option<u64>>,
    pub(super) column: Vec<Option<u64>>,
    pub(super) reason: Texts,
    pub(super) record: Texts,
    pub(super) mark: Texts,
    pub(super) form: Texts,
    pub(super) forms: Forms,
    pub(super) tree: Tree,
    /// By path.
    pub(super) values: Vec<Values>,
    /// The texts of floats and of what has no kind.
    pub(super) texts: String,
}

/// Where a row comes from.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) line: u64,
    /// Which element of its array, from 1, if it has one.
    pub(super) element: Option<u32>,
}

/// The form of a line of these rows.
#[derive(Clone, Copy)]
pub(super) struct LineForm {
    key: u32,
    /// How long the line is.
    bytes: usize,
}

/// A segment, before it is written.
pub(super) struct Built {
    pub(super) columns: Columns,
    pub(super) layout: Layout,
    records: u64,
    dead_letters: u64,
    marks: u64,
    arrival: Option<Range>,
    time: Option<Range>,
}

/// A segment, before it is in a file.
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    pub(super) records: u64,
    pub(super) dead_letters: u64,
    pub(super) marks: u64,
    pub(super) arrival: Option<Range>,
    pub(super) time: Option<Range>,
}

/// The values of a path, with their rows.
#[derive(Default)]
pub(super) struct Values {
    pub(super) rows: Vec<u32>,
    pub(super) values: Vec<Held>,
    /// Without keys: what the values refer to.
    pub(super) texts: Texts,
}

/// A column that the segment shall have, for values of a path.
struct Planned {
    path: usize,
    column: Column,
}

/// A value, with places in the texts.
#[derive(Clone, Copy)]
pub(super) enum Held {
    Bool(bool),
    Int(i64),
    /// Where the text is not known, it comes from a column, and goes into one.
    Float(f64, (usize, usize)),
    Text(u32),
    Raw((usize, usize)),
}

impl Held {
    /// Whether it stands nowhere but in a column.
    fn needs_column(&self) -> bool {
        matches!(self, Self::Float(_, (start, end)) if start == end)
    }

    pub(super) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Bool(_) => Some(Kind::Bool),
            Self::Int(_) => Some(Kind::Int),
            Self::Float(..) => Some(Kind::Float),
            Self::Text(_) => Some(Kind::Text),
            Self::Raw(_) => None,
        }
    }
}

impl Built {
    /// The segment as bytes of a file.
    pub(super) fn write(self) -> Written {
        let Self { columns, layout, records, dead_letters, marks, arrival, time } = self;
        let bytes = columns.write(&layout);
        Written { bytes, records, dead_letters, marks, arrival, time }
    }
}

impl Builder {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            forms: Forms::new(shape.json),
            shape,
            rows: 0,
            bytes: 0,
            dead_letters: 0,
            marks: 0,
            line: Vec::new(),
            element: Vec::new(),
            time: Vec::new(),
            arrival: Vec::new(),
            source: Texts::default(),
            type_: Texts::default(),
            subject: Texts::default(),
            sequence: Vec::new(),
            sequence_text: Texts::default(),
            id: Texts::default(),
            hash: Vec::new(),
            content: Vec::new(),
            column: Vec::new(),
            reason: Texts::default(),
            record: Texts::default(),
            mark: Texts::default(),
            form: Texts::default(),
            tree: Tree::new(),
            values: Vec::new(),
            texts: String::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows >= ROWS_MAX || self.bytes >= BYTES_MAX
    }

    /// The form of a line, for records of it.
    pub(super) fn form(&mut self, line: &str, leaves: &[Leaf<'_>]) -> LineForm {
        let key = self.form.number(self.forms.of(line, leaves));
        LineForm { key, bytes: line.len() }
    }

    /// Adds a record: where it comes from, its type, what conditions see of its sequence, the form
    /// of the line, and its leaves, whose paths are of the [`Tree`] of this builder.
    pub(super) fn push(
        &mut self,
        place: Place,
        record: &Decoded<'_>,
        type_: &str,
        shown: Option<&str>,
        form: LineForm,
        leaves: &[Leaf<'_>],
    ) {
        self.form.keys.push(Some(form.key));
        self.time.push(Some(record.event_time_ns));
        self.arrival.push(record.arrival_ns);
        self.source.push(Some(&record.source));
        self.type_.push(Some(type_));
        self.subject.push(record.subject.as_deref());
        let (number, written) = sequence(&record.sequence, shown);
        self.sequence.push(number);
        self.sequence_text.push(written.as_deref());
        match &record.id {
            Id::Text(id) => {
                self.id.push(Some(id));
                self.hash.push(None);
                self.content.push(Some(record.content));
            }
            Id::Content(hash) => {
                self.id.push(None);
                self.hash.push(Some(*hash));
                self.content.push((record.content != *hash).then_some(record.content));
            }
        }
        self.push_dead_letter(None);
        self.mark.push(None);
        for leaf in leaves {
            self.push_leaf(leaf);
        }
        self.end_row(place, form.bytes);
    }

    /// Adds a dead letter: its line, the column, the reason, and the beginning of the record.
    pub(super) fn bury(&mut self, place: Place, column: u64, reason: &str, record: &str) {
        self.push_nothing(None);
        self.push_dead_letter(Some((column, reason, record)));
        self.mark.push(None);
        self.dead_letters += 1;
        self.end_row(place, record.len());
    }

    /// Adds a mark: that time has passed until then.
    pub(super) fn mark(&mut self, place: Place, what: &str, until_ns: i64) {
        self.push_nothing(Some(until_ns));
        self.push_dead_letter(None);
        self.mark.push(Some(what));
        self.marks += 1;
        self.end_row(place, 0);
    }

    /// What all rows have that are no records.
    fn push_nothing(&mut self, arrival_ns: Option<i64>) {
        self.time.push(None);
        self.arrival.push(arrival_ns);
        self.sequence.push(None);
        self.hash.push(None);
        self.content.push(None);
        for texts in [
            &mut self.source,
            &mut self.type_,
            &mut self.subject,
            &mut self.sequence_text,
            &mut self.id,
            &mut self.form,
        ] {
            texts.push(None);
        }
    }

    fn push_dead_letter(&mut self, dead: Option<(u64, &str, &str)>) {
        self.column.push(dead.map(|(column, ..)| column));
        self.reason.push(dead.map(|(_, reason, _)| reason));
        self.record.push(dead.map(|(.., record)| record));
    }

    pub(super) fn end_row(&mut self, place: Place, bytes: usize) {
        /// About what the vectors of a row take.
        const ROW_BYTES: usize = 200;
        self.line.push(place.line);
        self.element.push(place.element.map(u64::from));
        self.rows += 1;
        self.bytes += ROW_BYTES + bytes;
    }

    pub(super) fn push_leaf(&mut self, leaf: &Leaf<'_>) {
        if self.values.len() <= leaf.path {
            self.values.resize_with(leaf.path + 1, Values::default);
        }
        let values = &mut self.values[leaf.path];
        let mut kept = |text: &str| {
            let start = self.texts.len();
            self.texts.push_str(text);
            (start, self.texts.len())
        };
        let held = match &leaf.value {
            Value::Bool(value) => Held::Bool(*value),
            Value::Int(number) => Held::Int(*number),
            Value::Float(number, text) => Held::Float(*number, kept(text)),
            Value::Str(text) => Held::Text(values.texts.number(text)),
            Value::Raw(text) => Held::Raw(kept(text)),
        };
        values.rows.push(self.rows as u32);
        values.values.push(held);
    }

    /// Makes a segment of the rows.
    pub(super) fn finish(self) -> Built {
        let planned = self.plan();
        let numbers: BTreeMap<(usize, Kind), usize> =
            (0..).zip(&planned).map(|(n, plan)| ((plan.path, plan.column.kind), n)).collect();
        let mut columns = Columns::default();
        columns.numbers(names::LINE, self.line.iter().copied().map(Some));
        columns.numbers(names::ELEMENT, self.element.iter().copied());
        columns.times(names::TIME, &self.time);
        columns.times(names::ARRIVAL, &self.arrival);
        columns.texts(names::SOURCE, &self.source);
        columns.texts(names::TYPE, &self.type_);
        columns.texts(names::SUBJECT, &self.subject);
        columns.numbers(names::SEQUENCE, self.sequence.iter().copied());
        columns.texts(names::SEQUENCE_TEXT, &self.sequence_text);
        columns.texts(names::ID, &self.id);
        columns.hashes(names::HASH, &self.hash);
        columns.numbers(names::CONTENT, self.content.iter().copied());
        columns.numbers(names::COLUMN, self.column.iter().copied());
        columns.texts(names::REASON, &self.reason);
        columns.texts(names::RECORD, &self.record);
        columns.texts(names::MARK, &self.mark);
        for Planned { path, column } in &planned {
            if let At::Column(name) = &column.at {
                columns.values(name, column.kind, &self.values[*path], self.rows);
            }
        }
        columns.texts(names::REST, &self.rest(&numbers));
        columns.texts(names::FORM, &self.located_forms(&numbers));
        let arrivals = self.time.iter().zip(&self.arrival).map(|(time, said)| said.or(*time));
        let arrivals: Vec<Option<i64>> = arrivals.collect();
        let range = |times: &[Option<i64>]| times.iter().flatten().copied().fold(None, Range::with);
        let layout = Layout {
            data: self.shape.data.clone(),
            sequence_shown: self.shape.sequence_shown,
            json: self.shape.json,
            columns: planned.into_iter().map(|plan| plan.column).collect(),
            groups: arrivals.chunks(GROUP_ROWS).map(range).collect(),
        };
        Built {
            columns,
            layout,
            records: self.rows as u64,
            dead_letters: self.dead_letters,
            marks: self.marks,
            arrival: range(&arrivals),
            time: range(&self.time),
        }
    }

    /// The columns for what is common, by path; of one path the most common kind first.
    fn plan(&self) -> Vec<Planned> {
        let mut common: Vec<(usize, Vec<SmolStr>, usize, Kind)> = Vec::new();
        for (path, values) in self.values.iter().enumerate() {
            let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
            for held in &values.values {
                let Some(kind) = held.kind() else { continue };
                let count = counts.entry(kind).or_default();
                *count = if held.needs_column() { usize::MAX } else { count.saturating_add(1) };
            }
            let is_common = |n: usize| n.saturating_mul(COMMON_SHARE) >= self.rows;
            let counts = counts.into_iter().filter(|(_, n)| is_common(*n));
            common.extend(counts.map(|(kind, n)| (n, self.tree.keys(path), path, kind)));
        }
        common.sort_by(|one, other| (other.0, &one.1, one.3).cmp(&(one.0, &other.1, other.3)));
        common.truncate(COLUMNS_MAX);
        common.sort_by(|one, other| (&one.1, other.0, one.3).cmp(&(&other.1, one.0, other.3)));
        let mut planned: Vec<Planned> = Vec::new();
        let data = self.shape.data.as_deref();
        for (_, keys, path, kind) in common {
            let further = planned.last().is_some_and(|before| before.path == path);
            let name = schema::column_name(&keys, further.then_some(kind), data);
            let at = self.same(path, kind).map_or(At::Column(name), At::SameAs);
            planned.push(Planned { path, column: Column { path: keys, kind, at } });
        }
        planned
    }

    /// The attribute that the values of a path are in every row, if there is one.
    fn same<'b>(&'b self, path: usize, kind: Kind) -> Option<Same> {
        let values = &self.values[path];
        let ints = |wanted: &dyn Fn(usize) -> Option<i64>| {
            let mut found = values.rows.iter().zip(&values.values).peekable();
            (0..self.rows).all(|row| match found.next_if(|(at, _)| **at as usize == row) {
                Some((_, Held::Int(number))) => wanted(row) == Some(*number),
                Some(_) => false,
                None => wanted(row).is_none(),
            })
        };
        let texts = |wanted: &dyn Fn(usize) -> Option<Cow<'b, str>>| {
            let mut found = values.rows.iter().zip(&values.values).peekable();
            (0..self.rows).all(|row| match found.next_if(|(at, _)| **at as usize == row) {
                Some((_, Held::Text(number))) => {
                    wanted(row).is_some_and(|text| text == values.texts.text(*number))
                }
                Some(_) => false,
                None => wanted(row).is_none(),
            })
        };
        let times = [(&self.time, Same::Time as fn(Unit) -> Same), (&self.arrival, Same::Arrival)];
        match kind {
            Kind::Int => {
                let sequence = |row: usize| match self.sequence_text.get(row) {
                    Some(_) => None,
                    None => self.sequence[row].and_then(|number| i64::try_from(number).ok()),
                };
                if ints(&sequence) {
                    return Some(Same::Sequence);
                }
                let units = Unit::NUMBERS.iter().filter_map(|unit| Some((*unit, unit.nanos()?)));
                let mut units = units.flat_map(|(unit, ns)| times.map(|time| (unit, ns, time)));
                units.find_map(|(unit, ns, (times, same))| {
                    let exact = |row: usize| times[row].filter(|time| time % ns == 0);
                    ints(&|row| exact(row).map(|time| time / ns)).then(|| same(unit))
                })
            }
            Kind::Text => {
                let attributes = [
                    (&self.subject, Same::Subject),
                    (&self.source, Same::Source),
                    (&self.type_, Same::Type),
                    (&self.id, Same::Id),
                ];
                let attribute = attributes.into_iter().find_map(|(attribute, same)| {
                    texts(&|row| attribute.get(row).map(Cow::Borrowed)).then_some(same)
                });
                let shown = |row: usize| match (self.sequence_text.get(row), self.sequence[row]) {
                    (None, number) => number.map(|number| Cow::Owned(number.to_string())),
                    (text, _) => text.map(Cow::Borrowed),
                };
                attribute.or_else(|| texts(&shown).then_some(Same::Sequence)).or_else(|| {
                    times.into_iter().find_map(|(times, same)| {
                        let written = |row: usize| times[row].map(format_rfc3339).map(Cow::Owned);
                        texts(&written).then(|| same(Unit::Rfc3339))
                    })
                })
            }
            Kind::Bool | Kind::Float => None,
        }
    }

    /// What of each row stands in no column.
    fn rest(&self, numbers: &BTreeMap<(usize, Kind), usize>) -> Texts {
        let mut left: Vec<(u32, Vec<SmolStr>, Cow<'_, str>)> = Vec::new();
        for (path, values) in self.values.iter().enumerate() {
            for (row, held) in values.rows.iter().zip(&values.values) {
                if held.kind().is_none_or(|kind| !numbers.contains_key(&(path, kind))) {
                    left.push((*row, self.tree.keys(path), self.json(held, values)));
                }
            }
        }
        left.sort();
        let mut left = left.into_iter().peekable();
        let mut rest = Texts::default();
        for row in 0..self.rows {
            let mut leaves = Vec::new();
            while let Some((_, keys, text)) = left.next_if(|(at, ..)| *at as usize == row) {
                leaves.push((keys, text));
            }
            rest.push((!leaves.is_empty()).then(|| put_together(&leaves)).as_deref());
        }
        rest
    }

    fn json<'b>(&'b self, held: &Held, values: &'b Values) -> Cow<'b, str> {
        match held {
            Held::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Held::Int(number) => Cow::Owned(number.to_string()),
            Held::Float(number, _) if held.needs_column() => Cow::Owned(number.to_string()),
            Held::Float(_, (start, end)) | Held::Raw((start, end)) => {
                Cow::Borrowed(&self.texts[*start..*end])
            }
            Held::Text(number) => {
                let text = values.texts.text(*number);
                Cow::Owned(serde_json::to_string(text).expect("a text encodes"))
            }
        }
    }

    /// The forms with numbers of columns in them; where a value has no column, with the value.
    fn located_forms(&self, numbers: &BTreeMap<(usize, Kind), usize>) -> Texts {
        // Of paths whose values are all in one column.
        let whole: BTreeMap<usize, usize> = self
            .values
            .iter()
            .enumerate()
            .filter_map(|(path, values)| {
                let kind = values.values.first()?.kind()?;
                let alike = values.values.iter().all(|held| held.kind() == Some(kind));
                Some((path, *numbers.get(&(path, kind))?)).filter(|_| alike)
            })
            .collect();
        let shared = |form: u32| {
            let column = |path: usize| whole.get(&path).copied().map(form::At::Column);
            form::resolved(self.form.text(form), column)
        };
        let shared: Vec<Option<String>> = (0..self.form.len() as u32).map(shared).collect();
        let mut located = Texts::default();
        for (row, key) in self.form.keys.iter().enumerate() {
            let form = key.map(|key| match &shared[key as usize] {
                Some(form) => Cow::Borrowed(form.as_str()),
                None => {
                    let form = self.form.text(key);
                    let form = form::resolved(form, |path| self.located(path, row, numbers));
                    Cow::Owned(form.expect("a form refers to values that are there"))
                }
            });
            located.push(form.as_deref());
        }
        located
    }

    /// Where the value of a path in a row is found.
    fn located(
        &self,
        path: usize,
        row: usize,
        numbers: &BTreeMap<(usize, Kind), usize>,
    ) -> Option<form::At<'_>> {
        let values = self.values.get(path)?;
        let held = &values.values[values.rows.binary_search(&(row as u32)).ok()?];
        if let Some(column) = numbers.get(&(path, held.kind()?)) {
            return Some(form::At::Column(*column));
        }
        Some(form::At::Text(match held {
            Held::Text(number) => {
                form::written(Cow::Borrowed(values.texts.text(*number)), self.shape.json)
            }
            other => self.json(other, values),
        }))
    }
}

/// A sequence as its two columns have it.
fn sequence<'t>(
    sequence: &'t Sequence,
    shown: Option<&'t str>,
) -> (Option<u64>, Option<Cow<'t, str>>) {
    match (sequence, shown) {
        (Sequence::Number(number), Some(shown)) if *shown != number.to_string() => {
            (None, Some(Cow::Borrowed(shown)))
        }
        (Sequence::Number(number), _) => (Some(*number), None),
        // What is shown and orders nothing: a number below zero.
        (Sequence::Absent, shown) => (shown.map(|_| 0), shown.map(Cow::Borrowed)),
        (Sequence::Large(_) | Sequence::Text(_), Some(shown)) => (None, Some(Cow::Borrowed(shown))),
        (Sequence::Large(digits), None) => (None, Some(Cow::Borrowed(digits.as_str()))),
        (Sequence::Text(text), None) => (None, Some(Cow::Borrowed(text))),
    }
}
