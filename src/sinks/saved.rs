//! What is remembered of the outputs when a replay is saved on the way, and the files it is in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::OutputError;
use super::digest::Digest;
use super::fates::SavedFates;
use super::report::UPDATES;
use super::sort::SavedSort;
use crate::alerts::{NOTIFICATIONS, SavedAlerts};
use crate::durable::Disk;
use crate::model::ledger::Count;
use crate::persistence;
use crate::rules::Unchanged;

/// How the outputs are saved on the way.
pub struct Keep {
    /// What they are written by.
    pub disk: Disk,
    /// The folder of what is kept.
    pub dir: PathBuf,
    /// Takes what is remembered at a logical time, which is on the disk when it has been called.
    pub save: Box<dyn FnMut(UnsavedOutputs) + Send>,
    /// What to go on with.
    pub restored: Restored,
    /// Whether the replay ends before its logs do. From then on nobody is told of anything, and
    /// nothing is saved: who goes on makes it anew.
    pub given_up: Arc<AtomicBool>,
}

impl Keep {
    pub(super) fn has_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst)
    }
}

/// What a replay goes on with.
pub enum Restored {
    /// Nothing: it begins.
    Nothing,
    /// All that was saved.
    All(SavedOutputs),
    /// What was saved of some rules, while the log is read from its start for the others.
    Rules(SavedOutputs, Unchanged),
}

/// How the names of the files begin that outputs keep beside a checkpoint.
pub const KEPT: &str = "checkpoint.";

/// What such a file is called. Those of one replay make a series: one that begins anew touches
/// none of another.
pub(super) fn kept_name(series: u32, name: &str) -> String {
    match series {
        0 => format!("{KEPT}{name}"),
        series => format!("{KEPT}{series}.{name}"),
    }
}

/// What is remembered of the outputs at a logical time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedOutputs {
    pub(super) series: u32,
    pub(super) counts: BTreeMap<Count, u64>,
    pub(super) updates: u64,
    pub(super) updates_bytes: u64,
    pub(super) digest: Digest,
    pub(super) episodes: SavedSort,
    pub(super) dead_letters: SavedSort,
    pub(super) fates: Option<SavedFates>,
    pub(super) transitions: Option<SavedSort>,
    pub(super) persistence: Option<persistence::Snapshot>,
    pub(super) alerts: Option<SavedAlerts>,
}

/// Brings what is remembered to the disk, and says where it is.
pub type UnsavedOutputs = Box<dyn FnOnce() -> Result<SavedOutputs, OutputError> + Send>;

impl SavedOutputs {
    /// The records so far.
    pub fn records(&self) -> u64 {
        self.counts.get(&Count::Record).copied().unwrap_or_default()
    }

    /// The names of the files that it goes on with.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let sorts = [&self.episodes, &self.dead_letters].into_iter();
        let sorts = sorts.chain(self.fates.iter().flat_map(SavedFates::sorts));
        let sorts = sorts.chain(&self.transitions);
        let growing = [UPDATES, NOTIFICATIONS].map(|name| kept_name(self.series, name));
        sorts.flat_map(SavedSort::names).map(str::to_owned).chain(growing)
    }
}
