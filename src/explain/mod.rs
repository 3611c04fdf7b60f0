//! Why there is an episode, or none: the replay once more, for one entity, with all that it saw.
//!
//! Guarantees: what is explained is what the dataflow of the replay says, of the same logs, until the
//! same instant; nothing is decided here. Everything that was known later is left out by leaving the
//! records out that arrived later. State: the records of one entity.

mod draw;
mod locate;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use limbeck_operators::intake::{Inputs, Intake, intake};
use limbeck_operators::machines::hold_down::Decision;
use limbeck_operators::timeline::{Revised, Timing};
use serde::{Serialize, Serializer};

pub use draw::{draw, sentences};
pub use locate::{Found, Which, locate};

use crate::model::sighting::{Observation, Position, Sighting};
use crate::model::time::format_rfc3339;
use crate::pipeline::explained::{self, Seen};
use crate::pipeline::{self, Lane, Update};
use crate::replay::{Failure, Log};
use crate::rules::Rules;
use crate::sources::intake::{Batch, Clockwork, Matcher, Partition, read};
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
    /// Whether a log could not be read to its end.
    pub damaged: bool,
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
    /// In the order in which they count.
    pub runs: Vec<Run>,
    /// What was announced.
    pub episodes: Vec<Announced>,
    /// Observations from the future, which wait for their time.
    pub waiting: Vec<Observed>,
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
    /// What it was observed by, in the order in which they count.
    pub observations: Vec<Observed>,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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

/// An observation, and the record it was made of.
#[derive(Clone, Debug, Serialize)]
pub struct Observed {
    /// When it happened.
    #[serde(serialize_with = "instant")]
    pub time: i64,
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
    let timing = Timing { lateness: rules.lateness_ns, tick: TICK_NS };
    let clockwork =
        Clockwork { timing, max_advance_ns: rules.max_advance_ns, until_ns, block_bytes: None };
    let (feed, intake) = intake(CHANNEL_MAX, IN_FLIGHT_MAX);
    let seen = Arc::new(Mutex::new(Record::default()));
    let worker = start_worker(rules, timing, intake, &seen)?;
    let matcher = Matcher::new(rules).watching(entity);
    let stop = AtomicBool::new(false);
    let outcome = read(partitions, &matcher, clockwork, &[feed], &stop, &|_| ());
    for worker in worker.join() {
        worker.map_err(Failure::Worker)?;
    }
    let seen = std::mem::take(&mut *seen.lock().map_err(|e| Failure::Worker(e.to_string()))?);
    Ok(Explanation {
        entity: entity.to_owned(),
        known_at: seen.clock,
        lateness_ns: rules.lateness_ns,
        not_used: seen.not_used(&names),
        rules: (0..rules.rules.len()).filter_map(|rule| seen.rule(rules, rule, &names)).collect(),
        damaged: !outcome.damaged.is_empty(),
    })
}

/// What has been seen of the entity.
#[derive(Default)]
struct Record {
    /// All records that reached the dataflow, with their arrival.
    sightings: BTreeMap<Position, (Sighting, bool)>,
    firsts: BTreeMap<Position, ()>,
    observations: Vec<(Lane, Observation)>,
    decisions: BTreeMap<(Lane, Revised<Decision<u16>>), isize>,
    clock: Option<i64>,
}

/// Writes down what a flow is given, on its way.
struct Watched {
    inputs: pipeline::Inputs,
    timing: Timing,
    seen: Arc<Mutex<Record>>,
}

impl Inputs<Batch> for Watched {
    fn give(&mut self, batch: Batch) {
        if let Ok(mut seen) = self.seen.lock() {
            for ((_, sighting), ..) in &batch.sightings {
                let mut sighting = sighting.clone();
                sighting.arrival_ns = batch.arrival_ns(&sighting);
                let age_ns = sighting.arrival_ns.saturating_sub(sighting.event_time_ns);
                let late = age_ns > self.timing.lateness;
                seen.sightings.insert(sighting.position, (sighting, late));
            }
        }
        self.inputs.give(batch);
    }

    fn advance_to(&mut self, time: i64) {
        self.inputs.advance_to(time);
    }

    fn end(&mut self, clock: i64) {
        if let Ok(mut seen) = self.seen.lock() {
            seen.clock = Some(clock);
        }
        self.inputs.end(clock);
    }
}

type Worker = timely::communication::WorkerGuards<()>;

fn start_worker(
    rules: &Rules,
    timing: Timing,
    intake: Intake<Batch>,
    seen: &Arc<Mutex<Record>>,
) -> Result<Worker, Failure> {
    let (rules, seen, intake) = (rules.clone(), Arc::clone(seen), Mutex::new(Some(intake)));
    timely::execute(timely::Config::thread(), move |worker| {
        let intake = intake.lock().ok().and_then(|mut intake| intake.take());
        let to = Arc::clone(&seen);
        let receive = move |what: Seen| {
            if let Ok(mut seen) = to.lock() {
                seen.receive(what);
            }
        };
        let (inputs, probe) =
            worker.dataflow(|scope| explained::build(scope, &rules, timing, receive));
        let mut inputs = Watched { inputs, timing, seen: Arc::clone(&seen) };
        intake.expect("there is one worker").drive(worker, &mut inputs, &probe);
    })
    .map_err(Failure::Start)
}

