//! Every mistake is reported at once, and nothing that only follows from one.

use super::*;

pub(super) fn messages(text: &str) -> Vec<String> {
    let errors = Rules::parse("f", text).expect_err("broken");
    errors.iter().map(|error| error.message.clone()).collect()
}

/// What is not known hides nothing but what depends on it.
#[test]
fn one_mistake_hides_no_other() {
    let text = "version: 1
sources:
  p:
    format: jsn
    skew: corect
    explode: a b
    delimiter: ;;
    header: [[]]
    pattern: (
    time: { field: ts, unit: min, format: '%Q' }
    arrival: { field: x, zone: CET }
    subject: { template: '{a..b} {c' }
    source: { field: a b, const: [] }
    type: { field: a..b }
signals:
  a: { from: p, labels: [], value: 1 +, states: { up: 'true' } }
  b: { from: q, schema: { name: s, version: 1.0.0 }, where: typ == 1, states: { up: data.x } }
  c: { schema: { name: s, version: 1.0.0 }, states: { up: 'x', down: data.x } }
rules:
  - name: r
    signal: d
    where: foo == labels.x
    hold: { up: 5, any: 1m }
    annotations: { a: '{{ $entty }} {{ $labels.any }}' }
  - { name: q, signal: a, where: labels.any == '' && foo, hold: { dwn: 1s } }
";
    let found = messages(text);
    let errors = [
        "unknown format `jsn`",
        "unknown skew `corect`",
        "`a b` is not a field: a key with a blank, brace or bracket needs backticks around it",
        "`;;` cannot be the delimiter",
        "a column is text, not a list",
        "not a valid pattern: unclosed group",
        "unknown unit `min`",
        "a time has a `unit` or a `format`, not both",
        "not a valid format: `%Q`: the name of a zone does not say its offset",
        "a time needs `unit` or `format`",
        "`CET` is not a zone",
        "`{a..b} {c` is not a template: a key is empty",
        "`{a..b} {c` is not a template: a brace is not closed",
        "an attribute is one of `field`, `const` and `template`",
        "`a b` is not a field: a key with a blank, brace or bracket needs backticks around it",
        "a const is text, not a list",
        "`a..b` is not a field: a key is empty",
        "`labels` is a mapping, `key: value`, not a list",
        "not a valid condition: mismatched input '<EOF>'",
        "unknown source `q`",
        "unknown attribute `typ`",
        "another signal of s/1.0.0 has no state `down`",
        "unknown attribute `x`",
        "unknown signal `d`",
        "unknown attribute `foo`",
        "`5` is not a duration",
        "`$entty` is not known in a template",
        "unknown attribute `foo`",
        "unknown state `dwn`",
    ];
    assert_eq!(found, errors);
}

/// States that cannot be read are none that a rule could misspell.
#[test]
fn what_depends_on_what_is_not_known_is_not_reported() {
    for states in ["[up]", "{}", ""] {
        let text = format!(
            "version: 1\nsignals: {{ s: {{ states: {states} }} }}\n\
             rules: [{{ name: r, signal: s, hold: {{ up: 1s }}, where: labels.x == 'a' }}]"
        );
        let found = messages(&text);
        assert!(found.iter().all(|message| !message.contains("unknown state")), "{found:?}");
        assert!(found.contains(&"the signal has no label `x`".to_owned()), "{found:?}");
    }
}

#[test]
fn all_errors_are_shown() {
    let states: String = (0..150).map(|n| format!("s{n}: typ{n} == 1, ")).collect();
    let text = format!(
        "version: 1\nsignals: {{ s: {{ states: {{ {states} }} }} }}\nrules: [{{ name: r, signal: s }}]"
    );
    let shown = Rules::parse("f", &text).expect_err("broken").to_string();
    assert_eq!(shown.matches("error: unknown attribute `typ").count(), 150);
    assert!(shown.ends_with("\n150 errors\n"), "{shown}");
    // Not what is too long to be shown.
    let errors =
        Rules::parse("f", &text.replace("states", &" ".repeat(20 << 10))).expect_err("broken");
    assert!(errors.to_string().len() < 10_000, "{}", errors.to_string().len());
    assert!(errors.to_string().contains("f:2:"));
}

#[test]
fn what_is_too_long_or_nothing_is_said_to_be() {
    let found = messages(
        "version: 1\nlateness: 300000y\nsignals: { s: { states: { up: 'true' } } }\n\
         rules: [{ name: r, signal: s, labels: { n: null, m: ~, k: '' , l: } }]",
    );
    assert_eq!(
        found,
        [
            "`300000y` is too long a time",
            "the text of `n` is empty, and must be text",
            "the text of `m` is empty, and must be text",
            "the text of `l` is empty, and must be text",
        ]
    );
}
