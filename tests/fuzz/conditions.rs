//! Conditions, made by a grammar or damaged: they are refused with a place, or judge every record.

use limbeck::rules::Rules;
use limbeck::sources::decode::Lines;
use limbeck::sources::intake::Matcher;

use super::mutate::Corpus;
use super::oracle::logs::Random;
use super::rule_files::check_errors;
use super::{Executing, executions, kind, random, report};

const PATHS: &[&str] = &[
    "data",
    "data.a",
    "data.b",
    "data.a.b",
    "data['x y']",
    "data.a[0]",
    "data[\"a\"].b",
    "type",
    "source",
    "subject",
    "id",
    "sequence",
    "severity",
    "traceparent",
    "data.s",
    "data.missing.deeper",
];
const LITERALS: &[&str] = &[
    "0",
    "1",
    "-1",
    "7u",
    "1.5",
    "1e300",
    "-0.0",
    "true",
    "false",
    "null",
    "''",
    "'x'",
    "\"é\"",
    "r'\\d'",
    "b'a'",
    "[]",
    "[1, 'x', null]",
    "{}",
    "{'a': 1}",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615u",
    "'''multi\nline'''",
];
const OPERATORS: &[&str] =
    &["==", "!=", "<", "<=", ">", ">=", "in", "&&", "||", "+", "-", "*", "/", "%"];

fn operand(random: &mut Random, depth: u32) -> String {
    match random.below(if depth > 0 { 16 } else { 2 }) {
        0 | 2..=5 => (*random.pick(PATHS)).to_owned(),
        1 | 6 | 7 => (*random.pick(LITERALS)).to_owned(),
        8 => {
            let call =
                random.pick(&["size", "string", "int", "uint", "double", "type", "bytes", "bool"]);
            format!("{call}({})", operand(random, depth - 1))
        }
        9 => {
            let (on, with) = (operand(random, depth - 1), operand(random, depth - 1));
            format!(
                "{on}.{}({with})",
                random.pick(&["contains", "startsWith", "endsWith", "matches"])
            )
        }
        10 => {
            let (on, what) = (operand(random, depth - 1), operand(random, depth - 1));
            let name = random.pick(&["x", "type", "data"]);
            let what = what.replace("data.b", name);
            let call = random.pick(&["exists", "all", "exists_one", "map", "filter"]);
            format!("{on}.{call}({name}, {what})")
        }
        11 => format!("!({})", operand(random, depth - 1)),
        12 => format!("-({})", operand(random, depth - 1)),
        13 => {
            let [when, one, two] = [(); 3].map(|()| operand(random, depth - 1));
            format!("({when} ? {one} : {two})")
        }
        14 => format!("has({})", random.pick(&["data.a", "data.a.b", "data.missing.deeper"])),
        _ => {
            let (one, two) = (operand(random, depth - 1), operand(random, depth - 1));
            format!("({one} {} {two})", random.pick(OPERATORS))
        }
    }
}

/// A condition that is mostly legal.
pub(crate) fn condition(random: &mut Random) -> String {
    let (one, two) = (operand(random, 3), operand(random, 3));
    format!("{one} {} {two}", random.pick(OPERATORS))
}

const RECORDS: &[&str] = &[
    r#"{"id":"1","source":"s","type":"t","time":"2026-01-01T00:00:00Z","subject":"x","data":{"a":1,"b":"x","s":"é"}}"#,
    r#"{"id":"2","source":"s","type":"t","time":"2026-01-01T00:00:00Z","data":{"a":{"b":[1,"x",null]},"b":1.5,"x y":true}}"#,
    r#"{"id":"3","source":"s","type":"t","time":"2026-01-01T00:00:00Z","sequence":"7","severity":"high","data":[1,2,{"a":3}]}"#,
    r#"{"id":"4","source":"s","type":"t","time":"2026-01-01T00:00:00Z","data":{"a":[["x"],{"b":{}}],"b":-9223372036854775808}}"#,
    r#"{"id":"5","source":"","type":"","time":"2026-01-01T00:00:00Z"}"#,
    r#"{"id":"6","source":"s","type":"t","time":"2026-01-01T00:00:00Z","data":null}"#,
];

