//! Results of a bench beside recorded ones, of hardly anything.

use serde_json::Value;

use super::Place;

#[test]
fn results_are_compared_with_recorded_ones() {
    let place = Place::new();
    let bench = "bench --only match --events 2000 --runs 1";
    place.run(&format!("{bench} --json kept.json")).assert(0, &[]);
    let kept = std::fs::read_to_string(place.path("kept.json")).expect("it is written");
    let mut kept: Value = serde_json::from_str(&kept).expect("it is JSON");
    assert!(kept["results"][0]["nanos_per_event"].as_f64() > Some(0.0));

    // A picosecond: any machine takes more.
    kept["results"][0]["nanos_per_event"] = 0.001.into();
    place.write("kept.json", kept.to_string().as_bytes());
    let ran = place.run(&format!("{bench} --against kept.json"));
    ran.assert(0, &[]);
    let (_, compared) = ran.said.split_once("recorded in kept.json").expect("it compares");
    let line = compared.lines().find(|line| line.starts_with("match")).expect("a line");
    let wall = line.split_whitespace().nth(2).and_then(|wall| wall.strip_suffix('*'));
    let wall: f64 = wall.and_then(|wall| wall.parse().ok()).unwrap_or_else(|| panic!("{line}"));
    assert!(wall > 10.0, "{line}");
}

#[test]
fn what_is_no_record_is_said_before_anything_is_measured() {
    let place = Place::new();
    place.write("other.json", br#"{"curves":[]}"#);
    place.write("later.json", br#"{"format":99}"#);
    let against = |name: &str| place.run(&format!("bench --against {name}"));
    let right = "`limbeck bench --json FILE`";
    against("gone.json").assert(66, &["gone.json", "No such file", right]);
    against("rules.yaml").assert(65, &["rules.yaml", "not JSON", "line 1", right]);
    against("other.json").assert(65, &["other.json", "not the results of a bench", right]);
    against("later.json").assert(65, &["later.json", "format 99", "format 1", right]);
    place.run("bench --only scaling --against kept.json").assert(2, &["scaling", "not compared"]);
}
