//! Values the product speaks of. They know no wire format: sources read them, sinks write them.

pub mod account;
mod bytes;
pub mod detail;
pub mod duration;
pub mod entity;
pub mod episode;
pub mod lane;
pub mod ledger;
pub mod printable;
pub mod record;
pub mod sighting;
pub mod silencing;
pub mod survival;
pub mod tie;
pub mod time;

pub use record::{Id, Scalar, Sequence};
