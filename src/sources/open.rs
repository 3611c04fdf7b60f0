//! A path becomes a stream of plain bytes, whatever it is compressed with.
//!
//! The format is told by the first bytes, never by the name: gzip, Zstandard, or plain. An empty
//! input is plain and empty.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustix::fs::OFlags;

use super::documents::Documents;
use super::error::InputError;
use super::gzip::{self, Gzip};
use super::interrupt::Interrupt;
use super::raw::{Chunks, Raw};
use super::zstd::{self, Zstd};
use crate::rules::Document;

/// An input whose plain bytes can be read.
pub struct Opened {
    stream: Stream,
    /// What makes lines of it, if it holds documents.
    documents: Option<Box<Documents>>,
    size_bytes: Option<u64>,
}

enum Stream {
    Plain(Raw),
    Gzip(Gzip),
    Zstd(Zstd),
}

/// What the first bytes of an input say.
enum Format {
    Plain,
    Gzip,
    Zstd,
    Other(&'static str),
}

/// Opens a file, a pipe or, for `-`, standard input.
///
/// # Errors
/// [`InputError`], if it is missing, a directory, not to be opened, an archive of a kind that is
/// not read.
pub fn open(path: &Path) -> Result<Opened, InputError> {
    open_until(path, &Interrupt::default())
}

/// The same, to be read until its end or an interrupt.
///
/// # Errors
/// As [`open`].
pub fn open_until(path: &Path, interrupt: &Interrupt) -> Result<Opened, InputError> {
    let standard_input = path.as_os_str() == "-";
    let name = match standard_input {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    };
    let opened = match standard_input {
        true => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        // To open a named pipe that nobody writes to would wait, and hear of no interrupt.
        false => OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path),
    };
    let described = opened.and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = described.map_err(|error| match error.kind() {
        ErrorKind::NotFound => InputError::Missing { input: name.clone() },
        _ => InputError::Unreadable { input: name.clone(), detail: error.to_string() },
    })?;
    if metadata.is_dir() {
        return Err(InputError::Directory { input: name });
    }
    if !metadata.is_file() {
        let pipe = Pipe { file, interrupt: interrupt.clone() };
        return Opened::from_raw(Raw::new(name, Box::new(pipe)).until(interrupt), None);
    }
    let size_bytes = metadata.len();
    // Both stand at the same place of the file, always.
    let same = file.try_clone();
    let raw = Raw::new(name, Box::new(file)).until(interrupt).at_least(size_bytes);
    let raw = match same {
        Ok(same) => raw.of_file(same),
        Err(_) => raw,
    };
    Opened::from_raw(raw, Some(size_bytes))
}

const NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// What may have to be waited for.
struct Pipe {
    file: File,
    interrupt: Interrupt,
}

impl Read for Pipe {
    /// An interrupt is the end.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.interrupt.wait_for(&self.file, None)? {
            match self.file.read(out) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
        Ok(0)
    }
}

impl Opened {
    /// Reads the input `name` from any stream of stored bytes, `size_bytes` long if that is known.
    ///
    /// # Errors
    /// [`InputError::Unsupported`], if the first bytes are those of an archive of a kind that is
    /// not read; [`InputError::Unreadable`], if there is no memory for a decoder.
    pub fn from_reader(
        name: String,
        reader: Box<dyn Read + Send>,
        size_bytes: Option<u64>,
    ) -> Result<Self, InputError> {
        Self::from_raw(Raw::new(name, reader), size_bytes)
    }

    fn from_raw(mut raw: Raw, size_bytes: Option<u64>) -> Result<Self, InputError> {
        let format = format_of(raw.peek(tells_the_format));
        let stream = match format {
            Format::Plain => Stream::Plain(raw),
            Format::Gzip => Stream::Gzip(Gzip::new(Chunks::new(raw))),
            Format::Zstd => Stream::Zstd(Zstd::new(Chunks::new(raw))?),
            Format::Other(format) => {
                return Err(InputError::Unsupported { input: raw.name().to_owned(), format });
            }
        };
        Ok(Self { stream, documents: None, size_bytes })
    }

    /// The same as lines, each a record of its documents with its place.
    pub(super) fn holding(self, documents: Document) -> Self {
        Self { documents: Some(Box::new(Documents::new(documents))), ..self }
    }

    /// Says whether what it holds is read as it happens.
    pub(super) fn set_live(&mut self, live: bool) {
        if let Some(documents) = &mut self.documents {
            documents.set_live(live);
        }
    }

    /// Whether its lines were made of documents.
    pub(super) fn holds_documents(&self) -> bool {
        self.documents.is_some()
    }

    /// The input as the user named it.
    pub fn name(&self) -> &str {
        self.raw().name()
    }

    /// How long the input is as it is stored, compressed or not; `None` for a pipe.
    pub fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }

    /// A count of the stored bytes read so far, which goes on counting: for a progress bar.
    pub fn consumed(&self) -> Arc<AtomicU64> {
        self.raw().consumed()
    }

    /// Reads some plain bytes; 0 is the end.
    ///
    /// # Errors
    /// [`InputError::Damaged`] after all that was whole has been read, [`InputError::ReadFailed`]
    /// where the system cannot read on.
    pub fn read_some(&mut self, out: &mut [u8]) -> Result<usize, InputError> {
        let Self { stream, documents, .. } = self;
        let mut read = |out: &mut [u8]| match stream {
            Stream::Plain(raw) => raw.read(out),
            Stream::Gzip(gzip) => gzip.read(out),
            Stream::Zstd(zstd) => zstd.read(out),
        };
        match documents {
            None => read(out),
            Some(documents) => documents.read(out, read),
        }
    }

    /// Passes so many plain bytes over without reading them, if it can; whether it has.
    pub(super) fn skip(&mut self, count: u64) -> bool {
        match &mut self.stream {
            Stream::Plain(raw) if self.documents.is_none() => raw.skip(count),
            _ => false,
        }
    }

    fn raw(&self) -> &Raw {
        match &self.stream {
            Stream::Plain(raw) => raw,
            Stream::Gzip(gzip) => gzip.input().raw(),
            Stream::Zstd(zstd) => zstd.input().raw(),
        }
    }
}

impl Read for Opened {
    /// As [`Opened::read_some`]; the error holds the [`InputError`].
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.read_some(out).map_err(io::Error::other)
    }
}

/// The longest mark that tells a format.
const MARK_BYTES_MAX: usize = 10;

/// Whether these first bytes are enough to tell the format. Most plain inputs need one byte, so
/// that a pipe with a short first line is not waited for.
fn tells_the_format(head: &[u8]) -> bool {
    match head.first() {
        None => false,
        Some(0x04 | 0x1f | 0x28 | b'B' | 0x50..=0x5f | 0xfd) => head.len() >= MARK_BYTES_MAX,
        Some(_) => true,
    }
}

fn format_of(head: &[u8]) -> Format {
    // A cut within the mark: no text holds these two bytes together, so it was an archive.
    let cut_zstd = head.len() >= 2 && zstd::MAGIC.starts_with(head);
    match head {
        _ if head.starts_with(&gzip::MAGIC) => Format::Gzip,
        _ if head.starts_with(&zstd::MAGIC) || cut_zstd => Format::Zstd,
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Format::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::Other("xz"),
        [b'B', b'Z', b'h', _, b'1', b'A', b'Y', b'&', b'S', b'Y', ..] => Format::Other("bzip2"),
        [0x04, 0x22, 0x4d, 0x18, ..] => Format::Other("lz4"),
        [b'P', b'K', 3, 4, ..] => Format::Other("zip"),
        _ => Format::Plain,
    }
}
