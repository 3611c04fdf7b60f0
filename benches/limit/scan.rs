//! Finds the needed fields of one line after another, in any order of keys.
//!
//! Lines of one producer mostly have one layout. The bytes between the needed values of the last
//! line are remembered: where the next line has the same bytes between its values, its values are
//! the same fields, because a JSON reader would reach them in the same state. A line of any other
//! layout is read key by key, and its layout remembered instead. What stands behind the last needed
//! value is looked at for the end of the line only.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// What the rule needs of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields<'a> {
    pub(crate) time_ms: i64,
    /// Without escapes.
    pub(crate) entity: &'a [u8],
    pub(crate) unready: bool,
    /// Zero where it is absent, else one more than written.
    pub(crate) sequence: u64,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Matched(Fields<'a>),
    /// Readable, but not of the rule; it moves the clock.
    Unmatched {
        time_ms: i64,
    },
    Dead,
    Blank,
}

/// A needed field. `kind` has one right value, so it belongs to the bytes between the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    Time,
    Entity,
    State,
    Sequence,
}

const FIELDS: usize = 4;
/// The order in which the workload has them.
const USUAL_ORDER: [Field; FIELDS] = [Field::Time, Field::Entity, Field::State, Field::Sequence];
/// So many bytes can be read from the start of a line without looking at its length: the bytes
/// between and within `FIELDS` values, and one load.
const READABLE_BYTES: usize = (2 * FIELDS + 2) * GAP_BYTES;
/// The longest gap that is compared in one go.
const GAP_BYTES: usize = 32;

/// The bytes before a value.
#[derive(Clone, Copy)]
struct Gap {
    bytes: [u8; GAP_BYTES],
    mask: u32,
    len: usize,
    field: Field,
}

/// The layout of the last line that was read key by key.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    gaps: [Gap; FIELDS],
    known: bool,
    usual: bool,
}

impl Layout {
    pub(crate) fn unknown() -> Self {
        let gap = Gap { bytes: [0; GAP_BYTES], mask: 0, len: 0, field: Field::Time };
        Self { gaps: [gap; FIELDS], known: false, usual: false }
    }

    /// Remembers where the values of a matched line stand; `ends` after the last needed byte.
    fn learn(&mut self, line: &[u8], spans: &mut [(usize, usize, Field); FIELDS], needed: usize) {
        spans.sort_unstable_by_key(|span| span.0);
        let mut at = 0;
        // A kind behind the last value would not be looked at.
        self.known = spans[FIELDS - 1].0 > needed;
        for (gap, (start, end, field)) in self.gaps.iter_mut().zip(*spans) {
            let len = start - at;
            if len > GAP_BYTES {
                self.known = false;
                return;
            }
            gap.bytes = [0; GAP_BYTES];
            gap.bytes[..len].copy_from_slice(&line[at..start]);
            gap.mask = if len == GAP_BYTES { u32::MAX } else { (1 << len) - 1 };
            gap.len = len;
            gap.field = field;
            at = end;
        }
        self.usual = self.gaps.iter().map(|gap| gap.field).eq(USUAL_ORDER);
    }
}

/// Hands every line of `block` to `take`. The block consists of whole lines, the last of which may
/// lack its end; what escapes had to be taken out of lives only for the call.
pub(crate) fn scan(block: &[u8], layout: &mut Layout, take: &mut impl FnMut(Line<'_>)) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2") {
        // SAFETY: the processor has what the function is compiled for.
        unsafe { wide::scan(block, layout, take) };
        return;
    }
    let mut at = 0;
    while at < block.len() {
        at = scan_one(block, at, layout, take);
    }
}

/// Reads the line that starts at `at` key by key; says where the next one starts.
#[cold]
#[inline(never)]
fn scan_one(
    block: &[u8],
    at: usize,
    layout: &mut Layout,
    take: &mut impl FnMut(Line<'_>),
) -> usize {
    let end = memchr(b'\n', &block[at..]).map_or(block.len(), |len| at + len);
    let line = &block[at..end];
    if line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
        take(Line::Blank);
    } else {
        let mut entity = Cow::Borrowed(&line[..0]);
        take(read_line(line, layout, &mut entity));
    }
    end + 1
}

