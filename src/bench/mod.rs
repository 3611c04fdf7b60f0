//! What the benchmarks share: the workload they run on.

mod lines;
mod random;
pub mod workload;
