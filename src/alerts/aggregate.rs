//! Aggregation: many similar episodes that are told as one.
//!
//! # Meaning
//!
//! Episodes of a rule are *similar* if they agree in the state, in the labels that the rule names, and
//! in which routes are for them, whatever the kind. Only those count that some route wants to be
//! opened, each when it is told, alone or with others. Where then, of the time `within` that ends
//! there (without its first instant), similar ones of `from` entities were told, itself included, it
//! is not told, but is a *member* of a group, which is told in its place: as one episode of its own.
//!
//! The group is opened with its first member, and closed when all are said to have ended, each when
//! its end is final; `since` and `until` are the instants at which that is told. What late records
//! change of members (an end that is taken back, an episode that is withdrawn) may open or withdraw
//! it again, as it does with an episode. While it is open it takes in all that is similar and would
//! make a group; that it has grown is told, as a correction, when its members are `from`, and each
//! time that they are twice as many as then. What comes when fewer than `from` entities had one
//! lately is told alone again, group or not; and when it was closed, the next makes another.
//!
//! # Differences from Kubernetes
//!
//! Its [event correlator](https://github.com/kubernetes/client-go/blob/master/tools/record/events_cache.go)
//! begins to count again only after a time `within` without anything similar, so that events nine
//! minutes apart are aggregated from the tenth on; here time slides, and ten are ten within ten
//! minutes. It forgets some message, whichever, to bound its memory; here those are remembered that
//! come last. What it aggregates is a stream of events, without an end: each further one is a
//! revision, which the token bucket then judges. Here the beginning of a group takes a token of the
//! [limit](super::limit), and nothing else does.
//!
//! # Cost
//!
//! Of similar ones, a name and an instant for each of the last `from` entities within the time; of
//! a group an episode and some numbers, until the latch has forgotten its members.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::notification::{Keeper, Members, Notification, Said, Standing};
use super::routing::Facts;
use crate::model::detail::Detail;
use crate::model::episode::{Catalog, Episode};
use crate::rules::{Aggregate, Kind, Route, Rules, Subject};

/// What makes episodes similar.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Alike {
    rule: u16,
    state: u16,
    labels: Vec<SmolStr>,
    /// Of the routes that tell similar ones apart, those that are for them.
    routes: Vec<u16>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    alike: Alike,
    /// As it was told last.
    told: Episode,
    standing: Standing,
    members: Members,
    /// How many of its members the latch remembers.
    remembered: u64,
    /// With how many members it is told again.
    again_at: u64,
}

/// What is remembered of groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Groups {
    /// When each entity had the last that was told; the latest last, of each entity one.
    recent: BTreeMap<Alike, Vec<(i64, SmolStr)>>,
    /// The latest group of each.
    latest: BTreeMap<Alike, u64>,
    groups: BTreeMap<u64, Group>,
    /// How many there were.
    count: u64,
}

#[cfg(test)]
impl Groups {
    /// How many members are remembered.
    pub(super) fn remembered(&self) -> u64 {
        self.groups.values().map(|group| group.remembered).sum()
    }
}

/// How an episode that is to be opened is told.
pub(super) enum Place {
    /// By itself.
    Alone,
    /// As a member of a group that is open.
    Within,
    /// As the first of a group, this one.
    First(Box<Episode>),
}

/// What an episode has joined.
pub(super) struct Joined {
    /// The number of the group.
    pub(super) group: u64,
    /// What is told in its place, and why.
    pub(super) keeper: Keeper,
    /// What is to be told of the group, if that is news.
    pub(super) told: Option<Notification>,
}

/// What becomes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It ended.
    Ended,
    /// It did not end.
    Resumed,
    /// It was open, and never was.
    Withdrawn,
    /// It had ended, and never was.
    WithdrawnEnded,
}

/// How a rule aggregates.
#[derive(Clone, Debug)]
struct Asked {
    aggregate: Aggregate,
    /// The routes that may tell apart what is similar.
    routes: Vec<u16>,
}

/// Aggregates the episodes of a rule file.
#[derive(Clone, Debug)]
pub(super) struct Aggregator {
    catalog: Catalog,
    routes: Vec<Route>,
    /// By the rank of the rule.
    asked: Vec<Option<Asked>>,
    of: Groups,
    /// How many were remembered when what is over was forgotten last.
    lasting: usize,
}

impl Aggregator {
    pub(super) fn new(rules: &Rules, catalog: &Catalog) -> Self {
        let mut asked = vec![None; rules.rules.len()];
        for (rule, rank) in rules.rules.iter().zip(catalog.rule_ranks()) {
            // What nobody is told of is told with nothing.
            let Some(aggregate) = rule.aggregate.clone().filter(|_| !rule.observes) else {
                continue;
            };
            let names = &rules.signals[rule.signal].labels;
            let agrees = |subject: &Subject| match subject {
                Subject::Entity => false,
                Subject::Label(name) => {
                    let hidden = rule.labels.iter().any(|(label, _)| label == name);
                    !hidden && aggregate.by.iter().any(|label| names[*label].name == *name)
                }
                Subject::Rule | Subject::Signal | Subject::State => true,
            };
            let routes = rules.routes.iter().zip(0..).filter(|(route, _)| {
                !route.matchers.iter().all(|matcher| agrees(&matcher.subject))
            });
            let routes = routes.map(|(_, number)| number).collect();
            asked[usize::from(rank)] = Some(Asked { aggregate, routes });
        }
        let (catalog, routes) = (catalog.clone(), rules.routes.clone());
        Self { catalog, routes, asked, of: Groups::default(), lasting: 0 }
    }

