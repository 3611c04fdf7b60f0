//! What is wrong with sources.

use expect_test::expect;

use super::{Format, check, parse};

#[test]
fn each_format_has_its_own_options() {
    let rules = parse(
        r#"version: 1
sources:
  rows:
    format: csv
    delimiter: tab
    header: [ts, "host.name", state]
    time: { field: ts, unit: s }
    subject: { template: "{`host.name`}!" }
    source: { const: rows }
    type: { const: state }
  lines:
    format: regex
    pattern: '^(?<ts>\S+) (?P<host>\S+)'
    time: { field: ts, unit: rfc3339 }
    subject: { field: host }
    source: { const: lines }
    type: { const: state }
  polls:
    format: json
    explode: status.pods
    time: { field: ts, unit: s }
    subject: { field: status.pods.name }
    source: { const: polls }
    type: { const: state }
signals: { a: { states: { up: data.state == "up" } } }
rules: [{ name: r, signal: a }]
"#,
    );
    let Format::Csv(csv) = &rules.sources[0].format else { panic!("csv") };
    assert_eq!((csv.delimiter, csv.header.as_ref().map(|header| header.len())), (b'\t', Some(3)));
    let Format::Regex(regex) = &rules.sources[1].format else { panic!("regex") };
    assert_eq!(regex.pattern.captures_len(), 3);
    let Format::Json { explode: Some(path), .. } = &rules.sources[2].format else { panic!("json") };
    assert_eq!(path.keys(), ["status", "pods"]);
}

#[test]
fn what_is_wrong_with_columns_and_patterns() {
    check(
        r#"version: 1
sources:
  rows:
    format: csv
    delimiter: "--"
    explode: a
    header: [ts, host, state, host, {}]
    time: { field: ts, unit: s }
    subject: { field: host }
    source: { const: rows }
    type: { const: state }
  named:
    format: csv
    header: [ts, host, state, host]
    time: { field: tz, unit: s }
    subject: { template: "{cluster.name}/{host}" }
    source: { const: rows }
    type: { const: state }
  lines:
    format: regex
    pattern: '^(?<ts>\S+) ((?<host>\S+)'
    time: { field: ts, unit: s }
    subject: { field: host }
    source: { const: rows }
    type: { field: a.b }
  class:
    format: regex
    pattern: '(?<ts>.) \p{Greak} (?<host>.)'
    time: { field: ts, unit: s }
    subject: { field: host }
    source: { const: rows }
    type: { const: state }
  large:
    format: regex
    pattern: '(?<ts>\w{10000})'
    time: { field: ts, unit: s }
    subject: { field: host }
    source: { const: rows }
    type: { const: state }
  named-lines:
    format: regex
    pattern: '(?<ts>.) (?<host>.)'
    time: { field: ts, unit: s }
    subject: { field: hots }
    source: { const: rows }
    type: { const: state }
  none: { format: regex, time: { field: ts, unit: s }, subject: { field: a }, source: { field: a }, type: { field: a } }
  polls: { format: json, explode: "a[]", pattern: x, time: { field: ts, unit: s }, subject: { field: a }, source: { field: a }, type: { field: a } }
  native: { format: cloudevents, explode: data }
signals: { a: { states: { up: data.state == "up" } } }
rules: [{ name: r, signal: a }]
"#,
        &expect![[r#"
            error: `--` cannot be the delimiter
             --> rules.yaml:5:16
              |
            5 |     delimiter: "--"
              |                ^^^^
              |
              = help: one mark of punctuation, as "," or ";", but no quote; or tab

            error: `explode` belongs to format: json, not to csv
             --> rules.yaml:6:14
              |
            6 |     explode: a
              |              ^
              |
              = help: remove it

            error: a column is text, not a mapping
             --> rules.yaml:7:37
              |
            7 |     header: [ts, host, state, host, {}]
              |                                     ^^

            error: unknown column `tz`
              --> rules.yaml:15:20
               |
            15 |     time: { field: tz, unit: s }
               |                    ^^
               |
               = help: did you mean `ts`?

            error: a column has no fields of its own, as `cluster.name` asks for
              --> rules.yaml:16:26
               |
            16 |     subject: { template: "{cluster.name}/{host}" }
               |                          ^^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: write `cluster.name` in backticks if it is one column

            error: column `host` is repeated
              --> rules.yaml:16:26
               |
            16 |     subject: { template: "{cluster.name}/{host}" }
               |                          ^^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: give each column that is mapped its own name

            error: not a valid pattern: unclosed group
              --> rules.yaml:21:27
               |
            21 |     pattern: '^(?<ts>\S+) ((?<host>\S+)'
               |                           ^
               |
               = help: the syntax is that of the crate regex; a group is named so: (?<state>up|down)

            error: a group has no fields of its own, as `a.b` asks for
              --> rules.yaml:25:20
               |
            25 |     type: { field: a.b }
               |                    ^^^
               |
               = help: write `a.b` in backticks if it is one group

            error: not a valid pattern: Unicode property not found
              --> rules.yaml:28:24
               |
            28 |     pattern: '(?<ts>.) \p{Greak} (?<host>.)'
               |                        ^^^^^^^^^
               |
               = help: the syntax is that of the crate regex; a group is named so: (?<state>up|down)

            error: not a valid pattern: Compiled regex exceeds size limit of 10485760 bytes.
              --> rules.yaml:35:14
               |
            35 |     pattern: '(?<ts>\w{10000})'
               |              ^^^^^^^^^^^^^^^^^^

            error: unknown group `hots`
              --> rules.yaml:44:23
               |
            44 |     subject: { field: hots }
               |                       ^^^^
               |
               = help: did you mean `host`?

            error: a source needs `pattern`
              --> rules.yaml:47:3
               |
            47 |   none: { format: regex, time: { field: ts, unit: s }, subject: { field: a }, source: { field: a }, type: { field: a } }
               |   ^^^^
               |
               = help: add `pattern: '^(?<ts>\S+) (?<host>\S+) (?<state>\w+)'`

            error: `a[]` is not a field: a key with a blank, brace or bracket needs backticks around it
              --> rules.yaml:48:35
               |
            48 |   polls: { format: json, explode: "a[]", pattern: x, time: { field: ts, unit: s }, subject: { field: a }, source: { field: a }, type...
               |                                   ^^^^^
               |
               = help: write a.b, or `a.b` in backticks for a key with a dot

            error: `pattern` belongs to format: regex, not to json
              --> rules.yaml:48:51
               |
            48 |   polls: { format: json, explode: "a[]", pattern: x, time: { field: ts, unit: s }, subject: { field: a }, source: { field: a }, type...
               |                                                   ^
               |
               = help: remove it

            error: `explode` belongs to format: json, not to cloudevents
              --> rules.yaml:49:43
               |
            49 |   native: { format: cloudevents, explode: data }
               |                                           ^^^^
               |
               = help: remove it

            15 errors
        "#]],
    );
}
