//! Finished parts into the output, and the output under its name.

use std::fs;
use std::path::{Path, PathBuf};

use data::{VectorFormat, VectorSchema, VectorWriter, ids_path, read_vectors};
use launch::Interrupt;

use super::error::{OutputError, io_error};
use super::parts::{Parts, sync_folder};
use super::state::Checksum;

/// The output before it has its name; a sibling of the parts, so that it can be renamed.
const DRAFT: &str = "joined";

/// Whether a file in the folder of parts is an output before it has its name.
pub(super) fn is_draft(name: &str) -> bool {
    name == DRAFT || Path::new(name) == ids_path(Path::new(DRAFT))
}

/// Writes all parts into one file and gives it its name, which replaces what was there; then the parts go.
/// Returns false, and leaves everything for a later run, when it is interrupted.
pub(super) fn join(
    parts: Parts,
    output: &Path,
    format: VectorFormat,
    schema: &VectorSchema,
    interrupt: &Interrupt,
) -> Result<bool, OutputError> {
    let draft = parts.folder().join(DRAFT);
    let mut writer = VectorWriter::create(&draft, format, schema)?;
    for part in 0..parts.finished().len() {
        if interrupt.is_raised() {
            return Ok(false);
        }
        copy(&parts, part, &mut writer)?;
    }
    writer.finish()?;
    publish(&draft, output, format)?;
    parts.remove()?;
    Ok(true)
}

/// Writes the rows of one part, and checks that they are those that were put into it.
fn copy(parts: &Parts, part: usize, writer: &mut VectorWriter) -> Result<(), OutputError> {
    let path = parts.file(part);
    let mut checksum = Checksum::default();
    for rows in read_vectors(&path)? {
        let rows = rows?;
        checksum.add(&rows);
        writer.write(&rows)?;
    }
    match checksum.hex() == parts.finished()[part].checksum {
        true => Ok(()),
        false => Err(OutputError::Damaged {
            path,
            reason: "its ids and vectors are not those that were written".to_owned(),
        }),
    }
}

/// Renames the draft. Of two files the one that is asked for comes last, and never stands beside ids of another.
fn publish(draft: &Path, output: &Path, format: VectorFormat) -> Result<(), OutputError> {
    if format == VectorFormat::Npy {
        if output.exists() {
            fs::remove_file(output).map_err(io_error(output))?;
        }
        rename(&ids_path(draft), &ids_path(output))?;
    }
    rename(draft, output)?;
    sync_folder(&folder_of(output))
}

fn rename(from: &Path, to: &Path) -> Result<(), OutputError> {
    fs::rename(from, to).map_err(io_error(to))
}

fn folder_of(output: &Path) -> PathBuf {
    match output.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
