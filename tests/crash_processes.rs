//! Several processes that replay together, of which one is killed or loses its disk: all are
//! started again, with other numbers of processes and workers, and the outputs are those of one
//! that never stopped.
//!
//! Each seed has a named point of what the first process writes, a log of the oracle's, and a
//! victim: there the disk crashes, or is full, or one of the processes is killed. What is left goes
//! on, or crashes again. Where the log is over before the point is passed, the next one is taken.
//! The processes are this test itself, started once more. `LIMBECK_SEEDS=FROM..TO` takes other
//! seeds, of many every tenth.

mod common;
mod oracle;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio, exit};
use std::thread;
use std::time::{Duration, Instant};

use common::{Lab, Outputs, hosts, replaying, seeds};
use limbeck::checkpoint::{Every, Plan};
use limbeck::durable::{self, ANY, Disk, Fault};
use limbeck::replay::{Cluster, Log, Options, Resumed, prepare};
use limbeck::rules::Rules;
use limbeck::sources::Interrupt;
use oracle::logs::{Random, case};
use oracle::{MS, S};
use serde::{Deserialize, Serialize};

const POINTS: [&str; 4] = ["checkpoint write", "checkpoint rename", "output", ANY];
/// How a process ends whose disk has failed. Nobody else does.
const FAILED: [i32; 2] = [73, 74];
/// It was lost, or another was.
const LOST: i32 = 69;
/// Where a process finds what it is to do.
const TASK: &str = "LIMBECK_TEST_TASK";
/// A test ends long before.
const LONG: Duration = Duration::from_secs(120);

/// What a process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Task {
    rules: PathBuf,
    logs: Vec<PathBuf>,
    out: PathBuf,
    kept: PathBuf,
    hosts: Vec<String>,
    workers: usize,
    block_bytes: usize,
    tick_ns: i64,
    fates: bool,
    every_ns: i64,
    /// What the disk is planned to do, on the first process.
    plan: Option<(u64, String, u64)>,
    /// Who is killed there, if not the disk is lost: by process, and its id if it is another.
    kill: Option<(usize, u32)>,
    full: bool,
}

impl Task {
    fn disk(&self) -> Disk {
        let Some((seed, point, passing)) = self.plan.clone() else { return Disk::default() };
        let fault = match self.kill {
            Some((0, _)) => Fault::Kill(std::process::id()),
            Some((_, id)) => Fault::Kill(id),
            None if self.full => Fault::DiskFull,
            None => Fault::Crash,
        };
        Disk::faulty(durable::Plan { seed, point, passing, fault })
    }
}

/// A process of several: started by the other test.
#[test]
#[ignore = "the other test starts it"]
fn one_of_several_processes() {
    let (path, process) = std::env::var(TASK)
        .ok()
        .and_then(|task| {
            let (path, process) = task.rsplit_once(' ')?;
            Some((PathBuf::from(path), process.parse::<usize>().ok()?))
        })
        .expect("it has something to do");
    let task: Task = serde_json::from_slice(&fs::read(path).expect("it is there")).expect("JSON");
    let yaml = fs::read_to_string(&task.rules).expect("it is there");
    let rules = Rules::parse("rules.yaml", &yaml).unwrap_or_else(|all| panic!("{all}"));
    let disk = if process == 0 { task.disk() } else { Disk::default() };
    // One that is killed before it has come is not waited for.
    let wait = if task.kill.is_some() { Duration::from_secs(1) } else { LONG };
    let cluster = Cluster { hosts: task.hosts.clone(), process, wait };
    let options = Options {
        logs: task.logs.iter().map(|path| Log::file(path, 0)).collect(),
        out: task.out.clone(),
        workers: task.workers,
        from_ns: None,
        until_ns: None,
        tick_ns: task.tick_ns,
        cluster: Some(cluster.clone()),
        profile: false,
        progress: false,
        fates: task.fates,
        checkpoint: Some(Plan { dir: task.kept.clone(), every: Every::Clock(task.every_ns), disk }),
        senders: None,
        interrupt: Interrupt::default(),
        block_bytes: Some(task.block_bytes),
    };
    let done = match prepare(&rules, &options) {
        Ok(prepared) => {
            if let Some(Resumed::From { at, .. }) = prepared.resumed() {
                eprintln!("goes on from {at}");
            }
            prepared.run()
        }
        Err(failure) => {
            cluster.decline(&failure.to_string(), &options.interrupt);
            Err(failure)
        }
    };
    if let Err(failure) = done {
        eprintln!("{failure}");
        exit(i32::from(failure.exit_code()));
    }
}

/// How the processes ended.
struct Ended {
    codes: Vec<Option<i32>>,
    said: String,
}

