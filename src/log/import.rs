//! Logs become a replay log: each a partition, in their order.
//!
//! Guarantees: the manifest is written last, so that whatever breaks off leaves no log; of an input
//! that is damaged, all is imported that is whole, and the log says so. State: a segment.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use super::leaves::Leaf;
use super::manifest::{self, FILE, Manifest};
use super::segment::checksum;
use super::write::{Builder, LineForm, Place, Shape};
use crate::model::Scalar;
use crate::model::ledger::DeadLetter;
use crate::replay::{Failure, Log};
use crate::rules::{Attribute, FieldPath, Format, RecordView, Rules, Text};
use crate::sinks::{OutputDir, OutputError};
use crate::sources::decode::csv::Fields;
use crate::sources::decode::{Decoded, trimmed};
use crate::sources::header::Header;
use crate::sources::intake::{Matcher, Partition, Seen, records};
use crate::sources::{InputError, Interrupt};

/// What was imported.
#[derive(Debug)]
pub struct Imported {
    /// The content of the log.
    pub manifest: Manifest,
    /// Inputs that could not be read to their end.
    pub damaged: Vec<InputError>,
}

/// Imports logs into a folder, which must not be a log yet.
///
/// # Errors
///
/// [`Failure::Input`], if a log cannot be opened; [`Failure::Output`], if the folder cannot be
/// written, is a log already, or holds something else. There is no log then.
pub fn import(
    rules: &Rules,
    logs: &[Log],
    dir: &Path,
    interrupt: &Interrupt,
) -> Result<Imported, Failure> {
    let mut rules = rules.clone();
    let seen = Slots {
        type_: rules.paths.intern(Attribute::Type),
        sequence: rules.paths.intern(Attribute::Sequence),
    };
    let open = |(number, log): (usize, &Log)| log.open(number, &rules, interrupt);
    let partitions = logs.iter().enumerate().map(open).collect::<Result<Vec<_>, _>>()?;
    let dir = OutputDir::create(dir)?;
    make_room(dir.path())?;
    let matcher = Matcher::new(&rules);
    let mut imported = Vec::new();
    let mut damaged = Vec::new();
    for (number, (log, partition)) in logs.iter().zip(partitions).enumerate() {
        let source = &rules.sources[log.source];
        let into = manifest::Partition {
            name: log.path.display().to_string(),
            source: source.name.to_string(),
            ..manifest::Partition::default()
        };
        let mut writer = Writer::new(&dir, number, into, &source.format, partition.header(), seen);
        let read = writer.take_all(partition, &matcher)?;
        let mut partition = writer.finish()?;
        partition.damaged = read.as_ref().err().map(|error| {
            let (what, detail) = (error.what(), error.detail());
            format!("{what}: {detail}")
        });
        damaged.extend(read.err());
        imported.push(partition);
    }
    let manifest = Manifest::new(imported);
    let mut file = dir.file(FILE)?;
    file.put(&manifest.to_bytes())?;
    file.commit()?;
    Ok(Imported { manifest, damaged })
}

/// Refuses a folder that is a log or holds anything else, and removes the segments of an import
/// that broke off.
fn make_room(dir: &Path) -> Result<(), OutputError> {
    if manifest::is_log(dir) {
        let detail = "it is a replay log already; import into another folder, or remove it first";
        return Err(OutputError::cannot_create(dir, &detail));
    }
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    let mut segments = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_segment(&name) {
            segments.push(entry.path());
        } else if !name.starts_with('.') {
            let detail = format!("it holds other files, as {name}; name an empty folder");
            return Err(OutputError::cannot_create(dir, &detail));
        }
    }
    for path in segments {
        fs::remove_file(&path).map_err(|error| OutputError::cannot_create(&path, &error))?;
    }
    Ok(())
}

fn segment_name(partition: usize, number: usize) -> String {
    format!("{partition:04}-{number:06}.parquet")
}

fn is_segment(name: &str) -> bool {
    let numbers = name.strip_suffix(".parquet").and_then(|name| name.split_once('-'));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(one, other)| is_number(one) && is_number(other))
}

/// The slots that show what only conditions see.
#[derive(Clone, Copy)]
struct Slots {
    type_: usize,
    sequence: usize,
}

/// Writes the segments of a partition.
struct Writer<'i> {
    dir: &'i OutputDir,
    number: usize,
    into: manifest::Partition,
    format: &'i Format,
    header: Option<Header>,
    slots: Slots,
    builder: Builder,
    /// The line that is exploded: its number, what stands around the array, and its form.
    exploded: Option<(u64, Vec<Leaf<'static>>, LineForm)>,
}

impl<'i> Writer<'i> {
    fn new(
        dir: &'i OutputDir,
        number: usize,
        into: manifest::Partition,
        format: &'i Format,
        header: Option<Header>,
        slots: Slots,
    ) -> Self {
        let builder = Builder::new(shape(format));
        Self { dir, number, into, format, header, slots, builder, exploded: None }
    }

