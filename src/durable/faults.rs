//! What may happen to files in a crash, and on a full disk: for tests.
//!
//! Guarantee: what a crash leaves is something that a file system may leave that promises no more
//! than POSIX does, and it is the same for the same plan and calls. Each file keeps what was synced,
//! and of what follows any part from its start, of which the end may read as zeros. Of the names that
//! were made, changed or removed since their folder was synced, any may be as they were, unless
//! that of a later change of the same file is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use limbeck_operators::hash::fixed_hash;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::folder;

/// The point that every call passes.
pub const ANY: &str = "any";

/// What fails, where, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Of what a crash leaves.
    pub seed: u64,
    /// At which point.
    pub point: String,
    /// The how manieth time that it is passed, from 1.
    pub passing: u64,
    /// What happens there.
    pub fault: Fault,
}

/// What happens to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This call and all later ones fail; what was not synced is lost, or torn.
    Crash,
    /// The next write takes a part of its bytes.
    ShortWrite,
    /// The next write takes a part of its bytes, and none does after it.
    DiskFull,
    /// Nothing happens to the disk: this process is killed, or another, by its id.
    Kill(u32),
}

/// A disk that fails, and what a crash would leave of it.
#[derive(Debug)]
pub(super) struct Faults {
    plan: Plan,
    passed: u64,
    drawn: u64,
    state: State,
    /// By number: all that were written through this disk.
    files: BTreeMap<u64, Written>,
    /// Changes of names that may be undone, in their order.
    changes: Vec<Change>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// The fault is yet to come.
    Well,
    /// It comes with the next write.
    Armed,
    Failed,
}

/// A file that was written to.
#[derive(Debug)]
struct Written {
    path: PathBuf,
    synced: u64,
    len: u64,
}

/// A change of names.
#[derive(Debug)]
enum Change {
    Created(PathBuf),
    CreatedDir(PathBuf),
    /// With the content of the file that had the name.
    Renamed(PathBuf, PathBuf, Option<Vec<u8>>),
    Removed(PathBuf, Vec<u8>),
}

/// One that has ended already is killed as well.
fn kill(process: u32) -> io::Result<()> {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    let process = process.ok_or(io::ErrorKind::InvalidInput)?;
    match kill_process(process, Signal::KILL) {
        Err(Errno::SRCH) => Ok(()),
        killed => Ok(killed?),
    }
}

impl Change {
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let (one, other) = match self {
            Self::Created(path) | Self::CreatedDir(path) | Self::Removed(path, _) => (path, None),
            Self::Renamed(from, to, _) => (from, Some(to)),
        };
        std::iter::once(one).chain(other).map(PathBuf::as_path)
    }
}

impl Faults {
    pub(super) fn new(plan: Plan) -> Self {
        let (files, changes) = (BTreeMap::new(), Vec::new());
        Self { plan, passed: 0, drawn: 0, state: State::Well, files, changes }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.state == State::Failed
    }

    /// Passes a point.
    pub(super) fn pass(&mut self, name: &str) -> io::Result<()> {
        let is_crash = self.plan.fault == Fault::Crash;
        if self.state == State::Well && name == self.plan.point {
            self.passed += 1;
            if self.passed == self.plan.passing {
                self.state = match self.plan.fault {
                    Fault::Crash | Fault::Kill(_) => State::Failed,
                    Fault::ShortWrite | Fault::DiskFull => State::Armed,
                };
                match self.plan.fault {
                    Fault::Crash => self.crash()?,
                    Fault::Kill(process) => kill(process)?,
                    Fault::ShortWrite | Fault::DiskFull => {}
                }
            }
        }
        match is_crash && self.has_failed() {
            true => Err(io::Error::other("the disk is gone, as planned")),
            false => Ok(()),
        }
    }

