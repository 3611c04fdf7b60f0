//! A replay for some entities, with the traces of their records, and what these come to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;

use limbeck_operators::machines::hold_down::{Decision, Sustained};
use smol_str::SmolStr;

use super::{
    Amending, Announced, Expected, Explained, Explanation, Kept, NotUsed, Observed, Origin, Reason,
    Repeated, Run, Waiting, Withheld,
};
use crate::model::episode::Catalog;
use crate::model::lane::{self, LaneStory};
use crate::model::ledger::{DeadLetter, Disposition, Entry, Known, Mark, Place, Staged, Trace};
use crate::model::sighting::Position;
use crate::persistence::{Judged, Learner};
use crate::pipeline::{Gathered, Update};
use crate::replay::memory::{How, collect};
use crate::replay::{Failure, Log};
use crate::rules::{MARKER, Rules};
use crate::sources::intake::{Matcher, Outcome, Traced};
use crate::sources::{InputError, Interrupt};

/// How finely history is resolved; what holds at the end does not depend on it.
pub(super) const TICK_NS: i64 = 100_000_000;

/// What is looked for in a replay.
#[derive(Default)]
pub(super) struct Wanted {
    /// Whose records are traced.
    pub(super) entities: BTreeSet<SmolStr>,
    /// Of which lines, by partition, dead letters are kept.
    pub(super) lines: BTreeSet<(usize, u64)>,
}

/// What was found.
pub(crate) struct Retraced {
    names: Vec<String>,
    entities: BTreeMap<SmolStr, Traces>,
    pub(super) dead: Vec<DeadLetter>,
    /// What was expected of faults, in the order of their beginnings.
    judged: Vec<Judged>,
    known_at: Option<i64>,
    pub(super) damaged: Vec<InputError>,
}

/// Replays logs, until an instant if one is given.
pub(super) fn retrace(
    rules: &Rules,
    logs: &[Log],
    wanted: Wanted,
    traced: Traced,
    until_ns: Option<i64>,
) -> Result<Retraced, Failure> {
    let names: Vec<String> = logs.iter().map(|log| log.path.display().to_string()).collect();
    // Before the worker starts: it would wait for a feed that nobody gives.
    let partitions = logs
        .iter()
        .enumerate()
        .map(|(number, log)| {
            log.has_all_from(None)?;
            log.open(Log::number(logs, number), rules, &Interrupt::default())
        })
        .collect::<Result<Vec<_>, InputError>>()?;
    let Wanted { entities, lines } = wanted;
    let learner = Learner::new(rules, TICK_NS).map(Learner::recording);
    // What is expected of one entity is learned of others, too.
    let (matcher, only) = match learner {
        Some(_) => (Matcher::new(rules), Some(entities)),
        None => (Matcher::new(rules).watching(entities), None),
    };
    let how = How { tick_ns: TICK_NS, until_ns, traced, workers: 1 };
    let seen = Seen { lines, only, learner, ..Seen::default() };
    let (seen, outcome) = collect(partitions, &matcher, how, seen, Seen::receive)?;
    Ok(seen.into_retraced(names, outcome))
}

/// What has been seen so far.
#[derive(Default)]
pub(crate) struct Seen {
    lines: BTreeSet<(usize, u64)>,
    /// Whose traces are kept; all if none.
    only: Option<BTreeSet<SmolStr>>,
    entities: BTreeMap<SmolStr, Traces>,
    dead: Vec<DeadLetter>,
    learner: Option<Learner>,
    judged: Vec<Judged>,
}

impl Seen {
    fn receive(&mut self, gathered: Gathered) {
        match (gathered, &mut self.learner) {
            (Gathered::Ledger(entries), _) => self.take(entries),
            (Gathered::Candidates { candidates, episodes }, Some(learner)) => {
                let Ok(()) = learner.take(&candidates, &episodes, |_| Ok::<_, Infallible>(()));
                let judged = learner.judged();
                self.keep(judged);
            }
            _ => {}
        }
    }

