//! The loss of a batch, from its vectors alone: so the vectors may be made a part at a time.

use candle_core::{Device, Tensor};

use super::recipe::SentenceLoss;
use super::step::Step;
use super::teacher::Teacher;
use crate::error::{Error, Result};
use crate::loss;

/// Added to the similarity of a query and an answer that is not its positive's column, which then counts nowhere.
const NEVER: f32 = -1e9;

/// The parts of a loss before weighting, for the log.
pub(super) type Parts = Vec<(&'static str, f32)>;

/// The weighted sum of the parts of a loss.
#[derive(Default)]
struct Sum {
    total: Option<Tensor>,
    named: Parts,
}

impl Sum {
    fn add(&mut self, name: &'static str, weight: f64, value: Tensor, tell: bool) -> Result<()> {
        if tell {
            self.named.push((name, value.to_scalar::<f32>()?));
        }
        let weighted = (value * weight)?;
        self.total = Some(match self.total.take() {
            Some(total) => (total + weighted)?,
            None => weighted,
        });
        Ok(())
    }
}

/// The loss that the settings ask for, a scalar, and its parts: `queries` (rows, dimension) and `passages` (columns, dimension)
/// of a step, of unit length.
///
/// # Errors
/// When no part has anything to optimize, or the tensor library refuses.
pub(super) fn objective(
    settings: &SentenceLoss,
    teacher: Option<&Teacher>,
    step: &Step,
    queries: &Tensor,
    passages: &Tensor,
) -> Result<(Tensor, Parts)> {
    let mut parts = Sum::default();
    let batch = InBatch::new(settings, teacher, step, queries.device())?;
    batch.view(queries, passages, 1.0, true, &mut parts)?;
    for short in &settings.matryoshka {
        let queries = loss::shortened(queries, short.dimension)?;
        let passages = loss::shortened(passages, short.dimension)?;
        batch.view(&queries, &passages, short.weight, false, &mut parts)?;
    }
    if let Some(teacher) = teacher.filter(|_| settings.teacher_vectors > 0.0) {
        let weight = settings.teacher_vectors / 2.0;
        let theirs = teacher.queries(&step.query_rows, queries.device())?;
        parts.add("teacher_queries", weight, loss::cosine(queries, &theirs)?, true)?;
        let theirs = teacher.positives(&batch.known_rows, queries.device())?;
        let known = passages.index_select(&batch.known, 0)?;
        parts.add("teacher_positives", weight, loss::cosine(&known, &theirs)?, true)?;
    }
    let total = parts.total.ok_or_else(|| Error::Setting {
        field: "loss",
        value: "all parts of weight 0, or without the negatives or scores that they need".into(),
        accepted: "at least one part".into(),
    })?;
    Ok((total, parts.named))
}

/// What all parts look at that compare queries with passages.
struct InBatch<'a> {
    settings: &'a SentenceLoss,
    owner: Tensor,
    /// 0, and [`NEVER`] where a query meets another answer; none when there is no such place.
    other_answers: Option<Tensor>,
    /// Columns that the teacher knows, and their lines.
    known: Tensor,
    known_rows: Vec<u32>,
    /// The teacher's similarities of queries and known columns.
    teacher_rows: Option<Tensor>,
    /// For each query and each of its negatives the places of positive and negative in the flat matrix.
    triplets: Option<(Tensor, Tensor)>,
    /// Of the queries with scores: places of positive and negatives in the flat matrix, and the scores, both
    /// (queries, 1 + negatives).
    scored: Option<(Tensor, Tensor)>,
}

impl<'a> InBatch<'a> {
    fn new(
        settings: &'a SentenceLoss,
        teacher: Option<&Teacher>,
        step: &Step,
        device: &Device,
    ) -> Result<Self> {
        let rows = (0..).zip(&step.passage_rows);
        let (known, known_rows): (Vec<u32>, Vec<u32>) =
            rows.filter_map(|(column, row)| Some((column, (*row)?))).unzip();
        let teacher_rows = match teacher.filter(|_| settings.teacher_rows > 0.0) {
            Some(teacher) => {
                let passages = teacher.positives(&known_rows, device)?;
                let queries = teacher.queries(&step.query_rows, device)?;
                Some(queries.matmul(&passages.t()?)?)
            }
            None => None,
        };
        Ok(Self {
            settings,
            owner: Tensor::new(step.owner.as_slice(), device)?,
            other_answers: other_answers(step, device)?,
            known: Tensor::new(known, device)?,
            known_rows,
            teacher_rows,
            triplets: triplets(step, device)?,
            scored: scored(step, device)?,
        })
    }

