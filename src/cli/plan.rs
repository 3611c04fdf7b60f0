//! `limbeck check --plan`: what each rule does to a record, stage by stage, for people.

use std::fmt::{self, Write};

use limbeck_operators::machines::flap_damping::Damping;
use limbeck_operators::machines::flap_detection::{Detection, Weights};
use limbeck_operators::machines::quorum::{Asks, WHOLE};
use limbeck_operators::machines::session::Grouping;
use limbeck_operators::machines::smoothing::Smoothing;
use limbeck_operators::machines::threshold::{Bound, Thresholds};

use crate::model::duration::format_duration;
use crate::model::time::format_rfc3339;
use crate::rules::{
    ABOVE, Aggregate, BELOW, Condition, Dedup, FLAPPING, Format, Grace, Hearing, Kind, Limit,
    Mapping, Marker, Matcher, NORMAL, Persistence, Route, Rule, Rules, SESSION, Setting, Signal,
    Silence, SinkKind, Skew, Source, Subject, TemplatePart, Text, TimeField, TimeForm, UNKNOWN,
    Unit, When, weight_of,
};

const SAME_ID: &str = "by id: equal in source, id, event time and subject";
const SAME_CONTENT: &str = "by content: equal in all but the arrival";

/// The stages of every rule, in the order of the file.
pub(super) fn text(rules: &Rules) -> String {
    let mut text = String::new();
    for rule in &rules.rules {
        push_rule(&mut text, rules, rule).expect("a String takes every write");
    }
    for route in &rules.routes {
        push_route(&mut text, rules, route).expect("a String takes every write");
    }
    for silence in &rules.silences {
        push_silence(&mut text, rules, silence).expect("a String takes every write");
    }
    text
}

/// What is not told, and when.
fn push_silence(text: &mut String, rules: &Rules, silence: &Silence) -> fmt::Result {
    writeln!(text, "\n{} {}", silence.kind(), silence.name)?;
    let mut stages = Stages { text, number: 0 };
    stages.stage("waits to be opened: an episode for which all of these hold")?;
    stages.details([("match", matchers(&silence.matchers))])?;
    match &silence.when {
        When::Once { from_ns, until_ns } => {
            stages.stage("once")?;
            let [from, until] = [*from_ns, *until_ns].map(format_rfc3339);
            stages.details([("from", from), ("until", until)])?;
        }
        When::Recurring(intervals) => {
            let plural = if intervals.len() == 1 { "" } else { "s" };
            stages.stage(format_args!(
                "again and again: in {} time interval{plural}",
                intervals.len()
            ))?;
            stages.details(intervals.iter().map(|interval| ("", interval.to_string())))?;
        }
        When::Heard(hearing) => {
            stages.stage("as records say; of those of one id the last counts")?;
            let Hearing { from, filter, id, matchers, starts, ends } = &**hearing;
            let from = from.map(|from| ("from", rules.sources[from].name.to_string()));
            let filter = filter.as_ref().map(|filter| ("where", condition(filter)));
            let read = [("id", id), ("matchers", matchers), ("starts", starts), ("ends", ends)];
            let read = read.map(|(name, value)| (name, value.text().to_owned()));
            stages.details(from.into_iter().chain(filter).chain(read))?;
        }
        When::While { matchers: of, equal } => {
            stages.stage("while an episode holds for which all of these hold")?;
            let equal: Vec<_> = equal.iter().map(Subject::name).collect();
            let equal = (!equal.is_empty()).then(|| ("equal", equal.join(", ")));
            stages.details([("match", matchers(of))].into_iter().chain(equal))?;
        }
    }
    stages.stage("then it is opened, unless it is over by then; what was opened is closed as ever")
}

