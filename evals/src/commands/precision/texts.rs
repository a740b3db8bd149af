//! A collection's documents and queries, and which documents are nearest to a query.

use std::path::Path;

use anyhow::{Result, bail};
use corpus::TitleUse;
use data::Located;
use infer::{Embed, Embedder, Role};

use crate::bar::Bar;
use crate::collection::Collection;
use crate::store::with_text;

/// Texts embedded between two steps of the progress bar.
const BATCH_TEXTS: usize = 256;

/// The texts of a collection.
pub(super) struct Texts {
    pub(super) collection: Collection,
    pub(super) ids: Vec<String>,
    pub(super) documents: Vec<String>,
}

/// Vectors of documents and queries.
pub(super) struct Vectors {
    pub(super) documents: Vec<Vec<f32>>,
    queries: Vec<Vec<f32>>,
}

impl Texts {
    pub(super) fn open(folder: &Path, split: &str) -> Result<Self> {
        let collection = Collection::open(folder, split)?;
        let (mut ids, mut documents) = (Vec::new(), Vec::new());
        let mut without_text = Vec::new();
        for document in data::beir::corpus(folder)? {
            let Some(Located { value: document, .. }) = with_text(document, &mut without_text)? else {
                continue;
            };
            documents.push(TitleUse::Join.searchable(&document.title, &document.text));
            ids.push(document.id.to_string());
        }
        if documents.is_empty() {
            bail!("{}: the corpus has no documents", folder.display());
        }
        Ok(Self {
            collection,
            ids,
            documents,
        })
    }

    pub(super) fn embed(&self, model: &Embedder, bar: &Bar) -> Result<Vectors> {
        let embed = |texts: Vec<&str>, role| -> Result<Vec<Vec<f32>>> {
            let mut vectors = Vec::with_capacity(texts.len());
            for batch in texts.chunks(BATCH_TEXTS) {
                vectors.extend(model.embed(batch, role)?);
                bar.add(batch.len());
            }
            Ok(vectors)
        };
        let queries = self.collection.queries.iter().map(|query| query.text.as_str());
        Ok(Vectors {
            documents: embed(self.documents.iter().map(String::as_str).collect(), Role::Passage)?,
            queries: embed(queries.collect(), Role::Query)?,
        })
    }

    /// The `k` documents nearest to each query, as numbers with their cosines, in no order.
    pub(super) fn nearest(&self, vectors: &Vectors, k: usize) -> Vec<Vec<(usize, f32)>> {
        let nearest = |query: &Vec<f32>| {
            let score = |document: &Vec<f32>| kernels::dot(document, query);
            let mut scores: Vec<(usize, f32)> = vectors.documents.iter().map(score).enumerate().collect();
            if scores.len() > k {
                scores.select_nth_unstable_by(k - 1, |a, b| b.1.total_cmp(&a.1));
                scores.truncate(k);
            }
            scores
        };
        vectors.queries.iter().map(nearest).collect()
    }
}
