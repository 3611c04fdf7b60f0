//! Notifications and their way out: to sinks that fail, hang and refuse, and through a killed process.

use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc;
use std::time::Duration;

use expect_test::expect;
use serde_json::Value;

use super::server::{Answer, Request, Server};
use super::{Place, Ran, ran};

/// Three hosts that are down twice; a fourth that has a clock only.
fn log() -> String {
    let mut lines = Vec::new();
    for (number, host) in ["a", "b", "c"].iter().enumerate() {
        for (second, state) in [(0, "up"), (20, "down"), (60, "up"), (100, "down"), (140, "up")] {
            let at = second + number;
            lines
                .push((at, format!("{{\"at\":{at},\"host\":\"{host}\",\"state\":\"{state}\"}}\n")));
        }
    }
    lines.push((300, "{\"at\":300,\"host\":\"d\",\"state\":\"up\"}\n".to_owned()));
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

fn rules(sink: &str, routes: &str) -> String {
    format!(
        r#"version: 1
lateness: 5s
sources:
  p:
    format: json
    time: {{ field: at, unit: s }}
    arrival: {{ field: seen, unit: s }}
    subject: {{ field: host }}
    source: {{ const: p }}
    type: {{ const: t }}
signals:
  health:
    states: {{ up: data.state == "up", down: data.state == "down" }}
rules:
  - name: outage
    signal: health
    hold: {{ up: 10s, down: 10s }}
    amend_within: 2m
    labels: {{ severity: page }}
    annotations: {{ summary: "{{{{ $entity }}}} is {{{{ $state }}}}" }}
sinks:
  hook: {sink}
routes:
{routes}
"#
    )
}

const DOWN: &str = "  - { match: [state = down], to: hook }";

fn place(sink: &str, routes: &str) -> Place {
    let place = Place::new();
    place.write("alerts.yaml", rules(sink, routes).as_bytes());
    place.write("hosts.ndjson", log().as_bytes());
    place
}

const REPLAY: &str = "replay --rules alerts.yaml --log hosts.ndjson --out out";
const SEND: &str = "replay --rules alerts.yaml --log hosts.ndjson --out out --alerts box";

fn told(place: &Place) -> Vec<Value> {
    let text = fs::read(place.path("out/notifications.ndjson")).expect("there are routes");
    super::common::rows(&text).into_iter().map(|mut row| row["notification"].take()).collect()
}

/// The keys that a sink accepted, by entity, each the first time only.
fn accepted<'r>(requests: impl IntoIterator<Item = &'r Request>) -> BTreeMap<String, Vec<String>> {
    let mut by_entity: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for request in requests.into_iter().filter(|request| request.accepted) {
        let key = request.header("idempotency-key").expect("each has a key").to_owned();
        assert_eq!(request.body["id"], *key);
        let entity = request.body["subject"].as_str().expect("it is a text").to_owned();
        let keys = by_entity.entry(entity).or_default();
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    by_entity
}

/// The keys of what is to be delivered, by entity.
fn wanted(told: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut by_entity: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for notification in told {
        let text = |name: &str| notification[name].as_str().expect("it is a text").to_owned();
        by_entity.entry(text("subject")).or_default().push(text("id"));
    }
    by_entity
}

fn send(place: &Place, more: &str) -> Ran {
    let mut command = place.command(&format!("{SEND} {more}"));
    without_proxy(&mut command);
    ran(command.env("HOOK_TOKEN", "Bearer of a secret").output().expect("it can be run"))
}

pub(super) fn without_proxy(command: &mut std::process::Command) {
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY"]
    {
        command.env_remove(name);
    }
}

#[test]
fn what_would_be_told_is_written_and_nobody_is_told() {
    let place = place("{ webhook: { url: http://127.0.0.1:1/ } }", DOWN);
    let ran = place.run(REPLAY);
    ran.assert(0, &[]);
    assert!(ran.said.contains("12  notifications"), "{ran:?}");
    let told = told(&place);
    let short = told.iter().map(|notification| {
        let text = |value: &Value| value.as_str().unwrap_or("-")[11..19].to_owned();
        let (data, episode) = (&notification["data"], &notification["data"]["episode"]["data"]);
        let (kind, subject) = (&data["kind"], &notification["subject"]);
        let (at, since) = (text(&notification["time"]), text(&episode["since"]));
        format!("{at} {subject} {kind} since {since}\n")
    });
    // 10 s of hold and 5 s of lateness behind each change.
    expect![[r#"
        00:00:35 "a" "opened" since 00:00:20
        00:00:36 "b" "opened" since 00:00:21
        00:00:37 "c" "opened" since 00:00:22
        00:01:15 "a" "closed" since 00:00:20
        00:01:16 "b" "closed" since 00:00:21
        00:01:17 "c" "closed" since 00:00:22
        00:01:55 "a" "opened" since 00:01:40
        00:01:56 "b" "opened" since 00:01:41
        00:01:57 "c" "opened" since 00:01:42
        00:02:35 "a" "closed" since 00:01:40
        00:02:36 "b" "closed" since 00:01:41
        00:02:37 "c" "closed" since 00:01:42
    "#]]
    .assert_eq(&short.collect::<String>());
    // Without routes there is no such file, and an earlier one is removed.
    let rules = rules("{ webhook: { url: http://h/ } }", DOWN);
    let without = &rules[..rules.find("sinks:").expect("it has sinks")];
    place.write("alerts.yaml", without.as_bytes());
    place.run(REPLAY).assert(0, &[]);
    place.outputs("out");
    place.run(SEND).assert(2, &["no `routes`"]);
}

/// What a late record changes in what was said.
#[test]
fn a_correction_says_what_was_said_before() {
    let place = place("{ webhook: { url: http://h/ } }", "  - { on: [correction], to: hook }");
    let mut log = log();
    // It comes a minute and a half late: the first outage of the first host was none.
    log = log.replace(
        "{\"at\":300",
        "{\"at\":25,\"seen\":110,\"host\":\"a\",\"state\":\"up\"}\n{\"at\":300",
    );
    place.write("hosts.ndjson", log.as_bytes());
    place.run(REPLAY).assert(0, &[]);
    let told = told(&place);
    let kinds: Vec<_> = told.iter().map(|notification| &notification["data"]["standing"]).collect();
    assert_eq!(kinds, ["withdrawn", "withdrawn", "closed"], "{told:#?}");
    let mut last = told[2].clone();
    let data = last["data"].take();
    let until = |value: &Value| value["data"]["until"].clone();
    assert_eq!(data["kind"], "correction");
    assert_eq!(data["was"]["standing"], "closed");
    assert_eq!(data["episode"]["id"], data["was"]["episode"]["id"]);
    assert_eq!(until(&data["was"]["episode"]), "1970-01-01T00:00:20.000Z");
    assert_eq!(until(&data["episode"]), "1970-01-01T00:01:40.000Z");
}

#[test]
fn what_fails_is_sent_again_until_the_sink_has_it() {
    // The first fails, the second hangs, the third is closed on, the fourth is asked to wait, ...
    let server = Server::start(|number, _| match number {
        0 => Answer::Status(500, ""),
        1 => Answer::Hang,
        2 => Answer::Close,
        3 => Answer::Status(429, "retry-after: 1\r\n"),
        4 => Answer::Status(503, "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
        _ => Answer::Status(202, ""),
    });
    let sink = format!(
        "{{ webhook: {{ url: \"{}/x?y=z\", timeout: 1s, headers: {{ Authorization: {{ env: HOOK_TOKEN }} }} }} }}",
        server.url
    );
    let place = place(&sink, DOWN);
    let first = send(&place, "");
    first.assert(0, &[]);
    assert!(first.said.contains("12 notifications delivered to hook"), "{first:?}");
    let (told, requests) = (told(&place), server.requests());
    assert_eq!(accepted(&requests), wanted(&told));
    assert_eq!(requests.iter().filter(|request| request.accepted).count(), 12);
    assert_eq!(requests.len(), 17);
    for request in &requests {
        assert_eq!(request.path, "/x?y=z");
        assert_eq!(request.header("authorization"), Some("Bearer of a secret"));
        assert_eq!(request.header("content-type"), Some("application/cloudevents+json"));
        assert!(told.contains(&request.body), "{request:?}");
    }
    // What is known is not sent again.
    send(&place, "").assert(0, &[]);
    assert_eq!(server.requests().len(), 17);
    // And nobody can read the secret anywhere.
    let mut folders = vec![place.path("out"), place.path("box")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it is there") {
            let path = entry.expect("it can be read").path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let text =
                        String::from_utf8_lossy(&fs::read(&path).expect("a file")).into_owned();
                    assert!(!text.contains("secret"), "{}", path.display());
                }
            }
        }
    }
    assert!(!first.said.contains("secret"));
    let plan = place.run("check --plan alerts.yaml");
    assert!(plan.said.contains("HOOK_TOKEN") && !plan.said.contains("secret"), "{plan:?}");
    assert!(!plan.said.contains("y=z"), "{plan:?}");
}

#[test]
fn what_a_sink_refuses_is_kept_aside() {
    let server = Server::start(|_, request| match request.body["subject"] == "b" {
        true => Answer::Status(422, ""),
        false => Answer::Status(200, ""),
    });
    let place = place(&format!("{{ webhook: {{ url: \"{}\" }} }}", server.url), DOWN);
    send(&place, "").assert(76, &["4 notifications refused by hook", "undeliverable.ndjson"]);
    let aside = fs::read(place.path("box/hook/undeliverable.ndjson")).expect("some are refused");
    let aside = super::common::rows(&aside);
    assert_eq!(aside.len(), 4);
    for row in &aside {
        assert_eq!(row["reason"], "it answered 422 Unprocessable Entity: ok");
        assert_eq!(row["notification"]["subject"], "b");
    }
    assert_eq!(accepted(&server.requests()).keys().collect::<Vec<_>>(), ["a", "c"]);
    // They are settled.
    send(&place, "").assert(0, &[]);
    assert_eq!(server.requests().len(), 12);
}

#[test]
fn what_is_left_is_said_and_sent_by_the_next_replay() {
    let server = Server::start(|_, _| Answer::Status(200, ""));
    // Nobody listens at a port that was just given back.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let nobody = format!("http://{}", gone.local_addr().expect("it has an address"));
    drop(gone);
    let place = place(&format!("{{ webhook: {{ url: \"{nobody}\" }} }}"), DOWN);
    let ran = send(&place, "--alerts-wait 1ms");
    ran.assert(75, &["12 notifications for hook left in box/hook", "next replay"]);
    let first = told(&place);
    place.write(
        "alerts.yaml",
        rules(&format!("{{ webhook: {{ url: \"{}\" }} }}", server.url), DOWN).as_bytes(),
    );
    send(&place, "").assert(0, &[]);
    assert_eq!(told(&place), first);
    assert_eq!(accepted(&server.requests()), wanted(&first));
    assert_eq!(server.requests().len(), 12);
}

#[test]
fn a_killed_process_loses_nothing() {
    for hangs_at in [0, 1, 4, 9] {
        let (seen, hanging) = mpsc::channel();
        let first = Server::start(move |number, request| {
            if number < hangs_at {
                return Answer::Status(200, "");
            }
            // Whoever has heard it once does not listen any more.
            let _ = seen.send(request.header("idempotency-key").map(str::to_owned));
            Answer::Hang
        });
        let sink = |url: &str| format!("{{ webhook: {{ url: \"{url}\", timeout: 1h }} }}");
        let place = place(&sink(&first.url), DOWN);
        let mut command = place.command(&format!("{SEND} --alerts-wait 1h"));
        without_proxy(&mut command);
        let mut child = command.spawn().expect("it can be run");
        let key = hanging.recv_timeout(Duration::from_secs(60)).expect("something is sent");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        // The key that hung is sent again, and all others that were not accepted; in order.
        let second = Server::start(|_, _| Answer::Status(200, ""));
        place.write("alerts.yaml", rules(&sink(&second.url), DOWN).as_bytes());
        send(&place, "").assert(0, &[]);
        let again = second.requests();
        assert!(again.iter().any(|request| request.header("idempotency-key") == key.as_deref()));
        let all: Vec<_> = first.requests().into_iter().chain(again).collect();
        assert_eq!(accepted(&all), wanted(&told(&place)), "it hung at {hangs_at}");
    }
}

#[test]
fn settings_that_are_missing_are_said_to_be_before_any_work() {
    let place =
        place("{ webhook: { url: http://h/, headers: { X: { env: LIMBECK_NOT_SET } } } }", DOWN);
    let before = place.listing();
    send(&place, "").assert(78, &["LIMBECK_NOT_SET", "`X`", "hook"]);
    place.assert_untouched(&before);
    // A rule file can be checked, and replayed, where the secrets are not.
    place.run("check alerts.yaml").assert(0, &[]);
    place.run(REPLAY).assert(0, &[]);
}

/// Nothing of HTTPS is to be had from a server that has none; but it is tried.
#[test]
fn https_is_spoken() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("https://{}", listener.local_addr().expect("it has an address"));
    let (hello, hellos) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut start = [0; 3];
            let read = std::io::Read::read_exact(&mut stream, &mut start);
            let _ = read.map(|()| hello.send(start));
        }
    });
    let place = place(&format!("{{ webhook: {{ url: \"{url}\" }} }}"), DOWN);
    send(&place, "--alerts-wait 2s").assert(75, &["12 notifications for hook left"]);
    // A handshake of TLS 1.x.
    let hello = hellos.recv_timeout(Duration::from_secs(60)).expect("it connects");
    assert_eq!(hello[..2], [22, 3]);
}

