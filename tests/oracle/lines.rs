//! How a generated record is written: the same record in many spellings, all readable.

use limbeck::model::time::format_rfc3339;

use super::logs::Random;

/// A record before it is written. Fields that end in `_json` are JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) kind: String,
    pub(crate) subject_json: Option<String>,
    pub(crate) time: String,
    pub(crate) recorded: Option<String>,
    pub(crate) sequence_json: Option<String>,
    pub(crate) data_json: Option<String>,
    /// Whole members, comma and all, that no rule looks at.
    pub(crate) extra: String,
}

impl Draft {
    /// The members of the object in a fixed order, each as key and JSON text.
    pub(crate) fn members(&self) -> Vec<(&'static str, String)> {
        let mut members = vec![
            ("specversion", quoted("1.0")),
            ("id", quoted(&self.id)),
            ("source", quoted(&self.source)),
            ("type", quoted(&self.kind)),
            ("time", quoted(&self.time)),
        ];
        let optional = [
            ("subject", self.subject_json.clone()),
            ("recordedtime", self.recorded.as_deref().map(quoted)),
            ("sequence", self.sequence_json.clone()),
            ("data", self.data_json.clone()),
        ];
        members.extend(optional.into_iter().filter_map(|(key, value)| Some((key, value?))));
        members
    }

    /// One line, without its end. Different draws differ in order and white space only.
    pub(crate) fn line(&self, random: &mut Random) -> String {
        let mut members = self.members();
        if random.chance(20) {
            random.shuffle(&mut members);
        }
        let (comma, colon) = *random.pick(&[(",", ":"), (",", ":"), (", ", ": "), (" ,\t", " :")]);
        let written: Vec<_> =
            members.iter().map(|(key, value)| format!("\"{key}\"{colon}{value}")).collect();
        let line = format!("{{{}{}}}", written.join(comma), self.extra);
        match random.below(20) {
            0 => format!("  {line}"),
            1 => format!("{line}\r"),
            2 => format!("{line} \t"),
            _ => line,
        }
    }
}

/// A text as JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is JSON")
}

/// A text as JSON with its first letter escaped.
pub(crate) fn escaped(text: &str) -> String {
    let plain = quoted(text);
    match text.chars().next() {
        Some(first) if first.is_ascii_alphanumeric() => {
            format!("\"\\u{:04x}{}", u32::from(first), &plain[2..])
        }
        _ => plain,
    }
}

/// The same instant in one of the spellings that RFC 3339 allows.
pub(crate) fn spelt(nanos: i64, random: &mut Random) -> String {
    let plain = format_rfc3339(nanos);
    match random.below(24) {
        0 => plain.replace('T', "t").replace('Z', "z"),
        1 => plain.replace('T', " "),
        2 => plain.replace('Z', "+00:00"),
        3 => plain.replace('Z', "00000000Z"),
        4 => format_rfc3339(nanos + 5_400_000_000_000).replace('Z', "+01:30"),
        5 => format_rfc3339(nanos - 1_800_000_000_000).replace('Z', "-00:30"),
        _ => plain,
    }
}
