mod graces;
mod quorums;
mod readings;
mod routes;
mod silences;
mod stages;
mod trials;

use expect_test::{Expect, expect};

use crate::rules::Rules;

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
