//! What is surely unwanted in an expression: what fails on every record, or never holds, because
//! of the kinds of its values. These are known of literals, of attributes, of the labels, and of
//! the fields of records without depth, which are texts.

use std::ops::Range;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

use super::condition::{Attribute, Fault, Scope, Wanted, attribute};
use super::diagnostics::suggestion;
use super::expression;
use super::known::Known;

/// The remarks about a checked expression.
pub(super) fn remarks(
    expr: &IdedExpr,
    wanted: Wanted,
    known: &Known,
    (text, source): (&str, &SourceInfo),
) -> Vec<Fault> {
    let (scope, kinds, remarks) = (Scope::new(), Vec::new(), Vec::new());
    let mut look = Look { text, source, known, scope, kinds, remarks };
    let kind = look.kind(expr);
    look.result(expr, kind, wanted);
    look.remarks
}

/// What values are, as far as it matters to operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Not known.
    Any,
    Null,
    Truth,
    Number,
    Text,
    Bytes,
    List,
    Map,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Null => "null",
            Self::Truth => "true or false",
            Self::Number => "a number",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::List => "a list",
            Self::Map => "an object",
        }
    }

    /// Whether it may be one of these.
    fn may_be(self, kinds: &[Self]) -> bool {
        self == Self::Any || kinds.contains(&self)
    }
}

const FAILS: &str = "this fails on every record";

struct Look<'l> {
    text: &'l str,
    source: &'l SourceInfo,
    known: &'l Known,
    /// The names that are bound, and what they are.
    scope: Scope,
    kinds: Vec<Kind>,
    remarks: Vec<Fault>,
}