    /// Whether some rule aggregates.
    pub(super) fn is_any(&self) -> bool {
        self.asked.iter().any(Option::is_some)
    }

    /// Whether a rule does, by its rank.
    pub(super) fn aggregates(&self, rule: u16) -> bool {
        self.asked[usize::from(rule)].is_some()
    }

    /// How an episode would be told at an instant.
    pub(super) fn place(&self, episode: &Episode, at_ns: i64) -> Place {
        let Some((asked, alike)) = self.alike(episode) else { return Place::Alone };
        let Aggregate { from, within_ns, .. } = asked.aggregate;
        let recent = self.of.recent.get(&alike).into_iter().flatten();
        let others = recent.filter(|(told_ns, entity)| {
            *told_ns > at_ns.saturating_sub(within_ns) && *entity != episode.entity
        });
        if others.count() + 1 < from as usize {
            return Place::Alone;
        }
        let latest = self.of.latest.get(&alike).map(|number| &self.of.groups[number]);
        if latest.is_some_and(|group| group.standing == Standing::Open) {
            return Place::Within;
        }
        // Its own, lest it be taken for the one before.
        let since_ns = latest.map_or(at_ns, |group| at_ns.max(group.told.since_ns + 1));
        let labels = episode.detail.as_ref().map(|detail| {
            let kept = |number: usize| asked.aggregate.by.contains(&number);
            let labels = detail.labels.iter().enumerate();
            let labels = labels.map(|(number, label)| match kept(number) {
                true => label.clone(),
                false => SmolStr::default(),
            });
            Arc::new(Detail { labels: labels.collect(), ..Detail::default() })
        });
        Place::First(Box::new(Episode {
            since_ns,
            entity: self.name(episode.rule, &alike),
            until_ns: None,
            decided_ns: since_ns,
            expired: false,
            revision: 0,
            detail: labels,
            ..*episode
        }))
    }

    /// Notes that an episode is told at an instant, in its place; what it has joined, if it has. All
    /// that is told later is of an instant after `past_ns`.
    pub(super) fn take(
        &mut self,
        episode: &Episode,
        place: Place,
        (at_ns, known_ns): (i64, i64),
        past_ns: i64,
    ) -> Option<Joined> {
        let (asked, alike) = self.alike(episode)?;
        let Aggregate { from, within_ns, .. } = asked.aggregate;
        let recent = self.of.recent.entry(alike.clone()).or_default();
        recent.retain(|(told_ns, entity)| {
            *told_ns > at_ns.saturating_sub(within_ns) && *entity != episode.entity
        });
        recent.push((at_ns, episode.entity.clone()));
        let beyond = recent.len().saturating_sub(from as usize);
        recent.drain(..beyond);
        let earliest_ns = recent[..recent.len() - 1].iter().map(|(told_ns, _)| *told_ns).min();
        let shortest_ns = earliest_ns.map(|earliest_ns| at_ns.saturating_sub(earliest_ns));
        self.forget_recent(past_ns);
        let (group, told) = match place {
            Place::Alone => return None,
            Place::Within => {
                let group = self.of.latest[&alike];
                let of = self.of.groups.get_mut(&group).expect("it is open");
                let members = &mut of.members;
                (members.count, members.open) = (members.count + 1, members.open + 1);
                members.last = episode.entity.clone();
                of.remembered += 1;
                let has_grown = members.count >= of.again_at;
                let grown = has_grown.then(|| {
                    of.again_at = of.again_at.saturating_mul(2);
                    of.tell((Kind::Correction, Standing::Open), (at_ns, known_ns), true)
                });
                (group, grown)
            }
            Place::First(told) => {
                let last = episode.entity.clone();
                let members = Members { count: 1, open: 1, first: episode.clone(), last };
                let mut of = Group {
                    alike: alike.clone(),
                    told: *told,
                    standing: Standing::Open,
                    members,
                    remembered: 1,
                    again_at: u64::from(from.max(2)),
                };
                let opened = of.tell((Kind::Opened, Standing::Open), (at_ns, known_ns), true);
                let group = self.of.count;
                self.of.count += 1;
                self.of.latest.insert(alike, group);
                self.of.groups.insert(group, of);
                (group, Some(opened))
            }
        };
        let Episode { entity, since_ns, .. } = &self.of.groups[&group].told;
        let keeper = Keeper::Group {
            name: entity.clone(),
            since_ns: *since_ns,
            shortest_ns: shortest_ns.filter(|shortest_ns| *shortest_ns > 0),
        };
        Some(Joined { group, keeper, told })
    }

