//! Which candidates are negatives: those that are surely not another answer.
//!
//! Many of the passages that rank beside the right one answer as well and are only not marked (Qu et al. 2021,
//! RocketQA, section 3.2: 70 % of the best on MS MARCO). The margin relative to the positive's score follows
//! Moreira et al. 2024 (NV-Retriever, section 3.1, "TopK-PercPos").

/// A passage that a search found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    /// Its text.
    pub(super) text: String,
    /// Cosine with the query; none where nothing was embedded.
    pub(super) cosine: Option<f32>,
}

/// What is known of the query that a candidate must not answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Known<'a> {
    /// The text that answers it.
    pub(super) positive: &'a str,
    /// Strings that are answers.
    pub(super) answers: &'a [String],
    /// Cosine of the query with its positive.
    pub(super) cosine: Option<f32>,
}

/// The candidates that may serve as negatives, in their order. `margin` is the greatest share of the positive's
/// cosine that a negative may have.
pub(super) fn negatives(candidates: Vec<Candidate>, known: &Known<'_>, margin: f32) -> Vec<String> {
    let positive = plain(known.positive);
    let answers: Vec<String> = known.answers.iter().map(|text| plain(text)).collect();
    let is_negative = |candidate: &Candidate| {
        let text = plain(&candidate.text);
        let same = within(&positive, &text) || within(&text, &positive);
        let answered = answers.iter().any(|answer| within(answer, &text));
        let near = match (candidate.cosine, known.cosine) {
            (Some(candidate), Some(positive)) => candidate > margin * positive,
            _ => false,
        };
        !same && !answered && !near
    };
    let mut kept: Vec<String> = Vec::new();
    for candidate in candidates {
        if is_negative(&candidate) && !kept.contains(&candidate.text) {
            kept.push(candidate.text);
        }
    }
    kept
}

/// Lower case letters and digits, a space before and after every word: texts that differ in nothing else are the
/// same, and a word is not found inside another.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len() + 2);
    for word in text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        plain.push(' ');
        plain.extend(word.chars().flat_map(char::to_lowercase));
    }
    plain.push(' ');
    plain
}

/// Whether the words of one stand in a row in the other; nothing is within anything.
fn within(words: &str, text: &str) -> bool {
    words.len() > 1 && text.contains(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(texts: &[(&str, f32)]) -> Vec<Candidate> {
        let candidate = |&(text, cosine): &(&str, f32)| Candidate {
            text: text.to_owned(),
            cosine: Some(cosine),
        };
        texts.iter().map(candidate).collect()
    }

    #[test]
    fn a_negative_is_neither_the_positive_nor_holds_an_answer_nor_is_too_near() {
        let found = candidates(&[
            ("Granite, it is!", 0.2),
            ("Bridge 3: granite it is", 0.2),
            ("built in 1990 of clay", 0.2),
            ("built in 19901 of clay", 0.2),
            ("sand", 0.77),
            ("gravel", 0.75),
            ("gravel", 0.75),
        ]);
        let known = Known {
            positive: "granite it is",
            answers: &["1990".to_owned(), String::new()],
            cosine: Some(0.8),
        };
        assert_eq!(
            negatives(found.clone(), &known, 0.95),
            ["built in 19901 of clay", "gravel"]
        );
        // Without vectors only the texts decide.
        let known = Known {
            cosine: None,
            ..known
        };
        assert_eq!(
            negatives(found, &known, 0.95),
            ["built in 19901 of clay", "sand", "gravel"]
        );
    }
}
