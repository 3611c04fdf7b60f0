//! A replay: logs through the flow into outputs, on any number of workers and processes.

mod failure;
mod links;
pub mod memory;
mod processes;
mod progress;
mod resume;

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use limbeck_operators::intake::{Feed, Intake, intake};
use limbeck_operators::timeline::Timing;
use timely::{CommunicationConfig, WorkerConfig};

pub use failure::Failure;
pub use processes::Cluster;
pub use resume::Resumed;

use self::links::{Carrying, INTERRUPTED};
use self::processes::{Builders, Met};
use self::resume::{Resuming, Saved, Saving, resume};
use crate::alerts::Senders;
use crate::checkpoint::{Plan, WorkerGiver};
use crate::log::Stored;
use crate::metrics::profile::Listening;
use crate::metrics::{self, Metrics, Timed};
use crate::pipeline::{self, Gathered, Remembering, RestoredFlow};
use crate::rules::Rules;
use crate::sinks::report::{self, Asked, OUTPUTS, Reporter, Summary, Writing};
use crate::sinks::{OutputError, exit_without_outputs};
use crate::sources::intake::{
    Batch, Clockwork, Matcher, Outcome, Partition, ReadTo, Saver, Traced, read,
};
use crate::sources::{InputError, Interrupt, open_until};

/// Batches that wait for a worker, and that a worker has on their way.
const CHANNEL_MAX: usize = 2;
const IN_FLIGHT_MAX: usize = 4;

/// A log and the source of the rule file that reads it.
#[derive(Clone, Debug)]
pub struct Log {
    /// The file; `-` is standard input. Of a partition of a replay log, what was imported.
    pub path: PathBuf,
    /// The number of the source.
    pub source: usize,
    /// The partition, if it is one of a replay log.
    pub stored: Option<Stored>,
}

impl Log {
    /// A log file.
    pub fn file(path: impl Into<PathBuf>, source: usize) -> Self {
        Self { path: path.into(), source, stored: None }
    }

    /// A partition of a replay log; `None` if the rule file has not the source that reads it.
    pub fn stored(stored: Stored, rules: &Rules) -> Option<Self> {
        let wanted = &stored.partition.source;
        let source = rules.sources.iter().position(|source| source.name == *wanted)?;
        Some(Self { path: (&stored.partition.name).into(), source, stored: Some(stored) })
    }

    /// Whether all that it had from an instant on is there; from its beginning, if none is said.
    ///
    /// # Errors
    /// [`InputError::Removed`].
    pub fn has_all_from(&self, from_ns: Option<i64>) -> Result<(), InputError> {
        self.stored.as_ref().map_or(Ok(()), |stored| stored.has_all_from(from_ns))
    }

    /// The number of the n-th log as a partition: the parts of one that was split have that of the
    /// first, so that their records stand among those of others as they did.
    pub fn number(logs: &[Self], n: usize) -> usize {
        let part = |log: &Self| {
            let stored = log.stored.as_ref()?;
            Some((Arc::clone(&stored.dir), stored.partition.part_of?))
        };
        let Some(mine) = part(&logs[n]) else { return n };
        logs.iter().position(|log| part(log).as_ref() == Some(&mine)).unwrap_or(n)
    }

    /// Opens it as the partition of this number.
    ///
    /// # Errors
    /// [`InputError`], if it cannot be opened, or has not the header that its source needs.
    pub fn open(
        &self,
        number: usize,
        rules: &Rules,
        interrupt: &Interrupt,
    ) -> Result<Partition, InputError> {
        match &self.stored {
            Some(stored) => Ok(Partition::stored(number, self.source, stored.clone(), interrupt)),
            None => {
                let input = open_until(&self.path, interrupt)?;
                Partition::new(number, self.source, input, rules)
            }
        }
    }
}

