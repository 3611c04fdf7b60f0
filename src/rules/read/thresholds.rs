//! Thresholds: what rules ask of readings.

use std::ops::Range;

use limbeck_operators::machines::smoothing::Smoothing;
use limbeck_operators::machines::threshold::{Bound, Thresholds};

use super::super::stages::{ABOVE, BELOW};
use super::super::yaml::{Node, Value};
use super::{Reader, SECOND_NS, fields};
use crate::rules::fields::Fields;

pub(in crate::rules) const SMOOTH_FIELDS: [&str; 3] = ["half_life", "median", "rate"];
/// In a mapping, by threshold.
pub(in crate::rules) const RECOVER_FIELDS: [&str; 2] = [ABOVE, BELOW];

/// Where a signal has readings alone, and the rule its name.
pub(super) struct Places<'s> {
    /// Whether it does, if that is known.
    pub(super) measured: Option<bool>,
    pub(super) name: &'s Range<usize>,
}

impl Reader<'_> {
    /// What a rule asks of the readings of its signal; nothing if that has states.
    pub(super) fn thresholds(
        &mut self,
        fields: &Fields<'_>,
        places: &Places<'_>,
    ) -> Option<Option<Thresholds>> {
        let asks = [ABOVE, BELOW].into_iter().find_map(|name| fields.get(name));
        for name in ["recover", "smooth"] {
            if let (None, Some(node)) = (asks, fields.get(name)) {
                let message = format!("`{name}` is of a threshold, and there is none");
                self.problems.error_help(&node.span, message, "add `above: 0.9`, or `below`");
            }
        }
        match (places.measured, asks) {
            (Some(true), None) => {
                let message = "the signal has readings, and the rule asks nothing of them";
                let help = "add `above: 0.9` or `below`, or give the signal `states`";
                self.problems.error_help(places.name, message, help);
                return None;
            }
            (Some(false), Some(node)) => {
                let message = "the signal has `states`, which say what its records are";
                let help = "a threshold is for a signal with `value` and without `states`";
                self.problems.error_help(&node.span, message, help);
                return None;
            }
            (_, None) => return Some(None),
            (_, Some(_)) => {}
        }
        let smoothing = match fields.get("smooth") {
            Some(node) => self.smoothing(node).map(Some),
            None => Some(None),
        };
        let recovers = self.recovers(fields);
        let [above_at, below_at] = recovers.unwrap_or_default();
        let above = self.bound(fields, (ABOVE, above_at), |recover, at| recover <= at);
        let below = self.bound(fields, (BELOW, below_at), |recover, at| recover >= at);
        recovers?;
        let (smoothing, above, below) = (smoothing?, above?, below?);
        if let (Some(above), Some(below), Some(node)) = (above, below, fields.get(BELOW))
            && below.at >= above.at
        {
            let (below, above) = (below.at, above.at);
            let message = format!("`below`, {below}, is not less than `above`, {above}");
            let help = "nothing would be normal: lower it, or raise the other";
            self.problems.error_help(&node.span, message, help);
        }
        Some(Some(Thresholds { smoothing, above, below }))
    }

    /// Where the upper and the lower threshold recover, as far as that is given.
    fn recovers<'n>(&mut self, fields: &Fields<'n>) -> Option<[Option<&'n Node>; 2]> {
        let Some(node) = fields.get("recover") else { return Some([None; 2]) };
        let given = RECOVER_FIELDS.map(|name| fields.get(name).is_some());
        if matches!(node.value, Value::Map(_)) {
            let by = Fields::open(node, &node.span, "`recover`", &RECOVER_FIELDS, self.problems)?;
            for (name, _) in RECOVER_FIELDS.iter().zip(given).filter(|(_, is)| !is) {
                if let Some(node) = by.get(name) {
                    let message = format!("there is no threshold `{name}` to recover from");
                    let help = format!("add `{name}: 0.9`, or remove it");
                    self.problems.error_help(&node.span, message, help);
                }
            }
            return Some(RECOVER_FIELDS.map(|name| by.get(name)));
        }
        if given == [true; 2] {
            let message = "two thresholds need two recoveries";
            let help = "write `recover: { above: 0.7, below: 0.2 }`";
            self.problems.error_help(&node.span, message, help);
            return None;
        }
        Some(given.map(|is| is.then_some(node)))
    }

    /// A threshold, if there is such a one, with where it recovers.
    fn bound(
        &mut self,
        fields: &Fields<'_>,
        (name, recovers): (&str, Option<&Node>),
        is_right: fn(f64, f64) -> bool,
    ) -> Option<Option<Bound>> {
        let Some(node) = fields.get(name) else { return Some(None) };
        let at = fields::finite(node, &format!("`{name}`"), self.problems);
        let recover = match recovers {
            Some(node) => fields::finite(node, "`recover`", self.problems),
            None => at,
        };
        let Bound { at, recover } = Bound { at: at?, recover: recover? };
        if let (Some(node), false) = (recovers, is_right(recover, at)) {
            let message = format!("what is {name} {at} would have recovered at {recover}");
            let help = match name {
                ABOVE => "`recover` is not above its threshold: lower it",
                _ => "`recover` is not below its threshold: raise it",
            };
            self.problems.error_help(&node.span, message, help);
        }
        Some(Some(Bound { at, recover }))
    }

    fn smoothing(&mut self, node: &Node) -> Option<Smoothing> {
        let fields = Fields::open(node, &node.span, "`smooth`", &SMOOTH_FIELDS, self.problems)?;
        let given: Vec<_> =
            SMOOTH_FIELDS.iter().filter_map(|name| Some((*name, fields.get(name)?))).collect();
        let [(name, node)] = given[..] else {
            let message = "`smooth` is one of `half_life`, `median` and `rate`";
            self.problems.error_help(&node.span, message, "write `smooth: { median: 5m }`");
            return None;
        };
        let nothing = format!("`{name}` must be above zero: there is nothing to smooth");
        let over = self.above_zero(node, &format!("`{name}`"), &nothing)?;
        Some(match name {
            "half_life" => Smoothing::Mean { half_life: over },
            "median" => Smoothing::Median { over },
            _ => Smoothing::Rate { over, per: SECOND_NS },
        })
    }
}
