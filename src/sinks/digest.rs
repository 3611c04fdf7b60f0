//! The digest of a history: of what was said at each logical time, in any order, and of the order
//! of the times.

use limbeck_operators::hash::{xxh3_128, xxh3_128_with_seed};
use serde::{Deserialize, Serialize};

/// A digest, as it grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    chain: u128,
}

impl Digest {
    /// The part of one update, by its published bytes; the parts of a logical time are added.
    pub fn part(update: &[u8]) -> u128 {
        xxh3_128(update)
    }

    /// Takes in a logical time whose parts add up to `sum`. Times must rise.
    pub fn chain(&mut self, at: i64, sum: u128) {
        let mut bytes = [0; 40];
        bytes[..16].copy_from_slice(&self.chain.to_le_bytes());
        bytes[16..24].copy_from_slice(&at.to_le_bytes());
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        self.chain = xxh3_128_with_seed(&bytes, 1);
    }

    /// The digest of all logical times so far, as it is published.
    pub fn finish(self) -> String {
        format!("{:032x}", self.chain)
    }
}
