//! JSON as a value, for conditions that look at all of it.
//!
//! Guarantees: whatever is valid has a value, and of equal keys the first counts. What no value can
//! hold is empty in it: half of a surrogate pair, a number beyond all doubles, what is nested too
//! deeply, and the object that has such a key. State: nothing.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Where what is nested in each other ends if it has to be taken apart.
const DEPTH_MAX: usize = 128;

/// A valid text as a value.
pub(crate) fn value(text: &str) -> Value {
    serde_json::from_str(text).map_or_else(|_| in_parts(text, DEPTH_MAX), |Whole(value)| value)
}

/// As much as can be had of a text that is not to be had as a whole.
fn in_parts(text: &str, depth_max: usize) -> Value {
    let part = |part: &RawValue| match depth_max {
        0 => empty(part.get()),
        _ => in_parts(part.get(), depth_max - 1),
    };
    let text = text.trim_start();
    let parts = match text.as_bytes().first() {
        Some(b'{') => serde_json::from_str(text).ok().map(|Members(members)| {
            let members = members.into_iter();
            let members = members.map(|(key, member)| (key.into_owned(), part(member)));
            first_wins(members)
        }),
        Some(b'[') => serde_json::from_str(text)
            .ok()
            .map(|items: Vec<&RawValue>| items.into_iter().map(part).collect()),
        _ => serde_json::from_str(text).ok(),
    };
    parts.unwrap_or_else(|| empty(text))
}

/// What stands for something that cannot be shown.
fn empty(text: &str) -> Value {
    match text.trim_start().as_bytes().first() {
        Some(b'{') => Map::new().into(),
        Some(b'[') => Vec::<Value>::new().into(),
        _ => Value::Null,
    }
}

fn first_wins(members: impl IntoIterator<Item = (String, Value)>) -> Value {
    let mut object = Map::new();
    for (key, value) in members {
        object.entry(key).or_insert(value);
    }
    object.into()
}

/// A value at once.
struct Whole(Value);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor).map(Self)
    }
}

struct WholeVisitor;

impl<'de> Visitor<'de> for WholeVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Whole(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Whole(value))) = map.next_entry()? {
            object.entry::<String>(key).or_insert(value);
        }
        Ok(object.into())
    }
}

/// The members of an object as they are written, repeated ones too.
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

/// A key, borrowed where it stands as it is.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((Key(key), member)) = map.next_entry()? {
            members.push((key, member));
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whatever_is_valid_has_a_value() {
        for (text, wanted) in [
            (r#"{"a":1,"a":2,"b":[1.5,null]}"#, json!({"a":1,"b":[1.5,null]})),
            (r#" {"a":1,"b":1e999,"a":2} "#, json!({"a":1,"b":null})),
            (r#"{"a":["x","\ud800",-1e999,"y"]}"#, json!({"a":["x",null,null,"y"]})),
            (r#"{"a":{"b":1,"\ud800":2},"c":[3]}"#, json!({"a":{},"c":[3]})),
            ("1e999", json!(null)),
        ] {
            assert_eq!(value(text), wanted, "{text}");
        }
        let deep = format!(r#"{{"a":{},"b":1}}"#, "[".repeat(200_000) + &"]".repeat(200_000));
        let shown = value(&deep);
        assert_eq!(shown["b"], 1);
        assert_eq!(shown.to_string().matches('[').count(), DEPTH_MAX + 1);
    }
}
