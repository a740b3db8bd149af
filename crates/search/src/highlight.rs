//! What to mark in a hit.

use std::collections::HashSet;
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use crate::Span;

/// The sentence of `text` (Unicode Standard Annex 29, without the white space around it) in which the most
/// different marked words begin; different means when written in lower case. The first of equal ones; none when
/// nothing is marked. `marks` are byte ranges of `text` in order.
///
/// A dense search has the same rule, so a hit that shares no word with the query has no best sentence.
pub fn best_sentence(text: &str, marks: &[Range<usize>]) -> Option<Span> {
    if marks.is_empty() {
        // Cutting the text into sentences costs more than the search.
        return None;
    }
    let mut marks = marks.iter().peekable();
    let mut best: Option<(usize, Span)> = None;
    for (start, sentence) in text.split_sentence_bound_indices() {
        let mut words = HashSet::new();
        while let Some(mark) = marks.next_if(|mark| mark.start < start + sentence.len()) {
            words.extend(text.get((*mark).clone()).map(str::to_lowercase));
        }
        if words.len() > best.map_or(0, |(most, _)| most) {
            let first = start + sentence.len() - sentence.trim_start().len();
            best = Some((words.len(), [first, start + sentence.trim_end().len()]));
        }
    }
    best.map(|(_, span)| span)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    fn best(text: &str, words: &[&str]) -> Option<String> {
        let mut marks: Vec<Range<usize>> = words
            .iter()
            .flat_map(|word| text.match_indices(word).map(|(at, w)| at..at + w.len()))
            .collect();
        marks.sort_by_key(|mark| mark.start);
        best_sentence(text, &marks).map(|[first, end]| text[first..end].to_owned())
    }

    #[test]
    fn counts_different_words() {
        let text = "Rome, Rome, Rome. Rome burned in 64. Nero sang while Rome burned in summer!  End.";
        assert_eq!(best(text, &["Rome", "burned"]).unwrap(), "Rome burned in 64.");
        assert_eq!(
            best(text, &["Rome", "burned", "Nero"]).unwrap(),
            "Nero sang while Rome burned in summer!"
        );
        assert_eq!(best(text, &["End"]).unwrap(), "End.");
    }

    #[test]
    fn nothing_marked_means_no_sentence() {
        assert_eq!(best("One. Two.", &[]), None);
        assert_eq!(best("", &[]), None);
        assert_eq!(
            best("東京は都市。京都は古都。", &["古都"]).unwrap(),
            "京都は古都。"
        );
    }
}
