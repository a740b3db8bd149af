//! Making what was written visible, in one step.

use corpus::{Commit, StoreError};

use crate::Writer;
use crate::disk;
use crate::manifest::{Deletes, Manifest, SegmentEntry, segment_folder, segments_folder};
use crate::writer::Closed;

impl Writer {
    pub(crate) fn commit_all(&mut self) -> Result<Commit, StoreError> {
        self.close_segment()?;
        if self.changed {
            self.closed.retain(|closed| closed.live_passages() > 0);
            self.merge()?;
            self.replace_manifest()?;
        }
        let sum =
            |count: fn(&SegmentEntry) -> u32| self.manifest.segments.iter().map(|e| count(e) as usize).sum();
        Ok(Commit {
            generation: self.manifest.generation,
            documents: sum(SegmentEntry::live_documents),
            passages: sum(SegmentEntry::live_passages),
        })
    }

    fn replace_manifest(&mut self) -> Result<(), StoreError> {
        let generation = self.manifest.generation + 1;
        for closed in self.closed.iter_mut().filter(|closed| closed.dirty) {
            let folder = segment_folder(&self.index, closed.entry.id);
            write_deletes(closed, &folder, generation)?;
        }
        let segments = segments_folder(&self.index);
        if segments.exists() {
            disk::sync_folder(&segments)?;
        }
        let next = Manifest {
            generation,
            next_segment: self.next_segment,
            segments: self.closed.iter().map(|closed| closed.entry.clone()).collect(),
            ..self.manifest.clone()
        };
        let next = next.replace(&self.index)?;
        let before = std::mem::replace(&mut self.manifest, next);
        self.changed = false;
        self.left_out.clear();
        // A reader may have read the manifest before this one and not yet opened its files, so these stay until
        // the next commit. What cannot be removed now is removed then: the commit itself is done.
        let _ = Manifest::clean(&self.index, &[&before, &self.manifest]);
        Ok(())
    }
}

fn write_deletes(closed: &mut Closed, folder: &std::path::Path, generation: u64) -> Result<(), StoreError> {
    let file = format!("deletes-{generation}");
    let path = folder.join(&file);
    let mut bytes = Vec::with_capacity(closed.deleted.serialized_size());
    closed
        .deleted
        .serialize_into(&mut bytes)
        .map_err(|e| StoreError::io(&path, e))?;
    bytes.extend_from_slice(&disk::end());
    disk::write(path.clone(), &bytes)?;
    disk::sync_folder(folder)?;
    closed.entry.deletes = Some(Deletes {
        file,
        sum: disk::sum(&path)?,
        documents: closed.deleted_documents,
        passages: closed.deleted.len() as u32,
    });
    closed.dirty = false;
    Ok(())
}
