use expect_test::{Expect, expect};
use limbeck_operators::machines::smoothing::Smoothing;
use limbeck_operators::machines::threshold::Bound;

use super::super::{Rules, Setting, SinkKind, When};
use crate::model::time::format_rfc3339;

fn errors(text: &str, expected: &Expect) {
    match Rules::parse("rules.yaml", text) {
        Ok(_) => panic!("nothing is wrong"),
        Err(errors) => expected.assert_eq(&errors.to_string()),
    }
}

const GOOD: &str = r#"version: 1
lateness: 10s
signals:
  health:
    schema: { name: host-health, version: 2.1.0 }
    labels:
      zone: data.zone
      tier: 'data.weight >= 10 ? "large" : "small"'
    value: data.ms
    states: { up: data.up, down: "!data.up" }
rules:
  - name: r
    signal: health
    where: labels.zone in ["a", "b"] && labels.tier.startsWith("la")
    dedup: { by: [data.started, size(data.list)], within: 5m }
    hold: { up: 20s }
    keep: { down: 1m30s }
    amend_within: 10m
    expire_after: 1h
    labels: { severity: page, at: "{{ $labels.zone }}" }
    annotations: { summary: "{{ $entity }} is {{$state}}" }
  - { name: plain, signal: health, hold: { down: 1s } }
"#;

#[test]
fn everything_a_rule_can_say_is_read() {
    let rules = Rules::parse("rules.yaml", GOOD).unwrap_or_else(|errors| panic!("{errors}"));
    let health = &rules.signals[0];
    assert_eq!(
        health.schema.as_ref().map(ToString::to_string).as_deref(),
        Some("host-health/2.1.0")
    );
    assert_eq!(
        health.labels.iter().map(|label| &*label.name).collect::<Vec<_>>(),
        ["zone", "tier"]
    );
    assert!(health.has_detail() && rules.has_detail());
    let [rule, plain] = &rules.rules[..] else { panic!("two rules") };
    assert!(rule.filter.as_ref().is_some_and(|filter| filter.is_native()), "{:?}", rule.filter);
    assert_eq!(
        rule.dedup.as_ref().map(|dedup| (dedup.by.len(), dedup.within_ns)),
        Some((2, 300_000_000_000))
    );
    assert_eq!((&rule.keep_ns[..], rule.is_staged()), (&[0, 90_000_000_000][..], true));
    assert_eq!((&plain.keep_ns[..], plain.is_staged()), (&[0, 0][..], false));
    assert_eq!((rule.amend_within_ns, rule.expire_after_ns), (600_000_000_000, 3_600_000_000_000));
    assert_eq!((rule.labels.len(), rule.annotations.len()), (2, 1));
    assert_eq!(
        (plain.amend_within_ns, plain.expire_after_ns),
        (10_000_000_000, 7 * 86_400_000_000_000)
    );
    assert!(plain.filter.is_none() && plain.dedup.is_none());
}

#[test]
fn what_is_done_before_a_hold_is_read() {
    let text = r#"version: 1
signals: { s: { states: { up: data.up, down: "!data.up" } }, t: { states: { unknown: data.x } } }
rules:
  - { name: all, signal: s, faults: [down], absent: { after: 5m }, flap_damping: { max: 30m },
      flap_detection: { weights: nagios }, grace: 2m, hold: { flapping: 1m, unknown: 2m, down: 3m } }
  - { name: none, signal: s, hold: { down: 1s } }
  - { name: own, signal: t, absent: { after: 1s }, hold: { unknown: 4s } }
"#;
    let rules = Rules::parse("rules.yaml", text).unwrap_or_else(|errors| panic!("{errors}"));
    let names = |signal: usize| rules.signals[signal].state_names().cloned().collect::<Vec<_>>();
    assert_eq!(names(0), ["up", "down", "flapping", "unknown"]);
    // What the signal has already is not made.
    assert_eq!(names(1), ["unknown"]);
    let [all, none, own] = &rules.rules[..] else { panic!("three rules") };
    assert_eq!(
        all.hold_ns.iter().map(|hold| hold / 60_000_000_000).collect::<Vec<_>>(),
        [0, 3, 1, 2]
    );
    assert_eq!(none.hold_ns, [0, 1_000_000_000, 0, 0]);
    assert_eq!((&own.hold_ns[..], own.stages.unknown), (&[4_000_000_000][..], 0));
    assert_eq!((all.stages.flapping, all.stages.unknown), (2, 3));
    assert_eq!(all.stages.faults, [false, true, false, false]);
    let damping = all.stages.damping.expect("it is damped");
    assert_eq!((damping.fault, damping.suppress, damping.ceiling()), (1000.0, 2000.0, 3000.0));
    let detection = all.stages.detection.expect("flaps are detected");
    assert_eq!((detection.high, detection.low), (30.0, 20.0));
    assert!(all.is_staged() && own.is_staged() && !none.is_staged());
}

