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

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// A silence keeps what is to be opened from being told, and nothing else.
    #[test]
    fn what_is_silenced_is_what_the_oracle_silences(case in silenced_cases()) {
        let views = case.views();
        let wanted = oracle(&case, &views);
        let (got, _) = told(&case, &views);
        prop_assert_eq!(shown(&got), shown(&wanted));
        let (silences, heard) = (Vec::new(), Vec::new());
        let (loud, _) = told(&Case { silences, heard, ..case }, &views);
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
    }
}
