//! Why there is an episode, or none: the replay once more, for one entity, with all that it saw.
//!
//! Guarantees: what is explained is what the dataflow of the replay says, of the same logs, until the
//! same instant; nothing is decided here. Everything that was known later is left out by leaving the
//! records out that arrived later. State: the records of one entity.

mod draw;
mod locate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use limbeck_operators::intake::{Intake, intake};
use limbeck_operators::machines::hold_down::Sustained;
use limbeck_operators::timeline::Timing;
use serde::{Serialize, Serializer};

pub use draw::{draw, sentences};
pub use locate::{Found, Which, locate};

use crate::model::lane::{self, LaneStory, RunOutcome};
use crate::model::ledger::{Disposition, Entry, Known, Mark, Place, Trace};
use crate::model::sighting::Position;
use crate::model::time::format_rfc3339;
use crate::pipeline::{self, Gathered};
use crate::replay::{Failure, Log};
use crate::rules::Rules;
use crate::sources::intake::{Batch, Clockwork, Matcher, Partition, Traced, read};
use crate::sources::{InputError, open};

/// Batches that wait for the worker, and that it has on their way.
const CHANNEL_MAX: usize = 2;
const IN_FLIGHT_MAX: usize = 4;
/// How finely history is resolved; what holds at the end does not depend on it.
const TICK_NS: i64 = 100_000_000;

/// Everything about one entity, as it was known at an instant.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The entity.
    pub entity: String,
    /// The last arrival, or the instant that was asked for.
    #[serde(serialize_with = "maybe_instant")]
    pub known_at: Option<i64>,
    /// How late a record may be.
    pub lateness_ns: i64,
    /// One for each rule that observed it, in the order of the rule file.
    pub rules: Vec<Explained>,
    /// Records of some signal that were not used.
    pub not_used: Vec<NotUsed>,
    /// The logs that could not be read to their end; as JSON, whether there are any.
    #[serde(serialize_with = "whether_any")]
    pub damaged: Vec<InputError>,
}

/// What a rule made of an entity.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// The rule.
    pub rule: String,
    /// What it is on.
    pub signal: String,
    /// How long each state must last.
    pub hold_ns: BTreeMap<String, i64>,
    /// Within which time an observation of equal state and values is a repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedup_within_ns: Option<i64>,
    /// In the order in which they count.
    pub runs: Vec<Run>,
    /// What was announced.
    pub episodes: Vec<Announced>,
    /// Observations that repeat others to the rule, which does not look at them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repeated: Vec<Observed>,
    /// Observations from the future, which wait for their time.
    pub waiting: Vec<Observed>,
}

impl Explained {
    /// All that it looked at.
    fn observations(&self) -> impl Iterator<Item = &Observed> {
        self.runs.iter().flat_map(|run| &run.observations).chain(&self.waiting)
    }
}

/// A longest stretch of equal states.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Which state.
    pub state: String,
    /// Its first observation.
    #[serde(serialize_with = "instant")]
    pub since: i64,
    /// The first contrary observation, or the last of its own if it expired; none yet.
    #[serde(serialize_with = "maybe_instant")]
    pub until: Option<i64>,
    /// How long it had to last.
    pub hold_ns: i64,
    /// How it ended, or stands.
    pub outcome: RunOutcome,
    /// The beginning of the episode that it began, continued or lies within.
    #[serde(serialize_with = "maybe_instant")]
    pub episode: Option<i64>,
    /// What it was observed by, in the order in which they count.
    pub observations: Vec<Observed>,
}

/// An observation, and the record it was made of.
#[derive(Clone, Debug, Serialize)]
pub struct Observed {
    /// When it happened.
    #[serde(serialize_with = "instant")]
    pub time: i64,
    /// What its source said instead, if that was corrected.
    #[serde(serialize_with = "maybe_instant", skip_serializing_if = "Option::is_none")]
    pub raw_time: Option<i64>,
    /// When it arrived.
    #[serde(serialize_with = "instant")]
    pub arrival: i64,
    /// The log.
    pub file: String,
    /// The line in it.
    pub line: u64,
}

