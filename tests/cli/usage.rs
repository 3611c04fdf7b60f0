//! What is asked for cannot be: usage and rule files.

use super::Place;

#[test]
fn what_cannot_be_asked_is_usage() {
    let place = Place::new();
    let before = place.listing();
    let replay = "replay --rules rules.yaml --log probes.ndjson --out out";
    for (line, about) in [
        (String::new(), "Usage"),
        ("replay".to_owned(), "--rules"),
        ("replai".to_owned(), "replai"),
        ("replay --rules rules.yaml --out out".to_owned(), "--log"),
        (format!("{replay} --workers 0"), "--workers"),
        (format!("{replay} --workers=-1"), "--workers"),
        (format!("{replay} --workers many"), "--workers"),
        (format!("{replay} --workers 257"), "1 to 256"),
        (format!("{replay} --workers 99999999999999999999"), "1 to 256"),
        (format!("{replay} --wait 0s"), "--wait"),
        (format!("{replay} --tick 0s"), "--tick"),
        (format!("{replay} --tick 5"), "--tick"),
        (format!("{replay} --tick=-1s"), "--tick"),
        (format!("{replay} --tick 99999999999999d"), "--tick"),
        (format!("{replay} --until yesterday"), "--until"),
        (format!("{replay} --until 2026-01-01"), "--until"),
        (format!("{replay} --until 9999-01-01T00:00:00Z"), "1678"),
        (format!("{replay} --process 0"), "--hosts"),
        (format!("{replay} --log a=b=c"), "`a`"),
        (format!("{replay} --log nobody=probes.ndjson"), "`nobody`"),
        ("replay --rules rules.yaml --log - --log - --out out".to_owned(), "`-`"),
    ] {
        place.run(&line).assert(2, &[about]);
        place.assert_untouched(&before);
    }
}

#[test]
fn which_source_reads_a_log_must_be_known() {
    let place = Place::new();
    let two = super::FLAT.replace("\nsignals:", "\n  other:\n    format: cloudevents\n\nsignals:");
    place.write("two.yaml", two.as_bytes());
    place.write("flat.ndjson", &super::flat_log(10));
    let before = place.listing();
    place
        .run("replay --rules two.yaml --log flat.ndjson --out out")
        .assert(2, &["flat.ndjson", "probe, other"]);
    place
        .run("replay --rules two.yaml --log prob=flat.ndjson --out out")
        .assert(2, &["`prob`", "probe, other"]);
    place.assert_untouched(&before);
    let line = "replay --rules two.yaml --log probe=flat.ndjson other=probes.ndjson --out out";
    place.run(line).assert(0, &[]);
}

#[test]
fn a_file_whose_name_has_an_equals_sign_is_a_file() {
    let place = Place::new();
    place.write("day=1.ndjson", super::PROBES);
    place.run("replay --rules rules.yaml --log day=1.ndjson --out out").assert(0, &[]);
    assert!(place.outputs("out").summary["records"].as_u64() > Some(0));
}

#[test]
fn every_mistake_of_a_rule_file_is_located() {
    let place = Place::new();
    place.write(
        "broken.yaml",
        b"version: 1\nlatness: 5s\nsignals:\n  up:\n    where: type ==\n    states:\n      \
          on: data.x == 1\nrules:\n  - name: r\n    signal: down\n    hold: { off: 5 }\n",
    );
    let before = place.listing();
    let located = ["broken.yaml:2:", "broken.yaml:5:", "broken.yaml:10:", "broken.yaml:11:"];
    for line in [
        "check broken.yaml",
        "check rules.yaml broken.yaml",
        "replay --rules broken.yaml --log probes.ndjson --out out",
        // The rules come first: nothing is said of a log that nobody could read.
        "replay --rules broken.yaml --log missing --out out",
    ] {
        place.run(line).assert(78, &located);
        place.assert_untouched(&before);
    }
    for (text, about) in [
        (&b"\xff"[..], "latin.yaml:1"),
        (b"", "latin.yaml:1"),
        (b"version: 1\nsignals: {\n", "latin.yaml:"),
        (b"version: 1\nname: \xe4\n", "latin.yaml:2"),
    ] {
        place.write("latin.yaml", text);
        place.run("check latin.yaml").assert(78, &[about]);
    }
}

#[test]
fn a_right_rule_file_is_said_to_be() {
    let place = Place::new();
    let ran = place.run("check rules.yaml flat.yaml");
    ran.assert(0, &[]);
    assert_eq!(
        ran.said,
        "rules.yaml: ok (1 source, 1 signal, 1 rule)\nflat.yaml: ok (1 source, 1 signal, 1 rule)\n"
    );
}

/// What has no end is not read to it.
#[test]
fn a_rule_file_or_a_list_of_hosts_without_end_is_refused() {
    let place = Place::new();
    place.run("check /dev/zero").assert(78, &["at most 1048576 bytes"]);
    place
        .run("replay --rules rules.yaml --log probes.ndjson --out out --hosts /dev/zero")
        .assert(2, &["/dev/zero:1", "HOST:PORT"]);
}