fn matchers(matchers: &[Matcher]) -> String {
    match matchers {
        [] => "everything".to_owned(),
        all => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// Which notifications go where. Settings may be secrets, and are not shown.
fn push_route(text: &mut String, rules: &Rules, route: &Route) -> fmt::Result {
    let sink = &rules.sinks[route.to];
    let late = format_duration(rules.lateness_ns);
    writeln!(text, "\nroute to {}", sink.name)?;
    let mut stages = Stages { text, number: 0 };
    stages.stage("notifications: of episodes for which all of these hold")?;
    stages.details([("match", matchers(&route.matchers))])?;
    stages.stage("on: what is told")?;
    let when = [
        format!("{late} after it is decided, when nothing can change it in time any more"),
        format!("{late} after the end is decided, likewise"),
        "at once, of what was told and is no longer so".to_owned(),
    ];
    let told = Kind::NAMES.iter().zip(when).filter(|((_, kind), _)| route.on[*kind as usize]);
    stages.details(told.map(|((name, _), when)| (*name, when)))?;
    match sink.kind {
        SinkKind::Webhook => stages.stage("webhook: each a CloudEvent, by POST")?,
        SinkKind::Alertmanager { resolve_after_ns } => {
            let resolve_after = format_duration(resolve_after_ns);
            stages.stage("alertmanager: each an alert, by POST to api/v2/alerts")?;
            stages.details([("resolves itself after", resolve_after)])?;
        }
    }
    let from = |setting: &Setting| match setting {
        Setting::Text(_) => "as the rule file says".to_owned(),
        Setting::Env(name) => format!("as the variable {name} says"),
        Setting::File(path) => format!("as the file {} says", path.display()),
    };
    let headers = sink.headers.iter().map(|(name, value)| (&**name, from(value)));
    let timeout = ("timeout", format_duration(sink.timeout_ns));
    stages.details([("url", from(&sink.url))].into_iter().chain(headers).chain([timeout]))
}

/// Stages in order, each with the details below it.
struct Stages<'t> {
    text: &'t mut String,
    number: usize,
}

impl Stages<'_> {
    fn stage(&mut self, title: impl fmt::Display) -> fmt::Result {
        self.number += 1;
        writeln!(self.text, "  {}. {title}", self.number)
    }

    /// Another way to begin.
    fn or_stage(&mut self, title: impl fmt::Display) -> fmt::Result {
        match self.number {
            0 => self.stage(title),
            _ => writeln!(self.text, "  or {title}"),
        }
    }

    /// Rows of a name and a value, in two columns.
    fn details<'s>(&mut self, rows: impl IntoIterator<Item = (&'s str, String)>) -> fmt::Result {
        let rows: Vec<_> = rows.into_iter().collect();
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        rows.iter()
            .try_for_each(|(name, value)| writeln!(self.text, "       {name:width$}  {value}"))
    }
}

