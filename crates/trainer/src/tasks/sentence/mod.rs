//! The sentence-embedding task: queries near their passages, and both near the teacher's vectors.

pub mod pairs;
mod recipe;

use std::path::Path;
use std::sync::Mutex;

use candle_core::{DType, Device, Tensor, Var};
use encoder::{Batch, Parameters, Pass, Pooling, SentenceEncoder};
use rand::seq::SliceRandom as _;
use serde::Serialize;
use text::Tokenizer;

use crate::error::{Error, Result};
use crate::recipe::{Frame, Recipe};
use crate::run::{Task, TaskLoss, initialise};
use crate::start::Beginning;
use crate::{loss, random};

use pairs::Group;
pub use recipe::{SentenceData, SentenceLoss, SentenceRecipe};

/// A sentence encoder with its pairs and teacher vectors in memory.
pub struct SentenceTask {
    recipe: SentenceRecipe,
    tokenizer: Tokenizer,
    model: SentenceEncoder,
    groups: Vec<Group>,
    teacher: Option<Teacher>,
    /// The batches of the epoch that was asked for last.
    order: Mutex<Option<(u64, Vec<Vec<u32>>)>>,
}

/// The teacher's vectors, a row for each line of the pairs file, in the type they have on disk.
struct Teacher {
    queries: Tensor,
    positives: Tensor,
}

/// What one step looks at.
#[derive(Debug, Serialize)]
pub struct Step {
    positives: Vec<Vec<u32>>,
    positive_rows: Vec<u32>,
    queries: Vec<Vec<u32>>,
    query_rows: Vec<u32>,
    /// For each query the number of its positive in this batch.
    owner: Vec<u32>,
}

impl SentenceTask {
    /// Reads everything the recipe names and makes the model.
    ///
    /// # Errors
    /// Files that are missing or do not fit each other, settings out of range.
    pub fn new(recipe: SentenceRecipe, tokenizer: Tokenizer) -> Result<Self> {
        let pairs = pairs::read(&recipe.data.pairs)?;
        let groups = pairs::group(&pairs, &tokenizer, &recipe.data)?;
        if recipe.data.positives < 2 || groups.len() < recipe.data.positives {
            return Err(Error::Setting {
                field: "data.positives",
                value: recipe.data.positives.to_string(),
                accepted: format!("2 to {}, the different positives of the pairs file", groups.len()),
            });
        }
        let begin = Beginning::new(recipe.model.as_ref(), recipe.start.as_ref(), &tokenizer)?;
        let device = recipe.compute.open()?;
        let parameters = Parameters::fresh(recipe.seed, &device);
        let model = SentenceEncoder::fresh(&parameters, &begin.config, Pooling::Mean, recipe.dense, true)?;
        begin.fill(&model.vars())?;
        if let Some(path) = &recipe.initial_weights {
            initialise(&model.vars(), path)?;
        }
        let teacher = Teacher::open(&recipe, pairs.len(), model.dimension())?;
        Ok(Self {
            recipe,
            tokenizer,
            model,
            groups,
            teacher,
            order: Mutex::default(),
        })
    }

    /// Steps in which each positive is seen once.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.groups.len() / self.recipe.data.positives) as u64
    }

    /// Different positives, and queries.
    pub fn counts(&self) -> (usize, usize) {
        (
            self.groups.len(),
            self.groups.iter().map(|group| group.queries.len()).sum(),
        )
    }

    /// The model as it is now.
    pub fn model(&self) -> &SentenceEncoder {
        &self.model
    }

    fn device(&self) -> &Device {
        self.model.bert().word_embeddings().device()
    }

    fn members_of(&self, step: u64) -> Vec<u32> {
        let (epoch, at) = (
            step / self.steps_per_epoch(),
            (step % self.steps_per_epoch()) as usize,
        );
        let mut order = self
            .order
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if order.as_ref().is_none_or(|(known, _)| *known != epoch) {
            let batches = pairs::epoch(&self.groups, self.recipe.data.positives, self.recipe.seed, epoch);
            *order = Some((epoch, batches));
        }
        order
            .as_ref()
            .map(|(_, batches)| batches[at].clone())
            .unwrap_or_default()
    }

    fn gather(&self, members: &[u32], step: u64) -> Step {
        let mut random = random::stream(self.recipe.seed, "queries of a positive", step);
        let mut batch = Step {
            positives: Vec::new(),
            positive_rows: Vec::new(),
            queries: Vec::new(),
            query_rows: Vec::new(),
            owner: Vec::new(),
        };
        for (column, &member) in members.iter().enumerate() {
            let group = &self.groups[member as usize];
            let mut chosen: Vec<usize> = (0..group.queries.len()).collect();
            let count = chosen.len().min(self.recipe.data.queries_per_positive);
            let (chosen, _) = chosen.partial_shuffle(&mut random, count);
            for &mut query in chosen {
                let (row, ids) = &group.queries[query];
                batch.queries.push(ids.clone());
                batch.query_rows.push(*row);
                batch.owner.push(column as u32);
            }
            batch.positives.push(group.positive.clone());
            batch.positive_rows.push(group.row);
        }
        batch
    }

    fn embed(&self, rows: &[Vec<u32>], pass: &mut Pass) -> Result<Tensor> {
        let batch = Batch::new(rows, None, self.tokenizer.special().pad, self.device())?;
        Ok(self.model.forward(&batch, pass)?)
    }
}

impl Recipe for SentenceRecipe {
    type Task = SentenceTask;

