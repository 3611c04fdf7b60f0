//! The outbox: what is still to be delivered to one sink, on disk.
//!
//! Guarantees: what was [committed](Outbox::commit) is given out until it is marked as done,
//! whatever happens to the process meanwhile, in the order in which it was added. What has a key
//! that the outbox knows is not added again. The marks need not outlive a crash of the machine:
//! what loses its mark is given out once more, with the same key.
//!
//! On disk: segments named by the number of their first entry. Each has a file of entries, a line
//! each (checksum, number, key, lane, and the notification in JSON), and one of marks, a
//! checksummed number each. What is not whole at the end of them is what a crash left, and is cut
//! off; it was not committed. A segment is removed when all of it is done and enough others keep
//! the keys of late. State: the keys of what is on disk, 50 bytes each, and the marks of an earlier
//! run.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use limbeck_operators::hash::xxh3_64;

use crate::durable::{self, Disk, File};
use crate::sinks::OutputError;

/// A segment of this size is followed by another.
const SEGMENT_BYTES: u64 = 8 << 20;
/// So many segments are kept although all of them is done, for their keys.
const KEPT_SEGMENTS: usize = 8;
/// A number and its checksum.
const MARK_BYTES: usize = 16;
const UNDELIVERABLE: &str = "undeliverable.ndjson";

/// Something to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counted from 1.
    pub number: u64,
    /// What tells it apart from all others.
    pub key: u128,
    /// Of one lane, each waits for the one before.
    pub lane: u64,
    /// The notification, as JSON.
    pub body: String,
}

impl Entry {
    /// Its key, as sinks are told.
    pub fn idempotency_key(&self) -> String {
        format!("{:032x}", self.key)
    }

    fn to_line(&self) -> String {
        let rest = format!("{} {:032x} {:016x} {}", self.number, self.key, self.lane, self.body);
        format!("{:016x} {rest}\n", xxh3_64(rest.as_bytes()))
    }

    /// `None` if it is not what was written.
    fn from_line(line: &str) -> Option<Self> {
        let (sum, rest) = line.strip_suffix('\n')?.split_once(' ')?;
        if u64::from_str_radix(sum, 16).ok()? != xxh3_64(rest.as_bytes()) {
            return None;
        }
        let mut parts = rest.splitn(4, ' ');
        Some(Self {
            number: parts.next()?.parse().ok()?,
            key: u128::from_str_radix(parts.next()?, 16).ok()?,
            lane: u64::from_str_radix(parts.next()?, 16).ok()?,
            body: parts.next()?.to_owned(),
        })
    }
}

/// Some entries on disk.
#[derive(Debug)]
struct Segment {
    first: u64,
    /// Of all entries that are committed.
    keys: Vec<u128>,
    bytes: u64,
    done: u64,
    /// The marks of an earlier run.
    marked: BTreeSet<u64>,
    marks: Option<File>,
}

impl Segment {
    fn new(first: u64) -> Self {
        let (keys, marked, marks) = (Vec::new(), BTreeSet::new(), None);
        Self { first, keys, bytes: 0, done: 0, marked, marks }
    }

    fn end(&self) -> u64 {
        self.first + self.keys.len() as u64
    }

    fn entries_path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{:016}.entries", self.first))
    }

    fn marks_path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{:016}.done", self.first))
    }
}

/// The outbox of a sink.
#[derive(Debug)]
pub struct Outbox {
    /// Nobody else's, as long as it is open; none where the file system has no locks.
    _lock: Option<fs::File>,
    disk: Disk,
    dir: PathBuf,
    segment_bytes: u64,
    segments: VecDeque<Segment>,
    /// That of the last segment, if it was written to.
    file: Option<File>,
    keys: BTreeSet<u128>,
    /// Added, and not committed yet.
    added: Vec<Entry>,
    /// The number of the entry that is read next.
    next: u64,
    /// Stands before it, or at the end of a segment before, which is named by its first.
    reader: Option<(u64, BufReader<fs::File>)>,
}

impl Outbox {
    /// Opens the outbox in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made, read or written, or is not what was written.
    pub fn open(disk: &Disk, dir: &Path) -> Result<Self, OutputError> {
        Self::with_segments(disk, dir, SEGMENT_BYTES)
    }

