//! Two rule files over one log: which episodes only one of them tells, and which it tells otherwise.
//!
//! Guarantees: what is compared is what a replay with each rule file would write to
//! `episodes.ndjson`; the outputs depend on the log and the rules alone. The log is decoded and
//! replayed once if both files read it in the same way (`merged`), and once for each otherwise.
//! State: an external sort of the episodes, and those of one signal, entity and state.
//!
//! One rule file alone: whether what it expects of its faults is what becomes of them (`calibrate`).
//!
//! - `matching`: which episodes are the same; `merged`: two rule files as one.
//! - `difference`: what is told of a pair; `table`: what all of it comes to.

mod calibrate;
mod difference;
mod matching;
mod merged;
mod table;

use std::path::Path;

pub use self::calibrate::{Asked as AskedOfOne, Calibrated, OfRule, calibrate, reliability_table};
pub use self::difference::{By, Compared, Counts};
use self::difference::{Found, compare};
pub use self::matching::{Span, matched};
pub use self::merged::Pair;
pub use self::table::table;
use crate::model::episode::{Catalog, Episode};
use crate::pipeline::Gathered;
use crate::replay::memory::{How, collect};
use crate::replay::{Failure, Log};
use crate::rules::Rules;
use crate::sinks::{OutputDir, OutputError, Sorter};
use crate::sources::intake::{Matcher, Partition, Traced};
use crate::sources::{InputError, Interrupt};

/// The files that are written; the last is there only when the others are whole.
pub const OUTPUTS: [&str; 2] = ["differences.ndjson", "summary.json"];
/// What holds at the end does not depend on it.
const TICK_NS: i64 = 100_000_000;
const SORT_BYTES_MAX: usize = 16 << 20;

/// What is compared, and how.
pub struct Asked<'a> {
    /// The rule files, and what they are called.
    pub pair: &'a Pair,
    /// What A and B are called.
    pub names: [String; 2],
    /// The logs, with the sources of A and of B that read them.
    pub logs: [&'a [Log]; 2],
    /// The directory for the outputs.
    pub out: &'a Path,
    /// On how many workers.
    pub workers: usize,
}

/// Compares, and writes the outputs.
///
/// # Errors
/// [`Failure`], if there are no outputs.
pub fn backtest(asked: &Asked<'_>) -> Result<(Compared, Vec<InputError>), Failure> {
    let Asked { pair: Pair { rules, merged }, names, logs, out, workers } = asked;
    let dir = OutputDir::create(out)?;
    let mut found = Sorter::new(dir.path(), SORT_BYTES_MAX, Found::heap_bytes);
    let (mut damaged, mut clock_ns) = (Vec::new(), None);
    let passes: Vec<_> = match merged {
        Ok(merged) => vec![(merged, logs[0], &rules[..], 0)],
        Err(_) => (0..2).map(|n| (&rules[n], logs[n], &rules[n..=n], n)).collect(),
    };
    for (all, logs, own, first) in &passes {
        let pass = Pass { found, owners: owners(all, own, *first), failed: None };
        let (pass, outcome) = replay(all, logs, pass, *workers)?;
        found = pass.found;
        pass.failed.map_or(Ok(()), Err)?;
        clock_ns = clock_ns.max(outcome.clock);
        damaged = outcome.damaged;
    }
    let mut differences = dir.file(OUTPUTS[0])?;
    let mut compared = compare(found, clock_ns, &mut differences)?;
    compared.rules = names.clone();
    compared.read_twice = merged.as_ref().err().cloned();
    compared.complete = damaged.is_empty();
    let mut summary = dir.file(OUTPUTS[1])?;
    let mut text = serde_json::to_vec_pretty(&compared).expect("plain values encode");
    text.push(b'\n');
    summary.put(&text)?;
    dir.commit(vec![differences, summary], &[])?;
    damaged.sort_by_key(|error: &InputError| error.input().to_owned());
    Ok((compared, damaged))
}

/// Opens logs, each as a partition.
fn open(rules: &Rules, logs: &[Log]) -> Result<Vec<Partition>, InputError> {
    let open = |(number, log): (usize, &Log)| {
        log.has_all_from(None)?;
        log.open(Log::number(logs, number), rules, &Interrupt::default())
    };
    logs.iter().enumerate().map(open).collect()
}

/// Replays logs into the sort of a pass.
fn replay(
    rules: &Rules,
    logs: &[Log],
    pass: Pass,
    workers: usize,
) -> Result<(Pass, crate::sources::intake::Outcome), Failure> {
    let partitions = open(rules, logs)?;
    let how = How { tick_ns: TICK_NS, until_ns: None, traced: Traced::Nothing, workers };
    let (pass, outcome) =
        collect(partitions, &Matcher::new(rules), how, Some(pass), |pass, gathered| {
            let Some(pass) = pass else { return };
            if let Gathered::Episodes(updates) | Gathered::Candidates { episodes: updates, .. } =
                gathered
            {
                pass.take(updates);
            }
        })?;
    Ok((pass.expect("it was there"), outcome))
}

/// What a pass over the log finds.
struct Pass {
    found: Sorter<Found>,
    owners: Vec<Owner>,
    /// Why it is not all.
    failed: Option<OutputError>,
}

/// Whose a rule of a pass is, by its rank there.
struct Owner {
    of_b: bool,
    catalog: Catalog,
    /// The ranks of signal, rule and state there, by the rank of the state here.
    ranks: Vec<(u16, u16, u16)>,
}

/// Whose the rules of a pass are, by rank: those of one rule file after another, B from number 1.
fn owners(all: &Rules, own: &[Rules], first: usize) -> Vec<Owner> {
    let catalog = Catalog::new(all);
    let mut owners: Vec<(u16, Owner)> = Vec::new();
    let numbers = own
        .iter()
        .enumerate()
        .flat_map(|(file, rules)| (0..rules.rules.len()).map(move |number| (file, rules, number)));
    for (place, (file, rules, number)) in numbers.enumerate() {
        let of_file = Catalog::new(rules);
        let states = rules.signals[rules.rules[number].signal].state_names().count();
        let mut ranks: Vec<_> = (0..states as u16)
            .map(|state| (catalog.ranks(place, state).2, of_file.ranks(number, state)))
            .collect();
        ranks.sort_unstable();
        let ranks = ranks.into_iter().map(|(_, own)| own).collect();
        let owner = Owner { of_b: first + file == 1, catalog: of_file, ranks };
        owners.push((catalog.ranks(place, 0).1, owner));
    }
    owners.sort_by_key(|(rank, _)| *rank);
    owners.into_iter().map(|(_, owner)| owner).collect()
}

impl Pass {
    fn take(&mut self, updates: Vec<crate::pipeline::Update<Episode>>) {
        for (episode, _, diff) in updates {
            let owner = &self.owners[usize::from(episode.rule)];
            let (signal, rule, state) = owner.ranks[usize::from(episode.state)];
            let own = Episode { signal, rule, state, ..episode };
            let pushed = self.found.push(Found::new(owner.of_b, &owner.catalog, &own), diff as i64);
            if let (Err(error), None) = (pushed, &self.failed) {
                self.failed = Some(error);
            }
        }
    }
}
