//! From what rules observe to what they decide: a timeline for each group of rules.

use std::rc::Rc;

use differential_dataflow::{AsCollection, VecCollection};
use limbeck_operators::Machine;
use limbeck_operators::machines::dedup::{Dedup, Verdict};
use limbeck_operators::machines::hold_down::{Cut, Decision, Sustained};
use limbeck_operators::timeline::{Revised, Timeline, Timing};
use timely::dataflow::Stream;
use timely::dataflow::operators::vec::{Filter, Map, Partition};
use timely::dataflow::operators::{Concatenate, OkErr};

use super::asked::{Lanes, Outcome, hold_down, judged_machine, staged_machine, whole_machine};
use super::saved::Saving;
use super::tally::tally;
use super::{Lane, Options, Update};
use crate::model::episode::{Catalog, Episode};
use crate::model::ledger::{Count, Entry, Place, Staged, Trace, TracedLane};
use crate::model::sighting::{Observation, Shown};
use crate::rules::{Machinery, Rule, Rules};

/// Rules that share timelines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    /// The time within which they amend.
    pub(super) amend_within_ns: i64,
    /// What folds for them; those that need less need not pay for it.
    pub(super) machinery: Machinery,
    /// Whether each run is told, whatever became of it.
    pub(super) tells_runs: bool,
}

/// What is told in the ledger beside counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Telling {
    /// What stages did with each observation.
    pub(super) observations: bool,
    /// Each run, whatever became of it.
    pub(super) runs: bool,
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
            let (amend_within_ns, machinery) = (rule.amend_within_ns, rule.machinery());
            let tells_runs = rules.signals[rule.signal].keeps_transitions;
            Group { amend_within_ns, machinery, tells_runs }
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
    /// What may become an episode, or might have; only where some rule asks for it.
    pub(super) candidates: Vec<Stream<'scope, i64, Vec<Update<Episode>>>>,
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
    let mut decided = Decided { episodes: Vec::new(), candidates: Vec::new(), ledgers: Vec::new() };
    let rules = Rc::new(Lanes::new(rules, catalog.clone()));
    for (part, Group { amend_within_ns, machinery, tells_runs }) in parts.into_iter().zip(groups) {
        let mut timing = Timing { lateness: amend_within_ns, tick: options.tick_ns };
        let mut part = part.as_collection();
        if rules.dedup_ns.iter().any(Option::is_some) {
            part = without_repeats(part, ends, &rules, timing, options, (&mut decided, saving));
            // What waited there for its instant comes at the end of its tick.
            timing.lateness = timing.lateness.saturating_add(timing.tick);
        }
        let to = (&mut decided, &mut *saving);
        let telling = Telling { observations: options.traced, runs: options.traced || tells_runs };
        match machinery {
            Machinery::Held => {
                let machine = hold_down::<S, ()>(&rules, telling);
                decide(part, ends, (&rules, machine), timing, telling, to);
            }
            Machinery::Staged => {
                let machine = staged_machine::<S>(&rules, telling);
                decide(part, ends, (&rules, machine), timing, telling, to);
            }
            Machinery::Judged | Machinery::All if !S::DETAILED => {
                unreachable!("its rules observe more than states")
            }
            Machinery::Judged => {
                let machine = judged_machine::<S>(&rules, telling);
                decide(part, ends, (&rules, machine), timing, telling, to);
            }
            Machinery::All => {
                let machine = whole_machine::<S>(&rules, telling);
                decide(part, ends, (&rules, machine), timing, telling, to);
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
        let (lane, observation): &(Lane, Observation<S>) = &update.0;
        // What marks alone repeats nothing.
        let is_deduped = of.dedup_ns[lane.rule()].is_some() && observation.shown.is_observed();
        if is_deduped { Ok(update) } else { Err(update) }
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
                let lane = TracedLane { rule: rule as u16, entity: entity.name() };
                let trace = Trace::Repeated { lane, place: Place { event_time_ns, tie } };
                Some((Entry::Trace(Box::new(trace)), at, diff))
            },
        ));
    }
    scope.concatenate([passed, others]).as_collection()
}

