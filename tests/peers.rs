//! `scripts/bench-peers` on a small log, with peers that the test makes: it says which rows differ and
//! which peer failed or cannot be had, and goes on with the others.
//!
//! It needs Python 3.11. Without, the tests say so and are passed over, but in CI they fail.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Whether there is a Python that is new enough.
fn has_python() -> bool {
    let new_enough = "import sys; sys.exit(sys.version_info < (3, 11))";
    let status = Command::new("python3").args(["-c", new_enough]).status();
    let there = status.is_ok_and(|status| status.success());
    assert!(there || env::var_os("CI").is_none(), "no Python 3.11");
    if !there {
        eprintln!("passed over: no Python 3.11");
    }
    there
}

fn python(args: &[&str]) -> Output {
    let output = Command::new("python3").args(args).current_dir(ROOT).output();
    output.expect("Python starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_compares_and_reports() {
    if has_python() {
        let output = python(&["benches/peers/tests.py"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

/// A peer that is a line of shell, to which `$1` is the log and `$2` where the rows go.
fn peer(folder: &Path, name: &str, shell: &str) {
    let about = format!(
        "title = \"The {name} one\"\nrun = [\"sh\", \"-c\", '''{shell}''', \"sh\", \"{{log}}\", \
         \"{{out}}\"]\njudges_lateness = true\nleaves_out = [\"nearly all\"]\n"
    );
    fs::create_dir_all(folder.join(name)).expect("a folder");
    fs::write(folder.join(name).join("peer.toml"), about).expect("a file");
}

#[test]
fn peers_are_compared_and_those_that_fail_are_named() {
    if !has_python() {
        return;
    }
    let place = TempDir::new().expect("a folder");
    let path = |name: &str| place.path().join(name).display().to_string();
    let limbeck = env!("CARGO_BIN_EXE_limbeck");
    let folder = place.path().join("peers");
    let replay = format!(
        "{limbeck} replay --rules {ROOT}/src/bench/flat.yaml --log $1 --out $2.dir && \
         cp $2.dir/episodes.ndjson $2"
    );
    peer(&folder, "same", &replay);
    peer(&folder, "other", &format!("{replay} && sed -i 1d $2"));
    peer(&folder, "failing", "echo out of luck; exit 3");
    peer(&folder, "absent", "true");
    fs::write(folder.join("absent/requirements.txt"), "= none").expect("a file");
    let (out, work) = (path("out"), path("work"));
    let folder = folder.display().to_string();
    let mut line =
        vec!["scripts/bench-peers", "--events", "3000", "--entities", "50", "--runs", "2"];
    line.extend(["--late-runs", "3", "--late-events", "3000", "--out", &out, "--work", &work]);
    line.extend(["--folder", &folder, "--limbeck", limbeck]);
    line.extend(["--peers", "same,other,failing,absent"]);
    let output = python(&line);
    assert!(output.status.success(), "{}", text(&output.stderr));

    let read = |name: &str| fs::read_to_string(Path::new(&out).join(name)).expect(name);
    let report: Value = serde_json::from_str(&read("peers.json")).expect("it is JSON");
    let speed = &report["speed"][0]["results"];
    let of = |name: &str| {
        let all = speed.as_array().expect("a list");
        all.iter().find(|line| line["name"] == name).unwrap_or_else(|| panic!("no {name}"))
    };
    // Twice alone, and twice before each that came to its end, its like on one core among them.
    assert_eq!(of("limbeck")["runs"], 8);
    assert_eq!((&of("same")["runs"], &of("same")["difference"]), (&json!(2), &Value::Null));
    let difference = &of("other")["difference"];
    assert_eq!((&difference["missing"], &difference["wrong"]), (&json!(1), &json!(0)));
    assert_eq!(of("other")["runs_with_other_rows"], 2);
    assert_eq!(of("failing")["failure"], "exit code 3: out of luck");
    assert!(
        report["missing"]["absent"].as_str().is_some_and(|why| why.starts_with("pip install:"))
    );

    let late = report["late"].as_array().expect("a list");
    let results = |name: &str| {
        let line = late.iter().find(|line| line["name"] == name);
        line.map(|line| (line["runs"].clone(), line["results"].clone()))
    };
    assert_eq!(results("limbeck"), Some((json!(3), json!(1))));
    assert_eq!(results("same"), Some((json!(3), json!(1))));
    let odd = report["odd"].as_object().expect("by line");
    assert_eq!(odd.len(), 13);
    assert!(odd.values().all(|line| line["same"].is_null() && line["other"]["missing"] == 1));

    let table = read("peers.txt");
    assert!(table.contains("1 missing, 0 wrong") && table.contains("nearly all"), "{table}");
    assert!(read("peers.svg").contains(">The same one</text>"));

    // What is there is not measured again.
    let runs = read("runs.ndjson").lines().count();
    line.push("--resume");
    let output = python(&line);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let failures = read("runs.ndjson").lines().filter(|line| line.contains("failure")).count();
    assert_eq!(read("runs.ndjson").lines().count(), runs, "{failures} failures");
}
