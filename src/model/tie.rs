//! The place of a record among others of its event time.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::bytes::{Bytes, SHORT_BYTES_MAX};
use super::record::{Id, Sequence};

/// Source, sequence and id of a record as bytes that are ordered as these are: by source, then by
/// sequence, then by id. Most are short, and never compared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Vec<u8>", into = "Vec<u8>")]
pub struct Tie(Bytes);

/// How the ties of a source begin.
#[derive(Clone, Debug)]
pub struct TieStart {
    source: SmolStr,
    /// The source and its end, the first byte highest, and how many bytes these are; none if they
    /// leave no room for the rest.
    short: Option<(u128, usize)>,
}

impl TieStart {
    /// Encodes a source.
    pub fn new(source: &str) -> Self {
        let mut bytes = Vec::new();
        push_text(&mut bytes, source);
        let short = (bytes.len() + 1 + CONTENT_BYTES <= SHORT_BYTES_MAX).then(|| {
            let mut first = [0; 16];
            first[..bytes.len()].copy_from_slice(&bytes);
            (u128::from_be_bytes(first), bytes.len())
        });
        Self { source: source.into(), short }
    }

    /// The source.
    pub fn source(&self) -> &SmolStr {
        &self.source
    }

    /// Encodes the rest, whatever it takes.
    #[inline(never)]
    pub fn long(&self, sequence: &Sequence, id: &Id) -> Tie {
        Tie::long(&self.source, sequence, id).into()
    }

    /// The usual: a short source, a number, and an id that is a hash.
    #[inline(always)]
    pub fn short(&self, sequence: &Sequence, id: &Id) -> Option<Tie> {
        let (source, source_len) = self.short?;
        let Id::Content(hash) = id else { return None };
        // As many bytes as it needs, their number before them: more bytes is more.
        let (number, number_len) = match sequence {
            Sequence::Absent => (0, 1),
            Sequence::Number(number) => {
                let len = number_bytes(*number);
                (u128::from(*number) | (1 + len as u128) << (8 * len), 1 + len)
            }
            _ => return None,
        };
        let len = source_len + number_len + CONTENT_BYTES;
        if len > SHORT_BYTES_MAX || number_len > 8 {
            return None;
        }
        // Behind the source, which leaves 16 bytes or less; what does not fit in is the third word.
        let rest = (number << 64 | u128::from(*hash)) << (64 - 8 * number_len);
        let words = source | rest >> (8 * source_len);
        let third = (rest << (128 - 8 * source_len)) >> 64;
        Some(Tie(Bytes::short((words >> 64) as u64, words as u64, third as u64, len)))
    }
}

impl Tie {
    /// Encodes the three.
    pub fn new(source: &str, sequence: &Sequence, id: &Id) -> Self {
        let start = TieStart::new(source);
        start.short(sequence, id).unwrap_or_else(|| start.long(sequence, id))
    }

    /// The same, and behind it a time: tells records apart whose event times have become one.
    #[must_use]
    pub fn then(self, time_ns: i64) -> Self {
        let mut bytes = Vec::from(self);
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&(time_ns.cast_unsigned() ^ 1 << 63).to_be_bytes());
        bytes.into()
    }

    #[inline(never)]
    fn long(source: &str, sequence: &Sequence, id: &Id) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_text(&mut bytes, source);
        match sequence {
            Sequence::Absent => bytes.push(0),
            Sequence::Number(number) => {
                let len = number_bytes(*number);
                bytes.push(1 + len as u8);
                bytes.extend_from_slice(&number.to_be_bytes()[8 - len..]);
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
            Id::Content(hash) => {
                bytes.extend_from_slice(&hash.to_be_bytes());
            }
            Id::Text(id) => bytes.extend_from_slice(id.as_bytes()),
        }
        bytes
    }
}

/// The bytes of a hash.
const CONTENT_BYTES: usize = 8;

/// How many bytes a number needs.
fn number_bytes(number: u64) -> usize {
    8 - number.leading_zeros() as usize / 8
}

/// A text and its end: a zero byte in it is followed by a one, at its end by a zero.
fn push_text(bytes: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        bytes.push(byte);
        if byte == 0 {
            bytes.push(1);
        }
    }
    bytes.extend_from_slice(&[0, 0]);
}

impl From<Vec<u8>> for Tie {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Bytes::new(&bytes))
    }
}

impl From<Tie> for Vec<u8> {
    fn from(tie: Tie) -> Self {
        tie.0.with(<[u8]>::to_vec)
    }
}

impl fmt::Debug for Tie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.with(|bytes| write!(f, "Tie({})", bytes.escape_ascii()))
    }
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

    fn ids() -> impl Strategy<Value = Id> {
        prop_oneof![
            texts().prop_map(|text| Id::Text(text.into())),
            any::<u64>().prop_map(Id::Content),
        ]
    }

    proptest! {
        #[test]
        fn ties_are_ordered_as_what_they_encode(
            one in (texts(), sequences(), ids()),
            other in (texts(), sequences(), ids()),
        ) {
            let tie = |(source, sequence, id): &(String, Sequence, Id)| {
                let tie = Tie::new(source, sequence, id);
                prop_assert_eq!(Vec::from(tie.clone()), Tie::long(source, sequence, id));
                Ok(tie)
            };
            let (one_tie, other_tie) = (tie(&one)?, tie(&other)?);
            if let (Id::Text(_), Id::Text(_)) | (Id::Content(_), Id::Content(_)) = (&one.2, &other.2) {
                prop_assert_eq!(one_tie.cmp(&other_tie), one.cmp(&other));
            }
            prop_assert_eq!(&one_tie, &Tie::from(Vec::from(one_tie.clone())));
        }
    }
}
