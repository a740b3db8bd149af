//! Labelled texts out of TSV and JSON Lines, as tokens.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::{Map, Value};
use text::Tokenizer;

use super::ClassifyData;
use super::recipe::LabelKind;
use crate::error::{Error, Result};
use crate::labels::Labels;

/// A line of a file: its texts and its label as they stand there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// The text.
    text: String,
    /// The second text, of a pair.
    pair: Option<String>,
    /// The label.
    pub(super) label: String,
    /// The file, as a number in the order of reading.
    file: usize,
    /// The line, from 1.
    line: usize,
}

/// A text or pair with its label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Example {
    /// Token ids.
    pub(super) ids: Vec<u32>,
    /// Segment ids.
    pub(super) types: Vec<u32>,
    /// The number of the label, or the number that is the label.
    pub(super) label: f32,
    /// File, as a number, and line.
    pub(super) place: (usize, usize),
}

/// Reads the rows of files.
///
/// # Errors
/// A file that cannot be read, has no rows or not the columns that the recipe names.
pub(super) fn rows(paths: &[PathBuf], data: &ClassifyData) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (file, path) in paths.iter().enumerate() {
        let before = rows.len();
        let name = path.to_string_lossy();
        if name.contains(".jsonl") {
            json_rows(file, path, data, &mut rows)?;
        } else {
            table_rows(file, path, data, &mut rows)?;
        }
        if rows.len() == before {
            return Err(Error::Empty {
                path: path.clone(),
                what: "labelled texts",
            });
        }
    }
    Ok(rows)
}

fn json_rows(file: usize, path: &Path, data: &ClassifyData, rows: &mut Vec<Row>) -> Result<()> {
    for record in data::jsonl::records::<Map<String, Value>>(path)? {
        let data::Located { value, place } = record?;
        let line = place.line.unwrap_or_default() as usize;
        let cell = |key: &String| {
            let found = match value.get(key) {
                Some(Value::String(text)) => Ok(text.clone()),
                Some(other @ (Value::Number(_) | Value::Bool(_))) => Ok(other.to_string()),
                Some(other) => Err(format!("{key} is {other}; accepted: a text or a number")),
                None => Err(missing(key, value.keys())),
            };
            found.map_err(|reason| refuse(path, line, reason))
        };
        rows.push(Row {
            text: cell(&data.text)?,
            pair: data.pair.as_ref().map(&cell).transpose()?,
            label: cell(&data.label)?,
            file,
            line,
        });
    }
    Ok(())
}

fn table_rows(file: usize, path: &Path, data: &ClassifyData, rows: &mut Vec<Row>) -> Result<()> {
    let mut lines = data::Lines::open(path)?;
    let (line, names) = match &data.columns {
        Some(columns) => (1, columns.clone()),
        None => match lines.next().transpose()? {
            Some((line, header)) => (line as usize, header.split('\t').map(str::to_owned).collect()),
            None => return Ok(()),
        },
    };
    let column = |name: &String| {
        let found = names.iter().position(|known| known == name);
        found.ok_or_else(|| refuse(path, line, missing(name, names.iter())))
    };
    let (text, label) = (column(&data.text)?, column(&data.label)?);
    let pair = data.pair.as_ref().map(column).transpose()?;
    for line in lines {
        let (line, row) = line?;
        let cells: Vec<&str> = row.split('\t').collect();
        let (fits, wanted) = match &data.columns {
            Some(_) => (cells.len() >= names.len(), "or more, those of data.columns"),
            None => (cells.len() == names.len(), "as many as the first line names"),
        };
        if !fits {
            let reason = format!("{} columns; accepted: {}, {wanted}", cells.len(), names.len());
            return Err(refuse(path, line as usize, reason));
        }
        rows.push(Row {
            text: cells[text].to_owned(),
            pair: pair.map(|column| cells[column].to_owned()),
            label: cells[label].to_owned(),
            file,
            line: line as usize,
        });
    }
    Ok(())
}

fn missing(name: &str, present: impl Iterator<Item = impl AsRef<str>>) -> String {
    let present: Vec<String> = present.map(|name| name.as_ref().to_owned()).collect();
    format!(
        "no column {name:?}; accepted in data.text, data.pair and data.label: {}",
        present.join(", ")
    )
}

fn refuse(path: &Path, line: usize, reason: String) -> Error {
    Error::Line {
        path: path.to_owned(),
        line,
        reason,
    }
}

/// Rows as tokens and numbers.
///
/// # Errors
/// A label that is not among the labels, or no number where numbers are wanted.
pub(super) fn examples(
    rows: &[Row],
    paths: &[PathBuf],
    data: &ClassifyData,
    labels: &Labels,
    tokenizer: &Tokenizer,
) -> Result<Vec<Example>> {
    let frame = tokenizer.pair_frame()?;
    let example = |row: &Row| {
        let label = label(row, data.kind, labels).map_err(|r| refuse(&paths[row.file], row.line, r))?;
        let (ids, types) = match &row.pair {
            Some(pair) => {
                let (first, second) = (tokenizer.bare_ids(&row.text)?, tokenizer.bare_ids(pair)?);
                let pair = frame.join(&first, &second, data.tokens)?;
                (pair.ids, pair.type_ids)
            }
            None => {
                let ids = tokenizer.ids(&row.text, data.tokens)?;
                (ids.clone(), vec![0; ids.len()])
            }
        };
        Ok(Example {
            ids,
            types,
            label,
            place: (row.file, row.line),
        })
    };
    rows.par_iter().map(example).collect()
}

fn label(row: &Row, kind: LabelKind, labels: &Labels) -> std::result::Result<f32, String> {
    match kind {
        LabelKind::Class => {
            let number = labels.number(&row.label).map(|number| number as f32);
            number.ok_or_else(|| format!("label {:?}; accepted: {}", row.label, labels.shown()))
        }
        LabelKind::Number => {
            let number = row
                .label
                .trim()
                .parse()
                .ok()
                .filter(|number: &f32| number.is_finite());
            number.ok_or_else(|| {
                format!(
                    "label {:?}; accepted with kind = \"number\": a finite number",
                    row.label
                )
            })
        }
    }
}
