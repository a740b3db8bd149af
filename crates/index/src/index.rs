//! An index by its folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use corpus::StoreError;

use crate::disk;
use crate::error;
use crate::manifest::Manifest;
use crate::writer::lock;
use crate::{Settings, Snapshot, Writer, WriterSettings};

/// How often opening a commit starts again because a newer one has replaced it meanwhile.
const ATTEMPTS_MAX: usize = 8;

/// The greatest length of vectors.
const DIMENSION_MAX: usize = vectors::DIMENSION_MAX;

/// An index on disk.
pub struct Index {
    folder: PathBuf,
    settings: Settings,
    newest: Mutex<Arc<Snapshot>>,
}

impl Index {
    /// Creates an empty index in a folder, which is created when it is missing.
    ///
    /// # Errors
    /// [`StoreError::Settings`] for settings out of range or when there is an index already;
    /// [`StoreError::Locked`] when another process is creating one there.
    pub fn create(folder: &Path, settings: Settings) -> Result<Self, StoreError> {
        check(&settings)?;
        disk::create_folder(folder)?;
        let _lock = lock(folder)?;
        if Manifest::path(folder).exists() {
            let message = format!("{}: there is an index already", folder.display());
            return Err(StoreError::Settings(message));
        }
        Manifest::empty(settings).replace(folder)?;
        Self::open(folder)
    }

    /// Opens an index and verifies the checksums of all its files.
    ///
    /// # Errors
    /// [`StoreError::Io`] when there is none, [`StoreError::Damaged`] naming the file that is not what was
    /// written, [`StoreError::Version`] when a newer program wrote it.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let newest = open_newest(folder, None)?;
        Ok(Self {
            folder: folder.to_owned(),
            settings: newest.settings().clone(),
            newest: Mutex::new(newest),
        })
    }

    /// Opens the index of a folder, or creates it there.
    ///
    /// # Errors
    /// As for the two; [`StoreError::OtherModel`] and [`StoreError::Settings`] when the index that is there was
    /// made with other settings.
    pub fn open_or_create(folder: &Path, settings: Settings) -> Result<Self, StoreError> {
        if !Manifest::path(folder).exists() {
            return Self::create(folder, settings);
        }
        check(&settings)?;
        let index = Self::open(folder)?;
        index.settings.accept(&settings)?;
        Ok(index)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was fixed when it was created.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Refuses another model than the one that made the vectors.
    ///
    /// # Errors
    /// [`StoreError::OtherModel`].
    pub fn check_fingerprint(&self, fingerprint: &str) -> Result<(), StoreError> {
        if self.settings.fingerprint == fingerprint {
            return Ok(());
        }
        let (expected, found) = (self.settings.fingerprint.clone(), fingerprint.to_owned());
        Err(StoreError::OtherModel { expected, found })
    }

    /// The newest commit on disk, whoever made it. Cheap when it is the one of the call before; otherwise only
    /// segments that are new are opened and verified.
    ///
    /// # Errors
    /// As for [`Index::open`]; [`StoreError::OtherModel`] when an index of another model was put in its place.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>, StoreError> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if Manifest::peek(&self.folder)? != newest.checksum {
            let found = open_newest(&self.folder, Some(&newest))?;
            // Who opened this index asks with vectors of its model.
            self.check_fingerprint(&found.settings().fingerprint)?;
            *newest = found;
        }
        Ok(Arc::clone(&newest))
    }

    /// The commit that [`Index::snapshot`] gave last: what stays to read from when an index of another model was put
    /// in the place of this one.
    pub fn held(&self) -> Arc<Snapshot> {
        Arc::clone(&self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Starts writing.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while there is another writer, in this process or elsewhere.
    pub fn writer(&self, settings: WriterSettings) -> Result<Writer, StoreError> {
        Writer::open(&self.folder, settings, self.snapshot()?)
    }
}

fn check(settings: &Settings) -> Result<(), StoreError> {
    if !(1..=DIMENSION_MAX).contains(&settings.dimension) {
        let message = format!(
            "dimension is {}; accepted are 1 to {DIMENSION_MAX}",
            settings.dimension
        );
        return Err(StoreError::Settings(message));
    }
    if settings.title_weight > Settings::TITLE_WEIGHT_MAX {
        let message = format!(
            "title weight is {}; accepted are 0 to {}",
            settings.title_weight,
            Settings::TITLE_WEIGHT_MAX
        );
        return Err(StoreError::Settings(message));
    }
    settings.bm25.check().map_err(error::lexical)?;
    settings.analyzer().map(drop)
}

fn open_newest(folder: &Path, before: Option<&Snapshot>) -> Result<Arc<Snapshot>, StoreError> {
    let mut manifest = Manifest::read(folder)?;
    let mut attempts = 1;
    loop {
        let error = match Snapshot::open(folder, &manifest, before) {
            Ok(snapshot) => return Ok(Arc::new(snapshot)),
            Err(error) => error,
        };
        // Files may be gone because two commits were made meanwhile; then the newest has what it lists.
        let newest = Manifest::read(folder)?;
        if newest.checksum == manifest.checksum || attempts == ATTEMPTS_MAX {
            return Err(error);
        }
        manifest = newest;
        attempts += 1;
    }
}
