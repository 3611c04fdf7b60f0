//! Conditions and values against what is known of the records: names, kinds and constants.

use super::at_once::messages;
use super::*;
use crate::sources::decode::Lines;
use crate::sources::intake::Matcher;

const SOURCES: &str = r#"version: 1
sources:
  lines:
    format: regex
    pattern: '^(?<ts>\S+) (?<host>\S+) (?<state>\S+) (?<code>\S*)$'
    time: { field: ts, unit: s }
    subject: { field: host }
    source: { const: syslog }
    type: { const: probe }
  rows:
    format: csv
    header: [ts, host, zone, host, a.b]
    time: { field: ts, unit: s }
    subject: { field: zone }
    source: { const: table }
    type: { const: row }
  open: { format: csv, time: { field: ts, unit: s }, subject: { field: x }, source: { const: s }, type: { const: t } }
"#;

#[test]
fn names_that_are_not_there_are_mistakes() {
    let rules = r#"signals:
  a:
    from: lines
    where: data.hots == "x"
    labels: { z: data.zone, y: { field: stat }, x: { field: state.x } }
    value: data["cod"]
    states: { up: has(data.stae), down: 'data.xs.all(data, data.zzz)' }
  b: { from: rows, states: { up: 'data["a.b"] == data.zoen && data.host == ""', down: data.a.b == "" } }
  d: { from: open, states: { up: data.anything == "", down: data.any.thing == "" } }
rules:
  - { name: r, signal: a, where: data.hst == labels.z, dedup: { by: [data.strted], within: 1s } }
"#;
    assert_eq!(
        messages(&format!("{SOURCES}{rules}")),
        [
            "unknown group `hots`",
            "unknown group `zone`",
            "unknown group `stat`",
            "a group has no fields of its own, as `state.x` asks for",
            "unknown group `cod`",
            "unknown group `stae`",
            "unknown group `xs`",
            "unknown column `zoen`",
            "a column has no fields of its own, as `a.b` asks for",
            "a column has no fields of its own, as `any.thing` asks for",
            "unknown group `hst`",
            "unknown group `strted`",
        ]
    );
}

/// A signal that names no source may see any of them.
#[test]
fn a_name_that_one_source_has_is_known() {
    let rules = "signals: { all: { states: { up: data.state == data.zone, down: data.oops } } }
rules: [{ name: r, signal: all }]
";
    let (two, _) = SOURCES.split_once("  open:").expect("three sources");
    assert_eq!(messages(&format!("{two}{rules}")), ["unknown field `oops`"]);
    // Of one nothing is known.
    parse(&format!("{SOURCES}{rules}"));
    // And what is wrong with a source otherwise does not hide what its columns are.
    let wrong = two.replace(
        "unit: s }\n    subject: { field: zone }",
        "unit: sec }\n    subject: { field: zone }",
    );
    assert_eq!(
        messages(&format!("{wrong}{rules}")),
        ["unknown unit `sec`", "unknown field `oops`"]
    );
}

#[test]
fn a_value_may_be_given_as_a_field() {
    let rules = "signals:
  s:
    labels: { pod: { field: '`k8s.pod`.name' } }
    value: { field: ms }
    states: { up: data.x }
rules: [{ name: r, signal: s, dedup: { by: [{ field: ms }], within: 1s } }]
";
    let rules = parse(&format!("version: 1\n{rules}"));
    let path = |keys: &[&str]| Attribute::Data(keys.iter().map(|key| (*key).into()).collect());
    assert_eq!(rules.paths.as_slice(), [path(&["k8s.pod", "name"]), path(&["ms"]), path(&["x"])]);
    assert_eq!(rules.signals[0].labels[0].from.text(), "data[\"k8s.pod\"].name");
    let wrong = "version: 1\nsignals: { s: { labels: { a: { field: a..b }, b: {}, c: { fild: x } }, states: { up: data.x } } }\n\
                 rules: [{ name: r, signal: s }]";
    assert_eq!(
        messages(wrong),
        [
            "`a..b` is not a field: a key is empty",
            "the value of a label needs `field`",
            "the value of a label needs `field`",
            "the value of a label has no field `fild`",
        ]
    );
}

/// A file with one state, of lines whose groups are known.
fn with(condition: &str) -> String {
    let (one, _) = SOURCES.split_once("  rows:").expect("three sources");
    let condition = serde_json::Value::from(condition);
    format!(
        "{one}signals: {{ s: {{ states: {{ up: {condition} }} }} }}\nrules: [{{ name: r, signal: s, hold: {{ up: 1s }} }}]\n"
    )
}

