//! The stages of a replay, each on its own over what the stages before it made of the flat log.

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread;

use crossbeam_channel::{Sender, unbounded};
use limbeck_operators::hash::fixed_hash;
use limbeck_operators::intake::{Inputs, intake};
use limbeck_operators::timeline::Timing;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::{Exchange, Input, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

use super::measure::{Cost, here};
use super::table::Row;
use super::{Bench, Failure, Shape};
use crate::metrics::Metrics;
use crate::model::Scalar;
use crate::pipeline::{self, Gathered, Remembering, Update};
use crate::rules::{RecordView, Rules};
use crate::sinks::report::{self, Asked};
use crate::sources::decode::{Lines, Shapes};
use crate::sources::intake::{
    Batch, Clockwork, Matcher, Partition, RECORD_BYTES_MAX, ReadTo, Traced, read,
};
use crate::sources::{Block, Blocks, open};

const BLOCK_BYTES: usize = 512 << 10;
/// So many records are matched over and over: behind the decoder, they are in the cache too.
const MATCHED_AT_ONCE: usize = 1_000;
const TICK_NS: i64 = 100_000_000;
/// Advances of time that may be on their way through the exchange.
const IN_FLIGHT_MAX: usize = 4;

/// Measures the stages of these names.
pub(super) fn measure(bench: &mut Bench<'_>, names: &[&&str]) -> Result<(), Failure> {
    let rules = bench.rules(Shape::Flat);
    // Made once: the steps that a worker is given, and what comes out of the flow.
    let mut steps = None;
    for name in names {
        let shape = match **name {
            "decode/cloudevents" => Shape::CloudEvents,
            _ => Shape::Flat,
        };
        let log = bench.log(shape)?;
        (bench.progress)(name);
        let runs = bench.settings.runs;
        if steps.is_none() && matches!(**name, "exchange" | "timeline" | "output") {
            steps = Some(recorded(&log, &rules)?);
        }
        let steps = steps.as_deref().unwrap_or_default();
        let (workers, costs) = match **name {
            "decode/flat" | "decode/cloudevents" => (1, decode(&log, &bench.rules(shape), runs)?),
            "match" => (1, matching(&log, &rules, bench.settings.workload.events, runs)?),
            "exchange" => (2, (0..runs).map(|_| exchange(steps)).collect::<Result<_, _>>()?),
            "timeline" => (1, (0..runs).map(|_| timeline(steps, &rules, None)).collect()),
            "output" => (1, output(&bench.place.dir.join("stage-out"), steps, &rules, runs)?),
            other => unreachable!("{other} is a stage without a measurement"),
        };
        bench.rows.push(Row::new(name, Some(workers), costs));
    }
    Ok(())
}

/// A log in memory, in the blocks that the intake makes.
fn blocks(log: &Path) -> Result<Vec<Block>, Failure> {
    let input = open(log).map_err(|error| Failure::Stage(error.to_string()))?;
    let mut blocks = Blocks::new(input, BLOCK_BYTES, RECORD_BYTES_MAX);
    std::iter::from_fn(|| blocks.next_block(Vec::new()))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::Stage(error.to_string()))
}

/// Lines to records, with the values that conditions look at.
fn decode(log: &Path, rules: &Rules, runs: usize) -> Result<Vec<Cost>, Failure> {
    let blocks = blocks(log)?;
    let matcher = Matcher::new(rules);
    let run = |_| {
        let (cost, ()) = here(|| {
            let mut shapes = Shapes::default();
            for block in &blocks {
                let mut lines = Lines::new(&mut shapes);
                for (_, text, _) in block.lines() {
                    let decoded = matcher.decoder(0).decode(text, &mut lines);
                    black_box(decoded).expect("every line of the workload is a record");
                }
            }
        });
        cost
    };
    Ok((0..runs).map(run).collect())
}

/// The values that conditions look at, without the line.
struct Slots(Vec<Scalar<'static>>);

impl RecordView for Slots {
    fn slot(&self, slot: usize) -> &Scalar<'_> {
        &self.0[slot]
    }

    fn data(&self) -> serde_json::Value {
        unreachable!("the conditions of the bench look at fields alone")
    }
}

