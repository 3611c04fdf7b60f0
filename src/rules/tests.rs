//! The whole file: what is right parses, and what is wrong is reported all at once.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

mod at_once;
mod names;
mod sources;

const READINESS: &str = include_str!("../../tests/data/readiness.yaml");
const FLAT: &str = include_str!("../../tests/data/flat.yaml");

fn parse(text: &str) -> Rules {
    Rules::parse("rules.yaml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn check(text: &str, expected: &Expect) {
    let errors = Rules::parse("rules.yaml", text).expect_err("a broken file");
    expected.assert_eq(&errors.to_string());
}

#[test]
fn the_readiness_example_parses() {
    let rules = parse(READINESS);
    assert_eq!((rules.version, rules.lateness_ns), (1, 5_000_000_000));
    assert_eq!(rules.max_advance_ns, 30 * 86_400_000_000_000);
    assert_eq!(rules.rules[0].expire_after_ns, 7 * 86_400_000_000_000);
    assert_eq!(rules.sources, [Source::implicit()]);
    let signal = &rules.signals[0];
    assert_eq!((signal.name.as_str(), signal.from, signal.states.len()), ("readiness", None, 2));
    assert!(signal.filter.as_ref().is_some_and(Condition::is_native));
    assert!(signal.states.iter().all(|state| state.when.is_native()));
    let rule = &rules.rules[0];
    assert_eq!((rule.signal, rule.hold_ns.as_slice()), (0, &[10_000_000_000, 30_000_000_000][..]));
    assert_eq!(rules.paths.as_slice(), [Attribute::Type, Attribute::Data(vec!["state".into()])]);
    let when = &signal.states[1].when;
    assert_eq!(&READINESS[when.span()], when.text());
}

#[test]
fn the_flat_example_parses() {
    let rules = parse(FLAT);
    let Format::Json { mapping, explode: None } = &rules.sources[0].format else { panic!("json") };
    assert_eq!(mapping.time.form, TimeForm::Unit(TimeUnit::Millis));
    assert_eq!(mapping.time.field.keys(), ["ts"]);
    assert_eq!(mapping.source, Text::Const("probe".into()));
    assert!(mapping.sequence.is_some() && mapping.id.is_none() && mapping.arrival.is_none());
    assert_eq!(rules.signals[0].from, Some(0));
}

#[test]
fn rules_can_be_shared_between_workers() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Rules>();
}

