//! Limbeck distils noisy telemetry into sustained episodes.
//!
//! The folders follow the way of the data: [`sources`] read logs, [`rules`] say what is looked for,
//! [`pipeline`] shows the whole dataflow on one screen, [`sinks`] write, [`alerts`] tell; [`persistence`] learns how long faults last.
//! [`replay`] puts them together, [`authoring`] helps to write rules, [`testing`] to test them,
//! [`backtest`] to compare them, and [`cli`] asks for all of it.
//! `ARCHITECTURE.md` is the map, with the invariants and the reasons; the temporal operators are a
//! crate of their own, [`limbeck_operators`].

// These panic where nobody listens any more; `cli` has what does not.
#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod alerts;
pub mod authoring;
pub mod backtest;
pub mod bench;
pub mod checkpoint;
pub mod cli;
pub mod durable;
pub mod explain;
pub mod log;
pub mod metrics;
pub mod model;
pub mod persistence;
pub mod pipeline;
pub mod replay;
pub mod rules;
pub mod sinks;
pub mod sources;
pub mod testing;
