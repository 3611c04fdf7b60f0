//! The latch: what is notified of. A machine of its own, since that depends on what was said
//! before, and not on the episodes alone.
//!
//! # Meaning
//!
//! An episode is *opened* once its beginning is final: when the clock has reached `decided` +
//! lateness, nothing that comes in time can withdraw it or move its `since`. It is *closed* once
//! its end is final: its end is decided where the episode that follows it is, or by the rule's
//! `expire_after`; the lateness later nothing in time can move it. What a late record changes in
//! what was said (a rule may amend for longer than the lateness) is a *correction*, at once: other
//! content, another end, no end after all, or an episode that is *withdrawn*. An episode whose end
//! was taken back is open again, and closed once more; one that was withdrawn and comes back is
//! opened anew. A fault that is [announced early](crate::persistence) is opened at once; a candidate that was,
//! and never became an episode, is closed where its state was contradicted, the lateness after that, or
//! withdrawn if there was no such fault at all. What changes before it is final is not told, nor that a session that is open has more
//! changes.
//!
//! Where a [silence](crate::rules::Silence) has an episode when it is to be opened, that waits: it is
//! opened when no silence has it any more, if its end is not final by then. If it is, nobody is ever
//! told of it, unless something late takes that end back. A silence keeps nothing else: what was
//! opened is closed and corrected as ever. The same is so where the [limit](crate::rules::Limit) of a rule
//! leaves no room for what is to be opened: it waits for the next. What is one of many similar ones is
//! told within a group, and so is all that becomes of it.
//!
//! Of what is due at one instant the first in the order of rule, entity, beginning and state is asked
//! first, and takes the first token. What is silenced is due again when that may be over: at the end
//! of what has silenced it, or at the logical time at which silences or the episode changed. What waits for a
//! token is due when there is one, whatever changes meanwhile: so silences that have nobody
//! change nothing. What becomes known late, or is not over after all, has been due since it was to be opened.
//!
//! What keeps an episode from being told is asked in this order: whether its rule is observed only
//! (then nothing else counts), silences, whether it is told within a group, and the limit, of which
//! the beginning of a group takes a token and what it takes in does not.
//!
//! Guarantees: notifications depend on the updates and the clock alone, not on how often the clock
//! is told. Deadlines are compared exactly, and dated by the tick: a notification is dated at its
//! deadline rounded up, or at the update that caused it, if that is later. Those of one entity and
//! rule come in the order in which they are to be told.
//!
//! # Cost
//!
//! Per open episode two versions of it; of one that was closed the same, until nothing amends it
//! any more: the lateness, or `amend_within` of its rule, after its end is decided. Where an episode
//! by which silences last changes, all that are silenced are asked about again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::ops::Bound;

use limbeck_operators::timeline::Timing;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::aggregate::{Aggregator, Change, Groups, Joined, Place};
use super::limit::{Buckets, Limiter};
use super::notification::{Keeper, Notification, Said, Standing};
use super::silence::Silencer;
use crate::model::episode::{Catalog, Episode};
use crate::model::silencing::Silencing;
use crate::persistence::{Learner, Step};
use crate::pipeline::Update;
use crate::rules::{Kind, Rules};

/// What makes versions of one episode: its rule and entity first, so that what follows is near.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Key {
    rule: u16,
    entity: SmolStr,
    since_ns: i64,
    state: u16,
}

impl Key {
    /// The one before all others.
    pub(super) fn least() -> Self {
        Self { rule: 0, entity: SmolStr::default(), since_ns: i64::MIN, state: 0 }
    }

    fn of(episode: &Episode) -> Self {
        let Episode { rule, entity, since_ns, state, .. } = episode;
        Self { rule: *rule, entity: entity.clone(), since_ns: *since_ns, state: *state }
    }

    fn lane(&self) -> (u16, &str) {
        (self.rule, &self.entity)
    }
}

/// An episode that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    /// As it stands; none while a moment withdraws it.
    episode: Option<Episode>,
    /// What was said last.
    said: Option<Said>,
    /// Why nothing was said of it, if it is time.
    kept: Option<Kept>,
    /// When its deadline is, as it is in the queue.
    due_ns: Option<i64>,
}

/// An episode of which nobody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kept {
    /// Until an instant, when it is asked again, whatever changes before.
    Until(i64),
    /// Until an instant, or until silences, or what they see of it, change.
    Silenced(i64),
    /// It is over.
    Over,
    /// What is said of it is said of a group, by its number.
    Within(u64),
}

