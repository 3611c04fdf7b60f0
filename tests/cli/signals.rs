//! A replay that is told to stop, or killed.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;

use super::common::Outputs;
use super::{PROBES, Place, cloudevents_log, ran};

const REPLAY: &str = "replay --rules rules.yaml --workers 2 --out out";

impl Place {
    /// Makes a named pipe and starts a replay of it; it has been opened at both ends.
    pub(crate) fn replay_pipe(&self, line: &str) -> (Child, File) {
        self.pipe("pipe");
        let child = self.command(line).spawn().expect("it can be run");
        (child, self.open_pipe("pipe"))
    }

    pub(crate) fn pipe(&self, name: &str) {
        let _ = std::fs::remove_file(self.path(name));
        let made = Command::new("mkfifo").arg(self.path(name)).status().expect("mkfifo runs");
        assert!(made.success());
    }

    /// Opens a named pipe to write, as soon as somebody has opened it to read.
    pub(crate) fn open_pipe(&self, name: &str) -> File {
        OpenOptions::new().write(true).open(self.path(name)).expect("it is read")
    }

    /// Fails unless outputs are those of the beginning of a log, marked as incomplete; gives the
    /// number of its lines.
    fn assert_beginning_of(&self, outputs: &Outputs, log: &[u8]) -> usize {
        assert_eq!(outputs.summary["complete"], false);
        let records = outputs.summary["records"].as_u64().expect("a count") as usize;
        let lines: Vec<_> = log.split_inclusive(|byte| *byte == b'\n').take(records).collect();
        let mut wanted = self.replay(&lines.concat()).unnamed();
        wanted.summary["complete"] = false.into();
        outputs.clone().unnamed().assert_equal(&wanted, "the beginning of the log");
        records
    }
}

pub(crate) fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

/// More than a pipe holds: what was written before it has been read.
const PIPE_BYTES_MAX: usize = 1 << 16;

#[test]
fn a_signal_ends_a_replay_with_what_had_been_read() {
    let place = Place::new();
    let log = cloudevents_log(6_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&log).expect("a Vec takes every write");
    let gzip = gzip.finish().expect("a Vec takes every write");
    assert!(gzip.len() > 2 * PIPE_BYTES_MAX);
    for (signal, code, stored) in [("INT", 130, &log), ("TERM", 143, &log), ("INT", 130, &gzip)] {
        let (child, mut pipe) = place.replay_pipe(&format!("{REPLAY} --log pipe"));
        // The last line of these is not whole.
        let stored = &stored[..stored.len() - 100];
        pipe.write_all(stored).expect("it is read");
        send(signal, &child);
        let ran = ran(child.wait_with_output().expect("it ends"));
        ran.assert(code, &["interrupted", "incomplete"]);
        assert!(ran.said.contains("incomplete"), "{ran:?}");
        let records = place.assert_beginning_of(&place.outputs("out"), &log);
        let read_at_least = 6_000 * (stored.len() - PIPE_BYTES_MAX) / stored.len();
        assert!((read_at_least * 9 / 10..6_000).contains(&records), "{records}");
    }
}

#[test]
fn a_signal_is_heard_while_nothing_can_be_read() {
    let place = Place::new();
    for logs in ["--log pipe", "--log probes.ndjson pipe", "--log pipe probes.ndjson"] {
        // The other end is open, and says nothing.
        let (child, _pipe) = place.replay_pipe(&format!("{REPLAY} {logs}"));
        send("TERM", &child);
        ran(child.wait_with_output().expect("it ends")).assert(143, &["interrupted"]);
        let outputs = place.outputs("out");
        assert_eq!(outputs.summary["complete"], false);
        assert_eq!(outputs.summary["records"], 0);
    }
}

#[test]
fn standard_input_hears_signals_too() {
    let place = Place::new();
    let log = cloudevents_log(2_000);
    let mut child = place
        .command(&format!("{REPLAY} --log -"))
        .stdin(Stdio::piped())
        .spawn()
        .expect("it can be run");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(&log).expect("it is read");
    send("INT", &child);
    ran(child.wait_with_output().expect("it ends")).assert(130, &["interrupted"]);
    drop(input);
    let records = place.assert_beginning_of(&place.outputs("out"), &log);
    assert!(records > 100, "{records}");
}

#[test]
fn another_signal_ends_at_once() {
    let place = Place::new();
    place.pipe("pipe");
    // It cannot end by itself: nobody takes what it says, and there is no room for more.
    let (mut said, taken) = UnixStream::pair().expect("a socket can be made");
    said.set_nonblocking(true).expect("a socket can be asked not to wait");
    while said.write(&[b'.'; 4096]).is_ok() {}
    said.set_nonblocking(false).expect("a socket can wait");
    let said = OwnedFd::from(said);
    let mut child =
        place.command(&format!("{REPLAY} --log pipe")).stdout(said).spawn().expect("it can be run");
    let pipe = place.open_pipe("pipe");
    send("INT", &child);
    let complaint = BufReader::new(child.stderr.take().expect("it is piped")).lines().next();
    assert!(complaint.is_some_and(|line| line.is_ok_and(|line| line.contains("interrupted"))));
    // Those that come soon are taken for the same.
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is there") {
            break status;
        }
        send("INT", &child);
        thread::yield_now();
    };
    assert_eq!(status.code(), Some(130));
    drop((pipe, taken));
}

#[test]
fn what_a_killed_replay_leaves_is_removed_by_the_next() {
    let place = Place::new();
    let (mut child, mut pipe) = place.replay_pipe(&format!("{REPLAY} --log pipe"));
    pipe.write_all(&cloudevents_log(1_000)).expect("it is read");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let left = super::listing(&place.path("out"));
    assert_eq!(left.len(), 4, "{left:?}");
    assert!(left.iter().all(|name| name.starts_with('.') && name.contains(".partial-")));
    // Somebody's own files look different.
    for name in [".mine.partial-1", "mine.partial-1-2", ".mine.partial-a-1"] {
        place.write(&format!("out/{name}"), b"kept");
    }
    place.write("wanted.ndjson", PROBES);
    place.run(&format!("{REPLAY} --log wanted.ndjson")).assert(0, &[]);
    for name in [".mine.partial-1", "mine.partial-1-2", ".mine.partial-a-1"] {
        std::fs::remove_file(place.path(&format!("out/{name}"))).expect(name);
    }
    place.outputs("out").unnamed().assert_equal(&place.replay(PROBES).unnamed(), "the next");
}

/// Files of two replays would be mixed, and each take the other's for left behind.
#[test]
fn a_folder_is_written_by_one_replay_at_a_time() {
    let place = Place::new();
    let (child, mut pipe) = place.replay_pipe(&format!("{REPLAY} --log pipe"));
    let (first, rest) = PROBES.split_at(PROBES.len() / 2);
    let more = [b" \n".repeat(PIPE_BYTES_MAX), first.to_vec()].concat();
    pipe.write_all(&more).expect("it is read");
    let other = place.run("replay --rules rules.yaml --log probes.ndjson --out out");
    other.assert(73, &["another process", "out"]);
    pipe.write_all(rest).expect("it is read");
    drop(pipe);
    ran(child.wait_with_output().expect("it ends")).assert(0, &[]);
    place.run("replay --rules rules.yaml --log probes.ndjson --out other").assert(0, &[]);
    let records = |name: &str| place.outputs(name).summary["records"].clone();
    assert_eq!(records("out"), records("other"));
}
