//! The latch against an oracle that goes through every tick and remembers everything. The episodes
//! are those of a hold-down that is folded anew for every tick from what had arrived by then.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use limbeck_operators::Machine;
use limbeck_operators::machines::hold_down::{Decision, HoldDown, Holds, Observed};
use proptest::prelude::*;

use super::*;
use crate::model::time::format_rfc3339;

mod forgotten;
mod silenced;
mod together;

const ENTITIES: [&str; 3] = ["a", "b", "c"];
const STATES: u32 = 3;

/// An observation of an entity, and by how much later it arrives.
#[derive(Clone, Debug)]
struct Seen {
    entity: usize,
    time: i64,
    state: u32,
    delay: i64,
}

#[derive(Clone, Debug)]
struct Case {
    seen: Vec<Seen>,
    holds: [i64; STATES as usize],
    expire_after: i64,
    lateness: i64,
    amend_within: i64,
    tick: i64,
    /// How much longer than the last arrival the log is.
    end: i64,
    /// At each moment: whether the latch is handed over there, told the time, or saved.
    at_moments: Vec<(bool, bool, bool)>,
    /// Of an entity, from when to before when.
    silences: Vec<(usize, i64, i64)>,
    /// The same as records say it, each of a silence by its number, with when it came.
    heard: Vec<(usize, (usize, i64, i64), i64)>,
    /// When records tell of a silence that has nobody; if they do, others that have nobody are there,
    /// too.
    of_nobody: Vec<i64>,
    /// Of each entity, how many are told at once, and after how long one more.
    limit: Option<(u32, i64)>,
    /// Whether the limit is of all entities together.
    shares_limit: bool,
    /// From how many entities within which time they are told as one.
    aggregate: Option<(usize, i64)>,
}

impl Holds<(), u32> for Case {
    type Besides = ();

    fn hold(&self, (): &(), state: &u32) -> i64 {
        self.holds[*state as usize]
    }

    fn expire_after(&self, (): &()) -> i64 {
        self.expire_after
    }
}

fn cases(amends: bool) -> impl Strategy<Value = Case> {
    let seen = (0..ENTITIES.len(), 0..80i64, 0..STATES, 0..30i64);
    let seen = seen.prop_map(|(entity, time, state, delay)| Seen { entity, time, state, delay });
    let expire_after = prop_oneof![5..40i64, Just(100_000)];
    let tick = prop::sample::select(vec![1i64, 4, 7]);
    let times = (0..15i64, 0..25i64, expire_after, tick, 0..80i64);
    let at_moments = prop::collection::vec(any::<(bool, bool, bool)>(), 1..20);
    let holds = prop::array::uniform3(0..12i64);
    (prop::collection::vec(seen, 0..40), holds, times, at_moments).prop_map(
        move |(mut seen, holds, (lateness, more, expire_after, tick, end), at_moments)| {
            // Ties are the business of hold-down.
            seen.sort_by_key(|seen| (seen.entity, seen.time));
            seen.dedup_by_key(|seen| (seen.entity, seen.time));
            let amend_within = lateness + if amends { more } else { 0 };
            seen.retain(|seen| seen.delay <= amend_within);
            let (silences, heard, of_nobody) = (Vec::new(), Vec::new(), Vec::new());
            let (limit, shares_limit, aggregate) = (None, false, None);
            Case {
                seen,
                holds,
                expire_after,
                lateness,
                amend_within,
                tick,
                end,
                at_moments,
                silences,
                heard,
                of_nobody,
                limit,
                shares_limit,
                aggregate,
            }
        },
    )
}

/// The same with a limit.
fn limited_cases() -> impl Strategy<Value = Case> {
    let limit = (1..4u32, 1..60i64);
    (cases(true), limit).prop_map(|(case, limit)| Case { tick: 1, limit: Some(limit), ..case })
}

