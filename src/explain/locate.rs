//! Finding records in logs, by their place or by what their producer calls them, and what the rules
//! ask of each.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Origin;
use crate::model::Id;
use crate::model::ledger::Unmatched;
use crate::model::sighting::{Noted, Shown};
use crate::replay::{Failure, Log};
use crate::rules::{Format, RecordView, Rule, Rules, Verdict};
use crate::sources::decode::{Decoded, Unreadable};
use crate::sources::intake::{Asked, Matcher, Partition, RECORD_BYTES_MAX, records};
use crate::sources::{Blocks, Interrupt, open};

/// So many records are told of.
const RECORDS_MAX: usize = 1_000;
const BLOCK_BYTES: usize = 64 << 10;

/// Which records are meant.
#[derive(Clone, Debug)]
pub enum Which {
    /// Those of a line of a log, from 1.
    Line(PathBuf, u64),
    /// Those with this source and id.
    Identity(String, String),
}

/// What was found.
#[derive(Debug)]
pub enum Found {
    /// Nothing, and why not.
    Nothing(String),
    /// Records, in the order of the logs, and how many more there are, of which the first is here.
    Records(Vec<Located>, Option<(u64, Origin)>),
}

/// A record, or what should be one.
#[derive(Debug)]
pub struct Located {
    /// Where it stands.
    pub origin: Origin,
    /// What it says, or why it cannot be read.
    pub said: Result<Said, Unreadable>,
}

/// What a record says, and what the rules ask of it alone.
#[derive(Debug)]
pub struct Said {
    /// Whom it is about.
    pub entity: Option<String>,
    /// When it happened.
    pub event_time_ns: i64,
    /// When it arrived, as it says.
    pub arrival_ns: i64,
    /// Why it fits no signal, if so.
    pub unmatched: Option<Unmatched>,
    /// The rules on its signals that look at it if it comes in time.
    pub looking: Vec<String>,
    /// Those whose `where` does not hold, or that see a share of which it is not.
    pub passed_over: Vec<PassedOver>,
    /// What could not be judged of it.
    pub not_judged: Vec<NotJudged>,
}

/// A rule that does not look at a record.
#[derive(Clone, Debug, Serialize)]
pub struct PassedOver {
    /// Which.
    pub rule: String,
    /// What would have to hold.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The rule that sees it instead, or does so of some share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
}

/// A condition or value of the rule file that could not be judged of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotJudged {
    /// What it is there.
    pub what: String,
    /// As it is written.
    pub text: String,
    /// Why not.
    pub reason: String,
}

/// Looks for records.
///
/// # Errors
///
/// If a log cannot be opened, or read until something was found.
pub fn locate(rules: &Rules, logs: &[Log], which: &Which) -> Result<Found, Failure> {
    let matcher = Matcher::new(rules);
    let meant = |log: &&Log| match which {
        Which::Line(file, _) => is_same(file, &log.path),
        Which::Identity(..) => true,
    };
    let (mut found, mut more) = (Vec::new(), None);
    for (partition, log) in logs.iter().enumerate().filter(|(_, log)| meant(log)) {
        log.has_all_from(None)?;
        let partition = Log::number(logs, partition);
        let input = log.open(partition, rules, &Interrupt::default())?;
        let read = records(input, &matcher, |seen| {
            let is_it = match (which, &seen.record) {
                (Which::Line(_, line), _) if seen.line > *line => return ControlFlow::Break(()),
                (Which::Line(_, line), _) => *line == seen.line,
                (Which::Identity(..), Err(_)) => false,
                (Which::Identity(source, id), Ok(record)) => {
                    *source == record.source && is_called(record, id)
                }
            };
            if is_it {
                let file = log.path.display().to_string();
                let origin = Origin { partition, file, line: seen.line, element: seen.element };
                if found.len() < RECORDS_MAX {
                    let said = seen.record.map(|r| said(rules, &matcher, log, &r, &seen.view));
                    found.push(Located { origin, said });
                } else {
                    more.get_or_insert((0, origin)).0 += 1;
                }
            }
            ControlFlow::Continue(())
        });
        match read {
            // That a log is damaged is said when it is replayed.
            Err(_) if !found.is_empty() => {}
            read => read?,
        }
    }
    if !found.is_empty() {
        return Ok(Found::Records(found, more));
    }
    Ok(Found::Nothing(match which {
        Which::Identity(..) => "no such record in these logs".to_owned(),
        Which::Line(file, line) => match logs.iter().find(meant) {
            Some(log) => no_record(rules, log, *line)?,
            None => {
                let logs: Vec<_> = logs.iter().map(|log| log.path.display().to_string()).collect();
                format!("{} is none of the logs: {}", file.display(), logs.join(", "))
            }
        },
    }))
}

