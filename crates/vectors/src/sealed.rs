//! Files that are written once, front to back, and end in a checksum.
//!
//! ```text
//! byte  0   8 bytes   mark of the kind of file
//! byte  8   u32       version of the format
//!           ...       what that kind of file holds
//! end - 8   u64       XXH3-64, seed 0, of all bytes before it
//! ```
//! All numbers are little-endian.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::VectorError;
use crate::map::Map;

/// Where the version stands.
const VERSION_OFFSET: usize = 8;
/// Bytes of mark and version together.
const START_BYTES: usize = 12;
/// Bytes of the checksum.
pub(crate) const CHECKSUM_BYTES: usize = 8;

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
    checksum: Xxh3,
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
            written: false,
        };
        writer.write(&kind.mark)?;
        writer.write(&kind.version.to_le_bytes())?;
        Ok(writer)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), VectorError> {
        self.checksum.update(bytes);
        self.file.write_all(bytes).map_err(|source| VectorError::Io {
            path: self.path_tmp.clone(),
            source,
        })
    }

    /// Adds the checksum, waits until the disk has all bytes, and gives the file its name. The name itself is on
    /// disk when its folder is synced, which is a matter of the commit that makes the file visible.
    pub(crate) fn finish(mut self) -> Result<(), VectorError> {
        let checksum = self.checksum.digest();
        let tmp = |source| VectorError::Io {
            path: self.path_tmp.clone(),
            source,
        };
        self.file.write_all(&checksum.to_le_bytes()).map_err(tmp)?;
        self.file.flush().map_err(tmp)?;
        self.file.get_ref().sync_all().map_err(tmp)?;
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

/// A mapped file whose mark, version and checksum were right.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) path: PathBuf,
    pub(crate) map: Map,
    pub(crate) checksum: u64,
}

impl Sealed {
    pub(crate) fn open(path: &Path, kind: Kind) -> Result<Sealed, VectorError> {
        let map = Map::open(path)?;
        let bytes = map.bytes();
        let found = bytes.len() as u64;
        if bytes.len() < START_BYTES + CHECKSUM_BYTES {
            let expected = (START_BYTES + CHECKSUM_BYTES) as u64;
            return Err(VectorError::Length {
                path: path.to_owned(),
                offset: found,
                expected,
                found,
            });
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
        let end = bytes.len() - CHECKSUM_BYTES;
        let stored = u64::from_le_bytes(array(bytes, end));
        let computed = xxh3_64(&bytes[..end]);
        if stored != computed {
            let offset = end as u64;
            return Err(VectorError::Checksum {
                path: path.to_owned(),
                offset,
                stored,
                computed,
            });
        }
        Ok(Sealed {
            path: path.to_owned(),
            map,
            checksum: stored,
        })
    }

    /// Bytes before the checksum.
    pub(crate) fn content_bytes(&self) -> usize {
        self.map.bytes().len() - CHECKSUM_BYTES
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
        let found = self.map.bytes().len() as u64;
        let expected = expected.saturating_add(CHECKSUM_BYTES as u64);
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

fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[offset + i])
}
