//! The nouns of search, and the contracts of a store.
//!
//! A [`Document`] is what a user hands in. It is cut into [`Passage`]s, the unit that is embedded, matched and
//! ranked. A store answers two questions about passages, [`ReadStore::nearest`] (by vector) and
//! [`ReadStore::matching`] (by words); everything above (fusion, reranking, highlighting) knows only the traits
//! here, never the store behind them.

mod document;
mod facet;
mod filter;
mod metadata;
mod store;

pub use document::{Document, DocumentId, DocumentIdError, Passage, PassageRef, TitleUse};
pub use facet::{FacetCount, FacetCounter};
pub use filter::{Filter, FilterError, Range};
pub use metadata::{Date, Metadata, MetadataError, Value};
pub use store::{
    Commit, MatchingQuery, NearestQuery, PreparedDocument, PreparedPassage, QueryText, ReadStore, Scored,
    StoreError, StoreInfo, Syntax, TermScore, WriteStore,
};
