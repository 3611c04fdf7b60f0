//! Replays with checkpoints that are killed, stopped and started again, and what supervises them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command};

use limbeck::bench::workload::Workload;

use super::common::Outputs;
use super::signals::send;
use super::{Place, ran};

const REPLAY: &str = "replay --rules rules.yaml --log pipe --out out --checkpoint kept --every 1ms";

const RULES: &str = r#"
version: 1
lateness: 5s
signals:
  readiness:
    where: type == "readiness"
    states: { ready: data.state == "ready", unready: data.state == "unready" }
rules:
  - { name: outage, signal: readiness, hold: { ready: 10s, unready: 30s } }
  - { name: flap, signal: readiness, hold: { ready: 2s, unready: 1s } }
"#;

pub(super) fn place() -> Place {
    let place = Place::new();
    place.write("rules.yaml", RULES.as_bytes());
    place
}

/// A log with episodes.
pub(super) fn log() -> Vec<u8> {
    let span_ns = 1_200_000_000_000;
    let workload = Workload { entities: 300, events: 30_000, span_ns, ..Workload::default() };
    let mut log = Vec::new();
    workload.write_cloudevents(&mut log).expect("a Vec takes every write");
    log
}

/// Writes of a log until a checkpoint is there; gives how much was written.
fn write_until_kept(place: &Place, log: &[u8], pipe: &mut File) -> usize {
    let mut written = 0;
    for line in log[..log.len() * 9 / 10].split_inclusive(|byte| *byte == b'\n') {
        pipe.write_all(line).expect("it is read");
        written += line.len();
        if place.path("kept").join("checkpoint").exists() {
            return written;
        }
    }
    // One is under way; a disk may be slow.
    while !place.path("kept").join("checkpoint").exists() {
        std::thread::yield_now();
    }
    written
}

/// Replays the same log from another pipe, to its end.
fn go_on(place: &Place, line: &str, log: &[u8]) -> super::Ran {
    let (child, mut pipe) = place.replay_pipe(line);
    pipe.write_all(log).expect("it is read");
    drop(pipe);
    ran(child.wait_with_output().expect("it ends"))
}

fn uninterrupted(place: &Place, log: &[u8]) -> Outputs {
    let outputs = place.replay(log).unnamed();
    assert!(outputs.episodes.len() > 10_000, "there is something to compare");
    outputs
}

#[test]
fn what_is_killed_goes_on_from_its_checkpoint() {
    let place = place();
    let log = log();
    let wanted = uninterrupted(&place, &log);
    for (signal, workers) in [("KILL", 2), ("TERM", 3)] {
        let (mut child, mut pipe) = place.replay_pipe(REPLAY);
        write_until_kept(&place, &log, &mut pipe);
        send(signal, &child);
        match signal {
            "KILL" => assert_eq!(child.wait().expect("it ends").code(), None),
            _ => {
                let stopped = ran(child.wait_with_output().expect("it ends"));
                stopped.assert(143, &["goes on from the last checkpoint"]);
            }
        }
        assert!(!place.path("out").join("summary.json").exists());
        let more = format!("{REPLAY} --workers {workers}");
        go_on(&place, &more, &log).assert(0, &["goes on from 20", "records: kept"]);
        place.outputs("out").unnamed().assert_equal(&wanted, signal);
        place.assert_holds("kept", &[]);
        fs::remove_dir_all(place.path("out")).expect("it is there");
    }
}

