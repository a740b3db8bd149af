//! Conditions on metadata, in a small JSON grammar.
//!
//! ```json
//! {"and": [{"eq": {"lang": "en"}},
//!          {"range": {"year": {"gte": 2001, "lt": 2011}}},
//!          {"not": {"in": {"kind": ["draft", "note"]}}},
//!          {"exists": "author"}]}
//! ```
//!
//! [`Filter::matches`] is the definition; a store may answer faster, never differently. A condition on a list
//! holds when it holds for one member. A document without the field fulfils none but `not`.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use thiserror::Error;

use crate::{Metadata, Value};

/// A condition that a document's metadata fulfils or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Json", into = "Json")]
pub enum Filter {
    /// The field has this value.
    Eq(String, Value),
    /// The field has one of these values.
    In(String, Vec<Value>),
    /// The field is a number or a date within bounds.
    Range(String, Range),
    /// The field is there.
    Exists(String),
    /// All hold; true when there are none.
    And(Vec<Filter>),
    /// At least one holds; false when there are none.
    Or(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
}

/// Bounds, all numbers or all dates; at least one is set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Range {
    /// Greater than.
    pub gt: Option<Value>,
    /// Greater than or equal.
    pub gte: Option<Value>,
    /// Less than.
    pub lt: Option<Value>,
    /// Less than or equal.
    pub lte: Option<Value>,
}

impl Range {
    fn bounds(&self) -> [(&'static str, &Option<Value>); 4] {
        [
            ("gt", &self.gt),
            ("gte", &self.gte),
            ("lt", &self.lt),
            ("lte", &self.lte),
        ]
    }

    fn holds(&self, value: &Value) -> bool {
        self.bounds().into_iter().all(|(name, bound)| {
            let Some(bound) = bound else { return true };
            value.order(bound).is_some_and(|order| match name {
                "gt" => order == Ordering::Greater,
                "gte" => order != Ordering::Less,
                "lt" => order == Ordering::Less,
                _ => order != Ordering::Greater,
            })
        })
    }
}

impl Filter {
    /// How deep conditions may be nested.
    pub const DEPTH_MAX: usize = 16;
    /// How many conditions and values one filter may hold.
    pub const TERMS_MAX: usize = 1024;

    /// Whether `metadata` fulfils the condition.
    pub fn matches(&self, metadata: &Metadata) -> bool {
        let any = |field: &String, holds: &dyn Fn(&Value) -> bool| {
            metadata
                .get(field)
                .is_some_and(|value| value.members().iter().any(holds))
        };
        match self {
            Self::Eq(field, wanted) => any(field, &|value| value.equals(wanted)),
            Self::In(field, wanted) => any(field, &|value| wanted.iter().any(|one| value.equals(one))),
            Self::Range(field, range) => any(field, &|value| range.holds(value)),
            Self::Exists(field) => metadata.contains_key(field),
            Self::And(all) => all.iter().all(|one| one.matches(metadata)),
            Self::Or(some) => some.iter().any(|one| one.matches(metadata)),
            Self::Not(one) => !one.matches(metadata),
        }
    }

