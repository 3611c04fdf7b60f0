//! Quorums: how many witnesses of an entity have to agree.

use limbeck_operators::machines::quorum::{Asks, WHOLE};
use smol_str::SmolStr;

use super::super::diagnostics;
use super::super::stages::{Quorum, WEIGHT_ONE, WITNESSES_MAX, weight_of};
use super::super::yaml::Node;
use super::{Reader, fields};
use crate::rules::fields::Fields;

pub(in crate::rules) const QUORUM_FIELDS: [&str; 5] =
    ["of", "at_least", "share", "within", "weights"];

/// No weight is larger, in millionths.
const WEIGHT_MAX: f64 = 1e15;

impl Reader<'_> {
    /// The quorum of a rule with these fields, on a signal with these labels.
    pub(super) fn quorum(
        &mut self,
        rule: &Fields<'_>,
        node: &Node,
        labels: Option<&[&str]>,
        expire_after_ns: Option<i64>,
    ) -> Option<Quorum> {
        for name in ["smooth", "recover"] {
            if let Some(node) = rule.get(name) {
                let message = format!("`{name}` would mix the readings of all witnesses");
                let help = "with a `quorum`, judge each by `above` or `below` alone";
                self.problems.error_help(&node.span, message, help);
            }
        }
        let fields = Fields::open(node, &node.span, "`quorum`", &QUORUM_FIELDS, self.problems)?;
        let of = fields.require("of", "LABEL", self.problems);
        let of = of.and_then(|node| self.witness(node, labels));
        let weights = match fields.get("weights") {
            Some(node) => self.weights(node),
            None => Some(Vec::new()),
        };
        let within = fields.require("within", "1m", self.problems);
        let within_ns = within.and_then(|node| {
            let nothing = "`within` must be above zero: no vote would count";
            let within_ns = self.above_zero(node, "`within`", nothing)?;
            if expire_after_ns.is_some_and(|expires| within_ns >= expires) {
                let message = "an entity is forgotten before a vote of its witnesses is over";
                let help = "`within` must be below `expire_after`: lower it, or raise the other";
                self.problems.error_help(&node.span, message, help);
            }
            Some(within_ns)
        });
        let asks = match (fields.get("at_least"), fields.get("share")) {
            (Some(node), None) => self.at_least(node, weights.as_deref()),
            (None, Some(node)) => self.share_of_votes(node),
            (None, None) => {
                let message = "`quorum` needs `at_least` or `share`";
                let help = "add `at_least: 2`, or `share: 0.5` of all votes";
                self.problems.error_help(&node.span, message, help);
                None
            }
            (Some(_), Some(node)) => {
                let message = "`quorum` is `at_least` so much, or a `share`, and not both";
                self.problems.error_help(&node.span, message, "remove one of them");
                None
            }
        };
        Some(Quorum { of: of?, asks: asks?, within_ns: within_ns?, weights: weights? })
    }

    /// The label that says who a witness is.
    fn witness(&mut self, node: &Node, labels: Option<&[&str]>) -> Option<usize> {
        let name = fields::text(node, "`of`", self.problems)?;
        let labels = labels?;
        let found = labels.iter().position(|label| *label == name);
        if found.is_none() {
            let message = format!("the signal has no label `{name}`");
            let help = match labels {
                [] => format!("give it one, as `labels: {{ {name}: source }}`"),
                labels => diagnostics::suggestion("name", name, labels),
            };
            self.problems.error_help(&node.span, message, help);
        }
        found
    }

    /// What each witness weighs.
    fn weights(&mut self, node: &Node) -> Option<Vec<(SmolStr, u64)>> {
        let entries = fields::entries(node, "`weights`", self.problems)?;
        if entries.is_empty() {
            let message = "`weights` names no witness: nobody would have a vote";
            self.problems.error_help(&node.span, message, "name them, or remove it");
            return None;
        }
        if entries.len() > WITNESSES_MAX {
            let message = format!("{} witnesses of an entity are too many", entries.len());
            let help = format!("{WITNESSES_MAX} have votes");
            self.problems.error_help(&node.span, message, help);
            return None;
        }
        let weights = entries.iter().map(|(key, node)| {
            let name = fields::text(key, "the name of a witness", self.problems);
            let text = fields::text(node, "a weight", self.problems)?;
            let number = text.parse().ok().map(|number: f64| number * WEIGHT_ONE as f64);
            let weight = number.map(f64::round).filter(|of| (1.0..=WEIGHT_MAX).contains(of));
            if weight.is_none() {
                let message = format!("a weight is a number above zero, not `{text}`");
                let help = "write 2 or 0.5; at most 1e9, in millionths";
                self.problems.error_help(&node.span, message, help);
            }
            Some((SmolStr::new(name?), weight? as u64))
        });
        weights.collect::<Vec<_>>().into_iter().collect()
    }

    /// So much, of what all witnesses weigh, if they are named.
    fn at_least(&mut self, node: &Node, weights: Option<&[(SmolStr, u64)]>) -> Option<Asks> {
        let least = fields::count(node, "`at_least`", self.problems)?;
        let weights = weights?;
        let asked = (least as u64).saturating_mul(WEIGHT_ONE);
        let all = match weights {
            [] => WITNESSES_MAX as u64 * WEIGHT_ONE,
            weights => weights.iter().map(|(_, weight)| weight).sum(),
        };
        if asked > all {
            let message = format!("no fault would ever have a quorum: `at_least` is {least}");
            let help = match weights {
                [] => {
                    format!("at most {WITNESSES_MAX} witnesses of an entity have votes: lower it")
                }
                _ => format!("all `weights` together are {}: lower it", weight_of(all)),
            };
            self.problems.error_help(&node.span, message, help);
        }
        Some(Asks::AtLeast(asked))
    }

    fn share_of_votes(&mut self, node: &Node) -> Option<Asks> {
        let text = fields::text(node, "`share`", self.problems)?;
        let share = text.parse().ok().map(|share: f64| (share * f64::from(WHOLE)).round());
        let share = share.filter(|share| *share >= 1.0 && *share <= f64::from(WHOLE));
        if share.is_none() {
            let message =
                format!("`share` is a part of all votes, above 0 and at most 1, not `{text}`");
            self.problems.error_help(&node.span, message, "write 0.5 for a half of them");
        }
        share.map(|share| Asks::Share(share as u32))
    }
}
