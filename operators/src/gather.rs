//! All updates of a collection on one worker, a complete logical time after the other.
//!
//! Guarantees: what reaches the receiver is consolidated and sorted by (logical time, record), each
//! logical time once and whole; it depends on the collection alone. State: the updates whose
//! logical time is not complete yet.

use differential_dataflow::VecCollection;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;

use crate::machine::Data;

/// Brings all updates to worker 0 and gives `receive` those of complete logical times.
///
/// The stream that comes back is empty; its frontier says what has been received.
pub fn gather<'scope, D: Data>(
    updates: VecCollection<'scope, i64, D, isize>,
    name: &str,
    mut receive: impl FnMut(Vec<(D, i64, isize)>) + 'static,
) -> Stream<'scope, i64, Vec<()>> {
    let to_first = Exchange::new(|_: &(D, i64, isize)| 0);
    updates.inner.unary_frontier::<CapacityContainerBuilder<Vec<()>>, _, _, _>(
        to_first,
        name,
        move |capability, _| {
            // Held so that the output's frontier waits for the receiver.
            let mut held = Some(capability);
            let mut pending: Vec<(D, i64, isize)> = Vec::new();
            move |(input, frontier), _output| {
                input.for_each(|_, batch| pending.append(batch));
                let Some(capability) = &mut held else { return };
                let frontier = frontier.frontier().first().copied();
                if frontier.is_some_and(|frontier| frontier <= *capability.time()) {
                    return;
                }
                let until = frontier.unwrap_or(i64::MAX);
                let complete =
                    pending.extract_if(.., |(_, at, _)| *at < until || frontier.is_none());
                let mut complete: Vec<_> = complete.collect();
                consolidate(&mut complete);
                if !complete.is_empty() {
                    receive(complete);
                }
                match frontier {
                    Some(frontier) => capability.downgrade(&frontier),
                    None => held = None,
                }
            }
        },
    )
}

/// Tells how far a stream has come, whenever it has come further: all before that has been received
/// by those before it. What flows in it is dropped. State: none.
pub fn passed<D: 'static>(stream: Stream<'_, i64, Vec<D>>, mut tell: impl FnMut(i64) + 'static) {
    let mut last = i64::MIN;
    stream.sink(Pipeline, "passed", move |(input, frontier)| {
        input.for_each(|_, _| {});
        if let Some(frontier) = frontier.frontier().first().filter(|frontier| **frontier > last) {
            last = *frontier;
            tell(last);
        }
    });
}

/// Sorts by (logical time, record), and adds up what is of one record at one time.
fn consolidate<D: Data>(updates: &mut Vec<(D, i64, isize)>) {
    // They come in stretches that are in order mostly, which a stable sort makes use of.
    updates.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    updates.dedup_by(|next, kept| {
        let repeats = (next.1, &next.0) == (kept.1, &kept.0);
        if repeats {
            kept.2 += next.2;
        }
        repeats
    });
    updates.retain(|(.., diff)| *diff != 0);
}
