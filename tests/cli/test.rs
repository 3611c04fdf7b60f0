//! `limbeck test` and `limbeck backtest`: exit codes, messages, reports.

use super::Place;

const CASES: &str = r#"rules: rules.yaml
cases:
  - name: a blip does not count
    series: { cart-0: "0s ready, 20s unready, 28s ready" }
    until: 2m
    expect:
      - { at: 10s, episodes: [{ state: ready, since: 0s, decided: 10s }] }
      - { episodes: [{ state: ready, since: 0s }], counts: { used: 3 } }
  - name: an outage counts
    series: { cart-0: "0s ready, 20s unready" }
    until: 2m
    expect: { episodes: { contains: { state: unready, decided: 50s } } }
"#;

#[test]
fn cases_that_hold_pass() {
    let place = Place::new();
    place.write("cases.yaml", CASES.as_bytes());
    let ran = place.run("test cases.yaml");
    assert_eq!(ran.assert(0, &[]).said, "cases.yaml: 2 passed\n");
    let ran = place.run("test cases.yaml --run blip");
    assert_eq!(ran.assert(0, &[]).said, "cases.yaml: 1 passed, 1 not run\n");
    place.run("test cases.yaml --run nothing").assert(2, &["no case", "nothing"]);
    place.run("test cases.yaml --run (").assert(2, &["regex"]);
}

