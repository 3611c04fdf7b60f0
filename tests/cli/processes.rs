//! Several processes replay one log together.

use std::io::Write;
use std::net::TcpStream;
use std::process::Child;
use std::thread;

use super::common::{Outputs, hosts};
use super::{Place, Ran, ran};

/// Replays on several processes, which must all succeed.
pub(super) fn together(
    place: &Place,
    rules: &str,
    processes: usize,
    workers: usize,
    arguments: &str,
) -> Outputs {
    place.write("hosts", hosts(processes).join("\n").as_bytes());
    let start = |process| {
        let line = format!(
            "replay --rules {rules} --out together --workers {workers} --hosts hosts \
             --processes {processes} --process {process} {arguments}"
        );
        place.command(&line).spawn().expect("it can be run")
    };
    let children: Vec<_> = (0..processes).map(start).collect();
    for (process, child) in children.into_iter().enumerate() {
        let ran = ran(child.wait_with_output().expect("it ends"));
        ran.assert(0, &[]);
        // Nothing but the summary, of the one that writes.
        let digests = ran.said.lines().filter(|line| line.contains("digest")).count();
        assert_eq!((digests, &*ran.complained), (usize::from(process == 0), ""), "{ran:?}");
        assert!(ran.said.is_empty() || ran.said.trim_start().starts_with(char::is_numeric));
        assert_eq!(ran.said.is_empty(), process > 0, "{ran:?}");
    }
    place.outputs("together")
}

/// Cuts a log into partitions of which some end long before others.
fn unevenly(place: &Place, log: &[u8]) {
    let lines: Vec<_> = log.split_inclusive(|byte| *byte == b'\n').collect();
    let mut partitions = [Vec::new(), Vec::new(), Vec::new()];
    for (number, line) in lines.iter().enumerate() {
        let open = if number < lines.len() / 4 { 3 } else { 2 };
        partitions[2 - number % open].extend_from_slice(line);
    }
    for (number, partition) in partitions.iter().enumerate() {
        place.write(&format!("{number}.ndjson"), partition);
    }
}

#[test]
fn two_processes_write_the_bytes_of_one() {
    let place = Place::new();
    let log = String::from_utf8(super::cloudevents_log(8_000)).expect("a log is text");
    let log = log.replace("\"type\":\"readiness\"", "\"type\":\"probe.readiness\"");
    unevenly(&place, log.as_bytes());
    for (arguments, processes, workers) in [
        ("--log 0.ndjson 1.ndjson 2.ndjson", 2, 1),
        ("--log 0.ndjson 1.ndjson 2.ndjson --tick 1m", 2, 2),
        ("--log 2.ndjson 0.ndjson 1.ndjson --tick 1m", 3, 1),
        ("--log 2.ndjson 1.ndjson 0.ndjson --tick 10s --until 2026-01-01T02:00:00Z", 2, 2),
        ("--log 0.ndjson --tick 10s", 2, 1),
    ] {
        let line = format!("replay --rules rules.yaml --out alone {arguments}");
        place.run(&line).assert(0, &[]);
        let alone = place.outputs("alone");
        assert!(alone.summary["updates"].as_u64() > Some(100), "{}", alone.summary);
        let got = together(&place, "rules.yaml", processes, workers, arguments);
        got.assert_equal(&alone, &format!("{processes} processes: {arguments}"));
    }
}

/// Only the process that writes needs an output folder; a part that cannot be is usage.
#[test]
fn processes_must_be_in_the_list_of_hosts() {
    let place = Place::new();
    place.write("hosts", b"127.0.0.1:1\n\n127.0.0.1:2\n");
    let replay = "replay --rules rules.yaml --log probes.ndjson --out out";
    for rest in ["--processes 3 --process 0", "--processes 2 --process 2", "--process 7"] {
        place.run(&format!("{replay} --hosts hosts {rest}")).assert(2, &["hosts"]);
    }
    place.run(&format!("{replay} --hosts nowhere --process 0")).assert(66, &["nowhere"]);
    for line in ["somewhere", "somewhere:", ":1", "a b:1", "somewhere:0", "somewhere:65536"] {
        place.write("hosts", format!("127.0.0.1:1\n\n{line}\n").as_bytes());
        place.run(&format!("{replay} --hosts hosts")).assert(2, &["hosts:3", "HOST:PORT"]);
    }
    assert!(!place.path("out").exists());
}

/// Starts processes with arguments of their own.
pub(super) fn start(place: &Place, arguments: &[&str]) -> Vec<Child> {
    place.write("hosts", hosts(arguments.len()).join("\n").as_bytes());
    let start = |(process, arguments): (usize, &&str)| {
        let line = format!("replay --hosts hosts --process {process} {arguments}");
        place.command(&line).spawn().expect("it can be run")
    };
    arguments.iter().enumerate().map(start).collect()
}

pub(super) fn end(children: Vec<Child>) -> Vec<Ran> {
    children.into_iter().map(|child| ran(child.wait_with_output().expect("it ends"))).collect()
}

const GOOD: &str = "--rules rules.yaml --workers 1 --out out \
                    --log probes.ndjson probes.ndjson probes.ndjson";

