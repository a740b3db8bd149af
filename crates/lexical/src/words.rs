//! Where words begin and end.
//!
//! A word is a run of letters and digits (Unicode's alphanumeric characters). Scripts that are written without
//! spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) give one word per character, so that any stretch of
//! such a text is found by its characters. Combining accents belong to the word they stand in and are left out
//! of the term: `e` followed by U+0301 gives `e`.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

use crate::analyzer::TERM_BYTES_MAX;

/// Splits text into words; offsets are bytes of the text.
#[derive(Clone, Default)]
pub(crate) struct Words {
    token: Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.token.reset();
        WordStream {
            text,
            at: 0,
            token: &mut self.token,
        }
    }
}

/// The words of one text.
pub(crate) struct WordStream<'a> {
    text: &'a str,
    /// Everything before this byte has been read.
    at: usize,
    token: &'a mut Token,
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let Some((skipped, first)) = rest.char_indices().find(|(_, c)| c.is_alphanumeric()) else {
            self.at = self.text.len();
            return false;
        };
        let rest = &rest[skipped..];
        let continues = |c: char| is_accent(c) || c.is_alphanumeric() && !stands_alone(c);
        let bytes = if stands_alone(first) {
            first.len_utf8()
        } else {
            rest.find(|c| !continues(c)).unwrap_or(rest.len())
        };
        let start = self.at + skipped;
        self.at = start + bytes;
        self.token.position = self.token.position.wrapping_add(1);
        self.token.offset_from = start;
        self.token.offset_to = self.at;
        self.token.text.clear();
        for c in rest[..bytes].chars().filter(|&c| !is_accent(c)) {
            if self.token.text.len() + c.len_utf8() > TERM_BYTES_MAX {
                break;
            }
            self.token.text.push(c);
        }
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
        | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
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
