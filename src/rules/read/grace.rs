//! Grace: for how long, and after what, the faults of an entity wait.

use super::super::stages::{Grace, Marker};
use super::super::yaml::{Node, Value};
use super::{Named, ReadSignal, Reader, fields};
use crate::rules::fields::Fields;

pub(in crate::rules) const GRACE_FIELDS: [&str; 2] = ["for", "after"];
pub(in crate::rules) const MARKER_FIELDS: [&str; 2] = ["signal", "states"];
/// What a grace is after, beside markers.
pub(in crate::rules) const FIRST_SEEN: &str = "first_seen";

impl Reader<'_> {
    /// A grace: how long it is alone, or in a mapping.
    pub(super) fn grace(
        &mut self,
        node: &Node,
        signals: &[Named<'_, ReadSignal<'_>>],
        expire_after_ns: Option<i64>,
    ) -> Option<Grace> {
        let nothing = "`grace` must be above zero: no fault would wait";
        if !matches!(node.value, Value::Map(_)) {
            let for_ns = self.above_zero(node, "`grace`", nothing)?;
            return Some(Grace { for_ns, after_first: true, markers: Vec::new() });
        }
        let fields = Fields::open(node, &node.span, "`grace`", &GRACE_FIELDS, self.problems)?;
        let lasts = fields.require("for", "2m", self.problems);
        let for_ns = lasts.and_then(|node| self.above_zero(node, "`for`", nothing));
        let mut after_first = fields.get("after").is_none();
        let mut markers = Vec::new();
        let mut is_right = true;
        if let Some(node) = fields.get("after") {
            let items = match &node.value {
                Value::Seq(items) => items.as_slice(),
                _ => std::slice::from_ref(node),
            };
            if items.is_empty() {
                let message = "`after` is of nothing: no fault would wait";
                let help = format!("write `after: [{FIRST_SEEN}, {{ signal: NAME }}]`");
                self.problems.error_help(&node.span, message, help);
            }
            for item in items {
                if item.text() == Some(FIRST_SEEN) {
                    after_first = true;
                    continue;
                }
                match self.marker(item, signals) {
                    Some(marker) => markers.push(marker),
                    None => is_right = false,
                }
            }
        }
        let (Some(node), false) = (lasts, markers.is_empty()) else {
            return Some(Grace { for_ns: for_ns?, after_first, markers }).filter(|_| is_right);
        };
        if for_ns.zip(expire_after_ns).is_some_and(|(lasts, expires)| lasts >= expires) {
            let message = "an entity is forgotten before its grace is over";
            let help = "`for` must be below `expire_after`: lower it, or raise the other";
            self.problems.error_help(&node.span, message, help);
        }
        Some(Grace { for_ns: for_ns?, after_first, markers }).filter(|_| is_right)
    }

    /// What marks an entity.
    fn marker(&mut self, node: &Node, signals: &[Named<'_, ReadSignal<'_>>]) -> Option<Marker> {
        if !matches!(node.value, Value::Map(_) | Value::Invalid) {
            let text = node.text().unwrap_or_default();
            let message = format!("`after` is {FIRST_SEEN} or a signal, not `{text}`");
            let help = format!("write {FIRST_SEEN}, or {{ signal: NAME, states: [STATE] }}");
            self.problems.error_help(&node.span, message, help);
            return None;
        }
        let fields = Fields::open(node, &node.span, "a marker", &MARKER_FIELDS, self.problems)?;
        let signal = fields.require("signal", "NAME", self.problems)?;
        let signal = self.reference(signal, "signal", signals);
        let read = signal.and_then(|index| signals[index].value.as_ref());
        let Some(node) = fields.get("states") else {
            return Some(Marker { signal: signal?, states: Vec::new() });
        };
        let items = fields::items(node, "`states`", self.problems)?;
        if items.is_empty() {
            let help = "name some, or leave it out for all of them";
            self.problems.error_help(&node.span, "`states` names none", help);
        }
        if read.is_some_and(|read| read.measured == Some(true)) {
            let message = "the signal has readings, and no states";
            let help = "leave `states` out: each of its records is a marker";
            self.problems.error_help(&node.span, message, help);
            return None;
        }
        let known = read.and_then(|read| read.state_names.as_deref());
        let mut states = Vec::new();
        for item in items {
            let name = fields::text(item, "a state of a marker", self.problems);
            let (Some(known), Some(name)) = (known, name) else { continue };
            match known.iter().position(|state| *state == name) {
                Some(state) => states.push(state),
                None => self.problems.unknown(&item.span, "state", name, known),
            }
        }
        Some(Marker { signal: signal?, states })
    }
}
