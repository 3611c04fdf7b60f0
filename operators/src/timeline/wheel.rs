//! Timers by slot number: a hierarchical wheel, constant work per timer whatever its distance.
//!
//! Level `l` has 64 buckets of `64^l` units. A timer is filed at the level of the highest digit
//! (base 64) in which it differs from now, and moves down as now approaches it: at most eleven
//! times. The order of timers within one instant is not defined.

const BITS: u32 = 6;
const BUCKETS: usize = 1 << BITS;
const LEVELS: usize = 11;

use super::chunks::Chunks;

/// A time, and the slot.
type Timer = (u64, u32);
/// So many timers of a bucket are kept in one place.
const CHUNK: usize = 64;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Wheel {
    now: u64,
    levels: Vec<[Chunks<Timer, CHUNK>; BUCKETS]>,
    occupied: [u64; LEVELS],
}

impl Wheel {
    pub(crate) fn new() -> Self {
        let levels = (0..LEVELS).map(|_| std::array::from_fn(|_| Chunks::new())).collect();
        Self { now: 0, levels, occupied: [0; LEVELS] }
    }

    /// Files a timer. A time before now counts as now.
    pub(crate) fn insert(&mut self, time: i64, slot: u32) {
        self.file(unsigned(time).max(self.now), slot);
    }

    fn file(&mut self, time: u64, slot: u32) {
        let level = (63 - ((time ^ self.now) | 1).leading_zeros()) / BITS;
        let bucket = (time >> (level * BITS)) as usize % BUCKETS;
        self.levels[level as usize][bucket].push((time, slot));
        self.occupied[level as usize] |= 1 << bucket;
    }

    /// The bytes of its lists.
    pub(crate) fn bytes(&self) -> usize {
        self.levels.iter().flatten().map(Chunks::bytes).sum()
    }

    /// Moves now to `until` and takes out every timer before it.
    pub(crate) fn advance(&mut self, until: i64, expired: &mut Vec<(i64, u32)>) {
        let until = unsigned(until).max(self.now);
        // The lowest level that has a timer has the earliest: those above differ from now in a
        // higher digit.
        while let Some(level) = self.occupied.iter().position(|buckets| *buckets != 0) {
            let bucket = self.occupied[level].trailing_zeros() as usize;
            let shift = level as u32 * BITS;
            let above = shift + BITS;
            let base = if above >= 64 { 0 } else { (self.now >> above) << above };
            let start = base | ((bucket as u64) << shift);
            if start >= until {
                break;
            }
            self.now = self.now.max(start);
            self.occupied[level] &= !(1 << bucket);
            self.empty(level, bucket, |wheel, (time, slot)| {
                if level == 0 || time < until {
                    expired.push((signed(time), slot));
                } else {
                    wheel.file(time, slot);
                }
            });
        }
        self.now = until;
        self.refile();
    }

    /// Takes the timers out of a bucket, and leaves it room for some.
    fn empty(&mut self, level: usize, bucket: usize, mut each: impl FnMut(&mut Self, Timer)) {
        let mut timers = std::mem::replace(&mut self.levels[level][bucket], Chunks::new());
        timers.drain(|timer| each(self, timer));
        if self.levels[level][bucket].is_empty() {
            self.levels[level][bucket] = timers;
        }
    }

    /// Buckets that now has entered hold timers of a lower level; puts them there.
    fn refile(&mut self) {
        for level in (1..LEVELS).rev() {
            let bucket = (self.now >> (level as u32 * BITS)) as usize % BUCKETS;
            if self.occupied[level] & (1 << bucket) != 0 {
                self.occupied[level] &= !(1 << bucket);
                self.empty(level, bucket, |wheel, (time, slot)| wheel.file(time, slot));
            }
        }
    }
}

/// Maps signed times to unsigned ones in the same order.
fn unsigned(time: i64) -> u64 {
    (time as u64) ^ (1 << 63)
}

fn signed(time: u64) -> i64 {
    (time ^ (1 << 63)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times() -> impl Strategy<Value = i64> {
        prop_oneof![
            any::<i64>(),
            -5000i64..5000,
            (0i64..70, 0u32..60).prop_map(|(x, s)| x << s.min(56))
        ]
    }

    proptest! {
        #[test]
        fn expires_exactly_what_is_due(
            steps in prop::collection::vec((prop::collection::vec(times(), 0..8), times()), 1..20)
        ) {
            let (mut wheel, mut waiting, mut next) = (Wheel::new(), Vec::new(), 0u32);
            let mut now = i64::MIN;
            for (inserted, until) in steps {
                for time in inserted {
                    wheel.insert(time, next);
                    waiting.push((time.max(now), next));
                    next += 1;
                }
                now = now.max(until);
                let mut expired = Vec::new();
                wheel.advance(until, &mut expired);
                expired.sort_unstable();
                let (due, later): (Vec<_>, _) = waiting.into_iter().partition(|(time, _)| *time < now);
                waiting = later;
                let mut due: Vec<(i64, u32)> = due;
                due.sort_unstable();
                prop_assert_eq!(due, expired);
            }
        }
    }
}
