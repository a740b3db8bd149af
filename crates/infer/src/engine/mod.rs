//! The BERT encoder on the CPU, over `kernels`: no padding, and all layers of a few texts on one thread.
//!
//! Texts are put into groups of some hundred tokens. A thread takes a group through all layers in memory of its
//! own, which fits its cache and is used again for the next group; threads never wait for each other within a
//! group. A text's hidden states have the same bits in every group and on any number of threads.

mod group;
mod plan;
mod weights;

use std::sync::{Mutex, PoisonError};

use encoder::Config;
use kernels::{Activation, AttentionHeads, InstructionSet, LayerNorm, Linear, Precision};
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::head::activation;
use group::Scratch;
use plan::plan_groups;
pub(crate) use weights::Weights;

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
    tables: [Vec<f32>; 3],
    norm: LayerNorm,
    layers: Vec<Layer>,
    idle: Mutex<Vec<Scratch>>,
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
    /// Packs the encoder whose weights begin with `prefix`.
    pub(crate) fn new(
        weights: &Weights,
        prefix: &str,
        config: &Config,
        precision: Precision,
    ) -> Result<Self, String> {
        let norm = |name: String| weights.norm(&name, config);
        let table = |what: &str| weights.get(&format!("{prefix}embeddings.{what}_embeddings.weight"));
        let layer = |at: usize| -> Result<Layer, String> {
            let name = |part: &str| format!("{prefix}encoder.layer.{at}.{part}");
            let linear = |part: &str| weights.linear(&name(part), precision);
            Ok(Layer {
                query_key_value: linear("attention.self.qkv")?,
                attended: linear("attention.output.dense")?,
                attended_norm: norm(name("attention.output.LayerNorm"))?,
                intermediate: linear("intermediate.dense")?,
                output: linear("output.dense")?,
                output_norm: norm(name("output.LayerNorm"))?,
            })
        };
        Ok(Self {
            set: InstructionSet::best(),
            precision,
            hidden: config.hidden_size,
            heads: AttentionHeads {
                count: config.num_attention_heads,
                causal: config.is_decoder,
            },
            activation: activation(config.hidden_act),
            tables: [table("word")?, table("position")?, table("token_type")?],
            norm: norm(format!("{prefix}embeddings.LayerNorm"))?,
            layers: (0..config.num_hidden_layers)
                .map(layer)
                .collect::<Result<_, _>>()?,
            idle: Mutex::default(),
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
            [group] => vec![run(group)?],
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
        let states = self.forward(&texts, &mut scratch)?;
        let mut from = 0;
        let mut results = Vec::with_capacity(texts.len());
        for text in &texts {
            let to = from + text.ids.len() * self.hidden;
            results.push(finish(&states[from..to]));
            from = to;
        }
        self.idle().push(scratch);
        Ok(results)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Scratch>> {
        // Memory without meaning: nothing can be wrong with it.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
