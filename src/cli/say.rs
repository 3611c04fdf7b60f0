//! What is said to a person when the work is done.

use std::fmt::Write;
use std::path::Path;

use crate::rules::Rules;
use crate::sinks::report::Summary;

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

/// The closing summary of a replay.
pub(super) fn summary(summary: &Summary, out: &Path) -> String {
    let mut text = String::new();
    let per_episode = summary.used as f64 / summary.episodes.max(1) as f64;
    let suppressed: u64 = summary.suppressed.values().flat_map(|reasons| reasons.values()).sum();
    let mut row = |count: u64, what: &str| {
        if count > 0 {
            writeln!(text, "{:>16}  {what}", grouped(count)).expect("a String takes every write");
        }
    };
    row(summary.records, "records");
    row(summary.dead_letters, "dead letters (dead-letter.ndjson says where and why)");
    row(summary.unmatched, "of no signal or state");
    row(summary.late, "too late");
    row(summary.duplicates, "duplicates");
    row(summary.conflicts, "duplicates that said something else");
    row(summary.condition_errors, "conditions that could not be judged");
    row(summary.used, "observations used");
    row(suppressed, "of them in runs that did not last");
    let noun = if summary.episodes == 1 { "episode" } else { "episodes" };
    row(summary.episodes, &format!("{noun}: one for {per_episode:.0} observations"));
    if summary.records == 0 {
        text.push_str("no records: the logs are empty, or all of them arrived after --until\n");
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

/// A count with its digits in groups of three.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}
