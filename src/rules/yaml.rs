//! A YAML document as a tree in which every node knows its bytes in the file.
//!
//! Scalars stay text: `on`, `yes` and `1` mean what the reader of the field says they mean.
//! Refused, each with its place: syntax errors, repeated keys, keys that are not text, tags,
//! anchors and aliases, a second document, nesting deeper than 64, control characters, files
//! over 1 MiB.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::diagnostics::Problems;

pub(crate) const BYTES_MAX: usize = 1 << 20;
const DEPTH_MAX: usize = 64;

/// A value and the bytes of the file it was written in.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
}

/// Of what it says, wherever that is written, and with whatever quotes.
impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.is_null().hash(state);
        match &self.value {
            Value::Scalar { text, .. } => text.hash(state),
            Value::Seq(items) => items.hash(state),
            Value::Map(entries) => entries.hash(state),
            Value::Invalid => {}
        }
        std::mem::discriminant(&self.value).hash(state);
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Scalar {
        text: String,
        /// Without quotes and not a block.
        plain: bool,
    },
    Seq(Vec<Node>),
    /// In the order of the file; keys are scalars and none is repeated.
    Map(Vec<(Node, Node)>),
    /// Refused, and already reported.
    Invalid,
}

impl Node {
    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The same as JSON, which is YAML too; scalars are texts.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            _ if self.is_null() => serde_json::Value::Null,
            Value::Scalar { text, .. } => text.as_str().into(),
            Value::Seq(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                let entry = |(key, node): &(Self, Self)| {
                    (key.text().unwrap_or_default().to_owned(), node.to_json())
                };
                serde_json::Value::Object(entries.iter().map(entry).collect())
            }
            Value::Invalid => serde_json::Value::Null,
        }
    }

    /// Whether nothing was written: `key:` alone, or `~`, or `null`.
    pub(crate) fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar { text, plain } => {
                *plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }
}

/// Reads one document; `None` if nothing of it can be used.
pub(crate) fn load(file: &str, problems: &mut Problems) -> Option<Node> {
    if file.len() > BYTES_MAX {
        let message = format!("a file has at most {BYTES_MAX} bytes; this one has more");
        problems.error(&(0..0), message);
        return None;
    }
    let bom = if file.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let forbidden = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    if let Some((at, c)) = file.char_indices().find(|(_, c)| forbidden(*c)) {
        let message = format!("the control character U+{:04X} cannot stand here", u32::from(c));
        problems.error(&(at..at + c.len_utf8()), message);
        return None;
    }
    let text = &file[bom..];
    let mut loader = Loader {
        offsets: Offsets::new(text, bom),
        file,
        problems,
        open: Vec::new(),
        root: None,
        documents: 0,
    };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => {
                let span = loader.offsets.span(span);
                if !loader.take(event, span) {
                    break;
                }
            }
            Err(error) => {
                let at = loader.offsets.byte(error.marker().index());
                let tab = error.info().contains("tab").then(|| tab_near(file, at)).flatten();
                match tab {
                    Some(at) => loader.problems.error_help(
                        &(at..at + 1),
                        "not valid YAML: a tab indents the line",
                        "indent with blanks; YAML takes no tabs",
                    ),
                    None => loader.problems.error_help(
                        &(at..at + 1),
                        format!("not valid YAML: {}", error.info()),
                        "text with `: `, ` #`, or a mark such as `!`, `\"` or `[` in front needs \
                         quotes",
                    ),
                }
                return None;
            }
        }
    }
    if loader.root.is_none() && loader.problems.0.is_empty() {
        loader.problems.error(&(0..0), "the file is empty");
    }
    loader.root
}

/// The tab that indents the line of an error, or one behind it.
fn tab_near(file: &str, at: usize) -> Option<usize> {
    let start = file.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
    let mut lines = file[start..].split_inclusive('\n').scan(start, |next, line| {
        *next += line.len();
        Some((*next - line.len(), line))
    });
    lines.find_map(|(start, line)| {
        let indent = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
        indent.find('\t').map(|tab| start + tab)
    })
}

