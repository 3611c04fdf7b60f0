//! Lines that look like an earlier line need not be parsed again: what stands between the values
//! is compared, and the values alone are read.
//!
//! Guarantees: a line that a shape reads leaves behind exactly what a walk of it would. A shape is
//! learnt from a line that has been walked, so its bytes between the values are known to be valid,
//! and which value each key gives is known, repeated keys included. Every value is checked in
//! full; where one is not as plain as expected, the parser reads it, or the whole line.
//! State: a few shapes, each of bounded size, and a bit for each byte of the text that is read.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::DeserializeSeed;
use wide::u8x16;

use super::layout::Node;
use super::learn;
use super::token::{Stops, bare_end, plain_integer};
use super::walk::{Captured, Object, Value};
use crate::model::Scalar;

/// As many shapes are remembered.
const SHAPES_MAX: usize = 8;
/// Learning costs several times what a walk does: of lines that no shape reads, this many pass for
/// each that is learnt, once the initial credit is spent.
const LINES_PER_LESSON: u32 = 16;
/// Longer lines are not learnt.
const LINE_BYTES_MAX: usize = 4096;

/// The shapes of the last lines. They serve one decoder at a time and forget when it changes; they
/// never change what is decoded.
#[derive(Debug, Default)]
pub struct Shapes {
    /// Whose captures they fill.
    of: Option<Arc<[Node]>>,
    /// The last used first.
    shapes: Vec<Shape>,
    /// How many lines have been paid for and not been learnt.
    credit: u32,
    /// Of the text whose lines are read.
    stops: Stops,
}

impl Shapes {
    /// Looks at a text, of which [`Shapes::read`] then reads lines.
    pub(super) fn look_at(&mut self, text: &str, nodes: &Arc<[Node]>) {
        if !self.of.as_ref().is_some_and(|known| Arc::ptr_eq(known, nodes)) {
            *self = Self {
                of: Some(Arc::clone(nodes)),
                credit: SHAPES_MAX as u32 * LINES_PER_LESSON,
                ..Self::default()
            };
        }
        self.stops.find(text.as_bytes());
    }

    /// Reads the line that begins here in the text if it has one of the shapes, and says where its
    /// object ends; if not, the captures are void.
    #[inline]
    pub(super) fn read<'a>(
        &mut self,
        text: &'a str,
        at: usize,
        nodes: &[Node],
        captures: usize,
        captured: &mut Captured<'a>,
    ) -> Option<usize> {
        if captured.values.len() != captures {
            captured.clear(captures);
        }
        for (place, shape) in self.shapes.iter().enumerate() {
            if let Some(end) = shape.read(text, at, &self.stops, nodes, captured) {
                if place > 0 {
                    self.shapes[..=place].rotate_right(1);
                }
                return Some(end);
            }
        }
        None
    }

    /// Learns the shape of a line that [`Shapes::read`] has refused and a walk has not.
    pub(super) fn learn(&mut self, line: &str, nodes: &[Node], captures: usize) {
        self.credit = (self.credit + 1).min(SHAPES_MAX as u32 * LINES_PER_LESSON);
        if self.credit < LINES_PER_LESSON || line.len() > LINE_BYTES_MAX {
            return;
        }
        self.credit -= LINES_PER_LESSON;
        // What a shape reads must not go beyond a line.
        if line.contains('\n') {
            return;
        }
        let Some(shape) = learn::shape(line, nodes, captures) else { return };
        // A known shape may still refuse a line, for the sake of a value.
        if !self.shapes.contains(&shape) {
            self.shapes.truncate(SHAPES_MAX - 1);
            self.shapes.insert(0, shape);
        }
    }
}

/// What the lines of one kind have in common.
#[derive(Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) steps: Vec<Step>,
    /// What follows the last value.
    pub(super) tail: Literal,
    /// Captures whose value is an object.
    pub(super) composites: Vec<usize>,
    /// Captures without a value.
    pub(super) missing: Vec<usize>,
}

/// Some bytes, and the value that follows them.
#[derive(Debug, PartialEq)]
pub(super) struct Step {
    pub(super) literal: Literal,
    pub(super) value: Expected,
}

/// The bytes between two values: mostly few, and compared as a word.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Literal {
    /// The first bytes, and a bit for each.
    first: u8x16,
    mask: u32,
    /// The last bytes of a longer one.
    last: u8x16,
    bytes: Box<[u8]>,
}

/// So many bytes are compared together.
const LITERAL_BYTES: usize = size_of::<u8x16>();

