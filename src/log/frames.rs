//! The active end of a log: what was appended, as it was received, in files of frames.
//!
//! ```text
//! file   frame*                       00000001.frames, 00000002.frames, ...
//! frame  "LBF1" | length u32 | group u64 | XXH3 u64 of what stands around it | head | text
//! ```
//!
//! Numbers are little-endian. A frame is of one partition: lines with the arrival that they were
//! stamped with, or a mark. `group` says where in the file the frames begin that were written
//! together with this one: all before that was on disk by then. So a file that ends in anything but
//! a whole frame was torn there by a crash, before it was acknowledged; a frame that is not whole
//! though a later group stands behind it is damage. State: a frame.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use limbeck_operators::hash::xxh3_64_with_seed;
use memchr::memmem;
use serde::{Deserialize, Serialize};

use crate::sources::blocks::{Block, Oversized};

const MAGIC: [u8; 4] = *b"LBF1";
const HEADER_BYTES: usize = 24;
/// A longer frame is none.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// Less is not worth to be compressed.
const COMPRESSED_BYTES_MIN: usize = 512;
const ZSTD_LEVEL: i32 = 1;

/// The file of frames of this number.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:08}.frames")
}

/// The number of a file of frames.
pub(super) fn file_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".frames")?;
    (number.len() == 8).then(|| number.parse().ok()).flatten()
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Frame {
    /// Of which partition.
    pub(crate) partition: u32,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum What {
    Lines(Lines),
    Mark(Mark),
}

/// Lines as they were received.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lines {
    /// The number of the first, in the partition from 1.
    pub(crate) first: u64,
    /// How many they are.
    pub(crate) count: u64,
    /// When they arrived, as far as they do not say it themselves.
    pub(crate) stamp_ns: Option<i64>,
    /// The lines that are longer than a record may be: number, beginning, length.
    oversized: Vec<(u64, Vec<u8>, u64)>,
    /// How long the others are, with their newlines.
    text_bytes: u64,
    is_compressed: bool,
    /// Those, when they have been read.
    #[serde(skip)]
    pub(crate) text: Vec<u8>,
}

/// What is said of a partition beside its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mark {
    /// Whatever comes arrives at this instant or later.
    Clock(i64),
    /// The same, and nobody shall wait for it: there may be nothing for long.
    Idle(i64),
    /// Nothing comes.
    End,
}

impl What {
    /// The arrival that the clock of whoever appended gave it.
    pub(super) fn stamped_ns(&self) -> Option<i64> {
        match self {
            Self::Lines(lines) => lines.stamp_ns,
            Self::Mark(Mark::Clock(at) | Mark::Idle(at)) => Some(*at),
            Self::Mark(Mark::End) => None,
        }
    }
}

impl Lines {
    /// Lines of an input, whose first has the number 1 + `before` in the partition.
    pub(super) fn new(block: Block, before: u64, stamp_ns: Option<i64>) -> Self {
        let count = block.count();
        let Block { bytes, first_line, oversized, .. } = block;
        let oversized = oversized.into_iter();
        Self {
            first: before + first_line,
            count,
            stamp_ns,
            oversized: oversized.map(|l| (before + l.line, l.head, l.bytes)).collect(),
            text_bytes: bytes.len() as u64,
            is_compressed: false,
            text: bytes,
        }
    }

    /// Takes in lines that follow these; gives them back if they cannot be in one frame.
    pub(super) fn join(&mut self, next: Self) -> Option<Self> {
        const JOINED_BYTES_MAX: usize = 1 << 20;
        let fits = self.first + self.count == next.first
            && self.stamp_ns == next.stamp_ns
            && self.text.last().is_none_or(|byte| *byte == b'\n')
            && self.text.len() + next.text.len() <= JOINED_BYTES_MAX;
        if !fits {
            return Some(next);
        }
        self.count += next.count;
        self.oversized.extend(next.oversized);
        self.text.extend_from_slice(&next.text);
        self.text_bytes = self.text.len() as u64;
        None
    }

    /// As lines of an input.
    pub(super) fn block(self) -> Block {
        let oversized = self.oversized.into_iter();
        Block {
            bytes: self.text,
            first_line: self.first,
            oversized: oversized
                .map(|(line, head, bytes)| Oversized { line, head, bytes })
                .collect(),
            ..Block::default()
        }
    }
}

impl Frame {
    /// Writes it, as one of the group that begins there.
    pub(super) fn encode(mut self, group: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        let mut text = Vec::new();
        if let What::Lines(lines) = &mut self.what {
            text = std::mem::take(&mut lines.text);
            if text.len() >= COMPRESSED_BYTES_MIN
                && let Ok(compressed) = zstd::bulk::compress(&text, ZSTD_LEVEL)
            {
                (text, lines.is_compressed) = (compressed, true);
            }
        }
        let head = postcard::to_stdvec(&self).expect("plain values encode");
        out.extend_from_slice(&head);
        out.extend_from_slice(&text);
        let payload = &out[start + HEADER_BYTES..];
        let length = u32::try_from(payload.len()).expect("frames are shorter than 4 GiB");
        let checksum = checksum(length, group, payload);
        let header = &mut out[start..start + HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC);
        header[4..8].copy_from_slice(&length.to_le_bytes());
        header[8..16].copy_from_slice(&group.to_le_bytes());
        header[16..].copy_from_slice(&checksum.to_le_bytes());
    }