impl Case {
    /// As a rule file says it.
    fn rules(&self) -> Arc<Rules> {
        static PLAIN: OnceLock<Arc<Rules>> = OnceLock::new();
        let is_loud =
            self.silences.is_empty() && self.heard.is_empty() && self.of_nobody.is_empty();
        match is_loud && self.limit.is_none() && self.aggregate.is_none() {
            true => Arc::clone(PLAIN.get_or_init(|| Arc::new(self.read_rules()))),
            false => Arc::new(self.read_rules()),
        }
    }

    fn read_rules(&self) -> Rules {
        let silences = self.silences.iter().enumerate().map(|(number, (entity, from, until))| {
            let [from, until] = [*from, *until].map(format_rfc3339);
            let entity = ENTITIES[*entity];
            format!("  s{number}: {{ match: [entity = {entity}], from: {from}, until: {until} }}\n")
        });
        let heard = "  told: { events: { where: 'false' } }\n".to_owned();
        let silences = silences.chain((!self.heard.is_empty()).then_some(heard));
        let of_nobody = "  \
            told-of-nobody: { match: [entity = nobody], events: { where: 'false' } }\n  \
            once: { match: [entity = nobody], from: 1970-01-01T00:00:00Z, until: 1970-01-02T00:00:00Z }\n  \
            lasting: { match: [entity = nobody], while: { match: [state = a] } }\n"
            .to_owned();
        let silences: String =
            silences.chain((!self.of_nobody.is_empty()).then_some(of_nobody)).collect();
        let silences =
            if silences.is_empty() { silences } else { format!("silences:\n{silences}") };
        let by = if self.shares_limit { ", by: z" } else { "" };
        let limit = self
            .limit
            .map(|(burst, every)| format!(", limit: {{ burst: {burst}, every: {every}ns{by} }}"));
        let aggregate = self
            .aggregate
            .map(|(from, within)| format!(", aggregate: {{ from: {from}, within: {within}ns }}"));
        let limit = limit.unwrap_or_default() + &aggregate.unwrap_or_default();
        let text = format!(
            "version: 1\nsignals:\n  s:\n    labels: {{ z: data.z }}\n    \
             states: {{ a: data.a, b: data.b, c: data.c }}\n\
             rules: [{{ name: r, signal: s{limit} }}]\n{silences}\
             sinks: {{ x: {{ webhook: {{ url: \"http://localhost/\" }} }} }}\nroutes: [{{ to: x }}]\n"
        );
        Rules::parse("rules.yaml", &text).unwrap_or_else(|all| panic!("{all}"))
    }

    fn timing(&self) -> Timing {
        Timing { lateness: self.lateness, tick: self.tick }
    }

    fn last_arrival(&self) -> i64 {
        self.seen.iter().map(|seen| seen.time + seen.delay).max().unwrap_or(0)
    }

    /// The episodes of what arrived in ticks until this one, with time at an instant.
    fn view(&self, tick: i64, clock: i64) -> Vec<Episode> {
        let machine = HoldDown::<(), Observed, _>::new(self.clone());
        let mut episodes = Vec::new();
        for (number, entity) in ENTITIES.iter().enumerate() {
            let (mut held, mut told) = (<_>::default(), Vec::new());
            let known = self.seen.iter().filter(|seen| {
                let arrived = self.timing().floor(seen.time + seen.delay) <= tick;
                seen.entity == number && arrived && seen.time <= clock
            });
            for seen in known {
                while let Some(at) = machine.deadline(&(), &held).filter(|at| *at <= seen.time) {
                    machine.elapse(&(), &mut held, at, &mut told);
                }
                let Seen { time, state, .. } = *seen;
                machine.event(&(), &mut held, &Observed { time, state }, &mut told);
            }
            while let Some(at) = machine.deadline(&(), &held).filter(|at| *at <= clock) {
                machine.elapse(&(), &mut held, at, &mut told);
            }
            machine.current(&(), &held, &mut told);
            episodes.extend(told.into_iter().filter_map(|decision| match decision {
                Decision::Sustained(sustained) => Some(Episode {
                    since_ns: sustained.since,
                    entity: SmolStr::new(entity),
                    signal: 0,
                    rule: 0,
                    state: sustained.state as u16,
                    until_ns: sustained.until,
                    decided_ns: sustained.decided,
                    expired: sustained.expired,
                    revision: 0,
                    detail: None,
                }),
                _ => None,
            }));
        }
        episodes
    }

