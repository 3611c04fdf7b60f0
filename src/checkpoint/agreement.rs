//! How processes agree on a cut: one logical time, ahead of all that any of them has judged.
//!
//! ```text
//!     leader          every process
//!     Ask       ──▶   its reader judges nothing more, and it says behind which time that is
//!     Note(at)  ──▶   all its workers know of the cut, which is at the last of these times
//!     Go(at)    ──▶   its reader goes on, and cuts its partitions when it comes to it
//! ```
//!
//! Guarantees: when a reader goes on, nothing that has been judged anywhere is of the cut or later,
//! and every worker knows of it, those too whose logs have ended. One cut is agreed on at a time.
//! No step waits for the flow: a process answers [Ask](Order::Ask) at once, or when the block that
//! is being judged has been; workers note a cut past their queues. A reader that waits for a pipe,
//! for its workers, or has ended does not keep others waiting. State: where the agreement is, of
//! the leader ([`Council`]) and of each reader ([`Gate`]).

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// What the leader says to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Wants to know how far has been judged; no more is until it says so.
    Ask,
    /// The cut will be there: every worker is to know of it.
    Note(i64),
    /// Goes on; with a cut, if it has been agreed on.
    Go(Option<i64>),
    /// There are no more cuts.
    Over,
}

/// What a process says to the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// All that it has judged is before this; none if it has judged nothing.
    Judged(Option<i64>),
    /// All its workers know of the cut.
    Noted,
    /// Something is missing from it, for good.
    Refused,
}

/// The leader's part.
#[derive(Debug)]
pub(super) struct Council {
    processes: usize,
    /// No cut is before this.
    not_before: i64,
    /// The last cut; none is of the same time.
    last: Option<i64>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is under way.
    Idle,
    /// So many have not said how far they have judged.
    Asked { left: usize, at: Option<i64> },
    /// So many have workers that do not know of it yet.
    Noting { left: usize, at: i64 },
    /// It has been agreed on, and is not whole yet.
    Cutting,
    /// There are no more.
    Over,
}

impl Council {
    pub(super) fn new(processes: usize, not_before: Option<i64>) -> Self {
        let not_before = not_before.unwrap_or(i64::MIN);
        Self { processes, not_before, last: None, stage: Stage::Idle }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
    }

    /// Begins to agree, unless something is under way.
    pub(super) fn begin(&mut self) -> Option<Order> {
        if !self.is_idle() {
            return None;
        }
        self.stage = Stage::Asked { left: self.processes, at: None };
        Some(Order::Ask)
    }

    /// Takes an answer; gives what all are to be told then.
    pub(super) fn hear(&mut self, answer: Answer) -> Option<Order> {
        match (self.stage, answer) {
            (Stage::Over, _) => None,
            (_, Answer::Refused) => {
                self.stage = Stage::Over;
                Some(Order::Over)
            }
            (Stage::Asked { left: 1, at }, Answer::Judged(next)) => {
                let at = at.max(next).map(|at| at.max(self.not_before));
                match at.filter(|at| self.last.is_none_or(|last| last < *at)) {
                    // Time has not begun, or not gone on.
                    None => {
                        self.stage = Stage::Idle;
                        Some(Order::Go(None))
                    }
                    Some(at) => {
                        self.stage = Stage::Noting { left: self.processes, at };
                        Some(Order::Note(at))
                    }
                }
            }
            (Stage::Asked { left, at }, Answer::Judged(next)) => {
                self.stage = Stage::Asked { left: left - 1, at: at.max(next) };
                None
            }
            (Stage::Noting { left: 1, at }, Answer::Noted) => {
                self.stage = Stage::Cutting;
                self.last = Some(at);
                Some(Order::Go(Some(at)))
            }
            (Stage::Noting { left, at }, Answer::Noted) => {
                self.stage = Stage::Noting { left: left - 1, at };
                None
            }
            (stage, answer) => panic!("{answer:?} answers nothing: {stage:?}"),
        }
    }

    /// What was agreed on is whole, and on the disk.
    pub(super) fn done(&mut self) {
        if self.stage == Stage::Cutting {
            self.stage = Stage::Idle;
        }
    }
}

/// The reader's part: what it may judge, with what is remembered of its logs once they have ended.
#[derive(Debug)]
pub(super) struct Gate<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    /// All that has been judged is before this.
    next: Option<i64>,
    reader: Reader,
    /// What has been agreed on, and the reader has not heard of.
    cut: Option<i64>,
    /// Whether the reader has heard of a cut and not come to it.
    cutting: bool,
    ended: Option<T>,
    over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// It does something else.
    Free,
    /// It judges.
    Judging,
    /// It judges, and has been asked how far.
    Asked,
    /// It must not judge.
    Held,
}

impl<T: Clone> Gate<T> {
    pub(super) fn new() -> Self {
        let (next, reader, cut, cutting, ended, over) =
            (None, Reader::Free, None, false, None, false);
        let state = State { next, reader, cut, cutting, ended, over };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reader is about to judge: waits while it must not, and gives what has been agreed on.
    pub(super) fn judging(&self) -> Option<i64> {
        let held = |state: &mut State<T>| state.reader == Reader::Held;
        let state = self.changed.wait_while(self.state(), held);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.reader = Reader::Judging;
        let cut = state.cut.take();
        state.cutting |= cut.is_some();
        cut
    }

    /// The reader has judged; gives the answer, if it was asked meanwhile.
    pub(super) fn judged(&self, next: Option<i64>) -> Option<Answer> {
        let mut state = self.state();
        state.next = state.next.max(next);
        let asked = state.reader == Reader::Asked;
        state.reader = if asked { Reader::Held } else { Reader::Free };
        asked.then_some(Answer::Judged(state.next))
    }

    /// Has the reader wait, if it is not on its way to a cut, until it has been asked and may go
    /// on. Whether it does.
    pub(super) fn hold(&self) -> bool {
        let mut state = self.state();
        let holds = !state.over && !state.cutting && state.cut.is_none();
        if holds {
            state.reader = Reader::Held;
        }
        holds
    }

    /// The reader has come to the cut.
    pub(super) fn has_cut(&self) {
        self.state().cutting = false;
    }

    /// The reader has ended. Gives the cut that it has not heard of, if there is one.
    pub(super) fn end(&self, ended: T) -> Option<i64> {
        let mut state = self.state();
        state.ended = Some(ended);
        state.cut.take()
    }

    /// The leader asks; gives the answer, if it is known at once.
    pub(super) fn ask(&self) -> Option<Answer> {
        let mut state = self.state();
        let judges = state.reader == Reader::Judging;
        state.reader = if judges { Reader::Asked } else { Reader::Held };
        (!judges).then_some(Answer::Judged(state.next))
    }

    /// The reader goes on. Of one that has ended, gives what is remembered at the cut.
    pub(super) fn go(&self, cut: Option<i64>) -> Option<(i64, T)> {
        let mut state = self.state();
        state.reader = match state.reader {
            Reader::Held => Reader::Free,
            reader => reader,
        };
        self.changed.notify_all();
        match (cut, &state.ended) {
            (Some(at), Some(ended)) => Some((at, ended.clone())),
            (cut, _) => {
                state.cut = cut;
                None
            }
        }
    }

    /// There are no more cuts: the reader never waits again.
    pub(super) fn over(&self) {
        let mut state = self.state();
        state.over = true;
        state.reader = match state.reader {
            Reader::Held => Reader::Free,
            Reader::Asked => Reader::Judging,
            reader => reader,
        };
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
