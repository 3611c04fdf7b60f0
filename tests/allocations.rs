//! What an event costs the allocator: next to nothing.
//!
//! The flap workload is replayed in this process, once and once with twice as many events of the same
//! pods in the same hour, under an allocator that counts. Blocks, batches and episodes allocate;
//! what the additional events come to, all of that included, is held below a bound.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use common::Lab;
use limbeck::bench::workload::Workload;

const FLAT_RULES: &str = include_str!("data/flat.yaml");

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, of which all requests for memory are counted.
struct Counting;

// SAFETY: every call is handed on as it came to the system's allocator, which keeps the contract of the
// trait; a number is added to beside it, which neither allocates nor unwinds.
#[expect(unsafe_code, reason = "only an allocator sees what is allocated")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is that of the trait.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as for `alloc`; `start` is of the system's allocator, as all that this one gives.
        unsafe { System.realloc(start, layout, size) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as for `realloc`.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often memory is asked for in a replay, by all threads, until its outputs are on disk.
fn allocations(workload: &Workload) -> u64 {
    let mut log = Vec::new();
    workload.write_flat(&mut log).expect("a Vec takes every write");
    let lab = Lab::new(FLAT_RULES, &[log]);
    let options = lab.options();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    lab.replay(&options);
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// One test: the allocator counts for the whole process.
#[test]
fn an_event_allocates_nothing() {
    const EVENTS: u64 = 100_000;
    let more_in_a_thousand = |changes_share: f64, disorder_ns: i64| {
        let of = |events: u64| {
            let workload = Workload {
                entities: 1_000,
                events,
                changes_share,
                disorder_ns,
                ..Workload::default()
            };
            allocations(&workload)
        };
        of(2 * EVENTS).saturating_sub(of(EVENTS)) * 1_000 / EVENTS
    };
    // Each bound is about twice what is found. Probes that find the state that was there, and their repeats:
    // 12 in a thousand, for blocks and batches.
    assert_below(20, more_in_a_thousand(0.0, 0), "in order");
    // 120, when three of ten events change the state: each change of an episode is a row or two, and its
    // entity keeps what could be amended, until it is final.
    assert_below(240, more_in_a_thousand(0.3, 0), "in order, with changes");
    // 25 and 250, within 5 s of disorder: what comes before an earlier event of its entity is put in its place
    // in what the entity keeps for that. With more events of an entity in 5 s than the one of eighteen here it
    // would be more.
    assert_below(50, more_in_a_thousand(0.0, 5_000_000_000), "out of order");
    assert_below(500, more_in_a_thousand(0.3, 5_000_000_000), "out of order, with changes");
}

#[track_caller]
fn assert_below(bound: u64, found: u64, which: &str) {
    eprintln!("{which}: {found} allocations for a thousand events");
    assert!(found < bound, "{which}: {found} allocations for a thousand events, not below {bound}");
}
