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

/// What all others are compared with.
pub(super) const HOLD: &str = "rules/hold";
const FIFTY: &str = "rules/fifty";

/// The measurements, with what their rule has beside `hold`.
const KINDS: [(&str, &str); 12] = [
    (HOLD, ""),
    ("rules/dedup", "dedup: { by: [data.service], within: 1m }"),
    ("rules/keep", "keep: { unready: 1m }"),
    ("rules/absent", "absent: { after: 5m }"),
    ("rules/flap_damping", "flap_damping: {}"),
    ("rules/flap_detection", "flap_detection: {}"),
    ("rules/grace", "grace: 2m"),
    ("rules/readings", ""),
    ("rules/half_life", "smooth: { half_life: 1m }"),
    ("rules/median", "smooth: { median: 5m }"),
    ("rules/rate", "smooth: { rate: 5m }"),
    (FIFTY, ""),
];

/// Where those of readings begin.
const READINGS: usize = 7;

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(name, _)| *name)
}

/// Measures those of these names, and the first.
pub(super) fn measure(bench: &mut Bench<'_>, names: &[&&str]) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    let mut replays = Vec::new();
    for (number, (name, fields)) in KINDS.iter().enumerate() {
        if *name == HOLD || names.contains(&name) {
            let text = match *name {
                FIFTY => fifty(),
                _ => one(fields, number >= READINGS),
            };
            let file = name.replace('/', "-");
            replays.push((*name, Replays::new(bench, Shape::Flat)?.through(bench, &file, &text)?));
        }
    }
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

/// The sources of the flat log.
fn sources() -> &'static str {
    let end = FLAT_RULES.find("signals:").expect("the rules have signals");
    &FLAT_RULES[..end]
}

/// One rule, with some fields more.
fn one(fields: &str, reads: bool) -> String {
    if !reads {
        let faults = if fields.starts_with("flap_damping") || fields.starts_with("grace") {
            "    faults: [unready]\n"
        } else {
            ""
        };
        return format!("{FLAT_RULES}{faults}    {fields}\n");
    }
    let sources = sources();
    format!(
        "{sources}signals:\n  number: {{ from: probe, value: data.seq }}\n\nrules:\n  - name: high\n    \
         signal: number\n    above: 50\n    recover: 20\n    hold: {{ above: 30s, normal: 30s }}\n    \
         {fields}\n"
    )
}

/// Fifty rules over twenty signals.
fn fifty() -> String {
    let mut text = format!("{}signals:\n", sources());
    for signal in 0..20 {
        let _ = write!(
            text,
            "  readiness-{signal}:\n    from: probe\n    where: type == \"readiness\" && data.service \
             in [\"svc-{signal}\", \"svc-{}\"]\n    states: {{ ready: data.state == \"ready\", \
             unready: data.state == \"unready\" }}\n",
            signal + 20
        );
    }
    text.push_str("\nrules:\n");
    for rule in 0..50 {
        let (signal, hold) = (rule % 20, 10 + rule);
        let _ = writeln!(
            text,
            "  - {{ name: rule-{rule}, signal: readiness-{signal}, hold: {{ ready: {hold}s, \
             unready: {hold}s }} }}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;

    #[test]
    fn the_rules_are_right() {
        for (number, (name, fields)) in KINDS.iter().enumerate() {
            let text = one(fields, number >= READINGS);
            let rules = Rules::parse(name, &text).expect(name);
            let is_of_readings = rules.signals[0].value.is_some();
            assert_eq!((rules.rules.len(), is_of_readings), (1, number >= READINGS), "{name}");
        }
        let rules = Rules::parse(FIFTY, &fifty()).expect(FIFTY);
        assert_eq!((rules.rules.len(), rules.signals.len()), (50, 20));
    }
}
