//! What is readable, and what is said of what is not.

use proptest::prelude::*;

use super::*;
use crate::rules::{Attribute, Rules};

fn decoder(rules: &str) -> Decoder {
    let rules = Rules::parse("rules.yaml", rules).expect("the rules are right");
    Decoder::new(&rules.sources[0], &rules.paths)
}

fn cloudevents() -> Decoder {
    decoder(include_str!("../../../tests/data/readiness.yaml"))
}

fn error(decoder: &Decoder, line: &[u8]) -> Unreadable {
    decoder.decode(line, &mut Lines::default()).expect_err("the line is no record")
}

#[test]
fn says_where_and_why_a_line_is_no_record() {
    for (line, column, reason) in [
        (&b"{\"id\":\"a\",\"source\":\"s\",\"type\":\"t\""[..], 33, "EOF while parsing an object"),
        (b"[]", 0, "expected a JSON object"),
        (b"{} x", 4, "trailing characters"),
        (b"{\"id\":\"\xff\"}", 8, "not valid UTF-8"),
        (b"{\"id\":1}", 7, "`id` must be a string"),
        (b"{\"x\":0, \"id\": [1], \"x\":0}", 15, "`id` must be a string"),
        (b"{\"id\":\"a\",\"id\":\"a\"}", 0, "`id` is repeated"),
        (b"{\"id\":\"a\",\"i\\u0064\":\"a\"}", 0, "`id` is repeated"),
        (b"{\"id\":\"a\",\"source\":\"s\"}", 23, "`type` is missing"),
        (b"{\"id\":\"a\",\"source\":\"s\",\"type\":\"t\"}", 34, "`time` is missing"),
        (
            b"{\"id\":\"a\",\"source\":\"s\",\"type\":\"t\",\"time\":\"now\"}",
            43,
            "`time` is no RFC 3339 time",
        ),
        (
            b"{\"id\":\"a\",\"source\":\"s\",\"type\":\"t\",\"time\":\"0001-01-01T00:00:00Z\"}",
            43,
            "`time` is outside of the years 1678 to 2261",
        ),
    ] {
        let error = error(&cloudevents(), line);
        let shown = String::from_utf8_lossy(line);
        assert!(error.reason.contains(reason), "{shown}: {error:?}");
        assert!(column == 0 || error.column == column, "{shown}: {error:?}");
    }
}

#[test]
fn an_arrival_does_not_make_a_record_another_one() {
    let decoder = cloudevents();
    let line = |recorded: &str, state: &str| {
        format!(
            r#"{{"id":"a","source":"s","type":"t","time":"2026-01-01T00:00:00Z",{recorded}"data":{{"state":"{state}"}}}}"#
        )
    };
    let content =
        |line: &str| decoder.decode(line.as_bytes(), &mut Lines::default()).expect(line).content;
    let one = line("\"recordedtime\":\"2026-01-01T00:00:01Z\",", "up");
    let again = line("\"recordedtime\":\"2026-01-01T00:00:02.5Z\",", "up");
    let other = line("\"recordedtime\":\"2026-01-01T00:00:01Z\",", "down");
    assert_eq!(content(&one), content(&again));
    assert_ne!(content(&one), content(&other));
}

