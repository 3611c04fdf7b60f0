//! How long faults last, by its definition: at every logical time all that was known before is counted anew.

use std::collections::{BTreeMap, BTreeSet};

use super::hold::{self, Span};
use super::{Histories, S, Spec, ceil_to_tick, histories, intake, logical_times, nanos, stages};

/// What a rule asks.
#[derive(Clone, Debug)]
pub(crate) struct Persistence {
    /// Whether groups are those of the label.
    pub(crate) by_label: bool,
    pub(crate) prior: u64,
    /// Announced if any of these times is likelier to be outlasted than so many tenths.
    pub(crate) announce: Vec<(i64, u64)>,
}

impl Persistence {
    pub(crate) fn yaml(&self) -> String {
        let above = |(horizon_ns, tenths): &(i64, u64)| {
            format!("p_lasts(\"{}ms\") > 0.{tenths}", horizon_ns / super::MS)
        };
        let announce: Vec<_> = self.announce.iter().map(above).collect();
        let by = if self.by_label { "by: by, " } else { "" };
        let (prior, announce) = (self.prior, announce.join(" || "));
        // What is forgotten is left to other tests.
        let forgets = format!("{by}prior: {prior}, remember: 9y");
        format!("    persistence: {{ {forgets}, announce: '{announce}' }}\n")
    }

    fn horizons(&self) -> BTreeSet<i64> {
        self.announce.iter().map(|(horizon_ns, _)| *horizon_ns).collect()
    }

    /// The ages at which faults are told apart.
    fn ages(&self) -> BTreeSet<i64> {
        let (minute, hour) = (60 * S, 3600 * S);
        let few = [1, 2, 5].map(|of| [of * S, of * minute, of * hour]);
        let tens = [10, 20, 30].map(|of| [of * S, of * minute, 12 * hour]);
        let all = few.into_iter().chain(tens).flatten().chain([0, 24 * hour]);
        all.chain(self.horizons()).collect()
    }
}

/// A fault: rule, entity, state and beginning.
pub(crate) type Key = (usize, String, String, i64);

/// What is known of one.
#[derive(Clone, Debug)]
struct Fault {
    until: Option<i64>,
    decided: i64,
    expired: bool,
    group: String,
    is_candidate: bool,
}

/// Of a horizon those that lasted and all there were, of the entity and of its group; and p.
pub(crate) type Odds = (i64, [[u64; 2]; 2], f64);

/// What was expected when it was decided on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Latched {
    pub(crate) age: i64,
    pub(crate) announced: Option<i64>,
    pub(crate) odds: Vec<Odds>,
}

/// What came of faults.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    /// What was latched of those that were known, by logical time.
    pub(crate) latched: BTreeMap<i64, BTreeMap<Key, Latched>>,
    /// When candidates were announced.
    pub(crate) early: Vec<(i64, Key)>,
    /// What was expected of each, by age, as long as it was open and known; while it is known.
    pub(crate) expected: BTreeMap<Key, BTreeMap<i64, Vec<(i64, f64)>>>,
    /// Until when each lasted, at the end, where that is known, and what is open until then.
    pub(crate) ended: BTreeMap<Key, (i64, bool)>,
}

