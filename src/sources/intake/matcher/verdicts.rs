//! What the rules ask of a record, one by one, for whoever wants to know why it is what it is.
//!
//! It is [`Matcher::matches`] once more, slower: what could not be judged here is what is counted
//! there.

use smallvec::SmallVec;

use super::{Fit, Labelled, Matcher, key, reading, text};
use crate::model::Scalar;
use crate::model::ledger::Unmatched;
use crate::rules::{Attribute, Condition, Paths, READING, RecordView, Verdict};

/// A condition or value of the rule file, by the numbers there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// What must hold of a record to be of a signal.
    Signal(usize),
    /// Whether a signal is in a state.
    State(usize, usize),
    /// A label of a signal.
    Label(usize, usize),
    /// The reading of a signal.
    Value(usize),
    /// What must hold of a record to count for a rule.
    Rule(usize),
    /// What makes repeats to a rule.
    Dedup(usize),
    /// What must hold of a record to count at once for a rule.
    Except(usize),
}

/// Of a value, so much is shown.
const SHOWN_MAX: usize = 60;

impl Matcher {
    /// Why a record of a source that has a subject fits no signal.
    pub fn unmatched(&self, source: usize, record: &impl RecordView) -> Unmatched {
        let mut why = Unmatched::NoSignal;
        self.judge(source, record, &mut |asked, verdict, _| {
            why = match (asked, verdict) {
                (_, Verdict::Error) => Unmatched::NotJudged,
                (Asked::State(..) | Asked::Value(_), _) => why.max(Unmatched::NoState),
                _ => why,
            };
        });
        match self.hears_any() && self.hearing(source, record).next().is_some() {
            true => Unmatched::Silencing,
            false => why,
        }
    }

    /// Tells of all that is asked of a record of a source, in order: the verdict, which of values is
    /// that there is one, and, to who wants to hear it, why there is none. Gives what it fits.
    pub fn judge(
        &self,
        source: usize,
        record: &impl RecordView,
        tell: &mut impl FnMut(Asked, Verdict, &dyn Fn() -> String),
    ) -> SmallVec<[Fit; 4]> {
        let mut fits: SmallVec<[Fit; 4]> = SmallVec::new();
        for (number, signal) in self.rules.signals.iter().enumerate() {
            let mut holds = |asked: Asked, condition: &Condition| {
                let verdict = condition.eval(record);
                tell(asked, verdict, &|| reason(condition, &self.rules.paths, record));
                verdict.holds()
            };
            let filter = |when| holds(Asked::Signal(number), when);
            if signal.from.is_some_and(|from| from != source)
                || !signal.filter.as_ref().is_none_or(filter)
            {
                continue;
            }
            let mut states = signal.states.iter().enumerate();
            let state = states.find(|(state, of)| holds(Asked::State(number, *state), &of.when));
            let state = match signal.is_measured() {
                true => self.judge_value(number, record, tell).then_some(READING),
                false => state.map(|(state, _)| state as u16),
            };
            fits.extend(state.map(|state| Fit { signal: number as u16, state }));
        }
        let observers = |fit: &Fit| &self.observers[usize::from(fit.signal)];
        if !fits.iter().all(|fit| observers(fit).plain) {
            for fit in &fits {
                self.judge_fit(usize::from(fit.signal), record, tell);
            }
        }
        fits
    }

    /// The same of the reading of a signal; gives whether there is one.
    fn judge_value(
        &self,
        number: usize,
        record: &impl RecordView,
        tell: &mut impl FnMut(Asked, Verdict, &dyn Fn() -> String),
    ) -> bool {
        let Some(from) = &self.rules.signals[number].value else { return false };
        let mut errors = 0;
        let is_there = reading(from, record, &mut errors).is_some();
        let verdict = if errors > 0 { Verdict::Error } else { is_there.into() };
        tell(Asked::Value(number), verdict, &|| match from.eval(record) {
            Ok(value) => format!("it comes to {}, which is no number", shown(&value)),
            Err(_) => no_value(),
        });
        is_there
    }

    /// The same of what is asked of a record that fits a signal.
    fn judge_fit(
        &self,
        number: usize,
        record: &impl RecordView,
        tell: &mut impl FnMut(Asked, Verdict, &dyn Fn() -> String),
    ) {
        let (signal, observers) = (&self.rules.signals[number], &self.observers[number]);
        let verdict = |errors: u32| if errors > 0 { Verdict::Error } else { Verdict::True };
        let mut labels = Vec::new();
        for (label, of) in signal.labels.iter().enumerate() {
            let mut errors = 0;
            labels.push(text(&of.from, record, &mut errors));
            tell(Asked::Label(number, label), verdict(errors), &no_value);
        }
        if !signal.is_measured() {
            self.judge_value(number, record, tell);
        }
        let labelled = Labelled { record, slots: &observers.label_slots, labels: &labels };
        for rule in observers.rules.iter().map(|rule| usize::from(*rule)) {
            let of = &self.rules.rules[rule];
            if let Some(filter) = &of.filter {
                let verdict = filter.eval(&labelled);
                let why = || reason(filter, &self.rules.paths, &labelled);
                tell(Asked::Rule(rule), verdict, &why);
                if !verdict.holds() {
                    continue;
                }
            }
            if let Some(dedup) = &of.dedup {
                let mut errors = 0;
                key(dedup, record, &mut errors);
                let no_value = || "a value errs, or comes to an array or object".to_owned();
                tell(Asked::Dedup(rule), verdict(errors), &no_value);
            }
            if let Some(except) = &of.except {
                let why = || reason(except, &self.rules.paths, &labelled);
                tell(Asked::Except(rule), except.eval(&labelled), &why);
            }
        }
    }
}

fn no_value() -> String {
    "it errs, or comes to an array or object".to_owned()
}

/// Why a condition cannot be judged of a record: what it asks for is not there, or of another type.
fn reason(condition: &Condition, paths: &Paths, record: &impl RecordView) -> String {
    let needs = condition.needs(paths);
    let missing = |slot: &&usize| matches!(record.slot(**slot), Scalar::Missing);
    let missing: Vec<_> =
        needs.iter().filter(missing).map(|slot| paths.as_slice()[*slot].to_string()).collect();
    if !missing.is_empty() {
        return format!("there is no {}", missing.join(", no "));
    }
    let is_typed = |slot: &&usize| {
        matches!(paths.as_slice()[**slot], Attribute::Data(_) | Attribute::Label(_))
    };
    let stands =
        |slot: &usize| format!("{} is {}", paths.as_slice()[*slot], shown(record.slot(*slot)));
    let stands: Vec<_> = needs.iter().filter(is_typed).map(stands).collect();
    match stands.is_empty() {
        true => "something that it asks for is missing, or of another type".to_owned(),
        false => stands.join(", "),
    }
}

/// A value with its type.
fn shown(value: &Scalar<'_>) -> String {
    match value {
        Scalar::Missing => "missing".to_owned(),
        Scalar::Null => "null".to_owned(),
        Scalar::Bool(value) => format!("{value}"),
        Scalar::Int(value) => format!("the int {value}"),
        Scalar::UInt(value) => format!("the uint {value}"),
        Scalar::Float(value) => format!("the double {value:?}"),
        Scalar::Str(text) => match text.char_indices().nth(SHOWN_MAX) {
            Some((end, _)) => format!("the string {:?}...", &text[..end]),
            None => format!("the string {text:?}"),
        },
        Scalar::Composite => "an array or object".to_owned(),
    }
}