/// What to replay, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The logs, each a partition.
    pub logs: Vec<Log>,
    /// Where the outputs go.
    pub out: PathBuf,
    /// Workers in this process.
    pub workers: usize,
    /// The instant at which the replay begins: what each log has before its first record that
    /// arrived then or later is no part of it.
    pub from_ns: Option<i64>,
    /// The instant at which the replay ends; at the last arrival if none.
    pub until_ns: Option<i64>,
    /// How finely history is resolved.
    pub tick_ns: i64,
    /// The processes, if several.
    pub cluster: Option<Cluster>,
    /// Whether to write what became of every record.
    pub fates: bool,
    /// Where and when it is saved on the way, and gone on with; of several processes, by the first.
    pub checkpoint: Option<Plan>,
    /// What sends notifications to their sinks; without, nobody is told.
    pub senders: Option<Arc<Senders>>,
    /// Whether to measure where workers spend their time, and what they keep.
    pub profile: bool,
    /// Whether to draw a progress bar where standard error is a terminal.
    pub progress: bool,
    /// What ends the reading early.
    pub interrupt: Interrupt,
    /// How much of a log is read at once, where the intake's own choice will not do. It changes no
    /// result, which is what it is for: to be tested.
    #[doc(hidden)]
    pub block_bytes: Option<usize>,
}

/// What came of a replay.
#[derive(Debug)]
pub struct Replayed {
    /// The summary, as written; `None` on a process that writes no outputs.
    pub summary: Option<Summary>,
    /// Inputs that could not be read to their end. What was whole has been replayed.
    pub damaged: Vec<InputError>,
    /// What was measured of this process.
    pub metrics: Arc<Metrics>,
}

/// As many workers as are worth while here: each has a thread beside it that decodes, and costs
/// about as much.
pub fn workers_usual() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

/// Replays logs through rules.
///
/// # Errors
///
/// [`Failure`], if there are no outputs.
pub fn replay(rules: &Rules, options: &Options) -> Result<Replayed, Failure> {
    prepare(rules, options)?.run()
}

/// A replay whose inputs and outputs are open: of several processes, this one can take part.
pub struct Prepared<'r> {
    rules: &'r Rules,
    options: &'r Options,
    started: Instant,
    metrics: Arc<Metrics>,
    partitions: Vec<Partition>,
    /// None on a process that writes no outputs.
    writing: Option<(Reporter, Writing)>,
    /// None without checkpoints.
    resuming: Option<Resuming>,
    /// Of each worker.
    feeds: Vec<Feed<Batch>>,
    intakes: Vec<Intake<Batch>>,
}

/// Opens inputs and outputs.
///
/// # Errors
///
/// [`Failure::Input`] or [`Failure::Output`].
pub fn prepare<'r>(rules: &'r Rules, options: &'r Options) -> Result<Prepared<'r>, Failure> {
    let started = metrics::now();
    let names_of_rules = rules.rules.iter().map(|rule| rule.name.as_str());
    let metrics = Arc::new(Metrics::new(names_of_rules, options.profile));
    let mut partitions = open_partitions(rules, options)?;
    spare_logs(options)?;
    let (feeds, intakes): (Vec<_>, Vec<_>) =
        (0..options.workers).map(|_| intake(CHANNEL_MAX, IN_FLIGHT_MAX)).unzip();
    let plan = options.checkpoint.as_ref();
    let cutters = feeds.iter().map(Feed::cutter).collect();
    let resuming = plan.map(|plan| resume(plan, rules, options, &mut partitions, cutters));
    let (resuming, keep) = resuming.transpose()?.unzip();
    let keep = keep.flatten();
    let writes = options.cluster.as_ref().is_none_or(|cluster| cluster.process == 0);
    // Another process does not know yet from where it goes on.
    if writes || plan.is_none() {
        let from_ns = resuming.as_ref().and_then(Resuming::since_ns).or(options.from_ns);
        options.logs.iter().try_for_each(|log| log.has_all_from(from_ns))?;
    }
    let writing = match writes {
        true => {
            let is_followed = |log: &Log| log.stored.as_ref().is_some_and(Stored::is_followed);
            let follows = options.logs.iter().any(is_followed);
            let (dir, files) = (&*options.out, names(options));
            let (fates, tick_ns) = (options.fates, options.tick_ns);
            let senders = options.senders.clone();
            let metrics = Arc::clone(&metrics);
            let asked = Asked { dir, files, fates, tick_ns, keep, senders, follows, metrics };
            Some(report::start(rules, asked)?)
        }
        false => None,
    };
    Ok(Prepared { rules, options, started, metrics, partitions, writing, resuming, feeds, intakes })
}

