//! What of a case is as expected.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Case;
use super::report::{Failed, Rendered, Verdict};
use super::run::{Known, replay, unjudged};
use super::wanted::{Check, Expectation, Mode, Row, RowPattern, View};
use crate::replay::Failure;

/// An expectation that does not hold.
pub(super) struct Unmet<'c> {
    /// The line of what was expected.
    pub(super) line: usize,
    /// The expectation that it is a part of.
    pub(super) of: &'c Expectation,
    pub(super) what: What<'c>,
}

/// In what it does not.
pub(super) enum What<'c> {
    /// Rows are others.
    Rows {
        check: &'c Check,
        /// What was expected, and what there is instead, if something is near.
        missing: Vec<(&'c RowPattern, Option<Row>)>,
        /// What was not expected.
        surplus: Vec<Row>,
        /// What was expected, and is there.
        met: Vec<Row>,
    },
    /// Of a pattern there are more or fewer rows.
    Number { check: &'c Check, pattern: &'c RowPattern, found: Vec<Row> },
    /// A count is another.
    Count { path: String, wanted: u64, found: u64 },
}

/// Replays a case, and judges each of its expectations as it was known at its instant.
pub(super) fn judge(case: &Case, workers: usize) -> Result<Verdict, Failure> {
    let mut known = Instants { case, workers, known: BTreeMap::new() };
    let mut unmet = Vec::new();
    for expectation in &case.expectations {
        let end_ns = known.end_ns()?;
        let at_ns = expectation.at_ns.or(end_ns);
        let known = known.at(at_ns)?;
        for check in &expectation.checks {
            unmet.extend(unmet_of(expectation, check, known));
        }
        for counted in &expectation.counts {
            let found = count(&known.summary, &counted.path);
            if found != counted.count {
                let path = counted.path.join(".");
                let what = What::Count { path, wanted: counted.count, found };
                unmet.push(Unmet { line: counted.line, of: expectation, what });
            }
        }
    }
    let end_ns = known.end_ns()?;
    let errors = match case.of_series && !counts_errors(case) {
        true => count(&known.at(end_ns)?.summary, &[ERRORS.to_owned()]),
        false => 0,
    };
    let unjudged = if errors > 0 { unjudged(case)? } else { BTreeSet::new() };
    if unmet.is_empty() && unjudged.is_empty() {
        return Ok(Verdict::Passed);
    }
    let mut rendered = Rendered::new(case);
    if !unjudged.is_empty() {
        rendered.unjudged(errors, &unjudged);
    }
    for unmet in &unmet {
        rendered.unmet(unmet);
    }
    for at_ns in rendered.instants() {
        let traced = replay(case, at_ns.or(end_ns), true, workers)?;
        rendered.timelines(at_ns, &traced);
    }
    Ok(Verdict::Failed(Failed {
        line: unmet.first().map_or(case.line, |unmet| unmet.line),
        text: rendered.finish(),
    }))
}

/// The count of conditions that could not be judged.
const ERRORS: &str = "condition_errors";

/// Whether a case says how many conditions cannot be judged.
fn counts_errors(case: &Case) -> bool {
    let mut counts = case.expectations.iter().flat_map(|one| &one.counts);
    counts.any(|counted| counted.path == [ERRORS])
}

/// What was known at the instants of a case.
struct Instants<'c> {
    case: &'c Case,
    workers: usize,
    known: BTreeMap<Option<i64>, Known>,
}

impl Instants<'_> {
    /// What was known at an instant; at the last record if none is given.
    fn at(&mut self, at_ns: Option<i64>) -> Result<&Known, Failure> {
        if !self.known.contains_key(&at_ns) {
            let of_fates = |check: &Check| check.view == View::Fates;
            let traced = self.case.expectations.iter().any(|one| one.checks.iter().any(of_fates));
            let known = replay(self.case, at_ns, traced, self.workers)?;
            self.known.insert(at_ns, known);
        }
        Ok(&self.known[&at_ns])
    }

    /// Where the log ends: where the case says it does, or at its last record, unless some
    /// expectation looks further.
    fn end_ns(&mut self) -> Result<Option<i64>, Failure> {
        if self.case.until_ns.is_some() {
            return Ok(self.case.until_ns);
        }
        let furthest = self.case.expectations.iter().filter_map(|one| one.at_ns).max();
        let last_ns = self.at(None)?.clock_ns;
        Ok(furthest.filter(|at| last_ns.is_none_or(|last| last < *at)))
    }
}

/// A count of the summary; what is not there is none.
fn count(summary: &Value, path: &[String]) -> u64 {
    let found = path.iter().try_fold(summary, |at, name| at.get(name));
    found.and_then(Value::as_u64).unwrap_or(0)
}

