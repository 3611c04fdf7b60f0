//! The soak, at its shortest.

use serde_json::Value;

use super::Place;

#[test]
fn a_soak_says_what_memory_there_was() {
    let place = Place::new();
    let line = "bench --only soak --hours 2 --rate 20 --entities 100 --workers 1 \
                --json soak.json --chart soak.svg --keep kept";
    place.run(line).assert(0, &[]);
    let read = |name: &str| std::fs::read_to_string(place.path(name)).expect(name);
    let report: Value = serde_json::from_str(&read("soak.json")).expect("it is JSON");
    assert_eq!(report["events"], 2 * 3_600 * 20);
    let samples = report["samples"].as_array().expect("a list");
    assert_eq!(samples.len(), 120, "one a minute");
    assert!(samples.iter().all(|sample| sample["rss_bytes"].as_u64() > Some(1_000_000)));
    let hours = report["by_hour"].as_array().expect("a list");
    assert_eq!(
        hours.iter().map(|hour| hour["hour"].as_u64()).collect::<Vec<_>>(),
        [1, 2].map(Some)
    );
    let median = |hour: &Value| hour["rss_bytes_median"].as_u64() > Some(1_000_000);
    assert!(hours.iter().all(median));
    assert_eq!(report["growth"], Value::Null, "there is no third hour");
    assert!(read("soak.svg").starts_with("<svg"));

    // Each pod has died, and been forgotten.
    let episodes = read("kept/soak-out/episodes.ndjson");
    let expired = episodes.lines().filter(|line| line.contains(r#""reason":"expired""#));
    assert!(expired.count() >= 100, "{episodes}");
}
