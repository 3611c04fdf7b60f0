//! Rules tried on the beginning of logs, with the decoder and the matcher of a replay: what is
//! read, what matches, and what surely was meant otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use std::path::Path;

use smol_str::SmolStr;

use super::usual_interval;
use crate::model::duration::format_duration;
use crate::rules::{Attribute, Condition, Diagnostic, RecordView, Rules, Signal, suggestion};
use crate::sources::decode::{Decoded, Lines, Unreadable};
use crate::sources::intake::{Matcher, Partition, records};
use crate::sources::{InputError, open};

/// So many records of a log are tried.
pub const RECORDS_MAX: usize = 100_000;
/// In so many records names are collected, and so many, to find the one that was meant.
const NAMED_MAX: u64 = 1_000;
const NAMES_MAX: usize = 20;

/// What the rules make of the beginning of some logs.
pub struct Sample<'r> {
    rules: &'r Rules,
    matcher: Matcher,
    /// What was read of each log.
    pub logs: Vec<LogSample>,
    /// What was seen of each signal, in the order of the rule file.
    pub signals: Vec<SignalSample>,
}

/// What was read of a log.
#[derive(Debug, Default)]
pub struct LogSample {
    /// Its lines that are not blank.
    pub records: u64,
    /// How many of them could not be read.
    pub unreadable: u64,
    /// The first of these: its line, and what is wrong with it.
    pub first_unreadable: Option<(u64, Unreadable)>,
    /// Records of no entity.
    pub without_subject: u64,
    /// Conditions that could not be judged.
    pub condition_errors: u64,
    /// Whether the log goes on.
    pub more: bool,
    /// Why it could not be read further.
    pub damaged: Option<InputError>,
}

/// What was seen of a signal.
#[derive(Debug)]
pub struct SignalSample {
    /// Records that could have been of it.
    pub records: u64,
    /// Records that are of it, by state.
    pub states: Vec<u64>,
    /// The median time between two observations of an entity.
    pub usual_interval_ns: Option<i64>,
    /// Whether entities are observed again and again, and not only when something happens.
    probed: bool,
    /// Event times and states by entity.
    observed: BTreeMap<SmolStr, Vec<(i64, u16)>>,
    needs: Vec<Need>,
}

/// A path that a condition needs to find in a record.
#[derive(Debug)]
struct Need {
    slot: usize,
    /// Where the condition is written.
    span: Range<usize>,
    /// Whether the record must have passed the signal's `where` before it is asked.
    filtered: bool,
    asked: u64,
    found: bool,
    /// What is in records in its place.
    siblings: BTreeSet<String>,
}

impl Need {
    /// Whether it was asked for, and never found.
    fn is_unmet(&self) -> bool {
        self.asked > 0 && !self.found
    }
}

impl SignalSample {
    fn new(signal: &Signal, rules: &Rules) -> Self {
        let needs = |condition: &Condition, filtered: bool| {
            let need = |slot| Need {
                slot,
                span: condition.span(),
                filtered,
                asked: 0,
                found: false,
                siblings: BTreeSet::new(),
            };
            condition.needs(&rules.paths).into_iter().map(need).collect::<Vec<_>>()
        };
        let filter = signal.filter.iter().flat_map(|filter| needs(filter, false));
        let states = signal.states.iter().flat_map(|state| needs(&state.when, true));
        Self {
            records: 0,
            states: vec![0; signal.states.len()],
            usual_interval_ns: None,
            probed: false,
            observed: BTreeMap::new(),
            needs: filter.chain(states).collect(),
        }
    }

    /// Records that are of the signal.
    pub fn matched(&self) -> u64 {
        self.states.iter().sum()
    }

    fn look(&mut self, signal: &Signal, record: &impl RecordView, rules: &Rules) {
        self.records += 1;
        let passed = signal.filter.as_ref().is_none_or(|filter| filter.eval(record).holds());
        for need in self.needs.iter_mut().filter(|need| !need.found && (passed || !need.filtered)) {
            need.asked += 1;
            need.found = *record.slot(need.slot) != crate::model::Scalar::Missing;
            if let Attribute::Data(keys) = &rules.paths.as_slice()[need.slot]
                && let Some((_, above)) = keys.split_last()
                && !need.found
                && need.asked <= NAMED_MAX
                && need.siblings.len() < NAMES_MAX
            {
                let data = record.data();
                let parent = above.iter().try_fold(&data, |at, key| at.get(key.as_str()));
                let object = parent.and_then(|parent| parent.as_object());
                need.siblings.extend(object.into_iter().flatten().map(|(key, _)| key.clone()));
            }
        }
    }
}

/// Whether observations of entities are due now and then. Where most of them change the state, or
/// some come far sooner than others, they tell of events.
fn probed<'o>(entities: impl Iterator<Item = &'o Vec<(i64, u16)>>) -> bool {
    const SPREAD_MAX: i64 = 8;
    let (mut intervals, mut repeats) = (Vec::new(), 0);
    for observed in entities {
        let mut observed = observed.clone();
        observed.sort_unstable();
        for pair in observed.windows(2).filter(|pair| pair[0].0 < pair[1].0) {
            intervals.push(pair[1].0.saturating_sub(pair[0].0));
            repeats += usize::from(pair[0].1 == pair[1].1);
        }
    }
    intervals.sort_unstable();
    let quarter = |quarters: usize| intervals.get(intervals.len() * quarters / 4).copied();
    let even = quarter(3) <= quarter(1).map(|quarter| quarter.saturating_mul(SPREAD_MAX));
    even && repeats * 2 >= intervals.len()
}

