//! What is legal in a rule file and surely unwanted. Only what is certain from the file alone is
//! said: whoever means it so has nothing to silence.

use std::ops::Range;

use super::{
    Condition, Diagnostic, Expression, Kind, Rule, Rules, Signal, SinkKind, State, UNKNOWN, Verdict,
};

impl Rules {
    /// The warnings about this file.
    pub fn lint(&self) -> Vec<Diagnostic> {
        let mut list = self.remarks.clone();
        self.lint_sources(&mut list);
        for (index, signal) in self.signals.iter().enumerate() {
            if self.rules.iter().all(|rule| rule.signal != index && !rule.is_marked_by(index)) {
                let message = format!("no rule uses the signal `{}`", signal.name);
                let help = format!("add a rule with `signal: {}`, or remove it", signal.name);
                warn(&mut list, &signal.span, message, help);
            }
            lint_signal(signal, &mut list);
            self.lint_unnamed(index, signal, &mut list);
        }
        for rule in &self.rules {
            let signal = &self.signals[rule.signal];
            lint_rule(rule, &mut list);
            lint_silent_fault(rule, signal, &mut list);
            lint_forgotten(rule, signal, &mut list);
            self.lint_dedup(rule, &mut list);
        }
        self.lint_sinks(&mut list);
        self.lint_silences(&mut list);
        list
    }

    /// A state that no rule names, where one names the others.
    fn lint_unnamed(&self, index: usize, signal: &Signal, list: &mut Vec<Diagnostic>) {
        let on: Vec<_> = self.rules.iter().filter(|rule| rule.signal == index).collect();
        let named = |rule: &Rule| {
            let spans = rule.hold_spans.iter().take(signal.states.len());
            spans.flatten().count()
        };
        let Some(rule) = on.iter().find(|rule| named(rule) > 1) else { return };
        for (number, state) in signal.states.iter().enumerate() {
            if on.iter().all(|rule| rule.hold_spans[number].is_none()) {
                let message = format!(
                    "the state `{}` is in no `hold`, as others are: it becomes an episode at once",
                    state.name
                );
                let help = format!(
                    "add it to that of `{0}`; as `{1}: 0s` if you mean it",
                    rule.name, state.name
                );
                warn(list, &state.when.span(), message, help);
            }
        }
    }

    /// Dedup by nothing that tells records apart.
    fn lint_dedup(&self, rule: &Rule, list: &mut Vec<Diagnostic>) {
        let Some(dedup) = &rule.dedup else { return };
        let same =
            |value: &Expression| value.text().trim() == "subject" || value.constant().is_some();
        if dedup.by.iter().all(same) {
            let message =
                format!("the rule `{}` takes every observation of a state for a repeat", rule.name);
            let help = "`by` has only what all records of an entity share; add what repeats share";
            warn(list, &rule.span, message, help);
        }
    }

    fn lint_sinks(&self, list: &mut Vec<Diagnostic>) {
        for (index, sink) in self.sinks.iter().enumerate() {
            if self.routes.iter().all(|route| route.to != index) {
                let message = format!("no route leads to the sink `{}`", sink.name);
                let help = format!("add `routes: [{{ to: {} }}]`, or remove it", sink.name);
                warn(list, &sink.span, message, help);
                continue;
            }
            let told = |kind: Kind| {
                self.routes.iter().any(|route| route.to == index && route.on[kind as usize])
            };
            let resolves = told(Kind::Closed) && told(Kind::Correction);
            let is_alertmanager = matches!(sink.kind, SinkKind::Alertmanager { .. });
            if is_alertmanager && told(Kind::Opened) && !resolves {
                let message = format!("alerts of `{}` are not all resolved", sink.name);
                let help = "give it `closed` and `correction`, too, or leave `on` out";
                warn(list, &sink.span, message, help);
            }
        }
    }

    fn lint_silences(&self, list: &mut Vec<Diagnostic>) {
        for silence in self.silences.iter().filter(|_| self.routes.is_empty()) {
            let message =
                format!("`{}` silences nothing: nobody is told of anything", silence.name);
            warn(list, &silence.span, message, "add `routes: [{ to: SINK }]`, or remove it");
        }
        for (number, hearing) in self.hearings() {
            let name = &self.silences[number].name;
            let void = format!("`{name}` is never told of");
            lint_filter(hearing.filter.as_ref(), &void, "the record", list);
            if hearing.id.constant().is_some() {
                let message = format!("all records of `{name}` tell of one silence, by one `id`");
                let help =
                    "each takes the place of the one before; write where the id stands, as data.id";
                warn(list, &hearing.id.span(), message, help);
            }
        }
    }

