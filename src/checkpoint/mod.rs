//! Checkpoints: what a replay remembers at a logical time, so that another process goes on from
//! there.
//!
//! Guarantees: the outputs of a replay that is gone on with are those of one that was never
//! stopped, byte for byte, on any number of workers. A checkpoint takes the place of the one before
//! only when it is whole and on the disk; whatever happens, the folder has one or the other, and
//! what that one needs. State: one checkpoint, while it is put together.
//!
//! A cut goes through everything at one logical time. The reader announces it ahead of all it has
//! judged, so that nothing has to stop: each [partition](crate::sources::intake), each operator of
//! the [flow](crate::pipeline) and the [writer](crate::sinks::report) save what they remember when
//! they come to it. The folder has the `checkpoint`, and what outputs there were by then.
//!
//! - `file`: how a checkpoint is written and read.

mod file;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, unbounded};

pub use self::file::Damaged;
use crate::durable::Disk;
use crate::pipeline::SavedFlow;
use crate::rules::Written;
use crate::sinks::OutputError;
use crate::sinks::report::{KEPT, SavedOutputs, UnsavedOutputs};
use crate::sources::intake::{SavedIntake, Saver};

/// The name of the file.
const NAME: &str = "checkpoint";

/// Where and when checkpoints are made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The folder.
    pub dir: PathBuf,
    /// How often.
    pub every: Every,
    /// What it is written by.
    pub disk: Disk,
}

/// How often a checkpoint is made.
#[derive(Clone, Copy, Debug)]
pub enum Every {
    /// After so much time.
    Elapsed(Duration),
    /// After so much of the log's own time, in nanoseconds: for tests, which it makes repeatable.
    Clock(i64),
}

/// A checkpoint.
pub struct Checkpoint {
    /// The logical time: all before is in it, nothing from there on.
    pub at: i64,
    /// What was asked for: names, with hashes of what they were.
    pub asked: Vec<(String, u64)>,
    /// The rule file.
    pub written: Written,
    /// What the intake remembers.
    pub intake: SavedIntake,
    /// What the outputs remember.
    pub outputs: SavedOutputs,
    /// What the operators remember, by worker.
    pub flow: Vec<SavedFlow>,
}

impl Checkpoint {
    /// Reads the checkpoint of a folder, if it has one.
    ///
    /// # Errors
    /// [`Damaged`], if it is not what was written.
    pub fn read(dir: &Path) -> Result<Option<Self>, Damaged> {
        file::read(&dir.join(NAME))
    }

    /// What it was asked for otherwise, by name.
    pub fn differs_in(&self, asked: &[(String, u64)]) -> Vec<&str> {
        let differs = self.asked.iter().filter(|one| !asked.contains(one));
        differs.map(|(name, _)| name.as_str()).collect()
    }
}

/// Removes what checkpoints have left in a folder.
///
/// # Errors
/// What the system says.
pub fn clear(plan: &Plan) -> io::Result<()> {
    plan.disk.remove_if_there(&plan.dir.join(NAME))?;
    plan.disk.sync_dir(&plan.dir)?;
    remove_others(&plan.disk, &plan.dir, |_| false);
    Ok(())
}

/// Removes the files of outputs that no checkpoint needs. What cannot be removed does no harm.
fn remove_others(disk: &Disk, dir: &Path, needed: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(KEPT) && !needed(name)) {
            let _ = disk.remove(&entry.path());
        }
    }
}

/// A part of a checkpoint.
enum Part {
    Intake(i64, SavedIntake),
    Worker(SavedFlow),
    Outputs(UnsavedOutputs),
    NoMore,
}

/// What a replay is asked for, and since when there is more to save than the last checkpoint has.
#[derive(Clone)]
pub struct Asked {
    /// Names, with hashes of what they are.
    pub asked: Vec<(String, u64)>,
    /// The rule file.
    pub written: Written,
    /// None is made before that.
    pub since_ns: Option<i64>,
}

/// Puts checkpoints together and writes them, on a thread of its own.
pub struct Keeper {
    parts: Sender<Part>,
    thread: JoinHandle<Result<(), OutputError>>,
    clock: Clock,
    given_up: Arc<AtomicBool>,
}

/// Decides when.
struct Clock {
    every: Every,
    /// None before that.
    since_ns: Option<i64>,
    progress: Arc<Progress>,
    last: Mutex<Last>,
}

/// How the thread gets on.
#[derive(Default)]
struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
enum State {
    /// Nothing is under way.
    #[default]
    Idle,
    /// A checkpoint is.
    Busy,
    /// There will be no more.
    Ended,
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.state() = state;
        self.changed.notify_all();
    }

    /// Waits until nothing is under way.
    fn wait(&self) {
        let busy = |state: &mut State| matches!(state, State::Busy);
        drop(self.changed.wait_while(self.state(), busy));
    }
}

