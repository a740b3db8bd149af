//! Reading texts for vocabularies and pre-training, line by line, compressed or not.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result, io};

/// The lines of a file, decompressed when its name ends in `.zst`.
///
/// # Errors
/// When the file cannot be opened.
pub fn lines(path: &Path) -> Result<impl Iterator<Item = Result<String>> + Send + use<>> {
    let file = File::open(path).map_err(io(path))?;
    let reader: Box<dyn Read + Send> = if path.extension().is_some_and(|e| e == "zst") {
        Box::new(zstd::Decoder::new(file).map_err(io(path))?)
    } else {
        Box::new(file)
    };
    let path = path.to_owned();
    Ok(BufReader::new(reader)
        .lines()
        .map(move |line| line.map_err(io(&path))))
}

/// A document: either `text`, or a title and sections of paragraphs.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    title: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    sections: Vec<Section>,
}

#[derive(Deserialize)]
struct Section {
    #[serde(default)]
    heading: String,
    #[serde(default)]
    paragraphs: Vec<String>,
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
    let path = path.to_owned();
    let texts = lines(&path)?.enumerate().map(move |(at, line)| {
        let line = line?;
        if !is_json {
            return Ok(line);
        }
        let document: Document = serde_json::from_str(&line).map_err(|e| Error::Line {
            path: path.clone(),
            line: at + 1,
            reason: e.to_string(),
        })?;
        Ok(document.joined())
    });
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
