//! Tagged sentences out of CoNLL columns, as tokens.

use std::path::{Path, PathBuf};

use measure::MeasureError;
use measure::entities::entities;
use rayon::prelude::*;
use text::Tokenizer;

use crate::error::{Error, Result};
use crate::labels::Labels;
use crate::texts;

/// A sentence as it stands in its file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sentence {
    words: Vec<String>,
    /// A BIO tag for each word.
    pub(super) tags: Vec<String>,
    /// The file, as a number in the order of reading.
    file: usize,
    /// Line of the first word, from 1.
    line: usize,
}

/// A sentence as a model reads it; at least its first word is there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Example {
    /// Token ids, special tokens included.
    pub(super) ids: Vec<u32>,
    /// The first token of each word that was not cut off.
    pub(super) places: Vec<u32>,
    /// The number of each such word's tag.
    pub(super) labels: Vec<u32>,
    /// File, as a number, and line.
    pub(super) place: (usize, usize),
}

/// Reads files.
///
/// # Errors
/// A file that cannot be read or has no sentence, a line without a tag, a tag that is not BIO.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Sentence>> {
    let mut sentences = Vec::new();
    for (file, path) in paths.iter().enumerate() {
        let before = sentences.len();
        let mut open = Sentence::default();
        for (at, line) in texts::lines(path)?.enumerate() {
            let line = line?;
            let cells = cells(&line);
            match cells.as_slice() {
                // Documents of CoNLL 2003 begin with such a line.
                [] | ["-DOCSTART-", ..] => close(&mut open, path, &mut sentences)?,
                [word, .., tag] => {
                    if open.words.is_empty() {
                        (open.file, open.line) = (file, at + 1);
                    }
                    open.words.push((*word).to_owned());
                    open.tags.push((*tag).to_owned());
                }
                [word] => {
                    let reason =
                        format!("{word:?} has no tag; accepted: a word, a tab or spaces, and a BIO tag");
                    return Err(refuse(path, at + 1, reason));
                }
            }
        }
        close(&mut open, path, &mut sentences)?;
        if sentences.len() == before {
            return Err(Error::Empty {
                path: path.clone(),
                what: "tagged sentences",
            });
        }
    }
    Ok(sentences)
}

/// The columns of a line, none of an empty one. Beside tabs a space is a character like any other.
fn cells(line: &str) -> Vec<&str> {
    if line.trim().is_empty() {
        Vec::new()
    } else if line.contains('\t') {
        line.split('\t').map(str::trim).collect()
    } else {
        line.split_whitespace().collect()
    }
}

/// Ends a sentence, if one has begun.
fn close(open: &mut Sentence, path: &Path, sentences: &mut Vec<Sentence>) -> Result<()> {
    let sentence = std::mem::take(open);
    if sentence.words.is_empty() {
        return Ok(());
    }
    if let Err(MeasureError::Tag { position, tag }) = entities(&sentence.tags) {
        let reason = format!("tag {tag:?}; accepted: O, B-TYPE, I-TYPE");
        return Err(refuse(path, sentence.line + position, reason));
    }
    sentences.push(sentence);
    Ok(())
}

fn refuse(path: &Path, line: usize, reason: String) -> Error {
    Error::Line {
        path: path.to_owned(),
        line,
        reason,
    }
}

