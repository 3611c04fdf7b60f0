//! What is told of episodes that two rule files tell otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::matching::{Span, matched};
use crate::model::episode::{Catalog, Episode};
use crate::model::time::format_rfc3339;
use crate::sinks::{AtomicFile, OutputError, Sorter};

/// An episode of A or B, in the order in which they are compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Found {
    entity: SmolStr,
    signal: SmolStr,
    state: SmolStr,
    of_b: bool,
    since_ns: i64,
    until_ns: Option<i64>,
    decided_ns: i64,
    rule: SmolStr,
    expired: bool,
    id: u128,
}

impl Found {
    pub(super) fn new(of_b: bool, catalog: &Catalog, episode: &Episode) -> Self {
        let (signal, rule, state) = catalog.names(episode);
        Self {
            entity: episode.entity.clone(),
            signal: SmolStr::new(signal),
            state: SmolStr::new(state),
            of_b,
            since_ns: episode.since_ns,
            until_ns: episode.until_ns,
            decided_ns: episode.decided_ns,
            rule: SmolStr::new(rule),
            expired: episode.expired,
            id: catalog.id(episode),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let texts = [&self.entity, &self.signal, &self.state, &self.rule];
        texts.iter().filter(|text| text.is_heap_allocated()).map(|text| text.len()).sum()
    }

    fn is_of(&self, other: &Self) -> bool {
        (&self.entity, &self.signal, &self.state) == (&other.entity, &other.signal, &other.state)
    }

    /// Where the log ends at this instant.
    fn span(&self, clock_ns: i64) -> Span {
        let until_ns = self.until_ns.unwrap_or(clock_ns).max(self.since_ns);
        Span { since_ns: self.since_ns, until_ns, rule: self.rule.clone() }
    }
}

/// What a comparison came to, as `summary.json` says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The rule files, A and B.
    pub rules: [String; 2],
    /// How many episodes each has.
    pub episodes: [u64; 2],
    /// All of them, ...
    pub all: Counts,
    /// ... and by signal and state.
    pub by_state: Vec<By>,
    /// Why the log was read twice, if it was.
    pub read_twice: Option<String>,
    /// Whether the whole of every log was read.
    pub complete: bool,
}

impl Compared {
    /// Whether both tell the same.
    pub fn is_same(&self) -> bool {
        let Counts { only_a, only_b, moved, .. } = self.all;
        only_a + only_b + moved == 0
    }
}

/// What the episodes of a signal and state came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct By {
    /// The signal.
    pub signal: String,
    /// The state.
    pub state: String,
    /// How many there are of each kind.
    #[serde(flatten)]
    pub counts: Counts,
}

/// How many episodes there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// The same in both.
    pub same: u64,
    /// Only A has them.
    pub only_a: u64,
    /// Only B has them.
    pub only_b: u64,
    /// Both have them, and B earlier or later: one or more of the next.
    pub moved: u64,
    /// Begin earlier, or later, with B.
    pub since: Moved,
    /// End earlier, or later, or not at all.
    pub until: Moved,
    /// Are decided earlier, or later.
    pub decided: Moved,
}

/// How many are earlier with B than with A, and later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// How many are earlier.
    pub earlier: u64,
    /// How many are later.
    pub later: u64,
}

impl Moved {
    /// Notes when something is with A and with B; an end that is not there is later than any.
    fn note(&mut self, a: Option<i64>, b: Option<i64>) {
        let (a, b) = (a.unwrap_or(i64::MAX), b.unwrap_or(i64::MAX));
        self.earlier += u64::from(b < a);
        self.later += u64::from(b > a);
    }

    fn add(&mut self, other: Self) {
        self.earlier += other.earlier;
        self.later += other.later;
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.same += other.same;
        self.only_a += other.only_a;
        self.only_b += other.only_b;
        self.moved += other.moved;
        self.since.add(other.since);
        self.until.add(other.until);
        self.decided.add(other.decided);
    }

    /// Notes a pair, and whether there is something to tell of it.
    fn note(&mut self, pair: (Option<&Found>, Option<&Found>)) -> bool {
        match pair {
            (Some(a), Some(b)) => {
                let times = |found: &Found| (found.since_ns, found.until_ns, found.decided_ns);
                if times(a) == times(b) {
                    self.same += 1;
                    return false;
                }
                self.moved += 1;
                self.since.note(Some(a.since_ns), Some(b.since_ns));
                self.until.note(a.until_ns, b.until_ns);
                self.decided.note(Some(a.decided_ns), Some(b.decided_ns));
            }
            (Some(_), None) => self.only_a += 1,
            (None, Some(_)) => self.only_b += 1,
            (None, None) => return false,
        }
        true
    }
}

/// A row of `differences.ndjson`.
#[derive(Serialize)]
struct Row<'f> {
    difference: &'static str,
    entity: &'f str,
    signal: &'f str,
    state: &'f str,
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<Told<'f>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b: Option<Told<'f>>,
    /// How much later what differs is with B.
    #[serde(skip_serializing_if = "Option::is_none")]
    later_ns: Option<BTreeMap<&'static str, Option<i64>>>,
}