#[test]
fn a_case_that_fails_says_what_is_otherwise_and_draws_it() {
    let place = Place::new();
    let cases =
        CASES.replace("decided: 10s", "decided: 11s").replace("used: 3", "used: 4").replace(
            "[{ state: ready, since: 0s }]",
            "[{ state: ready, since: 0s, until: 20s }, { state: unready, since: 20s }]",
        );
    place.write("cases.yaml", cases.as_bytes());
    let ran = place.run("test cases.yaml --junit report.xml");
    ran.assert(1, &[]);
    expect_test::expect![[r#"
        FAILED cases.yaml:7: a blip does not count
          at 10s, line 7: episodes are others than expected
          - ready since 0s decided 11s until open   (line 7)
          + cart-0 ready since 0s until open decided 10s   (decided is 10s, not 11s)
          at the end, line 8: episodes are others than expected
          - ready since 0s until 20s   (line 8)
          + cart-0 ready since 0s until open   (until is open, not 20s)
          - unready since 20s until open   (line 8)
          at the end, line 8: used is 3, not 4
          cart-0, rule pod-readiness, as known at 10s
            observed  r
            runs      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
            episodes  rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
                      0s                                                                   10s
            r ready, u unready, * several; ━ lasted, ╌ held down, ┄ pending
          cart-0, rule pod-readiness, as known at the end
            observed  r          u    r
            runs      ━━━━━━━━━━━╌╌╌╌╌━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
            episodes  rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
                      0s                                                                    2m
            r ready, u unready, * several; ━ lasted, ╌ held down, ┄ pending

        cases.yaml: 1 passed, 1 failed
    "#]]
    .assert_eq(&ran.said);
    let report = std::fs::read_to_string(place.path("report.xml")).expect("there is a report");
    for part in [
        r#"<testsuites name="limbeck test" tests="2" skipped="0" failures="1" errors="0""#,
        r#"<testcase name="an outage counts" classname="cases.yaml" file="cases.yaml""#,
        r#"<failure message="cases.yaml:7""#,
        "decided is 10s, not 11s",
    ] {
        assert!(report.contains(part), "no {part:?} in\n{report}");
    }
    place.run("test cases.yaml --junit no/such/report.xml").assert(1, &["cannot be written"]);
}

#[test]
fn what_was_not_expected_is_told_of_each_view() {
    let place = Place::new();
    place.write(
        "cases.yaml",
        br#"rules: rules.yaml
cases:
  - name: one
    series: { cart-0: "0s ready, 20s unready, 28s ready, again unready @ 29s" }
    expect:
      - fates: { contains: { fate: blip, count: 2 }, none: { state: ready } }
      - { at: 5m, episodes: { none: { state: ready } }, deliveries: [{ kind: opened, at: 10s }] }
  - name: two
    records: |
      nonsense
    expect: { dead_letters: [{ line: 1, reason: something else }] }
"#,
    );
    let ran = place.run("test cases.yaml");
    ran.assert(1, &[]);
    for told in [
        "at the end, line 6: 2 times a fate was expected, and is there 1 times: blip\n  + 20s cart-0 unready blip by hold\n",
        "at the end, line 6: a fate was not expected: ready\n  + 0s cart-0 ready first\n  + 28s cart-0 ready repeat\n",
        "at 5m, line 7: an episode was not expected: ready\n  + cart-0 ready since 0s until open\n",
        "at 5m, line 7: deliveries are others than expected\n  - opened at 10s   (line 7)\n",
        "at the end, line 11: dead_letters are others than expected\n  - line 1 reason something else   (line 11)\n",
        "cases.yaml: 0 passed, 2 failed\n",
    ] {
        assert!(ran.said.contains(told), "no {told:?} in\n{}", ran.said);
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_and_nothing_is_run() {
    let place = Place::new();
    place.write("good.yaml", CASES.as_bytes());
    place.write(
        "bad.yaml",
        CASES.replace("ready, 20s", "redy, 20s").replace("since", "sinse").as_bytes(),
    );
    place.write("worse.yaml", CASES.replace("rules.yaml", "no.yaml").as_bytes());
    place.write("broken.yaml", b"version: 1\nsignals: {}\nrules: []\n");
    place.write("worst.yaml", CASES.replace("rules.yaml", "broken.yaml").as_bytes());
    place.write("bytes.yaml", b"rules: \xff\n");
    let ran = place.run("test good.yaml bad.yaml worse.yaml worst.yaml bytes.yaml");
    ran.assert(
        78,
        &[
            "bad.yaml:4:27",
            "unknown state `redy`",
            "bad.yaml:7:47",
            "bad.yaml:8:38",
            "did you mean `since`?",
            "worse.yaml:1:8",
            "the rule file cannot be read: no.yaml",
            "broken.yaml:2:10",
            "`signals` needs at least one entry",
            "bytes.yaml:1:8",
        ],
    );
    assert_eq!(ran.said, "");
    place.run("test missing.yaml").assert(66, &["missing.yaml"]);
}

/// A name that is mistyped where nothing shall be would hold for ever.
#[test]
fn what_no_row_can_say_is_refused() {
    let place = Place::new();
    for (expected, told) in [
        ("fates: { none: { fate: blp } }", "unknown fate `blp`: did you mean `blip`?"),
        ("fates: { none: { by: hodl } }", "unknown kind `hodl`: did you mean `hold`?"),
        ("fates: { none: { by: aggregate } }", "unknown kind `aggregate`: known: `dedup`, `rate`"),
        ("fates: { none: { would: dampin } }", "the only kind is `flap_damping`"),
        ("fates: { none: { as: redy } }", "unknown state `redy`: did you mean `ready`?"),
        ("fates: { none: { reason: no subjec } }", "did you mean `no subject`?"),
        ("withheld: { none: { by: silnce } }", "unknown kind `silnce`: did you mean `silence`?"),
        ("withheld: { none: { by: hold } }", "known: `silence`, `window`, `observe`"),
        ("withheld: { none: { name: readines } }", "unknown rule or silence `readines`"),
        ("episodes: { none: { reason: expird } }", "did you mean `expired`?"),
        ("episodes: { none: { mode: obsrve } }", "did you mean `observe`?"),
        ("episodes: { none: { labels: { zz: b } } }", "unknown label `zz`"),
        ("episodes: { none: { annotations: { zz: b } } }", "unknown annotation `zz`"),
        ("episodes: { none: { minority: { w: redy } } }", "unknown state `redy`"),
        ("counts: { suppressed: { pod-readiness: { hodl: 0 } } }", "did you mean `hold`?"),
        ("counts: { fates: { pod-readiness: { pendin: 0 } } }", "did you mean `pending`?"),
        ("counts: { withheld: { silnce: { x: 0 } } }", "did you mean `silence`?"),
        ("counts: { withheld: { observe: { x: 0 } } }", "unknown rule or silence `x`"),
    ] {
        let cases = format!(
            "rules: rules.yaml\ncases:\n  - name: one\n    series: {{ cart-0: 0s ready }}\n    \
             expect: {{ {expected} }}\n"
        );
        place.write("cases.yaml", cases.as_bytes());
        let parts: Vec<_> = told.split(": ").collect();
        place.run("test cases.yaml").assert(78, &[&["cases.yaml:5:"], &parts[..]].concat());
    }
    place.write(
        "right.yaml",
        b"rules: rules.yaml\ncases:\n  - name: one\n    records: nonsense\n    expect:\n\
          \x20     - fates: { none: [{ fate: dead-letter, reason: no column }, { by: hold }] }\n\
          \x20     - counts: { withheld: { observe: { pod-readiness: 0 } } }\n",
    );
    place.run("test right.yaml").assert(0, &[]);
}

#[test]
fn nothing_is_expected_only_where_nothing_is_given() {
    let place = Place::new();
    let nothing = "nothing is expected";
    for (expected, errors, told) in [
        ("counts: { usedd: 1 }", 1, "did you mean `used`?"),
        ("counts: { used: many }", 1, "a count is a whole number, not `many`"),
        ("counts: { used: !one 1 }", 1, "YAML tags are not supported"),
        ("counts: 7", 1, "`counts` is a mapping"),
        ("counts: { fates: { pod-readiness: { pendin: 0 } } }", 1, "did you mean `pending`?"),
        ("episodes: { contain: [] }", 2, "write a list of all there are"),
        ("counts: {}", 1, nothing),
        ("counts: { fates: {} }", 1, nothing),
        ("at: 1s", 1, nothing),
        ("at: soon, counts: {}", 2, nothing),
    ] {
        let cases = format!(
            "rules: rules.yaml\ncases:\n  - name: one\n    series: {{ cart-0: 0s ready }}\n    \
             expect: {{ {expected} }}\n"
        );
        place.write("cases.yaml", cases.as_bytes());
        let ran = place.run("test cases.yaml");
        let count = format!("\n{errors} error");
        ran.assert(78, &[told, &count]);
    }
}

/// A rule that sees nothing since a series has no such data passes no test by that.
#[test]
fn what_cannot_be_judged_of_a_series_fails_it() {
    let place = Place::new();
    let case = |series: &str, expected: &str| {
        format!(
            "rules:\n  signals: {{ h: [up, down] }}\n  rules: [{{ name: r, signal: h, where: data.zone == \"a\" }}]\n\
             cases:\n  - name: one\n    series: {{ a: {series} }}\n    expect: {{ episodes: [], {expected} }}\n"
        )
    };
    place.write("cases.yaml", case("\"0s up, 5s down\"", "fates: []").as_bytes());
    let ran = place.run("test cases.yaml");
    ran.assert(1, &[]);
    for told in [
        "conditions could not be judged 2 times\n",
        "- the `where` of rule r, `data.zone == \"a\"`: there is no data.zone\n",
        "as `data` or `labels` of the series",
        "counts: { condition_errors: 2 }",
    ] {
        assert!(ran.said.contains(told), "no {told:?} in\n{}", ran.said);
    }
    let expected = case("\"0s up, 5s down\"", "counts: { condition_errors: 2 }");
    place.write("cases.yaml", expected.as_bytes());
    place.run("test cases.yaml").assert(0, &[]);
    let given = case("{ values: \"0s up\", data: { zone: b } }", "counts: { used: 1 }");
    place.write("cases.yaml", given.as_bytes());
    place.run("test cases.yaml").assert(0, &[]);
}

#[test]
fn a_group_is_named_where_it_may_be() {
    let place = Place::new();
    let names = |group: &str, restricted: &str| {
        format!(
            "rules: rules.yaml\ncases:\n  - name: one\n    series: {{ cart-0: 0s ready }}\n    expect:\n\
             \x20     - {{ withheld: {{ none: {{ group: {group} }} }} }}\n\
             \x20     - {{ entity: '{{}}', {restricted}: [] }}\n"
        )
    };
    place.write("right.yaml", names("'{zone=\"a\"}'", "deliveries").as_bytes());
    place.run("test right.yaml").assert(0, &[]);
    place.write("wrong.yaml", names("cart-0", "episodes").as_bytes());
    let told =
        ["wrong.yaml:6:38", "`cart-0` is no group", "wrong.yaml:7:19", "unknown entity `{}`"];
    place.run("test wrong.yaml").assert(78, &told);
}

#[test]
fn the_schemas_of_both_files_are_printed() {
    let place = Place::new();
    for (line, title) in [("schema", "Limbeck"), ("schema --tests", "Tests of Limbeck's rules")] {
        let ran = place.run(line);
        let schema: serde_json::Value =
            serde_json::from_str(&ran.assert(0, &[]).said).expect("a schema is JSON");
        assert!(schema["title"].as_str().is_some_and(|told| told.contains(title)), "{schema}");
    }
}

#[test]
fn a_backtest_exits_with_what_it_found() {
    let place = Place::new();
    let rules = String::from_utf8(super::READINESS.as_bytes().to_vec()).expect("text");
    place.write("slow.yaml", rules.replace("unready: 30s", "unready: 40s").as_bytes());
    place.write("late.yaml", rules.replace("lateness: 5s", "lateness: 20s").as_bytes());
    place
        .run("backtest --rules rules.yaml --against rules.yaml --log probes.ndjson --out same")
        .assert(0, &[]);
    let ran =
        place.run("backtest --rules rules.yaml --against slow.yaml --log probes.ndjson --out diff");
    ran.assert(1, &[]);
    expect_test::expect![[r#"
        A rules.yaml: 6 episodes
        B slow.yaml: 4 episodes

        signal     state    same  only A  only B  since -  since +  until -  until +  decided -  decided +
        readiness  ready       2       1       0        0        0        0        1          0          0
        readiness  unready     0       1       0        0        0        0        0          0          1
        all                    2       2       0        0        0        0        1          0          1

        2 the same, 2 only in A, 0 only in B, 2 moved (- earlier, + later in B)
    "#]].assert_eq(&ran.said);
    expect_test::expect![[r#"
        {"difference":"moved","entity":"shop/cart-0","signal":"readiness","state":"ready","a":{"id":"67be961cadce6c95d0e69604e6615d71","rule":"pod-readiness","since":"2026-01-01T00:00:00.000Z","until":"2026-01-01T00:01:30.000Z","decided":"2026-01-01T00:00:10.000Z","reason":"changed"},"b":{"id":"67be961cadce6c95d0e69604e6615d71","rule":"pod-readiness","since":"2026-01-01T00:00:00.000Z","until":null,"decided":"2026-01-01T00:00:10.000Z","reason":null},"later_ns":{"until":null}}
        {"difference":"only-a","entity":"shop/cart-0","signal":"readiness","state":"ready","a":{"id":"5cf26df6eb8d58e21949c4d3dbeb5efe","rule":"pod-readiness","since":"2026-01-01T00:02:00.000Z","until":null,"decided":"2026-01-01T00:02:10.000Z","reason":null}}
        {"difference":"only-a","entity":"shop/cart-0","signal":"readiness","state":"unready","a":{"id":"37e7ae5abb87259622562f58510bd387","rule":"pod-readiness","since":"2026-01-01T00:01:30.000Z","until":"2026-01-01T00:02:00.000Z","decided":"2026-01-01T00:02:00.000Z","reason":"changed"}}
        {"difference":"moved","entity":"shop/cart-1","signal":"readiness","state":"unready","a":{"id":"59b04d05d7db39de83e082a0465d8727","rule":"pod-readiness","since":"2026-01-01T00:00:30.000Z","until":"2026-01-01T00:01:15.000Z","decided":"2026-01-01T00:01:00.000Z","reason":"changed"},"b":{"id":"59b04d05d7db39de83e082a0465d8727","rule":"pod-readiness","since":"2026-01-01T00:00:30.000Z","until":"2026-01-01T00:01:15.000Z","decided":"2026-01-01T00:01:10.000Z","reason":"changed"},"later_ns":{"decided":10000000000}}
    "#]].assert_eq(
        &std::fs::read_to_string(place.path("diff/differences.ndjson")).expect("a file"),
    );
    let ran =
        place.run("backtest --rules rules.yaml --against late.yaml --log probes.ndjson --out late");
    ran.assert(1, &[]);
    assert!(ran.said.contains("the log was read twice: their `lateness` differ"), "{ran:?}");
    let twice = "backtest --rules rules.yaml --against late.yaml --log - --out late";
    place.run(twice).assert(2, &["must be read twice", "can be read once"]);
    place.write("bad.yaml", rules.replace("signal: readiness", "signal: redines").as_bytes());
    place
        .run("backtest --rules bad.yaml --against bad.yaml --log probes.ndjson --out no")
        .assert(78, &["bad.yaml", "did you mean `readiness`?"]);
    place
        .run("backtest --rules rules.yaml --against slow.yaml --log no.ndjson --out no")
        .assert(66, &["no.ndjson"]);
}
