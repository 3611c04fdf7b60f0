//! What became of single records: each with its fates, and in sentences.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use smol_str::SmolStr;

use super::draw::{run_in_words, staged_in_words};
use super::locate::{Located, NotJudged, PassedOver, Said};
use super::traces::{Became, Retraced, Wanted, retrace};
use super::{Explained, Explanation, Observed, Origin, Reason};
use crate::model::duration::{format_duration, format_offset};
use crate::model::episode::Catalog;
use crate::model::ledger::{DeadLetter, Disposition, Known, Mark, Staged, Unmatched};
use crate::model::printable::printable;
use crate::model::sighting::Position;
use crate::model::time::format_rfc3339;
use crate::replay::{Failure, Log};
use crate::rules::Rules;
use crate::sinks::fates::{Fate, FateRow, Row};
use crate::sources::InputError;
use crate::sources::intake::Traced;

/// What became of records, as it was known at an instant.
pub struct Records {
    records: Vec<(Located, Fated)>,
    /// How many more there are, and the first of them.
    more: Option<(u64, Origin)>,
    /// Of the entities that they are of.
    explanations: BTreeMap<String, Explanation>,
    /// The logs that could not be read to their end.
    pub damaged: Vec<InputError>,
}

/// What became of a record.
enum Fated {
    DeadLetter {
        column: u64,
        reason: String,
    },
    Known(Became),
    /// It had not arrived.
    NotThen,
}

/// Replays logs for the entities of some records, until an instant if one is given.
///
/// # Errors
///
/// [`Failure`], if a log cannot be opened or the replay fails.
pub fn explain_records(
    rules: &Rules,
    logs: &[Log],
    located: Vec<Located>,
    more: Option<(u64, Origin)>,
    until_ns: Option<i64>,
) -> Result<Records, Failure> {
    let of = |one: &Located| one.said.as_ref().ok()?.entity.as_deref().map(SmolStr::new);
    let entities: BTreeSet<SmolStr> = located.iter().filter_map(of).collect();
    let readable = located.iter().filter(|one| one.said.is_ok());
    let lines = readable.map(|one| (one.origin.partition, one.origin.line)).collect();
    let wanted = Wanted { entities: entities.clone(), lines };
    let retraced = retrace(rules, logs, wanted, Traced::Everything, until_ns)?;
    let became: BTreeMap<&SmolStr, BTreeMap<_, Became>> = entities
        .iter()
        .map(|entity| {
            let records = retraced.records(entity).into_iter();
            (entity, records.map(|record| ((record.position, record.element), record)).collect())
        })
        .collect();
    let fated = |one: &Located| {
        let Origin { partition, line, element, .. } = one.origin;
        let position = Position::new(partition, line);
        let said = match &one.said {
            Ok(said) => said,
            Err(error) => {
                let (column, reason) = (error.column as u64, error.reason.clone());
                return Fated::DeadLetter { column, reason };
            }
        };
        let is_it = |letter: &&DeadLetter| {
            (letter.partition as usize, letter.line, letter.element) == (partition, line, element)
        };
        if let Some(letter) = retraced.dead.iter().find(is_it) {
            return Fated::DeadLetter { column: letter.column, reason: letter.reason.clone() };
        }
        match &said.entity {
            Some(entity) => {
                let of_it = became.get(&SmolStr::new(entity));
                let record = of_it.and_then(|records| records.get(&(position, element)));
                record.map_or(Fated::NotThen, |record| Fated::Known(record.clone()))
            }
            None if until_ns.is_some_and(|until| said.arrival_ns > until) => Fated::NotThen,
            None => Fated::Known(without_subject(said, position, element)),
        }
    };
    let fates: Vec<Fated> = located.iter().map(fated).collect();
    let matched = |one: &Located| {
        let said = one.said.as_ref().ok().filter(|said| said.unmatched.is_none())?;
        said.entity.clone()
    };
    let explanations = located
        .iter()
        .filter_map(matched)
        .map(|entity| (entity.clone(), retraced.explanation(rules, &entity)))
        .collect();
    let records = located.into_iter().zip(fates).collect();
    Ok(Records { records, more, explanations, damaged: retraced.damaged })
}

