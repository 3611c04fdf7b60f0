//! What is silenced: what [silences](Silence) say of an episode at an instant.
//!
//! # Meaning
//!
//! A silence is at an instant from its first on and before its end, compared exactly. One that lasts
//! while an episode holds begins where that is `decided`, and ends where its end is, as both are
//! known then; what takes such an episode back takes it back at once. What a record says of a silence
//! is known from its logical time on, and takes the place of what was said of the same id before; of
//! one logical time what comes last in the order of arrival and place counts. Of several silences, the
//! first in the order of the rule file is named, and of those of its records the first by id.
//!
//! # Cost
//!
//! Nothing without silences; the episodes by which some last are kept by what they say. Of those that
//! records tell of, what they said last, until that is over.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use super::latch::Key;
use super::routing::Facts;
use crate::model::episode::{Catalog, Episode};
use crate::model::silencing::Silencing;
use crate::rules::{Matcher, Rules, Silence, Subject, When};

/// Asks the silences of a rule file.
#[derive(Clone, Debug)]
pub(super) struct Silencer {
    catalog: Catalog,
    silences: Vec<Silence>,
    /// By silence, the episodes by which it lasts.
    lasting: Vec<Lasting>,
    /// By silence and id, what was heard last.
    heard: BTreeMap<(u16, SmolStr), Heard>,
    /// How many there were when what is over was forgotten last.
    heard_lasting: usize,
}

/// A silence of which records tell.
#[derive(Clone, Debug)]
struct Heard {
    said: Silencing,
    matchers: Vec<Matcher>,
}

/// Which silence it is: its number, and of one that records tell of, its id.
pub(super) type Which = (usize, Option<SmolStr>);

/// What an episode says of the subjects that must be equal.
type Values = Vec<SmolStr>;

#[derive(Clone, Debug, Default)]
struct Lasting {
    of: BTreeMap<Key, Values>,
    by_values: BTreeSet<(Values, Key)>,
}

impl Lasting {
    /// Whether that is something new.
    fn set(&mut self, key: &Key, values: Option<Values>) -> bool {
        let before = match &values {
            Some(values) => self.of.insert(key.clone(), values.clone()),
            None => self.of.remove(key),
        };
        if before == values {
            return false;
        }
        if let Some(before) = before {
            self.by_values.remove(&(before, key.clone()));
        }
        self.by_values.extend(values.map(|values| (values, key.clone())));
        true
    }
}

impl Silencer {
    /// Of a rule file that has silences.
    pub(super) fn new(rules: &Rules, catalog: &Catalog) -> Option<Self> {
        let silences = rules.silences.clone();
        let lasting = vec![Lasting::default(); silences.len()];
        let heard = BTreeMap::new();
        (!silences.is_empty()).then(|| Self {
            catalog: catalog.clone(),
            silences,
            lasting,
            heard,
            heard_lasting: 0,
        })
    }

    /// Takes in what a record says; before the instant nothing is asked any more.
    pub(super) fn hear(&mut self, said: Silencing, over_ns: i64) {
        let key = (said.silence, said.id.clone());
        let matchers: Result<_, _> = said.matchers.iter().map(Matcher::of).collect();
        let matchers = matchers.expect("it was tried when it was read");
        self.heard.insert(key, Heard { said, matchers });
        if self.heard.len() > 2 * self.heard_lasting + 1024 {
            self.heard.retain(|_, heard| heard.said.until_ns > over_ns);
            self.heard_lasting = self.heard.len();
        }
    }

    /// What was heard and may go on.
    pub(super) fn saved(&self) -> Vec<Silencing> {
        self.heard.values().map(|heard| heard.said.clone()).collect()
    }

    /// Of one entry, the first that is at an instant and has what is said, and when the last of them
    /// ends.
    fn heard(&self, number: usize, facts: &Facts<'_>, at_ns: i64) -> Option<(SmolStr, i64)> {
        let from = (number as u16, SmolStr::default());
        let heard = self
            .heard
            .range(from..)
            .take_while(|((silence, _), _)| usize::from(*silence) == number);
        let heard = heard.filter(|(_, Heard { said, matchers })| {
            (said.from_ns..said.until_ns).contains(&at_ns) && facts.fit(matchers)
        });
        let until = heard.map(|((_, id), heard)| (id.clone(), heard.said.until_ns));
        until.reduce(|(id, one), (_, other)| (id, one.max(other)))
    }

    /// The first that silences an episode at an instant, and a later one until when some do: they
    /// may go on there. `decided_ns` says where beginning and end of an episode are decided.
    pub(super) fn silences(
        &self,
        episode: &Episode,
        at_ns: i64,
        decided_ns: impl Fn(&Key) -> Option<(i64, Option<i64>)>,
    ) -> Option<(Which, i64)> {
        let facts = Facts::new(&self.catalog, episode);
        let mut by = None;
        let mut until_ns = i64::MIN;
        for (number, (silence, lasting)) in self.silences.iter().zip(&self.lasting).enumerate() {
            if !facts.fit(&silence.matchers) {
                continue;
            }
            let mut id = None;
            let until = match &silence.when {
                When::Heard(_) => self.heard(number, &facts, at_ns).map(|(of, until)| {
                    id = Some(of);
                    until
                }),
                When::While { matchers, .. } if facts.fit(matchers) => None,
                When::While { equal, .. } => {
                    let said = values(&facts, equal);
                    let alike = lasting.by_values.range((said.clone(), Key::least())..);
                    let alike = alike.take_while(|(values, _)| *values == said);
                    let until = alike.filter_map(|(_, key)| {
                        let (from_ns, until_ns) = decided_ns(key)?;
                        let until_ns = until_ns.unwrap_or(i64::MAX);
                        (from_ns..until_ns).contains(&at_ns).then_some(until_ns)
                    });
                    until.max()
                }
                when => when.until(at_ns),
            };
            if let Some(until) = until {
                by = by.or(Some((number, id)));
                until_ns = until_ns.max(until);
            }
        }
        by.map(|by| (by, until_ns))
    }

    /// Notes how an episode stands now; whether silences may last by it, or did before.
    pub(super) fn note(&mut self, key: &Key, episode: Option<&Episode>) -> bool {
        let lasts = |silence: &Silence| matches!(silence.when, When::While { .. });
        if !self.silences.iter().any(lasts) {
            return false;
        }
        let facts = episode.map(|episode| Facts::new(&self.catalog, episode));
        let mut is_any = false;
        for (silence, lasting) in self.silences.iter().zip(&mut self.lasting) {
            let When::While { matchers, equal } = &silence.when else { continue };
            let lasts = facts.as_ref().filter(|facts| facts.fit(matchers));
            let said = lasts.map(|facts| values(facts, equal));
            is_any |= said.is_some() | lasting.set(key, said);
        }
        is_any
    }
}

fn values(facts: &Facts<'_>, of: &[Subject]) -> Values {
    of.iter().map(|subject| facts.say(subject).into()).collect()
}
