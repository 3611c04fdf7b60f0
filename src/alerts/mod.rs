//! Alerts: which changes of episodes are notified of, and where.
//!
//! Guarantee: `notifications.ndjson` depends on the log, the rules and the tick alone, and has a
//! line for every notification that a route wants, in the order in which they are told. State: a
//! [`Latch`].
//!
//! - `latch`: what is notified of and when, decided by the log alone.
//! - `outbox`: what is still to be delivered to a sink, on disk; `sender`: the threads that deliver
//!   it; `request`: what a sink is sent. None of them decides what is told.

pub mod latch;
pub mod outbox;
pub mod request;
pub mod sender;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use limbeck_operators::hash::fixed_hash;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use self::latch::{Latch, Notification, Snapshot};
use self::outbox::Outbox;
use self::request::Target;
use self::sender::{Backoff, Delivery, Sender};
use crate::durable::Disk;
use crate::model::episode::{Catalog, Episode};
use crate::pipeline::Update;
use crate::rules::{Route, Rules, Subject};
use crate::sinks::json::push_notification;
use crate::sinks::{AtomicFile, Growing, OutputError, Unsynced};
use crate::sources::Interrupt;

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
    sinks: Vec<SmolStr>,
    senders: Option<Arc<Senders>>,
    latch: Latch,
    file: Growing,
    told: u64,
    /// Used again and again.
    notifications: Vec<Notification>,
    line: Vec<u8>,
}

impl Alerts {
    /// Decides for the routes of a rule file, of which there must be some.
    pub fn new(rules: &Rules, tick_ns: i64, file: Growing, senders: Option<Arc<Senders>>) -> Self {
        let catalog = Catalog::new(rules);
        Self {
            latch: Latch::new(rules, &catalog, tick_ns),
            catalog,
            routes: rules.routes.clone(),
            sinks: rules.sinks.iter().map(|sink| sink.name.clone()).collect(),
            senders,
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

    /// What is remembered, as soon as all that was told is on the disk.
    ///
    /// # Errors
    /// If writing fails.
    pub fn save(&mut self) -> Result<(SavedAlerts, Unsynced), OutputError> {
        let (bytes, unsynced) = self.file.save()?;
        Ok((SavedAlerts { latch: self.latch.snapshot(), told: self.told, bytes }, unsynced))
    }

    /// Takes in all updates of some complete logical times, in order.
    ///
    /// # Errors
    /// If writing fails.
    pub fn take(&mut self, updates: &[Update<Episode>]) -> Result<(), OutputError> {
        self.latch.take(updates, &mut self.notifications);
        self.tell()
    }

    /// Tells what is due before a logical time; all updates before it have been taken.
    ///
    /// # Errors
    /// If writing fails.
    pub fn pass(&mut self, before_ns: i64) -> Result<(), OutputError> {
        self.latch.advance(before_ns, &mut self.notifications);
        if self.notifications.is_empty() { Ok(()) } else { self.tell() }
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
        let mut outgoing: Vec<Vec<_>> = vec![Vec::new(); self.sinks.len()];
        for notification in notifications.drain(..) {
            let sinks = sinks_of(&self.routes, &self.catalog, &notification);
            if sinks.is_empty() {
                continue;
            }
            let names: Vec<_> = sinks.iter().map(|sink| &self.sinks[*sink]).collect();
            self.line.clear();
            self.line.extend(br#"{"to":"#);
            serde_json::to_writer(&mut self.line, &names).expect("a Vec takes every write");
            self.line.extend(br#","notification":"#);
            let start = self.line.len();
            push_notification(&mut self.line, &self.catalog, &notification);
            if self.senders.is_some() {
                let key = notification.id(&self.catalog);
                let Episode { entity, rule, .. } = &notification.episode;
                let lane = fixed_hash(&(entity, self.catalog.rule_name(*rule)));
                let body = String::from_utf8(self.line[start..].to_vec());
                let body = body.expect("JSON is text");
                sinks.iter().for_each(|sink| outgoing[*sink].push((key, lane, body.clone())));
            }
            self.line.extend(b"}\n");
            self.file.put(&self.line)?;
            self.told += 1;
        }
        self.notifications = notifications;
        match &self.senders {
            Some(senders) => senders.send(outgoing),
            None => Ok(()),
        }
    }
}

/// The sinks of the routes that want a notification, each once, in the order of the rule file.
pub(crate) fn sinks_of(
    routes: &[Route],
    catalog: &Catalog,
    notification: &Notification,
) -> Vec<usize> {
    let Notification { kind, episode, was, .. } = notification;
    let versions = [Some(episode), was.as_ref().map(|was| &was.episode)];
    // A correction is for those who would have been told before, too.
    let versions = versions.into_iter().flatten().map(|version| Facts::new(catalog, version));
    let versions: Vec<_> = versions.collect();
    let wants = |route: &Route| {
        route.on[*kind as usize] && versions.iter().any(|version| version.fits(route))
    };
    let wanted = routes.iter().filter(|route| wants(route));
    let mut sinks: Vec<_> = wanted.map(|route| route.to).collect();
    sinks.sort_unstable();
    sinks.dedup();
    sinks
}

/// What an episode says, for matchers.
struct Facts<'e> {
    signal: &'e str,
    rule: &'e str,
    state: &'e str,
    entity: &'e str,
    labels: BTreeMap<&'e str, Cow<'e, str>>,
}

impl<'e> Facts<'e> {
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

/// Why notifications cannot be delivered.
#[derive(Debug)]
pub enum DeliveryError {
    /// A setting of a sink is wrong.
    Setting(String),
    /// An outbox is.
    Outbox(OutputError),
}

impl DeliveryError {
    /// The exit code of the contract.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Setting(_) => 78,
            Self::Outbox(error) => error.exit_code(),
        }
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(what) => f.write_str(what),
            Self::Outbox(error) => error.fmt(f),
        }
    }
}

/// A sender for each sink that a route leads to.
pub struct Senders {
    /// By the number of the sink.
    senders: Vec<Option<(SmolStr, Sender)>>,
    dir: PathBuf,
}

/// Sinks are not shown: what they are sent may be secret.
impl fmt::Debug for Senders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Senders").field(&self.dir).finish()
    }
}

