//! Stages: what rules do with their observations before they are held.

use std::ops::Range;

use limbeck_operators::machines::flap_damping::Damping;
use limbeck_operators::machines::flap_detection::{Detection, Weights};
use limbeck_operators::machines::session::Grouping;

use super::super::stages::{ABOVE, BELOW, FLAPPING, NORMAL, SESSION, Stages, UNKNOWN};
use super::super::yaml::Node;
use super::{Named, ReadSignal, Reader, SECOND_NS, fields};
use crate::rules::fields::Fields;

pub(in crate::rules) const DAMPING_FIELDS: [&str; 8] =
    ["fault", "return", "change", "suppress", "reuse", "half_life", "max", "test"];
pub(in crate::rules) const DETECTION_FIELDS: [&str; 3] = ["weights", "high", "low"];
pub(in crate::rules) const ABSENT_FIELDS: [&str; 1] = ["after"];
pub(in crate::rules) const SESSION_FIELDS: [&str; 2] = ["gap", "least"];
pub(in crate::rules) const WEIGHTS: [(&str, Weights); 2] =
    [("icinga", Weights::Icinga), ("nagios", Weights::Nagios)];

const MINUTE_NS: i64 = 60 * SECOND_NS;

impl Reader<'_> {
    /// The states that a rule knows: those of its signal, and those that its stages make, as far as
    /// it is known which there are.
    pub(super) fn known_states<'s>(
        fields: &Fields<'_>,
        states: Option<&[&'s str]>,
    ) -> Option<Vec<&'s str>> {
        let mut known = states?.to_vec();
        let made = [
            ("flap_detection", FLAPPING),
            ("absent", UNKNOWN),
            (ABOVE, ABOVE),
            (BELOW, BELOW),
            (ABOVE, NORMAL),
            (BELOW, NORMAL),
            (SESSION, SESSION),
        ];
        for (_, made) in made.into_iter().filter(|(field, _)| fields.get(field).is_some()) {
            if !known.contains(&made) {
                known.push(made);
            }
        }
        Some(known)
    }

    /// The stages of a rule, whose name stands at `span`, on a signal with these states and labels, of these.
    pub(super) fn stages(
        &mut self,
        fields: &Fields<'_>,
        (span, signals): (&Range<usize>, &[Named<'_, ReadSignal<'_>>]),
        (states, labels): (Option<&[&str]>, Option<&[&str]>),
        expire_after_ns: Option<i64>,
    ) -> Option<Stages> {
        let faults = match fields.get("faults") {
            Some(node) => self.faults(node, states),
            None => Some(Vec::new()),
        };
        for field in ["quorum", "flap_damping", "grace", "persistence"] {
            if fields.get(field).is_some() && fields.get("faults").is_none() {
                let message = format!("`{field}` needs to know which states are faults");
                self.problems.error_help(span, message, "add `faults: [STATE]`");
            }
        }
        let quorum = match fields.get("quorum") {
            Some(node) => self.quorum(fields, node, labels, expire_after_ns).map(Some),
            None => Some(None),
        };
        let damping = match fields.get("flap_damping") {
            Some(node) => self.damping(node).map(Some),
            None => Some(None),
        };
        let detection = match fields.get("flap_detection") {
            Some(node) => self.detection(node).map(Some),
            None => Some(None),
        };
        let absent_after_ns = match fields.get("absent") {
            Some(node) => self.absent_after(node, expire_after_ns).map(Some),
            None => Some(None),
        };
        if let (Some(Some(quorum)), Some(Some(after_ns)), Some(node)) =
            (&quorum, absent_after_ns, fields.get("absent"))
            && after_ns < quorum.within_ns
        {
            let message = "an entity would be absent while votes of its witnesses count";
            let help = "`after` is not below `within` of its quorum: raise it, or lower the other";
            self.problems.error_help(&node.span, message, help);
        }
        let grace = match fields.get("grace") {
            Some(node) => self.grace(node, signals, expire_after_ns).map(Some),
            None => Some(None),
        };
        let session = match fields.get(SESSION) {
            Some(node) => self.session(node, expire_after_ns).map(Some),
            None => Some(None),
        };
        Some(Stages {
            faults: faults?,
            absent_after_ns: absent_after_ns?,
            thresholds: None,
            quorum: quorum?,
            damping: damping?,
            detection: detection?,
            grace: grace?,
            session: session?,
            flapping: 0,
            unknown: 0,
            in_session: 0,
            levels: [0; 3],
        })
    }

    fn faults(&mut self, node: &Node, states: Option<&[&str]>) -> Option<Vec<bool>> {
        let items = fields::items(node, "`faults`", self.problems)?;
        if items.is_empty() {
            self.problems.error(&node.span, "`faults` needs at least one state");
        }
        let mut faults = vec![false; states.map_or(0, <[_]>::len)];
        for item in items {
            let name = fields::text(item, "a state of `faults`", self.problems);
            let (Some(states), Some(name)) = (states, name) else { continue };
            match states.iter().position(|state| *state == name) {
                Some(index) => faults[index] = true,
                None => self.problems.unknown(&item.span, "state", name, states),
            }
        }
        if !faults.is_empty() && faults.iter().all(|fault| *fault) {
            let message = "every state is a fault: none is left to return to";
            self.problems.error(&node.span, message);
        }
        Some(faults)
    }

    /// A duration that is not zero; if it is, `nothing` says what would be of it.
    pub(super) fn above_zero(&mut self, node: &Node, what: &str, nothing: &str) -> Option<i64> {
        let nanos = fields::duration(node, what, self.problems)?;
        if nanos == 0 {
            self.problems.error(&node.span, nothing);
        }
        (nanos > 0).then_some(nanos)
    }

    fn damping(&mut self, node: &Node) -> Option<Damping> {
        let of = "`flap_damping`";
        let fields = Fields::open(node, &node.span, of, &DAMPING_FIELDS, self.problems)?;
        let mut number = |name: &str, default: f64| match fields.get(name) {
            Some(node) => fields::number(node, &format!("`{name}`"), 0.0, self.problems),
            None => Some(default),
        };
        let (fault, back) = (number("fault", 1000.0), number("return", 0.0));
        let (change, suppress) = (number("change", 500.0), number("suppress", 2000.0));
        let reuse = number("reuse", 750.0);
        let mut time = |name: &str, default: i64| match fields.get(name) {
            Some(node) => {
                let nothing = format!("`{name}` must be above zero: nothing would be suppressed");
                self.above_zero(node, &format!("`{name}`"), &nothing)
            }
            None => Some(default),
        };
        let half_life = time("half_life", 15 * MINUTE_NS);
        let max = time("max", 60 * MINUTE_NS);
        let observes = match fields.get("test") {
            Some(node) => fields::truth(node, "`test`", self.problems),
            None => Some(false),
        };
        let span = |name: &str| fields.get(name).map_or(&node.span, |node| &node.span);
        if let (Some(suppress), Some(reuse)) = (suppress, reuse) {
            if reuse == 0.0 {
                let message = "`reuse` must be above zero: a penalty never decays to nothing";
                self.problems.error(span("reuse"), message);
                return None;
            }
            if reuse >= suppress {
                let message = format!("`reuse`, {reuse}, must be below `suppress`, {suppress}");
                let help =
                    "what is suppressed would be used again at once; lower it, or raise the other";
                self.problems.error_help(span("reuse"), message, help);
                return None;
            }
        }
        if [fault, back, change] == [Some(0.0); 3] {
            let message = "nothing adds to the penalty: `fault`, `return` and `change` are 0";
            self.problems.error(&node.span, message);
        }
        let damping = Damping {
            fault: fault?,
            back: back?,
            change: change?,
            suppress: suppress?,
            reuse: reuse?,
            half_life: half_life?,
            max: max?,
            observes: observes?,
        };
        let (ceiling, suppress) = (damping.ceiling(), damping.suppress);
        if suppress >= ceiling {
            let message = format!(
                "nothing is ever suppressed: no penalty exceeds {ceiling:.1}, and `suppress` is \
                 {suppress}"
            );
            let help =
                "the ceiling is reuse x 2^(max / half_life): lower `suppress`, or raise `max`";
            self.problems.error_help(span("suppress"), message, help);
        }
        Some(damping)
    }

    fn detection(&mut self, node: &Node) -> Option<Detection> {
        let of = "`flap_detection`";
        let fields = Fields::open(node, &node.span, of, &DETECTION_FIELDS, self.problems)?;
        let weights = match fields.get("weights") {
            Some(node) => {
                let name = fields::text(node, "`weights`", self.problems)?;
                let known = WEIGHTS.iter().find(|(known, _)| *known == name);
                if known.is_none() {
                    let names = WEIGHTS.map(|(name, _)| name);
                    self.problems.unknown(&node.span, "weights", name, &names);
                }
                known.map(|(_, weights)| *weights)
            }
            None => Some(Weights::Icinga),
        };
        // As each has it.
        let low = if weights == Some(Weights::Nagios) { 20.0 } else { 25.0 };
        let mut share = |name: &str, default: f64| {
            let Some(node) = fields.get(name) else { return Some(default) };
            let share = fields::number(node, &format!("`{name}`"), 0.0, self.problems)?;
            if share > 100.0 {
                let message = format!("`{name}` is a share in percent, 100 at most, not {share}");
                self.problems.error(&node.span, message);
            }
            Some(share)
        };
        let (high, low) = (share("high", 30.0), share("low", low));
        let detection = Detection { weights: weights?, high: high?, low: low? };
        if detection.low > detection.high {
            let Detection { low, high, .. } = detection;
            let span = ["low", "high"].iter().find_map(|name| Some(&fields.get(name)?.span));
            let message = format!("`low`, {low}, is above `high`, {high}");
            let help = "at `low` or below a flap ends: lower it, or raise the other";
            self.problems.error_help(span.unwrap_or(&node.span), message, help);
        }
        Some(detection)
    }

    fn session(&mut self, node: &Node, expire_after_ns: Option<i64>) -> Option<Grouping> {
        let fields = Fields::open(node, &node.span, "`session`", &SESSION_FIELDS, self.problems)?;
        let gap_node = fields.require("gap", "5m", self.problems)?;
        let nothing = "`gap` must be above zero: no change would be close to another";
        let gap = self.above_zero(gap_node, "`gap`", nothing);
        if gap.zip(expire_after_ns).is_some_and(|(gap, expires)| gap >= expires) {
            let message = "an entity is forgotten before a session of it is over";
            let help = "`gap` must be below `expire_after`: lower it, or raise the other";
            self.problems.error_help(&gap_node.span, message, help);
        }
        let least = match fields.get("least") {
            Some(node) => fields::count(node, "`least`", self.problems)
                .map(|least| u32::try_from(least).unwrap_or(u32::MAX)),
            None => Some(2),
        };
        Some(Grouping { gap: gap?, least: least? })
    }

    fn absent_after(&mut self, node: &Node, expire_after_ns: Option<i64>) -> Option<i64> {
        let of = "`absent`";
        let fields = Fields::open(node, &node.span, of, &ABSENT_FIELDS, self.problems)?;
        let node = fields.require("after", "5m", self.problems)?;
        let nothing = "`after` must be above zero: every entity would be absent at once";
        let after_ns = self.above_zero(node, "`after`", nothing)?;
        if expire_after_ns.is_some_and(|expire_after_ns| after_ns >= expire_after_ns) {
            let message = "an entity is forgotten before it is absent for so long";
            let help = "`after` must be below `expire_after`: lower it, or raise the other";
            self.problems.error_help(&node.span, message, help);
        }
        Some(after_ns)
    }
}
