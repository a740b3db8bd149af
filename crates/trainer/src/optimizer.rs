//! AdamW (Loshchilov and Hutter 2019, algorithm 2) in one pass over each variable.

use std::sync::{Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Tensor, Var};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Settings of the optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay; not on biases and norms.
    pub weight_decay: f64,
    /// Gradients whose global norm is above this are scaled down to it; 0 switches it off.
    pub clip_norm: f64,
    /// Batches whose mean gradient makes one step, at least 1; the memory is that of one batch. Left out of what
    /// names a run when it is 1.
    #[serde(skip_serializing_if = "is_one")]
    pub accumulate: u64,
}

fn is_one(count: &u64) -> bool {
    *count == 1
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            learning_rate: 5e-4,
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-8,
            weight_decay: 0.01,
            clip_norm: 1.0,
            accumulate: 1,
        }
    }
}

/// The optimizer's memory: two moments a variable. Variables are f32, on the CPU or a GPU.
pub struct AdamW {
    settings: Settings,
    slots: Vec<Slot>,
    /// Variables that never change; they have no moments.
    frozen: Vec<(String, Var)>,
}

/// A variable with its moments.
pub struct Slot {
    /// The variable's name in the model.
    pub name: String,
    /// The variable.
    pub var: Var,
    /// Running means of the gradient and of its square.
    moments: Mutex<Moments>,
    decays: bool,
    /// What the learning rate is multiplied by, above 0.
    rate: f64,
}

/// They lie where the variable does.
enum Moments {
    Host {
        mean: Vec<f32>,
        square: Vec<f32>,
    },
    #[cfg(feature = "cuda")]
    OnGpu {
        mean: Tensor,
        square: Tensor,
    },
}

impl Moments {
    fn new(mean: Vec<f32>, square: Vec<f32>, var: &Var) -> Result<Self> {
        #[cfg(feature = "cuda")]
        if var.device().is_cuda() {
            let shape = var.shape();
            return Ok(Self::OnGpu {
                mean: Tensor::from_vec(mean, shape, var.device())?,
                square: Tensor::from_vec(square, shape, var.device())?,
            });
        }
        if !var.device().is_cpu() {
            return Err(candle_core::Error::Msg("the optimizer has no code for this device".into()).into());
        }
        Ok(Self::Host { mean, square })
    }
}

/// The gradients of one step, in the order of the optimizer's variables.
pub struct Gradients {
    tensors: Vec<Option<Tensor>>,
    norms: Vec<f64>,
}

impl AdamW {
    /// Starts with moments of zero.
    ///
    /// # Errors
    /// When a variable is not f32.
    pub fn new(vars: Vec<(String, Var)>, settings: Settings) -> Result<Self> {
        Self::with_rates(vars, settings, |_| 1.0)
    }

    /// As [`AdamW::new`], with what the learning rate of each variable is multiplied by; those of 0 are frozen.
    ///
    /// # Errors
    /// When a variable is not f32, a rate is negative or not finite, or all are 0.
    pub fn with_rates(
        vars: Vec<(String, Var)>,
        settings: Settings,
        rate: impl Fn(&str) -> f64,
    ) -> Result<Self> {
        let (mut slots, mut frozen) = (Vec::new(), Vec::new());
        for (name, var) in vars {
            let rate = rate(&name);
            if !(rate >= 0.0 && rate.is_finite()) {
                return Err(Error::Setting {
                    field: "the rate of a variable",
                    value: format!("{rate} for {name}"),
                    accepted: "0, which freezes it, or a positive number".into(),
                });
            }
            if rate > 0.0 {
                slots.push(Slot::new(name, var, rate)?);
            } else {
                frozen.push((name, var));
            }
        }
        if slots.is_empty() {
            return Err(Error::Setting {
                field: "the rates of all variables",
                value: "0".into(),
                accepted: "at least one variable that is not frozen".into(),
            });
        }
        Ok(Self {
            settings,
            slots,
            frozen,
        })
    }

    /// The variables that are trained, in order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The variables that are not.
    pub fn frozen(&self) -> &[(String, Var)] {
        &self.frozen
    }

    /// Trainable numbers in all.
    pub fn parameters(&self) -> usize {
        self.slots.iter().map(|slot| slot.var.elem_count()).sum()
    }

