//! One run through a model: whether dropout is active, and from which random stream.

use candle_core::{Tensor, Var};

/// Settings of one forward pass. Passes with the same seed over the same batches drop the same values.
#[derive(Debug, Clone)]
pub struct Pass {
    stream: Option<Stream>,
}

#[derive(Debug, Clone)]
struct Stream {
    seed: u64,
    drawn: u64,
}

impl Pass {
    /// No dropout, and no record for a backward pass.
    pub fn infer() -> Self {
        Self { stream: None }
    }

    /// Dropout with the probabilities of the configuration, from the random stream of `seed`; records what the
    /// backward pass needs.
    pub fn train(seed: u64) -> Self {
        Self {
            stream: Some(Stream { seed, drawn: 0 }),
        }
    }

    /// Whether gradients are recorded.
    pub fn is_training(&self) -> bool {
        self.stream.is_some()
    }

    /// The dropout of the next layer: none when inferring or when `p` is 0.
    pub(crate) fn dropout(&mut self, p: f64) -> Option<Dropout> {
        let stream = self.stream.as_mut()?;
        if p <= 0.0 {
            return None;
        }
        stream.drawn += 1;
        let seed = mix64(stream.seed ^ mix64(stream.drawn));
        Some(Dropout {
            p: p as f32,
            seed: seed as u32 ^ (seed >> 32) as u32,
        })
    }

    /// The weight as this pass uses it: tracked for gradients in training, a plain tensor otherwise.
    pub(crate) fn weight(&self, var: &Var) -> Tensor {
        match self.stream {
            Some(_) => var.as_tensor().clone(),
            None => var.as_detached_tensor(),
        }
    }
}

/// Drops each value with probability `p` and scales the others by `1 / (1 - p)` (Srivastava et al. 2014).
/// Which values are dropped depends on the seed and the position alone, so that the backward pass can make the
/// same choice again instead of storing it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Probability of dropping, 0 <= p < 1.
    pub p: f32,
    /// Seed of this layer in this pass.
    pub seed: u32,
}

impl Dropout {
    /// What the value at `position` is multiplied by: 0, or `1 / (1 - p)`.
    #[inline(always)]
    pub fn factor(&self, position: u32) -> f32 {
        let keep = 1.0 / (1.0 - self.p);
        if mix32(position.wrapping_mul(0x9E37_79B9) ^ self.seed) < self.limit() {
            0.0
        } else {
            keep
        }
    }

    #[inline(always)]
    pub(crate) fn limit(&self) -> u32 {
        (f64::from(self.p) * 4_294_967_296.0) as u32
    }

    /// An independent stream for part number `part` (a head of a text).
    #[inline(always)]
    pub fn part(&self, part: u32) -> Self {
        Self {
            p: self.p,
            seed: mix32(self.seed ^ mix32(part.wrapping_add(0x632B_E5AB))),
        }
    }
}

/// The finalizer `lowbias32` of C. Wellons; it compiles to vector instructions.
#[inline(always)]
fn mix32(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7FEB_352D);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

/// The finalizer of SplitMix64 (Steele et al. 2014).
pub(crate) fn mix64(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
