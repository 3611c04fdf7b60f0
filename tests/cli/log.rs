//! Replay logs: making one, looking into it, and what is said of one that is damaged.

use std::fs;
use std::path::Path;

use super::{Place, flat_log};
use serde_json::Value;

/// Three segments.
const EVENTS: u64 = 270_000;
const SEGMENT: u64 = 131_072;

impl Place {
    fn summary(&self, out: &str) -> Value {
        let bytes = fs::read(self.path(out).join("summary.json")).expect("a summary");
        serde_json::from_slice(&bytes).expect("the summary is JSON")
    }

    /// Changes the manifest of a log.
    fn edit_manifest(&self, log: &str, edit: impl FnOnce(String) -> String) {
        let path = self.path(log).join("manifest.json");
        let text = fs::read_to_string(&path).expect("there is a manifest");
        fs::write(path, edit(text)).expect("it can be written");
    }

    fn imported_probes(&self) {
        self.run("import --rules rules.yaml probes.ndjson --log log").assert(0, &[]);
    }
}

#[test]
fn a_log_is_made_listed_shown_and_replayed() {
    let place = Place::new();
    place.write("more.ndjson", b"no record\n");
    let ran = place.run("import --rules rules.yaml probes.ndjson more.ndjson --log log");
    ran.assert(0, &[]);
    assert!(ran.said.contains("(2 of them dead letters) in 2 partitions"), "{ran:?}");
    place.assert_holds("log", &["0000-000000.parquet", "0001-000000.parquet", "manifest.json"]);

    let ran = place.run("log ls log");
    ran.assert(0, &[]);
    for word in ["partition 0: probes.ndjson (cloudevents)", "0001-000000.parquet", "arrival 2026"]
    {
        assert!(ran.said.contains(word), "no {word}: {ran:?}");
    }
    let manifest: Value = serde_json::from_str(&place.run("log ls log --json").said).expect("JSON");
    let segment = &manifest["partitions"][1]["segments"][0];
    assert_eq!((&segment["records"], &segment["arrival"]), (&1.into(), &Value::Null));
    let ran = place.run("log verify log");
    assert!(ran.assert(0, &[]).said.contains("whole"), "{ran:?}");

    place.run("replay --rules rules.yaml --log probes.ndjson more.ndjson --out a").assert(0, &[]);
    place.run("replay --rules rules.yaml --log log --out b").assert(0, &[]);
    place.outputs("b").assert_equal(&place.outputs("a"), "the import");
    place.run("replay --rules rules.yaml --log log probes.ndjson --out b").assert(0, &[]);
    place
        .run("replay --rules rules.yaml --log probes.ndjson more.ndjson probes.ndjson --out a")
        .assert(0, &[]);
    place.outputs("b").assert_equal(&place.outputs("a"), "the import and another log");

    let explained = |log: &str, what: &str| {
        let ran = place.run(&format!("explain --rules rules.yaml --log {log} {what}"));
        (ran.code, ran.said)
    };
    for what in ["shop/cart-0 --json", "--record probes.ndjson:4", "--record more.ndjson:1"] {
        let wanted = explained("probes.ndjson more.ndjson", what);
        assert_eq!(explained("log", what), wanted, "{what}");
        assert_eq!(wanted.0, Some(0), "{what}");
    }
    let ran = place.run("check rules.yaml --sample log");
    assert!(ran.assert(0, &[]).said.contains("sample probes.ndjson"), "{ran:?}");
}

#[test]
fn what_is_shown_can_be_replayed_and_has_a_window() {
    let place = Place::new();
    place.imported_probes();
    let all = place.run("log cat log");
    all.assert(0, &[]);
    place.write("again.ndjson", all.said.as_bytes());
    place.run("replay --rules rules.yaml --log again.ndjson --out a").assert(0, &[]);
    place.run("replay --rules rules.yaml --log probes.ndjson --out b").assert(0, &[]);
    assert_eq!(place.summary("a")["digest"], place.summary("b")["digest"]);

    let at = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("a line is JSON");
        record["recordedtime"].as_str().map(str::to_owned)
    };
    // Dead letters have no arrival.
    let lines: Vec<&str> = all.said.lines().filter(|line| at(line).is_some()).collect();
    assert_eq!(all.said.lines().count(), lines.len() + 1);
    let at = |line: &str| at(line).expect("an arrival");
    let (from, to) = (at(lines[2]), at(lines[6]));
    let wanted = lines.iter().filter(|line| (&from..&to).contains(&&at(line)));
    let ran = place.run(&format!("log cat log --from {from} --to {to} --partition 0"));
    assert_eq!(ran.said.lines().collect::<Vec<_>>(), wanted.copied().collect::<Vec<_>>());
    assert!(!ran.said.is_empty());
    assert_eq!(place.run("log cat log --partition 1").said, "");
}

