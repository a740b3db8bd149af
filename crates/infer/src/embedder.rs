//! A bi-encoder from a model folder.

use std::ops::Range;

use encoder::{ModelFiles, Pooling, Projection, SentenceLayout};
use kernels::{Activation, InstructionSet, Precision};
use rayon::ThreadPool;
use rayon::prelude::*;
use serde::Deserialize;
use text::Tokenizer;

use crate::engine::{Engine, Parts, Tokens, Weights};
use crate::head::{Dense, pool};
use crate::layer_error::{LayerError, LayerErrors};
use crate::open::{check_vocabulary, open_engine, open_tokenizer, tokenize};
use crate::prompts::Prompts;
use crate::{Embed, InferError, ModelSettings, Role, threads};

/// Texts that are tokenized before the first of them is embedded.
const ROUND_TEXTS: usize = 1024;

/// A sentence-transformers model on the CPU.
pub struct Embedder {
    engine: Engine,
    precision: Precision,
    pooling: Pooling,
    projection: Option<Dense>,
    tokenizer: Tokenizer,
    prompts: Prompts,
    pool: ThreadPool,
    name: String,
    fingerprint: String,
    notes: Vec<String>,
    /// Components of the hidden states, and of a vector.
    width: usize,
    dimension: usize,
    /// Tokens that the model reads, and how many of them are left for a text.
    longest: usize,
    tokens_max: usize,
}

impl Embedder {
    /// Opens a model with its tokenizer (`tokenizer.json` or `vocab.txt`), its longest input
    /// (`sentence_bert_config.json`, else `max_position_embeddings`) and its prompts
    /// (`config_sentence_transformers.json`). What has more tokens than the longest input is cut at its end.
    ///
    /// # Errors
    /// [`InferError::Open`] names the model and what is wrong with which file; [`InferError::Setting`] a setting
    /// out of range.
    pub fn open(files: &ModelFiles, settings: &ModelSettings) -> Result<Self, InferError> {
        let pool = threads::pool(settings.threads)?;
        let name = files.describe();
        let refuse = |reason: String| InferError::Open {
            model: name.clone(),
            reason,
        };
        let layout = SentenceLayout::open(files).map_err(|e| refuse(e.to_string()))?;
        let tokenizer = open_tokenizer(files).map_err(refuse)?;
        check_vocabulary(&tokenizer, layout.config.vocab_size).map_err(refuse)?;
        check_settings(files).map_err(refuse)?;
        let prompts = open_prompts(files).map_err(refuse)?;
        let used = |role| {
            tokenizer
                .count_tokens(prompts.of(role))
                .map_err(|e| refuse(e.to_string()))
        };
        let used = used(Role::Passage)?.max(used(Role::Query)?);
        let longest = layout.max_seq_length;
        let tokens_max = longest.saturating_sub(used);
        if tokens_max <= tokenizer.special_count(false) {
            return Err(refuse(format!(
                "{longest} tokens leave no room for text beside the prompt"
            )));
        }
        let opened = open_engine(files, &layout.config, settings.precision).map_err(refuse)?;
        let projection = layout
            .projection
            .as_ref()
            .map(|projection| open_projection(files, projection));
        Ok(Self {
            width: layout.config.hidden_size,
            dimension: layout.dimension(),
            pooling: layout.pooling,
            projection: projection.transpose().map_err(refuse)?,
            engine: opened.engine,
            precision: opened.precision,
            fingerprint: opened.fingerprint,
            notes: opened.notes,
            longest,
            tokens_max,
            tokenizer,
            prompts,
            pool,
            name,
        })
    }

    /// What somebody who opened the model should know: packed weights that could not be used, a precision that
    /// was measured to cost much.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The number type of its arithmetic.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The instructions that its arithmetic runs on.
    pub fn instruction_set(&self) -> InstructionSet {
        self.engine.set()
    }

    /// Multiplications and additions in the layers for a text of so many tokens, special ones included.
    pub fn operations(&self, tokens: usize) -> u64 {
        self.engine.operations(tokens)
    }

    /// How far the hidden states are from those of `reference`, the same model in another precision, over all
    /// tokens of `texts`: one entry for the embeddings and one for each layer, each with what the layers before it
    /// brought along.
    ///
    /// # Errors
    /// When one of the two cannot be run, or `reference` is another model.
    pub fn layer_errors(&self, reference: &Self, texts: &[&str]) -> Result<Vec<LayerError>, InferError> {
        let failed = |reason: String| InferError::Run {
            model: self.name.clone(),
            reason,
        };
        if self.fingerprint != reference.fingerprint {
            return Err(failed(format!("{} is another model", reference.name)));
        }
        let mut errors = LayerErrors::default();
        for text in self.tokenize(texts, self.prompts.of(Role::Passage))? {
            let exact = reference.engine.layer_states(&text).map_err(failed)?;
            let found = self.engine.layer_states(&text).map_err(failed)?;
            errors.add(&exact, &found, self.width);
        }
        Ok(errors.finish())
    }

    fn embed_round(&self, texts: &[&str], prompt: &str) -> Result<Vec<Vec<f32>>, InferError> {
        let texts = self.tokenize(texts, prompt)?;
        let finish = |states: &[f32]| {
            let pooled = pool(self.pooling, states, self.width);
            match &self.projection {
                Some(dense) => dense.apply(self.engine.set(), &pooled),
                None => pooled,
            }
        };
        let vectors = self.engine.run(&texts, &self.pool, finish);
        let mut vectors = vectors.map_err(|reason| InferError::Run {
            model: self.name.clone(),
            reason,
        })?;
        for (at, vector) in vectors.iter_mut().enumerate() {
            self.normalize(at, vector)?;
        }
        Ok(vectors)
    }

    /// Tokens of each text, with special ones.
    fn tokenize(&self, texts: &[&str], prompt: &str) -> Result<Vec<Tokens>, InferError> {
        let prompted: Vec<String>;
        let mut wanted = texts.to_vec();
        if !prompt.is_empty() {
            prompted = texts.iter().map(|text| format!("{prompt}{text}")).collect();
            wanted = prompted.iter().map(String::as_str).collect();
        }
        let ids = |text: &&str| self.tokenizer.ids(text, self.longest);
        // One text is not worth waking a thread for.
        let ids: Result<Vec<Vec<u32>>, _> = match wanted.as_slice() {
            [text] => ids(text).map(|ids| vec![ids]),
            texts => self.pool.install(|| texts.par_iter().map(ids).collect()),
        };
        // Without special tokens an empty text would have no token at all, and the model needs one.
        let unknown = self.tokenizer.special().unknown;
        let tokens = ids.map_err(tokenize)?.into_iter().map(|ids| Tokens {
            ids: if ids.is_empty() { vec![unknown] } else { ids },
            types: Vec::new(),
        });
        Ok(tokens.collect())
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
            vectors.extend(self.embed_round(round, prompt)?);
        }
        Ok(vectors)
    }

    fn dimension(&self) -> usize {
        self.dimension
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

fn open_projection(files: &ModelFiles, projection: &Projection) -> Result<Dense, String> {
    let mut weights = Weights::of_file(files, &projection.weights_file(), Precision::F32)?;
    Ok(Dense {
        linear: weights.linear("linear", &[], [projection.output, projection.input])?,
        activation: projection.tanh.then_some(Activation::Tanh),
    })
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
