//! Where a value stands in a record, and text put together of such values.

use std::fmt;

use smol_str::SmolStr;

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
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
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

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// As written.
    Literal(SmolStr),
    /// `{field}`
    Field(FieldPath),
}

/// Reads a template; the errors are all that is wrong with it.
pub(super) fn parse_template(text: &str) -> Result<Vec<TemplatePart>, Vec<&'static str>> {
    let (mut parts, mut errors) = (Vec::new(), Vec::new());
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
            errors.push("a brace is closed that is not open");
            rest = after;
            continue;
        }
        let Some(end) = closing_brace(after) else {
            errors.push("a brace is not closed");
            break;
        };
        if !literal.is_empty() {
            parts.push(TemplatePart::Literal(SmolStr::new(std::mem::take(&mut literal))));
        }
        match FieldPath::parse(&after[..end]) {
            Ok(path) => parts.push(TemplatePart::Field(path)),
            Err(error) => errors.push(error),
        }
        rest = &after[end + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(TemplatePart::Literal(SmolStr::new(literal)));
    }
    let has_field = parts.iter().any(|part| matches!(part, TemplatePart::Field(_)));
    if errors.is_empty() && !has_field {
        errors.push("it names no {field}; use const");
    }
    if errors.is_empty() { Ok(parts) } else { Err(errors) }
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
        let errors =
            ["a key is empty", "a brace is closed that is not open", "a brace is not closed"];
        assert_eq!(parse_template("{a..b} } {c} {d"), Err(errors.to_vec()));
    }
}
