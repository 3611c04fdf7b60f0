//! The flap workload: readiness probes of many pods, some of which flap and a few of which fail.
//!
//! Guarantees:
//! - The bytes follow from the parameters alone, on every platform: the random numbers are our own
//!   and every distribution is drawn with integers.
//! - Lines come in the order of arrival. The event time of a line is less than `disorder_ns` behind
//!   the largest event time before it, repeats included: with a lateness of at least that, none is
//!   late. Times are whole milliseconds.
//! - An exact repeat comes after its original. `sequence` counts the unique events of an entity in
//!   the order of event time, so no two unique lines are equal.
//! - An entity alternates between `ready` and `unready` in bursts. Where the flaps that
//!   `changes_share` asks for do not fit in the span, there are as many as fit; their lengths stay,
//!   and more events repeat the state.
//!
//! State: 8 bytes an entity, and the events inside the disorder.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};
use std::iter::Peekable;

use super::lines::{push_cloudevent, push_flat};
use super::random::{Random, Walk};

/// The event time at which every workload starts: 2026-01-01T00:00:00Z.
pub const START_MS: i64 = 1_767_225_600_000;

/// Flaps of one burst, both ends included.
const FLAPS: (u64, u64) = (2, 12);
/// How long a flap lasts, and the pause before the next; log-uniform.
const FLAP_MS: (u64, u64) = (1_000, 20_000);
/// How long an outage lasts; log-uniform.
const OUTAGE_MS: (u64, u64) = (31_000, 300_000);
/// Of this many bursts, on average ...
const BURSTS: u64 = 100;
/// ... so many end in an outage.
const BURSTS_WITH_OUTAGE: u64 = 15;
/// The longest burst: as long before the start, bursts begin unseen, so that the share of changes
/// is the same from the first minute to the last.
const BURST_MS_MAX: i64 = ((2 * FLAPS.1 - 2) * FLAP_MS.1 + OUTAGE_MS.1) as i64;
/// Mean time from one change of a burst to the next: 6.34 s a flap or pause, 13 of them in a mean
/// burst of 14 changes, and 112 s more where it ends in an outage.
const CHANGE_INTERVAL_MS_MEAN: i64 = 7_090;
/// At most so many percent of the entities are in a burst at one time.
const BURSTING_PERCENT_MAX: i64 = 60;
const NANOS_PER_MS: i64 = 1_000_000;

/// The parameters of a workload; the default is the standard one.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Another seed, another workload.
    pub seed: u64,
    /// How many pods there are; at least one, at most a million. Events spread evenly over them.
    pub entities: u32,
    /// How many lines are written: unique events plus exact repeats.
    pub events: u64,
    /// Which part of `events` are exact repeats; below one half.
    pub repeats_share: f64,
    /// Which part of the unique events change the state of their entity.
    pub changes_share: f64,
    /// From the first event time to the last.
    pub span_ns: i64,
    /// How far event times lag behind arrival: uniform from zero to just below this.
    pub disorder_ns: i64,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            seed: 1,
            entities: 10_000,
            events: 2_000_000,
            repeats_share: 0.05,
            changes_share: 0.3,
            span_ns: 3_600_000_000_000,
            disorder_ns: 5_000_000_000,
        }
    }
}

/// One line of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Event time, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// Arrival: the largest event time up to this line.
    pub arrival_ms: i64,
    /// Number of the pod, from zero.
    pub entity: u32,
    /// Number of the event within its entity, from one.
    pub sequence: u32,
    /// The state that the probe found.
    pub ready: bool,
    /// Whether this is the second copy of an earlier line.
    pub repeat: bool,
}

impl Workload {
    /// The events in the order of their lines.
    pub fn events(&self) -> Events {
        let repeats = self.repeats();
        let originals = self.events - repeats;
        let disorder_ms = (self.disorder_ns / NANOS_PER_MS).max(1);
        Events {
            originals: Originals::new(self, originals).peekable(),
            originals_left: originals,
            repeats_left: repeats,
            random: Random::new(self.seed ^ 0x6f72_6465),
            disorder_ms,
            slots: vec![Vec::new(); disorder_ms as usize],
            slot: 0,
            next_in_slot: 0,
            clock_ms: -1,
            buffered: 0,
            arrival_ms: 0,
        }
    }

    /// Writes the workload as NDJSON in the flat shape, about 200 bytes a line.
    pub fn write_flat(&self, out: &mut impl Write) -> io::Result<()> {
        self.write_lines(out, push_flat)
    }

