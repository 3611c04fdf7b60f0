//! The recording of HAProxy: what its rules make of it, held against what was done to the servers.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Outputs, rows};
use limbeck::model::time::parse_rfc3339;
use limbeck::replay::{Log, Options, replay};
use limbeck::rules::Rules;
use limbeck::sources::Interrupt;
use serde_json::Value;
use tempfile::TempDir;

fn dataset() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/haproxy")
}

/// Replays the recording by its rules, with another hold for failing servers.
fn replayed(failing: &str, workers: usize) -> Outputs {
    let out = TempDir::new().expect("a temporary folder can be made");
    let text = fs::read_to_string(dataset().join("rules.yaml")).expect("the rules");
    assert!(text.contains("failing: 30s"));
    let text = text.replace("failing: 30s", &format!("failing: {failing}"));
    let rules = Rules::parse("rules.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"));
    let log = |(source, name): (usize, &str)| Log::file(dataset().join(name), source);
    let options = Options {
        logs: ["checks.csv.zst", "haproxy.log.zst"].into_iter().enumerate().map(log).collect(),
        out: out.path().to_owned(),
        workers,
        from_ns: None,
        until_ns: None,
        tick_ns: 100_000_000,
        cluster: None,
        fates: false,
        checkpoint: None,
        senders: None,
        profile: false,
        progress: false,
        interrupt: Interrupt::default(),
        block_bytes: None,
    };
    replay(&rules, &options).unwrap_or_else(|failure| panic!("{failure}"));
    Outputs::read(out.path())
}

fn instant(text: &str) -> i64 {
    parse_rfc3339(text).expect("RFC 3339")
}

/// A fault: its number, the server, whether it is an outage, since, until.
type Fault = (u32, String, bool, i64, i64);

fn truth() -> Vec<Fault> {
    let text = fs::read_to_string(dataset().join("truth.csv")).expect("the truth");
    let fault = |line: &str| {
        let [number, server, _, cause, since, until] =
            line.split(',').collect::<Vec<_>>().try_into().expect("six columns");
        let number = number.parse().expect("a number");
        (number, server.to_owned(), cause == "outage", instant(since), instant(until))
    };
    text.lines().skip(1).map(fault).collect()
}

/// How episodes of a rule in a state meet the outages: episodes, those of no outage, outages found.
fn met(outputs: &Outputs, rule: &str, state: &str) -> (usize, usize, usize) {
    let truth = truth();
    let episodes = rows(&outputs.episodes);
    let (mut count, mut of_none, mut found) = (0, 0, BTreeSet::new());
    let text = |data: &Value, member: &str| data[member].as_str().map(str::to_owned);
    for data in episodes.iter().map(|episode| &episode["data"]) {
        if data["rule"] != rule || data["state"] != state {
            continue;
        }
        count += 1;
        let since = instant(&text(data, "since").expect("since"));
        let until = text(data, "until").map_or(i64::MAX, |until| instant(&until));
        let outages: Vec<u32> = truth
            .iter()
            .filter(|(_, server, outage, begun, ended)| {
                *outage && data["entity"] == **server && *begun < until && *ended > since
            })
            .map(|(number, ..)| *number)
            .collect();
        of_none += usize::from(outages.is_empty());
        found.extend(outages);
    }
    (count, of_none, found.len())
}

/// The table of datasets/haproxy/README.md.
#[test]
fn outages_are_found_and_blips_are_not_announced() {
    let outages = truth().iter().filter(|(_, _, outage, ..)| *outage).count();
    let mut table = format!("{} faults, {outages} of them outages\n", truth().len());
    let line = |what: &str, (episodes, of_none, found): (usize, usize, usize)| {
        format!("{what}: {episodes} announced, {of_none} of them of no outage; {found} found\n")
    };
    for failing in ["15s", "20s", "30s", "45s", "60s"] {
        let outputs = replayed(failing, 2);
        if failing == "30s" {
            table += &line("HAProxy", met(&outputs, "as-announced", "down"));
        }
        table += &line(failing, met(&outputs, "server-outage", "failing"));
    }
    let page = fs::read_to_string(dataset().join("README.md")).expect("the page");
    for count in table.split(|c: char| !c.is_ascii_digit()).filter(|count| count.len() > 1) {
        assert!(page.contains(count), "the page does not say {count}:\n{table}");
    }
    expect_test::expect![[r#"
        345 faults, 65 of them outages
        15s: 81 announced, 17 of them of no outage; 65 found
        20s: 74 announced, 12 of them of no outage; 63 found
        HAProxy: 299 announced, 207 of them of no outage; 65 found
        30s: 66 announced, 8 of them of no outage; 59 found
        45s: 55 announced, 3 of them of no outage; 53 found
        60s: 48 announced, 0 of them of no outage; 49 found
    "#]]
    .assert_eq(&table);
}

#[test]
fn the_recording_replays_as_expected_on_any_number_of_workers() {
    let text = fs::read(dataset().join("expected/summary.json")).expect("the summary");
    let mut wanted: Value = serde_json::from_slice(&text).expect("JSON");
    for metric in ["events_per_second", "peak_rss_bytes"] {
        wanted.as_object_mut().expect("an object").remove(metric);
    }
    for workers in 1..=4 {
        assert_eq!(replayed("30s", workers).summary, wanted, "{workers} workers");
    }
}
