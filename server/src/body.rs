//! Reading a request's body: within a size and a time, as the media type that the route takes, into typed values.

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;

use crate::limits::Limits;
use crate::problem::{Kind, Problem};

/// The media type without its parameters, in lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let name = value.unwrap_or_default().split(';').next().unwrap_or_default();
    name.trim().to_ascii_lowercase()
}

/// The body is of another type than these. A page of another origin can send some types without asking, JSON is
/// not among them: that is why the type is not guessed.
pub(crate) fn other_media_type(found: String, accepted: &str) -> Problem {
    let detail = format!("the content type is {found:?}; accepted: {accepted}");
    Problem::new(Kind::MediaType, detail).with("Content-Type", found, accepted)
}

/// The whole body, if it comes within the time and is at most `bytes_max` long.
pub(crate) async fn read(request: Request, bytes_max: usize, limits: &Limits) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body has more than {bytes_max} bytes");
        Problem::new(Kind::TooLarge, detail).with("body", "more", format!("at most {bytes_max} bytes"))
    };
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > bytes_max) {
        return Err(too_large());
    }
    let body = axum::body::to_bytes(request.into_body(), bytes_max);
    match tokio::time::timeout(limits.body_timeout, body).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length(&error) => Err(too_large()),
        Ok(Err(error)) => Err(Problem::new(
            Kind::Malformed,
            format!("the body broke off: {error}"),
        )),
        Err(_) => {
            let seconds = limits.body_timeout.as_secs_f32();
            Err(Problem::new(
                Kind::Slow,
                format!("the body was not complete after {seconds} s"),
            ))
        }
    }
}

fn is_length(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.to_string() == "length limit exceeded" {
            return true;
        }
        source = error.source();
    }
    false
}

/// A JSON request body.
pub(crate) async fn json<T: DeserializeOwned>(request: Request, limits: &Limits) -> Result<T, Problem> {
    let media_type = media_type(request.headers());
    if media_type != "application/json" {
        return Err(other_media_type(media_type, "application/json"));
    }
    parse(&read(request, limits.body_bytes_max, limits).await?)
}

/// JSON to a typed value: 400 for what is no JSON, 422 with the field for what is not the right one.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    typed(value(bytes)?)
}

/// Any JSON.
pub(crate) fn value(bytes: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(bytes).map_err(no_json)
}

fn no_json(error: serde_json::Error) -> Problem {
    let what = match error.classify() {
        Category::Eof => "the JSON breaks off",
        _ => "the body is not JSON",
    };
    Problem::new(Kind::Malformed, format!("{what}: {error}"))
}

/// A JSON object to a typed value; the problem names the field.
pub(crate) fn typed<T: DeserializeOwned>(json: Value) -> Result<T, Problem> {
    if !json.is_object() {
        // Serde would take a list for a struct.
        return Err(Problem::invalid("body", json, "an object"));
    }
    serde_path_to_error::deserialize(&json).map_err(|error| {
        let path = error.path().clone();
        let reason = error.into_inner().to_string();
        let value = at(&json, &path);
        match reason
            .strip_prefix("missing field `")
            .and_then(|rest| rest.strip_suffix('`'))
        {
            Some(name) => {
                let field = if path.iter().len() == 0 {
                    name.to_owned()
                } else {
                    format!("{path}.{name}")
                };
                Problem::new(Kind::Invalid, format!("{field} is missing")).with(field, Value::Null, "")
            }
            None => {
                let detail = format!("{path}: {reason}");
                Problem::new(Kind::Invalid, detail).with(path.to_string(), value, accepted(&reason))
            }
        }
    })
}

/// The value at a path, null where there is none.
fn at(json: &Value, path: &serde_path_to_error::Path) -> Value {
    use serde_path_to_error::Segment;
    let found = path.iter().try_fold(json, |value, segment| match segment {
        Segment::Seq { index } => value.get(*index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { .. } | Segment::Unknown => Some(value),
    });
    found.cloned().unwrap_or_default()
}

/// The part of serde's message that says what it would have taken.
fn accepted(reason: &str) -> String {
    let marks = ["accepted: ", "accepted are ", "expected one of ", "expected "];
    let found = marks.iter().find_map(|mark| reason.split_once(mark));
    found.map_or_else(String::new, |(_, accepted)| accepted.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;
    use search::SearchRequest;
    use serde_json::json;

    fn refused(body: &str) -> Value {
        let problem = parse::<SearchRequest>(body.as_bytes()).unwrap_err();
        serde_json::to_value(problem).unwrap()
    }

    #[test]
    fn what_is_no_json_is_told_apart_from_the_wrong_json() {
        let broken = refused("{\"query\": ");
        assert_eq!(broken["status"], 400);
        assert!(
            broken["detail"].as_str().unwrap().contains("line 1 column"),
            "{broken}"
        );
        let wrong = refused(r#"{"query": "a", "mode": "psychic"}"#);
        assert_eq!((&wrong["status"], &wrong["field"]), (&json!(422), &json!("mode")));
        assert_eq!(wrong["value"], "psychic");
        assert_eq!(wrong["accepted"], "`lexical`, `dense`, `hybrid`");
    }

    #[test]
    fn a_field_deep_inside_is_named() {
        let wrong = refused(r#"{"query": "a", "rerank": {"top": -3}}"#);
        assert_eq!(
            (&wrong["field"], &wrong["value"]),
            (&json!("rerank.top"), &json!(-3))
        );
        let unknown = refused(r#"{"query": "a", "tpo": 3}"#);
        assert!(
            unknown["accepted"].as_str().unwrap().contains("`limit`"),
            "{unknown}"
        );
        let filter = refused(r#"{"query": "a", "filter": {"eq": {"lang": null}}}"#);
        assert_eq!(filter["field"], "filter");
        assert!(
            filter["detail"].as_str().unwrap().contains("filter.eq.lang"),
            "{filter}"
        );
    }

    #[test]
    fn a_body_of_another_shape_is_refused_as_a_whole() {
        assert_eq!(refused("[\"query\"]")["field"], "body");
        assert_eq!(refused("\"query\"")["field"], "body");
        assert_eq!(refused("{}")["field"], "query");
    }
}
