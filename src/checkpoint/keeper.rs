//! Who takes part in cuts.
//!
//! Guarantees: each process and worker gives its part of a cut once; what takes part waits for the
//! disk nowhere. State: what is on its way to the leader.
//!
//! Every process has a [`Member`], which stands between its reader, its workers and the leader. The
//! leader, a thread of the process that writes the outputs, hears of its own member and of others
//! alike; what comes from these, and goes to them, is [carried](crate::replay) by whoever has the
//! connections.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use limbeck_operators::intake::Cutter;
use serde::{Deserialize, Serialize};

use super::agreement::{Answer, Council, Gate, Order};
use super::leader::{Asked, Event, Leader, Parts};
use super::{Every, Plan};
use crate::pipeline::SavedFlow;
use crate::sinks::OutputError;
use crate::sinks::report::UnsavedOutputs;
use crate::sources::intake::{SavedIntake, Saver};

/// A process among those that replay together.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Which it is, from 0, which leads.
    pub process: usize,
    /// How many there are.
    pub processes: usize,
}

/// What a member says to the leader, in a form that travels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Said {
    /// It goes on from where it was told, or why it cannot.
    Ready(Result<(), String>),
    /// An answer.
    Answer(Answer),
    /// What its intake remembers at a cut.
    Intake(i64, SavedIntake),
    /// What one of its workers remembers at a cut; its parts travel beside it.
    Worker(i64),
    /// It cannot go on.
    Leave(String),
}

/// What the leader says to a member, in a form that travels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Told {
    /// From where all go on: from the checkpoint beside it, or from the start.
    GoOn,
    /// All are ready.
    Start,
    /// An order.
    Order(Order),
    /// The outputs are in place.
    Done,
    /// All end without outputs.
    Stop(String),
}

/// Something said, with bytes beside it.
pub type ToLeader = (Said, Vec<Vec<u8>>);

/// Where what a member says goes.
enum ToWhom {
    /// To the leader of its own process.
    Leader(Sender<Event>),
    /// To that of another.
    Away(Sender<ToLeader>),
}

/// What takes part for a process.
pub(super) struct Member {
    process: usize,
    gate: Gate<SavedIntake>,
    cutters: Vec<Cutter>,
    /// How many workers do not know of the cut.
    unknowing: AtomicUsize,
    refused: AtomicBool,
    to: ToWhom,
}

impl Member {
    fn say(&self, answer: Answer) {
        // A leader that is gone has said why.
        let _ = match &self.to {
            ToWhom::Leader(events) => events.send(Event::Answer(answer)).map_err(|_| ()),
            ToWhom::Away(said) => said.send((Said::Answer(answer), Vec::new())).map_err(|_| ()),
        };
    }

    fn give_intake(&self, at: i64, intake: SavedIntake) {
        let _ = match &self.to {
            ToWhom::Leader(events) => {
                events.send(Event::Intake(self.process, at, intake)).map_err(|_| ())
            }
            ToWhom::Away(said) => said.send((Said::Intake(at, intake), Vec::new())).map_err(|_| ()),
        };
    }

    fn give_worker(&self, saved: SavedFlow) {
        let _ = match &self.to {
            ToWhom::Leader(events) => events.send(Event::Worker(saved)).map_err(|_| ()),
            ToWhom::Away(said) => {
                let at = saved.door.at();
                said.send((Said::Worker(at), saved.into_parts())).map_err(|_| ())
            }
        };
    }

    pub(super) fn obey(&self, order: Order) {
        match order {
            Order::Ask => {
                if let Some(answer) = self.gate.ask() {
                    self.say(answer);
                }
            }
            Order::Note(at) => {
                self.unknowing.store(self.cutters.len(), Ordering::SeqCst);
                self.cutters.iter().for_each(|cutter| cutter.cut(at));
            }
            Order::Go(cut) => {
                if let Some((at, intake)) = self.gate.go(cut) {
                    self.give_intake(at, intake);
                }
            }
            Order::Over => self.gate.over(),
        }
    }
}

