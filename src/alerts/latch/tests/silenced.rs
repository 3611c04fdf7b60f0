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
        let number = self.silences.len() as u16;
        let heard = self.heard.iter().map(|(id, (entity, from, until), at)| {
            (number, *id, ENTITIES[*entity], (*from, *until), *at)
        });
        let number = number + u16::from(!self.heard.is_empty());
        let of_nobody = self.of_nobody.iter().map(|at| (number, 0, "nobody", (0, i64::MAX), *at));
        let silencings = heard.chain(of_nobody).enumerate();
        let silencings =
            silencings.map(|(place, (silence, id, entity, (from_ns, until_ns), at))| {
                let (name, value) = ("entity".into(), entity.into());
                let silencing = Silencing {
                    silence,
                    arrival_ns: at,
                    position: Position::new(0, place as u64 + 1),
                    id: SmolStr::new(id.to_string()),
                    matchers: vec![Comparison { name, negated: false, is_regex: false, value }],
                    from_ns,
                    until_ns,
                };
                (silencing, self.timing().floor(at), 1)
            });
        let mut silencings: Vec<_> = silencings.collect();
        silencings.sort_by_key(|(_, at, _)| *at);
        silencings
    }
}

/// The same with a limit, which entities may share, where some may be told as one; and with silences
/// that have nobody. Ticks may have several instants.
fn limited_cases_with_silences() -> impl Strategy<Value = Case> {
    let limit = (1..4u32, 1..60i64);
    let aggregate = prop::option::of((1..=3usize, 1..60i64));
    let tick = prop::sample::select(vec![1i64, 1, 4, 7]);
    let of_nobody = prop::collection::vec(0..120i64, 1..6);
    let more = (limit, any::<bool>(), aggregate, tick, of_nobody);
    (silenced_cases(), more).prop_map(|(case, more)| {
        let (limit, shares_limit, aggregate, tick, mut of_nobody) = more;
        let end = case.last_arrival() + case.end;
        of_nobody.iter_mut().for_each(|at| *at = end.min(*at));
        of_nobody.sort_unstable();
        Case { limit: Some(limit), shares_limit, aggregate, tick, of_nobody, ..case }
    })
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

    /// Who gets a token depends on what is due: not on which silences there are that have nobody, nor
    /// on when records tell of them.
    #[test]
    fn a_silence_that_has_nobody_changes_nothing(case in limited_cases_with_silences()) {
        let views = case.views();
        let (got, _) = told(&case, &views);
        if case.tick == 1 {
            prop_assert_eq!(shown(&got), shown(&oracle(&case, &views)));
        }
        let (without, _) = told(&Case { of_nobody: Vec::new(), ..case.clone() }, &views);
        prop_assert_eq!(&got, &without);
        // Nor does one where there is no other.
        let (silences, heard) = (Vec::new(), Vec::new());
        let alone = Case { silences, heard, ..case };
        let (got, _) = told(&alone, &views);
        let (without, _) = told(&Case { of_nobody: Vec::new(), ..alone }, &views);
        prop_assert_eq!(got, without);
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
        of_nobody: Vec::new(),
        limit: None,
        shares_limit: false,
        aggregate: None,
    };
    only_openings_are_silenced(case).unwrap();
}

/// A log that ends within a tick has its deadlines until there, and what they do to silences.
#[test]
fn what_is_silenced_no_more_in_a_last_tick_is_told_where_time_ends() {
    let text = "version: 1\nsignals: { s: { states: { a: data.a, b: data.b } } }\n\
                rules: [{ name: r, signal: s }]\n\
                silences: { x: { match: [state = a], while: { match: [state = b] } } }\n\
                sinks: { x: { webhook: { url: \"http://localhost/\" } } }\nroutes: [{ to: x }]\n";
    let rules = Rules::parse("rules.yaml", text).unwrap_or_else(|all| panic!("{all}"));
    let catalog = Catalog::new(&rules);
    let began = |entity: &str, state: u16| Episode {
        since_ns: 0,
        entity: entity.into(),
        signal: 0,
        rule: 0,
        state,
        until_ns: None,
        decided_ns: 0,
        expired: false,
        revision: 1,
        detail: None,
    };
    let mut latch = Latch::new(&rules, &catalog, 100);
    let mut out = Vec::new();
    let working = began("work", 1);
    latch.take(&[(working.clone(), 0, 1), (began("host", 0), 0, 1)], &mut out);
    let lateness_ns = latch.timing.lateness;
    latch.advance(lateness_ns + 1000, &mut out);
    // It expires within the tick, and the log ends soon after.
    let (at_ns, tick_ns) = (lateness_ns + 1950, lateness_ns + 2000);
    let ended = Episode { until_ns: Some(at_ns), expired: true, revision: 2, ..working.clone() };
    latch.times[0].expire_after_ns = 0;
    latch.take(&[(working, tick_ns, -1), (ended, tick_ns, 1)], &mut out);
    latch.end(at_ns + 10, &mut out);
    let told = out.iter().filter(|told| told.episode.entity == "host");
    let told: Vec<_> = told.map(|told| (told.at_ns, told.kept_by.is_some())).collect();
    assert_eq!(told, [(lateness_ns, true), (tick_ns, false)]);
}
