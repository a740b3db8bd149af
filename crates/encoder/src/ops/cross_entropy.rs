//! Mean cross-entropy over rows in one node, of logits or of what a dense layer makes of its input. What the forward
//! pass keeps beside the logits is two numbers a row; the backward pass turns logits into their gradient.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::fused::{PIECE, held, tensor, values};
use super::linear::{product, spread_back};
use super::simd::{self, dispatched, each, exp, max, sum1};

/// The mean over rows of `-log softmax(logits)[target]`; with what its backward pass needs.
///
/// As an operation of one argument it takes the logits (rows, classes); of three, the arguments of a dense layer that
/// makes them: x (rows, in), weight (classes, in), bias (classes).
pub(super) struct CrossEntropy {
    targets: Vec<u32>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    totals: Vec<Total>,
    /// The logits, when they are not the argument.
    logits: Vec<f32>,
}

/// The sum of the exponentials of a row, in two parts: together they would lose the small one to a large logit.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    /// The largest logit.
    largest: f32,
    /// The logarithm of the sum of the exponentials of what the logits are below it.
    rest: f32,
}

impl CrossEntropy {
    pub(super) fn new(targets: Vec<u32>) -> Self {
        Self {
            targets,
            kept: Mutex::default(),
        }
    }

    /// The mean, and the total of each row.
    fn mean(&self, logits: &[f32], classes: usize) -> Result<(f32, Vec<Total>)> {
        let rows = logits.len().checked_div(classes).unwrap_or(0);
        if rows == 0 || rows != self.targets.len() {
            candle_core::bail!("{} targets for {rows} rows of logits", self.targets.len());
        }
        if let Some(target) = self.targets.iter().find(|&&target| target as usize >= classes) {
            candle_core::bail!("target {target} among {classes} classes");
        }
        let mut totals = vec![Total::default(); rows];
        totals
            .par_iter_mut()
            .zip(logits.par_chunks_exact(classes))
            .for_each(|(total, row)| log_total(row, total));
        let chosen = logits.chunks_exact(classes).zip(&self.targets);
        let losses = totals
            .iter()
            .zip(chosen)
            .map(|(total, (row, &target))| f64::from(total.rest - (row[target as usize] - total.largest)));
        Ok(((losses.sum::<f64>() / rows as f64) as f32, totals))
    }

    /// Logits become their gradient.
    fn slope(&self, logits: &mut [f32], totals: &[Total], grad: &Tensor) -> Result<()> {
        let rows = self.targets.len();
        let share = grad.to_scalar::<f32>()? / rows as f32;
        logits
            .par_chunks_exact_mut(logits.len() / rows)
            .zip(totals.par_iter().zip(&self.targets))
            .for_each(|(row, (&total, &target))| {
                probabilities(row, total, share);
                row[target as usize] -= share;
            });
        Ok(())
    }

    fn keep(&self, totals: Vec<Total>, logits: Vec<f32>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Kept { totals, logits };
    }
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, classes) = layout.shape().dims2()?;
        let (mean, totals) = self.mean(values(logits, layout)?, classes)?;
        self.keep(totals, Vec::new());
        Ok((CpuStorage::F32(vec![mean]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (storage, layout) = logits.storage_and_layout();
        let mut out = held(&storage, layout)?.to_vec();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.slope(&mut out, &kept.totals, grad)?;
        Ok(Some(tensor(out, logits.dims())?))
    }
}

impl CustomOp3 for CrossEntropy {
    fn name(&self) -> &'static str {
        "dense-cross-entropy"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut logits = product((x, x_layout), (weight, weight_layout))?;
        let bias = values(bias, bias_layout)?;
        logits
            .par_chunks_mut(PIECE * bias.len())
            .for_each(|rows| simd::add_bias(rows, bias));
        let (mean, totals) = self.mean(&logits, bias.len())?;
        self.keep(totals, logits);
        Ok((CpuStorage::F32(vec![mean]), Shape::from(())))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _loss: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { totals, mut logits } = std::mem::take(&mut *kept);
        if logits.is_empty() {
            candle_core::bail!("the logits of a loss are followed back once");
        }
        self.slope(&mut logits, &totals, grad)?;
        spread_back(x, weight, &tensor(logits, &[x.dim(0)?, weight.dim(0)?])?)
    }
}

dispatched! {
    /// The total of a row.
    fn log_total(row: &'a [f32], total: &'a mut Total) {
        let largest = max(row);
        let rest = sum1(row, |x| exp(x - largest)).ln();
        *total = Total { largest, rest };
    }

    /// `scale · softmax(row)`, in place.
    fn probabilities(row: &'a mut [f32], total: Total, scale: f32) {
        each!(x in row => *x = exp((*x - total.largest) - total.rest) * scale);
    }
}
