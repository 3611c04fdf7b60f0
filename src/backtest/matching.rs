//! Which episodes of two rule files are the same.
//!
//! Of one signal, entity and state, an episode of A and one of B *overlap* if some time is in both,
//! or both begin at one instant; one that is open lasts until the end of the log. Of all pairs that
//! overlap and of which neither is matched yet, the first in this order is matched, until there is
//! none: those of rules of one name; the longest overlap; the earliest beginning of the one of A,
//! then of B; the end, in the same way; the rule's name, in the same way.
//!
//! Cost: a sweep over both by beginning, and a sort of the pairs that overlap. Rules whose episodes
//! do not overlap each other have about as many pairs as episodes.

use std::cmp::Reverse;

use smol_str::SmolStr;

/// A stretch of time, and the rule that it is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// When it begins.
    pub since_ns: i64,
    /// When it ends, or the log does; not before it begins.
    pub until_ns: i64,
    /// The rule.
    pub rule: SmolStr,
}

impl Span {
    /// For how long two overlap, if they do.
    fn overlap_ns(&self, other: &Self) -> Option<i64> {
        let since_ns = self.since_ns.max(other.since_ns);
        let until_ns = self.until_ns.min(other.until_ns);
        let overlap_ns = until_ns.saturating_sub(since_ns);
        (overlap_ns > 0 || self.since_ns == other.since_ns).then_some(overlap_ns)
    }
}

/// The pairs that are the same, by their places in the two lists, both of which are sorted.
pub fn matched(a: &[Span], b: &[Span]) -> Vec<(usize, usize)> {
    debug_assert!(a.is_sorted() && b.is_sorted(), "they come sorted");
    let mut pairs = overlapping(a, b);
    pairs.sort_by_cached_key(|(one, other)| rank(&a[*one], &b[*other]));
    let (mut of_a, mut of_b) = (vec![false; a.len()], vec![false; b.len()]);
    pairs.retain(|(one, other)| {
        let free = !of_a[*one] && !of_b[*other];
        (of_a[*one], of_b[*other]) = (of_a[*one] || free, of_b[*other] || free);
        free
    });
    pairs.sort_unstable();
    pairs
}

type Rank = (bool, Reverse<i64>, [i64; 4], SmolStr, SmolStr);

/// In this order pairs are matched.
fn rank(a: &Span, b: &Span) -> Rank {
    let overlap_ns = a.overlap_ns(b).unwrap_or(0);
    let times = [a.since_ns, b.since_ns, a.until_ns, b.until_ns];
    (a.rule != b.rule, Reverse(overlap_ns), times, a.rule.clone(), b.rule.clone())
}

/// All pairs that overlap: those of one list that may reach as far as the next of the other are
/// kept as it is gone through.
fn overlapping(a: &[Span], b: &[Span]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let (mut open_a, mut open_b): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    let (mut next_a, mut next_b) = (0, 0);
    loop {
        let is_a = match (a.get(next_a), b.get(next_b)) {
            (Some(one), Some(other)) => one.since_ns <= other.since_ns,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return pairs,
        };
        if is_a {
            let span = &a[next_a];
            open_b.retain(|other| reaches(&b[*other], span.since_ns));
            let overlaps = open_b.iter().filter(|other| span.overlap_ns(&b[**other]).is_some());
            pairs.extend(overlaps.map(|other| (next_a, *other)));
            open_a.push(next_a);
            next_a += 1;
        } else {
            let span = &b[next_b];
            open_a.retain(|one| reaches(&a[*one], span.since_ns));
            let overlaps = open_a.iter().filter(|one| a[**one].overlap_ns(span).is_some());
            pairs.extend(overlaps.map(|one| (*one, next_b)));
            open_b.push(next_b);
            next_b += 1;
        }
    }
}

/// Whether what begins at an instant, or later, may overlap it.
fn reaches(span: &Span, since_ns: i64) -> bool {
    span.until_ns > since_ns || span.since_ns == since_ns
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As it is defined: the first of all pairs that are left, again and again.
    fn naive(a: &[Span], b: &[Span]) -> Vec<(usize, usize)> {
        let (mut of_a, mut of_b) = (vec![false; a.len()], vec![false; b.len()]);
        let mut pairs = Vec::new();
        loop {
            let mut best: Option<(Rank, usize, usize)> = None;
            for (i, one) in a.iter().enumerate() {
                for (j, other) in b.iter().enumerate() {
                    let both = one.since_ns.max(other.since_ns)..one.until_ns.min(other.until_ns);
                    let overlaps = !both.is_empty() || one.since_ns == other.since_ns;
                    if of_a[i] || of_b[j] || !overlaps {
                        continue;
                    }
                    let length = Reverse((both.end - both.start).max(0));
                    let times = [one.since_ns, other.since_ns, one.until_ns, other.until_ns];
                    let names = (one.rule.clone(), other.rule.clone());
                    let rank = (one.rule != other.rule, length, times, names.0, names.1);
                    let candidate = (rank, i, j);
                    best = Some(best.map_or(candidate.clone(), |best| best.min(candidate)));
                }
            }
            let Some((_, i, j)) = best else { break };
            (of_a[i], of_b[j]) = (true, true);
            pairs.push((i, j));
        }
        pairs.sort_unstable();
        pairs
    }

    fn spans() -> impl Strategy<Value = Vec<Span>> {
        let span = (0i64..30, 0i64..12, 0usize..2).prop_map(|(since_ns, length, rule)| {
            let rule = SmolStr::new(["outage", "flap"][rule]);
            Span { since_ns, until_ns: since_ns + length, rule }
        });
        proptest::collection::vec(span, 0..12).prop_map(|mut spans| {
            spans.sort();
            spans
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn what_is_matched_is_what_the_definition_matches(a in spans(), b in spans()) {
            prop_assert_eq!(matched(&a, &b), naive(&a, &b));
        }

        #[test]
        fn all_is_the_same_as_itself(mut a in spans()) {
            a.dedup();
            let all: Vec<_> = (0..a.len()).map(|number| (number, number)).collect();
            prop_assert_eq!(matched(&a, &a).len(), all.len());
        }
    }

    #[test]
    fn what_only_touches_does_not_overlap() {
        let span = |since_ns, until_ns| Span { since_ns, until_ns, rule: "outage".into() };
        assert_eq!(matched(&[span(0, 5)], &[span(5, 9)]), []);
        assert_eq!(matched(&[span(5, 5)], &[span(5, 9)]), [(0, 0)]);
        assert_eq!(matched(&[span(0, 10)], &[span(0, 2), span(3, 10)]), [(0, 1)]);
    }
}
