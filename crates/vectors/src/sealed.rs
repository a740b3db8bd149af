//! Files that are written once, front to back, and carry a checksum of every block.
//!
//! ```text
//! byte  0   8 bytes   mark of the kind of file
//! byte  8   u32       version of the format
//!           ...       what that kind of file holds: with mark and version, the content
//!           u64 ...   XXH3-64, seed 0, of each block of 65,536 bytes of the content
//! end - 16  u64       bytes of the content
//! end - 8   u64       XXH3-64, seed 0, of all bytes after the content: the seal
//! ```
//! All numbers are little-endian. The seal stands for the whole file and is verified when it is opened, which reads
//! one byte in 8,192; a block is verified when it is first used.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::VectorError;
use crate::map::Map;

/// Where the version stands.
const VERSION_OFFSET: usize = 8;
/// Bytes of mark and version together.
const START_BYTES: usize = 12;
/// Bytes of a checksum.
const CHECKSUM_BYTES: usize = 8;
/// Bytes after the checksums of the blocks: length of the content, and seal.
const END_BYTES: usize = 16;
/// Bytes of a block.
const BLOCK_BYTES: usize = 1 << 16;

/// A kind of file: its mark, its version and what it is called in errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) mark: [u8; 8],
    pub(crate) version: u32,
    pub(crate) name: &'static str,
}

/// Writes beside `path`, as `path` with `.tmp` added, and renames when all bytes are on disk.
pub(crate) struct SealedWriter {
    path: PathBuf,
    path_tmp: PathBuf,
    file: BufWriter<File>,
    /// Of the block that is being written.
    checksum: Xxh3,
    /// Bytes so far.
    content_bytes: usize,
    /// Checksums of the blocks before.
    checksums: Vec<u8>,
    written: bool,
}

impl SealedWriter {
    pub(crate) fn create(path: &Path, kind: Kind) -> Result<SealedWriter, VectorError> {
        let mut path_tmp = path.as_os_str().to_owned();
        path_tmp.push(".tmp");
        let path_tmp = PathBuf::from(path_tmp);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path_tmp);
        let file = file.map_err(|source| VectorError::Io {
            path: path_tmp.clone(),
            source,
        })?;
        let mut writer = SealedWriter {
            path: path.to_owned(),
            path_tmp,
            file: BufWriter::with_capacity(1 << 20, file),
            checksum: Xxh3::new(),
            content_bytes: 0,
            checksums: Vec::new(),
            written: false,
        };
        writer.write(&kind.mark)?;
        writer.write(&kind.version.to_le_bytes())?;
        Ok(writer)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), VectorError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let left_in_block = BLOCK_BYTES - self.content_bytes % BLOCK_BYTES;
            let (piece, later) = rest.split_at(rest.len().min(left_in_block));
            self.checksum.update(piece);
            self.content_bytes += piece.len();
            if self.content_bytes.is_multiple_of(BLOCK_BYTES) {
                self.end_block();
            }
            rest = later;
        }
        self.file.write_all(bytes).map_err(|source| VectorError::Io {
            path: self.path_tmp.clone(),
            source,
        })
    }

    /// Writes zeros up to a multiple of some bytes.
    pub(crate) fn align(&mut self, bytes: usize) -> Result<(), VectorError> {
        let zeros = self.content_bytes.next_multiple_of(bytes) - self.content_bytes;
        self.write(&vec![0; zeros])
    }

    fn end_block(&mut self) {
        self.checksums
            .extend_from_slice(&self.checksum.digest().to_le_bytes());
        self.checksum.reset();
    }

    /// Adds the checksums, waits until the disk has all bytes, and gives the file its name. The name itself is on
    /// disk when its folder is synced, which is a matter of the commit that makes the file visible.
    pub(crate) fn finish(mut self) -> Result<(), VectorError> {
        if !self.content_bytes.is_multiple_of(BLOCK_BYTES) {
            self.end_block();
        }
        let mut end = std::mem::take(&mut self.checksums);
        end.extend_from_slice(&(self.content_bytes as u64).to_le_bytes());
        end.extend_from_slice(&xxh3_64(&end).to_le_bytes());
        let tmp = |source| VectorError::Io {
            path: self.path_tmp.clone(),
            source,
        };
        self.file.write_all(&end).map_err(tmp)?;
        self.file.flush().map_err(tmp)?;
        let synced = self.file.get_ref().sync_all();
        synced.map_err(|source| VectorError::Sync {
            path: self.path_tmp.clone(),
            source,
        })?;
        fs::rename(&self.path_tmp, &self.path).map_err(|source| VectorError::Io {
            path: self.path.clone(),
            source,
        })?;
        self.written = true;
        Ok(())
    }
}

