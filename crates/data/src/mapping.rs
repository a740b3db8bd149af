//! Which field of a record is the id, the title, the text, and which ones are metadata.

use std::path::Path;
use std::sync::Arc;

use corpus::{Document, DocumentId, Metadata, Value};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::error::{DataError, Place, Reason};

/// Which field of a record is what. Dotted paths reach into objects and into the members of lists:
/// `sections.paragraphs` are all paragraphs of all sections.
///
/// ```toml
/// id = "doi"
/// title = "name"
/// text = ["abstract", "body"]     # joined by an empty line
/// metadata = ["year", "author"]   # all other fields when left out, none when empty
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// The id; by default `_id` or `id`, and a generated one for a record that has neither.
    pub id: Option<String>,
    /// The title; by default `title`, where there is one.
    pub title: Option<String>,
    /// The text; by default `text`.
    #[serde(deserialize_with = "one_or_many")]
    pub text: Vec<String>,
    /// The metadata; by default all fields that are nothing else.
    pub metadata: Option<Vec<String>>,
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(input)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

impl Mapping {
    /// Reads a mapping from a TOML file.
    ///
    /// # Errors
    /// Names the line and column of what is not accepted.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file: Arc<Path> = Arc::from(path);
        let text =
            std::fs::read_to_string(path).map_err(|error| DataError::new(Place::file(&file), error))?;
        toml::from_str(&text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let before = text.get(..start).unwrap_or_default();
            let line = before.matches('\n').count() as u64 + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
            DataError::new(
                Place::line(&file, line),
                Reason::Settings(error.message().to_owned()),
            )
            .at_column(Some(column))
        })
    }
}

/// Why a record is no document, and the field that is to blame.
#[derive(Debug)]
pub(crate) struct Mismatch {
    pub(crate) reason: Reason,
    pub(crate) field: Option<String>,
}

impl Mismatch {
    fn new(field: &str, reason: Reason) -> Self {
        Self {
            reason,
            field: Some(field.to_owned()),
        }
    }

    fn kind(field: &str, found: &Json, accepted: &'static str) -> Self {
        let found = match found {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "a string",
            Json::Array(_) => "a list",
            Json::Object(_) => "an object",
        };
        let (field_name, found) = (field.to_owned(), found.to_owned());
        let reason = Reason::Kind {
            field: field_name,
            found,
            accepted,
        };
        Self::new(field, reason)
    }

    fn missing(field: &str, row: &Map<String, Json>) -> Self {
        let present: Vec<&str> = row.keys().take(20).map(String::as_str).collect();
        let present = match present.is_empty() {
            true => "none".to_owned(),
            false => present.join(", "),
        };
        let reason = Reason::Missing {
            field: field.to_owned(),
            present,
        };
        Self { reason, field: None }
    }
}

/// What the cells of a row are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cells {
    /// Values with kinds of their own.
    Typed,
    /// Text; in metadata, what reads as a number or boolean is one.
    Text,
}

impl Mapping {
    /// Makes a document of a record; `generated` is its id when it has none.
    pub(crate) fn document(
        &self,
        row: &Map<String, Json>,
        cells: Cells,
        generated: impl FnOnce() -> String,
    ) -> Result<Document, Mismatch> {
        let (id_field, id) = self.id(row)?;
        let title = self.title(row)?;
        let mut text = self.text(row)?;
        // What has only a title is about that title.
        if text.trim().is_empty() {
            text.clone_from(&title);
        }
        if text.trim().is_empty() {
            let field = self.text.first().map_or("text", String::as_str);
            return Err(Mismatch::new(field, Reason::NoText));
        }
        let id = DocumentId::new(id.unwrap_or_else(generated)).map_err(|error| Mismatch {
            reason: error.into(),
            field: id_field.map(str::to_owned),
        })?;
        let metadata = match &self.metadata {
            Some(fields) => chosen(row, fields, cells)?,
            None => self.others(row, id_field, cells)?,
        };
        Ok(Document {
            id,
            title,
            text,
            metadata,
        })
    }

