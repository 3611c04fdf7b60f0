//! Alerts: which changes of episodes are notified of, and how notifications reach their sinks.
//!
//! - `latch`: what is notified of and when, decided by the log alone.

pub mod latch;
