//! The same with 32 bytes at a time.

use std::arch::x86_64::*;

use super::{
    Block, Field, Fields, GAP_BYTES, Gap, Layout, Line, PADDING, TEXT_BYTES, TIME_MS_MAX,
    eight_digits, is_text, memchr, number_len, scan_one, string_end,
};

const ASCII_ZEROS: u64 = 0x3030_3030_3030_3030;
/// The end of a line of so many bytes is found without a branch.
const USUAL_BYTES: usize = 256;

/// As far in front the bytes of the file are asked for: the processor itself stops at pages.
const BYTES_AHEAD: usize = 2048;

/// # Safety
/// The processor has AVX2 and BMI2.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
pub(super) unsafe fn scan(block: Block<'_>, layout: &mut Layout, take: &mut impl FnMut(Line<'_>)) {
    let (bytes, len) = (block.padded(), block.lines().len());
    let mut at = 0;
    while at < len {
        if layout.known {
            for line in 0..USUAL_BYTES / 64 {
                let ahead = bytes.as_ptr().wrapping_add(at + BYTES_AHEAD + 64 * line);
                _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
            }
            // The end is looked for first: so the next line need not wait for the values.
            // SAFETY: `PADDING` bytes are readable from everywhere in the block.
            let end = unsafe { line_end(bytes, at) };
            let end = if bytes[end] == b'\n' { Some(end) } else { unusual_end(block.lines(), at) };
            // SAFETY: the same, and a line ends at `end` in the block.
            let found = end
                .filter(|end| *end < len)
                .and_then(|end| unsafe { same_layout(bytes, at..end, layout) }.zip(Some(end)));
            if let Some((fields, end)) = found {
                take(Line::Matched(fields));
                at = end + 1;
                continue;
            }
        }
        at = scan_one(block.lines(), at, layout, take);
    }
}

/// The fields of a line if it has the layout and all its values are right. It is known to be
/// UTF-8 without control characters.
///
/// # Safety
/// The line stands in a block behind which `PADDING` bytes are readable. Each value goes at
/// most `GAP_BYTES` further for its gap and as many for itself, or to the end of the line.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
#[inline]
unsafe fn same_layout<'a>(
    block: &'a [u8],
    line: std::ops::Range<usize>,
    layout: &Layout,
) -> Option<Fields<'a>> {
    let (mut here, end) = (line.start, line.end);
    let mut fields =
        Fields { line: &block[line], time_ms: 0, entity: b"", unready: false, sequence: 0 };
    let [first, second, third, fourth] = &layout.needed;
    // SAFETY: see above.
    unsafe {
        if layout.usual {
            // The same as below, without a choice at every value.
            here = time(block, skip(block, here, first)?, &mut fields)?;
            here = entity(block, skip(block, here, second)?, &mut fields)?;
            here = state(block, skip(block, here, third)?, &mut fields)?;
            here = sequence(block, skip(block, here, fourth)?, &mut fields)?;
        } else {
            for gap in &layout.needed {
                here = skip(block, here, gap)?;
                here = match gap.field {
                    Field::Time => time(block, here, &mut fields)?,
                    Field::Entity => entity(block, here, &mut fields)?,
                    Field::State => state(block, here, &mut fields)?,
                    _ => sequence(block, here, &mut fields)?,
                };
            }
        }
        if let Some((last, others)) = layout.others.split_last() {
            for gap in others {
                here = value(block, skip(block, here, gap)?, end, gap.field)?;
            }
            here = skip(block, here, last)?;
            here = if last.field == Field::Text {
                // It ends where the line does, so its end need not be looked for.
                let text_end = end.checked_sub(layout.end.len)?;
                (here <= text_end && is_text_between(block, here, text_end)).then_some(text_end)?
            } else {
                value(block, here, end, last.field)?
            };
        }
        // Here it turns out that nothing above has gone beyond the line.
        (skip(block, here, &layout.end)? == end).then_some(fields)
    }
}

/// Where the gap ends that starts at `here`, if it has the right bytes.
///
/// # Safety
/// 32 bytes are readable from `here`, here and in the five below.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn skip(block: &[u8], here: usize, gap: &Gap) -> Option<usize> {
    let (there, expected) = unsafe { (load(block, here), load(&gap.bytes, 0)) };
    let equal = _mm256_movemask_epi8(_mm256_cmpeq_epi8(there, expected)) as u32;
    (equal & gap.mask == gap.mask).then_some(here + gap.len)
}

