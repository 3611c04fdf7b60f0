//! Faults that will last, as people see them: in the plan, explained, and measured by a backtest.

use expect_test::expect;
use serde_json::{Value, json};

use super::Place;

const RULES: &str = r#"
version: 1
lateness: 5s
signals:
  health: { labels: { zone: data.zone }, states: { up: data.up, down: "!data.up" } }
rules:
  - name: outage
    signal: health
    faults: [down]
    hold: { down: 30s }
    persistence: { by: zone, prior: 1, horizons: [1h], announce: p_lasts("1m") > 0.9 }
"#;

/// Two long faults of one host, one that is told of early, one that is over soon, and one of another host.
const CHANGES: [(&str, u32, bool); 11] = [
    ("a", 0, true),
    ("a", 60, false),
    ("a", 180, true),
    ("a", 240, false),
    ("a", 360, true),
    ("a", 420, false),
    ("a", 430, true),
    ("b", 440, true),
    ("b", 450, false),
    ("b", 520, true),
    ("a", 600, true),
];

fn place() -> Place {
    let place = Place::new();
    place.write("rules.yaml", RULES.as_bytes());
    let lines = CHANGES.iter().enumerate().map(|(id, (entity, second, up))| {
        let time = format!("2026-01-01T00:{:02}:{:02}Z", second / 60, second % 60);
        let record = json!({
            "specversion": "1.0", "id": id.to_string(), "source": "/probe", "type": "probe",
            "subject": entity, "time": time, "data": { "up": up, "zone": "n" },
        });
        format!("{record}\n")
    });
    place.write("probes.ndjson", lines.collect::<String>().as_bytes());
    place
}