    /// The ticks, each with the instant until which deadlines have come; the last is the end.
    fn ticks(&self) -> Vec<(i64, i64)> {
        let end = self.last_arrival() + self.end;
        let ticks = (0..).map(|n| n * self.tick).take_while(|tick| *tick < end);
        let mut ticks: Vec<_> = ticks.map(|tick| (tick, tick)).collect();
        ticks.push((self.timing().ceil(end), end));
        ticks
    }

    /// The episodes at each tick, with revisions, and the instant that counts there.
    fn views(&self) -> Vec<(i64, i64, Vec<Episode>)> {
        let mut revisions: BTreeMap<Key, Episode> = BTreeMap::new();
        let ticks = self.ticks().into_iter();
        let views = ticks.map(|(tick, clock)| {
            let mut view = self.view(tick, clock);
            for episode in &mut view {
                let key = Key::of(episode);
                let revision = revisions.get(&key).map_or(1, |known| {
                    let same = Episode { revision: known.revision, ..episode.clone() } == *known;
                    known.revision + u32::from(!same)
                });
                episode.revision = revision;
                revisions.insert(key, episode.clone());
            }
            // One that is gone and comes back has another revision.
            for (key, known) in &mut revisions {
                if !view.iter().any(|episode| Key::of(episode) == *key) {
                    known.decided_ns = i64::MIN;
                }
            }
            (tick, clock, view)
        });
        views.collect()
    }

    fn latch(&self) -> Latch {
        let remember_ns = self.amend_within + 3 * self.tick;
        let rules = self.rules();
        let catalog = Catalog::new(&rules);
        Latch {
            timing: self.timing(),
            times: vec![Times { expire_after_ns: self.expire_after, remember_ns }],
            now_ns: i64::MIN,
            held: BTreeMap::new(),
            due: BTreeSet::new(),
            silencer: Silencer::new(&rules, &catalog),
            limiter: Limiter::new(&rules, &catalog),
            aggregator: Aggregator::new(&rules, &catalog),
            to_hear: VecDeque::new(),
            silenced: BTreeSet::new(),
        }
    }
}

/// The updates that lead through views.
fn updates(views: &[(i64, i64, Vec<Episode>)]) -> Vec<Vec<Update<Episode>>> {
    let mut before: &[Episode] = &[];
    let moments = views.iter().map(|(tick, _, view)| {
        let gone = before.iter().filter(|episode| !view.contains(episode));
        let gone = gone.map(|episode| (episode.clone(), *tick, -1));
        let new = view.iter().filter(|episode| !before.contains(episode));
        let new = new.map(|episode| (episode.clone(), *tick, 1));
        let mut moment: Vec<_> = gone.chain(new).collect();
        moment.sort();
        before = view;
        moment
    });
    moments.collect()
}

