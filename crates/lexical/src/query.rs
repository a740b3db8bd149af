//! What a query asks for: words, and where its syntax is switched on, phrases, prefixes and conditions.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;

use crate::{Analyzer, LexicalError, Part, Synonyms, Token, typos};

/// Most words, phrases and prefixes of a query with syntax: each takes a pass over the rows.
pub const CLAUSES_MAX: usize = 64;

/// Fewest characters of a prefix: shorter ones stand for a good part of all terms.
const PREFIX_CHARS_MIN: usize = 2;

/// What a query asks for, after analysis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub(crate) clauses: Vec<Clause>,
}

/// A part of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    pub(crate) occur: Occur,
    /// Ways to say the same: they count as if they all were one term.
    pub(crate) asks: Vec<Ask>,
    /// How often it stands in the query.
    pub(crate) repeats: u32,
}

/// Whether a passage has to have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occur {
    /// It adds to the score.
    Should,
    /// It adds to the score, and passages without it are left out.
    Must,
    /// Passages with it are left out.
    MustNot,
}

/// What is looked for in a passage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ask {
    Term(String),
    /// The terms that begin with this.
    Prefix(String),
    /// At least two terms, each with its place after that of the first.
    Phrase(Vec<(u32, String)>),
}

impl Ask {
    /// The terms of a piece of text; none when it has none.
    pub(crate) fn together(tokens: &[Token]) -> Option<Self> {
        match tokens {
            [] => None,
            [one] => Some(Self::Term(one.term.clone())),
            [first, ..] => {
                let place = |token: &Token| (token.position - first.position, token.term.clone());
                Some(Self::Phrase(tokens.iter().map(place).collect()))
            }
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Term(term) => f.write_str(term),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Phrase(phrase) => {
                let terms: Vec<&str> = phrase.iter().map(|(_, term)| term.as_str()).collect();
                write!(f, "\"{}\"", terms.join(" "))
            }
        }
    }
}

impl Query {
    /// The words of any text at all. It has no syntax.
    pub fn plain(analyzer: &Analyzer, synonyms: &Synonyms, text: &str) -> Self {
        let mut repeats = BTreeMap::new();
        for asks in synonyms.asks(&analyzer.tokens(text)) {
            *repeats.entry(asks).or_insert(0) += 1;
        }
        let clause = |(asks, repeats)| Clause {
            occur: Occur::Should,
            asks,
            repeats,
        };
        Self {
            clauses: repeats.into_iter().map(clause).collect(),
        }
    }

    /// Words, `"phrases in quotes"` and prefixes like `neuro*`, parted by spaces; `+` before one of them requires it,
    /// `-` leaves out passages that have it.
    ///
    /// Prefixes are not stemmed, and are compared with stemmed terms: `runn*` does not find `run`, which is all that is
    /// kept of `running`. A word that analysis cuts in several is a phrase after `+` and `-`, else several words. Stop
    /// words count nowhere, as in [`Query::plain`]. Words have synonyms, phrases and prefixes have none.
    ///
    /// # Errors
    /// [`LexicalError::Syntax`] with the byte where it goes wrong.
    pub fn parse(analyzer: &Analyzer, synonyms: &Synonyms, text: &str) -> Result<Self, LexicalError> {
        let mut clauses = Vec::new();
        let mut at = 0;
        let mut positive = false;
        while let Some(skipped) = text[at..].find(|c: char| !c.is_whitespace()) {
            at += skipped;
            let item = Item::read(text, at)?;
            positive |= item.occur != Occur::MustNot;
            let asked = item.asks(analyzer, synonyms, &text[item.words.clone()])?;
            clauses.extend(asked.into_iter().map(|asks| Clause {
                occur: item.occur,
                asks,
                repeats: 1,
            }));
            at = item.end;
            if clauses.len() > CLAUSES_MAX {
                return Err(syntax(item.words.start, "at most 64 words, phrases and prefixes"));
            }
        }
        if !positive {
            return Err(syntax(0, "a word, phrase or prefix that is not left out by -"));
        }
        Ok(Self { clauses })
    }

