//! What rules cost: whole replays of the flat log through other rules, in turn with the one that
//! only holds.
//!
//! Each has all that the first rule has, and one kind of suppression more; `rules/readings` and
//! those behind it judge a number of the same records by a threshold. `rules/fifty` has fifty rules
//! over twenty signals, of which each record fits one, and two or three rules observe it.

use std::fmt::Write;

use super::table::{Ratio, Row};
use super::whole::Replays;
use super::{Bench, FLAT_RULES, Failure, Shape};

/// So many signals at most share the records, by service.
pub(super) const SIGNALS: usize = 20;
/// Of the flat log.
const SERVICES: usize = 40;
const READY: &str =
    "states: { ready: data.state == \"ready\", unready: data.state == \"unready\" }";
/// What all others are compared with.
pub(super) const HOLD: &str = "rules/hold";

/// What the rules of a measurement observe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// One rule, the states of the flat log.
    States,
    /// The same, each change of which is told.
    Changes,
    /// The same, of which somebody would be told.
    Told,
    /// The same, and records that tell of silences, of which there are none.
    Heard,
    /// One rule, those states, with a label that has three values in turn.
    Witnesses,
    /// One rule, a number of its records.
    Readings,
    /// Fifty rules, those states, as twenty signals.
    TwentySignals,
}

/// The measurements, with what a rule has beside `hold`.
const RULES: [(&str, Of, &str); 19] = [
    (HOLD, Of::States, ""),
    ("rules/dedup", Of::States, "dedup: { by: [data.service], within: 1m }"),
    ("rules/keep", Of::States, "keep: { unready: 1m }"),
    ("rules/absent", Of::States, "absent: { after: 5m }"),
    ("rules/flap_damping", Of::States, "faults: [unready], flap_damping: {}"),
    ("rules/flap_detection", Of::States, "flap_detection: {}"),
    ("rules/grace", Of::States, "faults: [unready], grace: 2m"),
    ("rules/keep_transitions", Of::Changes, ""),
    ("rules/routes", Of::Told, ""),
    ("rules/aggregate", Of::Told, "aggregate: {}"),
    ("rules/events", Of::Heard, ""),
    (
        "rules/markers",
        Of::States,
        "faults: [unready], grace: { for: 2m, after: { signal: readiness, states: [unready] } }",
    ),
    (
        "rules/quorum",
        Of::Witnesses,
        "faults: [unready], quorum: { of: zone, at_least: 2, within: 5m }",
    ),
    (
        "rules/persistence",
        Of::States,
        "faults: [unready], persistence: { announce: p_lasts(\"5m\") > 0.9 }",
    ),
    ("rules/readings", Of::Readings, ""),
    ("rules/half_life", Of::Readings, "smooth: { half_life: 1m }"),
    ("rules/median", Of::Readings, "smooth: { median: 5m }"),
    ("rules/rate", Of::Readings, "smooth: { rate: 5m }"),
    ("rules/fifty", Of::TwentySignals, ""),
];

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(name, ..)| *name)
}

/// Measures those of these names, and the first.
pub(super) fn measure(bench: &mut Bench<'_>, names: &[&&str]) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    let wanted = RULES.iter().filter(|(name, ..)| *name == HOLD || names.contains(&name));
    let replays = wanted.map(|(name, of, fields)| {
        let (file, text) = (name.replace('/', "-"), text(*of, fields));
        Ok((*name, Replays::new(bench, Shape::Flat)?.through(bench, &file, &text)?))
    });
    let replays = replays.collect::<Result<Vec<_>, Failure>>()?;
    let mut costs = vec![Vec::new(); replays.len()];
    for _ in 0..bench.settings.runs {
        for ((name, replays), costs) in replays.iter().zip(&mut costs) {
            (bench.progress)(name);
            costs.push(replays.run()?);
        }
    }
    let workers = Some(bench.settings.workers);
    let rows = replays.iter().zip(costs).map(|((name, _), costs)| Row::new(name, workers, costs));
    let rows: Vec<_> = rows.collect();
    bench.ratios.extend(rows[1..].iter().map(|row| Ratio::new(row, &rows[0])));
    bench.rows.extend(rows);
    Ok(())
}

/// The rule file of a measurement.
fn text(of: Of, fields: &str) -> String {
    let more = if fields.is_empty() { String::new() } else { format!(", {fields}") };
    let mut text = head();
    let keeps = if of == Of::Changes { "keep_transitions: true, " } else { "" };
    let _ = match of {
        Of::States | Of::Changes | Of::Told | Of::Heard => write!(
            text,
            "  readiness: {{ from: probe, where: type == \"readiness\", {keeps}{READY} }}\nrules:\n  \
             - {{ name: pod-readiness, signal: readiness, {}{more} }}\n",
            held(30)
        ),
        Of::Witnesses => write!(
            text,
            "  readiness: {{ from: probe, where: type == \"readiness\", {READY}, labels: {{ zone: 'data.seq % 3 \
             == 0 ? \"a\" : data.seq % 3 == 1 ? \"b\" : \"c\"' }} }}\nrules:\n  - {{ name: pod-readiness, \
             signal: readiness, {}{more} }}\n",
            held(30)
        ),
        Of::Readings => write!(
            text,
            "  number: {{ from: probe, value: data.seq }}\nrules:\n  - {{ name: high, signal: number, \
             above: 50, recover: 20, hold: {{ above: 30s, normal: 30s }}{more} }}\n"
        ),
        Of::TwentySignals => return spread(50, SIGNALS),
    };
    if matches!(of, Of::Told | Of::Heard) {
        text.push_str(
            "sinks: { hook: { webhook: { url: http://localhost/ } } }\nroutes: [{ to: hook }]\n",
        );
    }
    if of == Of::Heard {
        text.push_str("silences: { told: { events: { where: type == \"silence\" } } }\n");
    }
    text
}

/// The rule file of so many rules over so many signals; each record fits one of these.
pub(super) fn spread(rules: usize, signals: usize) -> String {
    let mut text = head();
    for signal in 0..signals {
        let services =
            (signal..SERVICES).step_by(signals).map(|number| format!("\"svc-{number}\""));
        let services = services.collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            text,
            "  readiness-{signal}: {{ from: probe, where: 'type == \"readiness\" && \
             data.service in [{services}]', {READY} }}"
        );
    }
    text.push_str("rules:\n");
    for rule in 0..rules {
        let (signal, held) = (rule % signals, held(10 + rule));
        let _ = writeln!(text, "  - {{ name: rule-{rule}, signal: readiness-{signal}, {held} }}");
    }
    text
}

/// What stands before the signals.
fn head() -> String {
    let (sources, _) = FLAT_RULES.split_once("signals:").expect("the rules have signals");
    format!("{sources}signals:\n")
}

fn held(seconds: usize) -> String {
    format!("hold: {{ ready: {seconds}s, unready: {seconds}s }}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;

    #[test]
    fn the_rules_are_right() {
        for (name, of, fields) in RULES {
            let rules = Rules::parse(name, &text(of, fields)).unwrap_or_else(|all| panic!("{all}"));
            let (count, signals) = (rules.rules.len(), rules.signals.len());
            let wanted = if of == Of::TwentySignals { (50, 20) } else { (1, 1) };
            assert_eq!((count, signals), wanted, "{name}");
            assert_eq!(rules.signals[0].value.is_some(), of == Of::Readings, "{name}");
        }
    }
}
