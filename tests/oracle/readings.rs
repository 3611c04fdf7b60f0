//! Readings: what makes states of them, by its definition, from scratch; and a signal and a rule that do,
//! by seed.

use serde_json::Value;

use super::hold::{Observation, lives};
use super::logs::Random;
use super::stages::{ABOVE, BELOW, NORMAL, Passed, READING};
use super::{MS, RuleSpec, S, SignalSpec};

/// What a rule asks of readings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Thresholds {
    pub(crate) smoothing: Option<Smoothing>,
    /// The threshold, and where it recovers.
    pub(crate) above: Option<(f64, f64)>,
    pub(crate) below: Option<(f64, f64)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Smoothing {
    HalfLife(i64),
    Median(i64),
    Rate(i64),
}

/// The number in a record's data: in a text, too.
pub(crate) fn reading(record: &Value) -> Option<f64> {
    let number = match &record["data"]["ms"] {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// The signal of them.
pub(crate) fn signal() -> SignalSpec {
    let matches = |record: &Value| {
        let kind = record["type"].as_str()?;
        let is_it = ["probe.readiness", "probe.both"].contains(&kind);
        reading(record).filter(|_| is_it).map(|_| READING)
    };
    SignalSpec { name: "latency".to_owned(), states: Vec::new(), matches: Box::new(matches) }
}

/// As it is written in a rule file, after its `where`.
pub(crate) const YAML: &str = "  latency:\n    where: type == \"probe.readiness\" || type == \
                               \"probe.both\"\n    value: data.ms\n";

/// A rule on it, which is the signal of this number.
pub(crate) fn rule(signal: usize, random: &mut Random) -> RuleSpec {
    let over = *random.pick(&[MS, 100 * MS, S, 3 * S, 10 * S, 60 * S]);
    let smoothing = match random.below(6) {
        0 => None,
        1 | 2 => Some(Smoothing::HalfLife(over)),
        3 | 4 => Some(Smoothing::Median(over)),
        _ => Some(Smoothing::Rate(over)),
    };
    let above = *random.pick(&[(5.0, 5.0), (5.0, 3.0), (2.5, 2.5), (4.0, 0.5)]);
    let below = *random.pick(&[(2.0, 2.0), (2.0, 5.0), (1.0, 2.5)]);
    let (upper, lower) = *random.pick(&[(true, false), (false, true), (true, true)]);
    let (above, below) = (Some(above).filter(|_| upper), Some(below).filter(|_| lower));
    let mut rule = RuleSpec {
        name: "pod-latency".to_owned(),
        signal,
        hold_ns: vec![0],
        keep_ns: vec![0],
        ..RuleSpec::default()
    };
    rule.stages.hold_made_ns = *random.pick(&[0, 100 * MS, S, 3 * S]);
    rule.stages.thresholds = Some(Thresholds { smoothing, above, below });
    rule
}

/// Data with a reading, mostly.
pub(crate) fn with_reading(data: String, random: &mut Random) -> String {
    let readings = [
        "1",
        "2",
        "2.5",
        "3",
        "3",
        "4",
        "5",
        "5.5",
        "7",
        "-1",
        "0.1",
        "\"6\"",
        "\"NaN\"",
        "\"\"",
        "null",
        "true",
        "\"-Infinity\"",
        "[7]",
    ];
    match data.strip_suffix('}') {
        Some(start) if start.len() > 1 => format!("{start},\"ms\":{}}}", random.pick(&readings)),
        _ => data,
    }
}

impl Thresholds {
    /// As it is written in a rule.
    pub(crate) fn yaml(&self, duration: fn(i64) -> String) -> String {
        let mut yaml = String::new();
        let smooth = self.smoothing.map(|smoothing| match smoothing {
            Smoothing::HalfLife(of) => ("half_life", of),
            Smoothing::Median(of) => ("median", of),
            Smoothing::Rate(of) => ("rate", of),
        });
        if let Some((name, of)) = smooth {
            yaml.push_str(&format!("    smooth: {{ {name}: {} }}\n", duration(of)));
        }
        let (mut recovers, mut last) = (Vec::new(), 0.0);
        for (name, bound) in [("above", self.above), ("below", self.below)] {
            if let Some((at, recover)) = bound {
                yaml.push_str(&format!("    {name}: {at}\n"));
                recovers.push(format!("{name}: {recover}"));
                last = recover;
            }
        }
        match recovers.len() {
            1 => yaml.push_str(&format!("    recover: {last}\n")),
            _ => yaml.push_str(&format!("    recover: {{ {} }}\n", recovers.join(", "))),
        }
        yaml
    }

    /// Makes states of readings; what has none of it is withheld.
    pub(crate) fn judge(&self, passed: &mut Passed, expire_after: i64) {
        let seen: Vec<_> = passed.observations.iter().filter(|o| !o.made).cloned().collect();
        let mut judged = Vec::new();
        for (life, _) in lives(&seen, expire_after) {
            let mut before = None;
            for at in 0..life.len() {
                let state = self.smooth(&life[..=at]).map(|number| self.state(number, before));
                before = state.or(before);
                judged.push(state);
            }
        }
        let mut judged = judged.into_iter();
        for observation in passed.observations.iter_mut().filter(|one| !one.made) {
            let state = judged.next().expect("each has been judged");
            observation.state = state.unwrap_or(READING);
            passed.unrated += usize::from(state.is_none());
            observation.withheld = state.is_none();
        }
    }

    fn state(&self, number: f64, before: Option<usize>) -> usize {
        let is_above = |recovering: bool| {
            let at = self.above.map(|(at, recover)| if recovering { recover } else { at });
            at.is_some_and(|at| number > at)
        };
        let is_below = |recovering: bool| {
            let at = self.below.map(|(at, recover)| if recovering { recover } else { at });
            at.is_some_and(|at| number < at)
        };
        match (is_above(false), is_below(false)) {
            (true, _) => ABOVE,
            (_, true) => BELOW,
            _ if before == Some(ABOVE) && is_above(true) => ABOVE,
            _ if before == Some(BELOW) && is_below(true) => BELOW,
            _ => NORMAL,
        }
    }

    /// What comes of the last of these.
    fn smooth(&self, life: &[Observation]) -> Option<f64> {
        let all: Vec<_> = life.iter().map(|o| (o.time, f64::from_bits(o.reading))).collect();
        let (now, last) = *all.last().expect("there is one");
        let of_late = |over: i64| -> Vec<(i128, f64)> {
            all.iter().copied().filter(|(time, _)| now - time < i128::from(over)).collect()
        };
        match self.smoothing {
            None => Some(last),
            Some(Smoothing::HalfLife(half_life)) => {
                let mean = |mean: f64, at: usize| {
                    let passed = (all[at].0 - all[at - 1].0) as f64 / half_life as f64;
                    let half = (1.0 - libm::exp2(-passed)) * (all[at].1 / 2.0 - mean / 2.0);
                    mean + half + half
                };
                Some((1..all.len()).fold(all[0].1, mean))
            }
            Some(Smoothing::Median(over)) => {
                let mut sorted: Vec<f64> = of_late(over).into_iter().map(|(_, of)| of).collect();
                sorted.sort_by(f64::total_cmp);
                Some((sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0)
            }
            Some(Smoothing::Rate(over)) => {
                let of_late = of_late(over);
                let grows = |pair: &[(i128, f64)]| match pair[1].1 < pair[0].1 {
                    true => pair[1].1,
                    false => pair[1].1 - pair[0].1,
                };
                let grown: f64 = of_late.windows(2).map(grows).sum();
                let time = now - of_late[0].0;
                (time > 0).then(|| grown / (time as f64 / S as f64))
            }
        }
    }
}
