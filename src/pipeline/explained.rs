//! The same flow for one entity, with what the replay need not know: every record, every run.

use differential_dataflow::AsCollection;
use limbeck_operators::firsts::{Pass, Whole, firsts};
use limbeck_operators::gather::gather;
use limbeck_operators::machines::hold_down::{Decision, HoldDown};
use limbeck_operators::timeline::{Revised, Timeline, Timing};
use smol_str::SmolStr;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concatenate, Input, Probe};
use timely::dataflow::{ProbeHandle, Scope};

use super::observations::Observations;
use super::{Inputs, Lane, RuleHolds, Update, repeats_until};
use crate::model::sighting::{Observation, Sighting};
use crate::rules::Rules;

/// What arrives, by complete logical times.
pub enum Seen {
    /// Records that are no duplicates.
    Firsts(Vec<Update<(SmolStr, Sighting)>>),
    /// What rules observe.
    Observations(Vec<Update<(Lane, Observation)>>),
    /// What they make of it.
    Decisions(Vec<Update<(Lane, Revised<Decision<u16>>)>>),
}

/// Builds the flow on one worker.
pub fn build(
    scope: Scope<'_, i64>,
    rules: &Rules,
    timing: Timing,
    receive: impl Fn(Seen) + Clone + 'static,
) -> (Inputs, ProbeHandle<i64>) {
    let (sightings_in, sightings) = scope.new_input();
    let (ledger_in, _) = scope.new_input();
    let (ends_in, ends) = scope.new_input::<Vec<i64>>();
    let sightings = sightings.as_collection();
    let received = firsts(sightings, "duplicates", Pipeline, repeats_until(timing), Whole);
    let mut pass = Observations::new(rules);
    let observations =
        received.firsts.inner.clone().flat_map(move |((entity, sighting), at, diff)| {
            let mut made = Vec::new();
            pass.pass(entity, sighting, &mut |observation| made.push((observation, at, diff)));
            made
        });
    let observations = observations.as_collection();
    let machine = HoldDown::<Lane, Observation, _>::new(RuleHolds::new(rules)).telling_runs();
    let lanes = Timeline::new("hold-down", machine, timing)
        .ending_at(ends)
        .build_local(observations.clone());
    let (to_firsts, to_observations) = (receive.clone(), receive.clone());
    let gathered = [
        gather(received.firsts, "firsts", move |updates| to_firsts(Seen::Firsts(updates))),
        gather(observations, "observations", move |updates| {
            to_observations(Seen::Observations(updates));
        }),
        gather(lanes.oks, "decisions", move |updates| receive(Seen::Decisions(updates))),
    ];
    let (probe, _) = scope.concatenate(gathered).probe();
    (Inputs { sightings: sightings_in, ledger: ledger_in, ends: ends_in, timing }, probe)
}
