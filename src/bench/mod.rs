//! `limbeck bench`: what a replay costs on this machine, as a whole and by stage.
//!
//! The workload follows from its parameters alone, so that anybody can repeat a measurement. A
//! whole replay is a process of its own in every run: start-up and peak memory are those of a
//! user. A stage runs in this process on what the stages before it made, which is made, and
//! copied for each run, outside of the time that counts. What stages keep by key is measured by the
//! memory of whole replays. Results that were recorded can be compared with.

mod against;
mod latency;
mod limit;
mod lines;
mod measure;
mod memory;
mod random;
mod rules;
mod scaling;
mod soak;
mod stages;
mod table;
mod whole;
pub mod workload;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use self::against::Recorded;
use self::measure::Machine;
use self::memory::Memory;
pub use self::soak::Soak;
use self::table::{Ratio, Report, Row};
use self::whole::Replays;
use self::workload::Workload;
use crate::rules::Rules;

/// The rules of the flat log, and those of the same log as CloudEvents.
const FLAT_RULES: &str = include_str!("flat.yaml");
const CLOUDEVENTS_RULES: &str = include_str!("cloudevents.yaml");

/// The shape in which a workload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As most collectors write: flat JSON, read through a mapping.
    Flat,
    /// CloudEvents, as they are read without one.
    CloudEvents,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::CloudEvents => "cloudevents",
        }
    }

    fn rules_text(self) -> &'static str {
        match self {
            Self::Flat => FLAT_RULES,
            Self::CloudEvents => CLOUDEVENTS_RULES,
        }
    }
}

/// What to measure, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Only measurements whose name contains one of these; all if there are none.
    pub only: Vec<String>,
    /// What is replayed.
    pub workload: Workload,
    /// Workers of a whole replay.
    pub workers: usize,
    /// How often each measurement is repeated.
    pub runs: usize,
    /// Where the results go as JSON, too.
    pub json: Option<PathBuf>,
    /// Results to compare with, as `json` has written them.
    pub against: Option<PathBuf>,
    /// Where logs and outputs are made, and stay; a directory that is removed if none.
    pub keep: Option<PathBuf>,
    /// How the soak is made, which is made only if `only` has its name.
    pub soak: Soak,
    /// The limit program, to run in turn with the replay of the flat log.
    pub limit: Option<PathBuf>,
    /// Where the charts of the scaling go, as SVG.
    pub charts: Option<PathBuf>,
}

/// Why there are no results.
#[derive(Debug)]
pub enum Failure {
    /// A file cannot be created, written or read.
    File(PathBuf, io::Error),
    /// A program could not be run to its end.
    Program(String),
    /// A replay in this process failed.
    Stage(String),
    /// Two programs gave different rows.
    RowsDiffer(String),
    /// A soak has more and more memory.
    MemoryGrew(String),
    /// No measurement has such a name.
    NoSuchName(String),
    /// Recorded results cannot be read.
    NoRecord(PathBuf, io::Error),
    /// What should be recorded results is something else.
    BadRecord(PathBuf, String),
    /// Results of this name are not compared.
    NotCompared(&'static str),
}

impl Failure {
    /// The exit code of the contract.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::RowsDiffer(_) | Self::MemoryGrew(_) => 1,
            Self::NoSuchName(_) | Self::NotCompared(_) => 2,
            Self::BadRecord(..) => 65,
            Self::NoRecord(..) => 66,
            Self::Program(_) | Self::Stage(_) => 70,
            Self::File(..) => 73,
        }
    }

    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::File(path.to_owned(), error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Program(what) | Self::Stage(what) | Self::RowsDiffer(what) => f.write_str(what),
            Self::MemoryGrew(report) => write!(f, "memory grew\n{report}"),
            Self::NoSuchName(name) => {
                write!(f, "no measurement has `{name}` in its name; there are: ")?;
                write!(
                    f,
                    "{}, {SCALING}, {LATENCY}, {SOAK}",
                    names().collect::<Vec<_>>().join(", ")
                )
            }
            Self::NoRecord(path, error) => {
                let path = path.display();
                write!(f, "the recorded results cannot be read: {path}: {error}; {RECORDING}")
            }
            Self::BadRecord(path, why) => {
                write!(f, "{}: {why}; {RECORDING}", path.display())
            }
            Self::NotCompared(name) => {
                write!(f, "what `--only {name}` measures is not compared with what was recorded")
            }
        }
    }
}