impl Drop for SealedWriter {
    /// What was not finished is taken away again; if that fails, a stray file is all that is left.
    fn drop(&mut self) {
        if !self.written {
            let _ = fs::remove_file(&self.path_tmp);
        }
    }
}

/// A mapped file whose mark, version and seal were right.
///
/// Its content is verified block by block, by [`Sealed::touch`] of what is about to be read. A block that is damaged
/// can be read like any other, but is remembered: what was made of it must not be given to anyone before
/// [`Sealed::check`].
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) path: PathBuf,
    pub(crate) map: Map,
    /// The seal, which tells the file from all others.
    pub(crate) checksum: u64,
    content_bytes: usize,
    /// A bit for each block that was verified.
    verified: Vec<AtomicU64>,
    /// Blocks that were not.
    left: AtomicUsize,
    /// One more than the number of a damaged block; 0 while none was met.
    damaged: AtomicUsize,
}

impl Sealed {
    pub(crate) fn open(path: &Path, kind: Kind) -> Result<Sealed, VectorError> {
        let map = Map::open(path)?;
        let bytes = map.bytes();
        let length = |expected: usize| VectorError::Length {
            path: path.to_owned(),
            offset: bytes.len().min(expected) as u64,
            expected: expected as u64,
            found: bytes.len() as u64,
        };
        if bytes.len() < START_BYTES + CHECKSUM_BYTES + END_BYTES {
            return Err(length(START_BYTES + CHECKSUM_BYTES + END_BYTES));
        }
        if bytes[..VERSION_OFFSET] != kind.mark {
            let found = array(bytes, 0);
            return Err(VectorError::Kind {
                path: path.to_owned(),
                kind: kind.name,
                found,
            });
        }
        let version = u32::from_le_bytes(array(bytes, VERSION_OFFSET));
        if version != kind.version {
            return Err(VectorError::Version {
                path: path.to_owned(),
                offset: VERSION_OFFSET as u64,
                found: version,
                supported: kind.version,
            });
        }
        let seal_offset = bytes.len() - CHECKSUM_BYTES;
        let content = u64::from_le_bytes(array(bytes, bytes.len() - END_BYTES));
        let content_bytes = usize::try_from(content).unwrap_or(usize::MAX);
        let blocks = content_bytes.div_ceil(BLOCK_BYTES);
        let expected = content_bytes.saturating_add(blocks * CHECKSUM_BYTES + END_BYTES);
        if expected != bytes.len() {
            return Err(length(expected));
        }
        let stored = u64::from_le_bytes(array(bytes, seal_offset));
        let computed = xxh3_64(&bytes[content_bytes..seal_offset]);
        if stored != computed {
            return Err(VectorError::Checksum {
                path: path.to_owned(),
                offset: seal_offset as u64,
                stored,
                computed,
            });
        }
        let file = Sealed {
            path: path.to_owned(),
            map,
            checksum: stored,
            content_bytes,
            verified: (0..blocks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            left: AtomicUsize::new(blocks),
            damaged: AtomicUsize::new(0),
        };
        file.expect_touched(0..START_BYTES)?;
        Ok(file)
    }

    /// Verifies the blocks of some bytes of the content that were not verified before.
    #[inline]
    pub(crate) fn touch(&self, bytes: Range<usize>) {
        if self.left.load(Ordering::Relaxed) > 0 {
            self.touch_blocks(bytes);
        }
    }

    #[inline(never)]
    fn touch_blocks(&self, bytes: Range<usize>) {
        for block in bytes.start / BLOCK_BYTES..bytes.end.div_ceil(BLOCK_BYTES) {
            let bit = 1 << (block % 64);
            if self.verified[block / 64].load(Ordering::Relaxed) & bit == 0 {
                let (stored, computed) = self.checksums(block);
                if stored != computed {
                    self.damaged.store(block + 1, Ordering::Relaxed);
                } else if self.verified[block / 64].fetch_or(bit, Ordering::Relaxed) & bit == 0 {
                    self.left.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Refuses some bytes of the content when their blocks are damaged, whatever the others are.
    pub(crate) fn expect_intact(&self, bytes: Range<usize>) -> Result<(), VectorError> {
        let mut blocks = bytes.start / BLOCK_BYTES..bytes.end.div_ceil(BLOCK_BYTES);
        let damaged = blocks.find(|&block| {
            let (stored, computed) = self.checksums(block);
            stored != computed
        });
        damaged.map_or(Ok(()), |block| Err(self.damage(block)))
    }

    /// The checksum of a block that the file has, and that of its bytes.
    fn checksums(&self, block: usize) -> (u64, u64) {
        let bytes = self.map.bytes();
        let start = block * BLOCK_BYTES;
        let end = self.content_bytes.min(start + BLOCK_BYTES);
        let stored = u64::from_le_bytes(array(bytes, self.content_bytes + block * CHECKSUM_BYTES));
        (stored, xxh3_64(&bytes[start..end]))
    }

    /// Refuses a file of which a damaged block was met.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), VectorError> {
        match self.damaged.load(Ordering::Relaxed) {
            0 => Ok(()),
            block => Err(self.damage(block - 1)),
        }
    }

    #[cold]
    fn damage(&self, block: usize) -> VectorError {
        let (stored, computed) = self.checksums(block);
        VectorError::Checksum {
            path: self.path.clone(),
            offset: (block * BLOCK_BYTES) as u64,
            stored,
            computed,
        }
    }

    /// [`Sealed::touch`], then [`Sealed::check`].
    pub(crate) fn expect_touched(&self, bytes: Range<usize>) -> Result<(), VectorError> {
        self.touch(bytes.start..bytes.end.min(self.content_bytes));
        self.check()
    }

    /// Verifies all content.
    pub(crate) fn verify(&self) -> Result<(), VectorError> {
        self.expect_touched(0..self.content_bytes)
    }

    /// Bytes before the checksums.
    pub(crate) fn content_bytes(&self) -> usize {
        self.content_bytes
    }

    /// The number at an offset, which must lie inside the content.
    pub(crate) fn u32_at(&self, offset: usize) -> u32 {
        u32::from_le_bytes(array(self.map.bytes(), offset))
    }

    /// The number at an offset, which must lie inside the content.
    pub(crate) fn u64_at(&self, offset: usize) -> u64 {
        u64::from_le_bytes(array(self.map.bytes(), offset))
    }

    /// Refuses a file whose content is shorter than this.
    pub(crate) fn expect_content_from(&self, least: u64) -> Result<(), VectorError> {
        self.expect_content(least.max(self.content_bytes() as u64))
    }

    /// Refuses a file whose content does not have this length.
    pub(crate) fn expect_content(&self, expected: u64) -> Result<(), VectorError> {
        let found = self.content_bytes as u64;
        if found == expected {
            return Ok(());
        }
        Err(VectorError::Length {
            path: self.path.clone(),
            offset: found.min(expected),
            expected,
            found,
        })
    }

    /// An error for the number at an offset.
    pub(crate) fn field(
        &self,
        offset: usize,
        field: &'static str,
        value: u64,
        accepted: String,
    ) -> VectorError {
        VectorError::Field {
            path: self.path.clone(),
            offset: offset as u64,
            field,
            value,
            accepted,
        }
    }
}

/// The seal of a file: the number that tells it from all others, without looking at its content.
///
/// # Errors
/// [`VectorError::Io`], [`VectorError::Length`].
pub fn seal(path: &Path) -> Result<u64, VectorError> {
    let map = Map::open(path)?;
    let bytes = map.bytes();
    let least = START_BYTES + CHECKSUM_BYTES + END_BYTES;
    if bytes.len() < least {
        return Err(VectorError::Length {
            path: path.to_owned(),
            offset: bytes.len() as u64,
            expected: least as u64,
            found: bytes.len() as u64,
        });
    }
    Ok(u64::from_le_bytes(array(bytes, bytes.len() - CHECKSUM_BYTES)))
}

fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[offset + i])
}