/// A value as a shape expects it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Expected {
    /// A string; if not, a number or a word.
    pub(super) string: bool,
    /// What looks at it. Without a capture it is still judged as closely as if it were used.
    pub(super) node: Option<usize>,
    pub(super) capture: Option<usize>,
}

impl Shape {
    #[inline]
    fn read<'a>(
        &self,
        text: &'a str,
        mut at: usize,
        stops: &Stops,
        nodes: &[Node],
        captured: &mut Captured<'a>,
    ) -> Option<usize> {
        let bytes = text.as_bytes();
        for step in &self.steps {
            at = step.literal.end(bytes, at)?;
            at = step.value.end(text, at, stops, nodes, captured)?;
        }
        at = self.tail.end(bytes, at)?;
        for capture in &self.composites {
            captured.values[*capture] = Scalar::Composite;
        }
        for capture in &self.missing {
            captured.values[*capture] = Scalar::Missing;
        }
        Some(at)
    }
}

impl Literal {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let word = |bytes: &[u8]| {
            let mut word = [0; LITERAL_BYTES];
            word[..bytes.len()].copy_from_slice(bytes);
            u8x16::new(word)
        };
        let len = bytes.len().min(LITERAL_BYTES);
        let (first, mask) = (word(&bytes[..len]), (1 << len) - 1);
        Self { first, mask, last: word(&bytes[bytes.len() - len..]), bytes: bytes.into() }
    }

    /// Where it ends if it stands here in the text.
    #[inline(always)]
    fn end(&self, text: &[u8], at: usize) -> Option<usize> {
        let rest = text.get(at..)?;
        let len = self.bytes.len();
        let found = match rest.first_chunk() {
            Some(word) => {
                !u8x16::new(*word).simd_eq(self.first).to_bitmask() & self.mask == 0
                    && (len <= LITERAL_BYTES || self.ends(rest))
            }
            None => rest.starts_with(&self.bytes),
        };
        found.then_some(at + len)
    }

    /// Whether a text that begins like it goes on like it.
    #[inline(always)]
    fn ends(&self, text: &[u8]) -> bool {
        let len = self.bytes.len();
        let last = text.get(len - LITERAL_BYTES..).and_then(<[u8]>::first_chunk);
        last.is_some_and(|word| u8x16::new(*word) == self.last)
            && (len <= 2 * LITERAL_BYTES || text.starts_with(&self.bytes))
    }
}

impl Expected {
    #[inline(always)]
    fn end<'a>(
        &self,
        line: &'a str,
        at: usize,
        stops: &Stops,
        nodes: &[Node],
        captured: &mut Captured<'a>,
    ) -> Option<usize> {
        let bytes = line.as_bytes();
        let capture = self.capture;
        if self.string {
            let end = stops.next(at)?;
            if bytes[end] != b'"' {
                return self.odd_end(line, at, stops, nodes, captured);
            }
            if let Some(capture) = capture {
                let text = line.get(at..end)?;
                // In the place of another of a line before, there is nothing to be dropped.
                match &mut captured.values[capture] {
                    Scalar::Str(Cow::Borrowed(before)) => *before = text,
                    other => *other = Scalar::Str(Cow::Borrowed(text)),
                }
            }
            Some(end)
        } else if let Some((value, end)) = plain_integer(bytes, at) {
            if let Some(capture) = capture {
                match &mut captured.values[capture] {
                    Scalar::Int(before) => *before = value,
                    other => *other = Scalar::Int(value),
                }
            }
            Some(end)
        } else {
            self.odd_end(line, at, stops, nodes, captured)
        }
    }

    /// The end of a string with escapes, or of anything but a plain number: what looks at it has it
    /// parsed.
    #[inline(never)]
    fn odd_end<'a>(
        &self,
        line: &'a str,
        at: usize,
        stops: &Stops,
        nodes: &[Node],
        captured: &mut Captured<'a>,
    ) -> Option<usize> {
        let bytes = line.as_bytes();
        let (value, end) = if self.string {
            let end = stops.string_end(bytes, at)?;
            (at - 1..end + 1, end)
        } else {
            let end = bare_end(bytes, at)?;
            (at..end, end)
        };
        if let Some(node) = self.node {
            parse(line.get(value)?, node, nodes, captured)?;
        }
        Some(end)
    }
}

/// Reads a value as a walk does.
#[cold]
fn parse<'a>(
    value: &'a str,
    node: usize,
    nodes: &[Node],
    captured: &mut Captured<'a>,
) -> Option<()> {
    let mut json = serde_json::Deserializer::from_str(value);
    Value(Object { nodes, at: node, captured }).deserialize(&mut json).ok()?;
    json.end().ok()
}

#[cfg(test)]
mod tests;
