//! What is known of clocks and numbers, on records whose truth is known. The replay tests hold whole
//! accounts against an oracle.

use std::num::NonZeroU64;

use proptest::prelude::*;

use super::clock::{AGREE_NS, Clock, SPAN_NS, SPAN_RECORDS_MIN};
use super::sequence::{AGAIN, Sequence, WINDOW};
use super::*;
use crate::model::account::Numbers;

const S: i64 = 1_000_000_000;

/// What the numbers tell, each given with its event time.
fn numbers(told: impl IntoIterator<Item = (u64, i64)>) -> Numbers {
    let mut sequence = Sequence::new();
    let mut latest = i64::MIN;
    for (number, time) in told {
        sequence.see(number, time > latest);
        latest = latest.max(time);
    }
    sequence.numbers()
}

/// Missing numbers and restarts of what comes in the order of event time.
fn in_order(told: &[u64]) -> (u64, u64) {
    let Numbers { missing, restarts, .. } = numbers((0..).zip(told).map(|(at, n)| (*n, at)));
    (missing, restarts)
}

#[test]
fn missing_numbers_are_those_between_that_never_come() {
    for (told, missing, restarts) in [
        (&[][..], 0, 0),
        (&[7], 0, 0),
        (&[7, 8, 9], 0, 0),
        (&[7, 9], 1, 0),
        (&[7, 9, 8], 0, 0),
        (&[7, 9, 9, 7, 9], 1, 0),
        // Before the first nothing is missing.
        (&[7, 3, 8], 0, 0),
        // At the edge of what is remembered, and one beyond it.
        (&[1, 1 + WINDOW, 2], WINDOW - 2, 0),
        (&[1, 2 + WINDOW, 3], WINDOW - 1, 0),
        (&[1, 3, 3 + WINDOW, 2], WINDOW, 1),
        // Counting begins anew: with what is still missing.
        (&[5_000, 5_002, 1, 2, 3], 1, 1),
        (&[u64::MAX - 1, u64::MAX, 1, u64::MAX], u64::MAX - 2, 1),
        (&[u64::MAX, 1, u64::MAX, 1, u64::MAX], u64::MAX, 2),
        // From close by, too, once it is clear.
        (&lives(&[1..=200, 1..=AGAIN as u64 - 1]), 0, 0),
        (&lives(&[1..=200, 1..=AGAIN as u64]), 0, 1),
        (&lives(&[1..=200, 1..=200, 1..=200]), 0, 2),
        (&lives(&[1..=900, 1..=3, 400..=699]), 396, 1),
    ] {
        assert_eq!(in_order(told), (missing, restarts), "{told:?}");
    }
}

fn lives(lives: &[std::ops::RangeInclusive<u64>]) -> Vec<u64> {
    lives.iter().cloned().flatten().collect()
}

/// Two entities that count for themselves, in turn or one after the other.
#[test]
fn what_comes_again_need_not_be_a_restart() {
    let in_turn =
        (1..500).flat_map(|number| [(number, 2 * number as i64), (number, 2 * number as i64 + 1)]);
    let delivered_again =
        lives(&[1..=200, 1..=200]).into_iter().map(|number| (number, number as i64));
    for told in [in_turn.collect::<Vec<_>>(), delivered_again.collect()] {
        let Numbers { missing, restarts, .. } = numbers(told);
        assert_eq!((missing, restarts), (0, 0));
    }
}

/// What came before the others and is far from them belongs to what is over.
#[test]
fn numbers_far_away_count_if_they_are_new() {
    let restart = [(9_000, 10), (9_001, 11), (1, 20), (9_002, 12), (2, 21), (3, 22)];
    let wanted = Numbers { numbered: 6, strays: 1, missing: 0, restarts: 1 };
    assert_eq!(numbers(restart), wanted);
    let again = [(9_000, 10), (9_001, 11), (1, 1), (2, 2), (9_002, 12)];
    let wanted = Numbers { numbered: 5, strays: 2, missing: 0, restarts: 0 };
    assert_eq!(numbers(again), wanted);
}

#[test]
fn numbers_of_several_entities_are_no_sequence_of_the_source() {
    let of_one = (0..100).map(|number| (number, number as i64));
    let twice = of_one.clone().flat_map(|told| [told; 2]);
    let of_four = of_one.clone().flat_map(|told| [told; 4]);
    assert!(numbers(of_one).are_one_sequence());
    assert!(numbers(twice).are_one_sequence());
    assert!(!numbers(of_four).are_one_sequence());
    assert!(!Numbers::default().are_one_sequence());
}

fn head(arrival_ns: i64, event_time_ns: i64, sequence: u64) -> Head {
    Head {
        line: 1,
        arrival_ns,
        event_time_ns,
        sequence: NonZeroU64::new(sequence),
        source: 0,
        text: (0, 0),
        worker: None,
        matched: true,
        dated: true,
        condition_errors: 0,
    }
}

#[test]
fn of_many_sources_the_first_are_kept_apart() {
    for corrects in [false, true] {
        let mut accounts = Accounts::new(S, corrects, 2);
        let mut corrections = Vec::new();
        for (turn, name) in ["a", "b", "c", "d", "c", "a"].into_iter().enumerate() {
            let arrival_ns = turn as i64 * S;
            let number = accounts.number(&name.into());
            let head = head(arrival_ns, arrival_ns - 7 * S, 10 - turn as u64);
            corrections.push(accounts.enter(number, &head, arrival_ns) / S);
        }
        // One that has no record that counts is not told.
        accounts.number(&"e".into());
        let mut told = accounts.close();
        let (a, b) = (told.next().expect("a"), told.next().expect("b"));
        assert_eq!((a.0.as_deref(), b.0.as_deref()), (Some("a"), Some("b")));
        assert_eq!((a.1.records, b.1.records), (2, 1));
        assert_eq!(a.1.offset_ns, Some((7 * S, 7 * S)));
        let late = if corrects { 0 } else { 2 };
        assert_eq!(a.1.late, late);
        let others = Account { records: 3, late: 3, ..Account::default() };
        assert_eq!(told.next(), Some((None, others)));
        assert_eq!(told.next(), None);
        let wanted = if corrects { [7, 7, 0, 0, 0, 7] } else { [0; 6] };
        assert_eq!(corrections, wanted);
    }
}

