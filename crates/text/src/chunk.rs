//! Cutting a long text into chunks of a bounded number of tokens.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// Texts are tokenized in blocks of about this many bytes, cut at white space, so that memory does not grow
/// with the text.
const BLOCK_BYTES: usize = 1 << 16;

impl Tokenizer {
    /// Cuts `text` into byte ranges of at most `max_tokens` tokens, counting the special tokens that
    /// [`Tokenizer::encode`] adds, so that a chunk fits a model of that limit.
    ///
    /// The chunks are about equally long, and no more than the limit asks for unless sentences end so that it takes one
    /// more: a short rest would outrank longer passages by its shortness. A chunk that is not the last ends at the end of
    /// a sentence (a token ending in `.`, `!`, `?` or one of their East Asian forms, or a line break after it), the
    /// nearest that makes it at most a third shorter or longer than its share; else at the nearest word there, else after
    /// any token. The next begins about `overlap_tokens` tokens earlier, at a word where one begins in the overlap. Ranges
    /// lie on character boundaries, both ends grow strictly, and together they cover every byte. A text without any token
    /// (only control characters) is one chunk; an empty text has none.
    ///
    /// # Errors
    /// When `max_tokens` leaves no room for text, or the overlap is not below it.
    pub fn chunk(&self, text: &str, max_tokens: usize, overlap_tokens: usize) -> Result<Vec<Range<usize>>> {
        let special = self.special_count(false);
        let room = max_tokens.checked_sub(special).filter(|&room| room > 0);
        let room = room.ok_or(Error::TooFewTokens { max_tokens, special })?;
        if overlap_tokens >= room {
            return Err(Error::Overlap {
                overlap: overlap_tokens,
                room,
            });
        }
        if text.is_empty() {
            return Ok(Vec::new());
        }
        Ok(cut(text, &self.marks(text)?, room, overlap_tokens))
    }

    /// Where each token begins, and what may end before it.
    fn marks(&self, text: &str) -> Result<Vec<Mark>> {
        let mut marks: Vec<Mark> = Vec::new();
        let mut begin = 0;
        while begin < text.len() {
            let block = begin..block_end(text, begin);
            let encoding = self.raw(&text[block.clone()])?;
            let mut word_before = None;
            for (&(start, _), &word) in encoding.get_offsets().iter().zip(encoding.get_word_ids()) {
                let start = text.floor_char_boundary(block.start + start);
                let start = marks.last().map_or(0, |last| last.start).max(start);
                let is_word = word.is_none() || word != word_before;
                marks.push(Mark {
                    start,
                    is_word,
                    is_sentence: is_word && ends_sentence(&text[..start]),
                });
                word_before = word;
            }
            begin = block.end;
        }
        Ok(marks)
    }
}

/// The beginning of a token.
struct Mark {
    /// Byte where the token begins; never falls from one mark to the next.
    start: usize,
    /// A word begins here.
    is_word: bool,
    /// A sentence ended before it.
    is_sentence: bool,
}

/// The end of the block that begins at `begin`: after white space if the block has any, else at a character.
fn block_end(text: &str, begin: usize) -> usize {
    if text.len() - begin <= BLOCK_BYTES {
        return text.len();
    }
    let limit = text.floor_char_boundary(begin + BLOCK_BYTES);
    let block = &text[begin..limit];
    match block.char_indices().rev().find(|(_, c)| c.is_whitespace()) {
        Some((at, space)) => begin + at + space.len_utf8(),
        None => limit,
    }
}

/// Whether the text before a token ends a sentence: a full stop followed by white space, or a line break.
fn ends_sentence(before: &str) -> bool {
    let trimmed = before.trim_end();
    let gap = &before[trimmed.len()..];
    let last = trimmed
        .trim_end_matches(['"', '\'', ')', ']', '”', '’'])
        .chars()
        .next_back();
    match last {
        Some('。' | '！' | '？') => true,
        Some('.' | '!' | '?') => !gap.is_empty(),
        _ => gap.contains('\n'),
    }
}

fn cut(text: &str, marks: &[Mark], room: usize, overlap: usize) -> Vec<Range<usize>> {
    let mut chunks: Vec<Range<usize>> = Vec::new();
    let mut first = 0;
    loop {
        // What stands before the first token belongs to the first chunk.
        let begin = if chunks.is_empty() { 0 } else { marks[first].start };
        let next = if marks.len() - first <= room {
            None
        } else {
            let covered = chunks.last().map_or(marks[first].start, |last| last.end);
            break_after(marks, first, room, overlap, covered)
        };
        let Some(next) = next else {
            chunks.push(begin..text.len());
            return chunks;
        };
        chunks.push(begin..marks[next].start);
        first = resume(marks, first, next, overlap);
    }
}

/// Tokens of a chunk when `left` tokens are cut into as few chunks as possible, all of about one size.
fn share(left: usize, room: usize, overlap: usize) -> usize {
    let chunks = (left - overlap).div_ceil(room - overlap);
    (left - overlap).div_ceil(chunks) + overlap
}

/// The token before which the chunk from `first` ends, which begins after byte `covered`; none when there is no
/// such token.
fn break_after(marks: &[Mark], first: usize, room: usize, overlap: usize, covered: usize) -> Option<usize> {
    let share = share(marks.len() - first, room, overlap);
    let wanted = first + share;
    let window = wanted - share / 3..=(wanted + share / 3).min(first + room);
    let nearest = |may_end: fn(&Mark) -> bool| {
        let ends = window
            .clone()
            .filter(|&at| may_end(&marks[at]) && marks[at].start > covered);
        ends.min_by_key(|at| at.abs_diff(wanted))
    };
    let chosen = nearest(|mark| mark.is_sentence)
        .or_else(|| nearest(|mark| mark.is_word))
        .unwrap_or(wanted);
    // Several tokens may share one character: then the chunk must take them all to make progress.
    (chosen..marks.len()).find(|&at| marks[at].start > covered)
}

/// The first token of the chunk after one that began at token `first` and ended before `next`.
fn resume(marks: &[Mark], first: usize, next: usize, overlap: usize) -> usize {
    let begin = marks[first].start;
    let earliest = next - overlap.min(next);
    let word = (earliest..next).find(|&at| marks[at].is_word && marks[at].start > begin);
    let from = word.unwrap_or(earliest);
    if marks[from].start > begin { from } else { next }
}
