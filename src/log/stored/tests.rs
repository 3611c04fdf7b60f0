//! What is read of a log that others append to, seal and shorten meanwhile.

use std::fs;

use tempfile::TempDir;

use super::super::append::{Appender, Liveness, Options};
use super::super::frames::file_name;
use super::*;
use crate::durable::Disk;
use crate::rules::Rules;
use crate::sources::Block;

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
