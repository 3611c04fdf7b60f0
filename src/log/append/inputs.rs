//! Inputs are appended to a log, each by a thread of its own, a partition of its name.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::thread;

use super::{Appender, Input, Liveness, Options};
use crate::durable::Disk;
use crate::log::manifest::Manifest;
use crate::replay::{Failure, Log};
use crate::rules::Rules;
use crate::sinks::OutputError;
use crate::sources::{Blocks, InputError, Interrupt};

/// So many blocks of an input are on their way to the disk at once.
const BLOCKS_MAX: usize = 4;

/// What was appended.
#[derive(Debug)]
pub struct Appended {
    /// The log then.
    pub manifest: Manifest,
    /// How many lines came to it.
    pub lines: u64,
    /// How many bytes a crash had left, which were cut off.
    pub torn_bytes: u64,
    /// How far the clock went back, if it did.
    pub held_ns: Option<i64>,
    /// Inputs that could not be read to their end.
    pub damaged: Vec<InputError>,
}

/// Inputs that are about to be appended: their partitions are in the log.
pub struct Appending {
    inputs: Vec<(Input, Blocks)>,
    appender: Appender,
}

/// Opens inputs and a log, and begins their partitions.
///
/// # Errors
/// As [`Appender::open`] and [`Appender::begin`], and [`Failure::Input`] if an input cannot be opened:
/// the log is not touched then.
pub fn start(
    rules: &Rules,
    logs: &[(Log, Liveness)],
    (disk, dir): (&Disk, &Path),
    options: Options,
    now: impl FnMut() -> i64 + Send + 'static,
    interrupt: &Interrupt,
) -> Result<Appending, Failure> {
    let pipe = |error| OutputError::cannot_create(dir, &error);
    let (stop, stopper) = Interrupt::new().map_err(pipe)?;
    let interrupt = interrupt.or(&stop);
    let open = |(number, (log, _)): (usize, &(Log, _))| log.open(number, rules, &interrupt);
    let opened = logs.iter().enumerate().map(open).collect::<Result<Vec<_>, _>>()?;
    let appender = Appender::open_until(disk, dir, options, now, Some(stopper))?;
    let mut appending = Appending { inputs: Vec::new(), appender };
    let mut names = BTreeSet::new();
    for ((log, liveness), partition) in logs.iter().zip(opened) {
        let name = log.path.display().to_string();
        if !names.insert(name.clone()) {
            let detail = "it is named twice".to_owned();
            return Err(InputError::Changed { input: name, detail }.into());
        }
        let (appender, header) = (&mut appending.appender, partition.header());
        let input = appender.begin(&name, rules, log.source, header, *liveness)?;
        let Some(mut blocks) = partition.into_blocks() else { continue };
        blocks.set_live(*liveness != Liveness::Recorded);
        appending.inputs.push((input, blocks));
    }
    Ok(appending)
}

impl Appending {
    /// Appends until the inputs end, or are interrupted; those that end are declared ended, and the
    /// log says which could not be read to their end.
    ///
    /// # Errors
    /// [`OutputError`], as soon as writing fails: what was acknowledged is in the log.
    pub fn run(self) -> Result<Appended, OutputError> {
        let Self { inputs, appender } = self;
        let results: Vec<_> = thread::scope(|scope| {
            let take = |(input, blocks)| scope.spawn(move || take_all(&input, blocks));
            let threads: Vec<_> = inputs.into_iter().map(take).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        });
        let (torn_bytes, held_ns) = (appender.torn_bytes(), appender.held_ns());
        let finished = appender.finish();
        let (mut lines, mut damaged) = (0, Vec::new());
        for result in results {
            let (taken, error) = result?;
            lines += taken;
            damaged.extend(error);
        }
        Ok(Appended { manifest: finished?, lines, torn_bytes, held_ns, damaged })
    }
}

/// Appends an input to its end; how many lines, and why it ended early, if it did.
fn take_all(input: &Input, mut blocks: Blocks) -> Result<(u64, Option<InputError>), OutputError> {
    let (mut pending, mut lines, mut damaged) = (VecDeque::new(), 0, None);
    while let Some(block) = blocks.next_block(Vec::new()) {
        match block {
            Ok(block) => {
                lines += block.count();
                pending.push_back(input.append(block));
            }
            Err(error) => {
                damaged = Some(error);
                break;
            }
        }
        if pending.len() > BLOCKS_MAX {
            pending.pop_front().map_or(Ok(()), super::Pending::wait)?;
        }
    }
    match &damaged {
        None => pending.push_back(input.end()),
        // It may go on another time.
        Some(InputError::Interrupted { .. }) => {}
        Some(error) => pending.push_back(input.break_off(error.clone())),
    }
    pending.into_iter().try_for_each(super::Pending::wait)?;
    Ok((lines, damaged))
}