/// What is to be told: every tick, of every episode there ever was.
fn oracle(case: &Case, views: &[(i64, i64, Vec<Episode>)]) -> Vec<Notification> {
    let mut said: BTreeMap<Key, (Episode, bool)> = BTreeMap::new();
    // Those that it was time to tell of, and nobody was told, with when they are asked about again
    // for their limit.
    let mut waiting: BTreeMap<Key, i64> = BTreeMap::new();
    // How full the bucket of each unit is, in time, and when it was so.
    let mut levels: BTreeMap<SmolStr, (i64, i64)> = BTreeMap::new();
    let mut groups = together::Groups::new(case.aggregate);
    let mut told = Vec::new();
    for (index, (tick, clock, view)) in views.iter().enumerate() {
        let news = |kind, standing, episode: &Episode, was: Option<(&Episode, bool)>| {
            let was = was.map(|(episode, closed)| Said { episode: episode.clone(), closed });
            Notification {
                at_ns: *tick,
                kind,
                standing,
                latest: true,
                episode: episode.clone(),
                was: was.map(Box::new),
                kept_by: None,
                group: None,
            }
        };
        waiting.retain(|key, _| view.iter().any(|episode| Key::of(episode) == *key));
        let stands = |key: &Key| view.iter().find(|episode| Key::of(episode) == *key);
        for (key, (episode, closed)) in said.extract_if(.., |key, _| stands(key).is_none()) {
            assert_eq!(key, Key::of(&episode));
            let was = Some((&episode, closed));
            let alone = news(Kind::Correction, Standing::Withdrawn, &episode, was);
            told.extend(groups.changed(&key, None, *clock, *tick).unwrap_or(Some(alone)));
        }
        for (key, (known, closed)) in &mut said {
            let now = stands(key).expect("it was not withdrawn");
            if *closed && (now.until_ns, now.expired) != (known.until_ns, known.expired) {
                let was = (&known.clone(), *closed);
                *closed = now.until_ns.is_some();
                let standing = if *closed { Standing::Closed } else { Standing::Open };
                let alone = news(Kind::Correction, standing, now, Some(was));
                let changed = groups.changed(key, Some(*closed), *clock, *tick);
                told.extend(changed.unwrap_or(Some(alone)));
                *known = now.clone();
            }
        }
        // Within the last tick only what is due by the end; otherwise the whole tick has passed.
        let is_last = index + 1 == views.len();
        let come = |due: i64| due <= if is_last { *clock } else { *tick };
        let ended = |episode: &Episode| {
            let decided = episode.until_ns.map(|until| {
                let mut follows = view.iter();
                let follows = follows.find(|e| e.entity == episode.entity && e.since_ns == until);
                match (episode.expired, follows) {
                    (true, _) => until + case.expire_after,
                    (false, next) => next.expect("another state follows").decided_ns,
                }
            });
            decided.map(|decided| decided + case.lateness)
        };
        let mut over: BTreeSet<Key> = BTreeSet::new();
        // What is due first is told first, and takes the first token.
        loop {
            let due = |episode: &Episode| {
                let key = Key::of(episode);
                let opens = episode.decided_ns + case.lateness;
                let due = match (said.get(&key), waiting.get(&key)) {
                    _ if over.contains(&key) => None,
                    (Some((_, closed)), _) => ended(episode).filter(|_| !closed),
                    (None, None) => Some(opens),
                    (None, Some(again)) => {
                        let asked = opens.max(*again);
                        Some(ended(episode).map_or(asked, |ended| asked.min(ended)))
                    }
                };
                Some((due.filter(|due| come(*due))?, key))
            };
            let Some((_, key)) = view.iter().filter_map(due).min() else { break };
            let episode = stands(&key).expect("it was found there");
            if let Some(said) = said.get_mut(&key) {
                let alone = news(Kind::Closed, Standing::Closed, episode, None);
                let changed = groups.changed(&key, Some(true), *clock, *tick);
                told.extend(changed.unwrap_or(Some(alone)));
                *said = (episode.clone(), true);
                continue;
            }
            if waiting.contains_key(&key) && ended(episode).is_some_and(come) {
                waiting.insert(key.clone(), i64::MIN);
                over.insert(key);
                continue;
            }
            let kept = case.is_silenced(episode, *clock, *tick);
            let mut kept = kept.then(|| (Keeper::Silence(0, None), *clock + 1));
            let place = groups.place(episode, *clock);
            let unit = match place {
                together::Place::Alone => Some(episode.entity.clone()),
                together::Place::First => Some(together::NAME.into()),
                together::Place::Within => None,
            };
            // Without labels all are of one value.
            let unit = unit.map(|unit| if case.shares_limit { SmolStr::default() } else { unit });
            if let (None, Some((burst, every)), Some(unit)) = (&kept, case.limit, unit) {
                let full = i64::from(burst) * every;
                let (level, at) = levels.entry(unit).or_insert((full, *clock));
                (*level, *at) = (full.min(*level + *clock - *at), *clock);
                match *level >= every {
                    true => *level -= every,
                    false => kept = Some((Keeper::Limit, *clock + every - *level)),
                }
            }
            let opened = news(Kind::Opened, Standing::Open, episode, None);
            if let Some((by, again)) = kept {
                if waiting.insert(key, again).is_none() {
                    told.push(Notification { kept_by: Some(by), ..opened });
                }
                continue;
            }
            waiting.remove(&key);
            said.insert(key.clone(), (episode.clone(), false));
            match groups.told(episode, place, *clock, *tick) {
                None => told.push(opened),
                Some((keeper, group)) => {
                    told.push(Notification { kept_by: Some(keeper), ..opened });
                    told.extend(group);
                }
            }
        }
    }
    told
}

