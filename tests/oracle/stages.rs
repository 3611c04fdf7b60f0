//! What a rule does with its observations before they are held: each stage by its definition, from
//! scratch, in the one order they are done in.

use std::collections::BTreeMap;

use super::hold::{Observation, lives};
use super::quorum::Quorum;
use super::readings::Thresholds;

/// The number of a state that rules make, behind those of any signal.
pub(crate) const FLAPPING: usize = 100;
/// Likewise.
pub(crate) const UNKNOWN: usize = 101;
/// Likewise.
pub(crate) const NORMAL: usize = 102;
/// Likewise.
pub(crate) const ABOVE: usize = 103;
/// Likewise.
pub(crate) const BELOW: usize = 104;
/// What shows a reading and no state yet.
pub(crate) const READING: usize = 105;
/// As the others.
pub(crate) const SESSION: usize = 106;

/// The number of what marks an entity, and shows no state.
pub(crate) const MARKER: usize = 107;

/// After what faults wait.
#[derive(Clone, Debug)]
pub(crate) struct Grace {
    pub(crate) for_ns: i64,
    pub(crate) after_first: bool,
    /// A signal, and those of its states that mark; all, if there are none.
    pub(crate) markers: Vec<(usize, Vec<usize>)>,
}

impl Grace {
    /// Whether a record marks that shows these states, by signal.
    pub(crate) fn is_marker(&self, states: &[Option<usize>]) -> bool {
        self.markers.iter().any(|(signal, of)| {
            states[*signal].is_some_and(|state| of.is_empty() || of.contains(&state))
        })
    }
}

/// The stages of a rule.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stages {
    pub(crate) faults: Vec<usize>,
    pub(crate) absent_after_ns: Option<i64>,
    pub(crate) thresholds: Option<Thresholds>,
    pub(crate) quorum: Option<Quorum>,
    pub(crate) damping: Option<Damping>,
    pub(crate) detection: Option<Detection>,
    pub(crate) grace: Option<Grace>,
    /// The gap of sessions, and how many changes they take.
    pub(crate) session: Option<(i64, usize)>,
    /// How long the states that are made must last.
    pub(crate) hold_made_ns: i64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Damping {
    pub(crate) fault: f64,
    pub(crate) back: f64,
    pub(crate) change: f64,
    pub(crate) suppress: f64,
    pub(crate) reuse: f64,
    pub(crate) half_life_ns: i64,
    pub(crate) max_ns: i64,
    pub(crate) test: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Detection {
    pub(crate) nagios: bool,
    pub(crate) high: f64,
    pub(crate) low: f64,
}

/// What comes of observations, and how many were withheld on the way.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    pub(crate) observations: Vec<Observation>,
    pub(crate) unrated: usize,
    pub(crate) outvoted: usize,
    pub(crate) damped: usize,
    pub(crate) would_damp: usize,
    pub(crate) spared: usize,
}

/// The name of a state.
pub(crate) fn name(states: &[String], state: usize) -> String {
    match state {
        FLAPPING => "flapping".to_owned(),
        UNKNOWN => "unknown".to_owned(),
        NORMAL => "normal".to_owned(),
        ABOVE => "above".to_owned(),
        BELOW => "below".to_owned(),
        SESSION => "session".to_owned(),
        state => states[state].clone(),
    }
}

impl Stages {
    pub(crate) fn are_any(&self) -> bool {
        self.absent_after_ns.is_some()
            || self.grace.is_some()
            || self.session.is_some()
            || self.quorum.is_some()
            || self.thresholds.is_some()
            || self.damping.is_some()
            || self.detection.is_some()
    }

    /// What passes of observations (in order, none after `clock`).
    pub(crate) fn pass(
        &self,
        observations: Vec<Observation>,
        expire_after: i64,
        clock: i128,
    ) -> Passed {
        let markers: Vec<_> = observations.iter().filter(|one| one.marks).cloned().collect();
        let observations = observations.into_iter().filter(|one| one.shows).collect();
        let mut passed = Passed { observations, ..Passed::default() };
        self.absent(&mut passed, expire_after, clock);
        if let Some(thresholds) = self.thresholds {
            thresholds.judge(&mut passed, expire_after);
        }
        if let Some(quorum) = &self.quorum {
            quorum.count(&self.faults, &mut passed, expire_after, clock);
        }
        self.damp(&mut passed, expire_after, clock);
        self.detect(&mut passed, expire_after);
        self.spare(&mut passed, &markers, expire_after, clock);
        self.group(&mut passed, expire_after, clock);
        passed
    }

    fn is_fault(&self, state: usize) -> bool {
        self.faults.contains(&state)
    }