/// Reads a line key by key. The first of a repeated key counts, except that the attributes may not
/// be repeated. What is not needed is skipped, not judged.
fn read_line<'a>(line: &'a [u8], layout: &mut Layout, entity: &'a mut Cow<'a, [u8]>) -> Line<'a> {
    let Some(found) = find_values(line) else { return Line::Dead };
    let [time, subject, kind, state, sequence] = found;
    let Some(time_ms) = time.and_then(|span| signed(&line[span.0..span.1])) else {
        return Line::Dead;
    };
    // Without a kind there is no event.
    let Some(kind) = kind.and_then(|span| string(line, span)) else { return Line::Dead };
    let sequence_value = match sequence {
        None => Some(0),
        Some(span) => unsigned(&line[span.0..span.1]).map(|number| number + 1),
    };
    let (Some(subject), Some(state), Some(sequence_value)) = (subject, state, sequence_value)
    else {
        return Line::Unmatched { time_ms };
    };
    let (Some(name), Some(state_name)) = (string(line, subject), string(line, state)) else {
        return Line::Unmatched { time_ms };
    };
    let unready = *state_name == *b"unready";
    if *kind != *b"readiness" || !(unready || *state_name == *b"ready") {
        return Line::Unmatched { time_ms };
    }
    let plain = matches!(name, Cow::Borrowed(_)) && matches!(state_name, Cow::Borrowed(_));
    if let (true, Some(time), Some(sequence), Some(kind)) = (plain, time, sequence, found[2]) {
        let inside = |span: (usize, usize)| (span.0 + 1, span.1 - 1);
        let (subject, state) = (inside(subject), inside(state));
        let mut spans = [
            (time.0, time.1, Field::Time),
            (subject.0, subject.1, Field::Entity),
            (state.0, state.1, Field::State),
            (sequence.0, sequence.1, Field::Sequence),
        ];
        layout.learn(line, &mut spans, kind.1);
    }
    *entity = name;
    Line::Matched(Fields { time_ms, entity, unready, sequence: sequence_value })
}

type Span = (usize, usize);

/// Where the values of `ts`, `entity`, `kind`, `state` and `seq` stand; strings with their quotes.
fn find_values(line: &[u8]) -> Option<[Option<Span>; 5]> {
    const KEYS: [&[u8]; 5] = [b"ts", b"entity", b"kind", b"state", b"seq"];
    let mut found = [None; 5];
    let mut at = skip_space(line, 0);
    if line.get(at) != Some(&b'{') {
        return None;
    }
    at = skip_space(line, at + 1);
    while line.get(at) == Some(&b'"') {
        let key_end = string_end(line, at)?;
        let key = string(line, (at, key_end))?;
        at = skip_space(line, key_end);
        if line.get(at) != Some(&b':') {
            return None;
        }
        let start = skip_space(line, at + 1);
        let end = value_end(line, start)?;
        if let Some(field) = KEYS.iter().position(|name| **name == *key) {
            found[field].get_or_insert((start, end));
        }
        at = skip_space(line, end);
        match line.get(at)? {
            b',' => at = skip_space(line, at + 1),
            b'}' => return Some(found),
            _ => return None,
        }
    }
    (line.get(at) == Some(&b'}')).then_some(found)
}

fn skip_space(line: &[u8], at: usize) -> usize {
    let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r');
    at + line[at.min(line.len())..].iter().take_while(space).count()
}

/// Where the string that starts at `at` ends, behind its quote.
fn string_end(line: &[u8], at: usize) -> Option<usize> {
    let mut inside = at + 1;
    loop {
        inside += memchr2(b'"', b'\\', line.get(inside..)?)?;
        if line[inside] == b'"' {
            return Some(inside + 1);
        }
        inside += 2;
    }
}

fn value_end(line: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    let mut depth = 0_u32;
    loop {
        match line.get(at)? {
            b'"' => at = string_end(line, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' | b',' if depth == 0 => {
                return (at > start).then(|| line[..at].trim_ascii_end().len());
            }
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            _ => at += 1,
        }
        if depth == 0 && matches!(line[at - 1], b'"' | b'}' | b']') {
            return Some(at);
        }
    }
}

/// The string at a span, without its escapes; `None` if it is no string.
fn string(line: &[u8], span: Span) -> Option<Cow<'_, [u8]>> {
    let quoted = &line[span.0..span.1];
    let inside = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr(b'\\', inside).is_none() {
        return Some(Cow::Borrowed(inside));
    }
    let plain: String = serde_json::from_slice(quoted).ok()?;
    Some(Cow::Owned(plain.into_bytes()))
}

fn unsigned(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok().filter(|number| *number < u64::MAX / 4)
}

fn signed(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The value of up to eight digits, the first in the lowest byte; absent digits in front are zero.
fn eight_digits(digits: u64) -> u64 {
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours * 10_000 + (fours >> 32)) & 0xffff_ffff
}

#[cfg(target_arch = "x86_64")]
mod wide {
    //! The same with 32 bytes at a time.

    use std::arch::x86_64::*;

    use super::{
        Field, Fields, GAP_BYTES, Gap, Layout, Line, READABLE_BYTES, eight_digits, scan_one,
    };

    const ASCII_ZEROS: u64 = 0x3030_3030_3030_3030;

