//! Results for people and for programs.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::Settings;
use super::measure::{Cost, Machine};
use super::memory::Memory;

/// Of what `--json` writes: what a later version could not read as it was meant has another.
pub(super) const FORMAT: u32 = 1;

/// All runs of a measurement.
#[derive(Debug)]
pub(super) struct Row {
    name: String,
    workers: Option<usize>,
    costs: Vec<Cost>,
}

impl Row {
    pub(super) fn new(name: &str, workers: Option<usize>, costs: Vec<Cost>) -> Self {
        Self { name: name.to_owned(), workers, costs }
    }

    fn seconds(&self) -> Vec<f64> {
        sorted(self.costs.iter().map(|cost| cost.seconds))
    }

    fn cpu_seconds(&self) -> Vec<f64> {
        sorted(self.costs.iter().map(|cost| cost.cpu_seconds))
    }

    fn peak_bytes(&self) -> Option<u64> {
        self.costs.iter().filter_map(|cost| cost.peak_bytes).max()
    }
}

/// How much more one takes than another that ran in turn with it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ratio {
    of: String,
    to: String,
    wall: Quotient,
    cpu: Quotient,
}

/// Of the medians; and the least and the most of any one round.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Quotient {
    medians: f64,
    least: f64,
    most: f64,
}

impl Quotient {
    fn new(of: &Row, to: &Row, cost: fn(&Cost) -> f64) -> Self {
        let middle = |row: &Row| median(&sorted(row.costs.iter().map(cost)));
        let rounds = of.costs.iter().zip(&to.costs);
        let rounds = sorted(rounds.map(|(one, other)| cost(one) / cost(other)));
        let edge = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
        let (least, most) = (edge(rounds.first()), edge(rounds.last()));
        Self { medians: middle(of) / middle(to), least, most }
    }
}

impl Ratio {
    pub(super) fn new(of: &Row, to: &Row) -> Self {
        Self {
            of: of.name.clone(),
            to: to.name.clone(),
            wall: Quotient::new(of, to, |cost| cost.seconds),
            cpu: Quotient::new(of, to, |cost| cost.cpu_seconds),
        }
    }
}

pub(super) fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of sorted values; of an even number, the mean of the two in the middle.
pub(super) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// What `--json` writes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Report {
    format: u32,
    pub(super) version: String,
    pub(super) machine: Machine,
    events: u64,
    entities: u32,
    seed: u64,
    runs: usize,
    pub(super) results: Vec<Line>,
    pub(super) memory: Vec<Memory>,
    // Of measurements in one report; where a time is zero they are no numbers, and cannot be read.
    #[serde(skip_deserializing)]
    ratios: Vec<Ratio>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) workers: Option<usize>,
    events_per_second: f64,
    events_per_second_min: f64,
    events_per_second_max: f64,
    pub(super) cpu_seconds_per_million: f64,
    pub(super) nanos_per_event: f64,
    pub(super) peak_bytes: Option<u64>,
    seconds: Vec<f64>,
    cpu_seconds: Vec<f64>,
}

impl Line {
    /// Of all lines of a report, only one has this.
    pub(super) fn measured(&self) -> (&str, Option<usize>) {
        (&self.name, self.workers)
    }
}

impl Report {
    pub(super) fn new(
        settings: &Settings,
        machine: Machine,
        rows: &[Row],
        memory: Vec<Memory>,
        ratios: Vec<Ratio>,
    ) -> Self {
        let events = settings.workload.events;
        let line = |row: &Row| {
            let (seconds, cpu_seconds) = (row.seconds(), row.cpu_seconds());
            let speed = |seconds: f64| (events as f64 / seconds).round();
            Line {
                name: row.name.clone(),
                workers: row.workers,
                events_per_second: speed(median(&seconds)),
                events_per_second_min: seconds.last().copied().map_or(0.0, speed),
                events_per_second_max: seconds.first().copied().map_or(0.0, speed),
                cpu_seconds_per_million: median(&cpu_seconds) * 1e6 / events as f64,
                nanos_per_event: median(&seconds) * 1e9 / events as f64,
                peak_bytes: row.peak_bytes(),
                seconds,
                cpu_seconds,
            }
        };
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            machine,
            events,
            entities: settings.workload.entities,
            seed: settings.workload.seed,
            runs: settings.runs,
            results: rows.iter().map(line).collect(),
            memory,
            ratios,
        }
    }

    /// Events, entities and seed.
    pub(super) fn workload(&self) -> (u64, u32, u64) {
        (self.events, self.entities, self.seed)
    }

    pub(super) fn json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("plain values encode");
        json.push(b'\n');
        json
    }

    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        self.write_table(&mut text).expect("a String takes every write");
        text
    }

    fn write_table(&self, text: &mut String) -> std::fmt::Result {
        let Machine { cores, model, load_before } = &self.machine;
        writeln!(
            text,
            "limbeck {} on {cores} cores ({model}), load {load_before:.1} before\n\
             {} events of {} entities, seed {}; median of {} runs, least and most in brackets\n",
            self.version, self.events, self.entities, self.seed, self.runs,
        )?;
        if !self.results.is_empty() {
            writeln!(
                text,
                "{:<28} {:>7} {:>12} {:<16} {:>10} {:>9} {:>8}",
                "", "workers", "M events/s", "", "CPU s/1 M", "ns/event", "peak MB",
            )?;
        }
        for line in &self.results {
            let (least, most) = (line.events_per_second_min, line.events_per_second_max);
            let workers = line.workers.map_or(String::from("-"), |workers| workers.to_string());
            let peak = |bytes: u64| format!("{:.0}", bytes as f64 / 1e6);
            writeln!(
                text,
                "{:<28} {workers:>7} {:>12.3} {:<16} {:>10.3} {:>9.1} {:>8}",
                line.name,
                line.events_per_second / 1e6,
                format!("[{:.3}, {:.3}]", least / 1e6, most / 1e6),
                line.cpu_seconds_per_million,
                line.nanos_per_event,
                line.peak_bytes.map_or(String::from("-"), peak),
            )?;
        }
        if !self.memory.is_empty() {
            let gap = if self.results.is_empty() { "" } else { "\n" };
            writeln!(text, "{gap}{:<28} {:>10}", "", "bytes each")?;
        }
        for memory in &self.memory {
            writeln!(text, "{:<28} {:>10.0}", memory.name, memory.bytes_each)?;
        }
        if !self.ratios.is_empty() {
            writeln!(
                text,
                "\nsame rows; ratios of the medians, in brackets those of single rounds:"
            )?;
        }
        for ratio in &self.ratios {
            let Ratio { of, to, wall, cpu } = ratio;
            let show = |Quotient { medians, least, most }: &Quotient| {
                format!("{medians:.1} [{least:.1}, {most:.1}]")
            };
            writeln!(text, "{of} / {to}: wall {}, CPU {}", show(wall), show(cpu))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(&[1.0, 5.0, 9.0]), 5.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn ratios_are_those_of_medians() {
        let cost = |seconds| Cost { seconds, cpu_seconds: 2.0 * seconds, peak_bytes: None };
        let row = |costs: &[f64]| Row::new("", None, costs.iter().copied().map(cost).collect());
        let ratio = Ratio::new(&row(&[8.0, 6.0, 100.0]), &row(&[4.0, 1.0, 2.0]));
        assert_eq!(ratio.wall, Quotient { medians: 4.0, least: 2.0, most: 50.0 });
        assert_eq!(ratio.cpu, ratio.wall);
    }
}
