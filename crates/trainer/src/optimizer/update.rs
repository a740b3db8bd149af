//! One pass over weights, gradient and moments.

use std::sync::{Mutex, PoisonError};

#[cfg(feature = "cuda")]
use candle_core::Tensor;
use candle_core::{CpuStorage, InplaceOp2, Layout};
use rayon::prelude::*;

use super::slot::Moments;
#[cfg(feature = "cuda")]
use super::slot::Slot;
#[cfg(feature = "cuda")]
use crate::error::Result;

/// Values that one thread takes at a time.
pub(super) const BLOCK: usize = 1 << 14;

/// The step of one variable.
pub(super) struct Update<'a> {
    pub(super) moments: &'a Mutex<Moments>,
    pub(super) scale: f32,
    pub(super) beta1: f32,
    pub(super) beta2: f32,
    pub(super) epsilon: f32,
    pub(super) keep: f32,
    pub(super) rate: f32,
    pub(super) root: f32,
}

impl Update<'_> {
    fn apply(&self, weights: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32]) {
        for (((w, &g), m), v) in weights.iter_mut().zip(gradient).zip(mean).zip(square) {
            let g = g * self.scale;
            *m = self.beta1 * *m + (1.0 - self.beta1) * g;
            *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
            *w = self.keep * *w - self.rate * *m / (v.sqrt() * self.root + self.epsilon);
        }
    }
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(weights), CpuStorage::F32(gradient)) = (weights, gradient) else {
            return Err(candle_core::Error::Msg("adamw takes f32".into()));
        };
        let count = layout.shape().elem_count();
        let weights = &mut weights[layout.start_offset()..][..count];
        let gradient = &gradient[gradient_layout.start_offset()..][..count];
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        #[allow(
            irrefutable_let_patterns,
            reason = "with the feature cuda there is another place"
        )]
        let Moments::Host { mean, square } = &mut *moments else {
            return Err(candle_core::Error::Msg("moments that are not on the CPU".into()));
        };
        weights
            .par_chunks_mut(BLOCK)
            .zip(gradient.par_chunks(BLOCK))
            .zip(mean.par_chunks_mut(BLOCK).zip(square.par_chunks_mut(BLOCK)))
            .for_each(|((w, g), (m, v))| self.apply(w, g, m, v));
        Ok(())
    }
}

/// All updates in one launch.
#[cfg(feature = "cuda")]
pub(super) fn on_gpu(updates: &[(&Slot, &Tensor, Update<'_>)]) -> Result<()> {
    use encoder::cuda::{Piece, Step, adamw};
    let Some((_, _, first)) = updates.first() else {
        return Ok(());
    };
    let held: Vec<_> = updates
        .iter()
        .map(|(slot, ..)| slot.moments.lock().unwrap_or_else(PoisonError::into_inner))
        .collect();
    let pieces = updates
        .iter()
        .zip(&held)
        .filter_map(|((slot, gradient, update), moments)| {
            let Moments::OnGpu { mean, square } = &**moments else {
                return None;
            };
            Some(Piece {
                weight: slot.var.as_tensor(),
                mean,
                square,
                gradient,
                keep: update.keep,
                rate: update.rate,
            })
        });
    let pieces: Vec<Piece<'_>> = pieces.collect();
    if pieces.len() < updates.len() {
        return Err(candle_core::Error::Msg("some variables are on the GPU and some are not".into()).into());
    }
    let step = Step {
        scale: first.scale,
        beta1: first.beta1,
        beta2: first.beta2,
        epsilon: first.epsilon,
        root: first.root,
    };
    Ok(adamw(&pieces, step)?)
}
