//! The sort keeps to its memory. This is a process of its own, as the peak of a process counts all
//! that its tests do.

use std::fs;

use limbeck::sinks::Sorter;

const ROWS: u64 = 10_000_000;
const BUDGET_BYTES: usize = 64 << 20;
const GROWTH_BYTES_MAX: u64 = 200 << 20;

/// About 100 bytes, the key among them.
type Row = (u64, String);

fn row(key: u64) -> Row {
    let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let source = "\"source\":\"/probe/rack\",\"signal\":\"ready\"";
    (key, format!("{{\"subject\":\"host-{hash}\",{source},\"state\":\"up\"}}"))
}

/// The most memory that this process has had.
fn peak_rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux says what a process uses");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    let kilobytes = line.split_ascii_whitespace().nth(1).expect("a number");
    kilobytes.parse::<u64>().expect("a number") * 1024
}

#[test]
fn ten_million_rows_are_sorted_in_bounded_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    let before = peak_rss_bytes();
    let mut sorter = Sorter::new(dir.path(), BUDGET_BYTES, |row: &Row| row.1.len());
    // A permutation of 0..2^24, cut to the rows: an odd factor loses no bit.
    let keys = (0..1_u64 << 24).map(|n| (n * 0x9e37_79b1 + 12_345) & 0xff_ffff);
    for key in keys.filter(|key| *key < ROWS) {
        sorter.push(row(key), 1).expect("a push");
    }
    let mut expected = 0;
    for next in sorter.finish().expect("a merge") {
        assert_eq!(next.expect("a row"), (row(expected), 1));
        expected += 1;
    }
    assert_eq!(expected, ROWS);
    let growth = peak_rss_bytes() - before;
    println!("peak memory grew by {} MiB", growth >> 20);
    assert!(growth < GROWTH_BYTES_MAX, "{growth}");
}
