//! Vectors with their ids, written down: Arrow IPC, Parquet, NPY or JSON Lines.
//!
//! A [`VectorWriter`] takes rows in any portions and holds few of them; the bytes that it writes depend on the rows
//! alone, not on how they were handed in. [`read_vectors`] reads the Arrow form back.

pub(crate) mod columns;
mod jsonl;
mod npy;

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

pub(crate) use columns::BATCH_ROWS;
pub use columns::{VectorBatches, read_vectors};
pub use npy::ids_path;

use crate::error::{DataError, Place, Reason};
use crate::source;

/// How vectors are written down in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VectorFormat {
    /// Arrow IPC file: the columns `id` and `vector`.
    Arrow,
    /// Parquet with the same columns.
    Parquet,
    /// NumPy's NPY 1.0: a matrix of float32 in C order; the ids stand in a text file beside it, one a line.
    Npy,
    /// A JSON object a line: `{"id":"a","vector":[0.1]}`. The decimals read back as the same float32.
    Jsonl,
}

const FORMATS: &str = "arrow, parquet, npy, jsonl";

impl VectorFormat {
    /// The format that the extension of a file stands for.
    ///
    /// # Errors
    /// Names the extension when it stands for none.
    pub fn of_path(path: &Path) -> Result<Self, DataError> {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        extension
            .to_lowercase()
            .parse()
            .map_err(|reason: Reason| DataError::new(Place::file(&Arc::from(path)), reason))
    }

    /// Its name, as it is given.
    pub fn name(self) -> &'static str {
        match self {
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
            Self::Npy => "npy",
            Self::Jsonl => "jsonl",
        }
    }
}

impl FromStr for VectorFormat {
    type Err = Reason;

    fn from_str(name: &str) -> Result<Self, Reason> {
        Ok(match name {
            "arrow" | "ipc" | "feather" => Self::Arrow,
            "parquet" => Self::Parquet,
            "npy" => Self::Npy,
            "jsonl" | "ndjson" => Self::Jsonl,
            other => {
                return Err(Reason::Format {
                    found: other.to_owned(),
                    accepted: FORMATS,
                });
            }
        })
    }
}

/// Rows of a table of vectors.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VectorRows {
    /// The id of each row, without line ends.
    pub ids: Vec<String>,
    /// The components of all rows, one row after the other.
    pub values: Vec<f32>,
}

impl VectorRows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Adds a row at the end.
    pub fn push(&mut self, id: &str, vector: &[f32]) {
        self.ids.push(id.to_owned());
        self.values.extend_from_slice(vector);
    }

    /// Adds rows at the end.
    pub fn append(&mut self, mut rows: Self) {
        self.ids.append(&mut rows.ids);
        self.values.append(&mut rows.values);
    }
}

/// What is true of all rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorSchema {
    /// Components of a vector.
    pub dimension: usize,
    /// What the file says of itself, name by name; Arrow and Parquet have a place for it.
    pub about: Vec<(String, String)>,
}

/// One format being written.
trait Sink {
    fn write(&mut self, rows: &VectorRows) -> Result<(), Reason>;

    /// Writes the rest and hands everything to the operating system.
    fn finish(self: Box<Self>) -> Result<(), Reason>;
}

/// Writes rows of vectors. What is not finished is no file of its format.
pub struct VectorWriter {
    sink: Box<dyn Sink>,
    place: Place,
    dimension: usize,
    /// Files that are made durable at the end.
    files: Vec<PathBuf>,
}

impl VectorWriter {
    /// Creates a file, and for NPY the one at [`ids_path`] beside it; what was there is overwritten.
    ///
    /// # Errors
    /// When a file cannot be created or written.
    pub fn create(path: &Path, format: VectorFormat, schema: &VectorSchema) -> Result<Self, DataError> {
        let place = Place::file(&Arc::from(path));
        let mut files = vec![path.to_owned()];
        if format == VectorFormat::Npy {
            files.push(ids_path(path));
        }
        let sink = open(&files, format, schema).map_err(|reason| DataError::new(place.clone(), reason))?;
        let dimension = schema.dimension;
        Ok(Self {
            sink,
            place,
            dimension,
            files,
        })
    }

    /// Writes JSON Lines to something that is no file of ours; `name` stands for it in errors.
    pub fn stream(name: &Path, output: Box<dyn Write>, dimension: usize) -> Self {
        Self {
            sink: Box::new(jsonl::Sink::new(output, dimension)),
            place: Place::file(&Arc::from(name)),
            dimension,
            files: Vec::new(),
        }
    }

    /// Writes rows. JSON Lines are handed on at once; the other formats may hold some thousand rows.
    ///
    /// # Errors
    /// When they cannot be written, or are not of the dimension.
    pub fn write(&mut self, rows: &VectorRows) -> Result<(), DataError> {
        let (found, expected) = (rows.values.len(), rows.len() * self.dimension);
        let written = match found == expected {
            true => self.sink.write(rows),
            false => Err(Reason::Settings(format!(
                "{found} numbers in {} rows; accepted: {expected}, {} for each",
                rows.len(),
                self.dimension
            ))),
        };
        written.map_err(|reason| DataError::new(self.place.clone(), reason))
    }

    /// Ends the file and makes it durable.
    ///
    /// # Errors
    /// When that fails; the file is then not to be used.
    pub fn finish(self) -> Result<(), DataError> {
        let fail = |reason| DataError::new(self.place.clone(), reason);
        self.sink.finish().map_err(fail)?;
        for file in &self.files {
            let opened = OpenOptions::new().write(true).open(file);
            opened
                .and_then(|file| file.sync_all())
                .map_err(|error| fail(error.into()))?;
        }
        Ok(())
    }
}

fn open(files: &[PathBuf], format: VectorFormat, schema: &VectorSchema) -> Result<Box<dyn Sink>, Reason> {
    let outputs: Result<Vec<BufWriter<File>>, std::io::Error> = files.iter().map(create).collect();
    let mut outputs = outputs?.into_iter();
    let mut next = || outputs.next().ok_or(Reason::Settings("no file".to_owned()));
    Ok(match format {
        VectorFormat::Arrow => Box::new(columns::Sink::arrow(next()?, schema)?),
        VectorFormat::Parquet => Box::new(columns::Sink::parquet(next()?, schema)?),
        VectorFormat::Npy => Box::new(npy::Sink::new(next()?, next()?, schema.dimension)?),
        VectorFormat::Jsonl => Box::new(jsonl::Sink::new(next()?, schema.dimension)),
    })
}

fn create(path: &PathBuf) -> std::io::Result<BufWriter<File>> {
    Ok(BufWriter::with_capacity(
        source::BUFFER_BYTES,
        File::create(path)?,
    ))
}

#[cfg(test)]
#[path = "vector_file/tests.rs"]
mod tests;
