//! What an earlier replay told of rules that are the same, to be told again among what others tell.
//!
//! Guarantee: gives the lines of these rules as they were, and what they say. State: a line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use smol_str::SmolStr;

use super::OutputError;
use super::json::push_update;
use crate::model::detail::{Ballot, Changes, Detail, Reading};
use crate::model::episode::{Catalog, Episode};
use crate::model::time::parse_rfc3339;
use crate::pipeline::Update;
use crate::rules::{Rules, Unchanged};

/// The updates, by rising logical time.
pub(super) struct History {
    path: PathBuf,
    lines: Take<BufReader<File>>,
    catalog: Catalog,
    /// The rules of which it is told, by their names as they are written.
    rules: BTreeMap<Vec<u8>, OfRule>,
    /// The next line, and its logical time; none at the end.
    line: Vec<u8>,
    at: Option<i64>,
}

struct OfRule {
    number: usize,
    states: Vec<SmolStr>,
    /// Those of its signal.
    labels: Vec<SmolStr>,
    has_detail: bool,
}

/// What is read of a line.
#[derive(Deserialize)]
struct Line<'l> {
    diff: isize,
    supersedes: Option<&'l str>,
    #[serde(borrow)]
    artifact: Artifact<'l>,
}

#[derive(Deserialize)]
struct Artifact<'l> {
    id: &'l str,
    #[serde(borrow)]
    data: Data<'l>,
}

#[derive(Deserialize)]
struct Data<'l> {
    #[serde(borrow)]
    entity: Cow<'l, str>,
    #[serde(borrow)]
    state: Cow<'l, str>,
    since: &'l str,
    until: Option<&'l str>,
    decided: &'l str,
    reason: Option<&'l str>,
    revision: u32,
    #[serde(borrow, default)]
    labels: BTreeMap<Cow<'l, str>, Cow<'l, str>>,
    #[serde(borrow)]
    value: Option<&'l RawValue>,
    changes: Option<u32>,
    first_change: Option<&'l str>,
    last_change: Option<&'l str>,
    #[serde(borrow, default)]
    minority: Vec<Said<'l>>,
}

/// A vote against what an episode is.
#[derive(Deserialize)]
struct Said<'l> {
    #[serde(borrow)]
    witness: Cow<'l, str>,
    #[serde(borrow)]
    state: Cow<'l, str>,
    time: &'l str,
}

impl History {
    /// What the first bytes of a file say of rules.
    pub(super) fn open(
        path: &Path,
        bytes: u64,
        rules: &Rules,
        unchanged: &Unchanged,
    ) -> Result<Self, OutputError> {
        let failed = |error: &io::Error| OutputError::read_back_failed(path, error);
        let file = File::open(path).map_err(|error| failed(&error))?;
        let of_rule = |number: usize| {
            let rule = &rules.rules[number];
            let signal = &rules.signals[rule.signal];
            let of_rule = OfRule {
                number,
                states: signal.state_names().cloned().collect(),
                labels: signal.labels.iter().map(|label| label.name.clone()).collect(),
                has_detail: signal.has_detail(),
            };
            (serde_json::to_vec(&rule.name).expect("a text encodes"), of_rule)
        };
        let mut history = Self {
            path: path.to_owned(),
            lines: BufReader::new(file).take(bytes),
            catalog: Catalog::new(rules),
            rules: unchanged.numbers().map(of_rule).collect(),
            line: Vec::new(),
            at: None,
        };
        history.advance()?;
        Ok(history)
    }

    /// The logical time of the next line; none at the end.
    pub(super) fn at(&self) -> Option<i64> {
        self.at
    }

    /// The next line.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// What the next line says.
    pub(super) fn update(&self) -> Result<Update<Episode>, OutputError> {
        let of_rule = rule(&self.line).and_then(|rule| self.rules.get(rule));
        let parsed = serde_json::from_slice::<Line<'_>>(&self.line).ok();
        let said = parsed.zip(of_rule).zip(self.at).and_then(|((line, of_rule), at)| {
            let episode = episode(&line, of_rule, &self.catalog)?;
            let update = (episode, at, line.diff);
            debug_assert!(is_written_so(&update, &line, &self.catalog, &self.line), "{update:?}");
            Some(update)
        });
        said.ok_or_else(|| self.failed("it has a line that is of no episode of its rule"))
    }

