//! Silences: of the rule file, and as records say them.

use super::*;
use crate::model::sighting::Position;
use crate::model::silencing::Comparison;

/// The same with silences, and a tick in which there is but one instant.
fn silenced_cases() -> impl Strategy<Value = Case> {
    let silence = (0..ENTITIES.len(), 0..120i64, 1..60i64);
    let silence = silence.prop_map(|(entity, from, length)| (entity, from, from + length));
    let heard = (0..3usize, silence.clone(), 0..120i64);
    let silences = (prop::collection::vec(silence, 0..6), prop::collection::vec(heard, 0..6));
    (cases(true), silences).prop_map(|(case, (silences, mut heard))| {
        heard.sort_by_key(|(.., at)| *at);
        heard.retain(|(.., at)| *at <= case.last_arrival() + case.end);
        Case { tick: 1, silences, heard, ..case }
    })
}

impl Case {
    /// As far as is known at a tick.
    pub(super) fn is_silenced(&self, episode: &Episode, at: i64, tick: i64) -> bool {
        let has = |(entity, from, until): &(usize, i64, i64)| {
            ENTITIES[*entity] == episode.entity && (*from..*until).contains(&at)
        };
        let known = self.heard.iter().filter(|(.., known_at)| *known_at <= tick);
        let last: BTreeMap<usize, _> = known.map(|(id, silence, _)| (*id, silence)).collect();
        self.silences.iter().chain(last.into_values()).any(has)
    }

    /// What records say of silences, by rising logical time.
    pub(super) fn silencings(&self) -> Vec<Update<Silencing>> {
        let heard =
            self.heard.iter().enumerate().map(|(number, (id, (entity, from, until), at))| {
                let value = ENTITIES[*entity].into();
                let name = "entity".into();
                let silencing = Silencing {
                    silence: self.silences.len() as u16,
                    arrival_ns: *at,
                    position: Position::new(0, number as u64 + 1),
                    id: SmolStr::new(id.to_string()),
                    matchers: vec![Comparison { name, negated: false, is_regex: false, value }],
                    from_ns: *from,
                    until_ns: *until,
                };
                (silencing, *at, 1)
            });
        heard.collect()
    }
}

/// As long as any hold, expiry and lateness of a case together, but for an expiry that never comes.
const SETTLED: i64 = 12 + 40 + 15;

/// A silence keeps what is to be opened from being told, and nothing else.
fn only_openings_are_silenced(case: Case) -> Result<(), TestCaseError> {
    let views = case.views();
    let wanted = oracle(&case, &views);
    let (got, _) = told(&case, &views);
    prop_assert_eq!(shown(&got), shown(&wanted));
    // Until all that ends has ended for good: what is opened late, after a late record took its
    // end back, is closed when the new end is final, and one that is told already is corrected
    // at once.
    let settled = Case { end: case.end + SETTLED, ..case };
    let views = settled.views();
    let (got, _) = told(&settled, &views);
    let (silences, heard) = (Vec::new(), Vec::new());
    let (loud, _) = told(&Case { silences, heard, ..settled }, &views);
    let mut opened: BTreeSet<Key> = BTreeSet::new();
    for notification in got.iter().filter(|n| n.kept_by.is_none()) {
        let key = Key::of(&notification.episode);
        if notification.kind == Kind::Opened {
            opened.insert(key);
        } else {
            prop_assert!(opened.contains(&key), "nothing to resolve: {:?}", notification);
        }
    }
    // Of what was opened, all that follows is told as if nothing were silenced.
    for key in &opened {
        let ends = |told: &[Notification]| {
            let mut told = told.iter().filter(|n| n.kept_by.is_none());
            let last = told.rfind(|n| Key::of(&n.episode) == *key);
            last.map(|n| {
                let closed = n.standing == Standing::Closed;
                (n.standing, n.episode.until_ns.filter(|_| closed))
            })
        };
        // One that was withdrawn, and is there again, may be silenced then.
        if ends(&got) != Some((Standing::Withdrawn, None)) {
            prop_assert_eq!(ends(&got), ends(&loud), "{:?}", key);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn what_is_silenced_is_what_the_oracle_silences(case in silenced_cases()) {
        only_openings_are_silenced(case)?;
    }
}

/// A late record takes back the end by which it was too late to open an episode, and the log ends
/// before the new one is final.
#[test]
fn what_is_opened_late_is_closed_when_its_new_end_is_final() {
    let seen = [(0, 0, 0), (42, 2, 0), (61, 0, 0), (62, 2, 22)];
    let seen = seen.map(|(time, state, delay)| Seen { entity: 0, time, state, delay });
    let case = Case {
        seen: seen.into(),
        holds: [2, 0, 0],
        expire_after: 20,
        lateness: 8,
        amend_within: 22,
        tick: 1,
        end: 0,
        at_moments: vec![(true, true, false)],
        silences: vec![(0, 45, 71), (0, 0, 1)],
        heard: Vec::new(),
        limit: None,
        aggregate: None,
    };
    only_openings_are_silenced(case).unwrap();
}
