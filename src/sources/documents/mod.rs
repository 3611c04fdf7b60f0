//! Documents of tools, which hold many records, become lines of one record each.
//!
//! ```text
//! line    place ( record | "!" reason text )
//! place   line " " column " " element " "      where it begins in the document; element 0 is none
//! ```
//!
//! A record is an object of the fields that its format is documented to have; a reason and the text
//! that is no record are JSON strings. From there on all goes as for lines of JSON, but that a
//! record is told by the place it came from. Guarantees: the lines depend on the bytes of the input
//! alone; their places rise; no line is longer than a record may be. Whatever is no part of a
//! document is a reason with its text. State: a record, what stands around it, and at most
//! [`HELD_BYTES_MAX`] of records that wait for what stands behind them.
//!
//! - `cut`: a stream of JSON is cut into the values that records are made of; `taking`: one of them.
//! - `lines`: a stream of text is cut into lines.
//! - `json`: pieces of JSON put together.
//! - `otlp`, `prometheus`, `kubernetes`, `alertmanager`: what records are made of.
//! - `samples`: the text formats of metrics.

mod alertmanager;
mod cut;
mod json;
mod kubernetes;
mod lines;
mod otlp;
mod prometheus;
mod samples;
mod taking;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use self::cut::{Context, Cutter};
use self::lines::Lines;
use super::blocks::{Block, Blocks};
use super::decode::Unreadable;
use super::error::InputError;
use super::intake::RECORD_BYTES_MAX;
use super::open::open;
use crate::model::ledger::DEAD_LETTER_BYTES_MAX;
use crate::rules::Document;

/// Records that wait for what stands behind them are no longer than this together.
pub(crate) const HELD_BYTES_MAX: usize = 16 << 20;
/// So much of an input is read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// As much as that is made of it at once, and one line.
const LINES_BYTES: usize = 64 << 10;
/// The longest that the place of a record is.
const PLACE_BYTES_MAX: usize = 64;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A place in an input: line and column from 1, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    line: u64,
    column: u64,
}

impl Place {
    const START: Self = Self { line: 1, column: 1 };

    /// The place behind some bytes.
    fn behind(self, bytes: &[u8]) -> Self {
        match memchr::memrchr(b'\n', bytes) {
            None => Self { column: self.column + bytes.len() as u64, ..self },
            Some(last) => {
                let lines = memchr::memchr_iter(b'\n', bytes).count() as u64;
                Self { line: self.line + lines, column: (bytes.len() - last) as u64 }
            }
        }
    }
}

/// A part of a document of which a record is made, or that is none.
#[derive(Debug)]
struct Element {
    place: Place,
    /// Which of its line, from 1; 0 if there is but one.
    number: u32,
    /// What it is to its format.
    kind: u8,
    /// As it stands in the document; or why it is no record, and its beginning.
    text: Result<Vec<u8>, (String, Vec<u8>)>,
    /// What stands around it, innermost first.
    around: Vec<Arc<Context>>,
    /// How many bytes of that are counted with it, and not with one before.
    shared: usize,
}

/// Why an element is no record, and where in its text that shows.
#[derive(Debug)]
struct Fault {
    at: usize,
    reason: String,
}

impl Fault {
    fn new(reason: impl Into<String>) -> Self {
        Self { at: 0, reason: reason.into() }
    }
}

/// What makes elements of the bytes of an input.
#[derive(Debug)]
enum Cut {
    Json(Box<Cutter>),
    Text(Box<Lines>),
}

/// The lines of an input.
#[derive(Debug)]
pub(super) struct Documents {
    of: Document,
    cut: Cut,
    /// How much of a byte order mark has come; none behind the beginning.
    mark: Option<usize>,
    chunk: Vec<u8>,
    lines: Vec<u8>,
    at: usize,
    end: Option<Result<(), InputError>>,
}

impl Documents {
    pub(super) fn new(of: Document) -> Self {
        let cut = match of {
            Document::Otlp => Cut::Json(Box::new(Cutter::new(&otlp::REQUEST, true))),
            Document::Prometheus => Cut::Json(Box::new(Cutter::new(&prometheus::ANSWER, false))),
            Document::Kubernetes => Cut::Json(Box::new(Cutter::new(&kubernetes::LIST, false))),
            Document::Alertmanager => Cut::Json(Box::new(Cutter::new(&alertmanager::BODY, false))),
            Document::OpenMetrics => Cut::Text(Box::new(Lines::new(samples::Text::OpenMetrics))),
            Document::Exposition => Cut::Text(Box::new(Lines::new(samples::Text::Exposition))),
        };
        let (chunk, lines) = (Vec::new(), Vec::new());
        Self { of, cut, mark: Some(0), chunk, lines, at: 0, end: None }
    }