fn remarks(condition: &str) -> Vec<String> {
    parse(&with(condition)).remarks.into_iter().map(|remark| remark.message).collect()
}

#[test]
fn what_fails_on_every_record_is_remarked_on() {
    for (condition, message) in [
        ("type == \"prob\"", "`type` is never \"prob\": the source says so"),
        ("type in [\"a\", \"b\"]", "`type` is never \"a\" or \"b\": the source says so"),
        (
            "data.code >= 500",
            "`data.code` is text and `500` a number, which have no order: this fails on every record",
        ),
        ("data.code == 500", "`data.code` is text and `500` a number, which are never equal"),
        ("data.code in [500, 501]", "`data.code` is text, and never a number of the list"),
        ("data.code + 1 == 2", "text and a number cannot be added: this fails on every record"),
        ("-data.code == 2", "`data.code` is text, and not a number: this fails on every record"),
        ("!subject", "`subject` is text, and not true or false: this fails on every record"),
        ("data.state", "`data.state` is text, and not true or false: this fails on every record"),
        (
            "data.code == \"1\" ? 1 : 2",
            "this is a number, and not true or false: this fails on every record",
        ),
        ("sequence == \"3\"", "no record has `sequence`: this fails on every record"),
        ("severity == \"3\"", "no record has `severity`: this fails on every record"),
        ("type in 5", "`5` is a number, and not a list or an object: this fails on every record"),
        ("data.code.startsWith(1)", "`1` is a number, and not text: this fails on every record"),
        (
            "data.code.exists(x, x == 1)",
            "`data.code` is text, and not a list or an object: this fails on every record",
        ),
    ] {
        assert_eq!(remarks(condition), [message], "{condition}");
    }
    for condition in [
        "type == \"probe\"",
        "type != \"prob\"",
        "subject == \"x\" || id == source",
        "int(data.code) >= 500",
        "data.code == string(500) && data.state != \"\"",
        "data.code in [\"500\", \"501\"] && !(data.state in {\"up\": 1})",
        "size(data.code) > 1 && data.code.matches(\"^[0-9]+$\")",
        "[data.code, data.state].exists(x, x + \"!\" == \"up!\")",
        "(has(data.code) ? data.code : \"0\") == \"1\"",
        "data.exists_one(key, key == \"code\")",
    ] {
        assert_eq!(remarks(condition), [""; 0], "{condition}");
    }
    let value = with("true").replace(
        "signals: { s: { ",
        "signals: { s: { value: \"'abc'\", labels: { l: \"[data.code]\", m: severity }, ",
    );
    let value: Vec<_> = parse(&value).remarks.into_iter().map(|remark| remark.message).collect();
    assert_eq!(
        value,
        [
            "this is a list, and not text or a number: this fails on every record",
            "no record has `severity`: this fails on every record",
            "`'abc'` is text, and not a number: this fails on every record",
        ]
    );
}

/// Whatever is remarked on holds of no record.
#[test]
fn what_is_remarked_on_never_holds() {
    const OPERANDS: [&str; 14] = [
        "subject",
        "type",
        "data.code",
        "data.state",
        "1",
        "2.5",
        "'x'",
        "true",
        "null",
        "[1]",
        "['x']",
        "{'a': 1}",
        "size(data.code)",
        "b'x'",
    ];
    const OPERATORS: [&str; 14] =
        ["==", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%", "&&", "!=", "||"];
    const RECORDS: [&str; 4] = ["1 a up 500", "2 x x ", "3 probe true 1", "4 1 null x"];
    let (mut remarked, mut held) = (0, 0);
    for left in OPERANDS {
        for right in OPERANDS {
            for operator in OPERATORS {
                let text = format!("{left} {operator} {right}");
                let rules = parse(&with(&text));
                let matcher = Matcher::new(&rules);
                let holds = RECORDS.iter().any(|record| {
                    let mut lines = Lines::default();
                    matcher.decoder(0).decode(record.as_bytes(), &mut lines).expect("a record");
                    rules.signals[0].states[0].when.eval(&lines).holds()
                });
                // What is never equal is unequal, and what fails on one side may hold by the other.
                let may_hold = matches!(operator, "!=" | "||");
                assert!(
                    may_hold || rules.remarks.is_empty() || !holds,
                    "{text}: {:?}",
                    rules.remarks
                );
                remarked += usize::from(!rules.remarks.is_empty());
                held += usize::from(holds);
            }
        }
    }
    assert!(remarked > 500 && held > 50, "{remarked}, {held}");
}
