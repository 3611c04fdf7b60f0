//! Sources: how a line of some shape becomes a record.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use smol_str::SmolStr;

use super::diagnostics::{Problems, suggestion};
use super::fields::{self, Fields};
use super::yaml::{self, Node};

/// Where records come from, and how they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What `from` and the command line call it.
    pub name: SmolStr,
    /// The bytes of the rule file its name is written in; none if the file has no sources.
    pub span: Range<usize>,
    /// The shape of its lines.
    pub format: Format,
}

/// The shape of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// CloudEvents 1.0 in JSON: every attribute has its place.
    CloudEvents,
    /// Any JSON object: the mapping says where the attributes are; the object itself is `data`.
    Json {
        /// Where the attributes stand.
        mapping: Box<Mapping>,
        /// An array that is exploded: the line stands for as many lines as it has elements, each
        /// with one element in the place of the array.
        explode: Option<FieldPath>,
    },
    /// Rows of text under a header: `data` has a string for each column.
    Csv(Box<Csv>),
    /// Any line of text: `data` has a string for each named group that took part.
    Regex(Box<Regex>),
}

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

/// Where the attributes of a record stand in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Event time.
    pub time: TimeField,
    /// When the collector recorded it; event time where absent.
    pub arrival: Option<TimeField>,
    /// The entity.
    pub subject: Text,
    /// Who says it.
    pub source: Text,
    /// What kind of record it is.
    pub type_: Text,
    /// The source's own number of the record.
    pub sequence: Option<Text>,
    /// Without it, equal records are the same record.
    pub id: Option<Text>,
}

/// A time in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeField {
    /// Where it stands.
    pub field: FieldPath,
    /// How it is written.
    pub unit: TimeUnit,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds since the Unix epoch.
    Seconds,
    /// Milliseconds since the Unix epoch.
    Millis,
    /// Microseconds since the Unix epoch.
    Micros,
    /// Nanoseconds since the Unix epoch.
    Nanos,
    /// As RFC 3339 says.
    Rfc3339,
}

/// Text taken from an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// What stands in a field.
    Field(FieldPath),
    /// The same for every record.
    Const(SmolStr),
    /// Put together from fields.
    Template(Vec<TemplatePart>),
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// As written.
    Literal(SmolStr),
    /// `{field}`
    Field(FieldPath),
}

/// The keys that lead to a value through objects, outermost first; never empty.
///
/// Written `a.b`; a key with a dot, a blank or a brace in it is written in backticks:
/// `` `a.b`.c ``.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<SmolStr>);

impl FieldPath {
    /// The keys, outermost first.
    pub fn keys(&self) -> &[SmolStr] {
        &self.0
    }

    /// The path of these keys, if one can be written.
    pub fn new(keys: &[SmolStr]) -> Option<Self> {
        let written = |key: &SmolStr| !key.is_empty() && !key.contains('`');
        (!keys.is_empty() && keys.iter().all(written)).then(|| Self(keys.to_vec()))
    }

    /// Reads a path; the error says what is wrong with it.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut keys = Vec::new();
        let mut rest = text;
        loop {
            let key = if let Some(quoted) = rest.strip_prefix('`') {
                let end = quoted.find('`').ok_or("a backtick is not closed")?;
                rest = &quoted[end + 1..];
                &quoted[..end]
            } else {
                let end = rest.find(['.', '`']).unwrap_or(rest.len());
                let (key, after) = rest.split_at(end);
                rest = after;
                if key.contains(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | '[' | ']')) {
                    return Err("a key with a blank, brace or bracket needs backticks around it");
                }
                key
            };
            if key.is_empty() {
                return Err("a key is empty");
            }
            keys.push(SmolStr::new(key));
            match rest.strip_prefix('.') {
                Some(after) => rest = after,
                None if rest.is_empty() => return Ok(Self(keys)),
                None => return Err("a dot is missing between two keys"),
            }
        }
    }
}

/// As a rule file has it.
impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, key) in self.0.iter().enumerate() {
            let dot = if number > 0 { "." } else { "" };
            let marks = |c: char| c.is_whitespace() || matches!(c, '.' | '{' | '}' | '[' | ']');
            match key.contains(marks) {
                true => write!(f, "{dot}`{key}`")?,
                false => write!(f, "{dot}{key}")?,
            }
        }
        Ok(())
    }
}

impl TimeUnit {
    /// As the rule file calls it.
    pub fn name(self) -> &'static str {
        UNITS.iter().find(|(_, unit)| *unit == self).map_or("", |(name, _)| name)
    }
}

