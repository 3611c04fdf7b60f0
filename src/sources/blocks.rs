//! The plain bytes of an input, cut into blocks of whole numbered lines.
//!
//! Guarantees: which lines there are, their numbers, and which are oversized depend on the bytes
//! of the input alone, not on the size of the blocks or of the reads. An oversized line is never
//! held: at most `max(block_bytes, line_bytes_max + 1)` bytes are in a block while it is filled,
//! and at most `line_bytes_max` of an unfinished line between two blocks.

use std::ops::Range;

use limbeck_operators::hash::xxh3_64;
use memchr::{memchr, memchr_iter, memrchr};

use super::documents::origin;
use super::error::InputError;
use super::open::Opened;

/// By so many of its first bytes an input is known again.
const KNOWN_BYTES: usize = 4096;

/// How much of an oversized line is kept.
pub const HEAD_BYTES_MAX: usize = 1024;

/// The smallest block: holds a byte order mark.
const BLOCK_BYTES_MIN: usize = 4;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Some lines of an input that follow one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The lines that are not oversized, whole, each with its newline; the last line of the input
    /// may lack it.
    pub bytes: Vec<u8>,
    /// The number of the first line of the block, oversized or not; the first of an input is 1.
    pub first_line: u64,
    /// How many bytes of the input are before that line.
    pub offset: u64,
    /// The oversized lines, by rising number.
    pub oversized: Vec<Oversized>,
    /// How many lines of documents these were made of, if they were; `first_line` is then one of
    /// those, and the next block may begin with the last of them.
    pub of_documents: Option<u64>,
}

/// A line that is longer than a line may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oversized {
    /// Its number.
    pub line: u64,
    /// Its first bytes, at most [`HEAD_BYTES_MAX`].
    pub head: Vec<u8>,
    /// How long it is, without its newline.
    pub bytes: u64,
}

impl Oversized {
    /// Why it is no record.
    pub fn reason(&self) -> String {
        format!("longer than a record may be: {} bytes", self.bytes)
    }
}

impl Block {
    /// The lines that are not oversized.
    pub fn lines(&self) -> BlockLines<'_> {
        let oversized = self.oversized.iter();
        BlockLines { bytes: &self.bytes, oversized, number: self.first_line, start: 0 }
    }

    /// How many lines it has, oversized or not.
    pub fn count(&self) -> u64 {
        let counted = || count_lines(&self.bytes) + self.oversized.len() as u64;
        self.of_documents.unwrap_or_else(counted)
    }
}

impl Block {
    /// Numbers lines that were made of documents by those.
    fn number_by_origin(&mut self) {
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        let last = memrchr(b'\n', bytes).map_or(bytes, |at| &bytes[at + 1..]);
        if let (Some(first), Some(last)) = (origin(bytes), origin(last)) {
            self.first_line = first;
            self.of_documents = Some(last - first + 1);
        }
    }
}

/// The lines of a block that are not oversized: number, bytes without the newline (`\n` or
/// `\r\n`), and where in the block these bytes are.
#[derive(Clone, Debug)]
pub struct BlockLines<'b> {
    bytes: &'b [u8],
    oversized: std::slice::Iter<'b, Oversized>,
    number: u64,
    start: usize,
}

impl<'b> BlockLines<'b> {
    /// Where in the block the next line begins.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The next line, which is known to end at this newline, or where the block ends.
    #[inline]
    pub fn next_until(&mut self, newline: usize) -> (u64, &'b [u8], Range<usize>) {
        while self.oversized.as_slice().first().is_some_and(|line| line.line == self.number) {
            self.oversized.next();
            self.number += 1;
        }
        let (number, start, mut end) = (self.number, self.start, newline);
        self.number += 1;
        self.start = self.bytes.len().min(newline + 1);
        if newline < self.bytes.len() && end > start && self.bytes[end - 1] == b'\r' {
            end -= 1;
        }
        (number, &self.bytes[start..end], start..end)
    }
}

impl<'b> Iterator for BlockLines<'b> {
    type Item = (u64, &'b [u8], Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.bytes[self.start..];
        let len = memchr(b'\n', rest).unwrap_or(rest.len());
        (!rest.is_empty()).then(|| self.next_until(self.start + len))
    }
}

