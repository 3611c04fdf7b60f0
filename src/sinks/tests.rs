//! Two families: the sort against a naive map, for any limit of memory; and what stands in an
//! output directory before, after and instead of a commit.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use proptest::prelude::*;

use super::{AtomicFile, OutputDir, OutputError, Sorter};
use crate::durable::{ANY, Disk, Fault, Plan};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

type Update = (String, i64);

fn sorted(updates: &[Update], memory_bytes_max: usize) -> Result<Vec<Update>, OutputError> {
    let dir = tempfile::tempdir().unwrap();
    let mut sorter = Sorter::new(dir.path(), memory_bytes_max, String::len);
    for (item, diff) in updates {
        sorter.push(item.clone(), *diff)?;
        assert!(names(dir.path()).is_empty(), "what is set aside has no name");
    }
    sorter.finish()?.collect()
}

fn naive(updates: &[Update]) -> Vec<Update> {
    let mut sums = BTreeMap::new();
    for (item, diff) in updates {
        *sums.entry(item.clone()).or_insert(0) += diff;
    }
    sums.into_iter().filter(|(_, diff)| *diff != 0).collect()
}

proptest! {
    #[test]
    fn the_sort_is_the_naive_one(
        updates in prop::collection::vec(("[a-c]{0,4}", -3i64..4), 0..600),
        memory_bytes_max in 0usize..20_000,
    ) {
        let sorted = sorted(&updates, memory_bytes_max)?;
        prop_assert_eq!(sorted, naive(&updates));
    }
}

#[test]
fn items_that_own_more_than_those_before_are_not_sorted_at_each_of_them() {
    thread_local!(static LOOKS: Cell<usize> = const { Cell::new(0) });
    let owned: fn(&String) -> usize = |item| {
        LOOKS.set(LOOKS.get() + 1);
        item.len()
    };
    let dir = tempfile::tempdir().unwrap();
    let mut sorter = Sorter::new(dir.path(), 1 << 20, owned);
    // As many as there is room for, of which nothing is left; then others that own a hundred bytes.
    let light = (0..100_000).map(|n| (String::new(), if n % 2 == 0 { 1 } else { -1 }));
    let heavy = (0..20_000).map(|n| (format!("{n:0100}"), 1));
    let updates: Vec<_> = light.chain(heavy).collect();
    for (item, diff) in &updates {
        sorter.push(item.clone(), *diff).unwrap();
    }
    assert!(LOOKS.get() < 4 * updates.len(), "{} looks", LOOKS.get());
    let sorted = sorter.finish().unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(sorted, naive(&updates));
}

#[test]
fn more_runs_than_are_merged_at_once_go_through_levels() {
    // Memory for one item: each run holds one, 5000 runs make three levels.
    let updates: Vec<_> =
        (0..5000u64).map(|n| (format!("{:04}", n * 7919 % 4999), 1 + (n % 2) as i64)).collect();
    assert_eq!(sorted(&updates, 1).unwrap(), naive(&updates));
}

#[test]
fn an_item_larger_than_a_block_or_than_memory_is_sorted() {
    let large = "x".repeat(300_000);
    let updates: Vec<_> = ["b", &large, "a", &large, "c"].map(|item| (item.to_owned(), 1)).into();
    assert_eq!(sorted(&updates, 1000).unwrap(), naive(&updates));
}

#[test]
fn updates_that_cancel_are_never_set_aside() {
    let missing = Path::new("/nonexistent/limbeck");
    let mut sorter = Sorter::new(missing, 10_000, String::len);
    for n in 0..100_000 {
        sorter.push("same".to_owned(), if n % 2 == 0 { 1 } else { -1 }).unwrap();
    }
    assert_eq!(sorter.finish().unwrap().count(), 0);
}

#[test]
fn what_cannot_be_set_aside_is_an_error() {
    let missing = Path::new("/nonexistent/limbeck");
    let mut sorter = Sorter::new(missing, 1000, String::len);
    let error = (0..1000).find_map(|n| sorter.push(n.to_string(), 1).err()).expect("no directory");
    assert!(matches!(error, OutputError::Gone { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 74);
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "old").unwrap();
    let mut file = AtomicFile::create(&Disk::default(), dir.path(), "a").unwrap();
    file.put(b"new").unwrap();
    file.flush().unwrap();
    let during = names(dir.path());
    assert_eq!(during.len(), 2);
    assert!(during[0].starts_with(".a.partial-"), "{during:?}");
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"old");
    drop(file);
    assert_eq!(names(dir.path()), ["a"]);
    let mut file = AtomicFile::create(&Disk::default(), dir.path(), "a").unwrap();
    file.put(b"new").unwrap();
    file.commit().unwrap();
    assert_eq!(names(dir.path()), ["a"]);
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"new");
}

