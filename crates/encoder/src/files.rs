//! The files of a model: a folder on disk, or files embedded in the program.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

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

/// A file from which parts can be read.
pub(crate) trait Source: Read + Seek + Send {}

impl<T: Read + Seek + Send> Source for T {}

/// Size and time of a file that decides a model's answers: while they stay, the file is taken to be the same.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileStamp {
    name: String,
    bytes: u64,
    modified_ns: u128,
}

/// Bytes that are read at a time.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;

/// The files that decide a model's answers, in the order in which they are hashed.
const FINGERPRINTED: [&str; 13] = [
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
    "reader.json",
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
                let bytes = std::fs::read(folder.join(name));
                bytes.map(Cow::Owned).map_err(|source| self.io(name, source))
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

    /// The files there are that decide the model's answers.
    pub(crate) fn deciding(&self) -> impl Iterator<Item = &'static str> {
        FINGERPRINTED.into_iter().filter(|name| self.has(name))
    }

    /// SHA-256 over names, sizes and contents of configuration, weights, tokenizer, pooling, projection and modules.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn fingerprint(&self) -> Result<Fingerprint> {
        let mut hash = Sha256::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        for name in self.deciding() {
            let (mut source, bytes) = self.stream(name)?;
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update(bytes.to_le_bytes());
            loop {
                match source.read(&mut chunk).map_err(|source| self.io(name, source))? {
                    0 => break,
                    count => hash.update(&chunk[..count]),
                }
            }
        }
        let digest = hash.finalize();
        Ok(Fingerprint(
            digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        ))
    }

    /// The file `name` to be read in parts, and its size.
    pub(crate) fn stream(&self, name: &str) -> Result<(Box<dyn Source>, u64)> {
        match &self.place {
            Place::Folder(folder) => {
                let mut file = File::open(folder.join(name)).map_err(|source| self.io(name, source))?;
                let size = file.seek(SeekFrom::End(0)).and_then(|size| {
                    file.rewind()?;
                    Ok(size)
                });
                Ok((Box::new(file), size.map_err(|source| self.io(name, source))?))
            }
            Place::Embedded { .. } => {
                let bytes = self.read(name)?;
                let size = bytes.len() as u64;
                Ok((Box::new(Cursor::new(bytes)), size))
            }
        }
    }

    /// Stamps of the files that decide the model's answers; none of files inside of the program.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn stamps(&self) -> Result<Vec<FileStamp>> {
        let Place::Folder(folder) = &self.place else {
            return Ok(Vec::new());
        };
        let stamp = |name: &str| {
            let found =
                std::fs::metadata(folder.join(name)).and_then(|found| Ok((found.len(), found.modified()?)));
            let (bytes, modified) = found.map_err(|source| self.io(name, source))?;
            let modified_ns = modified
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_nanos());
            Ok(FileStamp {
                name: name.to_owned(),
                bytes,
                modified_ns,
            })
        };
        self.deciding().map(stamp).collect()
    }

    /// The folder, unless the files are inside of the program.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder),
            Place::Embedded { .. } => None,
        }
    }

    fn io(&self, name: &str, source: std::io::Error) -> Error {
        match source.kind() {
            std::io::ErrorKind::NotFound => self.missing(name),
            _ => Error::Io {
                path: self.label(name).into(),
                source,
            },
        }
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
