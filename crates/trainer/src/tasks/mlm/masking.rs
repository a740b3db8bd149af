//! Which tokens of a sequence are hidden, and what stands in their place (Devlin et al. 2018, section 3.1 and
//! appendix A.1).

use std::ops::Range;

use rand::Rng;
use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};
use text::SpecialIds;

use super::frame::Row;
use crate::error::{Error, Result};

/// What is hidden as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A token.
    #[default]
    Token,
    /// All tokens of a word. A word that is longer than what is left to hide is passed over.
    Word,
    /// Some words in a row (Joshi et al. 2019, "SpanBERT", section 3.1); the last span ends where enough is hidden.
    Span,
}

/// How tokens are hidden.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Masking {
    /// What is hidden as one.
    pub unit: Unit,
    /// Share of the chosen tokens that become the mask token.
    pub hidden: f64,
    /// Share that becomes a random token; the rest stays as it is. A span becomes the one or the other as a whole.
    pub random: f64,
    /// Probability that a span ends after a word: lengths are geometric.
    pub span_p: f64,
    /// Words of a span at most; the lengths are distributed over 1 to this.
    pub span_max: u32,
}

impl Default for Masking {
    fn default() -> Self {
        Self {
            unit: Unit::Token,
            hidden: 0.8,
            random: 0.1,
            span_p: 0.2,
            span_max: 10,
        }
    }
}

impl Masking {
    /// Refuses settings out of range.
    fn check(&self, share: f64) -> Result<()> {
        let refuse = |field, value: String, accepted: &str| {
            let accepted = accepted.to_owned();
            Err(Error::Setting {
                field,
                value,
                accepted,
            })
        };
        let is_share = |value: f64| (0.0..=1.0).contains(&value);
        if !(share > 0.0 && share < 1.0) {
            return refuse("data.masked", share.to_string(), "above 0 and below 1");
        }
        if !is_share(self.hidden) || !is_share(self.random) || self.hidden + self.random > 1.0 + 1e-9 {
            let value = format!("{} and {}", self.hidden, self.random);
            let accepted = "0 to 1 each, and together at most 1";
            return refuse("data.masking.hidden and random", value, accepted);
        }
        if !(self.span_p > 0.0 && self.span_p < 1.0) {
            return refuse(
                "data.masking.span_p",
                self.span_p.to_string(),
                "above 0 and below 1",
            );
        }
        if self.span_max == 0 {
            return refuse("data.masking.span_max", "0".into(), "1 or more words");
        }
        Ok(())
    }
}

/// Hides tokens of sequences.
pub(super) struct Mask {
    settings: Masking,
    share: f64,
    mask: u32,
    vocabulary: u32,
    special: SpecialIds,
}

impl Mask {
    /// Hides a share of the tokens of each sequence.
    ///
    /// # Errors
    /// Settings out of range, a vocabulary without a mask token or of special tokens only.
    pub(super) fn new(settings: Masking, share: f64, special: SpecialIds, vocabulary: usize) -> Result<Self> {
        settings.check(share)?;
        let mismatch = |expected: &str| Error::Mismatch {
            what: "the tokenizer's tokens".into(),
            expected: expected.into(),
            found: format!("{special:?} of {vocabulary} tokens"),
        };
        let mask = Self {
            settings,
            share,
            mask: special.mask.ok_or_else(|| mismatch("a mask token"))?,
            vocabulary: vocabulary as u32,
            special,
        };
        match (0..mask.vocabulary).any(|id| !mask.is_special(id)) {
            true => Ok(mask),
            false => Err(mismatch("more than special tokens")),
        }
    }

    /// Hides tokens of `row` and returns where and what they were, in order. Special tokens are never chosen. Of the
    /// others exactly `round(share × tokens)`, at least one, are chosen; with whole words fewer when no word is left
    /// that is short enough.
    pub(super) fn hide(&self, row: &mut Row, random: &mut impl Rng) -> Vec<(usize, u32)> {
        let words = self.words(row);
        let tokens: usize = words.iter().map(Range::len).sum();
        if tokens == 0 {
            return Vec::new();
        }
        let count = ((tokens as f64 * self.share).round() as usize).clamp(1, tokens);
        let chosen = match self.settings.unit {
            Unit::Token => choose_tokens(&words, count, random),
            Unit::Word => choose_words(words, count, random),
            Unit::Span => self.choose_spans(&words, count, random),
        };
        let mut hidden = Vec::with_capacity(count);
        for places in &chosen {
            let all_alike = self.settings.unit == Unit::Span;
            let mut fate = self.fate(random);
            for (number, &at) in places.iter().enumerate() {
                if number > 0 && !all_alike {
                    fate = self.fate(random);
                }
                hidden.push((at, row.ids[at]));
                match fate {
                    Fate::Mask => row.ids[at] = self.mask,
                    Fate::Random => row.ids[at] = self.ordinary(random),
                    Fate::Stay => {}
                }
            }
        }
        hidden.sort_unstable();
        hidden
    }

