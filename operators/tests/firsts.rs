//! The door against its definition: whatever the workers, batches and orders, the first of each
//! record passes at its logical time, and the others are told as repeats.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use differential_dataflow::input::InputSession;
use limbeck_operators::Event;
use limbeck_operators::firsts::{Firsts, Repeat, Whole, by_key};
use limbeck_operators::hash::fixed_hash;
use limbeck_operators::machines::dedup::Fingerprinted;
use limbeck_operators::snapshots::{Snapshot, Snapshots};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

/// Ordered by when it is received, then by place; the same record if its number is the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Parcel {
    received: i64,
    place: u32,
    number: u8,
    content: u8,
    until: i64,
}

impl Event for Parcel {
    fn time(&self) -> i64 {
        self.received
    }
}

impl Fingerprinted for Parcel {
    fn fingerprint(&self) -> u128 {
        u128::from(self.number)
    }

    fn content(&self) -> u64 {
        u64::from(self.content)
    }
}

/// Logical time goes in steps of this.
const TICK: i64 = 5;

type Update<D> = (D, i64, isize);
type Passed = Vec<Update<(u8, Parcel)>>;
type Repeated = Vec<Update<(u8, Repeat)>>;

/// One parcel after the other, by logical time and place.
fn naive(parcels: &[Update<(u8, Parcel)>]) -> (Passed, Repeated) {
    let mut sorted = parcels.to_vec();
    sorted.sort_by(|one, other| (one.1, &one.0.1).cmp(&(other.1, &other.0.1)));
    let mut lasting: BTreeMap<(u8, u8), Parcel> = BTreeMap::new();
    let (mut passed, mut repeated) = (Vec::new(), Vec::new());
    for ((key, parcel), at, _) in sorted {
        match lasting.get(&(key, parcel.number)) {
            Some(first) if first.until > parcel.received => {
                let fingerprint = parcel.fingerprint();
                let conflict = first.content != parcel.content;
                repeated.push(((key, Repeat { fingerprint, conflict }), at, 1));
            }
            _ => {
                lasting.insert((key, parcel.number), parcel.clone());
                passed.push(((key, parcel), at, 1));
            }
        }
    }
    (ordered(passed), ordered(repeated))
}

fn ordered<D: Ord + Clone>(mut updates: Vec<Update<D>>) -> Vec<Update<D>> {
    differential_dataflow::consolidation::consolidate_updates(&mut updates);
    updates.sort();
    updates
}

/// How long time goes on.
const END: i64 = 40;

fn run(parcels: &[Update<(u8, Parcel)>], workers: usize, batch: i64) -> (Passed, Repeated) {
    let (passed, repeated, _) = part(parcels, (workers, batch), (0, END), None);
    (ordered(passed), ordered(repeated))
}

/// Stops at a logical time, and goes on with other workers.
fn run_interrupted(
    parcels: &[Update<(u8, Parcel)>],
    (workers, others): (usize, usize),
    cut: i64,
) -> (Passed, Repeated) {
    let (mut passed, mut repeated, saved) = part(parcels, (workers, TICK), (0, cut), None);
    let rest = part(parcels, (others, 3 * TICK), (cut, END), Some(saved.into()));
    passed.extend(rest.0);
    repeated.extend(rest.1);
    (ordered(passed), ordered(repeated))
}

/// What is told from one logical time to another, and what is remembered then.
fn part(
    parcels: &[Update<(u8, Parcel)>],
    (workers, batch): (usize, i64),
    (start, end): (i64, i64),
    restored: Option<Arc<[Snapshot<u128>]>>,
) -> (Passed, Repeated, Vec<Snapshot<u128>>) {
    let parcels = Arc::new(parcels.to_vec());
    let told = Arc::new(Mutex::new((Vec::new(), Vec::new(), Vec::new())));
    let sink = Arc::clone(&told);
    timely::execute(timely::Config::process(workers), move |worker| {
        let mut input = InputSession::new();
        let snapshots = Snapshots::new();
        snapshots.request(end);
        let probe = worker.dataflow(|scope| {
            let mut door = Firsts::new("door", |parcel: &Parcel| parcel.until, Whole::default())
                .with_snapshots(&snapshots);
            if let Some(parts) = &restored {
                door = door.restore_from(Arc::clone(parts));
            }
            let received = door.build(input.to_collection(scope), by_key());
            let (to_passed, to_repeats) = (Arc::clone(&sink), Arc::clone(&sink));
            received.firsts.inspect(move |update| to_passed.lock().unwrap().0.push(update.clone()));
            let repeats = received
                .notes
                .inspect(move |update| to_repeats.lock().unwrap().1.push(update.clone()));
            repeats.probe().0
        });
        input.advance_to(start);
        input.flush();
        for from in (start..end).step_by(batch as usize) {
            // The last first: the order within a logical time is the door's to find.
            for (parcel, at, diff) in parcels.iter().rev() {
                let mine = fixed_hash(parcel) as usize % workers == worker.index();
                if mine && (from..end.min(from + batch)).contains(at) {
                    input.update_at(parcel.clone(), *at, *diff);
                }
            }
            input.advance_to(end.min(from + batch));
            input.flush();
            worker.step();
        }
        worker.step_while(|| probe.less_than(&end));
        sink.lock().unwrap().2.extend(snapshots.take());
    })
    .unwrap()
    .join()
    .into_iter()
    .for_each(|worker| worker.unwrap());
    let mut told = told.lock().unwrap();
    std::mem::take(&mut *told)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_first_passes(
        rows in prop::collection::vec((0u8..3, 0..END, 0u8..3, 0u8..2, 0i64..20), 0..60),
        cut in 0..END / TICK,
    ) {
        let parcels: Vec<_> = rows
            .into_iter()
            .enumerate()
            .map(|(place, (key, received, number, content, lasts))| {
                let (place, until) = (place as u32, received + lasts);
                let at = received - received % TICK;
                ((key, Parcel { received, place, number, content, until }), at, 1)
            })
            .collect();
        let expected = naive(&parcels);
        for (workers, batch) in [(1, 1), (1, 40), (2, 7), (4, 3)] {
            prop_assert_eq!(&run(&parcels, workers, batch), &expected);
        }
        for (workers, cut) in [((1, 2), cut), ((2, 4), 0), ((4, 1), cut)] {
            prop_assert_eq!(&run_interrupted(&parcels, workers, TICK * cut), &expected);
        }
    }
}