    /// Says whether what comes is read as it happens: a sample without a time is then of now.
    pub(super) fn set_live(&mut self, live: bool) {
        if let Cut::Text(lines) = &mut self.cut {
            lines.set_live(live);
        }
    }

    /// Reads some bytes of the lines, as far as `input` goes; 0 is the end.
    pub(super) fn read(
        &mut self,
        out: &mut [u8],
        mut input: impl FnMut(&mut [u8]) -> Result<usize, InputError>,
    ) -> Result<usize, InputError> {
        loop {
            if self.at < self.lines.len() {
                let count = out.len().min(self.lines.len() - self.at);
                out[..count].copy_from_slice(&self.lines[self.at..self.at + count]);
                self.at += count;
                return Ok(count);
            }
            self.lines.clear();
            self.at = 0;
            while self.lines.len() < LINES_BYTES {
                let Some(element) = self.next() else { break };
                push(self.of, element, &mut self.lines);
            }
            if !self.lines.is_empty() {
                continue;
            }
            match &self.end {
                Some(Ok(())) => return Ok(0),
                Some(Err(error)) => return Err(error.clone()),
                None => self.take_in(&mut input),
            }
        }
    }

    fn next(&mut self) -> Option<Element> {
        match &mut self.cut {
            Cut::Json(cutter) => cutter.next(),
            Cut::Text(lines) => lines.next(),
        }
    }

    fn take_in(&mut self, input: &mut impl FnMut(&mut [u8]) -> Result<usize, InputError>) {
        self.chunk.resize(CHUNK_BYTES, 0);
        let read = input(&mut self.chunk);
        match read {
            Ok(0) => {
                if let Some(held @ 1..) = self.mark.take() {
                    self.feed(&BYTE_ORDER_MARK[..held]);
                }
                match &mut self.cut {
                    Cut::Json(cutter) => cutter.finish(),
                    Cut::Text(lines) => lines.finish(),
                }
                self.end = Some(Ok(()));
            }
            Ok(count) => {
                let chunk = std::mem::take(&mut self.chunk);
                self.feed_first(&chunk[..count]);
                self.chunk = chunk;
            }
            Err(mut error) => {
                let unfinished = match &self.cut {
                    Cut::Json(cutter) => cutter.unfinished(),
                    Cut::Text(lines) => lines.unfinished(),
                };
                if let Some(line) = unfinished {
                    error.cut_off(line);
                }
                self.end = Some(Err(error));
            }
        }
    }

    /// Takes bytes in; a byte order mark at the beginning is no part of them.
    fn feed_first(&mut self, mut bytes: &[u8]) {
        while let Some(known) = self.mark {
            let Some((first, rest)) = bytes.split_first() else { return };
            if *first == BYTE_ORDER_MARK[known] {
                bytes = rest;
                self.mark = Some(known + 1).filter(|known| *known < BYTE_ORDER_MARK.len());
            } else {
                self.mark = None;
                self.feed(&BYTE_ORDER_MARK[..known]);
            }
        }
        self.feed(bytes);
    }

    fn feed(&mut self, bytes: &[u8]) {
        match &mut self.cut {
            Cut::Json(cutter) => cutter.feed(bytes),
            Cut::Text(lines) => lines.feed(bytes),
        }
    }
}

/// Writes the line of an element; none of what says nothing.
fn push(of: Document, element: Element, lines: &mut Vec<u8>) {
    let Element { place, number, kind, text, around, .. } = element;
    let fault = match text {
        Err((reason, text)) => (place, reason, text),
        Ok(mut bytes) => {
            let record = match simdutf8::basic::from_utf8(&bytes) {
                Ok(text) => record(of, kind, text, &around),
                Err(_) => Err(Fault { at: valid_up_to(&bytes), reason: "not valid UTF-8".into() }),
            };
            match record {
                Ok(None) => return,
                Ok(Some(record)) if record.len() <= RECORD_BYTES_MAX - PLACE_BYTES_MAX => {
                    return push_line(lines, place, number, "", &record);
                }
                Ok(Some(record)) => (place, too_long(record.len() as u64), bytes),
                Err(Fault { at, reason }) => {
                    // What is made of the whole has no text of its own.
                    let at = place.behind(&bytes[..at.min(bytes.len())]);
                    if kind == cut::WHOLE {
                        bytes = around.first().map(|whole| whole.text()).unwrap_or_default();
                    }
                    (at, reason, bytes)
                }
            }
        }
    };
    let (at, mut reason, mut text) = fault;
    text.truncate(DEAD_LETTER_BYTES_MAX);
    reason.truncate(reason.floor_char_boundary(DEAD_LETTER_BYTES_MAX));
    let number = if at.line == place.line { number } else { 0 };
    let mut said = json::string(&reason);
    said.push(' ');
    said.push_str(&json::string(&String::from_utf8_lossy(&text)));
    push_line(lines, at, number, "!", &said);
}