/// Conditions over decoded records.
fn matching(log: &Path, rules: &Rules, events: u64, runs: usize) -> Result<Vec<Cost>, Failure> {
    let matcher = Matcher::new(rules);
    let blocks = blocks(log)?;
    let mut records = Vec::new();
    let mut lines = Lines::default();
    for (_, text, _) in blocks.iter().flat_map(Block::lines).take(MATCHED_AT_ONCE) {
        let decoded = matcher.decoder(0).decode(text, &mut lines);
        decoded.expect("every line of the workload is a record");
        let slots = 0..rules.paths.as_slice().len();
        records.push(Slots(slots.map(|slot| owned(lines.slot(slot))).collect()));
    }
    let run = |_| {
        let (cost, ()) = here(|| {
            for record in records.iter().cycle().take(events as usize) {
                let mut errors = 0;
                let matches = black_box(matcher.matches(0, black_box(record), &mut errors));
                assert!(errors == 0 && matches.is_some(), "every record is of a state");
            }
        });
        cost
    };
    Ok((0..runs).map(run).collect())
}

fn owned(value: &Scalar<'_>) -> Scalar<'static> {
    match value {
        Scalar::Missing => Scalar::Missing,
        Scalar::Null => Scalar::Null,
        Scalar::Bool(value) => Scalar::Bool(*value),
        Scalar::Int(number) => Scalar::Int(*number),
        Scalar::UInt(number) => Scalar::UInt(*number),
        Scalar::Float(number) => Scalar::Float(*number),
        Scalar::Str(text) => Scalar::Str(text.to_string().into()),
        Scalar::Composite => Scalar::Composite,
    }
}

/// What a worker is told by the intake.
enum Step {
    Give(Batch),
    Advance(i64),
}

impl Step {
    fn copy(&self) -> Self {
        match self {
            Self::Give(batch) => Self::Give(batch.clone()),
            Self::Advance(time) => Self::Advance(*time),
        }
    }
}

/// Writes down what it is given, for an empty dataflow.
struct Recorder {
    steps: Vec<Step>,
    /// None when it is closed.
    input: Option<InputHandle<i64, CapacityContainerBuilder<Vec<()>>>>,
}

impl Inputs<Batch> for Recorder {
    fn give(&mut self, batch: Batch) {
        self.steps.push(Step::Give(batch));
    }

    fn advance_to(&mut self, time: i64) {
        self.steps.push(Step::Advance(time));
        if let Some(input) = &mut self.input {
            input.advance_to(time);
        }
    }

    fn end(&mut self, _: Option<i64>) {
        self.input = None;
    }
}

fn timing(rules: &Rules) -> Timing {
    Timing { lateness: rules.lateness_ns, tick: TICK_NS }
}

/// All that the intake tells a worker of a log.
fn recorded(log: &Path, rules: &Rules) -> Result<Vec<Step>, Failure> {
    let input = open(log).map_err(|error| Failure::Stage(error.to_string()))?;
    let partition =
        Partition::new(0, 0, input, rules).map_err(|error| Failure::Stage(error.to_string()))?;
    let clockwork = Clockwork {
        timing: timing(rules),
        max_advance_ns: rules.max_advance_ns,
        from_ns: None,
        until_ns: None,
        block_bytes: None,
        traced: Traced::Nothing,
    };
    let (feed, intake) = intake(2, IN_FLIGHT_MAX);
    let matcher = Matcher::new(rules);
    let reader = thread::spawn(move || {
        let stop = AtomicBool::new(false);
        let (feeds, progress) = ([feed], &|_| ());
        let to = ReadTo {
            feeds: &feeds,
            stop: &stop,
            progress,
            saver: None,
            metrics: &Metrics::default(),
        };
        read(vec![partition], &matcher, clockwork, to);
    });
    let steps = timely::execute_directly(move |worker| {
        let (input, probe) = worker.dataflow(|scope| {
            let (input, stream) = scope.new_input();
            (input, stream.probe().0)
        });
        let mut recorder = Recorder { steps: Vec::new(), input: Some(input) };
        intake.drive(worker, &mut recorder, &probe);
        recorder.steps
    });
    reader.join().map_err(|_| Failure::Stage("the intake stopped on a defect".to_owned()))?;
    Ok(steps)
}

/// The flow itself on one worker: duplicates, observations, hold-down, gathering.
fn timeline(steps: &[Step], rules: &Rules, gathered: Option<Sender<Gathered>>) -> Cost {
    let steps: Vec<_> = steps.iter().map(Step::copy).collect();
    let rules = rules.clone();
    let (cost, ()) = here(|| {
        timely::execute_directly(move |worker| {
            let receive = move |updates: Gathered| {
                if let Some(gathered) = &gathered {
                    // Nobody listens only if the measurement has failed.
                    let _ = gathered.send(updates);
                }
            };
            let options = pipeline::Options { tick_ns: TICK_NS, across: false, traced: false };
            let (mut inputs, probe) = worker.dataflow(|scope| {
                pipeline::build(scope, &rules, options, Remembering::nothing(), receive)
            });
            for step in steps {
                match step {
                    Step::Give(batch) => inputs.give(batch),
                    Step::Advance(time) => {
                        inputs.advance_to(time);
                        wait(worker, &probe, time);
                    }
                }
            }
        });
    });
    cost
}

/// Until everything before a logical time has flown through.
fn wait(worker: &mut Worker, probe: &ProbeHandle<i64>, until: i64) {
    while probe.less_than(&until) {
        worker.step_or_park(None);
    }
}

type Sightings = Vec<Update<(crate::model::entity::Entity, crate::model::sighting::Sighting)>>;

/// Two workers that exchange the records by entity, and do nothing else.
fn exchange(steps: &[Step]) -> Result<Cost, Failure> {
    const WORKERS: usize = 2;
    let mut shares: [Vec<Step>; WORKERS] = Default::default();
    let mut turn = 0;
    for step in steps {
        match step {
            Step::Give(_) => {
                shares[turn % WORKERS].push(step.copy());
                turn += 1;
            }
            Step::Advance(_) => shares.iter_mut().for_each(|share| share.push(step.copy())),
        }
    }
    let shares = Arc::new(Mutex::new(shares.map(Some)));
    let work = move |worker: &mut Worker| {
        let share = shares.lock().ok().and_then(|mut shares| shares[worker.index()].take());
        let (mut input, probe) = worker.dataflow(|scope| {
            let (input, stream) = scope.new_input::<Sightings>();
            let routed = stream.exchange(|((entity, _), _, _)| fixed_hash(entity));
            (input, routed.probe().0)
        });
        let mut advances = Vec::new();
        for step in share.into_iter().flatten() {
            match step {
                Step::Give(mut batch) => input.send_batch(&mut batch.sightings),
                Step::Advance(time) => {
                    input.advance_to(time);
                    input.flush();
                    worker.step();
                    advances.push(time);
                    if let Some(long_ago) = advances.len().checked_sub(IN_FLIGHT_MAX) {
                        wait(worker, &probe, advances[long_ago]);
                    }
                }
            }
        }
    };
    let (cost, done) = here(|| {
        let workers = timely::execute(timely::Config::process(WORKERS), work)?;
        workers.join().into_iter().collect::<Result<Vec<()>, String>>()
    });
    done.map(|_| cost).map_err(Failure::Stage)
}

/// Sorting, formatting and writing of what was gathered, on the thread that does it.
fn output(dir: &Path, steps: &[Step], rules: &Rules, runs: usize) -> Result<Vec<Cost>, Failure> {
    let (sender, receiver) = unbounded();
    timeline(steps, rules, Some(sender));
    let gathered: Vec<Gathered> = receiver.into_iter().collect();
    let run = |_| {
        let copies: Vec<_> = gathered.iter().map(copy).collect();
        let (cost, done) = here(|| {
            let (files, tick_ns) = (vec!["flat".to_owned()], TICK_NS);
            let asked = Asked {
                dir,
                files,
                fates: false,
                tick_ns,
                keep: None,
                senders: None,
                follows: false,
                metrics: Arc::default(),
            };
            let (reporter, writing) = report::start(rules, asked)?;
            for updates in copies {
                // A writer that is gone says why when it is finished.
                let _ = reporter.report(updates);
            }
            drop(reporter);
            writing.finish()?.commit()
        });
        done.map(|_| cost).map_err(|error| Failure::Stage(error.to_string()))
    };
    (0..runs).map(run).collect()
}

fn copy(gathered: &Gathered) -> Gathered {
    match gathered {
        Gathered::Episodes(updates) => Gathered::Episodes(updates.clone()),
        Gathered::Candidates { candidates, episodes } => {
            let (candidates, episodes) = (candidates.clone(), episodes.clone());
            Gathered::Candidates { candidates, episodes }
        }
        Gathered::Ledger(updates) => Gathered::Ledger(updates.clone()),
        Gathered::Silencings(heard) => Gathered::Silencings(heard.clone()),
        Gathered::End(clock) => Gathered::End(*clock),
        Gathered::Passed(before) => Gathered::Passed(*before),
        Gathered::CutAt(at) => Gathered::CutAt(*at),
        Gathered::Cut => Gathered::Cut,
    }
}
