//! The similarity task: the cosine of two texts goes with the score that they were given.

mod recipe;

use std::path::Path;

use candle_core::{D, DType, Device, Tensor, Var};
use encoder::{Batch, Parameters, Pass, Pooling, SentenceEncoder};
use rand::seq::SliceRandom as _;
use serde::Serialize;
use text::Tokenizer;

use crate::error::{Error, Result};
use crate::run::{Task, TaskLoss};
use crate::start::Beginning;
use crate::tasks::sentence::Scored;
use crate::{loss, random};

pub use recipe::{SimilarityData, SimilarityKind, SimilarityLoss, SimilarityRecipe};

/// A sentence encoder with its scored pairs in memory.
pub struct SimilarityTask {
    recipe: SimilarityRecipe,
    tokenizer: Tokenizer,
    model: SentenceEncoder,
    /// Pairs, and their scores from 0 to 1.
    pairs: Scored,
    held_out: Option<Scored>,
}

/// Some pairs.
#[derive(Debug, PartialEq, Serialize)]
pub struct SimilarityBatch {
    lines: Vec<u32>,
    left: Vec<Vec<u32>>,
    right: Vec<Vec<u32>>,
    scores: Vec<f32>,
}

impl SimilarityTask {
    /// Reads everything the recipe names and makes the model.
    ///
    /// # Errors
    /// Files that are missing or damaged, scores and settings out of range.
    pub fn new(recipe: SimilarityRecipe, tokenizer: Tokenizer) -> Result<Self> {
        let data = &recipe.data;
        let mut pairs = Scored::open(&data.scored, &tokenizer, data.tokens)?;
        stretch(&mut pairs, data)?;
        if data.batch < 2 || data.batch > pairs.gold.len() {
            return Err(Error::Setting {
                field: "data.batch",
                value: data.batch.to_string(),
                accepted: format!(
                    "2 to {}, the pairs of {}",
                    pairs.gold.len(),
                    data.scored.display()
                ),
            });
        }
        let open = |path: &std::path::PathBuf| Scored::open(path, &tokenizer, data.tokens);
        let held_out = data.held_out.as_ref().map(open).transpose()?;
        let begin = Beginning::new(recipe.model.as_ref(), recipe.start.as_ref(), &tokenizer)?;
        let parameters = Parameters::fresh(recipe.seed, &recipe.compute.open()?);
        let model = SentenceEncoder::fresh(&parameters, &begin.config, Pooling::Mean, recipe.dense, true)?;
        begin.fill(&model.vars())?;
        Ok(Self {
            recipe,
            tokenizer,
            model,
            pairs,
            held_out,
        })
    }

    fn device(&self) -> &Device {
        self.model.bert().word_embeddings().device()
    }

    fn batches(&self) -> u64 {
        (self.pairs.gold.len() / self.recipe.data.batch) as u64
    }

    fn vectors(&self, rows: &[Vec<u32>], pass: &mut Pass) -> Result<Tensor> {
        let batch = Batch::new(rows, None, self.tokenizer.special().pad, self.device())?;
        Ok(self.model.forward(&batch, pass)?)
    }
}

/// Scores to 0..1.
fn stretch(pairs: &mut Scored, data: &SimilarityData) -> Result<()> {
    let (least, most) = (data.score_min, data.score_max);
    if most <= least {
        return Err(Error::Setting {
            field: "data.score_max",
            value: most.to_string(),
            accepted: format!("above score_min, which is {least}"),
        });
    }
    for (at, score) in pairs.gold.iter_mut().enumerate() {
        if !(least..=most).contains(score) {
            return Err(Error::Line {
                path: data.scored.clone(),
                line: at + 1,
                reason: format!("score {score}; accepted are {least} to {most}, score_min to score_max"),
            });
        }
        *score = (*score - least) / (most - least);
    }
    Ok(())
}

crate::recipe::leads_to!(SimilarityRecipe, SimilarityTask);

impl Task for SimilarityTask {
    type Batch = SimilarityBatch;

    fn describe(&self) -> String {
        format!(
            "{} scored pairs, {} batches an epoch",
            self.pairs.gold.len(),
            self.batches()
        )
    }

    fn variables(&self) -> Vec<(String, Var)> {
        self.model.vars()
    }

    fn prepare(&self, number: u64) -> Result<SimilarityBatch> {
        let (epoch, at) = (number / self.batches(), (number % self.batches()) as usize);
        let mut order: Vec<u32> = (0..self.pairs.gold.len() as u32).collect();
        order.shuffle(&mut random::stream(
            self.recipe.seed,
            "order of the scored pairs",
            epoch,
        ));
        let size = self.recipe.data.batch;
        let lines = order[at * size..][..size].to_vec();
        let texts = |side: &[Vec<u32>]| lines.iter().map(|&line| side[line as usize].clone()).collect();
        Ok(SimilarityBatch {
            left: texts(&self.pairs.left),
            right: texts(&self.pairs.right),
            scores: lines
                .iter()
                .map(|&line| self.pairs.gold[line as usize] as f32)
                .collect(),
            lines,
        })
    }

    fn compute(&self, number: u64, batch: &SimilarityBatch) -> Result<TaskLoss> {
        let mut pass = Pass::train(self.recipe.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (left, right) = (
            self.vectors(&batch.left, &mut pass)?,
            self.vectors(&batch.right, &mut pass)?,
        );
        let cosines = (left * right)?.sum(D::Minus1)?;
        let scores = Tensor::new(batch.scores.as_slice(), self.device())?;
        let settings = self.recipe.loss;
        let (name, loss) = match settings.kind {
            SimilarityKind::Cosent => ("cosent", loss::cosent(&cosines, &scores, settings.scale)?),
            SimilarityKind::Regression => ("regression", loss::regression(&cosines, &scores)?),
            SimilarityKind::Contrastive => {
                let alike = scores.gt(0.5)?.to_dtype(DType::F32)?;
                (
                    "contrastive",
                    loss::pair_contrastive(&cosines, &alike, settings.margin)?,
                )
            }
        };
        Ok(TaskLoss {
            parts: vec![(name, loss.to_scalar::<f32>()?)],
            loss,
            tokens: batch.left.iter().chain(&batch.right).map(Vec::len).sum(),
            batch: format!("lines {:?} of {}", batch.lines, self.recipe.data.scored.display()),
        })
    }

    fn evaluate(&self) -> Result<Vec<(&'static str, f64)>> {
        let embed = |rows: &[Vec<u32>]| self.vectors(rows, &mut Pass::infer());
        let score = |scored: &Scored| Ok(("spearman", scored.correlation(&embed)?));
        self.held_out.iter().map(score).collect()
    }

    fn save(&self, folder: &Path) -> Result<()> {
        let max_tokens = self.model.bert().config().max_position_embeddings;
        self.model.save(folder, DType::F16, max_tokens)?;
        Ok(self.tokenizer.save(folder, max_tokens)?)
    }
}

#[cfg(test)]
mod tests;
