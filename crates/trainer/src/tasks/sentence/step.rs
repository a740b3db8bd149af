//! What one batch looks at: queries, and the passages among which each has to find its own.

use std::collections::HashMap;

use rand::seq::SliceRandom as _;
use serde::Serialize;

use super::pairs::Pairs;
use super::recipe::SentenceData;
use crate::random;

/// Queries and passages as token ids. A passage is a column of the matrix of similarities, a query a row.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Step {
    /// The columns: the positives first, then the negatives that are not among them.
    pub(super) passages: Vec<Vec<u32>>,
    /// The queries that each column answers, by their texts.
    pub(super) answered: Vec<Vec<u32>>,
    /// The line of each column whose vector the teacher made.
    pub(super) passage_rows: Vec<Option<u32>>,
    /// The rows.
    pub(super) queries: Vec<Vec<u32>>,
    /// The line of each query.
    pub(super) query_rows: Vec<u32>,
    /// The column of each query's positive.
    pub(super) owner: Vec<u32>,
    /// Which text each query is: equal numbers are equal queries.
    pub(super) texts: Vec<u32>,
    /// The columns of each query's own negatives.
    pub(super) negatives: Vec<Vec<u32>>,
    /// A teacher's scores of a query's positive and negatives, or none.
    pub(super) scores: Vec<Vec<f32>>,
}

impl Step {
    /// The batch of these groups. `number` names the random choices of queries and negatives.
    pub(super) fn gather(
        pairs: &Pairs,
        data: &SentenceData,
        members: &[u32],
        seed: u64,
        number: u64,
    ) -> Self {
        let mut random = random::stream(seed, "queries of a positive", number);
        let mut step = Self::default();
        let mut columns = HashMap::new();
        let groups = members.iter().map(|&member| &pairs.groups[member as usize]);
        for group in groups.clone() {
            step.column(pairs, group.positive, &mut columns);
        }
        for group in groups {
            let mut chosen: Vec<usize> = (0..group.queries.len()).collect();
            let count = chosen.len().min(data.queries_per_positive);
            let (chosen, _) = chosen.partial_shuffle(&mut random, count);
            for &mut query in chosen {
                let query = &group.queries[query];
                let mut negatives: Vec<usize> = (0..query.negatives.len()).collect();
                let count = negatives.len().min(data.negatives);
                let (negatives, _) = negatives.partial_shuffle(&mut random, count);
                let column = |&mut at: &mut usize| step.column(pairs, query.negatives[at], &mut columns);
                let own = negatives.iter_mut().map(column).collect();
                let scores = std::iter::once(0).chain(negatives.iter().map(|&at| at + 1));
                let scores = scores.filter_map(|at| query.scores.get(at).copied());
                step.scores.push(scores.collect());
                step.negatives.push(own);
                step.owner.push(columns[&group.positive]);
                step.texts.push(query.text);
                step.queries.push(query.ids.clone());
                step.query_rows.push(query.row);
            }
        }
        step
    }

    /// The column of a text, a new one if there is none.
    fn column(&mut self, pairs: &Pairs, text: u32, columns: &mut HashMap<u32, u32>) -> u32 {
        *columns.entry(text).or_insert_with(|| {
            self.passages.push(pairs.passages[text as usize].clone());
            self.passage_rows.push(pairs.rows[text as usize]);
            self.answered.push(pairs.answered(text).collect());
            self.passages.len() as u32 - 1
        })
    }

    /// Appends the queries and passages of another batch.
    pub(super) fn append(&mut self, other: Self) {
        let before = self.passages.len() as u32;
        self.passages.extend(other.passages);
        self.answered.extend(other.answered);
        self.passage_rows.extend(other.passage_rows);
        self.queries.extend(other.queries);
        self.query_rows.extend(other.query_rows);
        self.owner
            .extend(other.owner.iter().map(|column| before + column));
        self.texts.extend(other.texts);
        let moved = |columns: Vec<u32>| columns.iter().map(|column| before + column).collect();
        self.negatives.extend(other.negatives.into_iter().map(moved));
        self.scores.extend(other.scores);
    }

    /// Tokens of all texts.
    pub(super) fn tokens(&self) -> usize {
        self.queries.iter().chain(&self.passages).map(Vec::len).sum()
    }

    /// The places (row, column) where a query meets an answer that is not its positive's column: a copy of that, or
    /// another line's positive of the same query.
    pub(super) fn other_answers(&self) -> Vec<(usize, usize)> {
        let mut columns: HashMap<u32, Vec<usize>> = HashMap::new();
        for (column, answered) in self.answered.iter().enumerate() {
            for &query in answered {
                columns.entry(query).or_default().push(column);
            }
        }
        let mut places = Vec::new();
        for (row, (text, &owner)) in self.texts.iter().zip(&self.owner).enumerate() {
            let answers = columns.get(text).into_iter().flatten();
            let others = answers.filter(|&&column| column != owner as usize);
            places.extend(others.map(|&column| (row, column)));
        }
        places
    }
}
