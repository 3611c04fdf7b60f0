//! The whole flow, on one screen.
//!
//! ```text
//!     sightings ─▶ duplicates ─▶ (dedup) ─▶ hold-down ─▶ episodes ─▶ gathered
//!     (by entity)      │ (by entity, rule)      │   on worker 0, by logical time
//!     ledger ──────────┴───── counts, traces ───┴─────────────────▶ gathered
//! ```
//!
//! Guarantees: what is gathered is, at each logical time, a function of the log, the rules and the
//! tick alone. State: per entity, the fingerprints inside the lateness; per entity and rule, a
//! [hold-down](limbeck_operators::machines::hold_down), and a
//! [dedup](limbeck_operators::machines::dedup) where the rule has one. Rules that amend for longer
//! than others have timelines of their own, so that the others need not keep what they keep; so have
//! rules with [stages](limbeck_operators::stage) before hold-down, or states that are kept.

mod asked;
mod lanes;
mod observations;
mod saved;
mod tally;

use std::hash::{Hash, Hasher};

use differential_dataflow::AsCollection;
use limbeck_operators::firsts::{Firsts, by_key};
use limbeck_operators::gather::{gather, passed};
use limbeck_operators::hash::fixed_hash;
use limbeck_operators::intake;
use limbeck_operators::timeline::Timing;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::vec::{Branch, Broadcast, Map};
use timely::dataflow::operators::{Concatenate, Input, Probe};
use timely::dataflow::{InputHandle, ProbeHandle, Scope};

use self::lanes::{Groups, lanes};
use self::observations::Observations;
use self::saved::Saving;
pub use self::saved::{RestoredFlow, SavedFlow};
use crate::model::entity::Entity;
use crate::model::episode::{Catalog, Episode};
use crate::model::ledger::Entry;
use crate::model::sighting::{Noted, Shown, Sighting};
use crate::model::silencing::Silencing;
use crate::rules::{Rules, Skew};
use crate::sources::intake::{Batch, Judgement};

/// An update of a collection: record, logical time, difference.
pub type Update<D> = (D, i64, isize);

/// An entity and a rule, by its number in the rule file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lane {
    /// The entity.
    pub entity: Entity,
    /// The rule.
    pub rule: u32,
    /// Of the hash of the entity and the rule, made where the entity's is known.
    hash: u32,
}

impl Lane {
    /// The lane of an entity with this [hash](fixed_hash).
    pub fn new(entity: Entity, entity_hash: u64, rule: usize) -> Self {
        let hash = (fixed_hash(&(entity_hash, rule)) >> 32) as u32;
        Self { entity, rule: rule as u32, hash }
    }

    /// The rule.
    pub fn rule(&self) -> usize {
        self.rule as usize
    }
}

impl Hash for Lane {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(self.hash);
    }
}

/// What arrives on worker 0, by complete logical times.
#[derive(Debug)]
pub enum Gathered {
    /// Changes of episodes, sorted.
    Episodes(Vec<Update<Episode>>),
    /// In place of that, where some rule tells candidates: changes of both at the same logical times.
    Candidates {
        /// Of what may become an episode, or might have.
        candidates: Vec<Update<Episode>>,
        /// Of episodes.
        episodes: Vec<Update<Episode>>,
    },
    /// What became of other records.
    Ledger(Vec<Update<Entry>>),
    /// What records say of silences: before the episodes of their logical times, and later.
    Silencings(Vec<Update<Silencing>>),
    /// Where time stands at the end, as one of the workers knows it.
    End(i64),
    /// Every change of an episode before this logical time has been gathered; only said for routes.
    Passed(i64),
    /// All is to be saved at this logical time; nothing of it, or later, has been gathered.
    CutAt(i64),
    /// All before that has been gathered.
    Cut,
}

/// How what the flow remembers comes and goes.
pub struct Remembering {
    /// What it starts from.
    pub restored: Option<RestoredFlow>,
    /// Is told that this worker will give what it remembers.
    pub noted: Box<dyn Fn()>,
    /// Takes what this worker remembers, when it is asked for.
    pub save: Box<dyn Fn(SavedFlow)>,
}

impl Remembering {
    /// From the start, and never asked.
    pub fn nothing() -> Self {
        Self { restored: None, noted: Box::new(|| ()), save: Box::new(|_| ()) }
    }
}

/// An input that takes updates of a collection.
type UpdatesIn<D> = InputHandle<i64, CapacityContainerBuilder<Vec<Update<D>>>>;

/// The inputs of the flow.
pub struct Inputs {
    /// None when they are closed.
    open: Option<Open>,
    judgement: Judgement,
    saving: Saving,
    noted: Box<dyn Fn()>,
    save: Box<dyn Fn(SavedFlow)>,
    receive: Box<dyn Fn(Gathered)>,
}

/// Inputs that take updates.
struct Open {
    sightings: UpdatesIn<(Entity, Sighting)>,
    ledger: UpdatesIn<Entry>,
    ends: InputHandle<i64, CapacityContainerBuilder<Vec<i64>>>,
}

impl intake::Inputs<Batch> for Inputs {
    fn give(&mut self, mut batch: Batch) {
        batch.judge(self.judgement);
        if let Some(open) = &mut self.open {
            open.sightings.send_batch(&mut batch.sightings);
            open.ledger.send_batch(&mut batch.ledger);
        }
    }

    fn advance_to(&mut self, time: i64) {
        let Some(Open { sightings, ledger, .. }) = &mut self.open else { return };
        // What is gone on with may be ahead of the first that is said of time.
        if time > *sightings.time() {
            sightings.advance_to(time);
            ledger.advance_to(time);
        }
        sightings.flush();
        ledger.flush();
    }

