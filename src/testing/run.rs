//! A case, replayed: what was known at an instant, as rows.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use serde_json::Value;

use super::wanted::{Row, View};
use super::{Case, InMemory, Tested};
use crate::alerts::latch::Latch;
use crate::alerts::notification::Notification;
use crate::alerts::{Destination, Routing, Told, Withheld};
use crate::explain::{NotJudged, Retraced, Seen, fate_rows, not_judged};
use crate::model::episode::{Catalog, Episode};
use crate::model::ledger::{Count, DeadLetter, Entry};
use crate::model::silencing::Silencing;
use crate::model::time::format_rfc3339;
use crate::persistence::Learner;
use crate::pipeline::{Gathered, Update};
use crate::replay::Failure;
use crate::replay::memory::{How, collect};
use crate::rules::Rules;
use crate::sinks::json::{push_episode, push_notification};
use crate::sinks::report::Summary;
use crate::sources::Opened;
use crate::sources::intake::{Partition, Traced};

/// How finely history is resolved, as in a replay that says nothing else.
const TICK_NS: i64 = 100_000_000;

/// What was known.
pub(super) struct Known {
    /// Where the clock stood; none without records.
    pub(super) clock_ns: Option<i64>,
    /// Rows by view; no fates unless they were asked for.
    rows: BTreeMap<View, Vec<Row>>,
    /// As in `summary.json`.
    pub(super) summary: Value,
    /// What became of every record, if that was asked for.
    pub(super) retraced: Option<Retraced>,
}

impl Known {
    pub(super) fn rows(&self, view: View) -> &[Row] {
        self.rows.get(&view).map_or(&[], Vec::as_slice)
    }
}

/// Replays a case until an instant, or until its last record.
pub(super) fn replay(
    case: &Case,
    until_ns: Option<i64>,
    traced: bool,
    workers: usize,
) -> Result<Known, Failure> {
    let rules = &case.rules.rules;
    let partitions = case.logs.iter().enumerate().map(|(number, log)| log.open(number, rules));
    let partitions = partitions.collect::<Result<Vec<_>, _>>()?;
    let traces = if traced { Traced::Everything } else { Traced::Nothing };
    let how = How { tick_ns: TICK_NS, until_ns, traced: traces, workers };
    let taken = Taken::default();
    let (mut taken, outcome) = collect(partitions, &case.rules.matcher, how, taken, Taken::take)?;
    let clock_ns = outcome.clock;
    let catalog = Catalog::new(rules);
    let notified = notified(rules, &mut taken, clock_ns);
    let Taken { updates, counts, dead_letters, seen, .. } = taken;
    let updates_count = updates.len() as u64;
    let standing = standing(updates);
    let mut summary = Summary {
        episodes: standing.len() as u64,
        updates: updates_count,
        notifications: (!rules.routes.is_empty()).then_some(notified.counts.told),
        withheld: notified.counts.withheld,
        ..Summary::counted(&counts, &catalog, dead_letters.len() as u64)
    };
    summary.complete &= outcome.damaged.is_empty();
    let names = case.logs.iter().map(|log| log.name.clone()).collect();
    let retraced = traced.then(|| seen.into_retraced(names, outcome));
    let mut rows = BTreeMap::from([
        (View::Episodes, standing.iter().map(|episode| episode_row(&catalog, episode)).collect()),
        (View::Deliveries, notified.deliveries),
        (View::Withheld, notified.withheld),
        (View::DeadLetters, dead_letters.iter().map(dead_letter_row).collect()),
    ]);
    if let Some(retraced) = &retraced {
        rows.insert(View::Fates, fates(rules, retraced, &dead_letters));
    }
    let summary = serde_json::to_value(&summary).expect("plain values encode");
    Ok(Known { clock_ns, rows, summary, retraced })
}

