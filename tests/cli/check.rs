//! What `check` says of rule files that are right: plans and warnings.

use expect_test::expect;

use super::Place;

mod samples;

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
    let gone = file("1.3.0", "up: data.up").replace("name: s", "name: t");
    let gone = gone.replace("  h:", "  g:").replace("signal: h", "signal: g");
    place.write("gone.yaml", gone.as_bytes());
    let ran = place.run("check gone.yaml --against old.yaml");
    ran.assert(78, &[]);
    expect![[r#"
        error: the signal `h` is gone, and all its states
         --> gone.yaml:3:3
          |
        3 |   g:
          |   ^
          |
          = help: keep it, or give what takes its place the schema s and another major version

        1 error

    "#]]
    .assert_eq(&ran.complained);
    place.run("check major.yaml --against old.yaml").assert(0, &[]);
    place.run("check old.yaml --against old.yaml").assert(0, &[]);
    place.run("check old.yaml --against wrong.yaml").assert(78, &["wrong.yaml:1"]);
    place.run("check old.yaml --against no.yaml").assert(66, &["no.yaml"]);
    place.run("check old.yaml new.yaml --against old.yaml").assert(2, &["only one"]);
}
