//! How long faults last: what is expected of one, with the counts that say so.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Of the past faults that had lasted as long as one has now, how many there were, and how many of them
/// lasted for a time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Past {
    /// All of them.
    pub faults: u32,
    /// Those that lasted.
    pub lasted: u32,
}

/// How likely it is that a fault lasts for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Odds {
    /// That time, from its beginning on.
    pub horizon_ns: i64,
    /// What was before, of its entity.
    pub entity: Past,
    /// Of its group.
    pub group: Past,
    /// For how many faults of the entity the share of the group stands.
    pub prior: u32,
}

impl Odds {
    /// The probability: the share of the entity's, with `prior` more that are as the group's, whose share
    /// is that of one more that lasted and one that did not.
    pub fn p(&self) -> f64 {
        let Self { entity, group, prior, .. } = *self;
        let [faults, lasted, all, lasted_of_all, prior] =
            [entity.faults, entity.lasted, group.faults, group.lasted, prior].map(u128::from);
        // Of integers and divided once, so that every machine gives the same bits.
        let above = lasted * (all + 2) + prior * (lasted_of_all + 1);
        let below = (faults + prior) * (all + 2);
        above as f64 / below as f64
    }
}

/// What was expected of a fault when it was decided on.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Survival {
    /// How long it had lasted, to the edge below.
    pub age_ns: i64,
    /// The logical time at which it was announced, if that was before it would have been told anyway.
    pub announced_ns: Option<i64>,
    /// Whether it has not lasted as long as its rule holds states, or never did.
    pub undecided: bool,
    /// For each horizon.
    pub odds: Box<[Odds]>,
}

impl Survival {
    /// The probability that it lasts for one of the horizons.
    pub fn p(&self, odds: &Odds) -> f64 {
        if self.age_ns >= odds.horizon_ns { 1.0 } else { odds.p() }
    }

    /// The same of the horizon of a length, which must be one of them.
    pub fn p_lasts(&self, horizon_ns: i64) -> f64 {
        let odds = self.odds.iter().find(|odds| odds.horizon_ns == horizon_ns);
        self.p(odds.expect("what is asked for is a horizon"))
    }
}

/// One that many hold; none where a rule asks for none.
pub type SharedSurvival = Option<Arc<Survival>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_of_the_entity_is_as_its_group() {
        let p = |entity: (u32, u32), group: (u32, u32), prior| {
            let past = |(lasted, faults)| Past { faults, lasted };
            Odds { horizon_ns: 0, entity: past(entity), group: past(group), prior }.p()
        };
        let is = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-12, "{found}");
        is(p((0, 0), (0, 0), 10), 0.5);
        is(p((0, 0), (8, 8), 10), 0.9);
        is(p((10, 10), (8, 18), 10), 0.725);
        is(p((10, 10), (0, 0), 1), 10.5 / 11.0);
        is(p((0, 1000), (999, 1000), 1), (1000.0 / 1002.0) / 1001.0);
        let all = u32::MAX;
        assert!((0.999_999..1.0).contains(&p((all, all), (all, all), all)));
    }
}