/// Nobody's records are not traced.
fn without_subject(said: &Said, position: Position, element: Option<u32>) -> Became {
    let Said { event_time_ns, arrival_ns, .. } = *said;
    let mark = Mark { fingerprint: (0, 0), content: 0 };
    let known = Known { event_time_ns, arrival_ns, entity: SmolStr::default(), mark };
    let disposition = Disposition::Unmatched(Unmatched::NoSubject);
    Became { position, element, raw_time_ns: None, known, disposition }
}

/// All of it, as it is written.
#[derive(Serialize)]
struct Written<'r> {
    records: Vec<Told<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<More<'r>>,
    entities: Vec<&'r Explanation>,
}

/// Records that are not told of.
#[derive(Serialize)]
struct More<'r> {
    records: u64,
    first: &'r Origin,
}

/// A record: its row of `fates.ndjson`, and why.
#[derive(Serialize)]
struct Told<'r> {
    #[serde(flatten)]
    row: Row<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<&'r Origin>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    passed_over: &'r [PassedOver],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    not_judged: &'r [NotJudged],
    sentences: Vec<String>,
}

impl Records {
    /// A line for everything there is to say of each.
    pub fn sentences(&self) -> String {
        let mut lines: Vec<_> =
            self.records.iter().flat_map(|(one, fated)| self.of_record(one, fated)).collect();
        if let Some((count, first)) = &self.more {
            lines.push(format!("and {count} more, the first of them {first}"));
        }
        lines.join("\n") + "\n"
    }

    /// As JSON: the records, each with its row of `fates.ndjson` and the sentences, and the entities.
    pub fn json(&self, rules: &Rules) -> String {
        let catalog = Catalog::new(rules);
        let records =
            self.records.iter().map(|(one, fated)| self.told(rules, &catalog, one, fated));
        let more = self.more.as_ref().map(|(records, first)| More { records: *records, first });
        let entities = self.explanations.values().collect();
        let written = Written { records: records.collect(), more, entities };
        serde_json::to_string_pretty(&written).expect("plain values encode") + "\n"
    }

