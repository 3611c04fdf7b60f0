//! Files as blocks of whole lines, through a buffer that stays in the cache.
//!
//! Every block is read to the start of a page: the system copies from page to page several times as
//! fast as between places that lie differently in theirs.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use memchr::{memchr, memrchr};

const BLOCK_BYTES: usize = 128 << 10;
const PAGE_BYTES: usize = 4096;

/// Bytes in which `base` is the start of a page, with at least `before` in front of it.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    base: usize,
}

impl Buffer {
    fn new(before: usize, behind: usize) -> Self {
        let bytes = vec![0; before + PAGE_BYTES + behind];
        let base = before + bytes[before..].as_ptr().align_offset(PAGE_BYTES);
        Self { bytes, base }
    }
}

/// One file from its start to its end.
pub(crate) struct Blocks {
    file: File,
    buffer: Buffer,
    /// The start of a line whose end is still to be read.
    rest: Range<usize>,
    ended: bool,
}

impl Blocks {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self { file, buffer: Buffer::new(PAGE_BYTES, BLOCK_BYTES), rest: 0..0, ended: false })
    }

    /// The next lines; the last line of the file may lack its end.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            let start = self.carry_rest();
            let base = self.buffer.base;
            let free = &mut self.buffer.bytes[base..base + BLOCK_BYTES];
            let read = if self.ended { 0 } else { self.file.read(free)? };
            self.ended = read == 0;
            let end = match memrchr(b'\n', &free[..read]) {
                Some(at) => base + at + 1,
                None if self.ended => base,
                None => start,
            };
            self.rest = end..base + read;
            if end > start || self.ended {
                return Ok((end > start).then_some(&self.buffer.bytes[start..end]));
            }
        }
    }

    /// Moves the rest in front of the next block; where it starts there.
    fn carry_rest(&mut self) -> usize {
        let rest = self.rest.clone();
        if rest.len() > self.buffer.base {
            let mut larger = Buffer::new(2 * rest.len(), BLOCK_BYTES);
            let start = larger.base - rest.len();
            larger.bytes[start..larger.base].copy_from_slice(&self.buffer.bytes[rest]);
            self.buffer = larger;
            return start;
        }
        let start = self.buffer.base - rest.len();
        self.buffer.bytes.copy_within(rest, start);
        start
    }
}

/// One file in chunks of equal size, each of which owns the lines that start in it.
pub(crate) struct Chunks {
    file: File,
    len: u64,
}

impl Chunks {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }

    pub(crate) fn count(&self) -> usize {
        self.len.div_ceil(BLOCK_BYTES as u64) as usize
    }

    /// What a thread reads its chunks to.
    pub(crate) fn buffer() -> Buffer {
        Buffer::new(PAGE_BYTES, BLOCK_BYTES + PAGE_BYTES)
    }

    /// The lines of a chunk; none behind the last.
    pub(crate) fn read<'a>(&self, chunk: usize, buffer: &'a mut Buffer) -> io::Result<&'a [u8]> {
        let offset = chunk as u64 * BLOCK_BYTES as u64;
        if offset >= self.len {
            return Ok(&[]);
        }
        // The last byte before tells whether a line starts with the chunk.
        let before = if chunk == 0 { 0 } else { PAGE_BYTES };
        let mut behind = BLOCK_BYTES + PAGE_BYTES;
        loop {
            if buffer.bytes.len() - buffer.base < behind {
                *buffer = Buffer::new(PAGE_BYTES, behind);
            }
            let base = buffer.base;
            let available = base + (self.len - offset).min(behind as u64) as usize;
            let wanted = &mut buffer.bytes[base - before..available];
            self.file.read_exact_at(wanted, offset - before as u64)?;
            let owned = available.min(base + BLOCK_BYTES);
            let first = match chunk {
                0 => base,
                _ => match memchr(b'\n', &buffer.bytes[base - 1..owned - 1]) {
                    Some(at) => base + at,
                    None => return Ok(&[]),
                },
            };
            // The last line that starts in the chunk ends at the first newline from here.
            match memchr(b'\n', &buffer.bytes[owned - 1..available]) {
                Some(at) => return Ok(&buffer.bytes[first..owned + at]),
                None if offset + (available - base) as u64 == self.len => {
                    return Ok(&buffer.bytes[first..available]);
                }
                None => behind *= 2,
            }
        }
    }
}
