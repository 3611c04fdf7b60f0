//! Rules tried on the beginning of logs, with the decoder and the matcher of a replay: what is
//! read, what matches, and what surely was meant otherwise.

mod missing;

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use smol_str::SmolStr;

use self::missing::{Named, Need, Stage};
use super::grouped;
use super::usual_interval;
use crate::model::Scalar;
use crate::model::duration::format_duration;
use crate::replay::Log;
use crate::rules::{
    Attribute, Condition, Diagnostic, Expression, READING, RecordView, Rules, Signal, Skew, Verdict,
};
use crate::sources::decode::{Decoded, Unreadable};
use crate::sources::intake::{Arrivals, Matcher, View, Witness, records};
use crate::sources::{InputError, Interrupt};

/// So many records of a log are tried.
pub const RECORDS_MAX: usize = 100_000;
/// Of so many records one may be late before the lateness is said to be short.
const IN_TIME: u64 = 1_000;

/// What the rules make of the beginning of some logs.
pub struct Sample<'r> {
    rules: &'r Rules,
    matcher: Matcher,
    /// What was read of each log.
    pub logs: Vec<LogSample>,
    /// What was seen of each signal, in the order of the rule file.
    pub signals: Vec<SignalSample>,
    /// What conditions and values came to, by where they begin in the rule file.
    judged: BTreeMap<usize, Judged>,
    /// What the mapping of each source names.
    mapped: Vec<Vec<Named>>,
}

/// What was read of a log.
#[derive(Debug, Default)]
pub struct LogSample {
    /// What it is called.
    pub name: String,
    /// Which source reads it.
    pub source: usize,
    /// Its lines that are not blank.
    pub records: u64,
    /// How many of them could not be read.
    pub unreadable: u64,
    /// The first of these: its line, and what is wrong with it.
    pub first_unreadable: Option<(u64, Unreadable)>,
    /// Records of no entity.
    pub without_subject: u64,
    /// Records whose arrival makes them dead letters.
    pub refused: u64,
    /// The first of these: its line, and why.
    pub first_refused: Option<(u64, String)>,
    /// Records of a signal.
    pub matched: u64,
    /// How many of them are late.
    pub late: u64,
    /// The lateness with which only one of a thousand would be.
    pub lateness_ns: i64,
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
    /// Records that are of it, by state; all where it has readings alone.
    pub states: Vec<u64>,
    /// The median time between two observations of an entity.
    pub usual_interval_ns: Option<i64>,
    /// Whether entities are observed again and again, and not only when something happens.
    probed: bool,
    /// Event times and states by entity.
    observed: BTreeMap<SmolStr, Vec<(i64, u16)>>,
    needs: Vec<Need>,
}

/// What a condition or a value came to.
#[derive(Debug, Default)]
struct Judged {
    asked: u64,
    held: u64,
    errors: u64,
    /// The first record that it could not be judged on: log, line, why, and what may help.
    first: Option<(usize, u64, (String, String))>,
}

impl SignalSample {
    fn new(number: usize, signal: &Signal, rules: &Rules) -> Self {
        let condition = |condition: &Condition, stage| {
            Need::of(rules, condition.needs(&rules.paths), &condition.span(), stage)
        };
        let value =
            |value: &Expression, stage| Need::of(rules, value.needs(), &value.span(), stage);
        let mut needs = Vec::new();
        signal.filter.iter().for_each(|filter| needs.extend(condition(filter, Stage::Nothing)));
        signal.states.iter().for_each(|state| needs.extend(condition(&state.when, Stage::Where)));
        let carried = signal.labels.iter().map(|label| &label.from).chain(&signal.value);
        carried.for_each(|from| needs.extend(value(from, Stage::States)));
        for rule in rules.rules.iter().filter(|rule| rule.signal == number) {
            let asked = rule.filter.iter().chain(&rule.except);
            asked.for_each(|filter| needs.extend(condition(filter, Stage::States)));
            let by = rule.dedup.iter().flat_map(|dedup| &dedup.by);
            by.for_each(|by| needs.extend(value(by, Stage::Dedup)));
        }
        Self {
            records: 0,
            states: vec![0; signal.states.len().max(1)],
            usual_interval_ns: None,
            probed: false,
            observed: BTreeMap::new(),
            needs,
        }
    }

    /// Records that are of the signal.
    pub fn matched(&self) -> u64 {
        self.states.iter().sum()
    }

    fn look(&mut self, signal: &Signal, record: &impl RecordView, fits: bool, rules: &Rules) {
        self.records += 1;
        let passed = match signal.filter.as_ref().is_none_or(|filter| filter.eval(record).holds()) {
            true if fits => Stage::Dedup,
            true => Stage::Where,
            false => Stage::Nothing,
        };
        for need in self.needs.iter_mut().filter(|need| !need.found && need.stage <= passed) {
            need.asked += 1;
            need.found = *record.slot(need.slot) != Scalar::Missing;
            if let Attribute::Data(keys) = &rules.paths.as_slice()[need.slot]
                && !need.found
            {
                need.siblings.look(keys, record, need.asked);
            }
        }
    }
}

