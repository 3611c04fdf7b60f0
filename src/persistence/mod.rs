//! How long faults last: what is learned of those that were, and what is expected of those that are.
//!
//! # Meaning
//!
//! A *fault* of a rule with `persistence` is an episode of a fault state, or a *candidate* for one: a run of
//! that state, beside an episode of it, that has not lasted as long as the rule holds it, or never did. It
//! begins where the episode begins, or would. Its *duration* is known when its end is: `until` - `since`. One
//! whose entity was not observed any more has none, and is not counted.
//!
//! Durations are counted of each entity and of its group, by rule and state, to the *edges* that they
//! reached: zero, the usual steps from a second to a day, and the horizons of the rule; at an edge exactly is
//! reached. What an update says of the end of a fault counts from the next logical time on, that of an
//! amendment too: what is expected at a logical time depends on the updates before it alone.
//!
//! An open fault has the *age* of the last edge that it has reached: the clock is compared exactly, and what
//! it brings is dated by the tick, rounded up. The probability that it lasts for a horizon is that of
//! [`Odds::p`](crate::model::survival::Odds::p), of the past faults that reached its age; 1 if it has lasted
//! as long.
//!
//! A candidate is judged at each age, as long as it is open, and announced when the condition of its rule
//! holds; what became known later than it was due is judged then, once. What was expected then is *latched*:
//! it stays with the fault, whatever is counted later. One that becomes an episode first is judged when it is
//! decided on, at the age that it had then, and that is latched. Its rows have what was latched, and the
//! candidates that were announced go to the latch of notifications (`alerts`): open, then as the episode, or
//! with their end if it never came to that.
//!
//! Ties: what is counted at a logical time changes nothing at that time, so that faults of one time do not
//! see each other. What is due then is judged behind its updates. Repeats: an update that says the same is
//! none. Lateness: a fault is known by its beginning; one whose beginning moves is another, which is judged
//! anew.
//!
//! # Cost
//!
//! Of each fault that is open, or may be amended, a row or two and what was latched; the counts of each
//! entity and group that had one in the time that its rule remembers. A fault that is open costs as many
//! judgements as it reaches edges, until one is latched.

mod calibration;
mod counts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limbeck_operators::timeline::Timing;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

pub use self::calibration::{AtAge, Bin, Calibration, Reliability, Scored};
use self::counts::{Counts, Known, Of, Unit};
use crate::model::detail::Detail;
use crate::model::episode::{Catalog, Episode};
use crate::model::survival::{Odds, Survival};
use crate::pipeline::Update;
use crate::rules::{Announce, Rules};

/// What a rule asks.
#[derive(Clone, Debug)]
struct Asked {
    by: Option<usize>,
    prior: u32,
    remember_ns: i64,
    edges_ns: Vec<i64>,
    /// The edges that are horizons.
    horizons: Vec<usize>,
    announce: Option<Announce>,
    /// By the rank of the state.
    faults: Vec<bool>,
    /// For how long what ended may be amended, at most.
    amends_ns: i64,
}

impl Asked {
    /// The last edge that a duration reaches.
    fn edge(&self, lasted_ns: i64) -> usize {
        self.edges_ns.partition_point(|edge_ns| *edge_ns <= lasted_ns).saturating_sub(1)
    }

    /// At which instant a fault reaches an edge; none behind the last horizon.
    fn reaches(&self, since_ns: i64, edge: usize) -> Option<i64> {
        let is_asked = self.horizons.last().is_some_and(|last| edge <= *last);
        is_asked.then(|| since_ns.saturating_add(self.edges_ns[edge]))
    }
}

/// What makes versions of one fault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Key {
    rule: u16,
    entity: SmolStr,
    since_ns: i64,
    state: u16,
}

impl Key {
    fn of(row: &Episode) -> Self {
        let Episode { rule, entity, since_ns, state, .. } = row;
        Self { rule: *rule, entity: entity.clone(), since_ns: *since_ns, state: *state }
    }

    fn units(&self, group: &SmolStr) -> [Unit; 2] {
        let of = [Of::Entity(self.entity.clone()), Of::Group(group.clone())];
        of.map(|of| Unit { rule: self.rule, state: self.state, of })
    }
}

