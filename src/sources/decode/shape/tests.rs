//! Shapes against a walk of every line: whatever the bytes, they leave the same behind. The lines
//! of a case are variations of few, so that most are read by a shape, or nearly.

use proptest::prelude::*;

use super::*;
use crate::rules::{RecordView, Rules};
use crate::sources::decode::{Decoder, Lines};

/// Looks at nested keys, at the object on the way to them, and at one way without a capture.
const NESTED: &str = r#"
version: 1
lateness: 5s
signals:
  s:
    where: data.a.b == 1 && data.a != "x" && data.c.d == "y"
    states: { up: data.state == "up" || severity == "high", down: data.load > 0.5 }
rules:
  - { name: r, signal: s, hold: { up: 1s } }
"#;

fn decoders() -> Vec<Decoder> {
    let flat = include_str!("../../../../tests/data/flat.yaml");
    let native = include_str!("../../../../tests/data/readiness.yaml");
    let decoder = |rules| {
        let rules = Rules::parse("rules.yaml", rules).expect("the rules are right");
        Decoder::new(&rules.sources[0], &rules.paths)
    };
    [flat, native, NESTED].map(decoder).into()
}

/// A place in a line that differs from line to line.
const VALUE: char = '@';

const TEMPLATES: &[&str] = &[
    r#"{"ts":@,"source":"probe","entity":@,"kind":@,"state":@,"seq":@,"message":@}"#,
    r#"{"ts":1767225600000,"entity":"@","kind":"k","state":"@","load":@}"#,
    r#"{"ts":@,"entity":"pod-@","state":"ready","kind":"readiness","state":@,"seq":@}"#,
    r#"{"kind":"readiness","ts":1767225600@,"x":{"y":@,"z":{"ts":@}},"entity":@}"#,
    r#"{"id":"a","source":"s","type":"@","time":"2026-01-01T00:00:00Z","data":{"state":@}}"#,
    r#"{"id":@,"source":"s","type":"t","time":"2026-01-01T00:00:0@Z","recordedtime":"2026-01-01T00:00:0@Z","data":{"state":"@","load":@}}"#,
    r#"{"id":"@","source":"@","type":"t","time":"2026-01-01T00:00:00Z","data":@,"severity":@}"#,
    r#"{"id":"a","source":"s","type":"t","time":"2026-01-01T00:00:00Z","data":{"a":{"b":@,"e":@},"c":@}}"#,
    r#"{"id":"a","source":"s","type":"t","time":"2026-01-01T00:00:00Z","data":{"a":@,"a":{"b":@},"c":{"d":@,"d":1}}}"#,
    " {\t\"id\" : \"@\" , \"source\":\"s\",\"type\":@ ,\r\"time\":\"2026-01-01T00:00:00Z\" , \"x\": @ } ",
    r#"{"id":"a","so\u0075rce":@,"type":"t","time":"2026-01-01T00:00:00Z","tags":[@,1],"x":@}"#,
    r#"{"id":"a","source":"s","type":"t","time":"2026-01-01T00:00:00Z","a-key-that-is-longer-than-what-is-compared-at-once":@,"":@}"#,
    r#"{"a":@}"#,
    "{}",
    "@",
];

const VALUES: &[&str] = &[
    "0",
    "1",
    "7",
    "-1",
    "-0",
    "00",
    "01",
    "-01",
    "1.",
    "1.5",
    "0.25",
    "1e5",
    "1E+5",
    "1e",
    "1e-",
    "1e999",
    "-",
    "+1",
    ".5",
    "123456789012345678",
    "1234567890123456789",
    "9223372036854775808",
    "18446744073709551616",
    "999999999999999999999",
    "-999999999999999999",
    "1767225600000",
    "0.1234567890123456789",
    "true",
    "false",
    "null",
    "tru",
    "True",
    "nullx",
    "\"\"",
    "\"up\"",
    "\"ready\"",
    "\"unready\"",
    "\"pod-000001\"",
    "\"2026-01-01T00:00:00Z\"",
    "\"a\\\"b\"",
    "\"\\\\\"",
    "\"\\",
    "\"\\n\\t\\/\\b\\f\\r\"",
    "\"\\u0041\"",
    "\"\\u00g1\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\\x\"",
    "\"é\"",
    "\"日本 🦀\"",
    "\"a longer text of more than sixteen bytes\"",
    "\"a longer text \\\"quoted\\\" of more than \\\\ sixteen\"",
    "\"\u{7f}\"",
    "\"\t\"",
    "\"\u{1}\"",
    "{}",
    "{\"b\":1}",
    "{\"b\":{\"d\":\"y\"}}",
    "[]",
    "[1,2]",
    "",
    " ",
    "x",
    "up",
    "1,\"id\":\"b\"",
    "1,\"y\":2",
    "a\",\"b\":\"c",
    "é",
];

/// A template with its values filled in.
fn filled() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let values = || prop::collection::vec(prop::sample::select(VALUES), 8);
    (prop::sample::select(TEMPLATES), prop::collection::vec(values(), 1..8)).prop_map(
        |(template, lines)| {
            let fill = |values: Vec<&str>| {
                let mut values = values.into_iter();
                let parts = template.split(VALUE).map(str::to_owned);
                let line = parts.reduce(|line, part| line + values.next().unwrap_or("") + &part);
                line.unwrap_or_default().into_bytes()
            };
            lines.into_iter().map(fill).collect()
        },
    )
}

