//! BM25 over tantivy: analysis of text, postings on disk, scores.
//!
//! [`Analyzer`] turns text into terms; [`PostingsWriter`] writes the terms of passages, in row order, as one
//! tantivy segment; [`Postings`] reads them. A [`Query`] is what is looked for; a [`Ranking`] scores the rows of all
//! the segments that are searched together, with weights taken over their live rows.
//!
//! tantivy gives analysis, postings and the quantised lengths. The scores are summed here, over every posting of
//! the query's terms, because tantivy's pruning (block-max WAND) rests on bounds that were computed from the
//! average length within one segment: with statistics over several segments they are bounds no longer, and a
//! best passage could be passed over in silence.

mod analyzer;
mod directory;
mod error;
mod postings;
mod query;
mod ranking;
mod synonyms;
mod typos;
mod words;

pub use analyzer::{Analyzer, TERM_BYTES_MAX, Token};
pub use error::LexicalError;
pub use postings::{Postings, PostingsWriter};
pub use query::{CLAUSES_MAX, Query};
pub use ranking::{Bm25, Part, Ranking, Totals};
pub use synonyms::{SYNONYMS_BYTES_MAX, Synonyms};
