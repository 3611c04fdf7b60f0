//! The thread that writes a replay's outputs, so that the workers need not.
//!
//! Guarantees: the files appear whole and together, the summary last; what they say depends on
//! what was gathered alone. State: what fits in memory of the external sorts, of episodes, of dead letters
//! and of what else is asked for, the counts, and what is learned of faults.

mod learning;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::digest::Digest;
use super::fates::{FATES, Fates, UnsavedFates};
use super::history::History;
use super::json::{push_dead_letter, push_episode, push_update};
use super::saved::kept_name;
pub use super::saved::{KEPT, Keep, Restored, SavedOutputs, UnsavedOutputs};
pub use super::summary::{RuleFates, SourceSummary, Summary};
use super::transitions::{TRANSITIONS, Transitions};
use super::{AtomicFile, Growing, OutputDir, OutputError, Sorter, Unsaved, Unsynced};
use crate::alerts::{Alerts, NOTIFICATIONS, Senders};
use crate::durable::Disk;
use crate::metrics::{Metrics, Stage};
use crate::model::account::{Account, SourceKey};
use crate::model::episode::{Catalog, Episode};
use crate::model::ledger::{Count, DeadLetter, Entry, Trace};
use crate::persistence::Learner;
use crate::pipeline::{Gathered, Update};
use crate::rules::{Rules, Skew, Unchanged};

/// How many gathered batches may wait for the writer.
const QUEUE_MAX: usize = 16;
const EPISODES_BYTES_MAX: usize = 16 << 20;
const DEAD_LETTERS_BYTES_MAX: usize = 8 << 20;

/// Hands what was gathered to the writing thread.
#[derive(Clone)]
pub struct Reporter {
    gathered: Sender<Gathered>,
}

impl Reporter {
    /// Hands over, waiting while the queue is full.
    ///
    /// # Errors
    ///
    /// If the writer has failed; [`Writing::finish`] says why.
    pub fn report(&self, gathered: Gathered) -> Result<(), WriterGone> {
        self.gathered.send(gathered).map_err(|_| WriterGone)
    }
}

/// The writing thread has ended before its time.
#[derive(Clone, Copy, Debug)]
pub struct WriterGone;

/// The writing thread.
pub struct Writing {
    thread: JoinHandle<Result<Written, OutputError>>,
    /// Where the updates are until they have their name.
    pub updates_so_far: PathBuf,
}

/// Outputs that are written but not yet in place.
pub struct Written {
    dir: OutputDir,
    files: Vec<AtomicFile>,
    /// The optional ones that are not among them.
    without: Vec<&'static str>,
    summary_file: AtomicFile,
    /// To be completed by whoever knows the rest.
    pub summary: Summary,
}

pub(super) const UPDATES: &str = "updates.ndjson";

/// What the outputs are called, the optional ones too.
pub const OUTPUTS: [&str; 7] = [
    "episodes.ndjson",
    UPDATES,
    "dead-letter.ndjson",
    FATES,
    TRANSITIONS,
    NOTIFICATIONS,
    "summary.json",
];

/// What to write, and where.
pub struct Asked<'a> {
    /// The directory.
    pub dir: &'a Path,
    /// What the logs are called.
    pub files: Vec<String>,
    /// Whether to write what became of every record.
    pub fates: bool,
    /// How finely history is resolved.
    pub tick_ns: i64,
    /// Where to keep what there is when the replay is saved.
    pub keep: Option<Keep>,
    /// What sends notifications; without, nobody is told.
    pub senders: Option<Arc<Senders>>,
    /// Whether somebody reads the updates as they come.
    pub follows: bool,
    /// Is told how long it takes, and what rules tell.
    pub metrics: Arc<Metrics>,
}

