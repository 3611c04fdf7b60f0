//! Group commit: all that waits is written at once, and acknowledged when it is on disk.
//!
//! Guarantee: frames are written in the order in which they were handed over; after a failure
//! nothing is acknowledged any more, since nobody knows what is on disk. State: a group.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::super::frames::{self, Frame, Lines, Mark, What};
use super::{Liveness, Options, Shared, create_frames};
use crate::durable::File;
use crate::sinks::OutputError;
use crate::sources::{Block, InputError};

/// More is not written at once.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// What an input asks for.
pub(super) struct Request {
    pub(super) partition: u32,
    pub(super) what: Asked,
    /// Who is told when it is on disk.
    pub(super) done: Option<Sender<Result<(), OutputError>>>,
}

pub(super) enum Asked {
    Begin {
        liveness: Liveness,
        says_arrival: bool,
    },
    /// Lines of an input, before which the partition has so many.
    Lines {
        block: Block,
        before: u64,
    },
    /// Nothing more comes; why, if that is not the end of the input.
    End(Option<InputError>),
    Seal,
}

/// A live partition.
struct Live {
    idle_after_ns: Option<i64>,
    says_arrival: bool,
    /// When lines came last, and when it was last said that time passes.
    lines_at: i64,
    said_at: i64,
}

/// Writes the frames.
pub(super) struct Committer {
    log: Arc<Shared>,
    options: Options,
    number: u64,
    file: File,
    bytes: u64,
    /// When the first of its frames was written.
    begun_at: i64,
    /// The last stamp: none is before it.
    stamped_ns: i64,
    now: Box<dyn FnMut() -> i64 + Send>,
    live: BTreeMap<u32, Live>,
    to_seal: Sender<u64>,
    failed: Option<OutputError>,
}

impl Committer {
    pub(super) fn new(
        log: Arc<Shared>,
        options: Options,
        (number, file, bytes): (u64, File, u64),
        (stamped_ns, begun_at): (Option<i64>, i64),
        now: Box<dyn FnMut() -> i64 + Send>,
        to_seal: Sender<u64>,
    ) -> Self {
        let (live, failed) = (BTreeMap::new(), None);
        let stamped_ns = stamped_ns.unwrap_or(i64::MIN);
        Self { log, options, number, file, bytes, begun_at, stamped_ns, now, live, to_seal, failed }
    }

    /// Writes until all inputs are gone.
    pub(super) fn run(mut self, requests: &Receiver<Request>) -> Result<(), OutputError> {
        let wait = Duration::from_nanos(self.options.clock_every_ns.cast_unsigned());
        loop {
            let mut group = match requests.recv_timeout(wait) {
                Ok(first) => vec![first],
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return self.failed.map_or(Ok(()), Err),
            };
            let size = |request: &Request| match &request.what {
                Asked::Lines { block, .. } => block.bytes.len(),
                _ => 0,
            };
            let mut bytes: usize = group.iter().map(size).sum();
            while bytes < GROUP_BYTES_MAX
                && let Ok(next) = requests.try_recv()
            {
                bytes += size(&next);
                group.push(next);
            }
            let mut waiting = Vec::with_capacity(group.len());
            let mut asked = Vec::with_capacity(group.len());
            for Request { partition, what, done } in group {
                waiting.extend(done);
                asked.push((partition, what));
            }
            let result = match &self.failed {
                Some(error) => Err(error.clone()),
                None => self.commit(asked),
            };
            self.failed = result.as_ref().err().cloned();
            if self.failed.is_some() {
                self.log.stop();
            }
            for done in waiting {
                // Who does not wait does not listen.
                let _ = done.send(result.clone());
            }
        }
    }

