//! A replay that is saved on the way, and goes on from where another was.

use std::path::Path;

use limbeck_operators::hash::fixed_hash;
use limbeck_operators::intake::Cutter;
use smol_str::SmolStr;

use super::links::Links;
use super::{Cluster, Failure, Log, Options};
use crate::checkpoint::{Asked, Checkpoint, Damaged, Keeper, Plan, Share, clear};
use crate::pipeline::RestoredFlow;
use crate::rules::Rules;
use crate::sinks::report::{Keep, Restored};
use crate::sinks::{OutputDir, OutputError};
use crate::sources::InputError;
use crate::sources::intake::{Partition, SavedIntake, go_on, lead_to};

/// How a replay is saved.
pub(super) struct Saving {
    pub(super) keeper: Keeper,
    folder: Option<Folder>,
}

/// The folder of the checkpoints, on the process that has it.
struct Folder {
    plan: Plan,
    /// It is nobody else's.
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
    /// The checkpoint that is gone on with, for other processes.
    shared: Option<Vec<u8>>,
    /// Where the partitions are to go on, if they do not yet.
    place: Option<Place>,
}

/// What is remembered of the partitions of a process, and how it is of use.
struct Place {
    at: i64,
    intake: SavedIntake,
    /// Whether they are read from their starts all the same.
    anew: bool,
}

impl Place {
    /// Has partitions go on there, which may take long: files are read up to it.
    fn take(self, partitions: &mut [Partition]) -> Result<(), InputError> {
        let Self { at, intake, anew } = self;
        if anew {
            return lead_to(partitions, at, &intake);
        }
        go_on(partitions, at, intake)
    }
}

impl Resuming {
    /// Since when it reads, if it goes on.
    pub(super) fn since_ns(&self) -> Option<i64> {
        match self.resumed {
            Some(Resumed::From { at, .. }) => Some(at),
            _ => None,
        }
    }

    /// Has all processes go on from the same place, which the first knows.
    ///
    /// # Errors
    /// [`Failure`], if one cannot.
    pub(super) fn together(
        &mut self,
        links: &Links,
        rules: &Rules,
        options: &Options,
        partitions: &mut [Partition],
    ) -> Result<(), Failure> {
        let (shared, place) = (self.shared.take(), self.place.take());
        if share(options).process == 0 {
            let go_on = || place.map_or(Ok(()), |place| Ok(place.take(partitions)?));
            return links.lead(shared, go_on, &options.interrupt);
        }
        let go_on = |bytes: Option<Vec<u8>>| {
            let Some(plan) = &options.checkpoint else { return Ok(()) };
            let mine = Checkpoint::read(&plan.dir).map_err(Failure::Checkpoint)?;
            // Where the folder is shared it is the same.
            if mine.is_some() && mine != bytes {
                return Err(Failure::CheckpointElsewhere(plan.dir.clone()));
            }
            if let Some(bytes) = bytes {
                let checkpoint =
                    Checkpoint::parse(&plan.dir, &bytes).map_err(Failure::Checkpoint)?;
                let going_on = go_on_with(checkpoint, plan, rules, options)?;
                (self.flow, self.resumed) = (Some(going_on.flow), Some(going_on.resumed));
                going_on.place.take(partitions)?;
            }
            let from_ns = self.since_ns().or(options.from_ns);
            Ok(options.logs.iter().try_for_each(|log| log.has_all_from(from_ns))?)
        };
        links.follow(go_on, &options.interrupt)
    }
}

fn share(options: &Options) -> Share {
    let alone = Share { process: 0, processes: 1 };
    let together =
        |cluster: &Cluster| Share { process: cluster.process, processes: cluster.hosts.len() };
    options.cluster.as_ref().map_or(alone, together)
}

