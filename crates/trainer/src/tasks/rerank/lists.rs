//! Queries with their passages, read from files and kept as ids.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;
use text::Tokenizer;

use crate::error::{Error, Result};

/// Queries and passages; each different text is kept, and was tokenized, once.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// Ids of the texts without special tokens.
    pub(super) texts: Vec<Vec<u32>>,
    /// The lists in the order of the files.
    pub(super) lists: Vec<List>,
}

/// A query and at least one passage. Texts are numbers in [`Lists::texts`].
#[derive(Debug, Clone, PartialEq)]
pub(super) struct List {
    /// The query.
    pub(super) query: u32,
    /// The passages, of which none comes twice.
    pub(super) passages: Vec<u32>,
    /// How good each passage is: 1 and 0 for a positive and its negatives, else what the file says. Finite.
    pub(super) grades: Vec<f32>,
    /// Whether the grades are scores of the file.
    pub(super) is_scored: bool,
    /// Whether the first passage is the positive, and the others its negatives.
    pub(super) is_labelled: bool,
    /// File, as a number in the order of reading, and its line, from 1.
    pub(super) place: (u32, u32),
}

/// A line, in either form.
#[derive(Debug, Deserialize)]
struct Line {
    query: String,
    positive: Option<String>,
    #[serde(default)]
    negatives: Vec<String>,
    scores: Option<Vec<f32>>,
    passage: Option<String>,
    score: Option<f32>,
}

impl Lists {
    /// Reads the files and tokenizes their texts, of which no more than `tokens` tokens are kept.
    ///
    /// # Errors
    /// A file that cannot be read or holds no list, a line that has neither form.
    pub(super) fn read(paths: &[PathBuf], tokenizer: &Tokenizer, tokens: usize) -> Result<Self> {
        let mut reading = Reading::default();
        for (file, path) in paths.iter().enumerate() {
            let before = reading.lists.len() + reading.rows.len();
            reading.file(file as u32, path)?;
            if reading.lists.len() + reading.rows.len() == before {
                return Err(Error::Empty {
                    path: path.clone(),
                    what: "lists of a query and its passages",
                });
            }
        }
        let bare = |text: &String| -> Result<Vec<u32>> {
            let mut ids = tokenizer.bare_ids(text)?;
            ids.truncate(tokens);
            ids.shrink_to_fit();
            Ok(ids)
        };
        let texts: Result<Vec<Vec<u32>>> = reading.texts.par_iter().map(bare).collect();
        Ok(Self {
            texts: texts?,
            lists: reading.lists,
        })
    }
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
    lists: Vec<List>,
    /// Place in `lists` of the queries of scored rows.
    rows: HashMap<u32, usize>,
}

impl Reading {
    fn file(&mut self, file: u32, path: &Path) -> Result<()> {
        for line in data::jsonl::records::<Line>(path)? {
            let data::Located { value, place } = line?;
            let at = place.line.unwrap_or_default();
            let refuse = |reason: String| Error::Line {
                path: path.to_owned(),
                line: at as usize,
                reason,
            };
            self.line(value, (file, at as u32)).map_err(refuse)?;
        }
        Ok(())
    }

    /// Takes in a line; the error is the reason why it is refused.
    fn line(&mut self, line: Line, place: (u32, u32)) -> std::result::Result<(), String> {
        let query = self.number(line.query);
        match (line.positive, line.passage, line.score) {
            (Some(positive), None, None) => {
                let texts = std::iter::once(positive).chain(line.negatives);
                let passages: Vec<u32> = texts.map(|text| self.number(text)).collect();
                let list = List::labelled(query, passages, line.scores, place)?;
                self.lists.push(list);
                Ok(())
            }
            (None, Some(passage), Some(score)) => {
                let passage = self.number(passage);
                self.row(query, passage, score, place)
            }
            _ => Err(
                "accepted: {\"query\", \"positive\", \"negatives\"} or {\"query\", \"passage\", \"score\"}"
                    .into(),
            ),
        }
    }

    /// A scored row joins the others of its query.
    fn row(
        &mut self,
        query: u32,
        passage: u32,
        score: f32,
        place: (u32, u32),
    ) -> std::result::Result<(), String> {
        if !score.is_finite() {
            return Err(format!("score is {score}; accepted: a finite number"));
        }
        let next = self.lists.len();
        let at = *self.rows.entry(query).or_insert(next);
        if at == next {
            self.lists.push(List {
                query,
                passages: Vec::new(),
                grades: Vec::new(),
                is_scored: true,
                is_labelled: false,
                place,
            });
        }
        let list = &mut self.lists[at];
        if list.passages.contains(&passage) {
            return Err("the passage was scored for this query before; accepted: each passage once".into());
        }
        list.passages.push(passage);
        list.grades.push(score);
        Ok(())
    }

