//! Training and inference on an NVIDIA GPU.
//!
//! Texts are packed without padding, activations are bf16 (or f32, to check the arithmetic), statistics, sums and
//! weights f32. Matrix products are cuBLAS's; everything between them is in the kernels of this folder (`*.cu`), each
//! one pass over its data. A stack of transformer layers is one operation to the tensor library, which has a backward
//! pass of its own and puts the gradients of its weights aside ([`crate::backward`]).
//!
//! The same model on the CPU is the oracle: `examples/gpu_check.rs` compares the two, values and gradients.
//!
//! All unsafe code of the GPU is in [`launch`](self::launch): kernels get addresses there. What makes it sound: one
//! stream per device, on which allocations, kernels and products follow each other in the order of the calls; tensors
//! that are alive when a kernel is launched; and sizes that come from the shapes of those tensors.

mod adam;
mod dense;
mod embed;
mod launch;
mod loss;
mod move_rows;
mod norm;
mod record;
mod stack;
mod texts;

pub use adam::{Piece, Step, adamw, norms};
pub use launch::{Memory, Settings, Share, memory, name, open, profile, synchronize};
pub use loss::cross_entropy;

pub(crate) use dense::{dropout, linear};
pub(crate) use embed::embed;
pub(crate) use launch::settings;
pub(crate) use loss::decode_loss;
pub(crate) use move_rows::{mean_rows, take_rows};
pub(crate) use norm::norm;
pub(crate) use stack::{Affine, Drops, LayerWeights, Stack};
pub(crate) use texts::Texts;

use crate::{Config, Error, Result};

/// Checks that the kernels can run a model.
pub(crate) fn check(config: &Config) -> Result<()> {
    let refuse = |field, value: usize, accepted: &str| {
        Err(Error::Setting {
            field,
            value: value.to_string(),
            accepted: format!("on a GPU: {accepted}"),
        })
    };
    let size = config.hidden_size / config.num_attention_heads;
    if !config.hidden_size.is_multiple_of(8) || config.hidden_size > norm::WIDTH_MAX {
        return refuse("hidden_size", config.hidden_size, "multiples of 8 up to 1024");
    }
    if !config.intermediate_size.is_multiple_of(8) {
        return refuse("intermediate_size", config.intermediate_size, "multiples of 8");
    }
    if size != 32 && size != 64 {
        return refuse("hidden_size / num_attention_heads", size, "32 and 64");
    }
    Ok(())
}