/// Creates the outputs in a directory and starts the thread that writes them.
///
/// # Errors
///
/// If they cannot be created.
pub fn start(rules: &Rules, asked: Asked<'_>) -> Result<(Reporter, Writing), OutputError> {
    let Asked { dir, files, fates, tick_ns, mut keep, senders, follows, metrics } = asked;
    let disk = keep.as_ref().map_or_else(Disk::default, |keep| keep.disk.clone());
    let dir = OutputDir::create_on(&disk, dir)?;
    let fates = if fates { Some(Fates::new(&dir, rules)?) } else { None };
    let transitions =
        if rules.keeps_transitions() { Some(Transitions::new(&dir, rules)?) } else { None };
    let restored =
        keep.as_mut().map(|keep| std::mem::replace(&mut keep.restored, Restored::Nothing));
    let (restored, before) = match restored {
        None | Some(Restored::Nothing) => (None, None),
        Some(Restored::All(saved)) => (Some(saved), None),
        Some(Restored::Rules(saved, unchanged)) => (None, Some((saved, unchanged))),
    };
    let series = match (&restored, &before) {
        (Some(saved), _) => saved.series,
        (_, Some((saved, _))) => saved.series.wrapping_add(1),
        (None, None) => 0,
    };
    let growing = |name: &str, bytes: Option<u64>| {
        let path = |keep: &Keep| keep.dir.join(kept_name(series, name));
        Growing::new(&dir, name, keep.as_ref().map(|keep| (&keep.disk, path(keep))), bytes)
    };
    let alerts = match rules.routes.is_empty() {
        true => None,
        false => {
            let saved = restored.as_ref().and_then(|saved| saved.alerts.clone());
            let file = growing(NOTIFICATIONS, saved.as_ref().map(|saved| saved.bytes))?;
            let alerts = Alerts::new(rules, tick_ns, file, senders);
            Some(match saved {
                Some(saved) => alerts.restore(saved),
                None => alerts,
            })
        }
    };
    let learner = Learner::new(rules, tick_ns).map(|learner| {
        let saved = restored.as_ref().and_then(|saved| saved.persistence.clone());
        saved.into_iter().fold(learner, Learner::restore)
    });
    let updates_file = growing(UPDATES, restored.as_ref().map(|saved| saved.updates_bytes))?;
    let mut writer = Writer {
        metrics: Arc::clone(&metrics),
        episodes_file: dir.file("episodes.ndjson")?,
        updates_file,
        dead_letter_file: dir.file("dead-letter.ndjson")?,
        summary_file: dir.file("summary.json")?,
        episodes: Sorter::new(dir.path(), EPISODES_BYTES_MAX, Episode::heap_bytes),
        dead_letters: Sorter::new(dir.path(), DEAD_LETTERS_BYTES_MAX, DeadLetter::heap_bytes),
        fates,
        transitions,
        learner,
        alerts,
        end_ns: None,
        dir,
        catalog: Catalog::new(rules),
        files,
        counts: BTreeMap::new(),
        sources: rules
            .sources
            .iter()
            .map(|source| (source.name.to_string(), source.skew == Skew::Correct))
            .collect(),
        accounts: BTreeMap::new(),
        updates: 0,
        digest: Digest::default(),
        line: Vec::new(),
        keep: None,
        series,
        history: None,
        cut: None,
        later: Vec::new(),
    };
    let updates_so_far = writer.updates_file.so_far().to_owned();
    if let (Some(keep), Some(restored)) = (&keep, restored) {
        writer.restore(&keep.dir, restored)?;
    }
    if let (Some(keep), Some((saved, unchanged))) = (&keep, before) {
        writer.restore_rules(&keep.dir, saved, rules, &unchanged)?;
    }
    writer.keep = keep;
    let (sender, receiver): (_, Receiver<Gathered>) = bounded(QUEUE_MAX);
    let thread = std::thread::Builder::new()
        .name("writer".to_owned())
        .spawn(move || {
            for gathered in &receiver {
                metrics.time(Stage::Write, || writer.take(gathered))?;
                if follows && receiver.is_empty() {
                    writer.updates_file.put_through()?;
                }
            }
            writer.take_later()?;
            writer.pass_all()?;
            writer.take_history(i64::MAX)?;
            writer.finish()
        })
        .expect("a thread can be started");
    Ok((Reporter { gathered: sender }, Writing { thread, updates_so_far }))
}

