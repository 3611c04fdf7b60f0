//! Pieces of JSON put together to records.
//!
//! Guarantee: a value that is taken over stays as it is written, but for white space between its
//! parts. State: nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Fault, valid_up_to};
use crate::model::time::push_rfc3339;
use crate::sources::decode::Members;

/// A text as JSON.
pub(super) fn string(text: &str) -> String {
    serde_json::to_string(text).expect("a text encodes")
}

/// Whether a value is JSON.
pub(super) fn check(bytes: &[u8]) -> Result<(), Fault> {
    let text = simdutf8::basic::from_utf8(bytes)
        .map_err(|_| Fault { at: valid_up_to(bytes), reason: "not valid UTF-8".to_owned() })?;
    read::<serde::de::IgnoredAny>(text, text).map(drop)
}

/// Reads a part of a text; the fault is placed in the text.
pub(super) fn read<'a, T: Deserialize<'a>>(text: &'a str, part: &'a str) -> Result<T, Fault> {
    serde_json::from_str(part).map_err(|error| {
        let mut lines = part.split_inclusive('\n');
        let before: usize = lines.by_ref().take(error.line().saturating_sub(1)).map(str::len).sum();
        let column = error.column().saturating_sub(1);
        let start = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or_default().to_owned();
        // A part of another text has no place in this one.
        let at = start.saturating_add(before + column);
        Fault { at: if start < text.len().max(1) { at.min(text.len()) } else { 0 }, reason }
    })
}

/// The members of an object, as they are written.
pub(super) fn members(text: &str) -> Result<Vec<(String, &str)>, Fault> {
    let Members(members) = read(text, text)?;
    let members = members.into_iter();
    Ok(members.map(|(key, value)| (key.into_owned(), value.get())).collect())
}

/// An object while it is written.
#[derive(Debug, Default)]
pub(super) struct Object {
    text: String,
}

impl Object {
    /// Adds a member of valid JSON.
    pub(super) fn add(&mut self, key: &str, json: &str) -> &mut Self {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        self.text.push_str(&string(key));
        self.text.push(':');
        push_compact(&mut self.text, json);
        self
    }

    pub(super) fn add_text(&mut self, key: &str, text: &str) -> &mut Self {
        self.add(key, &string(text))
    }

    /// Adds a time, as RFC 3339 writes it.
    pub(super) fn add_time(&mut self, key: &str, nanos: i64) -> &mut Self {
        let mut time = vec![b'"'];
        push_rfc3339(&mut time, nanos);
        time.push(b'"');
        self.add(key, str::from_utf8(&time).expect("digits and signs"))
    }

    /// Adds members that were written before.
    pub(super) fn add_members(&mut self, object: &str) -> &mut Self {
        let members = &object[1..object.len() - 1];
        if !members.is_empty() {
            self.text.push(if self.text.is_empty() { '{' } else { ',' });
            self.text.push_str(members);
        }
        self
    }

    pub(super) fn end(&mut self) -> String {
        if self.text.is_empty() {
            self.text.push('{');
        }
        self.text.push('}');
        std::mem::take(&mut self.text)
    }
}

/// Adds valid JSON without the white space between its parts.
fn push_compact(out: &mut String, json: &str) {
    let (mut kept, mut is_inside, mut is_escaped) = (0, false, false);
    for (at, byte) in json.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_inside = !is_inside,
            b' ' | b'\t' | b'\r' | b'\n' if !is_inside => {
                out.push_str(&json[kept..at]);
                kept = at + 1;
            }
            _ => {}
        }
    }
    out.push_str(&json[kept..]);
}

/// A number as it is written, if JSON has it so; `NaN`, `+Inf` and `-Inf`, and what is no number,
/// are texts.
pub(super) fn number(text: &str) -> String {
    if serde_json::from_str::<serde_json::Number>(text).is_ok() {
        return text.trim().to_owned();
    }
    match text.parse::<f64>() {
        Ok(f64::INFINITY) => string("+Inf"),
        Ok(f64::NEG_INFINITY) => string("-Inf"),
        Ok(number) if number.is_nan() => string("NaN"),
        Ok(number) => serde_json::to_string(&number).expect("a finite number encodes"),
        Err(_) => string(text),
    }
}

/// What a series is called: `name{label="value"}`, labels in their order; a name that is not of
/// letters, digits and `_` is in quotes, that of a metric within the braces:
/// `{"a.b",label="value"}`.
pub(super) fn series<'l>(
    name: &str,
    labels: impl IntoIterator<Item = (&'l str, &'l str)>,
) -> String {
    let mut series = String::new();
    let mut before = '{';
    if name.is_empty() || is_plain(name, true) {
        series.push_str(name);
    } else {
        series.push(before);
        push_quoted(&mut series, name);
        before = ',';
    }
    for (label, value) in labels.into_iter().collect::<BTreeMap<_, _>>() {
        series.push(before);
        match is_plain(label, false) {
            true => series.push_str(label),
            false => push_quoted(&mut series, label),
        }
        series.push('=');
        push_quoted(&mut series, value);
        before = ',';
    }
    if before == ',' {
        series.push('}');
    }
    series
}

/// Whether a name needs no quotes; one of a metric may have colons.
fn is_plain(name: &str, of_metric: bool) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || (of_metric && c == ':');
    name.chars().all(is_of_name)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Reads an object of texts, as labels are.
pub(super) fn labels(text: &str) -> Result<Vec<(String, String)>, Fault> {
    let labels = members(text)?.into_iter().map(|(label, value)| {
        let value = serde_json::from_str::<String>(value);
        let value = value.map_err(|_| Fault::new(format!("the label `{label}` is no text")))?;
        Ok((label, value))
    });
    labels.collect()
}

/// The text of a value, if it is one.
pub(super) fn text_of(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// The values of an array, as they are written.
pub(super) fn items(text: &str) -> Result<Vec<&str>, Fault> {
    let items: Vec<&RawValue> = read(text, text)?;
    Ok(items.into_iter().map(RawValue::get).collect())
}
