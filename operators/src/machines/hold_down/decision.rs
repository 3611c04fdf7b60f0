//! What hold-down says.

use serde::{Deserialize, Serialize};

/// What hold-down says of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Decision<S> {
    /// A state that lasted.
    Sustained(Sustained<S>),
    /// A run that did not.
    Absorbed(Absorbed<S>),
    /// A state that may last yet, or might have: as it would be sustained, and open until its run is
    /// absorbed.
    Candidate(Sustained<S>),
    /// Any other run, if the machine [tells them](super::HoldDown::telling_runs).
    Run(Stretch<S>),
    /// So many observations had not been decided on when time ended: those of a run that might
    /// have lasted, and those whose instant had not come.
    Undecided(u32),
}

impl<S> Decision<S> {
    /// The same of another kind of state.
    pub fn map<T>(self, state: impl FnOnce(S) -> T) -> Decision<T> {
        match self {
            Self::Sustained(sustained) => Decision::Sustained(sustained.map(state)),
            Self::Candidate(candidate) => Decision::Candidate(candidate.map(state)),
            Self::Absorbed(Absorbed { since, nth, state: of, until, observations, by }) => {
                let state = state(of);
                Decision::Absorbed(Absorbed { since, nth, state, until, observations, by })
            }
            Self::Run(run) => {
                let Stretch { since, nth, state: of, until, observations, established, decided } =
                    run;
                let state = state(of);
                Decision::Run(Stretch {
                    since,
                    nth,
                    state,
                    until,
                    observations,
                    established,
                    decided,
                })
            }
            Self::Undecided(observations) => Decision::Undecided(observations),
        }
    }
}

/// A run that was established, or may yet be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stretch<S> {
    /// Its first observation.
    pub since: i64,
    /// How many runs of the key began at that instant before it; they have no length.
    pub nth: u32,
    /// Which state.
    pub state: S,
    /// The first contrary observation; the last of its own if observations ceased; none yet.
    pub until: Option<i64>,
    /// How many observations it had.
    pub observations: u32,
    /// Whether it is established.
    pub established: bool,
    /// When it was, or may be.
    pub decided: i64,
}

/// A state that lasted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sustained<S> {
    /// The start of its first established run, or the end of the keep of the state before.
    pub since: i64,
    /// Which state.
    pub state: S,
    /// Where the next established state begins; none while it holds.
    pub until: Option<i64>,
    /// When its first run was established.
    pub decided: i64,
    /// Whether it ended because observations ceased, at the last of them.
    pub expired: bool,
}

impl<S> Sustained<S> {
    fn map<T>(self, state: impl FnOnce(S) -> T) -> Sustained<T> {
        let Self { since, state: of, until, decided, expired } = self;
        Sustained { since, state: state(of), until, decided, expired }
    }
}

/// A run that was never established.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Absorbed<S> {
    /// Its first observation.
    pub since: i64,
    /// How many runs of the key began at that instant before it; they have no length.
    pub nth: u32,
    /// Which state.
    pub state: S,
    /// The first contrary observation; the last of its own if observations ceased.
    pub until: i64,
    /// How many observations it had.
    pub observations: u32,
    /// Why it was never established.
    pub by: Cut,
}

/// Why a run was not established.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cut {
    /// Another state was observed before it had lasted.
    Contrary,
    /// It had lasted when another state was observed, but the state before was kept.
    Kept {
        /// Since when that was missed.
        missed: i64,
    },
    /// Observations ceased before anything contrary was observed.
    Silence,
}
