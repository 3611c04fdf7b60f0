//! Logs in other shapes: rows, plain lines and arrays.

use serde_json::{Value, json};

use super::common::rows;
use super::{Outputs, Place, Ran};

/// Every state lasts at once, so that each change is an episode.
pub(crate) fn rules(source: &str) -> String {
    format!(
        r#"version: 1
sources:
  given:
{source}
    source: {{ const: given }}
    type: {{ const: state }}
signals:
  state:
    states:
      up: data.{at}state == "up"
      down: data.{at}state.startsWith("down")
rules: [{{ name: r, signal: state, hold: {{ up: 30s }} }}]
"#,
        at = if source.contains("explode") { "pods." } else { "" },
    )
}

pub(crate) const ROWS: &str = "    format: csv
    time: { field: ts, unit: s }
    subject: { field: '`host.name`' }";

const LINES: &str = r"    format: regex
    pattern: '^\S+ (?<host>\w+): (?<state>\w+) at (?<ts>\d+)(?: \((?<why>.*)\))?$'
    time: { field: ts, unit: s }
    subject: { field: host }";

const POLLS: &str = r#"    format: json
    explode: pods
    time: { field: at, unit: s }
    subject: { template: "{zone}/{pods.name}" }"#;

/// Ten minutes of a host that is down for one, and whose blips do not count.
const STATES: [(u64, &str); 6] =
    [(0, "up"), (100, "down"), (110, "up"), (120, "down, badly"), (160, "up"), (600, "up")];

impl Place {
    fn formats(&self, source: &str, log: &[u8]) -> Ran {
        self.write("formats.yaml", rules(source).as_bytes());
        self.write("log.txt", log);
        self.run("replay --rules formats.yaml --log log.txt --out out --workers 2")
    }

    fn episodes(&self, source: &str, log: &[u8]) -> Outputs {
        self.formats(source, log).assert(0, &[]);
        self.outputs("out")
    }
}

/// Entity, state, and from when until when, in seconds.
fn episodes(outputs: &Outputs) -> Vec<(String, String, u64, Option<u64>)> {
    let seconds = |time: &Value| {
        let time = time.as_str()?;
        assert!(time.starts_with("2026-01-01T00:"), "{time}");
        Some(
            time[14..16].parse::<u64>().expect(time) * 60
                + time[17..19].parse::<u64>().expect(time),
        )
    };
    let episode = |row: &Value| {
        let data = &row["data"];
        let text = |name: &str| data[name].as_str().expect(name).to_owned();
        let since = seconds(&data["since"]).expect("an episode begins");
        (text("entity"), text("state"), since, seconds(&data["until"]))
    };
    rows(&outputs.episodes).iter().map(episode).collect()
}

fn of(entity: &str) -> Vec<(String, String, u64, Option<u64>)> {
    let states = [("up", 0, Some(100)), ("down", 100, Some(160)), ("up", 160, None)];
    states.map(|(state, since, until)| (entity.to_owned(), state.to_owned(), since, until)).into()
}

fn letters(outputs: &Outputs) -> Vec<(u64, u64, String)> {
    let letter = |row: &Value| {
        let number = |name: &str| row[name].as_u64().expect(name);
        (number("line"), number("column"), row["reason"].as_str().expect("a reason").to_owned())
    };
    rows(&outputs.dead_letters).iter().map(letter).collect()
}

/// Line, column and part of the reason of every dead letter.
#[track_caller]
fn assert_letters(outputs: &Outputs, wanted: &[(u64, u64, &str)]) {
    let found = letters(outputs);
    assert_eq!(found.len(), wanted.len(), "{found:?}");
    for ((line, column, reason), wanted) in found.iter().zip(wanted) {
        assert_eq!((*line, *column), (wanted.0, wanted.1), "{reason}");
        assert!(reason.contains(wanted.2), "{reason}");
    }
}

fn time(second: u64) -> u64 {
    1_767_225_600 + second
}

#[test]
fn rows_under_a_header_make_episodes() {
    let place = Place::new();
    let row = |(second, state): (u64, &str)| format!("{},web,\"{state}\"\n", time(second));
    let body = STATES.map(row).concat();
    let header = "ts,host.name,state\n";
    for log in [
        format!("{header}{body}"),
        format!("\u{feff}\r\n \n{header}\r\n{body}").replace('\n', "\r\n"),
        format!("{header}{body}").trim_end().to_owned(),
    ] {
        let outputs = place.episodes(ROWS, log.as_bytes());
        assert_eq!(episodes(&outputs), of("web"));
        assert_eq!(
            (&outputs.summary["records"], &outputs.summary["dead_letters"]),
            (&json!(6), &json!(0))
        );
    }
    // The header may stand in the rule file, and the delimiter may be another.
    let tabs = format!("{ROWS}\n    delimiter: tab\n    header: [ts, host.name, state, '']");
    let row = |(second, state): (u64, &str)| format!("{}\tweb\t{state}\t\n", time(second));
    let outputs = place.episodes(&tabs, STATES.map(row).concat().as_bytes());
    assert_eq!(episodes(&outputs), of("web"));
    // What comes over standard input is read the same.
    let log = format!("{header}{body}");
    place.write("formats.yaml", rules(ROWS).as_bytes());
    place
        .run_with_input("replay --rules formats.yaml --log - --out out", log.as_bytes())
        .assert(0, &[]);
    assert_eq!(episodes(&place.outputs("out")), of("web"));
}