/// All that is learned of these logs.
pub(crate) fn learned(spec: &Spec, partitions: &[Vec<u8>]) -> Learned {
    let intake = intake::intake(spec, partitions);
    let histories = histories(spec, &intake.used);
    let mut learned = Learned::default();
    let Some(end) = intake.end else { return learned };
    let mut times = logical_times(spec, &histories, end);
    let mut ages = BTreeSet::new();
    for at in &times {
        for ((rule, _, _, since), fault) in faults(spec, &histories, *at, end) {
            let asked = spec.rules[rule].persistence.as_ref().filter(|_| fault.until.is_none());
            ages.extend(asked.iter().flat_map(|of| of.ages()).map(|age| since + age));
        }
    }
    let come = ages.into_iter().filter(|at| *at <= end);
    times.extend(come.map(|at| ceil_to_tick(i128::from(at), spec.tick_ns)));

    let mut before = BTreeMap::new();
    let mut states: BTreeMap<Key, (Option<Latched>, BTreeSet<i64>)> = BTreeMap::new();
    for at in times {
        let now = faults(spec, &histories, at, end);
        states.retain(|key, _| now.contains_key(key));
        learned.expected.retain(|key, _| now.contains_key(key));
        for (key, fault) in &now {
            let (latched, judged) = states.entry(key.clone()).or_default();
            let asked = spec.rules[key.0].persistence.as_ref().expect("it has faults");
            let reached = |instant: i64| {
                let age = |age: &i64| key.3 + age <= instant;
                asked.ages().into_iter().filter(age).max()
            };
            if let (false, None) = (fault.is_candidate, &latched) {
                let age = reached(fault.decided).expect("zero is an age");
                let (odds, announces) = expect(asked, key, fault, age, &before);
                let announced = announces.then(|| nanos(at));
                *latched = Some(Latched { age, announced, odds });
            }
            // What is due at a logical time has come when that is not behind the end of the log.
            let last = asked.horizons().into_iter().max().expect("there are some");
            let age = reached(end.min(nanos(at))).filter(|age| *age <= last);
            let age = age.or_else(|| (reached(end.min(nanos(at))) > Some(last)).then_some(last));
            let Some(age) = age.filter(|age| fault.until.is_none() && judged.insert(*age)) else {
                continue;
            };
            let (odds, announces) = expect(asked, key, fault, age, &before);
            let of_it = learned.expected.entry(key.clone()).or_default();
            of_it.insert(age, odds.iter().map(|(horizon, _, p)| (*horizon, *p)).collect());
            if fault.is_candidate && announces && latched.is_none() {
                *latched = Some(Latched { age, announced: Some(nanos(at)), odds });
                learned.early.push((nanos(at), key.clone()));
            }
        }
        let latched = states.iter().filter_map(|(key, of)| Some((key.clone(), of.0.clone()?)));
        learned.latched.insert(nanos(at), latched.collect());
        before = now;
    }
    let ended = before.into_iter().map(|(key, fault)| {
        let is_all = fault.until.is_some() && !fault.expired;
        (key, (fault.until.unwrap_or(end), is_all))
    });
    learned.ended = ended.collect();
    learned
}

/// What is expected of a fault of an age, and whether it is to be announced.
fn expect(
    asked: &Persistence,
    key: &Key,
    fault: &Fault,
    age: i64,
    before: &BTreeMap<Key, Fault>,
) -> (Vec<Odds>, bool) {
    let count = |of: &dyn Fn(&Key, &Fault) -> bool, horizon: i64| {
        let mut counts = [0, 0];
        for (other, past) in before {
            let Some(until) = past.until.filter(|_| !past.expired) else { continue };
            let (lasted, alike) = (until - other.3, (other.0, &other.2) == (key.0, &key.2));
            if alike && of(other, past) && lasted >= age {
                counts[0] += u64::from(lasted >= horizon);
                counts[1] += 1;
            }
        }
        counts
    };
    let mut announces = false;
    let odds = asked.horizons().into_iter().map(|horizon| {
        let entity = count(&|other, _| other.1 == key.1, horizon);
        let group = count(&|_, past| !asked.by_label || past.group == fault.group, horizon);
        // p, as one fraction.
        let (mut above, mut below) = (
            entity[0] * (group[1] + 2) + asked.prior * (group[0] + 1),
            (entity[1] + asked.prior) * (group[1] + 2),
        );
        if age >= horizon {
            (above, below) = (1, 1);
        }
        let of_it = asked.announce.iter().filter(|(of, _)| *of == horizon);
        announces |= of_it.into_iter().any(|(_, tenths)| 10 * above > tenths * below);
        (horizon, [entity, group], above as f64 / below as f64)
    });
    (odds.collect(), announces)
}

/// The faults that are known at a logical time.
fn faults(spec: &Spec, histories: &Histories, at: i128, end: i64) -> BTreeMap<Key, Fault> {
    let clock = at.min(i128::from(end));
    let mut faults = BTreeMap::new();
    for ((number, entity), history) in histories {
        let rule = &spec.rules[*number];
        if rule.persistence.is_none() {
            continue;
        }
        let known: Vec<_> = history.iter().filter(|o| o.known_at <= at).cloned().collect();
        let (known, _) = hold::without_repeats(known, rule.dedup_ns);
        let known = rule.pass(spec, known, clock).observations;
        let waits = rule.waits(spec);
        let mut push = |span: Span, is_candidate: bool| {
            if !rule.stages.faults.contains(&span.state) {
                return;
            }
            let state = stages::name(&spec.signals[rule.signal].states, span.state);
            let group = if spec.labelled { span.source } else { String::new() };
            let (until, decided) = (span.until.map(nanos), nanos(span.decided));
            let fault = Fault { until, decided, expired: span.expired, group, is_candidate };
            let before = faults.insert((*number, entity.clone(), state, nanos(span.since)), fault);
            assert!(before.is_none(), "a fault is a candidate or an episode");
        };
        hold::spans(&known, waits, clock).into_iter().for_each(|span| push(span, false));
        hold::candidates(&known, waits, clock).into_iter().for_each(|span| push(span, true));
    }
    faults
}
