//! Writing a rule file: text in quotes where it needs them, and comments in one column.

use serde_json::Value;

/// Comments begin here, unless the line is longer.
const COMMENT_AT: usize = 44;
/// What is longer with its comment has the comment on a line of its own, before it.
const LINE_MAX: usize = 110;

/// Lines, each with its comment.
#[derive(Default)]
pub(super) struct Lines(String);

impl Lines {
    pub(super) fn push(&mut self, line: &str, comment: &str) {
        let short = line.chars().count() + comment.chars().count() <= LINE_MAX;
        if !short && !comment.is_empty() {
            let indent = line.len() - line.trim_start().len();
            self.0.push_str(&format!("{}# {comment}\n{line}\n", " ".repeat(indent)));
            return;
        }
        self.0.push_str(line);
        if !comment.is_empty() {
            let width = line.chars().count();
            let blanks = COMMENT_AT.saturating_sub(width).max(2);
            self.0.push_str(&" ".repeat(blanks));
            self.0.push_str("# ");
            self.0.push_str(comment);
        }
        self.0.push('\n');
    }

    pub(super) fn text(self) -> String {
        self.0
    }
}

/// A name.
pub(in crate::authoring) fn scalar(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let empty = text.eq_ignore_ascii_case("null");
    // What other readers of YAML take for true and false is text in any case.
    let truth = ["y", "n", "yes", "no", "on", "off", "true", "false"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    if starts && !empty && !truth && text.chars().all(fits) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// The path of a field within `{ field: ... }`.
pub(super) fn flow(path: &str) -> String {
    scalar(path)
}

/// A condition; it starts with a letter.
pub(super) fn condition(text: &str) -> String {
    let marks = text.contains(": ") || text.contains(" #") || text.ends_with(':');
    let usual = |c: char| c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric();
    let plain = !marks && text != "true" && text.chars().all(usual);
    if plain { text.to_owned() } else { quoted(text) }
}

/// As JSON writes it, which YAML reads; control characters may not stand in a rule file as they are.
fn quoted(text: &str) -> String {
    escaped(&Value::from(text).to_string())
}

/// With the control characters escaped that JSON leaves.
pub(in crate::authoring) fn escaped(json: &str) -> String {
    let escape = |c: char| match c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}')
    {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    json.chars().map(escape).collect()
}
