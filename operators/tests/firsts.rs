//! The door against its definition: whatever the workers, batches and orders, the first of each
//! record passes at its logical time, and the others are told as repeats.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use differential_dataflow::input::InputSession;
use limbeck_operators::Event;
use limbeck_operators::firsts::{Repeat, Whole, by_key, firsts};
use limbeck_operators::hash::fixed_hash;
use limbeck_operators::machines::dedup::Fingerprinted;
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

fn run(parcels: &[Update<(u8, Parcel)>], workers: usize, batch: i64) -> (Passed, Repeated) {
    let parcels = Arc::new(parcels.to_vec());
    let told = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let sink = Arc::clone(&told);
    timely::execute(timely::Config::process(workers), move |worker| {
        let mut input = InputSession::new();
        worker.dataflow(|scope| {
            let received = firsts(
                input.to_collection(scope),
                "door",
                by_key(),
                |parcel: &Parcel| parcel.until,
                Whole::default(),
            );
            let (to_passed, to_repeats) = (Arc::clone(&sink), Arc::clone(&sink));
            received.firsts.inspect(move |update| to_passed.lock().unwrap().0.push(update.clone()));
            received.notes.inspect(move |update| to_repeats.lock().unwrap().1.push(update.clone()));
        });
        for from in (0..40).step_by(batch as usize) {
            // The last first: the order within a logical time is the door's to find.
            for (parcel, at, diff) in parcels.iter().rev() {
                let mine = fixed_hash(parcel) as usize % workers == worker.index();
                if mine && (from..from + batch).contains(at) {
                    input.update_at(parcel.clone(), *at, *diff);
                }
            }
            input.advance_to(from + batch);
            input.flush();
            worker.step();
        }
    })
    .unwrap()
    .join()
    .into_iter()
    .for_each(|worker| worker.unwrap());
    let (passed, repeated) = std::mem::take(&mut *told.lock().unwrap());
    (ordered(passed), ordered(repeated))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_first_passes(
        rows in prop::collection::vec((0u8..3, 0i64..40, 0u8..3, 0u8..2, 0i64..20), 0..60),
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
    }
}
