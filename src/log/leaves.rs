//! A record taken apart into its leaves: the values that are no objects, each under its path.
//!
//! Guarantees: of repeated keys the first counts; what no value holds exactly (nulls, arrays, empty
//! objects, numbers beyond 64 bits, half a surrogate pair) is a leaf of its own text, from which a
//! parser makes what it makes of the whole. State: the paths that have been met.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use limbeck_operators::hash::FixedState;
use smol_str::SmolStr;

use super::form::written;
use crate::sources::decode::Members;

/// Objects that are nested more deeply are leaves.
const DEPTH_MAX: usize = 24;

/// The paths of a segment's leaves, numbered as they come; 0 is the record itself.
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// The records so far.
    record: u64,
}

#[derive(Default)]
struct Node {
    parent: usize,
    key: SmolStr,
    children: HashMap<SmolStr, usize, FixedState>,
    /// The last record that had it.
    record: u64,
}

/// A value that is no object, or one that is kept as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Bool(bool),
    Int(i64),
    /// With the text it was read from: that of the number alone may be read as its neighbour.
    Float(f64, Cow<'a, str>),
    Str(Cow<'a, str>),
    Raw(Cow<'a, str>),
}

/// A leaf of a record.
#[derive(Debug)]
pub(super) struct Leaf<'a> {
    /// The number of its path.
    pub(super) path: usize,
    pub(super) value: Value<'a>,
    /// What of the line is its text, if it stands there as it is.
    pub(super) text: Option<&'a str>,
}

impl Leaf<'_> {
    /// The same by itself; a line can no more be put together of it.
    pub(super) fn to_owned(&self) -> Leaf<'static> {
        let own = |text: &Cow<'_, str>| Cow::Owned(text.clone().into_owned());
        let value = match &self.value {
            Value::Bool(value) => Value::Bool(*value),
            Value::Int(number) => Value::Int(*number),
            Value::Float(number, text) => Value::Float(*number, own(text)),
            Value::Str(text) => Value::Str(own(text)),
            Value::Raw(text) => Value::Raw(own(text)),
        };
        Leaf { path: self.path, value, text: None }
    }
}

impl Value<'_> {
    /// As it stands in a line of JSON, or of other text.
    pub(super) fn text(&self, json: bool) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Self::Int(number) => Cow::Owned(number.to_string()),
            Self::Float(number, _) => Cow::Owned(number.to_string()),
            Self::Str(text) => written(Cow::Borrowed(text), json),
            Self::Raw(_) => return None,
        })
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()], record: 0 }
    }

    /// Begins a record.
    pub(super) fn begin(&mut self) {
        self.record += 1;
    }

    /// The keys of a path, outermost first.
    pub(super) fn keys(&self, path: usize) -> Vec<SmolStr> {
        let mut keys = Vec::new();
        let mut at = path;
        while at != 0 {
            keys.push(self.nodes[at].key.clone());
            at = self.nodes[at].parent;
        }
        keys.reverse();
        keys
    }

    /// The path of these keys, outermost first.
    pub(super) fn path(&mut self, keys: &[SmolStr]) -> usize {
        keys.iter().fold(0, |at, key| self.below(at, key))
    }

    /// A path below another.
    fn below(&mut self, parent: usize, key: &str) -> usize {
        if let Some(known) = self.nodes[parent].children.get(key) {
            return *known;
        }
        let number = self.nodes.len();
        let key = SmolStr::new(key);
        self.nodes.push(Node { parent, key: key.clone(), ..Node::default() });
        self.nodes[parent].children.insert(key, number);
        number
    }

    /// Whether a path is met for the first time in this record.
    fn first(&mut self, path: usize) -> bool {
        std::mem::replace(&mut self.nodes[path].record, self.record) != self.record
    }

    /// Adds a field of a record without depth.
    pub(super) fn field<'a>(&mut self, name: &str, text: Cow<'a, str>, leaves: &mut Vec<Leaf<'a>>) {
        let path = self.below(0, name);
        if self.first(path) {
            let stands = match &text {
                Cow::Borrowed(text) => Some(*text),
                Cow::Owned(_) => None,
            };
            leaves.push(Leaf { path, value: Value::Str(text), text: stands });
        }
    }

    /// Takes the JSON of an object apart.
    pub(super) fn take_apart<'a>(&mut self, json: &'a str, leaves: &mut Vec<Leaf<'a>>) {
        self.object(json, 0, 0, leaves);
    }

    /// Takes a value apart that stands at a path.
    pub(super) fn take_apart_at<'a>(
        &mut self,
        keys: &[SmolStr],
        json: &'a str,
        leaves: &mut Vec<Leaf<'a>>,
    ) {
        let path = self.path(keys);
        self.value(json, path, keys.len(), leaves);
    }

    fn object<'a>(&mut self, json: &'a str, at: usize, depth: usize, leaves: &mut Vec<Leaf<'a>>) {
        let members = match depth < DEPTH_MAX {
            true => serde_json::from_str::<Members<'a>>(json).ok(),
            false => None,
        };
        let Some(Members(members)) = members.filter(|Members(members)| !members.is_empty()) else {
            leaves.push(Leaf { path: at, value: Value::Raw(Cow::Borrowed(json)), text: None });
            return;
        };
        for (key, value) in members {
            let path = self.below(at, &key);
            if !self.first(path) {
                continue;
            }
            self.value(value.get(), path, depth + 1, leaves);
        }
    }

    fn value<'a>(&mut self, json: &'a str, path: usize, depth: usize, leaves: &mut Vec<Leaf<'a>>) {
        if json.starts_with('{') {
            return self.object(json, path, depth, leaves);
        }
        let (value, text) = read(json);
        leaves.push(Leaf { path, value, text });
    }
}

