//! The named weights of a model: made fresh from a seed or taken from a safetensors file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Tensor, Var};

use crate::pass::mix64;
use crate::{Error, Result, StoredWeights};

/// How a fresh weight begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Normal with this standard deviation, cut off at two of them (Devlin et al. 2018).
    TruncatedNormal(f64),
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
}

/// The weights of a model under their Hugging Face names. Clones share the weights.
///
/// Blocks ask for a weight by name and shape: a fresh set makes it, a loaded set looks it up. Whatever was asked
/// for is trainable and is what [`Parameters::vars`] lists and [`Parameters::save`] writes.
#[derive(Debug, Clone)]
pub struct Parameters {
    source: Arc<Source>,
    used: Arc<Mutex<BTreeMap<String, Entry>>>,
    device: Device,
    dtype: DType,
}

#[derive(Debug)]
enum Source {
    Fresh { seed: u64 },
    File(StoredWeights),
}

/// A variable and the names under which its equal parts along dimension 0 are stored.
#[derive(Debug, Clone)]
struct Entry {
    var: Var,
    parts: Vec<String>,
}

impl Parameters {
    /// Weights made from `seed` when they are asked for, f32. A weight depends on the seed and its name alone.
    pub fn fresh(seed: u64, device: &Device) -> Self {
        Self::new(Source::Fresh { seed }, device, DType::F32)
    }

    /// As [`Parameters::fresh`], in another number type.
    pub fn fresh_as(seed: u64, device: &Device, dtype: DType) -> Self {
        Self::new(Source::Fresh { seed }, device, dtype)
    }

    /// Weights of a safetensors file, held as f32.
    pub fn stored(weights: StoredWeights, device: &Device) -> Self {
        Self::new(Source::File(weights), device, DType::F32)
    }

    fn new(source: Source, device: &Device, dtype: DType) -> Self {
        Self {
            source: Arc::new(source),
            used: Arc::default(),
            device: device.clone(),
            dtype,
        }
    }

    /// An empty set of its own for a part that is stored in another file: fresh, from a seed that depends on `name`.
    pub(crate) fn sibling(&self, name: &str) -> Self {
        let seed = match self.source.as_ref() {
            Source::Fresh { seed } => *seed,
            Source::File(_) => 0,
        };
        let seed = name
            .bytes()
            .fold(seed, |seed, byte| mix64(seed ^ u64::from(byte)));
        Self::new(Source::Fresh { seed }, &self.device, self.dtype)
    }

    /// Where the weights live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The number type of the weights.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The weight `name` of this shape.
    ///
    /// # Errors
    /// The file has no such weight or it has another shape.
    pub fn get(&self, name: &str, shape: &[usize], init: Init) -> Result<Var> {
        self.get_stacked(name, &[name.to_owned()], shape, init)
    }

    /// One variable for several weights of the same `shape`, stacked along dimension 0. It is listed as `name`
    /// and stored as its parts.
    pub fn get_stacked(&self, name: &str, parts: &[String], shape: &[usize], init: Init) -> Result<Var> {
        if let Some(entry) = self.lock().get(name) {
            return Ok(entry.var.clone());
        }
        let tensors = parts
            .iter()
            .map(|part| self.make(part, shape, init))
            .collect::<Result<Vec<_>>>()?;
        let tensor = if let [one] = tensors.as_slice() {
            one.clone()
        } else {
            Tensor::cat(&tensors, 0)?
        };
        let var = Var::from_tensor(&tensor)?;
        self.lock().insert(
            name.into(),
            Entry {
                var: var.clone(),
                parts: parts.to_vec(),
            },
        );
        Ok(var)
    }

    /// Whether a weight of this name can be had: always when fresh, else when the file has it.
    pub fn has(&self, name: &str) -> bool {
        match self.source.as_ref() {
            Source::Fresh { .. } => true,
            Source::File(weights) => weights.has(name),
        }
    }

    /// Refuses a file that holds more layers than the configuration says.
    pub(crate) fn check_layers(&self, layers: usize) -> Result<()> {
        match self.source.as_ref() {
            Source::Fresh { .. } => Ok(()),
            Source::File(weights) => weights.check_layers(layers),
        }
    }

    fn make(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        let values = match self.source.as_ref() {
            Source::Fresh { seed } => fresh_values(*seed, name, shape.iter().product(), init),
            Source::File(weights) => weights.get(name, shape)?,
        };
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?
            .to_dtype(self.dtype)?
            .to_device(&self.device)?)
    }

    /// All variables that were asked for, sorted by name.
    pub fn vars(&self) -> Vec<(String, Var)> {
        self.lock()
            .iter()
            .map(|(name, entry)| (name.clone(), entry.var.clone()))
            .collect()
    }

    /// Name and tensor of every weight as stored on disk, in the type `dtype`, on the CPU.
    pub fn tensors(&self, dtype: DType) -> Result<Vec<(String, Tensor)>> {
        let mut out = Vec::new();
        for entry in self.lock().values() {
            let whole = entry
                .var
                .as_detached_tensor()
                .to_device(&Device::Cpu)?
                .to_dtype(dtype)?;
            let rows = whole.dim(0).unwrap_or(1) / entry.parts.len();
            for (part, name) in entry.parts.iter().enumerate() {
                let tensor = if entry.parts.len() == 1 {
                    whole.clone()
                } else {
                    whole.narrow(0, part * rows, rows)?
                };
                out.push((name.clone(), tensor.contiguous()?));
            }
        }
        Ok(out)
    }

    /// Writes all weights to the safetensors file `path` in the type `dtype`, replacing it in one step.
    pub fn save(&self, path: &Path, dtype: DType) -> Result<()> {
        write_safetensors(self.tensors(dtype)?, path)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Entry>> {
        // The map is complete after every insertion, so a panic elsewhere leaves it usable.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes tensors beside `path` and renames them into place, so that a reader never sees half a file.
pub(crate) fn write_safetensors(tensors: Vec<(String, Tensor)>, path: &Path) -> Result<()> {
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|e| Error::Safetensors {
        file: path.display().to_string(),
        reason: e.to_string(),
    })?;
    crate::folder::write_file(path, &bytes)
}

fn fresh_values(seed: u64, name: &str, count: usize, init: Init) -> Vec<f32> {
    let std = match init {
        Init::Zeros => return vec![0.0; count],
        Init::Ones => return vec![1.0; count],
        Init::TruncatedNormal(std) => std,
    };
    let mut state = name
        .bytes()
        .fold(mix64(seed), |state, byte| mix64(state ^ u64::from(byte)));
    let mut uniform = move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        (mix64(state) >> 11) as f64 * 2f64.powi(-53)
    };
    // Box-Muller; pairs outside of two standard deviations are drawn again.
    let mut normal = move || loop {
        let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt();
        let z = radius * (std::f64::consts::TAU * uniform()).cos();
        if z.abs() < 2.0 {
            return z;
        }
    };
    (0..count).map(|_| (normal() * std) as f32).collect()
}
