//! The scores of a run so far, and what follows from them.

use serde::{Deserialize, Serialize};

/// The scores of the model after a number of steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Steps done.
    pub step: u64,
    /// Name and value; the first decides, higher is better.
    pub scores: Vec<(String, f64)>,
}

impl Evaluation {
    /// What decides; a score that is not a number is worse than any that is.
    fn first(&self) -> f64 {
        let first = self.scores.first().map_or(f64::NAN, |(_, score)| *score);
        if first.is_nan() { f64::NEG_INFINITY } else { first }
    }
}

/// All evaluations of a run, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct History(pub(crate) Vec<Evaluation>);

impl History {
    /// The place of the best evaluation: of equal ones the earliest.
    fn best_place(&self) -> Option<usize> {
        let better = |best: usize, other: usize| match self.0[other].first() > self.0[best].first() {
            true => other,
            false => best,
        };
        (0..self.0.len()).reduce(better)
    }

    /// The step of the best evaluation.
    pub(crate) fn best(&self) -> Option<u64> {
        self.best_place().map(|place| self.0[place].step)
    }

    /// Evaluations since the best one.
    pub(crate) fn since_best(&self) -> u64 {
        self.best_place()
            .map_or(0, |place| (self.0.len() - 1 - place) as u64)
    }

    /// Whether the model was scored after this step.
    pub(crate) fn has(&self, step: u64) -> bool {
        self.0.last().is_some_and(|last| last.step == step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(scores: &[f64]) -> History {
        let scored = |(place, &score): (usize, &f64)| Evaluation {
            step: 10 * place as u64,
            scores: vec![("mrr".into(), score), ("other".into(), -score)],
        };
        History(scores.iter().enumerate().map(scored).collect())
    }

    #[test]
    fn the_best_is_the_first_of_the_highest() {
        assert_eq!(history(&[]).best(), None);
        assert_eq!(history(&[0.1, 0.3, 0.3, 0.2]).best(), Some(10));
        assert_eq!(history(&[0.1, 0.3, 0.3, 0.2]).since_best(), 2);
        assert_eq!(history(&[0.1, 0.2]).since_best(), 0);
        assert_eq!(history(&[f64::NAN, -5.0, f64::NAN]).best(), Some(10));
        assert!(history(&[0.1, 0.2]).has(10) && !history(&[0.1, 0.2]).has(0));
    }
}