impl Prepared<'_> {
    /// Where the updates are until they have their name, on a process that writes them.
    pub fn updates_so_far(&self) -> Option<&Path> {
        self.writing.as_ref().map(|(_, writing)| writing.updates_so_far.as_path())
    }

    /// What it makes of the checkpoint that there is, if there is one.
    pub fn resumed(&self) -> Option<&Resumed> {
        self.resuming.as_ref()?.resumed.as_ref()
    }

    /// Replays.
    ///
    /// # Errors
    ///
    /// [`Failure`], if there are no outputs.
    pub fn run(self) -> Result<Replayed, Failure> {
        let mut prepared = self;
        let started = start(&mut prepared);
        let (builders, carrying) = match started {
            Ok(started) => started,
            Err(failure) => {
                // The unfinished outputs shall be gone before the process is.
                if let Some((reporter, writing)) = prepared.writing {
                    drop(reporter);
                    drop(writing.finish());
                }
                return Err(failure);
            }
        };
        let replayed = prepared.replay(builders, carrying.as_ref());
        if let (Err(failure), Some(carrying)) = (&replayed, &carrying) {
            carrying.tell(failure);
        }
        replayed
    }

    fn replay(self, builders: Builders, carrying: Option<&Carrying>) -> Result<Replayed, Failure> {
        let records_before = self.resumed().map_or(0, Resumed::records);
        let Self {
            rules,
            options,
            started,
            metrics,
            partitions,
            writing,
            resuming,
            feeds,
            intakes,
        } = self;
        let (reporter, writing) = writing.unzip();
        let (saving, restored) = resuming.map(|resuming| (resuming.saving, resuming.flow)).unzip();
        let restored = restored.flatten();
        let stop = Arc::new(AtomicBool::new(false));
        let giver = saving.as_ref().map(|saving| saving.keeper.worker_giver());
        let flow = (restored, giver);
        let whole = (rules, options, &metrics);
        let workers = match start_workers(whole, builders, intakes, reporter, &stop, flow) {
            Ok(workers) => workers,
            Err(failure) => {
                drop(writing.map(Writing::finish));
                return Err(failure);
            }
        };
        let saver = saving.as_ref().map(|saving| &saving.keeper as &dyn Saver);
        let outcome = feed(partitions, (rules, options, &metrics), (&feeds, saver), &stop);
        if let (true, Some(carrying)) = (outcome.left, carrying) {
            leave(carrying, outcome, saving, writing);
        }
        drop(feeds);
        for worker in workers.join() {
            worker.map_err(Failure::Worker)?;
        }

        let mut damaged = outcome.damaged;
        damaged.sort_by_key(|error| error.input().to_owned());
        if let Some(another) = outcome.another {
            // The unfinished outputs shall be gone before the process is.
            drop(writing.map(Writing::finish));
            return Err(another.into());
        }
        let Some(writing) = writing else {
            // Until the outputs are in place, all may have to go on.
            if let Some(carrying) = carrying {
                carrying.done();
            }
            return Ok(Replayed { summary: None, damaged, metrics });
        };
        let written = writing.finish();
        // Outputs that could not be saved cannot be finished either: that is said first.
        let saved = saving.map(Saving::finish).transpose()?;
        let mut written = written?;
        let is_interrupt = |error: &InputError| matches!(error, InputError::Interrupted { .. });
        if saved.is_some() && damaged.iter().any(is_interrupt) {
            // Another process goes on with it.
            return Ok(Replayed { summary: None, damaged, metrics });
        }
        written.summary.complete &= !outcome.stopped;
        let read = written.summary.records - records_before;
        written.summary.events_per_second = (read as f64 / started.elapsed().as_secs_f64()).round();
        written.summary.peak_rss_bytes = peak_rss_bytes();
        let summary = written.commit()?;
        saved.map(Saved::clear).transpose()?;
        if let Some(carrying) = carrying {
            carrying.done();
        }
        Ok(Replayed { summary: Some(summary), damaged, metrics })
    }
}