#[target_feature(enable = "avx2,bmi1,bmi2")]
#[inline]
unsafe fn time(block: &[u8], here: usize, fields: &mut Fields<'_>) -> Option<usize> {
    let text = unsafe { block.as_ptr().add(here).cast::<u128>().read_unaligned() };
    let digits = unsafe { digits_at(block, here) };
    // A zero in front would be valid only alone.
    if digits == 0 || digits == 16 || text as u8 == b'0' {
        return None;
    }
    let zeros = u128::from(ASCII_ZEROS) << 64 | u128::from(ASCII_ZEROS);
    let values = (u128::from_le(text) ^ zeros) << (8 * (16 - digits));
    let high = eight_digits(values as u64);
    let low = eight_digits((values >> 64) as u64);
    fields.time_ms = (high * 100_000_000 + low) as i64;
    (fields.time_ms <= TIME_MS_MAX).then_some(here + digits as usize)
}

#[target_feature(enable = "avx2,bmi1")]
#[inline]
unsafe fn entity<'a>(block: &'a [u8], here: usize, fields: &mut Fields<'a>) -> Option<usize> {
    let len = unsafe { short_text(block, here) }?;
    fields.entity = &block[here..here + len];
    (len > 0).then_some(here + len)
}

#[target_feature(enable = "avx2")]
#[inline]
unsafe fn state(block: &[u8], here: usize, fields: &mut Fields<'_>) -> Option<usize> {
    let text = unsafe { block.as_ptr().add(here).cast::<u64>().read_unaligned() };
    let text = u64::from_le(text);
    fields.unready = text == u64::from_le_bytes(*b"unready\"");
    let ready = text << 16 == u64::from_le_bytes(*b"\0\0ready\"");
    (fields.unready | ready).then_some(here + 5 + 2 * usize::from(fields.unready))
}

#[target_feature(enable = "avx2,bmi1,bmi2")]
#[inline]
unsafe fn sequence(block: &[u8], here: usize, fields: &mut Fields<'_>) -> Option<usize> {
    let text = unsafe { block.as_ptr().add(here).cast::<u64>().read_unaligned() };
    let digits = unsafe { digits_at(block, here) };
    if digits == 0 || digits > 8 || (text as u8 == b'0' && digits > 1) {
        return None;
    }
    let values = (u64::from_le(text) ^ ASCII_ZEROS) << (8 * (8 - digits));
    fields.sequence = eight_digits(values) + 1;
    Some(here + digits as usize)
}

/// Where a string or number ends that is not needed.
#[target_feature(enable = "avx2,bmi1")]
#[inline]
unsafe fn value(block: &[u8], here: usize, end: usize, field: Field) -> Option<usize> {
    if field == Field::Text {
        match unsafe { short_text(block, here) } {
            Some(len) => Some(here + len),
            None => long_text_end(block, here, end),
        }
    } else {
        number_len(block.get(here..end)?).map(|len| here + len)
    }
}

#[cold]
fn long_text_end(block: &[u8], here: usize, end: usize) -> Option<usize> {
    let text_end = string_end(&block[..end], here - 1)? - 1;
    is_text(&block[here..text_end]).then_some(text_end)
}

/// The length of a string without escapes whose bytes start at `here`, if it is so short.
///
/// # Safety
/// 32 bytes are readable from `here`.
#[target_feature(enable = "avx2,bmi1")]
#[inline]
unsafe fn short_text(block: &[u8], here: usize) -> Option<usize> {
    let (quotes, backslashes) = unsafe { quotes_at(block, here) };
    let len = (quotes | backslashes).trailing_zeros() as usize;
    (len < GAP_BYTES && quotes >> len & 1 == 1).then_some(len)
}