    /// Adds the parts for vectors of some length, their weights multiplied by `weight`.
    fn view(
        &self,
        queries: &Tensor,
        passages: &Tensor,
        weight: f64,
        tell: bool,
        parts: &mut Sum,
    ) -> Result<()> {
        let settings = self.settings;
        let similarities = match settings.int8 {
            true => loss::rounded(queries)?.matmul(&loss::rounded(passages)?.t()?)?,
            false => queries.matmul(&passages.t()?)?,
        };
        if settings.contrastive > 0.0 {
            let value = self.contrastive(&similarities)?;
            parts.add("contrastive", weight * settings.contrastive, value, tell)?;
        }
        let flat = similarities.flatten_all()?;
        if let Some((positives, negatives)) = self.triplets.as_ref().filter(|_| settings.triplet > 0.0) {
            let (near, far) = (flat.index_select(positives, 0)?, flat.index_select(negatives, 0)?);
            let value = loss::triplet(&near, &far, settings.triplet_margin)?;
            parts.add("triplet", weight * settings.triplet, value, tell)?;
        }
        if let Some((places, scores)) = &self.scored {
            let ours = flat
                .index_select(&places.flatten_all()?, 0)?
                .reshape(places.dims())?;
            let ours = (ours * settings.scale)?;
            if settings.teacher_margins > 0.0 {
                let value = loss::margin_mse(&ours, scores)?;
                parts.add("teacher_margins", weight * settings.teacher_margins, value, tell)?;
            }
            if settings.teacher_scores > 0.0 {
                let value = loss::rows(&ours, scores, 1.0)?;
                parts.add("teacher_scores", weight * settings.teacher_scores, value, tell)?;
            }
        }
        if let Some(theirs) = &self.teacher_rows {
            let ours = similarities.index_select(&self.known, 1)?;
            let value = loss::rows(&ours, theirs, settings.teacher_scale)?;
            parts.add("teacher_rows", weight * settings.teacher_rows, value, tell)?;
        }
        Ok(())
    }

    fn contrastive(&self, similarities: &Tensor) -> Result<Tensor> {
        let similarities = match &self.other_answers {
            Some(never) => &(similarities + never)?,
            None => similarities,
        };
        match self.settings.symmetric {
            true => loss::contrastive_symmetric(similarities, &self.owner, self.settings.scale),
            false => loss::contrastive(similarities, &self.owner, self.settings.scale),
        }
    }
}

fn other_answers(step: &Step, device: &Device) -> Result<Option<Tensor>> {
    let places = step.other_answers();
    if places.is_empty() {
        return Ok(None);
    }
    let (rows, columns) = (step.queries.len(), step.passages.len());
    let mut added = vec![0f32; rows * columns];
    for (row, column) in places {
        added[row * columns + column] = NEVER;
    }
    Ok(Some(Tensor::from_vec(added, (rows, columns), device)?))
}

fn triplets(step: &Step, device: &Device) -> Result<Option<(Tensor, Tensor)>> {
    let columns = step.passages.len() as u32;
    let (mut positives, mut negatives) = (Vec::new(), Vec::new());
    for (row, (&owner, own)) in (0..).zip(step.owner.iter().zip(&step.negatives)) {
        positives.extend(own.iter().map(|_| row * columns + owner));
        negatives.extend(own.iter().map(|column| row * columns + column));
    }
    if negatives.is_empty() {
        return Ok(None);
    }
    Ok(Some((
        Tensor::new(positives, device)?,
        Tensor::new(negatives, device)?,
    )))
}

/// Queries with fewer scores than the others take no part.
fn scored(step: &Step, device: &Device) -> Result<Option<(Tensor, Tensor)>> {
    let width = step.scores.iter().map(Vec::len).max().unwrap_or(0);
    if width < 2 {
        return Ok(None);
    }
    let columns = step.passages.len() as u32;
    let (mut places, mut scores, mut rows) = (Vec::new(), Vec::new(), 0);
    for (row, own) in (0..).zip(&step.scores).filter(|(_, own)| own.len() == width) {
        let at = row as usize;
        let passages = std::iter::once(&step.owner[at]).chain(&step.negatives[at]);
        places.extend(passages.map(|column| row * columns + column));
        scores.extend_from_slice(own);
        rows += 1;
    }
    let shape = (rows, width);
    Ok(Some((
        Tensor::from_vec(places, shape, device)?,
        Tensor::from_vec(scores, shape, device)?,
    )))
}
