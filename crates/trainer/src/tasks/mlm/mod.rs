//! Pre-training of an encoder: fill in the blanks of texts (Devlin et al. 2018, section 3.1), or predict each next
//! token from the left; and perhaps say how two segments belong together.

mod examples;
mod frame;
mod masking;
mod pairs;
mod recipe;
mod sequences;
mod stream;

use std::path::Path;

use candle_core::{D, DType, Tensor, Var};
use encoder::{Batch, Config, Device, MaskedLm, Parameters, Pass, PreTraining};
use text::Tokenizer;

use crate::error::{Error, Result};
use crate::loss;
use crate::run::{Task, TaskLoss, initialise};
use crate::start::Beginning;

use examples::Examples;
pub use examples::MlmBatch;
pub use masking::{Masking, Unit};
pub use pairs::Pairs;
pub use recipe::{MlmData, MlmRecipe, Packing, Phase};

/// A model in pre-training with its texts in memory, as tokens.
pub struct MlmTask {
    recipe: MlmRecipe,
    tokenizer: Tokenizer,
    config: Config,
    parameters: Parameters,
    model: Model,
    examples: Examples,
    held_out: Option<Examples>,
}

/// The model by what it learns. A head that learns nothing is not there.
enum Model {
    Blanks(MaskedLm),
    BlanksAndPairs(PreTraining),
}

impl MlmTask {
    /// Reads and tokenizes the texts and makes the model.
    ///
    /// # Errors
    /// Files that are missing or damaged, settings out of range or against each other, a vocabulary without the
    /// special tokens.
    pub fn new(recipe: MlmRecipe, tokenizer: Tokenizer) -> Result<Self> {
        let begin = Beginning::new(recipe.model.as_ref(), recipe.start.as_ref(), &tokenizer)?;
        check(&recipe, &begin.config)?;
        let examples = Examples::read(&recipe, &recipe.data.texts, &begin.config, &tokenizer)?;
        let held_out = match recipe.data.held_out.is_empty() {
            true => None,
            false => Some(Examples::held_out(&recipe, &begin.config, &tokenizer)?),
        };
        let device = recipe.compute.open()?;
        let parameters = Parameters::fresh(recipe.seed, &device);
        let model = match recipe.data.pairs {
            Pairs::None => Model::Blanks(MaskedLm::new(&parameters, &begin.config)?),
            _ => Model::BlanksAndPairs(PreTraining::new(&parameters, &begin.config)?),
        };
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
            examples,
            held_out,
        })
    }

    /// Tokens read, with one separator for each document.
    pub fn tokens(&self) -> usize {
        self.examples.tokens()
    }

    /// The model, which does nothing but fill in blanks.
    ///
    /// # Errors
    /// When it tells how segments belong together, too.
    pub(crate) fn blanks(&self) -> Result<&MaskedLm> {
        match &self.model {
            Model::Blanks(model) => Ok(model),
            Model::BlanksAndPairs(_) => Err(Error::Setting {
                field: "data.pairs",
                value: format!("{:?} of a student", self.recipe.data.pairs),
                accepted: "none".into(),
            }),
        }
    }

    /// The sequences of a batch as the model takes them.
    pub(crate) fn input(&self, batch: &MlmBatch) -> Result<Batch> {
        let has_types = batch.types.iter().flatten().any(|&kind| kind > 0);
        let types = has_types.then_some(batch.types.as_slice());
        let pad = self.tokenizer.special().pad;
        Ok(Batch::new(&batch.rows, types, pad, self.parameters.device())?)
    }

    /// Logits at the batch's places, and those of its pairs when the model has them.
    fn logits(&self, batch: &MlmBatch) -> Result<(Tensor, Option<Tensor>)> {
        let (input, mut pass) = (self.input(batch)?, Pass::infer());
        Ok(match &self.model {
            Model::Blanks(model) => (model.logits_at(&input, &batch.places, &mut pass)?, None),
            Model::BlanksAndPairs(model) => {
                let (blanks, pairs) = model.logits_at(&input, &batch.places, &mut pass)?;
                (blanks, Some(pairs))
            }
        })
    }

    fn tensor(&self, ids: &[u32]) -> Result<Tensor> {
        Ok(Tensor::new(ids, self.parameters.device())?)
    }
}

/// Refuses settings that cannot go together.
fn check(recipe: &MlmRecipe, config: &Config) -> Result<()> {
    let refuse = |field, value: String, accepted: String| {
        Err(Error::Setting {
            field,
            value,
            accepted,
        })
    };
    let phases = recipe.data.phases()?;
    if recipe.data.pairs != Pairs::None && config.is_decoder {
        return refuse(
            "data.pairs",
            format!("{:?} with left-to-right attention", recipe.data.pairs),
            "none: the first token, which answers for the pair, sees nothing of it from there".into(),
        );
    }
    if let (true, Some(minutes)) = (phases.len() > 1, recipe.schedule.minutes) {
        return refuse(
            "schedule.minutes",
            minutes.to_string(),
            "steps alone when there are phases: time may end before the last one begins".into(),
        );
    }
    let positions = config.max_position_embeddings;
    match phases.iter().find(|phase| phase.tokens > positions) {
        None => Ok(()),
        Some(phase) => refuse(
            "data.tokens",
            phase.tokens.to_string(),
            format!("up to {positions}, the positions of the model; shorter sequences, or a model with more"),
        ),
    }
}

