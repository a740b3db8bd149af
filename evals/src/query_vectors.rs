//! An embedding model that has already seen the queries: they are embedded once, in batches, for all modes.

use std::collections::HashMap;
use std::ops::Range;

use infer::{Embed, InferError, Role};

use crate::bar::Bar;

/// Queries embedded between two steps of the progress bar.
const BATCH_QUERIES: usize = 256;

/// Answers for known queries from memory, and for everything else by the model.
pub(crate) struct QueryVectors<'a> {
    model: &'a dyn Embed,
    known: HashMap<String, Vec<f32>>,
}

impl<'a> QueryVectors<'a> {
    /// Embeds the queries.
    pub(crate) fn embed<'q>(
        model: &'a dyn Embed,
        queries: impl Iterator<Item = &'q str>,
        bar: &Bar,
    ) -> Result<Self, InferError> {
        let queries: Vec<&str> = queries.collect();
        let mut known = HashMap::with_capacity(queries.len());
        for batch in queries.chunks(BATCH_QUERIES) {
            let vectors = model.embed(batch, Role::Query)?;
            known.extend(batch.iter().map(|&query| query.to_owned()).zip(vectors));
            bar.add(batch.len());
        }
        Ok(Self { model, known })
    }
}

impl Embed for QueryVectors<'_> {
    fn embed(&self, texts: &[&str], role: Role) -> Result<Vec<Vec<f32>>, InferError> {
        let known: Option<Vec<Vec<f32>>> = match role {
            Role::Query => texts.iter().map(|&text| self.known.get(text).cloned()).collect(),
            Role::Passage => None,
        };
        known.map_or_else(|| self.model.embed(texts, role), Ok)
    }

    fn dimension(&self) -> usize {
        self.model.dimension()
    }

    fn fingerprint(&self) -> &str {
        self.model.fingerprint()
    }

    fn tokens_max(&self) -> usize {
        self.model.tokens_max()
    }

    fn chunk(&self, text: &str, tokens: usize, overlap: usize) -> Result<Vec<Range<usize>>, InferError> {
        self.model.chunk(text, tokens, overlap)
    }

    fn count_tokens(&self, text: &str) -> Result<usize, InferError> {
        self.model.count_tokens(text)
    }
}