const WORDS: &[&str] = &[
    "data",
    "data.a",
    "type",
    "subject",
    "has(",
    "size(",
    "int(",
    "string(",
    ".exists(x, x == 1)",
    ".map(x, x + 1)",
    ".all(",
    ".matches('",
    "duration('1h')",
    "timestamp(",
    "dyn(",
    "in",
    "&&",
    "||",
    "!",
    "?",
    ":",
    "==",
    "<",
    "+",
    "-",
    "*",
    "/",
    "%",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    ".",
    ",",
    "'",
    "\"",
    "\\",
    "\\u0041",
    "\\x",
    "b'",
    "r'",
    "'''",
    "1",
    "0x",
    "0xff",
    "1u",
    "1e",
    "1.",
    ".5",
    "null",
    "true",
    "9223372036854775808",
    "//",
    "\n",
    "@in",
    "_",
    "__result__",
    "@sorted",
    "a.b.c",
    "optional.of(",
    "é",
    "getDate()",
    "max(",
    "reverse()",
    "type(",
];

/// Judges all records with a condition, if it is legal; says what came of it.
fn execute(text: &str) -> (bool, u64) {
    // As a value, too, whatever it comes to.
    let quoted = serde_json::Value::from(text);
    let value = serde_json::Value::from(format!("string({text})"));
    let yaml = format!(
        "version: 1\nsignals: {{ s: {{ labels: {{ l: {value} }}, states: {{ up: {quoted} }} }} }}\n\
         rules: [{{ name: r, signal: s }}]\n"
    );
    let rules = match Rules::parse("rules.yaml", &yaml) {
        Ok(rules) => rules,
        Err(errors) => {
            check_errors(&yaml, &errors);
            return (false, kind(&errors.iter().map(|e| &*e.message).collect::<String>()));
        }
    };
    let matcher = Matcher::new(&rules);
    let mut verdicts = String::new();
    let mut again = String::new();
    for record in RECORDS {
        let mut lines = Lines::default();
        matcher.decoder(0).decode(record.as_bytes(), &mut lines).expect("the record is good");
        let condition = &rules.signals[0].states[0].when;
        let verdict = condition.eval(&lines);
        let label = &rules.signals[0].labels[0].from;
        verdicts.push_str(&format!("{verdict:?} '{:?}\n", label.eval(&lines)));
        again.push_str(&format!("{:?} '{:?}\n", condition.eval(&lines), label.eval(&lines)));
        let constant = condition.constant();
        assert!(constant.is_none_or(|constant| constant == verdict), "{constant:?}, {verdict:?}");
        let slots = rules.paths.as_slice().len();
        assert!(condition.needs(&rules.paths).iter().all(|slot| *slot < slots));
    }
    assert_eq!(verdicts, again);
    (true, kind(&verdicts) ^ u64::from(rules.signals[0].states[0].when.is_native()))
}

#[test]
fn conditions_on_records() {
    let (executions, mut random) = (executions(10), random(3));
    let seeds = (0..200).map(|_| condition(&mut random)).collect::<Vec<_>>();
    let mut corpus = Corpus::new(seeds, WORDS);
    let (mut good, mut executed) = (0, 0);
    while executed < executions {
        let text = match random.chance(40) {
            true => condition(&mut random),
            false => String::from_utf8_lossy(&corpus.draw(&mut random)).into_owned(),
        };
        let _executing = Executing("conditions", text.as_bytes());
        let (legal, kind) = execute(&text);
        corpus.learn(text.as_bytes(), kind);
        good += u64::from(legal);
        executed += 1;
    }
    report("conditions", executed, good, corpus.kinds());
}