/// Keeps what conditions and values come to on one record.
struct Look<'s> {
    judged: &'s mut BTreeMap<usize, Judged>,
    rules: &'s Rules,
    /// The number of the log, and the line in it.
    at: (usize, u64),
    errors: u64,
}

impl Witness for Look<'_> {
    fn judged(&mut self, place: Range<usize>, verdict: Verdict, record: &impl RecordView) {
        let judged = self.judged.entry(place.start).or_default();
        judged.asked += 1;
        judged.held += u64::from(verdict.holds());
        if verdict == Verdict::Error {
            judged.errors += 1;
            self.errors += 1;
            let (log, line) = self.at;
            judged.first.get_or_insert_with(|| (log, line, why(self.rules, &place, record)));
        }
    }
}

/// Why what stands at a place of the rule file could not be judged on a record, and what may help.
fn why(rules: &Rules, place: &Range<usize>, record: &impl RecordView) -> (String, String) {
    let mut judged = conditions(rules).filter(|condition| condition.span() == *place);
    if let Some(condition) = judged.next() {
        return condition.why(record, &rules.paths);
    }
    let mut values = values(rules).filter(|value| value.span() == *place);
    values.next().map(|value| value.why(record, &rules.paths)).unwrap_or_default()
}

fn conditions(rules: &Rules) -> impl Iterator<Item = &Condition> {
    let of_rules = rules.rules.iter().flat_map(|rule| rule.filter.iter().chain(&rule.except));
    rules.signals.iter().flat_map(conditions_of).chain(of_rules)
}

fn conditions_of(signal: &Signal) -> impl Iterator<Item = &Condition> {
    signal.filter.iter().chain(signal.states.iter().map(|state| &state.when))
}

