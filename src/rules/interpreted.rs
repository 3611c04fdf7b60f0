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

use super::condition::{Attribute, Paths, RecordView, Scope, Verdict, attribute};
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
        let asks = self.whole_data || !self.slots.is_empty();
        (!asks).then(|| self.judge(Vec::new(), None))
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
        let attributes = Attributes { slots: &self.slots, values, data };
        // A panic of the interpreter is an error of this expression on this record, no more.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::with_env(Arc::clone(&ENV));
            context.set_variable_resolver(&attributes);
            let value = Value::resolve_val(&self.expr, &context).ok()?;
            read(value.as_ref())
        }));
        result.ok().flatten()
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
