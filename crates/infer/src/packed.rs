//! Packed weights beside the model: a safetensors file that is mapped instead of read.
//!
//! The file holds the parts of the encoder as the kernels want them, each in whole cache lines. Its header says of
//! which model it was made: by fingerprint, and by size and time of the model's files, so that opening need not
//! hash them while they stay as they are.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use encoder::{Config, FileStamp, ModelFiles};
use kernels::{Linear, Lines, Precision, SharedBytes};
use memmap2::Mmap;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

use crate::engine::{Engine, Parts, Weights};
use crate::{InferError, Quality};

/// Rises when the order of the packed numbers changes.
const VERSION: u32 = 1;
/// Of lines; the header is filled up to a multiple.
const LINE_BYTES: usize = 64;
/// Bytes before the header: its length.
const LENGTH_BYTES: usize = 8;
/// What stands before the 16 digits of the checksum, wherever the header has it.
const CHECKSUM_MARK: &str = "\"checksum\":\"";
const CHECKSUM_DIGITS: usize = 16;

/// What a packed file says of itself, as JSON under the key `cloze`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Origin {
    version: u32,
    precision: String,
    fingerprint: String,
    files: Vec<FileStamp>,
}

/// What [`pack`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The number type of its weights.
    pub precision: Precision,
}

/// Writes the encoder's weights in packed form beside the model, as `packed-PRECISION.safetensors`; in the precision in
/// which it is opened when nobody says ([`Quality::enough`] where it was measured, else f32). Whatever opens
/// the model in this precision then maps the file: processes share its pages and nothing is packed again.
///
/// # Errors
/// [`InferError::Open`] when the model cannot be opened, or the file cannot be written.
pub fn pack(files: &ModelFiles, precision: Option<Precision>) -> Result<Packing, InferError> {
    let refuse = |reason: String| InferError::Open {
        model: files.describe(),
        reason,
    };
    let folder = files.path().ok_or_else(|| {
        refuse(
            "its files are inside of the program; accepted: a folder, to write packed weights to".to_owned(),
        )
    })?;
    let pack = || -> Result<Packing, String> {
        let config = Config::open(files).map_err(|error| error.to_string())?;
        let stamps = || files.stamps().map_err(|error| error.to_string());
        let before = stamps()?;
        let fingerprint = files.fingerprint().map_err(|error| error.to_string())?;
        let precision = match precision {
            Some(precision) => precision,
            None => measured(files, &fingerprint.to_string())?,
        };
        let mut recorder = Recorder {
            weights: Weights::open(files, &config, precision)?,
            lines: BTreeMap::new(),
        };
        Engine::new(&mut recorder, &config, precision)?;
        if stamps()? != before {
            return Err("its files changed while they were packed; pack it again".to_owned());
        }
        let origin = Origin {
            version: VERSION,
            precision: precision.to_string(),
            fingerprint: fingerprint.to_string(),
            files: before,
        };
        let path = folder.join(file_name(precision));
        let bytes =
            write(&path, &origin, &recorder.lines).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Packing {
            path,
            bytes,
            precision,
        })
    };
    pack().map_err(refuse)
}

/// The precision that is enough for the model of this fingerprint.
fn measured(files: &ModelFiles, fingerprint: &str) -> Result<Precision, String> {
    let quality = Quality::open(files).map_err(|error| error.to_string())?;
    let quality = quality.filter(|quality| quality.fingerprint == fingerprint);
    Ok(quality.map_or(Precision::F32, |quality| quality.enough()))
}

fn file_name(precision: Precision) -> String {
    format!("packed-{precision}.safetensors")
}

/// Keeps what is packed on its way into an encoder.
struct Recorder {
    weights: Weights,
    lines: BTreeMap<String, Lines>,
}

impl Parts for Recorder {
    fn linear(&mut self, name: &str, stacked: &[&str], shape: [usize; 2]) -> Result<Linear, String> {
        let linear = self.weights.linear(name, stacked, shape)?;
        self.lines.insert(name.to_owned(), linear.lines().clone());
        Ok(linear)
    }

    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Lines, String> {
        let lines = self.weights.values(name, shape)?;
        self.lines.insert(name.to_owned(), lines.clone());
        Ok(lines)
    }
}

fn write(path: &Path, origin: &Origin, parts: &BTreeMap<String, Lines>) -> std::io::Result<u64> {
    let mut header = header(origin, parts)?;
    let mut hash = Xxh3Default::new();
    hash.update(&header);
    for lines in parts.values() {
        hash.update(lines.bytes());
    }
    if let Some(digits) = checksum_digits(&header) {
        header[digits].copy_from_slice(format!("{:016x}", hash.digest()).as_bytes());
    }
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    let written = || -> std::io::Result<u64> {
        let mut file = BufWriter::new(File::create(&partial)?);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for lines in parts.values() {
            file.write_all(lines.bytes())?;
        }
        let file = file.into_inner()?;
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        std::fs::rename(&partial, path)?;
        Ok(bytes)
    };
    written().inspect_err(|_| {
        // The error that is told is the one that counts.
        let _ = std::fs::remove_file(&partial);
    })
}

