//! What a record is to the rules: which signals it fits, in which state, and what they carry of it.

mod verdicts;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use limbeck_operators::hash::xxh3_64;
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::judged::Matched;
use super::sequencer::Traced;
use crate::model::Scalar;
use crate::model::detail::{Detail, LABEL_BYTES_MAX, OVERFLOW, Reading};
use crate::model::sighting::{Detailed, Match, Matches};
use crate::rules::{
    Attribute, Condition, Dedup, Expression, MARKER, READING, RecordView, Rule, Rules, Signal,
    Verdict,
};
use crate::sources::decode::Decoder;

pub use self::verdicts::Asked;

/// A state of a signal, by their numbers in the rule file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Which signal.
    pub signal: u16,
    /// Which of its states, or [`READING`].
    pub state: u16,
}

/// Who is told what conditions and values come to, record by record.
pub trait Witness {
    /// What stands at this place of the rule file was judged on a record; a value that came to
    /// something is true.
    fn judged(&mut self, place: Range<usize>, verdict: Verdict, record: &impl RecordView);
}

/// How many could not be judged.
impl Witness for u32 {
    #[inline(always)]
    fn judged(&mut self, _: Range<usize>, verdict: Verdict, _: &impl RecordView) {
        *self += Self::from(verdict == Verdict::Error);
    }
}

/// Decodes and matches the lines of every source.
#[derive(Clone)]
pub struct Matcher {
    decoders: Vec<Decoder>,
    rules: Arc<Rules>,
    /// By signal.
    observers: Vec<Observers>,
    watched: Option<BTreeSet<SmolStr>>,
    /// Whether some silence is told by records.
    hears_any: bool,
    traces: Traced,
    /// How many slots conditions look at, if to remember what they say costs less than they do.
    slots_remembered: Option<usize>,
}

/// As many conditions cost as much as to look up what they said before.
const CONDITIONS_FEW: usize = 6;

/// Who observes a signal.
#[derive(Clone, Default)]
struct Observers {
    /// The rules, by their numbers.
    rules: Vec<u16>,
    /// Rules to which its records may mark an entity, and by which of their markers.
    marks: Vec<(u16, usize)>,
    /// Whether they want no more than its state, of every record.
    plain: bool,
    /// The slots in which conditions ask for its labels.
    label_slots: Vec<(usize, usize)>,
}

impl Matcher {
    /// A matcher for all sources of a rule file.
    pub fn new(rules: &Rules) -> Self {
        let decoders =
            rules.sources.iter().map(|source| Decoder::new(source, &rules.paths)).collect();
        let observers = (0..rules.signals.len()).map(|signal| Observers::new(rules, signal));
        let observers = observers.collect();
        let of_signal =
            |signal: &Signal| signal.states.len() + usize::from(signal.filter.is_some());
        let of_signals: usize = rules.signals.iter().map(of_signal).sum();
        let of_rule = |rule: &Rule| [&rule.filter, &rule.except].into_iter().flatten().count();
        let of_rules: usize = rules.rules.iter().map(of_rule).sum();
        let are_few = of_signals + of_rules <= CONDITIONS_FEW;
        let slots = rules.paths.as_slice().len();
        Self {
            decoders,
            observers,
            rules: Arc::new(rules.clone()),
            watched: None,
            hears_any: rules.hearings().next().is_some(),
            traces: Traced::Nothing,
            slots_remembered: (!are_few).then_some(slots),
        }
    }

    /// How many slots tell records apart to all conditions, if what these say is worth being
    /// remembered.
    #[inline]
    pub(super) fn slots_remembered(&self) -> Option<usize> {
        self.slots_remembered
    }

    /// Lets only the records of these entities through. The others move the clock as ever.
    #[must_use]
    pub fn watching(mut self, entities: BTreeSet<SmolStr>) -> Self {
        self.watched = Some(entities);
        self
    }

    /// Notes what the traces of these records tell.
    #[must_use]
    pub(super) fn tracing(mut self, traces: Traced) -> Self {
        self.traces = traces;
        self
    }

    /// Whether some silence is told by records.
    #[inline]
    pub(super) fn hears_any(&self) -> bool {
        self.hears_any
    }

    /// Which records are traced.
    pub(super) fn traces(&self) -> Traced {
        self.traces
    }

    /// Whether the records of an entity are let through.
    pub(super) fn watches(&self, entity: Option<&str>) -> bool {
        let is_watched = |all: &BTreeSet<SmolStr>| entity.is_some_and(|one| all.contains(one));
        self.watched.as_ref().is_none_or(is_watched)
    }

    /// The rule file.
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The decoder of a source.
    pub fn decoder(&self, source: usize) -> &Decoder {
        &self.decoders[source]
    }

