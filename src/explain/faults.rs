//! What was expected of the faults of an entity, and why one was announced early, or not.

use serde::Serialize;

use super::{instant, maybe_instant};
use crate::model::duration::format_duration;
use crate::model::printable::printable;
use crate::model::survival::{Odds, Past, Survival};
use crate::model::time::format_rfc3339;
use crate::persistence::Judged;
use crate::rules::Announce;

/// So many more faults that last are tried.
const MORE_MAX: u32 = 1000;

/// A fault, and what was expected of it.
#[derive(Clone, Debug, Serialize)]
pub struct Expected {
    /// Which state.
    pub state: String,
    /// From when.
    #[serde(serialize_with = "instant")]
    pub since: i64,
    /// Until when; none while it is open.
    #[serde(serialize_with = "maybe_instant")]
    pub until: Option<i64>,
    /// When it was decided, if it became an episode.
    #[serde(serialize_with = "maybe_instant")]
    pub decided: Option<i64>,
    /// The logical time at which it was announced early, if it was.
    #[serde(serialize_with = "maybe_instant")]
    pub announced: Option<i64>,
    /// What was latched: of its announcement, or of when it became an episode.
    pub latched: Option<AtAge>,
    /// At each age, while it was open.
    pub expected: Vec<AtAge>,
}

/// What was expected at an age.
#[derive(Clone, Debug, Serialize)]
pub struct AtAge {
    /// The age.
    pub age_ns: i64,
    /// For each horizon.
    pub lasts: Vec<Lasts>,
    #[serde(skip)]
    survival: Survival,
}

/// How likely it was to last.
#[derive(Clone, Debug, Serialize)]
pub struct Lasts {
    /// For how long.
    pub for_ns: i64,
    /// The probability.
    pub p: f64,
    /// The past faults of the entity that decided it.
    pub entity: Past,
    /// Those of its group.
    pub group: Past,
}

impl AtAge {
    fn new(survival: &Survival) -> Self {
        let lasts = |odds: &Odds| {
            let Odds { horizon_ns, entity, group, .. } = *odds;
            Lasts { for_ns: horizon_ns, p: survival.p(odds), entity, group }
        };
        Self {
            age_ns: survival.age_ns,
            lasts: survival.odds.iter().map(lasts).collect(),
            survival: survival.clone(),
        }
    }

    fn in_words(&self) -> String {
        let age = format_duration(self.age_ns);
        let lasts = self.survival.odds.iter().map(|odds| {
            let Odds { horizon_ns, entity, group, prior } = *odds;
            let (p, horizon) = (self.survival.p(odds), format_duration(horizon_ns));
            if self.age_ns >= horizon_ns {
                return format!("p_lasts(\"{horizon}\") is 1: it had lasted {age}");
            }
            let (Past { faults, lasted }, Past { faults: all, lasted: of_all }) = (entity, group);
            format!(
                "p_lasts(\"{horizon}\") is {p:.3} at the age of {age}: of past faults as old, {lasted} of \
                 {faults} of the entity lasted, and {of_all} of {all} of its group, which stands for {prior}"
            )
        });
        lasts.collect::<Vec<_>>().join("; ")
    }

    /// How many more past faults of the entity that lasted would have announced it.
    fn more(&self, announce: &Announce) -> Option<u32> {
        (1..=MORE_MAX).find(|more| {
            let mut survival = self.survival.clone();
            for odds in &mut survival.odds {
                // Those of the entity are its group's, too.
                for Past { faults, lasted } in [&mut odds.entity, &mut odds.group] {
                    *faults = faults.saturating_add(*more);
                    *lasted = lasted.saturating_add(*more);
                }
            }
            announce.holds(|horizon_ns| survival.p_lasts(horizon_ns))
        })
    }
}

impl Expected {
    pub(super) fn new(judged: &Judged, state: String) -> Self {
        let row = &judged.row;
        let survival = row.survival();
        let is_episode = survival.is_some_and(|survival| !survival.undecided);
        Self {
            state,
            since: row.since_ns,
            until: row.until_ns,
            decided: is_episode.then_some(row.decided_ns),
            announced: survival.and_then(|survival| survival.announced_ns),
            latched: survival.map(AtAge::new),
            expected: judged.expected.iter().map(AtAge::new).collect(),
        }
    }

    /// A sentence: the numbers that decided, and what would have been otherwise.
    pub(super) fn in_words(&self, announce: Option<&Announce>, lateness_ns: i64) -> String {
        let Self { state, since, until, decided, announced, latched, expected } = self;
        let fault = format!("{} since {}", printable(state), format_rfc3339(*since));
        let opened = decided.map(|decided| decided.saturating_add(lateness_ns));
        if let (Some(announced), Some(latched)) = (announced, latched) {
            let otherwise = match opened {
                Some(opened) => format!(
                    "else it would have been told of at {}, when it was final",
                    format_rfc3339(opened)
                ),
                None => "else nobody would have been told of it so far".to_owned(),
            };
            let announced = format_rfc3339(*announced);
            return format!(
                "{fault}: told early, at {announced}: {}; {otherwise}",
                latched.in_words()
            );
        }
        // Before it became an episode, and then what was latched of that.
        let before = |at: &&AtAge| decided.is_none_or(|decided| since + at.age_ns < decided);
        let last = expected.iter().rev().find(before).or(latched.as_ref());
        let Some(last) = last else {
            let why = match until {
                Some(_) => "it was over when it became known: nothing was expected of it",
                None => "not judged yet",
            };
            return format!("{fault}: {why}");
        };
        let numbers = last.in_words();
        let Some(announce) = announce else { return format!("{fault}: {numbers}") };
        let otherwise = match last.more(announce) {
            Some(1) => "with one more of the entity that lasted it would have been".to_owned(),
            Some(more) => format!("with {more} more of the entity that lasted it would have been"),
            None => "more of the entity that lasted would not have changed that".to_owned(),
        };
        format!("{fault}: not told early: {numbers}; {otherwise}")
    }
}
