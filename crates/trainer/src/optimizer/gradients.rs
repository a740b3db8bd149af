//! The gradients of a step, measured, and added up over batches and ranks.

use candle_core::Tensor;
use rayon::prelude::*;

use super::slot::Slot;
use super::update::BLOCK;
use crate::error::Result;

/// The gradients of one step, in the order of the optimizer's variables.
pub struct Gradients {
    pub(super) tensors: Vec<Option<Tensor>>,
    norms: Vec<f64>,
}

impl Gradients {
    pub(super) fn measured(tensors: Vec<Option<Tensor>>) -> Result<Self> {
        #[cfg(feature = "cuda")]
        if tensors.iter().flatten().any(|grad| grad.device().is_cuda()) {
            let norms = encoder::cuda::norms(&tensors)?;
            return Ok(Self { tensors, norms });
        }
        let norms = tensors
            .iter()
            .map(|grad| grad.as_ref().map_or(Ok(0.0), square_sum).map(f64::sqrt))
            .collect::<Result<_>>()?;
        Ok(Self { tensors, norms })
    }

    /// The sum of the gradients of two batches, for the same variables.
    ///
    /// # Errors
    /// When the tensor library refuses.
    pub fn plus(self, other: Self) -> Result<Self> {
        let sum = |pair: (Option<Tensor>, Option<Tensor>)| match pair {
            (Some(one), Some(other)) => (one + other).map(Some),
            (one, other) => Ok(one.or(other)),
        };
        let pairs = self.tensors.into_iter().zip(other.tensors);
        Self::measured(pairs.map(sum).collect::<candle_core::Result<_>>()?)
    }

    /// The gradients of all ranks together; `sum` adds them up, tensor by tensor. What received none counts as zero, so
    /// that every rank hands in the same.
    ///
    /// # Errors
    /// When `sum` fails, or the tensor library.
    pub(crate) fn shared(
        self,
        slots: &[Slot],
        sum: impl FnOnce(Vec<Tensor>) -> Result<Vec<Tensor>>,
    ) -> Result<Self> {
        let filled = self
            .tensors
            .into_iter()
            .zip(slots)
            .map(|(gradient, slot)| match gradient {
                Some(gradient) => Ok(gradient),
                None => slot.var.zeros_like(),
            });
        let sums = sum(filled.collect::<candle_core::Result<_>>()?)?;
        Self::measured(sums.into_iter().map(Some).collect())
    }

    /// The norm of all gradients as one vector.
    pub fn norm(&self) -> f64 {
        self.norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt()
    }

    /// The norm of each variable's gradient; 0 when it has none.
    pub fn norms(&self) -> &[f64] {
        &self.norms
    }
}

fn square_sum(tensor: &Tensor) -> Result<f64> {
    let (storage, layout) = tensor.storage_and_layout();
    let candle_core::Storage::Cpu(storage) = &*storage else {
        return Err(candle_core::Error::Msg("gradients are expected on the CPU".into()).into());
    };
    let values = &storage.as_slice::<f32>()?[layout.start_offset()..][..layout.shape().elem_count()];
    // Blocks of a fixed size, added in order, so that the sum does not depend on the number of threads.
    let sums: Vec<f64> = values
        .par_chunks(BLOCK)
        .map(|block| block.iter().map(|&x| f64::from(x) * f64::from(x)).sum())
        .collect();
    Ok(sums.iter().sum())
}
