//! The one error of every route: a problem document (RFC 9457) with a status.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use corpus::StoreError;
use infer::InferError;
use search::SearchError;
use serde::Serialize;
use serde_json::Value;

/// What kinds of problems there are; each has its status, its title and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The body is not JSON, or breaks off.
    Malformed,
    /// The server was started without the right to write.
    ReadOnly,
    /// There is no such route, document or model.
    NotFound,
    /// The route has no such method.
    Method,
    /// The body came too slowly.
    Slow,
    /// The body is larger than the route takes.
    TooLarge,
    /// The body is of another media type than the route takes.
    MediaType,
    /// A field has a value that is not accepted.
    Invalid,
    /// A queue is full.
    Busy,
    /// Something in the server is broken.
    Internal,
    /// A model that the request needs is not loaded.
    NotLoaded,
    /// Something that the request needs is not to be had at the moment.
    Unavailable,
    /// The disk has no room left.
    DiskFull,
}

impl Kind {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::Malformed => (S::BAD_REQUEST, "malformed", "The body cannot be read"),
            Self::ReadOnly => (S::FORBIDDEN, "read-only", "This server does not write"),
            Self::NotFound => (S::NOT_FOUND, "not-found", "There is no such thing"),
            Self::Method => (S::METHOD_NOT_ALLOWED, "method", "The route has no such method"),
            Self::Slow => (S::REQUEST_TIMEOUT, "slow", "The body came too slowly"),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::MediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "The media type is not accepted",
            ),
            Self::Invalid => (S::UNPROCESSABLE_ENTITY, "invalid", "A value is not accepted"),
            Self::Busy => (S::TOO_MANY_REQUESTS, "busy", "The queue is full"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "The server failed"),
            Self::NotLoaded => (S::NOT_IMPLEMENTED, "not-loaded", "The model is not loaded"),
            Self::Unavailable => (
                S::SERVICE_UNAVAILABLE,
                "unavailable",
                "Not available at the moment",
            ),
            Self::DiskFull => (S::INSUFFICIENT_STORAGE, "disk-full", "The disk is full"),
        }
    }

    /// Seconds after which it is worth trying again; none when waiting does not help.
    fn retry_after_s(self) -> Option<u32> {
        matches!(self, Self::Busy | Self::Unavailable).then_some(1)
    }
}

/// Why a request is refused, as RFC 9457 writes it, with the members `field`, `value` and `accepted`.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Problem {
    #[serde(skip)]
    kind: Kind,
    // Boxed, because results carry it on every path.
    members: Box<Members>,
}

#[derive(Debug, Clone, Serialize)]
struct Members {
    #[serde(rename = "type")]
    name: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<String>,
}

/// What a problem's media type is.
const MEDIA_TYPE: &str = "application/problem+json";

/// The longest value that is given back in full, in characters.
const VALUE_CHARS_MAX: usize = 200;

impl Problem {
    /// A problem of this kind; `detail` says what is wrong this time.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (status, name, title) = kind.parts();
        let members = Members {
            name: format!("urn:cloze:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
            value: None,
            accepted: None,
        };
        Self {
            kind,
            members: Box::new(members),
        }
    }

    /// A field whose value is out of range.
    pub fn invalid(field: impl Into<String>, value: impl Into<Value>, accepted: impl Into<String>) -> Self {
        let (field, value, accepted) = (field.into(), shortened(value.into()), accepted.into());
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let detail = format!("{field} is {shown}; accepted: {accepted}");
        Self::new(Kind::Invalid, detail).with(field, value, accepted)
    }

    /// Names the field, its value and what is accepted.
    pub fn with(
        mut self,
        field: impl Into<String>,
        value: impl Into<Value>,
        accepted: impl Into<String>,
    ) -> Self {
        self.members.field = Some(field.into());
        self.members.value = Some(shortened(value.into()));
        self.members.accepted = Some(accepted.into()).filter(|accepted| !accepted.is_empty());
        self
    }

    /// What kind of problem it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The HTTP status of its answer.
    pub fn status(&self) -> StatusCode {
        self.kind.parts().0
    }
}

/// A long text in a problem would send the whole request back.
fn shortened(value: Value) -> Value {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => Value::String(format!("{}…", &text[..end])),
        None => value,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if self.status().is_server_error() {
            tracing::error!(status = self.members.status, "{}", self.members.detail);
        }
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = self.kind.retry_after_s() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::NoText(_) => Self::new(Kind::Invalid, detail).with(
                "text",
                "",
                "a text with at least one visible character",
            ),
            StoreError::Query { accepted, .. } => {
                Self::new(Kind::Invalid, detail).with("query", "", accepted)
            }
            StoreError::Locked { .. } => Self::new(Kind::Unavailable, detail),
            StoreError::DiskFull { .. } => Self::new(Kind::DiskFull, detail),
            _ => Self::new(Kind::Internal, detail),
        }
    }
}

impl From<InferError> for Problem {
    fn from(error: InferError) -> Self {
        let detail = error.to_string();
        match error {
            InferError::QueueFull { .. } => Self::new(Kind::Busy, detail),
            InferError::Stopped => Self::new(Kind::Unavailable, detail),
            InferError::Tokenize { .. } => Self::new(Kind::Invalid, detail),
            _ => Self::new(Kind::Internal, detail),
        }
    }
}

impl From<SearchError> for Problem {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Field {
                field,
                value,
                accepted,
            } => Self::invalid(field, value, accepted),
            SearchError::NoReranker => no_reranker("rerank"),
            SearchError::NoReader => no_reader(),
            SearchError::NoEmbedder(_) => Self::new(Kind::NotLoaded, error.to_string()),
            SearchError::Store(error) => error.into(),
            SearchError::Infer(error) => error.into(),
        }
    }
}

/// The request needs a cross-encoder, and there is none.
pub(crate) fn no_reranker(field: &str) -> Problem {
    let detail = "no reranker is loaded; start the server with --reranker DIR";
    Problem::new(Kind::NotLoaded, detail).with(field, Value::Null, "")
}

/// The request wants an answer, and there is no reader.
fn no_reader() -> Problem {
    let detail = "no reader is loaded; start the server with --reader NAME|DIR";
    Problem::new(Kind::NotLoaded, detail).with("answer", Value::Null, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_not_sent_back_in_full() {
        let problem = Problem::invalid("query", "é".repeat(9000), "1 to 8192 characters");
        let shown = problem
            .members
            .value
            .as_ref()
            .and_then(Value::as_str)
            .map(|value| value.chars().count());
        assert_eq!(shown, Some(VALUE_CHARS_MAX + 1));
        assert!(problem.members.detail.len() < 500);
    }

    #[test]
    fn every_kind_has_the_status_of_its_name() {
        let busy = Problem::new(Kind::Busy, "full").into_response();
        assert_eq!(busy.status(), 429);
        assert!(busy.headers().contains_key(header::RETRY_AFTER));
        let invalid = Problem::invalid("limit", 0, "1 to 1000").into_response();
        assert_eq!(invalid.status(), 422);
        assert!(!invalid.headers().contains_key(header::RETRY_AFTER));
        assert_eq!(invalid.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
    }
}
