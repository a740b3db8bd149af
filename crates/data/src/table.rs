//! CSV (RFC 4180) and TSV with a header row.
//!
//! In TSV a quote is a character like any other, as the registration of `text/tab-separated-values` has it.
//! Line ends inside quoted fields are read as line feeds.

use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corpus::Document;
use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::{Map, Value as Json};

use crate::error::{DataError, Located, Place, Reason};
use crate::lines::RECORD_BYTES_MAX;
use crate::mapping::{Cells, Mapping};
use crate::source::{self, Meter};

/// Documents out of the rows of a table; `name` begins the ids of those that have none.
pub(crate) fn documents(
    file: &Arc<Path>,
    name: String,
    mapping: Mapping,
    delimiter: u8,
    meter: &Meter,
) -> Result<Rows, DataError> {
    let fail = |error| DataError::new(Place::file(file), error);
    let budget = Arc::new(AtomicUsize::new(RECORD_BYTES_MAX));
    let input = Bounded {
        inner: source::open(file, meter).map_err(fail)?,
        budget: Arc::clone(&budget),
        last: b'\n',
    };
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .quoting(delimiter != b'\t')
        .flexible(true)
        .from_reader(input);
    let header = header(&mut reader, file)?;
    let file = Arc::clone(file);
    Ok(Rows {
        reader,
        header,
        file,
        name,
        mapping,
        budget,
        ended: false,
    })
}

fn header(reader: &mut Reader<Bounded>, file: &Arc<Path>) -> Result<Vec<String>, DataError> {
    let place = Place::line(file, 1);
    let record = match reader.byte_headers() {
        Ok(record) => record.clone(),
        Err(error) => return Err(unreadable(error, place)),
    };
    let mut names: Vec<String> = Vec::new();
    for (field, bytes) in record.iter().enumerate() {
        let name = std::str::from_utf8(bytes).map_err(|error| not_utf8(&place, field, bytes, error))?;
        if names.iter().any(|earlier| earlier == name) {
            let reason = Reason::Settings(format!(
                "the header names {name:?} twice; accepted: distinct names"
            ));
            return Err(DataError::new(place, reason).at_column(Some(field as u64 + 1)));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// The rows of a table as documents.
pub(crate) struct Rows {
    reader: Reader<Bounded>,
    header: Vec<String>,
    file: Arc<Path>,
    name: String,
    mapping: Mapping,
    budget: Arc<AtomicUsize>,
    ended: bool,
}

impl Iterator for Rows {
    type Item = Result<Located<Document>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        self.budget.store(RECORD_BYTES_MAX, Ordering::Relaxed);
        let mut record = ByteRecord::new();
        match self.reader.read_byte_record(&mut record) {
            Ok(true) => Some(self.document(&record)),
            Ok(false) => None,
            Err(error) => {
                self.ended = true;
                let place = Place::line(&self.file, self.reader.position().line());
                Some(Err(unreadable(error, place)))
            }
        }
    }
}

impl Rows {
    fn document(&self, record: &ByteRecord) -> Result<Located<Document>, DataError> {
        // The reader stands behind the line feed that ends the row. Where it says that the row began, empty
        // lines before it are counted in.
        let within = record.as_slice().iter().filter(|&&byte| byte == b'\n').count() as u64;
        let line = self.reader.position().line() - 1 - within;
        let place = Place::line(&self.file, line);
        let raw = || {
            record
                .iter()
                .map(String::from_utf8_lossy)
                .collect::<Vec<_>>()
                .join("\t")
        };
        let (expected, found) = (self.header.len(), record.len());
        if found != expected {
            let error = DataError::new(place, Reason::Fields { expected, found });
            return Err(error.with_raw(&raw()));
        }
        let mut row = Map::new();
        for (field, (name, bytes)) in self.header.iter().zip(record).enumerate() {
            let cell = std::str::from_utf8(bytes)
                .map_err(|error| not_utf8(&place, field, bytes, error).with_raw(&raw()))?;
            // A table has no other way to leave a value out.
            if !cell.is_empty() {
                row.insert(name.clone(), Json::String(cell.to_owned()));
            }
        }
        let generated = || format!("{}#{line}", self.name);
        match self.mapping.document(&row, Cells::Text, generated) {
            Ok(value) => Ok(Located { value, place }),
            Err(mismatch) => {
                let field = mismatch.field.as_ref();
                let column = field.and_then(|field| self.header.iter().position(|name| name == field));
                let error = DataError::new(place, mismatch.reason);
                Err(error
                    .at_column(column.map(|column| column as u64 + 1))
                    .with_raw(&raw()))
            }
        }
    }
}

fn not_utf8(place: &Place, field: usize, bytes: &[u8], error: std::str::Utf8Error) -> DataError {
    let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
    DataError::new(place.clone(), Reason::NotUtf8(byte)).at_column(Some(field as u64 + 1))
}

fn unreadable(error: csv::Error, place: Place) -> DataError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) => {
            let reason = Reason::TooLong {
                what: "a row (is a quote never closed?)",
                bytes_max: RECORD_BYTES_MAX,
            };
            DataError::new(place, reason)
        }
        csv::ErrorKind::Io(error) => DataError::new(place, error),
        other => DataError::new(place, Reason::Damaged(format!("{other:?}"))),
    }
}

