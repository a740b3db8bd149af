//! The tagging task: a BIO tag for each word (Devlin et al. 2018, section 5.3).

mod recipe;
mod sentences;

use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use encoder::{Parameters, Pass, TokenTagger};
use measure::entities::entity_scores;
use serde::Serialize;
use text::Tokenizer;

use crate::batches::{Order, Rows, in_groups};
use crate::error::Result;
use crate::labels::Labels;
use crate::run::{Task, TaskLoss};
use crate::start::Beginning;
use crate::tasks::classify::largest;
use crate::{loss, random};

pub use recipe::{TagData, TagRecipe};
use sentences::Example;

/// A tagger with its sentences in memory.
pub struct TagTask {
    recipe: TagRecipe,
    tokenizer: Tokenizer,
    model: TokenTagger,
    begun: String,
    labels: Labels,
    train: Vec<Example>,
    held_out: Vec<Example>,
    /// The tags of the held-out sentences, also of words that are cut off.
    gold: Vec<Vec<String>>,
    order: Order,
}

/// Some sentences with the tags of their words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TagBatch {
    rows: Rows,
    /// The first token of each word, row by row.
    places: Vec<Vec<u32>>,
    /// The number of each word's tag, row by row.
    labels: Vec<Vec<u32>>,
    /// File, as a number in the recipe's order, and line.
    lines: Vec<(usize, usize)>,
}

impl TagTask {
    /// Reads everything the recipe names and makes the model.
    ///
    /// # Errors
    /// Files that are missing or damaged, tags or settings out of range.
    pub fn new(recipe: TagRecipe, tokenizer: Tokenizer) -> Result<Self> {
        let data = &recipe.data;
        let mut begin = Beginning::new(recipe.model.as_ref(), recipe.start.as_ref(), &tokenizer)?;
        begin.check_tokens(data.tokens)?;
        recipe.tuning.check(begin.config.num_hidden_layers)?;
        let (train, held_out) = (sentences::read(&data.train)?, sentences::read(&data.held_out)?);
        let labels = sentences::labels(&train);
        labels.put(&mut begin.config);
        let examples =
            |sentences: &[_], paths| sentences::examples(sentences, paths, &labels, &tokenizer, data.tokens);
        let gold = held_out.iter().map(|sentence| sentence.tags.clone()).collect();
        let (train, held_out) = (
            examples(&train, &data.train)?,
            examples(&held_out, &data.held_out)?,
        );
        let lengths = train.iter().map(|example| example.ids.len() as u32).collect();
        let order = Order::new(lengths, data.batch, recipe.seed, "data.batch")?;
        let parameters = Parameters::fresh(recipe.seed, &recipe.compute.open()?);
        let model = TokenTagger::new(&parameters, &begin.config)?;
        let begun = begin.describe(&begin.fill(&model.vars())?);
        Ok(Self {
            recipe,
            tokenizer,
            model,
            begun,
            labels,
            train,
            held_out,
            gold,
            order,
        })
    }

    /// The model as it is now.
    pub fn model(&self) -> &TokenTagger {
        &self.model
    }

    fn device(&self) -> &Device {
        self.model.bert.word_embeddings().device()
    }

    /// Logits (sentences, tokens, labels) in f32.
    fn logits(&self, rows: &Rows, pass: &mut Pass) -> Result<Tensor> {
        let batch = rows.batch(self.tokenizer.special().pad, self.device())?;
        Ok(self.model.forward(&batch, pass)?.to_dtype(DType::F32)?)
    }

    /// The tags that the model gives to the words of a sentence; `O` to those that were cut off.
    fn tags(&self, example: &Example, logits: &[Vec<f32>], words: usize) -> Vec<String> {
        let places = example.places.iter();
        let mut tags: Vec<String> = places
            .map(|&place| self.labels.names()[largest(&logits[place as usize])].clone())
            .collect();
        tags.resize(words, "O".into());
        tags
    }
}

crate::recipe::leads_to!(TagRecipe, TagTask);

impl Task for TagTask {
    type Batch = TagBatch;

    fn describe(&self) -> String {
        format!(
            "{} sentences, {} tags, {} batches an epoch; {}",
            self.train.len(),
            self.labels.count(),
            self.order.batches_per_epoch(),
            self.begun
        )
    }

    fn blind_loss(&self) -> Option<f64> {
        let tags = self.train.iter().flat_map(|example| &example.labels);
        Some(loss::of_frequencies(tags.map(|&tag| tag as usize)))
    }

    fn variables(&self) -> Vec<(String, Var)> {
        self.model.vars()
    }

    fn rate(&self, name: &str) -> f64 {
        let layers = self.model.bert.config().num_hidden_layers;
        self.recipe.tuning.rate(name, layers)
    }

    fn prepare(&self, number: u64) -> Result<TagBatch> {
        let mut batch = TagBatch {
            rows: Rows::default(),
            places: Vec::new(),
            labels: Vec::new(),
            lines: Vec::new(),
        };
        for at in self.order.members(number) {
            let example = &self.train[at as usize];
            let types = vec![0; example.ids.len()];
            batch.rows.push(example.ids.clone(), types);
            batch.places.push(example.places.clone());
            batch.labels.push(example.labels.clone());
            batch.lines.push(example.place);
        }
        Ok(batch)
    }

    fn compute(&self, number: u64, batch: &TagBatch) -> Result<TaskLoss> {
        let mut pass = Pass::train(random::pass(self.recipe.seed, number));
        let logits = self.logits(&batch.rows, &mut pass)?;
        let tokens = logits.dim(1)? as u32;
        let rows = batch.places.iter().zip(0u32..);
        let places: Vec<u32> = rows
            .flat_map(|(places, row)| places.iter().map(move |place| row * tokens + place))
            .collect();
        let chosen = logits
            .flatten(0, 1)?
            .index_select(&Tensor::new(places, self.device())?, 0)?;
        let loss = loss::cross_entropy(&chosen, &Tensor::new(batch.labels.concat(), self.device())?)?;
        let line =
            |&(file, line): &(usize, usize)| format!("{}:{line}", self.recipe.data.train[file].display());
        let lines: Vec<String> = batch.lines.iter().map(line).collect();
        Ok(TaskLoss {
            parts: vec![("tag", loss.to_scalar::<f32>()?)],
            loss,
            tokens: batch.rows.tokens(),
            batch: lines.join(", "),
        })
    }

    /// F1, precision and recall of whole entities.
    fn evaluate(&self) -> Result<Vec<(&'static str, f64)>> {
        if self.held_out.is_empty() {
            return Ok(Vec::new());
        }
        let mut rows = Rows::default();
        for example in &self.held_out {
            rows.push(example.ids.clone(), vec![0; example.ids.len()]);
        }
        let logits = in_groups(&rows, |rows| {
            Ok(self.logits(rows, &mut Pass::infer())?.to_vec3::<f32>()?)
        })?;
        let sentences = self.held_out.iter().zip(&logits).zip(&self.gold);
        let predicted: Vec<Vec<String>> = sentences
            .map(|((example, logits), gold)| self.tags(example, logits, gold.len()))
            .collect();
        let scores = entity_scores(&self.gold, &predicted)?.micro;
        Ok(vec![
            ("f1", scores.f1),
            ("precision", scores.precision),
            ("recall", scores.recall),
        ])
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.model.save(folder, DType::F16)?;
        Ok(self.tokenizer.save(folder, self.recipe.data.tokens)?)
    }
}
