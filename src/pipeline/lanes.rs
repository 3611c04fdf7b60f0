//! From what rules observe to what they decide: a timeline for each group of rules.

use std::marker::PhantomData;
use std::rc::Rc;

use differential_dataflow::{AsCollection, VecCollection};
use limbeck_operators::machines::dedup::{Dedup, Verdict};
use limbeck_operators::machines::hold_down::{Cut, Decision, HoldDown, Holds, Missed};
use limbeck_operators::timeline::{Timeline, Timing};
use timely::dataflow::Stream;
use timely::dataflow::operators::vec::{Filter, Map, Partition};
use timely::dataflow::operators::{Concatenate, OkErr};

use super::saved::Saving;
use super::tally::tally;
use super::{Lane, Options, Update};
use crate::model::episode::{Catalog, Episode};
use crate::model::ledger::{Count, Entry, Place, Trace, TracedLane};
use crate::model::sighting::{Observation, Shown};
use crate::rules::{Rule, Rules};

/// Rules that share timelines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    /// The time within which they amend.
    pub(super) amend_within_ns: i64,
    /// Whether they take more than hold-down; those that do not need not pay for it.
    pub(super) staged: bool,
}

/// The rules by what their timelines have to do.
pub(super) struct Groups {
    /// In rising order, each once.
    groups: Vec<Group>,
    /// The group of each rule.
    of: Vec<u64>,
}

impl Groups {
    pub(super) fn new(rules: &Rules) -> Self {
        let group = |rule: &Rule| {
            let (amend_within_ns, staged) = (rule.amend_within_ns, rule.is_staged());
            Group { amend_within_ns, staged }
        };
        Self::of(rules.rules.iter().map(group))
    }

    /// Of rules that are in these groups.
    pub(super) fn of(each: impl Iterator<Item = Group> + Clone) -> Self {
        let mut groups: Vec<_> = each.clone().collect();
        groups.sort_unstable();
        groups.dedup();
        let number = |group| groups.partition_point(|known| *known < group) as u64;
        let of = each.map(number).collect();
        Self { groups, of }
    }

    /// The groups, in their order.
    pub(super) fn each(&self) -> impl Iterator<Item = Group> {
        self.groups.iter().copied()
    }

    /// The number of a group, if there is such a one.
    pub(super) fn position(&self, group: Group) -> Option<usize> {
        self.groups.binary_search(&group).ok()
    }

    pub(super) fn count(&self) -> usize {
        self.groups.len()
    }

    /// The longest time within which any of them amends.
    pub(super) fn amend_within_ns(&self) -> i64 {
        self.groups.last().map_or(0, |group| group.amend_within_ns)
    }
}

/// What the rules decide.
pub(super) struct Decided<'scope> {
    pub(super) episodes: Vec<Stream<'scope, i64, Vec<Update<Episode>>>>,
    pub(super) ledgers: Vec<Stream<'scope, i64, Vec<Update<Entry>>>>,
}

type Observed<'scope, S> = VecCollection<'scope, i64, (Lane, Observation<S>), isize>;
type Ends<'scope> = Stream<'scope, i64, Vec<i64>>;

/// Folds the observations of each entity and rule, which are on its worker already.
pub(super) fn lanes<'scope, S: Shown>(
    observed: Observed<'scope, S>,
    ends: &Ends<'scope>,
    (rules, catalog, groups): (&Rules, &Catalog, Groups),
    options: Options,
    saving: &mut Saving,
) -> Decided<'scope> {
    let Groups { groups, of } = groups;
    let parts = match groups.len() {
        1 => vec![observed.inner],
        count => observed.inner.partition(count as u64, move |update| {
            let (lane, _): &(Lane, _) = &update.0;
            (of[lane.rule()], update)
        }),
    };
    let mut decided = Decided { episodes: Vec::new(), ledgers: Vec::new() };
    let rules = Rc::new(Lanes::new(rules, catalog.clone()));
    for (part, Group { amend_within_ns, staged }) in parts.into_iter().zip(groups) {
        let mut timing = Timing { lateness: amend_within_ns, tick: options.tick_ns };
        let mut part = part.as_collection();
        if rules.dedup_ns.iter().any(Option::is_some) {
            part = without_repeats(part, ends, &rules, timing, options, (&mut decided, saving));
            // What waited there for its instant comes at the end of its tick.
            timing.lateness = timing.lateness.saturating_add(timing.tick);
        }
        let to = (&mut decided, &mut *saving);
        match staged {
            false => {
                let holds = RuleHolds::<S, ()>(Rc::clone(&rules), PhantomData);
                hold(part, ends.clone(), (&rules, holds), timing, options, to);
            }
            true => {
                let holds = RuleHolds::<S, Option<i64>>(Rc::clone(&rules), PhantomData);
                hold(part, ends.clone(), (&rules, holds), timing, options, to);
            }
        }
    }
    decided
}

