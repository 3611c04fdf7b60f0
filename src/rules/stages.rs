//! What a rule does with its observations before they are held, in the order in which it is done.

use limbeck_operators::machines::flap_damping::Damping;
use limbeck_operators::machines::flap_detection::Detection;
use limbeck_operators::machines::quorum::Asks;
use limbeck_operators::machines::session::Grouping;
use limbeck_operators::machines::threshold::Thresholds;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{Rule, Signal};

/// The state of an entity that flaps.
pub const FLAPPING: &str = "flapping";
/// The state of an entity that is absent.
pub const UNKNOWN: &str = "unknown";
/// The state of an entity whose changes are close to one another.
pub const SESSION: &str = "session";
/// The state of an entity whose reading is above a threshold.
pub const ABOVE: &str = "above";
/// Likewise.
pub const BELOW: &str = "below";
/// The state of one whose reading is neither.
pub const NORMAL: &str = "normal";

/// The stages of a rule: none if it says nothing of them.
#[derive(Clone, Debug, Default)]
pub struct Stages {
    /// Which states are faults, by their index; none where that does not matter.
    pub faults: Vec<bool>,
    /// Without observations for how long an entity is absent.
    pub absent_after_ns: Option<i64>,
    /// What is asked of readings; only of a signal that has nothing else.
    pub thresholds: Option<Thresholds>,
    /// What gives a fault a quorum.
    pub quorum: Option<Quorum>,
    /// How changes are damped.
    pub damping: Option<Damping>,
    /// When an entity flaps.
    pub detection: Option<Detection>,
    /// For how long, and after what, faults wait.
    pub grace: Option<Grace>,
    /// What makes a session of changes.
    pub session: Option<Grouping>,
    /// The indices of the states that are made, where they are.
    pub flapping: u16,
    /// Likewise.
    pub unknown: u16,
    /// Likewise.
    pub in_session: u16,
    /// Likewise: normal, above and below.
    pub levels: [u16; 3],
}

/// Which machine folds the observations of a rule. Each does what those before it do, and takes more
/// room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Machinery {
    /// Hold-down alone.
    Held,
    /// With states that are kept, and stages for states.
    Staged,
    /// With those for readings, with sessions and exceptions.
    Judged,
    /// With all stages.
    All,
}

/// What gives a fault a quorum of an entity's witnesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// The label that says who a witness is, by its index.
    pub of: usize,
    /// How much of the votes is asked for; weights are in millionths.
    pub asks: Asks,
    /// For how long a vote counts.
    pub within_ns: i64,
    /// What each witness weighs, by name, in millionths; if there are any, others have no vote.
    pub weights: Vec<(SmolStr, u64)>,
}

/// After what the faults of an entity wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grace {
    /// For how long.
    pub for_ns: i64,
    /// Whether that is after it was first seen.
    pub after_first: bool,
    /// After which records of it that is.
    pub markers: Vec<Marker>,
}

/// Records that mark an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Those of this signal, by its index.
    pub signal: usize,
    /// In these states, by their indices; in any, if there are none.
    pub states: Vec<usize>,
}

impl Marker {
    /// Whether a record of its signal that shows a state is one.
    pub fn is_one(&self, state: u16) -> bool {
        self.states.is_empty() || self.states.contains(&usize::from(state))
    }
}

/// So many witnesses of an entity have votes.
pub const WITNESSES_MAX: usize = 64;

/// What a weight of one is.
pub const WEIGHT_ONE: u64 = 1_000_000;

/// A weight as it is written.
pub fn weight_of(millionths: u64) -> f64 {
    millionths as f64 / WEIGHT_ONE as f64
}

impl Quorum {
    /// What a witness weighs, if it has a vote.
    pub fn weight(&self, witness: &str) -> Option<u64> {
        let named = || self.weights.iter().find(|(name, _)| name == witness);
        match self.weights.is_empty() {
            true => (!witness.is_empty()).then_some(WEIGHT_ONE),
            false => named().map(|(_, weight)| *weight),
        }
    }
}

impl Stages {
    /// Whether there are any.
    pub fn are_any(&self) -> bool {
        let Self { absent_after_ns, thresholds, damping, detection, grace, session, .. } = self;
        let last = absent_after_ns.is_some() || grace.is_some() || session.is_some();
        last || self.quorum.is_some()
            || thresholds.is_some()
            || damping.is_some()
            || detection.is_some()
    }

    /// Whether any of them asks which states are faults.
    pub fn need_faults(&self) -> bool {
        self.quorum.is_some() || self.damping.is_some() || self.grace.is_some()
    }

