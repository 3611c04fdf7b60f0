//! The keyed timeline: what is stateful *in time*, per key, as one dataflow operator.
//!
//! # Meaning
//!
//! The input is a collection of `(key, event)`; the logical time of an update says when it was
//! received, the event's own time when it happened. Per key, a [`Machine`] is folded over the
//! events in canonical order. The output at a logical time is a function of the events received
//! until then, and of that time, alone: it does not depend on workers, batches, or the order in
//! which events of one logical time come.
//!
//! - **Order.** Events fold in the order of their `Ord`, event time first. Whatever the order of
//!   arrival, the output is the one of the sorted sequence: an event that comes out of order
//!   amends what was said. What it changes is withdrawn and told anew, as differences.
//! - **Clock.** At logical time `t` the clock stands at `t`. An event in the future of the clock
//!   waits for it. Logical times, and so the times of updates, are multiples of the *tick*: a
//!   change that a deadline brings is told at the first multiple at or after it. A change is thus
//!   told at the later of the arrival of its cause and its deadline rounded up.
//! - **Deadlines.** A deadline passes before the events of its own instant if it was set by an
//!   earlier instant, and after all of them if one of these set it: events of one instant are
//!   never torn apart.
//! - **Repeats.** The input is a multiset. An event folds once however often it was inserted, and
//!   not at all when it was retracted as often.
//! - **Lateness.** An event whose time is before `logical time - lateness` is rejected to the
//!   second output, insertion or retraction alike; at exactly that time it is accepted. What is
//!   before the *horizon*, `logical time + 1 - lateness`, is final.
//! - **Revisions.** Outputs that are the [`same`](Machine::same) thing are numbered from 1 by the
//!   logical times at which they changed, through withdrawals too.
//! - **End.** When the input closes, nothing more happens, unless it is said at which instant time
//!   ends ([`Timeline::ending_at`]): then every deadline until that instant passes, also where it
//!   lies within a tick, and the machine says [what is left to say](Machine::ended) of every key
//!   that is remembered.
//!
//! # Cost
//!
//! Per event in order: one table look-up, one fold, and a note in a journal of all keys, which is
//! written and forgotten in one line. Out of order: a binary search and the folds until the state
//! agrees with the one stored, usually one or two. Per key: its state; per event inside the
//! horizon, the event and a state. A timer costs constant time and eight words. A key whose state
//! has returned to its default is forgotten.
//!
//! # Snapshots
//!
//! [`Snapshots::request`] takes the state of every key at a logical time, as bytes a key and thus
//! for any number of workers; [`Timeline::restore_from`] starts from it. Restored, the timeline
//! repeats the fold, checks that it says what it had said, tells nothing of it again, and goes on
//! with the updates from that logical time on.

mod chunks;
mod history;
mod journal;
mod keys;
mod queue;
mod wheel;

use std::sync::Arc;

use differential_dataflow::{AsCollection, VecCollection};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, ParallelizationContract, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::operator::empty;

pub use history::Revised;

use crate::footprint::Telling;
use crate::hash::fixed_hash;
use crate::machine::Machine;
use crate::pending::{Pending, Update};
use crate::snapshots::{Snapshot, Snapshots};
use keys::{Keys, Place, Tell};

/// How a timeline measures time, in the unit of the dataflow's logical time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How far an event's time may lie before the logical time it is received at.
    pub lateness: i64,
    /// The grid of logical times; 1 if every time is one.
    pub tick: i64,
}

impl Timing {
    /// The last multiple of the tick at or before a time.
    pub fn floor(&self, time: i64) -> i64 {
        time.saturating_sub(time.rem_euclid(self.tick))
    }

    /// The first multiple of the tick at or after a time.
    pub fn ceil(&self, time: i64) -> i64 {
        match time.rem_euclid(self.tick) {
            0 => time,
            rest => time.saturating_add(self.tick - rest),
        }
    }
}

/// An event that came too late, or the retraction of one that is final.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rejected<K, E> {
    /// The event's key.
    pub key: K,
    /// The event as it came.
    pub event: E,
}

/// What a timeline takes in: keys with events.
pub type Events<'scope, M> =
    VecCollection<'scope, i64, (<M as Machine>::Key, <M as Machine>::Event), isize>;

/// What a timeline says: keys with what holds of them.
pub type Said<'scope, M> =
    VecCollection<'scope, i64, (<M as Machine>::Key, Revised<<M as Machine>::Output>), isize>;

/// What a timeline gives.
pub struct Outputs<'scope, M: Machine> {
    /// What the machine says of each key.
    pub oks: Said<'scope, M>,
    /// What came too late.
    pub errs: VecCollection<'scope, i64, Rejected<M::Key, M::Event>, isize>,
}

