//! The stream cut into sequences, and the batches of a phase.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use rand::seq::SliceRandom as _;

use super::pairs::Sentences;
use super::recipe::{Packing, Phase};
use super::stream::Stream;
use crate::random;

/// The sequences of one phase. An epoch has each of them once at most, in random order.
pub(super) struct Sequences {
    pub(super) pieces: Vec<Range<usize>>,
    /// For pairs of segments.
    pub(super) sentences: Option<Sentences>,
    /// Sequences of one batch.
    pub(super) batch: usize,
    /// Tells the orders of two phases apart.
    number: u64,
    /// The order of the epoch that was asked for last.
    order: Mutex<Option<(u64, Arc<Vec<u32>>)>>,
}

impl Sequences {
    /// Cuts a stream for phase `number` of a run, with `room` for tokens beside the special ones.
    pub(super) fn new(
        stream: &Stream,
        room: usize,
        batch: usize,
        number: u64,
        packing: Packing,
        with_pairs: bool,
    ) -> Self {
        let sentences = with_pairs.then(|| Sentences::new(stream, room));
        let pieces = match (&sentences, packing) {
            (Some(sentences), _) => sentences.pieces(stream),
            (None, Packing::Across) => {
                let whole = stream.len() / room;
                (0..whole).map(|at| at * room..(at + 1) * room).collect()
            }
            (None, Packing::Within) => stream
                .documents()
                .iter()
                .flat_map(|document| parts(document, room))
                .collect(),
        };
        Self {
            pieces,
            sentences,
            batch,
            number,
            order: Mutex::default(),
        }
    }

    /// Batches in which each sequence is seen once; some are left over when they do not fill one.
    pub(super) fn batches_an_epoch(&self) -> u64 {
        (self.pieces.len() / self.batch) as u64
    }

    /// The numbers of the pieces of a batch of the phase, of which there is one an epoch at least.
    pub(super) fn batch(&self, seed: u64, number: u64) -> Vec<usize> {
        let (epoch, at) = (number / self.batches_an_epoch(), number % self.batches_an_epoch());
        let order = self.order(seed, epoch);
        order[at as usize * self.batch..][..self.batch]
            .iter()
            .map(|&piece| piece as usize)
            .collect()
    }

    fn order(&self, seed: u64, epoch: u64) -> Arc<Vec<u32>> {
        // The order is whole whenever it is set, so a panic elsewhere leaves it usable.
        let mut known = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        match known.as_ref() {
            Some((of, order)) if *of == epoch => Arc::clone(order),
            _ => {
                let mut order: Vec<u32> = (0..self.pieces.len() as u32).collect();
                let counter = epoch | self.number << 48;
                order.shuffle(&mut random::stream(seed, "order of the texts", counter));
                let order = Arc::new(order);
                *known = Some((epoch, Arc::clone(&order)));
                order
            }
        }
    }
}

fn parts(document: &Range<usize>, room: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let end = document.end;
    document
        .clone()
        .step_by(room)
        .map(move |start| start..end.min(start + room))
}

/// The phase that a batch is of, and its number there. Batches beyond the last belong to the last phase.
pub(super) fn phase_of(phases: &[Phase], batches: u64, number: u64) -> (usize, u64) {
    let (mut share, mut begin) = (0.0, 0);
    for (at, phase) in phases.iter().enumerate() {
        share += phase.share;
        let end = (batches as f64 * share).round() as u64;
        if number < end || at + 1 == phases.len() {
            return (at, number - begin);
        }
        begin = end;
    }
    (0, number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::super::stream::tests::{SEPARATOR, stream};
    use super::*;

    #[test]
    fn sequences_go_across_documents_or_stay_within_one() {
        let stream = stream(&["a b c d e", "f", "a b c d"]);
        let pieces = |packing| Sequences::new(&stream, 4, 2, 0, packing, false).pieces;
        assert_eq!(pieces(Packing::Across), [0..4, 4..8, 8..12]);
        assert_eq!(pieces(Packing::Within), [0..4, 4..5, 6..7, 8..12]);
        let ids = |range| stream.tokens(range).map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids(4..8).iter().filter(|&&id| id == SEPARATOR).count(), 2);
        for piece in pieces(Packing::Within) {
            assert!(!ids(piece).contains(&SEPARATOR));
        }
    }

    #[test]
    fn an_epoch_has_each_sequence_once_and_the_next_one_another_order() {
        let text = vec!["a"; 400].join(" ");
        let sequences = Sequences::new(&stream(&[&text]), 4, 10, 0, Packing::Across, false);
        assert_eq!(sequences.batches_an_epoch(), 10);
        let epoch = |first: u64| {
            (first..first + 10)
                .flat_map(|n| sequences.batch(3, n))
                .collect::<Vec<_>>()
        };
        let (one, two, again) = (epoch(0), epoch(10), epoch(0));
        assert_eq!(one, again);
        assert_ne!(one, two);
        for mut order in [one, two] {
            order.sort_unstable();
            assert_eq!(order, (0..100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn phases_follow_each_other_by_their_shares() {
        let phase = |share| Phase {
            tokens: 8,
            batch: 1,
            share,
        };
        let phases = [phase(0.9), phase(0.1)];
        let of = |number| phase_of(&phases, 50, number);
        assert_eq!((of(0), of(44), of(45), of(49)), ((0, 0), (0, 44), (1, 0), (1, 4)));
        assert_eq!(of(70), (1, 25));
        assert_eq!(phase_of(&[phase(1.0)], 5, 1000), (0, 1000));
    }
}
