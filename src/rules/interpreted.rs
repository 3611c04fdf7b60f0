//! Conditions, or parts of them, that only the CEL interpreter can judge.
//!
//! Paths that begin at a record's attribute are answered from its slots; `data` as a whole is read
//! only when some path leads to an array, an object or nothing, or when it is asked for itself.
//! Objects have no order in the interpreter, so what lists their keys sees them sorted.

use std::borrow::Cow;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr};
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt, DYN_TYPE,
};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError, Value};

use super::condition::{Attribute, Paths, RecordView, Scope, Verdict, Wanted, attribute};
use crate::model::Scalar;

/// Gives the keys of an object in order; everything else as it is.
const SORTED: &str = "@sorted";

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::default().with_optional_support(false).with_stdlib();
    env.add_overload(SORTED, "sorted_dyn", vec![DYN_TYPE], sorted)
        .expect("no function of the library has this name");
    Arc::new(env)
});

fn sorted<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = args.pop().ok_or(ExecutionError::MissingArgumentOrTarget)?;
    let Some(map) = value.downcast_ref::<CelMap<'_>>() else { return Ok(value) };
    let mut keys: Vec<&CelMapKey<'_>> = map.inner().keys().collect();
    keys.sort_by_cached_key(|key| format!("{key:?}"));
    let keys: Vec<Box<dyn Val + 'v>> =
        keys.iter().map(|key| key.inner().clone_as_boxed()).collect();
    Ok(CowVal::owned(CelList::from(keys)))
}

/// An expression and what it asks of a record.
#[derive(Debug, Default)]
pub(super) struct Interpreted {
    expr: IdedExpr,
    /// The name under which the interpreter asks for each path.
    slots: Vec<(String, usize)>,
    /// Whether it asks for `data` other than by the paths above.
    whole_data: bool,
    /// Whether some of the paths lead into `data`.
    in_data: bool,
    /// Whether `has` is among it, for whatever.
    has: bool,
}

impl Interpreted {
    pub(super) fn new(mut expr: IdedExpr, paths: &mut Paths) -> Self {
        let mut new = Self::default();
        new.prepare(&mut expr, &mut Scope::new(), paths);
        new.expr = expr;
        new
    }