    fn lint_sources(&self, list: &mut Vec<Diagnostic>) {
        for (index, source) in self.sources.iter().enumerate() {
            let is_other = |from: Option<usize>| from.is_some_and(|from| from != index);
            let hears_none = self.hearings().all(|(_, hearing)| is_other(hearing.from));
            if hears_none && self.signals.iter().all(|signal| is_other(signal.from)) {
                let message = format!("no signal comes from the source `{}`", source.name);
                let help = "every signal has `from` another source: all its records are unmatched";
                warn(list, &source.span, message, help);
            }
        }
    }
}

/// A `where` that asks nothing: by which something is void, if it never holds.
fn lint_filter(filter: Option<&Condition>, void: &str, of: &str, list: &mut Vec<Diagnostic>) {
    let Some((filter, verdict)) = filter.and_then(|filter| Some((filter, filter.constant()?)))
    else {
        return;
    };
    let (message, help) = match verdict {
        Verdict::True => ("`where` holds for every record".to_owned(), "remove it, or ask"),
        _ => (format!("`where` holds for no record: {void}"), "ask"),
    };
    warn(list, &filter.span(), message, format!("{help} something of {of}"));
}

fn lint_signal(signal: &Signal, list: &mut Vec<Diagnostic>) {
    let void = format!("`{}` is void", signal.name);
    lint_filter(signal.filter.as_ref(), &void, "the record", list);
    for (index, state) in signal.states.iter().enumerate() {
        if let Some(earlier) = signal.states[..index].iter().find(|earlier| hides(earlier, state)) {
            let message =
                format!("`{}` is never reached: `{}` comes first", state.name, earlier.name);
            let help = match earlier.when.constant() {
                Some(_) => format!("`{}` holds for every record; put it last", earlier.name),
                None => "both have the same condition, and the first that holds counts".to_owned(),
            };
            warn(list, &state.when.span(), message, help);
        } else if matches!(state.when.constant(), Some(Verdict::False | Verdict::Error)) {
            let message = format!("no record is ever `{}`", state.name);
            warn(list, &state.when.span(), message, "ask something of the record");
        }
    }
}

/// Whether a state leaves nothing for one that comes later.
fn hides(earlier: &State, later: &State) -> bool {
    let same = earlier.when.text().trim() == later.when.text().trim();
    same || earlier.when.constant() == Some(Verdict::True)
}

fn lint_rule(rule: &Rule, list: &mut Vec<Diagnostic>) {
    let void = format!("`{}` never fires", rule.name);
    lint_filter(rule.filter.as_ref(), &void, "the labels", list);
    if let Some(except) = &rule.except {
        let held = rule.hold_ns.iter().any(|hold| *hold > 0)
            || rule.keep_ns.iter().any(|keep| *keep > 0)
            || rule.stages.are_any();
        let message = match except.constant() {
            Some(Verdict::True) => {
                Some(("`except` holds for every record", "nothing is ever held"))
            }
            Some(_) => Some(("`except` holds for no record", "ask something of the record")),
            None if !held => {
                Some(("`except` lets through what nothing holds", "give a state a `hold`"))
            }
            None => None,
        };
        if let Some((message, help)) = message {
            warn(list, &except.span(), message.to_owned(), help);
        }
    }
    if rule.stages.faults.contains(&true)
        && !rule.stages.need_faults()
        && rule.persistence.is_none()
    {
        let message = format!("the rule `{}` has faults that nothing asks for", rule.name);
        let help = "`quorum`, `flap_damping`, `grace` and `persistence` do; add one of them, or remove \
                    `faults`";
        warn(list, &rule.span, message, help);
    }
    if rule.hold_ns.iter().all(|hold| *hold == 0) && !rule.is_staged() {
        let message = format!("the rule `{}` holds nothing back", rule.name);
        let help = "every change of state becomes an episode at once; give a state a `hold`";
        warn(list, &rule.span, message, help);
    }
}