/// An episode.
#[derive(Clone, Debug, Serialize)]
pub struct Announced {
    /// Which state.
    pub state: String,
    /// From when.
    #[serde(serialize_with = "instant")]
    pub since: i64,
    /// Until when; none while it holds.
    #[serde(serialize_with = "maybe_instant")]
    pub until: Option<i64>,
    /// When it was decided.
    #[serde(serialize_with = "instant")]
    pub decided: i64,
    /// Whether observations ceased.
    pub expired: bool,
}

/// A record of some signal that was not used.
#[derive(Clone, Debug, Serialize)]
pub struct NotUsed {
    /// When and where.
    #[serde(flatten)]
    pub record: Observed,
    /// Why.
    pub reason: Reason,
}

/// Why a record was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It arrived too long after it happened.
    Late,
    /// It was there before.
    Duplicate,
    /// It fits a signal, but the `where` of no rule on it.
    Unobserved,
}

/// Replays logs for one entity, until an instant if one is given.
///
/// # Errors
///
/// [`Failure`], if a log cannot be opened or the replay fails.
pub fn explain(
    rules: &Rules,
    logs: &[Log],
    entity: &str,
    until_ns: Option<i64>,
) -> Result<Explanation, Failure> {
    let names: Vec<String> = logs.iter().map(|log| log.path.display().to_string()).collect();
    // Before the worker starts: it would wait for a feed that nobody gives.
    let partitions = logs
        .iter()
        .enumerate()
        .map(|(number, log)| Partition::new(number, log.source, open(&log.path)?, rules))
        .collect::<Result<Vec<_>, InputError>>()?;
    let clockwork = Clockwork {
        timing: Timing { lateness: rules.lateness_ns, tick: TICK_NS },
        max_advance_ns: rules.max_advance_ns,
        until_ns,
        block_bytes: None,
        // Others are of no entity.
        traced: Traced::Matched,
    };
    let (feed, intake) = intake(CHANNEL_MAX, IN_FLIGHT_MAX);
    let seen = Arc::new(Mutex::new(Record::default()));
    let worker = start_worker(rules, intake, &seen)?;
    let matcher = Matcher::new(rules).watching([entity.into()].into());
    let stop = AtomicBool::new(false);
    let outcome = read(partitions, &matcher, clockwork, &[feed], &stop, &|_| ());
    for worker in worker.join() {
        worker.map_err(Failure::Worker)?;
    }
    let seen = std::mem::take(&mut *seen.lock().map_err(|e| Failure::Worker(e.to_string()))?);
    Ok(Explanation {
        entity: entity.to_owned(),
        known_at: outcome.clock,
        lateness_ns: rules.lateness_ns,
        not_used: seen.not_used(&names),
        rules: (0..rules.rules.len()).filter_map(|rule| seen.rule(rules, rule, &names)).collect(),
        damaged: outcome.damaged,
    })
}

/// What has been seen of the entity.
#[derive(Default)]
struct Record {
    traces: BTreeMap<Trace, isize>,
    /// Of those that were corrected, by place and what tells them apart.
    raw_times: BTreeMap<(Position, Mark), i64>,
}

type Worker = timely::communication::WorkerGuards<()>;

fn start_worker(
    rules: &Rules,
    intake: Intake<Batch>,
    seen: &Arc<Mutex<Record>>,
) -> Result<Worker, Failure> {
    let (rules, seen, intake) = (rules.clone(), Arc::clone(seen), Mutex::new(Some(intake)));
    let options = pipeline::Options { tick_ns: TICK_NS, across: false, traced: true };
    timely::execute(timely::Config::thread(), move |worker| {
        let intake = intake.lock().ok().and_then(|mut intake| intake.take());
        let to = Arc::clone(&seen);
        let receive = move |gathered: Gathered| {
            if let (Gathered::Ledger(entries), Ok(mut seen)) = (gathered, to.lock()) {
                seen.receive(entries);
            }
        };
        let (mut inputs, probe) =
            worker.dataflow(|scope| pipeline::build(scope, &rules, options, receive));
        intake.expect("there is one worker").drive(worker, &mut inputs, &probe);
    })
    .map_err(Failure::Start)
}

