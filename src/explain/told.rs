//! Who was told of an entity, and what kept others from it: by the latch of the replay, which has to
//! see all entities for that.

use serde::Serialize;
use smol_str::SmolStr;

use super::instant;
use crate::alerts::latch::Latch;
use crate::alerts::notification::{Keeper, Notification, Standing};
use crate::alerts::{Destination, Routing, Withheld};
use crate::model::duration::format_duration;
use crate::model::episode::Catalog;
use crate::model::time::format_rfc3339;
use crate::persistence::Learner;
use crate::pipeline::Gathered;
use crate::replay::memory::{How, collect};
use crate::replay::{Failure, Log};
use crate::rules::{Aggregate, Limit, Rules, When};
use crate::sources::intake::{Matcher, Traced};
use crate::sources::{InputError, Interrupt};

/// A notification of an episode, or one that was withheld.
#[derive(Clone, Debug, Serialize)]
pub struct Tidings {
    /// When it became known.
    #[serde(serialize_with = "instant")]
    pub at: i64,
    /// What it is: opened, closed or a correction.
    pub kind: &'static str,
    /// How the episode stands then.
    pub standing: &'static str,
    /// Which rule is it of.
    pub rule: String,
    /// And which state.
    pub state: String,
    /// When the episode began.
    #[serde(serialize_with = "instant")]
    pub since: i64,
    /// The sinks that are told, or would be.
    pub to: Vec<String>,
    /// Why they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Kept>,
}

