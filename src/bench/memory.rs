//! What state takes of memory: of whole replays, by how the peak grows.
//!
//! A measurement is two replays, of which the second has twice as much of one thing: entities, or records
//! inside the lateness. What their peaks differ by, divided by how many more there are, is what one of them
//! takes, with the room that tables keep to grow; what a process takes anyway is in both. Each replay is a
//! process of its own: in one that ran before, memory that the allocator has kept would hide what is taken.
//! What is on its way while a thread waits comes on top, more or less of it: so of several runs the least peak
//! counts. The sizes are fixed, whatever the workload of the other measurements: with fewer, the difference
//! would be lost in that. Events come in order and are as many in both.

use std::fs;

use serde::{Deserialize, Serialize};

use super::whole::Replays;
use super::workload::Workload;
use super::{Bench, FLAT_RULES, Failure, Place, Settings, Shape};

const EVENTS: u64 = 2_000_000;
const SECOND_NS: i64 = 1_000_000_000;

/// What the second replay has twice as much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Twice {
    /// An entity is a key of the timeline, a name, and an episode or two.
    Entities,
    /// What is inside the lateness is remembered by the door, which knows repeats by it, and by the
    /// timeline, which could still amend what was made of it.
    Lateness,
}

const MEASURED: [(&str, Twice); 2] =
    [("memory/entity", Twice::Entities), ("memory/record", Twice::Lateness)];

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    MEASURED.iter().map(|(name, _)| *name)
}

/// What one more takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    pub(super) name: String,
    /// How many more there are in the second replay.
    more: u64,
    pub(super) bytes_each: f64,
}

impl Memory {
    /// Of the peaks of all runs of both replays.
    fn new(name: &str, more: u64, [few, many]: &[Vec<f64>; 2]) -> Self {
        let least = |peaks: &[f64]| peaks.iter().copied().fold(f64::INFINITY, f64::min);
        let bytes_each = (least(many) - least(few)) / more as f64;
        Self { name: name.to_owned(), more, bytes_each }
    }
}

/// One of two replays.
#[derive(Clone, Debug)]
struct Setup {
    entities: u32,
    lateness_s: u64,
}

impl Twice {
    fn setups(self) -> [Setup; 2] {
        let standard = Setup { entities: 1_000, lateness_s: 5 };
        match self {
            Self::Entities => {
                [400_000, 800_000].map(|entities| Setup { entities, ..standard.clone() })
            }
            Self::Lateness => {
                [1_200, 2_400].map(|lateness_s| Setup { lateness_s, ..standard.clone() })
            }
        }
    }

    /// How many more there are of what is measured.
    fn more(self) -> u64 {
        let [once, twice] = self.setups();
        match self {
            Self::Entities => u64::from(twice.entities - once.entities),
            Self::Lateness => {
                let span_s = (once.workload(0).span_ns / SECOND_NS) as u64;
                EVENTS * (twice.lateness_s - once.lateness_s) / span_s
            }
        }
    }
}

impl Setup {
    fn workload(&self, seed: u64) -> Workload {
        Workload {
            seed,
            entities: self.entities,
            events: EVENTS,
            repeats_share: 0.0,
            disorder_ns: 0,
            ..Workload::default()
        }
    }

    fn rules(&self) -> String {
        FLAT_RULES.replace("lateness: 5s", &format!("lateness: {}s", self.lateness_s))
    }

    /// On one worker, in a directory of its own.
    fn replays(&self, bench: &Bench<'_>, name: &str) -> Result<Replays, Failure> {
        let workload = self.workload(bench.settings.workload.seed);
        let settings = Settings { workload, workers: 1, ..bench.settings.clone() };
        let place = Place::new(Some(&bench.place.dir.join(name)))?;
        let own = Bench::new(&settings, place, bench.progress);
        Replays::new(&own, Shape::Flat)?.through(&own, "rules", &self.rules())
    }
}

/// Measures those of these names.
pub(super) fn measure(bench: &mut Bench<'_>, names: &[&&str]) -> Result<(), Failure> {
    for (name, twice) in MEASURED.iter().filter(|(name, _)| names.contains(&name)) {
        (bench.progress)(name);
        let [few, many] = twice.setups();
        let both = [
            few.replays(bench, &format!("{name}-once"))?,
            many.replays(bench, &format!("{name}-twice"))?,
        ];
        let mut peaks = [Vec::new(), Vec::new()];
        for _ in 0..bench.settings.runs {
            for (replays, peaks) in both.iter().zip(&mut peaks) {
                peaks.push(replays.run()?.peak_bytes.unwrap_or_default() as f64);
            }
        }
        bench.memory.push(Memory::new(name, twice.more(), &peaks));
        if bench.settings.keep.is_none() {
            let _ = fs::remove_dir_all(bench.place.dir.join("memory"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;

    #[test]
    fn two_replays_differ_by_what_is_measured_alone() {
        for (name, twice) in MEASURED {
            let [few, many] = twice.setups();
            let lateness = |setup: &Setup| {
                let rules =
                    Rules::parse(name, &setup.rules()).unwrap_or_else(|all| panic!("{all}"));
                rules.lateness_ns
            };
            let entities = (few.entities, many.entities);
            let (once, doubled) = (lateness(&few), lateness(&many));
            match twice {
                Twice::Entities => {
                    assert_eq!((entities.1, doubled), (2 * entities.0, once));
                    assert_eq!(twice.more(), 400_000);
                }
                Twice::Lateness => {
                    assert_eq!((entities.1, doubled), (entities.0, 2 * once));
                    // A third of an hour of two million events.
                    assert_eq!(twice.more(), 666_666);
                }
            }
        }
    }

    #[test]
    fn what_one_takes_is_how_the_least_peak_grows() {
        let peaks = [vec![1_400.0, 1_000.0, 1_100.0], vec![6_000.0, 5_000.0, 5_500.0]];
        assert_eq!(Memory::new("memory/entity", 10, &peaks).bytes_each, 400.0);
    }
}
