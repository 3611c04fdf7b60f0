//! Notifications of whole replays of small adversarial logs: the same bytes for any workers and
//! blocks, and in the end what was told is what holds. When each is told is held against an oracle
//! where the latch is (`src/alerts/latch`); here its updates are those of the dataflow.

mod common;
mod oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;

use common::{Lab, Outputs, assert_same_lines, replaying, rows};
use limbeck::replay::Options;
use oracle::logs::{BASE, Random, case};
use oracle::published::instant;
use oracle::{DAY, Spec, silences};
use serde_json::Value;

const ROUTES: &str = r#"
sinks:
  all: { webhook: { url: http://localhost/all } }
  some: { webhook: { url: http://localhost/some } }
routes:
  - to: all
  - { match: ['state !~ "r.*"'], on: [opened, closed], to: some }
  - { match: [rule = pod-readiness], on: [correction], to: some }
"#;

/// One once, one again and again, and one as long as an episode lasts.
const SILENCES: &str = r#"
silences:
  once: { match: ['state =~ "r.*"'], from: 2026-01-01T00:00:05Z, until: 2026-01-01T00:00:25Z }
  lasting:
    match: [state = ready]
    while: { match: [rule = pod-readiness, state = unready], equal: [signal] }
windows:
  minute:
    time_intervals:
      - { times: [{ start_time: "05:31", end_time: "05:32" }], location: Asia/Kolkata }
"#;

fn seeds() -> Range<u64> {
    common::seeds(0..150)
}

fn lab(seed: u64) -> (Lab, Spec) {
    lab_with(seed, "")
}

fn lab_with(seed: u64, silences: &str) -> (Lab, Spec) {
    let case = case(seed);
    (Lab::new(&format!("{}{ROUTES}{silences}", case.yaml), &case.partitions), case.spec)
}

fn notifications(lab: &Lab, options: &Options) -> Vec<u8> {
    replaying(format!("{options:?}"));
    lab.replay(options);
    fs::read(options.out.join("notifications.ndjson")).expect("there are routes")
}

/// How each episode stands after all that was told, and until when.
fn standing(told: &[Value]) -> BTreeMap<String, (String, Value)> {
    let mut standing = BTreeMap::new();
    for row in told.iter().map(|row| &row["notification"]["data"]) {
        let stands = row["standing"].as_str().expect("it is a text").to_owned();
        let until = &row["episode"]["data"]["until"];
        let until = if stands == "closed" { until.clone() } else { Value::Null };
        let id = row["episode"]["id"].as_str().expect("an id is a text");
        standing.insert(id.to_owned(), (stands, until));
    }
    standing.retain(|_, (stands, _)| stands != "withdrawn");
    standing
}

#[test]
fn notifications_are_the_same_bytes_however_they_are_made() {
    let (mut told, mut corrections, mut kept) = (0, 0, BTreeSet::new());
    for seed in seeds() {
        let mut random = Random::new(seed);
        let (lab, spec) = match seed % 3 {
            0 => lab(seed),
            1 => lab_with(seed, SILENCES),
            _ => {
                let mut case = case(seed);
                case.partitions.push(silences::log(&mut random));
                let many = "    aggregate: { from: 2, within: 20s }\n    hold: {";
                let yaml = case.yaml.replace("    hold: {", many);
                let yaml = format!("{yaml}{ROUTES}{}", silences::SILENCES);
                (Lab::new(&yaml, &case.partitions), case.spec)
            }
        };
        let options = Options { tick_ns: spec.tick_ns, until_ns: spec.until, ..lab.options() };
        let first = notifications(&lab, &options);
        let workers = 2 + random.below(3) as usize;
        let block_bytes = Some(200 + random.below(2_000) as usize);
        let again = notifications(&lab, &Options { workers, block_bytes, ..options });
        assert_same_lines(&again, &first, &format!("seed {seed}"));
        told += rows(&first).len();
        for row in rows(&first) {
            let by = row["withheld"]["by"].as_str().filter(|_| seed % 3 == 2);
            kept.extend(by.map(str::to_owned));
        }
        corrections += rows(&first)
            .iter()
            .filter(|row| row["notification"]["data"]["kind"] == "correction")
            .count();
    }
    assert!(seeds().count() < 100 || (told > 500 && corrections > 0), "{told}, {corrections}");
    assert!(seeds().count() < 100 || kept.len() == 2, "{kept:?}: some are silenced, some are one");
}

#[test]
fn in_the_end_what_was_told_is_what_holds() {
    for seed in seeds() {
        let (lab, spec) = lab(seed);
        let until_ns = Some(BASE + 400 * DAY);
        let options = Options { tick_ns: spec.tick_ns, until_ns, ..lab.options() };
        let told = rows(&notifications(&lab, &options));
        let text = fs::read(options.out.join("episodes.ndjson")).expect("it is there");
        let holds = rows(&text).into_iter().map(|episode| {
            let until = episode["data"]["until"].clone();
            let stands = if until.is_null() { "open" } else { "closed" };
            (episode["id"].as_str().expect("a text").to_owned(), (stands.to_owned(), until))
        });
        assert_eq!(standing(&told), holds.collect::<BTreeMap<_, _>>(), "seed {seed}");
        let ids: BTreeSet<_> =
            told.iter().map(|row| row["notification"]["id"].to_string()).collect();
        assert_eq!(ids.len(), told.len(), "seed {seed}: each has its own id");
        for row in &told {
            let (data, to) = (&row["notification"]["data"], &row["to"]);
            let kind = data["kind"].as_str().expect("it is a text");
            let episode = &data["episode"]["data"];
            if kind == "opened" {
                let told_at = instant(&row["notification"]["time"]);
                let final_at = instant(&episode["decided"]) + spec.lateness_ns;
                assert!(told_at >= final_at, "seed {seed}: {row}");
            }
            let to_some = match kind {
                "correction" => episode["rule"] == "pod-readiness",
                _ => !episode["state"].as_str().expect("a text").starts_with('r'),
            };
            let wanted = if to_some { vec!["all", "some"] } else { vec!["all"] };
            assert_eq!(*to, serde_json::json!(wanted), "seed {seed}: {row}");
        }
    }
}

/// Silence stops no evaluation, and keeps no end from those who know of the beginning.
#[test]
fn silences_keep_what_is_opened_and_nothing_else() {
    let (mut withheld, mut opened_later) = (0, 0);
    for seed in seeds() {
        let [(loud, spec), (lab, _)] = ["", SILENCES].map(|silences| lab_with(seed, silences));
        let until_ns = Some(BASE + 400 * DAY);
        let options = |lab: &Lab| Options { tick_ns: spec.tick_ns, until_ns, ..lab.options() };
        let (loud_told, told) =
            (notifications(&loud, &options(&loud)), notifications(&lab, &options(&lab)));
        let [loud_outputs, mut outputs] =
            [&loud, &lab].map(|lab| Outputs::read(&lab.options().out).unnamed());
        let members = outputs.summary.as_object_mut().expect("an object");
        let counted = members.remove("withheld").unwrap_or_default();
        members.insert("notifications".to_owned(), loud_outputs.summary["notifications"].clone());
        outputs.assert_equal(&loud_outputs, &format!("seed {seed}"));
        let is_withheld = |row: &Value| row["withheld"].is_object();
        let (kept, told): (Vec<_>, Vec<_>) = rows(&told).into_iter().partition(is_withheld);
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut first = BTreeMap::new();
        for row in &kept {
            let data = &row["notification"]["data"];
            assert_eq!((&data["kind"], &row["to"]), (&"opened".into(), &Value::Array(vec![])));
            *counts
                .entry(row["withheld"]["name"].as_str().expect("a text").to_owned())
                .or_default() += 1;
            first.insert(data["episode"]["id"].to_string(), instant(&row["notification"]["time"]));
        }
        let named = |by: &str, name: &str| counted[by][name].as_u64().unwrap_or(0);
        for (by, name) in [("silence", "once"), ("silence", "lasting"), ("window", "minute")] {
            assert_eq!(named(by, name), counts.remove(name).unwrap_or(0), "seed {seed}: {name}");
        }
        withheld += kept.len();
        let (quiet, loud) = (standing(&told), standing(&rows(&loud_told)));
        for (id, stands) in &loud {
            match quiet.get(id) {
                Some(found) => assert_eq!(found, stands, "seed {seed}: {id}"),
                // Of those that are still open all is told in the end.
                None => assert_eq!(stands.0, "closed", "seed {seed}: {id}"),
            }
        }
        assert!(quiet.keys().all(|id| loud.contains_key(id)), "seed {seed}");
        let mut opened = BTreeSet::new();
        for row in &told {
            let data = &row["notification"]["data"];
            let id = data["episode"]["id"].to_string();
            if data["kind"] == "opened" {
                let later =
                    first.get(&id).is_some_and(|at| instant(&row["notification"]["time"]) > *at);
                opened_later += usize::from(later);
                opened.insert(id);
            } else {
                assert!(opened.contains(&id), "seed {seed}: nobody knows of {row}");
            }
        }
    }
    assert!(
        seeds().count() < 100 || (withheld > 200 && opened_later > 50),
        "{withheld}, {opened_later}"
    );
}

/// The tick says how finely history is resolved; without late amendments there is one history.
#[test]
fn what_is_final_is_so_at_every_tick() {
    let mut compared = 0;
    for seed in seeds() {
        let (lab, spec) = lab(seed);
        let mut by_tick = [1_000_000, 100_000_000, 1_500_000_000].into_iter().map(|tick_ns| {
            let options = Options { tick_ns, until_ns: spec.until, ..lab.options() };
            rows(&notifications(&lab, &options))
        });
        let first = by_tick.next().expect("there are some");
        let has_corrections = |told: &[Value]| {
            told.iter().any(|row| row["notification"]["data"]["kind"] == "correction")
        };
        if has_corrections(&first) {
            continue;
        }
        for told in by_tick.filter(|told| !has_corrections(told)) {
            assert_eq!(standing(&told), standing(&first), "seed {seed}");
            assert_eq!(told.len(), first.len(), "seed {seed}");
            compared += 1;
        }
    }
    assert!(seeds().count() < 100 || compared > 100, "{compared}");
}
