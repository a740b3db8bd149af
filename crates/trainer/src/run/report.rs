//! What a run tells while it goes on.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::Serialize;

use crate::error::Result;

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
    /// Share of the time since the last report in which the step waited for its batch, 0 to 1.
    pub waiting: f64,
    /// Seconds that the run has taken, over all its resumptions.
    pub seconds: f64,
}

/// What one step did: means of its batches, and their tokens together.
#[derive(Default)]
pub(super) struct Done {
    pub(super) loss: f32,
    pub(super) parts: HashMap<&'static str, f32>,
    pub(super) tokens: usize,
    pub(super) rate: f64,
    pub(super) norm: f64,
}

impl Done {
    /// Takes in one batch of `count`.
    pub(super) fn add(
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
pub(super) struct Window {
    parts: HashMap<&'static str, f32>,
    steps: usize,
    tokens: usize,
    tokens_before: u64,
    began: f64,
    waited: f64,
}

impl Window {
    pub(super) fn new(now: f64) -> Self {
        Self {
            parts: HashMap::new(),
            steps: 0,
            tokens: 0,
            tokens_before: 0,
            began: now,
            waited: 0.0,
        }
    }

    pub(super) fn add(&mut self, done: &Done, waited: f64) {
        for (&name, value) in &done.parts {
            *self.parts.entry(name).or_default() += value;
        }
        self.steps += 1;
        self.tokens += done.tokens;
        self.waited += waited;
    }

    /// The report, after which the window is empty again.
    pub(super) fn report(&mut self, last: &Done, step: u64, progress: f64, now: f64) -> Report {
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
            waiting: self.waited / (now - self.began).max(1e-9),
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
