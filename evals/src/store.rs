//! The index of a collection: built, or used again when it holds exactly the collection's documents.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use corpus::{Document, ReadStore, WriteStore};
use data::{DataError, Located, Reason};
use index::{Index, Settings, Snapshot, Writer, WriterSettings, content_hash};
use infer::Embed;
use search::ingest::{IngestSettings, prepare};

use crate::bar::Bar;
use crate::collection::Collection;

/// Documents that are embedded in one call.
const BATCH_DOCUMENTS: usize = 64;

/// An index that holds the documents of a collection, and nothing else.
pub(crate) struct Store {
    pub(crate) snapshot: Arc<Snapshot>,
    /// Places of the documents without any text, which no index can hold.
    pub(crate) without_text: Vec<String>,
}

/// Opens the index in `folder`, or builds what is missing of it.
///
/// An index with other settings, made by another model, or with documents that are not of the collection is
/// refused and stays as it is.
pub(crate) fn build_or_reuse(
    folder: &Path,
    collection: &Collection,
    model: &dyn Embed,
    settings: Settings,
    show_progress: bool,
) -> Result<Store> {
    let ingest = IngestSettings {
        titles: settings.titles,
        chunk_tokens: settings.chunk_tokens,
        chunk_overlap: settings.chunk_overlap,
    };
    // Before there is a folder that holds nothing.
    ingest.validate(model)?;
    let index = Index::open_or_create(folder, settings)?;
    let before = index.snapshot()?;
    let found = compare(collection, &before)?;
    if before.info().documents > found.stored {
        bail!(
            "{}: the index holds {} documents that are not of {}; name another folder",
            folder.display(),
            before.info().documents - found.stored,
            collection.folder.display()
        );
    }
    if found.missing > 0 {
        let bar = Bar::new(show_progress, found.missing, "documents");
        let writer = index.writer(WriterSettings::default())?;
        add_missing(writer, collection, &before, model, &ingest, &bar)?;
    }
    let snapshot = index.snapshot()?;
    Ok(Store {
        snapshot,
        without_text: found.without_text,
    })
}

/// How a collection and an index compare.
#[derive(Default)]
struct Found {
    stored: usize,
    missing: usize,
    without_text: Vec<String>,
}

fn compare(collection: &Collection, snapshot: &Snapshot) -> Result<Found> {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    for document in data::beir::corpus(&collection.folder)? {
        let Some(Located {
            value: document,
            place,
        }) = with_text(document, &mut found.without_text)?
        else {
            continue;
        };
        match is_stored(&document, snapshot)? {
            true => found.stored += 1,
            false => found.missing += 1,
        }
        if let Some(twice) = seen.replace(document.id) {
            bail!("{place}: document {twice} occurs twice in the collection");
        }
    }
    Ok(found)
}

fn add_missing(
    mut writer: Writer,
    collection: &Collection,
    before: &Snapshot,
    model: &dyn Embed,
    ingest: &IngestSettings,
    bar: &Bar,
) -> Result<()> {
    let mut add = |batch: &mut Vec<Document>| -> Result<()> {
        let count = batch.len();
        writer.add(prepare(model, std::mem::take(batch), ingest)?)?;
        bar.add(count);
        Ok(())
    };
    let mut batch = Vec::new();
    for document in data::beir::corpus(&collection.folder)? {
        let Some(Located { value: document, .. }) = with_text(document, &mut Vec::new())? else {
            continue;
        };
        if !is_stored(&document, before)? {
            batch.push(document);
        }
        if batch.len() == BATCH_DOCUMENTS {
            add(&mut batch)?;
        }
    }
    add(&mut batch)?;
    writer.commit()?;
    Ok(())
}

fn is_stored(document: &Document, snapshot: &Snapshot) -> Result<bool> {
    Ok(snapshot.content_hash(&document.id)? == Some(content_hash(document)))
}

/// The document, or none when it has no text; collections hold a few such. Every other error ends the reading.
pub(crate) fn with_text(
    read: Result<Located<Document>, DataError>,
    without_text: &mut Vec<String>,
) -> Result<Option<Located<Document>>> {
    match read {
        Ok(document) => Ok(Some(document)),
        Err(error) if matches!(*error.reason, Reason::NoText) => {
            without_text.push(error.place.to_string());
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
