//! Where the logs come from: missing, damaged, empty, piped.

use std::fs::{self, File, OpenOptions};
use std::io::Write;

use super::{PROBES, Place, Ran, ran};

const REPLAY: &str = "replay --rules rules.yaml --out out";

#[test]
fn what_is_not_there_is_missing() {
    let place = Place::new();
    fs::create_dir(place.path("folder")).expect("a folder can be made");
    place.write("log.xz", b"\xfd7zXZ\0 and so on");
    let before = place.listing();
    for (logs, about) in [
        ("--log missing.ndjson", "missing.ndjson"),
        ("--log probes.ndjson missing.ndjson", "missing.ndjson"),
        ("--log folder", "directory"),
        ("--log probes.ndjson/below", "probes.ndjson/below"),
        ("--log log.xz", "xz"),
    ] {
        place.run(&format!("{REPLAY} {logs}")).assert(66, &[about]);
        place.assert_untouched(&before);
    }
    place.run("replay --rules no.yaml --log probes.ndjson --out out").assert(66, &["no.yaml"]);
    place.run("replay --rules folder --log probes.ndjson --out out").assert(66, &["folder"]);
    place.run("check no.yaml").assert(66, &["no.yaml"]);
    place.assert_untouched(&before);
}

#[test]
fn what_was_output_before_stays_where_a_run_fails_at_the_door() {
    let place = Place::new();
    place.run(&format!("{REPLAY} --log probes.ndjson")).assert(0, &[]);
    let earlier = place.outputs("out");
    place.run(&format!("{REPLAY} --log missing")).assert(66, &[]);
    place.outputs("out").assert_equal(&earlier, "after a failure");
}

/// What was whole is replayed as if the log ended there, and marked.
#[test]
fn of_a_truncated_archive_what_was_whole_is_output() {
    let place = Place::new();
    let log = super::cloudevents_log(6_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&log).expect("a Vec takes every write");
    let gzip = gzip.finish().expect("a Vec takes every write");
    let zstd = zstd::encode_all(&log[..], 1).expect("a Vec takes every write");
    for (name, packed) in [("log.gz", gzip), ("log.zst", zstd)] {
        place.write(name, &packed);
        place.run(&format!("{REPLAY} --log {name}")).assert(0, &[]);
        assert_eq!(place.outputs("out").summary["records"], 6_000, "{name}");

        place.write(name, &packed[..packed.len() * 2 / 3]);
        let ran = place.run(&format!("{REPLAY} --log {name}"));
        ran.assert(65, &[name, "damaged", "cut off"]);
        assert!(ran.said.contains("incomplete"), "{ran:?}");
        let damaged = place.outputs("out");
        assert_eq!(damaged.summary["complete"], false, "{name}");
        let records = damaged.summary["records"].as_u64().expect("a count") as usize;
        assert!((2_000..5_000).contains(&records), "{name}: {records}");

        let whole: Vec<_> = log.split_inclusive(|byte| *byte == b'\n').take(records).collect();
        let mut wanted = place.replay(&whole.concat());
        wanted.summary["complete"] = false.into();
        damaged.assert_equal(&wanted, name);
    }
}

#[test]
fn a_damaged_archive_among_whole_ones_is_named() {
    let place = Place::new();
    place.write("bad.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\0\xff\xff\xff");
    let ran = place.run(&format!("{REPLAY} --log probes.ndjson bad.gz --workers 2"));
    ran.assert(65, &["bad.gz"]);
    let mut outputs = place.outputs("out");
    assert_eq!(outputs.summary["complete"], false);
    outputs.summary["complete"] = true.into();
    let wanted = place.replay(PROBES).unnamed();
    outputs.unnamed().assert_equal(&wanted, "the whole log is replayed");
}

#[test]
fn of_nothing_comes_nothing() {
    let place = Place::new();
    for nothing in [&b""[..], b"\n", b" \t\r\n\r\n\n ", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"] {
        let outputs = place.replay(nothing);
        assert_eq!(
            (outputs.summary["records"].as_u64(), &outputs.episodes[..]),
            (Some(0), &b""[..])
        );
        assert_eq!((&outputs.updates[..], &outputs.dead_letters[..]), (&b""[..], &b""[..]));
        assert_eq!(outputs.summary["complete"], true);
        assert_eq!(outputs.summary["digest"], "0".repeat(32));
    }
    place
        .run(&format!("{REPLAY} --log given.ndjson probes.ndjson --until 2027-01-01T00:00:00Z"))
        .assert(0, &[]);
    let lines = PROBES.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    assert_eq!(place.outputs("out").summary["records"], lines.count());
}