/// Which `where` could not be judged of the records of a case; an exception may ask for what few have.
pub(super) fn unjudged(case: &Case) -> Result<BTreeSet<NotJudged>, Failure> {
    let Tested { rules, matcher } = &*case.rules;
    let mut all = BTreeSet::new();
    for (number, log) in case.logs.iter().enumerate() {
        all.append(&mut not_judged(rules, matcher, log.open(number, rules)?)?);
    }
    Ok(all)
}

impl InMemory {
    fn open(&self, number: usize, rules: &Rules) -> Result<Partition, Failure> {
        let bytes = Cursor::new(std::sync::Arc::clone(&self.bytes));
        let size_bytes = Some(self.bytes.len() as u64);
        let input = Opened::from_reader(self.name.clone(), Box::new(bytes), size_bytes)?;
        Ok(Partition::new(number, self.source, input, rules)?)
    }
}

/// What was gathered.
#[derive(Default)]
struct Taken {
    updates: Vec<Update<Episode>>,
    heard: Vec<Update<Silencing>>,
    candidates: Vec<Update<Episode>>,
    counts: BTreeMap<Count, u64>,
    dead_letters: Vec<DeadLetter>,
    seen: Seen,
}

impl Taken {
    fn take(&mut self, gathered: Gathered) {
        match gathered {
            Gathered::Episodes(updates) => self.updates.extend(updates),
            Gathered::Candidates { candidates, episodes } => {
                self.candidates.extend(candidates);
                self.updates.extend(episodes);
            }
            Gathered::Ledger(entries) => {
                for (entry, _, diff) in &entries {
                    match entry {
                        Entry::Count(what) => {
                            let count = self.counts.entry(*what).or_default();
                            *count = count.wrapping_add_signed(*diff as i64);
                        }
                        Entry::DeadLetter(letter) => self.dead_letters.push(letter.clone()),
                        Entry::Source(_) | Entry::Trace(_) | Entry::Silencing(_) => {}
                    }
                }
                self.seen.take(entries);
            }
            Gathered::Silencings(heard) => self.heard.extend(heard),
            Gathered::End(_) | Gathered::Passed(_) | Gathered::CutAt(_) | Gathered::Cut => {}
        }
    }
}

/// The episodes that stand after all updates, as they are published.
fn standing(updates: Vec<Update<Episode>>) -> Vec<Episode> {
    let mut standing: BTreeMap<Episode, isize> = BTreeMap::new();
    for (episode, _, diff) in updates {
        *standing.entry(episode).or_default() += diff;
    }
    standing.into_iter().filter(|(_, count)| *count != 0).map(|(episode, _)| episode).collect()
}

/// What was notified of.
#[derive(Default)]
struct Notified {
    /// A row for each notification and sink.
    deliveries: Vec<Row>,
    /// The same of what was withheld.
    withheld: Vec<Row>,
    counts: Told,
}

/// Notifies; episodes get what was latched of them.
fn notified(rules: &Rules, taken: &mut Taken, clock_ns: Option<i64>) -> Notified {
    let mut notified = Notified::default();
    let mut learner = Learner::new(rules, TICK_NS);
    if rules.routes.is_empty() && learner.is_none() {
        return notified;
    }
    let routing = Routing::new(rules);
    let mut latch = Latch::new(rules, &routing.catalog, TICK_NS);
    let mut notifications = Vec::new();
    latch.hear(std::mem::take(&mut taken.heard));
    match &mut learner {
        None => latch.take(&taken.updates, &mut notifications),
        Some(learner) => {
            let episodes = std::mem::take(&mut taken.updates);
            let candidates = &taken.candidates;
            taken.updates = latch.take_learned(learner, candidates, &episodes, &mut notifications);
        }
    }
    if let Some(clock_ns) = clock_ns {
        latch.end_learned(learner.as_mut(), clock_ns, &mut notifications);
    }
    for notification in &notifications {
        let Some(to) = routing.destination(notification) else { continue };
        notified.counts.count(&to);
        let Destination { sinks, withheld } = to;
        for sink in sinks {
            let sink = &rules.sinks[sink].name;
            let mut row = delivery_row(&routing.catalog, notification, sink);
            match &withheld {
                None => notified.deliveries.push(row),
                Some(Withheld { by, name, id, group }) => {
                    row.insert("by".to_owned(), (*by).into());
                    row.insert("name".to_owned(), (*name).into());
                    row.extend(id.map(|id| ("silence_id".to_owned(), id.into())));
                    row.extend(group.map(|group| ("group".to_owned(), group.into())));
                    notified.withheld.push(row);
                }
            }
        }
    }
    notified
}

