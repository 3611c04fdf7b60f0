//! Golden replays: the outputs of known logs, byte for byte, on 1 to 4 workers.
//!
//! Each folder of `tests/golden` has `rules.yaml`, the logs, and what is `expected`. After a change
//! that is meant to change outputs, `UPDATE_GOLDEN=1` writes what is now output; the difference is
//! then to be read, line by line, before it is kept.

mod common;
mod oracle;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Outputs, rows};
use limbeck::bench::workload::Workload;
use serde_json::Value;
use tempfile::TempDir;

const FILES: [&str; 3] = ["episodes.ndjson", "updates.ndjson", "dead-letter.ndjson"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn replay(folder: &Path, arguments: &[&str], workers: usize) -> (TempDir, Outputs) {
    let out = TempDir::new().expect("a temporary folder can be made");
    let ran = Command::new(env!("CARGO_BIN_EXE_limbeck"))
        .current_dir(folder)
        .args(["replay", "--rules", "rules.yaml", "--workers", &workers.to_string(), "--out"])
        .arg(out.path())
        .args(arguments)
        .output()
        .expect("the command can be run");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let outputs = Outputs::read(out.path());
    (out, outputs)
}

fn check(name: &str, arguments: &[&str]) {
    let folder = golden(name);
    let expected = folder.join("expected");
    let update = env::var("UPDATE_GOLDEN").is_ok_and(|set| set == "1");
    if update {
        let (out, outputs) = replay(&folder, arguments, 1);
        fs::create_dir_all(&expected).expect("the folder can be made");
        for file in FILES {
            fs::copy(out.path().join(file), expected.join(file)).expect(file);
        }
        let mut summary = serde_json::to_vec_pretty(&outputs.summary).expect("a value is JSON");
        summary.push(b'\n');
        fs::write(expected.join("summary.json"), summary).expect("summary.json");
    }
    let file = |name: &str| fs::read(expected.join(name)).expect(name);
    let wanted = Outputs {
        episodes: file(FILES[0]),
        updates: file(FILES[1]),
        dead_letters: file(FILES[2]),
        summary: serde_json::from_slice(&file("summary.json")).expect("the summary is JSON"),
    };
    for workers in 1..=4 {
        let (_, outputs) = replay(&folder, arguments, workers);
        outputs.assert_equal(&wanted, &format!("{name} on {workers} workers"));
    }
}

/// The example of the contract.
#[test]
fn readiness() {
    check("readiness", &["--log", "readiness.ndjson"]);
}

#[test]
fn the_readiness_example_has_the_episodes_of_the_contract() {
    let projected = include_bytes!("data/readiness.expected.ndjson");
    let (_, outputs) = replay(&golden("readiness"), &["--log", "readiness.ndjson"], 2);
    let mut episodes = rows(&outputs.episodes);
    let wanted = rows(projected);
    for (episode, wanted) in episodes.iter_mut().zip(&wanted) {
        let data = episode["data"].as_object_mut().expect("an episode has data");
        data.retain(|member, _| wanted.get(member).is_some());
    }
    let data: Vec<&Value> = episodes.iter().map(|episode| &episode["data"]).collect();
    assert_eq!(data, wanted.iter().collect::<Vec<_>>());
}

/// What rules carry of records, and decide otherwise than by hold alone.
#[test]
fn labels() {
    check("labels", &["--log", "log.ndjson"]);
}

/// A generated log in a shape of its own, compressed.
#[test]
fn flat() {
    check("flat", &["--log", "probe=flat.ndjson.zst"]);
}

/// Three partitions for three rules on two signals, full of what the contract has a sentence for.
#[test]
fn adversarial() {
    let logs = ["--log", "a.ndjson", "b.ndjson", "c.ndjson"];
    check("adversarial", &[&logs[..], &["--tick", "250ms"]].concat());
}

/// Documents of every tool that is known, as the tools write them: an answer of Prometheus 2.42, and the
/// bodies that an Alertmanager 0.25 sent, among them.
#[test]
fn formats() {
    let logs = ["traces=otlp.jsonl", "history=range.json", "dump=history.om"];
    let more = ["federate=federate.prom", "events=events.json", "webhooks=webhooks.json"];
    check("formats", &[&["--log"], &logs[..], &more[..]].concat());
}

/// Writes the logs that were generated; they are kept, so that the generators may change.
#[test]
#[ignore = "makes inputs of golden replays, which then expect something else"]
fn generate_logs() {
    let workload = Workload { entities: 50, events: 4_000, ..Workload::default() };
    let workload = Workload { span_ns: 600_000_000_000, ..workload };
    let mut flat = Vec::new();
    workload.write_flat(&mut flat).expect("a Vec takes every write");
    let packed = zstd::encode_all(&flat[..], 19).expect("what is in memory can be packed");
    fs::write(golden("flat/flat.ndjson.zst"), packed).expect("the log can be written");

    let case = oracle::logs::case(4_942);
    fs::write(golden("adversarial/rules.yaml"), &case.yaml).expect("the rules can be written");
    for (partition, name) in case.partitions.iter().zip(["a", "b", "c"]) {
        let path = golden("adversarial").join(format!("{name}.ndjson"));
        fs::write(path, partition).expect("the log can be written");
    }
}
