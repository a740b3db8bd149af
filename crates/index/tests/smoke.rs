//! The life of an index, step by step.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod common;

use common::{DIMENSION, document, id, settings, small_segments, vector};
use corpus::{Filter, MatchingQuery, NearestQuery, QueryText, ReadStore, StoreError, WriteStore};
use index::{Index, WriterSettings, content_hash};
use serde_json::json;

fn names(snapshot: &index::Snapshot, text: &str, filter: Option<&Filter>) -> Vec<String> {
    let found = snapshot
        .matching(&MatchingQuery {
            words: QueryText::plain(text),
            k: 10,
            filter,
        })
        .unwrap();
    let passages: Vec<_> = found.iter().map(|scored| scored.passage).collect();
    let fetched = snapshot.fetch(&passages).unwrap();
    fetched
        .into_iter()
        .map(|p| format!("{}#{}", p.document, p.chunk))
        .collect()
}

#[test]
fn what_is_committed_is_found_and_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(folder.path(), settings()).unwrap();
    assert_eq!(index.snapshot().unwrap().info().passages, 0);
    assert!(names(&index.snapshot().unwrap(), "anything", None).is_empty());

    let mut writer = index.writer(WriterSettings::default()).unwrap();
    let rome = document(
        "rome",
        "Rome",
        &["The city burned.", "It was rebuilt."],
        json!({"year": 64}),
    );
    let seine = document(
        "paris",
        "Paris",
        &["The Seine flows through the city."],
        json!({"year": 2024}),
    );
    writer.add(vec![rome.clone(), seine.clone()]).unwrap();
    assert_eq!(
        index.snapshot().unwrap().info().passages,
        0,
        "nothing is visible before the commit"
    );
    let commit = writer.commit().unwrap();
    assert_eq!((commit.generation, commit.documents, commit.passages), (1, 2, 3));

    let first = index.snapshot().unwrap();
    assert_eq!(names(&first, "Which cities burn?", None), ["rome#0", "paris#0"]);
    let recent = Filter::from_json(&json!({"range": {"year": {"gte": 1000}}})).unwrap();
    assert_eq!(names(&first, "Which cities burn?", Some(&recent)), ["paris#0"]);
    assert!(
        names(&first, "the of and", None).is_empty(),
        "stop words are not indexed"
    );
    assert_eq!(first.document(&id("rome")).unwrap().unwrap(), rome.document);
    assert_eq!(
        first.content_hash(&id("rome")).unwrap(),
        Some(content_hash(&rome.document))
    );
    assert_eq!(first.content_hash(&id("nowhere")).unwrap(), None);
    assert_eq!(first.document_ids(None, 10).unwrap(), [id("paris"), id("rome")]);
    assert_eq!(first.document_ids(Some(&id("paris")), 10).unwrap(), [id("rome")]);

    let burned = document("rome", "Rome", &["Nothing is left."], json!({}));
    writer.add(vec![burned]).unwrap();
    assert!(writer.delete(&id("paris")).unwrap());
    assert!(!writer.delete(&id("paris")).unwrap());
    let commit = writer.commit().unwrap();
    assert_eq!((commit.generation, commit.documents, commit.passages), (2, 1, 1));
    assert_eq!(writer.commit().unwrap(), commit, "a commit of nothing is none");

    let second = index.snapshot().unwrap();
    assert_eq!(names(&second, "city", None), [""; 0]);
    assert_eq!(names(&second, "rome left", None), ["rome#0"]);
    assert_eq!(
        names(&first, "city", None),
        ["rome#0", "paris#0"],
        "the old snapshot has not changed"
    );
    let reopened = Index::open(folder.path()).unwrap();
    assert_eq!(
        names(&reopened.snapshot().unwrap(), "rome left", None),
        ["rome#0"]
    );
}

#[test]
fn a_writer_keeps_others_out_until_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(folder.path(), settings()).unwrap();
    let writer = index.writer(WriterSettings::default()).unwrap();
    assert!(matches!(
        index.writer(WriterSettings::default()),
        Err(StoreError::Locked { .. })
    ));
    drop(writer);
    assert!(index.writer(WriterSettings::default()).is_ok());
}