impl Record {
    fn receive(&mut self, entries: Vec<pipeline::Update<Entry>>) {
        for (entry, _, diff) in entries {
            let Entry::Trace(trace) = entry else { continue };
            if let Trace::Read { position, mark, raw_time_ns, .. } = *trace {
                self.raw_times.extend(raw_time_ns.map(|raw| ((position, mark), raw)));
                continue;
            }
            let count = self.traces.entry((*trace).clone()).or_default();
            *count += diff;
            if *count == 0 {
                self.traces.remove(&*trace);
            }
        }
    }

    fn observed(&self, known: &Known, position: Position, names: &[String]) -> Observed {
        Observed {
            time: known.event_time_ns,
            raw_time: self.raw_times.get(&(position, known.mark)).copied(),
            arrival: known.arrival_ns,
            file: names[position.partition()].clone(),
            line: position.line(),
        }
    }

    fn not_used(&self, names: &[String]) -> Vec<NotUsed> {
        let observed: BTreeSet<_> = self
            .traces
            .keys()
            .filter_map(|trace| match trace {
                Trace::Observed { position, known, .. } => Some((position, known)),
                _ => None,
            })
            .collect();
        let records = self.traces.keys().filter_map(|trace| {
            let Trace::Record { position, known, disposition } = trace else {
                return None;
            };
            let reason = match disposition {
                Disposition::Late => Reason::Late,
                Disposition::Duplicate { .. } => Reason::Duplicate,
                Disposition::Used if !observed.contains(&(position, known)) => Reason::Unobserved,
                Disposition::Used | Disposition::Unmatched(_) => return None,
            };
            Some(NotUsed { record: self.observed(known, *position, names), reason })
        });
        records.collect()
    }

    /// What a rule made of the entity, if it observed it.
    fn rule(&self, rules: &Rules, number: usize, names: &[String]) -> Option<Explained> {
        let rule = &rules.rules[number];
        let signal = &rules.signals[rule.signal];
        let state = |state: u16| signal.states[usize::from(state)].name.to_string();
        let (mut observed, mut repeated, mut decisions) = (BTreeMap::new(), Vec::new(), Vec::new());
        for trace in self.traces.keys() {
            match trace {
                Trace::Observed { lane, place, position, known, .. }
                    if usize::from(lane.rule) == number =>
                {
                    observed.insert(place, self.observed(known, *position, names));
                }
                Trace::Repeated { lane, place } if usize::from(lane.rule) == number => {
                    repeated.push(place);
                }
                Trace::Decided { lane, decision } if usize::from(lane.rule) == number => {
                    decisions.push(decision);
                }
                _ => {}
            }
        }
        let take = |place: &Place| observed.remove(place);
        let repeated: Vec<Observed> = repeated.into_iter().filter_map(take).collect();
        let mut observed = observed.into_values();

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
            episode: story.episode_of(run).map(|episode| episode.since),
            observations: observed.by_ref().take(run.observations as usize).collect(),
        };
        let runs: Vec<Run> = story.runs.iter().map(run).collect();
        let episodes = story.episodes.iter().map(announced).collect();
        let waiting: Vec<Observed> = observed.collect();
        let states = signal.states.iter().map(|state| state.name.to_string());
        let seen = !runs.is_empty() || !waiting.is_empty() || !repeated.is_empty();
        seen.then(|| Explained {
            rule: rule.name.to_string(),
            signal: signal.name.to_string(),
            hold_ns: states.zip(rule.hold_ns.iter().copied()).collect(),
            dedup_within_ns: rule.dedup.as_ref().map(|dedup| dedup.within_ns),
            runs,
            episodes,
            repeated,
            waiting,
        })
    }
}

fn instant<S: Serializer>(nanos: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_rfc3339(*nanos))
}

fn maybe_instant<S: Serializer>(nanos: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    nanos.map(format_rfc3339).serialize(serializer)
}

#[expect(clippy::ptr_arg, reason = "serde hands over a reference to the field")]
fn whether_any<T, S: Serializer>(all: &Vec<T>, serializer: S) -> Result<S::Ok, S::Error> {
    (!all.is_empty()).serialize(serializer)
}
