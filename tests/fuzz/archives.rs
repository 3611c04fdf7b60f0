//! Inputs as they are stored, mutated: what is read of them, and what is said of their damage, depends
//! on no size of a read or of a block.

use std::io::{self, Read, Write};

use limbeck::sources::{Blocks, InputError, Opened};

use super::mutate::Corpus;
use super::oracle::logs::Random;
use super::{Executing, executions, kind, random, report};

const LINE_BYTES_MAX: usize = 64;

/// Gives a few bytes at once.
struct Drops(io::Cursor<Vec<u8>>, usize);

impl Read for Drops {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let some = out.len().min(self.1);
        self.0.read(&mut out[..some])
    }
}

/// Each line with its number, or the length of an oversized one, and the error at the end.
fn read(
    stored: &[u8],
    drops: usize,
    block_bytes: usize,
) -> (Vec<(u64, Vec<u8>)>, Option<InputError>) {
    let stored = Box::new(Drops(io::Cursor::new(stored.to_vec()), drops));
    let opened = match Opened::from_reader("log".to_owned(), stored, None) {
        Ok(opened) => opened,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut blocks = Blocks::new(opened, block_bytes, LINE_BYTES_MAX);
    let mut lines = Vec::new();
    while let Some(block) = blocks.next_block(Vec::new()) {
        let block = match block {
            Ok(block) => block,
            Err(error) => return (lines, Some(error)),
        };
        let before = lines.len();
        lines.extend(block.lines().map(|(number, line, _)| (number, line.to_vec())));
        let long = block.oversized.iter();
        lines.extend(long.map(|long| (long.line, format!("{} bytes", long.bytes).into_bytes())));
        lines[before..].sort();
        assert!(block.lines().all(|(_, line, _)| line.len() <= LINE_BYTES_MAX));
    }
    (lines, None)
}

fn seeds(random: &mut Random) -> Vec<Vec<u8>> {
    let mut plain: Vec<Vec<u8>> =
        [&b""[..], b"a\n", b"\xef\xbb\xbfa\r\nb", b"a\n\n\nb\n"].map(<[u8]>::to_vec).into();
    for lines in [3, 30] {
        let line = |random: &mut Random| {
            let letters = random.below(100) as usize;
            [b"x".repeat(letters), b"\n".to_vec()].concat()
        };
        plain.push((0..lines).flat_map(|_| line(random)).collect());
    }
    let mut all = plain.clone();
    for text in plain {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).expect("a Vec takes every write");
        let gzip = gzip.finish().expect("a Vec takes every write");
        let zstd = zstd::encode_all(&text[..], 1).expect("a Vec takes every write");
        all.extend([[&gzip[..], &gzip].concat(), [&zstd[..], &zstd].concat(), gzip, zstd]);
    }
    all
}

const WORDS: &[&str] =
    &["\u{1f}\u{8b}\u{8}\0", "(\u{b5}/\u{fd}", "PK\u{3}\u{4}", "\n", "\r\n", "\u{feff}"];

#[test]
fn inputs_as_they_are_stored() {
    let (executions, mut random) = (executions(5), random(5));
    let mut corpus = Corpus::new(seeds(&mut random), WORDS);
    let mut good = 0;
    for _ in 0..executions {
        let stored = corpus.draw(&mut random);
        let _executing = Executing("archives", &stored);
        let at_once = read(&stored, usize::MAX, 4096);
        let drops = 1 + random.below(9) as usize;
        let in_drops = read(&stored, drops, 4 + random.below(100) as usize);
        assert_eq!(at_once, in_drops, "in reads of {drops}");
        let (lines, error) = at_once;
        let numbers: Vec<u64> = lines.iter().map(|(number, _)| *number).collect();
        assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{numbers:?}");
        good += u64::from(error.is_none());
        let outcome = error.map_or_else(|| format!("{}", lines.len().min(9)), |e| e.to_string());
        corpus.learn(&stored, kind(&outcome) ^ lines.len().min(3) as u64);
    }
    report("archives", executions, good, corpus.kinds());
}