    fn keep(&mut self, judged: Vec<Judged>) {
        let is_wanted = |judged: &Judged| {
            self.only.as_ref().is_none_or(|only| only.contains(&judged.row.entity))
        };
        self.judged.extend(judged.into_iter().filter(is_wanted));
    }

    /// Takes in what became of records.
    pub(crate) fn take(&mut self, entries: Vec<Update<Entry>>) {
        for (entry, _, diff) in entries {
            match entry {
                Entry::Trace(trace) => {
                    let entity = match &*trace {
                        Trace::Record { known, .. } => &known.entity,
                        Trace::Read { entity, .. } => entity,
                        Trace::Observed { lane, .. }
                        | Trace::Repeated { lane, .. }
                        | Trace::Staged { lane, .. }
                        | Trace::Decided { lane, .. } => &lane.entity,
                    };
                    if self.only.as_ref().is_some_and(|only| !only.contains(entity)) {
                        continue;
                    }
                    let of = self.entities.entry(entity.clone()).or_default();
                    of.add(&trace, diff);
                }
                Entry::DeadLetter(letter) => {
                    if self.lines.contains(&(letter.partition as usize, letter.line)) {
                        self.dead.push(letter);
                    }
                }
                Entry::Count(_) | Entry::Source(_) | Entry::Silencing(_) => {}
            }
        }
    }

    /// All of it, of logs of these names.
    pub(crate) fn into_retraced(mut self, names: Vec<String>, outcome: Outcome) -> Retraced {
        if let (Some(mut learner), Some(clock_ns)) = (self.learner.take(), outcome.clock) {
            learner.end(clock_ns);
            let left = learner.judged().into_iter().chain(learner.judged_open(clock_ns));
            self.keep(left.collect());
        }
        let Self { entities, dead, mut judged, .. } = self;
        judged.sort_by_key(|judged| judged.row.since_ns);
        let (known_at, damaged) = (outcome.clock, outcome.damaged);
        Retraced { names, entities, dead, judged, known_at, damaged }
    }
}

/// The traces of one entity.
#[derive(Default)]
struct Traces {
    traces: BTreeMap<Trace, isize>,
    /// Elements and raw times of the records that have any, by place and what tells them apart.
    reads: BTreeMap<(Position, Mark), VecDeque<Read>>,
}

/// The element and the raw time of a record.
type Read = (Option<u32>, Option<i64>);

/// What became of a record.
#[derive(Clone, Debug)]
pub(super) struct Became {
    pub(super) position: Position,
    pub(super) element: Option<u32>,
    pub(super) raw_time_ns: Option<i64>,
    pub(super) known: Known,
    pub(super) disposition: Disposition,
}

impl Became {
    /// In this order records pass the door, or not.
    fn rank(&self) -> (i64, Position, u64, Option<u32>) {
        (self.known.arrival_ns, self.position, self.known.mark.content, self.element)
    }
}

impl Retraced {
    /// What was made of an entity.
    pub(crate) fn explanation(&self, rules: &Rules, entity: &str) -> Explanation {
        let none = Traces::default();
        let traces = self.entities.get(entity).unwrap_or(&none);
        let (not_used, amending) = traces.not_used(rules, &self.names);
        let each = 0..rules.rules.len();
        Explanation {
            entity: entity.to_owned(),
            known_at: self.known_at,
            lateness_ns: rules.lateness_ns,
            rules: each
                .filter_map(|rule| {
                    let faults = self.faults(rules, rule, entity);
                    let explained = traces.rule(rules, rule, &self.names)?;
                    Some(Explained { faults, ..explained })
                })
                .collect(),
            not_used,
            amending,
            told: Vec::new(),
            damaged: self.damaged.clone(),
        }
    }

