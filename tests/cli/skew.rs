//! A clock that is off: what is said of it, what is corrected, and what is explained.

use expect_test::expect;
use serde_json::{Value, json};

use super::Place;
use super::common::rows;
use super::processes::together;

/// A record of the first of January, and when it arrived: minutes, seconds, milliseconds.
fn line(host: &str, number: u64, said: &str, arrived: &str, state: &str) -> String {
    format!(
        r#"{{"id":"{host}-{number}","source":"{host}","type":"probe.readiness","subject":"shop/cart-0","sequence":"{number}","time":"2026-01-01T00:{said}Z","recordedtime":"2026-01-01T00:{arrived}Z","data":{{"state":"{state}"}}}}"#
    ) + "\n"
}

/// Two hosts that see the same pod: `fast` is a minute ahead, loses a record and counts anew.
fn log() -> String {
    [
        line("right", 1, "10:00.000", "10:00.100", "ready"),
        line("fast", 7, "11:05.000", "10:05.050", "ready"),
        line("right", 2, "10:10.000", "10:10.200", "ready"),
        line("fast", 8, "11:15.000", "10:15.080", "ready"),
        line("fast", 10, "11:20.000", "10:20.050", "unready"),
        line("right", 3, "10:25.000", "10:25.200", "unready"),
        line("right", 4, "10:40.000", "10:40.300", "unready"),
        line("fast", 11, "11:55.000", "10:55.500", "unready"),
        line("fast", 11, "11:55.000", "10:55.600", "unready"),
        line("right", 5, "10:58.000", "10:54.000", "ready"),
        line("right", 6, "11:10.000", "11:10.100", "ready"),
    ]
    .concat()
}

const RULES: &str = r#"
version: 1
lateness: 5s
sources: { probe: { format: cloudevents, skew: SKEW } }
signals:
  readiness:
    states:
      ready: data.state == "ready"
      unready: data.state == "unready"
rules: [{ name: pod, signal: readiness, hold: { ready: 10s, unready: 30s } }]
"#;

fn place() -> Place {
    let place = Place::new();
    place.write("hosts.ndjson", log().as_bytes());
    for skew in ["report", "correct"] {
        place.write(&format!("{skew}.yaml"), RULES.replace("SKEW", skew).as_bytes());
    }
    place
}

/// What is said of sources on the terminal.
fn sources(said: &str) -> String {
    said.lines().filter(|line| line.contains("source")).map(|line| line.to_owned() + "\n").collect()
}