/// What a [`Latch`] remembers: enough to go on with, and independent of workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    now_ns: i64,
    held: Vec<(Key, Held)>,
    buckets: Buckets,
    groups: Groups,
    heard: Vec<Silencing>,
    to_hear: Vec<Update<Silencing>>,
}

/// The machine. See the [module documentation](self).
#[derive(Clone, Debug)]
pub struct Latch {
    timing: Timing,
    /// By the rank of the rule.
    times: Vec<Times>,
    /// The last logical time of which something is known, or was told.
    now_ns: i64,
    held: BTreeMap<Key, Held>,
    due: BTreeSet<(i64, Key)>,
    silencer: Option<Silencer>,
    limiter: Limiter,
    aggregator: Aggregator,
    /// What records say of silences, by logical times that are not over.
    to_hear: VecDeque<Update<Silencing>>,
    /// What silences keep from being opened.
    silenced: BTreeSet<Key>,
}

/// What is said of an episode that is to be opened.
enum Spoken {
    /// That it is.
    Told,
    /// That it would be, but for this.
    Kept(Keeper),
    /// That it is one of a group.
    Joined(Joined),
    /// What there is to say of its group, which it leaves.
    Left(Option<Notification>),
    /// Nothing more.
    Nothing,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    expire_after_ns: i64,
    remember_ns: i64,
}

impl Latch {
    /// A latch for the episodes of a rule file, at a tick.
    pub fn new(rules: &Rules, catalog: &Catalog, tick_ns: i64) -> Self {
        let mut times = vec![Times::default(); rules.rules.len()];
        for (rule, rank) in rules.rules.iter().zip(catalog.rule_ranks()) {
            // Updates are dated by the tick, and what waited for its instant comes at its end.
            let remember_ns = rule.amend_within_ns.saturating_add(tick_ns.saturating_mul(3));
            let expire_after_ns = rule.expire_after_ns;
            times[usize::from(rank)] = Times { expire_after_ns, remember_ns };
        }
        Self {
            timing: Timing { lateness: rules.lateness_ns, tick: tick_ns },
            times,
            now_ns: i64::MIN,
            held: BTreeMap::new(),
            due: BTreeSet::new(),
            silencer: Silencer::new(rules, catalog),
            limiter: Limiter::new(rules, catalog),
            aggregator: Aggregator::new(rules, catalog),
            to_hear: VecDeque::new(),
            silenced: BTreeSet::new(),
        }
    }

    /// Takes in what records say of silences, by rising logical time; each before the updates of its
    /// own.
    pub fn hear(&mut self, heard: Vec<Update<Silencing>>) {
        self.to_hear.extend(heard);
    }

    /// Takes in all updates of some complete logical times, in order.
    pub fn take(&mut self, updates: &[Update<Episode>], out: &mut Vec<Notification>) {
        for moment in updates.chunk_by(|one, other| one.1 == other.1) {
            let at_ns = moment[0].1;
            self.advance(at_ns, out);
            self.now_ns = self.now_ns.max(at_ns);
            let has_heard = self.listen(at_ns);
            self.moment(moment, out);
            if has_heard {
                self.reconsider(self.silenced.clone());
            }
        }
    }

    /// Lets time pass: all updates of logical times before this one have been taken.
    pub fn advance(&mut self, before_ns: i64, out: &mut Vec<Notification>) {
        while let Some(at_ns) = self.to_hear.front().map(|(_, at_ns, _)| *at_ns)
            && at_ns < before_ns
        {
            self.pass(at_ns, out);
            self.now_ns = self.now_ns.max(at_ns);
            self.listen(at_ns);
            self.reconsider(self.silenced.clone());
        }
        self.pass(before_ns, out);
    }

    /// Has what records say of silences until a logical time be so; whether they say anything.
    fn listen(&mut self, until_ns: i64) -> bool {
        let mut has_heard = false;
        while let Some((heard, ..)) = self.to_hear.pop_front_if(|(_, at_ns, _)| *at_ns <= until_ns)
        {
            let silencer = self.silencer.as_mut().expect("some silence is heard");
            silencer.hear(heard, until_ns.saturating_sub(self.timing.tick));
            has_heard = true;
        }
        has_heard
    }

    /// Tells what is due before a logical time; nothing is heard meanwhile.
    fn pass(&mut self, before_ns: i64, out: &mut Vec<Notification>) {
        // What is due within a tick comes behind its updates, and not after the end of the log.
        let timing = self.timing;
        self.elapse(|due_ns| timing.ceil(due_ns) < before_ns, i64::MAX, out);
    }

