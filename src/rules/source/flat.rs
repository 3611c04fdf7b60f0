//! Lines of text: rows under a header, and lines that a pattern takes apart.

use std::sync::Arc;

use smol_str::SmolStr;

use super::mapping::Mapping;
use super::optional;
use super::path::FieldPath;
use crate::rules::diagnostics::{Problems, suggestion};
use crate::rules::fields::{self, Fields};
use crate::rules::yaml::{self, Node};

/// Rows of delimited fields, quoted as RFC 4180 says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csv {
    /// What stands between two fields.
    pub delimiter: u8,
    /// What the columns are called; if it is not given, the first line of each file says so.
    pub header: Option<Arc<[SmolStr]>>,
    /// Which columns are the attributes.
    pub mapping: Mapping,
}

impl Csv {
    /// Reads it, and its columns, which are known even where other things are wrong.
    pub(super) fn read(
        fields: &Fields<'_>,
        file: &str,
        problems: &mut Problems,
    ) -> (Columns, Option<Self>) {
        let delimiter = match fields.get("delimiter") {
            Some(node) => read_delimiter(node, problems),
            None => Some(b','),
        };
        let header = optional(fields.get("header"), |node| read_header(node, problems));
        let known = header.as_ref().and_then(|header| header.as_deref());
        let mapping = Mapping::read(fields, Some(&Flat { kind: "column", known }), file, problems);
        let columns = Columns { kind: "column", names: known.map(<[_]>::to_vec) };
        let read = || Some(Self { delimiter: delimiter?, header: header?, mapping: mapping? });
        (columns, read())
    }

    /// What the mapping names and a header has not, or not only once; `None` if it fits.
    pub fn misfit(&self, header: &[SmolStr]) -> Option<String> {
        let flat = Flat { kind: "column", known: Some(header) };
        let faults: Vec<_> = self
            .mapping
            .paths()
            .filter_map(|path| flat.fault(path))
            .map(|(message, help)| format!("{message} ({help})"))
            .collect();
        (!faults.is_empty()).then(|| faults.join(", "))
    }
}

pub(super) fn read_header(node: &Node, problems: &mut Problems) -> Option<Arc<[SmolStr]>> {
    let names = fields::items(node, "`header`", problems)?.iter();
    let names: Vec<_> = names.map(|name| fields::text(name, "a column", problems)).collect();
    names.into_iter().map(|name| name.map(SmolStr::new)).collect()
}

pub(super) fn read_delimiter(node: &Node, problems: &mut Problems) -> Option<u8> {
    match fields::text(node, "the delimiter", problems)? {
        "tab" => Some(b'\t'),
        text => match text.as_bytes() {
            [byte] if *byte == b'\t' || (byte.is_ascii_punctuation() && *byte != b'"') => {
                Some(*byte)
            }
            _ => {
                let message = format!("`{}` cannot be the delimiter", text.escape_debug());
                let help = "one mark of punctuation, as \",\" or \";\", but no quote; or tab";
                problems.error_help(&node.span, message, help);
                None
            }
        },
    }
}

/// Lines that a pattern takes apart.
#[derive(Clone, Debug)]
pub struct Regex {
    /// Found anywhere in a line, unless it is anchored.
    pub pattern: regex::Regex,
    /// Which groups are the attributes.
    pub mapping: Mapping,
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.pattern.as_str() == other.pattern.as_str() && self.mapping == other.mapping
    }
}

impl Eq for Regex {}

impl Regex {
    /// Reads it, and its groups, which are known even where other things are wrong.
    pub(super) fn read(
        fields: &Fields<'_>,
        file: &str,
        problems: &mut Problems,
    ) -> (Columns, Option<Self>) {
        let pattern = fields
            .require("pattern", r"'^(?<ts>\S+) (?<host>\S+) (?<state>\w+)'", problems)
            .and_then(|node| read_pattern(node, file, problems));
        let groups = pattern
            .as_ref()
            .map(|pattern| pattern.capture_names().flatten().map(SmolStr::new).collect::<Vec<_>>());
        let flat = Flat { kind: "group", known: groups.as_deref() };
        let mapping = Mapping::read(fields, Some(&flat), file, problems);
        let read = || Some(Self { pattern: pattern?, mapping: mapping? });
        (Columns { kind: "group", names: groups }, read())
    }
}

pub(super) fn read_pattern(
    node: &Node,
    file: &str,
    problems: &mut Problems,
) -> Option<regex::Regex> {
    let text = fields::text(node, "a pattern", problems)?;
    let error = match regex::Regex::new(text) {
        Ok(pattern) => return Some(pattern),
        Err(error) => error,
    };
    // The parser beneath says where.
    let (place, what) = match regex_syntax::parse(text) {
        Err(regex_syntax::Error::Parse(error)) => (*error.span(), error.kind().to_string()),
        Err(regex_syntax::Error::Translate(error)) => (*error.span(), error.kind().to_string()),
        _ => {
            problems.error(&node.span, format!("not a valid pattern: {error}"));
            return None;
        }
    };
    let span = yaml::locate_range(file, node, &(place.start.offset..place.end.offset));
    let help = "the syntax is that of the crate regex; a group is named so: (?<state>up|down)";
    problems.error_help(&span, format!("not a valid pattern: {what}"), help);
    None
}

/// What to write instead of a name that is not among many.
pub(in crate::rules) fn names_help(kind: &str, name: &str, known: &[SmolStr]) -> String {
    const SHOWN_CHARS: usize = 40;
    const SHOWN_MAX: usize = 20;
    let short = |name: &SmolStr| name.chars().take(SHOWN_CHARS).collect::<String>();
    let shown: Vec<_> = known.iter().map(short).collect();
    let shown: Vec<_> = shown.iter().map(String::as_str).collect();
    let help = suggestion(kind, name, &shown);
    match help.starts_with("known") && shown.len() > SHOWN_MAX {
        true => suggestion(kind, name, &shown[..SHOWN_MAX]) + ", ...",
        false => help,
    }
}

/// The fields of records without depth.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Columns {
    /// What one is called.
    pub(in crate::rules) kind: &'static str,
    /// All there are, if that is known.
    pub(in crate::rules) names: Option<Vec<SmolStr>>,
}

impl Columns {
    /// Those of either.
    pub(in crate::rules) fn or(self, other: Self) -> Self {
        let kind = if self.kind == other.kind { self.kind } else { "field" };
        let names = self.names.zip(other.names).map(|(mut names, more)| {
            names.extend(more);
            let mut seen = std::collections::BTreeSet::new();
            names.retain(|name| seen.insert(name.clone()));
            names
        });
        Self { kind, names }
    }
}

/// A record without depth: its fields are columns or groups.
pub(in crate::rules) struct Flat<'n> {
    kind: &'static str,
    /// All there are, if that is known.
    known: Option<&'n [SmolStr]>,
}

impl Flat<'_> {
    /// What is wrong with a field, and what would be right.
    pub(super) fn fault(&self, path: &FieldPath) -> Option<(String, String)> {
        let Self { kind, known } = self;
        let [name] = path.keys() else {
            let joined = path.keys().join(".");
            let message = format!("a {kind} has no fields of its own, as `{joined}` asks for");
            return Some((message, format!("write `{joined}` in backticks if it is one {kind}")));
        };
        let known = known.as_ref()?;
        match known.iter().filter(|known| *known == name).count() {
            1 => None,
            0 => Some((format!("unknown {kind} `{name}`"), names_help(kind, name, known))),
            _ => {
                let help = "give each column that is mapped its own name";
                Some((format!("{kind} `{name}` is repeated"), help.to_owned()))
            }
        }
    }
}
