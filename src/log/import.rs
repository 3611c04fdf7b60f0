//! Logs become a replay log: each a partition, in their order.
//!
//! Guarantees: the manifest is written last, so that whatever breaks off leaves no log; of an input
//! that is damaged, all is imported that is whole, and the log says so. State: a segment.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::frames;
use super::manifest::{self, FILE, Manifest};
use super::seal::{Reading, Sealer};
use crate::durable::Disk;
use crate::replay::{Failure, Log};
use crate::rules::Rules;
use crate::sinks::{OutputDir, OutputError};
use crate::sources::intake::{Matcher, Partition, records};
use crate::sources::{InputError, Interrupt};

/// What was imported.
#[derive(Debug)]
pub struct Imported {
    /// The content of the log.
    pub manifest: Manifest,
    /// Inputs that could not be read to their end.
    pub damaged: Vec<InputError>,
}

/// Imports logs into a folder, which must not be a log yet.
///
/// # Errors
///
/// [`Failure::Input`], if a log cannot be opened; [`Failure::Output`], if the folder cannot be
/// written, is a log already, or holds something else. There is no log then.
pub fn import(
    rules: &Rules,
    logs: &[Log],
    dir: &Path,
    interrupt: &Interrupt,
) -> Result<Imported, Failure> {
    let open = |(number, log): (usize, &Log)| log.open(number, rules, interrupt);
    let partitions = logs.iter().enumerate().map(open).collect::<Result<Vec<_>, _>>()?;
    let dir = OutputDir::create(dir)?;
    make_room(&Disk::default(), dir.path())?;
    let mut imported = Vec::new();
    let mut damaged = Vec::new();
    for (number, (log, partition)) in logs.iter().zip(partitions).enumerate() {
        let reading = Arc::new(Reading::new(rules, log.source, partition.header()));
        let into = manifest::Partition::new(log.path.display().to_string(), &reading);
        let mut writer =
            Writer { dir: &dir, number, into, sealer: Sealer::new(Arc::clone(&reading)) };
        let read = writer.take_all(partition, &reading.matcher)?;
        let mut partition = writer.finish()?;
        if let Err(error) = read {
            partition.break_off(&error);
            damaged.push(error);
        }
        imported.push(partition);
    }
    let manifest = Manifest::new(imported);
    let mut file = dir.file(FILE)?;
    file.put(&manifest.to_bytes())?;
    file.commit()?;
    Ok(Imported { manifest, damaged })
}

/// Refuses a folder that is a log or holds anything else, and removes what an import or a first
/// append has left that broke off.
pub(super) fn make_room(disk: &Disk, dir: &Path) -> Result<(), OutputError> {
    if manifest::is_log(dir) {
        let detail = "it is a replay log already; append to it, or import into another folder";
        return Err(OutputError::cannot_create(dir, &detail));
    }
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    let mut segments = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // No frame is written before there is a manifest.
        let is_empty = || entry.metadata().is_ok_and(|metadata| metadata.len() == 0);
        if is_segment(&name) || (frames::file_number(&name).is_some() && is_empty()) {
            segments.push(entry.path());
        } else if !name.starts_with('.') {
            let detail = format!("it holds other files, as {name}; name an empty folder");
            return Err(OutputError::cannot_create(dir, &detail));
        }
    }
    for path in segments {
        disk.remove(&path).map_err(|error| OutputError::cannot_create(&path, &error))?;
    }
    Ok(())
}

pub(super) fn segment_name(partition: usize, number: usize) -> String {
    format!("{partition:04}-{number:06}.parquet")
}

pub(super) fn is_segment(name: &str) -> bool {
    let numbers = name.strip_suffix(".parquet").and_then(|name| name.split_once('-'));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(one, other)| is_number(one) && is_number(other))
}

/// Writes the segments of a partition.
struct Writer<'i> {
    dir: &'i OutputDir,
    number: usize,
    into: manifest::Partition,
    sealer: Sealer,
}

impl Writer<'_> {
    /// Takes in all that is whole of an input; what could not be written, or else why it ended.
    fn take_all(
        &mut self,
        partition: Partition,
        matcher: &Matcher,
    ) -> Result<Result<(), InputError>, OutputError> {
        let mut failed = Ok(());
        let of_documents = matcher.decoder(partition.source()).reads_documents();
        let read = records(partition, matcher, |seen| {
            // The records of one line stay together, but for those of a document.
            let may_end = of_documents || seen.line != self.into.lines;
            if self.sealer.is_full() && may_end {
                failed = self.seal();
            }
            self.into.lines = seen.line;
            self.sealer.take(&seen, None);
            match failed.is_err() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        failed.map(|()| read)
    }

    /// Writes the rows there are as a segment.
    fn seal(&mut self) -> Result<(), OutputError> {
        let Some(built) = self.sealer.finish() else { return Ok(()) };
        let written = built.write();
        let name = segment_name(self.number, self.into.next_segment());
        let mut file = self.dir.file(&name)?;
        file.put(&written.bytes)?;
        file.commit()?;
        let listed = written.listed(name, self.into.offset());
        self.into.segments.push(listed);
        Ok(())
    }

    fn finish(mut self) -> Result<manifest::Partition, OutputError> {
        self.seal()?;
        Ok(self.into)
    }
}
