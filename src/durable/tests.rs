//! What a crash leaves: all that was synced, and of the rest any part; and that it may be less.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use tempfile::{TempDir, tempdir};

use super::{ANY, Disk, Fault, Plan};

fn planned(seed: u64, point: &str, passing: u64, fault: Fault) -> Disk {
    Disk::faulty(Plan { seed, point: point.to_owned(), passing, fault })
}

fn names(dir: &TempDir) -> BTreeSet<String> {
    let entries = fs::read_dir(dir.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_replaced_file_has_the_one_content_or_the_other() {
    let mut seen = BTreeSet::new();
    for seed in 0..10 {
        for passing in 1.. {
            let dir = tempdir().unwrap();
            let path = dir.path().join("file");
            Disk::default().replace(&path, b"the old one").unwrap();
            let disk = planned(seed, ANY, passing, Fault::Crash);
            let replaced = disk.replace(&path, b"that which is new");
            let content = fs::read(&path).unwrap();
            if replaced.is_ok() {
                assert_eq!(content, b"that which is new");
                assert!(!disk.has_failed());
                assert_eq!(names(&dir).len(), 1);
                break;
            }
            assert!(disk.has_failed());
            assert!(disk.point("whatever").is_err() && disk.sync_dir(dir.path()).is_err());
            seen.insert(content);
            // What is left under the other name is in nobody's way.
            Disk::default().replace(&path, b"once more").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"once more");
            assert_eq!(names(&dir).len(), 1);
        }
    }
    assert_eq!(seen, [&b"the old one"[..], b"that which is new"].map(<[u8]>::to_vec).into());
}

#[test]
fn what_is_synced_outlives_a_crash_and_what_is_not_is_torn() {
    let (mut torn, mut zeros, mut lost, mut whole) = (0, 0, 0, 0);
    for seed in 0..100 {
        let dir = tempdir().unwrap();
        let path = dir.path().join("file");
        let disk = planned(seed, "here", 2, Fault::Crash);
        disk.create(&path).unwrap().write_all(b"begin").unwrap();
        disk.sync_dir(dir.path()).unwrap();
        let mut file = disk.append(&path).unwrap();
        disk.point("here").unwrap();
        disk.point("there").unwrap();
        file.sync().unwrap();
        file.write_all(b" and the rest").unwrap();
        assert!(disk.point("here").is_err());
        assert!(file.write_all(b"!").is_err() && file.sync().is_err() && file.cut(0).is_err());
        let left = fs::read(&path).unwrap();
        let rest = left.strip_prefix(b"begin").expect("it was synced");
        let as_written = rest.iter().zip(b" and the rest").take_while(|(a, b)| a == b).count();
        assert!(rest[as_written..].iter().all(|byte| *byte == 0) && rest.len() <= 13);
        zeros += u32::from(as_written < rest.len());
        torn += u32::from(!rest.is_empty() && rest.len() < 13);
        lost += u32::from(rest.is_empty());
        whole += u32::from(as_written == 13);
    }
    assert!([torn, zeros, lost, whole].into_iter().all(|count| count > 0));
}

#[test]
fn names_are_as_they_were_unless_their_folder_was_synced() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let dir = tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let disk = planned(seed, "crash", 1, Fault::Crash);
        for name in ["kept", "old", "gone"] {
            fs::write(path(name), name).unwrap();
        }
        disk.create(&path("first")).unwrap();
        disk.sync_dir(dir.path()).unwrap();
        let make = |name: &str| {
            let mut file = disk.create(&path(name))?;
            file.write_all(name.as_bytes()).and_then(|()| file.sync())
        };
        make("new").unwrap();
        disk.rename(&path("new"), &path("old")).unwrap();
        disk.remove(&path("gone")).unwrap();
        make("made").unwrap();
        disk.point("crash").unwrap_err();
        let names = names(&dir);
        assert!(names.contains("first") && names.contains("kept") && names.contains("old"));
        let old = fs::read_to_string(path("old")).unwrap();
        // The new one is there under one of its names, if at all.
        assert!(old == "old" || (old == "new" && !names.contains("new")), "{old} {names:?}");
        seen.insert((old, names.contains("gone"), names.contains("made")));
    }
    assert_eq!(seen.len(), 8, "each independent of the others: {seen:?}");
}

#[test]
fn a_disk_that_is_full_takes_a_part_and_a_short_write_is_gone_on_with() {
    let dir = tempdir().unwrap();
    let write = |name: &str, disk: &Disk| -> io::Result<()> {
        let mut file = disk.create(&dir.path().join(name))?;
        disk.point("write")?;
        file.write_all(b"all of this")?;
        file.sync()
    };
    let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
    let full = planned(7, "write", 1, Fault::DiskFull);
    assert_eq!(write("a", &full).unwrap_err().kind(), ErrorKind::StorageFull);
    assert!(full.has_failed() && b"all of this".starts_with(&read("a")));
    assert_eq!(write("b", &full).unwrap_err().kind(), ErrorKind::StorageFull);
    full.remove(&dir.path().join("a")).unwrap();

    let short = planned(7, "write", 2, Fault::ShortWrite);
    write("c", &short).unwrap();
    assert!(!short.has_failed());
    write("d", &short).unwrap();
    assert!(short.has_failed());
    assert_eq!((read("c"), read("d")), (b"all of this".to_vec(), b"all of this".to_vec()));
}

#[test]
fn the_same_plan_leaves_the_same() {
    let left = |dir: &Path| {
        let disk = planned(3, ANY, 9, Fault::Crash);
        let written = (0..9).try_for_each(|n| {
            let mut file = disk.create(&dir.join(format!("{n}")))?;
            file.write_all(&[n; 100])
        });
        assert!(written.is_err());
        let read = |n: u8| fs::read(dir.join(format!("{n}"))).ok();
        (0..9).map(read).collect::<Vec<_>>()
    };
    let (one, other) = (tempdir().unwrap(), tempdir().unwrap());
    assert_eq!(left(one.path()), left(other.path()));
}

#[test]
fn folders_that_were_made_outlive_a_crash() {
    for seed in 0..20 {
        let dir = tempdir().unwrap();
        let folder = dir.path().join("a/b/c");
        let disk = planned(seed, "here", 1, Fault::Crash);
        disk.create_dir_all(&folder).unwrap();
        disk.create(&folder.join("file")).unwrap().sync().unwrap();
        disk.sync_dir(&folder).unwrap();
        disk.point("here").unwrap_err();
        assert!(folder.join("file").exists());
    }
}
