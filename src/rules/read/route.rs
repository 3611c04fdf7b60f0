//! Sinks and routes: where notifications go, and which.

use std::collections::BTreeSet;

use smol_str::SmolStr;

use super::super::route::{Kind, Matcher, Pattern, Route, Setting, Sink, SinkKind, Subject};
use super::super::stages::{ABOVE, BELOW, FLAPPING, NORMAL, SESSION, UNKNOWN};
use super::super::yaml::{Node, Value};
use super::super::{Rule, diagnostics};
use super::signal::ReadSignal;
use super::{DAY_NS, Named, Reader, SECOND_NS, fields};
use crate::rules::fields::Fields;

pub(in crate::rules) const SINK_KINDS: [&str; 2] = ["webhook", "alertmanager"];
pub(in crate::rules) const WEBHOOK_FIELDS: [&str; 3] = ["url", "headers", "timeout"];
pub(in crate::rules) const ALERTMANAGER_FIELDS: [&str; 4] =
    ["url", "headers", "timeout", "resolve_after"];
pub(in crate::rules) const SETTING_KINDS: [&str; 2] = ["env", "file"];
pub(in crate::rules) const ROUTE_FIELDS: [&str; 3] = ["match", "on", "to"];

const TIMEOUT_NS: i64 = 10 * SECOND_NS;
const RESOLVE_AFTER_NS: i64 = 30 * DAY_NS;
/// What a request says of itself.
const OWN_HEADERS: [&str; 6] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "transfer-encoding",
];

/// What a matcher may name.
///
/// None if it is not known which there are.
pub(super) struct Names<'n> {
    rules: Option<BTreeSet<&'n str>>,
    signals: Option<BTreeSet<&'n str>>,
    states: Option<BTreeSet<&'n str>>,
    labels: Option<BTreeSet<&'n str>>,
}

impl<'n> Names<'n> {
    pub(super) fn new(signals: &'n [Named<'_, ReadSignal<'_>>], rules: &'n [Option<Rule>]) -> Self {
        let read = || signals.iter().map(|named| named.value.as_ref());
        let states = read().map(|read| read?.state_names.as_ref());
        let states: Option<Vec<_>> = states.collect();
        let carried: Option<Vec<_>> = read().map(|read| read?.label_names.as_ref()).collect();
        let rules: Option<Vec<_>> = rules.iter().map(Option::as_ref).collect();
        let own = rules.as_ref().map(|rules| {
            let labels = rules.iter().flat_map(|rule| &rule.labels);
            labels.map(|(name, _)| &**name).collect::<BTreeSet<_>>()
        });
        let carried = carried.zip(own).map(|(carried, own)| {
            let carried = carried.into_iter().flatten().copied();
            carried.chain(own).collect()
        });
        Self {
            rules: rules.as_ref().map(|rules| rules.iter().map(|rule| &*rule.name).collect()),
            signals: Some(signals.iter().map(|named| named.name).collect()),
            states: states.map(|states| {
                let made = [FLAPPING, UNKNOWN, ABOVE, BELOW, NORMAL, SESSION].into_iter();
                let made = made.filter(|made| {
                    let makes = |rule: &Rule| rule.stages.makes().any(|name| name == **made);
                    rules.as_ref().is_some_and(|rules| rules.iter().any(|rule| makes(rule)))
                });
                states.into_iter().flatten().copied().chain(made).collect()
            }),
            labels: carried,
        }
    }
}

