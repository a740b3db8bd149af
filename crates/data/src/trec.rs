//! Judgments and runs in the form of `trec_eval`, and judgments in the form of BEIR.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::error::{DataError, Place, Reason};
use crate::lines::Lines;

/// That a document answers a query, and how well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgment {
    /// Id of the query.
    pub query: String,
    /// Id of the document.
    pub document: String,
    /// How well: 0 not at all, greater is better. Negative grades occur and mean the same as 0.
    pub grade: i64,
}

/// One line of a run: a document that a system found for a query.
#[derive(Debug, Clone, PartialEq)]
pub struct RunLine {
    /// Id of the query.
    pub query: String,
    /// Id of the document.
    pub document: String,
    /// Its place in the list, as written; evaluation goes by the score.
    pub rank: u64,
    /// Its score; finite.
    pub score: f64,
}

/// Reads judgments: four fields `query iteration document grade` (TREC), or three tab-separated fields
/// `query document grade`, with or without a header row (BEIR).
///
/// # Errors
/// Names the line and the field of what is no judgment.
pub fn read_qrels(path: &Path) -> Result<Vec<Judgment>, DataError> {
    let file: Arc<Path> = Arc::from(path);
    let mut judgments = Vec::new();
    for line in Lines::open(path)? {
        let (line, text) = line?;
        let fields = fields(&text, 3);
        let (query, document, grade) = match fields.as_slice() {
            [query, document, grade] => (query, document, grade),
            [query, _iteration, document, grade] => (query, document, grade),
            _ => return Err(unlike(&file, line, &text, "3 or 4 fields")),
        };
        match grade.parse() {
            Ok(grade) => judgments.push(Judgment {
                query: (*query).to_owned(),
                document: (*document).to_owned(),
                grade,
            }),
            // The header row of BEIR.
            Err(_) if line == 1 && fields.len() == 3 && !starts_as_number(grade) => {}
            Err(_) => return Err(kind(&file, line, &text, "grade", grade, "a whole number")),
        }
    }
    Ok(judgments)
}

fn starts_as_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+' || c == '.')
}

/// Reads a run: `query Q0 document rank score tag`.
///
/// # Errors
/// Names the line and the field of what is no line of a run.
pub fn read_run(path: &Path) -> Result<Vec<RunLine>, DataError> {
    let file: Arc<Path> = Arc::from(path);
    let mut run = Vec::new();
    for line in Lines::open(path)? {
        let (line, text) = line?;
        let fields = fields(&text, 6);
        let [query, _q0, document, rank, score, _tag] = fields.as_slice() else {
            return Err(unlike(
                &file,
                line,
                &text,
                "6 fields: query Q0 document rank score tag",
            ));
        };
        let rank = rank
            .parse()
            .map_err(|_| kind(&file, line, &text, "rank", rank, "a whole number"))?;
        let score = score.parse().ok().filter(|score: &f64| score.is_finite());
        let score = score.ok_or_else(|| kind(&file, line, &text, "score", fields[4], "a finite number"))?;
        run.push(RunLine {
            query: (*query).to_owned(),
            document: (*document).to_owned(),
            rank,
            score,
        });
    }
    Ok(run)
}

/// Writes a run; `tag` names the system. Fields are separated by tabs, so that ids may hold spaces.
///
/// # Errors
/// When the output cannot be written.
pub fn write_run(output: &mut impl Write, run: &[RunLine], tag: &str) -> io::Result<()> {
    for RunLine {
        query,
        document,
        rank,
        score,
    } in run
    {
        writeln!(output, "{query}\tQ0\t{document}\t{rank}\t{score}\t{tag}")?;
    }
    Ok(())
}

/// The fields of a line: by tabs when that gives enough of them, else by white space.
fn fields(line: &str, count_min: usize) -> Vec<&str> {
    let by_tab: Vec<&str> = line.split('\t').map(str::trim).collect();
    match by_tab.len() >= count_min {
        true => by_tab,
        false => line.split_whitespace().collect(),
    }
}

fn unlike(file: &Arc<Path>, line: u64, text: &str, accepted: &'static str) -> DataError {
    let reason = Reason::Kind {
        field: "line".to_owned(),
        found: format!("{} fields", fields(text, usize::MAX).len()),
        accepted,
    };
    DataError::new(Place::line(file, line), reason).with_raw(text)
}

fn kind(
    file: &Arc<Path>,
    line: u64,
    text: &str,
    field: &str,
    found: &str,
    accepted: &'static str,
) -> DataError {
    let reason = Reason::Kind {
        field: field.to_owned(),
        found: format!("{found:?}"),
        accepted,
    };
    DataError::new(Place::line(file, line), reason).with_raw(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;
    use crate::tests::write;

    fn qrels(text: &str) -> Result<Vec<(String, String, i64)>, String> {
        let (_folder, path) = write("qrels", text.as_bytes());
        let read = read_qrels(&path).map_err(|error| error.to_string())?;
        Ok(read.into_iter().map(|j| (j.query, j.document, j.grade)).collect())
    }

    #[test]
    fn judgments_are_read_in_both_forms() {
        let expected = [
            ("1".to_owned(), "d 1".to_owned(), 2),
            ("2".to_owned(), "e".to_owned(), -1),
        ];
        assert_eq!(
            qrels("query-id\tcorpus-id\tscore\r\n1\td 1\t2\r\n2\te\t-1\n").unwrap(),
            expected
        );
        assert_eq!(qrels("1\td 1\t2\n2\te\t-1\n").unwrap(), expected);
        assert_eq!(
            qrels("1 0 d1 2\n").unwrap(),
            [("1".to_owned(), "d1".to_owned(), 2)]
        );
    }

    #[test]
    fn bad_judgments_are_named() {
        for (text, expected) in [
            (
                "1 0 d 1\n\n1 0 d x\n",
                "qrels:3: field \"grade\" is \"x\"; accepted: a whole number",
            ),
            (
                "1\td\t1.5\n",
                "qrels:1: field \"grade\" is \"1.5\"; accepted: a whole number",
            ),
            (
                "1 d\n",
                "qrels:1: field \"line\" is 2 fields; accepted: 3 or 4 fields",
            ),
        ] {
            let error = qrels(text).unwrap_err();
            assert!(error.ends_with(expected), "{error}");
        }
    }

    #[test]
    fn a_run_comes_back_as_it_was_written() {
        let line = |document: &str, rank, score| RunLine {
            query: "q".to_owned(),
            document: document.to_owned(),
            rank,
            score,
        };
        let run = vec![line("d 1", 1, 0.1 + 0.2), line("e", 2, -1e-9)];
        let mut bytes = Vec::new();
        write_run(&mut bytes, &run, "tag").unwrap();
        let (_folder, path) = write("run", &bytes);
        assert_eq!(read_run(&path).unwrap(), run);
        let (_folder, path) = write("run", b"q Q0 d 1 inf tag\n");
        let error = read_run(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("run:1: field \"score\" is \"inf\"; accepted: a finite number"),
            "{error}"
        );
    }
}