fn push_rule(text: &mut String, rules: &Rules, rule: &Rule) -> fmt::Result {
    let version = rule.version.as_ref().map(|version| format!(" {version}"));
    writeln!(text, "\nrule {}{}", rule.name, version.unwrap_or_default())?;
    let mut stages = Stages { text, number: 0 };
    let signal = &rules.signals[rule.signal];
    match signal.from {
        Some(from) => push_source(&mut stages, &rules.sources[from])?,
        None => rules.sources.iter().try_for_each(|source| push_source(&mut stages, source))?,
    }
    stages.stage(format_args!("signal {}: records with a subject", signal.name))?;
    stages.details(signal.filter.as_ref().map(|filter| ("where", condition(filter))))?;
    let reading = signal.value.as_ref().map(|from| ("value", from.text().to_owned()));
    let reading = match signal.is_measured() {
        true => {
            stages.stage("reading: a record without a finite number is unmatched")?;
            stages.details(reading.clone())?;
            None
        }
        false => {
            stages.stage("state: the first that holds; a record without any is unmatched")?;
            let states = signal.states.iter();
            stages.details(states.map(|state| (&*state.name, condition(&state.when))))?;
            reading
        }
    };
    let carried = signal.labels.iter().map(|label| (&*label.name, label.from.text().to_owned()));
    let carried: Vec<_> = carried.chain(reading).collect();
    if !carried.is_empty() {
        stages.stage("carried to episodes: labels and reading of the record they begin with")?;
        stages.details(carried)?;
    }
    if let Some(filter) = &rule.filter {
        stages.stage("where: of other records this rule sees nothing")?;
        stages.details([("where", condition(filter))])?;
    }
    let base = rule.canary.as_ref().map(|canary| (rule, canary));
    let own = rules.rules.iter().filter_map(|other| Some((other, other.canary.as_ref()?)));
    let own = own.filter(|(_, canary)| rules.rules[canary.base].name == rule.name);
    for (of, canary) in base.into_iter().chain(own) {
        let (share, base) = (canary.percent(), &rules.rules[canary.base].name);
        let unit = unit(signal, canary.by);
        stages.stage(match of.name == rule.name {
            true => format!("canary: it sees {share} of {unit}; the rest is seen by {base}"),
            false => format!("canary: {share} of {unit} are seen by {}, and not here", of.name),
        })?;
    }
    let late = format_duration(rule.amend_within_ns);
    stages.stage(format_args!(
        "late: what arrives more than {late} after its event time is left out"
    ))?;
    stages.stage("duplicates: of equal records the first counts, the others are left out")?;
    if let Some(Dedup { by, within_ns }) = &rule.dedup {
        stages.stage(format_args!(
            "dedup: of one state and equal values, the first within {} counts",
            format_duration(*within_ns)
        ))?;
        stages.details(by.iter().map(|value| ("by", value.text().to_owned())))?;
    }
    push_stages(&mut stages, rules, rule)?;
    stages.stage("hold: a state counts once it has lasted")?;
    let holds = rule.own_states(signal).map(|(number, name)| {
        let hold = rule.hold_ns[number];
        (&**name, if hold == 0 { "at once".to_owned() } else { format_duration(hold) })
    });
    stages.details(holds)?;
    let keeps = rule.own_states(signal).map(|(number, name)| (&**name, rule.keep_ns[number]));
    let keeps: Vec<_> = keeps.filter(|(_, keep)| *keep > 0).collect();
    if !keeps.is_empty() {
        stages.stage("keep: a state lasts so long after it was first missed; a return resets")?;
        stages.details(keeps.into_iter().map(|(name, keep)| (name, format_duration(keep))))?;
    }
    let expiry = format_duration(rule.expire_after_ns);
    stages.stage(format_args!(
        "expiry: after {expiry} without observations an entity is forgotten"
    ))?;
    stages.stage(format_args!("output: episodes of {} by entity", rule.name))?;
    push_persistence(&mut stages, signal, rule)?;
    if let Some(Aggregate { by, from, within_ns }) = &rule.aggregate {
        let within = format_duration(*within_ns);
        stages.stage(format_args!(
            "aggregate: from {from} entities within {within} on, similar ones are told as one"
        ))?;
        let by = by.iter().map(|label| signal.labels[*label].name.as_str());
        let by: Vec<_> = ["state"].into_iter().chain(by).collect();
        stages.details([("similar", format!("equal in {}", by.join(", ")))])?;
    }
    if let Some(Limit { burst, every_ns, by }) = rule.limit {
        let (every, unit) = (format_duration(every_ns), unit(signal, by));
        stages.stage(format_args!(
            "limit: of {unit}, each, {burst} are told as opened, and one more every {every}; others wait"
        ))?;
    }
    if rule.observes {
        stages.stage("observe: nobody is told of them")?;
    }
    let schema = signal.schema.as_ref().map(|schema| ("schema", schema.to_string()));
    let texts = rule.labels.iter().chain(&rule.annotations);
    let texts = texts.map(|(name, template)| (&**name, template.to_string()));
    stages.details(schema.into_iter().chain(texts))
}

/// What is learned of how long faults last.
fn push_persistence(stages: &mut Stages<'_>, signal: &Signal, rule: &Rule) -> fmt::Result {
    let Some(Persistence { by, prior, remember_ns, horizons_ns, announce }) = &rule.persistence
    else {
        return Ok(());
    };
    let horizons: Vec<_> = horizons_ns.iter().map(|ns| format_duration(*ns)).collect();
    let horizons = horizons.join(", ");
    stages.stage(format_args!("persistence: how likely faults are to last for {horizons}"))?;
    let group = by.map_or("all of the rule", |label| signal.labels[label].name.as_str());
    let remember = format_duration(*remember_ns);
    let learned = format!(
        "the past faults of each entity, and {prior} as those of its group: {group}; for {remember}"
    );
    let announced = announce.as_ref().map(|announce| ("told early", announce.text().to_owned()));
    stages.details(
        [faults(signal, rule, |_| true), ("learned of", learned)].into_iter().chain(announced),
    )
}

fn faults(signal: &Signal, rule: &Rule, are: impl Fn(usize) -> bool) -> (&'static str, String) {
    let names = signal.state_names().enumerate();
    let faults = names.filter(|(state, _)| rule.stages.faults[*state] && are(*state));
    let faults: Vec<_> = faults.map(|(_, name)| name.as_str()).collect();
    let none = "none that is observed".to_owned();
    ("faults", if faults.is_empty() { none } else { faults.join(", ") })
}

