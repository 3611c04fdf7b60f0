//! Quorums, as they are read.

use expect_test::expect;
use limbeck_operators::machines::quorum::Asks;

use super::errors;
use crate::rules::Rules;

fn text(rules: &str) -> String {
    format!(
        "version: 1\nsignals:\n  s: {{ labels: {{ zone: data.zone }}, states: {{ up: data.up, down: data.down }} }}\n  \
         bare: {{ states: {{ up: data.up, down: data.down }} }}\n  \
         load: {{ value: data.load, labels: {{ zone: data.zone }} }}\nrules:\n{rules}"
    )
}

#[test]
fn what_makes_a_quorum_is_read() {
    let right = text(
        "  - { name: a, signal: s, faults: [down], quorum: { of: zone, at_least: 2, within: 1m } }\n  \
         - { name: b, signal: s, faults: [down], quorum: { of: zone, share: 0.333333, within: 1s, weights: { eu: 2, us: 0.5 } } }\n  \
         - { name: c, signal: load, above: 1, faults: [above], quorum: { of: zone, share: 1, within: 1m } }\n",
    );
    let rules = Rules::parse("rules.yaml", &right).unwrap_or_else(|errors| panic!("{errors}"));
    let of = |rule: usize| rules.rules[rule].stages.quorum.as_ref().expect("it has a quorum");
    assert_eq!([0, 1, 2].map(|rule| of(rule).of), [0; 3]);
    assert_eq!((of(0).asks, of(0).within_ns), (Asks::AtLeast(2_000_000), 60_000_000_000));
    assert_eq!([0, 1].map(|rule| of(rule).weight("eu")), [Some(1_000_000), Some(2_000_000)]);
    assert_eq!([0, 1].map(|rule| of(rule).weight("us")), [Some(1_000_000), Some(500_000)]);
    assert_eq!([0, 1].map(|rule| of(rule).weight("ap")), [Some(1_000_000), None]);
    assert_eq!([0, 1].map(|rule| of(rule).weight("")), [None, None]);
    assert_eq!((of(1).asks, of(2).asks), (Asks::Share(333_333), Asks::Share(1_000_000)));
}

