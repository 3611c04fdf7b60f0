//! Three families: blocks against the naive cut at each newline, for any sizes of blocks and reads;
//! archives that are whole, truncated or corrupt anywhere, against the bytes they were made from;
//! and what `open` makes of paths.

use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::atomic::Ordering;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::blocks::HEAD_BYTES_MAX;
use super::{Blocks, InputError, Opened, open};

/// Gives what it has in reads of the sizes given, over and over; then ends as told.
struct Dribble {
    bytes: Cursor<Vec<u8>>,
    sizes: Vec<usize>,
    turn: usize,
    fails: bool,
}

impl Read for Dribble {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.turn += 1;
        if self.turn % 5 == 2 {
            return Err(ErrorKind::Interrupted.into());
        }
        let size = self.sizes[self.turn % self.sizes.len()].min(out.len());
        match self.bytes.read(&mut out[..size])? {
            0 if self.fails => Err(io::Error::other("the cable was pulled")),
            count => Ok(count),
        }
    }
}

fn dribble(bytes: &[u8], sizes: &[usize], fails: bool) -> Result<Opened, InputError> {
    let (bytes, sizes) = (Cursor::new(bytes.to_vec()), sizes.to_vec());
    let reader = Dribble { bytes, sizes, turn: 0, fails };
    Opened::from_reader("test".to_owned(), Box::new(reader), None)
}

/// A line as it was read: number and content, or number, head and length if oversized.
#[derive(Debug, PartialEq)]
enum Line {
    Good(u64, Vec<u8>),
    Oversized(u64, Vec<u8>, u64),
}

/// A line taken first leaves the blocks the lines behind it, with their numbers.
#[test]
fn a_line_is_taken_before_the_blocks() {
    for (text, number, line) in [
        ("a,b\n1,2\n\n3,4", 1, "a,b"),
        ("\u{feff}a,b\r\n1,2\r\n", 1, "a,b"),
        ("\u{feff} \r\n\n\t\na b \n1", 4, "a b "),
        ("\n\n\nend", 4, "end"),
        ("end\r", 1, "end"),
    ] {
        for (block, reads) in [(1, 1), (4, 2), (5, 3), (100, 100)] {
            let open = || dribble(text.as_bytes(), &[reads], false).expect("it is plain");
            let mut blocks = Blocks::new(open(), block, 50);
            assert_eq!(blocks.take_line(), Some((number, line.as_bytes().to_vec())), "{text:?}");
            let mut behind = Vec::new();
            while let Some(block) = blocks.next_block(Vec::new()) {
                let block = block.expect("the input is whole");
                behind.extend(block.lines().map(|(at, line, _)| Line::Good(at, line.to_vec())));
            }
            let (mut wanted, _) = read_lines(open(), block, 50);
            wanted.drain(..number as usize);
            assert_eq!(behind, wanted, "{text:?}");
        }
    }
}

#[test]
fn no_line_is_taken_where_none_is_whole() {
    for nothing in ["", "\u{feff}", "\n \n\t\r\n"] {
        let input = dribble(nothing.as_bytes(), &[1], false).expect("it is plain");
        let mut blocks = Blocks::new(input, 4, 50);
        assert_eq!(blocks.take_line(), None, "{nothing:?}");
        assert!(blocks.next_block(Vec::new()).is_none(), "{nothing:?}");
    }
    let input = dribble(b"\nts,ho", &[1], true).expect("it is plain");
    let mut blocks = Blocks::new(input, 4, 50);
    assert_eq!(blocks.take_line(), None);
    let error = blocks.next_block(Vec::new()).expect("the end is told").expect_err("a failure");
    assert!(error.detail().contains("line 2 is cut off"), "{error}");

    let long = format!("{}\n1", "x".repeat(80));
    let input = dribble(long.as_bytes(), &[7], false).expect("it is plain");
    let (_, line) = Blocks::new(input, 4, 50).take_line().expect("its beginning");
    assert!(line.len() > 50, "an oversized line can be told");
}

