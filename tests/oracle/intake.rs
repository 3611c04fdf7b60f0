//! Arrival, the clock, and one disposition for each record.

use std::collections::BTreeMap;

use super::accounts::{Account, accounts, set_times};
use super::decode::{Record, decode, is_blank};
use super::{S, Spec};

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// Unreadable, or its arrival jumps: and why.
    DeadLetter(String),
    Unmatched,
    Late,
    Duplicate {
        conflict: bool,
    },
    Used,
}

/// A record that some rule may observe: a used one, or one that is late and not too late for all.
/// Its event time is the one that counts.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    pub(crate) arrival: i64,
    pub(crate) subject: String,
    pub(crate) record: Record,
    /// The event time it says, if another counts.
    pub(crate) raw: Option<i64>,
    /// What it shows, for each signal.
    pub(crate) states: Vec<Option<usize>>,
}

#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) dispositions: BTreeMap<(usize, usize), Disposition>,
    pub(crate) used: Vec<Used>,
    /// By source.
    pub(crate) accounts: BTreeMap<String, Account>,
    /// Where the clock stands at the end; `None` if no record moved it.
    pub(crate) end: Option<i64>,
}

/// A record that moves the clock.
pub(crate) struct Arrived {
    pub(crate) arrival: i64,
    /// What it says itself, if it does.
    pub(crate) said: i64,
    /// Whether it says that it arrived before the record ahead of it.
    pub(crate) regresses: bool,
    /// The event time that counts.
    pub(crate) time: i64,
    pub(crate) at: (usize, usize),
    pub(crate) record: Record,
}

pub(crate) fn intake(spec: &Spec, partitions: &[Vec<u8>]) -> Intake {
    let mut dispositions = BTreeMap::new();
    let mut arrived = Vec::new();
    for (partition, bytes) in partitions.iter().enumerate() {
        let mut records = Vec::new();
        arrive(spec, partition, bytes, &mut dispositions, &mut records);
        set_times(spec, &mut records);
        arrived.push(records);
    }
    let accounts = accounts(spec, &arrived);
    let mut arrived: Vec<_> = arrived.into_iter().flatten().collect();
    let last = arrived.iter().map(|one| one.arrival).max();
    let end = spec.until.or(last);
    // Of equal records the first in this order counts.
    arrived.sort_by_key(|one| (one.arrival, one.at));

    let amend_within = spec.rules.iter().filter_map(|rule| rule.amend_within_ns);
    let amend_within_ns = amend_within.chain([spec.lateness_ns]).max().unwrap_or_default();
    let mut first = BTreeMap::new();
    let mut used = Vec::new();
    for Arrived { arrival, time, at, mut record, .. } in arrived {
        let states: Vec<_> = spec.signals.iter().map(|s| (s.matches)(&record.json)).collect();
        let matched = states.iter().any(Option::is_some);
        let age = i128::from(arrival) - i128::from(time);
        let Some(subject) = record.subject.clone().filter(|_| matched) else {
            dispositions.insert(at, Disposition::Unmatched);
            continue;
        };
        let late = age > i128::from(spec.lateness_ns);
        if late {
            dispositions.insert(at, Disposition::Late);
        }
        if age > i128::from(amend_within_ns) {
            continue;
        }
        let (source, id) = (record.source.clone(), record.id.clone());
        let identity = (source, id, record.event_time, subject.clone());
        let content = record.content.clone();
        if let Some((counted, until)) = first.get(&identity)
            && i128::from(arrival) <= *until
        {
            if !late {
                let conflict = *counted != content;
                dispositions.insert(at, Disposition::Duplicate { conflict });
            }
            continue;
        }
        // A corrected event time may count for a while longer; others never again.
        let until = match spec.corrects {
            true => i128::from(arrival) + i128::from(60 * S) + i128::from(amend_within_ns),
            false => i128::MAX,
        };
        first.insert(identity, (content, until));
        if !late {
            dispositions.insert(at, Disposition::Used);
        }
        let raw = (record.event_time != time).then_some(record.event_time);
        record.event_time = time;
        used.push(Used { arrival, subject, record, raw, states });
    }
    Intake { dispositions, used, accounts, end }
}

/// At the very start of a log it says that this is text, and is no part of the first record.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Gives each record of a partition its arrival; what is unreadable or jumps is a dead letter.
fn arrive(
    spec: &Spec,
    partition: usize,
    bytes: &[u8],
    dispositions: &mut BTreeMap<(usize, usize), Disposition>,
    arrived: &mut Vec<Arrived>,
) {
    let mut previous: Option<i64> = None;
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if is_blank(line) {
            continue;
        }
        let at = (partition, index + 1);
        let record = match decode(line) {
            Ok(record) => record,
            Err(reason) => {
                dispositions.insert(at, Disposition::DeadLetter(reason));
                continue;
            }
        };
        let written = record.recorded_time.unwrap_or(record.event_time);
        let arrival = previous.map_or(written, |previous| written.max(previous));
        let advance = previous.map_or(0, |previous| i128::from(arrival) - i128::from(previous));
        if advance > i128::from(spec.max_advance_ns) {
            dispositions.insert(at, Disposition::DeadLetter("arrival jumps".to_owned()));
            continue;
        }
        if spec.until.is_some_and(|until| arrival > until) {
            return;
        }
        previous = Some(arrival);
        let (time, said) = (record.event_time, record.recorded_time.unwrap_or(arrival));
        arrived.push(Arrived { arrival, said, regresses: said < arrival, time, at, record });
    }
}
