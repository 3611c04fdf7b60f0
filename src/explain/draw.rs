//! An explanation as a person reads it: lanes on one axis of time, and sentences.

use std::collections::BTreeSet;
use std::fmt::Write;

use limbeck_operators::machines::flap_detection::Weights;
use limbeck_operators::machines::quorum::{Asks, WHOLE};
use limbeck_operators::machines::smoothing::{Readings, Smoothing};
use limbeck_operators::machines::threshold::{Bound, Level};

use super::{Announced, Explained, Explanation, Observed, Reason, Run};
use crate::model::detail::Ballot;
use crate::model::duration::{format_duration, format_offset};
use crate::model::lane::RunOutcome;
use crate::model::ledger::{Counted, Staged};
use crate::model::printable::printable;
use crate::model::time::format_rfc3339;
use crate::rules::{ABOVE, BELOW, FLAPPING, NORMAL, SESSION, UNKNOWN, weight_of};

/// So many columns are drawn.
const COLUMNS: usize = 72;
/// So many of the last runs are put in words.
const RUNS_MAX: usize = 20;

/// The lanes of every rule, and what became of its last runs.
pub fn draw(explanation: &Explanation) -> String {
    let mut text = String::new();
    let known = explanation.known_at.map_or_else(|| "ever".to_owned(), format_rfc3339);
    line(&mut text, format_args!("{}, as known at {known}", printable(&explanation.entity)));
    if !explanation.amending.is_empty() {
        let (count, lateness) = (explanation.amending.len(), explanation.lateness_ns);
        let by = explanation.amending.iter().flat_map(|late| &late.rules);
        let by: BTreeSet<&str> = by.map(String::as_str).collect();
        let by: Vec<_> = by.into_iter().collect();
        let (lateness, by) = (format_duration(lateness), by.join(", "));
        line(
            &mut text,
            format_args!("{count} of its records later than {lateness}, and used to amend: {by}"),
        );
    }
    for reason in [Reason::Late, Reason::Duplicate, Reason::Unobserved] {
        let count = explanation.not_used.iter().filter(|record| record.reason == reason).count();
        let what = match reason {
            Reason::Late => format!("later than {}", format_duration(explanation.lateness_ns)),
            Reason::Duplicate => "there before".to_owned(),
            Reason::Unobserved => "the `where` of no rule holds".to_owned(),
        };
        if count > 0 {
            line(&mut text, format_args!("{count} of its records not used: {what}"));
        }
    }
    for rule in &explanation.rules {
        text.push('\n');
        draw_rule(&mut text, rule, explanation);
    }
    if !explanation.told.is_empty() {
        text.push('\n');
    }
    for tidings in &explanation.told {
        line(&mut text, format_args!("{}", tidings.sentence()));
    }
    if !explanation.damaged.is_empty() {
        text.push_str("\nincomplete: a log could not be read to its end\n");
    }
    text
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    writeln!(text, "{arguments}").expect("a String takes every write");
}

fn draw_rule(text: &mut String, rule: &Explained, explanation: &Explanation) {
    let known_at = explanation.known_at;
    let holds: Vec<String> =
        rule.hold_ns.iter().map(|(state, hold)| format!("{state} {}", held(*hold))).collect();
    line(text, format_args!("rule {} on {}; hold: {}", rule.rule, rule.signal, holds.join(", ")));
    lanes(text, rule, known_at, &format_rfc3339);
    let added = || rule.observations().filter_map(|seen| Some(seen.time - seen.raw_time?));
    if let (Some(least), Some(most)) = (added().min(), added().max()) {
        let (least, most) = (format_offset(least), format_offset(most));
        line(text, format_args!("  corrected: {least} to {most} was added to what was said"));
    }
    let left_out = rule.runs.len().saturating_sub(RUNS_MAX);
    if left_out > 0 {
        line(text, format_args!("  {left_out} earlier runs: --json has all"));
    }
    for run in &rule.runs[left_out..] {
        line(text, format_args!("  {}", run_in_words(rule, run, known_at)));
    }
    if !rule.repeated.is_empty() {
        line(
            text,
            format_args!("  {} repeating others: not looked at", observations(rule.repeated.len())),
        );
    }
    for (is_one, what) in [
        (is_unrated as fn(&Staged) -> bool, "without a rate"),
        (is_outvoted, "without a quorum"),
        (is_damped, "by flap_damping"),
        (|what| matches!(what, Staged::Spared { .. }), "in the grace of the entity"),
    ] {
        let of = rule.withheld.iter().filter(|withheld| withheld.record.noted.iter().any(is_one));
        let count = of.count();
        if count > 0 {
            line(text, format_args!("  {} withheld {what}", observations(count)));
        }
    }
    if !rule.markers.is_empty() {
        let (count, plural) = (rule.markers.len(), if rule.markers.len() == 1 { "" } else { "s" });
        line(text, format_args!("  {count} marker{plural}, after which faults wait"));
    }
    for fault in &rule.faults[rule.faults.len().saturating_sub(RUNS_MAX)..] {
        let words = fault.in_words(rule.announce.as_ref(), explanation.lateness_ns);
        line(text, format_args!("  {words}"));
    }
    if !rule.waiting.is_empty() {
        let waiting = observations(rule.waiting.len());
        line(text, format_args!("  {waiting} from later than now: not looked at yet"));
    }
}

