//! Deterministic operators in time for timely and differential dataflow.

pub mod firsts;
pub mod gather;
pub mod harness;
pub mod hash;
pub mod intake;
mod machine;
pub mod machines;
pub mod timeline;

pub use machine::{Data, Event, Key, Machine};
