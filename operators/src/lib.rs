//! Deterministic operators in time for [timely] and [differential] dataflow.
//!
//! What is stateful *in time* (a state that must last, a window in which repeats count once, a
//! session that ends in silence) is awkward as relational algebra: it grows with history, or it is
//! wrong as soon as data come out of order. Here it is one operator, the [keyed timeline](timeline):
//! per key it folds a small pure *machine* over events in the order in which they happened, whatever
//! the order in which they came, and says what changes as an ordinary differential collection.
//!
//! Nothing here reads a clock. The output is a function of the input and its logical times: the same
//! for any number of workers, any batching, and with a snapshot and a restore between.
//!
//! | module | what it is | state it keeps |
//! |---|---|---|
//! | [`timeline`] | folds a [`Machine`] over each key's events: order, repeats, lateness, deadlines, retraction, snapshots | per key its state; per event inside the horizon, the event and a state |
//! | [`machines::hold_down`] | a state counts once it has lasted | about 64 bytes a key |
//! | [`stage`] | what is done with observations before a machine folds them, as one machine | 24 bytes a key, and that of the stage |
//! | [`machines::absent`] | a key that is not observed for too long is in a state of its own | 24 bytes a key |
//! | [`machines::threshold`] | readings make states, which recover at another threshold | 32 bytes a key |
//! | [`machines::smoothing`] | time-weighted means, medians and rates of readings, before | 24 bytes a key; of a median or a rate, 16 for each reading of its time |
//! | [`machines::quorum`] | a fault counts while enough witnesses of a key agree on it | a state and 32 bytes a key; a state, a witness and 16 bytes a vote |
//! | [`machines::flap_damping`] | changes of what changes too often are withheld (RFC 2439) | two states and 40 bytes a key |
//! | [`machines::flap_detection`] | what changes in too large a share is in a state of its own | a state and 8 bytes a key |
//! | [`machines::grace`] | the faults of a key that was just seen first wait | a state and 24 bytes a key |
//! | [`machines::session`] | changes that are close to one another are a state of their own, which tells them | a state and 32 bytes a key |
//! | [`machines::dedup`] | of events that repeat each other within a window, the first passes | 40 bytes per fingerprint whose window lasts |
//! | [`firsts`] | of records that are received more than once, the first passes | 48 bytes per fingerprint whose window lasts |
//! | [`gather`] | all updates of a collection on one worker, one complete logical time after the other | the updates of times not yet complete |
//! | [`intake`] | batches from other threads into a worker, no faster than they flow | a few batches a worker |
//! | [`hash`] | the one hash, with a fixed seed | none |
//! | [`harness`] | holds an operator against a naive oracle over workers, batches, shuffles and restarts | for tests |
//!
//! # Three times
//!
//! - The *event time* is when something happened: [`Event::time`].
//! - The *logical time* of an update says when it was received: timely's timestamp, an `i64` in the
//!   same unit. It is a multiple of the *tick*.
//! - A *deadline* is an instant at which silence means something. What it changes is told at the
//!   first multiple of the tick at or after it, however much later it is computed.
//!
//! # Write your own machine
//!
//! A [`Machine`] says how the state of one key folds over one event, when its next deadline is and
//! what happens then, and what to tell. It is pure and sees one key at a time, with its events in
//! order. Everything else is the timeline's: data out of order, what was said and no longer holds,
//! timers, workers, snapshots.
//!
//! Here is a whole one. A visitor's visits belong to one *session* as long as no two of them in a row
//! are `gap` apart; the session ends when nothing has come for that long.
//!
//! ```
//! use differential_dataflow::input::Input;
//! use limbeck_operators::timeline::{Timeline, Timing};
//! use limbeck_operators::{Event, Machine};
//! use serde::{Deserialize, Serialize};
//!
//! /// Someone looked at a page. The derived order is by time first, then by content: events that
//! /// tie are told apart by what they say, never by when they came.
//! #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
//! struct Visit {
//!     time: i64,
//!     page: String,
//! }
//!
//! impl Event for Visit {
//!     fn time(&self) -> i64 {
//!         self.time
//!     }
//! }
//!
//! /// What is told. It is the state as well: all that must be remembered of a session.
//! #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
//! struct Session {
//!     since: i64,
//!     last: i64,
//!     visits: u32,
//!     over: bool,
//! }
//!
//! struct Sessions {
//!     gap: i64,
//! }
//!
//! impl Machine for Sessions {
//!     type Key = u64;
//!     type Event = Visit;
//!     // `None`, the default, is a visitor of whom nothing is known: between two sessions the key
//!     // is forgotten and costs nothing.
//!     type State = Option<Session>;
//!     type Output = Session;
//!
//!     fn event(&self, _: &u64, open: &mut Option<Session>, visit: &Visit, _: &mut Vec<Session>) {
//!         let since = visit.time;
//!         let session =
//!             open.get_or_insert(Session { since, last: since, visits: 0, over: false });
//!         session.last = visit.time;
//!         session.visits += 1;
//!     }
//!
//!     fn deadline(&self, _: &u64, open: &Option<Session>) -> Option<i64> {
//!         open.as_ref().map(|session| session.last + self.gap)
//!     }
//!
//!     // Pushed while folding: it stands from then on.
//!     fn elapse(&self, _: &u64, open: &mut Option<Session>, _: i64, out: &mut Vec<Session>) {
//!         out.extend(open.take().map(|session| Session { over: true, ..session }));
//!     }
//!
//!     // Holds for now.
//!     fn current(&self, _: &u64, open: &Option<Session>, out: &mut Vec<Session>) {
//!         out.extend(open.clone());
//!     }
//!
//!     // A session that grows is the same session in its next revision.
//!     fn same(&self, one: &Session, other: &Session) -> bool {
//!         one.since == other.since
//!     }
//! }
//!
//! // Visitor 7 comes at 10 and at 16, so there are two sessions with a gap of 5. At 17 it turns
//! // out that there was a visit at 13, and there is only one.
//! let visits = [(10, 10, "home"), (16, 16, "cart"), (17, 13, "shelf")];
//!
//! let mut told = timely::execute_directly(move |worker| {
//!     let told = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
//!     let (mut input, probe) = worker.dataflow(|scope| {
//!         let (input, events) = scope.new_collection::<(u64, Visit), isize>();
//!         let timing = Timing { lateness: 10, tick: 1 };
//!         let outputs = Timeline::new("sessions", Sessions { gap: 5 }, timing).build(events);
//!         let sink = told.clone();
//!         let outputs = outputs.oks.inspect(move |((_, output), at, diff)| {
//!             let session = &output.value;
//!             let what = (session.since, session.visits, session.over);
//!             sink.borrow_mut().push((*at, *diff, what, output.revision));
//!         });
//!         (input, outputs.probe().0)
//!     });
//!     for (received, time, page) in visits {
//!         input.advance_to(received);
//!         input.insert((7, Visit { time, page: page.to_owned() }));
//!     }
//!     // Time goes on until 29, inclusive, and what was due by then is told.
//!     input.advance_to(30);
//!     input.flush();
//!     while probe.less_than(input.time()) {
//!         worker.step();
//!     }
//!     told.take()
//! });
//!
//! told.sort();
//! assert_eq!(told, [
//!     //at diff  since visits over  revision
//!     (10,  1, (10, 1, false), 1), // A visit: a session.
//!     (15, -1, (10, 1, false), 1), // Nothing came for 5: ...
//!     (15,  1, (10, 1, true), 2),  // ... it is over.
//!     (16,  1, (16, 1, false), 1), // Another visit, another session.
//!     (17, -1, (10, 1, true), 2),  // The visit at 13 is told of: neither was so.
//!     (17, -1, (16, 1, false), 1),
//!     (17,  1, (10, 3, false), 3), // One session of three visits, the first in a new revision.
//!     (21, -1, (10, 3, false), 3),
//!     (21,  1, (10, 3, true), 4),  // It is over 5 after the visit at 16.
//! ]);
//! ```
//!
//! Four rules keep a machine right:
//!
//! 1. **It depends on its arguments alone.** The same fold is repeated when an event comes out of
//!    order, and once more after a restore, which fails loudly if it says something else then.
//! 2. **The order of events is by content.** [`Event`]'s `Ord` starts with the time and must not hold
//!    anything about receipt, or outputs would depend on schedules.
//! 3. **Deadlines move on.** Each [`elapse`](Machine::elapse) removes the deadline or makes it later.
//! 4. **State returns to its default** once nothing more can come of a key. Then it is forgotten.
//!    A key that never gets there is kept for ever.
//!
//! To be sure, write down what the machine means as a plain loop over sorted events, and let the
//! [harness] compare the two on random input, at every logical time, for several numbers of workers,
//! batchings and restarts. `tests/timeline.rs` of this crate does so for its own machines.
//!
//! # When not to use it
//!
//! - **Relations between keys**: joins, counts, reachability. Differential's own operators do that,
//!   and the timeline's output is one of their collections.
//! - **History without end.** What is before `logical time - lateness` is rejected; with an unbounded
//!   lateness all events are kept.
//! - **Many events of one key inside the horizon, out of order.** An insertion shifts the key's later
//!   events, and their folds are repeated until the state agrees.
//! - **Other timestamps.** Logical time is an `i64` in the unit of event time. Nested scopes, and
//!   partially ordered time, are not supported.
//! - **Data whose order of receipt is its meaning.** If there is no event time, there is nothing for
//!   it to put right.
//!
//! [timely]: https://docs.rs/timely
//! [differential]: https://docs.rs/differential-dataflow

pub mod finite;
pub mod firsts;
pub mod footprint;
pub mod gather;
pub mod harness;
pub mod hash;
pub mod in_place;
pub mod intake;
mod machine;
pub mod machines;
mod pending;
pub mod snapshots;
pub mod stage;
pub mod timeline;

pub use machine::{Data, Event, Key, Machine};