impl<'r> Sample<'r> {
    /// Nothing sampled yet.
    pub fn new(rules: &'r Rules) -> Self {
        let signals = rules.signals.iter().map(|signal| SignalSample::new(signal, rules)).collect();
        Self { rules, matcher: Matcher::new(rules), logs: Vec::new(), signals }
    }

    /// Tries the rules on a log that the source of this number reads.
    ///
    /// # Errors
    /// [`InputError`], if the log cannot be opened; one that is damaged is sampled until there.
    pub fn add(&mut self, path: &Path, source: usize) -> Result<(), InputError> {
        let partition = Partition::new(0, source, open(path)?, self.rules)?;
        let matcher = self.matcher.clone();
        let mut log = LogSample::default();
        let read = records(partition, &matcher, |seen| {
            if log.records == RECORDS_MAX as u64 {
                log.more = true;
                return ControlFlow::Break(());
            }
            log.records += 1;
            match &seen.record {
                Ok(record) => self.record(source, seen.view, record, &mut log),
                Err(error) => {
                    log.unreadable += 1;
                    log.first_unreadable.get_or_insert_with(|| (seen.line, error.clone()));
                }
            }
            ControlFlow::Continue(())
        });
        log.damaged = read.err();
        self.logs.push(log);
        for signal in &mut self.signals {
            let times =
                |observed: &Vec<(i64, u16)>| observed.iter().map(|(time, _)| *time).collect();
            signal.usual_interval_ns = usual_interval(signal.observed.values().map(times));
            signal.probed = probed(signal.observed.values());
        }
        Ok(())
    }

    fn record(
        &mut self,
        source: usize,
        view: &Lines<'_>,
        record: &Decoded<'_>,
        log: &mut LogSample,
    ) {
        let Some(subject) = &record.subject else {
            log.without_subject += 1;
            return;
        };
        let signals = self.rules.signals.iter().zip(&mut self.signals);
        for (signal, sample) in signals.filter(|(s, _)| s.from.is_none_or(|from| from == source)) {
            sample.look(signal, view, self.rules);
        }
        let mut errors = 0;
        for found in self.matcher.fits(source, view, &mut errors) {
            let sample = &mut self.signals[usize::from(found.signal)];
            sample.states[usize::from(found.state)] += 1;
            let times = sample.observed.entry(SmolStr::new(subject)).or_default();
            times.push((record.event_time_ns, found.state));
        }
        log.condition_errors += u64::from(errors);
    }

    /// What surely was meant otherwise, as warnings about the text of the rule file.
    pub fn warnings(&self, text: &str) -> Vec<Diagnostic> {
        let mut list = Vec::new();
        for (signal, sample) in self.rules.signals.iter().zip(&self.signals) {
            sample.needs.iter().for_each(|need| list.extend(self.never_found(need, text)));
            if sample.records == 0 {
                continue;
            }
            if sample.matched() == 0 {
                let message = format!("no record of the sample is of the signal `{}`", signal.name);
                let help =
                    "its conditions ask for something else, or the sample is of another kind";
                list.push(Diagnostic::new(signal.span.clone(), message, help));
                continue;
            }
            let unseen = signal.states.iter().zip(&sample.states).filter(|(_, count)| **count == 0);
            for span in unseen.map(|(state, _)| state.when.span()) {
                // Of a field that was never found enough is said already.
                if sample.needs.iter().any(|need| need.is_unmet() && need.span == span) {
                    continue;
                }
                let message = "no record of the sample is of this state".to_owned();
                let help = "right if it is rare; otherwise it is spelt in another way";
                list.push(Diagnostic::new(span, message, help));
            }
        }
        self.short_holds(&mut list);
        list
    }

    fn never_found(&self, need: &Need, text: &str) -> Option<Diagnostic> {
        if !need.is_unmet() {
            return None;
        }
        let path = &self.rules.paths.as_slice()[need.slot];
        let name = path.to_string();
        let condition = text.get(need.span.clone()).unwrap_or_default();
        let span = match condition.find(&name) {
            Some(at) => need.span.start + at..need.span.start + at + name.len(),
            None => need.span.clone(),
        };
        let siblings: Vec<_> = need.siblings.iter().map(String::as_str).collect();
        let help = match path {
            Attribute::Data(keys) if !siblings.is_empty() => {
                suggestion("field", keys.last().map_or("", SmolStr::as_str), &siblings)
            }
            _ => "the condition cannot be judged without it".to_owned(),
        };
        Some(Diagnostic::new(span, format!("no record of the sample has `{name}`"), help))
    }

    fn short_holds(&self, list: &mut Vec<Diagnostic>) {
        for rule in &self.rules.rules {
            let signal = &self.signals[rule.signal];
            let Some(interval) = signal.usual_interval_ns.filter(|_| signal.probed) else {
                continue;
            };
            let states = &self.rules.signals[rule.signal].states;
            let holds = rule.hold_ns.iter().zip(&rule.hold_spans).zip(states);
            for ((hold, span), state) in
                holds.filter(|((hold, _), _)| (1..interval).contains(*hold))
            {
                let (hold, interval) = (format_duration(*hold), format_duration(interval));
                let message = format!(
                    "hold {hold} is shorter than the usual interval of {interval} between \
                     observations: one observation decides"
                );
                let help = format!("to see `{}` twice it takes more than {interval}", state.name);
                list.extend(span.clone().map(|span| Diagnostic::new(span, message, help)));
            }
        }
    }
}
