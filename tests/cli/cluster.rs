//! Several processes with checkpoints: killed, stopped and started again together, and what is
//! refused.

use std::fs::{self, File};
use std::io::Write;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use super::checkpoint::{kill, log, place};
use super::common::{Outputs, hosts};
use super::processes::{end, start};
use super::signals::send;
use super::{Place, ran};

const REPLAY: &str = "--rules rules.yaml --workers 1 --log 0 1 --out out --checkpoint kept \
                      --every 1ms";

/// Two partitions of many blocks each, of which the second ends before the first.
fn partitions() -> [Vec<u8>; 2] {
    let log = log();
    let lines: Vec<_> = log.split_inclusive(|byte| *byte == b'\n').collect();
    let mut partitions = [Vec::new(), Vec::new()];
    let longer = format!(",\"text\":\"{}\"}}\n", "long ".repeat(200));
    for (number, line) in lines.iter().enumerate() {
        let second = number < lines.len() * 5 / 6 && number % 2 == 1;
        let partition = &mut partitions[usize::from(second)];
        partition.extend_from_slice(line.strip_suffix(b"}\n").expect("it is an object"));
        partition.extend_from_slice(longer.as_bytes());
    }
    partitions
}

fn uninterrupted(place: &Place, partitions: &[Vec<u8>; 2]) -> Outputs {
    place.write("first", &partitions[0]);
    place.write("second", &partitions[1]);
    place.run("replay --rules rules.yaml --log first second --out alone").assert(0, &[]);
    place.outputs("alone").unnamed()
}

fn pipes(place: &Place) {
    ["0", "1"].iter().for_each(|name| place.pipe(name));
}

/// Files in place of pipes: whoever goes on reads these, and waits for no other.
fn files(place: &Place, partitions: &[Vec<u8>; 2]) {
    for (name, log) in ["0", "1"].iter().zip(partitions) {
        fs::remove_file(place.path(name)).expect("it is there");
        place.write(name, log);
    }
}

/// Writes of both side by side, as time passes in them, until there is a checkpoint; if the second
/// `ends`, then at least until that.
fn write_until_kept(place: &Place, partitions: &[Vec<u8>; 2], ends: bool) -> [Option<File>; 2] {
    const CHUNK: usize = 1 << 14;
    let is_kept = || place.path("kept").join("checkpoint").exists();
    let mut pipes = ["0", "1"].map(|name| Some(place.open_pipe(name)));
    let lasts = partitions.each_ref().map(Vec::len).into_iter().max().unwrap_or(0) / CHUNK;
    for number in 0..lasts {
        for (pipe, log) in pipes.iter_mut().zip(partitions) {
            let rest = log.get(number * CHUNK..).unwrap_or_default();
            if let Some(to) = pipe {
                to.write_all(&rest[..rest.len().min(CHUNK)]).expect("it is read");
            }
            if rest.len() <= CHUNK {
                *pipe = None;
            }
        }
        // They agree on a checkpoint ahead of what they have: what is near the end waits for that.
        let open = partitions[usize::from(!ends)].len() / CHUNK;
        let patience = if number > open * 9 / 10 { Duration::from_secs(1) } else { Duration::ZERO };
        if (!ends || pipes[1].is_none()) && within(patience, is_kept) {
            return pipes;
        }
    }
    panic!("there is no checkpoint");
}

/// Whether something holds now, or does soon enough.
fn within(patience: Duration, holds: impl Fn() -> bool) -> bool {
    let begun = now();
    while !holds() {
        if begun.elapsed() >= patience {
            return false;
        }
        thread::yield_now();
    }
    true
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test that hangs shall fail")]
    Instant::now()
}

#[test]
fn processes_that_are_killed_go_on_together() {
    let place = place();
    let partitions = partitions();
    let wanted = uninterrupted(&place, &partitions);
    for (victim, signal, ends) in [(0, "KILL", false), (1, "KILL", true), (0, "TERM", true)] {
        let what = format!("{signal} to {victim}");
        pipes(&place);
        let mut children = start(&place, &[REPLAY, REPLAY]);
        let open = write_until_kept(&place, &partitions, ends);
        send(signal, &children[victim]);
        let dead = ran(children.remove(victim).wait_with_output().expect("it ends"));
        let other = end(children).pop().expect("the other");
        drop(open);
        other.assert(69, &[&format!("process {victim}")]);
        if signal == "TERM" {
            dead.assert(143, &["all processes go on from the last checkpoint"]);
            other.assert(69, &["interrupted"]);
        }
        assert!(!place.path("out").join("summary.json").exists());

        // On another number of workers, and of processes.
        files(&place, &partitions);
        let line = REPLAY.replace("--workers 1", "--workers 2");
        for (process, ran) in end(start(&place, &vec![&*line; 2 + victim])).iter().enumerate() {
            let said: &[&str] =
                if process == 0 { &["goes on from 20", "records: kept"] } else { &[] };
            ran.assert(0, said);
        }
        place.outputs("out").unnamed().assert_equal(&wanted, &what);
        place.assert_holds("kept", &[]);
        fs::remove_dir_all(place.path("out")).expect("it is there");
    }
}

