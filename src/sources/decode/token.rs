//! Where the strings and numbers of JSON end, judged exactly as the full parser judges them.
//!
//! Guarantees: what is accepted here is valid JSON where the bytes are valid UTF-8; what is not
//! may still be, and is left to the full parser.

use wide::u8x32;

/// So many bytes are looked at together.
const WINDOW_BYTES: usize = 32;
/// A whole number of so many digits fits in 64 bits with a sign, whatever the digits.
const DIGITS_MAX: usize = 18;
const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);

/// A word has a bit for each of so many bytes.
const WORD_BYTES: usize = 64;

/// The quotes, backslashes and control characters of a line: where the text of a string may end.
#[derive(Debug, Default)]
pub(super) struct Stops {
    /// One bit for each byte, the first byte's lowest.
    words: Vec<u64>,
}

impl Stops {
    /// Finds those of a line.
    #[inline(always)]
    pub(super) fn find(&mut self, line: &[u8]) {
        let (words, rest) = line.as_chunks();
        self.words.clear();
        self.words.extend(words.iter().map(stops_of_word));
        if !rest.is_empty() {
            // The last bytes, some of which have been looked at.
            self.words.push(match line.last_chunk() {
                Some(last) => stops_of_word(last) >> (WORD_BYTES - rest.len()),
                None => stops_of_short(rest),
            });
        }
    }

    /// The first from `at` on.
    #[inline(always)]
    pub(super) fn next(&self, at: usize) -> Option<usize> {
        let mut index = at / WORD_BYTES;
        let mut word = self.words.get(index)? & (u64::MAX << (at % WORD_BYTES));
        while word == 0 {
            index += 1;
            word = *self.words.get(index)?;
        }
        Some(index * WORD_BYTES + word.trailing_zeros() as usize)
    }

    /// The closing quote of a string whose text begins at `at`. An escaped surrogate is not judged:
    /// only who wants the text needs its other half.
    pub(super) fn string_end(&self, line: &[u8], at: usize) -> Option<usize> {
        let mut stop = self.next(at)?;
        loop {
            stop = match &line[stop..] {
                [b'"', ..] => return Some(stop),
                [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => stop + 2,
                [b'\\', b'u', a, b, c, d, ..]
                    if [a, b, c, d].iter().all(|byte| byte.is_ascii_hexdigit()) =>
                {
                    stop + 6
                }
                _ => return None,
            };
            stop = self.next(stop)?;
        }
    }
}

#[cold]
fn stops_of_short(line: &[u8]) -> u64 {
    let mut word = [b' '; WORD_BYTES];
    word[..line.len()].copy_from_slice(line);
    stops_of_word(&word)
}

#[inline(always)]
fn stops_of_word(bytes: &[u8; WORD_BYTES]) -> u64 {
    let (windows, _) = bytes.as_chunks();
    let stops = |at: usize| u64::from(stops(&windows[at])) << (at * WINDOW_BYTES);
    stops(0) | stops(1)
}

/// One bit for each byte that is a stop, the first byte's lowest.
#[inline(always)]
fn stops(window: &[u8; WINDOW_BYTES]) -> u32 {
    let text = u8x32::new(*window);
    // With this bit turned, a quote comes to stand behind the last control character.
    let turned = text ^ u8x32::splat(b'"' ^ 0x20);
    let quotes_and_controls = turned.min(u8x32::splat(0x20)).simd_eq(turned);
    let stops = quotes_and_controls | text.simd_eq(u8x32::splat(b'\\'));
    stops.to_bitmask()
}

/// A whole number that needs no second look, and its end. A negative zero, a fraction, an exponent
/// or too many digits do.
#[inline(always)]
pub(super) fn plain_integer(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let first = *bytes.get(at)?;
    let start = at + usize::from(first == b'-');
    let (value, end) = digits(bytes, start)?;
    let count = end - start;
    if count > DIGITS_MAX || (bytes[start] == b'0' && (count > 1 || first == b'-')) {
        return None;
    }
    if matches!(bytes.get(end), Some(b'.' | b'e' | b'E')) {
        return None;
    }
    Some((if first == b'-' { -(value as i64) } else { value as i64 }, end))
}

/// A run of digits, at least one: its value modulo 2^64, and its end.
#[inline(always)]
fn digits(bytes: &[u8], start: usize) -> Option<(u64, usize)> {
    const POWERS: [u64; 9] =
        [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    let (mut value, mut at) = (0_u64, start);
    while let Some(window) = bytes.get(at..)?.first_chunk() {
        let differences = u64::from_le_bytes(*window) ^ ZEROS;
        // The lowest byte that is no digit is found exactly; what it carries into does not count.
        let others = (differences.wrapping_add(u64::from_ne_bytes([0x76; 8]))) | differences;
        let count = ((others & HIGH_BITS).trailing_zeros() / 8) as usize;
        if count == 0 {
            break;
        }
        let new = eight_digits(differences << (8 * (8 - count)));
        value = value.wrapping_mul(POWERS[count]).wrapping_add(new);
        at += count;
        if count < 8 {
            return Some((value, at));
        }
    }
    while let Some(digit) = bytes.get(at).filter(|byte| byte.is_ascii_digit()) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    (at > start).then_some((value, at))
}

/// The number that eight bytes from 0 to 9 write, the first of them lowest.
#[inline(always)]
fn eight_digits(digits: u64) -> u64 {
    const PAIRS: u64 = 0x0000_00ff_0000_00ff;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let high = (pairs & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & PAIRS).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

/// The end of a number or of `true`, `false` or `null`.
pub(super) fn bare_end(bytes: &[u8], at: usize) -> Option<usize> {
    let text = bytes.get(at..)?;
    for word in [&b"true"[..], b"false", b"null"] {
        if text.starts_with(word) {
            return Some(at + word.len());
        }
    }
    let run = |from: usize| {
        let count = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then_some(from + count)
    };
    let start = at + usize::from(text.first() == Some(&b'-'));
    let mut end = run(start)?;
    if bytes[start] == b'0' && end > start + 1 {
        return None;
    }
    if bytes.get(end) == Some(&b'.') {
        end = run(end + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = run(end + 1 + sign)?;
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stops_are_found_wherever_they_stand(
            bytes in prop::collection::vec(
                prop_oneof![
                    1 => prop::sample::select(&b"\"#\\]\x1f "[..]),
                    6 => any::<u8>(),
                    6 => Just(b'x'),
                ],
                0..200,
            ),
            at in 0_usize..200,
        ) {
            let is_stop = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
            let found = bytes.get(at..).and_then(|rest| rest.iter().position(is_stop));
            let mut stops = Stops::default();
            stops.find(b"\"of an earlier line\"");
            stops.find(&bytes);
            prop_assert_eq!(stops.next(at), found.map(|len| at + len));
        }

        #[test]
        fn a_plain_integer_is_what_the_parser_reads(
            text in "-?[0-9]{0,20}(\\.[0-9]?)?(e[0-9])?", after in "[,}x ]{0,9}",
        ) {
            let line = format!("{text}{after}");
            let parsed = serde_json::from_str::<serde_json::Number>(&text).ok();
            match plain_integer(line.as_bytes(), 0) {
                Some((value, end)) => {
                    prop_assert_eq!(end, text.len());
                    prop_assert_eq!(parsed.and_then(|number| number.as_i64()), Some(value));
                }
                None => prop_assert!(
                    parsed.is_none_or(|number| number.as_i64().is_none()) || text.len() > DIGITS_MAX
                ),
            }
            let valid = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(bare_end(line.as_bytes(), 0) == Some(text.len()), valid);
        }
    }
}
