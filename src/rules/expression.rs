//! From the text of a condition to a checked CEL expression: it parses, is not nested too deeply,
//! names only what a record has, calls only functions that exist, and can be true or false.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo};
use cel::parser::{ParseError, Parser};

use super::condition::{Attribute, Fault, LABELS, Scope, Wanted, attribute};
use super::diagnostics::suggestion;
use super::known::Known;
use super::remarks::remarks;
use super::template::unknown_label;

const BYTES_MAX: usize = 8 << 10;
/// Keeps the interpreter's recursion small against a worker's stack.
pub(super) const DEPTH_MAX: usize = 64;

/// The functions of the interpreter's standard library, and the macros.
const FUNCTIONS: [&str; 19] = [
    "all",
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "exists",
    "exists_one",
    "filter",
    "has",
    "int",
    "map",
    "matches",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
];

/// The names of types, to compare with `type(...)`. The attribute `type` hides the type `type`.
const TYPES: [&str; 9] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint"];

const SYNTAX: &str = "conditions are CEL: ==, !=, <, <=, in [..], &&, ||, !, has(data.x), \
                      data.x.contains(\"y\")";

/// The labels that an expression may ask for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Labels<'l> {
    /// None: it is judged before there are any.
    Never,
    /// Those of a signal; any, where it is not known which signal that is.
    Of(Option<&'l [&'l str]>),
}

/// What an expression sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sees<'s> {
    /// What is known of the records.
    pub(super) known: &'s Known,
    /// The labels.
    pub(super) labels: Labels<'s>,
}

/// Parses and checks an expression; gives it with remarks on what is surely unwanted.
pub(super) fn parse(
    text: &str,
    wanted: Wanted,
    sees: Sees<'_>,
) -> Result<(IdedExpr, Vec<Fault>), Vec<Fault>> {
    let (expr, source) = syntax(text)?;
    let mut check = Check { text, source: &source, sees, scope: Vec::new(), faults: Vec::new() };
    if wanted == Wanted::Condition {
        check.result(&expr);
    }
    check.expr(&expr, 0);
    if !check.faults.is_empty() {
        return Err(check.faults);
    }
    let remarks = remarks(&expr, wanted, sees.known, (text, &source));
    Ok((expr, remarks))
}

/// Parses an expression.
pub(super) fn syntax(text: &str) -> Result<(IdedExpr, SourceInfo), Vec<Fault>> {
    let whole = |message: String, help: &str| {
        vec![Fault { place: 0..text.len(), message, help: help.to_owned() }]
    };
    if text.trim().is_empty() {
        return Err(whole("the condition is empty".to_owned(), SYNTAX));
    }
    if text.len() > BYTES_MAX {
        let message = format!("a condition has at most {BYTES_MAX} bytes, not {}", text.len());
        return Err(whole(message, "split it, or shorten its lists"));
    }
    let parsed = catch_unwind(AssertUnwindSafe(|| Parser::new().parse_with_source_info(text)));
    match parsed {
        Ok(Ok(parsed)) => Ok(parsed),
        Ok(Err(errors)) => {
            // What follows the first is mostly its consequence.
            let syntax = |error: &&ParseError| error.msg.starts_with("Syntax error");
            let first = errors.errors.iter().find(syntax).or(errors.errors.first());
            Err(first.map(|error| syntax_fault(text, error)).into_iter().collect())
        }
        Err(_) => Err(whole("the condition cannot be read".to_owned(), SYNTAX)),
    }
}

/// What people write who come from another language, and what it is in CEL.
const HABITS: [(&str, &str); 5] = [
    ("has() macro", "has asks for a field: has(data.x)"),
    ("input 'and'", "write && for `and`"),
    ("input 'or'", "write || for `or`"),
    ("error at: '= '", "write == to compare"),
    ("error at: '&'", "write && for both"),
];