    /// Reads a filter out of JSON.
    ///
    /// # Errors
    /// Names the place (as a path such as `filter.and[1].range.year`), what stands there and what is accepted.
    pub fn from_json(json: &Json) -> Result<Self, FilterError> {
        let mut terms = 0;
        read(json, "filter", 0, &mut terms)
    }
}

/// Why JSON is no filter.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {found}; accepted: {accepted}")]
pub struct FilterError {
    /// Where, from the root `filter`.
    pub path: String,
    /// What stands there.
    pub found: String,
    /// What may stand there.
    pub accepted: &'static str,
}

const OPERATORS: &str = "an object with one of eq, in, range, exists, and, or, not";

fn refuse<T>(path: &str, found: impl ToString, accepted: &'static str) -> Result<T, FilterError> {
    Err(FilterError {
        path: path.to_owned(),
        found: found.to_string(),
        accepted,
    })
}

fn read(json: &Json, path: &str, depth: usize, terms: &mut usize) -> Result<Filter, FilterError> {
    *terms += 1;
    if depth > Filter::DEPTH_MAX {
        return refuse(path, "nested too deep", "16 levels");
    }
    if *terms > Filter::TERMS_MAX {
        return refuse(path, "too many conditions", "1024 conditions and values in all");
    }
    let (operator, operand) = single_entry(json, path, OPERATORS)?;
    let path = format!("{path}.{operator}");
    match operator {
        "eq" => {
            let (field, value) = single_entry(operand, &path, "an object {field: value}")?;
            Ok(Filter::Eq(
                field.to_owned(),
                scalar(value, &format!("{path}.{field}"))?,
            ))
        }
        "in" => {
            let (field, values) = single_entry(operand, &path, "an object {field: [value, ...]}")?;
            let path = format!("{path}.{field}");
            let values = list(values, &path)?;
            *terms += values.len();
            let values = values
                .iter()
                .enumerate()
                .map(|(i, v)| scalar(v, &format!("{path}[{i}]")));
            Ok(Filter::In(field.to_owned(), values.collect::<Result<_, _>>()?))
        }
        "range" => {
            let (field, bounds) = single_entry(operand, &path, "an object {field: {gt|gte|lt|lte: bound}}")?;
            Ok(Filter::Range(
                field.to_owned(),
                range(bounds, &format!("{path}.{field}"))?,
            ))
        }
        "exists" => match operand.as_str() {
            Some(field) => Ok(Filter::Exists(field.to_owned())),
            None => refuse(&path, operand, "the name of a field"),
        },
        "and" | "or" => {
            let parts = list(operand, &path)?.iter().enumerate();
            let parts = parts.map(|(i, part)| read(part, &format!("{path}[{i}]"), depth + 1, terms));
            let parts = parts.collect::<Result<_, _>>()?;
            Ok(if operator == "and" {
                Filter::And(parts)
            } else {
                Filter::Or(parts)
            })
        }
        "not" => Ok(Filter::Not(Box::new(read(operand, &path, depth + 1, terms)?))),
        _ => refuse(&path, "unknown operator", OPERATORS),
    }
}

fn single_entry<'a>(
    json: &'a Json,
    path: &str,
    accepted: &'static str,
) -> Result<(&'a str, &'a Json), FilterError> {
    match json.as_object() {
        Some(object) => match (object.len(), object.iter().next()) {
            (1, Some((key, value))) => Ok((key, value)),
            (n, _) => refuse(path, format!("an object with {n} entries"), accepted),
        },
        None => refuse(path, json, accepted),
    }
}

fn list<'a>(json: &'a Json, path: &str) -> Result<&'a Vec<Json>, FilterError> {
    json.as_array().map_or_else(|| refuse(path, json, "a list"), Ok)
}

fn scalar(json: &Json, path: &str) -> Result<Value, FilterError> {
    match Value::try_from(json.clone()) {
        Ok(Value::List(_)) | Err(_) => refuse(path, json, "a string, number, boolean or date"),
        Ok(value) => Ok(value),
    }
}

fn range(json: &Json, path: &str) -> Result<Range, FilterError> {
    const ACCEPTED: &str = "an object with gt, gte, lt, lte; numbers or dates, not both";
    let Some(object) = json.as_object().filter(|object| !object.is_empty()) else {
        return refuse(path, json, ACCEPTED);
    };
    let mut range = Range::default();
    for (name, bound) in object {
        let slot = match name.as_str() {
            "gt" => &mut range.gt,
            "gte" => &mut range.gte,
            "lt" => &mut range.lt,
            "lte" => &mut range.lte,
            _ => return refuse(&format!("{path}.{name}"), "unknown bound", ACCEPTED),
        };
        match scalar(bound, &format!("{path}.{name}"))? {
            value @ (Value::Number(_) | Value::Date(_)) => *slot = Some(value),
            value => return refuse(&format!("{path}.{name}"), format!("a {}", value.kind()), ACCEPTED),
        }
    }
    let kinds = range
        .bounds()
        .into_iter()
        .filter_map(|(_, bound)| bound.as_ref().map(Value::kind));
    if kinds.collect::<std::collections::BTreeSet<_>>().len() > 1 {
        return refuse(path, "a number beside a date", ACCEPTED);
    }
    Ok(range)
}

