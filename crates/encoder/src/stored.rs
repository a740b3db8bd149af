//! Weights as they lie in a safetensors file, read one at a time.

use std::fmt;
use std::io::{Cursor, Read, SeekFrom};
use std::sync::{Mutex, PoisonError};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::files::{CHUNK_BYTES, Source};
use crate::{Error, ModelFiles, Result};

/// Bytes before the header: its length.
const LENGTH_BYTES: u64 = 8;
/// The longest header that is accepted.
const HEADER_BYTES_MAX: u64 = 100_000_000;

/// What is added to the name of a weight of 8 bits to name the scales of its rows.
pub(crate) const SCALES: &str = ".scales";

/// An open safetensors file whose sizes were checked. Values are read, and checked, when they are asked for.
pub struct StoredWeights {
    file: String,
    source: Mutex<Box<dyn Source>>,
    /// Where the values begin.
    data_at: u64,
    header: Metadata,
}

impl StoredWeights {
    /// Opens the file `name` of a model.
    ///
    /// # Errors
    /// A file that is missing, or whose header does not describe it.
    pub fn open(files: &ModelFiles, name: &str) -> Result<Self> {
        let (source, bytes) = files.stream(name)?;
        Self::read(source, bytes, files.label(name))
    }

    /// Opens the content of a file, which errors call `file`.
    ///
    /// # Errors
    /// The header does not describe the content.
    pub fn from_bytes(bytes: Vec<u8>, file: &str) -> Result<Self> {
        let size = bytes.len() as u64;
        Self::read(Box::new(Cursor::new(bytes)), size, file.to_owned())
    }

    fn read(mut source: Box<dyn Source>, bytes: u64, file: String) -> Result<Self> {
        let damaged = |reason: String| Error::Safetensors {
            file: file.clone(),
            reason,
        };
        let mut length = [0; LENGTH_BYTES as usize];
        source
            .read_exact(&mut length)
            .map_err(|error| damaged(format!("no header: {error}")))?;
        let length = u64::from_le_bytes(length);
        let room = bytes.saturating_sub(LENGTH_BYTES);
        if length > room.min(HEADER_BYTES_MAX) {
            return Err(damaged(format!(
                "a header of {length} bytes in a file of {bytes}"
            )));
        }
        let mut header = vec![0; length as usize];
        source
            .read_exact(&mut header)
            .map_err(|error| damaged(format!("header: {error}")))?;
        let header: Metadata =
            serde_json::from_slice(&header).map_err(|error| damaged(format!("header: {error}")))?;
        let (told, found) = (header.data_len() as u64, room - length);
        if told != found {
            return Err(damaged(format!(
                "the header tells of {told} bytes of values, there are {found}"
            )));
        }
        Ok(Self {
            file,
            source: Mutex::new(source),
            data_at: LENGTH_BYTES + length,
            header,
        })
    }