#[test]
fn standard_input_is_a_log() {
    let place = Place::new();
    let wanted = place.replay(PROBES).unnamed();
    place.run_with_input(&format!("{REPLAY} --log -"), PROBES).assert(0, &[]);
    place.outputs("out").unnamed().assert_equal(&wanted, "standard input");
    let packed = zstd::encode_all(PROBES, 1).expect("a Vec takes every write");
    place.run_with_input(&format!("{REPLAY} --log -"), &packed).assert(0, &[]);
    place.outputs("out").unnamed().assert_equal(&wanted, "packed standard input");
    place.run_with_input(&format!("{REPLAY} --log -"), b"").assert(0, &[]);
    assert_eq!(place.outputs("out").summary["records"], 0);
}

#[test]
fn a_named_pipe_is_a_log() {
    let place = Place::new();
    let wanted = place.replay(PROBES).unnamed();
    let (child, mut pipe) = place.replay_pipe(&format!("{REPLAY} --log pipe"));
    // In pieces that end within lines.
    for piece in PROBES.chunks(777) {
        pipe.write_all(piece).expect("it is read");
    }
    drop(pipe);
    ran(child.wait_with_output().expect("it ends")).assert(0, &[]);
    place.outputs("out").unnamed().assert_equal(&wanted, "a named pipe");
}

/// What cannot be read twice is not waited for twice.
#[test]
fn what_can_be_read_once_is_not_looked_through_first() {
    let place = Place::new();
    place.pipe("pipe");
    for line in [
        "explain --rules rules.yaml --log pipe --record pipe:1",
        "explain --rules rules.yaml --log - --source a --id b",
        "explain --rules rules.yaml --log - --log - a",
    ] {
        place.run(line).assert(2, &["can be read once"]);
    }
}

/// A second log, a pipe, says when the first has been opened.
fn while_it_is_read(place: &Place, log: &str, change: impl FnOnce(&mut File)) -> Ran {
    let (child, pipe) = place.replay_pipe(&format!("{REPLAY} --log {log} pipe"));
    let file = OpenOptions::new().append(true).open(place.path(log));
    change(&mut file.expect("it can be opened"));
    drop(pipe);
    ran(child.wait_with_output().expect("it ends"))
}

#[test]
fn a_log_that_shrinks_is_damaged() {
    let place = Place::new();
    let log = super::cloudevents_log(2_000);
    let whole = log.split_inclusive(|byte| *byte == b'\n').take(1_000).flatten().count();
    let packed = zstd::encode_all(&log[..], 1).expect("a Vec takes every write");
    for (stored, left) in [(&log, whole), (&log, whole + 50), (&log, 0), (&packed, 10_000)] {
        place.write("log", stored);
        let cut = |file: &mut File| file.set_len(left as u64).expect("it can be cut");
        let ran = while_it_is_read(&place, "log", cut);
        ran.assert(65, &["shorter", &format!("it had {} bytes", stored.len())]);
        assert_eq!(ran.complained.contains("line 1001 is cut off"), left == whole + 50, "{ran:?}");
        let mut outputs = place.outputs("out");
        assert_eq!(outputs.summary["complete"], false);
        if *stored == log {
            outputs.summary["complete"] = true.into();
            let wanted = place.replay(&log[..left.min(whole)]).unnamed();
            outputs.unnamed().assert_equal(&wanted, &format!("{left} bytes are left"));
        }
    }
}

#[test]
fn a_log_that_grows_is_read_to_its_new_end() {
    let place = Place::new();
    let (before, after) = PROBES.split_at(PROBES.len() / 2);
    place.write("log", before);
    let ran = while_it_is_read(&place, "log", |file| file.write_all(after).expect("it grows"));
    ran.assert(0, &[]);
    place.outputs("out").unnamed().assert_equal(&place.replay(PROBES).unnamed(), "a grown log");
}