/// The operator, before it is built into a dataflow. See the [module documentation](self).
///
/// ```
/// use differential_dataflow::input::Input;
/// use limbeck_operators::machines::hold_down::{Decision, HoldDown, Observed};
/// use limbeck_operators::timeline::{Timeline, Timing};
///
/// // A reading settles when it has lasted three units.
/// timely::execute_directly(|worker| {
///     let (mut input, probe, told) = worker.dataflow(|scope| {
///         let (input, readings) = scope.new_collection::<(u64, Observed), isize>();
///         let machine = HoldDown::uniform(3);
///         let timing = Timing { lateness: 5, tick: 1 };
///         let outputs = Timeline::new("settle", machine, timing).build(readings);
///         let told = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
///         let sink = told.clone();
///         let (probe, _) = outputs
///             .oks
///             .inspect(move |((key, output), time, diff)| {
///                 if let Decision::Sustained(sustained) = &output.value {
///                     sink.borrow_mut().push((*key, sustained.since, *time, *diff));
///                 }
///             })
///             .probe();
///         (input, probe, told)
///     });
///     input.advance_to(10);
///     input.insert((7, Observed { time: 9, state: 1 }));
///     input.advance_to(20);
///     input.flush();
///     while probe.less_than(input.time()) {
///         worker.step();
///     }
///     // Since 9; decided at 12, when it had lasted three units.
///     assert_eq!(*told.borrow(), [(7, 9, 12, 1)]);
/// });
/// ```
pub struct Timeline<'scope, M: Machine> {
    name: String,
    machine: M,
    timing: Timing,
    snapshots: Snapshots<M::Key>,
    restored: Option<Arc<[Snapshot<M::Key>]>>,
    route: fn(&M::Key) -> u64,
    ends: Option<Stream<'scope, i64, Vec<i64>>>,
}

impl<'scope, M: Machine> Timeline<'scope, M> {
    /// A timeline with the name it has in logs and profiles.
    ///
    /// # Panics
    ///
    /// If the tick is not positive, or the lateness negative.
    pub fn new(name: &str, machine: M, timing: Timing) -> Self {
        assert!(timing.tick > 0 && timing.lateness >= 0, "{timing:?} cannot be");
        let (name, snapshots, route) = (name.to_owned(), Snapshots::new(), fixed_hash);
        Self { name, machine, timing, snapshots, restored: None, route, ends: None }
    }

    /// Serves the requests made through `snapshots`.
    #[must_use]
    pub fn with_snapshots(mut self, snapshots: &Snapshots<M::Key>) -> Self {
        self.snapshots = snapshots.clone();
        self
    }

    /// Starts from a snapshot: from the parts of all workers that took it, whatever their number
    /// was; each worker picks its own keys. The input must start at the snapshot's time.
    #[must_use]
    pub fn restore_from(mut self, parts: Arc<[Snapshot<M::Key>]>) -> Self {
        self.restored = Some(parts);
        self
    }

    /// Whose a key is, modulo the number of workers, where that is not by its
    /// [hash](fixed_hash): all events of a key [must come](Self::build_local) from that worker.
    #[must_use]
    pub fn routed_by(mut self, route: fn(&M::Key) -> u64) -> Self {
        self.route = route;
        self
    }

    /// Says at which instant time ends: at the largest of these, when both inputs have closed.
    /// Every worker must receive the same ones.
    #[must_use]
    pub fn ending_at(mut self, ends: Stream<'scope, i64, Vec<i64>>) -> Self {
        self.ends = Some(ends);
        self
    }