/// Opens the folder of the checkpoints, and has the partitions go on with what it has. Of several
/// processes the first has it, and the others [hear](Resuming::together) what it has.
pub(super) fn resume(
    plan: &Plan,
    rules: &Rules,
    options: &Options,
    partitions: &mut [Partition],
    cutters: Vec<Cutter>,
) -> Result<(Resuming, Option<Keep>), Failure> {
    let (asked, share) = (asked(rules, options), share(options));
    let written = rules.written.clone();
    if share.process > 0 {
        let asked = Asked { asked, written, not_before: None };
        let keeper = Keeper::start(plan, asked, share, cutters);
        let saving = Saving { keeper, folder: None };
        return Ok((
            Resuming { saving, flow: None, resumed: None, shared: None, place: None },
            None,
        ));
    }
    let lock = OutputDir::create_on(&plan.disk, &plan.dir)?;
    let (mut resumed, mut flow, mut restored) = (None, None, Restored::Nothing);
    let mut place = None;
    let mut shared = Checkpoint::read(&plan.dir).map_err(Failure::Checkpoint)?;
    let parse = |bytes: &Vec<u8>| Checkpoint::parse(&plan.dir, bytes);
    let checkpoint = shared.as_ref().map(parse).transpose().map_err(Failure::Checkpoint)?;
    if let Some(checkpoint) = checkpoint {
        let mut differs_in: Vec<_> =
            checkpoint.differs_in(&asked).into_iter().map(str::to_owned).collect();
        if differs_in.iter().any(|name| name == LOGS) {
            return Err(Failure::OtherCheckpoint(plan.dir.clone()));
        }
        let is_same = checkpoint.written == rules.written;
        // What became of a record, and each change, is not known rule by rule.
        let has_unchanged = rules.unchanged(&checkpoint.written).numbers().next().is_some();
        if !is_same && (options.fates || rules.keeps_transitions() || !has_unchanged) {
            differs_in
                .extend((!differs_in.iter().any(|name| name == RULES)).then(|| RULES.to_owned()));
        }
        if differs_in.is_empty() {
            let going_on = go_on_with(checkpoint, plan, rules, options)?;
            (flow, restored) = (Some(going_on.flow), going_on.restored);
            (resumed, place) = (Some(going_on.resumed), Some(going_on.place));
        } else {
            resumed = Some(Resumed::Not { differs_in });
        }
    }
    if matches!(restored, Restored::Nothing) {
        cleared(plan)?;
        shared = None;
    }
    let not_before = match resumed {
        Some(Resumed::From { at, .. } | Resumed::Rules { at, .. }) => {
            Some(at.saturating_add(options.tick_ns))
        }
        _ => None,
    };
    let keeper = Keeper::start(plan, Asked { asked, written, not_before }, share, cutters);
    let keep = keeper.outputs_giver().map(|giver| Keep {
        disk: plan.disk.clone(),
        dir: plan.dir.clone(),
        save: Box::new(move |unsaved| giver.give(unsaved)),
        restored,
        given_up: keeper.given_up(),
    });
    let folder = Some(Folder { plan: plan.clone(), _lock: lock });
    let shared = shared.filter(|_| share.processes > 1);
    // The others are met before that: they do not wait for ever.
    if let Some(place) = place.take_if(|_| share.processes == 1) {
        place.take(partitions)?;
    }
    Ok((Resuming { saving: Saving { keeper, folder }, flow, resumed, shared, place }, keep))
}

/// What a process goes on with.
struct GoingOn {
    resumed: Resumed,
    flow: RestoredFlow,
    restored: Restored,
    place: Place,
}

/// Goes on with a checkpoint, from its time or, where rules are others now, from the start.
fn go_on_with(
    checkpoint: Checkpoint,
    plan: &Plan,
    rules: &Rules,
    options: &Options,
) -> Result<GoingOn, Failure> {
    let Checkpoint { at, written, intake, outputs, flow, .. } = checkpoint;
    let Share { process, processes } = share(options);
    let intake = intake.share(process, processes);
    let flow = RestoredFlow::new(at, flow);
    let place = Place { at, intake, anew: written != rules.written };
    if !place.anew {
        let records = outputs.records();
        let restored = Restored::All(outputs);
        return Ok(GoingOn { resumed: Resumed::From { at, records }, flow, restored, place });
    }
    let unchanged = rules.unchanged(&written);
    let damaged = |detail| Failure::Checkpoint(Damaged { path: plan.dir.clone(), detail });
    let flow = flow.of_rules(&unchanged, rules).map_err(damaged)?;
    let [unchanged_names, rebuilt] = [true, false].map(|is| unchanged.names(is));
    let resumed = Resumed::Rules { at, unchanged: unchanged_names, rebuilt };
    Ok(GoingOn { resumed, flow, restored: Restored::Rules(outputs, unchanged), place })
}

fn cleared(plan: &Plan) -> Result<(), OutputError> {
    clear(plan).map_err(|error| OutputError::cannot_create(&plan.dir, &error))
}

/// The folder, when nothing is saved any more.
pub(super) struct Saved(Option<Folder>);

impl Saving {
    /// Waits for what is being written.
    pub(super) fn finish(self) -> Result<Saved, Failure> {
        self.keeper.finish()?;
        Ok(Saved(self.folder))
    }
}

impl Saved {
    /// Removes all: the replay is over for good.
    pub(super) fn clear(self) -> Result<(), OutputError> {
        self.0.map_or(Ok(()), |folder| cleared(&folder.plan))
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
