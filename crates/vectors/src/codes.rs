//! The file of a segment's vectors in 8 and 16 bits, along which a graph is built and walked.
//!
//! ```text
//! byte  0   8 bytes   "CLOZECOD"
//! byte  8   u32       version, 1
//! byte 12   u32       dimension
//! byte 16   u32       number of rows
//! byte 20   u32       zero
//! byte 24   u64       checksum of the vectors' file
//! byte 32             zeros up to a multiple of 64
//!           f32 ...   the scale of each row, zeros up to a multiple of 64
//!           u8 ...    the high plane: of each row as many bytes as it has values, 128s up to a multiple of 64
//!           u8 ...    the low plane, likewise
//!           ...       checksums, as in every sealed file
//! ```
//! All numbers are little-endian. [`kernels::ByteRows`] says what scales and planes mean.

use std::ops::Range;
use std::path::Path;

use kernels::{ByteQuery, ByteRows};

use crate::sealed::{Kind, Sealed, SealedWriter};
use crate::{DIMENSION_MAX, Neighbour, VectorError, Vectors};

const KIND: Kind = Kind {
    mark: *b"CLOZECOD",
    version: 1,
    name: "codes",
};
const DIMENSION_OFFSET: usize = 12;
const ROWS_OFFSET: usize = 16;
const VECTORS_OFFSET: usize = 24;
const SCALES_OFFSET: usize = 64;
/// What sections start at multiples of.
const ALIGNMENT: usize = 64;

/// The vectors of a segment in fewer bits, mapped into memory.
#[derive(Debug)]
pub struct Codes {
    file: Sealed,
    dimension: usize,
    vectors_checksum: u64,
    scales: Range<usize>,
    high: Range<usize>,
    low: Range<usize>,
}

impl Codes {
    /// Rounds vectors and writes a file of them: beside `path` first, synced, then renamed.
    ///
    /// # Errors
    /// [`VectorError::Io`]; nothing has the name then. [`VectorError::Checksum`] when the vectors are damaged.
    pub fn write(vectors: &Vectors, path: &Path) -> Result<(), VectorError> {
        vectors.verify()?;
        let mut file = SealedWriter::create(path, KIND)?;
        file.write(&(vectors.dimension() as u32).to_le_bytes())?;
        file.write(&vectors.len().to_le_bytes())?;
        file.write(&[0; 4])?;
        file.write(&vectors.checksum().to_le_bytes())?;
        file.align(ALIGNMENT)?;
        let width = ByteRows::width(vectors.dimension());
        let (mut high, mut low) = (vec![0; width], vec![0; width]);
        for section in 0..3 {
            for row in 0..vectors.len() {
                let scale = ByteRows::round(vectors.row(row), &mut high, &mut low);
                match section {
                    0 => file.write(&scale.to_le_bytes())?,
                    1 => file.write(&high)?,
                    _ => file.write(&low)?,
                }
            }
            file.align(ALIGNMENT)?;
        }
        file.finish()
    }

    /// Opens a file of [`Codes::write`]. Codes are verified when they are first used, or by [`Codes::verify`].
    ///
    /// The file must not be changed as long as the value lives; removing it is fine.
    ///
    /// # Errors
    /// Each names the file and the offset of what is wrong: [`VectorError::Io`], [`VectorError::Kind`],
    /// [`VectorError::Version`], [`VectorError::Length`], [`VectorError::Checksum`], [`VectorError::Field`].
    pub fn open(path: &Path) -> Result<Codes, VectorError> {
        let file = Sealed::open(path, KIND)?;
        file.expect_content_from(SCALES_OFFSET as u64)?;
        file.expect_touched(0..SCALES_OFFSET)?;
        let dimension = file.u32_at(DIMENSION_OFFSET) as usize;
        if !(1..=DIMENSION_MAX).contains(&dimension) {
            let accepted = format!("1 to {DIMENSION_MAX}");
            return Err(file.field(DIMENSION_OFFSET, "dimension", dimension as u64, accepted));
        }
        let rows = file.u32_at(ROWS_OFFSET) as usize;
        let plane = rows * ByteRows::width(dimension);
        let scales = SCALES_OFFSET..SCALES_OFFSET + 4 * rows;
        let high = scales.end.next_multiple_of(ALIGNMENT)..scales.end.next_multiple_of(ALIGNMENT) + plane;
        let low = high.end..high.end + plane;
        file.expect_content(low.end as u64)?;
        Ok(Codes {
            dimension,
            vectors_checksum: file.u64_at(VECTORS_OFFSET),
            scales,
            high,
            low,
            file,
        })
    }

    /// Number of rows.
    pub fn len(&self) -> u32 {
        (self.scales.len() / 4) as u32
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The checksum of the file.
    pub fn checksum(&self) -> u64 {
        self.file.checksum
    }

    /// [`Vectors::checksum`] of the vectors that were rounded.
    pub fn vectors_checksum(&self) -> u64 {
        self.vectors_checksum
    }

    /// Refuses codes of which a damaged part was read.
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

    /// Whether they are those of these vectors.
    pub(crate) fn expect_of(&self, vectors: &Vectors) -> Result<(), VectorError> {
        if self.vectors_checksum == vectors.checksum() && self.len() == vectors.len() {
            return Ok(());
        }
        Err(VectorError::OtherVectors {
            built_from: self.vectors_checksum,
            given: vectors.checksum(),
        })
    }

    /// All rows. [`Codes::touch`] those that are used, and in the end [`Codes::check`].
    pub(crate) fn rows(&self) -> ByteRows<'_> {
        let map = &self.file.map;
        ByteRows::new(
            self.dimension,
            map.f32s(self.scales.clone()),
            &map.bytes()[self.high.clone()],
            &map.bytes()[self.low.clone()],
        )
    }

    /// The best `k` of some rows, in the order of their scores in 16 bits.
    pub(crate) fn closest(
        &self,
        query: &ByteQuery,
        rows: Vec<u32>,
        k: usize,
        dots: &mut Vec<f32>,
    ) -> Result<Vec<Neighbour>, VectorError> {
        for &row in &rows {
            self.touch_low(row);
        }
        self.rows().close_dots(query, &rows, dots);
        let scored = rows.iter().zip(dots.iter());
        let mut near: Vec<Neighbour> = scored.map(|(&row, &score)| Neighbour { row, score }).collect();
        near.sort_unstable();
        near.truncate(k);
        self.check()?;
        Ok(near)
    }

    /// Verifies what 8 bits of a row take, when that was not done before.
    #[inline]
    pub(crate) fn touch(&self, row: u32) {
        self.touch_in(&self.high, row);
        let scale = self.scales.start + 4 * row as usize;
        self.file.touch(scale..scale + 4);
    }

    /// Verifies what 16 bits of a row take beyond that.
    #[inline]
    pub(crate) fn touch_low(&self, row: u32) {
        self.touch_in(&self.low, row);
    }

    #[inline]
    fn touch_in(&self, plane: &Range<usize>, row: u32) {
        let width = ByteRows::width(self.dimension);
        let start = plane.start + row as usize * width;
        self.file.touch(start..start + width);
    }
}
