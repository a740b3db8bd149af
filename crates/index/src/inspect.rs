//! What an index says of itself, without opening its segments.

use std::collections::BTreeMap;
use std::path::Path;

use corpus::StoreError;
use serde::Serialize;

use crate::Settings;
use crate::manifest::{Manifest, SegmentEntry};

/// An index at a glance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// Version of the format.
    pub format: u32,
    /// Number of the commit.
    pub generation: u64,
    /// What was fixed when it was created.
    pub settings: Settings,
    /// Live documents.
    pub documents: u64,
    /// Live passages.
    pub passages: u64,
    /// Bytes of all files of live segments.
    pub bytes: u64,
    /// The live segments.
    pub segments: Vec<SegmentInspection>,
}

/// A segment at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentInspection {
    /// Its number.
    pub id: u64,
    /// Live documents.
    pub documents: u32,
    /// Live passages.
    pub passages: u32,
    /// Documents that are deleted and still take room.
    pub deleted_documents: u32,
    /// Passages that are deleted and still take room.
    pub deleted_passages: u32,
    /// Whether nearest neighbours are found by a graph; by comparing with all otherwise.
    pub graph: bool,
    /// Bytes by part: postings as one, the others by their file.
    pub bytes: BTreeMap<String, u64>,
}

/// Reads the manifest of an index.
///
/// # Errors
/// When there is none, or it is damaged or of a newer version.
pub fn inspect(index: &Path) -> Result<Inspection, StoreError> {
    let manifest = Manifest::read(index)?;
    let segments: Vec<_> = manifest.segments.iter().map(segment).collect();
    Ok(Inspection {
        format: manifest.format,
        generation: manifest.generation,
        settings: manifest.settings,
        documents: segments.iter().map(|segment| u64::from(segment.documents)).sum(),
        passages: segments.iter().map(|segment| u64::from(segment.passages)).sum(),
        bytes: segments.iter().flat_map(|segment| segment.bytes.values()).sum(),
        segments,
    })
}

fn segment(entry: &SegmentEntry) -> SegmentInspection {
    let mut bytes = BTreeMap::new();
    for (file, sum) in &entry.files {
        let part = file.split('/').next().unwrap_or(file);
        *bytes.entry(part.to_owned()).or_insert(0) += sum.bytes;
    }
    if let Some(deletes) = &entry.deletes {
        bytes.insert("deletes".to_owned(), deletes.sum.bytes);
    }
    SegmentInspection {
        id: entry.id,
        documents: entry.live_documents(),
        passages: entry.live_passages(),
        deleted_documents: entry.documents - entry.live_documents(),
        deleted_passages: entry.passages - entry.live_passages(),
        graph: entry.files.contains_key("graph"),
        bytes,
    }
}
