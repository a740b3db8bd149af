//! AdamW (Loshchilov and Hutter 2019, algorithm 2) in one pass over each variable.

mod gradients;
mod slot;
#[cfg(test)]
mod tests;
mod update;

use candle_core::Var;
use candle_core::backprop::GradStore;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
pub use gradients::Gradients;
pub use slot::Slot;
use update::Update;

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
            return update::on_gpu(&updates.collect::<Vec<_>>());
        }
        for (slot, gradient, update) in updates {
            slot.var.inplace_op2(gradient, &update)?;
        }
        Ok(())
    }
}
