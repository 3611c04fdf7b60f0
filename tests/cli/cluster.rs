//! Several processes with checkpoints: killed, stopped and started again together, and what is
//! refused.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};

use super::checkpoint::{kill, log, next_process, place};
use super::common::Outputs;
use super::processes::{end, hosts, start};
use super::signals::send;
use super::{Place, ran};

const REPLAY: &str = "--rules rules.yaml --workers 1 --log 0 1 --out out --checkpoint kept \
                      --every 1ms";

/// Two partitions, of which the second ends before the first. Some blocks of each are read ahead.
fn partitions() -> [Vec<u8>; 2] {
    let log = log();
    let lines: Vec<_> = log.split_inclusive(|byte| *byte == b'\n').collect();
    let mut partitions = [Vec::new(), Vec::new()];
    for (number, line) in lines.iter().enumerate() {
        let second = number < lines.len() * 5 / 6 && number % 2 == 1;
        partitions[usize::from(second)].extend_from_slice(line);
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

/// Writes of both, side by side, until there is another checkpoint, or the second has come near its
/// end; if it `ends`, to its end, and then of the first. A process that does not read holds up only
/// what is for it: one that has gone on waits for another, which has yet to read up to there.
fn write_until_kept(place: &Place, partitions: &[Vec<u8>; 2], ends: bool) -> [Option<File>; 2] {
    let kept = || {
        let file = fs::metadata(place.path("kept").join("checkpoint")).ok()?;
        Some((file.ino(), file.modified().ok()?))
    };
    let before = kept();
    let is_kept = || kept().is_some_and(|kept| Some(kept) != before);
    let mut open = ["0", "1"].map(|name| Some(place.open_pipe(name)));
    for pipe in open.iter().flatten() {
        fcntl_setfl(pipe, OFlags::NONBLOCK).expect("it is a pipe");
    }
    let most = partitions.each_ref().map(|log| log.len() * 19 / 20);
    let mut written = [0, 0];
    while !is_kept() || (ends && open[1].is_some()) {
        if written[0] >= most[0] || (!ends && written[1] >= most[1]) {
            break;
        }
        for (number, log) in partitions.iter().enumerate() {
            let Some(pipe) = &mut open[number] else { continue };
            let rest = &log[written[number]..];
            match pipe.write(&rest[..rest.len().min(1 << 10)]) {
                Ok(count) => written[number] += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
                Err(error) => panic!("it is read: {error}"),
            }
            if written[number] == log.len() {
                open[number] = None;
            }
        }
    }
    // One is under way; a disk may be slow. Behind an earlier one there need not be another.
    let begun = now();
    while kept().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(120), "there is a checkpoint");
        thread::yield_now();
    }
    open
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test that hangs shall fail")]
    Instant::now()
}

/// Writes all of both, each to its process.
fn write_all(place: &Place, partitions: &[Vec<u8>; 2]) {
    thread::scope(|scope| {
        for (name, log) in ["0", "1"].iter().zip(partitions) {
            scope.spawn(move || place.open_pipe(name).write_all(log).expect("it is read"));
        }
    });
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
        let pipes = write_until_kept(&place, &partitions, ends);
        send(signal, &children[victim]);
        let dead = ran(children.remove(victim).wait_with_output().expect("it ends"));
        let other = end(children).pop().expect("the other");
        drop(pipes);
        other.assert(69, &[&format!("process {victim}")]);
        if signal == "TERM" {
            dead.assert(143, &["all processes go on from the last checkpoint"]);
            other.assert(69, &["interrupted"]);
        }
        assert!(!place.path("out").join("summary.json").exists());

        // On another number of workers, and of processes.
        let line = REPLAY.replace("--workers 1", "--workers 2");
        self::pipes(&place);
        let children = start(&place, &vec![&*line; 2 + victim]);
        write_all(&place, &partitions);
        for (process, ran) in end(children).iter().enumerate() {
            let said: &[&str] =
                if process == 0 { &["goes on from 20", "records: kept"] } else { &[] };
            ran.assert(0, said);
        }
        place.outputs("out").unnamed().assert_equal(&wanted, &what);
        place.assert_holds("kept", &[]);
        fs::remove_dir_all(place.path("out")).expect("it is there");
    }
}

#[test]
fn processes_that_die_are_started_again() {
    let place = place();
    let partitions = partitions();
    let wanted = uninterrupted(&place, &partitions);
    pipes(&place);
    place.write("hosts", hosts(2).as_bytes());
    let supervise = |process| {
        let line =
            format!("supervise --backoff 1ms -- replay --hosts hosts --process {process} {REPLAY}");
        place.command(&line).spawn().expect("it can be run")
    };
    let mut supervisors: Vec<Child> = (0..2).map(supervise).collect();
    let mut said: Vec<_> = supervisors
        .iter_mut()
        .map(|supervisor| BufReader::new(supervisor.stderr.take().expect("it is piped")))
        .collect();
    for victim in [1, 0] {
        let processes: Vec<_> = said.iter_mut().map(next_process).collect();
        let open = write_until_kept(&place, &partitions, false);
        // Whoever is started again reads others than those that end now.
        pipes(&place);
        kill(processes[victim]);
        drop(open);
    }
    for said in &mut said {
        next_process(said);
    }
    write_all(&place, &partitions);
    for (mut supervisor, mut said) in supervisors.into_iter().zip(said) {
        let mut rest = String::new();
        said.read_to_string(&mut rest).expect("it is text");
        assert_eq!(supervisor.wait().expect("it ends").code(), Some(0), "{rest}");
    }
    place.outputs("out").unnamed().assert_equal(&wanted, "supervised");
    place.assert_holds("kept", &[]);
}

/// Has processes end with a checkpoint of theirs.
fn kept(place: &Place, partitions: &[Vec<u8>; 2]) {
    pipes(place);
    let mut children = start(place, &[REPLAY, REPLAY]);
    let pipes = write_until_kept(place, partitions, true);
    children[1].kill().expect("it runs");
    end(children);
    drop(pipes);
}

#[test]
fn processes_do_not_go_on_from_another_checkpoint() {
    let place = place();
    let partitions = partitions();
    let wanted = uninterrupted(&place, &partitions);
    kept(&place, &partitions);
    let checkpoint = place.path("kept").join("checkpoint");
    let whole = fs::read(&checkpoint).expect("it is there");
    for (name, log) in ["0", "1"].iter().zip(&partitions) {
        fs::remove_file(place.path(name)).expect("it is a pipe");
        place.write(name, log);
    }

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
    pipes(&place);
    let children = start(&place, &[REPLAY, REPLAY]);
    write_all(&place, &partitions);
    for (process, ran) in end(children).iter().enumerate() {
        let said: &[&str] = if process == 0 { &["rules that are unchanged (flap)"] } else { &[] };
        ran.assert(0, said);
    }
    place.outputs("out").unnamed().assert_equal(&wanted, "some rules changed");
    place.assert_holds("kept", &[]);
}
