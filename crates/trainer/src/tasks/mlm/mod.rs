//! The masked-language-model task (Devlin et al. 2018, section 3.1): fill in the blanks.

mod recipe;

use std::path::Path;

use candle_core::{DType, Var};
use encoder::{Batch, Config, MaskedLm, Parameters, Pass};
use rand::Rng;
use rand::seq::SliceRandom as _;
use serde::Serialize;
use text::{SpecialIds, Tokenizer};

use crate::error::{Error, Result};
use crate::recipe::{Frame, Recipe};
use crate::run::{Task, TaskLoss, initialise};
use crate::start::Beginning;
use crate::{random, texts};

pub use recipe::{MlmData, MlmRecipe};

/// A masked language model with its sequences in memory.
pub struct MlmTask {
    recipe: MlmRecipe,
    tokenizer: Tokenizer,
    config: Config,
    parameters: Parameters,
    model: MaskedLm,
    /// All texts as token ids, one after the other, without special tokens.
    stream: Vec<u32>,
    marks: Marks,
}

/// Sequences with hidden tokens.
#[derive(Debug, Serialize)]
pub struct MlmBatch {
    rows: Vec<Vec<u32>>,
    /// Where tokens were hidden, counted over all rows.
    places: Vec<u32>,
    /// What they were.
    targets: Vec<u32>,
}

/// The special tokens that masking and framing need.
#[derive(Debug, Clone, Copy)]
struct Marks {
    cls: u32,
    sep: u32,
    mask: u32,
}

impl MlmTask {
    /// Reads and tokenizes the texts and makes the model.
    ///
    /// # Errors
    /// Files that are missing or damaged, settings out of range, a vocabulary without the special tokens.
    pub fn new(recipe: MlmRecipe, tokenizer: Tokenizer) -> Result<Self> {
        let marks = marks(tokenizer.special())?;
        let stream = token_stream(&recipe, &tokenizer)?;
        let room = recipe.data.tokens.saturating_sub(2);
        if room == 0 || stream.len() < room * recipe.data.batch || recipe.data.batch == 0 {
            return Err(Error::Setting {
                field: "data.batch",
                value: format!("{} sequences of {} tokens", recipe.data.batch, recipe.data.tokens),
                accepted: format!(
                    "sequences above 2 tokens, batches within the {} tokens read",
                    stream.len()
                ),
            });
        }
        if !(recipe.data.masked > 0.0 && recipe.data.masked < 1.0) {
            return Err(Error::Setting {
                field: "data.masked",
                value: recipe.data.masked.to_string(),
                accepted: "above 0 and below 1".into(),
            });
        }
        let begin = Beginning::new(recipe.model.as_ref(), recipe.start.as_ref(), &tokenizer)?;
        let device = recipe.compute.open()?;
        let parameters = Parameters::fresh(recipe.seed, &device);
        let model = MaskedLm::new(&parameters, &begin.config)?;
        begin.fill(&parameters.vars())?;
        if let Some(path) = &recipe.initial_weights {
            initialise(&parameters.vars(), path)?;
        }
        Ok(Self {
            recipe,
            tokenizer,
            config: begin.config,
            parameters,
            model,
            stream,
            marks,
        })
    }

    /// Tokens read.
    pub fn tokens(&self) -> usize {
        self.stream.len()
    }

    /// Steps in which each token is seen once.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.sequences() / self.recipe.data.batch) as u64
    }

    fn sequences(&self) -> usize {
        self.stream.len() / (self.recipe.data.tokens - 2)
    }

    /// The sequences of a step, framed by the special tokens.
    fn sequences_of(&self, step: u64) -> Vec<Vec<u32>> {
        let (epoch, at) = (
            step / self.steps_per_epoch(),
            (step % self.steps_per_epoch()) as usize,
        );
        let mut order: Vec<u32> = (0..self.sequences() as u32).collect();
        order.shuffle(&mut random::stream(self.recipe.seed, "order of the texts", epoch));
        let room = self.recipe.data.tokens - 2;
        let chosen = &order[at * self.recipe.data.batch..][..self.recipe.data.batch];
        let framed = chosen.iter().map(|&number| {
            let piece = &self.stream[number as usize * room..][..room];
            [&[self.marks.cls], piece, &[self.marks.sep]].concat()
        });
        framed.collect()
    }
}

impl Recipe for MlmRecipe {
    type Task = MlmTask;

    fn frame(&self) -> Frame<'_> {
        Frame {
            tokenizer: &self.tokenizer,
            out: &self.out,
            optimizer: self.optimizer,
            schedule: self.schedule,
            saving: &self.saving,
        }
    }

    fn task(self, tokenizer: Tokenizer) -> Result<MlmTask> {
        MlmTask::new(self, tokenizer)
    }
}

impl Task for MlmTask {
    type Batch = MlmBatch;

    fn describe(&self) -> String {
        let (tokens, epoch) = (self.tokens(), self.steps_per_epoch());
        format!("{tokens} tokens of text, {epoch} batches an epoch")
    }

    fn variables(&self) -> Vec<(String, Var)> {
        self.parameters.vars()
    }

