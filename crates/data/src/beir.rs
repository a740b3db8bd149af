//! The BEIR layout: `corpus.jsonl`, `queries.jsonl` and `qrels/SPLIT.tsv` in one folder
//! (Thakur et al. 2021, <https://arxiv.org/abs/2104.08663>).

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::documents::{Documents, ReadSettings, documents};
use crate::error::{DataError, Located, Place, Reason};
use crate::jsonl;
use crate::trec::{self, Judgment};

/// A question of a test collection.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Query {
    /// Its id.
    #[serde(rename = "_id")]
    pub id: String,
    /// Its text.
    pub text: String,
}

/// The documents of the folder.
///
/// # Errors
/// When there is no corpus in it.
pub fn corpus(folder: &Path) -> Result<Documents, DataError> {
    let path = crate::documents::beir_corpus(folder).unwrap_or_else(|| folder.join("corpus.jsonl"));
    documents(&[path], &ReadSettings::default())
}

/// The queries of the folder, in the order of the file.
///
/// # Errors
/// Names the line and column of what is no query.
pub fn queries(folder: &Path) -> Result<Vec<Query>, DataError> {
    let path = packed_or_plain(&folder.join("queries.jsonl"));
    let records = jsonl::records(&path)?;
    records
        .map(|query| query.map(|Located { value, .. }| value))
        .collect()
}

/// The judgments of a split (`test`, `dev`, `train`), in the order of the file.
///
/// # Errors
/// Names the line of what is no judgment.
pub fn qrels(folder: &Path, split: &str) -> Result<Vec<Judgment>, DataError> {
    trec::read_qrels(&packed_or_plain(
        &folder.join("qrels").join(format!("{split}.tsv")),
    ))
}

/// The queries of the folder that are judged in a split, and their judgments, in the order of their files.
///
/// # Errors
/// As [`queries`] and [`qrels`]; a split without judgments; a judged query that has no text, or two.
pub fn judged(folder: &Path, split: &str) -> Result<(Vec<Query>, Vec<Judgment>), DataError> {
    let judgments = qrels(folder, split)?;
    let wrong = |reason: String| {
        Err(DataError::new(
            Place::file(&folder.into()),
            Reason::Damaged(reason),
        ))
    };
    if judgments.is_empty() {
        return wrong(format!("the split {split} has no judgments"));
    }
    let judged: HashSet<&str> = judgments.iter().map(|judgment| judgment.query.as_str()).collect();
    let mut queries = queries(folder)?;
    queries.retain(|query| judged.contains(query.id.as_str()));
    let mut seen = HashSet::new();
    for query in &queries {
        if !seen.insert(query.id.as_str()) {
            return wrong(format!("query {:?} occurs twice", query.id));
        }
    }
    if let Some(Judgment { query, .. }) = judgments
        .iter()
        .find(|judgment| !seen.contains(judgment.query.as_str()))
    {
        return wrong(format!(
            "query {query:?} is judged, and queries.jsonl does not have it"
        ));
    }
    Ok((queries, judgments))
}

fn packed_or_plain(path: &Path) -> PathBuf {
    let packed = ["zst", "gz"].map(|extension| {
        let mut name = path.as_os_str().to_owned();
        name.push(".");
        name.push(extension);
        PathBuf::from(name)
    });
    let packed = packed.into_iter().find(|packed| packed.is_file());
    packed
        .filter(|_| !path.is_file())
        .unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    #[test]
    fn a_folder_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("qrels")).unwrap();
        put("corpus.jsonl", "{\"_id\":\"d\",\"title\":\"T\",\"text\":\"x\"}\n");
        put(
            "queries.jsonl",
            "{\"_id\":\"q\",\"text\":\"x?\",\"metadata\":{}}\n",
        );
        put("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq\td\t1\n");
        assert_eq!(corpus(folder.path()).unwrap().count(), 1);
        assert_eq!(queries(folder.path()).unwrap()[0].text, "x?");
        assert_eq!(qrels(folder.path(), "test").unwrap()[0].document, "d");
        assert!(qrels(folder.path(), "dev").is_err());
        put(
            "queries.jsonl",
            "{\"_id\":\"p\",\"text\":\"y?\"}\n{\"_id\":\"q\",\"text\":\"x?\"}\n",
        );
        let (asked, judgments) = judged(folder.path(), "test").unwrap();
        assert_eq!((asked.len(), asked[0].id.as_str(), judgments.len()), (1, "q", 1));
        put("qrels/test.tsv", "query-id\tcorpus-id\tscore\n");
        let error = judged(folder.path(), "test").unwrap_err().to_string();
        assert!(error.ends_with("the split test has no judgments"), "{error}");
        put("queries.jsonl", "{\"id\":\"q\",\"text\":\"x?\"}\n");
        let error = queries(folder.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("queries.jsonl:1:22: not valid JSON: missing field `_id`"),
            "{error}"
        );
    }

    #[test]
    #[allow(clippy::print_stderr, reason = "says why nothing was tested")]
    fn the_real_collections_have_their_published_sizes() {
        let Some(shared) = std::env::var_os("CLOZE_SHARED").map(PathBuf::from) else {
            return eprintln!("skipped: set CLOZE_SHARED to the folder of real data");
        };
        for (name, documents, empty, queries_count, judgments) in [
            ("squad-dev", 2067, 0, 10_570, 10_570),
            // Two entries of Cranfield have neither title nor text.
            ("cranfield", 1400, 2, 225, 1612),
        ] {
            let folder = shared.join("data/beir").join(name);
            let (read, refused): (Vec<_>, Vec<_>) = corpus(&folder).unwrap().partition(Result::is_ok);
            assert_eq!((read.len(), refused.len()), (documents - empty, empty));
            assert_eq!(queries(&folder).unwrap().len(), queries_count);
            assert_eq!(qrels(&folder, "test").unwrap().len(), judgments);
        }
    }
}
