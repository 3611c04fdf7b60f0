//! Notifications of whole replays of small adversarial logs: the same bytes for any workers and
//! blocks, and in the end what was told is what holds. When each is told is held against an oracle
//! where the latch is (`src/alerts/latch`); here its updates are those of the dataflow.

mod common;
mod oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;

use common::{Lab, assert_same_lines, replaying, rows};
use limbeck::replay::Options;
use oracle::logs::{BASE, Random, case};
use oracle::published::instant;
use oracle::{DAY, Spec};
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

fn seeds() -> Range<u64> {
    common::seeds(0..150)
}

fn lab(seed: u64) -> (Lab, Spec) {
    let case = case(seed);
    (Lab::new(&format!("{}{ROUTES}", case.yaml), &case.partitions), case.spec)
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
    let (mut told, mut corrections) = (0, 0);
    for seed in seeds() {
        let mut random = Random::new(seed);
        let (lab, spec) = lab(seed);
        let options = Options { tick_ns: spec.tick_ns, until_ns: spec.until, ..lab.options() };
        let first = notifications(&lab, &options);
        let workers = 2 + random.below(3) as usize;
        let block_bytes = Some(200 + random.below(2_000) as usize);
        let again = notifications(&lab, &Options { workers, block_bytes, ..options });
        assert_same_lines(&again, &first, &format!("seed {seed}"));
        told += rows(&first).len();
        corrections += rows(&first)
            .iter()
            .filter(|row| row["notification"]["data"]["kind"] == "correction")
            .count();
    }
    assert!(seeds().count() < 100 || (told > 500 && corrections > 0), "{told}, {corrections}");
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
