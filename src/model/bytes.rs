//! Bytes, most of them few, as words.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;

/// Bytes, ordered as they are. Up to 23 of them are kept, moved, hashed and compared in three words; more
/// are shared.
///
/// There is no smaller part than a word: one that is written part by part, and then copied as a whole, has to
/// wait for the memory.
#[derive(Clone)]
pub(super) enum Bytes {
    /// The first byte of each word is the highest. They are zero behind their end, but for the last, which is
    /// one more than their number.
    Short(u64, u64, NonZeroU64),
    Long(Arc<[u8]>),
}

pub(super) const SHORT_BYTES_MAX: usize = 23;

impl Bytes {
    #[inline(always)]
    pub(super) fn new(bytes: &[u8]) -> Self {
        if bytes.len() > SHORT_BYTES_MAX {
            return Self::Long(bytes.into());
        }
        let (first, second, third) = words(bytes);
        Self::short(first, second, third, bytes.len())
    }

    /// So many bytes, zero behind their end.
    #[inline(always)]
    pub(super) fn short(first: u64, second: u64, third: u64, len: usize) -> Self {
        // The number makes it another than zero.
        let last = NonZeroU64::new(third | (len as u64 + 1)).unwrap_or(NonZeroU64::MIN);
        Self::Short(first, second, last)
    }

    pub(super) fn with<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Short(first, second, last) => {
                let words = [*first, *second, last.get()].map(u64::to_be_bytes);
                read(&words.as_flattened()[..usize::from(words[2][7]) - 1])
            }
            Self::Long(bytes) => read(bytes),
        }
    }
}

/// Few bytes in words, without a byte being looked at alone where there are eight.
#[inline(always)]
fn words(bytes: &[u8]) -> (u64, u64, u64) {
    let first = |bytes: &[u8]| bytes.first_chunk().copied().map(u64::from_be_bytes);
    // The last eight bytes, those before `from` shifted out.
    let last = |from: usize| {
        let word = bytes.last_chunk().copied().map_or(0, u64::from_be_bytes);
        word.checked_shl(u64::BITS - 8 * (bytes.len() - from) as u32).unwrap_or(0)
    };
    match (first(bytes), bytes.get(8..16).and_then(first)) {
        (Some(one), Some(two)) => (one, two, last(16)),
        (Some(one), None) => (one, last(8), 0),
        (None, _) => {
            let word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
            (word.checked_shl(u64::BITS - 8 * bytes.len() as u32).unwrap_or(0), 0, 0)
        }
    }
}

impl PartialEq for Bytes {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Short(first, second, last), Self::Short(a, b, c)) => {
                (first ^ a) | (second ^ b) | (last.get() ^ c.get()) == 0
            }
            (Self::Long(one), Self::Long(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for Bytes {}

impl Hash for Bytes {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Short(first, second, last) => {
                state.write_u64(*first);
                state.write_u64(*second);
                state.write_u64(last.get());
            }
            Self::Long(bytes) => bytes.hash(state),
        }
    }
}

impl Ord for Bytes {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Short(first, second, last), Self::Short(a, b, c)) => {
                (first, second, last).cmp(&(a, b, c))
            }
            _ => self.with(|one| other.with(|other| one.cmp(other))),
        }
    }
}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limbeck_operators::hash::fixed_hash;
    use proptest::prelude::*;

    fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(0), Just(1), Just(255), any::<u8>()], 0..30)
    }

    proptest! {
        #[test]
        fn they_are_what_they_are_made_of(one in some_bytes(), other in some_bytes(), at in 0..30_usize) {
            // Mostly they begin alike.
            let mut near = one.clone();
            near.truncate(at);
            for other in [&other, &near] {
                let (a, b) = (Bytes::new(&one), Bytes::new(other));
                prop_assert_eq!(a.with(<[u8]>::to_vec), &one[..]);
                prop_assert_eq!(a.cmp(&b), one.cmp(other));
                prop_assert_eq!(a == b, one == *other);
                prop_assert_eq!(fixed_hash(&a) == fixed_hash(&b), one == *other);
            }
        }
    }
}