#[test]
fn a_checkpoint_of_something_else() {
    let place = place();
    let log = log();
    let wanted = uninterrupted(&place, &log);
    let kept = || {
        let (mut child, mut pipe) = place.replay_pipe(REPLAY);
        write_until_kept(&place, &log, &mut pipe);
        send("KILL", &child);
        child.wait().expect("it ends");
    };

    kept();
    place.write("others.yaml", RULES.replace("lateness: 5s", "lateness: 4s").as_bytes());
    let others = REPLAY.replace("rules.yaml", "others.yaml");
    go_on(&place, &others, &log).assert(0, &["of another --rules", "replayed from the start"]);
    let said = place.outputs("out").unnamed();
    assert_ne!(said.updates, wanted.updates);

    kept();
    let damaged = place.path("kept").join("checkpoint");
    let mut bytes = fs::read(&damaged).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&damaged, &bytes).expect("it can be written");
    let (child, pipe) = place.replay_pipe(REPLAY);
    drop(pipe);
    ran(child.wait_with_output().expect("it ends")).assert(65, &["checkpoint", "checksum"]);
    fs::write(&damaged, b"something else").expect("it can be written");
    let (child, pipe) = place.replay_pipe(REPLAY);
    drop(pipe);
    ran(child.wait_with_output().expect("it ends")).assert(65, &["of another version"]);
    fs::remove_file(&damaged).expect("it is there");

    kept();
    place
        .run(&REPLAY.replace("--log pipe", "--log probes.ndjson"))
        .assert(73, &["of other logs", "kept"]);
    // The same name, and another log.
    let mut other = log.clone();
    other[20] ^= 1;
    let (child, mut pipe) = place.replay_pipe(REPLAY);
    // It may stop to read before all is written.
    let _ = pipe.write_all(&other);
    drop(pipe);
    ran(child.wait_with_output().expect("it ends")).assert(66, &["not the one of the checkpoint"]);
    place.run(&REPLAY.replace("--log pipe", "--log -")).assert(2, &["standard input"]);
    go_on(&place, REPLAY, &log).assert(0, &["goes on from"]);
    place.outputs("out").unnamed().assert_equal(&wanted, "after all of that");
}

#[test]
fn rules_that_are_unchanged_are_not_replayed() {
    let place = place();
    let log = log();
    let others =
        RULES.replace("unready: 30s", "unready: 20s") + "  - { name: new, signal: readiness }\n";
    place.write("others.yaml", others.as_bytes());
    place.write("probes.ndjson", &log);
    place.run("replay --rules others.yaml --log probes.ndjson --out whole").assert(0, &[]);
    let wanted = place.outputs("whole").unnamed();
    let kept = || {
        let (mut child, mut pipe) = place.replay_pipe(REPLAY);
        write_until_kept(&place, &log, &mut pipe);
        send("KILL", &child);
        child.wait().expect("it ends");
    };
    let line = REPLAY.replace("rules.yaml", "others.yaml");
    let said =
        ["rules that are unchanged (flap)", "from the start", "new or changed (outage, new)"];

    kept();
    // A log that is shorter, and one that begins otherwise, is not the one that the rest is of.
    for (log, about) in [(&log[..2_000], "it ends before"), (&log[300..], "it begins otherwise")] {
        let (child, mut pipe) = place.replay_pipe(&line);
        // It may stop to read before all is written.
        let _ = pipe.write_all(log);
        drop(pipe);
        ran(child.wait_with_output().expect("it ends")).assert(66, &["not the one of the", about]);
        place.assert_holds("out", &[]);
    }
    // Killed again, it begins to go on anew.
    let (mut child, mut pipe) = place.replay_pipe(&line);
    pipe.write_all(&log[..2_000]).expect("it is read");
    send("KILL", &child);
    child.wait().expect("it ends");
    drop(pipe);
    go_on(&place, &line, &log).assert(0, &said);
    place.outputs("out").unnamed().assert_equal(&wanted, "some rules changed");
    place.assert_holds("kept", &[]);

    kept();
    let line = format!("{line} --fates");
    go_on(&place, &line, &log).assert(0, &["--fates", "replayed from the start"]);
}

