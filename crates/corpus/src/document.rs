//! Documents, the passages they are cut into, and how both are named.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Metadata;

/// The name that a user gave to a document: 1 to 512 bytes of UTF-8 without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DocumentId(String);

impl DocumentId {
    /// The longest id, in bytes.
    pub const BYTES_MAX: usize = 512;

    /// Checks and takes an id.
    ///
    /// # Errors
    /// When it is empty, longer than [`DocumentId::BYTES_MAX`], or holds a control character.
    pub fn new(id: impl Into<String>) -> Result<Self, DocumentIdError> {
        let id = id.into();
        if id.is_empty() {
            return Err(DocumentIdError::Empty);
        }
        if id.len() > Self::BYTES_MAX {
            return Err(DocumentIdError::TooLong { bytes: id.len() });
        }
        match id.char_indices().find(|(_, c)| c.is_control()) {
            Some((offset, character)) => Err(DocumentIdError::Control {
                id,
                offset,
                character,
            }),
            None => Ok(Self(id)),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for DocumentId {
    type Error = DocumentIdError;

    fn try_from(id: String) -> Result<Self, DocumentIdError> {
        Self::new(id)
    }
}

impl From<DocumentId> for String {
    fn from(id: DocumentId) -> String {
        id.0
    }
}

/// Why a text cannot be a [`DocumentId`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DocumentIdError {
    /// Nothing was given.
    #[error("document id is empty; accepted are 1 to 512 bytes")]
    Empty,
    /// More bytes than an id may have.
    #[error("document id has {bytes} bytes; accepted are 1 to 512")]
    TooLong {
        /// The length that was given.
        bytes: usize,
    },
    /// A control character stands in it.
    #[error("document id {id:?} has the control character {character:?} at byte {offset}")]
    Control {
        /// The whole id.
        id: String,
        /// Where the character stands, in bytes.
        offset: usize,
        /// The character.
        character: char,
    },
}

/// What a user hands in and gets back: one text with a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Its name; adding a document of the same name replaces it.
    pub id: DocumentId,
    /// Its title; empty when it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Its text. Passages are byte ranges of it.
    pub text: String,
    /// Values to filter by and to show.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// A stretch of a document, as a store returns it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    /// The document that it is cut from.
    pub document: DocumentId,
    /// Its place among the passages of the document, from 0.
    pub chunk: u32,
    /// The document's title.
    pub title: String,
    /// The stretch itself.
    pub text: String,
    /// Where it stands in the document's text, in bytes.
    pub span: Range<usize>,
    /// The document's metadata.
    pub metadata: Metadata,
}

/// A passage as a store knows it: a number that means something only to the snapshot that returned it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PassageRef(pub u64);

/// Whether a title is part of what is embedded and matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TitleUse {
    /// Every passage is embedded and matched with its document's title before it.
    #[default]
    Join,
    /// Titles are stored and shown only.
    Ignore,
}

impl TitleUse {
    /// The text of a passage as it is embedded and matched.
    pub fn searchable(self, title: &str, text: &str) -> String {
        match self {
            Self::Join if !title.is_empty() => format!("{title} {text}"),
            _ => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked_at_the_door() {
        assert_eq!(DocumentId::new(""), Err(DocumentIdError::Empty));
        assert_eq!(
            DocumentId::new("x".repeat(513)),
            Err(DocumentIdError::TooLong { bytes: 513 })
        );
        let control = DocumentId::new("a\u{0}b");
        assert!(matches!(
            control,
            Err(DocumentIdError::Control {
                offset: 1,
                character: '\0',
                ..
            })
        ));
        assert!(DocumentId::new("größe/7").is_ok());
        assert!(serde_json::from_str::<DocumentId>("\"\"").is_err());
    }

    #[test]
    fn titles_are_joined_by_a_space() {
        assert_eq!(TitleUse::Join.searchable("Rome", "It burned."), "Rome It burned.");
        assert_eq!(TitleUse::Join.searchable("", "It burned."), "It burned.");
        assert_eq!(TitleUse::Ignore.searchable("Rome", "It burned."), "It burned.");
    }
}
