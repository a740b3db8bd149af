//! Pairs of queries and positives, grouped by positive, and the order in which a run sees them.

use std::collections::HashMap;
use std::path::Path;

use rand::seq::SliceRandom as _;
use serde::Deserialize;
use text::Tokenizer;
use xxhash_rust::xxh3::xxh3_128;

use super::recipe::{Form, SentenceData};
use crate::error::{Error, Result};
use crate::random;
use crate::texts;

/// A line of a pairs file. Other keys are allowed and ignored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Pair {
    /// What is asked.
    pub query: String,
    /// A text that answers it.
    pub positive: String,
    /// Texts that do not; often none.
    #[serde(default)]
    pub negatives: Vec<String>,
    /// A teacher's scores of the positive and the negatives, in their order; or none.
    #[serde(default)]
    pub scores: Vec<f32>,
}

/// Reads a pairs file, line by line.
///
/// # Errors
/// When the file cannot be opened; a line that is damaged is an error of its own and named.
pub fn read(path: &Path) -> Result<impl Iterator<Item = Result<Pair>> + use<>> {
    let pairs = texts::records(path)?.enumerate();
    let path = path.to_owned();
    Ok(pairs.map(move |(at, pair)| {
        let pair: Pair = pair?;
        let scores = pair.scores.len();
        if scores != 0 && scores != 1 + pair.negatives.len() {
            return Err(Error::Line {
                path: path.clone(),
                line: at + 1,
                reason: format!(
                    "{scores} scores; accepted are none, or one for the positive and one for each of {} negatives",
                    pair.negatives.len()
                ),
            });
        }
        Ok(pair)
    }))
}

/// What a run reads: passages, each text once, and the queries of each positive.
#[derive(Debug, Default, PartialEq)]
pub struct Pairs {
    /// Token ids of every different passage.
    pub passages: Vec<Vec<u32>>,
    /// Of each passage the first line that has it as its positive, counted from 0, if there is one.
    pub rows: Vec<Option<u32>>,
    /// The positives, in the order of their first lines.
    pub groups: Vec<Group>,
    /// Of each passage its place among the positives, if it is one.
    places: Vec<Option<u32>>,
    /// Lines read.
    pub lines: usize,
}

/// A positive with all its queries.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Which of the passages.
    pub positive: u32,
    /// The queries.
    pub queries: Vec<Query>,
}

/// A query of a positive.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Its line, counted from 0, and so the row of the teacher's vectors.
    pub row: u32,
    /// Which text it is: lines with the same query have the same number.
    pub text: u32,
    /// Its token ids.
    pub ids: Vec<u32>,
    /// Passages that do not answer it.
    pub negatives: Vec<u32>,
    /// A teacher's scores of the positive and the negatives, or none.
    pub scores: Vec<f32>,
}

impl Pairs {
    /// Reads and tokenizes the file that the recipe names.
    ///
    /// # Errors
    /// When it cannot be read, a line is damaged, or the tokenizer refuses.
    pub fn open(path: &Path, tokenizer: &Tokenizer, data: &SentenceData) -> Result<Self> {
        let alone = |text: Result<String>| {
            text.map(|text| Pair {
                query: text.clone(),
                positive: text,
                negatives: Vec::new(),
                scores: Vec::new(),
            })
        };
        match data.form {
            Form::Pairs => Self::collect(read(path)?, tokenizer, data),
            Form::Texts => Self::collect(texts::documents(path)?.map(alone), tokenizer, data),
        }
    }

