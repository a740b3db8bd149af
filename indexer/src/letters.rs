//! A model of a few lines, for tests.

use std::ops::Range;

use infer::{Embed, InferError, Role};

/// Counts letters. A text with the word `poison` has no vector.
pub(crate) struct Letters;

impl Embed for Letters {
    fn embed(&self, texts: &[&str], _: Role) -> Result<Vec<Vec<f32>>, InferError> {
        let vector = |(place, text): (usize, &&str)| {
            if text.contains("poison") {
                return Err(InferError::NotFinite {
                    model: "letters".to_owned(),
                    text: place,
                    found: "poison".to_owned(),
                });
            }
            let mut vector = vec![1e-3; 26];
            for letter in text.bytes().filter(u8::is_ascii_lowercase) {
                vector[usize::from(letter - b'a')] += 1.0;
            }
            kernels::normalize(&mut vector);
            Ok(vector)
        };
        texts.iter().enumerate().map(vector).collect()
    }

    fn dimension(&self) -> usize {
        26
    }

    fn fingerprint(&self) -> &str {
        "letters"
    }

    fn tokens_max(&self) -> usize {
        512
    }

    fn chunk(&self, text: &str, _: usize, _: usize) -> Result<Vec<Range<usize>>, InferError> {
        Ok((!text.is_empty()).then_some(0..text.len()).into_iter().collect())
    }

    fn count_tokens(&self, text: &str) -> Result<usize, InferError> {
        Ok(text.split_whitespace().count())
    }
}
