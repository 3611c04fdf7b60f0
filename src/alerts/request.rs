//! Requests: how a webhook and an Alertmanager are told of a notification.

use std::env;
use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use ureq::http::{HeaderMap, StatusCode, header};
use ureq::{Agent, Body};

use super::outbox::Entry;
use super::sender::{Outcome, Transport};
use crate::model::printable::printable;
use crate::model::time::format_rfc3339;
use crate::rules::{Setting, Sink, SinkKind, check_url, is_header_value};

/// So much of an answer is read, and so much of it told.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
const TOLD_CHARS_MAX: usize = 200;
const ALERTS_PATH: &str = "/api/v2/alerts";

/// A sink that can be reached: where it is, and what it is sent. Not shown, since these may be
/// secrets.
pub struct Target {
    kind: SinkKind,
    url: String,
    headers: Vec<(String, String)>,
    agent: Agent,
}

impl Target {
    /// Looks up the settings of a sink.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn new(sink: &Sink) -> Result<Self, String> {
        let name = &sink.name;
        let url =
            look_up(&sink.url).map_err(|why| format!("the sink `{name}` has no URL: {why}"))?;
        // What is wrong is not shown: it may be a secret.
        if check_url(&url).is_err() {
            return Err(format!("the sink `{name}`: its URL is not https://HOST/PATH, or http://"));
        }
        let url = match sink.kind {
            SinkKind::Webhook => url,
            SinkKind::Alertmanager { .. } => format!("{}{ALERTS_PATH}", url.trim_end_matches('/')),
        };
        let headers = sink.headers.iter().map(|(header, value)| {
            let what = || format!("the header `{header}` of the sink `{name}`");
            let value = look_up(value).map_err(|why| format!("{} has no value: {why}", what()))?;
            match is_header_value(&value) {
                true => Ok((header.to_string(), value)),
                false => Err(format!("{} cannot be sent: letters of ASCII, on one line", what())),
            }
        });
        let headers = headers.collect::<Result<_, _>>()?;
        let agent = Agent::config_builder()
            .timeout_global(Some(Duration::from_nanos(sink.timeout_ns.cast_unsigned())))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("limbeck/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { kind: sink.kind, url, headers, agent })
    }
}

/// What a setting says.
fn look_up(setting: &Setting) -> Result<String, String> {
    match setting {
        Setting::Text(text) => Ok(text.clone()),
        Setting::Env(name) => {
            env::var(name).map_err(|_| format!("the variable {name} is not set, or no text"))
        }
        Setting::File(path) => {
            let text = fs::read_to_string(path);
            let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(text.trim_end_matches(['\n', '\r']).to_owned())
        }
    }
}

impl Transport for Target {
    fn send(&self, entry: &Entry) -> Outcome {
        let (body, content_type) = match self.kind {
            SinkKind::Webhook => (entry.body.clone(), "application/cloudevents+json"),
            SinkKind::Alertmanager { resolve_after_ns } => {
                let Ok(notification) = serde_json::from_str(&entry.body) else {
                    return Outcome::Refused { reason: "it is not JSON".to_owned() };
                };
                let alerts = alerts(&notification, now_ns().saturating_add(resolve_after_ns));
                if alerts.is_empty() {
                    return Outcome::Delivered;
                }
                (Value::from(alerts).to_string(), "application/json")
            }
        };
        let request = self.agent.post(&self.url).header(header::CONTENT_TYPE, content_type);
        let request = request.header("Idempotency-Key", entry.idempotency_key());
        let headers = self.headers.iter();
        let request = headers.fold(request, |request, (name, value)| request.header(name, value));
        match request.send(body) {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                outcome(parts.status, &parts.headers, body)
            }
            Err(error) => Outcome::Failed { reason: error.to_string(), retry_after: None },
        }
    }
}

/// What an answer means: nothing but 408 and 429 among what the sink holds against the request can
/// be otherwise another time.
fn outcome(status: StatusCode, headers: &HeaderMap, mut body: Body) -> Outcome {
    // Read to its end, so that the connection can be used again.
    let text = body.with_config().limit(ANSWER_BYTES_MAX).read_to_string().unwrap_or_default();
    if status.is_success() {
        return Outcome::Delivered;
    }
    let told: String = text.trim().chars().take(TOLD_CHARS_MAX).collect();
    let reason = match told.is_empty() {
        true => format!("it answered {status}"),
        false => format!("it answered {status}: {}", printable(&told)),
    };
    let again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    match again || status.is_server_error() {
        true => {
            let retry_after =
                headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            Outcome::Failed { reason, retry_after: retry_after.and_then(read_retry_after) }
        }
        false => Outcome::Refused { reason },
    }
}

