//! What fuzzing has found, and must not find again.

use limbeck::sources::decode::Shapes;

use super::lines::targets;
use super::rule_files::execute;

/// Valid, but not to be had as a value as a whole: conditions that look at all of `data` found
/// nothing in it, while paths into it did.
const LINES: &[&str] = &[
    r#"{"ts":1767225600000,"entity":"pod","kind":"k","state":"up","message":"text \ud800quote"}"#,
    r#"{"ts":1767225600000,"entity":"pod","kind":"k","state":"up","a":{"x":[1,1e999]},"load":1}"#,
    r#"{"ts":1767225600000,"entity":"pod","kind":"k","state":"up","a":{"x":{"\udfff":1},"b":1}}"#,
    r#"{"ts":1767225600000,"pods":[{"name":"a","state":"down","y":-1e999}],"z":"\udc00"}"#,
];

#[test]
fn what_has_no_value_takes_nothing_else_with_it() {
    let deep = format!(
        r#"{{"ts":1767225600000,"entity":"pod","kind":"k","state":"up","c":{}1{}}}"#,
        "[".repeat(150),
        "]".repeat(150)
    );
    let lines: Vec<_> =
        LINES.iter().copied().chain([&*deep]).map(|line| line.as_bytes().to_vec()).collect();
    let targets = targets();
    let good = targets.iter().map(|target| {
        let (mut shapes, twice) = (Shapes::default(), [lines.clone(), lines.clone()].concat());
        target.execute(&mut shapes, &twice, |_, _| ())
    });
    // Four of them by the mapping of such lines, twice, and the last element.
    assert_eq!(good.collect::<Vec<_>>(), [0, 8, 0, 2, 0, 0, 0, 0, 0, 0]);
}

/// What is missing at the end of a file was told to be behind it.
#[test]
fn errors_at_the_end_are_in_the_file() {
    for text in [
        "version: 1\nsources:\n  rows: { format: csv, subject: ",
        "version: 1\nsignals: {",
        "rules: [",
        "a: \"",
        "é: 'é",
    ] {
        let (right, _) = execute(text, true);
        assert!(!right, "{text}");
    }
}
