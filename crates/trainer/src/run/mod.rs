//! The training loop: batch, loss, backward, clip, step, report, score, save.

mod curve;
mod events;
mod feed;
mod guard;
mod history;
mod log;
#[cfg(feature = "nccl")]
mod nccl;
mod outcome;
mod plan;
mod ranks;
mod rehearsal;
mod report;
mod step;
mod task;
mod units;
mod weights;

use std::time::Duration;

use crate::checkpoint::{self, State};
use crate::error::{Error, Result, io};
use crate::optimizer::AdamW;

pub(crate) use feed::Feed;
use guard::GUARD_STEPS;
pub(crate) use guard::Losses;
pub use history::Evaluation;
pub(crate) use history::History;
use log::Log;
#[cfg(feature = "nccl")]
pub use nccl::Nccl;
pub use outcome::{Ended, News, Outcome};
pub use plan::Plan;
pub use ranks::{AllReduce, Alone};
pub use rehearsal::Rehearsal;
pub use report::Report;
use report::Window;
pub use task::{Task, TaskLoss};
pub use units::Units;
pub(crate) use weights::initialise;

/// Losses are noisy: this share of the loss of blind guesses is no better than it.
const NO_BETTER: f64 = 0.99;

/// A run in progress.
pub struct Run<'a, T: Task> {
    task: &'a T,
    plan: Plan,
    adam: AdamW,
    clock: &'a dyn Fn() -> Duration,
    began: f64,
    interrupted: &'a dyn Fn() -> bool,
    ranks: &'a dyn AllReduce,
    peak: Option<f64>,
    /// The step of the checkpoint that it goes on from.
    resumed: Option<u64>,
    notes: Vec<String>,
    step: u64,
    /// Seconds of earlier sittings.
    seconds_before: f64,
    /// Seconds after the last step, as all ranks have agreed.
    now: f64,
    /// Those after the first step, from which a budget of time counts.
    first_step_seconds: Option<f64>,
    received: Vec<bool>,
    losses: Losses,
    history: History,
}

impl<'a, T: Task> Run<'a, T> {
    /// Prepares a run: from its last checkpoint if there is one and `resume` is set, else from the start. The clock
    /// tells the time since the program's start.
    ///
    /// # Errors
    /// When there are checkpoints and `resume` is not set, or they belong to another recipe, or all are damaged;
    /// settings out of range.
    pub fn new(task: &'a T, plan: Plan, clock: &'a dyn Fn() -> Duration, resume: bool) -> Result<Self> {
        plan.check()?;
        std::fs::create_dir_all(&plan.out).map_err(io(&plan.out))?;
        let adam = AdamW::with_rates(task.variables(), plan.optimizer, |name| task.rate(name))?;
        let mut notes = Vec::new();
        let state = match resume {
            true => checkpoint::resume(&plan.out, &adam, &plan.recipe, &mut notes)?,
            false => plan.check_new().map(|()| None)?,
        };
        let resumed = state.as_ref().map(|state| state.step);
        let state = state.unwrap_or_default();
        Ok(Self {
            task,
            clock,
            began: 0.0,
            interrupted: &|| false,
            ranks: &Alone,
            peak: None,
            resumed,
            notes,
            step: state.step,
            seconds_before: state.seconds,
            now: state.seconds,
            first_step_seconds: state.first_step_seconds,
            received: vec![state.step >= GUARD_STEPS; adam.slots().len()],
            losses: state.losses,
            history: state.history,
            plan,
            adam,
        })
    }

    /// Says when the clock stood at zero, in seconds since 1970; the events for TensorBoard carry times of day.
    #[must_use]
    pub fn began_at(mut self, seconds: f64) -> Self {
        self.began = seconds;
        self
    }

    /// Ends after the step in which this becomes true, with a checkpoint.
    #[must_use]
    pub fn interrupted_by(mut self, interrupted: &'a dyn Fn() -> bool) -> Self {
        self.interrupted = interrupted;
        self
    }

    /// Makes it one of several ranks. The number of batches of a step, `accumulate`, has to be a multiple of theirs.
    #[must_use]
    pub fn among(mut self, ranks: &'a dyn AllReduce) -> Self {
        self.ranks = ranks;
        self
    }

    /// Gives the peak rate of the device in floating-point operations per second, so that reports say which share of
    /// it is used.
    #[must_use]
    pub fn with_peak(mut self, operations_per_second: f64) -> Self {
        self.peak = Some(operations_per_second);
        self
    }

    /// Trainable numbers.
    pub fn parameters(&self) -> usize {
        self.adam.parameters()
    }

