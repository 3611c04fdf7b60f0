//! What a grace is after, as it is read.

use expect_test::expect;

use super::errors;
use crate::rules::{Machinery, Rules};

fn text(rules: &str) -> String {
    format!(
        "version: 1\nsignals:\n  s: {{ states: {{ up: data.up, down: data.down }} }}\n  \
         deploys: {{ where: type == \"d\", states: {{ begun: data.begun, done: data.done }} }}\n  \
         load: {{ value: data.load }}\nrules:\n{rules}"
    )
}

#[test]
fn what_a_grace_is_after_is_read() {
    let right = text(
        "  - { name: a, signal: s, faults: [down], grace: 1m }\n  \
         - { name: b, signal: s, faults: [down], grace: { for: 1m } }\n  \
         - { name: c, signal: s, faults: [down], grace: { for: 1m, after: { signal: deploys, states: [done] } } }\n  \
         - { name: d, signal: s, faults: [down], grace: { for: 1m, after: [first_seen, { signal: load }] } }\n",
    );
    let rules = Rules::parse("rules.yaml", &right).unwrap_or_else(|errors| panic!("{errors}"));
    let grace = |rule: usize| rules.rules[rule].stages.grace.as_ref().expect("it has a grace");
    assert_eq!([0, 1, 2, 3].map(|rule| grace(rule).after_first), [true, true, false, true]);
    assert_eq!([0, 1, 2, 3].map(|rule| grace(rule).for_ns), [60_000_000_000; 4]);
    let [marker] = &grace(2).markers[..] else { panic!("one marker") };
    assert_eq!((marker.signal, marker.is_one(0), marker.is_one(1)), (1, false, true));
    let [marker] = &grace(3).markers[..] else { panic!("one marker") };
    assert_eq!((marker.signal, marker.is_one(0)), (2, true));
    assert_eq!(rules.rules[2].machinery(), Machinery::Staged);
    assert_eq!(rules.lint().len(), 0, "{:?}", rules.lint());
}

#[test]
fn what_it_cannot_be_after_is_pointed_at() {
    errors(
        &text(
            "  - { name: a, signal: s, faults: [down], grace: { for: 0s, after: { signal: deploy } } }\n  \
             - { name: b, signal: s, faults: [down], grace: { for: 1m, after: { signal: deploys, states: [began, up] } } }\n  \
             - { name: c, signal: s, faults: [down], grace: { after: [] } }\n  \
             - { name: d, signal: s, faults: [down], grace: { for: 1m, after: [restart, { states: [] }] } }\n  \
             - { name: e, signal: s, faults: [down], grace: { for: 1m, after: { signal: load, states: [high] } } }\n  \
             - { name: f, signal: s, faults: [down], grace: { for: 1h, after: { signal: load } }, expire_after: 1h }\n  \
             - { name: g, signal: s, grace: { for: 1h, since: { signal: load } } }\n",
        ),
        &expect![[r#"
            error: `grace` must be above zero: no fault would wait
             --> rules.yaml:7:57
              |
            7 |   - { name: a, signal: s, faults: [down], grace: { for: 0s, after: { signal: deploy } } }
              |                                                         ^^

            error: unknown signal `deploy`
             --> rules.yaml:7:78
              |
            7 |   - { name: a, signal: s, faults: [down], grace: { for: 0s, after: { signal: deploy } } }
              |                                                                              ^^^^^^
              |
              = help: did you mean `deploys`?

            error: unknown state `began`
             --> rules.yaml:8:96
              |
            8 |   - { name: b, signal: s, faults: [down], grace: { for: 1m, after: { signal: deploys, states: [began, up] } } }
              |                                                                                                ^^^^^
              |
              = help: did you mean `begun`?

            error: unknown state `up`
             --> rules.yaml:8:103
              |
            8 |   - { name: b, signal: s, faults: [down], grace: { for: 1m, after: { signal: deploys, states: [began, up] } } }
              |                                                                                                       ^^
              |
              = help: known: `begun`, `done`

            error: `grace` needs `for`
             --> rules.yaml:9:50
              |
            9 |   - { name: c, signal: s, faults: [down], grace: { after: [] } }
              |                                                  ^^^^^^^^^^^^^
              |
              = help: add `for: 2m`

            error: `after` is of nothing: no fault would wait
             --> rules.yaml:9:59
              |
            9 |   - { name: c, signal: s, faults: [down], grace: { after: [] } }
              |                                                           ^^
              |
              = help: write `after: [first_seen, { signal: NAME }]`

            error: `after` is first_seen or a signal, not `restart`
              --> rules.yaml:10:69
               |
            10 |   - { name: d, signal: s, faults: [down], grace: { for: 1m, after: [restart, { states: [] }] } }
               |                                                                     ^^^^^^^
               |
               = help: write first_seen, or { signal: NAME, states: [STATE] }

            error: a marker needs `signal`
              --> rules.yaml:10:78
               |
            10 |   - { name: d, signal: s, faults: [down], grace: { for: 1m, after: [restart, { states: [] }] } }
               |                                                                              ^^^^^^^^^^^^^^
               |
               = help: add `signal: NAME`

            error: the signal has readings, and no states
              --> rules.yaml:11:92
               |
            11 |   - { name: e, signal: s, faults: [down], grace: { for: 1m, after: { signal: load, states: [high] } } }
               |                                                                                            ^^^^^^
               |
               = help: leave `states` out: each of its records is a marker

            error: an entity is forgotten before its grace is over
              --> rules.yaml:12:57
               |
            12 |   - { name: f, signal: s, faults: [down], grace: { for: 1h, after: { signal: load } }, expire_after: 1h }
               |                                                         ^^
               |
               = help: `for` must be below `expire_after`: lower it, or raise the other

            error: `grace` needs to know which states are faults
              --> rules.yaml:13:13
               |
            13 |   - { name: g, signal: s, grace: { for: 1h, since: { signal: load } } }
               |             ^
               |
               = help: add `faults: [STATE]`

            error: `grace` has no field `since`
              --> rules.yaml:13:45
               |
            13 |   - { name: g, signal: s, grace: { for: 1h, since: { signal: load } } }
               |                                             ^^^^^
               |
               = help: known: `for`, `after`

            12 errors
        "#]],
    );
}
