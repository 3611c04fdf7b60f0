//! Conditions of a common shape, judged over the slots of a record: comparisons of a path with a
//! literal, membership in a list of literals, `contains`, `startsWith`, `endsWith` and `matches` with
//! a literal, `has`, a path that is true or false itself, and `&&`, `||`, `!` over these. Whatever
//! else stands between goes to the interpreter, leaf by leaf.
//!
//! The meaning is the interpreter's: `false && error` and `error && false` are false, values of
//! different types are unequal without error, but ordering them is an error.

use std::cmp::Ordering;
use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};
use smol_str::SmolStr;

use super::condition::{Attribute, Paths, RecordView, Scope, Verdict, attribute};
use super::interpreted::Interpreted;
use crate::model::Scalar;

/// A compiled condition.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Always(bool),
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    /// The slot itself is true or false.
    Holds(usize),
    Equal(usize, Literal),
    Unequal(usize, Literal),
    Ordered(usize, Order, Literal),
    In(usize, Vec<Literal>),
    /// The text at the slot has such a part.
    Part(usize, Part, Box<str>),
    /// The pattern is found in the text at the slot.
    Matches(usize, regex::Regex),
    /// Something stands at the slot, whose keys are these.
    Has(usize, Vec<SmolStr>),
    Interpreted(Arc<Interpreted>),
}

/// An order that a comparison asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Where a text must have a part.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Start,
    End,
    Anywhere,
}

/// A literal of the rule file.
#[derive(Clone, Debug)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Str(Box<str>),
}

impl Node {
    #[inline(always)]
    pub(super) fn eval(&self, record: &impl RecordView) -> Verdict {
        // The usual condition: worth not being called for.
        match self {
            Self::Equal(slot, Literal::Str(literal)) => match record.slot(*slot) {
                Scalar::Str(text) => equal(text.as_bytes(), literal.as_bytes()).into(),
                _ => self.judge(record),
            },
            _ => self.judge(record),
        }
    }

    fn judge(&self, record: &impl RecordView) -> Verdict {
        match self {
            Self::Always(value) => (*value).into(),
            Self::All(nodes) => fold(nodes, record, Verdict::False),
            Self::Any(nodes) => fold(nodes, record, Verdict::True),
            Self::Not(node) => node.eval(record).negated(),
            Self::Holds(slot) => match record.slot(*slot) {
                Scalar::Bool(value) => (*value).into(),
                _ => Verdict::Error,
            },
            Self::Equal(slot, literal) => on(record, *slot, |value| literal.equals(value)),
            Self::Unequal(slot, literal) => on(record, *slot, |value| !literal.equals(value)),
            Self::In(slot, literals) => {
                on(record, *slot, |value| literals.iter().any(|literal| literal.equals(value)))
            }
            Self::Ordered(slot, order, literal) => match literal.order(record.slot(*slot)) {
                Some(found) => order.admits(found).into(),
                None => Verdict::Error,
            },
            Self::Part(slot, part, literal) => match record.slot(*slot) {
                Scalar::Str(text) => part.admits(text, literal).into(),
                _ => Verdict::Error,
            },
            Self::Matches(slot, pattern) => match record.slot(*slot) {
                Scalar::Str(text) => pattern.is_match(text).into(),
                _ => Verdict::Error,
            },
            Self::Has(slot, keys) => match (record.slot(*slot), keys.split_last()) {
                (Scalar::Missing, Some((_, above))) if record.is_object(above) => Verdict::False,
                (Scalar::Missing, _) => Verdict::Error,
                _ => Verdict::True,
            },
            Self::Interpreted(expression) => expression.eval(record),
        }
    }

    /// Adds the slots it looks at, and the keys that it asks `has` for.
    pub(super) fn needs<'n>(&'n self, slots: &mut Vec<usize>, guards: &mut Vec<&'n [SmolStr]>) {
        match self {
            Self::Always(_) => {}
            Self::All(nodes) | Self::Any(nodes) => {
                nodes.iter().for_each(|node| node.needs(slots, guards));
            }
            Self::Not(node) => node.needs(slots, guards),
            Self::Holds(slot)
            | Self::Equal(slot, _)
            | Self::Unequal(slot, _)
            | Self::Ordered(slot, ..)
            | Self::In(slot, _)
            | Self::Part(slot, ..)
            | Self::Matches(slot, _) => slots.push(*slot),
            Self::Has(_, keys) => guards.push(keys),
            Self::Interpreted(expression) => slots.extend(expression.needs()),
        }
    }

    /// The verdict on every record, where it is certainly the same.
    pub(super) fn constant(&self) -> Option<Verdict> {
        match self {
            Self::Always(value) => Some((*value).into()),
            Self::All(nodes) => fold_constants(nodes, Verdict::False),
            Self::Any(nodes) => fold_constants(nodes, Verdict::True),
            Self::Not(node) => node.constant().map(Verdict::negated),
            Self::Interpreted(expression) => expression.constant(),
            _ => None,
        }
    }

    pub(super) fn is_native(&self) -> bool {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().all(Self::is_native),
            Self::Not(node) => node.is_native(),
            Self::Interpreted(_) => false,
            _ => true,
        }
    }
}

