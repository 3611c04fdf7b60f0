//! Appending to a log: what is acknowledged is on disk.
//!
//! ```text
//! inputs ──▶ committer ──▶ 00000007.frames ──▶ sealer ──▶ segments, manifest
//!  lines     one sync for    until it is        columns    then the frames are removed
//!            all that waits  long enough
//! ```
//!
//! Guarantees: a line is acknowledged after it is on disk; wherever a crash comes, the log is then
//! what was written before some moment, and all that was acknowledged is in it. A crash is noticed
//! when the log is opened again: what it left of the last group is cut off, and files of it that no
//! manifest lists are removed. One process appends at a time. State: what waits to be written.

mod commit;
mod compact;
mod inputs;
mod seal;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::{io, process};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use signal_hook::consts::SIGTERM;

use self::commit::{Asked, Committer, Request};
pub use self::inputs::{Appended, Appending, start};
use super::frames::{self, FrameFile};
use super::import::{is_segment, make_room};
use super::manifest::{self, FILE, Manifest, Retention};
use super::seal::Reading;
use super::stored;
use crate::durable::Disk;
use crate::replay::Failure;
use crate::rules::Rules;
use crate::sinks::OutputError;
use crate::sources::header::Header;
use crate::sources::{Block, InputError, Interrupter};

/// The file that whoever appends has locked; it says which process that is.
const LOCK: &str = ".lock";
/// How far the sealer stands back.
#[cfg(target_os = "linux")]
const SEALER_NICE: i32 = 10;
/// So many requests wait to be written.
const REQUESTS_MAX: usize = 64;

/// How a log is appended to.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A file of frames that is longer than this is made into segments.
    pub seal_bytes: u64,
    /// So is one that was begun longer ago than this.
    pub seal_after_ns: i64,
    /// How often it is written of a silent live partition that time passes.
    pub clock_every_ns: i64,
    /// What is kept of the segments: it is seen to when the log is opened, and whenever some are made.
    pub retention: Retention,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seal_bytes: 64 << 20,
            seal_after_ns: 3_600_000_000_000,
            clock_every_ns: 1_000_000_000,
            retention: Retention::default(),
        }
    }
}

/// Whether the records of an input come as they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// They were recorded: they arrived when they say it, or else when they happened.
    Recorded,
    /// They come as they happen: what does not say when it arrived arrives now.
    Live {
        /// After so long a silence nobody shall wait for the input. Without it, of inputs whose
        /// records say themselves when they arrived, everybody waits.
        idle_after_ns: Option<i64>,
    },
}

/// A log that is appended to, by nobody else as long as this lives. Its inputs must be gone before
/// it is.
pub struct Appender {
    log: Arc<Shared>,
    requests: Sender<Request>,
    threads: Option<Threads>,
    torn_bytes: u64,
    ends: Vec<stored::End>,
}

struct Threads {
    committer: JoinHandle<Result<(), OutputError>>,
    sealer: JoinHandle<Result<(), OutputError>>,
}

/// What the threads of an appender share.
struct Shared {
    dir: PathBuf,
    disk: Disk,
    manifest: Mutex<Manifest>,
    retention: Retention,
    /// How far the clock went back at most.
    held_ns: AtomicI64,
    /// What ends the inputs when nothing can be written any more.
    stopper: Mutex<Option<Interrupter>>,
    _lock: File,
}

/// A partition that is appended to.
#[derive(Clone)]
pub struct Input {
    partition: u32,
    /// How many lines it had before.
    before: u64,
    requests: Sender<Request>,
}

/// The promise that lines are on disk.
pub struct Pending(Receiver<Result<(), OutputError>>);

impl Appender {
    /// Opens a log, or makes one, and cuts off what a crash has left. `now` reads the clock, in
    /// nanoseconds since 1970.
    ///
    /// # Errors
    /// [`Failure::Output`], if another process appends to it, if the folder holds something else, or
    /// cannot be written; [`Failure::Input`], if the log is damaged.
    pub fn open(
        disk: &Disk,
        dir: &Path,
        options: Options,
        now: impl FnMut() -> i64 + Send + 'static,
    ) -> Result<Self, Failure> {
        Self::open_until(disk, dir, options, now, None)
    }

