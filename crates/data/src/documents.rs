//! Files, folders and the standard input as one stream of documents.

use std::collections::VecDeque;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use corpus::{Document, DocumentId, Metadata};
use serde::Deserialize;
use walkdir::WalkDir;

use crate::error::{DataError, Located, Place, Reason};
use crate::lines::{RECORD_BYTES_MAX, decode};
use crate::mapping::Mapping;
use crate::source::{self, Meter};
use crate::{columns, html, jsonl, markdown, plain, table};

/// How documents are written down in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header row (RFC 4180).
    Csv,
    /// Tab-separated values with a header row, without quoting.
    Tsv,
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC, file or stream.
    Arrow,
    /// Markdown; the whole file is one document.
    Markdown,
    /// HTML; the whole file is one document.
    Html,
    /// Plain text; the whole file is one document, or each line ([`ReadSettings::text_lines`]).
    Text,
}

const FORMATS: &str = "jsonl, csv, tsv, parquet, arrow, markdown, html, text";

impl Format {
    /// The format that an extension stands for.
    fn of_extension(extension: &str) -> Option<Self> {
        Some(match extension {
            "jsonl" | "ndjson" => Self::Jsonl,
            "csv" => Self::Csv,
            "tsv" | "tab" => Self::Tsv,
            "parquet" => Self::Parquet,
            "arrow" | "arrows" | "ipc" | "feather" => Self::Arrow,
            "md" | "markdown" => Self::Markdown,
            "html" | "htm" | "xhtml" => Self::Html,
            "txt" | "text" | "rst" => Self::Text,
            _ => return None,
        })
    }
}

impl FromStr for Format {
    type Err = Reason;

    fn from_str(name: &str) -> Result<Self, Reason> {
        let longer = match name {
            "markdown" | "md" => Some(Self::Markdown),
            "arrow" | "ipc" => Some(Self::Arrow),
            other => Self::of_extension(other),
        };
        longer.ok_or_else(|| Reason::Format {
            found: name.to_owned(),
            accepted: FORMATS,
        })
    }
}

/// How to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadSettings {
    /// The format of every file; by default the extension of each one says it.
    pub format: Option<Format>,
    /// Which field is what, in the formats that have fields.
    pub mapping: Mapping,
    /// Whether each line of plain text is a document, instead of each file.
    pub text_lines: bool,
}

#[derive(Debug, Clone)]
struct Source {
    file: Arc<Path>,
    /// What generated ids begin with: the path from the folder that was named, or the file name.
    name: String,
    format: Format,
    bytes: u64,
}

type Reading = Box<dyn Iterator<Item = Result<Located<Document>, DataError>> + Send>;

/// The documents of all files, in order; reading goes on after an error, with the next record or file.
pub struct Documents {
    sources: VecDeque<Source>,
    settings: ReadSettings,
    reading: Option<Reading>,
    meter: Meter,
    files_count: usize,
    files_skipped: usize,
    bytes_total: Option<u64>,
    bytes_done: u64,
}

/// Finds the files to read; nothing is opened before the first call of `next`.
///
/// Folders are walked in the order of names; hidden files, and files whose extension stands for no format, are
/// passed over and counted. Of a folder with a `corpus.jsonl` (the BEIR layout) that file alone is read. `-` is
/// JSON Lines on the standard input.
///
/// # Errors
/// When a path does not exist, or a file that is named has an extension that stands for no format.
pub fn documents(paths: &[PathBuf], settings: &ReadSettings) -> Result<Documents, DataError> {
    let mut found = Found::default();
    for path in paths {
        found.take(path, settings.format)?;
    }
    let stdin = found.sources.iter().any(|source| &*source.file == Path::new("-"));
    let bytes_total = (!stdin).then(|| found.sources.iter().map(|source| source.bytes).sum());
    Ok(Documents {
        files_count: found.sources.len(),
        sources: found.sources,
        settings: settings.clone(),
        reading: None,
        meter: Meter::default(),
        files_skipped: found.skipped,
        bytes_total,
        bytes_done: 0,
    })
}

#[derive(Default)]
struct Found {
    sources: VecDeque<Source>,
    skipped: usize,
}

impl Found {
    fn take(&mut self, path: &Path, format: Option<Format>) -> Result<(), DataError> {
        let fail = |reason: Reason| DataError::new(Place::file(&Arc::from(path)), reason);
        if path == Path::new("-") {
            self.push(path, "stdin".to_owned(), format.unwrap_or(Format::Jsonl), 0);
            return Ok(());
        }
        let metadata = std::fs::metadata(path).map_err(|error| fail(error.into()))?;
        if metadata.is_dir() {
            return self.walk(path, format);
        }
        let extension = source::extension(path);
        let Some(format) = format.or_else(|| Format::of_extension(&extension)) else {
            return Err(fail(Reason::Format {
                found: extension,
                accepted: FORMATS,
            }));
        };
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        self.push(path, name, format, metadata.len());
        Ok(())
    }