    /// Notes what becomes of a member at an instant, and says what is to be told of its group.
    pub(super) fn change(
        &mut self,
        number: u64,
        change: Change,
        (at_ns, known_ns): (i64, i64),
    ) -> Option<Notification> {
        let group = self.of.groups.get_mut(&number).expect("a group has its members");
        let members = &mut group.members;
        match change {
            Change::Ended | Change::Withdrawn => members.open -= 1,
            Change::Resumed => members.open += 1,
            Change::WithdrawnEnded => {}
        }
        let is_gone = matches!(change, Change::Withdrawn | Change::WithdrawnEnded);
        members.count -= u64::from(is_gone);
        let standing = match (members.count, members.open) {
            (0, _) => Standing::Withdrawn,
            (_, 0) => Standing::Closed,
            _ => Standing::Open,
        };
        let latest = self.of.latest.get(&group.alike) == Some(&number);
        let kind = match standing {
            Standing::Closed => Kind::Closed,
            Standing::Open | Standing::Withdrawn => Kind::Correction,
        };
        let changes = standing != group.standing;
        let told = changes.then(|| group.tell((kind, standing), (at_ns, known_ns), latest));
        if is_gone {
            self.forget(number);
        }
        told
    }

    /// Forgets a member that will not change any more.
    pub(super) fn forget(&mut self, number: u64) {
        let group = self.of.groups.get_mut(&number).expect("a group has its members");
        group.remembered -= 1;
        if group.remembered == 0 {
            if self.of.latest.get(&group.alike) == Some(&number) {
                self.of.latest.remove(&group.alike);
            }
            self.of.groups.remove(&number);
        }
    }

    /// What is remembered.
    pub(super) fn saved(&self) -> &Groups {
        &self.of
    }

    /// Goes on with what was remembered.
    pub(super) fn restore(&mut self, of: Groups) {
        (self.lasting, self.of) = (of.recent.len(), of);
    }

    /// How a rule that aggregates does, and what is similar to an episode of it; none if nobody
    /// wants it to be told.
    fn alike(&self, episode: &Episode) -> Option<(&Asked, Alike)> {
        let asked = self.asked[usize::from(episode.rule)].as_ref()?;
        let facts = Facts::new(&self.catalog, episode);
        let fits = |route: &Route| facts.fit(&route.matchers);
        self.routes.iter().find(|route| route.on[Kind::Opened as usize] && fits(route))?;
        let detail = episode.detail.as_ref();
        let label =
            |label: &usize| detail.map_or_else(SmolStr::default, |of| of.labels[*label].clone());
        let labels = asked.aggregate.by.iter().map(label).collect();
        let routes = asked.routes.iter().copied();
        let routes = routes.filter(|number| fits(&self.routes[usize::from(*number)])).collect();
        let Episode { rule, state, .. } = *episode;
        Some((asked, Alike { rule, state, labels, routes }))
    }

    /// What a group is called where episodes have their entity: what is the same of its members.
    fn name(&self, rule: u16, alike: &Alike) -> SmolStr {
        let Some(Asked { aggregate, .. }) = &self.asked[usize::from(rule)] else {
            unreachable!("the rule aggregates")
        };
        let names = aggregate.by.iter().map(|label| self.catalog.carried(rule, *label));
        let labels = names.zip(&alike.labels).map(|(name, value)| format!("{name}={value:?}"));
        let mut name = format!("{{{}}}", labels.collect::<Vec<_>>().join(","));
        for (place, route) in alike.routes.iter().enumerate() {
            let before = if place == 0 { " of route" } else { "," };
            write!(name, "{before} {}", route + 1).expect("a String takes every write");
        }
        name.into()
    }

    /// Forgets what is too long ago to count ever again, when it may be much: when that is changes
    /// nothing.
    fn forget_recent(&mut self, past_ns: i64) {
        if self.of.recent.len() > 2 * self.lasting + 1024 {
            let asked = &self.asked;
            self.of.recent.retain(|alike, recent| {
                let within_ns = asked[usize::from(alike.rule)]
                    .as_ref()
                    .map_or(0, |asked| asked.aggregate.within_ns);
                recent.iter().any(|(told_ns, _)| *told_ns > past_ns.saturating_sub(within_ns))
            });
            self.lasting = self.of.recent.len();
        }
    }
}

impl Group {
    /// Has it stand otherwise from an instant on, or the same with other members, and says what is to
    /// be told of that.
    fn tell(
        &mut self,
        (kind, standing): (Kind, Standing),
        (at_ns, known_ns): (i64, i64),
        latest: bool,
    ) -> Notification {
        let was = Said { episode: self.told.clone(), closed: self.standing == Standing::Closed };
        self.standing = standing;
        self.told.revision += 1;
        match standing {
            Standing::Open => self.told.until_ns = None,
            Standing::Closed => self.told.until_ns = Some(at_ns.max(self.told.since_ns)),
            Standing::Withdrawn => {}
        }
        Notification {
            at_ns: known_ns,
            kind,
            standing,
            episode: self.told.clone(),
            latest,
            was: (kind == Kind::Correction).then(|| Box::new(was)),
            kept_by: None,
            group: Some(Box::new(self.members.clone())),
        }
    }
}