/// What a rule observed and made of it, lane by lane on one axis, on which instants are written so.
pub(crate) fn lanes(
    text: &mut String,
    rule: &Explained,
    known_at: Option<i64>,
    instant: &dyn Fn(i64) -> String,
) {
    let Some(axis) = Axis::new(rule, known_at) else { return };
    let glyphs = Glyphs::new(rule);
    line(text, format_args!("  observed  {}", axis.observed(rule, &glyphs).trim_end()));
    if let Some(raw) = axis.raw(rule, &glyphs) {
        line(text, format_args!("  as said   {}", raw.trim_end()));
    }
    line(text, format_args!("  runs      {}", axis.runs(rule).trim_end()));
    line(text, format_args!("  episodes  {}", axis.episodes(rule, &glyphs).trim_end()));
    let (start, end) = (instant(axis.start), instant(axis.end));
    let gap = COLUMNS.saturating_sub(start.len() + end.len());
    line(text, format_args!("            {start}{}{end}", " ".repeat(gap)));
    line(text, format_args!("  {}; ━ lasted, ╌ held down, ┄ pending", glyphs.legend()));
}

/// From the first observation to the last of all.
struct Axis {
    start: i64,
    end: i64,
}

impl Axis {
    fn new(rule: &Explained, known_at: Option<i64>) -> Option<Self> {
        let start = rule.runs.first()?.since;
        let last = rule.runs.iter().flat_map(|run| &run.observations).map(|seen| seen.time).max();
        let end = known_at.into_iter().chain(last).max()?;
        (end > start).then_some(Self { start, end })
    }

    fn column(&self, time: i64) -> usize {
        let (passed, all) = (
            i128::from(time) - i128::from(self.start),
            i128::from(self.end) - i128::from(self.start),
        );
        let column = passed.clamp(0, all) * (COLUMNS as i128 - 1) / all;
        column as usize
    }

    fn columns(&self, since: i64, until: Option<i64>) -> std::ops::RangeInclusive<usize> {
        let first = self.column(since);
        let end = self.column(until.unwrap_or(self.end));
        // What follows begins in its own column.
        let last = if until.is_some() { end.saturating_sub(1) } else { end };
        first..=last.max(first)
    }

    fn observed(&self, rule: &Explained, glyphs: &Glyphs) -> String {
        self.at(rule, glyphs, |seen| seen.time)
    }

    /// The same by the times that their sources said, if any was corrected; those outside are at
    /// the ends.
    fn raw(&self, rule: &Explained, glyphs: &Glyphs) -> Option<String> {
        let corrected = rule.observations().any(|seen| seen.raw_time.is_some());
        corrected.then(|| self.at(rule, glyphs, |seen| seen.raw_time.unwrap_or(seen.time)))
    }

    fn at(&self, rule: &Explained, glyphs: &Glyphs, time: impl Fn(&Observed) -> i64) -> String {
        let mut lane = vec![' '; COLUMNS];
        for run in &rule.runs {
            for seen in &run.observations {
                let column = &mut lane[self.column(time(seen))];
                let glyph = glyphs.of(&run.state);
                *column = if *column == ' ' || *column == glyph { glyph } else { '*' };
            }
        }
        lane.into_iter().collect()
    }

