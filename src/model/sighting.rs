//! What flows: a record that fits some signal, and the observation a rule makes of it.

use limbeck_operators::Event;
use limbeck_operators::machines::dedup::Fingerprinted;
use limbeck_operators::machines::hold_down;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::record::{Id, Sequence};

/// A state of a signal, by their numbers in the rule file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Match {
    /// Which signal.
    pub signal: u16,
    /// Which of its states.
    pub state: u16,
}

/// A record that fits at least one signal and is in time.
///
/// Ordered as duplicates are told apart: the first of equal ones by (arrival, partition, position)
/// counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sighting {
    /// When it was recorded; never before the record ahead of it in its partition.
    pub arrival_ns: i64,
    /// Which partition it is from.
    pub partition: u32,
    /// Its line there, from 1.
    pub line: u64,
    /// When the source says it happened.
    pub event_time_ns: i64,
    /// The logical time from which on no duplicate of it can be in time.
    pub repeats_until_ns: i64,
    /// A hash of source, id and event time: with the entity, what makes it the same record.
    pub fingerprint: u128,
    /// A hash of all it says.
    pub content: u64,
    /// Its place among others of its event time.
    pub tie: Tie,
    /// The signals it fits, with the state of each.
    pub matches: SmallVec<[Match; 4]>,
}

impl Event for Sighting {
    fn time(&self) -> i64 {
        self.arrival_ns
    }
}

impl Fingerprinted for Sighting {
    fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    fn content(&self) -> u64 {
        self.content
    }

    fn repeats_until(&self) -> i64 {
        self.repeats_until_ns
    }
}

/// An observation of one signal of one entity, in the contract's order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Observation {
    /// When the source says it happened.
    pub event_time_ns: i64,
    /// Its place among others of its event time.
    pub tie: Tie,
    /// The state observed.
    pub state: u16,
}

impl Event for Observation {
    fn time(&self) -> i64 {
        self.event_time_ns
    }
}

impl hold_down::Observation for Observation {
    type State = u16;

    fn state(&self) -> u16 {
        self.state
    }
}

/// Source, sequence and id of a record as bytes that are ordered as these are: by source, then by
/// sequence, then by id. Small, since most are never compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tie(SmallVec<[u8; 32]>);

impl Tie {
    /// Encodes the three.
    pub fn new(source: &str, sequence: &Sequence, id: &Id) -> Self {
        let mut bytes = SmallVec::new();
        push_text(&mut bytes, source);
        match sequence {
            Sequence::Absent => bytes.push(0),
            // As many bytes as it needs, their number before them: more bytes is more.
            Sequence::Number(number) => {
                let skipped = number.leading_zeros() as usize / 8;
                bytes.push(9 - skipped as u8);
                bytes.extend_from_slice(&number.to_be_bytes()[skipped..]);
            }
            Sequence::Large(digits) => {
                bytes.push(10);
                bytes.extend_from_slice(&(digits.as_str().len() as u64).to_be_bytes());
                bytes.extend_from_slice(digits.as_str().as_bytes());
            }
            Sequence::Text(text) => {
                bytes.push(11);
                push_text(&mut bytes, text);
            }
        }
        match id {
            Id::Content(hash) => bytes.extend_from_slice(&hash.to_be_bytes()),
            Id::Text(id) => bytes.extend_from_slice(id.as_bytes()),
        }
        Self(bytes)
    }
}

/// A text and its end: a zero byte in it is followed by a one, at its end by a zero.
fn push_text(bytes: &mut SmallVec<[u8; 32]>, text: &str) {
    if text.as_bytes().contains(&0) {
        for byte in text.bytes() {
            bytes.push(byte);
            if byte == 0 {
                bytes.push(1);
            }
        }
    } else {
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.extend_from_slice(&[0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof!["[\x00\x01ab]{0,4}", "[0-9]{1,3}", "0{0,3}[1-9][0-9]{18,22}", ".{0,3}"]
    }

    fn sequences() -> impl Strategy<Value = Sequence> {
        prop_oneof![Just(Sequence::Absent), texts().prop_map(|text| Sequence::parse(&text))]
    }

    proptest! {
        #[test]
        fn ties_are_ordered_as_what_they_encode(
            one in (texts(), sequences(), texts()),
            other in (texts(), sequences(), texts()),
        ) {
            let tie = |(source, sequence, id): &(String, Sequence, String)| {
                Tie::new(source, sequence, &Id::Text(id.into()))
            };
            prop_assert_eq!(tie(&one).cmp(&tie(&other)), one.cmp(&other));
        }
    }
}
