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
//! Guarantees: notifications depend on the updates and the clock alone, not on how often the clock
//! is told. Deadlines are compared exactly, and dated by the tick: a notification is dated at its
//! deadline rounded up, or at the update that caused it, if that is later. Those of one entity and
//! rule come in the order in which they are to be told.
//!
//! # Cost
//!
//! Per open episode two versions of it; of one that was closed the same, until nothing amends it
//! any more: the lateness, or `amend_within` of its rule, after its end is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use limbeck_operators::hash::xxh3_128;
use limbeck_operators::timeline::Timing;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

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
struct Key {
    rule: u16,
    entity: SmolStr,
    since_ns: i64,
    state: u16,
}

impl Key {
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
    /// When its deadline is, as it is in the queue.
    due_ns: Option<i64>,
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
        self.elapse(|due_ns| timing.ceil(due_ns) < before_ns, out);
    }

    /// Tells what is due until the end of the log, an instant, inclusive.
    pub fn end(&mut self, clock_ns: i64, out: &mut Vec<Notification>) {
        self.elapse(|due_ns| due_ns <= clock_ns, out);
    }

    /// How many episodes are remembered.
    pub fn remembered(&self) -> usize {
        self.held.len()
    }

    /// What is remembered.
    pub fn snapshot(&self) -> Snapshot {
        let held = self.held.iter().map(|(key, held)| (key.clone(), held.clone())).collect();
        Snapshot { now_ns: self.now_ns, held }
    }

    /// Goes on from what was remembered; the rules must be the same.
    #[must_use]
    pub fn restore(mut self, snapshot: Snapshot) -> Self {
        self.now_ns = snapshot.now_ns;
        let due = |(key, held): &(Key, Held)| Some((held.due_ns?, key.clone()));
        self.due = snapshot.held.iter().filter_map(due).collect();
        self.held = snapshot.held.into_iter().collect();
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
            let new = Held { episode: None, said: None, due_ns: None };
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
        for key in &touched {
            self.set_due(key);
            // The end of the one before is decided where this one is.
            let before = self.held.range(..key).next_back().map(|(before, _)| before.clone());
            if let Some(before) = before.filter(|before| before.lane() == key.lane()) {
                self.set_due(&before);
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
        let latest = self.is_latest(key);
        out.extend(said.map(|said| Notification {
            at_ns: self.now_ns,
            latest,
            kind: Kind::Correction,
            standing: Standing::Withdrawn,
            episode: said.episode.clone(),
            was: Some(Box::new(said)),
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
        });
    }

    /// Tells all that is due.
    fn elapse(&mut self, is_due: impl Fn(i64) -> bool, out: &mut Vec<Notification>) {
        while let Some((due_ns, key)) = self.due.first().cloned().filter(|due| is_due(due.0)) {
            self.due.pop_first();
            let held = self.held.get_mut(&key).expect("what is due is held");
            held.due_ns = None;
            let episode = held.episode.clone().expect("what is withdrawn is not held");
            let closed = match held.said {
                None => false,
                Some(Said { closed: false, .. }) => true,
                Some(Said { closed: true, .. }) => {
                    self.held.remove(&key);
                    continue;
                }
            };
            let (kind, standing) = match closed {
                false => (Kind::Opened, Standing::Open),
                true => (Kind::Closed, Standing::Closed),
            };
            self.now_ns = self.now_ns.max(self.timing.ceil(due_ns));
            held.said = Some(Said { episode: episode.clone(), closed });
            let (at_ns, latest) = (self.now_ns, self.is_latest(&key));
            out.push(Notification { at_ns, latest, kind, standing, episode, was: None });
            self.set_due(&key);
        }
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
        let Some(said) = &held.said else {
            return Some(episode.decided_ns.saturating_add(self.timing.lateness));
        };
        let ended_ns = self.end_decided_ns(key, episode)?;
        Some(ended_ns.saturating_add(match said.closed {
            false => self.timing.lateness,
            true => self.times[usize::from(key.rule)].remember_ns,
        }))
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
