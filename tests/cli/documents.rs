//! Documents that tools record: what a real Prometheus answers and a real Alertmanager sends, first rule
//! files for them, and what is said of documents that are none. `scripts/install-test-deps` installs
//! those tools.

use std::fmt::Write;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use super::Place;
use super::alertmanager::{Alertmanager, Program};
use super::common::rows;

const START_S: i64 = 1_767_312_000;

fn rules(source: &str, states: &str) -> String {
    format!(
        "version: 1\nlateness: 1h\nsources: {{ s: {{ {source} }} }}\n\
         signals: {{ s: {{ states: {{ {states} }} }} }}\n\
         rules: [{{ name: r, signal: s, hold: {{ down: 1m }} }}]\n"
    )
}

/// Entity, state, since and until of the episodes of a log.
fn episodes(place: &Place, rules: &str, log: &str) -> Vec<[String; 4]> {
    place.write("documents.yaml", rules.as_bytes());
    place.run(&format!("replay --rules documents.yaml --log {log} --out {log}.out")).assert(0, &[]);
    let outputs = place.outputs(&format!("{log}.out"));
    assert_eq!(outputs.summary["dead_letters"], 0, "{}", outputs.summary);
    let text = |value: &Value| value.as_str().unwrap_or("open").to_owned();
    let row = |row: &Value| {
        let data = &row["data"];
        [&row["subject"], &data["state"], &data["since"], &data["until"]].map(text)
    };
    rows(&outputs.episodes).iter().map(row).collect()
}

/// The same history, as it was given to a Prometheus and as that answers.
#[test]
fn what_prometheus_answers_is_what_it_was_given() {
    let place = Place::new();
    let mut history = String::from("# TYPE up gauge\n");
    for (instance, down) in [("a:1", 20..40), ("b:1", 30..31), ("c:1", 0..6)] {
        for n in 0..80 {
            let (at, value) = (START_S + n * 15, u8::from(!down.contains(&n)));
            let labels = format!("{{instance=\"{instance}\",job=\"x\"}}");
            writeln!(history, "up{labels} {value} {at}").expect("it takes every write");
        }
    }
    history.push_str("# EOF\n");
    place.write("history.om", history.as_bytes());
    place.write("empty.yaml", b"{}\n");
    let mut promtool = Command::new("promtool");
    promtool.current_dir(place.path(""));
    promtool.args(["tsdb", "create-blocks-from", "openmetrics", "history.om", "tsdb"]);
    // Where that is missing, so is the other.
    let _ = promtool.output();
    let arguments = [
        "--config.file=empty.yaml",
        "--storage.tsdb.path=tsdb",
        "--storage.tsdb.retention.time=100y",
    ];
    let ready = "Server is ready";
    let Some(prometheus) = Program::start(&place, "prometheus", &arguments, ready) else { return };
    let (start, end) = (START_S, START_S + 79 * 15);
    let path = format!("/api/v1/query_range?query=up&start={start}&end={end}&step=15");
    place.write("range.json", prometheus.ask(&path, None).as_bytes());
    let path = format!("/api/v1/query?query=up&time={end}");
    place.write("instant.json", prometheus.ask(&path, None).as_bytes());

    let states = "up: data.value == 1, down: data.value == 0";
    let given = episodes(&place, &rules("format: openmetrics", states), "history.om");
    let answered = episodes(&place, &rules("format: prometheus", states), "range.json");
    assert_eq!(given, answered);
    let down = given.iter().filter(|episode| episode[1] == "down");
    let down: Vec<_> = down.map(|[entity, _, since, until]| [entity, since, until]).collect();
    assert_eq!(
        down,
        [
            [
                "up{instance=\"c:1\",job=\"x\"}",
                "2026-01-02T00:00:00.000Z",
                "2026-01-02T00:01:30.000Z"
            ],
            [
                "up{instance=\"a:1\",job=\"x\"}",
                "2026-01-02T00:05:00.000Z",
                "2026-01-02T00:10:00.000Z"
            ],
        ]
    );
    let instant = episodes(&place, &rules("format: prometheus", states), "instant.json");
    assert_eq!(instant.len(), 3, "{instant:?}");
}

