//! The pipeline with a model of a few lines, a real index, and every way to end.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use std::path::Path;

use corpus::{DocumentId, Metadata, ReadStore, StoreError, TitleUse};
use data::{Place, Reason};

use super::*;
use crate::letters::Letters;

fn fresh(folder: &Path) -> Index {
    let settings = Settings {
        dimension: 26,
        fingerprint: "letters".to_owned(),
        model: "letters".to_owned(),
        titles: TitleUse::Join,
        language: "english".to_owned(),
        fold_accents: true,
        title_weight: 1,
        bm25: index::Bm25::default(),
        chunk_tokens: 256,
        chunk_overlap: 32,
    };
    Index::create(folder, settings).unwrap()
}

type Read = Result<Located<Document>, DataError>;

fn place(line: u64) -> Place {
    Place::line(&Arc::from(Path::new("in.jsonl")), line)
}

fn document(line: u64, id: &str, text: &str) -> Read {
    let value = Document {
        id: DocumentId::new(id).unwrap(),
        title: String::new(),
        text: text.to_owned(),
        metadata: Metadata::new(),
    };
    let place = place(line);
    Ok(Located { value, place })
}

fn run(index: &Index, documents: Vec<Read>, on_error: OnError, watch: Watch) -> Result<Summary, Failure> {
    let settings = Indexing {
        on_error,
        writing: WriterSettings::default(),
        commit_passages: 3,
        ..Indexing::of(index)
    };
    index_documents(documents.into_iter(), index, &Letters, &settings, watch)
}

fn ids(index: &Index) -> Vec<String> {
    let ids = index.snapshot().unwrap().document_ids(None, 100).unwrap();
    ids.iter().map(ToString::to_string).collect()
}

#[test]
fn documents_are_added_replaced_and_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let index = fresh(folder.path());
    let first = vec![
        document(1, "a", "one"),
        document(2, "b", "two"),
        document(3, "c", "three"),
        document(4, "d", "four"),
    ];
    let summary = run(&index, first, OnError::Stop, Watch::none()).unwrap();
    assert_eq!(
        (summary.documents_added, summary.passages_added, summary.commits),
        (4, 4, 2)
    );
    let second = vec![
        document(1, "a", "one"),
        document(2, "b", "two again"),
        document(3, "e", "five"),
    ];
    let summary = run(&index, second, OnError::Stop, Watch::none()).unwrap();
    let counts = (
        summary.documents_unchanged,
        summary.documents_replaced,
        summary.documents_added,
    );
    assert_eq!(counts, (1, 1, 1));
    assert_eq!(ids(&index), ["a", "b", "c", "d", "e"]);
    let b = index
        .snapshot()
        .unwrap()
        .document(&DocumentId::new("b").unwrap())
        .unwrap();
    assert_eq!(b.unwrap().text, "two again");
}

#[test]
fn stopping_keeps_what_was_accepted_before() {
    let bad = || Err(DataError::new(place(2), Reason::NoText));
    for (bad, expected) in [
        (bad(), "in.jsonl:2: the document has no text"),
        (
            document(2, "a", "again"),
            "in.jsonl:2: document id \"a\" was given before, at in.jsonl:1",
        ),
        (
            document(2, "p", "poison"),
            "in.jsonl:2: model letters gave poison",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let index = fresh(folder.path());
        let documents = vec![document(1, "a", "one"), bad, document(3, "c", "three")];
        let failure = run(&index, documents, OnError::Stop, Watch::none()).unwrap_err();
        assert!(failure.to_string().starts_with(expected), "{failure}");
        assert_eq!(failure.summary.documents_added, 1);
        assert_eq!(ids(&index), ["a"]);
    }
}

#[test]
fn skipping_counts_and_writes_down_what_was_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let index = fresh(&folder.path().join("index"));
    let path = folder.path().join("rejects.jsonl");
    let watch = Watch {
        rejects: Some(Rejects::create(&path).unwrap()),
        ..Watch::none()
    };
    let documents = vec![
        document(1, "a", "one"),
        Err(DataError::new(place(2), Reason::NoText)),
        document(3, "a", "again"),
        document(4, "p", "poison"),
        document(5, "c", "three"),
    ];
    let summary = run(&index, documents, OnError::Skip, watch).unwrap();
    assert_eq!((summary.documents_added, summary.records_rejected), (2, 3));
    assert_eq!(ids(&index), ["a", "c"]);
    let rejects = std::fs::read_to_string(path).unwrap();
    let rejects: Vec<serde_json::Value> = rejects
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let lines: Vec<_> = rejects
        .iter()
        .map(|reject| reject["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [2, 3, 4]);
    assert!(rejects[1]["reason"].as_str().unwrap().contains("in.jsonl:1"));
    assert!(rejects[1]["raw"].as_str().unwrap().contains("again"));
}

#[test]
fn an_interrupted_run_commits_and_the_next_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let index = fresh(folder.path());
    let documents = || (0..200).map(|n| document(n + 1, &format!("{n:03}"), "some text"));
    let watch = Watch::none();
    let interrupt = watch.interrupt.clone();
    let settings = Indexing::of(&index);
    let raising = documents().inspect(|read| {
        if read.as_ref().unwrap().place.line == Some(100) {
            interrupt.raise();
        }
    });
    let summary = index_documents(raising, &index, &Letters, &settings, watch).unwrap();
    assert!(summary.interrupted);
    assert_eq!(summary.documents_added as usize, GROUP_DOCUMENTS_MAX);
    let summary = index_documents(documents(), &index, &Letters, &settings, Watch::none()).unwrap();
    assert_eq!(summary.documents_unchanged as usize, GROUP_DOCUMENTS_MAX);
    assert_eq!(ids(&index).len(), 100);
    assert_eq!(summary.index.unwrap().documents, 200);
}

#[test]
fn another_model_is_refused_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        fingerprint: "other".to_owned(),
        ..fresh(&folder.path().join("a")).settings().clone()
    };
    let index = Index::create(&folder.path().join("b"), settings).unwrap();
    let failure = run(
        &index,
        vec![document(1, "a", "one")],
        OnError::Skip,
        Watch::none(),
    )
    .unwrap_err();
    assert!(
        matches!(*failure.cause, Cause::Store(StoreError::OtherModel { .. })),
        "{failure}"
    );
}
