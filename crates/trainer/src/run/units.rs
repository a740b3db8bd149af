//! Units of the feed-forward blocks that have stopped to take part.

use candle_core::Tensor;
use candle_core::backprop::GradStore;

use crate::error::Result;
use crate::optimizer::Slot;

/// The feed-forward units of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Units {
    /// The variable with one number a unit: the bias before the activation.
    pub variable: String,
    /// Units whose gradient stayed at zero on all batches looked at.
    pub dead: usize,
    /// Units in all.
    pub all: usize,
}

/// The largest gradient of each unit over some batches.
pub(super) struct Largest<'a> {
    layers: Vec<(&'a Slot, Vec<f32>)>,
}

impl<'a> Largest<'a> {
    /// Before the first batch.
    pub(super) fn of(slots: &'a [Slot]) -> Self {
        let feeds = slots
            .iter()
            .filter(|slot| slot.name.ends_with("intermediate.dense.bias"));
        let layers = feeds.map(|slot| (slot, vec![0.0; slot.var.elem_count()]));
        Self {
            layers: layers.collect(),
        }
    }

    /// Whether there is nothing to look at.
    pub(super) fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Takes in the gradients of a batch.
    pub(super) fn see(&mut self, gradients: &GradStore) -> Result<()> {
        for (slot, largest) in &mut self.layers {
            let gradient: Option<&Tensor> = gradients.get(&slot.var);
            let Some(gradient) = gradient else { continue };
            for (largest, value) in largest.iter_mut().zip(gradient.to_vec1::<f32>()?) {
                *largest = largest.max(value.abs());
            }
        }
        Ok(())
    }

    /// How many stayed at zero: below a millionth of the median unit of their layer.
    pub(super) fn count(self) -> Vec<Units> {
        let counted = self.layers.into_iter().map(|(slot, largest)| Units {
            variable: slot.name.clone(),
            dead: dead(&largest),
            all: largest.len(),
        });
        counted.collect()
    }
}

fn dead(largest: &[f32]) -> usize {
    let mut sorted = largest.to_vec();
    sorted.sort_by(f32::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    let still = largest.iter().filter(|&&value| value <= 1e-6 * median);
    still.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_without_a_gradient_are_dead() {
        assert_eq!(dead(&[0.0, 1e-3, 2e-3, 1e-12, 5e-3]), 2);
        assert_eq!(dead(&[1e-9, 2e-9, 1e-9]), 0);
        assert_eq!(dead(&[0.0, 0.0, 0.0]), 3);
    }
}
