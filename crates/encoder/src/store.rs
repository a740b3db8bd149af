//! Writes a model folder again with its weights in another number type.
//!
//! With 8 bits a matrix is stored as `NAME` (I8) and `NAME.scales` (F32, one for each row): a value is its number
//! times the scale of its row, and the largest of a row is 127. Vectors (biases, norms) stay in 32 bits. Folders
//! with 8 bits open here alone; 16 bits open everywhere.

use std::path::Path;

use half::f16;
use safetensors::Dtype;
use safetensors::tensor::View;

use crate::stored::SCALES;
use crate::{Error, ModelFiles, Result, StoredWeights};

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// 32 bits.
    F32,
    /// 16 bits, 11 of them significant.
    F16,
    /// 8 bits and a scale for each row of a matrix.
    Int8,
}

/// Files of weights in a model folder.
const WEIGHTS: [&str; 2] = ["model.safetensors", "2_Dense/model.safetensors"];

/// The model's card.
const CARD: [&str; 1] = ["README.md"];

/// Copies the model in `files` to the folder `out`, its weights stored as `storage`. Returns the bytes of weights
/// written.
///
/// # Errors
/// The folder holds no `model.safetensors`; a weight that is missing, damaged or too large for 16 bits; a file that
/// cannot be written.
pub fn store(files: &ModelFiles, out: &Path, storage: Storage) -> Result<u64> {
    let mut written = 0;
    for name in files
        .deciding()
        .chain(CARD.into_iter().filter(|card| files.has(card)))
    {
        let path = out.join(name);
        if WEIGHTS.contains(&name) {
            let weights = StoredWeights::open(files, name)?;
            written += rewrite(&weights, &path, storage)?;
        } else {
            crate::folder::write_file(&path, &files.read(name)?)?;
        }
    }
    Ok(written)
}

fn rewrite(weights: &StoredWeights, path: &Path, storage: Storage) -> Result<u64> {
    let mut tensors = Vec::new();
    for (name, shape) in weights.weights() {
        let values = weights.get(&name, &shape)?;
        match storage {
            Storage::Int8 if shape.len() > 1 => {
                let (numbers, scales) = quantize(&values, shape[1..].iter().product());
                tensors.push((format!("{name}{SCALES}"), Stored::f32(&scales, vec![shape[0]])));
                let data = numbers.iter().map(|number| number.cast_unsigned()).collect();
                let dtype = Dtype::I8;
                tensors.push((name, Stored { dtype, shape, data }));
            }
            Storage::F16 => {
                if let Some(at) = values.iter().position(|value| !f16::from_f32(*value).is_finite()) {
                    let (file, value) = (path.display().to_string(), values[at]);
                    return Err(Error::WeightNotFinite {
                        file,
                        name,
                        value,
                        at,
                    });
                }
                let data = values
                    .iter()
                    .flat_map(|value| f16::from_f32(*value).to_le_bytes())
                    .collect();
                let dtype = Dtype::F16;
                tensors.push((name, Stored { dtype, shape, data }));
            }
            Storage::F32 | Storage::Int8 => tensors.push((name, Stored::f32(&values, shape))),
        }
    }
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|e| Error::Safetensors {
        file: path.display().to_string(),
        reason: e.to_string(),
    })?;
    crate::folder::write_file(path, &bytes)?;
    Ok(bytes.len() as u64)
}

/// Rows of `width` values to 8-bit numbers and a scale for each row; a row of zeros has the scale 0.
fn quantize(values: &[f32], width: usize) -> (Vec<i8>, Vec<f32>) {
    let mut numbers = Vec::with_capacity(values.len());
    let mut scales = Vec::new();
    for row in values.chunks(width.max(1)) {
        let greatest = row.iter().fold(0f32, |greatest, value| greatest.max(value.abs()));
        let scale = greatest / 127.0;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        numbers.extend(row.iter().map(|value| (value * inverse).round() as i8));
        scales.push(scale);
    }
    (numbers, scales)
}

/// A tensor in the bytes of its file.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Stored {
    fn f32(values: &[f32], shape: Vec<usize>) -> Self {
        Self {
            dtype: Dtype::F32,
            shape,
            data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        (&self.data).into()
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}