    /// Where nothing follows an observation in time, the last instant of which is in time.
    fn absent(&self, passed: &mut Passed, expire_after: i64, clock: i128) {
        let Some(after) = self.absent_after_ns.filter(|after| *after < expire_after) else {
            return;
        };
        let seen = passed.observations.clone();
        for (at, observation) in seen.iter().enumerate() {
            let made = observation.time + i128::from(after);
            let next = seen.get(at + 1).map(|next| next.time);
            if made < clock && next.is_none_or(|next| next > made) {
                let nobody =
                    Observation { source: String::new(), reading: 0, ..observation.clone() };
                insert(&mut passed.observations, made_of(&nobody, made, UNKNOWN));
            }
        }
    }

    fn damp(&self, passed: &mut Passed, expire_after: i64, clock: i128) {
        let Some(damping) = self.damping else { return };
        let (mut withheld, mut made) = (Vec::new(), Vec::new());
        let all = &passed.observations;
        for (life, last) in observed(all, expire_after) {
            let mut damp = Damp { damping, penalty: 0.0, at: 0, until: None, passed: None };
            let mut before: Option<(usize, &Observation)> = None;
            for (place, observation) in &life {
                if let Some((at, before)) = before {
                    let instant_begins = before.time < observation.time;
                    let reused = damp.reuse((all, at), observation.time);
                    made.extend(reused.filter(|_| instant_begins));
                    if before.state != observation.state {
                        let add =
                            match (self.is_fault(before.state), self.is_fault(observation.state)) {
                                (false, true) => damping.fault,
                                (true, false) => damping.back,
                                _ => damping.change,
                            };
                        damp.add(add, observation.time);
                    }
                }
                match (damp.until, damp.passed) {
                    (Some(_), Some(passed)) if passed != observation.state => {
                        withheld.extend((!observation.urgent).then_some(*place));
                    }
                    _ => damp.passed = Some(observation.state),
                }
                before = Some((*place, observation));
            }
            if let Some((at, _)) = before {
                made.extend(damp.reuse((all, at), clock.min(last + i128::from(expire_after))));
            }
        }
        if damping.test {
            passed.would_damp = withheld.len();
        } else {
            passed.damped = withheld.len();
            replace(&mut passed.observations, &withheld, made);
        }
    }

    fn detect(&self, passed: &mut Passed, expire_after: i64) {
        let Some(Detection { nagios, high, low }) = self.detection else { return };
        let mut turned = Vec::new();
        for (life, _) in observed(&passed.observations, expire_after) {
            let mut flaps = false;
            let mut since: Vec<i128> = Vec::new();
            for (index, (place, observation)) in life.iter().enumerate() {
                // The weights of Nagios times 76, those of Icinga times 50: 0 is the latest change.
                let changes = (0..20.min(index))
                    .filter(|age| life[index - age].1.state != life[index - age - 1].1.state);
                let share = match nagios {
                    true => changes.map(|age| 95 - 2 * age).sum::<usize>() as f64 * 5.0 / 76.0,
                    false => changes.map(|age| 59 - age).sum::<usize>() as f64 / 10.0,
                };
                flaps = match (flaps, nagios) {
                    (true, _) => share > low,
                    (false, true) => share >= high,
                    (false, false) => share > high,
                };
                let before = index.checked_sub(1).map(|before| life[before].1.state);
                if !flaps {
                    since.clear();
                } else if before != Some(observation.state) {
                    since.push(observation.time);
                }
                if flaps && !observation.urgent {
                    let all = (since.len() as u32, since[0], since[since.len() - 1]);
                    turned.push((*place, all));
                }
            }
        }
        for (place, changes) in turned {
            passed.observations[place].state = FLAPPING;
            passed.observations[place].changes = Some(changes);
        }
    }

    /// Faults in a grace, which begins with a life or a marker, and anew with each marker.
    fn spare(&self, passed: &mut Passed, markers: &[Observation], expire_after: i64, clock: i128) {
        let Some(Grace { for_ns, after_first, .. }) = &self.grace else { return };
        let (grace, mut withheld, mut made) = (i128::from(*for_ns), Vec::new(), Vec::new());
        let all = &passed.observations;
        for (life, ended) in observed(all, expire_after) {
            let first = life.first().map(|(_, one)| one.time).filter(|_| *after_first);
            let expires = ended + i128::from(expire_after);
            // The last observation of each grace, by its end.
            let mut last: BTreeMap<i128, (usize, &Observation)> = BTreeMap::new();
            for (place, observation) in &life {
                let before = markers.iter().filter(|one| one.place() <= observation.place());
                let begun = before.map(|marker| marker.time).chain(first).max();
                let Some(mut over) = begun.map(|begun| begun + grace) else { continue };
                if over <= observation.time {
                    continue;
                }
                if self.is_fault(observation.state) && !observation.urgent {
                    withheld.push(*place);
                }
                for later in markers.iter().filter(|one| one.place() > observation.place()) {
                    over = if later.time < over { later.time + grace } else { over };
                }
                last.insert(over, (*place, observation));
            }
            for (over, (place, observation)) in last {
                let waits = self.is_fault(observation.state) && !overtaken(all, place, over);
                if waits && over <= clock && over <= expires {
                    made.push(made_of(observation, over, observation.state));
                }
            }
        }
        passed.spared = withheld.len();
        replace(&mut passed.observations, &withheld, made);
    }
}

