//! The reranking task: a cross-encoder that reads query and passage together (Nogueira and Cho 2019).

mod lists;
mod recipe;
mod scores;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};
use encoder::{PairScorer, Parameters, Pass};
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use serde::Serialize;
use serde_json::json;
use text::{PairFrame, Tokenizer};

use crate::batches::{Order, Rows};
use crate::error::{Error, Result};
use crate::run::{Task, TaskLoss};
use crate::start::Beginning;
use crate::{loss, random};

use lists::{List, Lists};
pub use recipe::{RerankData, RerankLoss, RerankLossKind, RerankRecipe};

/// A cross-encoder with one label, and its lists in memory. Every list has a passage beside its positive, and as
/// many as a batch asks for where their scores count.
pub struct RerankTask {
    recipe: RerankRecipe,
    tokenizer: Tokenizer,
    frame: PairFrame,
    model: PairScorer,
    begun: String,
    train: Lists,
    held_out: Lists,
    order: Order,
}

/// Some queries, each with as many passages.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RerankBatch {
    /// Pairs of query and passage, query by query.
    rows: Rows,
    /// The passages' grades, a row for each query; the first passage is the best one.
    grades: Vec<Vec<f32>>,
    /// Numbers of the lists, in the order of the files.
    lists: Vec<u32>,
}

impl RerankTask {
    /// Reads everything the recipe names and makes the model.
    ///
    /// # Errors
    /// Files that are missing or do not fit each other, settings out of range, lists that the loss cannot use.
    pub fn new(recipe: RerankRecipe, tokenizer: Tokenizer) -> Result<Self> {
        let mut begin = Beginning::new(recipe.model.as_ref(), recipe.start.as_ref(), &tokenizer)?;
        begin.check_tokens(recipe.data.tokens)?;
        recipe.tuning.check(begin.config.num_hidden_layers)?;
        let extra = &mut begin.config.extra;
        extra.insert("id2label".into(), json!({"0": "LABEL_0"}));
        extra.insert("label2id".into(), json!({"LABEL_0": 0}));
        extra.insert(
            "sentence_transformers".into(),
            json!({"activation_fn": activation(&recipe.loss)}),
        );
        let train = Lists::read(&recipe.data.lists, &tokenizer, recipe.data.tokens)?;
        let held_out = Lists::read(&recipe.data.held_out, &tokenizer, recipe.data.tokens)?;
        check_lists(&recipe, &train, &held_out)?;
        let lengths = train.lists.iter().map(|list| {
            let text = |number: u32| train.texts[number as usize].len() as u32;
            text(list.query) + text(list.passages[0])
        });
        let order = Order::new(
            lengths.collect(),
            recipe.data.queries,
            recipe.seed,
            "data.queries",
        )?;
        let parameters = Parameters::fresh(recipe.seed, &recipe.compute.open()?);
        let model = PairScorer::new(&parameters, &begin.config)?;
        let begun = begin.describe(&begin.fill(&model.vars())?);
        Ok(Self {
            frame: tokenizer.pair_frame()?,
            recipe,
            tokenizer,
            model,
            begun,
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

    /// A list's passages for one batch with their grades, the best first.
    fn draw(&self, list: &List, random: &mut rand_chacha::ChaCha8Rng) -> Vec<(u32, f32)> {
        let size = 1 + self.recipe.data.negatives;
        let mut places: Vec<usize> = (0..list.passages.len()).collect();
        // A positive is in every batch.
        places[usize::from(list.is_labelled)..].shuffle(random);
        places.truncate(size);
        let mut drawn: Vec<(u32, f32)> = places
            .iter()
            .map(|&at| (list.passages[at], list.grades[at]))
            .collect();
        // Too few negatives are filled up with the passages of other queries.
        while drawn.len() < size {
            let other = &self.train.lists[random.random_range(0..self.train.lists.len())];
            let passage = other.passages[random.random_range(0..other.passages.len())];
            if !list.passages.contains(&passage) {
                drawn.push((passage, 0.0));
            }
        }
        drawn.sort_by(|a, b| b.1.total_cmp(&a.1));
        drawn
    }

    fn push_pair(&self, lists: &Lists, query: u32, passage: u32, rows: &mut Rows) -> Result<()> {
        let text = |number: u32| &lists.texts[number as usize];
        let pair = self
            .frame
            .join(text(query), text(passage), self.recipe.data.tokens)?;
        rows.push(pair.ids, pair.type_ids);
        Ok(())
    }

    /// The recipe's loss of scores (queries, passages).
    fn loss_of(&self, scores: &Tensor, grades: &[Vec<f32>]) -> Result<Tensor> {
        let settings = &self.recipe.loss;
        let table = || Tensor::from_vec(grades.concat(), scores.dims(), scores.device());
        match settings.kind {
            RerankLossKind::Binary => loss::binary_cross_entropy(scores, &table()?, settings.positive_weight),
            RerankLossKind::Softmax => {
                let best = Tensor::zeros(grades.len(), DType::U32, scores.device())?;
                loss::cross_entropy(scores, &best)
            }
            RerankLossKind::MarginMse => loss::margin_mse(scores, &table()?),
            RerankLossKind::RankNet => loss::rank_net(scores, grades),
            RerankLossKind::ListNet => loss::list_net(scores, &table()?, settings.scale),
            RerankLossKind::Lambda => loss::lambda_loss(scores, grades, settings.k),
        }
    }

    fn name(&self) -> &'static str {
        match self.recipe.loss.kind {
            RerankLossKind::Binary => "binary",
            RerankLossKind::Softmax => "softmax",
            RerankLossKind::MarginMse => "margin_mse",
            RerankLossKind::RankNet => "rank_net",
            RerankLossKind::ListNet => "list_net",
            RerankLossKind::Lambda => "lambda",
        }
    }
}

/// What sentence-transformers applies to the logit. Only the binary loss makes a probability of it; what the others
/// compare has any range, of which a sigmoid in 32 bits would make one number from 17 on.
fn activation(loss: &RerankLoss) -> &'static str {
    match loss.kind {
        RerankLossKind::Binary => "torch.nn.modules.activation.Sigmoid",
        _ => "torch.nn.modules.linear.Identity",
    }
}

/// Refuses lists that the loss or the evaluation would be wrong about.
fn check_lists(recipe: &RerankRecipe, train: &Lists, held_out: &Lists) -> Result<()> {
    let refuse = |paths: &[PathBuf], list: &List, reason: String| {
        Err(Error::Line {
            path: paths[list.place.0 as usize].clone(),
            line: list.place.1 as usize,
            reason,
        })
    };
    let (size, kind) = (1 + recipe.data.negatives, recipe.loss.kind);
    if recipe.data.negatives == 0 {
        return Err(Error::Setting {
            field: "data.negatives",
            value: "0".into(),
            accepted: "1 or more: a passage is better than another one".into(),
        });
    }
    let different: HashSet<u32> = train
        .lists
        .iter()
        .flat_map(|list| &list.passages)
        .copied()
        .collect();
    for list in &train.lists {
        let low = list.grades.iter().copied().fold(f32::INFINITY, f32::min);
        let high = list.grades.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let reason = match kind {
            RerankLossKind::MarginMse if !list.is_scored => {
                "no scores; margin_mse needs those of a teacher".into()
            }
            RerankLossKind::Binary if low < 0.0 || high > 1.0 => {
                format!("scores from {low} to {high}; binary accepts 0 to 1")
            }
            RerankLossKind::Lambda if low < 0.0 || high > 30.0 => {
                format!("scores from {low} to {high}; lambda accepts grades of 0 to 30")
            }
            _ if list.is_scored && list.passages.len() < size => format!(
                "{} scored passages; a batch takes {size} of each query: lower data.negatives or leave it out",
                list.passages.len()
            ),
            _ if list.passages.len() < size && list.passages.len() == different.len() => {
                "too few negatives, and no other query has a passage to fill them up with".into()
            }
            _ => continue,
        };
        return refuse(&recipe.data.lists, list, reason);
    }
    let wrong = |list: &&List| {
        list.grades
            .iter()
            .any(|g| *g < 0.0 || *g > 30.0 || g.fract() != 0.0)
    };
    match held_out.lists.iter().find(wrong) {
        Some(list) => {
            let reason = format!(
                "scores are {:?}; held-out lists accept whole grades of 0 to 30",
                list.grades
            );
            refuse(&recipe.data.held_out, list, reason)
        }
        None => Ok(()),
    }
}

crate::recipe::leads_to!(RerankRecipe, RerankTask);

impl Task for RerankTask {
    type Batch = RerankBatch;

