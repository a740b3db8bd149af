//! What stops a run that cannot learn, or no longer does.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// After so many steps every variable must have received a gradient.
pub(super) const GUARD_STEPS: u64 = 20;

/// Losses whose median a spike is measured against.
const WINDOW: usize = 64;

/// Steps in a row whose loss is far too high. One alone may be a batch with a wrong label in it.
pub(super) const IN_A_ROW: u64 = 3;

/// The losses that tell a spike from an ordinary step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Losses {
    /// Those of the first steps.
    first: Vec<f32>,
    /// Those of the last steps, without the high ones.
    recent: VecDeque<f32>,
    /// Steps in a row, up to the last, whose loss was too high.
    high: u64,
}

impl Losses {
    /// The median of the last steps' losses.
    pub(super) fn median(&self) -> f32 {
        median(self.recent.iter().copied())
    }

    /// Takes in the loss of a step. When it is the third in a row that lies above `factor` times the median of the
    /// last 64, and above that of the first 64, the run has lost what it had learned: then the median is returned. A
    /// factor of 0 never says so.
    pub(super) fn see(&mut self, loss: f32, factor: f64) -> Option<f32> {
        if factor > 0.0 && self.recent.len() == WINDOW {
            let median = median(self.recent.iter().copied());
            let limit = (factor as f32 * median).max(median_of(&self.first));
            if loss > limit {
                self.high += 1;
                return (self.high >= IN_A_ROW).then_some(median);
            }
        }
        self.high = 0;
        if self.first.len() < WINDOW {
            self.first.push(loss);
        }
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(loss);
        None
    }
}

fn median_of(values: &[f32]) -> f32 {
    median(values.iter().copied())
}

/// The upper median; of no values, not a number.
fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f32::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Losses that fall from 2 to about 0.1.
    fn trained() -> Losses {
        let mut losses = Losses::default();
        for step in 0..200 {
            let noise = [0.9, 1.0, 1.1][step % 3];
            assert_eq!(losses.see(noise * (2.0 - step as f32 * 0.0095), 10.0), None);
        }
        losses
    }

    #[test]
    fn three_high_losses_in_a_row_are_a_spike() {
        let mut losses = trained();
        assert_eq!(losses.see(9.0, 10.0), None);
        assert_eq!(losses.see(9.0, 10.0), None);
        let median = losses.see(9.0, 10.0);
        assert!(
            median.is_some_and(|median| (0.05..0.8).contains(&median)),
            "{median:?}"
        );
    }

    #[test]
    fn single_high_losses_and_noise_are_not() {
        let mut losses = trained();
        for loss in [9.0, 9.0, 0.1, 9.0, 9.0, 0.2, 9.0, 0.1] {
            assert_eq!(losses.see(loss, 10.0), None);
        }
        // Far above the median, but no worse than at the start.
        let mut tiny = Losses::default();
        for step in 0..200 {
            assert_eq!(tiny.see(if step < 64 { 1.0 } else { 1e-4 }, 10.0), None);
        }
        for _ in 0..10 {
            assert_eq!(tiny.see(0.5, 10.0), None);
        }
        let mut off = trained();
        assert!((0..10).all(|_| off.see(f32::MAX, 0.0).is_none()));
    }
}
