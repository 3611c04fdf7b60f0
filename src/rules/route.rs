//! Routes: which notifications go to which sinks, with matchers as Alertmanager writes them:
//! `match: [severity = "page", state =~ "down|degraded"]`.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use smol_str::SmolStr;

use super::condition::Fault;
use crate::model::silencing::Comparison;

/// Where notifications go.
#[derive(Clone, Debug)]
pub struct Sink {
    /// What routes call it; fit to name a file.
    pub name: SmolStr,
    /// The bytes of the rule file its name is written in.
    pub span: Range<usize>,
    /// What it understands.
    pub kind: SinkKind,
    /// Where it is.
    pub url: Setting,
    /// What is sent along with every request.
    pub headers: Vec<(SmolStr, Setting)>,
    /// An attempt that takes longer has failed.
    pub timeout_ns: i64,
}

/// What a sink understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// Each notification is a CloudEvent of its own.
    Webhook,
    /// The API v2 of Prometheus' Alertmanager.
    Alertmanager {
        /// An alert that nothing resolves for so long resolves itself.
        resolve_after_ns: i64,
    },
}

/// A text that may be a secret, and is then said elsewhere. Texts are not shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Setting {
    /// As written.
    Text(String),
    /// The value of an environment variable.
    Env(SmolStr),
    /// The contents of a file, without the line break at its end.
    File(PathBuf),
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text"),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// What may be notified of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An episode began, and that is final.
    Opened,
    /// An episode ended, and that is final.
    Closed,
    /// What was said is no longer so.
    Correction,
}

impl Kind {
    /// Their names in rule files and outputs.
    pub const NAMES: [(&str, Self); 3] =
        [("opened", Self::Opened), ("closed", Self::Closed), ("correction", Self::Correction)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

/// Notifications that go to a sink.
#[derive(Clone, Debug)]
pub struct Route {
    /// All must hold; without any, all do.
    pub matchers: Vec<Matcher>,
    /// The kinds, in the order of [`Kind::NAMES`].
    pub on: [bool; 3],
    /// The index of the sink.
    pub to: usize,
}

/// Compares something an episode says with a text.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// What is compared.
    pub subject: Subject,
    /// Whether it must not be so.
    pub negated: bool,
    /// With what.
    pub value: Pattern,
}

/// What a matcher looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The name of the rule.
    Rule,
    /// The name of the signal.
    Signal,
    /// The name of the state.
    State,
    /// The entity.
    Entity,
    /// A label; empty where an episode has it not.
    Label(SmolStr),
}

impl Subject {
    /// What every episode says.
    const FACTS: [(&str, Self); 4] = [
        ("rule", Self::Rule),
        ("signal", Self::Signal),
        ("state", Self::State),
        ("entity", Self::Entity),
    ];

    pub(super) fn read(name: &str) -> Self {
        let fact = Self::FACTS.iter().find(|(fact, _)| *fact == name);
        fact.map_or_else(|| Self::Label(name.into()), |(_, subject)| subject.clone())
    }

    /// As in a rule file.
    pub fn name(&self) -> &str {
        match self {
            Self::Label(name) => name,
            fact => Self::FACTS.iter().find(|(_, of)| of == fact).map_or("", |(name, _)| name),
        }
    }
}

/// What a text is compared with.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// The same text.
    Text(SmolStr),
    /// A regular expression for the whole of it.
    Regex(regex::Regex),
}

impl Matcher {
    /// Whether it holds of what an episode says.
    pub fn holds(&self, said: &str) -> bool {
        let fits = match &self.value {
            Pattern::Text(text) => text == said,
            Pattern::Regex(regex) => regex.is_match(said),
        };
        fits != self.negated
    }

    /// What a record of the log compares; the rule is what Alertmanager calls the name of an alert.
    ///
    /// # Errors
    /// What is wrong with a regular expression.
    pub fn of(comparison: &Comparison) -> Result<Self, String> {
        let Comparison { name, negated, is_regex, value } = comparison;
        let subject = if name == "alertname" { Subject::Rule } else { Subject::read(name) };
        let value = match is_regex {
            false => Pattern::Text(value.clone()),
            true => Pattern::Regex(whole(value)?),
        };
        Ok(Self { subject, negated: *negated, value })
    }

