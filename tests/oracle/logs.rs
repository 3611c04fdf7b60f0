//! Small adversarial logs by seed: few entities, few states, and event times crowded where the
//! contract has an edge.

mod yaml;

use serde_json::Value;

use self::yaml::yaml;

use super::damage::damaged;
use super::lines::{Draft, escaped, quoted, spelt};
use super::quorum::Quorum;
use super::readings;
use super::stages::{ABOVE, BELOW, Damping, Detection, Grace, Stages, name};
use super::{DAY, EXCEPT, MS, Persistence, RuleSpec, S, SignalSpec, Spec};

/// 2026-01-01T00:00:00Z.
pub(crate) const BASE: i64 = 1_767_225_600 * S;

/// A log, what to ask of it, and the same as a rule file.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) spec: Spec,
    pub(crate) partitions: Vec<Vec<u8>>,
    /// Says what `spec` says; tick and `until` belong to the command line.
    pub(crate) yaml: String,
}

impl Case {
    /// All of it, to be printed where a comparison fails.
    pub(crate) fn show(&self) -> String {
        let mut text = format!("seed {}\n{}\n{:#?}\n", self.seed, self.yaml, self.spec);
        for (index, bytes) in self.partitions.iter().enumerate() {
            text.push_str(&format!("-- partition {index}\n{}", String::from_utf8_lossy(bytes)));
        }
        text
    }
}

/// A small generator of numbers (splitmix64): the same seed gives the same draws everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// From 0 to `most`.
    pub(crate) fn up_to(&mut self, most: i64) -> i64 {
        self.below(most.unsigned_abs() + 1).cast_signed()
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end as u64 + 1) as usize);
        }
    }
}

const READINESS: [(&str, &[&str]); 3] = [
    ("ready", &["ready", "Ready", "ok"]),
    ("unready", &["unready", "NotReady", "timeout"]),
    // "ok" has been taken: the first match wins.
    ("degraded", &["degraded", "ok", "slow"]),
];
const LOAD: [(&str, &[&str]); 2] = [("high", &["high", "max"]), ("low", &["low", "idle"])];

/// Signal, the types it looks at, the member of `data`, its states.
type Shape = (
    &'static str,
    [&'static str; 2],
    &'static str,
    &'static [(&'static str, &'static [&'static str])],
);

const SHAPES: [Shape; 2] = [
    ("readiness", ["probe.readiness", "probe.both"], "state", &READINESS),
    ("load", ["probe.load", "probe.both"], "load", &LOAD),
];

/// The two signals of every case.
pub(crate) fn signals() -> Vec<SignalSpec> {
    SHAPES
        .iter()
        .map(|(name, kinds, member, states)| {
            let matches = move |record: &Value| {
                let kind = record["type"].as_str()?;
                let shown = record["data"][*member].as_str().filter(|_| kinds.contains(&kind))?;
                states.iter().position(|(_, spellings)| spellings.contains(&shown))
            };
            SignalSpec {
                name: (*name).to_owned(),
                states: states.iter().map(|(state, _)| (*state).to_owned()).collect(),
                matches: Box::new(matches),
            }
        })
        .collect()
}

/// The case of a seed.
pub(crate) fn case(seed: u64) -> Case {
    case_with(seed, |_, _| ())
}

/// The same, where rules, most of them, learn how long their faults last.
pub(crate) fn persistent_case(seed: u64) -> Case {
    case_with(seed, |spec, random| {
        for (number, rule) in spec.rules.iter_mut().enumerate() {
            if number > 0 && random.chance(30) {
                continue;
            }
            let faults = match rule.stages.thresholds {
                Some(of) => vec![if of.above.is_some() { ABOVE } else { BELOW }],
                None => (1..rule.hold_ns.len()).collect(),
            };
            if rule.stages.faults.is_empty() {
                rule.stages.faults = faults;
            }
            let mut above = || {
                let horizon_ns = *random.pick(&[100 * MS, 500 * MS, S, 2 * S, 3 * S, 10 * S]);
                (horizon_ns, 3 + random.below(5))
            };
            let announce = [above(), above()];
            rule.persistence = Some(Persistence {
                by_label: spec.labelled && random.chance(50),
                prior: 1 + random.below(3),
                announce: announce[..1 + random.below(2) as usize].to_vec(),
            });
        }
    })
}

