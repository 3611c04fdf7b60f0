//! What a rule says of how long its faults last: for which times the probability is asked, of whom it is
//! learned, and above which it is told of at once.
//!
//! The condition of an early announcement is CEL of few words: comparisons of `p_lasts("5m")` with numbers,
//! `&&`, `||` and `!`.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

use super::condition::Fault;
use super::expression::{DEPTH_MAX, place, syntax};
use super::native::Order;
use crate::model::duration::{NoDuration, read_duration};

/// The only function of such a condition.
const FUNCTION: &str = "p_lasts";
const SYNTAX: &str = "compare a probability with a number: p_lasts(\"5m\") > 0.9";
const SECOND_NS: i64 = 1_000_000_000;
/// Where durations are told apart, in seconds: 1-2-5 steps as clocks have them, from a second to a day.
const EDGES: [i64; 17] =
    [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18_000, 43_200, 86_400];

/// How a rule learns how long its faults last.
#[derive(Clone, Debug)]
pub struct Persistence {
    /// Whose faults are of one group: those with one value of this label, by its number in the signal;
    /// all of the rule if none.
    pub by: Option<usize>,
    /// For how many faults of an entity the share of its group stands.
    pub prior: u32,
    /// For how long after its last fault an entity, or a group, is remembered.
    pub remember_ns: i64,
    /// The times for which the probability is asked, in rising order, each once.
    pub horizons_ns: Vec<i64>,
    /// What must be so for a fault to be announced early.
    pub announce: Option<Announce>,
}

impl Persistence {
    /// Where durations are told apart, in rising order from zero on: the horizons are among them.
    pub fn edges_ns(&self) -> Vec<i64> {
        let usual = EDGES.iter().map(|edge| edge * SECOND_NS);
        let mut edges: Vec<_> = usual.chain(self.horizons_ns.iter().copied()).chain([0]).collect();
        edges.sort_unstable();
        edges.dedup();
        edges
    }
}

/// When a fault is announced early.
#[derive(Clone, Debug)]
pub struct Announce {
    text: String,
    test: Test,
}

/// What holds of probabilities.
#[derive(Clone, Debug)]
enum Test {
    All(Box<[Test; 2]>),
    Any(Box<[Test; 2]>),
    Not(Box<Test>),
    /// The probability of a horizon against a number.
    Is {
        horizon_ns: i64,
        order: Order,
        number: f64,
    },
}

impl Announce {
    /// Reads a condition.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let (expr, source) = syntax(text)?;
        let mut reading = Reading { text, source: &source, faults: Vec::new() };
        let test = reading.test(&expr, 0);
        match test.filter(|_| reading.faults.is_empty()) {
            Some(test) => Ok(Self { text: text.to_owned(), test }),
            None => Err(reading.faults),
        }
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The horizons that it asks for.
    pub fn horizons_ns(&self) -> Vec<i64> {
        let (mut tests, mut horizons_ns) = (vec![&self.test], Vec::new());
        while let Some(test) = tests.pop() {
            match test {
                Test::All(both) | Test::Any(both) => tests.extend(both.iter()),
                Test::Not(test) => tests.push(test),
                Test::Is { horizon_ns, .. } => horizons_ns.push(*horizon_ns),
            }
        }
        horizons_ns
    }

    /// Whether it holds of what is likely.
    pub fn holds(&self, p: impl Fn(i64) -> f64) -> bool {
        fn holds(test: &Test, p: &impl Fn(i64) -> f64) -> bool {
            match test {
                Test::All(both) => both.iter().all(|test| holds(test, p)),
                Test::Any(both) => both.iter().any(|test| holds(test, p)),
                Test::Not(test) => !holds(test, p),
                Test::Is { horizon_ns, order, number } => {
                    let found = p(*horizon_ns).partial_cmp(number);
                    found.is_some_and(|found| order.admits(found))
                }
            }
        }
        holds(&self.test, &p)
    }
}

struct Reading<'t> {
    text: &'t str,
    source: &'t SourceInfo,
    faults: Vec<Fault>,
}

