//! Sorted runs on disk, and the merge of them.
//!
//! A run is a sequence of blocks of about 64 KiB, each on its own compressed and with a checksum:
//! reading a run takes one block of memory. All runs of a level share one file without a name, so
//! that nothing stays after a crash and the number of open files does not grow with their number.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::mem;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

use limbeck_operators::hash::xxh3_64;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zstd::bulk;

use super::atomic::create_unique;
use super::error::OutputError;
use crate::durable::Disk;

/// A block is closed as soon as it is this long.
const BLOCK_BYTES: usize = 64 * 1024;
const WRITE_BUFFER_BYTES: usize = 256 * 1024;
const COMPRESSION_LEVEL: i32 = 1;

/// Length as stored, length of the items, checksum of what is stored.
const HEADER_BYTES: usize = 16;

/// A file without a name that holds runs one after another.
pub(super) struct RunFile {
    file: Arc<File>,
    len_bytes: u64,
    /// For messages: where the file would be.
    path: PathBuf,
}

/// Where a run is in its file.
#[derive(Clone, Copy)]
pub(super) struct Run {
    offset: u64,
    blocks: u64,
    pub(super) bytes: u64,
}

impl RunFile {
    pub(super) fn create(dir: &Path) -> Result<Self, OutputError> {
        let (file, path) = create_unique(&Disk::default(), dir, "sort")?;
        fs::remove_file(&path).map_err(|error| OutputError::cannot_create(&path, &error))?;
        Ok(Self { file: Arc::new(file.into_inner()), len_bytes: 0, path })
    }

    /// Gives the space of all runs back.
    pub(super) fn clear(&mut self) -> Result<(), OutputError> {
        self.len_bytes = 0;
        self.file.set_len(0).map_err(|error| OutputError::write_failed(&self.path, &error))
    }

    /// Adds a run.
    pub(super) fn put<T: Serialize>(
        &mut self,
        items: impl Iterator<Item = Result<(T, i64), OutputError>>,
    ) -> Result<Run, OutputError> {
        let at = At { file: Arc::clone(&self.file), offset: self.len_bytes };
        let mut writer = RunWriter::new(at, self.path.clone(), self.len_bytes)?;
        for item in items {
            let (item, diff) = item?;
            writer.put(&item, diff)?;
        }
        let (run, end, _) = writer.finish()?;
        self.len_bytes = end;
        Ok(run)
    }

    pub(super) fn reader(&self, run: Run) -> RunReader {
        RunReader::new(&self.file, &self.path, run)
    }
}

/// A run in a file of its own, which stays.
#[derive(Clone)]
pub(super) struct KeptRun {
    file: Arc<File>,
    path: PathBuf,
    /// What it is called in its folder, and how long it is.
    pub(super) saved: SavedRun,
}

/// A run in a file of its own, to be found again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedRun {
    pub(super) name: String,
    pub(super) bytes: u64,
    blocks: u64,
}

impl KeptRun {
    /// Writes a run, and brings it to the disk.
    pub(super) fn write<T: Serialize>(
        disk: &Disk,
        path: PathBuf,
        items: impl Iterator<Item = Result<(T, i64), OutputError>>,
    ) -> Result<Self, OutputError> {
        let created = disk.remove_if_there(&path).and_then(|()| disk.create(&path));
        let file = created.map_err(|error| OutputError::cannot_create(&path, &error))?;
        let mut writer = RunWriter::new(file, path.clone(), 0)?;
        for item in items {
            let (item, diff) = item?;
            writer.put(&item, diff)?;
        }
        let (run, bytes, file) = writer.finish()?;
        file.sync().map_err(|error| OutputError::write_failed(&path, &error))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let saved = SavedRun { name, bytes, blocks: run.blocks };
        Ok(Self { file: Arc::new(file.into_inner()), path, saved })
    }

    /// Finds a run again.
    pub(super) fn open(dir: &Path, saved: SavedRun) -> Result<Self, OutputError> {
        let path = dir.join(&saved.name);
        let file = File::open(&path);
        let file = file.map_err(|error| OutputError::read_back_failed(&path, &error))?;
        Ok(Self { file: Arc::new(file), path, saved })
    }

    pub(super) fn reader(&self) -> RunReader {
        let run = Run { offset: 0, blocks: self.saved.blocks, bytes: self.saved.bytes };
        RunReader::new(&self.file, &self.path, run)
    }
}

