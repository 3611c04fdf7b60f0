//! Checkpoints: what a replay remembers at a logical time, so that another process goes on from
//! there.
//!
//! Guarantees: the outputs of a replay that is gone on with are those of one that was never
//! stopped, byte for byte, on any number of workers. A checkpoint takes the place of the one before
//! only when it is whole and on the disk; whatever happens, the folder has one or the other, and
//! what that one needs. State: one checkpoint, while it is put together.
//!
//! A cut goes through everything at one logical time. It is agreed on ahead of all that has been
//! judged, so that the flow does not stop: each [partition](crate::sources::intake), each operator
//! of the [flow](crate::pipeline) and the [writer](crate::sinks::report) save what they remember
//! when they come to it. The folder has the `checkpoint`, and what outputs there were by then. Of
//! several processes, the one that writes the outputs is given the parts of all, and keeps the
//! folder.
//!
//! - `agreement`: how processes agree on a cut.
//! - `keeper`: who takes part in it; `leader`: who puts the parts together.
//! - `file`: how a checkpoint is written and read.

mod agreement;
mod file;
mod keeper;
mod leader;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::agreement::{Answer, Order};
pub use self::file::Damaged;
pub use self::keeper::{Keeper, OutputsGiver, Said, Share, ToLeader, Told, WorkerGiver};
pub use self::leader::Asked;
use crate::durable::Disk;
use crate::pipeline::SavedFlow;
use crate::rules::Written;
use crate::sinks::report::{KEPT, SavedOutputs};
use crate::sources::intake::SavedIntake;

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
    /// Reads the checkpoint of a folder as it is, if it has one.
    ///
    /// # Errors
    /// [`Damaged`], if it cannot be read.
    pub fn read(dir: &Path) -> Result<Option<Vec<u8>>, Damaged> {
        file::read(&dir.join(NAME))
    }

    /// What is in the checkpoint of a folder.
    ///
    /// # Errors
    /// [`Damaged`], if it is not what was written.
    pub fn parse(dir: &Path, bytes: &[u8]) -> Result<Self, Damaged> {
        file::parse(bytes).map_err(|detail| Damaged { path: dir.join(NAME), detail })
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