/// Each partition has a header of its own, and every block of it the same.
#[test]
fn columns_may_stand_otherwise_in_another_file() {
    let place = Place::new();
    let mut logs =
        [String::from("ts,host.name,state\n"), String::from("state,note,ts,host.name\n")];
    let hosts = 40;
    for (second, state) in STATES {
        for host in 0..hosts {
            let note = "\"\"\"so, \"\"".to_owned() + &"x".repeat(1_000) + "\"";
            logs[0] += &format!("{},a{host},\"{state}\"\n", time(second));
            logs[1] += &format!("\"{state}\",{note},{},b{host}\n", time(second));
        }
    }
    place.write("formats.yaml", rules(ROWS).as_bytes());
    for (name, log) in ["a.csv", "b.csv"].iter().zip(&logs) {
        place.write(name, log.as_bytes());
    }
    place.run("replay --rules formats.yaml --log a.csv b.csv --out out --workers 3").assert(0, &[]);
    let outputs = place.outputs("out");
    assert_eq!(outputs.summary["dead_letters"], 0);
    let mut wanted: Vec<_> = (0..hosts)
        .flat_map(|host| [of(&format!("a{host}")), of(&format!("b{host}"))])
        .flatten()
        .collect();
    let mut found = episodes(&outputs);
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
}

#[test]
fn rows_that_are_none_are_dead_letters() {
    let place = Place::new();
    let good = |second: u64| format!("{},web,up\n", time(second));
    let mut log = format!("ts,host.name,state\n{}", good(0)).into_bytes();
    log.extend(format!("{},web\n{},web,up,\n{},we\"b,up\n", time(1), time(1), time(1)).bytes());
    log.extend(format!("{},web,\"up\nand away\"\nnow,web,up\n", time(1)).bytes());
    log.extend(b"1767225601,web,\xff\n\n");
    log.extend(good(60).bytes());
    let outputs = place.episodes(ROWS, &log);
    let wanted = [
        (3, 15, "2 fields under a header of 3"),
        (4, 19, "4 fields under a header of 3"),
        (5, 14, "a quote in a field"),
        (6, 16, "not closed in its line"),
        (7, 9, "a quote in a field"),
        (8, 1, "`ts` must be a number since the epoch"),
        (9, 16, "not valid UTF-8"),
    ];
    assert_letters(&outputs, &wanted);
    assert_eq!((&outputs.summary["records"], &outputs.summary["used"]), (&json!(9), &json!(2)));
}

/// Nothing is output where the rule file and the header do not fit: every row would be lost.
#[test]
fn a_header_that_does_not_fit_stops_the_run_at_the_door() {
    let place = Place::new();
    place.write("formats.yaml", rules(ROWS).as_bytes());
    for (code, log, about) in [
        (
            78,
            &b"time,host.nam,state\n1,a,up\n"[..],
            &[
                "log.txt:1",
                "unknown column `ts`",
                "`host.name`",
                "did you mean `host.nam`",
                "known: `time`",
            ][..],
        ),
        (78, b"\n\nts,host.name,ts\n", &["log.txt:3", "column `ts` is repeated"]),
        (66, b"ts,\"host.name,state\n1,a,up\n", &["log.txt:1:4", "not closed"]),
        (66, b"ts,\xff\n", &["log.txt:1:4", "UTF-8"]),
        (66, &[b'x'; 3 << 20], &["log.txt:1:1", "longer"]),
    ] {
        place.write("log.txt", log);
        let before = place.listing();
        place.run("replay --rules formats.yaml --log log.txt --out out").assert(code, about);
        place.assert_untouched(&before);
    }
    for nothing in [&b""[..], b"\n \n", b"ts,host.name,state", b"\xef\xbb\xbfts,host.name,state\n"]
    {
        assert_eq!(place.episodes(ROWS, nothing).summary["records"], 0);
    }
}

