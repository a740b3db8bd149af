//! The terms that a misspelled word may stand for.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use levenshtein_automata::{DFA, Distance, LevenshteinAutomatonBuilder, SINK_STATE};
use tantivy_fst::Automaton;

use crate::ranking::live_frequency;
use crate::{LexicalError, Part};

/// Most terms that one word stands for.
const TERMS_MAX: usize = 64;

/// Automata for one and two edits; a transposition is one edit (Schulz and Mihov 2002).
static EDITS: LazyLock<[LevenshteinAutomatonBuilder; 2]> =
    LazyLock::new(|| [1, 2].map(|edits| LevenshteinAutomatonBuilder::new(edits, true)));

/// The terms with the fewest edits that live rows have; none when the term itself is one, or nothing is near enough.
pub(crate) fn nearest(parts: &[Part<'_>], term: &str) -> Result<Option<Vec<String>>, LexicalError> {
    let edits = match term.chars().count() {
        _ if term.chars().any(|c| c.is_ascii_digit()) => 0,
        0..4 => 0,
        4..8 => 1,
        _ => 2,
    };
    if edits == 0 || frequency(parts, term)? > 0 {
        return Ok(None);
    }
    for builder in &EDITS[..edits] {
        let near = Near(builder.build_dfa(term));
        let mut found = BTreeMap::new();
        for part in parts {
            for term in part.postings.terms_accepted(&near)? {
                *found.entry(term).or_insert(0) += 0;
            }
        }
        for (term, rows) in &mut found {
            *rows = frequency(parts, term)?;
        }
        let mut found: Vec<(String, u64)> = found.into_iter().filter(|&(_, rows)| rows > 0).collect();
        if !found.is_empty() {
            // Stable: among terms of as many rows, the first in the order of the alphabet.
            found.sort_by_key(|&(_, rows)| std::cmp::Reverse(rows));
            found.truncate(TERMS_MAX);
            return Ok(Some(found.into_iter().map(|(term, _)| term).collect()));
        }
    }
    Ok(None)
}

fn frequency(parts: &[Part<'_>], term: &str) -> Result<u64, LexicalError> {
    parts.iter().map(|part| live_frequency(part, term)).sum()
}

/// Accepts what is within the edits that it was built for.
struct Near(DFA);

impl Automaton for &Near {
    type State = u32;

    fn start(&self) -> u32 {
        self.0.initial_state()
    }

    fn is_match(&self, state: &u32) -> bool {
        matches!(self.0.distance(*state), Distance::Exact(_))
    }

    fn can_match(&self, state: &u32) -> bool {
        *state != SINK_STATE
    }

    fn accept(&self, state: &u32, byte: u8) -> u32 {
        self.0.transition(*state, byte)
    }
}
