//! The reading task: where in a text is the answer to a question (Devlin et al. 2018, sections 4.2 and 4.3).
//!
//! A text is read in windows that overlap. In a window without the answer the right place is the first token, so
//! that the model learns to say "not here"; with questions that have no answer at all it learns to say "nowhere".

mod altered;
mod questions;
mod recipe;
mod scores;
mod unanswerable;

use std::ops::Range;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use encoder::{Parameters, Pass, SpanReader};
use infer::ReaderSettings;
use serde::Serialize;
use text::{PairFrame, Tokenizer};

use crate::batches::{Order, Rows};
use crate::error::{Error, Result, io};
use crate::run::{Task, TaskLoss};
use crate::start::Beginning;
use crate::{loss, random};

use questions::Questions;
pub use recipe::{ReaderData, ReaderRecipe};

/// A reader with its questions in memory.
pub struct ReaderTask {
    recipe: ReaderRecipe,
    tokenizer: Tokenizer,
    frame: PairFrame,
    model: SpanReader,
    begun: String,
    train: Questions,
    held_out: Questions,
    examples: Vec<Example>,
    /// Questions of the files.
    asked: usize,
    /// Questions without an answer that were made of them.
    made: usize,
    order: Order,
}

/// A question with a window of a paragraph, as numbers of [`Questions`].
#[derive(Debug, Clone, PartialEq)]
struct Example {
    question: usize,
    context: usize,
    window: Range<usize>,
    /// Tokens of the paragraph that answer the question, when they are all in the window.
    answer: Option<Range<usize>>,
}

/// Some windows with the places of their answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReaderBatch {
    rows: Rows,
    /// The row's token at which each answer begins, 0 where there is none.
    begins: Vec<u32>,
    /// The row's token at which each answer ends.
    ends: Vec<u32>,
    /// The questions' ids.
    questions: Vec<String>,
}

impl ReaderTask {
    /// Reads everything the recipe names and makes the model.
    ///
    /// # Errors
    /// Files that are missing or damaged, settings out of range.
    pub fn new(recipe: ReaderRecipe, tokenizer: Tokenizer) -> Result<Self> {
        let begin = Beginning::new(recipe.model.as_ref(), recipe.start.as_ref(), &tokenizer)?;
        begin.check_tokens(recipe.data.tokens)?;
        recipe.tuning.check(begin.config.num_hidden_layers)?;
        check(&recipe)?;
        let read = |paths| Questions::read(paths, &tokenizer, recipe.data.question_tokens);
        let (mut train, held_out) = (read(&recipe.data.squad)?, read(&recipe.data.held_out)?);
        let (share, near) = (recipe.data.unanswerable, recipe.data.unanswerable_near);
        let made = unanswerable::made(&train, share, near, recipe.seed);
        let altered = altered::altered(&train, recipe.data.unanswerable_altered, recipe.seed);
        let (asked, count) = (train.questions.len(), made.len() + altered.len());
        train.push_unanswerable(altered, &tokenizer, recipe.data.question_tokens)?;
        let frame = tokenizer.pair_frame()?;
        let mut examples = Vec::new();
        for (at, question) in train.questions.iter().enumerate() {
            let answer = question.tokens.as_ref();
            push_windows(
                &recipe.data,
                &frame,
                &train,
                (at, question.context),
                answer,
                &mut examples,
            )?;
        }
        for &place in &made {
            push_windows(&recipe.data, &frame, &train, place, None, &mut examples)?;
        }
        let length = |example: &Example| train.questions[example.question].ids.len() + example.window.len();
        let lengths = examples.iter().map(|example| length(example) as u32).collect();
        let order = Order::new(lengths, recipe.data.batch, recipe.seed, "data.batch")?;
        let parameters = Parameters::fresh(recipe.seed, &recipe.compute.open()?);
        let model = SpanReader::new(&parameters, &begin.config)?;
        let begun = begin.describe(&begin.fill(&model.vars())?);
        Ok(Self {
            asked,
            made: count,
            recipe,
            tokenizer,
            frame,
            model,
            begun,
            train,
            held_out,
            examples,
            order,
        })
    }

    /// The model as it is now.
    pub fn model(&self) -> &SpanReader {
        &self.model
    }

    fn device(&self) -> &Device {
        self.model.bert.word_embeddings().device()
    }

    /// Logits (windows, tokens, 2) in f32; far below all others at padding, which is no place for an answer.
    fn logits(&self, rows: &Rows, pass: &mut Pass) -> Result<Tensor> {
        let batch = rows.batch(self.tokenizer.special().pad, self.device())?;
        let logits = self.model.forward(&batch, pass)?.to_dtype(DType::F32)?;
        let away = batch.mask().affine(1e9, -1e9)?.unsqueeze(2)?;
        Ok(logits.broadcast_add(&away)?)
    }
}

