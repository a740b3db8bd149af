//! Batches of examples that lie in memory: which ones, in which order, and as rows of ids.

use std::sync::{Mutex, PoisonError};

use encoder::{Batch, Device};
use rand::seq::SliceRandom as _;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::random;

/// The order in which a run sees its examples. In an epoch each example comes at most once: they are shuffled,
/// sorted by length in windows of many batches so that texts of a batch have about the same length, and the
/// batches are shuffled. What does not fill a batch waits for another epoch's shuffle.
pub(crate) struct Order {
    /// Tokens of each example.
    lengths: Vec<u32>,
    batch: usize,
    seed: u64,
    /// The batches of the epoch that was asked for last.
    known: Mutex<Option<(u64, Vec<Vec<u32>>)>>,
}

impl Order {
    /// For examples of these lengths; `field` is the recipe's name of the batch size.
    ///
    /// # Errors
    /// A batch of nothing, or of more examples than there are.
    pub(crate) fn new(lengths: Vec<u32>, batch: usize, seed: u64, field: &'static str) -> Result<Self> {
        if batch == 0 || batch > lengths.len() {
            return Err(Error::Setting {
                field,
                value: batch.to_string(),
                accepted: format!("1 to {}, the examples that were read", lengths.len()),
            });
        }
        Ok(Self {
            lengths,
            batch,
            seed,
            known: Mutex::default(),
        })
    }

    /// Batches in which each example is seen once.
    pub(crate) fn batches_per_epoch(&self) -> u64 {
        (self.lengths.len() / self.batch) as u64
    }

    /// The numbers of the examples in a batch.
    pub(crate) fn members(&self, number: u64) -> Vec<u32> {
        let (epoch, at) = (
            number / self.batches_per_epoch(),
            (number % self.batches_per_epoch()) as usize,
        );
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((same, batches)) if *same == epoch => batches[at].clone(),
            _ => {
                let batches = self.epoch(epoch);
                let members = batches[at].clone();
                *known = Some((epoch, batches));
                members
            }
        }
    }

    fn epoch(&self, epoch: u64) -> Vec<Vec<u32>> {
        const WINDOW_BATCHES: usize = 50;
        let mut random = random::stream(self.seed, "order of the examples", epoch);
        let mut order: Vec<u32> = (0..self.lengths.len() as u32).collect();
        order.shuffle(&mut random);
        for window in order.chunks_mut(self.batch * WINDOW_BATCHES) {
            window.sort_by_key(|&at| self.lengths[at as usize]);
        }
        let mut batches: Vec<Vec<u32>> = order.chunks_exact(self.batch).map(<[u32]>::to_vec).collect();
        batches.shuffle(&mut random);
        batches
    }
}

/// Texts or pairs as ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Rows {
    /// Token ids.
    pub(crate) ids: Vec<Vec<u32>>,
    /// Segment ids of the same lengths.
    pub(crate) types: Vec<Vec<u32>>,
}

impl Rows {
    /// Adds a text.
    pub(crate) fn push(&mut self, ids: Vec<u32>, types: Vec<u32>) {
        self.ids.push(ids);
        self.types.push(types);
    }

    /// Tokens in all.
    pub(crate) fn tokens(&self) -> usize {
        self.ids.iter().map(Vec::len).sum()
    }

    /// The rows as a model takes them.
    ///
    /// # Errors
    /// As [`Batch::new`].
    pub(crate) fn batch(&self, pad: u32, device: &Device) -> Result<Batch> {
        Ok(Batch::new(&self.ids, Some(&self.types), pad, device)?)
    }
}

/// What `model` says of each row, in the order of the rows; it is given a group of them at a time.
///
/// # Errors
/// What `model` says.
pub(crate) fn in_groups<T: Clone + Default>(
    rows: &Rows,
    mut model: impl FnMut(&Rows) -> Result<Vec<T>>,
) -> Result<Vec<T>> {
    const TOKENS: usize = 8192;
    let lengths: Vec<usize> = rows.ids.iter().map(Vec::len).collect();
    let mut all = vec![T::default(); lengths.len()];
    for group in groups(&lengths, TOKENS) {
        let mut part = Rows::default();
        for &at in &group {
            part.push(rows.ids[at].clone(), rows.types[at].clone());
        }
        for (at, found) in group.into_iter().zip(model(&part)?) {
            all[at] = found;
        }
    }
    Ok(all)
}

/// Texts of these lengths in groups of neighbours by length, each of at most `tokens_max` tokens with padding
/// (or one text): what a pass without gradients takes at a time.
fn groups(lengths: &[usize], tokens_max: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&at| lengths[at]);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for at in order {
        match groups.last_mut() {
            // In rising order the newest text is the longest.
            Some(group) if (group.len() + 1) * lengths[at] <= tokens_max => group.push(at),
            _ => groups.push(vec![at]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;

    #[test]
    fn an_epoch_has_each_example_once_and_texts_of_like_length_together() {
        let lengths: Vec<u32> = (0..1000).map(|at| (at * 7919) % 97).collect();
        let order = Order::new(lengths.clone(), 10, 3, "data.batch").unwrap();
        assert_eq!(order.batches_per_epoch(), 100);
        let batches: Vec<Vec<u32>> = (0..100).map(|number| order.members(number)).collect();
        let mut all = batches.concat();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<u32>>());
        let spread = |batch: &Vec<u32>| {
            let lengths = batch.iter().map(|&at| lengths[at as usize]);
            lengths.clone().max().unwrap() - lengths.min().unwrap()
        };
        assert!(
            batches.iter().map(spread).sum::<u32>() < 100 * 10,
            "of 97 if they were mixed"
        );
        assert_ne!(order.members(100), batches[0]);
        assert_eq!(order.members(0), batches[0]);
        for batch in [0, 1001] {
            assert!(Order::new(lengths.clone(), batch, 3, "data.batch").is_err());
        }
    }

    #[test]
    fn answers_come_in_the_order_of_the_rows() {
        let mut rows = Rows::default();
        for length in [4000, 1, 9000, 3, 2] {
            rows.push(vec![length; length as usize], vec![0; length as usize]);
        }
        let mut calls = 0;
        let found = in_groups(&rows, |rows| {
            calls += 1;
            Ok(rows.ids.iter().map(|ids| ids[0]).collect())
        });
        assert_eq!((found.unwrap(), calls), (vec![4000, 1, 9000, 3, 2], 3));
    }

    #[test]
    fn groups_hold_every_text_within_the_limit() {
        let lengths = [5, 1, 9, 30, 2, 2, 8];
        let groups = groups(&lengths, 16);
        let mut all = groups.concat();
        all.sort_unstable();
        assert_eq!(all, (0..7).collect::<Vec<_>>());
        for group in &groups {
            let longest = group.iter().map(|&at| lengths[at]).max().unwrap();
            assert!(group.len() == 1 || group.len() * longest <= 16, "{group:?}");
        }
        assert_eq!(groups.len(), 4);
    }
}