    /// Writes the workload as CloudEvents, one JSON object a line, about 300 bytes each.
    ///
    /// The data holds state and message. A repeat has the id of its original and, as from a
    /// collector, its own `recordedtime`.
    pub fn write_cloudevents(&self, out: &mut impl Write) -> io::Result<()> {
        self.write_lines(out, push_cloudevent)
    }

    /// How many lines are exact repeats.
    pub fn repeats(&self) -> u64 {
        ((self.events as f64 * self.repeats_share) as u64).min(self.events / 2)
    }

    fn write_lines(
        &self,
        out: &mut impl Write,
        push_line: fn(&mut Vec<u8>, &Event, u64),
    ) -> io::Result<()> {
        const CHUNK_BYTES: usize = 1 << 16;
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + 1024);
        for event in self.events() {
            push_line(&mut chunk, &event, self.seed);
            if chunk.len() >= CHUNK_BYTES {
                out.write_all(&chunk)?;
                chunk.clear();
            }
        }
        out.write_all(&chunk)
    }
}

/// The events of a workload in the order of their lines: each original delayed by its disorder.
///
/// Delays are whole milliseconds below the disorder, so one slot for each of them is enough: what
/// arrives at `clock_ms` stands in the slot `clock_ms % slots`, in the order of generation.
pub struct Events {
    originals: Peekable<Originals>,
    originals_left: u64,
    repeats_left: u64,
    random: Random,
    disorder_ms: i64,
    slots: Vec<Vec<Event>>,
    slot: usize,
    next_in_slot: usize,
    clock_ms: i64,
    buffered: u64,
    arrival_ms: i64,
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(&event) = self.slots[self.slot].get(self.next_in_slot) {
                self.next_in_slot += 1;
                self.buffered -= 1;
                if !event.repeat {
                    self.maybe_repeat(event);
                }
                self.arrival_ms = self.arrival_ms.max(event.time_ms);
                return Some(Event { arrival_ms: self.arrival_ms, ..event });
            }
            if self.buffered == 0 && self.originals.peek().is_none() {
                return None;
            }
            self.advance();
        }
    }
}

impl Events {
    /// Moves to the next millisecond and takes in what happened in it.
    fn advance(&mut self) {
        self.slots[self.slot].clear();
        self.next_in_slot = 0;
        self.clock_ms += 1;
        self.slot = (self.clock_ms % self.disorder_ms) as usize;
        let until_ms = START_MS + self.clock_ms;
        while let Some(event) = self.originals.next_if(|event| event.time_ms <= until_ms) {
            let delay_ms = self.random.below(self.disorder_ms as u64) as i64;
            self.push(event, delay_ms);
        }
    }

    /// Draws whether an original is among those that are repeated; if so, its copy arrives at any
    /// time from now until the end of its disorder.
    fn maybe_repeat(&mut self, event: Event) {
        let chosen = self.random.below(self.originals_left) < self.repeats_left;
        self.originals_left -= 1;
        if chosen {
            self.repeats_left -= 1;
            let delayed_ms = self.clock_ms - (event.time_ms - START_MS);
            let more_ms = self.random.below((self.disorder_ms - delayed_ms) as u64) as i64;
            self.push(Event { repeat: true, ..event }, more_ms);
        }
    }

    fn push(&mut self, event: Event, delay_ms: i64) {
        let slot = (self.clock_ms + delay_ms) % self.disorder_ms;
        self.slots[slot as usize].push(event);
        self.buffered += 1;
    }
}

/// What an entity is doing.
#[derive(Clone, Copy)]
struct Pod {
    sequence: u32,
    ready: bool,
    /// Flaps still to end in the current burst; zero between bursts.
    flaps_left: u8,
    ends_in_outage: bool,
}

/// The unique events in the order of event time: changes when they are due, between them probes
/// which repeat the state.
struct Originals {
    random: Random,
    pods: Vec<Pod>,
    /// The next change of every pod in a burst.
    changes: BinaryHeap<Reverse<(i64, u32)>>,
    burst_order: Walk,
    probe_order: Walk,
    next_burst_ns: i64,
    change_interval_ns: i64,
    next_ns: i64,
    interval_ns: i64,
    last_ms: i64,
    left: u64,
}