    fn runs(&self, rule: &Explained) -> String {
        let mut lane = vec![' '; COLUMNS];
        for run in &rule.runs {
            let glyph = match run.outcome {
                RunOutcome::Established => '━',
                RunOutcome::HeldDown | RunOutcome::KeptDown | RunOutcome::Expired => '╌',
                RunOutcome::Pending => '┄',
            };
            lane[self.columns(run.since, run.until)].fill(glyph);
        }
        lane.into_iter().collect()
    }

    fn episodes(&self, rule: &Explained, glyphs: &Glyphs) -> String {
        let mut lane = vec![' '; COLUMNS];
        for episode in &rule.episodes {
            lane[self.columns(episode.since, episode.until)].fill(glyphs.of(&episode.state));
        }
        lane.into_iter().collect()
    }
}

/// A character for each state: its first letter, or a number where letters repeat.
struct Glyphs(Vec<(String, char)>);

impl Glyphs {
    fn new(rule: &Explained) -> Self {
        let states: Vec<&String> = rule.hold_ns.keys().collect();
        let initial = |state: &str| state.chars().next().unwrap_or('?');
        let mut initials: Vec<char> = states.iter().map(|state| initial(state)).collect();
        initials.sort_unstable();
        initials.dedup();
        let unique = initials.len() == states.len();
        let glyph = |(number, state): (usize, &&String)| {
            let digit = char::from_digit(number as u32 % 36, 36).unwrap_or('?');
            ((*state).clone(), if unique { initial(state) } else { digit })
        };
        Self(states.iter().enumerate().map(glyph).collect())
    }

    fn of(&self, state: &str) -> char {
        self.0.iter().find(|(known, _)| known == state).map_or('?', |(_, glyph)| *glyph)
    }

    fn legend(&self) -> String {
        let legend = self.0.iter().map(|(state, glyph)| format!("{glyph} {state}"));
        legend.collect::<Vec<_>>().join(", ") + ", * several"
    }
}

fn observations(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} observation{plural}")
}

fn held(nanos: i64) -> String {
    if nanos == 0 { "none".to_owned() } else { format_duration(nanos) }
}

/// Time of day, or the whole instant where the day is another than that of `near`.
fn clock(nanos: i64, near: i64) -> String {
    let (instant, near) = (format_rfc3339(nanos), format_rfc3339(near));
    let same_day = instant.split('T').next() == near.split('T').next();
    if same_day { instant[11..].to_owned() } else { instant }
}

/// What became of a run, and what would have changed that.
pub(super) fn run_in_words(rule: &Explained, run: &Run, known_at: Option<i64>) -> String {
    outcome_in_words(rule, run, known_at) + &absence_in_words(rule, run, known_at)
}

/// Of a run that nobody observed, since when that was, and what would have changed it.
fn absence_in_words(rule: &Explained, run: &Run, known_at: Option<i64>) -> String {
    let after = rule.stages.absent_after_ns.filter(|_| run.state == UNKNOWN);
    let (Some(after), true) = (after, run.observations.is_empty()) else { return String::new() };
    let last = run.since - after;
    let until = run.until.filter(|until| *until > run.since).or(known_at);
    let otherwise = until.map_or_else(String::new, |until| {
        format!(". Would not be absent with after >= {}", format_duration(until - last))
    });
    let (after, last) = (format_duration(after), clock(last, run.since));
    format!("; last observed at {last}, after is {after}{otherwise}")
}