/// Writes at a place of a file that several runs share.
struct At {
    file: Arc<File>,
    offset: u64,
}

impl Write for At {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write_at(bytes, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes one run.
struct RunWriter<W: Write> {
    path: PathBuf,
    out: BufWriter<W>,
    compressor: bulk::Compressor<'static>,
    items: Vec<u8>,
    stored: Vec<u8>,
    run: Run,
    end: u64,
}

impl<W: Write> RunWriter<W> {
    fn new(out: W, path: PathBuf, offset: u64) -> Result<Self, OutputError> {
        let compressor = bulk::Compressor::new(COMPRESSION_LEVEL)
            .map_err(|error| OutputError::write_failed(&path, &error))?;
        Ok(Self {
            path,
            out: BufWriter::with_capacity(WRITE_BUFFER_BYTES, out),
            compressor,
            items: Vec::with_capacity(BLOCK_BYTES + BLOCK_BYTES / 8),
            stored: Vec::new(),
            run: Run { offset, blocks: 0, bytes: 0 },
            end: offset,
        })
    }

    fn put<T: Serialize>(&mut self, item: &T, diff: i64) -> Result<(), OutputError> {
        self.items = postcard::to_extend(&(item, diff), mem::take(&mut self.items))
            .map_err(|error| OutputError::write_failed(&self.path, &error))?;
        if self.items.len() >= BLOCK_BYTES { self.close_block() } else { Ok(()) }
    }

    /// The run, where it ends, and what it was written to.
    fn finish(mut self) -> Result<(Run, u64, W), OutputError> {
        if !self.items.is_empty() {
            self.close_block()?;
        }
        let out = self.out.into_inner();
        let out = out.map_err(|error| OutputError::write_failed(&self.path, error.error()))?;
        Ok((self.run, self.end, out))
    }

    fn close_block(&mut self) -> Result<(), OutputError> {
        self.write_block().map_err(|error| OutputError::write_failed(&self.path, &error))?;
        self.end += (HEADER_BYTES + self.stored.len()) as u64;
        self.run.blocks += 1;
        self.run.bytes += (HEADER_BYTES + self.stored.len()) as u64;
        self.items.clear();
        Ok(())
    }

    fn write_block(&mut self) -> std::io::Result<()> {
        let bound = zstd::zstd_safe::compress_bound(self.items.len());
        self.stored.resize(bound, 0);
        let len = self.compressor.compress_to_buffer(&self.items, &mut self.stored[..])?;
        self.stored.truncate(len);
        let too_long = |_| std::io::Error::other("an item is too large to be sorted");
        let stored_bytes = u32::try_from(self.stored.len()).map_err(too_long)?;
        let items_bytes = u32::try_from(self.items.len()).map_err(too_long)?;
        self.out.write_all(&stored_bytes.to_le_bytes())?;
        self.out.write_all(&items_bytes.to_le_bytes())?;
        self.out.write_all(&xxh3_64(&self.stored).to_le_bytes())?;
        self.out.write_all(&self.stored)
    }
}

/// Reads one run.
pub(super) struct RunReader {
    file: Arc<File>,
    path: PathBuf,
    /// What has not been read yet.
    run: Run,
    stored: Vec<u8>,
    items: Vec<u8>,
    at: usize,
}

impl RunReader {
    fn new(file: &Arc<File>, path: &Path, run: Run) -> Self {
        let (file, path) = (Arc::clone(file), path.to_owned());
        Self { file, path, run, stored: Vec::new(), items: Vec::new(), at: 0 }
    }

    fn next<T: DeserializeOwned>(
        &mut self,
        decompressor: &mut bulk::Decompressor<'static>,
    ) -> Result<Option<(T, i64)>, OutputError> {
        if self.at == self.items.len() {
            if self.run.blocks == 0 {
                return Ok(None);
            }
            self.read_block(decompressor)
                .map_err(|error| OutputError::read_back_failed(&self.path, &error))?;
        }
        let (item, rest) = postcard::take_from_bytes(&self.items[self.at..])
            .map_err(|error| OutputError::read_back_failed(&self.path, &error))?;
        self.at = self.items.len() - rest.len();
        Ok(Some(item))
    }

    fn read_block(
        &mut self,
        decompressor: &mut bulk::Decompressor<'static>,
    ) -> std::io::Result<()> {
        let mut header = [0; HEADER_BYTES];
        self.file.read_exact_at(&mut header, self.run.offset)?;
        let (lengths, checksum) = header.split_at(8);
        let [stored_bytes, items_bytes] = [&lengths[..4], &lengths[4..]]
            .map(|half| u32::from_le_bytes(half.try_into().expect("half of eight bytes")) as usize);
        self.stored.resize(stored_bytes, 0);
        self.file.read_exact_at(&mut self.stored, self.run.offset + HEADER_BYTES as u64)?;
        if xxh3_64(&self.stored).to_le_bytes() != checksum {
            return Err(std::io::Error::other("the checksum of a block differs"));
        }
        self.items.resize(items_bytes, 0);
        let len = decompressor.decompress_to_buffer(&self.stored, &mut self.items[..])?;
        if len != items_bytes {
            return Err(std::io::Error::other("the length of a block differs"));
        }
        self.at = 0;
        self.run.offset += (HEADER_BYTES + stored_bytes) as u64;
        self.run.blocks -= 1;
        Ok(())
    }
}

/// Something sorted that takes part in a merge.
pub(super) enum Part<T> {
    Memory(vec::IntoIter<(T, i64)>),
    File(RunReader),
}

/// The smallest item of a part that has not been merged yet.
struct Head<T> {
    item: T,
    diff: i64,
    part: usize,
}

impl<T: Ord> Ord for Head<T> {
    /// Reversed: the heap gives its largest first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.item.cmp(&self.item).then_with(|| other.part.cmp(&self.part))
    }
}

impl<T: Ord> PartialOrd for Head<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for Head<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Ord> Eq for Head<T> {}

/// Merges sorted parts: equal items become one with the sum of their diffs, or none if that is 0.
pub(super) struct Merge<T> {
    parts: Parts<T>,
    heads: BinaryHeap<Head<T>>,
}

struct Parts<T> {
    parts: Vec<Part<T>>,
    decompressor: bulk::Decompressor<'static>,
}

impl<T: Ord + DeserializeOwned> Parts<T> {
    fn next(&mut self, part: usize) -> Result<Option<(T, i64)>, OutputError> {
        match &mut self.parts[part] {
            Part::Memory(items) => Ok(items.next()),
            Part::File(run) => run.next(&mut self.decompressor),
        }
    }
}

impl<T: Ord + DeserializeOwned> Merge<T> {
    pub(super) fn new(parts: Vec<Part<T>>, dir: &Path) -> Result<Self, OutputError> {
        let decompressor = bulk::Decompressor::new()
            .map_err(|error| OutputError::read_back_failed(dir, &error))?;
        let mut heads = BinaryHeap::with_capacity(parts.len());
        let mut parts = Parts { parts, decompressor };
        for part in 0..parts.parts.len() {
            if let Some((item, diff)) = parts.next(part)? {
                heads.push(Head { item, diff, part });
            }
        }
        Ok(Self { parts, heads })
    }

