//! The file of a segment's vectors.
//!
//! ```text
//! byte  0   8 bytes   "CLOZEVEC"
//! byte  8   u32       version, 2
//! byte 12   u32       dimension
//! byte 16   48 bytes  zeros, so that the rows start at a multiple of 64
//! byte 64   f32       row 0, value 0 to dimension - 1; then row 1; and so on, without gaps
//!           0..4      zeros up to a multiple of 8 (when rows and dimension are both odd)
//!           u32       number of rows
//!           u32       zero
//!           ...       checksums, as in every sealed file
//! ```
//! All numbers are little-endian. The number of rows stands at the end because it is known only there: the file
//! is written front to back in one pass.

use std::path::Path;

use crate::sealed::{Kind, Sealed, SealedWriter};
use crate::{VectorError, validate};

/// The greatest dimension of vectors.
pub const DIMENSION_MAX: usize = 65_536;

const KIND: Kind = Kind {
    mark: *b"CLOZEVEC",
    version: 2,
    name: "vectors",
};
const DIMENSION_OFFSET: usize = 12;
const ROWS_OFFSET: usize = 64;
/// Bytes between the rows and the checksums, without filling.
const FOOT_BYTES: usize = 8;

/// Writes the vectors of a segment, row by row.
///
/// The bytes go to a file named `path` with `.tmp` added. [`VectorsWriter::finish`] syncs it and renames it to
/// `path`; a writer dropped before that removes it. Syncing the folder is left to whoever commits the segment.
pub struct VectorsWriter {
    file: SealedWriter,
    dimension: usize,
    rows: u32,
    row_bytes: Vec<u8>,
}

impl VectorsWriter {
    /// Starts a file for vectors of `dimension` values.
    ///
    /// # Errors
    /// [`VectorError::Setting`] for a dimension outside `1..=DIMENSION_MAX`, [`VectorError::Io`].
    pub fn create(path: &Path, dimension: usize) -> Result<VectorsWriter, VectorError> {
        if !(1..=DIMENSION_MAX).contains(&dimension) {
            let accepted = format!("1 to {DIMENSION_MAX}");
            return Err(VectorError::Setting {
                field: "dimension",
                value: dimension as u64,
                accepted,
            });
        }
        let mut file = SealedWriter::create(path, KIND)?;
        file.write(&(dimension as u32).to_le_bytes())?;
        file.write(&[0; ROWS_OFFSET - DIMENSION_OFFSET - size_of::<u32>()])?;
        Ok(VectorsWriter {
            file,
            dimension,
            rows: 0,
            row_bytes: Vec::with_capacity(4 * dimension),
        })
    }

    /// Adds a row and returns its number. It is stored as it is.
    ///
    /// # Errors
    /// As for [`validate()`], [`VectorError::TooManyRows`], [`VectorError::Io`].
    pub fn push(&mut self, vector: &[f32]) -> Result<u32, VectorError> {
        validate(vector, self.dimension)?;
        let row = self.rows;
        self.rows = row
            .checked_add(1)
            .ok_or(VectorError::TooManyRows { limit: u32::MAX })?;
        self.row_bytes.clear();
        self.row_bytes.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
        self.file.write(&self.row_bytes)?;
        Ok(row)
    }

    /// Completes the file, syncs it, gives it its name and returns the number of rows.
    ///
    /// # Errors
    /// [`VectorError::Io`]; nothing has the name then.
    pub fn finish(mut self) -> Result<u32, VectorError> {
        self.file.align(8)?;
        self.file.write(&self.rows.to_le_bytes())?;
        self.file.write(&0_u32.to_le_bytes())?;
        self.file.finish()?;
        Ok(self.rows)
    }
}

/// The vectors of a segment, mapped into memory. Every row has the same dimension, finite values and a length of
/// 1 within [`crate::UNIT_LENGTH_TOLERANCE`], because nothing else was let in when the file was written.
#[derive(Debug)]
pub struct Vectors {
    file: Sealed,
    dimension: usize,
    rows: u32,
}

impl Vectors {
    /// Opens a file of [`VectorsWriter`]. Vectors are verified when they are first used, or by [`Vectors::verify`].
    ///
    /// The file must not be changed as long as the value lives; removing it is fine.
    ///
    /// # Errors
    /// Each names the file and the offset of what is wrong: [`VectorError::Io`], [`VectorError::Kind`],
    /// [`VectorError::Version`], [`VectorError::Length`], [`VectorError::Checksum`], [`VectorError::Field`].
    pub fn open(path: &Path) -> Result<Vectors, VectorError> {
        let file = Sealed::open(path, KIND)?;
        let content = file.content_bytes();
        file.expect_content_from((ROWS_OFFSET + FOOT_BYTES) as u64)?;
        file.expect_touched(0..ROWS_OFFSET)?;
        file.expect_touched(content - FOOT_BYTES..content)?;
        let dimension = file.u32_at(DIMENSION_OFFSET) as usize;
        if !(1..=DIMENSION_MAX).contains(&dimension) {
            let accepted = format!("1 to {DIMENSION_MAX}");
            return Err(file.field(DIMENSION_OFFSET, "dimension", dimension as u64, accepted));
        }
        let rows = file.u32_at(content - FOOT_BYTES);
        let values_bytes = u64::from(rows) * 4 * dimension as u64;
        file.expect_content(ROWS_OFFSET as u64 + values_bytes.next_multiple_of(8) + FOOT_BYTES as u64)?;
        Ok(Vectors {
            file,
            dimension,
            rows,
        })
    }

    /// Number of rows.
    pub fn len(&self) -> u32 {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Values per row.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The checksum of the file, which tells these vectors from any others.
    pub fn checksum(&self) -> u64 {
        self.file.checksum
    }

    /// The vector of a row.
    ///
    /// When the file is damaged there, the values may be any: ask [`Vectors::check`] before use is made of them.
    ///
    /// # Panics
    /// When `row` is not below [`Vectors::len`].
    #[inline]
    pub fn row(&self, row: u32) -> &[f32] {
        let bytes = 4 * self.dimension;
        let start = ROWS_OFFSET + row as usize * bytes;
        self.file.touch(start..start + bytes);
        let start = row as usize * self.dimension;
        &self.untouched()[start..start + self.dimension]
    }

    /// The vector of a row out of a file that may be damaged elsewhere.
    ///
    /// # Errors
    /// [`VectorError::Checksum`] when it is damaged there.
    ///
    /// # Panics
    /// When `row` is not below [`Vectors::len`].
    pub fn intact(&self, row: u32) -> Result<&[f32], VectorError> {
        let bytes = 4 * self.dimension;
        let start = ROWS_OFFSET + row as usize * bytes;
        self.file.expect_intact(start..start + bytes)?;
        let start = row as usize * self.dimension;
        Ok(&self.untouched()[start..start + self.dimension])
    }

    /// All rows, one after the other; as for [`Vectors::row`].
    pub(crate) fn values(&self) -> &[f32] {
        self.file.touch(0..self.file.content_bytes());
        self.untouched()
    }

    fn untouched(&self) -> &[f32] {
        let bytes = 4 * self.dimension * self.rows as usize;
        self.file.map.f32s(ROWS_OFFSET..ROWS_OFFSET + bytes)
    }

    /// Refuses vectors of which a damaged part was read.
    ///
    /// # Errors
    /// [`VectorError::Checksum`].
    pub fn check(&self) -> Result<(), VectorError> {
        self.file.check()
    }

    /// Verifies the whole file.
    ///
    /// # Errors
    /// [`VectorError::Checksum`].
    pub fn verify(&self) -> Result<(), VectorError> {
        self.file.verify()
    }
}