    /// The signals that a record of a source fits, each with the first of its states that holds.
    pub fn fits(
        &self,
        source: usize,
        record: &impl RecordView,
        told: &mut impl Witness,
    ) -> SmallVec<[Fit; 4]> {
        let signals = 0..self.rules.signals.len();
        signals.filter_map(|signal| self.fit(signal, source, record, told)).collect()
    }

    /// The first of a signal's states that holds of a record of a source.
    #[inline(always)]
    fn fit(
        &self,
        number: usize,
        source: usize,
        record: &impl RecordView,
        told: &mut impl Witness,
    ) -> Option<Fit> {
        let mut holds = |condition: &Condition| {
            let verdict = condition.eval(record);
            told.judged(condition.span(), verdict, record);
            verdict.holds()
        };
        let signal = &self.rules.signals[number];
        let elsewhere = signal.from.is_some_and(|from| from != source);
        if elsewhere || signal.filter.as_ref().is_some_and(|filter| !holds(filter)) {
            return None;
        }
        for (state, found) in signal.states.iter().enumerate() {
            if holds(&found.when) {
                return Some(Fit { signal: number as u16, state: state as u16 });
            }
        }
        let value = signal.value.as_ref().filter(|_| signal.is_measured())?;
        reading(value, record, told)?;
        Some(Fit { signal: number as u16, state: READING })
    }

    /// What rules observe in a record of a source, and how many conditions could not be judged.
    #[inline]
    pub(super) fn matched(&self, source: usize, record: &impl RecordView) -> Matched {
        let mut errors = 0;
        let matches = self.matches(source, record, &mut errors);
        (matches, errors)
    }

    /// What rules observe in a record of a source; `None` if it fits no signal.
    #[inline]
    pub fn matches(
        &self,
        source: usize,
        record: &impl RecordView,
        told: &mut impl Witness,
    ) -> Option<Matches> {
        // The usual: one rule looks at the one signal.
        if let [Observers { rules, plain: true, .. }] = &self.observers[..]
            && let [rule] = rules[..]
        {
            let fit = self.fit(0, source, record, told)?;
            return Some(Match { rule, state: fit.state }.into());
        }
        self.all_matches(source, record, told)
    }

    #[inline(never)]
    fn all_matches(
        &self,
        source: usize,
        record: &impl RecordView,
        told: &mut impl Witness,
    ) -> Option<Matches> {
        let fits = self.fits(source, record, told);
        if fits.is_empty() {
            return None;
        }
        let observers = |fit: &Fit| &self.observers[usize::from(fit.signal)];
        if fits.iter().all(|fit| observers(fit).plain) {
            let matches = fits.iter().flat_map(|fit| {
                let rules = observers(fit).rules.iter();
                rules.map(|rule| Match { rule: *rule, state: fit.state })
            });
            return Some(matches.collect::<SmallVec<[Match; 4]>>().as_slice().into());
        }
        let mut detailed = Vec::new();
        for fit in &fits {
            self.observe(observers(fit), *fit, record, told, &mut detailed);
        }
        self.mark(&fits, &mut detailed);
        Some(detailed.into())
    }

    /// Adds what the rules on a signal observe, with what they carry.
    fn observe(
        &self,
        observers: &Observers,
        fit: Fit,
        record: &impl RecordView,
        told: &mut impl Witness,
        detailed: &mut Vec<Detailed>,
    ) {
        let signal = &self.rules.signals[usize::from(fit.signal)];
        let labels: Vec<_> = signal.labels.iter().map(|l| text(&l.from, record, told)).collect();
        let detail = signal.has_detail().then(|| {
            let labels = labels.iter().map(|label| match label {
                Scalar::Str(text) if text.len() > LABEL_BYTES_MAX => OVERFLOW,
                Scalar::Str(text) => SmolStr::new(text),
                _ => SmolStr::default(),
            });
            let value = signal.value.as_ref().and_then(|from| match signal.is_measured() {
                // It has been judged.
                true => reading(from, record, &mut 0_u32),
                false => reading(from, record, told),
            });
            Arc::new(Detail { labels: labels.collect(), value, ..Detail::default() })
        });
        let labelled = Labelled { record, slots: &observers.label_slots, labels: &labels };
        for number in &observers.rules {
            let rule = &self.rules.rules[usize::from(*number)];
            if let Some(filter) = &rule.filter {
                let verdict = filter.eval(&labelled);
                told.judged(filter.span(), verdict, &labelled);
                if !verdict.holds() {
                    continue;
                }
            }
            let key = rule.dedup.as_ref().map_or(0, |dedup| key(dedup, record, told));
            let urgent = rule.except.as_ref().is_some_and(|except| {
                let verdict = except.eval(&labelled);
                told.judged(except.span(), verdict, &labelled);
                verdict.holds()
            });
            let found = Match { rule: *number, state: fit.state };
            detailed.push(Detailed { found, urgent, marks: false, key, detail: detail.clone() });
        }
    }

