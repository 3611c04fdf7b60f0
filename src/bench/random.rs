//! Random numbers whose values never change: SplitMix64, and what is drawn from it with integers.

/// SplitMix64.
pub(super) struct Random(u64);

/// Scatters the bits of a number over all 64.
pub(super) fn mix(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform from zero to just below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Log-uniform from `low` to `high`: uniform, and kept with the probability `low / drawn`.
    pub(super) fn log_uniform(&mut self, low: u64, high: u64) -> u64 {
        loop {
            let drawn = low + self.below(high - low + 1);
            if self.below(drawn) < low {
                return drawn;
            }
        }
    }
}

/// Visits all numbers below a bound in a scattered order, then again in another.
pub(super) struct Walk {
    bound: u32,
    at: u32,
    step: u32,
    left: u32,
}

impl Walk {
    pub(super) fn new(bound: u32) -> Self {
        Self { bound, at: 0, step: 0, left: 0 }
    }

    pub(super) fn next(&mut self, random: &mut Random) -> u32 {
        if self.left == 0 {
            self.left = self.bound;
            self.at = random.below(u64::from(self.bound)) as u32;
            self.step = loop {
                let step = random.below(u64::from(self.bound)) as u32;
                if greatest_common_divisor(step, self.bound) == 1 {
                    break step;
                }
            };
        }
        self.left -= 1;
        self.at = ((u64::from(self.at) + u64::from(self.step)) % u64::from(self.bound)) as u32;
        self.at
    }
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_visits_every_number_once_a_round() {
        let mut random = Random::new(7);
        for bound in [1, 2, 10, 97, 1000] {
            let mut walk = Walk::new(bound);
            for _ in 0..3 {
                let mut visited: Vec<_> = (0..bound).map(|_| walk.next(&mut random)).collect();
                visited.sort_unstable();
                assert!(visited.into_iter().eq(0..bound), "{bound}");
            }
        }
    }

    #[test]
    fn log_uniform_gives_every_doubling_the_same_share() {
        let mut random = Random::new(7);
        let mut counts = [0_u32; 4];
        for _ in 0..40_000 {
            let drawn = random.log_uniform(1_000, 15_999);
            counts[(drawn / 1_000).ilog2() as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_700..10_300).contains(count)), "{counts:?}");
    }
}
