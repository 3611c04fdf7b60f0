//! A value of a document while it is taken: where it ends is told by its brackets and quotes.
//!
//! Guarantees: no more is held of it than a record may have, and one byte; nesting costs nothing.

use memchr::memchr3;

use super::Place;
use crate::sources::intake::RECORD_BYTES_MAX;

/// A value that is being taken.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) what: What,
    pub(super) start: Place,
    /// As many as a record may have, and one.
    pub(super) bytes: Vec<u8>,
    pub(super) length: u64,
    depth: u64,
    quote: Quote,
}

#[derive(Debug)]
pub(super) enum What {
    Member(String),
    Record(u8),
    /// Something else than this.
    Misfit(&'static str),
}

#[derive(Clone, Copy, Debug)]
enum Quote {
    Outside,
    Inside,
    Escaped,
}

impl Taking {
    pub(super) fn new(what: What, start: Place) -> Self {
        let (bytes, quote) = (Vec::new(), Quote::Outside);
        Self { what, start, bytes, length: 0, depth: 0, quote }
    }

    /// Whether it is no string, array or object: whatever cannot be part of it ends it.
    pub(super) fn is_bare(&self) -> bool {
        !matches!(self.bytes.first(), Some(b'"' | b'{' | b'['))
    }

    /// Takes what is of the value: how many bytes, and whether it has ended; or why it cannot.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        by_line: bool,
    ) -> (usize, Result<bool, &'static str>) {
        let mut at = 0;
        if self.length == 0 {
            // The first byte says what ends it.
            at = 1;
            self.keep(&bytes[..1]);
            match bytes[0] {
                b'"' => self.quote = Quote::Inside,
                b'{' | b'[' => self.depth = 1,
                _ => {}
            }
        }
        let kept = at;
        let is_bare = self.is_bare();
        let ended = loop {
            let Some(byte) = bytes.get(at) else { break Ok(false) };
            match (self.quote, byte) {
                (Quote::Inside, _) => {
                    let rest = &bytes[at..];
                    match memchr3(b'"', b'\\', b'\n', rest) {
                        None => at = bytes.len(),
                        Some(next) if rest[next] == b'\n' => {
                            at += next;
                            break Err("a line ends within a string");
                        }
                        Some(next) => {
                            at += next + 1;
                            self.quote = match rest[next] {
                                b'"' => Quote::Outside,
                                _ => Quote::Escaped,
                            };
                            if self.depth == 0 && rest[next] == b'"' {
                                break Ok(true);
                            }
                        }
                    }
                    continue;
                }
                (Quote::Escaped, b'\n') => break Err("a line ends within a string"),
                (Quote::Escaped, _) => self.quote = Quote::Inside,
                (Quote::Outside, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n') if is_bare => {
                    break Ok(true);
                }
                (Quote::Outside, _) if is_bare => {}
                (Quote::Outside, b'"') => self.quote = Quote::Inside,
                (Quote::Outside, b'{' | b'[') => self.depth += 1,
                (Quote::Outside, b'}' | b']') => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        at += 1;
                        break Ok(true);
                    }
                }
                (Quote::Outside, b'\n') if by_line => {
                    break Err("the line ends before the document is complete");
                }
                (Quote::Outside, _) => {}
            }
            at += 1;
        };
        self.keep(&bytes[kept..at]);
        (at, ended)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = (RECORD_BYTES_MAX + 1).saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length += bytes.len() as u64;
    }
}
