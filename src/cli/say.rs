//! What is said to a person when the work is done.

use std::fmt::Write;
use std::path::Path;

use crate::alerts::sender::Delivery;
use crate::authoring::grouped;
use crate::authoring::sample::{LogSample, Sample};
use crate::model::duration::{format_duration, format_offset};
use crate::model::printable::printable;
use crate::rules::Rules;
use crate::sinks::report::{SourceSummary, Summary};
use crate::testing::{Case, Failed, Suite, Verdict};

/// A line about a rule file that is right.
pub(super) fn checked(name: &str, rules: &Rules) -> String {
    let counts = [
        (rules.sources.len(), "source"),
        (rules.signals.len(), "signal"),
        (rules.rules.len(), "rule"),
    ];
    let counts = counts.map(|(count, noun)| match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    });
    format!("{name}: ok ({})", counts.join(", "))
}

/// What was seen in a sample: by log, then by signal.
pub(super) fn sampled(sample: &Sample<'_>, rules: &Rules) -> String {
    let mut lines = Vec::new();
    for log in &sample.logs {
        lines.push(String::new());
        let name = match rules.sources.as_slice() {
            [_] => log.name.clone(),
            sources => format!("{}={}", sources[log.source].name, log.name),
        };
        lines.extend(read_of(&name, log));
    }
    for (signal, seen) in rules.signals.iter().zip(&sample.signals) {
        let (matched, records) = (grouped(seen.matched()), grouped(seen.records));
        lines.push(format!("\nsignal {}: {matched} of {records} records", signal.name));
        let width = signal.states.iter().map(|state| state.name.chars().count()).max().unwrap_or(0);
        for (state, count) in signal.states.iter().zip(&seen.states) {
            lines.push(format!("  {:width$}  {:>11}", state.name, grouped(*count)));
        }
        let interval = seen.usual_interval_ns.map(format_duration);
        lines.extend(
            interval.map(|usual| format!("  usually {usual} between observations of an entity")),
        );
    }
    lines.join("\n") + "\n"
}

fn read_of(name: &str, log: &LogSample) -> Vec<String> {
    let which = if log.more { "the first " } else { "" };
    let mut lines = vec![format!("sample {name}: {which}{} records", grouped(log.records))];
    let mut row = |count: u64, what: &str| {
        if count > 0 {
            lines.push(format!("  {:>11}  {what}", grouped(count)));
        }
    };
    if let Some((line, error)) = &log.first_unreadable {
        let (column, reason) = (error.column, &error.reason);
        let reason = printable(reason);
        row(log.unreadable, &format!("unreadable, first line {line}, column {column}: {reason}"));
    }
    if let Some((line, reason)) = &log.first_refused {
        row(log.refused, &format!("dead letters for their arrival, first line {line}: {reason}"));
    }
    row(log.without_subject, "without a subject");
    row(log.late, "late");
    row(log.condition_errors, "conditions that could not be judged");
    lines
}

/// So many sources are told of.
const SOURCES_MAX: usize = 8;
/// A clock that is off by less is as right as clocks are.
const OFFSET_NS: i64 = 1_000_000_000;

/// The sources of which there is something to say.
fn sources(sources: &[SourceSummary]) -> String {
    let told = sources.iter().filter_map(|source| Some((source, of_source(source)?)));
    let told: Vec<_> = told.collect();
    let several = sources.iter().any(|source| source.from != sources[0].from);
    let mut text = String::new();
    for (SourceSummary { from, source, .. }, what) in told.iter().take(SOURCES_MAX) {
        let name = source.as_ref().map_or("others", |name| name);
        let of = if several { format!(" ({from})") } else { String::new() };
        writeln!(text, "source {name:?}{of}: {what}").expect("a String takes every write");
    }
    if let Some(more) = told.len().checked_sub(SOURCES_MAX).filter(|more| *more > 0) {
        writeln!(text, "and {more} more sources: summary.json has all")
            .expect("a String takes every write");
    }
    text
}

fn of_source(source: &SourceSummary) -> Option<String> {
    let mut said = Vec::new();
    let (least, most) = (source.offset_min_ns.unwrap_or(0), source.offset_max_ns.unwrap_or(0));
    if least <= -OFFSET_NS || most >= OFFSET_NS {
        let range = match most.saturating_sub(least) < OFFSET_NS {
            true => format_offset(least),
            false => format!("from {} to {}", format_offset(least), format_offset(most)),
        };
        let corrected = if source.corrected { ", corrected" } else { "" };
        said.push(format!("clock offset {range}{corrected}"));
    }
    let mut count = |count: u64, noun: &str, rest: &str| {
        let plural = if count == 1 { "" } else { "s" };
        if count > 0 {
            said.push(format!("{} {noun}{plural} {rest}", grouped(count)));
        }
    };
    // Where most are missing, numbers were not meant to follow one another.
    let gaps = source.sequence_gaps.filter(|gaps| *gaps < source.records);
    count(gaps.unwrap_or(0), "sequence number", "missing");
    count(source.sequence_restarts.unwrap_or(0), "restart", "of the sequence");
    count(source.arrival_regressions, "arrival", "before the one ahead");
    (!said.is_empty()).then(|| said.join("; "))
}