fn outcome_in_words(rule: &Explained, run: &Run, known_at: Option<i64>) -> String {
    let since = format_rfc3339(run.since);
    let (state, hold) = (&run.state, held(run.hold_ns));
    let count = observations(run.observations.len());
    match (run.outcome, run.until) {
        (RunOutcome::HeldDown, Some(until)) if until == run.since => {
            format!(
                "{since} {state} for no time at all: contradicted at the same instant ({count})"
            )
        }
        (RunOutcome::HeldDown, Some(until)) => {
            let lasted = format_duration(until - run.since);
            let keep = keep_below(rule, run, until)
                .map_or_else(String::new, |most| format!(" and keep < {}", format_duration(most)));
            format!(
                "{since} {state} for {lasted}; hold is {hold}; over at {} ({count}). \
                 Would have counted with hold <= {lasted}{keep}",
                clock(until, run.since)
            )
        }
        (RunOutcome::Expired, Some(until))
            if (until - run.since).saturating_add(rule.expire_after_ns) >= run.hold_ns =>
        {
            let lasted = format_duration(until - run.since);
            let silence = format_duration(rule.expire_after_ns);
            format!(
                "{since} {state} for {lasted} when observations ceased; hold is {hold}, but the \
                 state before was kept; expired after {silence} of silence ({count})"
            )
        }
        (RunOutcome::Expired, Some(until)) => {
            let (lasted, silence) = (until - run.since, rule.expire_after_ns);
            let shorter = format_duration(lasted.saturating_add(silence));
            let longer = expire_after(rule, run, until, known_at)
                .map_or_else(String::new, |least| {
                    format!(", or expire_after >= {}", format_duration(least))
                });
            let (lasted, silence) = (format_duration(lasted), format_duration(silence));
            format!(
                "{since} {state} for {lasted} when observations ceased; hold is {hold}; expired after \
                 {silence} of silence ({count}). Would have counted with hold <= {shorter}{longer}"
            )
        }
        (RunOutcome::KeptDown, Some(until)) => {
            let lasted = format_duration(until - run.since);
            let kept = run.kept.as_ref().map_or_else(String::new, |kept| {
                let keep = rule.keep_ns.get(&kept.state).copied().unwrap_or_default();
                format!(
                    ", but {} was kept for {} after it was missed, since {}. Would have counted with \
                     keep < {}",
                    kept.state,
                    format_duration(keep),
                    clock(kept.missed, run.since),
                    format_duration(until - kept.missed)
                )
            });
            let over = clock(until, run.since);
            format!("{since} {state} for {lasted}; hold is {hold}; over at {over} ({count}){kept}")
        }
        (RunOutcome::Pending, _)
        | (RunOutcome::HeldDown | RunOutcome::KeptDown | RunOutcome::Expired, None) => {
            let held = run.since.saturating_add(run.hold_ns);
            let due = run.decided.unwrap_or(held);
            let kept = if due > held { "; the state before is kept until then" } else { "" };
            let due = clock(due, run.since);
            format!("{since} {state}, pending until {due}; hold is {hold}{kept} ({count})")
        }
        (RunOutcome::Established, until) => {
            let lasted = until.map_or_else(
                || "since then".to_owned(),
                |until| format!("for {}", format_duration(until - run.since)),
            );
            let (ceased, part, expired) = established_in_words(rule, run);
            format!("{since} {state} {lasted}{ceased}; {part}{expired} ({count})")
        }
    }
}

/// Of a run that lasted: whether observations ceased, what was announced, and how that ended.
fn established_in_words(rule: &Explained, run: &Run) -> (&'static str, String, String) {
    let hold = held(run.hold_ns);
    let same = |e: &&Announced| Some(e.since) == run.episode && e.state == run.state;
    let episode = rule.episodes.iter().find(same);
    let (ceased, expired) = match (run.expired, episode.and_then(|episode| episode.until)) {
        (true, Some(until)) => (
            " when observations ceased",
            format!(
                "; expired after {} of silence, so it ends at {}",
                format_duration(rule.expire_after_ns),
                clock(until, run.since)
            ),
        ),
        _ => ("", String::new()),
    };
    let part = match episode {
        Some(episode) if episode.since == run.since && run.hold_ns == 0 => {
            "announced at once".to_owned()
        }
        Some(episode)
            if episode.since == run.since
                && episode.decided < run.since.saturating_add(run.hold_ns) =>
        {
            format!("announced at {}, as `except` says", clock(episode.decided, run.since))
        }
        Some(episode) if episode.since == run.since => {
            let decided = clock(episode.decided, run.since);
            // The hold may pass in silence.
            match run.expired && run.until.is_some_and(|until| until < episode.decided) {
                true => format!("announced: nothing contrary came for {hold}, until {decided}"),
                false => format!("announced: it lasted {hold}, until {decided}"),
            }
        }
        Some(episode) if episode.since > run.since => {
            let since = clock(episode.since, run.since);
            let before = rule.episodes.iter().find(|e| e.until == Some(episode.since));
            let kept = before.map_or("another state", |before| &before.state);
            let decided = clock(episode.decided, run.since);
            format!("announced at {decided}, from {since} on: until then {kept} was kept")
        }
        Some(episode) => {
            format!("continues the episode since {}", clock(episode.since, run.since))
        }
        None => "no episode".to_owned(),
    };
    (ceased, part, expired)
}

fn is_unrated(what: &Staged) -> bool {
    matches!(what, Staged::Measured { number: None, .. })
}

