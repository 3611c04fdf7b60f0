use expect_test::{Expect, expect};

use super::*;
use crate::rules::Rules;

const ALERTS: &str = r#"
groups:
  - name: node
    interval: 30s
    rules:
      - alert: HighLoad
        expr: node_load1{job="node", env=~"prod|stage", zone!=""} > 5
        for: 10m
        keep_firing_for: 5m
        labels: { severity: page }
        annotations:
          summary: "load of {{ $labels.instance }} is {{ $value }}"
          advice: "{{ $value | humanize }}"
      - alert: Down
        expr: (0 == up)
      - alert: HighLoad
        expr: node_load1 >= 10.5
        labels: { severity: critical, team: "{{ .Labels.team }}" }
      - alert: Rates
        expr: rate(errors_total[5m]) > 1
      - alert: Both
        expr: a > 1 and b > 1
      - record: job:load:mean
        expr: avg by (job) (node_load1)
      - alert: No time
        expr: up < 1
        for: soon
"#;

const MANAGER: &str = r#"
global: { smtp_from: a@b.c }
route:
  receiver: team
  mute_time_intervals: [nights]
  routes:
    - matchers: ['severity="page"']
      receiver: pager
    - match: { team: infra }
      match_re: { namespace: "a|b" }
      mute_time_intervals: [weekend, nights, lost]
      active_time_intervals: [hours]
receivers: [{ name: team }, { name: pager }]
time_intervals:
  - name: nights
    time_intervals:
      - times: [{ start_time: 22:00, end_time: 24:00 }]
        location: Europe/Berlin
      - { weekdays: ['Monday:Friday'], months: ['january:march', '12'], days_of_month: ['-3:-1'], years: [2026] }
  - name: weekend
    time_intervals: [{ weekdays: [saturday, sunday], location: Local }]
inhibit_rules:
  - source_matchers: [alertname = Down, 'cluster != ""']
    target_matchers: ['severity =~ "page|critical", alertname != Down']
    equal: [instance]
  - { source_match: { severity: critical }, target_match: { severity: page }, equal: [state] }
"#;

fn imported(files: &[(&str, &str)]) -> (String, String) {
    let files: Vec<_> =
        files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
    let imported = import(&files).unwrap_or_else(|wrong| panic!("{wrong:?}"));
    // What is written into a file of its own passes the check.
    if imported.text.starts_with("version:") {
        Rules::parse("rules.yaml", &imported.text)
            .unwrap_or_else(|errors| panic!("{errors}\n{}", imported.text));
    }
    let left: Vec<_> = imported
        .left
        .iter()
        .flat_map(|left| {
            left.iter().map(|one| {
                let (line, column) = left.position(one);
                format!("{line}:{column}: {}; {}\n", one.message, one.help.as_deref().unwrap_or(""))
            })
        })
        .collect();
    (imported.text, left.concat())
}

fn check(text: &str, expected: &Expect) {
    expected.assert_eq(text);
}