fn object(json: &[u8]) -> Row {
    let parsed = serde_json::from_slice(json).expect("what is published is JSON");
    let Value::Object(row) = parsed else { unreachable!("what is published is an object") };
    row
}

/// The data of what is published.
fn data(mut published: Row) -> Row {
    match published.remove("data") {
        Some(Value::Object(data)) => data,
        _ => published,
    }
}

fn episode_row(catalog: &Catalog, episode: &Episode) -> Row {
    let mut json = Vec::new();
    push_episode(&mut json, catalog, episode);
    with_odds(data(object(&json)))
}

/// A row that says itself what was expected, of the nearest horizon.
fn with_odds(mut row: Row) -> Row {
    let Some(Value::Object(mut persistence)) = row.remove("persistence") else { return row };
    row.extend(["age", "announced"].map(|name| (name.to_owned(), persistence[name].take())));
    let mut odds = persistence["lasts"][0].take();
    row.extend(["for", "p"].map(|name| (name.to_owned(), odds[name].take())));
    for of in ["entity", "group"] {
        let counts = ["lasted", "faults"].map(|name| odds[of][name].to_string());
        row.insert(format!("{of}_lasted"), counts.join("/").into());
    }
    row
}

fn delivery_row(catalog: &Catalog, notification: &Notification, sink: &str) -> Row {
    let mut json = Vec::new();
    push_notification(&mut json, catalog, notification);
    let mut row = data(object(&json));
    row.remove("was");
    if let Some(Value::Object(members)) = row.remove("group") {
        row.extend(members.into_iter().map(|(name, value)| (format!("group_{name}"), value)));
    }
    if let Some(Value::Object(episode)) = row.remove("episode") {
        row.extend(with_odds(data(episode)));
    }
    row.insert("to".to_owned(), sink.into());
    row.insert("at".to_owned(), format_rfc3339(notification.at_ns).into());
    row
}

fn dead_letter_row(letter: &DeadLetter) -> Row {
    let DeadLetter { line, column, reason, record, .. } = letter;
    let row = serde_json::json!({
        "line": line, "column": column, "reason": reason, "record": record,
    });
    let Value::Object(row) = row else { unreachable!("that is an object") };
    row
}

/// A row for each record and rule that made something of it; what no rule saw has the fate of the
/// record.
fn fates(rules: &Rules, retraced: &Retraced, dead_letters: &[DeadLetter]) -> Vec<Row> {
    let mut rows = Vec::new();
    for row in fate_rows(rules, retraced) {
        let Value::Object(mut record) = row else { continue };
        let fates = match record.remove("fates") {
            Some(Value::Array(fates)) => fates,
            _ => Vec::new(),
        };
        if fates.is_empty() {
            let disposition = record.get("disposition").cloned().unwrap_or_default();
            record.insert("fate".to_owned(), disposition);
            rows.push(record);
            continue;
        }
        for fate in fates {
            let Value::Object(fate) = fate else { continue };
            let mut row = record.clone();
            row.extend(fate);
            rows.push(row);
        }
    }
    let dead = dead_letters.iter().map(|letter| {
        let mut row = dead_letter_row(letter);
        row.remove("record");
        row.insert("disposition".to_owned(), "dead-letter".into());
        row.insert("fate".to_owned(), "dead-letter".into());
        row
    });
    rows.extend(dead);
    rows
}