/// Hands over what the operators of a worker remember.
#[derive(Clone)]
pub struct WorkerGiver(Arc<Member>);

impl WorkerGiver {
    /// Says that the worker knows of the cut.
    pub fn noted(&self) {
        if self.0.unknowing.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.say(Answer::Noted);
        }
    }

    /// Hands over.
    pub fn give(&self, saved: SavedFlow) {
        self.0.give_worker(saved);
    }
}

/// Hands over what the outputs remember. Without it nothing can be saved any more.
pub struct OutputsGiver(Sender<Event>);

impl OutputsGiver {
    /// Hands over.
    pub fn give(&self, unsaved: UnsavedOutputs) {
        let _ = self.0.send(Event::Outputs(unsaved));
    }
}

impl Drop for OutputsGiver {
    fn drop(&mut self) {
        let _ = self.0.send(Event::NoMore);
    }
}

/// What keeps a process in step with the checkpoints, and on the one that leads makes them.
pub struct Keeper {
    member: Arc<Member>,
    share: Share,
    /// On the one that leads.
    lead: Option<Lead>,
    /// What is said to the leader of another process, to be carried there.
    said: Option<Receiver<ToLeader>>,
    /// By process: what is told to it, to be carried there.
    told: Vec<(usize, Receiver<Told>)>,
    given_up: Arc<AtomicBool>,
}

struct Lead {
    events: Sender<Event>,
    thread: JoinHandle<Result<(), OutputError>>,
    failed: Option<Receiver<(u8, String)>>,
    ended: Arc<AtomicBool>,
    /// By the clock of the log: how often, and where it stood last.
    by_clock: Option<(i64, Mutex<Option<i64>>)>,
}

impl Keeper {
    /// Takes part for a process; on the one that leads, starts the thread that does.
    pub fn start(plan: &Plan, asked: Asked, share: Share, cutters: Vec<Cutter>) -> Self {
        let (events, received) = unbounded();
        let (away, said) = unbounded();
        let leads = share.process == 0;
        let to = if leads { ToWhom::Leader(events.clone()) } else { ToWhom::Away(away) };
        let workers = cutters.len();
        let member = Arc::new(Member {
            process: share.process,
            gate: Gate::new(),
            cutters,
            unknowing: AtomicUsize::new(0),
            refused: AtomicBool::new(false),
            to,
        });
        let others = if leads { 1..share.processes } else { 0..0 };
        let (tell, told): (Vec<_>, Vec<_>) = others
            .map(|process| {
                let (tell, told) = unbounded();
                (tell, (process, told))
            })
            .unzip();
        let lead = leads.then(|| {
            let leader = Leader {
                plan: plan.clone(),
                council: Council::new(share.processes, asked.not_before),
                asked,
                share,
                workers: workers * share.processes,
                member: Arc::clone(&member),
                tell,
                parts: Parts::default(),
                is_due: false,
            };
            let ended = Arc::new(AtomicBool::new(false));
            let ending = Ending { ended: Arc::clone(&ended), member: Arc::clone(&member) };
            let thread = std::thread::Builder::new().name("checkpoint".to_owned());
            let (failed, has_failed) = bounded(1);
            let thread = thread.spawn(move || {
                let _ending = ending;
                let done = leader.run(&received);
                if let Err(error) = &done {
                    let _ = failed.send((error.exit_code(), error.to_string()));
                }
                done
            });
            let by_clock = match plan.every {
                Every::Clock(every) => Some((every, Mutex::new(None))),
                Every::Elapsed(_) => None,
            };
            let (thread, failed) = (thread.expect("a thread can be started"), Some(has_failed));
            Lead { events, thread, failed, ended, by_clock }
        });
        let said = (!leads).then_some(said);
        Self { member, share, lead, said, told, given_up: Arc::default() }
    }