/// Turns the parser's counts of characters into bytes.
struct Offsets {
    /// Where each character starts, and the end; none if all are ASCII.
    starts: Vec<usize>,
    first: usize,
    length: usize,
}

impl Offsets {
    fn new(text: &str, first: usize) -> Self {
        let starts = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().map(|(at, _)| at).collect()
        };
        Self { starts, first, length: text.len() }
    }

    fn byte(&self, character: usize) -> usize {
        let at = match self.starts.get(character) {
            Some(at) => *at,
            None if self.starts.is_empty() => character.min(self.length),
            None => self.length,
        };
        self.first + at
    }

    fn span(&self, span: Span) -> Range<usize> {
        let start = self.byte(span.start.index());
        start..self.byte(span.end.index()).max(start)
    }
}

/// A collection whose end has not come yet.
enum Open {
    Seq(Vec<Node>),
    Map(Vec<(Node, Node)>, Option<Node>),
}

struct Loader<'a> {
    file: &'a str,
    offsets: Offsets,
    problems: &'a mut Problems,
    /// The collections around, outermost first, each with its start.
    open: Vec<(usize, Open)>,
    root: Option<Node>,
    documents: usize,
}

impl Loader<'_> {
    /// Takes one event; `false` if it makes no sense to go on.
    fn take(&mut self, event: Event<'_>, span: Range<usize>) -> bool {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.problems.error(&span, "a file is one YAML document, not more");
                    return false;
                }
            }
            Event::Alias(_) => {
                self.problems.error_help(&span, "aliases are not supported", "write it out");
                self.put(Node { span, value: Value::Invalid });
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_anchor(anchor, &span);
                let plain = style == ScalarStyle::Plain;
                let value = if tag.is_some() {
                    self.refuse_tag(&span);
                    Value::Invalid
                } else {
                    Value::Scalar { text: text.into_owned(), plain }
                };
                let span = self.trim(span);
                self.put(Node { span, value });
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), &span);
                return self.enter(Open::Seq(Vec::new()), span);
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), &span);
                return self.enter(Open::Map(Vec::new(), None), span);
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(&span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        true
    }

    fn enter(&mut self, open: Open, span: Range<usize>) -> bool {
        if self.open.len() == DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels");
            self.problems.error(&span, message);
            self.root = None;
            return false;
        }
        self.open.push((span.start, open));
        true
    }

    fn leave(&mut self, end: &Range<usize>) {
        let Some((start, open)) = self.open.pop() else { return };
        let (value, last) = match open {
            Open::Seq(items) => {
                let last = items.last().map(|item| item.span.end);
                (Value::Seq(items), last)
            }
            Open::Map(entries, _) => {
                let last = entries.last().map(|(_, value)| value.span.end);
                (Value::Map(self.without_repeats(entries)), last)
            }
        };
        // Only a flow collection has an end of its own; a block ends with its last value.
        let end = if end.is_empty() { last.unwrap_or(end.end) } else { end.end };
        let span = self.trim(start..end.max(start));
        self.put(Node { span, value });
    }

    fn put(&mut self, mut node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some((_, Open::Seq(items))) => items.push(node),
            Some((_, Open::Map(entries, key))) => match key.take() {
                None => *key = Some(node),
                Some(key) => {
                    if node.span.is_empty() {
                        node.span = key.span.clone();
                    }
                    entries.push((key, node));
                }
            },
        }
    }

    fn without_repeats(&mut self, entries: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
        let mut seen = BTreeMap::new();
        let mut kept = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let Some(text) = key.text() else {
                if !matches!(key.value, Value::Invalid) {
                    self.problems.error(&key.span, "a key is text");
                }
                continue;
            };
            if let Some(line) = seen.get(text) {
                let message = format!("`{text}` is repeated; it is first given in line {line}");
                self.problems.error_help(&key.span, message, "keep one of the two");
                continue;
            }
            let line = self.file[..key.span.start].matches('\n').count() + 1;
            seen.insert(text.to_owned(), line);
            kept.push((key, value));
        }
        kept
    }

    /// What a collection may not have before it; what stands in it is read all the same.
    fn refuse_properties(&mut self, anchor: usize, tagged: bool, span: &Range<usize>) {
        self.refuse_anchor(anchor, span);
        if tagged {
            self.refuse_tag(span);
        }
    }

    fn refuse_anchor(&mut self, anchor: usize, span: &Range<usize>) {
        if anchor > 0 {
            self.problems.error_help(span, "anchors are not supported", "write it out");
        }
    }

    fn refuse_tag(&mut self, span: &Range<usize>) {
        let line = &self.file[span.start..];
        let end = span.start + line.find(['\n', '\r']).unwrap_or(line.len());
        self.problems.error_help(
            &(span.start..end),
            "YAML tags are not supported",
            "a condition that starts with `!` needs quotes around it",
        );
    }

    fn trim(&self, span: Range<usize>) -> Range<usize> {
        let written = self.file.get(span.clone()).unwrap_or_default();
        span.start..span.start + written.trim_end().len()
    }
}

