//! Records become observations, one for each rule on each signal they fit.

use differential_dataflow::{AsCollection, VecCollection};
use smol_str::SmolStr;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::{Lane, Update};
use crate::model::sighting::{Observation, Sighting};
use crate::rules::Rules;

/// Makes the observations. Stateless.
pub(super) fn observe<'scope>(
    firsts: VecCollection<'scope, i64, (SmolStr, Sighting), isize>,
    rules: &Rules,
) -> VecCollection<'scope, i64, (Lane, Observation), isize> {
    let mut lanes_of_signal = vec![Vec::new(); rules.signals.len()];
    for (number, rule) in rules.rules.iter().enumerate() {
        lanes_of_signal[rule.signal].push(number as u16);
    }
    type Built = CapacityContainerBuilder<Vec<Update<(Lane, Observation)>>>;
    let observed = firsts.inner.unary::<Built, _, _, _>(Pipeline, "observations", |_, _| {
        move |input, output| {
            input.for_each(|time, batch| {
                let mut output = output.session(&time);
                for ((entity, sighting), at, diff) in batch.drain(..) {
                    let Sighting { event_time_ns, tie, matches, .. } = sighting;
                    let lanes = matches.iter().flat_map(|found| {
                        let rules = lanes_of_signal[usize::from(found.signal)].iter();
                        rules.map(|rule| (*rule, found.state))
                    });
                    let mut lanes = lanes.peekable();
                    while let Some((rule, state)) = lanes.next() {
                        if lanes.peek().is_none() {
                            let observation = Observation { event_time_ns, tie, state };
                            output.give((((entity, rule), observation), at, diff));
                            break;
                        }
                        let observation = Observation { event_time_ns, tie: tie.clone(), state };
                        output.give((((entity.clone(), rule), observation), at, diff));
                    }
                }
            });
        }
    });
    observed.as_collection()
}