    fn told<'r>(
        &'r self,
        rules: &'r Rules,
        catalog: &Catalog,
        one: &'r Located,
        fated: &'r Fated,
    ) -> Told<'r> {
        let Origin { file, line, element, .. } = &one.origin;
        let mut row = Row::new(file, *line);
        row.element = *element;
        match fated {
            Fated::DeadLetter { column, reason } => row.dead_letter(*column, reason),
            Fated::NotThen => row.disposition = "not-arrived",
            Fated::Known(became) => {
                row.record(&became.known, became.disposition, became.raw_time_ns);
                if let Some(explanation) = self.explanations.get(became.known.entity.as_str()) {
                    row.fates = fates(rules, catalog, explanation, &one.origin);
                }
            }
        }
        let asked = one.said.as_ref().ok();
        Told {
            row,
            first: self.not_used(one).and_then(|not_used| not_used.first.as_ref()),
            passed_over: asked.map_or(&[], |said| &said.passed_over),
            not_judged: asked.map_or(&[], |said| &said.not_judged),
            sentences: self.of_record(one, fated),
        }
    }

    fn explanation(&self, one: &Located) -> Option<&Explanation> {
        self.explanations.get(one.said.as_ref().ok()?.entity.as_ref()?)
    }

    fn not_used(&self, one: &Located) -> Option<&super::NotUsed> {
        let mut not_used = self.explanation(one)?.not_used.iter();
        not_used.find(|record| record.record.origin == one.origin)
    }

    /// The sentences of a record.
    fn of_record(&self, one: &Located, fated: &Fated) -> Vec<String> {
        let place = &one.origin;
        let mut lines = match fated {
            Fated::DeadLetter { column, reason } => {
                let reason = printable(reason);
                return vec![format!("{place} is a dead letter: {reason} (column {column})")];
            }
            Fated::NotThen => {
                return vec![format!("{place} is not part of what was known: it arrived later")];
            }
            Fated::Known(became) => match became.disposition {
                Disposition::Unmatched(why) => vec![unmatched(place, why, &became.known.entity)],
                _ => self.matched(one),
            },
        };
        let said = one.said.as_ref().ok();
        for PassedOver { rule, filter, canary } in said.iter().flat_map(|said| &said.passed_over) {
            let why = match (filter, canary) {
                (Some(filter), _) => format!("its `where` does not hold, `{}`", printable(filter)),
                (None, Some(other)) => format!("rule {other} sees it, by the share of a canary"),
                (None, None) => "it is of the share of a canary".to_owned(),
            };
            lines.push(format!("{place}, to rule {rule}, does not count: {why}"));
        }
        for NotJudged { what, text, reason } in said.iter().flat_map(|said| &said.not_judged) {
            let (text, reason) = (printable(text), printable(reason));
            lines.push(format!("{place}: {what}, `{text}`, could not be judged: {reason}"));
        }
        lines
    }

    /// The sentences of a record that fits a signal.
    fn matched(&self, one: &Located) -> Vec<String> {
        let (Some(explanation), place) = (self.explanation(one), &one.origin) else {
            return Vec::new();
        };
        let is_it = |seen: &Observed| seen.origin == *place;
        let amending = explanation.amending.iter().find(|late| is_it(&late.record));
        let not_used = self.not_used(one);
        let mut observed = explanation.rules.iter().flat_map(Explained::observations);
        let seen = not_used
            .map(|record| &record.record)
            .or(amending.map(|late| &late.record))
            .or_else(|| observed.find(|seen| is_it(seen)));
        let mut lines: Vec<String> =
            seen.and_then(|seen| corrected(place, seen)).into_iter().collect();
        if let Some(late) = amending {
            let (what, age) = late_in_words(explanation, &late.record);
            let rules = late.rules.join(", ");
            lines.push(format!(
                "{place} is late: {what}. It counts, by their amend_within, to {rules}"
            ));
            let looking = one.said.iter().flat_map(|said| &said.looking);
            let others: Vec<_> =
                looking.filter(|rule| !late.rules.contains(rule)).map(String::as_str).collect();
            if !others.is_empty() {
                lines.push(format!(
                    "{place} does not count to {}. Would have with lateness, or amend_within there, \
                     >= {age}",
                    others.join(", ")
                ));
            }
        }
        let is_passed_over = one.said.as_ref().is_ok_and(|said| !said.passed_over.is_empty());
        if let Some(record) = not_used {
            let first = record.first.as_ref().map(|first| format!("at {first}"));
            match (record.reason, first) {
                (Reason::Late, first) => {
                    let (what, age) = late_in_words(explanation, &record.record);
                    lines.push(match first {
                        None => format!(
                            "{place} is late: {what}. Would have been used with lateness >= {age}"
                        ),
                        Some(first) => format!(
                            "{place} is late: {what}. A record of the same source, id and time was \
                             there before, {first}"
                        ),
                    });
                }
                (Reason::Duplicate, first) => {
                    let first = first.map_or_else(String::new, |first| format!(", {first}"));
                    lines.push(match record.conflict {
                        Some(true) => format!(
                            "{place} is a duplicate: a record of the same source, id and time was \
                             there before{first}. It says something else, which is a conflict; the \
                             first counts"
                        ),
                        _ => format!(
                            "{place} is a duplicate: the same record was there before{first}"
                        ),
                    });
                }
                (Reason::Unobserved, _) if !is_passed_over => {
                    lines.push(format!("{place} fits a signal that no rule is on"));
                }
                (Reason::Unobserved, _) => {}
            }
        }
        for rule in &explanation.rules {
            lines.extend(to_rule(place, explanation, rule));
        }
        lines
    }
}