#[test]
fn what_maps_is_converted_and_the_rest_is_told() {
    let (text, left) = imported(&[("alerts.yml", ALERTS), ("alertmanager.yml", MANAGER)]);
    check(
        &text,
        &expect![[r#"
            version: 1

            sources:
              prometheus: { format: prometheus }   # or openmetrics, exposition

            signals:
              HighLoad:
                from: prometheus
                where: "data.name == \"node_load1\" && (has(data.labels.job) && data.labels.job == \"node\") && (has(data.labels.env) && data.labels.env.matches(\"^(?:prod|stage)$\")) && (has(data.labels.zone) && !(data.labels.zone == \"\")) && has(data.value)"
                labels: { cluster: { field: labels.cluster }, instance: { field: labels.instance }, namespace: { field: labels.namespace }, team: { field: labels.team } }
                value: data.value
                states:
                  firing: "double(data.value) > 5.0"
                  inactive: "true"
              Down:
                from: prometheus
                where: "data.name == \"up\" && has(data.value)"
                labels: { cluster: { field: labels.cluster }, instance: { field: labels.instance }, namespace: { field: labels.namespace }, severity: { field: labels.severity }, team: { field: labels.team } }
                value: data.value
                states:
                  firing: "double(data.value) == 0.0"
                  inactive: "true"
              HighLoad-2:
                from: prometheus
                where: "data.name == \"node_load1\" && has(data.value)"
                labels: { cluster: { field: labels.cluster }, instance: { field: labels.instance }, namespace: { field: labels.namespace }, team: { field: labels.team } }
                value: data.value
                states:
                  firing: "double(data.value) >= 10.5"
                  inactive: "true"

            rules:
              - name: HighLoad
                signal: HighLoad
                hold: { firing: 10m1ms }   # for 10m; what comes at its very end still counts
                keep: { firing: 5m }
                expire_after: 5m   # as Prometheus does with series that have ended
                labels:
                  alertname: "HighLoad"
                  severity: "page"
                annotations:
                  summary: "load of {{ $labels.instance }} is {{ $value }}"
              - name: Down
                signal: Down
                expire_after: 5m   # as Prometheus does with series that have ended
                labels:
                  alertname: "Down"
              - name: HighLoad-2
                signal: HighLoad-2
                expire_after: 5m   # as Prometheus does with series that have ended
                labels:
                  alertname: "HighLoad"
                  severity: "critical"
                  team: "{{ $labels.team }}"

            sinks:
              alertmanager: { alertmanager: { url: "http://localhost:9093" } }   # where yours is

            routes:
              - { match: [state = firing], to: alertmanager }

            silences:
              inhibited:
                match: ["state = firing", "severity =~ \"page|critical\"", "alertname != Down"]
                while: { match: ["state = firing", "alertname = Down", "cluster != \"\""], equal: [instance] }

            windows:
              nights:
                match: ["state = firing"]
                time_intervals:
                  - { times: [{ start_time: "22:00", end_time: "24:00" }], location: "Europe/Berlin" }
                  - { weekdays: ["monday:friday"], months: ["january:march", "12"], days_of_month: ["-3:-1"], years: ["2026"] }
              nights-2:
                match: ["state = firing", "team = \"infra\"", "namespace =~ \"a|b\""]
                time_intervals:
                  - { times: [{ start_time: "22:00", end_time: "24:00" }], location: "Europe/Berlin" }
                  - { weekdays: ["monday:friday"], months: ["january:march", "12"], days_of_month: ["-3:-1"], years: ["2026"] }
        "#]],
    );
    check(
        &left,
        &expect![[r#"
            4:5: when rules are evaluated is not converted; every sample is judged when it comes: there is nothing to do
            13:19: `advice` of the alert `HighLoad` is left out: `{{ $value | humanize }}`; texts show {{ $labels.NAME }} and {{ $value }} as they are, without functions
            16:16: the alert `HighLoad` is called `HighLoad-2`; each rule has a name of its own, without blanks: whoever matches it must know
            20:15: the alert `Rates` is not converted: `rate` computes over several samples or series; record it in Prometheus (`record: NAME`), read NAME, and compare that with a number
            22:15: the alert `Both` is not converted: it is more than a selector compared with a number; record it in Prometheus (`record: NAME`), read NAME, and compare that with a number
            23:17: the recording rule `job:load:mean` computes a series; leave it to Prometheus, and read what it records
            27:14: `soon` is no time: the alert `No time` is not converted; write it as 5m
            2:1: `global` is not converted; settings of sinks stand with each sink
            3:1: `route` is not converted; say with `routes` who is told of what; only the times of its routes are converted
            5:24: what routes below this one take is muted by its window, too; exclude it by matchers, as severity != "page"
            11:28: what routes before this one take is muted by its window, too; exclude it by matchers, as severity != "page"
            11:46: there is no time interval `lost`; define it
            12:30: times in which alone somebody is told are not converted; write the other times as `time_intervals` of a window
            13:1: `receivers` is not converted; name them as `sinks`: webhooks, or Alertmanager itself
            21:64: the window `weekend` is not converted: whose clocks are `Local`?; write an IANA name, as Europe/Berlin
            26:87: the label `state` has another meaning here, or can be none; relabel it in Prometheus
        "#]],
    );
    let rules = Rules::parse("rules.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!((rules.rules.len(), rules.silences.len()), (3, 3));
    // What fires at once is meant so, and what is held for long is observed again and again.
    let unwanted: Vec<_> = rules.lint().into_iter().map(|lint| lint.message).collect();
    assert!(
        unwanted.iter().all(|lint| {
            lint.contains("holds nothing back") || lint.contains("is observed meanwhile")
        }),
        "{unwanted:?}"
    );
}

#[test]
fn what_would_be_wrong_is_left() {
    const ALERT: &str =
        "groups: [{ rules: [{ alert: A, expr: up == 0, labels: { __x: y, z: w } }] }]";
    const WINDOWS: &str = "route: { routes: [{ mute_time_intervals: [w, v] }] }\n\
        time_intervals:\n\
        - { name: w, time_intervals: [{ weekdays: [\"saturday:sunday\"] }] }\n\
        - { name: v, time_intervals: [] }\n";
    let (text, left) = imported(&[("a.yml", ALERT), ("m.yml", WINDOWS)]);
    for wanted in [
        "1:57: `__x` of the alert `A` is left out",
        "3:3: the window `w` is not converted: `saturday:sunday` ends before it begins",
        "4:3: the window `v` is not converted: `time_intervals` is empty",
    ] {
        assert!(left.contains(wanted), "{wanted}: {left}");
    }
    let rules = Rules::parse("rules.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!((rules.rules[0].labels.len(), rules.silences.len()), (1, 0));
}

const TWICE: &str = "groups: [{ rules: [\
    { alert: Load, expr: a > 5, labels: { severity: warning, alertname: x } },\
    { alert: Load, expr: a > 9, labels: { severity: critical } },\
    { alert: Node down, expr: b != 1 },\
    { alert: Rate, expr: rate(a) > 1 }] }]";

#[test]
fn what_is_inhibited_by_name_is_by_what_alerts_are_called() {
    let manager = "inhibit_rules:\n\
        - { source_matchers: [severity = critical], target_matchers: [severity = warning], equal: [alertname] }\n\
        - { source_match: { alertname: Node down }, target_matchers: [alertname != Gone, alertname =~ Lo.*] }\n";
    // In whatever order they are given.
    let (text, _) = imported(&[("m.yml", manager), ("a.yml", TWICE)]);
    for wanted in [
        "      alertname: \"Load\"\n      severity: \"warning\"\n",
        "      alertname: \"Load\"\n      severity: \"critical\"\n",
        "      alertname: \"Node down\"\n",
        "equal: [alertname] }",
        "match: [\"state = firing\", \"alertname = \\\"Node down\\\"\"] }",
        "match: [\"state = firing\", \"alertname =~ Lo.*\"]\n",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(!text.contains("alertname: \"x\""), "{text}");
}

#[test]
fn what_is_of_alerts_without_a_rule_is_left() {
    let manager = "route: { routes: [{ match: { alertname: Rate }, mute_time_intervals: [w] }] }\n\
        time_intervals: [{ name: w, time_intervals: [{ weekdays: [monday] }] }]\n\
        inhibit_rules:\n\
        - { source_match: { alertname: Gone }, target_match: { alertname: Load } }\n\
        - { source_match: { alertname: Load }, target_matchers: ['alertname = \"Rate\"'] }\n\
        - { source_matchers: [alertname =~ \"(\"] }\n";
    let (text, left) = imported(&[("a.yml", TWICE), ("m.yml", manager)]);
    for wanted in [
        "1:30: there is no rule of the alert `Rate`, of which alone this is",
        "4:21: there is no rule of the alert `Gone`",
        "5:58: there is no rule of the alert `Rate`",
        "6:23: `alertname =~ \"(\"` is no matcher here: not a valid pattern: unclosed group; a regular",
    ] {
        assert!(left.contains(wanted), "{wanted}: {left}");
    }
    assert!(!text.contains("silences:") && !text.contains("windows:"), "{text}");
}

#[test]
fn what_alertmanager_does_otherwise_is_told() {
    let told = |manager: &str, what: &str| {
        imported(&[("a.yml", TWICE), ("m.yml", manager)]).1.contains(what)
    };
    let both = "an alert that fits both sides of this inhibition is never silenced";
    for (source, target, differs) in [
        ("severity = critical", "severity = warning", false),
        ("severity = critical", "severity =~ \"w.*\"", false),
        ("alertname != Load", "alertname = Load", false),
        ("severity = critical", "severity = critical", false),
        ("severity = critical", "alertname = Load", true),
        ("severity = critical", "severity =~ \"c.*\"", true),
    ] {
        let manager = format!(
            "inhibit_rules: [{{ source_matchers: ['{source}'], target_matchers: ['{target}'] }}]"
        );
        assert_eq!(told(&manager, both), differs, "{manager}");
    }
    let below = "what routes below this one take is muted by its window, too";
    for (routes, differs) in [("[{ matchers: [severity = page] }]", true), ("[]", false)] {
        let manager = format!(
            "route: {{ routes: [{{ mute_time_intervals: [w], routes: {routes} }}] }}\n\
             time_intervals: [{{ name: w, time_intervals: [{{ weekdays: [monday] }}] }}]\n"
        );
        assert_eq!(told(&manager, below), differs, "{manager}");
    }
}

#[test]
fn a_configuration_alone_gives_what_is_put_into_a_rule_file() {
    let (text, _) = imported(&[("alertmanager.yml", MANAGER)]);
    assert!(text.starts_with("silences:\n"), "{text}");
}

#[test]
fn what_is_of_neither_tool_is_refused() {
    for text in ["a: 1", "[]", "groups: [", "x: &a 1", ""] {
        let files = [("x.yml".to_owned(), text.to_owned())];
        assert!(import(&files).is_err(), "{text}");
    }
}

#[test]
fn what_is_no_matcher_says_what_is_missing() {
    for (matcher, told) in [
        ("a", "1:37: `a` is no matcher here; write NAME = \"VALUE\", or !=, =~, !~\n"),
        ("= a", "1:37: `= a` is no matcher here; write NAME = \"VALUE\", or !=, =~, !~\n"),
        ("a = \"b", "1:37: `a = \"b` is no matcher here: the value's quotes do not fit; end it"),
        ("a =~ (", "1:37: `a =~ (` is no matcher here: not a valid pattern: unclosed group; a reg"),
    ] {
        let manager = format!("inhibit_rules: [{{ source_matchers: ['{matcher}'] }}]");
        let (text, left) = imported(&[("m.yml", &manager)]);
        assert!(left.starts_with(told), "{left}");
        assert_eq!(text, "");
    }
    let (text, left) = imported(&[("m.yml", "inhibit_rules: [{ source_matcher: [a = b] }]")]);
    assert!(left.starts_with("1:19: an inhibition with `source_matcher`, which is"), "{left}");
    assert!(left.contains("did you mean `source_matchers`?"), "{left}");
    assert_eq!(text, "");
}

/// What the tools would refuse, too; nothing of it is passed over.
#[test]
fn what_is_of_another_type_is_refused() {
    const RULE: &str = "groups: [{ name: g, rules: [{ alert: A, expr: a > 1, ";
    const ROUTE: &str = "time_intervals: [{ name: w, time_intervals: [{ weekdays: [monday] }] }]\n\
        route: { mute_time_intervals: [w], ";
    for (text, at, told) in [
        ("groups: 5".to_owned(), (1, 9), "`groups` is a list, `- item`, not text"),
        ("groups: [5]".to_owned(), (1, 10), "a group is a mapping, `key: value`, not text"),
        ("groups: [~]".to_owned(), (1, 10), "a group is empty, and must be a mapping"),
        ("groups: [{ name: x, rules: 5 }]".to_owned(), (1, 28), "`rules` is a list"),
        ("groups: [{ rules: [5] }]".to_owned(), (1, 20), "a rule is a mapping"),
        ("groups: [{ rules: [{ alert: [A], expr: a > 1 }] }]".to_owned(), (1, 29), "`alert` is te"),
        ("groups: [{ rules: [{ alert: A, expr: [] }] }]".to_owned(), (1, 38), "`expr` is text"),
        (format!("{RULE}for: [5m] }}] }}]"), (1, 59), "`for` is text, not a list"),
        (format!("{RULE}labels: 7 }}] }}]"), (1, 62), "`labels` is a mapping"),
        (format!("{RULE}labels: {{ x: [] }} }}] }}]"), (1, 67), "`x` of `labels` is text"),
        (format!("{RULE}annotations: [] }}] }}]"), (1, 67), "`annotations` is a mapping"),
        ("inhibit_rules: 5".to_owned(), (1, 16), "`inhibit_rules` is a list"),
        ("inhibit_rules: [5]".to_owned(), (1, 17), "an inhibition is a mapping"),
        ("inhibit_rules: [{ equal: 5 }]".to_owned(), (1, 26), "`equal` is a list"),
        ("inhibit_rules: [{ equal: [[]] }]".to_owned(), (1, 27), "a label in `equal` is text"),
        ("inhibit_rules: [{ source_match: 5 }]".to_owned(), (1, 33), "`source_match` is a mapping"),
        (
            "inhibit_rules: [{ target_match: { a: [] } }]".to_owned(),
            (1, 38),
            "`a` of `target_match`",
        ),
        (
            "inhibit_rules: [{ target_matchers: { a: b } }]".to_owned(),
            (1, 36),
            "`target_matchers` is",
        ),
        (
            "inhibit_rules: [{ target_matchers: [[]] }]".to_owned(),
            (1, 37),
            "an item of `target_mat",
        ),
        ("route: 5".to_owned(), (1, 8), "a route is a mapping"),
        (format!("{ROUTE}routes: 5 }}"), (2, 44), "`routes` is a list"),
        (format!("{ROUTE}routes: [5] }}"), (2, 45), "a route is a mapping"),
        (format!("{ROUTE}matchers: {{}} }}"), (2, 46), "`matchers` is a list"),
        (
            "route: { mute_time_intervals: w }".to_owned(),
            (1, 31),
            "`mute_time_intervals` is a list",
        ),
        ("time_intervals: 5".to_owned(), (1, 17), "`time_intervals` is a list"),
        ("time_intervals: [5]".to_owned(), (1, 18), "a time interval is a mapping"),
        ("time_intervals: [{ name: [] }]".to_owned(), (1, 26), "`name` is text"),
        (
            ROUTE.replace("[{ w", "[5, { w") + "}",
            (1, 46),
            "an item of `time_intervals` is a mapping",
        ),
        (ROUTE.replace("[monday]", "monday") + "}", (1, 58), "`weekdays` is a list"),
        (ROUTE.replace("[monday]", "[[]]") + "}", (1, 59), "an item of `weekdays` is text"),
        (ROUTE.replace("weekdays: [monday]", "times: [5]") + "}", (1, 56), "an item of `times` is"),
    ] {
        let files = [("x.yml".to_owned(), text.clone())];
        let Err(wrong) = import(&files) else { panic!("{text}") };
        let [wrong] = &wrong[..] else { panic!("{text}: {wrong:?}") };
        let [first] = &wrong.iter().collect::<Vec<_>>()[..] else { panic!("{text}: {wrong}") };
        assert_eq!(wrong.position(first), at, "{text}: {wrong}");
        assert!(first.message.starts_with(told), "{text}: {wrong}");
    }
    // Where nothing is written there is nothing, as in these tools.
    for text in ["groups:", "groups: [{ name: g, rules: }]", "inhibit_rules: ", "route: {}"] {
        let (text, _) = imported(&[("x.yml", text)]);
        assert_eq!(text, "");
    }
}