    /// What a rule expected of the faults of an entity.
    fn faults(&self, rules: &Rules, number: usize, entity: &str) -> Vec<Expected> {
        if rules.rules[number].persistence.is_none() {
            return Vec::new();
        }
        let catalog = Catalog::new(rules);
        let rank = catalog.rule_ranks()[number];
        let own = |judged: &&Judged| judged.row.rule == rank && judged.row.entity == entity;
        let expected = |judged: &Judged| {
            let (_, _, state) = catalog.names(&judged.row);
            Expected::new(judged, state.to_owned())
        };
        self.judged.iter().filter(own).map(expected).collect()
    }

    /// Whose records there are.
    pub(crate) fn entities(&self) -> impl Iterator<Item = &str> {
        self.entities.keys().map(SmolStr::as_str)
    }

    /// Where a record stands.
    pub(super) fn origin(&self, became: &Became) -> Origin {
        let Became { position, element, .. } = *became;
        let partition = position.partition();
        let (file, line) = (self.names[partition].clone(), position.line());
        Origin { partition, file, line, element }
    }

    /// What became of the records of an entity.
    pub(super) fn records(&self, entity: &str) -> Vec<Became> {
        self.entities.get(entity).map_or_else(Vec::new, Traces::records)
    }
}

impl Traces {
    fn add(&mut self, trace: &Trace, diff: isize) {
        if let Trace::Read { position, mark, element, raw_time_ns, .. } = trace {
            let of_it = self.reads.entry((*position, *mark)).or_default();
            of_it.extend((0..diff).map(|_| (*element, *raw_time_ns)));
            of_it.make_contiguous().sort_unstable();
            return;
        }
        let count = self.traces.entry(trace.clone()).or_default();
        *count += diff;
        if *count == 0 {
            self.traces.remove(trace);
        }
    }

    /// Of records that nothing tells apart, the first is the one that counts.
    fn records(&self) -> Vec<Became> {
        let mut reads = self.reads.clone();
        let mut records = Vec::new();
        for (trace, count) in &self.traces {
            let Trace::Record { position, known, disposition } = trace else { continue };
            for _ in 0..*count {
                let read = reads.get_mut(&(*position, known.mark)).and_then(VecDeque::pop_front);
                let (element, raw_time_ns) = read.unwrap_or_default();
                let (position, disposition, known) = (*position, *disposition, known.clone());
                records.push(Became { position, element, raw_time_ns, known, disposition });
            }
        }
        records
    }

    /// The first of those that nothing tells apart.
    fn observed(&self, known: &Known, position: Position, names: &[String]) -> Observed {
        let read = self.reads.get(&(position, known.mark)).and_then(VecDeque::front);
        let (element, raw_time_ns) = read.copied().unwrap_or_default();
        observed(known, position, element, raw_time_ns, names)
    }

