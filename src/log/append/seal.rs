//! A file of frames becomes segments.
//!
//! Guarantee: segments are on disk before the manifest lists them, and the frames are removed after
//! that: in between, what both have is read from where the manifest says. State: a segment of each
//! partition.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use super::super::frames::{self, Rest};
use super::super::import::segment_name;
use super::super::manifest::{Instant, Partition, Segment};
use super::super::seal::{Reading, Sealer};
use super::super::stored::End;
use super::super::write::{Built, Written};
use super::{Shared, open_frames};
use crate::sinks::OutputError;

/// What a partition gets.
struct Sealing {
    sealer: Sealer,
    end: End,
    made: Partition,
}

/// Makes segments of the first file of frames, which has this number and grows no more.
pub(super) fn seal(log: &Shared, number: u64) -> Result<(), OutputError> {
    let path = log.dir.join(frames::file_name(number));
    let failed = |detail: &dyn std::fmt::Display| OutputError::write_failed(&path, detail);
    let mut file = open_frames(&log.dir, number)?;
    let mut sealing: BTreeMap<usize, Sealing> = BTreeMap::new();
    let mut stamped_ns = None;
    while let Some(frame) = file.next().map_err(|error| failed(&error))? {
        let partition = frame.partition as usize;
        if let std::collections::btree_map::Entry::Vacant(vacant) = sealing.entry(partition) {
            let made = log.manifest().partitions.get(partition).cloned();
            let unknown = "it has lines of a partition that the manifest has not";
            let made = made.ok_or_else(|| failed(&unknown))?;
            let sealer = Sealer::new(Arc::new(Reading::of(&made).map_err(|e| failed(&e))?));
            let end = End { lines: made.lines, ended: made.ended };
            vacant.insert(Sealing { sealer, end, made });
        }
        let Some(Sealing { sealer, end, made }) = sealing.get_mut(&partition) else { continue };
        stamped_ns = stamped_ns.max(frame.what.stamped_ns());
        let last_line = end.lines;
        end.pass(&frame.what);
        sealer.take_frame(frame.what, last_line);
        if sealer.is_full() {
            let written = sealer.finish().map(Built::write);
            written.map_or(Ok(()), |written| put(log, partition, made, &written))?;
        }
    }
    if file.rest().map_err(|error| failed(&error))? != Rest::Nothing {
        return Err(failed(&format!("it is damaged at byte {}, and not sealed", file.at())));
    }
    for (partition, Sealing { sealer, made, .. }) in &mut sealing {
        let written = sealer.finish().map(Built::write);
        written.map_or(Ok(()), |written| put(log, *partition, made, &written))?;
    }
    let point = |name: &str| log.disk.point(name).map_err(|error| failed(&error));
    point("seal")?;
    log.disk.sync_dir(&log.dir).map_err(|error| failed(&error))?;
    let mut manifest = log.manifest();
    let mut next = manifest.clone();
    next.active = Some(number + 1);
    next.stamped = next.stamped.max(stamped_ns.map(Instant));
    for (partition, Sealing { end, made, .. }) in sealing {
        let of = &mut next.partitions[partition];
        (of.segments, of.lines, of.ended) = (made.segments, end.lines, end.ended);
    }
    let mut removed = next.retain(log.retention);
    log.replace(&next)?;
    *manifest = next;
    drop(manifest);
    point("seal")?;
    removed.push(frames::file_name(number));
    remove(log, &removed)
}

/// Removes what is kept no more.
pub(super) fn retain(log: &Shared) -> Result<(), OutputError> {
    let mut manifest = log.manifest();
    let mut next = manifest.clone();
    let removed = next.retain(log.retention);
    if next != *manifest {
        log.replace(&next)?;
        *manifest = next;
    }
    drop(manifest);
    remove(log, &removed)
}

/// Removes files that are not listed any more. After a crash, who opens the log next does.
pub(super) fn remove(log: &Shared, files: &[String]) -> Result<(), OutputError> {
    for path in files.iter().map(|file| log.dir.join(file)) {
        let removed = log.disk.remove_if_there(&path);
        removed.map_err(|error| OutputError::write_failed(&path, &error))?;
    }
    Ok(())
}

/// Writes a segment to a file of its own.
fn put(
    log: &Shared,
    partition: usize,
    made: &mut Partition,
    written: &Written,
) -> Result<(), OutputError> {
    let name = segment_name(partition, made.next_segment());
    let listed = put_at(log, name, made.offset(), written)?;
    made.segments.push(listed);
    Ok(())
}

/// Writes a segment to this file, behind so many records; what a manifest says of it.
pub(super) fn put_at(
    log: &Shared,
    name: String,
    offset: u64,
    written: &Written,
) -> Result<Segment, OutputError> {
    let path = log.dir.join(&name);
    let put = || {
        log.disk.point("seal")?;
        let mut file = log.disk.create(&path)?;
        file.write_all(&written.bytes)?;
        file.sync()
    };
    put().map_err(|error| OutputError::write_failed(&path, &error))?;
    Ok(written.listed(name, offset))
}
