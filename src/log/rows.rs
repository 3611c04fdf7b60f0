//! Rows as a decoder gives records, and as conditions see them.
//!
//! Guarantee: a row is to whoever looks at it what the record was that it was made of. Only the
//! columns that the rules ask for are read; the others when somebody asks for all of `data`, or for
//! the line. State: a group of rows.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::sync::OnceLock;

use arrow_array::{RecordBatch, UInt64Array};
use serde_json::{Map, Value};
use smol_str::SmolStr;

use super::codes::Codes;
use super::form;
use super::schema::{At, Column, Kind, Layout, Same, Unit, names};
use super::segment::Group;
use super::values::{Text, Times, Values, number, numbers};
use crate::model::time::format_rfc3339;
use crate::model::{Id, Scalar, Sequence};
use crate::rules::{Attribute, Paths, RecordView};
use crate::sources::InputError;
use crate::sources::decode::{Decoded, value};

/// Some rows, read for the conditions of a rule file.
pub(crate) struct Rows {
    pub(super) group: Group,
    len: usize,
    pub(super) attributes: Attributes,
    /// By slot.
    fills: Vec<Fill>,
    /// Of what stands in the slots, if that is little.
    codes: Option<Codes>,
    rest: Text,
    whole: OnceLock<Result<Whole, InputError>>,
}

/// The columns that stand for themselves.
pub(super) struct Attributes {
    pub(super) line: UInt64Array,
    pub(super) element: Option<UInt64Array>,
    pub(super) time: Option<Times>,
    pub(super) arrival: Option<Times>,
    pub(super) source: Text,
    pub(super) type_: Text,
    pub(super) subject: Text,
    pub(super) sequence: Option<UInt64Array>,
    pub(super) sequence_text: Text,
    pub(super) sequence_shown: bool,
    pub(super) id: Text,
    pub(super) hash: Option<UInt64Array>,
    pub(super) content: Option<UInt64Array>,
    pub(super) column: Option<UInt64Array>,
    pub(super) reason: Text,
    pub(super) record: Text,
    pub(super) mark: Text,
}

/// What fills a slot of the conditions.
enum Fill {
    Id,
    Source,
    Type,
    Subject,
    Sequence,
    Missing,
    /// The record itself.
    Composite,
    Value {
        path: Vec<SmolStr>,
        columns: Vec<Found>,
        /// Columns of what is in it, if it is an object.
        beneath: Vec<Found>,
        /// What it is if there is nothing.
        absent: Scalar<'static>,
    },
}

/// Where a value is found.
pub(super) enum Found {
    Column(Values),
    Same(Same, Kind),
}

/// All columns of the records.
pub(super) struct Whole {
    pub(super) columns: Vec<Found>,
    pub(super) rest: Text,
    pub(super) form: Text,
}

/// A row as conditions see it.
pub struct Row<'r> {
    rows: &'r Rows,
    row: usize,
    slots: Vec<Scalar<'r>>,
    /// Whether somebody asked for more than the slots.
    asked_for_all: Cell<bool>,
}

/// A dead letter: its column, the reason, and the beginning of the record.
pub(crate) type Dead<'r> = (u64, &'r str, &'r str);

impl Rows {
    /// Reads the rows of a group, for these paths.
    pub(crate) fn read(group: Group, paths: &Paths) -> Result<Self, InputError> {
        let layout = &group.segment.layout;
        let plan = plan(layout, paths);
        let batch = group.read(|name| is_read(name, &plan))?;
        let fills = plan.iter().map(|wanted| wanted.fill(&batch)).collect::<Result<Vec<_>, _>>();
        let rows = fills.and_then(|fills| {
            Ok((Attributes::new(&batch, layout)?, fills, Text::of(&batch, names::REST)?))
        });
        let (attributes, fills, rest) = rows.map_err(|detail| group.unreadable(&detail))?;
        let len = batch.num_rows();
        let codes = codes(&attributes, &fills);
        Ok(Self { group, len, attributes, fills, codes, rest, whole: OnceLock::new() })
    }

    /// How many [codes](Self::code) there may be.
    pub(crate) fn codes(&self) -> usize {
        self.codes.as_ref().map_or(0, Codes::len)
    }

