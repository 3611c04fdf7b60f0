//! Which of a source's sequence numbers are missing.
//!
//! Numbers may come out of order: what is missing is known of the last [`WINDOW`], and one that
//! comes later than that stays missing. A number far ahead is believed if its event time is ahead
//! too: then all between are missing. One far below with an event time ahead of all others is a
//! restart, from which counting begins anew; so are [`AGAIN`] in a row, each ahead and above the last,
//! that all were there before. Any other is a stray: it was there before, or it is too far away to
//! say.

use serde::{Deserialize, Serialize};

use crate::model::account::Numbers;

/// So many numbers are remembered, each as a bit.
pub(super) const WINDOW: u64 = 1_024;
/// So many in a row that were there before are a restart: of a few entities that count for
/// themselves, one hardly comes so often without the others.
pub(super) const AGAIN: usize = 32;
const WORDS: usize = WINDOW as usize / 64;

/// Follows the numbers of a source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sequence {
    /// Of what is over: all but the missing of this sequence.
    numbers: Numbers,
    /// The first and the highest of this sequence, and how many of those between came.
    first: u64,
    highest: u64,
    came: u64,
    /// Which of the last came, by the number's last bits; what is below the first did.
    window: [u64; WORDS],
    /// The last in a row that were there before, each ahead and above the last.
    again: Vec<u64>,
}

impl Sequence {
    pub(super) fn new() -> Self {
        let numbers = Numbers::default();
        Self { numbers, first: 0, highest: 0, came: 0, window: [!0; WORDS], again: Vec::new() }
    }

    /// Takes the next number into account; `ahead` if its event time is later than all before.
    #[inline]
    pub(super) fn see(&mut self, number: u64, ahead: bool) {
        self.numbers.numbered += 1;
        if number <= self.highest && self.highest - number < WINDOW {
            let (word, bit) = place(number);
            let fills = self.window[word] & bit == 0;
            self.window[word] |= bit;
            if fills {
                self.came += 1;
            } else {
                self.numbers.strays += 1;
                return self.see_again(number, ahead);
            }
        } else if self.came == 0 {
            self.begin(number);
        } else if number > self.highest && (ahead || number - self.highest <= WINDOW) {
            self.go_on(number);
        } else if ahead {
            self.numbers = self.numbers();
            self.numbers.restarts += 1;
            self.begin(number);
        } else {
            self.numbers.strays += 1;
        }
        self.again.clear();
    }

    /// Takes a number into account that was there before.
    fn see_again(&mut self, number: u64, ahead: bool) {
        if !ahead || self.again.last().is_some_and(|last| *last >= number) {
            self.again.clear();
        }
        if !ahead {
            return;
        }
        self.again.push(number);
        if self.again.len() < AGAIN {
            return;
        }
        self.numbers.strays -= AGAIN as u64;
        self.numbers = self.numbers();
        self.numbers.restarts += 1;
        let again = std::mem::take(&mut self.again);
        self.begin(again[0]);
        again[1..].iter().for_each(|number| self.go_on(*number));
    }

    /// What the numbers tell until now.
    pub(super) fn numbers(&self) -> Numbers {
        let Self { first, highest, came, .. } = self;
        let missing = if *came == 0 { 0 } else { highest - first + 1 - came };
        let numbers = self.numbers.clone();
        Numbers { missing: numbers.missing.saturating_add(missing), ..numbers }
    }

    fn begin(&mut self, number: u64) {
        (self.first, self.highest, self.came) = (number, number, 1);
        self.window = [!0; WORDS];
    }

    /// Goes on to a higher number: those between have not come.
    #[inline]
    fn go_on(&mut self, number: u64) {
        let mut next = self.highest + 1;
        let end = number.min(next.saturating_add(WINDOW));
        let (word, bit) = place(number);
        (self.highest, self.came) = (number, self.came + 1);
        while next < end {
            let (word, _) = place(next);
            let start = next % 64;
            let bits = (64 - start).min(end - next);
            self.window[word] &= !(!0 >> (64 - bits) << start);
            next += bits;
        }
        self.window[word] |= bit;
    }
}

/// The word and the bit of a number.
fn place(number: u64) -> (usize, u64) {
    ((number % WINDOW / 64) as usize, 1 << (number % 64))
}
