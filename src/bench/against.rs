//! Results beside those that were recorded: what takes more now, and what less.
//!
//! A record is the JSON of an earlier bench. What both have measured is compared, by medians; times are per
//! event. A machine is not another, and the same one is not always as quiet: so the text says of which the
//! record is, and whether this is it.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Failure;
use super::measure::Machine;
use super::table::{FORMAT, Report};

/// A report has a few hundred bytes for each measurement.
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Results that were recorded.
pub(super) struct Recorded {
    path: PathBuf,
    report: Report,
}

/// What tells a report from other JSON, and from reports of other versions.
#[derive(Deserialize)]
struct Marked {
    format: u32,
}

impl Recorded {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let mut json = Vec::new();
        let file = File::open(path);
        file.and_then(|file| file.take(RECORD_BYTES_MAX).read_to_end(&mut json))
            .map_err(|error| Failure::NoRecord(path.to_owned(), error))?;
        let report = parse(&json).map_err(|why| Failure::BadRecord(path.to_owned(), why))?;
        Ok(Self { path: path.to_owned(), report })
    }

    /// What has changed since, as a table.
    pub(super) fn beside(&self, now: &Report) -> String {
        let mut text = String::new();
        self.write(now, &mut text).expect("a String takes every write");
        text
    }

    fn write(&self, now: &Report, text: &mut String) -> std::fmt::Result {
        let then = &self.report;
        let Machine { cores, model, load_before } = &then.machine;
        writeln!(
            text,
            "\nby what is recorded in {}: limbeck {} on {cores} cores ({model}), load {load_before:.1} before",
            self.path.display(),
            then.version,
        )?;
        let here = (&now.machine.cores, &now.machine.model);
        if here != (cores, model) {
            writeln!(text, "that is another machine: compare the ratios with each other only")?;
        }
        if now.workload() != then.workload() {
            let (events, entities, seed) = then.workload();
            writeln!(
                text,
                "recorded with another workload: {events} events of {entities} entities, seed {seed}"
            )?;
        }
        let rows = compared(then, now);
        writeln!(text, "\n{:<28} {:>7} {:>8} {:>8} {:>8}", "", "workers", "wall", "CPU", "bytes")?;
        let most: [Option<f64>; 3] =
            std::array::from_fn(|column| most_changed(rows.iter().map(|row| row.ratios[column])));
        for Compared { name, workers, ratios } in &rows {
            let workers = workers.map_or(String::from("-"), |workers| workers.to_string());
            write!(text, "{name:<28} {workers:>7}")?;
            for (ratio, most) in ratios.iter().zip(most) {
                let mark = if ratio.is_some() && *ratio == most { '*' } else { ' ' };
                let ratio = ratio.map_or(String::from("-"), |ratio| format!("{ratio:.2}"));
                write!(text, " {ratio:>7}{mark}")?;
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        if most.iter().any(Option::is_some) {
            writeln!(
                text,
                "\n1.00 is as recorded, - is not recorded; * has changed most in its column"
            )?;
        }
        Ok(())
    }
}

fn parse(json: &[u8]) -> Result<Report, String> {
    let value: serde_json::Value =
        serde_json::from_slice(json).map_err(|error| format!("not JSON: {error}"))?;
    match Marked::deserialize(&value) {
        // Once more from the text, so that a mistake has its line.
        Ok(Marked { format: FORMAT }) => serde_json::from_slice(json)
            .map_err(|error| format!("not the results of a bench: {error}")),
        Ok(Marked { format }) => {
            Err(format!("results in format {format}; this limbeck reads format {FORMAT}"))
        }
        Err(error) => Err(format!("not the results of a bench: {error}")),
    }
}

/// What a measurement takes now by what it took.
#[derive(Debug, PartialEq)]
struct Compared<'r> {
    name: &'r str,
    workers: Option<usize>,
    /// Of wall time, CPU time and bytes; `None` where it is not recorded, or was nothing.
    ratios: [Option<f64>; 3],
}

/// All that was measured now, in its order.
fn compared<'r>(then: &Report, now: &'r Report) -> Vec<Compared<'r>> {
    let bytes = |bytes: Option<u64>| bytes.map_or(0.0, |bytes| bytes as f64);
    let lines = now.results.iter().map(|line| {
        let was = then.results.iter().find(|was| was.measured() == line.measured());
        let ratios = was.map_or([None; 3], |was| {
            [
                ratio(line.nanos_per_event, was.nanos_per_event),
                ratio(line.cpu_seconds_per_million, was.cpu_seconds_per_million),
                ratio(bytes(line.peak_bytes), bytes(was.peak_bytes)),
            ]
        });
        Compared { name: &line.name, workers: line.workers, ratios }
    });
    let memory = now.memory.iter().map(|memory| {
        let was = then.memory.iter().find(|was| was.name == memory.name);
        let ratio = was.and_then(|was| ratio(memory.bytes_each, was.bytes_each));
        Compared { name: &memory.name, workers: None, ratios: [None, None, ratio] }
    });
    lines.chain(memory).collect()
}

fn ratio(now: f64, then: f64) -> Option<f64> {
    (now > 0.0 && then > 0.0).then(|| now / then)
}

/// The ratio that is furthest from one: twice is as far as half.
fn most_changed(ratios: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let change = |ratio: &f64| ratio.ln().abs();
    let changed = ratios.flatten().filter(|ratio| change(ratio) > 0.0);
    changed.max_by(|one, other| change(one).total_cmp(&change(other)))
}

