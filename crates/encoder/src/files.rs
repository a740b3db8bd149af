//! The files of a model: a folder on disk, or files embedded in the program.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Where the files of a model are read from.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Folder(PathBuf),
    Embedded {
        name: &'static str,
        files: &'static [(&'static str, &'static [u8])],
    },
}

/// SHA-256 over the files that decide a model's answers; equal fingerprints mean equal vectors.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// 64 lower-case hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The files that decide a model's answers, in the order in which they are hashed.
const FINGERPRINTED: [&str; 12] = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "2_Dense/model.safetensors",
    "special_tokens_map.json",
];

impl ModelFiles {
    /// The files of a folder.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn folder(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => Ok(Self {
                place: Place::Folder(path),
            }),
            Ok(_) => Err(Error::Io {
                path,
                source: std::io::ErrorKind::NotADirectory.into(),
            }),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    /// Files inside of the program, as pairs of relative name and content.
    pub fn embedded(name: &'static str, files: &'static [(&'static str, &'static [u8])]) -> Self {
        Self {
            place: Place::Embedded { name, files },
        }
    }

    /// The content of the file `name` (relative, with `/`).
    ///
    /// # Errors
    /// The file is missing or cannot be read.
    pub fn read(&self, name: &str) -> Result<Cow<'static, [u8]>> {
        match &self.place {
            Place::Folder(folder) => {
                let path = folder.join(name);
                match std::fs::read(&path) {
                    Ok(bytes) => Ok(bytes.into()),
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(self.missing(name)),
                    Err(source) => Err(Error::Io { path, source }),
                }
            }
            Place::Embedded { files, .. } => {
                let found = files.iter().find(|(file, _)| *file == name);
                found
                    .map(|(_, bytes)| Cow::Borrowed(*bytes))
                    .ok_or_else(|| self.missing(name))
            }
        }
    }

    /// Whether there is a file `name`.
    pub fn has(&self, name: &str) -> bool {
        match &self.place {
            Place::Folder(folder) => folder.join(name).is_file(),
            Place::Embedded { files, .. } => files.iter().any(|(file, _)| *file == name),
        }
    }

    /// SHA-256 over names, sizes and contents of configuration, weights, tokenizer, pooling, projection and modules.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn fingerprint(&self) -> Result<Fingerprint> {
        let mut hash = Sha256::new();
        for name in FINGERPRINTED.into_iter().filter(|name| self.has(name)) {
            let bytes = self.read(name)?;
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(&bytes);
        }
        let digest = hash.finalize();
        Ok(Fingerprint(
            digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        ))
    }

    /// The folder's path, or the name of the embedded model.
    pub fn describe(&self) -> String {
        match &self.place {
            Place::Folder(folder) => folder.display().to_string(),
            Place::Embedded { name, .. } => format!("{name} (embedded)"),
        }
    }

    /// How errors name the file `name`.
    pub(crate) fn label(&self, name: &str) -> String {
        match &self.place {
            Place::Folder(folder) => folder.join(name).display().to_string(),
            Place::Embedded { name: model, .. } => format!("{model}:{name}"),
        }
    }

    fn missing(&self, name: &str) -> Error {
        Error::MissingFile {
            model: self.describe(),
            file: name.into(),
        }
    }
}
