//! From a test file to its cases, or to all that is wrong with it and its rule file.

mod case;
mod expect;

use std::fs::File;
use std::io::{self, Error, ErrorKind, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::observed::{completed, for_series};
use super::series::{Start, TIME_HELP};
use super::{NoSuite, Suite, Tested};
use crate::model::time::parse_rfc3339;
use crate::rules::fields::{self, Fields};
use crate::rules::yaml::{self, Node, Value};
use crate::rules::{Diagnostics, Problems, Rules, tree, with_room};
use crate::sources::intake::Matcher;

#[cfg(test)]
pub(super) use self::case::as_json;
pub(super) use self::case::{CASE_FIELDS, SERIES_FIELDS};
pub(super) use self::expect::{BY_RULE, COUNTS, EXPECT_FIELDS, VIEW_FIELDS};

pub(super) const FILE_FIELDS: [&str; 3] = ["rules", "start", "cases"];
/// Midnight of a Thursday, from which a case counts if it says nothing else: 2026-01-01.
const START_NS: i64 = 1_767_225_600_000_000_000;

/// Reads a test file, and its rule file.
pub(super) fn file(path: &Path) -> Result<Suite, NoSuite> {
    let bytes = read(path).map_err(|error| NoSuite::Unreadable(path.to_owned(), error))?;
    let name = path.display().to_string();
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let mut problems = Problems::default();
        problems.error(&(at..at + 1), "not valid UTF-8; a test file is text");
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        NoSuite::Wrong(vec![Diagnostics::errors(&name, &text, problems.0)])
    })?;
    let dir = path.parent().unwrap_or(Path::new(""));
    with_room(|| suite(&name, &text, dir))
        .unwrap_or_else(|error| Err(NoSuite::Unreadable(path.to_owned(), error)))
}

/// Reads a file, of which there may be no end: one of more is refused.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(yaml::BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn suite(name: &str, text: &str, dir: &Path) -> Result<Suite, NoSuite> {
    let mut reader = Reader {
        text,
        problems: Problems::default(),
        others: Vec::new(),
        rules: None,
        for_series: None,
        for_records: None,
    };
    let root = yaml::load(text, &mut reader.problems);
    let cases = root.and_then(|root| reader.cases(&root, dir));
    let Reader { problems, mut others, .. } = reader;
    if !problems.0.is_empty() {
        others.insert(0, Diagnostics::errors(name, text, problems.0));
    }
    match cases {
        Some(cases) if others.is_empty() => Ok(Suite { name: name.to_owned(), cases }),
        _ => Err(NoSuite::Wrong(others)),
    }
}

/// A rule file as it was read.
struct RuleFile {
    text: String,
    root: Node,
    rules: Rules,
}

struct Reader<'f> {
    text: &'f str,
    problems: Problems,
    /// What is wrong with the rule file.
    others: Vec<Diagnostics>,
    /// None if that is wrong: then names are not checked.
    rules: Option<RuleFile>,
    /// The same for series, and for records; made when the first case needs them.
    for_series: Option<Arc<Tested>>,
    for_records: Option<Arc<Tested>>,
}

impl Reader<'_> {
    fn cases(&mut self, root: &Node, dir: &Path) -> Option<Vec<super::Case>> {
        let start = root.span.start..root.span.start;
        let fields = Fields::open(root, &start, "a test file", &FILE_FIELDS, &mut self.problems)?;
        if let Some(node) = fields.require("rules", "rules.yaml", &mut self.problems) {
            self.rules = self.rule_file(node, dir);
        }
        let start_ns = match fields.get("start") {
            Some(node) => self.start(node),
            None => START_NS,
        };
        let example = "[{ name: NAME, series: ..., expect: ... }]";
        let node = fields.require("cases", example, &mut self.problems)?;
        let items = fields::items(node, "`cases`", &mut self.problems)?;
        if items.is_empty() {
            self.problems.error(&node.span, "`cases` needs at least one case");
        }
        let mut names = Vec::new();
        let cases: Vec<_> =
            items.iter().map(|node| self.case(node, start_ns, &mut names)).collect();
        cases.into_iter().collect()
    }

    /// The rule file that is named, or stands there.
    fn rule_file(&mut self, node: &Node, dir: &Path) -> Option<RuleFile> {
        if let Value::Map(_) = node.value {
            let root = completed(node);
            let before = self.problems.0.len();
            let rules = tree(self.text, &root, &mut self.problems);
            let rules = rules.filter(|_| self.problems.0.len() == before)?;
            return Some(RuleFile { text: self.text.to_owned(), root, rules });
        }
        let path = dir.join(fields::text(node, "`rules`", &mut self.problems)?);
        let name = path.display().to_string();
        let text = match read(&path).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|error| Error::new(ErrorKind::InvalidData, error))
        }) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("the rule file cannot be read: {name}: {error}");
                let help = "a path is relative to the test file; rules may also stand here";
                self.problems.error_help(&node.span, message, help);
                return None;
            }
        };
        let mut problems = Problems::default();
        let root = yaml::load(&text, &mut problems);
        let read = root.and_then(|root| Some((tree(&text, &root, &mut problems)?, root)));
        if !problems.0.is_empty() {
            self.others.push(Diagnostics::errors(&name, &text, problems.0));
            return None;
        }
        let (rules, root) = read?;
        Some(RuleFile { text, root, rules })
    }

    /// The rules for records as they are.
    fn tested_by_records(&mut self) -> Option<Arc<Tested>> {
        if self.for_records.is_none() {
            let rules = self.rules.as_ref()?.rules.clone();
            self.for_records = Some(Arc::new(Tested::new(rules)));
        }
        self.for_records.clone()
    }

    /// The rules for series; what is wrong is reported at the place.
    fn tested_by_series(&mut self, at: &Range<usize>) -> Option<Arc<Tested>> {
        if self.for_series.is_none() {
            let RuleFile { text, root, rules } = self.rules.as_ref()?;
            let mut problems = Problems::default();
            let rules = tree(text, &for_series(root, rules), &mut problems);
            if let Some(problem) = problems.0.first() {
                let message = format!("these rules take no series: {}", problem.message);
                self.problems.error_help(at, message, "give the case `records` instead");
                return None;
            }
            self.for_series = Some(Arc::new(Tested::new(rules?)));
        }
        self.for_series.clone()
    }

    /// Where a case begins to count.
    fn start(&mut self, node: &Node) -> i64 {
        let Some(text) = fields::text(node, "`start`", &mut self.problems) else { return START_NS };
        parse_rfc3339(text).unwrap_or_else(|_| {
            let message = format!("`{text}` is no instant");
            self.problems.error_help(&node.span, message, "write it as 2026-01-01T00:00:00Z");
            START_NS
        })
    }

    /// A time of a case, as an instant; and whether it is written as one.
    fn time(&mut self, node: &Node, start: Start) -> Option<(i64, bool)> {
        let text = fields::text(node, "a time", &mut self.problems)?;
        match start.offset(text) {
            Ok(offset) => Some((start.0.saturating_add(offset), text.contains('T'))),
            Err(message) => {
                self.problems.error_help(&node.span, message, TIME_HELP);
                None
            }
        }
    }

    /// The line of a place.
    fn line(&self, at: &Range<usize>) -> usize {
        self.text.as_bytes()[..at.start].iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

impl Tested {
    fn new(rules: Rules) -> Self {
        Self { matcher: Matcher::new(&rules), rules }
    }
}
