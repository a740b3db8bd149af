//! A line of a file of pairs, as commands read and write it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A query, a text that answers it, and what is known beside; fields that nobody looks at are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) query: String,
    pub(crate) positive: String,
    /// Texts that do not answer it.
    #[serde(default)]
    pub(crate) negatives: Vec<String>,
    /// A teacher's scores of the positive and the negatives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) scores: Vec<f32>,
    /// Strings that are answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) answers: Vec<String>,
    #[serde(flatten)]
    pub(crate) others: Map<String, Value>,
}
