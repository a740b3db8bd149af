//! NPY 1.0, the file of one NumPy array, with a text file of ids beside it.
//!
//! ```text
//! \x93NUMPY  1 0  118 0  {'descr': '<f4', 'fortran_order': False, 'shape': (7, 384), }  spaces  \n   128 bytes
//! row 0: 384 little-endian float32, row 1: ...
//! ```
//!
//! The number of rows is known at the end only, so the header is written twice. Format:
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use super::VectorRows;
use crate::error::Reason;

/// Bytes of the header: a multiple of 64, as the format asks, with room for any shape of two numbers.
pub(super) const HEADER_BYTES: usize = 128;

/// The file of ids, one a line, that belongs to an NPY file: its path with `.ids` behind it.
pub fn ids_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".ids");
    PathBuf::from(name)
}

pub(super) fn header(rows: u64, dimension: usize) -> Vec<u8> {
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(HEADER_BYTES as u16 - 10).to_le_bytes());
    let shape = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dimension}), }}");
    header.extend_from_slice(shape.as_bytes());
    header.resize(HEADER_BYTES - 1, b' ');
    header.push(b'\n');
    header
}

pub(super) struct Sink {
    matrix: BufWriter<File>,
    ids: BufWriter<File>,
    dimension: usize,
    rows: u64,
}

impl Sink {
    pub(super) fn new(
        mut matrix: BufWriter<File>,
        ids: BufWriter<File>,
        dimension: usize,
    ) -> Result<Self, Reason> {
        matrix.write_all(&header(0, dimension))?;
        Ok(Self {
            matrix,
            ids,
            dimension,
            rows: 0,
        })
    }
}

impl super::Sink for Sink {
    fn write(&mut self, rows: &VectorRows) -> Result<(), Reason> {
        for id in &rows.ids {
            writeln!(self.ids, "{id}")?;
        }
        for value in &rows.values {
            self.matrix.write_all(&value.to_le_bytes())?;
        }
        self.rows += rows.len() as u64;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Reason> {
        self.ids.flush()?;
        self.matrix.rewind()?;
        self.matrix.write_all(&header(self.rows, self.dimension))?;
        Ok(self.matrix.flush()?)
    }
}
