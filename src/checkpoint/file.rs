//! The file of a checkpoint: what is small as one record, then what the operators remember, each
//! part with its checksum.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use limbeck_operators::hash::xxh3_64;
use serde::{Deserialize, Serialize};

use super::Checkpoint;
use crate::durable::Disk;
use crate::pipeline::SavedFlow;
use crate::rules::Written;
use crate::sinks::report::SavedOutputs;
use crate::sources::intake::SavedIntake;

/// How the file begins; the last is its version.
const MAGIC: &[u8; 20] = b"limbeck checkpoint 7";
const NUMBER_BYTES: usize = size_of::<u64>();

/// A checkpoint that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub detail: String,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the checkpoint cannot be read: {}: {}; remove it, to replay from the start",
            self.path.display(),
            self.detail
        )
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    at: i64,
    asked: Vec<(String, u64)>,
    written: Written,
    intake: SavedIntake,
    outputs: SavedOutputs,
    /// By worker: of the door, then of the timelines.
    flow: Vec<Vec<Section>>,
}

/// Some bytes behind the header.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Section {
    bytes: u64,
    hash: u64,
}

impl Section {
    fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, hash: xxh3_64(bytes) }
    }
}

/// Puts a checkpoint in the place of the one before.
pub(super) fn write(disk: &Disk, path: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
    let Checkpoint { at, asked, written, intake, outputs, flow } = checkpoint;
    let sections = |saved: &SavedFlow| saved.parts().map(Section::new).collect();
    let header = Header {
        at: *at,
        asked: asked.clone(),
        written: written.clone(),
        intake: intake.clone(),
        outputs: outputs.clone(),
        flow: flow.iter().map(sections).collect(),
    };
    let header = postcard::to_allocvec(&header).map_err(io::Error::other)?;
    let new = path.with_extension("new");
    disk.point("checkpoint write")?;
    disk.remove_if_there(&new)?;
    let mut file = disk.create(&new)?;
    let Section { bytes, hash } = Section::new(&header);
    file.write_all(MAGIC)?;
    file.write_all(&bytes.to_le_bytes())?;
    file.write_all(&hash.to_le_bytes())?;
    file.write_all(&header)?;
    flow.iter().flat_map(SavedFlow::parts).try_for_each(|part| file.write_all(part))?;
    file.sync()?;
    // What it needs has its names for good before it has its own.
    let dir = path.parent().unwrap_or(Path::new("."));
    disk.sync_dir(dir)?;
    disk.point("checkpoint rename")?;
    disk.rename(&new, path)?;
    disk.sync_dir(dir)
}

/// Reads a checkpoint as it is, if there is one.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Damaged> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Damaged { path: path.to_owned(), detail: error.to_string() }),
    }
}

/// What is in it.
pub(super) fn parse(bytes: &[u8]) -> Result<Checkpoint, String> {
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        return Err("it is none, or of another version of limbeck".to_owned());
    };
    let lengths = number(&mut rest).zip(number(&mut rest));
    let (bytes, hash) = lengths.ok_or("it ends too soon")?;
    let header = section(&mut rest, Section { bytes, hash })?;
    let header: Header = postcard::from_bytes(header).map_err(|error| error.to_string())?;
    let Header { at, asked, written, intake, outputs, flow } = header;
    let mut saved = Vec::with_capacity(flow.len());
    for of_worker in flow {
        let parts = of_worker.into_iter().map(|part| Ok(section(&mut rest, part)?.to_vec()));
        let parts = parts.collect::<Result<Vec<_>, String>>()?;
        saved.push(SavedFlow::from_parts(at, parts).ok_or("it has no door")?);
    }
    if !rest.is_empty() {
        return Err("it goes on behind its end".to_owned());
    }
    Ok(Checkpoint { at, asked, written, intake, outputs, flow: saved })
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(rest.split_off(..NUMBER_BYTES)?.try_into().ok()?))
}

fn section<'b>(rest: &mut &'b [u8], Section { bytes, hash }: Section) -> Result<&'b [u8], String> {
    let bytes = usize::try_from(bytes).ok();
    let found = bytes.and_then(|bytes| rest.split_off(..bytes)).ok_or("it ends too soon")?;
    if xxh3_64(found) == hash { Ok(found) } else { Err("a checksum differs".to_owned()) }
}
