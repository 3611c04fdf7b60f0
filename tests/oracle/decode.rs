//! One line to one record, exactly as the contract says what is readable.

use std::collections::BTreeSet;
use std::fmt;

use limbeck::model::time::parse_rfc3339;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The attributes that make a record a dead letter when repeated.
const ATTRIBUTES: [&str; 8] =
    ["id", "source", "type", "subject", "time", "recordedtime", "sequence", "data"];

/// Absent first, then digits by value, then other text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    Absent,
    /// How many digits, then which; without leading zeros.
    Digits(usize, String),
    Text(String),
}

/// A readable record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) source: String,
    pub(crate) id: String,
    /// Absent also where it is empty or no string.
    pub(crate) subject: Option<String>,
    pub(crate) event_time: i64,
    pub(crate) recorded_time: Option<i64>,
    pub(crate) sequence: Order,
    /// All of it; the first of a repeated key counts.
    pub(crate) json: Value,
    /// What must be equal in duplicates for them not to conflict: the bytes as written, but for
    /// white space around the record and the text of `recordedtime`.
    pub(crate) content: String,
}

/// Whether a line holds nothing at all: JSON's white space only.
pub(crate) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

/// Reads a line, or says why it is a dead letter.
pub(crate) fn decode(line: &[u8]) -> Result<Record, String> {
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    let Members(members) = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut seen = BTreeSet::new();
    let mut json = Map::new();
    for (key, FirstWins(value)) in members {
        if !seen.insert(key.clone()) && ATTRIBUTES.contains(&key.as_str()) {
            return Err(format!("{key} is repeated"));
        }
        json.entry(key).or_insert(value);
    }
    let string = |key: &str| match json.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => Err(format!("{key} is not a string")),
    };
    let time = |key: &str| parse_rfc3339(&string(key)?).map_err(|why| format!("{key}: {why:?}"));
    string("type")?;
    Ok(Record {
        source: string("source")?,
        id: string("id")?,
        subject: string("subject").ok().filter(|subject| !subject.is_empty()),
        event_time: time("time")?,
        // A null attribute of a CloudEvent is an absent one.
        recorded_time: match json.get("recordedtime") {
            None | Some(Value::Null) => None,
            Some(_) => Some(time("recordedtime")?),
        },
        sequence: match json.get("sequence") {
            Some(Value::String(text)) => order(text),
            Some(Value::Number(number)) if number.is_u64() => order(&number.to_string()),
            _ => Order::Absent,
        },
        json: Value::Object(json),
        content: without_recorded_time(text.trim_matches([' ', '\t', '\r'])),
    })
}

/// A readable record without the text that its `recordedtime` is, if it is one.
fn without_recorded_time(record: &str) -> String {
    let (mut depth, mut at) = (0, 0);
    while let Some(byte) = record.as_bytes().get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'"' => {
                let end = end_of_string(record, at + 1);
                let value = record[end + 1..].trim_start().strip_prefix(':').map(str::trim_start);
                let text = value.and_then(|value| value.strip_prefix('"'));
                match text {
                    Some(text) if depth == 1 && &record[at + 1..end] == "recordedtime" => {
                        let start = record.len() - text.len();
                        let end = end_of_string(record, start);
                        return [&record[..start], &record[end..]].concat();
                    }
                    _ => at = end,
                }
            }
            _ => {}
        }
        at += 1;
    }
    record.to_owned()
}

/// Where the quote is that ends the string which starts here.
fn end_of_string(record: &str, start: usize) -> usize {
    let mut escaped = false;
    let end = record[start..].find(|letter| {
        let ends = letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
        ends
    });
    start + end.expect("a record is valid JSON")
}

fn order(text: &str) -> Order {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Order::Text(text.to_owned());
    }
    let digits = text.trim_start_matches('0');
    Order::Digits(digits.len(), digits.to_owned())
}

/// The members of an object in the order written, repeats and all.
struct Members(Vec<(String, FirstWins)>);

/// A JSON value in which the first of a repeated key counts; `Value` itself keeps the last.
struct FirstWins(Value);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

impl<'de> Deserialize<'de> for FirstWins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FirstWinsVisitor).map(FirstWins)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

struct FirstWinsVisitor;

impl<'de> Visitor<'de> for FirstWinsVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(FirstWins(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, FirstWins(value))) = map.next_entry::<String, FirstWins>()? {
            object.entry(key).or_insert(value);
        }
        Ok(Value::Object(object))
    }
}
