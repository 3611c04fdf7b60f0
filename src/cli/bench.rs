//! `limbeck bench`.

use std::io::{self, IsTerminal};

use super::args::{BenchArgs, ShapeArg};
use super::{complain, fail, print};
use crate::bench::workload::Workload;
use crate::bench::{self, Settings, Shape, Soak};
use crate::replay::workers_usual;

pub(super) fn run(args: &BenchArgs) -> u8 {
    let standard = Workload::default();
    let workload = Workload {
        events: args.events.get(),
        entities: args.entities.unwrap_or(standard.entities),
        seed: args.seed.unwrap_or(standard.seed),
        ..standard
    };
    if let Some(path) = &args.write {
        let shape = match args.shape {
            ShapeArg::Flat => Shape::Flat,
            ShapeArg::Cloudevents => Shape::CloudEvents,
        };
        return match bench::write(&workload, shape, path) {
            Ok(()) => 0,
            Err(failure) => fail(failure.exit_code(), &failure),
        };
    }
    let settings = Settings {
        only: args.only.clone(),
        workload,
        workers: args.workers.map_or_else(workers_usual, usize::from),
        runs: args.runs.get(),
        json: args.json.clone(),
        against: args.against.clone(),
        keep: args.keep.clone(),
        soak: Soak {
            hours: args.hours.get(),
            rate: args.rate.get(),
            entities: args.entities.unwrap_or(100_000),
            chart: args.chart.clone(),
        },
        limit: args.limit.clone(),
        charts: args.charts.clone(),
    };
    let terminal = io::stderr().is_terminal();
    let progress = |what: &str| {
        if terminal {
            complain(&format_args!("{what} ..."));
        }
    };
    match bench::run(&settings, &progress) {
        Ok(table) => print(&table),
        Err(failure) => fail(failure.exit_code(), &failure),
    }
}
