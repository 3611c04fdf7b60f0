//! What of PromQL is a question about one sample: a selector compared with a number.

use regex::Regex;

/// `metric{matchers} OPERATOR number`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Comparison {
    pub(super) metric: Option<String>,
    pub(super) matchers: Vec<LabelMatcher>,
    /// As CEL writes it.
    pub(super) operator: &'static str,
    pub(super) number: f64,
}

/// `name="value"`, or what else is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LabelMatcher {
    pub(super) name: String,
    pub(super) negated: bool,
    pub(super) is_regex: bool,
    pub(super) value: String,
}

/// The operators, with those for swapped sides; longer ones first.
const OPERATORS: [(&str, &str); 6] =
    [(">=", "<="), ("<=", ">="), ("==", "=="), ("!=", "!="), (">", "<"), ("<", ">")];

/// Reads an expression, or says why it is more than a comparison, and what to do instead.
pub(super) fn comparison(text: &str) -> Result<Comparison, (String, String)> {
    let text = unwrapped(text);
    let more = |what: &str, help: &str| Err((what.to_owned(), help.to_owned()));
    let record =
        "record it in Prometheus (`record: NAME`), read NAME, and compare that with a number";
    let mut rest = text;
    let left = Operand::read(&mut rest);
    let found = OPERATORS.iter().find(|(operator, _)| rest.trim_start().starts_with(operator));
    let compared = left.as_ref().zip(found).and_then(|(left, (operator, swapped))| {
        rest = &rest.trim_start()[operator.len()..];
        let right = Operand::read(&mut rest)?;
        rest.trim().is_empty().then_some(())?;
        Some(match (left.clone(), right) {
            (Operand::Selector(metric, matchers), Operand::Number(number)) => {
                Comparison { metric, matchers, operator, number }
            }
            (Operand::Number(number), Operand::Selector(metric, matchers)) => {
                Comparison { metric, matchers, operator: swapped, number }
            }
            _ => return None,
        })
    });
    if let Some(compared) = compared {
        return Ok(compared);
    }
    let function: String =
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    match function.as_str() {
        "absent" | "absent_over_time" => more(
            "it asks for what is not there",
            "give a rule on the series `absent: { after: 5m }`: its entities are then `unknown`",
        ),
        name if !name.is_empty()
            && text[name.len()..].trim_start().starts_with(['(', 'b', 'w']) =>
        {
            more(&format!("`{name}` computes over several samples or series"), record)
        }
        _ if found.is_none() && left.is_some() && rest.trim().is_empty() => more(
            "it fires for every sample, whatever its value",
            "compare it with a number, as `> 0`",
        ),
        _ => more("it is more than a selector compared with a number", record),
    }
}

/// Without parentheses around all of it.
fn unwrapped(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
    match inner {
        Some(inner) if !inner.contains(['(', ')']) => inner.trim(),
        _ => text,
    }
}

#[derive(Clone, Debug)]
enum Operand {
    Selector(Option<String>, Vec<LabelMatcher>),
    Number(f64),
}

impl Operand {
    /// Takes one from the beginning of a text.
    fn read(rest: &mut &str) -> Option<Self> {
        let text = rest.trim_start();
        let digits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
        if text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+')) {
            let sign = usize::from(text.starts_with(['-', '+']));
            let mut end = sign + text[sign..].find(|c| !digits(c)).unwrap_or(text.len() - sign);
            // The sign of an exponent.
            if text[..end].ends_with(['e', 'E']) && text[end..].starts_with(['-', '+']) {
                end += 1 + text[end + 1..].find(|c| !digits(c)).unwrap_or(text.len() - end - 1);
            }
            let number: f64 = text[..end].parse().ok().filter(|number: &f64| number.is_finite())?;
            *rest = &text[end..];
            return Some(Self::Number(number));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
        let end = text.find(|c| !fits(c)).unwrap_or(text.len());
        let metric = (end > 0).then(|| text[..end].to_owned());
        let text = &text[end..];
        let (matchers, text) = match text.trim_start().strip_prefix('{') {
            Some(inner) => label_matchers(inner)?,
            None => (Vec::new(), text),
        };
        *rest = text;
        (metric.is_some() || !matchers.is_empty()).then_some(Self::Selector(metric, matchers))
    }
}