impl Record {
    fn receive(&mut self, what: Seen) {
        match what {
            Seen::Firsts(updates) => {
                self.firsts
                    .extend(updates.into_iter().map(|((_, first), ..)| (first.position, ())));
            }
            Seen::Observations(updates) => {
                self.observations.extend(updates.into_iter().map(|(observation, ..)| observation));
            }
            Seen::Decisions(updates) => updates.into_iter().for_each(|update| self.decide(update)),
        }
    }

    fn decide(&mut self, (decision, _, diff): Update<(Lane, Revised<Decision<u16>>)>) {
        let count = self.decisions.entry(decision.clone()).or_default();
        *count += diff;
        if *count == 0 {
            self.decisions.remove(&decision);
        }
    }

    fn observed(sighting: &Sighting, names: &[String]) -> Observed {
        Observed {
            time: sighting.event_time_ns,
            arrival: sighting.arrival_ns,
            file: names[sighting.position.partition()].clone(),
            line: sighting.position.line(),
        }
    }

    fn not_used(&self, names: &[String]) -> Vec<NotUsed> {
        let reason = |position: &Position, late: bool| match late {
            true => Some(Reason::Late),
            false => (!self.firsts.contains_key(position)).then_some(Reason::Duplicate),
        };
        let records = self.sightings.iter().filter_map(|(position, (sighting, late))| {
            let reason = reason(position, *late)?;
            Some(NotUsed { record: Self::observed(sighting, names), reason })
        });
        records.collect()
    }

    /// What a rule made of the entity, if it observed it.
    fn rule(&self, rules: &Rules, number: usize, names: &[String]) -> Option<Explained> {
        let rule = &rules.rules[number];
        let signal = &rules.signals[rule.signal];
        let state = |state: u16| signal.states[usize::from(state)].name.to_string();
        let mut observations: Vec<&Observation> = self
            .observations
            .iter()
            .filter(|((_, rule), _)| *rule == number)
            .map(|(_, observation)| observation)
            .collect();
        observations.sort();
        let records = self.by_observation();
        let mut observed = observations.into_iter().map(|observation| {
            let sighting = records[&(observation.event_time_ns, &observation.tie)];
            Self::observed(sighting, names)
        });

        let (mut runs, mut episodes) = (Vec::new(), Vec::new());
        for ((_, rule), told) in self.decisions.keys() {
            if *rule != number {
                continue;
            }
            match &told.value {
                Decision::Sustained(one) => episodes.push(Announced {
                    state: state(one.state),
                    since: one.since,
                    until: one.until,
                    decided: one.decided,
                    expired: one.expired,
                }),
                Decision::Absorbed(run) => {
                    let outcome =
                        if run.expired { RunOutcome::Expired } else { RunOutcome::HeldDown };
                    runs.push((run.since, Some(run.until), run.state, run.observations, outcome));
                }
                Decision::Run(run) => {
                    let outcome =
                        if run.established { RunOutcome::Established } else { RunOutcome::Pending };
                    runs.push((run.since, run.until, run.state, run.observations, outcome));
                }
            }
        }
        // In the order of their observations: one without length ends before the next begins.
        runs.sort_by_key(|(since, until, ..)| (*since, until.unwrap_or(i64::MAX)));
        episodes.sort_by_key(|episode: &Announced| episode.since);
        let hold = |state: u16| rule.hold_ns[usize::from(state)];
        let runs: Vec<Run> = runs
            .into_iter()
            .map(|(since, until, of, count, outcome)| Run {
                state: state(of),
                since,
                until,
                hold_ns: hold(of),
                outcome,
                observations: observed.by_ref().take(count as usize).collect(),
            })
            .collect();
        let waiting: Vec<Observed> = observed.collect();
        let states = signal.states.iter().map(|state| state.name.to_string());
        (!runs.is_empty() || !waiting.is_empty()).then(|| Explained {
            rule: rule.name.to_string(),
            signal: signal.name.to_string(),
            hold_ns: states.zip(rule.hold_ns.iter().copied()).collect(),
            runs,
            episodes,
            waiting,
        })
    }

    /// The record that an observation was made of, by event time and place among those of it.
    fn by_observation(&self) -> BTreeMap<(i64, &crate::model::sighting::Tie), &Sighting> {
        let firsts = self.firsts.keys().filter_map(|position| self.sightings.get(position));
        firsts.map(|(sighting, _)| ((sighting.event_time_ns, &sighting.tie), sighting)).collect()
    }
}

fn instant<S: Serializer>(nanos: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_rfc3339(*nanos))
}

fn maybe_instant<S: Serializer>(nanos: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    nanos.map(format_rfc3339).serialize(serializer)
}