/// Whether a file is a log, however both are written.
fn is_same(file: &Path, log: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().ok();
    file == log || whole(file).is_some_and(|file| whole(log).as_ref() == Some(&file))
}

fn is_called(record: &Decoded<'_>, id: &str) -> bool {
    match &record.id {
        Id::Text(text) => text == id,
        Id::Content(hash) => *id == format!("{hash:016x}"),
    }
}

/// Why a line of a log is no record.
fn no_record(rules: &Rules, log: &Log, wanted: u64) -> Result<String, Failure> {
    let name = log.path.display();
    if log.stored.is_some() {
        return Ok(format!("{name}:{wanted}: the replay log has no record of this line"));
    }
    let mut blocks = Blocks::new(open(&log.path)?, BLOCK_BYTES, RECORD_BYTES_MAX);
    let of_documents = rules.sources[log.source].format.document().is_some();
    let mut before = 0;
    let mut all_blank = true;
    while let Some(block) = blocks.next_block(Vec::new()) {
        for (line, bytes, _) in block?.lines() {
            let is_blank = bytes.iter().all(u8::is_ascii_whitespace);
            let has_header = match &rules.sources[log.source].format {
                Format::Csv(csv) => csv.header.is_none(),
                _ => false,
            };
            if line == wanted {
                let what = match (is_blank, has_header && all_blank) {
                    (true, _) => "a blank line is no record",
                    (_, true) => "the header is no record",
                    _ if of_documents => "no record begins in this line",
                    _ => "the line stands for no record: its array has no elements",
                };
                return Ok(format!("{name}:{wanted}: {what}"));
            }
            all_blank &= is_blank;
            before = line;
        }
    }
    Ok(format!("{name}:{wanted}: no such record in this log, whose last line is {before}"))
}