    /// What no rule used, and what was late and used by some.
    fn not_used(&self, rules: &Rules, names: &[String]) -> (Vec<NotUsed>, Vec<Amending>) {
        let mut used_by: BTreeMap<(Position, &Known), Vec<u16>> = BTreeMap::new();
        for trace in self.traces.keys() {
            if let Trace::Observed { lane, position, known, .. } = trace {
                used_by.entry((*position, known)).or_default().push(lane.rule);
            }
        }
        let mut records = self.records();
        records.retain(|record| !matches!(record.disposition, Disposition::Unmatched(_)));
        records.sort_by_key(Became::rank);
        // Of those with one fingerprint: the one that counts, or else the first that there was.
        let mut firsts: BTreeMap<(u64, u64), Origin> = BTreeMap::new();
        let (mut not_used, mut amending) = (Vec::new(), Vec::new());
        for Became { position, element, raw_time_ns, known, disposition } in &records {
            let record = observed(known, *position, *element, *raw_time_ns, names);
            let (fingerprint, origin) = (known.mark.fingerprint, record.origin.clone());
            let first = firsts.get(&fingerprint).cloned();
            match disposition {
                Disposition::Used => _ = firsts.insert(fingerprint, origin),
                _ => _ = firsts.entry(fingerprint).or_insert(origin),
            }
            // Of those that nothing tells apart, the first is used.
            let mut used_by = || used_by.remove(&(*position, known));
            let (reason, first, conflict) = match disposition {
                Disposition::Unmatched(_) => continue,
                Disposition::Duplicate { conflict } => (Reason::Duplicate, first, Some(*conflict)),
                Disposition::Late => match used_by() {
                    Some(by) => {
                        let names = by.iter().map(|rule| &rules.rules[usize::from(*rule)].name);
                        let rules = names.map(ToString::to_string).collect();
                        amending.push(Amending { record, rules });
                        continue;
                    }
                    None => (Reason::Late, first, None),
                },
                Disposition::Used => match used_by() {
                    Some(_) => continue,
                    None => (Reason::Unobserved, None, None),
                },
            };
            not_used.push(NotUsed { record, reason, first, conflict });
        }
        not_used.sort_by(|one: &NotUsed, other| one.record.origin.cmp(&other.record.origin));
        amending.sort_by(|one: &Amending, other| one.record.origin.cmp(&other.record.origin));
        (not_used, amending)
    }

    /// What is told of a rule.
    fn of_rule(&self, number: usize, names: &[String]) -> OfRule<'_> {
        let (mut seen, mut repeats) = (BTreeMap::new(), BTreeSet::new());
        let mut noted: BTreeMap<&Place, Vec<Staged>> = BTreeMap::new();
        let mut decisions = Vec::new();
        for trace in self.traces.keys() {
            match trace {
                Trace::Observed { lane, place, state, key, urgent, position, known }
                    if usize::from(lane.rule) == number =>
                {
                    let record = self.observed(known, *position, names);
                    let record = Observed { shows: *state, urgent: *urgent, ..record };
                    seen.insert(place, ((*key, *state), record));
                }
                Trace::Repeated { lane, place } if usize::from(lane.rule) == number => {
                    repeats.insert(place);
                }
                Trace::Staged { lane, place, what } if usize::from(lane.rule) == number => {
                    noted.entry(place).or_default().push(what.clone());
                }
                Trace::Decided { lane, decision } if usize::from(lane.rule) == number => {
                    decisions.push(decision);
                }
                _ => {}
            }
        }
        for (place, (_, record)) in &mut seen {
            record.noted = noted.remove(place).unwrap_or_default();
        }
        OfRule { seen, repeats, decisions }
    }

    /// What a rule made of the entity, if it observed it.
    fn rule(&self, rules: &Rules, number: usize, names: &[String]) -> Option<Explained> {
        let rule = &rules.rules[number];
        let signal = &rules.signals[rule.signal];
        let state = |state: u16| signal.state_name(state).to_string();
        let OfRule { mut seen, repeats, decisions } = self.of_rule(number, names);
        let markers = seen
            .extract_if(.., |_, (_, record)| record.shows == MARKER && !record.noted.is_empty());
        let markers: Vec<_> = markers.map(|(_, (_, record))| record).collect();
        let (observed, repeated) = without_repeats(seen, &repeats, state);
        let is_withheld =
            |(_, record): &(u16, Observed)| record.noted.iter().any(|what| what.is_withheld());
        let (withheld, observed): (Vec<_>, Vec<_>) = observed.into_iter().partition(is_withheld);
        let withheld = withheld.into_iter();
        let withheld: Vec<_> =
            withheld.map(|(of, record)| Withheld { state: state(of), record }).collect();
        let mut observed = observed.into_iter();

        let story = LaneStory::new(decisions);
        let announced = |episode: &Sustained<u16>| Announced {
            state: state(episode.state),
            since: episode.since,
            until: episode.until,
            decided: episode.decided,
            expired: episode.expired,
        };
        let run = |run: &lane::Run| Run {
            state: state(run.state),
            since: run.since_ns,
            until: run.until_ns,
            hold_ns: rule.hold_ns[usize::from(run.state)],
            outcome: run.outcome,
            decided: run.decided_ns,
            kept: story.episode_of(run).zip(run.missed_ns).map(|(episode, missed)| {
                let state = state(episode.state);
                Kept { state, missed }
            }),
            expired: run.expired,
            episode: story.episode_of(run).map(|episode| episode.since),
            observations: observed
                .by_ref()
                .take(run.observations as usize)
                .map(|(_, record)| record)
                .collect(),
        };
        let runs: Vec<Run> = story.runs.iter().map(run).collect();
        let episodes = story.episodes.iter().map(announced).collect();
        let waiting = |(of, record)| Waiting { state: state(of), record };
        let waiting: Vec<Waiting> = observed.map(waiting).collect();
        let of = |durations: &[i64]| {
            let own = rule.own_states(signal);
            own.map(|(number, name)| (name.to_string(), durations[number])).collect()
        };
        let mut keep_ns: BTreeMap<_, _> = of(&rule.keep_ns);
        keep_ns.retain(|_, keep| *keep > 0);
        let seen =
            [runs.len(), waiting.len(), repeated.len(), withheld.len(), markers.len()] != [0; 5];
        seen.then(|| Explained {
            rule: rule.name.to_string(),
            number,
            signal: signal.name.to_string(),
            hold_ns: of(&rule.hold_ns),
            keep_ns,
            expire_after_ns: rule.expire_after_ns,
            except: rule.except.as_ref().map(|except| except.text().to_owned()),
            stages: rule.stages.clone(),
            dedup_within_ns: rule.dedup.as_ref().map(|dedup| dedup.within_ns),
            runs,
            episodes,
            repeated,
            withheld,
            markers,
            waiting,
            faults: Vec::new(),
            announce: rule.persistence.as_ref().and_then(|of| of.announce.clone()),
        })
    }
}

