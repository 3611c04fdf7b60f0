//! The curves of speed, of hardly anything.

use serde_json::Value;

use super::Place;

#[test]
fn scaling_draws_a_curve_for_each_of_what_there_is_more_of() {
    let place = Place::new();
    let line = "bench --only scaling --events 2000 --workers 1 --runs 1 --json curves.json --charts charts";
    place.run(line).assert(0, &[]);
    let read = |name: &str| std::fs::read_to_string(place.path(name)).expect(name);
    let report: Value = serde_json::from_str(&read("curves.json")).expect("it is JSON");
    let curves = report["curves"].as_array().expect("a list");
    let values = |curve: &Value| -> Vec<String> {
        let points = curve["points"].as_array().expect("a list");
        assert!(points.iter().all(|point| point["events_per_second"].as_f64() > Some(0.0)));
        points.iter().map(|point| point["value"].as_str().expect("a text").to_owned()).collect()
    };
    assert_eq!(values(&curves[1]), ["1000", "10000", "100000", "1000000"]);
    assert_eq!(values(&curves[2]), ["1", "2", "5", "20", "50"]);
    assert_eq!(values(&curves[3]), ["0.25", "0.5", "1", "2"]);
    let events: Vec<_> = curves[3]["points"].as_array().expect("a list").iter().collect();
    assert_eq!(
        events.iter().map(|point| &point["events"]).collect::<Vec<_>>(),
        [500, 1000, 2000, 4000]
    );
    for curve in ["workers", "entities", "rules", "hours"] {
        assert!(read(&format!("charts/{curve}.svg")).starts_with("<svg"));
    }
}
