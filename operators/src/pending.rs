//! Updates that were received and whose logical time is not complete yet.

use std::collections::VecDeque;

/// An update of a collection: record, logical time, difference.
pub(crate) type Update<D> = (D, i64, isize);

/// Whole batches, kept as they came for as long as they follow each other.
pub(crate) struct Pending<D> {
    batches: VecDeque<Vec<Update<D>>>,
}

impl<D> Pending<D> {
    pub(crate) fn new() -> Self {
        Self { batches: VecDeque::new() }
    }

    /// Takes a batch over, and leaves an empty one.
    pub(crate) fn receive(&mut self, batch: &mut Vec<Update<D>>) {
        if !batch.is_empty() {
            self.batches.push_back(std::mem::take(batch));
        }
    }

    /// Takes out what is before `until`, all if there is no such time, sorted by an order that
    /// follows logical time first. Equal updates stay in the order in which they came.
    pub(crate) fn complete(
        &mut self,
        until: Option<i64>,
        in_order: impl Fn(&Update<D>, &Update<D>) -> bool,
    ) -> Vec<Vec<Update<D>>> {
        self.sort(in_order);
        let Some(until) = until else { return self.batches.drain(..).collect() };
        let mut complete = Vec::new();
        while let Some(batch) = self.batches.front_mut() {
            let count = match batch.last() {
                Some((_, at, _)) if *at < until => batch.len(),
                _ => batch.partition_point(|(_, at, _)| *at < until),
            };
            if count < batch.len() {
                if count > 0 {
                    let later = batch.split_off(count);
                    complete.push(std::mem::replace(batch, later));
                }
                break;
            }
            complete.extend(self.batches.pop_front());
        }
        complete
    }

    /// Makes every batch sorted, and each follow the one before.
    fn sort(&mut self, in_order: impl Fn(&Update<D>, &Update<D>) -> bool) {
        let sorted = self.batches.iter().all(|batch| batch.is_sorted_by(&in_order));
        let ends = self.batches.iter().filter_map(|batch| Some((batch.first()?, batch.last()?)));
        let follow = ends.clone().zip(ends.skip(1));
        if sorted && follow.map(|(one, next)| (one.1, next.0)).all(|(a, b)| in_order(a, b)) {
            return;
        }
        let mut all: Vec<_> = self.batches.drain(..).flatten().collect();
        all.sort_by(|one, other| match (in_order(one, other), in_order(other, one)) {
            (true, false) => std::cmp::Ordering::Less,
            (false, true) => std::cmp::Ordering::Greater,
            _ => std::cmp::Ordering::Equal,
        });
        self.batches.push_back(all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hands_out_what_is_complete_sorted(
            steps in prop::collection::vec(
                (prop::collection::vec(prop::collection::vec(0i64..20, 0..5), 0..4), 0i64..8),
                1..8,
            )
        ) {
            let mut pending = Pending::new();
            let (mut waiting, mut until, mut number) = (Vec::new(), 0, 0);
            let by_time = |one: &Update<u32>, other: &Update<u32>| one.1 <= other.1;
            for (batches, step) in steps {
                for batch in batches {
                    let batch = batch.into_iter().map(|at| {
                        number += 1;
                        (number, until + at, 1)
                    });
                    let mut batch: Vec<_> = batch.collect();
                    waiting.extend(batch.iter().copied());
                    pending.receive(&mut batch);
                }
                until += step;
                let complete: Vec<_> =
                    pending.complete(Some(until), by_time).into_iter().flatten().collect();
                let (mut due, later): (Vec<_>, Vec<_>) =
                    waiting.into_iter().partition(|(_, at, _)| *at < until);
                due.sort_by_key(|(_, at, _)| *at);
                waiting = later;
                prop_assert_eq!(complete, due);
            }
            let rest: Vec<_> = pending.complete(None, by_time).into_iter().flatten().collect();
            waiting.sort_by_key(|(_, at, _)| *at);
            prop_assert_eq!(rest, waiting);
        }
    }
}
