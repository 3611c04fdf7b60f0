//! Who leads: says when there is a cut, collects what all remember at it, and writes the checkpoint.
//!
//! Guarantees: one is written when all its parts are there, and never of the parts of two cuts; the
//! next is asked for when it is on the disk. State: the parts of one, and what they are put into.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::agreement::{Answer, Council, Order};
use super::keeper::{Member, Share, Told};
use super::{Checkpoint, Every, NAME, Plan, file, remove_others};
use crate::pipeline::SavedFlow;
use crate::rules::Written;
use crate::sinks::OutputError;
use crate::sinks::report::UnsavedOutputs;
use crate::sources::intake::SavedIntake;

/// What a replay is asked for, and since when there is more to save than the last checkpoint has.
#[derive(Clone)]
pub struct Asked {
    /// Names, with hashes of what they are.
    pub asked: Vec<(String, u64)>,
    /// The rule file.
    pub written: Written,
    /// The first logical time at which there may be one.
    pub not_before: Option<i64>,
}

/// What the leader hears.
pub(super) enum Event {
    Answer(Answer),
    /// It is time for a checkpoint.
    Due,
    Intake(usize, i64, SavedIntake),
    Worker(SavedFlow),
    Outputs(UnsavedOutputs),
    NoMore,
}

/// The parts of a checkpoint that are there.
#[derive(Default)]
pub(super) struct Parts {
    at: Option<i64>,
    /// By process.
    intake: BTreeMap<usize, (i64, SavedIntake)>,
    flow: Vec<SavedFlow>,
    outputs: Option<UnsavedOutputs>,
}

/// Leads: asks for cuts, and puts checkpoints together.
pub(super) struct Leader {
    pub(super) plan: Plan,
    pub(super) asked: Asked,
    pub(super) share: Share,
    /// Of all processes.
    pub(super) workers: usize,
    pub(super) council: Council,
    pub(super) member: Arc<Member>,
    /// The others.
    pub(super) tell: Vec<Sender<Told>>,
    pub(super) parts: Parts,
    /// Whether a checkpoint is wanted as soon as the last one is whole.
    pub(super) is_due: bool,
}

impl Leader {
    pub(super) fn run(mut self, events: &Receiver<Event>) -> Result<(), OutputError> {
        let every = match self.plan.every {
            Every::Elapsed(every) => Some(every),
            Every::Clock(_) => None,
        };
        let mut due = every.map(|every| now() + every);
        loop {
            let event = match due.filter(|_| self.council.is_idle()) {
                Some(due) => events.recv_deadline(due),
                None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Err(RecvTimeoutError::Timeout) => {
                    due = every.map(|every| now() + every);
                    self.is_due = true;
                }
                Ok(Event::Due) => self.is_due = true,
                Ok(Event::Answer(answer)) => {
                    let order = self.council.hear(answer);
                    self.tell(order);
                }
                Ok(Event::Intake(process, at, intake)) => {
                    self.parts.intake.insert(process, (at, intake));
                }
                Ok(Event::Worker(saved)) => {
                    self.parts.at = Some(saved.door.at());
                    self.parts.flow.push(saved);
                }
                Ok(Event::Outputs(unsaved)) => self.parts.outputs = Some(unsaved),
                Ok(Event::NoMore) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.put_together()?;
            if self.is_due && self.council.is_idle() {
                self.is_due = false;
                let order = self.council.begin();
                self.tell(order);
            }
        }
    }

    fn tell(&self, order: Option<Order>) {
        let Some(order) = order else { return };
        for other in &self.tell {
            // Who is gone is missed by whoever carries it.
            let _ = other.send(Told::Order(order));
        }
        self.member.obey(order);
    }

    /// Writes the checkpoint, if it is whole.
    fn put_together(&mut self) -> Result<(), OutputError> {
        let Parts { at: Some(at), intake, flow, outputs: outputs @ Some(_) } = &mut self.parts
        else {
            return Ok(());
        };
        if flow.len() < self.workers || intake.len() < self.share.processes {
            return Ok(());
        }
        let Some(outputs) = outputs.take() else { return Ok(()) };
        let outputs = outputs()?;
        let (at, flow) = (*at, std::mem::take(flow));
        let (times, shares): (Vec<_>, _) = std::mem::take(intake).into_values().unzip();
        let mut times = flow.iter().map(|saved| saved.door.at()).chain(times);
        assert!(times.all(|time| time == at), "the parts are of one cut");
        let intake = SavedIntake::together(shares);
        let Asked { asked, written, .. } = self.asked.clone();
        let checkpoint = Checkpoint { at, asked, written, intake, outputs, flow };
        let Plan { disk, dir, .. } = &self.plan;
        file::write(disk, &dir.join(NAME), &checkpoint)
            .map_err(|error| OutputError::write_failed(dir, &error))?;
        let needed: Vec<_> = checkpoint.outputs.names().collect();
        remove_others(disk, dir, |name| needed.iter().any(|known| known == name));
        self.council.done();
        Ok(())
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "how often to save is no part of a result")]
    Instant::now()
}
