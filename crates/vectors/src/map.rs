//! Read-only memory maps of files that never change, and views of their numbers.
#![allow(
    unsafe_code,
    reason = "a memory map is a promise about a file that the compiler cannot check"
)]

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;

use crate::VectorError;

#[cfg(target_endian = "big")]
compile_error!("the files hold little-endian numbers, which are used in place");

/// The bytes of a file. The first one stands at the start of a page, so offsets are alignments.
#[derive(Debug)]
pub(crate) struct Map(Mmap);

impl Map {
    /// Maps a whole file.
    ///
    /// The file must not be changed while the map lives. Files of a segment are never changed after their rename,
    /// only unlinked, and an unlinked file keeps its bytes until the last map is gone.
    pub(crate) fn open(path: &Path) -> Result<Map, VectorError> {
        let io = |source| VectorError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        // SAFETY: committed files are never changed (see above); this is the one thing a map asks for.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Ok(Map(map))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The numbers in these bytes; both ends must be multiples of 4.
    pub(crate) fn f32s(&self, bytes: Range<usize>) -> &[f32] {
        // SAFETY: every pattern of 32 bits is an `f32`.
        unsafe { numbers(&self.0[bytes]) }
    }

    /// The numbers in these bytes; both ends must be multiples of 4.
    pub(crate) fn u32s(&self, bytes: Range<usize>) -> &[u32] {
        // SAFETY: every pattern of 32 bits is a `u32`.
        unsafe { numbers(&self.0[bytes]) }
    }

    /// The numbers in these bytes; both ends must be multiples of 8.
    pub(crate) fn u64s(&self, bytes: Range<usize>) -> &[u64] {
        // SAFETY: every pattern of 64 bits is a `u64`.
        unsafe { numbers(&self.0[bytes]) }
    }
}

/// # Safety
/// Every pattern of bits must be a value of `T`.
unsafe fn numbers<T>(bytes: &[u8]) -> &[T] {
    // SAFETY: the caller's promise; alignment and size are seen to by `align_to`.
    let (before, numbers, after) = unsafe { bytes.align_to::<T>() };
    assert!(
        before.is_empty() && after.is_empty(),
        "sections of a file are aligned to their numbers"
    );
    numbers
}