crate::recipe::leads_to!(MlmRecipe, MlmTask);

impl Task for MlmTask {
    type Batch = MlmBatch;

    fn describe(&self) -> String {
        let objective = match (self.config.is_decoder, self.recipe.data.pairs) {
            (true, _) => "predict each next token from the left",
            (false, Pairs::None) => "fill in blanks",
            (false, Pairs::NextSentence) => "fill in blanks, tell next sentences",
            (false, Pairs::SentenceOrder) => "fill in blanks, tell the order of sentences",
        };
        format!("{objective}: {}", self.examples.describe())
    }

    fn blind_loss(&self) -> Option<f64> {
        let pairs = match self.recipe.data.pairs {
            Pairs::None => 0.0,
            Pairs::NextSentence | Pairs::SentenceOrder => std::f64::consts::LN_2,
        };
        Some(self.examples.blind_loss() + pairs)
    }

    fn variables(&self) -> Vec<(String, Var)> {
        self.parameters.vars()
    }

    fn prepare(&self, number: u64) -> Result<MlmBatch> {
        self.examples.batch(number)
    }

    fn compute(&self, number: u64, batch: &MlmBatch) -> Result<TaskLoss> {
        let mut pass = Pass::train(self.recipe.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let input = self.input(batch)?;
        let (places, targets) = (&batch.places, &batch.targets);
        let (mut loss, pairs) = match &self.model {
            Model::Blanks(model) => (model.loss(&input, places, targets, &mut pass)?, None),
            Model::BlanksAndPairs(model) => {
                let (blanks, pairs) = model.loss(&input, places, targets, &mut pass)?;
                (blanks, Some(pairs))
            }
        };
        let name = if self.config.is_decoder {
            "next_token"
        } else {
            "mlm"
        };
        let mut parts = vec![(name, loss.to_scalar::<f32>()?)];
        if let Some(pairs) = pairs {
            let pairs = loss::cross_entropy(&pairs, &self.tensor(&batch.labels)?)?;
            parts.push(("pairs", pairs.to_scalar::<f32>()?));
            loss = (loss + pairs)?;
        }
        Ok(TaskLoss {
            parts,
            loss,
            tokens: batch.rows.iter().map(Vec::len).sum(),
            batch: format!("step {number} of the text stream"),
        })
    }

    /// On the held-out texts, always the same blanks: the share that is filled in rightly (of next tokens, from the
    /// left), the perplexity, and the share of pairs that is told rightly.
    fn evaluate(&self) -> Result<Vec<(&'static str, f64)>> {
        let Some(held_out) = &self.held_out else {
            return Ok(Vec::new());
        };
        let (mut blanks, mut pairs) = (Tally::default(), Tally::default());
        for number in 0..held_out.batches() {
            let batch = held_out.batch(number)?;
            let (logits, related) = self.logits(&batch)?;
            blanks.add(&logits, &batch.targets)?;
            if let Some(related) = related {
                pairs.add(&related, &batch.labels)?;
            }
        }
        let accuracy = match self.config.is_decoder {
            true => "next_token_accuracy",
            false => "masked_accuracy",
        };
        let mut scores = vec![
            (accuracy, blanks.right / blanks.count),
            ("perplexity", (blanks.loss / blanks.count).exp()),
        ];
        if pairs.count > 0.0 {
            scores.push(("pair_accuracy", pairs.right / pairs.count));
        }
        Ok(scores)
    }

    fn save(&self, folder: &Path) -> Result<()> {
        match &self.model {
            Model::Blanks(model) => model.save(folder, DType::F32)?,
            Model::BlanksAndPairs(model) => model.save(folder, DType::F32)?,
        }
        Ok(self.tokenizer.save(folder, self.config.max_position_embeddings)?)
    }
}

/// Sums over held-out predictions.
#[derive(Default)]
struct Tally {
    count: f64,
    right: f64,
    loss: f64,
}

impl Tally {
    fn add(&mut self, logits: &Tensor, targets: &[u32]) -> Result<()> {
        let count = targets.len() as f64;
        let chosen = logits
            .argmax(D::Minus1)?
            .to_device(&Device::Cpu)?
            .to_vec1::<u32>()?;
        let right = chosen
            .iter()
            .zip(targets)
            .filter(|(chosen, target)| chosen == target);
        self.right += right.count() as f64;
        let targets = Tensor::new(targets, logits.device())?;
        self.loss += count * f64::from(loss::cross_entropy(logits, &targets)?.to_scalar::<f32>()?);
        self.count += count;
        Ok(())
    }
}