fn is_outvoted(what: &Staged) -> bool {
    matches!(what, Staged::Counted(counted) if !counted.passed)
}

fn is_damped(what: &Staged) -> bool {
    matches!(what, Staged::Damped { passed: false, .. })
}

/// What a stage did with an observation that counts as a state, and what would have changed that.
pub(super) fn staged_in_words(
    rule: &Explained,
    (time, state): (i64, &str),
    what: &Staged,
) -> String {
    match *what {
        Staged::Measured { reading, number: Some(number), .. } => {
            measured_in_words(rule, (state, what), (reading.get(), number.get()))
        }
        Staged::Measured { reading, number: None, before_ns } => {
            unrated_in_words(rule, (time, what), reading.get(), before_ns)
        }
        Staged::Counted(ref counted) => counted_in_words(rule, (time, state), counted),
        Staged::Damped { penalty, peak, until_ns, passed } => {
            let damping = rule.stages.damping;
            let (suppress, reuse) = damping.map_or((0.0, 0.0), |of| (of.suppress, of.reuse));
            let (penalty, until) = (penalty.get(), clock(until_ns, time));
            let peak = tenth_above(peak.get());
            let (mode, otherwise) = match passed {
                true => (
                    " in test mode",
                    format!(
                        "It passed; without test it would have been withheld, but for suppress >= \
                         {peak:.1}"
                    ),
                ),
                false => ("", format!("Would have passed with suppress >= {peak:.1}")),
            };
            format!(
                "flap_damping{mode}: the penalty is {penalty:.1} of {suppress} (suppress), and decays \
                 to {reuse} (reuse) until {until}. {otherwise}"
            )
        }
        Staged::Marked { until_ns } => {
            format!("it marks the entity, whose faults wait until {}", clock(until_ns, time))
        }
        Staged::Spared { since_ns, marked, until_ns } => {
            let (since, until) = (clock(since_ns, time), clock(until_ns, time));
            let begun = if marked { "marked" } else { "first seen" };
            let otherwise = match time - since_ns {
                0 => "without grace".to_owned(),
                since => format!("with grace <= {}", format_duration(since)),
            };
            format!(
                "the entity was {begun} at {since}, and its grace ends at {until}. Would have \
                 passed {otherwise}"
            )
        }
        Staged::Grouped { changes } => {
            let gap = rule.stages.session.map_or(0, |session| session.gap);
            let (first, last) = (clock(changes.first, time), clock(changes.last, time));
            format!(
                "it counts as {SESSION}: {} changes since {first}, the last at {last}; gap is {}. Would \
                 not with least > {}",
                changes.count,
                format_duration(gap),
                changes.count
            )
        }
        Staged::Flapped { share } => {
            let detection = rule.stages.detection;
            let (high, low) = detection.map_or((0.0, 0.0), |of| (of.high, of.low));
            let beyond = match detection.map(|of| of.weights) {
                Some(Weights::Nagios) => ">",
                _ => ">=",
            };
            let (share, peak) = (share.get(), tenth_above(peak_share(rule, what)));
            let sooner = match share <= high {
                true => format!(" or low >= {:.1}", tenth_above(share)),
                false => String::new(),
            };
            format!(
                "it counts as {FLAPPING}: the share of changes is {share:.1} %, high is {high} and low \
                 is {low}. Would not with high {beyond} {peak:.1}{sooner}"
            )
        }
    }
}

