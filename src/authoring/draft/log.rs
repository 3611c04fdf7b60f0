//! The records at the beginning of a log: JSON objects, or rows under a header.

use std::path::Path;

use serde_json::{Map, Value};

use super::NoDraft;
use crate::authoring::first_lines;
use crate::rules::Document;
use crate::sources::decode::csv::Fields;
use crate::sources::{InputError, documents};

/// So many records are looked at.
const RECORDS_MAX: usize = 20_000;
/// What may stand between columns; of those that fit a header as well, the first.
const DELIMITERS: [u8; 4] = *b",\t;|";

pub(super) type Record = Map<String, Value>;

/// How the lines of a log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    /// With what stands between the columns.
    Csv(u8),
    /// In documents of a tool.
    Document(Document),
}

/// What is tried in this order: seconds are no milliseconds, but for those of long ago.
const DOCUMENTS: [Document; 6] = [
    Document::Otlp,
    Document::Prometheus,
    Document::Kubernetes,
    Document::Alertmanager,
    Document::OpenMetrics,
    Document::Exposition,
];
/// So many records tell whether it is one.
const TRIED: usize = 50;

/// What was found at the beginning of a log.
pub(super) struct Beginning {
    pub(super) format: Format,
    pub(super) records: Vec<Record>,
    /// The lines that were looked at, but for a header.
    pub(super) lines: usize,
    /// Whether there are more.
    pub(super) more: bool,
    /// Why the log could not be read further.
    pub(super) damaged: Option<InputError>,
}

/// Reads the beginning of a log as what most of its lines are.
pub(super) fn beginning(path: &Path) -> Result<Beginning, NoDraft> {
    if let Some(found) = document(path)? {
        return Ok(found);
    }
    let (mut lines, mut objects) = (0, Vec::new());
    let mut table: Option<Table> = None;
    let read = first_lines(path, RECORDS_MAX, |line| {
        lines += 1;
        let Some(line) = line else { return };
        if let Ok(Value::Object(object)) = serde_json::from_slice(line) {
            objects.push(object);
        } else if let Ok(text) = str::from_utf8(line) {
            if lines == 1 {
                table = Table::under(text);
            } else if let Some(table) = &mut table {
                table.read(text);
            }
        }
    });
    let read = read.map_err(NoDraft::Input)?;
    let table = table.filter(|table| table.rows.len() > objects.len());
    let (format, records) = match table {
        // The header is no record.
        Some(table) if table.rows.len() * 2 >= lines - 1 => {
            lines -= 1;
            (Format::Csv(table.delimiter), table.rows)
        }
        _ => (Format::Json, objects),
    };
    if records.is_empty() {
        return Err(NoDraft::NoRecords(lines));
    }
    Ok(Beginning { format, records, lines, more: read.more, damaged: read.damaged })
}

/// Reads the beginning of a log as the documents that it holds, if it does; what comes through a pipe
/// cannot be read twice.
fn document(path: &Path) -> Result<Option<Beginning>, NoDraft> {
    for of in DOCUMENTS.into_iter().filter(|_| path.is_file()) {
        let tried = documents::beginning(path, of, TRIED).map_err(NoDraft::Input)?;
        let has_time = |text: &String| text.contains("\"time\":");
        let good = tried.records.iter().filter(|record| has_time(record)).count();
        if good == 0 || good < tried.others {
            continue;
        }
        let read = documents::beginning(path, of, RECORDS_MAX).map_err(NoDraft::Input)?;
        let lines = read.records.len() + read.others;
        let records = read.records.iter().filter_map(|text| serde_json::from_str(text).ok());
        return Ok(Some(Beginning {
            format: Format::Document(of),
            records: records.collect(),
            lines,
            more: read.more,
            damaged: read.damaged,
        }));
    }
    Ok(None)
}

/// Rows, and what their columns are called.
struct Table {
    delimiter: u8,
    header: Vec<String>,
    rows: Vec<Record>,
}

impl Table {
    /// The rows to come under a line, if that names columns.
    fn under(line: &str) -> Option<Self> {
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        let headers = DELIMITERS.iter().filter_map(|delimiter| {
            let names = fields(line, *delimiter).filter(|names| are_names(names))?;
            Some((*delimiter, names))
        });
        // Of several with as many columns the first.
        let (delimiter, header) = headers.rev().max_by_key(|(_, names)| names.len())?;
        Some(Self { delimiter, header, rows: Vec::new() })
    }

    /// Adds a line, if it is a row.
    fn read(&mut self, line: &str) {
        let Some(values) = fields(line, self.delimiter) else { return };
        if values.len() != self.header.len() {
            return;
        }
        // What is empty is not there.
        let filled = self.header.iter().zip(values);
        let filled = filled.filter(|(name, value)| !name.is_empty() && !value.is_empty());
        self.rows.push(filled.map(|(name, value)| (name.clone(), Value::from(value))).collect());
    }
}

fn fields(line: &str, delimiter: u8) -> Option<Vec<String>> {
    let fields = Fields::new(line, delimiter);
    fields.map(|field| field.map(|(_, text)| text.into_owned()).ok()).collect()
}

/// Whether these can be the names of columns: at least two, all different, and none a number or a
/// time. The first may be empty: so are called what some tools number rows by.
fn are_names(names: &[String]) -> bool {
    let is_name = |(at, name): (usize, &String)| {
        let digit = name.starts_with(|c: char| c.is_ascii_digit());
        let value = name.parse::<f64>().is_ok() || (digit && name.contains([':', '-', '/']));
        (at == 0 || !name.is_empty()) && !value && !names[..at].contains(name)
    };
    names.len() >= 2 && names.iter().enumerate().all(is_name)
}
