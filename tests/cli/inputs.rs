//! Where the logs come from: missing, damaged, empty, piped.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Command;

use super::{PROBES, Place, ran};

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
    let made = Command::new("mkfifo").arg(place.path("pipe")).status().expect("mkfifo runs");
    assert!(made.success());
    let child = place.command(&format!("{REPLAY} --log pipe")).spawn().expect("it can be run");
    let mut pipe = OpenOptions::new().write(true).open(place.path("pipe")).expect("it is read");
    // In pieces that end within lines.
    for piece in PROBES.chunks(777) {
        pipe.write_all(piece).expect("it is read");
    }
    drop(pipe);
    ran(child.wait_with_output().expect("it ends")).assert(0, &[]);
    place.outputs("out").unnamed().assert_equal(&wanted, "a named pipe");
}