/// Folds observations until it is said what lasts, with a machine that ends in hold-down.
fn decide<'scope, S: Shown, M>(
    observed: Observed<'scope, S>,
    ends: &Ends<'scope>,
    (rules, machine): (&Rc<Lanes>, M),
    timing: Timing,
    telling: Telling,
    (decided, saving): (&mut Decided<'scope>, &mut Saving),
) where
    M: Machine<Key = Lane, Event = Observation<S>, Output: Outcome<S>>,
{
    let lanes = saving
        .timeline(Timeline::new("hold-down", machine, timing))
        .ending_at(ends.clone())
        .build_local(observed);
    // Lateness is judged before, exactly: nothing can be too late for the timeline.
    lanes.errs.inspect(|rejected| panic!("an event in time was rejected: {rejected:?}"));
    let oks = lanes.oks.inner;
    if telling.runs {
        decided.ledgers.push(oks.clone().flat_map(move |((lane, revised), at, diff)| {
            let Lane { entity, rule, .. } = lane;
            let lane = TracedLane { rule: rule as u16, entity: entity.name() };
            let trace = match revised.value.outcome() {
                // Its run is traced.
                Ok(Decision::Candidate(_)) => return None,
                Ok(decision) => {
                    let decision = decision.map(|state| S::number(&state));
                    Trace::Decided { lane, decision }
                }
                Err(_) if !telling.observations => return None,
                Err((Observation { event_time_ns, tie, .. }, what)) => {
                    Trace::Staged { lane, place: Place { event_time_ns, tie }, what }
                }
            };
            Some((Entry::Trace(Box::new(trace)), at, diff))
        }));
    }
    if !rules.candidates.is_empty() {
        let of = Rc::clone(rules);
        let candidates = oks.clone().flat_map(move |((lane, told), at, diff)| {
            let Revised { value, revision } = told;
            let Ok(Decision::Candidate(candidate)) = value.outcome() else { return None };
            Some((episode::<S>(&of, &lane, &candidate, revision), at, diff))
        });
        decided.candidates.push(candidates);
    }
    let of = Rc::clone(rules);
    let (episodes, counts) = oks.ok_err(move |((lane, Revised { value, revision }), at, diff)| {
        let number = lane.rule();
        let rank = of.rank(number);
        let count = |what: Count, observations: u32| Err((what, at, diff * observations as isize));
        let sustained = match value.outcome() {
            Ok(Decision::Sustained(sustained)) => sustained,
            Ok(Decision::Absorbed(run)) => {
                let by = match run.by {
                    Cut::Contrary => Count::HeldDown,
                    Cut::Kept { .. } => Count::Kept,
                    Cut::Silence => Count::Expired,
                };
                return count(by(rank), run.observations);
            }
            Ok(Decision::Undecided(waiting)) => return count(Count::Pending(rank), waiting),
            Ok(Decision::Run(_) | Decision::Candidate(_)) => return count(Count::Pending(rank), 0),
            Err((_, Staged::Counted(counted))) if !counted.passed => {
                return count(Count::Outvoted(rank), 1);
            }
            Err((_, Staged::Damped { passed: false, .. })) => return count(Count::Damped(rank), 1),
            Err((_, Staged::Damped { .. })) => return count(Count::WouldDamp(rank), 1),
            Err((marker, Staged::Marked { .. })) if !marker.shown.is_observed() => {
                return count(Count::Marked(rank), 1);
            }
            Err((_, Staged::Spared { .. })) => return count(Count::Spared(rank), 1),
            Err((_, Staged::Measured { number: None, .. })) => {
                return count(Count::Unrated(rank), 1);
            }
            Err((_, Staged::Measured { .. } | Staged::Counted(_))) => {
                return count(Count::Pending(rank), 0);
            }
            Err((_, Staged::Marked { .. } | Staged::Flapped { .. } | Staged::Grouped { .. })) => {
                return count(Count::Pending(rank), 0);
            }
        };
        Ok((episode::<S>(&of, &lane, &sustained, revision), at, diff))
    });
    decided.episodes.push(episodes);
    decided.ledgers.push(tally(counts.filter(|(.., diff)| *diff != 0)));
}

/// What lasts of a lane, as it is published.
fn episode<S: Shown>(
    of: &Lanes,
    lane: &Lane,
    sustained: &Sustained<S::State>,
    revision: u32,
) -> Episode {
    let (signal, rule, state) = of.catalog.ranks(lane.rule(), S::number(&sustained.state));
    Episode {
        since_ns: sustained.since,
        entity: lane.entity.name(),
        signal,
        rule,
        state,
        until_ns: sustained.until,
        decided_ns: sustained.decided,
        expired: sustained.expired,
        revision,
        detail: S::detail(&sustained.state),
    }
}