    fn commit(&mut self, group: Vec<(u32, Asked)>) -> Result<(), OutputError> {
        let now = self.stamp();
        let mut seals = false;
        let mut written: Vec<Frame> = Vec::new();
        for (partition, asked) in group {
            let what = match asked {
                Asked::Begin { liveness: Liveness::Live { idle_after_ns }, says_arrival } => {
                    let live = Live { idle_after_ns, says_arrival, lines_at: now, said_at: now };
                    self.live.insert(partition, live);
                    continue;
                }
                Asked::Begin { .. } => continue,
                Asked::Seal => {
                    seals = true;
                    continue;
                }
                Asked::Lines { block, before } => {
                    let live = self.live.get_mut(&partition);
                    let stamp_ns = live.map(|live| {
                        (live.lines_at, live.said_at) = (now, now);
                        now
                    });
                    What::Lines(Lines::new(block, before, stamp_ns))
                }
                Asked::End(damage) => {
                    self.live.remove(&partition);
                    // Before the end is there for whoever follows.
                    damage
                        .map_or(Ok(()), |error| self.log.break_off(partition as usize, &error))?;
                    What::Mark(Mark::End)
                }
            };
            put(&mut written, partition, what);
        }
        self.pass_time(now, &mut written);
        if self.bytes == 0 {
            self.begun_at = now;
        }
        self.write(written)?;
        let is_old = now.saturating_sub(self.begun_at) >= self.options.seal_after_ns;
        if self.bytes > 0 && (seals || is_old || self.bytes >= self.options.seal_bytes) {
            self.roll()?;
        }
        Ok(())
    }

    /// The clock, which does not go back.
    fn stamp(&mut self) -> i64 {
        let now = (self.now)();
        if now < self.stamped_ns {
            self.log.held_ns.fetch_max(self.stamped_ns - now, Ordering::Relaxed);
        }
        self.stamped_ns = self.stamped_ns.max(now);
        self.stamped_ns
    }

    /// Says of silent live partitions that time passes.
    fn pass_time(&mut self, now: i64, written: &mut Vec<Frame>) {
        for (partition, live) in &mut self.live {
            if now - live.said_at < self.options.clock_every_ns {
                continue;
            }
            let silent_ns = now - live.lines_at;
            let mark = match live.idle_after_ns {
                Some(idle_after) if silent_ns >= idle_after => {
                    // What is on its way keeps its own arrival.
                    let known = if live.says_arrival { now - idle_after } else { now };
                    Mark::Idle(known)
                }
                _ if live.says_arrival => continue,
                _ => Mark::Clock(now),
            };
            live.said_at = now;
            put(written, *partition, What::Mark(mark));
        }
    }

    fn write(&mut self, written: Vec<Frame>) -> Result<(), OutputError> {
        if written.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        for frame in written {
            frame.encode(self.bytes, &mut bytes);
        }
        let (disk, file) = (&self.log.disk, &mut self.file);
        let written = disk
            .point("append")
            .and_then(|()| file.write_all(&bytes))
            .and_then(|()| disk.point("group commit"))
            .and_then(|()| file.sync());
        let path = self.log.dir.join(frames::file_name(self.number));
        written.map_err(|error| OutputError::write_failed(&path, &error))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Begins another file, and has this one sealed.
    fn roll(&mut self) -> Result<(), OutputError> {
        let next = self.number + 1;
        let path = self.log.dir.join(frames::file_name(next));
        let created = create_frames(&self.log.disk, &self.log.dir, next);
        self.file = created.map_err(|error| OutputError::write_failed(&path, &error))?;
        let before = std::mem::replace(&mut self.number, next);
        self.bytes = 0;
        // A sealer that is gone says why at the end; what is not sealed stays where it is.
        let _ = self.to_seal.send(before);
        Ok(())
    }
}

/// Adds a frame, or lines to those before.
fn put(written: &mut Vec<Frame>, partition: u32, what: What) {
    let what = match (what, written.last_mut()) {
        (What::Lines(lines), Some(Frame { partition: before, what: What::Lines(known) }))
            if *before == partition =>
        {
            match known.join(lines) {
                None => return,
                Some(lines) => What::Lines(lines),
            }
        }
        (what, _) => what,
    };
    written.push(Frame { partition, what });
}