#[test]
fn what_contradicts_itself_before_a_hold_is_pointed_at() {
    errors(
        r#"version: 1
signals: { s: { states: { up: data.up, down: "!data.up" } } }
rules:
  - { name: a, signal: s, grace: 0s, flap_damping: { reuse: 3000, fault: inf, half_life: 0s } }
  - { name: b, signal: s, faults: [down, dwon], flap_damping: { suppress: 20000, test: perhaps } }
  - { name: c, signal: s, faults: [up, down], flap_damping: { reuse: 2500 } }
  - { name: d, signal: s, faults: [down], flap_damping: { suppress: 20000 } }
  - { name: e, signal: s, flap_detection: { weights: nagos, high: 101, low: 20 } }
  - { name: f, signal: s, flap_detection: { high: 20, low: NaN }, absent: { after: 0s } }
  - { name: g, signal: s, flap_detection: { high: 20 }, absent: { after: 1h }, expire_after: 1h }
  - { name: h, signal: s, hold: { flapping: 1s }, keep: { donw: 1s }, absent: 5m }
"#,
        &expect![[r#"
            error: `flap_damping` needs to know which states are faults
             --> rules.yaml:4:13
              |
            4 |   - { name: a, signal: s, grace: 0s, flap_damping: { reuse: 3000, fault: inf, half_life: 0s } }
              |             ^
              |
              = help: add `faults: [STATE]`

            error: `grace` needs to know which states are faults
             --> rules.yaml:4:13
              |
            4 |   - { name: a, signal: s, grace: 0s, flap_damping: { reuse: 3000, fault: inf, half_life: 0s } }
              |             ^
              |
              = help: add `faults: [STATE]`

            error: `grace` must be above zero: no fault would wait
             --> rules.yaml:4:34
              |
            4 |   - { name: a, signal: s, grace: 0s, flap_damping: { reuse: 3000, fault: inf, half_life: 0s } }
              |                                  ^^

            error: `reuse`, 3000, must be below `suppress`, 2000
             --> rules.yaml:4:61
              |
            4 |   - { name: a, signal: s, grace: 0s, flap_damping: { reuse: 3000, fault: inf, half_life: 0s } }
              |                                                             ^^^^
              |
              = help: what is suppressed would be used again at once; lower it, or raise the other

            error: `fault` is a finite number, 0 at least, not `inf`
             --> rules.yaml:4:74
              |
            4 |   - { name: a, signal: s, grace: 0s, flap_damping: { reuse: 3000, fault: inf, half_life: 0s } }
              |                                                                          ^^^

            error: `half_life` must be above zero: nothing would be suppressed
             --> rules.yaml:4:90
              |
            4 |   - { name: a, signal: s, grace: 0s, flap_damping: { reuse: 3000, fault: inf, half_life: 0s } }
              |                                                                                          ^^

            error: unknown state `dwon`
             --> rules.yaml:5:42
              |
            5 |   - { name: b, signal: s, faults: [down, dwon], flap_damping: { suppress: 20000, test: perhaps } }
              |                                          ^^^^
              |
              = help: did you mean `down`?

            error: `test` is true or false, not `perhaps`
             --> rules.yaml:5:88
              |
            5 |   - { name: b, signal: s, faults: [down, dwon], flap_damping: { suppress: 20000, test: perhaps } }
              |                                                                                        ^^^^^^^

            error: every state is a fault: none is left to return to
             --> rules.yaml:6:35
              |
            6 |   - { name: c, signal: s, faults: [up, down], flap_damping: { reuse: 2500 } }
              |                                   ^^^^^^^^^^

            error: `reuse`, 2500, must be below `suppress`, 2000
             --> rules.yaml:6:70
              |
            6 |   - { name: c, signal: s, faults: [up, down], flap_damping: { reuse: 2500 } }
              |                                                                      ^^^^
              |
              = help: what is suppressed would be used again at once; lower it, or raise the other

            error: nothing is ever suppressed: no penalty exceeds 12000.0, and `suppress` is 20000
             --> rules.yaml:7:69
              |
            7 |   - { name: d, signal: s, faults: [down], flap_damping: { suppress: 20000 } }
              |                                                                     ^^^^^
              |
              = help: the ceiling is reuse x 2^(max / half_life): lower `suppress`, or raise `max`

            error: unknown weights `nagos`
             --> rules.yaml:8:54
              |
            8 |   - { name: e, signal: s, flap_detection: { weights: nagos, high: 101, low: 20 } }
              |                                                      ^^^^^
              |
              = help: did you mean `nagios`?

            error: `high` is a share in percent, 100 at most, not 101
             --> rules.yaml:8:67
              |
            8 |   - { name: e, signal: s, flap_detection: { weights: nagos, high: 101, low: 20 } }
              |                                                                   ^^^

            error: `low` is a finite number, 0 at least, not `NaN`
             --> rules.yaml:9:60
              |
            9 |   - { name: f, signal: s, flap_detection: { high: 20, low: NaN }, absent: { after: 0s } }
              |                                                            ^^^

            error: `after` must be above zero: every entity would be absent at once
             --> rules.yaml:9:84
              |
            9 |   - { name: f, signal: s, flap_detection: { high: 20, low: NaN }, absent: { after: 0s } }
              |                                                                                    ^^

            error: `low`, 25, is above `high`, 20
              --> rules.yaml:10:51
               |
            10 |   - { name: g, signal: s, flap_detection: { high: 20 }, absent: { after: 1h }, expire_after: 1h }
               |                                                   ^^
               |
               = help: at `low` or below a flap ends: lower it, or raise the other

            error: an entity is forgotten before it is absent for so long
              --> rules.yaml:10:74
               |
            10 |   - { name: g, signal: s, flap_detection: { high: 20 }, absent: { after: 1h }, expire_after: 1h }
               |                                                                          ^^
               |
               = help: `after` must be below `expire_after`: lower it, or raise the other

            error: unknown state `flapping`
              --> rules.yaml:11:35
               |
            11 |   - { name: h, signal: s, hold: { flapping: 1s }, keep: { donw: 1s }, absent: 5m }
               |                                   ^^^^^^^^
               |
               = help: known: `up`, `down`, `unknown`

            error: unknown state `donw`
              --> rules.yaml:11:59
               |
            11 |   - { name: h, signal: s, hold: { flapping: 1s }, keep: { donw: 1s }, absent: 5m }
               |                                                           ^^^^
               |
               = help: did you mean `down`?

            error: `absent` is a mapping, `key: value`, not text
              --> rules.yaml:11:79
               |
            11 |   - { name: h, signal: s, hold: { flapping: 1s }, keep: { donw: 1s }, absent: 5m }
               |                                                                               ^^

            20 errors
        "#]],
    );
}

#[test]
fn what_is_asked_of_readings_is_read() {
    let text = r#"version: 1
signals: { cpu: { labels: { zone: data.z }, value: data.load } }
rules:
  - { name: one, signal: cpu, above: 0.9, recover: 0.7, hold: { above: 5m } }
  - { name: two, signal: cpu, above: 9e1, below: -10, recover: { below: 5 }, smooth: { half_life: 1m } }
  - { name: rate, signal: cpu, smooth: { rate: 5m }, below: 1, faults: [below], grace: 1m }
"#;
    let rules = Rules::parse("rules.yaml", text).unwrap_or_else(|errors| panic!("{errors}"));
    let cpu = &rules.signals[0];
    assert!(cpu.is_measured() && rules.has_detail());
    let names: Vec<_> = cpu.state_names().cloned().collect();
    assert_eq!(names, ["above", "below", "normal"]);
    let asked = |rule: usize| {
        let of = rules.rules[rule].stages.thresholds.expect("thresholds");
        let bound = |bound: Bound| (bound.at, bound.recover);
        (of.smoothing, of.above.map(bound), of.below.map(bound))
    };
    const MINUTE_NS: i64 = 60_000_000_000;
    assert_eq!(asked(0), (None, Some((0.9, 0.7)), None));
    let mean = Smoothing::Mean { half_life: MINUTE_NS };
    assert_eq!(asked(1), (Some(mean), Some((90.0, 90.0)), Some((-10.0, 5.0))));
    let rate = Smoothing::Rate { over: 5 * MINUTE_NS, per: 1_000_000_000 };
    assert_eq!(asked(2), (Some(rate), None, Some((1.0, 1.0))));
    assert_eq!(rules.rules[0].hold_ns, [5 * MINUTE_NS, 0, 0]);
    assert_eq!(rules.rules[2].stages.levels, [2, 0, 1]);
    assert_eq!(rules.rules[2].stages.faults, [false, true, false]);
}

#[test]
fn what_cannot_be_asked_of_readings_is_pointed_at() {
    errors(
        r#"version: 1
signals:
  cpu: { value: data.load }
  health: { value: data.ms, states: { up: data.up, down: "!data.up" } }
  nothing: { where: data.up }
rules:
  - { name: a, signal: cpu, hold: { above: 1m } }
  - { name: b, signal: health, above: 5 }
  - { name: c, signal: cpu, above: inf, recover: high, smooth: { median: 0s } }
  - { name: d, signal: cpu, above: 0.9, recover: 0.95, hold: { below: 1m } }
  - { name: e, signal: cpu, below: 5, recover: 4, smooth: { median: 5m, rate: 5m } }
  - { name: f, signal: cpu, above: 5, below: 5, recover: 5 }
  - { name: g, signal: cpu, above: 5, recover: { below: 4, abov: 4 }, smooth: { mean: 1m } }
  - { name: h, signal: health, recover: 5, smooth: 5m }
"#,
        &expect![[r#"
            error: a signal needs `states`
             --> rules.yaml:5:3
              |
            5 |   nothing: { where: data.up }
              |   ^^^^^^^
              |
              = help: add `states: { NAME: CONDITION }`

            error: the signal has readings, and the rule asks nothing of them
             --> rules.yaml:7:13
              |
            7 |   - { name: a, signal: cpu, hold: { above: 1m } }
              |             ^
              |
              = help: add `above: 0.9` or `below`, or give the signal `states`

            error: unknown state `above`
             --> rules.yaml:7:37
              |
            7 |   - { name: a, signal: cpu, hold: { above: 1m } }
              |                                     ^^^^^
              |
              = help: no state is defined

            error: the signal has `states`, which say what its records are
             --> rules.yaml:8:39
              |
            8 |   - { name: b, signal: health, above: 5 }
              |                                       ^
              |
              = help: a threshold is for a signal with `value` and without `states`

            error: `above` is a finite number, not `inf`
             --> rules.yaml:9:36
              |
            9 |   - { name: c, signal: cpu, above: inf, recover: high, smooth: { median: 0s } }
              |                                    ^^^

            error: `recover` is a finite number, not `high`
             --> rules.yaml:9:50
              |
            9 |   - { name: c, signal: cpu, above: inf, recover: high, smooth: { median: 0s } }
              |                                                  ^^^^

            error: `median` must be above zero: there is nothing to smooth
             --> rules.yaml:9:74
              |
            9 |   - { name: c, signal: cpu, above: inf, recover: high, smooth: { median: 0s } }
              |                                                                          ^^

            error: what is above 0.9 would have recovered at 0.95
              --> rules.yaml:10:50
               |
            10 |   - { name: d, signal: cpu, above: 0.9, recover: 0.95, hold: { below: 1m } }
               |                                                  ^^^^
               |
               = help: `recover` is not above its threshold: lower it

            error: unknown state `below`
              --> rules.yaml:10:64
               |
            10 |   - { name: d, signal: cpu, above: 0.9, recover: 0.95, hold: { below: 1m } }
               |                                                                ^^^^^
               |
               = help: known: `above`, `normal`

            error: what is below 5 would have recovered at 4
              --> rules.yaml:11:48
               |
            11 |   - { name: e, signal: cpu, below: 5, recover: 4, smooth: { median: 5m, rate: 5m } }
               |                                                ^
               |
               = help: `recover` is not below its threshold: raise it

            error: `smooth` is one of `half_life`, `median` and `rate`
              --> rules.yaml:11:59
               |
            11 |   - { name: e, signal: cpu, below: 5, recover: 4, smooth: { median: 5m, rate: 5m } }
               |                                                           ^^^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: write `smooth: { median: 5m }`

            error: from which threshold is that?
              --> rules.yaml:12:58
               |
            12 |   - { name: f, signal: cpu, above: 5, below: 5, recover: 5 }
               |                                                          ^
               |
               = help: write `recover: { above: 0.7, below: 0.2 }`

            error: there is no threshold `below` to recover from
              --> rules.yaml:13:57
               |
            13 |   - { name: g, signal: cpu, above: 5, recover: { below: 4, abov: 4 }, smooth: { mean: 1m } }
               |                                                         ^
               |
               = help: add `below: 0.9`, or remove it

            error: `recover` has no field `abov`
              --> rules.yaml:13:60
               |
            13 |   - { name: g, signal: cpu, above: 5, recover: { below: 4, abov: 4 }, smooth: { mean: 1m } }
               |                                                            ^^^^
               |
               = help: did you mean `above`?

            error: `smooth` is one of `half_life`, `median` and `rate`
              --> rules.yaml:13:79
               |
            13 |   - { name: g, signal: cpu, above: 5, recover: { below: 4, abov: 4 }, smooth: { mean: 1m } }
               |                                                                               ^^^^^^^^^^^^
               |
               = help: write `smooth: { median: 5m }`

            error: `smooth` has no field `mean`
              --> rules.yaml:13:81
               |
            13 |   - { name: g, signal: cpu, above: 5, recover: { below: 4, abov: 4 }, smooth: { mean: 1m } }
               |                                                                                 ^^^^
               |
               = help: did you mean `median`?

            error: `recover` is of a threshold, and there is none
              --> rules.yaml:14:41
               |
            14 |   - { name: h, signal: health, recover: 5, smooth: 5m }
               |                                         ^
               |
               = help: add `above: 0.9`, or `below`

            error: `smooth` is of a threshold, and there is none
              --> rules.yaml:14:52
               |
            14 |   - { name: h, signal: health, recover: 5, smooth: 5m }
               |                                                    ^^
               |
               = help: add `above: 0.9`, or `below`

            18 errors
        "#]],
    );
}

#[test]
fn what_counts_at_once_is_read_and_what_is_wrong_with_it_pointed_at() {
    let text = |except: &str| {
        format!(
            "version: 1\nsignals: {{ s: {{ labels: {{ tier: data.tier }}, states: {{ up: data.up }} }} }}\n\
             rules:\n  - {{ name: r, signal: s, hold: {{ up: 1m }}, except: {except} }}\n"
        )
    };
    let right = text(r#"severity == "critical" || labels.tier == "gold""#);
    let rules = Rules::parse("rules.yaml", &right).unwrap_or_else(|errors| panic!("{errors}"));
    let rule = &rules.rules[0];
    assert!(rule.except.as_ref().is_some_and(|except| except.is_native()));
    assert!(rules.has_detail() && rule.is_staged());
    errors(
        &text("labels.teir == \"gold\" && data.x = 1"),
        &expect![[r#"
        error: not a valid condition: token recognition error at: '= '
         --> rules.yaml:4:85
          |
        4 |   - { name: r, signal: s, hold: { up: 1m }, except: labels.teir == "gold" && data.x = 1 }
          |                                                                                     ^
          |
          = help: write == to compare

        1 error
    "#]],
    );
}

#[test]
fn what_makes_a_session_is_read_and_what_does_not_is_pointed_at() {
    let text = |rules: &str| {
        format!("version: 1\nsignals: {{ s: {{ states: {{ up: data.up }} }} }}\nrules:\n{rules}")
    };
    let right = text(
        "  - { name: r, signal: s, session: { gap: 1m }, hold: { session: 5s } }\n  \
         - { name: q, signal: s, session: { gap: 1s, least: 7 } }\n",
    );
    let rules = Rules::parse("rules.yaml", &right).unwrap_or_else(|errors| panic!("{errors}"));
    let of = |rule: usize| rules.rules[rule].stages.session.expect("it has sessions");
    assert_eq!((of(0).gap, of(0).least, of(1).least), (60_000_000_000, 2, 7));
    assert_eq!(rules.rules[0].hold_ns, [0, 5_000_000_000]);
    assert!(rules.has_detail());
    errors(
        &text(
            "  - { name: a, signal: s, session: { gap: 0s, least: 0 } }\n  \
             - { name: b, signal: s, session: { least: 2, gab: 1m } }\n  \
             - { name: c, signal: s, session: { gap: 1h }, expire_after: 1h }\n",
        ),
        &expect![[r#"
            error: `gap` must be above zero: no change would be close to another
             --> rules.yaml:4:43
              |
            4 |   - { name: a, signal: s, session: { gap: 0s, least: 0 } }
              |                                           ^^

            error: `least` is a whole number above zero, not `0`
             --> rules.yaml:4:54
              |
            4 |   - { name: a, signal: s, session: { gap: 0s, least: 0 } }
              |                                                      ^

            error: `session` needs `gap`
             --> rules.yaml:5:36
              |
            5 |   - { name: b, signal: s, session: { least: 2, gab: 1m } }
              |                                    ^^^^^^^^^^^^^^^^^^^^^
              |
              = help: add `gap: 5m`

            error: `session` has no field `gab`
             --> rules.yaml:5:48
              |
            5 |   - { name: b, signal: s, session: { least: 2, gab: 1m } }
              |                                                ^^^
              |
              = help: did you mean `gap`?

            error: an entity is forgotten before a session of it is over
             --> rules.yaml:6:43
              |
            6 |   - { name: c, signal: s, session: { gap: 1h }, expire_after: 1h }
              |                                           ^^
              |
              = help: `gap` must be below `expire_after`: lower it, or raise the other

            5 errors
        "#]],
    );
}

#[test]
fn what_labels_and_rules_cannot_say_is_pointed_at() {
    errors(
        r#"version: 1
lateness: 1m
label_values_max: 0
signals:
  health:
    schema: { name: a b, version: v2 }
    labels: { zone: data.zone, __x: data.x, team: datta.team, host: labels.zone }
    value: data.ms +
    states: { up: labels.zone == "a", down: "!data.up" }
  bare: { states: { up: data.up } }
rules:
  - name: r
    signal: health
    where: labels.zon == "a" || has(labels.zone) || labels == 1 || labels["zone"] == "a"
    dedup: { by: [], within: 0s, for: 1m }
    amend_within: 30s
    expire_after: 0s
    labels: { 9x: a }
    annotations: { summary: "{{ $label.zone }} {{ $labels.zome }} {{ humanize $value }}" }
  - { name: b, signal: bare, where: labels.x == "y", dedup: data.id }
"#,
        &expect![[r#"
            error: `label_values_max` is a whole number above zero, not `0`
             --> rules.yaml:3:19
              |
            3 | label_values_max: 0
              |                   ^

            error: `a b` cannot be the name of a schema
             --> rules.yaml:6:21
              |
            6 |     schema: { name: a b, version: v2 }
              |                     ^^^
              |
              = help: at most 128 bytes, without blanks, `=` and backticks

            error: `v2` is not a semantic version: unexpected character 'v' while parsing major version number
             --> rules.yaml:6:35
              |
            6 |     schema: { name: a b, version: v2 }
              |                                   ^^
              |
              = help: write MAJOR.MINOR.PATCH, as 1.2.0

            error: `__x` cannot be the name of a label
             --> rules.yaml:7:32
              |
            7 |     labels: { zone: data.zone, __x: data.x, team: datta.team, host: labels.zone }
              |                                ^^^
              |
              = help: letters, digits and _, no digit first, and not __ first

            error: unknown attribute `datta`
             --> rules.yaml:7:51
              |
            7 |     labels: { zone: data.zone, __x: data.x, team: datta.team, host: labels.zone }
              |                                                   ^^^^^
              |
              = help: did you mean `data`?

            error: labels are known to the `where` of a rule
             --> rules.yaml:7:69
              |
            7 |     labels: { zone: data.zone, __x: data.x, team: datta.team, host: labels.zone }
              |                                                                     ^^^^^^
              |
              = help: ask the record: data.NAME

            error: not a valid condition: mismatched input '<EOF>'
             --> rules.yaml:8:21
              |
            8 |     value: data.ms +
              |                     ^
              |
              = help: conditions are CEL: ==, !=, <, <=, in [..], &&, ||, !, has(data.x), data.x.contains("y")

            error: labels are known to the `where` of a rule
             --> rules.yaml:9:19
              |
            9 |     states: { up: labels.zone == "a", down: "!data.up" }
              |                   ^^^^^^
              |
              = help: ask the record: data.NAME

            error: the signal has no label `zon`
              --> rules.yaml:14:18
               |
            14 |     where: labels.zon == "a" || has(labels.zone) || labels == 1 || labels["zone"] == "a"
               |                  ^
               |
               = help: did you mean `zone`?

            error: a label is always there, and empty where a record has none
              --> rules.yaml:14:36
               |
            14 |     where: labels.zon == "a" || has(labels.zone) || labels == 1 || labels["zone"] == "a"
               |                                    ^
               |
               = help: write labels.zone != ""

            error: `labels` has no value itself
              --> rules.yaml:14:53
               |
            14 |     where: labels.zon == "a" || has(labels.zone) || labels == 1 || labels["zone"] == "a"
               |                                                     ^^^^^^
               |
               = help: ask for one: labels.NAME == "x"

            error: `labels` has no value itself
              --> rules.yaml:14:68
               |
            14 |     where: labels.zon == "a" || has(labels.zone) || labels == 1 || labels["zone"] == "a"
               |                                                                    ^^^^^^
               |
               = help: ask for one: labels.NAME == "x"

            error: `by` needs at least one value
              --> rules.yaml:15:18
               |
            15 |     dedup: { by: [], within: 0s, for: 1m }
               |                  ^^
               |
               = help: name what repeats have in common, as data.started

            error: `within` must be above zero: nothing would be a repeat
              --> rules.yaml:15:30
               |
            15 |     dedup: { by: [], within: 0s, for: 1m }
               |                              ^^

            error: `dedup` has no field `for`
              --> rules.yaml:15:34
               |
            15 |     dedup: { by: [], within: 0s, for: 1m }
               |                                  ^^^
               |
               = help: known: `by`, `within`

            error: `amend_within` is below `lateness`, within which all is amended anyway
              --> rules.yaml:16:19
               |
            16 |     amend_within: 30s
               |                   ^^^
               |
               = help: raise it, or remove it

            error: `expire_after` must be above zero: every record would end what came before
              --> rules.yaml:17:19
               |
            17 |     expire_after: 0s
               |                   ^^

            error: `9x` cannot be the name of a label
              --> rules.yaml:18:15
               |
            18 |     labels: { 9x: a }
               |               ^^
               |
               = help: letters, digits and _, no digit first, and not __ first

            error: `$label.zone` is not known in a template
              --> rules.yaml:19:33
               |
            19 |     annotations: { summary: "{{ $label.zone }} {{ $labels.zome }} {{ humanize $value }}" }
               |                                 ^^^^^^^^^^^
               |
               = help: known are $labels.NAME, $value, $entity, $state, $signal and $rule, each as it is

            error: the signal has no label `zome`
              --> rules.yaml:19:51
               |
            19 |     annotations: { summary: "{{ $label.zone }} {{ $labels.zome }} {{ humanize $value }}" }
               |                                                   ^^^^^^^^^^^^
               |
               = help: did you mean `zone`?

            error: `humanize $value` asks for a function or a pipe, and templates have none
              --> rules.yaml:19:70
               |
            19 |     annotations: { summary: "{{ $label.zone }} {{ $labels.zome }} {{ humanize $value }}" }
               |                                                                      ^^^^^^^^^^^^^^^
               |
               = help: known are $labels.NAME, $value, $entity, $state, $signal and $rule, each as it is

            error: the signal has no label `x`
              --> rules.yaml:20:43
               |
            20 |   - { name: b, signal: bare, where: labels.x == "y", dedup: data.id }
               |                                           ^
               |
               = help: the signal has no labels; add `labels: { x: data.x }` to it

            error: `dedup` is a mapping, `key: value`, not text
              --> rules.yaml:20:61
               |
            20 |   - { name: b, signal: bare, where: labels.x == "y", dedup: data.id }
               |                                                             ^^^^^^^

            23 errors
        "#]],
    );
}

#[test]
fn a_schema_changes_only_as_its_version_says() {
    errors(
        r#"version: 1
signals:
  one: { schema: { name: s, version: 1.0.0 }, states: { up: data.a, down: data.b } }
  lacks: { schema: { name: s, version: 1.1.0 }, states: { up: data.a } }
  other: { schema: { name: s, version: 1.0.0 }, states: { up: data.a, down: data.b, odd: data.c } }
  may: { schema: { name: s, version: 2.0.0 }, states: { on: data.a } }
  adds: { schema: { name: s, version: 2.1.0 }, states: { on: data.a, off: data.b } }
rules: [{ name: r, signal: one, hold: { up: 1s } }]
"#,
        &expect![[r#"
            error: s/1.1.0 has no state `down`, which s/1.0.0 has
             --> rules.yaml:4:40
              |
            4 |   lacks: { schema: { name: s, version: 1.1.0 }, states: { up: data.a } }
              |                                        ^^^^^
              |
              = help: add it, or raise the major version

            error: s/1.1.0 has no state `down`, which s/1.0.0 has
             --> rules.yaml:4:40
              |
            4 |   lacks: { schema: { name: s, version: 1.1.0 }, states: { up: data.a } }
              |                                        ^^^^^
              |
              = help: add it, or raise the major version

            error: another signal of s/1.0.0 has no state `odd`
             --> rules.yaml:5:40
              |
            5 |   other: { schema: { name: s, version: 1.0.0 }, states: { up: data.a, down: data.b, odd: data.c } }
              |                                        ^^^^^
              |
              = help: a version has one set of states: raise the minor version

            3 errors
        "#]],
    );
}

/// Sinks and routes behind the rules of [`GOOD`].
fn with_routes(text: &str) -> String {
    format!("{GOOD}{text}")
}

#[test]
fn sinks_and_routes_are_read() {
    let text = with_routes(
        r#"sinks:
  hook:
    webhook:
      url: { file: /run/url }
      headers: { Authorization: { env: TOKEN }, X-Team: "a b" }
      timeout: 3s
  alerts: { alertmanager: { url: "http://[::1]:9093/am", resolve_after: 7d } }
routes:
  - { match: [rule = r, tier != small, 'zone =~ "a|b"', severity = page], on: [closed], to: hook }
  - to: alerts
"#,
    );
    let rules = Rules::parse("rules.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"));
    let [hook, alerts] = &rules.sinks[..] else { panic!("two sinks") };
    assert_eq!(
        (&*hook.name, hook.kind, hook.timeout_ns),
        ("hook", SinkKind::Webhook, 3_000_000_000)
    );
    assert_eq!(hook.url, Setting::File("/run/url".into()));
    assert_eq!(
        hook.headers,
        [
            ("Authorization".into(), Setting::Env("TOKEN".into())),
            ("X-Team".into(), Setting::Text("a b".to_owned()))
        ]
    );
    let resolve_after_ns = 7 * 86_400_000_000_000;
    assert_eq!(alerts.kind, SinkKind::Alertmanager { resolve_after_ns });
    assert_eq!(alerts.timeout_ns, 10_000_000_000);
    let shown: Vec<_> = rules.routes[0].matchers.iter().map(ToString::to_string).collect();
    assert_eq!(shown, [r#"rule="r""#, r#"tier!="small""#, r#"zone=~"a|b""#, r#"severity="page""#]);
    assert_eq!((rules.routes[0].on, rules.routes[0].to), ([false, true, false], 0));
    assert_eq!((rules.routes[1].on, rules.routes[1].to), ([true; 3], 1));
    let shown = format!("{rules:?}");
    assert!(!shown.contains("a b\"") && !shown.contains("[::1]"), "settings are not shown");
}

#[test]
fn what_sinks_and_routes_cannot_say_is_pointed_at() {
    let text = with_routes(
        r#"sinks:
  a/b: { webhook: { url: http://h } }
  both: { webhook: { url: http://h }, alertmanager: { url: http://h } }
  hook:
    webhook:
      url: https://user:secret@h/
      headers: { Host: h, "a b": c, X-A: "ä", x-a: { env: A, file: B } }
      timeout: 0s
      resolve_after: 1d
  alerts: { alertmanager: { url: 127.0.0.1:9093 } }
routes:
  - { match: [zon = a, state = dwn, rule = x, signal = y, "zone", 'zone =~ "("'], to: hok }
  - { on: [open], too: hook }
  - { on: [], to: hook }
"#,
    );
    errors(
        &text,
        &expect![[r#"
            error: `a/b` cannot be the name of a sink
              --> rules.yaml:24:3
               |
            24 |   a/b: { webhook: { url: http://h } }
               |   ^^^
               |
               = help: letters, digits, _ and -

            error: a sink is either a `webhook` or an `alertmanager`
              --> rules.yaml:25:3
               |
            25 |   both: { webhook: { url: http://h }, alertmanager: { url: http://h } }
               |   ^^^^
               |
               = help: add `webhook: { url: https://... }`

            error: the URL has credentials in it
              --> rules.yaml:28:12
               |
            28 |       url: https://user:secret@h/
               |            ^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: send them in a header

            error: the header `Host` is set by limbeck
              --> rules.yaml:29:18
               |
            29 |       headers: { Host: h, "a b": c, X-A: "ä", x-a: { env: A, file: B } }
               |                  ^^^^
               |
               = help: remove it; add others

            error: `a b` cannot be the name of a header
              --> rules.yaml:29:27
               |
            29 |       headers: { Host: h, "a b": c, X-A: "ä", x-a: { env: A, file: B } }
               |                           ^^^^^
               |
               = help: letters, digits and -

            error: the value of `X-A` cannot be sent in a header
              --> rules.yaml:29:42
               |
            29 |       headers: { Host: h, "a b": c, X-A: "ä", x-a: { env: A, file: B } }
               |                                          ^^^
               |
               = help: letters of ASCII, on one line

            error: the header `x-a` is repeated
              --> rules.yaml:29:47
               |
            29 |       headers: { Host: h, "a b": c, X-A: "ä", x-a: { env: A, file: B } }
               |                                               ^^^
               |
               = help: keep one of the two

            error: `timeout` must be above zero
              --> rules.yaml:30:16
               |
            30 |       timeout: 0s
               |                ^^

            error: `webhook` has no field `resolve_after`
              --> rules.yaml:31:7
               |
            31 |       resolve_after: 1d
               |       ^^^^^^^^^^^^^
               |
               = help: known: `url`, `headers`, `timeout`

            error: `127.0.0.1:9093` is not a URL
              --> rules.yaml:32:34
               |
            32 |   alerts: { alertmanager: { url: 127.0.0.1:9093 } }
               |                                  ^^^^^^^^^^^^^^
               |
               = help: write https://HOST/PATH, or http://

            error: there is no label `zon`, of any signal or rule
              --> rules.yaml:34:15
               |
            34 |   - { match: [zon = a, state = dwn, rule = x, signal = y, "zone", 'zone =~ "("'], to: hok }
               |               ^^^^^^^
               |
               = help: did you mean `zone`?

            error: unknown state `dwn`
              --> rules.yaml:34:24
               |
            34 |   - { match: [zon = a, state = dwn, rule = x, signal = y, "zone", 'zone =~ "("'], to: hok }
               |                        ^^^^^^^^^^^
               |
               = help: did you mean `down`?

            error: unknown rule `x`
              --> rules.yaml:34:37
               |
            34 |   - { match: [zon = a, state = dwn, rule = x, signal = y, "zone", 'zone =~ "("'], to: hok }
               |                                     ^^^^^^^^
               |
               = help: known: `plain`, `r`

            error: unknown signal `y`
              --> rules.yaml:34:47
               |
            34 |   - { match: [zon = a, state = dwn, rule = x, signal = y, "zone", 'zone =~ "("'], to: hok }
               |                                               ^^^^^^^^^^
               |
               = help: the only signal is `health`

            error: `zone` is not a matcher
              --> rules.yaml:34:59
               |
            34 |   - { match: [zon = a, state = dwn, rule = x, signal = y, "zone", 'zone =~ "("'], to: hok }
               |                                                           ^^^^^^
               |
               = help: write NAME = "VALUE", or !=, =~, !~

            error: not a valid pattern: unclosed group
              --> rules.yaml:34:76
               |
            34 |   - { match: [zon = a, state = dwn, rule = x, signal = y, "zone", 'zone =~ "("'], to: hok }
               |                                                                            ^^^
               |
               = help: a regular expression for the whole text, as a|b or web-.*

            error: unknown sink `hok`
              --> rules.yaml:34:87
               |
            34 |   - { match: [zon = a, state = dwn, rule = x, signal = y, "zone", 'zone =~ "("'], to: hok }
               |                                                                                       ^^^
               |
               = help: did you mean `hook`?

            error: a route needs `to`
              --> rules.yaml:35:5
               |
            35 |   - { on: [open], too: hook }
               |     ^^^^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: add `to: SINK`

            error: unknown kind `open`
              --> rules.yaml:35:12
               |
            35 |   - { on: [open], too: hook }
               |            ^^^^
               |
               = help: did you mean `opened`?

            error: a route has no field `too`
              --> rules.yaml:35:19
               |
            35 |   - { on: [open], too: hook }
               |                   ^^^
               |
               = help: did you mean `to`?

            error: `on` needs at least one kind
              --> rules.yaml:36:11
               |
            36 |   - { on: [], to: hook }
               |           ^^
               |
               = help: leave it out for all of them, or write [opened, closed, correction]

            21 errors
        "#]],
    );
}

#[test]
fn what_is_wrong_with_silences_and_windows_is_pointed_at() {
    let text = format!(
        "{GOOD}{}",
        r#"sinks: { hook: { webhook: { url: http://h } } }
routes: [{ to: hook }]
silences:
  gap: { from: 2026-03-29T02:30:00, until: 2026-10-25T02:30, location: Europe/Berlin }
  place: { match: [zon = a], from: 2026-03-29T02:30:00, until: soon }
  back: { from: 2026-03-29T02:00:00Z, until: 2026-03-29T01:00:00+00:00 }
  none: { from: 2026-03-29T02:00:00Z, until: 2026-03-29T02:00:00Z, location: Europe/Berln }
  both: { from: 2026-03-29T02:00:00Z, while: { match: [], equal: [zon] } }
  far: { from: 2300-01-01T00:00:00Z, until: 2300-01-01T00:00, location: UTC }
  bare: {}
windows:
  nights:
    time_intervals:
      - { times: [{ start_time: "22:00", end_time: "06:00" }], location: Mars/Olympus }
      - { times: [{ start_time: "24:00", end_time: "7:00" }], weekdays: ["friday:monday", mon] }
      - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
      - { days_of_month: ["30:31"], months: [february] }
      - { location: Europe/Berlin }
      - { weekdays: [] }
  empty: { time_intervals: [] }
  nothing: { match: [state = dwn] }
"#
    );
    errors(
        &text,
        &expect![[r#"
            error: the clocks of Europe/Berlin never show `2026-03-29T02:30:00`, when they are changed
              --> rules.yaml:26:16
               |
            26 |   gap: { from: 2026-03-29T02:30:00, until: 2026-10-25T02:30, location: Europe/Berlin }
               |                ^^^^^^^^^^^^^^^^^^^
               |
               = help: write which is meant, with its offset: 2026-03-29T02:30:00+01:00 or 2026-03-29T02:30:00+02:00

            error: the clocks of Europe/Berlin show twice `2026-10-25T02:30`, when they are changed
              --> rules.yaml:26:44
               |
            26 |   gap: { from: 2026-03-29T02:30:00, until: 2026-10-25T02:30, location: Europe/Berlin }
               |                                            ^^^^^^^^^^^^^^^^
               |
               = help: write which is meant, with its offset: 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00

            error: there is no label `zon`, of any signal or rule
              --> rules.yaml:27:20
               |
            27 |   place: { match: [zon = a], from: 2026-03-29T02:30:00, until: soon }
               |                    ^^^^^^^
               |
               = help: did you mean `zone`?

            error: `2026-03-29T02:30:00` says no offset
              --> rules.yaml:27:36
               |
            27 |   place: { match: [zon = a], from: 2026-03-29T02:30:00, until: soon }
               |                                    ^^^^^^^^^^^^^^^^^^^
               |
               = help: add one, as Z or +01:00, or `location: Europe/Berlin` to the silence

            error: `soon` is no instant
              --> rules.yaml:27:64
               |
            27 |   place: { match: [zon = a], from: 2026-03-29T02:30:00, until: soon }
               |                                                                ^^^^
               |
               = help: write 2026-03-01T22:00:00Z, or leave out the Z and add `location`

            error: the silence ends before it begins
              --> rules.yaml:28:46
               |
            28 |   back: { from: 2026-03-29T02:00:00Z, until: 2026-03-29T01:00:00+00:00 }
               |                                              ^^^^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: `until` must be after `from`

            error: the silence ends as it begins: `until` is the first instant behind it
              --> rules.yaml:29:46
               |
            29 |   none: { from: 2026-03-29T02:00:00Z, until: 2026-03-29T02:00:00Z, location: Europe/Berln }
               |                                              ^^^^^^^^^^^^^^^^^^^^
               |
               = help: `until` must be after `from`

            error: there is no time zone `Europe/Berln`
              --> rules.yaml:29:78
               |
            29 |   none: { from: 2026-03-29T02:00:00Z, until: 2026-03-29T02:00:00Z, location: Europe/Berln }
               |                                                                              ^^^^^^^^^^^^
               |
               = help: did you mean `Europe/Berlin`?

            error: a silence with `while` has no `from`
              --> rules.yaml:30:17
               |
            30 |   both: { from: 2026-03-29T02:00:00Z, while: { match: [], equal: [zon] } }
               |                 ^^^^^^^^^^^^^^^^^^^^
               |
               = help: it lasts as long as an episode does; or remove `while`

            error: `match` needs at least one item
              --> rules.yaml:30:55
               |
            30 |   both: { from: 2026-03-29T02:00:00Z, while: { match: [], equal: [zon] } }
               |                                                       ^^
               |
               = help: write what must hold of it, as rule = NAME

            error: there is no label `zon`, of any signal or rule
              --> rules.yaml:30:67
               |
            30 |   both: { from: 2026-03-29T02:00:00Z, while: { match: [], equal: [zon] } }
               |                                                                   ^^^
               |
               = help: did you mean `zone`?

            error: `2300-01-01T00:00:00Z` is outside of the years 1678 to 2261
              --> rules.yaml:31:16
               |
            31 |   far: { from: 2300-01-01T00:00:00Z, until: 2300-01-01T00:00, location: UTC }
               |                ^^^^^^^^^^^^^^^^^^^^

            error: `2300-01-01T00:00` is outside of the years 1678 to 2261
              --> rules.yaml:31:45
               |
            31 |   far: { from: 2300-01-01T00:00:00Z, until: 2300-01-01T00:00, location: UTC }
               |                                             ^^^^^^^^^^^^^^^^

            error: a silence needs `from`
              --> rules.yaml:32:3
               |
            32 |   bare: {}
               |   ^^^^
               |
               = help: add `from: 2026-03-01T22:00:00Z`

            error: a silence needs `until`
              --> rules.yaml:32:3
               |
            32 |   bare: {}
               |   ^^^^
               |
               = help: add `until: 2026-03-01T22:00:00Z`

            error: the range ends before it begins, or has no length
              --> rules.yaml:36:19
               |
            36 |       - { times: [{ start_time: "22:00", end_time: "06:00" }], location: Mars/Olympus }
               |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: over midnight, write two: one until 24:00, and one from 00:00

            error: there is no time zone `Mars/Olympus`
              --> rules.yaml:36:74
               |
            36 |       - { times: [{ start_time: "22:00", end_time: "06:00" }], location: Mars/Olympus }
               |                                                                          ^^^^^^^^^^^^
               |
               = help: write an IANA name, as Europe/Berlin, or UTC

            error: `24:00` is no time of the day
              --> rules.yaml:37:33
               |
            37 |       - { times: [{ start_time: "24:00", end_time: "7:00" }], weekdays: ["friday:monday", mon] }
               |                                 ^^^^^^^
               |
               = help: write HH:MM, from 00:00 on; a day ends at 24:00

            error: `7:00` is no time of the day
              --> rules.yaml:37:52
               |
            37 |       - { times: [{ start_time: "24:00", end_time: "7:00" }], weekdays: ["friday:monday", mon] }
               |                                                    ^^^^^^
               |
               = help: write HH:MM, from 00:00 on; a day ends at 24:00

            error: `friday:monday` ends before it begins
              --> rules.yaml:37:74
               |
            37 |       - { times: [{ start_time: "24:00", end_time: "7:00" }], weekdays: ["friday:monday", mon] }
               |                                                                          ^^^^^^^^^^^^^^^
               |
               = help: a range does not go around: write two of them

            error: `mon` is not among `weekdays`
              --> rules.yaml:37:91
               |
            37 |       - { times: [{ start_time: "24:00", end_time: "7:00" }], weekdays: ["friday:monday", mon] }
               |                                                                                           ^^^
               |
               = help: write monday:friday

            error: `0` is not among `days_of_month`
              --> rules.yaml:38:27
               |
            38 |       - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
               |                           ^
               |
               = help: write 1:7, or -1 for the last

            error: `32` is not among `days_of_month`
              --> rules.yaml:38:30
               |
            38 |       - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
               |                              ^^^^
               |
               = help: write 1:7, or -1 for the last

            error: `5:1` ends before it begins
              --> rules.yaml:38:36
               |
            38 |       - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
               |                                    ^^^^^
               |
               = help: a range does not go around: write two of them

            error: `-1:5` ends before it begins
              --> rules.yaml:38:43
               |
            38 |       - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
               |                                           ^^^^^^
               |
               = help: a range does not go around: write two of them

            error: `-1:-3` ends before it begins
              --> rules.yaml:38:51
               |
            38 |       - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
               |                                                   ^^^^^^^
               |
               = help: a range does not go around: write two of them

            error: `13` is not among `months`
              --> rules.yaml:38:70
               |
            38 |       - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
               |                                                                      ^^
               |
               = help: write march:may, or 3

            error: `march:feb` is not among `months`
              --> rules.yaml:38:74
               |
            38 |       - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
               |                                                                          ^^^^^^^^^^^
               |
               = help: write march:may, or 3

            error: `1500` is not among `years`
              --> rules.yaml:38:96
               |
            38 |       - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
               |                                                                                                ^^^^
               |
               = help: write 2026:2027

            error: there is no such day: the interval is empty
              --> rules.yaml:39:9
               |
            39 |       - { days_of_month: ["30:31"], months: [february] }
               |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: all that it says must hold of one day, as of the 30th and february it never does

            error: a time interval says when it is
              --> rules.yaml:40:9
               |
            40 |       - { location: Europe/Berlin }
               |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: add one of `times`, `weekdays`, `days_of_month`, `months`, `years`

            error: `weekdays` needs at least one item
              --> rules.yaml:41:21
               |
            41 |       - { weekdays: [] }
               |                     ^^
               |
               = help: leave it out for all of them

            error: `time_intervals` needs at least one item
              --> rules.yaml:42:28
               |
            42 |   empty: { time_intervals: [] }
               |                            ^^
               |
               = help: add { weekdays: [saturday, sunday] }

            error: a window needs `time_intervals`
              --> rules.yaml:43:3
               |
            43 |   nothing: { match: [state = dwn] }
               |   ^^^^^^^
               |
               = help: add `time_intervals: [{ weekdays: [saturday, sunday] }]`

            error: unknown state `dwn`
              --> rules.yaml:43:22
               |
            43 |   nothing: { match: [state = dwn] }
               |                      ^^^^^^^^^^^
               |
               = help: did you mean `down`?

            35 errors
        "#]],
    );
}

#[test]
fn times_of_silences_are_as_the_clocks_of_their_place_show_them() {
    let text = format!(
        "{GOOD}{}",
        r#"silences:
  local: { from: 2026-03-29T01:59:59, until: "2026-10-25 03:00", location: europe/berlin }
  plain: { from: 2026-03-29T02:30:00.5+01:00, until: 2026-03-29T02:30:00.500000001+01:00 }
"#
    );
    let rules = Rules::parse("rules.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"));
    let once = |number: usize| match rules.silences[number].when {
        When::Once { from_ns, until_ns } => [from_ns, until_ns].map(format_rfc3339),
        _ => panic!("once"),
    };
    assert_eq!(once(0), ["2026-03-29T00:59:59.000Z", "2026-10-25T02:00:00.000Z"]);
    assert_eq!(once(1), ["2026-03-29T01:30:00.500Z", "2026-03-29T01:30:00.500000001Z"]);
}

#[test]
fn what_is_wrong_with_trials_is_pointed_at() {
    let text = GOOD.replace(
        "  - { name: plain, signal: health, hold: { down: 1s } }\n",
        r#"  - { name: plain, signal: health, mode: watch, version: 1.0 }
  - { name: old, signal: health, version: 1.0.0 }
  - { name: far, signal: other, version: 1.0.0 }
  - { name: c1, signal: health, canary: { share: 10, by: zon, base: nobody@1.0.0 } }
  - { name: c2, signal: health, canary: { share: 0%, base: r@1.0.0 } }
  - { name: c3, signal: health, canary: { share: 100%, base: old@1.0 } }
  - { name: c4, signal: health, canary: { share: 10%, base: old } }
  - { name: c5, signal: health, canary: { share: 10%, base: c5@1.0.0 } }
  - { name: c6, signal: health, canary: { share: 10%, base: far@1.0.0 } }
  - { name: c7, signal: health, version: 2.0.0, canary: { share: 0.001%, base: old@1.0.0 } }
  - { name: c8, signal: health, canary: { share: 10%, base: c7@2.0.0 } }
  - { name: c9, signal: health, canary: { shar: 10% } }
"#,
    );
    let text = text.replace("rules:\n", "  other: { states: { x: data.x } }\nrules:\n");
    errors(
        &text,
        &expect![[r#"
            error: unknown mode `watch`
              --> rules.yaml:23:42
               |
            23 |   - { name: plain, signal: health, mode: watch, version: 1.0 }
               |                                          ^^^^^
               |
               = help: known: `deliver`, `observe`

            error: `1.0` is not a semantic version: unexpected end of input while parsing minor version number
              --> rules.yaml:23:58
               |
            23 |   - { name: plain, signal: health, mode: watch, version: 1.0 }
               |                                                          ^^^
               |
               = help: write MAJOR.MINOR.PATCH, as 1.2.0

            error: `10` is no share
              --> rules.yaml:26:50
               |
            26 |   - { name: c1, signal: health, canary: { share: 10, by: zon, base: nobody@1.0.0 } }
               |                                                  ^^
               |
               = help: write a percentage above 0% and below 100%, as 10% or 0.5%

            error: the signal has no label `zon`
              --> rules.yaml:26:58
               |
            26 |   - { name: c1, signal: health, canary: { share: 10, by: zon, base: nobody@1.0.0 } }
               |                                                          ^^^
               |
               = help: did you mean `zone`?

            error: unknown rule `nobody`
              --> rules.yaml:26:69
               |
            26 |   - { name: c1, signal: health, canary: { share: 10, by: zon, base: nobody@1.0.0 } }
               |                                                                     ^^^^^^^^^^^^
               |
               = help: known: `r`, `plain`, `old`, `far`, `c1`, `c2`, `c3`, `c4`, `c5`, `c6`, `c7`, `c8`, `c9`

            error: `0%` is no share
              --> rules.yaml:27:50
               |
            27 |   - { name: c2, signal: health, canary: { share: 0%, base: r@1.0.0 } }
               |                                                  ^^
               |
               = help: write a percentage above 0% and below 100%, as 10% or 0.5%

            error: the rule `r` says no version
              --> rules.yaml:27:60
               |
            27 |   - { name: c2, signal: health, canary: { share: 0%, base: r@1.0.0 } }
               |                                                            ^^^^^^^
               |
               = help: give it one, as `version: 1.0.0`, and name that

            error: `100%` is no share
              --> rules.yaml:28:50
               |
            28 |   - { name: c3, signal: health, canary: { share: 100%, base: old@1.0 } }
               |                                                  ^^^^
               |
               = help: write a percentage above 0% and below 100%, as 10% or 0.5%

            error: the rule `old` has the version 1.0.0, not `1.0`
              --> rules.yaml:28:62
               |
            28 |   - { name: c3, signal: health, canary: { share: 100%, base: old@1.0 } }
               |                                                              ^^^^^^^
               |
               = help: name the version that there is

            error: `old` names no version of a rule
              --> rules.yaml:29:61
               |
            29 |   - { name: c4, signal: health, canary: { share: 10%, base: old } }
               |                                                             ^^^
               |
               = help: write RULE@VERSION, as outage@1.2.0

            error: a rule cannot be its own base
              --> rules.yaml:30:61
               |
            30 |   - { name: c5, signal: health, canary: { share: 10%, base: c5@1.0.0 } }
               |                                                             ^^^^^^^^
               |
               = help: name the rule before it

            error: the rule `far` is on another signal
              --> rules.yaml:31:61
               |
            31 |   - { name: c6, signal: health, canary: { share: 10%, base: far@1.0.0 } }
               |                                                             ^^^^^^^^^
               |
               = help: what a canary does not see must be seen by its base

            error: the rule `c7` is a canary, too
              --> rules.yaml:33:61
               |
            33 |   - { name: c8, signal: health, canary: { share: 10%, base: c7@2.0.0 } }
               |                                                             ^^^^^^^^
               |
               = help: name the base of that: each sees its share of all

            error: `canary` needs `share`
              --> rules.yaml:34:41
               |
            34 |   - { name: c9, signal: health, canary: { shar: 10% } }
               |                                         ^^^^^^^^^^^^^
               |
               = help: add `share: 10%`

            error: `canary` needs `base`
              --> rules.yaml:34:41
               |
            34 |   - { name: c9, signal: health, canary: { shar: 10% } }
               |                                         ^^^^^^^^^^^^^
               |
               = help: add `base: RULE@VERSION`

            error: `canary` has no field `shar`
              --> rules.yaml:34:43
               |
            34 |   - { name: c9, signal: health, canary: { shar: 10% } }
               |                                           ^^^^
               |
               = help: did you mean `share`?

            16 errors
        "#]],
    );
}

#[test]
fn what_is_wrong_with_limits_is_pointed_at() {
    let text = GOOD.replace(
        "  - { name: plain, signal: health, hold: { down: 1s } }\n",
        r#"  - { name: l1, signal: health, limit: { burst: 0, every: 0s, by: zon } }
  - { name: l2, signal: health, limit: { burst: -1, every: often } }
  - { name: l3, signal: health, limit: 25 }
  - { name: l4, signal: health, limit: { bursts: 25 } }
"#,
    );
    errors(
        &text,
        &expect![[r#"
        error: `burst` is a whole number above zero, not `0`
          --> rules.yaml:22:49
           |
        22 |   - { name: l1, signal: health, limit: { burst: 0, every: 0s, by: zon } }
           |                                                 ^

        error: `every` must be above zero: all would be told
          --> rules.yaml:22:59
           |
        22 |   - { name: l1, signal: health, limit: { burst: 0, every: 0s, by: zon } }
           |                                                           ^^

        error: the signal has no label `zon`
          --> rules.yaml:22:67
           |
        22 |   - { name: l1, signal: health, limit: { burst: 0, every: 0s, by: zon } }
           |                                                                   ^^^
           |
           = help: did you mean `zone`?

        error: `burst` is a whole number above zero, not `-1`
          --> rules.yaml:23:49
           |
        23 |   - { name: l2, signal: health, limit: { burst: -1, every: often } }
           |                                                 ^^

        error: `often` is not a duration
          --> rules.yaml:23:60
           |
        23 |   - { name: l2, signal: health, limit: { burst: -1, every: often } }
           |                                                            ^^^^^
           |
           = help: write 30s, 1h30m, 100ms: largest unit first

        error: `limit` is a mapping, `key: value`, not text
          --> rules.yaml:24:40
           |
        24 |   - { name: l3, signal: health, limit: 25 }
           |                                        ^^

        error: `limit` has no field `bursts`
          --> rules.yaml:25:42
           |
        25 |   - { name: l4, signal: health, limit: { bursts: 25 } }
           |                                          ^^^^^^
           |
           = help: did you mean `burst`?

        7 errors
    "#]],
    );
}
