//! The account of each source, and the event times that count, each worked out from all the records
//! of the source up to there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::decode::{Order, Record};
use super::intake::Arrived;
use super::{S, Spec};

/// What is told of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) records: u64,
    pub(crate) late: u64,
    pub(crate) out_of_order: u64,
    pub(crate) arrival_regressions: u64,
    /// The smallest estimate and the largest.
    pub(crate) offset: Option<(i64, i64)>,
    numbered: u64,
    strays: u64,
    missing: u128,
    restarts: u64,
}

impl Account {
    /// Missing numbers and restarts, if three in four of the numbers are not strays or restarts.
    pub(crate) fn gaps(&self) -> Option<(u64, u64)> {
        let most = self.numbered as f64 * 0.75;
        let missing = u64::try_from(self.missing).unwrap_or(u64::MAX);
        (((self.strays + self.restarts) as f64) < most).then_some((missing, self.restarts))
    }

    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.late += other.late;
        self.out_of_order += other.out_of_order;
        self.arrival_regressions += other.arrival_regressions;
        self.numbered += other.numbered;
        self.strays += other.strays;
        self.missing += other.missing;
        self.restarts += other.restarts;
        let estimates = [self.offset, other.offset].into_iter().flatten();
        self.offset = estimates.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
    }
}

/// By source, over all partitions.
pub(crate) fn accounts(spec: &Spec, partitions: &[Vec<Arrived>]) -> BTreeMap<String, Account> {
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    for partition in partitions {
        for (source, of) in by_source(partition) {
            accounts.entry(source.to_owned()).or_default().add(&account(spec, &of));
        }
    }
    accounts
}

/// Sets the event time that counts of each record of a partition.
pub(crate) fn set_times(spec: &Spec, partition: &mut [Arrived]) {
    let mut times = BTreeMap::new();
    for of in by_source(partition).values() {
        for (index, one) in of.iter().enumerate() {
            let time = i128::from(one.record.event_time) + i128::from(offset(&of[..=index]));
            let time = time.clamp(i64::MIN.into(), one.arrival.into());
            times.insert(one.at, if spec.corrects { time as i64 } else { one.record.event_time });
        }
    }
    partition.iter_mut().for_each(|one| one.time = times[&one.at]);
}

/// As `summary.json` tells it, for rules with one source, which reads CloudEvents.
pub(crate) fn told(spec: &Spec, accounts: &BTreeMap<String, Account>) -> Vec<Value> {
    let row = |(source, account): (&String, &Account)| {
        let gaps = account.gaps();
        json!({
            "from": "cloudevents",
            "source": source,
            "records": account.records,
            "late": account.late,
            "out_of_order": account.out_of_order,
            "arrival_regressions": account.arrival_regressions,
            "sequence_gaps": gaps.map(|(missing, _)| missing),
            "sequence_restarts": gaps.map(|(_, restarts)| restarts),
            "offset_min_ns": account.offset.map(|(least, _)| least),
            "offset_max_ns": account.offset.map(|(_, most)| most),
            "corrected": spec.corrects,
        })
    };
    accounts.iter().map(row).collect()
}

fn by_source(partition: &[Arrived]) -> BTreeMap<&str, Vec<&Arrived>> {
    let mut by_source: BTreeMap<&str, Vec<&Arrived>> = BTreeMap::new();
    for one in partition {
        by_source.entry(&one.record.source).or_default().push(one);
    }
    by_source
}

