//! The replay against the oracle: all that both say of small adversarial logs must be equal.
//!
//! Each seed is a log of one to three partitions with its rules; workers, tick, `until` and the
//! size of blocks are drawn anew. `LIMBECK_SEEDS=FROM..TO` replays other seeds, `LIMBECK_SEEDS=N`
//! one.

mod common;
mod oracle;

use std::collections::BTreeMap;

use common::{Lab, Outputs, replaying, rows};
use oracle::accounts::told;
use oracle::logs::{BASE, Case, Random, case};
use oracle::published::{episode, instant};
use oracle::{Disposition, Episode, Expected, MS, S, Spec, Suppressed, expected};
use serde_json::Value;

/// What a replay said, in the words of the oracle.
#[derive(Debug, PartialEq)]
struct Said {
    episodes: Vec<Episode>,
    updates: BTreeMap<i64, Vec<(Episode, i64)>>,
    counts: BTreeMap<String, u64>,
    dead_letters: Vec<(usize, usize)>,
    suppressed: BTreeMap<String, Suppressed>,
    sources: Vec<Value>,
}

fn said(lab: &Lab, outputs: &Outputs) -> Said {
    let mut updates: BTreeMap<i64, Vec<(Episode, i64)>> = BTreeMap::new();
    for row in rows(&outputs.updates) {
        let diff = row["diff"].as_i64().expect("a difference is a number");
        updates.entry(instant(&row["at"])).or_default().push((episode(&row["artifact"]), diff));
    }
    updates.values_mut().for_each(|changes| changes.sort());
    let summary = outputs.summary.as_object().expect("an object");
    // What a condition cannot judge is not the contract's matter.
    let others = ["condition_errors", "label_overflows"];
    let summary = summary.iter().filter(|(name, _)| !others.contains(&name.as_str()));
    let numbers = summary.filter_map(|(name, value)| Some((name.clone(), value.as_u64()?)));
    Said {
        episodes: rows(&outputs.episodes).iter().map(episode).collect(),
        updates,
        counts: numbers.collect(),
        dead_letters: rows(&outputs.dead_letters).iter().map(|row| place(lab, row)).collect(),
        suppressed: suppressed(&outputs.summary["suppressed"]),
        sources: outputs.summary["sources"].as_array().expect("a list").clone(),
    }
}

fn place(lab: &Lab, row: &Value) -> (usize, usize) {
    let file = row["file"].as_str().expect("a file is a text");
    let partition = lab.logs.iter().position(|path| path.to_str() == Some(file));
    let line = row["line"].as_u64().expect("a line is a number") as usize;
    assert!(row["column"].as_u64().is_some_and(|column| column > 0), "{row}");
    assert_ne!(row["reason"], "", "{row}");
    (partition.expect("a dead letter is of a log"), line)
}

fn suppressed(value: &Value) -> BTreeMap<String, Suppressed> {
    let count = |reasons: &Value, reason: &str| reasons[reason].as_u64().unwrap_or(0) as usize;
    let rules = value.as_object().expect("suppressed is by rule").iter();
    let sums = rules.map(|(rule, reasons)| {
        let known = ["hold", "keep", "expired", "dedup", "rate", "quorum", "flap_damping", "grace"];
        assert!(reasons.as_object().expect("by reason").keys().all(|r| known.contains(&&**r)));
        let (hold, expired) = (count(reasons, "hold"), count(reasons, "expired"));
        let (keep, dedup) = (count(reasons, "keep"), count(reasons, "dedup"));
        let (damped, spared) = (count(reasons, "flap_damping"), count(reasons, "grace"));
        let (unrated, outvoted) = (count(reasons, "rate"), count(reasons, "quorum"));
        let withheld = Suppressed { unrated, outvoted, damped, spared, ..Suppressed::default() };
        (rule.clone(), Suppressed { hold, keep, expired, dedup, ..withheld })
    });
    sums.filter(|(_, sum)| *sum != Suppressed::default()).collect()
}

