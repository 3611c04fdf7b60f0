//! A quorum by its definition: at each instant, the votes that count are looked for anew.

use limbeck_operators::machines::quorum::{Asks, Counted, Quorum, WHOLE};
use proptest::prelude::*;

use super::{Item, Noted, Reading, observed, without};

/// Who says what, and when.
pub(crate) type Ballot = (u8, u8, i64);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Voting {
    pub(crate) quorum: Quorum,
    /// Of each witness; 0 of one without a vote.
    pub(crate) weights: [u64; 3],
    /// By state.
    pub(crate) faults: [bool; 3],
}

/// The state that an observation counts as, with something of the votes against it.
pub(crate) fn counted(by: &Noted, state: u8, minority: &[Ballot]) -> Noted {
    let against = minority.iter().map(|(witness, state, time)| {
        10 * (1 + i64::from(*witness)) + i64::from(*state) + 3 * time
    });
    let latest = if minority.is_empty() { by.latest } else { against.sum::<i64>() as u8 };
    Noted { state, latest, ..*by }
}

impl Voting {
    /// The votes that count at an instant, of what came until then, the oldest first.
    fn votes(&self, came: &[Item], at: i64) -> Vec<Ballot> {
        let since_made = came.iter().rposition(|item| item.by.is_none()).map_or(0, |made| made + 1);
        let mut votes: Vec<Ballot> = Vec::new();
        for item in came[since_made..].iter().rev() {
            let witness = item.state.note;
            let has_vote = self.weights[usize::from(witness)] > 0;
            if has_vote && votes.iter().all(|vote| vote.0 != witness) {
                votes.push((witness, item.state.state, item.time));
            }
        }
        votes.truncate(self.quorum.most);
        votes.retain(|vote| vote.2 + self.quorum.within > at);
        votes.reverse();
        votes
    }

    fn weight(&self, votes: &[Ballot], state: u8) -> u64 {
        let of = votes.iter().filter(|vote| vote.1 == state);
        of.map(|vote| self.weights[usize::from(vote.0)]).sum()
    }

    /// Of some states the first of those that weigh most.
    fn heaviest(&self, votes: &[Ballot], is_so: impl Fn(u8) -> bool) -> Option<u8> {
        let said = (0..3).filter(|state| is_so(*state) && self.weight(votes, *state) > 0);
        said.rev().max_by_key(|state| self.weight(votes, *state))
    }

    fn all(&self, votes: &[Ballot]) -> u64 {
        (0..3).map(|state| self.weight(votes, state)).sum()
    }

    fn agreed(&self, votes: &[Ballot]) -> Option<u8> {
        self.heaviest(votes, |state| {
            let weight = self.weight(votes, state);
            let is_met = match self.quorum.asks {
                Asks::AtLeast(least) => weight >= least,
                Asks::Share(share) => {
                    weight * u64::from(WHOLE) >= u64::from(share) * self.all(votes)
                }
            };
            self.faults[usize::from(state)] && is_met
        })
    }

    fn counts(&self, votes: &[Ballot]) -> Option<u8> {
        let agreed = self.agreed(votes);
        agreed.or_else(|| self.heaviest(votes, |state| !self.faults[usize::from(state)]))
    }

    /// What passes, and what is said of each observation that is not urgent.
    pub(crate) fn pass(
        &self,
        items: &[Item],
        expire_after: i64,
        clock: i64,
    ) -> (Vec<Item>, Vec<Counted<Reading, Ballot>>) {
        let mut passed = items.to_vec();
        let (mut said, mut withheld, mut made) = (Vec::new(), Vec::new(), Vec::new());
        let lives = observed(items, expire_after);
        for (number, (life, last)) in lives.iter().enumerate() {
            let from = life[0].0;
            let until = lives.get(number + 1).map_or(items.len(), |(next, _)| next[0].0);
            let expires = last + expire_after;
            let entries = items[from..until].iter().take_while(|item| item.time < expires);
            let entries: Vec<Item> = entries.cloned().collect();
            let mut holds: Option<u8> = None;
            for index in 0..=entries.len() {
                let (came, next) = (&entries[..index], entries.get(index));
                // Votes that are over before the next comes.
                let end = next.map_or(clock.min(expires), |next| next.time);
                let last = came.last().map_or(i64::MIN, |last| last.time);
                let mut ends: Vec<i64> =
                    self.votes(came, last).iter().map(|vote| vote.2 + self.quorum.within).collect();
                ends.dedup();
                for at in ends.into_iter().filter(|at| *at <= end) {
                    let votes = self.votes(came, at);
                    let counts = self.counts(&votes).filter(|counts| Some(*counts) != holds);
                    let Some(counts) = counts else { continue };
                    holds = Some(counts);
                    let latest = votes.iter().rfind(|vote| vote.1 == counts).expect("a vote");
                    let by =
                        came.iter().rfind(|item| item.state.note == latest.0).expect("it voted");
                    let minority = against(&votes, counts);
                    made.push(Item::made(at, counted(&by.state, counts, &minority)));
                }
                let Some(next) = next else { continue };
                let Some(event) = &next.by else {
                    holds = holds.map(|_| next.state.state);
                    continue;
                };
                let votes = self.votes(&entries[..=index], next.time);
                let agreed = self.agreed(&votes);
                let own = Some(next.state.state)
                    .filter(|own| self.faults[usize::from(*own)] && self.weight(&votes, *own) > 0);
                let any = self.heaviest(&votes, |state| self.faults[usize::from(state)]);
                let fault = agreed.or(own).or(any);
                holds = self.counts(&votes).or(holds);
                let minority = holds.map_or_else(Vec::new, |holds| against(&votes, holds));
                if next.urgent {
                    continue;
                }
                match holds {
                    Some(holds) => {
                        passed[from + index].state = counted(&next.state, holds, &minority);
                    }
                    None => withheld.push(from + index),
                }
                said.push(Counted {
                    event: event.clone(),
                    passed: holds.is_some(),
                    fault: fault.map(|fault| {
                        *votes.iter().rfind(|vote| vote.1 == fault).expect("it has votes")
                    }),
                    weight: fault.map_or(0, |fault| self.weight(&votes, fault)),
                    agreed: agreed.is_some(),
                    all: self.all(&votes),
                    minority,
                });
            }
        }
        (without(&passed, &withheld, made), said)
    }
}

fn against(votes: &[Ballot], state: u8) -> Vec<Ballot> {
    votes.iter().filter(|vote| vote.1 != state).copied().collect()
}

pub(crate) fn votings() -> impl Strategy<Value = Voting> {
    let asks = prop_oneof![
        (1u64..5).prop_map(Asks::AtLeast),
        prop_oneof![Just(WHOLE), Just(WHOLE / 2), 1..=WHOLE].prop_map(Asks::Share)
    ];
    let weights = prop_oneof![Just([1, 1, 1]), [0u64..3, 0u64..3, 0u64..3]];
    let faults = prop_oneof![Just([false, true, false]), any::<[bool; 3]>()];
    (asks, 1i64..20, 1usize..4, weights, faults).prop_map(
        |(asks, within, most, weights, faults)| {
            let quorum = Quorum { asks, within, most };
            Voting { quorum, weights, faults }
        },
    )
}
