//! Records become observations, one for each rule on each signal they fit.

use limbeck_operators::firsts::Pass;
use smol_str::SmolStr;

use super::Lane;
use crate::model::sighting::{Observation, Sighting};
use crate::rules::Rules;

/// Makes the observations.
pub(super) struct Observations {
    /// The rules on each signal, by their numbers.
    rules: Vec<Vec<usize>>,
}

impl Observations {
    pub(super) fn new(rules: &Rules) -> Self {
        let mut rules_of_signal = vec![Vec::new(); rules.signals.len()];
        for (number, rule) in rules.rules.iter().enumerate() {
            rules_of_signal[rule.signal].push(number);
        }
        Self { rules: rules_of_signal }
    }
}

impl Pass<SmolStr, Sighting> for Observations {
    type Out = (Lane, Observation);

    #[inline]
    fn pass(&mut self, entity: SmolStr, sighting: Sighting, give: &mut impl FnMut(Self::Out)) {
        let Sighting { event_time_ns, tie, matches, .. } = sighting;
        let lanes = matches.as_slice().iter().flat_map(|found| {
            let rules = self.rules[usize::from(found.signal)].iter();
            rules.map(|rule| (*rule, u64::from(found.state)))
        });
        let mut lanes = lanes.peekable();
        while let Some((rule, state)) = lanes.next() {
            if lanes.peek().is_none() {
                give(((entity, rule), Observation { event_time_ns, tie, state }));
                return;
            }
            let observation = Observation { event_time_ns, tie: tie.clone(), state };
            give(((entity.clone(), rule), observation));
        }
    }
}
