//! The bytes of an input as they are stored, counted.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::InputError;
use super::interrupt::Interrupt;

/// How much of a compressed input is held at once; more than a decoder asks for at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// A stream of stored bytes with its name and a count of what was taken from it.
pub(super) struct Raw {
    name: String,
    inner: Box<dyn Read + Send>,
    /// The file that is read, if it is one: it can be read on elsewhere.
    file: Option<File>,
    /// What was read ahead to tell the format.
    head: Vec<u8>,
    head_at: usize,
    /// What went wrong while reading ahead; it is told when the head has been read.
    failure: Option<io::Error>,
    interrupt: Interrupt,
    /// How long the input is at least, unless it is cut while it is read.
    size_bytes_min: u64,
    offset: u64,
    consumed: Arc<AtomicU64>,
}

impl Raw {
    pub(super) fn new(name: String, inner: Box<dyn Read + Send>) -> Self {
        Self {
            name,
            inner,
            file: None,
            head: Vec::new(),
            head_at: 0,
            failure: None,
            interrupt: Interrupt::default(),
            size_bytes_min: 0,
            offset: 0,
            consumed: Arc::default(),
        }
    }

    /// The same, not to be read on after an interrupt.
    pub(super) fn until(self, interrupt: &Interrupt) -> Self {
        Self { interrupt: interrupt.clone(), ..self }
    }

    /// The same, which is a file.
    pub(super) fn of_file(self, file: File) -> Self {
        Self { file: Some(file), ..self }
    }

    /// The same, known to be so long.
    pub(super) fn at_least(self, size_bytes_min: u64) -> Self {
        Self { size_bytes_min, ..self }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn consumed(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.consumed)
    }

    /// Looks ahead until `enough` of the bytes seen, or the end. They are read again later.
    pub(super) fn peek(&mut self, enough: impl Fn(&[u8]) -> bool) -> &[u8] {
        const STEP_BYTES: usize = 16;
        while !enough(&self.head) {
            let mut step = [0; STEP_BYTES];
            match read_uninterrupted(&mut self.inner, &mut step) {
                Ok(0) => break,
                Ok(count) => self.head.extend_from_slice(&step[..count]),
                Err(error) => {
                    self.failure = Some(error);
                    break;
                }
            }
        }
        &self.head
    }

    /// Reads some bytes; 0 is the end.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, InputError> {
        let ahead = &self.head[self.head_at..];
        let read = if !ahead.is_empty() {
            let count = ahead.len().min(out.len());
            out[..count].copy_from_slice(&ahead[..count]);
            self.head_at += count;
            Ok(count)
        } else if let Some(error) = self.failure.take() {
            Err(error)
        } else if self.interrupt.signal().is_some() {
            Ok(0)
        } else {
            read_uninterrupted(&mut self.inner, out)
        };
        let count = read.map_err(|error| InputError::ReadFailed {
            input: self.name.clone(),
            offset: self.offset,
            detail: error.to_string(),
            line: None,
        })?;
        if count == 0 && !out.is_empty() {
            self.check_end()?;
        }
        self.offset += count as u64;
        self.consumed.store(self.offset, Ordering::Relaxed);
        Ok(count)
    }

    /// Passes so many bytes over without reading them, if it is a file that has them; whether it was.
    pub(super) fn skip(&mut self, count: u64) -> bool {
        let Some(file) = &mut self.file else { return false };
        let is_ahead = self.head_at < self.head.len() || self.failure.is_some();
        // Standard input may be a file that somebody has read the beginning of.
        let place = file.stream_position().map(|place| place + count);
        let has_it = |place: &u64| file.metadata().is_ok_and(|now| now.len() >= *place);
        let Some(place) = place.ok().filter(has_it).filter(|_| !is_ahead) else { return false };
        if file.seek(SeekFrom::Start(place)).is_err() {
            return false;
        }
        self.offset += count;
        self.consumed.store(self.offset, Ordering::Relaxed);
        true
    }

    /// Whether the end is that of the input.
    fn check_end(&self) -> Result<(), InputError> {
        let (input, offset, line) = (self.name.clone(), self.offset, None);
        if let Some(signal) = self.interrupt.signal() {
            return Err(InputError::Interrupted { input, offset, signal, line });
        }
        if offset < self.size_bytes_min {
            let size_bytes = self.size_bytes_min;
            return Err(InputError::Shrunk { input, offset, size_bytes, line });
        }
        Ok(())
    }
}

fn read_uninterrupted(reader: &mut dyn Read, out: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(out) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// A stream of stored bytes read in chunks, for a decoder.
pub(super) struct Chunks {
    raw: Raw,
    chunk: Vec<u8>,
    at: usize,
    len: usize,
}

impl Chunks {
    pub(super) fn new(raw: Raw) -> Self {
        Self { raw, chunk: vec![0; CHUNK_BYTES], at: 0, len: 0 }
    }

    pub(super) fn raw(&self) -> &Raw {
        &self.raw
    }

    /// What has been read but not consumed; empty is the end.
    pub(super) fn available(&mut self) -> Result<&[u8], InputError> {
        self.at_least(1)
    }

    /// As `available`, but `count` bytes or more, unless the end comes before.
    pub(super) fn at_least(&mut self, count: usize) -> Result<&[u8], InputError> {
        assert!(count <= CHUNK_BYTES, "a decoder asks for less than a chunk");
        if self.len - self.at < count {
            self.chunk.copy_within(self.at..self.len, 0);
            self.len -= self.at;
            self.at = 0;
        }
        while self.len < count {
            match self.raw.read(&mut self.chunk[self.len..])? {
                0 => break,
                read => self.len += read,
            }
        }
        Ok(&self.chunk[self.at..self.len])
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.at += count;
        assert!(self.at <= self.len, "no more is consumed than was available");
    }

    /// The next byte, or `None` at the end.
    pub(super) fn byte(&mut self) -> Result<Option<u8>, InputError> {
        let byte = self.available()?.first().copied();
        self.consume(usize::from(byte.is_some()));
        Ok(byte)
    }

    /// Damage at what is consumed next.
    pub(super) fn damaged(&self, detail: impl Into<String>) -> InputError {
        InputError::Damaged {
            input: self.raw.name.clone(),
            offset: self.raw.offset - (self.len - self.at) as u64,
            detail: detail.into(),
            line: None,
        }
    }
}

/// Decoded bytes on their way out, and the error that comes after them.
pub(super) struct Outbox {
    bytes: Vec<u8>,
    at: usize,
    len: usize,
    error: Option<InputError>,
}

impl Outbox {
    pub(super) fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity], at: 0, len: 0, error: None }
    }

    /// Where the next decoded bytes go; only to be asked for when all before are out.
    pub(super) fn space(&mut self) -> &mut [u8] {
        debug_assert_eq!(self.at, self.len);
        &mut self.bytes
    }

    /// Says that so many bytes have been put there, and what came after them.
    pub(super) fn filled(&mut self, len: usize, error: Option<InputError>) -> &[u8] {
        self.at = 0;
        self.len = len;
        self.error = error;
        &self.bytes[..len]
    }

    /// Hands out bytes, then the error; `None` if there is neither.
    pub(super) fn take(&mut self, out: &mut [u8]) -> Option<Result<usize, InputError>> {
        if self.at == self.len {
            return self.error.clone().map(Err);
        }
        let count = out.len().min(self.len - self.at);
        out[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Some(Ok(count))
    }
}
