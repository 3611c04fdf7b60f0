//! `limbeck import` and `limbeck log`: making replay logs, and looking into them.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::args::{ByArg, CatArgs, ImportArgs, InputArgs, LogCommand, SplitArgs};
use super::{DAMAGED, UNAVAILABLE, USAGE, fail, files, load, print, signals, written};
use crate::authoring::grouped;
use crate::durable::Disk;
use crate::log::append::{self, Appender};
use crate::log::import::import;
use crate::log::look::{self, Unsealed, Window};
use crate::log::manifest::{Manifest, Range};
use crate::log::split::{By, split};
use crate::model::time::format_rfc3339;
use crate::replay::{Failure, Log};
use crate::rules::Rules;
use crate::sources::InputError;

pub(super) fn import_logs(args: &ImportArgs) -> u8 {
    let interrupt = match signals::interrupt() {
        Ok(interrupt) => interrupt,
        Err(error) => return fail(UNAVAILABLE, &format!("signals cannot be heard: {error}")),
    };
    let (rules, logs) = match inputs(&args.inputs) {
        Ok(inputs) => inputs,
        Err(code) => return code,
    };
    match import(&rules, &logs, &args.log, &interrupt) {
        Ok(imported) => {
            let damaged = imported.damaged.iter().map(|error| fail(error.exit_code(), error)).max();
            let printed = print(&(totals(&imported.manifest, &args.log) + "\n"));
            damaged.unwrap_or(printed)
        }
        Err(failure) => {
            let code = fail(failure.exit_code(), &failure);
            interrupt.signal().map_or(code, signals::exit_code)
        }
    }
}

/// The rules that read what shall be put into a replay log, and the inputs.
pub(super) fn inputs(args: &InputArgs) -> Result<(Rules, Vec<Log>), u8> {
    let rules = load(&args.rules)?.rules;
    let logs = files(&args.paths, &rules, false)?;
    match logs.iter().find(|log| log.stored.is_some()) {
        Some(log) => {
            let what = format!("{} is of a replay log already", log.path.display());
            Err(fail(USAGE, &what))
        }
        None => Ok((rules, logs)),
    }
}

pub(super) fn run(command: &LogCommand) -> u8 {
    match command {
        LogCommand::Ls { dir, json } => ls(dir, *json),
        LogCommand::Cat(args) => cat(args),
        LogCommand::Verify { dir } => verify(dir),
        LogCommand::Seal { dir } => tend(dir, append::Options::default(), |appender| {
            appender.seal()?;
            Ok(appender.finish()?)
        }),
        LogCommand::Split(args) => split_log(args),
        LogCommand::Compact { dir, retention } => {
            let retention = (*retention).into();
            let options = append::Options { retention, ..append::Options::default() };
            tend(dir, options, Appender::compact)
        }
    }
}

fn ls(dir: &Path, json: bool) -> u8 {
    match Manifest::read(dir) {
        Ok(manifest) if json => {
            let text = serde_json::to_string_pretty(&manifest).expect("plain values encode");
            print(&(text + "\n"))
        }
        Ok(manifest) => match look::unsealed(dir) {
            Ok(unsealed) => print(&table(&manifest, &unsealed, dir)),
            Err(error) => fail(error.exit_code(), &error),
        },
        Err(error) => fail(error.exit_code(), &error),
    }
}

/// Opens a log as who appends to it, and has something done.
fn tend(
    dir: &Path,
    options: append::Options,
    act: impl FnOnce(Appender) -> Result<Manifest, Failure>,
) -> u8 {
    // To open what is no log would make one.
    let tended = Manifest::read(dir).map_err(Failure::from).and_then(|_| {
        let appender = Appender::open(&Disk::default(), dir, options, super::append::now)?;
        super::append::say_torn(dir, appender.torn_bytes());
        act(appender)
    });
    made(&tended, dir)
}

/// Says what a log has become.
fn made(made: &Result<Manifest, Failure>, dir: &Path) -> u8 {
    match made {
        Ok(manifest) => print(&(totals(manifest, dir) + "\n")),
        Err(failure) => fail(failure.exit_code(), failure),
    }
}

