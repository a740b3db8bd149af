//! A group of texts through all layers, on one thread.

use std::ops::Range;

use kernels::{AttentionScratch, Precision, Rows, Target, attention};

use super::{Engine, Layer, Table, Tokens};

/// Rows that take the feed-forward half of a layer together: their intermediate values stay in the cache.
pub(super) const BLOCK_ROWS: usize = 80;

/// The memory of one thread, kept from group to group.
pub(super) struct Scratch {
    /// Hidden states.
    pub(super) states: Vec<f32>,
    /// What a product gave, before it is added to the states.
    pub(super) added: Vec<f32>,
    /// Of a block, before it is rounded to 8 bits.
    pub(super) wide: Vec<f32>,
    /// The states, or what attention gave, as factors.
    pub(super) coded: Rows,
    pub(super) coded_wide: Rows,
    pub(super) query_key_value: Rows,
    pub(super) attention: AttentionScratch,
}

impl Scratch {
    pub(super) fn new(engine: &Engine) -> Self {
        Self::of_heads(engine, engine.heads.count)
    }

    /// For a thread that has so many of the heads.
    pub(super) fn of_heads(engine: &Engine, heads: usize) -> Self {
        let wide = engine
            .layers
            .first()
            .map_or(0, |layer| layer.intermediate.outputs());
        let all = 3 * engine.hidden / engine.heads.count * heads;
        // Scores of 8 bits would be too coarse. A pair of bf16 must not hold values of two heads.
        let has_pairs = (engine.hidden / engine.heads.count).is_multiple_of(2);
        let attention_precision = match engine.precision {
            Precision::Bf16 | Precision::Int8 if has_pairs => Precision::Bf16,
            _ => Precision::F32,
        };
        Self {
            states: Vec::new(),
            added: Vec::new(),
            wide: Vec::new(),
            coded: Rows::new(engine.precision, engine.hidden),
            coded_wide: Rows::new(engine.precision, wide),
            query_key_value: Rows::new(attention_precision, all),
            attention: AttentionScratch::default(),
        }
    }

    pub(super) fn resize(&mut self, rows: usize, hidden: usize) {
        let block = rows.min(BLOCK_ROWS);
        grow(&mut self.states, rows * hidden);
        grow(&mut self.added, rows * hidden);
        self.coded.resize(rows);
        self.query_key_value.resize(rows);
        self.coded_wide.resize(block);
        if self.coded_wide.precision() == Precision::Int8 {
            grow(&mut self.wide, block * self.coded_wide.width());
        }
    }
}

pub(super) fn grow(values: &mut Vec<f32>, count: usize) {
    if values.len() < count {
        values.resize(count, 0.0);
    }
}

impl Engine {
    /// Hidden states of the texts, one after the other. `observe` is given those of the embeddings and of each
    /// layer.
    pub(super) fn forward<'a>(
        &self,
        texts: &[&Tokens],
        scratch: &'a mut Scratch,
        observe: &mut dyn FnMut(&[f32]),
    ) -> Result<&'a [f32], String> {
        let rows = texts.iter().map(|text| text.ids.len()).sum();
        scratch.resize(rows, self.hidden);
        self.embed(texts, scratch)?;
        observe(&scratch.states[..rows * self.hidden]);
        for layer in &self.layers {
            layer.query_key_value.apply(
                self.set,
                &scratch.coded,
                0..rows,
                None,
                Target::Rows(&mut scratch.query_key_value, 0),
            );
            self.attend(texts, scratch);
            for first in (0..rows).step_by(BLOCK_ROWS) {
                self.finish_layer(layer, first..rows.min(first + BLOCK_ROWS), scratch);
            }
            observe(&scratch.states[..rows * self.hidden]);
        }
        Ok(&scratch.states[..rows * self.hidden])
    }

    /// Sums of the vectors of tokens, positions and segments, and their norm.
    pub(super) fn embed(&self, texts: &[&Tokens], scratch: &mut Scratch) -> Result<(), String> {
        let rows = texts.iter().flat_map(|text| {
            let ids = text.ids.iter().enumerate();
            ids.map(|(at, &id)| [id, at as u32, text.types.get(at).copied().unwrap_or(0)])
        });
        let states = scratch.states.chunks_exact_mut(self.hidden);
        let added = scratch.added.chunks_exact_mut(self.hidden);
        let mut count = 0;
        for ((keys, state), added) in rows.zip(states).zip(added) {
            let [token, position, segment] = [0, 1, 2].map(|table| self.look_up(table, keys[table]));
            state.copy_from_slice(token?);
            for ((sum, position), segment) in added.iter_mut().zip(position?).zip(segment?) {
                *sum = position + segment;
            }
            count += 1;
        }
        let values = count * self.hidden;
        self.norm
            .apply(self.set, &mut scratch.states[..values], &scratch.added[..values]);
        scratch.coded.encode(self.set, 0, &scratch.states[..values]);
        Ok(())
    }

    fn look_up(&self, table: usize, key: u32) -> Result<&[f32], String> {
        let Table { rows, lines } = &self.tables[table];
        if key as usize >= *rows {
            let what = ["token", "position", "segment"][table];
            return Err(format!("{what} {key}; accepted: below {rows}"));
        }
        Ok(&lines.floats()[key as usize * self.hidden..][..self.hidden])
    }

    /// Attention within each text, into `added`.
    fn attend(&self, texts: &[&Tokens], scratch: &mut Scratch) {
        let mut from = 0;
        for text in texts {
            let to = from + text.ids.len();
            attention(
                self.set,
                &scratch.query_key_value,
                from..to,
                self.heads,
                &mut scratch.added[from * self.hidden..to * self.hidden],
                &mut scratch.attention,
            );
            from = to;
        }
    }

    /// What a layer does after attention, for some rows.
    fn finish_layer(&self, layer: &Layer, rows: Range<usize>, scratch: &mut Scratch) {
        let values = rows.start * self.hidden..rows.end * self.hidden;
        let states = &mut scratch.states[values.clone()];
        let added = &mut scratch.added[values];
        scratch.coded.encode(self.set, rows.start, added);
        layer.attended.apply(
            self.set,
            &scratch.coded,
            rows.clone(),
            None,
            Target::Floats(added),
        );
        layer.attended_norm.apply(self.set, states, added);
        scratch.coded.encode(self.set, rows.start, states);

        let activation = Some(self.activation);
        let wide = match self.precision {
            Precision::Int8 => Target::Floats(&mut scratch.wide),
            Precision::F32 | Precision::Bf16 => Target::Rows(&mut scratch.coded_wide, 0),
        };
        layer
            .intermediate
            .apply(self.set, &scratch.coded, rows.clone(), activation, wide);
        if self.precision == Precision::Int8 {
            let count = rows.len() * scratch.coded_wide.width();
            scratch.coded_wide.encode(self.set, 0, &scratch.wide[..count]);
        }
        layer.output.apply(
            self.set,
            &scratch.coded_wide,
            0..rows.len(),
            None,
            Target::Floats(added),
        );
        layer.output_norm.apply(self.set, states, added);
        scratch.coded.encode(self.set, rows.start, states);
    }
}
