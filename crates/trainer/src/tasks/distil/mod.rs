//! Distillation of an encoder: a smaller one learns from a teacher what to say about blanks (DistilBERT, Sanh et al.
//! 2019, section 2), how its hidden states lie, or how tokens are related (MiniLMv2, Wang et al. 2021, section 3).
//!
//! The student's texts, blanks and steps are those of masked language modelling. The teacher runs beside it, without
//! dropout and without gradients.

mod recipe;

use std::path::Path;

use candle_core::{D, DType, Tensor, Var};
use encoder::{Batch, Inside, MaskedLm, ModelFiles, Pass};
use text::Tokenizer;

use crate::error::{Error, Result};
use crate::loss;
use crate::recipe::{Frame, Recipe};
use crate::run::{Task, TaskLoss};
use crate::tasks::mlm::{MlmBatch, MlmTask};

pub use recipe::{DistilLoss, DistilRecipe};

/// A student with its texts, and its teacher.
pub struct DistilTask {
    recipe: DistilRecipe,
    student: MlmTask,
    teacher: MaskedLm,
}

impl DistilTask {
    /// Reads everything the recipe names and makes the student.
    ///
    /// # Errors
    /// As [`MlmTask::new`]; a teacher that cannot be opened or does not fit the student and the loss.
    pub fn new(recipe: DistilRecipe, tokenizer: Tokenizer) -> Result<Self> {
        let device = recipe.student.compute.open()?;
        let teacher = MaskedLm::open(&ModelFiles::folder(&recipe.teacher)?, &device)?;
        let student = MlmTask::new(recipe.student.clone(), tokenizer)?;
        let task = Self {
            recipe,
            student,
            teacher,
        };
        task.check()?;
        Ok(task)
    }

    fn check(&self) -> Result<()> {
        let (settings, model) = (self.recipe.loss, self.student.blanks()?);
        let (ours, theirs) = (model.bert.config(), self.teacher.bert.config());
        let widths = format!("widths {} and {}", ours.hidden_size, theirs.hidden_size);
        let refuse = |field, value: String, accepted: &str| {
            let accepted = accepted.to_owned();
            Err(Error::Setting {
                field,
                value,
                accepted,
            })
        };
        if ours.vocab_size != theirs.vocab_size {
            return Err(Error::Mismatch {
                what: format!("the vocabulary of the teacher {}", self.recipe.teacher.display()),
                expected: ours.vocab_size.to_string(),
                found: theirs.vocab_size.to_string(),
            });
        }
        if settings.temperature <= 0.0 {
            return refuse("loss.temperature", settings.temperature.to_string(), "above 0");
        }
        if settings.hidden > 0.0 && ours.hidden_size != theirs.hidden_size {
            return refuse(
                "loss.hidden",
                widths,
                "0 where student and teacher differ in width",
            );
        }
        let divides =
            |width: usize| settings.relation_heads > 0 && width.is_multiple_of(settings.relation_heads);
        if settings.relations > 0.0 && !(divides(ours.hidden_size) && divides(theirs.hidden_size)) {
            let value = format!("{} with {widths}", settings.relation_heads);
            return refuse("loss.relation_heads", value, "a divisor of both");
        }
        let weights = [settings.soft, settings.mlm, settings.hidden, settings.relations];
        if weights.iter().all(|&weight| weight <= 0.0) {
            return refuse("loss", "all parts of weight 0".into(), "at least one part");
        }
        Ok(())
    }

    /// Whether some variable has no part in the loss.
    fn is_idle(&self, name: &str) -> bool {
        let settings = self.recipe.loss;
        let of_head = settings.soft <= 0.0 && settings.mlm <= 0.0;
        let last = self
            .student
            .blanks()
            .map_or(0, |model| model.bert.config().num_hidden_layers - 1);
        let beyond = format!("encoder.layer.{last}.");
        // Relations end where the attention of the last layer begins.
        let behind = name.contains(&beyond) && !name.contains(".qkv.");
        of_head && (name.starts_with("cls.") || (settings.hidden <= 0.0 && behind))
    }

