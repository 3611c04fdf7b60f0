//! Files as blocks of whole lines, through a buffer that stays in the cache.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use memchr::{memchr, memrchr};

const BLOCK_BYTES: usize = 128 << 10;

/// One file from its start to its end.
pub(crate) struct Blocks {
    file: File,
    buffer: Vec<u8>,
    /// The start of a line whose end is still to be read.
    rest: std::ops::Range<usize>,
    ended: bool,
}

impl Blocks {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self { file, buffer: vec![0; BLOCK_BYTES], rest: 0..0, ended: false })
    }

    /// The next lines; the last line of the file may lack its end.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.buffer.copy_within(self.rest.clone(), 0);
        let mut filled = self.rest.len();
        loop {
            if filled == self.buffer.len() {
                self.buffer.resize(filled * 2, 0);
            }
            let read = if self.ended { 0 } else { self.file.read(&mut self.buffer[filled..])? };
            self.ended = read == 0;
            let newline = memrchr(b'\n', &self.buffer[filled..filled + read]);
            filled += read;
            let end = match newline {
                Some(at) => filled - read + at + 1,
                None if self.ended => filled,
                None => continue,
            };
            self.rest = end..filled;
            return Ok((end > 0).then_some(&self.buffer[..end]));
        }
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

    /// The lines of a chunk; none behind the last.
    pub(crate) fn read<'a>(&self, chunk: usize, buffer: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        const LINE_BYTES: usize = 1 << 10;
        let start = chunk as u64 * BLOCK_BYTES as u64;
        if start >= self.len {
            return Ok(&[]);
        }
        // The byte before tells whether a line starts with the chunk.
        let from = start.saturating_sub(1);
        let owned = (start - from) as usize + BLOCK_BYTES;
        let mut wanted = owned + LINE_BYTES;
        loop {
            let available = (self.len - from).min(wanted as u64) as usize;
            buffer.resize(buffer.len().max(available), 0);
            self.file.read_exact_at(&mut buffer[..available], from)?;
            let first = match chunk {
                0 => 0,
                _ => memchr(b'\n', &buffer[..available.min(owned)]).map_or(owned, |at| at + 1),
            };
            if first >= owned {
                return Ok(&[]);
            }
            // The last line that starts in the chunk ends at the first newline from here.
            let last = available.min(owned - 1);
            match memchr(b'\n', &buffer[last..available]) {
                Some(at) => return Ok(&buffer[first..last + at + 1]),
                None if from + available as u64 == self.len => {
                    return Ok(&buffer[first..available]);
                }
                None => wanted *= 2,
            }
        }
    }
}