/// A fault that is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Fault {
    /// As it stands; at most one of the two but while a moment changes that.
    candidate: Option<Episode>,
    episode: Option<Episode>,
    latched: Option<Arc<Survival>>,
    /// What was told of it as a candidate that was announced.
    told: Option<Episode>,
    /// The next edge at which it is judged.
    edge: usize,
    counted: Option<Counted>,
    /// When it was changed last.
    changed_ns: i64,
    /// When its deadline is, as it is in the queue.
    due_ns: Option<i64>,
    /// What was expected at each age, if that is recorded.
    expected: Vec<Survival>,
}

impl Fault {
    fn row(&self) -> Option<&Episode> {
        self.episode.as_ref().or(self.candidate.as_ref())
    }
}

/// What was counted of a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    edge: usize,
    group: SmolStr,
    at_ns: i64,
}

/// A count that is to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Change {
    key: Key,
    before: Option<Counted>,
    now: Option<Counted>,
}

/// What a [`Learner`] remembers: enough to go on with, and independent of workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    now_ns: i64,
    faults: Vec<(Key, Fault)>,
    changes: Vec<Change>,
    counts: Counts,
}

/// What comes of updates: of which logical time each is, they say.
#[derive(Debug)]
pub enum Step {
    /// All of a logical time.
    Moment {
        /// When.
        at_ns: i64,
        /// The changes of episodes, with what was latched of them.
        episodes: Vec<Update<Episode>>,
        /// Those of the candidates that are announced.
        announced: Vec<Update<Episode>>,
    },
    /// A candidate that is announced, behind all updates of that time.
    Behind(Update<Episode>),
}

/// What became of a fault, and what was expected of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// As it stood; with what was latched, if anything was.
    pub row: Episode,
    /// At each age, until it was over or older than all horizons.
    pub expected: Vec<Survival>,
    /// For how long it lasted at least, and whether that is all.
    pub lasted_ns: (i64, bool),
}

/// The machine. See the [module documentation](self).
#[derive(Clone, Debug)]
pub struct Learner {
    timing: Timing,
    /// By the rank of the rule.
    asked: Vec<Option<Asked>>,
    /// The last logical time of which something is known, or was judged.
    now_ns: i64,
    faults: BTreeMap<Key, Fault>,
    due: BTreeSet<(i64, Key)>,
    /// What counts once that time has passed.
    changes: Vec<Change>,
    counts: Counts,
    /// What became of faults, if that is recorded.
    judged: Option<Vec<Judged>>,
}

impl Learner {
    /// One for the episodes of a rule file, at a tick; none where no rule asks for it.
    pub fn new(rules: &Rules, tick_ns: i64) -> Option<Self> {
        let catalog = Catalog::new(rules);
        let mut asked = vec![None; rules.rules.len()];
        for (number, rule) in rules.rules.iter().enumerate() {
            let Some(persistence) = &rule.persistence else { continue };
            let mut faults = vec![false; rule.stages.faults.len()];
            let mut rank = 0;
            for (state, fault) in rule.stages.faults.iter().enumerate() {
                let ranks = catalog.ranks(number, state as u16);
                rank = usize::from(ranks.1);
                faults[usize::from(ranks.2)] = *fault;
            }
            let edges_ns = persistence.edges_ns();
            let at = |horizon_ns: &i64| edges_ns.partition_point(|edge_ns| edge_ns < horizon_ns);
            asked[rank] = Some(Asked {
                by: persistence.by,
                prior: persistence.prior,
                remember_ns: persistence.remember_ns,
                horizons: persistence.horizons_ns.iter().map(at).collect(),
                edges_ns,
                announce: persistence.announce.clone(),
                faults,
                // Updates are dated by the tick, and what waited for its instant comes at its end.
                amends_ns: rule.amend_within_ns.saturating_add(tick_ns.saturating_mul(3)),
            });
        }
        asked.iter().any(Option::is_some).then(|| Self {
            timing: Timing { lateness: rules.lateness_ns, tick: tick_ns },
            asked,
            now_ns: i64::MIN,
            faults: BTreeMap::new(),
            due: BTreeSet::new(),
            changes: Vec::new(),
            counts: Counts::default(),
            judged: None,
        })
    }

    /// Records what is expected of every fault at each age, and what became of it.
    #[must_use]
    pub fn recording(mut self) -> Self {
        self.judged = Some(Vec::new());
        self
    }