    /// Equal for rows whose slots are all equal, where that is seen at once.
    #[inline]
    pub(crate) fn code(&self, row: usize) -> Option<usize> {
        let (code, is_full) = self.codes.as_ref()?.of(row);
        (is_full || self.rest.get(row).is_none()).then_some(code)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many rows of the partition come before these.
    pub(crate) fn first(&self) -> u64 {
        self.group.first
    }

    /// The line that a row was made of.
    pub(crate) fn line(&self, row: usize) -> u64 {
        self.attributes.line.value(row)
    }

    /// Which element of its line's array a row was made of, from 1, if of one.
    #[inline]
    pub(crate) fn element(&self, row: usize) -> Option<u32> {
        number(&self.attributes.element, row).and_then(|number| u32::try_from(number).ok())
    }

    /// What a row is if it is no record.
    #[inline]
    pub(crate) fn dead_letter(&self, row: usize) -> Option<Dead<'_>> {
        let Attributes { column, reason, record, .. } = &self.attributes;
        let reason = reason.get(row)?;
        Some((number(column, row).unwrap_or(1), reason, record.get(row).unwrap_or_default()))
    }

    /// Whether some rows are marks.
    pub(crate) fn have_marks(&self) -> bool {
        self.attributes.mark.is_there()
    }

    /// What a row says if it is a mark: that nothing arrives before this instant any more.
    pub(crate) fn mark(&self, row: usize) -> Option<(&str, i64)> {
        let Attributes { mark, arrival, .. } = &self.attributes;
        let until_ns = arrival.as_ref().and_then(|times| times.get(row));
        Some((mark.get(row)?, until_ns.unwrap_or(i64::MIN)))
    }

    /// The record of a row.
    #[inline]
    pub(crate) fn record(&self, row: usize) -> Decoded<'_> {
        let Attributes { time, arrival, source, subject, id, content, .. } = &self.attributes;
        let time_ns = |times: &Option<Times>| times.as_ref().and_then(|times| times.get(row));
        let content = number(content, row);
        let (id, content) = match id.get(row) {
            Some(id) => (Id::Text(SmolStr::new(id)), content.unwrap_or_default()),
            None => {
                let hash = self.attributes.hash(row);
                (Id::Content(hash), content.unwrap_or(hash))
            }
        };
        Decoded {
            event_time_ns: time_ns(time).unwrap_or_default(),
            arrival_ns: time_ns(arrival),
            subject: subject.get(row).map(Cow::Borrowed),
            source: Cow::Borrowed(source.get(row).unwrap_or_default()),
            sequence: self.attributes.sequence(row),
            id,
            content,
        }
    }

    /// To look at rows one by one.
    pub(crate) fn view(&self) -> Row<'_> {
        let slots = vec![Scalar::Missing; self.fills.len()];
        Row { rows: self, row: 0, slots, asked_for_all: Cell::new(false) }
    }

    /// The beginning of the line that a row was made of.
    pub(crate) fn text(&self, row: usize) -> Option<String> {
        let whole = self.whole()?;
        let json = self.group.segment.layout.json;
        form::fill(whole.form.get(row)?, |column| {
            let text = self.found(whole.columns.get(column)?, row).text()?;
            Some(form::written(text, json))
        })
    }

    /// Reads all columns, those too that no condition asks for.
    pub(super) fn check(&self) -> Result<(), InputError> {
        self.whole();
        self.failure().map_or(Ok(()), Err)
    }

    /// Why some of the rows could not be shown, if so.
    pub(crate) fn failure(&self) -> Option<InputError> {
        self.whole.get()?.as_ref().err().cloned()
    }

    /// All columns; none where they cannot be read.
    pub(super) fn whole(&self) -> Option<&Whole> {
        let read = || {
            let layout = &self.group.segment.layout;
            let batch = self.group.read(|_| true)?;
            let columns = layout.columns.iter().map(|column| Found::new(&batch, column));
            let whole = columns.collect::<Result<Vec<_>, _>>().and_then(|columns| {
                let (rest, form) = (Text::of(&batch, names::REST)?, Text::of(&batch, names::FORM)?);
                Ok(Whole { columns, rest, form })
            });
            whole.map_err(|detail| self.group.unreadable(&detail))
        };
        self.whole.get_or_init(read).as_ref().ok()
    }

    /// The whole of a record.
    fn object(&self, row: usize) -> Value {
        let empty = || Value::Object(Map::new());
        let Some(whole) = self.whole() else { return empty() };
        let mut record = whole.rest.get(row).map_or_else(empty, value);
        let columns = &self.group.segment.layout.columns;
        for (Column { path, .. }, found) in columns.iter().zip(&whole.columns) {
            let value = match self.found(found, row) {
                Scalar::Missing => continue,
                Scalar::Bool(value) => value.into(),
                Scalar::Int(number) => number.into(),
                Scalar::Float(number) => number.into(),
                Scalar::Str(text) => Value::from(text.into_owned()),
                Scalar::Null | Scalar::UInt(_) | Scalar::Composite => continue,
            };
            let mut at = &mut record;
            for key in path {
                if !at.is_object() {
                    *at = empty();
                }
                at = &mut at[key.as_str()];
            }
            *at = value;
        }
        record
    }

    /// A value of a row.
    #[inline]
    pub(super) fn found<'r>(&'r self, found: &'r Found, row: usize) -> Scalar<'r> {
        match found {
            Found::Column(values) => values.get(row),
            Found::Same(same, kind) => self.attributes.same(*same, *kind, row).unwrap_or_default(),
        }
    }

    fn fill<'r>(
        &'r self,
        fill: &'r Fill,
        row: usize,
        rest: &OnceCell<Option<Value>>,
    ) -> Scalar<'r> {
        let text = |text: Option<&'r str>| {
            text.map_or(Scalar::Missing, |text| Scalar::Str(Cow::Borrowed(text)))
        };
        let attributes = &self.attributes;
        match fill {
            Fill::Id => match attributes.id.get(row) {
                Some(id) => Scalar::Str(Cow::Borrowed(id)),
                None => Scalar::Str(Cow::Owned(format!("{:016x}", attributes.hash(row)))),
            },
            Fill::Source => text(attributes.source.get(row)),
            Fill::Type => text(attributes.type_.get(row)),
            Fill::Subject => text(attributes.subject.get(row)),
            Fill::Sequence => attributes.shown(row),
            Fill::Missing => Scalar::Missing,
            Fill::Composite => Scalar::Composite,
            Fill::Value { path, columns, beneath, absent } => {
                let is_there = |found: &&Found| self.found(found, row) != Scalar::Missing;
                for found in columns {
                    match self.found(found, row) {
                        Scalar::Missing => {}
                        value => return value,
                    }
                }
                if beneath.iter().any(|found| is_there(&found)) {
                    return Scalar::Composite;
                }
                let rest = rest.get_or_init(|| self.rest.get(row).map(value));
                let found = rest.as_ref().and_then(|rest| {
                    path.iter().try_fold(rest, |at, key| at.as_object()?.get(key.as_str()))
                });
                found.map_or_else(|| absent.clone(), scalar)
            }
        }
    }
}