/// Meets the other processes, if there are any, and has all begin where the first does.
fn start(prepared: &mut Prepared<'_>) -> Result<(Builders, Option<Carrying>), Failure> {
    let Prepared { rules, options, partitions, resuming, .. } = prepared;
    let Some(cluster) = &options.cluster else {
        let alone = match options.workers {
            1 => CommunicationConfig::Thread,
            workers => CommunicationConfig::Process(workers),
        };
        return Ok((alone.try_build().map_err(Failure::Start)?, None));
    };
    let Met { sockets, links } = cluster.meet(rules, options)?;
    let carrying = match resuming {
        Some(resuming) => {
            resuming.together(&links, rules, options, partitions)?;
            Some(links.carry(&mut resuming.saving.keeper, &options.interrupt))
        }
        None => None,
    };
    Ok((processes::together(cluster, options, sockets)?, carrying))
}

/// Ends this process before its logs have, and the others with it: what they had, all go on from.
fn leave(
    carrying: &Carrying,
    outcome: Outcome,
    saving: Option<Saving>,
    writing: Option<Writing>,
) -> ! {
    if let Some(another) = outcome.another {
        carrying.leave(another.exit_code(), &another);
    }
    let is_interrupt = |error: &&InputError| matches!(error, InputError::Interrupted { .. });
    if let Some(interrupted) = outcome.damaged.iter().find(is_interrupt) {
        carrying.leave(interrupted.exit_code(), &INTERRUPTED);
    }
    // Whoever saves has failed; or the writer has, and then nobody saves any more either.
    let saving = saving.filter(|saving| saving.keeper.has_failed());
    let failure = saving.and_then(|saving| saving.finish().err());
    let of_writer = || Some(Failure::Output(writing?.finish().err()?));
    let failure = failure.or_else(of_writer);
    let failure = failure.unwrap_or_else(|| Failure::Worker("it stopped".to_owned()));
    carrying.leave(failure.exit_code(), &failure)
}

/// Refuses outputs that would take the place of a log.
fn spare_logs(options: &Options) -> Result<(), OutputError> {
    let file = |path: &Path| path.metadata().ok().map(|file| (file.dev(), file.ino()));
    let logs: Vec<_> = options.logs.iter().filter_map(|log| file(&log.path)).collect();
    for name in OUTPUTS {
        let path = options.out.join(name);
        if file(&path).is_some_and(|output| logs.contains(&output)) {
            return Err(OutputError::cannot_create(&path, &"it is one of the logs"));
        }
    }
    Ok(())
}

/// The partitions that this process reads, in the order of the command line. All logs are opened,
/// so that a missing one is known before any work, and headers are read.
fn open_partitions(rules: &Rules, options: &Options) -> Result<Vec<Partition>, Failure> {
    let (process, processes) =
        options.cluster.as_ref().map_or((0, 1), |cluster| (cluster.process, cluster.hosts.len()));
    let mine = options.logs.iter().enumerate().filter(|(n, _)| n % processes == process);
    let open = |(n, log): (usize, &Log)| {
        Ok(log.open(Log::number(&options.logs, n), rules, &options.interrupt)?)
    };
    mine.map(open).collect()
}

fn names(options: &Options) -> Vec<String> {
    options.logs.iter().map(|log| log.path.display().to_string()).collect()
}

