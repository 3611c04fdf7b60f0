//! One rule file over a log: whether what it expects of faults is what becomes of them.
//!
//! Guarantees: what is judged is what a replay would expect, at the usual tick; the outputs depend on the log
//! and the rules alone. State: that of a replay, and for each fault that is open or may be amended what was
//! expected of it at each age.

use std::convert::Infallible;
use std::path::Path;

use serde::Serialize;

use super::table::{aligned, line};
use super::{OUTPUTS, TICK_NS, open};
use crate::authoring::grouped;
use crate::model::duration::format_duration;
use crate::model::episode::Catalog;
use crate::model::printable::printable;
use crate::persistence::{Calibration, Learner, Reliability, Scored};
use crate::pipeline::Gathered;
use crate::replay::memory::{How, collect};
use crate::replay::{Failure, Log};
use crate::rules::Rules;
use crate::sinks::OutputDir;
use crate::sources::InputError;
use crate::sources::intake::{Matcher, Traced};

/// What is judged, and how.
pub struct Asked<'a> {
    /// The rules; one of them has `persistence`.
    pub rules: &'a Rules,
    /// What their file is called.
    pub name: String,
    /// The logs.
    pub logs: &'a [Log],
    /// The directory for the outputs.
    pub out: &'a Path,
    /// On how many workers.
    pub workers: usize,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibrated {
    /// What the rule file is called.
    pub rules: String,
    /// By rule and horizon.
    pub persistence: Vec<OfRule>,
    /// Whether the logs were read to their ends.
    pub complete: bool,
}

/// What came of a rule and a horizon.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfRule {
    /// The rule.
    pub rule: String,
    /// How well it knows.
    #[serde(flatten)]
    pub reliability: Reliability,
}

/// Judges, and writes the outputs.
///
/// # Errors
/// [`Failure`], if there are no outputs.
pub fn calibrate(asked: &Asked<'_>) -> Result<(Calibrated, Vec<InputError>), Failure> {
    let Asked { rules, name, logs, out, workers } = asked;
    let dir = OutputDir::create(out)?;
    let how = How { tick_ns: TICK_NS, until_ns: None, traced: Traced::Nothing, workers: *workers };
    let learner = Learner::new(rules, TICK_NS).map(Learner::recording);
    let pass = Pass { learner, calibration: Calibration::default() };
    let partitions = open(rules, logs)?;
    let (pass, outcome) = collect(partitions, &Matcher::new(rules), how, pass, Pass::take)?;
    let catalog = Catalog::new(rules);
    let of_rule = |reliability: Reliability| {
        let rule = catalog.rule_name(reliability.rank).to_owned();
        OfRule { rule, reliability }
    };
    let calibrated = Calibrated {
        rules: name.clone(),
        persistence: pass.finish(outcome.clock).into_iter().map(of_rule).collect(),
        complete: outcome.damaged.is_empty(),
    };
    let [differences, summary] = OUTPUTS;
    let mut summary = dir.file(summary)?;
    let mut text = serde_json::to_vec_pretty(&calibrated).expect("plain values encode");
    text.push(b'\n');
    summary.put(&text)?;
    dir.commit(vec![summary], &[differences])?;
    let mut damaged = outcome.damaged;
    damaged.sort_by_key(|error: &InputError| error.input().to_owned());
    Ok((calibrated, damaged))
}

/// What a pass over the log learns.
#[derive(Default)]
struct Pass {
    learner: Option<Learner>,
    calibration: Calibration,
}

impl Pass {
    fn take(&mut self, gathered: Gathered) {
        if let (Some(learner), Gathered::Candidates { candidates, episodes }) =
            (&mut self.learner, gathered)
        {
            let Ok(()) = learner.take(&candidates, &episodes, |_| Ok::<_, Infallible>(()));
            learner.judged().iter().for_each(|judged| self.calibration.add(judged));
        }
    }

    fn finish(mut self, clock_ns: Option<i64>) -> Vec<Reliability> {
        if let (Some(mut learner), Some(clock_ns)) = (self.learner, clock_ns) {
            learner.end(clock_ns);
            let left = learner.judged().into_iter().chain(learner.judged_open(clock_ns));
            left.for_each(|judged| self.calibration.add(&judged));
        }
        self.calibration.reliabilities()
    }
}

/// As people read it: for each rule and horizon what was expected at each age, and of each tenth of p.
pub fn reliability_table(calibrated: &Calibrated) -> String {
    let mut text = String::new();
    line(&mut text, &format!("A {}", printable(&calibrated.rules)));
    for OfRule { rule, reliability } in &calibrated.persistence {
        let Reliability { horizon_ns, ages, all, bins, calibration_error, .. } = reliability;
        let (rule, horizon) = (printable(rule), format_duration(*horizon_ns));
        line(&mut text, &format!("\nrule {rule}: p_lasts(\"{horizon}\")\n"));
        let head = ["age", "faults", "lasted", "unknown", "mean p", "Brier", "of base rate"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(ages.iter().map(|at| scored(format_duration(at.age_ns), &at.scored)));
        rows.push(scored("all".to_owned(), all));
        aligned(&mut text, &rows, 1);
        text.push('\n');
        let head = ["p from", "faults", "mean p", "lasted"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(bins.iter().map(|bin| {
            let [from, expected, observed] =
                [Some(bin.from), Some(bin.expected), Some(bin.observed)].map(number);
            vec![from, grouped(bin.faults), expected, observed]
        }));
        aligned(&mut text, &rows, 1);
        line(&mut text, &format!("\ncalibration error {}", number(*calibration_error)));
    }
    text
}

fn scored(age: String, of: &Scored) -> Vec<String> {
    let Scored { faults, lasted, unknown, expected, brier, brier_of_base_rate } = *of;
    let counts = [faults, lasted, unknown].map(grouped);
    let numbers = [expected, brier, brier_of_base_rate].map(number);
    [age].into_iter().chain(counts).chain(numbers).collect()
}

fn number(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.4}"))
}
