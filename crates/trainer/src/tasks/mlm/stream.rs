//! Texts as one stream of tokens, and where words, sentences and documents begin in it.

use std::ops::Range;
use std::path::PathBuf;

use text::{Encoding, Tokenizer};

use crate::error::Result;
use crate::texts;

/// Set in a token that goes on with the word of the token before it. Vocabularies stay far below.
const CONTINUES: u32 = 1 << 31;

/// Documents tokenized together.
const DOCUMENTS: usize = 256;

/// The tokens of all documents, without opening tokens; one separator closes each document.
pub(super) struct Stream {
    tokens: Vec<u32>,
    /// The tokens of each document, its separator left out; none is empty.
    documents: Vec<Range<usize>>,
    /// Where sentences begin, in order; every document begins with one.
    sentences: Vec<usize>,
}

impl Stream {
    /// Reads and tokenizes files, some documents at a time on all threads.
    ///
    /// # Errors
    /// Files that are missing or damaged.
    pub(super) fn read(files: &[PathBuf], tokenizer: &Tokenizer, separator: u32) -> Result<Self> {
        let mut stream = Self {
            tokens: Vec::new(),
            documents: Vec::new(),
            sentences: Vec::new(),
        };
        let mut documents = texts::all_documents(files)?;
        loop {
            let part: Vec<String> = documents.by_ref().take(DOCUMENTS).collect::<Result<_>>()?;
            if part.is_empty() {
                return Ok(stream);
            }
            let part: Vec<&str> = part.iter().map(String::as_str).collect();
            for (text, encoding) in part.iter().zip(tokenizer.encode_batch(&part, usize::MAX)?) {
                stream.add(text, &encoding, separator);
            }
        }
    }

    fn add(&mut self, text: &str, encoding: &Encoding, separator: u32) {
        let start = self.tokens.len();
        let mut sentences = sentence_starts(text).into_iter().peekable();
        let mut word = None;
        for at in (0..encoding.len()).filter(|&at| !encoding.special_mask[at]) {
            // A sentence begins with the first token that reaches into it: some vocabularies count the space before.
            let mut begins = false;
            while sentences.next_if(|&byte| byte < encoding.spans[at].1).is_some() {
                begins = true;
            }
            if begins || self.tokens.len() == start {
                self.sentences.push(self.tokens.len());
            }
            let continues = encoding.word_ids[at].is_some() && encoding.word_ids[at] == word;
            word = encoding.word_ids[at];
            self.tokens
                .push(encoding.ids[at] | if continues { CONTINUES } else { 0 });
        }
        if self.tokens.len() > start {
            self.documents.push(start..self.tokens.len());
            self.tokens.push(separator);
        }
    }

    /// Tokens, separators included.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The tokens of all documents, separators left out.
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        let documents = self.documents.iter().cloned();
        documents.flat_map(|document| self.tokens[document].iter().map(|token| token & !CONTINUES))
    }

    /// The tokens of each document, its separator left out.
    pub(super) fn documents(&self) -> &[Range<usize>] {
        &self.documents
    }

    /// The document that a token is of.
    pub(super) fn document_of(&self, at: usize) -> usize {
        self.documents.partition_point(|document| document.end <= at)
    }

    /// Where sentences begin, in order.
    pub(super) fn sentences(&self) -> &[usize] {
        &self.sentences
    }

    /// Id of each token, and whether it goes on with the word of the one before.
    pub(super) fn tokens(&self, range: Range<usize>) -> impl Iterator<Item = (u32, bool)> {
        self.tokens[range]
            .iter()
            .map(|token| (token & !CONTINUES, token & CONTINUES != 0))
    }
}

/// The bytes at which sentences begin: at the start, after a line's end, and after the white space behind a full
/// stop, a question or an exclamation mark, with quotes and brackets that close there.
fn sentence_starts(text: &str) -> Vec<usize> {
    let mut starts = vec![0];
    let (mut has_ended, mut in_gap) = (false, false);
    for (at, character) in text.char_indices() {
        if character.is_whitespace() {
            in_gap |= has_ended || character == '\n';
            continue;
        }
        if in_gap && at > 0 {
            starts.push(at);
        }
        in_gap = false;
        has_ended = matches!(character, '.' | '!' | '?')
            || has_ended && matches!(character, '"' | '\'' | ')' | ']' | '”' | '’');
    }
    starts
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;

    pub(crate) const SEPARATOR: u32 = 3;

    /// A vocabulary in which `fire` is a word of its own and `fires` two pieces.
    pub(crate) fn tokenizer() -> Tokenizer {
        let words = "[PAD] [UNK] [CLS] [SEP] [MASK] fire wood ##s ##ed a b c d e f g . ? \"";
        let lines = words.replace(' ', "\n");
        Tokenizer::from_files(|name| (name == "vocab.txt").then_some(&lines)).unwrap()
    }

    pub(crate) fn stream(texts: &[&str]) -> Stream {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("texts.jsonl");
        let lines: Vec<String> = texts
            .iter()
            .map(|text| serde_json::json!({"text": text}).to_string())
            .collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        Stream::read(&[path], &tokenizer(), SEPARATOR).unwrap()
    }

    #[test]
    fn sentences_begin_after_marks_and_lines() {
        let text = "Version 1.2 is out. \"Is it?\"  Yes!\nNo";
        let starts = sentence_starts(text);
        let parts: Vec<&str> = starts.iter().map(|&at| &text[at..]).collect();
        assert_eq!(parts, [text, "\"Is it?\"  Yes!\nNo", "Yes!\nNo", "No"]);
        assert_eq!(sentence_starts("\n\na"), [0, 2]);
    }

    #[test]
    fn words_sentences_and_documents_are_marked() {
        let stream = stream(&["Fires a. b c?\nwooded", "d", "  "]);
        let tokenizer = tokenizer();
        let spelled: Vec<(String, bool)> = stream
            .tokens(0..stream.len())
            .map(|(id, continues)| (tokenizer.token(id).unwrap(), continues))
            .collect();
        let expected = [
            ("fire", false),
            ("##s", true),
            ("a", false),
            (".", false),
            ("b", false),
            ("c", false),
            ("?", false),
            ("wood", false),
            ("##ed", true),
            ("[SEP]", false),
            ("d", false),
            ("[SEP]", false),
        ];
        assert_eq!(
            spelled,
            expected.map(|(token, continues)| (token.to_owned(), continues))
        );
        assert_eq!(stream.documents(), [0..9, 10..11]);
        assert_eq!(stream.sentences(), [0, 4, 7, 10]);
        assert_eq!((stream.document_of(8), stream.document_of(10)), (0, 1));
    }
}
