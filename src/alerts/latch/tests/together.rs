//! Aggregation as it is defined: everything that was ever told is remembered, and looked through.

use super::*;
use crate::alerts::notification::Members;

/// The same where similar ones are told as one; some with a limit.
fn aggregated_cases() -> impl Strategy<Value = Case> {
    let limit = prop::option::of((1..4u32, 1..60i64));
    (cases(true), limit, (1..=3usize, 1..60i64)).prop_map(|(case, limit, aggregate)| Case {
        tick: 1,
        limit,
        aggregate: Some(aggregate),
        ..case
    })
}

/// What members of a group have in common where nothing is named: nothing.
pub(super) const NAME: &str = "{}";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Alone,
    Within,
    First,
}

pub(super) struct Groups {
    aggregate: Option<(usize, i64)>,
    /// All that was told as opened.
    opened: Vec<(i64, u16, SmolStr)>,
    groups: Vec<Group>,
}

struct Group {
    told: Episode,
    standing: Standing,
    first: Episode,
    last: SmolStr,
    /// Each with whether it was said to have ended.
    members: BTreeMap<Key, bool>,
    again_at: u64,
}

impl Groups {
    pub(super) fn new(aggregate: Option<(usize, i64)>) -> Self {
        Self { aggregate, opened: Vec::new(), groups: Vec::new() }
    }

    pub(super) fn place(&self, episode: &Episode, at: i64) -> Place {
        let Some((from, within)) = self.aggregate else { return Place::Alone };
        let entities = self.entities(episode, at, within);
        let mut alike = self.groups.iter().rev();
        let alike = alike.find(|group| group.told.state == episode.state);
        match alike.is_some_and(|group| group.standing == Standing::Open) {
            _ if entities.len() < from => Place::Alone,
            true => Place::Within,
            false => Place::First,
        }
    }

    /// Notes that an episode is opened; what is told of its group, if it is one of a group.
    pub(super) fn told(
        &mut self,
        episode: &Episode,
        place: Place,
        at: i64,
        tick: i64,
    ) -> Option<(Keeper, Option<Notification>)> {
        let shortest_ns = self.shortest_ns(episode, at);
        self.opened.push((at, episode.state, episode.entity.clone()));
        let state = episode.state;
        let last = self.groups.iter().rposition(|group| group.told.state == state);
        match place {
            Place::Alone => return None,
            Place::Within => {}
            Place::First => {
                let after = last.map_or(at, |last| self.groups[last].told.since_ns + 1);
                let since_ns = at.max(after);
                let told = Episode {
                    since_ns,
                    entity: NAME.into(),
                    decided_ns: since_ns,
                    until_ns: None,
                    expired: false,
                    revision: 0,
                    ..episode.clone()
                };
                let (from, _) = self.aggregate.expect("there are groups");
                self.groups.push(Group {
                    told,
                    standing: Standing::Open,
                    first: episode.clone(),
                    last: episode.entity.clone(),
                    members: BTreeMap::new(),
                    again_at: from.max(2) as u64,
                });
            }
        }
        let mut alike = self.groups.iter_mut().rev();
        let group = alike.find(|group| group.told.state == state).expect("there is one");
        group.last = episode.entity.clone();
        group.members.insert(Key::of(episode), false);
        let count = group.members.len() as u64;
        let (name, since_ns) = (group.told.entity.clone(), group.told.since_ns);
        let told = match place {
            Place::First => Some(group.tell(Kind::Opened, Standing::Open, None, tick)),
            _ if count >= group.again_at => {
                group.again_at *= 2;
                Some(group.tell(Kind::Correction, Standing::Open, None, tick))
            }
            _ => None,
        };
        Some((Keeper::Group { name, since_ns, shortest_ns }, told))
    }

    /// The longest time that would be too short, tried one by one.
    fn shortest_ns(&self, episode: &Episode, at: i64) -> Option<i64> {
        let (from, within) = self.aggregate?;
        (1..within).rev().find(|within| self.entities(episode, at, *within).len() < from)
    }

    /// Those that had a similar one within a time, this one included.
    fn entities<'g>(&'g self, episode: &'g Episode, at: i64, within: i64) -> BTreeSet<&'g SmolStr> {
        let lately = self.opened.iter().filter(|(told, state, _)| {
            *told > at - within && *told <= at && *state == episode.state
        });
        lately.map(|(.., entity)| entity).chain([&episode.entity]).collect()
    }

