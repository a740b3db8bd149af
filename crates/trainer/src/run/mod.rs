//! The training loop: batch, loss, backward, clip, step, report, save.

mod feed;
mod report;
mod task;
mod weights;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use candle_core::Tensor;

use crate::checkpoint::{self, State};
use crate::error::{Error, Result, io};
use crate::optimizer::{self, AdamW, Gradients};
use crate::recipe::Saving;
use crate::schedule::Schedule;

pub(crate) use feed::Feed;
pub use report::Report;
use report::{Done, Window};
pub use task::{Task, TaskLoss};
pub(crate) use weights::initialise;

/// The settings of a run that do not depend on its task.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The optimizer.
    pub optimizer: optimizer::Settings,
    /// Steps and learning rate.
    pub schedule: Schedule,
    /// Checkpoints and log.
    pub saving: Saving,
    /// Receives `log.jsonl`, `checkpoints/` and, at the end, the model.
    pub out: PathBuf,
    /// Names the run: a checkpoint of another recipe is refused.
    pub recipe: String,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Steps done.
    pub steps: u64,
    /// Loss of the last step.
    pub loss: f32,
    /// Seconds, over all resumptions.
    pub seconds: f64,
}

/// After so many steps every variable must have received a gradient.
const GUARD_STEPS: u64 = 20;

/// A run in progress. The clock tells the time since the program's start; it comes from the caller.
pub struct Run<'a, T: Task> {
    task: &'a T,
    plan: Plan,
    adam: AdamW,
    clock: &'a dyn Fn() -> Duration,
    step: u64,
    /// Seconds of earlier sittings.
    seconds_before: f64,
    received: Vec<bool>,
    log: File,
}

impl<'a, T: Task> Run<'a, T> {
    /// Prepares a run: from its last checkpoint if there is one and `resume` is set, else from the start.
    ///
    /// # Errors
    /// When there are checkpoints and `resume` is not set, or they belong to another recipe, or are damaged; when
    /// `accumulate` is 0.
    pub fn new(task: &'a T, plan: Plan, clock: &'a dyn Fn() -> Duration, resume: bool) -> Result<Self> {
        if plan.optimizer.accumulate == 0 {
            return Err(Error::Setting {
                field: "optimizer.accumulate",
                value: "0".into(),
                accepted: "1 or more batches for one step".into(),
            });
        }
        plan.schedule.check()?;
        std::fs::create_dir_all(&plan.out).map_err(io(&plan.out))?;
        let adam = AdamW::with_rates(task.variables(), plan.optimizer, |name| task.rate(name))?;
        let found = checkpoint::latest(&plan.out)?;
        let (mut step, mut seconds_before) = (0, 0.0);
        match found {
            Some(path) if resume => {
                let state = checkpoint::load(&path, &adam, &plan.recipe)?;
                (step, seconds_before) = (state.step, state.seconds);
            }
            Some(path) => {
                let reason = "the folder holds a run already; resume it or choose another folder".to_owned();
                return Err(Error::Checkpoint { path, reason });
            }
            None => {}
        }
        let path = plan.out.join("log.jsonl");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(io(&path))?;
        let received = vec![step >= GUARD_STEPS; adam.slots().len()];
        Ok(Self {
            task,
            plan,
            adam,
            clock,
            step,
            seconds_before,
            received,
            log,
        })
    }

    /// Trainable numbers.
    pub fn parameters(&self) -> usize {
        self.adam.parameters()
    }

    /// Steps done so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Runs to the end and saves the model in the plan's folder.
    ///
    /// # Errors
    /// A loss or gradient that is not finite, a variable that receives no gradient, a file that cannot be
    /// written.
    pub fn finish(self, report: impl FnMut(&Report)) -> Result<Outcome> {
        let count = self.plan.optimizer.accumulate;
        let numbers = self.step * count..self.plan.schedule.steps * count;
        let (task, clock) = (self.task, self.clock);
        std::thread::scope(|scope| self.follow(Feed::start(scope, task, numbers, clock), report))
    }

