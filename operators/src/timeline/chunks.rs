//! A list in chunks: it grows by a chunk and never moves what it holds.
//!
//! A vector takes up to twice the memory of its items, and three times while it grows. State: the
//! items, and room for less than a chunk of others.

use std::ops::{Index, IndexMut};

/// See the module's documentation. `LEN` is a power of two.
#[derive(Debug)]
pub(crate) struct Chunks<T, const LEN: usize> {
    /// All are full but the last.
    chunks: Vec<Vec<T>>,
}

impl<T, const LEN: usize> Chunks<T, LEN> {
    pub(crate) fn new() -> Self {
        const { assert!(LEN.is_power_of_two()) };
        Self { chunks: Vec::new() }
    }

    pub(crate) fn push(&mut self, item: T) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < LEN => last.push(item),
            last => {
                // Many lists are short: the first chunk grows as it is needed.
                let room = if last.is_some() { LEN } else { 0 };
                let mut chunk = Vec::with_capacity(room);
                chunk.push(item);
                self.chunks.push(chunk);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * LEN + last.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.first().is_none_or(Vec::is_empty)
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.chunks.get(at / LEN)?.get(at % LEN)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Takes all items out, and keeps room for a chunk.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(T)) {
        // Each is given back to the allocator before the next is taken out.
        while self.chunks.len() > 1 {
            self.chunks.pop().into_iter().flatten().for_each(&mut each);
        }
        self.chunks.iter_mut().flat_map(|first| first.drain(..)).for_each(each);
    }

    /// The bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let items: usize = self.chunks.iter().map(Vec::capacity).sum();
        items * size_of::<T>() + self.chunks.capacity() * size_of::<Vec<T>>()
    }
}

impl<T, const LEN: usize> Index<usize> for Chunks<T, LEN> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        &self.chunks[at / LEN][at % LEN]
    }
}

impl<T, const LEN: usize> IndexMut<usize> for Chunks<T, LEN> {
    #[inline]
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.chunks[at / LEN][at % LEN]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_as_a_vector(lists in prop::collection::vec(0usize..70, 1..6)) {
            let (mut chunks, mut number) = (Chunks::<_, 16>::new(), 0);
            for items in lists {
                let mut vector = Vec::new();
                for _ in 0..items {
                    number += 1;
                    chunks.push(number);
                    vector.push(number);
                    prop_assert_eq!(chunks.len(), vector.len());
                }
                prop_assert_eq!(chunks.is_empty(), vector.is_empty());
                prop_assert!(chunks.bytes() >= items * size_of::<i32>());
                prop_assert!(chunks.iter().eq(&vector));
                for (at, item) in vector.iter_mut().enumerate() {
                    prop_assert_eq!(chunks.get(at), Some(&*item));
                    chunks[at] += 1;
                    *item += 1;
                    prop_assert_eq!(chunks[at], *item);
                }
                prop_assert_eq!(chunks.get(items), None);
                let mut drained = Vec::new();
                chunks.drain(|item| drained.push(item));
                drained.sort_unstable();
                prop_assert_eq!(drained, vector);
                prop_assert!(chunks.is_empty());
            }
        }
    }
}