fn syntax_fault(text: &str, error: &ParseError) -> Fault {
    let message = error.msg.trim_start_matches("Syntax error: ");
    let (message, help) = if message.starts_with("unsupported syntax '.?'")
        || message.starts_with("unsupported syntax '[?'")
    {
        ("optional values are not supported".to_owned(), "use has(data.x) && data.x == 1")
    } else if message == "UNKNOWN" {
        ("the condition is nested too deeply".to_owned(), "split it")
    } else {
        let short = message.split(" expecting ").next().unwrap_or(message);
        let habit = HABITS.iter().find(|(found, _)| message.contains(found));
        let help = habit.map_or(SYNTAX, |(_, help)| help);
        (format!("not a valid condition: {}", short.replace('\n', " ")), help)
    };
    let place = match error.pos {
        (line @ 1.., column @ 1..) => at_position(text, line as usize, column as usize),
        _ => 0..text.len(),
    };
    Fault { place, message, help: help.to_owned() }
}

/// The bytes of the word or mark at a line and column, both counted from 1.
fn at_position(text: &str, line: usize, column: usize) -> Range<usize> {
    let line_start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = &text[line_start..];
    let start = rest.char_indices().nth(column - 1).map_or(text.len(), |(i, _)| line_start + i);
    let rest = &text[start..];
    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let mark = rest.chars().next().map_or(0, char::len_utf8);
    start..start + word.max(mark)
}

struct Check<'a> {
    text: &'a str,
    source: &'a SourceInfo,
    sees: Sees<'a>,
    scope: Scope,
    faults: Vec<Fault>,
}

