//! What a learner remembers is all that it needs. What it says is held against an oracle in
//! `tests/persistence.rs`.

use std::convert::Infallible;

use super::*;

const SECOND: i64 = 1_000_000_000;
const TICK: i64 = SECOND / 10;

fn rules(persistence: &str) -> Rules {
    let text = format!(
        "version: 1\nlateness: 5s\nsignals: {{ s: {{ states: {{ up: data.up, down: data.down }} }} }}\nrules:\n\
         - {{ name: r, signal: s, faults: [down], hold: {{ down: 30s }}, persistence: {persistence} }}\n"
    );
    Rules::parse("rules.yaml", &text).unwrap_or_else(|all| panic!("{all}"))
}

fn row(entity: &str, since: i64, until: Option<i64>) -> Episode {
    Episode {
        since_ns: since * SECOND,
        entity: entity.into(),
        signal: 0,
        rule: 0,
        state: 0,
        until_ns: until.map(|until| until * SECOND),
        decided_ns: (since + 30) * SECOND,
        expired: false,
        revision: 1,
        detail: None,
    }
}

/// Candidates and episodes of a moment: what is gone, and what is there.
type Moment = (i64, Vec<(Episode, isize)>, Vec<(Episode, isize)>);

/// Faults of one entity, each until a time, from candidate to end.
fn history(faults: &[(&str, i64, i64)]) -> Vec<Moment> {
    let mut moments: Vec<Moment> = Vec::new();
    for (entity, since, until) in faults {
        let candidate = row(entity, *since, None);
        moments.push((*since, vec![(candidate.clone(), 1)], vec![]));
        if until - since < 30 {
            let failed = row(entity, *since, Some(*until));
            moments.push((*until, vec![(candidate, -1), (failed, 1)], vec![]));
        } else {
            moments.push((since + 30, vec![(candidate.clone(), -1)], vec![(candidate.clone(), 1)]));
            let ended = Episode { revision: 2, ..row(entity, *since, Some(*until)) };
            moments.push((*until, vec![], vec![(candidate, -1), (ended, 1)]));
        }
    }
    moments.sort_by_key(|moment| moment.0);
    moments
}

fn said(learner: &mut Learner, (at, candidates, episodes): &Moment) -> Vec<String> {
    let dated = |rows: &[(Episode, isize)]| -> Vec<Update<Episode>> {
        rows.iter().map(|(row, diff)| (row.clone(), at * SECOND, *diff)).collect()
    };
    let mut said = Vec::new();
    let Ok(()) = learner.take(&dated(candidates), &dated(episodes), |step| {
        said.push(format!("{step:?}"));
        Ok::<_, Infallible>(())
    });
    said
}

#[test]
fn what_is_remembered_is_enough_to_go_on() {
    let faults = [
        ("a", 0, 100),
        ("b", 10, 20),
        ("a", 200, 205),
        ("b", 210, 400),
        ("a", 300, 500),
        ("c", 301, 331),
        ("a", 600, 610),
        ("b", 605, 900),
    ];
    let rules = rules("{ prior: 1, announce: 'p_lasts(\"1m\") > 0.5' }");
    let history = history(&faults);
    let new = || Learner::new(&rules, TICK).expect("the rule asks for it");
    let mut learner = new();
    let mut whole: Vec<_> = history.iter().flat_map(|moment| said(&mut learner, moment)).collect();
    whole.push(format!("{:?}", learner.end(1_000 * SECOND)));
    assert!(whole.iter().any(|step| step.starts_with("Behind")), "{whole:#?}");
    for cut in 0..=history.len() {
        let mut learner = new();
        let (before, after) = history.split_at(cut);
        let mut parts: Vec<_> =
            before.iter().flat_map(|moment| said(&mut learner, moment)).collect();
        let bytes = postcard::to_allocvec(&learner.snapshot()).expect("it encodes");
        let snapshot = postcard::from_bytes(&bytes).expect("it decodes");
        let mut learner = new().restore(snapshot);
        parts.extend(after.iter().flat_map(|moment| said(&mut learner, moment)));
        parts.push(format!("{:?}", learner.end(1_000 * SECOND)));
        assert_eq!(parts, whole, "cut at {cut}");
    }
}

#[test]
fn it_makes_no_difference_how_often_it_is_told_the_time() {
    let rules = rules("{ prior: 1, announce: 'p_lasts(\"1m\") > 0.5' }");
    let history = history(&[("a", 0, 100), ("a", 200, 205), ("a", 300, 320), ("b", 301, 400)]);
    let run = |each: i64| {
        let mut learner = Learner::new(&rules, TICK).expect("the rule asks for it");
        let mut all = Vec::new();
        let behind = |updates: Vec<Update<Episode>>| -> Vec<String> {
            updates.into_iter().map(|update| format!("{:?}", Step::Behind(update))).collect()
        };
        let mut now = 0;
        for moment in &history {
            while now + each < moment.0 {
                now += each;
                all.extend(behind(learner.pass(now * SECOND)));
            }
            all.extend(said(&mut learner, moment));
        }
        all.extend(behind(learner.end(1_000 * SECOND)));
        all
    };
    let seldom = run(10_000);
    assert_eq!(run(1), seldom);
    assert_eq!(run(7), seldom);
}

#[test]
fn what_cannot_change_any_more_is_forgotten() {
    let rules = rules("{ prior: 1, remember: 1h, horizons: [1m] }");
    let mut learner = Learner::new(&rules, TICK).expect("the rule asks for it");
    for fault in 0..500 {
        let since = fault * 100;
        let entity = format!("host-{fault}");
        let moments = history(&[(&entity, since, since + 10 + fault % 50)]);
        moments.iter().for_each(|moment| _ = said(&mut learner, moment));
    }
    assert!(learner.faults.len() <= 2 && learner.due.len() <= 2, "{}", learner.faults.len());
    let fault = history(&[("host-0", 60_000, 60_100)]);
    fault.iter().for_each(|moment| _ = said(&mut learner, moment));
    let of = Of::Entity("host-0".into());
    let known = Known { at_ns: 60_101 * SECOND, remember_ns: 3600 * SECOND };
    learner.pass(60_200 * SECOND);
    let past = learner.counts.past(&Unit { rule: 0, state: 0, of }, known, [0, 0]);
    assert_eq!(past.faults, 1);
}
