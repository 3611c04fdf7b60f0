//! What a source reads becomes rows of a segment.
//!
//! Guarantee: a row depends on its line, the source, the header and the stamp alone. State: the rows
//! of the segment that is made.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::frames::{Lines, Mark, What};
use super::leaves::Leaf;
use super::manifest::{self, Partition};
use super::segment::checksum;
use super::write::{Builder, Built, LineForm, Place, Shape, Written};
use crate::model::Scalar;
use crate::model::ledger::DeadLetter;
use crate::rules::{Attribute, FieldPath, Format, RecordView, Rules, Source, Text};
use crate::sources::decode::csv::Fields;
use crate::sources::decode::{Decoded, Shapes, trimmed};
use crate::sources::header::Header;
use crate::sources::intake::{Matcher, Seen, of_block};

/// How a partition is read: by a source of a rule file, under a header if there is one.
pub(super) struct Reading {
    pub(super) matcher: Matcher,
    source: usize,
    pub(super) header: Option<Header>,
    /// The slots that show what only conditions see.
    type_: usize,
    sequence: usize,
}

impl Reading {
    pub(super) fn new(rules: &Rules, source: usize, header: Option<Header>) -> Self {
        let mut rules = rules.clone();
        let type_ = rules.paths.intern(Attribute::Type);
        let sequence = rules.paths.intern(Attribute::Sequence);
        Self { matcher: Matcher::new(&rules), source, header, type_, sequence }
    }

    /// As the manifest says it; the error says what is wrong with that.
    pub(super) fn of(partition: &Partition) -> Result<Self, String> {
        let Some(mapping) = &partition.mapping else {
            return Err("the manifest does not say how its lines are read".to_owned());
        };
        let text = Source::file_of(&partition.source, mapping);
        let rules = Rules::parse("its mapping", &text).map_err(|errors| errors.to_string())?;
        let header = partition.header.as_ref().map(|names| names.iter().cloned().collect());
        Ok(Self::new(&rules, 0, header))
    }

    pub(super) fn source(&self) -> &Source {
        &self.matcher.rules().sources[self.source]
    }
}

/// Makes the segments of a partition.
pub(super) struct Sealer {
    reading: Arc<Reading>,
    shapes: Shapes,
    builder: Builder,
    /// The line that is exploded: its number, what stands around the array, and its form.
    exploded: Option<(u64, Vec<Leaf<'static>>, LineForm)>,
}

impl Sealer {
    pub(super) fn new(reading: Arc<Reading>) -> Self {
        let builder = Builder::new(shape(&reading.source().format));
        Self { reading, shapes: Shapes::default(), builder, exploded: None }
    }

    pub(super) fn is_full(&self) -> bool {
        self.builder.is_full()
    }

    pub(super) fn rows(&self) -> usize {
        self.builder.rows()
    }

    /// Takes in all of a frame.
    pub(super) fn take_frame(&mut self, frame: What, last_line: u64) {
        match frame {
            What::Lines(lines) => self.take_lines(lines),
            What::Mark(mark) => {
                let place = Place { line: last_line, element: None };
                match mark {
                    Mark::Clock(until_ns) => self.builder.mark(place, "clock", until_ns),
                    Mark::Idle(until_ns) => self.builder.mark(place, "idle", until_ns),
                    // The manifest has it.
                    Mark::End => {}
                }
            }
        }
    }

    fn take_lines(&mut self, lines: Lines) {
        let stamp_ns = lines.stamp_ns;
        let reading = Arc::clone(&self.reading);
        let decoder = reading.matcher.decoder(reading.source);
        let mut shapes = std::mem::take(&mut self.shapes);
        let block = lines.block();
        let _ = of_block(&block, reading.header.as_ref(), decoder, &mut shapes, |seen| {
            self.take(&seen, stamp_ns);
            ControlFlow::Continue(())
        });
        self.shapes = shapes;
    }

    /// Takes in a record, or what should be one; it arrived then if it does not say it.
    pub(super) fn take(&mut self, seen: &Seen<'_, '_>, stamp_ns: Option<i64>) {
        match &seen.record {
            Ok(record) if record.arrival_ns.is_none() && stamp_ns.is_some() => {
                self.take_record(seen, &Decoded { arrival_ns: stamp_ns, ..record.clone() });
            }
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
        let reading = Arc::clone(&self.reading);
        let tree = &mut self.builder.tree;
        tree.begin();
        let mut leaves = Vec::new();
        let form = match &reading.source().format {
            Format::Json { explode: Some(array), .. } => {
                let form = self.explode(seen.line, line, array);
                for leaf in self.exploded.iter().flat_map(|(_, around, _)| around) {
                    leaves.push(leaf.to_owned());
                }
                self.builder.tree.take_apart_at(array.keys(), text, &mut leaves);
                Some(form)
            }
            Format::CloudEvents | Format::Json { .. } | Format::Document { .. } => {
                tree.take_apart(text, &mut leaves);
                None
            }
            Format::Csv(csv) => {
                let fields = Fields::new(text, csv.delimiter).flatten();
                for (name, (_, field)) in reading.header.iter().flat_map(|h| h.iter()).zip(fields) {
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
        let type_ = shown(reading.type_).unwrap_or_default();
        let sequence = shown(reading.sequence);
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

    /// Makes a segment of the rows so far; none without any.
    pub(super) fn finish(&mut self) -> Option<Built> {
        if self.builder.is_empty() {
            return None;
        }
        let fresh = Builder::new(shape(&self.reading.source().format));
        self.exploded = None;
        Some(std::mem::replace(&mut self.builder, fresh).finish())
    }
}

impl Written {
    /// What a manifest says of it.
    pub(super) fn listed(&self, file: String, offset: u64) -> manifest::Segment {
        manifest::Segment {
            file,
            offset,
            records: self.records,
            dead_letters: self.dead_letters,
            marks: self.marks,
            arrival: self.arrival,
            time: self.time,
            bytes: self.bytes.len() as u64,
            xxh3: checksum(&self.bytes),
        }
    }
}

fn place(seen: &Seen<'_, '_>) -> Place {
    Place { line: seen.line, element: seen.element }
}

/// What the records of a source have in common.
fn shape(format: &Format) -> Shape {
    match format.mapping() {
        None => Shape { data: Some("data".into()), sequence_shown: true, json: true },
        Some(mapping) => Shape {
            data: None,
            json: matches!(format, Format::Json { .. } | Format::Document { .. }),
            // What is put together is no field that conditions could ask for.
            sequence_shown: matches!(mapping.sequence, Some(Text::Field(_))),
        },
    }
}
