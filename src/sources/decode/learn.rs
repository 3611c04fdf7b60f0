//! Learning the shape of a line.
//!
//! Guarantees: of a line that has been walked, the shape says of every value what the walk made of
//! it. Lines with arrays, or with too many values or levels, have no shape. State: none.

use super::layout::Node;
use super::shape::{Expected, Literal, Shape, Step};
use super::token::{Stops, bare_end};

/// So many values make a shape at most.
const VALUES_MAX: usize = 64;
/// So deep is an object in a shape at most.
const LEVELS_MAX: usize = 16;

/// The shape of a valid line, if it has one.
pub(super) fn shape(line: &str, nodes: &[Node], captures: usize) -> Option<Shape> {
    let mut stops = Stops::default();
    stops.find(line.as_bytes());
    let mut learner = Learner {
        line,
        nodes,
        stops,
        at: 0,
        literal_start: 0,
        levels: 0,
        met: vec![false; nodes.len()],
        shape: Shape {
            steps: Vec::new(),
            tail: Literal::default(),
            composites: Vec::new(),
            missing: Vec::new(),
        },
    };
    learner.space();
    learner.object(Some(0))?;
    let Learner { at, literal_start, mut shape, .. } = learner;
    shape.tail = Literal::new(&line.as_bytes()[literal_start..at]);
    let steps = shape.steps.iter().filter_map(|step| step.value.capture);
    let present: Vec<usize> = steps.chain(shape.composites.iter().copied()).collect();
    shape.missing = (0..captures).filter(|capture| !present.contains(capture)).collect();
    Some(shape)
}

struct Learner<'n, 'a> {
    line: &'a str,
    nodes: &'n [Node],
    stops: Stops,
    at: usize,
    /// The end of the last value.
    literal_start: usize,
    levels: usize,
    /// As in a walk.
    met: Vec<bool>,
    shape: Shape,
}

impl Learner<'_, '_> {
    fn next(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.next() {
            self.at += 1;
        }
    }

    /// Passes an object whose keys are the children of a node, or one that nothing looks at.
    fn object(&mut self, node: Option<usize>) -> Option<()> {
        self.levels += 1;
        if self.levels > LEVELS_MAX {
            return None;
        }
        loop {
            // At the brace or comma.
            self.at += 1;
            self.space();
            if self.next()? == b'}' {
                break;
            }
            let child = self.key(node)?;
            self.space();
            self.at += 1;
            self.space();
            self.value(child)?;
            self.space();
            if self.next()? == b'}' {
                break;
            }
        }
        self.at += 1;
        self.levels -= 1;
        Some(())
    }

    /// Passes a key; the node that its value is for.
    fn key(&mut self, node: Option<usize>) -> Option<Option<usize>> {
        let start = self.at;
        let end = self.stops.string_end(self.line.as_bytes(), start + 1)?;
        self.at = end + 1;
        let Some(node) = node else { return Some(None) };
        let key: String = serde_json::from_str(self.line.get(start..self.at)?).ok()?;
        let child = self.nodes[node].children.iter().find(|(child, _)| *child == key);
        let first = |node: &usize| !std::mem::replace(&mut self.met[*node], true);
        Some(child.map(|(_, node)| *node).filter(first))
    }

    fn value(&mut self, node: Option<usize>) -> Option<()> {
        let bytes = self.line.as_bytes();
        let capture = node.and_then(|node| self.nodes[node].capture);
        let end = match self.next()? {
            b'{' => {
                self.shape.composites.extend(capture);
                return self.object(node);
            }
            b'[' => return None,
            b'"' => {
                self.at += 1;
                self.stops.string_end(bytes, self.at)?
            }
            _ => bare_end(bytes, self.at)?,
        };
        let value = Expected { string: bytes[self.at - 1] == b'"', node, capture };
        if self.shape.steps.len() == VALUES_MAX {
            return None;
        }
        self.shape
            .steps
            .push(Step { literal: Literal::new(&bytes[self.literal_start..self.at]), value });
        self.literal_start = end;
        // A string's closing quote belongs to the next literal.
        self.at = end + usize::from(bytes[end] == b'"');
        Some(())
    }
}
