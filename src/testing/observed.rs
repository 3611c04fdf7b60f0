//! The rule file of a case whose input is series: the same rules on signals that observe what the
//! test says, in the place of what the conditions make of records.
//!
//! Records of a series are CloudEvents. What the test says of each stands in their data under
//! [`SAID`]: the signal, the state, labels and the reading. Rules see the rest of the data as ever.
//! Whatever else signals have is left as it is, and so are the conditions of a state where a reading
//! without state is to be judged: the reading stands where the signal takes its value from.

use smol_str::SmolStr;

use crate::rules::yaml::{Node, Value};
use crate::rules::{Attribute, Rules, Signal};

/// What a test says of a record stands here in its data.
pub(super) const SAID: &str = "limbeck";

/// A rule file within a test file, with what may be left out there: the version, and the conditions
/// of states where a signal is a list of them.
pub(super) fn completed(file: &Node) -> Node {
    let mut file = file.clone();
    let Value::Map(entries) = &mut file.value else { return file };
    for (key, signals) in entries.iter_mut() {
        let (Some("signals"), Value::Map(signals)) = (key.text(), &mut signals.value) else {
            continue;
        };
        for (_, signal) in signals {
            let Value::Seq(states) = &signal.value else { continue };
            let state = |state: &Node| {
                let condition = format!("data.state == {}", quoted(state.text().unwrap_or("")));
                (state.clone(), scalar(&condition, state))
            };
            let states = Node {
                span: signal.span.clone(),
                value: Value::Map(states.iter().map(state).collect()),
            };
            signal.value = Value::Map(vec![(scalar("states", signal), states)]);
        }
    }
    if !entries.iter().any(|(key, _)| key.text() == Some("version")) {
        let at = Node { span: file.span.start..file.span.start, value: Value::Invalid };
        entries.push((scalar("version", &at), scalar("1", &at)));
    }
    file
}

/// The rule file for series. `rules` is what it was read to.
pub(super) fn for_series(file: &Node, rules: &Rules) -> Node {
    let mut file = file.clone();
    let Value::Map(entries) = &mut file.value else { return file };
    entries.retain(|(key, _)| key.text() != Some("sources"));
    let silences = entries.iter_mut().find(|(key, _)| key.text() == Some("silences"));
    if let Some((_, Node { value: Value::Map(silences), .. })) = silences {
        silences.iter_mut().for_each(|(key, silence)| hear_nothing(key, silence));
    }
    let signals = entries.iter_mut().find(|(key, _)| key.text() == Some("signals"));
    let Some((_, Node { value: Value::Map(signals), .. })) = signals else { return file };
    for (key, node) in signals {
        let signal = rules.signals.iter().find(|signal| Some(&*signal.name) == key.text());
        if let (Some(signal), Value::Map(fields)) = (signal, &mut node.value) {
            let takes_readings = reading_keys(rules, signal).is_some();
            fields.retain(|(field, _)| !matches!(field.text(), Some("from" | "where")));
            let is_it = format!("data.{SAID}.signal == {}", quoted(&signal.name));
            fields.push((scalar("where", key), scalar(&is_it, key)));
            for (field, node) in fields {
                observe(field, node, takes_readings);
            }
        }
    }
    file
}

/// No record of a series tells of a silence.
fn hear_nothing(key: &Node, silence: &mut Node) {
    let Value::Map(fields) = &mut silence.value else { return };
    for (field, events) in fields {
        if let (Some("events"), Value::Map(events)) = (field.text(), &mut events.value) {
            events.retain(|(field, _)| !matches!(field.text(), Some("from" | "where")));
            events.push((scalar("where", key), scalar("false", key)));
        }
    }
}

/// What a field of a signal is for series.
fn observe(field: &Node, node: &mut Node, takes_readings: bool) {
    match (field.text(), &mut node.value) {
        (Some("labels"), Value::Map(labels)) => {
            for (name, from) in labels {
                *from = said(&format!("labels.{}", name.text().unwrap_or_default()), from);
            }
        }
        (Some("value"), _) => *node = said("value", node),
        (Some("states"), Value::Map(states)) => {
            for (state, condition) in states {
                let own = condition.text().filter(|_| takes_readings);
                let is_it =
                    format!("data.{SAID}.state == {}", quoted(state.text().unwrap_or_default()));
                let text = match own {
                    Some(own) => format!("has(data.{SAID}.state) ? {is_it} : ({own})"),
                    None => is_it,
                };
                *condition = scalar(&text, condition);
            }
        }
        _ => {}
    }
}

/// `{ field: limbeck.NAME }`.
fn said(name: &str, at: &Node) -> Node {
    let entry = (scalar("field", at), scalar(&format!("{SAID}.{name}"), at));
    Node { span: at.span.clone(), value: Value::Map(vec![entry]) }
}

/// A scalar in the place of another node.
fn scalar(text: &str, at: &Node) -> Node {
    let value = Value::Scalar { text: text.to_owned(), plain: false };
    Node { span: at.span.clone(), value }
}

/// A text as CEL writes it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Where in its data the reading of a signal stands, if that is a place.
pub(super) fn reading_keys<'r>(rules: &'r Rules, signal: &Signal) -> Option<&'r [SmolStr]> {
    let slot = signal.value.as_ref()?.slot()?;
    match &rules.paths.as_slice()[slot] {
        Attribute::Data(keys) if !keys.is_empty() => Some(keys),
        _ => None,
    }
}