    /// Goes on to the next line of one of the rules.
    pub(super) fn advance(&mut self) -> Result<(), OutputError> {
        loop {
            self.line.clear();
            let read = self.lines.read_until(b'\n', &mut self.line);
            if read.map_err(|error| self.failed(&error.to_string()))? == 0 {
                self.at = None;
                return Ok(());
            }
            let found = at(&self.line).zip(rule(&self.line));
            let (at, rule) = found.ok_or_else(|| self.failed("it has a line that is no update"))?;
            if self.rules.contains_key(rule) {
                self.at = Some(at);
                return Ok(());
            }
        }
    }

    fn failed(&self, detail: &str) -> OutputError {
        OutputError::read_back_failed(&self.path, &detail)
    }
}

/// The logical time of a line.
fn at(line: &[u8]) -> Option<i64> {
    let at = line.strip_prefix(br#"{"at":""#)?;
    let end = memchr::memchr(b'"', at)?;
    parse_rfc3339(str::from_utf8(&at[..end]).ok()?).ok()
}

/// The name of the rule of a line, as it is written: a quote within a text has another mark before.
fn rule(line: &[u8]) -> Option<&[u8]> {
    const BEFORE: &[u8] = br#","rule":"#;
    let rest = &line[memmem::find(line, BEFORE)? + BEFORE.len()..];
    Some(&rest[..memmem::find(rest, br#","signal":"#)?])
}

/// Whether an update would be written as it was.
fn is_written_so(
    update: &Update<Episode>,
    parsed: &Line<'_>,
    catalog: &Catalog,
    line: &[u8],
) -> bool {
    let supersedes = parsed.supersedes.and_then(|id| u128::from_str_radix(id, 16).ok());
    let mut again = Vec::with_capacity(line.len());
    push_update(&mut again, catalog, update, supersedes);
    again == line
}

/// The episode of a line, if that is one of the rule.
fn episode(line: &Line<'_>, of_rule: &OfRule, catalog: &Catalog) -> Option<Episode> {
    let Artifact { id, data } = &line.artifact;
    let state = of_rule.states.iter().position(|state| **state == *data.state)?;
    let (signal, rule, state) = catalog.ranks(of_rule.number, state as u16);
    let changes = data.changes.and_then(|count| {
        let instant = |text: Option<&str>| parse_rfc3339(text?).ok();
        let (first, last) = (instant(data.first_change)?, instant(data.last_change)?);
        Some(Changes { count, first, last })
    });
    let ballot = |said: &Said<'_>| {
        let (witness, state) = (SmolStr::new(&said.witness), SmolStr::new(&said.state));
        Some(Ballot { witness, state, time_ns: parse_rfc3339(said.time).ok()? })
    };
    let minority: Vec<_> = data.minority.iter().map(ballot).collect::<Option<_>>()?;
    let detail = (of_rule.has_detail || changes.is_some()).then(|| {
        let label = |name: &SmolStr| data.labels.get(name.as_str()).map(SmolStr::new);
        let labels = of_rule.labels.iter().map(|name| label(name).unwrap_or_default()).collect();
        let value = data.value.and_then(|value| Reading::new(value.get().parse().ok()?));
        let minority = (!minority.is_empty()).then(|| Arc::new(minority));
        Arc::new(Detail { labels, value, changes, minority, survival: None })
    });
    let episode = Episode {
        since_ns: parse_rfc3339(data.since).ok()?,
        entity: SmolStr::new(&data.entity),
        signal,
        rule,
        state,
        until_ns: data.until.map(parse_rfc3339).transpose().ok()?,
        decided_ns: parse_rfc3339(data.decided).ok()?,
        expired: data.reason == Some("expired"),
        revision: data.revision,
        detail,
    };
    (catalog.id(&episode) == u128::from_str_radix(id, 16).ok()?).then_some(episode)
}