/// What the oracle wants to be said.
fn wanted(spec: &Spec, expected: &Expected) -> Said {
    let counts = &expected.counts;
    let counts = [
        ("records", counts.records),
        ("used", counts.used),
        ("late", counts.late),
        ("duplicates", counts.duplicates),
        ("conflicts", counts.conflicts),
        ("dead_letters", counts.dead_letters),
        ("unmatched", counts.unmatched),
        ("episodes", expected.episodes.len()),
        ("updates", expected.updates.values().map(Vec::len).sum()),
    ];
    let suppressed = expected.suppressed.iter();
    Said {
        episodes: expected.episodes.clone(),
        updates: expected.updates.clone(),
        counts: counts.map(|(name, count)| (name.to_owned(), count as u64)).into(),
        dead_letters: expected.dead_letters.clone(),
        suppressed: suppressed
            .filter(|(_, sum)| **sum != Suppressed::default())
            .map(|(rule, sum)| (rule.clone(), *sum))
            .collect(),
        sources: told(spec, &expected.accounts),
    }
}

/// How the case of a seed is replayed: its own tick and end, or others.
fn vary(case: &mut Case) -> (usize, Option<usize>) {
    let mut random = Random::new(!case.seed);
    if random.chance(60) {
        case.spec.tick_ns = *random.pick(&[MS, 100 * MS, S, 10 * S]);
    }
    match random.below(10) {
        0 => case.spec.until = Some(BASE + random.up_to(40_000) * MS),
        1 => case.spec.until = Some(BASE + random.up_to(40_000) * MS + 1),
        2 => case.spec.until = Some(BASE + 120 * S + random.up_to(20_000) * MS),
        _ => {}
    }
    let workers = *random.pick(&[1, 1, 2, 4]);
    let block_bytes = *random.pick(&[None, Some(4), Some(100), Some(700)]);
    (workers, block_bytes)
}

fn check(seed: u64) -> Said {
    let mut case = case(seed);
    let (workers, block_bytes) = vary(&mut case);
    let lab = Lab::new(&case.yaml, &case.partitions);
    let mut options = lab.options();
    options.workers = workers;
    options.block_bytes = block_bytes;
    options.tick_ns = case.spec.tick_ns;
    options.until_ns = case.spec.until;
    replaying(format!("seed {seed} on {workers} workers"));
    let outputs = lab.replay(&options);
    let said = said(&lab, &outputs);
    let expected = expected(&case.spec, &case.partitions);
    let wanted = wanted(&case.spec, &expected);
    let show = || {
        let dispositions: Vec<_> =
            expected.dispositions.iter().filter(|(_, d)| **d != Disposition::Used).collect();
        format!("{workers} workers, {}\nthe oracle: {dispositions:#?}", case.show())
    };
    assert_eq!(said.counts, wanted.counts, "{}", show());
    assert_eq!(said.dead_letters, wanted.dead_letters, "{}", show());
    assert_eq!(said.suppressed, wanted.suppressed, "{}", show());
    assert_eq!(said.sources, wanted.sources, "{}", show());
    assert_eq!(said.episodes, wanted.episodes, "{}", show());
    assert_eq!(said.updates, wanted.updates, "{}", show());
    said
}

#[test]
fn a_replay_says_what_the_oracle_says() {
    let (mut said_anything, mut amended, mut all) = (0, 0, 0);
    for seed in common::seeds(0..600) {
        let said = check(seed);
        all += 1;
        said_anything += u32::from(!said.episodes.is_empty());
        let withdrawn = said.updates.values().flatten().any(|(_, diff)| *diff < 0);
        amended += u32::from(withdrawn);
    }
    // The comparison is worth something only where there is something to compare.
    assert!(
        all < 100 || (said_anything > all / 2 && amended > all / 4),
        "{said_anything} {amended}"
    );
}
