//! What is learned of how long faults last stands between what is gathered and what is told.

use super::Writer;
use crate::model::episode::Episode;
use crate::persistence::Step;
use crate::pipeline::Update;
use crate::sinks::OutputError;

impl Writer {
    /// Takes in updates of candidates and episodes, of complete logical times.
    pub(super) fn learn(
        &mut self,
        candidates: &[Update<Episode>],
        episodes: &[Update<Episode>],
    ) -> Result<(), OutputError> {
        let mut learner = self.learner.take().expect("some rule tells candidates");
        let learned = learner.take(candidates, episodes, |step| match step {
            Step::Moment { at_ns, episodes, announced } => {
                self.moment(at_ns, &episodes, &announced)?;
                self.keep_episodes(episodes)
            }
            Step::Behind(announced) => self.announce(announced),
        });
        self.learner = Some(learner);
        learned
    }

    /// Lets time pass for what is learned.
    pub(super) fn pass(&mut self, before: i64) -> Result<(), OutputError> {
        let announced = self.learner.as_mut().map(|learner| learner.pass(before));
        announced.into_iter().flatten().try_for_each(|announced| self.announce(announced))
    }

    /// Has told what is due at the end of the log.
    pub(super) fn pass_all(&mut self) -> Result<(), OutputError> {
        let (Some(learner), Some(end_ns)) = (&mut self.learner, self.end_ns) else { return Ok(()) };
        let announced = learner.end(end_ns);
        announced.into_iter().try_for_each(|announced| self.announce(announced))
    }

    /// Has told a candidate behind all updates of its logical time.
    fn announce(&mut self, announced: Update<Episode>) -> Result<(), OutputError> {
        self.take_history(announced.1.saturating_add(1))?;
        self.alerts().map_or(Ok(()), |alerts| alerts.take(&[announced]))
    }
}