    /// Tells what is due until the end of the log, an instant, inclusive.
    pub fn end(&mut self, clock_ns: i64, out: &mut Vec<Notification>) {
        // Time ends within the last tick, and no record is of a later one.
        let last_ns = self.to_hear.back().map(|(_, at_ns, _)| at_ns.saturating_add(1));
        last_ns.into_iter().for_each(|last_ns| self.advance(last_ns, out));
        if clock_ns < self.now_ns {
            // What is to be asked at the end of the tick is asked where time ends.
            self.ask_silenced(self.silenced.clone(), clock_ns);
        }
        self.elapse(|due_ns| due_ns <= clock_ns, clock_ns, out);
    }

    /// The same where some rule tells candidates, which a learner announces. Gives the updates of episodes, with
    /// what was latched of them.
    pub fn take_learned(
        &mut self,
        learner: &mut Learner,
        candidates: &[Update<Episode>],
        episodes: &[Update<Episode>],
        out: &mut Vec<Notification>,
    ) -> Vec<Update<Episode>> {
        let mut learned = Vec::new();
        let told = learner.take(candidates, episodes, |step| {
            match step {
                Step::Moment { episodes, announced, .. } => {
                    self.take(&[&episodes[..], &announced[..]].concat(), out);
                    learned.extend(episodes);
                }
                Step::Behind(announced) => self.take(&[announced], out),
            }
            Ok::<_, Infallible>(())
        });
        let Ok(()) = told;
        learned
    }

    /// Tells what a learner announces until the end of the log, and then what is due.
    pub fn end_learned(
        &mut self,
        learner: Option<&mut Learner>,
        clock_ns: i64,
        out: &mut Vec<Notification>,
    ) {
        let announced = learner.map(|learner| learner.end(clock_ns)).unwrap_or_default();
        announced.into_iter().for_each(|announced| self.take(&[announced], out));
        self.end(clock_ns, out);
    }

    /// How many episodes are remembered.
    pub fn remembered(&self) -> usize {
        self.held.len()
    }

    /// What is remembered.
    pub fn snapshot(&self) -> Snapshot {
        let held = self.held.iter().map(|(key, held)| (key.clone(), held.clone())).collect();
        let (buckets, groups) = (self.limiter.saved().clone(), self.aggregator.saved().clone());
        let heard = self.silencer.as_ref().map(Silencer::saved).unwrap_or_default();
        let to_hear = self.to_hear.iter().cloned().collect();
        Snapshot { now_ns: self.now_ns, held, buckets, groups, heard, to_hear }
    }

    /// Goes on from what was remembered; the rules must be the same.
    #[must_use]
    pub fn restore(mut self, snapshot: Snapshot) -> Self {
        self.now_ns = snapshot.now_ns;
        let due = |(key, held): &(Key, Held)| Some((held.due_ns?, key.clone()));
        self.due = snapshot.held.iter().filter_map(due).collect();
        let is_silenced = |held: &Held| matches!(held.kept, Some(Kept::Silenced(_)));
        let silenced = snapshot.held.iter().filter(|(_, held)| is_silenced(held));
        self.silenced = silenced.map(|(key, _)| key.clone()).collect();
        self.held = snapshot.held.into_iter().collect();
        self.limiter.restore(snapshot.buckets);
        self.aggregator.restore(snapshot.groups);
        self.to_hear = snapshot.to_hear.into();
        if let Some(silencer) = &mut self.silencer {
            for (key, held) in &self.held {
                silencer.note(key, held.episode.as_ref());
            }
            snapshot.heard.into_iter().for_each(|heard| silencer.hear(heard, i64::MIN));
        }
        self
    }

