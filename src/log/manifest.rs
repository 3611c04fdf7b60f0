//! The manifest of a replay log: its partitions and their segments.
//!
//! It is written last, so that a folder with a manifest is whole. State: none.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::time::{format_rfc3339, parse_rfc3339};
use crate::sources::InputError;

/// What the manifest is called in its folder.
pub const FILE: &str = "manifest.json";
/// What a manifest says it is of.
const FORMAT: &str = "limbeck-log";
/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;
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
    /// In the order of the import.
    pub partitions: Vec<Partition>,
}

/// A log that was imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// What it was called.
    pub name: String,
    /// The source of the rule file that read it.
    pub source: String,
    /// Why it could not be read to its end, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
    /// In the order of their records.
    pub segments: Vec<Segment>,
}

/// A sealed segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The file in the folder.
    pub file: String,
    /// How many records of the partition come before it.
    pub offset: u64,
    /// Its records, dead letters included; at least one.
    pub records: u64,
    /// How many of them are dead letters.
    pub dead_letters: u64,
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

impl Manifest {
    /// The manifest of these partitions.
    pub(super) fn new(partitions: Vec<Partition>) -> Self {
        Self { format: FORMAT.to_owned(), version: VERSION, partitions }
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
        if mark.version != Some(u64::from(VERSION)) {
            let found = mark.version.map_or("none".to_owned(), |version| version.to_string());
            return Err(format!("its version is {found}; this limbeck reads version {VERSION}"));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if manifest.partitions.len() > PARTITIONS_MAX {
            return Err(format!("more than {PARTITIONS_MAX} partitions"));
        }
        for (number, partition) in manifest.partitions.iter().enumerate() {
            let mut offset = 0u64;
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
        if self.dead_letters > self.records {
            return Err("more dead letters than records");
        }
        let is_reversed = |range: &Option<Range>| range.is_some_and(|range| range.from > range.to);
        if is_reversed(&self.arrival) || is_reversed(&self.time) {
            return Err("a range that ends before it begins");
        }
        Ok(())
    }
}

impl Partition {
    /// How many records it has, dead letters included.
    pub fn records(&self) -> u64 {
        self.segments.iter().map(|segment| segment.records).sum()
    }

    /// How long its segments are.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().fold(0, |sum: u64, segment| sum.saturating_add(segment.bytes))
    }
}

/// A partition of a log on disk.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The folder.
    pub dir: Arc<PathBuf>,
    /// What the manifest says of it.
    pub partition: Arc<Partition>,
    /// Whether to go on behind segments that cannot be read.
    pub skip_corrupt: bool,
}

impl Stored {
    /// The partitions of a log.
    ///
    /// # Errors
    /// As [`Manifest::read`].
    pub fn all(dir: &Path, skip_corrupt: bool) -> Result<Vec<Self>, InputError> {
        let manifest = Manifest::read(dir)?;
        let dir = Arc::new(dir.to_owned());
        let stored = |partition| Self {
            dir: Arc::clone(&dir),
            partition: Arc::new(partition),
            skip_corrupt,
        };
        Ok(manifest.partitions.into_iter().map(stored).collect())
    }
}
