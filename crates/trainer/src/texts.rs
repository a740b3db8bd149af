//! Reading texts for vocabularies and pre-training, line by line, compressed or not.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result, io};

/// The bytes of a file, decompressed when its name ends in `.zst`.
///
/// # Errors
/// When the file cannot be opened.
pub(crate) fn open(path: &Path) -> Result<BufReader<Box<dyn Read + Send>>> {
    let file = File::open(path).map_err(io(path))?;
    let reader: Box<dyn Read + Send> = if path.extension().is_some_and(|e| e == "zst") {
        Box::new(zstd::Decoder::new(file).map_err(io(path))?)
    } else {
        Box::new(file)
    };
    Ok(BufReader::new(reader))
}

/// The lines of a file, decompressed when its name ends in `.zst`.
///
/// # Errors
/// When the file cannot be opened. What goes wrong later is the error of a line and names it.
pub fn lines(path: &Path) -> Result<impl Iterator<Item = Result<String>> + Send + use<>> {
    let lines = open(path)?.lines().enumerate();
    let path = path.to_owned();
    Ok(lines.map(move |(at, line)| line.map_err(|e| damaged(&path, at + 1, e))))
}

/// The lines of a file as records in JSON.
///
/// # Errors
/// As [`lines`]; a line that is not such a record is an error of its own.
pub(crate) fn records<T: DeserializeOwned>(
    path: &Path,
) -> Result<impl Iterator<Item = Result<T>> + Send + use<T>> {
    let lines = lines(path)?.enumerate();
    let path = path.to_owned();
    Ok(lines.map(move |(at, line)| serde_json::from_str(&line?).map_err(|e| damaged(&path, at + 1, e))))
}

fn damaged(path: &Path, line: usize, reason: impl ToString) -> Error {
    Error::Line {
        path: path.to_owned(),
        line,
        reason: reason.to_string(),
    }
}

/// A document: either `text`, or a title and sections of paragraphs.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Document {
    /// Where it comes from; empty when nobody says.
    #[serde(default)]
    pub(crate) source: String,
    #[serde(default)]
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) sections: Vec<Section>,
}

/// A part of a document, with or without a heading.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Section {
    #[serde(default)]
    pub(crate) heading: String,
    #[serde(default)]
    pub(crate) paragraphs: Vec<String>,
}

impl Document {
    /// Everything in reading order, a paragraph a line.
    fn joined(&self) -> String {
        let sections = self.sections.iter();
        let parts = sections.flat_map(|s| std::iter::once(&s.heading).chain(&s.paragraphs));
        let parts = [&self.title, &self.text].into_iter().chain(parts);
        parts
            .filter(|part| !part.is_empty())
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// The documents of a file: lines of JSON when its name has `.jsonl`, else each line that is not empty.
///
/// # Errors
/// When the file cannot be read; each damaged line is an error of its own.
pub fn documents(path: &Path) -> Result<impl Iterator<Item = Result<String>> + Send + use<>> {
    let is_json = path.to_string_lossy().contains(".jsonl");
    let texts: Box<dyn Iterator<Item = Result<String>> + Send> = if is_json {
        let joined = |document: Result<Document>| document.map(|document| document.joined());
        Box::new(records(path)?.map(joined))
    } else {
        Box::new(lines(path)?)
    };
    Ok(texts.filter(|text| text.as_ref().map_or(true, |text| !text.trim().is_empty())))
}

/// The documents of several files, one after the other.
///
/// # Errors
/// When a file cannot be opened.
pub fn all_documents(paths: &[PathBuf]) -> Result<impl Iterator<Item = Result<String>> + Send + use<>> {
    let files = paths
        .iter()
        .map(|path| documents(path))
        .collect::<Result<Vec<_>>>()?;
    Ok(files.into_iter().flatten())
}
