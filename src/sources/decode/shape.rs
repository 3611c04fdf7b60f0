//! Lines that look like an earlier line need not be parsed again: what stands between the values
//! is compared, and the values alone are read.
//!
//! Guarantees: a line that a shape reads leaves behind exactly what a walk of it would. A shape is
//! learnt from a line that has been walked, so its bytes between the values are known to be valid,
//! and which value each key gives is known, repeated keys included. Every value is checked in
//! full; where one is not as plain as expected, the parser reads it, or the whole line.
//! State: a few shapes, each of bounded size.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::DeserializeSeed;

use super::layout::Node;
use super::learn;
use super::token::{bare_end, plain_integer, string_end};
use super::walk::{Captured, Object, Value};
use crate::model::Scalar;

/// As many shapes are remembered.
const SHAPES_MAX: usize = 8;
/// Learning costs several times what a walk does: of lines that no shape reads, this many pass for
/// each that is learnt, once the initial credit is spent.
const LINES_PER_LESSON: u32 = 16;
/// Longer lines are not learnt.
const LINE_BYTES_MAX: usize = 4096;
/// The words of a literal that are compared without a loop.
const WORDS: usize = 4;
const WORDS_BYTES: usize = 8 * WORDS;

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
}

impl Shapes {
    /// Reads a line if it has one of the shapes; if not, the captures are void.
    #[inline]
    pub(super) fn read<'a>(
        &mut self,
        line: &'a str,
        nodes: &Arc<[Node]>,
        captures: usize,
        captured: &mut Captured<'a>,
    ) -> bool {
        if !self.of.as_ref().is_some_and(|known| Arc::ptr_eq(known, nodes)) {
            *self = Self {
                of: Some(Arc::clone(nodes)),
                shapes: Vec::new(),
                credit: SHAPES_MAX as u32 * LINES_PER_LESSON,
            };
        }
        for (place, shape) in self.shapes.iter().enumerate() {
            if shape.read(line, nodes, captures, captured).is_some() {
                if place > 0 {
                    self.shapes[..=place].rotate_right(1);
                }
                return true;
            }
        }
        false
    }

    /// Learns the shape of a line that [`Shapes::read`] has refused and a walk has not.
    pub(super) fn learn(&mut self, line: &str, nodes: &[Node]) {
        self.credit = (self.credit + 1).min(SHAPES_MAX as u32 * LINES_PER_LESSON);
        if self.credit < LINES_PER_LESSON || line.len() > LINE_BYTES_MAX {
            return;
        }
        self.credit -= LINES_PER_LESSON;
        let Some(shape) = learn::shape(line, nodes) else { return };
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
    pub(super) tail: Box<[u8]>,
    /// Captures whose value is an object.
    pub(super) composites: Vec<usize>,
}

/// Some bytes, and the value that follows them.
#[derive(Debug, PartialEq)]
pub(super) struct Step {
    literal: Box<[u8]>,
    /// The literal once more, if it is short, and ones where it has bytes.
    words: [u64; WORDS],
    mask: [u64; WORDS],
    value: Expected,
}

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
        line: &'a str,
        nodes: &[Node],
        captures: usize,
        captured: &mut Captured<'a>,
    ) -> Option<()> {
        let bytes = line.as_bytes();
        let (first, rest) = self.steps.split_first()?;
        let mut at = first.literal_end(bytes, 0)?;
        captured.clear(captures);
        at = first.value_end(line, at, nodes, captured)?;
        for step in rest {
            at = step.literal_end(bytes, at)?;
            at = step.value_end(line, at, nodes, captured)?;
        }
        let rest = bytes.get(at..)?.strip_prefix(&*self.tail)?;
        if !rest.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            return None;
        }
        for capture in &self.composites {
            captured.values[*capture] = Scalar::Composite;
        }
        Some(())
    }
}

impl Step {
    pub(super) fn new(literal: &[u8], value: Expected) -> Self {
        let (mut words, mut mask) = ([0; WORDS], [0; WORDS]);
        if literal.len() <= WORDS_BYTES {
            for (i, byte) in literal.iter().enumerate() {
                words[i / 8] |= u64::from(*byte) << (i % 8 * 8);
                mask[i / 8] |= 0xff << (i % 8 * 8);
            }
        }
        Self { literal: literal.into(), words, mask, value }
    }

    #[inline(always)]
    fn literal_end(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let rest = bytes.get(at..)?;
        let len = self.literal.len();
        let equal = match rest.first_chunk::<WORDS_BYTES>() {
            Some(window) if len <= WORDS_BYTES => {
                let (there, _) = window.as_chunks::<8>();
                let differences = (0..WORDS).fold(0, |differences, i| {
                    let there = u64::from_le_bytes(there[i]);
                    differences | (there ^ self.words[i]) & self.mask[i]
                });
                differences == 0
            }
            _ => rest.starts_with(&self.literal),
        };
        equal.then_some(at + len)
    }

    #[inline(always)]
    fn value_end<'a>(
        &self,
        line: &'a str,
        at: usize,
        nodes: &[Node],
        captured: &mut Captured<'a>,
    ) -> Option<usize> {
        let bytes = line.as_bytes();
        let Expected { string, node, capture } = self.value;
        let (value, odd, end) = if string {
            let (end, escaped) = string_end(bytes, at)?;
            if let Some(capture) = capture
                && !escaped
            {
                captured.values[capture] = Scalar::Str(Cow::Borrowed(line.get(at..end)?));
            }
            (at - 1..end + 1, escaped, end)
        } else if let Some((value, end)) = plain_integer(bytes, at) {
            if let Some(capture) = capture {
                captured.values[capture] = Scalar::Int(value);
            }
            (at..end, false, end)
        } else {
            let end = bare_end(bytes, at)?;
            (at..end, true, end)
        };
        if let Some(node) = node
            && odd
        {
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
