//! What is readable, and what is said of what is not.

use super::*;
use crate::rules::Rules;

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
        (b"{\"id\":1}", 1, "`id` must be a string"),
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