fn case_with(seed: u64, ask: impl FnOnce(&mut Spec, &mut Random)) -> Case {
    let mut random = Random::new(seed);
    let mut spec = spec(&mut random);
    spec.corrects = Random::new(seed.rotate_left(32)).chance(30);
    readings(&mut spec, &mut Random::new(seed.rotate_left(16)));
    let mut random_too = Random::new(seed.rotate_left(48));
    for rule in spec.rules.iter_mut().take(SHAPES.len() + 1) {
        rule.except |= random_too.chance(20);
        let has_states = rule.signal < SHAPES.len();
        if spec.labelled && has_states && random_too.chance(45) {
            let absent_after_ns = rule.stages.absent_after_ns;
            let expires = rule.expire_after_ns.unwrap_or(spec.expire_after_ns);
            let mut quorum = Quorum::random(&mut random_too, absent_after_ns);
            quorum.within_ns = quorum.within_ns.min(expires - MS);
            if rule.stages.faults.is_empty() {
                rule.stages.faults = vec![rule.hold_ns.len() - 1];
            }
            rule.stages.quorum = Some(quorum);
        }
        let expires = rule.expire_after_ns.unwrap_or(spec.expire_after_ns);
        let (signal, states) = (rule.signal, rule.hold_ns.len());
        if let Some(grace) =
            rule.stages.grace.as_mut().filter(|_| has_states && random_too.chance(60))
        {
            let marker = match random_too.chance(80) {
                true => (1 - signal, if random_too.chance(50) { vec![0] } else { Vec::new() }),
                false => (signal, vec![random_too.below(states as u64) as usize]),
            };
            grace.markers.push(marker);
            grace.after_first = random_too.chance(50);
            grace.for_ns = grace.for_ns.min(expires - MS);
        }
        if random_too.chance(15) {
            let gap = *random_too.pick(&[MS, 100 * MS, S, 3 * S]);
            let gap = gap.min(rule.expire_after_ns.unwrap_or(spec.expire_after_ns) - MS);
            rule.stages.session = Some((gap, 1 + random_too.below(3) as usize));
        }
    }
    ask(&mut spec, &mut Random::new(seed.rotate_left(8)));
    let yaml = yaml(&spec, &mut random);
    let partitions = Writer::new(&spec, &mut random).write();
    Case { seed, spec, partitions, yaml }
}

fn spec(random: &mut Random) -> Spec {
    let lateness_ns = *random.pick(&[0, S, 2 * S, 5 * S, 5 * S]);
    let waits = [0, 0, MS, 100 * MS, S, S, 3 * S, 3 * S, 10 * S, lateness_ns];
    let rule = |name: &str, signal: usize, random: &mut Random| RuleSpec {
        name: name.to_owned(),
        signal,
        hold_ns: SHAPES[signal].3.iter().map(|_| *random.pick(&waits)).collect(),
        keep_ns: vec![0; SHAPES[signal].3.len()],
        ..RuleSpec::default()
    };
    let mut rules = vec![rule("pod-readiness", 0, random)];
    if random.chance(60) {
        rules.push(rule("pod-load", 1, random));
    }
    if random.chance(40) {
        rules.push(rule("another-readiness", 0, random));
    }
    let hold_ns = *random.pick(&rules[0].hold_ns);
    // What expires sooner than its records may come late is left to other tests.
    let expire_after_ns = *random.pick(&[hold_ns, 6 * S, 8 * S, 20 * S, 7 * DAY]);
    let expire_after_ns = expire_after_ns.max(lateness_ns + S);
    let max_advance_ns = *random.pick(&[30 * DAY, 30 * DAY, 30 * DAY, 60 * S, 30 * S]);
    let until = match random.below(8) {
        0 => Some(BASE + random.up_to(60_000) * MS),
        1 => Some(BASE + 3_600 * S + random.up_to(200) * MS),
        _ => None,
    };
    let tick_ns = *random.pick(&[100 * MS, 100 * MS, 100 * MS, S, MS, 250 * MS]);
    let signals = signals();
    let mut spec = Spec {
        lateness_ns,
        expire_after_ns,
        max_advance_ns,
        tick_ns,
        labelled: false,
        corrects: false,
        until,
        signals,
        rules,
    };
    if random.chance(50) {
        more(&mut spec, random);
    }
    spec
}

