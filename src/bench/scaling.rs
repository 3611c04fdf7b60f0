//! How speed follows what there is of something: whole replays against workers, entities, rules and
//! history, each in turn, all else as in the standard workload.
//!
//! Entities share the same number of events. Rules are spread over at most twenty signals, of which each
//! record fits one. History is more hours of as many events, so that what speed loses is lost to what
//! has been; the standard workload is one of them.

use std::fs;
use std::path::Path;

use plotters::prelude::{
    BLACK, BLUE, ChartBuilder, Circle, Color, IntoDrawingArea, IntoFont, LineSeries, PathElement,
    SVGBackend, WHITE,
};
use serde::Serialize;

use super::measure::{Cost, Machine};
use super::rules;
use super::table::{median, sorted};
use super::whole::Replays;
use super::workload::Workload;
use super::{Bench, FLAT_RULES, Failure, Place, Settings, Shape};

const ENTITIES: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
const RULES: [usize; 5] = [1, 2, 5, 20, 50];
/// In quarters of the standard hour.
const QUARTERS: [u64; 4] = [1, 2, 4, 8];

/// What is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Workers,
    Entities,
    Rules,
    History,
}

const AXES: [Axis; 4] = [Axis::Workers, Axis::Entities, Axis::Rules, Axis::History];

/// One value of what is varied.
struct Setup {
    value: String,
    workload: Workload,
    workers: usize,
    rules: usize,
}

/// What a value came to.
#[derive(Debug, Serialize)]
struct Point {
    value: String,
    events: u64,
    events_per_second: f64,
    events_per_second_min: f64,
    events_per_second_max: f64,
    cpu_seconds_per_million: f64,
    peak_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Curve {
    of: &'static str,
    points: Vec<Point>,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    machine: Machine,
    seed: u64,
    runs: usize,
    curves: Vec<Curve>,
}

impl Axis {
    fn name(self) -> &'static str {
        match self {
            Self::Workers => "workers",
            Self::Entities => "entities",
            Self::Rules => "rules",
            Self::History => "hours",
        }
    }

    fn setups(self, settings: &Settings) -> Vec<Setup> {
        let standard = |value: String| Setup {
            value,
            workload: settings.workload.clone(),
            workers: settings.workers,
            rules: 1,
        };
        match self {
            Self::Workers => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                let powers = (0..).map(|power| 1 << power).take_while(|workers| *workers <= cores);
                powers.map(|workers| Setup { workers, ..standard(workers.to_string()) }).collect()
            }
            Self::Entities => {
                let of = |entities: &u32| {
                    let workload = Workload { entities: *entities, ..settings.workload.clone() };
                    Setup { workload, ..standard(entities.to_string()) }
                };
                ENTITIES.iter().map(of).collect()
            }
            Self::Rules => {
                let of = |rules: &usize| Setup { rules: *rules, ..standard(rules.to_string()) };
                RULES.iter().map(of).collect()
            }
            Self::History => {
                let of = |quarters: &u64| {
                    let Workload { events, span_ns, .. } = settings.workload;
                    let workload = Workload {
                        events: (events * quarters / 4).max(1),
                        span_ns: span_ns * *quarters as i64 / 4,
                        ..settings.workload.clone()
                    };
                    Setup { workload, ..standard((*quarters as f64 / 4.0).to_string()) }
                };
                QUARTERS.iter().map(of).collect()
            }
        }
    }
}

/// Measures all curves, and draws them.
pub(super) fn run(
    settings: &Settings,
    dir: &Path,
    machine: Machine,
    progress: &dyn Fn(&str),
) -> Result<String, Failure> {
    let curves = AXES.iter().map(|axis| curve(*axis, settings, dir, progress));
    let curves = curves.collect::<Result<_, _>>()?;
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        machine,
        seed: settings.workload.seed,
        runs: settings.runs,
        curves,
    };
    if let Some(path) = &settings.json {
        let mut json = serde_json::to_vec_pretty(&report).expect("plain values encode");
        json.push(b'\n');
        fs::write(path, json).map_err(Failure::file(path))?;
    }
    if let Some(charts) = &settings.charts {
        fs::create_dir_all(charts).map_err(Failure::file(charts))?;
        for curve in &report.curves {
            let path = charts.join(format!("{}.svg", curve.of));
            let chart = chart(curve).map_err(|error| Failure::Program(error.to_string()))?;
            fs::write(&path, chart).map_err(Failure::file(&path))?;
        }
    }
    Ok(text(&report))
}

