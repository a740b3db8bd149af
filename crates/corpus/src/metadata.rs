//! Values that a document carries beside its text: to filter by, and to show.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// Named values of one document, in the order of their names.
pub type Metadata = BTreeMap<String, Value>;

/// One metadata value. In JSON a string of the form `2024-05-31` or of an RFC 3339 date and time is a date;
/// it is written back exactly as it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value", into = "serde_json::Value")]
pub enum Value {
    /// Text, compared as a whole.
    String(String),
    /// A finite number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A point in time.
    Date(Date),
    /// Several values; a condition holds for a list when it holds for one of them.
    List(Vec<Value>),
}

impl Value {
    /// A string, or a date when it has the form of one.
    pub fn from_text(text: impl Into<String>) -> Self {
        let text = text.into();
        match Date::parse(&text) {
            Some(date) => Self::Date(date),
            None => Self::String(text),
        }
    }

    /// What kind of value it is, in the words of error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Number(_) => "number",
            Self::Boolean(_) => "boolean",
            Self::Date(_) => "date",
            Self::List(_) => "list",
        }
    }

    /// Whether two single values are equal; dates by their instant. Values of different kinds never are.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Date(a), Self::Date(b)) => a.instant() == b.instant(),
            _ => self == other,
        }
    }

    /// The order of two numbers or two dates; none for everything else.
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.partial_cmp(b),
            (Self::Date(a), Self::Date(b)) => Some(a.instant().cmp(&b.instant())),
            _ => None,
        }
    }

    /// The value itself, or the members of a list.
    pub(crate) fn members(&self) -> &[Value] {
        match self {
            Self::List(values) => values,
            one => std::slice::from_ref(one),
        }
    }
}

/// A date as it was written, with the instant that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Date {
    written: String,
    instant: i128,
}

impl Date {
    /// Reads `YYYY-MM-DD` (midnight UTC) or an RFC 3339 date and time; none for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let instant = time::Date::parse(text, format_description!("[year]-[month]-[day]"))
            .map(|date| date.midnight().assume_utc())
            .or_else(|_| time::OffsetDateTime::parse(text, &Rfc3339))
            .ok()?;
        Some(Self {
            written: text.to_owned(),
            instant: instant.unix_timestamp_nanos(),
        })
    }

    /// The date as it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub fn instant(&self) -> i128 {
        self.instant
    }
}

/// Why a JSON value cannot be metadata.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MetadataError {
    /// A kind that is not accepted here.
    #[error(
        "metadata value {value} is {kind}; accepted are string, number, boolean, date, and lists of these"
    )]
    Kind {
        /// The value as JSON.
        value: String,
        /// What it is.
        kind: &'static str,
    },
}

impl TryFrom<serde_json::Value> for Value {
    type Error = MetadataError;

    fn try_from(json: serde_json::Value) -> Result<Self, MetadataError> {
        use serde_json::Value as Json;
        let refuse = |kind, json: &Json| {
            Err(MetadataError::Kind {
                value: json.to_string(),
                kind,
            })
        };
        match json {
            Json::String(text) => Ok(Self::from_text(text)),
            Json::Bool(flag) => Ok(Self::Boolean(flag)),
            Json::Number(ref number) => match number.as_f64().filter(|n| n.is_finite()) {
                Some(number) => Ok(Self::Number(number)),
                None => refuse("a number out of range", &json),
            },
            Json::Array(values) => {
                if let Some(inner) = values.iter().find(|v| v.is_array()) {
                    return refuse("a list within a list", inner);
                }
                values
                    .into_iter()
                    .map(Self::try_from)
                    .collect::<Result<_, _>>()
                    .map(Self::List)
            }
            Json::Null => refuse("null", &json),
            Json::Object(_) => refuse("an object", &json),
        }
    }
}

impl From<Value> for serde_json::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::String(text) => Self::String(text),
            Value::Boolean(flag) => Self::Bool(flag),
            Value::Date(date) => Self::String(date.written),
            Value::List(values) => Self::Array(values.into_iter().map(Self::from).collect()),
            // Whole numbers stay whole: 2024, not 2024.0. Above 2^53 an f64 is no longer exact anyway.
            Value::Number(n) if n.fract() == 0.0 && n.abs() <= 9_007_199_254_740_992.0 => {
                Self::from(n as i64)
            }
            Value::Number(n) => Self::from(n),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    #[test]
    fn json_goes_in_and_comes_back_as_written() {
        let json = r#"{"day":"2024-05-31","lang":"en","n":7,"open":true,"tags":["a","b"],"x":0.5}"#;
        let metadata: Metadata = serde_json::from_str(json).unwrap();
        assert_eq!(metadata["day"].kind(), "date");
        assert_eq!(serde_json::to_string(&metadata).unwrap(), json);
    }

    #[test]
    fn what_is_not_metadata_is_named() {
        for (json, kind) in [
            ("null", "null"),
            ("{\"a\":1}", "an object"),
            ("[[1]]", "a list within a list"),
        ] {
            let error = serde_json::from_str::<Value>(json).unwrap_err().to_string();
            assert!(error.contains(kind), "{error}");
        }
    }

    #[test]
    fn dates_are_compared_by_instant() {
        let noon = Value::from_text("2024-05-31T12:00:00Z");
        assert!(noon.equals(&Value::from_text("2024-05-31T14:00:00+02:00")));
        assert_eq!(
            noon.order(&Value::from_text("2024-05-31")),
            Some(Ordering::Greater)
        );
        assert_eq!(Value::from_text("2024-13-01").kind(), "string");
    }
}
