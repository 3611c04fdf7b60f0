//! What an earlier replay told of rules that are the same, to be told again among what others tell.
//!
//! Guarantee: gives each update as it was; of a line that would be written otherwise now it says so.
//! State: a line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use smol_str::SmolStr;

use super::OutputError;
use super::json::push_update;
use crate::model::detail::{Detail, Reading};
use crate::model::episode::{Catalog, Episode};
use crate::model::time::parse_rfc3339;
use crate::pipeline::Update;
use crate::rules::{Rules, Unchanged};

/// The updates, by rising logical time.
pub(super) struct History {
    path: PathBuf,
    lines: Take<BufReader<File>>,
    catalog: Catalog,
    /// The rules of which it is told, by name.
    rules: BTreeMap<SmolStr, OfRule>,
    line: Vec<u8>,
    /// The line as it would be written.
    again: Vec<u8>,
    next: Option<Update<Episode>>,
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
    at: &'l str,
    diff: isize,
    supersedes: Option<&'l str>,
    #[serde(borrow)]
    artifact: Artifact<'l>,
}

#[derive(Deserialize)]
struct Artifact<'l> {
    #[serde(borrow)]
    data: Data<'l>,
}

#[derive(Deserialize)]
struct Data<'l> {
    #[serde(borrow)]
    entity: Cow<'l, str>,
    #[serde(borrow)]
    rule: Cow<'l, str>,
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
                states: signal.states.iter().map(|state| state.name.clone()).collect(),
                labels: signal.labels.iter().map(|label| label.name.clone()).collect(),
                has_detail: signal.has_detail(),
            };
            (rule.name.clone(), of_rule)
        };
        let mut history = Self {
            path: path.to_owned(),
            lines: BufReader::new(file).take(bytes),
            catalog: Catalog::new(rules),
            rules: unchanged.numbers().map(of_rule).collect(),
            line: Vec::new(),
            again: Vec::new(),
            next: None,
        };
        history.advance()?;
        Ok(history)
    }

    /// Takes out the next updates before a logical time: all of some logical times, and about so
    /// many.
    pub(super) fn take_before(
        &mut self,
        until: i64,
        count: usize,
    ) -> Result<Vec<Update<Episode>>, OutputError> {
        let mut taken: Vec<Update<Episode>> = Vec::new();
        while let Some((_, at, _)) = &self.next {
            let is_full = taken.len() >= count && taken.last().is_some_and(|last| last.1 != *at);
            if *at >= until || is_full {
                break;
            }
            taken.extend(self.next.take());
            self.advance()?;
        }
        Ok(taken)
    }

    /// Reads the next line of one of the rules.
    fn advance(&mut self) -> Result<(), OutputError> {
        let Self { path, lines, catalog, rules, line, again, next } = self;
        loop {
            line.clear();
            let read = lines.read_until(b'\n', line);
            let failed = |detail: &str| OutputError::read_back_failed(path, &detail);
            if read.map_err(|error| failed(&error.to_string()))? == 0 {
                return Ok(());
            }
            let parsed: Line<'_> =
                serde_json::from_slice(line).map_err(|error| failed(&error.to_string()))?;
            let Some(of_rule) = rules.get(&*parsed.artifact.data.rule) else { continue };
            let other = || failed("it has a line that would be written otherwise");
            let supersedes = parsed.supersedes.map(|id| u128::from_str_radix(id, 16));
            let supersedes = supersedes.transpose().map_err(|_| other())?;
            let update = update(&parsed, of_rule, catalog).ok_or_else(other)?;
            again.clear();
            push_update(again, catalog, &update, supersedes);
            if again != line {
                return Err(other());
            }
            *next = Some(update);
            return Ok(());
        }
    }
}

/// What a line says.
fn update(line: &Line<'_>, of_rule: &OfRule, catalog: &Catalog) -> Option<Update<Episode>> {
    let Line { at, diff, artifact: Artifact { data }, .. } = line;
    let state = of_rule.states.iter().position(|state| **state == *data.state)?;
    let (signal, rule, state) = catalog.ranks(of_rule.number, state as u16);
    let detail = of_rule.has_detail.then(|| {
        let label = |name: &SmolStr| data.labels.get(name.as_str()).map(SmolStr::new);
        let labels = of_rule.labels.iter().map(|name| label(name).unwrap_or_default()).collect();
        let value = data.value.and_then(|value| Reading::new(value.get().parse().ok()?));
        Arc::new(Detail { labels, value })
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
    Some((episode, parse_rfc3339(at).ok()?, *diff))
}