/// What has come to a log since it ended was not read when it could have been.
#[test]
fn a_log_that_has_grown_behind_its_end_is_another() {
    let place = place();
    let log = log();
    let lines: Vec<_> = log.split_inclusive(|byte| *byte == b'\n').collect();
    let [done, more, rest] = [&lines[..100], &lines[..101], &lines[100..]].map(<[_]>::concat);
    place.write("done", &done);
    place.write("rest", &rest);
    place.run("replay --rules rules.yaml --log done rest --out whole").assert(0, &[]);
    let wanted = place.outputs("whole").unnamed();
    let line = REPLAY.replace("--log pipe", "--log done pipe");
    let (mut child, mut pipe) = place.replay_pipe(&line);
    write_until_kept(&place, &rest, &mut pipe);
    send("KILL", &child);
    child.wait().expect("it ends");
    drop(pipe);

    place.write("others.yaml", RULES.replace("unready: 30s", "unready: 20s").as_bytes());
    let about = format!("done: it ended behind {} bytes, and has {} now", done.len(), more.len());
    place.write("done", &more);
    for line in [&line, &line.replace("rules.yaml", "others.yaml")] {
        let (child, pipe) = place.replay_pipe(line);
        drop(pipe);
        ran(child.wait_with_output().expect("it ends")).assert(66, &["not the one of", &about]);
    }
    place.write("done", &done);
    go_on(&place, &line, &rest).assert(0, &["goes on from 20"]);
    place.outputs("out").unnamed().assert_equal(&wanted, "the log as it was");
}

/// The next process that a supervisor says it runs.
fn next_process(said: &mut impl BufRead) -> u32 {
    loop {
        let mut line = String::new();
        assert_ne!(said.read_line(&mut line).expect("it is text"), 0, "it goes on");
        let number = line.strip_prefix("limbeck: process ").and_then(|rest| rest.split(' ').next());
        if let Some(number) = number.filter(|_| line.ends_with("runs\n")) {
            return number.parse().expect("a number");
        }
    }
}

pub(super) fn kill(process: u32) {
    let killed = Command::new("kill").args(["-s", "KILL", &process.to_string()]).status();
    assert!(killed.expect("kill runs").success());
}

#[test]
fn what_dies_is_started_again() {
    let place = place();
    let log = log();
    let wanted = uninterrupted(&place, &log);
    place.pipe("pipe");
    let mut supervisor: Child = place
        .command(&format!("supervise --backoff 1ms -- {REPLAY}"))
        .spawn()
        .expect("it can be run");
    let mut said = BufReader::new(supervisor.stderr.take().expect("it is piped"));
    let first = next_process(&mut said);
    let mut pipe = place.open_pipe("pipe");
    write_until_kept(&place, &log, &mut pipe);
    kill(first);
    drop(pipe);
    assert_ne!(next_process(&mut said), first);
    let mut pipe = place.open_pipe("pipe");
    pipe.write_all(&log).expect("it is read");
    drop(pipe);
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("it is text");
    assert_eq!(supervisor.wait().expect("it ends").code(), Some(0), "{rest}");
    assert!(rest.contains("goes on from"), "{rest}");
    place.outputs("out").unnamed().assert_equal(&wanted, "supervised");
}

#[test]
fn what_would_end_the_same_way_is_not_started_again() {
    let place = Place::new();
    let missing = place.run("supervise -- replay --rules rules.yaml --log none --out out");
    missing.assert(66, &["does not exist"]);
    assert_eq!(missing.complained.matches("runs\n").count(), 1, "{missing:?}");
    place.run("supervise").assert(2, &["<COMMAND>"]);

    place.pipe("pipe");
    let mut supervisor =
        place.command(&format!("supervise -- {REPLAY}")).spawn().expect("it can be run");
    let mut said = BufReader::new(supervisor.stderr.take().expect("it is piped"));
    next_process(&mut said);
    let pipe = place.open_pipe("pipe");
    send("TERM", &supervisor);
    assert_eq!(supervisor.wait().expect("it ends").code(), Some(143));
    drop(pipe);
}
