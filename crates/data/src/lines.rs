//! Lines of a text file: UTF-8, of bounded length, with a byte order mark and line ends taken off.

use std::io::{self, BufRead};
use std::path::Path;
use std::sync::Arc;

use crate::error::{DataError, Place, Reason};
use crate::source::{self, Meter};

/// The longest line, row or single-document file, in bytes: 10 MiB.
pub const RECORD_BYTES_MAX: usize = 10 << 20;

/// The lines of a file that hold more than white space, with their numbers from 1.
///
/// A line that is too long or not UTF-8 is an error, and reading goes on after it. An error of the operating
/// system ends the file.
pub struct Lines {
    input: Box<dyn BufRead + Send>,
    file: Arc<Path>,
    line: u64,
    with_blank: bool,
    ended: bool,
}

impl Lines {
    /// Opens a file; `.zst` and `.gz` are decompressed, `-` is the standard input.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        Self::metered(&Arc::from(path), &Meter::default())
    }

    pub(crate) fn metered(file: &Arc<Path>, meter: &Meter) -> Result<Self, DataError> {
        let input = source::open(file, meter).map_err(|error| DataError::new(Place::file(file), error))?;
        Ok(Self {
            input,
            file: Arc::clone(file),
            line: 0,
            with_blank: false,
            ended: false,
        })
    }

    /// The same lines, with those that hold nothing but white space.
    pub(crate) fn with_blank(self) -> Self {
        Self {
            with_blank: true,
            ..self
        }
    }

    /// The file that is read.
    pub(crate) fn file(&self) -> &Arc<Path> {
        &self.file
    }

    fn fail(&self, reason: impl Into<Reason>) -> DataError {
        DataError::new(Place::line(&self.file, self.line), reason)
    }
}

impl Iterator for Lines {
    type Item = Result<(u64, String), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            self.line += 1;
            let mut bytes = Vec::new();
            match read_line(self.input.as_mut(), &mut bytes, RECORD_BYTES_MAX) {
                Err(error) => {
                    self.ended = true;
                    return Some(Err(self.fail(error)));
                }
                Ok(Line::End) => self.ended = true,
                Ok(Line::TooLong) => {
                    let reason = Reason::TooLong {
                        what: "a line",
                        bytes_max: RECORD_BYTES_MAX,
                    };
                    return Some(Err(self.fail(reason)));
                }
                Ok(Line::Whole) => match decode(bytes, self.line == 1) {
                    Ok(text) if text.trim().is_empty() && !self.with_blank => {}
                    Ok(text) => return Some(Ok((self.line, text))),
                    Err(NotUtf8 { byte, before, lossy }) => {
                        let column = before.chars().count() as u64 + 1;
                        let error = self.fail(Reason::NotUtf8(byte)).at_column(Some(column));
                        return Some(Err(error.with_raw(&lossy)));
                    }
                },
            }
        }
        None
    }
}

enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads up to the next line feed. Of a line that is too long the rest is passed over without keeping it.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>, bytes_max: usize) -> io::Result<Line> {
    let (mut started, mut too_long) = (false, false);
    loop {
        let available = match input.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = available.iter().position(|&byte| byte == b'\n');
        let take = &available[..end.unwrap_or(available.len())];
        started |= !available.is_empty();
        too_long |= line.len() + take.len() > bytes_max;
        if too_long {
            line.clear();
        } else {
            line.extend_from_slice(take);
        }
        let (consumed, at_end) = (end.map_or(available.len(), |end| end + 1), available.is_empty());
        input.consume(consumed);
        if end.is_some() || at_end {
            return Ok(match (started, too_long) {
                (false, _) => Line::End,
                (true, true) => Line::TooLong,
                (true, false) => Line::Whole,
            });
        }
    }
}

/// The first byte that is not UTF-8, with the text before it.
pub(crate) struct NotUtf8 {
    pub(crate) byte: u8,
    pub(crate) before: String,
    pub(crate) lossy: String,
}

/// Bytes as text; at the start of a file a byte order mark is taken off, at the end of a line the return.
pub(crate) fn decode(mut bytes: Vec<u8>, first: bool) -> Result<String, NotUtf8> {
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    if first && bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        NotUtf8 {
            byte: bytes[valid],
            before: String::from_utf8_lossy(&bytes[..valid]).into_owned(),
            lossy: String::from_utf8_lossy(bytes).into_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;
    use crate::tests::write;

    fn lines(bytes: &[u8]) -> Vec<Result<(u64, String), String>> {
        let (_folder, path) = write("lines.txt", bytes);
        let lines = Lines::open(&path).unwrap();
        lines
            .map(|line| line.map_err(|error| error.to_string().split_once("lines.txt").unwrap().1.to_owned()))
            .collect()
    }

    #[test]
    fn marks_returns_and_empty_lines_are_taken_off() {
        let read = lines(b"\xef\xbb\xbfone\r\n\r\n  \ntwo\n\nthree");
        let expected = [(1, "one"), (4, "two"), (6, "three")];
        assert_eq!(read, expected.map(|(line, text)| Ok((line, text.to_owned()))));
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn a_bad_byte_is_named_with_its_column_and_reading_goes_on() {
        let read = lines("a\nüb\u{0}x\nc".replace('\u{0}', "\u{1}").as_bytes());
        assert_eq!(read.len(), 3);
        let read = lines(b"a\n\xc3\xbcb\xffc\nd\n");
        assert_eq!(
            read[1],
            Err(":2:3: byte 0xff is not valid UTF-8; accepted: UTF-8".to_owned())
        );
        assert_eq!(read[2], Ok((3, "d".to_owned())));
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let mut bytes = b"a\n".to_vec();
        bytes.resize(bytes.len() + RECORD_BYTES_MAX + 1, b'x');
        bytes.extend_from_slice(b"\nb\n");
        let read = lines(&bytes);
        assert_eq!(
            read[1],
            Err(":2: a line of more than 10485760 bytes; accepted: up to 10485760".to_owned())
        );
        assert_eq!(read[2], Ok((3, "b".to_owned())));
        let exact = lines(&vec![b'x'; RECORD_BYTES_MAX]);
        assert!(exact[0].is_ok());
    }
}