    fn id<'a>(&'a self, row: &Map<String, Json>) -> Result<(Option<&'a str>, Option<String>), Mismatch> {
        let default = ["_id", "id"].into_iter().find(|field| row.contains_key(*field));
        let Some(field) = self.id.as_deref().or(default) else {
            return Ok((None, None));
        };
        match find(row, field).as_slice() {
            [Json::String(id)] => Ok((Some(field), Some(id.clone()))),
            [Json::Number(id)] if !id.is_f64() => Ok((Some(field), Some(id.to_string()))),
            [] | [Json::Null] if self.id.is_none() => Ok((Some(field), None)),
            [] => Err(Mismatch::missing(field, row)),
            [other, ..] => Err(Mismatch::kind(field, other, "one string or whole number")),
        }
    }

    fn title(&self, row: &Map<String, Json>) -> Result<String, Mismatch> {
        let field = self.title.as_deref().unwrap_or("title");
        match find(row, field).as_slice() {
            [] | [Json::Null] => Ok(String::new()),
            [Json::String(title)] => Ok(title.trim().to_owned()),
            [other, ..] => Err(Mismatch::kind(field, other, "one string or null")),
        }
    }

    fn text(&self, row: &Map<String, Json>) -> Result<String, Mismatch> {
        let default = ["text".to_owned()];
        let fields = if self.text.is_empty() {
            &default[..]
        } else {
            &self.text
        };
        let mut parts = Vec::new();
        for field in fields {
            let found = find(row, field);
            if found.is_empty() {
                return Err(Mismatch::missing(field, row));
            }
            for value in found {
                collect_text(field, value, &mut parts)?;
            }
        }
        Ok(parts.join("\n\n"))
    }

    /// All fields that are neither id, title nor text.
    fn others(&self, row: &Map<String, Json>, id: Option<&str>, cells: Cells) -> Result<Metadata, Mismatch> {
        let mut used = vec![id.unwrap_or("_id"), self.title.as_deref().unwrap_or("title")];
        match self.text.is_empty() {
            true => used.push("text"),
            false => used.extend(self.text.iter().map(String::as_str)),
        }
        let is_used = |key: &str| {
            used.iter()
                .any(|path| *path == key || path.starts_with(&format!("{key}.")))
        };
        let mut metadata = Metadata::new();
        for (key, value) in row.iter().filter(|(key, _)| !is_used(key)) {
            match value {
                // The BEIR layout keeps its metadata in an object of that name.
                Json::Object(inner) if key == "metadata" => {
                    for (key, value) in inner {
                        let taken = row.contains_key(key) && !is_used(key);
                        let name = if taken {
                            format!("metadata.{key}")
                        } else {
                            key.clone()
                        };
                        flatten(name, value, cells, &mut metadata)?;
                    }
                }
                value => flatten(key.clone(), value, cells, &mut metadata)?,
            }
        }
        Ok(metadata)
    }
}

/// Everything at a dotted path; a key that itself has dots comes first.
fn find<'a>(row: &'a Map<String, Json>, path: &str) -> Vec<&'a Json> {
    if let Some(value) = row.get(path) {
        return vec![value];
    }
    let mut found = Vec::new();
    for (dot, _) in path.match_indices('.') {
        match row.get(&path[..dot]) {
            Some(Json::Object(inner)) => found.extend(find(inner, &path[dot + 1..])),
            Some(Json::Array(members)) => {
                let objects = members.iter().filter_map(Json::as_object);
                found.extend(objects.flat_map(|inner| find(inner, &path[dot + 1..])));
            }
            _ => {}
        }
    }
    found
}

fn collect_text(field: &str, value: &Json, parts: &mut Vec<String>) -> Result<(), Mismatch> {
    match value {
        Json::Null => {}
        Json::String(text) if text.trim().is_empty() => {}
        Json::String(text) => parts.push(text.clone()),
        Json::Array(members) => {
            for member in members {
                collect_text(field, member, parts)?;
            }
        }
        other => return Err(Mismatch::kind(field, other, "a string or a list of strings")),
    }
    Ok(())
}

fn chosen(row: &Map<String, Json>, fields: &[String], cells: Cells) -> Result<Metadata, Mismatch> {
    let mut metadata = Metadata::new();
    for field in fields {
        match find(row, field).as_slice() {
            [] => {}
            [one] => flatten(field.clone(), one, cells, &mut metadata)?,
            many => {
                let many = Json::Array(many.iter().map(|&value| value.clone()).collect());
                flatten(field.clone(), &many, cells, &mut metadata)?;
            }
        }
    }
    Ok(metadata)
}

/// Puts a value under its name; the entries of an object under `name.entry`. Null is no value.
fn flatten(name: String, value: &Json, cells: Cells, metadata: &mut Metadata) -> Result<(), Mismatch> {
    let value = match value {
        Json::Null => return Ok(()),
        Json::Object(inner) => {
            for (key, value) in inner {
                flatten(format!("{name}.{key}"), value, cells, metadata)?;
            }
            return Ok(());
        }
        Json::String(text) if cells == Cells::Text => read_cell(text),
        Json::Array(members) => {
            let members = members
                .iter()
                .filter(|member| !member.is_null())
                .cloned()
                .collect();
            Value::try_from(Json::Array(members))
        }
        other => Value::try_from(other.clone()),
    };
    match value {
        Ok(value) => {
            metadata.insert(name, value);
            Ok(())
        }
        Err(source) => Err(Mismatch::new(
            &name.clone(),
            Reason::Metadata { field: name, source },
        )),
    }
}

