//! Reading and writing the small files of a model folder.

use std::path::Path;

use candle_core::DType;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{Config, Error, ModelFiles, Parameters, Result, StoredWeights};

/// Reads `config.json` and opens `model.safetensors`.
pub(crate) fn open_weights(files: &ModelFiles, device: &candle_core::Device) -> Result<(Config, Parameters)> {
    let config = Config::open(files)?;
    let weights = StoredWeights::open(files, "model.safetensors")?;
    Ok((config, Parameters::stored(weights, device)))
}

/// Writes `config.json` and `model.safetensors`, weights in the type `dtype`; `architecture` is the class that
/// transformers opens.
pub(crate) fn save_weights(
    folder: &Path,
    config: &Config,
    architecture: &str,
    params: &Parameters,
    dtype: DType,
) -> Result<()> {
    let mut config = config.clone();
    let name = match dtype {
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        _ => "float32",
    };
    config.extra.insert("architectures".into(), json!([architecture]));
    config.extra.remove("dtype");
    config.extra.insert("torch_dtype".into(), json!(name));
    write_file(&folder.join("config.json"), (config.to_json() + "\n").as_bytes())?;
    params.save(&folder.join("model.safetensors"), dtype)
}

/// Reads a JSON file of the model.
pub(crate) fn read_json<T: DeserializeOwned>(files: &ModelFiles, name: &str) -> Result<T> {
    let bytes = files.read(name)?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json {
        file: files.label(name),
        source,
    })
}

/// Writes a JSON file, indented.
pub(crate) fn write_json(path: &Path, value: &Value) -> Result<()> {
    write_file(path, format!("{value:#}\n").as_bytes())
}

/// Writes a file beside its place and renames it there; makes the folders above it.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let io = |source| Error::Io {
        path: path.to_path_buf(),
        source,
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(io)?;
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    std::fs::write(&partial, bytes).map_err(io)?;
    std::fs::rename(&partial, path).map_err(io)
}
