//! Small segments become large ones.
//!
//! Guarantee: what is put together is on disk before the manifest lists it, and what it was made of
//! is removed after that; no name is given twice. So a replay finds its rows in the one or the
//! other. State: a segment.

use std::ops::Range;

use super::super::import::segment_name;
use super::super::manifest::{Partition, Segment as Listed};
use super::super::rows::Rows;
use super::super::segment::{Group, Segment};
use super::super::write::{Builder, ROWS_MAX, Written};
use super::Shared;
use super::seal::{put_at, remove};
use crate::replay::Failure;
use crate::rules::Paths;
use crate::sinks::OutputError;

/// Puts segments together that fit into one, in all partitions.
pub(super) fn compact(log: &Shared) -> Result<(), Failure> {
    let partitions = log.manifest().partitions.len();
    for number in 0..partitions {
        let partition = log.manifest().partitions[number].clone();
        // From the last, so that those before stay where they are.
        for run in runs(&partition).into_iter().rev() {
            merge(log, number, run)?;
        }
    }
    Ok(())
}

/// Segments that follow one another, and have no more rows together than one may have.
fn runs(partition: &Partition) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut records = 0;
    for (number, segment) in partition.segments.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if records + segment.records <= ROWS_MAX as u64 => {
                run.end = number + 1;
                records += segment.records;
            }
            _ => {
                runs.push(number..number + 1);
                records = segment.records;
            }
        }
    }
    runs.retain(|run| run.len() > 1);
    runs
}

fn merge(log: &Shared, number: usize, run: Range<usize>) -> Result<(), Failure> {
    let partition = log.manifest().partitions[number].clone();
    let before = &partition.segments[run.clone()];
    let mut after: Vec<Listed> = Vec::new();
    let mut put = |written: &Written| -> Result<(), OutputError> {
        let name = segment_name(number, partition.next_segment() + after.len());
        let behind = after.last().map(|last| last.offset + last.records);
        let offset = behind.unwrap_or(before[0].offset);
        after.push(put_at(log, name, offset, written)?);
        Ok(())
    };
    let mut builder: Option<Builder> = None;
    for listed in before {
        let segment = Segment::open(&log.dir, listed)?;
        for group in 0..segment.groups() {
            let rows = Rows::read(Group::new(&segment, group), &Paths::default())?;
            let shape = rows.shape();
            for row in 0..rows.len() {
                let is_full = |builder: &Builder| *builder.shape() != shape || builder.is_full();
                if let Some(full) = builder.take_if(|builder| is_full(builder)) {
                    put(&full.finish().write())?;
                }
                let builder = builder.get_or_insert_with(|| Builder::new(shape.clone()));
                builder.copy(&rows, row)?;
            }
        }
    }
    builder.map_or(Ok(()), |builder| put(&builder.finish().write()))?;
    let files = |segments: &[Listed]| segments.iter().map(|of| of.file.clone()).collect::<Vec<_>>();
    if after.len() >= before.len() {
        // Their rows are too long to be held together.
        remove(log, &files(&after))?;
        return Ok(());
    }
    let path = |error: std::io::Error| OutputError::write_failed(&log.dir, &error);
    log.disk.point("compact").and_then(|()| log.disk.sync_dir(&log.dir)).map_err(path)?;
    let mut manifest = log.manifest();
    let mut next = manifest.clone();
    let merged = &mut next.partitions[number];
    merged.merged += before.len();
    merged.segments.splice(run, after);
    log.replace(&next)?;
    *manifest = next;
    drop(manifest);
    log.disk.point("compact").map_err(path)?;
    Ok(remove(log, &files(before))?)
}
