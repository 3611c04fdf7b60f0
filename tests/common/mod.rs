//! What the tests of replays share: a folder for logs and outputs, and replays in it.

// Several test binaries share this module and none uses all of it.
#![allow(dead_code)]

use std::fs;
use std::io::{self, Write};
use std::net::TcpListener;
use std::ops::Range;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once};

use limbeck::replay::{Log, Options, Replayed, replay};
use limbeck::rules::Rules;
use limbeck::sources::Interrupt;
use serde_json::Value;
use tempfile::TempDir;

/// Addresses that nobody listens on, and nobody calls from: systems give such ports to those who call.
pub(crate) fn hosts(count: usize) -> Vec<String> {
    const PORTS: Range<u32> = 10_000..30_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let free = || {
        let next = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id() * 100;
        let address = format!("127.0.0.1:{}", PORTS.start + next % PORTS.len() as u32);
        TcpListener::bind(&address).is_ok().then_some(address)
    };
    std::iter::from_fn(|| Some(free())).flatten().take(count).collect()
}

/// The files of a replay, but for the summary's own metrics.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outputs {
    pub(crate) episodes: Vec<u8>,
    pub(crate) updates: Vec<u8>,
    pub(crate) dead_letters: Vec<u8>,
    pub(crate) summary: Value,
}

impl Outputs {
    /// Reads what a replay wrote into a folder.
    pub(crate) fn read(dir: &Path) -> Self {
        let file = |name: &str| fs::read(dir.join(name)).expect(name);
        let mut summary: Value =
            serde_json::from_slice(&file("summary.json")).expect("the summary is JSON");
        let members = summary.as_object_mut().expect("the summary is an object");
        for metric in ["events_per_second", "peak_rss_bytes"] {
            members.remove(metric).expect(metric);
        }
        Self {
            episodes: file("episodes.ndjson"),
            updates: file("updates.ndjson"),
            dead_letters: file("dead-letter.ndjson"),
            summary,
        }
    }

    /// The same, whatever the logs are called.
    pub(crate) fn unnamed(mut self) -> Self {
        let text = String::from_utf8(self.dead_letters).expect("dead letters are text");
        let unnamed = text.lines().map(|line| {
            let at = line.find(",\"line\":").expect("a dead letter has a line");
            format!("{{{}\n", &line[at + 1..])
        });
        self.dead_letters = unnamed.collect::<String>().into_bytes();
        self
    }

    /// Fails at the first line that differs.
    pub(crate) fn assert_equal(&self, wanted: &Self, what: &str) {
        let files = [
            ("episodes.ndjson", &self.episodes, &wanted.episodes),
            ("updates.ndjson", &self.updates, &wanted.updates),
            ("dead-letter.ndjson", &self.dead_letters, &wanted.dead_letters),
        ];
        for (name, got, wanted) in files {
            assert_same_lines(got, wanted, &format!("{what}: {name}"));
        }
        assert_eq!(self.summary, wanted.summary, "{what}: summary.json");
    }
}

/// Fails at the first line that differs, without showing all the others.
pub(crate) fn assert_same_lines(got: &[u8], wanted: &[u8], what: &str) {
    if got == wanted {
        return;
    }
    let (mut gots, mut wanteds) = (got.split(|b| *b == b'\n'), wanted.split(|b| *b == b'\n'));
    for line in 1.. {
        let (got, wanted) = (gots.next(), wanteds.next());
        let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned());
        assert_eq!(text(got), text(wanted), "{what}, line {line}");
        assert!(got.is_some(), "{what}: the bytes differ and no line does");
    }
}

/// The JSON values of a file, one a line.
pub(crate) fn rows(bytes: &[u8]) -> Vec<Value> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("a line is JSON")).collect()
}

/// A log in a folder, rules for it, and replays of it.
pub(crate) struct Lab {
    pub(crate) dir: TempDir,
    pub(crate) rules: Rules,
    pub(crate) logs: Vec<PathBuf>,
}

impl Lab {
    pub(crate) fn new(yaml: &str, partitions: &[Vec<u8>]) -> Self {
        let dir = TempDir::new().expect("a temporary folder can be made");
        let rules = Rules::parse("rules.yaml", yaml).unwrap_or_else(|all| panic!("{all}"));
        let write = |(number, bytes): (usize, &Vec<u8>)| {
            let path = dir.path().join(format!("{number}.ndjson"));
            fs::write(&path, bytes).expect("a log can be written");
            path
        };
        let logs = partitions.iter().enumerate().map(write).collect();
        Self { dir, rules, logs }
    }

    /// One worker, a tick of 100 ms, to the end.
    pub(crate) fn options(&self) -> Options {
        Options {
            logs: self.logs.iter().map(|path| Log::file(path, 0)).collect(),
            out: self.dir.path().join("out"),
            workers: 1,
            from_ns: None,
            until_ns: None,
            tick_ns: 100_000_000,
            cluster: None,
            profile: false,
            progress: false,
            fates: false,
            checkpoint: None,
            senders: None,
            interrupt: Interrupt::default(),
            block_bytes: None,
        }
    }

    /// Replays all that the options say; nothing may be damaged.
    pub(crate) fn replay(&self, options: &Options) -> Outputs {
        let Replayed { summary, damaged, .. } =
            replay(&self.rules, options).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(damaged, [], "the logs are whole");
        assert!(summary.expect("one process writes the outputs").complete);
        Outputs::read(&options.out)
    }
}

/// Says what is being replayed where a worker panics: that ends the process, and with it a test
/// without a word.
pub(crate) fn replaying(what: String) {
    static NOW: Mutex<String> = Mutex::new(String::new());
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let now = NOW.lock().map_or_else(|gone| gone.into_inner().clone(), |now| now.clone());
            // Past the capture of the test's output, which the end of the process would lose.
            let _ = writeln!(io::stderr(), "while replaying {now}: {info}");
            hook(info);
        }));
    });
    *NOW.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = what;
}

/// The seeds that were asked for; these if none.
pub(crate) fn seeds(usual: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("LIMBECK_SEEDS") else { return usual };
    let number = |text: &str| text.parse().expect("LIMBECK_SEEDS is N or FROM..TO");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&text)..number(&text) + 1,
    }
}