/// How the input stands.
enum End {
    /// There may be more.
    Open,
    /// All of it has been read.
    Whole,
    /// It broke off.
    Failed(InputError),
}

/// Reads an input as blocks.
pub struct Blocks {
    input: Opened,
    block_bytes: usize,
    line_bytes_max: usize,
    /// The unfinished last line of the block before.
    tail: Vec<u8>,
    /// How many bytes have been read, and the first of them.
    read: u64,
    head: Vec<u8>,
    /// The number of the first line that no block has had yet.
    line: u64,
    /// How many bytes are before it, as long as it is being skipped.
    skipped_from: u64,
    /// That line, if it is oversized and its newline has not come yet.
    skipped: Option<Oversized>,
    at_start: bool,
    /// Whether lines are given as soon as they are there.
    live: bool,
    end: End,
}

impl Blocks {
    /// Blocks of about `block_bytes`; a line of more than `line_bytes_max` bytes before its `\n`
    /// is oversized.
    pub fn new(input: Opened, block_bytes: usize, line_bytes_max: usize) -> Self {
        Self {
            input,
            block_bytes: block_bytes.max(BLOCK_BYTES_MIN),
            line_bytes_max,
            tail: Vec::new(),
            read: 0,
            head: Vec::new(),
            line: 1,
            skipped_from: 0,
            skipped: None,
            at_start: true,
            live: false,
            end: End::Open,
        }
    }

    /// The input that is read.
    pub fn input(&self) -> &Opened {
        &self.input
    }

    /// Sets how large the next blocks are.
    pub fn set_block_bytes(&mut self, block_bytes: usize) {
        self.block_bytes = block_bytes.max(BLOCK_BYTES_MIN);
    }

    /// Has lines be given as soon as they are there, in blocks as small as need be.
    pub fn set_live(&mut self, live: bool) {
        self.live = live;
        self.input.set_live(live);
    }

