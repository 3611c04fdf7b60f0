//! What is read of a log that others append to, seal and shorten meanwhile.

use std::fs;

use tempfile::TempDir;

use super::super::append::{Appender, Liveness, Options};
use super::super::frames::file_name;
use super::super::manifest::Retention;
use super::super::read::Groups;
use super::super::rows::Rows;
use super::super::segment::Group;
use super::*;
use crate::durable::Disk;
use crate::rules::{Paths, Rules};
use crate::sources::{Block, Interrupt};

const RULES: &str = "version: 1\nsources:\n  s:\n    format: json\n    time: { field: ts, unit: s }\n    \
    subject: { field: e }\n    source: { const: s }\n    type: { const: k }\n\
    signals: { s: { states: { up: data.up } } }\nrules: [{ name: r, signal: s }]";

fn open(dir: &Path) -> Appender {
    Appender::open(&Disk::default(), dir, Options::default(), || 0)
        .unwrap_or_else(|failure| panic!("{failure}"))
}

/// Appends a line, whose time is its number.
fn append(dir: &Path, rules: &Rules) {
    let mut appender = open(dir);
    let input = appender
        .begin("log", rules, 0, None, Liveness::Recorded)
        .unwrap_or_else(|failure| panic!("{failure}"));
    let line = format!("{{\"ts\":{},\"e\":\"e\",\"up\":true}}\n", appender.lines(0) + 1);
    let block = Block { bytes: line.into_bytes(), first_line: 1, ..Block::default() };
    input.append(block).wait().unwrap_or_else(|error| panic!("{error}"));
    drop(input);
    appender.finish().unwrap_or_else(|error| panic!("{error}"));
}

fn seal(dir: &Path) {
    let appender = open(dir);
    appender.seal().unwrap_or_else(|error| panic!("{error}"));
    appender.finish().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn files_that_are_sealed_while_they_are_read_leave_no_hole() {
    let rules = Rules::parse("rules.yaml", RULES).unwrap_or_else(|errors| panic!("{errors}"));
    let dir = TempDir::new().expect("a temporary folder can be made");
    append(dir.path(), &rules);
    let before = Manifest::read(dir.path()).expect("it is a log");
    let mut kept = Vec::new();
    for number in 1..=3 {
        let path = dir.path().join(file_name(number));
        kept.push((path.clone(), fs::read(path).expect("it is there")));
        seal(dir.path());
        append(dir.path(), &rules);
    }
    // As to who has opened the first two, and finds the third gone.
    for (path, bytes) in &kept[..2] {
        fs::write(path, bytes).expect("it can be written");
    }
    let (manifest, active) = read_since(dir.path(), before, false).expect("it is whole");
    let [partition] = &manifest.partitions[..] else { panic!("{manifest:?}") };
    assert_eq!((partition.records(), active.ends[0].lines), (3, 4));
    let frames: Vec<_> = active.frames[0].iter().map(FrameFile::name).collect();
    assert_eq!(frames, [file_name(4)]);
}

#[test]
fn a_replay_goes_on_in_segments_that_are_put_together_and_says_what_was_removed() {
    let rules = Rules::parse("rules.yaml", RULES).unwrap_or_else(|errors| panic!("{errors}"));
    for is_removed in [false, true] {
        let dir = TempDir::new().expect("a temporary folder can be made");
        for number in 1..=5 {
            append(dir.path(), &rules);
            if number < 5 {
                seal(dir.path());
            }
        }
        let stored = Stored::all(dir.path(), false).expect("it is a log").remove(0);
        let mut groups = Groups::new(stored, &Interrupt::default());
        let mut next = || groups.next_group().map(|group| lines(group?));
        assert_eq!(next(), Some(Ok(vec![1])));
        // Meanwhile, the last line is sealed, and put together with those before it.
        seal(dir.path());
        let bytes = if is_removed { Some(0) } else { None };
        let retention = Retention { age_ns: None, bytes };
        let options = Options { retention, ..Options::default() };
        let manifest = Appender::open(&Disk::default(), dir.path(), options, || 0)
            .and_then(Appender::compact)
            .unwrap_or_else(|failure| panic!("{failure}"));
        match is_removed {
            false => {
                let [segment] = &manifest.partitions[0].segments[..] else {
                    panic!("{manifest:?}")
                };
                assert_eq!((segment.file.as_str(), segment.records), ("0000-000005.parquet", 5));
                assert_eq!(next(), Some(Ok(vec![2, 3, 4])));
                assert_eq!(next(), Some(Ok(vec![5])));
            }
            true => {
                let error = next().expect("it has not ended").expect_err("it is gone");
                assert_eq!(error.exit_code(), 66);
                let said = error.to_string();
                let until = "what arrived until 1970-01-01T00:00:05.000Z was removed while it was";
                assert!(said.contains("is kept no more") && said.contains(until), "{said}");
            }
        }
        assert_eq!(next(), None);
    }
}

#[test]
fn an_old_file_is_sealed_though_who_wrote_it_is_gone() {
    let rules = Rules::parse("rules.yaml", RULES).unwrap_or_else(|errors| panic!("{errors}"));
    let dir = TempDir::new().expect("a temporary folder can be made");
    append(dir.path(), &rules);
    let begun_ns = Disk::default().append(&dir.path().join(file_name(1)));
    let begun_ns = begun_ns.and_then(|file| file.begun_ns()).expect("it is there");
    for (after_ns, segments) in [(1, 0), (Options::default().seal_after_ns, 1)] {
        let mut appender =
            Appender::open(&Disk::default(), dir.path(), Options::default(), move || {
                begun_ns + after_ns
            })
            .unwrap_or_else(|failure| panic!("{failure}"));
        let input = appender.begin("log", &rules, 0, None, Liveness::Recorded);
        let input = input.unwrap_or_else(|failure| panic!("{failure}"));
        let line = b"{\"ts\":9,\"e\":\"e\",\"up\":true}\n".to_vec();
        let block = Block { bytes: line, first_line: 1, ..Block::default() };
        input.append(block).wait().unwrap_or_else(|error| panic!("{error}"));
        drop(input);
        let manifest = appender.finish().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(manifest.partitions[0].segments.len(), segments);
    }
}

/// The lines of a group's rows.
fn lines(group: Group) -> Result<Vec<u64>, InputError> {
    let rows = Rows::read(group, &Paths::default())?;
    Ok((0..rows.len()).map(|row| rows.line(row)).collect())
}
