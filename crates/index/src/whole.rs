//! Whole commits: copied to another folder, added to another index, put in the place of another index's own.
//!
//! Files of an index are never changed, so a copy shares them by hard links where the file system can, and takes no
//! room until the two indexes grow apart.

use std::io;
use std::path::Path;

use corpus::StoreError;
use serde::Serialize;

use crate::disk;
use crate::manifest::{Manifest, SegmentEntry, segment_folder, segments_folder};
use crate::segment::check_sum;
use crate::writer::{Closed, Writer, lock};

/// How often a copy begins anew because a writer removed files meanwhile.
const ATTEMPTS_MAX: usize = 10;

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Copied {
    /// Live documents.
    pub documents: u64,
    /// Live passages.
    pub passages: u64,
    /// Files that both indexes share.
    pub files_linked: usize,
    /// Files that had to be written again, because the folders are on different file systems.
    pub files_copied: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Copies the newest commit of an index into a folder that is empty or missing, beside whoever writes to it.
///
/// A copy that was interrupted leaves no index there, and is begun anew by the next.
///
/// # Errors
/// [`StoreError::Settings`] when there is something in the folder, [`StoreError::Locked`] while another copy goes
/// there, [`StoreError::Io`], [`StoreError::Damaged`] when a file is not what was written.
pub fn copy(from: &Path, to: &Path) -> Result<Copied, StoreError> {
    let mut manifest = Manifest::read(from)?;
    disk::create_folder(to)?;
    expect_empty(to)?;
    let _lock = lock(to)?;
    let mut attempts = 1;
    loop {
        Manifest::clean(to, &[])?;
        let error = match copy_segments(from, to, &manifest) {
            Ok(copied) => {
                manifest.replace(to)?;
                return Ok(copied);
            }
            Err(error) => error,
        };
        let newest = Manifest::read(from)?;
        if newest.checksum == manifest.checksum || attempts == ATTEMPTS_MAX {
            return Err(error);
        }
        manifest = newest;
        attempts += 1;
    }
}

fn expect_empty(folder: &Path) -> Result<(), StoreError> {
    let left_by_a_copy = ["write.lock", "turn.lock", "segments", "manifest.json.tmp"];
    let mut others = disk::list(folder)?.into_iter();
    match others.find(|name| !left_by_a_copy.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(StoreError::Settings(format!(
            "{}: holds {name}; accepted is an empty folder, or none",
            folder.display()
        ))),
    }
}

fn copy_segments(from: &Path, to: &Path, manifest: &Manifest) -> Result<Copied, StoreError> {
    let mut copied = Copied::default();
    for entry in &manifest.segments {
        link(
            &segment_folder(from, entry.id),
            &segment_folder(to, entry.id),
            entry,
            &mut copied,
        )?;
    }
    if !manifest.segments.is_empty() {
        disk::sync_folder(&segments_folder(to))?;
    }
    Ok(copied)
}

/// Links or copies the files of a segment, and makes them durable.
fn link(from: &Path, to: &Path, entry: &SegmentEntry, copied: &mut Copied) -> Result<(), StoreError> {
    disk::create_folder(to)?;
    let deletes = entry.deletes.iter().map(|deletes| (&deletes.file, &deletes.sum));
    let mut folders = vec![to.to_owned()];
    for (name, sum) in entry.files.iter().chain(deletes) {
        let (from, to) = (from.join(name), to.join(name));
        if let Some(folder) = to
            .parent()
            .filter(|folder| !folders.iter().any(|known| known == folder))
        {
            disk::create_folder(folder)?;
            folders.push(folder.to_owned());
        }
        if disk::link(&from, &to)? {
            copied.files_linked += 1;
        } else {
            copied.files_copied += 1;
        }
        check_sum(&to, sum)?;
        copied.bytes += sum.bytes;
    }
    folders
        .iter()
        .rev()
        .try_for_each(|folder| disk::sync_folder(folder))?;
    copied.documents += u64::from(entry.live_documents());
    copied.passages += u64::from(entry.live_passages());
    Ok(())
}

/// Puts the newest commit of `from` in the place of all that is in `index`, settings included, in one step: readers
/// see the one or the other. `from` stays as it is.
///
/// # Errors
/// As for [`copy`]; [`StoreError::Locked`] while someone writes to either.
pub fn replace(index: &Path, from: &Path) -> Result<Copied, StoreError> {
    let _locks = (lock(index)?, lock(from)?);
    replace_locked(index, from, &Manifest::read(index)?)
}

/// [`replace`], if `generation` is still the newest commit of `index`; none when it is not.
///
/// # Errors
/// As for [`replace`].
pub fn replace_generation(index: &Path, from: &Path, generation: u64) -> Result<Option<Copied>, StoreError> {
    let _locks = (lock(index)?, lock(from)?);
    let before = Manifest::read(index)?;
    match before.generation == generation {
        true => replace_locked(index, from, &before).map(Some),
        false => Ok(None),
    }
}

fn replace_locked(index: &Path, from: &Path, before: &Manifest) -> Result<Copied, StoreError> {
    let source = Manifest::read(from)?;
    Manifest::clean(index, &[before])?;
    let mut next = Manifest {
        generation: before.generation + 1,
        next_segment: before.next_segment,
        segments: Vec::with_capacity(source.segments.len()),
        ..source.clone()
    };
    let mut copied = Copied::default();
    for entry in &source.segments {
        let id = next.next_segment;
        next.next_segment += 1;
        link(
            &segment_folder(from, entry.id),
            &segment_folder(index, id),
            entry,
            &mut copied,
        )?;
        next.segments.push(SegmentEntry { id, ..entry.clone() });
    }
    if segments_folder(index).exists() {
        disk::sync_folder(&segments_folder(index))?;
    }
    let next = next.replace(index)?;
    // What cannot be removed now is removed by the next commit.
    let _ = Manifest::clean(index, &[before, &next]);
    Ok(copied)
}

impl Writer {
    /// Adds all documents of another index of the same model and settings, whose segments are taken over as they
    /// are; each replaces the one of its id. They are visible with the next commit.
    ///
    /// # Errors
    /// [`StoreError::OtherModel`], [`StoreError::Settings`] for an index of other settings,
    /// [`StoreError::Locked`] while someone writes to it; otherwise as for [`copy`].
    pub fn add_index(&mut self, from: &Path) -> Result<Copied, StoreError> {
        self.guarded(|writer| writer.take_over(from))
    }

    fn take_over(&mut self, from: &Path) -> Result<Copied, StoreError> {
        let _lock = lock(from)?;
        let source = Manifest::read(from)?;
        self.manifest.settings.accept(&source.settings)?;
        self.close_segment()?;
        let mut copied = Copied::default();
        let mut taken = Vec::with_capacity(source.segments.len());
        for entry in source.segments {
            let old = segment_folder(from, entry.id);
            let entry = SegmentEntry {
                id: self.next_segment,
                ..entry
            };
            self.next_segment += 1;
            link(&old, &segment_folder(&self.index, entry.id), &entry, &mut copied)?;
            taken.push(Closed::open(
                &self.index,
                &entry,
                self.manifest.settings.dimension,
            )?);
        }
        for closed in &taken {
            let documents = &closed.segment.documents;
            for number in 0..documents.len() {
                if !closed.deleted.contains(documents.rows(number)?.start) {
                    self.delete_closed(&documents.document_id(number)?)?;
                }
            }
        }
        self.changed |= !taken.is_empty();
        self.closed.extend(taken);
        Ok(copied)
    }
}

/// Whether the error is that a link cannot be made here, though a copy can.
pub(crate) fn needs_copy(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::CrossesDevices
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::Unsupported
            | io::ErrorKind::TooManyLinks
    )
}