impl Senders {
    /// Opens the outboxes in a folder, and begins to deliver what is left in them.
    ///
    /// # Errors
    /// If a setting is wrong, or an outbox cannot be opened.
    pub fn start(rules: &Rules, dir: &Path) -> Result<Self, DeliveryError> {
        Self::start_on(&Disk::default(), rules, dir)
    }

    /// The same, on a disk that may be a faulty one.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_on(disk: &Disk, rules: &Rules, dir: &Path) -> Result<Self, DeliveryError> {
        // Nothing is sent before all is known to be right.
        let targets = rules.sinks.iter().enumerate().map(|(index, sink)| {
            let leads = rules.routes.iter().any(|route| route.to == index);
            if !leads {
                return Ok(None);
            }
            let target = Target::new(sink).map_err(DeliveryError::Setting)?;
            let outbox = Outbox::open(disk, &dir.join(&sink.name));
            Ok(Some((sink.name.clone(), outbox.map_err(DeliveryError::Outbox)?, target)))
        });
        let targets = targets.collect::<Result<Vec<_>, _>>()?;
        let start =
            |(name, outbox, target)| (name, Sender::start(outbox, target, Backoff::default()));
        let senders = targets.into_iter().map(|target| target.map(start)).collect();
        Ok(Self { senders, dir: dir.to_owned() })
    }

    fn send(&self, outgoing: Vec<Vec<(u128, u64, String)>>) -> Result<(), OutputError> {
        for (sender, notifications) in self.senders.iter().zip(outgoing) {
            if let Some((_, sender)) = sender.as_ref().filter(|_| !notifications.is_empty()) {
                sender.send(notifications)?;
            }
        }
        Ok(())
    }

    /// Waits until all is delivered, or for so long at most, or until an interrupt, and says what
    /// is so of each sink.
    ///
    /// # Errors
    /// If an outbox could not be read or written.
    pub fn drain(
        &self,
        at_most: Duration,
        interrupt: &Interrupt,
    ) -> Result<Vec<(&str, Delivery)>, OutputError> {
        let until = sender::now() + at_most;
        let senders = self.senders.iter().flatten();
        // One that fails takes no time from the others.
        let drained: Vec<_> =
            senders.map(|(name, sender)| (&**name, sender.drain(until, interrupt))).collect();
        drained.into_iter().map(|(name, delivery)| Ok((name, delivery?))).collect()
    }

    /// Where the outboxes are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}
