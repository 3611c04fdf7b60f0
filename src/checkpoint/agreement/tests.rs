//! Any number of processes, any order of what happens among them: they agree, and nobody waits for
//! ever.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::{Answer, Council, Gate, Order, Reader};

/// What a reader does that is neither judging nor waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// It waits for a pipe, or for its workers.
    Else,
    Judging,
    Ended,
}

struct Process {
    gate: Gate<usize>,
    doing: Doing,
    /// Blocks left to judge, and how far time came.
    blocks: u64,
    next: Option<i64>,
    /// Orders on their way to it, answers on their way to the leader.
    orders: VecDeque<Order>,
    answers: VecDeque<Answer>,
    /// A cut that its workers do not know of, and one that they do.
    unknown: Option<i64>,
    known: Option<i64>,
    /// The cut that its reader has heard of and not come to.
    cutting: Option<i64>,
    /// The cuts at which its intake was saved.
    saved: Vec<i64>,
}

impl Process {
    fn new(blocks: u64) -> Self {
        Self {
            gate: Gate::new(),
            doing: Doing::Else,
            blocks,
            next: None,
            orders: VecDeque::new(),
            answers: VecDeque::new(),
            unknown: None,
            known: None,
            cutting: None,
            saved: Vec::new(),
        }
    }

    /// The reader does what comes next, if it can; `draw` says what.
    fn read(&mut self, number: usize, draw: u64) -> bool {
        match self.doing {
            Doing::Ended => return false,
            Doing::Else if self.blocks == 0 => {
                self.doing = Doing::Ended;
                if let Some(at) = self.cutting.take() {
                    self.gate.has_cut();
                    self.saved.push(at);
                }
                self.saved.extend(self.gate.end(number));
            }
            // It would wait.
            Doing::Else if self.gate.state().reader == Reader::Held => return false,
            Doing::Else => {
                let cut = self.gate.judging();
                assert!(cut.is_none() || self.cutting.is_none(), "one cut at a time");
                self.cutting = self.cutting.or(cut);
                self.doing = Doing::Judging;
            }
            Doing::Judging => {
                self.blocks -= 1;
                // The first may be of dead letters alone.
                if self.next.is_some() || !draw.is_multiple_of(4) {
                    self.next = Some(self.next.unwrap_or(100) + (draw % 50) as i64);
                }
                self.doing = Doing::Else;
                self.answers.extend(self.gate.judged(self.next));
                if let Some(at) = self.cutting.filter(|at| self.next > Some(*at)) {
                    self.cutting = None;
                    self.gate.has_cut();
                    self.saved.push(at);
                }
            }
        }
        true
    }

    fn obey(&mut self) -> bool {
        let Some(order) = self.orders.pop_front() else { return false };
        match order {
            Order::Ask => self.answers.extend(self.gate.ask()),
            Order::Note(at) => self.unknown = Some(at),
            Order::Go(cut) => self.saved.extend(self.gate.go(cut).map(|(at, _)| at)),
            Order::Over => self.gate.over(),
        }
        true
    }

    /// Its workers come to know of the cut, whatever its reader does.
    fn note(&mut self) -> bool {
        let Some(at) = self.unknown.take() else { return false };
        self.known = Some(at);
        self.answers.push_back(Answer::Noted);
        true
    }
}

struct Cluster {
    council: Council,
    processes: Vec<Process>,
    cuts: Vec<i64>,
    over: bool,
}

impl Cluster {
    fn tell(&mut self, order: Option<Order>) {
        let Some(order) = order else { return };
        if let Order::Go(Some(at)) = order {
            for process in &self.processes {
                assert!(process.next <= Some(at), "nothing judged is of the cut or later");
                assert_eq!(process.known, Some(at), "all workers know of it");
            }
            assert!(self.cuts.last() < Some(&at) || self.cuts.is_empty(), "cuts go on");
            self.cuts.push(at);
        }
        self.over |= order == Order::Over;
        self.processes.iter_mut().for_each(|process| process.orders.push_back(order));
    }

    fn hear(&mut self, from: usize) -> bool {
        let Some(answer) = self.processes[from].answers.pop_front() else { return false };
        let order = self.council.hear(answer);
        self.tell(order);
        true
    }

