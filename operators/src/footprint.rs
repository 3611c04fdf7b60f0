//! How much operators keep, told to whoever [listens](FOOTPRINTS) through timely's own logging.
//!
//! ```
//! use limbeck_operators::footprint::{FOOTPRINTS, FootprintBuilder};
//!
//! timely::execute_directly(|worker| {
//!     let mut register = worker.log_register().expect("it is there");
//!     register.insert::<FootprintBuilder, _>(FOOTPRINTS, |_, told| {
//!         for (_, footprint) in told.iter_mut().flatten() {
//!             println!("{footprint:?}");
//!         }
//!     });
//! });
//! ```
//!
//! It is told when it is more than it ever was. Where nobody listens, nothing is looked at. State: the
//! most that was told.

use std::time::Duration;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Scope;
use timely::logging_core::Logger;

/// The name under which a listener is registered, before the dataflow is built.
pub const FOOTPRINTS: &str = "operators/footprints";

/// How it is told.
pub type FootprintBuilder = CapacityContainerBuilder<Vec<(Duration, Footprint)>>;

/// What an operator keeps at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// The operator, by the number that timely's logging gives it.
    pub operator: usize,
    /// How many keys, or records, it remembers.
    pub keys: usize,
    /// The bytes of its own tables and lists, without what single keys own beyond them.
    pub bytes: usize,
}

/// Tells of one operator.
pub(crate) struct Telling {
    logger: Option<Logger<FootprintBuilder>>,
    most: Footprint,
}

impl Telling {
    /// Of the operator of this number.
    pub(crate) fn new<T: timely::progress::Timestamp>(
        scope: &Scope<'_, T>,
        operator: usize,
    ) -> Self {
        let logger = scope.worker().logger_for(FOOTPRINTS);
        Self { logger, most: Footprint { operator, ..Footprint::default() } }
    }

    /// Tells how many keys there are, and bytes, if somebody listens.
    pub(crate) fn tell(&mut self, of: impl FnOnce() -> (usize, usize)) {
        let Some(logger) = &self.logger else { return };
        let (keys, bytes) = of();
        if keys > self.most.keys || bytes > self.most.bytes {
            self.most.keys = self.most.keys.max(keys);
            self.most.bytes = self.most.bytes.max(bytes);
            logger.log(self.most);
        }
    }
}
