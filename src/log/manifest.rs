//! The manifest of a replay log: its partitions and their segments.
//!
//! It is replaced as a whole, after whatever it lists is on disk: a folder with a manifest has all
//! that this says. State: none.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use smol_str::SmolStr;

use super::seal::Reading;
use crate::model::time::{format_rfc3339, parse_rfc3339};
use crate::sources::InputError;

/// What the manifest is called in its folder.
pub const FILE: &str = "manifest.json";
/// What a manifest says it is of.
const FORMAT: &str = "limbeck-log";
/// The version that is written; those before it are read too.
const VERSION: u32 = 2;
/// A longer manifest is none.
const BYTES_MAX: u64 = 1 << 30;
/// As many partitions as positions tell apart.
const PARTITIONS_MAX: usize = 1 << 24;
/// A segment with more rows is none of ours.
const SEGMENT_RECORDS_MAX: u64 = 1 << 31;

/// The content of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    version: u32,
    /// The number of the first file of frames with what was appended and is in no
    /// segment yet; those of the numbers behind it follow. None before something is appended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<u64>,
    /// The last arrival that was stamped and is in a segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamped: Option<Instant>,
    /// In the order in which they came.
    pub partitions: Vec<Partition>,
}

/// A log that was imported, or is appended to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// What it was called.
    pub name: String,
    /// The source of the rule file that read it.
    pub source: String,
    /// Why it could not be read to its end, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
    /// The fields of its source in the rule file, which do not change as long as it is appended to;
    /// those of an import by an earlier version are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Value>,
    /// What its columns are called, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Vec<SmolStr>>,
    /// Of one that was split, the number of the first of its parts, of which this is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<usize>,
    /// How many lines the segments are made of, or a few less if the last of them are blank.
    #[serde(default)]
    pub lines: u64,
    /// Whether it was declared ended behind its segments.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
    /// How many fewer segments there are since some were put together.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub merged: usize,
    /// What was removed of its beginning, if anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Removed>,
    /// In the order of their records.
    pub segments: Vec<Segment>,
}

/// What is kept no more of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// How many segments there were.
    pub segments: usize,
    /// How many records there were, dead letters and marks included.
    pub records: u64,
    /// How many of them were marks.
    #[serde(default, skip_serializing_if = "none")]
    pub marks: u64,
    /// The last arrival among them; none if all were dead letters.
    pub until: Option<Instant>,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until {
            Some(until) => write!(f, "what arrived until {} was removed", format_rfc3339(until.0)),
            None => write!(f, "{} dead letters before its first record were removed", self.records),
        }
    }
}

/// A time as it is written in a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Instant(
    #[serde(serialize_with = "write_instant", deserialize_with = "read_instant")] pub i64,
);

/// A sealed segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The file in the folder.
    pub file: String,
    /// How many records of the partition come before it.
    pub offset: u64,
    /// Its records, dead letters and marks included; at least one.
    pub records: u64,
    /// How many of them are dead letters.
    pub dead_letters: u64,
    /// How many of them are marks; logs of before may not say it.
    #[serde(default, skip_serializing_if = "none")]
    pub marks: u64,
    /// The first and the last arrival (where a record says none, its event time); dead letters have
    /// none.
    pub arrival: Option<Range>,
    /// The first and the last event time.
    pub time: Option<Range>,
    /// How long the file is.
    pub bytes: u64,
    /// The checksum of the file, as 16 hexadecimal digits: XXH3 of 64 bits.
    pub xxh3: String,
}

/// From the first to the last, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The first.
    #[serde(serialize_with = "write_instant", deserialize_with = "read_instant")]
    pub from: i64,
    /// The last.
    #[serde(serialize_with = "write_instant", deserialize_with = "read_instant")]
    pub to: i64,
}

impl Range {
    /// The range of a time and what was before.
    pub(super) fn with(range: Option<Self>, time_ns: i64) -> Option<Self> {
        Some(match range {
            Some(Self { from, to }) => Self { from: from.min(time_ns), to: to.max(time_ns) },
            None => Self { from: time_ns, to: time_ns },
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn none(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn write_instant<S: Serializer>(time_ns: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_rfc3339(*time_ns))
}

fn read_instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_rfc3339(&text).map_err(|_| serde::de::Error::custom(format!("`{text}` is not a time")))
}

/// Whether a folder says that it is a log.
pub fn is_log(path: &Path) -> bool {
    path.join(FILE).exists()
}

/// What is kept of a log; everything unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Segments that end longer than this before the last arrival of the log are removed.
    pub age_ns: Option<i64>,
    /// Of segments that have more bytes together, those that end first are removed.
    pub bytes: Option<u64>,
}

impl Manifest {
    /// Leaves out the segments that shall not be kept, from the first of each partition; their
    /// files.
    pub(super) fn retain(&mut self, retention: Retention) -> Vec<String> {
        let mut files = Vec::new();
        let segments = self.partitions.iter().flat_map(|partition| &partition.segments);
        let last = segments.filter_map(|segment| segment.arrival).map(|range| range.to).max();
        if let (Some(age), Some(last)) = (retention.age_ns, last) {
            for partition in &mut self.partitions {
                while partition.first_ends().is_some_and(|end| last.saturating_sub(end) > age) {
                    files.extend(partition.remove_first());
                }
            }
        }
        while let Some(bytes) = retention.bytes
            && self.partitions.iter().map(Partition::bytes).sum::<u64>() > bytes
        {
            let some = self.partitions.iter_mut().filter(|of| !of.segments.is_empty());
            let first = some.min_by_key(|partition| partition.first_ends().unwrap_or(i64::MAX));
            files.extend(first.and_then(Partition::remove_first));
        }
        files
    }

    /// The manifest of these partitions.
    pub(super) fn new(partitions: Vec<Partition>) -> Self {
        let (format, version) = (FORMAT.to_owned(), VERSION);
        Self { format, version, active: None, stamped: None, partitions }
    }

    /// Reads the manifest of a folder.
    ///
    /// # Errors
    /// [`InputError::Missing`] or [`InputError::Directory`] where there is no manifest,
    /// [`InputError::Unreadable`] where it may not be read, [`InputError::Manifest`] where it is
    /// not what this version writes.
    pub fn read(dir: &Path) -> Result<Self, InputError> {
        let input = dir.display().to_string();
        if !is_log(dir) {
            return Err(match dir.exists() {
                true => InputError::Directory { input },
                false => InputError::Missing { input },
            });
        }
        let mut bytes = Vec::new();
        let read = File::open(dir.join(FILE))
            .and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes));
        if let Err(error) = read {
            let detail = format!("{FILE}: {error}");
            return Err(InputError::Unreadable { input, detail });
        }
        Self::parse(&bytes).map_err(|detail| InputError::Manifest { input, detail })
    }