/// A header that an archive's damage cut off is damage.
#[test]
fn an_archive_that_breaks_off_in_its_header_is_damaged() {
    let place = Place::new();
    place.write("formats.yaml", rules(ROWS).as_bytes());
    place.write("log.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\0\xff\xff\xff");
    place.run("replay --rules formats.yaml --log log.gz --out out").assert(65, &["log.gz"]);
    assert_eq!(place.outputs("out").summary["complete"], false);
}

#[test]
fn plain_lines_make_episodes() {
    let place = Place::new();
    let line = |(second, state): (u64, &str)| {
        format!("[x] web: {} at {}\n", state.replace(", ", "_"), time(second))
    };
    let log = STATES.map(line).concat();
    assert_eq!(episodes(&place.episodes(LINES, log.as_bytes())), of("web"));

    let mut log = log.into_bytes();
    log.extend(b"\n [x] web: up at 1767226200\n--- MARK ---\n[x] web: up at 99999999999\n\xff\n");
    log.extend(b"[x] web: up at 1767226200 (in (a) way)\r\n");
    let outputs = place.episodes(LINES, &log);
    assert_eq!(episodes(&outputs), of("web"));
    let reasons = [
        "does not match the pattern",
        "does not match the pattern",
        "`ts` is outside",
        "not valid UTF-8",
    ];
    let found = letters(&outputs);
    assert_eq!(found.iter().map(|(line, ..)| *line).collect::<Vec<_>>(), [8, 9, 10, 11]);
    for ((_, _, reason), wanted) in found.iter().zip(reasons) {
        assert!(reason.contains(wanted), "{reason}");
    }
}

