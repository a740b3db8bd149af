//! Plain text of which each line is a document: what tools that embed sentences expect of a `.txt` file.

use std::path::Path;
use std::sync::Arc;

use corpus::{Document, DocumentId, Metadata};

use crate::error::{DataError, Located, Place, Reason};
use crate::lines::Lines;
use crate::source::Meter;

/// The lines of a file, without title; a line without text is an error, so that none is lost silently.
pub(crate) fn documents(
    file: &Arc<Path>,
    name: String,
    meter: &Meter,
) -> Result<impl Iterator<Item = Result<Located<Document>, DataError>> + Send + use<>, DataError> {
    let lines = Lines::metered(file, meter)?.with_blank();
    let file = Arc::clone(file);
    Ok(lines.map(move |line| {
        let (line, text) = line?;
        let place = Place::line(&file, line);
        if text.trim().is_empty() {
            return Err(DataError::new(place, Reason::NoText));
        }
        let id = DocumentId::new(format!("{name}#{line}"))
            .map_err(|error| DataError::new(place.clone(), error))?;
        let value = Document {
            id,
            title: String::new(),
            text,
            metadata: Metadata::new(),
        };
        Ok(Located { value, place })
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use crate::tests::write;
    use crate::{ReadSettings, documents};

    #[test]
    fn each_line_is_a_document_and_an_empty_one_an_error() {
        let (_folder, path) = write("in.txt", b"\xef\xbb\xbfone\r\n\n\xff\nlast");
        let settings = ReadSettings {
            text_lines: true,
            ..ReadSettings::default()
        };
        let read = documents(&[path], &settings).unwrap().map(|read| match read {
            Ok(read) => format!("{} {}", read.value.id, read.value.text),
            Err(error) => error.to_string().split_once("in.txt").unwrap().1.to_owned(),
        });
        let expected = [
            "in.txt#1 one",
            ":2: the document has no text; accepted: at least one character that is not a space",
            ":3:1: byte 0xff is not valid UTF-8; accepted: UTF-8",
            "in.txt#4 last",
        ];
        assert_eq!(read.collect::<Vec<_>>(), expected);
    }
}
