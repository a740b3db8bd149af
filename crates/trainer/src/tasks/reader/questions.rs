//! Questions and paragraphs of SQuAD files as tokens, and where the answers are.

use std::ops::Range;
use std::path::{Path, PathBuf};

use data::squad::{self, Article};
use rayon::prelude::*;
use text::{Pieces, Tokenizer};

use crate::error::{Error, Result};

/// All questions of some files.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// The paragraphs, article by article.
    pub(super) contexts: Vec<Context>,
    /// The questions, paragraph by paragraph.
    pub(super) questions: Vec<Question>,
    /// The paragraphs of each article, as numbers in `contexts`.
    pub(super) articles: Vec<Range<usize>>,
}

/// A paragraph.
#[derive(Debug)]
pub(super) struct Context {
    /// Its text.
    pub(super) text: String,
    /// Its tokens.
    pub(super) pieces: Pieces,
    /// Number of its article.
    pub(super) article: usize,
}

/// A question about a paragraph.
#[derive(Debug)]
pub(super) struct Question {
    /// Its id in the file.
    pub(super) id: String,
    /// Its text.
    pub(super) text: String,
    /// Its tokens, cut.
    pub(super) ids: Vec<u32>,
    /// Number of its paragraph.
    pub(super) context: usize,
    /// The answers that people gave; none when the paragraph has none.
    pub(super) answers: Vec<String>,
    /// The tokens of the paragraph that the first answer covers.
    pub(super) tokens: Option<Range<usize>>,
}

impl Questions {
    /// Reads files and tokenizes what is in them, questions up to `question_tokens`.
    ///
    /// # Errors
    /// A file that cannot be read or has no question; an answer that does not stand where the file says.
    pub(super) fn read(paths: &[PathBuf], tokenizer: &Tokenizer, question_tokens: usize) -> Result<Self> {
        let mut all = Self::default();
        for path in paths {
            let before = all.questions.len();
            for article in squad::read(path)?.data {
                all.article(article, path, tokenizer, question_tokens)?;
            }
            if all.questions.len() == before {
                return Err(Error::Empty {
                    path: path.clone(),
                    what: "questions",
                });
            }
        }
        Ok(all)
    }

    /// Adds questions that their paragraph does not answer: others, as numbers, with another text.
    ///
    /// # Errors
    /// When the tokenizer refuses a text.
    pub(super) fn push_unanswerable(
        &mut self,
        changed: Vec<(usize, String)>,
        tokenizer: &Tokenizer,
        question_tokens: usize,
    ) -> Result<()> {
        for (of, text) in changed {
            let Question { id, context, .. } = &self.questions[of];
            self.questions.push(Question {
                id: format!("{id} altered"),
                ids: cut_ids(tokenizer, &text, question_tokens)?,
                text,
                context: *context,
                answers: Vec::new(),
                tokens: None,
            });
        }
        Ok(())
    }

    fn article(
        &mut self,
        article: Article,
        path: &Path,
        tokenizer: &Tokenizer,
        question_tokens: usize,
    ) -> Result<()> {
        let (number, first) = (self.articles.len(), self.contexts.len());
        let read = |(at, paragraph): (usize, squad::Paragraph)| -> Result<(Context, Vec<Question>)> {
            let context = Context {
                pieces: tokenizer.pieces(&paragraph.context)?,
                text: paragraph.context,
                article: number,
            };
            let questions = paragraph.qas.into_iter().map(|question| {
                let tokens = answer_tokens(&question, &context).map_err(|reason| Error::Mismatch {
                    what: format!("question {} of {}", question.id, path.display()),
                    expected: "an answer that stands where answer_start says".into(),
                    found: reason,
                })?;
                Ok(Question {
                    id: question.id,
                    ids: cut_ids(tokenizer, &question.question, question_tokens)?,
                    text: question.question,
                    context: first + at,
                    answers: question.answers.into_iter().map(|answer| answer.text).collect(),
                    tokens,
                })
            });
            let questions = questions.collect::<Result<Vec<_>>>()?;
            Ok((context, questions))
        };
        let paragraphs = article.paragraphs.into_par_iter().enumerate().map(read);
        for (context, questions) in paragraphs.collect::<Result<Vec<_>>>()? {
            self.contexts.push(context);
            self.questions.extend(questions);
        }
        self.articles.push(first..self.contexts.len());
        Ok(())
    }
}

