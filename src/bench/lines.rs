//! The shapes in which the workload is written.

use super::random::mix;
use super::workload::{Event, START_MS};

const DAY_MS: i64 = 86_400_000;
/// How long a fleeting pod lives.
const LIFE_MS: i64 = 3_600_000;

/// Appends an event in the flat shape.
pub(super) fn push_flat(out: &mut Vec<u8>, event: &Event, seed: u64) {
    push_dated(out, event.time_ms as u64, event, seed);
}

/// Appends an event in the flat shape, with another time, in any unit.
pub(super) fn push_dated(out: &mut Vec<u8>, time: u64, event: &Event, seed: u64) {
    out.extend_from_slice(b"{\"ts\":");
    push_decimal(out, time);
    out.extend_from_slice(b",\"source\":\"probe\",\"entity\":\"pod-");
    push_padded::<6>(out, event.entity);
    out.extend_from_slice(b"\",\"kind\":\"readiness\",\"state\":\"");
    out.extend_from_slice(state(event));
    out.extend_from_slice(b"\",\"seq\":");
    push_decimal(out, u64::from(event.sequence));
    out.extend_from_slice(b",\"service\":\"svc-");
    push_decimal(out, u64::from(event.entity % 40));
    out.extend_from_slice(b"\",\"region\":\"eu-");
    push_decimal(out, u64::from(event.entity / 40 % 4));
    out.push(b'"');
    push_message(out, event, seed);
    out.extend_from_slice(b"}\n");
}

/// Appends an event in few words. The pod in a place dies after a while, and another takes it.
pub(super) fn push_fleeting(out: &mut Vec<u8>, event: &Event, _: u64) {
    let died = (event.time_ms - START_MS + born_ms(event.entity)) / LIFE_MS;
    out.extend_from_slice(b"{\"ts\":");
    push_decimal(out, event.time_ms as u64);
    out.extend_from_slice(b",\"entity\":\"pod-");
    push_padded::<6>(out, event.entity);
    out.push(b'-');
    push_decimal(out, died as u64);
    out.extend_from_slice(b"\",\"kind\":\"readiness\",\"state\":\"");
    out.extend_from_slice(state(event));
    out.extend_from_slice(b"\",\"seq\":");
    push_decimal(out, u64::from(event.sequence));
    out.extend_from_slice(b"}\n");
}

/// How long before the start the first pod in a place came to live, so that few die at once.
fn born_ms(entity: u32) -> i64 {
    (mix(u64::from(entity)) % LIFE_MS as u64) as i64
}

/// Appends an event as a CloudEvent.
pub(super) fn push_cloudevent(out: &mut Vec<u8>, event: &Event, seed: u64) {
    out.extend_from_slice(b"{\"specversion\":\"1.0\",\"id\":\"");
    push_id(out, event, seed);
    out.extend_from_slice(b"\",\"source\":\"probe\",\"type\":\"readiness\",\"subject\":\"pod-");
    push_padded::<6>(out, event.entity);
    out.extend_from_slice(b"\",\"time\":\"");
    push_time(out, event.time_ms);
    out.extend_from_slice(b"\",\"recordedtime\":\"");
    push_time(out, event.arrival_ms);
    out.extend_from_slice(b"\",\"sequence\":\"");
    push_decimal(out, u64::from(event.sequence));
    out.extend_from_slice(b"\",\"data\":{\"state\":\"");
    out.extend_from_slice(state(event));
    out.push(b'"');
    push_message(out, event, seed);
    out.extend_from_slice(b"}}\n");
}

fn state(event: &Event) -> &'static [u8] {
    if event.ready { b"ready" } else { b"unready" }
}

/// Appends what the probe had to say.
fn push_message(out: &mut Vec<u8>, event: &Event, seed: u64) {
    let bits = mix(attempt(event, seed).wrapping_add(u64::from(event.sequence) << 32));
    out.extend_from_slice(b",\"message\":\"readiness probe ");
    match (event.ready, bits % 4) {
        (true, 0) => out.extend_from_slice(b"\\\"http-get\\\" ok: HTTP 200 in "),
        (true, _) => out.extend_from_slice(b"ok: HTTP 200 in "),
        (false, _) => out.extend_from_slice(b"failed: Get \\\"/ready\\\": timeout in "),
    }
    push_decimal(out, 20 + (bits >> 8) % 900);
    out.extend_from_slice(b" ms, attempt id ");
    push_id(out, event, seed);
    out.push(b'"');
}

/// A number that tells the entities of a workload apart.
fn attempt(event: &Event, seed: u64) -> u64 {
    mix(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(event.entity)) >> 32
}

