//! What `explain` and the plan of a rule say of votes.

use expect_test::expect;

use super::Place;
use super::explain::{said_of, source};

const LOG: &str = r#"
{"at":1000,"e":"h","by":"eu","x":0}
{"at":1010,"e":"h","by":"us","x":1}
{"at":1020,"e":"h","by":"ap","x":1}
{"at":1030,"e":"h","by":"us","x":0}
{"at":1040,"e":"h","by":"ap","x":1}
{"at":1095,"e":"h","by":"ap","x":1}
"#;

fn rules(rule: &str) -> String {
    source("source: { const: z }")
        + "signals: { a: { labels: { by: data.by }, states: { up: data.x == 1, down: data.x == 0 } } }\n"
        + &format!("rules: [{{ name: r, signal: a, faults: [down], {rule} }}]\n")
}

/// With the numbers that decided, and what would have changed that.
#[test]
fn votes_are_told_with_those_against() {
    let rules = rules("quorum: { of: by, at_least: 2, within: 1m }, hold: { down: 20s }");
    expect![[r#"
        l.ndjson:1, to rule r, down was withheld: quorum: down has 1 of 1 votes, and at_least is 2, and nobody says otherwise. Would be down with at_least <= 1
        l.ndjson:2, to rule r, begins a run: 1970-01-01T00:16:50.000Z up for 20s; announced at once (2 observations)
        l.ndjson:2, to rule r: quorum: down has 1 of 2 votes, and at_least is 2, so it counts as up; eu said down at 00:16:40.000Z. Would be down with at_least <= 1
        l.ndjson:3, to rule r, is observation 2 of a run: 1970-01-01T00:16:50.000Z up for 20s; announced at once (2 observations)
        l.ndjson:3, to rule r: quorum: down has 1 of 3 votes, and at_least is 2, so it counts as up; eu said down at 00:16:40.000Z. Would be down with at_least <= 1
        l.ndjson:4, to rule r, begins a run: 1970-01-01T00:17:10.000Z down for 30s; announced: it lasted 20s, until 00:17:30.000Z (2 observations)
        l.ndjson:4, to rule r: quorum: down has 2 of 3 votes, at_least is 2; ap said up at 00:17:00.000Z. Would not be down with at_least > 2
        l.ndjson:5, to rule r, is observation 2 of a run: 1970-01-01T00:17:10.000Z down for 30s; announced: it lasted 20s, until 00:17:30.000Z (2 observations)
        l.ndjson:5, to rule r: quorum: down has 2 of 3 votes, at_least is 2; ap said up at 00:17:20.000Z. Would not be down with at_least > 2
        l.ndjson:6, to rule r, begins a run: 1970-01-01T00:17:40.000Z up since then; announced at once (1 observation)
        l.ndjson:6, to rule r: quorum: no fault has any of 1 votes
    "#]].assert_eq(&said_of(&rules, LOG, 1..=6));
    let place = Place::new();
    place.write("r.yaml", rules.as_bytes());
    place.write("l.ndjson", LOG.trim_start().as_bytes());
    let ran = place.run("explain --rules r.yaml --log l.ndjson h");
    let (_, said) = ran.said.split_once("pending\n").expect("sentences");
    expect![[r#"
        1970-01-01T00:16:50.000Z up for 20s; announced at once (2 observations)
          1970-01-01T00:17:10.000Z down for 30s; announced: it lasted 20s, until 00:17:30.000Z (2 observations)
          1970-01-01T00:17:40.000Z up since then; announced at once (1 observation)
          1 observation withheld without a quorum
    "#]].assert_eq(said.trim_start());
}

#[test]
fn shares_and_weights_are_told() {
    let rules =
        rules("quorum: { of: by, share: 0.6, within: 1m, weights: { eu: 1, us: 2.5, ap: 1 } }");
    expect![[r#"
        l.ndjson:1, to rule r, begins a run: 1970-01-01T00:16:40.000Z down for 10s; announced at once (1 observation)
        l.ndjson:1, to rule r: quorum: down has 1 of 1 votes, share is 0.6
        l.ndjson:2, to rule r, begins a run: 1970-01-01T00:16:50.000Z up for 20s; announced at once (2 observations)
        l.ndjson:2, to rule r: quorum: down has 1 of 3.5 votes, and share is 0.6, so it counts as up; eu said down at 00:16:40.000Z. Would be down with share <= 0.285
        l.ndjson:3, to rule r, is observation 2 of a run: 1970-01-01T00:16:50.000Z up for 20s; announced at once (2 observations)
        l.ndjson:3, to rule r: quorum: down has 1 of 4.5 votes, and share is 0.6, so it counts as up; eu said down at 00:16:40.000Z. Would be down with share <= 0.222
        l.ndjson:4, to rule r, begins a run: 1970-01-01T00:17:10.000Z down for 1m; announced at once (2 observations)
        l.ndjson:4, to rule r: quorum: down has 3.5 of 4.5 votes, share is 0.6; ap said up at 00:17:00.000Z. Would not be down with share > 0.778
        l.ndjson:5, to rule r, is observation 2 of a run: 1970-01-01T00:17:10.000Z down for 1m; announced at once (2 observations)
        l.ndjson:5, to rule r: quorum: down has 3.5 of 4.5 votes, share is 0.6; ap said up at 00:17:20.000Z. Would not be down with share > 0.778
        l.ndjson:6, to rule r, begins a run: 1970-01-01T00:18:10.000Z up since then; announced at once (1 observation)
        l.ndjson:6, to rule r: quorum: no fault has any of 1 votes
    "#]].assert_eq(&said_of(&rules, LOG, 1..=6));
    let place = Place::new();
    place.write("r.yaml", rules.as_bytes());
    let ran = place.run("check --plan r.yaml");
    let (_, plan) = ran.said.split_once("5. late").expect("stages");
    expect![[r#"
        : what arrives more than 0s after its event time is left out
          6. duplicates: of equal records the first counts, the others are left out
          7. quorum: a fault counts while it has a share of 0.6 of the votes
               faults   down
               votes    the latest of each by, for 1m
               weights  eu 1, us 2.5, ap 1
          8. hold: a state counts once it has lasted
               up    at once
               down  at once
          9. expiry: after 7d without observations an entity is forgotten
          10. output: episodes of r by entity
    "#]]
    .assert_eq(plan);
}

/// What marks an entity, and what waits for it.
#[test]
fn markers_are_told_and_what_they_withhold() {
    let rules = source("source: { const: z }")
        + "signals:\n  a: { states: { up: data.x == 1, down: data.x == 0 } }\n  \
           d: { states: { begun: data.d == 1, over: data.d == 0 } }\n\
           rules:\n  - { name: r, signal: a, faults: [down], hold: { down: 20s },\n      \
           grace: { for: 1m, after: [first_seen, { signal: d, states: [begun] }] } }\n";
    let log = r#"
{"at":1000,"e":"h","x":1}
{"at":1100,"e":"h","d":1}
{"at":1110,"e":"h","x":0}
{"at":1120,"e":"h","x":1,"d":1}
{"at":1170,"e":"h","x":0}
{"at":1300,"e":"h","d":0}
"#;
    expect![[r#"
        l.ndjson:1, to rule r, begins a run: 1970-01-01T00:16:40.000Z up for 3m; announced at once (2 observations)
        l.ndjson:1: state begun of signal d, `data.d == 1`, could not be judged: there is no data.d
        l.ndjson:1: state over of signal d, `data.d == 0`, could not be judged: there is no data.d
        l.ndjson:2, to rule r: it marks the entity, whose faults wait until 00:19:20.000Z
        l.ndjson:2: state up of signal a, `data.x == 1`, could not be judged: there is no data.x
        l.ndjson:2: state down of signal a, `data.x == 0`, could not be judged: there is no data.x
        l.ndjson:3, to rule r, down was withheld: the entity was marked at 00:18:20.000Z, and its grace ends at 00:19:20.000Z. Would have passed with grace <= 10s
        l.ndjson:3: state begun of signal d, `data.d == 1`, could not be judged: there is no data.d
        l.ndjson:3: state over of signal d, `data.d == 0`, could not be judged: there is no data.d
        l.ndjson:4, to rule r, is observation 2 of a run: 1970-01-01T00:16:40.000Z up for 3m; announced at once (2 observations)
        l.ndjson:4, to rule r: it marks the entity, whose faults wait until 00:19:40.000Z
        l.ndjson:5, to rule r, down was withheld: the entity was marked at 00:18:40.000Z, and its grace ends at 00:19:40.000Z. Would have passed with grace <= 50s
        l.ndjson:5: state begun of signal d, `data.d == 1`, could not be judged: there is no data.d
        l.ndjson:5: state over of signal d, `data.d == 0`, could not be judged: there is no data.d
        l.ndjson:6 fits a signal that no rule is on
        l.ndjson:6: state up of signal a, `data.x == 1`, could not be judged: there is no data.x
        l.ndjson:6: state down of signal a, `data.x == 0`, could not be judged: there is no data.x
    "#]].assert_eq(&said_of(&rules, log, 1..=6));
    let place = Place::new();
    place.write("r.yaml", rules.as_bytes());
    place.write("l.ndjson", log.trim_start().as_bytes());
    let ran = place.run("explain --rules r.yaml --log l.ndjson h");
    let (_, said) = ran.said.split_once("pending\n").expect("sentences");
    expect![[r#"
        1970-01-01T00:16:40.000Z up for 3m; announced at once (2 observations)
          1970-01-01T00:19:40.000Z down since then; announced: it lasted 20s, until 00:20:00.000Z (0 observations)
          2 observations withheld in the grace of the entity
          1 marker, after which faults wait
    "#]].assert_eq(said.trim_start());
    let ran = place.run("check --plan r.yaml");
    let (_, plan) = ran.said.split_once("5. duplicates").expect("stages");
    expect![[r#"
        : of equal records the first counts, the others are left out
          6. grace: for 1m after an entity is first seen, or d is begun, faults wait
               faults  down
          7. hold: a state counts once it has lasted
               up    at once
               down  20s
          8. expiry: after 7d without observations an entity is forgotten
          9. output: episodes of r by entity
    "#]]
    .assert_eq(plan);
}
