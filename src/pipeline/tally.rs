//! Counts are added up where they arise, so that few of them travel.

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::Update;
use crate::model::ledger::{Count, Entry};

/// Adds up what is counted at one logical time. Stateless.
pub(super) fn tally<'scope>(
    counts: Stream<'scope, i64, Vec<Update<Count>>>,
) -> Stream<'scope, i64, Vec<Update<Entry>>> {
    type Built = CapacityContainerBuilder<Vec<Update<Entry>>>;
    counts.unary::<Built, _, _, _>(Pipeline, "tally", |_, _| {
        let mut sums: Vec<(Count, isize)> = Vec::new();
        move |input, output| {
            input.for_each(|time, batch| {
                let mut output = output.session(&time);
                for moment in batch.chunk_by(|one, other| one.1 == other.1) {
                    for (what, _, diff) in moment {
                        match sums.iter_mut().find(|(known, _)| known == what) {
                            Some((_, sum)) => *sum += diff,
                            None => sums.push((*what, *diff)),
                        }
                    }
                    let at = moment[0].1;
                    output.give_iterator(
                        sums.drain(..).map(|(what, sum)| (Entry::Count(what), at, sum)),
                    );
                }
            });
        }
    })
}
