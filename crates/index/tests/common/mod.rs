//! What the tests share: small documents, and a store that is too simple to be wrong.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
#![allow(dead_code, reason = "every test file uses some of it")]

use std::collections::BTreeMap;

use corpus::{Document, DocumentId, Filter, PreparedDocument, PreparedPassage, TitleUse};
use index::{Settings, WriterSettings};

pub(crate) const DIMENSION: usize = 4;

pub(crate) fn settings() -> Settings {
    Settings {
        dimension: DIMENSION,
        fingerprint: "model-1".into(),
        model: "bundled".into(),
        titles: TitleUse::Join,
        language: "english".into(),
        fold_accents: true,
        title_weight: 1,
        bm25: index::Bm25::default(),
        chunk_tokens: 256,
        chunk_overlap: 32,
    }
}

pub(crate) fn small_segments(passages: u32) -> WriterSettings {
    WriterSettings {
        segment_passages_max: passages,
        ..WriterSettings::default()
    }
}

pub(crate) fn id(name: impl ToString) -> DocumentId {
    DocumentId::new(name.to_string()).unwrap()
}

/// A vector of unit length out of a few directions, so that equal scores are frequent.
pub(crate) fn vector(seed: u64) -> Vec<f32> {
    let angle = (seed % 7) as f32;
    let raw: Vec<f32> = (0..DIMENSION).map(|i| (angle + i as f32).sin()).collect();
    let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt();
    raw.iter().map(|x| x / length).collect()
}

/// A document of sentences; every sentence is a passage.
pub(crate) fn document(
    name: impl ToString,
    title: &str,
    sentences: &[&str],
    metadata: serde_json::Value,
) -> PreparedDocument {
    let mut text = String::new();
    let mut passages = Vec::new();
    for (i, sentence) in sentences.iter().enumerate() {
        let start = text.len();
        text.push_str(sentence);
        let seed = (sentence.len() + i) as u64;
        passages.push(PreparedPassage {
            span: start..text.len(),
            vector: vector(seed),
        });
        text.push(' ');
    }
    let metadata = serde_json::from_value(metadata).unwrap();
    PreparedDocument {
        document: Document {
            id: id(name),
            title: title.into(),
            text,
            metadata,
        },
        passages,
    }
}

/// A list of documents by id, searched from the definitions.
#[derive(Default, Clone)]
pub(crate) struct Model(pub(crate) BTreeMap<DocumentId, PreparedDocument>);

/// Document, chunk and score.
pub(crate) type Ranked = Vec<(DocumentId, u32, f64)>;

impl Model {
    fn passages(&self) -> impl Iterator<Item = (&PreparedDocument, u32, String)> {
        self.0.values().flat_map(|prepared| {
            let document = &prepared.document;
            (0..).zip(&prepared.passages).map(move |(chunk, passage)| {
                let text = TitleUse::Join.searchable(&document.title, &document.text[passage.span.clone()]);
                (prepared, chunk, text)
            })
        })
    }

    /// BM25 by its formula, over all passages.
    pub(crate) fn matching(&self, query: &str, filter: Option<&Filter>) -> Ranked {
        let analyzer = lexical::Analyzer::new("english", true).unwrap();
        let terms = |text: &str| {
            analyzer
                .tokens(text)
                .into_iter()
                .map(|t| t.term)
                .collect::<Vec<_>>()
        };
        let passages: Vec<_> = self
            .passages()
            .map(|(p, chunk, text)| (p, chunk, terms(&text)))
            .collect();
        let total = passages.len() as f64;
        let length = |terms: &Vec<String>| f64::from(quantised(terms.len() as u32));
        let average = passages.iter().map(|(_, _, terms)| length(terms)).sum::<f64>() / total;
        let mut ranked = Ranked::new();
        for (prepared, chunk, words) in &passages {
            let mut score = 0.0;
            for term in terms(query) {
                let n = passages
                    .iter()
                    .filter(|(_, _, words)| words.contains(&term))
                    .count() as f64;
                let f = words.iter().filter(|word| **word == term).count() as f64;
                let idf = (1.0 + (total - n + 0.5) / (n + 0.5)).ln();
                score += idf * 2.2 * f / (f + 1.2 * (0.25 + 0.75 * length(words) / average));
            }
            if score > 0.0 && filter.is_none_or(|filter| filter.matches(&prepared.document.metadata)) {
                ranked.push((prepared.document.id.clone(), *chunk, score));
            }
        }
        sort(ranked)
    }

    /// The inner product with every vector.
    pub(crate) fn nearest(&self, vector: &[f32], filter: Option<&Filter>) -> Ranked {
        let fulfils = |p: &PreparedDocument| filter.is_none_or(|filter| filter.matches(&p.document.metadata));
        let ranked = self
            .passages()
            .filter(|(p, _, _)| fulfils(p))
            .map(|(prepared, chunk, _)| {
                let products = vector
                    .iter()
                    .zip(&prepared.passages[chunk as usize].vector)
                    .map(|(a, b)| a * b);
                (
                    prepared.document.id.clone(),
                    chunk,
                    f64::from(products.sum::<f32>()),
                )
            });
        sort(ranked.collect())
    }
}

fn sort(mut ranked: Ranked) -> Ranked {
    ranked.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)).then(a.1.cmp(&b.1)));
    ranked
}

/// Lengths up to 40 are stored as they are; the passages of these tests are shorter.
fn quantised(length: u32) -> u32 {
    assert!(length <= 40);
    length
}
