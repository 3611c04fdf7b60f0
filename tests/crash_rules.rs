//! A replay that crashes, and goes on with other rules: its outputs are those of one that had these
//! rules from the start.
//!
//! Each seed has a log of the oracle's, with its rules. A replay of it is saved on the way and crashes;
//! then some rules are removed, added, changed or put elsewhere, and another replay goes on from what
//! there is, on another number of workers. It may crash too, before or behind where the first came,
//! and the rules may change back. `LIMBECK_SEEDS=FROM..TO` takes other seeds.

mod common;
mod oracle;

use std::collections::BTreeMap;
use std::fs;

use common::{Lab, Outputs, replaying, seeds};
use limbeck::checkpoint::{Every, Plan};
use limbeck::durable::{self, Disk, Fault};
use limbeck::replay::{Options, Resumed, prepare};
use limbeck::rules::Rules;
use oracle::logs::{Random, case, persistent_case};
use oracle::{MS, S};

const ROUTES: &str = "
sinks:
  hook: { webhook: { url: \"http://localhost:9\" } }
routes:
  - { to: hook }
";

/// A rule file in parts: what is before the rules, and each of them.
#[derive(Clone, Debug)]
struct File {
    head: String,
    rules: Vec<String>,
    routes: bool,
}

const RULE: &str = "  - name: ";

impl File {
    fn new(yaml: &str, random: &mut Random) -> Self {
        let mut parts = yaml.split(RULE);
        let head = parts.next().expect("there is something before the rules").to_owned();
        let rules = parts.map(|rule| format!("{RULE}{rule}")).collect();
        Self { head, rules, routes: random.chance(70) }
    }

    fn yaml(&self) -> String {
        format!("{}{}{}", self.head, self.rules.concat(), if self.routes { ROUTES } else { "" })
    }

    /// Makes another file of it, in one way or several.
    fn change(&mut self, random: &mut Random) {
        for _ in 0..1 + random.below(2) {
            let at = random.below(self.rules.len() as u64) as usize;
            match random.below(6) {
                0 if self.rules.len() > 1 => drop(self.rules.remove(at)),
                0 | 1 => {
                    let name =
                        format!("{RULE}{}-{}\n", random.pick(&["a", "q"]), random.below(1000));
                    let (_, rest) = self.rules[at].split_once('\n').expect("a line");
                    let rule = held_otherwise(&format!("{name}{rest}"), random);
                    self.rules.insert(random.below(self.rules.len() as u64 + 1) as usize, rule);
                }
                2 | 3 => self.rules[at] = held_otherwise(&self.rules[at], random),
                4 => random.shuffle(&mut self.rules),
                _ => self.routes ^= true,
            }
        }
    }
}

/// A rule with other holds.
fn held_otherwise(rule: &str, random: &mut Random) -> String {
    let (before, hold) = rule.split_once("hold: { ").expect("a hold");
    let (hold, rest) = hold.split_once(" }").expect("its end");
    let state = hold.split(':').next().expect("a state");
    let lasts = *random.pick(&["0s", "1ms", "150ms", "1s", "2s", "7s"]);
    format!("{before}hold: {{ {state}: {lasts} }}{rest}")
}

fn parse(file: &File) -> Rules {
    Rules::parse("rules.yaml", &file.yaml()).unwrap_or_else(|all| panic!("{all}"))
}

/// All files of a folder that are not of this machine or moment.
fn read(options: &Options) -> (Outputs, [Option<Vec<u8>>; 2]) {
    let others = ["fates.ndjson", "notifications.ndjson"];
    (Outputs::read(&options.out), others.map(|name| fs::read(options.out.join(name)).ok()))
}

type Seen = BTreeMap<&'static str, u32>;

fn check(seed: u64, seen: &mut Seen) {
    let mut random = Random::new(seed ^ 0x7275_6c65);
    // Some learn of how long their faults last, beside others that do not.
    let case = if seed.is_multiple_of(3) { persistent_case(seed) } else { case(seed) };
    let mut file = File::new(&case.yaml, &mut random);
    let lab = Lab::new(&file.yaml(), &case.partitions);
    let mut options = lab.options();
    options.tick_ns = *random.pick(&[MS, 100 * MS, S]);
    options.fates = random.chance(8);
    options.out = lab.dir.path().join("resumed");
    let kept = lab.dir.path().join("kept");
    let mut rebuilt = 0;
    for attempt in 0..5 {
        if attempt > 0 && random.chance(80) {
            let before = file.clone();
            file.change(&mut random);
            if random.chance(20) {
                file = before;
            }
        }
        options.workers = *random.pick(&[1, 2, 3]);
        options.block_bytes = Some(*random.pick(&[4, 60, 200, 700]));
        let point = (*random.pick(&["checkpoint write", "checkpoint rename", "output"])).to_owned();
        let passing = 1 + random.below(5);
        let plan = durable::Plan { seed: random.next(), point, passing, fault: Fault::Crash };
        let disk = if attempt < 4 { Disk::faulty(plan.clone()) } else { Disk::default() };
        let every = Every::Clock(*random.pick(&[MS, 300 * MS, S]));
        options.checkpoint = Some(Plan { dir: kept.clone(), every, disk: disk.clone() });
        replaying(format!("seed {seed}, attempt {attempt}: {plan:?}\n{}", file.yaml()));
        let rules = parse(&file);
        let done = prepare(&rules, &options).and_then(|prepared| {
            let how = match prepared.resumed() {
                None => "began",
                Some(Resumed::From { .. }) => "went on with all",
                Some(Resumed::Rules { .. }) => "went on with some rules",
                Some(Resumed::Not { .. }) => "began anew",
            };
            rebuilt += u32::from(how == "went on with some rules");
            *seen.entry(how).or_default() += 1;
            prepared.run()
        });
        match done {
            Err(failure) => assert!(disk.has_failed(), "seed {seed}: {failure}"),
            Ok(_) => break,
        }
    }
    let what = format!("seed {seed}, rebuilt {rebuilt} times\n{}\n{}", file.yaml(), case.show());
    let (outputs, others) = read(&options);
    options.out = lab.dir.path().join("whole");
    options.checkpoint = None;
    replaying(format!("seed {seed}, uninterrupted"));
    prepare(&parse(&file), &options).and_then(|prepared| prepared.run()).expect(&what);
    let (wanted, wanted_others) = read(&options);
    outputs.assert_equal(&wanted, &what);
    assert!(others == wanted_others, "{what}: fates or notifications");
}

#[test]
fn what_goes_on_with_other_rules_has_their_outputs() {
    let (range, mut seen) = (seeds(0..300), Seen::new());
    let count = range.end - range.start;
    range.for_each(|seed| check(seed, &mut seen));
    println!("{seen:#?}");
    assert!(count < 300 || u64::from(seen["went on with some rules"]) > count / 10, "{seen:?}");
}
