//! `limbeck explain`: who was told of an entity, and what kept others from it.

use expect_test::expect;

use super::Place;

const RULES: &str = r#"version: 1
lateness: 5s
signals:
  health: { where: type == "probe", labels: { zone: data.zone }, states: { up: data.up, down: "!data.up" } }
rules:
  - { name: outage, signal: health, aggregate: { by: [zone], from: 2, within: 1m } }
  - { name: slow, signal: health, limit: { burst: 1, every: 1h, by: zone } }
sinks: { pager: { webhook: { url: http://localhost/ } } }
routes: [{ match: [state = down], to: pager }]
silences:
  told: { events: { where: type == "silence" } }
"#;

/// Of hosts that go down, each at a second; one is silenced by a record.
fn place() -> Place {
    let place = Place::new();
    place.write("told.yaml", RULES.as_bytes());
    let record = |at: u32, kind: &str, subject: &str, data: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{subject}-{at}","source":"s","type":"{kind}","subject":"{subject}","time":"2026-01-01T{:02}:{:02}:{:02}Z","data":{data}}}"#,
            at / 3_600,
            at / 60 % 60,
            at % 60
        ) + "\n"
    };
    let silence = r#"{"id":"4711","matchers":["entity = d"],"startsAt":"2026-01-01T00:00:00Z","endsAt":"2026-01-01T00:10:00Z"}"#;
    let down = r#"{"up":false,"zone":"n"}"#;
    let log = [
        record(0, "silence", "ops", silence),
        record(10, "probe", "a", down),
        record(20, "probe", "b", down),
        record(30, "probe", "c", down),
        record(40, "probe", "d", down),
        record(300, "probe", "e", r#"{"up":false,"zone":"s"}"#),
        record(310, "probe", "c", r#"{"up":true,"zone":"n"}"#),
        record(400, "probe", "f", r#"{"up":false,"zone":"s"}"#),
        record(4_000, "probe", "g", r#"{"up":true,"zone":"n"}"#),
    ];
    place.write("told.ndjson", log.concat().as_bytes());
    place
}

#[test]
fn who_was_told_is_explained_with_what_kept_others_from_it() {
    let place = place();
    let told = |entity: &str| {
        let ran = place.run(&format!("explain --rules told.yaml --log told.ndjson {entity}"));
        ran.assert(0, &[]);
        let lines = ran.said.lines().filter(|line| line.contains("told ")).map(str::to_owned);
        lines.collect::<Vec<_>>().join("\n")
    };
    let all = ["a", "b", "c", "d", "f"].map(|entity| format!("{entity}: {}\n", told(entity)));
    expect![[r#"
        a: told pager of outage: down since 2026-01-01T00:00:10.000Z opened at 2026-01-01T00:00:15.000Z
        told pager of slow: down since 2026-01-01T00:00:10.000Z opened at 2026-01-01T00:00:15.000Z
        b: not told pager of outage: down since 2026-01-01T00:00:20.000Z opened at 2026-01-01T00:00:25.000Z: withheld by aggregate outage: one of {zone="n"} since 2026-01-01T00:00:25.000Z: 2 entities or more within 1m; within 10s or less it is told by itself
        not told pager of slow: down since 2026-01-01T00:00:20.000Z opened at 2026-01-01T00:00:25.000Z: withheld by limit slow: 1 at once and one more every 1h were told; with a burst of more it is told at once
        told pager of slow: down since 2026-01-01T00:00:20.000Z opened at 2026-01-01T01:00:15.000Z
        c: not told pager of outage: down since 2026-01-01T00:00:30.000Z opened at 2026-01-01T00:00:35.000Z: withheld by aggregate outage: one of {zone="n"} since 2026-01-01T00:00:25.000Z: 2 entities or more within 1m; within 10s or less it is told by itself
        not told pager of slow: down since 2026-01-01T00:00:30.000Z opened at 2026-01-01T00:00:35.000Z: withheld by limit slow: 1 at once and one more every 1h were told; with a burst of more it is told at once
        d: not told pager of outage: down since 2026-01-01T00:00:40.000Z opened at 2026-01-01T00:00:45.000Z: withheld by silence told (4711): as records say; without it only another silence, a group or the limit could withhold it
        not told pager of slow: down since 2026-01-01T00:00:40.000Z opened at 2026-01-01T00:00:45.000Z: withheld by silence told (4711): as records say; without it only another silence, a group or the limit could withhold it
        told pager of outage: down since 2026-01-01T00:00:40.000Z opened at 2026-01-01T00:10:00.000Z
        f: told pager of outage: down since 2026-01-01T00:06:40.000Z opened at 2026-01-01T00:06:45.000Z
        not told pager of slow: down since 2026-01-01T00:06:40.000Z opened at 2026-01-01T00:06:45.000Z: withheld by limit slow: 1 at once and one more every 1h were told; with a burst of more it is told at once
        told pager of slow: down since 2026-01-01T00:06:40.000Z opened at 2026-01-01T01:05:05.000Z
    "#]].assert_eq(&all.concat());
}

#[test]
fn json_tells_it_too() {
    let place = place();
    let ran = place.run("explain --rules told.yaml --log told.ndjson d --json");
    let explained: serde_json::Value =
        serde_json::from_str(&ran.assert(0, &[]).said).expect("it is JSON");
    let withheld = &explained["told"][0]["withheld"];
    assert_eq!((&withheld["by"], &withheld["id"]), (&"silence".into(), &"4711".into()), "{ran:?}");
}

#[test]
fn a_replay_says_which_silence_of_the_log_it_was() {
    let place = place();
    place.run("replay --rules told.yaml --log told.ndjson --out out").assert(0, &[]);
    let told = std::fs::read_to_string(place.path("out").join("notifications.ndjson"));
    let told = told.expect("there are routes");
    let kept = r#"{"to":[],"withheld":{"by":"silence","name":"told","id":"4711","from":["pager"]}"#;
    assert!(told.contains(kept), "{told}");
    assert!(told.contains(r#""group":{"count":1,"open":1,"first":"b","last":"b"}"#), "{told}");
    assert!(told.contains(r#""group":{"count":2,"open":2,"first":"b","last":"c"}"#), "{told}");
    // A log that was imported, and other workers, tell the same.
    place.run("import --rules told.yaml told.ndjson --log log").assert(0, &[]);
    for log in ["told.ndjson --workers 3", "log"] {
        let line = format!("replay --rules told.yaml --out again --log {log}");
        place.run(&line).assert(0, &[]);
        let again = std::fs::read_to_string(place.path("again").join("notifications.ndjson"));
        assert_eq!(again.expect("there are routes"), told, "{log}");
    }
}
