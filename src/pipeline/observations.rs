//! Records become observations of rules, and are accounted for.

use std::cmp::Ordering;
use std::marker::PhantomData;
use std::sync::Arc;

use limbeck_operators::firsts::{Pass, Passed};

use super::Lane;
use crate::model::entity::Entity;
use crate::model::ledger::{Count, Disposition, Entry, Place, Trace, TracedLane};
use crate::model::sighting::{Observation, Shown, Sighting};
use crate::rules::{Rules, Shares};

/// Makes the observations.
pub(super) struct Observations<S> {
    lateness_ns: i64,
    /// How late a record may be, by rule.
    amend_within_ns: Vec<i64>,
    /// How many observations each rule made since the counts were noted.
    observed: Vec<isize>,
    /// By rule.
    ranks: Vec<u16>,
    /// A logical time, and the rules, by number, that have observed all before it already.
    kept: Option<(i64, Arc<[bool]>)>,
    /// What each rule sees, if some do not see all.
    shares: Option<Shares>,
    duplicates: isize,
    conflicts: isize,
    /// Traces, if they are wanted.
    traces: Option<Vec<(Trace, isize)>>,
    shown: PhantomData<fn() -> S>,
}

impl<S> Observations<S> {
    /// `ranks` are those of the rules' names.
    pub(super) fn new(
        rules: &Rules,
        ranks: Vec<u16>,
        traced: bool,
        kept: Option<(i64, Arc<[bool]>)>,
    ) -> Self {
        Self {
            lateness_ns: rules.lateness_ns,
            amend_within_ns: rules.rules.iter().map(|rule| rule.amend_within_ns).collect(),
            observed: vec![0; rules.rules.len()],
            ranks,
            kept,
            shares: rules.shares(),
            duplicates: 0,
            conflicts: 0,
            traces: traced.then(Vec::new),
            shown: PhantomData,
        }
    }
}

impl<S: Shown> Pass for Observations<S> {
    type Key = Entity;
    type Event = Sighting;
    type Out = (Lane, Observation<S>);
    type Note = Entry;

    /// Elements of one line come as they stand in it.
    #[inline]
    fn order(one: &Sighting, other: &Sighting) -> Ordering {
        (one.arrival_ns, one.position).cmp(&(other.arrival_ns, other.position))
    }

    #[inline(always)]
    fn first(
        &mut self,
        entity: &Entity,
        hash: u64,
        sighting: &Sighting,
        passed: &mut Passed<Self::Out>,
    ) {
        let (age_ns, event_time_ns) = (sighting.age_ns(), sighting.event_time_ns);
        let late = age_ns > self.lateness_ns;
        if let Some(traces) = &mut self.traces {
            let disposition = if late { Disposition::Late } else { Disposition::Used };
            traces.push((sighting.trace(entity, disposition), 1));
        }
        let Self { observed, amend_within_ns, traces, kept, shares, .. } = self;
        let kept = kept.as_ref().filter(|(at, _)| sighting.arrival_ns < *at);
        S::each(&sighting.matches, |rule, shown| {
            if late && age_ns > amend_within_ns[rule] {
                return;
            }
            if kept.is_some_and(|(_, kept)| kept[rule]) {
                return;
            }
            if let Some(shares) = shares
                && !match shown.is_observed() {
                    true => shares.sees(rule, &entity.name(), &S::detail(&shown.state())),
                    false => shares.may_see(rule, &entity.name()),
                }
            {
                return;
            }
            observed[rule] += 1;
            if let Some(traces) = traces {
                let lane = TracedLane { rule: rule as u16, entity: entity.name() };
                let place = Place { event_time_ns, tie: sighting.tie.clone() };
                let (state, key) = (S::number(&shown.state()), shown.key());
                let (position, known) = (sighting.position, sighting.known(entity));
                let urgent = shown.is_urgent();
                let observed = Trace::Observed { lane, place, state, key, urgent, position, known };
                traces.push((observed, 1));
            }
            passed.give(|| {
                let tie = sighting.tie.clone();
                let lane = Lane::new(entity.clone(), hash, rule);
                (lane, Observation { event_time_ns, tie, shown })
            });
        });
    }

    fn repeat(&mut self, entity: &Entity, sighting: &Sighting, conflict: bool, copies: isize) {
        let late = sighting.age_ns() > self.lateness_ns;
        if !late {
            self.duplicates += copies;
            self.conflicts += copies * isize::from(conflict);
        }
        if let Some(traces) = &mut self.traces {
            let disposition = match late {
                true => Disposition::Late,
                false => Disposition::Duplicate { conflict },
            };
            traces.push((sighting.trace(entity, disposition), copies));
        }
    }

    fn settle(&mut self, last: bool, note: &mut impl FnMut(Entry, isize)) {
        if !last {
            return;
        }
        let mut count = |what: Count, sum: &mut isize| {
            if *sum != 0 {
                note(Entry::Count(what), std::mem::take(sum));
            }
        };
        count(Count::Duplicate, &mut self.duplicates);
        count(Count::Conflict, &mut self.conflicts);
        for (sum, rank) in self.observed.iter_mut().zip(&self.ranks) {
            count(Count::Observed(*rank), sum);
        }
        for (trace, diff) in self.traces.iter_mut().flat_map(|traces| traces.drain(..)) {
            note(Entry::Trace(Box::new(trace)), diff);
        }
    }
}