fn unit(signal: &Signal, unit: Unit) -> &str {
    match unit {
        Unit::Entity => "entities",
        Unit::Label(label) => signal.labels[label].name.as_str(),
    }
}

/// What is done before observations are held.
fn push_stages(stages: &mut Stages<'_>, rules: &Rules, rule: &Rule) -> fmt::Result {
    let (asked, signal) = (&rule.stages, &rules.signals[rule.signal]);
    if let Some(after_ns) = asked.absent_after_ns {
        let after = format_duration(after_ns);
        stages.stage(format_args!("absent: after {after} without observations it is {UNKNOWN}"))?;
    }
    if let Some(Thresholds { smoothing, above, below }) = asked.thresholds {
        if let Some(smoothing) = smoothing {
            stages.stage(format_args!("smooth: {}", smoothed(smoothing)))?;
        }
        stages.stage(format_args!("threshold: {NORMAL}, unless it is beyond one"))?;
        let bound = |Bound { at, recover }: Bound, beyond: &str, back: &str| {
            format!("{beyond} {at}, until it is {recover} or {back}")
        };
        let above = above.map(|of| (ABOVE, bound(of, "above", "below")));
        stages.details(
            above.into_iter().chain(below.map(|of| (BELOW, bound(of, "below", "above")))),
        )?;
    }
    if let Some(except) = &rule.except {
        stages.stage("except: what is so passes at once, whatever follows would hold it")?;
        stages.details([("except", condition(except))])?;
    }
    // What nobody observed passes them.
    let faults = faults(signal, rule, |state| !rule.is_of_silence(signal, state));
    if let Some(quorum) = &asked.quorum {
        let of = signal.labels[quorum.of].name.to_string();
        let asks = match quorum.asks {
            Asks::AtLeast(least) => format!("at least {} of the votes", weight_of(least)),
            Asks::Share(share) => {
                format!("a share of {} of the votes", f64::from(share) / f64::from(WHOLE))
            }
        };
        stages.stage(format_args!("quorum: a fault counts while it has {asks}"))?;
        let weights = quorum.weights.iter();
        let weights = weights.map(|(name, weight)| format!("{name} {}", weight_of(*weight)));
        let weights: Vec<_> = weights.collect();
        let weights = (!weights.is_empty()).then(|| ("weights", weights.join(", ")));
        let within = format!("the latest of each {of}, for {}", format_duration(quorum.within_ns));
        stages.details([faults.clone(), ("votes", within)].into_iter().chain(weights))?;
    }
    if let Some(damping) = asked.damping {
        let what = match damping.observes {
            true => "is counted (test mode), and passes",
            false => "is withheld until it is quiet",
        };
        stages.stage(format_args!("flap_damping: what changes too often {what}"))?;
        let Damping { fault, back, change, suppress, reuse, half_life, max, .. } = damping;
        stages.details([
            faults.clone(),
            ("penalties", format!("{fault} a fault, {back} a return, {change} another change")),
            ("suppress", format!("above {suppress}, until it has decayed to {reuse}")),
            ("half-life", format_duration(half_life)),
            ("ceiling", format!("{:.1}: {} at most", damping.ceiling(), format_duration(max))),
        ])?;
    }
    if let Some(Detection { weights, high, low }) = asked.detection {
        let (name, from) = match weights {
            Weights::Icinga => ("icinga", "above"),
            Weights::Nagios => ("nagios", "from"),
        };
        stages.stage(format_args!(
            "flap_detection: {FLAPPING} {from} {high} % of changes in 21 observations, until {low} %"
        ))?;
        stages.details([("weights", name.to_owned())])?;
    }
    if let Some(Grace { for_ns, after_first, markers }) = &asked.grace {
        let lasts = format_duration(*for_ns);
        let first = after_first.then(|| "an entity is first seen".to_owned());
        let markers = markers.iter().map(|Marker { signal, states }| {
            let signal = &rules.signals[*signal];
            let states: Vec<_> = states.iter().map(|of| signal.states[*of].name.as_str()).collect();
            match states.is_empty() {
                true => format!("a record of {}", signal.name),
                false => format!("{} is {}", signal.name, states.join(" or ")),
            }
        });
        let after: Vec<_> = first.into_iter().chain(markers).collect();
        let after = after.join(", or ");
        stages.stage(format_args!("grace: for {lasts} after {after}, faults wait"))?;
        stages.details([faults])?;
    }
    if let Some(Grouping { gap, least }) = asked.session {
        let gap = format_duration(gap);
        stages.stage(format_args!(
            "session: from {least} changes on, each less than {gap} after the one before, it is {SESSION}"
        ))?;
    }
    Ok(())
}