#[test]
fn a_set_of_files_is_sealed_by_its_last() {
    let dir = tempfile::tempdir().unwrap();
    let out = OutputDir::create(&dir.path().join("x/y")).unwrap();
    assert!(names(out.path()).is_empty(), "trying it out leaves nothing");
    for content in [b"1", b"2"] {
        let mut files = Vec::new();
        for name in ["data", "more", "summary"] {
            let mut file = out.file(name).unwrap();
            file.put(content).unwrap();
            files.push(file);
        }
        out.commit(files, &[]).unwrap();
        assert_eq!(names(out.path()), ["data", "more", "summary"]);
        assert_eq!(fs::read(out.path().join("summary")).unwrap(), content);
    }
    // A set that breaks off half-way leaves no seal, and no temporary files.
    let files: Vec<_> = ["data", "late", "summary"].map(|name| out.file(name).unwrap()).into();
    fs::create_dir(out.path().join("late")).unwrap();
    let error = out.commit(files, &[]).expect_err("a directory took the name");
    assert!(matches!(error, OutputError::WriteFailed { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 74);
    assert_eq!(names(out.path()), ["data", "late", "more"]);
}

#[test]
fn a_crash_leaves_a_whole_set_of_files_or_no_seal() {
    let put = |disk: &Disk, dir: &Path, content: &[u8]| -> Result<(), OutputError> {
        let out = OutputDir::create_on(disk, dir)?;
        let mut files = Vec::new();
        for name in ["data", "more", "summary"] {
            let mut file = out.file(name)?;
            file.put(content)?;
            files.push(file);
        }
        out.commit(files, &[])
    };
    let (mut sealed, mut unsealed) = (0, 0);
    for seed in 0..5 {
        for passing in 1.. {
            let dir = tempfile::tempdir().unwrap();
            put(&Disk::default(), dir.path(), b"old").unwrap();
            let plan = Plan { seed, point: ANY.to_owned(), passing, fault: Fault::Crash };
            let done = put(&Disk::faulty(plan), dir.path(), b"new").is_ok();
            let read = |name: &str| fs::read(dir.path().join(name)).ok();
            match read("summary") {
                Some(seal) => {
                    sealed += 1;
                    assert!(seal == b"new" || (seal == b"old" && !done));
                    assert_eq!([read("data"), read("more")], [Some(seal.clone()), Some(seal)]);
                }
                None => unsealed += 1,
            }
            // The next that writes there finds nothing in its way.
            put(&Disk::default(), dir.path(), b"next").unwrap();
            assert_eq!(names(dir.path()), ["data", "more", "summary"]);
            if done {
                break;
            }
        }
    }
    assert!(sealed > 0 && unsealed > 0);
}

#[test]
fn a_folder_that_is_removed_meanwhile_is_said_to_be_gone() {
    let dir = tempfile::tempdir().unwrap();
    let out = OutputDir::create(&dir.path().join("out")).unwrap();
    let files: Vec<_> = ["data", "summary"].map(|name| out.file(name).unwrap()).into();
    fs::remove_dir_all(out.path()).unwrap();
    let sorting = out.file("more").err().expect("nothing can be made there");
    let committing = out.commit(files, &[]).expect_err("nothing can be put in place there");
    for error in [sorting, committing] {
        assert!(
            matches!(&error, OutputError::Gone { path, .. } if path == out.path()),
            "{error:?}"
        );
        assert_eq!(error.exit_code(), 74);
        assert!(!error.to_string().contains("free space"), "{error}");
    }
}

#[test]
fn directories_that_cannot_be_written_are_found_before_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let below = file.join("below");
    for path in [file.as_path(), below.as_path(), Path::new("/proc/self")] {
        let error = OutputDir::create(path).expect_err("not a directory to be written");
        assert_eq!(error.exit_code(), 73, "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}