fn unmet_of<'c>(of: &'c Expectation, check: &'c Check, known: &Known) -> Vec<Unmet<'c>> {
    let view = check.view;
    let is_of = |row: &&Row| {
        view == View::DeadLetters
            || of.of.iter().all(|(name, wanted)| wanted.fits(view, row.get(name)))
    };
    let rows: Vec<&Row> = known.rows(view).iter().filter(is_of).collect();
    let fitting = |pattern: &RowPattern| -> Vec<Row> {
        let fits = rows.iter().filter(|row| pattern.fits(view, row));
        fits.map(|row| (*row).clone()).collect()
    };
    let mut unmet = Vec::new();
    match check.mode {
        Mode::Exactly => {
            let matched = matched(&check.patterns, &rows, view);
            let taken: Vec<usize> = matched.iter().flatten().copied().collect();
            let others = (0..rows.len()).filter(|row| !taken.contains(row));
            let mut surplus: Vec<&Row> = others.map(|row| rows[row]).collect();
            if surplus.is_empty() && matched.iter().all(Option::is_some) {
                return unmet;
            }
            let missing = check.patterns.iter().zip(&matched).filter(|(_, row)| row.is_none());
            let missing: Vec<_> = missing
                .map(|(pattern, _)| (pattern, nearest(pattern, view, &mut surplus)))
                .collect();
            let line = missing.first().map_or(check.line, |(pattern, _)| pattern.line);
            let surplus = surplus.into_iter().cloned().collect();
            let mut taken = taken;
            taken.sort_unstable();
            let met = taken.into_iter().map(|row| rows[row].clone()).collect();
            let what = What::Rows { check, missing, surplus, met };
            unmet.push(Unmet { line, of, what });
        }
        Mode::Contains => {
            let mut missing = Vec::new();
            for pattern in &check.patterns {
                let found = fitting(pattern);
                match pattern.count {
                    Some(count) if count != found.len() as u64 => {
                        let what = What::Number { check, pattern, found };
                        unmet.push(Unmet { line: pattern.line, of, what });
                    }
                    None if found.is_empty() => {
                        missing.push((pattern, nearest(pattern, view, &mut rows.clone())));
                    }
                    _ => {}
                }
            }
            if let Some((first, _)) = missing.first() {
                let line = first.line;
                let what = What::Rows { check, missing, surplus: Vec::new(), met: Vec::new() };
                unmet.push(Unmet { line, of, what });
            }
        }
        Mode::NoneOf => {
            for pattern in &check.patterns {
                let found = fitting(pattern);
                if !found.is_empty() {
                    let what = What::Number { check, pattern, found };
                    unmet.push(Unmet { line: pattern.line, of, what });
                }
            }
        }
    }
    unmet
}

/// A row for each pattern, none for two, so that as many as can have one do; by augmenting paths.
fn matched(patterns: &[RowPattern], rows: &[&Row], view: View) -> Vec<Option<usize>> {
    fn augment(
        pattern: usize,
        fits: &[Vec<usize>],
        seen: &mut [bool],
        of_row: &mut [Option<usize>],
    ) -> bool {
        for row in &fits[pattern] {
            if std::mem::replace(&mut seen[*row], true) {
                continue;
            }
            let free = match of_row[*row] {
                None => true,
                Some(other) => augment(other, fits, seen, of_row),
            };
            if free {
                of_row[*row] = Some(pattern);
                return true;
            }
        }
        false
    }
    let fits: Vec<Vec<usize>> = patterns
        .iter()
        .map(|pattern| (0..rows.len()).filter(|row| pattern.fits(view, rows[*row])).collect())
        .collect();
    let mut of_row = vec![None; rows.len()];
    for pattern in 0..patterns.len() {
        augment(pattern, &fits, &mut vec![false; rows.len()], &mut of_row);
    }
    let mut matched = vec![None; patterns.len()];
    for (row, pattern) in of_row.into_iter().enumerate() {
        if let Some(pattern) = pattern {
            matched[pattern] = Some(row);
        }
    }
    matched
}

/// Takes out the row that says least otherwise than a pattern, if it is one of the same.
fn nearest(pattern: &RowPattern, view: View, rows: &mut Vec<&Row>) -> Option<Row> {
    const SAME: [&str; 4] = ["entity", "rule", "signal", "state"];
    let scored = rows.iter().enumerate().filter_map(|(number, row)| {
        let differs = pattern.differs(view, row);
        let is_another = differs.iter().any(|(name, _)| SAME.contains(&name.as_str()));
        let all = pattern.fields.len();
        (!is_another && differs.len() < all.max(2)).then_some((differs.len(), number))
    });
    let (_, number) = scored.min()?;
    Some(rows.remove(number).clone())
}
