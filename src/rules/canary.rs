//! Canaries: rules that see a share of what there is, while the rest is left to the rule before.
//!
//! Which share an entity is of is decided by a fixed hash of the rule's name and the unit (the entity, or
//! one of its labels): it is the same in every replay, on every machine, and of another share it is a
//! part if that is larger.

use limbeck_operators::hash::xxh3_64;
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::Rules;
use crate::model::detail::SharedDetail;

/// The whole, in millionths.
pub(super) const WHOLE: u32 = 1_000_000;

/// A rule that sees a share, and the one that sees the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// How much of the whole, in millionths: between none and all.
    pub share: u32,
    /// What is seen or not as one.
    pub by: Unit,
    /// The number of the rule that sees the rest.
    pub base: usize,
}

/// What belongs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// An entity.
    Entity,
    /// All entities with a value of a label, by its number in the signal.
    Label(usize),
}

impl Unit {
    /// Which one an entity with these labels is of.
    pub fn of<'e>(self, entity: &'e str, detail: &'e SharedDetail) -> &'e str {
        match self {
            Self::Entity => entity,
            Self::Label(label) => detail.as_ref().map_or("", |detail| &detail.labels[label]),
        }
    }
}

impl Canary {
    /// In percent, as a rule file says it.
    pub fn percent(&self) -> String {
        format!("{}%", f64::from(self.share) / 10_000.0)
    }
}

/// What each rule sees.
#[derive(Clone, Debug)]
pub struct Shares {
    /// By rule: the shares, and whether it sees what is within; all must be so.
    of: Vec<Vec<(Share, bool)>>,
}

#[derive(Clone, Debug)]
struct Share {
    name: SmolStr,
    share: u32,
    by: Unit,
}

impl Share {
    fn has(&self, entity: &str, detail: &SharedDetail) -> bool {
        let mut bytes: SmallVec<[u8; 128]> = SmallVec::new();
        bytes.extend_from_slice(&(self.name.len() as u64).to_le_bytes());
        bytes.extend_from_slice(self.name.as_bytes());
        bytes.extend_from_slice(self.by.of(entity, detail).as_bytes());
        let place = (u128::from(xxh3_64(&bytes)) * u128::from(WHOLE)) >> 64;
        place < u128::from(self.share)
    }
}

impl Shares {
    /// Whether a rule sees an entity with these labels.
    pub fn sees(&self, rule: usize, entity: &str, detail: &SharedDetail) -> bool {
        self.of[rule].iter().all(|(share, within)| share.has(entity, detail) == *within)
    }

    /// Whether it may see an entity, whatever the labels: a marker has none of its signal.
    pub fn may_see(&self, rule: usize, entity: &str) -> bool {
        let mut by_entity = self.of[rule].iter().filter(|(share, _)| share.by == Unit::Entity);
        by_entity.all(|(share, within)| share.has(entity, &None) == *within)
    }
}

impl Rules {
    /// What each rule sees; none if each sees all.
    pub fn shares(&self) -> Option<Shares> {
        let mut of = vec![Vec::new(); self.rules.len()];
        for (number, rule) in self.rules.iter().enumerate() {
            if let Some(Canary { share, by, base }) = rule.canary {
                let share = Share { name: rule.name.clone(), share, by };
                of[base].push((share.clone(), false));
                of[number].push((share, true));
            }
        }
        of.iter().any(|shares| !shares.is_empty()).then_some(Shares { of })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::detail::Detail;

    fn share(name: &str, share: u32, by: Unit) -> Share {
        Share { name: name.into(), share, by }
    }

    #[test]
    fn a_share_is_as_large_as_it_says_and_stable() {
        let units: Vec<_> = (0..20_000).map(|unit| format!("host-{unit}")).collect();
        let within = |of: &Share| -> Vec<&String> {
            units.iter().filter(|unit| of.has(unit, &None)).collect()
        };
        let tenth = within(&share("new", WHOLE / 10, Unit::Entity));
        assert!((1_850..2_150).contains(&tenth.len()), "{}", tenth.len());
        // What was seen is seen when more is.
        let half = within(&share("new", WHOLE / 2, Unit::Entity));
        assert!(tenth.iter().all(|unit| half.contains(unit)));
        // Of another rule it is another part.
        let other = within(&share("newer", WHOLE / 10, Unit::Entity));
        let both = tenth.iter().filter(|unit| other.contains(unit)).count();
        assert!((130..280).contains(&both), "{both}");
        // Written down: it must be so in every version.
        assert_eq!(tenth[..3], ["host-4", "host-11", "host-16"]);
    }

    #[test]
    fn entities_of_one_unit_are_seen_together() {
        let by_label = share("new", WHOLE / 2, Unit::Label(1));
        let detail = |zone: &str| {
            let labels = ["x".into(), zone.into()].into();
            Some(Arc::new(Detail { labels, ..Detail::default() }))
        };
        let seen = |zone: &str| by_label.has("a", &detail(zone));
        let zones: Vec<_> = (0..100).map(|zone| format!("zone-{zone}")).collect();
        let count = zones.iter().filter(|zone| seen(zone)).count();
        assert!((30..70).contains(&count), "{count}");
        for zone in &zones {
            assert_eq!(by_label.has("b", &detail(zone)), seen(zone));
        }
    }
}