fn unmatched(place: &Origin, why: Unmatched, entity: &str) -> String {
    let entity = printable(entity);
    match why {
        Unmatched::NoSubject => format!("{place} is unmatched: it has no subject"),
        Unmatched::NoSignal => {
            format!("{place} is unmatched: a record of `{entity}`, but no signal's condition holds")
        }
        Unmatched::NoState => {
            format!("{place} is unmatched: a record of `{entity}`, but no state of its signal fits")
        }
        Unmatched::Silencing => {
            format!(
                "{place} is unmatched: no signal's condition holds, and it says when there is silence"
            )
        }
        Unmatched::NotJudged => format!(
            "{place} is unmatched: a record of `{entity}`, but what could not be judged does not hold"
        ),
    }
}

/// When a late record came, and how late that is.
fn late_in_words(explanation: &Explanation, record: &Observed) -> (String, String) {
    let age = format_duration(record.arrival.saturating_sub(record.time));
    let happened = format_rfc3339(record.time);
    let lateness = format_duration(explanation.lateness_ns);
    (format!("it happened at {happened} and arrived {age} after that; lateness is {lateness}"), age)
}

/// What was made of a record's event time, if anything.
fn corrected(place: &Origin, seen: &Observed) -> Option<String> {
    seen.raw_time.map(|raw_time| {
        let (raw, time) = (format_rfc3339(raw_time), format_rfc3339(seen.time));
        let by = format_offset(seen.time.saturating_sub(raw_time));
        format!("{place} says {raw}; corrected by {by}, {time} counts")
    })
}

/// What a rule made of a record.
fn to_rule(place: &Origin, explanation: &Explanation, rule: &Explained) -> Vec<String> {
    let is_it = |seen: &Observed| seen.origin == *place;
    let name = &rule.rule;
    let mut lines = Vec::new();
    for run in &rule.runs {
        let Some(number) = run.observations.iter().position(is_it) else { continue };
        let role = match number {
            0 => "begins".to_owned(),
            number => format!("is observation {} of", number + 1),
        };
        let words = run_in_words(rule, run, explanation.known_at);
        lines.push(format!("{place}, to rule {name}, {role} a run: {words}"));
        let seen = &run.observations[number];
        if let (true, Some(except)) = (seen.urgent, &rule.except) {
            let except = printable(except);
            lines.push(format!(
                "{place}, to rule {name}: it counts at once, as `except` says, `{except}`"
            ));
        }
        for what in &seen.noted {
            let words = staged_in_words(rule, (seen.time, &run.state), what);
            lines.push(format!("{place}, to rule {name}: {words}"));
        }
    }
    for repeated in rule.repeated.iter().filter(|repeated| is_it(&repeated.record)) {
        let (first, after) = (&repeated.repeats, format_duration(repeated.after_ns));
        let within = rule.dedup_within_ns.map_or_else(String::new, format_duration);
        // At the same instant it is a repeat whatever the time.
        let otherwise = match repeated.after_last_ns {
            0 => String::new(),
            last => format!(". Would have counted with within <= {}", format_duration(last)),
        };
        lines.push(format!(
            "{place}, to rule {name}, repeats {first}, of equal state and values and {after} before \
             it, and was not looked at; within is {within}{otherwise}"
        ));
    }
    for withheld in rule.withheld.iter().filter(|withheld| is_it(&withheld.record)) {
        for what in withheld.record.noted.iter().filter(|what| what.is_withheld()) {
            let words = staged_in_words(rule, (withheld.record.time, &withheld.state), what);
            lines
                .push(format!("{place}, to rule {name}, {} was withheld: {words}", withheld.state));
        }
    }
    for marker in rule.markers.iter().filter(|marker| is_it(marker)) {
        for what in &marker.noted {
            let words = staged_in_words(rule, (marker.time, ""), what);
            lines.push(format!("{place}, to rule {name}: {words}"));
        }
    }
    if rule.waiting.iter().any(|waiting| is_it(&waiting.record)) {
        lines.push(format!("{place}, to rule {name}, waits for its time"));
    }
    lines
}

