//! What a rule made of an entity as a whole: its runs in order, and the episodes they belong to.

use limbeck_operators::machines::hold_down::{Cut, Decision, Sustained};
use serde::{Deserialize, Serialize};

/// A longest stretch of one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its first observation.
    pub since_ns: i64,
    /// How many runs of the lane began at that instant before it.
    pub nth: u32,
    /// The first contrary observation, or the last of its own if it expired; none yet.
    pub until_ns: Option<i64>,
    /// Which state, by its number.
    pub state: u16,
    /// How many observations it had.
    pub observations: u32,
    /// How it ended, or stands.
    pub outcome: RunOutcome,
    /// Of one that was kept down, since when the state was missed that was kept.
    pub missed_ns: Option<i64>,
    /// When one that is not cut was established, or may be.
    pub decided_ns: Option<i64>,
    /// Whether observations ceased before anything contrary came.
    pub expired: bool,
}

impl Run {
    /// Whether an episode that it lies in begins with it.
    pub fn begins(&self, episode_since_ns: i64) -> bool {
        episode_since_ns >= self.since_ns
    }
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunOutcome {
    /// It lasted, and began an episode or continued one.
    Established,
    /// A contrary observation came before it had lasted.
    HeldDown,
    /// It had lasted, but another state was kept until a contrary observation came.
    KeptDown,
    /// It had not lasted when observations ceased.
    Expired,
    /// It has not lasted yet.
    Pending,
}

/// The runs of a lane, in the order of their observations, and its episodes.
#[derive(Clone, Debug, Default)]
pub struct LaneStory {
    /// Of every observation that has been folded, once.
    pub runs: Vec<Run>,
    /// In the order of their beginnings.
    pub episodes: Vec<Sustained<u16>>,
}

impl LaneStory {
    /// Puts together what was decided of a lane by a machine that tells its runs.
    pub fn new<'d>(decisions: impl IntoIterator<Item = &'d Decision<u16>>) -> Self {
        let mut story = Self::default();
        for decision in decisions {
            match decision {
                Decision::Sustained(episode) => story.episodes.push(episode.clone()),
                Decision::Absorbed(run) => {
                    let (outcome, missed_ns) = match run.by {
                        Cut::Contrary => (RunOutcome::HeldDown, None),
                        Cut::Kept { missed } => (RunOutcome::KeptDown, Some(missed)),
                        Cut::Silence => (RunOutcome::Expired, None),
                    };
                    story.runs.push(Run {
                        since_ns: run.since,
                        nth: run.nth,
                        until_ns: Some(run.until),
                        state: run.state,
                        observations: run.observations,
                        outcome,
                        missed_ns,
                        decided_ns: None,
                        expired: outcome == RunOutcome::Expired,
                    });
                }
                Decision::Run(run) => story.runs.push(Run {
                    since_ns: run.since,
                    nth: run.nth,
                    until_ns: run.until,
                    state: run.state,
                    observations: run.observations,
                    outcome: match run.established {
                        true => RunOutcome::Established,
                        false => RunOutcome::Pending,
                    },
                    missed_ns: None,
                    decided_ns: Some(run.decided),
                    expired: false,
                }),
                // The runs say so already, and what waits is in none.
                Decision::Candidate(_) | Decision::Undecided(_) => {}
            }
        }
        story.runs.sort_by_key(|run| (run.since_ns, run.nth));
        story.episodes.sort_by_key(|episode| episode.since);
        story.mark_expired();
        story
    }

    /// Of what lasted, the episode says whether it expired: with its last run, unless that was
    /// contradicted, when another began where it ends.
    fn mark_expired(&mut self) {
        let mut next_since_ns = None;
        for number in (0..self.runs.len()).rev() {
            let run = self.runs[number];
            let ends = |episode: &Sustained<u16>| {
                let until = run.until_ns.map(|until| until.max(episode.since));
                episode.expired && episode.until == until
            };
            self.runs[number].expired |= run.outcome == RunOutcome::Established
                && next_since_ns != run.until_ns
                && self.episode_of(&run).is_some_and(ends);
            next_since_ns = Some(run.since_ns);
        }
    }

    /// The episode that a run began, continued, or lies within.
    pub fn episode_of(&self, run: &Run) -> Option<&Sustained<u16>> {
        let lasted = run.outcome == RunOutcome::Established;
        let covers = |episode: &&Sustained<u16>| {
            let own = !lasted || episode.state == run.state;
            // What a run begins may begin within it, where another state was kept.
            let since = match lasted {
                true => run.until_ns.is_none_or(|until| episode.since <= until),
                false => episode.since <= run.since_ns,
            };
            // Only of what expired the last observation is its end.
            let before_end =
                |until| run.since_ns < until || episode.expired && run.since_ns == until;
            own && since && episode.until.is_none_or(before_end)
        };
        self.episodes.iter().rfind(covers)
    }
}
