//! From text to terms.

use std::ops::Range;

use tantivy::tokenizer::{AsciiFoldingFilter, Language, LowerCaser, Stemmer, StopWordFilter, TextAnalyzer};

use crate::LexicalError;
use crate::words::Words;

/// The longest term, in bytes. Of a longer word the term is its beginning; it is found by that.
pub const TERM_BYTES_MAX: usize = 255;

const ENGLISH: &str = "english";
const CJK: &str = "cjk";
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
    LANGUAGES
        .iter()
        .map(|(name, _)| *name)
        .chain([CJK, NONE])
        .collect()
}

/// A term with the word that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The term after analysis.
    pub term: String,
    /// Where the word stands, in bytes of the text.
    pub span: Range<usize>,
    /// Its place among the words, stop words counted. Only differences mean something.
    pub position: u32,
}

/// Turns text into terms: words, lower-cased, without the stop words of the language, stemmed (Snowball), and with
/// accents folded where that is asked for (`café` is found by `cafe`).
///
/// The language `none` knows no stop words and no stems. `cjk`, for Chinese, Japanese and Korean, does not either, and
/// makes terms of characters and of pairs of characters. Stop words are not indexed, so a query of nothing but stop
/// words finds nothing.
#[derive(Clone)]
pub struct Analyzer {
    chain: TextAnalyzer,
    /// The chain without stop words, stemming and pairs.
    words: TextAnalyzer,
}

impl Analyzer {
    /// The analysis of a language, named in English and lower case, or `cjk` or `none`.
    ///
    /// # Errors
    /// [`LexicalError::Language`] for a name that is not known; it lists the known ones.
    pub fn new(language: &str, fold_accents: bool) -> Result<Self, LexicalError> {
        let known = LANGUAGES.iter().find(|(name, _)| *name == language);
        if known.is_none() && language != NONE && language != CJK {
            return Err(LexicalError::Language(language.to_owned()));
        }
        let known = known.map(|&(_, language)| language);
        // English words are folded first: its stems and stop words have no accents. In other languages both have.
        let fold_first = fold_accents && known.is_none_or(|known| known == Language::English);
        let lower = |words: Words| {
            let chain = TextAnalyzer::builder(words).filter(LowerCaser).dynamic();
            match fold_first {
                true => chain.filter_dynamic(AsciiFoldingFilter),
                false => chain,
            }
        };
        let mut chain = lower(match language {
            CJK => Words::with_bigrams(),
            _ => Words::default(),
        });
        let mut words = lower(Words::default());
        if let Some(stop_words) = known.and_then(StopWordFilter::new) {
            chain = chain.filter_dynamic(stop_words);
        }
        if let Some(known) = known {
            chain = chain.filter_dynamic(Stemmer::new(known));
        }
        if fold_accents && !fold_first {
            chain = chain.filter_dynamic(AsciiFoldingFilter);
            words = words.filter_dynamic(AsciiFoldingFilter);
        }
        Ok(Self {
            chain: chain.build(),
            words: words.build(),
        })
    }

    /// Whether accents are folded in a language where nothing else is said. In most they tell words apart.
    pub fn folds_accents(language: &str) -> bool {
        language == ENGLISH || language == CJK
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
        let analyzer = Analyzer::new(language, Analyzer::folds_accents(language)).unwrap();
        let tokens = analyzer.tokens(text);
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
            Analyzer::new(language, true).unwrap();
        }
        let error = Analyzer::new("klingon", true).unwrap_err().to_string();
        assert!(error.contains("klingon") && error.contains("english"), "{error}");
    }

    #[test]
    fn accents_fold_where_that_is_asked_for() {
        let terms = |fold, text| -> Vec<String> {
            let tokens = Analyzer::new("french", fold).unwrap().tokens(text);
            tokens.into_iter().map(|token| token.term).collect()
        };
        assert_eq!(terms(false, "les côtés"), ["côt"]);
        assert_eq!(terms(true, "les côtés"), ["cot"]);
        assert_eq!(terms(true, "cotes"), ["cot"]);
    }

    #[test]
    fn characters_and_pairs_are_terms_of_cjk() {
        assert_eq!(terms("cjk", "ＡＢ東京"), ["ab", "東", "東京", "京"]);
        let analyzer = Analyzer::new("cjk", true).unwrap();
        let query = crate::Query::plain(&analyzer, &crate::Synonyms::default(), "東京");
        let [marked] = &query.highlight(&analyzer, "在東京都")[..] else {
            panic!("one stretch");
        };
        assert_eq!(*marked, 3..9);
    }

    #[test]
    fn highlights_are_bytes_of_the_text_as_written() {
        let analyzer = Analyzer::new("english", true).unwrap();
        // Lower-casing İ adds a byte; the offsets must not move.
        let text = "İİ Cafe\u{301}s, «RUNNING» at 100 km";
        let marked = crate::Query::plain(&analyzer, &crate::Synonyms::default(), "café runs the at")
            .highlight(&analyzer, text);
        let words: Vec<&str> = marked.into_iter().map(|span| &text[span]).collect();
        assert_eq!(words, ["Cafe\u{301}s", "RUNNING"]);
        assert!(
            crate::Query::plain(&analyzer, &crate::Synonyms::default(), "")
                .highlight(&analyzer, text)
                .is_empty()
        );
    }
}
