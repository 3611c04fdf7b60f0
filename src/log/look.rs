//! What a replay log holds, for people: its content, its records as text, and whether it is whole.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value};

use super::columns::GROUP_ROWS;
use super::manifest::{Manifest, Range, Segment as Listed};
use super::read::Tail;
use super::rows::Rows;
use super::schema::Layout;
use super::segment::{Group, Segment};
use super::stored::{self, Stored};
use crate::model::time::format_rfc3339;
use crate::model::{Id, Scalar};
use crate::rules::{Attribute, Paths, RecordView};
use crate::sources::InputError;

/// Which records are shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// Those that arrived at this instant or later.
    pub from_ns: Option<i64>,
    /// Those that arrived before this instant.
    pub to_ns: Option<i64>,
    /// Those of one partition, from 0.
    pub partition: Option<usize>,
}

impl Window {
    fn admits(&self, arrival_ns: Option<i64>) -> bool {
        let Some(at) = arrival_ns else { return self.is_unbounded() };
        self.from_ns.is_none_or(|from| at >= from) && self.to_ns.is_none_or(|to| at < to)
    }

    /// Whether something of a range may be shown.
    fn meets(&self, range: Option<Range>) -> bool {
        let Some(Range { from, to }) = range else { return self.is_unbounded() };
        self.from_ns.is_none_or(|wanted| to >= wanted) && self.to_ns.is_none_or(|end| from < end)
    }

    fn is_unbounded(&self) -> bool {
        self.from_ns.is_none() && self.to_ns.is_none()
    }
}

/// Writes the records of a log, a JSON object each, in the order of the log: CloudEvents, dead
/// letters as a replay writes them, and marks of time that passed without records. Dead letters have no arrival: they are shown where no time is
/// asked for. Segments and groups of rows that cannot hold what is asked for are not read.
///
/// # Errors
/// What standard output said; within, what could not be read, behind all that could.
pub fn cat(dir: &Path, window: Window, out: &mut impl Write) -> io::Result<Vec<InputError>> {
    let stored = match Stored::all(dir, true) {
        Ok(stored) => stored,
        Err(error) => return Ok(vec![error]),
    };
    let mut damaged = Vec::new();
    let mut paths = Paths::default();
    let slots = Slots::new(&mut paths);
    let is_wanted = |number: usize| window.partition.is_none_or(|wanted| wanted == number);
    for stored in stored.iter().filter(|stored| is_wanted(stored.number)) {
        let (number, partition) = (stored.number, &stored.partition);
        let listed = partition.segments.iter().filter(|listed| window.meets(listed.arrival));
        let is_first = number == window.partition.unwrap_or(0);
        let mut tail = Tail::new(stored, is_first);
        let appended = std::iter::from_fn(|| tail.next_segment(GROUP_ROWS));
        for segment in listed.map(|listed| Segment::open(dir, listed)).chain(appended) {
            let segment = match segment {
                Ok(segment) => segment,
                Err(error) => {
                    damaged.push(error);
                    continue;
                }
            };
            for (group, range) in segment.layout.groups.iter().enumerate() {
                if !window.meets(*range) {
                    continue;
                }
                let group = Group::new(&segment, group);
                match Rows::read(group, &paths) {
                    Ok(rows) => {
                        write_rows(&rows, number, &partition.name, &slots, window, out)?;
                        damaged.extend(rows.failure());
                    }
                    Err(error) => damaged.push(error),
                }
            }
        }
        damaged.extend(stored.damage());
    }
    Ok(damaged)
}

