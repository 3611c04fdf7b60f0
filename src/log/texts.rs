//! Texts by row, each once where they repeat. State: the texts.

use std::collections::HashMap;

use limbeck_operators::hash::FixedState;
use limbeck_operators::hash::xxh3_64;

/// After so many texts that are different it is known whether they repeat each other.
const TRIED: usize = 16 * 1024;

/// Texts by row.
#[derive(Default)]
pub(super) struct Texts {
    pub(super) keys: Vec<Option<u32>>,
    texts: String,
    ends: Vec<usize>,
    /// By hash; of two texts with one hash the second is kept again and again.
    known: HashMap<u64, u32, FixedState>,
    asked: usize,
}

impl Texts {
    /// The number of a text: mostly one for all that are equal.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        self.asked += 1;
        let new = self.ends.len() as u32;
        if self.ends.len() < TRIED || self.ends.len() * 2 <= self.asked {
            let hash = xxh3_64(text.as_bytes());
            match self.known.get(&hash).copied() {
                Some(known) if self.text(known) == text => return known,
                Some(_) => {}
                None => {
                    self.known.insert(hash, new);
                }
            }
        }
        self.texts.push_str(text);
        self.ends.push(self.texts.len());
        new
    }

    pub(super) fn push(&mut self, text: Option<&str>) {
        let number = text.map(|text| self.number(text));
        self.keys.push(number);
    }

    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of a number.
    pub(super) fn text(&self, number: u32) -> &str {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.texts[start..self.ends[number]]
    }

    /// The text of a row.
    pub(super) fn get(&self, row: usize) -> Option<&str> {
        self.keys[row].map(|key| self.text(key))
    }
}
