//! A quorum: at every instant, the votes that count are looked for anew.

use std::cmp::Reverse;

use super::S;
use super::hold::{Ballot, Observation};
use super::logs::Random;
use super::stages::{Passed, made_of, observed, replace};

/// How much of the votes makes a quorum, by weights in hundredths.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asks {
    AtLeast(u64),
    /// In percent.
    Share(u64),
}

/// Witnesses are the sources.
#[derive(Clone, Debug)]
pub(crate) struct Quorum {
    pub(crate) asks: Asks,
    pub(crate) within_ns: i64,
    /// In hundredths; if there are any, others have no vote.
    pub(crate) weights: Vec<(String, u64)>,
}

impl Quorum {
    pub(crate) fn random(random: &mut Random, absent_after_ns: Option<i64>) -> Self {
        let weights = match random.chance(50) {
            true => Vec::new(),
            false => vec![
                ("/probe/a".to_owned(), *random.pick(&[100, 150])),
                ("/probe/b".to_owned(), *random.pick(&[100, 50, 200])),
            ],
        };
        let asks = match random.chance(50) {
            // No more than all weigh.
            true => Asks::AtLeast(100 * *random.pick(&[1, if weights.is_empty() { 2 } else { 1 }])),
            false => Asks::Share(*random.pick(&[30, 50, 60, 100])),
        };
        let within_ns = *random.pick(&[S, 3 * S, 10 * S]);
        let within_ns = within_ns.min(absent_after_ns.unwrap_or(within_ns));
        Self { asks, within_ns, weights }
    }

    pub(crate) fn yaml(&self, duration: impl Fn(i64) -> String) -> String {
        let hundredths = |of: u64| format!("{}.{:02}", of / 100, of % 100);
        let asks = match self.asks {
            Asks::AtLeast(least) => format!("at_least: {}", least / 100),
            Asks::Share(share) => format!("share: {}", hundredths(share)),
        };
        let weights = self.weights.iter();
        let weights: Vec<_> =
            weights.map(|(name, of)| format!("{name:?}: {}", hundredths(*of))).collect();
        let weights = match weights.is_empty() {
            true => String::new(),
            false => format!(", weights: {{ {} }}", weights.join(", ")),
        };
        let within = duration(self.within_ns);
        format!("    quorum: {{ of: by, {asks}, within: {within}{weights} }}\n")
    }

    fn weight(&self, witness: &str) -> u64 {
        let named = self.weights.iter().find(|(name, _)| name == witness);
        match self.weights.is_empty() {
            true => 100 * u64::from(!witness.is_empty()),
            false => named.map_or(0, |(_, weight)| *weight),
        }
    }

    /// The latest of each witness that counts at an instant, the oldest first. There are never as many
    /// witnesses as may vote.
    fn votes(&self, came: &[Observation], at: i128) -> Vec<Ballot> {
        let mut votes: Vec<Ballot> = Vec::new();
        for vote in came.iter().rev().take_while(|vote| !vote.made) {
            let is_first = votes.iter().all(|(who, ..)| *who != vote.source);
            if self.weight(&vote.source) > 0 && is_first {
                votes.push((vote.source.clone(), vote.state, vote.time));
            }
        }
        votes.retain(|(.., time)| time + i128::from(self.within_ns) > at);
        votes.reverse();
        votes
    }

    /// The state that counts, if the votes say which.
    fn counts(&self, faults: &[usize], votes: &[Ballot]) -> Option<usize> {
        let weight = |state: usize| -> u64 {
            let of = votes.iter().filter(|vote| vote.1 == state);
            of.map(|(who, ..)| self.weight(who)).sum()
        };
        let all: u64 = votes.iter().map(|(who, ..)| self.weight(who)).sum();
        let is_met = |state: &usize| match self.asks {
            Asks::AtLeast(least) => weight(*state) >= least,
            Asks::Share(share) => weight(*state) * 100 >= share * all,
        };
        let said = || votes.iter().map(|vote| vote.1);
        let heaviest = |state: &usize| (weight(*state), Reverse(*state));
        let agreed = said().filter(|state| faults.contains(state)).filter(is_met);
        let agreed = agreed.max_by_key(heaviest);
        let others = said().filter(|state| !faults.contains(state));
        agreed.or_else(|| others.max_by_key(heaviest))
    }

    /// What observations count as.
    pub(crate) fn count(
        &self,
        faults: &[usize],
        passed: &mut Passed,
        expire_after: i64,
        clock: i128,
    ) {
        let all = passed.observations.clone();
        let (mut made, mut withheld) = (Vec::new(), Vec::new());
        let lives = observed(&all, expire_after);
        for (number, (life, last)) in lives.iter().enumerate() {
            let from = life[0].0;
            let next = lives.get(number + 1).map_or(all.len(), |(life, _)| life[0].0);
            let expires = last + i128::from(expire_after);
            let until = from + all[from..next].partition_point(|one| one.time < expires);
            let mut holds = None;
            for place in from..=until {
                let came = &all[from..place];
                let end = match place == until {
                    true => clock.min(expires),
                    false => all[place].time,
                };
                let last = came.last().map_or(i128::MIN, |last| last.time);
                for (.., time) in self.votes(came, last) {
                    let at = time + i128::from(self.within_ns);
                    let votes = self.votes(came, at);
                    let counts = self.counts(faults, &votes).filter(|_| at <= end);
                    if let Some(state) = counts.filter(|state| Some(*state) != holds) {
                        let (who, ..) = votes.iter().rfind(|vote| vote.1 == state).expect("a vote");
                        let vote = came.iter().rfind(|vote| vote.source == *who).expect("it voted");
                        let minority = against(votes.clone(), state);
                        made.push(Observation { minority, ..made_of(vote, at, state) });
                        holds = Some(state);
                    }
                }
                if place == until {
                    break;
                }
                if all[place].made {
                    holds = holds.map(|_| all[place].state);
                    continue;
                }
                let votes = self.votes(&all[from..=place], end);
                holds = self.counts(faults, &votes).or(holds);
                let observation = &mut passed.observations[place];
                match holds {
                    _ if observation.urgent => {}
                    Some(state) => {
                        (observation.state, observation.minority) = (state, against(votes, state));
                    }
                    None => withheld.push(place),
                }
            }
        }
        passed.outvoted = withheld.len();
        replace(&mut passed.observations, &withheld, made);
    }
}

fn against(votes: Vec<Ballot>, state: usize) -> Vec<Ballot> {
    votes.into_iter().filter(|vote| vote.1 != state).collect()
}
