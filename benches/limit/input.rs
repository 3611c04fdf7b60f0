//! Files as chunks of whole lines, mapped into memory: no line is copied, and what was read can be
//! looked at again. What is far behind leaves the memory of the program until then.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr;

use memchr::memchr;

use super::scan::PADDING;

const CHUNK_BYTES: usize = 256 << 10;
/// So many chunks are taken out of memory together.
const CHUNKS_RELEASED: usize = 32;

/// Whole lines, the last of which may lack its end, and `PADDING` bytes of anything behind them.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    padded: &'a [u8],
    len: usize,
}

impl<'a> Block<'a> {
    pub(crate) fn lines(self) -> &'a [u8] {
        &self.padded[..self.len]
    }

    pub(crate) fn padded(self) -> &'a [u8] {
        self.padded
    }
}

/// One file in chunks of equal size, each of which owns the lines that start in it.
pub(crate) struct Map {
    start: *const u8,
    len: usize,
}

// SAFETY: the bytes are never written to.
unsafe impl Sync for Map {}

impl Map {
    /// Maps a file, which nobody may change meanwhile.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len() as usize;
        // SAFETY: the system chooses the place, so the mapping replaces nothing.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len + PADDING,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let map = Self { start: start.cast(), len };
        if len > 0 {
            let flags = libc::MAP_SHARED | libc::MAP_FIXED;
            // SAFETY: it replaces a part of the mapping above, the rest of which is the padding.
            let file_start =
                unsafe { libc::mmap(start, len, libc::PROT_READ, flags, file.as_raw_fd(), 0) };
            if file_start == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(map)
    }

    fn padded(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped as long as `self` lives.
        unsafe { std::slice::from_raw_parts(self.start, self.len + PADDING) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.padded()[..self.len]
    }

    pub(crate) fn count(&self) -> usize {
        self.len.div_ceil(CHUNK_BYTES)
    }

    pub(crate) fn chunks(&self) -> impl Iterator<Item = Block<'_>> {
        (0..self.count()).map(|chunk| self.chunk(chunk))
    }

    /// The lines of a chunk; none behind the last.
    pub(crate) fn chunk(&self, chunk: usize) -> Block<'_> {
        let bytes = self.bytes();
        let line_start = |chunk: usize| {
            let at = (chunk * CHUNK_BYTES).min(self.len);
            if at == 0 {
                return 0;
            }
            // The byte before tells whether a line starts there.
            memchr(b'\n', &bytes[at - 1..]).map_or(self.len, |len| at + len)
        };
        if chunk.is_multiple_of(CHUNKS_RELEASED) && chunk >= 2 * CHUNKS_RELEASED {
            self.advise(chunk - 2 * CHUNKS_RELEASED, CHUNKS_RELEASED, libc::MADV_DONTNEED);
        }
        let (start, end) = (line_start(chunk), line_start(chunk + 1));
        Block { padded: &self.padded()[start..end + PADDING], len: end - start }
    }

    /// Tells the system what will become of chunks.
    fn advise(&self, chunk: usize, chunks: usize, advice: libc::c_int) {
        let start = (chunk * CHUNK_BYTES).min(self.len);
        let len = (chunks * CHUNK_BYTES).min(self.len - start);
        // SAFETY: the bytes stay what they are, those of the file; all of them are mapped. Old
        // systems do not know all advice, and can do without.
        unsafe { libc::madvise(self.start.add(start).cast_mut().cast(), len, advice) };
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: nothing that borrows from it is left.
        unsafe { libc::munmap(self.start.cast_mut().cast(), self.len + PADDING) };
    }
}