/// A webhook that hands on what it is sent.
fn webhook() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}/", listener.local_addr().expect("it has an address"));
    let (sender, bodies) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().expect("a socket can be shared"));
            let mut length = 0;
            for line in reader.by_ref().lines().map_while(Result::ok) {
                if line.is_empty() {
                    break;
                }
                let (name, value) = line.split_once(": ").unwrap_or_default();
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.parse().expect("a length");
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("the body comes");
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).expect("it is read");
            if sender.send(String::from_utf8(body).expect("a body is text")).is_err() {
                return;
            }
        }
    });
    (url, bodies)
}

#[test]
fn what_alertmanager_sends_is_read() {
    let place = Place::new();
    let (url, bodies) = webhook();
    let hook = format!(", webhook_configs: [{{ url: \"{url}\" }}]");
    let Some(alertmanager) = Alertmanager::start(&place, &hook) else { return };
    let alert = |ends: &str| {
        format!(
            "[{{\"labels\":{{\"alertname\":\"Down\",\"host\":\"a\"}},\
             \"startsAt\":\"2020-01-02T00:00:00Z\"{ends}}}]"
        )
    };
    alertmanager.0.ask("/api/v2/alerts", Some(&alert("")));
    let mut log = bodies.recv().expect("it sends what fires");
    alertmanager.0.ask("/api/v2/alerts", Some(&alert(",\"endsAt\":\"2020-01-02T00:10:00Z\"")));
    log.push_str(&bodies.recv().expect("it sends what is resolved"));
    place.write("bodies.json", log.as_bytes());
    let states = "down: data.status == \"firing\", up: data.status == \"resolved\"";
    let read = episodes(&place, &rules("format: alertmanager", states), "bodies.json");
    let alert = "Down{host=\"a\"}";
    assert_eq!(
        read,
        [
            [alert, "down", "2020-01-02T00:00:00.000Z", "2020-01-02T00:10:00.000Z"],
            [alert, "up", "2020-01-02T00:10:00.000Z", "open"],
        ]
    );
}

/// Live, a sample that says no time is of when it came; what is recorded has to say one.
#[test]
fn live_samples_need_no_time() {
    let place = Place::new();
    place.write(
        "om.yaml",
        rules("format: exposition", "up: data.value == 1, down: true").as_bytes(),
    );
    let scrape = b"# TYPE up gauge\nup{a=\"b\"} 1\nup{a=\"c\"} 0 1767312000000\n";
    for (how, letters) in [("", 0), (" --recorded", 1)] {
        let log = format!("log{letters}");
        let append = format!("append --rules om.yaml - --log {log}{how}");
        place.run_with_input(&append, scrape).assert(0, &[]);
        place.run(&format!("replay --rules om.yaml --log {log} --out {log}.out")).assert(0, &[]);
        let summary = place.outputs(&format!("{log}.out")).summary;
        assert_eq!(summary["dead_letters"], letters, "{summary}");
        assert_eq!(summary["records"], 2, "{summary}");
    }
}

/// A first rule file says the format, and reads the log.
#[test]
fn drafts_know_documents() {
    let place = Place::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/formats");
    for (file, format) in [
        ("otlp.jsonl", "otlp"),
        ("range.json", "prometheus"),
        ("history.om", "openmetrics"),
        ("federate.prom", "exposition"),
        ("events.json", "kubernetes"),
        ("webhooks.json", "alertmanager"),
    ] {
        let drafted = place.run(&format!("init {folder}/{file}"));
        drafted.assert(0, &[]);
        assert!(drafted.said.contains(&format!("    format: {format} ")), "{}", drafted.said);
        place.write("draft.yaml", drafted.said.as_bytes());
        let checked = place.run(&format!("check draft.yaml --plan --sample {folder}/{file}"));
        checked.assert(0, &[]);
        assert!(checked.said.contains("source log: "), "{}", checked.said);
        let replay = format!("replay --rules draft.yaml --log {folder}/{file} --out {format}");
        place.run(&replay).assert(0, &[]);
        let summary = place.outputs(format).summary;
        assert!(summary["used"].as_u64() > Some(0), "{file}: {summary}\n{}", drafted.said);
        // What a draft has not seen as a record, no rule file has.
        assert!(summary["dead_letters"].as_u64() < Some(7), "{file}: {summary}\n{}", drafted.said);
    }
}