    /// Takes the gradients of the variables out of a backward pass and measures them.
    ///
    /// # Errors
    /// When the tensor library refuses.
    pub fn gradients(&self, store: &mut GradStore) -> Result<Gradients> {
        let tensors = self
            .slots
            .iter()
            .map(|slot| store.remove(&slot.var).map(|grad| grad.contiguous()).transpose())
            .collect::<candle_core::Result<Vec<_>>>()?;
        Gradients::measured(tensors)
    }

    /// One step with gradients already taken; `step` counts from 1.
    ///
    /// # Errors
    /// When the tensor library refuses.
    pub fn step(&self, gradients: &Gradients, step: u64, learning_rate: f64) -> Result<()> {
        let Settings {
            beta1,
            beta2,
            epsilon,
            weight_decay,
            clip_norm,
            ..
        } = self.settings;
        let norm = gradients.norm();
        let scale = if clip_norm > 0.0 && norm > clip_norm {
            clip_norm / norm
        } else {
            1.0
        };
        let power = i32::try_from(step).unwrap_or(i32::MAX);
        let correction1 = 1.0 - beta1.powi(power);
        let correction2 = 1.0 - beta2.powi(power);
        let updates = self
            .slots
            .iter()
            .zip(&gradients.tensors)
            .filter_map(|(slot, gradient)| {
                let learning_rate = learning_rate * slot.rate;
                let update = Update {
                    moments: &slot.moments,
                    scale: scale as f32,
                    beta1: beta1 as f32,
                    beta2: beta2 as f32,
                    epsilon: epsilon as f32,
                    keep: if slot.decays {
                        (1.0 - learning_rate * weight_decay) as f32
                    } else {
                        1.0
                    },
                    rate: (learning_rate / correction1) as f32,
                    root: (1.0 / correction2).sqrt() as f32,
                };
                Some((slot, gradient.as_ref()?, update))
            });
        #[cfg(feature = "cuda")]
        if self.slots.iter().any(|slot| slot.var.device().is_cuda()) {
            return on_gpu(&updates.collect::<Vec<_>>());
        }
        for (slot, gradient, update) in updates {
            slot.var.inplace_op2(gradient, &update)?;
        }
        Ok(())
    }
}