    /// How many of so many bytes are written, and what is said if that is none.
    pub(super) fn admit(&mut self, len: usize) -> (usize, Option<io::Error>) {
        match (self.plan.fault, &self.state) {
            (Fault::ShortWrite, State::Armed) if len > 1 => {
                self.state = State::Failed;
                (1 + self.below(len as u64 - 1) as usize, None)
            }
            (Fault::DiskFull, State::Armed) => {
                self.state = State::Failed;
                let part = self.below(len as u64) as usize;
                (part, Some(io::ErrorKind::StorageFull.into()))
            }
            (Fault::DiskFull, State::Failed) => (0, Some(io::ErrorKind::StorageFull.into())),
            _ => (len, None),
        }
    }

    pub(super) fn created(&mut self, path: &Path) -> u64 {
        self.changes.push(Change::Created(path.to_owned()));
        self.opened(path, 0)
    }

    pub(super) fn created_dir(&mut self, path: &Path) {
        self.changes.push(Change::CreatedDir(path.to_owned()));
    }

    pub(super) fn opened(&mut self, path: &Path, len: u64) -> u64 {
        let known = self.files.iter().find(|(_, file)| file.path == path);
        let synced = known.map_or(len, |(_, file)| file.synced);
        self.files.retain(|_, file| file.path != path);
        let number = self.files.last_key_value().map_or(1, |(last, _)| last + 1);
        self.files.insert(number, Written { path: path.to_owned(), synced, len });
        number
    }

    pub(super) fn wrote(&mut self, number: u64, bytes: usize) {
        if let Some(file) = self.files.get_mut(&number) {
            file.len += bytes as u64;
        }
    }

    pub(super) fn synced(&mut self, number: u64) {
        if let Some(file) = self.files.get_mut(&number) {
            file.synced = file.len;
        }
    }

    pub(super) fn cut(&mut self, number: u64, len: u64) {
        if let Some(file) = self.files.get_mut(&number) {
            (file.synced, file.len) = (file.synced.min(len), len);
        }
    }

    /// What is there of a file for sure.
    pub(super) fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let mut bytes = fs::read(path).ok()?;
        let written = self.files.values().find(|file| file.path == path);
        bytes.truncate(written.map_or(bytes.len(), |file| file.synced as usize));
        Some(bytes)
    }

    pub(super) fn renamed(&mut self, from: &Path, to: &Path, before: Option<Vec<u8>>) {
        self.files.retain(|_, file| file.path != to);
        for file in self.files.values_mut().filter(|file| file.path == from) {
            file.path = to.to_owned();
        }
        self.changes.push(Change::Renamed(from.to_owned(), to.to_owned(), before));
    }

    pub(super) fn removed(&mut self, path: &Path, before: Vec<u8>) {
        self.files.retain(|_, file| file.path != path);
        self.changes.push(Change::Removed(path.to_owned(), before));
    }

    pub(super) fn synced_dir(&mut self, dir: &Path) {
        self.changes.retain(|change| change.paths().all(|path| folder(path) != dir));
    }

    /// Leaves what a crash leaves.
    fn crash(&mut self) -> io::Result<()> {
        for file in std::mem::take(&mut self.files).into_values() {
            if file.len > file.synced {
                let bytes = fs::OpenOptions::new().write(true).open(&file.path)?;
                let whole = file.synced + self.below(file.len - file.synced + 1);
                let end = whole + self.below(file.len - whole + 1);
                bytes.set_len(whole)?;
                bytes.set_len(end)?;
            }
        }
        let mut kept: BTreeSet<PathBuf> = BTreeSet::new();
        for change in std::mem::take(&mut self.changes).into_iter().rev() {
            if change.paths().any(|path| kept.contains(path)) || self.below(2) == 0 {
                kept.extend(change.paths().map(Path::to_owned));
                continue;
            }
            match change {
                Change::Created(path) => fs::remove_file(path)?,
                Change::CreatedDir(path) => fs::remove_dir_all(path)?,
                Change::Removed(path, before) => fs::write(path, before)?,
                Change::Renamed(from, to, before) => {
                    fs::rename(&to, from)?;
                    before.map_or(Ok(()), |before| fs::write(to, before))?;
                }
            }
        }
        Ok(())
    }

    /// Some number below a bound.
    fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        fixed_hash(&(self.plan.seed, self.drawn)) % bound.max(1)
    }
}