/// What is told of a rule, of one entity.
struct OfRule<'t> {
    seen: SeenByPlace<'t>,
    repeats: BTreeSet<&'t Place>,
    decisions: Vec<&'t Decision<u16>>,
}

type SeenByPlace<'p> = BTreeMap<&'p Place, ((u64, u16), Observed)>;

/// Tells those that repeat others, which have an equal key and state, from the others.
fn without_repeats(
    seen: SeenByPlace<'_>,
    repeats: &BTreeSet<&Place>,
    state: impl Fn(u16) -> String,
) -> (Vec<(u16, Observed)>, Vec<Repeated>) {
    let (mut observed, mut repeated) = (Vec::new(), Vec::new());
    // By key and state: the last that counts, and the last of all.
    let mut last: BTreeMap<(u64, u16), (Observed, i64)> = BTreeMap::new();
    for (place, (of, record)) in seen {
        let time = record.time;
        match last.get_mut(&of) {
            Some((first, last_time)) if repeats.contains(place) => {
                let (after_ns, after_last_ns) = (time - first.time, time - *last_time);
                let repeats = first.origin.clone();
                let state = state(of.1);
                repeated.push(Repeated { state, record, repeats, after_ns, after_last_ns });
                *last_time = time;
            }
            _ => {
                last.insert(of, (record.clone(), time));
                observed.push((of.1, record));
            }
        }
    }
    (observed, repeated)
}

fn observed(
    known: &Known,
    position: Position,
    element: Option<u32>,
    raw_time: Option<i64>,
    names: &[String],
) -> Observed {
    let partition = position.partition();
    let (file, line) = (names[partition].clone(), position.line());
    Observed {
        time: known.event_time_ns,
        raw_time,
        arrival: known.arrival_ns,
        origin: Origin { partition, file, line, element },
        shows: 0,
        urgent: false,
        noted: Vec::new(),
    }
}
