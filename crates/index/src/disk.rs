//! Every change to the disk, each with the name of its file in the error.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use corpus::StoreError;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::error::damaged;

use crate::{error, whole};

/// Size and checksum of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileSum {
    /// Length in bytes.
    pub(crate) bytes: u64,
    /// XXH3-64, seed 0, in hexadecimal.
    pub(crate) xxh3: String,
    /// Of a file with checksums of its own: the one of them that stands for all, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seal: Option<String>,
}

/// The version of the files of segments that have no format of their own, and the newest that is read.
const FILE_FORMAT: u32 = 1;
const MARK: [u8; 4] = *b"CLZF";

/// What stands at the end of such a file: a mark, and the version as u32, little-endian.
pub(crate) fn end() -> [u8; 8] {
    let mut end = [0; 8];
    end[..4].copy_from_slice(&MARK);
    end[4..].copy_from_slice(&FILE_FORMAT.to_le_bytes());
    end
}

/// The content of such a file, without its end.
pub(crate) fn content<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let refuse = || {
        let at = bytes.len().saturating_sub(8);
        damaged(
            path,
            format!("byte {at}: no mark of a segment's file stands there"),
        )
    };
    let (content, version) = bytes.split_last_chunk().ok_or_else(refuse)?;
    let content = content.strip_suffix(&MARK).ok_or_else(refuse)?;
    match u32::from_le_bytes(*version) {
        found if found > FILE_FORMAT => Err(StoreError::Version {
            path: path.to_owned(),
            found,
            newest: FILE_FORMAT,
        }),
        _ => Ok(content),
    }
}

/// A file being written.
pub(crate) struct Output {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Output {
    pub(crate) fn create(path: PathBuf) -> Result<Self, StoreError> {
        step(&path)?;
        let file = File::create(&path).map_err(|e| StoreError::io(&path, e))?;
        Ok(Self {
            path,
            file: BufWriter::with_capacity(1 << 16, file),
        })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file
            .write_all(bytes)
            .map_err(|e| StoreError::io(&self.path, e))
    }

    /// As [`Output::finish`], with [`end`] after the content.
    pub(crate) fn finish_marked(mut self) -> Result<(), StoreError> {
        self.write(&end())?;
        self.finish()
    }

    /// Waits until the disk has all bytes. The name is on disk when its folder is synced.
    pub(crate) fn finish(mut self) -> Result<(), StoreError> {
        self.file.flush().map_err(|e| StoreError::io(&self.path, e))?;
        sync(&self.path, self.file.get_ref())
    }
}

pub(crate) fn write(path: PathBuf, bytes: &[u8]) -> Result<(), StoreError> {
    let mut output = Output::create(path)?;
    output.write(bytes)?;
    output.finish()
}

pub(crate) fn create_folder(path: &Path) -> Result<(), StoreError> {
    step(path)?;
    fs::create_dir_all(path).map_err(|e| StoreError::io(path, e))
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    step(to)?;
    fs::rename(from, to).map_err(|e| StoreError::io(to, e))
}

/// Gives a file a second name; where that cannot be, copies and syncs it. Says whether it is a link.
pub(crate) fn link(from: &Path, to: &Path) -> Result<bool, StoreError> {
    step(to)?;
    match fs::hard_link(from, to) {
        Ok(()) => Ok(true),
        Err(error) if whole::needs_copy(&error) => {
            fs::copy(from, to).map_err(|e| StoreError::io(to, e))?;
            sync(to, &File::open(to).map_err(|e| StoreError::io(to, e))?)?;
            Ok(false)
        }
        Err(error) => Err(StoreError::io(from, error)),
    }
}

/// Makes the names in a folder durable. Only Unix has such a thing.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    if cfg!(unix) {
        let folder = File::open(path).map_err(|e| StoreError::io(path, e))?;
        sync(path, &folder)?;
    }
    Ok(())
}

fn sync(path: &Path, file: &File) -> Result<(), StoreError> {
    let synced = fault(path).and_then(|()| file.sync_all());
    synced.map_err(|source| StoreError::Sync {
        path: path.to_owned(),
        source,
    })
}

/// Removes a file or a whole folder.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    step(path)?;
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.map_err(|e| StoreError::io(path, e))
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    fs::read(path).map_err(|e| StoreError::io(path, e))
}

/// The names in a folder, sorted; none when there is no such folder.
pub(crate) fn list(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(StoreError::io(folder, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| StoreError::io(folder, e))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Reads a file once for its size and checksum.
pub(crate) fn sum(path: &Path) -> Result<FileSum, StoreError> {
    let io = |e| StoreError::io(path, e);
    let mut file = File::open(path).map_err(io)?;
    let mut hash = Xxh3::new();
    let mut bytes = 0;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer).map_err(io)?;
        if read == 0 {
            return Ok(FileSum {
                bytes,
                xxh3: format!("{:016x}", hash.digest()),
                seal: None,
            });
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
}

pub(crate) fn len(path: &Path) -> Result<u64, StoreError> {
    Ok(fs::metadata(path).map_err(|e| StoreError::io(path, e))?.len())
}

/// The seal of a file that has one.
pub(crate) fn seal(path: &Path) -> Result<String, StoreError> {
    let seal = vectors::seal(path).map_err(|e| error::vector(e, None, path))?;
    Ok(format!("{seal:016x}"))
}

fn step(path: &Path) -> Result<(), StoreError> {
    fault(path).map_err(|e| StoreError::io(path, e))
}

/// A place where a test may stop the work or make it fail: before each change to the disk.
#[cfg(not(test))]
fn fault(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
use faults::fault;

/// Faults that tests inject: whatever happens to a disk happens here.
#[cfg(test)]
pub(crate) mod faults {
    use super::Path;
    use std::cell::RefCell;
    use std::io;

    type Fault = Box<dyn FnMut(&Path) -> io::Result<()>>;

    thread_local! {
        static FAULT: RefCell<Option<Fault>> = const { RefCell::new(None) };
    }

    /// Calls `fault` before each change to the disk on this thread while `work` runs.
    pub(crate) fn with<T>(
        fault: impl FnMut(&Path) -> io::Result<()> + 'static,
        work: impl FnOnce() -> T,
    ) -> T {
        FAULT.with_borrow_mut(|slot| *slot = Some(Box::new(fault)));
        let result = work();
        FAULT.with_borrow_mut(|slot| *slot = None);
        result
    }

    pub(super) fn fault(path: &Path) -> io::Result<()> {
        FAULT.with_borrow_mut(|slot| slot.as_mut().map_or(Ok(()), |fault| fault(path)))
    }
}
