//! Appending to a log: what is said and kept through crashes, second writers, and rule files that
//! read a partition otherwise.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread;

use limbeck::log::look::unsealed;
use serde_json::Value;

use super::{Place, flat_log, ran};

const APPEND: &str = "append --rules flat.yaml --log log";

/// Starts an appender of standard input, and gives it something.
fn started(place: &Place, line: &str, input: &[u8]) -> Child {
    let mut child = place.command(line).stdin(Stdio::piped()).spawn().expect("it can be run");
    child.stdin.as_mut().expect("it is piped").write_all(input).expect("it is read");
    child
}

/// Waits until so many lines are in a log.
fn wait_for(place: &Place, log: &str, lines: u64) {
    while unsealed(&place.path(log)).map_or(0, |found| found.lines.iter().sum()) < lines {
        thread::yield_now();
    }
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

#[test]
fn a_log_grows_file_by_file() {
    let place = Place::new();
    let log = flat_log(3_000);
    let parts = lines(&log);
    place.write("whole.ndjson", &log);
    for part in [&parts[..1_000], &parts[1_000..1_001], &parts[1_001..]] {
        place.write("part.ndjson", &part.concat());
        place.run(&format!("{APPEND} part.ndjson")).assert(0, &[]);
        if part.len() == 1 {
            let ran = place.run("log seal log");
            assert!(ran.assert(0, &[]).said.contains("1,001 records"), "{ran:?}");
        }
    }
    let ran = place.run("log ls log");
    assert!(ran.assert(0, &[]).said.contains("not sealed yet: 1,999 lines"), "{ran:?}");
    assert!(place.run("log verify log").assert(0, &[]).said.contains("whole"));
    assert_eq!(place.run("log cat log").said.lines().count(), 3_000);
    place.run("replay --rules flat.yaml --log whole.ndjson --out a").assert(0, &[]);
    place.run("replay --rules flat.yaml --log log --out b").assert(0, &[]);
    let wanted = place.outputs("a").unnamed();
    place.outputs("b").unnamed().assert_equal(&wanted, "appended in parts");
    place.run("log seal log").assert(0, &[]);
    place.run("replay --rules flat.yaml --log log --out b").assert(0, &[]);
    place.outputs("b").unnamed().assert_equal(&wanted, "sealed");
    // What was imported can be gone on with.
    place.write("part.ndjson", &parts[..2_000].concat());
    place.run("import --rules flat.yaml part.ndjson --log other").assert(0, &[]);
    place.write("part.ndjson", &parts[2_000..].concat());
    place.run("append --rules flat.yaml --log other part.ndjson").assert(0, &[]);
    place.run("replay --rules flat.yaml --log other --out b").assert(0, &[]);
    place.outputs("b").unnamed().assert_equal(&wanted, "imported, then appended to");
}

#[test]
fn an_appender_that_is_killed_loses_nothing_that_is_there() {
    let place = Place::new();
    let log = flat_log(20_000);
    place.write("whole.ndjson", &log);
    place.run("replay --rules flat.yaml --log whole.ndjson --out a").assert(0, &[]);
    let wanted = place.outputs("a").unnamed();
    let mut there = 0;
    let parts = lines(&log);
    for _ in 0..3 {
        let rest = parts[there..parts.len().min(there + 7_000)].concat();
        let line = format!("{APPEND} --recorded --seal-bytes 50000 -");
        let mut child = started(&place, &line, &rest);
        wait_for(&place, "log", 1);
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        let ran = place.run("log cat log");
        there = ran.assert(0, &[]).said.lines().count();
        assert!(there > 0);
    }
    let ran = place.run_with_input(&format!("{APPEND} --recorded -"), &parts[there..].concat());
    ran.assert(0, &[]);
    place.run("replay --rules flat.yaml --log log --out b").assert(0, &[]);
    place.outputs("b").unnamed().assert_equal(&wanted, "appended through crashes");
}

#[test]
fn a_torn_tail_is_cut_and_damage_before_it_is_named() {
    let place = Place::new();
    let log = flat_log(4_000);
    place.write("part.ndjson", &log);
    place.run(&format!("{APPEND} part.ndjson")).assert(0, &[]);
    let frames = place.path("log/00000001.frames");
    let good = fs::read(&frames).expect("there are frames");
    let mut file = OpenOptions::new().append(true).open(&frames).expect("it is there");
    file.write_all(&good[..100]).expect("it can be written");
    for command in ["log verify log", "log cat log", "replay --rules flat.yaml --log log --out a"] {
        place.run(command).assert(0, &[]);
    }
    for command in ["log verify log", "replay --rules flat.yaml --log log --out a"] {
        place.run(command).assert(0, &["last 100 bytes", "no whole frame", "never acknowledged"]);
    }
    place.run("log seal log").assert(0, &["no whole frame"]);
    let ran = place.run("log verify log");
    assert!(ran.assert(0, &[]).complained.is_empty(), "{ran:?}");

    place.run("append --rules flat.yaml --log two part.ndjson").assert(0, &[]);
    place.write("more.ndjson", &flat_log(10));
    place.run("append --rules flat.yaml --log two more.ndjson").assert(0, &[]);
    place.write("part.ndjson", &flat_log(10));
    place.run("append --rules flat.yaml --log two part.ndjson").assert(0, &[]);
    let frames = place.path("two/00000001.frames");
    let mut bad = fs::read(&frames).expect("there are frames");
    bad[100] ^= 1;
    fs::write(&frames, bad).expect("it can be written");
    for command in [
        "log verify two",
        "log seal two",
        "append --rules flat.yaml --log two part.ndjson",
        "replay --rules flat.yaml --log two --out c",
    ] {
        place.run(command).assert(65, &["00000001.frames", "damaged from byte 0"]);
    }
    place
        .run("replay --rules flat.yaml --log two --out c --skip-corrupt")
        .assert(65, &["00000001.frames"]);
    // It may be of any partition.
    for partition in ["", "--partition 0", "--partition 1"] {
        place.run(&format!("log cat two {partition}")).assert(65, &["damaged from byte 0"]);
    }
}

#[test]
fn one_appends_at_a_time_to_what_is_a_log() {
    let place = Place::new();
    let mut child = started(&place, &format!("{APPEND} -"), &flat_log(10));
    wait_for(&place, "log", 10);
    let holder = format!("process {} appends", child.id());
    place.write("part.ndjson", &flat_log(10));
    for command in [&format!("{APPEND} part.ndjson"), "log seal log"] {
        place.run(command).assert(73, &[&holder]);
    }
    // Others read it meanwhile.
    assert_eq!(place.run("log cat log --partition 0").assert(0, &[]).said.lines().count(), 10);
    drop(child.stdin.take());
    let ran = ran(child.wait_with_output().expect("it ends"));
    assert!(ran.assert(0, &[]).said.contains("10 lines appended"), "{ran:?}");

    fs::create_dir(place.path("notes")).expect("a folder can be made");
    place.write("notes/todo.txt", b"x");
    place
        .run("append --rules flat.yaml --log notes part.ndjson")
        .assert(73, &["it holds other files, as todo.txt"]);
    place.run("log seal notes").assert(66, &["notes"]);
    place.run("append --rules flat.yaml --log new nothing.ndjson").assert(66, &["nothing.ndjson"]);
    assert!(!place.path("new").exists());
}

#[test]
fn a_partition_is_read_as_it_was_begun() {
    let place = Place::new();
    place.write("part.ndjson", &flat_log(10));
    place.run(&format!("{APPEND} part.ndjson")).assert(0, &[]);
    let text = fs::read_to_string(place.path("flat.yaml")).expect("it is there");
    place.write("flat.yaml", text.replace("unit: ms", "unit: us").as_bytes());
    place.run(&format!("{APPEND} part.ndjson")).assert(
        78,
        &["log (part.ndjson)", "its mapping is", "the rule file that it was begun with"],
    );
    // Another partition may be read otherwise.
    place.write("more.ndjson", &flat_log(10));
    place.run(&format!("{APPEND} more.ndjson")).assert(0, &[]);
    place.run(&format!("{APPEND} more.ndjson more.ndjson")).assert(78, &["named twice"]);
}

#[test]
fn standard_input_is_appended_and_followed() {
    let place = Place::new();
    let log = flat_log(3_000);
    let line = "replay --rules flat.yaml --log - --follow --append log --out a";
    let ran = place.run_with_input(line, &log);
    ran.assert(0, &["following", ".updates.ndjson.partial-"]);
    place.run("replay --rules flat.yaml --log log --out b").assert(0, &[]);
    place.outputs("a").assert_equal(&place.outputs("b"), "the finished log");
    assert_eq!(place.outputs("a").summary["records"], 3_000);
    // It is declared ended: there is nothing to wait for.
    place.run("replay --rules flat.yaml --log log --follow --out c").assert(0, &[]);
    place.outputs("c").assert_equal(&place.outputs("b"), "followed at its end");
    place.run("log seal log").assert(0, &[]);
    place.run("replay --rules flat.yaml --log log --follow --out c").assert(0, &[]);
    place.outputs("c").assert_equal(&place.outputs("b"), "followed when sealed");

    place.run("replay --rules flat.yaml --log - --follow --out c").assert(66, &["-"]);
    place
        .run("replay --rules flat.yaml --log log --follow --append log --out c")
        .assert(2, &["is of a replay log already"]);
}

#[test]
fn who_follows_is_ended_by_a_signal() {
    let place = Place::new();
    let mut child = started(&place, &format!("{APPEND} -"), &flat_log(100));
    wait_for(&place, "log", 100);
    let mut follower = place
        .command("replay --rules flat.yaml --log log --follow --out a")
        .spawn()
        .expect("it can be run");
    let is_there = || place.path("a").is_dir();
    while !is_there() && follower.try_wait().expect("it can be asked").is_none() {
        thread::yield_now();
    }
    let sent = Command::new("kill").args(["-s", "INT", &follower.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    let ended = ran(follower.wait_with_output().expect("it ends"));
    ended.assert(130, &["interrupted"]);
    assert_eq!(place.outputs("a").summary["complete"], false);
    drop(child.stdin.take());
    child.wait().expect("it ends");
}

#[test]
fn what_is_kept_no_more_is_not_replayed() {
    let place = Place::new();
    let log = flat_log(9_000);
    let parts = lines(&log);
    for part in parts.chunks(3_000) {
        place.write("part.ndjson", &part.concat());
        place.run(&format!("{APPEND} part.ndjson")).assert(0, &[]);
        place.run("log seal log").assert(0, &[]);
    }
    let manifest = |name: &str| -> Value {
        serde_json::from_str(&place.run(&format!("log ls {name} --json")).said).expect("JSON")
    };
    let all = manifest("log")["partitions"][0]["segments"].clone();
    assert_eq!(all.as_array().map(Vec::len), Some(3));
    let time = |value: &Value| value.as_str().expect("a time").to_owned();
    let (second, end) = (time(&all[1]["arrival"]["from"]), time(&all[0]["arrival"]["to"]));

    // A replay from then on opens no segment that ends before.
    place.write("rest.ndjson", &parts.concat());
    let from = time(&all[2]["arrival"]["to"]);
    place.run(&format!("replay --rules flat.yaml --log rest.ndjson --from {from} --out a"));
    let first = place.path("log/0000-000000.parquet");
    let good = fs::read(&first).expect("it is there");
    fs::write(&first, b"x").expect("it can be written");
    place.run(&format!("replay --rules flat.yaml --log log --from {from} --out b")).assert(0, &[]);
    place.outputs("b").unnamed().assert_equal(&place.outputs("a").unnamed(), "from the last on");
    assert!(place.outputs("b").summary["records"].as_u64().expect("a count") > 0);
    place.run("replay --rules flat.yaml --log log --out b").assert(65, &["0000-000000.parquet"]);
    fs::write(&first, good).expect("it can be written");

    // Segments of twenty minutes.
    let ran = place.run("log compact log --retain 30m");
    assert!(ran.assert(0, &[]).said.contains("6,000 records"), "{ran:?}");
    assert!(!first.exists());
    place.run("log verify log").assert(0, &[]);
    let ran = place.run("log ls log");
    assert!(ran.said.contains(&format!("removed: 3,000 records, arrival until {end}")), "{ran:?}");
    for from in ["", &format!("--from {end}")] {
        place
            .run(&format!("replay --rules flat.yaml --log log {from} --out c"))
            .assert(66, &["is kept no more", &end, "--from"]);
    }
    assert!(!place.path("c").exists());
    // What is there is what it was.
    let from = format!("--from {second}");
    if second > end {
        place.run(&format!("replay --rules flat.yaml --log rest.ndjson {from} --out a"));
        place.run(&format!("replay --rules flat.yaml --log log {from} --out b")).assert(0, &[]);
        place.outputs("b").unnamed().assert_equal(&place.outputs("a").unnamed(), "what is kept");
    }
    // It is gone on with, and kept as short.
    place.write("part.ndjson", &flat_log(10));
    place.run(&format!("{APPEND} --retain-bytes 150000 part.ndjson")).assert(0, &[]);
    place.run("log seal log").assert(0, &[]);
    place.run("log compact log --retain-bytes 50000").assert(0, &[]);
    let left = manifest("log")["partitions"][0].clone();
    assert_eq!(left["segments"].as_array().map(Vec::len), Some(1), "{left}");
    // The second and the third were put together.
    assert_eq!((&left["removed"]["segments"], &left["merged"]), (&2.into(), &2.into()), "{left}");
    assert_eq!(left["segments"][0]["offset"], 9_000, "{left}");
    assert_eq!(left["segments"][0]["file"], "0000-000004.parquet", "{left}");
}

#[test]
fn what_could_not_be_appended_to_its_end_is_remembered() {
    let place = Place::new();
    let packed = zstd::encode_all(&flat_log(2_000)[..], 3).expect("it can be packed");
    place.write("cut.zst", &packed[..packed.len() / 2]);
    place.run("replay --rules flat.yaml --log cut.zst --out a").assert(65, &["cut.zst"]);
    let wanted = place.outputs("a").unnamed();
    assert!(wanted.summary["records"].as_u64().expect("a count") > 0);
    place.run(&format!("{APPEND} cut.zst")).assert(65, &["cut.zst", "damaged"]);
    let ran = place.run("log ls log");
    assert!(ran.assert(0, &[]).said.contains("not to its end: the archive is damaged"), "{ran:?}");
    place.run("log cat log").assert(65, &["not imported to its end", "the archive is damaged"]);
    for sealed in [false, true] {
        let about = ["log (cut.zst)", "not imported to its end", "the archive is damaged"];
        for follow in ["", "--follow"] {
            let line = format!("replay --rules flat.yaml --log log {follow} --out b");
            place.run(&line).assert(65, &about);
            place.outputs("b").unnamed().assert_equal(&wanted, &format!("{sealed} {follow}"));
        }
        place.run("log seal log").assert(0, &[]);
    }
    // What is followed meanwhile ends with its input.
    place
        .run("replay --rules flat.yaml --log cut.zst --follow --append grown --out b")
        .assert(65, &["cut.zst", "damaged", "grown (cut.zst)"]);
    place.outputs("b").unnamed().assert_equal(&wanted, "appended and followed");
}

#[test]
fn dead_letters_alone_are_kept_as_long_as_what_comes_behind_them() {
    let place = Place::new();
    let log = flat_log(3_000);
    for part in [b"no record\n".to_vec(), log.clone(), b"nor this\n".to_vec()] {
        place.write("part.ndjson", &part);
        place.run(&format!("{APPEND} part.ndjson")).assert(0, &[]);
        place.run("log seal log").assert(0, &[]);
    }
    let ran = place.run("log compact log --retain 1d");
    assert!(ran.assert(0, &[]).said.contains("3,002 records (2 of them"), "{ran:?}");
    // They fit into one, with all the same outputs.
    place
        .assert_holds("log", &[".lock", "0000-000003.parquet", "00000004.frames", "manifest.json"]);
    place.write("part.ndjson", &[b"no record\n", &log[..], b"nor this\n"].concat());
    place.run("replay --rules flat.yaml --log part.ndjson --out a").assert(0, &[]);
    place.run("replay --rules flat.yaml --log log --out b").assert(0, &[]);
    place.outputs("b").assert_equal(&place.outputs("a"), "compacted");

    for part in [b"no record\n", &log[..]] {
        place.write("part.ndjson", part);
        place.run("append --rules flat.yaml --log other part.ndjson").assert(0, &[]);
        place.run("log seal other").assert(0, &[]);
    }
    let manifest: Value =
        serde_json::from_str(&place.run("log ls other --json").said).expect("JSON");
    let bytes = &manifest["partitions"][0]["segments"][1]["bytes"];
    place.run(&format!("log compact other --retain-bytes {bytes}")).assert(0, &[]);
    let line = "replay --rules flat.yaml --log other --out c";
    place.run(line).assert(66, &["is kept no more", "1 dead letters before its first record"]);
    place
        .run("explain --rules flat.yaml --log other pod-1")
        .assert(66, &["is kept no more", "--from"]);
}

#[test]
fn a_log_is_split_into_parts_that_are_replayed_as_it_is() {
    let place = Place::new();
    let log = [&flat_log(3_000)[..], b"no record\n"].concat();
    place.write("part.ndjson", &log);
    place.run(&format!("{APPEND} part.ndjson")).assert(0, &[]);
    place.run("replay --rules flat.yaml --log log --out a --fates").assert(0, &[]);
    let ran = place.run("log split log --into split --partitions 3");
    // The marks by which the parts know of time are no records.
    let told = "3,001 records (1 of them dead letters) in 3 partitions";
    assert!(ran.assert(0, &[]).said.contains(told), "{ran:?}");
    let listed = place.run("log ls split --json").said;
    assert!(listed.contains("\"marks\""), "{listed}");
    for arguments in ["--workers 1", "--workers 2"] {
        let line = format!("replay --rules flat.yaml --log split --out b --fates {arguments}");
        place.run(&line).assert(0, &[]);
        for name in ["episodes.ndjson", "updates.ndjson", "dead-letter.ndjson", "fates.ndjson"] {
            let read = |out: &str| fs::read(place.path(out).join(name)).expect("it is there");
            assert!(read("a") == read("b"), "{name} on {arguments}");
        }
    }
    place.run("log verify split").assert(0, &[]);
    let explain = |log: &str| {
        let ran =
            place.run(&format!("explain --rules flat.yaml --log {log} --record part.ndjson:7"));
        ran.assert(0, &[]).said.clone()
    };
    assert_eq!(explain("split"), explain("log"));
    place.run("log split log --into split --partitions 2").assert(73, &["a replay log already"]);
    place.run("log split nothing --into new --partitions 2").assert(66, &["nothing"]);
    place.run("log split log --into new --partitions 1").assert(2, &["2..=256"]);
}