    fn parts(
        &self,
        batch: &MlmBatch,
        input: &Batch,
        pass: &mut Pass,
    ) -> Result<Vec<(&'static str, f64, Tensor)>> {
        let (settings, model) = (self.recipe.loss, self.student.blanks()?);
        let related = settings.relations > 0.0;
        let ours = model.bert.inside(input, related, pass)?;
        let theirs = self.teacher.bert.inside(input, related, &mut Pass::infer())?;
        let mut parts = Vec::new();
        if settings.soft > 0.0 || settings.mlm > 0.0 {
            let logits = logits(model, &ours, batch, input, pass)?;
            if settings.soft > 0.0 {
                let teacher = self::logits(&self.teacher, &theirs, batch, input, &Pass::infer())?;
                let value = loss::rows(&logits, &teacher, 1.0 / settings.temperature)?;
                parts.push(("soft", settings.soft, (value * settings.temperature.powi(2))?));
            }
            if settings.mlm > 0.0 {
                let targets = Tensor::new(batch.targets.as_slice(), input.device())?;
                parts.push(("mlm", settings.mlm, loss::cross_entropy(&logits, &targets)?));
            }
        }
        if settings.hidden > 0.0 {
            parts.push((
                "hidden",
                settings.hidden,
                cosine(&ours.states, &theirs.states, input)?,
            ));
        }
        if let (Some(ours), Some(theirs)) = (&ours.relations, &theirs.relations) {
            let mut sum = None;
            for (ours, theirs) in ours.iter().zip(theirs) {
                let value = loss::relations(ours, theirs, input.mask(), settings.relation_heads)?;
                sum = Some(match sum {
                    Some(sum) => (sum + value)?,
                    None => value,
                });
            }
            if let Some(sum) = sum {
                parts.push(("relations", settings.relations, (sum / 3.0)?));
            }
        }
        Ok(parts)
    }
}

/// Logits at the blanks of a batch.
fn logits(model: &MaskedLm, inside: &Inside, batch: &MlmBatch, input: &Batch, pass: &Pass) -> Result<Tensor> {
    let places = Tensor::new(batch.places.as_slice(), input.device())?;
    let states = inside.states.flatten(0, 1)?.index_select(&places, 0)?;
    Ok(model.head.forward(&states, pass)?)
}

/// Mean of one minus the cosine over all tokens.
fn cosine(ours: &Tensor, theirs: &Tensor, input: &Batch) -> Result<Tensor> {
    let unit = |x: &Tensor| loss::shortened(&x.to_dtype(DType::F32)?, x.dim(D::Minus1)?);
    let cosines = (unit(ours)? * unit(&theirs.detach())?)?.sum(D::Minus1)?;
    let apart = ((1.0 - cosines)? * input.mask())?.sum_all()?;
    Ok((apart / input.mask().sum_all()?)?)
}

impl Recipe for DistilRecipe {
    type Task = DistilTask;

    fn frame(&self) -> Frame<'_> {
        self.student.frame()
    }

    fn task(self, tokenizer: Tokenizer) -> Result<DistilTask> {
        DistilTask::new(self, tokenizer)
    }
}

impl Task for DistilTask {
    type Batch = MlmBatch;

    fn describe(&self) -> String {
        format!(
            "{}, with the teacher {}",
            self.student.describe(),
            self.recipe.teacher.display()
        )
    }

    fn variables(&self) -> Vec<(String, Var)> {
        self.student.variables()
    }

    fn rate(&self, name: &str) -> f64 {
        if self.is_idle(name) { 0.0 } else { 1.0 }
    }

    fn prepare(&self, number: u64) -> Result<MlmBatch> {
        self.student.prepare(number)
    }

    fn compute(&self, number: u64, batch: &MlmBatch) -> Result<TaskLoss> {
        let mut pass = Pass::train(self.recipe.student.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let input = self.student.input(batch)?;
        let mut named = Vec::new();
        let mut total: Option<Tensor> = None;
        for (name, weight, value) in self.parts(batch, &input, &mut pass)? {
            named.push((name, value.to_scalar::<f32>()?));
            let weighted = (value * weight)?;
            total = Some(match total {
                Some(total) => (total + weighted)?,
                None => weighted,
            });
        }
        Ok(TaskLoss {
            // The settings were checked: there is a part.
            loss: total.ok_or(Error::NoBatch)?,
            parts: named,
            tokens: input.lengths().iter().sum(),
            batch: format!("step {number} of the text stream"),
        })
    }

    fn evaluate(&self) -> Result<Vec<(&'static str, f64)>> {
        self.student.evaluate()
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.student.save(folder)
    }
}

#[cfg(test)]
mod tests;
