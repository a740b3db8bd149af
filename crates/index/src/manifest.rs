//! The list of live segments: the one file whose name moves.
//!
//! It is JSON. The first line is `{"checksum":"<XXH3-64 of all bytes after this line, hexadecimal>",`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use corpus::StoreError;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::Settings;
use crate::disk::{self, FileSum};
use crate::error::damaged;

/// The version of the format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

const NAME: &str = "manifest.json";
const ASIDE: &str = "manifest.json.tmp";

/// One commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Filled in when it is written.
    #[serde(default)]
    pub(crate) checksum: String,
    pub(crate) format: u32,
    /// Number of the commit; 0 for the empty index.
    pub(crate) generation: u64,
    /// The id of the next segment; ids are never used twice.
    pub(crate) next_segment: u64,
    pub(crate) settings: Settings,
    /// As [`lexical::Synonyms`] reads them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) synonyms: String,
    pub(crate) segments: Vec<SegmentEntry>,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentEntry {
    pub(crate) id: u64,
    /// Documents in its files, deleted ones included.
    pub(crate) documents: u32,
    /// Passages in its files, deleted ones included.
    pub(crate) passages: u32,
    /// Its files by their path inside its folder, with `/`; the deletes are not among them.
    pub(crate) files: BTreeMap<String, FileSum>,
    pub(crate) deletes: Option<Deletes>,
}

/// The deleted rows of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deletes {
    /// Name inside the segment's folder.
    pub(crate) file: String,
    pub(crate) sum: FileSum,
    pub(crate) documents: u32,
    pub(crate) passages: u32,
}

impl SegmentEntry {
    pub(crate) fn live_documents(&self) -> u32 {
        self.documents - self.deletes.as_ref().map_or(0, |deletes| deletes.documents)
    }

    pub(crate) fn live_passages(&self) -> u32 {
        self.passages - self.deletes.as_ref().map_or(0, |deletes| deletes.passages)
    }
}

pub(crate) fn segment_name(id: u64) -> String {
    format!("{id:08}")
}

pub(crate) fn segments_folder(index: &Path) -> PathBuf {
    index.join("segments")
}

pub(crate) fn segment_folder(index: &Path, id: u64) -> PathBuf {
    segments_folder(index).join(segment_name(id))
}

impl Manifest {
    pub(crate) fn path(index: &Path) -> PathBuf {
        index.join(NAME)
    }

    pub(crate) fn empty(settings: Settings) -> Self {
        Self {
            checksum: String::new(),
            format: FORMAT,
            generation: 0,
            next_segment: 1,
            settings,
            synonyms: String::new(),
            segments: Vec::new(),
        }
    }

    /// Reads and checks the manifest of an index.
    pub(crate) fn read(index: &Path) -> Result<Self, StoreError> {
        let path = Self::path(index);
        let bytes = disk::read(&path)?;
        let refuse = |reason: String| damaged(&path, reason);
        let (first, rest) = split(&bytes).ok_or_else(|| refuse("byte 0: no checksum stands there".into()))?;
        let computed = format!("{:016x}", xxh3_64(rest));
        if first != computed {
            return Err(refuse(format!(
                "checksum {first} is stored, the bytes after it have {computed}"
            )));
        }
        // The version first: a newer format may have other fields.
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let json = |e: serde_json::Error| refuse(format!("line {} column {}: {e}", e.line(), e.column()));
        let Versioned { format } = serde_json::from_slice(&bytes).map_err(json)?;
        if format > FORMAT {
            return Err(StoreError::Version {
                path,
                found: format,
                newest: FORMAT,
            });
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(json)?;
        manifest.check(&path)?;
        Ok(manifest)
    }

    /// The checksum that stands in the file, unchecked: it tells whether there is a newer commit.
    pub(crate) fn peek(index: &Path) -> Result<String, StoreError> {
        use std::io::Read;
        let path = Self::path(index);
        let mut start = Vec::new();
        let read = std::fs::File::open(&path).and_then(|file| file.take(64).read_to_end(&mut start));
        read.map_err(|e| StoreError::io(&path, e))?;
        let found = split(&start).map(|(checksum, _)| checksum.to_owned());
        found.ok_or_else(|| damaged(&path, "byte 0: no checksum stands there"))
    }

    fn check(&self, path: &Path) -> Result<(), StoreError> {
        for segment in &self.segments {
            let deletes = segment.deletes.as_ref();
            let fits =
                deletes.is_none_or(|d| d.documents <= segment.documents && d.passages <= segment.passages);
            if !fits || segment.id >= self.next_segment {
                return Err(damaged(
                    path,
                    format!("the numbers of segment {} do not fit together", segment.id),
                ));
            }
        }
        Ok(())
    }

    /// Replaces the manifest of the index in one step. This is the commit. Returns it with its checksum.
    pub(crate) fn replace(mut self, index: &Path) -> Result<Self, StoreError> {
        self.checksum = String::new();
        let text = serde_json::to_string_pretty(&self).expect("a manifest is plain JSON");
        let (_, rest) = text
            .split_once(",\n")
            .expect("the checksum is the first field of several");
        let rest = rest.as_bytes();
        self.checksum = format!("{:016x}", xxh3_64(rest));
        let mut bytes = format!("{START}{}{END}", self.checksum).into_bytes();
        bytes.extend_from_slice(rest);
        let aside = index.join(ASIDE);
        disk::write(aside.clone(), &bytes)?;
        disk::rename(&aside, &Self::path(index))?;
        disk::sync_folder(index)?;
        Ok(self)
    }

    /// Removes what no commit lists: files of crashed writers, and of commits before the ones in `keep`.
    pub(crate) fn clean(index: &Path, keep: &[&Self]) -> Result<(), StoreError> {
        let aside = index.join(ASIDE);
        if aside.exists() {
            disk::remove(&aside)?;
        }
        let entries: Vec<&SegmentEntry> = keep.iter().flat_map(|manifest| &manifest.segments).collect();
        for name in disk::list(&segments_folder(index))? {
            let folder = segments_folder(index).join(&name);
            let listed: Vec<_> = entries
                .iter()
                .filter(|entry| segment_name(entry.id) == name)
                .collect();
            if listed.is_empty() {
                disk::remove(&folder)?;
                continue;
            }
            let deletes: Vec<&str> = listed
                .iter()
                .filter_map(|entry| Some(entry.deletes.as_ref()?.file.as_str()))
                .collect();
            for file in disk::list(&folder)? {
                if file.starts_with("deletes-") && !deletes.contains(&file.as_str()) {
                    disk::remove(&folder.join(file))?;
                }
            }
        }
        Ok(())
    }
}

const START: &str = "{\"checksum\":\"";
const END: &str = "\",\n";

fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(START.as_bytes())?;
    let (checksum, rest) = rest.split_at_checked(16)?;
    let rest = rest.strip_prefix(END.as_bytes())?;
    Some((std::str::from_utf8(checksum).ok()?, rest))
}
