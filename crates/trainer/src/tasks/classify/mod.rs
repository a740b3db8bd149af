//! The classification task: a label for a text or a pair of texts (Devlin et al. 2018, section 4.1).

mod examples;
mod recipe;

use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use encoder::{PairScorer, Parameters, Pass};
use measure::classification::classification;
use measure::correlation::{pearson, spearman};
use serde::Serialize;
use serde_json::json;
use text::Tokenizer;

use crate::batches::{Order, Rows, in_groups};
use crate::error::{Error, Result};
use crate::labels::Labels;
use crate::run::{Task, TaskLoss};
use crate::start::Beginning;
use crate::{loss, random};

use examples::Example;
pub use recipe::{ClassWeights, ClassifyData, ClassifyRecipe, LabelKind, Score};

/// A classifier with its examples in memory.
pub struct ClassifyTask {
    recipe: ClassifyRecipe,
    tokenizer: Tokenizer,
    model: PairScorer,
    begun: String,
    labels: Labels,
    /// A weight for each label, none when all are 1.
    weights: Option<Vec<f32>>,
    train: Vec<Example>,
    held_out: Vec<Example>,
    order: Order,
}

/// Some texts with their labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassifyBatch {
    rows: Rows,
    labels: Vec<f32>,
    /// File, as a number in the recipe's order, and line.
    places: Vec<(usize, usize)>,
}

impl ClassifyTask {
    /// Reads everything the recipe names and makes the model.
    ///
    /// # Errors
    /// Files that are missing or damaged, labels or settings out of range.
    pub fn new(recipe: ClassifyRecipe, tokenizer: Tokenizer) -> Result<Self> {
        let data = &recipe.data;
        let mut begin = Beginning::new(recipe.model.as_ref(), recipe.start.as_ref(), &tokenizer)?;
        begin.check_tokens(data.tokens)?;
        recipe.tuning.check(begin.config.num_hidden_layers)?;
        let (train, held_out) = (
            examples::rows(&data.train, data)?,
            examples::rows(&data.held_out, data)?,
        );
        let labels = match (data.kind, &data.labels) {
            (LabelKind::Number, _) => Labels::new(["LABEL_0".to_owned()]),
            (LabelKind::Class, Some(names)) => Labels::new(names.clone()),
            (LabelKind::Class, None) => Labels::sorted(train.iter().map(|row| row.label.clone()).collect()),
        };
        if data.kind == LabelKind::Class && labels.count() < 2 {
            return Err(Error::Setting {
                field: "data.labels",
                value: labels.shown(),
                accepted: "two or more different labels, in the files or the recipe".into(),
            });
        }
        labels.put(&mut begin.config);
        let problem = match data.kind {
            LabelKind::Class => "single_label_classification",
            LabelKind::Number => "regression",
        };
        begin.config.extra.insert("problem_type".into(), json!(problem));
        let train = examples::examples(&train, &data.train, data, &labels, &tokenizer)?;
        let held_out = examples::examples(&held_out, &data.held_out, data, &labels, &tokenizer)?;
        let weights = weights(data, &labels, &train)?;
        let lengths = train.iter().map(|example| example.ids.len() as u32).collect();
        let order = Order::new(lengths, data.batch, recipe.seed, "data.batch")?;
        let parameters = Parameters::fresh(recipe.seed, &recipe.compute.open()?);
        let model = PairScorer::new(&parameters, &begin.config)?;
        let begun = begin.describe(&begin.fill(&model.vars())?);
        Ok(Self {
            recipe,
            tokenizer,
            model,
            begun,
            labels,
            weights,
            train,
            held_out,
            order,
        })
    }

    /// The model as it is now.
    pub fn model(&self) -> &PairScorer {
        &self.model
    }

    fn device(&self) -> &Device {
        self.model.bert.word_embeddings().device()
    }

    /// Logits (texts, labels) in f32.
    fn logits(&self, rows: &Rows, pass: &mut Pass) -> Result<Tensor> {
        let batch = rows.batch(self.tokenizer.special().pad, self.device())?;
        Ok(self.model.forward(&batch, pass)?.to_dtype(DType::F32)?)
    }

    fn loss_of(&self, logits: &Tensor, labels: &[f32]) -> Result<Tensor> {
        if self.recipe.data.kind == LabelKind::Number {
            return loss::squared_error(&logits.squeeze(1)?, &Tensor::new(labels, self.device())?);
        }
        let targets: Vec<u32> = labels.iter().map(|&label| label as u32).collect();
        let targets = Tensor::new(targets, self.device())?;
        match &self.weights {
            None => loss::cross_entropy(logits, &targets),
            Some(weights) => {
                let weights = Tensor::new(weights.as_slice(), self.device())?;
                loss::weighted_cross_entropy(logits, &targets, &weights)
            }
        }
    }

    fn class_scores(&self, gold: &[f32], logits: &[Vec<f32>]) -> Result<Vec<(&'static str, f64)>> {
        let gold: Vec<usize> = gold.iter().map(|&label| label as usize).collect();
        let predicted: Vec<usize> = logits.iter().map(|row| largest(row)).collect();
        let scores = classification(&gold, &predicted)?;
        let mut named = vec![
            ("accuracy", scores.accuracy),
            ("f1_macro", scores.f1_macro),
            ("matthews", scores.matthews),
        ];
        let first = match self.recipe.data.score {
            Score::Accuracy => 0,
            Score::F1Macro => 1,
            Score::Matthews => 2,
        };
        named[..=first].rotate_right(1);
        Ok(named)
    }
}

