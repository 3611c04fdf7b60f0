//! Where the outputs go: not a folder, not writable, full.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Place, listing, ran};

const REPLAY: &str = "replay --rules rules.yaml --log probes.ndjson";

#[test]
fn outputs_that_cannot_be_created_are_said_to_be() {
    let place = Place::new();
    place.write("file", b"kept");
    let before = place.listing();
    for out in ["file", "file/below", "file/below/further", "/proc/limbeck-out"] {
        place.run(&format!("{REPLAY} --out {out}")).assert(73, &["cannot be created", out]);
        place.assert_untouched(&before);
        assert_eq!(fs::read(place.path("file")).expect("it is there"), b"kept");
    }
    fs::create_dir_all(place.path("out/updates.ndjson")).expect("a folder can be made");
    place.run(&format!("{REPLAY} --out out")).assert(73, &["updates.ndjson", "directory"]);
    place.assert_holds("out", &["updates.ndjson"]);
}

/// Neither by its name nor through a link.
#[test]
fn no_output_takes_the_place_of_a_log() {
    let place = Place::new();
    let log = fs::read(place.path("probes.ndjson")).expect("it is there");
    fs::create_dir(place.path("logs")).expect("a folder can be made");
    place.write("logs/episodes.ndjson", &log);
    std::os::unix::fs::symlink(place.path("logs"), place.path("link")).expect("a link can be made");
    fs::hard_link(place.path("probes.ndjson"), place.path("link/fates.ndjson")).expect("one, too");
    let before = place.listing();
    for (log, out) in [
        ("logs/episodes.ndjson", "link"),
        ("link/episodes.ndjson", "logs"),
        ("probes.ndjson", "logs"),
    ] {
        let ran = place.run(&format!("replay --rules rules.yaml --log {log} --out {out}"));
        ran.assert(73, &[out, "it is one of the logs", "name a directory"]);
        place.assert_untouched(&before);
    }
}

#[test]
fn folders_are_made_and_other_files_stay() {
    let place = Place::new();
    place.run(&format!("{REPLAY} --out a/b/c")).assert(0, &[]);
    let first = place.outputs("a/b/c");
    fs::write(place.path("a/b/c/mine"), b"kept").expect("a file can be written");
    place.run(&format!("{REPLAY} --out a/b/c")).assert(0, &[]);
    fs::remove_file(place.path("a/b/c/mine")).expect("it is there");
    place.outputs("a/b/c").assert_equal(&first, "a second run");
}

/// Fates of a replay before would not be those of the files beside them.
#[test]
fn earlier_fates_are_removed() {
    let place = Place::new();
    place.run(&format!("{REPLAY} --out out --fates")).assert(0, &[]);
    assert!(place.path("out/fates.ndjson").exists());
    place.run(&format!("{REPLAY} --out out")).assert(0, &[]);
    assert!(!place.path("out/fates.ndjson").exists());
}

/// The profile is said behind the summary, of all stages, rules and operators; it changes no output.
#[test]
fn a_profile_is_said() {
    let place = Place::new();
    place.run(&format!("{REPLAY} --out plain")).assert(0, &[]);
    for workers in [1, 2] {
        let ran = place.run(&format!("{REPLAY} --out out --workers {workers} --profile"));
        ran.assert(0, &[]);
        place.outputs("out").assert_equal(&place.outputs("plain"), "it was profiled");
        let rows: Vec<Vec<&str>> =
            ran.said.lines().map(|line| line.split_whitespace().collect()).collect();
        let row = |name: &str| {
            let named = rows.iter().find(|row| row.first() == Some(&name));
            named.unwrap_or_else(|| panic!("no {name} in {}", ran.said)).clone()
        };
        for stage in ["read", "decode", "judge", "flow", "write"] {
            assert!(row(stage)[1].parse::<u32>().is_ok_and(|times| times > 0), "{}", ran.said);
        }
        let [told, withdrawn] =
            [1, 2].map(|at| row("pod-readiness")[at].parse::<u64>().expect("a count"));
        let updates = &place.outputs("out").summary["updates"];
        assert_eq!(Some(told + withdrawn), updates.as_u64());
        // Name, runs, time with its unit, keys, bytes.
        for operator in ["duplicates", "hold-down"] {
            let row = row(operator);
            let [keys, bytes] = [4, 5].map(|at| row[at].parse::<usize>().expect("a count"));
            assert!(0 < keys && keys < bytes, "{}", ran.said);
        }
    }
}

/// What is said on standard output is about the outputs; a closed pipe is no failure.
#[test]
fn the_summary_is_said() {
    let place = Place::new();
    let ran = place.run(&format!("{REPLAY} --out out"));
    ran.assert(0, &[]);
    assert_eq!(ran.complained, "", "there is nothing to complain of, and no terminal");
    let summary = place.outputs("out").summary;
    let digest = summary["digest"].as_str().expect("a digest is a text");
    assert!(ran.said.contains(digest) && ran.said.contains("outputs in out"), "{ran:?}");
}

