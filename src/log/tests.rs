//! Whatever a line says, its row says the same.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

use super::import::import;
use super::manifest::Manifest;
use super::read::Groups;
use super::rows::Rows;
use super::stored::Stored;
use crate::model::Scalar;
use crate::replay::Log;
use crate::rules::{RecordView, Rules};
use crate::sources::Interrupt;
use crate::sources::intake::{Matcher, records};

/// Looks at whatever a condition can look at.
const RULES: &str = r#"
version: 1
sources:
  s:
    format: json
    time: { field: ts, unit: ms }
    arrival: { field: at, unit: rfc3339 }
    subject: { field: e }
    source: { field: src }
    type: { field: kind }
    sequence: { field: seq }
    id: { field: id }
signals:
  a:
    where: type == "k" || sequence == "7" || id == "x" || source == "s" || subject == "e"
    states:
      one: data.a == 1 && data.a.b == "x" && data["a.b"] == true && data.c.a.b == 1.5
      two: has(data.b) && has(data.a.c) && data.b.size() == 2
      three: data.exists(k, k == "c") && data.ts == 1 && data.seq == 2 && data.at == "x"
rules: [{ name: r, signal: a }]
"#;

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1",
            "-5",
            "12.50",
            "1.5",
            "1e3",
            "0.1",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "123456789.12345678901",
            "1.7976931348623157e308",
            "1e999",
            "{}",
            "[]",
            "[1, {\"a\": 1e999}, null]",
            r#""""#,
            r#""x""#,
            r#""a\"b\\c""#,
            r#""\u0041\/""#,
            r#""\ud800""#,
            r#""\u0000""#,
            r#""\u0001 é""#,
            "\"é\u{2028}\"",
        ])
        .prop_map(str::to_owned),
        any::<f64>().prop_filter("JSON has none", |x| x.is_finite()).prop_map(|x| x.to_string()),
        any::<f64>().prop_filter("JSON has none", |x| x.is_finite()).prop_map(|x| format!("{x:?}")),
        any::<i64>().prop_map(|x| x.to_string()),
        "[ -~]{0,30}".prop_map(|text| Value::from(text).to_string()),
    ]
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c", "a.b", "", "d e", r"\u0061", r"\ud800", "`"])
}

fn json() -> impl Strategy<Value = String> {
    scalar().prop_recursive(4, 16, 4, |inner| {
        let member = (key(), inner.clone());
        prop_oneof![
            prop::collection::vec(member, 0..4).prop_map(|members| object(&members)),
            prop::collection::vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(", "))),
        ]
    })
}

fn object(members: &[(&str, String)]) -> String {
    let members = members.iter().map(|(key, value)| format!("\"{key}\": {value}"));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn line() -> impl Strategy<Value = String> {
    let attribute = |usual: &'static [&'static str]| {
        prop_oneof![
            4 => prop::sample::select(usual.to_vec()).prop_map(|text| Some(text.to_owned())),
            1 => scalar().prop_map(Some),
            1 => Just(None),
        ]
    };
    let attributes = (
        (0_i64..5).prop_map(|ts| Some((1_767_225_600_000 + ts).to_string())),
        attribute(&["\"2026-01-01T00:00:00.000Z\"", "\"2026-01-01T00:00:00.10Z\""]),
        attribute(&["\"e\"", "\"f\"", "7"]),
        attribute(&["\"s\""]),
        attribute(&["\"k\"", "\"l\""]),
        attribute(&["7", "\"7\"", "\"007\"", "-7", "\"x\"", "\"99999999999999999999\""]),
        attribute(&["\"x\"", "\"y\"", "8"]),
    );
    let others = prop::collection::vec((key(), json()), 0..6);
    (attributes, others, "[ \t]{0,2}").prop_map(
        |((ts, at, e, src, kind, seq, id), others, space)| {
            let names = ["ts", "at", "e", "src", "kind", "seq", "id"];
            let attributes = names.into_iter().zip([ts, at, e, src, kind, seq, id]);
            let attributes = attributes.filter_map(|(name, value)| Some((name, value?)));
            let members: Vec<(&str, String)> = attributes.chain(others).collect();
            format!("{space}{}{space}", object(&members))
        },
    )
}

/// All that is seen of a log: by record, what it says and what each slot and `data` show.
fn seen(log: &Log, rules: &Rules) -> Vec<String> {
    let partition = log.open(0, rules, &Interrupt::default()).expect("it can be opened");
    let matcher = Matcher::new(rules);
    let mut all = Vec::new();
    records(partition, &matcher, |seen| {
        let line = seen.line;
        all.push(match &seen.record {
            Err(error) => format!("{line} {error:?}"),
            Ok(record) => {
                let slots = 0..rules.paths.as_slice().len();
                let slots: Vec<Scalar<'_>> = slots.map(|n| seen.view.slot(n).clone()).collect();
                format!("{line} {record:?} {slots:?} {:?}", seen.view.data())
            }
        });
        ControlFlow::Continue(())
    })
    .expect("it is whole");
    all
}

fn imported(log: &Log, rules: &Rules, dir: &Path) -> Vec<Stored> {
    import(rules, std::slice::from_ref(log), dir, &Interrupt::default())
        .unwrap_or_else(|failure| panic!("{failure}"));
    Stored::all(dir, false).expect("there is a manifest")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_row_is_what_its_line_was(lines in prop::collection::vec(line(), 1..150)) {
        let rules = Rules::parse("rules.yaml", RULES).unwrap_or_else(|errors| panic!("{errors}"));
        let dir = TempDir::new().expect("a temporary folder can be made");
        let path = dir.path().join("log");
        fs::write(&path, lines.join("\n")).expect("a log can be written");
        let log = Log::file(path, 0);
        let [stored] = &imported(&log, &rules, &dir.path().join("into"))[..] else {
            panic!("one log is one partition");
        };
        let wanted = seen(&log, &rules);
        let got = seen(&Log::stored(stored.clone(), &rules).expect("it has the source"), &rules);
        for (got, wanted) in got.iter().zip(&wanted) {
            prop_assert_eq!(got, wanted);
        }
        prop_assert_eq!(got.len(), wanted.len());

        let mut groups = Groups::new(stored.clone(), &Interrupt::default());
        while let Some(group) = groups.next_group() {
            let rows = Rows::read(group.expect("it is whole"), &rules.paths).expect("it is whole");
            for row in (0..rows.len()).filter(|row| rows.dead_letter(*row).is_none()) {
                let line = &lines[rows.line(row) as usize - 1];
                let text = rows.text(row).expect("a record has a line");
                prop_assert_eq!(&text.as_bytes()[..text.len().min(1024)],
                    &line.as_bytes()[..line.len().min(1024)]);
            }
        }
    }
}

#[test]
fn times_and_names_that_repeat_are_stored_once() {
    let rules = Rules::parse("rules.yaml", RULES).unwrap_or_else(|errors| panic!("{errors}"));
    let dir = TempDir::new().expect("a temporary folder can be made");
    let line = |n: i64| {
        let at = crate::model::time::format_rfc3339(1_767_225_600_000_000_000 + n * 1_000_000);
        format!(
            r#"{{"ts":{},"at":"{at}","e":"e{n}","src":"s","kind":"k","seq":{n},"up":true}}"#,
            1_767_225_600_000 + n
        )
    };
    let lines: Vec<_> = (0..100).map(line).collect();
    let path = dir.path().join("log");
    fs::write(&path, lines.join("\n")).expect("a log can be written");
    let into = dir.path().join("into");
    imported(&Log::file(path, 0), &rules, &into);
    let manifest = Manifest::read(&into).expect("it is whole");
    let segment = &manifest.partitions[0].segments[0];
    let bytes = fs::read(into.join(&segment.file)).expect("it is there");
    let text = String::from_utf8_lossy(&bytes);
    let layout = text.find("{\"sequence_shown\"").map(|at| &text[at..]).expect("the layout");
    let end = layout.find("\"groups\"").expect("its end");
    expect_test::expect![[
        r#"{"sequence_shown":true,"json":true,"columns":[{"path":["at"],"kind":"text","same_as":{"time":"rfc3339"}},{"path":["e"],"kind":"text","same_as":"subject"},{"path":["kind"],"kind":"text","same_as":"type"},{"path":["seq"],"kind":"int","same_as":"sequence"},{"path":["src"],"kind":"text","same_as":"source"},{"path":["ts"],"kind":"int","same_as":{"time":"ms"}},{"path":["up"],"kind":"bool","column":"data.up"}],"#
    ]]
    .assert_eq(&layout[..end]);
}
