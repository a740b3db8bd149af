//! JSON Lines: one object a line. Empty lines are passed over; `.zst` and `.gz` files are decompressed.

use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use corpus::Document;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::error::{DataError, Located, Place, Reason};
use crate::lines::Lines;
use crate::mapping::{Cells, Mapping};
use crate::source::Meter;

/// The records of a JSON Lines file, each read as a `T`.
///
/// # Errors
/// When the file cannot be opened; the iterator itself names line and column of what is not a `T`, and goes on.
pub fn records<T: DeserializeOwned>(path: &Path) -> Result<Records<T>, DataError> {
    let lines = Lines::open(path)?;
    let kind = PhantomData;
    Ok(Records { lines, kind })
}

/// See [`records`].
pub struct Records<T> {
    lines: Lines,
    kind: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Iterator for Records<T> {
    type Item = Result<Located<T>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.lines.next()?.and_then(|(line, text)| {
            let place = Place::line(self.lines.file(), line);
            let value = parse(&place, &text)?;
            Ok(Located { value, place })
        }))
    }
}

/// Documents out of JSON Lines; `name` begins the ids of those that have none.
pub(crate) fn documents(
    file: &Arc<Path>,
    name: String,
    mapping: Mapping,
    meter: &Meter,
) -> Result<impl Iterator<Item = Result<Located<Document>, DataError>> + Send + use<>, DataError> {
    let lines = Lines::metered(file, meter)?;
    let file = Arc::clone(file);
    Ok(lines.map(move |line| {
        let (line, text) = line?;
        let place = Place::line(&file, line);
        let row: Map<String, Json> = parse(&place, &text)?;
        match mapping.document(&row, Cells::Typed, || format!("{name}#{line}")) {
            Ok(value) => Ok(Located { value, place }),
            Err(mismatch) => {
                let column = mismatch.field.and_then(|field| column_of(&text, &field));
                let error = DataError::new(place, mismatch.reason);
                Err(error.at_column(column).with_raw(&text))
            }
        }
    }))
}

fn parse<T: DeserializeOwned>(place: &Place, text: &str) -> Result<T, DataError> {
    serde_json::from_str(text).map_err(|error| {
        let byte = error.column().saturating_sub(1).min(text.len());
        let column = characters_before(text, byte) + 1;
        DataError::new(place.clone(), Reason::json(&error))
            .at_column(Some(column))
            .with_raw(text)
    })
}

fn characters_before(text: &str, byte: usize) -> u64 {
    text.char_indices().take_while(|(at, _)| *at < byte).count() as u64
}

/// Where the value of a field stands in the text of an object: the character, from 1. Of a dotted path the
/// first key counts.
fn column_of(object: &str, path: &str) -> Option<u64> {
    let bytes = object.as_bytes();
    let wanted = |key: &str| key == path || path.starts_with(&format!("{key}."));
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let end = string_end(bytes, at);
                let colon = skip_spaces(bytes, end);
                let is_key = depth == 1 && bytes.get(colon) == Some(&b':');
                if is_key && object.get(at + 1..end - 1).is_some_and(wanted) {
                    let value = skip_spaces(bytes, colon + 1);
                    return Some(characters_before(object, value) + 1);
                }
                at = end - 1;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The byte after the closing quote of the string that opens at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn skip_spaces(bytes: &[u8], start: usize) -> usize {
    let spaces = bytes
        .iter()
        .skip(start)
        .take_while(|byte| byte.is_ascii_whitespace());
    start + spaces.count()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;
    use crate::tests::{read, write};
    use crate::{Format, Mapping};

    #[test]
    fn good_lines_are_read_and_bad_ones_named_with_line_and_column() {
        let text = concat!(
            "\u{feff}{\"id\":\"a\",\"text\":\"x\"}\r\n",
            "\n",
            "{\"id\":\"b\",\"text\":}\n",
            "{\"id\":\"ü\", \"text\": 7}\n",
            "{\"id\":\"c\",\"te",
            "\n[1]\n",
            "{\"text\":\"y\",\"k\":1}\n",
        );
        let expected = [
            "1 a",
            "3:18: not valid JSON: expected value",
            "4:20: field \"text\" is a number; accepted: a string or a list of strings",
            "5:13: not valid JSON: EOF while parsing a string",
            "6:1: not valid JSON: invalid type: sequence, expected a map",
            "7 in.jsonl#7",
        ];
        assert_eq!(
            read("in.jsonl", text.as_bytes(), Format::Jsonl, Mapping::default()),
            expected
        );
    }

    #[test]
    fn compressed_files_are_read_and_damaged_ones_named() {
        let plain = b"{\"id\":\"a\",\"text\":\"x\"}\n";
        let packed = zstd::encode_all(&plain[..], 3).unwrap();
        let read = |bytes: &[u8]| read("in.jsonl.zst", bytes, Format::Jsonl, Mapping::default());
        assert_eq!(read(&packed), ["1 a"]);
        assert!(
            read(&packed[..packed.len() - 4])
                .iter()
                .any(|line| line.contains("incomplete frame"))
        );
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gz, plain).unwrap();
        let gz = gz.finish().unwrap();
        assert_eq!(
            crate::tests::read("in.jsonl.gz", &gz, Format::Jsonl, Mapping::default()),
            ["1 a"]
        );
    }

    #[test]
    fn typed_records_name_what_they_miss() {
        #[derive(serde::Deserialize)]
        struct Pair {
            query: String,
        }
        let (_folder, path) = write("pairs.jsonl", b"{\"query\":\"q\"}\n{\"q\":1}\n");
        let read: Vec<_> = records::<Pair>(&path).unwrap().collect();
        assert_eq!(read[0].as_ref().unwrap().value.query, "q");
        let error = read[1].as_ref().err().unwrap().to_string();
        assert!(
            error.ends_with("pairs.jsonl:2:7: not valid JSON: missing field `query`"),
            "{error}"
        );
    }

    #[test]
    fn the_column_of_a_field_is_that_of_its_value() {
        let object = r#"{"a": {"text": 1}, "b\"": [1], "text" : 7}"#;
        assert_eq!(column_of(object, "text"), Some(41));
        assert_eq!(column_of(object, "a.text"), Some(7));
        assert_eq!(column_of(object, "c"), None);
        assert_eq!(column_of("\"\\", "c"), None);
    }
}
