//! What stands on the hidden states: pooling and small dense layers, in f32.

use encoder::{Activation as ModelActivation, Pooling};
use kernels::{Activation, InstructionSet, Linear, Precision, Rows, Target};

/// A dense layer with its activation.
pub(crate) struct Dense {
    pub(crate) linear: Linear,
    pub(crate) activation: Option<Activation>,
}

impl Dense {
    /// Rows of inputs to rows of outputs.
    pub(crate) fn apply(&self, set: InstructionSet, x: &[f32]) -> Vec<f32> {
        let count = x.len() / self.linear.inputs();
        let mut rows = Rows::new(Precision::F32, self.linear.inputs());
        rows.resize(count);
        rows.encode(set, 0, x);
        let mut out = vec![0.0; count * self.linear.outputs()];
        self.linear
            .apply(set, &rows, 0..count, self.activation, Target::Floats(&mut out));
        out
    }
}

/// One vector out of the states (tokens, width) of a text of at least one token.
pub(crate) fn pool(pooling: Pooling, states: &[f32], width: usize) -> Vec<f32> {
    let mut rows = states.chunks_exact(width);
    let mut pooled = rows.next().map(<[f32]>::to_vec).unwrap_or_default();
    match pooling {
        Pooling::Cls => {}
        Pooling::Max => {
            for row in rows {
                for (most, &value) in pooled.iter_mut().zip(row) {
                    *most = most.max(value);
                }
            }
        }
        Pooling::Mean => {
            for row in rows {
                for (sum, &value) in pooled.iter_mut().zip(row) {
                    *sum += value;
                }
            }
            let share = width as f32 / states.len() as f32;
            for sum in &mut pooled {
                *sum *= share;
            }
        }
    }
    pooled
}

/// The function that a configuration names.
pub(crate) fn activation(name: ModelActivation) -> Activation {
    match name {
        ModelActivation::Gelu => Activation::Gelu,
        ModelActivation::GeluTanh => Activation::GeluTanh,
        ModelActivation::Relu => Activation::Relu,
    }
}