    /// What is remembered.
    pub fn snapshot(&self) -> Snapshot {
        let faults = self.faults.iter().map(|(key, fault)| (key.clone(), fault.clone())).collect();
        let (changes, counts) = (self.changes.clone(), self.counts.clone());
        Snapshot { now_ns: self.now_ns, faults, changes, counts }
    }

    /// Goes on from what was remembered; the rules must be the same.
    #[must_use]
    pub fn restore(mut self, snapshot: Snapshot) -> Self {
        self.now_ns = snapshot.now_ns;
        let due = |(key, fault): &(Key, Fault)| Some((fault.due_ns?, key.clone()));
        self.due = snapshot.faults.iter().filter_map(due).collect();
        self.faults = snapshot.faults.into_iter().collect();
        (self.changes, self.counts) = (snapshot.changes, snapshot.counts);
        self
    }

    /// Takes in all updates of some complete logical times, in order, and tells what comes of it.
    ///
    /// # Errors
    /// The first of `tell`.
    pub fn take<E>(
        &mut self,
        mut candidates: &[Update<Episode>],
        mut episodes: &[Update<Episode>],
        mut tell: impl FnMut(Step) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let times = [candidates, episodes].map(|updates| updates.first().map(|of| of.1));
            let Some(at_ns) = times.into_iter().flatten().min() else { return Ok(()) };
            let until =
                |updates: &[Update<Episode>]| updates.iter().take_while(|of| of.1 == at_ns).count();
            let (of_candidates, later) = candidates.split_at(until(candidates));
            candidates = later;
            let (of_episodes, later) = episodes.split_at(until(episodes));
            episodes = later;
            for announced in self.pass(at_ns) {
                tell(Step::Behind(announced))?;
            }
            let (mut episodes, mut announced) = (of_episodes.to_vec(), Vec::new());
            self.moment(at_ns, of_candidates, &mut episodes, &mut announced);
            tell(Step::Moment { at_ns, episodes, announced })?;
        }
    }

    /// Takes in all updates of a logical time, when time has passed until then.
    fn moment(
        &mut self,
        at_ns: i64,
        candidates: &[Update<Episode>],
        episodes: &mut [Update<Episode>],
        told: &mut Vec<Update<Episode>>,
    ) {
        self.now_ns = self.now_ns.max(at_ns);
        let mut touched = BTreeSet::new();
        let gone = |(_, _, diff): &&Update<Episode>| *diff < 0;
        for (row, ..) in candidates.iter().filter(gone) {
            let key = Key::of(row);
            if let Some(fault) = self.faults.get_mut(&key) {
                fault.candidate = None;
                touched.insert(key);
            }
        }
        for (row, ..) in episodes.iter_mut().filter(|(.., diff)| *diff < 0) {
            let key = Key::of(row);
            if let Some(fault) = self.faults.get_mut(&key) {
                fault.episode = None;
                *row = with(row, fault.latched.as_ref());
                touched.insert(key);
            }
        }
        for (row, ..) in candidates.iter().filter(|of| !gone(of)) {
            self.faults.entry(Key::of(row)).or_default().candidate = Some(row.clone());
            touched.insert(Key::of(row));
        }
        for (row, ..) in episodes.iter().filter(|of| !gone(of)) {
            let asked = self.asked[usize::from(row.rule)].as_ref();
            if asked.is_some_and(|asked| asked.faults[usize::from(row.state)]) {
                self.faults.entry(Key::of(row)).or_default().episode = Some(row.clone());
                touched.insert(Key::of(row));
            }
        }
        for key in touched {
            self.change(&key, told);
        }
        for (row, _, diff) in episodes {
            if let Some(fault) = self.faults.get(&Key::of(row)).filter(|_| *diff > 0) {
                *row = with(row, fault.latched.as_ref());
            }
        }
    }

    /// Lets time pass: all updates of logical times before this one have been taken. Gives the candidates
    /// that are announced, which come behind the updates of their logical times.
    pub fn pass(&mut self, before_ns: i64) -> Vec<Update<Episode>> {
        // What is due within a tick comes behind its updates, and not after the end of the log.
        let timing = self.timing;
        let announced = self.elapse(|due_ns| timing.ceil(due_ns) < before_ns, i64::MAX);
        if before_ns > self.now_ns {
            self.settle();
        }
        announced
    }

    /// Judges what is due until the end of the log, an instant, inclusive.
    pub fn end(&mut self, clock_ns: i64) -> Vec<Update<Episode>> {
        self.elapse(|due_ns| due_ns <= clock_ns, clock_ns)
    }

    /// What became of the faults that cannot change any more, if that is recorded.
    pub fn judged(&mut self) -> Vec<Judged> {
        self.judged.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What became of all others until the end of the log.
    pub fn judged_open(&self, clock_ns: i64) -> Vec<Judged> {
        self.faults.values().filter_map(|fault| judged(fault, clock_ns)).collect()
    }

    /// Takes in that a fault has changed.
    fn change(&mut self, key: &Key, told: &mut Vec<Update<Episode>>) {
        let Some(mut fault) = self.faults.remove(key) else { return };
        let asked = self.asked[usize::from(key.rule)].as_ref().expect("its rule asks for it");
        fault.changed_ns = self.now_ns;
        if let (Some(episode), None) = (&fault.episode, &fault.latched) {
            let edge = asked.edge(episode.decided_ns.saturating_sub(key.since_ns));
            let (survival, announces) = self.expected(key, asked, &group(asked, episode), edge);
            let announced_ns = announces.then_some(self.now_ns);
            fault.latched = Some(Arc::new(Survival { announced_ns, ..survival }));
        }
        let group = |row: &Episode| group(asked, row);
        let ended = |row: &Episode| {
            let until_ns = row.until_ns.filter(|_| !row.expired)?;
            let edge = asked.edge(until_ns.saturating_sub(key.since_ns));
            Some(Counted { edge, group: group(row), at_ns: self.now_ns })
        };
        let now = fault.row().and_then(ended);
        let what = |counted: &Option<Counted>| counted.clone().map(|of| (of.edge, of.group));
        if what(&now) != what(&fault.counted) {
            let before = std::mem::replace(&mut fault.counted, now.clone());
            self.changes.push(Change { key: key.clone(), before, now });
        }
        self.tell(&mut fault, told);
        self.set_due(key, &mut fault);
        if fault.row().is_some() {
            self.faults.insert(key.clone(), fault);
        }
    }

    /// Tells what changes of a candidate that was announced.
    fn tell(&self, fault: &mut Fault, told: &mut Vec<Update<Episode>>) {
        let announced = fault.latched.as_ref().filter(|latched| latched.announced_ns.is_some());
        let candidate = fault.candidate.as_ref().filter(|_| fault.episode.is_none());
        let row = announced.zip(candidate).map(|(latched, row)| {
            let undecided = Survival { undecided: true, ..(**latched).clone() };
            with(row, Some(&Arc::new(undecided)))
        });
        if row != fault.told {
            let before = std::mem::replace(&mut fault.told, row.clone());
            told.extend(before.map(|before| (before, self.now_ns, -1)));
            told.extend(row.map(|row| (row, self.now_ns, 1)));
        }
    }

    /// What is expected of a fault at an edge, and whether it is to be announced.
    fn expected(&self, key: &Key, asked: &Asked, group: &SmolStr, edge: usize) -> (Survival, bool) {
        let known = Known { at_ns: self.now_ns, remember_ns: asked.remember_ns };
        let units = key.units(group);
        let odds = asked.horizons.iter().map(|horizon| {
            let [entity, group] =
                [0, 1].map(|of| self.counts.past(&units[of], known, [edge, edge.max(*horizon)]));
            Odds { horizon_ns: asked.edges_ns[*horizon], entity, group, prior: asked.prior }
        });
        let (odds, age_ns) = (odds.collect(), asked.edges_ns[edge]);
        let survival = Survival { age_ns, announced_ns: None, undecided: false, odds };
        let p = |horizon_ns| survival.p_lasts(horizon_ns);
        let announces = asked.announce.as_ref().is_some_and(|announce| announce.holds(p));
        (survival, announces)
    }

    /// Judges all that is due; the clock has come no further than to its end.
    fn elapse(&mut self, is_due: impl Fn(i64) -> bool, end_ns: i64) -> Vec<Update<Episode>> {
        let mut told = Vec::new();
        while let Some((due_ns, key)) = self.due.first().cloned().filter(|due| is_due(due.0)) {
            let at_ns = self.timing.ceil(due_ns);
            if at_ns > self.now_ns {
                self.settle();
                self.now_ns = at_ns;
            }
            let mut fault = self.faults.remove(&key).expect("what is due is remembered");
            let row = fault.row().expect("what is gone is not remembered");
            if row.until_ns.is_some() {
                self.due.pop_first();
                if let Some(judged_before) = &mut self.judged {
                    judged_before.extend(judged(&fault, end_ns));
                }
                continue;
            }
            let asked = self.asked[usize::from(key.rule)].as_ref().expect("its rule asks for it");
            let (group, is_candidate) = (group(asked, row), fault.episode.is_none());
            let is_reached = |edge: &usize| {
                let reached_ns = asked.reaches(key.since_ns, *edge);
                let is_reached = |ns| self.timing.ceil(ns) <= self.now_ns && ns <= end_ns;
                reached_ns.is_some_and(is_reached)
            };
            let reached = (fault.edge + 1..).take_while(is_reached).last().unwrap_or(fault.edge);
            let (survival, announces) = self.expected(&key, asked, &group, reached);
            fault.edge = reached + 1;
            if self.judged.is_some() {
                fault.expected.push(survival.clone());
            }
            if announces && is_candidate && fault.latched.is_none() {
                let announced_ns = Some(self.now_ns);
                fault.latched = Some(Arc::new(Survival { announced_ns, ..survival }));
                self.tell(&mut fault, &mut told);
            }
            self.set_due(&key, &mut fault);
            self.faults.insert(key, fault);
        }
        told
    }

    /// What was known at the last logical time is what was before.
    fn settle(&mut self) {
        for Change { key, before, now } in std::mem::take(&mut self.changes) {
            let asked = self.asked[usize::from(key.rule)].as_ref().expect("its rule asks for it");
            let known = Known { at_ns: self.now_ns, remember_ns: asked.remember_ns };
            if let Some(Counted { edge, group, at_ns }) = before {
                for unit in key.units(&group) {
                    self.counts.remove(&unit, known, edge, at_ns);
                }
            }
            if let Some(Counted { edge, group, .. }) = now {
                for unit in key.units(&group) {
                    self.counts.add(unit, known, edge);
                }
            }
        }
    }

    /// Puts a fault's deadline into the queue, if it has one.
    fn set_due(&mut self, key: &Key, fault: &mut Fault) {
        let asked = self.asked[usize::from(key.rule)].as_ref().expect("its rule asks for it");
        let is_judged = fault.latched.is_none() || self.judged.is_some();
        let due_ns = match fault.row() {
            None => None,
            Some(Episode { until_ns: Some(_), .. }) => {
                Some(fault.changed_ns.saturating_add(asked.amends_ns))
            }
            Some(_) if is_judged => asked.reaches(key.since_ns, fault.edge),
            Some(_) => None,
        };
        if let Some(before_ns) = std::mem::replace(&mut fault.due_ns, due_ns) {
            self.due.remove(&(before_ns, key.clone()));
        }
        self.due.extend(due_ns.map(|due_ns| (due_ns, key.clone())));
    }
}

