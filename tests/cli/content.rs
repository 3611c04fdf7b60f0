//! What the logs say: lines that are not records, or hardly.

use serde_json::{Value, json};

use super::common::{Outputs, rows};
use super::{PROBES, Place};

/// A record of an entity of its own, as text without its end.
fn record(entity: &str, time: &str, state: &str) -> String {
    let event = json!({
        "id": format!("{entity}-{time}"), "source": "s", "type": "probe.readiness",
        "subject": entity, "time": time, "data": {"state": state},
    });
    event.to_string()
}

const NOON: &str = "2026-01-01T12:00:00Z";
const ONE: &str = "2026-01-01T12:01:00Z";

fn good(entity: &str) -> String {
    record(entity, NOON, "ready")
}

fn count(outputs: &Outputs, name: &str) -> u64 {
    outputs.summary[name].as_u64().expect(name)
}

/// Line, column and reason of each dead letter.
fn letters(outputs: &Outputs) -> Vec<(u64, u64, String)> {
    let letter = |row: &Value| {
        let number = |name: &str| row[name].as_u64().expect(name);
        (number("line"), number("column"), row["reason"].as_str().expect("a reason").to_owned())
    };
    rows(&outputs.dead_letters).iter().map(letter).collect()
}

#[test]
fn lines_that_are_no_records_are_dead_letters() {
    let place = Place::new();
    let not_records = [
        "7",
        "null",
        "true",
        "[]",
        "\"text\"",
        "{}",
        "{",
        "}",
        "not json",
        "{\"id\":\"a\"}",
        "\u{feff}{}",
        "\u{a0}",
        "\u{c}",
        "\u{b}{}",
    ];
    let mut log = good("a") + "\n";
    for line in not_records {
        log.push_str(line);
        log.push_str("\n\n");
    }
    log.push_str(&good("b"));
    let outputs = place.replay(log.as_bytes());
    assert_eq!((count(&outputs, "records"), count(&outputs, "used")), (16, 2));
    let letters = letters(&outputs);
    let lines: Vec<u64> = letters.iter().map(|(line, ..)| *line).collect();
    let wanted: Vec<u64> = (0..not_records.len() as u64).map(|number| 2 + 2 * number).collect();
    assert_eq!(lines, wanted);
    for ((_, column, reason), line) in letters.iter().zip(not_records) {
        assert!((1..=line.len() as u64 + 1).contains(column), "{line:?}: column {column}");
        assert!(!reason.is_empty(), "{line:?}");
    }
    for (row, line) in rows(&outputs.dead_letters).iter().zip(not_records) {
        assert_eq!((&row["record"], &row["file"]), (&json!(line), &json!("given.ndjson")));
    }
}

/// White space that JSON does not know makes no record of what follows it.
#[test]
fn only_white_space_of_json_may_stand_around_a_record() {
    let place = Place::new();
    let repeated = good("a");
    let log =
        format!("{repeated}\n \t{repeated} \t\r\n\u{c}{repeated}\n{repeated}\u{c}\n{repeated}\r");
    let outputs = place.replay(log.as_bytes());
    let counts = ["used", "duplicates", "conflicts", "dead_letters"];
    assert_eq!(counts.map(|name| count(&outputs, name)), [1, 2, 0, 2]);
    let places: Vec<_> = letters(&outputs).into_iter().map(|(line, ..)| line).collect();
    assert_eq!(places, [3, 4]);
}

#[test]
fn ends_of_lines_and_a_byte_order_mark_change_nothing() {
    let place = Place::new();
    let text = std::str::from_utf8(PROBES).expect("the example is text");
    let wanted = place.replay(PROBES);
    let without_last_end = text.trim_end().to_owned();
    for same in [
        text.replace('\n', "\r\n"),
        format!("\u{feff}{text}"),
        format!("\u{feff}{}", text.replace('\n', "\r\n")),
        without_last_end.replace('\n', "\r\n") + "\r",
        without_last_end,
    ] {
        place.replay(same.as_bytes()).assert_equal(&wanted, &format!("{same:.30?}"));
    }
    // Without an id, equal records are the same record, whatever ends their lines.
    let line = super::flat_log(1);
    let line = String::from_utf8(line).expect("a log is text");
    let line = line.trim_end();
    place.write("flat.ndjson", format!("{line}\n{line}\r\n {line}\n{line}\r").as_bytes());
    place.run("replay --rules flat.yaml --log flat.ndjson --out out").assert(0, &[]);
    let outputs = place.outputs("out");
    assert_eq!((count(&outputs, "used"), count(&outputs, "duplicates")), (1, 3));
}

#[test]
fn bytes_that_are_no_text_are_dead_letters() {
    let place = Place::new();
    let mut log = Vec::new();
    for bytes in [&b"\0"[..], b"\0\0\0\0", b"{\"id\":\"\0\"}", b"\xff\xfe{}", b"{\"id\":\"\x80\"}"]
    {
        log.extend_from_slice(bytes);
        log.push(b'\n');
    }
    log.extend_from_slice(good("a").as_bytes());
    let outputs = place.replay(&log);
    assert_eq!((count(&outputs, "dead_letters"), count(&outputs, "used")), (5, 1));
    let utf8: Vec<_> = letters(&outputs)
        .into_iter()
        .filter(|(.., reason)| reason.contains("UTF-8"))
        .map(|(line, column, _)| (line, column))
        .collect();
    assert_eq!(utf8, [(4, 1), (5, 8)]);
}

