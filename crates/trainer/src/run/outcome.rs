//! What a run tells.

use super::{Evaluation, Report, Units};

/// What a run tells while it goes on.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// Some steps were done.
    Steps(&'a Report),
    /// The model was scored.
    Scores(&'a Evaluation),
}

/// Why a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All steps are done, or the time is up.
    Finished,
    /// The scores grew no more.
    Early,
    /// Somebody asked for it: there is a checkpoint and no model.
    Interrupted,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Why.
    pub ended: Ended,
    /// Trainable numbers.
    pub parameters: usize,
    /// Steps done.
    pub steps: u64,
    /// Loss of the last step; not a number when none was done since the program started.
    pub loss: f32,
    /// Seconds, over all resumptions.
    pub seconds: f64,
    /// The scores, from before the first step to after the last.
    pub evaluations: Vec<Evaluation>,
    /// The step whose model was saved.
    pub saved: u64,
    /// What was found of the feed-forward units of the model that was saved.
    pub units: Vec<Units>,
    /// The median loss of the last steps, 64 at most, where it is no better than that of a model which knows the
    /// frequencies of the labels alone: see [`Task::blind_loss`](super::Task::blind_loss).
    pub learned_nothing: Option<f32>,
}

impl Outcome {
    /// The scores of the model that was saved; none when there are no held-out data.
    pub fn saved_scores(&self) -> Option<&Evaluation> {
        let mut evaluations = self.evaluations.iter().rev();
        evaluations.find(|evaluation| evaluation.step == self.saved)
    }

    /// A sentence that says so where nothing was learned.
    pub fn verdict(&self) -> Option<String> {
        self.learned_nothing.map(|loss| {
            format!(
                "It has learned nothing: a loss of {loss:.4} is no better than guesses by the frequencies of the labels \
                 alone."
            )
        })
    }
}
