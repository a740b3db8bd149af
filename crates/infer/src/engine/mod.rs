//! The BERT encoder on the CPU, over `kernels`: no padding, and all layers of a few texts on one thread.
//!
//! Texts are put into groups of some hundred tokens. A thread takes a group through all layers in memory of its
//! own, which fits its cache and is used again for the next group; threads never wait for each other within a
//! group. A text's hidden states have the same bits in every group and on any number of threads.

mod group;
mod plan;
mod team;
mod weights;

use std::sync::{Mutex, PoisonError};

use encoder::Config;
use kernels::{Activation, AttentionHeads, InstructionSet, LayerNorm, Linear, Lines, Precision};
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::head::activation;
use group::Scratch;
use plan::plan_groups;
use team::Team;
pub(crate) use weights::{Parts, Weights};

/// The tokens of one text or pair.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tokens {
    /// Token ids.
    pub(crate) ids: Vec<u32>,
    /// Segment ids; none for a text of segment 0.
    pub(crate) types: Vec<u32>,
}

/// An encoder with packed weights.
pub(crate) struct Engine {
    set: InstructionSet,
    precision: Precision,
    hidden: usize,
    heads: AttentionHeads,
    activation: Activation,
    /// Vectors of tokens, positions and segments.
    tables: [Table; 3],
    norm: LayerNorm,
    layers: Vec<Layer>,
    idle: Mutex<Vec<Scratch>>,
    /// Of the threads that share a text, once there was one.
    team: Mutex<Option<Team>>,
}

/// Vectors by key.
struct Table {
    rows: usize,
    lines: Lines,
}