/// The constant that constants come to, or that one of them decides alone.
fn fold_constants(nodes: &[Node], deciding: Verdict) -> Option<Verdict> {
    let constants: Vec<_> = nodes.iter().map(Node::constant).collect();
    if constants.contains(&Some(deciding)) {
        return Some(deciding);
    }
    let constants: Vec<_> = constants.into_iter().collect::<Option<_>>()?;
    let error = constants.contains(&Verdict::Error);
    Some(if error { Verdict::Error } else { deciding.negated() })
}

/// Judges until one node gives the deciding verdict; an error stands unless one does.
fn fold(nodes: &[Node], record: &impl RecordView, deciding: Verdict) -> Verdict {
    let mut result = deciding.negated();
    for node in nodes {
        match node.eval(record) {
            Verdict::Error => result = Verdict::Error,
            verdict if verdict == deciding => return deciding,
            _ => {}
        }
    }
    result
}

/// Whether two texts are equal. Most are so short that a call would cost more than it does.
#[inline(always)]
fn equal(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    // Their beginnings and ends meet.
    if let (Some(a), Some(b)) = (one.first_chunk::<8>(), other.first_chunk::<8>())
        && let (Some(c), Some(d)) = (one.last_chunk::<8>(), other.last_chunk::<8>())
    {
        return a == b && c == d && (one.len() <= 16 || one == other);
    }
    if let (Some(a), Some(b)) = (one.first_chunk::<4>(), other.first_chunk::<4>())
        && let (Some(c), Some(d)) = (one.last_chunk::<4>(), other.last_chunk::<4>())
    {
        return a == b && c == d;
    }
    one == other
}