    /// The query with the terms nearest to it in place of each word that no live row has: those within one edit
    /// (insertion, deletion, substitution, transposition) of a term of four characters and more, within two of a term
    /// of eight and more, the fewest edits first. Words with digits stay as they are.
    ///
    /// # Errors
    /// When postings cannot be read.
    pub fn with_typos(mut self, parts: &[Part<'_>]) -> Result<Self, LexicalError> {
        for clause in self
            .clauses
            .iter_mut()
            .filter(|clause| clause.occur != Occur::MustNot)
        {
            if let [Ask::Term(term)] = &clause.asks[..]
                && let Some(nearest) = typos::nearest(parts, term)?
            {
                clause.asks = nearest.into_iter().map(Ask::Term).collect();
            }
        }
        Ok(self)
    }

    /// The byte ranges of `text` whose terms the query looks for; in order, not overlapping.
    pub fn highlight(&self, analyzer: &Analyzer, text: &str) -> Vec<Range<usize>> {
        let (mut terms, mut prefixes) = (HashSet::new(), Vec::new());
        let positive = self
            .clauses
            .iter()
            .filter(|clause| clause.occur != Occur::MustNot);
        for ask in positive.flat_map(|clause| &clause.asks) {
            match ask {
                Ask::Term(term) => _ = terms.insert(term.as_str()),
                Ask::Prefix(prefix) => prefixes.push(prefix.as_str()),
                Ask::Phrase(phrase) => terms.extend(phrase.iter().map(|(_, term)| term.as_str())),
            }
        }
        if terms.is_empty() && prefixes.is_empty() {
            return Vec::new();
        }
        let wanted =
            |term: &str| terms.contains(term) || prefixes.iter().any(|prefix| term.starts_with(prefix));
        let mut spans: Vec<Range<usize>> = Vec::new();
        for token in analyzer.tokens(text) {
            match spans.last_mut() {
                _ if !wanted(&token.term) => {}
                // A character and the pair that begins with it.
                Some(last) if token.span.start < last.end => last.end = last.end.max(token.span.end),
                _ => spans.push(token.span),
            }
        }
        spans
    }
}

fn syntax(offset: usize, accepted: &'static str) -> LexicalError {
    LexicalError::Syntax { offset, accepted }
}

/// A piece of query syntax.
struct Item {
    occur: Occur,
    quoted: bool,
    prefix: bool,
    /// Where its words stand, without signs.
    words: Range<usize>,
    /// Byte after it.
    end: usize,
}

impl Item {
    /// Reads the piece that begins at a byte.
    fn read(text: &str, start: usize) -> Result<Self, LexicalError> {
        let (occur, at) = match text.as_bytes()[start] {
            b'+' => (Occur::Must, start + 1),
            b'-' => (Occur::MustNot, start + 1),
            _ => (Occur::Should, start),
        };
        let rest = &text[at..];
        if let Some(inside) = rest.strip_prefix('"') {
            let len = inside
                .find('"')
                .ok_or_else(|| syntax(at, "a phrase that ends in a quotation mark"))?;
            if !inside[..len].chars().any(char::is_alphanumeric) {
                return Err(syntax(at, "a phrase of at least one word"));
            }
            let words = at + 1..at + 1 + len;
            let end = words.end + 1;
            if text[end..].chars().next().is_some_and(|c| !c.is_whitespace()) {
                return Err(syntax(end, "a space after a phrase"));
            }
            return Ok(Self {
                occur,
                quoted: true,
                prefix: false,
                words,
                end,
            });
        }
        let len = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, end) = (&rest[..len], at + len);
        if let Some(quote) = word.find('"') {
            return Err(syntax(at + quote, "a space before a phrase"));
        }
        let stem = word.strip_suffix('*').unwrap_or(word);
        if let Some(star) = stem.find('*') {
            return Err(syntax(at + star, "* at the end of a word only"));
        }
        if at > start && word.starts_with(['+', '-']) {
            return Err(syntax(at, "one sign before a word"));
        }
        if !stem.chars().any(char::is_alphanumeric) {
            return Err(syntax(
                start,
                "a word of letters or digits, alone or after +, - and before *",
            ));
        }
        Ok(Self {
            occur,
            quoted: false,
            prefix: stem.len() < word.len(),
            words: at..at + stem.len(),
            end,
        })
    }