    /// # Safety
    /// The processor has AVX2 and BMI2.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    pub(super) unsafe fn scan(block: &[u8], layout: &mut Layout, take: &mut impl FnMut(Line<'_>)) {
        let mut at = 0;
        while at < block.len() {
            if layout.known && block.len() - at >= READABLE_BYTES {
                // The end is looked for first: so the next line need not wait for the values.
                // SAFETY: `READABLE_BYTES` bytes are readable from here.
                let end = unsafe { line_end(block, at) };
                let found = unsafe { same_layout(block, at, layout) };
                if let Some(fields) = found {
                    take(Line::Matched(fields));
                    at = end + 1;
                    continue;
                }
            }
            at = scan_one(block, at, layout, take);
        }
    }

    /// The fields of the line at `at`, if it has the layout.
    ///
    /// # Safety
    /// `READABLE_BYTES` bytes stand in the block from `at`. Each of the `FIELDS` values goes at
    /// most `GAP_BYTES` further for its gap and as many for itself, and loads as many.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    #[inline]
    unsafe fn same_layout<'a>(block: &'a [u8], at: usize, layout: &Layout) -> Option<Fields<'a>> {
        let mut fields = Fields { time_ms: 0, entity: b"", unready: false, sequence: 0 };
        let mut here = at;
        let [first, second, third, fourth] = &layout.gaps;
        // SAFETY: see above.
        unsafe {
            if layout.usual {
                // The same as below, without a choice at every value.
                here = time(block, skip(block, here, first)?, &mut fields)?;
                here = entity(block, skip(block, here, second)?, &mut fields)?;
                here = state(block, skip(block, here, third)?, &mut fields)?;
                here = sequence(block, skip(block, here, fourth)?, &mut fields)?;
            } else {
                for gap in &layout.gaps {
                    here = skip(block, here, gap)?;
                    here = match gap.field {
                        Field::Time => time(block, here, &mut fields)?,
                        Field::Entity => entity(block, here, &mut fields)?,
                        Field::State => state(block, here, &mut fields)?,
                        Field::Sequence => sequence(block, here, &mut fields)?,
                    };
                }
            }
        }
        // A number could go on where no gap follows; a string has its quote there.
        matches!(block[here], b',' | b'}' | b'"' | b' ').then_some(fields)
    }

    /// Where the gap ends that starts at `here`, if it has the right bytes.
    ///
    /// # Safety
    /// 32 bytes are readable from `here`, here and in the four below.
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
        if digits == 0 || digits == 16 {
            return None;
        }
        let zeros = u128::from(ASCII_ZEROS) << 64 | u128::from(ASCII_ZEROS);
        let values = (u128::from_le(text) ^ zeros) << (8 * (16 - digits));
        let high = eight_digits(values as u64);
        let low = eight_digits((values >> 64) as u64);
        fields.time_ms = (high * 100_000_000 + low) as i64;
        Some(here + digits as usize)
    }

    #[target_feature(enable = "avx2,bmi1")]
    #[inline]
    unsafe fn entity<'a>(block: &'a [u8], here: usize, fields: &mut Fields<'a>) -> Option<usize> {
        let there = unsafe { load(block, here) };
        let quotes = _mm256_cmpeq_epi8(there, _mm256_set1_epi8(b'"' as i8));
        let escapes = _mm256_cmpeq_epi8(there, _mm256_set1_epi8(b'\\' as i8));
        let highest = _mm256_set1_epi8(0x1f);
        let controls = _mm256_cmpeq_epi8(_mm256_max_epu8(there, highest), highest);
        let stops = _mm256_or_si256(_mm256_or_si256(quotes, escapes), controls);
        let len = (_mm256_movemask_epi8(stops) as u32).trailing_zeros() as usize;
        if len == GAP_BYTES || block[here + len] != b'"' {
            return None;
        }
        fields.entity = &block[here..here + len];
        Some(here + len)
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
        if digits == 0 || digits > 8 {
            return None;
        }
        let values = (u64::from_le(text) ^ ASCII_ZEROS) << (8 * (8 - digits));
        fields.sequence = eight_digits(values) + 1;
        Some(here + digits as usize)
    }

    /// # Safety
    /// 32 bytes are readable from `at`.
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

    /// Where the line ends that starts at `from`: at its newline, or the end of the block.
    ///
    /// # Safety
    /// `READABLE_BYTES` bytes are readable from `from`.
    #[target_feature(enable = "avx2,bmi1")]
    #[inline]
    unsafe fn line_end(block: &[u8], from: usize) -> usize {
        const { assert!(READABLE_BYTES >= 256) };
        let newline = _mm256_set1_epi8(b'\n' as i8);
        let newlines = |at: usize| {
            // SAFETY: the last load ends 256 bytes from the start.
            let low = _mm256_cmpeq_epi8(unsafe { load(block, at) }, newline);
            let high = _mm256_cmpeq_epi8(unsafe { load(block, at + 32) }, newline);
            u64::from(_mm256_movemask_epi8(low) as u32)
                | u64::from(_mm256_movemask_epi8(high) as u32) << 32
        };
        // Selected without branches: where in the line its end is cannot be foreseen.
        let masks: [u64; 4] = std::array::from_fn(|i| newlines(from + 64 * i));
        let first = if masks[0] != 0 { (masks[0], 0) } else { (masks[1], 64) };
        let second = if masks[2] != 0 { (masks[2], 128) } else { (masks[3], 192) };
        let (mask, offset) = if masks[0] | masks[1] != 0 { first } else { second };
        if mask != 0 {
            return from + offset + mask.trailing_zeros() as usize;
        }
        memchr::memchr(b'\n', &block[from + 256..]).map_or(block.len(), |len| from + 256 + len)
    }
}
