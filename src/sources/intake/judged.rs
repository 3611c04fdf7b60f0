//! What rules observe in records is judged once for those that say the same to all conditions.
//!
//! Guarantee: what is remembered is what judging would give. Only what was judged by its slots
//! alone is remembered, and only for records whose slots are all equal. State: the verdicts on the
//! codes of a group of rows; of lines, on so many records of late.

use crate::model::Scalar;
use crate::model::sighting::Matches;
use crate::rules::RecordView;
use crate::sources::decode::Lines;

/// What rules observe in a record, and how many conditions could not be judged.
pub(super) type Matched = (Option<Matches>, u32);

/// Verdicts by the codes of rows.
pub(super) struct ByCode(Vec<Option<Matched>>);

impl ByCode {
    pub(super) fn new(codes: usize) -> Self {
        Self(vec![None; codes])
    }

    /// What rules observe in a row: as in another of its code, or else as it is judged, which says
    /// also whether it is the same for all of that code.
    #[inline]
    pub(super) fn matches(
        &mut self,
        code: Option<usize>,
        judge: impl FnOnce() -> (Matched, bool),
    ) -> Matched {
        let known = code.map(|code| &mut self.0[code]);
        if let Some(Some(known)) = &known {
            return known.clone();
        }
        let (matched, is_general) = judge();
        if let Some(known) = known.filter(|_| is_general) {
            *known = Some(matched.clone());
        }
        matched
    }
}

/// So many verdicts are remembered, each where the hash of its slots says.
const PLACES: usize = 256;
/// Longer texts hardly come again.
const TEXT_BYTES_MAX: usize = 64;
/// So many records more than were known may be unknown before no more are looked up, for a while.
const CREDIT_MAX: u32 = 256;
const PAUSE_RECORDS: u32 = 1 << 14;

/// Verdicts by what stands in the slots of a line.
#[derive(Debug, Default)]
pub(super) struct BySlots {
    places: Vec<Option<Known>>,
    /// How many unknown records were not made up for by known ones.
    spent: u32,
    /// For how many records more nothing is looked up.
    pause: u32,
}

#[derive(Debug)]
struct Known {
    slots: Box<[Scalar<'static>]>,
    matched: Matched,
}

impl BySlots {
    /// What rules observe in a line with so many slots: as in one that says the same, or else as it
    /// is judged.
    #[inline]
    pub(super) fn matches(
        &mut self,
        slots: usize,
        line: &Lines<'_>,
        judge: impl FnOnce() -> Matched,
    ) -> Matched {
        if self.pause > 0 {
            self.pause -= 1;
            return judge();
        }
        let Some(place) = place(slots, line) else { return judge() };
        if let Some(Some(known)) = self.places.get(place)
            && known.slots.iter().enumerate().all(|(slot, known)| known == line.slot(slot))
        {
            self.spent = self.spent.saturating_sub(1);
            return known.matched.clone();
        }
        self.learn(place, slots, line, judge)
    }

    #[cold]
    fn learn(
        &mut self,
        place: usize,
        slots: usize,
        line: &Lines<'_>,
        judge: impl FnOnce() -> Matched,
    ) -> Matched {
        self.spent += 1;
        if self.spent == CREDIT_MAX {
            (self.spent, self.pause) = (CREDIT_MAX / 2, PAUSE_RECORDS);
        }
        line.watch();
        let matched = judge();
        if line.was_judged_by_slots() {
            self.places.resize_with(PLACES, || None);
            let slots = (0..slots).map(|slot| line.slot(slot).to_owned()).collect();
            self.places[place] = Some(Known { slots, matched: matched.clone() });
        }
        matched
    }
}

/// Where the verdict on a line is; nowhere if one of its slots tells every record apart, or has too
/// much in it.
#[inline]
fn place(slots: usize, line: &Lines<'_>) -> Option<usize> {
    let mut hash = 0;
    for slot in 0..slots {
        let (kind, word) = match line.slot(slot) {
            Scalar::Missing => (1, 0),
            Scalar::Null => (2, 0),
            Scalar::Bool(value) => (3, u64::from(*value)),
            Scalar::Int(value) => (4, value.cast_unsigned()),
            Scalar::UInt(value) => (5, *value),
            Scalar::Str(text) if text.len() <= TEXT_BYTES_MAX => (6, ends(text.as_bytes())),
            Scalar::Str(_) | Scalar::Float(_) | Scalar::Composite => return None,
        };
        hash = mix(mix(hash, kind), word);
    }
    Some((hash >> 32) as usize % PLACES)
}

/// A word that few texts share: of their ends and their length.
#[inline]
fn ends(text: &[u8]) -> u64 {
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let ends = match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => word(first) ^ word(last).rotate_left(23),
        _ => text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    mix(ends, text.len() as u64)
}

#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
