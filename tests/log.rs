//! Replay logs: what is replayed of an import is what the logs themselves come to, byte for byte.

mod common;
mod oracle;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use common::{Outputs, assert_same_lines};
use limbeck::durable::Disk;
use limbeck::log::Stored;
use limbeck::log::append::{self, Appender, Liveness};
use limbeck::log::import::import;
use limbeck::log::look::{Window, cat, verify};
use limbeck::log::split::{By, split};
use limbeck::replay::{Log, Options, replay};
use limbeck::rules::{Rules, Skew};
use limbeck::sources::{Block, Blocks, Interrupt, open};
use tempfile::TempDir;

fn rules(text: &str) -> Rules {
    Rules::parse("rules.yaml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn options(logs: Vec<Log>, out: PathBuf, workers: usize, tick_ns: i64) -> Options {
    Options {
        logs,
        out,
        workers,
        from_ns: None,
        until_ns: None,
        tick_ns,
        cluster: None,
        fates: true,
        checkpoint: None,
        senders: None,
        profile: false,
        progress: false,
        interrupt: Interrupt::default(),
        block_bytes: None,
    }
}

fn replayed(rules: &Rules, options: &Options) -> (Outputs, Vec<u8>) {
    replay(rules, options).unwrap_or_else(|failure| panic!("{failure}"));
    let fates = fs::read(options.out.join("fates.ndjson")).expect("fates.ndjson");
    (Outputs::read(&options.out), fates)
}

/// Appends logs to one, of which much, little or nothing is sealed.
fn appended(rules: &Rules, logs: &[Log], into: &Path, seal_bytes: u64) {
    let options = append::Options { seal_bytes, ..append::Options::default() };
    let logs: Vec<_> = logs.iter().map(|log| (log.clone(), Liveness::Recorded)).collect();
    let (disk, interrupt) = (Disk::default(), Interrupt::default());
    append::start(rules, &logs, (&disk, into), options, || 0, &interrupt)
        .and_then(|appending| Ok(appending.run()?))
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// Imports and appends logs by one rule file, and replays them and what became of them by others.
fn check(what: &str, by: &Rules, others: &[&Rules], logs: &[Log], tick_ns: i64) {
    let dir = TempDir::new().expect("a temporary folder can be made");
    let folder = |name: &str| dir.path().join(name);
    import(by, logs, &folder("imported"), &Interrupt::default())
        .unwrap_or_else(|failure| panic!("{failure}"));
    appended(by, logs, &folder("appended"), u64::MAX);
    appended(by, logs, &folder("sealed"), 4000);
    for (from, into, parts, by) in [
        ("imported", "split", 3, By::Subject),
        ("sealed", "compacted", 2, By::Source),
        ("appended", "by source", 4, By::Source),
    ] {
        split(&folder(from), &folder(into), parts, by).unwrap_or_else(|why| panic!("{why}"));
    }
    for into in ["sealed", "compacted"] {
        Appender::open(&Disk::default(), &folder(into), append::Options::default(), || 0)
            .and_then(Appender::compact)
            .unwrap_or_else(|why| panic!("{why}"));
    }
    for rules in others {
        let wanted = replayed(rules, &options(logs.to_vec(), dir.path().join("a"), 1, tick_ns));
        for (into, workers) in [
            ("imported", 1),
            ("imported", 3),
            ("appended", 2),
            ("sealed", 1),
            ("split", 1),
            ("split", 2),
            ("by source", 2),
            ("compacted", 1),
        ] {
            let (_, wrong) = verify(&folder(into)).expect("there is a manifest");
            assert_eq!(wrong, [], "{what}, {into}");
            let stored = Stored::all(&folder(into), false).expect("there is a manifest");
            let stored = stored.into_iter().map(|stored| Log::stored(stored, rules));
            let stored = stored.collect::<Option<_>>().expect("the rules have the sources");
            let summary = &wanted.0.summary;
            // Clocks are followed, and values of labels counted, in the order of one partition.
            let is_of_whole = rules.sources.iter().any(|source| source.skew == Skew::Correct)
                || summary["label_overflows"] != 0;
            if into == "split" && is_of_whole {
                continue;
            }
            let options = options(stored, dir.path().join("b"), workers, tick_ns);
            let (mut outputs, fates) = replayed(rules, &options);
            if into == "split" {
                // The accounts of sources are those of the parts.
                outputs.summary["sources"] = summary["sources"].clone();
            }
            outputs.assert_equal(&wanted.0, &format!("{what}, {into}, on {workers} workers"));
            assert_same_lines(&fates, &wanted.1, &format!("{what}, {into}: fates.ndjson"));
        }
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Imports and replays the logs of a folder by its rules.
fn check_folder(name: &str, logs: &[&str], tick_ns: i64) {
    let text = fs::read_to_string(folder(name).join("rules.yaml")).expect("the rules");
    let rules = rules(&text);
    let log = |log: &&str| match log.split_once('=') {
        Some((source, file)) => {
            let source = rules.sources.iter().position(|known| known.name == *source);
            Log::file(folder(name).join(file), source.expect("a source"))
        }
        None => Log::file(folder(name).join(log), 0),
    };
    let logs: Vec<Log> = logs.iter().map(log).collect();
    check(name, &rules, &[&rules], &logs, tick_ns);
}

const TICK_NS: i64 = 100_000_000;

#[test]
fn golden_logs() {
    check_folder("tests/golden/readiness", &["readiness.ndjson"], TICK_NS);
    check_folder("tests/golden/labels", &["log.ndjson"], TICK_NS);
    check_folder("tests/golden/flat", &["probe=flat.ndjson.zst"], TICK_NS);
    check_folder("tests/golden/adversarial", &["a.ndjson", "b.ndjson", "c.ndjson"], 250_000_000);
}

#[test]
fn documents_of_tools() {
    let logs = ["traces=otlp.jsonl", "history=range.json", "dump=history.om"];
    let more = ["federate=federate.prom", "events=events.json", "webhooks=webhooks.json"];
    check_folder("tests/golden/formats", &[&logs[..], &more[..]].concat(), TICK_NS);
}

#[test]
fn the_generated_log() {
    check_folder("datasets/flap-generated", &["log.ndjson.zst"], TICK_NS);
}

#[test]
fn the_recording_of_haproxy() {
    let logs = ["checks=checks.csv.zst", "messages=haproxy.log.zst"];
    check_folder("datasets/haproxy", &logs, TICK_NS);
}

#[test]
fn logs_against_the_oracle() {
    let dir = TempDir::new().expect("a temporary folder can be made");
    for seed in 0..150 {
        let case = oracle::logs::case(seed);
        let write = |(number, bytes): (usize, &Vec<u8>)| {
            let path = dir.path().join(format!("{number}.ndjson"));
            fs::write(&path, bytes).expect("a log can be written");
            Log::file(path, 0)
        };
        let logs: Vec<Log> = case.partitions.iter().enumerate().map(write).collect();
        let rules = rules(&case.yaml);
        check(&format!("seed {seed}"), &rules, &[&rules], &logs, TICK_NS);
    }
}

/// Checks a log by the rules that it is imported by, and by others, both with these sources.
fn check_text(what: &str, source: &str, log: &[u8], others: &[&str]) {
    let dir = TempDir::new().expect("a temporary folder can be made");
    let path = dir.path().join("log");
    fs::write(&path, log).expect("a log can be written");
    let by = |rest: &str| rules(&format!("version: 1\nsources:\n{source}\n{rest}"));
    let first = by("signals: { s: { states: { up: type == \"k\" } } }\n\
                    rules: [{ name: r, signal: s, hold: { up: 10s } }]");
    let others: Vec<Rules> = others.iter().map(|rest| by(rest)).collect();
    let all: Vec<&Rules> = std::iter::once(&first).chain(&others).collect();
    check(what, &first, &all, &[Log::file(path, 0)], TICK_NS);
}

/// Records that jump are dead letters with their lines, though the import knew of no jump.
const JUMPS: &str = "lateness: 1s\nmax_advance: 2s\n\
    signals: { s: { states: { up: data.state == \"up\", down: data.state == \"down\" } } }\n\
    rules: [{ name: r, signal: s, hold: { up: 3s, down: 3s } }]";

/// Asks for what the rules of the import did not ask for.
const CURIOUS: &str = "signals:\n\
    \x20 s:\n\
    \x20   labels: { zone: data.zone, all: 'data.a.size() > 1 ? \"many\" : \"few\"' }\n\
    \x20   value: data.value\n\
    \x20   states: { big: data.value > 5, odd: 'has(data.a) && \
       data.a.exists(x, x == 1)', id: id != \"\" }\n\
    rules: [{ name: r, signal: s, dedup: { by: [data.state], within: 5s } }]";

const JSON: &str = "  s:\n    format: json\n    time: { field: ts, unit: s }\n    \
    subject: { template: \"{zone}/{e}\" }\n    source: { const: s }\n    type: { const: k }\n    \
    sequence: { field: seq }";

#[test]
fn lines_of_json() {
    let mut log = Vec::from(*b"\xef\xbb\xbf");
    for n in 0..400 {
        let state = if n / 7 % 2 == 0 { "up" } else { "down" };
        let more = match n % 9 {
            0 => r#","a":[1,2],"value":12"#.to_owned(),
            1 => r#","a":{"b":1},"value":"7.5""#.to_owned(),
            2 => format!(r#","seq":{n},"value":0.1000"#),
            3 => r#","beyond":1e400"#.to_owned(),
            4 => format!(r#","text":"{}ä""#, "x".repeat(1000 + n % 60)),
            5 => r#","zone":"other","a":null"#.to_owned(),
            _ => format!(r#","seq":"{n}","q":"\"{n}\" said""#),
        };
        let ts = n + n / 50 * 3;
        let line = format!(r#"{{"ts":{ts},"e":"e{}","zone":"z","state":"{state}"{more}}}"#, n % 5);
        log.extend_from_slice(line.as_bytes());
        log.extend_from_slice([&b"\n"[..], b"\r\n", b" \n", b"\n\n"][n % 4]);
        if n % 50 == 7 {
            log.extend_from_slice(b"{\"ts\": 1, \xff}\n");
            log.extend(std::iter::repeat_n(0xc3, 1500));
            log.extend_from_slice(b"\nno record \xc3\xa9\n");
        }
        if n == 200 {
            log.extend(std::iter::repeat_n(b'x', 2 << 20));
            log.push(b'\n');
        }
    }
    check_text("JSON", JSON, &log, &[JUMPS, CURIOUS]);
}

#[test]
fn lines_that_stand_for_several_records() {
    let source = "  s:\n    format: json\n    explode: a.pods\n    time: { field: ts, unit: s }\n    \
        subject: { template: \"{zone}/{a.pods.name}\" }\n    source: { const: s }\n    \
        type: { const: k }\n    sequence: { field: a.pods.seq }";
    let mut log = String::new();
    for n in 0..200 {
        let pods: Vec<String> = (0..n % 4)
            .map(|pod| match (n + pod) % 11 {
                0 => "7".to_owned(),
                1 => "{\"name\":1}".to_owned(),
                2 => format!("{{\"name\":\"p{pod}\",\"seq\":\"{n}\"}}"),
                _ => format!("{{\"name\":\"p{pod}\", \"seq\":{n},\"up\":true}}"),
            })
            .collect();
        let state = if n / 7 % 2 == 0 { "up" } else { "down" };
        let (ts, pods) = (n + n / 50 * 3, pods.join(" , "));
        log += &format!(
            " {{\"ts\":{ts},\"state\":\"{state}\",\"a\":{{\"x\":1,\"pods\":[{pods}],\"y\":2}},\
             \"zone\":\"z\",\"value\":{n}}}\n"
        );
    }
    log += "{\"ts\":1,\"zone\":\"z\",\"a\":{\"pods\":3}}\n";
    let curious = "signals: { s: { states: { up: data.a.pods.up == true, all: 'data.a.x == 1 && \
        data.exists(k, k == \"zone\")' } } }\nrules: [{ name: r, signal: s }]";
    check_text("explode", source, log.as_bytes(), &[JUMPS, CURIOUS, curious]);
}

#[test]
fn rows_under_a_header() {
    let source = "  s:\n    format: csv\n    time: { field: ts, unit: s }\n    \
        subject: { field: e }\n    source: { field: src }\n    type: { const: k }\n    \
        sequence: { field: seq }";
    let mut log = "ts,e,src,seq,state,value,zone,e2,\"a \"\"b\"\"\",,zone\n".to_owned();
    for n in 0..300 {
        let state = if n / 7 % 2 == 0 { "up" } else { "\"down\"" };
        let seq = ["", "7", "007", "x\"\"y"][n % 4];
        let (ts, e) = (n + n / 50 * 3, ["a", "\"b,c\"", ""][n % 3]);
        log += &format!("{ts},{e},s,\"{seq}\",{state},{n}.50,z, \0 ,q,,zz\n");
        if n % 40 == 9 {
            log += "1,2\n\"open\n";
        }
    }
    check_text("CSV", source, log.as_bytes(), &[JUMPS, CURIOUS]);
}

#[test]
fn lines_that_a_pattern_takes_apart() {
    let source = "  s:\n    format: regex\n    \
        pattern: '^(?<ts>\\d+) (?<all>(?<e>\\w+) (?<state>up|down))(?: (?<value>\\d+))?'\n    \
        time: { field: ts, unit: s }\n    subject: { field: e }\n    source: { const: s }\n    \
        type: { const: k }";
    let mut log = String::new();
    for n in 0..300 {
        let state = if n / 7 % 2 == 0 { "up" } else { "down" };
        let value = if n % 3 == 0 { format!(" {n} tail") } else { String::new() };
        log += &format!("{} e{} {state}{value}\r\n", n + n / 50 * 3, n % 4);
        log += if n % 40 == 9 { "else\n" } else { "" };
    }
    let curious = "signals: { s: { labels: { all: data.all }, value: data.value, states: { \
        tail: has(data.value) && data.all != \"\", up: data.state == \"up\" } } }\n\
        rules: [{ name: r, signal: s }]";
    check_text("a pattern", source, log.as_bytes(), &[JUMPS, curious]);
}

#[test]
fn lines_of_cloudevents() {
    let source = "  s:\n    format: cloudevents";
    let mut log = String::new();
    for n in 0..300 {
        let state = if n / 7 % 2 == 0 { "up" } else { "down" };
        let data = match n % 8 {
            0 => String::new(),
            1 => ",\"data\":7".to_owned(),
            2 => ",\"data\":null".to_owned(),
            3 => ",\"data\":[1]".to_owned(),
            4 => ",\"data\":{}".to_owned(),
            _ => format!(",\"data\":{{\"state\":\"{state}\",\"value\":{n},\"zone\":\"z\"}}"),
        };
        let more = match n % 5 {
            0 => format!(",\"severity\":\"s{n}\",\"sequence\":\"{n}\""),
            1 => ",\"traceparent\":\"00-1\",\"severity\":7,\"other\":{\"x\":1}".to_owned(),
            _ => format!(",\"sequence\":\"0{n}\""),
        };
        let second = n + n / 50 * 3;
        let (minute, second) = (second / 60, second % 60);
        log += &format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{}\",\"source\":\"s\",\"type\":\"k\",\
             \"subject\":\"e{}\",\"time\":\"2026-01-01T00:{minute:02}:{second:02}Z\",\
             \"recordedtime\":\"2026-01-01T00:{minute:02}:{second:02}.5Z\"{more}{data}}}\n",
            n / 2,
            n % 3
        );
    }
    let curious = "signals: { s: { states: { a: severity == \"s5\" || traceparent == \"00-1\", \
        b: data == 7, c: sequence == \"07\" || sequence == \"5\", d: has(data.value), \
        e: data.size() == 0 } } }\nrules: [{ name: r, signal: s }]";
    check_text("CloudEvents", source, log.as_bytes(), &[JUMPS, CURIOUS, curious]);
}

/// Live probes that do not say when they arrived.
const LIVE: &str = "version: 1\nsources:\n  s:\n    format: json\n    time: { field: ts, unit: s }\n    \
    subject: { field: e }\n    source: { const: s }\n    type: { const: k }\nlateness: 20s\n\
    signals: { s: { states: { up: data.up == true, down: data.up == false } } }\n\
    rules: [{ name: r, signal: s, hold: { up: 10s, down: 10s } }]";

/// What a log of one or more partitions comes to, and what is shown of it.
fn live(rules: &Rules, log: &Path, out: &Path) -> (Outputs, String) {
    let stored = Stored::all(log, false).expect("there is a manifest");
    let stored = stored.into_iter().map(|stored| Log::stored(stored, rules));
    let stored = stored.collect::<Option<_>>().expect("the rules have the sources");
    let mut shown = Vec::new();
    assert_eq!(cat(log, Window::default(), &mut shown).expect("memory takes it"), []);
    let (_, wrong) = verify(log).expect("there is a manifest");
    assert_eq!(wrong, []);
    (
        replayed(rules, &options(stored, out.to_owned(), 1, TICK_NS)).0,
        String::from_utf8(shown).expect("JSON"),
    )
}

#[test]
fn what_comes_live_is_stamped_and_time_passes_without_it() {
    const SECOND_NS: i64 = 1_000_000_000;
    let rules = rules(LIVE);
    let dir = TempDir::new().expect("a temporary folder can be made");
    let log = dir.path().join("log");
    let clock = Arc::new(AtomicI64::new(0));
    let now = Arc::clone(&clock);
    // Waits so long for something to write: nothing but what is put shall wake it.
    let options = append::Options { clock_every_ns: 20 * SECOND_NS, ..append::Options::default() };
    let mut appender =
        Appender::open(&Disk::default(), &log, options, move || now.load(Ordering::SeqCst))
            .unwrap_or_else(|failure| panic!("{failure}"));
    let live_input = Liveness::Live { idle_after_ns: Some(100 * SECOND_NS) };
    let mut begin = |name: &str, liveness| {
        appender
            .begin(name, &rules, 0, None, liveness)
            .unwrap_or_else(|failure| panic!("{failure}"))
    };
    let (a, b) = (begin("a", live_input), begin("b", Liveness::Recorded));
    let (mut of_a, mut of_b) = (1, 1);
    let mut put = |at_s: i64, input: &append::Input, ts: i64, up: bool| {
        let first_line = if std::ptr::eq(input, &a) { &mut of_a } else { &mut of_b };
        clock.store(at_s * SECOND_NS, Ordering::SeqCst);
        let bytes = format!("{{\"ts\":{ts},\"e\":\"e\",\"up\":{up}}}\n").into_bytes();
        let block = Block { bytes, first_line: *first_line, ..Block::default() };
        *first_line += 1;
        input.append(block).wait().unwrap_or_else(|error| panic!("{error}"));
    };
    put(100, &a, 99, false);
    // While `a` is silent, time passes in it: its state is decided.
    put(130, &b, 130, true);
    // The clock goes back: the arrival of `a` does not.
    put(120, &a, 121, true);
    // Nobody shall wait for `a` any more.
    put(300, &b, 300, true);
    assert_eq!(appender.held_ns(), Some(10 * SECOND_NS));
    drop((a, b));
    appender.finish().unwrap_or_else(|error| panic!("{error}"));

    let (outputs, shown) = live(&rules, &log, &dir.path().join("a"));
    let said: Vec<String> = common::rows(shown.as_bytes())
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", row["partition"], text("mark"), text("recordedtime"))
        })
        .collect();
    expect_test::expect![[r#"
        [
            "0 - 1970-01-01T00:01:40.000Z",
            "0 clock 1970-01-01T00:02:10.000Z",
            "0 - 1970-01-01T00:02:10.000Z",
            "0 idle 1970-01-01T00:05:00.000Z",
            "1 - -",
            "1 - -",
        ]
    "#]]
    .assert_debug_eq(&said);
    // Decided when the clock of both partitions had come that far.
    let updates = common::rows(&outputs.updates);
    assert_eq!(updates[0]["artifact"]["data"]["state"], "down");
    assert_eq!(updates[0]["at"], "1970-01-01T00:01:49.000Z");
    assert_eq!(outputs.summary["records"], 4);

    let appender = Appender::open(&Disk::default(), &log, append::Options::default(), || 0)
        .unwrap_or_else(|failure| panic!("{failure}"));
    appender.seal().unwrap_or_else(|error| panic!("{error}"));
    let manifest = appender.finish().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(manifest.partitions.iter().map(|of| of.segments.len()).sum::<usize>(), 2);
    let sealed = live(&rules, &log, &dir.path().join("b"));
    sealed.0.assert_equal(&outputs, "sealed");
    assert_eq!(sealed.1, shown);
}

/// The blocks of about so many bytes that a log is.
fn blocks(path: &Path, block_bytes: usize) -> Vec<Block> {
    let mut blocks = Blocks::new(open(path).expect("it is there"), block_bytes, 1 << 20);
    std::iter::from_fn(|| blocks.next_block(Vec::new()))
        .map(|block| block.expect("whole"))
        .collect()
}

/// Replays a log while logs are appended to it, and calls before it is declared ended.
fn followed(rules: &Rules, logs: &[Log], dir: &Path, at_its_end: impl Fn()) -> Outputs {
    let log = dir.join("grown");
    let settings = append::Options { seal_bytes: 3000, ..append::Options::default() };
    let mut appender = Appender::open(&Disk::default(), &log, settings, || 0)
        .unwrap_or_else(|failure| panic!("{failure}"));
    let begin = |log: &Log| {
        let (name, source) = (log.path.display().to_string(), log.source);
        appender.begin(&name, rules, source, None, Liveness::Recorded)
    };
    let inputs: Result<Vec<_>, _> = logs.iter().map(begin).collect();
    let inputs = inputs.unwrap_or_else(|failure| panic!("{failure}"));
    let stored = Stored::follow(&log, false).expect("there is a manifest");
    let stored = stored.into_iter().map(|stored| Log::stored(stored, rules));
    let stored = stored.collect::<Option<_>>().expect("the rules have the sources");
    let options = options(stored, dir.join("out"), 1, TICK_NS);
    thread::scope(|scope| {
        let replaying = scope.spawn(|| replayed(rules, &options).0);
        let mut all: Vec<_> = logs.iter().map(|log| blocks(&log.path, 2000).into_iter()).collect();
        for round in 0.. {
            let mut some = false;
            for (input, blocks) in inputs.iter().zip(&mut all) {
                for block in blocks.take(1 + round % 3) {
                    some = true;
                    input.append(block).wait().unwrap_or_else(|error| panic!("{error}"));
                }
            }
            if !some {
                break;
            }
        }
        at_its_end();
        for input in inputs {
            input.end().wait().unwrap_or_else(|error| panic!("{error}"));
        }
        appender.finish().unwrap_or_else(|error| panic!("{error}"));
        replaying.join().expect("it ends")
    })
}

#[test]
fn a_log_that_is_followed_says_what_its_replay_says() {
    for seed in 0..40 {
        let case = oracle::logs::case(seed);
        let dir = TempDir::new().expect("a temporary folder can be made");
        let write = |(number, bytes): (usize, &Vec<u8>)| {
            let path = dir.path().join(format!("{number}.ndjson"));
            fs::write(&path, bytes).expect("a log can be written");
            Log::file(path, 0)
        };
        let logs: Vec<Log> = case.partitions.iter().enumerate().map(write).collect();
        let rules = rules(&case.yaml);
        let outputs = followed(&rules, &logs, dir.path(), || ());
        let wanted = replayed(&rules, &options(logs, dir.path().join("a"), 1, TICK_NS));
        outputs.assert_equal(&wanted.0, &format!("seed {seed}"));
    }
}

#[test]
fn updates_are_seen_while_a_log_is_followed() {
    let source = folder("tests/golden/flat/flat.ndjson.zst");
    let rules = rules(&fs::read_to_string(folder("tests/golden/flat/rules.yaml")).expect("rules"));
    let dir = TempDir::new().expect("a temporary folder can be made");
    let logs = [Log::file(source, 0)];
    let out = dir.path().join("out");
    let seen = || {
        let entries = fs::read_dir(&out).into_iter().flatten().flatten();
        let is_updates = |name: &str| name.starts_with(".updates.ndjson.partial-");
        let mut updates = entries.filter(|entry| {
            entry.file_name().to_str().is_some_and(is_updates)
                && entry.metadata().is_ok_and(|metadata| metadata.len() > 0)
        });
        updates.next().is_some()
    };
    let waits = || {
        while !seen() {
            thread::yield_now();
        }
    };
    let outputs = followed(&rules, &logs, dir.path(), waits);
    let wanted = replayed(&rules, &options(logs.to_vec(), dir.path().join("a"), 1, TICK_NS));
    outputs.assert_equal(&wanted.0, "followed");
}