/// What is made of readings, in words.
fn smoothed(smoothing: Smoothing) -> String {
    match smoothing {
        Smoothing::Mean { half_life } => {
            format!("their time-weighted mean, with a half-life of {}", format_duration(half_life))
        }
        Smoothing::Median { over } => format!("the median of the last {}", format_duration(over)),
        Smoothing::Rate { over, .. } => format!(
            "how fast it grew in the last {}, a second; what falls was reset to 0. The first reading \
             has no rate",
            format_duration(over)
        ),
    }
}

fn push_source(stages: &mut Stages<'_>, source: &Source) -> fmt::Result {
    let corrected = match source.skew {
        Skew::Report => "",
        Skew::Correct => ", corrected by the estimate of each source's clock",
    };
    match &source.format {
        Format::CloudEvents => {
            stages.or_stage(format_args!("source {}: CloudEvents 1.0 in JSON", source.name))?;
            stages.details([
                ("event time", format!("time{corrected}")),
                ("arrival", "recordedtime, or else the event time".to_owned()),
                ("duplicates", SAME_ID.to_owned()),
            ])
        }
        Format::Json { mapping, explode } => {
            let exploded = explode.as_ref().map(|path| format!(", one for each element of {path}"));
            let exploded = exploded.unwrap_or_default();
            stages.or_stage(format_args!("source {}: JSON objects{exploded}", source.name))?;
            stages.details(details(mapping, corrected))
        }
        Format::Document { of, mapping } => {
            stages.or_stage(format_args!("source {}: {}", source.name, of.what()))?;
            stages.details(details(mapping, corrected))
        }
        Format::Csv(csv) => {
            let header = if csv.header.is_some() { "the rule file" } else { "the first line" };
            stages.or_stage(format_args!(
                "source {}: rows of CSV, with the header in {header}",
                source.name
            ))?;
            stages.details(details(&csv.mapping, corrected))
        }
        Format::Regex(regex) => {
            let pattern = regex.pattern.as_str();
            stages.or_stage(format_args!("source {}: lines that match {pattern}", source.name))?;
            stages.details(details(&regex.mapping, corrected))
        }
    }
}

fn details(mapping: &Mapping, corrected: &str) -> Vec<(&'static str, String)> {
    let arrival = mapping.arrival.as_ref().map_or_else(
        || "the event time".to_owned(),
        |field| format!("{}, or else the event time", time(field)),
    );
    let mut rows = vec![
        ("event time", time(&mapping.time) + corrected),
        ("arrival", arrival),
        ("subject", attribute(&mapping.subject)),
        ("source", attribute(&mapping.source)),
        ("type", attribute(&mapping.type_)),
    ];
    rows.extend(mapping.sequence.as_ref().map(|text| ("sequence", attribute(text))));
    rows.extend(mapping.id.as_ref().map(|text| ("id", attribute(text))));
    let same = if mapping.id.is_some() { SAME_ID } else { SAME_CONTENT };
    rows.push(("duplicates", same.to_owned()));
    rows
}

fn time(time: &TimeField) -> String {
    match &time.form {
        TimeForm::Unit(unit) => format!("{} ({})", time.field, unit.name()),
        TimeForm::Format(format) => format!("{} ({format})", time.field),
    }
}

fn attribute(text: &Text) -> String {
    match text {
        Text::Field(path) => path.to_string(),
        Text::Const(text) => format!("{text:?}"),
        Text::Template(parts) => {
            let part = |part: &TemplatePart| match part {
                TemplatePart::Literal(text) => text.to_string(),
                TemplatePart::Field(path) => format!("{{{path}}}"),
            };
            format!("{:?}", parts.iter().map(part).collect::<String>())
        }
    }
}

/// A condition on one line, and who judges it.
fn condition(condition: &Condition) -> String {
    let lines: Vec<_> = condition.text().lines().map(str::trim).collect();
    let judge = if condition.is_native() { "native" } else { "interpreted" };
    format!("{} ({judge})", lines.join(" ").trim())
}
