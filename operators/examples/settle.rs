//! Doors that flap in the wind: a door is open, or shut, once it has been so for ten seconds.
//!
//! Shows what a timeline says as time goes on, and how an event that comes out of order takes back
//! what was said. Run it with `cargo run -p limbeck-operators --example settle`.

use differential_dataflow::input::Input;
use limbeck_operators::Event;
use limbeck_operators::machines::hold_down::{self, Decision, HoldDown, Observation};
use limbeck_operators::timeline::{Timeline, Timing};
use serde::{Deserialize, Serialize};

/// What someone saw of a door.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Seen {
    time: i64,
    state: State,
    by: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum State {
    Open,
    Shut,
}

impl hold_down::State for State {}

impl Event for Seen {
    fn time(&self) -> i64 {
        self.time
    }
}

impl Observation for Seen {
    type State = State;

    fn state(&self) -> State {
        self.state
    }
}

/// When it was received, of which door, when it was seen, what, and by whom.
const REPORTS: [(i64, u64, i64, State, &str); 5] = [
    (0, 7, 0, State::Shut, "anna"),
    (21, 7, 21, State::Open, "anna"),
    // Three seconds of wind: absorbed.
    (24, 7, 24, State::Shut, "anna"),
    (40, 7, 40, State::Open, "anna"),
    // Ben was there at 45, and says so ten seconds later: the door had not been open for ten.
    (55, 7, 45, State::Shut, "ben"),
];

fn main() {
    timely::execute_directly(|worker| {
        let (mut input, probe) = worker.dataflow(|scope| {
            let (input, seen) = scope.new_collection::<(u64, Seen), isize>();
            // Reports may be up to 15 seconds old; every second is a logical time.
            let timing = Timing { lateness: 15, tick: 1 };
            let outputs = Timeline::new("settle", HoldDown::uniform(10), timing).build(seen);
            let told = outputs.oks.inspect(|((door, told), at, diff)| {
                let what = match &told.value {
                    Decision::Sustained(s) => match s.until {
                        None => {
                            format!("{:?} since {}, decided at {}", s.state, s.since, s.decided)
                        }
                        Some(until) => format!("{:?} from {} until {until}", s.state, s.since),
                    },
                    Decision::Absorbed(run) => {
                        format!(
                            "({:?} from {} until {}: absorbed)",
                            run.state, run.since, run.until
                        )
                    }
                    // Only a machine that is asked to tells runs, and time has no end here.
                    Decision::Candidate(_) | Decision::Run(_) | Decision::Undecided(_) => return,
                };
                println!("  at {at:>2}  {diff:+}  door {door} {what}, revision {}", told.revision);
            });
            (input, told.probe().0)
        });
        for (received, door, time, state, by) in REPORTS {
            // First everything that was due before it was received.
            input.advance_to(received);
            input.flush();
            while probe.less_than(input.time()) {
                worker.step();
            }
            println!("{by} says at {received}: door {door} was {state:?} at {time}");
            input.insert((door, Seen { time, state, by: by.to_owned() }));
        }
        input.advance_to(61);
        input.flush();
        while probe.less_than(input.time()) {
            worker.step();
        }
    });
}