pub(super) const TIME_FIELDS: [&str; 2] = ["field", "unit"];
pub(super) const TEXT_KINDS: [&str; 3] = ["field", "const", "template"];
pub(super) const ATTRIBUTES: [&str; 7] =
    ["time", "arrival", "subject", "source", "type", "sequence", "id"];
/// What belongs to one format alone.
pub(super) const OPTIONS: [(&str, &str); 4] =
    [("explode", "json"), ("delimiter", "csv"), ("header", "csv"), ("pattern", "regex")];
pub(super) const FIELDS: [&str; 12] = [
    "format",
    "explode",
    "delimiter",
    "header",
    "pattern",
    "time",
    "arrival",
    "subject",
    "source",
    "type",
    "sequence",
    "id",
];
pub(super) const FORMATS: [&str; 4] = ["json", "csv", "regex", "cloudevents"];
pub(super) const UNITS: [(&str, TimeUnit); 5] = [
    ("s", TimeUnit::Seconds),
    ("ms", TimeUnit::Millis),
    ("us", TimeUnit::Micros),
    ("ns", TimeUnit::Nanos),
    ("rfc3339", TimeUnit::Rfc3339),
];

impl Source {
    /// What a rule file without `sources` reads.
    pub(super) fn implicit() -> Self {
        Self { name: SmolStr::new_static("cloudevents"), span: 0..0, format: Format::CloudEvents }
    }

    /// Reads a source of a rule file, whose text is `file`.
    pub(super) fn read(
        key: &Node,
        node: &Node,
        file: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        let name = fields::name(key, "the name of a source", problems);
        let fields = Fields::open(node, &key.span, "a source", &FIELDS, problems)?;
        let format = fields.require("format", "json", problems)?;
        let text = fields::text(format, "the format", problems)?;
        if !FORMATS.contains(&text) {
            problems.unknown(&format.span, "format", text, &FORMATS);
            return None;
        }
        for (option, of) in OPTIONS {
            if let Some(node) = fields.get(option).filter(|_| of != text) {
                let message = format!("`{option}` belongs to format: {of}, not to {text}");
                problems.error_help(&node.span, message, "remove it");
            }
        }
        let format = match text {
            "json" => {
                let explode =
                    optional(fields.get("explode"), |node| read_path(node, None, problems));
                let mapping = Mapping::read(&fields, None, problems);
                Format::Json { mapping: Box::new(mapping?), explode: explode? }
            }
            "csv" => Format::Csv(Box::new(Csv::read(&fields, problems)?)),
            "regex" => Format::Regex(Box::new(Regex::read(&fields, file, problems)?)),
            _ => {
                for field in ATTRIBUTES {
                    if let Some(node) = fields.get(field) {
                        let message = format!("CloudEvents have a place for `{field}` already");
                        problems.error_help(&node.span, message, "remove it, or use format: json");
                    }
                }
                Format::CloudEvents
            }
        };
        Some(Self { name: name?, span: key.span.clone(), format })
    }
}