#[test]
fn an_arrival_is_left_out_however_it_is_written() {
    let source = |field: &str, unit: &str| {
        format!(
            "    format: json\n    time: {{ field: ts, unit: s }}\n    \
             arrival: {{ field: {field}, unit: {unit} }}\n    subject: {{ field: host }}"
        )
    };
    for (field, unit, around, one, again) in [
        ("seen", "s", r#"{"ts":7,"seen":@,"host":"a"}"#, "8", "12"),
        ("seen", "s", r#"{"ts":7,"seen": @ ,"host":"a"}"#, "7", "70"),
        ("seen", "s", r#"{"x":{"seen":8},"ts":7,"seen":@}"#, "8", "-8"),
        ("seen", "s", r#"{"ts":7,"se\u0065n":@}"#, "7", "8.5"),
        ("seen", "s", r#"{"ts":7,"seen":@}"#, "8.5", "8.50"),
        ("seen", "ns", r#"{"ts":7,"seen":@}"#, "1767225600000000000", "1767225600000000001"),
        (
            "seen",
            "rfc3339",
            r#"{"ts":7,"seen":@}"#,
            r#""2026-01-01T00\u003a00:00Z""#,
            r#""2026-01-01T00:00:01\u005a""#,
        ),
        ("at.seen", "s", r#"{"seen":1,"ts":1,"at":{"x":[1],"seen":@,"y":2}}"#, "1", "2"),
        ("'`at.seen`'", "s", r#"{"at":{"seen":1},"ts":1,"at.seen":@}"#, "1", "2"),
    ] {
        let rules = rules(&source(field, unit), &["host"]);
        let decoder = Decoder::new(&rules.sources[0], &rules.paths);
        let mut shapes = Shapes::default();
        let mut content = |arrival: &str, around: &str| {
            let line = around.replace('@', arrival);
            let decoded = decoder.decode(line.as_bytes(), &mut Lines::new(&mut shapes));
            let decoded = decoded.unwrap_or_else(|error| panic!("{line}: {error:?}"));
            assert!(decoded.arrival_ns.is_some(), "{line}");
            decoded.content
        };
        assert_eq!(content(one, around), content(again, around), "{around} {one} {again}");
        let other = around.replace('}', r#","z":1}"#);
        assert_ne!(content(one, around), content(one, &other), "{around}");
    }
}

#[test]
fn a_mapping_finds_its_fields() {
    let decoder = decoder(include_str!("../../../tests/data/flat.yaml"));
    let line = br#"{"ts":1767225600027,"source":"x","entity":"pod","kind":"readiness","seq":1,"state":"ready","state":"unready"}"#;
    let mut lines = Lines::default();
    let decoded = decoder.decode(line, &mut lines).expect("readable");
    assert_eq!(decoded.event_time_ns, 1_767_225_600_027_000_000);
    assert_eq!(decoded.subject.as_deref(), Some("pod"));
    assert_eq!(decoded.source, "probe");
    assert_eq!(decoded.sequence, Sequence::Number(1));
    assert!(matches!(decoded.id, Id::Content(_)));
    assert!(
        (0..lines.fills.len()).any(|slot| *lines.slot(slot) == Scalar::Str("ready".into())),
        "the first of repeated keys counts"
    );
}

/// A rule file with a source, and conditions that look at these fields of `data`: another source
/// might have them.
fn rules(source: &str, fields: &[&str]) -> Rules {
    let state = |(number, field): (usize, &&str)| format!("s{number}: 'data.{field} == \"\"'");
    let states: Vec<_> = fields.iter().enumerate().map(state).collect();
    let text = format!(
        "version: 1\nsources:\n  x:\n{source}\n    source: {{ const: s }}\n    type: {{ const: t }}\n\
         \x20 y: {{ format: cloudevents }}\nsignals: {{ x: {{ states: {{ {} }} }} }}\nrules: [{{ name: r, signal: x }}]\n",
        states.join(", "),
    );
    Rules::parse("rules.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Fails unless the slots are what stands in `data`.
fn assert_one_story(lines: &Lines<'_>, paths: &Paths) {
    let data = lines.data();
    for (slot, attribute) in paths.as_slice().iter().enumerate() {
        let Attribute::Data(keys) = attribute else { continue };
        let found = keys.iter().try_fold(&data, |at, key| at.get(key.as_str()));
        let agrees = match (lines.slot(slot), found) {
            (Scalar::Missing, None) | (Scalar::Null, Some(Value::Null)) => true,
            (Scalar::Str(text), Some(Value::String(found))) => text == found,
            (Scalar::Int(number), Some(found)) => found.as_i64() == Some(*number),
            (Scalar::Bool(value), Some(found)) => found.as_bool() == Some(*value),
            (Scalar::Composite, Some(found)) => found.is_array() || found.is_object(),
            _ => false,
        };
        assert!(agrees, "{keys:?}: {:?} in {data}", lines.slot(slot));
    }
}

const ROWS: &str = r#"    format: csv
    time: { field: ts, unit: s }
    arrival: { field: seen, unit: s }
    subject: { field: "`host.name`" }
    sequence: { field: "no" }
    id: { field: id }"#;

fn columns(names: &[&str]) -> Vec<SmolStr> {
    names.iter().map(SmolStr::new).collect()
}

#[test]
fn a_row_is_a_record_of_text() {
    let rules = rules(ROWS, &["state", "nothing", "ts", "twice", "state.deeper"]);
    let decoder = Decoder::new(&rules.sources[0], &rules.paths);
    let names = ["ts", "seen", "host.name", "no", "id", "state", "twice", "twice"];
    let header = columns(&names);
    let mut lines = Lines::default().under(&header, &decoder);

    let row = r#"1767225600.5,1767225601,"a ""b""",7,x,"up, or so",1,2"#;
    let decoded = decoder.decode(row.as_bytes(), &mut lines).expect("readable");
    assert_eq!(decoded.event_time_ns, 1_767_225_600_500_000_000);
    assert_eq!(decoded.arrival_ns, Some(1_767_225_601_000_000_000));
    assert_eq!(decoded.subject.as_deref(), Some("a \"b\""));
    assert_eq!((decoded.sequence, decoded.id), (Sequence::Number(7), Id::Text("x".into())));
    assert_one_story(&lines, &rules.paths);
    let data = lines.data();
    assert_eq!((&data["state"], &data["twice"]), (&"up, or so".into(), &"1".into()));

    // To the mapping an empty field is none; to a condition it is the empty string.
    let decoded = decoder.decode(b"1767225600,,,,,,,", &mut lines).expect("readable");
    assert_eq!((decoded.arrival_ns, decoded.subject), (None, None));
    assert_eq!(decoded.sequence, Sequence::Absent);
    assert!(matches!(decoded.id, Id::Content(_)));
    assert_one_story(&lines, &rules.paths);
    assert_eq!(lines.data()["state"], "");

    for (row, column, reason) in [
        ("1767225600,1", 13, "2 fields under a header of 8"),
        ("1767225600,,,,,,,,x", 19, "9 fields under a header of 8"),
        (",,a,,,,,", 8, "`ts` is missing"),
        ("1767225600,,a\"b,,,,,", 14, "a quote in a field"),
        ("1767225600,,a,,,\"up", 17, "not closed in its line"),
        ("soon,,a,,,,,", 1, "`ts` must be a number"),
        ("1767225600,\"then\",a,,,,,", 13, "`seen` must be a number"),
    ] {
        let error = decoder.decode(row.as_bytes(), &mut lines).expect_err(row);
        assert_eq!(error.column, column, "{row}: {error:?}");
        assert!(error.reason.contains(reason), "{row}: {error:?}");
    }
}

#[test]
fn a_template_wants_all_its_fields() {
    let source = r#"    format: csv
    time: { field: ts, unit: s }
    subject: { template: "{zone}/{host}" }"#;
    let rules = rules(source, &["state"]);
    let decoder = Decoder::new(&rules.sources[0], &rules.paths);
    let header = columns(&["ts", "zone", "host", "state"]);
    let mut lines = Lines::default().under(&header, &decoder);
    for (row, subject) in [("1,a,b,up", Some("a/b")), ("1,,b,up", None), ("1,a,\"\",up", None)] {
        let decoded = decoder.decode(row.as_bytes(), &mut lines).expect(row);
        assert_eq!(decoded.subject.as_deref(), subject, "{row}");
    }
}

#[test]
fn the_groups_of_a_pattern_are_the_record() {
    let source = r#"    format: regex
    pattern: '^(?<ts>\S+) (?<host>\w+)(?: is (?<state>\w*))?$'
    time: { field: ts, unit: rfc3339 }
    subject: { field: host }"#;
    let rules = rules(source, &["state", "host", "other"]);
    let decoder = Decoder::new(&rules.sources[0], &rules.paths);
    let mut lines = Lines::default();
    for (line, state) in [
        ("2026-01-01T00:00:00Z web is up", Some("up")),
        ("2026-01-01T00:00:00Z web is ", Some("")),
        ("2026-01-01T00:00:00Z web", None),
    ] {
        let decoded = decoder.decode(line.as_bytes(), &mut lines).expect(line);
        assert_eq!(decoded.event_time_ns, 1_767_225_600_000_000_000);
        assert_eq!(decoded.subject.as_deref(), Some("web"));
        assert_one_story(&lines, &rules.paths);
        assert_eq!(lines.data().get("state").and_then(Value::as_str), state);
    }
    for (line, column, reason) in [
        (&b"web is up"[..], 1, "does not match the pattern"),
        (b"now web", 1, "`ts` is no RFC 3339 time"),
        (b"now \xff", 5, "not valid UTF-8"),
    ] {
        let error = decoder.decode(line, &mut lines).expect_err(reason);
        assert_eq!(error.column, column, "{error:?}");
        assert!(error.reason.contains(reason), "{error:?}");
    }
}

#[test]
fn white_space_belongs_to_text_and_not_to_json() {
    let decoder_of = |source: &str| {
        let rules = rules(source, &["x"]);
        Decoder::new(&rules.sources[0], &rules.paths)
    };
    let rows = decoder_of(ROWS);
    assert_eq!(rows.trim(b"\ta\t \r"), (0, &b"\ta\t "[..]));
    assert_eq!(rows.trim(b" \t\r").1, b"");
    assert_eq!(cloudevents().trim(b"\t{} \r"), (1, &b"{}"[..]));
}

const POLLS: &str = r#"    format: json
    explode: status.pods
    time: { field: status.pods.ts, unit: s }
    arrival: { field: seen, unit: rfc3339 }
    subject: { template: "{cluster}/{status.pods.name}" }"#;

/// Event time, arrival, entity, identity and `data`; or column and reason.
type Seen = Result<(i64, Option<i64>, Option<String>, Id, Value), (usize, String)>;

/// The records of a line: what is read and what conditions see.
fn exploded(rules: &Rules, line: &str) -> Vec<Seen> {
    let decoder = Decoder::new(&rules.sources[0], &rules.paths);
    let mut records = Vec::new();
    decoder.explode(line, &mut Lines::default(), &mut |lines, _, decoded| {
        records.push(match decoded {
            Ok(decoded) => {
                assert_one_story(lines, &rules.paths);
                let subject = decoded.subject.map(Cow::into_owned);
                let (time, arrival) = (decoded.event_time_ns, decoded.arrival_ns);
                Ok((time, arrival, subject, decoded.id, lines.data()))
            }
            Err(error) => Err((error.column, error.reason)),
        });
    });
    records
}

#[test]
fn an_array_is_exploded() {
    let rules = rules(POLLS, &["status.pods.state", "cluster", "status.pods", "status.of"]);
    let line = r#"{"cluster":"c","status":{"pods":[{"ts":1767225600,"name":"a","state":"up"},{"ts":1767225600,"name":"a","state":"up"},{"name":"b"},7,{"ts":1767225601,"name":"b","ts":0}],"of":5}}"#;
    let records = exploded(&rules, line);
    let [first, again, Err(untimed), Err(number), Err(repeated)] = records.as_slice() else {
        panic!("{records:?}");
    };
    let (first, again) = (first.as_ref().expect("a record"), again.as_ref().expect("a record"));
    assert_eq!((first.0, first.2.as_deref()), (1_767_225_600_000_000_000, Some("c/a")));
    assert_eq!(first.4["status"]["pods"]["state"], "up");
    assert_eq!(first.4["status"]["of"], 5);
    assert_eq!((first.0, &first.2, &first.4), (again.0, &again.2, &again.4));
    assert_ne!(first.3, again.3, "equal elements of one array are two records");

    let end_of = |element: &str| line.find(element).expect(element) + element.len();
    assert_eq!(*untimed, (end_of(r#"{"name":"b"}"#), "`status.pods.ts` is missing".to_owned()));
    assert_eq!(number.0, end_of(",7"));
    let place = line.find(r#"{"ts":1767225601"#).expect("it is there")..=line.len();
    assert!(place.contains(&repeated.0) && repeated.1.contains("`ts` is repeated"), "{repeated:?}");
}

#[test]
fn what_cannot_be_exploded_is_one_dead_letter_and_an_empty_array_nothing() {
    let rules = rules(POLLS, &["cluster"]);
    assert!(exploded(&rules, r#"{"status":{"pods":[ ]}}"#).is_empty());
    let many = format!(r#"{{"status":{{"pods":[{}1]}}}}"#, "1,".repeat(1 << 16));
    for (line, column, reason) in [
        (r#"{"status":{}}"#, 13, "`status.pods` is missing"),
        (r#"{"status":[1]}"#, 14, "`status.pods` is missing"),
        (r#"{"status":{"pods":null}}"#, 19, "must be an array"),
        (r#"{"status":{"pods":{}}}"#, 19, "must be an array"),
        (r#"{"status":{"pods":[],"pods":[]}}"#, 0, "`pods` is repeated"),
        (r#"{"status":{"pods":[1,]}}"#, 0, ""),
        ("[]", 0, "a JSON object"),
        (&many, 19, "65537 elements"),
    ] {
        let records = exploded(&rules, line);
        let [Err((at, why))] = records.as_slice() else { panic!("{line:.80}: {records:?}") };
        assert!(column == 0 || *at == column, "{line:.80}: {at} {why}");
        assert!(why.contains(reason), "{line:.80}: {why}");
    }
}

/// A JSON value over few keys, some of which are those that the rules name.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (1_767_225_600_i64..1_767_225_603).prop_map(Value::from),
        "[a\"é\n]{0,2}".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec!["ts", "name", "state", "pods", "status", "x\""]);
    leaf.prop_recursive(3, 12, 4, move |inner| {
        let object = prop::collection::btree_map(key.clone(), inner.clone(), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|entries| {
                entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            }),
        ]
    })
}

proptest! {
    /// An element is read as the line would be with the element in the place of the array.
    #[test]
    fn an_element_is_read_in_the_place_of_its_array(
        elements in prop::collection::vec(value(), 0..5),
        around in value(),
        seen in prop::option::of(0..60_u32),
        first in any::<bool>(),
    ) {
        let fields = ["status.pods.state", "status.pods", "status", "around.state", "status.pods.name"];
        let rules = rules(POLLS, &fields);
        let plain = POLLS.replace("    explode: status.pods\n", "");
        let plain = self::rules(&plain, &fields);
        let line = |array: &str| {
            let seen = seen.map(|s| format!("\"seen\":\"2026-01-01T00:00:{s:02}Z\","));
            let seen = seen.unwrap_or_default();
            match first {
                true => format!("{{{seen}\"status\": {{\"pods\" : {array}}},\"around\":{around},\"cluster\":1}}"),
                false => format!("{{\"cluster\":1,\"around\":{around},{seen}\"status\":{{\"of\":1,\"pods\":{array} }} }}"),
            }
        };
        let records = exploded(&rules, &line(&Value::from(elements.clone()).to_string()));
        prop_assert_eq!(records.len(), elements.len());
        let mut ids = std::collections::BTreeSet::new();
        for (record, element) in records.into_iter().zip(elements) {
            let wanted = exploded(&plain, &line(&element.to_string())).remove(0);
            match (record, wanted) {
                (Ok(record), Ok(wanted)) => {
                    prop_assert!(ids.insert(record.3), "each element is its own");
                    prop_assert_eq!((record.0, record.1, record.2), (wanted.0, wanted.1, wanted.2));
                    prop_assert_eq!(record.4, wanted.4);
                }
                (Err(error), Err(wanted)) => prop_assert_eq!(error.1, wanted.1),
                (record, wanted) => prop_assert!(false, "{record:?}, not {wanted:?}"),
            }
        }
    }

    /// Delivered again at another time, the records are the same; in another line they are not.
    #[test]
    fn the_arrival_does_not_make_elements_others(
        elements in prop::collection::vec(value(), 1..5),
        pair in [0..60_u32, 0..60_u32],
        number in any::<bool>(),
    ) {
        let polls = POLLS.replace("seen, unit: rfc3339", "seen, unit: s");
        let rules = rules(if number { &polls } else { POLLS }, &["status.pods"]);
        let array = Value::from(elements);
        let ids = |seen: u32, of: u32| {
            let seen = match number {
                true => format!("{}", 1_767_225_600 + seen),
                false => format!("\"2026-01-01T00:00:{seen:02}Z\""),
            };
            let line = format!("{{\"seen\":{seen},\"status\":{{\"pods\":{array},\"of\":{of}}},\"cluster\":1}}");
            let records = exploded(&rules, &line).into_iter();
            records.filter_map(|record| Some(record.ok()?.3)).collect::<Vec<_>>()
        };
        let (once, again, other) = (ids(pair[0], 1), ids(pair[1], 1), ids(pair[0], 2));
        prop_assert_eq!(&once, &again);
        prop_assert!(once.iter().all(|id| !other.contains(id)));
    }

    /// The same where each element has its own arrival.
    #[test]
    fn their_own_arrivals_do_not_make_elements_others(
        arrivals in prop::collection::vec([0..9_u32, 0..9_u32], 1..5),
        times in prop::collection::vec(0..9_u32, 5),
    ) {
        let polls = POLLS.replace("arrival: { field: seen, unit: rfc3339 }", "arrival: { field: status.pods.at.seen, unit: s }");
        let rules = rules(&polls, &["status.pods"]);
        let ids = |delivery: usize, name: &str| {
            let elements = arrivals.iter().zip(&times).map(|(seen, ts)| {
                format!("{{\"ts\":{ts},\"name\":\"{name}\",\"at\":{{\"seen\":{}}}}}", seen[delivery])
            });
            let elements = elements.collect::<Vec<_>>().join(",");
            let line = format!("{{\"seen\":0,\"cluster\":1,\"status\":{{\"pods\":[{elements}]}}}}");
            let records = exploded(&rules, &line).into_iter();
            records.map(|record| record.expect("a record").3).collect::<Vec<_>>()
        };
        let (once, again, other) = (ids(0, "a"), ids(1, "a"), ids(0, "b"));
        prop_assert_eq!(once.len(), arrivals.len());
        prop_assert_eq!(&once, &again);
        prop_assert!(once.iter().all(|id| !other.contains(id)));
    }

    /// Whatever stands in a line, it is records or dead letters that point into it.
    #[test]
    fn no_line_of_any_format_does_harm(
        line in prop_oneof![
            "[0-9,\"a é\t\r]{0,24}",
            "(\\{\"status\": ?)?(\\{\"pods\": ?)?\\[[\\[\\]{}:,\"a1.e ]{0,16}\\](\\}){0,2}",
            any::<String>(),
        ],
    ) {
        let pattern = r#"    format: regex
    pattern: '(?<ts>\d+).(?<host>\w*)(?<state>\W)?'
    time: { field: ts, unit: ns }
    subject: { field: host }"#;
        let sources = [ROWS, pattern, POLLS, &POLLS.replace("status.pods.ts", "status")];
        let header = columns(&["ts", "host.name"]);
        for source in sources {
            let rules = rules(&source.replace("    arrival: { field: seen, unit: s }\n", ""), &["state"]);
            let decoder = Decoder::new(&rules.sources[0], &rules.paths);
            let mut lines = Lines::default().under(&header, &decoder);
            decoder.explode(&line, &mut lines, &mut |lines, _, decoded| match decoded {
                Ok(_) => assert_one_story(lines, &rules.paths),
                Err(error) => assert!((1..=line.len() + 1).contains(&error.column), "{error:?}"),
            });
        }
    }

    #[test]
    fn a_row_of_any_text_is_its_fields(
        fields in prop::collection::vec("[a,\"é ]{0,4}", 2..6), quotes in any::<bool>(),
    ) {
        let source = r#"    format: csv
    time: { field: ts, unit: s }
    subject: { field: host }"#;
        let rules = rules(source, &["c0", "c1", "c2", "host"]);
        let decoder = Decoder::new(&rules.sources[0], &rules.paths);
        let mut names = vec!["ts".to_owned(), "host".to_owned()];
        names.extend((0..fields.len()).map(|number| format!("c{number}")));
        let style = if quotes { ::csv::QuoteStyle::Always } else { ::csv::QuoteStyle::Necessary };
        let mut writer = ::csv::WriterBuilder::new().quote_style(style).from_writer(Vec::new());
        let row = ["1767225600", "web"].into_iter().chain(fields.iter().map(String::as_str));
        writer.write_record(row).expect("a Vec takes every write");
        let row = String::from_utf8(writer.into_inner().expect("whole")).expect("text");
        let header: Vec<_> = names.iter().map(SmolStr::new).collect();
        let mut lines = Lines::default().under(&header, &decoder);
        decoder.decode_text(row.trim_end_matches('\n'), &mut lines).expect("readable");
        assert_one_story(&lines, &rules.paths);
        let data = lines.data();
        for (number, field) in fields.iter().enumerate() {
            prop_assert_eq!(&data[format!("c{number}")], field);
        }
    }
}
