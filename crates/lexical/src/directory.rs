//! Knowing which file the operating system refused: tantivy's own errors often do not say.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tantivy::directory::error::{DeleteError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, Directory, FileHandle, MmapDirectory, TerminatingWrite, WatchCallback, WatchHandle,
    WritePtr,
};

use crate::LexicalError;

/// A folder that remembers the first file that could not be written, and why.
#[derive(Debug, Clone)]
pub(crate) struct Remembering {
    inner: MmapDirectory,
    folder: PathBuf,
    refused: Refused,
}

/// The first refusal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refused(Arc<Mutex<Option<LexicalError>>>);

/// What was refused.
#[derive(Clone, Copy)]
enum Call {
    Write,
    Sync,
}

impl Refused {
    fn remember<T>(&self, call: Call, path: &Path, outcome: io::Result<T>) -> io::Result<T> {
        outcome.inspect_err(|error| {
            let source = match error.raw_os_error() {
                Some(number) => io::Error::from_raw_os_error(number),
                None => io::Error::new(error.kind(), error.to_string()),
            };
            let path = path.to_owned();
            self.slot().get_or_insert(match call {
                Call::Write => LexicalError::Io { path, source },
                Call::Sync => LexicalError::Sync { path, source },
            });
        })
    }

    /// What is remembered, as an error; that of tantivy when there is nothing.
    pub(crate) fn or(&self, error: LexicalError) -> LexicalError {
        self.slot().take().unwrap_or(error)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<LexicalError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembering {
    pub(crate) fn new(inner: MmapDirectory, folder: &Path) -> Self {
        Self {
            inner,
            folder: folder.to_owned(),
            refused: Refused::default(),
        }
    }

    pub(crate) fn refused(&self) -> Refused {
        self.refused.clone()
    }
}

impl Directory for Remembering {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.inner.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.inner.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.inner.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let file = File {
            inner: self.inner.open_write(path)?,
            path: self.folder.join(path),
            refused: self.refused(),
        };
        Ok(BufWriter::new(Box::new(file)))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        self.inner.atomic_read(path)
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        let written = self.inner.atomic_write(path, data);
        self.refused
            .remember(Call::Write, &self.folder.join(path), written)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.refused
            .remember(Call::Sync, &self.folder, self.inner.sync_directory())
    }

    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.inner.watch(callback)
    }
}

/// A file that is being written.
struct File {
    inner: WritePtr,
    path: PathBuf,
    refused: Refused,
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes);
        self.refused.remember(Call::Write, &self.path, written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.inner.flush();
        self.refused.remember(Call::Write, &self.path, flushed)
    }
}

impl TerminatingWrite for File {
    fn terminate_ref(&mut self, token: AntiCallToken) -> io::Result<()> {
        self.flush()?;
        let ended = self.inner.get_mut().terminate_ref(token);
        self.refused.remember(Call::Sync, &self.path, ended)
    }
}
