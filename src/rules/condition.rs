//! Conditions and values: CEL over one record, judged without reading anything else.
//!
//! A condition sees `id`, `source`, `type`, `subject`, `sequence`, `severity` and `traceparent`
//! (strings) and `data` (any JSON; the empty object where a record has none). What errs when it
//! is judged (a field that is missing, a comparison of text with a number, a result that is
//! neither true nor false) is [`Verdict::Error`] and does not hold. The `where` of a rule also sees
//! `labels`, those of its signal: texts, empty where a record has none.
//!
//! Every path that conditions ask for is interned once in [`Paths`]; a record is taken apart once
//! for all conditions, and those of a common shape are judged over these slots alone, without
//! allocation (`native`). The rest goes to the interpreter (`interpreted`). Both agree.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use cel::common::ast::{Expr, IdedExpr};
use smol_str::SmolStr;

use super::expression::Sees;
use super::interpreted::{self, Interpreted};
use super::native::{self, Node};
use crate::model::Scalar;

/// Whether a condition holds of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It cannot be judged, and therefore does not hold.
    Error,
}

impl Verdict {
    /// Whether the condition holds.
    pub fn holds(self) -> bool {
        self == Self::True
    }

    /// The verdict on the opposite.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Error => Self::Error,
        }
    }
}

impl From<bool> for Verdict {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// The root of the labels.
pub(super) const LABELS: &str = "labels";

/// What a condition can ask of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// `id`
    Id,
    /// `source`
    Source,
    /// `type`
    Type,
    /// `subject`
    Subject,
    /// `sequence`
    Sequence,
    /// `severity`
    Severity,
    /// `traceparent`
    Traceparent,
    /// What stands in `data` under these keys, outermost first; without keys, `data` itself.
    Data(Vec<SmolStr>),
    /// A label of the signal, in the `where` of a rule; without a name, `labels` itself, which
    /// nothing may ask for.
    Label(Option<SmolStr>),
}

impl Attribute {
    /// The names that may stand at the root of a path.
    pub(super) const ROOTS: [&str; 8] =
        ["id", "source", "type", "subject", "sequence", "severity", "traceparent", "data"];

    pub(super) fn root(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "source" => Self::Source,
            "type" => Self::Type,
            "subject" => Self::Subject,
            "sequence" => Self::Sequence,
            "severity" => Self::Severity,
            "traceparent" => Self::Traceparent,
            "data" => Self::Data(Vec::new()),
            LABELS => Self::Label(None),
            _ => return None,
        })
    }
}

/// As a condition names it.
impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id => "id",
            Self::Source => "source",
            Self::Type => "type",
            Self::Subject => "subject",
            Self::Sequence => "sequence",
            Self::Severity => "severity",
            Self::Traceparent => "traceparent",
            Self::Data(_) => "data",
            Self::Label(_) => LABELS,
        })?;
        let keys = match self {
            Self::Data(keys) => keys.as_slice(),
            Self::Label(Some(name)) => std::slice::from_ref(name),
            _ => return Ok(()),
        };
        keys.iter().try_for_each(|key| match is_field_name(key) {
            true => write!(f, ".{key}"),
            false => write!(f, "[{}]", serde_json::Value::from(key.as_str())),
        })
    }
}

/// Whether a key can stand behind a dot.
fn is_field_name(key: &str) -> bool {
    /// The words of CEL that are no names.
    const RESERVED: [&str; 21] = [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
    ];
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    key.starts_with(letter)
        && key.chars().all(|c| letter(c) || c.is_ascii_digit())
        && !RESERVED.contains(&key)
}

/// Every attribute that some condition of the rule file asks for; its index is its slot.
#[derive(Clone, Debug, Default)]
pub struct Paths(Vec<Attribute>);

impl Paths {
    /// The attributes in the order of their slots.
    pub fn as_slice(&self) -> &[Attribute] {
        &self.0
    }

    /// The slot of an attribute, which is added if it is not there.
    pub(crate) fn intern(&mut self, attribute: Attribute) -> usize {
        if let Some(slot) = self.0.iter().position(|known| *known == attribute) {
            return slot;
        }
        self.0.push(attribute);
        self.0.len() - 1
    }
}

/// A record as conditions see it. The three methods must tell one story: among equal keys of an
/// object the first counts, and a record without `data` has the empty object.
pub trait RecordView {
    /// What stands at the slot's attribute in [`Paths`]. A path which leads through anything but
    /// objects, or to a key that is not there, is [`Scalar::Missing`].
    fn slot(&self, slot: usize) -> &Scalar<'_>;

