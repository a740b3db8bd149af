//! A bi-encoder from a model folder.

use std::ops::Range;

use encoder::{Batch, Device, ModelFiles, Pass, SentenceEncoder};
use rayon::ThreadPool;
use serde::Deserialize;
use text::Tokenizer;

use crate::open::{check_batch_tokens, check_vocabulary, open_tokenizer, tokenize};
use crate::prompts::Prompts;
use crate::{Embed, InferError, Role, plan_batches, threads};

/// Texts that are tokenized before the first of them is embedded.
const ROUND_TEXTS: usize = 1024;

/// How a model is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbedderSettings {
    /// Threads that the model uses, and no more; 1 to 1024. On the CPU a thread per physical core is fastest.
    pub threads: usize,
    /// Tokens that go through the model together, padding included; at least 1. More need more memory; on the
    /// CPU, a few thousand are as fast as any.
    pub batch_tokens_max: usize,
}

impl EmbedderSettings {
    /// The usual batches on this many threads.
    pub fn new(threads: usize) -> Self {
        Self {
            threads,
            batch_tokens_max: 4096,
        }
    }
}

/// A sentence-transformers model on the CPU.
pub struct Embedder {
    model: SentenceEncoder,
    tokenizer: Tokenizer,
    prompts: Prompts,
    pool: ThreadPool,
    name: String,
    fingerprint: String,
    tokens_max: usize,
    batch_tokens_max: usize,
}

impl Embedder {
    /// Opens a model with its tokenizer (`tokenizer.json` or `vocab.txt`), its longest input
    /// (`sentence_bert_config.json`, else `max_position_embeddings`) and its prompts
    /// (`config_sentence_transformers.json`). What has more tokens than the longest input is cut at its end.
    ///
    /// # Errors
    /// [`InferError::Open`] names the model and what is wrong with which file; [`InferError::Setting`] a setting
    /// out of range.
    pub fn open(files: &ModelFiles, settings: &EmbedderSettings) -> Result<Self, InferError> {
        let pool = threads::pool(settings.threads)?;
        check_batch_tokens(settings.batch_tokens_max)?;
        let name = files.describe();
        let refuse = |reason: String| InferError::Open {
            model: name.clone(),
            reason,
        };
        let model = SentenceEncoder::open(files, &Device::Cpu).map_err(|e| refuse(e.to_string()))?;
        let tokenizer = open_tokenizer(files).map_err(refuse)?;
        check_vocabulary(&tokenizer, model.bert().config().vocab_size).map_err(refuse)?;
        check_settings(files).map_err(refuse)?;
        let prompts = open_prompts(files).map_err(refuse)?;
        let fingerprint = files.fingerprint().map_err(|e| refuse(e.to_string()))?;
        let used = |role| {
            tokenizer
                .count_tokens(prompts.of(role))
                .map_err(|e| refuse(e.to_string()))
        };
        let used = used(Role::Passage)?.max(used(Role::Query)?);
        let tokens_max = model.max_seq_length().saturating_sub(used);
        if tokens_max <= tokenizer.special_count(false) {
            let longest = model.max_seq_length();
            return Err(refuse(format!(
                "{longest} tokens leave no room for text beside the prompt"
            )));
        }
        Ok(Self {
            fingerprint: fingerprint.to_string(),
            tokens_max,
            batch_tokens_max: settings.batch_tokens_max,
            model,
            tokenizer,
            prompts,
            pool,
            name,
        })
    }

    fn embed_round(&self, texts: &[&str], prompt: &str) -> Result<Vec<Vec<f32>>, InferError> {
        let mut rows = self.tokenize(texts, prompt)?;
        let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
        let mut vectors = vec![Vec::new(); rows.len()];
        for batch in plan_batches(&lengths, self.batch_tokens_max) {
            let batch_rows: Vec<Vec<u32>> = batch.iter().map(|&at| std::mem::take(&mut rows[at])).collect();
            let found = self.forward(&batch_rows).map_err(|error| InferError::Run {
                model: self.name.clone(),
                reason: error.to_string(),
            })?;
            for (at, vector) in batch.into_iter().zip(found) {
                vectors[at] = vector;
            }
        }
        for (at, vector) in vectors.iter_mut().enumerate() {
            self.normalize(at, vector)?;
        }
        Ok(vectors)
    }

