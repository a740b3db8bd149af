//! Gradients that go past the graph.
//!
//! An operation of the tensor library has at most three arguments, and a stack of transformer layers has hundreds of
//! weights. Such an operation adds the gradients of its weights to buffers that are put aside while
//! [`backward`] runs, and they join the others when it ends.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{Tensor, TensorId};

use crate::Result;

thread_local! {
    /// Gradients put aside by variable; none while no backward pass runs on this thread.
    static ASIDE: RefCell<Option<HashMap<TensorId, Tensor>>> = const { RefCell::new(None) };
}

/// The gradients of a loss, a scalar. To be used instead of the tensor's own `backward`, which would lose the
/// gradients of weights on a GPU; the operations there refuse to run under it.
///
/// # Errors
/// When the tensor library refuses, or a backward pass runs inside of another.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let aside = Aside::begin()?;
    let mut store = loss.backward()?;
    for (id, gradient) in aside.end() {
        let sum = match store.get_id(id) {
            Some(other) => (other + gradient)?,
            None => gradient,
        };
        store.insert_id(id, sum);
    }
    Ok(store)
}

/// While it lives, gradients can be put aside; what is left is forgotten with it, as after an error.
struct Aside;

impl Aside {
    fn begin() -> Result<Self> {
        ASIDE.with_borrow_mut(|aside| match aside {
            Some(_) => Err(candle_core::Error::Msg("a backward pass inside of another".into()).into()),
            None => {
                *aside = Some(HashMap::new());
                Ok(Self)
            }
        })
    }

    fn end(self) -> HashMap<TensorId, Tensor> {
        ASIDE.take().unwrap_or_default()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        ASIDE.set(None);
    }
}

/// The buffer for the gradient of a variable, and whether it holds a part of it already. `make` gives a new one.
#[cfg(feature = "cuda")]
pub(crate) fn put_aside(
    variable: &Tensor,
    make: impl FnOnce() -> candle_core::Result<Tensor>,
) -> candle_core::Result<(Tensor, bool)> {
    ASIDE.with_borrow_mut(|aside| {
        let Some(aside) = aside else {
            candle_core::bail!(
                "the gradient of a variable of shape {:?} would be lost: use encoder::backward",
                variable.dims()
            )
        };
        if let Some(buffer) = aside.get(&variable.id()) {
            return Ok((buffer.clone(), true));
        }
        let buffer = make()?;
        aside.insert(variable.id(), buffer.clone());
        Ok((buffer, false))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn is_the_tensors_own_backward_where_nothing_is_put_aside() {
        let x = Var::from_tensor(&Tensor::new(&[3f32, -1.0], &Device::Cpu).unwrap()).unwrap();
        let loss = x.sqr().unwrap().sum_all().unwrap();
        let found = backward(&loss).unwrap().remove(&x).unwrap();
        assert_eq!(found.to_vec1::<f32>().unwrap(), [6.0, -2.0]);
    }

    #[test]
    fn refuses_to_run_inside_of_itself_and_runs_again_afterwards() {
        let loss = Tensor::new(1f32, &Device::Cpu).unwrap();
        let outer = Aside::begin().unwrap();
        let error = backward(&loss).unwrap_err().to_string();
        assert!(error.contains("inside of another"), "{error}");
        drop(outer);
        assert!(backward(&loss).is_ok());
    }
}
