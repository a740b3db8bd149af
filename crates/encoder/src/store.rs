//! Writes a model folder again with its weights in another number type.
//!
//! With 8 bits a matrix is stored as `NAME` (I8) and `NAME.scales` (F32, one for each row): a value is its number
//! times the scale of its row, and the largest of a row is 127. Vectors (biases, norms) stay in 32 bits. Folders
//! with 8 bits open here alone; 16 bits open everywhere.

use std::path::Path;

use half::f16;
use safetensors::Dtype;
use safetensors::tensor::View;
use serde_json::Value;

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

impl Storage {
    /// How a configuration calls the type of whatever has no scales.
    fn rest(self) -> &'static str {
        match self {
            Self::F16 => "float16",
            Self::F32 | Self::Int8 => "float32",
        }
    }
}

/// Tells of the number type, among others.
const CONFIG: &str = "config.json";

/// Files of weights in a model folder.
const WEIGHTS: [&str; 2] = ["model.safetensors", "2_Dense/model.safetensors"];

/// The model's card.
const CARD: [&str; 1] = ["README.md"];

/// Weights with a row for each entry of the vocabulary, by the end of their names.
const BY_ENTRY: [&str; 4] = [
    "word_embeddings.weight",
    "cls.predictions.bias",
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
];

/// Copies the model in `files` to the folder `out`, its weights stored as `storage`. With `kept`, of the vocabulary
/// these entries alone stay, in this order; the tokenizer's files are copied as they are and have to be written anew.
/// Returns the bytes of weights written.
///
/// # Errors
/// The folder holds no `model.safetensors`; a weight that is missing, damaged or too large for 16 bits; an entry that
/// is not there; a file that cannot be written.
pub fn store(files: &ModelFiles, out: &Path, storage: Storage, kept: Option<&[u32]>) -> Result<u64> {
    let mut written = 0;
    for name in files
        .deciding()
        .chain(CARD.into_iter().filter(|card| files.has(card)))
    {
        let path = out.join(name);
        if WEIGHTS.contains(&name) {
            let weights = StoredWeights::open(files, name)?;
            written += rewrite(&weights, &path, storage, kept)?;
        } else if name == CONFIG {
            let mut config: Value = crate::folder::read_json(files, name)?;
            config["torch_dtype"] = Value::from(storage.rest());
            if let Some(kept) = kept {
                config["vocab_size"] = Value::from(kept.len());
                let pad = kept.iter().position(|&id| config["pad_token_id"] == id);
                config["pad_token_id"] = Value::from(pad);
            }
            crate::folder::write_json(&path, &config)?;
        } else {
            crate::folder::write_file(&path, &files.read(name)?)?;
        }
    }
    Ok(written)
}

fn rewrite(weights: &StoredWeights, path: &Path, storage: Storage, kept: Option<&[u32]>) -> Result<u64> {
    let mut tensors = Vec::new();
    for (name, mut shape) in weights.weights() {
        let mut values = weights.get(&name, &shape)?;
        if let Some(kept) = kept.filter(|_| BY_ENTRY.iter().any(|end| name.ends_with(end))) {
            values = rows(&values, &shape, kept)?;
            shape[0] = kept.len();
        }
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

/// The rows of these numbers, in this order.
fn rows(values: &[f32], shape: &[usize], kept: &[u32]) -> Result<Vec<f32>> {
    if let Some(&id) = kept.iter().find(|&&id| id as usize >= shape[0]) {
        let (kind, size) = ("token", shape[0]);
        return Err(Error::UnknownId { kind, id, size });
    }
    let width = shape[1..].iter().product::<usize>();
    let row = |&id: &u32| &values[id as usize * width..][..width];
    Ok(kept.iter().flat_map(row).copied().collect())
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