/// Stages of a rule, now and then.
fn stages(rule: &RuleSpec, expire_after_ns: i64, random: &mut Random) -> Stages {
    let faults = match rule.stages.thresholds {
        Some(_) => vec![ABOVE],
        None => vec![rule.hold_ns.len() - 1],
    };
    let hold_made_ns = *random.pick(&[0, 0, 100 * MS, S, 3 * S]);
    let mut stages = Stages { faults, hold_made_ns, ..Stages::default() };
    if random.chance(40) {
        let after = *random.pick(&[MS, 100 * MS, S, 3 * S, 10 * S]);
        stages.absent_after_ns = Some(after).filter(|after| *after < expire_after_ns);
    }
    if random.chance(40) {
        let half_life_ns = *random.pick(&[100 * MS, S, 3 * S, 60 * S]);
        stages.damping = Some(Damping {
            fault: *random.pick(&[1000.0, 1000.0, 700.0]),
            back: *random.pick(&[0.0, 0.0, 300.0]),
            change: *random.pick(&[500.0, 1000.0]),
            suppress: *random.pick(&[800.0, 1200.5, 2000.0]),
            reuse: 750.0,
            half_life_ns,
            max_ns: half_life_ns * (2 + random.up_to(2)),
            test: random.chance(20),
        });
    }
    if random.chance(40) {
        let high = *random.pick(&[5.9, 10.0, 20.0]);
        let low = *random.pick(&[0.0, 5.8, 5.9]);
        stages.detection = Some(Detection { nagios: random.chance(50), high, low });
    }
    if random.chance(30) {
        let for_ns = *random.pick(&[MS, 100 * MS, S, 3 * S, 10 * S]);
        stages.grace = Some(Grace { for_ns, after_first: true, markers: Vec::new() });
    }
    stages
}

/// A signal of readings and a rule on it, now and then.
fn readings(spec: &mut Spec, random: &mut Random) {
    if !random.chance(30) {
        return;
    }
    let mut rule = readings::rule(spec.signals.len(), random);
    if random.chance(50) {
        let expire_after_ns = spec.expire_after_ns;
        let (thresholds, hold_made_ns) = (rule.stages.thresholds, rule.stages.hold_made_ns);
        let others = stages(&rule, expire_after_ns, random);
        rule.stages = Stages { thresholds, hold_made_ns, ..others };
        // The lower one is not always there to be a fault.
        if thresholds.is_some_and(|of| of.above.is_none()) {
            rule.stages.faults = vec![BELOW];
        }
    }
    if random.chance(30) {
        rule.dedup_ns = Some(*random.pick(&[MS, 100 * MS, S]));
    }
    rule.except = random.chance(40);
    spec.signals.push(readings::signal());
    spec.rules.push(rule);
}

/// What rules can say beyond hold.
fn more(spec: &mut Spec, random: &mut Random) {
    let lateness_ns = spec.lateness_ns;
    spec.labelled = random.chance(60);
    for rule in &mut spec.rules {
        if spec.labelled && random.chance(30) {
            rule.source = Some((*random.pick(&["/probe/a", "/probe/a", ""])).to_owned());
        }
        if random.chance(40) {
            let keeps = [0, MS, S, S, 3 * S, 3 * S, 10 * S];
            rule.keep_ns.iter_mut().for_each(|keep| *keep = *random.pick(&keeps));
        }
        if random.chance(40) {
            rule.dedup_ns = Some(*random.pick(&[MS, 100 * MS, S, 3 * S, 10 * S, 60 * S]));
        }
        if random.chance(40) {
            rule.amend_within_ns = Some(lateness_ns + *random.pick(&[0, MS, S, 10 * S, 60 * S]));
        }
        // Again what expires sooner than its records may come late is left to other tests.
        let least = rule.amend_within_ns.unwrap_or(lateness_ns) + S;
        if random.chance(30) || least > spec.expire_after_ns {
            rule.expire_after_ns = Some(least.max(*random.pick(&[2 * S, 8 * S, 20 * S])));
        }
        if random.chance(50) {
            let expire_after_ns = rule.expire_after_ns.unwrap_or(spec.expire_after_ns);
            rule.stages = stages(rule, expire_after_ns, random);
        }
    }
}

