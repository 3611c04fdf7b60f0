//! Where the strings and numbers of JSON end, judged exactly as the full parser judges them.
//!
//! Guarantees: what is accepted here is valid JSON where the bytes are valid UTF-8; what is not
//! may still be, and is left to the full parser.

/// So many bytes are looked at together.
const WINDOW_BYTES: usize = 16;
/// A whole number of so many digits fits in 64 bits with a sign, whatever the digits.
const DIGITS_MAX: usize = 18;
const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);

/// The closing quote of a string whose text begins at `at`, and whether an escape is in it. An
/// escaped surrogate is not judged: only who wants the text needs its other half.
#[inline(always)]
pub(super) fn string_end(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    let stop = plain_end(bytes, at)?;
    match bytes[stop] {
        b'"' => Some((stop, false)),
        b'\\' => escaped_end(bytes, stop).map(|end| (end, true)),
        _ => None,
    }
}

/// The closing quote of a string, from its first backslash on.
#[inline(never)]
fn escaped_end(bytes: &[u8], backslash: usize) -> Option<usize> {
    let mut stop = backslash;
    loop {
        stop = match &bytes[stop..] {
            [b'"', ..] => return Some(stop),
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => stop + 2,
            [b'\\', b'u', a, b, c, d, ..]
                if [a, b, c, d].iter().all(|byte| byte.is_ascii_hexdigit()) =>
            {
                stop + 6
            }
            _ => return None,
        };
        stop = plain_end(bytes, stop)?;
    }
}

/// The first quote, backslash or control character from `at` on.
#[inline(always)]
fn plain_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at;
    while let Some(window) = bytes.get(at..)?.first_chunk() {
        let len = plain_len(u128::from_le_bytes(*window));
        if len < WINDOW_BYTES {
            return Some(at + len);
        }
        at += WINDOW_BYTES;
    }
    let Some(window) = bytes.last_chunk::<WINDOW_BYTES>() else {
        return bytes[at..].iter().position(|byte| is_stop(*byte)).map(|len| at + len);
    };
    // The last window overlaps what has been looked at, which is shifted out; zeros come in and
    // stop.
    let seen = WINDOW_BYTES - (bytes.len() - at);
    let text = u128::from_le_bytes(*window).checked_shr(8 * seen as u32)?;
    Some(at + plain_len(text)).filter(|end| *end < bytes.len())
}

fn is_stop(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

/// How many bytes, lowest first, come before a stop; 16 without one.
#[inline(always)]
fn plain_len(text: u128) -> usize {
    let (low, high) = (stops(text as u64), stops((text >> 64) as u64));
    let (stops, before) = if low != 0 { (low, 0) } else { (high, 8) };
    before + (stops.trailing_zeros() / 8) as usize
}

/// Marks stops with the high bits of their bytes. The lowest mark is right: what a subtraction
/// borrows from the next byte marks only above it.
#[inline(always)]
fn stops(text: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    const ESCAPES: u64 = u64::from_ne_bytes([b'\\'; 8]);
    let zeros = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let controls = text.wrapping_sub(0x20 * ONES) & !text;
    (zeros(text ^ QUOTES) | zeros(text ^ ESCAPES) | controls) & HIGH_BITS
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
                prop_oneof![prop::sample::select(&b"\"#\\]\x1f "[..]), any::<u8>()],
                0..60,
            ),
            at in 0_usize..60,
        ) {
            let found = bytes.get(at..).and_then(|rest| rest.iter().position(|b| is_stop(*b)));
            prop_assert_eq!(plain_end(&bytes, at), found.map(|len| at + len));
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
