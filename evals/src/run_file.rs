//! Runs as files, `query Q0 document rank score tag`, written so that trec_eval's order is ours.
//!
//! trec_eval sorts by 32-bit score and breaks ties by document id, descending. A search has an order of its own
//! among equal scores, and below reranked hits its scores may rise again. So a score that would not fall is
//! written as the next smaller 32-bit number.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use data::trec::{RunLine, read_run, write_run};
use measure::Run;

/// What was found for one query, best first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ranking {
    pub(crate) query: String,
    /// Document ids with the scores that the search gave.
    pub(crate) hits: Vec<(String, f32)>,
}

/// Writes the rankings; what [`read`] gives back ranks as they do.
pub(crate) fn write(path: &Path, rankings: &[Ranking], tag: &str) -> Result<()> {
    let mut output = BufWriter::new(File::create(path).with_context(|| path.display().to_string())?);
    for ranking in rankings {
        write_run(&mut output, &lines(ranking), tag).with_context(|| path.display().to_string())?;
    }
    output.flush().with_context(|| path.display().to_string())
}

/// Reads a run of any system.
pub(crate) fn read(path: &Path) -> Result<Run> {
    let mut run = Run::new();
    for line in read_run(path)? {
        run.insert(&line.query, &line.document, line.score)
            .with_context(|| path.display().to_string())?;
    }
    Ok(run)
}

/// The run that these rankings, written and read, would be.
pub(crate) fn in_memory(rankings: &[Ranking]) -> Result<Run> {
    let mut run = Run::new();
    for line in rankings.iter().flat_map(lines) {
        run.insert(&line.query, &line.document, line.score)?;
    }
    Ok(run)
}

fn lines(ranking: &Ranking) -> Vec<RunLine> {
    let mut before = f32::INFINITY;
    let line = |(position, (document, score)): (usize, &(String, f32))| {
        before = score.min(before.next_down());
        RunLine {
            query: ranking.query.clone(),
            document: document.clone(),
            rank: position as u64 + 1,
            score: short(before),
        }
    };
    ranking.hits.iter().enumerate().map(line).collect()
}

/// The 64-bit number with the fewest digits that rounds to `score`.
fn short(score: f32) -> f64 {
    score.to_string().parse().unwrap_or(f64::from(score))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    #[test]
    fn ties_and_rising_scores_keep_their_order() {
        let hits = [
            ("b", 0.1),
            ("c", 0.1),
            ("a", 0.1),
            ("z", 7.0),
            ("y", 0.0),
            ("x", 0.0),
            ("w", -3.5),
        ];
        let hits: Vec<(String, f32)> = hits.map(|(document, score)| (document.to_owned(), score)).into();
        let expected: Vec<&str> = hits.iter().map(|(document, _)| document.as_str()).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        write(
            &path,
            &[Ranking {
                query: "q 1".to_owned(),
                hits: hits.clone(),
            }],
            "tag",
        )
        .unwrap();
        let run = read(&path).unwrap();
        assert_eq!(run.ranking("q 1").unwrap(), expected);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("q 1\tQ0\tb\t1\t0.1\ttag\n"), "{text}");
        assert!(text.ends_with("\tw\t7\t-3.5\ttag\n"), "{text}");
    }
}