/// The tokens of a question, up to so many.
fn cut_ids(tokenizer: &Tokenizer, question: &str, question_tokens: usize) -> Result<Vec<u32>> {
    let mut ids = tokenizer.bare_ids(question)?;
    ids.truncate(question_tokens);
    Ok(ids)
}

/// The tokens that the first answer covers; the error tells what stands there instead.
fn answer_tokens(
    question: &squad::Question,
    context: &Context,
) -> std::result::Result<Option<Range<usize>>, String> {
    let Some(answer) = question.answers.first() else {
        return Ok(None);
    };
    let mut places = context.text.char_indices().map(|(byte, _)| byte);
    let begin = places.nth(answer.answer_start).unwrap_or(context.text.len());
    let rest = &context.text[begin..];
    if answer.text.is_empty() || !rest.starts_with(&answer.text) {
        let shown: String = rest.chars().take(answer.text.chars().count().max(1)).collect();
        return Err(format!("{shown:?} instead of {:?}", answer.text));
    }
    let end = begin + answer.text.len();
    let spans = &context.pieces.spans;
    let first = spans.iter().position(|span| span.1 > begin);
    let last = spans.iter().rposition(|span| span.0 < end);
    Ok(match (first, last) {
        (Some(first), Some(last)) if first <= last => Some(first..last + 1),
        // Characters that the tokenizer throws away: nothing can be learned from such an answer.
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;

    fn read(qas: &str) -> Result<Questions> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.json");
        let set = format!(
            "{{\"data\":[{{\"title\":\"T\",\"paragraphs\":[{{\"context\":\"ü a bcs.\",\"qas\":[{qas}]}}]}}]}}"
        );
        std::fs::write(&path, set).unwrap();
        let words = "[PAD] [UNK] [CLS] [SEP] [MASK] a b ##c ##s . ü".replace(' ', "\n");
        let tokenizer = Tokenizer::from_files(|name| (name == "vocab.txt").then_some(&words)).unwrap();
        Questions::read(&[path], &tokenizer, 2)
    }

    #[test]
    fn answers_are_found_in_characters_and_given_in_tokens() {
        let read = read(
            r#"{"id":"1","question":"a a a","answers":[{"text":"bcs","answer_start":4}]},
               {"id":"2","question":"b","answers":[{"text":"a bc","answer_start":2}]},
               {"id":"3","question":"b","answers":[],"is_impossible":true}"#,
        )
        .unwrap();
        let tokens: Vec<_> = read
            .questions
            .iter()
            .map(|question| question.tokens.clone())
            .collect();
        assert_eq!(tokens, [Some(2..5), Some(1..4), None]);
        assert_eq!(read.questions[0].ids, [5, 5]);
        assert_eq!((read.articles.len(), read.articles[0].clone()), (1, 0..1));
    }

    #[test]
    fn an_answer_that_is_elsewhere_is_named() {
        let error = read(r#"{"id":"7","question":"a","answers":[{"text":"bcs","answer_start":3}]}"#);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("question 7 of") && error.contains("\" bc\" instead of \"bcs\""),
            "{error}"
        );
        let far = read(r#"{"id":"7","question":"a","answers":[{"text":"bcs","answer_start":99}]}"#);
        assert!(far.is_err());
        let none = read("").unwrap_err().to_string();
        assert!(none.contains("holds no questions"), "{none}");
    }
}
