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
//! opened anew. What changes before it is final is not told, nor that a session that is open has more
//! changes.
//!
//! Where a [silence](crate::rules::Silence) has an episode when it is to be opened, that waits: it is
//! opened when no silence has it any more, if its end is not final by then. If it is, nobody is ever
//! told of it, unless something late takes that end back. A silence keeps nothing else: what was
//! opened is closed and corrected as ever. The same is so where the [limit](crate::rules::Limit) of a rule
//! leaves no room for what is to be opened: it waits for the next.
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
//! by which silences last changes, all that wait are asked about again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use limbeck_operators::hash::xxh3_128;
use limbeck_operators::timeline::Timing;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::limit::{Buckets, Limiter};
use super::silence::Silencer;
use crate::model::detail::{Changes, Reading};
use crate::model::episode::{Catalog, Episode};
use crate::pipeline::Update;
use crate::rules::{Kind, Rules};

/// Something to tell of an episode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// When it became known, as a logical time.
    pub at_ns: i64,
    /// What it is.
    pub kind: Kind,
    /// What is so from now on.
    pub standing: Standing,
    /// The episode; of one that is withdrawn, as it was.
    pub episode: Episode,
    /// Whether nothing was told of a later episode of the same rule, entity and state. A late
    /// record may tell of an earlier one.
    pub latest: bool,
    /// Of a correction, what was said before.
    pub was: Option<Box<Said>>,
    /// Why nobody is told.
    pub kept_by: Option<Keeper>,
}

/// What keeps an episode from being told as opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// A silence, by its number.
    Silence(usize),
    /// The limit of its rule.
    Limit,
}

/// How an episode stands, to those who are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// It began, and its end is not final.
    Open,
    /// It ended.
    Closed,
    /// It never was.
    Withdrawn,
}

impl Standing {
    /// Its name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl Notification {
    /// What makes two of them the same, wherever and whenever they were made: a hash of the
    /// episode's id, its revision, the kind, and whether it is withdrawn (which is no revision of
    /// its own).
    pub fn id(&self, catalog: &Catalog) -> u128 {
        let mut bytes = [0; 22];
        bytes[..16].copy_from_slice(&catalog.id(&self.episode).to_le_bytes());
        bytes[16..20].copy_from_slice(&self.episode.revision.to_le_bytes());
        bytes[20] = self.kind as u8;
        bytes[21] = u8::from(self.standing == Standing::Withdrawn);
        xxh3_128(&bytes)
    }
}

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
    /// Until an instant, when it is asked again.
    Until(i64),
    /// It is over.
    Over,
}

/// What was said of an episode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// As it was.
    pub episode: Episode,
    /// Whether it was said to have ended.
    pub closed: bool,
}

impl Said {
    /// How it stood.
    pub fn standing(&self) -> Standing {
        if self.closed { Standing::Closed } else { Standing::Open }
    }
}

/// What a [`Latch`] remembers: enough to go on with, and independent of workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    now_ns: i64,
    held: Vec<(Key, Held)>,
    buckets: Buckets,
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
    /// What is kept from being opened.
    waiting: BTreeSet<Key>,
}