/// What became of every record, as in `fates.ndjson`, but for dead letters.
pub(crate) fn fate_rows(rules: &Rules, retraced: &Retraced) -> Vec<serde_json::Value> {
    let catalog = Catalog::new(rules);
    let mut rows = Vec::new();
    for entity in retraced.entities() {
        let explanation = retraced.explanation(rules, entity);
        for became in retraced.records(entity) {
            let origin = retraced.origin(&became);
            let mut row = Row::new(&origin.file, origin.line);
            row.element = origin.element;
            row.record(&became.known, became.disposition, became.raw_time_ns);
            row.fates = fates(rules, &catalog, &explanation, &origin);
            let row = serde_json::to_value(&row).expect("plain values encode");
            rows.push(((origin.partition, origin.line, origin.element), row));
        }
    }
    rows.sort_by_key(|(place, _)| *place);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// What the rules made of a record, as in `fates.ndjson`.
fn fates<'r>(
    rules: &'r Rules,
    catalog: &Catalog,
    explanation: &Explanation,
    place: &Origin,
) -> Vec<FateRow<'r>> {
    let is_it = |seen: &Observed| seen.origin == *place;
    let mut rows = Vec::new();
    for explained in &explanation.rules {
        let number = explained.number;
        let signal = &rules.signals[rules.rules[number].signal];
        let state_number = |name: &str| signal.state_names().position(|state| state == name);
        let mut push = |record: &Observed, fate: Fate| {
            let shown = (record.shows, record.urgent);
            rows.push(FateRow::new(rules, number as u16, shown, &fate));
        };
        for waiting in explained.waiting.iter().filter(|waiting| is_it(&waiting.record)) {
            push(&waiting.record, Fate::Waiting);
        }
        for repeated in explained.repeated.iter().filter(|repeated| is_it(&repeated.record)) {
            push(&repeated.record, Fate::Repeated);
        }
        for withheld in explained.withheld.iter().filter(|withheld| is_it(&withheld.record)) {
            for what in withheld.record.noted.iter().filter(|what| what.is_withheld()) {
                push(&withheld.record, Fate::Withheld(what.clone()));
            }
        }
        for marker in explained.markers.iter().filter(|marker| is_it(marker)) {
            for what in &marker.noted {
                if let Staged::Marked { until_ns } = what {
                    push(marker, Fate::Marker(*until_ns));
                }
            }
        }
        for run in &explained.runs {
            let Some(of_run) = run.observations.iter().position(is_it) else { continue };
            let episode = run.episode.and_then(|since| {
                let mut episodes = explained.episodes.iter();
                let episode = episodes.find(|episode| episode.since == since)?;
                let ranks = catalog.ranks(number, state_number(&episode.state)? as u16);
                Some(catalog.id_of(ranks, &explanation.entity, since))
            });
            push(
                &run.observations[of_run],
                Fate::InRun {
                    first: of_run == 0,
                    state: state_number(&run.state).unwrap_or_default() as u16,
                    noted: run.observations[of_run].noted.clone(),
                    since_ns: run.since,
                    until_ns: run.until,
                    outcome: run.outcome,
                    kept: run
                        .kept
                        .as_ref()
                        .and_then(|kept| Some((state_number(&kept.state)? as u16, kept.missed))),
                    episode,
                    begins: run.episode.is_some_and(|since| since >= run.since),
                },
            );
        }
    }
    rows
}