    /// Takes in all that is whole of an input; what could not be written, or else why it ended.
    fn take_all(
        &mut self,
        partition: Partition,
        matcher: &Matcher,
    ) -> Result<Result<(), InputError>, OutputError> {
        let mut failed = Ok(());
        let mut line = 0;
        let read = records(partition, matcher, |seen| {
            // The records of one line stay together.
            if self.builder.is_full() && seen.line != line {
                failed = self.seal();
            }
            line = seen.line;
            self.take(&seen);
            match failed.is_err() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        failed.map(|()| read)
    }

    fn take(&mut self, seen: &Seen<'_, '_>) {
        match &seen.record {
            Ok(record) => self.take_record(seen, record),
            Err(error) => {
                let (column, reason) = (error.column, error.reason.clone());
                let letter = DeadLetter::new(0, seen.line, column, reason, seen.text);
                self.builder.bury(place(seen), letter.column, &letter.reason, &letter.record);
            }
        }
    }

    fn take_record(&mut self, seen: &Seen<'_, '_>, record: &Decoded<'_>) {
        fn utf8(bytes: &[u8]) -> &str {
            str::from_utf8(bytes).expect("a record is of a line that is text")
        }
        let (text, line) = (utf8(seen.text), utf8(seen.whole_line));
        let tree = &mut self.builder.tree;
        tree.begin();
        let mut leaves = Vec::new();
        let form = match self.format {
            Format::Json { explode: Some(array), .. } => {
                let form = self.explode(seen.line, line, array);
                for leaf in self.exploded.iter().flat_map(|(_, around, _)| around) {
                    leaves.push(leaf.to_owned());
                }
                self.builder.tree.take_apart_at(array.keys(), text, &mut leaves);
                Some(form)
            }
            Format::CloudEvents | Format::Json { .. } => {
                tree.take_apart(text, &mut leaves);
                None
            }
            Format::Csv(csv) => {
                let fields = Fields::new(text, csv.delimiter).flatten();
                for (name, (_, field)) in self.header.iter().flat_map(|h| h.iter()).zip(fields) {
                    tree.field(name, field, &mut leaves);
                }
                None
            }
            Format::Regex(regex) => {
                let groups = regex.pattern.captures(text);
                for name in regex.pattern.capture_names().flatten() {
                    let group = groups.as_ref().and_then(|groups| groups.name(name));
                    if let Some(group) = group {
                        tree.field(name, group.as_str().into(), &mut leaves);
                    }
                }
                None
            }
        };
        let form = form.unwrap_or_else(|| self.builder.form(line, &leaves));
        let shown = |slot: usize| match seen.view.slot(slot) {
            Scalar::Str(text) => Some(&**text),
            _ => None,
        };
        let type_ = shown(self.slots.type_).unwrap_or_default();
        let sequence = shown(self.slots.sequence);
        self.builder.push(place(seen), record, type_, sequence, form, &leaves);
    }

    /// Takes apart what stands around an array, once for each line; the form of the line.
    fn explode(&mut self, number: u64, line: &str, array: &FieldPath) -> LineForm {
        if let Some((_, _, form)) = self.exploded.as_ref().filter(|(known, ..)| *known == number) {
            return *form;
        }
        let (_, text) = trimmed(line.as_bytes());
        let text = str::from_utf8(text).expect("white space is no part of a character");
        let mut around = Vec::new();
        self.builder.tree.take_apart(text, &mut around);
        around.retain(|leaf| self.builder.tree.keys(leaf.path) != array.keys());
        let form = self.builder.form(line, &around);
        let owned = around.iter().map(Leaf::to_owned).collect();
        self.exploded = Some((number, owned, form));
        form
    }

    /// Writes the rows there are as a segment.
    fn seal(&mut self) -> Result<(), OutputError> {
        let builder = std::mem::replace(&mut self.builder, Builder::new(shape(self.format)));
        self.exploded = None;
        let written = builder.finish();
        let name = segment_name(self.number, self.into.segments.len());
        let mut file = self.dir.file(&name)?;
        file.put(&written.bytes)?;
        file.commit()?;
        self.into.segments.push(manifest::Segment {
            file: name,
            offset: self.into.records(),
            records: written.records,
            dead_letters: written.dead_letters,
            arrival: written.arrival,
            time: written.time,
            bytes: written.bytes.len() as u64,
            xxh3: checksum(&written.bytes),
        });
        Ok(())
    }

    fn finish(mut self) -> Result<manifest::Partition, OutputError> {
        if !self.builder.is_empty() {
            self.seal()?;
        }
        Ok(self.into)
    }
}

fn place(seen: &Seen<'_, '_>) -> Place {
    Place { line: seen.line, element: seen.element }
}

/// What the records of a source have in common.
fn shape(format: &Format) -> Shape {
    let mapping = match format {
        Format::CloudEvents => None,
        Format::Json { mapping, .. } => Some(&**mapping),
        Format::Csv(csv) => Some(&csv.mapping),
        Format::Regex(regex) => Some(&regex.mapping),
    };
    match mapping {
        None => Shape { data: Some("data".into()), sequence_shown: true, json: true },
        Some(mapping) => Shape {
            data: None,
            json: matches!(format, Format::Json { .. }),
            // What is put together is no field that conditions could ask for.
            sequence_shown: matches!(mapping.sequence, Some(Text::Field(_))),
        },
    }
}