/// All updates in one launch.
#[cfg(feature = "cuda")]
fn on_gpu(updates: &[(&Slot, &Tensor, Update<'_>)]) -> Result<()> {
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

impl Gradients {
    fn measured(tensors: Vec<Option<Tensor>>) -> Result<Self> {
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

impl Slot {
    fn new(name: String, var: Var, rate: f64) -> Result<Self> {
        if var.dtype() != DType::F32 {
            return Err(Error::Mismatch {
                what: format!("variable {name}"),
                expected: "f32".into(),
                found: format!("{:?}", var.dtype()),
            });
        }
        let zeros = vec![0.0; var.elem_count()];
        let moments = Mutex::new(Moments::new(zeros.clone(), zeros, &var)?);
        // Biases and the two vectors of a layer norm are the variables of rank one.
        let decays = var.rank() > 1;
        Ok(Self {
            name,
            var,
            moments,
            decays,
            rate,
        })
    }

    /// Copies of the two moments: mean and square, as long as the variable.
    ///
    /// # Errors
    /// When they cannot be read from the device.
    pub fn moments(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        match &*moments {
            Moments::Host { mean, square } => Ok((mean.clone(), square.clone())),
            #[cfg(feature = "cuda")]
            Moments::OnGpu { mean, square } => {
                Ok((mean.flatten_all()?.to_vec1()?, square.flatten_all()?.to_vec1()?))
            }
        }
    }

    /// Puts moments back, as read from a checkpoint; both as long as the variable.
    pub(crate) fn restore(&self, mean: Vec<f32>, square: Vec<f32>) -> Result<()> {
        let moments = Moments::new(mean, square, &self.var)?;
        *self.moments.lock().unwrap_or_else(PoisonError::into_inner) = moments;
        Ok(())
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

/// Values that one thread takes at a time.
const BLOCK: usize = 1 << 14;

struct Update<'a> {
    moments: &'a Mutex<Moments>,
    scale: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    keep: f32,
    rate: f32,
    root: f32,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::Device;

    /// The formulas of the paper in f64, one number at a time.
    fn oracle(w: f64, gradients: &[f64], s: &Settings, decays: bool) -> f64 {
        let (mut w, mut m, mut v) = (w, 0.0, 0.0);
        for (at, g) in gradients.iter().enumerate() {
            let t = at as i32 + 1;
            m = s.beta1 * m + (1.0 - s.beta1) * g;
            v = s.beta2 * v + (1.0 - s.beta2) * g * g;
            let (mean, square) = (m / (1.0 - s.beta1.powi(t)), v / (1.0 - s.beta2.powi(t)));
            let decay = if decays {
                s.learning_rate * s.weight_decay * w
            } else {
                0.0
            };
            w = w - decay - s.learning_rate * mean / (square.sqrt() + s.epsilon);
        }
        w
    }

    #[test]
    fn agrees_with_the_formulas() {
        let settings = Settings {
            learning_rate: 0.01,
            clip_norm: 0.0,
            ..Settings::default()
        };
        let start = [0.5f32, -1.0, 2.0, 0.0];
        for (shape, decays) in [(vec![2, 2], true), (vec![4], false)] {
            let var = Var::from_tensor(&Tensor::new(&start, &Device::Cpu).unwrap().reshape(shape).unwrap());
            let var = var.unwrap();
            let adam = AdamW::new(vec![("w".into(), var.clone())], settings).unwrap();
            let mut gradients = vec![Vec::new(); 4];
            for step in 1..=7u64 {
                // The gradient of sum(w^2 * step) is 2 step w.
                let now = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                for (list, w) in gradients.iter_mut().zip(now) {
                    list.push(2.0 * step as f64 * f64::from(w));
                }
                let loss = (var.sqr().unwrap().sum_all().unwrap() * step as f64).unwrap();
                let taken = adam.gradients(&mut loss.backward().unwrap()).unwrap();
                adam.step(&taken, step, settings.learning_rate).unwrap();
            }
            let end = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for ((start, end), gradients) in start.iter().zip(end).zip(&gradients) {
                let expected = oracle(f64::from(*start), gradients, &settings, decays);
                assert!((f64::from(end) - expected).abs() < 1e-5, "{end} {expected}");
            }
        }
    }

    #[test]
    fn a_rate_scales_the_step_and_zero_freezes() {
        let var = || Var::from_tensor(&Tensor::new(&[[2f32]], &Device::Cpu).unwrap()).unwrap();
        let vars: Vec<_> = ["frozen", "half", "whole"]
            .map(|name| (name.to_owned(), var()))
            .into();
        let rate = |name: &str| match name {
            "frozen" => 0.0,
            "half" => 0.5,
            _ => 1.0,
        };
        let settings = Settings {
            clip_norm: 0.0,
            ..Settings::default()
        };
        let adam = AdamW::with_rates(vars.clone(), settings, rate).unwrap();
        assert_eq!((adam.slots().len(), adam.parameters()), (2, 2));
        assert_eq!(adam.frozen()[0].0, "frozen");
        let loss = vars.iter().map(|(_, var)| var.sqr().unwrap().sum_all().unwrap());
        let loss = loss.reduce(|a, b| (a + b).unwrap()).unwrap();
        let gradients = adam.gradients(&mut loss.backward().unwrap()).unwrap();
        adam.step(&gradients, 1, 0.1).unwrap();
        for (name, var) in &vars {
            let halved = Settings {
                learning_rate: 0.1 * rate(name),
                ..settings
            };
            let expected = oracle(2.0, &[4.0], &halved, true);
            let value = f64::from(var.to_vec2::<f32>().unwrap()[0][0]);
            assert!((value - expected).abs() < 1e-6, "{name}: {value}, {expected}");
        }
        assert!(AdamW::with_rates(vars.clone(), settings, |_| 0.0).is_err());
        assert!(AdamW::with_rates(vars, settings, |_| -1.0).is_err());
    }

    #[test]
    fn clips_to_the_global_norm() {
        let settings = Settings {
            clip_norm: 1.0,
            beta1: 0.0,
            ..Settings::default()
        };
        let var = Var::from_tensor(&Tensor::new(&[3f32, 4.0], &Device::Cpu).unwrap()).unwrap();
        let adam = AdamW::new(vec![("w".into(), var.clone())], settings).unwrap();
        let loss = (var.sqr().unwrap().sum_all().unwrap() * 0.5).unwrap();
        let gradients = adam.gradients(&mut loss.backward().unwrap()).unwrap();
        assert!((gradients.norm() - 5.0).abs() < 1e-6);
        adam.step(&gradients, 1, 0.0).unwrap();
        let (mean, _) = adam.slots()[0].moments().unwrap();
        assert!(
            (mean[0] - 0.6).abs() < 1e-6 && (mean[1] - 0.8).abs() < 1e-6,
            "{mean:?}"
        );
    }
}