impl Csv {
    fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Self> {
        let delimiter = match fields.get("delimiter") {
            Some(node) => read_delimiter(node, problems),
            None => Some(b','),
        };
        let header = optional(fields.get("header"), |node| {
            let names = fields::items(node, "`header`", problems)?.iter();
            let names: Vec<_> =
                names.map(|name| fields::text(name, "a column", problems)).collect();
            names.into_iter().map(|name| name.map(SmolStr::new)).collect::<Option<Arc<[_]>>>()
        });
        let known = header.as_ref().and_then(|header| header.as_deref());
        let mapping = Mapping::read(fields, Some(&Flat { kind: "column", known }), problems);
        Some(Self { delimiter: delimiter?, header: header?, mapping: mapping? })
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

fn read_delimiter(node: &Node, problems: &mut Problems) -> Option<u8> {
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

impl Regex {
    fn read(fields: &Fields<'_>, file: &str, problems: &mut Problems) -> Option<Self> {
        let pattern = fields
            .require("pattern", r"'^(?<ts>\S+) (?<host>\S+) (?<state>\w+)'", problems)
            .and_then(|node| read_pattern(node, file, problems));
        let groups = pattern
            .as_ref()
            .map(|pattern| pattern.capture_names().flatten().map(SmolStr::new).collect::<Vec<_>>());
        let flat = Flat { kind: "group", known: groups.as_deref() };
        let mapping = Mapping::read(fields, Some(&flat), problems);
        Some(Self { pattern: pattern?, mapping: mapping? })
    }
}

fn read_pattern(node: &Node, file: &str, problems: &mut Problems) -> Option<regex::Regex> {
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

/// A record without depth: its fields are columns or groups.
struct Flat<'n> {
    kind: &'static str,
    /// All there are, if that is known.
    known: Option<&'n [SmolStr]>,
}

impl Flat<'_> {
    /// What is wrong with a field, and what would be right.
    fn fault(&self, path: &FieldPath) -> Option<(String, String)> {
        const SHOWN_CHARS: usize = 40;
        const SHOWN_MAX: usize = 20;
        let Self { kind, known } = self;
        let [name] = path.keys() else {
            let joined = path.keys().join(".");
            let message = format!("a {kind} has no fields of its own, as `{joined}` asks for");
            return Some((message, format!("write `{joined}` in backticks if it is one {kind}")));
        };
        let known = known.as_ref()?;
        match known.iter().filter(|known| *known == name).count() {
            1 => None,
            0 => {
                let short = |name: &SmolStr| name.chars().take(SHOWN_CHARS).collect::<String>();
                let shown: Vec<_> = known.iter().map(short).collect();
                let shown: Vec<_> = shown.iter().map(String::as_str).collect();
                let mut help = suggestion(kind, name, &shown);
                if help.starts_with("known") && shown.len() > SHOWN_MAX {
                    help = suggestion(kind, name, &shown[..SHOWN_MAX]) + ", ...";
                }
                Some((format!("unknown {kind} `{name}`"), help))
            }
            _ => {
                let help = "give each column that is mapped its own name";
                Some((format!("{kind} `{name}` is repeated"), help.to_owned()))
            }
        }
    }
}

impl Mapping {
    /// Every path that it names.
    fn paths(&self) -> impl Iterator<Item = &FieldPath> {
        let times = [Some(&self.time), self.arrival.as_ref()].into_iter().flatten();
        let texts = [&self.subject, &self.source, &self.type_].into_iter();
        let texts = texts.chain([&self.sequence, &self.id].into_iter().flatten());
        times.map(|time| &time.field).chain(texts.flat_map(Text::paths))
    }

    fn read(fields: &Fields<'_>, flat: Option<&Flat<'_>>, problems: &mut Problems) -> Option<Self> {
        let time = fields
            .require("time", "{ field: ts, unit: ms }", problems)
            .and_then(|node| TimeField::read(node, flat, problems));
        let arrival = optional(fields.get("arrival"), |node| TimeField::read(node, flat, problems));
        let mut required = |name: &str, example: &str| {
            let node = fields.require(name, example, problems)?;
            Text::read(node, flat, problems)
        };
        let subject = required("subject", "{ field: name }");
        let source = required("source", "{ const: probe }");
        let type_ = required("type", "{ field: kind }");
        let sequence = optional(fields.get("sequence"), |node| Text::read(node, flat, problems));
        let id = optional(fields.get("id"), |node| Text::read(node, flat, problems));
        Some(Self {
            time: time?,
            arrival: arrival?,
            subject: subject?,
            source: source?,
            type_: type_?,
            sequence: sequence?,
            id: id?,
        })
    }
}

/// Reads what may be absent; `None` only if it is there and wrong.
fn optional<T>(node: Option<&Node>, read: impl FnOnce(&Node) -> Option<T>) -> Option<Option<T>> {
    match node {
        Some(node) => read(node).map(Some),
        None => Some(None),
    }
}

impl TimeField {
    fn read(node: &Node, flat: Option<&Flat<'_>>, problems: &mut Problems) -> Option<Self> {
        let fields = Fields::open(node, &node.span, "a time", &TIME_FIELDS, problems)?;
        let field = fields.require("field", "ts", problems);
        let field = field.and_then(|node| read_path(node, flat, problems));
        let unit = fields.require("unit", "ms", problems)?;
        let text = fields::text(unit, "the unit", problems)?;
        let known = UNITS.map(|(name, _)| name);
        match UNITS.iter().find(|(name, _)| *name == text) {
            Some((_, unit)) => Some(Self { field: field?, unit: *unit }),
            None => {
                problems.unknown(&unit.span, "unit", text, &known);
                None
            }
        }
    }
}

impl Text {
    /// Every path that it names.
    fn paths(&self) -> impl Iterator<Item = &FieldPath> {
        let (field, parts) = match self {
            Self::Field(path) => (Some(path), &[][..]),
            Self::Const(_) => (None, &[][..]),
            Self::Template(parts) => (None, parts.as_slice()),
        };
        let in_template = parts.iter().filter_map(|part| match part {
            TemplatePart::Field(path) => Some(path),
            TemplatePart::Literal(_) => None,
        });
        field.into_iter().chain(in_template)
    }

    fn read(node: &Node, flat: Option<&Flat<'_>>, problems: &mut Problems) -> Option<Self> {
        let fields = Fields::open(node, &node.span, "an attribute", &TEXT_KINDS, problems)?;
        let given: Vec<_> =
            TEXT_KINDS.iter().filter_map(|kind| Some((*kind, fields.get(kind)?))).collect();
        let [(kind, value)] = given.as_slice() else {
            let message = "an attribute is one of `field`, `const` and `template`";
            problems.error_help(&node.span, message, "write { field: a.b }");
            return None;
        };
        match *kind {
            "field" => read_path(value, flat, problems).map(Self::Field),
            "const" => {
                fields::text(value, "a const", problems).map(|text| Self::Const(SmolStr::new(text)))
            }
            _ => {
                let text = fields::text(value, "a template", problems)?;
                match parse_template(text) {
                    Ok(parts) => {
                        let template = Self::Template(parts);
                        let mut fits = true;
                        for path in template.paths() {
                            fits &= accept(path, flat, &value.span, problems);
                        }
                        fits.then_some(template)
                    }
                    Err(reason) => {
                        let help = "write \"{namespace}/{pod}\"; {{ and }} are braces";
                        refuse(&value.span, "a template", text, reason, help, problems);
                        None
                    }
                }
            }
        }
    }
}

fn read_path(node: &Node, flat: Option<&Flat<'_>>, problems: &mut Problems) -> Option<FieldPath> {
    let text = fields::text(node, "a field", problems)?;
    match FieldPath::parse(text) {
        Ok(path) => accept(&path, flat, &node.span, problems).then_some(path),
        Err(reason) => {
            let help = "write a.b, or `a.b` in backticks for a key with a dot";
            refuse(&node.span, "a field", text, reason, help, problems);
            None
        }
    }
}

/// Whether the records can have such a field; says if not.
fn accept(
    path: &FieldPath,
    flat: Option<&Flat<'_>>,
    span: &Range<usize>,
    problems: &mut Problems,
) -> bool {
    let fault = flat.and_then(|flat| flat.fault(path));
    let fits = fault.is_none();
    if let Some((message, help)) = fault {
        problems.error_help(span, message, help);
    }
    fits
}

fn refuse(
    span: &Range<usize>,
    what: &str,
    text: &str,
    reason: &str,
    help: &str,
    problems: &mut Problems,
) {
    problems.error_help(span, format!("`{text}` is not {what}: {reason}"), help);
}

fn parse_template(text: &str) -> Result<Vec<TemplatePart>, &'static str> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            literal.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" {
            return Err("a brace is closed that is not open");
        }
        let end = closing_brace(after).ok_or("a brace is not closed")?;
        if !literal.is_empty() {
            parts.push(TemplatePart::Literal(SmolStr::new(std::mem::take(&mut literal))));
        }
        parts.push(TemplatePart::Field(FieldPath::parse(&after[..end])?));
        rest = &after[end + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(TemplatePart::Literal(SmolStr::new(literal)));
    }
    let has_field = parts.iter().any(|part| matches!(part, TemplatePart::Field(_)));
    if has_field { Ok(parts) } else { Err("it names no {field}; use const") }
}