fn values(rules: &Rules) -> impl Iterator<Item = &Expression> {
    let of_signals = rules
        .signals
        .iter()
        .flat_map(|signal| signal.labels.iter().map(|label| &label.from).chain(&signal.value));
    let by = rules.rules.iter().flat_map(|rule| &rule.dedup).flat_map(|dedup| &dedup.by);
    of_signals.chain(by)
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
        let signals = rules.signals.iter().enumerate();
        let signals = signals.map(|(number, signal)| SignalSample::new(number, signal, rules));
        let (signals, logs, judged) = (signals.collect(), Vec::new(), BTreeMap::new());
        let mapped = rules.sources.iter().map(Named::all).collect();
        Self { rules, matcher: Matcher::new(rules), logs, signals, judged, mapped }
    }

    /// Tries the rules on a log.
    ///
    /// # Errors
    /// [`InputError`], if the log cannot be opened; one that is damaged is sampled until there.
    pub fn add(&mut self, log: &Log) -> Result<(), InputError> {
        let source = log.source;
        let partition = log.open(0, self.rules, &Interrupt::default())?;
        let matcher = self.matcher.clone();
        let mut arrivals = Arrivals::new(self.rules, source);
        let mut ages = Vec::new();
        let name = log.path.display().to_string();
        let mut log = LogSample { name, source, ..LogSample::default() };
        let read = records(partition, &matcher, |seen| {
            if log.records == RECORDS_MAX as u64 {
                log.more = true;
                return ControlFlow::Break(());
            }
            log.records += 1;
            match &seen.record {
                Ok(record) => match arrivals.age_ns(seen.line, record) {
                    Ok(age_ns) => {
                        if self.record(seen.line, &seen.view, record, &mut log) {
                            ages.push(age_ns);
                        }
                    }
                    Err(reason) => {
                        log.refused += 1;
                        log.first_refused.get_or_insert((seen.line, reason));
                    }
                },
                Err(error) => {
                    log.unreadable += 1;
                    log.first_unreadable.get_or_insert_with(|| (seen.line, error.clone()));
                }
            }
            ControlFlow::Continue(())
        });
        log.damaged = read.err();
        log.matched = ages.len() as u64;
        log.late = ages.iter().filter(|age| **age > self.rules.lateness_ns).count() as u64;
        ages.sort_unstable();
        let late_max = ages.len() / IN_TIME as usize;
        log.lateness_ns = ages.iter().rev().nth(late_max).map_or(0, |age| round_up(*age));
        self.logs.push(log);
        for signal in &mut self.signals {
            let times =
                |observed: &Vec<(i64, u16)>| observed.iter().map(|(time, _)| *time).collect();
            signal.usual_interval_ns = usual_interval(signal.observed.values().map(times));
            signal.probed = probed(signal.observed.values());
        }
        Ok(())
    }

    /// Tries the rules on a record; says whether it is of a signal.
    fn record(
        &mut self,
        line: u64,
        view: &View<'_, '_>,
        record: &Decoded<'_>,
        log: &mut LogSample,
    ) -> bool {
        let (source, rules) = (log.source, self.rules);
        self.mapped[source].iter_mut().for_each(|named| named.look(record, view));
        let Some(subject) = &record.subject else {
            log.without_subject += 1;
            return false;
        };
        let fits = self.matcher.fits(source, view, &mut 0_u32);
        let signals = rules.signals.iter().zip(&mut self.signals).enumerate();
        for (number, (signal, sample)) in signals {
            if signal.from.is_none_or(|from| from == source) {
                let fits = fits.iter().any(|fit| usize::from(fit.signal) == number);
                sample.look(signal, view, fits, rules);
            }
        }
        for found in &fits {
            let sample = &mut self.signals[usize::from(found.signal)];
            let state = if found.state == READING { 0 } else { usize::from(found.state) };
            sample.states[state] += 1;
            let times = sample.observed.entry(SmolStr::new(subject)).or_default();
            times.push((record.event_time_ns, found.state));
        }
        let at = (self.logs.len(), line);
        let mut look = Look { judged: &mut self.judged, rules, at, errors: 0 };
        // Once more, as a replay does, with labels and all.
        self.matcher.matches(source, view, &mut look);
        log.condition_errors += look.errors;
        !fits.is_empty()
    }

    /// What surely was meant otherwise, as warnings about the text of the rule file.
    pub fn warnings(&self, text: &str) -> Vec<Diagnostic> {
        let mut list = Vec::new();
        list.extend(self.mapped.iter().flatten().filter_map(Named::warning));
        for (signal, sample) in self.rules.signals.iter().zip(&self.signals) {
            sample.needs.iter().for_each(|need| list.extend(self.never_found(need, text)));
            if sample.records == 0 {
                continue;
            }
            if sample.matched() == 0 {
                let message = format!("no record of the sample is of the signal `{}`", signal.name);
                let mut conditions = conditions_of(signal);
                let help = match conditions.any(|condition| self.failed(&condition.span())) {
                    false => {
                        "its conditions ask for something else, or the sample is of another kind"
                    }
                    true => "its conditions could not be judged: of each it is said why",
                };
                list.push(Diagnostic::new(signal.span.clone(), message, help));
                continue;
            }
            let unseen = signal.states.iter().zip(&sample.states).filter(|(_, count)| **count == 0);
            for span in unseen.map(|(state, _)| state.when.span()) {
                // Of a condition that could not be judged enough is said already.
                if self.is_unmet(&span) || self.failed(&span) {
                    continue;
                }
                let message = "no record of the sample is of this state".to_owned();
                let help = "right if it is rare; otherwise it is spelt in another way";
                list.push(Diagnostic::new(span, message, help));
            }
        }
        let judged = conditions(self.rules).map(|it| (it.span(), "this cannot be judged"));
        let values = values(self.rules).map(|it| (it.span(), "this comes to nothing of use"));
        for (span, what) in judged.chain(values).filter(|(span, _)| !self.is_unmet(span)) {
            list.extend(self.failure(&span, what));
        }
        // Of what is certain without a sample it is said already.
        let known: Vec<_> = self.rules.lint().into_iter().map(|warning| warning.span).collect();
        let is_signal = |span: &Range<usize>| self.rules.signals.iter().any(|s| s.span == *span);
        list.retain(|warning| is_signal(&warning.span) || !known.contains(&warning.span));
        self.logs.iter().for_each(|log| self.of_log(log, &mut list));
        self.void_rules(&mut list);
        self.short_holds(&mut list);
        list
    }

    /// Whether what stands at a place could not be judged on some record.
    fn failed(&self, span: &Range<usize>) -> bool {
        self.judged.get(&span.start).is_some_and(|judged| judged.errors > 0)
    }

    /// Whether what stands at a place asks for what no record has.
    fn is_unmet(&self, span: &Range<usize>) -> bool {
        let mut needs = self.signals.iter().flat_map(|signal| &signal.needs);
        needs.any(|need| need.is_unmet() && need.span == *span)
    }

    fn failure(&self, span: &Range<usize>, what: &str) -> Option<Diagnostic> {
        let judged = self.judged.get(&span.start)?;
        let (log, line, (why, help)) = judged.first.as_ref()?;
        let of = match self.logs.len() {
            1 => String::new(),
            _ => format!(" of {}", self.logs[*log].name),
        };
        let (errors, asked) = (grouped(judged.errors), grouped(judged.asked));
        let message = format!(
            "{what} on {errors} of {asked} records of the sample, first in line {line}{of}: {why}"
        );
        Some(Diagnostic::new(span.clone(), message, help.as_str()))
    }

    /// Logs of which little can be used.
    fn of_log(&self, log: &LogSample, list: &mut Vec<Diagnostic>) {
        let span = &self.rules.sources[log.source].span;
        let name = &log.name;
        let mut warn = |span: &Range<usize>, message: String, help: &str| {
            list.push(Diagnostic::new(span.clone(), message, help));
        };
        if log.records == 0 {
            warn(span, format!("{name} has no records"), "name a log that has some");
        }
        if let Some((line, error)) = &log.first_unreadable
            && log.unreadable * 2 > log.records
        {
            let (unreadable, records) = (grouped(log.unreadable), grouped(log.records));
            let message = format!(
                "{unreadable} of {records} records of {name} cannot be read, the first in line \
                 {line}: {}",
                error.reason
            );
            warn(span, message, "the format or the mapping is that of another log");
        }
        let [lateness, max_advance] = &self.rules.time_spans;
        if let Some((line, reason)) = &log.first_refused {
            let (refused, records) = (grouped(log.refused), grouped(log.records));
            let message = format!(
                "{refused} of {records} records of {name} are dead letters, the first in line \
                 {line}: {reason}"
            );
            let help = "where the first record has a wrong time, leave it out; where the log has a \
                        hole, raise `max_advance`";
            warn(max_advance, message, help);
        }
        if log.late * IN_TIME > log.matched {
            let now = format_duration(self.rules.lateness_ns);
            let (late, matched) = (grouped(log.late), grouped(log.matched));
            let message = format!(
                "{late} of {matched} records of {name} are late: they come more than {now} after \
                 they happened"
            );
            let skew = match self.rules.sources[log.source].skew {
                Skew::Report => "; where clocks are wrong, `skew: correct` may do",
                Skew::Correct => "",
            };
            let needed = format_duration(log.lateness_ns);
            let help = format!("with `lateness: {needed}` 999 of 1,000 are in time{skew}");
            warn(lateness, message, &help);
        }
    }

    /// Rules whose `where` never holds.
    fn void_rules(&self, list: &mut Vec<Diagnostic>) {
        for rule in &self.rules.rules {
            let Some(span) = rule.filter.as_ref().map(Condition::span) else { continue };
            let never = |judged: &Judged| judged.held == 0 && judged.errors == 0;
            if self.judged.get(&span.start).is_some_and(never) {
                let message =
                    format!("`where` holds for no record of the sample: `{}` sees none", rule.name);
                let help = "right if it is rare; otherwise it is spelt in another way";
                list.push(Diagnostic::new(span, message, help));
            }
        }
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
        let (what, help) = match need.stage {
            Stage::Dedup => {
                (": all are equal in it to `dedup`", "name what repeats have in common")
            }
            Stage::States => ("", "nothing stands there"),
            _ => ("", "the condition cannot be judged without it"),
        };
        let meant = match path {
            Attribute::Data(keys) => need.siblings.suggestion(keys),
            _ => None,
        };
        let message = format!("no record of the sample has `{name}`{what}");
        Some(Diagnostic::new(span, message, meant.unwrap_or_else(|| help.to_owned())))
    }

    fn short_holds(&self, list: &mut Vec<Diagnostic>) {
        for rule in &self.rules.rules {
            let signal = &self.signals[rule.signal];
            let Some(interval) = signal.usual_interval_ns else { continue };
            let states = &self.rules.signals[rule.signal].states;
            for ((hold, span), state) in rule.hold_ns.iter().zip(&rule.hold_spans).zip(states) {
                let Some(span) = span.clone() else { continue };
                let expire = rule.expire_after_ns;
                let usual = format_duration(interval);
                let held = format_duration(*hold);
                if *hold > expire && interval > expire {
                    let expire = format_duration(expire);
                    let message = format!(
                        "hold {held} is longer than expire_after {expire}, and it is usually \
                         {usual} to the next observation: `{}` never counts",
                        state.name
                    );
                    let help = format!("raise expire_after above {held}, or lower the hold");
                    list.push(Diagnostic::new(span, message, help));
                } else if signal.probed && (1..interval).contains(hold) {
                    let message = format!(
                        "hold {held} is shorter than the usual interval of {usual} between \
                         observations: one observation decides"
                    );
                    let help = format!("to see `{}` twice it takes more than {usual}", state.name);
                    list.push(Diagnostic::new(span, message, help));
                }
            }
        }
    }
}

/// A time that people would write, and at least this.
fn round_up(nanos: i64) -> i64 {
    let unit = if nanos > 1_000_000_000 { 1_000_000_000 } else { 1_000_000 };
    nanos.max(0).checked_add(unit - 1).map_or(nanos, |raised| raised / unit * unit)
}