/// Of which group a fault is.
fn group(asked: &Asked, row: &Episode) -> SmolStr {
    let label = asked.by.zip(row.detail.as_ref());
    label.map_or_else(SmolStr::default, |(label, detail)| detail.labels[label].clone())
}

/// A row with what was latched of it.
fn with(row: &Episode, latched: Option<&Arc<Survival>>) -> Episode {
    let Some(survival) = latched else { return row.clone() };
    let detail = row.detail.as_deref().cloned().unwrap_or_default();
    let detail = Detail { survival: Some(Arc::clone(survival)), ..detail };
    Episode { detail: Some(Arc::new(detail)), ..row.clone() }
}

/// What became of a fault until an instant.
fn judged(fault: &Fault, clock_ns: i64) -> Option<Judged> {
    let row = fault.row()?;
    let is_all = row.until_ns.is_some() && !row.expired;
    let until_ns = row.until_ns.unwrap_or(clock_ns);
    let lasted_ns = (until_ns.saturating_sub(row.since_ns), is_all);
    let latched = fault.latched.as_ref().map(|latched| {
        let undecided = fault.episode.is_none();
        Arc::new(Survival { undecided, ..(**latched).clone() })
    });
    let (row, expected) = (with(row, latched.as_ref()), fault.expected.clone());
    Some(Judged { row, expected, lasted_ns })
}

#[cfg(test)]
mod tests;