    /// The whole of `data`: computed on demand, for conditions that are not native.
    fn data(&self) -> serde_json::Value;

    /// Whether an object stands in `data` under these keys. Asked only when `has(...)` finds
    /// nothing: in an object that means `false`, elsewhere an error.
    fn is_object(&self, keys: &[SmolStr]) -> bool {
        let data = self.data();
        keys.iter().try_fold(&data, |at, key| at.get(key.as_str())).is_some_and(|v| v.is_object())
    }
}

/// A condition of the rule file, checked and compiled.
#[derive(Clone, Debug)]
pub struct Condition {
    text: SmolStr,
    span: Range<usize>,
    node: Node,
    expr: Arc<IdedExpr>,
}

impl Condition {
    /// Judges a record.
    #[inline(always)]
    pub fn eval(&self, record: &impl RecordView) -> Verdict {
        self.node.eval(record)
    }

    /// As it is written in the rule file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of the rule file it is written in.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Whether it is judged over slots alone, never by the interpreter.
    pub fn is_native(&self) -> bool {
        self.node.is_native()
    }

    /// The verdict on every record, where it is certainly the same.
    pub fn constant(&self) -> Option<Verdict> {
        self.node.constant()
    }

    /// The slots of what it asks for, but for what it asks for only where `has` has found it.
    pub fn needs(&self, paths: &Paths) -> Vec<usize> {
        let (mut slots, mut guards) = (Vec::new(), Vec::new());
        self.node.needs(&mut slots, &mut guards);
        let guarded = |slot: &usize| match &paths.as_slice()[*slot] {
            Attribute::Data(keys) => guards.iter().any(|guard| keys.starts_with(guard)),
            _ => false,
        };
        slots.retain(|slot| !guarded(slot));
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// Checks and compiles; gives remarks too. The faults' places are bytes of `text`.
    ///
    /// Must run on a thread with [`super::STACK_BYTES`]: what is nested too deeply is found only
    /// once it is parsed.
    pub(super) fn compile(
        text: &str,
        span: Range<usize>,
        sees: Sees<'_>,
        paths: &mut Paths,
    ) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        let (expr, remarks) = super::expression::parse(text, Wanted::Condition, sees)?;
        let (text, node) = (SmolStr::new(text), native::compile(expr.clone(), paths));
        let this = Self { text, span, node, expr: Arc::new(expr) };
        // That it is always the same is said of it as a whole.
        let remarks = if this.constant().is_some() { Vec::new() } else { remarks };
        Ok((this, remarks))
    }

    /// Why it could not be judged on a record, and what may help; for messages.
    pub fn why(&self, record: &impl RecordView, paths: &Paths) -> (String, String) {
        interpreted::why(&self.expr, Wanted::Condition, record, paths)
    }
}

/// What an expression is to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// True or false.
    Condition,
    /// A text or a number.
    Value,
    /// A number, or a text that is one.
    Number,
}

/// A value that is taken from a record: a path, or any other CEL.
#[derive(Clone, Debug)]
pub struct Expression {
    text: SmolStr,
    span: Range<usize>,
    term: Term,
    /// None if it was given as a field.
    expr: Option<Arc<IdedExpr>>,
}

#[derive(Clone, Debug)]
enum Term {
    Slot(usize),
    Interpreted(Arc<Interpreted>),
}

