//! Routing: who is told of a notification, or would be, but for what withholds it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::notification::{Keeper, Notification};
use crate::model::episode::{Catalog, Episode};
use crate::rules::{Matcher, OBSERVE, Route, Rules, Silence, Subject};

const AGGREGATE: &str = "aggregate";
const LIMIT: &str = "limit";

/// The kinds of what may withhold notifications.
pub(crate) fn withholding() -> impl Iterator<Item = &'static str> {
    Silence::KINDS.into_iter().chain([OBSERVE, AGGREGATE, LIMIT])
}

/// The routes of a rule file, and what withholds notifications from them.
pub(crate) struct Routing {
    pub(crate) catalog: Catalog,
    routes: Vec<Route>,
    /// Kinds and names, by number.
    silences: Vec<(&'static str, SmolStr)>,
}

/// Where a notification goes.
pub(crate) struct Destination<'r> {
    /// The sinks of the routes that want it, by their numbers.
    pub(crate) sinks: Vec<usize>,
    /// Why they are not told, if they are not.
    pub(crate) withheld: Option<Withheld<'r>>,
}

/// What withholds a notification.
pub(crate) struct Withheld<'r> {
    /// Its kind, as outputs call it.
    pub(crate) by: &'static str,
    /// Its name.
    pub(crate) name: &'r str,
    /// Of a silence that records tell of, its id.
    pub(crate) id: Option<&'r str>,
    /// What the group is called that is told in its place.
    pub(crate) group: Option<&'r str>,
}

impl Routing {
    pub(crate) fn new(rules: &Rules) -> Self {
        let silences = rules.silences.iter();
        Self {
            catalog: Catalog::new(rules),
            routes: rules.routes.clone(),
            silences: silences.map(|one| (one.kind(), one.name.clone())).collect(),
        }
    }

    /// Where a notification goes, or would; `None` if no route wants it.
    pub(crate) fn destination<'r>(
        &'r self,
        notification: &'r Notification,
    ) -> Option<Destination<'r>> {
        let sinks = self.sinks(notification);
        let episode = &notification.episode;
        let rule = self.catalog.rule_name(episode.rule);
        let of_rule = |by| Withheld { by, name: rule, id: None, group: None };
        let withheld = match &notification.kept_by {
            _ if self.catalog.is_observed(episode) => Some(of_rule(OBSERVE)),
            Some(Keeper::Silence(number, id)) => {
                let (by, name) = &self.silences[*number];
                Some(Withheld { by, name, id: id.as_deref(), group: None })
            }
            Some(Keeper::Group { name, .. }) => {
                Some(Withheld { group: Some(name), ..of_rule(AGGREGATE) })
            }
            Some(Keeper::Limit) => Some(of_rule(LIMIT)),
            None => None,
        };
        (!sinks.is_empty()).then_some(Destination { sinks, withheld })
    }

    /// The sinks of the routes that want a notification, each once, in the order of the rule file.
    fn sinks(&self, notification: &Notification) -> Vec<usize> {
        let Notification { kind, episode, was, group, .. } = notification;
        // A correction is for those who would have been told before, too; what is told of a group
        // for those who are told of its members.
        let versions = match group {
            Some(members) => [Some(&members.first), None],
            None => [Some(episode), was.as_ref().map(|was| &was.episode)],
        };
        let versions = versions.into_iter().flatten();
        let versions: Vec<_> = versions.map(|version| Facts::new(&self.catalog, version)).collect();
        let wants = |route: &&Route| {
            route.on[*kind as usize] && versions.iter().any(|version| version.fit(&route.matchers))
        };
        let mut sinks: Vec<_> = self.routes.iter().filter(wants).map(|route| route.to).collect();
        sinks.sort_unstable();
        sinks.dedup();
        sinks
    }
}

/// What an episode says, for matchers.
pub(super) struct Facts<'e> {
    signal: &'e str,
    rule: &'e str,
    state: &'e str,
    entity: &'e str,
    labels: BTreeMap<&'e str, Cow<'e, str>>,
}

impl<'e> Facts<'e> {
    pub(super) fn new(catalog: &'e Catalog, episode: &'e Episode) -> Self {
        let (signal, rule, state) = catalog.names(episode);
        Self { signal, rule, state, entity: &episode.entity, labels: catalog.labels(episode) }
    }

    /// What it says of a subject.
    pub(super) fn say(&self, subject: &Subject) -> &str {
        match subject {
            Subject::Rule => self.rule,
            Subject::Signal => self.signal,
            Subject::State => self.state,
            Subject::Entity => self.entity,
            Subject::Label(name) => self.labels.get(&**name).map_or("", |value| value),
        }
    }

    /// Whether all hold.
    pub(super) fn fit(&self, matchers: &[Matcher]) -> bool {
        matchers.iter().all(|matcher| matcher.holds(self.say(&matcher.subject)))
    }
}