    fn follow(mut self, mut feed: Feed<'_, T>, mut report: impl FnMut(&Report)) -> Result<Outcome> {
        let mut window = Window::new(self.seconds());
        let mut loss = f32::NAN;
        while self.progress() < 1.0 {
            let done = self.advance(&mut feed).map_err(Error::or_memory)?;
            loss = done.loss;
            window.add(&done, feed.take_waited());
            if self.step.is_multiple_of(self.plan.saving.log_steps.max(1)) || self.progress() >= 1.0 {
                let line = window.report(&done, self.step, self.progress(), self.seconds());
                self.write_log(&line)?;
                report(&line);
            }
            if self.step.is_multiple_of(self.plan.saving.checkpoint_steps.max(1)) {
                self.save_checkpoint()?;
            }
        }
        self.save_checkpoint()?;
        self.task.save(&self.plan.out)?;
        Ok(Outcome {
            steps: self.step,
            loss,
            seconds: self.seconds(),
        })
    }

    /// One step.
    fn advance(&mut self, feed: &mut Feed<'_, T>) -> Result<Done> {
        let count = self.plan.optimizer.accumulate;
        let mut done = Done {
            rate: self.plan.optimizer.learning_rate * self.plan.schedule.factor(self.progress()),
            ..Done::default()
        };
        let mut sum: Option<Gradients> = None;
        let mut batches = Vec::new();
        for _ in 0..count {
            let (number, batch) = feed.next()?;
            let TaskLoss {
                loss,
                parts,
                tokens,
                batch,
            } = self.task.compute(number, &batch)?;
            self.check_loss(&loss, &batch)?;
            done.add(&loss, parts, tokens, count)?;
            // The mean over the batches, as if they were one.
            let share = if count == 1 { loss } else { (loss / count as f64)? };
            let gradients = self.adam.gradients(&mut encoder::backward(&share)?)?;
            sum = Some(match sum {
                Some(sum) => sum.plus(gradients)?,
                None => gradients,
            });
            batches.push(batch);
        }
        if let Some(gradients) = sum {
            self.guard(&gradients, &batches.join(" and of "))?;
            self.step += 1;
            self.adam.step(&gradients, self.step, done.rate)?;
            done.norm = gradients.norm();
        }
        Ok(done)
    }

    fn check_loss(&self, loss: &Tensor, batch: &str) -> Result<()> {
        let loss = loss.to_scalar::<f32>()?;
        if loss.is_finite() {
            return Ok(());
        }
        let (step, batch) = (self.step, batch.to_owned());
        Err(Error::LossNotFinite { step, loss, batch })
    }

    /// Stops a run that cannot learn.
    fn guard(&mut self, gradients: &Gradients, batch: &str) -> Result<()> {
        let named = || self.adam.slots().iter().zip(gradients.norms());
        if let Some((slot, _)) = named().find(|(_, norm)| !norm.is_finite()) {
            let (variable, batch) = (slot.name.clone(), batch.to_owned());
            return Err(Error::GradientNotFinite {
                step: self.step,
                variable,
                batch,
            });
        }
        for (received, norm) in self.received.iter_mut().zip(gradients.norms()) {
            *received |= *norm > 0.0;
        }
        if self.step + 1 != GUARD_STEPS.min(self.plan.schedule.steps) {
            return Ok(());
        }
        let slots = self.adam.slots().iter().zip(&self.received);
        let silent: Vec<String> = slots
            .filter(|(_, received)| !**received)
            .map(|(slot, _)| slot.name.clone())
            .collect();
        if silent.is_empty() {
            return Ok(());
        }
        Err(Error::NoGradient {
            steps: self.step + 1,
            variables: silent,
        })
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + (self.clock)().as_secs_f64()
    }

    fn progress(&self) -> f64 {
        self.plan.schedule.progress(self.step, self.seconds())
    }

    fn save_checkpoint(&self) -> Result<()> {
        let state = State::new(self.step, self.seconds(), &self.plan.recipe);
        checkpoint::save(&self.plan.out, &self.adam, state)
    }

    fn write_log(&mut self, line: &Report) -> Result<()> {
        let path = self.plan.out.join("log.jsonl");
        let line = serde_json::to_string(line).map_err(|e| io(&path)(e.into()))?;
        writeln!(self.log, "{line}").map_err(io(&path))
    }
}