    /// The states that are made, beside those of the signal.
    pub fn makes(&self) -> impl Iterator<Item = SmolStr> {
        let (above, below) = self.thresholds.map_or((None, None), |of| (of.above, of.below));
        let made = [
            (FLAPPING, self.detection.is_some()),
            (UNKNOWN, self.absent_after_ns.is_some()),
            (ABOVE, above.is_some()),
            (BELOW, below.is_some()),
            (NORMAL, self.thresholds.is_some()),
            (SESSION, self.session.is_some()),
        ];
        made.into_iter().filter(|(_, is)| *is).map(|(name, _)| SmolStr::new_static(name))
    }
}

/// Numbers the states that rules make, behind those of their signals. Until then the durations of a
/// rule are those of the states of its signal, and of what it makes itself.
pub(super) fn number_made(signals: &mut [Signal], rules: &mut [Rule]) {
    for (number, signal) in signals.iter_mut().enumerate() {
        let on = || rules.iter().filter(|rule| rule.signal == number);
        let mut made: Vec<_> = on().flat_map(|rule| rule.stages.makes()).collect();
        made.retain(|name| signal.states.iter().all(|state| state.name != *name));
        made.sort();
        made.dedup();
        signal.made = made;
    }
    for rule in rules {
        let signal = &signals[rule.signal];
        let own: Vec<_> = own_states(signal, &rule.stages);
        let at = |name: &SmolStr| own.iter().position(|own| own == name);
        let all: Vec<_> = signal.state_names().map(at).collect();
        let of =
            |durations: &[i64]| all.iter().map(|at| at.map_or(0, |at| durations[at])).collect();
        (rule.hold_ns, rule.keep_ns) = (of(&rule.hold_ns), of(&rule.keep_ns));
        let spans = all.iter().map(|at| at.and_then(|at| rule.hold_spans[at].clone()));
        rule.hold_spans = spans.collect();
        let number = |name: &str| {
            signal.state_names().position(|known| known == name).unwrap_or_default() as u16
        };
        (rule.stages.flapping, rule.stages.unknown) = (number(FLAPPING), number(UNKNOWN));
        rule.stages.in_session = number(SESSION);
        rule.stages.levels = [NORMAL, ABOVE, BELOW].map(number);
        let is_fault = |at: usize| rule.stages.faults.get(at).copied().unwrap_or_default();
        rule.stages.faults = all.iter().map(|at| at.is_some_and(is_fault)).collect();
    }
}

impl Rule {
    /// What marks entities to it.
    pub fn markers(&self) -> &[Marker] {
        self.stages.grace.as_ref().map_or(&[], |grace| &grace.markers)
    }

    /// Whether records of a signal do.
    pub fn is_marked_by(&self, signal: usize) -> bool {
        self.markers().iter().any(|marker| marker.signal == signal)
    }

    /// Whether a state is that of who is absent alone: nobody observes it, and stages let it through.
    pub fn is_of_silence(&self, signal: &Signal, state: usize) -> bool {
        let Stages { absent_after_ns, unknown, .. } = &self.stages;
        absent_after_ns.is_some() && state == usize::from(*unknown) && state >= signal.states.len()
    }

    /// What folds its observations.
    pub fn machinery(&self) -> Machinery {
        let Stages { thresholds, quorum, session, .. } = &self.stages;
        match self.is_staged() {
            false => Machinery::Held,
            true if quorum.is_some() => Machinery::All,
            true if thresholds.is_some() || session.is_some() || self.except.is_some() => {
                Machinery::Judged
            }
            true => Machinery::Staged,
        }
    }

    /// The states that it knows: those of its signal, and those that it makes itself, by number.
    pub fn own_states<'s>(
        &self,
        signal: &'s Signal,
    ) -> impl Iterator<Item = (usize, &'s SmolStr)> + use<'s> {
        let makes: Vec<_> = self.stages.makes().collect();
        let states = signal.states.len();
        let is_own = move |(number, name): &(usize, &SmolStr)| {
            *number < states || makes.iter().any(|made| made == *name)
        };
        signal.state_names().enumerate().filter(is_own)
    }
}

/// The states of a signal, and behind them those that a rule makes itself.
fn own_states(signal: &Signal, stages: &Stages) -> Vec<SmolStr> {
    let mut own: Vec<_> = signal.states.iter().map(|state| state.name.clone()).collect();
    for name in stages.makes() {
        if !own.contains(&name) {
            own.push(name);
        }
    }
    own
}