    /// The places of each word, without special tokens.
    fn words(&self, row: &Row) -> Vec<Range<usize>> {
        let mut words: Vec<Range<usize>> = Vec::new();
        for (at, &id) in row.ids.iter().enumerate() {
            if self.is_special(id) {
                continue;
            }
            match words.last_mut() {
                Some(word) if row.continues[at] && word.end == at => word.end += 1,
                _ => words.push(at..at + 1),
            }
        }
        words
    }

    fn choose_spans(&self, words: &[Range<usize>], count: usize, random: &mut impl Rng) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..words.len()).collect();
        order.shuffle(random);
        let mut taken = vec![false; words.len()];
        let (mut spans, mut left) = (Vec::new(), count);
        for first in order {
            let length = self.span_words(random);
            let mut span = Vec::new();
            for number in first..words.len().min(first + length) {
                // A special token between two words ends a span, and so does another span.
                let is_beside = number == first || words[number].start == words[number - 1].end;
                if taken[number] || !is_beside || left == 0 {
                    break;
                }
                taken[number] = true;
                let places = words[number].clone().take(left);
                left -= places.len();
                span.extend(places);
            }
            spans.push(span);
            if left == 0 {
                break;
            }
        }
        spans
    }

    /// Words of a span: geometric, as if drawn again when longer than the longest.
    fn span_words(&self, random: &mut impl Rng) -> usize {
        let (stay, most) = (1.0 - self.settings.span_p, self.settings.span_max);
        let within = 1.0 - stay.powi(most as i32);
        let drawn: f64 = random.random_range(0.0..1.0);
        let words = ((1.0 - drawn * within).ln() / stay.ln()).ceil();
        words.clamp(1.0, f64::from(most)) as usize
    }

    fn fate(&self, random: &mut impl Rng) -> Fate {
        let drawn: f64 = random.random_range(0.0..1.0);
        match drawn {
            drawn if drawn < self.settings.hidden => Fate::Mask,
            drawn if drawn < self.settings.hidden + self.settings.random => Fate::Random,
            _ => Fate::Stay,
        }
    }

    /// A random token that is not special.
    fn ordinary(&self, random: &mut impl Rng) -> u32 {
        loop {
            let id = random.random_range(0..self.vocabulary);
            if !self.is_special(id) {
                return id;
            }
        }
    }

    fn is_special(&self, id: u32) -> bool {
        let SpecialIds {
            pad,
            unknown,
            cls,
            sep,
            mask,
        } = self.special;
        [Some(pad), Some(unknown), cls, sep, mask].contains(&Some(id))
    }
}

/// What becomes of a chosen token.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Mask,
    Random,
    Stay,
}

fn choose_tokens(words: &[Range<usize>], count: usize, random: &mut impl Rng) -> Vec<Vec<usize>> {
    let mut places: Vec<usize> = words.iter().cloned().flatten().collect();
    let (chosen, _) = places.partial_shuffle(random, count);
    chosen.iter().map(|&at| vec![at]).collect()
}

/// Words in random order, as long as they fit; the shortest one when none does.
fn choose_words(mut words: Vec<Range<usize>>, count: usize, random: &mut impl Rng) -> Vec<Vec<usize>> {
    words.shuffle(random);
    let mut left = count;
    let mut chosen = Vec::new();
    for word in &words {
        if word.len() <= left {
            left -= word.len();
            chosen.push(word.clone().collect());
        }
    }
    if chosen.is_empty() {
        chosen.extend(words.into_iter().min_by_key(Range::len).map(Iterator::collect));
    }
    chosen
}

#[cfg(test)]
#[path = "masking_tests.rs"]
mod tests;