impl std::error::Error for Failure {}

const RECORDING: &str = "`limbeck bench --json FILE` records results";

/// All measurements but those of rules and memory. The limit program is not among them: it comes with the flat replay.
const NAMES: [&str; 8] = [
    "end-to-end/flat",
    "end-to-end/cloudevents",
    "decode/flat",
    "decode/cloudevents",
    "match",
    "exchange",
    "timeline",
    "output",
];

fn names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().chain(memory::names()).chain(rules::names())
}

/// What takes minutes is made only by its name, and alone.
const SOAK: &str = "soak";
const SCALING: &str = "scaling";
const LATENCY: &str = "latency";

/// A measurement that is made alone: in a directory, on this machine, with what is said meanwhile.
type Alone = fn(&Settings, &Path, Machine, &dyn Fn(&str)) -> Result<String, Failure>;

/// Writes a workload to a file; `-` is standard output.
///
/// # Errors
///
/// If it cannot be written.
pub fn write(workload: &Workload, shape: Shape, path: &Path) -> Result<(), Failure> {
    let written = match path.as_os_str() == "-" {
        true => write_to(workload, shape, &mut io::stdout().lock()),
        false => File::create(path).and_then(|mut file| write_to(workload, shape, &mut file)),
    };
    written.map_err(Failure::file(path))
}

fn write_to(workload: &Workload, shape: Shape, out: &mut impl Write) -> io::Result<()> {
    match shape {
        Shape::Flat => workload.write_flat(out)?,
        Shape::CloudEvents => workload.write_cloudevents(out)?,
    }
    out.flush()
}

/// Measures what is asked for; returns the table.
///
/// # Errors
///
/// If a measurement cannot be made, or what it is to be compared with is not there: then there are no
/// results at all.
pub fn run(settings: &Settings, progress: &dyn Fn(&str)) -> Result<String, Failure> {
    let alone = [SOAK, SCALING, LATENCY].into_iter().find(|name| settings.only == [*name]);
    if let (Some(name), Some(_)) = (alone, &settings.against) {
        return Err(Failure::NotCompared(name));
    }
    // Before all else: nobody wants to be told after minutes.
    let recorded = settings.against.as_deref().map(Recorded::read).transpose()?;
    let measure = match alone {
        Some(SOAK) => Some(soak::run as Alone),
        Some(SCALING) => Some(scaling::run as Alone),
        Some(LATENCY) => Some(latency::run as Alone),
        _ => None,
    };
    if let Some(measure) = measure {
        let place = Place::new(settings.keep.as_deref())?;
        return measure(settings, &place.dir, Machine::here(), progress);
    }
    let nothing = settings.only.iter().find(|only| !names().any(|name| name.contains(*only)));
    if let Some(only) = nothing {
        return Err(Failure::NoSuchName(only.clone()));
    }
    let wanted =
        |name: &&str| settings.only.is_empty() || settings.only.iter().any(|o| name.contains(o));
    let names: Vec<_> = names().filter(wanted).collect();
    let machine = Machine::here();
    let place = Place::new(settings.keep.as_deref())?;
    let mut bench = Bench::new(settings, place, progress);
    let is_whole = |name: &&&str| name.starts_with("end-to-end/");
    let is_of_rules = |name: &&&str| name.starts_with("rules/");
    let (rules, others): (Vec<_>, Vec<_>) = names.iter().partition(is_of_rules);
    let is_of_memory = |name: &&&str| name.starts_with("memory/");
    let (of_memory, others): (Vec<_>, Vec<_>) = others.into_iter().partition(is_of_memory);
    let (whole, stages): (Vec<_>, Vec<_>) = others.into_iter().partition(is_whole);
    bench.whole(&whole)?;
    rules::measure(&mut bench, &rules)?;
    memory::measure(&mut bench, &of_memory)?;
    stages::measure(&mut bench, &stages)?;
    let Bench { rows, memory, ratios, .. } = bench;
    let report = Report::new(settings, machine, &rows, memory, ratios);
    if let Some(path) = &settings.json {
        fs::write(path, report.json()).map_err(Failure::file(path))?;
    }
    let beside = recorded.map_or_else(String::new, |recorded| recorded.beside(&report));
    Ok(report.table() + &beside)
}