    /// Interns the paths, renames the attribute `type` (a type of CEL has that name), and sorts
    /// what is looped over.
    fn prepare(&mut self, expr: &mut IdedExpr, scope: &mut Scope, paths: &mut Paths) {
        if let Some(name) = dotted(expr, scope)
            && let Some(attribute) = attribute(expr, scope)
        {
            self.path(expr, name, attribute, paths);
            return;
        }
        match &mut expr.expr {
            Expr::Select(select) => {
                self.has |= select.test;
                self.prepare(&mut select.operand, scope, paths);
            }
            Expr::Call(call) => {
                for part in call.target.iter_mut().map(|t| &mut **t).chain(&mut call.args) {
                    self.prepare(part, scope, paths);
                }
            }
            Expr::List(list) => {
                list.elements.iter_mut().for_each(|e| self.prepare(e, scope, paths));
            }
            Expr::Map(map) => {
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        self.prepare(&mut entry.key, scope, paths);
                        self.prepare(&mut entry.value, scope, paths);
                    }
                }
            }
            Expr::Comprehension(loops) => {
                self.prepare(&mut loops.iter_range, scope, paths);
                let range = std::mem::take(&mut loops.iter_range);
                let call =
                    CallExpr { func_name: SORTED.to_owned(), target: None, args: vec![range] };
                loops.iter_range.expr = Expr::Call(call);
                self.prepare(&mut loops.accu_init, scope, paths);
                let outer = scope.len();
                scope.extend([loops.iter_var.clone(), loops.accu_var.clone()]);
                self.prepare(&mut loops.loop_cond, scope, paths);
                self.prepare(&mut loops.loop_step, scope, paths);
                self.prepare(&mut loops.result, scope, paths);
                scope.truncate(outer);
            }
            Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
        }
    }

    fn path(
        &mut self,
        expr: &mut IdedExpr,
        mut name: String,
        attribute: Attribute,
        paths: &mut Paths,
    ) {
        match &attribute {
            Attribute::Data(keys) if keys.is_empty() => {
                self.whole_data = true;
                return;
            }
            Attribute::Data(_) => self.in_data = true,
            Attribute::Type => {
                name = "@type".to_owned();
                expr.expr = Expr::Ident(name.clone());
            }
            _ => {}
        }
        if !self.slots.iter().any(|(known, _)| *known == name) {
            self.slots.push((name, paths.intern(attribute)));
        }
    }

    /// The slots it looks at, if it surely does.
    pub(super) fn needs(&self) -> impl Iterator<Item = usize> {
        self.slots.iter().filter(|_| !self.has).map(|(_, slot)| *slot)
    }

    /// The verdict on every record, of what asks nothing of a record.
    pub(super) fn constant(&self) -> Option<Verdict> {
        (!self.asks()).then(|| self.judge(Vec::new(), None))
    }

    /// What it comes to, as [`value`](Self::value), of what asks nothing of a record.
    pub(super) fn constant_value(&self) -> Option<Option<Scalar<'static>>> {
        (!self.asks()).then(|| self.resolve(Vec::new(), None, scalar))
    }

    fn asks(&self) -> bool {
        self.whole_data || !self.slots.is_empty()
    }

    pub(super) fn eval(&self, record: &impl RecordView) -> Verdict {
        let (values, data) = self.attributes(record);
        self.judge(values, data)
    }

    /// What it comes to, if that is a text, a number, true, false or null.
    pub(super) fn value<'v>(&self, record: &impl RecordView) -> Option<Scalar<'v>> {
        let (values, data) = self.attributes(record);
        self.resolve(values, data, scalar)
    }

    /// What it asks for.
    fn attributes<'r>(
        &self,
        record: &'r impl RecordView,
    ) -> (Vec<&'r Scalar<'r>>, Option<Box<dyn Val>>) {
        let values: Vec<_> = self.slots.iter().map(|(_, slot)| record.slot(*slot)).collect();
        let unknown = |value: &&Scalar<'_>| matches!(value, Scalar::Missing | Scalar::Composite);
        let needs_data = self.whole_data || (self.in_data && values.iter().any(unknown));
        let data = needs_data.then(|| from_json(&record.data()));
        (values, data)
    }

    fn judge<'r>(&'r self, values: Vec<&'r Scalar<'r>>, data: Option<Box<dyn Val>>) -> Verdict {
        let truth = |value: &dyn Val| value.downcast_ref::<CelBool>().map(|value| *value.inner());
        self.resolve(values, data, truth).map_or(Verdict::Error, Verdict::from)
    }

    fn resolve<'r, T>(
        &'r self,
        values: Vec<&'r Scalar<'r>>,
        data: Option<Box<dyn Val>>,
        read: impl FnOnce(&dyn Val) -> Option<T>,
    ) -> Option<T> {
        self.run(values, data, |value| value.ok().and_then(read))
    }

    fn run<'r, T>(
        &'r self,
        values: Vec<&'r Scalar<'r>>,
        data: Option<Box<dyn Val>>,
        read: impl FnOnce(Result<&dyn Val, ExecutionError>) -> Option<T>,
    ) -> Option<T> {
        let attributes = Attributes { slots: &self.slots, values, data };
        // A panic of the interpreter is an error of this expression on this record, no more.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::with_env(Arc::clone(&ENV));
            context.set_variable_resolver(&attributes);
            match Value::resolve_val(&self.expr, &context) {
                Ok(value) => read(Ok(value.as_ref())),
                Err(error) => read(Err(error)),
            }
        }));
        result.ok().flatten()
    }
}

/// Why an expression comes to nothing of use on a record, and what may help. The whole of it is
/// judged again here, whoever else judges it.
pub(super) fn why(
    expr: &IdedExpr,
    wanted: Wanted,
    record: &impl RecordView,
    paths: &Paths,
) -> (String, String) {
    static MISSING: Scalar<'static> = Scalar::Missing;
    let mut more = paths.clone();
    let this = Interpreted::new(expr.clone(), &mut more);
    // What nobody else asks for by its path stands in the data.
    let known = |slot: &usize| *slot < paths.as_slice().len();
    let value = |slot: &usize| if known(slot) { record.slot(*slot) } else { &MISSING };
    let values = this.slots.iter().map(|(_, slot)| value(slot)).collect();
    let data = Some(from_json(&record.data()));
    let found = this.run(values, data, |value| {
        Some(match value {
            Ok(value) => of_kind(name_of(value.get_type().name()), wanted),
            Err(error) => in_words(&error),
        })
    });
    found
        .unwrap_or_else(|| ("it cannot be judged".to_owned(), "write it in another way".to_owned()))
}

/// What to say of a result that is of no use.
pub(super) fn of_kind(kind: &str, wanted: Wanted) -> (String, String) {
    let (what, help) = match wanted {
        Wanted::Condition => ("neither true nor false", "compare it with something: data.x == 1"),
        _ => ("neither text nor a number", "take one of what is in it, as data.x[0]"),
    };
    (format!("it comes to {kind}, {what}"), help.to_owned())
}