    /// Reads `NAME OPERATOR VALUE`; the value may be in double quotes.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let fault = |place: Range<usize>, message: String, help: &str| Fault {
            place,
            message,
            help: help.to_owned(),
        };
        let form = || {
            let message = format!("`{text}` is not a matcher");
            fault(0..text.len(), message, "write NAME = \"VALUE\", or !=, =~, !~")
        };
        let name_at = text.len() - text.trim_start().len();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let rest = text[name_at..].trim_start_matches(fits);
        let name = &text[name_at..text.len() - rest.len()];
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(form());
        }
        let rest = rest.trim_start();
        let operators = [("=~", false, true), ("!~", true, true), ("!=", true, false)];
        let operators = operators.into_iter().chain([("=", false, false)]);
        let found = operators.into_iter().find(|(operator, ..)| rest.starts_with(operator));
        let (operator, negated, is_regex) = found.ok_or_else(form)?;
        let value = rest[operator.len()..].trim();
        let value_at = text.trim_end().len() - value.len();
        let value_place = value_at..value_at + value.len();
        // Of who means another operator; a value that begins so stands in quotes.
        if value.starts_with(['=', '~']) {
            return Err(form());
        }
        let Some(plain) = unquoted(value) else {
            let help = "end it with a double quote; inside write \\\" and \\\\";
            return Err(fault(value_place, "the value's quotes do not fit".to_owned(), help));
        };
        let value = match is_regex {
            false => Pattern::Text(plain.into()),
            true => {
                let regex = whole(&plain).map_err(|why| {
                    let help = "a regular expression for the whole text, as a|b or web-.*";
                    fault(value_place, why, help)
                })?;
                Pattern::Regex(regex)
            }
        };
        Ok(Self { subject: Subject::read(name), negated, value })
    }
}

impl Pattern {
    /// As it is written.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Regex(regex) => &regex.as_str()["^(?:".len()..regex.as_str().len() - ")$".len()],
        }
    }
}

/// As a rule file has it.
impl FromStr for Matcher {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::parse(text).map_err(|_| ())
    }
}

/// A regular expression for the whole of a text.
fn whole(plain: &str) -> Result<regex::Regex, String> {
    regex::Regex::new(&format!("^(?:{plain})$")).map_err(|error| {
        let error = error.to_string();
        let why = error.lines().last().unwrap_or_default();
        format!("not a valid pattern: {}", why.strip_prefix("error: ").unwrap_or(why))
    })
}

/// The text within quotes, or the text itself; `None` if quotes do not fit.
fn unquoted(value: &str) -> Option<String> {
    let Some(inner) = value.strip_prefix('"') else {
        return (!value.contains('"')).then(|| value.to_owned());
    };
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(text),
            '\\' => match chars.next()? {
                c @ ('"' | '\\') => text.push(c),
                'n' => text.push('\n'),
                // Of a regular expression, which has its own escapes.
                c => text.extend(['\\', c]),
            },
            c => text.push(c),
        }
    }
}

/// As Alertmanager writes it.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.subject.name();
        let operator = match (&self.value, self.negated) {
            (Pattern::Text(_), false) => "=",
            (Pattern::Text(_), true) => "!=",
            (Pattern::Regex(_), false) => "=~",
            (Pattern::Regex(_), true) => "!~",
        };
        write!(f, "{name}{operator}{:?}", self.value.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_read_as_alertmanager_reads_them() {
        for (text, shown, said, holds) in [
            ("severity = \"page\"", "severity=\"page\"", "page", true),
            ("severity=page", "severity=\"page\"", "pages", false),
            (" zone != a ", "zone!=\"a\"", "", true),
            ("state =~ \"down|de.*\"", "state=~\"down|de.*\"", "degraded", true),
            // The whole text, also where there is a choice.
            ("state=~down|up", "state=~\"down|up\"", "downs", false),
            ("state!~\"down|up\"", "state!~\"down|up\"", "up", false),
            (r#"entity = "a \"b\" \\c""#, r#"entity="a \"b\" \\c""#, r#"a "b" \c"#, true),
            (r#"entity =~ "\d+""#, r#"entity=~"\\d+""#, "12", true),
            ("zone = ", "zone=\"\"", "", true),
        ] {
            let matcher = Matcher::parse(text).unwrap_or_else(|f| panic!("{text}: {}", f.message));
            assert_eq!(matcher.to_string(), shown, "{text}");
            assert_eq!(matcher.holds(said), holds, "{text} of {said}");
            let again = Matcher::parse(shown).unwrap_or_else(|f| panic!("{shown}: {}", f.message));
            assert_eq!(again.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_matcher_is_pointed_at() {
        for (text, place, message) in [
            ("", "", "`` is not a matcher"),
            ("9a = b", "9a = b", "`9a = b` is not a matcher"),
            ("a", "a", "`a` is not a matcher"),
            ("a == b", "a == b", "`a == b` is not a matcher"),
            ("a =~~ b", "a =~~ b", "`a =~~ b` is not a matcher"),
            ("a.b = c", "a.b = c", "`a.b = c` is not a matcher"),
            ("a = \"b", "\"b", "the value's quotes do not fit"),
            ("a = b\"", "b\"", "the value's quotes do not fit"),
            ("a = \"b\" c", "\"b\" c", "the value's quotes do not fit"),
            ("a =~ \"(b\"", "\"(b\"", "not a valid pattern: unclosed group"),
        ] {
            let fault = Matcher::parse(text).expect_err(text);
            assert_eq!((&text[fault.place.clone()], &*fault.message), (place, message));
        }
    }
}