/// Late records that amend are no observations in time, but episodes are made of them.
#[test]
fn the_summary_counts_what_amends() {
    let place = Place::new();
    let rules = r#"
version: 1
lateness: 5s
sources:
  p:
    format: json
    time: { field: at, unit: s }
    arrival: { field: recorded, unit: s }
    subject: { const: a }
    source: { const: s }
    type: { const: t }
signals: { a: { states: { up: data.x == 1, down: data.x == 0 } } }
rules:
  - { name: patient, signal: a, hold: { up: 10s, down: 10s }, amend_within: 1h }
  - { name: strict, signal: a, hold: { up: 10s, down: 10s } }
"#;
    place.write("patient.yaml", rules.as_bytes());
    let log = [(0, 0, 0), (100, 100, 0), (20, 200, 1), (40, 201, 0), (60, 202, 1)];
    let line = |(at, recorded, x): &(i64, i64, i64)| {
        format!("{{\"at\":{at},\"recorded\":{recorded},\"x\":{x}}}\n")
    };
    place.write("late.ndjson", log.iter().map(line).collect::<String>().as_bytes());
    let ran = place.run("replay --rules patient.yaml --log late.ndjson --out out");
    ran.assert(0, &[]);
    let rows = ran.said.lines().take_while(|line| line.starts_with("  "));
    let said: Vec<_> = rows.map(str::trim_start).collect();
    expect_test::expect![[r#"
        5  records
        3  late
        2  records used
        7  observations by the rules
        6  episodes: one for 1 observation"#]]
    .assert_eq(&said.join("\n"));
}

/// What is asked for on standard output must come there; who closes it has read enough.
#[test]
fn a_result_that_cannot_be_said_is_a_failure() {
    let place = Place::new();
    for line in [
        &format!("{REPLAY} --out out"),
        "check rules.yaml --plan",
        "check rules.yaml --sample probes.ndjson",
        "explain --rules rules.yaml --log probes.ndjson shop/cart-0",
        "explain --rules rules.yaml --log probes.ndjson shop/cart-0 --json",
        "explain --rules rules.yaml --log probes.ndjson --record probes.ndjson:7",
        "init probes.ndjson",
        "schema",
        "completions bash",
        "--help",
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("it is there");
        let ran = ran(place.command(line).stdout(full).output().expect("it can be run"));
        ran.assert(74, &["standard output cannot be written", "No space left"]);
        let (reader, closed) = io::pipe().expect("a pipe can be made");
        drop(reader);
        let ran = self::ran(place.command(line).stdout(closed).output().expect("it can be run"));
        ran.assert(0, &[]);
    }
}

/// The exit code says it, even if nobody listens.
#[test]
fn a_complaint_that_cannot_be_said_changes_no_exit_code() {
    let place = Place::new();
    place.write("bad.yaml", b"version: 2\n");
    for (line, code) in [
        (&*format!("{REPLAY} missing --out out"), 66),
        ("check bad.yaml", 78),
        ("check no.yaml", 66),
        ("init no.ndjson", 66),
        ("replay", 2),
        ("explain --rules rules.yaml --log probes.ndjson nobody", 1),
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("it is there");
        let (reader, closed) = io::pipe().expect("a pipe can be made");
        drop(reader);
        for stderr in [Stdio::from(full), Stdio::from(closed)] {
            let status = place.command(line).stderr(stderr).status().expect("it can be run");
            assert_eq!(status.code(), Some(code), "{line}");
        }
    }
}

/// Outputs that need more than a disk has.
fn large(place: &Place) {
    let mut flapping = Vec::new();
    for number in 0..6_000 {
        let state = if number % 2 == 0 { "ready" } else { "unready" };
        let (minute, second) = (number / 60 % 60, number % 60);
        let time = format!("2026-01-01T{:02}:{minute:02}:{second:02}Z", number / 3600);
        flapping.push(format!(
            r#"{{"id":"{number}","source":"s","type":"probe.readiness","subject":"a","time":"{time}","data":{{"state":"{state}"}}}}"#
        ));
    }
    place.write("flapping.ndjson", flapping.join("\n").as_bytes());
    let eager = super::READINESS.replace("{ unready: 30s, ready: 10s }", "{ ready: 0s }");
    place.write("eager.yaml", eager.as_bytes());
}

/// Nobody needs rights to limit the size of files; a file may then not grow, as on a full disk.
#[test]
fn where_files_may_not_grow_nothing_is_in_place() {
    let place = Place::new();
    large(&place);
    for workers in [1, 2] {
        let line = format!(
            "replay --rules eager.yaml --log flapping.ndjson --out out --workers {workers}"
        );
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -f 512 && exec \"$@\"", "sh"]);
        limited.arg(env!("CARGO_BIN_EXE_limbeck")).args(line.split_whitespace());
        let limited = limited.current_dir(place.path("")).output().expect("a shell runs");
        ran(limited).assert(74, &["writing the output failed", "too large"]);
        place.assert_holds("out", &[]);
    }
}

/// A small file system of its own, until dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(dir: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir(&dir).expect("a folder can be made");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "limbeck-test"])
            .arg(&dir)
            .output();
        mounted.is_ok_and(|ran| ran.status.success()).then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let ran = Command::new("umount").arg(&self.0).status();
        assert!(ran.is_ok_and(|status| status.success()), "{} stays mounted", self.0.display());
    }
}

#[test]
fn on_a_full_disk_nothing_is_in_place() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(place.path("disk"), "256k") else {
        eprintln!("skipped: no file system can be mounted here");
        return;
    };
    large(&place);
    for workers in [1, 2] {
        let line = format!(
            "replay --rules eager.yaml --log flapping.ndjson --out disk/out --workers {workers}"
        );
        place.run(&line).assert(74, &["writing the output failed", "free space"]);
        assert_eq!(listing(&disk.0), ["out"]);
        place.assert_holds("disk/out", &[]);
    }
    // The rest of the run must not matter: with room it succeeds.
    place.run("replay --rules eager.yaml --log flapping.ndjson --out out").assert(0, &[]);
    let outputs = place.outputs("out");
    assert!(outputs.updates.len() > 256 << 10, "the outputs are larger than the disk");
}