    /// Notes that an episode ended or not, or was withdrawn; what is told of its group, if it is one
    /// of a group.
    pub(super) fn changed(
        &mut self,
        key: &Key,
        closed: Option<bool>,
        at: i64,
        tick: i64,
    ) -> Option<Option<Notification>> {
        let mut groups = self.groups.iter_mut();
        let group = groups.find(|group| group.members.contains_key(key))?;
        match closed {
            Some(closed) => drop(group.members.insert(key.clone(), closed)),
            None => drop(group.members.remove(key)),
        }
        let (kind, standing) = match group.members.values().any(|closed| !closed) {
            _ if group.members.is_empty() => (Kind::Correction, Standing::Withdrawn),
            true => (Kind::Correction, Standing::Open),
            false => (Kind::Closed, Standing::Closed),
        };
        let until = at.max(group.told.since_ns);
        let changes = standing != group.standing;
        Some(changes.then(|| group.tell(kind, standing, Some(until), tick)))
    }
}

impl Group {
    fn tell(
        &mut self,
        kind: Kind,
        standing: Standing,
        until: Option<i64>,
        tick: i64,
    ) -> Notification {
        let was = Said { episode: self.told.clone(), closed: self.standing == Standing::Closed };
        self.standing = standing;
        self.told.revision += 1;
        if standing != Standing::Withdrawn {
            self.told.until_ns = until.filter(|_| standing == Standing::Closed);
        }
        let open = self.members.values().filter(|closed| !**closed).count() as u64;
        let (count, first) = (self.members.len() as u64, self.first.clone());
        Notification {
            at_ns: tick,
            kind,
            standing,
            episode: self.told.clone(),
            latest: true,
            was: (kind == Kind::Correction).then(|| Box::new(was)),
            kept_by: None,
            group: Some(Box::new(Members { count, open, first, last: self.last.clone() })),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// What is told as one is told as one, and nothing is lost by that.
    #[test]
    fn what_is_told_as_one_is_what_the_oracle_tells_so(mut case in aggregated_cases()) {
        let views = case.views();
        let wanted = oracle(&case, &views);
        let (got, _) = told(&case, &views);
        prop_assert_eq!(shown(&got), shown(&wanted));
        let sent: Vec<_> = got.into_iter().filter(|told| told.kept_by.is_none()).collect();
        prop_assert_eq!(ids(&sent).len(), sent.len());
        // In the end what holds is told as open, by itself or within a group that is.
        (case.limit, case.end) = (None, 1000);
        let views = case.views();
        let (told, mut latch) = told(&case, &views);
        let (mut alone, mut together) = (BTreeMap::new(), BTreeMap::new());
        let mut within: BTreeSet<Key> = BTreeSet::new();
        for notification in &told {
            let key = Key::of(&notification.episode);
            if notification.kept_by.is_some() {
                // One that was withdrawn may be told otherwise when it comes back.
                alone.remove(&key);
                within.insert(key);
            } else if let Some(members) = &notification.group {
                together.insert(key, (notification.standing, members.open));
            } else {
                within.remove(&key);
                alone.insert(key, notification.standing);
            }
        }
        let (_, _, view) = views.last().expect("there is an end");
        let open = view.iter().filter(|episode| episode.until_ns.is_none()).map(Key::of);
        let (grouped, by_itself): (Vec<_>, Vec<_>) = open.partition(|key| within.contains(key));
        let stand = alone.iter().filter(|(_, standing)| **standing == Standing::Open);
        let remembered = grouped.len() + by_itself.len();
        prop_assert_eq!(stand.map(|(key, _)| key.clone()).collect::<Vec<_>>(), by_itself);
        for state in 0..STATES as u16 {
            let stand = together.iter().filter(|(key, _)| key.state == state);
            let stand = stand.filter(|(_, (standing, _))| *standing == Standing::Open);
            let members = grouped.iter().filter(|key| key.state == state);
            prop_assert_eq!(stand.count() > 0, members.count() > 0, "{}", state);
        }
        let mut nothing = Vec::new();
        latch.advance(i64::MAX, &mut nothing);
        prop_assert_eq!((latch.remembered(), nothing), (remembered, vec![]));
        let remembered: u64 = latch.aggregator.saved().remembered();
        prop_assert_eq!(remembered, grouped.len() as u64);
    }
}