/// What the latch tells, handed the moments in any portions, told the time or not, saved or not.
fn told(case: &Case, views: &[(i64, i64, Vec<Episode>)]) -> (Vec<Notification>, Latch) {
    let (mut latch, mut out, mut waiting) = (case.latch(), Vec::new(), Vec::new());
    let choices = case.at_moments.iter().cycle();
    let mut heard = case.silencings();
    let mut hear = |latch: &mut Latch, before: i64| {
        latch.hear(heard.extract_if(.., |(_, at, _)| *at < before).collect());
    };
    for (moment, (hands_over, tells_time, saves)) in updates(views).into_iter().zip(choices) {
        let next = moment.first().map_or(i64::MIN, |update| update.1);
        waiting.extend(moment);
        hear(&mut latch, next.saturating_add(1));
        if *hands_over {
            latch.take(&std::mem::take(&mut waiting), &mut out);
        }
        if *tells_time && waiting.is_empty() {
            latch.advance(next, &mut out);
        }
        if *saves {
            let bytes = postcard::to_stdvec(&latch.snapshot()).expect("it encodes");
            let snapshot = postcard::from_bytes(&bytes).expect("it decodes");
            latch = case.latch().restore(snapshot);
        }
    }
    hear(&mut latch, i64::MAX);
    latch.take(&waiting, &mut out);
    latch.end(views.last().map_or(0, |(_, clock, _)| *clock), &mut out);
    (out, latch)
}

/// In any order that keeps that of each entity.
fn by_entity(told: &[Notification]) -> BTreeMap<&str, Vec<&Notification>> {
    let mut by_entity: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for notification in told {
        by_entity.entry(&*notification.episode.entity).or_default().push(notification);
    }
    by_entity
}

fn ids(told: &[Notification]) -> BTreeSet<(Key, u32, Kind, bool)> {
    let id = |n: &Notification| {
        let withdrawn = n.standing == Standing::Withdrawn;
        (Key::of(&n.episode), n.episode.revision, n.kind, withdrawn)
    };
    told.iter().map(id).collect()
}