/// What is shown of a record beside its attributes.
struct Slots {
    type_: usize,
    sequence: usize,
    others: [(&'static str, usize); 2],
}

impl Slots {
    fn new(paths: &mut Paths) -> Self {
        Self {
            type_: paths.intern(Attribute::Type),
            sequence: paths.intern(Attribute::Sequence),
            others: [
                ("severity", paths.intern(Attribute::Severity)),
                ("traceparent", paths.intern(Attribute::Traceparent)),
            ],
        }
    }
}

fn write_rows(
    rows: &Rows,
    partition: usize,
    name: &str,
    slots: &Slots,
    window: Window,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut view = rows.view();
    for row in 0..rows.len() {
        let mut shown = Map::new();
        let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        if let Some((what, until_ns)) = rows.mark(row) {
            if !window.admits(Some(until_ns)) {
                continue;
            }
            put("mark", what.into());
            put("recordedtime", format_rfc3339(until_ns).into());
            put("partition", partition.into());
        } else if let Some((column, reason, record)) = rows.dead_letter(row) {
            if !window.admits(None) {
                continue;
            }
            put("file", name.into());
            put("line", rows.line(row).into());
            put("column", column.into());
            put("reason", reason.into());
            put("record", record.into());
        } else {
            let record = rows.record(row);
            let arrival_ns = record.arrival_ns.unwrap_or(record.event_time_ns);
            if !window.admits(Some(arrival_ns)) {
                continue;
            }
            view.at(row);
            put("specversion", "1.0".into());
            put(
                "id",
                match record.id {
                    Id::Text(id) => id.as_str().into(),
                    Id::Content(hash) => format!("{hash:016x}").into(),
                },
            );
            put("source", record.source.into());
            put("type", scalar(view.slot(slots.type_)));
            record.subject.map(|subject| put("subject", subject.into()));
            put("time", format_rfc3339(record.event_time_ns).into());
            record.arrival_ns.map(|at| put("recordedtime", format_rfc3339(at).into()));
            let extensions = slots.others.iter().copied().chain([("sequence", slots.sequence)]);
            for (name, slot) in extensions {
                let value = scalar(view.slot(slot));
                if !value.is_null() {
                    put(name, value);
                }
            }
            put("partition", partition.into());
            put("line", rows.line(row).into());
            put("data", view.data());
        }
        serde_json::to_writer(&mut *out, &shown)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn scalar(value: &Scalar<'_>) -> Value {
    match value {
        Scalar::Missing | Scalar::Null | Scalar::Composite => Value::Null,
        Scalar::Bool(value) => (*value).into(),
        Scalar::Int(number) => (*number).into(),
        Scalar::UInt(number) => (*number).into(),
        Scalar::Float(number) => (*number).into(),
        Scalar::Str(text) => text.to_string().into(),
    }
}

/// Reads all of a log, and says everything that is wrong with it: each segment's checksum, rows and
/// ranges against the manifest, the columns against the layout, the order of the lines.
pub fn verify(dir: &Path) -> Result<(Manifest, Vec<InputError>), InputError> {
    let (manifest, active) = stored::read(dir, true)?;
    let mut wrong = active.damaged;
    for partition in &manifest.partitions {
        let mut line = 0;
        for listed in &partition.segments {
            let checked = Segment::open(dir, listed).and_then(|segment| {
                let groups = 0..segment.groups();
                let mut found = Found { line, ..Found::default() };
                for number in groups {
                    let group = Group::new(&segment, number);
                    found.add(&group)?;
                }
                line = found.line;
                found
                    .compare(listed, &segment.layout)
                    .map_err(|detail| Group::new(&segment, 0).unreadable(&detail))
            });
            wrong.extend(checked.err());
        }
    }
    Ok((manifest, wrong))
}

/// What was appended to a log and is in no segment yet.
#[derive(Clone, Debug, Default)]
pub struct Unsealed {
    /// The lines, by partition.
    pub lines: Vec<u64>,
    /// How many bytes a crash has left behind them, or an appender is writing.
    pub torn_bytes: u64,
}

/// Says what was appended to a log.
///
/// # Errors
/// As [`Stored::all`].
pub fn unsealed(dir: &Path) -> Result<Unsealed, InputError> {
    let (manifest, active) = stored::read(dir, true)?;
    let ends = manifest.partitions.iter().zip(&active.ends);
    let lines = ends.map(|(partition, end)| end.lines - partition.lines).collect();
    Ok(Unsealed { lines, torn_bytes: active.torn_bytes })
}

/// What is found in a segment.
#[derive(Default)]
struct Found {
    /// The last line.
    line: u64,
    disordered: bool,
    dead_letters: u64,
    marks: u64,
    arrival: Option<Range>,
    time: Option<Range>,
    groups: Vec<Option<Range>>,
}

impl Found {
    fn add(&mut self, group: &Group) -> Result<(), InputError> {
        let rows = Rows::read(group.clone(), &Paths::default())?;
        rows.check()?;
        let mut arrivals = None;
        for row in 0..rows.len() {
            let line = rows.line(row);
            self.disordered |= line < self.line;
            self.line = line;
            if rows.dead_letter(row).is_some() {
                self.dead_letters += 1;
                continue;
            }
            if let Some((_, until_ns)) = rows.mark(row) {
                self.marks += 1;
                arrivals = Range::with(arrivals, until_ns);
                self.arrival = Range::with(self.arrival, until_ns);
                continue;
            }
            let record = rows.record(row);
            let arrival_ns = record.arrival_ns.unwrap_or(record.event_time_ns);
            arrivals = Range::with(arrivals, arrival_ns);
            self.arrival = Range::with(self.arrival, arrival_ns);
            self.time = Range::with(self.time, record.event_time_ns);
        }
        self.groups.push(arrivals);
        Ok(())
    }

    fn compare(&self, listed: &Listed, layout: &Layout) -> Result<(), &'static str> {
        let wrong = [
            (self.disordered, "its lines are not in order"),
            (self.dead_letters != listed.dead_letters, "the manifest says other dead letters"),
            (listed.marks > 0 && self.marks != listed.marks, "the manifest says other marks"),
            (self.arrival != listed.arrival, "the manifest says other arrivals"),
            (self.time != listed.time, "the manifest says other event times"),
            (self.groups != layout.groups, "its groups of rows have other arrivals"),
        ];
        let wrong = wrong.into_iter().find(|(is_wrong, _)| *is_wrong);
        wrong.map_or(Ok(()), |(_, what)| Err(what))
    }
}