    fn prepare(&self, step: u64) -> Result<MlmBatch> {
        let mut rows = self.sequences_of(step);
        let mut random = random::stream(self.recipe.seed, "masking", step);
        let tokens = self.recipe.data.tokens;
        let (mut places, mut targets) = (Vec::new(), Vec::new());
        for (number, row) in rows.iter_mut().enumerate() {
            let vocabulary = self.config.vocab_size as u32;
            let masked = mask(
                row,
                1..tokens - 1,
                self.recipe.data.masked,
                self.marks.mask,
                vocabulary,
                &mut random,
            );
            places.extend(masked.iter().map(|&(at, _)| (number * tokens + at) as u32));
            targets.extend(masked.iter().map(|&(_, id)| id));
        }
        Ok(MlmBatch {
            rows,
            places,
            targets,
        })
    }

    fn compute(&self, step: u64, prepared: &MlmBatch) -> Result<TaskLoss> {
        let MlmBatch {
            rows,
            places,
            targets,
        } = prepared;
        let batch = Batch::new(rows, None, self.tokenizer.special().pad, self.parameters.device())?;
        let mut pass = Pass::train(self.recipe.seed ^ step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let loss = self.model.loss(&batch, places, targets, &mut pass)?;
        Ok(TaskLoss {
            parts: vec![("mlm", loss.to_scalar::<f32>()?)],
            loss,
            tokens: rows.iter().map(Vec::len).sum(),
            batch: format!("step {step} of the text stream"),
        })
    }

    fn save(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(crate::error::io(folder))?;
        let config = folder.join("config.json");
        std::fs::write(&config, self.config.to_json()).map_err(crate::error::io(&config))?;
        self.parameters
            .save(&folder.join("model.safetensors"), DType::F32)?;
        Ok(self.tokenizer.save(folder, self.config.max_position_embeddings)?)
    }
}

fn marks(special: SpecialIds) -> Result<Marks> {
    match (special.cls, special.sep, special.mask) {
        (Some(cls), Some(sep), Some(mask)) => Ok(Marks { cls, sep, mask }),
        _ => Err(Error::Mismatch {
            what: "the tokenizer's special tokens".into(),
            expected: "opening, separator and mask tokens".into(),
            found: format!("{special:?}"),
        }),
    }
}

fn token_stream(recipe: &MlmRecipe, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    let mut stream = Vec::new();
    let mut documents = texts::all_documents(&recipe.data.texts)?;
    loop {
        let part: Vec<String> = documents.by_ref().take(256).collect::<Result<_>>()?;
        if part.is_empty() {
            return Ok(stream);
        }
        let part: Vec<&str> = part.iter().map(String::as_str).collect();
        for encoding in tokenizer.encode_batch(&part, usize::MAX)? {
            let special = encoding.special_mask;
            stream.extend(
                encoding
                    .ids
                    .into_iter()
                    .zip(special)
                    .filter(|(_, special)| !special)
                    .map(|(id, _)| id),
            );
        }
    }
}

/// Hides a share of the tokens of `row` inside `within`, at least one, and returns where and what they were,
/// in order. Exactly `round(share * tokens)` are chosen; 80 % become the mask token, 10 % a random token, and
/// 10 % stay (Devlin et al. 2018, section 3.1 and appendix A.1).
fn mask(
    row: &mut [u32],
    within: std::ops::Range<usize>,
    share: f64,
    mask: u32,
    vocabulary: u32,
    random: &mut impl Rng,
) -> Vec<(usize, u32)> {
    let mut places: Vec<usize> = within.collect();
    let count = ((places.len() as f64 * share).round() as usize).clamp(1, places.len());
    let (chosen, _) = places.partial_shuffle(random, count);
    chosen.sort_unstable();
    let hidden: Vec<(usize, u32)> = chosen.iter().map(|&at| (at, row[at])).collect();
    for &(at, _) in &hidden {
        match random.random_range(0..10) {
            0..8 => row[at] = mask,
            8 => row[at] = random.random_range(0..vocabulary),
            _ => {}
        }
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_the_exact_share_and_never_the_frame() {
        let mut counts = [0usize; 3];
        for step in 0..200 {
            let mut row: Vec<u32> = (0..102).map(|at| 1000 + at).collect();
            let before = row.clone();
            let mut random = random::stream(7, "test", step);
            let hidden = mask(&mut row, 1..101, 0.15, 4, 900, &mut random);
            assert_eq!(hidden.len(), 15);
            assert!(hidden.is_sorted_by(|a, b| a.0 < b.0));
            assert_eq!((row[0], row[101]), (before[0], before[101]));
            for (at, (now, was)) in row.iter().zip(&before).enumerate() {
                let listed = hidden.iter().find(|(place, _)| *place == at);
                assert!(listed.is_none_or(|&(_, id)| id == *was));
                assert!(listed.is_some() || now == was);
            }
            for &(at, was) in &hidden {
                counts[if row[at] == 4 {
                    0
                } else if row[at] == was {
                    2
                } else {
                    1
                }] += 1;
            }
        }
        let share = counts.map(|count| count as f64 / 3000.0);
        assert!((share[0] - 0.8).abs() < 0.03, "{share:?}");
        assert!((share[1] - 0.1).abs() < 0.03, "{share:?}");
    }
}