    fn decode(payload: &[u8], with_text: bool) -> Option<Self> {
        let (mut frame, text): (Self, _) = postcard::take_from_bytes(payload).ok()?;
        if let What::Lines(lines) = &mut frame.what
            && with_text
        {
            let length =
                usize::try_from(lines.text_bytes).ok().filter(|n| *n <= FRAME_BYTES_MAX)?;
            lines.text = match lines.is_compressed {
                true => zstd::bulk::decompress(text, length).ok()?,
                false => text.to_vec(),
            };
            if lines.text.len() != length {
                return None;
            }
        }
        Some(frame)
    }
}

fn checksum(length: u32, group: u64, payload: &[u8]) -> u64 {
    xxh3_64_with_seed(payload, group ^ u64::from(length).rotate_left(32))
}

/// The header of a frame.
struct Header {
    length: usize,
    group: u64,
    checksum: u64,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| bytes.get(range)?.try_into().ok();
        let length = bytes.get(4..8)?.try_into().map(u32::from_le_bytes).ok()? as usize;
        let header = Self {
            length,
            group: u64::from_le_bytes(number(8..16)?),
            checksum: u64::from_le_bytes(number(16..24)?),
        };
        (bytes.starts_with(&MAGIC) && length <= FRAME_BYTES_MAX).then_some(header)
    }

    fn admits(&self, payload: &[u8]) -> bool {
        checksum(self.length as u32, self.group, payload) == self.checksum
    }
}

/// What stands behind the last whole frame of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Nothing,
    /// So many bytes that a crash has left.
    Torn(u64),
    /// Damage, behind which frames go on there.
    Damaged(u64),
}

/// A file of frames that is read, and may grow.
#[derive(Clone, Debug)]
pub(crate) struct FrameFile {
    path: Arc<PathBuf>,
    file: Arc<File>,
    at: u64,
}

impl FrameFile {
    /// Opens the file of this number.
    pub(crate) fn open(dir: &Path, number: u64) -> io::Result<Self> {
        let path = dir.join(file_name(number));
        let file = Arc::new(File::open(&path)?);
        Ok(Self { path: Arc::new(path), file, at: 0 })
    }

    /// Where the next frame begins.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Goes on from there.
    pub(crate) fn go_to(&mut self, at: u64) {
        self.at = at;
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The next frame, if it is whole.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        self.read(true)
    }

    /// The next frame without its text, if it is whole.
    pub(crate) fn pass(&mut self) -> io::Result<Option<Frame>> {
        self.read(false)
    }

    fn read(&mut self, with_text: bool) -> io::Result<Option<Frame>> {
        let mut header = [0; HEADER_BYTES];
        if !self.read_exact(&mut header, self.at)? {
            return Ok(None);
        }
        let Some(header) = Header::read(&header) else { return Ok(None) };
        let start = self.at + HEADER_BYTES as u64;
        if self.file.metadata()?.len() < start + header.length as u64 {
            return Ok(None);
        }
        let mut payload = vec![0; header.length];
        if !self.read_exact(&mut payload, start)? || !header.admits(&payload) {
            return Ok(None);
        }
        let frame = Frame::decode(&payload, with_text);
        self.at = if frame.is_some() { start + header.length as u64 } else { self.at };
        Ok(frame)
    }

    /// What stands behind the last whole frame.
    pub(crate) fn rest(&self) -> io::Result<Rest> {
        let length = self.file.metadata()?.len();
        if length <= self.at {
            return Ok(Rest::Nothing);
        }
        let mut rest = vec![0; (length - self.at) as usize];
        if !self.read_exact(&mut rest, self.at)? {
            return Ok(Rest::Torn(length - self.at));
        }
        let is_later = |place: &usize| {
            let header = rest.get(*place..).and_then(Header::read);
            header.is_some_and(|header| {
                let payload = rest.get(*place + HEADER_BYTES..);
                let payload = payload.and_then(|payload| payload.get(..header.length));
                header.group > self.at && payload.is_some_and(|payload| header.admits(payload))
            })
        };
        let later = memmem::find_iter(&rest, &MAGIC).skip_while(|place| *place == 0).find(is_later);
        Ok(match later {
            Some(place) => Rest::Damaged(self.at + place as u64),
            None => Rest::Torn(length - self.at),
        })
    }

    fn read_exact(&self, bytes: &mut [u8], at: u64) -> io::Result<bool> {
        match self.file.read_exact_at(bytes, at) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            read => read.map(|()| true),
        }
    }
}
