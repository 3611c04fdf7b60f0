//! A queue in chunks: it grows by a chunk and never moves what it holds, so that nobody waits for that.
//!
//! What has left it is dropped with the last item of its chunk. State: the items, less than a chunk of
//! others, and some chunks to be used again.

use std::collections::VecDeque;

use crate::in_place;

/// So many chunks are kept when they are empty: those of some batches.
const SPARE: usize = 64;

/// See the module's documentation. `LEN` is a power of two.
#[derive(Debug)]
pub(super) struct Queue<T, const LEN: usize> {
    /// None is empty, and all are full but the last.
    chunks: VecDeque<Vec<T>>,
    /// How many items of the first have left.
    gone: usize,
    spare: Vec<Vec<T>>,
}

impl<T, const LEN: usize> Queue<T, LEN> {
    pub(super) fn new() -> Self {
        const { assert!(LEN.is_power_of_two()) };
        Self { chunks: VecDeque::new(), gone: 0, spare: Vec::new() }
    }

    /// Adds what is made to the end.
    #[inline(always)]
    pub(super) fn push(&mut self, make: impl FnOnce() -> T) {
        if self.chunks.back().is_none_or(|last| last.len() == LEN) {
            self.grow();
        }
        if let Some(last) = self.chunks.back_mut() {
            in_place::push(last, make);
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let chunk = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(LEN));
        self.chunks.push_back(chunk);
    }

    /// Takes the last item back.
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.len() == 0 {
            return None;
        }
        let last = self.chunks.back_mut()?;
        let item = last.pop();
        if last.is_empty() {
            self.spare.extend(self.chunks.pop_back());
        }
        item
    }

    /// Lets so many leave that came first.
    pub(super) fn pass(&mut self, count: usize) {
        self.gone += count;
        while self.gone >= LEN {
            self.gone -= LEN;
            let chunk = self.chunks.pop_front();
            self.spare.extend(chunk.filter(|_| self.spare.len() < SPARE).map(|mut chunk| {
                chunk.clear();
                chunk
            }));
        }
    }

    pub(super) fn len(&self) -> usize {
        let before_last = self.chunks.len().saturating_sub(1) * LEN;
        self.chunks.back().map_or(0, |last| before_last + last.len() - self.gone)
    }

    /// The item behind so many.
    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<&T> {
        let at = at + self.gone;
        self.chunks.get(at / LEN)?.get(at % LEN)
    }

    pub(super) fn last(&self) -> Option<&T> {
        self.get(self.len().checked_sub(1)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        (0..).map_while(|at| self.get(at))
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        (self.chunks.len() + self.spare.len()) * LEN * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        Pop(usize),
        Pass(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0usize..80).prop_map(Step::Push),
            (0usize..20).prop_map(Step::Pop),
            (0usize..80).prop_map(Step::Pass),
        ];
        prop::collection::vec(step, 0..30)
    }

    proptest! {
        #[test]
        fn is_as_a_queue_that_moves(steps in steps()) {
            let (mut queue, mut model, mut number) = (Queue::<_, 16>::new(), VecDeque::new(), 0);
            for step in steps {
                match step {
                    Step::Push(count) => for _ in 0..count {
                        number += 1;
                        queue.push(|| number);
                        model.push_back(number);
                    },
                    Step::Pop(count) => for _ in 0..count {
                        prop_assert_eq!(queue.pop(), model.pop_back());
                    },
                    Step::Pass(count) => {
                        let count = count.min(model.len());
                        queue.pass(count);
                        model.drain(..count);
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.last(), model.back());
                prop_assert!(queue.iter().eq(&model));
                prop_assert!((0..=model.len()).all(|at| queue.get(at) == model.get(at)));
                prop_assert!(queue.bytes() >= queue.len() * size_of::<i32>());
            }
        }
    }
}
