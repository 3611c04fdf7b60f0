//! A stream of text is cut into lines, each a sample or not.
//!
//! Guarantees: as those of documents. State: the line that has not ended, and what comments have
//! said of the metric that follows.

use std::collections::VecDeque;
use std::time::SystemTime;

use memchr::memchr;

use super::samples::{Metadata, Text};
use super::{Element, Place, too_long, valid_up_to};
use crate::sources::intake::RECORD_BYTES_MAX;

/// Cuts a stream of samples.
#[derive(Debug)]
pub(super) struct Lines {
    format: Text,
    metadata: Metadata,
    /// Whether what says no time is of now.
    live: bool,
    line: u64,
    /// As many bytes of the line as a record may have, and one.
    tail: Vec<u8>,
    /// How many bytes it has so far.
    length: u64,
    ready: VecDeque<Element>,
}

impl Lines {
    pub(super) fn new(format: Text) -> Self {
        let (metadata, tail, ready) = (Metadata::default(), Vec::new(), VecDeque::new());
        Self { format, metadata, live: false, line: 1, tail, length: 0, ready }
    }

    pub(super) fn set_live(&mut self, live: bool) {
        self.live = live;
    }

    /// The next element.
    pub(super) fn next(&mut self) -> Option<Element> {
        self.ready.pop_front()
    }

    /// The line that has not ended, if one has begun.
    pub(super) fn unfinished(&self) -> Option<u64> {
        (self.length > 0).then_some(self.line)
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let newline = memchr(b'\n', bytes);
            let of_line = &bytes[..newline.unwrap_or(bytes.len())];
            let room = (RECORD_BYTES_MAX + 1).saturating_sub(self.tail.len());
            self.tail.extend_from_slice(&of_line[..of_line.len().min(room)]);
            self.length += of_line.len() as u64;
            bytes = &bytes[newline.map_or(bytes.len(), |at| at + 1)..];
            if newline.is_some() {
                self.end_line();
            }
        }
    }

    /// Says that nothing more comes.
    pub(super) fn finish(&mut self) {
        self.end_line();
    }

    fn end_line(&mut self) {
        let (mut bytes, length) = (std::mem::take(&mut self.tail), self.length);
        let line = self.line;
        self.length = 0;
        self.line += 1;
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        let read = match str::from_utf8(&bytes) {
            _ if length > RECORD_BYTES_MAX as u64 => Err((0, too_long(length))),
            Err(_) => Err((valid_up_to(&bytes), "not valid UTF-8".to_owned())),
            Ok(text) => self.format.read(text, &mut self.metadata, self.live.then(now)),
        };
        let (column, text) = match read {
            Ok(None) => {
                // The memory is used again.
                bytes.clear();
                self.tail = bytes;
                return;
            }
            Ok(Some(record)) => (1, Ok(record.into_bytes())),
            Err((at, reason)) => (at as u64 + 1, Err((reason, bytes))),
        };
        let place = Place { line, column };
        let around = Vec::new();
        self.ready.push_back(Element { place, number: 0, kind: 0, text, around, shared: 0 });
    }
}

/// What the clock says: of a live source that says no time nothing better is known, and what it
/// says is in the log from then on.
#[expect(clippy::disallowed_methods, reason = "the time of a live sample is that of its arrival")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