impl TryFrom<Json> for Filter {
    type Error = FilterError;

    fn try_from(json: Json) -> Result<Self, FilterError> {
        Self::from_json(&json)
    }
}

impl From<Filter> for Json {
    fn from(filter: Filter) -> Self {
        use serde_json::json;
        match filter {
            Filter::Eq(field, value) => json!({"eq": {field: Json::from(value)}}),
            Filter::In(field, values) => {
                json!({"in": {field: values.into_iter().map(Json::from).collect::<Vec<_>>()}})
            }
            Filter::Range(field, range) => {
                let bounds = range.bounds().into_iter();
                let bounds = bounds.filter_map(|(name, b)| Some((name.to_owned(), b.clone()?.into())));
                json!({"range": {field: Json::Object(bounds.collect())}})
            }
            Filter::Exists(field) => json!({"exists": field}),
            Filter::And(all) => json!({"and": all.into_iter().map(Json::from).collect::<Vec<_>>()}),
            Filter::Or(some) => json!({"or": some.into_iter().map(Json::from).collect::<Vec<_>>()}),
            Filter::Not(one) => json!({"not": Json::from(*one)}),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;
    use serde_json::json;

    fn metadata() -> Metadata {
        serde_json::from_value(json!({
            "lang": "en", "year": 2005, "tags": ["rust", "search"], "day": "2024-05-31", "open": true
        }))
        .unwrap()
    }

    #[test]
    fn conditions_hold_or_not() {
        for (filter, expected) in [
            (json!({"eq": {"lang": "en"}}), true),
            (json!({"eq": {"lang": "de"}}), false),
            (json!({"eq": {"year": "2005"}}), false),
            (json!({"eq": {"tags": "search"}}), true),
            (json!({"in": {"lang": ["de", "en"]}}), true),
            (json!({"in": {"lang": []}}), false),
            (json!({"range": {"year": {"gte": 2005, "lt": 2006}}}), true),
            (json!({"range": {"year": {"gt": 2005}}}), false),
            (json!({"range": {"day": {"lte": "2024-05-31T00:00:00Z"}}}), true),
            (json!({"range": {"lang": {"gt": 1}}}), false),
            (json!({"exists": "open"}), true),
            (json!({"exists": "closed"}), false),
            (json!({"not": {"eq": {"closed": true}}}), true),
            (json!({"and": []}), true),
            (json!({"or": []}), false),
            (
                json!({"and": [{"exists": "open"}, {"or": [{"eq": {"open": false}}, {"eq": {"year": 2005}}]}]}),
                true,
            ),
        ] {
            let read = Filter::from_json(&filter).unwrap();
            assert_eq!(read.matches(&metadata()), expected, "{filter}");
            assert_eq!(Json::from(read), filter, "writes back what it read");
        }
    }

    #[test]
    fn errors_name_the_place() {
        for (filter, path) in [
            (
                json!({"and": [{"eq": {"a": 1}}, {"range": {"year": {"from": 1}}}]}),
                "filter.and[1].range.year.from",
            ),
            (json!({"like": {"a": "b"}}), "filter.like"),
            (json!({"eq": {"a": [1]}}), "filter.eq.a"),
            (
                json!({"range": {"a": {"gt": 1, "lt": "2024-01-01"}}}),
                "filter.range.a",
            ),
            (json!([]), "filter"),
            (json!({"eq": {"a": 1}, "in": {}}), "filter"),
        ] {
            assert_eq!(Filter::from_json(&filter).unwrap_err().path, path);
        }
    }

    #[test]
    fn nesting_and_size_are_bounded() {
        let mut deep = json!({"exists": "a"});
        for _ in 0..20 {
            deep = json!({"not": deep});
        }
        assert!(Filter::from_json(&deep).is_err());
        assert!(Filter::from_json(&json!({"in": {"a": vec![1; 2000], "b": [1]}})).is_err());
        assert!(Filter::from_json(&json!({"or": vec![json!({"exists": "a"}); 2000]})).is_err());
    }
}
