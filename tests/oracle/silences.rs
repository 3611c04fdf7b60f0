//! Records that tell of silences, as a log of their own, by seed.

use limbeck::model::time::format_rfc3339;

use super::S;
use super::logs::{BASE, Random};

/// The rules that read them.
pub(crate) const SILENCES: &str =
    "silences: { told: { events: { where: type == \"silence\" } } }\n";

/// A log of such records: some end what others began, and some are none.
pub(crate) fn log(random: &mut Random) -> Vec<u8> {
    let mut log = String::new();
    let mut at = BASE;
    for number in 0..random.below(12) {
        at += random.below(8_000) as i64 * (S / 1_000);
        let from = at + random.below(20_000) as i64 * (S / 1_000) - 5 * S;
        let until = from + random.below(30_000) as i64 * (S / 1_000);
        let [time, from, until] = [at, from, until].map(format_rfc3339);
        let matcher = random.pick(&[
            r#"{"name":"state","value":"r.*","isRegex":true}"#,
            r#"{"name":"state","value":"ready","isEqual":false}"#,
            r#""entity =~ .*0""#,
            r#"{"name":"alertname","value":"pod-readiness"}"#,
            "7",
        ]);
        let id = random.below(3);
        let data = format!(
            r#"{{"id":"s{id}","matchers":[{matcher}],"startsAt":"{from}","endsAt":"{until}"}}"#
        );
        log += &format!(
            r#"{{"specversion":"1.0","id":"n{number}","source":"am","type":"silence","subject":"s{id}","time":"{time}","data":{data}}}"#
        );
        log.push('\n');
    }
    log.into_bytes()
}
