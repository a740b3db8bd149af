//! Words that mean the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::query::Ask;
use crate::{Analyzer, LexicalError, Token};

/// Most bytes of a file of synonyms.
pub const SYNONYMS_BYTES_MAX: usize = 1 << 20;

/// Most words of one entry.
const WORDS_MAX: usize = 8;

/// Most ways to say the same.
const ALTERNATIVES_MAX: usize = 64;

/// What stands for what, in queries. Documents are indexed as they are, so synonyms may change at any time.
///
/// ```text
/// # A comment
/// car, automobile, motor car       any of these finds all of them
/// e car => electric car, ev        what stands on the left finds what stands on the right only
/// ```
///
/// All ways to say the same count as one term: their frequencies add up, and the document frequency is that of the
/// rows that have any of them. Several words are looked for as a phrase; in a query the longest entry wins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Synonyms {
    /// The terms of each entry with their places.
    rules: BTreeMap<Vec<(u32, String)>, BTreeSet<Ask>>,
    /// Terms of the longest entry.
    longest: usize,
}

impl Synonyms {
    /// Reads synonyms.
    ///
    /// # Errors
    /// [`LexicalError::Synonyms`] with the line that is not understood.
    pub fn parse(analyzer: &Analyzer, text: &str) -> Result<Self, LexicalError> {
        let mut synonyms = Self::default();
        if text.len() > SYNONYMS_BYTES_MAX {
            let line = text.as_bytes()[..SYNONYMS_BYTES_MAX]
                .split(|&byte| byte == b'\n')
                .count();
            let accepted = "a file of at most 1 MiB";
            return Err(LexicalError::Synonyms { line, accepted });
        }
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                let read = synonyms.add_line(analyzer, line);
                read.map_err(|accepted| LexicalError::Synonyms {
                    line: number + 1,
                    accepted,
                })?;
            }
        }
        Ok(synonyms)
    }

    fn add_line(&mut self, analyzer: &Analyzer, line: &str) -> Result<(), &'static str> {
        let entries = |text: &str| -> Result<Vec<Vec<Token>>, &'static str> {
            let tokens = text.split(',').map(|entry| analyzer.tokens(entry));
            tokens
                .map(|tokens| match tokens.len() {
                    1..=WORDS_MAX => Ok(tokens),
                    _ => Err("entries of 1 to 8 words that are no stop words, parted by commas"),
                })
                .collect()
        };
        let (from, to) = match line.split_once("=>") {
            Some((_, right)) if right.contains("=>") => return Err("one => on a line"),
            Some((left, right)) => (entries(left)?, entries(right)?),
            None => {
                let all = entries(line)?;
                if all.len() < 2 {
                    return Err("two entries or more, parted by commas");
                }
                (all.clone(), all)
            }
        };
        let asks: Vec<Ask> = to.iter().filter_map(|tokens| Ask::together(tokens)).collect();
        for tokens in from {
            self.longest = self.longest.max(tokens.len());
            let known = self.rules.entry(places(&tokens)).or_default();
            known.extend(asks.iter().cloned());
            if known.len() > ALTERNATIVES_MAX {
                return Err("at most 64 ways to say the same");
            }
        }
        Ok(())
    }

    /// What the terms of a query ask for.
    pub(crate) fn asks(&self, tokens: &[Token]) -> Vec<Vec<Ask>> {
        let mut asks = Vec::with_capacity(tokens.len());
        let mut rest = tokens;
        while let [first, others @ ..] = rest {
            let longest = self.longest.min(rest.len());
            let entry = (1..=longest)
                .rev()
                .find_map(|len| Some((self.rules.get(&places(&rest[..len]))?, len)));
            (asks, rest) = match entry {
                Some((same, len)) => (push(asks, same.iter().cloned().collect()), &rest[len..]),
                None => (push(asks, vec![Ask::Term(first.term.clone())]), others),
            };
        }
        asks
    }
}

fn push<T>(mut all: Vec<T>, one: T) -> Vec<T> {
    all.push(one);
    all
}

fn places(tokens: &[Token]) -> Vec<(u32, String)> {
    let first = tokens.first().map_or(0, |token| token.position);
    let place = |token: &Token| (token.position - first, token.term.clone());
    tokens.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    fn asks(synonyms: &str, text: &str) -> Vec<String> {
        let analyzer = Analyzer::new("english", true).unwrap();
        let synonyms = Synonyms::parse(&analyzer, synonyms).unwrap();
        let label = |asks: Vec<Ask>| {
            let asks: Vec<String> = asks.iter().map(Ask::to_string).collect();
            asks.join(" | ")
        };
        let asks = synonyms.asks(&analyzer.tokens(text));
        asks.into_iter().map(label).collect()
    }

    #[test]
    fn entries_stand_for_each_other_or_for_what_is_right_of_the_arrow() {
        let file = "# cars\n\ncar, automobiles, motor car\nNYC => New York City\nnew york, big apple\r\n";
        assert_eq!(
            asks(file, "Cars rust"),
            ["automobil | car | \"motor car\"", "rust"]
        );
        assert_eq!(asks(file, "motor cars"), ["automobil | car | \"motor car\""]);
        assert_eq!(asks(file, "motor bikes"), ["motor", "bike"]);
        assert_eq!(asks(file, "nyc"), ["\"new york citi\""]);
        assert_eq!(
            asks(file, "in New York City"),
            ["\"big appl\" | \"new york\"", "citi"]
        );
        assert_eq!(asks("", "new york"), ["new", "york"]);
        // Lines of the same entry add up.
        assert_eq!(asks("a1 => b1\na1, c1", "a1"), ["a1 | b1 | c1"]);
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        let analyzer = Analyzer::new("english", true).unwrap();
        let many = (0..65).map(|n| format!("w{n}")).collect::<Vec<_>>().join(",");
        for (text, line) in [
            ("a1, b1\nalone", 2),
            ("a1, ", 1),
            ("the, b1", 1),
            ("\n\na1 => b1 => c1", 3),
            ("=> b1", 1),
            ("a1 =>", 1),
            ("a1, 1 2 3 4 5 6 7 8 9", 1),
            (many.as_str(), 1),
            (&"#\n".repeat(SYNONYMS_BYTES_MAX), SYNONYMS_BYTES_MAX / 2 + 1),
        ] {
            match Synonyms::parse(&analyzer, text) {
                Err(LexicalError::Synonyms { line: found, .. }) => assert_eq!(found, line),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
