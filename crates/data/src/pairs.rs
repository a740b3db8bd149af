//! Training pairs as JSON Lines: a query, a text that answers it, and texts that do not.

use std::path::Path;

use serde::Deserialize;

use crate::error::DataError;
use crate::jsonl::{self, Records};

/// A query with a text that answers it. Other fields of the line are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pair {
    /// The query.
    pub query: String,
    /// The text that answers it.
    pub positive: String,
    /// Texts that do not; often none.
    #[serde(default)]
    pub negatives: Vec<String>,
}

/// The pairs of a file, one after the other.
///
/// # Errors
/// When the file cannot be opened; the iterator itself names line and column of what is no pair.
pub fn read(path: &Path) -> Result<Records<Pair>, DataError> {
    jsonl::records(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;
    use crate::tests::write;

    #[test]
    fn pairs_are_read_and_a_missing_text_is_named() {
        let text = b"{\"query\":\"q\",\"positive\":\"p\",\"source\":\"s\"}\n{\"query\":\"q\"}\n";
        let (_folder, path) = write("pairs.jsonl", text);
        let read: Vec<_> = read(&path).unwrap().collect();
        assert_eq!(read[0].as_ref().unwrap().value.positive, "p");
        let error = read[1].as_ref().err().unwrap().to_string();
        assert!(
            error.ends_with("pairs.jsonl:2:13: not valid JSON: missing field `positive`"),
            "{error}"
        );
    }
}