/// A fault that no stage which asks for faults ever judges.
fn lint_silent_fault(rule: &Rule, signal: &Signal, list: &mut Vec<Diagnostic>) {
    let mut faults = (0..).zip(&rule.stages.faults).filter(|(_, fault)| **fault);
    let is_judged = !rule.stages.need_faults() || rule.persistence.is_some();
    if !is_judged && faults.any(|(state, _)| rule.is_of_silence(signal, state)) {
        let message = format!("`{UNKNOWN}` is a fault to nothing in the rule `{}`", rule.name);
        let help = "`quorum`, `flap_damping` and `grace` let through what nobody observed: leave it out, \
                    and give it a `hold`";
        warn(list, &rule.span, message, help);
    }
}

/// What has to last for longer than who is silent is remembered.
fn lint_forgotten(rule: &Rule, signal: &Signal, list: &mut Vec<Diagnostic>) {
    for (state, name) in rule.own_states(signal) {
        for (what, ns) in [("hold", rule.hold_ns[state]), ("keep", rule.keep_ns[state])] {
            if ns >= rule.expire_after_ns {
                // Of who is silent nothing is observed again.
                let message = match rule.is_of_silence(signal, state) {
                    true => format!("the `{what}` of `{name}` is never over"),
                    false => format!(
                        "the `{what}` of `{name}` is over only if the entity is observed meanwhile"
                    ),
                };
                let help =
                    "it is forgotten after `expire_after`: lower the one, or raise the other";
                warn(list, rule.hold_spans[state].as_ref().unwrap_or(&rule.span), message, help);
            }
        }
    }
}

