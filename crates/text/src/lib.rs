//! From text to token ids and back, with byte offsets; chunking by tokens; training of vocabularies.

mod chunk;
mod error;
mod open;
mod pair;
mod plain;
mod save;
mod tokenizer;
mod unused;
pub mod vocabulary;

pub use error::{Error, Result};
pub use pair::{Pair, PairFrame, Pieces};
pub use tokenizer::{Encoding, SpecialIds, Tokenizer};
pub use unused::{Compact, drop_unused};
