//! Two rule files as one, so that one pass over the log is enough for both.
//!
//! Signals and rules of each have its mark before their names. That is possible if all else that
//! decides what becomes of a record is the same in both: sources, lateness and the like.

use crate::rules::yaml::{self, Node, Value};
use crate::rules::{Diagnostics, Problems, Rules, tree, with_room};

/// What is before the names of the two.
const MARKS: [&str; 2] = ["a/", "b/"];
/// What each file may say otherwise: these are of its rules alone.
const OF_RULES: [&str; 8] =
    ["version", "expire_after", "signals", "rules", "sinks", "routes", "silences", "windows"];

/// Two rule files.
pub struct Pair {
    /// Both, A first.
    pub rules: [Rules; 2],
    /// One of all their rules, those of A first; or why there is none.
    pub merged: Result<Rules, String>,
}

impl Pair {
    /// Reads two rule files, each with the name that messages call it.
    ///
    /// # Errors
    /// All that is wrong with either.
    pub fn read(files: [(&str, &str); 2]) -> Result<Self, Vec<Diagnostics>> {
        with_room(|| read(files)).unwrap_or_else(|error| {
            let mut problems = Problems::default();
            problems.error(&(0..0), format!("the file cannot be read: {error}"));
            Err(vec![Diagnostics::errors(files[0].0, files[0].1, problems.0)])
        })
    }
}

fn read(files: [(&str, &str); 2]) -> Result<Pair, Vec<Diagnostics>> {
    let (mut wrong, mut right) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let mut problems = Problems::default();
        let root = yaml::load(text, &mut problems);
        let rules = root.and_then(|root| Some((tree(text, &root, &mut problems)?, root)));
        match rules.filter(|_| problems.0.is_empty()) {
            Some(rules) => right.push(rules),
            None => wrong.push(Diagnostics::errors(name, text, problems.0)),
        }
    }
    let (Some((b, b_root)), Some((a, a_root))) = (right.pop(), right.pop()) else {
        return Err(wrong);
    };
    let merged = merge([&a_root, &b_root]).and_then(|root| {
        let mut problems = Problems::default();
        let rules = tree("", &root, &mut problems);
        match (rules, problems.0.first()) {
            (Some(rules), None) => Ok(rules),
            (_, problem) => {
                let why = problem.map_or("", |problem| &problem.message);
                Err(format!("their rules cannot stand in one file: {why}"))
            }
        }
    });
    Ok(Pair { rules: [a, b], merged })
}

/// One rule file of two, or in what they differ.
fn merge(roots: [&Node; 2]) -> Result<Node, String> {
    let [a, b] = roots.map(entries);
    let others = |entries: &[(Node, Node)]| {
        let of_both = |(key, _): &&(Node, Node)| !OF_RULES.contains(&key.text().unwrap_or(""));
        let named = |(key, node): &(Node, Node)| {
            (key.text().unwrap_or_default().to_owned(), node.to_json())
        };
        entries.iter().filter(of_both).map(named).collect::<std::collections::BTreeMap<_, _>>()
    };
    let (of_a, of_b) = (others(a), others(b));
    let differs = of_a.keys().chain(of_b.keys()).find(|name| of_a.get(*name) != of_b.get(*name));
    if let Some(name) = differs {
        return Err(format!("their `{name}` differ"));
    }
    let has_canary = |entries: &[(Node, Node)]| {
        let rules = entries.iter().find(|(key, _)| key.text() == Some("rules"));
        let rules = rules.map_or(&[][..], |(_, rules)| match &rules.value {
            Value::Seq(rules) => rules,
            _ => &[],
        });
        rules.iter().flat_map(self::entries).any(|(key, _)| key.text() == Some("canary"))
    };
    let hears = |entries: &[(Node, Node)]| {
        let silences = entries.iter().filter(|(key, _)| key.text() == Some("silences"));
        let silences = silences.flat_map(|(_, silences)| self::entries(silences));
        silences
            .flat_map(|(_, silence)| self::entries(silence))
            .any(|(key, _)| key.text() == Some("events"))
    };
    if hears(a) || hears(b) {
        return Err("a record that should be of a silence may be none to the other file".to_owned());
    }
    if has_canary(a) || has_canary(b) {
        return Err("the share of a canary goes by the name of its rule".to_owned());
    }
    let mut all = a.to_vec();
    all.retain(|(key, _)| !OF_RULES[1..].contains(&key.text().unwrap_or_default()));
    let (mut signals, mut rules) = (Vec::new(), Vec::new());
    for (entries, mark) in [a, b].into_iter().zip(MARKS) {
        let get = |name: &str| entries.iter().find(|(key, _)| key.text() == Some(name));
        if let Some((_, Node { value: Value::Map(of_file), .. })) = get("signals") {
            signals.extend(of_file.iter().map(|(key, node)| (marked(key, mark), signal(node))));
        }
        if let Some((_, Node { value: Value::Seq(of_file), .. })) = get("rules") {
            let expire_after = get("expire_after");
            rules.extend(of_file.iter().map(|node| rule(node, mark, expire_after)));
        }
    }
    let at = |value: Value| Node { span: 0..0, value };
    let key = |name: &str| at(Value::Scalar { text: name.to_owned(), plain: false });
    all.push((key("signals"), at(Value::Map(signals))));
    all.push((key("rules"), at(Value::Seq(rules))));
    Ok(at(Value::Map(all)))
}

fn entries(node: &Node) -> &[(Node, Node)] {
    match &node.value {
        Value::Map(entries) => entries,
        _ => &[],
    }
}

/// A name with a mark before it.
fn marked(name: &Node, mark: &str) -> Node {
    let text = format!("{mark}{}", name.text().unwrap_or_default());
    Node { span: name.span.clone(), value: Value::Scalar { text, plain: false } }
}

/// A signal without its schema, of which another version may be in the other file.
fn signal(node: &Node) -> Node {
    let mut node = node.clone();
    if let Value::Map(fields) = &mut node.value {
        fields.retain(|(key, _)| key.text() != Some("schema"));
    }
    node
}

/// A rule with marked names, and what its file says of all rules.
fn rule(node: &Node, mark: &str, expire_after: Option<&(Node, Node)>) -> Node {
    let mut node = node.clone();
    if let Value::Map(fields) = &mut node.value {
        for (key, value) in fields.iter_mut() {
            match key.text() {
                Some("name" | "signal") => *value = marked(value, mark),
                Some("grace") => mark_signals(value, mark),
                _ => {}
            }
        }
        let says = fields.iter().any(|(key, _)| key.text() == Some("expire_after"));
        fields.extend(expire_after.filter(|_| !says).cloned());
    }
    node
}

/// Marks the names of signals within a node.
fn mark_signals(node: &mut Node, mark: &str) {
    match &mut node.value {
        Value::Map(fields) => {
            for (key, value) in fields {
                match key.text() {
                    Some("signal") => *value = marked(value, mark),
                    _ => mark_signals(value, mark),
                }
            }
        }
        Value::Seq(items) => items.iter_mut().for_each(|item| mark_signals(item, mark)),
        Value::Scalar { .. } | Value::Invalid => {}
    }
}