/// The codes of what fills the slots, if there are not too many.
fn codes(attributes: &Attributes, fills: &[Fill]) -> Option<Codes> {
    let Attributes { source, type_, subject, .. } = attributes;
    fills.iter().try_fold(Codes::new(), |codes, fill| match fill {
        Fill::Missing | Fill::Composite => Some(codes),
        Fill::Source => codes.with_texts(source, false),
        Fill::Type => codes.with_texts(type_, false),
        Fill::Subject => codes.with_texts(subject, false),
        Fill::Id | Fill::Sequence => None,
        // What is in no column at all may be anything.
        Fill::Value { columns, .. } if columns.is_empty() => None,
        Fill::Value { columns, beneath, .. } => {
            columns.iter().chain(beneath).try_fold(codes, |codes, found| match found {
                Found::Column(values) => codes.with_values(values),
                Found::Same(Same::Source, _) => codes.with_texts(source, true),
                Found::Same(Same::Type, _) => codes.with_texts(type_, true),
                Found::Same(Same::Subject, _) => codes.with_texts(subject, true),
                Found::Same(..) => None,
            })
        }
    })
}

/// A value of the rest, as a walk over the line would have captured it.
fn scalar(value: &Value) -> Scalar<'static> {
    match value {
        Value::Null => Scalar::Null,
        Value::Bool(value) => Scalar::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Scalar::Int(number),
            (None, Some(number)) => Scalar::UInt(number),
            (None, None) => number.as_f64().map_or(Scalar::Missing, Scalar::Float),
        },
        Value::String(text) => Scalar::Str(Cow::Owned(text.clone())),
        Value::Array(_) | Value::Object(_) => Scalar::Composite,
    }
}

impl Found {
    fn new(batch: &RecordBatch, column: &Column) -> Result<Self, String> {
        Ok(match &column.at {
            At::Column(name) => Self::Column(Values::of(batch, name, column.kind)?),
            At::SameAs(same) => Self::Same(*same, column.kind),
        })
    }
}