/// All lines in the order of the input, and the error at the end.
fn read_lines(input: Opened, block: usize, line_max: usize) -> (Vec<Line>, Option<InputError>) {
    let mut blocks = Blocks::new(input, block, line_max);
    let mut lines = Vec::new();
    let mut reuse = b"left over".to_vec();
    let mut next_line = 1;
    loop {
        match blocks.next_block(std::mem::take(&mut reuse)) {
            None => return (lines, None),
            Some(Err(error)) => {
                assert!(blocks.next_block(Vec::new()).is_none(), "an error is the end");
                return (lines, Some(error));
            }
            Some(Ok(block)) => {
                assert_eq!(block.first_line, next_line);
                let mut all = Vec::new();
                for (number, bytes, range) in block.lines() {
                    assert_eq!(&block.bytes[range], bytes);
                    all.push((number, Line::Good(number, bytes.to_vec())));
                }
                for long in &block.oversized {
                    let line = Line::Oversized(long.line, long.head.clone(), long.bytes);
                    all.push((long.line, line));
                }
                all.sort_by_key(|(number, _)| *number);
                assert!(!all.is_empty(), "no block is empty");
                next_line += all.len() as u64;
                lines.extend(all.into_iter().map(|(_, line)| line));
                reuse = block.bytes;
            }
        }
    }
}

/// The naive way. With `cut`, what comes after the last newline is no line; its number, if any.
fn naive_lines(bytes: &[u8], line_max: usize, cut: bool) -> (Vec<Line>, Option<u64>) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut pieces: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let rest = pieces.pop().unwrap_or_default();
    let complete = pieces.len();
    let cut_line = (cut && !rest.is_empty()).then_some(complete as u64 + 1);
    if !cut && !rest.is_empty() {
        pieces.push(rest);
    }
    let line = |(index, piece): (usize, &&[u8])| {
        let number = index as u64 + 1;
        if piece.len() > line_max {
            let head = piece[..piece.len().min(HEAD_BYTES_MAX)].to_vec();
            return Line::Oversized(number, head, piece.len() as u64);
        }
        let without_return = piece.strip_suffix(b"\r").filter(|_| index < complete);
        Line::Good(number, without_return.unwrap_or(piece).to_vec())
    };
    (pieces.iter().enumerate().map(line).collect(), cut_line)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read_all(mut input: Opened, step: usize) -> (Vec<u8>, Option<InputError>) {
    let mut all = Vec::new();
    let mut buffer = vec![0; step];
    loop {
        match input.read_some(&mut buffer) {
            Ok(0) => return (all, None),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) => return (all, Some(error)),
        }
    }
}

/// Text whose lines are now short, now long, with line ends of each kind.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        6 => prop::collection::vec(prop_oneof![Just(b'a'), Just(b'\r'), any::<u8>()], 0..12),
        2 => (0usize..70).prop_map(|len| vec![b'x'; len]),
        1 => (1000usize..1100).prop_map(|len| vec![b'y'; len]),
    ];
    let end = prop_oneof![Just("\n"), Just("\r\n"), Just("\n\n")];
    let lines = prop::collection::vec((line, end), 0..30);
    (prop::bool::ANY, lines, prop::bool::ANY).prop_map(|(mark, lines, whole)| {
        let mut text = if mark { b"\xef\xbb\xbf".to_vec() } else { vec![b'{'] };
        for (line, end) in lines {
            text.extend(line);
            text.extend(end.as_bytes());
        }
        if !whole {
            text.pop();
        }
        text
    })
}

/// Bytes that compress to many blocks, repetitive and not.
fn payload(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 64);
    while bytes.len() < len {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let repeat = (state >> 60) as usize;
        writeln!(bytes, "{{\"id\":\"{:x}\"}}", state >> (4 * repeat).min(60)).unwrap();
    }
    bytes.truncate(len);
    bytes
}