    /// Somebody does something; whether anybody can.
    fn step(&mut self, draw: u64, refuses: bool) -> bool {
        let count = self.processes.len();
        let from = (draw >> 8) as usize % count;
        if draw.is_multiple_of(7) {
            // What was agreed on is whole when all have saved, and time has come there.
            let saved = |process: &Process| process.saved.len() >= self.cuts.len();
            let beyond = |process: &Process| process.next > self.cuts.last().copied();
            if self.processes.iter().all(saved) && self.processes.iter().any(beyond) {
                self.council.done();
            }
            let order = self.council.begin();
            self.tell(order);
        }
        if refuses && draw.is_multiple_of(61) {
            self.processes[from].answers.push_back(Answer::Refused);
        }
        (0..4 * count).any(|way| {
            let number = (from + way) % count;
            match (draw as usize + way) % 4 {
                0 => self.hear(number),
                1 => self.processes[number].obey(),
                2 => self.processes[number].note(),
                _ => self.processes[number].read(number, draw >> 16),
            }
        })
    }
}

proptest! {
    /// Whatever the order, all readers come to their ends, all that was asked is answered, and of
    /// each cut every process saves its part once.
    #[test]
    fn processes_agree_in_any_order(
        blocks in prop::collection::vec(0..30_u64, 1..5),
        mut draws in prop::collection::vec(any::<u64>(), 2_000),
        refuses: bool,
    ) {
        let processes: Vec<_> = blocks.into_iter().map(Process::new).collect();
        let council = Council::new(processes.len(), None);
        let mut cluster = Cluster { council, processes, cuts: Vec::new(), over: false };
        // The last steps are those of whoever can: nobody may be left waiting.
        let rest = draws.split_off(1_000);
        for draw in draws {
            cluster.step(draw, refuses);
        }
        let mut steps = rest.into_iter().map(|draw| cluster.step(draw / 7 * 7 + 1, false));
        prop_assert!(steps.any(|stepped| !stepped), "it comes to an end");
        for process in &cluster.processes {
            prop_assert_eq!(process.doing, Doing::Ended);
            if !cluster.over {
                prop_assert_eq!(&process.saved, &cluster.cuts);
            }
        }
        cluster.council.done();
        prop_assert!(cluster.over || cluster.council.is_idle());
    }
}

#[test]
fn time_that_has_not_begun_or_gone_on_is_not_cut() {
    let mut council = Council::new(2, Some(50));
    assert_eq!(council.begin(), Some(Order::Ask));
    assert_eq!(council.begin(), None, "one at a time");
    assert_eq!(council.hear(Answer::Judged(None)), None);
    assert_eq!(council.hear(Answer::Judged(None)), Some(Order::Go(None)));
    // One that has begun decides, though not before what is remembered already.
    for (judged, at) in [(40, 50), (70, 70)] {
        assert_eq!(council.begin(), Some(Order::Ask));
        assert_eq!(council.hear(Answer::Judged(Some(judged))), None);
        assert_eq!(council.hear(Answer::Judged(None)), Some(Order::Note(at)));
        assert_eq!(council.hear(Answer::Noted), None);
        assert_eq!(council.hear(Answer::Noted), Some(Order::Go(Some(at))));
        assert!(!council.is_idle());
        council.done();
        assert_eq!(council.begin(), Some(Order::Ask));
        assert_eq!(council.hear(Answer::Judged(Some(judged))), None);
        assert_eq!(council.hear(Answer::Judged(Some(20))), Some(Order::Go(None)));
        assert!(council.is_idle());
    }
}

/// A reader that holds itself, until the leader is asked for a cut, is let go by all that may come.
#[test]
fn who_holds_itself_is_let_go() {
    for order in [Order::Ask, Order::Over] {
        let gate: Gate<()> = Gate::new();
        gate.judging();
        assert_eq!(gate.judged(Some(7)), None);
        assert!(gate.hold());
        match order {
            Order::Ask => {
                assert_eq!(gate.ask(), Some(Answer::Judged(Some(7))));
                gate.go(Some(9));
                assert_eq!(gate.judging(), Some(9));
                gate.judged(Some(8));
                assert!(!gate.hold(), "it is on its way to a cut");
                gate.has_cut();
                assert!(gate.hold());
                gate.go(None);
            }
            _ => gate.over(),
        }
        assert_eq!(gate.judging(), None);
        assert_eq!(gate.judged(None), None);
        assert_eq!(gate.hold(), order == Order::Ask, "not where there are no more cuts");
    }
}
