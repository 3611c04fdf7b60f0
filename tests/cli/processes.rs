//! Several processes replay one log together.

use std::net::TcpListener;

use super::common::Outputs;
use super::{Place, ran};

/// Ports that nobody listens on.
fn hosts(count: usize) -> String {
    let listen = |_| TcpListener::bind("127.0.0.1:0").expect("a port is free");
    // All are held until all are known, so that they differ.
    let listeners: Vec<_> = (0..count).map(listen).collect();
    let address = |listener: &TcpListener| listener.local_addr().expect("it is bound").to_string();
    listeners.iter().map(address).collect::<Vec<_>>().join("\n")
}

/// Replays on several processes, which must all succeed.
pub(super) fn together(
    place: &Place,
    rules: &str,
    processes: usize,
    workers: usize,
    arguments: &str,
) -> Outputs {
    place.write("hosts", hosts(processes).as_bytes());
    let start = |process| {
        let line = format!(
            "replay --rules {rules} --out together --workers {workers} --hosts hosts \
             --processes {processes} --process {process} {arguments}"
        );
        place.command(&line).spawn().expect("it can be run")
    };
    let children: Vec<_> = (0..processes).map(start).collect();
    for child in children {
        ran(child.wait_with_output().expect("it ends")).assert(0, &[]);
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
    assert!(!place.path("out").exists());
}
