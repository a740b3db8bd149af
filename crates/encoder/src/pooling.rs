//! From the hidden states of a text's tokens to one vector.

use candle_core::Tensor;

use crate::bert::Hidden;
use crate::ops::{self, Rows};
use crate::{Batch, Result};

/// Which tokens make the vector of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The first token.
    Cls,
    /// The mean of all tokens, padding left out.
    Mean,
    /// The largest value of each dimension over all tokens, padding left out.
    Max,
}

impl Pooling {
    /// (batch, hidden).
    pub(crate) fn forward(self, hidden: &Hidden, batch: &Batch) -> Result<Tensor> {
        match (&hidden.rows, self) {
            (Rows::Packed(lengths), Self::Cls) => ops::first_rows(&hidden.states, lengths),
            (Rows::Packed(lengths), Self::Mean) => ops::mean_rows(&hidden.states, lengths),
            #[cfg(feature = "cuda")]
            (Rows::OnGpu(texts), Self::Cls) => ops::first_rows(&hidden.states, texts.lengths()),
            #[cfg(feature = "cuda")]
            (Rows::OnGpu(texts), Self::Mean) => Ok(crate::cuda::mean_rows(&hidden.states, texts)?),
            _ => pool(self, &hidden.padded(batch)?, batch.mask()),
        }
    }
}

/// Pools hidden (batch, tokens, width) under mask (batch, tokens) to (batch, width).
fn pool(pooling: Pooling, hidden: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let hidden = &ops::widened(hidden)?;
    let mask = mask.to_dtype(hidden.dtype())?.unsqueeze(2)?;
    Ok(match pooling {
        Pooling::Cls => hidden.narrow(1, 0, 1)?.squeeze(1)?,
        Pooling::Mean => hidden
            .broadcast_mul(&mask)?
            .sum(1)?
            .broadcast_div(&mask.sum(1)?)?,
        Pooling::Max => {
            let hidden_away = mask.affine(1e4, -1e4)?;
            hidden.broadcast_add(&hidden_away)?.max(1)?
        }
    })
}