/// The first closing brace outside backticks.
fn closing_brace(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices()
        .find(|(_, c)| {
            quoted ^= *c == '`';
            !quoted && *c == '}'
        })
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(keys: &[&str]) -> FieldPath {
        FieldPath(keys.iter().map(SmolStr::new).collect())
    }

    #[test]
    fn paths_descend_and_backticks_quote() {
        for (text, keys) in [
            ("a", vec!["a"]),
            ("a.b.c", vec!["a", "b", "c"]),
            ("`k8s.io/name`.x", vec!["k8s.io/name", "x"]),
            ("a.`b c`", vec!["a", "b c"]),
            ("über", vec!["über"]),
        ] {
            assert_eq!(FieldPath::parse(text), Ok(path(&keys)), "{text}");
            assert_eq!(path(&keys).to_string(), text);
        }
        for text in ["", ".", "a.", ".a", "a..b", "`a", "`a`b", "a`b`", "``", "a b", "a[0]"] {
            assert!(FieldPath::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn templates_are_literals_and_fields() {
        let literal = |text: &str| TemplatePart::Literal(SmolStr::new(text));
        let field = |keys: &[&str]| TemplatePart::Field(path(keys));
        for (text, parts) in [
            ("{a}", vec![field(&["a"])]),
            ("{a.b}/{c}!", vec![field(&["a", "b"]), literal("/"), field(&["c"]), literal("!")]),
            ("{{{a}}}", vec![literal("{"), field(&["a"]), literal("}")]),
            ("{`a}b`}", vec![field(&["a}b"])]),
        ] {
            assert_eq!(parse_template(text), Ok(parts), "{text}");
        }
        for text in ["", "a", "{", "}", "{}", "{a", "{a}}", "{a b}", "{{a}}"] {
            assert!(parse_template(text).is_err(), "{text}");
        }
    }
}
