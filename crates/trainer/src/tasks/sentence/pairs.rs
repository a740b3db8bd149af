//! Pairs of queries and positives, grouped by positive, and the order in which a run sees them.

use std::collections::HashMap;
use std::path::Path;

use rand::seq::SliceRandom as _;
use serde::Deserialize;
use text::Tokenizer;

use super::SentenceData;
use crate::error::Result;
use crate::random;
use crate::texts;

/// A line of a pairs file. Other keys are allowed and ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pair {
    /// What is asked.
    pub query: String,
    /// A text that answers it.
    pub positive: String,
}

/// Reads a pairs file.
///
/// # Errors
/// When the file cannot be read or a line is damaged; the error names the line.
pub fn read(path: &Path) -> Result<Vec<Pair>> {
    texts::records(path)?.collect()
}

/// A positive with all its queries, as token ids. `row` and the queries' rows are lines of the pairs file,
/// counted from 0, and so rows of the teacher's vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Token ids of the positive.
    pub positive: Vec<u32>,
    /// The first line with this positive.
    pub row: u32,
    /// Line and token ids of each query.
    pub queries: Vec<(u32, Vec<u32>)>,
}

/// Tokenizes pairs and gathers those with the same positive, in the order of first appearance.
///
/// # Errors
/// When the tokenizer refuses, or there is no pair.
pub fn group(pairs: &[Pair], tokenizer: &Tokenizer, data: &SentenceData) -> Result<Vec<Group>> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (line, pair) in pairs.iter().enumerate() {
        let place = *places.entry(&pair.positive).or_insert(members.len());
        if place == members.len() {
            members.push(Vec::new());
        }
        members[place].push(line);
    }
    let queries: Vec<&str> = pairs.iter().map(|pair| pair.query.as_str()).collect();
    let positives: Vec<&str> = members
        .iter()
        .map(|lines| pairs[lines[0]].positive.as_str())
        .collect();
    let mut queries = encode(tokenizer, &queries, data.query_tokens)?;
    let positives = encode(tokenizer, &positives, data.positive_tokens)?;
    let groups = members.into_iter().zip(positives).map(|(lines, positive)| Group {
        positive,
        row: lines[0] as u32,
        queries: lines
            .iter()
            .map(|&line| (line as u32, std::mem::take(&mut queries[line])))
            .collect(),
    });
    Ok(groups.collect())
}

fn encode(tokenizer: &Tokenizer, texts: &[&str], max_tokens: usize) -> Result<Vec<Vec<u32>>> {
    let mut ids = Vec::with_capacity(texts.len());
    for part in texts.chunks(4096) {
        ids.extend(
            tokenizer
                .encode_batch(part, max_tokens)?
                .into_iter()
                .map(|encoding| encoding.ids),
        );
    }
    Ok(ids)
}

/// The batches of one epoch: numbers of groups, each at most once. Groups are shuffled, sorted by length in
/// windows of many batches so that texts of a batch have about the same length, and the batches shuffled.
/// What does not fill a batch waits for another epoch's shuffle.
pub fn epoch(groups: &[Group], batch: usize, seed: u64, epoch: u64) -> Vec<Vec<u32>> {
    const WINDOW_BATCHES: usize = 50;
    let mut random = random::stream(seed, "order of the pairs", epoch);
    let mut order: Vec<u32> = (0..groups.len() as u32).collect();
    order.shuffle(&mut random);
    for window in order.chunks_mut(batch * WINDOW_BATCHES) {
        window.sort_by_key(|&at| groups[at as usize].positive.len());
    }
    let mut batches: Vec<Vec<u32>> = order.chunks_exact(batch).map(<[u32]>::to_vec).collect();
    batches.shuffle(&mut random);
    batches
}
