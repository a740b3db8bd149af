//! The file of records that were not accepted: JSON Lines with `file`, `line`, `column`, `reason` and `raw`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use corpus::Document;
use data::Place;
use serde::Serialize;

use crate::failure::Cause;

/// Writes rejected records to a file.
#[derive(Debug)]
pub struct Rejects {
    path: PathBuf,
    output: BufWriter<File>,
}

#[derive(Serialize)]
struct Line<'a> {
    file: String,
    line: Option<u64>,
    column: Option<u64>,
    reason: String,
    raw: Option<&'a str>,
}

impl Rejects {
    /// Creates the file; one that is there is overwritten.
    ///
    /// # Errors
    /// [`Cause::Rejects`].
    pub fn create(path: &Path) -> Result<Self, Cause> {
        match File::create(path) {
            Ok(file) => Ok(Self {
                path: path.to_owned(),
                output: BufWriter::new(file),
            }),
            Err(source) => Err(Cause::Rejects {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Writes a record down; `document` where it could be read as one.
    pub(crate) fn write(&mut self, cause: &Cause, document: Option<&Document>) -> Result<(), Cause> {
        let written = document.and_then(|document| serde_json::to_string(document).ok());
        let line = |place: &Place, reason: String| Line {
            file: place.file.display().to_string(),
            line: place.line,
            column: None,
            reason,
            raw: written.as_deref(),
        };
        let line = match cause {
            Cause::Data(error) => Line {
                column: error.column,
                raw: error.raw.as_deref(),
                ..line(&error.place, error.reason.to_string())
            },
            Cause::Duplicate { second, first, .. } => {
                line(second, format!("the document id was given before, at {first}"))
            }
            Cause::Document { place, reason } => line(place, reason.to_string()),
            Cause::Refused { place, reason } => line(place, reason.clone()),
            _ => return Ok(()),
        };
        let written = serde_json::to_writer(&mut self.output, &line).map_err(std::io::Error::from);
        written
            .and_then(|()| self.output.write_all(b"\n"))
            .and_then(|()| self.output.flush())
            .map_err(|source| Cause::Rejects {
                path: self.path.clone(),
                source,
            })
    }
}