/// Writes the records of one case.
struct Writer<'a> {
    spec: &'a Spec,
    random: &'a mut Random,
    /// Of the readings, if any are asked for.
    readings: Option<Random>,
    partitions: Vec<Vec<u8>>,
    /// The last arrival of each partition, as far as the writer follows it.
    previous: Vec<Option<i64>>,
    /// How far each partition's clock stands behind the first.
    skew: Vec<i64>,
    now: i64,
    /// Event times worth coming back to.
    crowded: Vec<i64>,
    drafts: Vec<Draft>,
    entities: usize,
}

impl<'a> Writer<'a> {
    fn new(spec: &'a Spec, random: &'a mut Random) -> Self {
        let count = 1 + random.below(3) as usize;
        let skews = [0, 0, MS, 30 * MS, 500 * MS, 2 * S];
        Self {
            spec,
            readings: (spec.signals.len() > SHAPES.len())
                .then(|| Random::new(random.clone().next())),
            partitions: vec![Vec::new(); count],
            previous: vec![None; count],
            skew: (0..count).map(|_| *random.pick(&skews)).collect(),
            now: BASE + random.up_to(300) * MS,
            crowded: Vec::new(),
            drafts: Vec::new(),
            entities: 1 + random.below(3) as usize,
            random,
        }
    }

    fn write(mut self) -> Vec<Vec<u8>> {
        let records = match self.random.below(20) {
            0..10 => 2 + self.random.below(9),
            10..17 => 10 + self.random.below(30),
            _ => 40 + self.random.below(110),
        };
        for _ in 0..records {
            self.now += self.step();
            let partition = self.random.below(self.partitions.len() as u64) as usize;
            let line = self.record(partition);
            self.partitions[partition].extend_from_slice(&line);
            self.partitions[partition].push(b'\n');
            if self.random.chance(3) {
                let blank = *self.random.pick(&["\n", " \t\n", "\r\n"]);
                self.partitions[partition].extend_from_slice(blank.as_bytes());
            }
        }
        for partition in &mut self.partitions {
            if self.random.chance(20) && partition.ends_with(b"}\n") {
                partition.pop();
            }
        }
        self.partitions
    }

    /// A duration at which something happens, or next to it.
    fn edge(&mut self) -> i64 {
        let Spec { rules, expire_after_ns, .. } = self.spec;
        let wait = match self.random.below(10) {
            0..4 => *self.random.pick(&self.random.clone().pick(rules).hold_ns),
            4 | 5 => *self.random.pick(&self.random.clone().pick(rules).keep_ns),
            6 | 7 if *expire_after_ns <= 60 * S => *expire_after_ns,
            _ => 0,
        };
        wait + self.random.pick(&[0, 0, 0, MS, -MS, 1, -1])
    }

    fn step(&mut self) -> i64 {
        let tick = self.spec.tick_ns;
        match self.random.below(20) {
            0..7 => self.random.up_to(20) * MS,
            7..11 => {
                let past = self.now.rem_euclid(tick);
                (tick - past + self.random.pick(&[0, 0, MS, -MS])).max(0)
            }
            11..16 => 100 * MS + self.random.up_to(1_400) * MS,
            16..19 => self.edge().max(0) / MS * MS,
            _ => match self.spec.expire_after_ns {
                expire if expire <= 60 * S => expire + self.random.pick(&[0, MS, -MS]),
                _ => 12 * S,
            },
        }
    }