#[test]
fn what_is_off_is_said() {
    let place = place();
    let ran = place.run("replay --rules report.yaml --log hosts.ndjson --out out");
    ran.assert(0, &[]);
    expect![[r#"
        source "fast": clock offset -59.950s; 1 sequence number missing
        source "right": 1 arrival before the one ahead
    "#]]
    .assert_eq(&sources(&ran.said));
    let summary = place.outputs("out").summary;
    let fast = json!({
        "from": "probe", "source": "fast", "records": 5, "late": 0, "out_of_order": 0,
        "arrival_regressions": 0, "sequence_gaps": 1, "sequence_restarts": 0,
        "offset_min_ns": -59_950_000_000_i64, "offset_max_ns": -59_950_000_000_i64,
        "corrected": false,
    });
    assert_eq!(summary["sources"][0], fast);
    // What is right is not worth a line.
    place.run("replay --rules rules.yaml --log probes.ndjson --out out").assert(0, &[]);
    assert_eq!(
        sources(&place.run("replay --rules rules.yaml --log probes.ndjson --out out").said),
        ""
    );
}

#[test]
fn of_many_sources_some_are_said() {
    let place = place();
    let minute_ahead = |host: u64| {
        line(&format!("host-{host:02}"), 1, "11:00.000", "10:00.000", "ready")
            + &line(&format!("host-{host:02}"), 2, "11:01.000", "10:01.000", "ready")
    };
    place.write("many.ndjson", (0..10).map(minute_ahead).collect::<String>().as_bytes());
    let ran = place.run("replay --rules report.yaml --log many.ndjson --out out");
    ran.assert(0, &[]);
    let said = sources(&ran.said);
    assert_eq!(said.lines().count(), 9, "{said}");
    assert!(said.ends_with("and 2 more sources: summary.json has all\n"), "{said}");
}

#[test]
fn both_times_are_kept() {
    let place = place();
    let ran = place.run("explain --rules correct.yaml --log hosts.ndjson shop/cart-0");
    ran.assert(0, &[]);
    expect![[r#"
        shop/cart-0, as known at 2026-01-01T00:11:10.100Z
        1 of its records not used: there before

        rule pod on readiness; hold: ready 10s, unready 30s
          observed  r    r    r    r    u    u              u              ur              r
          as said   r         r              u              u                 r      r    r*
          runs      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
          episodes  rrrrrrrrrrrrrrrrrrrruuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuurrrrrrrrrrrrrrrr
                    2026-01-01T00:10:00.100Z                        2026-01-01T00:11:10.100Z
          r ready, u unready, * several; ━ lasted, ╌ held down, ┄ pending
          corrected: -59.950s to +0.100s was added to what was said
          2026-01-01T00:10:00.100Z ready for 19s950ms; announced: it lasted 10s, until 00:10:10.100Z (4 observations)
          2026-01-01T00:10:20.050Z unready for 35s550ms; announced: it lasted 30s, until 00:10:50.050Z (4 observations)
          2026-01-01T00:10:55.600Z ready since then; announced: it lasted 10s, until 00:11:05.600Z (2 observations)
    "#]].assert_eq(&ran.said);
    let record = "explain --rules correct.yaml --log hosts.ndjson --record hosts.ndjson:";
    let said: String = [2, 9, 10].map(|line| place.run(&format!("{record}{line}")).said).concat();
    expect![[r#"
        hosts.ndjson:2 says 2026-01-01T00:11:05.000Z; corrected by -59.950s, 2026-01-01T00:10:05.050Z counts
        hosts.ndjson:2, to rule pod, is observation 2 of a run: 2026-01-01T00:10:00.100Z ready for 19s950ms; announced: it lasted 10s, until 00:10:10.100Z (4 observations)
        hosts.ndjson:9 says 2026-01-01T00:11:55.000Z; corrected by -59.950s, 2026-01-01T00:10:55.050Z counts
        hosts.ndjson:9 is a duplicate: the same record was there before, at hosts.ndjson:8
        hosts.ndjson:10 says 2026-01-01T00:10:58.000Z; corrected by -2.400s, 2026-01-01T00:10:55.600Z counts
        hosts.ndjson:10, to rule pod, begins a run: 2026-01-01T00:10:55.600Z ready since then; announced: it lasted 10s, until 00:11:05.600Z (2 observations)
    "#]].assert_eq(&said);
    let told = place.run("explain --rules correct.yaml --log hosts.ndjson shop/cart-0 --json").said;
    let told: Value = serde_json::from_str(&told).expect("it is JSON");
    let seen = told["rules"][0]["runs"][0]["observations"].as_array().expect("a list");
    let fast = seen.iter().find(|seen| seen["line"] == 2).expect("it is of the first run");
    assert_eq!(fast["raw_time"], "2026-01-01T00:11:05.000Z", "{told}");
    assert_eq!(fast["time"], "2026-01-01T00:10:05.050Z", "{told}");

    let replay = "replay --fates --rules correct.yaml --log hosts.ndjson --out fates";
    place.run(replay).assert(0, &[]);
    let fates = std::fs::read(place.path("fates/fates.ndjson")).expect("fates.ndjson");
    let fates = rows(&fates);
    assert_eq!(fates[1]["time"], fast["time"]);
    assert_eq!(fates[1]["raw_time"], fast["raw_time"]);
}

#[test]
fn a_plan_says_what_is_corrected() {
    let place = place();
    for (skew, times) in
        [("report", "event time  time\n"), ("correct", "event time  time, corrected ")]
    {
        let ran = place.run(&format!("check --plan {skew}.yaml"));
        ran.assert(0, &[]);
        assert!(ran.said.contains(times), "{}", ran.said);
    }
}

#[test]
fn what_skew_is_for_is_checked() {
    let place = place();
    place.write("wrong.yaml", RULES.replace("SKEW", "corect").as_bytes());
    place
        .run("check wrong.yaml")
        .assert(78, &["4:48", "unknown skew `corect`", "did you mean `correct`"]);
}

/// The accounts of several processes add up, and what one corrects the others see.
#[test]
fn several_processes_tell_the_same_of_sources() {
    let place = place();
    let log = String::from_utf8(super::cloudevents_log(6_000)).expect("a log is text");
    for (part, ahead) in [(0, ""), (1, "2026-01-01T01"), (2, "")] {
        let lines = log.lines().skip(part).step_by(3);
        let lines = lines.map(|line| match ahead {
            "" => line.to_owned(),
            _ => line.replacen("\"time\":\"2026-01-01T00", &format!("\"time\":\"{ahead}"), 1),
        });
        let lines: String = lines.map(|line| line + "\n").collect();
        place.write(&format!("{part}.ndjson"), lines.as_bytes());
    }
    let arguments = "--log 0.ndjson 1.ndjson 2.ndjson";
    let replay = format!("replay --rules correct.yaml --out alone {arguments}");
    place.run(&replay).assert(0, &[]);
    let alone = place.outputs("alone");
    assert!(alone.summary["episodes"].as_u64() > Some(50), "{}", alone.summary);
    let offset = &alone.summary["sources"][0]["offset_min_ns"];
    assert!(offset.as_i64() < Some(-3_500_000_000_000), "{}", alone.summary);
    for (processes, workers) in [(2, 1), (3, 2)] {
        let got = together(&place, "correct.yaml", processes, workers, arguments);
        got.assert_equal(&alone, &format!("{processes} processes"));
    }
}
