//! Pairs of texts that are token ids already, so that a text of many pairs is tokenized once.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// The special tokens and segments that a tokenizer gives to pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFrame {
    /// Id and segment of the special tokens before, between and after the texts.
    special: [Vec<(u32, u32)>; 3],
    /// Segments of the texts.
    segments: [u32; 2],
}

/// The tokens of a text by themselves, without special tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pieces {
    /// Ids in the vocabulary.
    pub ids: Vec<u32>,
    /// Bytes of the text that each token stands for.
    pub spans: Vec<(usize, usize)>,
}

/// A pair as a model reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pair {
    /// Ids, special tokens included.
    pub ids: Vec<u32>,
    /// Segment ids, one a token.
    pub type_ids: Vec<u32>,
    /// Where the first text's tokens lie.
    pub first: Range<usize>,
    /// Where the second text's tokens lie.
    pub second: Range<usize>,
}

impl Tokenizer {
    /// The ids of a text without special tokens and without a limit.
    ///
    /// # Errors
    /// When the model's own pipeline refuses the text.
    pub fn bare_ids(&self, text: &str) -> Result<Vec<u32>> {
        match self.plain_ids(text)? {
            Some((ids, _)) => Ok(ids),
            None => Ok(self.raw(text)?.get_ids().to_vec()),
        }
    }

    /// The ids of a text with the bytes that each token stands for, without special tokens and without a limit.
    ///
    /// # Errors
    /// As [`Tokenizer::bare_ids`].
    pub fn pieces(&self, text: &str) -> Result<Pieces> {
        let encoding = self.raw(text)?;
        Ok(Pieces {
            ids: encoding.get_ids().to_vec(),
            spans: encoding.get_offsets().to_vec(),
        })
    }

    /// What this tokenizer puts around the texts of a pair.
    ///
    /// # Errors
    /// When it refuses pairs.
    pub fn pair_frame(&self) -> Result<PairFrame> {
        let pair = self.encode_pair("a", "a", usize::MAX)?;
        let mut runs = pair
            .special_mask
            .chunk_by(|left, right| left == right)
            .scan(0, |at, run| {
                *at += run.len();
                Some((run[0], *at - run.len()..*at))
            });
        let mut next = || runs.find_map(|(special, range)| (!special).then_some(range));
        let (Some(first), Some(second)) = (next(), next()) else {
            return Err(Error::Tokenizer {
                doing: "looking at how pairs are framed",
                reason: "no special token stands between two texts".into(),
            });
        };
        let special = |range: Range<usize>| range.map(|at| (pair.ids[at], pair.type_ids[at])).collect();
        Ok(PairFrame {
            segments: [pair.type_ids[first.start], pair.type_ids[second.start]],
            special: [
                special(0..first.start),
                special(first.end..second.start),
                special(second.end..pair.len()),
            ],
        })
    }
}

impl PairFrame {
    /// Special tokens of a pair.
    pub fn special_count(&self) -> usize {
        self.special.iter().map(Vec::len).sum()
    }

    /// Cuts a second text of `tokens` tokens into windows, of which each fits beside a first one of `first` tokens
    /// into `max_tokens`. Each begins `overlap` tokens before the end of the one before it. A text without tokens
    /// has one window, which is empty.
    ///
    /// # Errors
    /// When there is no room for more tokens than windows share.
    pub fn windows(
        &self,
        first: usize,
        tokens: usize,
        max_tokens: usize,
        overlap: usize,
    ) -> Result<Vec<Range<usize>>> {
        let special = self.special_count() + first;
        let room = max_tokens.checked_sub(special).filter(|&room| room > 0);
        let room = room.ok_or(Error::TooFewTokens { max_tokens, special })?;
        let step = room.checked_sub(overlap).filter(|&step| step > 0);
        let step = step.ok_or(Error::Overlap { overlap, room })?;
        let more = tokens.saturating_sub(room).div_ceil(step);
        let window = |at: usize| at * step..(at * step + room).min(tokens);
        Ok((0..=more).map(window).collect())
    }

