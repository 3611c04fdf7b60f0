//! A log becomes one of more partitions: the parts of each follow one another in its place.
//!
//! Guarantees: a replay of the parts is that of the whole. What a record came to depended on what
//! arrived before it in its partition, so each part has a mark where the clock of the whole stood
//! further; parts are called as the whole, keep the numbers of its lines, and their records are
//! placed among those of others as the whole's were. The manifest is written last. State: a segment
//! of each part.

use std::path::Path;

use limbeck_operators::hash::fixed_hash;

use super::import::{make_room, segment_name};
use super::manifest::{self, FILE, Instant, Manifest};
use super::read::Groups;
use super::rows::Rows;
use super::stored::Stored;
use super::write::{Builder, Place, Shape};
use crate::durable::Disk;
use crate::replay::Failure;
use crate::rules::Paths;
use crate::sinks::{OutputDir, OutputError};
use crate::sources::{InputError, Interrupt};

/// Of arrivals that are no further from each other, one more mark would change nothing: no
/// `max_advance` is as short.
const STEP_NS: i64 = 1_000_000_000;
/// Parts together take up no more memory than this before they are written, but for a group of
/// rows.
const BYTES_MAX: usize = 128 << 20;

/// What decides to which part a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Its subject.
    Subject,
    /// Its source: the account of each source is then the same, too.
    Source,
}

/// Splits each partition of a log into so many parts, in a folder that must not be a log yet.
///
/// # Errors
/// [`Failure::Input`], if the log cannot be read or is damaged; [`Failure::Output`], if the folder
/// cannot be written, is a log already, or holds something else. There is no log then.
pub fn split(dir: &Path, into: &Path, parts: usize, by: By) -> Result<Manifest, Failure> {
    let stored = Stored::all(dir, false)?;
    let stamped_ns = stored.first().and_then(Stored::stamped_ns);
    let into = OutputDir::create(into)?;
    make_room(&Disk::default(), into.path())?;
    let mut partitions = Vec::new();
    for stored in stored {
        let first = partitions.len();
        let whole = manifest::Partition {
            segments: Vec::new(),
            lines: stored.end().lines,
            ended: stored.end().ended,
            part_of: Some(first),
            ..manifest::Partition::clone(&stored.partition)
        };
        let part = |number: usize| Part {
            number: first + number,
            // One of them says why there is no more.
            into: match number {
                0 => whole.clone(),
                _ => manifest::Partition { damaged: None, ..whole.clone() },
            },
            builder: Builder::new(Shape::default()),
            line: 0,
            known: None,
            pending: None,
        };
        let parts = (0..parts).map(part).collect();
        let mut splitting = Splitting { dir: &into, by, parts };
        splitting.take_all(stored)?;
        for mut part in splitting.parts {
            part.pass_time();
            part.seal(&into)?;
            partitions.push(part.into);
        }
    }
    let mut manifest = Manifest::new(partitions);
    manifest.stamped = stamped_ns.map(Instant);
    let mut file = into.file(FILE)?;
    file.put(&manifest.to_bytes())?;
    file.commit()?;
    Ok(manifest)
}

struct Splitting<'d> {
    dir: &'d OutputDir,
    by: By,
    parts: Vec<Part>,
}