fn push_line(lines: &mut Vec<u8>, place: Place, number: u32, mark: &str, text: &str) {
    let Place { line, column } = place;
    lines.extend_from_slice(format!("{line} {column} {number} {mark}").as_bytes());
    lines.extend_from_slice(text.as_bytes());
    lines.push(b'\n');
}

fn record(
    of: Document,
    kind: u8,
    text: &str,
    around: &[Arc<Context>],
) -> Result<Option<String>, Fault> {
    match of {
        Document::Otlp => otlp::record(kind, text, around),
        Document::Prometheus => prometheus::record(kind, text, around),
        Document::Kubernetes => kubernetes::record(kind, text, around),
        Document::Alertmanager => alertmanager::record(kind, text, around),
        // Those are records already.
        Document::OpenMetrics | Document::Exposition => Ok(Some(text.to_owned())),
    }
}

fn too_long(bytes: u64) -> String {
    format!("longer than a record may be: {bytes} bytes")
}

fn valid_up_to(bytes: &[u8]) -> usize {
    std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len)
}

/// A line, as it is read again: the place it came from, and its record.
pub(super) struct Placed {
    pub(super) line: u64,
    pub(super) column: usize,
    /// Which record of its line, from 1.
    pub(super) element: Option<u32>,
    /// Where in the block the record is, or why there is none, with the text that stands for it.
    pub(super) record: Result<std::ops::Range<usize>, (Unreadable, String)>,
}

/// The lines of a block of them, behind so many lines of other inputs.
pub(super) fn placed(block: &Block) -> impl Iterator<Item = Placed> {
    let mut before = None;
    block.lines().filter_map(move |(_, bytes, range)| {
        let text = str::from_utf8(bytes).ok()?;
        let (line, column, number, rest) = read_place(text)?;
        // What was appended is numbered behind what was there.
        let before = *before.get_or_insert(block.first_line.saturating_sub(line));
        let (line, column) = (before + line, usize::try_from(column).ok()?);
        let element = (number > 0).then_some(number);
        let record = match rest.strip_prefix('!') {
            None => Ok(range.start + (text.len() - rest.len())..range.end),
            Some(said) => {
                let mut said = serde_json::Deserializer::from_str(said).into_iter::<String>();
                let mut next = || said.next()?.ok();
                let (reason, text) = (next()?, next()?);
                Err((Unreadable { column, reason }, text))
            }
        };
        Some(Placed { line, column, element, record })
    })
}

/// The records at the beginning of a log, if it holds such documents.
#[derive(Debug, Default)]
pub(crate) struct Beginning {
    pub(crate) records: Vec<String>,
    /// How many more should be records, and are none.
    pub(crate) others: usize,
    /// Whether there is more.
    pub(crate) more: bool,
    /// Why it could not be read further.
    pub(crate) damaged: Option<InputError>,
}

/// Reads the first `max` records of a log, if it holds such documents.
pub(crate) fn beginning(path: &Path, of: Document, max: usize) -> Result<Beginning, InputError> {
    let mut blocks = Blocks::new(open(path)?.holding(of), CHUNK_BYTES, RECORD_BYTES_MAX);
    let mut found = Beginning::default();
    while let Some(block) = blocks.next_block(Vec::new()) {
        let block = match block {
            Ok(block) => block,
            Err(error) => return Ok(Beginning { damaged: Some(error), ..found }),
        };
        for line in placed(&block) {
            if found.records.len() + found.others == max {
                return Ok(Beginning { more: true, ..found });
            }
            match line.record.ok().and_then(|range| str::from_utf8(&block.bytes[range]).ok()) {
                Some(record) => found.records.push(record.to_owned()),
                None => found.others += 1,
            }
        }
    }
    Ok(found)
}

/// The line from which a line was made.
pub(super) fn origin(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    str::from_utf8(&line[..digits]).ok()?.parse().ok()
}

fn read_place(text: &str) -> Option<(u64, u64, u32, &str)> {
    let (line, rest) = text.split_once(' ')?;
    let (column, rest) = rest.split_once(' ')?;
    let (number, rest) = rest.split_once(' ')?;
    Some((line.parse().ok()?, column.parse().ok()?, number.parse().ok()?, rest))
}