#[test]
fn a_folder_is_not_written_twice() {
    let place = Place::new();
    place.imported_probes();
    let before = place.run("log ls log").said;
    place
        .run("import --rules rules.yaml probes.ndjson --log log")
        .assert(73, &["is a replay log already"]);
    assert_eq!(place.run("log ls log").said, before);

    // An import that broke off leaves segments and no manifest.
    fs::remove_file(place.path("log/manifest.json")).expect("it is there");
    fs::write(place.path("log/0007-000000.parquet"), "x").expect("it can be written");
    place.run("replay --rules rules.yaml --log log --out out").assert(66, &["manifest.json"]);
    place.run("log ls log").assert(66, &["manifest.json"]);
    place.imported_probes();
    place.assert_holds("log", &["0000-000000.parquet", "manifest.json"]);

    fs::create_dir(place.path("full")).expect("a folder can be made");
    fs::write(place.path("full/notes.txt"), "x").expect("it can be written");
    place
        .run("import --rules rules.yaml probes.ndjson --log full")
        .assert(73, &["notes.txt", "empty folder"]);
    place.assert_holds("full", &["notes.txt"]);
    place.run("import --rules rules.yaml nothing.ndjson --log new").assert(66, &["nothing.ndjson"]);
    assert!(!place.path("new").exists());
    place.run("import --rules rules.yaml log --log new").assert(2, &["replay log already"]);
    place.run("log verify nothing").assert(66, &["nothing"]);
}

#[test]
fn a_partition_is_of_its_source() {
    let place = Place::new();
    place.imported_probes();
    place
        .run("replay --rules flat.yaml --log log --out out")
        .assert(78, &["probes.ndjson", "`cloudevents`", "probe"]);
    place
        .run("replay --rules rules.yaml --log cloudevents=log --out out")
        .assert(2, &["says itself which sources"]);
    assert!(!place.path("out").exists());
}

#[test]
fn logs_of_nothing() {
    let place = Place::new();
    for (name, log) in [("empty", &b""[..]), ("blank", b"\n \n"), ("dead", b"x\ny\n")] {
        place.write("nothing.ndjson", log);
        place.run(&format!("import --rules rules.yaml nothing.ndjson --log {name}")).assert(0, &[]);
        place.run("replay --rules rules.yaml --log nothing.ndjson --out a").assert(0, &[]);
        place.run(&format!("replay --rules rules.yaml --log {name} --out b")).assert(0, &[]);
        place.outputs("b").assert_equal(&place.outputs("a"), name);
        place.run(&format!("log verify {name}")).assert(0, &[]);
        place.run(&format!("log ls {name}")).assert(0, &[]);
    }
    assert_eq!(place.run("log cat dead").said.lines().count(), 2);
}

#[test]
fn what_is_whole_of_a_damaged_log_is_imported() {
    let place = Place::new();
    let packed = zstd::encode_all(&flat_log(2_000)[..], 3).expect("it can be packed");
    place.write("cut.zst", &packed[..packed.len() / 2]);
    place.run("import --rules flat.yaml cut.zst --log log").assert(65, &["cut.zst", "damaged"]);
    place.run("replay --rules flat.yaml --log cut.zst --out a").assert(65, &["cut.zst"]);
    place
        .run("replay --rules flat.yaml --log log --out b")
        .assert(65, &["cut.zst", "not imported to its end"]);
    place.outputs("b").assert_equal(&place.outputs("a"), "what was whole");
    assert_eq!(place.summary("b")["complete"], false);
    assert!(place.run("log ls log").said.contains("not to its end"));
}

