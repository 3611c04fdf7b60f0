//! One pass over a line of JSON: the wanted values are captured, the rest is checked and skipped.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::layout::{Exploded, Node};
use crate::model::Scalar;

/// What a walk leaves behind.
#[derive(Debug, Default)]
pub(super) struct Captured<'a> {
    /// By capture number.
    pub(super) values: Vec<Scalar<'a>>,
    /// Which nodes have been met: among equal keys the first counts.
    met: Vec<bool>,
}

impl<'a> Captured<'a> {
    /// Walks one line.
    pub(super) fn walk(
        &mut self,
        line: &'a str,
        nodes: &[Node],
        captures: usize,
    ) -> Result<(), serde_json::Error> {
        self.clear(captures);
        self.met.clear();
        self.met.resize(nodes.len(), false);
        let mut json = serde_json::Deserializer::from_str(line);
        json.deserialize_map(Object { nodes, at: 0, captured: self })?;
        json.end()
    }

    /// Walks one element of an array whose line has been walked, in the place of those before.
    pub(super) fn walk_element(
        &mut self,
        element: &'a str,
        nodes: &[Node],
        exploded: &Exploded,
    ) -> Result<(), serde_json::Error> {
        exploded.nodes.iter().for_each(|node| self.met[*node] = false);
        exploded.captures.iter().for_each(|capture| self.values[*capture] = Scalar::Missing);
        let mut json = serde_json::Deserializer::from_str(element);
        Value(Object { nodes, at: exploded.node, captured: self }).deserialize(&mut json)
    }

    /// Forgets the last line.
    #[inline]
    pub(super) fn clear(&mut self, captures: usize) {
        self.values.truncate(captures);
        self.values.fill_with(Scalar::default);
        self.values.resize_with(captures, Scalar::default);
    }
}

/// Reads an object whose keys are the children of a node.
pub(super) struct Object<'n, 'c, 'a> {
    pub(super) nodes: &'n [Node],
    pub(super) at: usize,
    pub(super) captured: &'c mut Captured<'a>,
}

impl<'a> Object<'_, '_, 'a> {
    fn read<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(child) = map.next_key_seed(Child(&self.nodes[self.at]))? {
            let Some(at) = child else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if std::mem::replace(&mut self.captured.met[at], true) {
                if self.nodes[at].unique {
                    let parent = &self.nodes[self.at].children;
                    let name = parent.iter().find(|(_, node)| *node == at).map(|(key, _)| key);
                    let name = name.map_or("", |name| name.as_str());
                    return Err(A::Error::custom(format!("`{name}` is repeated")));
                }
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let captured = &mut *self.captured;
            map.next_value_seed(Value(Object { nodes: self.nodes, at, captured }))?;
        }
        Ok(())
    }
}

impl<'a> Visitor<'a> for Object<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<(), A::Error> {
        self.read(map)
    }
}

/// Reads a key: which child it names, if one.
struct Child<'n>(&'n Node);

impl<'a> DeserializeSeed<'a> for Child<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Child<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.children.iter().find(|(child, _)| child == key).map(|(_, node)| *node))
    }
}

/// Reads the value of a node, whatever it is.
pub(super) struct Value<'n, 'c, 'a>(pub(super) Object<'n, 'c, 'a>);

impl<'a> Value<'_, '_, 'a> {
    fn capture<E>(self, value: Scalar<'a>) -> Result<(), E> {
        if let Some(capture) = self.0.nodes[self.0.at].capture {
            self.0.captured.values[capture] = value;
        }
        Ok(())
    }
}

impl<'a> DeserializeSeed<'a> for Value<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Value<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.capture(Scalar::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.capture(Scalar::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.capture(Scalar::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.capture(i64::try_from(value).map_or(Scalar::UInt(value), Scalar::Int))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.capture(Scalar::Float(value))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'a str) -> Result<(), E> {
        self.capture(Scalar::Str(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.capture(Scalar::Str(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.capture(Scalar::Composite)
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<(), A::Error> {
        let Object { nodes, at, captured } = self.0;
        Object { nodes, at, captured: &mut *captured }.read(map)?;
        Value(Object { nodes, at, captured }).capture(Scalar::Composite)
    }
}