    /// Takes in pairs, those with the same positive together.
    ///
    /// # Errors
    /// As [`Pairs::open`].
    pub fn collect(
        pairs: impl Iterator<Item = Result<Pair>>,
        tokenizer: &Tokenizer,
        data: &SentenceData,
    ) -> Result<Self> {
        let mut passages = Interned::new(tokenizer, data.positive_tokens);
        let mut queries = Interned::new(tokenizer, data.query_tokens);
        let mut lines: Vec<(u32, u32, Vec<u32>, Vec<f32>)> = Vec::new();
        for pair in pairs {
            let pair = pair?;
            let positive = passages.number(pair.positive)?;
            let negatives = pair.negatives.into_iter().map(|text| passages.number(text));
            let negatives = negatives.collect::<Result<_>>()?;
            lines.push((queries.number(pair.query)?, positive, negatives, pair.scores));
        }
        let (passages, queries) = (passages.finish()?, queries.finish()?);
        let mut read = Self {
            rows: vec![None; passages.len()],
            places: vec![None; passages.len()],
            passages,
            groups: Vec::new(),
            lines: lines.len(),
        };
        for (row, (query, positive, negatives, scores)) in (0..).zip(lines) {
            let place = *read.places[positive as usize].get_or_insert_with(|| {
                read.rows[positive as usize] = Some(row);
                let queries = Vec::new();
                read.groups.push(Group { positive, queries });
                read.groups.len() as u32 - 1
            });
            read.groups[place as usize].queries.push(Query {
                row,
                text: query,
                ids: queries[query as usize].clone(),
                negatives,
                scores,
            });
        }
        Ok(read)
    }

    /// The queries that a passage answers, by their texts.
    pub fn answered(&self, passage: u32) -> impl Iterator<Item = u32> + '_ {
        let group = self.places[passage as usize].map(|place| &self.groups[place as usize]);
        group
            .into_iter()
            .flat_map(|group| group.queries.iter().map(|query| query.text))
    }
}

/// Texts as token ids, each different one once. Texts are tokenized many at a time, and then forgotten.
struct Interned<'a> {
    tokenizer: &'a Tokenizer,
    tokens_max: usize,
    numbers: HashMap<u128, u32>,
    waiting: Vec<String>,
    ids: Vec<Vec<u32>>,
}

impl<'a> Interned<'a> {
    /// Texts that are tokenized together.
    const TOGETHER: usize = 4096;

    fn new(tokenizer: &'a Tokenizer, tokens_max: usize) -> Self {
        Self {
            tokenizer,
            tokens_max,
            numbers: HashMap::new(),
            waiting: Vec::new(),
            ids: Vec::new(),
        }
    }

    fn number(&mut self, text: String) -> Result<u32> {
        let next = self.numbers.len() as u32;
        let number = *self.numbers.entry(xxh3_128(text.as_bytes())).or_insert(next);
        if number == next {
            self.waiting.push(text);
            if self.waiting.len() == Self::TOGETHER {
                self.encode()?;
            }
        }
        Ok(number)
    }

    fn encode(&mut self) -> Result<()> {
        let texts: Vec<&str> = self.waiting.iter().map(String::as_str).collect();
        let encoded = self.tokenizer.encode_batch(&texts, self.tokens_max)?;
        self.ids.extend(encoded.into_iter().map(|encoding| encoding.ids));
        self.waiting.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Vec<u32>>> {
        self.encode()?;
        Ok(self.ids)
    }
}

/// The batches of one epoch: numbers of groups, each at most once. Groups are shuffled, sorted by length in
/// windows of many batches so that texts of a batch have about the same length, and the batches shuffled.
/// What does not fill a batch waits for another epoch's shuffle.
pub fn epoch(pairs: &Pairs, batch: usize, seed: u64, epoch: u64) -> Vec<Vec<u32>> {
    const WINDOW_BATCHES: usize = 50;
    let mut random = random::stream(seed, "order of the pairs", epoch);
    let mut order: Vec<u32> = (0..pairs.groups.len() as u32).collect();
    order.shuffle(&mut random);
    let length = |&at: &u32| pairs.passages[pairs.groups[at as usize].positive as usize].len();
    for window in order.chunks_mut(batch * WINDOW_BATCHES) {
        window.sort_by_key(length);
    }
    let mut batches: Vec<Vec<u32>> = order.chunks_exact(batch).map(<[u32]>::to_vec).collect();
    batches.shuffle(&mut random);
    batches
}