    /// Steps done so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// What the user should know of how the run was resumed: checkpoints that are damaged.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Runs to the end and saves the model in the plan's folder.
    ///
    /// # Errors
    /// A loss or gradient that is not finite, a loss that grows far above what it was, a variable that receives no
    /// gradient, a file that cannot be written, an interrupted exchange with other ranks.
    pub fn finish(mut self, mut tell: impl FnMut(News<'_>)) -> Result<Outcome> {
        let numbers = self.numbers()?;
        let (task, clock) = (self.task, self.clock);
        std::thread::scope(|scope| {
            let mut feed = Feed::start(scope, task, numbers, clock);
            let (ended, loss) = self.follow(&mut feed, &mut tell)?;
            self.end(ended, loss)
        })
    }

    /// The batches of this rank.
    fn numbers(&self) -> Result<impl Iterator<Item = u64> + Send + use<T>> {
        let (count, rank) = (self.plan.optimizer.accumulate, self.ranks.rank() as u64);
        let world = self.ranks.world();
        if !count.is_multiple_of(world as u64) {
            return Err(Error::Setting {
                field: "optimizer.accumulate",
                value: count.to_string(),
                accepted: format!("a multiple of the {world} ranks"),
            });
        }
        let steps = self.step..self.plan.schedule.steps;
        Ok(steps.flat_map(move |step| (step * count + rank..(step + 1) * count).step_by(world)))
    }

    /// The steps until the end, why it came, and the loss of the last.
    fn follow(&mut self, feed: &mut Feed<'_, T>, tell: &mut impl FnMut(News<'_>)) -> Result<(Ended, f32)> {
        let mut log = match self.writes() {
            true => Some(Log::open(
                &self.plan.out,
                self.resumed,
                self.began + self.elapsed(),
            )?),
            false => None,
        };
        // No rank goes on before all have looked for checkpoints.
        self.agree(&mut report::Done::default())?;
        if self.step == 0 && !self.history.has(0) {
            self.evaluate(&mut log, tell)?;
        }
        let mut window = Window::new(self.seconds_before + self.elapsed());
        let (mut ended, mut loss) = (self.ending(false), f32::NAN);
        while ended.is_none() {
            let done = self.advance(feed).map_err(Error::or_memory)?;
            loss = done.loss;
            window.add(&done, feed.take_waited());
            let last = self.progress() >= 1.0;
            if last || is_due(self.step, self.plan.saving.log_steps.max(1)) {
                let mut report = window.report(&done, self.step, self.progress(), self.now);
                report.utilization = self.peak.map(|peak| self.operations(&report) / peak);
                self.write(&mut log, |log, time| log.report(&report, time))?;
                tell(News::Steps(&report));
            }
            if last || is_due(self.step, self.plan.saving.evaluate_steps) {
                let before = self.elapsed();
                self.evaluate(&mut log, tell)?;
                window.pause(self.elapsed() - before);
            }
            ended = self.ending(done.interrupted);
            let better = self.plan.saving.keep_best && self.history.best() == Some(self.step);
            if ended.is_some() || better || is_due(self.step, self.plan.saving.checkpoint_steps.max(1)) {
                self.save_checkpoint()?;
            }
        }
        Ok((ended.unwrap_or(Ended::Finished), loss))
    }

    fn ending(&self, interrupted: bool) -> Option<Ended> {
        let patience = self.plan.saving.patience;
        if self.progress() >= 1.0 {
            Some(Ended::Finished)
        } else if patience > 0 && self.history.since_best() >= patience {
            Some(Ended::Early)
        } else {
            interrupted.then_some(Ended::Interrupted)
        }
    }

    fn evaluate(&mut self, log: &mut Option<Log>, tell: &mut impl FnMut(News<'_>)) -> Result<()> {
        let scores = self.task.evaluate()?;
        if scores.is_empty() {
            return self.plan.saving.needs_no_scores();
        }
        let evaluation = Evaluation {
            step: self.step,
            scores: scores
                .into_iter()
                .map(|(name, score)| (name.to_owned(), score))
                .collect(),
        };
        self.write(log, |log, time| log.evaluation(&evaluation, time))?;
        tell(News::Scores(&evaluation));
        self.history.0.push(evaluation);
        if self.step == 0 && self.plan.saving.keep_best {
            self.save_checkpoint()?;
        }
        Ok(())
    }

    /// Writes the model, unless the run goes on another time.
    fn end(self, ended: Ended, loss: f32) -> Result<Outcome> {
        let mut saved = self.step;
        let (mut units, mut learned_nothing) = (Vec::new(), None);
        if ended != Ended::Interrupted {
            let best = self.history.best().filter(|_| self.plan.saving.keep_best);
            if let Some(best) = best.filter(|best| *best != self.step) {
                checkpoint::restore_weights(&self.plan.out, best, &self.adam)?;
                saved = best;
            }
            if self.writes() {
                self.task.save(&self.plan.out)?;
                curve::draw(&self.plan.out)?;
            }
            units = self.look_at_units()?;
            let (median, blind) = (self.losses.median(), self.task.blind_loss());
            learned_nothing =
                blind.and_then(|blind| (f64::from(median) >= NO_BETTER * blind).then_some(median));
        }
        Ok(Outcome {
            ended,
            parameters: self.parameters(),
            steps: self.step,
            loss,
            seconds: self.now,
            evaluations: self.history.0,
            saved,
            units,
            learned_nothing,
        })
    }

    /// Writes to the log, if this rank has one, with the time of day.
    fn write(&self, log: &mut Option<Log>, line: impl FnOnce(&mut Log, f64) -> Result<()>) -> Result<()> {
        let time = self.began + self.elapsed();
        log.as_mut().map_or(Ok(()), |log| line(log, time))
    }

    /// Seconds since the program started.
    fn elapsed(&self) -> f64 {
        (self.clock)().as_secs_f64()
    }

    fn progress(&self) -> f64 {
        let since = self.first_step_seconds.map_or(0.0, |first| self.now - first);
        self.plan.schedule.progress(self.step, since)
    }

    /// Whether this rank writes the files.
    fn writes(&self) -> bool {
        self.ranks.rank() == 0
    }

    fn save_checkpoint(&self) -> Result<()> {
        if !self.writes() {
            return Ok(());
        }
        let state = State {
            step: self.step,
            seconds: self.now,
            first_step_seconds: self.first_step_seconds,
            recipe: self.plan.recipe.clone(),
            history: self.history.clone(),
            losses: self.losses.clone(),
        };
        let best = self.history.best().filter(|_| self.plan.saving.keep_best);
        checkpoint::save(&self.plan.out, &self.adam, &state, best)
    }
}

/// Whether something that happens every so many steps happens after this one; never when that is 0.
fn is_due(step: u64, every: u64) -> bool {
    every > 0 && step.is_multiple_of(every)
}
