//! A segment that has been checked, and its groups of rows.
//!
//! Guarantee: what can be read of a segment is what was written: a file whose length or checksum is
//! not that of the manifest is not looked into. State: the bytes of the file.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use limbeck_operators::hash::xxh3_64;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};

use super::columns::GROUP_ROWS;
use super::manifest;
use super::schema::{KEY, Layout};
use super::write::Built;
use crate::sources::InputError;

/// A segment in memory.
pub(crate) struct Segment {
    /// The log, and the file in it.
    log: String,
    file: String,
    columns: Columns,
    pub(super) layout: Layout,
}

/// The columns of a segment.
enum Columns {
    /// As in its file.
    Written(Bytes, ArrowReaderMetadata),
    /// As they were collected.
    Collected(RecordBatch),
}

/// Some rows of a segment, that are read together.
#[derive(Clone)]
pub(crate) struct Group {
    pub(super) segment: Arc<Segment>,
    pub(super) number: usize,
    /// How many rows come before the first that is read: of the partition, where it is read whole.
    pub(super) first: u64,
    /// Those of its rows that are read, if not all.
    pub(super) part: Option<Range<usize>>,
}

/// The checksum of a file, as the manifest has it.
pub(super) fn checksum(bytes: &[u8]) -> String {
    format!("{:016x}", xxh3_64(bytes))
}

impl Segment {
    /// Reads and checks a segment of a log.
    pub(super) fn open(dir: &Path, listed: &manifest::Segment) -> Result<Arc<Self>, InputError> {
        let log = dir.display().to_string();
        let file = listed.file.clone();
        let parsed = Self::read(dir, listed).and_then(|bytes| Self::parse(bytes, listed.records));
        match parsed {
            Ok((columns, layout)) => Ok(Arc::new(Self { log, file, columns, layout })),
            Err(detail) => Err(InputError::Segment { input: log, segment: file, detail }),
        }
    }

    /// A segment that is in no file yet, of what stands in that of the log.
    pub(super) fn of(log: &Path, file: &str, built: Built) -> Arc<Self> {
        let (log, file) = (log.display().to_string(), file.to_owned());
        let columns = Columns::Collected(built.columns.batch());
        Arc::new(Self { log, file, columns, layout: built.layout })
    }

    fn read(dir: &Path, listed: &manifest::Segment) -> Result<Bytes, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let file = File::open(dir.join(&listed.file)).map_err(|error| text(&error))?;
        let length = file.metadata().map_err(|error| text(&error))?.len();
        if length != listed.bytes {
            return Err(format!("it has {length} bytes, the manifest says {}", listed.bytes));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        file.take(length).read_to_end(&mut bytes).map_err(|error| text(&error))?;
        let found = checksum(&bytes);
        if found != listed.xxh3 {
            return Err(format!("its checksum is {found}, the manifest says {}", listed.xxh3));
        }
        Ok(Bytes::from(bytes))
    }

    fn parse(bytes: Bytes, records: u64) -> Result<(Columns, Layout), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let metadata = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new())
            .map_err(|error| text(&error))?;
        let file = metadata.metadata().file_metadata();
        let described = file.key_value_metadata().into_iter().flatten();
        let described = described.filter(|entry| entry.key == KEY).find_map(|e| e.value.as_ref());
        let Some(described) = described else { return Err("it says no layout".to_owned()) };
        let layout: Layout = serde_json::from_str(described).map_err(|error| text(&error))?;
        if file.num_rows() as u64 != records {
            let rows = file.num_rows();
            return Err(format!("it has {rows} rows, the manifest says {records}"));
        }
        if layout.groups.len() != metadata.metadata().num_row_groups() {
            return Err("its layout has other groups of rows".to_owned());
        }
        Ok((Columns::Written(bytes, metadata), layout))
    }

    pub(super) fn groups(&self) -> usize {
        self.layout.groups.len()
    }

    /// How many rows a group has.
    pub(super) fn rows(&self, group: usize) -> usize {
        match &self.columns {
            Columns::Written(_, metadata) => {
                metadata.metadata().row_group(group).num_rows() as usize
            }
            Columns::Collected(batch) => GROUP_ROWS.min(batch.num_rows() - group * GROUP_ROWS),
        }
    }

    /// How long it is in its file; nothing if it is in none.
    pub(super) fn bytes(&self) -> u64 {
        match &self.columns {
            Columns::Written(bytes, _) => bytes.len() as u64,
            Columns::Collected(_) => 0,
        }
    }
}

impl Group {
    pub(super) fn new(segment: &Arc<Segment>, number: usize) -> Self {
        Self { segment: Arc::clone(segment), number, first: 0, part: None }
    }

    /// How many rows are read.
    pub(crate) fn rows(&self) -> usize {
        self.part.as_ref().map_or_else(|| self.segment.rows(self.number), ExactSizeIterator::len)
    }

    /// The columns that are wanted, those that there are.
    pub(super) fn read(&self, wanted: impl Fn(&str) -> bool) -> Result<RecordBatch, InputError> {
        let rows = self.segment.rows(self.number);
        let batch = match &self.segment.columns {
            Columns::Written(bytes, metadata) => self.decode(bytes, metadata, rows, wanted)?,
            Columns::Collected(batch) => {
                let fields = batch.schema_ref().fields().iter().enumerate();
                let fields = fields.filter(|(_, field)| wanted(field.name()));
                let places: Vec<usize> = fields.map(|(place, _)| place).collect();
                let wanted = batch.project(&places).map_err(|error| self.unreadable(&error))?;
                wanted.slice(self.number * GROUP_ROWS, rows)
            }
        };
        Ok(match &self.part {
            Some(part) => batch.slice(part.start, part.len()),
            None => batch,
        })
    }

    fn decode(
        &self,
        bytes: &Bytes,
        metadata: &ArrowReaderMetadata,
        rows: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<RecordBatch, InputError> {
        let schema = metadata.parquet_schema();
        let columns = schema.columns().iter().enumerate();
        let columns = columns.filter(|(_, column)| wanted(column.name())).map(|(place, _)| place);
        let mask = ProjectionMask::leaves(schema, columns);
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), metadata.clone());
        let reader = reader.with_row_groups(vec![self.number]).with_projection(mask);
        let reader = reader.with_batch_size(rows.max(1)).build();
        let mut reader = reader.map_err(|error| self.unreadable(&error))?;
        match reader.next() {
            Some(Ok(batch)) if batch.num_rows() == rows => Ok(batch),
            Some(Err(error)) => Err(self.unreadable(&error)),
            _ => Err(self.unreadable(&"a group of rows has not the rows that it says")),
        }
    }

    /// What is said of a segment that is not as it must be.
    pub(super) fn unreadable(&self, detail: &dyn std::fmt::Display) -> InputError {
        let Segment { log, file, .. } = &*self.segment;
        InputError::Segment {
            input: log.clone(),
            segment: file.clone(),
            detail: detail.to_string(),
        }
    }
}