/// Has all processes do their part, and waits for their ends.
fn run(dir: &Path, task: &Task) -> Ended {
    let start = |task: &Task, process: usize| {
        let path = dir.join(format!("task-{process}"));
        fs::write(&path, serde_json::to_vec(task).expect("it is JSON")).expect("it can be written");
        let said = fs::File::create(dir.join(format!("said-{process}"))).expect("it can be made");
        Command::new(std::env::current_exe().expect("this test is a program"))
            .args(["--ignored", "--exact", "one_of_several_processes", "--nocapture"])
            .env(TASK, format!("{} {process}", path.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .expect("it can be run")
    };
    let mut others: Vec<Child> = (1..task.hosts.len()).map(|number| start(task, number)).collect();
    let mut task = task.clone();
    if let Some((victim, id)) = task.kill.as_mut().filter(|(victim, _)| *victim > 0) {
        *id = others[*victim - 1].id();
    }
    let mut all = vec![start(&task, 0)];
    all.append(&mut others);
    let begun = now();
    let mut codes = Vec::new();
    for child in &mut all {
        let status = loop {
            match child.try_wait().expect("it is ours") {
                Some(status) => break status,
                None if begun.elapsed() > LONG => panic!("it hangs: {task:?}"),
                None => thread::yield_now(),
            }
        };
        codes.push(status.code());
    }
    let said =
        (0..all.len()).map(|process| fs::read_to_string(dir.join(format!("said-{process}"))));
    Ended { codes, said: said.map(Result::unwrap_or_default).collect() }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test that hangs shall fail")]
    Instant::now()
}

/// How often each thing came about.
type Seen = BTreeMap<String, u32>;

/// Replays the n-th log of a seed; whether the point of the seed was hit.
fn check(seed: u64, n: u64, seen: &mut Seen) -> bool {
    let mut random = Random::new(seed ^ 0x7072_6f63 ^ n << 32);
    let case = case(seed ^ n << 32);
    let lab = Lab::new(&case.yaml, &case.partitions);
    let dir = lab.dir.path();
    let mut options = lab.options();
    options.tick_ns = *random.pick(&[MS, 100 * MS, S]);
    options.fates = random.chance(30);
    replaying(format!("seed {seed}, uninterrupted"));
    let wanted = lab.replay(&options);
    let fates = |out: &Path| fs::read(out.join("fates.ndjson")).ok();
    let wanted_fates = fates(&options.out);

    let rules = dir.join("rules.yaml");
    fs::write(&rules, &case.yaml).expect("it can be written");
    let mut task = Task {
        rules,
        logs: lab.logs.clone(),
        out: dir.join("resumed"),
        kept: dir.join("kept"),
        hosts: Vec::new(),
        workers: 1,
        block_bytes: 0,
        tick_ns: options.tick_ns,
        fates: options.fates,
        every_ns: 0,
        plan: None,
        kill: None,
        full: false,
    };
    let mut point = POINTS[seed as usize % POINTS.len()];
    let (mut crashes, mut resumed, mut hit) = (0, false, false);
    for attempt in 0..5 {
        let processes = 2 + random.below(2) as usize;
        task.workers = *random.pick(&[1, 1, 2]);
        task.block_bytes = *random.pick(&[4, 60, 200, 700]);
        task.every_ns = *random.pick(&[MS, 300 * MS, S, 5 * S]);
        task.hosts = hosts(processes);
        let passing = match point {
            ANY => 1 + random.below(120),
            _ => 1 + random.below(2),
        };
        task.plan = (attempt < 4).then(|| (random.next(), point.to_owned(), passing));
        let kills = attempt < 4 && random.chance(60);
        task.kill = kills.then(|| (random.below(processes as u64) as usize, 0));
        task.full = random.chance(30);
        let Ended { codes, said } = run(dir, &task);
        let what = format!("seed {seed}, attempt {attempt}: {codes:?} {task:?}\n{said}");
        resumed |= said.contains("goes on from") && crashes > 0;
        if codes.iter().all(|code| *code == Some(0)) {
            break;
        }
        let known = [0, LOST].into_iter().chain(FAILED).map(Some).chain([None]).collect::<Vec<_>>();
        assert!(task.plan.is_some() && codes.iter().all(|code| known.contains(code)), "{what}");
        hit |= attempt == 0;
        crashes += 1;
        let victim = match task.kill {
            Some((0, _)) => "the first is killed",
            Some(_) => "another is killed",
            None => "the disk fails",
        };
        *seen.entry(format!("{point}: {victim}")).or_default() += 1;
        point = *random.pick(&POINTS);
    }
    let what = format!("seed {seed}, {crashes} crashes, went on: {resumed}\n{}", case.show());
    Outputs::read(&task.out).assert_equal(&wanted, &what);
    assert!(fates(&task.out) == wanted_fates, "{what}: fates");
    *seen.entry("went on".to_owned()).or_default() += u32::from(resumed);
    hit
}

#[test]
fn what_crashes_together_goes_on_to_the_same_bytes() {
    let (range, mut seen) = (seeds(0..12), Seen::new());
    // Each starts some ten processes: of many seeds one of ten is enough.
    let step = if range.end - range.start > 100 { 10 } else { 1 };
    let count = range.clone().step_by(step).count() as u64;
    for seed in range.step_by(step) {
        // Some logs are over before there is a checkpoint.
        let hit = (0..40).any(|n| check(seed, n, &mut seen));
        assert!(hit, "seed {seed}: its point is passed in some log");
    }
    println!("{seen:#?}");
    assert!(count < 12 || u64::from(seen["went on"]) > count / 4, "{seen:?}");
}
