//! Batches that share their passages in the memory of one: GradCache (Gao et al. 2021, "Scaling Deep Contrastive
//! Learning Batch Size under Memory Limited Setup", section 3).
//!
//! The loss depends on the weights through the vectors alone. So all batches of a step are embedded without a record
//! for the backward pass; the loss of all vectors together gives the gradient of each vector; and then each batch is
//! embedded again, with the record, and the sum of its vectors times those gradients has the gradient that the loss
//! would have had. It costs one more forward pass, and the gradient is the same: dropout takes the same values out.

use candle_core::{Tensor, Var};

use super::SentenceTask;
use super::objective::Parts;
use super::step::Step;
use crate::error::Result;
use crate::run::Task as _;
use std::sync::PoisonError;

/// What the batches of one step wait for.
#[derive(Default)]
pub(super) struct Cache {
    /// Numbers of batches, and the gradients of their queries and passages. A batch takes what is its own, so that
    /// nothing is left when the weights change.
    waiting: Vec<(u64, Tensor, Tensor)>,
    loss: Option<(Tensor, Parts)>,
}

impl Cache {
    fn take(&mut self, number: u64) -> Option<(Tensor, Tensor, Tensor, Parts)> {
        let at = self.waiting.iter().position(|(waiting, ..)| *waiting == number)?;
        let (_, queries, passages) = self.waiting.swap_remove(at);
        let (loss, parts) = self.loss.clone()?;
        Some((queries, passages, loss, parts))
    }
}

impl SentenceTask {
    /// The loss of the whole step to which a batch belongs; its gradient is this batch's part, times `joined`, since
    /// a step takes the mean of its batches.
    pub(super) fn joined_loss(&self, number: u64, step: &Step, joined: u64) -> Result<(Tensor, Parts)> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = match cache.take(number) {
            Some(waiting) => waiting,
            None => {
                *cache = self.fill(number / joined * joined, joined)?;
                // It was just put there.
                cache.take(number).ok_or(crate::Error::NoBatch)?
            }
        };
        drop(cache);
        let (of_queries, of_passages, loss, parts) = waiting;
        let (queries, passages) = self.embed(number, step)?;
        let part = ((queries * of_queries)?.sum_all()? + (passages * of_passages)?.sum_all()?)?;
        let part = (part * joined as f64)?;
        Ok((((&part - part.detach())? + loss)?, parts))
    }

    fn fill(&self, first: u64, joined: u64) -> Result<Cache> {
        let (mut whole, mut queries, mut passages) = (Step::default(), Vec::new(), Vec::new());
        let mut sizes = Vec::new();
        for number in first..first + joined {
            let step = self.prepare(number)?;
            let (of_queries, of_passages) = self.embed(number, &step)?;
            queries.push(of_queries.detach());
            passages.push(of_passages.detach());
            sizes.push((number, step.queries.len(), step.passages.len()));
            whole.append(step);
        }
        let queries = Var::from_tensor(&Tensor::cat(&queries, 0)?)?;
        let passages = Var::from_tensor(&Tensor::cat(&passages, 0)?)?;
        let (loss, parts) = self.objective(&whole, &queries, &passages)?;
        let mut gradients = encoder::backward(&loss)?;
        let mut of = |vectors: &Var| match gradients.remove(vectors) {
            Some(gradient) => Ok(gradient),
            None => vectors.zeros_like(),
        };
        let (of_queries, of_passages) = (of(&queries)?, of(&passages)?);
        let (mut waiting, mut query, mut passage) = (Vec::new(), 0, 0);
        for (number, queries, passages) in sizes {
            waiting.push((
                number,
                of_queries.narrow(0, query, queries)?,
                of_passages.narrow(0, passage, passages)?,
            ));
            (query, passage) = (query + queries, passage + passages);
        }
        Ok(Cache {
            waiting,
            loss: Some((loss.detach(), parts)),
        })
    }
}