fn in_words(error: &ExecutionError) -> (String, String) {
    let there = |name: &str| {
        let help = format!("ask first whether it is there: has(data.{name}) && ...");
        (format!("the record has no `{name}`"), help)
    };
    match error {
        ExecutionError::NoSuchKey(name) => there(name),
        ExecutionError::UndeclaredReference(name) => {
            there(name.trim_start_matches('@').trim_start_matches("data."))
        }
        ExecutionError::NoSuchOverload(overload) => {
            let types = overload.argument_types().iter().map(String::as_str);
            no_meaning(overload.function().trim_matches(['_', '@', '[', ']']), types)
        }
        ExecutionError::UnsupportedBinaryOperator(name, left, right) => {
            let symbols = [("add", "+"), ("sub", "-"), ("mul", "*"), ("div", "/"), ("rem", "%")];
            let symbol = symbols.iter().find(|(known, _)| known == name);
            let types = [left, right].map(|value| value.type_of().to_string());
            no_meaning(symbol.map_or(*name, |(_, symbol)| symbol), types.iter().map(String::as_str))
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            ("it divides by zero".to_owned(), "ask first: data.x != 0 && ...".to_owned())
        }
        ExecutionError::Overflow(..) => {
            let help = "double(..) has room for more".to_owned();
            ("a number is too large for 64 bits".to_owned(), help)
        }
        other => {
            let text = other.to_string();
            let line: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
            (line, "guard it, as with size(data.x) > 0 && ...".to_owned())
        }
    }
}

fn no_meaning<'t>(name: &str, types: impl Iterator<Item = &'t str>) -> (String, String) {
    let types: Vec<_> = types.map(name_of).collect();
    let help = match types.contains(&"text") && types.contains(&"a number") {
        true => "int(..) makes a number of a text, and string(..) the other way",
        false => "type(..) == string, and the like, asks what it is",
    };
    (format!("`{name}` means nothing for {}", types.join(" and ")), help.to_owned())
}

/// A type of the interpreter, for people.
fn name_of(name: &str) -> &str {
    match name {
        "int" | "uint" | "double" | "float" => "a number",
        "string" => "text",
        "bool" => "true or false",
        "null_type" | "null" => "null",
        "list" => "a list",
        "map" => "an object",
        other => other,
    }
}

/// A value of the interpreter as that of a record.
fn scalar<'v>(value: &dyn Val) -> Option<Scalar<'v>> {
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Some(Scalar::Str(Cow::Owned(text.inner().to_owned())));
    }
    if let Some(number) = value.downcast_ref::<CelInt>() {
        return Some(Scalar::Int(*number.inner()));
    }
    if let Some(number) = value.downcast_ref::<CelUInt>() {
        return Some(Scalar::UInt(*number.inner()));
    }
    if let Some(number) = value.downcast_ref::<CelDouble>() {
        return Some(Scalar::Float(*number.inner()));
    }
    if let Some(truth) = value.downcast_ref::<CelBool>() {
        return Some(Scalar::Bool(*truth.inner()));
    }
    value.downcast_ref::<CelNull>().map(|_| Scalar::Null)
}

/// `a.b.c`, if the expression is an identifier with fields and its root is not bound.
fn dotted(expr: &IdedExpr, scope: &Scope) -> Option<String> {
    match &expr.expr {
        Expr::Ident(name) => (!scope.contains(name)).then(|| name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", dotted(&select.operand, scope)?, select.field))
        }
        _ => None,
    }
}

/// What the interpreter asks for by name.
struct Attributes<'r> {
    slots: &'r [(String, usize)],
    values: Vec<&'r Scalar<'r>>,
    data: Option<Box<dyn Val>>,
}

impl VariableResolver for Attributes<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        if name == "data" {
            return self.data.as_ref().map(|data| CowVal::Borrowed(data.as_ref()));
        }
        let index = self.slots.iter().position(|(known, _)| known == name)?;
        match self.values[index] {
            Scalar::Missing | Scalar::Composite => None,
            Scalar::Null => Some(CowVal::owned(CelNull)),
            Scalar::Bool(value) => Some(CowVal::owned(CelBool::from(*value))),
            Scalar::Int(value) => Some(CowVal::owned(CelInt::from(*value))),
            Scalar::UInt(value) => Some(CowVal::owned(CelUInt::from(*value))),
            Scalar::Float(value) => Some(CowVal::owned(CelDouble::from(*value))),
            Scalar::Str(value) => Some(CowVal::owned(CelString::from(value.as_ref()))),
        }
    }
}

/// JSON as the interpreter sees it: numbers are `int` where that holds them, else `uint`, else
/// `double`, as in [`Scalar`].
pub(super) fn from_json(value: &serde_json::Value) -> Box<dyn Val> {
    use serde_json::Value as Json;
    match value {
        Json::Null => Box::new(CelNull),
        Json::Bool(value) => Box::new(CelBool::from(*value)),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Box::new(CelInt::from(value)),
            (None, Some(value)) => Box::new(CelUInt::from(value)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Json::String(text) => Box::new(CelString::from(text.clone())),
        Json::Array(items) => {
            Box::new(CelList::from(items.iter().map(from_json).collect::<Vec<_>>()))
        }
        Json::Object(entries) => {
            let entries: HashMap<CelMapKey<'_>, Box<dyn Val>> = entries
                .iter()
                .map(|(key, value)| (CelMapKey::from(key.clone()), from_json(value)))
                .collect();
            Box::new(CelMap::from(entries))
        }
    }
}
