//! Indexes of every format that was ever released are read, searched and written to.
//!
//! `CLOZE_GOLDEN=write` makes the folder of the format of this program; those of earlier formats are kept as they are.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod common;

use std::path::{Path, PathBuf};

use common::{document, id, settings, vector};
use corpus::{Filter, MatchingQuery, NearestQuery, QueryText, ReadStore, Scored, Syntax, WriteStore};
use index::{Index, Snapshot, WriterSettings};
use serde_json::{Value, json};

fn golden(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{format}"))
}

/// Two segments, one with a graph; a document replaced, one deleted; synonyms.
fn write(folder: &Path) {
    let index = Index::create(folder, settings()).unwrap();
    let limits = WriterSettings {
        segment_passages_max: 24,
        graph_passages_min: 20,
        ..WriterSettings::default()
    };
    let mut writer = index.writer(limits).unwrap();
    writer.set_synonyms("bridge, viaduct").unwrap();
    for n in 0..14_u32 {
        let text = format!("The bridge number {n} of granite.");
        let kind = ["old", "new"][n as usize % 2];
        let metadata = json!({"n": n, "kind": kind, "since": "2001-02-03"});
        let texts = [text.as_str(), "It crosses a river."];
        writer
            .add(vec![document(n, "Bridges", &texts, metadata)])
            .unwrap();
    }
    writer.commit().unwrap();
    let texts = ["A viaduct of brick."];
    writer
        .add(vec![document(3, "Viaducts", &texts, json!({"kind": "new"}))])
        .unwrap();
    writer.delete(&id(5)).unwrap();
    writer.commit().unwrap();
    drop(writer);
    drop(index.writer(WriterSettings::default()).unwrap());
}

/// What the index answers to one question of each kind.
fn answers(snapshot: &Snapshot) -> Value {
    let filter: Filter = serde_json::from_value(json!({"eq": {"kind": "new"}})).unwrap();
    let shown = |found: Vec<Scored>| -> Vec<Value> {
        let passages: Vec<_> = found.iter().map(|one| one.passage).collect();
        let passages = snapshot.fetch(&passages).unwrap().into_iter();
        let shown = passages.zip(&found).map(|(passage, one)| {
            // Sums of floats may be made in another order by another processor.
            let score = (f64::from(one.score) * 1e4).round() / 1e4;
            json!([
                passage.document,
                passage.chunk,
                passage.text,
                passage.metadata,
                score
            ])
        });
        shown.collect()
    };
    let matching = |text, syntax, filter| {
        let words = QueryText {
            syntax,
            ..QueryText::plain(text)
        };
        let query = MatchingQuery { words, k: 5, filter };
        shown(snapshot.matching(&query).unwrap())
    };
    let nearest = |recall, filter| {
        let vector = vector(3);
        let query = NearestQuery {
            vector: &vector,
            k: 5,
            filter,
            recall,
        };
        shown(snapshot.nearest(&query).unwrap())
    };
    json!({
        "info": snapshot.info(),
        "words": matching("viaducts of granite", Syntax::Plain, None),
        "phrase": matching("\"crosses a river\" -\"number 7\"", Syntax::Query, Some(&filter)),
        "exact": nearest(1.0, None),
        "walk": nearest(0.9, Some(&filter)),
        "facets": snapshot.facets(&["kind".to_owned()], None, None).unwrap(),
        "document": snapshot.document(&id(3)).unwrap(),
        "deleted": snapshot.document(&id(5)).unwrap(),
    })
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => _ = std::fs::copy(entry.path(), to).unwrap(),
        }
    }
}

#[test]
fn every_format_is_read_and_written_to() {
    if std::env::var("CLOZE_GOLDEN").is_ok_and(|golden| golden == "write") {
        let folder = golden(index::FORMAT);
        write(&folder.join("index"));
        for lock in ["write.lock", "turn.lock"] {
            std::fs::remove_file(folder.join("index").join(lock)).unwrap();
        }
        let snapshot = Index::open(&folder.join("index")).unwrap().snapshot().unwrap();
        let text = serde_json::to_string_pretty(&answers(&snapshot)).unwrap();
        std::fs::write(folder.join("answers.json"), text + "\n").unwrap();
    }
    for format in 1..=index::FORMAT {
        let folder = tempfile::tempdir().unwrap();
        copy(&golden(format).join("index"), folder.path());
        let found = index::verify(folder.path()).unwrap();
        assert_eq!(found.problems, [], "format {format}");
        let index = Index::open(folder.path()).unwrap();
        let expected = std::fs::read(golden(format).join("answers.json")).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        assert_eq!(answers(&index.snapshot().unwrap()), expected, "format {format}");
        let mut writer = index.writer(WriterSettings::default()).unwrap();
        writer
            .add(vec![document("new", "", &["Something new."], json!({}))])
            .unwrap();
        writer.commit().unwrap();
        drop(writer);
        let snapshot = Index::open(folder.path()).unwrap().snapshot().unwrap();
        assert_eq!(snapshot.info().documents, 14);
        assert!(snapshot.document(&id("new")).unwrap().is_some());
        assert_eq!(index::verify(folder.path()).unwrap().problems, []);
    }
}