/// The place of the largest value, the first of equal ones.
pub(crate) fn largest(values: &[f32]) -> usize {
    let best = |best: usize, at: usize| if values[at] > values[best] { at } else { best };
    (0..values.len()).fold(0, best)
}

fn weights(data: &ClassifyData, labels: &Labels, train: &[Example]) -> Result<Option<Vec<f32>>> {
    let refuse = |value: String, accepted: String| {
        Err(Error::Setting {
            field: "data.weights",
            value,
            accepted,
        })
    };
    match &data.weights {
        ClassWeights::Even => Ok(None),
        given if data.kind == LabelKind::Number => refuse(format!("{given:?}"), "even, for numbers".into()),
        ClassWeights::Balanced => {
            let mut counts = vec![0usize; labels.count()];
            train
                .iter()
                .for_each(|example| counts[example.label as usize] += 1);
            let even = train.len() as f32 / labels.count() as f32;
            // A label that never comes has no weight to take part with.
            Ok(Some(
                counts.iter().map(|&count| even / count.max(1) as f32).collect(),
            ))
        }
        ClassWeights::Given(given) => {
            if given.len() != labels.count() || !given.iter().all(|w| w.is_finite() && *w > 0.0) {
                let accepted = format!("{} numbers above 0, for {}", labels.count(), labels.shown());
                return refuse(format!("{given:?}"), accepted);
            }
            Ok(Some(given.clone()))
        }
    }
}

crate::recipe::leads_to!(ClassifyRecipe, ClassifyTask);

impl Task for ClassifyTask {
    type Batch = ClassifyBatch;

    fn describe(&self) -> String {
        let labels = match self.recipe.data.kind {
            LabelKind::Class => format!("{} labels", self.labels.count()),
            LabelKind::Number => "a number each".into(),
        };
        format!(
            "{} texts, {labels}, {} batches an epoch; {}",
            self.train.len(),
            self.order.batches_per_epoch(),
            self.begun
        )
    }

    fn blind_loss(&self) -> Option<f64> {
        let is_plain = self.recipe.data.kind == LabelKind::Class && self.weights.is_none();
        let labels = self.train.iter().map(|example| example.label as usize);
        is_plain.then(|| loss::of_frequencies(labels))
    }

    fn variables(&self) -> Vec<(String, Var)> {
        self.model.vars()
    }

    fn rate(&self, name: &str) -> f64 {
        let layers = self.model.bert.config().num_hidden_layers;
        self.recipe.tuning.rate(name, layers)
    }

    fn prepare(&self, number: u64) -> Result<ClassifyBatch> {
        let mut batch = ClassifyBatch {
            rows: Rows::default(),
            labels: Vec::new(),
            places: Vec::new(),
        };
        for at in self.order.members(number) {
            let example = &self.train[at as usize];
            batch.rows.push(example.ids.clone(), example.types.clone());
            batch.labels.push(example.label);
            batch.places.push(example.place);
        }
        Ok(batch)
    }

    fn compute(&self, number: u64, batch: &ClassifyBatch) -> Result<TaskLoss> {
        let mut pass = Pass::train(random::pass(self.recipe.seed, number));
        let logits = self.logits(&batch.rows, &mut pass)?;
        let loss = self.loss_of(&logits, &batch.labels)?;
        let place =
            |&(file, line): &(usize, usize)| format!("{}:{line}", self.recipe.data.train[file].display());
        let places: Vec<String> = batch.places.iter().map(place).collect();
        Ok(TaskLoss {
            parts: vec![("label", loss.to_scalar::<f32>()?)],
            loss,
            tokens: batch.rows.tokens(),
            batch: places.join(", "),
        })
    }

    /// Of classes accuracy, macro F1 and Matthews' correlation; of numbers Spearman's and Pearson's correlation,
    /// 0 where they have no value.
    fn evaluate(&self) -> Result<Vec<(&'static str, f64)>> {
        if self.held_out.is_empty() {
            return Ok(Vec::new());
        }
        let mut rows = Rows::default();
        for example in &self.held_out {
            rows.push(example.ids.clone(), example.types.clone());
        }
        let logits = in_groups(&rows, |rows| {
            Ok(self.logits(rows, &mut Pass::infer())?.to_vec2::<f32>()?)
        })?;
        let gold: Vec<f32> = self.held_out.iter().map(|example| example.label).collect();
        if self.recipe.data.kind == LabelKind::Class {
            return self.class_scores(&gold, &logits);
        }
        let gold: Vec<f64> = gold.iter().map(|&label| f64::from(label)).collect();
        let found: Vec<f64> = logits.iter().map(|row| f64::from(row[0])).collect();
        Ok(vec![
            ("spearman", spearman(&gold, &found)?.unwrap_or(0.0)),
            ("pearson", pearson(&gold, &found)?.unwrap_or(0.0)),
        ])
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.model.save(folder, DType::F16)?;
        Ok(self.tokenizer.save(folder, self.recipe.data.tokens)?)
    }
}