    /// Whether the replay ends before its logs do: what comes then is not so, and is made anew from
    /// the last checkpoint.
    pub fn given_up(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.given_up)
    }

    /// What hands over what workers remember.
    pub fn worker_giver(&self) -> WorkerGiver {
        WorkerGiver(Arc::clone(&self.member))
    }

    /// What hands over what the outputs remember; of the process that leads.
    pub fn outputs_giver(&self) -> Option<OutputsGiver> {
        Some(OutputsGiver(self.lead.as_ref()?.events.clone()))
    }

    /// What is to be carried to the leader; none on the process that leads.
    pub fn take_said(&mut self) -> Option<Receiver<ToLeader>> {
        self.said.take()
    }

    /// What is to be carried to another process; none but on the one that leads.
    pub fn take_told(&mut self, process: usize) -> Option<Receiver<Told>> {
        let at = self.told.iter().position(|(other, _)| *other == process)?;
        Some(self.told.swap_remove(at).1)
    }

    /// What says that no checkpoint can be written any more: the exit code of that, and why; none
    /// but on the process that leads.
    pub fn take_failed(&mut self) -> Option<Receiver<(u8, String)>> {
        self.lead.as_mut()?.failed.take()
    }

    /// What takes what comes from another process, on the one that leads. Gives back what is no
    /// part of a checkpoint.
    pub fn hears(&self) -> impl Fn(usize, ToLeader) -> Option<Said> + Clone + Send + use<> {
        let events = self.lead.as_ref().map(|lead| lead.events.clone());
        move |process, (said, parts)| {
            let event = match said {
                Said::Answer(answer) => Event::Answer(answer),
                Said::Intake(at, intake) => Event::Intake(process, at, intake),
                Said::Worker(at) => Event::Worker(SavedFlow::from_parts(at, parts)?),
                Said::Ready(_) | Said::Leave(_) => return Some(said),
            };
            let _ = events.as_ref()?.send(event);
            None
        }
    }

    /// What takes what comes from the leader. Gives back what is no order.
    pub fn obeys(&self) -> impl Fn(Told) -> Option<Told> + Send + use<> {
        let member = Arc::clone(&self.member);
        move |told| match told {
            Told::Order(order) => {
                member.obey(order);
                None
            }
            told => Some(told),
        }
    }

    /// Waits until the last checkpoint that is whole is written.
    ///
    /// # Errors
    /// Why one could not be written.
    pub fn finish(self) -> Result<(), OutputError> {
        let Some(Lead { thread, events, .. }) = self.lead else { return Ok(()) };
        drop(events);
        match thread.join() {
            Ok(written) => written,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Saver for Keeper {
    fn judging(&self) -> Option<i64> {
        self.member.gate.judging()
    }

    fn judged(&self, clock: Option<(i64, i64)>) {
        if let Some(answer) = self.member.gate.judged(clock.map(|(_, next)| next)) {
            self.member.say(answer);
        }
        let by_clock = self.lead.as_ref().and_then(|lead| lead.by_clock.as_ref());
        let (Some((every, last)), Some((clock_ns, _))) = (by_clock, clock) else { return };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let since_ns = *last.get_or_insert(clock_ns);
        if clock_ns.saturating_sub(since_ns) >= *every && self.member.gate.hold() {
            *last = Some(clock_ns);
            if let Some(lead) = &self.lead {
                let _ = lead.events.send(Event::Due);
            }
        }
    }

    fn has_failed(&self) -> bool {
        self.lead.as_ref().is_some_and(|lead| lead.ended.load(Ordering::SeqCst))
    }

    fn refuse(&self) {
        if !self.member.refused.swap(true, Ordering::SeqCst) {
            self.member.say(Answer::Refused);
        }
    }

    fn give_up(&self) -> bool {
        self.given_up.store(true, Ordering::SeqCst);
        self.share.processes == 1
    }

    fn save(&self, at: i64, intake: SavedIntake) {
        self.member.gate.has_cut();
        self.member.give_intake(at, intake);
    }

    fn ended(&self, intake: SavedIntake) {
        if let Some(at) = self.member.gate.end(intake.clone()) {
            self.member.give_intake(at, intake);
        }
    }
}

/// Says that the leader has ended, however it does.
struct Ending {
    ended: Arc<AtomicBool>,
    member: Arc<Member>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        self.member.gate.over();
    }
}