/// Which of several silences is named is the business of who asks them.
fn shown(told: &[Notification]) -> Vec<(i64, String)> {
    let told = told.iter().map(|told| {
        let kept_by = told.kept_by.clone().map(|by| match by {
            Keeper::Silence(..) => Keeper::Silence(0, None),
            other => other,
        });
        // Which is the latest is judged where it matters: see below.
        Notification { latest: true, kept_by, ..told.clone() }
    });
    let mut shown: Vec<_> = told.map(|n| (n.at_ns, format!("{n:?}"))).collect();
    shown.sort();
    shown
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_is_what_the_oracle_tells(case in cases(true)) {
        let views = case.views();
        let wanted = oracle(&case, &views);
        let (got, _) = told(&case, &views);
        prop_assert_eq!(shown(&got), shown(&wanted));
        prop_assert!(got.is_sorted_by_key(|notification| notification.at_ns));
        // No two have one key, so that a sink loses none when it removes repeats.
        prop_assert_eq!(ids(&got).len(), got.len());
        // Of one episode: opened, closed, and what corrects these.
        for (_, told) in by_entity(&got) {
            let mut standing: BTreeMap<Key, Standing> = BTreeMap::new();
            for notification in told {
                let key = Key::of(&notification.episode);
                let before = standing.insert(key, notification.standing);
                let fits = match notification.kind {
                    Kind::Opened => matches!(before, None | Some(Standing::Withdrawn)),
                    Kind::Closed => before == Some(Standing::Open),
                    Kind::Correction => matches!(before, Some(Standing::Open | Standing::Closed)),
                };
                prop_assert!(fits, "{:?} after {:?}", notification, before);
            }
        }
    }

    /// A limit keeps what is beyond it from being told until there is room, and nothing else.
    #[test]
    fn what_is_beyond_a_limit_is_what_the_oracle_keeps(case in limited_cases()) {
        let views = case.views();
        let wanted = oracle(&case, &views);
        let (got, _) = told(&case, &views);
        prop_assert_eq!(shown(&got), shown(&wanted));
        let mut opened: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for notification in got.iter().filter(|n| n.kept_by.is_none()) {
            if notification.kind == Kind::Opened {
                opened.entry(&notification.episode.entity).or_default().push(notification.at_ns);
            }
        }
        // Of any more than the burst that follow each other, the last is late enough.
        let (burst, every) = case.limit.expect("there is one");
        for at in opened.values() {
            for (number, from) in at.iter().enumerate() {
                for more in at.iter().skip(number + burst as usize).zip(1..) {
                    prop_assert!(more.0 - from >= i64::from(more.1) * every, "{:?}", at);
                }
            }
        }
    }

    /// What the finality of a fact is for.
    #[test]
    fn nothing_final_is_corrected_unless_late_records_amend(case in cases(false)) {
        let (told, _) = told(&case, &case.views());
        let corrections: Vec<_> =
            told.iter().filter(|notification| notification.kind == Kind::Correction).collect();
        prop_assert!(corrections.is_empty(), "{:#?}", corrections);
    }

    /// In the end everybody knows what holds, and the latch remembers what is open.
    #[test]
    fn in_the_end_what_is_told_is_what_holds(mut case in cases(true)) {
        case.end = 1000;
        let views = case.views();
        let (told, mut latch) = told(&case, &views);
        let mut standing: BTreeMap<Key, (Standing, Option<i64>)> = BTreeMap::new();
        for Notification { standing: stands, episode, .. } in &told {
            let until = episode.until_ns.filter(|_| *stands == Standing::Closed);
            standing.insert(Key::of(episode), (*stands, until));
        }
        standing.retain(|_, (stands, _)| *stands != Standing::Withdrawn);
        let (_, _, view) = views.last().expect("there is an end");
        let wanted: BTreeMap<_, _> = view.iter().map(|episode| {
            let stands = if episode.until_ns.is_some() { Standing::Closed } else { Standing::Open };
            (Key::of(episode), (stands, episode.until_ns))
        }).collect();
        prop_assert_eq!(standing, wanted);
        // Who knows episodes by entity and state alone, as Alertmanager does, knows which are open.
        let mut firing: BTreeSet<(SmolStr, u16)> = BTreeSet::new();
        for Notification { standing, episode, was, .. } in told.iter().filter(|n| n.latest) {
            let alert = (episode.entity.clone(), episode.state);
            let was_open = was.as_ref().is_none_or(|was| !was.closed);
            match standing {
                Standing::Open => drop(firing.insert(alert)),
                _ if was_open => drop(firing.remove(&alert)),
                _ => {}
            }
        }
        let open = view.iter().filter(|episode| episode.until_ns.is_none());
        let open: BTreeSet<_> = open.map(|e| (e.entity.clone(), e.state)).collect();
        prop_assert_eq!(&firing, &open);
        let open = open.len();
        let mut nothing = Vec::new();
        latch.advance(i64::MAX, &mut nothing);
        prop_assert_eq!((latch.remembered(), nothing), (open, vec![]));
    }
}