impl Check<'_> {
    fn fault(&mut self, expr: &IdedExpr, message: String, help: String) {
        let place = self.place(expr);
        self.faults.push(Fault { place, message, help });
    }

    fn place(&self, expr: &IdedExpr) -> Range<usize> {
        place(self.text, self.source, expr)
    }

    /// Refuses what no record has in `data`; says if it did.
    fn lacks(&mut self, expr: &IdedExpr) -> bool {
        if !self.sees.known.is_flat() {
            return false;
        }
        let keys = match &expr.expr {
            Expr::Select(select) if select.test => match attribute(&select.operand, &self.scope) {
                Some(Attribute::Data(keys)) => [keys, vec![select.field.as_str().into()]].concat(),
                _ => return false,
            },
            _ => match attribute(expr, &self.scope) {
                Some(Attribute::Data(keys)) => keys,
                _ => return false,
            },
        };
        let quoted = |name: &str| format!("data[{}]", serde_json::Value::from(name));
        let Some((message, help)) = self.sees.known.fault(&keys, quoted) else { return false };
        let mut place = self.place(expr);
        if let Some(key) = keys.first()
            && let Some(at) = self.text[place.start..].find(key.as_str())
        {
            place = place.start + at..place.start + at + key.len();
        }
        self.faults.push(Fault { place, message, help });
        true
    }

    fn unknown_function(&mut self, expr: &IdedExpr, name: &str) {
        // A call is placed at its parenthesis; the name stands before it.
        let place = self.place(expr);
        let before = self.text.get(..place.start).unwrap_or_default().trim_end();
        let place = match before.strip_suffix(name) {
            Some(rest) => rest.len()..before.len(),
            None => place,
        };
        let message = format!("unknown function `{name}`");
        let help = suggestion("function", name, &FUNCTIONS);
        self.faults.push(Fault { place, message, help });
    }

    /// A pattern that is written out must be one.
    fn pattern(&mut self, expr: &IdedExpr) {
        if let Expr::Literal(LiteralValue::String(pattern)) = &expr.expr
            && let Err(error) = regex::Regex::new(pattern.inner())
        {
            let error = error.to_string();
            let what = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let help = "the syntax is that of the crate regex, as r\"^web-\\d+$\"";
            self.fault(expr, format!("not a valid pattern: {what}"), help.to_owned());
        }
    }

    /// Refuses what can never be true or false.
    fn result(&mut self, expr: &IdedExpr) {
        let never = match &expr.expr {
            Expr::Literal(literal) => !matches!(literal, LiteralValue::Boolean(_)),
            Expr::Ident(name) => name != LABELS && Attribute::root(name).is_some(),
            Expr::List(_) | Expr::Map(_) | Expr::Struct(_) => true,
            _ => false,
        };
        if never {
            let message = "the condition is never true or false".to_owned();
            self.fault(expr, message, "compare it with something: data.x == 1".to_owned());
        }
    }

    fn expr(&mut self, expr: &IdedExpr, depth: usize) {
        if depth > DEPTH_MAX {
            if !self.faults.iter().any(|fault| fault.message.contains("nested deeper")) {
                let message = format!("nested deeper than {DEPTH_MAX} levels");
                self.fault(expr, message, "split the condition".to_owned());
            }
            return;
        }
        if self.lacks(expr) {
            return;
        }
        match &expr.expr {
            Expr::Ident(name) => self.name(expr, name),
            Expr::Select(select) => {
                if let Expr::Ident(name) = &select.operand.expr
                    && name == LABELS
                    && !self.scope.contains(name)
                    && let Labels::Of(labels) = self.sees.labels
                {
                    self.label(expr, &select.field, labels, select.test);
                } else if let Expr::Ident(name) = &select.operand.expr
                    && !self.scope.contains(name)
                    && !matches!(
                        Attribute::root(name),
                        None | Some(Attribute::Data(_) | Attribute::Label(_))
                    )
                {
                    let message = format!("`{name}` is text and has no field `{}`", select.field);
                    let help = format!("fields are in data: data.{}", select.field);
                    self.fault(expr, message, help);
                } else {
                    self.expr(&select.operand, depth + 1);
                }
            }
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                let operator = name.starts_with(['_', '@', '!', '-']);
                if !operator && !FUNCTIONS.contains(&name) {
                    self.unknown_function(expr, name);
                }
                if name == "matches" {
                    call.args.last().iter().for_each(|pattern| self.pattern(pattern));
                }
                call.target.iter().for_each(|target| self.expr(target, depth + 1));
                call.args.iter().for_each(|arg| self.expr(arg, depth + 1));
            }
            Expr::List(list) => list.elements.iter().for_each(|e| self.expr(e, depth + 1)),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.expr(&entry.key, depth + 1);
                        self.expr(&entry.value, depth + 1);
                    }
                }
            }
            Expr::Struct(strct) => {
                let message = format!("unknown type `{}`", strct.type_name);
                self.fault(expr, message, SYNTAX.to_owned());
            }
            Expr::Comprehension(loops) => {
                self.expr(&loops.iter_range, depth + 1);
                self.expr(&loops.accu_init, depth + 1);
                let outer = self.scope.len();
                self.scope.extend([loops.iter_var.clone(), loops.accu_var.clone()]);
                self.expr(&loops.loop_cond, depth + 1);
                self.expr(&loops.loop_step, depth + 1);
                self.expr(&loops.result, depth + 1);
                self.scope.truncate(outer);
            }
            Expr::Literal(_) => {}
            Expr::Unspecified => {
                self.fault(expr, "the condition is incomplete".to_owned(), SYNTAX.to_owned());
            }
        }
    }

    fn label(&mut self, expr: &IdedExpr, name: &str, labels: Option<&[&str]>, test: bool) {
        if let Some(labels) = labels.filter(|labels| !labels.contains(&name)) {
            let (message, help) = unknown_label(name, labels);
            self.fault(expr, message, help);
        } else if test {
            let message = "a label is always there, and empty where a record has none".to_owned();
            self.fault(expr, message, format!("write labels.{name} != \"\""));
        }
    }

    fn name(&mut self, expr: &IdedExpr, name: &str) {
        if self.scope.iter().any(|bound| bound == name) || TYPES.contains(&name) {
            return;
        }
        if name == LABELS {
            let (message, help) = match self.sees.labels {
                Labels::Of(_) => {
                    ("`labels` has no value itself", "ask for one: labels.NAME == \"x\"")
                }
                Labels::Never => {
                    ("labels are known to the `where` of a rule", "ask the record: data.NAME")
                }
            };
            return self.fault(expr, message.to_owned(), help.to_owned());
        }
        if Attribute::root(name).is_some() {
            return;
        }
        let mut known: Vec<&str> = Attribute::ROOTS.to_vec();
        known.extend(matches!(self.sees.labels, Labels::Of(_)).then_some(LABELS));
        known.extend(self.scope.iter().map(String::as_str).filter(|bound| !bound.contains('@')));
        let mut help = suggestion("attribute", name, &known);
        if !help.starts_with("did you") {
            help = format!("{help}; fields of the record are in data: data.{name}");
        }
        self.fault(expr, format!("unknown attribute `{name}`"), help);
    }
}