#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Cut(usize),
    Repeat(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let byte = prop_oneof![
        prop::sample::select(&b"\"\\{}[]:, \t\r\n09-+.eEux\0\x1f\x7f\x80\xc3\xff"[..]),
        any::<u8>(),
    ];
    let at = 0_usize..300;
    prop_oneof![
        (at.clone(), byte.clone()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at.clone(), byte).prop_map(|(at, byte)| Change::Insert(at, byte)),
        at.clone().prop_map(Change::Remove),
        at.clone().prop_map(Change::Cut),
        (at.clone(), at).prop_map(|(from, len)| Change::Repeat(from, len % 24)),
    ]
}

fn apply(line: &mut Vec<u8>, change: &Change) {
    let len = line.len();
    match *change {
        Change::Set(at, byte) if len > 0 => line[at % len] = byte,
        Change::Insert(at, byte) => line.insert(at % (len + 1), byte),
        Change::Remove(at) if len > 0 => drop(line.remove(at % len)),
        Change::Cut(at) => line.truncate(at % (len + 1)),
        Change::Repeat(from, more) if len > 0 => {
            let from = from % len;
            let piece = line[from..len.min(from + more)].to_vec();
            line.splice(from..from, piece);
        }
        _ => {}
    }
}

/// Few templates, and some of their lines damaged, in any order.
fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), change()), 0..4);
    (prop::collection::vec(filled(), 1..4), changes)
        .prop_map(|(lines, changes)| {
            let mut lines: Vec<_> = lines.into_iter().flatten().collect();
            for (index, change) in changes {
                apply(index.get_mut(&mut lines), &change);
            }
            lines
        })
        .prop_shuffle()
}

/// All that can be seen of a line, and where its texts stand.
fn seen<'a>(decoder: &'a Decoder, line: &'a [u8], lines: &mut Lines<'a>) -> String {
    let decoded = decoder.decode(line, lines);
    match &decoded {
        Ok(_) => {
            let slots: Vec<_> = (0..lines.fills.len()).map(|slot| lines.slot(slot)).collect();
            format!("{decoded:?} {slots:?} {}", lines.data())
        }
        Err(_) => format!("{decoded:?}"),
    }
}

/// Equal, and borrowed from the same bytes or not at all.
fn same(a: &[Scalar<'_>], b: &[Scalar<'_>]) -> bool {
    let borrowed = |value: &Scalar<'_>| match value {
        Scalar::Str(Cow::Borrowed(text)) => Some(text.as_ptr()),
        _ => None,
    };
    a == b && a.iter().map(borrowed).eq(b.iter().map(borrowed))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn shapes_leave_behind_what_a_walk_does(lines in lines()) {
        for decoder in decoders() {
            let mut shapes = Shapes::default();
            let mut remembering = Lines::new(&mut shapes);
            for line in &lines {
                let expected = seen(&decoder, line, &mut Lines::default());
                prop_assert_eq!(seen(&decoder, line, &mut remembering), expected);
            }
            captures_are_the_same(&decoder, &lines)?;
        }
    }
}

fn captures_are_the_same(decoder: &Decoder, lines: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let (nodes, captures) = (&decoder.layout.nodes, decoder.layout.captures);
    let mut shapes = Shapes::default();
    for line in lines.iter().filter_map(|line| std::str::from_utf8(line).ok()) {
        let (mut walked, mut read) = (Captured::default(), Captured::default());
        let readable = walked.walk(line, nodes, captures).is_ok();
        shapes.look_at(line, nodes);
        // Of the white space that there is, JSON knows some.
        let end = line.trim_end_matches([' ', '\t', '\r', '\n']).len();
        if shapes.read(line, 0, nodes, captures, &mut read) == Some(end) {
            prop_assert!(readable, "{line}");
            prop_assert!(same(&walked.values, &read.values), "{line}: {walked:?} {read:?}");
        } else if readable {
            shapes.credit = LINES_PER_LESSON;
            shapes.learn(line, nodes, captures);
        }
    }
    Ok(())
}

#[test]
fn a_line_like_the_last_is_read_by_its_shape() {
    let decoders = decoders();
    let check = |decoder: &Decoder, lines: &[&str]| {
        let (nodes, captures) = (&decoder.layout.nodes, decoder.layout.captures);
        let (mut shapes, mut captured) = (Shapes::default(), Captured::default());
        for (i, line) in lines.iter().enumerate() {
            shapes.look_at(line, nodes);
            let read = shapes.read(line, 0, nodes, captures, &mut captured);
            assert_eq!(read, (i > 0).then_some(line.trim_end().len()), "{line}");
            if read.is_none() {
                captured.walk(line, nodes, captures).expect(line);
                shapes.learn(line, nodes, captures);
            }
        }
    };
    check(
        &decoders[0],
        &[
            r#"{"ts":1,"entity":"a","x":{"y":1},"m":"z"}"#,
            r#"{"ts":1767225600000,"entity":"","x":{"y":null},"m":"a \"quoted\" \u0041"}"#,
            "{\"ts\":1.5,\"entity\":\"\\u0041\",\"x\":{\"y\":-1.5e3},\"m\":\"\"} \r",
        ],
    );
    check(
        &decoders[2],
        &[
            r#"{"data":{"a":{"b":1},"a":2,"c":{"d":""}},"x":{}}"#,
            r#"{"data":{"a":{"b":-0},"a":1e999,"c":{"d":"\\"}},"x":{}}"#,
        ],
    );
}

#[test]
fn another_decoder_has_other_shapes() {
    let decoders = decoders();
    let line =
        br#"{"ts":1,"id":"a","source":"s","type":"t","kind":"k","time":"2026-01-01T00:00:00Z"}"#;
    let mut shapes = Shapes::default();
    for decoder in decoders.iter().chain(&decoders) {
        let mut remembering = Lines::new(&mut shapes);
        for _ in 0..2 {
            let expected = seen(decoder, line, &mut Lines::default());
            assert_eq!(seen(decoder, line, &mut remembering), expected);
        }
    }
}