/// What is wanted of a segment for a slot: the attribute itself, or the columns with its value.
enum Wanted<'l> {
    Attribute(&'l Attribute),
    Value { path: Vec<SmolStr>, absent: Scalar<'static>, columns: Vec<&'l Column> },
}

/// What is wanted for the conditions.
fn plan<'l>(layout: &'l Layout, paths: &'l Paths) -> Vec<Wanted<'l>> {
    let value = |path: Vec<SmolStr>, absent: Scalar<'static>| {
        let columns = layout.columns.iter().filter(|column| column.path.starts_with(&path));
        Wanted::Value { columns: columns.collect(), path, absent }
    };
    let wanted = |attribute: &'l Attribute| match (attribute, &layout.data) {
        (Attribute::Data(keys), Some(data)) => {
            let absent = if keys.is_empty() { Scalar::Composite } else { Scalar::Missing };
            let root = std::iter::once(data);
            value(root.chain(keys).cloned().collect(), absent)
        }
        (Attribute::Data(keys), None) if !keys.is_empty() => value(keys.clone(), Scalar::Missing),
        (Attribute::Severity | Attribute::Traceparent, Some(_)) => {
            value(vec![SmolStr::from(attribute.to_string())], Scalar::Missing)
        }
        _ => Wanted::Attribute(attribute),
    };
    paths.as_slice().iter().map(wanted).collect()
}

impl Wanted<'_> {
    fn fill(&self, batch: &RecordBatch) -> Result<Fill, String> {
        Ok(match self {
            Self::Attribute(Attribute::Id) => Fill::Id,
            Self::Attribute(Attribute::Source) => Fill::Source,
            Self::Attribute(Attribute::Type) => Fill::Type,
            Self::Attribute(Attribute::Subject) => Fill::Subject,
            Self::Attribute(Attribute::Sequence) => Fill::Sequence,
            Self::Attribute(Attribute::Data(_)) => Fill::Composite,
            // Labels are no part of the record, and only CloudEvents have the others.
            Self::Attribute(Attribute::Label(_) | Attribute::Severity | Attribute::Traceparent) => {
                Fill::Missing
            }
            Self::Value { path, absent, columns } => {
                let found = |beneath: bool| {
                    let columns = columns.iter().filter(|column| (column.path != *path) == beneath);
                    columns.map(|column| Found::new(batch, column)).collect::<Result<Vec<_>, _>>()
                };
                let (columns, beneath) = (found(false)?, found(true)?);
                Fill::Value { path: path.clone(), columns, beneath, absent: absent.clone() }
            }
        })
    }
}

/// Whether a column is read for the conditions, or always.
fn is_read(name: &str, plan: &[Wanted<'_>]) -> bool {
    match name {
        names::FORM => false,
        names::REST => plan.iter().any(|wanted| matches!(wanted, Wanted::Value { .. })),
        names::LINE
        | names::ELEMENT
        | names::TIME
        | names::ARRIVAL
        | names::SOURCE
        | names::TYPE
        | names::SUBJECT
        | names::SEQUENCE
        | names::SEQUENCE_TEXT
        | names::ID
        | names::HASH
        | names::CONTENT
        | names::COLUMN
        | names::REASON
        | names::RECORD
        | names::MARK => true,
        _ => plan.iter().any(|wanted| match wanted {
            Wanted::Value { columns, .. } => {
                columns.iter().any(|column| matches!(&column.at, At::Column(at) if at == name))
            }
            Wanted::Attribute(_) => false,
        }),
    }
}

impl Row<'_> {
    /// Looks at a row.
    #[inline]
    pub(crate) fn at(&mut self, row: usize) {
        self.row = row;
        self.asked_for_all.set(false);
        let rest = OnceCell::new();
        for (slot, fill) in self.slots.iter_mut().zip(&self.rows.fills) {
            *slot = self.rows.fill(fill, row, &rest);
        }
    }

    /// Whether all that is known of it comes from its slots.
    pub(crate) fn was_judged_by_slots(&self) -> bool {
        !self.asked_for_all.get()
    }
}

impl RecordView for Row<'_> {
    #[inline]
    fn slot(&self, slot: usize) -> &Scalar<'_> {
        &self.slots[slot]
    }

    fn data(&self) -> Value {
        self.asked_for_all.set(true);
        let empty = || Value::Object(Map::new());
        match (&self.rows.group.segment.layout.data, self.rows.object(self.row)) {
            (Some(key), Value::Object(mut record)) => {
                record.remove(key.as_str()).unwrap_or_else(empty)
            }
            (_, record) => record,
        }
    }
}