/// A cell of a table as a value. Only a number in its plain form is one: `007` and `1.10` stay text.
fn read_cell(text: &str) -> Result<Value, corpus::MetadataError> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    Ok(match (text, number) {
        ("true", _) => Value::Boolean(true),
        ("false", _) => Value::Boolean(false),
        (_, Some(number)) if number.to_string() == text => Value::Number(number),
        _ => Value::from_text(text),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;
    use crate::tests::write;

    fn map(mapping: &str, row: &str) -> Result<Document, String> {
        let mapping: Mapping = toml::from_str(mapping).unwrap();
        let row: Map<String, Json> = serde_json::from_str(row).unwrap();
        let document = mapping.document(&row, Cells::Typed, || "file#1".to_owned());
        document.map_err(|mismatch| mismatch.reason.to_string())
    }

    fn metadata(document: &Document) -> String {
        serde_json::to_string(&document.metadata).unwrap()
    }

    #[test]
    fn the_usual_names_need_no_mapping() {
        let beir = r#"{"_id":"7","title":"T","text":"x","metadata":{"year":1999,"url":null},"year":2000}"#;
        let document = map("", beir).unwrap();
        assert_eq!((document.id.as_str(), document.title.as_str()), ("7", "T"));
        assert_eq!(metadata(&document), r#"{"metadata.year":1999,"year":2000}"#);
        assert_eq!(map("", r#"{"text":"x"}"#).unwrap().id.as_str(), "file#1");
        assert_eq!(map("", r#"{"id":12,"text":"x"}"#).unwrap().id.as_str(), "12");
        assert_eq!(map("", r#"{"title":"T","text":""}"#).unwrap().text, "T");
    }

    #[test]
    fn paths_reach_into_objects_and_lists() {
        let row =
            r#"{"meta":{"doi":"d/1"},"head":"H","s":[{"p":["a","b"]},{"p":"c","q":1}],"by":{"name":"N"}}"#;
        let document = map("id = 'meta.doi'\ntitle = 'head'\ntext = ['head', 's.p']", row).unwrap();
        assert_eq!(document.id.as_str(), "d/1");
        assert_eq!(document.text, "H\n\na\n\nb\n\nc");
        assert_eq!(metadata(&document), r#"{"by.name":"N"}"#);
        let document = map("text = 's.p'\nmetadata = ['by.name', 's.q']", row).unwrap();
        assert_eq!(metadata(&document), r#"{"by.name":"N","s.q":1}"#);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (mapping, row, expected) in [
            (
                "",
                r#"{"id":"a","body":"x"}"#,
                "field \"text\" is missing; present: id, body",
            ),
            (
                "",
                r#"{"text":7}"#,
                "field \"text\" is a number; accepted: a string or a list of strings",
            ),
            (
                "",
                r#"{"id":1.5,"text":"x"}"#,
                "field \"id\" is a number; accepted: one string or whole number",
            ),
            (
                "",
                r#"{"title":[],"text":"x"}"#,
                "field \"title\" is a list; accepted: one string or null",
            ),
            (
                "id = 'key'",
                r#"{"text":"x"}"#,
                "field \"key\" is missing; present: text",
            ),
            (
                "",
                r#"{"id":"","text":"x"}"#,
                "document id is empty; accepted are 1 to 512 bytes",
            ),
            (
                "",
                r#"{"text":" \n"}"#,
                "the document has no text; accepted: at least one character that is not a space",
            ),
            (
                "",
                r#"{"text":"x","a":[{"b":1}]}"#,
                "field \"a\": metadata value {\"b\":1} is an object",
            ),
        ] {
            let error = map(mapping, row).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(
            map("metadata = []", r#"{"text":"x","a":[{"b":1}]}"#)
                .unwrap()
                .metadata
                .is_empty()
        );
    }

    #[test]
    fn cells_of_text_become_values_only_in_their_plain_form() {
        let kinds = ["7", "-0.5", "007", "1.10", "true", "2024-05-31", "nan", "x"]
            .map(|cell| read_cell(cell).unwrap().kind());
        let expected = [
            "number", "number", "string", "string", "boolean", "date", "string", "string",
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn a_bad_mapping_file_names_its_line() {
        let (_folder, path) = write("map.toml", b"id = \"a\"\ntxt = \"b\"\n");
        let error = Mapping::open(&path).unwrap_err().to_string();
        assert!(error.contains("map.toml:2:1: unknown field `txt`"), "{error}");
    }
}