impl Expression {
    /// What it is of a record: [`Scalar::Missing`] where its path leads to nothing.
    ///
    /// # Errors
    ///
    /// [`NoValue`], if it comes to no text, number or truth.
    pub fn eval<'r>(&self, record: &'r impl RecordView) -> Result<Scalar<'r>, NoValue> {
        match &self.term {
            Term::Slot(slot) => match record.slot(*slot) {
                Scalar::Composite => Err(NoValue),
                Scalar::Str(text) => Ok(Scalar::Str(Cow::Borrowed(text))),
                value => Ok(value.clone()),
            },
            Term::Interpreted(expression) => expression.value(record).ok_or(NoValue),
        }
    }

    /// What it is of every record, where that is certainly the same.
    pub fn constant(&self) -> Option<Result<Scalar<'static>, NoValue>> {
        match &self.term {
            Term::Slot(_) => None,
            Term::Interpreted(expression) => {
                expression.constant_value().map(|value| value.ok_or(NoValue))
            }
        }
    }

    /// What it is of a record as JSON, with arrays and objects where it is a path.
    pub fn json(&self, record: &impl RecordView, paths: &Paths) -> Option<serde_json::Value> {
        let composite = || {
            let data = record.data();
            let keys = self.keys(paths)?;
            keys.iter().try_fold(&data, |at, key| at.get(key.as_str())).cloned()
        };
        match self.eval(record) {
            Ok(Scalar::Str(text)) => Some(text.into()),
            Ok(Scalar::Bool(value)) => Some(value.into()),
            Ok(Scalar::Int(number)) => Some(number.into()),
            Ok(Scalar::UInt(number)) => Some(number.into()),
            Ok(Scalar::Float(number)) => Some(number.into()),
            Ok(Scalar::Missing | Scalar::Null) => None,
            Ok(Scalar::Composite) | Err(NoValue) => composite(),
        }
    }

    /// The keys of `data` under which it stands, if it is a path.
    pub fn keys<'p>(&self, paths: &'p Paths) -> Option<&'p [SmolStr]> {
        match &paths.as_slice()[self.slot()?] {
            Attribute::Data(keys) => Some(keys),
            _ => None,
        }
    }

    /// As it is written in the rule file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of the rule file it is written in.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Its slot, if it is a path.
    pub(crate) fn slot(&self) -> Option<usize> {
        match self.term {
            Term::Slot(slot) => Some(slot),
            Term::Interpreted(_) => None,
        }
    }

    /// The slots of what it asks for, if it surely does.
    pub fn needs(&self) -> Vec<usize> {
        match &self.term {
            Term::Slot(slot) => vec![*slot],
            Term::Interpreted(expression) => expression.needs().collect(),
        }
    }

    /// Why it came to nothing of use on a record, and what may help; for messages.
    pub fn why(&self, record: &impl RecordView, paths: &Paths) -> (String, String) {
        match (&self.expr, self.eval(record)) {
            (_, Ok(value)) => {
                let text = value.text().unwrap_or_default();
                (format!("{text:?} is no number"), "take what is a number".to_owned())
            }
            (Some(expr), Err(_)) => interpreted::why(expr, Wanted::Value, record, paths),
            (None, Err(_)) => interpreted::of_kind("a list or an object", Wanted::Value),
        }
    }

    /// Checks and compiles, as [`Condition::compile`].
    pub(super) fn compile(
        text: &str,
        span: Range<usize>,
        wanted: Wanted,
        sees: Sees<'_>,
        paths: &mut Paths,
    ) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        let (expr, remarks) = super::expression::parse(text, wanted, sees)?;
        let term = match attribute(&expr, &Scope::new()) {
            Some(attribute) => Term::Slot(paths.intern(attribute)),
            None => Term::Interpreted(Arc::new(Interpreted::new(expr.clone(), paths))),
        };
        let (text, expr) = (SmolStr::new(text), Some(Arc::new(expr)));
        Ok((Self { text, span, term, expr }, remarks))
    }

    /// What stands in `data` under these keys.
    pub(super) fn field(keys: &[SmolStr], span: Range<usize>, paths: &mut Paths) -> Self {
        let attribute = Attribute::Data(keys.to_vec());
        let text = SmolStr::new(attribute.to_string());
        Self { text, span, term: Term::Slot(paths.intern(attribute)), expr: None }
    }
}

/// An expression came to an array, an object, or an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoValue;

/// Something wrong in a text of the rule file, as a condition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Bytes of the text.
    pub(crate) place: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: String,
}

/// The names bound by the comprehensions around an expression.
pub(super) type Scope = Vec<String>;

/// The attribute that an expression names, if it is a path: `data.a["b"].c`. Names in scope are
/// not attributes.
pub(super) fn attribute(expr: &IdedExpr, scope: &Scope) -> Option<Attribute> {
    use cel::common::ast::LiteralValue;
    let below = |operand: &IdedExpr, key: &str| match attribute(operand, scope)? {
        Attribute::Data(mut keys) => {
            keys.push(SmolStr::new(key));
            Some(Attribute::Data(keys))
        }
        Attribute::Label(None) => Some(Attribute::Label(Some(SmolStr::new(key)))),
        _ => None,
    };
    match &expr.expr {
        Expr::Ident(name) if !scope.contains(name) => Attribute::root(name),
        Expr::Select(select) if !select.test => below(&select.operand, &select.field),
        Expr::Call(call) if call.func_name == cel::common::ast::operators::INDEX => {
            match call.args.as_slice() {
                [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(key)), .. }] => {
                    below(operand, key.inner())
                }
                _ => None,
            }
        }
        _ => None,
    }
}