/// The bytes of the word or mark that makes an expression.
pub(super) fn place(text: &str, source: &SourceInfo, expr: &IdedExpr) -> Range<usize> {
    match source.offset_for(expr.id) {
        Some((start, stop)) => offsets(text, start as usize, stop as usize),
        None => 0..text.len(),
    }
}

/// The parser's first and last place of a token as a range.
fn offsets(text: &str, start: usize, stop: usize) -> Range<usize> {
    let start = start.min(text.len());
    start..(stop + 1).clamp(start, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<(String, String)> {
        let shown = |fault: Fault| (text[fault.place].to_owned(), fault.message);
        let sees = Sees { known: &Known::default(), labels: Labels::Never };
        let parsed = parse(text, Wanted::Condition, sees);
        parsed.err().unwrap_or_default().into_iter().map(shown).collect()
    }

    #[test]
    fn every_known_function_is_one_of_the_interpreter() {
        let env = cel::Env::default().with_optional_support(false).with_stdlib();
        let context = cel::Context::with_env(std::sync::Arc::new(env));
        let macros = ["all", "exists", "exists_one", "filter", "has", "map"];
        let known = |text: String| {
            let expr = Parser::new().parse(&text).expect(&text);
            let found = cel::Value::resolve(&expr, &context);
            !matches!(found, Err(cel::ExecutionError::UndeclaredReference(_)))
        };
        for name in FUNCTIONS.iter().filter(|name| !macros.contains(name)) {
            assert!(known(format!("{name}(1, 2)")) || known(format!("1.{name}(1, 2)")), "{name}");
        }
        assert!(!known("1.reverse()".to_owned()));
    }

    #[test]
    fn faults_point_at_the_right_letters() {
        for (text, place, message) in [
            ("'ä' == typ", "typ", "unknown attribute `typ`"),
            ("data.ä == 1", "ä", "not a valid condition"),
            ("'日本' == subject && ?", "?", "not a valid condition"),
            ("subject.x == 1", ".", "`subject` is text and has no field `x`"),
            ("data.x.reverse()", "reverse", "unknown function `reverse`"),
            ("data.x.matches('(a')", "'(a'", "not a valid pattern: unclosed group"),
            ("data.xs.all(x, y > 1)", "y", "unknown attribute `y`"),
            ("'x'", "'x'", "the condition is never true or false"),
            ("subject", "subject", "the condition is never true or false"),
            ("has(subject)", "subject", "not a valid condition: invalid argument to has() macro"),
            ("data.?x == 1", ".", "optional values are not supported"),
            ("Foo{a: 1} == 1", "{", "unknown type `Foo`"),
            (".data.x == 1", "data", "unknown attribute `.data`"),
            ("type = 'a'", "=", "not a valid condition"),
            ("type ==\n 'ä' && ]", "]", "not a valid condition"),
            (" ", " ", "the condition is empty"),
        ] {
            let found = faults(text);
            assert!(
                found.first().is_some_and(|f| f.0 == place && f.1.starts_with(message)),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn deep_or_long_input_is_refused_without_harm() {
        let deep = |open: &str, middle: &str, close: &str, count: usize| {
            format!("{}{middle}{}", open.repeat(count), close.repeat(count))
        };
        std::thread::Builder::new()
            .stack_size(super::super::STACK_BYTES)
            .spawn(move || {
                for text in [
                    deep("(", "true", ")", 4000),
                    deep("!(", "true", ")", 2000),
                    deep("[", "", "]", 4000),
                    deep("-", "1", "", 8000),
                    deep("", "data", ".a", 4000),
                    deep("", "1", "+1", 4000),
                    deep("data[", "0", "]", 1000),
                    deep("(", "", "", 8000),
                    deep("true ? true : ", "true", "", 500),
                    "a".repeat(BYTES_MAX + 1),
                ] {
                    assert!(!faults(&text).is_empty(), "{}", &text[..20]);
                }
                assert_eq!(faults(&deep("(", "true", ")", 40)), []);
                assert_eq!(faults(&deep("!", "true", "", 8000)), []);
            })
            .expect("a thread")
            .join()
            .expect("no panic");
    }
}
