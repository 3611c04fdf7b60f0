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

/// What a replay goes on with.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// The logical time of the checkpoint.
    pub at: i64,
    /// The records before it.
    pub records: u64,
}

/// Why there is a checkpoint that a replay does not go on with.
#[derive(Clone, Debug)]
pub struct NotResumed {
    /// What was asked for otherwise.
    pub differs_in: Vec<String>,
}

/// All of that.
pub(super) struct Resuming {
    pub(super) saving: Saving,
    pub(super) keep: Keep,
    pub(super) flow: Option<RestoredFlow>,
    pub(super) resumed: Result<Option<Resumed>, NotResumed>,
}

/// Opens the folder of the checkpoints, and has the partitions go on with what it has.
pub(super) fn resume(
    plan: &Plan,
    rules: &Rules,
    options: &Options,
    partitions: &mut [Partition],
) -> Result<Resuming, Failure> {
    let lock = OutputDir::create_on(&plan.disk, &plan.dir)?;
    let asked = asked(rules, options);
    let mut resumed = Ok(None);
    let (mut flow, mut outputs) = (None, None);
    if let Some(checkpoint) = Checkpoint::read(&plan.dir).map_err(Failure::Checkpoint)? {
        let differs_in: Vec<_> =
            checkpoint.differs_in(&asked).into_iter().map(str::to_owned).collect();
        let is_behind = options.until_ns.is_some_and(|until| until < checkpoint.at);
        if differs_in.iter().any(|name| name == LOGS) {
            return Err(Failure::OtherCheckpoint(plan.dir.clone()));
        }
        if differs_in.is_empty() && !is_behind {
            let records = checkpoint.outputs.records();
            resumed = Ok(Some(Resumed { at: checkpoint.at, records }));
            go_on(partitions, checkpoint.intake)?;
            flow = Some(RestoredFlow::new(checkpoint.at, checkpoint.flow));
            outputs = Some(checkpoint.outputs);
        } else {
            let until = is_behind.then(|| "--until".to_owned());
            resumed = Err(NotResumed { differs_in: differs_in.into_iter().chain(until).collect() });
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
    };
    let saving = Saving { keeper, plan: plan.clone(), _lock: lock };
    Ok(Resuming { saving, keep, flow, resumed })
}

fn cleared(plan: &Plan) -> Result<(), OutputError> {
    clear(plan).map_err(|error| OutputError::cannot_create(&plan.dir, &error))
}

impl Saving {
    /// Waits for what is being written, and removes all if the replay is over for good.
    pub(super) fn finish(self, is_over: bool) -> Result<(), Failure> {
        let Self { keeper, plan, _lock } = self;
        keeper.finish().map_err(|error| OutputError::write_failed(&plan.dir, &error))?;
        if is_over {
            cleared(&plan)?;
        }
        Ok(())
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
    ];
    asked.map(|(name, hash)| (name.to_owned(), hash)).into()
}
