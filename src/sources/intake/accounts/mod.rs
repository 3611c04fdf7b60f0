//! The sources of a partition, each with the account of its records.
//!
//! Guarantees: an account is a function of the partition's records and the rule file alone. State:
//! some 350 bytes a source, for the first [`SOURCES_MAX`] of them.

mod clock;
mod sequence;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use limbeck_operators::hash::FixedState;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use self::clock::Clock;
use self::sequence::Sequence;
use super::decoding::Head;
use crate::model::account::Account;

/// So many sources of a partition are kept apart; the records of the others are only counted.
pub(super) const SOURCES_MAX: usize = 10_000;

/// The accounts of a partition.
pub(super) struct Accounts {
    lateness_ns: i64,
    /// Whether event times are corrected.
    corrects: bool,
    sources_max: usize,
    numbers: HashMap<SmolStr, usize, FixedState>,
    sources: Vec<Source>,
}

/// What is remembered of the sources of a partition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedAccounts(Vec<Source>);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Source {
    /// None for those that are not kept apart.
    name: Option<SmolStr>,
    account: Account,
    clock: Clock,
    sequence: Sequence,
    /// The largest event time.
    latest_ns: i64,
}

impl Accounts {
    pub(super) fn new(lateness_ns: i64, corrects: bool, sources_max: usize) -> Self {
        let (numbers, sources) = (HashMap::default(), Vec::new());
        Self { lateness_ns, corrects, sources_max, numbers, sources }
    }

    /// What is remembered.
    pub(super) fn saved(&self) -> SavedAccounts {
        SavedAccounts(self.sources.clone())
    }

    /// Goes on with what was remembered.
    pub(super) fn restore(&mut self, SavedAccounts(sources): SavedAccounts) {
        let names = sources.iter().enumerate();
        let names = names.filter_map(|(number, source)| Some((source.name.clone()?, number)));
        self.numbers = names.collect();
        self.sources = sources;
    }

    /// Whether event times are corrected.
    pub(super) fn correct(&self) -> bool {
        self.corrects
    }

    /// The number of a source.
    pub(super) fn number(&mut self, name: &SmolStr) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.sources.len();
        if number < self.sources_max {
            self.numbers.insert(name.clone(), number);
            self.sources.push(Source::new(Some(name.clone())));
        } else if number == self.sources_max {
            self.sources.push(Source::new(None));
        }
        number.min(self.sources_max)
    }

    /// Enters the next record of a source, and says what is to be added to its event time.
    #[inline]
    pub(super) fn enter(&mut self, number: usize, head: &Head, arrival_ns: i64) -> i64 {
        let source = &mut self.sources[number];
        let event_time_ns = head.event_time_ns;
        // What came out of order was no longer on the way than it says.
        let said_ns = if head.dated { head.arrival_ns } else { arrival_ns };
        source.clock.see(arrival_ns, said_ns.saturating_sub(event_time_ns));
        let time_ns = match self.corrects && source.name.is_some() {
            true => source.clock.corrected(arrival_ns, event_time_ns),
            false => event_time_ns,
        };
        let account = &mut source.account;
        account.records += 1;
        account.arrival_regressions += u64::from(head.dated && head.arrival_ns < arrival_ns);
        let late = head.matched && arrival_ns.saturating_sub(time_ns) > self.lateness_ns;
        account.late += u64::from(late);
        account.out_of_order += u64::from(time_ns < source.latest_ns);
        if let Some(number) = head.sequence {
            source.sequence.see(number.get(), time_ns > source.latest_ns);
        }
        source.latest_ns = source.latest_ns.max(time_ns);
        time_ns.wrapping_sub(event_time_ns)
    }

    /// What each source came to, if it has records.
    pub(super) fn close(&mut self) -> impl Iterator<Item = (Option<SmolStr>, Account)> {
        self.numbers.clear();
        let sources = std::mem::take(&mut self.sources).into_iter();
        sources.filter(|source| source.account.records > 0).map(Source::close)
    }
}

impl Source {
    fn new(name: Option<SmolStr>) -> Self {
        Self {
            name,
            account: Account::default(),
            clock: Clock::new(),
            sequence: Sequence::new(),
            latest_ns: i64::MIN,
        }
    }

    fn close(self) -> (Option<SmolStr>, Account) {
        let Self { name, account, clock, sequence, .. } = self;
        let account = match name {
            Some(_) => {
                Account { numbers: sequence.numbers(), offset_ns: Some(clock.range()), ..account }
            }
            // Of sources together, order and clocks say nothing.
            None => Account { out_of_order: 0, ..account },
        };
        (name, account)
    }
}
