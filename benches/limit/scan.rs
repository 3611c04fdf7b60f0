//! Reads one line after another: judges all of it, and finds the needed fields in any order of keys.
//!
//! Lines of one producer mostly have one layout. The bytes between the values of the last line that
//! was read key by key are remembered: where the next line has the same bytes between its values,
//! and every value is one by itself, it is valid JSON with the same keys, because a JSON reader
//! would reach the values in the same state. A line of any other layout is parsed and read key by
//! key, and its layout remembered instead.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use serde::de::IgnoredAny;
use smallvec::SmallVec;

use super::input::Block;

/// What the rule needs of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields<'a> {
    /// All of it, without white space around it.
    pub(crate) line: &'a [u8],
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

/// A value that may differ from line to line. All others are compared: `kind` has one right value,
/// and so have, mostly, those before the last needed one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    Time,
    Entity,
    State,
    Sequence,
    /// Any string.
    Text,
    /// Any number.
    Number,
}

const FIELDS: usize = 4;
/// The order in which the workload has them.
const USUAL_ORDER: [Field; FIELDS] = [Field::Time, Field::Entity, Field::State, Field::Sequence];
/// So many values behind the needed ones may differ from line to line.
const OTHERS: usize = 8;
/// The longest gap that is compared in one go.
const GAP_BYTES: usize = 32;
/// A string of so many bytes is judged in one go.
const TEXT_BYTES: usize = 128;
/// So many bytes can be read from anywhere in a block without looking at its length: the bytes
/// between and within the values, and one load.
pub(crate) const PADDING: usize = (2 * (FIELDS + OTHERS) + 4) * GAP_BYTES + TEXT_BYTES;
/// The largest time whose nanoseconds are a number of 64 bits.
const TIME_MS_MAX: i64 = i64::MAX / 1_000_000;

/// The bytes before a value.
#[derive(Clone, Copy)]
struct Gap {
    bytes: [u8; GAP_BYTES],
    mask: u32,
    len: usize,
    field: Field,
}

impl Gap {
    const EMPTY: Self = Self { bytes: [0; GAP_BYTES], mask: 0, len: 0, field: Field::Text };

    fn new(text: &[u8], field: Field) -> Option<Self> {
        let len = text.len();
        if len > GAP_BYTES {
            return None;
        }
        let mut bytes = [0; GAP_BYTES];
        bytes[..len].copy_from_slice(text);
        let mask = if len == GAP_BYTES { u32::MAX } else { (1 << len) - 1 };
        Some(Self { bytes, mask, len, field })
    }
}

/// The layout of the last line that was read key by key.
#[derive(Clone)]
pub(crate) struct Layout {
    needed: [Gap; FIELDS],
    others: SmallVec<[Gap; OTHERS]>,
    /// The bytes behind the last value.
    end: Gap,
    known: bool,
    usual: bool,
}

impl Layout {
    pub(crate) fn unknown() -> Self {
        let needed = [Gap::EMPTY; FIELDS];
        Self { needed, others: SmallVec::new(), end: Gap::EMPTY, known: false, usual: false }
    }

    /// Remembers where the values of a matched line stand.
    fn learn(&mut self, line: &[u8], values: &Values) {
        self.known = self.try_learn(line, values).is_some();
    }

    /// `None` if there is no such layout.
    fn try_learn(&mut self, line: &[u8], values: &Values) -> Option<()> {
        let mut at = 0;
        let mut needed = 0;
        self.others.clear();
        for &(start, end, key) in &values.all {
            let quoted = line[start] == b'"';
            let field = match key {
                Some(Key::Time) => Field::Time,
                Some(Key::Entity) => Field::Entity,
                Some(Key::State) => Field::State,
                Some(Key::Sequence) => Field::Sequence,
                None if needed == FIELDS && quoted => Field::Text,
                None if needed == FIELDS && matches!(line[start], b'-' | b'0'..=b'9') => {
                    Field::Number
                }
                _ => continue,
            };
            let (start, end) = if quoted { (start + 1, end - 1) } else { (start, end) };
            let gap = Gap::new(&line[at..start], field)?;
            at = end;
            if needed < FIELDS {
                self.needed[needed] = gap;
                needed += 1;
            } else if self.others.len() < OTHERS {
                self.others.push(gap);
            } else {
                return None;
            }
        }
        self.end = Gap::new(&line[at..], Field::Text)?;
        self.usual = self.needed.iter().map(|gap| gap.field).eq(USUAL_ORDER);
        (needed == FIELDS).then_some(())
    }
}

/// Hands every line of `block` to `take`; what escapes had to be taken out of lives only for the
/// call.
pub(crate) fn scan(block: Block<'_>, layout: &mut Layout, take: &mut impl FnMut(Line<'_>)) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2") {
        // SAFETY: the processor has what the function is compiled for.
        unsafe { wide::scan(block, layout, take) };
        return;
    }
    let mut at = 0;
    while at < block.lines().len() {
        at = scan_one(block.lines(), at, layout, take);
    }
}