    /// The same; the interrupt is set off when nothing can be written any more.
    fn open_until(
        disk: &Disk,
        dir: &Path,
        options: Options,
        now: impl FnMut() -> i64 + Send + 'static,
        stopper: Option<Interrupter>,
    ) -> Result<Self, Failure> {
        let cannot_create = |error: io::Error| OutputError::cannot_create(dir, &error);
        disk.create_dir_all(dir).map_err(cannot_create)?;
        let lock = lock(dir)?;
        if !manifest::is_log(dir) {
            make_room(disk, dir)?;
        }
        let read = || match manifest::is_log(dir) {
            true => stored::read(dir, false),
            false => Ok((Manifest::new(Vec::new()), stored::Active::default())),
        };
        let (mut manifest, active) = read()?;
        if let Some(error) = active.damaged.first() {
            return Err(error.clone().into());
        }
        remove_leftovers(disk, dir, &manifest).map_err(cannot_create)?;
        let written = |error: io::Error| OutputError::write_failed(&dir.join(FILE), &error);
        let mut begun_ns = 0;
        let last = match active.last {
            Some((number, bytes)) => {
                let file = disk.append(&dir.join(frames::file_name(number))).map_err(written)?;
                file.cut(bytes).and_then(|()| file.sync()).map_err(written)?;
                begun_ns = file.begun_ns().map_err(written)?;
                (number, file, bytes)
            }
            None => {
                let file = create_frames(disk, dir, 1).map_err(cannot_create)?;
                manifest.active = Some(1);
                disk.replace(&dir.join(FILE), &manifest.to_bytes()).map_err(cannot_create)?;
                (1, file, 0)
            }
        };
        let first = manifest.active.unwrap_or(last.0);
        let log = Arc::new(Shared {
            dir: dir.to_owned(),
            disk: disk.clone(),
            manifest: Mutex::new(manifest),
            retention: options.retention,
            held_ns: AtomicI64::new(0),
            stopper: Mutex::new(stopper),
            _lock: lock,
        });
        seal::retain(&log)?;
        let (requests, receiver) = bounded(REQUESTS_MAX);
        let (to_seal, sealed) = unbounded();
        for number in first..last.0 {
            // The thread that takes it is yet to start.
            let _ = to_seal.send(number);
        }
        let stamped_ns = active.stamped_ns;
        let times = (stamped_ns, begun_ns);
        let committer =
            Committer::new(Arc::clone(&log), options, last, times, Box::new(now), to_seal);
        let committer = spawn("committer", move || committer.run(&receiver));
        let sealer = spawn("sealer", {
            let log = Arc::clone(&log);
            move || {
                // Whoever follows waits for the committer, and nobody for this. On Linux a thread can yield alone.
                #[cfg(target_os = "linux")]
                let _ = rustix::process::nice(SEALER_NICE);
                let done = sealed.iter().try_for_each(|number| seal::seal(&log, number));
                done.inspect_err(|_| log.stop())
            }
        });
        let threads = Some(Threads { committer, sealer });
        Ok(Self { log, requests, threads, torn_bytes: active.torn_bytes, ends: active.ends })
    }

    /// How many bytes were cut off that a crash had left.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// How many lines there were of a partition when the log was opened.
    pub fn lines(&self, partition: usize) -> u64 {
        self.ends.get(partition).map_or(0, |end| end.lines)
    }