    fn with_segments(disk: &Disk, dir: &Path, segment_bytes: u64) -> Result<Self, OutputError> {
        let cannot = |error: io::Error| OutputError::cannot_create(dir, &error);
        disk.create_dir_all(dir).map_err(cannot)?;
        let mut outbox = Self {
            _lock: durable::lock(dir).map_err(|_| {
                OutputError::cannot_create(dir, &"another process delivers from it")
            })?,
            disk: disk.clone(),
            dir: dir.to_owned(),
            segment_bytes,
            segments: VecDeque::new(),
            file: None,
            keys: BTreeSet::new(),
            added: Vec::new(),
            next: 1,
            reader: None,
        };
        let mut firsts = BTreeSet::new();
        for entry in fs::read_dir(dir).map_err(cannot)? {
            let name = entry.map_err(cannot)?.file_name();
            let first: Option<u64> =
                name.to_str().and_then(|name| name.strip_suffix(".entries")?.parse().ok());
            firsts.extend(first);
        }
        for first in &firsts {
            let segment = outbox.load(*first, Some(first) == firsts.last())?;
            outbox.segments.push_back(segment);
        }
        // What a crash left may not be sure to last.
        disk.sync_dir(dir).map_err(cannot)?;
        outbox.next = outbox.segments.front().map_or(1, |segment| segment.first);
        Ok(outbox)
    }

    /// Adds something, unless its key is known; it is given out once it is committed.
    pub fn add(&mut self, key: u128, lane: u64, body: String) -> bool {
        let is_new = self.keys.insert(key);
        if is_new {
            let number = self.end() + self.added.len() as u64;
            self.added.push(Entry { number, key, lane, body });
        }
        is_new
    }

    /// Makes last what was added.
    ///
    /// # Errors
    /// If that fails; the outbox is then of no use any more.
    pub fn commit(&mut self) -> Result<(), OutputError> {
        if self.added.is_empty() {
            return Ok(());
        }
        let full = self.segments.back().is_none_or(|last| last.bytes >= self.segment_bytes);
        if full {
            self.segments.push_back(Segment::new(self.end()));
            self.file = None;
        }
        let segment = self.segments.back().expect("there is one");
        let path = segment.entries_path(&self.dir);
        let lines: String = self.added.iter().map(Entry::to_line).collect();
        let written = self.disk.point("outbox").and_then(|()| match &mut self.file {
            Some(file) => Ok(file),
            none => open_file(&self.disk, &path).map(|file| none.insert(file)),
        });
        written
            .and_then(|file| {
                file.write_all(lines.as_bytes())?;
                file.sync()?;
                // Its name must last, too.
                if full { self.disk.sync_dir(&self.dir) } else { Ok(()) }
            })
            .map_err(|error| OutputError::write_failed(&path, &error))?;
        let segment = self.segments.back_mut().expect("there is one");
        segment.bytes += lines.len() as u64;
        segment.keys.extend(self.added.drain(..).map(|entry| entry.key));
        Ok(())
    }