/// Seconds, or a date.
fn read_retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    let wait_ns = date.timestamp().as_nanosecond() - i128::from(now_ns());
    Some(Duration::from_nanos(u64::try_from(wait_ns).unwrap_or(0)))
}

/// What Alertmanager is told: the alert as it stands from now on; one that is open ends far from
/// now. Where a correction changes the labels, which are what an alert is known by, the old one is
/// resolved. What was resolved already is not resolved again: a later alert with the same labels
/// may be open. For the same reason nothing is said of an episode before one that was told.
fn alerts(notification: &Value, ends_ns: i64) -> Vec<Value> {
    let (at, data) = (&notification["time"], &notification["data"]);
    let (episode, was) = (&data["episode"]["data"], &data["was"]["episode"]["data"]);
    let was_closed = data["was"]["standing"] == "closed";
    let ends_at = match data["standing"].as_str() {
        Some("open") => json!(format_rfc3339(ends_ns)),
        Some("closed") => episode["until"].clone(),
        _ => at.clone(),
    };
    let group = data["group"].as_object().cloned().unwrap_or_default();
    let alert = |episode: &Value, ends_at: Value| {
        let mut annotations = episode["annotations"].as_object().cloned().unwrap_or_default();
        annotations.extend(group.iter().map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (format!("group_{name}"), text.into())
        }));
        json!({
            "labels": labels(episode),
            "annotations": annotations,
            "startsAt": episode["since"],
            "endsAt": ends_at,
        })
    };
    let mut alerts = Vec::new();
    if data["latest"] == false || (was_closed && data["standing"] != "open") {
        return alerts;
    }
    if was.is_object() && !was_closed && labels(was) != labels(episode) {
        alerts.push(alert(was, at.clone()));
    }
    alerts.push(alert(episode, ends_at));
    alerts
}

/// The labels of an alert: those of the episode, and what every episode says.
fn labels(episode: &Value) -> Map<String, Value> {
    let mut labels = episode["labels"].as_object().cloned().unwrap_or_default();
    let facts =
        [("alertname", "rule"), ("entity", "entity"), ("signal", "signal"), ("state", "state")];
    labels.extend(facts.map(|(label, fact)| (label.to_owned(), episode[fact].clone())));
    labels
}