    fn walk(&mut self, root: &Path, format: Option<Format>) -> Result<(), DataError> {
        let mut walk = WalkDir::new(root)
            .follow_links(true)
            .sort_by_file_name()
            .into_iter();
        while let Some(entry) = walk.next() {
            let entry = entry.map_err(|error| unwalkable(root, error))?;
            let (path, depth) = (entry.path(), entry.depth());
            if depth > 0 && entry.file_name().to_string_lossy().starts_with('.') {
                if entry.file_type().is_dir() {
                    walk.skip_current_dir();
                }
            } else if entry.file_type().is_dir() {
                if let Some(corpus) = beir_corpus(path) {
                    self.file(root, &corpus, format)?;
                    walk.skip_current_dir();
                }
            } else {
                self.file(root, path, format)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, root: &Path, path: &Path, format: Option<Format>) -> Result<(), DataError> {
        // A format that is named counts for all files, but not for those that evidently are something else.
        let own = Format::of_extension(&source::extension(path));
        let Some(format) = (match format {
            Some(wanted) if own.is_none_or(|own| own == wanted) => Some(wanted),
            Some(_) => None,
            None => own,
        }) else {
            self.skipped += 1;
            return Ok(());
        };
        let metadata =
            std::fs::metadata(path).map_err(|error| DataError::new(Place::file(&Arc::from(path)), error))?;
        let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
        self.push(
            path,
            name.replace(std::path::MAIN_SEPARATOR, "/"),
            format,
            metadata.len(),
        );
        Ok(())
    }

    fn push(&mut self, path: &Path, name: String, format: Format, bytes: u64) {
        let file = Arc::from(path);
        self.sources.push_back(Source {
            file,
            name,
            format,
            bytes,
        });
    }
}

fn unwalkable(root: &Path, error: walkdir::Error) -> DataError {
    let file = Arc::from(error.path().unwrap_or(root));
    DataError::new(Place::file(&file), std::io::Error::from(error))
}

/// The documents of a folder in the BEIR layout.
pub(crate) fn beir_corpus(folder: &Path) -> Option<PathBuf> {
    let names = ["corpus.jsonl", "corpus.jsonl.zst", "corpus.jsonl.gz"];
    names
        .map(|name| folder.join(name))
        .into_iter()
        .find(|path| path.is_file())
}

impl Documents {
    /// A count of the bytes that were read, to show progress by.
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// Bytes of all files as they lie on disk; none when the standard input is among them.
    pub fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    /// Files that are read.
    pub fn files_count(&self) -> usize {
        self.files_count
    }

    /// Files in folders that were passed over because their extension stands for no format.
    pub fn files_skipped(&self) -> usize {
        self.files_skipped
    }

    fn open(&self, source: Source) -> Result<Reading, DataError> {
        let Source {
            file, name, format, ..
        } = source;
        let (mapping, meter) = (self.settings.mapping.clone(), &self.meter);
        Ok(match format {
            Format::Jsonl => Box::new(jsonl::documents(&file, name, mapping, meter)?),
            Format::Csv => Box::new(table::documents(&file, name, mapping, b',', meter)?),
            Format::Tsv => Box::new(table::documents(&file, name, mapping, b'\t', meter)?),
            Format::Parquet => Box::new(columns::parquet(&file, name, mapping, meter)?),
            Format::Arrow => Box::new(columns::arrow(&file, name, mapping, meter)?),
            Format::Markdown => Box::new(std::iter::once(whole(&file, name, meter, markdown::read)?).map(Ok)),
            Format::Html => Box::new(std::iter::once(whole(&file, name, meter, html::read)?).map(Ok)),
            Format::Text if self.settings.text_lines => Box::new(plain::documents(&file, name, meter)?),
            Format::Text => {
                let plain = |text: &str| (String::new(), text.to_owned());
                Box::new(std::iter::once(whole(&file, name, meter, plain)?).map(Ok))
            }
        })
    }
}

impl Iterator for Documents {
    type Item = Result<Located<Document>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(next) = self.reading.as_mut().and_then(Iterator::next) {
                return Some(next);
            }
            // What a reader did not look at is done with as well.
            if self.bytes_total.is_some() {
                self.meter.set(self.bytes_done);
            }
            let source = self.sources.pop_front()?;
            self.bytes_done += source.bytes;
            match self.open(source) {
                Ok(reading) => self.reading = Some(reading),
                Err(error) => {
                    self.reading = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// A file that is one document.
fn whole(
    file: &Arc<Path>,
    name: String,
    meter: &Meter,
    read: fn(&str) -> (String, String),
) -> Result<Located<Document>, DataError> {
    let place = Place::file(file);
    let fail = |reason: Reason| DataError::new(place.clone(), reason);
    let input = source::open(file, meter).map_err(|error| fail(error.into()))?;
    let mut bytes = Vec::new();
    let mut input = input.take(RECORD_BYTES_MAX as u64 + 1);
    input
        .read_to_end(&mut bytes)
        .map_err(|error| fail(error.into()))?;
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(fail(Reason::TooLong {
            what: "a file",
            bytes_max: RECORD_BYTES_MAX,
        }));
    }
    let text = decode(bytes, true).map_err(|bad| {
        let line = bad.before.matches('\n').count() as u64 + 1;
        let column = bad.before.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
        DataError::new(Place::line(file, line), Reason::NotUtf8(bad.byte)).at_column(Some(column))
    })?;
    let (title, text) = read(&text);
    if text.trim().is_empty() {
        return Err(fail(Reason::NoText));
    }
    let id = DocumentId::new(name).map_err(|error| fail(error.into()))?;
    let value = Document {
        id,
        title,
        text,
        metadata: Metadata::new(),
    };
    Ok(Located { value, place })
}

#[cfg(test)]
#[path = "documents_tests.rs"]
mod tests;