#[test]
fn an_endless_line_is_one_dead_letter() {
    let place = Place::new();
    let mut log = good("a").into_bytes();
    log.push(b'\n');
    log.extend_from_slice(b"{\"id\":\"");
    log.resize(log.len() + 60_000_000, b'x');
    log.extend_from_slice(b"\"}\n");
    log.extend_from_slice(good("b").as_bytes());
    let outputs = place.replay(&log);
    assert_eq!((count(&outputs, "records"), count(&outputs, "used")), (3, 2));
    let letters = letters(&outputs);
    assert_eq!((letters.len(), letters[0].0), (1, 2));
    assert!(letters[0].2.contains("60000009 bytes"), "{letters:?}");
    let record = rows(&outputs.dead_letters)[0]["record"].as_str().map(str::len);
    assert_eq!(record, Some(1024), "a dead letter keeps 1 KiB");
}

#[test]
fn depth_overflows_no_stack() {
    let place = Place::new();
    let mut log = Vec::new();
    for (kind, opening, closing, depth) in
        [("list", "[", "]", 200_000), ("object", "{\"a\":", "}", 150_000)]
    {
        let deep = format!("{}1{}", opening.repeat(depth), closing.repeat(depth));
        // In a member that nobody looks at, beside a state, and where a state is looked for.
        let outside = good(&format!("{kind} outside"));
        log.push(format!("{},\"note\":{deep}}}", &outside[..outside.len() - 1]));
        let beside = good(&format!("{kind} beside"));
        log.push(beside.replace("\"ready\"", &format!("\"ready\",\"note\":{deep}")));
        log.push(good(&format!("{kind} within")).replace("\"ready\"", &deep));
        log.push(opening.repeat(depth));
        log.push(deep);
    }
    log.push(good("d"));
    let outputs = place.replay(log.join("\n").as_bytes());
    assert_eq!(count(&outputs, "records"), 11);
    // It is valid JSON where it stands in a record, and no record on its own.
    let counts = ["used", "unmatched", "dead_letters"].map(|name| count(&outputs, name));
    assert_eq!(counts, [5, 2, 4]);
}

#[test]
fn absurd_times_are_dead_letters_and_the_edges_of_time_are_not() {
    let place = Place::new();
    let absurd = ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2262-04-11T23:47:16.854775808Z"];
    let mut lines = vec![good("a")];
    lines.extend(absurd.map(|time| record("a", time, "ready")));
    lines.push(record("a", "2026-13-01T00:00:00Z", "ready"));
    // Further ahead than the clock may jump.
    lines.push(record("a", "2262-04-11T23:47:16.854775807Z", "ready"));
    lines.push(record("a", ONE, "unready"));
    let outputs = place.replay(lines.join("\n").as_bytes());
    assert_eq!((count(&outputs, "used"), count(&outputs, "dead_letters")), (2, 5));
    let letters = letters(&outputs);
    assert!(letters[..3].iter().all(|(.., reason)| reason.contains("1678")), "{letters:?}");
    assert!(letters[4].2.contains("max_advance"), "{letters:?}");

    for edge in ["2262-04-11T23:47:16.854775807Z", "1677-09-21T00:12:43.145224192Z"] {
        for tick in ["1ms", "100ms", "1s", "1d"] {
            place.write("edge.ndjson", record("a", edge, "ready").as_bytes());
            let line =
                format!("replay --rules rules.yaml --log edge.ndjson --out out --tick {tick}");
            place.run(&line).assert(0, &[]);
            let outputs = place.outputs("out");
            assert_eq!((count(&outputs, "used"), count(&outputs, "episodes")), (1, 0), "{edge}");
        }
    }
    // From the first instant to the last, and an end before everything.
    let until = "--until 2262-04-11T23:47:16.854775807Z";
    place
        .run(&format!("replay --rules rules.yaml --log edge.ndjson --out out {until}"))
        .assert(0, &[]);
    assert_eq!(count(&place.outputs("out"), "episodes"), 1);
    let until = "--until 1677-09-21T00:12:43.145224192Z";
    place
        .run(&format!("replay --rules rules.yaml --log probes.ndjson --out out {until}"))
        .assert(0, &[]);
    assert_eq!(count(&place.outputs("out"), "records"), 0);
}

/// A record of the far future is in time, and waits for a clock that may never come.
#[test]
fn the_far_future_waits() {
    let place = Place::new();
    let event = |id: &str, time: &str, recorded: &str, state: &str| {
        let event = json!({
            "id": id, "source": "s", "type": "probe.readiness", "subject": "a",
            "time": time, "recordedtime": recorded, "data": {"state": state},
        });
        event.to_string()
    };
    let lines = [
        event("1", NOON, NOON, "ready"),
        event("2", "2262-04-11T23:47:16.854775807Z", NOON, "unready"),
        event("3", ONE, ONE, "ready"),
    ];
    let outputs = place.replay(lines.join("\n").as_bytes());
    assert_eq!((count(&outputs, "used"), count(&outputs, "episodes")), (3, 1));
    let episode = &rows(&outputs.episodes)[0]["data"];
    assert_eq!((&episode["state"], &episode["until"]), (&json!("ready"), &json!(null)));
}
