//! What a rule asks of how long its faults last.

use super::super::persistence::{Announce, Persistence};
use super::super::yaml::Node;
use super::{DAY_NS, Reader, diagnostics, fields};
use crate::rules::fields::Fields;

pub(in crate::rules) const PERSISTENCE_FIELDS: [&str; 5] =
    ["by", "prior", "remember", "horizons", "announce"];

const PRIOR: u32 = 10;
const REMEMBER_NS: i64 = 90 * DAY_NS;

impl Reader<'_> {
    pub(super) fn persistence(
        &mut self,
        node: &Node,
        labels: Option<&[&str]>,
    ) -> Option<Persistence> {
        let of = "`persistence`";
        let fields = Fields::open(node, &node.span, of, &PERSISTENCE_FIELDS, self.problems)?;
        let by = match fields.get("by") {
            Some(node) => self.group(node, labels).map(Some),
            None => Some(None),
        };
        let prior = match fields.get("prior") {
            Some(node) => fields::count(node, "`prior`", self.problems)
                .map(|prior| u32::try_from(prior).unwrap_or(u32::MAX)),
            None => Some(PRIOR),
        };
        let remember_ns = match fields.get("remember") {
            Some(node) => {
                let nothing = "`remember` must be above zero: nothing would be learned";
                self.above_zero(node, "`remember`", nothing)
            }
            None => Some(REMEMBER_NS),
        };
        let announce = match fields.get("announce") {
            Some(node) => {
                let text = fields::text(node, "`announce`", self.problems);
                let parsed = text.map(Announce::parse);
                parsed.and_then(|parsed| self.without_faults(node, parsed)).map(Some)
            }
            None => Some(None),
        };
        let horizons_ns = match fields.get("horizons") {
            Some(node) => self.horizons(node),
            None => Some(Vec::new()),
        };
        if fields.get("announce").or(fields.get("horizons")).is_none() {
            let message = "`persistence` names no time that a fault may last";
            let help = "add `announce: 'p_lasts(\"5m\") > 0.9'`, or `horizons: [5m]`";
            self.problems.error_help(&node.span, message, help);
        }
        let announce = announce?;
        let mut horizons_ns = horizons_ns?;
        horizons_ns.extend(announce.iter().flat_map(Announce::horizons_ns));
        horizons_ns.sort_unstable();
        horizons_ns.dedup();
        let remember_ns = remember_ns?;
        if horizons_ns.last().is_some_and(|last| *last > remember_ns) {
            let message = "what a fault may last is longer than `remember`";
            let help = "raise `remember`: nothing would be known of such faults";
            self.problems.error_help(&node.span, message, help);
        }
        Some(Persistence { by: by?, prior: prior?, remember_ns, horizons_ns, announce })
    }

    /// The label by which entities are of one group.
    fn group(&mut self, node: &Node, labels: Option<&[&str]>) -> Option<usize> {
        let name = fields::text(node, "`by`", self.problems)?;
        let labels = labels?;
        let found = labels.iter().position(|label| *label == name);
        if found.is_none() {
            let message = format!("the signal has no label `{name}`");
            let help = match name {
                "entity" => {
                    "leave it out for all of the rule: entities are counted anyway".to_owned()
                }
                _ => diagnostics::suggestion("name", name, labels),
            };
            self.problems.error_help(&node.span, message, help);
        }
        found
    }

    fn horizons(&mut self, node: &Node) -> Option<Vec<i64>> {
        let items = fields::items(node, "`horizons`", self.problems)?;
        if items.is_empty() {
            let message = "`horizons` needs at least one time";
            self.problems.error_help(&node.span, message, "write [5m, 1h]");
        }
        let nothing = "a horizon must be above zero: every fault lasts as long";
        let read: Vec<_> =
            items.iter().map(|item| self.above_zero(item, "a horizon", nothing)).collect();
        read.into_iter().collect()
    }
}
