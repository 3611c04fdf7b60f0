//! Rule files, mutated: each is right, or has errors that point into it.

use limbeck::rules::{Diagnostics, Rules};
use limbeck::sources::decode::Shapes;

use super::lines::{SEEDS, Target};
use super::mutate::Corpus;
use super::{Executing, executions, kind, random, report};

const FILES: &[&str] = &[
    include_str!("../data/flat.yaml"),
    include_str!("../data/readiness.yaml"),
    include_str!("../golden/adversarial/rules.yaml"),
    include_str!("../golden/labels/rules.yaml"),
    include_str!("../../datasets/flap-generated/rules.yaml"),
    "version: 1
sources:
  rows: { format: csv, delimiter: tab, header: [ts, 'x y'], time: { field: ts, unit: s }, subject: { field: '`x y`' }, source: { const: s }, type: { const: t } }
  lines:
    format: regex
    pattern: '^(?<ts>\\S+) (?<host>.*)$'
    time: { field: ts, unit: rfc3339 }
    subject: { template: \"{host}/x\" }
    source: { const: s }
    type: { const: t }
  polls: { format: json, explode: pods, time: { field: at, unit: ms }, subject: { field: pods.name }, source: { field: s }, type: { field: t }, id: { field: id }, sequence: { field: n }, arrival: { field: seen, unit: us } }
signals:
  a: { from: rows, where: 'data[\"x y\"] > \"1\"', labels: { x: { field: '`x y`' } }, states: { up: data.ts == 'x', down: 'true' } }
  b: { from: polls, states: { 'on': has(data.pods.x), 'off': '!has(data.pods.x)' } }
rules:
  - { name: r, signal: a, hold: { up: 1h30m, down: 100ms } }
  - { name: q, signal: b }
",
    "version: 1
signals:
  health: { labels: { zone: data.zone, host: subject }, states: { up: data.up, slow: data.ms > 200, down: 'true' } }
  load: { value: data.load, labels: { zone: data.zone }, keep_transitions: true }
rules:
  - name: all
    version: 1.2.0
    signal: health
    where: labels.zone != 'test'
    dedup: { by: [data.id], within: 1m }
    except: data.severity == 'critical'
    absent: { after: 5m }
    quorum: { of: zone, share: 0.5, within: 2m, weights: { a: 2, b: 0.5 } }
    flap_damping: { fault: 1000, return: 0, change: 500, suppress: 2000, reuse: 750, half_life: 15m, max: 1h, test: true }
    flap_detection: { weights: nagios, high: 30, low: 20 }
    faults: [down, slow]
    grace: { for: 2m, after: [first_seen, { signal: load }, { signal: health, states: [up] }] }
    session: { gap: 5m, least: 3 }
    hold: { down: 30s, unknown: 1m, flapping: 1m, session: 0s }
    keep: { down: 2m }
    persistence: { by: zone, prior: 10, remember: 90d, horizons: [5m, 1h], announce: 'p_lasts(\"5m\") > 0.9 || !(p_lasts(\"1h\") < 0.5)' }
    limit: { burst: 25, every: 5m, by: zone }
    aggregate: { by: [zone], from: 10, within: 10m }
    amend_within: 1h
    expire_after: 1d
    labels: { team: '{{ $labels.zone }}' }
  - { name: next, version: 2.0.0, signal: health, canary: { share: 10%, by: zone, base: all@1.2.0 }, mode: observe }
  - { name: hot, signal: load, smooth: { median: 5m }, above: 0.9, below: 0.1, recover: { above: 0.7, below: 0.2 }, hold: { above: 1m } }
  - { name: two, signal: load, above: 0.9, faults: [above], quorum: { of: zone, at_least: 2, within: 1m } }
  - { name: mean, signal: load, smooth: { half_life: 1m }, above: 0.9, recover: 0.7 }
  - { name: rate, signal: load, smooth: { rate: 5m }, below: 1 }
sinks: { pager: { webhook: { url: 'http://localhost/' } } }
routes: [ { match: [state = down, 'zone =~ \"a.*\"'], on: [opened, closed], to: pager } ]
silences:
  move: { match: [zone = a], from: 2026-03-01T22:00:00Z, until: 2026-03-02T02:00:00, location: Europe/Berlin, comment: x }
  work: { while: { match: [rule = all, state = down], equal: [zone] } }
  told: { match: [zone = a], events: { where: has(data.matchers), id: data.id, matchers: { field: matchers }, starts: data.startsAt, ends: data.endsAt } }
windows:
  night: { match: [zone = b], time_intervals: [ { times: [ { start_time: '22:00', end_time: '24:00' } ], weekdays: ['monday:friday'], days_of_month: ['1:7', '-1'], months: ['january:march'], years: ['2026:2027'], location: UTC } ] }
",
    "version: 1\nsignals: {a: {states: {up: 'true'}}}\nrules: [{name: r, signal: a}]\n",
    "",
];

const WORDS: &[&str] = &[
    "version",
    "lateness",
    "max_advance",
    "expire_after",
    "sources",
    "signals",
    "rules",
    "format",
    "json",
    "csv",
    "regex",
    "cloudevents",
    "otlp",
    "kubernetes",
    "explode",
    "delimiter",
    "header",
    "pattern",
    "time",
    "arrival",
    "subject",
    "source",
    "type",
    "sequence",
    "id",
    "field",
    "unit",
    "const",
    "template",
    "from",
    "skew",
    "correct",
    "report",
    "zone",
    "%Y-%m-%d",
    "%d/%b/%Y:%H:%M:%S %z",
    "%",
    "+02:00",
    "schema",
    "2.1.0-rc.1+x",
    "labels",
    "labels.zone",
    "value",
    "annotations",
    "{{ $labels.zone }}",
    "{{ $state",
    "{{",
    "dedup",
    "by",
    "within",
    "amend_within",
    "label_values_max",
    "where",
    "states",
    "name",
    "signal",
    "hold",
    "keep",
    "faults",
    "absent",
    "after",
    "quorum",
    "of",
    "at_least",
    "weights",
    "0.5",
    "grace",
    "for",
    "first_seen",
    "flap_damping",
    "suppress",
    "reuse",
    "half_life",
    "flap_detection",
    "nagios",
    "flapping",
    "unknown",
    "session",
    "gap",
    "least",
    "except",
    "smooth",
    "median",
    "rate",
    "above",
    "below",
    "recover",
    "mode",
    "observe",
    "canary",
    "share",
    "10%",
    "base",
    "all@1.2.0",
    "limit",
    "persistence",
    "prior",
    "remember",
    "horizons",
    "announce",
    "p_lasts(\"5m\") > 0.9",
    "p_lasts(",
    "burst",
    "aggregate",
    "every",
    "keep_transitions",
    "silences",
    "events",
    "matchers",
    "ends",
    "windows",
    "match",
    "while",
    "equal",
    "until",
    "location",
    "Europe/Berlin",
    "time_intervals",
    "times",
    "start_time",
    "end_time",
    "22:00",
    "24:00",
    "weekdays",
    "monday:friday",
    "days_of_month",
    "-1",
    "months",
    "years",
    "2026-03-29T02:30:00",
    "1e308",
    ".nan",
    "s",
    "ms",
    "rfc3339",
    "30s",
    "0s",
    "-1s",
    "1",
    "2",
    "~",
    "null",
    "true",
    "on",
    "yes",
    "&a",
    "*a",
    "!!str",
    "!x",
    "<<",
    "|",
    ">",
    "|-",
    ">+2",
    "---",
    "...",
    "? ",
    "- ",
    ": ",
    ", ",
    "#",
    "{",
    "}",
    "[",
    "]",
    "'",
    "\"",
    "\\x",
    "\\u12",
    "\\",
    "`a.b`",
    "{a}",
    "{",
    "data.x",
    "data[",
    "(?<ts>",
    "(?<",
    ")",
    "[[:x:]]",
    "\\p{L}",
    "*",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\t",
    "\r\n",
    "\n  ",
    "\n",
    "\n- ",
    "\u{0}",
    "é",
    "🦀",
    "%YAML 1.2\n",
    "%TAG",
];

/// Fails unless every error points into the file, can be found and be shown.
pub(crate) fn check_errors(text: &str, errors: &Diagnostics) {
    assert!(errors.len() > 0);
    let lines = text.split('\n').count();
    for error in errors.iter() {
        assert!(error.span.start <= error.span.end, "{error:?}");
        assert!(error.span.end <= text.len(), "{error:?}: behind the end, {}", text.len());
        assert!(!error.message.is_empty());
        let (line, column) = errors.position(error);
        assert!((1..=lines).contains(&line), "{error:?}: line {line} of {lines}");
        let wanted = text.split('\n').nth(line - 1).map_or(0, |line| line.chars().count());
        assert!((1..=wanted + 1).contains(&column), "{error:?}: column {column} of {wanted}");
    }
}

/// Reads a rule file, and tries what is right on some records; says what came of it.
pub(crate) fn execute(text: &str, shown: bool) -> (bool, u64) {
    match Rules::parse("rules.yaml", text) {
        Err(errors) => {
            check_errors(text, &errors);
            if shown {
                assert!(errors.render(false).contains("rules.yaml:"));
            }
            (false, kind(&errors.iter().map(|error| &*error.message).collect::<String>()))
        }
        Ok(rules) => {
            for warning in rules.lint() {
                assert!(warning.span.start <= warning.span.end && warning.span.end <= text.len());
            }
            let mut outcomes = String::new();
            if rules.sources.len() == 1 {
                let seeds: Vec<_> = SEEDS.iter().map(|seed| seed.as_bytes().to_vec()).collect();
                let target = Target::new(rules, &["ts", "entity", "kind", "state"]);
                target.execute(&mut Shapes::default(), &seeds, |_, outcome| outcomes += outcome);
            }
            (true, kind(&outcomes))
        }
    }
}

#[test]
fn rule_files_and_their_errors() {
    let (executions, mut random) = (executions(10), random(4));
    let mut corpus = Corpus::new(FILES, WORDS);
    let mut good = 0;
    for number in 0..executions {
        let bytes = corpus.draw(&mut random);
        let text = String::from_utf8_lossy(&bytes);
        let _executing = Executing("rule files", text.as_bytes());
        let (right, kind) = execute(&text, number % 16 == 0);
        corpus.learn(text.as_bytes(), kind);
        good += u64::from(right);
    }
    report("rule files", executions, good, corpus.kinds());
}