/// Takes out what repeats to a rule with dedup.
fn without_repeats<'scope, S: Shown>(
    observed: Observed<'scope, S>,
    ends: &Ends<'scope>,
    rules: &Rc<Lanes>,
    timing: Timing,
    options: Options,
    (decided, saving): (&mut Decided<'scope>, &mut Saving),
) -> Observed<'scope, S> {
    let scope = observed.inner.scope();
    let of = Rc::clone(rules);
    let (deduped, others) = observed.inner.ok_err(move |update| {
        let (lane, _): &(Lane, _) = &update.0;
        if of.dedup_ns[lane.rule()].is_some() { Ok(update) } else { Err(update) }
    });
    let of = Rc::clone(rules);
    let lasts = move |lane: &Lane, _: &Observation<S>| of.dedup_ns[lane.rule()].unwrap_or(1);
    let verdicts = saving
        .timeline(Timeline::new("dedup", Dedup::new(lasts), timing))
        .ending_at(ends.clone())
        .build_local(deduped.as_collection());
    let (passed, repeats) =
        verdicts.oks.inner.ok_err(|((lane, told), at, diff)| match told.value {
            Verdict::Passed(event) => Ok(((lane, event), at, diff)),
            Verdict::Repeat { event, .. } => Err(((lane, Some(event)), at, diff)),
            Verdict::Undecided(count) => Err(((lane, None), at, diff * count as isize)),
        });
    let of = Rc::clone(rules);
    decided.ledgers.push(tally(repeats.clone().map(move |((lane, repeat), at, diff)| {
        let rank = of.rank(lane.rule());
        (repeat.map_or(Count::Pending(rank), |_| Count::Repeated(rank)), at, diff)
    })));
    if options.traced {
        decided.ledgers.push(repeats.flat_map(
            |((Lane { entity, rule, .. }, repeat), at, diff)| {
                let Observation { event_time_ns, tie, .. } = repeat?;
                let lane = TracedLane { rule: rule as u16, entity };
                let trace = Trace::Repeated { lane, place: Place { event_time_ns, tie } };
                Some((Entry::Trace(Box::new(trace)), at, diff))
            },
        ));
    }
    scope.concatenate([passed, others]).as_collection()
}

/// Holds states down until they have lasted.
fn hold<'scope, S: Shown>(
    observed: Observed<'scope, S>,
    ends: Ends<'scope>,
    (rules, holds): (&Rc<Lanes>, impl Holds<Lane, S::State>),
    timing: Timing,
    options: Options,
    (decided, saving): (&mut Decided<'scope>, &mut Saving),
) {
    let mut machine = HoldDown::<Lane, Observation<S>, _>::new(holds);
    if options.traced {
        machine = machine.telling_runs();
    }
    let lanes = saving
        .timeline(Timeline::new("hold-down", machine, timing))
        .ending_at(ends)
        .build_local(observed);
    // Lateness is judged before, exactly: nothing can be too late for the timeline.
    lanes.errs.inspect(|rejected| panic!("an event in time was rejected: {rejected:?}"));
    let oks = lanes.oks.inner;
    if options.traced {
        decided.ledgers.push(oks.clone().map(|((Lane { entity, rule, .. }, told), at, diff)| {
            let lane = TracedLane { rule: rule as u16, entity };
            let decision = told.value.map(|state| S::number(&state));
            (Entry::Trace(Box::new(Trace::Decided { lane, decision })), at, diff)
        }));
    }
    let of = Rc::clone(rules);
    let (episodes, counts) = oks.ok_err(move |((lane, told), at, diff)| {
        let rule = lane.rule();
        let count = |what: Count, observations: u32| Err((what, at, diff * observations as isize));
        match told.value {
            Decision::Sustained(sustained) => {
                let state = S::number(&sustained.state);
                let (signal, rule, state) = of.catalog.ranks(rule, state);
                let episode = Episode {
                    since_ns: sustained.since,
                    entity: lane.entity,
                    signal,
                    rule,
                    state,
                    until_ns: sustained.until,
                    decided_ns: sustained.decided,
                    expired: sustained.expired,
                    revision: told.revision,
                    detail: S::detail(&sustained.state),
                };
                Ok((episode, at, diff))
            }
            Decision::Absorbed(run) => {
                let by = match run.by {
                    Cut::Contrary => Count::HeldDown,
                    Cut::Kept { .. } => Count::Kept,
                    Cut::Silence => Count::Expired,
                };
                count(by(of.rank(rule)), run.observations)
            }
            Decision::Undecided(waiting) => count(Count::Pending(of.rank(rule)), waiting),
            Decision::Run(_) => count(Count::Pending(of.rank(rule)), 0),
        }
    });
    decided.episodes.push(episodes);
    decided.ledgers.push(tally(counts.filter(|(.., diff)| *diff != 0)));
}

/// What the machines ask of the rules, by their numbers.
struct Lanes {
    catalog: Catalog,
    ranks: Vec<u16>,
    hold_ns: Vec<Vec<i64>>,
    keep_ns: Vec<Vec<i64>>,
    expire_after_ns: Vec<i64>,
    dedup_ns: Vec<Option<i64>>,
}

impl Lanes {
    fn new(rules: &Rules, catalog: Catalog) -> Self {
        let each = || rules.rules.iter();
        Self {
            ranks: catalog.rule_ranks(),
            catalog,
            hold_ns: each().map(|rule| rule.hold_ns.clone()).collect(),
            keep_ns: each().map(|rule| rule.keep_ns.clone()).collect(),
            expire_after_ns: each().map(|rule| rule.expire_after_ns).collect(),
            dedup_ns: each().map(|rule| Some(rule.dedup.as_ref()?.within_ns)).collect(),
        }
    }

    fn rank(&self, rule: usize) -> u16 {
        self.ranks[rule]
    }
}

/// With what is remembered of states that are missed.
struct RuleHolds<S, M>(Rc<Lanes>, PhantomData<fn() -> (S, M)>);

impl<S: Shown, M: Missed> Holds<Lane, S::State> for RuleHolds<S, M> {
    type Missed = M;

    fn hold(&self, lane: &Lane, state: &S::State) -> i64 {
        self.0.hold_ns[lane.rule()][usize::from(S::number(state))]
    }

    fn keep(&self, lane: &Lane, state: &S::State) -> i64 {
        self.0.keep_ns[lane.rule()][usize::from(S::number(state))]
    }

    fn expire_after(&self, lane: &Lane) -> i64 {
        self.0.expire_after_ns[lane.rule()]
    }
}