proptest! {
    #[test]
    fn blocks_are_the_naive_cut(
        text in text(),
        block in 1usize..200,
        line_max in 0usize..90,
        sizes in prop::collection::vec(1usize..50, 1..5),
        fails in prop::bool::ANY,
    ) {
        let (lines, error) = read_lines(dribble(&text, &sizes, fails)?, block, line_max);
        let (expected, cut_line) = naive_lines(&text, line_max, fails);
        prop_assert_eq!(lines, expected);
        let expected_error = fails.then(|| InputError::ReadFailed {
            input: "test".to_owned(),
            offset: text.len() as u64,
            detail: "the cable was pulled".to_owned(),
            line: cut_line,
        });
        prop_assert_eq!(error, expected_error);
    }

    #[test]
    fn archives_of_several_parts_are_read_whole(
        lens in prop::collection::vec(0usize..200_000, 1..4),
        sizes in prop::collection::vec(1usize..100_000, 1..4),
        step in 1usize..300_000,
        as_gzip in prop::bool::ANY,
    ) {
        let parts: Vec<_> = lens.iter().map(|len| payload(*len as u64, *len)).collect();
        let pack = if as_gzip { gzip } else { zstd_of };
        let mut archive: Vec<u8> = parts.iter().flat_map(|part| pack(part)).collect();
        if as_gzip {
            archive.extend([0; 100]);
        } else {
            archive.extend(b"\x50\x2a\x4d\x18\x03\0\0\0abc");
        }
        let (bytes, error) = read_all(dribble(&archive, &sizes, false)?, step.max(64));
        prop_assert_eq!(error, None);
        prop_assert!(bytes == parts.concat());
    }

    #[test]
    fn a_truncated_archive_gives_what_was_whole_and_says_so(
        len in 1usize..400_000,
        cut in 0.0..1.0f64,
        sizes in prop::collection::vec(1usize..100_000, 1..4),
        block in 1usize..300_000,
        as_gzip in prop::bool::ANY,
    ) {
        let text = payload(len as u64, len);
        let archive = if as_gzip { gzip(&text) } else { zstd_of(&text) };
        let kept = 2 + ((archive.len() - 2) as f64 * cut) as usize;
        let (plain, error) = read_all(dribble(&archive[..kept], &sizes, false)?, 4096);
        prop_assert!(text.starts_with(&plain));
        let damaged = |line| InputError::Damaged {
            input: "test".to_owned(),
            offset: kept as u64,
            detail: "the archive is truncated".to_owned(),
            line,
        };
        prop_assert_eq!(error, Some(damaged(None)));
        // What could be decoded is delivered up to the last block of the archive or near it.
        let (lines, error) = read_lines(dribble(&archive[..kept], &sizes, false)?, block, 1 << 20);
        let (expected, cut_line) = naive_lines(&plain, 1 << 20, true);
        prop_assert!(lines == expected);
        prop_assert_eq!(error, Some(damaged(cut_line)));
    }

    #[test]
    fn what_a_corrupt_archive_gives_does_not_depend_on_how_it_is_read(
        len in 1usize..400_000,
        at in 0.0..1.0f64,
        flip in 1u8..,
        sizes in prop::collection::vec(1usize..100_000, 1..4),
        step in 64usize..300_000,
        as_gzip in prop::bool::ANY,
    ) {
        let text = payload(len as u64, len);
        let mut archive = if as_gzip { gzip(&text) } else { zstd_of(&text) };
        let header = if as_gzip { 10 } else { 6 };
        let at = header + ((archive.len() - header) as f64 * at) as usize;
        archive[at] ^= flip;
        let at_once = read_all(dribble(&archive, &[usize::MAX], false)?, 1 << 20);
        let in_pieces = read_all(dribble(&archive, &sizes, false)?, step);
        prop_assert!(at_once.0 == in_pieces.0, "{} {}", at_once.0.len(), in_pieces.0.len());
        prop_assert_eq!(&at_once.1, &in_pieces.1);
        // A bit that pads a block up to a byte means nothing, and nothing checks it.
        let harmless = at_once.1.is_none() && at_once.0 == text;
        let damaged = matches!(at_once.1, Some(InputError::Damaged { .. }));
        prop_assert!(damaged || harmless, "{:?}", at_once.1);
    }
}