    /// The partition of this name, which a source of the rule file reads; a new one if there is none.
    /// Once for each name.
    ///
    /// # Errors
    /// [`Failure::Input`], if there is one that is read otherwise; [`Failure::Output`], if the
    /// manifest cannot be written.
    pub fn begin(
        &mut self,
        name: &str,
        rules: &Rules,
        source: usize,
        header: Option<Header>,
        liveness: Liveness,
    ) -> Result<Input, Failure> {
        let reading = Reading::new(rules, source, header);
        let new = manifest::Partition::new(name.to_owned(), &reading);
        let mut manifest = self.log.manifest();
        let known = manifest.partitions.iter().position(|known| known.name == name);
        let number = match known {
            Some(number) => {
                let known = &manifest.partitions[number];
                if let Some(detail) = disagreement(known, &new) {
                    let input = format!("{} ({name})", self.log.dir.display());
                    return Err(InputError::Changed { input, detail }.into());
                }
                number
            }
            None => {
                let mut next = manifest.clone();
                next.partitions.push(new);
                self.log.replace(&next)?;
                *manifest = next;
                self.ends.push(stored::End::default());
                manifest.partitions.len() - 1
            }
        };
        drop(manifest);
        let says_arrival = source_says_arrival(&rules.sources[source].format);
        let (partition, before) = (number as u32, self.lines(number));
        let begin = Asked::Begin { liveness, says_arrival };
        // A committer that is gone says why when lines are appended.
        let _ = self.requests.send(Request { partition, what: begin, done: None });
        Ok(Input { partition, before, requests: self.requests.clone() })
    }

    /// How far the clock went back since the log was opened, if it did: arrival stood still then.
    pub fn held_ns(&self) -> Option<i64> {
        Some(self.log.held_ns.load(Ordering::Relaxed)).filter(|held| *held > 0)
    }

    /// Makes segments of all that was appended. What is appended meanwhile may be left.
    ///
    /// # Errors
    /// [`OutputError`], if it cannot be written.
    pub fn seal(&self) -> Result<(), OutputError> {
        let (done, pending) = bounded(1);
        let _ = self.requests.send(Request { partition: 0, what: Asked::Seal, done: Some(done) });
        Pending(pending).wait()
    }

    /// Ends, and puts segments together that fit into one.
    ///
    /// # Errors
    /// As [`Self::finish`], and [`Failure::Input`] if a segment is damaged; all are there still.
    pub fn compact(mut self) -> Result<Manifest, Failure> {
        self.close()?;
        compact::compact(&self.log)?;
        let manifest = self.log.manifest().clone();
        Ok(manifest)
    }

    /// Ends: everything is written, and what was to be sealed is sealed.
    ///
    /// # Errors
    /// [`OutputError`], if it cannot be written; what was acknowledged is there.
    pub fn finish(mut self) -> Result<Manifest, OutputError> {
        self.close()?;
        let manifest = self.log.manifest().clone();
        Ok(manifest)
    }

    /// Waits for the threads to end.
    fn close(&mut self) -> Result<(), OutputError> {
        let Some(Threads { committer, sealer }) = self.threads.take() else { return Ok(()) };
        // The committer ends when nobody can ask it for anything.
        self.requests = bounded(0).0;
        let (written, sealed) = (join(committer), join(sealer));
        written.and(sealed)
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `finish`.
        let _ = self.close();
    }
}

impl Input {
    /// Hands lines over, numbered from 1 in their input; waits only while many others wait.
    pub fn append(&self, block: Block) -> Pending {
        self.ask(Asked::Lines { block, before: self.before })
    }

    /// Says that nothing more comes.
    pub fn end(&self) -> Pending {
        self.ask(Asked::End(None))
    }

    /// Says that nothing more comes, since the input could not be read to its end.
    pub fn break_off(&self, error: InputError) -> Pending {
        self.ask(Asked::End(Some(error)))
    }

    fn ask(&self, what: Asked) -> Pending {
        let (done, pending) = bounded(1);
        // If the committer is gone, so is the other end of the promise.
        let _ = self.requests.send(Request { partition: self.partition, what, done: Some(done) });
        Pending(pending)
    }
}

impl Pending {
    /// Waits until it is on disk.
    ///
    /// # Errors
    /// [`OutputError`], if that failed, and then for all that comes after it.
    pub fn wait(self) -> Result<(), OutputError> {
        let gone = || OutputError::write_failed(Path::new("the log"), &"its writer has ended");
        self.0.recv().unwrap_or_else(|_| Err(gone()))
    }
}

