//! Where words begin and end.
//!
//! A word is a run of letters and digits (Unicode's alphanumeric characters). Scripts that are written without
//! spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) give one word per character, so that any stretch of
//! such a text is found by its characters; with bigrams every pair of neighbours is a word beside, and Korean is
//! cut so too. Combining accents belong to the word they stand in and are left out of the term: `e` followed by
//! U+0301 gives `e`.

use std::ops::Range;

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

use crate::analyzer::TERM_BYTES_MAX;

/// The place of the first word of a text. Of several texts of one row each begins this far behind the last word of
/// the one before, so that no phrase goes from one to the next.
const FIRST_PLACE: usize = 16;

/// Splits text into words; offsets are bytes of the text.
#[derive(Clone, Default)]
pub(crate) struct Words {
    token: Token,
    bigrams: bool,
}

impl Words {
    pub(crate) fn with_bigrams() -> Self {
        Self {
            bigrams: true,
            ..Self::default()
        }
    }
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.token.reset();
        self.token.position = FIRST_PLACE - 1;
        WordStream {
            text,
            at: 0,
            bigrams: self.bigrams,
            pair: None,
            token: &mut self.token,
        }
    }
}

/// The words of one text.
pub(crate) struct WordStream<'a> {
    text: &'a str,
    /// Everything before this byte has been read.
    at: usize,
    bigrams: bool,
    /// The pair that begins with the character that was the last word.
    pair: Option<Range<usize>>,
    token: &'a mut Token,
}

impl WordStream<'_> {
    fn stands_alone(&self, c: char) -> bool {
        stands_alone(c) || self.bigrams && is_hangul(c)
    }

    fn put(&mut self, span: Range<usize>) {
        self.token.offset_from = span.start;
        self.token.offset_to = span.end;
        self.token.text.clear();
        for c in self.text[span].chars().filter(|&c| !is_accent(c)) {
            if self.token.text.len() + c.len_utf8() > TERM_BYTES_MAX {
                break;
            }
            self.token.text.push(c);
        }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        if let Some(pair) = self.pair.take() {
            self.put(pair);
            return true;
        }
        let rest = &self.text[self.at..];
        let Some((skipped, first)) = rest.char_indices().find(|(_, c)| c.is_alphanumeric()) else {
            self.at = self.text.len();
            return false;
        };
        let rest = &rest[skipped..];
        let alone = self.stands_alone(first);
        let continues = |c: char| is_accent(c) || c.is_alphanumeric() && !self.stands_alone(c);
        let bytes = if alone {
            first.len_utf8()
        } else {
            rest.find(|c| !continues(c)).unwrap_or(rest.len())
        };
        let start = self.at + skipped;
        self.at = start + bytes;
        if self.bigrams && alone {
            let next = rest[bytes..].chars().next().filter(|&c| self.stands_alone(c));
            self.pair = next.map(|c| start..self.at + c.len_utf8());
        }
        self.token.position += 1;
        self.put(start..self.at);
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

/// Combining diacritical marks.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36F}')
}

/// Letters of scripts that put no space between words.
fn stands_alone(c: char) -> bool {
    matches!(c,
        '\u{E00}'..='\u{EFF}' // Thai, Lao
        | '\u{1000}'..='\u{109F}' // Burmese
        | '\u{1780}'..='\u{17FF}' // Khmer
        | '\u{3040}'..='\u{30FF}' // Hiragana, Katakana
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' // Chinese characters
        | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}'
        | '\u{FF66}'..='\u{FF9F}') // Half-width Katakana
}

fn is_hangul(c: char) -> bool {
    matches!(c, '\u{AC00}'..='\u{D7AF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(String, &str)> {
        let mut tokenizer = Words::default();
        let mut stream = tokenizer.token_stream(text);
        let mut found = Vec::new();
        while stream.advance() {
            let token = stream.token();
            found.push((token.text.clone(), &text[token.offset_from..token.offset_to]));
        }
        found
    }

    fn terms(text: &str) -> Vec<String> {
        words(text).into_iter().map(|(term, _)| term).collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(
            terms("Luther's 95 theses—1517!"),
            ["Luther", "s", "95", "theses", "1517"]
        );
        assert_eq!(terms(""), [""; 0]);
        assert_eq!(terms(" \u{0}🦀\t"), [""; 0]);
        assert_eq!(terms("straße größer ČESKÝ"), ["straße", "größer", "ČESKÝ"]);
    }

    #[test]
    fn scripts_without_spaces_give_characters() {
        assert_eq!(terms("Rust言語 1.0"), ["Rust", "言", "語", "1", "0"]);
        assert_eq!(terms("ひらカナ"), ["ひ", "ら", "カ", "ナ"]);
    }

    #[test]
    fn pairs_of_neighbours_are_words_beside() {
        let mut tokenizer = Words::with_bigrams();
        let mut stream = tokenizer.token_stream("Rust言語、한국어 x");
        let mut found = Vec::new();
        while stream.advance() {
            let token = stream.token();
            assert_eq!(token.text, stream.text[token.offset_from..token.offset_to]);
            found.push((token.text.clone(), token.position - FIRST_PLACE));
        }
        let expected = [
            ("Rust", 0),
            ("言", 1),
            ("言語", 1),
            ("語", 2),
            ("한", 3),
            ("한국", 3),
            ("국", 4),
            ("국어", 4),
            ("어", 5),
            ("x", 6),
        ];
        assert_eq!(found, expected.map(|(word, place)| (word.to_owned(), place)));
    }

    #[test]
    fn combining_accents_stay_inside_the_word() {
        assert_eq!(
            words("re\u{301}sume\u{301} x"),
            [("resume".into(), "re\u{301}sume\u{301}"), ("x".into(), "x")]
        );
    }

    #[test]
    fn long_words_are_cut_at_a_character() {
        let long = "é".repeat(50_000);
        let found = words(&long);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0.len(), TERM_BYTES_MAX - 1);
        assert_eq!(found[0].1.len(), long.len());
    }
}
