//! Inputs, and what becomes of them.

use std::collections::BTreeSet;

use super::oracle::logs::Random;

const BYTES_MAX: usize = 2048;
const INPUTS_MAX: usize = 4096;

/// Inputs that said something new when they were executed.
pub(crate) struct Corpus {
    inputs: Vec<Vec<u8>>,
    /// How many of them were there from the beginning.
    seeds: usize,
    kinds: BTreeSet<u64>,
    words: &'static [&'static str],
}

impl Corpus {
    pub(crate) fn new<I: AsRef<[u8]>>(
        seeds: impl IntoIterator<Item = I>,
        words: &'static [&'static str],
    ) -> Self {
        let inputs: Vec<_> = seeds.into_iter().map(|seed| seed.as_ref().to_vec()).collect();
        Self { seeds: inputs.len(), inputs, kinds: BTreeSet::new(), words }
    }

    /// An input that is like one of these, or one of these.
    pub(crate) fn draw(&self, random: &mut Random) -> Vec<u8> {
        let some = if random.chance(40) { self.seeds } else { self.inputs.len() };
        let mut input = random.pick(&self.inputs[..some]).clone();
        while !random.chance(30) {
            self.change(&mut input, random);
        }
        input.truncate(BYTES_MAX);
        input
    }

    /// Keeps an input if no other had an outcome of this kind.
    pub(crate) fn learn(&mut self, input: &[u8], kind: u64) {
        if self.kinds.insert(kind) && self.inputs.len() < INPUTS_MAX {
            self.inputs.push(input.to_vec());
        }
    }

    pub(crate) fn kinds(&self) -> usize {
        self.kinds.len()
    }

    fn change(&self, input: &mut Vec<u8>, random: &mut Random) {
        let len = input.len() as u64;
        let at = random.below(len + 1) as usize;
        let more = (at + 1 + random.below(16) as usize).min(input.len());
        match random.below(12) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = *random.pick(MARKS),
            2 => input.insert(at, *random.pick(MARKS)),
            3 => drop(input.drain(at..more)),
            4 => {
                let again = input[at..more].to_vec();
                input.splice(at..at, again);
            }
            5 => input.truncate(at),
            // A word in the place of another, or between two.
            6..=8 => {
                let (start, end) = word_at(input, at);
                let end = if random.chance(70) { end } else { start };
                input.splice(start..end, random.pick(self.words).bytes());
            }
            9 => {
                let (start, end) = word_at(input, at);
                if input[start..end].iter().any(u8::is_ascii_digit) {
                    input.splice(start..end, random.pick(NUMBERS).bytes());
                }
            }
            10 => {
                let other = random.pick(&self.inputs);
                let from = random.below(other.len() as u64 + 1) as usize;
                let to = (from + random.below(64) as usize).min(other.len());
                input.splice(at..more, other[from..to].iter().copied());
            }
            11 if !input.is_empty() => {
                let with = random.below(len) as usize;
                let at = at.min(input.len() - 1);
                input.swap(at, with);
            }
            _ => {}
        }
    }
}

/// The letters, digits, dots and signs around a place.
fn word_at(input: &[u8], at: usize) -> (usize, usize) {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-+".contains(byte);
    let start = input[..at].iter().rposition(|byte| !is_part(byte)).map_or(0, |last| last + 1);
    let end = input[at..].iter().position(|byte| !is_part(byte));
    (start, end.map_or(input.len(), |first| at + first))
}

const MARKS: &[u8] = b"\"\\{}[]():,;|&!?<>=*/%$^.`'#@~ \t\r\n0123456789-+_abezAEZ\0\x01\x0c\x1b\x7f\x80\xa0\xbf\xc3\xe2\xef\xf0\xff";

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "00",
    "1.5",
    "1e5",
    "1E+5",
    "1e-400",
    "1e308",
    "1e309",
    "1e999",
    "0.1234567890123456789",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
    "1767225600",
    "1767225600000",
    "1767225600.123456789",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2262-04-11T23:47:16.854775807Z",
    "1677-09-21T00:12:43.145224192Z",
    "2026-01-01T00:00:00+23:59",
    "2026-02-30T00:00:00Z",
    "2026-01-01T23:59:60Z",
    "2026-01-01t00:00:00z",
    "4294967296d",
    "999999999999y",
    "1h30m",
    "100ms",
];