#[test]
fn the_plan_says_what_is_learned_of_whom() {
    let ran = place().run("check --plan rules.yaml");
    ran.assert(0, &[]);
    let from = ran.said.find("output:").expect("there is a plan");
    expect![[r#"
        output: episodes of outage by entity
          10. persistence: how likely faults are to last for 1m, 1h
               faults      down
               learned of  the past faults of each entity, and 1 as those of its group: zone; for 90d
               told early  p_lasts("1m") > 0.9
    "#]].assert_eq(&ran.said[from..]);
}

#[test]
fn it_is_explained_by_the_numbers_that_decided() {
    let place = place();
    let ran = place.run("explain --rules rules.yaml --log probes.ndjson a");
    ran.assert(0, &[]);
    let sentences: Vec<_> =
        ran.said.lines().filter(|line| line.contains("p_lasts")).map(str::trim).collect();
    expect![[r#"
        down since 2026-01-01T00:01:00.000Z: not told early: p_lasts("1m") is 0.500 at the age of 20s: of past faults as old, 0 of 0 of the entity lasted, and 0 of 0 of its group, which stands for 1; p_lasts("1h") is 0.500 at the age of 20s: of past faults as old, 0 of 0 of the entity lasted, and 0 of 0 of its group, which stands for 1; with 2 more of the entity that lasted it would have been
        down since 2026-01-01T00:04:00.000Z: not told early: p_lasts("1m") is 0.833 at the age of 20s: of past faults as old, 1 of 1 of the entity lasted, and 1 of 1 of its group, which stands for 1; p_lasts("1h") is 0.167 at the age of 20s: of past faults as old, 0 of 1 of the entity lasted, and 0 of 1 of its group, which stands for 1; with one more of the entity that lasted it would have been
        down since 2026-01-01T00:07:00.000Z: told early, at 2026-01-01T00:07:00.000Z: p_lasts("1m") is 0.917 at the age of 0s: of past faults as old, 2 of 2 of the entity lasted, and 2 of 2 of its group, which stands for 1; p_lasts("1h") is 0.083 at the age of 0s: of past faults as old, 0 of 2 of the entity lasted, and 0 of 2 of its group, which stands for 1; else nobody would have been told of it so far"#]].assert_eq(&sentences.join("\n"));
    let ran = place.run("explain --rules rules.yaml --log probes.ndjson b");
    let sentences: Vec<_> =
        ran.said.lines().filter(|line| line.contains("p_lasts")).map(str::trim).collect();
    expect![[r#"down since 2026-01-01T00:07:30.000Z: not told early: p_lasts("1m") is 0.750 at the age of 20s: of past faults as old, 0 of 0 of the entity lasted, and 2 of 2 of its group, which stands for 1; p_lasts("1h") is 0.250 at the age of 20s: of past faults as old, 0 of 0 of the entity lasted, and 0 of 2 of its group, which stands for 1; with 2 more of the entity that lasted it would have been"#]].assert_eq(&sentences.join("\n"));
    let ran = place.run("explain --rules rules.yaml --log probes.ndjson a --json");
    let told: Value = serde_json::from_str(&ran.said).expect("it is JSON");
    let fault = &told["rules"][0]["faults"][2];
    assert_eq!((&fault["state"], &fault["decided"]), (&json!("down"), &Value::Null), "{told}");
    assert_eq!(fault["announced"], "2026-01-01T00:07:00.000Z", "{told}");
    assert_eq!(
        fault["latched"]["lasts"][0]["entity"],
        json!({ "faults": 2, "lasted": 2 }),
        "{told}"
    );
}

#[test]
fn of_a_fault_that_was_over_before_it_was_known_nothing_was_expected() {
    let place = place();
    let lines = [(0, 0, true), (10, 14, false), (13, 14, true)].map(|(second, arrival, up)| {
        let time = |second| format!("2026-01-01T00:00:{second:02}Z");
        let record = json!({
            "specversion": "1.0", "id": second.to_string(), "source": "/probe", "type": "probe",
            "subject": "c", "time": time(second), "recordedtime": time(arrival),
            "data": { "up": up, "zone": "n" },
        });
        format!("{record}\n")
    });
    place.write("late.ndjson", lines.concat().as_bytes());
    let explained = |at: &str| {
        place.run(&format!("explain --rules rules.yaml --log late.ndjson c --at {at}")).said
    };
    let over = "down since 2026-01-01T00:00:10.000Z: it was over when it became known: nothing was expected of it";
    for at in ["2026-01-01T00:00:14Z", "2026-01-01T00:05:00Z"] {
        let said = explained(at);
        assert!(said.contains(over), "{said}");
    }
}

#[test]
fn a_backtest_of_one_rule_file_measures_what_it_expects() {
    let place = place();
    let ran = place.run("backtest --rules rules.yaml --log probes.ndjson --out one");
    ran.assert(0, &[]);
    expect![[r#"
        A rules.yaml

        rule outage: p_lasts("1m")

        age  faults  lasted  unknown  mean p   Brier  of base rate
        0s        4       3        0  0.7125  0.3195        0.1875
        1s        4       3        0  0.7125  0.3195        0.1875
        2s        4       3        0  0.7125  0.3195        0.1875
        5s        4       3        0  0.7125  0.3195        0.1875
        10s       3       3        0  0.6444  0.1459        0.0000
        20s       3       3        0  0.6944  0.1134        0.0000
        30s       3       3        0  0.6944  0.1134        0.0000
        all      25      21        0  0.7000  0.2492        0.1344

        p from  faults  mean p  lasted
        0.5000       7  0.5000  1.0000
        0.6000       5  0.6000  1.0000
        0.7000       2  0.7500  1.0000
        0.8000       7  0.8333  1.0000
        0.9000       4  0.9167  0.0000

        calibration error 0.4333

        rule outage: p_lasts("1h")

        age  faults  lasted  unknown  mean p   Brier  of base rate
        0s        4       0        0  0.2375  0.0812        0.0000
        1s        4       0        0  0.2375  0.0812        0.0000
        2s        4       0        0  0.2375  0.0812        0.0000
        5s        4       0        0  0.2375  0.0812        0.0000
        10s       3       0        0  0.2889  0.1059        0.0000
        20s       3       0        0  0.3056  0.1134        0.0000
        30s       3       0        0  0.3056  0.1134        0.0000
        1m        3       0        0  0.3056  0.1134        0.0000
        all      28       0        0  0.2649  0.0942        0.0000

        p from  faults  mean p  lasted
        0.0000       4  0.0833  0.0000
        0.1000       8  0.1667  0.0000
        0.2000       8  0.2188  0.0000
        0.5000       8  0.5000  0.0000

        calibration error 0.2649
    "#]]
    .assert_eq(&ran.said);
    place.assert_holds("one", &["summary.json"]);
    let summary = std::fs::read(place.path("one/summary.json")).expect("a summary");
    let summary: Value = serde_json::from_slice(&summary).expect("it is JSON");
    assert_eq!(summary["persistence"][0]["horizon_ns"], 60_000_000_000_i64, "{summary}");
    assert_eq!(summary["complete"], true, "{summary}");
    let none = RULES.split("    persistence").next().expect("there is something before");
    place.write("none.yaml", none.replace("    faults: [down]\n", "").as_bytes());
    place
        .run("backtest --rules none.yaml --log probes.ndjson --out none")
        .assert(2, &["no rule has `persistence`", "--against B"]);
    place.run("backtest --rules rules.yaml --log no.ndjson --out none").assert(66, &["no.ndjson"]);
}

#[test]
fn notifications_say_what_was_latched() {
    let place = place();
    let routes = "sinks: { s: { webhook: { url: http://localhost/ } } }\nroutes: [{ to: s, match: [state = down] }]\n";
    place.write("routed.yaml", format!("{RULES}{routes}").as_bytes());
    place.run("replay --rules routed.yaml --log probes.ndjson --out out").assert(0, &[]);
    let told = std::fs::read(place.path("out/notifications.ndjson")).expect("there are routes");
    let told = super::common::rows(&told);
    let early = told.iter().map(|row| &row["notification"]["data"]["episode"]["data"]);
    let early: Vec<_> = early.filter(|episode| episode["decided"].is_null()).collect();
    assert_eq!(early.len(), 2, "{told:#?}");
    expect![[r#"{"age":"0s","announced":"2026-01-01T00:07:00.000Z","lasts":[{"entity":{"faults":2,"lasted":2},"for":"1m","group":{"faults":2,"lasted":2},"p":0.9166666666666666},{"entity":{"faults":2,"lasted":0},"for":"1h","group":{"faults":2,"lasted":0},"p":0.08333333333333333}]}"#]].assert_eq(&early[0]["persistence"].to_string());
    assert_eq!(
        (&early[1]["until"], &early[1]["persistence"]),
        (&json!("2026-01-01T00:07:10.000Z"), &early[0]["persistence"])
    );
}