#[test]
fn what_does_not_fit_is_refused_by_name_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(folder.path(), settings()).unwrap();
    let mut writer = index.writer(small_segments(2)).unwrap();
    let good = |name: &str| document(name, "", &["Some words."], json!({}));
    let with = |change: &dyn Fn(&mut corpus::PreparedDocument)| {
        let mut bad = good("bad");
        change(&mut bad);
        bad
    };
    let mut refuse = |name: &str, bad| {
        writer
            .add(vec![good(name), bad, good("never")])
            .unwrap_err()
            .to_string()
    };
    for (name, bad, message) in [
        (
            "a",
            with(&|d| d.passages[0].vector = vec![1.0]),
            "of document bad has 1 components; the index has 4",
        ),
        (
            "b",
            with(&|d| d.passages[0].vector[0] = f32::NAN),
            "of document bad is refused",
        ),
        (
            "c",
            with(&|d| d.passages[0].vector = vec![0.0; DIMENSION]),
            "of document bad is refused",
        ),
        (
            "d",
            with(&|d| d.passages[0].span = 5..50),
            "document bad: passage 0 spans bytes 5..50 of a text of 12",
        ),
        (
            "e",
            with(&|d| d.document.text = "  \n ".into()),
            "document bad has no text",
        ),
        ("f", with(&|d| d.passages.clear()), "document bad has no text"),
    ] {
        let error = refuse(name, bad);
        assert!(error.contains(message), "{error}");
    }
    assert_eq!(writer.commit().unwrap().documents, 6);
    let ids = index.snapshot().unwrap().document_ids(None, 10).unwrap();
    assert_eq!(ids, ["a", "b", "c", "d", "e", "f"].map(id));
}

#[test]
fn other_settings_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(folder.path(), settings()).unwrap();
    assert!(matches!(
        index.check_fingerprint("model-2"),
        Err(StoreError::OtherModel { .. })
    ));
    assert!(index.check_fingerprint("model-1").is_ok());
    let other = |change: &dyn Fn(&mut index::Settings)| {
        let mut other = settings();
        change(&mut other);
        Index::open_or_create(folder.path(), other)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    };
    assert_eq!(other(&|s| s.model = "elsewhere".into()), "");
    assert!(other(&|s| s.fingerprint = "model-2".into()).contains("model-2"));
    assert!(other(&|s| s.dimension = 5).contains("dimension 4, not 5"));
    assert!(other(&|s| s.language = "german".into()).contains("language \"english\", not \"german\""));
    assert!(other(&|s| s.chunk_overlap = 0).contains("chunk tokens and overlap"));
    let error = Index::create(folder.path(), settings())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("an index already"), "{error}");
    let elsewhere = tempfile::tempdir().unwrap();
    let mut wrong = settings();
    wrong.language = "klingon".into();
    assert!(Index::create(elsewhere.path(), wrong).is_err());
    assert!(matches!(
        Index::open(elsewhere.path()),
        Err(StoreError::Io { .. })
    ));
}

#[test]
fn queries_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(folder.path(), settings()).unwrap();
    let snapshot = index.snapshot().unwrap();
    let ask = |vector: &[f32], k| {
        snapshot.nearest(&NearestQuery {
            vector,
            k,
            filter: None,
            recall: 1.0,
        })
    };
    assert!(matches!(
        ask(&[1.0], 1),
        Err(StoreError::Dimension {
            document: None,
            expected: 4,
            found: 1
        })
    ));
    assert!(matches!(
        ask(&[f32::NAN; 4], 1),
        Err(StoreError::NotFinite { document: None, .. })
    ));
    assert_eq!(ask(&vector(1), 0).unwrap(), []);
    assert_eq!(ask(&vector(1), 5).unwrap(), []);
    let unknown = corpus::PassageRef(7);
    assert!(matches!(
        snapshot.fetch(&[unknown]),
        Err(StoreError::UnknownPassage(_))
    ));
    assert!(matches!(
        snapshot.similarities(&vector(1), &[unknown]),
        Err(StoreError::UnknownPassage(_))
    ));
    assert!(matches!(
        snapshot.vector(unknown),
        Err(StoreError::UnknownPassage(_))
    ));
    assert!(matches!(
        snapshot.explain_matching(&QueryText::plain("a"), unknown),
        Err(StoreError::UnknownPassage(_))
    ));
}
