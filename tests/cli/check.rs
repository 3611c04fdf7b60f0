//! What `check` says of rule files that are right: plans and warnings.

use expect_test::expect;

use super::Place;

#[test]
fn a_plan_shows_every_stage_of_a_rule() {
    let place = Place::new();
    place.write(
        "plan.yaml",
        br#"version: 1
lateness: 5s
expire_after: 1h
sources:
  probe:
    format: json
    time: { field: "`@ts`.at", unit: ms }
    arrival: { field: received, format: "%F %T", zone: "+02:00" }
    subject: { template: "{namespace}/{pod}" }
    source: { const: probe }
    type: { field: kind }
    sequence: { field: seq }
  events:
    format: cloudevents
signals:
  readiness:
    from: probe
    where: |
      type == "readiness"
        && size(data.containers) > 0
    states:
      ready: data.state == "ready"
      unready: "!(data.state == 'ready')"
  anything:
    states: { seen: has(data.x) }
rules:
  - name: pod-readiness
    signal: readiness
    hold: { ready: 1m30s }
    keep: { unready: 5m }
  - name: anything
    signal: anything
    hold: { seen: 1s }
"#,
    );
    let ran = place.run("check --plan plan.yaml");
    ran.assert(0, &[]);
    assert_eq!(ran.complained, "");
    expect![[r#"
        plan.yaml: ok (2 sources, 2 signals, 2 rules)

        rule pod-readiness
          1. source probe: JSON objects
               event time  @ts.at (ms)
               arrival     received (%F %T at +02:00), or else the event time
               subject     "{namespace}/{pod}"
               source      "probe"
               type        kind
               sequence    seq
               duplicates  by content: equal in all but the arrival
          2. signal readiness: records with a subject
               where  type == "readiness" && size(data.containers) > 0 (interpreted)
          3. state: the first that holds; a record without any is unmatched
               ready    data.state == "ready" (native)
               unready  !(data.state == 'ready') (native)
          4. late: what arrives more than 5s after its event time is left out
          5. duplicates: of equal records the first counts, the others are left out
          6. hold: a state counts once it has lasted
               ready    1m30s
               unready  at once
          7. keep: a state lasts so long after it was first missed; a return resets
               unready  5m
          8. expiry: after 1h without observations an entity is forgotten
          9. output: episodes of pod-readiness by entity

        rule anything
          1. source probe: JSON objects
               event time  @ts.at (ms)
               arrival     received (%F %T at +02:00), or else the event time
               subject     "{namespace}/{pod}"
               source      "probe"
               type        kind
               sequence    seq
               duplicates  by content: equal in all but the arrival
          or source events: CloudEvents 1.0 in JSON
               event time  time
               arrival     recordedtime, or else the event time
               duplicates  by id: equal in source, id, event time and subject
          2. signal anything: records with a subject
          3. state: the first that holds; a record without any is unmatched
               seen  has(data.x) (native)
          4. late: what arrives more than 5s after its event time is left out
          5. duplicates: of equal records the first counts, the others are left out
          6. hold: a state counts once it has lasted
               seen  1s
          7. expiry: after 1h without observations an entity is forgotten
          8. output: episodes of anything by entity
    "#]]
    .assert_eq(&ran.said);
    assert_eq!(place.run("check --plan plan.yaml").said, ran.said);
}

#[test]
fn a_plan_shows_where_notifications_go() {
    let place = Place::new();
    let routes = r#"
sinks:
  hook: { webhook: { url: { env: HOOK }, headers: { X-Key: secret, X-Team: { file: team } } } }
  am: { alertmanager: { url: "http://secret:9093", timeout: 5s } }
routes:
  - { match: [state = unready, 'entity !~ "test-.*"'], on: [opened, closed], to: hook }
  - to: am
"#;
    place.write("routes.yaml", format!("{}{routes}", super::READINESS).as_bytes());
    let ran = place.run("check --plan routes.yaml");
    ran.assert(0, &[]);
    let plan = &ran.said[ran.said.find("\nroute").expect("there are routes")..];
    expect_test::expect![[r#"

        route to hook
          1. notifications: of episodes for which all of these hold
               match  state="unready", entity!~"test-.*"
          2. on: what is told
               opened  5s after it is decided, when nothing can change it in time any more
               closed  5s after the end is decided, likewise
          3. webhook: each a CloudEvent, by POST
               url      as the variable HOOK says
               X-Key    as the rule file says
               X-Team   as the file team says
               timeout  10s

        route to am
          1. notifications: of episodes for which all of these hold
               match  everything
          2. on: what is told
               opened      5s after it is decided, when nothing can change it in time any more
               closed      5s after the end is decided, likewise
               correction  at once, of what was told and is no longer so
          3. alertmanager: each an alert, by POST to api/v2/alerts
               resolves itself after  30d
               url      as the rule file says
               timeout  5s
    "#]]
    .assert_eq(plan);
}

#[test]
fn warnings_are_annotated_and_no_failure() {
    let place = Place::new();
    let unused = super::READINESS.replace("hold: { unready: 30s, ready: 10s }", "hold: {}");
    place.write("rules.yaml", unused.as_bytes());
    let ran = place.run("check rules.yaml");
    ran.assert(0, &[]);
    assert_eq!(ran.said, "rules.yaml: ok (1 source, 1 signal, 1 rule)\n");
    expect![[r#"
        warning: the rule `pod-readiness` holds nothing back
          --> rules.yaml:13:11
           |
        13 |   - name: pod-readiness
           |           ^^^^^^^^^^^^^
           |
           = help: every change of state becomes an episode at once; give a state a `hold`

        1 warning

    "#]]
    .assert_eq(&ran.complained);
    // A replay does what it is told.
    let ran = place.run("replay --rules rules.yaml --log probes.ndjson --out out");
    ran.assert(0, &[]);
    assert_eq!(ran.complained, "");
}

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
    let packed = zstd::encode_all(super::PROBES, 1).expect("a Vec takes every write");
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
    let rules = super::FLAT.replace("30s", "5s");
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
    let two = super::FLAT.replace("\nsignals:", "\n  other:\n    format: cloudevents\n\nsignals:");
    place.write("two.yaml", two.as_bytes());
    place.write("flat.ndjson", &super::flat_log(1_000));
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
    let packed = zstd::encode_all(super::PROBES, 1).expect("a Vec takes every write");
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

#[test]
fn a_plan_shows_what_is_tried_and_what_is_silenced() {
    let place = Place::new();
    place.write(
        "plan.yaml",
        br#"version: 1
signals:
  h: { labels: { zone: data.zone }, states: { up: data.up, down: "!data.up" } }
rules:
  - { name: old, version: 1.0.0, signal: h, aggregate: { by: [zone] }, limit: {} }
  - { name: new, version: 1.1.0, signal: h, mode: observe, canary: { share: 0.5%, by: zone, base: old@1.0.0 } }
sinks: { hook: { webhook: { url: http://h } } }
routes: [{ to: hook }]
silences:
  once: { match: [zone = a], from: 2026-03-01T22:00, until: 2026-03-02T02:00:00Z, location: Europe/Berlin }
  lasting: { while: { match: [state = down], equal: [zone] } }
windows:
  nights:
    time_intervals:
      - { times: [{ start_time: "22:00", end_time: "24:00" }], location: Europe/Berlin }
      - { weekdays: [sunday] }
"#,
    );
    let ran = place.run("check --plan plan.yaml");
    ran.assert(0, &[]);
    let plan = ran.said.split("rule old").nth(1).expect("there is a plan");
    let shown: Vec<_> =
        plan.lines().filter(|line| !line.trim_start().starts_with("source")).collect();
    expect![[r#"
         1.0.0
          1. source cloudevents: CloudEvents 1.0 in JSON
               event time  time
               arrival     recordedtime, or else the event time
               duplicates  by id: equal in source, id, event time and subject
          2. signal h: records with a subject
          3. state: the first that holds; a record without any is unmatched
               up    data.up (native)
               down  !data.up (native)
          4. carried to episodes: labels and reading of the record they begin with
               zone  data.zone
          5. canary: 0.5% of zone are seen by new, and not here
          6. late: what arrives more than 0s after its event time is left out
          7. duplicates: of equal records the first counts, the others are left out
          8. hold: a state counts once it has lasted
               up    at once
               down  at once
          9. expiry: after 7d without observations an entity is forgotten
          10. output: episodes of old by entity
          11. aggregate: from 10 entities within 10m on, similar ones are told as one
               similar  equal in state, zone
          12. limit: of entities, each, 25 are told as opened, and one more every 5m; others wait

        rule new 1.1.0
          1. source cloudevents: CloudEvents 1.0 in JSON
               event time  time
               arrival     recordedtime, or else the event time
               duplicates  by id: equal in source, id, event time and subject
          2. signal h: records with a subject
          3. state: the first that holds; a record without any is unmatched
               up    data.up (native)
               down  !data.up (native)
          4. carried to episodes: labels and reading of the record they begin with
               zone  data.zone
          5. canary: it sees 0.5% of zone; the rest is seen by old
          6. late: what arrives more than 0s after its event time is left out
          7. duplicates: of equal records the first counts, the others are left out
          8. hold: a state counts once it has lasted
               up    at once
               down  at once
          9. expiry: after 7d without observations an entity is forgotten
          10. output: episodes of new by entity
          11. observe: nobody is told of them

        route to hook
          1. notifications: of episodes for which all of these hold
               match  everything
          2. on: what is told
               opened      0s after it is decided, when nothing can change it in time any more
               closed      0s after the end is decided, likewise
               correction  at once, of what was told and is no longer so
          3. webhook: each a CloudEvent, by POST
               url      as the rule file says
               timeout  10s

        silence once
          1. waits to be opened: an episode for which all of these hold
               match  zone="a"
          2. once
               from   2026-03-01T21:00:00.000Z
               until  2026-03-02T02:00:00.000Z
          3. then it is opened, unless it is over by then; what was opened is closed as ever

        silence lasting
          1. waits to be opened: an episode for which all of these hold
               match  everything
          2. while an episode holds for which all of these hold
               match  state="down"
               equal  zone
          3. then it is opened, unless it is over by then; what was opened is closed as ever

        window nights
          1. waits to be opened: an episode for which all of these hold
               match  everything
          2. again and again: in 2 time intervals
                 times 22:00-24:00; in Europe/Berlin
                 weekdays sunday; in UTC
          3. then it is opened, unless it is over by then; what was opened is closed as ever"#]]
    .assert_eq(&shown.join("\n"));
}

#[test]
fn a_file_that_breaks_an_earlier_one_is_refused() {
    let place = Place::new();
    let file = |version: &str, states: &str| {
        format!(
            "version: 1\nsignals:\n  h:\n    schema: {{ name: s, version: {version} }}\n    \
             states: {{ {states} }}\nrules: [{{ name: r, signal: h }}]\n"
        )
    };
    place.write("old.yaml", file("1.2.0", "up: data.up, down: data.down").as_bytes());
    place.write("new.yaml", file("1.3.0", "up: data.up, dead: data.down").as_bytes());
    place.write("major.yaml", file("2.0.0", "up: data.up, dead: data.down").as_bytes());
    place.write("wrong.yaml", b"version: 2\n");
    let ran = place.run("check new.yaml --against old.yaml");
    ran.assert(78, &[]);
    expect![[r#"
        error: s/1.3.0 has no state `down`, which s/1.2.0 had
         --> new.yaml:4:33
          |
        4 |     schema: { name: s, version: 1.3.0 }
          |                                 ^^^^^
          |
          = help: keep it, or raise the major version

        1 error

    "#]]
    .assert_eq(&ran.complained);
    assert_eq!(ran.said, "");
    place.run("check major.yaml --against old.yaml").assert(0, &[]);
    place.run("check old.yaml --against old.yaml").assert(0, &[]);
    place.run("check old.yaml --against wrong.yaml").assert(78, &["wrong.yaml:1"]);
    place.run("check old.yaml --against no.yaml").assert(66, &["no.yaml"]);
    place.run("check old.yaml new.yaml --against old.yaml").assert(2, &["only one"]);
}