#[cfg(test)]
mod tests {
    use super::super::{NAMES, memory};
    use super::*;
    use serde_json::{Value, json};

    /// What a bench wrote, of measurements with their times, CPU times and peaks, and of memory.
    fn written(lines: &[(&str, f64, f64, Option<u64>)], entity: f64) -> Value {
        let line = |(name, nanos, cpu, peak): &(&str, f64, f64, Option<u64>)| {
            json!({
                "name": name, "workers": 1, "events_per_second": 1e9 / nanos,
                "events_per_second_min": 1.0, "events_per_second_max": 1.0,
                "cpu_seconds_per_million": cpu, "nanos_per_event": nanos, "peak_bytes": peak,
                "seconds": [1.0], "cpu_seconds": [1.0],
            })
        };
        json!({
            "format": FORMAT, "version": "0.1.0",
            "machine": { "cores": 2, "model": "that one", "load_before": 0.5 },
            "events": 1_000, "entities": 10, "seed": 1, "runs": 1,
            "results": lines.iter().map(line).collect::<Vec<_>>(),
            "memory": [{ "name": "memory/entity", "more": 5, "bytes_each": entity }],
            "ratios": [{ "wall": null }],
        })
    }

    fn report(written: &Value) -> Report {
        parse(written.to_string().as_bytes()).unwrap_or_else(|why| panic!("{why}"))
    }

    fn beside(then: &Value, now: &Value) -> String {
        Recorded { path: "kept.json".into(), report: report(then) }.beside(&report(now))
    }

    const THEN: [(&str, f64, f64, Option<u64>); 3] = [
        ("flat", 400.0, 0.6, Some(1_000)),
        ("decode", 200.0, 0.2, None),
        ("match", 10.0, 0.0, None),
    ];

    #[test]
    fn each_measurement_is_shown_by_what_is_recorded_of_it() {
        let now = [
            ("flat", 440.0, 0.6, Some(1_500)),
            ("decode", 100.0, 0.3, None),
            ("match", 10.0, 0.1, None),
            ("new", 5.0, 0.1, None),
        ];
        assert_eq!(
            beside(&written(&THEN, 300.0), &written(&now, 150.0)),
            "\nby what is recorded in kept.json: limbeck 0.1.0 on 2 cores (that one), load 0.5 before\n\
             \n\
             \x20                            workers     wall      CPU    bytes\n\
             flat                               1    1.10     1.00     1.50\n\
             decode                             1    0.50*    1.50*       -\n\
             match                              1    1.00        -        -\n\
             new                                1       -        -        -\n\
             memory/entity                      -       -        -     0.50*\n\
             \n\
             1.00 is as recorded, - is not recorded; * has changed most in its column\n"
        );
    }

    #[test]
    fn the_record_of_the_repository_can_be_compared_with() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/recorded.json");
        let recorded = Recorded::read(&path).unwrap_or_else(|failure| panic!("{failure}"));
        let measured = compared(&recorded.report, &recorded.report);
        let names: Vec<_> = measured.iter().map(|row| row.name).collect();
        assert_eq!(names, NAMES.into_iter().chain(memory::names()).collect::<Vec<_>>());
    }

    #[test]
    fn other_machines_and_workloads_are_named() {
        let then = written(&THEN, 300.0);
        let same = beside(&then, &then);
        assert!(!same.contains("another") && !same.contains('*'), "{same}");
        let mut now = then.clone();
        now["machine"]["model"] = json!("this one");
        now["seed"] = json!(2);
        let other = beside(&then, &now);
        assert!(other.contains("another machine"), "{other}");
        assert!(
            other.contains("with another workload: 1000 events of 10 entities, seed 1"),
            "{other}"
        );
    }

    #[test]
    fn measurements_on_other_workers_are_others() {
        let then = written(&THEN, 300.0);
        let mut now = then.clone();
        now["results"][0]["workers"] = json!(2);
        let (then, now) = (report(&then), report(&now));
        let ratios: Vec<_> = compared(&then, &now).iter().map(|row| row.ratios).collect();
        assert_eq!(ratios[0], [None; 3]);
        assert_eq!(ratios[1], [Some(1.0), Some(1.0), None]);
    }

    #[test]
    fn what_has_changed_most_may_be_less() {
        let most = |ratios: &[f64]| most_changed(ratios.iter().copied().map(Some));
        assert_eq!(most(&[1.5, 0.5, 1.0]), Some(0.5));
        assert_eq!(most(&[1.5, 0.9]), Some(1.5));
        assert_eq!(most(&[1.0, 1.0]), None);
        assert_eq!(most_changed([None, None].into_iter()), None);
    }

    #[test]
    fn what_is_no_record_is_refused_with_the_reason() {
        let refused = |json: &str| parse(json.as_bytes()).map(|_| ()).expect_err(json);
        assert!(refused("{").contains("not JSON: EOF"), "{}", refused("{"));
        let missing = refused(r#"{"curves":[]}"#);
        assert!(
            missing.contains("not the results of a bench: missing field `format`"),
            "{missing}"
        );
        assert!(refused("[]").contains("not the results of a bench"), "{}", refused("[]"));
        let mut record = written(&THEN, 300.0);
        record["results"][1]["nanos_per_event"] = json!("many");
        let mistaken = refused(&serde_json::to_string_pretty(&record).expect("it encodes"));
        assert!(mistaken.contains("\"many\"") && mistaken.contains("line "), "{mistaken}");
        record["format"] = json!(FORMAT + 1);
        let later = refused(&record.to_string());
        assert!(later.contains("in format 2; this limbeck reads format 1"), "{later}");
    }
}