/// The same ten minutes, written at +02:00 in one format or another.
#[test]
fn times_may_have_formats_of_their_own() {
    let place = Place::new();
    let clock = |second: u64| format!("02:{:02}:{:02}", second / 60, second % 60);
    let apache = |second: u64| format!("01/Jan/2026:{} +0200", clock(second));
    let logger = |second: u64| format!("2026-01-01 {},250", clock(second));
    let digits = |second: u64| format!("20260101{}", clock(second).replace(':', ""));
    let rows = "    format: csv
    time: { field: ts, format: \"%Y-%m-%d %H:%M:%S,%f\", zone: \"+02:00\" }
    subject: { field: '`host.name`' }";
    let lines = r"    format: regex
    pattern: '^\S+ (?<host>\w+): (?<state>\w+) at \[(?<ts>.*?)\]'
    time: { field: ts, format: '%d/%b/%Y:%H:%M:%S %z' }
    subject: { field: host }";
    let objects = "    format: json
    time: { field: ts, format: '%Y%m%d%H%M%S', zone: +02:00 }
    arrival: { field: at, format: '%F %T,%f', zone: +02:00 }
    subject: { field: host }";
    let log = |line: &dyn Fn(u64, &str) -> String| {
        STATES.map(|(second, state)| line(second, state)).concat()
    };
    let row = |second: u64, state: &str| format!("\"{}\",web,\"{state}\"\n", logger(second));
    let line = |second: u64, state: &str| {
        format!("[x] web: {} at [{}]\n", state.replace(", ", "_"), apache(second))
    };
    let object = |second: u64, state: &str| {
        let ts: u64 = digits(second).parse().expect("digits");
        let at = format!("2026-01-01 {},0", clock(second));
        json!({"ts": ts, "at": at, "host": "web", "state": state}).to_string() + "\n"
    };
    let outputs = place.episodes(rows, format!("ts,host.name,state\n{}", log(&row)).as_bytes());
    assert_eq!(episodes(&outputs), of("web"));
    assert_eq!(outputs.summary["dead_letters"], 0);
    assert!(String::from_utf8_lossy(&outputs.episodes).contains("2026-01-01T00:00:00.250Z"));

    let bad = "[x] web: up at [31/Feb/2026:02:00:00 +0200]\n[x] web: up at [01/Jan/9999:02:00:00 \
               +0200]\n[x] web: up at []\n";
    let outputs = place.episodes(lines, (log(&line) + bad).as_bytes());
    assert_eq!(episodes(&outputs), of("web"));
    let wanted = [
        (7, 17, "`ts` is no time as %d/%b/%Y:%H:%M:%S %z: invalid date"),
        (8, 17, "`ts` is outside of the years"),
        (9, 17, "`ts` is missing"),
    ];
    assert_letters(&outputs, &wanted);

    let bad = r#"{"at":"2026-01-01 03:00:00,0","ts":true,"host":"web","state":"up"}
{"host":"web","state":"up","ts":20260101030000,"at":"soon"}
{"host":"web","state":"up","ts":[]}
"#;
    let outputs = place.episodes(objects, (log(&object) + bad).as_bytes());
    assert_eq!(episodes(&outputs), of("web"));
    let wanted = [
        (7, 36, "`ts` is no time as %Y%m%d%H%M%S at +02:00: "),
        (8, 54, "`at` is no time as %F %T,%f at +02:00: "),
        (9, 33, "`ts` must be a time as %Y%m%d%H%M%S at +02:00"),
    ];
    assert_letters(&outputs, &wanted);
}

fn poll(second: u64, pods: &Value) -> String {
    json!({"at": time(second), "zone": "a", "pods": pods}).to_string() + "\n"
}

#[test]
fn exploded_arrays_make_episodes() {
    let place = Place::new();
    let line = |(second, state): (u64, &str)| {
        poll(second, &json!([{"name": "x", "state": state}, {"name": "y", "state": state}]))
    };
    let mut log = STATES.map(line).concat();
    log += &poll(601, &json!([]));
    let outputs = place.episodes(POLLS, log.as_bytes());
    assert_eq!(outputs.summary["records"], 12, "an empty array is no record");
    let mut found = episodes(&outputs);
    found.sort();
    let mut wanted = [of("a/x"), of("a/y")].concat();
    wanted.sort();
    assert_eq!(found, wanted);

    // Equal elements are records of their own; the same line again is the same records.
    let twice = poll(0, &json!([{"name": "x", "state": "up"}, {"name": "x", "state": "up"}]));
    let outputs = place.episodes(POLLS, format!("{twice}{twice}").as_bytes());
    let counts = ["records", "used", "duplicates", "conflicts"];
    assert_eq!(counts.map(|name| outputs.summary[name].as_u64()), [4, 2, 2, 0].map(Some));

    // Elements of one id are one record, in one line as well.
    let ids = format!("{POLLS}\n    id: {{ field: pods.id }}");
    let pod = |state: &str| json!({"name": "x", "state": state, "id": 1});
    for (pods, conflicts) in [(["up", "up", "up"], 0), (["up", "down", "up"], 1)] {
        let log = poll(0, &json!(pods.map(pod)));
        let outputs = place.episodes(&ids, log.as_bytes());
        let counts = ["records", "used", "duplicates"];
        assert_eq!(counts.map(|name| outputs.summary[name].as_u64()), [3, 1, 2].map(Some));
        assert!(outputs.summary["conflicts"].as_u64() >= Some(conflicts), "{:?}", outputs.summary);
    }

    let outputs = place.episodes(
        POLLS,
        (poll(0, &json!([7, {"name": "x", "state": "up"}, {"name": null}])) + &poll(1, &json!({})))
            .as_bytes(),
    );
    let counts = ["records", "used", "unmatched", "dead_letters"];
    assert_eq!(counts.map(|name| outputs.summary[name].as_u64()), [4, 1, 2, 1].map(Some));
    let found = letters(&outputs);
    assert_eq!(found[0].0, 2);
    assert!(found[0].2.contains("must be an array"), "{found:?}");
}

/// Each element is judged by its own time, though they share a line.
#[test]
fn elements_that_jump_or_come_after_the_end_are_taken_out_alone() {
    let place = Place::new();
    let polls = POLLS.replace("field: at", "field: pods.at");
    let pods: Vec<_> = [0, 9_999_999, 10, 20, 30, 40]
        .map(|second| json!({"name": format!("p{second}"), "state": "down", "at": time(second)}))
        .into();
    let log = poll(0, &json!(pods));
    let outputs = place.episodes(&polls, log.as_bytes());
    let counts = ["records", "used", "dead_letters"];
    assert_eq!(counts.map(|name| outputs.summary[name].as_u64()), [6, 5, 1].map(Some));
    let found: Vec<_> = episodes(&outputs).into_iter().map(|(entity, ..)| entity).collect();
    assert_eq!(found, ["a/p0", "a/p10", "a/p20", "a/p30", "a/p40"]);

    place
        .run("replay --rules formats.yaml --log log.txt --out out --until 2026-01-01T00:00:20Z")
        .assert(0, &[]);
    let found: Vec<_> =
        episodes(&place.outputs("out")).into_iter().map(|(entity, ..)| entity).collect();
    assert_eq!(found, ["a/p0", "a/p10", "a/p20"]);
}

#[test]
fn a_broken_pattern_is_pointed_at() {
    let place = Place::new();
    let broken = LINES.replace("(?<state>", "(?<state");
    place.write("formats.yaml", rules(&broken).as_bytes());
    place.run("check formats.yaml").assert(78, &["not a valid pattern", "formats.yaml:5:"]);
    let other = LINES.replace("subject: { field: host }", "subject: { field: hots }");
    place.write("formats.yaml", rules(&other).as_bytes());
    place.run("check formats.yaml").assert(78, &["unknown group `hots`", "did you mean `host`?"]);
}
