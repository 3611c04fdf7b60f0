//! Published rows as JSON, the same bytes for the same row.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::alerts::notification::Notification;
use crate::model::detail::Ballot;
use crate::model::duration::format_duration;
use crate::model::episode::{Catalog, Episode};
use crate::model::ledger::DeadLetter;
use crate::model::survival::{Past, Survival};
use crate::model::time::push_rfc3339;
use crate::rules::OBSERVE;

const CHANGED: &str = "changed";
const EXPIRED: &str = "expired";
/// Why episodes end: something else was observed, or nothing any more.
pub(crate) const REASONS: [&str; 2] = [CHANGED, EXPIRED];

/// Appends a text as a JSON string.
fn push_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a Vec takes every write");
}

/// Appends a member whose value is an instant.
fn push_instant(out: &mut Vec<u8>, key: &[u8], nanos: i64) {
    out.extend(key);
    out.push(b'"');
    push_rfc3339(out, nanos);
    out.push(b'"');
}

fn push_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends an id, without quotes.
pub(super) fn push_id(out: &mut Vec<u8>, id: u128) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend((0..32).rev().map(|digit| DIGITS[(id >> (4 * digit)) as usize & 15]));
}

/// Appends an episode as a CloudEvent.
pub(crate) fn push_episode(out: &mut Vec<u8>, catalog: &Catalog, episode: &Episode) {
    let (signal, rule, state) = catalog.names(episode);
    out.extend(br#"{"specversion":"1.0","id":""#);
    push_id(out, catalog.id(episode));
    out.extend(br#"","source":"limbeck","type":"dev.limbeck.episode.v1","subject":"#);
    push_text(out, &episode.entity);
    push_instant(out, br#","time":"#, episode.since_ns);
    out.extend(br#","datacontenttype":"application/json","data":{"entity":"#);
    push_text(out, &episode.entity);
    for (key, name) in
        [(&br#","rule":"#[..], rule), (br#","signal":"#, signal), (br#","state":"#, state)]
    {
        out.extend(key);
        push_text(out, name);
    }
    push_instant(out, br#","since":"#, episode.since_ns);
    match episode.until_ns {
        Some(until) => push_instant(out, br#","until":"#, until),
        None => out.extend(br#","until":null"#),
    }
    match episode.is_undecided() {
        true => out.extend(br#","decided":null"#),
        false => push_instant(out, br#","decided":"#, episode.decided_ns),
    }
    let reason = match (episode.until_ns, episode.expired) {
        (None, _) => None,
        (_, true) => Some(EXPIRED),
        (_, false) => Some(CHANGED),
    };
    out.extend(br#","reason":"#);
    match reason {
        Some(reason) => push_text(out, reason),
        None => out.extend(b"null"),
    }
    out.extend(br#","revision":"#);
    push_number(out, episode.revision);
    push_texts(out, br#","labels":"#, &catalog.labels(episode));
    if let Some(value) = episode.detail.as_ref().and_then(|detail| detail.value) {
        out.extend(br#","value":"#);
        out.extend(value.get().to_string().as_bytes());
    }
    if let Some(changes) = episode.detail.as_ref().and_then(|detail| detail.changes) {
        out.extend(br#","changes":"#);
        push_number(out, changes.count);
        push_instant(out, br#","first_change":"#, changes.first);
        push_instant(out, br#","last_change":"#, changes.last);
    }
    if let Some(minority) = episode.detail.as_ref().and_then(|of| of.minority.as_deref()) {
        out.extend(br#","minority":["#);
        for (number, Ballot { witness, state, time_ns }) in minority.iter().enumerate() {
            out.extend(if number == 0 { &br#"{"witness":"#[..] } else { br#",{"witness":"# });
            push_text(out, witness);
            out.extend(br#","state":"#);
            push_text(out, state);
            push_instant(out, br#","time":"#, *time_ns);
            out.push(b'}');
        }
        out.push(b']');
    }
    if let Some(survival) = episode.survival() {
        push_survival(out, survival);
    }
    push_texts(out, br#","annotations":"#, &catalog.annotations(episode));
    if let Some(schema) = catalog.schema(episode) {
        out.extend(br#","schema":"#);
        push_text(out, schema);
    }
    if let Some(version) = catalog.version(episode) {
        out.extend(br#","rule_version":"#);
        push_text(out, version);
    }
    if catalog.is_observed(episode) {
        out.extend(br#","mode":"#);
        push_text(out, OBSERVE);
    }
    out.extend(b"}}");
}

/// Appends what was expected of a fault.
fn push_survival(out: &mut Vec<u8>, survival: &Survival) {
    let push_past = |out: &mut Vec<u8>, key: &[u8], past: Past| {
        out.extend(key);
        out.extend(format!("{{\"faults\":{},\"lasted\":{}}}", past.faults, past.lasted).as_bytes());
    };
    out.extend(br#","persistence":{"age":""#);
    out.extend(format_duration(survival.age_ns).as_bytes());
    match survival.announced_ns {
        Some(announced) => push_instant(out, br#"","announced":"#, announced),
        None => out.extend(br#"","announced":null"#),
    }
    out.extend(br#","lasts":["#);
    for (number, odds) in survival.odds.iter().enumerate() {
        out.extend(if number == 0 { &br#"{"for":""#[..] } else { br#",{"for":""# });
        out.extend(format_duration(odds.horizon_ns).as_bytes());
        out.extend(br#"","p":"#);
        out.extend(survival.p(odds).to_string().as_bytes());
        push_past(out, br#","entity":"#, odds.entity);
        push_past(out, br#","group":"#, odds.group);
        out.push(b'}');
    }
    out.extend(b"]}");
}

/// Appends a member whose value is an object of texts, unless there are none.
fn push_texts(out: &mut Vec<u8>, key: &[u8], texts: &BTreeMap<&str, Cow<'_, str>>) {
    if !texts.is_empty() {
        out.extend(key);
        serde_json::to_writer(out, texts).expect("a Vec takes every write");
    }
}

/// Appends an update of an episode, as a line. `supersedes` is the id that it takes the place of.
pub(super) fn push_update(
    out: &mut Vec<u8>,
    catalog: &Catalog,
    (episode, at, diff): &(Episode, i64, isize),
    supersedes: Option<u128>,
) {
    push_instant(out, br#"{"at":"#, *at);
    out.extend(br#","diff":"#);
    push_number(out, *diff);
    if let Some(id) = supersedes {
        out.extend(br#","supersedes":""#);
        push_id(out, id);
        out.push(b'"');
    }
    out.extend(br#","artifact":"#);
    push_episode(out, catalog, episode);
    out.extend(b"}\n");
}

/// Appends a notification as a CloudEvent.
pub(crate) fn push_notification(out: &mut Vec<u8>, catalog: &Catalog, notification: &Notification) {
    let Notification { at_ns, kind, standing, latest, episode, was, group, .. } = notification;
    out.extend(br#"{"specversion":"1.0","id":""#);
    push_id(out, notification.id(catalog));
    out.extend(br#"","source":"limbeck","type":"dev.limbeck.notification.v1","subject":"#);
    push_text(out, &episode.entity);
    push_instant(out, br#","time":"#, *at_ns);
    out.extend(br#","datacontenttype":"application/json","data":{"kind":""#);
    out.extend(kind.name().as_bytes());
    out.extend(br#"","standing":""#);
    out.extend(standing.name().as_bytes());
    out.extend(if *latest { &br#"","latest":true"#[..] } else { br#"","latest":false"# });
    out.extend(br#","episode":"#);
    push_episode(out, catalog, episode);
    if let Some(members) = group {
        out.extend(br#","group":{"count":"#);
        push_number(out, members.count);
        out.extend(br#","open":"#);
        push_number(out, members.open);
        for (key, entity) in
            [(&br#","first":"#[..], &members.first.entity), (br#","last":"#, &members.last)]
        {
            out.extend(key);
            push_text(out, entity);
        }
        out.push(b'}');
    }
    if let Some(was) = was {
        out.extend(br#","was":{"standing":""#);
        out.extend(was.standing().name().as_bytes());
        out.extend(br#"","episode":"#);
        push_episode(out, catalog, &was.episode);
        out.push(b'}');
    }
    out.extend(b"}}");
}

/// Appends a dead letter, as a line.
pub(super) fn push_dead_letter(out: &mut Vec<u8>, file: &str, letter: &DeadLetter) {
    out.extend(br#"{"file":"#);
    push_text(out, file);
    out.extend(format!(",\"line\":{},\"column\":{}", letter.line, letter.column).as_bytes());
    out.extend(br#","reason":"#);
    push_text(out, &letter.reason);
    out.extend(br#","record":"#);
    push_text(out, &letter.record);
    out.extend(b"}\n");
}