    fn cut(&mut self, at: i64) {
        self.saving.request(at);
        (self.receive)(Gathered::CutAt(at));
        (self.noted)();
    }

    fn has_cut(&mut self) {
        // All inputs may have closed before that time.
        if let Some(saved) = self.saving.take() {
            (self.save)(saved);
            (self.receive)(Gathered::Cut);
        }
    }

    fn end(&mut self, clock: Option<i64>) {
        if let (Some(mut open), Some(clock)) = (self.open.take(), clock) {
            open.ends.send(clock);
        }
    }
}

/// How the flow is run; none of it changes what the episodes are.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The grid of logical times.
    pub tick_ns: i64,
    /// Whether the workers are those of several processes.
    pub across: bool,
    /// Whether the ledger traces every record.
    pub traced: bool,
}

/// Builds the flow; `receive` is called on worker 0.
pub fn build(
    scope: Scope<'_, i64>,
    rules: &Rules,
    options: Options,
    remembering: Remembering,
    receive: impl Fn(Gathered) + Clone + 'static,
) -> (Inputs, ProbeHandle<i64>) {
    // What carries nothing beside its state is spared the room for it.
    match rules.has_detail() {
        true => build_with::<Noted>(scope, rules, options, remembering, receive),
        false => build_with::<u64>(scope, rules, options, remembering, receive),
    }
}

fn build_with<S: Shown>(
    scope: Scope<'_, i64>,
    rules: &Rules,
    options: Options,
    remembering: Remembering,
    receive: impl Fn(Gathered) + Clone + 'static,
) -> (Inputs, ProbeHandle<i64>) {
    let Options { tick_ns, across, traced } = options;
    let groups = Groups::new(rules);
    let catalog = Catalog::new(rules);
    let timing = Timing { lateness: rules.lateness_ns, tick: tick_ns };
    let amend_within_ns = groups.amend_within_ns();
    let corrects = rules.sources.iter().any(|source| source.skew == Skew::Correct);
    let judgement = Judgement { timing, amend_within_ns, corrects, traced };
    let (mut sightings_in, sightings) = scope.new_input();
    let (mut ledger_in, ledger) = scope.new_input();
    let (ends_in, ends) = scope.new_input::<Vec<i64>>();

    // In one process the intake has brought every entity to its worker already.
    let sightings = sightings.as_collection();
    let repeats_until = move |sighting: &Sighting| judgement.repeats_until(sighting);
    let Remembering { restored, noted, save } = remembering;
    let kept = restored.as_ref().and_then(RestoredFlow::kept);
    let observations = Observations::<S>::new(rules, catalog.rule_ranks(), traced, kept);
    let mut saving = Saving::new(restored);
    let door = saving.door(Firsts::new("duplicates", repeats_until, observations));
    let received = match across {
        true => door.build(sightings, by_key()),
        false => door.build(sightings, Pipeline),
    };
    let decided = lanes(
        received.firsts,
        &ends.clone().broadcast(),
        (rules, &catalog, groups),
        options,
        &mut saving,
    );

    let (to_end, to_cut, to_passed) = (receive.clone(), receive.clone(), receive.clone());
    let ends = ends.map(|clock| (clock, i64::MIN, 1)).as_collection();
    // The probe does not wait for it: it comes when the inputs have closed.
    gather(ends, "end", move |ends| {
        ends.into_iter().for_each(|(clock, ..)| to_end(Gathered::End(clock)));
    });
    let to_episodes = receive.clone();
    let mut episodes = decided.episodes;
    let ledger = match rules.hearings().next() {
        None => ledger,
        Some(_) => {
            let (heard, ledger) = ledger
                .branch(|_, (entry, ..): &Update<Entry>| !matches!(entry, Entry::Silencing(_)));
            let heard = heard.flat_map(|(entry, at, diff)| match entry {
                Entry::Silencing(heard) => Some((*heard, at, diff)),
                _ => None,
            });
            let to_silencings = receive.clone();
            let heard = gather(heard.as_collection(), "silencings", move |updates| {
                to_silencings(Gathered::Silencings(updates));
            });
            // Nothing flows there: episodes wait until what silences them is known.
            episodes.push(heard.flat_map(|()| None));
            ledger
        }
    };
    let episodes = scope.concatenate(episodes).as_collection();
    let episodes = match decided.candidates.is_empty() {
        true => gather(episodes, "episodes", move |updates| {
            to_episodes(Gathered::Episodes(updates));
        }),
        false => {
            let candidates = scope.concatenate(decided.candidates).as_collection();
            let both = candidates.map(|of| (true, of)).concat(episodes.map(|of| (false, of)));
            gather(both, "episodes", move |updates| {
                let (mut candidates, mut episodes) = (Vec::new(), Vec::new());
                for ((is_candidate, of), at, diff) in updates {
                    if is_candidate { &mut candidates } else { &mut episodes }.push((of, at, diff));
                }
                to_episodes(Gathered::Candidates { candidates, episodes });
            })
        }
    };
    let ledgers = [ledger, received.notes.inner].into_iter().chain(decided.ledgers);
    let ledger = scope.concatenate(ledgers).as_collection();
    let ledger = gather(ledger, "ledger", move |updates| receive(Gathered::Ledger(updates)));
    if !rules.routes.is_empty() {
        // What is told when time has passed must not wait for somebody to say something.
        passed(episodes.clone(), move |frontier| to_passed(Gathered::Passed(frontier)));
    }
    let (probe, _) = scope.concatenate([episodes, ledger]).probe();
    if let Some(at) = saving.start() {
        sightings_in.advance_to(at);
        ledger_in.advance_to(at);
    }
    let open = Some(Open { sightings: sightings_in, ledger: ledger_in, ends: ends_in });
    let receive = Box::new(to_cut);
    (Inputs { open, judgement, saving, noted, save, receive }, probe)
}