/// Finds where in the file some bytes of a scalar's text were written: exactly for text on one line
/// without escapes, otherwise as nearly as quotes, escapes and folded lines allow.
pub(crate) fn locate_range(file: &str, node: &Node, within: &Range<usize>) -> Range<usize> {
    if node.text().is_some_and(|text| *within == (0..text.len())) {
        return node.span.clone();
    }
    let start = locate(file, node, within.start);
    let last = within.end.saturating_sub(1).max(within.start);
    start..(locate(file, node, last) + 1).max(start + 1)
}

fn locate(file: &str, node: &Node, at: usize) -> usize {
    let (Some(text), Some(written)) = (node.text(), file.get(node.span.clone())) else {
        return node.span.start;
    };
    let mut from = match &node.value {
        Value::Scalar { plain: false, .. } => 1,
        _ => 0,
    };
    for (offset, c) in text.char_indices() {
        let rest = written.get(from..).unwrap_or_default();
        let found = if c.is_whitespace() {
            rest.starts_with(char::is_whitespace).then_some(0)
        } else {
            // Indentation, a comment's line break or the mark of an escape may stand between.
            let blank = rest.len() - rest.trim_start().len();
            rest[blank..].char_indices().take(8).find(|(_, w)| *w == c).map(|(i, _)| blank + i)
        };
        if offset >= at {
            return node.span.start + from + found.unwrap_or(0);
        }
        if let Some(skipped) = found {
            let width = rest[skipped..].chars().next().map_or(0, char::len_utf8);
            from += skipped + width;
        }
    }
    node.span.start + from.min(written.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Vec<(usize, String)> {
        let mut problems = Problems::default();
        load(text, &mut problems);
        problems.0.into_iter().map(|problem| (problem.span.start, problem.message)).collect()
    }

    fn loaded(text: &str) -> Node {
        let mut problems = Problems::default();
        let node = load(text, &mut problems).expect(text);
        assert!(problems.0.is_empty(), "{problems:?}");
        node
    }

    fn spans(node: &Node, file: &str, out: &mut Vec<String>) {
        match &node.value {
            Value::Map(entries) => {
                out.push(format!("map {:?}", &file[node.span.clone()]));
                for (key, value) in entries {
                    spans(key, file, out);
                    spans(value, file, out);
                }
            }
            Value::Seq(items) => {
                out.push(format!("seq {:?}", &file[node.span.clone()]));
                items.iter().for_each(|item| spans(item, file, out));
            }
            Value::Scalar { text, plain } => {
                out.push(format!("{text:?} {plain} {:?}", &file[node.span.clone()]));
            }
            Value::Invalid => out.push("invalid".to_owned()),
        }
    }

    #[test]
    fn spans_are_bytes_also_after_other_letters() {
        let text = "\u{feff}ä: 'ö''ü'   # ß\non: [yes, {日: 本 }]\nempty:\nlast: 1\n";
        let mut out = Vec::new();
        spans(&loaded(text), text, &mut out);
        expect_test::expect![[r#"
            map "ä: 'ö''ü'   # ß\non: [yes, {日: 本 }]\nempty:\nlast: 1"
            "ä" true "ä"
            "ö'ü" false "'ö''ü'   # ß"
            "on" true "on"
            seq "[yes, {日: 本 }]"
            "yes" true "yes"
            map "{日: 本 }"
            "日" true "日"
            "本" true "本"
            "empty" true "empty"
            "" true "empty"
            "last" true "last"
            "1" true "1"
        "#]]
        .assert_eq(&(out.join("\n") + "\n"));
    }

    #[test]
    fn what_yaml_can_do_but_a_rule_file_may_not() {
        for (text, at, message) in [
            ("a: [1", 5, "not valid YAML"),
            ("a: b: c", 4, "not valid YAML"),
            ("a: 1\nb: 2\na: 3\n", 10, "`a` is repeated; it is first given in line 1"),
            ("a: &x 1", 3, "anchors are not supported"),
            ("a: &x\n  b: 1", 3, "anchors are not supported"),
            ("a: &x 1\nb: *x", 3, "anchors are not supported"),
            ("a: !has(b)", 3, "YAML tags are not supported"),
            ("a: !!str b", 3, "YAML tags are not supported"),
            ("a: 1\n---\nb: 1\n", 5, "a file is one YAML document"),
            ("? [a]\n: b", 2, "a key is text"),
            ("ä: \u{0}", 4, "the control character U+0000"),
            ("a:\n\tb: 1\n", 3, "not valid YAML: a tab indents the line"),
            ("a: 1\n\tb: 1\n", 5, "not valid YAML: a tab indents the line"),
            ("ä:\n  b: 1\n  \tc: 1\n", 13, "not valid YAML: a tab indents the line"),
            ("", 0, "the file is empty"),
            ("# nothing\n", 0, "the file is empty"),
        ] {
            let refused = refused(text);
            assert!(
                refused.first().is_some_and(|first| first.0 == at && first.1.starts_with(message)),
                "{text:?}: {refused:?}"
            );
        }
        // What stands behind it is read all the same.
        let anchors = refused("a: &x\n  b: &y 1\nc: !t {d: *x}");
        assert_eq!(anchors.iter().map(|refused| refused.0).collect::<Vec<_>>(), [3, 11, 19, 26]);
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        assert_eq!(refused(&deep), [(64, "nested deeper than 64 levels".to_owned())]);
        loaded(&format!("{}{}", "[".repeat(64), "]".repeat(64)));
        let deep = "[".repeat(BYTES_MAX);
        assert_eq!(refused(&deep).len(), 1);
        assert_eq!(refused(&" ".repeat(BYTES_MAX + 1)).len(), 1);
    }

    #[test]
    fn a_place_in_a_scalar_is_found_in_the_file() {
        for (file, needle) in [
            ("a: type == X", "X"),
            ("a: 'type == ''X'''", "X"),
            (r#"a: "type == \"ä\" X""#, "X"),
            ("a: type ==\n     b\n     && X\n", "X"),
            ("a: |\n  type\n    == X\n", "X"),
            ("a: >-\n  type\n  == X\n", "X"),
            ("ä: 日 == 本 + X", "X"),
        ] {
            let Value::Map(entries) = loaded(file).value else { panic!("{file}") };
            let node = &entries[0].1;
            let text = node.text().expect(file);
            let at = text.find(needle).expect(file);
            assert_eq!(locate(file, node, at), file.find(needle).expect(file), "{file}");
        }
    }
}
