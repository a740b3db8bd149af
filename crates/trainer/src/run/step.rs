//! One step, and what is watched in it.

use candle_core::{Device, Tensor};

use super::feed::Feed;
use super::guard::{GUARD_STEPS, IN_A_ROW};
use super::report::{Done, Report};
use super::units::{Largest, Units};
use super::{Run, Task, TaskLoss};
use crate::error::{Error, Result};
use crate::optimizer::Gradients;

/// Batches whose gradients say which units take part.
const LOOKED_AT: u64 = 8;

impl<T: Task> Run<'_, T> {
    /// One step.
    pub(super) fn advance(&mut self, feed: &mut Feed<'_, T>) -> Result<Done> {
        let count = self.plan.optimizer.accumulate;
        let own = count / self.ranks.world() as u64;
        let mut done = Done {
            rate: self.plan.optimizer.learning_rate * self.plan.schedule.factor(self.progress()),
            ..Done::default()
        };
        let mut sum: Option<Gradients> = None;
        let mut batches = Vec::new();
        for _ in 0..own {
            let (number, prepared) = feed.next()?;
            let TaskLoss {
                loss,
                parts,
                tokens,
                batch,
            } = self.task.compute(number, &prepared)?;
            batches.push(batch);
            let value = self.finite(&loss, &batches)?;
            done.add(value, parts, tokens, [count, own]);
            // The mean over the batches, as if they were one.
            let share = if count == 1 { loss } else { (loss / count as f64)? };
            let gradients = self.adam.gradients(&mut encoder::backward(&share)?)?;
            sum = Some(match sum {
                Some(sum) => sum.plus(gradients)?,
                None => gradients,
            });
        }
        if let Some(gradients) = sum {
            let gradients = self.exchanged(gradients)?;
            self.guard(&gradients, &batches)?;
            self.step += 1;
            self.adam.step(&gradients, self.step, done.rate)?;
            done.norm = gradients.norm();
        }
        self.agree(&mut done)?;
        self.first_step_seconds.get_or_insert(self.now);
        self.watch(done.loss, &batches)?;
        Ok(done)
    }

    fn exchanged(&self, gradients: Gradients) -> Result<Gradients> {
        if self.ranks.is_alone() {
            return Ok(gradients);
        }
        gradients.shared(self.adam.slots(), |tensors| self.ranks.sum(tensors))
    }

    /// Adds up over all ranks what a step did, and settles the time and whether to stop.
    pub(super) fn agree(&mut self, done: &mut Done) -> Result<()> {
        let own = [
            f64::from(done.loss),
            done.tokens as f64,
            self.seconds_before + self.elapsed(),
            f64::from(u8::from((self.interrupted)())),
        ];
        let sums = self.ranks.sum(vec![Tensor::new(&own, &Device::Cpu)?])?;
        let sums = sums.first().map_or(Ok(own.to_vec()), Tensor::to_vec1::<f64>)?;
        if let [loss, tokens, seconds, interrupted] = sums[..] {
            done.loss = loss as f32;
            done.tokens = tokens as usize;
            done.interrupted = interrupted > 0.0;
            self.now = seconds / self.ranks.world() as f64;
        }
        Ok(())
    }

    fn finite(&self, loss: &Tensor, batches: &[String]) -> Result<f32> {
        let loss = loss.to_scalar::<f32>()?;
        if loss.is_finite() {
            return Ok(loss);
        }
        let (step, batch) = (self.step, self.dump(batches, 1));
        Err(Error::LossNotFinite { step, loss, batch })
    }

    /// Stops a run whose loss has grown far above what it was.
    fn watch(&mut self, loss: f32, batches: &[String]) -> Result<()> {
        let spike_factor = self.plan.saving.spike_factor;
        let Some(median) = self.losses.see(loss, spike_factor) else {
            return Ok(());
        };
        // The dump ends with the step that was just done.
        self.step -= 1;
        Err(Error::Spike {
            step: self.step,
            loss,
            median,
            spike_factor,
            batch: self.dump(batches, IN_A_ROW),
        })
    }

    /// Stops a run that cannot learn.
    fn guard(&mut self, gradients: &Gradients, batches: &[String]) -> Result<()> {
        let named = || self.adam.slots().iter().zip(gradients.norms());
        if let Some((slot, _)) = named().find(|(_, norm)| !norm.is_finite()) {
            return Err(Error::GradientNotFinite {
                step: self.step,
                variable: slot.name.clone(),
                batch: self.dump(batches, 1),
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

    /// Writes what the last steps up to this one looked at to a file, and says what was in them and where it is.
    fn dump(&self, batches: &[String], steps: u64) -> String {
        let said = batches.join(" and of ");
        let (count, step) = (self.plan.optimizer.accumulate, self.step);
        let rank = match self.ranks.rank() {
            0 => String::new(),
            rank => format!("-rank-{rank}"),
        };
        let path = self.plan.out.join(format!("stopped-step-{step:010}{rank}.json"));
        let first = (step + 1).saturating_sub(steps) * count;
        let own = (first + self.ranks.rank() as u64..(step + 1) * count).step_by(self.ranks.world());
        // Batches are functions of their numbers, so they can be made again.
        let prepared =
            own.map(|number| Ok(serde_json::json!({"number": number, "batch": self.task.prepare(number)?})));
        let written = prepared
            .collect::<Result<Vec<_>>>()
            .map_err(|error| error.to_string())
            .and_then(|all| serde_json::to_vec(&all).map_err(|error| error.to_string()))
            .and_then(|json| std::fs::write(&path, json).map_err(|error| error.to_string()));
        match written {
            Ok(()) => format!("{said} (all of it is in {})", path.display()),
            Err(error) => format!("{said} (it could not be written to {}: {error})", path.display()),
        }
    }

    /// Which feed-forward units get a gradient from some batches of the run.
    pub(super) fn look_at_units(&self) -> Result<Vec<Units>> {
        let mut largest = Largest::of(self.adam.slots());
        let batches = self.step * self.plan.optimizer.accumulate;
        if !largest.is_empty() {
            for number in 0..batches.min(LOOKED_AT) {
                largest.see(&encoder::backward(&self.task.loss(number)?.loss)?)?;
            }
        }
        Ok(largest.count())
    }

    /// Floating-point operations per second of a report, as [`Report::utilization`] counts them.
    pub(super) fn operations(&self, report: &Report) -> f64 {
        let slots = self.adam.slots().iter();
        let matrices = slots.filter(|slot| slot.var.rank() == 2 && !slot.name.contains("embeddings."));
        let numbers: usize = matrices.map(|slot| slot.var.elem_count()).sum();
        6.0 * numbers as f64 * report.tokens_per_second
    }
}