    fn event_time(&mut self, arrival: i64) -> i64 {
        let lateness = self.spec.lateness_ns;
        let amends = self.spec.rules.iter().any(|rule| rule.amend_within_ns.is_some());
        match self.random.below(if amends { 115 } else { 100 }) {
            0..20 => arrival - self.random.up_to(lateness.min(300 * MS)),
            20..28 => arrival - lateness,
            28..30 => arrival - lateness - self.random.pick(&[1, MS, S]),
            // Late, and perhaps not too late to amend.
            100.. => {
                let within = self.random.clone().pick(&self.spec.rules).amend_within_ns;
                arrival - within.unwrap_or(lateness) + self.random.pick(&[0, 0, -1, MS, S])
            }
            30..36 => arrival + self.random.pick(&[1, MS, 100 * MS, S]),
            36..39 => arrival + self.edge(),
            39 if self.random.chance(30) => {
                *self.random.pick(&[i64::MAX, i64::MIN, i64::MAX - S, BASE - 90 * DAY])
            }
            39..50 => arrival - self.random.up_to(lateness / MS) * MS,
            _ => {
                for _ in 0..4 {
                    let Some(near) = self.crowded.len().checked_sub(8).or(Some(0)) else { break };
                    if self.crowded.is_empty() {
                        break;
                    }
                    let picked = *self.random.pick(&self.crowded[near..]);
                    let time = picked + self.edge();
                    if time >= arrival - lateness && time <= arrival + 5 * S {
                        return time;
                    }
                }
                arrival - self.random.up_to(lateness)
            }
        }
    }

    /// The arrival to write, and whether the clock will follow it.
    fn arrival(&mut self, partition: usize) -> i64 {
        let now = self.now - self.skew[partition];
        let Some(previous) = self.previous[partition] else {
            return match self.random.chance(1) {
                true => now + 365 * DAY,
                false => now,
            };
        };
        let max_advance = self.spec.max_advance_ns;
        match self.random.below(100) {
            0..6 => now - self.random.up_to(3_000) * MS,
            6 => previous + max_advance + self.random.pick(&[1, MS, 400 * DAY]),
            7 if max_advance < DAY => previous + max_advance,
            8..12 => previous,
            _ => now,
        }
    }

    fn record(&mut self, partition: usize) -> Vec<u8> {
        let arrival = self.arrival(partition);
        let kind = self.random.below(100);
        let old = match self.drafts.len() {
            0 => None,
            len => {
                let near = if self.random.chance(70) { len.saturating_sub(5) } else { 0 };
                Some(self.random.pick(&self.drafts[near..]).clone())
            }
        };
        let mut draft = match old {
            Some(old) if kind < 10 => old,
            Some(old) if kind < 16 => self.nearly(old),
            _ => self.fresh(arrival),
        };
        draft.recorded = Some(spelt(arrival, self.random));
        if self.random.chance(5) {
            draft.recorded = None;
        }
        if kind >= 92 {
            return damaged(&draft, self.random);
        }
        let moves = draft.recorded.is_some();
        let clock = &mut self.previous[partition];
        let advance = i128::from(arrival) - i128::from(clock.unwrap_or(arrival));
        if moves && advance <= i128::from(self.spec.max_advance_ns) {
            *clock = Some(clock.unwrap_or(arrival).max(arrival));
        }
        if kind >= 16 {
            self.drafts.push(draft.clone());
        }
        let mut line = draft.line(self.random);
        if draft.recorded.is_none() && self.random.chance(10) {
            line = line.replacen('{', "{\"recordedtime\":null,", 1);
        }
        line.into_bytes()
    }

    /// A record that differs in one thing: a conflict, or another record altogether.
    fn nearly(&mut self, old: Draft) -> Draft {
        match self.random.below(8) {
            0..4 => Draft { data_json: Some(self.data()), ..old },
            4 => Draft { sequence_json: self.sequence(), ..old },
            5 => Draft { source: self.source(), ..old },
            6 => Draft { subject_json: Some(self.subject()), ..old },
            _ => {
                let time = self.event_time(self.now);
                Draft { time: spelt(time, self.random), ..old }
            }
        }
    }

