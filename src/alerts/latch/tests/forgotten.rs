//! What is forgotten of many kinds of episodes can count no more: whenever it is, the same is told.

use super::*;
use crate::model::detail::Detail;

const TICK_NS: i64 = 100;
/// So many kinds are remembered before any is forgotten.
const KINDS: usize = 1024;

#[test]
fn what_is_forgotten_changes_nothing_when_the_latch_goes_on_from_what_was_saved() {
    for asked in [
        "aggregate: { by: [kind], from: 2, within: 1000ns }",
        "limit: { burst: 1, every: 1000ns, by: kind }",
    ] {
        let text = format!(
            "version: 1\nsignals: {{ s: {{ labels: {{ kind: data.kind }}, states: {{ a: data.a }} }} }}\n\
             rules: [{{ name: r, signal: s, {asked} }}]\n\
             sinks: {{ x: {{ webhook: {{ url: \"http://localhost/\" }} }} }}\nroutes: [{{ to: x }}]\n"
        );
        let rules = Rules::parse("rules.yaml", &text).unwrap_or_else(|all| panic!("{all}"));
        let catalog = Catalog::new(&rules);
        let latch = || Latch::new(&rules, &catalog, TICK_NS);
        let told = |saves: bool| {
            let (mut latch_of, mut out) = (latch(), Vec::new());
            let others = (1..KINDS).map(|kind| began(&format!("other-{kind}"), kind, 1500, 1500));
            let before: Vec<_> =
                [began("first", 0, 1080, 1100)].into_iter().chain(others).collect();
            latch_of.take(&before, &mut out);
            latch_of.advance(1600, &mut out);
            if saves {
                latch_of = latch().restore(latch_of.snapshot());
            }
            // One that became known late is told as of 2100, and one that is due before it after that.
            latch_of
                .take(&[began("late", KINDS, 10, 2100), began("second", 0, 2050, 2100)], &mut out);
            latch_of.advance(2200, &mut out);
            out
        };
        let (through, resumed) = (told(false), told(true));
        assert_eq!(through, resumed, "{asked}");
        let second = through.iter().find(|told| told.episode.entity == "second");
        assert!(second.is_some_and(|told| told.kept_by.is_some()), "{asked}: {second:?}");
    }
}

/// The beginning of an episode of a kind, which is told when that is decided, or known.
fn began(entity: &str, kind: usize, decided_ns: i64, at_ns: i64) -> Update<Episode> {
    let labels = [SmolStr::new(kind.to_string())].into();
    let episode = Episode {
        since_ns: decided_ns,
        entity: entity.into(),
        signal: 0,
        rule: 0,
        state: 0,
        until_ns: None,
        decided_ns,
        expired: false,
        revision: 1,
        detail: Some(Arc::new(Detail { labels, ..Detail::default() })),
    };
    (episode, at_ns, 1)
}
