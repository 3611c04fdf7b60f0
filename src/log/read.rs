//! A partition of a log, group by group of its rows: of its segments, then of what was appended.
//!
//! Guarantee: what is given is what the log had when it was opened, though its segments be put
//! together meanwhile. State: one segment.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::columns::GROUP_ROWS;
use super::follow::Follower;
use super::frames::FrameFile;
use super::manifest::{self, Manifest, Partition, Removed};
use super::seal::{Reading, Sealer};
use super::segment::{Group, Segment};
use super::stored::{End, Stored};
use crate::sources::{InputError, Interrupt};

/// How often it is looked for what is appended, where nothing else is to do.
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// Reads a partition.
pub(crate) struct Groups {
    dir: Arc<PathBuf>,
    number: usize,
    partition: Arc<Partition>,
    skip_corrupt: bool,
    interrupt: Interrupt,
    from_ns: Option<i64>,
    /// The segment that is read, and the next of its groups.
    segment: Option<(Arc<Segment>, usize)>,
    /// How many records come before that group.
    at: u64,
    /// Those of the segments that are read.
    rows: Range<u64>,
    /// How many segments have been opened.
    opened: usize,
    tail: Tail,
    /// Whether what is appended meanwhile is read too.
    follows: bool,
    /// Whether all has been read that will be.
    ended: bool,
    consumed: Arc<AtomicU64>,
}

impl Groups {
    pub(crate) fn new(stored: Stored, interrupt: &Interrupt) -> Self {
        let tail = Tail::new(&stored, stored.number == 0);
        let follows = stored.is_followed();
        let Stored { dir, number, partition, skip_corrupt, .. } = stored;
        Self {
            dir,
            number,
            at: 0,
            rows: 0..partition.offset(),
            partition,
            skip_corrupt,
            interrupt: interrupt.clone(),
            from_ns: None,
            segment: None,
            opened: 0,
            tail,
            follows,
            ended: false,
            consumed: Arc::default(),
        }
    }

    /// Leaves out what surely comes before the first record that arrived then or later.
    pub(crate) fn seek(&mut self, from_ns: Option<i64>) {
        self.from_ns = from_ns;
    }