/// All values of an axis, in turn, as often as is asked for. Their logs are there together.
fn curve(
    axis: Axis,
    settings: &Settings,
    dir: &Path,
    progress: &dyn Fn(&str),
) -> Result<Curve, Failure> {
    let setups = axis.setups(settings);
    let dir = dir.join(axis.name());
    let replays = setups.iter().map(|setup| replays(setup, settings, &dir, progress));
    let replays = replays.collect::<Result<Vec<_>, _>>()?;
    let mut costs = vec![Vec::new(); replays.len()];
    for _ in 0..settings.runs {
        for ((replays, setup), costs) in replays.iter().zip(&setups).zip(&mut costs) {
            progress(&format!("{} {}", setup.value, axis.name()));
            costs.push(replays.run()?);
        }
    }
    if settings.keep.is_none() {
        let _ = fs::remove_dir_all(&dir);
    }
    let points = setups.iter().zip(&costs).map(|(setup, costs)| point(setup, costs)).collect();
    Ok(Curve { of: axis.name(), points })
}

/// The replays of a value, in a directory of its own.
fn replays(
    setup: &Setup,
    settings: &Settings,
    dir: &Path,
    progress: &dyn Fn(&str),
) -> Result<Replays, Failure> {
    let own =
        Settings { workload: setup.workload.clone(), workers: setup.workers, ..settings.clone() };
    let place = Place::new(Some(&dir.join(&setup.value)))?;
    let bench = Bench::new(&own, place, progress);
    let rules = match setup.rules {
        1 => FLAT_RULES.to_owned(),
        rules => rules::spread(rules, rules.min(rules::SIGNALS)),
    };
    Replays::new(&bench, Shape::Flat)?.through(&bench, "rules", &rules)
}

fn point(setup: &Setup, costs: &[Cost]) -> Point {
    let events = setup.workload.events;
    let seconds = sorted(costs.iter().map(|cost| cost.seconds));
    let cpu_seconds = sorted(costs.iter().map(|cost| cost.cpu_seconds));
    let speed = |seconds: f64| (events as f64 / seconds).round();
    Point {
        value: setup.value.clone(),
        events,
        events_per_second: speed(median(&seconds)),
        events_per_second_min: seconds.last().copied().map_or(0.0, speed),
        events_per_second_max: seconds.first().copied().map_or(0.0, speed),
        cpu_seconds_per_million: median(&cpu_seconds) * 1e6 / events as f64,
        peak_bytes: costs.iter().filter_map(|cost| cost.peak_bytes).max(),
    }
}

fn text(report: &Report) -> String {
    let Machine { cores, model, load_before } = &report.machine;
    let mut text = format!(
        "limbeck {} on {cores} cores ({model}), load {load_before:.1} before\n\
         seed {}; median of {} runs, least and most in brackets\n",
        report.version, report.seed, report.runs,
    );
    for curve in &report.curves {
        text += &format!(
            "\n{:>10} {:>10} {:>12} {:<16} {:>10} {:>8}\n",
            curve.of, "events", "M events/s", "", "CPU s/1 M", "peak MB",
        );
        for point in &curve.points {
            let (least, most) = (point.events_per_second_min, point.events_per_second_max);
            let peak = |bytes: u64| format!("{:.0}", bytes as f64 / 1e6);
            text += &format!(
                "{:>10} {:>10} {:>12.3} {:<16} {:>10.3} {:>8}\n",
                point.value,
                point.events,
                point.events_per_second / 1e6,
                format!("[{:.3}, {:.3}]", least / 1e6, most / 1e6),
                point.cpu_seconds_per_million,
                point.peak_bytes.map_or(String::from("-"), peak),
            );
        }
    }
    text
}

