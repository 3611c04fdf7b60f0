//! What is committed is given out again until it is done, wherever a crash comes between.

use std::collections::BTreeMap;

use tempfile::{TempDir, tempdir};

use super::*;
use crate::durable::{ANY, Fault, Plan};

const NOTIFICATIONS: u64 = 18;
const LANES: u64 = 3;

fn body(key: u64) -> String {
    format!("{{\"key\":{key},\"text\":\"{}\"}}", "ä".repeat(key as usize * 7 % 40))
}

/// Small segments, so that there are several.
fn open(disk: &Disk, dir: &TempDir) -> Result<Outbox, OutputError> {
    Outbox::with_segments(disk, &dir.path().join("box"), 300)
}

/// Adds some by their keys, and says which are new.
fn add(outbox: &mut Outbox, keys: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let is_new = |key: &u64| outbox.add(u128::from(*key), key % LANES, body(*key));
    keys.into_iter().filter(is_new).collect()
}

/// What a replay does that delivers some as it goes.
fn scenario(
    disk: &Disk,
    dir: &TempDir,
    committed: &mut Vec<u64>,
    delivered: &mut Vec<Entry>,
) -> Result<(), OutputError> {
    let mut outbox = open(disk, dir)?;
    for batch in 0..NOTIFICATIONS / 3 {
        let added = add(&mut outbox, batch * 3..batch * 3 + 3);
        outbox.commit()?;
        committed.extend(added);
        for take in 0..2 {
            let Some(entry) = outbox.take()? else { break };
            delivered.push(entry.clone());
            match (batch, take) {
                (2, 1) => outbox.give_up(&entry, "the sink says no")?,
                _ => outbox.done(entry.number)?,
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_committed_outlives_every_crash() {
    let mut crashes = 0;
    for (seed, fault) in (0..4).flat_map(|seed| [(seed, Fault::Crash), (seed, Fault::DiskFull)]) {
        for passing in 1.. {
            let dir = tempdir().expect("a folder can be made");
            let disk = Disk::faulty(Plan { seed, point: ANY.to_owned(), passing, fault });
            let (mut committed, mut delivered) = (Vec::new(), Vec::new());
            let ran = scenario(&disk, &dir, &mut committed, &mut delivered);
            let failed = ran.is_err();
            // The next run adds all of it again, and delivers what is left.
            let what = format!("{fault:?} {passing} of seed {seed}");
            let mut outbox =
                open(&Disk::default(), &dir).unwrap_or_else(|why| panic!("{what}: {why}"));
            let again = add(&mut outbox, 0..NOTIFICATIONS);
            assert!(!again.iter().any(|key| committed.contains(key)), "{what}: {again:?}");
            outbox.commit().expect("the disk is well");
            let left = outbox.left();
            let mut second = Vec::new();
            while let Some(entry) = outbox.take().expect("the disk is well") {
                outbox.done(entry.number).expect("the disk is well");
                second.push(entry);
            }
            assert_eq!((second.len() as u64, outbox.left()), (left, 0), "{what}");
            let mut lanes: BTreeMap<u64, Vec<u128>> = BTreeMap::new();
            for entry in delivered.iter().chain(&second) {
                assert_eq!(
                    (&entry.body, entry.lane),
                    (&body(entry.key as u64), entry.key as u64 % LANES)
                );
                let lane = lanes.entry(entry.lane).or_default();
                if !lane.contains(&entry.key) {
                    lane.push(entry.key);
                }
            }
            assert!(lanes.values().all(|keys| keys.is_sorted()), "{what}: {lanes:?}");
            let all: usize = lanes.values().map(Vec::len).sum();
            assert_eq!(all as u64, NOTIFICATIONS, "{what}: {lanes:?}");
            assert!(second.is_sorted_by_key(|entry| entry.number), "{what}");
            if !failed {
                // What was done is not delivered again.
                assert_eq!(delivered.len() + second.len(), NOTIFICATIONS as usize, "{what}");
                break;
            }
            crashes += 1;
        }
    }
    assert!(crashes > 300, "{crashes}");
}

#[test]
fn what_is_done_is_forgotten_in_time() {
    let dir = tempdir().expect("a folder can be made");
    let disk = Disk::default();
    let mut outbox = open(&disk, &dir).expect("it opens");
    for key in 0..200 {
        add(&mut outbox, [key]);
        outbox.commit().expect("it commits");
        let entry = outbox.take().expect("it reads").expect("there is one");
        assert_eq!(entry.number, key + 1);
        if key != 100 {
            outbox.done(entry.number).expect("it is marked");
        }
    }
    drop(outbox);
    let mut outbox = open(&disk, &dir).expect("it opens");
    assert_eq!(outbox.left(), 1);
    let left = outbox.take().expect("it reads").expect("there is one");
    assert_eq!((left.key, outbox.take().expect("it reads")), (100, None));
    // As long as one is not done all behind it is there; those before are gone, with their keys.
    assert_eq!(add(&mut outbox, [0, 100, 101, 199]), [0]);
    outbox.commit().expect("it commits");
    assert_eq!(outbox.take().expect("it reads").map(|entry| entry.number), Some(201));
    outbox.done(left.number).expect("it is marked");
    assert_eq!(outbox.segments.len(), KEPT_SEGMENTS);
    let files = fs::read_dir(dir.path().join("box")).expect("it is there").count();
    assert!(files <= 2 * KEPT_SEGMENTS, "{files}");
    let keys: usize = outbox.segments.iter().map(|segment| segment.keys.len()).sum();
    assert_eq!(outbox.keys.len(), keys);
}

#[test]
fn what_is_not_what_was_written_is_said_to_be() {
    let dir = tempdir().expect("a folder can be made");
    let mut outbox = open(&Disk::default(), &dir).expect("it opens");
    add(&mut outbox, 0..3);
    outbox.commit().expect("it commits");
    let locked = open(&Disk::default(), &dir).expect_err("it is open already").to_string();
    assert!(locked.contains("another process"), "{locked}");
    drop(outbox);
    let path = dir.path().join("box/0000000000000001.entries");
    let whole = fs::read(&path).expect("it is there");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).expect("it can be written");
        let is_torn = bytes.last() != Some(&b'\n');
        match open(&Disk::default(), &dir) {
            // The end of the last line may be what a crash left.
            Ok(outbox) => assert!(is_torn && outbox.keys.len() == 2, "byte {at}"),
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains("entry") && error.contains("0001.entries"), "{error}");
            }
        }
        fs::write(&path, &whole).expect("it can be written");
    }
}