impl Stages {
    fn group(&self, passed: &mut Passed, expire_after: i64, clock: i128) {
        let Some((gap, least)) = self.session else { return };
        let mut made = Vec::new();
        let all = passed.observations.clone();
        for (life, last) in observed(&all, expire_after) {
            let mut changes: Vec<i128> = Vec::new();
            let expires = last + i128::from(expire_after);
            for (at, (place, observation)) in life.iter().enumerate() {
                let before = at.checked_sub(1).map(|before| &life[before].1);
                if before.is_some_and(|before| before.state != observation.state) {
                    changes.push(observation.time);
                }
                if changes.len() >= least && !observation.urgent {
                    let all = (changes.len() as u32, changes[0], changes[changes.len() - 1]);
                    passed.observations[*place].state = SESSION;
                    passed.observations[*place].changes = Some(all);
                }
                let Some(over) = changes.last().map(|last| last + i128::from(gap)) else {
                    continue;
                };
                let next = life.get(at + 1).map(|(_, next)| next.time);
                if next.is_none_or(|next| next >= over) && over <= clock.min(expires) {
                    let is_session = changes.len() >= least && !overtaken(&all, *place, over);
                    made.extend(is_session.then(|| made_of(observation, over, observation.state)));
                    changes.clear();
                }
            }
        }
        replace(&mut passed.observations, &[], made);
    }
}

struct Damp {
    damping: Damping,
    penalty: f64,
    at: i128,
    until: Option<i128>,
    passed: Option<usize>,
}

impl Damp {
    fn add(&mut self, add: f64, time: i128) {
        let Damping { suppress, reuse, half_life_ns, max_ns, .. } = self.damping;
        let half_life = half_life_ns as f64;
        let left = self.penalty * libm::exp2(-((time - self.at) as f64) / half_life);
        let left = if left < reuse / 2.0 { 0.0 } else { left };
        self.penalty = (left + add).min(reuse * libm::exp2(max_ns as f64 / half_life));
        self.at = time;
        if self.until.is_some() || self.penalty > suppress {
            let after = libm::ceil(libm::log2(self.penalty / reuse) * half_life).max(1.0);
            self.until = Some(time + i128::from(after as i64));
        }
    }

    /// What is handed on where a suppression ends until `time`, if anything; the last observation by its place.
    fn reuse(&mut self, (all, at): (&[Observation], usize), time: i128) -> Option<Observation> {
        let until = self.until.filter(|until| *until <= time)?;
        self.until = None;
        let last = &all[at];
        let waits = self.passed.replace(last.state) != Some(last.state);
        let waits = waits && !overtaken(all, at, until);
        waits.then(|| made_of(last, until, last.state))
    }
}

pub(super) fn made_of(of: &Observation, time: i128, state: usize) -> Observation {
    Observation { time, state, made: true, urgent: false, ..of.clone() }
}

/// Whether a deadline made something behind an observation and before an instant.
fn overtaken(observations: &[Observation], place: usize, before: i128) -> bool {
    observations[place + 1..].iter().any(|one| one.made && one.time < before)
}

/// Puts what a deadline makes before all that comes then or later.
fn insert(observations: &mut Vec<Observation>, made: Observation) {
    let at = observations.partition_point(|observation| observation.time < made.time);
    observations.insert(at, made);
}

pub(super) fn replace(
    observations: &mut Vec<Observation>,
    withheld: &[usize],
    made: Vec<Observation>,
) {
    for place in withheld {
        observations[*place].withheld = true;
    }
    made.into_iter().for_each(|made| insert(observations, made));
}

/// What was observed, not made, and is not withheld, with its place; split where nothing was observed for
/// `expire_after`, with the last that was.
pub(super) fn observed(
    observations: &[Observation],
    expire_after: i64,
) -> Vec<(Vec<(usize, Observation)>, i128)> {
    let seen: Vec<_> = observations.iter().cloned().enumerate().filter(|(_, o)| !o.made).collect();
    let only: Vec<_> = seen.iter().map(|(_, o)| o.clone()).collect();
    let mut seen = seen.into_iter();
    let lives = lives(&only, expire_after).into_iter();
    let life = |(life, last): (&[Observation], i128)| {
        let life = seen.by_ref().take(life.len());
        (life.filter(|(_, one)| !one.withheld).collect(), last)
    };
    lives.map(life).collect()
}
