//! Records become observations, one for each rule on each signal they fit.

use differential_dataflow::{AsCollection, VecCollection};
use smol_str::SmolStr;
use timely::dataflow::operators::vec::Map;

use super::Lane;
use crate::model::sighting::{Observation, Sighting};
use crate::rules::Rules;

/// Makes the observations. Stateless.
pub(super) fn observe<'scope>(
    firsts: VecCollection<'scope, i64, (SmolStr, Sighting), isize>,
    rules: &Rules,
) -> VecCollection<'scope, i64, (Lane, Observation), isize> {
    let mut lanes_of_signal = vec![Vec::new(); rules.signals.len()];
    for (number, rule) in rules.rules.iter().enumerate() {
        lanes_of_signal[rule.signal].push(number as u16);
    }
    let observe = move |((entity, sighting), at, diff): ((SmolStr, Sighting), i64, isize)| {
        let Sighting { event_time_ns, source, sequence, id, matches, .. } = sighting;
        let lanes = matches.into_iter().flat_map(|found| {
            let rules = lanes_of_signal[usize::from(found.signal)].iter();
            rules.map(move |rule| (*rule, found.state))
        });
        let lanes: smallvec::SmallVec<[(u16, u16); 2]> = lanes.collect();
        lanes.into_iter().map(move |(rule, state)| {
            let (source, sequence, id) = (source.clone(), sequence.clone(), id.clone());
            let observation = Observation { event_time_ns, source, sequence, id, state };
            (((entity.clone(), rule), observation), at, diff)
        })
    };
    firsts.inner.flat_map(observe).as_collection()
}
