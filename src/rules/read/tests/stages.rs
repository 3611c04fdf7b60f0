//! What is done before observations are held.

use expect_test::expect;

use super::errors;
use crate::rules::Rules;

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
fn what_is_asked_of_faults_is_read_and_what_is_wrong_with_it_pointed_at() {
    let text = |rules: &str| {
        format!(
            "version: 1\nsignals: {{ s: {{ labels: {{ zone: data.z }}, states: {{ up: data.up, down: \
             data.down }} }} }}\nrules:\n{rules}"
        )
    };
    let right = text(
        "  - { name: r, signal: s, faults: [down], persistence: { by: zone, horizons: [1h, 5m], announce: \
         p_lasts(\"5m\") > 0.9 } }\n  \
         - { name: q, signal: s, faults: [down], persistence: { prior: 3, remember: 1d, horizons: [1s] } }\n",
    );
    let rules = Rules::parse("rules.yaml", &right).unwrap_or_else(|errors| panic!("{errors}"));
    let [r, q] = [0, 1].map(|rule| rules.rules[rule].persistence.clone().expect("it has some"));
    let second = 1_000_000_000;
    assert_eq!(r.horizons_ns, [300 * second, 3600 * second]);
    assert_eq!((r.by, r.prior, r.remember_ns), (Some(0), 10, 90 * 86_400 * second));
    assert_eq!(r.announce.map(|of| of.text().to_owned()).as_deref(), Some("p_lasts(\"5m\") > 0.9"));
    assert_eq!((q.by, q.prior, q.remember_ns), (None, 3, 86_400 * second));
    // What it asks changes nothing of the machines.
    assert!(rules.rules.iter().all(|rule| !rule.is_staged()));
    errors(
        &text(
            "  - { name: a, signal: s, persistence: { horizons: [5m] } }
  - { name: b, signal: s, faults: [down], persistence: {} }
  - { name: c, signal: s, faults: [down], persistence: { by: entity, prior: 0, horizons: [] } }
  - { name: d, signal: s, faults: [down], persistence: { by: zoen, remember: 0, horizons: [0] } }
  - { name: e, signal: s, faults: [down], persistence: { remember: 1m, horizons: [5m], least: 3 } }
  - { name: f, signal: s, faults: [down], persistence: { announce: p_lasts(\"5\") > 90 } }
  - { name: g, signal: s, faults: [down], persistence: { announce: data.x > 0.9 } }
",
        ),
        &expect![[r#"
            error: `persistence` needs to know which states are faults
             --> rules.yaml:4:13
              |
            4 |   - { name: a, signal: s, persistence: { horizons: [5m] } }
              |             ^
              |
              = help: add `faults: [STATE]`

            error: `persistence` names no time that a fault may last
             --> rules.yaml:5:56
              |
            5 |   - { name: b, signal: s, faults: [down], persistence: {} }
              |                                                        ^^
              |
              = help: add `announce: 'p_lasts("5m") > 0.9'`, or `horizons: [5m]`

            error: the signal has no label `entity`
             --> rules.yaml:6:62
              |
            6 |   - { name: c, signal: s, faults: [down], persistence: { by: entity, prior: 0, horizons: [] } }
              |                                                              ^^^^^^
              |
              = help: leave it out for all of the rule: entities are counted anyway

            error: `prior` is a whole number above zero, not `0`
             --> rules.yaml:6:77
              |
            6 |   - { name: c, signal: s, faults: [down], persistence: { by: entity, prior: 0, horizons: [] } }
              |                                                                             ^

            error: `horizons` needs at least one time
             --> rules.yaml:6:90
              |
            6 |   - { name: c, signal: s, faults: [down], persistence: { by: entity, prior: 0, horizons: [] } }
              |                                                                                          ^^
              |
              = help: write [5m, 1h]

            error: the signal has no label `zoen`
             --> rules.yaml:7:62
              |
            7 |   - { name: d, signal: s, faults: [down], persistence: { by: zoen, remember: 0, horizons: [0] } }
              |                                                              ^^^^
              |
              = help: did you mean `zone`?

            error: `remember` must be above zero: nothing would be learned
             --> rules.yaml:7:78
              |
            7 |   - { name: d, signal: s, faults: [down], persistence: { by: zoen, remember: 0, horizons: [0] } }
              |                                                                              ^

            error: a horizon must be above zero: every fault lasts as long
             --> rules.yaml:7:92
              |
            7 |   - { name: d, signal: s, faults: [down], persistence: { by: zoen, remember: 0, horizons: [0] } }
              |                                                                                            ^

            error: what a fault may last is longer than `remember`
             --> rules.yaml:8:56
              |
            8 |   - { name: e, signal: s, faults: [down], persistence: { remember: 1m, horizons: [5m], least: 3 } }
              |                                                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              |
              = help: raise `remember`: nothing would be known of such faults

            error: `persistence` has no field `least`
             --> rules.yaml:8:88
              |
            8 |   - { name: e, signal: s, faults: [down], persistence: { remember: 1m, horizons: [5m], least: 3 } }
              |                                                                                        ^^^^^
              |
              = help: known: `by`, `prior`, `remember`, `horizons`, `announce`

            error: `5` is not a duration
             --> rules.yaml:9:76
              |
            9 |   - { name: f, signal: s, faults: [down], persistence: { announce: p_lasts("5") > 90 } }
              |                                                                            ^^^
              |
              = help: write 30s, 1h30m: largest unit first

            error: a probability is between 0 and 1, and never 90
             --> rules.yaml:9:83
              |
            9 |   - { name: f, signal: s, faults: [down], persistence: { announce: p_lasts("5") > 90 } }
              |                                                                                   ^^
              |
              = help: write 0.9 for 90 percent

            error: this is no probability
              --> rules.yaml:10:72
               |
            10 |   - { name: g, signal: s, faults: [down], persistence: { announce: data.x > 0.9 } }
               |                                                                        ^
               |
               = help: compare a probability with a number: p_lasts("5m") > 0.9

            13 errors
        "#]],
    );
}