#[test]
fn every_mistake_is_reported_at_once() {
    check(
        r#"version: 2
latness: 5s
max_advance: 3 days
sources:
  probe:
    format: json
    time: { field: ts, unit: msec }
    subject: { template: "{namespace/{pod}" }
    source: { const: probe }
signals:
  readiness:
    from: prob
    where: typ == "readiness"
    states:
      ready: data.state == "ready" and data.ok
      unready: "data.state.like(\"un.*\")"
rules:
  - name: pod-readiness
    signal: readines
    hold: { ready: 30 }
  - name: pod-readiness
    signal: readiness
    hold: { redy: 30s, unready: 10s }
"#,
        &expect![[r#"
            error: version `2` of the rule language is not known
             --> rules.yaml:1:10
              |
            1 | version: 2
              |          ^
              |
              = help: write `version: 1`

            error: a rule file has no field `latness`
             --> rules.yaml:2:1
              |
            2 | latness: 5s
              | ^^^^^^^
              |
              = help: did you mean `lateness`?

            error: `3 days` is not a duration
             --> rules.yaml:3:14
              |
            3 | max_advance: 3 days
              |              ^^^^^^
              |
              = help: write 30s, 1h30m, 100ms: largest unit first

            error: a source needs `type`
             --> rules.yaml:5:3
              |
            5 |   probe:
              |   ^^^^^
              |
              = help: add `type: { field: kind }`

            error: unknown unit `msec`
             --> rules.yaml:7:30
              |
            7 |     time: { field: ts, unit: msec }
              |                              ^^^^
              |
              = help: known: `s`, `ms`, `us`, `ns`, `rfc3339`

            error: `{namespace/{pod}` is not a template: a key with a blank, brace or bracket needs backticks around it
             --> rules.yaml:8:26
              |
            8 |     subject: { template: "{namespace/{pod}" }
              |                          ^^^^^^^^^^^^^^^^^^
              |
              = help: write "{namespace}/{pod}"; {{ and }} are braces

            error: unknown source `prob`
              --> rules.yaml:12:11
               |
            12 |     from: prob
               |           ^^^^
               |
               = help: did you mean `probe`?

            error: unknown attribute `typ`
              --> rules.yaml:13:12
               |
            13 |     where: typ == "readiness"
               |            ^^^
               |
               = help: did you mean `type`?

            error: not a valid condition: mismatched input 'and'
              --> rules.yaml:15:36
               |
            15 |       ready: data.state == "ready" and data.ok
               |                                    ^^^
               |
               = help: write && for `and`

            error: unknown function `like`
              --> rules.yaml:16:28
               |
            16 |       unready: "data.state.like(\"un.*\")"
               |                            ^^^^
               |
               = help: known: `all`, `bool`, `bytes`, `contains`, `double`, `dyn`, `endsWith`, `exists`, `exists_one`, `filter`, `has`, `int`, `map`, `matches`, `size`, `startsWith`, `string`, `type`, `uint`

            error: unknown signal `readines`
              --> rules.yaml:19:13
               |
            19 |     signal: readines
               |             ^^^^^^^^
               |
               = help: did you mean `readiness`?

            error: `30` is not a duration
              --> rules.yaml:20:20
               |
            20 |     hold: { ready: 30 }
               |                    ^^
               |
               = help: write 30s, 1h30m, 100ms: largest unit first

            error: there is another rule `pod-readiness`
              --> rules.yaml:21:11
               |
            21 |   - name: pod-readiness
               |           ^^^^^^^^^^^^^
               |
               = help: give each its own name

            error: unknown state `redy`
              --> rules.yaml:23:13
               |
            23 |     hold: { redy: 30s, unready: 10s }
               |             ^^^^
               |
               = help: did you mean `ready`?

            14 errors
        "#]],
    );
}

#[test]
fn what_is_missing_or_of_the_wrong_kind() {
    check(
        r#"signals:
  empty:
  none: { states: {} }
  listed: { states: [a], from: [x] }
  tagged: { states: { a: !has(data.x) } }
sources:
  native: { format: cloudevents, id: { field: x } }
  csv: { format: jsn }
  "a b": { format: cloudevents }
  text: { format: json, time: { field: a..b }, subject: { field: a, const: b }, type: x, source: { const: }  }
rules: {}
"#,
        &expect![[r#"
            error: a rule file needs `version`
             --> rules.yaml:1:1
              |
            1 | signals:
              | ^
              |
              = help: add `version: 1`

            error: a signal is empty, and must be a mapping, `key: value`
             --> rules.yaml:2:3
              |
            2 |   empty:
              |   ^^^^^

            error: `states` needs at least one entry
             --> rules.yaml:3:19
              |
            3 |   none: { states: {} }
              |                   ^^

            error: `states` is a mapping, `key: value`, not a list
             --> rules.yaml:4:21
              |
            4 |   listed: { states: [a], from: [x] }
              |                     ^^^

            error: the name of a source is text, not a list
             --> rules.yaml:4:32
              |
            4 |   listed: { states: [a], from: [x] }
              |                                ^^^

            error: YAML tags are not supported
             --> rules.yaml:5:26
              |
            5 |   tagged: { states: { a: !has(data.x) } }
              |                          ^^^^^^^^^^^^^^^^
              |
              = help: a condition that starts with `!` needs quotes around it

            error: CloudEvents have a place for `id` already
             --> rules.yaml:7:38
              |
            7 |   native: { format: cloudevents, id: { field: x } }
              |                                      ^^^^^^^^^^^^
              |
              = help: remove it, or use format: json

            error: unknown format `jsn`
             --> rules.yaml:8:18
              |
            8 |   csv: { format: jsn }
              |                  ^^^
              |
              = help: did you mean `json`?

            error: `a b` cannot be the name of a source
             --> rules.yaml:9:3
              |
            9 |   "a b": { format: cloudevents }
              |   ^^^^^
              |
              = help: at most 128 bytes, without blanks, `=` and backticks

            error: a time needs `unit` or `format`
              --> rules.yaml:10:31
               |
            10 |   text: { format: json, time: { field: a..b }, subject: { field: a, const: b }, type: x, source: { const: }  }
               |                               ^^^^^^^^^^^^^^^
               |
               = help: add `unit: ms`, or as `format: "%Y-%m-%d %H:%M:%S"`

            error: `a..b` is not a field: a key is empty
              --> rules.yaml:10:40
               |
            10 |   text: { format: json, time: { field: a..b }, subject: { field: a, const: b }, type: x, source: { const: }  }
               |                                        ^^^^
               |
               = help: write a.b, or `a.b` in backticks for a key with a dot

            error: an attribute is one of `field`, `const` and `template`
              --> rules.yaml:10:57
               |
            10 |   text: { format: json, time: { field: a..b }, subject: { field: a, const: b }, type: x, source: { const: }  }
               |                                                         ^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: write { field: a.b }

            error: an attribute is a mapping, `key: value`, not text
              --> rules.yaml:10:87
               |
            10 |   text: { format: json, time: { field: a..b }, subject: { field: a, const: b }, type: x, source: { const: }  }
               |                                                                                       ^

            error: a const is empty, and must be text
              --> rules.yaml:10:100
               |
            10 |   text: { format: json, time: { field: a..b }, subject: { field: a, const: b }, type: x, source: { const: }  }
               |                                                                                                    ^^^^^

            error: `rules` is a list, `- item`, not a mapping
              --> rules.yaml:11:8
               |
            11 | rules: {}
               |        ^^

            15 errors
        "#]],
    );
    check(
        "version: 1\nrules: []\n",
        &expect![[r#"
        error: a rule file needs `signals`
         --> rules.yaml:1:1
          |
        1 | version: 1
          | ^
          |
          = help: add `signals: { NAME: { states: ... } }`

        error: `rules` needs at least one rule
         --> rules.yaml:2:8
          |
        2 | rules: []
          |        ^^

        2 errors
    "#]],
    );
    check(
        "- version\n",
        &expect![[r#"
        error: a rule file is a mapping, `key: value`, not a list
         --> rules.yaml:1:1
          |
        1 | - version
          | ^^^^^^^^^

        1 error
    "#]],
    );
    check(
        "version: 1\nsignals:\n  a: {states: {x: type == \"a: b\"}\n",
        &expect![[r#"
        error: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'
         --> rules.yaml:3:29
          |
        3 |   a: {states: {x: type == "a: b"}
          |                             ^
          |
          = help: text with `: `, ` #`, or a mark such as `!`, `"` or `[` in front needs quotes

        1 error
    "#]],
    );
}

#[test]
fn a_broken_signal_is_still_known_to_rules() {
    let errors = Rules::parse(
        "f",
        "version: 1\nsignals: { s: { states: { up: '1', down: 'true' } } }\n\
         rules: [{ name: r, signal: s, hold: { up: 1s, don: 1s } }]",
    )
    .expect_err("broken");
    let found: Vec<_> = errors.iter().map(|error| error.message.as_str()).collect();
    assert_eq!(found, ["the condition is never true or false", "unknown state `don`"]);
    assert_eq!(errors.position(&errors.iter().as_slice()[1]), (3, 47));
}

/// A text with some of its characters replaced by others.
fn damaged(text: &'static str) -> impl Strategy<Value = String> {
    let marks = "[]{}:#-!&*|>'\"`%@,?= \n\t\\ä日0a~.()<\u{feff}\u{85}";
    let mark = prop::sample::select(marks.chars().collect::<Vec<_>>());
    let letters: Vec<char> = text.chars().collect();
    let edit = (0..letters.len(), 0..4_usize, prop::collection::vec(mark, 0..3));
    prop::collection::vec(edit, 1..6).prop_map(move |edits| {
        let mut letters = letters.clone();
        for (at, removed, inserted) in edits {
            let at = at.min(letters.len());
            letters.splice(at..(at + removed).min(letters.len()), inserted);
        }
        letters.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_is_refused_or_read_but_never_harms(text in damaged(FLAT)) {
        if let Err(errors) = Rules::parse("rules.yaml", &text) {
            prop_assert!(errors.len() > 0);
            prop_assert!(errors.render(true).contains("rules.yaml:"));
            for error in errors.iter() {
                prop_assert!(error.span.start <= text.len(), "{:?}", error);
                errors.position(error);
            }
        }
    }
}
