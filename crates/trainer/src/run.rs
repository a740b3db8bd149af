//! The training loop: batch, loss, backward, clip, step, report, save.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use candle_core::{Device, Tensor, Var};
use serde::Serialize;

use crate::checkpoint::{self, State};
use crate::error::{Error, Result, io};
use crate::optimizer::{self, AdamW, Gradients};
use crate::recipe::Saving;
use crate::schedule::Schedule;

/// What is trained: a model, its data and its loss.
pub trait Task {
    /// What it trains on, in one line: counts, and batches an epoch.
    fn describe(&self) -> String;

    /// Every trainable variable, sorted by name.
    fn variables(&self) -> Vec<(String, Var)>;

    /// The loss of a batch. The task decides by itself, from its seed and the number alone, what is in it. A step
    /// takes one batch, or as many as `accumulate` says.
    ///
    /// # Errors
    /// When the model refuses the batch.
    fn loss(&self, batch: u64) -> Result<TaskLoss>;

    /// Scores on held-out data, the one that decides first, higher is better; empty when the recipe names none.
    ///
    /// # Errors
    /// When the model refuses the data.
    fn evaluate(&self) -> Result<Vec<(&'static str, f64)>> {
        Ok(Vec::new())
    }

    /// Writes the model as a folder that others can open.
    ///
    /// # Errors
    /// When a file cannot be written.
    fn save(&self, folder: &Path) -> Result<()>;
}

/// The loss of one batch.
pub struct TaskLoss {
    /// What is minimized, a scalar.
    pub loss: Tensor,
    /// Its parts before weighting, for the log.
    pub parts: Vec<(&'static str, f32)>,
    /// Tokens in the batch.
    pub tokens: usize,
    /// What was in the batch, for errors.
    pub batch: String,
}

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

/// What happened since the last report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Steps done.
    pub step: u64,
    /// Share of the run that is done, 0 to 1.
    pub progress: f64,
    /// Loss of the last step.
    pub loss: f32,
    /// Its parts, averaged since the last report.
    pub parts: HashMap<&'static str, f32>,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Norm of all gradients of the last step, before clipping.
    pub gradient_norm: f64,
    /// Tokens a second since the last report.
    pub tokens_per_second: f64,
    /// Tokens seen since the program started.
    pub tokens: u64,
    /// Seconds that the run has taken, over all its resumptions.
    pub seconds: f64,
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
pub struct Run<'a> {
    task: &'a dyn Task,
    plan: Plan,
    adam: AdamW,
    clock: &'a dyn Fn() -> Duration,
    step: u64,
    /// Seconds of earlier sittings.
    seconds_before: f64,
    received: Vec<bool>,
    log: File,
}