fn check(recipe: &ReaderRecipe) -> Result<()> {
    let data = &recipe.data;
    for (field, share, most) in [
        ("data.unanswerable", data.unanswerable, 1.0),
        ("data.unanswerable_near", data.unanswerable_near, 1.0),
        ("data.unanswerable_altered", data.unanswerable_altered, 1.0),
    ] {
        if !(0.0..=most).contains(&share) {
            return Err(Error::Setting {
                field,
                value: share.to_string(),
                accepted: format!("0 to {most}"),
            });
        }
    }
    settings(data)
        .check(data.tokens)
        .map_err(|reason| Error::Setting {
            field: "data",
            value: format!("not consistent: {reason}"),
            accepted: "windows with room for the question and more of the text than they share".into(),
        })
}

/// How the model is to be asked.
fn settings(data: &ReaderData) -> ReaderSettings {
    ReaderSettings {
        window_tokens: data.tokens,
        overlap_tokens: data.overlap,
        question_tokens: data.question_tokens,
        answer_tokens: data.answer_tokens,
        threshold: 0.0,
    }
}

/// Adds an example for each window of the paragraph `context` with the question.
fn push_windows(
    data: &ReaderData,
    frame: &PairFrame,
    all: &Questions,
    (question, context): (usize, usize),
    answer: Option<&Range<usize>>,
    examples: &mut Vec<Example>,
) -> Result<()> {
    let (asked, tokens) = (
        &all.questions[question].ids,
        all.contexts[context].pieces.ids.len(),
    );
    for window in frame.windows(asked.len(), tokens, data.tokens, data.overlap)? {
        let within = |answer: &&Range<usize>| window.start <= answer.start && answer.end <= window.end;
        examples.push(Example {
            question,
            context,
            answer: answer.filter(within).cloned(),
            window,
        });
    }
    Ok(())
}

crate::recipe::leads_to!(ReaderRecipe, ReaderTask);

impl Task for ReaderTask {
    type Batch = ReaderBatch;

    fn describe(&self) -> String {
        let answered = self.examples.iter().filter(|example| example.answer.is_some());
        format!(
            "{} questions of {} paragraphs and {} made without an answer; {} windows, {} of them with an answer, {} \
             batches an epoch; {}",
            self.asked,
            self.train.contexts.len(),
            self.made,
            self.examples.len(),
            answered.count(),
            self.order.batches_per_epoch(),
            self.begun
        )
    }

    fn variables(&self) -> Vec<(String, Var)> {
        self.model.vars()
    }

    fn rate(&self, name: &str) -> f64 {
        // What all places have in common cancels in the softmax over them.
        if name == "qa_outputs.bias" {
            return 0.0;
        }
        let layers = self.model.bert.config().num_hidden_layers;
        self.recipe.tuning.rate(name, layers)
    }

    fn prepare(&self, number: u64) -> Result<ReaderBatch> {
        let mut batch = ReaderBatch {
            rows: Rows::default(),
            begins: Vec::new(),
            ends: Vec::new(),
            questions: Vec::new(),
        };
        for at in self.order.members(number) {
            let example = &self.examples[at as usize];
            let question = &self.train.questions[example.question];
            let window = &self.train.contexts[example.context].pieces.ids[example.window.clone()];
            let pair = self.frame.join(&question.ids, window, self.recipe.data.tokens)?;
            let place = |token: usize| (pair.second.start + token - example.window.start) as u32;
            let answer = example.answer.as_ref();
            batch.begins.push(answer.map_or(0, |answer| place(answer.start)));
            batch.ends.push(answer.map_or(0, |answer| place(answer.end - 1)));
            batch.questions.push(question.id.clone());
            batch.rows.push(pair.ids, pair.type_ids);
        }
        Ok(batch)
    }

    fn compute(&self, number: u64, batch: &ReaderBatch) -> Result<TaskLoss> {
        let mut pass = Pass::train(random::pass(self.recipe.seed, number));
        let logits = self.logits(&batch.rows, &mut pass)?;
        let part = |end: usize, places: &[u32]| -> Result<Tensor> {
            let logits = logits.narrow(2, end, 1)?.squeeze(2)?.contiguous()?;
            loss::cross_entropy(&logits, &Tensor::new(places, self.device())?)
        };
        let loss = ((part(0, &batch.begins)? + part(1, &batch.ends)?)? * 0.5)?;
        Ok(TaskLoss {
            parts: vec![("span", loss.to_scalar::<f32>()?)],
            loss,
            tokens: batch.rows.tokens(),
            batch: format!("questions {}", batch.questions.join(", ")),
        })
    }

    /// F1 and exact match by SQuAD's rules; with questions that have no answer, at the best threshold.
    fn evaluate(&self) -> Result<Vec<(&'static str, f64)>> {
        self.scores_of_held_out()
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.model.save(folder, DType::F16)?;
        settings(&self.recipe.data).save(folder).map_err(io(folder))?;
        Ok(self.tokenizer.save(folder, self.recipe.data.tokens)?)
    }
}