/// Reads a value that is no object, and what of its text a line can be put together of.
fn read(json: &str) -> (Value<'_>, Option<&str>) {
    let raw = (Value::Raw(Cow::Borrowed(json)), None);
    match json.as_bytes().first() {
        Some(b't') => (Value::Bool(true), Some(json)),
        Some(b'f') => (Value::Bool(false), Some(json)),
        Some(b'"') if !json.contains('\\') => {
            let text = &json[1..json.len() - 1];
            (Value::Str(Cow::Borrowed(text)), Some(text))
        }
        Some(b'"') => match serde_json::from_str::<String>(json) {
            Ok(text) => {
                let inner = &json[1..json.len() - 1];
                let same = written(Cow::Borrowed(&text), true) == inner;
                (Value::Str(Cow::Owned(text)), Some(inner).filter(|_| same))
            }
            Err(_) => raw,
        },
        Some(b'-' | b'0'..=b'9') => match serde_json::from_str::<serde_json::Number>(json) {
            Ok(number) => match (number.as_i64(), number.is_f64(), number.as_f64()) {
                (Some(number), ..) => (Value::Int(number), Some(json)),
                (None, true, Some(number)) => {
                    let same = number.to_string() == json;
                    (Value::Float(number, Cow::Borrowed(json)), Some(json).filter(|_| same))
                }
                _ => raw,
            },
            Err(_) => raw,
        },
        _ => raw,
    }
}

/// Where a part of a line stands in it.
pub(super) fn place(line: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(line.as_ptr() as usize);
    start..start.wrapping_add(part.len())
}

/// Puts leaves together again as the text of an object; their paths are sorted.
pub(super) fn put_together<'t>(leaves: &[(Vec<SmolStr>, Cow<'t, str>)]) -> String {
    let mut text = String::new();
    push_object(&mut text, leaves, 0);
    text
}

fn push_object(text: &mut String, leaves: &[(Vec<SmolStr>, Cow<'_, str>)], depth: usize) {
    if let [(keys, value)] = leaves
        && keys.len() == depth
    {
        text.push_str(value);
        return;
    }
    text.push('{');
    let groups = leaves.chunk_by(|one, other| one.0.get(depth) == other.0.get(depth));
    for (number, group) in groups.enumerate() {
        if number > 0 {
            text.push(',');
        }
        let key = group[0].0.get(depth).map_or("", SmolStr::as_str);
        text.push_str(&serde_json::to_string(key).expect("a text encodes"));
        text.push(':');
        push_object(text, group, depth + 1);
    }
    text.push('}');
}
