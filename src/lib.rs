//! Limbeck distils noisy telemetry into sustained episodes.

pub mod bench;
pub mod model;
pub mod rules;
pub mod sinks;
pub mod sources;