#[test]
fn what_makes_none_is_pointed_at() {
    errors(
        &text(
            "  - { name: a, signal: s, faults: [down], quorum: { of: zone, at_least: 0, within: 0s } }\n  \
             - { name: b, signal: s, faults: [down], quorum: { of: zon, share: 1.5, within: 1m } }\n  \
             - { name: c, signal: s, quorum: { of: zone, at_least: 2, share: 0, within: 1m } }\n  \
             - { name: d, signal: bare, faults: [down], quorum: { of: zone, within: 1m } }\n  \
             - { name: e, signal: s, faults: [down], quorum: { of: zone, at_least: 4, within: 1m, weights: { eu: 2, us: 1.5 } } }\n  \
             - { name: f, signal: s, faults: [down], quorum: { of: zone, at_least: 65, within: 1m } }\n  \
             - { name: g, signal: s, faults: [down], quorum: { of: zone, share: 1, within: 1m, weights: { eu: -1, us: .inf, ap: nan, af: 0 } } }\n  \
             - { name: h, signal: s, faults: [down], quorum: { of: zone, share: 1, within: 1m, weights: {} } }\n  \
             - { name: i, signal: s, faults: [down], quorum: { of: zone, share: 1, within: 1m }, absent: { after: 59s } }\n  \
             - { name: j, signal: s, faults: [down], quorum: { of: zone, share: 1, within: 1h }, expire_after: 1h }\n  \
             - { name: k, signal: load, above: 1, recover: 0.5, smooth: { median: 1m }, faults: [above], quorum: { of: zone, share: nan, within: 1m } }\n",
        ),
        &expect![[r#"
            error: `at_least` is a whole number above zero, not `0`
             --> rules.yaml:7:73
              |
            7 |   - { name: a, signal: s, faults: [down], quorum: { of: zone, at_least: 0, within: 0s } }
              |                                                                         ^

            error: `within` must be above zero: no vote would count
             --> rules.yaml:7:84
              |
            7 |   - { name: a, signal: s, faults: [down], quorum: { of: zone, at_least: 0, within: 0s } }
              |                                                                                    ^^

            error: the signal has no label `zon`
             --> rules.yaml:8:57
              |
            8 |   - { name: b, signal: s, faults: [down], quorum: { of: zon, share: 1.5, within: 1m } }
              |                                                         ^^^
              |
              = help: did you mean `zone`?

            error: `share` is a part of all votes, above 0 and at most 1, not `1.5`
             --> rules.yaml:8:69
              |
            8 |   - { name: b, signal: s, faults: [down], quorum: { of: zon, share: 1.5, within: 1m } }
              |                                                                     ^^^
              |
              = help: write 0.5 for a half of them

            error: `quorum` needs to know which states are faults
             --> rules.yaml:9:13
              |
            9 |   - { name: c, signal: s, quorum: { of: zone, at_least: 2, share: 0, within: 1m } }
              |             ^
              |
              = help: add `faults: [STATE]`

            error: `quorum` is `at_least` so much, or a `share`, and not both
             --> rules.yaml:9:67
              |
            9 |   - { name: c, signal: s, quorum: { of: zone, at_least: 2, share: 0, within: 1m } }
              |                                                                   ^
              |
              = help: remove one of them

            error: `quorum` needs `at_least` or `share`
              --> rules.yaml:10:54
               |
            10 |   - { name: d, signal: bare, faults: [down], quorum: { of: zone, within: 1m } }
               |                                                      ^^^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: add `at_least: 2`, or `share: 0.5` of all votes

            error: the signal has no label `zone`
              --> rules.yaml:10:60
               |
            10 |   - { name: d, signal: bare, faults: [down], quorum: { of: zone, within: 1m } }
               |                                                            ^^^^
               |
               = help: give it one, as `labels: { zone: source }`

            error: no fault would ever have a quorum: `at_least` is 4
              --> rules.yaml:11:73
               |
            11 |   - { name: e, signal: s, faults: [down], quorum: { of: zone, at_least: 4, within: 1m, weights: { eu: 2, us: 1.5 } } }
               |                                                                         ^
               |
               = help: all `weights` together are 3.5: lower it

            error: no fault would ever have a quorum: `at_least` is 65
              --> rules.yaml:12:73
               |
            12 |   - { name: f, signal: s, faults: [down], quorum: { of: zone, at_least: 65, within: 1m } }
               |                                                                         ^^
               |
               = help: at most 64 witnesses of an entity have votes: lower it

            error: a weight is a number above zero, not `-1`
              --> rules.yaml:13:100
               |
            13 |   - { name: g, signal: s, faults: [down], quorum: { of: zone, share: 1, within: 1m, weights: { eu: -1, us: .inf, ap: nan, af: 0 } } }
               |                                                                                                    ^^
               |
               = help: write 2 or 0.5; at most 1e9, in millionths

            error: a weight is a number above zero, not `.inf`
              --> rules.yaml:13:108
               |
            13 |   - { name: g, signal: s, faults: [down], quorum: { of: zone, share: 1, within: 1m, weights: { eu: -1, us: .inf, ap: nan, af: 0 } } }
               |                                                                                                            ^^^^
               |
               = help: write 2 or 0.5; at most 1e9, in millionths

            error: a weight is a number above zero, not `nan`
              --> rules.yaml:13:118
               |
            13 |   - { name: g, signal: s, faults: [down], quorum: { of: zone, share: 1, within: 1m, weights: { eu: -1, us: .inf, ap: nan, af: 0 } } }
               |                                                                                                                      ^^^
               |
               = help: write 2 or 0.5; at most 1e9, in millionths

            error: a weight is a number above zero, not `0`
              --> rules.yaml:13:127
               |
            13 |   - { name: g, signal: s, faults: [down], quorum: { of: zone, share: 1, within: 1m, weights: { eu: -1, us: .inf, ap: nan, af: 0 } } }
               |                                                                                                                               ^
               |
               = help: write 2 or 0.5; at most 1e9, in millionths

            error: `weights` names no witness: nobody would have a vote
              --> rules.yaml:14:94
               |
            14 |   - { name: h, signal: s, faults: [down], quorum: { of: zone, share: 1, within: 1m, weights: {} } }
               |                                                                                              ^^
               |
               = help: name them, or remove it

            error: an entity would be absent while votes of its witnesses count
              --> rules.yaml:15:95
               |
            15 |   - { name: i, signal: s, faults: [down], quorum: { of: zone, share: 1, within: 1m }, absent: { after: 59s } }
               |                                                                                               ^^^^^^^^^^^^^^
               |
               = help: `after` is not below `within` of its quorum: raise it, or lower the other

            error: an entity is forgotten before a vote of its witnesses is over
              --> rules.yaml:16:81
               |
            16 |   - { name: j, signal: s, faults: [down], quorum: { of: zone, share: 1, within: 1h }, expire_after: 1h }
               |                                                                                 ^^
               |
               = help: `within` must be below `expire_after`: lower it, or raise the other

            error: `recover` would mix the readings of all witnesses
              --> rules.yaml:17:49
               |
            17 |   - { name: k, signal: load, above: 1, recover: 0.5, smooth: { median: 1m }, faults: [above], quorum: { of: zone, share: nan, within...
               |                                                 ^^^
               |
               = help: with a `quorum`, judge each by `above` or `below` alone

            error: `smooth` would mix the readings of all witnesses
              --> rules.yaml:17:62
               |
            17 |   - { name: k, signal: load, above: 1, recover: 0.5, smooth: { median: 1m }, faults: [above], quorum: { of: zone, share: nan, within...
               |                                                              ^^^^^^^^^^^^^^
               |
               = help: with a `quorum`, judge each by `above` or `below` alone

            error: `share` is a part of all votes, above 0 and at most 1, not `nan`
              --> rules.yaml:17:122
               |
            17 |   - { name: k, signal: load, above: 1, recover: 0.5, smooth: { median: 1m }, faults: [above], quorum: { of: zone, share: nan, within...
               |                                                                                                                          ^^^
               |
               = help: write 0.5 for a half of them

            20 errors
        "#]],
    );
}