#[expect(clippy::disallowed_methods, reason = "an edge: what a sink is told is of its own time")]
fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(standing: &str, was: Option<(&str, &str)>) -> Value {
        let episode = |zone: &str, until: Value| {
            json!({ "data": {
                "entity": "a", "rule": "r", "signal": "s", "state": "down",
                "since": "2026-01-01T00:00:00.000Z", "until": until,
                "labels": { "zone": zone, "state": "hidden by the fact" },
                "annotations": { "summary": "it is down" },
            } })
        };
        let until = json!("2026-01-01T00:05:00.000Z");
        let mut data = json!({ "standing": standing, "episode": episode("z", until.clone()) });
        if let Some((standing, zone)) = was {
            data["was"] = json!({ "standing": standing, "episode": episode(zone, until) });
        }
        json!({ "time": "2026-01-01T00:09:00.000Z", "data": data })
    }

    #[test]
    fn alerts_are_those_of_alertmanager() {
        let ends_ns = 1_800_000_000_000_000_000;
        for (standing, ends_at) in [
            ("open", "2027-01-15T08:00:00.000Z"),
            ("closed", "2026-01-01T00:05:00.000Z"),
            ("withdrawn", "2026-01-01T00:09:00.000Z"),
        ] {
            let wanted = json!([{
                "labels": {
                    "alertname": "r", "entity": "a", "signal": "s", "state": "down", "zone": "z",
                },
                "annotations": { "summary": "it is down" },
                "startsAt": "2026-01-01T00:00:00.000Z",
                "endsAt": ends_at,
            }]);
            let same = alerts(&notification(standing, Some(("open", "z"))), ends_ns);
            assert_eq!(Value::from(same), wanted, "{standing}");
            let other = alerts(&notification(standing, Some(("open", "y"))), ends_ns);
            assert_eq!((other.len(), &other[1]), (2, &wanted[0]));
            assert_eq!(other[0]["labels"]["zone"], "y");
            assert_eq!(other[0]["endsAt"], "2026-01-01T00:09:00.000Z");
            let mut earlier = notification(standing, None);
            earlier["data"]["latest"] = json!(false);
            assert_eq!(alerts(&earlier, ends_ns), Vec::<Value>::new());
            let first = alerts(&notification(standing, None), ends_ns);
            assert_eq!(Value::from(first), wanted, "{standing}");
            let mut group = notification(standing, None);
            group["data"]["group"] = json!({ "count": 2, "first": "a" });
            let annotations = alerts(&group, ends_ns)[0]["annotations"].clone();
            let grouped =
                json!({ "summary": "it is down", "group_count": "2", "group_first": "a" });
            assert_eq!(annotations, grouped, "{standing}");
            let resolved = alerts(&notification(standing, Some(("closed", "y"))), ends_ns);
            match standing {
                "open" => assert_eq!(Value::from(resolved), wanted),
                _ => assert_eq!(resolved, Vec::<Value>::new()),
            }
        }
    }

    #[test]
    fn answers_are_told_apart() {
        let outcome = |status: u16, retry_after: Option<&str>| {
            let mut headers = HeaderMap::new();
            let value = retry_after.map(|text| text.parse().expect("it is a value"));
            headers.extend(value.map(|value| (header::RETRY_AFTER, value)));
            let status = StatusCode::from_u16(status).expect("it is a status");
            super::outcome(status, &headers, Body::builder().data(" no\u{1b} \n"))
        };
        assert_eq!(outcome(200, None), Outcome::Delivered);
        assert_eq!(outcome(202, Some("9")), Outcome::Delivered);
        for status in [408, 429, 500, 503, 599] {
            let Outcome::Failed { retry_after, .. } = outcome(status, Some("9")) else {
                panic!("{status} may be otherwise")
            };
            assert_eq!(retry_after, Some(Duration::from_secs(9)));
        }
        let past = "Sun, 06 Nov 1994 08:49:37 GMT";
        let Outcome::Failed { retry_after, .. } = outcome(503, Some(past)) else { panic!("503") };
        assert_eq!(retry_after, Some(Duration::ZERO));
        for status in [301, 307, 400, 401, 404, 422] {
            let Outcome::Refused { reason } = outcome(status, None) else { panic!("{status}") };
            assert!(reason.contains(&status.to_string()) && reason.contains("no"), "{reason}");
            assert!(!reason.contains('\u{1b}'), "{reason}");
        }
    }

    #[test]
    fn settings_are_looked_up_and_never_shown() {
        let sink = |url: Setting, value: Setting| Sink {
            name: "hook".into(),
            span: 0..0,
            kind: SinkKind::Webhook,
            url,
            headers: vec![("X-Key".into(), value)],
            timeout_ns: 1,
        };
        let dir = tempfile::tempdir().expect("a folder can be made");
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).expect("a file can be written");
            Setting::File(path)
        };
        let url = || Setting::Text("http://h/".to_owned());
        let target = Target::new(&sink(file("url", "https://h/x\n"), file("key", "secret\r\n")));
        let target = target.unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(target.url, "https://h/x");
        assert_eq!(target.headers, [("X-Key".to_owned(), "secret".to_owned())]);
        for (url, value, words) in [
            (file("bad", "secret"), Setting::Text("x".to_owned()), "URL is not https"),
            (url(), Setting::File(dir.path().join("none")), "`X-Key` of the sink `hook`"),
            (url(), Setting::Env("LIMBECK_NO_SUCH_VARIABLE".into()), "LIMBECK_NO_SUCH_VARIABLE"),
            (url(), file("two", "secret\nlines"), "cannot be sent"),
        ] {
            let why = Target::new(&sink(url, value)).err().expect("it is wrong");
            assert!(why.contains(words) && !why.contains("secret"), "{why}");
        }
    }
}