/// Follows records that are said to have happened at some time and took so long.
fn estimate(records: impl IntoIterator<Item = (i64, i64)>) -> Clock {
    let mut clock = Clock::new();
    for (said_ns, arrival_ns) in records {
        clock.see(arrival_ns, arrival_ns.saturating_sub(said_ns));
    }
    clock
}

#[test]
fn one_absurd_time_moves_nothing_but_itself() {
    let usual = |at: i64| (at * S, at * S + S / 10);
    let mut clock = estimate((0..40).map(usual));
    clock.see(41 * S, 41 * S - 3_600 * S);
    assert_eq!(clock.corrected(41 * S, 3_600 * S), 41 * S, "nothing happens after it arrived");
    let (said, arrival) = usual(42);
    clock.see(arrival, arrival - said);
    assert_eq!(clock.corrected(arrival, said), arrival);
    // A clock that was set is followed with the second record.
    for at in 43..45 {
        clock.see(at * S, -60 * S);
    }
    assert_eq!(clock.corrected(45 * S, 105 * S), 45 * S);
    assert_eq!(clock.range().0, -60 * S);
}

/// What was sent before the silence and what waited in it come together, all of it old.
#[test]
fn a_backlog_after_a_silence_is_no_clock() {
    let before = (0..400).map(|at| (at * S, at * S + S / 10));
    let waited = (400..4_000).map(|at| (at * S, 4_000 * S + at * 10_000_000));
    let mut clock = estimate(before.chain(waited));
    let (said, arrival) = (4_000 * S, 4_041 * S);
    clock.see(arrival, arrival - said);
    assert_eq!(clock.corrected(arrival, said), said + S / 10);
}

/// A clock that is set back is followed when a span has passed since.
#[test]
fn the_estimate_rises_with_the_clock() {
    let spans = SPAN_NS / S;
    let fast = (0..spans).map(|at| (at * S + 60 * S, at * S));
    let right = (spans..2 * spans).map(|at| (at * S, at * S));
    let mut clock = estimate(fast.chain(right));
    let (said, arrival) = (2 * SPAN_NS - S, 2 * SPAN_NS);
    assert_eq!(clock.corrected(arrival, said), said - 60 * S);
    clock.see(2 * SPAN_NS, 0);
    assert_eq!(clock.corrected(arrival, said), said);
    assert_eq!(clock.range(), (-60 * S, 0));
}

proptest! {
    /// A clock that is off by a constant is known up to the smallest delay, and what is corrected is
    /// in the order of what happened, as far as delays are.
    #[test]
    fn a_constant_offset_is_known_up_to_the_smallest_delay(
        offset in -1_000 * S..1_000 * S,
        delays in prop::collection::vec(0..5 * S, 2..200),
    ) {
        let mut records: Vec<_> = (0..)
            .zip(&delays)
            .map(|(at, delay)| (at * S - offset, at * S + delay))
            .collect();
        records.sort_by_key(|(_, arrival)| *arrival);
        let mut sorted = delays;
        sorted.sort_unstable();
        let agree = sorted[1] - sorted[0] <= AGREE_NS;
        let known = if agree { sorted[0] } else { sorted[1] };
        prop_assert_eq!(estimate(records.iter().copied()).range(), (offset + known, offset + known));

        let mut clock = Clock::new();
        for (said, arrival) in &records {
            clock.see(*arrival, arrival - said);
            let (truth, corrected) = (said + offset, clock.corrected(*arrival, *said));
            prop_assert!((truth..=*arrival).contains(&corrected));
        }
    }

    /// Whatever the order within the window, the missing are those that were left out.
    #[test]
    fn disorder_fills_its_own_holes(
        first in prop_oneof![1u64..10_000, u64::MAX - 5_000..u64::MAX - 3_000],
        shuffled in prop::collection::vec((0u64..900, prop::bool::weighted(0.1)), 1..2_000),
    ) {
        let mut order: Vec<_> = (first..).zip(shuffled).map(|(n, (by, out))| (n + by, n, out)).collect();
        order.sort_unstable();
        let told: Vec<_> = order.iter().filter(|(.., out)| !out).map(|(_, n, _)| *n).collect();
        let (Some(least), Some(most)) = (told.iter().min(), told.iter().max()) else { return Ok(()) };
        // Those before the first to come are not missed.
        let begin = told[0];
        let come = told.iter().filter(|n| **n >= begin).count() as u64;
        prop_assert!(begin - least < WINDOW);
        let got = numbers(told.iter().map(|n| (*n, *n as i64)));
        prop_assert_eq!((got.missing, got.restarts), (most - begin + 1 - come, 0));
    }
}

#[test]
fn a_span_has_records_enough() {
    let sparse = (0..i64::try_from(SPAN_RECORDS_MIN).expect("a small number"))
        .map(|at| (at * SPAN_NS, at * SPAN_NS + if at == 0 { 0 } else { S / 2 }));
    let clock = estimate(sparse);
    assert_eq!(clock.range(), (0, 0), "the first is in the span yet");
}