    fn describe(&self) -> String {
        format!(
            "{} queries, {} different texts, {} batches an epoch; {}",
            self.train.lists.len(),
            self.train.texts.len(),
            self.order.batches_per_epoch(),
            self.begun
        )
    }

    fn variables(&self) -> Vec<(String, Var)> {
        self.model.vars()
    }

    fn rate(&self, name: &str) -> f64 {
        // Only the binary loss sees what all scores have in common; for the others it is noise.
        if name == "classifier.bias" && self.recipe.loss.kind != RerankLossKind::Binary {
            return 0.0;
        }
        let layers = self.model.bert.config().num_hidden_layers;
        self.recipe.tuning.rate(name, layers)
    }

    fn prepare(&self, number: u64) -> Result<RerankBatch> {
        let mut random = random::stream(self.recipe.seed, "passages of a query", number);
        let mut batch = RerankBatch {
            rows: Rows::default(),
            grades: Vec::new(),
            lists: self.order.members(number),
        };
        for &at in &batch.lists {
            let list = &self.train.lists[at as usize];
            let drawn = self.draw(list, &mut random);
            for &(passage, _) in &drawn {
                self.push_pair(&self.train, list.query, passage, &mut batch.rows)?;
            }
            batch.grades.push(drawn.iter().map(|&(_, grade)| grade).collect());
        }
        Ok(batch)
    }

    fn compute(&self, number: u64, batch: &RerankBatch) -> Result<TaskLoss> {
        let mut pass = Pass::train(random::pass(self.recipe.seed, number));
        let pairs = batch.rows.batch(self.tokenizer.special().pad, self.device())?;
        let shape = (batch.grades.len(), 1 + self.recipe.data.negatives);
        let scores = self.model.forward(&pairs, &mut pass)?.reshape(shape)?;
        let loss = self.loss_of(&scores.to_dtype(DType::F32)?, &batch.grades)?;
        let places: Vec<String> = batch
            .lists
            .iter()
            .map(|&at| {
                let (file, line) = self.train.lists[at as usize].place;
                format!("{}:{line}", self.recipe.data.lists[file as usize].display())
            })
            .collect();
        Ok(TaskLoss {
            parts: vec![(self.name(), loss.to_scalar::<f32>()?)],
            loss,
            tokens: batch.rows.tokens(),
            batch: format!("lists {}", places.join(", ")),
        })
    }

    /// nDCG and the reciprocal rank over the first ten.
    fn evaluate(&self) -> Result<Vec<(&'static str, f64)>> {
        self.scores_of_held_out()
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.model.save(folder, DType::F16)?;
        Ok(self.tokenizer.save(folder, self.recipe.data.tokens)?)
    }
}
