//! Rules that judge numbers.

use expect_test::expect;
use limbeck_operators::machines::smoothing::Smoothing;
use limbeck_operators::machines::threshold::Bound;

use super::errors;
use crate::rules::Rules;

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

            error: two thresholds need two recoveries
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
