//! A replay that is saved on the way, and goes on from where another was.

use std::path::Path;

use limbeck_operators::hash::fixed_hash;
use smol_str::SmolStr;

use super::{Failure, Log, Options};
use crate::checkpoint::{Asked, Checkpoint, Damaged, Keeper, Plan, clear};
use crate::pipeline::RestoredFlow;
use crate::rules::Rules;
use crate::sinks::report::{Keep, Restored};
use crate::sinks::{OutputDir, OutputError};
use crate::sources::intake::{Partition, go_on, lead_to};

/// How a replay is saved.
pub(super) struct Saving {
    pub(super) keeper: Keeper,
    plan: Plan,
    /// The folder is nobody else's.
    _lock: OutputDir,
}

/// What a replay makes of the checkpoint that there is.
#[derive(Clone, Debug)]
pub enum Resumed {
    /// It goes on from this logical time, behind so many records.
    From {
        /// The logical time.
        at: i64,
        /// The records before it.
        records: u64,
    },
    /// It reads the log from its start for rules that are new or otherwise, and goes on with what
    /// there is of the unchanged from this logical time.
    Rules {
        /// The logical time.
        at: i64,
        /// The rules that are unchanged, by name.
        unchanged: Vec<SmolStr>,
        /// The others.
        rebuilt: Vec<SmolStr>,
    },
    /// It begins anew, since this was asked for otherwise.
    Not {
        /// By the names of the command line.
        differs_in: Vec<String>,
    },
}

impl Resumed {
    /// The records that it need not read again.
    pub fn records(&self) -> u64 {
        match self {
            Self::From { records, .. } => *records,
            Self::Rules { .. } | Self::Not { .. } => 0,
        }
    }
}

/// How a replay goes on, and is saved.
pub(super) struct Resuming {
    pub(super) saving: Saving,
    pub(super) flow: Option<RestoredFlow>,
    pub(super) resumed: Option<Resumed>,
}

impl Resuming {
    /// Since when it reads, if it goes on.
    pub(super) fn since_ns(&self) -> Option<i64> {
        match self.resumed {
            Some(Resumed::From { at, .. }) => Some(at),
            _ => None,
        }
    }
}

/// Opens the folder of the checkpoints, and has the partitions go on with what it has.
pub(super) fn resume(
    plan: &Plan,
    rules: &Rules,
    options: &Options,
    partitions: &mut [Partition],
) -> Result<(Resuming, Keep), Failure> {
    let lock = OutputDir::create_on(&plan.disk, &plan.dir)?;
    let asked = asked(rules, options);
    let (mut resumed, mut flow, mut restored) = (None, None, Restored::Nothing);
    if let Some(checkpoint) = Checkpoint::read(&plan.dir).map_err(Failure::Checkpoint)? {
        let mut differs_in: Vec<_> =
            checkpoint.differs_in(&asked).into_iter().map(str::to_owned).collect();
        if differs_in.iter().any(|name| name == LOGS) {
            return Err(Failure::OtherCheckpoint(plan.dir.clone()));
        }
        let Checkpoint { at, written, intake, outputs, flow: saved, .. } = checkpoint;
        let is_same = written == rules.written;
        let unchanged = rules.unchanged(&written);
        // What became of a record is not known rule by rule.
        if !is_same && (options.fates || unchanged.numbers().next().is_none()) {
            differs_in
                .extend((!differs_in.iter().any(|name| name == RULES)).then(|| RULES.to_owned()));
        }
        let saved = RestoredFlow::new(at, saved);
        resumed = Some(match (differs_in.is_empty(), is_same) {
            (false, _) => Resumed::Not { differs_in },
            (true, true) => {
                let records = outputs.records();
                go_on(partitions, at, intake)?;
                flow = Some(saved);
                restored = Restored::All(outputs);
                Resumed::From { at, records }
            }
            (true, false) => {
                lead_to(partitions, at, &intake);
                let damaged =
                    |detail| Failure::Checkpoint(Damaged { path: plan.dir.clone(), detail });
                flow = Some(saved.of_rules(&unchanged, rules).map_err(damaged)?);
                let [unchanged_names, rebuilt] = [true, false].map(|is| unchanged.names(is));
                restored = Restored::Rules(outputs, unchanged);
                Resumed::Rules { at, unchanged: unchanged_names, rebuilt }
            }
        });
    }
    if matches!(restored, Restored::Nothing) {
        cleared(plan)?;
    }
    let since_ns = match resumed {
        Some(Resumed::Rules { at, .. }) => Some(at),
        _ => None,
    };
    let asked = Asked { asked, written: rules.written.clone(), since_ns };
    let keeper = Keeper::start(plan, asked, options.workers);
    let giver = keeper.outputs_giver();
    let keep = Keep {
        disk: plan.disk.clone(),
        dir: plan.dir.clone(),
        save: Box::new(move |unsaved| giver.give(unsaved)),
        restored,
        given_up: keeper.given_up(),
    };
    let saving = Saving { keeper, plan: plan.clone(), _lock: lock };
    Ok((Resuming { saving, flow, resumed }, keep))
}

fn cleared(plan: &Plan) -> Result<(), OutputError> {
    clear(plan).map_err(|error| OutputError::cannot_create(&plan.dir, &error))
}

/// The folder, when nothing is saved any more.
pub(super) struct Saved {
    plan: Plan,
    _lock: OutputDir,
}

impl Saving {
    /// Waits for what is being written.
    pub(super) fn finish(self) -> Result<Saved, Failure> {
        let Self { keeper, plan, _lock } = self;
        keeper.finish()?;
        Ok(Saved { plan, _lock })
    }
}

impl Saved {
    /// Removes all: the replay is over for good.
    pub(super) fn clear(self) -> Result<(), OutputError> {
        cleared(&self.plan)
    }
}

const LOGS: &str = "--log";
const RULES: &str = "--rules";

/// What a replay must have been asked alike to be gone on with.
fn asked(rules: &Rules, options: &Options) -> Vec<(String, u64)> {
    let logs: Vec<(&Path, usize)> =
        options.logs.iter().map(|Log { path, source, .. }| (path.as_path(), *source)).collect();
    let asked = [
        ("version of limbeck", fixed_hash(env!("CARGO_PKG_VERSION"))),
        (RULES, rules.written.base),
        (LOGS, fixed_hash(&logs)),
        ("--tick", fixed_hash(&options.tick_ns)),
        ("--fates", fixed_hash(&options.fates)),
        ("--from", fixed_hash(&options.from_ns)),
        ("--until", fixed_hash(&options.until_ns)),
        ("--alerts", fixed_hash(&options.senders.as_ref().map(|senders| senders.dir()))),
    ];
    asked.map(|(name, hash)| (name.to_owned(), hash)).into()
}
