//! Batches of a run or of its evaluation: sequences with what is to be predicted in them.

use std::path::PathBuf;

use encoder::Config;
use rand::Rng;
use serde::Serialize;
use text::Tokenizer;

use super::frame::{Frame, Row};
use super::masking::Mask;
use super::pairs::Pairs;
use super::recipe::{MlmRecipe, Phase};
use super::sequences::{Sequences, phase_of};
use super::stream::Stream;
use crate::error::{Error, Result};
use crate::{loss, random};

/// Sequences with what is to be predicted in them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MlmBatch {
    /// Token ids.
    pub(super) rows: Vec<Vec<u32>>,
    /// Segment ids of the same lengths.
    pub(super) types: Vec<Vec<u32>>,
    /// Tokens whose output is looked at, counted over rows filled up to the longest (row × longest + token).
    pub(crate) places: Vec<u32>,
    /// What is to be predicted there.
    pub(crate) targets: Vec<u32>,
    /// For pairs: 0 when the second segment follows the first, else 1.
    pub(super) labels: Vec<u32>,
}

/// All batches of some texts.
pub(super) struct Examples {
    stream: Stream,
    phases: Vec<Phase>,
    sequences: Vec<Sequences>,
    /// Batches of the run.
    batches: u64,
    frame: Frame,
    pairs: Pairs,
    objective: Objective,
    seed: u64,
}

/// What is predicted in a sequence.
enum Objective {
    /// The hidden tokens.
    Blanks(Mask),
    /// Each next token.
    NextTokens,
}

/// Evaluations hide the same tokens whatever the seed of their run, so that runs can be compared.
const HELD_OUT_SEED: u64 = 0;

impl Examples {
    /// Reads files for the phases of a run.
    ///
    /// # Errors
    /// Files that are missing or damaged, too few of them for a batch, settings out of range.
    pub(super) fn read(
        recipe: &MlmRecipe,
        files: &[PathBuf],
        config: &Config,
        tokenizer: &Tokenizer,
    ) -> Result<Self> {
        let phases = recipe.data.phases()?;
        let batches = recipe.schedule.steps * recipe.optimizer.accumulate;
        Self::of(recipe, files, config, tokenizer, phases, batches)
    }

    /// Reads the held-out files of a run, for sequences as in its last phase.
    ///
    /// # Errors
    /// As [`Examples::read`].
    pub(super) fn held_out(recipe: &MlmRecipe, config: &Config, tokenizer: &Tokenizer) -> Result<Self> {
        let last: Vec<Phase> = recipe
            .data
            .phases()?
            .into_iter()
            .next_back()
            .into_iter()
            .collect();
        let mut examples = Self::of(recipe, &recipe.data.held_out, config, tokenizer, last, 0)?;
        let most = (recipe.data.held_out_sequences / examples.phases[0].batch).max(1) as u64;
        examples.batches = examples.sequences[0].batches_an_epoch().min(most);
        examples.seed = HELD_OUT_SEED;
        Ok(examples)
    }

    fn of(
        recipe: &MlmRecipe,
        files: &[PathBuf],
        config: &Config,
        tokenizer: &Tokenizer,
        phases: Vec<Phase>,
        batches: u64,
    ) -> Result<Self> {
        let special = tokenizer.special();
        let with_pairs = recipe.data.pairs != Pairs::None;
        let frame = match with_pairs {
            true => Frame::pair(tokenizer)?,
            false => Frame::single(tokenizer)?,
        };
        let objective = match config.is_decoder {
            true => Objective::NextTokens,
            false => Objective::Blanks(Mask::new(
                recipe.data.masking.clone(),
                recipe.data.masked,
                special,
                tokenizer.vocabulary_size(),
            )?),
        };
        // A tokenizer with a frame has a closing token, but perhaps not by a name that is known.
        let stream = Stream::read(files, tokenizer, special.sep.unwrap_or(special.pad))?;
        let least = if with_pairs { 2 } else { 1 };
        let sequences = phases.iter().zip(0..).map(|(phase, number)| {
            let room = phase.tokens.saturating_sub(frame.len());
            if room < least {
                return Err(too_short(phase, frame.len() + least));
            }
            let cut = Sequences::new(
                &stream,
                room,
                phase.batch,
                number,
                recipe.data.packing,
                with_pairs,
            );
            match cut.batches_an_epoch() {
                0 => Err(too_few(phase, cut.pieces.len(), files)),
                _ => Ok(cut),
            }
        });
        let sequences = sequences.collect::<Result<Vec<_>>>()?;
        if recipe.data.pairs == Pairs::NextSentence {
            check_documents(&stream, &sequences)?;
        }
        Ok(Self {
            phases,
            sequences,
            batches,
            frame,
            pairs: recipe.data.pairs,
            objective,
            seed: recipe.seed,
            stream,
        })
    }