    /// Takes the first line that is not blank, with its number, before there are blocks; `None` if
    /// no line is whole. One that is oversized is not read to its end.
    pub fn take_line(&mut self) -> Option<(u64, Vec<u8>)> {
        let (mut bytes, mut filled) = (Vec::new(), 0);
        let mut target = self.block_bytes;
        loop {
            filled = self.fill(&mut bytes, filled, target);
            let mut start = 0;
            while start < filled {
                let newline = memchr(b'\n', &bytes[start..filled]).map(|at| start + at);
                let is_whole = newline.is_some() || matches!(self.end, End::Whole);
                let end = newline.unwrap_or(filled);
                if !is_whole && filled - start <= self.line_bytes_max {
                    break;
                }
                let next = newline.map_or(end, |at| at + 1);
                let number = self.line;
                self.line += 1;
                let line = &bytes[start..end];
                if !line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    self.tail = bytes[next..filled].to_vec();
                    return Some((number, line.to_vec()));
                }
                start = next;
            }
            bytes.copy_within(start..filled, 0);
            filled -= start;
            if !matches!(self.end, End::Open) {
                self.tail = bytes[..filled].to_vec();
                return None;
            }
            target = self.block_bytes.max((2 * filled).min(self.line_bytes_max.saturating_add(1)));
        }
    }

    /// A hash of the first of so many bytes, by which the input is known again.
    pub fn head(&self, bytes: u64) -> u64 {
        let known = self.head.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
        xxh3_64(&self.head[..known])
    }

    /// Whether the first of so many bytes have this [`head`](Self::head); `None` until they are read.
    pub fn begins_as(&self, bytes: u64, head: u64) -> Option<bool> {
        let known = usize::try_from(bytes).unwrap_or(usize::MAX).min(KNOWN_BYTES);
        (self.head.len() >= known).then(|| self.head(bytes) == head)
    }

    /// Goes on behind so many bytes of the input, where the line of this number begins; the input
    /// had this [`head`](Self::head) when it was read that far.
    ///
    /// # Errors
    /// [`InputError`], if it is not the same input.
    pub fn go_on_at(&mut self, offset: u64, line: u64, head: u64) -> Result<(), InputError> {
        let mut bytes = Vec::new();
        while self.read - (self.tail.len() as u64) < offset {
            let missing = offset - (self.read - self.tail.len() as u64);
            let is_known = self.head.len() >= KNOWN_BYTES;
            if self.tail.is_empty() && is_known && self.input.skip(missing) {
                self.read += missing;
            } else if self.tail.is_empty() {
                bytes.clear();
                let count = (self.block_bytes as u64).min(missing) as usize;
                let filled = self.fill(&mut bytes, 0, count);
                match std::mem::replace(&mut self.end, End::Open) {
                    End::Open => {}
                    End::Failed(error) => return Err(error),
                    End::Whole if filled > 0 => {}
                    End::Whole => return Err(self.is_another(format!("it has no byte {offset}"))),
                }
            } else {
                self.tail.drain(..self.tail.len().min(missing as usize));
            }
        }
        if self.head(offset) != head {
            return Err(self.is_another("it begins otherwise".to_owned()));
        }
        self.line = line;
        Ok(())
    }

    fn is_another(&self, detail: String) -> InputError {
        InputError::Another { input: self.input.name().to_owned(), detail }
    }

    /// The next block, in the memory of `reuse`, whose bytes do not matter (leaving them in saves
    /// clearing the memory again). `None` is the end, which stays the end.
    ///
    /// # Errors
    /// [`InputError::Damaged`] or [`InputError::ReadFailed`], once, after all whole lines; it names
    /// the line that was cut off.
    pub fn next_block(&mut self, reuse: Vec<u8>) -> Option<Result<Block, InputError>> {
        if self.skipped.is_none() {
            self.skipped_from = self.read - self.tail.len() as u64;
        }
        let (first_line, offset) = (self.line, self.skipped_from);
        let mut block = Block { bytes: reuse, first_line, offset, ..Block::default() };
        let mut filled = self.take_tail(&mut block.bytes);
        let mut target = self.block_bytes.max(filled);
        loop {
            filled = self.fill(&mut block.bytes, filled, target);
            filled = self.skip(&mut block, filled);
            let whole = match self.end {
                End::Whole => filled,
                _ => memrchr(b'\n', &block.bytes[..filled]).map_or(0, |at| at + 1),
            };
            if whole > 0 || !block.oversized.is_empty() {
                self.finish(&mut block, whole, filled);
                if self.input.holds_documents() {
                    block.number_by_origin();
                }
                return Some(Ok(block));
            }
            match std::mem::replace(&mut self.end, End::Whole) {
                End::Whole => return None,
                End::Failed(mut error) => {
                    if filled > 0 || !self.tail.is_empty() || self.skipped.take().is_some() {
                        error.cut_off(self.line);
                    }
                    return Some(Err(error));
                }
                End::Open => self.end = End::Open,
            }
            if filled > self.line_bytes_max {
                self.skipped = Some(oversized(self.line, &block.bytes[..filled]));
                filled = 0;
            }
            let line_target = (2 * filled).min(self.line_bytes_max.saturating_add(1));
            target = self.block_bytes.max(line_target);
        }
    }

    /// Puts the unfinished line of the block before at the start of this one.
    fn take_tail(&mut self, bytes: &mut Vec<u8>) -> usize {
        let len = self.tail.len();
        if bytes.len() < len {
            bytes.resize(len, 0);
        }
        bytes[..len].copy_from_slice(&self.tail);
        self.tail.clear();
        len
    }

    /// Reads until `target` bytes are there or the input ends; returns how many are.
    fn fill(&mut self, bytes: &mut Vec<u8>, mut filled: usize, target: usize) -> usize {
        if bytes.len() < target {
            bytes.resize(target, 0);
        }
        while filled < target && matches!(self.end, End::Open) {
            match self.input.read_some(&mut bytes[filled..target]) {
                Ok(0) => self.end = End::Whole,
                Ok(count) => {
                    if self.head.len() < KNOWN_BYTES {
                        let known = count.min(KNOWN_BYTES - self.head.len());
                        self.head.extend_from_slice(&bytes[filled..filled + known]);
                    }
                    filled += count;
                    self.read += count as u64;
                    if self.live {
                        break;
                    }
                }
                Err(error) => self.end = End::Failed(error),
            }
        }
        if self.at_start && bytes[..filled].starts_with(BYTE_ORDER_MARK) {
            bytes.copy_within(BYTE_ORDER_MARK.len()..filled, 0);
            filled -= BYTE_ORDER_MARK.len();
        }
        self.at_start = false;
        filled
    }

    /// Drops what belongs to the oversized line that is being skipped, if any; returns how many
    /// bytes are left.
    fn skip(&mut self, block: &mut Block, filled: usize) -> usize {
        let Some(mut line) = self.skipped.take() else { return filled };
        let newline = memchr(b'\n', &block.bytes[..filled]);
        let more = &block.bytes[..newline.unwrap_or(filled)];
        let head_missing = HEAD_BYTES_MAX - line.head.len();
        line.head.extend_from_slice(&more[..more.len().min(head_missing)]);
        line.bytes += more.len() as u64;
        if newline.is_none() && !matches!(self.end, End::Whole) {
            self.skipped = Some(line);
            return 0;
        }
        block.oversized.push(line);
        let rest = newline.map_or(filled, |at| at + 1);
        block.bytes.copy_within(rest..filled, 0);
        filled - rest
    }

    /// Cuts the block to its whole lines, takes the oversized ones out, and keeps the rest.
    fn finish(&mut self, block: &mut Block, whole: usize, filled: usize) {
        let rest = &block.bytes[whole..filled];
        let rest_bytes = rest.len();
        let rest_is_oversized = rest.len() > self.line_bytes_max && matches!(self.end, End::Open);
        let skipped = rest_is_oversized.then(|| oversized(0, rest));
        if !rest_is_oversized {
            self.tail.extend_from_slice(rest);
        }
        block.bytes.truncate(whole);
        self.line = take_out_oversized(block, self.line_bytes_max);
        if let Some(line) = skipped {
            self.skipped_from = self.read - rest_bytes as u64;
            self.skipped = Some(Oversized { line: self.line, ..line });
        }
    }
}

