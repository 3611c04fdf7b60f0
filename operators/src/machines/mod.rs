//! Machines for the [timeline](crate::timeline).

pub mod dedup;
pub mod hold_down;