    /// Whether there is a weight of this name.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The values of a weight, in row order. It is found with or without the prefix `bert.`, and under the names of
    /// old checkpoints (`LayerNorm.gamma` and `LayerNorm.beta`).
    ///
    /// # Errors
    /// There is no such weight, it has another shape or no floating-point type, or a value is not finite.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let (file, expected) = (self.file.clone(), shape.to_vec());
        let Some((name, info)) = self.find(name) else {
            let name = name.to_owned();
            return Err(Error::MissingWeight { file, name, expected });
        };
        if info.shape != shape {
            let found = info.shape.clone();
            return Err(Error::WeightShape {
                file,
                name,
                expected,
                found,
            });
        }
        let values = self.values(&name, info)?;
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(Error::WeightNotFinite {
                file,
                name,
                value: values[at],
                at,
            }),
            None => Ok(values),
        }
    }

    /// Refuses more layers than the configuration says: the answers would be those of a model that was cut off.
    ///
    /// # Errors
    /// A weight of a layer after the last one.
    pub fn check_layers(&self, layers: usize) -> Result<()> {
        let number = |weight: &String| -> Option<usize> {
            let rest = weight.split_once("encoder.layer.")?.1;
            rest.split('.').next()?.parse().ok()
        };
        let names = self.header.offset_keys();
        let last = names.iter().filter_map(number).max();
        let found = last.map_or(0, |last| last.saturating_add(1));
        if found > layers {
            return Err(Error::Setting {
                field: "num_hidden_layers",
                value: layers.to_string(),
                accepted: format!("{found}, the layers in {}", self.file),
            });
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Option<(String, &TensorInfo)> {
        let toggled = match name.strip_prefix("bert.") {
            Some(bare) => bare.to_owned(),
            None => format!("bert.{name}"),
        };
        let names = [name.to_owned(), toggled].into_iter();
        names
            .flat_map(|name| [Some(name.clone()), legacy(&name)])
            .flatten()
            .find_map(|name| self.header.info(&name).map(|info| (name, info)))
            .filter(|(_, info)| !info.shape.is_empty())
    }

    fn values(&self, name: &str, info: &TensorInfo) -> Result<Vec<f32>> {
        if info.dtype == Dtype::I8 {
            return self.scaled(name, info);
        }
        let Some((width, convert)) = conversion(info.dtype) else {
            return Err(self.refuse_type(name, format!("{:?}", info.dtype)));
        };
        self.converted(info, width, convert)
    }

    /// A matrix of 8-bit numbers, each row with a scale of its own (see [`crate::store()`]).
    fn scaled(&self, name: &str, info: &TensorInfo) -> Result<Vec<f32>> {
        let scales_name = format!("{name}{SCALES}");
        let scales = self
            .header
            .info(&scales_name)
            .filter(|scales| scales.dtype == Dtype::F32 && scales.shape == info.shape[..1])
            .ok_or_else(|| {
                let wanted = format!("I8 without {scales_name}, one F32 for each of its rows");
                self.refuse_type(name, wanted)
            })?;
        let scales = self.values(&scales_name, scales)?;
        let mut values = self.converted(info, 1, |bytes| f32::from(bytes[0].cast_signed()))?;
        let width: usize = info.shape[1..].iter().product();
        for (row, scale) in values.chunks_mut(width.max(1)).zip(&scales) {
            row.iter_mut().for_each(|value| *value *= scale);
        }
        Ok(values)
    }

    fn refuse_type(&self, name: &str, found: String) -> Error {
        Error::WeightType {
            file: self.file.clone(),
            name: name.to_owned(),
            found,
        }
    }

    /// Name and shape of every weight, sorted by name. Scales belong to their weight and are not listed, and neither
    /// are tensors of whole numbers (old folders keep the numbers of the positions).
    pub(crate) fn weights(&self) -> Vec<(String, Vec<usize>)> {
        let is_scale = |name: &str| {
            let weight = name
                .strip_suffix(SCALES)
                .and_then(|weight| self.header.info(weight));
            weight.is_some_and(|weight| weight.dtype == Dtype::I8)
        };
        let tensors = self.header.tensors();
        let mut weights: Vec<_> = tensors
            .iter()
            .filter(|(name, info)| {
                !is_scale(name) && (info.dtype == Dtype::I8 || conversion(info.dtype).is_some())
            })
            .map(|(name, info)| (name.clone(), info.shape.clone()))
            .collect();
        weights.sort();
        weights
    }

    fn converted(&self, info: &TensorInfo, width: usize, convert: Convert) -> Result<Vec<f32>> {
        let failed = |source: std::io::Error| Error::Io {
            path: self.file.clone().into(),
            source,
        };
        let (from, to) = info.data_offsets;
        let mut values = Vec::with_capacity((to - from) / width);
        let mut chunk = vec![0; CHUNK_BYTES.min(to - from)];
        // The position is set anew by every reader.
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        source
            .seek(SeekFrom::Start(self.data_at + from as u64))
            .map_err(failed)?;
        let mut rest = to - from;
        while rest > 0 {
            let part = &mut chunk[..CHUNK_BYTES.min(rest)];
            source.read_exact(part).map_err(failed)?;
            values.extend(part.chunks_exact(width).map(convert));
            rest -= part.len();
        }
        Ok(values)
    }
}

impl fmt::Debug for StoredWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredWeights({})", self.file)
    }
}

/// What the bytes of a value are.
type Convert = fn(&[u8]) -> f32;

/// Bytes of a value, and the value that they are.
fn conversion(dtype: Dtype) -> Option<(usize, Convert)> {
    fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(bytes);
        array
    }
    match dtype {
        Dtype::F32 => Some((4, |bytes| f32::from_le_bytes(array(bytes)))),
        Dtype::F16 => Some((2, |bytes| f16::from_le_bytes(array(bytes)).to_f32())),
        Dtype::BF16 => Some((2, |bytes| bf16::from_le_bytes(array(bytes)).to_f32())),
        Dtype::F64 => Some((8, |bytes| f64::from_le_bytes(array(bytes)) as f32)),
        _ => None,
    }
}

fn legacy(name: &str) -> Option<String> {
    let stem = name.strip_suffix("LayerNorm.weight").map(|stem| (stem, "gamma"));
    let (stem, old) = stem.or_else(|| name.strip_suffix("LayerNorm.bias").map(|stem| (stem, "beta")))?;
    Some(format!("{stem}LayerNorm.{old}"))
}
