//! Records become observations, one for each rule on each signal they fit; repeats are counted.

use differential_dataflow::{AsCollection, VecCollection};
use limbeck_operators::machines::dedup::Verdict;
use limbeck_operators::timeline::Revised;
use smol_str::SmolStr;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::{Lane, Update};
use crate::model::ledger::{Count, Entry};
use crate::model::sighting::{Observation, Sighting};
use crate::rules::Rules;

type Firsts<'scope> = VecCollection<'scope, i64, (SmolStr, Revised<Verdict<Sighting>>), isize>;
type Observations<'scope> = VecCollection<'scope, i64, (Lane, Observation), isize>;
type Counts<'scope> = Stream<'scope, i64, Vec<Update<Entry>>>;

/// Splits what dedup said. Stateless.
pub(super) fn observe<'scope>(
    firsts: Firsts<'scope>,
    rules: &Rules,
) -> (Observations<'scope>, Counts<'scope>) {
    let mut rules_of_signal = vec![Vec::new(); rules.signals.len()];
    for (number, rule) in rules.rules.iter().enumerate() {
        rules_of_signal[rule.signal].push(number as u16);
    }

    let mut builder = OperatorBuilder::new("observations".to_owned(), firsts.inner.scope());
    let mut input = builder.new_input(firsts.inner, Pipeline);
    let (seen, seen_stream) = builder.new_output();
    let (counts, count_stream) = builder.new_output();
    let mut seen = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(seen);
    let mut counts = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(counts);
    builder.build(move |_| {
        move |_| {
            let (mut seen, mut counts) = (seen.activate(), counts.activate());
            input.for_each(|time, batch| {
                let (seen_time, count_time) = (time.retain(0), time.retain(1));
                let mut seen = seen.session(&seen_time);
                let mut counts = counts.session(&count_time);
                for ((entity, verdict), at, diff) in batch.drain(..) {
                    match verdict.value {
                        Verdict::Passed(sighting) => {
                            let lanes = lanes(&rules_of_signal, entity, sighting);
                            seen.give_iterator(lanes.map(|lane| (lane, at, diff)));
                        }
                        Verdict::Repeat { conflict, .. } => {
                            counts.give((Entry::Count(Count::Duplicate), at, diff));
                            if conflict {
                                counts.give((Entry::Count(Count::Conflict), at, diff));
                            }
                        }
                    }
                }
            });
        }
    });
    (seen_stream.as_collection(), count_stream)
}

/// The observations that rules make of a record.
fn lanes(
    rules_of_signal: &[Vec<u16>],
    entity: SmolStr,
    sighting: Sighting,
) -> impl Iterator<Item = (Lane, Observation)> {
    let Sighting { event_time_ns, source, sequence, id, matches, .. } = sighting;
    matches.into_iter().flat_map(move |found| {
        let (entity, source, sequence, id) =
            (entity.clone(), source.clone(), sequence.clone(), id.clone());
        rules_of_signal[usize::from(found.signal)].iter().map(move |rule| {
            let observation = Observation {
                event_time_ns,
                source: source.clone(),
                sequence: sequence.clone(),
                id: id.clone(),
                state: found.state,
            };
            ((entity.clone(), *rule), observation)
        })
    })
}