impl Reading<'_> {
    fn fault(&mut self, expr: &IdedExpr, message: impl Into<String>, help: &str) {
        let place = place(self.text, self.source, expr);
        self.faults.push(Fault { place, message: message.into(), help: help.to_owned() });
    }

    fn test(&mut self, expr: &IdedExpr, depth: usize) -> Option<Test> {
        if depth > DEPTH_MAX {
            self.fault(
                expr,
                format!("nested deeper than {DEPTH_MAX} levels"),
                "split the condition",
            );
            return None;
        }
        let Expr::Call(call) = &expr.expr else {
            self.fault(expr, "this is no comparison of a probability", SYNTAX);
            return None;
        };
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_NOT, [inner]) => {
                Some(Test::Not(Box::new(self.test(inner, depth + 1)?)))
            }
            (name @ (operators::LOGICAL_AND | operators::LOGICAL_OR), [one, other]) => {
                let both = [self.test(one, depth + 1), self.test(other, depth + 1)];
                let [Some(one), Some(other)] = both else { return None };
                let both = Box::new([one, other]);
                Some(if name == operators::LOGICAL_AND { Test::All(both) } else { Test::Any(both) })
            }
            (name, [one, other]) => match (Order::parse(name), number(one), number(other)) {
                (Some(order), None, Some(number)) => self.compared(one, order, (number, other)),
                (Some(order), Some(number), None) => {
                    self.compared(other, order.mirrored(), (number, one))
                }
                (Some(_), ..) => {
                    self.fault(expr, "one side must be a probability, the other a number", SYNTAX);
                    None
                }
                (None, ..) => {
                    self.fault(expr, "probabilities are compared by <, <=, > and >=", SYNTAX);
                    None
                }
            },
            _ => {
                self.fault(expr, "this is no comparison of a probability", SYNTAX);
                None
            }
        }
    }

    fn compared(
        &mut self,
        expr: &IdedExpr,
        order: Order,
        (number, at): (f64, &IdedExpr),
    ) -> Option<Test> {
        if !(0.0..=1.0).contains(&number) {
            let message = format!("a probability is between 0 and 1, and never {number}");
            self.fault(at, message, "write 0.9 for 90 percent");
        }
        if matches!((order, number), (Order::Less, 0.0) | (Order::Greater, 1.0)) {
            let message = "a probability is between 0 and 1, and this never so";
            self.fault(at, message.to_owned(), "compare with a number between");
        }
        let horizon_ns = match &expr.expr {
            Expr::Call(call) if call.func_name == FUNCTION => self.horizon(expr, call)?,
            _ => {
                self.fault(expr, "this is no probability", SYNTAX);
                return None;
            }
        };
        Some(Test::Is { horizon_ns, order, number })
    }

    fn horizon(&mut self, expr: &IdedExpr, call: &CallExpr) -> Option<i64> {
        let text = match (&call.target, call.args.as_slice()) {
            (None, [IdedExpr { expr: Expr::Literal(LiteralValue::String(text)), .. }]) => text,
            _ => {
                let message = format!("{FUNCTION} takes one time, as a text");
                self.fault(expr, message, "write p_lasts(\"5m\")");
                return None;
            }
        };
        let text = text.inner();
        let message = match read_duration(text) {
            Ok(0) => format!("{FUNCTION} of no time: every fault lasts as long"),
            Ok(horizon_ns) => return Some(horizon_ns),
            Err(NoDuration::TooLong) => format!("`{text}` is too long a time"),
            Err(NoDuration::Form) => format!("`{text}` is not a duration"),
        };
        self.fault(&call.args[0], message, "write 30s, 1h30m: largest unit first");
        None
    }
}

fn number(expr: &IdedExpr) -> Option<f64> {
    match &expr.expr {
        Expr::Literal(LiteralValue::Double(number)) => Some(*number.inner()),
        Expr::Literal(LiteralValue::Int(number)) => Some(*number.inner() as f64),
        Expr::Literal(LiteralValue::UInt(number)) => Some(*number.inner() as f64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_NS: i64 = 60 * SECOND_NS;

    #[test]
    fn conditions_hold_as_they_are_written() {
        let p = |horizon_ns: i64| if horizon_ns == MINUTE_NS { 0.5 } else { 0.25 };
        for (text, wanted) in [
            ("p_lasts(\"1m\") > 0.4", true),
            ("p_lasts('1m') > 0.5", false),
            ("p_lasts('1m') >= 0.5", true),
            ("p_lasts('1m') < 0.5 || p_lasts('2m') < 0.5", true),
            ("p_lasts('1m') <= 0.5 && p_lasts('2m') > 0.3", false),
            ("!(p_lasts('2m') > 0.3)", true),
            ("0.4 < p_lasts('1m')", true),
            ("0.6 <= p_lasts('1m')", false),
            ("p_lasts('1m') < 1 && 0 < p_lasts('1m')", true),
            ("p_lasts('1m') > 0.9 || p_lasts('1m') > 0.4 && p_lasts('2m') > 0.9", false),
        ] {
            let announce = Announce::parse(text).unwrap_or_else(|faults| panic!("{faults:?}"));
            assert_eq!(announce.holds(p), wanted, "{text}");
            assert!(announce.horizons_ns().contains(&MINUTE_NS) || text.contains("2m"));
        }
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (text, place, message) in [
            ("p_lasts('5m')", "(", "this is no comparison"),
            ("p_lasts('5m') == 0.5", "==", "probabilities are compared by"),
            ("p_lasts('5m') > 90", "90", "a probability is between 0 and 1"),
            ("p_lasts('5m') < 0", "0", "a probability is between 0 and 1, and this never so"),
            ("1.0 < p_lasts('5m')", "1.0", "a probability is between 0 and 1, and this never so"),
            ("p_lasts('5 minutes') > 0.9", "'5 minutes'", "`5 minutes` is not a duration"),
            ("p_lasts('0s') > 0.9", "'0s'", "p_lasts of no time"),
            ("p_lasts('900y') > 0.9", "'900y'", "`900y` is too long"),
            ("p_lasts(5) > 0.9", "(", "p_lasts takes one time"),
            ("p_last('5m') > 0.9", "(", "this is no probability"),
            ("p_lasts('5m') > p_lasts('1m')", ">", "one side must be"),
            ("0.1 < 0.9", "<", "one side must be"),
            ("data.x > 0.9", ".", "this is no probability"),
            ("true", "true", "this is no comparison"),
            ("p_lasts('5m') > 0.9 &&", "", "not a valid condition"),
            ("", "", "the condition is empty"),
        ] {
            let faults = Announce::parse(text).err().unwrap_or_default();
            let found = faults.first().map(|fault| (&text[fault.place.clone()], &fault.message));
            assert!(
                found.is_some_and(|found| found.0 == place && found.1.starts_with(message)),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn horizons_are_edges() {
        let of = |horizons_ns: Vec<i64>| Persistence {
            by: None,
            prior: 1,
            remember_ns: 1,
            horizons_ns,
            announce: None,
        };
        assert_eq!(of(vec![]).edges_ns().len(), EDGES.len() + 1);
        let edges_ns = of(vec![1, 2 * SECOND_NS, i64::MAX]).edges_ns();
        assert_eq!(edges_ns[..3], [0, 1, SECOND_NS]);
        assert_eq!((edges_ns.len(), edges_ns.last()), (EDGES.len() + 3, Some(&i64::MAX)));
    }
}