/// Whether the bytes from `here` to `end`, behind which is a quote, are the inside of a string.
///
/// # Safety
/// `TEXT_BYTES` bytes are readable from `here`.
#[target_feature(enable = "avx2,bmi1,bmi2")]
#[inline]
unsafe fn is_text_between(block: &[u8], here: usize, end: usize) -> bool {
    const { assert!(TEXT_BYTES == 128) };
    let words = |at: usize| {
        // SAFETY: the last load ends 128 bytes from the start.
        let (low, high) = unsafe { (quotes_at(block, at), quotes_at(block, at + 32)) };
        let word = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        (word(low.0, high.0), word(low.1, high.1))
    };
    let len = (end - here) as u32;
    let (low, high) = (words(here), words(here + 64));
    let low = (_bzhi_u64(low.0, len.min(64)), _bzhi_u64(low.1, len.min(64)));
    let high_len = len.saturating_sub(64).min(64);
    let high = (_bzhi_u64(high.0, high_len), _bzhi_u64(high.1, high_len));
    // Mostly quotes are all that is escaped: then one follows each backslash and no other byte.
    // A backslash at the end would need one behind it.
    let escaped = (low.1 << 1, high.1 << 1 | low.1 >> 63);
    let only_quotes = (low.0 ^ escaped.0) | (high.0 ^ escaped.1) == 0;
    (only_quotes && (len as usize) < TEXT_BYTES) || is_text(&block[here..end])
}

/// Which of 32 bytes are quotes, and which are backslashes.
///
/// # Safety
/// 32 bytes are readable from `at`, here and below.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn quotes_at(block: &[u8], at: usize) -> (u32, u32) {
    let there = unsafe { load(block, at) };
    let equal = |byte: u8| {
        let equal = _mm256_cmpeq_epi8(there, _mm256_set1_epi8(byte as i8));
        _mm256_movemask_epi8(equal) as u32
    };
    (equal(b'"'), equal(b'\\'))
}

#[target_feature(enable = "avx2")]
#[inline]
unsafe fn load(bytes: &[u8], at: usize) -> __m256i {
    unsafe { _mm256_loadu_si256(bytes.as_ptr().add(at).cast()) }
}

/// How many digits stand at `here`, up to 16.
///
/// # Safety
/// 16 bytes are readable from `here`.
#[target_feature(enable = "avx2,bmi1")]
#[inline]
unsafe fn digits_at(block: &[u8], here: usize) -> u32 {
    let text = unsafe { _mm_loadu_si128(block.as_ptr().add(here).cast()) };
    let values = _mm_xor_si128(text, _mm_set1_epi8(b'0' as i8));
    let nine = _mm_set1_epi8(9);
    let digits = _mm_cmpeq_epi8(_mm_max_epu8(values, nine), nine);
    (!(_mm_movemask_epi8(digits) as u32)).trailing_zeros()
}

/// Where the first byte stands that is a control character or not ASCII: mostly the newline.
/// If there is none in `USUAL_BYTES` bytes, any other.
///
/// # Safety
/// `USUAL_BYTES` bytes are readable from `from`.
#[target_feature(enable = "avx2,bmi1")]
#[inline]
unsafe fn line_end(block: &[u8], from: usize) -> usize {
    const { assert!(PADDING > USUAL_BYTES && USUAL_BYTES == 256) };
    // As signed numbers, bytes that are not ASCII are the smallest.
    let first_plain = _mm256_set1_epi8(b' ' as i8);
    let stops = |at: usize| {
        // SAFETY: the last load ends 256 bytes from the start.
        let low = _mm256_cmpgt_epi8(first_plain, unsafe { load(block, at) });
        let high = _mm256_cmpgt_epi8(first_plain, unsafe { load(block, at + 32) });
        u64::from(_mm256_movemask_epi8(low) as u32)
            | u64::from(_mm256_movemask_epi8(high) as u32) << 32
    };
    // Selected without branches: where in the line its end is cannot be foreseen.
    let masks: [u64; 4] = std::array::from_fn(|i| stops(from + 64 * i));
    let first = if masks[0] != 0 { (masks[0], 0) } else { (masks[1], 64) };
    let second = if masks[2] != 0 { (masks[2], 128) } else { (masks[3], 192) };
    let (mask, offset) = if masks[0] | masks[1] != 0 { first } else { second };
    // Of an empty mask, the byte behind all of them, which may be anything.
    from + offset + mask.trailing_zeros() as usize
}

/// Where a line ends that is longer or has more than ASCII; `None` if it is not valid.
#[inline(never)]
fn unusual_end(lines: &[u8], from: usize) -> Option<usize> {
    let len = memchr(b'\n', &lines[from..])?;
    let line = &lines[from..from + len];
    let controls = line.iter().fold(false, |any, byte| any | (*byte < 0x20));
    (!controls && simdutf8::basic::from_utf8(line).is_ok()).then_some(from + len)
}
