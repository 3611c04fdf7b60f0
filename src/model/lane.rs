//! What a rule made of an entity as a whole: its runs in order, and the episodes they belong to.

use limbeck_operators::machines::hold_down::{Decision, Sustained};
use serde::{Deserialize, Serialize};

/// A longest stretch of one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its first observation.
    pub since_ns: i64,
    /// The first contrary observation, or the last of its own if it expired; none yet.
    pub until_ns: Option<i64>,
    /// Which state, by its number.
    pub state: u16,
    /// How many observations it had.
    pub observations: u32,
    /// How it ended, or stands.
    pub outcome: RunOutcome,
    /// Whether observations ceased before anything contrary came.
    pub expired: bool,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunOutcome {
    /// It lasted, and began an episode or continued one.
    Established,
    /// A contrary observation came before it had lasted.
    HeldDown,
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
            let (since_ns, until_ns, state, observations, outcome) = match decision {
                Decision::Sustained(episode) => {
                    story.episodes.push(episode.clone());
                    continue;
                }
                Decision::Absorbed(run) => {
                    let outcome = match run.expired {
                        true => RunOutcome::Expired,
                        false => RunOutcome::HeldDown,
                    };
                    (run.since, Some(run.until), run.state, run.observations, outcome)
                }
                Decision::Run(run) => {
                    let outcome = match run.established {
                        true => RunOutcome::Established,
                        false => RunOutcome::Pending,
                    };
                    (run.since, run.until, run.state, run.observations, outcome)
                }
                // The runs say so already, and what waits is in none.
                Decision::Undecided(_) => continue,
            };
            let expired = outcome == RunOutcome::Expired;
            story.runs.push(Run { since_ns, until_ns, state, observations, outcome, expired });
        }
        // One without length ends before the next begins.
        story.runs.sort_by_key(|run| (run.since_ns, run.until_ns.unwrap_or(i64::MAX)));
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
            let ends = |episode: &Sustained<u16>| episode.expired && episode.until == run.until_ns;
            self.runs[number].expired |= run.outcome == RunOutcome::Established
                && next_since_ns != run.until_ns
                && self.episode_of(&run).is_some_and(ends);
            next_since_ns = Some(run.since_ns);
        }
    }

    /// The episode that a run began, continued, or lies within.
    pub fn episode_of(&self, run: &Run) -> Option<&Sustained<u16>> {
        let covers = |episode: &&Sustained<u16>| {
            let own = run.outcome != RunOutcome::Established || episode.state == run.state;
            let since = episode.since <= run.since_ns;
            // Only of what expired the last observation is its end.
            let before_end =
                |until| run.since_ns < until || episode.expired && run.since_ns == until;
            own && since && episode.until.is_none_or(before_end)
        };
        self.episodes.iter().rfind(covers)
    }
}
