//! Predicted classes against gold classes.
//!
//! ```text
//! precision = TP / (TP + FP)    recall = TP / (TP + FN)    F1 = 2 TP / (2 TP + FP + FN)      0/0 counts as 0
//! Matthews  = (c s - sum p_k t_k) / sqrt((s^2 - sum p_k^2)(s^2 - sum t_k^2))
//! ```
//!
//! with `s` examples, `c` of them right, and class `k` predicted `p_k` and true `t_k` times: the form of
//! Gorodkin 2004 for any number of classes, which for two classes is Matthews 1975.

use std::collections::BTreeMap;

use crate::MeasureError;

/// Precision, recall and F1 of one class or of all entities of a type.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scores {
    /// Share of the predictions that are right.
    pub precision: f64,
    /// Share of the gold ones that were found.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
    /// Number of gold ones.
    pub support: usize,
}

impl Scores {
    pub(crate) fn from_counts(right: usize, predicted: usize, gold: usize) -> Self {
        let share = |part: usize, whole: usize| {
            if whole == 0 {
                0.0
            } else {
                part as f64 / whole as f64
            }
        };
        Self {
            precision: share(right, predicted),
            recall: share(right, gold),
            f1: share(2 * right, predicted + gold),
            support: gold,
        }
    }
}

/// All classification metrics of one set of predictions.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    /// Share of the examples with the right class.
    pub accuracy: f64,
    /// Unweighted mean of the classes' F1, over classes that occur as gold or as prediction.
    pub f1_macro: f64,
    /// Matthews correlation, in `[-1, 1]`; 0 when the gold or the predicted class never changes.
    pub matthews: f64,
    /// Each class that occurs as gold or as prediction.
    pub classes: BTreeMap<usize, Scores>,
}

/// Compares one predicted class with one gold class per example.
///
/// # Errors
/// [`MeasureError::Lengths`] when the lists differ in length, [`MeasureError::Empty`] without examples.
pub fn classification(gold: &[usize], predicted: &[usize]) -> Result<Classification, MeasureError> {
    if gold.len() != predicted.len() {
        return Err(MeasureError::Lengths {
            left: gold.len(),
            right: predicted.len(),
        });
    }
    if gold.is_empty() {
        return Err(MeasureError::Empty);
    }
    // Per class: right, predicted, gold.
    let mut counts: BTreeMap<usize, [usize; 3]> = BTreeMap::new();
    for (&gold, &predicted) in gold.iter().zip(predicted) {
        counts.entry(gold).or_default()[2] += 1;
        counts.entry(predicted).or_default()[1] += 1;
        counts.entry(gold).or_default()[0] += usize::from(gold == predicted);
    }
    let right: usize = counts.values().map(|count| count[0]).sum();
    let classes: BTreeMap<usize, Scores> = counts
        .iter()
        .map(|(&class, count)| (class, Scores::from_counts(count[0], count[1], count[2])))
        .collect();
    Ok(Classification {
        accuracy: right as f64 / gold.len() as f64,
        f1_macro: classes.values().map(|scores| scores.f1).sum::<f64>() / classes.len() as f64,
        matthews: matthews(gold.len() as f64, right as f64, counts.values()),
        classes,
    })
}

fn matthews<'a>(examples: f64, right: f64, counts: impl Iterator<Item = &'a [usize; 3]>) -> f64 {
    let (mut joint, mut predicted_square, mut gold_square) = (0.0, 0.0, 0.0);
    for [_, predicted, gold] in counts {
        let (predicted, gold) = (*predicted as f64, *gold as f64);
        joint += predicted * gold;
        predicted_square += predicted * predicted;
        gold_square += gold * gold;
    }
    let all = examples * examples;
    let norm = (all - predicted_square).sqrt() * (all - gold_square).sqrt();
    if norm > 0.0 {
        (right * examples - joint) / norm
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// TP 2, FP 1, FN 1, TN 2.
    #[test]
    fn worked_by_hand() {
        let result = classification(&[1, 1, 1, 0, 0, 0], &[1, 1, 0, 1, 0, 0]).unwrap();
        assert!((result.accuracy - 4.0 / 6.0).abs() < 1e-12);
        assert!((result.classes[&1].f1 - 2.0 / 3.0).abs() < 1e-12);
        assert!((result.matthews - (2.0 * 2.0 - 1.0) / 9.0).abs() < 1e-12);
        assert_eq!(classification(&[1, 1], &[1, 1]).unwrap().matthews, 0.0);
        assert_eq!(classification(&[], &[]), Err(MeasureError::Empty));
    }
}