#[test]
fn a_corrupt_block_costs_only_what_comes_after_it() {
    let text = payload(7, 2_000_000);
    for (archive, lost_bytes_max) in [(gzip(&text), 64 * 1024), (zstd_of(&text), 256 * 1024)] {
        let mut archive = archive;
        let at = archive.len() * 3 / 4;
        archive[at..at + 64].fill(0xff);
        let (plain, error) = read_all(dribble(&archive, &[1 << 20], false).unwrap(), 1 << 20);
        let Some(InputError::Damaged { offset, .. }) = error else { panic!("{error:?}") };
        let same = plain.iter().zip(&text).take_while(|(a, b)| a == b).count();
        assert!(same + lost_bytes_max > text.len() * 3 / 4, "{same} of {}", text.len());
        assert!(offset as usize + 256 * 1024 > at, "{offset} {at}");
    }
}

#[test]
fn bytes_after_an_archive_are_damage_and_what_is_before_them_is_read() {
    for mut archive in [gzip(b"one\ntwo\n"), zstd_of(b"one\ntwo\n")] {
        let len = archive.len();
        archive.extend(b"plain text");
        let (lines, error) = read_lines(dribble(&archive, &[9], false).unwrap(), 10, 100);
        assert_eq!(lines.len(), 2);
        let error = error.expect("damage");
        assert!(
            matches!(error, InputError::Damaged { offset, line: None, .. }
                if (len as u64..=len as u64 + 5).contains(&offset)),
            "{error:?}"
        );
        assert_eq!(error.exit_code(), 65);
    }
}

#[test]
fn a_line_of_sixty_megabytes_is_passed_over_without_being_held() {
    const LONG_BYTES: u64 = 60_000_000;
    let long = io::repeat(b'z').take(LONG_BYTES);
    let reader = Cursor::new(b"one\n").chain(long).chain(Cursor::new(b"\nthree"));
    let input = Opened::from_reader("test".to_owned(), Box::new(reader), None).unwrap();
    let mut blocks = Blocks::new(input, 1 << 16, 1 << 20);
    let mut lines = Vec::new();
    let mut oversized = Vec::new();
    let mut reuse = Vec::new();
    while let Some(block) = blocks.next_block(std::mem::take(&mut reuse)) {
        let block = block.unwrap();
        lines.extend(block.lines().map(|(number, line, _)| (number, line.to_vec())));
        oversized.extend(block.oversized);
        assert!(block.bytes.capacity() <= 3 << 20, "{}", block.bytes.capacity());
        reuse = block.bytes;
    }
    assert_eq!(lines, [(1, b"one".to_vec()), (3, b"three".to_vec())]);
    assert_eq!(oversized.len(), 1);
    assert_eq!((oversized[0].line, oversized[0].bytes), (2, LONG_BYTES));
    assert_eq!(oversized[0].head, [b'z'; HEAD_BYTES_MAX]);
}

#[test]
fn a_cut_off_oversized_line_is_named_and_no_record() {
    let (lines, error) = read_lines(dribble(&[b'a'; 500], &[7], true).unwrap(), 16, 20);
    assert!(lines.is_empty());
    assert!(matches!(error, Some(InputError::ReadFailed { line: Some(1), .. })), "{error:?}");
}

#[test]
fn empty_inputs_have_no_lines() {
    for bytes in [&b""[..], b"\xef\xbb\xbf", &gzip(b""), &zstd_of(b"")] {
        assert_eq!(read_lines(dribble(bytes, &[3], false).unwrap(), 100, 10), (vec![], None));
    }
}

#[test]
fn paths_that_cannot_be_read_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let missing = open(&dir.path().join("nothing.ndjson")).err().expect("it is missing");
    assert!(matches!(missing, InputError::Missing { .. }), "{missing:?}");
    let directory = open(dir.path()).err().expect("it is a directory");
    assert!(matches!(directory, InputError::Directory { .. }), "{directory:?}");
    let file = dir.path().join("file");
    std::fs::write(&file, "\u{fd}").unwrap();
    let below_file = open(&file.join("x")).err().expect("a file has nothing below it");
    assert!(matches!(below_file, InputError::Unreadable { .. }), "{below_file:?}");
    std::fs::write(&file, b"\xfd7zXZ\0\0\x04abcdef").unwrap();
    let xz = open(&file).err().expect("xz is not read");
    assert!(matches!(xz, InputError::Unsupported { format: "xz", .. }), "{xz:?}");
    for error in [missing, directory, below_file, xz] {
        assert_eq!(error.exit_code(), 66);
        assert!(error.to_string().contains(error.input()), "{error}");
    }
}