    /// The pair of two texts, both of bare ids, cut as [`Tokenizer::encode_pair`] does.
    ///
    /// # Errors
    /// When `max_tokens` leaves no room beside the special tokens.
    pub fn join(&self, first: &[u32], second: &[u32], max_tokens: usize) -> Result<Pair> {
        let special = self.special_count();
        let room = max_tokens.checked_sub(special).filter(|&room| room > 0);
        let room = room.ok_or(Error::TooFewTokens { max_tokens, special })?;
        let (keep, keep_second) = longest_first(first.len(), second.len(), room);
        let (first, second) = (&first[..keep], &second[..keep_second]);
        let mut pair = Pair::default();
        pair.push_special(&self.special[0]);
        pair.first = pair.push_text(first, self.segments[0]);
        pair.push_special(&self.special[1]);
        pair.second = pair.push_text(second, self.segments[1]);
        pair.push_special(&self.special[2]);
        Ok(pair)
    }
}

impl Pair {
    fn push_special(&mut self, tokens: &[(u32, u32)]) {
        self.ids.extend(tokens.iter().map(|(id, _)| id));
        self.type_ids.extend(tokens.iter().map(|(_, segment)| segment));
    }

    fn push_text(&mut self, ids: &[u32], segment: u32) -> Range<usize> {
        let start = self.ids.len();
        self.ids.extend_from_slice(ids);
        self.type_ids.resize(self.ids.len(), segment);
        start..self.ids.len()
    }
}

/// How many tokens of each text are left when they are taken off one by one from the longer text.
fn longest_first(first: usize, second: usize, room: usize) -> (usize, usize) {
    if first.saturating_add(second) <= room {
        return (first, second);
    }
    let (short, long) = (first.min(second), first.max(second));
    // As long as the longer one is the longer one.
    let (short, long) = match room.checked_sub(short) {
        Some(left) if left >= short => (short, left.min(long)),
        _ => (room / 2, room - room / 2),
    };
    if first <= second {
        (short, long)
    } else {
        (long, short)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;

    #[test]
    fn windows_cover_the_text_and_share_what_they_should() {
        let words = "[PAD] [UNK] [CLS] [SEP] [MASK] a".replace(' ', "\n");
        let tokenizer = Tokenizer::from_files(|name| (name == "vocab.txt").then_some(&words)).unwrap();
        let frame = tokenizer.pair_frame().unwrap();
        for (tokens, limit, overlap) in (0..40).flat_map(|n| [(n, 9, 0), (n, 9, 3), (n, 20, 5), (n, 6, 0)]) {
            let windows = frame.windows(2, tokens, limit, overlap).unwrap();
            assert_eq!((windows[0].start, windows[windows.len() - 1].end), (0, tokens));
            assert!(windows.iter().all(|window| window.len() <= limit - 5));
            for pair in windows.windows(2) {
                assert_eq!(pair[0].len(), limit - 5);
                assert_eq!(pair[0].end - pair[1].start, overlap);
                assert!(pair[1].end > pair[0].end);
            }
        }
        assert!(frame.windows(2, 5, 9, 4).is_err());
        assert!(frame.windows(6, 5, 9, 0).is_err());
    }

    #[test]
    fn pairs_of_ids_are_the_pairs_of_their_texts() {
        let words = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c ##s".replace(' ', "\n");
        let tokenizer = Tokenizer::from_files(|name| (name == "vocab.txt").then_some(&words)).unwrap();
        let frame = tokenizer.pair_frame().unwrap();
        assert_eq!(frame.special_count(), 3);
        let texts = ["", "a", "bs c", "a b c a b c", "as bs cs as bs"];
        for (first, second) in texts
            .iter()
            .flat_map(|first| texts.map(|second| (*first, second)))
        {
            let [one, other] = [first, second].map(|text| tokenizer.bare_ids(text).unwrap());
            for limit in 4..16 {
                let pair = frame.join(&one, &other, limit).unwrap();
                let encoding = tokenizer.encode_pair(first, second, limit).unwrap();
                assert_eq!(pair.ids, encoding.ids, "{first:?} {second:?} {limit}");
                assert_eq!(pair.type_ids, encoding.type_ids);
                let count = |text| {
                    encoding
                        .sequence_ids
                        .iter()
                        .filter(|id| **id == Some(text))
                        .count()
                };
                assert_eq!((pair.first.len(), pair.second.len()), (count(0), count(1)));
            }
            assert!(frame.join(&one, &other, 3).is_err());
        }
        let pieces = tokenizer.pieces("bs  c").unwrap();
        assert_eq!(pieces.ids, [6, 8, 7]);
        assert_eq!(pieces.spans, [(0, 1), (1, 2), (4, 5)]);
    }
}
