//! `limbeck append`: inputs into a replay log.

use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use signal_hook::consts::SIGTERM;

use super::args::{AppendArgs, ReplayArgs, RetentionArgs};
use super::{UNAVAILABLE, USAGE, complain, fail, files, log, partitions, print, signals};
use crate::authoring::grouped;
use crate::durable::Disk;
use crate::log::append::{Appended, Liveness, Options, start};
use crate::log::manifest::Retention;
use crate::model::duration::format_duration;
use crate::replay::Log;
use crate::rules::Rules;
use crate::sinks::{OutputError, exit_without_outputs};
use crate::sources::{InputError, Interrupt, Interrupter};

pub(super) fn run(args: &AppendArgs) -> u8 {
    let interrupt = match signals::interrupt() {
        Ok(interrupt) => interrupt,
        Err(error) => return fail(UNAVAILABLE, &format!("signals cannot be heard: {error}")),
    };
    let (rules, logs) = match log::inputs(&args.inputs) {
        Ok(inputs) => inputs,
        Err(code) => return code,
    };
    let options = Options {
        seal_bytes: args.seal_bytes.get(),
        seal_after_ns: args.seal_after,
        retention: args.retention.into(),
        ..Options::default()
    };
    let logs = lively(logs, args.recorded, args.idle_after);
    let started = start(&rules, &logs, (&Disk::default(), &args.log), options, now, &interrupt);
    match started.and_then(|appending| Ok(appending.run()?)) {
        Ok(appended) => {
            let code = say(&appended, &args.log);
            let totals = log::totals(&appended.manifest, &args.log);
            let lines = grouped(appended.lines);
            let printed = print(&format!("{lines} lines appended; sealed so far: {totals}\n"));
            let code = code.unwrap_or(printed);
            interrupt.signal().map_or(code, signals::exit_code)
        }
        Err(failure) => fail(failure.exit_code(), &failure),
    }
}

/// A log that is appended to while it is replayed.
pub(super) struct Appender {
    thread: JoinHandle<Appended>,
    dir: PathBuf,
    stopper: Interrupter,
}

impl Appender {
    /// Waits until all is in the log, and appends no more if the replay has ended before that; the
    /// exit code, if something could not be read.
    pub(super) fn finish(mut self) -> u8 {
        self.stopper.interrupt(SIGTERM);
        let appended = self.thread.join();
        let appended = appended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        say(&appended, &self.dir).unwrap_or(0)
    }
}

/// Appends to a log, on a thread of its own, what is to be replayed; the partitions of the log.
pub(super) fn follow(
    args: &ReplayArgs,
    dir: &Path,
    rules: &Rules,
    interrupt: &Interrupt,
) -> Result<(Vec<Log>, Appender), u8> {
    let logs = files(&args.log, rules, false)?;
    if let Some(log) = logs.iter().find(|log| log.stored.is_some()) {
        let what = format!("{} is of a replay log already: follow that", log.path.display());
        return Err(fail(USAGE, &what));
    }
    let logs = lively(logs, false, None);
    let disk = Disk::default();
    let stop = Interrupt::new();
    let (stop, stopper) = stop.map_err(|error| fail(UNAVAILABLE, &error))?;
    let interrupt = interrupt.or(&stop);
    let started = start(rules, &logs, (&disk, dir), Options::default(), now, &interrupt);
    let appending = started.map_err(|failure| fail(failure.exit_code(), &failure))?;
    let thread = thread::spawn(move || {
        let failed = |error: OutputError| fail(error.exit_code(), &error);
        // The replay would wait for ever for what cannot be appended.
        appending.run().unwrap_or_else(|error| exit_without_outputs(failed(error).into()))
    });
    let followed = partitions(dir, rules, args.skip_corrupt, true)?;
    Ok((followed, Appender { thread, dir: dir.to_owned(), stopper }))
}

impl From<RetentionArgs> for Retention {
    fn from(RetentionArgs { retain, retain_bytes }: RetentionArgs) -> Self {
        Self { age_ns: retain, bytes: retain_bytes }
    }
}

/// How the inputs come.
fn lively(logs: Vec<Log>, recorded: bool, idle_after_ns: Option<i64>) -> Vec<(Log, Liveness)> {
    let live = |log: Log| match recorded || !is_pipe(&log.path) {
        true => (log, Liveness::Recorded),
        false => (log, Liveness::Live { idle_after_ns }),
    };
    logs.into_iter().map(live).collect()
}

/// Says what was met while appending; the exit code, if something could not be read.
fn say(appended: &Appended, dir: &Path) -> Option<u8> {
    say_torn(dir, appended.torn_bytes);
    if let Some(held) = appended.held_ns {
        complain(&format_args!(
            "limbeck: the clock went back by {}; arrivals stood still meanwhile, since they never \
             decrease",
            format_duration(held)
        ));
    }
    let is_interrupt = |error: &InputError| matches!(error, InputError::Interrupted { .. });
    let damaged = appended.damaged.iter().filter(|error| !is_interrupt(error));
    damaged.map(|error| fail(error.exit_code(), error)).max()
}

/// Whether a path stands for what comes as it happens.
fn is_pipe(path: &Path) -> bool {
    let metadata = match path.as_os_str() == "-" {
        true => Path::new("/dev/stdin").metadata(),
        false => path.metadata(),
    };
    metadata.is_ok_and(|metadata| !metadata.is_file())
}

/// Says what a crash has left of a log.
pub(super) fn say_torn(dir: &Path, bytes: u64) {
    if bytes > 0 {
        complain(&format_args!(
            "limbeck: {}: the last {bytes} bytes are no whole frame, as a crash leaves it, or an appender \
             at work: they are no part of the log, and were never acknowledged",
            dir.display()
        ));
    }
}

/// The clock, in nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the edge where arrival is stamped, into the log")]
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
