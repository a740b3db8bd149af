//! What a run tells while it goes on.

use std::collections::HashMap;

use serde::Serialize;

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
    /// Share of the peak rate of the device, when that was given: six operations a token for each number of a matrix
    /// outside of the embeddings (Kaplan et al. 2020, section 2.1), so without attention's own products.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilization: Option<f64>,
    /// Seconds that the run has taken, over all its resumptions.
    pub seconds: f64,
}

impl Report {
    /// Name and value of what can be drawn as a curve.
    pub(super) fn scalars(&self) -> Vec<(String, f64)> {
        let mut scalars = vec![
            ("loss".to_owned(), f64::from(self.loss)),
            ("learning_rate".to_owned(), self.learning_rate),
            ("gradient_norm".to_owned(), self.gradient_norm),
            ("tokens_per_second".to_owned(), self.tokens_per_second),
            ("waiting".to_owned(), self.waiting),
        ];
        scalars.extend(self.utilization.map(|share| ("utilization".to_owned(), share)));
        let mut parts: Vec<_> = self.parts.iter().collect();
        parts.sort_by_key(|(name, _)| **name);
        scalars.extend(
            parts
                .iter()
                .map(|(name, value)| (format!("loss/{name}"), f64::from(**value))),
        );
        scalars
    }
}

/// What one step did: the mean loss of its batches and their tokens, over all ranks; parts of this rank's.
#[derive(Default)]
pub(super) struct Done {
    pub(super) loss: f32,
    pub(super) parts: HashMap<&'static str, f32>,
    pub(super) tokens: usize,
    pub(super) rate: f64,
    pub(super) norm: f64,
    /// Whether a rank was asked to stop.
    pub(super) interrupted: bool,
}

impl Done {
    /// Takes in one batch of `count`, whose parts are those of `own`.
    pub(super) fn add(
        &mut self,
        loss: f32,
        parts: Vec<(&'static str, f32)>,
        tokens: usize,
        [count, own]: [u64; 2],
    ) {
        self.loss += loss / count as f32;
        for (name, value) in parts {
            *self.parts.entry(name).or_default() += value / own as f32;
        }
        self.tokens += tokens;
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

    /// Leaves out seconds that belonged to no step.
    pub(super) fn pause(&mut self, seconds: f64) {
        self.began += seconds;
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
            utilization: None,
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
