//! Silences and windows.

use expect_test::expect;

use super::{GOOD, errors};
use crate::model::time::format_rfc3339;
use crate::rules::{Rules, When};

#[test]
fn what_is_wrong_with_silences_and_windows_is_pointed_at() {
    let text = format!(
        "{GOOD}{}",
        r#"sinks: { hook: { webhook: { url: http://h } } }
routes: [{ to: hook }]
silences:
  gap: { from: 2026-03-29T02:30:00, until: 2026-10-25T02:30, location: Europe/Berlin }
  place: { match: [zon = a], from: 2026-03-29T02:30:00, until: soon }
  back: { from: 2026-03-29T02:00:00Z, until: 2026-03-29T01:00:00+00:00 }
  none: { from: 2026-03-29T02:00:00Z, until: 2026-03-29T02:00:00Z, location: Europe/Berln }
  both: { from: 2026-03-29T02:00:00Z, while: { match: [], equal: [zon] } }
  far: { from: 2300-01-01T00:00:00Z, until: 2300-01-01T00:00, location: UTC }
  bare: {}
windows:
  nights:
    time_intervals:
      - { times: [{ start_time: "22:00", end_time: "06:00" }], location: Mars/Olympus }
      - { times: [{ start_time: "24:00", end_time: "7:00" }], weekdays: ["friday:monday", mon] }
      - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
      - { days_of_month: ["30:31"], months: [february] }
      - { location: Europe/Berlin }
      - { weekdays: [] }
  empty: { time_intervals: [] }
  nothing: { match: [state = dwn] }
"#
    );
    errors(
        &text,
        &expect![[r#"
            error: the clocks of Europe/Berlin never show `2026-03-29T02:30:00`, when they are changed
              --> rules.yaml:26:16
               |
            26 |   gap: { from: 2026-03-29T02:30:00, until: 2026-10-25T02:30, location: Europe/Berlin }
               |                ^^^^^^^^^^^^^^^^^^^
               |
               = help: write which is meant, with its offset: 2026-03-29T02:30:00+01:00 or 2026-03-29T02:30:00+02:00

            error: the clocks of Europe/Berlin show twice `2026-10-25T02:30`, when they are changed
              --> rules.yaml:26:44
               |
            26 |   gap: { from: 2026-03-29T02:30:00, until: 2026-10-25T02:30, location: Europe/Berlin }
               |                                            ^^^^^^^^^^^^^^^^
               |
               = help: write which is meant, with its offset: 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00

            error: there is no label `zon`, of any signal or rule
              --> rules.yaml:27:20
               |
            27 |   place: { match: [zon = a], from: 2026-03-29T02:30:00, until: soon }
               |                    ^^^^^^^
               |
               = help: did you mean `zone`?

            error: `2026-03-29T02:30:00` says no offset
              --> rules.yaml:27:36
               |
            27 |   place: { match: [zon = a], from: 2026-03-29T02:30:00, until: soon }
               |                                    ^^^^^^^^^^^^^^^^^^^
               |
               = help: add one, as Z or +01:00, or `location: Europe/Berlin` to the silence

            error: `soon` is no instant
              --> rules.yaml:27:64
               |
            27 |   place: { match: [zon = a], from: 2026-03-29T02:30:00, until: soon }
               |                                                                ^^^^
               |
               = help: write 2026-03-01T22:00:00Z, or leave out the Z and add `location`

            error: the silence ends before it begins
              --> rules.yaml:28:46
               |
            28 |   back: { from: 2026-03-29T02:00:00Z, until: 2026-03-29T01:00:00+00:00 }
               |                                              ^^^^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: `until` must be after `from`

            error: the silence ends as it begins: `until` is the first instant behind it
              --> rules.yaml:29:46
               |
            29 |   none: { from: 2026-03-29T02:00:00Z, until: 2026-03-29T02:00:00Z, location: Europe/Berln }
               |                                              ^^^^^^^^^^^^^^^^^^^^
               |
               = help: `until` must be after `from`

            error: there is no time zone `Europe/Berln`
              --> rules.yaml:29:78
               |
            29 |   none: { from: 2026-03-29T02:00:00Z, until: 2026-03-29T02:00:00Z, location: Europe/Berln }
               |                                                                              ^^^^^^^^^^^^
               |
               = help: did you mean `Europe/Berlin`?

            error: a silence with `while` has no `from`
              --> rules.yaml:30:17
               |
            30 |   both: { from: 2026-03-29T02:00:00Z, while: { match: [], equal: [zon] } }
               |                 ^^^^^^^^^^^^^^^^^^^^
               |
               = help: it lasts as long as an episode does; or remove `while`

            error: `match` needs at least one item
              --> rules.yaml:30:55
               |
            30 |   both: { from: 2026-03-29T02:00:00Z, while: { match: [], equal: [zon] } }
               |                                                       ^^
               |
               = help: write what must hold of it, as rule = NAME

            error: there is no label `zon`, of any signal or rule
              --> rules.yaml:30:67
               |
            30 |   both: { from: 2026-03-29T02:00:00Z, while: { match: [], equal: [zon] } }
               |                                                                   ^^^
               |
               = help: did you mean `zone`?

            error: `2300-01-01T00:00:00Z` is outside of the years 1678 to 2261
              --> rules.yaml:31:16
               |
            31 |   far: { from: 2300-01-01T00:00:00Z, until: 2300-01-01T00:00, location: UTC }
               |                ^^^^^^^^^^^^^^^^^^^^

            error: `2300-01-01T00:00` is outside of the years 1678 to 2261
              --> rules.yaml:31:45
               |
            31 |   far: { from: 2300-01-01T00:00:00Z, until: 2300-01-01T00:00, location: UTC }
               |                                             ^^^^^^^^^^^^^^^^

            error: a silence needs `from`
              --> rules.yaml:32:3
               |
            32 |   bare: {}
               |   ^^^^
               |
               = help: add `from: 2026-03-01T22:00:00Z`

            error: a silence needs `until`
              --> rules.yaml:32:3
               |
            32 |   bare: {}
               |   ^^^^
               |
               = help: add `until: 2026-03-01T22:00:00Z`

            error: the range ends before it begins, or has no length
              --> rules.yaml:36:19
               |
            36 |       - { times: [{ start_time: "22:00", end_time: "06:00" }], location: Mars/Olympus }
               |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: over midnight, write two: one until 24:00, and one from 00:00

            error: there is no time zone `Mars/Olympus`
              --> rules.yaml:36:74
               |
            36 |       - { times: [{ start_time: "22:00", end_time: "06:00" }], location: Mars/Olympus }
               |                                                                          ^^^^^^^^^^^^
               |
               = help: write an IANA name, as Europe/Berlin, or UTC

            error: `24:00` is no time of the day
              --> rules.yaml:37:33
               |
            37 |       - { times: [{ start_time: "24:00", end_time: "7:00" }], weekdays: ["friday:monday", mon] }
               |                                 ^^^^^^^
               |
               = help: write HH:MM, from 00:00 on; a day ends at 24:00

            error: `7:00` is no time of the day
              --> rules.yaml:37:52
               |
            37 |       - { times: [{ start_time: "24:00", end_time: "7:00" }], weekdays: ["friday:monday", mon] }
               |                                                    ^^^^^^
               |
               = help: write HH:MM, from 00:00 on; a day ends at 24:00

            error: `friday:monday` ends before it begins
              --> rules.yaml:37:74
               |
            37 |       - { times: [{ start_time: "24:00", end_time: "7:00" }], weekdays: ["friday:monday", mon] }
               |                                                                          ^^^^^^^^^^^^^^^
               |
               = help: weeks begin on Sunday, and a range does not go around: write two

            error: `mon` is not among `weekdays`
              --> rules.yaml:37:91
               |
            37 |       - { times: [{ start_time: "24:00", end_time: "7:00" }], weekdays: ["friday:monday", mon] }
               |                                                                                           ^^^
               |
               = help: write monday:friday

            error: `0` is not among `days_of_month`
              --> rules.yaml:38:27
               |
            38 |       - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
               |                           ^
               |
               = help: write 1:7, or -1 for the last

            error: `32` is not among `days_of_month`
              --> rules.yaml:38:30
               |
            38 |       - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
               |                              ^^^^
               |
               = help: write 1:7, or -1 for the last

            error: `5:1` ends before it begins
              --> rules.yaml:38:36
               |
            38 |       - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
               |                                    ^^^^^
               |
               = help: a range does not go around: write two of them

            error: `-1:5` ends before it begins
              --> rules.yaml:38:43
               |
            38 |       - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
               |                                           ^^^^^^
               |
               = help: a range does not go around: write two of them

            error: `-1:-3` ends before it begins
              --> rules.yaml:38:51
               |
            38 |       - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
               |                                                   ^^^^^^^
               |
               = help: a range does not go around: write two of them

            error: `13` is not among `months`
              --> rules.yaml:38:70
               |
            38 |       - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
               |                                                                      ^^
               |
               = help: write march:may, or 3

            error: `march:feb` is not among `months`
              --> rules.yaml:38:74
               |
            38 |       - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
               |                                                                          ^^^^^^^^^^^
               |
               = help: write march:may, or 3

            error: `1500` is not among `years`
              --> rules.yaml:38:96
               |
            38 |       - { days_of_month: [0, "32", "5:1", "-1:5", "-1:-3"], months: [13, "march:feb"], years: [1500] }
               |                                                                                                ^^^^
               |
               = help: write 2026:2027

            error: there is no such day: the interval is empty
              --> rules.yaml:39:9
               |
            39 |       - { days_of_month: ["30:31"], months: [february] }
               |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: all that it says must hold of one day, as of the 30th and february it never does

            error: a time interval says when it is
              --> rules.yaml:40:9
               |
            40 |       - { location: Europe/Berlin }
               |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: add one of `times`, `weekdays`, `days_of_month`, `months`, `years`

            error: `weekdays` needs at least one item
              --> rules.yaml:41:21
               |
            41 |       - { weekdays: [] }
               |                     ^^
               |
               = help: leave it out for all of them

            error: `time_intervals` needs at least one item
              --> rules.yaml:42:28
               |
            42 |   empty: { time_intervals: [] }
               |                            ^^
               |
               = help: add { weekdays: [saturday, sunday] }

            error: a window needs `time_intervals`
              --> rules.yaml:43:3
               |
            43 |   nothing: { match: [state = dwn] }
               |   ^^^^^^^
               |
               = help: add `time_intervals: [{ weekdays: [saturday, sunday] }]`

            error: unknown state `dwn`
              --> rules.yaml:43:22
               |
            43 |   nothing: { match: [state = dwn] }
               |                      ^^^^^^^^^^^
               |
               = help: did you mean `down`?

            35 errors
        "#]],
    );
}

#[test]
fn times_of_silences_are_as_the_clocks_of_their_place_show_them() {
    let text = format!(
        "{GOOD}{}",
        r#"silences:
  local: { from: 2026-03-29T01:59:59, until: "2026-10-25 03:00", location: europe/berlin }
  plain: { from: 2026-03-29T02:30:00.5+01:00, until: 2026-03-29T02:30:00.500000001+01:00 }
"#
    );
    let rules = Rules::parse("rules.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"));
    let once = |number: usize| match rules.silences[number].when {
        When::Once { from_ns, until_ns } => [from_ns, until_ns].map(format_rfc3339),
        _ => panic!("once"),
    };
    assert_eq!(once(0), ["2026-03-29T00:59:59.000Z", "2026-10-25T02:00:00.000Z"]);
    assert_eq!(once(1), ["2026-03-29T01:30:00.500Z", "2026-03-29T01:30:00.500000001Z"]);
}

#[test]
fn what_is_wrong_with_events_is_pointed_at() {
    let text = format!(
        "{GOOD}{}",
        r#"sinks: { hook: { webhook: { url: http://h } } }
routes: [{ to: hook }]
silences:
  all: { events: {} }
  twice: { from: 2026-03-29T02:00:00Z, events: { from: nowhere, id: "data.id ==" } }
  kinds: { events: { where: 7 +, ident: data.id }, while: { match: [state = down] } }
  fixed: { events: { where: data.quiet, id: '""', matchers: '["zone = a"]', starts: 3, ends: '"soon"' } }
"#
    );
    errors(
        &text,
        &expect![[r#"
        error: every record would be of a silence
          --> rules.yaml:26:18
           |
        26 |   all: { events: {} }
           |                  ^^
           |
           = help: add `from: SOURCE`, or `where: CONDITION`

        error: a silence with `events` has no `from`
          --> rules.yaml:27:18
           |
        27 |   twice: { from: 2026-03-29T02:00:00Z, events: { from: nowhere, id: "data.id ==" } }
           |                  ^^^^^^^^^^^^^^^^^^^^
           |
           = help: records say from when to when it is; or remove `events`

        error: unknown source `nowhere`
          --> rules.yaml:27:56
           |
        27 |   twice: { from: 2026-03-29T02:00:00Z, events: { from: nowhere, id: "data.id ==" } }
           |                                                        ^^^^^^^
           |
           = help: the only source is `cloudevents`

        error: not a valid condition: mismatched input '<EOF>'
          --> rules.yaml:27:80
           |
        27 |   twice: { from: 2026-03-29T02:00:00Z, events: { from: nowhere, id: "data.id ==" } }
           |                                                                                ^
           |
           = help: conditions are CEL: ==, !=, <, <=, in [..], &&, ||, !, has(data.x), data.x.contains("y")

        error: not a valid condition: mismatched input '<EOF>'
          --> rules.yaml:28:32
           |
        28 |   kinds: { events: { where: 7 +, ident: data.id }, while: { match: [state = down] } }
           |                                ^
           |
           = help: conditions are CEL: ==, !=, <, <=, in [..], &&, ||, !, has(data.x), data.x.contains("y")

        error: `events` has no field `ident`
          --> rules.yaml:28:34
           |
        28 |   kinds: { events: { where: 7 +, ident: data.id }, while: { match: [state = down] } }
           |                                  ^^^^^
           |
           = help: known: `from`, `where`, `id`, `matchers`, `starts`, `ends`

        error: a silence with `events` has no `while`
          --> rules.yaml:28:59
           |
        28 |   kinds: { events: { where: 7 +, ident: data.id }, while: { match: [state = down] } }
           |                                                           ^^^^^^^^^^^^^^^^^^^^^^^^^
           |
           = help: records say from when to when it is; or remove `events`

        error: `""` is no id: no record tells of a silence
          --> rules.yaml:29:45
           |
        29 |   fixed: { events: { where: data.quiet, id: '""', matchers: '["zone = a"]', starts: 3, ends: '"soon"' } }
           |                                             ^^^^
           |
           = help: write where it stands, as data.x

        error: `["zone = a"]` is no list of matchers of a record
          --> rules.yaml:29:61
           |
        29 |   fixed: { events: { where: data.quiet, id: '""', matchers: '["zone = a"]', starts: 3, ends: '"soon"' } }
           |                                                             ^^^^^^^^^^^^^^
           |
           = help: write where they stand, as data.matchers

        error: `3` is no instant: no record tells of a silence
          --> rules.yaml:29:85
           |
        29 |   fixed: { events: { where: data.quiet, id: '""', matchers: '["zone = a"]', starts: 3, ends: '"soon"' } }
           |                                                                                     ^
           |
           = help: write where it stands, as data.x

        error: `"soon"` is no instant: no record tells of a silence
          --> rules.yaml:29:94
           |
        29 |   fixed: { events: { where: data.quiet, id: '""', matchers: '["zone = a"]', starts: 3, ends: '"soon"' } }
           |                                                                                              ^^^^^^^^
           |
           = help: write where it stands, as data.x

        11 errors
    "#]],
    );
}