impl Writing {
    /// Waits until all that was reported is written. Every [`Reporter`] must be gone.
    ///
    /// # Errors
    ///
    /// The first failure to write.
    pub fn finish(self) -> Result<Written, OutputError> {
        match self.thread.join() {
            Ok(written) => written,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Written {
    /// Puts the outputs in place, the summary last.
    ///
    /// # Errors
    ///
    /// If that fails; then no summary is in place.
    pub fn commit(mut self) -> Result<Summary, OutputError> {
        let mut text = serde_json::to_vec_pretty(&self.summary).expect("plain values encode");
        text.push(b'\n');
        self.summary_file.put(&text)?;
        self.files.push(self.summary_file);
        self.dir.commit(self.files, &self.without)?;
        Ok(self.summary)
    }
}

struct Writer {
    metrics: Arc<Metrics>,
    dir: OutputDir,
    episodes_file: AtomicFile,
    updates_file: Growing,
    dead_letter_file: AtomicFile,
    summary_file: AtomicFile,
    episodes: Sorter<Episode>,
    dead_letters: Sorter<DeadLetter>,
    fates: Option<Fates>,
    transitions: Option<Transitions>,
    /// What is learned of how long faults last, where a rule asks for it.
    learner: Option<Learner>,
    alerts: Option<Alerts>,
    /// Where time stands at the end.
    end_ns: Option<i64>,
    catalog: Catalog,
    files: Vec<String>,
    counts: BTreeMap<Count, u64>,
    /// Names, and whether event times are corrected.
    sources: Vec<(String, bool)>,
    accounts: BTreeMap<SourceKey, Account>,
    updates: u64,
    digest: Digest,
    line: Vec<u8>,
    keep: Option<Keep>,
    /// Which of the series of files it keeps.
    series: u32,
    /// What was told of unchanged rules, and is yet to be told again.
    history: Option<History>,
    /// The logical time at which all is saved next, and what came of that time and later.
    cut: Option<i64>,
    later: Vec<Gathered>,
}

impl Writer {
    fn take(&mut self, gathered: Gathered) -> Result<(), OutputError> {
        match gathered {
            Gathered::Episodes(mut updates) => {
                let later = self.split(&mut updates);
                self.later.extend((!later.is_empty()).then_some(Gathered::Episodes(later)));
                self.episodes(updates)
            }
            Gathered::Candidates { mut candidates, mut episodes } => {
                let later = (self.split(&mut candidates), self.split(&mut episodes));
                if !(later.0.is_empty() && later.1.is_empty()) {
                    let (candidates, episodes) = later;
                    self.later.push(Gathered::Candidates { candidates, episodes });
                }
                self.learn(&candidates, &episodes)
            }
            Gathered::Ledger(mut entries) => {
                let later = self.split(&mut entries);
                self.later.extend((!later.is_empty()).then_some(Gathered::Ledger(later)));
                self.ledger(entries)
            }
            Gathered::Silencings(mut heard) => {
                let later = self.split(&mut heard);
                self.later.extend((!later.is_empty()).then_some(Gathered::Silencings(later)));
                if let Some(alerts) = self.alerts() {
                    alerts.hear(heard);
                }
                Ok(())
            }
            Gathered::End(clock) => {
                self.end_ns = self.end_ns.max(Some(clock));
                Ok(())
            }
            Gathered::Passed(before) => {
                // What is remembered at the cut does not go beyond it.
                let before = self.cut.map_or(before, |cut| before.min(cut));
                self.pass(before)?;
                self.take_history(before)?;
                self.alerts().map_or(Ok(()), |alerts| alerts.pass(before))
            }
            Gathered::CutAt(at) => {
                self.cut = Some(at);
                Ok(())
            }
            Gathered::Cut => {
                // What is announced until then comes between what was.
                self.cut.map_or(Ok(()), |cut| self.pass(cut))?;
                self.take_history(i64::MAX)?;
                self.save()?;
                self.take_later()
            }
        }
    }

    /// Takes out what is of the logical time of the cut, or later.
    fn split<D>(&self, updates: &mut Vec<Update<D>>) -> Vec<Update<D>> {
        match self.cut {
            Some(cut) => updates.split_off(updates.partition_point(|(_, at, _)| *at < cut)),
            None => Vec::new(),
        }
    }

    /// Goes on with what came after the cut.
    fn take_later(&mut self) -> Result<(), OutputError> {
        self.cut = None;
        std::mem::take(&mut self.later).into_iter().try_for_each(|gathered| self.take(gathered))
    }

    /// What decides what is told; none if nobody is to be told of anything any more.
    fn alerts(&mut self) -> Option<&mut Alerts> {
        let given_up = self.keep.as_ref().is_some_and(Keep::has_given_up);
        self.alerts.as_mut().filter(|_| !given_up)
    }

    /// Hands over what there is before the cut, to be brought to the disk while more comes.
    fn save(&mut self) -> Result<(), OutputError> {
        let Some(keep) = self.keep.as_mut().filter(|keep| !keep.has_given_up()) else {
            return Ok(());
        };
        let kept = |name: &str| kept_name(self.series, name);
        let (disk, dir) = (&keep.disk, keep.dir.as_path());
        let (updates_bytes, unsynced) = self.updates_file.save()?;
        let episodes = self.episodes.save(disk, dir, &kept("episodes"))?;
        let dead_letters = self.dead_letters.save(disk, dir, &kept("dead-letters"))?;
        let fates = self.fates.as_mut().map(|fates| fates.save(disk, dir)).transpose()?;
        let name = kept("transitions");
        let transitions = self.transitions.as_mut();
        let transitions = transitions.map(|of| of.save(disk, dir, &name)).transpose()?;
        let alerts = self.alerts.as_mut().map(Alerts::save).transpose()?;
        let persistence = self.learner.as_ref().map(Learner::snapshot);
        let (series, counts) = (self.series, self.counts.clone());
        let (updates, digest) = (self.updates, self.digest);
        (keep.save)(Box::new(move || {
            unsynced.sync()?;
            let synced = |(saved, unsynced): (_, Unsynced)| unsynced.sync().map(|()| saved);
            Ok(SavedOutputs {
                series,
                counts,
                updates,
                updates_bytes,
                digest,
                episodes: episodes.write()?,
                dead_letters: dead_letters.write()?,
                fates: fates.map(UnsavedFates::write).transpose()?,
                transitions: transitions.map(Unsaved::write).transpose()?,
                persistence,
                alerts: alerts.map(synced).transpose()?,
            })
        }));
        Ok(())
    }

    /// Goes on with what was saved.
    fn restore(&mut self, dir: &Path, saved: SavedOutputs) -> Result<(), OutputError> {
        self.counts = saved.counts;
        self.updates = saved.updates;
        self.digest = saved.digest;
        self.episodes.restore(dir, saved.episodes)?;
        self.dead_letters.restore(dir, saved.dead_letters)?;
        if let (Some(fates), Some(saved)) = (&mut self.fates, saved.fates) {
            fates.restore(dir, saved)?;
        }
        if let (Some(transitions), Some(saved)) = (&mut self.transitions, saved.transitions) {
            transitions.restore(dir, saved)?;
        }
        Ok(())
    }

    /// Goes on with what was saved of rules that are unchanged. What was told of them is told again,
    /// each at its time.
    fn restore_rules(
        &mut self,
        dir: &Path,
        saved: SavedOutputs,
        rules: &Rules,
        unchanged: &Unchanged,
    ) -> Result<(), OutputError> {
        let ranks: Vec<_> =
            (0..unchanged.before().len() as u16).map(|r| unchanged.rank(r)).collect();
        let reranked = |what: Count| what.reranked(|rank| ranks[usize::from(rank)]);
        let counts = saved.counts.into_iter();
        self.counts = counts.filter_map(|(what, count)| Some((reranked(what)?, count))).collect();
        self.episodes.add(dir, saved.episodes, |episode: Episode| {
            let rule = ranks[usize::from(episode.rule)]?;
            Some(Episode { rule, ..episode })
        })?;
        let path = dir.join(kept_name(saved.series, UPDATES));
        self.history = Some(History::open(&path, saved.updates_bytes, rules, unchanged)?);
        Ok(())
    }

    /// Takes in updates of complete logical times, and what was told of other rules by then.
    fn episodes(&mut self, updates: Vec<Update<Episode>>) -> Result<(), OutputError> {
        if self.history.is_none() {
            self.tell(&updates, &[])?;
        } else {
            for moment in updates.chunk_by(|one, other| one.1 == other.1) {
                self.moment(moment[0].1, moment, &[])?;
            }
        }
        self.keep_episodes(updates)
    }

    /// Tells updates of a logical time, among those of other rules. What was announced is for the alerts
    /// alone.
    fn moment(
        &mut self,
        at: i64,
        updates: &[Update<Episode>],
        announced: &[Update<Episode>],
    ) -> Result<(), OutputError> {
        if self.history.is_none() {
            return self.tell(updates, announced);
        }
        self.take_history(at)?;
        let mut among = updates.to_vec();
        while let Some(history) = self.history.as_mut().filter(|h| h.at() == Some(at)) {
            among.push(history.update()?);
            history.advance()?;
        }
        among.sort_by(|one, other| one.0.cmp(&other.0));
        self.tell(&among, announced)
    }

    /// Has episodes written at the end.
    fn keep_episodes(&mut self, updates: Vec<Update<Episode>>) -> Result<(), OutputError> {
        updates
            .into_iter()
            .try_for_each(|(episode, _, diff)| self.episodes.push(episode, diff as i64))
    }

    /// Tells what was told of unchanged rules before a logical time; of others nothing more comes
    /// of that.
    fn take_history(&mut self, before: i64) -> Result<(), OutputError> {
        let Some(mut history) = self.history.take() else { return Ok(()) };
        let alerts = self.alerts().is_some();
        while let Some(at) = history.at().filter(|at| *at < before) {
            let (mut sum, mut updates) = (0u128, Vec::new());
            while history.at() == Some(at) {
                self.updates_file.put(history.line())?;
                self.updates += 1;
                sum = sum.wrapping_add(Digest::part(history.line()));
                if alerts {
                    updates.push(history.update()?);
                }
                history.advance()?;
            }
            self.digest.chain(at, sum);
            if let Some(alerts) = self.alerts() {
                alerts.take(&updates)?;
            }
        }
        self.history = history.at().is_some().then_some(history);
        Ok(())
    }

    /// Writes all updates of some logical times, in order. What was announced at that time is for the alerts
    /// alone.
    fn tell(
        &mut self,
        updates: &[Update<Episode>],
        announced: &[Update<Episode>],
    ) -> Result<(), OutputError> {
        for moment in updates.chunk_by(|one, other| one.1 == other.1) {
            let superseded = superseded(moment);
            let mut sum = 0u128;
            for update in moment {
                let (episode, _, diff) = update;
                let takes_place_of =
                    superseded.get(&(&episode.entity, episode.rule, episode.state));
                let supersedes = takes_place_of
                    .filter(|gone| *diff > 0 && gone.since_ns != episode.since_ns)
                    .map(|gone| self.catalog.id(gone));
                self.line.clear();
                push_update(&mut self.line, &self.catalog, update, supersedes);
                self.updates_file.put(&self.line)?;
                sum = sum.wrapping_add(Digest::part(&self.line));
            }
            self.digest.chain(moment[0].1, sum);
        }
        if let Some(alerts) = self.alerts() {
            match announced.is_empty() {
                true => alerts.take(updates)?,
                false => alerts.take(&[updates, announced].concat())?,
            }
        }
        self.updates += updates.len() as u64;
        self.metrics.told(updates.iter().map(|(episode, at, diff)| {
            let begins = *diff > 0 && episode.revision == 1 && !episode.is_undecided();
            let behind_ns = begins.then(|| at.saturating_sub(episode.decided_ns));
            (episode.rule as usize, *diff > 0, behind_ns)
        }));
        Ok(())
    }

    fn ledger(&mut self, entries: Vec<Update<Entry>>) -> Result<(), OutputError> {
        for (entry, _, diff) in entries {
            match entry {
                Entry::Count(what) => {
                    let count = self.counts.entry(what).or_default();
                    *count = count.wrapping_add_signed(diff as i64);
                }
                Entry::DeadLetter(letter) => {
                    if let Some(fates) = &mut self.fates {
                        fates.dead_letter(&letter, diff as i64)?;
                    }
                    self.dead_letters.push(letter, diff as i64)?;
                }
                Entry::Source(of) => {
                    let (key, account) = *of;
                    let sum = self.accounts.entry(key).or_default();
                    (0..diff).for_each(|_| sum.add(&account));
                }
                Entry::Silencing(_) => unreachable!("it goes another way"),
                Entry::Trace(trace) => {
                    if let (Some(transitions), Trace::Decided { lane, decision }) =
                        (&mut self.transitions, &*trace)
                    {
                        transitions.decided(lane, decision, diff as i64)?;
                    }
                    if let Some(fates) = &mut self.fates {
                        fates.trace(*trace, diff as i64)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Written, OutputError> {
        let mut episodes = 0;
        for episode in self.episodes.finish()? {
            let (episode, count) = episode?;
            assert_eq!(count, 1, "an episode stands once: {episode:?}");
            self.line.clear();
            push_episode(&mut self.line, &self.catalog, &episode);
            self.line.push(b'\n');
            self.episodes_file.put(&self.line)?;
            episodes += 1;
        }
        let mut dead_letters = 0;
        for letter in self.dead_letters.finish()? {
            let (letter, _) = letter?;
            self.line.clear();
            let file = &self.files[letter.partition as usize];
            push_dead_letter(&mut self.line, file, &letter);
            self.dead_letter_file.put(&self.line)?;
            dead_letters += 1;
        }
        let accounts = self.accounts.iter();
        let mut sources: Vec<_> = accounts
            .map(|(key, account)| SourceSummary::new(key.clone(), account, &self.sources))
            .collect();
        sources.sort_by(|one, other| one.rank().cmp(&other.rank()));
        let updates_file = self.updates_file.finish()?;
        let mut files = vec![self.episodes_file, updates_file, self.dead_letter_file];
        let mut without = Vec::new();
        match self.fates {
            Some(fates) => files.push(fates.finish(&self.files)?),
            None => without.push(FATES),
        }
        match self.transitions {
            Some(transitions) => files.push(transitions.finish()?),
            None => without.push(TRANSITIONS),
        }
        let given_up = self.keep.as_ref().is_some_and(Keep::has_given_up);
        let end_ns = self.end_ns.filter(|_| !given_up);
        let told = self.alerts.map(|alerts| alerts.finish(end_ns)).transpose()?;
        let (notifications_file, told) = told.unzip();
        let notifications = told.as_ref().map(|told| told.told);
        match notifications_file {
            Some(file) => files.push(file),
            None => without.push(NOTIFICATIONS),
        }
        let summary = Summary {
            episodes,
            updates: self.updates,
            notifications,
            withheld: told.map(|told| told.withheld).unwrap_or_default(),
            sources,
            digest: self.digest.finish(),
            ..Summary::counted(&self.counts, &self.catalog, dead_letters)
        };
        Ok(Written { dir: self.dir, files, without, summary_file: self.summary_file, summary })
    }
}

/// Episodes that are withdrawn at a logical time and not told anew, by entity, rule and state: a
/// new one of the same takes their place.
fn superseded(moment: &[Update<Episode>]) -> BTreeMap<(&str, u16, u16), &Episode> {
    let withdrawn = moment.iter().filter(|(.., diff)| *diff < 0).map(|(episode, ..)| episode);
    let mut gone: BTreeMap<_, _> = withdrawn.map(|e| (e.identity(), e)).collect();
    if !gone.is_empty() {
        for (episode, ..) in moment.iter().filter(|(.., diff)| *diff > 0) {
            gone.remove(&episode.identity());
        }
    }
    gone.into_values().map(|e| ((e.entity.as_str(), e.rule, e.state), e)).collect()
}
