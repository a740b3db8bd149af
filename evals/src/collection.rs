//! A test collection in the BEIR layout, with the hashes of its files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use data::beir::Query;
use measure::Qrels;

use crate::digest;

/// Documents are read when they are needed; queries and judgments are held. Every judged query has a text.
pub(crate) struct Collection {
    pub(crate) folder: PathBuf,
    /// The judged queries, in the order of their file.
    pub(crate) queries: Vec<Query>,
    pub(crate) qrels: Qrels,
    pub(crate) judgments_count: usize,
    /// SHA-256 of each file by its name inside the folder.
    pub(crate) files: BTreeMap<String, String>,
}

impl Collection {
    /// Opens `corpus.jsonl`, `queries.jsonl` and `qrels/SPLIT.tsv`, each perhaps compressed.
    pub(crate) fn open(folder: &Path, split: &str) -> Result<Self> {
        let (queries, judgments) = data::beir::judged(folder, split)?;
        let judgments_count = judgments.len();
        let mut qrels = Qrels::new();
        for judgment in judgments {
            qrels.insert(&judgment.query, &judgment.document, judgment.grade)?;
        }
        let files = hashes(folder, split)?;
        Ok(Self {
            folder: folder.to_owned(),
            queries,
            qrels,
            judgments_count,
            files,
        })
    }

    /// The folder's name.
    pub(crate) fn name(&self) -> String {
        let canonical = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        canonical
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }
}

fn hashes(folder: &Path, split: &str) -> Result<BTreeMap<String, String>> {
    let qrels = format!("qrels/{split}.tsv");
    let mut files = BTreeMap::new();
    for plain in ["corpus.jsonl", "queries.jsonl", qrels.as_str()] {
        let names = [plain.to_owned(), format!("{plain}.zst"), format!("{plain}.gz")];
        let Some(name) = names.iter().find(|name| folder.join(name).is_file()) else {
            bail!("{}: there is no {plain}", folder.display());
        };
        files.insert(name.clone(), digest::file(&folder.join(name))?);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    fn folder(queries: &str, qrels: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("qrels")).unwrap();
        put("corpus.jsonl", "{\"_id\":\"d\",\"text\":\"x\"}\n");
        put("queries.jsonl", queries);
        put("qrels/test.tsv", qrels);
        folder
    }

    #[test]
    fn only_judged_queries_are_kept() {
        let folder = folder(
            "{\"_id\":\"a\",\"text\":\"x\"}\n{\"_id\":\"b\",\"text\":\"y\"}\n",
            "b\td\t1\n",
        );
        let collection = Collection::open(folder.path(), "test").unwrap();
        assert_eq!(collection.queries.len(), 1);
        assert_eq!(collection.files.len(), 3);
        assert!(Collection::open(folder.path(), "dev").is_err());
    }

    #[test]
    fn a_judged_query_without_a_text_is_an_error() {
        let twice = "{\"_id\":\"a\",\"text\":\"x\"}\n{\"_id\":\"a\",\"text\":\"y\"}\n";
        for (queries, qrels, expected) in [
            (
                "{\"_id\":\"a\",\"text\":\"x\"}\n",
                "b\td\t1\n",
                "query \"b\" is judged",
            ),
            (twice, "a\td\t1\n", "query \"a\" occurs twice"),
            (
                "{\"_id\":\"a\",\"text\":\"x\"}\n",
                "a\td\t1\na\td\t1\n",
                "judged twice",
            ),
        ] {
            let folder = folder(queries, qrels);
            let error = format!("{:#}", Collection::open(folder.path(), "test").err().unwrap());
            assert!(error.contains(expected), "{error}");
        }
    }
}
