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
    arrival: { field: received, unit: rfc3339 }
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
               arrival     received (rfc3339), or else the event time
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
          7. expiry: after 1h without observations an entity is forgotten
          8. output: episodes of pod-readiness by entity

        rule anything
          1. source probe: JSON objects
               event time  @ts.at (ms)
               arrival     received (rfc3339), or else the event time
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