    /// Builds the operator; events are brought to the worker of their key.
    pub fn build(self, events: Events<'scope, M>) -> Outputs<'scope, M> {
        let route = self.route;
        let by_key = move |((key, _), _, _): &((M::Key, M::Event), i64, isize)| route(key);
        self.build_with(events, Exchange::new(by_key))
    }

    /// Builds the operator where all events of a key come from one worker already.
    pub fn build_local(self, events: Events<'scope, M>) -> Outputs<'scope, M> {
        self.build_with(events, Pipeline)
    }

    fn build_with<P>(self, events: Events<'scope, M>, pact: P) -> Outputs<'scope, M>
    where
        P: ParallelizationContract<i64, Vec<Update<Received<M>>>>,
    {
        let scope = events.inner.scope();
        let mut keys = Keys::new(self.machine, self.timing);
        let (worker, workers, route) = (scope.index() as u64, scope.peers() as u64, self.route);
        let parts = || self.restored.iter().flat_map(|parts| parts.iter());
        keys.reserve(parts().map(Snapshot::len).sum::<usize>() / scope.peers());
        for part in parts() {
            keys.restore(part, |key| route(key) % workers == worker)
                .expect("a snapshot of this machine");
        }
        let ends = self.ends.unwrap_or_else(|| empty(scope));
        let mut builder = OperatorBuilder::new(self.name, scope);
        let mut input = builder.new_input(events.inner, pact);
        let (oks, ok_stream) = builder.new_output();
        let (errs, err_stream) = builder.new_output();
        // What ends time holds nothing back: no output follows from it before the events close.
        let mut ends = builder.new_input_connection(ends, Pipeline, []);
        let mut oks = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(oks);
        let mut errs = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(errs);
        let snapshots = self.snapshots;
        let mut telling = Telling::new(&scope, builder.operator_info().global_id);

        builder.build(move |capabilities| {
            let mut held: Option<Vec<Capability<i64>>> = Some(capabilities);
            let mut pending = Pending::new();
            let mut end: Option<i64> = None;
            move |frontiers| {
                input.for_each(|_, batch| pending.receive(batch));
                ends.for_each(|_, batch| end = end.max(batch.drain(..).max()));
                let Some(caps) = &mut held else { return };
                let frontier = frontiers[0].frontier().first().copied();
                let waits = match frontier {
                    Some(frontier) => frontier <= *caps[0].time(),
                    None => !frontiers[1].is_empty(),
                };
                if waits {
                    return;
                }
                let (mut ok_output, mut err_output) = (oks.activate(), errs.activate());
                let mut emit =
                    Emit { ok: ok_output.session(&caps[0]), err: err_output.session(&caps[1]) };
                while let Some(at) = frontier.and_then(|frontier| snapshots.next_wanted(frontier)) {
                    play(&mut pending, &mut keys, Some(at), &mut emit);
                    keys.advance(at, &mut emit);
                    snapshots.give(keys.snapshot(at));
                }
                if let (None, Some(end)) = (frontier, end) {
                    // What comes last may come in the tick in which time ends.
                    keys.end_at(end);
                }
                play(&mut pending, &mut keys, frontier, &mut emit);
                match (frontier, end) {
                    (Some(frontier), _) => keys.advance(frontier, &mut emit),
                    (None, Some(end)) => keys.finish(end, &mut emit),
                    (None, None) => {}
                }
                telling.tell(|| keys.footprint());
                drop(emit);
                drop((ok_output, err_output));
                match frontier {
                    Some(frontier) => caps.iter_mut().for_each(|cap| cap.downgrade(&frontier)),
                    None => held = None,
                }
            }
        });
        Outputs { oks: ok_stream.as_collection(), errs: err_stream.as_collection() }
    }
}

/// How many keys are looked up together: enough to wait for memory once, not once each.
const LOOKED_UP_AHEAD: usize = 64;

type Received<M> = (<M as Machine>::Key, <M as Machine>::Event);

/// Plays every logical time before `until`, in order.
fn play<M: Machine>(
    pending: &mut Pending<Received<M>>,
    keys: &mut Keys<M>,
    until: Option<i64>,
    tell: &mut impl Tell<M>,
) {
    let mut played = None;
    let mut places = [Place::default(); LOOKED_UP_AHEAD];
    for batch in pending.complete(until, |(_, one, _), (_, other, _)| one <= other) {
        for updates in batch.chunks(LOOKED_UP_AHEAD) {
            for (((key, _), ..), place) in updates.iter().zip(&mut places) {
                *place = keys.look_up(key);
            }
            keys.touch(&places[..updates.len()]);
            for (((key, event), at, diff), place) in updates.iter().zip(&places) {
                played = Some(*at);
                keys.insert(*at, (key, event), *diff, *place, tell);
            }
        }
    }
    if let Some(last) = played {
        keys.settle(last.saturating_add(1), tell);
    }
}

/// Sends what the keys say, each at its own logical time.
struct Emit<A, B> {
    ok: A,
    err: B,
}

/// Takes records into a dataflow stream.
trait Give<D> {
    fn give_one(&mut self, data: D);
}

impl<D, T, CT> Give<D>
    for timely::dataflow::operators::generic::Session<
        '_,
        '_,
        T,
        CapacityContainerBuilder<Vec<D>>,
        CT,
    >
where
    D: Clone + 'static,
    T: timely::progress::Timestamp,
    CT: timely::dataflow::operators::CapabilityTrait<T>,
{
    fn give_one(&mut self, data: D) {
        self.give(data);
    }
}

impl<M, A, B> Tell<M> for Emit<A, B>
where
    M: Machine,
    A: Give<((M::Key, Revised<M::Output>), i64, isize)>,
    B: Give<(Rejected<M::Key, M::Event>, i64, isize)>,
{
    fn output(&mut self, key: &M::Key, output: Revised<M::Output>, logical: i64, diff: isize) {
        self.ok.give_one(((key.clone(), output), logical, diff));
    }

    fn rejected(&mut self, rejected: Rejected<M::Key, M::Event>, logical: i64, diff: isize) {
        self.err.give_one((rejected, logical, diff));
    }
}
