//! The one hash of this crate: XXH3 with a fixed seed.
//!
//! It routes keys to workers and finds them in tables, so it must not differ between runs,
//! machines or versions; XXH3 is specified and its implementation tested against the reference.

use std::hash::{BuildHasher, Hash, Hasher};

use twox_hash::{XxHash3_64, XxHash3_128};

/// XXH3 of 64 bits.
#[inline]
pub fn xxh3_64(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// XXH3 of 64 bits from a seed.
#[inline]
pub fn xxh3_64_with_seed(bytes: &[u8], seed: u64) -> u64 {
    // Without a seed it is quicker, and the same.
    match seed {
        0 => XxHash3_64::oneshot(bytes),
        seed => XxHash3_64::oneshot_with_seed(seed, bytes),
    }
}

/// XXH3 of 128 bits.
#[inline]
pub fn xxh3_128(bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot(bytes)
}

/// XXH3 of 128 bits from a seed.
#[inline]
pub fn xxh3_128_with_seed(bytes: &[u8], seed: u64) -> u128 {
    XxHash3_128::oneshot_with_seed(seed, bytes)
}

/// Builds [`FixedHasher`]s; for hash tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct FixedState;

impl BuildHasher for FixedState {
    type Hasher = FixedHasher;

    fn build_hasher(&self) -> FixedHasher {
        FixedHasher { state: 0 }
    }
}

/// Hashes what is written to it, each piece seeded by the pieces before.
#[derive(Clone, Copy, Debug)]
pub struct FixedHasher {
    state: u64,
}

impl FixedHasher {
    /// Folds one word in: two multiplications by odd constants with a rotation between.
    fn fold(&mut self, word: u64) {
        let mixed = (self.state ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.state = mixed.rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    }
}

impl Hasher for FixedHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.state = xxh3_64_with_seed(bytes, self.state);
    }

    fn write_u8(&mut self, value: u8) {
        self.fold(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.fold(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.fold(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.fold(value);
    }

    fn write_u128(&mut self, value: u128) {
        self.write(&value.to_le_bytes());
    }

    fn write_usize(&mut self, value: usize) {
        self.fold(value as u64);
    }

    fn finish(&self) -> u64 {
        self.state ^ (self.state >> 32)
    }
}

/// The hash of a value: the same on every machine, in every run.
pub fn fixed_hash<T: Hash + ?Sized>(value: &T) -> u64 {
    FixedState.hash_one(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_never_change() {
        assert_eq!(fixed_hash("pod-1"), 11591486927044822532);
        assert_eq!(fixed_hash(&7u64), 2533364679903424563);
        assert_eq!(fixed_hash(&("pod-1", 3u16)), 18307086708047606583);
    }
}
