//! A model without weights, a clock that only tests move, and a store filled through the front door.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use corpus::{Document, DocumentId, TitleUse, WriteStore};
use infer::{Embed, InferError, Read, Reading, Rerank, Role};
use search::ingest::{IngestSettings, prepare};
use search::memory::MemoryStore;
use search::{Clock, Searcher};

pub const DIMENSION: usize = 16;

/// Every letter pair of a text adds one to one of a few components: texts with common parts are near each other.
/// A token is a word; two special tokens.
#[derive(Default)]
pub struct PairEmbedder {
    /// Texts of each call.
    pub calls: Mutex<Vec<Vec<String>>>,
}

impl Embed for PairEmbedder {
    fn embed(&self, texts: &[&str], _: Role) -> Result<Vec<Vec<f32>>, InferError> {
        let call = texts.iter().map(|&text| text.to_owned()).collect();
        self.calls.lock().unwrap().push(call);
        Ok(texts.iter().map(|text| embed_one(text)).collect())
    }

    fn dimension(&self) -> usize {
        DIMENSION
    }

    fn fingerprint(&self) -> &str {
        "pairs"
    }

    fn tokens_max(&self) -> usize {
        64
    }

    fn chunk(&self, text: &str, tokens: usize, overlap: usize) -> Result<Vec<Range<usize>>, InferError> {
        let room = tokens.checked_sub(2).filter(|&room| room > overlap);
        let room = room.ok_or(InferError::Tokenize {
            reason: format!("{tokens} tokens leave no room"),
        })?;
        let words: Vec<usize> = words(text).map(|word| word.start).collect();
        let mut chunks = Vec::new();
        let mut first = 0;
        while !text.is_empty() {
            let begin = if first == 0 { 0 } else { words[first] };
            match words.get(first + room) {
                Some(&end) => chunks.push(begin..end),
                None => {
                    chunks.push(begin..text.len());
                    break;
                }
            }
            first += room - overlap;
        }
        Ok(chunks)
    }

    fn count_tokens(&self, text: &str) -> Result<usize, InferError> {
        Ok(words(text).count())
    }
}

fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.split_whitespace().map(move |word| {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        start..start + word.len()
    })
}

fn embed_one(text: &str) -> Vec<f32> {
    let mut vector = [0.01; DIMENSION];
    for pair in text.to_lowercase().as_bytes().windows(2) {
        let mut hasher = DefaultHasher::new();
        pair.hash(&mut hasher);
        vector[(hasher.finish() % DIMENSION as u64) as usize] += 1.0;
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter().map(|x| x / length).collect()
}

/// Prefers short passages; every call takes 10 ms of the clock.
pub struct ShortFirst<'a>(pub &'a Ticks);

impl Rerank for ShortFirst<'_> {
    fn score(&self, _: &str, passages: &[&str]) -> Result<Vec<f32>, InferError> {
        self.0.0.fetch_add(10, Ordering::Relaxed);
        Ok(passages.iter().map(|passage| -(passage.len() as f32)).collect())
    }

    fn fingerprint(&self) -> &str {
        "short first"
    }
}

/// Reads the first number of a text as the answer, surer of it the greater it is; without a number its first word,
/// surer of none. Every call takes 10 ms of the clock.
impl Read for ShortFirst<'_> {
    fn read(&self, questions: &[(&str, &str)]) -> Result<Vec<Reading>, InferError> {
        self.0.0.fetch_add(10, Ordering::Relaxed);
        let read = |&(_, text): &(&str, &str)| {
            let number = words(text).find_map(|word| Some((text[word.clone()].parse().ok()?, word)));
            let first = || Some((-5.0, words(text).next()?));
            let (score, span) = number.or_else(first).unwrap_or((f32::NEG_INFINITY, 0..0));
            Reading {
                span,
                score,
                nothing: 0.0,
            }
        };
        Ok(questions.iter().map(read).collect())
    }

    fn threshold(&self) -> f32 {
        1.0
    }

    fn fingerprint(&self) -> &str {
        "numbers"
    }
}

/// A clock that stands still unless a test moves it; in milliseconds.
#[derive(Default)]
pub struct Ticks(pub AtomicU64);

impl Clock for Ticks {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// A document without metadata.
pub fn document(id: &str, title: &str, text: &str) -> Document {
    Document {
        id: DocumentId::new(id).unwrap(),
        title: title.to_owned(),
        text: text.to_owned(),
        metadata: corpus::Metadata::new(),
    }
}

/// A committed store of these documents, in passages of 32 tokens.
pub fn store(documents: Vec<Document>) -> MemoryStore {
    let settings = IngestSettings {
        chunk_tokens: 32,
        chunk_overlap: 4,
        ..IngestSettings::default()
    };
    let model = PairEmbedder::default();
    let mut store = MemoryStore::new(DIMENSION, model.fingerprint(), TitleUse::Join);
    store.add(prepare(&model, documents, &settings).unwrap()).unwrap();
    store.commit().unwrap();
    store
}

/// A searcher with all models.
pub fn searcher<'a>(
    store: &'a MemoryStore,
    embed: &'a PairEmbedder,
    rerank: &'a ShortFirst<'a>,
) -> Searcher<'a> {
    Searcher {
        store,
        embed: Some(embed),
        rerank: Some(rerank),
        read: Some(rerank),
        clock: rerank.0,
    }
}
