//! Where the outputs go: not a folder, not writable, full.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Place, listing};

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