impl Reader<'_> {
    pub(super) fn sinks<'n>(&mut self, node: &'n Node) -> Vec<Named<'n, Sink>> {
        let entries = self.some_entries(node, "`sinks`").unwrap_or_default();
        let named = entries.iter().map(|(key, node)| Named {
            name: key.text().unwrap_or_default(),
            value: self.sink(key, node),
        });
        named.collect()
    }

    fn sink(&mut self, key: &Node, node: &Node) -> Option<Sink> {
        let name = fields::name(key, "the name of a sink", self.problems).filter(|name| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            let names_a_file = name.chars().all(fits);
            if !names_a_file {
                let message = format!("`{name}` cannot be the name of a sink");
                self.problems.error_help(&key.span, message, "letters, digits, _ and -");
            }
            names_a_file
        });
        let kinds = Fields::open(node, &key.span, "a sink", &SINK_KINDS, self.problems)?;
        let given = SINK_KINDS.map(|kind| kinds.get(kind));
        let (node, is_alertmanager) = match given {
            [Some(node), None] => (node, false),
            [None, Some(node)] => (node, true),
            _ => {
                let message = "a sink is either a `webhook` or an `alertmanager`";
                self.problems.error_help(&key.span, message, "add `webhook: { url: https://... }`");
                return None;
            }
        };
        let (what, known) = match is_alertmanager {
            true => ("`alertmanager`", &ALERTMANAGER_FIELDS[..]),
            false => ("`webhook`", &WEBHOOK_FIELDS[..]),
        };
        let fields = Fields::open(node, &node.span, what, known, self.problems)?;
        let url = fields.require("url", "https://...", self.problems);
        let url = url.and_then(|node| {
            let url = self.setting(node, "`url`")?;
            if let Setting::Text(text) = &url
                && let Err((message, help)) = check_url(text)
            {
                self.problems.error_help(&node.span, message, help);
                return None;
            }
            Some(url)
        });
        let headers = match fields.get("headers") {
            Some(node) => self.headers(node),
            None => Some(Vec::new()),
        };
        let mut positive = |name: &str, default_ns: i64| {
            let duration_ns = self.duration(&fields, name, default_ns)?;
            if let (0, Some(node)) = (duration_ns, fields.get(name)) {
                self.problems.error(&node.span, format!("`{name}` must be above zero"));
                return None;
            }
            Some(duration_ns)
        };
        let timeout_ns = positive("timeout", TIMEOUT_NS);
        let kind = match is_alertmanager {
            true => positive("resolve_after", RESOLVE_AFTER_NS)
                .map(|resolve_after_ns| SinkKind::Alertmanager { resolve_after_ns }),
            false => Some(SinkKind::Webhook),
        };
        Some(Sink {
            name: name?,
            span: key.span.clone(),
            kind: kind?,
            url: url?,
            headers: headers?,
            timeout_ns: timeout_ns?,
        })
    }

    fn headers(&mut self, node: &Node) -> Option<Vec<(SmolStr, Setting)>> {
        let mut seen = BTreeSet::new();
        let entries = fields::entries(node, "`headers`", self.problems)?;
        let read = entries.iter().map(|(key, node)| {
            let name = key.text().unwrap_or_default();
            let fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            let lower = name.to_ascii_lowercase();
            let fault = if name.is_empty() || !name.chars().all(fits) {
                Some((format!("`{name}` cannot be the name of a header"), "letters, digits and -"))
            } else if OWN_HEADERS.contains(&&*lower) {
                let message = format!("the header `{name}` is set by limbeck");
                Some((message, "remove it; add others"))
            } else if !seen.insert(lower) {
                Some((format!("the header `{name}` is repeated"), "keep one of the two"))
            } else {
                None
            };
            if let Some((message, help)) = fault {
                self.problems.error_help(&key.span, message, help);
                return None;
            }
            let value = self.setting(node, &format!("the header `{name}`"))?;
            if let Setting::Text(text) = &value
                && !is_header_value(text)
            {
                let message = format!("the value of `{name}` cannot be sent in a header");
                self.problems.error_help(&node.span, message, "letters of ASCII, on one line");
                return None;
            }
            Some((SmolStr::new(name), value))
        });
        let read: Vec<_> = read.collect();
        read.into_iter().collect()
    }

    /// A text, or where it stands.
    fn setting(&mut self, node: &Node, what: &str) -> Option<Setting> {
        if !matches!(node.value, Value::Map(_)) {
            return Some(Setting::Text(fields::text(node, what, self.problems)?.to_owned()));
        }
        let kinds = Fields::open(node, &node.span, "a setting", &SETTING_KINDS, self.problems)?;
        match SETTING_KINDS.map(|kind| kinds.get(kind)) {
            [Some(node), None] => {
                let name = fields::name(node, "the name of a variable", self.problems)?;
                Some(Setting::Env(name))
            }
            [None, Some(node)] => {
                let path = fields::text(node, "the name of a file", self.problems)?;
                Some(Setting::File(path.into()))
            }
            _ => {
                let message = format!("{what} is a text, or stands in one place");
                let help = "write { env: NAME } or { file: PATH }";
                self.problems.error_help(&node.span, message, help);
                None
            }
        }
    }

    pub(super) fn routes(
        &mut self,
        node: &Node,
        sinks: &[Named<'_, Sink>],
        names: &Names<'_>,
    ) -> Vec<Option<Route>> {
        let Some(items) = fields::items(node, "`routes`", self.problems) else { return Vec::new() };
        if items.is_empty() {
            self.problems.error(&node.span, "`routes` needs at least one route");
        }
        items.iter().map(|node| self.route(node, sinks, names)).collect()
    }

    fn route(
        &mut self,
        node: &Node,
        sinks: &[Named<'_, Sink>],
        names: &Names<'_>,
    ) -> Option<Route> {
        let fields = Fields::open(node, &node.span, "a route", &ROUTE_FIELDS, self.problems)?;
        let matchers = match fields.get("match") {
            Some(node) => self.matchers(node, names),
            None => Some(Vec::new()),
        };
        let on = match fields.get("on") {
            Some(node) => self.kinds(node),
            None => Some([true; 3]),
        };
        let to = fields.require("to", "SINK", self.problems);
        let to = to.and_then(|node| self.reference(node, "sink", sinks));
        Some(Route { matchers: matchers?, on: on?, to: to? })
    }

    fn kinds(&mut self, node: &Node) -> Option<[bool; 3]> {
        let items = fields::items(node, "`on`", self.problems)?;
        if items.is_empty() {
            let help = "leave it out for all of them, or write [opened, closed, correction]";
            self.problems.error_help(&node.span, "`on` needs at least one kind", help);
            return None;
        }
        let mut on = [false; 3];
        let known = Kind::NAMES.map(|(name, _)| name);
        let found = items.iter().map(|node| {
            let name = fields::text(node, "a kind of notification", self.problems)?;
            match known.iter().position(|known| *known == name) {
                Some(kind) => on[kind] = true,
                None => self.problems.unknown(&node.span, "kind", name, &known),
            }
            known.contains(&name).then_some(())
        });
        let found: Vec<_> = found.collect();
        found.into_iter().collect::<Option<Vec<_>>>()?;
        Some(on)
    }

    pub(super) fn matchers(&mut self, node: &Node, names: &Names<'_>) -> Option<Vec<Matcher>> {
        let items = fields::items(node, "`match`", self.problems)?;
        let read = items.iter().map(|node| {
            let text = fields::text(node, "a matcher", self.problems)?;
            let parsed = Matcher::parse(text).map_err(|fault| vec![fault]);
            let matcher = self.without_faults(node, parsed)?;
            self.check_names(node, &matcher, names);
            Some(matcher)
        });
        let read: Vec<_> = read.collect();
        read.into_iter().collect()
    }

    /// A label that is nowhere defined is a slip.
    pub(super) fn check_subject(&mut self, node: &Node, subject: &Subject, names: &Names<'_>) {
        let Subject::Label(name) = subject else { return };
        if let Some(labels) = names.labels.as_ref().filter(|all| !all.contains(&**name)) {
            let message = format!("there is no label `{name}`, of any signal or rule");
            let known = ["rule", "signal", "state", "entity"];
            let known: Vec<_> = known.iter().chain(labels).copied().collect();
            let help = diagnostics::suggestion("name", name, &known);
            self.problems.error_help(&node.span, message, help);
        }
    }

    /// So is another name.
    fn check_names(&mut self, node: &Node, matcher: &Matcher, names: &Names<'_>) {
        self.check_subject(node, &matcher.subject, names);
        let Pattern::Text(value) = &matcher.value else { return };
        let (kind, known) = match matcher.subject {
            Subject::Rule => ("rule", &names.rules),
            Subject::Signal => ("signal", &names.signals),
            Subject::State => ("state", &names.states),
            Subject::Entity | Subject::Label(_) => return,
        };
        if let Some(known) = known.as_ref().filter(|known| !known.contains(&**value)) {
            let known: Vec<_> = known.iter().copied().collect();
            self.problems.unknown(&node.span, kind, value, &known);
        }
    }
}

/// What is wrong with an address, and what would be right.
pub(crate) fn check_url(text: &str) -> Result<(), (String, &'static str)> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_plain = text.chars().all(|c| c.is_ascii_graphic());
    let authority = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    match authority {
        Some(authority) if authority.contains('@') => {
            // Without the text: it has a secret in it.
            Err(("the URL has credentials in it".to_owned(), "send them in a header"))
        }
        Some(authority) if is_plain && !authority.is_empty() => Ok(()),
        _ => Err((format!("`{text}` is not a URL"), "write https://HOST/PATH, or http://")),
    }
}

/// Whether a text can be sent in a header.
pub(crate) fn is_header_value(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_graphic() || c == ' ')
}