/// Says that the thread has ended, however it does.
struct Ending(Arc<Progress>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.set(State::Ended);
    }
}

struct Last {
    at: Instant,
    clock_ns: Option<i64>,
}

/// Hands over what the operators of a worker remember.
#[derive(Clone)]
pub struct WorkerGiver(Sender<Part>);

impl WorkerGiver {
    /// Hands over.
    pub fn give(&self, saved: SavedFlow) {
        // A keeper that is gone has said why.
        let _ = self.0.send(Part::Worker(saved));
    }
}

/// Hands over what the outputs remember. Without it nothing can be saved any more.
pub struct OutputsGiver(Sender<Part>);

impl OutputsGiver {
    /// Hands over.
    pub fn give(&self, unsaved: UnsavedOutputs) {
        let _ = self.0.send(Part::Outputs(unsaved));
    }
}

impl Drop for OutputsGiver {
    fn drop(&mut self) {
        let _ = self.0.send(Part::NoMore);
    }
}

impl Keeper {
    /// Starts the thread, for so many workers.
    pub fn start(plan: &Plan, asked: Asked, workers: usize) -> Self {
        let (parts, received) = unbounded();
        let progress = Arc::new(Progress::default());
        let ending = Ending(Arc::clone(&progress));
        let (disk, dir, since_ns) = (plan.disk.clone(), plan.dir.clone(), asked.since_ns);
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
            let (mut intake, mut outputs, mut flow) = (None, None, Vec::new());
            for part in received {
                match part {
                    Part::Intake(at, saved) => intake = Some((at, saved)),
                    Part::Outputs(unsaved) => outputs = Some(unsaved()?),
                    Part::Worker(saved) => flow.push(saved),
                    Part::NoMore => break,
                }
                if flow.len() < workers || intake.is_none() {
                    continue;
                }
                let Some(outputs) = outputs.take() else { continue };
                let Some((at, intake)) = intake.take() else { continue };
                let flow = std::mem::take(&mut flow);
                let Asked { asked, written, .. } = asked.clone();
                let checkpoint = Checkpoint { at, asked, written, intake, outputs, flow };
                file::write(&disk, &dir.join(NAME), &checkpoint)
                    .map_err(|error| OutputError::write_failed(&dir, &error))?;
                let needed: Vec<_> = checkpoint.outputs.names().collect();
                remove_others(&disk, &dir, |name| needed.iter().any(|known| known == name));
                ending.0.set(State::Idle);
            }
            Ok(())
        });
        #[expect(clippy::disallowed_methods, reason = "how often to save is no part of a result")]
        let last = Mutex::new(Last { at: Instant::now(), clock_ns: None });
        let clock = Clock { every: plan.every, since_ns, progress, last };
        let (thread, given_up) = (thread.expect("a thread can be started"), Arc::default());
        Self { parts, thread, clock, given_up }
    }

    /// Whether the replay ends before its logs do: what comes then is not so, and is made anew from
    /// the last checkpoint.
    pub fn given_up(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.given_up)
    }

    /// What hands over what workers remember.
    pub fn worker_giver(&self) -> WorkerGiver {
        WorkerGiver(self.parts.clone())
    }

    /// What hands over what the outputs remember.
    pub fn outputs_giver(&self) -> OutputsGiver {
        OutputsGiver(self.parts.clone())
    }

    /// Waits until the last checkpoint that is whole is written.
    ///
    /// # Errors
    /// Why one could not be written.
    pub fn finish(self) -> Result<(), OutputError> {
        drop(self.parts);
        match self.thread.join() {
            Ok(written) => written,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Saver for Keeper {
    fn is_due(&self, clock_ns: i64) -> bool {
        let Clock { every, since_ns, progress, last } = &self.clock;
        if since_ns.is_some_and(|since| clock_ns < since) {
            return false;
        }
        match every {
            Every::Elapsed(_) if matches!(*progress.state(), State::Busy) => return false,
            Every::Elapsed(_) => {}
            Every::Clock(_) => progress.wait(),
        }
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = match every {
            Every::Elapsed(every) => last.at.elapsed() >= *every,
            Every::Clock(every) => {
                clock_ns.saturating_sub(*last.clock_ns.get_or_insert(clock_ns)) >= *every
            }
        };
        if is_due {
            #[expect(clippy::disallowed_methods, reason = "as above")]
            let at = Instant::now();
            *last = Last { at, clock_ns: Some(clock_ns) };
            let mut state = progress.state();
            if matches!(*state, State::Idle) {
                *state = State::Busy;
            }
        }
        is_due
    }

    fn has_failed(&self) -> bool {
        matches!(*self.clock.progress.state(), State::Ended)
    }

    fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
    }

    fn save(&self, at: i64, intake: SavedIntake) {
        let _ = self.parts.send(Part::Intake(at, intake));
    }
}