impl Originals {
    fn new(workload: &Workload, originals: u64) -> Self {
        let entities = workload.entities.max(1);
        let ready = Pod { sequence: 0, ready: true, flaps_left: 0, ends_in_outage: false };
        let changes = (originals as f64 * workload.changes_share) as i64;
        let wanted_ns = if changes == 0 { i64::MAX } else { workload.span_ns / changes };
        let fitting_ns = CHANGE_INTERVAL_MS_MEAN * NANOS_PER_MS * 100
            / (i64::from(entities) * BURSTING_PERCENT_MAX);
        let mut new = Self {
            random: Random::new(workload.seed),
            pods: vec![ready; entities as usize],
            changes: BinaryHeap::new(),
            burst_order: Walk::new(entities),
            probe_order: Walk::new(entities),
            next_burst_ns: if changes == 0 { i64::MAX } else { -BURST_MS_MAX * NANOS_PER_MS },
            change_interval_ns: wanted_ns.max(fitting_ns),
            next_ns: 0,
            interval_ns: workload.span_ns / originals.max(1) as i64,
            last_ms: 0,
            left: originals,
        };
        new.warm_up();
        new
    }

    /// Runs the bursts that began before the first event.
    fn warm_up(&mut self) {
        loop {
            let due_ms = self.changes.peek().map_or(i64::MAX, |Reverse((due_ms, _))| *due_ms);
            if self.next_burst_ns < 0 && self.next_burst_ns / NANOS_PER_MS <= due_ms {
                self.start_burst();
            } else if due_ms < 0 {
                self.pop_change();
            } else {
                return;
            }
        }
    }

    /// Puts one more pod in a burst, unless nearly all are in one already.
    fn start_burst(&mut self) {
        const TRIES: usize = 64;
        let flaps = FLAPS.0 + self.random.below(FLAPS.1 - FLAPS.0 + 1);
        let ends_in_outage = self.random.below(BURSTS) < BURSTS_WITH_OUTAGE;
        let start_ms = self.next_burst_ns.div_euclid(NANOS_PER_MS);
        self.next_burst_ns += 2 * flaps as i64 * self.change_interval_ns;
        for _ in 0..TRIES {
            let entity = self.burst_order.next(&mut self.random);
            let pod = &mut self.pods[entity as usize];
            if pod.flaps_left == 0 {
                pod.flaps_left = flaps as u8;
                pod.ends_in_outage = ends_in_outage;
                self.changes.push(Reverse((start_ms, entity)));
                return;
            }
        }
    }

    /// Performs the change that is due first, and plans the next of its pod.
    fn pop_change(&mut self) -> Option<(i64, u32)> {
        let Reverse((due_ms, entity)) = self.changes.pop()?;
        let pod = &mut self.pods[entity as usize];
        pod.ready = !pod.ready;
        if pod.ready {
            pod.flaps_left -= 1;
        }
        if pod.flaps_left > 0 {
            let outage = !pod.ready && pod.flaps_left == 1 && pod.ends_in_outage;
            let bounds = if outage { OUTAGE_MS } else { FLAP_MS };
            let length_ms = self.random.log_uniform(bounds.0, bounds.1) as i64;
            self.changes.push(Reverse((due_ms + length_ms, entity)));
        }
        Some((due_ms, entity))
    }
}