/// The measurements while they are made.
struct Bench<'s> {
    settings: &'s Settings,
    place: Place,
    progress: &'s dyn Fn(&str),
    rows: Vec<Row>,
    memory: Vec<Memory>,
    ratios: Vec<Ratio>,
}

impl<'s> Bench<'s> {
    fn new(settings: &'s Settings, place: Place, progress: &'s dyn Fn(&str)) -> Self {
        let (rows, memory, ratios) = (Vec::new(), Vec::new(), Vec::new());
        Self { settings, place, progress, rows, memory, ratios }
    }

    /// The log in a shape; written when it is first wanted.
    fn log(&self, shape: Shape) -> Result<PathBuf, Failure> {
        let path = self.place.dir.join(format!("{}.ndjson", shape.name()));
        if !path.exists() {
            (self.progress)(&format!("writing the {} log", shape.name()));
            let part = self.place.dir.join(format!("{}.part", shape.name()));
            write(&self.settings.workload, shape, &part)?;
            fs::rename(&part, &path).map_err(Failure::file(&path))?;
        }
        Ok(path)
    }

    fn rules(&self, shape: Shape) -> Rules {
        Rules::parse(shape.name(), shape.rules_text()).expect("the rules of the bench are right")
    }

    fn rules_file(&self, shape: Shape) -> Result<PathBuf, Failure> {
        let path = self.place.dir.join(format!("{}.yaml", shape.name()));
        fs::write(&path, shape.rules_text()).map_err(Failure::file(&path))?;
        Ok(path)
    }

    /// Whole replays, and the limit program in turn with that of the flat log.
    fn whole(&mut self, names: &[&&str]) -> Result<(), Failure> {
        for shape in [Shape::Flat, Shape::CloudEvents] {
            let name = format!("end-to-end/{}", shape.name());
            if !names.iter().any(|wanted| **wanted == name) {
                continue;
            }
            let replays = Replays::new(self, shape)?;
            (self.progress)(&name);
            match (&self.settings.limit, shape) {
                (Some(program), Shape::Flat) => limit::in_turn(self, &replays, program)?,
                _ => {
                    let runs = 0..self.settings.runs;
                    let costs = runs.map(|_| replays.run()).collect::<Result<_, _>>()?;
                    self.rows.push(Row::new(&name, Some(self.settings.workers), costs));
                }
            }
        }
        Ok(())
    }
}

/// The directory of a bench.
struct Place {
    dir: PathBuf,
    removed: bool,
}

impl Place {
    fn new(keep: Option<&Path>) -> Result<Self, Failure> {
        let own = || std::env::temp_dir().join(format!("limbeck-bench-{}", std::process::id()));
        let dir = keep.map_or_else(own, Path::to_owned);
        // What an earlier bench has left may be another workload's.
        for shape in [Shape::Flat, Shape::CloudEvents] {
            let _ = fs::remove_file(dir.join(format!("{}.ndjson", shape.name())));
        }
        fs::create_dir_all(&dir).map_err(Failure::file(&dir))?;
        Ok(Self { dir, removed: keep.is_none() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.removed {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}
