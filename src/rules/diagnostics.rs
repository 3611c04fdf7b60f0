//! What is wrong with a rule file, or surely unwanted: every problem with its place, what would be
//! right, and the line it stands in. Problems come in the order of the file.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

/// Of a longer line only the place is shown: a file may be one line with errors all over.
const EXCERPT_BYTES_MAX: usize = 16 << 10;

/// One problem of a rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The bytes of the file that are wrong.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A problem, with what would be right.
    pub fn new(span: Range<usize>, message: String, help: impl Into<String>) -> Self {
        Self { span, message, help: Some(help.into()) }
    }
}

/// How bad problems are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    /// The file cannot be used.
    Error,
    /// It can, but surely not as it was meant.
    Warning,
}

/// All errors, or all warnings, of one rule file; never empty. Displays itself without colour.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    severity: Severity,
    file_name: String,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// The errors of a file.
    pub(crate) fn errors(file_name: &str, text: &str, list: Vec<Diagnostic>) -> Self {
        Self::new(Severity::Error, file_name, text, list)
    }

    /// The warnings of a file, if there are any. `file_name` is what they call it.
    pub fn warnings(file_name: &str, text: &str, list: Vec<Diagnostic>) -> Option<Self> {
        (!list.is_empty()).then(|| Self::new(Severity::Warning, file_name, text, list))
    }

    fn new(severity: Severity, file_name: &str, text: &str, mut list: Vec<Diagnostic>) -> Self {
        for Diagnostic { span, .. } in &mut list {
            // What is missing at the end of the file has its place behind it.
            let end = floor_boundary(text, span.end);
            *span = floor_boundary(text, span.start).min(end)..end;
        }
        list.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
        let lines = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(lines).collect();
        Self { severity, file_name: file_name.to_owned(), text: text.to_owned(), lines, list }
    }

    /// How many problems there are.
    #[allow(clippy::len_without_is_empty, reason = "without problems there is a rule file")]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The problems in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Line and column (in characters) of a problem, both counted from 1.
    pub fn position(&self, diagnostic: &Diagnostic) -> (usize, usize) {
        let start = floor_boundary(&self.text, diagnostic.span.start);
        let (line, line_start) = self.line_at(start);
        (line, self.text[line_start..start].chars().count() + 1)
    }

    /// All problems as a text for people, with excerpts of the file.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for diagnostic in &self.list {
            out.push_str(&self.render_one(&renderer, diagnostic));
            out.push_str("\n\n");
        }
        let noun = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        match self.list.len() {
            1 => out.push_str(&format!("1 {noun}")),
            count => out.push_str(&format!("{count} {noun}s")),
        }
        out.push('\n');
        out
    }

    /// The number of the line which holds the byte, and where the line starts.
    fn line_at(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at);
        (line, self.lines[line - 1])
    }

    /// Shows only the first line of a problem: enough to find it, whatever its length.
    fn render_one(&self, renderer: &Renderer, diagnostic: &Diagnostic) -> String {
        let start = floor_boundary(&self.text, diagnostic.span.start);
        let (line, line_start) = self.line_at(start);
        let rest = &self.text[line_start..];
        let excerpt = rest.split('\n').next().unwrap_or(rest).trim_end_matches('\r');
        let start = (start - line_start).min(excerpt.len());
        let end = floor_boundary(&self.text, diagnostic.span.end);
        let end = end.saturating_sub(line_start).clamp(start, excerpt.len());
        let path = self.file_name.as_str();
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(diagnostic.message.as_str());
        let group = match excerpt.len() <= EXCERPT_BYTES_MAX {
            true => {
                let mark = AnnotationKind::Primary.span(start..end);
                title.element(Snippet::source(excerpt).path(path).line_start(line).annotation(mark))
            }
            false => title.element(Origin::path(path).line(line).char_column(start + 1)),
        };
        let group = match &diagnostic.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        };
        renderer.render(&[group])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// Collects problems while the file is read on.
#[derive(Debug, Default)]
pub(crate) struct Problems(pub(crate) Vec<Diagnostic>);

impl Problems {
    pub(crate) fn error(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.0.push(Diagnostic { span: span.clone(), message: message.into(), help: None });
    }

    pub(crate) fn error_help(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let help = Some(help.into());
        self.0.push(Diagnostic { span: span.clone(), message: message.into(), help });
    }

    /// An unknown name: suggests the nearest known one, or lists all.
    pub(crate) fn unknown(&mut self, span: &Range<usize>, kind: &str, name: &str, known: &[&str]) {
        let message = format!("unknown {kind} `{name}`");
        self.error_help(span, message, suggestion(kind, name, known));
    }
}

/// What to write instead of an unknown name.
pub(crate) fn suggestion(kind: &str, name: &str, known: &[&str]) -> String {
    if let Some(nearest) = nearest(name, known) {
        return format!("did you mean `{nearest}`?");
    }
    match known {
        [] => format!("no {kind} is defined"),
        [one] => format!("the only {kind} is `{one}`"),
        _ => format!("known: `{}`", known.join("`, `")),
    }
}

/// The known name with the fewest edits, if they are few for its length.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name: Vec<char> = name.chars().take(64).flat_map(char::to_lowercase).collect();
    let scored = known.iter().map(|candidate| {
        let letters: Vec<char> = candidate.chars().take(64).flat_map(char::to_lowercase).collect();
        let distance = edits(&name, &letters);
        (distance, letters.len().max(name.len()), *candidate)
    });
    let (distance, length, candidate) = scored.min_by_key(|(distance, ..)| *distance)?;
    (distance <= (length / 3).max(1) && distance < length).then_some(candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn edits(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut cost = vec![0; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            let at = |i: usize, j: usize| cost[i * width + j];
            cost[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = at(i - 1, j - 1) + usize::from(a[i - 1] != b[j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swap = if swapped { at(i - 2, j - 2) + 1 } else { usize::MAX };
                replaced.min(at(i - 1, j) + 1).min(at(i, j - 1) + 1).min(swap)
            };
        }
    }
    cost[cost.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["subject", "source", "sequence", "time", "id"];
        for (name, expected) in [
            ("subjct", Some("subject")),
            ("sorce", Some("source")),
            ("itme", Some("time")),
            ("Sequence", Some("sequence")),
            ("di", Some("id")),
            ("xyz", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, &known), expected, "{name}");
        }
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn every_span_renders() {
        let text = "a: ä\r\nb: 日本\n\n";
        for start in 0..text.len() + 3 {
            for end in start..text.len() + 3 {
                let list = vec![Diagnostic { span: start..end, message: "m".into(), help: None }];
                let diagnostics = Diagnostics::errors("f.yaml", text, list);
                assert!(diagnostics.to_string().contains("f.yaml:"), "{start}..{end}");
                diagnostics.position(&diagnostics.list[0]);
            }
        }
    }
}