/// What of the conditions that pass records over, each `where`, could not be judged of a log, once each.
///
/// # Errors
///
/// If the log cannot be read.
pub(crate) fn not_judged(
    rules: &Rules,
    matcher: &Matcher,
    log: Partition,
) -> Result<BTreeSet<NotJudged>, Failure> {
    let (source, mut all) = (log.source(), BTreeSet::new());
    records(log, matcher, |seen| {
        if seen.record.is_ok_and(|record| record.subject.is_some()) {
            matcher.judge(source, &seen.view, &mut |asked, verdict, why| {
                let passes_over = matches!(asked, Asked::Signal(_) | Asked::Rule(_));
                if verdict == Verdict::Error && passes_over {
                    let (what, text) = asked_in_words(rules, asked);
                    all.insert(NotJudged { what, text, reason: why() });
                }
            });
        }
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

/// What a record says, and what the rules ask of it alone.
fn said(
    rules: &Rules,
    matcher: &Matcher,
    log: &Log,
    record: &Decoded<'_>,
    view: &impl RecordView,
) -> Said {
    let (mut passed_over, mut not_judged) = (Vec::new(), Vec::new());
    let mut looking = Vec::new();
    let unmatched = match record.subject {
        None => Some(Unmatched::NoSubject),
        Some(_) => {
            let fits = matcher.judge(log.source, view, &mut |asked, verdict, why| {
                let (what, text) = asked_in_words(rules, asked);
                if let (Asked::Rule(rule), false) = (asked, verdict.holds()) {
                    let rule = rules.rules[rule].name.to_string();
                    passed_over.push(PassedOver { rule, filter: Some(text.clone()), canary: None });
                }
                if verdict == Verdict::Error {
                    not_judged.push(NotJudged { what, text, reason: why() });
                }
            });
            let on = |rule: &&Rule| fits.iter().any(|fit| usize::from(fit.signal) == rule.signal);
            looking = rules.rules.iter().filter(on).map(|rule| rule.name.to_string()).collect();
            fits.is_empty().then(|| matcher.unmatched(log.source, view))
        }
    };
    passed_over.extend(out_of_share(rules, matcher, log, record, view));
    let event_time_ns = record.event_time_ns;
    looking.retain(|rule| !passed_over.iter().any(|passed: &PassedOver| passed.rule == *rule));
    Said {
        entity: record.subject.as_ref().map(ToString::to_string),
        event_time_ns,
        arrival_ns: record.arrival_ns.unwrap_or(event_time_ns),
        unmatched,
        looking,
        passed_over,
        not_judged,
    }
}

/// The rules that see a share of which a record is not.
fn out_of_share(
    rules: &Rules,
    matcher: &Matcher,
    log: &Log,
    record: &Decoded<'_>,
    view: &impl RecordView,
) -> Vec<PassedOver> {
    let mut passed_over = Vec::new();
    let Some((shares, entity)) = rules.shares().zip(record.subject.as_ref()) else {
        return passed_over;
    };
    let matches = matcher.matches(log.source, view, &mut 0);
    let of = |number: usize| rules.rules[number].canary.as_ref().map(|canary| canary.base);
    if let Some(matches) = matches {
        Noted::each(&matches, |rule, noted| {
            let is_seen = match noted.is_observed() {
                true => shares.sees(rule, entity, &noted.detail),
                false => shares.may_see(rule, entity),
            };
            if !is_seen {
                // A base is passed over for the canary that has it.
                let sees = |other: &usize| {
                    of(*other) == Some(rule)
                        && match noted.is_observed() {
                            true => shares.sees(*other, entity, &noted.detail),
                            false => shares.may_see(*other, entity),
                        }
                };
                let other = of(rule).or_else(|| (0..rules.rules.len()).find(sees));
                let name = |number: usize| rules.rules[number].name.to_string();
                let canary = other.map(name);
                passed_over.push(PassedOver { rule: name(rule), filter: None, canary });
            }
        });
    }
    passed_over
}

/// What is asked, and how that is written.
fn asked_in_words(rules: &Rules, asked: Asked) -> (String, String) {
    let signal = |number: usize| &rules.signals[number];
    let rule = |number: usize| &rules.rules[number];
    match asked {
        Asked::Signal(of) => {
            let filter = signal(of).filter.as_ref().map_or("", |filter| filter.text());
            (format!("the `where` of signal {}", signal(of).name), filter.to_owned())
        }
        Asked::State(of, state) => {
            let state = &signal(of).states[state];
            let what = format!("state {} of signal {}", state.name, signal(of).name);
            (what, state.when.text().to_owned())
        }
        Asked::Label(of, label) => {
            let label = &signal(of).labels[label];
            let what = format!("label {} of signal {}", label.name, signal(of).name);
            (what, label.from.text().to_owned())
        }
        Asked::Value(of) => {
            let text = signal(of).value.as_ref().map_or("", |value| value.text());
            (format!("the value of signal {}", signal(of).name), text.to_owned())
        }
        Asked::Rule(of) => {
            let filter = rule(of).filter.as_ref().map_or("", |filter| filter.text());
            (format!("the `where` of rule {}", rule(of).name), filter.to_owned())
        }
        Asked::Except(of) => {
            let except = rule(of).except.as_ref().map_or("", |except| except.text());
            (format!("the `except` of rule {}", rule(of).name), except.to_owned())
        }
        Asked::Dedup(of) => {
            let by = rule(of).dedup.iter().flat_map(|dedup| &dedup.by);
            let by: Vec<_> = by.map(|value| value.text()).collect();
            (format!("the `dedup` of rule {}", rule(of).name), by.join(", "))
        }
    }
}