    /// What it asks for: nothing when it is made of stop words.
    fn asks(
        &self,
        analyzer: &Analyzer,
        synonyms: &Synonyms,
        words: &str,
    ) -> Result<Vec<Vec<Ask>>, LexicalError> {
        if self.prefix {
            let mut terms = analyzer.words(words);
            let prefix = terms
                .pop()
                .filter(|word| terms.is_empty() && word.chars().count() >= PREFIX_CHARS_MIN);
            let accepted = "one word of at least two characters before *";
            let prefix = prefix.ok_or_else(|| syntax(self.words.start, accepted))?;
            return Ok(vec![vec![Ask::Prefix(prefix)]]);
        }
        let tokens = analyzer.tokens(words);
        let several = tokens.len() > 1 && self.occur != Occur::Should;
        Ok(match self.quoted || several {
            true => Ask::together(&tokens).map(|ask| vec![ask]).into_iter().collect(),
            false => synonyms.asks(&tokens),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    fn parse(text: &str) -> Result<Vec<(Occur, Vec<Ask>)>, LexicalError> {
        let analyzer = Analyzer::new("english", true).unwrap();
        let query = Query::parse(&analyzer, &Synonyms::default(), text)?;
        Ok(query
            .clauses
            .into_iter()
            .map(|clause| (clause.occur, clause.asks))
            .collect())
    }

    fn term(term: &str) -> Vec<Ask> {
        vec![Ask::Term(term.to_owned())]
    }

    #[test]
    fn words_phrases_prefixes_and_conditions() {
        use Occur::{Must, MustNot, Should};
        let phrase = |terms: &[(u32, &str)]| {
            let places = terms.iter().map(|&(place, term)| (place, term.to_owned()));
            vec![Ask::Phrase(places.collect())]
        };
        assert_eq!(
            parse("Running  +\"the City of Lights\" -rain* \"dogs\" well-known +well-known the").unwrap(),
            [
                (Should, term("run")),
                (Must, phrase(&[(0, "citi"), (2, "light")])),
                (MustNot, vec![Ask::Prefix("rain".to_owned())]),
                (Should, term("dog")),
                (Should, term("well")),
                (Should, term("known")),
                (Must, phrase(&[(0, "well"), (1, "known")])),
            ]
        );
        assert_eq!(
            parse("Runnin*").unwrap(),
            [(Should, vec![Ask::Prefix("runnin".to_owned())])]
        );
    }

    #[test]
    fn what_is_malformed_is_named_by_its_byte() {
        for (text, offset) in [
            ("a \"b c", 2),
            ("été \"b", 6),
            ("a + b", 2),
            ("a -", 2),
            ("*", 0),
            ("a b*c", 3),
            ("\"a b\"c", 5),
            ("a\"b c\"", 1),
            ("a-b*", 0),
            ("ab a*", 3),
            ("\"\"", 0),
            ("a +\"!!\"", 3),
            ("+-a", 1),
            ("++a", 1),
            ("-a", 0),
            ("", 0),
            ("  ", 0),
        ] {
            match parse(text) {
                Err(LexicalError::Syntax { offset: found, .. }) => assert_eq!(found, offset, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[-+*\" a-cé]{0,20}") {
            let _ = parse(&text);
        }
    }
}