/// Once its time has come, an episode is told of, though no episode changes any more.
#[test]
fn what_is_due_is_sent_while_nothing_else_happens() {
    let (called, calls) = mpsc::channel();
    let server = Server::start(move |_, request| {
        let _ = called.send(request.body["subject"].clone());
        Answer::Status(200, "")
    });
    let place = place(&format!("{{ webhook: {{ url: \"{}\" }} }}", server.url), DOWN);
    place.pipe("pipe");
    let line = "replay --rules alerts.yaml --log pipe --follow --append log --out out --alerts box";
    let mut command = place.command(line);
    without_proxy(&mut command);
    let child = command.env("HOOK_TOKEN", "of a secret").spawn().expect("it can be run");
    let mut pipe = place.open_pipe("pipe");
    // Down since 20, decided at 30, final at 35; of the others nothing is known.
    for (at, host, state) in [(20, "a", "down"), (31, "d", "?"), (50, "d", "?")] {
        let record =
            format!("{{\"at\":{at},\"seen\":{at},\"host\":\"{host}\",\"state\":\"{state}\"}}\n");
        std::io::Write::write_all(&mut pipe, record.as_bytes()).expect("it is read");
    }
    let told = calls.recv_timeout(Duration::from_secs(60));
    assert_eq!(told.expect("it is told while the pipe is open"), "a");
    drop(pipe);
    ran(child.wait_with_output().expect("it ends")).assert(0, &["following"]);
}