/// Appends an identity like `087ed5b7-0001`.
fn push_id(out: &mut Vec<u8>, event: &Event, seed: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let attempt = attempt(event, seed);
    let digits: [u8; 8] = std::array::from_fn(|i| HEX[(attempt >> (28 - 4 * i)) as usize & 15]);
    out.extend_from_slice(&digits);
    out.push(b'-');
    if event.sequence < 10_000 {
        push_padded::<4>(out, event.sequence);
    } else {
        push_decimal(out, u64::from(event.sequence));
    }
}

/// Appends RFC 3339 with milliseconds. Only the date is left to the calendar.
fn push_time(out: &mut Vec<u8>, time_ms: i64) {
    let start = out.len();
    let day_ms = time_ms.div_euclid(DAY_MS) * DAY_MS;
    if day_ms == START_MS {
        out.extend_from_slice(b"2026-01-01T");
    } else {
        crate::model::time::push_rfc3339(out, day_ms * 1_000_000);
        out.truncate(start + "2026-01-01T".len());
    }
    let ms = (time_ms - day_ms) as u32;
    push_padded::<2>(out, ms / 3_600_000);
    out.push(b':');
    push_padded::<2>(out, ms / 60_000 % 60);
    out.push(b':');
    push_padded::<2>(out, ms / 1_000 % 60);
    out.push(b'.');
    push_padded::<3>(out, ms % 1_000);
    out.push(b'Z');
}

fn push_decimal(out: &mut Vec<u8>, number: u64) {
    const DIGITS_MAX: usize = 20;
    let mut digits = [0; DIGITS_MAX];
    let mut first = DIGITS_MAX;
    let mut rest = number;
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// Appends the last `DIGITS` digits of a number.
fn push_padded<const DIGITS: usize>(out: &mut Vec<u8>, number: u32) {
    let mut digits = [0; DIGITS];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(push: fn(&mut Vec<u8>, &Event, u64), ready: bool, time_ms: i64) -> String {
        let arrival_ms = time_ms + 1;
        let event = Event { time_ms, arrival_ms, entity: 6379, sequence: 1, ready, repeat: false };
        let mut out = Vec::new();
        push(&mut out, &event, 1);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn the_flat_shape() {
        let head = r#"{"ts":1767225600027,"source":"probe","entity":"pod-006379","#;
        assert_eq!(
            line(push_flat, true, START_MS + 27),
            [
                head,
                r#""kind":"readiness","state":"ready","seq":1,"service":"svc-19","region":"eu-3","#,
                r#""message":"readiness probe ok: HTTP 200 in 180 ms, attempt id dd5abd9d-0001"}"#,
                "\n",
            ]
            .concat()
        );
        assert_eq!(
            line(push_flat, false, START_MS + 27),
            [
                head,
                r#""kind":"readiness","state":"unready","seq":1,"#,
                r#""service":"svc-19","region":"eu-3","#,
                r#""message":"readiness probe failed: Get \"/ready\": timeout in 180 ms, "#,
                r#"attempt id dd5abd9d-0001"}"#,
                "\n",
            ]
            .concat()
        );
    }

    #[test]
    fn the_fleeting_shape() {
        let of = |name: &str, ts: i64| {
            format!(
                "{{\"ts\":{ts},\"entity\":\"{name}\",\"kind\":\"readiness\",\
                 \"state\":\"ready\",\"seq\":1}}\n"
            )
        };
        let lines = [0, LIFE_MS, 24 * LIFE_MS].map(|ms| line(push_fleeting, true, START_MS + ms));
        let names = ["pod-006379-0", "pod-006379-1", "pod-006379-24"];
        let wanted = [0, LIFE_MS, 24 * LIFE_MS].map(|ms| START_MS + ms);
        assert_eq!(lines, std::array::from_fn(|i| of(names[i], wanted[i])));
    }

    #[test]
    fn the_cloudevents_shape() {
        let head = r#"{"specversion":"1.0","id":"dd5abd9d-0001","source":"probe","#;
        assert_eq!(
            line(push_cloudevent, true, START_MS + 45_296_789),
            [
                head,
                r#""type":"readiness","subject":"pod-006379","time":"2026-01-01T12:34:56.789Z","#,
                r#""recordedtime":"2026-01-01T12:34:56.790Z","sequence":"1","#,
                r#""data":{"state":"ready","#,
                r#""message":"readiness probe ok: HTTP 200 in 180 ms, attempt id dd5abd9d-0001"}}"#,
                "\n",
            ]
            .concat()
        );
        assert_eq!(
            line(push_cloudevent, false, START_MS + 40 * DAY_MS),
            [
                head,
                r#""type":"readiness","subject":"pod-006379","time":"2026-02-10T00:00:00.000Z","#,
                r#""recordedtime":"2026-02-10T00:00:00.001Z","sequence":"1","#,
                r#""data":{"state":"unready","#,
                r#""message":"readiness probe failed: Get \"/ready\": timeout in 180 ms, "#,
                r#"attempt id dd5abd9d-0001"}}"#,
                "\n",
            ]
            .concat()
        );
    }
}
