//! Why a run over documents ended early.

use std::path::PathBuf;

use corpus::{DocumentId, StoreError};
use data::{DataError, Place};
use infer::InferError;
use search::SearchError;
use thiserror::Error;

use crate::{OutputError, Summary};

/// An indexing run that ended early. What the summary counts as added is committed and stays.
#[derive(Debug, Error)]
#[error("{cause}")]
pub struct Failure {
    /// Why.
    pub cause: Box<Cause>,
    /// What was done before.
    pub summary: Summary,
}

/// Why a record was not accepted, or a run could not go on.
#[derive(Debug, Error)]
pub enum Cause {
    /// A record that cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Two documents of one run have the same id.
    #[error("{second}: document id {name:?} was given before, at {first}; accepted: each id once in a run", name = .id.as_str())]
    Duplicate {
        /// The id.
        id: DocumentId,
        /// Where it stands first.
        first: Place,
        /// Where it stands again.
        second: Place,
    },
    /// A document that cannot be cut, embedded or stored.
    #[error("{place}: {reason}")]
    Document {
        /// Where it stands.
        place: Place,
        /// What is wrong with it.
        reason: SearchError,
    },
    /// A text that the model refuses.
    #[error("{place}: {reason}")]
    Refused {
        /// Where it stands.
        place: Place,
        /// What the model says.
        reason: String,
    },
    /// The model or its settings cannot be used.
    #[error(transparent)]
    Model(SearchError),
    /// The index cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Vectors cannot be put where they belong.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The file of rejected records cannot be written.
    #[error("{}: {source}", .path.display())]
    Rejects {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Cause {
    /// Whether only one record is to blame, so that a run may go on without it.
    pub(crate) fn is_of_one_record(&self) -> bool {
        matches!(
            self,
            Self::Data(_) | Self::Duplicate { .. } | Self::Document { .. } | Self::Refused { .. }
        )
    }

    /// What a failed document says of itself, and what it says of model and store.
    pub(crate) fn of_document(place: &Place, reason: SearchError) -> Self {
        let place = place.clone();
        match reason {
            SearchError::Store(
                StoreError::Dimension { .. }
                | StoreError::NotFinite { .. }
                | StoreError::Span { .. }
                | StoreError::NoText(_)
                | StoreError::Settings(_),
            )
            | SearchError::Infer(InferError::Tokenize { .. } | InferError::NotFinite { .. }) => {
                Self::Document { place, reason }
            }
            SearchError::Store(error) => Self::Store(error),
            other => Self::Model(other),
        }
    }
}