fn on(record: &impl RecordView, slot: usize, test: impl FnOnce(&Scalar<'_>) -> bool) -> Verdict {
    match record.slot(slot) {
        Scalar::Missing => Verdict::Error,
        value => test(value).into(),
    }
}

impl Order {
    pub(super) fn admits(self, found: Ordering) -> bool {
        match self {
            Self::Less => found.is_lt(),
            Self::LessOrEqual => found.is_le(),
            Self::Greater => found.is_gt(),
            Self::GreaterOrEqual => found.is_ge(),
        }
    }

    pub(super) fn parse(operator: &str) -> Option<Self> {
        Some(match operator {
            operators::LESS => Self::Less,
            operators::LESS_EQUALS => Self::LessOrEqual,
            operators::GREATER => Self::Greater,
            operators::GREATER_EQUALS => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    /// The order seen from the other side.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

impl Part {
    fn admits(self, text: &str, part: &str) -> bool {
        match self {
            Self::Start => text.starts_with(part),
            Self::End => text.ends_with(part),
            Self::Anywhere => text.contains(part),
        }
    }

    fn parse(function: &str) -> Option<Self> {
        Some(match function {
            "startsWith" => Self::Start,
            "endsWith" => Self::End,
            "contains" => Self::Anywhere,
            _ => return None,
        })
    }
}

impl Literal {
    fn parse(expr: &IdedExpr) -> Option<Self> {
        let Expr::Literal(literal) = &expr.expr else { return None };
        Some(match literal {
            LiteralValue::Null => Self::Null,
            LiteralValue::Boolean(value) => Self::Bool(*value.inner()),
            LiteralValue::Int(value) => Self::Int(*value.inner()),
            LiteralValue::UInt(value) => Self::UInt(*value.inner()),
            LiteralValue::Double(value) => Self::Float(*value.inner()),
            LiteralValue::String(value) => Self::Str(value.inner().into()),
            LiteralValue::Bytes(_) => return None,
        })
    }

    fn equals(&self, value: &Scalar<'_>) -> bool {
        match (value, self) {
            (Scalar::Null, Self::Null) => true,
            (Scalar::Str(value), Self::Str(literal)) => **value == **literal,
            _ => self.order(value) == Some(Ordering::Equal),
        }
    }

    /// How the value stands to this literal; `None` if the two have no order.
    fn order(&self, value: &Scalar<'_>) -> Option<Ordering> {
        Some(match (value, self) {
            (Scalar::Str(a), Self::Str(b)) => (**a).cmp(&**b),
            (Scalar::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Scalar::Int(a), Self::Int(b)) => a.cmp(b),
            (Scalar::UInt(a), Self::UInt(b)) => a.cmp(b),
            (Scalar::Int(a), Self::UInt(b)) => i128::from(*a).cmp(&i128::from(*b)),
            (Scalar::UInt(a), Self::Int(b)) => i128::from(*a).cmp(&i128::from(*b)),
            (Scalar::Float(a), Self::Float(b)) => return a.partial_cmp(b),
            (Scalar::Float(a), Self::Int(b)) => return a.partial_cmp(&(*b as f64)),
            (Scalar::Float(a), Self::UInt(b)) => return a.partial_cmp(&(*b as f64)),
            (Scalar::Int(a), Self::Float(b)) => return (*a as f64).partial_cmp(b),
            (Scalar::UInt(a), Self::Float(b)) => return (*a as f64).partial_cmp(b),
            _ => return None,
        })
    }
}

/// Compiles a checked expression.
pub(super) fn compile(expr: IdedExpr, paths: &mut Paths) -> Node {
    match &expr.expr {
        Expr::Call(call) if call.target.is_none() => {
            if let Some(connective) = connective(call, paths) {
                return connective;
            }
            if let Some(comparison) = comparison(call, paths) {
                return comparison;
            }
        }
        Expr::Call(call) => {
            if let Some(part) = part(call, paths) {
                return part;
            }
        }
        Expr::Literal(LiteralValue::Boolean(value)) => return Node::Always(*value.inner()),
        Expr::Select(select) if select.test => {
            if let Some(Attribute::Data(mut keys)) = attribute(&select.operand, &Scope::new()) {
                keys.push(SmolStr::new(&select.field));
                return Node::Has(paths.intern(Attribute::Data(keys.clone())), keys);
            }
        }
        _ => {}
    }
    match attribute(&expr, &Scope::new()) {
        Some(attribute) => Node::Holds(paths.intern(attribute)),
        None => Node::Interpreted(Arc::new(Interpreted::new(expr, paths))),
    }
}

fn connective(call: &CallExpr, paths: &mut Paths) -> Option<Node> {
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::LOGICAL_NOT, [inner]) => {
            Some(Node::Not(Box::new(compile(inner.clone(), paths))))
        }
        (name @ (operators::LOGICAL_AND | operators::LOGICAL_OR), [left, right]) => {
            let mut nodes = Vec::new();
            for side in [left, right] {
                match (name, compile(side.clone(), paths)) {
                    (operators::LOGICAL_AND, Node::All(inner)) => nodes.extend(inner),
                    (operators::LOGICAL_OR, Node::Any(inner)) => nodes.extend(inner),
                    (_, node) => nodes.push(node),
                }
            }
            let all = name == operators::LOGICAL_AND;
            Some(if all { Node::All(nodes) } else { Node::Any(nodes) })
        }
        _ => None,
    }
}

fn part(call: &CallExpr, paths: &mut Paths) -> Option<Node> {
    let [literal] = call.args.as_slice() else { return None };
    let Literal::Str(literal) = Literal::parse(literal)? else { return None };
    let path = attribute(call.target.as_ref()?, &Scope::new())?;
    if call.func_name == "matches" {
        return Some(Node::Matches(paths.intern(path), regex::Regex::new(&literal).ok()?));
    }
    let part = Part::parse(&call.func_name)?;
    Some(Node::Part(paths.intern(path), part, literal))
}

fn comparison(call: &CallExpr, paths: &mut Paths) -> Option<Node> {
    let [left, right] = call.args.as_slice() else { return None };
    let name = call.func_name.as_str();
    let left_path = attribute(left, &Scope::new());
    if name == operators::IN {
        let Expr::List(list) = &right.expr else { return None };
        let literals: Option<Vec<_>> = list.elements.iter().map(Literal::parse).collect();
        return Some(Node::In(paths.intern(left_path?), literals?));
    }
    let order = Order::parse(name);
    if order.is_none() && !matches!(name, operators::EQUALS | operators::NOT_EQUALS) {
        return None;
    }
    let (path, literal, order) = match left_path {
        Some(path) => (path, Literal::parse(right)?, order),
        None => {
            let path = attribute(right, &Scope::new())?;
            (path, Literal::parse(left)?, order.map(Order::mirrored))
        }
    };
    let slot = paths.intern(path);
    Some(match order {
        Some(order) => Node::Ordered(slot, order, literal),
        None if name == operators::EQUALS => Node::Equal(slot, literal),
        None => Node::Unequal(slot, literal),
    })
}
