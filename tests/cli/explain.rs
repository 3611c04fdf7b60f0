//! `limbeck explain`: lanes, sentences, and what cannot be explained.

use expect_test::expect;

use super::Place;

mod stages;

const CART: &str = "explain --rules rules.yaml --log probes.ndjson shop/cart-0";

#[test]
fn an_entity_is_drawn_with_the_numbers_that_decided() {
    let ran = Place::new().run(CART);
    ran.assert(0, &[]);
    expect![[r#"
        shop/cart-0, as known at 2026-01-01T00:02:20.000Z
        1 of its records not used: later than 5s

        rule pod-readiness on readiness; hold: ready 10s, unready 30s
          observed  r         u   r                              u              r  r
          runs      ━━━━━━━━━━╌╌╌╌━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
          episodes  rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrruuuuuuuuuuuuuuurrrrrrrrrrrr
                    2026-01-01T00:00:00.000Z                        2026-01-01T00:02:20.000Z
          r ready, u unready, * several; ━ lasted, ╌ held down, ┄ pending
          2026-01-01T00:00:00.000Z ready for 20s; announced: it lasted 10s, until 00:00:10.000Z (1 observation)
          2026-01-01T00:00:20.000Z unready for 8s; hold is 30s; over at 00:00:28.000Z (1 observation). Would have counted with hold <= 8s
          2026-01-01T00:00:28.000Z ready for 1m2s; continues the episode since 00:00:00.000Z (1 observation)
          2026-01-01T00:01:30.000Z unready for 30s; announced: it lasted 30s, until 00:02:00.000Z (1 observation)
          2026-01-01T00:02:00.000Z ready since then; announced: it lasted 10s, until 00:02:10.000Z (2 observations)
    "#]].assert_eq(&ran.said);
}

#[test]
fn it_is_told_as_it_was_known_then() {
    let ran = Place::new().run(&format!("{CART} --at 2026-01-01T00:00:25Z"));
    ran.assert(0, &[]);
    expect![[r#"
        shop/cart-0, as known at 2026-01-01T00:00:25.000Z

        rule pod-readiness on readiness; hold: ready 10s, unready 30s
          observed  r                                                       u
          runs      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄
          episodes  rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
                    2026-01-01T00:00:00.000Z                        2026-01-01T00:00:25.000Z
          r ready, u unready, * several; ━ lasted, ╌ held down, ┄ pending
          2026-01-01T00:00:00.000Z ready for 20s; announced: it lasted 10s, until 00:00:10.000Z (1 observation)
          2026-01-01T00:00:20.000Z unready, pending until 00:00:50.000Z; hold is 30s (1 observation)
    "#]].assert_eq(&ran.said);
}

#[test]
fn json_has_everything() {
    let ran = Place::new().run(&format!("{CART} --json"));
    ran.assert(0, &[]);
    let told: serde_json::Value = serde_json::from_str(&ran.said).expect("it is JSON");
    let run = &told["rules"][0]["runs"][1];
    assert_eq!(run["outcome"], "held-down", "{told}");
    assert_eq!(run["observations"][0]["line"], 3, "{told}");
    assert_eq!(told["not_used"][0]["reason"], "late", "{told}");
}

#[test]
fn each_record_has_a_sentence() {
    let place = Place::new();
    let lines = std::fs::read_to_string(place.path("probes.ndjson")).expect("text").lines().count();
    let said: String = (1..=lines)
        .map(|line| {
            let ran = place.run(&format!(
                "explain --rules rules.yaml --log probes.ndjson --record probes.ndjson:{line}"
            ));
            ran.assert(0, &[]);
            ran.said
        })
        .collect();
    expect![[r#"
        probes.ndjson:1, to rule pod-readiness, begins a run: 2026-01-01T00:00:00.000Z ready for 20s; announced: it lasted 10s, until 00:00:10.000Z (1 observation)
        probes.ndjson:2, to rule pod-readiness, begins a run: 2026-01-01T00:00:00.000Z ready for 30s; announced: it lasted 10s, until 00:00:10.000Z (1 observation)
        probes.ndjson:3, to rule pod-readiness, begins a run: 2026-01-01T00:00:20.000Z unready for 8s; hold is 30s; over at 00:00:28.000Z (1 observation). Would have counted with hold <= 8s
        probes.ndjson:4, to rule pod-readiness, begins a run: 2026-01-01T00:00:28.000Z ready for 1m2s; continues the episode since 00:00:00.000Z (1 observation)
        probes.ndjson:5, to rule pod-readiness, begins a run: 2026-01-01T00:00:30.000Z unready for 45s; announced: it lasted 30s, until 00:01:00.000Z (3 observations)
        probes.ndjson:6 is a duplicate: the same record was there before, at probes.ndjson:5
        probes.ndjson:7 is a dead letter: EOF while parsing a value (column 51)
        probes.ndjson:8, to rule pod-readiness, is observation 3 of a run: 2026-01-01T00:00:30.000Z unready for 45s; announced: it lasted 30s, until 00:01:00.000Z (3 observations)
        probes.ndjson:9, to rule pod-readiness, is observation 2 of a run: 2026-01-01T00:00:30.000Z unready for 45s; announced: it lasted 30s, until 00:01:00.000Z (3 observations)
        probes.ndjson:10, to rule pod-readiness, begins a run: 2026-01-01T00:01:15.000Z ready since then; announced: it lasted 10s, until 00:01:25.000Z (3 observations)
        probes.ndjson:11 is late: it happened at 2026-01-01T00:01:10.000Z and arrived 10s after that; lateness is 5s. Would have been used with lateness >= 10s
        probes.ndjson:12, to rule pod-readiness, begins a run: 2026-01-01T00:01:30.000Z unready for 30s; announced: it lasted 30s, until 00:02:00.000Z (1 observation)
        probes.ndjson:13, to rule pod-readiness, begins a run: 2026-01-01T00:02:00.000Z ready since then; announced: it lasted 10s, until 00:02:10.000Z (2 observations)
        probes.ndjson:14 is unmatched: a record of `shop/cart-2`, but no state of its signal fits
        probes.ndjson:15 is unmatched: a record of `shop/cart-2`, but no signal's condition holds
        probes.ndjson:16, to rule pod-readiness, begins a run: 2026-01-01T00:02:03.000Z unready, pending until 00:02:33.000Z; hold is 30s (1 observation)
        probes.ndjson:17, to rule pod-readiness, is observation 2 of a run: 2026-01-01T00:01:15.000Z ready since then; announced: it lasted 10s, until 00:01:25.000Z (3 observations)
        probes.ndjson:18, to rule pod-readiness, is observation 2 of a run: 2026-01-01T00:02:00.000Z ready since then; announced: it lasted 10s, until 00:02:10.000Z (2 observations)
        probes.ndjson:19, to rule pod-readiness, is observation 3 of a run: 2026-01-01T00:01:15.000Z ready since then; announced: it lasted 10s, until 00:01:25.000Z (3 observations)
    "#]].assert_eq(&said);
    let by_id =
        place.run("explain --rules rules.yaml --log probes.ndjson --source /probe/a --id e4").said;
    assert!(said.contains(&by_id) && by_id.starts_with("probes.ndjson:4,"), "{by_id}");
}

/// `--log PATH... ENTITY`, as for replay but for the entity, which may stand elsewhere too.
#[test]
fn the_entity_may_stand_behind_several_logs() {
    let place = Place::new();
    place.write("more.ndjson", b"");
    let said = |line: &str| {
        let ran = place.run(&format!("explain --rules rules.yaml {line}"));
        ran.assert(0, &[]);
        ran.said
    };
    let wanted = said("--log probes.ndjson shop/cart-0");
    for line in [
        "--log probes.ndjson more.ndjson shop/cart-0",
        "--log probes.ndjson --log more.ndjson shop/cart-0",
        "shop/cart-0 --log probes.ndjson more.ndjson",
        "--log probes.ndjson more.ndjson -- shop/cart-0",
    ] {
        assert_eq!(said(line), wanted, "{line}");
    }
}

#[test]
fn what_is_not_there_is_said() {
    let place = Place::new();
    let logs = "explain --rules rules.yaml --log probes.ndjson";
    place.run(&format!("{logs} nobody")).assert(1, &["nobody"]);
    place.run(&format!("{logs} --record probes.ndjson:99")).assert(1, &["no such record"]);
    place.run(&format!("{logs} --record other.ndjson:1")).assert(1, &["none of the logs"]);
    place.run(&format!("{logs} --source a --id b")).assert(1, &["no such record"]);
    place.run(&format!("{logs} --record probes.ndjson")).assert(2, &["probes.ndjson:4"]);
    place.run(&format!("{logs} --source a")).assert(2, &["--id"]);
    place.run(logs).assert(2, &["ENTITY"]);
    place.run("explain --rules rules.yaml --log gone.ndjson a").assert(66, &["gone.ndjson"]);
    place.run("explain --rules rules.yaml --log - --record -:1").assert(2, &["standard input"]);
}

/// The beginning of a rule file for lines that have a time and an entity, and more.
pub(crate) fn source(more: &str) -> String {
    format!(
        "version: 1\nsources:\n  p:\n    format: json\n    time: {{ field: at, unit: s }}\n    \
         subject: {{ field: e }}\n    type: {{ const: t }}\n    {more}\n"
    )
}

/// What is said of each of some lines of a log, by rules that are written here.
pub(crate) fn said_of(rules: &str, log: &str, lines: std::ops::RangeInclusive<u32>) -> String {
    let place = Place::new();
    place.write("r.yaml", rules.as_bytes());
    place.write("l.ndjson", log.trim_start().as_bytes());
    let said = |line: u32| {
        let ran =
            place.run(&format!("explain --rules r.yaml --log l.ndjson --record l.ndjson:{line}"));
        if ran.code == Some(0) { ran.said } else { ran.complained }
    };
    lines.map(said).collect()
}

/// What had lasted, and what began, while another state was kept.
#[test]
fn what_was_kept_down_says_so() {
    let rules = source("source: { const: z }")
        + "signals: { a: { states: { up: data.x == 1, down: data.x == 0 } } }\n\
           rules: [{ name: r, signal: a, hold: { up: 10s }, keep: { down: 60s } }]\n";
    let log = r#"
{"at":1000,"e":"h","x":0}
{"at":1030,"e":"h","x":1}
{"at":1090,"e":"h","x":0}
{"at":1100,"e":"h","x":1}
{"at":1170,"e":"h","x":0}
{"at":1180,"e":"h","x":1}
{"at":1195,"e":"h","x":1}
"#;
    let said = said_of(&rules, log, 1..=6);
    expect![[r#"
        l.ndjson:1, to rule r, begins a run: 1970-01-01T00:16:40.000Z down for 30s; announced at once (1 observation)
        l.ndjson:2, to rule r, begins a run: 1970-01-01T00:17:10.000Z up for 1m; hold is 10s; over at 00:18:10.000Z (1 observation), but down was kept for 1m after it was missed, since 00:17:10.000Z. Would have counted with keep < 1m
        l.ndjson:3, to rule r, begins a run: 1970-01-01T00:18:10.000Z down for 10s; continues the episode since 00:16:40.000Z (1 observation)
        l.ndjson:4, to rule r, begins a run: 1970-01-01T00:18:20.000Z up for 1m10s; announced at 00:19:20.000Z, from 00:19:20.000Z on: until then down was kept (1 observation)
        l.ndjson:5, to rule r, begins a run: 1970-01-01T00:19:30.000Z down for 10s; announced at once (1 observation)
        l.ndjson:6, to rule r, begins a run: 1970-01-01T00:19:40.000Z up, pending until 00:20:40.000Z; hold is 10s; the state before is kept until then (2 observations)
    "#]].assert_eq(&said);
}

/// What did not last, and would have been kept away if it had, says both; and one more of what is true.
#[test]
fn what_would_have_been_otherwise_is_all_it_takes() {
    let rules = source("source: { const: z }")
        + "signals: { a: { states: { up: data.x == 1, down: data.x == 0 } }, b: { value: data.y } }\n\
           rules:\n  \
           - { name: r, signal: a, hold: { up: 30s }, keep: { down: 60s }, absent: { after: 5m } }\n  \
           - { name: damped, signal: a, faults: [down], flap_damping: { suppress: 900, max: 30m, test: true } }\n  \
           - { name: t, signal: b, above: 0.9, recover: 0.7 }\n";
    let log = r#"
{"at":1000,"e":"h","x":0}
{"at":1030,"e":"h","x":1}
{"at":1050,"e":"h","x":0}
{"at":1060,"e":"h","y":1}
{"at":1070,"e":"h","y":0.52}
{"at":1080,"e":"h","y":0.5}
{"at":1500,"e":"h","x":0}
"#;
    let said = said_of(&rules, log, 1..=7);
    expect![[r#"
        l.ndjson:1, to rule r, begins a run: 1970-01-01T00:16:40.000Z down for 30s; announced at once (1 observation)
        l.ndjson:1, to rule damped, begins a run: 1970-01-01T00:16:40.000Z down for 30s; announced at once (1 observation)
        l.ndjson:2, to rule r, begins a run: 1970-01-01T00:17:10.000Z up for 20s; hold is 30s; over at 00:17:30.000Z (1 observation). Would have counted with hold <= 20s and keep < 20s
        l.ndjson:2, to rule damped, begins a run: 1970-01-01T00:17:10.000Z up for 20s; announced at once (1 observation)
        l.ndjson:3, to rule r, begins a run: 1970-01-01T00:17:30.000Z down for 5m; continues the episode since 00:16:40.000Z (1 observation)
        l.ndjson:3, to rule damped, begins a run: 1970-01-01T00:17:30.000Z down since then; announced at once (2 observations)
        l.ndjson:3, to rule damped: flap_damping in test mode: the penalty is 1000.0 of 900 (suppress), and decays to 750 (reuse) until 00:23:43.533749351Z. It passed; without test it would have been withheld, but for suppress >= 1000.0
        l.ndjson:4, to rule t, begins a run: 1970-01-01T00:17:40.000Z above for 10s; announced at once (1 observation)
        l.ndjson:4, to rule t: the reading is 1, above 0.9. Would not be above with above >= 1
        l.ndjson:4: state up of signal a, `data.x == 1`, could not be judged: there is no data.x
        l.ndjson:4: state down of signal a, `data.x == 0`, could not be judged: there is no data.x
        l.ndjson:5, to rule t, begins a run: 1970-01-01T00:17:50.000Z normal since then; announced at once (2 observations)
        l.ndjson:5, to rule t: the reading is 0.52, normal. Would be still above with recover < 0.52
        l.ndjson:5: state up of signal a, `data.x == 1`, could not be judged: there is no data.x
        l.ndjson:5: state down of signal a, `data.x == 0`, could not be judged: there is no data.x
        l.ndjson:6, to rule t, is observation 2 of a run: 1970-01-01T00:17:50.000Z normal since then; announced at once (2 observations)
        l.ndjson:6, to rule t: the reading is 0.5, normal. Would be above with above < 0.5
        l.ndjson:6: state up of signal a, `data.x == 1`, could not be judged: there is no data.x
        l.ndjson:6: state down of signal a, `data.x == 0`, could not be judged: there is no data.x
        l.ndjson:7, to rule r, begins a run: 1970-01-01T00:25:00.000Z down since then; announced at once (1 observation)
        l.ndjson:7, to rule damped, is observation 2 of a run: 1970-01-01T00:17:30.000Z down since then; announced at once (2 observations)
    "#]].assert_eq(&said);
    let place = Place::new();
    place.write("r.yaml", rules.as_bytes());
    place.write("l.ndjson", log.trim_start().as_bytes());
    let ran = place.run("explain --rules r.yaml --log l.ndjson h");
    let absent = "; last observed at 00:17:30.000Z, \
                  after is 5m. Would not be absent with after >= 7m30s\n";
    assert!(ran.said.contains(absent), "{}", ran.said);
}

/// The silence, too, counts for the hold; and both would have decided otherwise.
#[test]
fn what_expired_says_so() {
    let rules = source("source: { const: z }")
        + "expire_after: 1m\n\
           signals: { a: { states: { up: data.x == 1, down: data.x == 0 } } }\n\
           rules: [{ name: r, signal: a, hold: { down: 2m, up: 5s } }]\n";
    let log = r#"
{"at":1000,"e":"h","x":0}
{"at":1200,"e":"h","x":1}
{"at":1202,"e":"h","x":1}
{"at":1300,"e":"k","x":1}
{"at":1310,"e":"k","x":0}
{"at":1400,"e":"h","x":0}
{"at":1410,"e":"h","x":0}
{"at":1500,"e":"h","x":1}
"#;
    let said = said_of(&rules, log, 1..=8);
    expect![[r#"
        l.ndjson:1, to rule r, begins a run: 1970-01-01T00:16:40.000Z down for 0s when observations ceased; hold is 2m; expired after 1m of silence (1 observation). Would have counted with hold <= 1m, or expire_after >= 2m
        l.ndjson:2, to rule r, begins a run: 1970-01-01T00:20:00.000Z up for 2s when observations ceased; announced: nothing contrary came for 5s, until 00:20:05.000Z; expired after 1m of silence, so it ends at 00:20:02.000Z (2 observations)
        l.ndjson:3, to rule r, is observation 2 of a run: 1970-01-01T00:20:00.000Z up for 2s when observations ceased; announced: nothing contrary came for 5s, until 00:20:05.000Z; expired after 1m of silence, so it ends at 00:20:02.000Z (2 observations)
        l.ndjson:4, to rule r, begins a run: 1970-01-01T00:21:40.000Z up for 10s; announced: it lasted 5s, until 00:21:45.000Z (1 observation)
        l.ndjson:5, to rule r, begins a run: 1970-01-01T00:21:50.000Z down for 0s when observations ceased; hold is 2m; expired after 1m of silence (1 observation). Would have counted with hold <= 1m, or expire_after >= 2m
        l.ndjson:6, to rule r, begins a run: 1970-01-01T00:23:20.000Z down for 10s when observations ceased; hold is 2m; expired after 1m of silence (2 observations). Would have counted with hold <= 1m10s
        l.ndjson:7, to rule r, is observation 2 of a run: 1970-01-01T00:23:20.000Z down for 10s when observations ceased; hold is 2m; expired after 1m of silence (2 observations). Would have counted with hold <= 1m10s
        l.ndjson:8, to rule r, begins a run: 1970-01-01T00:25:00.000Z up, pending until 00:25:05.000Z; hold is 5s (1 observation)
    "#]].assert_eq(&said);
    let place = Place::new();
    place.write("r.yaml", rules.as_bytes());
    place.write("l.ndjson", log.trim_start().as_bytes());
    let drawn = |rules: &str| {
        place.write("r.yaml", rules.as_bytes());
        let ran = place.run("explain --rules r.yaml --log l.ndjson h --json");
        ran.assert(0, &[]);
        let told: serde_json::Value = serde_json::from_str(&ran.said).expect("it is JSON");
        let run = &told["rules"][0]["runs"][0];
        run["outcome"].as_str().expect("an outcome").to_owned()
    };
    // The numbers are the least that would have changed it.
    assert_eq!(drawn(&rules), "expired");
    for (from, to, outcome) in [
        ("down: 2m", "down: 1m", "established"),
        ("down: 2m", "down: 61s", "expired"),
        ("expire_after: 1m", "expire_after: 2m", "established"),
        ("expire_after: 1m", "expire_after: 119s", "expired"),
    ] {
        assert_eq!(drawn(&rules.replace(from, to)), outcome, "{to}");
    }
}

const PODS: &str = r#"
{"at":1000,"zone":"a","pods":[{"name":"x","s":"up"},{"name":"y","s":"up"},{"name":"x","s":"up"}]}

{"at":1010,"zone":"a","pods":[]}
{"at":1011,"zone":"a","pods":{"name":"x"}}
{"at":1013,"zone":"a","pods":[{"name":"x","s":"down"},5,{"nme":"y"},{"name":"z","s":1},{"name":"y","s":"down"}]}
{"at":1030,"zone":"a","pods":[{"name":"x","s":"up"},{"name":"y","s":"down"}]}
"#;
const PODS_RULES: &str = r#"
version: 1
sources:
  p:
    format: json
    explode: pods
    time: { field: at, unit: s }
    subject: { template: "{zone}/{pods.name}" }
    source: { const: z }
    type: { const: t }
signals: { a: { states: { up: data.pods.s == "up", down: data.pods.s == "down" } } }
rules: [{ name: r, signal: a, hold: { up: 10s, down: 10s } }]
"#;

#[test]
fn all_records_of_a_line_are_told_by_element() {
    expect![[r#"
        l.ndjson:1, element 1, to rule r, is observation 2 of a run: 1970-01-01T00:16:40.000Z up for 13s; announced: it lasted 10s, until 00:16:50.000Z (2 observations)
        l.ndjson:1, element 2, to rule r, begins a run: 1970-01-01T00:16:40.000Z up for 13s; announced: it lasted 10s, until 00:16:50.000Z (1 observation)
        l.ndjson:1, element 3, to rule r, begins a run: 1970-01-01T00:16:40.000Z up for 13s; announced: it lasted 10s, until 00:16:50.000Z (2 observations)
        limbeck: l.ndjson:2: a blank line is no record
        limbeck: l.ndjson:3: the line stands for no record: its array has no elements
        l.ndjson:4 is a dead letter: `pods` must be an array, which is exploded (column 30)
        l.ndjson:5, element 1, to rule r, begins a run: 1970-01-01T00:16:53.000Z down for 17s; announced: it lasted 10s, until 00:17:03.000Z (1 observation)
        l.ndjson:5, element 2 is unmatched: it has no subject
        l.ndjson:5, element 3 is unmatched: it has no subject
        l.ndjson:5, element 4 is unmatched: a record of `a/z`, but no state of its signal fits
        l.ndjson:5, element 5, to rule r, begins a run: 1970-01-01T00:16:53.000Z down since then; announced: it lasted 10s, until 00:17:03.000Z (2 observations)
        l.ndjson:6, element 1, to rule r, begins a run: 1970-01-01T00:17:10.000Z up, pending until 00:17:20.000Z; hold is 10s (1 observation)
        l.ndjson:6, element 2, to rule r, is observation 2 of a run: 1970-01-01T00:16:53.000Z down since then; announced: it lasted 10s, until 00:17:03.000Z (2 observations)
        limbeck: l.ndjson:7: no such record in this log, whose last line is 6
        limbeck: l.ndjson:8: no such record in this log, whose last line is 6
    "#]].assert_eq(&said_of(PODS_RULES, PODS, 1..=8));
}

#[test]
fn repeats_name_what_they_repeat() {
    let rules = source(
        "source: { field: s }\n    id: { field: id }\n    \
                        arrival: { field: in, unit: s }",
    ) + "lateness: 5s\n\
           signals: { a: { states: { up: data.x == 1, down: data.x == 0 } } }\n\
           rules:\n  \
           - { name: plain, signal: a, hold: { up: 10s, down: 10s } }\n  \
           - { name: patient, signal: a, amend_within: 1h }\n  \
           - { name: once, signal: a, dedup: { by: [data.z], within: 15s } }\n";
    let log = r#"
{"at":1000,"in":1000,"e":"h","s":"p","id":"1","x":1,"z":"a"}
{"at":1000,"in":1000,"e":"h","s":"p","id":"1","x":1,"z":"a"}
{"at":1000,"in":1002,"e":"h","s":"p","id":"1","x":0,"z":"a"}
{"at":1010,"in":1010,"e":"h","s":"p","id":"2","x":1,"z":"a"}
{"at":1012,"in":1012,"e":"h","s":"p","id":"3","x":1,"z":"a"}
{"at":1012,"in":1012,"e":"h","s":"p","id":"4","x":1,"z":"a"}
{"at":1005,"in":1030,"e":"h","s":"p","id":"5","x":0,"z":"a"}
{"at":1005,"in":1031,"e":"h","s":"p","id":"5","x":0,"z":"a"}
{"at":1040,"in":1040,"e":"h","s":"q","id":"5","x":0,"z":"a"}
{"at":1041,"in":1041,"e":"g","s":"p","id":"5","x":7,"z":"a"}
"#;
    expect![[r#"
        l.ndjson:1, to rule plain, begins a run: 1970-01-01T00:16:40.000Z up for 40s; announced: it lasted 10s, until 00:16:50.000Z (4 observations)
        l.ndjson:1, to rule patient, begins a run: 1970-01-01T00:16:40.000Z up for 5s; announced at once (1 observation)
        l.ndjson:1, to rule once, begins a run: 1970-01-01T00:16:40.000Z up for 40s; announced at once (1 observation)
        l.ndjson:2 is a duplicate: the same record was there before, at l.ndjson:1
        l.ndjson:3 is a duplicate: a record of the same source, id and time was there before, at l.ndjson:1. It says something else, which is a conflict; the first counts
        l.ndjson:4, to rule plain, is observation 2 of a run: 1970-01-01T00:16:40.000Z up for 40s; announced: it lasted 10s, until 00:16:50.000Z (4 observations)
        l.ndjson:4, to rule patient, begins a run: 1970-01-01T00:16:50.000Z up for 30s; announced at once (3 observations)
        l.ndjson:4, to rule once, repeats l.ndjson:1, of equal state and values and 10s before it, and was not looked at; within is 15s. Would have counted with within <= 10s
        l.ndjson:5, to rule plain, is observation 3 of a run: 1970-01-01T00:16:40.000Z up for 40s; announced: it lasted 10s, until 00:16:50.000Z (4 observations)
        l.ndjson:5, to rule patient, is observation 2 of a run: 1970-01-01T00:16:50.000Z up for 30s; announced at once (3 observations)
        l.ndjson:5, to rule once, repeats l.ndjson:1, of equal state and values and 12s before it, and was not looked at; within is 15s. Would have counted with within <= 2s
        l.ndjson:6, to rule plain, is observation 4 of a run: 1970-01-01T00:16:40.000Z up for 40s; announced: it lasted 10s, until 00:16:50.000Z (4 observations)
        l.ndjson:6, to rule patient, is observation 3 of a run: 1970-01-01T00:16:50.000Z up for 30s; announced at once (3 observations)
        l.ndjson:6, to rule once, repeats l.ndjson:1, of equal state and values and 12s before it, and was not looked at; within is 15s
        l.ndjson:7 is late: it happened at 1970-01-01T00:16:45.000Z and arrived 25s after that; lateness is 5s. It counts, by their amend_within, to patient
        l.ndjson:7 does not count to plain, once. Would have with lateness, or amend_within there, >= 25s
        l.ndjson:7, to rule patient, begins a run: 1970-01-01T00:16:45.000Z down for 5s; announced at once (1 observation)
        l.ndjson:8 is late: it happened at 1970-01-01T00:16:45.000Z and arrived 26s after that; lateness is 5s. A record of the same source, id and time was there before, at l.ndjson:7
        l.ndjson:9, to rule plain, begins a run: 1970-01-01T00:17:20.000Z down, pending until 00:17:30.000Z; hold is 10s (1 observation)
        l.ndjson:9, to rule patient, begins a run: 1970-01-01T00:17:20.000Z down since then; announced at once (1 observation)
        l.ndjson:9, to rule once, begins a run: 1970-01-01T00:17:20.000Z down since then; announced at once (1 observation)
    "#]].assert_eq(&said_of(&rules, log, 1..=9));
    // An id is one of its source, and may be there several times.
    let place = Place::new();
    place.write("r.yaml", rules.as_bytes());
    place.write("l.ndjson", log.trim_start().as_bytes());
    let explain = "explain --rules r.yaml --log l.ndjson";
    let by_id = place.run(&format!("{explain} --source p --id 5")).said;
    let places: Vec<_> = by_id.lines().filter_map(|line| line.split([' ', ',']).next()).collect();
    assert_eq!(places[0], "l.ndjson:7", "{by_id}");
    for place in ["l.ndjson:7", "l.ndjson:8", "l.ndjson:10"] {
        assert!(places.contains(&place), "{by_id}");
    }
    assert!(!places.contains(&"l.ndjson:9"), "{by_id}");
    let drawn = place.run(&format!("{explain} h"));
    let header: String = drawn
        .said
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n");
    expect![[r#"
        1 of its records later than 5s, and used to amend: patient
        1 of its records not used: later than 5s
        2 of its records not used: there before"#]]
    .assert_eq(&header);
    // What would have counted does, and one millisecond more does not.
    for within in ["2s", "2001ms"] {
        place
            .write("r.yaml", rules.replace("within: 15s", &format!("within: {within}")).as_bytes());
        let ran = place.run(&format!("{explain} h --json"));
        let told: serde_json::Value = serde_json::from_str(&ran.said).expect("it is JSON");
        let once = told["rules"].as_array().expect("rules").last().expect("a rule");
        let lines: Vec<_> = once["repeated"].as_array().into_iter().flatten().collect();
        let counted = !lines.iter().any(|seen| seen["line"] == 5);
        assert_eq!(counted, within == "2s", "{within}: {lines:?}");
    }
}

/// Each rule that passes a record over is named, and what could not be judged, with the reason.
#[test]
fn conditions_that_do_not_hold_or_cannot_be_judged_are_told() {
    let rules = source("source: { field: s }")
        + r#"signals:
  h:
    labels: { tier: data.tier, all: data.list }
    value: data.ms
    states: { up: data.x == 1, down: data.x > 1 }
  cold:
    where: data.temp < 10
    states: { cold: 'true' }
  alone:
    where: type == "alone"
    states: { here: 'true' }
rules:
  - { name: large, signal: h, where: labels.tier == "large" && data.at > 5 }
  - { name: all, signal: h }
  - { name: odd, signal: h, where: data.odd }
  - { name: by, signal: h, dedup: { by: [data.list], within: 1s } }
  - { name: chill, signal: cold }
"#;
    let log = r#"
{"at":10,"e":"h","s":"p","x":1,"tier":"large","ms":3,"temp":1,"odd":true}
{"at":11,"e":"h","s":"p","x":1,"tier":"small","ms":"slow","temp":12,"odd":"yes"}
{"at":12,"e":"h","s":"p","x":"1","tier":"small","temp":"cold"}
{"at":13,"e":"h","s":"p","x":1,"list":[1],"temp":12,"odd":false}
{"at":14,"e":"h","s":"p","x":0,"temp":12}
{"at":15,"e":"k","s":"p","x":0}
{"at":16,"s":"p","x":1}
{"at":17,"e":"k","s":"p","x":2
{"at":4000000,"e":"k","s":"p","x":2}
"#;
    expect![[r#"
        l.ndjson:1, to rule large, begins a run: 1970-01-01T00:00:10.000Z up since then; announced at once (1 observation)
        l.ndjson:1, to rule all, begins a run: 1970-01-01T00:00:10.000Z up since then; announced at once (3 observations)
        l.ndjson:1, to rule odd, begins a run: 1970-01-01T00:00:10.000Z up since then; announced at once (1 observation)
        l.ndjson:1, to rule by, begins a run: 1970-01-01T00:00:10.000Z up since then; announced at once (3 observations)
        l.ndjson:1, to rule chill, begins a run: 1970-01-01T00:00:10.000Z cold since then; announced at once (1 observation)
        l.ndjson:2, to rule all, is observation 2 of a run: 1970-01-01T00:00:10.000Z up since then; announced at once (3 observations)
        l.ndjson:2, to rule by, is observation 2 of a run: 1970-01-01T00:00:10.000Z up since then; announced at once (3 observations)
        l.ndjson:2, to rule large, does not count: its `where` does not hold, `labels.tier == "large" && data.at > 5`
        l.ndjson:2, to rule odd, does not count: its `where` does not hold, `data.odd`
        l.ndjson:2: the value of signal h, `data.ms`, could not be judged: it comes to the string "slow", which is no number
        l.ndjson:2: the `where` of rule odd, `data.odd`, could not be judged: data.odd is the string "yes"
        l.ndjson:3 is unmatched: a record of `h`, but what could not be judged does not hold
        l.ndjson:3: state down of signal h, `data.x > 1`, could not be judged: data.x is the string "1"
        l.ndjson:3: the `where` of signal cold, `data.temp < 10`, could not be judged: data.temp is the string "cold"
        l.ndjson:4, to rule all, is observation 3 of a run: 1970-01-01T00:00:10.000Z up since then; announced at once (3 observations)
        l.ndjson:4, to rule by, is observation 3 of a run: 1970-01-01T00:00:10.000Z up since then; announced at once (3 observations)
        l.ndjson:4, to rule large, does not count: its `where` does not hold, `labels.tier == "large" && data.at > 5`
        l.ndjson:4, to rule odd, does not count: its `where` does not hold, `data.odd`
        l.ndjson:4: label all of signal h, `data.list`, could not be judged: it errs, or comes to an array or object
        l.ndjson:4: the `dedup` of rule by, `data.list`, could not be judged: a value errs, or comes to an array or object
        l.ndjson:5 is unmatched: a record of `h`, but no state of its signal fits
        l.ndjson:6 is unmatched: a record of `k`, but what could not be judged does not hold
        l.ndjson:6: the `where` of signal cold, `data.temp < 10`, could not be judged: there is no data.temp
        l.ndjson:7 is unmatched: it has no subject
        l.ndjson:8 is a dead letter: EOF while parsing an object (column 30)
        l.ndjson:9 is a dead letter: arrival 1970-02-16T07:06:40.000Z is more than 30d (max_advance) ahead of 1970-01-01T00:00:16.000Z, the clock so far (column 1)
    "#]].assert_eq(&said_of(&rules, log, 1..=9));
    // As many as are counted.
    let place = Place::new();
    place.write("rules.yaml", rules.as_bytes());
    let outputs = place.replay(log.as_bytes());
    let errors = outputs.summary["condition_errors"].as_u64().expect("a number");
    let told = said_of(&rules, log, 1..=9).matches("could not be judged: ").count();
    assert_eq!(told as u64, errors);
    assert!(errors > 5, "{errors}");
}

/// As JSON, whatever became of it, and the same as in `fates.ndjson`.
#[test]
fn every_record_is_told_as_json() {
    let place = Place::new();
    place.write("pods.yaml", PODS_RULES.as_bytes());
    place.write("pods.ndjson", PODS.trim_start().as_bytes());
    for (rules, log) in [("rules.yaml", "probes.ndjson"), ("pods.yaml", "pods.ndjson")] {
        place.run(&format!("replay --rules {rules} --log {log} --out out --fates")).assert(0, &[]);
        let fates = std::fs::read(place.path("out/fates.ndjson")).expect("there are fates");
        let fates = super::common::rows(&fates);
        let lines: std::collections::BTreeSet<u64> =
            fates.iter().map(|row| row["line"].as_u64().expect("a line")).collect();
        for line in lines {
            let of_line = fates.iter().filter(|row| row["line"] == line);
            let ran = place
                .run(&format!("explain --rules {rules} --log {log} --json --record {log}:{line}"));
            ran.assert(0, &[]);
            let told: serde_json::Value = serde_json::from_str(&ran.said).expect("it is JSON");
            let mut told = told["records"].as_array().expect("records").clone();
            for record in &mut told {
                let members = record.as_object_mut().expect("an object");
                let said = members.remove("sentences").expect("sentences");
                assert!(said[0].as_str().is_some_and(|one| one.starts_with(log)), "{said}");
                members
                    .retain(|name, _| !["first", "passed_over", "not_judged"].contains(&&**name));
            }
            assert_eq!(told, of_line.cloned().collect::<Vec<_>>(), "{log}:{line}");
        }
    }
}

/// A log is found however it is written.
#[test]
fn a_log_may_be_written_otherwise() {
    let place = Place::new();
    let dir = place.path("").canonicalize().expect("the folder is there");
    let whole = dir.join("probes.ndjson");
    let said = |log: &str, record: &str| {
        let ran = place.run(&format!("explain --rules rules.yaml --log {log} --record {record}:4"));
        ran.assert(0, &[]);
        ran.said.replace(log, "LOG")
    };
    let wanted = said("probes.ndjson", "probes.ndjson");
    let whole = whole.to_str().expect("it is text");
    for (log, record) in [("./probes.ndjson", "probes.ndjson"), ("probes.ndjson", whole)] {
        assert_eq!(said(log, record), wanted, "{log}, {record}");
    }
    assert_eq!(said(whole, "./probes.ndjson"), wanted);
    let ran = place.run("explain --rules rules.yaml --log probes.ndjson --record other.ndjson:1");
    ran.assert(1, &["other.ndjson is none of the logs: probes.ndjson"]);
}

/// What a log says is shown; it is not obeyed.
#[test]
fn a_terminal_obeys_no_log() {
    let rules = source("source: { const: z }")
        + "signals: { a: { states: { up: data.x == 1 } } }\n\
           rules: [{ name: r, signal: a, where: data.x == 1 && data.w != \"q\" }]\n";
    let log = "{\"at\":1000,\"e\":\"\\u001b[31mred\",\"x\":1,\"w\":\"\\u001b[2J\"}\n\
               {\"at\":1001,\"e\":\"\\u001b[31mred\",\"x\":\"\\u009b\"}\n\
               {\"at\":1002,\"e\":\"\\u001b[31mred\",\"x\":1,\"w\":\"q\"}\n";
    let mut said = said_of(&rules, log, 1..=3);
    let place = Place::new();
    place.write("r.yaml", rules.as_bytes());
    place.write("l.ndjson", log.as_bytes());
    let mut command = place.command("explain --rules r.yaml --log l.ndjson");
    said += &super::ran(command.arg("\u{1b}[31mred").output().expect("it can be run")).said;
    let mut command = place.command("explain --rules r.yaml --log l.ndjson");
    let nobody = super::ran(command.arg("\u{1b}[32mgreen").output().expect("it can be run"));
    said += &nobody.complained;
    assert!(said.contains("\\u{1b}[31mred") && said.contains("\\u{1b}[32mgreen"), "{said:?}");
    assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
}
