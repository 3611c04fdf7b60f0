//! Limits: how many episodes of a rule are told as opened.
//!
//! # Meaning
//!
//! Each unit of a rule (an entity, or all that have one value of a label) has a bucket of `burst`
//! tokens, which is full at first. What is opened, and wanted by some route, takes one. They come back
//! evenly, one in each `every`. Where there is none the episode waits for the next, as it does for
//! the end of a silence. Of those that are due at one instant the first in the order of entity, beginning
//! and state takes it; [when they are](super::latch) is not for this to say.
//!
//! This is the generic cell rate algorithm (ITU-T I.371, A.1) in whole nanoseconds: a bucket is the
//! instant at which it is full again.
//!
//! # Cost
//!
//! A name and an instant for each unit whose bucket is not full.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::routing::Facts;
use crate::model::episode::{Catalog, Episode};
use crate::rules::{Kind, Limit, Matcher, Rules};

/// Buckets that are not full: of a rule by its rank, and a unit, when they are.
pub(super) type Buckets = BTreeMap<(u16, SmolStr), i64>;

/// Gives the tokens of a rule file.
#[derive(Clone, Debug)]
pub(super) struct Limiter {
    catalog: Catalog,
    /// What routes want to be opened, each.
    wanted: Vec<Vec<Matcher>>,
    /// By the rank of the rule.
    limits: Vec<Option<Limit>>,
    full_at: Buckets,
    /// How many were not full when the full ones were forgotten last.
    lasting: usize,
}

impl Limiter {
    pub(super) fn new(rules: &Rules, catalog: &Catalog) -> Self {
        let mut limits = vec![None; rules.rules.len()];
        for (rule, rank) in rules.rules.iter().zip(catalog.rule_ranks()) {
            // What nobody is told of takes nothing from what somebody is.
            limits[usize::from(rank)] = rule.limit.filter(|_| !rule.observes);
        }
        let wants = rules.routes.iter().filter(|route| route.on[Kind::Opened as usize]);
        let wanted = wants.map(|route| route.matchers.clone()).collect();
        Self { catalog: catalog.clone(), wanted, limits, full_at: Buckets::new(), lasting: 0 }
    }

    /// Whether some rule has a limit.
    pub(super) fn is_any(&self) -> bool {
        self.limits.iter().any(Option::is_some)
    }

    /// Whether a rule has a limit, by its rank.
    pub(super) fn limits(&self, rule: u16) -> bool {
        self.limits[usize::from(rule)].is_some()
    }

    /// Takes a token at an instant, of the unit of what is told, which may be a group; where there is
    /// none, gives when there is. All that is told later is of an instant after `past_ns`.
    pub(super) fn take(
        &mut self,
        episode: &Episode,
        told: &Episode,
        at_ns: i64,
        past_ns: i64,
    ) -> Result<(), i64> {
        let Some(Limit { burst, every_ns, by }) = self.limits[usize::from(episode.rule)] else {
            return Ok(());
        };
        let facts = Facts::new(&self.catalog, episode);
        if !self.wanted.iter().any(|matchers| facts.fit(matchers)) {
            return Ok(());
        }
        let key = (episode.rule, by.of(&told.entity, &told.detail).into());
        let full_ns = self.full_at.get(&key).map_or(at_ns, |full_ns| at_ns.max(*full_ns));
        let room_ns = every_ns.saturating_mul(i64::from(burst) - 1);
        let next_ns = full_ns.saturating_sub(room_ns);
        if next_ns > at_ns {
            return Err(next_ns);
        }
        self.full_at.insert(key, full_ns.saturating_add(every_ns));
        if self.full_at.len() > 2 * self.lasting + 1024 {
            self.full_at.retain(|_, full_ns| *full_ns > past_ns);
            self.lasting = self.full_at.len();
        }
        Ok(())
    }

    /// What is remembered.
    pub(super) fn saved(&self) -> &Buckets {
        &self.full_at
    }

    /// Goes on with what was remembered.
    pub(super) fn restore(&mut self, full_at: Buckets) {
        (self.lasting, self.full_at) = (full_at.len(), full_at);
    }
}
