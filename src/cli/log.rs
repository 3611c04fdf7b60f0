//! `limbeck import` and `limbeck log`: making replay logs, and looking into them.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::args::{CatArgs, ImportArgs, LogCommand};
use super::{DAMAGED, USAGE, fail, files, load, print, signals, written};
use crate::authoring::grouped;
use crate::log::import::import;
use crate::log::look::{self, Window};
use crate::log::manifest::{Manifest, Range};
use crate::model::time::format_rfc3339;
use crate::sources::InputError;

pub(super) fn import_logs(args: &ImportArgs) -> u8 {
    let interrupt = match signals::interrupt() {
        Ok(interrupt) => interrupt,
        Err(error) => {
            return fail(super::UNAVAILABLE, &format!("signals cannot be heard: {error}"));
        }
    };
    let rules = match load(&args.rules) {
        Ok(file) => file.rules,
        Err(code) => return code,
    };
    let logs = match files(&args.paths, &rules, false) {
        Ok(logs) => logs,
        Err(code) => return code,
    };
    if let Some(log) = logs.iter().find(|log| log.stored.is_some()) {
        let what = format!("{} is of a replay log already", log.path.display());
        return fail(USAGE, &what);
    }
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

pub(super) fn run(command: &LogCommand) -> u8 {
    match command {
        LogCommand::Ls { dir, json } => ls(dir, *json),
        LogCommand::Cat(args) => cat(args),
        LogCommand::Verify { dir } => verify(dir),
    }
}

fn ls(dir: &Path, json: bool) -> u8 {
    match Manifest::read(dir) {
        Ok(manifest) if json => {
            let text = serde_json::to_string_pretty(&manifest).expect("plain values encode");
            print(&(text + "\n"))
        }
        Ok(manifest) => print(&table(&manifest, dir)),
        Err(error) => fail(error.exit_code(), &error),
    }
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
            said(&wrong).unwrap_or_else(|| print(&format!("{}: whole\n", totals(&manifest, dir))))
        }
        Err(error) => fail(error.exit_code(), &error),
    }
}

/// Says what is wrong, if anything is.
fn said(wrong: &[InputError]) -> Option<u8> {
    wrong.iter().map(|error| fail(error.exit_code(), error)).max().map(|code| code.max(DAMAGED))
}

fn totals(manifest: &Manifest, dir: &Path) -> String {
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
        grouped(sum(crate::log::manifest::Partition::records)),
        grouped(manifest.partitions.iter().map(dead_letters).sum()),
        grouped(sum(crate::log::manifest::Partition::bytes)),
    )
}

/// The partitions with their segments, for people.
fn table(manifest: &Manifest, dir: &Path) -> String {
    let mut text = totals(manifest, dir) + "\n";
    for (number, partition) in manifest.partitions.iter().enumerate() {
        let records = grouped(partition.records());
        let (source, name) = (&partition.source, &partition.name);
        writeln!(text, "\npartition {number}: {name} ({source}), {records} records")
            .expect("a String takes every write");
        if let Some(damaged) = &partition.damaged {
            writeln!(text, "  not to its end: {damaged}").expect("a String takes every write");
        }
        for segment in &partition.segments {
            writeln!(
                text,
                "  {}  {:>12} records  {:>8} dead letters  {:>12} bytes  arrival {}  time {}",
                segment.file,
                grouped(segment.records),
                grouped(segment.dead_letters),
                grouped(segment.bytes),
                range(segment.arrival),
                range(segment.time),
            )
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