    /// Takes in what changes at a logical time.
    fn moment(&mut self, updates: &[Update<Episode>], out: &mut Vec<Notification>) {
        let mut touched = BTreeSet::new();
        for (episode, ..) in updates.iter().filter(|(.., diff)| *diff < 0) {
            let key = Key::of(episode);
            let held = self.held.get_mut(&key);
            debug_assert!(held.is_some(), "it was forgotten and is amended: {episode:?}");
            if let Some(held) = held {
                held.episode = None;
                touched.insert(key);
            }
        }
        for (episode, ..) in updates.iter().filter(|(.., diff)| *diff > 0) {
            let key = Key::of(episode);
            let new = Held { episode: None, said: None, kept: None, due_ns: None };
            self.held.entry(key.clone()).or_insert(new).episode = Some(episode.clone());
            touched.insert(key);
        }
        // What is gone first: what is so may take its place.
        for key in &touched {
            self.withdraw(key, out);
        }
        for key in &touched {
            self.correct(key, out);
        }
        let keeps = self.silencer.is_some() || self.limiter.is_any() || self.aggregator.is_any();
        let mut changed = BTreeSet::new();
        for key in touched {
            self.set_due(&key);
            // The end of the one before is decided where this one is.
            let mut before = self.held.range(..&key).rev();
            let before =
                before.find(|(_, held)| !held.episode.as_ref().is_some_and(Episode::is_undecided));
            let before = before.map(|(before, _)| before.clone());
            if let Some(before) = before.filter(|before| before.lane() == key.lane()) {
                self.set_due(&before);
                changed.extend(keeps.then_some(before));
            }
            changed.extend(keeps.then_some(key));
        }
        self.reconsider(changed);
    }

    /// Has asked again about what has changed, and if silences last by that, about all that is
    /// silenced.
    fn reconsider(&mut self, mut changed: BTreeSet<Key>) {
        if let Some(silencer) = &mut self.silencer {
            let mut is_any = false;
            for key in &changed {
                let episode = self.held.get(key).and_then(|held| held.episode.as_ref());
                is_any |= silencer.note(key, episode);
            }
            if is_any {
                changed.extend(self.silenced.iter().cloned());
            }
        }
        for key in &changed {
            if let Some(held) = self.held.get_mut(key).filter(|of| of.kept == Some(Kept::Over)) {
                held.kept = Some(Kept::Until(i64::MIN));
                self.set_due(key);
            }
        }
        self.ask_silenced(changed, self.now_ns);
    }

    /// Has asked again at an instant, at the latest, about those of these that are silenced.
    fn ask_silenced(&mut self, of: BTreeSet<Key>, at_ns: i64) {
        for key in of {
            let kept = self.held.get_mut(&key).and_then(|held| held.kept.as_mut());
            if let Some(Kept::Silenced(until_ns)) = kept {
                *until_ns = at_ns.min(*until_ns);
                self.set_due(&key);
            }
        }
    }

    /// Forgets an episode that stands no more, and tells it if it was told.
    fn withdraw(&mut self, key: &Key, out: &mut Vec<Notification>) {
        let Some(held) = self.held.get(key).filter(|held| held.episode.is_none()) else { return };
        if let Some(due_ns) = held.due_ns {
            self.due.remove(&(due_ns, key.clone()));
        }
        let Some(Held { said, kept, .. }) = self.held.remove(key) else { return };
        self.silenced.remove(key);
        let Some(said) = said else { return };
        if let Some(Kept::Within(group)) = kept {
            let change = if said.closed { Change::WithdrawnEnded } else { Change::Withdrawn };
            out.extend(self.aggregator.change(group, change, (self.now_ns, self.now_ns)));
            return;
        }
        out.push(Notification {
            at_ns: self.now_ns,
            latest: self.is_latest(key),
            kind: Kind::Correction,
            standing: Standing::Withdrawn,
            episode: said.episode.clone(),
            was: Some(Box::new(said)),
            kept_by: None,
            group: None,
        });
    }

    /// Tells what is no longer as it was said.
    fn correct(&mut self, key: &Key, out: &mut Vec<Notification>) {
        let latest = self.is_latest(key);
        let Some(Held { episode: Some(episode), said: Some(said), kept, .. }) =
            self.held.get_mut(key)
        else {
            return;
        };
        if !said.differs(episode) {
            return;
        }
        let closed = said.closed && episode.until_ns.is_some();
        let was = std::mem::replace(said, Said { episode: episode.clone(), closed });
        if let Some(Kept::Within(group)) = *kept {
            if was.closed && !closed {
                let at = (self.now_ns, self.now_ns);
                out.extend(self.aggregator.change(group, Change::Resumed, at));
            }
            return;
        }
        out.push(Notification {
            at_ns: self.now_ns,
            latest,
            kind: Kind::Correction,
            standing: said.standing(),
            episode: episode.clone(),
            was: Some(Box::new(was)),
            kept_by: None,
            group: None,
        });
    }