/// Reads the line that starts at `at` key by key; says where the next one starts.
#[cold]
#[inline(never)]
fn scan_one(
    lines: &[u8],
    at: usize,
    layout: &mut Layout,
    take: &mut impl FnMut(Line<'_>),
) -> usize {
    let end = memchr(b'\n', &lines[at..]).map_or(lines.len(), |len| at + len);
    read(&lines[at..end], layout, take);
    end + 1
}

/// Hands one line to `take`, read key by key.
pub(crate) fn read(line: &[u8], layout: &mut Layout, take: &mut impl FnMut(Line<'_>)) {
    let line = trim(line);
    let mut entity = Cow::Borrowed(&line[..0]);
    take(read_line(line, layout, &mut entity));
}

/// Without the white space of JSON around it.
fn trim(line: &[u8]) -> &[u8] {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = line.iter().position(|byte| !space(byte)).unwrap_or(line.len());
    let end = line.iter().rposition(|byte| !space(byte)).map_or(start, |last| last + 1);
    &line[start..end]
}

/// Reads a line key by key. The first of a repeated key counts, except that the attributes may not
/// be repeated.
fn read_line<'a>(line: &'a [u8], layout: &mut Layout, entity: &'a mut Cow<'a, [u8]>) -> Line<'a> {
    if line.is_empty() {
        return Line::Blank;
    }
    let Some(values) = find_values(line) else { return Line::Dead };
    let Some(time_ms) = values.of(Key::Time).and_then(|span| time(&line[span.0..span.1])) else {
        return Line::Dead;
    };
    // Without a kind there is no event.
    let kind = match values.of(Key::Kind).map(|span| (span, line[span.0])) {
        None | Some((_, b'n' | b'{' | b'[')) => return Line::Dead,
        Some((span, b'"')) => string(line, span),
        // A number or a boolean is as good as its text.
        Some((span, _)) => Some(Cow::Borrowed(&line[span.0..span.1])),
    };
    let Some(kind) = kind else { return Line::Dead };
    // What is no number is as good as absent.
    let sequence = values.of(Key::Sequence).and_then(|span| unsigned(&line[span.0..span.1]));
    let (Some(subject), Some(state)) = (values.of(Key::Entity), values.of(Key::State)) else {
        return Line::Unmatched { time_ms };
    };
    let (Some(name), Some(state)) = (string(line, subject), string(line, state)) else {
        return Line::Unmatched { time_ms };
    };
    let unready = *state == *b"unready";
    if *kind != *b"readiness" || !(unready || *state == *b"ready") || name.is_empty() {
        return Line::Unmatched { time_ms };
    }
    if matches!((&kind, &name, &state), (Cow::Borrowed(_), Cow::Borrowed(_), Cow::Borrowed(_))) {
        layout.learn(line, &values);
    }
    *entity = name;
    let sequence = sequence.map_or(0, |number| number + 1);
    Line::Matched(Fields { line, time_ms, entity, unready, sequence })
}

type Span = (usize, usize);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Time,
    Entity,
    Kind,
    State,
    Sequence,
}

impl Key {
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"ts" => Self::Time,
            b"entity" => Self::Entity,
            b"kind" => Self::Kind,
            b"state" => Self::State,
            b"seq" => Self::Sequence,
            _ => return None,
        })
    }
}

/// Where the values stand, in their order; strings with their quotes. Of a repeated key only the
/// first has its name.
struct Values {
    all: SmallVec<[(usize, usize, Option<Key>); 16]>,
}

impl Values {
    fn of(&self, key: Key) -> Option<Span> {
        self.all.iter().find(|value| value.2 == Some(key)).map(|value| (value.0, value.1))
    }
}

/// The values of a line, which must be a JSON object without repeated attributes.
fn find_values(line: &[u8]) -> Option<Values> {
    let text = simdutf8::basic::from_utf8(line).ok()?;
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut values = Values { all: SmallVec::new() };
    let mut at = 0;
    if line[at] != b'{' {
        return None;
    }
    at = skip_space(line, at + 1);
    while line.get(at) == Some(&b'"') {
        let key_end = string_end(line, at)?;
        let mut key = Key::named(&string(line, (at, key_end))?);
        if key.is_some_and(|key| values.of(key).is_some()) {
            if key != Some(Key::State) {
                return None;
            }
            key = None;
        }
        // Behind the colon.
        let start = skip_space(line, skip_space(line, key_end) + 1);
        let end = value_end(line, start)?;
        values.all.push((start, end, key));
        // Behind the comma, or the end.
        at = skip_space(line, skip_space(line, end) + 1);
    }
    Some(values)
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

/// `None` if it is no number, or a negative or broken one; a string of digits is one too.
fn unsigned(text: &[u8]) -> Option<u64> {
    let text = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
    std::str::from_utf8(text).ok()?.parse().ok().filter(|number| *number < u64::MAX / 4)
}

fn time(text: &[u8]) -> Option<i64> {
    let time_ms: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (time_ms.unsigned_abs() <= TIME_MS_MAX as u64).then_some(time_ms)
}

/// Whether the bytes between the quotes of a string that has no control characters are right.
fn is_text(mut inside: &[u8]) -> bool {
    while let Some(at) = memchr2(b'"', b'\\', inside) {
        let escape = &inside[at..];
        let len = match escape {
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [b'\\', b'u', a, b, c, d, ..]
                if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
            {
                6
            }
            _ => return false,
        };
        inside = &escape[len..];
    }
    true
}

/// How long the number is that stands in front.
fn number_len(text: &[u8]) -> Option<usize> {
    let digits = |at: usize| text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is = |at: usize, any: &[u8]| text.get(at).is_some_and(|byte| any.contains(byte));
    let start = usize::from(is(0, b"-"));
    let mut at = start + digits(start);
    if at == start || (is(start, b"0") && at > start + 1) {
        return None;
    }
    if is(at, b".") {
        let decimals = digits(at + 1);
        at += 1 + decimals;
        if decimals == 0 {
            return None;
        }
    }
    if is(at, b"eE") {
        let start = at + 1 + usize::from(is(at + 1, b"+-"));
        at = start + digits(start);
        if at == start {
            return None;
        }
    }
    Some(at)
}

/// The value of up to eight digits, the first in the lowest byte; absent digits in front are zero.
fn eight_digits(digits: u64) -> u64 {
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours * 10_000 + (fours >> 32)) & 0xffff_ffff
}

#[cfg(target_arch = "x86_64")]
mod wide;