impl Attributes {
    fn new(batch: &RecordBatch, layout: &Layout) -> Result<Self, String> {
        let line = numbers(batch, names::LINE)?.ok_or("it says no lines")?;
        let new = Self {
            line,
            element: numbers(batch, names::ELEMENT)?,
            time: Times::of(batch, names::TIME)?,
            arrival: Times::of(batch, names::ARRIVAL)?,
            source: Text::of(batch, names::SOURCE)?,
            type_: Text::of(batch, names::TYPE)?,
            subject: Text::of(batch, names::SUBJECT)?,
            sequence: numbers(batch, names::SEQUENCE)?,
            sequence_text: Text::of(batch, names::SEQUENCE_TEXT)?,
            sequence_shown: layout.sequence_shown,
            id: Text::of(batch, names::ID)?,
            hash: numbers(batch, names::HASH)?,
            content: numbers(batch, names::CONTENT)?,
            column: numbers(batch, names::COLUMN)?,
            reason: Text::of(batch, names::REASON)?,
            record: Text::of(batch, names::RECORD)?,
            mark: Text::of(batch, names::MARK)?,
        };
        let is_all_records = new.time.as_ref().is_some_and(Times::is_full)
            && !new.reason.is_there()
            && !new.mark.is_there();
        if is_all_records {
            return Ok(new);
        }
        let is_something = |row: usize| {
            let dated = new.time.as_ref().is_some_and(|times| times.get(row).is_some());
            let (dead, mark) = (new.reason.get(row).is_some(), new.mark.get(row).is_some());
            [dated, dead, mark].into_iter().filter(|is| *is).count() == 1
        };
        match (0..batch.num_rows()).find(|row| !is_something(*row)) {
            Some(row) => {
                Err(format!("its row {row} is neither a record nor a dead letter nor a mark"))
            }
            None => Ok(new),
        }
    }

    #[inline]
    fn hash(&self, row: usize) -> u64 {
        number(&self.hash, row).unwrap_or_default()
    }

    #[inline]
    fn sequence(&self, row: usize) -> Sequence {
        match (number(&self.sequence, row), self.sequence_text.get(row)) {
            (Some(number), None) => Sequence::Number(number),
            (None, Some(text)) => Sequence::parse(text),
            (None, None) | (Some(_), Some(_)) => Sequence::Absent,
        }
    }

    /// The sequence of a row as conditions see it.
    fn shown(&self, row: usize) -> Scalar<'_> {
        match (number(&self.sequence, row), self.sequence_text.get(row)) {
            _ if !self.sequence_shown => Scalar::Missing,
            (_, Some(text)) => borrowed(text),
            (Some(number), None) => Scalar::Str(Cow::Owned(number.to_string())),
            (None, None) => Scalar::Missing,
        }
    }

    /// What an attribute of a row is as a value of the record.
    fn same(&self, same: Same, kind: Kind, row: usize) -> Option<Scalar<'_>> {
        let time = |times: &Option<Times>, unit: Unit| {
            let time_ns = times.as_ref()?.get(row)?;
            Some(match unit.nanos() {
                Some(ns) => Scalar::Int(time_ns / ns),
                None => Scalar::Str(Cow::Owned(format_rfc3339(time_ns))),
            })
        };
        match same {
            Same::Subject => self.subject.get(row).map(borrowed),
            Same::Source => self.source.get(row).map(borrowed),
            Same::Type => self.type_.get(row).map(borrowed),
            Same::Id => self.id.get(row).map(borrowed),
            Same::Sequence => match (self.sequence_text.get(row), kind) {
                (Some(text), _) => Some(borrowed(text)),
                (None, Kind::Int) => {
                    let number = number(&self.sequence, row)?;
                    i64::try_from(number).ok().map(Scalar::Int)
                }
                (None, _) => {
                    let number = number(&self.sequence, row)?;
                    Some(Scalar::Str(Cow::Owned(number.to_string())))
                }
            },
            Same::Time(unit) => time(&self.time, unit),
            Same::Arrival(unit) => time(&self.arrival, unit),
        }
    }
}

fn borrowed(text: &str) -> Scalar<'_> {
    Scalar::Str(Cow::Borrowed(text))
}