    /// Tells all that is due; the clock has come no further than to its end.
    fn elapse(&mut self, is_due: impl Fn(i64) -> bool, end_ns: i64, out: &mut Vec<Notification>) {
        while let Some((due_ns, key)) = self.due.first().cloned().filter(|due| is_due(due.0)) {
            self.due.pop_first();
            let held = self.held.get_mut(&key).expect("what is due is held");
            held.due_ns = None;
            let episode = held.episode.clone().expect("what is withdrawn is not held");
            let (closed, kept) = match (&held.said, held.kept) {
                (Some(Said { closed: true, .. }), _) | (None, Some(Kept::Over)) => {
                    self.forget(&key);
                    continue;
                }
                (Some(Said { closed: false, .. }), kept) => (true, kept),
                (None, kept) => (false, kept),
            };
            self.now_ns = self.now_ns.max(self.timing.ceil(due_ns));
            let (at_ns, latest) = (self.now_ns, self.is_latest(&key));
            let (kind, standing) = match closed {
                false => (Kind::Opened, Standing::Open),
                true => (Kind::Closed, Standing::Closed),
            };
            let spoken = match (closed, kept) {
                (false, _) => self.speak(&key, &episode, due_ns, end_ns),
                (true, Some(Kept::Within(group))) => {
                    let at = (self.told_ns(due_ns, end_ns), at_ns);
                    Spoken::Left(self.aggregator.change(group, Change::Ended, at))
                }
                (true, _) => Spoken::Told,
            };
            let held = self.held.get_mut(&key).expect("what is due is held");
            let news = |kept_by| Notification {
                at_ns,
                latest,
                kind,
                standing,
                episode: episode.clone(),
                was: None,
                kept_by,
                group: None,
            };
            if !matches!(spoken, Spoken::Kept(_) | Spoken::Nothing) {
                held.said = Some(Said { episode: episode.clone(), closed });
                self.silenced.remove(&key);
            }
            match spoken {
                Spoken::Told => {
                    held.kept = None;
                    out.push(news(None));
                }
                Spoken::Joined(Joined { group, keeper, told }) => {
                    held.kept = Some(Kept::Within(group));
                    out.push(news(Some(keeper)));
                    out.extend(told);
                }
                Spoken::Left(told) => out.extend(told),
                Spoken::Kept(by) => out.push(news(Some(by))),
                Spoken::Nothing => {}
            }
            self.set_due(&key);
        }
    }

    /// Forgets an episode of which nothing can be told any more.
    fn forget(&mut self, key: &Key) {
        let held = self.held.remove(key);
        if let Some(silencer) = &mut self.silencer {
            silencer.note(key, None);
        }
        if let Some(Kept::Within(group)) = held.and_then(|held| held.kept) {
            self.aggregator.forget(group);
        }
    }

    /// The instant at which what was due is told: when it became known, if that was after.
    fn told_ns(&self, due_ns: i64, end_ns: i64) -> i64 {
        match self.timing.ceil(due_ns) < self.now_ns {
            true => self.now_ns.min(end_ns),
            false => due_ns,
        }
    }

    /// Whether an episode that is to be opened is told.
    fn speak(&mut self, key: &Key, episode: &Episode, due_ns: i64, end_ns: i64) -> Spoken {
        let is_told = !self.limiter.limits(key.rule) && !self.aggregator.aggregates(key.rule);
        if self.silencer.is_none() && is_told {
            return Spoken::Told;
        }
        let kept = self.held[key].kept;
        let at_ns = self.told_ns(due_ns, end_ns);
        let ended_ns = self.end_decided_ns(key, episode);
        let ended_ns = ended_ns.map(|ended_ns| ended_ns.saturating_add(self.timing.lateness));
        let is_over = kept.is_some() && ended_ns.is_some_and(|ended_ns| ended_ns <= at_ns);
        let (by, now) = match is_over {
            true => (None, Kept::Over),
            false => match self.open(episode, at_ns) {
                Ok(spoken) => return spoken,
                Err((by @ Keeper::Silence(..), until_ns)) => (Some(by), Kept::Silenced(until_ns)),
                Err((by, until_ns)) => (Some(by), Kept::Until(until_ns)),
            },
        };
        match now {
            Kept::Silenced(_) => self.silenced.insert(key.clone()),
            _ => self.silenced.remove(key),
        };
        self.held.entry(key.clone()).and_modify(|held| held.kept = Some(now));
        by.filter(|_| kept.is_none()).map_or(Spoken::Nothing, Spoken::Kept)
    }

