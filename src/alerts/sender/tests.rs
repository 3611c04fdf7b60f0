//! Senders of sinks that fail as they are told to.

use std::collections::BTreeMap;

use tempfile::tempdir;

use super::*;
use crate::durable::Disk;

/// A test ends long before.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Backoff =
    Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(4) };

/// What a sink has got, in order.
type Got = Arc<Mutex<Vec<Entry>>>;

/// A sink that answers by what it has got before.
struct Sink<F>(Got, F);

impl<F> Transport for Sink<F>
where
    F: Fn(&Entry, &[Entry]) -> Outcome + Send + Sync + 'static,
{
    fn send(&self, entry: &Entry) -> Outcome {
        let mut got = self.0.lock().expect("nobody panics");
        let outcome = (self.1)(entry, &got);
        if outcome == Outcome::Delivered {
            got.push(entry.clone());
        }
        outcome
    }
}

fn failed() -> Outcome {
    Outcome::Failed { reason: "not now".to_owned(), retry_after: None }
}

fn notifications(count: u64, lanes: u64) -> impl Iterator<Item = (u128, u64, String)> {
    (0..count).map(move |key| (u128::from(key), key % lanes, format!("{{\"key\":{key}}}")))
}

fn outbox(dir: &tempfile::TempDir) -> Outbox {
    Outbox::open(&Disk::default(), dir.path()).expect("an outbox can be opened")
}

fn drained(sender: &Sender, at_most: Duration) -> Delivery {
    sender.drain(now() + at_most, &Interrupt::default()).expect("the outbox is well")
}

fn keys_by_lane(got: &Got) -> BTreeMap<u64, Vec<u128>> {
    let mut lanes: BTreeMap<u64, Vec<u128>> = BTreeMap::new();
    for entry in got.lock().expect("nobody panics").iter() {
        lanes.entry(entry.lane).or_default().push(entry.key);
    }
    lanes
}

#[test]
fn each_is_delivered_once_in_the_order_of_its_lane() {
    let dir = tempdir().expect("a folder can be made");
    let got = Got::default();
    let attempts = Mutex::new(BTreeMap::<u128, u64>::new());
    let sink = Sink(Arc::clone(&got), move |entry: &Entry, _: &[Entry]| {
        let mut attempts = attempts.lock().expect("nobody panics");
        let attempt = attempts.entry(entry.key).or_default();
        *attempt += 1;
        match fixed_hash(&(entry.key, *attempt)) % 3 {
            0 if *attempt < 4 => failed(),
            _ => Outcome::Delivered,
        }
    });
    let sender = Sender::start(outbox(&dir), sink, SHORT);
    // More than are looked at at once, in several commits, some twice.
    for part in 1..=6 {
        sender.send(notifications(part * 100, 7)).expect("the outbox is well");
    }
    let delivery = drained(&sender, LONG);
    assert_eq!((delivery.delivered, delivery.refused, delivery.left), (600, 0, 0));
    let lanes = keys_by_lane(&got);
    assert_eq!(lanes.len(), 7);
    for (lane, keys) in lanes {
        let wanted: Vec<_> = (0..600).filter(|key| key % 7 == u128::from(lane)).collect();
        assert_eq!(keys, wanted, "lane {lane}");
    }
}

#[test]
fn a_lane_that_fails_holds_up_no_other() {
    let dir = tempdir().expect("a folder can be made");
    let got = Got::default();
    // The first lane fails until all others have come.
    let sink = Sink(Arc::clone(&got), |entry: &Entry, got: &[Entry]| {
        match entry.lane == 0 && got.iter().filter(|entry| entry.lane > 0).count() < 30 {
            true => failed(),
            false => Outcome::Delivered,
        }
    });
    let sender = Sender::start(outbox(&dir), sink, SHORT);
    sender.send(notifications(40, 4)).expect("the outbox is well");
    let delivery = drained(&sender, LONG);
    assert_eq!((delivery.delivered, delivery.left), (40, 0));
    assert!(keys_by_lane(&got).values().all(|keys| keys.is_sorted()));
}

#[test]
fn what_is_refused_is_kept_aside_and_the_next_goes_on() {
    let dir = tempdir().expect("a folder can be made");
    let got = Got::default();
    let sink = Sink(Arc::clone(&got), |entry: &Entry, _: &[Entry]| match entry.key % 10 {
        3 => Outcome::Refused { reason: "it answered 400: \"no\"".to_owned() },
        _ => Outcome::Delivered,
    });
    let sender = Sender::start(outbox(&dir), sink, SHORT);
    sender.send(notifications(20, 1)).expect("the outbox is well");
    let delivery = drained(&sender, LONG);
    assert_eq!((delivery.delivered, delivery.refused, delivery.left), (18, 2, 0));
    let aside =
        std::fs::read_to_string(dir.path().join("undeliverable.ndjson")).expect("it is text");
    let wanted = [3, 13].map(|key| {
        format!(
            "{{\"reason\":\"it answered 400: \\\"no\\\"\",\"notification\":{{\"key\":{key}}}}}\n"
        )
    });
    assert_eq!(aside, wanted.concat());
}

#[test]
fn what_is_left_is_sent_by_the_next() {
    let dir = tempdir().expect("a folder can be made");
    let sink = Sink(Got::default(), |entry: &Entry, _: &[Entry]| match entry.key {
        0 => Outcome::Delivered,
        _ => failed(),
    });
    let sender = Sender::start(outbox(&dir), sink, SHORT);
    sender.send(notifications(1, 2)).expect("the outbox is well");
    assert_eq!(drained(&sender, LONG).delivered, 1);
    drop(sender);
    // Whoever sent has let go of the folder when its threads have ended.
    let reopened = || loop {
        if let Ok(outbox) = Outbox::open(&Disk::default(), dir.path()) {
            return outbox;
        }
        thread::yield_now();
    };
    let sink = Sink(Got::default(), |_: &Entry, _: &[Entry]| failed());
    let sender = Sender::start(reopened(), sink, SHORT);
    sender.send(notifications(10, 2)).expect("the outbox is well");
    let delivery = drained(&sender, Duration::ZERO);
    assert_eq!((delivery.delivered, delivery.left), (0, 9));
    drop(sender);
    let got = Got::default();
    let sink = Sink(Arc::clone(&got), |_: &Entry, _: &[Entry]| Outcome::Delivered);
    let sender = Sender::start(reopened(), sink, SHORT);
    let delivery = drained(&sender, LONG);
    assert_eq!((delivery.delivered, delivery.left), (9, 0));
    let lanes = keys_by_lane(&got);
    assert_eq!(lanes[&0], [2, 4, 6, 8]);
    assert_eq!(lanes[&1], [1, 3, 5, 7, 9]);
}

#[test]
fn waits_grow_and_are_the_same_for_the_same() {
    let backoff = Backoff::default();
    let mut seen = Vec::new();
    for attempts in 1..40 {
        let at_most = Duration::from_millis(500 << (attempts - 1).min(7)).min(backoff.longest);
        for key in 0..20 {
            let wait = backoff.wait(key, attempts, None);
            assert!(at_most / 2 <= wait && wait < at_most, "{wait:?} after {attempts}");
            assert_eq!(wait, backoff.wait(key, attempts, None));
            seen.push(wait);
        }
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() > 500, "they are spread");
    let asked = |seconds| backoff.wait(1, 1, Some(Duration::from_secs(seconds)));
    assert_eq!(asked(90), Duration::from_secs(90));
    assert_eq!(asked(1 << 40), RETRY_AFTER_MAX);
    assert_eq!(asked(0), backoff.wait(1, 1, None));
}
