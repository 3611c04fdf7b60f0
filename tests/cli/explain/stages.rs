//! What stages did before a state was held, in words.

use expect_test::expect;

use super::{Place, said_of, source};

/// What stages withheld, made, or counted as something else.
#[test]
fn what_is_done_before_a_hold_says_so() {
    let rules = source("source: { const: z }")
        + "signals: { a: { states: { up: data.x == 1, down: data.x == 0 } } }\n\
           rules:\n  \
           - { name: r, signal: a, faults: [down], grace: 10s, absent: { after: 2h },\n      \
               flap_damping: { suppress: 900, max: 30m }, hold: { down: 5s } }\n  \
           - { name: f, signal: a, flap_detection: { high: 5.9, low: 0 } }\n";
    let log = r#"
{"at":1000,"e":"h","x":0}
{"at":1004,"e":"h","x":1}
{"at":1100,"e":"h","x":0}
{"at":1160,"e":"h","x":1}
"#;
    let said = said_of(&rules, log, 1..=4);
    expect![[r#"
        l.ndjson:1, to rule r, down was withheld: the entity was first seen at 00:16:40.000Z, and its grace ends at 00:16:50.000Z. Would have passed without grace
        l.ndjson:1, to rule f, begins a run: 1970-01-01T00:16:40.000Z down for 4s; announced at once (1 observation)
        l.ndjson:2, to rule r, begins a run: 1970-01-01T00:16:44.000Z up since then; announced at once (2 observations)
        l.ndjson:2, to rule f, begins a run: 1970-01-01T00:16:44.000Z up for 1m36s; announced at once (1 observation)
        l.ndjson:3, to rule r, down was withheld: flap_damping: the penalty is 1000.0 of 900 (suppress), and decays to 750 (reuse) until 00:24:33.533749351Z. Would have passed with suppress >= 1000.0
        l.ndjson:3, to rule f, begins a run: 1970-01-01T00:18:20.000Z flapping since then; announced at once (2 observations)
        l.ndjson:3, to rule f: it counts as flapping: the share of changes is 11.7 %, high is 5.9 and low is 0. Would not with high >= 11.7
        l.ndjson:4, to rule r, is observation 2 of a run: 1970-01-01T00:16:44.000Z up since then; announced at once (2 observations)
        l.ndjson:4, to rule f, is observation 2 of a run: 1970-01-01T00:18:20.000Z flapping since then; announced at once (2 observations)
        l.ndjson:4, to rule f: it counts as flapping: the share of changes is 17.4 %, high is 5.9 and low is 0. Would not with high >= 17.4
    "#]].assert_eq(&said);
    let place = Place::new();
    place.write("r.yaml", rules.as_bytes());
    place.write("l.ndjson", log.trim_start().as_bytes());
    let ran = place.run("explain --rules r.yaml --log l.ndjson h");
    expect![[r#"
        h, as known at 1970-01-01T00:19:20.000Z

        rule r on a; hold: down 5s, unknown none, up none
          observed  2                                                                      2
          runs      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
          episodes  222222222222222222222222222222222222222222222222222222222222222222222222
                    1970-01-01T00:16:44.000Z                        1970-01-01T00:19:20.000Z
          0 down, 1 unknown, 2 up, * several; ━ lasted, ╌ held down, ┄ pending
          1970-01-01T00:16:44.000Z up since then; announced at once (2 observations)
          1 observation withheld by flap_damping
          1 observation withheld in the grace of the entity

        rule f on a; hold: down none, flapping none, up none
          observed  du                                          f                          f
          runs      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
          episodes  duuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuffffffffffffffffffffffffffff
                    1970-01-01T00:16:40.000Z                        1970-01-01T00:19:20.000Z
          d down, f flapping, u up, * several; ━ lasted, ╌ held down, ┄ pending
          1970-01-01T00:16:40.000Z down for 4s; announced at once (1 observation)
          1970-01-01T00:16:44.000Z up for 1m36s; announced at once (1 observation)
          1970-01-01T00:18:20.000Z flapping since then; announced at once (2 observations)
    "#]]
    .assert_eq(&ran.said);
    let ran = place.run("check --plan r.yaml");
    let (_, plan) = ran.said.split_once("5. duplicates").expect("stages");
    expect![[r#"
        : of equal records the first counts, the others are left out
          6. absent: after 2h without observations it is unknown
          7. flap_damping: what changes too often is withheld until it is quiet
               faults     down
               penalties  1000 a fault, 0 a return, 500 another change
               suppress   above 900, until it has decayed to 750
               half-life  15m
               ceiling    3000.0: 30m at most
          8. grace: for 10s after an entity is first seen, faults wait
               faults  down
          9. hold: a state counts once it has lasted
               up       at once
               down     5s
               unknown  at once
          10. expiry: after 7d without observations an entity is forgotten
          11. output: episodes of r by entity

        rule f
          1. source p: JSON objects
               event time  at (s)
               arrival     the event time
               subject     e
               source      "z"
               type        "t"
               duplicates  by content: equal in all but the arrival
          2. signal a: records with a subject
          3. state: the first that holds; a record without any is unmatched
               up    data.x == 1 (native)
               down  data.x == 0 (native)
          4. late: what arrives more than 0s after its event time is left out
          5. duplicates: of equal records the first counts, the others are left out
          6. flap_detection: flapping above 5.9 % of changes in 21 observations, until 0 %
               weights  icinga
          7. hold: a state counts once it has lasted
               up        at once
               down      at once
               flapping  at once
          8. expiry: after 7d without observations an entity is forgotten
          9. output: episodes of f by entity
    "#]]
    .assert_eq(plan);
}

/// A counter that grows by more than a double holds has no rate, whatever else there is.
#[test]
fn what_grows_too_fast_has_no_rate_and_no_rule_gives_it_one() {
    let rules = source("source: { const: z }")
        + "signals: { a: { value: data.x } }\n\
           rules: [{ name: rate, signal: a, smooth: { rate: 1m }, below: 1 }]\n";
    let log = r#"
{"at":1000,"e":"h","x":-1.7e308}
{"at":1001,"e":"h","x":1.7e308}
{"at":1001,"e":"h","x":1.71e308}
{"at":1100,"e":"h","x":-1.7e308}
{"at":1160,"e":"h","x":1.7e308}
{"at":1240,"e":"h","x":5}
"#;
    expect![[r#"
        l.ndjson:1, to rule rate, reading was withheld: the reading is -1.7e308, the first: there is no rate yet
        l.ndjson:2, to rule rate, reading was withheld: the reading is 1.7e308, and the rate in 1m is beyond what a double holds: there is none
        l.ndjson:3, to rule rate, reading was withheld: the reading is 1.71e308, and the rate in 1m is beyond what a double holds: there is none
        l.ndjson:4, to rule rate, reading was withheld: the reading is -1.7e308, and the one before was 1m39s earlier: there is no rate. Would have one with rate > 1m39s
        l.ndjson:5, to rule rate, reading was withheld: the reading is 1.7e308, and the one before was 1m earlier: there is no rate
        l.ndjson:6, to rule rate, reading was withheld: the reading is 5, and the one before was 1m20s earlier: there is no rate. Would have one with rate > 1m20s
    "#]]
    .assert_eq(&said_of(&rules, log, 1..=6));
}

/// What readings came to, and what would have changed that.
#[test]
fn what_is_made_of_readings_says_so() {
    let rules = source("source: { const: z }")
        + "signals: { a: { value: data.x } }\n\
           rules:\n  \
           - { name: plain, signal: a, above: 90, below: 5, recover: { above: 70 } }\n  \
           - { name: median, signal: a, smooth: { median: 1m }, above: 90 }\n  \
           - { name: mean, signal: a, smooth: { half_life: 1m }, above: 90, hold: { above: 1m } }\n  \
           - { name: rate, signal: a, smooth: { rate: 1m }, below: 1 }\n";
    let log = r#"
{"at":1000,"e":"h","x":80}
{"at":1030,"e":"h","x":95.5}
{"at":1060,"e":"h","x":75}
{"at":1060,"e":"h","x":"4"}
{"at":1200,"e":"h","x":200}
{"at":1210,"e":"h"}
{"at":1220,"e":"h","x":"NaN"}
"#;
    expect![[r#"
        l.ndjson:1, to rule plain, begins a run: 1970-01-01T00:16:40.000Z normal for 30s; announced at once (1 observation)
        l.ndjson:1, to rule plain: the reading is 80, normal. Would be above with above < 80, below with below > 80
        l.ndjson:1, to rule median, begins a run: 1970-01-01T00:16:40.000Z normal for 3m20s; announced at once (4 observations)
        l.ndjson:1, to rule median: with the reading 80 the median of 1m is 80, normal. Would be above with above < 80
        l.ndjson:1, to rule mean, begins a run: 1970-01-01T00:16:40.000Z normal for 3m20s; announced at once (4 observations)
        l.ndjson:1, to rule mean: with the reading 80 their mean, of half-life 1m, is 80, normal. Would be above with above < 80
        l.ndjson:1, to rule rate, reading was withheld: the reading is 80, the first: there is no rate yet
        l.ndjson:2, to rule plain, begins a run: 1970-01-01T00:17:10.000Z above for 30s; announced at once (1 observation)
        l.ndjson:2, to rule plain: the reading is 95.5, above 90. Would not be above with above >= 95.5
        l.ndjson:2, to rule median, is observation 2 of a run: 1970-01-01T00:16:40.000Z normal for 3m20s; announced at once (4 observations)
        l.ndjson:2, to rule median: with the reading 95.5 the median of 1m is 87.75, normal. Would be above with above < 87.75
        l.ndjson:2, to rule mean, is observation 2 of a run: 1970-01-01T00:16:40.000Z normal for 3m20s; announced at once (4 observations)
        l.ndjson:2, to rule mean: with the reading 95.5 their mean, of half-life 1m, is 84.53984489160851, normal. Would be above with above < 84.53984489160851
        l.ndjson:2, to rule rate, begins a run: 1970-01-01T00:17:10.000Z below for 30s; announced at once (2 observations)
        l.ndjson:2, to rule rate: with the reading 95.5 the rate in 1m is 0.5166666666666667 a second, below 1. Would not be below with below <= 0.5166666666666667
        l.ndjson:3, to rule plain, begins a run: 1970-01-01T00:17:40.000Z normal for 2m20s; announced at once (1 observation)
        l.ndjson:3, to rule plain: the reading is 75, normal. Would be above with above < 75, below with below > 75
        l.ndjson:3, to rule median, is observation 4 of a run: 1970-01-01T00:16:40.000Z normal for 3m20s; announced at once (4 observations)
        l.ndjson:3, to rule median: with the reading 75 the median of 1m is 75, normal. Would be above with above < 75
        l.ndjson:3, to rule mean, is observation 4 of a run: 1970-01-01T00:16:40.000Z normal for 3m20s; announced at once (4 observations)
        l.ndjson:3, to rule mean: with the reading 75 their mean, of half-life 1m, is 60.9502704785691, normal. Would be above with above < 60.9502704785691
        l.ndjson:3, to rule rate, begins a run: 1970-01-01T00:17:40.000Z normal since then; announced at once (1 observation)
        l.ndjson:3, to rule rate: with the reading 75 the rate in 1m is 2.5 a second, normal. Would be below with below > 2.5
        l.ndjson:4, to rule plain, begins a run: 1970-01-01T00:17:40.000Z below for no time at all: contradicted at the same instant (1 observation)
        l.ndjson:4, to rule plain: the reading is 4, below 5. Would not be below with below <= 4
        l.ndjson:4, to rule median, is observation 3 of a run: 1970-01-01T00:16:40.000Z normal for 3m20s; announced at once (4 observations)
        l.ndjson:4, to rule median: with the reading 4 the median of 1m is 49.75, normal. Would be above with above < 49.75
        l.ndjson:4, to rule mean, is observation 3 of a run: 1970-01-01T00:16:40.000Z normal for 3m20s; announced at once (4 observations)
        l.ndjson:4, to rule mean: with the reading 4 their mean, of half-life 1m, is 60.9502704785691, normal. Would be above with above < 60.9502704785691
        l.ndjson:4, to rule rate, is observation 2 of a run: 1970-01-01T00:17:10.000Z below for 30s; announced at once (2 observations)
        l.ndjson:4, to rule rate: with the reading 4 the rate in 1m is 0.13333333333333333 a second, below 1. Would not be below with below <= 0.13333333333333333
        l.ndjson:5, to rule plain, begins a run: 1970-01-01T00:20:00.000Z above since then; announced at once (1 observation)
        l.ndjson:5, to rule plain: the reading is 200, above 90. Would not be above with above >= 200
        l.ndjson:5, to rule median, begins a run: 1970-01-01T00:20:00.000Z above since then; announced at once (1 observation)
        l.ndjson:5, to rule median: with the reading 200 the median of 1m is 200, above 90. Would not be above with above >= 200
        l.ndjson:5, to rule mean, begins a run: 1970-01-01T00:20:00.000Z above, pending until 00:21:00.000Z; hold is 1m (1 observation)
        l.ndjson:5, to rule mean: with the reading 200 their mean, of half-life 1m, is 172.40903913522337, above 90. Would not be above with above >= 172.40903913522337
        l.ndjson:5, to rule rate, reading was withheld: the reading is 200, and the one before was 2m20s earlier: there is no rate. Would have one with rate > 2m20s
        l.ndjson:6 is unmatched: a record of `h`, but no state of its signal fits
        l.ndjson:7 is unmatched: a record of `h`, but what could not be judged does not hold
        l.ndjson:7: the value of signal a, `data.x`, could not be judged: it comes to the string "NaN", which is no number
    "#]].assert_eq(&said_of(&rules, log, 1..=7));
    let place = Place::new();
    place.write("r.yaml", rules.as_bytes());
    place.write("l.ndjson", log.trim_start().as_bytes());
    let ran = place.run("explain --rules r.yaml --log l.ndjson h");
    let (_, rate) = ran.said.split_once("rule rate ").expect("it is told of");
    expect![[r#"
        on a; hold: below none, normal none
          observed  b          *
          runs      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
          episodes  bbbbbbbbbbbnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn
                    1970-01-01T00:17:10.000Z                        1970-01-01T00:20:20.000Z
          b below, n normal, * several; ━ lasted, ╌ held down, ┄ pending
          1970-01-01T00:17:10.000Z below for 30s; announced at once (2 observations)
          1970-01-01T00:17:40.000Z normal since then; announced at once (1 observation)
          2 observations withheld without a rate
    "#]]
    .assert_eq(rate);
    let ran = place.run("check --plan r.yaml --sample l.ndjson");
    expect![[r#"
        r.yaml: ok (1 source, 1 signal, 4 rules)

        rule plain
          1. source p: JSON objects
               event time  at (s)
               arrival     the event time
               subject     e
               source      "z"
               type        "t"
               duplicates  by content: equal in all but the arrival
          2. signal a: records with a subject
          3. reading: a record without a finite number is unmatched
               value  data.x
          4. late: what arrives more than 0s after its event time is left out
          5. duplicates: of equal records the first counts, the others are left out
          6. threshold: normal, unless it is beyond one
               above  above 90, until it is 70 or below
               below  below 5, until it is 5 or above
          7. hold: a state counts once it has lasted
               above   at once
               below   at once
               normal  at once
          8. expiry: after 7d without observations an entity is forgotten
          9. output: episodes of plain by entity

        rule median
          1. source p: JSON objects
               event time  at (s)
               arrival     the event time
               subject     e
               source      "z"
               type        "t"
               duplicates  by content: equal in all but the arrival
          2. signal a: records with a subject
          3. reading: a record without a finite number is unmatched
               value  data.x
          4. late: what arrives more than 0s after its event time is left out
          5. duplicates: of equal records the first counts, the others are left out
          6. smooth: the median of the last 1m
          7. threshold: normal, unless it is beyond one
               above  above 90, until it is 90 or below
          8. hold: a state counts once it has lasted
               above   at once
               normal  at once
          9. expiry: after 7d without observations an entity is forgotten
          10. output: episodes of median by entity

        rule mean
          1. source p: JSON objects
               event time  at (s)
               arrival     the event time
               subject     e
               source      "z"
               type        "t"
               duplicates  by content: equal in all but the arrival
          2. signal a: records with a subject
          3. reading: a record without a finite number is unmatched
               value  data.x
          4. late: what arrives more than 0s after its event time is left out
          5. duplicates: of equal records the first counts, the others are left out
          6. smooth: their time-weighted mean, with a half-life of 1m
          7. threshold: normal, unless it is beyond one
               above  above 90, until it is 90 or below
          8. hold: a state counts once it has lasted
               above   1m
               normal  at once
          9. expiry: after 7d without observations an entity is forgotten
          10. output: episodes of mean by entity

        rule rate
          1. source p: JSON objects
               event time  at (s)
               arrival     the event time
               subject     e
               source      "z"
               type        "t"
               duplicates  by content: equal in all but the arrival
          2. signal a: records with a subject
          3. reading: a record without a finite number is unmatched
               value  data.x
          4. late: what arrives more than 0s after its event time is left out
          5. duplicates: of equal records the first counts, the others are left out
          6. smooth: how fast it grew in the last 1m, a second; what falls was reset to 0. The first reading has no rate
          7. threshold: normal, unless it is beyond one
               below  below 1, until it is 1 or above
          8. hold: a state counts once it has lasted
               below   at once
               normal  at once
          9. expiry: after 7d without observations an entity is forgotten
          10. output: episodes of rate by entity

        sample l.ndjson: 7 records
                    1  conditions that could not be judged

        signal a: 5 of 7 records
          usually 30s between observations of an entity
    "#]].assert_eq(&ran.said);
}

/// What counts at once, and whatever would have held it.
#[test]
fn what_counts_at_once_says_so() {
    let rules = source("source: { const: z }")
        + "signals: { a: { states: { up: data.x == 1, down: data.x == 0 } } }\n\
           rules:\n  \
           - { name: r, signal: a, faults: [down], grace: 1h, hold: { down: 5m }, except: data.hot > 9 }\n";
    let log = r#"
{"at":1000,"e":"h","x":1,"hot":0}
{"at":1010,"e":"h","x":0,"hot":0}
{"at":1020,"e":"h","x":0,"hot":10}
{"at":1030,"e":"h","x":0,"hot":"very"}
"#;
    expect![[r#"
        l.ndjson:1, to rule r, begins a run: 1970-01-01T00:16:40.000Z up for 20s; announced at once (1 observation)
        l.ndjson:2, to rule r, down was withheld: the entity was first seen at 00:16:40.000Z, and its grace ends at 01:16:40.000Z. Would have passed with grace <= 10s
        l.ndjson:3, to rule r, begins a run: 1970-01-01T00:17:00.000Z down since then; announced at 00:17:00.000Z, as `except` says (1 observation)
        l.ndjson:3, to rule r: it counts at once, as `except` says, `data.hot > 9`
        l.ndjson:4, to rule r, down was withheld: the entity was first seen at 00:16:40.000Z, and its grace ends at 01:16:40.000Z. Would have passed with grace <= 30s
        l.ndjson:4: the `except` of rule r, `data.hot > 9`, could not be judged: data.hot is the string "very"
    "#]].assert_eq(&said_of(&rules, log, 1..=4));
    let place = Place::new();
    place.write("r.yaml", rules.as_bytes());
    let ran = place.run("check --plan r.yaml");
    let (_, plan) = ran.said.split_once("5. duplicates").expect("stages");
    expect![[r#"
        : of equal records the first counts, the others are left out
          6. except: what is so passes at once, whatever follows would hold it
               except  data.hot > 9 (native)
          7. grace: for 1h after an entity is first seen, faults wait
               faults  down
          8. hold: a state counts once it has lasted
               up    at once
               down  5m
          9. expiry: after 7d without observations an entity is forgotten
          10. output: episodes of r by entity
    "#]]
    .assert_eq(plan);
}

/// What is one of a session, of an entity and of a record.
#[test]
fn what_is_in_a_session_says_so() {
    let rules = source("source: { const: z }")
        + "signals: { a: { states: { up: data.x == 1, down: data.x == 0 } } }\n\
           rules: [{ name: r, signal: a, session: { gap: 1m }, hold: { down: 30s } }]\n";
    let log = r#"
{"at":1000,"e":"h","x":1}
{"at":1100,"e":"h","x":0}
{"at":1120,"e":"h","x":1}
{"at":1150,"e":"h","x":0}
{"at":1300,"e":"h","x":0}
"#;
    expect![[r#"
        l.ndjson:1, to rule r, begins a run: 1970-01-01T00:16:40.000Z up for 1m40s; announced at once (1 observation)
        l.ndjson:2, to rule r, begins a run: 1970-01-01T00:18:20.000Z down for 20s; hold is 30s; over at 00:18:40.000Z (1 observation). Would have counted with hold <= 20s
        l.ndjson:3, to rule r, begins a run: 1970-01-01T00:18:40.000Z session for 1m30s; announced at once (2 observations)
        l.ndjson:3, to rule r: it counts as session: 2 changes since 00:18:20.000Z, the last at 00:18:40.000Z; gap is 1m. Would not with least > 2
        l.ndjson:4, to rule r, is observation 2 of a run: 1970-01-01T00:18:40.000Z session for 1m30s; announced at once (2 observations)
        l.ndjson:4, to rule r: it counts as session: 3 changes since 00:18:20.000Z, the last at 00:19:10.000Z; gap is 1m. Would not with least > 3
        l.ndjson:5, to rule r, begins a run: 1970-01-01T00:20:10.000Z down since then; announced: it lasted 30s, until 00:20:40.000Z (1 observation)
    "#]].assert_eq(&said_of(&rules, log, 1..=5));
    let place = Place::new();
    place.write("r.yaml", rules.as_bytes());
    let ran = place.run("check --plan r.yaml");
    let (_, plan) = ran.said.split_once("5. duplicates").expect("stages");
    expect![[r#"
        : of equal records the first counts, the others are left out
          6. session: from 2 changes on, each less than 1m after the one before, it is session
          7. hold: a state counts once it has lasted
               up       at once
               down     30s
               session  at once
          8. expiry: after 7d without observations an entity is forgotten
          9. output: episodes of r by entity
    "#]]
    .assert_eq(plan);
}