#[test]
fn the_format_is_told_by_the_bytes_and_progress_counts_stored_ones() {
    let dir = tempfile::tempdir().unwrap();
    let text = payload(3, 100_000);
    for (name, stored) in [("a.gz", text.clone()), ("b.ndjson", gzip(&text)), ("c", zstd_of(&text))]
    {
        let path = dir.path().join(name);
        std::fs::write(&path, &stored).unwrap();
        let input = open(&path).unwrap();
        assert_eq!(input.size_bytes(), Some(stored.len() as u64));
        assert_eq!(Path::new(input.name()), path);
        let consumed = input.consumed();
        let (bytes, error) = read_all(input, 8192);
        assert!(bytes == text && error.is_none(), "{name}");
        assert_eq!(consumed.load(Ordering::Relaxed), stored.len() as u64);
    }
}

#[test]
fn a_pipe_is_read_to_its_end() {
    let (reader, mut writer) = io::pipe().unwrap();
    let archive = gzip(&payload(5, 1_000_000));
    let feeder = std::thread::spawn(move || writer.write_all(&archive));
    let input = Opened::from_reader("pipe".to_owned(), Box::new(reader), None).unwrap();
    let (bytes, error) = read_all(input, 8192);
    assert!(bytes == payload(5, 1_000_000) && error.is_none());
    feeder.join().expect("the feeder does not panic").unwrap();
}

#[test]
fn a_named_pipe_is_opened_by_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
    assert!(made.success());
    let target = path.clone();
    let feeder = std::thread::spawn(move || std::fs::write(target, zstd_of(b"one\ntwo")));
    let input = open(&path).unwrap();
    assert_eq!(input.size_bytes(), None);
    assert_eq!(read_all(input, 64), (b"one\ntwo".to_vec(), None));
    feeder.join().expect("the feeder does not panic").unwrap();
}

/// Where it can, it does not read what is before.
#[test]
fn what_is_gone_on_with_is_what_stands_there() {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let text: String = (0..2_000).map(|number| format!("line {number}\n")).collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).expect("a Vec takes every write");
    let stored = [text.as_bytes().to_vec(), gzip.finish().expect("a Vec takes every write")];
    for (name, bytes) in ["plain", "gzip"].into_iter().zip(stored) {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("it can be written");
        let blocks = || Blocks::new(open(&path).expect("it is there"), 512, 100);
        let (mut read, mut places) = (blocks(), Vec::new());
        while let Some(block) = read.next_block(Vec::new()) {
            let block = block.expect("the input is whole");
            places.push((read.head(block.offset), block));
        }
        assert!(places.len() > 20, "some are behind what the input is known by");
        for (number, (head, block)) in places.iter().enumerate() {
            let mut later = blocks();
            let gone_on = later.go_on_at(block.offset, block.first_line, *head);
            assert_eq!(gone_on, Ok(()), "{name}: {}", block.offset);
            let rest: Vec<_> = std::iter::from_fn(|| later.next_block(Vec::new())).collect();
            let rest: Vec<_> = rest.into_iter().map(|block| block.expect("whole")).collect();
            let wanted = places[number..].iter().map(|(_, block)| block);
            assert!(joined(rest.iter()) == joined(wanted), "{name}: {}", block.offset);
        }
        let end = text.len() as u64;
        let (head, _) = places.last().expect("there are blocks");
        let behind = blocks().go_on_at(end + 1, 2_001, *head);
        assert!(matches!(behind, Err(InputError::Another { .. })), "{name}: {behind:?}");
        let mut opened = open(&path).expect("it is there");
        opened.read_some(&mut [0; 100]).expect("it is whole");
        assert!(!opened.skip(end), "{name}: it has less");
        assert_eq!(opened.skip(5_000), name == "plain", "{name}");
    }
}

/// The first line and the bytes of blocks that follow one another.
fn joined<'b>(blocks: impl Iterator<Item = &'b super::blocks::Block>) -> (u64, Vec<u8>) {
    let mut blocks = blocks.peekable();
    let first = blocks.peek().map_or(0, |block| block.first_line);
    (first, blocks.flat_map(|block| block.bytes.iter().copied()).collect())
}