/// The closing summary of a replay.
pub(super) fn summary(summary: &Summary, out: &Path) -> String {
    let mut text = String::new();
    // A record has as many as there are rules that look at it, and so may a late one.
    let observed: u64 = summary.fates.values().map(|of_rule| of_rule.observed).sum();
    let per_episode = (observed as f64 / summary.episodes.max(1) as f64).round();
    let reasons = || summary.suppressed.values().flatten();
    let is_withheld = |reason: &str| matches!(reason, "quorum" | "flap_damping" | "grace");
    let of = |withheld: bool| -> u64 {
        let of = reasons().filter(|(reason, _)| is_withheld(reason) == withheld);
        of.map(|(_, count)| count).sum()
    };
    let mut row = |count: u64, what: &str| {
        if count > 0 {
            writeln!(text, "{:>16}  {what}", grouped(count)).expect("a String takes every write");
        }
    };
    row(summary.records, "records");
    row(summary.dead_letters, "dead letters (dead-letter.ndjson says where and why)");
    row(summary.unmatched, "of no signal or state");
    row(summary.late, "late");
    row(summary.duplicates, "duplicates");
    row(summary.conflicts, "duplicates that said something else");
    row(summary.condition_errors, "conditions that could not be judged");
    if observed == summary.used {
        row(observed, "observations used");
    } else {
        row(summary.used, "records used");
        row(observed, "observations by the rules");
    }
    row(of(false), "of them in runs that did not last");
    row(
        of(true),
        "of them withheld: what has no quorum, changes too often, or was just seen first",
    );
    let noun = if summary.episodes == 1 { "episode" } else { "episodes" };
    let plural = if per_episode == 1.0 { "" } else { "s" };
    row(summary.episodes, &format!("{noun}: one for {per_episode} observation{plural}"));
    row(summary.notifications.unwrap_or(0), "notifications (notifications.ndjson says of what)");
    let withheld = summary.withheld.values().flatten().map(|(_, count)| count);
    row(withheld.sum(), "notifications withheld (it says by what)");
    text.push_str(&sources(&summary.sources));
    if summary.records == 0 {
        text.push_str(
            "no records: the logs are empty, or all of them arrived before --from or after --until\n",
        );
    }
    let speed = grouped(summary.events_per_second as u64);
    let memory = summary.peak_rss_bytes.div_ceil(1 << 20);
    writeln!(text, "{speed} records/s, {memory} MiB at most; digest {}", summary.digest)
        .expect("a String takes every write");
    if !summary.complete {
        text.push_str("incomplete: a log could not be read to its end\n");
    }
    writeln!(text, "outputs in {}", out.display()).expect("a String takes every write");
    text
}

/// A case that failed, and in what.
pub(super) fn failed(suite: &Suite, case: &Case, failed: &Failed) -> String {
    let (file, name) = (printable(&suite.name), printable(&case.name));
    format!("FAILED {file}:{}: {name}\n{}\n", failed.line, failed.text)
}

/// How many cases passed, and failed, by file.
pub(super) fn tested(done: &[(&Suite, Vec<(usize, Verdict)>)]) -> String {
    let mut text = String::new();
    let (mut all, mut all_failed) = (0, 0);
    for (suite, verdicts) in done {
        let failed = verdicts.iter().filter(|(_, verdict)| *verdict != Verdict::Passed).count();
        let (passed, name) = (verdicts.len() - failed, printable(&suite.name));
        all += verdicts.len();
        all_failed += failed;
        let left_out = match suite.cases.len() - verdicts.len() {
            0 => String::new(),
            count => format!(", {count} not run"),
        };
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        writeln!(text, "{name}: {passed} passed{failed}{left_out}")
            .expect("a String takes every write");
    }
    if done.len() > 1 {
        let passed = all - all_failed;
        writeln!(text, "{passed} passed, {all_failed} failed").expect("a String takes every write");
    }
    text
}

/// What was delivered to a sink.
pub(super) fn delivered(sink: &str, delivery: &Delivery) -> String {
    format!("{} delivered to {sink}\n", counted(delivery.delivered))
}

/// What a sink refused.
pub(super) fn refused(sink: &str, delivery: &Delivery, dir: &Path) -> String {
    let (dir, count) = (dir.display(), counted(delivery.refused));
    format!("{count} refused by {sink}: {dir}/undeliverable.ndjson says which and why")
}

/// What is not delivered yet, and why.
pub(super) fn left(sink: &str, delivery: &Delivery, dir: &Path) -> String {
    let (dir, count) = (dir.display(), counted(delivery.left));
    let why = delivery.reason.as_deref().unwrap_or("there was no time");
    format!("{count} for {sink} left in {dir}: {why}; the next replay with it sends them")
}

fn counted(notifications: u64) -> String {
    let plural = if notifications == 1 { "" } else { "s" };
    format!("{} notification{plural}", grouped(notifications))
}
