//! Whether signals go on as those of an earlier rule file: who reads their states must not be
//! surprised by a version that says that nothing is broken.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Diagnostic, Rule, Rules, Signal};

impl Rules {
    /// What is not compatible with an earlier file. A signal goes on with the one of its name, and with
    /// those of its schema and major version: it has all their states, and no others in the same
    /// version, which is never a lower one. Another major version may have any. One whose states rules
    /// told goes on in some signal. A rule that goes on by its name makes the same states in the same version,
    /// which is never a lower one, or none.
    pub fn incompatible(&self, before: &Self) -> Vec<Diagnostic> {
        let mut all = Vec::new();
        for signal in &self.signals {
            // One problem of a signal is enough: others follow from it.
            let mut earlier = before.signals.iter().filter(|old| goes_on(old, signal));
            all.extend(earlier.find_map(|old| against(signal, old)));
        }
        for (number, old) in before.signals.iter().enumerate() {
            let was_told = before.rules.iter().any(|rule| rule.signal == number);
            if was_told && !self.signals.iter().any(|signal| goes_on(old, signal)) {
                // What is gone has no place: it is said where signals begin.
                all.push(gone(old, self.signals[0].span.clone()));
            }
        }
        for rule in &self.rules {
            let mut earlier = before.rules.iter().filter(|old| old.name == rule.name);
            all.extend(earlier.find_map(|old| told_against((self, rule), (before, old))));
        }
        all
    }
}

/// Rules without a version are of the same one.
fn told_against(
    (now, rule): (&Rules, &Rule),
    (before, old): (&Rules, &Rule),
) -> Option<Diagnostic> {
    let name = &rule.name;
    let problem = |message: String, help: &str| {
        Some(Diagnostic::new(rule.span.clone(), message, help.to_owned()))
    };
    match (&rule.version, &old.version) {
        (None, Some(was)) => {
            return problem(
                format!("the rule `{name}` has no version any more: it was {was}"),
                "keep it, or raise it",
            );
        }
        (Some(version), Some(was)) if version < was => {
            return problem(
                format!("the version of the rule `{name}` is lower than it was: {was}"),
                "a version goes up",
            );
        }
        (version, was) if version != was => return None,
        _ => {}
    }
    // What signals have is theirs to say.
    let lacks = |made: &Rule, (rules, rule): (&Rules, &Rule)| {
        let own = |name| rule.own_states(&rules.signals[rule.signal]).any(|(_, own)| *own == name);
        made.stages.makes().find(|name| !own(name.clone()))
    };
    if let Some(state) = lacks(old, (now, rule)) {
        let help = "keep it, or raise the version of the rule";
        return problem(format!("the rule `{name}` tells of no `{state}` any more"), help);
    }
    let state = lacks(rule, (before, old)).filter(|_| rule.version.is_some())?;
    let help = "a version has one set of states: raise it";
    problem(format!("the rule `{name}` told of no `{state}` in this version"), help)
}

fn gone(old: &Signal, span: Range<usize>) -> Diagnostic {
    let message = format!("the signal `{}` is gone, and all its states", old.name);
    let help = match &old.schema {
        Some(schema) => format!(
            "keep it, or give what takes its place the schema {} and another major version",
            schema.name
        ),
        None => "keep it: it has no schema, by which another could take its place".to_owned(),
    };
    Diagnostic::new(span, message, help)
}

fn goes_on(old: &Signal, signal: &Signal) -> bool {
    old.name == signal.name || is_of_schema(old, signal)
}

fn is_of_schema(one: &Signal, other: &Signal) -> bool {
    one.schema
        .as_ref()
        .zip(other.schema.as_ref())
        .is_some_and(|(one, other)| one.name == other.name)
}

