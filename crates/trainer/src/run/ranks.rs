//! Several processes or threads that train one model together, each on its share of the batches.

use candle_core::Tensor;

use crate::error::Result;

/// One of `world` equal copies of a run. Each has the same recipe and the same weights, and takes every `world`th
/// batch of a step; the gradients are added up, so all copies take the same step. A step of `accumulate` batches is
/// the same step for any number of ranks, up to the order in which sums are rounded.
///
/// All ranks call [`AllReduce::sum`] equally often and with tensors of the same shapes. Once a rank is lost, the
/// others get an error from it rather than wait.
pub trait AllReduce {
    /// The number of this copy, from 0. Number 0 writes the files.
    fn rank(&self) -> usize;

    /// How many copies there are, at least 1.
    fn world(&self) -> usize;

    /// Whether sums are what they are made of, so that they need not be asked for.
    fn is_alone(&self) -> bool {
        false
    }

    /// The sums over all ranks, tensor by tensor; every rank gets the same bits.
    ///
    /// # Errors
    /// When another rank is lost.
    fn sum(&self, tensors: Vec<Tensor>) -> Result<Vec<Tensor>>;
}

/// A run that is its only copy.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

impl AllReduce for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn world(&self) -> usize {
        1
    }

    fn is_alone(&self) -> bool {
        true
    }

    fn sum(&self, tensors: Vec<Tensor>) -> Result<Vec<Tensor>> {
        Ok(tensors)
    }
}
