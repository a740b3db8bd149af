//! SQuAD 1.1 and 2.0 in their official JSON form (Rajpurkar et al. 2016, 2018).

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use crate::error::{DataError, Place, Reason};
use crate::source::{self, Meter};

/// A whole set.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Squad {
    /// Its version, as the file states it.
    #[serde(default)]
    pub version: String,
    /// Its articles.
    pub data: Vec<Article>,
}

/// A Wikipedia article.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Article {
    /// Its title.
    pub title: String,
    /// Its paragraphs.
    pub paragraphs: Vec<Paragraph>,
}

/// A paragraph with its questions.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Paragraph {
    /// Its text.
    pub context: String,
    /// The questions.
    pub qas: Vec<Question>,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Question {
    /// Its id.
    pub id: String,
    /// Its text.
    pub question: String,
    /// The answers that people gave; none when it cannot be answered.
    #[serde(default)]
    pub answers: Vec<Answer>,
    /// Whether the paragraph does not answer it (2.0).
    #[serde(default)]
    pub is_impossible: bool,
}

/// A stretch of the paragraph.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Answer {
    /// The words.
    pub text: String,
    /// Where they begin, in characters (code points) of the paragraph.
    pub answer_start: usize,
}

/// Reads a set; `.zst` and `.gz` files are decompressed. The whole set is held in memory.
///
/// # Errors
/// Names the line and column of what does not follow the form.
pub fn read(path: &Path) -> Result<Squad, DataError> {
    let file: Arc<Path> = Arc::from(path);
    let fail = |error| DataError::new(Place::file(&file), error);
    let mut text = String::new();
    let mut input = source::open(path, &Meter::default()).map_err(fail)?;
    input.read_to_string(&mut text).map_err(fail)?;
    serde_json::from_str(&text).map_err(|error| {
        DataError::new(Place::line(&file, error.line() as u64), Reason::json(&error))
            .at_column(Some(error.column() as u64))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;
    use crate::tests::write;

    #[test]
    fn both_versions_are_read() {
        let set = r#"{"version":"v2.0","data":[{"title":"T","paragraphs":[{"context":"c d","qas":[
            {"id":"1","question":"q?","answers":[{"text":"d","answer_start":2}]},
            {"id":"2","question":"r?","answers":[],"is_impossible":true,"plausible_answers":[]}]}]}]}"#;
        let (_folder, path) = write("set.json", set.as_bytes());
        let questions = &read(&path).unwrap().data[0].paragraphs[0].qas;
        assert_eq!(
            (questions[0].answers[0].answer_start, questions[1].is_impossible),
            (2, true)
        );
        let (_folder, path) = write("set.json", b"{\"data\":[\n{\"title\":1}]}");
        let error = read(&path).unwrap_err().to_string();
        assert!(
            error.contains("set.json:2:10: not valid JSON: invalid type: integer `1`"),
            "{error}"
        );
    }
}