fn against(signal: &Signal, old: &Signal) -> Option<Diagnostic> {
    let states = |signal: &Signal| -> BTreeSet<String> {
        signal.states.iter().map(|state| state.name.to_string()).collect()
    };
    let (mine, theirs) = (states(signal), states(old));
    let missing = theirs.difference(&mine).next();
    let added = mine.difference(&theirs).next();
    let (now, before) = (signal.schema.as_ref(), old.schema.as_ref());
    let span = now.map_or(&signal.span, |schema| &schema.span).clone();
    let problem = |message: String, help: &str| Some(Diagnostic::new(span.clone(), message, help));
    let name = &signal.name;
    let (Some(now), Some(before)) = (now, before) else {
        // Without versions on both sides nothing says that it broke, but a first major version.
        let is_first = before.is_none() && now.is_some_and(|now| now.version.major > 0);
        let state = missing.filter(|_| !is_first)?;
        let message = format!("the signal `{name}` has no state `{state}` any more");
        return match before {
            Some(before) => problem(
                message,
                &format!("keep it, or keep the schema {} and raise its major version", before.name),
            ),
            None => problem(
                message,
                "keep it, or say that it is another: give the signal a `schema` with a version",
            ),
        };
    };
    if now.name != before.name {
        let state = missing?;
        let message = format!("`{now}` has no state `{state}`, which the signal had in {before}");
        let help =
            format!("keep it, or keep the schema {} and raise its major version", before.name);
        return problem(message, &help);
    }
    if now.version < before.version {
        let message = format!("the version of {now} is lower than it was: {}", before.version);
        return problem(message, "a version goes up");
    }
    if now.version.major != before.version.major {
        return None;
    }
    match (missing, added) {
        (Some(state), _) => problem(
            format!("{now} has no state `{state}`, which {before} had"),
            "keep it, or raise the major version",
        ),
        (None, Some(state)) if now.version == before.version => problem(
            format!("{now} had no state `{state}`"),
            "a version has one set of states: raise the minor version",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(signals: &str) -> Rules {
        let text =
            format!("version: 1\nsignals: {{ {signals} }}\nrules: [{{ name: r, signal: h }}]\n");
        Rules::parse("rules.yaml", &text).unwrap_or_else(|all| panic!("{all}"))
    }

    fn signal(name: &str, schema: &str, states: &[&str]) -> String {
        let schema = schema.split_once('/').map_or_else(String::new, |(name, version)| {
            format!("schema: {{ name: {name}, version: {version} }}, ")
        });
        let states: Vec<_> = states.iter().map(|state| format!("{state}: data.{state}")).collect();
        format!("{name}: {{ {schema}states: {{ {} }} }}", states.join(", "))
    }

    #[test]
    fn states_go_only_with_a_major_version() {
        let up_down = &["up", "down"][..];
        for (before, now, problem) in [
            (("s/1.0.0", up_down), ("s/1.0.0", &["down", "up"][..]), ""),
            (("s/1.0.0", up_down), ("s/1.1.0", &["up", "down", "slow"]), ""),
            (
                ("s/1.0.0", up_down),
                ("s/1.0.0", &["up", "down", "slow"]),
                "s/1.0.0 had no state `slow`",
            ),
            (
                ("s/1.0.0", up_down),
                ("s/1.1.0", &["up"]),
                "s/1.1.0 has no state `down`, which s/1.0.0 had",
            ),
            (
                ("s/1.0.0", up_down),
                ("s/1.1.0", &["up", "dead"]),
                "s/1.1.0 has no state `down`, which s/1.0.0 had",
            ),
            (("s/1.0.0", up_down), ("s/2.0.0", &["up"]), ""),
            (
                ("s/1.1.0", up_down),
                ("s/1.0.0", up_down),
                "the version of s/1.0.0 is lower than it was: 1.1.0",
            ),
            (
                ("s/2.0.0", up_down),
                ("s/1.0.0", up_down),
                "the version of s/1.0.0 is lower than it was: 2.0.0",
            ),
            (
                ("s/1.0.0", up_down),
                ("t/1.0.0", &["up"]),
                "`t/1.0.0` has no state `down`, which the signal had in s/1.0.0",
            ),
            (("s/1.0.0", up_down), ("t/1.0.0", up_down), ""),
            (("s/1.0.0", up_down), ("", &["up"]), "the signal `h` has no state `down` any more"),
            (("", up_down), ("", &["up"]), "the signal `h` has no state `down` any more"),
            (("", up_down), ("", &["up", "down", "slow"]), ""),
            (("", up_down), ("s/0.1.0", &["up"]), "the signal `h` has no state `down` any more"),
            (("", up_down), ("s/1.0.0", &["up"]), ""),
        ] {
            let of = |(schema, states): (&str, &[&str])| rules(&signal("h", schema, states));
            let found = of(now).incompatible(&of(before));
            let found: Vec<_> = found.into_iter().map(|found| found.message).collect();
            let wanted: Vec<_> = [problem].into_iter().filter(|text| !text.is_empty()).collect();
            assert_eq!(found, wanted, "{before:?} {now:?}");
        }
    }

    #[test]
    fn a_signal_goes_only_if_its_schema_goes_on() {
        let file = |signals: &[String], on: &[&str]| {
            let rules = on.iter().map(|name| format!("{{ name: on-{name}, signal: {name} }}"));
            let (signals, rules) = (signals.join(", "), rules.collect::<Vec<_>>().join(", "));
            let text = format!("version: 1\nsignals: {{ {signals} }}\nrules: [{rules}]\n");
            Rules::parse("rules.yaml", &text).unwrap_or_else(|all| panic!("{all}"))
        };
        let h = || signal("h", "", &["up"]);
        let gone = "the signal `g` is gone, and all its states";
        for (schema, told, now, problem) in [
            ("s/1.0.0", true, vec![h()], Some(gone)),
            ("", true, vec![h()], Some(gone)),
            ("", true, vec![h(), signal("k", "s/1.0.0", &["up"])], Some(gone)),
            ("s/1.0.0", true, vec![h(), signal("k", "t/2.0.0", &["up"])], Some(gone)),
            ("s/1.0.0", true, vec![h(), signal("k", "s/2.0.0", &["ok"])], None),
            ("s/1.0.0", true, vec![h(), signal("k", "s/1.1.0", &["up", "slow"])], None),
            ("s/1.0.0", true, vec![h(), signal("g", "", &["up"])], None),
            // Nobody was told of its states.
            ("", false, vec![h()], None),
        ] {
            let on = if told { &["h", "g"][..] } else { &["h"] };
            let before = file(&[signal("g", schema, &["up"]), h()], on);
            let found = file(&now, &["h"]).incompatible(&before);
            let found: Vec<_> = found.iter().map(|found| found.message.as_str()).collect();
            assert_eq!(found, problem.into_iter().collect::<Vec<_>>(), "{schema} {now:?}");
        }
    }

    #[test]
    fn a_rule_makes_the_same_states_in_the_same_version() {
        let file = |rule: &str| {
            let text = format!(
                "version: 1\nsignals: {{ h: {{ states: {{ up: data.up, down: data.down }} }}, \
                 n: {{ value: data.n }} }}\nrules: [{{ name: r, {rule} }}]\n"
            );
            Rules::parse("rules.yaml", &text).unwrap_or_else(|all| panic!("{all}"))
        };
        let gone = |state| format!("the rule `r` tells of no `{state}` any more");
        let absent = "signal: h, absent: { after: 1m }";
        for (before, now, problem) in [
            (absent, "signal: h", gone("unknown")),
            ("signal: h, flap_detection: {}", absent, gone("flapping")),
            ("signal: n, above: 2, below: 1", "signal: n, above: 2", gone("below")),
            (absent, "signal: h, version: 1.0.0", String::new()),
            ("signal: h", absent, String::new()),
            (
                "signal: h, version: 1.0.0",
                "signal: h, absent: { after: 1m }, version: 1.0.0",
                "the rule `r` told of no `unknown` in this version".to_owned(),
            ),
            (
                "signal: h, absent: { after: 1m }, version: 1.0.0",
                "signal: h, version: 1.0.1",
                String::new(),
            ),
            (
                "signal: h, version: 1.1.0",
                "signal: h, version: 1.0.9",
                "the version of the rule `r` is lower than it was: 1.1.0".to_owned(),
            ),
            (
                "signal: h, version: 1.1.0",
                "signal: h",
                "the rule `r` has no version any more: it was 1.1.0".to_owned(),
            ),
        ] {
            let found = file(now).incompatible(&file(before));
            let found: Vec<_> = found.into_iter().map(|found| found.message).collect();
            let wanted: Vec<_> = [problem].into_iter().filter(|text| !text.is_empty()).collect();
            assert_eq!(found, wanted, "{before} {now}");
        }
    }

    #[test]
    fn a_schema_goes_on_under_another_signal() {
        let before = rules(&format!(
            "h: {{ states: {{ x: true }} }}, {}",
            signal("a", "s/1.0.0", &["up", "down"])
        ));
        let now =
            rules(&format!("h: {{ states: {{ x: true }} }}, {}", signal("b", "s/1.2.0", &["up"])));
        let found = now.incompatible(&before);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].message, "s/1.2.0 has no state `down`, which s/1.0.0 had");
        assert!(before.incompatible(&before).is_empty());
    }
}