/// How votes stood, and what would have changed that.
fn counted_in_words(rule: &Explained, (time, state): (i64, &str), counted: &Counted) -> String {
    let Counted { passed, fault, weight, agreed, all, minority } = counted;
    let asks = rule.stages.quorum.as_ref().map(|quorum| quorum.asks);
    let (name, asked, met) = match asks {
        Some(Asks::Share(share)) => {
            let part = *weight as f64 / (*all).max(1) as f64;
            ("share", f64::from(share) / f64::from(WHOLE), part)
        }
        Some(Asks::AtLeast(least)) => ("at_least", weight_of(least), weight_of(*weight)),
        None => return String::new(),
    };
    let (weight, all) = (weight_of(*weight), weight_of(*all));
    let said = |ballot: &Ballot| {
        let Ballot { witness, state, time_ns } = ballot;
        format!("{} said {state} at {}", printable(witness), clock(*time_ns, time))
    };
    let against: Vec<_> = minority.iter().map(said).collect();
    let against = match against.is_empty() {
        true => String::new(),
        false => format!("; {}", against.join(", ")),
    };
    match fault {
        None => format!("quorum: no fault has any of {all} votes{against}"),
        Some(Ballot { state: fault, .. }) if *agreed => {
            // Rounded so that it is true as it is written; no share is more than all.
            let met = (met * 1000.0).ceil() / 1000.0;
            let otherwise = match asks {
                Some(Asks::Share(_)) if met >= 1.0 => String::new(),
                _ => format!(". Would not be {fault} with {name} > {met}"),
            };
            format!(
                "quorum: {fault} has {weight} of {all} votes, {name} is {asked}{against}{otherwise}"
            )
        }
        Some(Ballot { state: fault, .. }) => {
            let counts = match passed {
                true => format!("so it counts as {state}"),
                false => "and nobody says otherwise".to_owned(),
            };
            let met = (met * 1000.0).floor() / 1000.0;
            format!(
                "quorum: {fault} has {weight} of {all} votes, and {name} is {asked}, {counts}{against}. Would \
                 be {fault} with {name} <= {met}"
            )
        }
    }
}

/// What was judged of a reading, and what would have changed that.
fn measured_in_words(
    rule: &Explained,
    (state, what): (&str, &Staged),
    (reading, number): (f64, f64),
) -> String {
    let thresholds = rule.stages.thresholds.unwrap_or_default();
    let of = match thresholds.smoothing {
        None => format!("the reading is {reading}"),
        Some(Smoothing::Mean { half_life }) => {
            let half_life = format_duration(half_life);
            format!("with the reading {reading} their mean, of half-life {half_life}, is {number}")
        }
        Some(Smoothing::Median { over }) => {
            let over = format_duration(over);
            format!("with the reading {reading} the median of {over} is {number}")
        }
        Some(Smoothing::Rate { over, .. }) => {
            let over = format_duration(over);
            format!("with the reading {reading} the rate in {over} is {number} a second")
        }
    };
    let crossed = match state {
        ABOVE => thresholds.above.map(|of| (of, number > of.at, ">=")),
        BELOW => thresholds.below.map(|of| (of, number < of.at, "<=")),
        _ => None,
    };
    match crossed {
        Some((Bound { at, .. }, true, beyond)) => {
            format!("{of}, {state} {at}. Would not be {state} with {state} {beyond} {number}")
        }
        Some((Bound { at, recover }, false, beyond)) => format!(
            "{of}: {state} before, beyond {at}, and not back at {recover}. Would be back with recover \
             {beyond} {number}"
        ),
        None => {
            // What was beyond a threshold would have stayed so, were it not back.
            let before = level_before(rule, what);
            let would = |level, state, Bound { at, recover }: Bound, beyond| match before
                == Some(level)
                && at != recover
            {
                true => format!("still {state} with recover {beyond} {number}"),
                false => format!("{state} with {state} {beyond} {number}"),
            };
            let above = thresholds.above.map(|of| would(Level::Above, ABOVE, of, "<"));
            let below = thresholds.below.map(|of| would(Level::Below, BELOW, of, ">"));
            let others: Vec<_> = above.into_iter().chain(below).collect();
            format!("{of}, {NORMAL}. Would be {}", others.join(", "))
        }
    }
}

/// Where readings were before one was judged.
fn level_before(rule: &Explained, what: &Staged) -> Option<Level> {
    let thresholds = rule.stages.thresholds?;
    let mut level = None;
    for noted in looked_at(rule, what).iter().flat_map(|seen| &seen.noted) {
        if std::ptr::eq(noted, what) {
            break;
        }
        if let Staged::Measured { number: Some(number), .. } = noted {
            level = Some(thresholds.level(number.get(), level));
        }
    }
    level
}

/// All that was looked at, in order, to the observation of which something was said.
fn looked_at<'r>(rule: &'r Explained, what: &Staged) -> Vec<&'r Observed> {
    let withheld = rule.withheld.iter().map(|of| &of.record);
    let mut seen: Vec<_> = rule.observations().chain(withheld).collect();
    seen.sort_by_key(|seen| seen.time);
    let is_it = |seen: &&Observed| seen.noted.iter().any(|noted| std::ptr::eq(noted, what));
    let end = seen.iter().position(is_it).map_or(seen.len(), |number| number + 1);
    seen.truncate(end);
    seen
}

