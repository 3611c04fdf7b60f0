//! What is wrong with the times of a source.

use expect_test::{Expect, expect};

use super::{DOCUMENTS, FORMATS};
use crate::rules::{Format, Rules, Text, TimeForm};

/// A rule file whose source has these times.
fn rules(times: &str) -> String {
    format!(
        "version: 1\nsources:\n  log:\n    format: json\n{times}\n    \
         subject: {{ field: host }}\n    source: {{ const: a }}\n    type: {{ const: b }}\n\
         signals: {{ a: {{ states: {{ up: data.up }} }} }}\nrules: [{{ name: r, signal: a }}]\n"
    )
}

fn check(times: &str, expected: &Expect) {
    let errors = Rules::parse("rules.yaml", &rules(times)).expect_err("a broken file");
    expected.assert_eq(&errors.to_string());
}

#[test]
fn formats_and_zones_are_read() {
    let times = r#"    time: { field: ts, format: "%d/%b/%Y:%H:%M:%S %z" }
    arrival: { field: at, zone: -03:30, format: '%F %T' }"#;
    let rules = Rules::parse("rules.yaml", &rules(times)).unwrap_or_else(|all| panic!("{all}"));
    let Format::Json { mapping, .. } = &rules.sources[0].format else { panic!("json") };
    let shown = |form: &TimeForm| match form {
        TimeForm::Format(format) => format.to_string(),
        TimeForm::Unit(unit) => unit.name().to_owned(),
    };
    assert_eq!(shown(&mapping.time.form), "%d/%b/%Y:%H:%M:%S %z");
    assert_eq!(
        mapping.arrival.as_ref().map(|at| shown(&at.form)).as_deref(),
        Some("%F %T at -03:30")
    );
}

/// What is not given has its place, and what is given counts.
#[test]
fn the_attributes_of_documents_have_places() {
    let mapping = |source: &str| {
        let text = format!(
            "version: 1\nsources: {{ s: {{ {source} }} }}\n\
             signals: {{ a: {{ states: {{ up: data.up }} }} }}\nrules: [{{ name: r, signal: a }}]\n"
        );
        let rules = Rules::parse("rules.yaml", &text).map_err(|errors| errors.to_string())?;
        let mapping = rules.sources[0].format.mapping().cloned();
        mapping.ok_or_else(|| "no mapping".to_owned())
    };
    for (name, _) in DOCUMENTS {
        assert!(FORMATS.contains(&name), "{name}");
        let usual = mapping(&format!("format: {name}")).expect(name);
        assert_eq!(usual.time.field.to_string(), "time", "{name}");
        assert_eq!(usual.source, Text::Const(name.into()), "{name}");
        let given = "id: { field: x }, time: { field: at, unit: ms }, subject: { const: all }";
        let given = mapping(&format!("format: {name}, {given}")).expect(name);
        assert_eq!(given.time.field.to_string(), "at", "{name}");
        assert_eq!(given.subject, Text::Const("all".into()), "{name}");
        assert!(matches!(&given.id, Some(Text::Field(path)) if path.to_string() == "x"), "{name}");
        assert_eq!((&given.source, &given.type_), (&usual.source, &usual.type_), "{name}");
    }
    let error = mapping("format: otlp, explode: a").expect_err("it has an option of json");
    assert!(error.contains("`explode` belongs to format: json, not to otlp"), "{error}");
}