/// The header, with a checksum of zeros, so long that what follows it is at a multiple of [`LINE_BYTES`].
fn header(origin: &Origin, parts: &BTreeMap<String, Lines>) -> std::io::Result<Vec<u8>> {
    let mut end = 0;
    let infos = parts.iter().map(|(name, lines)| {
        let from = end;
        end += lines.bytes().len();
        let info = TensorInfo {
            dtype: Dtype::U8,
            shape: vec![lines.bytes().len()],
            data_offsets: (from, end),
        };
        (name.clone(), info)
    });
    let metadata = HashMap::from([
        ("checksum".to_owned(), "0".repeat(CHECKSUM_DIGITS)),
        ("cloze".to_owned(), serde_json::to_string(origin)?),
    ]);
    let metadata = Metadata::new(Some(metadata), infos.collect()).map_err(std::io::Error::other)?;
    let mut header = serde_json::to_vec(&metadata)?;
    let length = (LENGTH_BYTES + header.len()).next_multiple_of(LINE_BYTES) - LENGTH_BYTES;
    header.resize(length, b' ');
    Ok(header)
}

/// Where the checksum stands in a header.
fn checksum_digits(header: &[u8]) -> Option<std::ops::Range<usize>> {
    let mark = CHECKSUM_MARK.as_bytes();
    let at = header.windows(mark.len()).position(|part| part == mark)? + mark.len();
    (at + CHECKSUM_DIGITS <= header.len()).then_some(at..at + CHECKSUM_DIGITS)
}

/// An open packed file.
pub(crate) struct PackedFile {
    bytes: SharedBytes,
    /// Where the parts begin.
    data_at: usize,
    header: Metadata,
    precision: Precision,
    fingerprint: String,
}

impl PackedFile {
    /// Opens the packed form of a model, if it has one in this precision.
    ///
    /// # Errors
    /// Says why there is a file that cannot be used.
    pub(crate) fn open(files: &ModelFiles, precision: Precision) -> Result<Option<Self>, String> {
        let Some(path) = files.path().map(|folder| folder.join(file_name(precision))) else {
            return Ok(None);
        };
        if !path.is_file() {
            return Ok(None);
        }
        let open = || -> Result<Self, String> {
            let file = File::open(&path).map_err(|error| error.to_string())?;
            let bytes = map(&file).map_err(|error| error.to_string())?;
            let mut packed = Self::check(bytes, precision)?;
            packed.check_origin(files)?;
            Ok(packed)
        };
        open()
            .map(Some)
            .map_err(|reason| format!("{}: {reason}", path.display()))
    }

    fn check(bytes: SharedBytes, precision: Precision) -> Result<Self, String> {
        let content: &[u8] = bytes.as_ref().as_ref();
        let (length, header) = SafeTensors::read_metadata(content).map_err(|error| error.to_string())?;
        let data_at = LENGTH_BYTES + length;
        let digits = checksum_digits(&content[LENGTH_BYTES..data_at]).ok_or("no checksum")?;
        let digits = digits.start + LENGTH_BYTES..digits.end + LENGTH_BYTES;
        let mut hash = Xxh3Default::new();
        hash.update(&content[LENGTH_BYTES..digits.start]);
        hash.update(&[b'0'; CHECKSUM_DIGITS]);
        hash.update(&content[digits.end..]);
        if format!("{:016x}", hash.digest()).as_bytes() != &content[digits] {
            return Err("damaged: its checksum is another".to_owned());
        }
        Ok(Self {
            data_at,
            header,
            precision,
            fingerprint: String::new(),
            bytes,
        })
    }

    /// Checks that the file is of this version, precision and model.
    fn check_origin(&mut self, files: &ModelFiles) -> Result<(), String> {
        let told = self.header.metadata().as_ref().and_then(|told| told.get("cloze"));
        let origin: Origin =
            serde_json::from_str(told.ok_or("not a packed file")?).map_err(|error| error.to_string())?;
        let (told, wanted) = (
            (origin.version, origin.precision.as_str()),
            (VERSION, &*self.precision.to_string()),
        );
        if told != wanted {
            return Err(format!(
                "version and precision are {told:?}; accepted: {wanted:?}"
            ));
        }
        if origin.files != files.stamps().map_err(|error| error.to_string())? {
            let fingerprint = files.fingerprint().map_err(|error| error.to_string())?;
            if origin.fingerprint != fingerprint.as_str() {
                return Err("the model changed after it was packed".to_owned());
            }
        }
        self.fingerprint = origin.fingerprint;
        Ok(())
    }

    /// The fingerprint of the model.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn lines(&self, name: &str) -> Result<Lines, String> {
        let info = self.header.info(name).ok_or_else(|| format!("no part {name}"))?;
        let (from, to) = info.data_offsets;
        Lines::share(self.bytes.clone(), self.data_at + from..self.data_at + to)
            .ok_or_else(|| format!("{name} does not lie in whole lines"))
    }
}

impl Parts for PackedFile {
    fn linear(&mut self, name: &str, stacked: &[&str], shape: [usize; 2]) -> Result<Linear, String> {
        let [outputs, inputs] = shape;
        let outputs = outputs * stacked.len().max(1);
        Linear::from_lines(self.lines(name)?, inputs, outputs, self.precision)
            .ok_or_else(|| format!("{name} has another size than {outputs} × {inputs}"))
    }

    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Lines, String> {
        let lines = self.lines(name)?;
        let count: usize = shape.iter().product();
        if lines.floats().len() != count.next_multiple_of(LINE_BYTES / size_of::<f32>()) {
            return Err(format!("{name} has another size than {shape:?}"));
        }
        Ok(lines)
    }
}

#[allow(unsafe_code, reason = "a memory map")]
fn map(file: &File) -> std::io::Result<SharedBytes> {
    // SAFETY: packed files are replaced by renaming and never written in place. Who writes into one nevertheless
    // changes numbers, not the program: every place in it is checked when it is used.
    Ok(Arc::new(unsafe { Mmap::map(file)? }))
}