impl Iterator for Originals {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let jitter_ns = self.random.below(self.interval_ns.max(1) as u64) as i64;
        // The first event is at the very start.
        let now_ns = if self.next_ns == 0 { 0 } else { self.next_ns + jitter_ns };
        self.next_ns += self.interval_ns;
        let now_ms = now_ns / NANOS_PER_MS;
        while self.next_burst_ns <= now_ns {
            self.start_burst();
        }
        let change_due = self.changes.peek().is_some_and(|Reverse((due_ms, _))| *due_ms <= now_ms);
        let (time_ms, entity) = change_due
            .then(|| self.pop_change())
            .flatten()
            .unwrap_or_else(|| (now_ms, self.probe_order.next(&mut self.random)));
        self.last_ms = self.last_ms.max(time_ms);
        let pod = &mut self.pods[entity as usize];
        pod.sequence += 1;
        Some(Event {
            time_ms: START_MS + self.last_ms,
            arrival_ms: 0,
            entity,
            sequence: pod.sequence,
            ready: pod.ready,
            repeat: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limbeck_operators::hash::xxh3_64;
    use std::collections::BTreeMap;

    fn small() -> Workload {
        Workload { entities: 1_000, events: 100_000, ..Workload::default() }
    }

    /// The events of every entity in the order of event time, without repeats.
    fn originals_by_entity(workload: &Workload) -> BTreeMap<u32, Vec<Event>> {
        let mut by_entity = BTreeMap::<u32, Vec<Event>>::new();
        for event in workload.events().filter(|event| !event.repeat) {
            by_entity.entry(event.entity).or_default().push(event);
        }
        for events in by_entity.values_mut() {
            events.sort_by_key(|event| event.sequence);
        }
        by_entity
    }

    #[test]
    fn the_bytes_of_a_seed_never_change() {
        let mut flat = Vec::new();
        small().write_flat(&mut flat).expect("a Vec takes every write");
        let mut cloudevents = Vec::new();
        small().write_cloudevents(&mut cloudevents).expect("a Vec takes every write");
        assert_eq!(
            (xxh3_64(&flat), xxh3_64(&cloudevents)),
            (2_117_531_883_677_904_441, 7_934_453_544_663_063_402)
        );
        for (bytes, about) in [(flat, 200), (cloudevents, 300)] {
            assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 100_000);
            let mean = bytes.len() / 100_000;
            assert!((about - 20..about + 30).contains(&mean), "{mean}");
        }
    }

    #[test]
    fn no_event_lags_by_the_disorder() {
        for disorder_ns in [0, 1_000_000, 5_000_000_000, 60_000_000_000] {
            let workload = Workload { disorder_ns, ..small() };
            let events: Vec<_> = workload.events().collect();
            assert_eq!(events.len(), 100_000);
            let lag_ms_max = events.iter().map(|e| e.arrival_ms - e.time_ms).max();
            let bound_ms = (disorder_ns / NANOS_PER_MS).max(1);
            assert!(lag_ms_max.is_some_and(|lag| lag < bound_ms), "{lag_ms_max:?}");
            assert!(lag_ms_max.is_some_and(|lag| lag >= bound_ms * 9 / 10 - 1), "{lag_ms_max:?}");
        }
    }

    #[test]
    fn a_repeat_equals_an_earlier_line() {
        let mut seen = std::collections::BTreeSet::new();
        let mut repeats = 0;
        for event in small().events() {
            let key = (event.entity, event.sequence, event.time_ms, event.ready);
            assert_eq!(seen.insert(key), !event.repeat, "{event:?}");
            repeats += u64::from(event.repeat);
        }
        assert_eq!(repeats, 5_000);
    }

    #[test]
    fn events_spread_evenly_over_entities_and_time() {
        let by_entity = originals_by_entity(&small());
        assert_eq!(by_entity.len(), 1_000);
        assert!(by_entity.values().all(|events| (60..200).contains(&events.len())));
        for minute in [0, 30, 59] {
            let start_ms = START_MS + minute * 60_000;
            let events = by_entity.values().flatten();
            let count = events.filter(|e| (0..60_000).contains(&(e.time_ms - start_ms))).count();
            assert!((1_570..1_600).contains(&count), "{count}");
        }
        let first_ms = by_entity.values().flatten().map(|event| event.time_ms).min();
        assert_eq!(first_ms, Some(START_MS));
    }

    #[test]
    fn events_follow_each_other_and_three_of_ten_change_the_state() {
        for entities in [1_000, 10_000] {
            let workload = Workload { entities, events: 50 * u64::from(entities), ..small() };
            let (mut changes, mut pairs) = (0, 0);
            for events in originals_by_entity(&workload).values() {
                for pair in events.windows(2) {
                    assert!(pair[0].time_ms <= pair[1].time_ms);
                    assert_eq!(pair[0].sequence + 1, pair[1].sequence);
                    changes += u32::from(pair[0].ready != pair[1].ready);
                    pairs += 1;
                }
            }
            let share = f64::from(changes) / f64::from(pairs);
            assert!((0.29..0.31).contains(&share), "{share}");
        }
    }

    #[test]
    fn bursts_flap_for_seconds_and_one_of_seven_ends_in_an_outage() {
        let mut flaps = 0;
        let mut outages = 0;
        for events in originals_by_entity(&small()).values() {
            let mut fell_ms = None;
            for pair in events.windows(2).filter(|pair| pair[0].ready != pair[1].ready) {
                if !pair[1].ready {
                    fell_ms = Some(pair[1].time_ms);
                } else if let Some(fell_ms) = fell_ms {
                    match pair[1].time_ms - fell_ms {
                        900..=20_100 => flaps += 1,
                        30_900..=300_100 => outages += 1,
                        other => panic!("neither flap nor outage: {other} ms"),
                    }
                }
            }
        }
        // Seven flaps in a burst, of which 0.15 are an outage.
        let share = f64::from(outages) / f64::from(flaps + outages);
        assert!((0.018..0.025).contains(&share), "{outages} of {flaps}");
    }

    #[test]
    fn more_flaps_than_fit_become_probes() {
        let workload = Workload { entities: 10, events: 100_000, ..small() };
        let bursting: usize = originals_by_entity(&workload)
            .values()
            .map(|events| events.windows(2).filter(|pair| pair[0].ready != pair[1].ready).count())
            .sum();
        assert!((2_000..4_000).contains(&bursting), "{bursting}");
    }
}
