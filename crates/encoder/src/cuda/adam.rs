//! AdamW over all variables in one launch, and the norms of all gradients in one read.

use candle_core::{DType, Result, Tensor, bail};

use super::launch::{Arg, Gpu, Grid, LOSS, NOWHERE, at};

/// A variable with its moments and its gradient, all f32 and of one shape, on one device.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// The variable.
    pub weight: &'a Tensor,
    /// Running mean of the gradient.
    pub mean: &'a Tensor,
    /// Running mean of its square.
    pub square: &'a Tensor,
    /// The gradient.
    pub gradient: &'a Tensor,
    /// What the variable is multiplied by before the step: below 1 with weight decay.
    pub keep: f32,
    /// The learning rate over the correction of the mean.
    pub rate: f32,
}

/// What all variables of a step share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// What gradients are multiplied by: below 1 when clipped.
    pub scale: f32,
    /// Decay of the mean.
    pub beta1: f32,
    /// Decay of the mean of squares.
    pub beta2: f32,
    /// Added to the root.
    pub epsilon: f32,
    /// The root of the correction of the mean of squares.
    pub root: f32,
}

/// Values that one block takes, as in the kernels.
const CHUNK: usize = 16_384;

/// Slots and chunks as the kernels read them, in one upload.
struct Table {
    all: Tensor,
    slots: usize,
    /// First chunk of each slot, and their number.
    firsts: Vec<u32>,
}

/// 64-bit words of a slot: four addresses, the count, and two f32.
const SLOT_WORDS: usize = 6;

impl Table {
    fn new(gpu_of: &Tensor, slots: &[([Arg; 4], usize, [f32; 2])]) -> Result<Self> {
        let mut words = Vec::with_capacity(slots.len() * SLOT_WORDS);
        for (places, count, [keep, rate]) in slots {
            for place in places {
                let Arg::At(address) = place else {
                    bail!("an address is expected")
                };
                words.push(*address as i64);
            }
            words.push(*count as i64);
            words.push((u64::from(keep.to_bits()) | u64::from(rate.to_bits()) << 32) as i64);
        }
        let mut firsts = vec![0u32];
        for (slot, (_, count, _)) in slots.iter().enumerate() {
            let chunks = count.div_ceil(CHUNK);
            words.extend((0..chunks).map(|chunk| (slot as u64 | (chunk as u64) << 32) as i64));
            firsts.push(firsts[slot] + chunks as u32);
        }
        let count = words.len();
        Ok(Self {
            all: Tensor::from_vec(words, count, gpu_of.device())?,
            slots: slots.len(),
            firsts,
        })
    }

    fn chunks(&self) -> usize {
        self.firsts.last().map_or(0, |&count| count as usize)
    }

    /// Addresses of the slots and of the chunks.
    fn places(&self) -> Result<[Arg; 2]> {
        let chunks = self.all.narrow(0, self.slots * SLOT_WORDS, self.chunks())?;
        Ok([at(&self.all)?, at(&chunks)?])
    }
}

fn check(x: &Tensor) -> Result<()> {
    if x.dtype() != DType::F32 || !x.is_contiguous() {
        bail!(
            "the optimizer takes contiguous f32, not {:?} of shape {:?}",
            x.dtype(),
            x.dims()
        )
    }
    Ok(())
}

/// The norm of every gradient, 0 where there is none.
///
/// # Errors
/// When a gradient is not f32 on the GPU.
pub fn norms(gradients: &[Option<Tensor>]) -> Result<Vec<f64>> {
    let Some(first) = gradients.iter().flatten().next() else {
        return Ok(vec![0.0; gradients.len()]);
    };
    let gpu = Gpu::of(first)?;
    let mut slots = Vec::with_capacity(gradients.len());
    for gradient in gradients {
        slots.push(match gradient {
            Some(gradient) => {
                check(gradient)?;
                (
                    [NOWHERE, NOWHERE, NOWHERE, at(gradient)?],
                    gradient.elem_count(),
                    [0.0; 2],
                )
            }
            None => ([NOWHERE; 4], 0, [0.0; 2]),
        });
    }
    let table = Table::new(first, &slots)?;
    let chunks = table.chunks();
    let sums = gpu.empty(chunks, DType::F32)?;
    let [slot_place, chunk_place] = table.places()?;
    gpu.launch(
        &LOSS,
        "square_sums",
        Grid::of(chunks),
        &[slot_place, chunk_place, at(&sums)?],
    )?;
    let firsts = Tensor::new(table.firsts.as_slice(), first.device())?;
    let norms = gpu.empty(gradients.len(), DType::F32)?;
    let args = [at(&sums)?, at(&firsts)?, at(&norms)?];
    gpu.launch(&LOSS, "slot_norms", Grid::of(gradients.len()), &args)?;
    Ok(norms.to_vec1::<f32>()?.into_iter().map(f64::from).collect())
}

/// One step of AdamW (Loshchilov and Hutter 2019, algorithm 2), in place.
///
/// # Errors
/// When a tensor is not f32 on the GPU, or the shapes of a piece differ.
pub fn adamw(pieces: &[Piece<'_>], step: Step) -> Result<()> {
    let Some(first) = pieces.first() else {
        return Ok(());
    };
    let gpu = Gpu::of(first.weight)?;
    let mut slots = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let tensors = [piece.weight, piece.mean, piece.square, piece.gradient];
        for tensor in tensors {
            check(tensor)?;
            if tensor.elem_count() != piece.weight.elem_count() {
                bail!(
                    "moments of shape {:?} for {:?}",
                    tensor.dims(),
                    piece.weight.dims()
                )
            }
        }
        let [weight, mean, square, gradient] = tensors;
        let places = [at(weight)?, at(mean)?, at(square)?, at(gradient)?];
        slots.push((places, piece.weight.elem_count(), [piece.keep, piece.rate]));
    }
    let table = Table::new(first.weight, &slots)?;
    let [slot_place, chunk_place] = table.places()?;
    let args = [
        slot_place,
        chunk_place,
        Arg::Real(step.scale),
        Arg::Real(step.beta1),
        Arg::Real(step.beta2),
        Arg::Real(step.epsilon),
        Arg::Real(step.root),
    ];
    gpu.launch(&LOSS, "adamw", Grid::of(table.chunks()), &args)
}
