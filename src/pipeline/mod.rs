//! The whole flow, on one screen.
//!
//! ```text
//!     sightings ─▶ duplicates ─▶ hold-down ─▶ episodes ─▶ gathered
//!     (by entity)      │ (by entity, rule)│   on worker 0, by logical time
//!     ledger ──────────┴──── counts ──────┴─────────────▶ gathered
//! ```
//!
//! Guarantees: what is gathered is, at each logical time, a function of the log, the rules and the
//! tick alone. State: per entity, the fingerprints inside the lateness; per entity and rule, a
//! [hold-down](limbeck_operators::machines::hold_down).

pub mod explained;
mod observations;
mod tally;

use differential_dataflow::AsCollection;
use limbeck_operators::firsts::{by_key, firsts};
use limbeck_operators::gather::gather;
use limbeck_operators::intake;
use limbeck_operators::machines::hold_down::{Decision, HoldDown, Holds};
use limbeck_operators::timeline::{Timeline, Timing};
use smol_str::SmolStr;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::vec::{Broadcast, Map};
use timely::dataflow::operators::{Concatenate, Input, OkErr, Probe};
use timely::dataflow::{InputHandle, ProbeHandle, Scope};

use self::observations::Observations;
use self::tally::tally;
use crate::model::episode::{Catalog, Episode};
use crate::model::ledger::{Count, Entry};
use crate::model::sighting::{Observation, Sighting};
use crate::rules::Rules;
use crate::sources::intake::Batch;

/// An update of a collection: record, logical time, difference.
pub type Update<D> = (D, i64, isize);

/// An entity and a rule, by its number in the rule file: a whole word, so that a lane moves in words.
pub type Lane = (SmolStr, usize);

/// What arrives on worker 0, by complete logical times.
#[derive(Debug)]
pub enum Gathered {
    /// Changes of episodes, sorted.
    Episodes(Vec<Update<Episode>>),
    /// What became of other records.
    Ledger(Vec<Update<Entry>>),
}

/// An input that takes updates of a collection.
type UpdatesIn<D> = InputHandle<i64, CapacityContainerBuilder<Vec<Update<D>>>>;

/// The inputs of the flow.
pub struct Inputs {
    sightings: UpdatesIn<(SmolStr, Sighting)>,
    ledger: UpdatesIn<Entry>,
    ends: InputHandle<i64, CapacityContainerBuilder<Vec<i64>>>,
    timing: Timing,
}

impl intake::Inputs<Batch> for Inputs {
    fn give(&mut self, mut batch: Batch) {
        batch.judge(self.timing);
        self.sightings.send_batch(&mut batch.sightings);
        self.ledger.send_batch(&mut batch.ledger);
    }

    fn advance_to(&mut self, time: i64) {
        self.sightings.advance_to(time);
        self.ledger.advance_to(time);
        self.sightings.flush();
        self.ledger.flush();
    }

    fn end(&mut self, clock: i64) {
        self.ends.send(clock);
    }
}

/// Builds the flow, within one process or `across` several; `receive` is called on worker 0.
pub fn build(
    scope: Scope<'_, i64>,
    rules: &Rules,
    timing: Timing,
    across: bool,
    receive: impl Fn(Gathered) + Clone + 'static,
) -> (Inputs, ProbeHandle<i64>) {
    let catalog = Catalog::new(rules);
    let (sightings_in, sightings) = scope.new_input();
    let (ledger_in, ledger) = scope.new_input();
    let (ends_in, ends) = scope.new_input::<Vec<i64>>();

    // In one process the intake has brought every entity to its worker already.
    let sightings = sightings.as_collection();
    let repeats_until = repeats_until(timing);
    let observations = Observations::new(rules);
    let received = match across {
        true => firsts(sightings, "duplicates", by_key(), repeats_until, observations),
        false => firsts(sightings, "duplicates", Pipeline, repeats_until, observations),
    };
    let repeats = received.repeats.inner.flat_map(|((_, repeat), at, diff)| {
        let conflict = repeat.conflict.then_some((Count::Conflict, at, diff));
        [(Count::Duplicate, at, diff)].into_iter().chain(conflict)
    });
    let holds = RuleHolds::new(rules);
    let lanes = Timeline::new("hold-down", HoldDown::<Lane, Observation, _>::new(holds), timing)
        .ending_at(ends.broadcast())
        .build_local(received.firsts);
    let (episodes, absorbed) =
        lanes.oks.inner.ok_err(move |(((entity, rule), output), at, diff)| {
            let revision = output.revision;
            match output.value {
                Decision::Sustained(sustained) => {
                    let (signal, rule, state) = catalog.ranks(rule, sustained.state);
                    let episode = Episode {
                        since_ns: sustained.since,
                        entity,
                        signal,
                        rule,
                        state,
                        until_ns: sustained.until,
                        decided_ns: sustained.decided,
                        expired: sustained.expired,
                        revision,
                    };
                    Ok((episode, at, diff))
                }
                Decision::Absorbed(run) => {
                    let (_, rule, _) = catalog.ranks(rule, 0);
                    let what = match run.expired {
                        true => Count::Expired(rule),
                        false => Count::HeldDown(rule),
                    };
                    Err((what, at, diff * run.observations as isize))
                }
                Decision::Run(run) => unreachable!("nobody asked for runs: {run:?}"),
            }
        });

    // Lateness is judged at the door, exactly: nothing can be too late for the timeline.
    lanes.errs.inspect(|rejected| panic!("an event in time was rejected: {rejected:?}"));

    let to_episodes = receive.clone();
    let episodes = gather(episodes.as_collection(), "episodes", move |updates| {
        to_episodes(Gathered::Episodes(updates));
    });
    let ledger = scope.concatenate([ledger, tally(repeats), tally(absorbed)]);
    let ledger = gather(ledger.as_collection(), "ledger", move |updates| {
        receive(Gathered::Ledger(updates));
    });
    let (probe, _) = scope.concatenate([episodes, ledger]).probe();
    (Inputs { sightings: sightings_in, ledger: ledger_in, ends: ends_in, timing }, probe)
}

/// From when on a duplicate of a record cannot be in time.
fn repeats_until(timing: Timing) -> impl Fn(&Sighting) -> i64 + 'static {
    move |sighting| sighting.event_time_ns.saturating_add(timing.lateness).saturating_add(1)
}

/// The holds of a rule file's rules.
struct RuleHolds {
    hold_ns: Vec<Vec<i64>>,
    expire_after_ns: i64,
}

impl RuleHolds {
    fn new(rules: &Rules) -> Self {
        let hold_ns = rules.rules.iter().map(|rule| rule.hold_ns.clone()).collect();
        Self { hold_ns, expire_after_ns: rules.expire_after_ns }
    }
}

impl Holds<Lane, u16> for RuleHolds {
    fn hold(&self, (_, rule): &Lane, state: u16) -> i64 {
        self.hold_ns[*rule][usize::from(state)]
    }

    fn expire_after(&self, _: &Lane) -> i64 {
        self.expire_after_ns
    }
}
