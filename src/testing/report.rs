//! What is said of a case that failed: what was expected, what there is, and what was observed.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::Case;
use super::judge::{Unmet, What};
use super::run::Known;
use super::wanted::{Expectation, Mode, Row, RowPattern, View, Wanted};
use crate::explain::{NotJudged, lanes};
use crate::model::printable::printable;

/// So many entities are drawn.
const ENTITIES_MAX: usize = 4;
/// So many rows of one kind are told.
const ROWS_MAX: usize = 20;

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is as expected.
    Passed,
    /// Something is not.
    Failed(Failed),
}

/// What is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The line of the first expectation that does not hold.
    pub line: usize,
    /// All of it, in lines.
    pub text: String,
}

/// What is said of a case, as it is put together.
pub(super) struct Rendered<'c> {
    case: &'c Case,
    text: String,
    /// The instants at which something was not as expected, and of whom that was; of everybody if
    /// that is not known.
    drawn: Vec<(Option<i64>, BTreeSet<String>)>,
}

impl<'c> Rendered<'c> {
    pub(super) fn new(case: &'c Case) -> Self {
        Self { case, text: String::new(), drawn: Vec::new() }
    }

    fn line(&mut self, arguments: std::fmt::Arguments<'_>) {
        let text = arguments.to_string();
        writeln!(self.text, "{}", printable(&text)).expect("a String takes every write");
    }

    fn at(&self, of: &Expectation) -> String {
        match of.at_ns {
            Some(at) => format!("at {}", self.case.clock.told(at)),
            None => "at the end".to_owned(),
        }
    }

    /// Says which conditions cannot be judged of series, and what would help.
    pub(super) fn unjudged(&mut self, errors: u64, all: &BTreeSet<NotJudged>) {
        self.line(format_args!("  conditions could not be judged {errors} times"));
        for NotJudged { what, text, reason } in all {
            self.line(format_args!("  - {what}, `{text}`: {reason}"));
        }
        self.line(format_args!(
            "  write what they ask for as `data` or `labels` of the series, or as `records`; or expect it: \
             `counts: {{ condition_errors: {errors} }}`"
        ));
    }

    /// Says what does not hold.
    pub(super) fn unmet(&mut self, unmet: &Unmet<'_>) {
        let (at, line) = (self.at(unmet.of), unmet.line);
        let mut entities = BTreeSet::new();
        match &unmet.what {
            What::Count { path, wanted, found } => {
                self.line(format_args!("  {at}, line {line}: {path} is {found}, not {wanted}"));
            }
            What::Rows { check, missing, surplus, met } => {
                let name = check.view.name();
                let which = match check.mode {
                    Mode::Exactly => "are others than expected",
                    _ => "lack what is expected",
                };
                self.line(format_args!("  {at}, line {line}: {name} {which}"));
                let keys = keys(check.view, missing.iter().map(|(pattern, _)| *pattern));
                self.rows("   ", check.view, met, &keys);
                for (pattern, near) in missing {
                    self.missing(check.view, pattern, near.as_ref());
                }
                self.rows("  +", check.view, surplus, &keys);
                let wanted = missing.iter().flat_map(|(pattern, _)| &pattern.fields);
                entities.extend(wanted.filter_map(of_entity));
                entities.extend(surplus.iter().filter_map(entity));
                let near = missing.iter().filter_map(|(_, near)| near.as_ref());
                entities.extend(near.filter_map(entity));
            }
            What::Number { check, pattern, found } => {
                let (noun, told) = (check.view.noun(), self.pattern(pattern));
                match pattern.count.filter(|_| check.mode == Mode::Contains) {
                    Some(count) => {
                        let found = found.len();
                        self.line(format_args!(
                            "  {at}, line {line}: {count} times {noun} was expected, and is there \
                             {found} times: {told}"
                        ));
                    }
                    None => self
                        .line(format_args!("  {at}, line {line}: {noun} was not expected: {told}")),
                }
                let keys = keys(check.view, std::iter::once(*pattern));
                self.rows("  +", check.view, found, &keys);
                entities.extend(pattern.fields.iter().filter_map(of_entity));
                entities.extend(found.iter().filter_map(entity));
            }
        }
        let of = unmet.of.of.iter().filter_map(of_entity);
        entities.extend(of);
        match self.drawn.iter_mut().find(|(at, _)| *at == unmet.of.at_ns) {
            Some((_, all)) => all.extend(entities),
            None => self.drawn.push((unmet.of.at_ns, entities)),
        }
    }

