//! `limbeck check --sample`: rules tried on the beginning of a log.

use expect_test::expect;

use super::Place;

#[test]
fn a_sample_shows_what_matches() {
    let place = Place::new();
    let ran = place.run("check rules.yaml --sample probes.ndjson");
    ran.assert(0, &[]);
    assert!(ran.complained.contains("hold 10s is shorter"), "{ran:?}");
    expect![[r#"
        rules.yaml: ok (1 source, 1 signal, 1 rule)

        sample probes.ndjson: 19 records
                    1  unreadable, first line 7, column 51: EOF while parsing a value
                    1  late

        signal readiness: 16 of 18 records
          ready              8
          unready            8
          usually 20s between observations of an entity
    "#]]
    .assert_eq(&ran.said);
    let packed = zstd::encode_all(crate::PROBES, 1).expect("a Vec takes every write");
    place.write("probes.zst", &packed);
    let of_packed = place.run("check rules.yaml --sample probes.zst").said;
    assert_eq!(of_packed.replace("probes.zst", "probes.ndjson"), ran.said);
}

#[test]
fn a_sample_warns_of_what_does_not_fit() {
    let place = Place::new();
    place.write(
        "bad.yaml",
        br#"version: 1
signals:
  readiness:
    where: type == "probe.readiness" && !(has(data.muted) && data.muted)
    states:
      up: data.stat == "ready"
      ready: data.state in ["ready", "Ready", "ok"]
      unready: data.state == "unready"
      dead: data.state == "dead"
  load:
    where: type == "probe.load"
    states: { high: data.load == "high" }
rules:
  - { name: readiness, signal: readiness, hold: { ready: 10s, unready: 1s, dead: 1h } }
  - { name: load, signal: load, hold: { high: 1s } }
"#,
    );
    let ran = place.run("check bad.yaml --sample probes.ndjson");
    ran.assert(0, &[]);
    expect![[r#"
        warning: 11 of 13 records of probes.ndjson are late: they come more than 0s after they happened
         --> bad.yaml:1:1
          |
        1 | version: 1
          | ^
          |
          = help: with `lateness: 10s` 999 of 1,000 are in time; where clocks are wrong, `skew: correct` may do

        warning: no record of the sample has `data.stat`
         --> bad.yaml:6:11
          |
        6 |       up: data.stat == "ready"
          |           ^^^^^^^^^
          |
          = help: did you mean `state`?

        warning: the state `up` is in no `hold`, as others are: it becomes an episode at once
         --> bad.yaml:6:11
          |
        6 |       up: data.stat == "ready"
          |           ^^^^^^^^^^^^^^^^^^^^
          |
          = help: add it to that of `readiness`; as `up: 0s` if you mean it

        warning: no record of the sample is of this state
         --> bad.yaml:9:13
          |
        9 |       dead: data.state == "dead"
          |             ^^^^^^^^^^^^^^^^^^^^
          |
          = help: right if it is rare; otherwise it is spelt in another way

        warning: no record of the sample is of the signal `load`
          --> bad.yaml:10:3
           |
        10 |   load:
           |   ^^^^
           |
           = help: its conditions ask for something else, or the sample is of another kind

        warning: hold 10s is shorter than the usual interval of 20s between observations: one observation decides
          --> bad.yaml:14:58
           |
        14 |   - { name: readiness, signal: readiness, hold: { ready: 10s, unready: 1s, dead: 1h } }
           |                                                          ^^^
           |
           = help: to see `ready` twice it takes more than 20s

        warning: hold 1s is shorter than the usual interval of 20s between observations: one observation decides
          --> bad.yaml:14:72
           |
        14 |   - { name: readiness, signal: readiness, hold: { ready: 10s, unready: 1s, dead: 1h } }
           |                                                                        ^^
           |
           = help: to see `unready` twice it takes more than 20s

        7 warnings

    "#]].assert_eq(&ran.complained);
}

/// Where records come when something happens, no hold is too short for the next.
#[test]
fn a_hold_is_short_beside_what_is_due_alone() {
    let place = Place::new();
    let rules = crate::FLAT.replace("30s", "5s");
    assert!(rules.contains("5s"), "{rules}");
    place.write("rules.yaml", rules.as_bytes());
    let log = |seconds: &dyn Fn(u64) -> u64, state: &dyn Fn(u64) -> bool| {
        let line = |number: u64| {
            let state = if state(number) { "ready" } else { "unready" };
            format!(
                "{{\"ts\":{},\"entity\":\"a\",\"source\":\"p\",\"kind\":\"readiness\",\
                 \"state\":\"{state}\"}}\n",
                1_767_225_600_000 + seconds(number) * 1_000
            )
        };
        (0..60).map(line).collect::<String>()
    };
    let (even, bursts) = (|number: u64| number * 20, |number: u64| number / 4 * 600 + number % 4);
    for (seconds, state, warned) in [
        (
            &even as &dyn Fn(u64) -> u64,
            &(|number: u64| !number.is_multiple_of(4)) as &dyn Fn(u64) -> bool,
            true,
        ),
        (&even, &|number| !number.is_multiple_of(2), false),
        (&bursts, &|number| !number.is_multiple_of(16), false),
    ] {
        place.write("log", log(seconds, state).as_bytes());
        let ran = place.run("check rules.yaml --sample log");
        ran.assert(0, &[]);
        assert_eq!(ran.complained.contains("shorter than the usual"), warned, "{ran:?}");
    }
}

#[test]
fn samples_are_read_by_their_sources() {
    let place = Place::new();
    let two = crate::FLAT.replace("\nsignals:", "\n  other:\n    format: cloudevents\n\nsignals:");
    place.write("two.yaml", two.as_bytes());
    place.write("flat.ndjson", &crate::flat_log(1_000));
    let ran = place.run("check two.yaml --sample probe=flat.ndjson --sample other=probes.ndjson");
    ran.assert(0, &["no signal comes from the source `other`"]);
    expect![[r#"
        two.yaml: ok (2 sources, 1 signal, 1 rule)

        sample probe=flat.ndjson: 1,000 records

        sample other=probes.ndjson: 19 records
                    1  unreadable, first line 7, column 51: EOF while parsing a value

        signal readiness: 1,000 of 1,000 records
          ready            847
          unready          153
          usually 5m58s between observations of an entity
    "#]]
    .assert_eq(&ran.said);
    // Of a signal whose source has no sample nothing is known.
    let ran = place.run("check two.yaml --sample other=probes.ndjson");
    ran.assert(0, &[]);
    assert!(!ran.complained.contains("of the sample"), "{ran:?}");
}

#[test]
fn a_sample_that_cannot_be_read_is_said_to_be() {
    let place = Place::new();
    place.run("check rules.yaml --sample missing").assert(66, &["missing"]);
    place.run("check rules.yaml flat.yaml --sample probes.ndjson").assert(2, &["--sample"]);
    place.run("check rules.yaml --sample a=b=c").assert(2, &["`a`"]);
    place.run("check rules.yaml --sample - --sample -").assert(2, &["`-`"]);
    let packed = zstd::encode_all(crate::PROBES, 1).expect("a Vec takes every write");
    place.write("cut.zst", &packed[..packed.len() / 2]);
    let ran = place.run("check rules.yaml --sample cut.zst");
    ran.assert(65, &["cut.zst", "truncated"]);
    assert!(ran.said.contains("sample cut.zst: "), "{ran:?}");
}

/// The messages of warnings.
fn warnings(complained: &str) -> Vec<&str> {
    complained.lines().filter_map(|line| line.strip_prefix("warning: ")).collect()
}

/// Two hosts, one of which says when a record arrived.
const HOSTS: &str = r#"version: 1
lateness: 5s
sources:
  probe:
    format: json
    time: { field: ts, unit: s }
    arrival: { field: seen, unit: s }
    subject: { field: host }
    source: { const: probe }
    type: { const: t }
    sequence: { field: n }
    id: { field: id }
signals:
  health:
    labels: { zone: data.zone }
    value: data.ms
    states: { up: data.state == "up", down: data.state == "down" }
rules:
  - name: r
    signal: health
    where: labels.zone == "a"
    dedup: { by: [data.started], within: 1s }
"#;

fn line(ts: u64, host: &str, more: &str) -> String {
    format!("{{\"ts\":{ts},\"host\":\"{host}\",\"state\":\"up\"{more}}}\n")
}

const GOOD: &str = r#","seen":1001,"n":1,"id":"x","zone":"a","ms":1,"started":1"#;

#[test]
fn names_that_no_record_has_are_warned_of() {
    let place = Place::new();
    let rules = HOSTS;
    place.write("hosts.yaml", rules.as_bytes());
    place.write("log", line(1_000, "h", &GOOD.replace("zone", "zome")).as_bytes());
    let ran = place.run("check hosts.yaml --sample log");
    assert_eq!(
        warnings(&ran.complained),
        [
            "no record of the sample has `data.zone`",
            "no record of the sample is of this state",
            "the rule `r` holds nothing back",
            "`where` holds for no record of the sample: `r` sees none",
        ]
    );
    assert!(ran.complained.contains("did you mean `zome`?"), "{ran:?}");
    place.write("log", line(1_000, "h", ",\"strted\":1").as_bytes());
    let ran = place.run("check hosts.yaml --sample log");
    assert_eq!(
        warnings(&ran.complained),
        [
            "no record of the sample has `seen`: all count as having arrived when they happened",
            "no record of the sample has `n`: those of one event time have no order of their own",
            "no record of the sample has `id`: they are told apart by what they say",
            "no record of the sample has `data.zone`",
            "no record of the sample has `data.ms`",
            "no record of the sample is of this state",
            "the rule `r` holds nothing back",
            "`where` holds for no record of the sample: `r` sees none",
            "no record of the sample has `data.started`: all are equal in it to `dedup`",
        ]
    );
    let subject =
        rules.replace("subject: { field: host }", "subject: { template: '{host}/{hots}' }");
    place.write("hosts.yaml", subject.as_bytes());
    let ran = place.run("check hosts.yaml --sample log");
    ran.assert(
        0,
        &["no record of the sample has `hots`: all are of no entity", "did you mean `host`?"],
    );
    assert!(ran.said.contains(" 1  without a subject"), "{ran:?}");
}

/// What a sample says of arrivals is what a replay makes of them.
#[test]
fn a_sample_judges_arrivals_as_a_replay_does() {
    let place = Place::new();
    // Every tenth is early by a minute, and then the clock jumps for two records.
    let time = |n: u64| if n % 10 == 9 { 1_000 + n - 60 } else { 1_000 + n };
    let mut log: String = (0..100).map(|n| line(time(n), &format!("h{n}"), GOOD)).collect();
    log.push_str(&line(9_000_000, "h", GOOD));
    log.push_str(&line(9_000_001, "h", GOOD));
    log.push_str(&line(1_100, "h", &GOOD.replace("1001", "9000002")));
    place.write("log", log.as_bytes());
    let without = HOSTS.replace("    arrival: { field: seen, unit: s }\n", "");
    for rules in [without.clone(), HOSTS.to_owned(), without + "max_advance: 1h\n"] {
        place.write("hosts.yaml", rules.as_bytes());
        place.run("replay --rules hosts.yaml --log log --out out").assert(0, &[]);
        let summary = place.outputs("out").summary;
        let ran = place.run("check hosts.yaml --sample log");
        let said = |count: u64, what: &str| {
            let row = format!("{count:>13}  {what}");
            assert_eq!(ran.said.contains(&row), count > 0, "{row:?}: {ran:?}");
        };
        said(summary["late"].as_u64().expect("a count"), "late");
        said(summary["dead_letters"].as_u64().expect("a count"), "dead letters for their arrival");
        ran.assert(0, &["are late: they come more than", "are dead letters, the first in line"]);
    }
    // With the lateness that is named one of a thousand is late at most.
    let rules = HOSTS.replace("    arrival: { field: seen, unit: s }\n", "");
    place.write("hosts.yaml", rules.as_bytes());
    place.run("check hosts.yaml --sample log").assert(0, &["with `lateness: 59s` 999 of 1,000"]);
    place.write("hosts.yaml", rules.replace("lateness: 5s", "lateness: 59s").as_bytes());
    let ran = place.run("check hosts.yaml --sample log");
    assert!(!ran.complained.contains("late"), "{ran:?}");
}

/// Every condition and value that a replay could not judge, and why.
#[test]
fn a_sample_counts_the_errors_of_a_replay() {
    let place = Place::new();
    let rules = HOSTS
        .replace(
            "zone: data.zone",
            "zone: '\"a\"', n: data.n + 1, list: data.list, by: 1 / data.zero",
        )
        .replace("value: data.ms", "value: data.word")
        .replace("data.state == \"up\"", "data.n > 1")
        .replace("data.state == \"down\"", "data.gone == 1")
        .replace("[data.started]", "[data.list, data.word + 1]");
    place.write("hosts.yaml", rules.as_bytes());
    let more = |n: &str| format!(",\"n\":{n},\"list\":[1],\"word\":\"w\",\"zero\":0");
    let mut log = line(1_000, "h", &more("5")) + &line(1_001, "h", &more("\"5\""));
    log.push_str(&line(1_002, "h", &format!("{},\"gone\":1", more("1"))));
    place.write("log", log.as_bytes());
    let ran = place.run("check hosts.yaml --sample log");
    place.run("replay --rules hosts.yaml --log log --out out").assert(0, &[]);
    let errors = place.outputs("out").summary["condition_errors"].as_u64().expect("a count");
    assert!(
        ran.said.contains(&format!(" {errors}  conditions that could not")),
        "{errors}: {ran:?}"
    );
    let told: Vec<_> = warnings(&ran.complained)
        .into_iter()
        .filter(|warning| warning.starts_with("this "))
        .collect();
    assert_eq!(
        told,
        [
            "this comes to nothing of use on 2 of 2 records of the sample, first in line 1: it comes to a list, neither text nor a number",
            "this comes to nothing of use on 2 of 2 records of the sample, first in line 1: it divides by zero",
            "this comes to nothing of use on 2 of 2 records of the sample, first in line 1: \"w\" is no number",
            "this cannot be judged on 1 of 3 records of the sample, first in line 2: `>` means nothing for text and a number",
            "this cannot be judged on 1 of 2 records of the sample, first in line 2: the record has no `gone`",
            "this comes to nothing of use on 2 of 2 records of the sample, first in line 1: it comes to a list, neither text nor a number",
            "this comes to nothing of use on 2 of 2 records of the sample, first in line 1: `+` means nothing for text and a number",
        ]
    );
}

#[test]
fn a_log_that_gives_nothing_is_warned_of() {
    let place = Place::new();
    place.write("empty", b"\n");
    place.write("other", b"a,b\n1,2\n");
    let ran = place.run("check rules.yaml --sample empty --sample other --sample probes.ndjson");
    ran.assert(0, &[]);
    assert_eq!(
        warnings(&ran.complained)[..2],
        [
            "empty has no records",
            "2 of 2 records of other cannot be read, the first in line 1: expected value",
        ]
    );
    assert_eq!(ran.complained.matches("cannot be read").count(), 1, "{ran:?}");
}

/// A state may last longer than `expire_after`, but only where it is observed again in time.
#[test]
fn a_hold_that_nothing_outlives_is_warned_of() {
    let place = Place::new();
    let rules = HOSTS.replace(
        "    where: labels.zone == \"a\"\n",
        "    hold: { up: 10m }\n    expire_after: 1m\n",
    );
    place.write("hosts.yaml", rules.as_bytes());
    for (seconds, warned) in [(300, true), (50, false)] {
        let log: String = (0..20).map(|n| line(1_000 + n * seconds, "h", "")).collect();
        place.write("log", log.as_bytes());
        let ran = place.run("check hosts.yaml --sample log");
        let found = ran.complained.contains(
            "hold 10m is longer than expire_after 1m, and it is usually 5m to the next observation: `up` never counts",
        );
        assert_eq!(found, warned, "{ran:?}");
    }
}
