//! What Alertmanager inhibits becomes silences that last as long as an episode, and what it mutes windows.

use super::prometheus::{NAME, TAKEN, is_label};
use super::{Node, Reader, fields, get, given, quoted, unused};
use crate::rules::{Matcher, Pattern, Rules, suggestion};

/// Parts of its configuration that say other things than when who is told.
const OTHERS: [(&str, &str); 4] = [
    ("global", "settings of sinks stand with each sink"),
    ("receivers", "name them as `sinks`: webhooks, or Alertmanager itself"),
    ("templates", "texts stand in the `annotations` of rules"),
    ("route", "say with `routes` who is told of what; only the times of its routes are converted"),
];
const INHIBIT_FIELDS: [&str; 8] = [
    "name",
    "source_match",
    "source_match_re",
    "source_matchers",
    "target_match",
    "target_match_re",
    "target_matchers",
    "equal",
];
const FIRING: &str = "state = firing";

impl Reader<'_> {
    pub(super) fn alertmanager(&mut self, root: &Node) {
        for (key, _) in fields::entries(root, "a configuration", self.problems).unwrap_or_default()
        {
            let name = key.text().unwrap_or_default();
            if let Some((_, help)) = OTHERS.iter().find(|(other, _)| *other == name) {
                self.leave(&key.span, format!("`{name}` is not converted"), *help);
            }
        }
        for rule in self.items(root, "inhibit_rules") {
            self.inhibit(rule);
        }
        let mut intervals = Vec::new();
        for node in ["time_intervals", "mute_time_intervals"] {
            for node in self.items(root, node) {
                fields::entries(node, "a time interval", self.problems);
                self.items(node, "time_intervals");
                intervals.extend(self.field(node, "name").map(|name| (name, node)));
            }
        }
        if let Some(route) = given(root, "route") {
            self.route(route, &[], &intervals);
        }
    }

    fn inhibit(&mut self, node: &Node) {
        let entries = fields::entries(node, "an inhibition", self.problems);
        for (key, _) in entries.unwrap_or_default() {
            let name = key.text().unwrap_or_default();
            if !INHIBIT_FIELDS.contains(&name) {
                let message =
                    format!("an inhibition with `{name}`, which is not known, is not converted");
                let help = suggestion("field", name, &INHIBIT_FIELDS);
                return self.leave(&key.span, message, help);
            }
        }
        if entries.is_none() {
            return;
        }
        let side = |reader: &mut Self, side: &str| -> Option<Vec<String>> {
            let mut matchers = vec![FIRING.to_owned()];
            matchers.extend(reader.compared(node, &format!("{side}_"))?);
            matchers.extend(reader.matchers(node, &format!("{side}_matchers"))?);
            Some(matchers)
        };
        let (Some(source), Some(target)) = (side(self, "source"), side(self, "target")) else {
            return;
        };
        let mut equal = Vec::new();
        for item in self.items(node, "equal") {
            let name = self.text(item, "a label in `equal`");
            match name.and_then(|name| self.label(item, name)) {
                Some(name) => equal.push(name),
                None => return,
            }
        }
        if source != target && !exclude(&source, &target) && !exclude(&target, &source) {
            self.leave(
                &node.span,
                "an alert that fits both sides of this inhibition is never silenced",
                "Alertmanager inhibits it by what fits the source alone: let the sides exclude each other",
            );
        }
        let equal = match equal.is_empty() {
            true => String::new(),
            false => format!(", equal: [{}]", equal.join(", ")),
        };
        let name = self.field(node, "name").filter(|name| !name.contains(char::is_whitespace));
        let used = |name: &str| self.found.silences.iter().any(|(known, _)| known == name);
        let name = unused(name.unwrap_or("inhibited"), used);
        let (target, source) = (list(&target), list(&source));
        let block = format!("    match: {target}\n    while: {{ match: {source}{equal} }}\n");
        self.found.silences.push((name, block));
    }

    /// Windows of what a route, or one below it, mutes.
    fn route(&mut self, node: &Node, above: &[String], intervals: &[(&str, &Node)]) {
        if fields::entries(node, "a route", self.problems).is_none() {
            return;
        }
        let mut all = above.to_vec();
        match (self.compared(node, ""), self.matchers(node, "matchers")) {
            (Some(compared), Some(matchers)) => all.extend(compared.into_iter().chain(matchers)),
            _ => return,
        }
        if let Some(active) = get(node, "active_time_intervals") {
            self.leave(
                &active.span,
                "times in which alone somebody is told are not converted",
                "write the other times as `time_intervals` of a window",
            );
        }
        let routes = self.items(node, "routes");
        let mutes = self.items(node, "mute_time_intervals");
        if let Some(mutes) = given(node, "mute_time_intervals").filter(|_| !routes.is_empty()) {
            self.leave(
                &mutes.span,
                "what routes below this one take is muted by its window, too",
                "exclude it by matchers, as severity != \"page\"",
            );
        }
        for item in mutes {
            let Some(name) = self.text(item, "a name in `mute_time_intervals`") else { continue };
            match intervals.iter().find(|(known, _)| *known == name) {
                Some((_, interval)) => self.window(name, &all, interval),
                None => self.leave(
                    &item.span,
                    format!("there is no time interval `{name}`"),
                    "define it",
                ),
            }
        }
        let mut before = false;
        for route in routes {
            let mutes = get(route, "mute_time_intervals").filter(|_| before);
            if let Some(mutes) = mutes {
                self.leave(
                    &mutes.span,
                    "what routes before this one take is muted by its window, too",
                    "exclude it by matchers, as severity != \"page\"",
                );
            }
            before |= self.field(route, "continue") != Some("true");
            self.route(route, &all, intervals);
        }
    }

    fn window(&mut self, name: &str, matchers: &[String], interval: &Node) {
        let mut out = String::new();
        for each in self.items(interval, "time_intervals") {
            let mut written = Vec::new();
            let entries = fields::entries(each, "an item of `time_intervals`", self.problems);
            for (key, value) in entries.unwrap_or_default() {
                let field = key.text().unwrap_or_default();
                if field == "location" && value.text() == Some("Local") {
                    let message =
                        format!("the window `{name}` is not converted: whose clocks are `Local`?");
                    return self.leave(
                        &value.span,
                        message,
                        "write an IANA name, as Europe/Berlin",
                    );
                }
                if field == "location" {
                    let place = self.text(value, "`location`").unwrap_or_default();
                    written.push(format!("{field}: {}", quoted(place)));
                    continue;
                }
                let mut ranges = Vec::new();
                for range in self.items(each, field) {
                    ranges.push(match field {
                        "times" => {
                            fields::entries(range, "an item of `times`", self.problems);
                            let [start, end] = ["start_time", "end_time"]
                                .map(|end| quoted(self.field(range, end).unwrap_or_default()));
                            format!("{{ start_time: {start}, end_time: {end} }}")
                        }
                        _ => {
                            let range = self.text(range, &format!("an item of `{field}`"));
                            quoted(&range.unwrap_or_default().to_ascii_lowercase())
                        }
                    });
                }
                written.push(format!("{field}: [{}]", ranges.join(", ")));
            }
            out += &format!("      - {{ {} }}\n", written.join(", "));
        }
        // What Alertmanager refuses, too, or reads more generously.
        let trial = format!(
            "version: 1\nsignals: {{ x: {{ states: {{ x: \"true\" }} }} }}\n\
             rules: [{{ name: x, signal: x }}]\nwindows:\n  x:\n    time_intervals:\n{out}"
        );
        if let Err(wrong) = Rules::parse("", &trial) {
            let why = wrong.iter().next().map(|one| (one.message.clone(), one.help.clone()));
            let (why, help) = why.unwrap_or_default();
            let message = format!("the window `{name}` is not converted: {why}");
            return self.leave(&interval.span, message, help.unwrap_or_default());
        }
        let fits = |c: char| !c.is_whitespace() && !matches!(c, '=' | '`');
        let plain: String = name.chars().map(|c| if fits(c) { c } else { '-' }).collect();
        let used = |name: &str| self.found.windows.iter().any(|(known, _)| known == name);
        let name = unused(&plain, used);
        let mut all = vec![FIRING.to_owned()];
        all.extend_from_slice(matchers);
        let block = format!("    match: {}\n    time_intervals:\n{out}", list(&all));
        self.found.windows.push((name, block));
    }

    /// What labels are compared with in `match` and `match_re`; `None` if some of it cannot be converted.
    fn compared(&mut self, node: &Node, side: &str) -> Option<Vec<String>> {
        let mut all = Vec::new();
        for (name, operator) in [("match", "="), ("match_re", "=~")] {
            let field = format!("{side}{name}");
            for (key, value) in self.entries(node, &field) {
                let name = key.text().unwrap_or_default();
                let value = quoted(self.text(value, &format!("`{name}` of `{field}`"))?);
                all.extend(self.matcher(key, &format!("{name} {operator} {value}"))?);
            }
        }
        Some(all)
    }

    /// Matchers, one in each item or several with commas between; `None` if some cannot be converted.
    fn matchers(&mut self, node: &Node, field: &str) -> Option<Vec<String>> {
        let items = match given(node, field) {
            Some(one) if one.text().is_some() => std::slice::from_ref(one),
            _ => self.items(node, field),
        };
        let mut all = Vec::new();
        for item in items {
            let written = self.text(item, &format!("an item of `{field}`"))?.trim();
            let written =
                written.strip_prefix('{').and_then(|w| w.strip_suffix('}')).unwrap_or(written);
            for matcher in split(written) {
                all.extend(self.matcher(item, matcher)?);
            }
        }
        Some(all)
    }

    /// A matcher, of the label that it is of here: none if it holds of all, and `None` if it cannot
    /// be converted.
    fn matcher(&mut self, node: &Node, written: &str) -> Option<Option<String>> {
        let written = written.trim();
        let matcher = match Matcher::parse(written) {
            Ok(matcher) => matcher,
            Err(fault) => {
                let mut message = format!("`{written}` is no matcher here");
                if fault.place.start > 0 {
                    message += &format!(": {}", fault.message);
                }
                self.leave(&node.span, message, fault.help);
                return None;
            }
        };
        let end =
            written.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(written.len());
        let called = self.label(node, &written[..end])?;
        let converted = format!("{called} {}", written[end..].trim());
        if let (NAME, Pattern::Text(name)) = (&written[..end], &matcher.value)
            && !self.found.alerts.is_empty()
            && self.found.alerts.iter().all(|alert| alert.called != *name)
        {
            if matcher.negated {
                return Some(None);
            }
            self.leave(
                &node.span,
                format!("there is no rule of the alert `{name}`, of which alone this is"),
                "convert that first, or remove this",
            );
            return None;
        }
        Some(Some(converted))
    }

    /// What a label of an alert is called here, which is then carried.
    fn label(&mut self, node: &Node, name: &str) -> Option<String> {
        if name == NAME {
            // Where rules have other names than their alerts, these are a label.
            let renamed = self.found.alerts.iter().any(|alert| alert.name != alert.called);
            self.found.keeps_names |= renamed;
            return Some(if renamed { NAME } else { "rule" }.to_owned());
        }
        if TAKEN.contains(&name) || !is_label(name) {
            let message = format!("the label `{name}` has another meaning here, or can be none");
            self.leave(&node.span, message, "relabel it in Prometheus");
            return None;
        }
        self.found.labels.insert(name.to_owned());
        Some(name.to_owned())
    }
}

/// Whether what fits some matchers, because of a text that they ask for, does not fit the others.
fn exclude(some: &[String], others: &[String]) -> bool {
    let read = |all: &[String]| -> Vec<Matcher> {
        all.iter().filter_map(|matcher| matcher.parse().ok()).collect()
    };
    let others = read(others);
    read(some).iter().filter(|matcher| !matcher.negated).any(|matcher| {
        let Pattern::Text(text) = &matcher.value else { return false };
        others.iter().any(|other| other.subject == matcher.subject && !other.holds(text))
    })
}

/// Splits at commas that are not within quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut within, mut escaped) = (false, false);
    let at_comma = |c: char| {
        let ends = c == ',' && !within;
        within ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    };
    text.split(at_comma).filter(|part| !part.trim().is_empty()).collect()
}

fn list(matchers: &[String]) -> String {
    let quoted: Vec<_> = matchers.iter().map(|matcher| quoted(matcher)).collect();
    format!("[{}]", quoted.join(", "))
}
