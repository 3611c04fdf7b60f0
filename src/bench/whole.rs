//! Whole replays with all outputs, each a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::measure::{Cost, program};
use super::{Bench, Failure, Shape};

/// Replays of a log.
pub(super) struct Replays {
    limbeck: PathBuf,
    rules: PathBuf,
    logs: Vec<PathBuf>,
    out: PathBuf,
    workers: usize,
    events: u64,
}

impl Replays {
    pub(super) fn new(bench: &Bench<'_>, shape: Shape) -> Result<Self, Failure> {
        let limbeck = std::env::current_exe()
            .map_err(|error| Failure::Program(format!("this program is nowhere: {error}")))?;
        Ok(Self {
            limbeck,
            rules: bench.rules_file(shape)?,
            logs: vec![bench.log(shape)?],
            out: bench.place.dir.join(format!("{}-out", shape.name())),
            workers: bench.settings.workers,
            events: bench.settings.workload.events,
        })
    }

    /// The same of a log in parts.
    pub(super) fn of_parts(&self, logs: Vec<PathBuf>) -> Self {
        let out = self.out.with_extension("parts");
        let (limbeck, rules) = (self.limbeck.clone(), self.rules.clone());
        Self { limbeck, rules, logs, out, ..*self }
    }

    /// The same through other rules.
    pub(super) fn through(
        self,
        bench: &Bench<'_>,
        name: &str,
        rules: &str,
    ) -> Result<Self, Failure> {
        let path = bench.place.dir.join(format!("{name}.yaml"));
        fs::write(&path, rules).map_err(Failure::file(&path))?;
        Ok(Self { rules: path, ..self })
    }

    pub(super) fn log(&self) -> &Path {
        &self.logs[0]
    }

    /// The rows of the last run.
    pub(super) fn episodes(&self) -> PathBuf {
        self.out.join("episodes.ndjson")
    }

    pub(super) fn run(&self) -> Result<Cost, Failure> {
        // What an earlier run wrote must not pass for what this one has.
        let _ = fs::remove_dir_all(&self.out);
        let workers = self.workers.to_string();
        let mut command = Command::new(&self.limbeck);
        command.arg("replay").arg("--rules").arg(&self.rules).arg("--out").arg(&self.out);
        command.args(["--workers", &workers]).arg("--log").args(&self.logs);
        let (cost, _) = program(&mut command)?;
        let path = self.out.join("summary.json");
        let summary = fs::read(&path).map_err(Failure::file(&path))?;
        let summary: serde_json::Value =
            serde_json::from_slice(&summary).expect("a summary is JSON");
        if summary["records"] != self.events {
            let what = format!("{} events became {} records", self.events, summary["records"]);
            return Err(Failure::RowsDiffer(what));
        }
        Ok(Cost { peak_bytes: summary["peak_rss_bytes"].as_u64(), ..cost })
    }
}