fn split_log(args: &SplitArgs) -> u8 {
    let SplitArgs { dir, into, partitions, by } = args;
    let by = match by {
        ByArg::Subject => By::Subject,
        ByArg::Source => By::Source,
    };
    made(&split(dir, into, usize::from(*partitions), by), into)
}

fn cat(args: &CatArgs) -> u8 {
    let window = Window { from_ns: args.from, to_ns: args.to, partition: args.partition };
    let mut out = BufWriter::new(io::stdout().lock());
    let shown = look::cat(&args.dir, window, &mut out);
    let shown = shown.and_then(|damaged| out.flush().map(|()| damaged));
    match shown {
        Ok(damaged) => said(&damaged).unwrap_or(0),
        Err(error) => written(Err(error)),
    }
}

fn verify(dir: &Path) -> u8 {
    match look::verify(dir) {
        Ok((manifest, wrong)) => {
            super::append::say_torn(dir, look::unsealed(dir).map_or(0, |found| found.torn_bytes));
            said(&wrong).unwrap_or_else(|| print(&format!("{}: whole\n", totals(&manifest, dir))))
        }
        Err(error) => fail(error.exit_code(), &error),
    }
}

/// Says what is wrong, if anything is.
fn said(wrong: &[InputError]) -> Option<u8> {
    wrong.iter().map(|error| fail(error.exit_code(), error)).max().map(|code| code.max(DAMAGED))
}

pub(super) fn totals(manifest: &Manifest, dir: &Path) -> String {
    let sum = |of: fn(&crate::log::manifest::Partition) -> u64| {
        manifest.partitions.iter().map(of).sum::<u64>()
    };
    let dead_letters = |partition: &crate::log::manifest::Partition| -> u64 {
        partition.segments.iter().map(|segment| segment.dead_letters).sum()
    };
    let partitions = manifest.partitions.len();
    let plural = if partitions == 1 { "" } else { "s" };
    format!(
        "{}: {} records ({} of them dead letters) in {partitions} partition{plural}, {} bytes",
        dir.display(),
        grouped(sum(|partition| partition.records() - partition.marks())),
        grouped(manifest.partitions.iter().map(dead_letters).sum()),
        grouped(sum(crate::log::manifest::Partition::bytes)),
    )
}

/// The partitions with their segments, for people.
fn table(manifest: &Manifest, unsealed: &Unsealed, dir: &Path) -> String {
    let mut text = totals(manifest, dir) + "\n";
    for (number, partition) in manifest.partitions.iter().enumerate() {
        // Marks say that time passed: they are none.
        let records = grouped(partition.records() - partition.marks());
        let (source, name) = (&partition.source, &partition.name);
        writeln!(text, "\npartition {number}: {name} ({source}), {records} records")
            .expect("a String takes every write");
        if let Some(damaged) = &partition.damaged {
            writeln!(text, "  not to its end: {damaged}").expect("a String takes every write");
        }
        if let Some(removed) = partition.removed {
            let until = removed.until.map_or("-".to_owned(), |until| format_rfc3339(until.0));
            let records = grouped(removed.records - removed.marks);
            writeln!(text, "  removed: {records} records, arrival until {until}")
                .expect("a String takes every write");
        }
        for segment in &partition.segments {
            writeln!(
                text,
                "  {}  {:>12} records  {:>8} dead letters  {:>12} bytes  arrival {}  time {}",
                segment.file,
                grouped(segment.records - segment.marks),
                grouped(segment.dead_letters),
                grouped(segment.bytes),
                range(segment.arrival),
                range(segment.time),
            )
            .expect("a String takes every write");
        }
        let lines = unsealed.lines.get(number).copied().unwrap_or_default();
        if lines > 0 {
            writeln!(text, "  not sealed yet: {} lines", grouped(lines))
                .expect("a String takes every write");
        }
    }
    text
}

fn range(range: Option<Range>) -> String {
    range.map_or_else(
        || "-".to_owned(),
        |Range { from, to }| format!("{} to {}", format_rfc3339(from), format_rfc3339(to)),
    )
}
