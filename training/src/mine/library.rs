//! The passages that are searched for negatives: a temporary index, each distinct text a document of one passage.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use corpus::{
    Document, DocumentId, MatchingQuery, Metadata, NearestQuery, PreparedDocument, PreparedPassage,
    QueryText, ReadStore as _, Scored, TitleUse, WriteStore as _,
};
use index::{Index, Settings, Snapshot, Writer, WriterSettings};
use infer::{Embed, Role};
use launch::Interrupt;
use search::{Fusion, Mode, fusion};
use xxhash_rust::xxh3::xxh3_128;

use super::guard::Candidate;

/// Texts that are embedded and added together.
const GROUP: usize = 512;
/// Texts after which is committed: what an interrupted run does not do again.
const COMMIT: usize = 16 * GROUP;

/// The name of a text: equal texts have equal names.
pub(super) fn hash(text: &str) -> u128 {
    xxh3_128(text.as_bytes())
}

fn id(text: &str) -> Result<DocumentId> {
    Ok(DocumentId::new(format!("{:032x}", hash(text)))?)
}

/// An index that is being filled. Texts that it has are passed over.
pub(super) struct Filling<'a> {
    index: Index,
    writer: Writer,
    before: Arc<Snapshot>,
    embed: Option<&'a dyn Embed>,
    group: Vec<String>,
    added: usize,
}

impl<'a> Filling<'a> {
    /// Opens the index of a folder or creates it. Without a model its vectors say nothing, and it can only be
    /// searched by words.
    pub(super) fn open(folder: &Path, embed: Option<&'a dyn Embed>) -> Result<Self> {
        let settings = Settings {
            dimension: embed.map_or(1, Embed::dimension),
            fingerprint: embed.map_or("none", Embed::fingerprint).to_owned(),
            model: "none".to_owned(),
            titles: TitleUse::Ignore,
            language: "english".to_owned(),
            fold_accents: index::Analyzer::folds_accents("english"),
            title_weight: 0,
            bm25: index::Bm25::default(),
            chunk_tokens: 0,
            chunk_overlap: 0,
        };
        let index = Index::open_or_create(folder, settings)?;
        let writing = WriterSettings {
            segment_passages_max: 200_000,
            // Without vectors there is nothing to walk.
            graph_passages_min: if embed.is_some() { 20_000 } else { u32::MAX },
            threads: launch::threads(),
            ..WriterSettings::default()
        };
        let before = index.snapshot()?;
        Ok(Self {
            writer: index.writer(writing)?,
            index,
            before,
            embed,
            group: Vec::new(),
            added: 0,
        })
    }

    /// Adds a text that was not added before.
    pub(super) fn add(&mut self, text: String) -> Result<()> {
        if text.trim().is_empty() || self.before.content_hash(&id(&text)?)?.is_some() {
            return Ok(());
        }
        self.group.push(text);
        if self.group.len() < GROUP {
            return Ok(());
        }
        self.flush()?;
        if self.added.is_multiple_of(COMMIT) {
            self.writer.commit()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let texts: Vec<&str> = self.group.iter().map(String::as_str).collect();
        let vectors = match self.embed {
            Some(embed) => embed.embed(&texts, Role::Passage)?,
            None => vec![vec![1.0]; texts.len()],
        };
        self.added += self.group.len();
        let prepared = self.group.drain(..).zip(vectors).map(|(text, vector)| {
            Ok(PreparedDocument {
                passages: vec![PreparedPassage {
                    span: 0..text.len(),
                    vector,
                }],
                document: Document {
                    id: id(&text)?,
                    title: String::new(),
                    text,
                    metadata: Metadata::default(),
                },
            })
        });
        Ok(self.writer.add(prepared.collect::<Result<_>>()?)?)
    }

    /// Commits everything and merges it into few segments. None when the work was interrupted.
    pub(super) fn finish(mut self, interrupt: &Interrupt) -> Result<Option<Arc<Snapshot>>> {
        if !interrupt.is_raised() {
            self.flush()?;
        }
        self.writer.commit()?;
        if interrupt.is_raised() {
            return Ok(None);
        }
        Ok(Some(self.index.snapshot()?))
    }
}

/// How candidates are searched for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    pub(super) mode: Mode,
    /// Passages over at the top of the list, which are the most likely to be answers nobody marked.
    pub(super) skip: usize,
    /// Passages that are looked at after those.
    pub(super) depth: usize,
}

/// The candidates of a query, best first, without its own positive; and the cosine of that positive.
pub(super) fn candidates(
    library: &Snapshot,
    search: Search,
    query: &str,
    vector: Option<&[f32]>,
    positive: &str,
) -> Result<(Vec<Candidate>, Option<f32>)> {
    let k = search.skip + search.depth + 1;
    let lexical = match search.mode {
        Mode::Dense => Vec::new(),
        _ => library.matching(&MatchingQuery {
            words: QueryText::plain(query),
            k,
            filter: None,
        })?,
    };
    let dense = match vector {
        None => Vec::new(),
        Some(vector) => library.nearest(&NearestQuery {
            vector,
            k,
            filter: None,
            recall: 0.95,
        })?,
    };
    let own = library.passages_of(&id(positive)?)?;
    let mut found: Vec<_> = ranked(search.mode, &lexical, &dense)
        .into_iter()
        .filter(|passage| !own.contains(passage))
        .skip(search.skip)
        .take(search.depth)
        .collect();
    let texts = library.fetch(&found)?;
    found.extend(own);
    let cosines = match vector {
        Some(vector) => library.similarities(vector, &found)?,
        None => Vec::new(),
    };
    let mut cosines = cosines.into_iter();
    let candidates = texts.into_iter().map(|passage| Candidate {
        text: passage.text,
        cosine: cosines.next(),
    });
    let candidates = candidates.collect();
    Ok((candidates, cosines.next()))
}

fn ranked(mode: Mode, lexical: &[Scored], dense: &[Scored]) -> Vec<corpus::PassageRef> {
    let mut fused = fusion::fuse(mode, &Fusion::Rrf { k: 60 }, lexical, dense, &[]);
    fused.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.passage.cmp(&b.passage)));
    fused.into_iter().map(|one| one.passage).collect()
}
