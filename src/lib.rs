//! Limbeck distils noisy telemetry into sustained episodes.

pub mod bench;
pub mod cli;
pub mod model;
pub mod pipeline;
pub mod replay;
pub mod rules;
pub mod sinks;
pub mod sources;
