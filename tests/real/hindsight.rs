//! What lasted, as is known afterwards from the records alone, and what the rules said of it.

use std::fmt::Write;

use limbeck::model::duration::format_duration;
use limbeck::model::time::format_rfc3339;

use super::Replayed;
use super::oracle::{Episode, Observation};

/// So many of the longest episodes are shown.
const SHOWN: usize = 5;

/// A longest stretch of records of one state, until the first that contradicts it.
struct Stretch<'h> {
    entity: &'h str,
    since: i128,
    until: Option<i128>,
}

impl Stretch<'_> {
    fn length(&self, end: i64) -> i128 {
        self.until.unwrap_or(end.into()) - self.since
    }

    fn meets(&self, episode: &Episode) -> bool {
        let later = |end: Option<i128>, start: i128| end.is_none_or(|end| start < end);
        episode.entity == self.entity
            && later(self.until, episode.since.into())
            && later(episode.until.map(i128::from), self.since)
    }
}

impl Replayed {
    /// How often a state came and lasted, and by rule how many episodes of it there are, how many
    /// of them did not last (*false*), and how much lasted that no episode is of (*missed*).
    pub(super) fn hindsight(&self, signal: &str, state: &str, lasting_ns: i64) -> String {
        let Self { spec, end, .. } = self;
        let number = spec.signals.iter().position(|known| known.name == signal).expect(signal);
        let states = &spec.signals[number].states;
        let index = states.iter().position(|known| known == state).expect(state);
        // Every rule on a signal has the same history.
        let rule = spec.rules.iter().position(|rule| rule.signal == number).expect("a rule");
        let histories = self.histories.iter().filter(|((of, _), _)| *of == rule);
        let stretches: Vec<_> = histories
            .flat_map(|((_, entity), history)| stretches(entity, history, index))
            .filter(|stretch| stretch.until != Some(stretch.since))
            .collect();
        let mut over: Vec<_> =
            stretches.iter().filter_map(|one| Some(one.until? - one.since)).collect();
        over.sort_unstable();
        let lasting = |one: &&Stretch<'_>| one.length(*end) >= lasting_ns.into();
        let lasting: Vec<_> = stretches.iter().filter(lasting).collect();

        let mut text = String::new();
        let mut line = |line: String| writeln!(text, "{line}").expect("a String takes all");
        let (all, lasted) = (stretches.len(), lasting.len());
        let least = format_duration(lasting_ns);
        line(format!("\n{signal} {state}: {all} times, of which {lasted} lasted {least} or more"));
        if let Some(median) = over.get(over.len() / 2) {
            let median = format_duration(*median as i64);
            line(format!("  {} are over, half of them within {median}", over.len()));
        }
        line("  rule              episodes   false  missed".to_owned());
        for rule in spec.rules.iter().filter(|rule| rule.signal == number) {
            let of_rule = |episode: &&Episode| episode.rule == rule.name && episode.state == state;
            let said: Vec<_> = self.episodes.iter().filter(of_rule).collect();
            let wrong = said.iter().filter(|said| !lasting.iter().any(|one| one.meets(said)));
            let missed = lasting.iter().filter(|one| !said.iter().any(|said| one.meets(said)));
            let (wrong, missed) = (wrong.count(), missed.count());
            line(format!("  {:16} {:>9} {wrong:>7} {missed:>7}", rule.name, said.len()));
        }
        text
    }

    /// The longest episodes that a rule says of a state.
    pub(super) fn longest(&self, rule: &str, state: &str) -> String {
        let of_rule = |episode: &&Episode| episode.rule == rule && episode.state == state;
        let mut episodes: Vec<_> = self.episodes.iter().filter(of_rule).collect();
        let length = |episode: &Episode| episode.until.unwrap_or(self.end) - episode.since;
        episodes.sort_by_key(|episode| (std::cmp::Reverse(length(episode)), episode.since));
        let show = |episode: &&Episode| {
            let until = episode.until.map_or("the end".to_owned(), format_rfc3339);
            format!("  {} until {until}: {}\n", format_rfc3339(episode.since), episode.entity)
        };
        let shown: String = episodes.iter().take(SHOWN).map(show).collect();
        format!("\nthe longest of {rule}, {state}:\n{shown}")
    }
}

fn stretches<'h>(
    entity: &'h str,
    history: &'h [Observation],
    state: usize,
) -> impl Iterator<Item = Stretch<'h>> {
    let mut at = 0;
    history.chunk_by(|a, b| a.state == b.state).filter_map(move |same| {
        at += same.len();
        let until = history.get(at).map(|next| next.time);
        (same[0].state == state).then_some(Stretch { entity, since: same[0].time, until })
    })
}
