//! Limbeck distils noisy telemetry into sustained episodes.

pub mod model;
pub mod sinks;
pub mod sources;