/// What withholds a notification.
#[derive(Clone, Debug, Serialize)]
pub struct Kept {
    /// Its kind, as in `notifications.ndjson`.
    pub by: &'static str,
    /// Its name.
    pub name: String,
    /// Of a silence that records tell of, its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the group is called that is told in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The numbers that decided, and what would have been told otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What takes in a replay, until all is there.
struct Listener {
    latch: Latch,
    learner: Option<Learner>,
    entity: SmolStr,
    told: Vec<Notification>,
    end_ns: Option<i64>,
}

impl Listener {
    fn receive(this: &mut Option<Self>, gathered: Gathered) {
        let Some(Self { latch, learner, entity, told, end_ns }) = this else { return };
        match gathered {
            Gathered::Episodes(updates) => latch.take(&updates, told),
            Gathered::Candidates { candidates, episodes } => {
                if let Some(learner) = learner {
                    latch.take_learned(learner, &candidates, &episodes, told);
                }
            }
            Gathered::Silencings(heard) => latch.hear(heard),
            Gathered::End(clock_ns) => *end_ns = (*end_ns).max(Some(clock_ns)),
            Gathered::Ledger(_) | Gathered::Passed(_) | Gathered::CutAt(_) | Gathered::Cut => {}
        }
        told.retain(|notification| notification.episode.entity == *entity);
    }
}

/// Who is told of an entity, until an instant if one is given; nobody without routes.
pub(super) fn tidings(
    rules: &Rules,
    logs: &[Log],
    entity: &str,
    (tick_ns, until_ns): (i64, Option<i64>),
) -> Result<Vec<Tidings>, Failure> {
    if rules.routes.is_empty() {
        return Ok(Vec::new());
    }
    let partitions = logs.iter().enumerate();
    let partitions = partitions
        .map(|(number, log)| log.open(Log::number(logs, number), rules, &Interrupt::default()))
        .collect::<Result<Vec<_>, InputError>>()?;
    let routing = Routing::new(rules);
    let latch = Latch::new(rules, &routing.catalog, tick_ns);
    let learner = Learner::new(rules, tick_ns);
    let (entity_name, told) = (entity.into(), Vec::new());
    let listener = Listener { latch, learner, entity: entity_name, told, end_ns: None };
    let how = How { tick_ns, until_ns, traced: Traced::Nothing, workers: 1 };
    let (listener, outcome) =
        collect(partitions, &Matcher::new(rules), how, Some(listener), Listener::receive)?;
    let Some(Listener { mut latch, mut learner, mut told, end_ns, .. }) = listener else {
        return Ok(Vec::new());
    };
    if let Some(clock_ns) = outcome.clock.or(end_ns) {
        latch.end_learned(learner.as_mut(), clock_ns, &mut told);
    }
    told.retain(|notification| notification.episode.entity == entity);
    let tidings = told.iter().filter_map(|notification| {
        let Destination { sinks, withheld } = routing.destination(notification)?;
        let (_, rule, state) = routing.catalog.names(&notification.episode);
        Some(Tidings {
            at: notification.at_ns,
            kind: notification.kind.name(),
            standing: notification.standing.name(),
            rule: rule.to_owned(),
            state: state.to_owned(),
            since: notification.episode.since_ns,
            to: sinks.iter().map(|sink| rules.sinks[*sink].name.to_string()).collect(),
            withheld: withheld.map(|Withheld { by, name, id, group }| Kept {
                by,
                name: name.to_owned(),
                id: id.map(str::to_owned),
                group: group.map(str::to_owned),
                why: why(rules, &routing.catalog, notification),
            }),
        })
    });
    Ok(tidings.collect())
}

/// The numbers by which something is withheld, and by which it would not be.
fn why(rules: &Rules, catalog: &Catalog, notification: &Notification) -> Option<String> {
    let name = catalog.rule_name(notification.episode.rule);
    let rule = rules.rules.iter().find(|rule| rule.name == name)?;
    if rule.observes {
        return Some("with mode deliver only a group or the limit could withhold it".to_owned())
            .filter(|_| notification.kept_by.is_none());
    }
    match notification.kept_by.as_ref()? {
        Keeper::Silence(number, _) => {
            let silence = &rules.silences[*number];
            let lasts = match &silence.when {
                When::Once { from_ns, until_ns } => {
                    let (from, until) = (format_rfc3339(*from_ns), format_rfc3339(*until_ns));
                    format!("from {from} until {until}")
                }
                When::Recurring(_) => {
                    let until = silence.when.until(notification.at_ns);
                    until.map_or_else(
                        || "it recurs".to_owned(),
                        |until| format!("until {}", format_rfc3339(until)),
                    )
                }
                When::While { .. } => "while another episode holds".to_owned(),
                When::Heard(_) => "as records say".to_owned(),
            };
            Some(format!(
                "{lasts}; without it only another silence, a group or the limit could withhold it"
            ))
        }
        Keeper::Limit => {
            let Limit { burst, every_ns, .. } = rule.limit?;
            let every = format_duration(every_ns);
            Some(format!(
                "{burst} at once and one more every {every} were told; with a burst of more it is told at once"
            ))
        }
        Keeper::Group { name, since_ns, shortest_ns } => {
            let Aggregate { from, within_ns, .. } = rule.aggregate.as_ref()?;
            let (since, within) = (format_rfc3339(*since_ns), format_duration(*within_ns));
            let mut why =
                format!("one of {name} since {since}: {from} entities or more within {within}");
            if let Some(shortest_ns) = shortest_ns {
                let alone = format_duration(*shortest_ns);
                why += &format!("; within {alone} or less it is told by itself");
            }
            Some(why)
        }
    }
}

impl Tidings {
    /// In words.
    pub(super) fn sentence(&self) -> String {
        let Self { kind, rule, state, to, .. } = self;
        let (at, since) = (format_rfc3339(self.at), format_rfc3339(self.since));
        let standing = match self.standing == Standing::Withdrawn.name() {
            true => ", withdrawn",
            false => "",
        };
        let what = format!("{rule}: {state} since {since} {kind}{standing} at {at}");
        let to = to.join(", ");
        let Some(Kept { by, name, id, why, .. }) = &self.withheld else {
            return format!("told {to} of {what}");
        };
        let id = id.as_ref().map_or_else(String::new, |id| format!(" ({id})"));
        let why = why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        format!("not told {to} of {what}: withheld by {by} {name}{id}{why}")
    }
}
