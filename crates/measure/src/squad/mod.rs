//! Extractive question answering: exact match and F1 over normalised answers, as SQuAD defines them.
//!
//! Rajpurkar et al. 2016 (1.1) and Rajpurkar, Jia and Liang 2018 (2.0). The two official evaluations share the
//! normalisation and differ in what an empty answer is worth and in which questions count:
//!
//! | | 1.1 ([`v1`]) | 2.0 ([`v2`]) |
//! |---|---|---|
//! | F1 when an answer normalises to nothing | 0 | 1 when both do, else 0 |
//! | a question without a prediction | counts as 0 | does not count |
//! | a question without gold answers | an error | the empty answer is right |

use std::collections::HashMap;

pub mod v1;
pub mod v2;

/// Exact match and F1, both in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AnswerScores {
    /// 1 when the normalised texts are equal.
    pub exact: f64,
    /// F1 of the bags of normalised tokens.
    pub f1: f64,
}

impl AnswerScores {
    /// Each metric's best over several gold answers; the two may come from different ones.
    fn best(self, other: Self) -> Self {
        Self {
            exact: self.exact.max(other.exact),
            f1: self.f1.max(other.f1),
        }
    }
}

/// Lower case, without ASCII punctuation, without the words a, an and the, and with single spaces; in that
/// order, so that "a.n. apple" loses its dots before the articles are looked for.
///
/// A word ends where Python's `\b` sees an end: next to a character that is neither a letter, a digit nor an
/// underscore. (Letters are Unicode's alphabetic characters here; Python leaves out the combining vowel signs
/// among them, which matters only for an article that carries one.)
pub fn normalize_answer(text: &str) -> String {
    let plain: String = text
        .to_lowercase()
        .chars()
        .filter(|c| !c.is_ascii_punctuation())
        .collect();
    let spaced = blank_articles(&plain);
    let words: Vec<&str> = spaced
        .split(is_python_space)
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

/// Replaces each article that stands alone by a space.
fn blank_articles(text: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let inside = is_word(first);
        let end = rest.find(|c| is_word(c) != inside).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(end);
        kept.push_str(if matches!(run, "a" | "an" | "the") {
            " "
        } else {
            run
        });
        rest = tail;
    }
    kept
}

/// What Python's `str.split` splits at: Unicode white space and the four ASCII separators.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// F1 of two bags of tokens, `None` when one of them is empty.
fn token_f1(prediction: &str, gold: &str) -> Option<f64> {
    let mut left: HashMap<&str, usize> = HashMap::new();
    let (mut gold_count, mut predicted_count, mut common) = (0usize, 0usize, 0usize);
    for token in tokens(gold) {
        *left.entry(token).or_default() += 1;
        gold_count += 1;
    }
    for token in tokens(prediction) {
        predicted_count += 1;
        if let Some(count) = left.get_mut(token).filter(|count| **count > 0) {
            *count -= 1;
            common += 1;
        }
    }
    if gold_count == 0 || predicted_count == 0 {
        return None;
    }
    Some(2.0 * common as f64 / (gold_count + predicted_count) as f64)
}

/// The tokens of a normalised answer.
fn tokens(normalized: &str) -> impl Iterator<Item = &str> {
    normalized.split(' ').filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalizes_in_the_published_order() {
        for (text, normalized) in [
            ("The  Apple!", "apple"),
            ("a.n. apple", "apple"),
            ("an-apple", "anapple"),
            ("the", ""),
            ("“the” cat", "“ ” cat"),
            ("the_end a_b", "theend ab"),
            ("naïve—a\u{a0}la\u{1f}carte", "naïve— la carte"),
            ("athe thea", "athe thea"),
            ("ΟΔΟΣ", "οδος"),
        ] {
            assert_eq!(normalize_answer(text), normalized, "{text:?}");
        }
    }
}
