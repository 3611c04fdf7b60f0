//! What is learned of how long faults last, of small adversarial logs, against the oracle: what is latched of
//! every fault, which candidates are announced and when, and how well calibrated it is; whatever the workers,
//! blocks and checkpoints.

mod common;
mod oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use common::{Lab, assert_same_lines, replaying, rows};
use limbeck::backtest::{AskedOfOne, OfRule, calibrate};
use limbeck::replay::{Log, Options};
use oracle::logs::{BASE, Case, Random, persistent_case};
use oracle::persistence::{Key, Latched, Learned, learned};
use oracle::published::{episode, instant};
use oracle::{DAY, MS, S, expected};
use serde_json::Value;

const ROUTES: &str = "
sinks: { all: { webhook: { url: http://localhost/all } } }
routes: [{ to: all }]
";

fn lab(case: &Case) -> Lab {
    Lab::new(&format!("{}{ROUTES}", case.yaml), &case.partitions)
}

fn vary(case: &mut Case) {
    let mut random = Random::new(!case.seed);
    case.spec.tick_ns = *random.pick(&[MS, 100 * MS, 100 * MS, S]);
}

/// Which fault a row is of, and its numbers.
fn key(case: &Case, data: &Value) -> Key {
    let text = |name: &str| data[name].as_str().expect("a name is a text").to_owned();
    let rule = case.spec.rules.iter().position(|rule| rule.name == text("rule"));
    (rule.expect("it is a rule"), text("entity"), text("state"), instant(&data["since"]))
}

fn seconds(text: &Value) -> i64 {
    let text = text.as_str().expect("a duration is a text");
    limbeck::model::duration::parse_duration(text).expect("it is one")
}

/// What a row says was latched.
fn latched(data: &Value) -> Option<Latched> {
    let said = &data["persistence"];
    if said.is_null() {
        return None;
    }
    let odds = said["lasts"].as_array().expect("a list").iter().map(|odds| {
        let past =
            |of: &str| ["lasted", "faults"].map(|name| odds[of][name].as_u64().expect("a number"));
        (seconds(&odds["for"]), [past("entity"), past("group")], odds["p"].as_f64().expect("p"))
    });
    let announced = Some(&said["announced"]).filter(|at| !at.is_null()).map(instant);
    Some(Latched { age: seconds(&said["age"]), announced, odds: odds.collect() })
}

fn same(one: &Latched, other: &Latched) -> bool {
    let close = |one: &(i64, _, f64), other: &(i64, _, f64)| {
        (one.0, one.1) == (other.0, other.1) && (one.2 - other.2).abs() < 1e-12
    };
    (one.age, one.announced) == (other.age, other.announced)
        && one.odds.iter().zip(&other.odds).all(|(one, other)| close(one, other))
        && one.odds.len() == other.odds.len()
}

struct Compared {
    latched: usize,
    early: usize,
    failed: usize,
}

fn check(seed: u64) -> Compared {
    let mut case = persistent_case(seed);
    vary(&mut case);
    let mut random = Random::new(seed.rotate_left(24));
    let lab = lab(&case);
    let options = Options {
        tick_ns: case.spec.tick_ns,
        until_ns: case.spec.until,
        workers: *random.pick(&[1, 1, 2, 4]),
        block_bytes: *random.pick(&[None, Some(100), Some(700)]),
        ..lab.options()
    };
    replaying(format!("seed {seed}"));
    let outputs = lab.replay(&options);
    let told = fs::read(options.out.join("notifications.ndjson")).expect("there are routes");
    let Learned { latched: wanted, early, .. } = learned(&case.spec, &case.partitions);

    // What it learns changes no episode.
    let all = expected(&case.spec, &case.partitions);
    let episodes: Vec<_> = rows(&outputs.episodes).iter().map(episode).collect();
    assert_eq!(episodes, all.episodes, "{}", case.show());

    let mut compared = Compared { latched: 0, early: early.len(), failed: 0 };
    for row in rows(&outputs.updates) {
        let (at, data) = (instant(&row["at"]), &row["artifact"]["data"]);
        let key = key(&case, data);
        // What is taken back is as it was told.
        let until = if row["diff"] == 1 { at } else { at - 1 };
        let of_it = wanted.range(..=until).next_back().and_then(|(_, all)| all.get(&key));
        match (latched(data), of_it) {
            (Some(said), Some(wanted)) => {
                assert!(same(&said, wanted), "{row}\n{said:?}\n{wanted:?}\n{}", case.show());
                compared.latched += 1;
            }
            (None, None) => {}
            (said, wanted) => panic!("{row}\n{said:?}\n{wanted:?}\n{}", case.show()),
        }
    }

    let mut opened = Vec::new();
    for row in rows(&told) {
        let data = &row["notification"]["data"];
        let episode = &data["episode"]["data"];
        if data["kind"] == "opened" && episode["decided"].is_null() {
            let at = instant(&row["notification"]["time"]);
            let key = key(&case, episode);
            let of_it = wanted.range(..=at).next_back().and_then(|(_, all)| all.get(&key));
            let (said, of_it) = (latched(episode), of_it.expect("it was latched"));
            assert!(said.is_some_and(|said| same(&said, of_it)), "{row}\n{}", case.show());
            opened.push((at, key));
        }
        let is_over = data["kind"] == "closed" && episode["decided"].is_null();
        compared.failed += usize::from(is_over);
    }
    let (mut opened_wanted, mut opened) = (early, opened);
    opened_wanted.sort();
    opened.sort();
    assert_eq!(opened, opened_wanted, "{}", case.show());
    compared
}

#[test]
fn what_is_learned_is_what_the_oracle_learns() {
    let seeds = common::seeds(0..250);
    let all = seeds
        .clone()
        .map(check)
        .fold([0; 3], |[a, b, c], of| [a + of.latched, b + of.early, c + of.failed]);
    assert!(seeds.count() < 100 || (all[0] > 500 && all[1] > 100 && all[2] > 30), "{all:?}");
}

/// Nothing that is over stays open to those who were told.
#[test]
fn in_the_end_what_was_told_is_what_holds() {
    for seed in common::seeds(0..120) {
        let mut case = persistent_case(seed);
        vary(&mut case);
        let lab = lab(&case);
        let until_ns = Some(BASE + 400 * DAY);
        let options = Options { tick_ns: case.spec.tick_ns, until_ns, ..lab.options() };
        replaying(format!("seed {seed} until all is over"));
        let outputs = lab.replay(&options);
        let told = fs::read(options.out.join("notifications.ndjson")).expect("there are routes");
        let mut standing = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for row in rows(&told) {
            let notification = &row["notification"];
            assert!(ids.insert(notification["id"].to_string()), "seed {seed}: {row}");
            let data = &notification["data"];
            let id = data["episode"]["id"].to_string();
            let before = standing.get(&id).map(|(standing, _): &(Value, Value)| standing.clone());
            let opens = before.is_none_or(|before| before == "withdrawn");
            assert_eq!(data["kind"] == "opened", opens, "seed {seed}: {row}");
            let episode = &data["episode"]["data"];
            let until = match data["standing"] == "closed" {
                true => episode["until"].clone(),
                false => Value::Null,
            };
            let stands = (data["standing"].clone(), until);
            match data["standing"] == "withdrawn" {
                true => standing.insert(id, stands),
                false if episode["decided"].is_null() && data["standing"] == "closed" => {
                    // A candidate that failed is no episode.
                    standing.insert(id, ("over".into(), Value::Null))
                }
                false => standing.insert(id, stands),
            };
        }
        standing.retain(|_, (stands, _)| *stands != "withdrawn" && *stands != "over");
        let holds = rows(&outputs.episodes).into_iter().map(|episode| {
            let until = episode["data"]["until"].clone();
            let stands = if until.is_null() { "open" } else { "closed" };
            (episode["id"].to_string(), (Value::from(stands), until))
        });
        assert_eq!(standing, holds.collect(), "seed {seed}: {}", case.show());
    }
}

/// The same bytes on any number of workers, in any blocks.
#[test]
fn what_is_told_is_the_same_however_it_is_made() {
    for seed in common::seeds(0..80) {
        let mut case = persistent_case(seed);
        vary(&mut case);
        let lab = lab(&case);
        let options = Options { tick_ns: case.spec.tick_ns, ..lab.options() };
        let replay = |options: &Options| {
            replaying(format!("seed {seed}, {options:?}"));
            let outputs = lab.replay(options);
            let told = fs::read(options.out.join("notifications.ndjson"));
            (outputs, told.expect("there are routes"))
        };
        let (first, first_told) = replay(&options);
        let mut random = Random::new(seed);
        let workers = 2 + random.below(3) as usize;
        let block_bytes = Some(200 + random.below(2_000) as usize);
        let (again, told) = replay(&Options { workers, block_bytes, ..options });
        again.assert_equal(&first, &format!("seed {seed}"));
        assert_same_lines(&told, &first_told, &format!("seed {seed}"));
    }
}

/// Brier scores and reliability, by their definitions.
#[test]
fn calibration_is_its_definition() {
    let mut compared = 0;
    for seed in common::seeds(0..120) {
        let mut case = persistent_case(seed);
        // A backtest has a tick of its own, and no end but that of the log.
        (case.spec.tick_ns, case.spec.until) = (100 * MS, None);
        let lab = lab(&case);
        let logs: Vec<_> = lab.logs.iter().map(|path| Log::file(path, 0)).collect();
        let out = lab.dir.path().join("calibration");
        let name = "rules.yaml".to_owned();
        let workers = 1 + seed as usize % 3;
        let asked = AskedOfOne { rules: &lab.rules, name, logs: &logs, out: &out, workers };
        replaying(format!("seed {seed}, for its calibration"));
        let (calibrated, _) = calibrate(&asked).unwrap_or_else(|failure| panic!("{failure}"));

        let Learned { expected, ended, .. } = learned(&case.spec, &case.partitions);
        // By rule and horizon.
        let mut wanted: BTreeMap<(usize, i64), Vec<Outcome>> = BTreeMap::new();
        for (key, ages) in &expected {
            let Some((until, is_all)) = ended.get(key) else { continue };
            for (age, odds) in ages {
                for (horizon, p) in odds.iter().filter(|(horizon, _)| age < horizon) {
                    let lasted = until - key.3 >= *horizon;
                    let lasted = (lasted || *is_all).then_some(lasted);
                    wanted.entry((key.0, *horizon)).or_default().push((*age, *p, lasted));
                }
            }
        }
        let show = || format!("seed {seed}: {calibrated:#?}\n{wanted:#?}\n{}", case.show());
        let found: BTreeSet<_> = calibrated.persistence.iter().map(|of| place(&case, of)).collect();
        assert_eq!(found, wanted.keys().copied().collect(), "{}", show());
        for of_rule in &calibrated.persistence {
            let all = &wanted[&place(&case, of_rule)];
            let reliability = &of_rule.reliability;
            let known: Vec<_> =
                all.iter().filter_map(|(_, p, lasted)| Some((*p, (*lasted)?))).collect();
            let scored = &reliability.all;
            assert_eq!(scored.faults as usize, known.len(), "{}", show());
            assert_eq!((scored.faults + scored.unknown) as usize, all.len(), "{}", show());
            let mean = |of: &dyn Fn(&(f64, bool)) -> f64| {
                known.iter().map(of).sum::<f64>() / known.len() as f64
            };
            let is = |found: Option<f64>, wanted: f64| {
                let close = found.map_or(known.is_empty(), |found| (found - wanted).abs() < 1e-9);
                assert!(close, "{found:?}, not {wanted}: {}", show());
            };
            let outcome = |lasted: bool| if lasted { 1.0 } else { 0.0 };
            let share = mean(&|(_, lasted)| outcome(*lasted));
            is(scored.brier, mean(&|(p, lasted)| (p - outcome(*lasted)).powi(2)));
            is(scored.brier_of_base_rate, mean(&|(_, lasted)| (share - outcome(*lasted)).powi(2)));
            let mut error = 0.0;
            for tenth in 0..10 {
                let within = |p: f64| (p * 10.0).floor().min(9.0) as i64 == tenth;
                let of_it: Vec<_> = known.iter().filter(|(p, _)| within(*p)).collect();
                let bin = reliability.bins.iter().find(|bin| within(bin.from + 0.05));
                assert_eq!(bin.map_or(0, |bin| bin.faults as usize), of_it.len(), "{}", show());
                let sums = of_it
                    .iter()
                    .fold((0.0, 0.0), |(p, lasted), of| (p + of.0, lasted + outcome(of.1)));
                error += (sums.0 - sums.1).abs() / known.len() as f64;
            }
            is(reliability.calibration_error, error);
            for at in &reliability.ages {
                let of_age = all.iter().filter(|(age, ..)| *age == at.age_ns).count();
                assert_eq!((at.scored.faults + at.scored.unknown) as usize, of_age, "{}", show());
            }
            compared += known.len();
        }
    }
    assert!(common::seeds(0..120).count() < 100 || compared > 500, "{compared}");
}

/// Of a fault its age, p, and whether it lasted, if that is known.
type Outcome = (i64, f64, Option<bool>);

fn place(case: &Case, of: &OfRule) -> (usize, i64) {
    let rule = case.spec.rules.iter().position(|rule| rule.name == of.rule);
    (rule.expect("it is a rule"), of.reliability.horizon_ns)
}
