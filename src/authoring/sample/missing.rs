//! What the rule file asks for and no record of a sample has, with what stands there instead.

use std::collections::BTreeSet;
use std::ops::Range;

use smol_str::SmolStr;

use crate::model::{Id, Sequence};
use crate::rules::{Attribute, Diagnostic, RecordView, Rules, Source, suggestion};
use crate::sources::decode::Decoded;
use crate::sources::intake::View;

/// In so many records names are collected, and so many, to find the one that was meant.
const NAMED_MAX: u64 = 1_000;
const NAMES_MAX: usize = 20;

/// A path that a condition or a value needs to find in a record.
#[derive(Debug)]
pub(super) struct Need {
    pub(super) slot: usize,
    /// Where the condition is written.
    pub(super) span: Range<usize>,
    pub(super) stage: Stage,
    pub(super) asked: u64,
    pub(super) found: bool,
    pub(super) siblings: Siblings,
}

/// What a record must have passed before something is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Nothing,
    /// The signal's `where`.
    Where,
    /// The signal's states.
    States,
    /// The same; a repeat is known by it.
    Dedup,
}

/// What is in records in the place of what is not there.
#[derive(Debug, Default)]
pub(super) struct Siblings(BTreeSet<String>);

impl Siblings {
    /// Looks for other keys beside a path, while it makes sense to.
    pub(super) fn look(&mut self, keys: &[SmolStr], record: &impl RecordView, looked: u64) {
        let Some((_, above)) = keys.split_last() else { return };
        if looked > NAMED_MAX || self.0.len() >= NAMES_MAX {
            return;
        }
        let data = record.data();
        let parent = above.iter().try_fold(&data, |at, key| at.get(key.as_str()));
        let object = parent.and_then(|parent| parent.as_object());
        self.0.extend(object.into_iter().flatten().map(|(key, _)| key.clone()));
    }

    /// What was meant instead.
    pub(super) fn suggestion(&self, keys: &[SmolStr]) -> Option<String> {
        let names: Vec<_> = self.0.iter().map(String::as_str).collect();
        let name = keys.last().filter(|_| !names.is_empty())?;
        Some(suggestion("field", name, &names))
    }
}

impl Need {
    pub(super) fn of(
        rules: &Rules,
        slots: Vec<usize>,
        span: &Range<usize>,
        stage: Stage,
    ) -> Vec<Self> {
        let need = |slot| Self {
            slot,
            span: span.clone(),
            stage,
            asked: 0,
            found: false,
            siblings: Siblings::default(),
        };
        // Labels are no part of a record.
        let of_record =
            |slot: &usize| !matches!(rules.paths.as_slice()[*slot], Attribute::Label(_));
        slots.into_iter().filter(of_record).map(need).collect()
    }

    /// Whether it was asked for, and never found.
    pub(super) fn is_unmet(&self) -> bool {
        self.asked > 0 && !self.found
    }
}

/// An attribute that the mapping of a source names, and records may lack.
#[derive(Debug)]
pub(super) struct Named {
    name: &'static str,
    pub(super) span: Range<usize>,
    /// The paths that make it.
    paths: Vec<Vec<SmolStr>>,
    pub(super) asked: u64,
    pub(super) found: bool,
    /// Which of the paths are there.
    there: Vec<bool>,
    pub(super) siblings: Siblings,
}

impl Named {
    pub(super) fn all(source: &Source) -> Vec<Self> {
        let Some(mapping) = source.format.mapping() else { return Vec::new() };
        let named = mapping.spans.iter().filter_map(|(name, span)| {
            let paths = match *name {
                "subject" => mapping.subject.paths().collect(),
                "sequence" => mapping.sequence.as_ref()?.paths().collect(),
                "id" => mapping.id.as_ref()?.paths().collect(),
                "arrival" => vec![&mapping.arrival.as_ref()?.field],
                _ => return None,
            };
            let paths: Vec<_> = paths.into_iter().map(|path| path.keys().to_vec()).collect();
            let (there, siblings) = (vec![false; paths.len()], Siblings::default());
            let (span, asked, found) = (span.clone(), 0, false);
            (!paths.is_empty()).then_some(Self { name, span, paths, asked, found, there, siblings })
        });
        named.collect()
    }

    pub(super) fn look(&mut self, record: &Decoded<'_>, view: &View<'_, '_>) {
        self.asked += 1;
        self.found |= match self.name {
            "subject" => record.subject.is_some(),
            "sequence" => record.sequence != Sequence::Absent,
            "id" => matches!(record.id, Id::Text(_)),
            _ => record.arrival_ns.is_some(),
        };
        if self.found || self.asked > NAMED_MAX {
            return;
        }
        let data = view.data();
        for (keys, there) in self.paths.iter().zip(&mut self.there) {
            *there |= keys.iter().try_fold(&data, |at, key| at.get(key.as_str())).is_some();
        }
        let missing = self.paths.iter().zip(&self.there).find(|(_, there)| !**there);
        if let Some((keys, _)) = missing {
            self.siblings.look(keys, view, self.asked);
        }
    }

    pub(super) fn warning(&self) -> Option<Diagnostic> {
        if self.found || self.asked == 0 {
            return None;
        }
        let missing = self.paths.iter().zip(&self.there).find(|(_, there)| !**there);
        let (message, help) = match missing {
            Some((keys, _)) => {
                let help = self.siblings.suggestion(keys);
                let help = help.unwrap_or_else(|| "nothing stands there".to_owned());
                (format!("no record of the sample has `{}`", keys.join(".")), help)
            }
            None => {
                let help = "what stands there is empty, or of another kind".to_owned();
                (format!("no record of the sample has a {}", self.name), help)
            }
        };
        let effect = match self.name {
            "subject" => ": all are of no entity",
            "sequence" => ": those of one event time have no order of their own",
            "id" => ": they are told apart by what they say",
            _ => ": all count as having arrived when they happened",
        };
        Some(Diagnostic::new(self.span.clone(), message + effect, help))
    }
}