    /// The items, by rising order. After an error it does not go on.
    pub(super) fn items(mut self) -> impl Iterator<Item = Result<(T, i64), OutputError>> {
        std::iter::from_fn(move || self.next().transpose())
    }

    /// The next item, by rising order.
    pub(super) fn next(&mut self) -> Result<Option<(T, i64)>, OutputError> {
        while let Some((item, mut sum)) = self.pop()? {
            while self.heads.peek().is_some_and(|head| head.item == item) {
                let (_, diff) = self.pop()?.expect("the heap has the head that was seen");
                sum = add_diffs(sum, diff);
            }
            if sum != 0 {
                return Ok(Some((item, sum)));
            }
        }
        Ok(None)
    }

    fn pop(&mut self) -> Result<Option<(T, i64)>, OutputError> {
        let Some(mut head) = self.heads.peek_mut() else { return Ok(None) };
        let head = match self.parts.next(head.part)? {
            Some((item, diff)) => {
                let next = Head { item, diff, part: head.part };
                mem::replace(&mut *head, next)
            }
            None => PeekMut::pop(head),
        };
        Ok(Some((head.item, head.diff)))
    }
}

/// Adds diffs of equal items.
pub(super) fn add_diffs(sum: i64, diff: i64) -> i64 {
    sum.checked_add(diff).expect("the diffs of an item sum up within 64 bits")
}