/// Speed over the values, which stand equally far from each other.
fn chart(curve: &Curve) -> Result<String, Box<dyn std::error::Error>> {
    const SIZE: (u32, u32) = (600, 360);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let most = curve.points.iter().map(|point| point.events_per_second_max).fold(0.0, f64::max);
        let last = curve.points.len() as f64 - 1.0;
        let mut chart = ChartBuilder::on(&area)
            .caption(
                format!("Events per second against {}", curve.of),
                ("sans-serif", 16).into_font().color(&BLACK),
            )
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(-0.5..last + 0.5, 0.0..(1.2 * most / 1e6))?;
        let label = |x: &f64| {
            let whole = x.fract() == 0.0 && *x >= 0.0;
            let point = curve.points.get(*x as usize).filter(|_| whole);
            point.map_or_else(String::new, |point| point.value.clone())
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(2 * curve.points.len())
            .x_label_formatter(&label)
            .x_desc(curve.of)
            .y_desc("M events/s")
            .draw()?;
        let at = |number: usize, speed: f64| (number as f64, speed / 1e6);
        let points = curve.points.iter().enumerate();
        chart.draw_series(LineSeries::new(
            points.clone().map(|(number, point)| at(number, point.events_per_second)),
            &BLUE,
        ))?;
        chart.draw_series(points.clone().map(|(number, point)| {
            Circle::new(at(number, point.events_per_second), 3, BLUE.filled())
        }))?;
        chart.draw_series(points.map(|(number, point)| {
            let ends = [point.events_per_second_min, point.events_per_second_max];
            PathElement::new(ends.map(|speed| at(number, speed)).to_vec(), BLUE)
        }))?;
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Soak;

    fn settings() -> Settings {
        Settings {
            only: Vec::new(),
            workload: Workload::default(),
            workers: 1,
            runs: 1,
            json: None,
            against: None,
            keep: None,
            soak: Soak { hours: 1, rate: 1, entities: 1, chart: None },
            limit: None,
            charts: None,
        }
    }

    #[test]
    fn an_axis_varies_one_thing() {
        let standard = Workload::default();
        for axis in AXES {
            let setups = axis.setups(&settings());
            for setup in &setups {
                assert_eq!(setup.workers == 1, axis != Axis::Workers || setup.value == "1");
                assert_eq!(setup.rules == 1, axis != Axis::Rules || setup.value == "1");
                let Workload { entities, events, span_ns, .. } = setup.workload;
                assert!(axis == Axis::Entities || entities == standard.entities);
                assert!(axis == Axis::History || events == standard.events);
                let a_second = |events: u64, span_ns: i64| events as f64 / span_ns as f64;
                let wanted = a_second(standard.events, standard.span_ns);
                assert_eq!(a_second(events, span_ns), wanted, "{axis:?} {}", setup.value);
            }
            let is_standard = |setup: &&Setup| {
                setup.workload == standard && setup.workers == 1 && setup.rules == 1
            };
            assert_eq!(setups.iter().filter(is_standard).count(), 1, "{axis:?}");
        }
    }

    #[test]
    fn a_chart_names_its_values_and_has_a_point_for_each() {
        let point = |value: &str, events_per_second| Point {
            value: value.to_owned(),
            events: 1,
            events_per_second,
            events_per_second_min: 0.9 * events_per_second,
            events_per_second_max: 1.1 * events_per_second,
            cpu_seconds_per_million: 1.0,
            peak_bytes: None,
        };
        let points = vec![point("1000", 3e6), point("10000", 2e6), point("100000", 1e6)];
        let svg = chart(&Curve { of: "entities", points }).expect("it is drawn");
        assert_eq!(svg.matches("<circle").count(), 3);
        for value in ["1000", "10000", "100000"] {
            assert_eq!(svg.matches(&format!("\n{value}\n")).count(), 1, "{value}");
        }
    }
}