    /// Opens an episode at an instant, or says what keeps it from that, and until when at least.
    fn open(&mut self, episode: &Episode, at_ns: i64) -> Result<Spoken, (Keeper, i64)> {
        let standing = |key: &Key| {
            let episode = self.held.get(key)?.episode.as_ref()?;
            Some((episode.decided_ns, self.end_decided_ns(key, episode)))
        };
        let silencer = self.silencer.as_ref();
        let silenced = silencer.and_then(|of| of.silences(episode, at_ns, standing));
        if let Some(((by, id), until_ns)) = silenced {
            return Err((Keeper::Silence(by, id), until_ns));
        }
        // Within a tick, what became known late is told before what was due before its end.
        let past_ns = self.now_ns.saturating_sub(self.timing.tick);
        let place = self.aggregator.place(episode, at_ns);
        let limited = match &place {
            Place::Alone => self.limiter.take(episode, episode, at_ns, past_ns),
            Place::First(group) => self.limiter.take(episode, group, at_ns, past_ns),
            Place::Within => Ok(()),
        };
        limited.map_err(|next_ns| (Keeper::Limit, next_ns))?;
        let joined = self.aggregator.take(episode, place, (at_ns, self.now_ns), past_ns);
        Ok(joined.map_or(Spoken::Told, Spoken::Joined))
    }

    /// Whether nothing was said of a later episode of the same rule, entity and state.
    fn is_latest(&self, key: &Key) -> bool {
        let later = self.held.range((Bound::Excluded(key), Bound::Unbounded));
        let mut later = later.take_while(|(later, _)| later.lane() == key.lane());
        let was_told =
            |held: &Held| held.said.is_some() && !matches!(held.kept, Some(Kept::Within(_)));
        !later.any(|(later, held)| later.state == key.state && was_told(held))
    }

    /// Puts an episode's deadline into the queue, if it has one.
    fn set_due(&mut self, key: &Key) {
        let Some(held) = self.held.get(key) else { return };
        let due_ns = self.due_ns(key, held);
        if due_ns == held.due_ns {
            return;
        }
        if let Some(before_ns) = held.due_ns {
            self.due.remove(&(before_ns, key.clone()));
        }
        self.due.extend(due_ns.map(|due_ns| (due_ns, key.clone())));
        if let Some(held) = self.held.get_mut(key) {
            held.due_ns = due_ns;
        }
    }

    /// When the next thing is to be told of an episode, or it is to be forgotten.
    fn due_ns(&self, key: &Key, held: &Held) -> Option<i64> {
        let episode = held.episode.as_ref()?;
        let announced = episode.survival().is_some_and(|of| of.announced_ns.is_some());
        let opens_ns = match announced {
            true => i64::MIN,
            false => episode.decided_ns.saturating_add(self.timing.lateness),
        };
        let ended_ns = || self.end_decided_ns(key, episode);
        let final_ns = || Some(ended_ns()?.saturating_add(self.timing.lateness));
        let forgotten_ns =
            || Some(ended_ns()?.saturating_add(self.times[usize::from(key.rule)].remember_ns));
        match (&held.said, held.kept) {
            (Some(Said { closed: true, .. }), _) | (None, Some(Kept::Over)) => forgotten_ns(),
            (Some(Said { closed: false, .. }), _) => final_ns(),
            (None, Some(Kept::Until(until_ns) | Kept::Silenced(until_ns))) => {
                let opens_ns = opens_ns.max(until_ns);
                let due_ns = final_ns().map_or(opens_ns, |final_ns| opens_ns.min(final_ns));
                Some(due_ns).filter(|due_ns| *due_ns < i64::MAX)
            }
            (None, None | Some(Kept::Within(_))) => Some(opens_ns),
        }
    }

    /// When the end of an episode was decided.
    fn end_decided_ns(&self, key: &Key, episode: &Episode) -> Option<i64> {
        let until_ns = episode.until_ns?;
        if episode.expired {
            return Some(
                until_ns.saturating_add(self.times[usize::from(key.rule)].expire_after_ns),
            );
        }
        if episode.is_undecided() {
            return Some(until_ns);
        }
        let from = Key { since_ns: until_ns, state: 0, ..key.clone() };
        let mut following = self.held.range(from..);
        let next = following.find_map(|(_, held)| held.episode.as_ref());
        let next = next.filter(|next| {
            (next.rule, &*next.entity, next.since_ns) == (key.rule, &*key.entity, until_ns)
        });
        debug_assert!(next.is_some(), "an episode that changed is followed: {episode:?}");
        Some(next.map_or(until_ns, |next| next.decided_ns))
    }
}

#[cfg(test)]
mod tests;