impl Shared {
    fn manifest(&self) -> MutexGuard<'_, Manifest> {
        // Whoever panicked meanwhile has left no half of a change.
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, manifest: &Manifest) -> Result<(), OutputError> {
        let path = self.dir.join(FILE);
        let replaced = self.disk.replace(&path, &manifest.to_bytes());
        replaced.map_err(|error| OutputError::write_failed(&path, &error))
    }

    /// Has the manifest say that an input could not be read to its end.
    fn break_off(&self, partition: usize, error: &InputError) -> Result<(), OutputError> {
        let mut manifest = self.manifest();
        let mut next = manifest.clone();
        next.partitions[partition].break_off(error);
        self.replace(&next)?;
        *manifest = next;
        Ok(())
    }

    /// Has the inputs end: nothing can be written any more.
    fn stop(&self) {
        let mut stopper = self.stopper.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stopper) = &mut *stopper {
            stopper.interrupt(SIGTERM);
        }
    }
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().name(name.to_owned()).spawn(run).expect("a thread can be started")
}

fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Why lines of the one partition cannot be appended to the other.
fn disagreement(known: &manifest::Partition, new: &manifest::Partition) -> Option<String> {
    let text = |mapping: &Option<serde_json::Value>| {
        mapping.as_ref().map_or("not known".to_owned(), ToString::to_string)
    };
    if known.source != new.source {
        return Some(format!("it is of the source `{}`, not `{}`", known.source, new.source));
    }
    if known.mapping != new.mapping {
        let (known, new) = (text(&known.mapping), text(&new.mapping));
        return Some(format!("its mapping is {known}; that of the rule file is {new}"));
    }
    let columns = |header: &Option<Vec<smol_str::SmolStr>>| {
        header.as_ref().map_or("none".to_owned(), |names| names.join(", "))
    };
    (known.header != new.header).then(|| {
        format!(
            "its columns are {}; those of the input are {}",
            columns(&known.header),
            columns(&new.header)
        )
    })
}

fn source_says_arrival(format: &crate::rules::Format) -> bool {
    format.mapping().is_none_or(|mapping| mapping.arrival.is_some())
}

/// Makes a file of frames with none, which lasts.
fn create_frames(disk: &Disk, dir: &Path, number: u64) -> io::Result<crate::durable::File> {
    let file = disk.create(&dir.join(frames::file_name(number)))?;
    file.sync()?;
    disk.sync_dir(dir)?;
    Ok(file)
}

/// Locks a log, and says who has.
fn lock(dir: &Path) -> Result<File, OutputError> {
    let path = dir.join(LOCK);
    let cannot = |error: &dyn std::fmt::Display| OutputError::cannot_create(&path, error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| cannot(&error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Without it the message says less.
            let _ = file.take(20).read_to_string(&mut holder);
            let detail = format!("process {} appends to this log already", holder.trim());
            return Err(OutputError::cannot_create(dir, &detail));
        }
        Err(TryLockError::Error(error)) => return Err(cannot(&error)),
    }
    let said = file.set_len(0).and_then(|()| file.rewind());
    said.and_then(|()| writeln!(file, "{}", process::id())).map_err(|error| cannot(&error))?;
    Ok(file)
}

/// Removes what a process left behind that died while it sealed.
fn remove_leftovers(disk: &Disk, dir: &Path, manifest: &Manifest) -> io::Result<()> {
    let listed = |name: &str| {
        let mut segments = manifest.partitions.iter().flat_map(|known| &known.segments);
        segments.any(|segment| segment.file == name)
    };
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_sealed = |number| manifest.active.is_none_or(|active| number < active);
        let is_left = (is_segment(&name) && !listed(&name))
            || frames::file_number(&name).is_some_and(is_sealed);
        if is_left {
            disk.remove(&dir.join(name))?;
        }
    }
    Ok(())
}

/// A file of frames that is read to its end.
fn open_frames(dir: &Path, number: u64) -> Result<FrameFile, OutputError> {
    let path = dir.join(frames::file_name(number));
    FrameFile::open(dir, number).map_err(|error| OutputError::write_failed(&path, &error))
}