/// Reads on this thread until everything has been taken over by the workers.
fn feed(
    partitions: Vec<Partition>,
    (rules, options, metrics): (&Rules, &Options, &Metrics),
    (feeds, saver): (&[Feed<Batch>], Option<&dyn Saver>),
    stop: &AtomicBool,
) -> Outcome {
    let clockwork = Clockwork {
        timing: Timing { lateness: rules.lateness_ns, tick: options.tick_ns },
        max_advance_ns: rules.max_advance_ns,
        from_ns: options.from_ns,
        until_ns: options.until_ns,
        block_bytes: options.block_bytes,
        traced: if options.fates { Traced::Everything } else { Traced::Nothing },
    };
    let sizes: Option<u64> = partitions.iter().map(Partition::size_bytes).sum();
    let bar = progress::Bar::new(options.progress, sizes);
    let progress = &|bytes| bar.at(bytes);
    let to = ReadTo { feeds, stop, progress, saver, metrics };
    let outcome = read(partitions, &Matcher::new(rules), clockwork, to);
    bar.finish();
    outcome
}

type Workers = timely::communication::WorkerGuards<()>;

fn start_workers(
    (rules, options, metrics): (&Rules, &Options, &Arc<Metrics>),
    (builders, others): Builders,
    intakes: Vec<Intake<Batch>>,
    reporter: Option<Reporter>,
    stop: &Arc<AtomicBool>,
    (restored, giver): (Option<RestoredFlow>, Option<WorkerGiver>),
) -> Result<Workers, Failure> {
    let intakes: Mutex<Vec<Option<Intake<Batch>>>> =
        Mutex::new(intakes.into_iter().map(Some).collect());
    let reporter = Mutex::new(reporter);
    let flow = pipeline::Options {
        tick_ns: options.tick_ns,
        across: options.cluster.is_some(),
        traced: options.fates,
    };
    let (rules, local, stop) = (rules.clone(), options.workers, Arc::clone(stop));
    let giver = Mutex::new(giver);
    let metrics = Arc::clone(metrics);
    timely::execute::execute_from(builders, others, WorkerConfig::default(), move |worker| {
        let taken = |slot: usize| intakes.lock().ok().and_then(|mut all| all[slot].take());
        let mine = taken(worker.index() % local).expect("each worker takes its own intake");
        let reporter = match worker.index() {
            0 => reporter.lock().ok().and_then(|mut reporter| reporter.take()),
            _ => None,
        };
        let _defect = StopsProcess;
        let stop = Arc::clone(&stop);
        let receive = move |gathered: Gathered| {
            let failed = reporter.as_ref().is_some_and(|r| r.report(gathered).is_err());
            if failed {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let giver = giver.lock().ok().and_then(|giver| giver.clone());
        let remembering = match giver {
            Some(giver) => Remembering {
                restored: restored.clone(),
                noted: Box::new({
                    let giver = giver.clone();
                    move || giver.noted()
                }),
                save: Box::new(move |saved| giver.give(saved)),
            },
            None => Remembering::nothing(),
        };
        let listening = metrics.profile().map(|_| Listening::to(worker));
        let (inputs, probe) =
            worker.dataflow(|scope| pipeline::build(scope, &rules, flow, remembering, receive));
        let mut inputs = Timed { inputs, metrics: Arc::clone(&metrics) };
        mine.drive(worker, &mut inputs, &probe);
        if let (Some(listening), Some(profile)) = (listening, metrics.profile()) {
            listening.end(worker, profile);
        }
    })
    .map_err(Failure::Start)
}

/// A worker that panics has met a broken invariant. The others would wait for it for ever, and no
/// output is better than a wrong one: the process ends, and the outputs are not put in place.
struct StopsProcess;

impl Drop for StopsProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let defect = Failure::Worker("the message above says which".to_owned());
            let _ = writeln!(io::stderr(), "limbeck: {defect}");
            exit_without_outputs(i32::from(defect.exit_code()));
        }
    }
}

/// The most memory that this process has had, as the kernel counts it; 0 where it does not say.
pub fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    kilobytes.unwrap_or(0u64) * 1024
}