fn oversized(line: u64, bytes: &[u8]) -> Oversized {
    let head = bytes[..bytes.len().min(HEAD_BYTES_MAX)].to_vec();
    Oversized { line, head, bytes: bytes.len() as u64 }
}

/// Moves the oversized lines from the bytes of a block to its list; returns the number after its
/// last line.
fn take_out_oversized(block: &mut Block, line_bytes_max: usize) -> u64 {
    let bytes = &mut block.bytes;
    let mut number = block.first_line + block.oversized.len() as u64;
    let (mut read, mut kept) = (0, 0);
    while read < bytes.len() {
        let good_end = read + good_lines_bytes(&bytes[read..], line_bytes_max);
        number += count_lines(&bytes[read..good_end]);
        if read != kept {
            bytes.copy_within(read..good_end, kept);
        }
        kept += good_end - read;
        read = good_end;
        if read < bytes.len() {
            let newline = memchr(b'\n', &bytes[read..]).map(|at| read + at);
            let end = newline.unwrap_or(bytes.len());
            block.oversized.push(oversized(number, &bytes[read..end]));
            number += 1;
            read = newline.map_or(end, |at| at + 1);
        }
    }
    bytes.truncate(kept);
    number
}

/// How many bytes the lines before the first oversized one take. Looks for the *last* newline
/// within reach of each, so that it touches few bytes.
fn good_lines_bytes(bytes: &[u8], line_bytes_max: usize) -> usize {
    let mut start = 0;
    while bytes.len() - start > line_bytes_max {
        match memrchr(b'\n', &bytes[start..=start + line_bytes_max]) {
            Some(at) => start += at + 1,
            None => return start,
        }
    }
    bytes.len()
}

fn count_lines(bytes: &[u8]) -> u64 {
    let unfinished = bytes.last().is_some_and(|byte| *byte != b'\n');
    memchr_iter(b'\n', bytes).count() as u64 + u64::from(unfinished)
}