impl<'a> Run<'a> {
    /// Prepares a run: from its last checkpoint if there is one and `resume` is set, else from the start.
    ///
    /// # Errors
    /// When there are checkpoints and `resume` is not set, or they belong to another recipe, or are damaged; when
    /// `accumulate` is 0.
    pub fn new(
        task: &'a dyn Task,
        plan: Plan,
        clock: &'a dyn Fn() -> Duration,
        resume: bool,
    ) -> Result<Self> {
        if plan.optimizer.accumulate == 0 {
            return Err(Error::Setting {
                field: "optimizer.accumulate",
                value: "0".into(),
                accepted: "1 or more batches for one step".into(),
            });
        }
        std::fs::create_dir_all(&plan.out).map_err(io(&plan.out))?;
        let adam = AdamW::new(task.variables(), plan.optimizer)?;
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
    pub fn finish(mut self, mut report: impl FnMut(&Report)) -> Result<Outcome> {
        let mut window = Window::new(self.seconds());
        let mut loss = f32::NAN;
        while self.progress() < 1.0 {
            let done = self.advance()?;
            loss = done.loss;
            window.add(&done);
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
    fn advance(&mut self) -> Result<Done> {
        let count = self.plan.optimizer.accumulate;
        let mut done = Done {
            rate: self.plan.optimizer.learning_rate * self.plan.schedule.factor(self.progress()),
            ..Done::default()
        };
        let mut sum: Option<Gradients> = None;
        let mut batches = Vec::new();
        for number in self.step * count..(self.step + 1) * count {
            let TaskLoss {
                loss,
                parts,
                tokens,
                batch,
            } = self.task.loss(number)?;
            self.check_loss(&loss, &batch)?;
            done.add(&loss, parts, tokens, count)?;
            // The mean over the batches, as if they were one.
            let share = if count == 1 { loss } else { (loss / count as f64)? };
            let gradients = self.adam.gradients(&mut share.backward()?)?;
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

/// What one step did: means of its batches, and their tokens together.
#[derive(Default)]
struct Done {
    loss: f32,
    parts: HashMap<&'static str, f32>,
    tokens: usize,
    rate: f64,
    norm: f64,
}

impl Done {
    /// Takes in one batch of `count`.
    fn add(
        &mut self,
        loss: &Tensor,
        parts: Vec<(&'static str, f32)>,
        tokens: usize,
        count: u64,
    ) -> Result<()> {
        self.loss += loss.to_scalar::<f32>()? / count as f32;
        for (name, value) in parts {
            *self.parts.entry(name).or_default() += value / count as f32;
        }
        self.tokens += tokens;
        Ok(())
    }
}

/// Sums since the last report.
struct Window {
    parts: HashMap<&'static str, f32>,
    steps: usize,
    tokens: usize,
    tokens_before: u64,
    began: f64,
}

impl Window {
    fn new(now: f64) -> Self {
        Self {
            parts: HashMap::new(),
            steps: 0,
            tokens: 0,
            tokens_before: 0,
            began: now,
        }
    }

    fn add(&mut self, done: &Done) {
        for (&name, value) in &done.parts {
            *self.parts.entry(name).or_default() += value;
        }
        self.steps += 1;
        self.tokens += done.tokens;
    }

    /// The report, after which the window is empty again.
    fn report(&mut self, last: &Done, step: u64, progress: f64, now: f64) -> Report {
        let steps = self.steps.max(1) as f32;
        let report = Report {
            step,
            progress,
            loss: last.loss,
            parts: self
                .parts
                .iter()
                .map(|(&name, &sum)| (name, sum / steps))
                .collect(),
            learning_rate: last.rate,
            gradient_norm: last.norm,
            tokens_per_second: self.tokens as f64 / (now - self.began).max(1e-9),
            tokens: self.tokens_before + self.tokens as u64,
            seconds: now,
        };
        let tokens_before = report.tokens;
        *self = Self {
            tokens_before,
            ..Self::new(now)
        };
        report
    }
}

/// Sets the variables that a safetensors file has under the same name and shape; the names of an encoder are
/// tried with and without `bert.`. At least one must fit.
pub(crate) fn initialise(vars: &[(String, Var)], path: &Path) -> Result<()> {
    let tensors = candle_core::safetensors::load(path, &Device::Cpu)?;
    let mut fitting = 0;
    for (name, var) in vars {
        let found = tensors.get(name).or_else(|| tensors.get(&format!("bert.{name}")));
        let stacked = || stacked(&tensors, name).transpose();
        let Some(tensor) = found.cloned().map(Ok).or_else(stacked).transpose()? else {
            continue;
        };
        if tensor.dims() != var.dims() {
            return Err(Error::Mismatch {
                what: format!("{name} in {}", path.display()),
                expected: format!("{:?}", var.dims()),
                found: format!("{:?}", tensor.dims()),
            });
        }
        var.set(&tensor.to_dtype(var.dtype())?)?;
        fitting += 1;
    }
    if fitting == 0 {
        return Err(Error::Mismatch {
            what: format!("initial weights {}", path.display()),
            expected: "at least one variable of the model".into(),
            found: "none".into(),
        });
    }
    Ok(())
}

/// Query, key and value are one variable here and three on disk.
fn stacked(tensors: &HashMap<String, Tensor>, name: &str) -> Result<Option<Tensor>> {
    let Some((before, after)) = name.split_once(".qkv.") else {
        return Ok(None);
    };
    let parts: Vec<&Tensor> = ["query", "key", "value"]
        .iter()
        .filter_map(|part| {
            let part = format!("{before}.{part}.{after}");
            tensors
                .get(&part)
                .or_else(|| tensors.get(&format!("bert.{part}")))
        })
        .collect();
    if parts.len() < 3 {
        return Ok(None);
    }
    Ok(Some(Tensor::cat(&parts, 0)?))
}
