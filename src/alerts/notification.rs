//! Notifications: what there is to tell of an episode, or of many as one.

use limbeck_operators::hash::xxh3_128;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::model::detail::{Ballot, Changes, Reading};
use crate::model::episode::{Catalog, Episode};
use crate::rules::Kind;

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
    /// If it is one of a group of episodes, what these are together.
    pub group: Option<Box<Members>>,
}

/// What keeps an episode from being told as opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// A silence, by its number, and if records tell of it, its id.
    Silence(usize, Option<SmolStr>),
    /// The limit of its rule.
    Limit,
    /// The group of similar ones that is told in its place.
    Group {
        /// What it is called.
        name: SmolStr,
        /// When it began.
        since_ns: i64,
        /// The longest time within which there would have been too few of them; none if there is no
        /// such time.
        shortest_ns: Option<i64>,
    },
}

/// The episodes that are told as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// How many there were.
    pub count: u64,
    /// How many of them were not said to have ended.
    pub open: u64,
    /// The one with which it began, as it was then: who is told of it is told of all.
    pub first: Episode,
    /// The entity of the latest.
    pub last: SmolStr,
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
    /// episode's id, its revision, the kind, whether it is withdrawn (which is no revision of its own),
    /// and whether it is a candidate yet.
    pub fn id(&self, catalog: &Catalog) -> u128 {
        let mut bytes = [0; 22];
        let withdrawn = u8::from(self.standing == Standing::Withdrawn);
        // A candidate and the episode that it becomes count their revisions each.
        let undecided = u8::from(self.episode.is_undecided());
        bytes[..16].copy_from_slice(&catalog.id(&self.episode).to_le_bytes());
        bytes[16..20].copy_from_slice(&self.episode.revision.to_le_bytes());
        bytes[20] = self.kind as u8;
        bytes[21] = withdrawn | undecided << 1;
        xxh3_128(&bytes)
    }
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
    /// Whether an episode is other than was said, beyond an end that is not final yet.
    pub(super) fn differs(&self, episode: &Episode) -> bool {
        let Episode { until_ns, expired, .. } = self.episode;
        let end = match self.closed {
            true => (episode.until_ns, episode.expired),
            false => (until_ns, expired),
        };
        end != (until_ns, expired)
            || episode.decided_ns != self.episode.decided_ns
            || carried(episode, self.closed) != carried(&self.episode, self.closed)
    }

    /// How it stood.
    pub fn standing(&self) -> Standing {
        if self.closed { Standing::Closed } else { Standing::Open }
    }
}

/// Labels, reading, changes and minority.
type Carried<'e> = (&'e [SmolStr], Option<Reading>, Option<Changes>, Option<&'e [Ballot]>);

/// What an episode carries. More changes of a session that goes on are told with its end.
fn carried(episode: &Episode, closed: bool) -> Option<Carried<'_>> {
    let detail = episode.detail.as_deref()?;
    let minority = detail.minority.as_ref().map(|minority| minority.as_slice());
    Some((&detail.labels, detail.value, detail.changes.filter(|_| closed), minority))
}
