//! A real Alertmanager is told, and says what it knows. `scripts/install-test-deps` installs it.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{Place, ran};

const PROGRAM: &str = "prometheus-alertmanager";

/// A program that listens, until this is dropped.
pub(super) struct Program {
    child: Child,
    address: String,
}

impl Program {
    /// Starts one that says so in its log once it is `ready`; none where there is none, but in CI.
    pub(super) fn start(
        place: &Place,
        program: &str,
        arguments: &[&str],
        ready: &str,
    ) -> Option<Self> {
        let mut command = Command::new(program);
        command.current_dir(place.path("")).args(arguments);
        command.args(["--web.listen-address=127.0.0.1:0"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let Ok(mut child) = child else {
            let missing = format!("{program} is not installed; scripts/install-test-deps does it");
            assert!(env::var_os("CI").is_none(), "{missing}");
            eprintln!("skipped: {missing}");
            return None;
        };
        let log = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut lines = log.lines().map(|line| line.expect("its log is text"));
        let (mut address, mut is_ready) = (None, false);
        while address.is_none() || !is_ready {
            let line = lines.next().expect("it says where it listens");
            is_ready |= line.contains(ready);
            if line.contains("Listening on") {
                address = line.split("address=").nth(1).map(|address| address.trim().to_owned());
            }
        }
        // It must not wait for somebody to read.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, address: address.expect("it says where it listens") })
    }

    /// Asks it for something, or sends it a body; its answer.
    pub(super) fn ask(&self, path: &str, body: Option<&str>) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let (method, body) =
            (if body.is_some() { "POST" } else { "GET" }, body.unwrap_or_default());
        let length = body.len();
        let head = format!("host: {}\r\ncontent-type: application/json", self.address);
        let head = format!("{method} {path} HTTP/1.0\r\n{head}\r\ncontent-length: {length}");
        write!(stream, "{head}\r\n\r\n{body}").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers with text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains("200 OK"), "{answer}");
        body.to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) struct Alertmanager(pub(super) Program);

impl Alertmanager {
    /// Starts one that tells the receiver `it`, as its configuration says.
    pub(super) fn start(place: &Place, it: &str) -> Option<Self> {
        let route = "group_by: [alertname], group_wait: 0s, group_interval: 1s";
        let config =
            format!("route: {{ receiver: it, {route} }}\nreceivers: [{{ name: it{it} }}]\n");
        place.write("am.yaml", config.as_bytes());
        let arguments = ["--config.file=am.yaml", "--storage.path=am", "--cluster.listen-address="];
        Program::start(place, PROGRAM, &arguments, "Listening on").map(Self)
    }

    /// The alerts that it knows and that are not resolved, by entity and label `zone`.
    fn alerts(&self) -> Vec<Value> {
        let answer = self.0.ask("/api/v2/alerts", None);
        let alerts: Vec<Value> = serde_json::from_str(&answer).expect("it answers with JSON");
        let mut short: Vec<_> = alerts
            .into_iter()
            .map(|alert| {
                json!({
                    "labels": alert["labels"],
                    "annotations": alert["annotations"],
                    "startsAt": alert["startsAt"],
                    "state": alert["status"]["state"],
                })
            })
            .collect();
        short.sort_by_key(ToString::to_string);
        short
    }
}

const RULES: &str = r#"version: 1
lateness: 5s
sources:
  p:
    format: json
    time: { field: at, unit: s }
    arrival: { field: seen, unit: s }
    subject: { field: host }
    source: { const: p }
    type: { const: t }
signals:
  health:
    labels: { zone: data.zone }
    states: { up: data.state == "up", down: data.state == "down" }
rules:
  - name: outage
    signal: health
    hold: { up: 10s, down: 10s }
    amend_within: 1h
    labels: { severity: page }
    annotations: { summary: "{{ $entity }} is {{ $state }}" }
sinks:
  am: { alertmanager: { url: { env: ALERTMANAGER } } }
routes:
  - { match: [state = down], to: am }
"#;

fn line(at: u32, seen: u32, host: &str, state: &str, zone: &str) -> String {
    format!(
        "{{\"at\":{at},\"seen\":{seen},\"host\":\"{host}\",\"state\":\"{state}\",\"zone\":\"{zone}\"}}\n"
    )
}

fn firing(host: &str, zone: &str, since: &str) -> Value {
    json!({
        "labels": {
            "alertname": "outage", "entity": host, "signal": "health", "state": "down",
            "severity": "page", "zone": zone,
        },
        "annotations": { "summary": format!("{host} is down") },
        "startsAt": since,
        "state": "active",
    })
}

#[test]
fn alertmanager_knows_what_is_open() {
    let place = Place::new();
    let Some(alertmanager) = Alertmanager::start(&place, "") else { return };
    place.write("am-rules.yaml", RULES.as_bytes());
    let mut log = String::new();
    let mut replay = |more: &str| {
        log.push_str(more);
        place.write("hosts.ndjson", log.as_bytes());
        let mut command =
            place.command("replay --rules am-rules.yaml --log hosts.ndjson --out out --alerts box");
        super::alerts::without_proxy(&mut command);
        command.env("ALERTMANAGER", format!("http://{}/", alertmanager.0.address));
        ran(command.output().expect("it can be run")).assert(0, &[]);
    };

    // Two hosts are down, and it is final: since 20 s and 22 s, at 35 s and 37 s.
    replay(
        &[
            line(0, 0, "a", "up", "x"),
            line(0, 0, "b", "up", "x"),
            line(20, 20, "a", "down", "x"),
            line(22, 22, "b", "down", "x"),
            line(60, 60, "c", "up", "x"),
        ]
        .concat(),
    );
    let (a, b) = ("1970-01-01T00:00:20.000Z", "1970-01-01T00:00:22.000Z");
    assert_eq!(alertmanager.alerts(), [firing("a", "x", a), firing("b", "x", b)]);

    // One is up again: it is resolved once that is final, and not before.
    replay(&[line(70, 70, "a", "up", "x"), line(84, 84, "c", "up", "x")].concat());
    assert_eq!(alertmanager.alerts(), [firing("a", "x", a), firing("b", "x", b)]);
    replay(&line(85, 85, "c", "up", "x"));
    assert_eq!(alertmanager.alerts(), [firing("b", "x", b)]);

    // It is down once more, which is an alert of the same labels.
    replay(&[line(100, 100, "a", "down", "x"), line(120, 120, "c", "up", "x")].concat());
    let again = "1970-01-01T00:01:40.000Z";
    assert_eq!(alertmanager.alerts(), [firing("a", "x", again), firing("b", "x", b)]);

    // A late record says that the other was down earlier, and in another zone: the alert that stood is
    // withdrawn, and another takes its place.
    replay(&[line(15, 130, "b", "down", "y"), line(140, 140, "c", "up", "x")].concat());
    let earlier = "1970-01-01T00:00:15.000Z";
    assert_eq!(alertmanager.alerts(), [firing("a", "x", again), firing("b", "y", earlier)]);

    // Another says that it was up at the time, so that none of it was so.
    replay(&[line(24, 150, "b", "up", "x"), line(160, 160, "c", "up", "x")].concat());
    assert_eq!(alertmanager.alerts(), [firing("a", "x", again)]);
}