fn account(spec: &Spec, of: &[&Arrived]) -> Account {
    let ends = (1..=of.len()).filter(|end| *end == of.len() || ends_span(&of[..=*end]));
    let estimates: Vec<i64> = ends.map(|end| offset(&of[..end])).collect();
    let matched = |one: &Arrived| {
        let shows = spec.signals.iter().any(|signal| (signal.matches)(&one.record.json).is_some());
        one.record.subject.is_some() && shows
    };
    let age = |one: &Arrived| i128::from(one.arrival) - i128::from(one.time);
    let late = |one: &&&Arrived| matched(one) && age(one) > i128::from(spec.lateness_ns);
    let behind = |index: &usize| of[..*index].iter().any(|before| before.time > of[*index].time);
    let mut account = Account {
        records: of.len() as u64,
        late: of.iter().filter(late).count() as u64,
        out_of_order: (0..of.len()).filter(behind).count() as u64,
        arrival_regressions: of.iter().filter(|one| one.regresses).count() as u64,
        offset: estimates.iter().min().copied().zip(estimates.iter().max().copied()),
        ..Account::default()
    };
    count_numbers(of, &mut account);
    account
}

/// The ages of records by the spans they are in.
fn spans(of: &[&Arrived]) -> Vec<Vec<i64>> {
    let mut spans: Vec<(i64, Vec<i64>)> = Vec::new();
    for one in of {
        let age = i128::from(one.said) - i128::from(one.record.event_time);
        let age = age.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        match spans.last_mut() {
            Some((start, ages)) if one.arrival - *start < 300 * S || ages.len() < 32 => {
                ages.push(age);
            }
            _ => spans.push((one.arrival, vec![age])),
        }
    }
    spans.into_iter().map(|(_, ages)| ages).collect()
}

/// Whether the last of these begins a span, and not the first.
fn ends_span(of: &[&Arrived]) -> bool {
    of.len() > 1 && spans(of).last().is_some_and(|last| last.len() == 1)
}

/// The smallest age of this span and the one before, unless no other is within a second of it.
fn offset(of: &[&Arrived]) -> i64 {
    let spans = spans(of);
    let last_two = &spans[spans.len().saturating_sub(2)..];
    let mut ages = last_two.concat();
    ages.sort_unstable();
    match ages[..] {
        [least, next, ..] if next < i64::MAX && i128::from(next) - i128::from(least) > S.into() => {
            next
        }
        _ => ages[0],
    }
}

/// A stretch of counting.
struct Life {
    first: u64,
    highest: u64,
    came: BTreeSet<u64>,
}

impl Life {
    fn begin(number: u64) -> Self {
        Self { first: number, highest: number, came: [number].into() }
    }

    fn missing(&self) -> u128 {
        u128::from(self.highest - self.first) + 1 - self.came.len() as u128
    }
}

fn count_numbers(of: &[&Arrived], account: &mut Account) {
    let mut life: Option<Life> = None;
    // The last in a row that came before, each ahead of all others and above the last.
    let mut again: Vec<u64> = Vec::new();
    for (index, one) in of.iter().enumerate() {
        let Some(number) = number(&one.record) else { continue };
        account.numbered += 1;
        let row = std::mem::take(&mut again);
        let Some(now) = &mut life else {
            life = Some(Life::begin(number));
            continue;
        };
        let ahead = of[..index].iter().all(|before| before.time < one.time);
        let apart = number.abs_diff(now.highest);
        if number <= now.highest && apart < 1_024 {
            let fills = number > now.first && now.came.insert(number);
            account.strays += u64::from(!fills);
            if !fills && ahead {
                let rises = row.last().is_none_or(|last| *last < number);
                again = if rises { row } else { Vec::new() };
                again.push(number);
            }
            if again.len() == 32 {
                account.strays -= 32;
                account.missing += now.missing();
                account.restarts += 1;
                let (first, highest) = (again[0], number);
                life = Some(Life { first, highest, came: again.drain(..).collect() });
            }
        } else if number > now.highest && (apart <= 1_024 || ahead) {
            now.highest = number;
            now.came.insert(number);
        } else if ahead {
            account.missing += now.missing();
            account.restarts += 1;
            life = Some(Life::begin(number));
        } else {
            account.strays += 1;
        }
    }
    account.missing += life.map_or(0, |life| life.missing());
}

/// A sequence that is a number below 2^64 - 1.
fn number(record: &Record) -> Option<u64> {
    let Order::Digits(_, digits) = &record.sequence else { return None };
    let number = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    (number < u64::MAX).then_some(number)
}