    /// Adds what marks the entity to rules: to one that the record shows a state, beside that.
    fn mark(&self, fits: &[Fit], detailed: &mut Vec<Detailed>) {
        for Fit { signal, state } in fits {
            for (rule, marker) in &self.observers[usize::from(*signal)].marks {
                if !self.rules.rules[usize::from(*rule)].markers()[*marker].is_one(*state) {
                    continue;
                }
                match detailed.iter_mut().find(|of| of.found.rule == *rule) {
                    Some(detailed) => detailed.marks = true,
                    None => {
                        let found = Match { rule: *rule, state: MARKER };
                        detailed.push(Detailed { marks: true, ..Detailed::plain(found) });
                    }
                }
            }
        }
    }
}

impl Observers {
    fn new(rules: &Rules, signal: usize) -> Self {
        let on = |(_, rule): &(u16, _)| {
            let rule: &&Rule = rule;
            rule.signal == signal
        };
        let on: Vec<_> = (0..).zip(&rules.rules).filter(on).collect();
        let of = &rules.signals[signal];
        let label_slots = rules.paths.as_slice().iter().enumerate().filter_map(|(slot, path)| {
            let Attribute::Label(Some(name)) = path else { return None };
            Some((slot, of.labels.iter().position(|label| label.name == *name)?))
        });
        let markers = (0..).zip(&rules.rules).flat_map(|(number, rule)| {
            let markers = rule.markers().iter().enumerate();
            let markers = markers.filter(|(_, marker)| marker.signal == signal);
            markers.map(move |(marker, _)| (number, marker))
        });
        let marks: Vec<(u16, usize)> = markers.collect();
        Self {
            rules: on.iter().map(|(number, _)| *number).collect(),
            plain: marks.is_empty()
                && !of.has_detail()
                && on.iter().all(|(_, rule)| rule.filter.is_none() && !rule.asks_beyond_states(of)),
            label_slots: label_slots.collect(),
            marks,
        }
    }
}

/// A record with the labels of a signal.
struct Labelled<'v, R> {
    record: &'v R,
    slots: &'v [(usize, usize)],
    labels: &'v [Scalar<'v>],
}

impl<R: RecordView> RecordView for Labelled<'_, R> {
    fn slot(&self, slot: usize) -> &Scalar<'_> {
        match self.slots.iter().find(|(known, _)| *known == slot) {
            Some((_, label)) => &self.labels[*label],
            None => self.record.slot(slot),
        }
    }

    fn data(&self) -> serde_json::Value {
        self.record.data()
    }
}

/// A value as text; empty where there is none.
fn text<'r>(from: &Expression, record: &'r impl RecordView, told: &mut impl Witness) -> Scalar<'r> {
    let found = from.eval(record);
    told.judged(from.span(), verdict(found.is_ok()), record);
    Scalar::Str(found.ok().and_then(|value| value.text()).unwrap_or_default())
}

/// A value as a number, if there is one.
fn reading(
    from: &Expression,
    record: &impl RecordView,
    told: &mut impl Witness,
) -> Option<Reading> {
    let number = match from.eval(record) {
        Ok(Scalar::Missing | Scalar::Null) => return None,
        Ok(Scalar::Int(number)) => Some(number as f64),
        Ok(Scalar::UInt(number)) => Some(number as f64),
        Ok(Scalar::Float(number)) => Some(number),
        // Rows and lines have nothing but text, and an empty field is none.
        Ok(Scalar::Str(text)) if text.is_empty() => return None,
        Ok(Scalar::Str(text)) => text.trim().parse().ok(),
        Ok(Scalar::Bool(_) | Scalar::Composite) | Err(_) => None,
    };
    let reading = number.and_then(Reading::new);
    told.judged(from.span(), verdict(reading.is_some()), record);
    reading
}

fn verdict(good: bool) -> Verdict {
    if good { Verdict::True } else { Verdict::Error }
}

/// A hash of what repeats have in common.
fn key(dedup: &Dedup, record: &impl RecordView, told: &mut impl Witness) -> u64 {
    let mut bytes: SmallVec<[u8; 128]> = SmallVec::new();
    for from in &dedup.by {
        let found = from.eval(record);
        told.judged(from.span(), verdict(found.is_ok()), record);
        let value = found.unwrap_or_default();
        match value.text() {
            Some(text) => {
                bytes.extend_from_slice(&(text.len() as u64 + 1).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
            None => bytes.extend_from_slice(&[0; 8]),
        }
    }
    xxh3_64(&bytes)
}
