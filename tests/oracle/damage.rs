//! Lines that must be dead letters, each for one reason of the contract.

use super::lines::{Draft, escaped, quoted};
use super::logs::Random;

/// Turns a good record into a line that is none.
pub(crate) fn damaged(draft: &Draft, random: &mut Random) -> Vec<u8> {
    match random.below(10) {
        0 | 1 => repeated(draft, random).into_bytes(),
        2 | 3 => wrong_member(draft, random).into_bytes(),
        4 | 5 => wrong_time(draft, random).into_bytes(),
        6 => not_utf8(draft, random),
        7 => truncated(draft, random),
        _ => broken_json(draft, random).into_bytes(),
    }
}

fn object(members: &[(&str, String)]) -> String {
    let written: Vec<_> = members.iter().map(|(key, json)| format!("\"{key}\":{json}")).collect();
    format!("{{{}}}", written.join(","))
}

/// An attribute stands twice, equal or not, plain or escaped.
fn repeated(draft: &Draft, random: &mut Random) -> String {
    let mut members = draft.members();
    let keys = ["id", "source", "type", "subject", "time", "recordedtime", "sequence", "data"];
    let key = *random.pick(&keys);
    let first = members.iter().find(|(k, _)| *k == key).map(|(_, json)| json.clone());
    let json = match (&first, random.below(3)) {
        (Some(json), 0 | 1) => json.clone(),
        _ => "null".to_owned(),
    };
    if first.is_none() {
        members.push((key, json.clone()));
    }
    let spelling = if random.chance(25) { escaped(key) } else { quoted(key) };
    let line = object(&members);
    match random.chance(50) {
        true => format!("{},{spelling}:{json}}}", &line[..line.len() - 1]),
        false => format!("{{{spelling}:{json},{}", &line[1..]),
    }
}

/// An attribute that must be a string is none, or is missing.
fn wrong_member(draft: &Draft, random: &mut Random) -> String {
    let mut members = draft.members();
    let key = *random.pick(&["id", "source", "type", "time"]);
    let json = *random.pick(&["7", "null", "true", "[\"a\"]", "{\"id\":\"a\"}", "1.5", "-0"]);
    match random.chance(30) {
        true => members.retain(|(k, _)| *k != key),
        false => {
            let member = members.iter_mut().find(|(k, _)| *k == key);
            member.expect("every record has these").1 = json.to_owned();
        }
    }
    object(&members)
}

/// A time that is none, or that 64 bits of nanoseconds cannot hold.
fn wrong_time(draft: &Draft, random: &mut Random) -> String {
    let texts = [
        "",
        "now",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00Z",
        "20260101T000000Z",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00Z ",
        " 2026-01-01T00:00:00Z",
        "1767225600",
        "2262-04-11T23:47:16.854775808Z",
        "1677-09-21T00:12:43.145224191Z",
        "9998-12-31T23:59:59Z",
        "0001-01-01T00:00:00Z",
    ];
    let json = match random.chance(10) {
        true => "1767225600000".to_owned(),
        false => quoted(random.pick::<&str>(&texts)),
    };
    let key = *random.pick(&["time", "recordedtime"]);
    let mut members = draft.members();
    members.retain(|(k, _)| *k != key);
    members.push((key, json));
    object(&members)
}

/// Bytes that are no UTF-8, in a place that matters or in one that does not.
fn not_utf8(draft: &Draft, random: &mut Random) -> Vec<u8> {
    let mut line = object(&draft.members()).into_bytes();
    let bytes: &[u8] = random.pick::<&[u8]>(&[
        b"\xff",
        b"\xc3",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
    ]);
    let before_end = line.len() - 1;
    let member = [b",\"note\":\"".as_slice(), bytes, b"\""].concat();
    let places = if draft.source.is_empty() { 2 } else { 3 };
    match random.below(places) {
        0 => drop(line.splice(before_end..before_end, member)),
        1 => line.extend_from_slice(bytes),
        _ => {
            let source = draft.source.as_bytes();
            let at = line.windows(source.len()).position(|window| window == source);
            let at = at.expect("a record is written with its source");
            drop(line.splice(at..at, bytes.iter().copied()));
        }
    }
    line
}

fn truncated(draft: &Draft, random: &mut Random) -> Vec<u8> {
    let mut line = object(&draft.members()).into_bytes();
    let kept = 1 + random.below(line.len() as u64 - 1) as usize;
    line.truncate(kept);
    line
}

fn broken_json(draft: &Draft, random: &mut Random) -> String {
    let line = object(&draft.members());
    let open = &line[..line.len() - 1];
    match random.below(19) {
        0 => format!("{line}{line}"),
        1 => format!("{line} x"),
        2 => format!("[{line}]"),
        3 => quoted(&line),
        4 => format!("{open},}}"),
        5 => format!("{open},\"note\":01}}"),
        6 => format!("{open},\"note\":NaN}}"),
        7 => format!("{open},\"note\":'a'}}"),
        8 => format!("{open},note:1}}"),
        9 => format!("{open},\"note\":\"a\tb\"}}"),
        10 => format!("{open},\"note\":\"\\x\"}}"),
        11 => format!("{open},\"note\":[1,]}}"),
        12 => format!("{open},\"note\":[}}]}}"),
        13 => format!("\u{feff}{line}"),
        14 => format!("{open} \"note\":1}}"),
        15 => format!("{open},\"note\":tru}}"),
        16 => format!("{open},\"note\":1.}}"),
        17 => format!("{line},"),
        _ => random.pick(&["null", "{}", "7", "x", "}", "\u{a0}", "\"\"", "{\"id\"}"]).to_string(),
    }
}
