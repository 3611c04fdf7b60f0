//! Alerts: which changes of episodes are notified of, and where.
//!
//! Guarantee: `notifications.ndjson` depends on the log, the rules and the tick alone, and has a
//! line for every notification that a route wants, in the order in which they are told; what is
//! withheld has one, too, which says by what. State: a [`Latch`].
//!
//! - `notification`: what there is to tell; `latch`: what of it is told and when, decided by the log
//!   alone; `silence`: what is silenced; `aggregate`: what is told as one; `limit`: how much is told.
//! - `routing`: who is told, or would be, but for what withholds it.
//! - `outbox`: what is still to be delivered to a sink, on disk; `sender`: the threads that deliver
//!   it; `request`: what a sink is sent. None of them decides what is told.

mod aggregate;
pub mod latch;
mod limit;
pub mod notification;
pub mod outbox;
pub mod request;
mod routing;
pub mod sender;
mod silence;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use limbeck_operators::hash::fixed_hash;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use self::latch::{Latch, Snapshot};
use self::notification::Notification;
use self::outbox::Outbox;
use self::request::Target;
pub(crate) use self::routing::{Destination, Routing, Withheld, withholding};
use self::sender::{Backoff, Delivery, Sender};
use crate::durable::Disk;
use crate::model::episode::Episode;
use crate::model::silencing::Silencing;
use crate::pipeline::Update;
use crate::rules::Rules;
use crate::sinks::json::push_notification;
use crate::sinks::{AtomicFile, Growing, OutputError, Unsynced};
use crate::sources::Interrupt;

/// The name of the file.
pub const NOTIFICATIONS: &str = "notifications.ndjson";

/// What is remembered of what has been told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedAlerts {
    latch: Snapshot,
    counts: Told,
    /// How much of the file there is.
    pub bytes: u64,
}

/// How many notifications there were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Those that went to some sink.
    pub told: u64,
    /// Those that were withheld, by what withheld them, and its name.
    pub withheld: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Told {
    /// Counts one.
    pub(crate) fn count(&mut self, to: &Destination<'_>) {
        match &to.withheld {
            None => self.told += 1,
            Some(Withheld { by, name, .. }) => {
                let names = self.withheld.entry((*by).to_owned()).or_default();
                *names.entry((*name).to_owned()).or_default() += 1;
            }
        }
    }
}

/// Decides what is told, and writes it.
pub struct Alerts {
    routing: Routing,
    sinks: Vec<SmolStr>,
    senders: Option<Arc<Senders>>,
    latch: Latch,
    file: Growing,
    counts: Told,
    /// Used again and again.
    notifications: Vec<Notification>,
    line: Vec<u8>,
}

impl Alerts {
    /// Decides for the routes of a rule file, of which there must be some.
    pub fn new(rules: &Rules, tick_ns: i64, file: Growing, senders: Option<Arc<Senders>>) -> Self {
        let routing = Routing::new(rules);
        Self {
            latch: Latch::new(rules, &routing.catalog, tick_ns),
            routing,
            sinks: rules.sinks.iter().map(|sink| sink.name.clone()).collect(),
            senders,
            file,
            counts: Told::default(),
            notifications: Vec::new(),
            line: Vec::new(),
        }
    }

    /// Goes on with what was remembered.
    #[must_use]
    pub fn restore(mut self, saved: SavedAlerts) -> Self {
        self.latch = self.latch.restore(saved.latch);
        self.counts = saved.counts;
        self
    }

    /// What is remembered, as soon as all that was told is on the disk.
    ///
    /// # Errors
    /// If writing fails.
    pub fn save(&mut self) -> Result<(SavedAlerts, Unsynced), OutputError> {
        let (bytes, unsynced) = self.file.save()?;
        Ok((
            SavedAlerts { latch: self.latch.snapshot(), counts: self.counts.clone(), bytes },
            unsynced,
        ))
    }

    /// Takes in what records say of silences, by rising logical time; each before the updates of its
    /// own.
    pub fn hear(&mut self, heard: Vec<Update<Silencing>>) {
        self.latch.hear(heard);
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

    /// Tells what is due when the log ends, and gives the file, and how many there were.
    ///
    /// # Errors
    /// If writing fails.
    pub fn finish(mut self, clock_ns: Option<i64>) -> Result<(AtomicFile, Told), OutputError> {
        if let Some(clock_ns) = clock_ns {
            self.latch.end(clock_ns, &mut self.notifications);
        }
        self.tell()?;
        Ok((self.file.finish()?, self.counts))
    }

    fn tell(&mut self) -> Result<(), OutputError> {
        let mut notifications = std::mem::take(&mut self.notifications);
        let mut outgoing: Vec<Vec<_>> = vec![Vec::new(); self.sinks.len()];
        for notification in notifications.drain(..) {
            let Some(to) = self.routing.destination(&notification) else { continue };
            self.counts.count(&to);
            let Destination { sinks, withheld } = to;
            let names: Vec<_> = sinks.iter().map(|sink| &self.sinks[*sink]).collect();
            self.line.clear();
            match &withheld {
                None => push_member(&mut self.line, br#"{"to":"#, &names),
                Some(Withheld { by, name, id, group }) => {
                    push_member(&mut self.line, br#"{"to":[],"withheld":{"by":"#, by);
                    push_member(&mut self.line, br#","name":"#, name);
                    if let Some(id) = id {
                        push_member(&mut self.line, br#","id":"#, id);
                    }
                    if let Some(group) = group {
                        push_member(&mut self.line, br#","group":"#, group);
                    }
                    push_member(&mut self.line, br#","from":"#, &names);
                    self.line.push(b'}');
                }
            }
            self.line.extend(br#","notification":"#);
            let start = self.line.len();
            let catalog = &self.routing.catalog;
            push_notification(&mut self.line, catalog, &notification);
            if self.senders.is_some() && withheld.is_none() {
                let key = notification.id(catalog);
                let Episode { entity, rule, .. } = &notification.episode;
                let lane = fixed_hash(&(entity, catalog.rule_name(*rule)));
                let body = String::from_utf8(self.line[start..].to_vec());
                let body = body.expect("JSON is text");
                sinks.iter().for_each(|sink| outgoing[*sink].push((key, lane, body.clone())));
            }
            self.line.extend(b"}\n");
            self.file.put(&self.line)?;
        }
        self.notifications = notifications;
        match &self.senders {
            Some(senders) => senders.send(outgoing),
            None => Ok(()),
        }
    }
}

fn push_member(line: &mut Vec<u8>, key: &[u8], value: &impl Serialize) {
    line.extend(key);
    serde_json::to_writer(line, value).expect("a Vec takes every write");
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