    /// Tokens read, with one separator for each document.
    pub(super) fn tokens(&self) -> usize {
        self.stream.len()
    }

    /// Batches of a run, or of an evaluation.
    pub(super) fn batches(&self) -> u64 {
        self.batches
    }

    /// The loss of guesses by how frequent tokens are.
    pub(super) fn blind_loss(&self) -> f64 {
        loss::of_frequencies(self.stream.ids().map(|id| id as usize))
    }

    /// Counts, in one line.
    pub(super) fn describe(&self) -> String {
        let phases = self.phases.iter().zip(&self.sequences).map(|(phase, sequences)| {
            format!(
                "{} sequences of {} tokens, {} batches an epoch",
                sequences.pieces.len(),
                phase.tokens,
                sequences.batches_an_epoch()
            )
        });
        let phases: Vec<String> = phases.collect();
        let documents = self.stream.documents().len();
        format!(
            "{} tokens of {documents} documents in {}",
            self.tokens(),
            phases.join(", then ")
        )
    }

    /// A batch by its number.
    ///
    /// # Errors
    /// When there is nothing to predict in it.
    pub(super) fn batch(&self, number: u64) -> Result<MlmBatch> {
        let (phase, within) = phase_of(&self.phases, self.batches, number);
        let sequences = &self.sequences[phase];
        let mut random = random::stream(self.seed, "masking", number);
        let mut batch = MlmBatch::default();
        let mut predicted = Vec::new();
        for piece in sequences.batch(self.seed, within) {
            let (mut row, label) = self.row(sequences, piece, &mut random);
            predicted.push(self.predict(&mut row, &mut random));
            batch.labels.extend(label);
            batch.rows.push(row.ids);
            batch.types.push(row.types);
        }
        let longest = batch.rows.iter().map(Vec::len).max().unwrap_or(0);
        for (row, predicted) in predicted.into_iter().enumerate() {
            for (at, id) in predicted {
                batch.places.push((row * longest + at) as u32);
                batch.targets.push(id);
            }
        }
        match batch.places.is_empty() {
            false => Ok(batch),
            true => Err(Error::Mismatch {
                what: format!("batch {number} of the texts"),
                expected: "a token that the vocabulary knows".into(),
                found: "none in all its sequences".into(),
            }),
        }
    }

    /// A framed sequence, and the label of its pair.
    fn row(&self, sequences: &Sequences, piece: usize, random: &mut impl Rng) -> (Row, Option<u32>) {
        let range = &sequences.pieces[piece];
        match &sequences.sentences {
            None => (self.frame.row([self.stream.tokens(range.clone())]), None),
            Some(sentences) => {
                let pair = sentences.pair(&self.stream, range, &sequences.pieces, self.pairs, random);
                let texts = pair.segments.map(|segment| self.stream.tokens(segment));
                (self.frame.row(texts), Some(pair.label))
            }
        }
    }

    /// Where something is to be predicted in a row, and what.
    fn predict(&self, row: &mut Row, random: &mut impl Rng) -> Vec<(usize, u32)> {
        match &self.objective {
            Objective::Blanks(mask) => mask.hide(row, random),
            // The closing token stands where the sequence was cut, which nobody can know.
            Objective::NextTokens => (self.frame.before()..row.ids.len() - self.frame.after())
                .map(|at| (at - 1, row.ids[at]))
                .collect(),
        }
    }
}

fn too_short(phase: &Phase, least: usize) -> Error {
    Error::Setting {
        field: "data.tokens",
        value: phase.tokens.to_string(),
        accepted: format!("{least} or more, so that there is room beside the special tokens"),
    }
}

fn too_few(phase: &Phase, sequences: usize, files: &[PathBuf]) -> Error {
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    Error::Setting {
        field: "data.batch",
        value: format!("{} sequences of {} tokens", phase.batch, phase.tokens),
        accepted: format!(
            "batches of 1 to {sequences}, the sequences of {}; pairs need documents of two sentences",
            files.join(", ")
        ),
    }
}

/// Sentences from elsewhere need an elsewhere.
fn check_documents(stream: &Stream, sequences: &[Sequences]) -> Result<()> {
    let has_two = |sequences: &Sequences| {
        let mut documents = sequences
            .pieces
            .iter()
            .map(|piece| stream.document_of(piece.start));
        let first = documents.next();
        documents.any(|document| Some(document) != first)
    };
    match sequences.iter().all(has_two) {
        true => Ok(()),
        false => Err(Error::Setting {
            field: "data.pairs",
            value: "next_sentence with one document".into(),
            accepted: "two documents or more with two sentences each, or sentence_order".into(),
        }),
    }
}

#[cfg(test)]
#[path = "examples_tests.rs"]
mod tests;