    fn number(&mut self, text: String) -> u32 {
        let next = self.texts.len() as u32;
        *self.numbers.entry(text).or_insert_with_key(|text| {
            self.texts.push(text.clone());
            next
        })
    }
}

impl List {
    /// A positive and its negatives; the error is the reason why they are refused. Negatives that come twice count
    /// once.
    fn labelled(
        query: u32,
        passages: Vec<u32>,
        scores: Option<Vec<f32>>,
        place: (u32, u32),
    ) -> std::result::Result<Self, String> {
        if passages[1..].contains(&passages[0]) {
            return Err("a negative is the positive; accepted: other texts".into());
        }
        let wrong =
            |scores: &Vec<f32>| scores.len() != passages.len() || scores.iter().any(|s| !s.is_finite());
        if scores.as_ref().is_some_and(wrong) {
            return Err(format!(
                "scores are {:?}; accepted: {} finite numbers, the positive's and one a negative",
                scores.unwrap_or_default(),
                passages.len()
            ));
        }
        let mut list = Self {
            query,
            passages: Vec::new(),
            grades: Vec::new(),
            is_scored: scores.is_some(),
            is_labelled: true,
            place,
        };
        for (at, passage) in passages.into_iter().enumerate() {
            if !list.passages.contains(&passage) {
                list.passages.push(passage);
                let label = if at == 0 { 1.0 } else { 0.0 };
                list.grades
                    .push(scores.as_ref().map_or(label, |scores| scores[at]));
            }
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;

    fn read(lines: &str) -> Result<Lists> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lists.jsonl");
        std::fs::write(&path, lines).unwrap();
        let words = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d".replace(' ', "\n");
        let tokenizer = Tokenizer::from_files(|name| (name == "vocab.txt").then_some(&words)).unwrap();
        Lists::read(&[path], &tokenizer, 2)
    }

    #[test]
    fn both_forms_are_read_and_each_text_once() {
        let lists = read(
            "{\"query\":\"a\",\"positive\":\"b c d\",\"negatives\":[\"c\",\"c\",\"a\"]}\n\
             {\"query\":\"d\",\"passage\":\"c\",\"score\":2.5}\n\
             {\"query\":\"b\",\"positive\":\"c\",\"negatives\":[\"d\"],\"scores\":[3,-1]}\n\
             {\"query\":\"d\",\"passage\":\"b\",\"score\":-1}\n",
        )
        .unwrap();
        assert_eq!(lists.texts, [vec![5], vec![6, 7], vec![7], vec![8], vec![6]]);
        let shown: Vec<_> = lists
            .lists
            .iter()
            .map(|list| {
                (
                    list.query,
                    list.passages.clone(),
                    list.grades.clone(),
                    list.is_scored,
                )
            })
            .collect();
        assert_eq!(shown[0], (0, vec![1, 2, 0], vec![1.0, 0.0, 0.0], false));
        assert_eq!(shown[1], (3, vec![2, 4], vec![2.5, -1.0], true));
        assert_eq!(shown[2], (4, vec![2, 3], vec![3.0, -1.0], true));
        assert_eq!(lists.lists[2].place, (0, 3));
    }

    #[test]
    fn what_is_no_list_is_named_with_its_line() {
        let message = |lines: &str| read(lines).unwrap_err().to_string();
        for (lines, part) in [
            ("\n", "holds no lists of a query and its passages"),
            (
                "{\"query\":\"a\"}\n",
                "line 1: accepted: {\"query\", \"positive\"",
            ),
            (
                "\n{\"positive\":\"a\"}\n",
                "lists.jsonl:2:16: not valid JSON: missing field `query`",
            ),
            (
                "{\"query\":\"a\",\"positive\":\"b\",\"negatives\":[\"b\"]}",
                "a negative is the positive",
            ),
            (
                "{\"query\":\"a\",\"positive\":\"b\",\"scores\":[1,2]}",
                "scores are [1.0, 2.0]; accepted: 1 finite numbers",
            ),
            (
                "{\"query\":\"a\",\"passage\":\"b\",\"score\":1}\n{\"query\":\"a\",\"passage\":\"b\",\"score\":2}",
                "line 2: the passage was scored for this query before",
            ),
            (
                "{\"query\":\"a\",\"passage\":\"b\",\"score\":1e99}",
                "score is inf",
            ),
        ] {
            assert!(message(lines).contains(part), "{}", message(lines));
        }
    }
}