/// What is appended to a partition of documents comes behind what is there.
#[test]
fn documents_are_appended_behind_others() {
    let place = Place::new();
    let states = "up: data.type == \"Normal\", down: data.type == \"Warning\"";
    place.write("events.yaml", rules("format: kubernetes", states).as_bytes());
    let event = |name: &str, time: &str| {
        format!(
            "{{\n  \"kind\": \"Event\", \"type\": \"Normal\",\n  \
             \"involvedObject\": {{ \"kind\": \"Pod\", \"name\": \"{name}\" }},\n  \
             \"lastTimestamp\": \"2026-01-01T00:00:{time}Z\"\n}}\n"
        )
    };
    let days = [
        format!("{}{}", event("a", "00"), event("b", "01")),
        format!("{}{}no event\n{}", event("c", "02"), event("d", "03"), event("e", "04")),
    ];
    for day in days {
        place.write("events.json", day.as_bytes());
        place.run("append --rules events.yaml events.json --log log").assert(0, &[]);
    }
    place.run("log verify log").assert(0, &[]);
    place.run("replay --rules events.yaml --log log --out out --fates").assert(0, &[]);
    let fates = std::fs::read(place.path("out/fates.ndjson")).expect("fates.ndjson");
    let of = |row: &Value| (row["line"].as_u64(), row["entity"].as_str().map(str::to_owned));
    let pods = ["a", "b", "c", "d", "", "e"].map(|name| format!("Pod/{name}"));
    let pods = pods.map(|pod| Some(pod).filter(|pod| pod.len() > 4));
    // The last record of the first day begins in line 6.
    let wanted: Vec<_> = [1, 6, 7, 12, 17, 18].map(Some).into_iter().zip(pods).collect();
    assert_eq!(rows(&fates).iter().map(of).collect::<Vec<_>>(), wanted);
}

#[test]
fn documents_come_packed_and_through_pipes() {
    let place = Place::new();
    let states = "up: data.value == 1, down: data.value == 0";
    place.write("om.yaml", rules("format: openmetrics", states).as_bytes());
    let text = "up{a=\"b\"} 1 1767312000\nup{a=\"b\"} 0\n# EOF\n";
    let packed = zstd::encode_all(text.as_bytes(), 1).expect("what is in memory can be packed");
    place.write("log.zst", &packed);
    for (command, input) in [
        ("replay --rules om.yaml --log log.zst --out a", &b""[..]),
        ("replay --rules om.yaml --log - --out b", text.as_bytes()),
    ] {
        place.run_with_input(command, input).assert(0, &[]);
    }
    let (packed, piped) = (place.outputs("a"), place.outputs("b"));
    packed.unnamed().assert_equal(&piped.clone().unnamed(), "packed, and through a pipe");
    let letters = rows(&piped.dead_letters);
    assert_eq!(letters.len(), 1);
    assert_eq!((&letters[0]["line"], &letters[0]["column"]), (&2.into(), &12.into()));
    assert_eq!(letters[0]["reason"], "no timestamp: it does not say when it was sampled");
    // A record is found again by the line it stands in.
    let text = "{\n  \"kind\": \"Event\",\n  \"involvedObject\": { \"kind\": \"Pod\" },\n  \"lastTimestamp\": \"2026-01-01T00:00:00Z\"\n}\n";
    place.write("events.json", text.as_bytes());
    let states = "up: data.object == \"Pod\", down: data.object != \"Pod\"";
    place.write("events.yaml", rules("format: kubernetes", states).as_bytes());
    let said = place.run("explain --rules events.yaml --log events.json --record events.json:1");
    said.assert(0, &[]);
    let begins = "events.json:1, element 1, to rule r, begins a run: 2026-01-01T00:00:00.000Z up";
    assert!(said.said.starts_with(begins), "{said:?}");
}