    /// Token ids of each text, with special tokens.
    fn tokenize(&self, texts: &[&str], prompt: &str) -> Result<Vec<Vec<u32>>, InferError> {
        let prompted: Vec<String>;
        let mut wanted = texts.to_vec();
        if !prompt.is_empty() {
            prompted = texts.iter().map(|text| format!("{prompt}{text}")).collect();
            wanted = prompted.iter().map(String::as_str).collect();
        }
        let encodings = self.tokenizer.encode_batch(&wanted, self.model.max_seq_length());
        let rows = encodings
            .map_err(tokenize)?
            .into_iter()
            .map(|encoding| encoding.ids);
        // Without special tokens an empty text would have no token at all, and the model needs one.
        let unknown = self.tokenizer.special().unknown;
        Ok(rows
            .map(|ids| if ids.is_empty() { vec![unknown] } else { ids })
            .collect())
    }

    fn forward(&self, rows: &[Vec<u32>]) -> encoder::Result<Vec<Vec<f32>>> {
        let batch = Batch::new(rows, None, self.tokenizer.special().pad, &Device::Cpu)?;
        Ok(self.model.forward(&batch, &mut Pass::infer())?.to_vec2()?)
    }

    /// Gives the vector unit length, whether or not the model does so.
    fn normalize(&self, text: usize, vector: &mut [f32]) -> Result<(), InferError> {
        match kernels::normalize(vector) {
            Some(_) => Ok(()),
            None => Err(InferError::NotFinite {
                model: self.name.clone(),
                text,
                found: "a vector without a direction (zero, infinite or not a number)".to_owned(),
            }),
        }
    }
}

impl Embed for Embedder {
    fn embed(&self, texts: &[&str], role: Role) -> Result<Vec<Vec<f32>>, InferError> {
        let prompt = self.prompts.of(role);
        let mut vectors = Vec::with_capacity(texts.len());
        for round in texts.chunks(ROUND_TEXTS) {
            vectors.extend(self.pool.install(|| self.embed_round(round, prompt))?);
        }
        Ok(vectors)
    }

    fn dimension(&self) -> usize {
        self.model.dimension()
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn tokens_max(&self) -> usize {
        self.tokens_max
    }

    fn chunk(&self, text: &str, tokens: usize, overlap: usize) -> Result<Vec<Range<usize>>, InferError> {
        self.tokenizer.chunk(text, tokens, overlap).map_err(tokenize)
    }

    fn count_tokens(&self, text: &str) -> Result<usize, InferError> {
        self.tokenizer.count_tokens(text).map_err(tokenize)
    }
}

fn open_prompts(files: &ModelFiles) -> Result<Prompts, String> {
    const FILE: &str = "config_sentence_transformers.json";
    if !files.has(FILE) {
        return Ok(Prompts::default());
    }
    let bytes = files.read(FILE).map_err(|error| error.to_string())?;
    Prompts::from_json(&bytes).map_err(|error| format!("{FILE}: {error}"))
}

#[derive(Deserialize)]
struct SentenceSettings {
    #[serde(default)]
    do_lower_case: Option<bool>,
}

/// Refuses a setting that would change the texts before the tokenizer, which is not done here.
fn check_settings(files: &ModelFiles) -> Result<(), String> {
    const FILE: &str = "sentence_bert_config.json";
    if !files.has(FILE) {
        return Ok(());
    }
    let bytes = files.read(FILE).map_err(|error| error.to_string())?;
    let settings: SentenceSettings =
        serde_json::from_slice(&bytes).map_err(|error| format!("{FILE}: {error}"))?;
    if settings.do_lower_case == Some(true) {
        return Err(format!(
            "{FILE}: do_lower_case is true; accepted: false (the tokenizer itself may lower the case)"
        ));
    }
    Ok(())
}