#[test]
fn every_fault_of_a_format_is_pointed_at() {
    check(
        r#"    time: { field: ts, format: "%d.%i.%Y %Z %H:%M:%S %s %" }
    arrival: { field: at, format: "%F %H:%M %H %99d %:H", zone: CEST }"#,
        &expect![[r#"
            error: not a valid format: unknown directive `%i`
             --> rules.yaml:5:36
              |
            5 |     time: { field: ts, format: "%d.%i.%Y %Z %H:%M:%S %s %" }
              |                                    ^^
              |
              = help: known: %Y %y %m %b %B %d %e %j %H %I %p %M %S %f %.f %a %A %z %:z %F %D %T %R

            error: not a valid format: `%Z`: the name of a zone does not say its offset
             --> rules.yaml:5:42
              |
            5 |     time: { field: ts, format: "%d.%i.%Y %Z %H:%M:%S %s %" }
              |                                          ^^
              |
              = help: write the name as it stands, as UTC, and its offset as `zone`; %z reads an offset

            error: not a valid format: `%s` is a number since 1970
             --> rules.yaml:5:54
              |
            5 |     time: { field: ts, format: "%d.%i.%Y %Z %H:%M:%S %s %" }
              |                                                      ^^
              |
              = help: write `unit: s` in the place of the format

            error: not a valid format: `%` is not complete
             --> rules.yaml:5:57
              |
            5 |     time: { field: ts, format: "%d.%i.%Y %Z %H:%M:%S %s %" }
              |                                                         ^
              |
              = help: write %% for a percent sign

            error: not a valid format: the hour stands twice
             --> rules.yaml:6:45
              |
            6 |     arrival: { field: at, format: "%F %H:%M %H %99d %:H", zone: CEST }
              |                                             ^^
              |
              = help: remove one

            error: not a valid format: `%99d` is too wide
             --> rules.yaml:6:48
              |
            6 |     arrival: { field: at, format: "%F %H:%M %H %99d %:H", zone: CEST }
              |                                                ^^^^
              |
              = help: write at most 20

            error: not a valid format: unknown directive `%:H`
             --> rules.yaml:6:53
              |
            6 |     arrival: { field: at, format: "%F %H:%M %H %99d %:H", zone: CEST }
              |                                                     ^^^
              |
              = help: known: %Y %y %m %b %B %d %e %j %H %I %p %M %S %f %.f %a %A %z %:z %F %D %T %R

            error: `CEST` is not a zone
             --> rules.yaml:6:65
              |
            6 |     arrival: { field: at, format: "%F %H:%M %H %99d %:H", zone: CEST }
              |                                                                 ^^^^
              |
              = help: write a fixed offset, as "+02:00"; zones whose offset changes with the season are not known

            8 errors
        "#]],
    );
}

#[test]
fn a_format_says_date_and_time_of_day() {
    for (format, expected) in [
        (
            "%b %e %H:%M:%S",
            expect![[r#"
            error: not a valid format: it has no year
             --> rules.yaml:5:32
              |
            5 |     time: { field: ts, format: "%b %e %H:%M:%S" }
              |                                ^^^^^^^^^^^^^^^^
              |
              = help: which year is meant cannot be told from a line, and a guess is wrong at the turn of the year: let the sender write it, as in RFC 3339

            1 error
        "#]],
        ),
        (
            "%H:%M:%S",
            expect![[r#"
            error: not a valid format: it has no whole date
             --> rules.yaml:5:32
              |
            5 |     time: { field: ts, format: "%H:%M:%S" }
              |                                ^^^^^^^^^^
              |
              = help: add what is missing of %Y-%m-%d

            1 error
        "#]],
        ),
        (
            "%Y-%m-%d",
            expect![[r#"
            error: not a valid format: it has no time of day
             --> rules.yaml:5:32
              |
            5 |     time: { field: ts, format: "%Y-%m-%d" }
              |                                ^^^^^^^^^^
              |
              = help: add what is missing of %H:%M:%S

            1 error
        "#]],
        ),
        (
            "%Y-%m %p %H:%M",
            expect![[r#"
            error: not a valid format: it has no whole date
             --> rules.yaml:5:32
              |
            5 |     time: { field: ts, format: "%Y-%m %p %H:%M" }
              |                                ^^^^^^^^^^^^^^^^
              |
              = help: add what is missing of %Y-%m-%d

            error: not a valid format: of %I and %p, one does not do without the other
             --> rules.yaml:5:32
              |
            5 |     time: { field: ts, format: "%Y-%m %p %H:%M" }
              |                                ^^^^^^^^^^^^^^^^
              |
              = help: write %H for hours from 0 to 23, or %I and %p for 12 hours with AM and PM

            2 errors
        "#]],
        ),
        (
            "%F %j %H:%S",
            expect![[r#"
            error: not a valid format: the day stands twice
             --> rules.yaml:5:32
              |
            5 |     time: { field: ts, format: "%F %j %H:%S" }
              |                                ^^^^^^^^^^^^^
              |
              = help: remove %j, or else month and day

            error: not a valid format: it has no minute
             --> rules.yaml:5:32
              |
            5 |     time: { field: ts, format: "%F %j %H:%S" }
              |                                ^^^^^^^^^^^^^
              |
              = help: add %M

            2 errors
        "#]],
        ),
        (
            "%F %I:%M%.f",
            expect![[r#"
            error: not a valid format: of %I and %p, one does not do without the other
             --> rules.yaml:5:32
              |
            5 |     time: { field: ts, format: "%F %I:%M%.f" }
              |                                ^^^^^^^^^^^^^
              |
              = help: write %H for hours from 0 to 23, or %I and %p for 12 hours with AM and PM

            1 error
        "#]],
        ),
    ] {
        let times = format!("    time: {{ field: ts, format: \"{format}\" }}");
        check(&times, &expected);
    }
}

#[test]
fn units_and_formats_do_not_mix() {
    check(
        r#"    time: { field: ts, unit: s, format: "%F %T" }
    arrival: { field: at, zone: "+02:00" }"#,
        &expect![[r#"
            error: a time has a `unit` or a `format`, not both
             --> rules.yaml:5:41
              |
            5 |     time: { field: ts, unit: s, format: "%F %T" }
              |                                         ^^^^^^^
              |
              = help: remove one

            error: a time needs `unit` or `format`
             --> rules.yaml:6:14
              |
            6 |     arrival: { field: at, zone: "+02:00" }
              |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              |
              = help: add `unit: ms`, or as `format: "%Y-%m-%d %H:%M:%S"`

            2 errors
        "#]],
    );
    check(
        r#"    time: { field: ts, format: "%F %T%z", zone: "+02:00" }
    arrival: { field: at, unit: rfc3339, zone: "+02:00" }"#,
        &expect![[r#"
            error: the format reads the offset of each time
             --> rules.yaml:5:49
              |
            5 |     time: { field: ts, format: "%F %T%z", zone: "+02:00" }
              |                                                 ^^^^^^^^
              |
              = help: remove the zone, or %z

            error: `zone` belongs to `format`: no unit needs it
             --> rules.yaml:6:48
              |
            6 |     arrival: { field: at, unit: rfc3339, zone: "+02:00" }
              |                                                ^^^^^^^^
              |
              = help: remove it

            2 errors
        "#]],
    );
}