impl Splitting<'_> {
    fn take_all(&mut self, stored: Stored) -> Result<(), Failure> {
        let mut groups = Groups::new(stored, &Interrupt::default());
        while let Some(group) = groups.next_group() {
            let rows = match group {
                Ok(group) => Rows::read(group, &Paths::default())?,
                // The parts remember it.
                Err(InputError::Imported { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let shape = rows.shape();
            for part in self.parts.iter_mut().filter(|part| *part.builder.shape() != shape) {
                part.seal(self.dir)?;
                part.builder = Builder::new(shape.clone());
            }
            for row in 0..rows.len() {
                self.take(&rows, row)?;
            }
            while self.parts.iter().map(Part::bytes).sum::<usize>() > BYTES_MAX {
                let Some(largest) = self.parts.iter_mut().max_by_key(|part| part.bytes()) else {
                    break;
                };
                largest.seal(self.dir)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, rows: &Rows, row: usize) -> Result<(), Failure> {
        if let Some((_, until_ns)) = rows.mark(row) {
            let mut parts = self.parts.iter_mut();
            return parts.try_for_each(|part| part.take(self.dir, rows, row, Some(until_ns)));
        }
        if rows.dead_letter(row).is_some() {
            // They come out in the order of one part.
            return self.parts[0].take(self.dir, rows, row, None);
        }
        let record = rows.record(row);
        let key = match self.by {
            By::Subject => record.subject.as_deref().unwrap_or_default(),
            By::Source => &record.source,
        };
        let mine = (fixed_hash(&key) % self.parts.len() as u64) as usize;
        let until_ns = record.arrival_ns.unwrap_or(record.event_time_ns);
        // Marks stand behind their line: this one is as good as the record.
        let mark = Mark { line: rows.line(row).saturating_sub(1), until_ns };
        for (number, part) in self.parts.iter_mut().enumerate() {
            match number == mine {
                true => part.take(self.dir, rows, row, Some(until_ns))?,
                false => part.note(mark),
            }
        }
        Ok(())
    }
}

/// A part of a partition.
struct Part {
    number: usize,
    into: manifest::Partition,
    builder: Builder,
    /// The line of the last row.
    line: u64,
    /// What the rows say of arrivals.
    known: Option<Known>,
    /// What arrived elsewhere since, and counts as those do.
    pending: Option<Mark>,
}

/// Arrivals each of which is at most a step ahead of one before it: if the first counts, all do, and
/// if it is a jump, all are.
#[derive(Clone, Copy)]
struct Known {
    from_ns: i64,
    to_ns: i64,
}

/// That time has passed.
#[derive(Clone, Copy)]
struct Mark {
    line: u64,
    until_ns: i64,
}

impl Known {
    /// With one more; it may be the first of others.
    fn with(known: Option<Self>, arrival_ns: i64) -> Self {
        match known {
            Some(known) if known.has(arrival_ns) => known,
            Some(known) if known.is_next(arrival_ns) => Self { to_ns: arrival_ns, ..known },
            _ => Self { from_ns: arrival_ns, to_ns: arrival_ns },
        }
    }

    fn has(&self, arrival_ns: i64) -> bool {
        (self.from_ns..=self.to_ns).contains(&arrival_ns)
    }

    fn is_next(&self, arrival_ns: i64) -> bool {
        arrival_ns > self.to_ns && arrival_ns.saturating_sub(self.to_ns) <= STEP_NS
    }
}

impl Part {
    fn bytes(&self) -> usize {
        self.builder.bytes()
    }

    /// Notes what arrived elsewhere.
    fn note(&mut self, mark: Mark) {
        let at = mark.until_ns;
        let has = |known: &Known| known.has(at);
        let with_pending = self.pending.map(|pending| Known::with(self.known, pending.until_ns));
        if self.known.as_ref().is_some_and(has) || with_pending.as_ref().is_some_and(has) {
            return;
        }
        if self.known.is_some_and(|known| known.is_next(at)) {
            self.pending = Some(mark);
            return;
        }
        self.pass_time();
        match self.known.is_some_and(|known| known.is_next(at)) {
            true => self.pending = Some(mark),
            false => self.put(mark),
        }
    }

    /// Takes in a row, and the arrival that it brings.
    fn take(
        &mut self,
        dir: &OutputDir,
        rows: &Rows,
        row: usize,
        arrival_ns: Option<i64>,
    ) -> Result<(), Failure> {
        // The records of one line stay together.
        if self.builder.is_full() && self.line != rows.line(row) {
            self.seal(dir)?;
        }
        let is_passed = |pending: Mark, at: i64| {
            at >= pending.until_ns && self.known.is_some_and(|known| known.is_next(at))
        };
        // What comes says as much.
        let says_it = self.pending.zip(arrival_ns).is_some_and(|(mark, at)| is_passed(mark, at));
        if says_it {
            self.pending = None;
        }
        self.pass_time();
        self.builder.copy(rows, row)?;
        self.line = rows.line(row);
        if let Some(at) = arrival_ns {
            self.known = Some(Known::with(self.known, at));
        }
        Ok(())
    }

    /// Lets time pass to what arrived elsewhere.
    fn pass_time(&mut self) {
        if let Some(mark) = self.pending.take() {
            self.put(mark);
        }
    }

    fn put(&mut self, mark: Mark) {
        let Mark { line, until_ns } = mark;
        self.line = self.line.max(line);
        self.builder.mark(Place { line: self.line, element: None }, "clock", until_ns);
        self.known = Some(Known::with(self.known, until_ns));
    }

    /// Writes the rows there are as a segment.
    fn seal(&mut self, dir: &OutputDir) -> Result<(), OutputError> {
        if self.builder.is_empty() {
            return Ok(());
        }
        let fresh = Builder::new(self.builder.shape().clone());
        let written = std::mem::replace(&mut self.builder, fresh).finish().write();
        let name = segment_name(self.number, self.into.next_segment());
        let mut file = dir.file(&name)?;
        file.put(&written.bytes)?;
        file.commit()?;
        let listed = written.listed(name, self.into.offset());
        self.into.segments.push(listed);
        Ok(())
    }
}
