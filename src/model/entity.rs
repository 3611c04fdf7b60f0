//! The name of an entity as it flows.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use super::bytes::Bytes;

/// The name of an entity, ordered as its bytes are: small, since it travels with every record and is looked
/// up for each.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity(Bytes);

impl Entity {
    /// An entity of this name.
    #[inline(always)]
    pub fn new(name: &str) -> Self {
        Self(Bytes::new(name.as_bytes()))
    }

    /// Its name.
    pub fn name(&self) -> SmolStr {
        self.with(|name| SmolStr::new(name))
    }

    fn with<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        self.0.with(|bytes| read(std::str::from_utf8(bytes).expect("made of a text")))
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
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_entity_is_its_name(name in "[a\u{0}é]{0,30}") {
            let entity = Entity::new(&name);
            prop_assert_eq!(entity.name(), name.as_str());
            let bytes = postcard::to_stdvec(&entity).expect("a text");
            prop_assert_eq!(&bytes, &postcard::to_stdvec(&name).expect("a text"));
            prop_assert_eq!(postcard::from_bytes::<Entity>(&bytes).expect("the same"), entity);
        }
    }
}
