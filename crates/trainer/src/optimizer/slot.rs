//! What the optimizer keeps of each variable.

use std::sync::{Mutex, PoisonError};

#[cfg(feature = "cuda")]
use candle_core::Tensor;
use candle_core::{DType, Var};

use crate::error::{Error, Result};

/// A variable with its moments.
pub struct Slot {
    /// The variable's name in the model.
    pub name: String,
    /// The variable.
    pub var: Var,
    /// Running means of the gradient and of its square.
    pub(super) moments: Mutex<Moments>,
    /// Whether weight decay is for it.
    pub(super) decays: bool,
    /// What the learning rate is multiplied by, above 0.
    pub(super) rate: f64,
}

impl Slot {
    pub(super) fn new(name: String, var: Var, rate: f64) -> Result<Self> {
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

/// They lie where the variable does.
pub(super) enum Moments {
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