struct Layer {
    query_key_value: Linear,
    attended: Linear,
    attended_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

impl Engine {
    /// Puts an encoder together.
    ///
    /// # Errors
    /// A part that is missing or does not fit the configuration.
    pub(crate) fn new(parts: &mut dyn Parts, config: &Config, precision: Precision) -> Result<Self, String> {
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let mut table = |what: &str, rows: usize| -> Result<Table, String> {
            let lines = parts.values(&format!("embeddings.{what}_embeddings.weight"), &[rows, hidden])?;
            Ok(Table { rows, lines })
        };
        let tables = [
            table("word", config.vocab_size)?,
            table("position", config.max_position_embeddings)?,
            table("token_type", config.type_vocab_size)?,
        ];
        let norm = parts.norm("embeddings.LayerNorm", config)?;
        let mut layer = |at: usize| -> Result<Layer, String> {
            let name = |part: &str| format!("encoder.layer.{at}.{part}");
            let square = [hidden, hidden];
            Ok(Layer {
                query_key_value: parts.linear(&name("attention.self"), &["query", "key", "value"], square)?,
                attended: parts.linear(&name("attention.output.dense"), &[], square)?,
                attended_norm: parts.norm(&name("attention.output.LayerNorm"), config)?,
                intermediate: parts.linear(&name("intermediate.dense"), &[], [wide, hidden])?,
                output: parts.linear(&name("output.dense"), &[], [hidden, wide])?,
                output_norm: parts.norm(&name("output.LayerNorm"), config)?,
            })
        };
        let layers = (0..config.num_hidden_layers)
            .map(&mut layer)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            set: InstructionSet::best(),
            precision,
            hidden,
            heads: AttentionHeads {
                count: config.num_attention_heads,
                causal: config.is_decoder,
            },
            activation: activation(config.hidden_act),
            tables,
            norm,
            layers,
            idle: Mutex::default(),
            team: Mutex::default(),
        })
    }

    /// The instructions that it runs on.
    pub(crate) fn set(&self) -> InstructionSet {
        self.set
    }

    /// Multiplications and additions in the layers, for a text of so many tokens.
    pub(crate) fn operations(&self, tokens: usize) -> u64 {
        let products = |layer: &Layer| {
            let linears = [
                &layer.query_key_value,
                &layer.attended,
                &layer.intermediate,
                &layer.output,
            ];
            let linear: usize = linears
                .iter()
                .map(|linear| linear.inputs() * linear.outputs())
                .sum();
            linear + 2 * tokens * self.hidden
        };
        2 * (tokens * self.layers.iter().map(products).sum::<usize>()) as u64
    }

    /// What `finish` makes of the hidden states (tokens, hidden) of each text, in the order of the texts. It runs
    /// on the threads of `pool`, or on this thread when there is only one group of texts.
    ///
    /// # Errors
    /// A token, a segment or a position that the model does not have.
    pub(crate) fn run<T: Send>(
        &self,
        texts: &[Tokens],
        pool: &ThreadPool,
        finish: impl Fn(&[f32]) -> T + Sync,
    ) -> Result<Vec<T>, String> {
        let lengths: Vec<usize> = texts.iter().map(|text| text.ids.len()).collect();
        let groups = plan_groups(&lengths, pool.current_num_threads());
        let run = |group: &Vec<usize>| self.run_group(texts, group, &finish);
        let parts: Vec<Vec<T>> = match groups.as_slice() {
            [group] => vec![match self.run_together(texts, group, pool, &finish) {
                Some(results) => results?,
                None => run(group)?,
            }],
            groups => pool.install(|| {
                groups
                    .par_iter()
                    .with_max_len(1)
                    .map(run)
                    .collect::<Result<_, _>>()
            })?,
        };
        let mut placed: Vec<(usize, T)> = groups
            .into_iter()
            .flatten()
            .zip(parts.into_iter().flatten())
            .collect();
        placed.sort_unstable_by_key(|(at, _)| *at);
        Ok(placed.into_iter().map(|(_, result)| result).collect())
    }

    fn run_group<T>(
        &self,
        texts: &[Tokens],
        group: &[usize],
        finish: &impl Fn(&[f32]) -> T,
    ) -> Result<Vec<T>, String> {
        let texts: Vec<&Tokens> = group.iter().map(|&at| &texts[at]).collect();
        let mut scratch = self.idle().pop().unwrap_or_else(|| Scratch::new(self));
        let states = self.forward(&texts, &mut scratch, &mut |_| ())?;
        let results = self.finish(&texts, states, finish);
        self.idle().push(scratch);
        Ok(results)
    }

    /// Runs one group on several threads; none when it should run on one.
    fn run_together<T>(
        &self,
        texts: &[Tokens],
        group: &[usize],
        pool: &ThreadPool,
        finish: &impl Fn(&[f32]) -> T,
    ) -> Option<Result<Vec<T>, String>> {
        // Threads wait for each other in a team, so there is one team at a time.
        let mut team = self.team.try_lock().ok()?;
        if team.is_none() {
            *team = Team::new(self, pool.current_num_threads());
        }
        let team = team.as_mut()?;
        let texts: Vec<&Tokens> = group.iter().map(|&at| &texts[at]).collect();
        let states = self.forward_together(&texts, team, pool);
        Some(states.map(|states| self.finish(&texts, states, finish)))
    }

    fn finish<T>(&self, texts: &[&Tokens], states: &[f32], finish: &impl Fn(&[f32]) -> T) -> Vec<T> {
        let mut from = 0;
        let mut results = Vec::with_capacity(texts.len());
        for text in texts {
            let to = from + text.ids.len() * self.hidden;
            results.push(finish(&states[from..to]));
            from = to;
        }
        results
    }

    /// Hidden states (tokens, hidden) of one text: those of the embeddings and of each layer.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub(crate) fn layer_states(&self, text: &Tokens) -> Result<Vec<Vec<f32>>, String> {
        let mut states = Vec::with_capacity(self.layers.len() + 1);
        let mut scratch = Scratch::new(self);
        self.forward(&[text], &mut scratch, &mut |layer| states.push(layer.to_vec()))?;
        Ok(states)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Scratch>> {
        // Memory without meaning: nothing can be wrong with it.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