/// The process that a supervisor has running.
fn child(supervisor: &Child) -> u32 {
    let id = supervisor.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    children.expect("it runs").trim().parse().expect("it has one child")
}

#[test]
fn processes_that_die_are_started_again() {
    let partitions = partitions();
    for victim in [1, 0] {
        let place = place();
        let wanted = uninterrupted(&place, &partitions);
        pipes(&place);
        place.write("hosts", hosts(2).join("\n").as_bytes());
        let supervise = |process| {
            let line = format!(
                "supervise --backoff 1ms -- replay --hosts hosts --process {process} {REPLAY}"
            );
            place.command(&line).spawn().expect("it can be run")
        };
        let supervisors: Vec<Child> = (0..2).map(supervise).collect();
        let open = write_until_kept(&place, &partitions, false);
        files(&place, &partitions);
        kill(child(&supervisors[victim]));
        drop(open);
        for supervisor in supervisors {
            ran(supervisor.wait_with_output().expect("it ends")).assert(0, &["runs"]);
        }
        place.outputs("out").unnamed().assert_equal(&wanted, &format!("process {victim} died"));
        place.assert_holds("kept", &[]);
    }
}

/// Has processes end with a checkpoint of theirs.
fn kept(place: &Place, partitions: &[Vec<u8>; 2]) {
    pipes(place);
    let mut children = start(place, &[REPLAY, REPLAY]);
    let open = write_until_kept(place, partitions, true);
    children[1].kill().expect("it runs");
    end(children);
    drop(open);
    files(place, partitions);
}

#[test]
fn processes_do_not_go_on_from_another_checkpoint() {
    let place = place();
    let partitions = partitions();
    let wanted = uninterrupted(&place, &partitions);
    kept(&place, &partitions);
    let checkpoint = place.path("kept").join("checkpoint");
    let whole = fs::read(&checkpoint).expect("it is there");

    // Process 1 has one of its own, in a folder of its own.
    let own = REPLAY.replace("kept", "own");
    fs::create_dir(place.path("own")).expect("it can be made");
    fs::write(place.path("own").join("checkpoint"), b"another").expect("it can be written");
    let none = REPLAY.replace("kept", "none");
    for (first, second) in [(REPLAY, &*own), (&*none, REPLAY)] {
        let ended = end(start(&place, &[first, second]));
        ended[0].assert(69, &["process 1", "cannot take part", "not that of process 0"]);
        ended[1].assert(73, &["not that of process 0", "start as process 0"]);
    }
    // One that makes none, or whose checkpoint is damaged, or of other logs.
    let without = REPLAY.replace("--checkpoint kept --every 1ms", "");
    for ran in end(start(&place, &[REPLAY, &*without])) {
        ran.assert(69, &["was started with another --checkpoint"]);
    }
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&checkpoint, &damaged).expect("it can be written");
    let ended = end(start(&place, &[REPLAY, REPLAY]));
    ended[0].assert(65, &["checkpoint", "checksum"]);
    ended[1].assert(69, &["process 0", "cannot take part", "checksum"]);
    fs::write(&checkpoint, &whole).expect("it can be written");
    let more = REPLAY.replace("--log 0 1", "--log 0 1 first");
    let ended = end(start(&place, &[&*more, &*more]));
    ended[0].assert(73, &["of other logs"]);
    ended[1].assert(69, &["process 0", "of other logs"]);
    // A log that is not the one of a process: nobody goes on. Of which logs something had been read by
    // then, and not all, is a matter of time.
    for (name, log) in ["0", "1"].iter().zip(&partitions) {
        place.write(name, &log[300..]);
    }
    let ended = end(start(&place, &[REPLAY, REPLAY]));
    assert!(ended.iter().any(|ran| ran.code == Some(66)), "{ended:?}");
    for ran in ended {
        let code = if ran.code == Some(66) { 66 } else { 69 };
        ran.assert(code, &["not the one of the checkpoint"]);
    }
    for (name, log) in ["0", "1"].iter().zip(&partitions) {
        place.write(name, log);
    }
    for ran in end(start(&place, &[REPLAY, REPLAY])) {
        ran.assert(0, &[]);
    }
    place.outputs("out").unnamed().assert_equal(&wanted, "after all of that");
}

/// All read their logs from the start for the rules that are others now.
#[test]
fn processes_go_on_with_other_rules_together() {
    let place = place();
    let partitions = partitions();
    kept(&place, &partitions);
    let rules = fs::read_to_string(place.path("rules.yaml")).expect("it is there");
    let rules = rules.replace("unready: 30s", "unready: 20s");
    place.write("rules.yaml", rules.as_bytes());
    let wanted = uninterrupted(&place, &partitions);
    for (process, ran) in end(start(&place, &[REPLAY, REPLAY])).iter().enumerate() {
        let said: &[&str] = if process == 0 { &["rules that are unchanged (flap)"] } else { &[] };
        ran.assert(0, said);
    }
    place.outputs("out").unnamed().assert_equal(&wanted, "some rules changed");
    place.assert_holds("kept", &[]);
}
