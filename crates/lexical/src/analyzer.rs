//! From text to terms.

use std::ops::Range;

use tantivy::tokenizer::{AsciiFoldingFilter, Language, LowerCaser, Stemmer, StopWordFilter, TextAnalyzer};

use crate::LexicalError;
use crate::words::Words;

/// The longest term, in bytes. Of a longer word the term is its beginning; it is found by that.
pub const TERM_BYTES_MAX: usize = 255;

const ENGLISH: &str = "english";
const NONE: &str = "none";

const LANGUAGES: [(&str, Language); 18] = [
    ("arabic", Language::Arabic),
    ("danish", Language::Danish),
    ("dutch", Language::Dutch),
    (ENGLISH, Language::English),
    ("finnish", Language::Finnish),
    ("french", Language::French),
    ("german", Language::German),
    ("greek", Language::Greek),
    ("hungarian", Language::Hungarian),
    ("italian", Language::Italian),
    ("norwegian", Language::Norwegian),
    ("portuguese", Language::Portuguese),
    ("romanian", Language::Romanian),
    ("russian", Language::Russian),
    ("spanish", Language::Spanish),
    ("swedish", Language::Swedish),
    ("tamil", Language::Tamil),
    ("turkish", Language::Turkish),
];

pub(crate) fn languages() -> Vec<&'static str> {
    LANGUAGES.iter().map(|(name, _)| *name).chain([NONE]).collect()
}

/// A term with the word that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The term after analysis.
    pub term: String,
    /// Where the word stands, in bytes of the text.
    pub span: Range<usize>,
    /// How many words stand before it; stop words count.
    pub position: u32,
}

/// Turns text into terms: words, lower-cased, without the stop words of the language, stemmed (Snowball).
///
/// English folds accents too (`café` is found by `cafe`); in other languages they tell words apart. The language
/// `none` lower-cases only. Stop words are not indexed, so a query of nothing but stop words finds nothing.
#[derive(Clone)]
pub struct Analyzer {
    chain: TextAnalyzer,
    /// The chain without stop words and stemming.
    words: TextAnalyzer,
}

impl Analyzer {
    /// The analysis of a language, named in English and lower case, or `none`.
    ///
    /// # Errors
    /// [`LexicalError::Language`] for a name that is not known; it lists the known ones.
    pub fn new(language: &str) -> Result<Self, LexicalError> {
        let known = LANGUAGES.iter().find(|(name, _)| *name == language);
        if known.is_none() && language != NONE {
            return Err(LexicalError::Language(language.to_owned()));
        }
        let language = known.map(|&(_, language)| language);
        let words = || {
            let chain = TextAnalyzer::builder(Words::default())
                .filter(LowerCaser)
                .dynamic();
            match language {
                Some(Language::English) => chain.filter_dynamic(AsciiFoldingFilter),
                _ => chain,
            }
        };
        let mut chain = words();
        if let Some(stop_words) = language.and_then(StopWordFilter::new) {
            chain = chain.filter_dynamic(stop_words);
        }
        if let Some(language) = language {
            chain = chain.filter_dynamic(Stemmer::new(language));
        }
        Ok(Self {
            chain: chain.build(),
            words: words().build(),
        })
    }

    /// The terms of a text, in order.
    pub fn tokens(&self, text: &str) -> Vec<Token> {
        tokens(self.chain.clone(), text)
    }

    /// The words of a text in the form that terms have before they are stemmed.
    pub(crate) fn words(&self, text: &str) -> Vec<String> {
        let tokens = tokens(self.words.clone(), text);
        tokens.into_iter().map(|token| token.term).collect()
    }

    pub(crate) fn chain(&self) -> TextAnalyzer {
        self.chain.clone()
    }
}

fn tokens(mut chain: TextAnalyzer, text: &str) -> Vec<Token> {
    let mut stream = chain.token_stream(text);
    let mut tokens = Vec::new();
    while stream.advance() {
        let token = stream.token();
        if !token.text.is_empty() {
            tokens.push(Token {
                term: token.text.clone(),
                span: token.offset_from..token.offset_to,
                position: token.position as u32,
            });
        }
    }
    tokens
}

impl std::fmt::Debug for Analyzer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Analyzer")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    fn terms(language: &str, text: &str) -> Vec<String> {
        let tokens = Analyzer::new(language).unwrap().tokens(text);
        tokens.into_iter().map(|token| token.term).collect()
    }

    #[test]
    fn english_lowers_folds_stops_and_stems() {
        assert_eq!(
            terms("english", "The Cafés were running, and IT was generously paid"),
            ["cafe", "were", "run", "generous", "paid"]
        );
        assert_eq!(terms("english", "to be or not to be"), [""; 0]);
    }

    #[test]
    fn languages_differ() {
        assert_eq!(terms("german", "die Häuser"), ["haus"]);
        assert_eq!(terms("none", "The Häuser"), ["the", "häuser"]);
        for language in languages() {
            Analyzer::new(language).unwrap();
        }
        let error = Analyzer::new("klingon").unwrap_err().to_string();
        assert!(error.contains("klingon") && error.contains("english"), "{error}");
    }

    #[test]
    fn highlights_are_bytes_of_the_text_as_written() {
        let analyzer = Analyzer::new("english").unwrap();
        // Lower-casing İ adds a byte; the offsets must not move.
        let text = "İİ Cafe\u{301}s, «RUNNING» at 100 km";
        let marked = crate::Query::plain(&analyzer, "café runs the at").highlight(&analyzer, text);
        let words: Vec<&str> = marked.into_iter().map(|span| &text[span]).collect();
        assert_eq!(words, ["Cafe\u{301}s", "RUNNING"]);
        assert!(
            crate::Query::plain(&analyzer, "")
                .highlight(&analyzer, text)
                .is_empty()
        );
    }
}
