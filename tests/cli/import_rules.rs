//! Rules of other tools, converted and replayed.

use std::fs;

use super::Place;
use super::common::rows;

/// One sample of each of some series.
const SAMPLES: &str = r#"{"status":"success","data":{"resultType":"vector","result":[
 {"metric":{"__name__":"m","a":"x","n":"0"},"value":[1700000000,"5"]},
 {"metric":{"__name__":"m","a":"x","n":"1"},"value":[1700000000,"6"]},
 {"metric":{"__name__":"m","n":"2"},"value":[1700000000,"6"]},
 {"metric":{"__name__":"m","a":"x","n":"3","namespace":"b"},"value":[1700000000,"+Inf"]},
 {"metric":{"__name__":"m","a":"xy","n":"4"},"value":[1700000000,"1e3"]},
 {"metric":{"__name__":"m","a":"xy","n":"5"},"value":[1700000000,"NaN"]}]}}
"#;

#[test]
fn what_is_converted_judges_samples_as_prometheus_does() {
    let place = Place::new();
    place.write("samples.json", SAMPLES.as_bytes());
    for (expr, fires) in [
        ("m > 5", "1234"),
        ("m{a=\"x\"} > 5", "13"),
        ("m{a!=\"x\"} > 5", "24"),
        ("m{a=\"\"} > 5", "2"),
        ("m{a!=\"\"} > 5", "134"),
        ("m{a=~\"x|\"} > 5", "123"),
        ("m{a!~\"x|\"} > 5", "4"),
        ("m{a=~\"x.*\"} > 5", "134"),
        ("{__name__=\"m\",a=~\".*\"} > 5", "1234"),
        ("m{namespace=\"b\"} > 5", "3"),
        ("5 == m", "0"),
        ("m <= 6", "012"),
        ("m != 6", "0345"),
        ("n > 5", ""),
    ] {
        let text = format!("groups: [{{ name: g, rules: [{{ alert: A, expr: '{expr}' }}] }}]");
        place.write("alerts.yml", text.as_bytes());
        let converted = place.run("import-rules alerts.yml");
        converted.assert(0, &[]);
        place.write("rules.yaml", converted.said.as_bytes());
        place.run("replay --rules rules.yaml --log samples.json --out out").assert(0, &[]);
        let episodes = fs::read(place.path("out/episodes.ndjson")).expect("there are outputs");
        let mut firing: Vec<_> = rows(&episodes)
            .into_iter()
            .filter(|row| row["data"]["state"] == "firing")
            .map(|row| {
                row["subject"]
                    .as_str()
                    .and_then(|s| s.split("n=\"").nth(1)?.get(..1))
                    .expect(expr)
                    .to_owned()
            })
            .collect();
        firing.sort();
        assert_eq!(firing.concat(), fires, "{expr}");
    }
}

/// Samples a minute: a `for` and a `keep_firing_for` end at one.
#[test]
fn what_is_converted_holds_and_keeps_as_prometheus_does() {
    let place = Place::new();
    // When each fires, by `promtool test rules` 2.42.
    for (values, held, kept) in [
        ("75 75 10 10 10 10 10 10 10", "", "1-4"),
        ("75 75 75 10 10 10 10 10 10", "2-3", "1-5"),
        ("75 75 75 10 75 10 10 10 10", "2-3", "1-7"),
        ("75 75 10 10 75 10 10 10 10", "", "1-7"),
        ("75 75 10 10 10 75 75 10 10", "", "1-4 6-9"),
    ] {
        let samples = values.split(' ').enumerate();
        let samples = samples.map(|(minute, value)| format!("[{}, \"{value}\"]", minute * 60));
        let samples = samples.collect::<Vec<_>>().join(", ");
        let document = format!(
            "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[\
             {{\"metric\":{{\"__name__\":\"load\"}},\"values\":[{samples}]}}]}}}}\n"
        );
        place.write("samples.json", document.as_bytes());
        for (times, fires) in [("for: 2m", held), ("for: 1m, keep_firing_for: 2m", kept)] {
            let alert = format!("alert: A, expr: load > 50, {times}");
            let text = format!("groups: [{{ name: g, rules: [{{ {alert} }}] }}]");
            place.write("alerts.yml", text.as_bytes());
            let converted = place.run("import-rules alerts.yml");
            converted.assert(0, &[]);
            place.write("rules.yaml", converted.said.as_bytes());
            let replay = "replay --rules rules.yaml --log samples.json --out out";
            place.run(&format!("{replay} --until 1970-01-01T00:09:30Z")).assert(0, &[]);
            let episodes = fs::read(place.path("out/episodes.ndjson")).expect("there are outputs");
            let minute = |time: &serde_json::Value| {
                let time = time.as_str().expect("a time");
                time.strip_prefix("1970-01-01T00:0").expect("a minute")[..1].to_owned()
            };
            let rows = rows(&episodes).into_iter().map(|row| row["data"].clone());
            let firing = rows.filter(|data| data["state"] == "firing");
            let firing = firing
                .map(|data| format!("{}-{}", minute(&data["decided"]), minute(&data["until"])));
            assert_eq!(firing.collect::<Vec<_>>().join(" "), fires, "{times}: {values}");
        }
    }
}

#[test]
fn what_is_left_is_told_and_what_is_wrong_is_refused() {
    let place = Place::new();
    place.write(
        "alerts.yml",
        b"groups:\n  - rules:\n      - alert: R\n        expr: rate(x[5m]) > 1\n",
    );
    place.write("wrong.yml", b"a: [\n");
    place.run("import-rules alerts.yml").assert(1, &["alerts.yml:4:15", "`rate` computes"]);
    place.run("import-rules wrong.yml").assert(78, &["wrong.yml"]);
    place.write("wrong.yml", b"groups:\n  - name: x\n    rules: 5\n");
    let ran = place.run("import-rules alerts.yml wrong.yml");
    ran.assert(78, &["wrong.yml:3:12", "`rules` is a list, `- item`, not text"]);
    assert_eq!(ran.said, "");
    place.run("import-rules no.yml").assert(66, &["no.yml"]);
    place.run("import-rules").assert(2, &[]);
}
