//! Rules that are tried, and limits.

use expect_test::expect;

use super::{GOOD, errors};

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
  - { name: c10, signal: health, canary: { share: 60%, base: old@1.0.0 } }
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
               = help: known: `r`, `plain`, `old`, `far`, `c1`, `c2`, `c3`, `c4`, `c5`, `c6`, `c7`, `c8`, `c9`, `c10`

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

            error: the rule `old` is the base of `c7` in line 32, too: units that both canaries see would be told twice
              --> rules.yaml:35:62
               |
            35 |   - { name: c10, signal: health, canary: { share: 60%, base: old@1.0.0 } }
               |                                                              ^^^^^^^^^
               |
               = help: a base has one canary: try one after the other

            17 errors
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

#[test]
fn what_is_wrong_with_aggregation_is_pointed_at() {
    let text = GOOD.replace(
        "  - { name: plain, signal: health, hold: { down: 1s } }\n",
        r#"  - { name: a1, signal: health, aggregate: { by: [zon], from: 0, within: 0s } }
  - { name: a2, signal: health, aggregate: { by: zone, from: 1001, within: soon } }
  - { name: a3, signal: health, aggregate: { by: [entity], form: 10 } }
  - { name: a4, signal: health, aggregate: 10 }
"#,
    );
    errors(
        &text,
        &expect![[r#"
        error: the signal has no label `zon`
          --> rules.yaml:22:51
           |
        22 |   - { name: a1, signal: health, aggregate: { by: [zon], from: 0, within: 0s } }
           |                                                   ^^^
           |
           = help: did you mean `zone`?

        error: `from` is a whole number above zero, not `0`
          --> rules.yaml:22:63
           |
        22 |   - { name: a1, signal: health, aggregate: { by: [zon], from: 0, within: 0s } }
           |                                                               ^

        error: `within` must be above zero: nothing would be told as one
          --> rules.yaml:22:74
           |
        22 |   - { name: a1, signal: health, aggregate: { by: [zon], from: 0, within: 0s } }
           |                                                                          ^^

        error: `by` is a list, `- item`, not text
          --> rules.yaml:23:50
           |
        23 |   - { name: a2, signal: health, aggregate: { by: zone, from: 1001, within: soon } }
           |                                                  ^^^^

        error: `from` is at most 1000: so many entities are remembered
          --> rules.yaml:23:62
           |
        23 |   - { name: a2, signal: health, aggregate: { by: zone, from: 1001, within: soon } }
           |                                                              ^^^^
           |
           = help: lower it, or use `limit`

        error: `soon` is not a duration
          --> rules.yaml:23:76
           |
        23 |   - { name: a2, signal: health, aggregate: { by: zone, from: 1001, within: soon } }
           |                                                                            ^^^^
           |
           = help: write 30s, 1h30m, 100ms: largest unit first

        error: the signal has no label `entity`
          --> rules.yaml:24:51
           |
        24 |   - { name: a3, signal: health, aggregate: { by: [entity], form: 10 } }
           |                                                   ^^^^^^
           |
           = help: known: `zone`, `tier`

        error: `aggregate` has no field `form`
          --> rules.yaml:24:60
           |
        24 |   - { name: a3, signal: health, aggregate: { by: [entity], form: 10 } }
           |                                                            ^^^^
           |
           = help: did you mean `from`?

        error: `aggregate` is a mapping, `key: value`, not text
          --> rules.yaml:25:44
           |
        25 |   - { name: a4, signal: health, aggregate: 10 }
           |                                            ^^

        9 errors
    "#]],
    );
}
