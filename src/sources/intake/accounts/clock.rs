//! How far a source's clock is behind the collector's, estimated from the records themselves.
//!
//! The *age* of a record is its arrival, as the record says it, less its event time: how far the
//! source's clock is behind, plus the delay on the way. Delays are never below zero and often close to the smallest there is,
//! so the smallest age tells the clock, up to the smallest delay. A clock drifts, or is set, so only
//! some of the latest records are asked: those of the current span and of the span before. A span
//! goes on until it has lasted for [`SPAN_NS`] of arrival and has [`SPAN_RECORDS_MIN`] records, so
//! that a backlog after a silence does not pass for a clock.
//!
//! One record with an absurd time must not pull all others along: the smallest age counts if that of
//! another record is within [`AGREE_NS`] of it, else the second smallest does.

use serde::{Deserialize, Serialize};

/// A span lasts at least so long, of arrival.
pub(super) const SPAN_NS: i64 = 300_000_000_000;
/// A span has at least so many records.
pub(super) const SPAN_RECORDS_MIN: u64 = 32;
/// Ages so close to each other confirm each other.
pub(super) const AGREE_NS: i64 = 1_000_000_000;

/// Follows the clock of a source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Clock {
    /// The two smallest ages of the current span, and of the span before; `MAX` where there is none.
    current_ns: [i64; 2],
    before_ns: [i64; 2],
    /// What these say.
    offset_ns: i64,
    /// When the current span may end, and how many records it has.
    ends_ns: i64,
    records: u64,
    /// The smallest and the largest estimate at the end of a span.
    range_ns: (i64, i64),
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            current_ns: [i64::MAX; 2],
            before_ns: [i64::MAX; 2],
            offset_ns: i64::MAX,
            // The first record begins a span.
            ends_ns: i64::MIN,
            records: SPAN_RECORDS_MIN,
            range_ns: (i64::MAX, i64::MIN),
        }
    }

    /// Takes the next record into account.
    #[inline]
    pub(super) fn see(&mut self, arrival_ns: i64, age_ns: i64) {
        if arrival_ns >= self.ends_ns && self.records >= SPAN_RECORDS_MIN {
            self.begin_span(arrival_ns);
        }
        self.records += 1;
        if age_ns < self.current_ns[1] {
            self.current_ns = [self.current_ns[0].min(age_ns), self.current_ns[0].max(age_ns)];
            self.estimate();
        }
    }

    /// The event time by the collector's clock. Nothing happens after it has arrived.
    #[inline]
    pub(super) fn corrected(&self, arrival_ns: i64, event_time_ns: i64) -> i64 {
        event_time_ns.saturating_add(self.offset_ns).min(arrival_ns)
    }

    /// The smallest and the largest estimate, that of the latest record among them.
    pub(super) fn range(&self) -> (i64, i64) {
        let (least, most) = self.range_ns;
        (least.min(self.offset_ns), most.max(self.offset_ns))
    }

    #[cold]
    fn begin_span(&mut self, arrival_ns: i64) {
        if self.ends_ns > i64::MIN {
            self.range_ns = self.range();
        }
        self.before_ns = std::mem::replace(&mut self.current_ns, [i64::MAX; 2]);
        self.ends_ns = arrival_ns.saturating_add(SPAN_NS);
        self.records = 0;
        self.estimate();
    }

    fn estimate(&mut self) {
        let ([a, b], [c, d]) = (self.current_ns, self.before_ns);
        let (least, next) = (a.min(c), a.max(c).min(b.min(d)));
        let believed = next == i64::MAX || next.saturating_sub(least) <= AGREE_NS;
        self.offset_ns = if believed { least } else { next };
    }
}