    fn fresh(&mut self, arrival: i64) -> Draft {
        let time = self.event_time(arrival);
        if (arrival - 60 * S..arrival + 60 * S).contains(&time) {
            self.crowded.push(time);
        }
        let kinds =
            ["probe.readiness", "probe.readiness", "probe.both", "probe.both", "probe.load"];
        let kind = match self.random.chance(4) {
            true => "probe.liveness",
            false => self.random.pick::<&str>(&kinds),
        };
        let subject_json = match self.random.below(60) {
            0 => None,
            1 => Some(self.random.pick(&["7", "null", "\"\"", "[]"]).to_string()),
            _ => Some(self.subject()),
        };
        let extras = [
            ",\"specversion\":\"1.0\"",
            ",\"severity\":1,\"severity\":2",
            ",\"note\":{\"id\":1,\"id\":[{}],\"time\":\"now\"}",
            ",\"note\":\"\\\"id\\\":\\\"x\\\",\\u00e9\\ud83d\\ude00\"",
            ",\"\":null,\"n\":-1.5e-3",
        ];
        let extra = match self.random.chance(12) {
            true => (*self.random.pick(&extras)).to_owned(),
            false => String::new(),
        };
        let id = match self.random.chance(85) {
            true => format!("e{}", self.random.below(10_000)),
            false => self.random.pick(&["", "e1", "e10", "e2", "é", "a\"b\\c"]).to_string(),
        };
        Draft {
            id,
            source: self.source(),
            kind: kind.to_owned(),
            subject_json,
            time: spelt(time.clamp(i64::MIN + DAY, i64::MAX - DAY), self.random),
            recorded: None,
            sequence_json: self.sequence(),
            data_json: Some(self.data()),
            extra,
        }
    }

    fn source(&mut self) -> String {
        self.random
            .pick(&["/probe/a", "/probe/a", "/probe/a", "/probe/b", "/probé", ""])
            .to_string()
    }

    fn subject(&mut self) -> String {
        let entity =
            *self.random.pick(&["shop/cart-1", "shop/cärt", "shop/cart-10"][..self.entities]);
        if self.random.chance(10) { escaped(entity) } else { quoted(entity) }
    }

    fn sequence(&mut self) -> Option<String> {
        let texts = [
            "\"7\"",
            "\"007\"",
            "\"10\"",
            "\"9\"",
            "7",
            "10",
            "\"a\"",
            "\"\"",
            "\"-1\"",
            "\"18446744073709551616\"",
            "\"100000000000000000000\"",
            "18446744073709551615",
        ];
        self.random.chance(40).then(|| self.random.pick(&texts).to_string())
    }

    fn data(&mut self) -> String {
        let data = self.states();
        match &mut self.readings {
            Some(random) => readings::with_reading(data, random),
            None => data,
        }
    }

    fn states(&mut self) -> String {
        let state = *self
            .random
            .pick(&["ready", "Ready", "ok", "unready", "NotReady", "timeout", "degraded", "slow"]);
        let load = *self.random.pick(&["high", "max", "low", "idle"]);
        match self.random.below(70) {
            0 => "\"ready\"".to_owned(),
            1 => "null".to_owned(),
            2 => r#"{"state":1,"load":["high"]}"#.to_owned(),
            3 => r#"{"state":null,"load":"weird"}"#.to_owned(),
            4 => r#"{"nested":{"state":"ready"}}"#.to_owned(),
            5 => format!(r#"{{"state":"{state}","state":"weird"}}"#),
            6 => format!(r#"{{"load":"{load}","load":"high","state":{}}}"#, escaped(state)),
            7..12 => format!(r#"{{"state":"{state}"}}"#),
            12..15 => format!(r#"{{"load":"{load}"}}"#),
            _ => format!(r#"{{"state":"{state}","load":"{load}"}}"#),
        }
    }
}
