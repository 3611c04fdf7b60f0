//! A partition of a log, group by group of its rows. State: one segment.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use limbeck_operators::hash::xxh3_64;

use super::manifest::{Partition, Stored};
use super::segment::{Group, Segment};
use crate::sources::intake::Start;
use crate::sources::{InputError, Interrupt};

/// Reads a partition.
pub(crate) struct Groups {
    dir: Arc<PathBuf>,
    partition: Arc<Partition>,
    skip_corrupt: bool,
    interrupt: Interrupt,
    /// The segment that is read, and the next of its groups.
    segment: Option<(Arc<Segment>, usize)>,
    /// How many segments have been opened.
    opened: usize,
    /// Whether all has been read that will be.
    ended: bool,
    consumed: Arc<AtomicU64>,
}

impl Groups {
    pub(crate) fn new(stored: Stored, interrupt: &Interrupt) -> Self {
        let Stored { dir, partition, skip_corrupt } = stored;
        Self {
            dir,
            partition,
            skip_corrupt,
            interrupt: interrupt.clone(),
            segment: None,
            opened: 0,
            ended: false,
            consumed: Arc::default(),
        }
    }

    /// Where the last group that was given begins.
    pub(crate) fn start(&self) -> Start {
        let segment = self.opened.saturating_sub(1);
        let group = self.segment.as_ref().map_or(0, |(_, next)| next.saturating_sub(1));
        Start::Group { segment, group, log: self.known(segment) }
    }

    /// Goes on with a group, by the numbers that [`start`](Self::start) gave.
    ///
    /// # Errors
    /// [`InputError`], if it is not the same log, or the segment is damaged.
    pub(crate) fn go_on_at(
        &mut self,
        segment: usize,
        group: usize,
        log: u64,
    ) -> Result<(), InputError> {
        let Some(listed) =
            self.partition.segments.get(segment).filter(|_| self.known(segment) == log)
        else {
            let detail = "its segments are others".to_owned();
            return Err(InputError::Another { input: self.name(), detail });
        };
        self.opened = segment + 1;
        self.segment = Some((Segment::open(&self.dir, listed)?, group));
        Ok(())
    }

    /// A hash of what is listed up to a segment, by which the log is known again.
    fn known(&self, segment: usize) -> u64 {
        let listed = self.partition.segments.iter().take(segment + 1);
        xxh3_64(listed.flat_map(|segment| segment.xxh3.bytes()).collect::<Vec<u8>>().as_slice())
    }

    /// How long the partition is as it is stored.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.partition.bytes()
    }

    /// A count of the bytes read so far, which goes on counting.
    pub(crate) fn consumed(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.consumed)
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
                let group = Group { segment: Arc::clone(segment), number: *next };
                *next += 1;
                return Some(Ok(group));
            }
            self.segment = None;
            let Some(listed) = self.partition.segments.get(self.opened) else {
                self.ended = true;
                let detail = self.partition.damaged.clone()?;
                return Some(Err(InputError::Imported { input: self.name(), detail }));
            };
            self.opened += 1;
            match Segment::open(&self.dir, listed) {
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

    pub(crate) fn name(&self) -> String {
        format!("{} ({})", self.dir.display(), self.partition.name)
    }
}