    /// The next that is not done; each is given out once.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn take(&mut self) -> Result<Option<Entry>, OutputError> {
        loop {
            let Some(segment) = self.segments.iter().find(|segment| self.next < segment.end())
            else {
                return Ok(None);
            };
            let path = segment.entries_path(&self.dir);
            let failed = |error: io::Error| OutputError::write_failed(&path, &error);
            // What was before is removed.
            self.next = self.next.max(segment.first);
            let reader = match &mut self.reader {
                Some((first, reader)) if *first == segment.first => reader,
                other => {
                    let file = fs::File::open(&path).map_err(failed)?;
                    &mut other.insert((segment.first, BufReader::new(file))).1
                }
            };
            let mut line = String::new();
            reader.read_line(&mut line).map_err(failed)?;
            let entry = Entry::from_line(&line).filter(|entry| entry.number == self.next);
            let Some(entry) = entry else { return Err(damaged(&path, self.next)) };
            self.next += 1;
            if !segment.marked.contains(&entry.number) {
                return Ok(Some(entry));
            }
        }
    }

    /// Marks something as done.
    ///
    /// # Errors
    /// If the mark cannot be written.
    pub fn done(&mut self, number: u64) -> Result<(), OutputError> {
        let Self { disk, dir, segments, .. } = self;
        let Some(segment) = segments.iter_mut().rev().find(|segment| segment.first <= number)
        else {
            return Ok(());
        };
        let path = segment.marks_path(dir);
        let mark = [number.to_le_bytes(), xxh3_64(&number.to_le_bytes()).to_le_bytes()].concat();
        let file = disk.point("outbox").and_then(|()| match &mut segment.marks {
            Some(file) => Ok(file),
            none => open_file(disk, &path).map(|file| none.insert(file)),
        });
        file.and_then(|file| file.write_all(&mark))
            .map_err(|error| OutputError::write_failed(&path, &error))?;
        segment.done += 1;
        self.forget()
    }

    /// Keeps what cannot be delivered, with the reason, and marks it as done.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn give_up(&mut self, entry: &Entry, reason: &str) -> Result<(), OutputError> {
        let path = self.dir.join(UNDELIVERABLE);
        let reason = serde_json::to_string(reason).expect("a text is JSON");
        let mut line = format!("{{\"reason\":{reason},\"notification\":{}}}\n", entry.body);
        let mut last = [b'\n'];
        let before = fs::File::open(&path);
        let new = before.is_err();
        if let Ok(file) = before {
            // An empty file has no last byte.
            let end = file.metadata().map_or(0, |file| file.len());
            let _ = file.read_at(&mut last, end.saturating_sub(1));
        }
        if last != *b"\n" {
            // A crash has torn the last line.
            line.insert(0, '\n');
        }
        open_file(&self.disk, &path)
            .and_then(|mut file| {
                file.write_all(line.as_bytes())?;
                file.sync()?;
                if new { self.disk.sync_dir(&self.dir) } else { Ok(()) }
            })
            .map_err(|error| OutputError::write_failed(&path, &error))?;
        self.done(entry.number)
    }

    /// How many are committed and not done.
    pub fn left(&self) -> u64 {
        let of = |segment: &Segment| segment.keys.len() as u64 - segment.done;
        self.segments.iter().map(of).sum()
    }

    /// The number of the entry that is committed next.
    fn end(&self) -> u64 {
        self.segments.back().map_or(1, Segment::end)
    }

    /// Removes segments of which all is done, but for those of late.
    fn forget(&mut self) -> Result<(), OutputError> {
        while self.segments.len() > KEPT_SEGMENTS {
            let Some(oldest) = self.segments.pop_front_if(|s| s.done == s.keys.len() as u64) else {
                return Ok(());
            };
            let (entries, marks) = (oldest.entries_path(&self.dir), oldest.marks_path(&self.dir));
            // The marks last, lest entries come back without them.
            let removed = self.disk.remove(&entries).and_then(|()| self.disk.sync_dir(&self.dir));
            removed
                .and_then(|()| self.disk.remove(&marks))
                .map_err(|error| OutputError::write_failed(&entries, &error))?;
            for key in &oldest.keys {
                self.keys.remove(key);
            }
        }
        Ok(())
    }

    /// Reads a segment, and cuts off what a crash left.
    fn load(&mut self, first: u64, is_last: bool) -> Result<Segment, OutputError> {
        let mut segment = Segment::new(first);
        let path = segment.entries_path(&self.dir);
        let failed = |error: io::Error| OutputError::cannot_create(&path, &error);
        let mut reader = BufReader::new(fs::File::open(&path).map_err(failed)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(failed)? == 0 {
                break;
            }
            let entry = std::str::from_utf8(&line).ok().and_then(Entry::from_line);
            match entry.filter(|entry| entry.number == segment.end()) {
                Some(entry) => {
                    segment.keys.push(entry.key);
                    self.keys.insert(entry.key);
                    segment.bytes += line.len() as u64;
                }
                // It has no end: nothing comes behind it.
                None if is_last && !line.ends_with(b"\n") => {
                    let file = self.disk.append(&path).map_err(failed)?;
                    file.cut(segment.bytes).and_then(|()| file.sync()).map_err(failed)?;
                    break;
                }
                None => return Err(damaged(&path, segment.end())),
            }
        }
        let path = segment.marks_path(&self.dir);
        let mut marks = Vec::new();
        match fs::File::open(&path).and_then(|mut file| file.read_to_end(&mut marks)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let (whole, torn) = marks.as_chunks::<MARK_BYTES>();
        if !torn.is_empty() {
            let file = self.disk.append(&path).map_err(failed)?;
            file.cut((whole.len() * MARK_BYTES) as u64).map_err(failed)?;
        }
        for mark in whole {
            let (number, sum) = mark.split_at(8);
            let known = u64::from_le_bytes(number.try_into().expect("8 bytes"));
            let is_whole = xxh3_64(number).to_le_bytes() == sum;
            if is_whole && (segment.first..segment.end()).contains(&known) {
                segment.done += u64::from(segment.marked.insert(known));
            }
        }
        Ok(segment)
    }
}

fn open_file(disk: &Disk, path: &Path) -> io::Result<File> {
    match disk.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.append(path),
        made => made,
    }
}

fn damaged(path: &Path, number: u64) -> OutputError {
    let detail = format!("its entry {number} is not what was written; keep it for a look");
    OutputError::cannot_create(path, &detail)
}

#[cfg(test)]
mod tests;