    /// What was expected and is not there, and what is there instead.
    fn missing(&mut self, view: View, pattern: &RowPattern, near: Option<&Row>) {
        let (told, line) = (self.pattern(pattern), pattern.line);
        self.line(format_args!("  - {told}   (line {line})"));
        if let Some(near) = near {
            let keys = keys(view, std::iter::once(pattern));
            let row = self.row(near, &keys);
            let clock = self.case.clock;
            let otherwise = pattern.differs(view, near).into_iter().map(|(name, wanted)| {
                let found = clock.value(name, near.get(name));
                format!("{name} is {found}, not {}", wanted.told(clock))
            });
            let otherwise = otherwise.collect::<Vec<_>>().join("; ");
            self.line(format_args!("  + {row}   ({otherwise})"));
        }
    }

    fn rows(&mut self, mark: &str, view: View, rows: &[Row], keys: &[&str]) {
        for row in rows.iter().take(ROWS_MAX) {
            let told = self.row(row, keys);
            self.line(format_args!("{mark} {told}"));
        }
        if let Some(more) = rows.len().checked_sub(ROWS_MAX).filter(|more| *more > 0) {
            let name = view.name();
            self.line(format_args!("{mark} and {more} more {name}"));
        }
    }

    fn row(&self, row: &Row, keys: &[&str]) -> String {
        let clock = self.case.clock;
        let told = keys.iter().filter_map(|key| {
            let value = row.get(*key);
            let tells = value.is_some_and(|value| !value.is_null()) || *key == "until";
            tells.then(|| told(key, &clock.value(key, value)))
        });
        told.collect::<Vec<_>>().join(" ")
    }

    fn pattern(&self, pattern: &RowPattern) -> String {
        let field = |(name, wanted): &(String, Wanted)| told(name, &wanted.told(self.case.clock));
        match pattern.fields.as_slice() {
            [] => "of any kind".to_owned(),
            fields => fields.iter().map(field).collect::<Vec<_>>().join(" "),
        }
    }

    /// The instants of which timelines are to be drawn.
    pub(super) fn instants(&self) -> Vec<Option<i64>> {
        self.drawn.iter().map(|(at, _)| *at).collect()
    }

    /// Draws what was observed of those of whom something was not as expected, as it was known.
    pub(super) fn timelines(&mut self, at_ns: Option<i64>, known: &Known) {
        let Some(retraced) = &known.retraced else { return };
        let of = self.drawn.iter().find(|(at, _)| *at == at_ns).map(|(_, of)| of.clone());
        let of = of.unwrap_or_default();
        let all: BTreeSet<String> = retraced.entities().map(str::to_owned).collect();
        let of = if of.is_disjoint(&all) { all } else { of };
        let clock = self.case.clock;
        let at =
            at_ns.map_or_else(|| "at the end".to_owned(), |at| format!("at {}", clock.told(at)));
        for entity in of.iter().take(ENTITIES_MAX) {
            let explanation = retraced.explanation(&self.case.rules.rules, entity);
            for rule in &explanation.rules {
                let mut text = String::new();
                lanes(&mut text, rule, known.clock_ns, &|nanos| clock.told(nanos));
                if text.is_empty() {
                    continue;
                }
                let name = &rule.rule;
                self.line(format_args!("  {entity}, rule {name}, as known {at}"));
                for lane in text.lines() {
                    self.line(format_args!("  {lane}"));
                }
            }
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// A field, as it is told.
fn told(name: &str, value: &str) -> String {
    match name {
        "entity" | "state" | "fate" | "kind" | "time" => value.to_owned(),
        _ => format!("{name} {value}"),
    }
}

/// What of rows is shown: what is always, and what is expected of some.
fn keys<'p>(view: View, patterns: impl Iterator<Item = &'p RowPattern>) -> Vec<&'p str> {
    let mut keys = view.shown().to_vec();
    for (name, _) in patterns.flat_map(|pattern| &pattern.fields) {
        if !keys.contains(&name.as_str()) {
            keys.push(name);
        }
    }
    keys
}

fn entity(row: &Row) -> Option<String> {
    Some(row.get("entity")?.as_str()?.to_owned())
}

fn of_entity((name, wanted): &(String, Wanted)) -> Option<String> {
    match wanted {
        Wanted::Text(text) if name == "entity" => Some(text.clone()),
        _ => None,
    }
}