#[derive(Serialize)]
struct Told<'f> {
    id: String,
    rule: &'f str,
    since: String,
    until: Option<String>,
    decided: String,
    reason: Option<&'static str>,
}

impl<'f> Told<'f> {
    fn new(found: &'f Found) -> Self {
        let ended = found.until_ns.map(|_| if found.expired { "expired" } else { "changed" });
        Self {
            id: format!("{:032x}", found.id),
            rule: &found.rule,
            since: format_rfc3339(found.since_ns),
            until: found.until_ns.map(format_rfc3339),
            decided: format_rfc3339(found.decided_ns),
            reason: ended,
        }
    }
}

impl<'f> Row<'f> {
    fn new(a: Option<&'f Found>, b: Option<&'f Found>) -> Option<Self> {
        let Found { entity, signal, state, .. } = a.or(b)?;
        let difference = match (a, b) {
            (_, None) => "only-a",
            (None, _) => "only-b",
            _ => "moved",
        };
        let later_ns = a.zip(b).map(|(a, b)| {
            let some = |nanos| Some(nanos);
            let times = [
                ("since", some(a.since_ns), some(b.since_ns)),
                ("until", a.until_ns, b.until_ns),
                ("decided", some(a.decided_ns), some(b.decided_ns)),
            ];
            let differ = times.into_iter().filter(|(_, a, b)| a != b);
            let later = |a: i64, b: i64| b.saturating_sub(a);
            differ.map(|(name, a, b)| (name, a.zip(b).map(|(a, b)| later(a, b)))).collect()
        });
        let (a, b) = (a.map(Told::new), b.map(Told::new));
        Some(Self { difference, entity, signal, state, a, b, later_ns })
    }
}

/// Compares what was found until the end of the log, and writes the differences: by entity, signal,
/// state and beginning.
pub(super) fn compare(
    found: Sorter<Found>,
    clock_ns: Option<i64>,
    file: &mut AtomicFile,
) -> Result<Compared, OutputError> {
    let clock_ns = clock_ns.unwrap_or(i64::MIN);
    let mut by_state: BTreeMap<(SmolStr, SmolStr), Counts> = BTreeMap::new();
    let mut compared = Compared::default();
    let mut all = found.finish()?.peekable();
    while let Some(first) = all.next() {
        let (first, _) = first?;
        let key = (first.signal.clone(), first.state.clone());
        let mut group = vec![first];
        let same = |next: &Result<(Found, i64), OutputError>| match next {
            Ok((next, _)) => next.is_of(&group[0]),
            Err(_) => true,
        };
        let mut more = Vec::new();
        while let Some(next) = all.next_if(same) {
            more.push(next?.0);
        }
        group.extend(more);
        let (b, a): (Vec<_>, Vec<_>) = group.into_iter().partition(|found| found.of_b);
        compared.episodes[0] += a.len() as u64;
        compared.episodes[1] += b.len() as u64;
        let counts = by_state.entry(key).or_default();
        for (a, b) in pairs(&a, &b, clock_ns) {
            if let (true, Some(row)) = (counts.note((a, b)), Row::new(a, b)) {
                let mut line = serde_json::to_vec(&row).expect("a Vec takes every write");
                line.push(b'\n');
                file.put(&line)?;
            }
        }
    }
    for ((signal, state), counts) in by_state {
        compared.all.add(&counts);
        compared.by_state.push(By { signal: signal.into(), state: state.into(), counts });
    }
    Ok(compared)
}

type Compare<'f> = (Option<&'f Found>, Option<&'f Found>);

/// What is the same in both, and what only one has, by their beginnings.
fn pairs<'f>(a: &'f [Found], b: &'f [Found], clock_ns: i64) -> Vec<Compare<'f>> {
    let sorted = |all: &'f [Found]| {
        let mut spans: Vec<_> = all.iter().map(|found| (found.span(clock_ns), found)).collect();
        spans.sort();
        spans.into_iter().unzip()
    };
    let (spans_a, a): (Vec<Span>, Vec<&Found>) = sorted(a);
    let (spans_b, b): (Vec<Span>, Vec<&Found>) = sorted(b);
    let same = matched(&spans_a, &spans_b);
    let (mut of_a, mut of_b) = (vec![None; a.len()], vec![false; b.len()]);
    for (one, other) in same {
        of_a[one] = Some(b[other]);
        of_b[other] = true;
    }
    let with_a = a.iter().zip(of_a).map(|(one, other)| (Some(*one), other));
    let only_b = b.iter().zip(of_b).filter(|(_, same)| !same).map(|(one, _)| (None, Some(*one)));
    let mut all: Vec<Compare<'f>> = with_a.chain(only_b).collect();
    all.sort_by_key(|(one, other)| one.or(*other).map(|found| found.since_ns));
    all
}