    fn frame(&self) -> Frame<'_> {
        Frame {
            tokenizer: &self.tokenizer,
            out: &self.out,
            optimizer: self.optimizer,
            schedule: self.schedule,
            saving: &self.saving,
        }
    }

    fn task(self, tokenizer: Tokenizer) -> Result<SentenceTask> {
        SentenceTask::new(self, tokenizer)
    }
}

impl Task for SentenceTask {
    type Batch = Step;

    fn describe(&self) -> String {
        let ((positives, queries), epoch) = (self.counts(), self.steps_per_epoch());
        format!("{queries} queries of {positives} positives, {epoch} batches an epoch")
    }

    fn variables(&self) -> Vec<(String, Var)> {
        self.model.vars()
    }

    fn prepare(&self, step: u64) -> Result<Step> {
        Ok(self.gather(&self.members_of(step), step))
    }

    fn compute(&self, step: u64, batch: &Step) -> Result<TaskLoss> {
        let mut pass = Pass::train(self.recipe.seed ^ step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let queries = self.embed(&batch.queries, &mut pass)?;
        let positives = self.embed(&batch.positives, &mut pass)?;
        let similarities = queries.matmul(&positives.t()?)?;
        let owner = Tensor::new(batch.owner.as_slice(), self.device())?;
        let settings = &self.recipe.loss;
        let mut parts = Parts::default();
        if settings.contrastive > 0.0 {
            let value = contrast(&similarities, &owner, settings)?;
            parts.add("contrastive", settings.contrastive, value)?;
        }
        if let Some(teacher) = &self.teacher {
            let their_queries = rows_of(&teacher.queries, &batch.query_rows)?.to_device(self.device())?;
            let their_positives =
                rows_of(&teacher.positives, &batch.positive_rows)?.to_device(self.device())?;
            if settings.teacher_vectors > 0.0 {
                let of_queries = loss::cosine(&queries, &their_queries)?;
                let of_positives = loss::cosine(&positives, &their_positives)?;
                parts.add("teacher_queries", settings.teacher_vectors / 2.0, of_queries)?;
                parts.add("teacher_positives", settings.teacher_vectors / 2.0, of_positives)?;
            }
            if settings.teacher_rows > 0.0 {
                let theirs = their_queries.matmul(&their_positives.t()?)?;
                let value = loss::rows(&similarities, &theirs, settings.teacher_scale)?;
                parts.add("teacher_rows", settings.teacher_rows, value)?;
            }
        }
        Ok(TaskLoss {
            loss: parts.total.ok_or_else(nothing_to_optimize)?,
            parts: parts.named,
            tokens: batch.queries.iter().chain(&batch.positives).map(Vec::len).sum(),
            batch: format!(
                "lines {:?} of {}",
                batch.positive_rows,
                self.recipe.data.pairs.display()
            ),
        })
    }

    fn save(&self, folder: &Path) -> Result<()> {
        let max_tokens = self.model.bert().config().max_position_embeddings;
        self.model.save(folder, DType::F16, max_tokens)?;
        Ok(self.tokenizer.save(folder, max_tokens)?)
    }
}

/// The weighted sum of the parts of a loss.
#[derive(Default)]
struct Parts {
    total: Option<Tensor>,
    named: Vec<(&'static str, f32)>,
}

impl Parts {
    fn add(&mut self, name: &'static str, weight: f64, value: Tensor) -> Result<()> {
        self.named.push((name, value.to_scalar::<f32>()?));
        let weighted = (value * weight)?;
        self.total = Some(match self.total.take() {
            Some(total) => (total + weighted)?,
            None => weighted,
        });
        Ok(())
    }
}

fn contrast(similarities: &Tensor, owner: &Tensor, settings: &SentenceLoss) -> Result<Tensor> {
    if settings.symmetric {
        loss::contrastive_symmetric(similarities, owner, settings.scale)
    } else {
        loss::contrastive(similarities, owner, settings.scale)
    }
}

fn nothing_to_optimize() -> Error {
    Error::Setting {
        field: "loss",
        value: "all parts of weight 0, or no teacher's vectors".into(),
        accepted: "at least one part".into(),
    }
}

impl Teacher {
    /// None when no part of the loss asks for a teacher.
    fn open(recipe: &SentenceRecipe, lines: usize, dimension: usize) -> Result<Option<Self>> {
        if recipe.loss.teacher_vectors <= 0.0 && recipe.loss.teacher_rows <= 0.0 {
            return Ok(None);
        }
        let read = |path: &Option<std::path::PathBuf>, field: &'static str| {
            let path = path.as_ref().ok_or_else(|| Error::Setting {
                field,
                value: "not set".into(),
                accepted: "an NPY file, because the loss has a teacher".into(),
            })?;
            let vectors = Tensor::read_npy(path)?;
            let (rows, width) = vectors.dims2()?;
            let fits = rows == lines && (recipe.loss.teacher_vectors <= 0.0 || width == dimension);
            if !fits {
                return Err(Error::Mismatch {
                    what: format!("vectors in {}", path.display()),
                    expected: format!("({lines}, {dimension})"),
                    found: format!("({rows}, {width})"),
                });
            }
            Ok(vectors)
        };
        let queries = read(&recipe.data.query_vectors, "data.query_vectors")?;
        let positives = read(&recipe.data.positive_vectors, "data.positive_vectors")?;
        Ok(Some(Self { queries, positives }))
    }
}

fn rows_of(vectors: &Tensor, rows: &[u32]) -> Result<Tensor> {
    let rows = Tensor::new(rows, &Device::Cpu)?;
    Ok(vectors.index_select(&rows, 0)?.to_dtype(DType::F32)?)
}
