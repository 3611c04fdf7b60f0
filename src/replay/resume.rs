//! A replay that is saved on the way, and goes on from where another was.

use std::path::Path;

use limbeck_operators::hash::fixed_hash;

use super::{Failure, Log, Options};
use crate::checkpoint::{Checkpoint, Keeper, Plan, clear};
use crate::pipeline::RestoredFlow;
use crate::rules::Rules;
use crate::sinks::report::Keep;
use crate::sinks::{OutputDir, OutputError};
use crate::sources::intake::{Partition, go_on};

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
            Self::Not { .. } => 0,
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
    let mut resumed = None;
    let (mut flow, mut outputs) = (None, None);
    if let Some(checkpoint) = Checkpoint::read(&plan.dir).map_err(Failure::Checkpoint)? {
        let differs_in: Vec<_> =
            checkpoint.differs_in(&asked).into_iter().map(str::to_owned).collect();
        if differs_in.iter().any(|name| name == LOGS) {
            return Err(Failure::OtherCheckpoint(plan.dir.clone()));
        }
        if differs_in.is_empty() {
            let records = checkpoint.outputs.records();
            resumed = Some(Resumed::From { at: checkpoint.at, records });
            go_on(partitions, checkpoint.at, checkpoint.intake)?;
            flow = Some(RestoredFlow::new(checkpoint.at, checkpoint.flow));
            outputs = Some(checkpoint.outputs);
        } else {
            resumed = Some(Resumed::Not { differs_in });
        }
    }
    if outputs.is_none() {
        cleared(plan)?;
    }
    let keeper = Keeper::start(plan, asked, options.workers);
    let giver = keeper.outputs_giver();
    let keep = Keep {
        disk: plan.disk.clone(),
        dir: plan.dir.clone(),
        save: Box::new(move |saved| giver.give(saved)),
        restored: outputs,
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
        keeper.finish().map_err(|error| OutputError::write_failed(&plan.dir, &error))?;
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

/// What a replay must have been asked alike to be gone on with.
fn asked(rules: &Rules, options: &Options) -> Vec<(String, u64)> {
    let logs: Vec<(&Path, usize)> =
        options.logs.iter().map(|Log { path, source, .. }| (path.as_path(), *source)).collect();
    let asked = [
        ("version of limbeck", fixed_hash(env!("CARGO_PKG_VERSION"))),
        ("--rules", fixed_hash(&format!("{rules:?}"))),
        (LOGS, fixed_hash(&logs)),
        ("--tick", fixed_hash(&options.tick_ns)),
        ("--fates", fixed_hash(&options.fates)),
        ("--from", fixed_hash(&options.from_ns)),
        ("--until", fixed_hash(&options.until_ns)),
        ("--alerts", fixed_hash(&options.senders.as_ref().map(|senders| senders.dir()))),
    ];
    asked.map(|(name, hash)| (name.to_owned(), hash)).into()
}
