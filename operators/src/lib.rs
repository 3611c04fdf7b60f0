//! Deterministic operators in time for timely and differential dataflow.

pub mod harness;
pub mod hash;
mod machine;
pub mod machines;
pub mod timeline;

pub use machine::{Data, Event, Key, Machine};