/// Stops reading when one row takes more than the budget: a quote that is never closed would else pull the
/// whole file into memory. Passes every line end on as a line feed, and one at the end of the file, so that
/// lines can be counted.
struct Bounded {
    inner: Box<dyn BufRead + Send>,
    budget: Arc<AtomicUsize>,
    /// The last byte that was read.
    last: u8,
}

#[derive(Debug, thiserror::Error)]
#[error("a row is too long")]
struct TooLong;

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.budget.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::Error::other(TooLong));
        }
        loop {
            let bytes = self.inner.read(buffer)?;
            if bytes == 0 && self.last != b'\n' && self.last != b'\r' && !buffer.is_empty() {
                (buffer[0], self.last) = (b'\n', b'\n');
                return Ok(1);
            }
            let kept = self.line_feeds(&mut buffer[..bytes]);
            if kept > 0 || bytes == 0 {
                self.budget.store(left.saturating_sub(kept), Ordering::Relaxed);
                return Ok(kept);
            }
        }
    }
}

impl Bounded {
    /// Makes every line end a line feed, in place; returns how many bytes are left.
    fn line_feeds(&mut self, bytes: &mut [u8]) -> usize {
        let mut kept = 0;
        for at in 0..bytes.len() {
            let byte = bytes[at];
            if byte != b'\n' || self.last != b'\r' {
                bytes[kept] = if byte == b'\r' { b'\n' } else { byte };
                kept += 1;
            }
            self.last = byte;
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;
    use crate::Format;
    use crate::tests::read;

    #[test]
    fn rows_are_read_and_bad_ones_named() {
        let text = b"\xef\xbb\xbfid,text,year\r\na,\"x, \"\"y\"\"\r\nz\",1999\r\n\r\nb,x\r\nc,\xff,\r\nd,,1\r\n,w,2\r\n";
        let expected = [
            "2 a",
            "5: 2 fields; accepted: 3, as many as the header has",
            "6:2: byte 0xff is not valid UTF-8; accepted: UTF-8",
            "7: field \"text\" is missing; present: id, year",
            "8 in.csv#8",
        ];
        assert_eq!(read("in.csv", text, Format::Csv, Mapping::default()), expected);
        let feeds = String::from_utf8_lossy(text).replace('\r', "");
        let found = read("in.csv", feeds.as_bytes(), Format::Csv, Mapping::default());
        assert_eq!((found[0].as_str(), found[4].as_str()), ("2 a", "8 in.csv#8"));
        assert_eq!(
            read("in.csv", b"text\n\nx", Format::Csv, Mapping::default()),
            ["3 in.csv#3"]
        );
    }

    #[test]
    fn a_field_that_cannot_be_an_id_is_named_by_its_number() {
        let text = b"text\tname\nx\ta\x01b\n\"y\tc\n";
        let mapping = Mapping {
            id: Some("name".to_owned()),
            ..Mapping::default()
        };
        let found = read("in.tsv", text, Format::Tsv, mapping);
        assert!(
            found[0].starts_with("2:2: document id \"a\\u{1}b\" has the control character"),
            "{found:?}"
        );
        assert_eq!(found[1], "3 c");
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_take_the_whole_file() {
        let mut text = b"id,text\na,x\nb,\"".to_vec();
        text.resize(text.len() + 2 * RECORD_BYTES_MAX, b'x');
        let found = read("in.csv", &text, Format::Csv, Mapping::default());
        assert_eq!(found.len(), 2);
        assert!(
            found[1].starts_with("3: a row (is a quote never closed?) of more than"),
            "{found:?}"
        );
    }

    #[test]
    fn a_header_names_each_field_once() {
        let found = read("in.csv", b"id,text,id\n", Format::Csv, Mapping::default());
        assert_eq!(
            found,
            ["1:3: the header names \"id\" twice; accepted: distinct names"]
        );
    }
}
