//! `transitions.ndjson` of whole replays of small adversarial logs, against the runs of the oracle:
//! each change of state that rules counted, with what became of it, on any number of workers.

mod common;
mod oracle;

use std::collections::BTreeMap;
use std::fs;

use common::{Lab, assert_same_lines, replaying, rows};
use limbeck::replay::Options;
use oracle::hold::Transition;
use oracle::logs::{Random, case};
use oracle::published::instant;
use oracle::{Spec, stages, transitions};
use serde_json::Value;

/// What a row says, in words of the oracle: the time, from what, to what, and what became of it.
type Row = (i64, Option<String>, String, String);

fn told(options: &Options, lab: &Lab) -> Vec<u8> {
    replaying(format!("{options:?}"));
    lab.replay(options);
    fs::read(options.out.join("transitions.ndjson")).expect("a signal keeps them")
}

/// By rule and entity, in this order.
fn published(text: &[u8], spec: &Spec) -> Vec<((usize, String), Vec<Row>)> {
    let mut lanes: Vec<((usize, String), Vec<Row>)> = Vec::new();
    for row in rows(text) {
        let text = |member: &str| row[member].as_str().expect("it is a text").to_owned();
        let rule = spec.rules.iter().position(|rule| row["rule"] == rule.name.as_str());
        let lane = (rule.expect("a rule of the file"), text("entity"));
        let fate = match (row["fate"].as_str(), row["by"].as_str()) {
            (Some("first" | "repeat"), None) => "lasted",
            (Some("blip" | "suppressed"), Some(by)) => by,
            (Some("pending"), None) => "pending",
            _ => panic!("{row}"),
        };
        let from = row["from"].as_str().map(str::to_owned);
        let row = (instant(&row["time"]), from, text("state"), fate.to_owned());
        match lanes.last_mut().filter(|(last, _)| *last == lane) {
            Some((_, rows)) => rows.push(row),
            None => lanes.push((lane, vec![row])),
        }
    }
    lanes
}

fn wanted(spec: &Spec, transitions: Vec<Transition>, rule: usize) -> Vec<Row> {
    let states = &spec.signals[spec.rules[rule].signal].states;
    let name = |state: usize| stages::name(states, state);
    let row = |(time, from, state, fate): Transition| {
        let time = i64::try_from(time).expect("it was read");
        (time, from.map(name), name(state), fate.to_owned())
    };
    transitions.into_iter().map(row).collect()
}

#[test]
fn each_change_is_told_with_what_became_of_it() {
    let mut fates: BTreeMap<String, usize> = BTreeMap::new();
    for seed in common::seeds(0..150) {
        let (case, mut random) = (case(seed), Random::new(seed));
        let yaml = case.yaml.replace("    states:\n", "    keep_transitions: true\n    states:\n");
        let lab = Lab::new(&yaml, &case.partitions);
        let spec = &case.spec;
        let options = Options { tick_ns: spec.tick_ns, until_ns: spec.until, ..lab.options() };
        let first = told(&options, &lab);
        let workers = 2 + random.below(3) as usize;
        let block_bytes = Some(200 + random.below(2_000) as usize);
        let again = told(&Options { workers, block_bytes, ..options }, &lab);
        assert_same_lines(&again, &first, &format!("seed {seed}"));
        let published = published(&first, spec);
        assert!(published.is_sorted_by(|one, other| one.0 < other.0), "seed {seed}");
        // Signals of readings have no states of their own, and keep nothing here.
        let kept = |rule: usize| !spec.signals[spec.rules[rule].signal].states.is_empty();
        let wanted: Vec<_> = transitions(spec, &case.partitions)
            .into_iter()
            .filter(|((rule, _), of_lane)| kept(*rule) && !of_lane.is_empty())
            .map(|((rule, entity), of_lane)| ((rule, entity), wanted(spec, of_lane, rule)))
            .collect();
        assert_eq!(published, wanted, "{}", case.show());
        for (_, rows) in &published {
            for (.., fate) in rows {
                *fates.entry(fate.clone()).or_default() += 1;
            }
        }
    }
    let all = ["lasted", "hold", "keep", "expired", "pending"];
    let seen =
        common::seeds(0..150).count() < 100 || all.iter().all(|fate| fates.contains_key(*fate));
    assert!(seen, "{fates:?}");
}

/// The episode that a row names is one that there is, and one that it begins is so named once.
#[test]
fn changes_name_the_episodes_that_they_are_in() {
    for seed in common::seeds(0..60) {
        let case = case(seed);
        let yaml = case.yaml.replace("    states:\n", "    keep_transitions: true\n    states:\n");
        let lab = Lab::new(&yaml, &case.partitions);
        let spec = &case.spec;
        let options = Options { tick_ns: spec.tick_ns, until_ns: spec.until, ..lab.options() };
        let told = rows(&told(&options, &lab));
        let episodes = fs::read(options.out.join("episodes.ndjson")).expect("it is there");
        let episodes = rows(&episodes);
        let episodes: BTreeMap<&str, &Value> = episodes
            .iter()
            .map(|row| (row["id"].as_str().expect("a text"), &row["data"]))
            .collect();
        let mut begun: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &told {
            let Some(id) = row["episode"].as_str() else { continue };
            let episode = episodes.get(id).unwrap_or_else(|| panic!("seed {seed}: {row}"));
            let same = |member: &str| row[member] == episode[member];
            assert!(same("rule") && same("entity"), "seed {seed}: {row} in {episode}");
            let lasted = matches!(row["fate"].as_str(), Some("first" | "repeat"));
            assert!(same("state") || !lasted, "seed {seed}: {row} in {episode}");
            if row["fate"] == "first" {
                *begun.entry(id).or_default() += 1;
            }
        }
        assert!(begun.values().all(|count| *count == 1), "seed {seed}: {begun:?}");
    }
}

/// Who does not ask for it has no such file, and one from before is removed.
#[test]
fn what_nobody_keeps_is_not_told() {
    let case = case(1);
    let lab = Lab::new(&case.yaml, &case.partitions);
    let options = lab.options();
    fs::create_dir_all(&options.out).expect("a folder can be made");
    fs::write(options.out.join("transitions.ndjson"), "old").expect("a file can be written");
    lab.replay(&options);
    assert!(!options.out.join("transitions.ndjson").exists());
}
