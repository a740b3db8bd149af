//! Read-only memory maps of files that never change.
#![allow(
    unsafe_code,
    reason = "a memory map is a promise about a file that the compiler cannot check"
)]

use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use corpus::StoreError;
use memmap2::Mmap;

use crate::disk;
use crate::error::damaged;

/// The bytes of a file.
#[derive(Debug)]
pub(crate) struct Map {
    path: PathBuf,
    bytes: Mmap,
    /// Bytes of the content: all but mark and version.
    len: usize,
}

impl Map {
    /// Maps a whole file, whose mark and version are checked and left out. Files of a segment are never changed, only unlinked, and an unlinked file keeps its
    /// bytes until the last map is gone.
    pub(crate) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let io = |e| StoreError::io(&path, e);
        let file = File::open(&path).map_err(io)?;
        // SAFETY: files of a segment are never changed (see above); this is the one thing a map asks for.
        let bytes = unsafe { Mmap::map(&file) }.map_err(io)?;
        let len = disk::content(&path, &bytes)?.len();
        Ok(Self { path, bytes, len })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The `N` bytes at an offset.
    pub(crate) fn array<const N: usize>(&self, offset: usize) -> Result<[u8; N], StoreError> {
        let found = offset.checked_add(N).and_then(|end| self.get(offset..end));
        found.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
            damaged(
                &self.path,
                format!("byte {offset}: the file ends after {} bytes", self.len()),
            )
        })
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
