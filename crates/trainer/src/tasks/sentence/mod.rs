//! The sentence-embedding task: queries near their passages, and both near the teacher's vectors.

mod cache;
mod evaluate;
mod objective;
pub mod pairs;
mod recipe;
mod step;
mod teacher;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor, Var};
use encoder::{Batch, Parameters, Pass, Pooling, SentenceEncoder};
use text::Tokenizer;

use crate::error::Result;
use crate::run::{Task, TaskLoss, initialise};
use crate::start::Beginning;

use cache::Cache;
use evaluate::HeldOut;
pub(crate) use evaluate::Scored;
use objective::{Parts, objective};
use pairs::Pairs;
pub use recipe::{Form, SentenceData, SentenceLoss, SentenceRecipe, Short};
pub use step::Step;
use teacher::Teacher;

/// A sentence encoder with its pairs and teacher vectors in memory.
pub struct SentenceTask {
    recipe: SentenceRecipe,
    tokenizer: Tokenizer,
    model: SentenceEncoder,
    pairs: Pairs,
    teacher: Option<Teacher>,
    held_out: HeldOut,
    /// The batches of the epoch that was asked for last.
    order: Mutex<Option<(u64, Vec<Vec<u32>>)>>,
    cache: Mutex<Cache>,
}

impl SentenceTask {
    /// Reads everything the recipe names and makes the model.
    ///
    /// # Errors
    /// Files that are missing or do not fit each other, settings out of range.
    pub fn new(recipe: SentenceRecipe, tokenizer: Tokenizer) -> Result<Self> {
        let pairs = Pairs::open(&recipe.data.pairs, &tokenizer, &recipe.data)?;
        let begin = Beginning::new(recipe.model.as_ref(), recipe.start.as_ref(), &tokenizer)?;
        let device = recipe.compute.open()?;
        let parameters = Parameters::fresh(recipe.seed, &device);
        let model = SentenceEncoder::fresh(&parameters, &begin.config, Pooling::Mean, recipe.dense, true)?;
        recipe.check(
            model.dimension(),
            begin.config.hidden_dropout_prob,
            pairs.groups.len(),
        )?;
        begin.fill(&model.vars())?;
        if let Some(path) = &recipe.initial_weights {
            initialise(&model.vars(), path)?;
        }
        let teacher = Teacher::open(&recipe, pairs.lines, model.dimension())?;
        let held_out = HeldOut::open(&recipe.data, &tokenizer)?;
        Ok(Self {
            recipe,
            tokenizer,
            model,
            pairs,
            teacher,
            held_out,
            order: Mutex::new(None),
            cache: Mutex::new(Cache::default()),
        })
    }

    /// Batches that see every positive once, up to those that do not fill one, or not as many as a step joins.
    pub fn steps_per_epoch(&self) -> u64 {
        let batches = (self.pairs.groups.len() / self.recipe.data.positives) as u64;
        batches - batches % self.recipe.joined()
    }

    /// Different positives, and queries of all of them.
    pub fn counts(&self) -> (usize, usize) {
        (self.pairs.groups.len(), self.pairs.lines)
    }

    /// The model as it is now.
    pub fn model(&self) -> &SentenceEncoder {
        &self.model
    }

    fn device(&self) -> &Device {
        self.model.bert().word_embeddings().device()
    }

    fn members_of(&self, number: u64) -> Vec<u32> {
        let (epoch, at) = (
            number / self.steps_per_epoch(),
            (number % self.steps_per_epoch()) as usize,
        );
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if order.as_ref().is_none_or(|(known, _)| *known != epoch) {
            let batches = pairs::epoch(&self.pairs, self.recipe.data.positives, self.recipe.seed, epoch);
            *order = Some((epoch, batches));
        }
        order
            .as_ref()
            .map(|(_, batches)| batches[at].clone())
            .unwrap_or_default()
    }

    /// Vectors of the queries and of the passages of a batch. The same number drops the same values.
    fn embed(&self, number: u64, step: &Step) -> Result<(Tensor, Tensor)> {
        let mut pass = Pass::train(self.recipe.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let queries = self.vectors(&step.queries, &mut pass)?;
        Ok((queries, self.vectors(&step.passages, &mut pass)?))
    }

    fn vectors(&self, rows: &[Vec<u32>], pass: &mut Pass) -> Result<Tensor> {
        let batch = Batch::new(rows, None, self.tokenizer.special().pad, self.device())?;
        Ok(self.model.forward(&batch, pass)?)
    }

    fn objective(&self, step: &Step, queries: &Tensor, passages: &Tensor) -> Result<(Tensor, Parts)> {
        objective(&self.recipe.loss, self.teacher.as_ref(), step, queries, passages)
    }
}

crate::recipe::leads_to!(SentenceRecipe, SentenceTask);

impl Task for SentenceTask {
    type Batch = Step;

    fn describe(&self) -> String {
        let ((positives, queries), epoch) = (self.counts(), self.steps_per_epoch());
        format!("{queries} queries of {positives} positives, {epoch} batches an epoch")
    }

    fn variables(&self) -> Vec<(String, Var)> {
        self.model.vars()
    }

    fn prepare(&self, number: u64) -> Result<Step> {
        let members = self.members_of(number);
        let (data, seed) = (&self.recipe.data, self.recipe.seed);
        Ok(Step::gather(&self.pairs, data, &members, seed, number))
    }

    fn compute(&self, number: u64, step: &Step) -> Result<TaskLoss> {
        let (loss, parts) = match self.recipe.joined() {
            1 => {
                let (queries, passages) = self.embed(number, step)?;
                self.objective(step, &queries, &passages)?
            }
            joined => self.joined_loss(number, step, joined)?,
        };
        Ok(TaskLoss {
            loss,
            parts,
            tokens: step.tokens(),
            batch: format!(
                "lines {:?} of {}",
                step.query_rows,
                self.recipe.data.pairs.display()
            ),
        })
    }

    fn evaluate(&self) -> Result<Vec<(&'static str, f64)>> {
        self.held_out
            .scores(&|rows| self.vectors(rows, &mut Pass::infer()))
    }

    fn save(&self, folder: &Path) -> Result<()> {
        // What it never saw in training it should not be given.
        let positions = self.model.bert().config().max_position_embeddings;
        let max_tokens = self.recipe.data.positive_tokens.min(positions);
        self.model.save(folder, DType::F16, max_tokens)?;
        Ok(self.tokenizer.save(folder, max_tokens)?)
    }
}

#[cfg(test)]
mod tests;