/// `O`, and both tags of every type that the sentences have, types in the order of the alphabet.
pub(super) fn labels(sentences: &[Sentence]) -> Labels {
    let tags = sentences.iter().flat_map(|sentence| &sentence.tags);
    let mut kinds: Vec<&str> = tags.filter_map(|tag| Some(tag.split_once('-')?.1)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let tags = kinds
        .iter()
        .flat_map(|kind| [format!("B-{kind}"), format!("I-{kind}")]);
    Labels::new(std::iter::once("O".to_owned()).chain(tags))
}

/// Sentences as tokens; the first token of a word carries its tag (Devlin et al. 2018, section 5.3).
///
/// # Errors
/// A tag of a type that is not among the labels; a first word that does not fit beside the special tokens.
pub(super) fn examples(
    sentences: &[Sentence],
    paths: &[PathBuf],
    labels: &Labels,
    tokenizer: &Tokenizer,
    tokens: usize,
) -> Result<Vec<Example>> {
    let around = Around::of(tokenizer, tokens)?;
    let example = |sentence: &Sentence| {
        let mut example = Example {
            ids: around.before.clone(),
            places: Vec::new(),
            labels: Vec::new(),
            place: (sentence.file, sentence.line),
        };
        let path = &paths[sentence.file];
        for (at, (word, tag)) in sentence.words.iter().zip(&sentence.tags).enumerate() {
            let label = labels.number(tag).ok_or_else(|| {
                let reason = format!(
                    "tag {tag:?}; accepted, as in the training files: {}",
                    labels.shown()
                );
                refuse(path, sentence.line + at, reason)
            })?;
            let mut ids = tokenizer.bare_ids(word)?;
            if ids.is_empty() {
                // A word of characters that the tokenizer throws away is a word all the same.
                ids.push(tokenizer.special().unknown);
            }
            if example.ids.len() + ids.len() + around.after.len() > tokens {
                break;
            }
            example.places.push(example.ids.len() as u32);
            example.labels.push(label as u32);
            example.ids.extend(ids);
        }
        if example.places.is_empty() {
            let reason =
                format!("the first word does not fit into data.tokens = {tokens}; raise it or leave it out");
            return Err(refuse(path, sentence.line, reason));
        }
        example.ids.extend(&around.after);
        Ok(example)
    };
    sentences.par_iter().map(example).collect()
}

/// The special tokens around a text.
struct Around {
    before: Vec<u32>,
    after: Vec<u32>,
}

impl Around {
    fn of(tokenizer: &Tokenizer, tokens: usize) -> Result<Self> {
        let (whole, bare) = (tokenizer.ids("a", tokens)?, tokenizer.bare_ids("a")?);
        let at = whole.windows(bare.len().max(1)).position(|part| part == bare);
        let at = at.ok_or_else(|| Error::Mismatch {
            what: "the tokenizer".into(),
            expected: "a text between its special tokens".into(),
            found: format!("{whole:?} for {bare:?}"),
        })?;
        Ok(Self {
            before: whole[..at].to_vec(),
            after: whole[at + bare.len()..].to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.conll");
        std::fs::write(&path, text).unwrap();
        (folder, vec![path])
    }

    fn tokenizer() -> Tokenizer {
        let words = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c ##s".replace(' ', "\n");
        Tokenizer::from_files(|name| (name == "vocab.txt").then_some(&words)).unwrap()
    }

    #[test]
    fn words_and_tags_become_tokens_and_numbers() {
        let text = "-DOCSTART- -X- O O\n\nas NNP I-NP B-X\nb\tO\n \t\n\u{1} B-A\nas I-A\ncs I-A\n";
        let (_folder, paths) = file(text);
        let sentences = read(&paths).unwrap();
        let labels = labels(&sentences);
        assert_eq!(labels.names(), ["O", "B-A", "I-A", "B-X", "I-X"]);
        let examples = examples(&sentences, &paths, &labels, &tokenizer(), 6).unwrap();
        let expected = [
            (vec![2, 5, 8, 6, 3], vec![1, 3], vec![3, 0], (0, 3)),
            // The last word does not fit.
            (vec![2, 1, 5, 8, 3], vec![1, 2], vec![1, 2], (0, 6)),
        ];
        let shown: Vec<_> = examples
            .into_iter()
            .map(|e| (e.ids, e.places, e.labels, e.place))
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_not_tagged_is_named_by_its_line() {
        let message = |text: &str| {
            let (_folder, paths) = file(text);
            read(&paths).unwrap_err().to_string()
        };
        assert!(message("a O\nb\n").contains("line 2: \"b\" has no tag"));
        assert!(message("a O\nb PER\n").contains("line 2: tag \"PER\"; accepted: O, B-TYPE, I-TYPE"));
        assert!(message("\n\n").contains("holds no tagged sentences"));
        let (_folder, paths) = file("a B-X\n\nb B-Y\n\nasssss O\n");
        let sentences = read(&paths).unwrap();
        let refused = |sentences: &[Sentence], known: &[Sentence]| {
            let examples = examples(sentences, &paths, &labels(known), &tokenizer(), 6);
            examples.unwrap_err().to_string()
        };
        let unknown = refused(&sentences[..2], &sentences[..1]);
        assert!(unknown.contains("line 3: tag \"B-Y\"; accepted"), "{unknown}");
        let long = refused(&sentences, &sentences);
        assert!(
            long.contains("line 5: the first word does not fit into data.tokens = 6"),
            "{long}"
        );
    }
}
