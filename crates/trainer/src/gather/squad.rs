//! Reads the layout of SQuAD 1.1 (Rajpurkar et al. 2016): articles, their paragraphs, their questions.

use std::path::Path;

use serde::Deserialize;

use super::Asked;
use crate::error::{Error, Result};
use crate::texts;

/// An article; underscores of its title are spaces.
pub(super) struct Article {
    pub(super) title: String,
    /// Paragraphs, each with its questions; all trimmed.
    pub(super) paragraphs: Vec<(String, Vec<Asked>)>,
}

#[derive(Deserialize)]
struct Layout {
    data: Vec<LayoutArticle>,
}

#[derive(Deserialize)]
struct LayoutArticle {
    title: String,
    paragraphs: Vec<LayoutParagraph>,
}

#[derive(Deserialize)]
struct LayoutParagraph {
    context: String,
    qas: Vec<LayoutQuestion>,
}

#[derive(Deserialize)]
struct LayoutQuestion {
    question: String,
    #[serde(default)]
    answers: Vec<LayoutAnswer>,
}

#[derive(Deserialize)]
struct LayoutAnswer {
    text: String,
}

/// All articles of a file, decompressed when its name ends in `.zst`.
///
/// # Errors
/// When the file cannot be read, or has another layout; the error names the line.
pub(super) fn read(path: &Path) -> Result<Vec<Article>> {
    let layout: Layout = serde_json::from_reader(texts::open(path)?).map_err(|e| Error::Line {
        path: path.to_owned(),
        line: e.line(),
        reason: e.to_string(),
    })?;
    Ok(layout.data.into_iter().map(Article::from).collect())
}

impl From<LayoutArticle> for Article {
    fn from(article: LayoutArticle) -> Self {
        let trimmed = |text: String| text.trim().to_owned();
        let paragraph = |paragraph: LayoutParagraph| {
            let asked = |one: LayoutQuestion| {
                let mut answers: Vec<String> = one
                    .answers
                    .into_iter()
                    .map(|answer| trimmed(answer.text))
                    .collect();
                answers.sort_unstable();
                answers.dedup();
                let query = trimmed(one.question);
                Asked { query, answers }
            };
            (
                trimmed(paragraph.context),
                paragraph.qas.into_iter().map(asked).collect(),
            )
        };
        Self {
            title: article.title.replace('_', " "),
            paragraphs: article.paragraphs.into_iter().map(paragraph).collect(),
        }
    }
}