#[test]
fn a_manifest_that_is_none_is_one_error() {
    let place = Place::new();
    place.imported_probes();
    let good = fs::read_to_string(place.path("log/manifest.json")).expect("there is a manifest");
    for (edited, word) in [
        (String::new(), "EOF"),
        ("{\"format\":".to_owned(), "EOF"),
        ("[1]".to_owned(), "invalid"),
        ("{}".to_owned(), "limbeck-log"),
        (good.replace("\"version\": 2", "\"version\": 3"), "version is 3"),
        (good.replace("\"version\": 2", "\"version\": \"x\""), "invalid type"),
        (good.replace("\"records\": ", "\"records\": -"), "invalid value"),
        (good.replace("\"records\": ", "\"records\": 99999999999999999999"), "invalid"),
        (good.replace("\"records\": ", "\"records\": 9999999999"), "so many records"),
        (good.replace("\"offset\": 0", "\"offset\": 1"), "offset"),
        (good.replace("\"0000-", "\"../0000-"), "not the name of a file"),
        (good.replace("\"from\": \"2026", "\"from\": \"x"), "not a time"),
        (good.replace("\"from\": \"2026", "\"from\": \"2027"), "ends before it begins"),
    ] {
        assert_ne!(edited, good);
        place.edit_manifest("log", |_| edited.clone());
        for command in
            ["replay --rules rules.yaml --out out --log", "log ls", "log cat", "log verify"]
        {
            place.run(&format!("{command} log")).assert(65, &["manifest", word]);
        }
    }
    assert!(!place.path("out").exists());
}

/// A log of three segments, and what is wrong with the second.
fn damaged(place: &Place, damage: impl FnOnce(&Path), detail: &str) {
    let second = "0000-000001.parquet";
    let path = place.path("log").join(second);
    let good = fs::read(&path).expect("there is a second segment");
    damage(&path);
    place.run("log verify log").assert(65, &[second, detail]);
    place.run("log cat log --to 2026-01-01T00:00:01Z").assert(0, &[]);
    place.run("replay --rules flat.yaml --log log --out cut").assert(65, &[second, detail]);
    let summary = place.summary("cut");
    assert_eq!((&summary["records"], &summary["complete"]), (&SEGMENT.into(), &false.into()));
    place
        .run("replay --rules flat.yaml --log log --out cut --skip-corrupt")
        .assert(65, &[second, detail]);
    let summary = place.summary("cut");
    let records = (EVENTS - SEGMENT).into();
    assert_eq!((&summary["records"], &summary["complete"]), (&records, &false.into()));
    fs::write(path, good).expect("it can be written");
}

#[test]
fn a_corrupt_segment_is_named_and_may_be_skipped() {
    let place = Place::new();
    place.write("flat.ndjson", &flat_log(EVENTS));
    place.run("import --rules flat.yaml flat.ndjson --log log").assert(0, &[]);
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).expect("it is there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).expect("it can be written");
    };
    damaged(&place, flip, "checksum");
    let cut = |path: &Path| {
        let bytes = fs::read(path).expect("it is there");
        fs::write(path, &bytes[..bytes.len() - 1]).expect("it can be written");
    };
    damaged(&place, cut, "bytes, the manifest says");
    damaged(&place, |path| fs::remove_file(path).expect("it is there"), "No such file");

    place.run("replay --rules flat.yaml --log log --out a").assert(0, &[]);
    place.run("replay --rules flat.yaml --log flat.ndjson --out b").assert(0, &[]);
    place.outputs("a").assert_equal(&place.outputs("b"), "restored");
    let (log, whole) = (&place.path("log"), fs::metadata(place.path("flat.ndjson")));
    let bytes = |entry: fs::DirEntry| entry.metadata().expect("it is there").len();
    let stored: u64 = fs::read_dir(log).expect("a folder").flatten().map(bytes).sum();
    assert!(stored * 100 < whole.expect("it is there").len() * 15, "{stored}");

    // What the checksum does not say: the manifest is of other rows.
    place.edit_manifest("log", |text| {
        text.replacen("\"dead_letters\": 0", "\"dead_letters\": 1", 1)
    });
    place.run("log verify log").assert(65, &["0000-000000.parquet", "dead letters"]);
    place.edit_manifest("log", |text| text.replacen("\"xxh3\": \"", "\"xxh3\": \"0", 1));
    place.run("log verify log").assert(65, &["0000-000000.parquet", "checksum"]);
}

#[test]
fn standard_input_is_imported() {
    let place = Place::new();
    let probes = fs::read(place.path("probes.ndjson")).expect("it is there");
    let ran = place.run_with_input("import --rules rules.yaml - --log log", &probes);
    ran.assert(0, &[]);
    let records = probes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    assert_eq!(place.run("log cat log").said.lines().count(), records);
    let manifest: Value = serde_json::from_str(&place.run("log ls log --json").said).expect("JSON");
    assert_eq!(manifest["partitions"][0]["name"], "-");
}
