//! The name of an entity as it flows: in words.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

/// The name of an entity, ordered as its bytes are.
///
/// Names travel with every record, and are looked up for each. One of up to 23 bytes is kept, hashed and
/// compared in three words; a longer one is shared. There is no smaller part than a word: one that is
/// written part by part and then copied as a whole has to wait for the memory.
#[derive(Clone)]
pub struct Entity(Name);

const SHORT_BYTES_MAX: usize = 23;

#[derive(Clone)]
enum Name {
    /// The bytes, the first of each word lowest, zero behind their end; above the last of them one more
    /// than their number.
    Short(u64, u64, NonZeroU64),
    Long(Arc<str>),
}

/// Where their number stands in the last word.
const LEN_SHIFT: u32 = 56;

impl Entity {
    /// An entity of this name.
    #[inline(always)]
    pub fn new(name: &str) -> Self {
        let bytes = name.as_bytes();
        let (first, second, rest) = words(bytes);
        let len = (bytes.len() as u64 + 1) << LEN_SHIFT;
        match NonZeroU64::new(rest | len) {
            Some(rest) if bytes.len() <= SHORT_BYTES_MAX => Self(Name::Short(first, second, rest)),
            _ => Self(Name::Long(name.into())),
        }
    }

    /// Its name.
    pub fn name(&self) -> SmolStr {
        self.with(|name| SmolStr::new(name))
    }

    fn with<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        match &self.0 {
            Name::Short(first, second, rest) => {
                let words = [*first, *second, rest.get()].map(u64::to_le_bytes);
                let len = usize::from(words[2][7]) - 1;
                read(std::str::from_utf8(&words.as_flattened()[..len]).expect("made of a text"))
            }
            Name::Long(name) => read(name),
        }
    }
}

/// Up to 23 bytes in words, without a byte being looked at alone where there are eight; of more bytes
/// these are any words.
#[inline(always)]
fn words(bytes: &[u8]) -> (u64, u64, u64) {
    let last = |from: usize| {
        // The last eight bytes, those before `from` shifted out.
        let (word, bits) =
            (bytes.last_chunk().copied().unwrap_or_default(), 8 * (bytes.len() - from));
        u64::from_le_bytes(word).checked_shr(64_u32.wrapping_sub(bits as u32)).unwrap_or(0)
    };
    match (bytes.first_chunk().copied().map(u64::from_le_bytes), bytes.get(8..16)) {
        (Some(first), Some(second)) => {
            let second = second.first_chunk().copied().map_or(0, u64::from_le_bytes);
            (first, second, last(16))
        }
        (Some(first), None) => (first, last(8), 0),
        (None, _) => (bytes.iter().rfold(0, |word, byte| word << 8 | u64::from(*byte)), 0, 0),
    }
}

impl PartialEq for Entity {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Name::Short(first, second, rest), Name::Short(a, b, c)) => {
                (first ^ a) | (second ^ b) | (rest.get() ^ c.get()) == 0
            }
            (Name::Long(one), Name::Long(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for Entity {}

impl Hash for Entity {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Name::Short(first, second, rest) => {
                state.write_u64(*first);
                state.write_u64(*second);
                state.write_u64(rest.get());
            }
            Name::Long(name) => name.hash(state),
        }
    }
}

impl Ord for Entity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.with(|one| other.with(|other| one.cmp(other)))
    }
}

impl PartialOrd for Entity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with(|name| write!(f, "{name:?}"))
    }
}

impl Serialize for Entity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with(|name| serializer.serialize_str(name))
    }
}

impl<'de> Deserialize<'de> for Entity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SmolStr::deserialize(deserializer).map(|name| Self::new(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limbeck_operators::hash::fixed_hash;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_entity_is_its_name(one in "[a\u{0}é]{0,30}", other in "[a\u{0}é]{0,30}") {
            let (a, b) = (Entity::new(&one), Entity::new(&other));
            prop_assert_eq!(a.name(), one.as_str());
            prop_assert_eq!(a.cmp(&b), one.cmp(&other));
            prop_assert_eq!(a == b, one == other);
            prop_assert_eq!(fixed_hash(&a) == fixed_hash(&b), one == other);
            let bytes = postcard::to_stdvec(&a).expect("a text");
            prop_assert_eq!(&bytes, &postcard::to_stdvec(&one).expect("a text"));
            prop_assert_eq!(postcard::from_bytes::<Entity>(&bytes).expect("the same"), a);
        }
    }
}