/// Who cannot take part says why, and tells all the others.
#[test]
fn all_end_when_one_cannot_take_part() {
    let place = Place::new();
    place.write("wrong.yaml", b"version: 1\n");
    place.write("csv.yaml", super::formats::rules(super::formats::ROWS).as_bytes());
    place.write("rows", b"ts,state,host.name\n");
    place.write("other", b"ts,state\n");
    place.write("file", b"");
    let gone = GOOD.replace("--log probes.ndjson probes.ndjson", "--log probes.ndjson gone");
    let other = "--rules csv.yaml --workers 1 --out out --log rows other rows";
    let wrong = GOOD.replace("rules.yaml", "wrong.yaml");
    let nobodys = GOOD.replace("--log", "--log no=");
    let nowhere = GOOD.replace("--out out", "--out file/below");
    for (arguments, culprit, code, about) in [
        // By their share, the log of one process is missing, and the column of another's.
        ([&*gone, &*gone, &*gone], 1, 66, "gone"),
        ([other, other, other], 1, 78, "host.name"),
        ([GOOD, GOOD, &*wrong], 2, 78, "rule file"),
        ([GOOD, &*nobodys, GOOD], 1, 2, "arguments"),
        ([&*nowhere, &*nowhere, &*nowhere], 0, 73, "cannot be created"),
    ] {
        for (process, ran) in end(start(&place, &arguments)).iter().enumerate() {
            let name = format!("process {culprit}");
            match process == culprit {
                true => ran.assert(code, &["are told"]),
                false => ran.assert(69, &["cannot take part", &name, about]),
            };
            assert_eq!(ran.said, "");
        }
        assert!(!place.path("out").exists() || super::listing(&place.path("out")).is_empty());
    }
}

/// Else each would take another part of another work, and nobody notice.
#[test]
fn all_must_be_asked_the_same() {
    let place = Place::new();
    place.write("longer.yaml", super::READINESS.replace("10s", "11s").as_bytes());
    for (odd, about) in [
        (GOOD.replace("rules.yaml", "longer.yaml"), "--rules"),
        (GOOD.replace("--workers 1", "--workers 2"), "--workers"),
        (GOOD.replace(" probes.ndjson probes.ndjson", " probes.ndjson"), "--log"),
        (format!("{GOOD} --tick 1s"), "--tick"),
        (format!("{GOOD} --until 2026-01-01T00:00:00Z"), "--until"),
    ] {
        for ran in end(start(&place, &[GOOD, &odd])) {
            ran.assert(69, &["was started with another", about]);
        }
        place.assert_holds("out", &[]);
    }
}

#[test]
fn who_does_not_come_is_not_waited_for_without_end() {
    let place = Place::new();
    place.write("hosts", hosts(2).join("\n").as_bytes());
    for (process, missing) in [(0, "process 1"), (1, "process 0")] {
        let line = format!("replay {GOOD} --hosts hosts --process {process} --wait 100ms");
        place.run(&line).assert(69, &[missing, "did not come within 100ms"]);
        let line = line.replace("rules.yaml", "missing.yaml");
        place.run(&line).assert(66, &["missing.yaml", "for 100ms at most"]);
    }
    // A signal ends the waiting.
    let line = format!("replay {GOOD} --hosts hosts --process 0 --wait 1d");
    let child = place.command(&line).spawn().expect("it can be run");
    let hosts = std::fs::read_to_string(place.path("hosts")).expect("it is there");
    let host = hosts.lines().next().expect("two lines");
    // Nor is it a process that calls, or says something else.
    while TcpStream::connect(host).and_then(|mut stranger| stranger.write_all(b"GET /")).is_err() {
        thread::yield_now();
    }
    super::signals::send("TERM", &child);
    ran(child.wait_with_output().expect("it ends")).assert(143, &["interrupted"]);
}

#[test]
fn the_others_notice_that_one_is_lost() {
    let place = Place::new();
    for lost in [0, 1] {
        for name in ["0", "1"] {
            place.pipe(name);
        }
        let line = "--rules rules.yaml --workers 1 --out out --log 0 1";
        let mut children = start(&place, &[line, line]);
        let mut pipes = ["0", "1"].map(|name| place.open_pipe(name));
        // Enough to begin with, then more than a pipe holds: it is read by one who has met the other.
        let line =
            &super::PROBES[..=super::PROBES.iter().position(|b| *b == b'\n').expect("a line")];
        for pipe in &mut pipes {
            pipe.write_all(line).expect("it is read");
        }
        pipes[lost].write_all(&line.repeat(1_000)).expect("it is read");
        let mut child = children.remove(lost);
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        let ran = end(children).pop().expect("the other");
        ran.assert(69, &[&format!("process {lost}"), "was lost", "nothing was output"]);
        assert_eq!(ran.said, "");
        // Who is killed leaves its unfinished outputs.
        let left = super::listing(&place.path("out"));
        assert_eq!(left.len(), if lost == 0 { 4 } else { 0 }, "{left:?}");
    }
}

/// Whoever is interrupted has done a part of its share; who writes says so.
#[test]
fn a_signal_to_one_leaves_the_outputs_incomplete() {
    let place = Place::new();
    place.pipe("pipe");
    let line = "--rules rules.yaml --workers 1 --out out --log probes.ndjson pipe";
    let mut children = start(&place, &[line, line]);
    let mut pipe = place.open_pipe("pipe");
    // More than a pipe holds: it is read, so the processes have met.
    pipe.write_all(&super::PROBES.repeat(100)).expect("it is read");
    super::signals::send("INT", &children[1]);
    let interrupted = ran(children.remove(1).wait_with_output().expect("it ends"));
    interrupted.assert(130, &["interrupted"]);
    let writes = end(children).pop().expect("the other");
    writes.assert(65, &["another process could not read"]);
    assert!(writes.said.contains("incomplete"), "{writes:?}");
    assert_eq!(place.outputs("out").summary["complete"], false);
}
