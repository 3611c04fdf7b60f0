//! Machines for the [timeline](crate::timeline), and [stages](crate::stage) before them.

pub mod absent;
pub mod changes;
pub mod dedup;
pub mod flap_damping;
pub mod flap_detection;
pub mod grace;
pub mod hold_down;
pub mod quorum;
pub mod session;
pub mod smoothing;
pub mod threshold;
