//! `limbeck explain`: lanes, sentences, and what cannot be explained.

use expect_test::expect;

use super::Place;

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
        probes.ndjson:6 is a duplicate: the same record was there before
        a dead letter: EOF while parsing a value (column 51)
        probes.ndjson:8, to rule pod-readiness, is observation 3 of a run: 2026-01-01T00:00:30.000Z unready for 45s; announced: it lasted 30s, until 00:01:00.000Z (3 observations)
        probes.ndjson:9, to rule pod-readiness, is observation 2 of a run: 2026-01-01T00:00:30.000Z unready for 45s; announced: it lasted 30s, until 00:01:00.000Z (3 observations)
        probes.ndjson:10, to rule pod-readiness, begins a run: 2026-01-01T00:01:15.000Z ready since then; announced: it lasted 10s, until 00:01:25.000Z (3 observations)
        probes.ndjson:11 is late: it happened at 2026-01-01T00:01:10.000Z and arrived 10s after that; lateness is 5s. Would have been used with lateness >= 10s
        probes.ndjson:12, to rule pod-readiness, begins a run: 2026-01-01T00:01:30.000Z unready for 30s; announced: it lasted 30s, until 00:02:00.000Z (1 observation)
        probes.ndjson:13, to rule pod-readiness, begins a run: 2026-01-01T00:02:00.000Z ready since then; announced: it lasted 10s, until 00:02:10.000Z (2 observations)
        unmatched: a record of `shop/cart-2`, but no signal's conditions hold
        unmatched: a record of `shop/cart-2`, but no signal's conditions hold
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
    place.run(&format!("{logs} --record other.ndjson:1")).assert(1, &["no such record"]);
    place.run(&format!("{logs} --source a --id b")).assert(1, &["no such record"]);
    place.run(&format!("{logs} --record probes.ndjson")).assert(2, &["probes.ndjson:4"]);
    place.run(&format!("{logs} --source a")).assert(2, &["--id"]);
    place.run(logs).assert(2, &["ENTITY"]);
    place.run("explain --rules rules.yaml --log gone.ndjson a").assert(66, &["gone.ndjson"]);
    place.run("explain --rules rules.yaml --log - --record -:1").assert(2, &["standard input"]);
}
