//! What every command asks that searches a test collection.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use corpus::TitleUse;
use index::Bm25;
use infer::{Embed, ModelSettings, Precision};
use search::Fusion;

use crate::collection::Collection;
use crate::models::Models;
use crate::report::{BootstrapPart, Settings};
use crate::retrieval::{EvalMode, Retrieval};

/// Tokens of a passage when nobody says.
const CHUNK_TOKENS: usize = 256;

/// The collection, the model, and how the one is indexed with the other.
#[derive(Debug, Args)]
pub(super) struct CollectionOptions {
    /// The collection: a folder with corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv.
    #[arg(long)]
    data: PathBuf,
    /// Which judgments.
    #[arg(long, default_value = "test")]
    split: String,
    /// The embedding model: `bundled`, or a sentence-transformers folder.
    #[arg(long, default_value = bundled::NAME)]
    model: String,
    /// Whether titles are embedded and matched: join or ignore.
    #[arg(long, default_value = "join", value_parser = parse_titles)]
    titles: TitleUse,
    /// The language of the lexical analysis.
    #[arg(long, default_value = "english")]
    language: String,
    /// BM25's k1.
    #[arg(long, default_value_t = Bm25::default().k1)]
    bm25_k1: f32,
    /// BM25's b.
    #[arg(long, default_value_t = Bm25::default().b)]
    bm25_b: f32,
    /// Tokens of a passage at most [default: 256, or less when the model reads less].
    #[arg(long)]
    chunk_tokens: Option<usize>,
    /// Tokens that neighbouring passages share.
    #[arg(long, default_value_t = 32)]
    chunk_overlap: usize,
    /// Candidate passages from each list.
    #[arg(long, default_value_t = 100)]
    depth: usize,
    /// Compare each query's vector with all others instead of walking the graph.
    #[arg(long)]
    exact: bool,
    /// Number type of the models' arithmetic: f32, bf16 or int8. Fewer bits are faster and round more.
    #[arg(long, value_name = "TYPE", default_value_t)]
    precision: Precision,
    /// Threads [default: one for each processor].
    #[arg(long)]
    threads: Option<usize>,
}

fn parse_titles(text: &str) -> Result<TitleUse, String> {
    match text {
        "join" => Ok(TitleUse::Join),
        "ignore" => Ok(TitleUse::Ignore),
        _ => Err(format!("{text:?}; accepted: join, ignore")),
    }
}

impl CollectionOptions {
    pub(super) fn threads(&self) -> usize {
        self.threads.unwrap_or_else(launch::threads)
    }

    pub(super) fn collection(&self) -> Result<Collection> {
        Collection::open(&self.data, &self.split)
    }

    /// The embedding model, and a cross-encoder when one is named.
    pub(super) fn models(&self, reranker: Option<&str>) -> Result<Models> {
        let settings = ModelSettings {
            threads: self.threads(),
            precision: Some(self.precision),
        };
        Models::open(&self.model, reranker, &settings)
    }

    /// The settings of an evaluation that keeps so many documents of a query; nothing is reranked.
    pub(super) fn settings(&self, models: &Models, modes: Vec<EvalMode>, documents: usize) -> Settings {
        Settings {
            split: self.split.clone(),
            precision: self.precision.to_string(),
            modes,
            titles: self.titles,
            language: self.language.clone(),
            bm25: Bm25 {
                k1: self.bm25_k1,
                b: self.bm25_b,
            },
            chunk_tokens: self
                .chunk_tokens
                .unwrap_or(models.embedder.tokens_max().min(CHUNK_TOKENS)),
            chunk_overlap: self.chunk_overlap,
            retrieval: Retrieval {
                documents_per_query: documents,
                depth: self.depth,
                fusion: Fusion::default(),
                exact: self.exact,
                rerank_top: 0,
                rerank_weight: None,
            },
            bootstrap: BootstrapPart::default(),
        }
    }
}
