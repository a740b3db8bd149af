//! Readers of the usual file formats into typed records, and writers of vectors.
//!
//! [`documents()`] turns files, folders and the standard input into one stream of [`corpus::Document`]s that never
//! holds more than one record (or batch of rows) in memory. Every error names file, line and column where the
//! format has them, and reading goes on with the next record: whoever reads decides whether to stop.
//! [`beir`], [`trec`], [`squad`] and [`pairs`] read the forms that training and evaluation use.
//! [`VectorWriter`] and [`PassageWriter`] are the way out: vectors and passages in formats that other tools read.

pub mod beir;
mod columns;
mod documents;
mod error;
mod html;
pub mod jsonl;
mod lines;
mod mapping;
mod markdown;
pub mod pairs;
mod passage_file;
mod plain;
mod source;
pub mod squad;
mod table;
pub mod trec;
mod vector_file;

pub use documents::{Documents, Format, ReadSettings, documents};
pub use error::{DataError, Located, Place, Reason};
pub use html::read as html_text;
pub use lines::{Lines, RECORD_BYTES_MAX};
pub use mapping::Mapping;
pub use markdown::read as markdown_text;
pub use passage_file::{PassageRow, PassageWriter};
pub use source::Meter;
pub use vector_file::{
    VectorBatches, VectorFormat, VectorRows, VectorSchema, VectorWriter, ids_path, read_vectors,
};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use std::path::PathBuf;

    use super::*;

    /// A file in a folder of its own, which goes when the first value is dropped.
    pub(crate) fn write(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    /// What is read from a file: `line id` of each document, and of each error what follows the file name.
    pub(crate) fn read(name: &str, bytes: &[u8], format: Format, mapping: Mapping) -> Vec<String> {
        let (_folder, path) = write(name, bytes);
        let settings = ReadSettings {
            format: Some(format),
            mapping,
            ..ReadSettings::default()
        };
        let show = |read: Result<Located<corpus::Document>, DataError>| match read {
            Ok(Located { value, place }) => {
                format!(
                    "{} {}",
                    place.line.map(|line| line.to_string()).unwrap_or_default(),
                    value.id
                )
            }
            Err(error) => {
                let text = error.to_string();
                let rest = text.split_once(name).unwrap().1;
                rest.strip_prefix(':')
                    .filter(|rest| !rest.starts_with(' '))
                    .unwrap_or(rest)
                    .to_owned()
            }
        };
        documents(&[path], &settings).unwrap().map(show).collect()
    }
}