    /// How long the partition is as it is stored.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.partition.bytes()
    }

    /// A count of the bytes read so far, which goes on counting.
    pub(crate) fn consumed(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.consumed)
    }

    /// Whether there is a next group, or an end, and nothing has to be waited for.
    pub(crate) fn is_ready(&mut self) -> bool {
        let is_read = |(segment, next): &(Arc<Segment>, usize)| *next < segment.groups();
        self.ended
            || self.segment.as_ref().is_some_and(is_read)
            || self.opened < self.partition.segments.len()
            || self.interrupt.signal().is_some()
            || self.tail.is_ready()
    }

    /// Waits a little for what is appended.
    pub(crate) fn wait(&self) {
        // What fails is noticed by the next look.
        let _ = self.interrupt.wait(LOOK_EVERY);
    }

    /// The next group. `None` is the end, which stays the end.
    ///
    /// # Errors
    /// [`InputError`], after all that came before: nothing follows it, unless it is of a segment
    /// that is to be skipped.
    pub(crate) fn next_group(&mut self) -> Option<Result<Group, InputError>> {
        if let Some(signal) = self.interrupt.signal().filter(|_| !self.ended) {
            self.ended = true;
            let (input, offset) = (self.name(), self.consumed.load(Ordering::Relaxed));
            return Some(Err(InputError::Interrupted { input, offset, signal, line: None }));
        }
        loop {
            if self.ended {
                return None;
            }
            if let Some((segment, next)) = &mut self.segment
                && *next < segment.groups()
            {
                let mut group = Group::new(segment, *next);
                *next += 1;
                let of_group = self.at..self.at + group.rows() as u64;
                self.at = of_group.end;
                let last = segment.layout.groups[group.number].map(|range| range.to);
                if self.from_ns.is_some_and(|from| last.is_none_or(|last| last < from)) {
                    continue;
                }
                let wanted = of_group.start.max(self.rows.start)..of_group.end.min(self.rows.end);
                if wanted.is_empty() {
                    continue;
                }
                if wanted != of_group {
                    let place = |row: u64| (row - of_group.start) as usize;
                    group.part = Some(place(wanted.start)..place(wanted.end));
                }
                group.first = wanted.start;
                self.rows.start = wanted.end;
                self.from_ns = None;
                return Some(Ok(group));
            }
            self.segment = None;
            let next = match self.partition.segments.get(self.opened) {
                Some(listed) => {
                    self.opened += 1;
                    let last = listed.arrival.map(|range| range.to);
                    if self.from_ns.is_some_and(|from| last.is_none_or(|last| last < from)) {
                        continue;
                    }
                    self.at = listed.offset;
                    match Segment::open(&self.dir, listed) {
                        Err(error) => match self.look_again() {
                            Some(Ok(())) => continue,
                            Some(Err(removed)) => Err(removed),
                            None => Err(error),
                        },
                        opened => opened,
                    }
                }
                None => match self.tail.next_segment(GROUP_ROWS) {
                    Some(next) => {
                        // Those of the frames come behind the segments.
                        if self.rows.end < u64::MAX {
                            self.at = self.rows.end;
                        }
                        self.rows = self.at..u64::MAX;
                        next
                    }
                    None => {
                        self.ended = true;
                        let damaged = match self.follows {
                            false => self.partition.damaged.clone(),
                            true => self.damaged_now(),
                        };
                        return damaged.map(|detail| {
                            Err(InputError::Imported { input: self.name(), detail })
                        });
                    }
                },
            };
            match next {
                Ok(segment) => {
                    self.consumed.fetch_add(segment.bytes(), Ordering::Relaxed);
                    self.segment = Some((segment, 0));
                }
                Err(error) => {
                    self.ended = !self.skip_corrupt;
                    return Some(Err(error));
                }
            }
        }
    }

    /// Why the partition was not appended to its end, if so, as the manifest says by now.
    fn damaged_now(&self) -> Option<String> {
        match Manifest::read(&self.dir) {
            Ok(manifest) => manifest.partitions.get(self.number)?.damaged.clone(),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Finds what the last segment that was to be opened has become, if the log does not list it
    /// any more: it was put together with others, or is kept no more, which is the error.
    fn look_again(&mut self) -> Option<Result<(), InputError>> {
        let listed = &self.partition.segments[self.opened - 1];
        let mut manifest = Manifest::read(&self.dir).ok()?;
        let now = (self.number < manifest.partitions.len())
            .then(|| manifest.partitions.swap_remove(self.number))?;
        if now.segments.iter().any(|segment| segment.file == listed.file) {
            return None;
        }
        let is_removed = |removed: &Removed| removed.records > listed.offset;
        if let Some(removed) = now.removed.filter(is_removed) {
            let (input, detail) = (self.name(), format!("{removed} while it was read"));
            return Some(Err(InputError::Removed { input, detail }));
        }
        let is_passed = |segment: &manifest::Segment| {
            segment.offset.saturating_add(segment.records) <= listed.offset
        };
        let passed = now.segments.iter().take_while(|segment| is_passed(segment)).count();
        // What was appended since the log was opened comes from its frames.
        let end = self.rows.end;
        self.rows.start = self.rows.start.max(listed.offset);
        let segments = now.segments.into_iter().take_while(|segment| segment.offset < end);
        let segments = segments.collect();
        self.opened = passed;
        self.partition = Arc::new(Partition { segments, ..Partition::clone(&self.partition) });
        Some(Ok(()))
    }

    pub(crate) fn name(&self) -> String {
        format!("{} ({})", self.dir.display(), self.partition.name)
    }
}

/// The frames of a partition, as segments that are in no file yet.
pub(super) struct Tail {
    dir: Arc<PathBuf>,
    number: usize,
    partition: Arc<Partition>,
    frames: VecDeque<FrameFile>,
    end: End,
    sealer: Option<Sealer>,
    /// Where the last row comes from.
    file: String,
    /// What cannot be read of the frames.
    damaged: VecDeque<InputError>,
    follower: Option<Arc<Mutex<Follower>>>,
}

impl Tail {
    /// What cannot be read of the frames is said by one of them, of whatever partition it is.
    pub(super) fn new(stored: &Stored, says_damage: bool) -> Self {
        let active = &stored.active;
        let frames = active.frames.get(stored.number);
        let damaged = active.damaged.iter().filter(|_| says_damage);
        Self {
            dir: Arc::clone(&stored.dir),
            number: stored.number,
            partition: Arc::clone(&stored.partition),
            frames: frames.into_iter().flatten().cloned().collect(),
            end: End { lines: stored.partition.lines, ended: stored.partition.ended },
            sealer: None,
            file: String::new(),
            damaged: damaged.cloned().collect(),
            follower: stored.follower.clone(),
        }
    }

    /// Whether there are rows, or surely none any more.
    fn is_ready(&mut self) -> bool {
        loop {
            self.fill(GROUP_ROWS);
            let has_rows = self.sealer.as_ref().is_some_and(|sealer| sealer.rows() > 0);
            let Some(follower) = self.follower.clone() else { return true };
            if has_rows || !self.damaged.is_empty() {
                return true;
            }
            // Whoever panicked meanwhile has left no half of a change.
            let mut follower = follower.lock().unwrap_or_else(PoisonError::into_inner);
            let goes_on = follower.take(self.number, &mut self.frames);
            let input = self.dir.display().to_string();
            match goes_on {
                Ok(_) if !self.frames.is_empty() => continue,
                Ok(true) => return false,
                Ok(false) if follower.is_outgrown() => {
                    let detail = "it has got partitions since it was begun to be followed, which \
                                  are not in the outputs"
                        .to_owned();
                    self.damaged.push_back(InputError::Imported { input, detail });
                }
                Ok(false) => {}
                Err(error) => {
                    let (offset, line, detail) = (0, None, error.to_string());
                    let failed = InputError::ReadFailed { input, offset, detail, line };
                    self.damaged.push_back(failed);
                }
            }
            self.follower = None;
        }
    }

    /// The next segment, of at least so many rows if there are as many.
    pub(super) fn next_segment(&mut self, rows: usize) -> Option<Result<Arc<Segment>, InputError>> {
        self.fill(rows);
        match self.sealer.as_mut().and_then(Sealer::finish) {
            Some(built) => Some(Ok(Segment::of(&self.dir, &self.file, built))),
            None => self.damaged.pop_front().map(Err),
        }
    }

    /// Makes rows of frames, up to what cannot be read.
    fn fill(&mut self, rows: usize) {
        let wants = |sealer: &Sealer| !sealer.is_full() && sealer.rows() < rows;
        while self.sealer.as_ref().is_none_or(wants)
            && let Some(place) = self.frames.pop_front()
        {
            self.file = place.name();
            if let Err(detail) = self.take(&place) {
                let (input, segment) = (self.dir.display().to_string(), place.name());
                self.damaged.push_front(InputError::Segment { input, segment, detail });
                return;
            }
        }
    }

    fn take(&mut self, place: &FrameFile) -> Result<(), String> {
        let frame = place.clone().next().map_err(|error| error.to_string())?;
        let frame = frame.ok_or_else(|| format!("it is damaged at byte {}", place.at()))?;
        if self.sealer.is_none() {
            self.sealer = Some(Sealer::new(Arc::new(Reading::of(&self.partition)?)));
        }
        let sealer = self.sealer.as_mut().expect("it was just made");
        let last_line = self.end.lines;
        self.end.pass(&frame.what);
        sealer.take_frame(frame.what, last_line);
        Ok(())
    }
}
