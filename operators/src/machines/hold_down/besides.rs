//! What hold-down remembers besides runs: what is missed, and what is urgent.

use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What is remembered besides, as far as it is.
pub trait Besides: Clone + Debug + Default + Eq + Serialize + DeserializeOwned + 'static {
    /// Since when the state that holds is missed.
    fn missed(&self) -> Option<i64>;

    /// Since when it is.
    fn set_missed(&mut self, since: Option<i64>);

    /// Since when the latest run is urgent.
    fn urgent(&self) -> Option<i64> {
        None
    }

    /// Since when it is.
    fn set_urgent(&mut self, since: Option<i64>) {
        let _ = since;
    }
}

impl Besides for () {
    fn missed(&self) -> Option<i64> {
        None
    }

    fn set_missed(&mut self, _: Option<i64>) {}
}

impl Besides for Option<i64> {
    fn missed(&self) -> Option<i64> {
        *self
    }

    fn set_missed(&mut self, since: Option<i64>) {
        *self = since;
    }
}

/// Since when the state that holds is missed, and since when the latest run is urgent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rare {
    missed: Option<i64>,
    urgent: Option<i64>,
}

impl Besides for Rare {
    fn missed(&self) -> Option<i64> {
        self.missed
    }

    fn set_missed(&mut self, since: Option<i64>) {
        self.missed = since;
    }

    fn urgent(&self) -> Option<i64> {
        self.urgent
    }

    fn set_urgent(&mut self, since: Option<i64>) {
        self.urgent = since;
    }
}
