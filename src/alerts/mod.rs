//! Alerts: which changes of episodes are notified of, and where.
//!
//! Guarantee: `notifications.ndjson` depends on the log, the rules and the tick alone, and has a line for
//! every notification that a route wants, in the order in which they are told. State: a [`Latch`].
//!
//! - `latch`: what is notified of and when, decided by the log alone.

pub mod latch;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::latch::{Latch, Notification, Snapshot};
use crate::model::episode::{Catalog, Episode};
use crate::pipeline::Update;
use crate::rules::{Route, Rules, Subject};
use crate::sinks::json::push_notification;
use crate::sinks::{AtomicFile, Growing, OutputError};

/// The name of the file.
pub const NOTIFICATIONS: &str = "notifications.ndjson";

/// What is remembered of what has been told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedAlerts {
    latch: Snapshot,
    told: u64,
    /// How much of the file there is.
    pub bytes: u64,
}

/// Decides what is told, and writes it.
pub struct Alerts {
    catalog: Catalog,
    routes: Vec<Route>,
    sinks: Vec<String>,
    latch: Latch,
    file: Growing,
    told: u64,
    /// Used again and again.
    notifications: Vec<Notification>,
    line: Vec<u8>,
}

impl Alerts {
    /// Decides for the routes of a rule file, of which there must be some.
    pub fn new(rules: &Rules, tick_ns: i64, file: Growing) -> Self {
        let catalog = Catalog::new(rules);
        Self {
            latch: Latch::new(rules, &catalog, tick_ns),
            catalog,
            routes: rules.routes.clone(),
            sinks: rules.sinks.iter().map(|sink| sink.name.to_string()).collect(),
            file,
            told: 0,
            notifications: Vec::new(),
            line: Vec::new(),
        }
    }

    /// Goes on with what was remembered.
    #[must_use]
    pub fn restore(mut self, saved: SavedAlerts) -> Self {
        self.latch = self.latch.restore(saved.latch);
        self.told = saved.told;
        self
    }

    /// What is remembered, when all that was told is on the disk.
    ///
    /// # Errors
    /// If writing fails.
    pub fn save(&mut self) -> Result<SavedAlerts, OutputError> {
        Ok(SavedAlerts { latch: self.latch.snapshot(), told: self.told, bytes: self.file.save()? })
    }

    /// Takes in all updates of some complete logical times, in order.
    ///
    /// # Errors
    /// If writing fails.
    pub fn take(&mut self, updates: &[Update<Episode>]) -> Result<(), OutputError> {
        self.latch.take(updates, &mut self.notifications);
        self.tell()
    }

    /// Tells what is due when the log ends, and gives the file, and how many lines it has.
    ///
    /// # Errors
    /// If writing fails.
    pub fn finish(mut self, clock_ns: Option<i64>) -> Result<(AtomicFile, u64), OutputError> {
        if let Some(clock_ns) = clock_ns {
            self.latch.end(clock_ns, &mut self.notifications);
        }
        self.tell()?;
        Ok((self.file.finish()?, self.told))
    }

    fn tell(&mut self) -> Result<(), OutputError> {
        let mut notifications = std::mem::take(&mut self.notifications);
        for notification in notifications.drain(..) {
            let sinks = self.sinks_of(&notification);
            if sinks.is_empty() {
                continue;
            }
            let names: Vec<_> = sinks.iter().map(|sink| &self.sinks[*sink]).collect();
            self.line.clear();
            self.line.extend(br#"{"to":"#);
            serde_json::to_writer(&mut self.line, &names).expect("a Vec takes every write");
            self.line.extend(br#","notification":"#);
            push_notification(&mut self.line, &self.catalog, &notification);
            self.line.extend(b"}\n");
            self.file.put(&self.line)?;
            self.told += 1;
        }
        self.notifications = notifications;
        Ok(())
    }

    /// The sinks of the routes that want it, each once, in the order of the rule file.
    fn sinks_of(&self, notification: &Notification) -> Vec<usize> {
        let Notification { kind, episode, was, .. } = notification;
        let versions = [Some(episode), was.as_deref()];
        // A correction is for those who would have been told before, too.
        let versions =
            versions.into_iter().flatten().map(|version| Said::new(&self.catalog, version));
        let versions: Vec<_> = versions.collect();
        let wants = |route: &Route| {
            route.on[*kind as usize] && versions.iter().any(|version| version.fits(route))
        };
        let wanted = self.routes.iter().filter(|route| wants(route));
        let mut sinks: Vec<_> = wanted.map(|route| route.to).collect();
        sinks.sort_unstable();
        sinks.dedup();
        sinks
    }
}

/// What an episode says, for matchers.
struct Said<'e> {
    signal: &'e str,
    rule: &'e str,
    state: &'e str,
    entity: &'e str,
    labels: BTreeMap<&'e str, Cow<'e, str>>,
}

impl<'e> Said<'e> {
    fn new(catalog: &'e Catalog, episode: &'e Episode) -> Self {
        let (signal, rule, state) = catalog.names(episode);
        Self { signal, rule, state, entity: &episode.entity, labels: catalog.labels(episode) }
    }

    fn fits(&self, route: &Route) -> bool {
        route.matchers.iter().all(|matcher| {
            matcher.holds(match &matcher.subject {
                Subject::Rule => self.rule,
                Subject::Signal => self.signal,
                Subject::State => self.state,
                Subject::Entity => self.entity,
                Subject::Label(name) => self.labels.get(&**name).map_or("", |value| value),
            })
        })
    }
}