/// What is said of an episode that is to be opened.
enum Spoken {
    /// That it is.
    Told,
    /// That it would be, but for this.
    Kept(Keeper),
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
            waiting: BTreeSet::new(),
        }
    }

    /// Takes in all updates of some complete logical times, in order.
    pub fn take(&mut self, updates: &[Update<Episode>], out: &mut Vec<Notification>) {
        for moment in updates.chunk_by(|one, other| one.1 == other.1) {
            let at_ns = moment[0].1;
            self.advance(at_ns, out);
            self.now_ns = self.now_ns.max(at_ns);
            self.moment(moment, out);
        }
    }

    /// Lets time pass: all updates of logical times before this one have been taken.
    pub fn advance(&mut self, before_ns: i64, out: &mut Vec<Notification>) {
        // What is due within a tick comes behind its updates, and not after the end of the log.
        let timing = self.timing;
        self.elapse(|due_ns| timing.ceil(due_ns) < before_ns, i64::MAX, out);
    }

    /// Tells what is due until the end of the log, an instant, inclusive.
    pub fn end(&mut self, clock_ns: i64, out: &mut Vec<Notification>) {
        self.elapse(|due_ns| due_ns <= clock_ns, clock_ns, out);
    }

    /// How many episodes are remembered.
    pub fn remembered(&self) -> usize {
        self.held.len()
    }

    /// What is remembered.
    pub fn snapshot(&self) -> Snapshot {
        let held = self.held.iter().map(|(key, held)| (key.clone(), held.clone())).collect();
        Snapshot { now_ns: self.now_ns, held, buckets: self.limiter.saved().clone() }
    }

    /// Goes on from what was remembered; the rules must be the same.
    #[must_use]
    pub fn restore(mut self, snapshot: Snapshot) -> Self {
        self.now_ns = snapshot.now_ns;
        let due = |(key, held): &(Key, Held)| Some((held.due_ns?, key.clone()));
        self.due = snapshot.held.iter().filter_map(due).collect();
        let waits = |held: &Held| held.kept.is_some_and(|kept| kept != Kept::Over);
        let waiting = snapshot.held.iter().filter(|(_, held)| waits(held));
        self.waiting = waiting.map(|(key, _)| key.clone()).collect();
        self.held = snapshot.held.into_iter().collect();
        self.limiter.restore(snapshot.buckets);
        if let Some(silencer) = &mut self.silencer {
            for (key, held) in &self.held {
                silencer.note(key, held.episode.as_ref());
            }
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
        let keeps = self.silencer.is_some() || self.limiter.is_any();
        let mut changed = BTreeSet::new();
        for key in touched {
            self.set_due(&key);
            // The end of the one before is decided where this one is.
            let before = self.held.range(..&key).next_back().map(|(before, _)| before.clone());
            if let Some(before) = before.filter(|before| before.lane() == key.lane()) {
                self.set_due(&before);
                changed.extend(keeps.then_some(before));
            }
            changed.extend(keeps.then_some(key));
        }
        self.reconsider(changed);
    }

    /// Has asked again about what has changed, and if silences last by that, about all that waits.
    fn reconsider(&mut self, mut changed: BTreeSet<Key>) {
        if let Some(silencer) = &mut self.silencer {
            let mut is_any = false;
            for key in &changed {
                let episode = self.held.get(key).and_then(|held| held.episode.as_ref());
                is_any |= silencer.note(key, episode);
            }
            if is_any {
                changed.extend(self.waiting.iter().cloned());
            }
        }
        for key in changed {
            let kept = self.held.get_mut(&key).and_then(|held| held.kept.as_mut());
            // For a token it need not be asked before there is one.
            let is_asked = |kept: &Kept| *kept == Kept::Over || self.silencer.is_some();
            if let Some(kept) = kept.filter(|kept| is_asked(kept)) {
                *kept = Kept::Until(i64::MIN);
                self.waiting.insert(key.clone());
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
        let said = self.held.remove(key).and_then(|held| held.said);
        self.waiting.remove(key);
        let latest = self.is_latest(key);
        out.extend(said.map(|said| Notification {
            at_ns: self.now_ns,
            latest,
            kind: Kind::Correction,
            standing: Standing::Withdrawn,
            episode: said.episode.clone(),
            was: Some(Box::new(said)),
            kept_by: None,
        }));
    }

    /// Tells what is no longer as it was said.
    fn correct(&mut self, key: &Key, out: &mut Vec<Notification>) {
        let latest = self.is_latest(key);
        let Some(Held { episode: Some(episode), said: Some(said), .. }) = self.held.get_mut(key)
        else {
            return;
        };
        if !differs(episode, said) {
            return;
        }
        let closed = said.closed && episode.until_ns.is_some();
        let was = std::mem::replace(said, Said { episode: episode.clone(), closed });
        out.push(Notification {
            at_ns: self.now_ns,
            latest,
            kind: Kind::Correction,
            standing: said.standing(),
            episode: episode.clone(),
            was: Some(Box::new(was)),
            kept_by: None,
        });
    }

    /// Tells all that is due; the clock has come no further than to its end.
    fn elapse(&mut self, is_due: impl Fn(i64) -> bool, end_ns: i64, out: &mut Vec<Notification>) {
        while let Some((due_ns, key)) = self.due.first().cloned().filter(|due| is_due(due.0)) {
            self.due.pop_first();
            let held = self.held.get_mut(&key).expect("what is due is held");
            held.due_ns = None;
            let episode = held.episode.clone().expect("what is withdrawn is not held");
            let closed = match (&held.said, held.kept) {
                (Some(Said { closed: true, .. }), _) | (None, Some(Kept::Over)) => {
                    self.held.remove(&key);
                    if let Some(silencer) = &mut self.silencer {
                        silencer.note(&key, None);
                    }
                    continue;
                }
                (Some(Said { closed: false, .. }), _) => true,
                (None, _) => false,
            };
            self.now_ns = self.now_ns.max(self.timing.ceil(due_ns));
            let (at_ns, latest) = (self.now_ns, self.is_latest(&key));
            let (kind, standing) = match closed {
                false => (Kind::Opened, Standing::Open),
                true => (Kind::Closed, Standing::Closed),
            };
            let spoken = match closed {
                false => self.speak(&key, &episode, due_ns, end_ns),
                true => Spoken::Told,
            };
            let held = self.held.get_mut(&key).expect("what is due is held");
            let kept_by = match spoken {
                Spoken::Told => {
                    held.said = Some(Said { episode: episode.clone(), closed });
                    held.kept = None;
                    self.waiting.remove(&key);
                    Some(None)
                }
                Spoken::Kept(by) => Some(Some(by)),
                Spoken::Nothing => None,
            };
            let was = None;
            out.extend(kept_by.map(|kept_by| Notification {
                at_ns,
                latest,
                kind,
                standing,
                episode,
                was,
                kept_by,
            }));
            self.set_due(&key);
        }
    }

    /// Whether an episode that is to be opened is told.
    fn speak(&mut self, key: &Key, episode: &Episode, due_ns: i64, end_ns: i64) -> Spoken {
        if self.silencer.is_none() && !self.limiter.limits(key.rule) {
            return Spoken::Told;
        }
        let kept = self.held[key].kept;
        // What became known after it was due is told when it did.
        let at_ns = match self.timing.ceil(due_ns) < self.now_ns {
            true => self.now_ns.min(end_ns),
            false => due_ns,
        };
        let ended_ns = self.end_decided_ns(key, episode);
        let ended_ns = ended_ns.map(|ended_ns| ended_ns.saturating_add(self.timing.lateness));
        let is_over = kept.is_some() && ended_ns.is_some_and(|ended_ns| ended_ns <= at_ns);
        let by = match is_over {
            true => None,
            false => self.keeper(episode, at_ns),
        };
        let now = match by {
            None if !is_over => return Spoken::Told,
            None => Kept::Over,
            Some((_, until_ns)) => Kept::Until(until_ns),
        };
        match now {
            Kept::Over => self.waiting.remove(key),
            Kept::Until(_) => self.waiting.insert(key.clone()),
        };
        self.held.entry(key.clone()).and_modify(|held| held.kept = Some(now));
        by.filter(|_| kept.is_none()).map_or(Spoken::Nothing, |(by, _)| Spoken::Kept(by))
    }

    /// What keeps an episode from being opened at an instant, and until when it does at least.
    fn keeper(&mut self, episode: &Episode, at_ns: i64) -> Option<(Keeper, i64)> {
        let standing = |key: &Key| {
            let episode = self.held.get(key)?.episode.as_ref()?;
            Some((episode.decided_ns, self.end_decided_ns(key, episode)))
        };
        let silencer = self.silencer.as_ref();
        let silenced = silencer.and_then(|of| of.silences(episode, at_ns, standing));
        if let Some((by, until_ns)) = silenced {
            return Some((Keeper::Silence(by), until_ns));
        }
        let next_ns = self.limiter.take(episode, at_ns).err()?;
        Some((Keeper::Limit, next_ns))
    }

    /// Whether nothing was said of a later episode of the same rule, entity and state.
    fn is_latest(&self, key: &Key) -> bool {
        let later = self.held.range((Bound::Excluded(key), Bound::Unbounded));
        let mut later = later.take_while(|(later, _)| later.lane() == key.lane());
        !later.any(|(later, held)| later.state == key.state && held.said.is_some())
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
        let opens_ns = episode.decided_ns.saturating_add(self.timing.lateness);
        let ended_ns = || self.end_decided_ns(key, episode);
        let final_ns = || Some(ended_ns()?.saturating_add(self.timing.lateness));
        let forgotten_ns =
            || Some(ended_ns()?.saturating_add(self.times[usize::from(key.rule)].remember_ns));
        match (&held.said, held.kept) {
            (Some(Said { closed: true, .. }), _) | (None, Some(Kept::Over)) => forgotten_ns(),
            (Some(Said { closed: false, .. }), _) => final_ns(),
            (None, Some(Kept::Until(until_ns))) => {
                let opens_ns = opens_ns.max(until_ns);
                let due_ns = final_ns().map_or(opens_ns, |final_ns| opens_ns.min(final_ns));
                Some(due_ns).filter(|due_ns| *due_ns < i64::MAX)
            }
            (None, None) => Some(opens_ns),
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

/// Whether an episode is other than was said, beyond an end that is not final yet.
fn differs(episode: &Episode, said: &Said) -> bool {
    let Episode { until_ns, expired, .. } = said.episode;
    let end = match said.closed {
        true => (episode.until_ns, episode.expired),
        false => (until_ns, expired),
    };
    end != (until_ns, expired)
        || episode.decided_ns != said.episode.decided_ns
        || carried(episode, said.closed) != carried(&said.episode, said.closed)
}

/// What an episode carries. More changes of a session that goes on are told with its end.
fn carried(
    episode: &Episode,
    closed: bool,
) -> Option<(&[SmolStr], Option<Reading>, Option<Changes>)> {
    let detail = episode.detail.as_deref()?;
    Some((&detail.labels, detail.value, detail.changes.filter(|_| closed)))
}

#[cfg(test)]
mod tests;