/// Matchers until a closing brace, and what follows it.
fn label_matchers(mut text: &str) -> Option<(Vec<LabelMatcher>, &str)> {
    let mut matchers = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t', '\n', ',']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((matchers, rest));
        }
        let end =
            text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|at| *at > 0)?;
        let name = text[..end].to_owned();
        text = text[end..].trim_start();
        let operators =
            [("=~", false, true), ("!~", true, true), ("!=", true, false), ("=", false, false)];
        let (operator, negated, is_regex) =
            operators.into_iter().find(|(operator, ..)| text.starts_with(operator))?;
        let (value, rest) = string(text[operator.len()..].trim_start())?;
        matchers.push(LabelMatcher { name, negated, is_regex, value });
        text = rest;
    }
}

/// A string in one of the three kinds of quotes, and what follows it.
fn string(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    let (mut value, mut chars) = (String::new(), text[1..].char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some((value, &text[at + 2..])),
            '\\' if quote != '`' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                c @ ('\\' | '"' | '\'') => value.push(c),
                _ => return None,
            },
            c => value.push(c),
        }
    }
    None
}

impl LabelMatcher {
    /// What must hold of a record, in CEL; what is missing is empty, as in Prometheus. None if the
    /// pattern is none.
    pub(super) fn condition(&self) -> Option<String> {
        let Self { name, negated, is_regex, value } = self;
        let place = match name.as_str() {
            "__name__" => "data.name".to_owned(),
            name => format!("data.labels.{name}"),
        };
        let (test, holds_of_nothing) = match is_regex {
            true => {
                let pattern = format!("^(?:{value})$");
                let holds = Regex::new(&pattern).ok()?.is_match("");
                (format!("{place}.matches({})", quoted(&pattern)), holds)
            }
            false => (format!("{place} == {}", quoted(value)), value.is_empty()),
        };
        Some(match (holds_of_nothing, negated) {
            (true, false) => format!("(!has({place}) || {test})"),
            (false, false) => format!("(has({place}) && {test})"),
            (true, true) => format!("(has({place}) && !({test}))"),
            (false, true) => format!("(!has({place}) || !({test}))"),
        })
    }
}

/// A text as CEL writes it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_read_as_prometheus_reads_them() {
        for (text, shown) in [
            ("up == 0", "up [] == 0"),
            ("(up{job=\"a\"} < 1)", "up [job=a] < 1"),
            ("0.9 < load", "load [] > 0.9"),
            ("load>=-1.5e-3", "load [] >= -0.0015"),
            ("{job='a', env!=`p`,} != 1", " [job=a env!=p] != 1"),
            ("a:b{x=~\"c|d\", y!~\"\"}\n > 1e3", "a:b [x=~c|d y!~] > 1000"),
        ] {
            let found = comparison(text).unwrap_or_else(|(why, _)| panic!("{text}: {why}"));
            let matchers = found.matchers.iter().map(|matcher| {
                let LabelMatcher { name, negated, is_regex, value } = matcher;
                let operator = match (negated, is_regex) {
                    (false, false) => "=",
                    (true, false) => "!=",
                    (false, true) => "=~",
                    (true, true) => "!~",
                };
                format!("{name}{operator}{value}")
            });
            let matchers = matchers.collect::<Vec<_>>().join(" ");
            let metric = found.metric.unwrap_or_default();
            assert_eq!(format!("{metric} [{matchers}] {} {}", found.operator, found.number), shown);
        }
    }

    #[test]
    fn what_is_more_says_why() {
        for (text, why) in [
            ("rate(x[5m]) > 1", "`rate` computes over several samples or series"),
            ("sum by (job) (x) > 1", "`sum` computes over several samples or series"),
            ("absent(up)", "it asks for what is not there"),
            ("up", "it fires for every sample, whatever its value"),
            ("a > b", "it is more than a selector compared with a number"),
            ("a / b > 1", "it is more than a selector compared with a number"),
            ("a > 1 and b > 1", "it is more than a selector compared with a number"),
            ("a[5m] > 1", "it is more than a selector compared with a number"),
            ("a offset 5m > 1", "it is more than a selector compared with a number"),
            ("a > bool 1", "it is more than a selector compared with a number"),
            ("a > +Inf", "it is more than a selector compared with a number"),
            ("a > 5m", "it is more than a selector compared with a number"),
            ("(a) > (1)", "it is more than a selector compared with a number"),
            ("", "it is more than a selector compared with a number"),
            ("1 > 2", "it is more than a selector compared with a number"),
        ] {
            assert_eq!(comparison(text).expect_err(text).0, why, "{text}");
        }
    }
}