fn warn(list: &mut Vec<Diagnostic>, span: &Range<usize>, message: String, help: impl Into<String>) {
    list.push(Diagnostic::new(span.clone(), message, help));
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::Diagnostics;
    use super::*;

    fn lint(text: &str) -> Vec<String> {
        let rules = Rules::parse("f", text).unwrap_or_else(|errors| panic!("{errors}"));
        rules.lint().into_iter().map(|warning| warning.message).collect()
    }

    #[test]
    fn sinks_that_are_told_nothing_or_half_are_warned_of() {
        let warned = |routes: &str| {
            lint(&format!(
                "version: 1\nsignals: {{ a: {{ states: {{ up: data.up }} }} }}\n\
                 rules: [{{ name: r, signal: a, hold: {{ up: 1s }} }}]\nsinks:\n  \
                 hook: {{ webhook: {{ url: http://h }} }}\n  \
                 am: {{ alertmanager: {{ url: http://h }} }}\nroutes: {routes}\n"
            ))
        };
        let half = "alerts of `am` are not all resolved";
        assert_eq!(warned("[{ to: am }]"), ["no route leads to the sink `hook`"]);
        assert_eq!(
            warned("[{ to: hook, on: [opened] }, { to: am, on: [opened, closed] }]"),
            [half]
        );
        assert_eq!(warned("[{ to: hook }, { to: am, on: [opened, correction] }]"), [half]);
        let both = "[{ to: hook }, { to: am, on: [opened] }, { to: am, on: [closed, correction] }]";
        assert_eq!(warned(both), Vec::<String>::new());
    }

    #[test]
    fn what_no_stage_judges_or_is_forgotten_first_is_warned_of() {
        let warned = |states: &str, rule: &str| {
            lint(&format!(
                "version: 1\nsignals: {{ a: {{ states: {{ up: data.up, {states} }} }} }}\n\
                 rules: [{{ name: r, signal: a, absent: {{ after: 1m }}, expire_after: 10m, {rule} }}]\n"
            ))
        };
        let silent = "`unknown` is a fault to nothing in the rule `r`";
        for kind in ["grace: 5m", "flap_damping: {}"] {
            let rule = format!("faults: [down, unknown], {kind}");
            assert_eq!(warned("down: data.down", &rule), [silent], "{kind}");
            // It may be observed, too, then it is judged.
            let observed = "down: data.down, unknown: data.unknown";
            assert_eq!(warned(observed, &rule), [""; 0], "{kind}");
            let rule = format!("faults: [down], {kind}");
            assert_eq!(warned("down: data.down", &rule), [""; 0], "{kind}");
        }
        for (held, found) in
            [("hold: { down: 10m, up: 0s }", "hold"), ("keep: { down: 10m }", "keep")]
        {
            let found =
                format!("the `{found}` of `down` is over only if the entity is observed meanwhile");
            assert_eq!(warned("down: data.down", held), [found]);
        }
        assert_eq!(warned("down: data.down", "keep: { down: 599s }"), [""; 0]);
        let never = "the `hold` of `unknown` is never over";
        assert_eq!(warned("down: data.down", "hold: { unknown: 10m, up: 0s }"), [never]);
    }

    #[test]
    fn events_that_tell_of_no_silence_or_of_one_are_warned_of() {
        let warned = |events: &str| {
            lint(&format!(
                "version: 1\nsignals: {{ a: {{ states: {{ up: data.up }} }} }}\n\
                 rules: [{{ name: r, signal: a, hold: {{ up: 1s }} }}]\n\
                 sinks: {{ hook: {{ webhook: {{ url: http://h }} }} }}\nroutes: [{{ to: hook }}]\n\
                 silences: {{ told: {{ events: {{ from: cloudevents, {events} }} }} }}\n"
            ))
        };
        let one = "all records of `told` tell of one silence, by one `id`";
        for id in ["id: 3", "id: '\"x\"'", "id: '\"a\" + string(1)'"] {
            assert_eq!(warned(id), [one], "{id}");
        }
        for (filter, found) in [
            ("where: 'true'", "`where` holds for every record"),
            ("where: 1 == 2", "`where` holds for no record: `told` is never told of"),
        ] {
            assert_eq!(warned(filter), [found], "{filter}");
        }
        let far = "where: data.quiet, ends: '\"2100-01-01T00:00:00Z\"'";
        for right in [far, "id: data.id", "id: { field: '3' }", "id: '\"a\" + data.id'"] {
            assert_eq!(warned(right), [""; 0], "{right}");
        }
    }

    #[test]
    fn what_is_surely_unwanted_is_warned_of() {
        let text = r#"version: 1
sources:
  probe: { format: cloudevents }
  other: { format: cloudevents }
signals:
  readiness:
    from: probe
    where: 1 == 1 || data.x == 1
    states:
      ready: data.state == "ready"
      good: data.state == "ready"
      never: "false"
      rest: "true"
      late: data.state == "late"
  unused:
    from: probe
    where: type == "x" && false
    states: { on: data.on }
rules:
  - { name: r, signal: readiness, hold: { ready: 0s } }
"#;
        let rules = Rules::parse("rules.yaml", text).unwrap_or_else(|errors| panic!("{errors}"));
        let warnings = Diagnostics::warnings("rules.yaml", text, rules.lint()).expect("warnings");
        expect![[r#"
            warning: no signal comes from the source `other`
             --> rules.yaml:4:3
              |
            4 |   other: { format: cloudevents }
              |   ^^^^^
              |
              = help: every signal has `from` another source: all its records are unmatched

            warning: `where` holds for every record
             --> rules.yaml:8:12
              |
            8 |     where: 1 == 1 || data.x == 1
              |            ^^^^^^^^^^^^^^^^^^^^^
              |
              = help: remove it, or ask something of the record

            warning: `good` is never reached: `ready` comes first
              --> rules.yaml:11:13
               |
            11 |       good: data.state == "ready"
               |             ^^^^^^^^^^^^^^^^^^^^^
               |
               = help: both have the same condition, and the first that holds counts

            warning: no record is ever `never`
              --> rules.yaml:12:14
               |
            12 |       never: "false"
               |              ^^^^^^^
               |
               = help: ask something of the record

            warning: `late` is never reached: `rest` comes first
              --> rules.yaml:14:13
               |
            14 |       late: data.state == "late"
               |             ^^^^^^^^^^^^^^^^^^^^
               |
               = help: `rest` holds for every record; put it last

            warning: no rule uses the signal `unused`
              --> rules.yaml:15:3
               |
            15 |   unused:
               |   ^^^^^^
               |
               = help: add a rule with `signal: unused`, or remove it

            warning: `where` holds for no record: `unused` is void
              --> rules.yaml:17:12
               |
            17 |     where: type == "x" && false
               |            ^^^^^^^^^^^^^^^^^^^^
               |
               = help: ask something of the record

            warning: the rule `r` holds nothing back
              --> rules.yaml:20:13
               |
            20 |   - { name: r, signal: readiness, hold: { ready: 0s } }
               |             ^
               |
               = help: every change of state becomes an episode at once; give a state a `hold`

            8 warnings
        "#]]
        .assert_eq(&warnings.to_string());
    }

    #[test]
    fn rules_that_can_never_fire_are_warned_of() {
        let text = |rule: &str| {
            format!(
                "version: 1\nsignals: {{ s: {{ labels: {{ a: data.a }}, states: {{ up: data.x }} }} }}\n\
                 rules: [{{ name: r, signal: s, hold: {{ up: 1s }}, {rule} }}]"
            )
        };
        for (rule, found) in [
            ("where: 'false && labels.a == \"x\"'", "`where` holds for no record: `r` never fires"),
            ("where: 'true'", "`where` holds for every record"),
            (
                "dedup: { by: [subject], within: 1m }",
                "the rule `r` takes every observation of a state for a repeat",
            ),
            (
                "dedup: { by: [subject, '1'], within: 1m }",
                "the rule `r` takes every observation of a state for a repeat",
            ),
        ] {
            assert_eq!(lint(&text(rule)), [found]);
        }
        for rule in ["where: labels.a == 'x'", "dedup: { by: [subject, data.id], within: 1m }"] {
            assert_eq!(lint(&text(rule)), [""; 0], "{rule}");
        }
    }

    #[test]
    fn an_exception_from_nothing_is_warned_of() {
        let text = |rule: &str| {
            format!(
                "version: 1\nsignals: {{ s: {{ states: {{ up: data.x }} }} }}\n\
                 rules: [{{ name: r, signal: s, {rule} }}]"
            )
        };
        for (rule, found) in [
            ("hold: { up: 1s }, except: 'true'", "`except` holds for every record"),
            (
                "hold: { up: 1s }, except: 'severity == \"a\" && false'",
                "`except` holds for no record",
            ),
            ("except: data.severe", "`except` lets through what nothing holds"),
        ] {
            assert_eq!(lint(&text(rule)), [found]);
        }
        for rule in ["hold: { up: 1s }, except: data.y", "absent: { after: 1h }, except: data.y"] {
            assert_eq!(lint(&text(rule)), [""; 0], "{rule}");
        }
    }

    #[test]
    fn a_state_that_is_forgotten_is_warned_of() {
        let text = |rules: &str| {
            format!(
                "version: 1\nsignals: {{ s: {{ states: {{ up: data.x == 1, down: data.x == 2, odd: \
                 data.x == 3 }} }} }}\nrules:\n{rules}"
            )
        };
        let forgotten =
            "the state `odd` is in no `hold`, as others are: it becomes an episode at once";
        assert_eq!(
            lint(&text("- { name: r, signal: s, hold: { up: 5s, down: 5s } }")),
            [forgotten]
        );
        for rules in [
            "- { name: r, signal: s, hold: { up: 5s, down: 5s, odd: 0s } }",
            // One that is slow, and all others at once.
            "- { name: r, signal: s, hold: { down: 5s } }",
            // Another rule knows it.
            "- { name: r, signal: s, hold: { up: 5s, down: 5s } }\n\
             - { name: q, signal: s, hold: { odd: 1m } }",
        ] {
            assert_eq!(lint(&text(rules)), [""; 0], "{rules}");
        }
    }

    #[test]
    fn what_may_be_meant_is_not_warned_of() {
        for conditions in [
            // A default comes last.
            r#"up: data.x == 1, down: "true""#,
            r#"up: data.x == 1, down: data.x == 10"#,
            r#"up: data.x == 1, down: "data.x == 1 || data.y""#,
            r#"up: data.x == 1, down: "!data.y || size(data.z) == 1""#,
        ] {
            let text = format!(
                "version: 1\nlateness: 1h\nsignals: {{ s: {{ states: {{ {conditions} }} }} }}\n\
                 rules: [{{ name: r, signal: s, hold: {{ down: 1s }} }}]"
            );
            assert_eq!(lint(&text), [""; 0], "{conditions}");
        }
    }

    #[test]
    fn constants_are_found_through_connectives() {
        for (filter, found) in [
            ("true", "`where` holds for every record"),
            ("!(2 in [1, 3]) || data.x", "`where` holds for every record"),
            ("[1, 2].all(x, x > 0)", "`where` holds for every record"),
            ("data.x && 'a'.startsWith('b')", "`where` holds for no record: `s` is void"),
            ("1 / 0 == 1", "`where` holds for no record: `s` is void"),
        ] {
            let text = format!(
                "version: 1\nsignals: {{ s: {{ where: \"{filter}\", states: {{ up: data.x }} }} }}\n\
                 rules: [{{ name: r, signal: s, hold: {{ up: 1s }} }}]"
            );
            assert_eq!(lint(&text), [found], "{filter}");
        }
    }
}