/// The largest share of changes since an entity flaps.
fn peak_share(rule: &Explained, what: &Staged) -> f64 {
    let share = |noted: &Staged| match noted {
        Staged::Flapped { share } => Some(share.get()),
        _ => None,
    };
    let seen = looked_at(rule, what).into_iter().rev();
    // What was withheld before is no observation to it.
    let shares = seen.map(|seen| (seen, seen.noted.iter().find_map(share)));
    let is_seen = |(seen, share): &(&Observed, Option<f64>)| {
        share.is_some() || !seen.noted.iter().any(Staged::is_withheld)
    };
    shares.filter(is_seen).map_while(|(_, share)| share).fold(0.0, f64::max)
}

/// Rounded up, so that it is true as it is written.
fn tenth_above(number: f64) -> f64 {
    let near = (number * 10.0).round() / 10.0;
    if near < number { near + 0.1 } else { near }
}

/// Why a reading has no rate, and with which it would have one.
fn unrated_in_words(
    rule: &Explained,
    (time, what): (i64, &Staged),
    reading: f64,
    before: Option<i64>,
) -> String {
    let (over, per) = match rule.stages.thresholds.and_then(|of| of.smoothing) {
        Some(Smoothing::Rate { over, per }) => (over, per),
        _ => (0, 1),
    };
    let is_large = reading.abs() >= 1e16;
    let reading = if is_large { format!("{reading:e}") } else { reading.to_string() };
    let seen = looked_at(rule, what).into_iter();
    let measured = seen.flat_map(|seen| seen.noted.iter().map(|noted| (seen.time, noted)));
    let measured = measured.filter_map(|(at, noted)| match noted {
        Staged::Measured { reading, before_ns, .. } => Some((at, *reading, *before_ns)),
        _ => None,
    });
    let measured: Vec<_> = measured.collect();
    // Several may be of its instant.
    let of_instant = measured.iter().filter(|(at, ..)| *at == time);
    let earlier = of_instant.filter_map(|(.., before)| before.filter(|before| *before < time));
    if earlier.max().is_some_and(|earlier| time - earlier < over) {
        let over = format_duration(over);
        return format!(
            "the reading is {reading}, and the rate in {over} is beyond what a double holds: there \
             is none"
        );
    }
    let Some(before) = before else {
        return format!("the reading is {reading}, the first: there is no rate yet");
    };
    if before == time {
        return format!("the reading is {reading}, in the instant of the one before: no rate");
    }
    let since = time - before;
    let mut readings = Readings::default();
    let with_both = Smoothing::Rate { over: since.saturating_add(1), per };
    let rates = measured.into_iter().map(|(at, reading, _)| readings.add(with_both, at, reading));
    let since = format_duration(since);
    let otherwise = match rates.last().flatten() {
        Some(_) => format!(". Would have one with rate > {since}"),
        None => String::new(),
    };
    format!(
        "the reading is {reading}, and the one before was {since} earlier: there is no rate{otherwise}"
    )
}

/// Below which `keep` the state before would have been over by the end of a run that did not last; none
/// if it was over anyway, or is the same.
fn keep_below(rule: &Explained, run: &Run, until: i64) -> Option<i64> {
    let episode = rule.episodes.iter().find(|episode| Some(episode.since) == run.episode)?;
    let keep = *rule.keep_ns.get(&episode.state).filter(|_| episode.state != run.state)?;
    let before = rule.runs.iter().take_while(|other| !std::ptr::eq(*other, run));
    let others = before.collect::<Vec<_>>();
    let others = others.rsplit(|other| other.state == episode.state).next()?;
    let missed = others.first().map_or(run.since, |first| first.since);
    (until - missed <= keep).then_some(until - missed)
}

/// With which `expire_after`, at least, a run that expired would have lasted; none if something
/// contrary came before, or too little time has passed.
fn expire_after(rule: &Explained, run: &Run, last: i64, known_at: Option<i64>) -> Option<i64> {
    let due = run.since.checked_add(run.hold_ns)?;
    let is_contrary = |other: &&Run| other.since > run.since && other.state != run.state;
    let contrary = rule.runs.iter().filter(is_contrary).map(|other| other.since).min();
    let lasts = contrary.is_none_or(|contrary| contrary >= due);
    (lasts && known_at.is_some_and(|now| now >= due)).then(|| due - last)
}