impl Look<'_> {
    fn remark(&mut self, at: &IdedExpr, message: String, help: impl Into<String>) {
        let place = self.place(at);
        self.remarks.push(Fault { place, message, help: help.into() });
    }

    /// The bytes of a path, or else those of the word or mark that makes the expression.
    fn place(&self, expr: &IdedExpr) -> Range<usize> {
        let place = |expr| expression::place(self.text, self.source, expr);
        let own = place(expr);
        let end = match &expr.expr {
            _ if attribute(expr, &self.scope).is_none() => return own,
            Expr::Select(select) => {
                let field = self.text[own.end..].find(&select.field);
                field.map_or(own.end, |field| own.end + field + select.field.len())
            }
            Expr::Call(call) => call.args.last().map_or(own.end, |key| place(key).end + 1),
            _ => own.end,
        };
        let mut root = expr;
        loop {
            root = match &root.expr {
                Expr::Select(select) => &select.operand,
                Expr::Call(call) => &call.args[0],
                _ => break,
            };
        }
        let start = place(root).start;
        start..end.clamp(start, self.text.len())
    }

    /// What to call an operand: as it is written, if it is short.
    fn called(&self, expr: &IdedExpr) -> String {
        match (attribute(expr, &self.scope), &expr.expr) {
            (Some(attribute), _) => format!("`{attribute}`"),
            (None, Expr::Literal(_)) => {
                format!("`{}`", &self.text[expression::place(self.text, self.source, expr)])
            }
            _ => "this".to_owned(),
        }
    }

    /// Says that an operand is of no use.
    fn wrong(&mut self, expr: &IdedExpr, kind: Kind, wanted: &str, help: impl Into<String>) {
        let called = self.called(expr);
        let message = format!("{called} is {}, and not {wanted}: {FAILS}", kind.name());
        self.remark(expr, message, help);
    }

    /// How to make a number of a text.
    fn number_of(&self, expr: &IdedExpr) -> Option<String> {
        let attribute = attribute(expr, &self.scope)?;
        Some(format!("write int({attribute}) to make a number of it"))
    }

    fn help(&self, [left, right]: [(&IdedExpr, Kind); 2]) -> String {
        let help = match (left.1, right.1) {
            (Kind::Text, Kind::Number) => self.number_of(left.0),
            (Kind::Number, Kind::Text) => self.number_of(right.0),
            (Kind::Text, Kind::Truth) | (Kind::Truth, Kind::Text) => {
                Some("write \"true\" and \"false\", as text".to_owned())
            }
            _ => None,
        };
        help.unwrap_or_else(|| "both sides must be of one kind".to_owned())
    }

    fn result(&mut self, expr: &IdedExpr, kind: Kind, wanted: Wanted) {
        let reading = "write what the reading is, as data.ms";
        match wanted {
            Wanted::Condition if !kind.may_be(&[Kind::Truth]) => self.truth(expr, kind),
            Wanted::Value if !kind.may_be(&[Kind::Truth, Kind::Number, Kind::Text]) => {
                let help = "take one of what is in it, as data.x[0]";
                self.wrong(expr, kind, "text or a number", help);
            }
            Wanted::Number if !kind.may_be(&[Kind::Number, Kind::Text]) => {
                self.wrong(expr, kind, "a number", reading);
            }
            Wanted::Number => {
                if let Expr::Literal(LiteralValue::String(text)) = &expr.expr
                    && text.inner().trim().parse::<f64>().is_err()
                {
                    self.wrong(expr, kind, "a number", reading);
                }
            }
            _ => {}
        }
    }

    /// Says that something is not true or false.
    fn truth(&mut self, expr: &IdedExpr, kind: Kind) {
        let help = match attribute(expr, &self.scope) {
            Some(attribute) => format!("compare it with something: {attribute} == \"true\""),
            None => "compare it with something: data.x == 1".to_owned(),
        };
        self.wrong(expr, kind, "true or false", help);
    }

    /// What an expression comes to.
    fn kind(&mut self, expr: &IdedExpr) -> Kind {
        if let Some(attribute) = attribute(expr, &self.scope) {
            return self.attribute(expr, &attribute);
        }
        match &expr.expr {
            Expr::Literal(_) => literal_kind(expr),
            Expr::Ident(name) => {
                let bound = self.scope.iter().rposition(|bound| bound == name);
                bound.map_or(Kind::Any, |bound| self.kinds[bound])
            }
            Expr::Select(select) => {
                let kind = self.kind(&select.operand);
                if !kind.may_be(&[Kind::Map]) {
                    self.wrong(&select.operand, kind, "an object with fields", "ask for it itself");
                }
                if select.test { Kind::Truth } else { Kind::Any }
            }
            Expr::List(list) => {
                list.elements.iter().for_each(|element| {
                    self.kind(element);
                });
                Kind::List
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.kind(&entry.key);
                        self.kind(&entry.value);
                    }
                }
                Kind::Map
            }
            Expr::Comprehension(loops) => {
                let range = self.kind(&loops.iter_range);
                if !range.may_be(&[Kind::List, Kind::Map]) {
                    self.wrong(
                        &loops.iter_range,
                        range,
                        "a list or an object",
                        "ask for it itself",
                    );
                }
                let accumulated = self.kind(&loops.accu_init);
                self.scope.extend([loops.iter_var.clone(), loops.accu_var.clone()]);
                self.kinds.extend([Kind::Any, accumulated]);
                self.kind(&loops.loop_cond);
                self.kind(&loops.loop_step);
                let result = self.kind(&loops.result);
                self.scope.truncate(self.scope.len() - 2);
                self.kinds.truncate(self.kinds.len() - 2);
                result
            }
            Expr::Call(call) => self.call(expr, call),
            Expr::Struct(_) | Expr::Unspecified => Kind::Any,
        }
    }

    fn attribute(&mut self, expr: &IdedExpr, attribute: &Attribute) -> Kind {
        if self.known.lacks(attribute) {
            let message = format!("no record has `{attribute}`: {FAILS}");
            let help = match attribute {
                Attribute::Sequence => {
                    "the source must say where it stands: sequence: { field: n }"
                }
                _ => "CloudEvents alone have it; other fields of a record are in data",
            };
            self.remark(expr, message, help);
            return Kind::Any;
        }
        match attribute {
            Attribute::Data(keys) if keys.is_empty() || !self.known.is_flat() => Kind::Any,
            _ => Kind::Text,
        }
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Kind {
        let all: Vec<&IdedExpr> = call.target.iter().map(|t| &**t).chain(&call.args).collect();
        let kinds: Vec<Kind> = all.iter().map(|operand| self.kind(operand)).collect();
        let operands: Vec<_> = all.into_iter().zip(kinds).collect();
        let only = |look: &mut Self, kinds: &[Kind], wanted: &str, help: &str| {
            for (operand, kind) in &operands {
                if !kind.may_be(kinds) {
                    look.wrong(operand, *kind, wanted, help);
                }
            }
        };
        use operators as op;
        match (call.func_name.as_str(), operands.as_slice()) {
            (op::LOGICAL_AND | op::LOGICAL_OR | op::LOGICAL_NOT, operands) => {
                for (operand, kind) in operands {
                    if !kind.may_be(&[Kind::Truth]) {
                        self.truth(operand, *kind);
                    }
                }
                Kind::Truth
            }
            (name @ (op::EQUALS | op::NOT_EQUALS), &[left, right]) => {
                if !self.differ(expr, left, right) && name == op::EQUALS {
                    self.never(expr, left.0, &[right.0]);
                    self.never(expr, right.0, &[left.0]);
                }
                Kind::Truth
            }
            (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, &[left, right]) => {
                if left.1 != right.1 && left.1 != Kind::Any && right.1 != Kind::Any {
                    let [a, b] = [left, right].map(|(operand, _)| self.called(operand));
                    let message = format!(
                        "{a} is {} and {b} {}, which have no order: {FAILS}",
                        left.1.name(),
                        right.1.name()
                    );
                    let help = self.help([left, right]);
                    self.remark(expr, message, help);
                }
                Kind::Truth
            }
            (op::IN, &[left, right]) => {
                match &right.0.expr {
                    Expr::List(list) => {
                        let elements: Vec<&IdedExpr> = list.elements.iter().collect();
                        let kinds: Vec<_> = elements.iter().map(|e| literal_kind(e)).collect();
                        let other = kinds.iter().find(|kind| **kind != left.1).copied();
                        if let Some(other) = other
                            && left.1 != Kind::Any
                            && !kinds.contains(&Kind::Any)
                            && !kinds.contains(&left.1)
                        {
                            let (called, kind) = (self.called(left.0), left.1.name());
                            let message = format!(
                                "{called} is {kind}, and never {} of the list",
                                other.name()
                            );
                            let help = self.help([left, (right.0, other)]);
                            self.remark(expr, message, help);
                        } else {
                            self.never(expr, left.0, &elements);
                        }
                    }
                    _ if !right.1.may_be(&[Kind::List, Kind::Map]) => {
                        self.wrong(right.0, right.1, "a list or an object", "write in [..]");
                    }
                    _ => {}
                }
                Kind::Truth
            }
            (op::ADD, &[left, right]) => {
                let kinds = [Kind::Number, Kind::Text, Kind::List, Kind::Bytes];
                only(self, &kinds, "text or a number", "compare it with something");
                if left.1 == right.1 {
                    return left.1;
                }
                if left.1 != Kind::Any && right.1 != Kind::Any {
                    let [a, b] = [left.1.name(), right.1.name()];
                    let help = self.help([left, right]);
                    self.remark(expr, format!("{a} and {b} cannot be added: {FAILS}"), help);
                }
                Kind::Any
            }
            (op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO | op::NEGATE, operands) => {
                for (operand, kind) in operands {
                    if !kind.may_be(&[Kind::Number]) {
                        let help = self.number_of(operand);
                        let help = help.unwrap_or_else(|| "it is for numbers".to_owned());
                        self.wrong(operand, *kind, "a number", help);
                    }
                }
                Kind::Number
            }
            (op::CONDITIONAL, &[when, one, other]) => {
                if !when.1.may_be(&[Kind::Truth]) {
                    self.truth(when.0, when.1);
                }
                if one.1 == other.1 { one.1 } else { Kind::Any }
            }
            (op::INDEX, &[of, _]) => {
                if !of.1.may_be(&[Kind::List, Kind::Map]) {
                    self.wrong(of.0, of.1, "a list or an object", "ask for it itself");
                }
                Kind::Any
            }
            ("contains" | "startsWith" | "endsWith" | "matches", _) => {
                let help = "string(..) makes text of a number";
                only(self, &[Kind::Text], "text", help);
                Kind::Truth
            }
            ("size", _) => {
                let kinds = [Kind::Text, Kind::Bytes, Kind::List, Kind::Map];
                only(self, &kinds, "text, a list or an object", "it has no size");
                Kind::Number
            }
            ("int" | "uint" | "double", _) => Kind::Number,
            ("string", _) => Kind::Text,
            ("bytes", _) => Kind::Bytes,
            ("bool", _) => Kind::Truth,
            _ => Kind::Any,
        }
    }

    /// Remarks on operands that are never equal, since they are of different kinds.
    fn differ(
        &mut self,
        expr: &IdedExpr,
        left: (&IdedExpr, Kind),
        right: (&IdedExpr, Kind),
    ) -> bool {
        let differ = left.1 != right.1 && left.1 != Kind::Any && right.1 != Kind::Any;
        if differ {
            let [a, b] = [left, right].map(|(operand, _)| self.called(operand));
            let (one, other) = (left.1.name(), right.1.name());
            let message = format!("{a} is {one} and {b} {other}, which are never equal");
            let help = self.help([left, right]);
            self.remark(expr, message, help);
        }
        differ
    }

    /// Remarks on an attribute that is none of the literals in any record.
    fn never(&mut self, expr: &IdedExpr, path: &IdedExpr, literals: &[&IdedExpr]) {
        let Some(attribute) = attribute(path, &self.scope) else { return };
        let Some(consts) = self.known.consts(&attribute) else { return };
        let texts = literals.iter().map(|literal| match &literal.expr {
            Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
            _ => None,
        });
        let Some(texts) = texts.collect::<Option<Vec<_>>>() else { return };
        let known: Vec<&str> = consts.iter().map(|text| text.as_str()).collect();
        if let Some(first) = texts.first()
            && texts.iter().all(|text| !known.contains(text))
        {
            let message = format!(
                "`{attribute}` is never \"{}\": the source says so",
                texts.join("\" or \"")
            );
            let help = suggestion("value", first, &known);
            self.remark(expr, message, help);
        }
    }
}

fn literal_kind(expr: &IdedExpr) -> Kind {
    match &expr.expr {
        Expr::Literal(LiteralValue::Null) => Kind::Null,
        Expr::Literal(LiteralValue::Boolean(_)) => Kind::Truth,
        Expr::Literal(LiteralValue::String(_)) => Kind::Text,
        Expr::Literal(LiteralValue::Bytes(_)) => Kind::Bytes,
        Expr::Literal(_) => Kind::Number,
        _ => Kind::Any,
    }
}