    /// Reads a manifest; the error says what is wrong with it.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        /// What every version has.
        #[derive(Deserialize)]
        struct Mark {
            format: Option<String>,
            version: Option<u64>,
        }
        let mark: Mark = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if mark.format.as_deref() != Some(FORMAT) {
            return Err(format!("it does not say that it is of a {FORMAT}"));
        }
        if !mark.version.is_some_and(|version| (1..=u64::from(VERSION)).contains(&version)) {
            let found = mark.version.map_or("none".to_owned(), |version| version.to_string());
            return Err(format!("its version is {found}; this limbeck reads up to {VERSION}"));
        }
        let mut manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        manifest.version = VERSION;
        if manifest.partitions.len() > PARTITIONS_MAX {
            return Err(format!("more than {PARTITIONS_MAX} partitions"));
        }
        for (number, partition) in manifest.partitions.iter().enumerate() {
            let mut offset = partition.removed.map_or(0, |removed| removed.records);
            for segment in &partition.segments {
                let wrong = |what: &str| format!("partition {number}: {}: {what}", segment.file);
                segment.check().map_err(wrong)?;
                if segment.offset != offset {
                    return Err(wrong(&format!("its offset is not {offset}")));
                }
                offset = offset.saturating_add(segment.records);
            }
        }
        Ok(manifest)
    }

    /// The bytes of the file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain values encode");
        bytes.push(b'\n');
        bytes
    }
}

impl Segment {
    fn check(&self) -> Result<(), &'static str> {
        let mut parts = Path::new(&self.file).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
            return Err("not the name of a file in the folder");
        }
        if self.records == 0 || self.records > SEGMENT_RECORDS_MAX {
            return Err("no segment has so many records");
        }
        if self.dead_letters.saturating_add(self.marks) > self.records {
            return Err("more dead letters and marks than records");
        }
        let is_reversed = |range: &Option<Range>| range.is_some_and(|range| range.from > range.to);
        if is_reversed(&self.arrival) || is_reversed(&self.time) {
            return Err("a range that ends before it begins");
        }
        Ok(())
    }
}

impl Partition {
    /// A partition of nothing yet, that is read so.
    pub(super) fn new(name: String, reading: &Reading) -> Self {
        let source = reading.source();
        Self {
            name,
            source: source.name.to_string(),
            mapping: Some(source.mapping.clone()),
            header: reading.header.as_ref().map(|names| names.to_vec()),
            ..Self::default()
        }
    }

    /// Notes that it could not be read to its end; the first time counts.
    pub(super) fn break_off(&mut self, error: &InputError) {
        let why = || format!("{}: {}", error.what(), error.detail());
        self.damaged.get_or_insert_with(why);
    }

    /// How many records come before what follows its segments.
    pub(super) fn offset(&self) -> u64 {
        self.removed.map_or(0, |removed| removed.records).saturating_add(self.records())
    }

    /// The number of its next segment, which no file of it had.
    pub(super) fn next_segment(&self) -> usize {
        self.removed.map_or(0, |removed| removed.segments) + self.segments.len() + self.merged
    }

    /// Leaves its first segment out; the file of it, if there is one.
    fn remove_first(&mut self) -> Option<String> {
        if self.segments.is_empty() {
            return None;
        }
        let first = self.segments.remove(0);
        let nothing = Removed { segments: 0, records: 0, marks: 0, until: None };
        let before = self.removed.unwrap_or(nothing);
        self.removed = Some(Removed {
            segments: before.segments + 1,
            records: before.records + first.records,
            marks: before.marks + first.marks,
            until: before.until.max(first.arrival.map(|range| Instant(range.to))),
        });
        Some(first.file)
    }

    /// The last arrival of the first segment; dead letters alone go with what follows them.
    fn first_ends(&self) -> Option<i64> {
        self.segments.iter().find_map(|segment| segment.arrival).map(|range| range.to)
    }

    /// How many marks of time that passed its segments have.
    pub fn marks(&self) -> u64 {
        self.segments.iter().map(|segment| segment.marks).sum()
    }

    /// How many records its segments have, dead letters and marks included.
    pub fn records(&self) -> u64 {
        self.segments.iter().map(|segment| segment.records).sum()
    }

    /// How long its segments are.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().fold(0, |sum: u64, segment| sum.saturating_add(segment.bytes))
    }
}
