//! Writing when someone else writes, when the disk is full, and when it is not allowed.

use std::sync::Arc;

use corpus::{Commit, Document, DocumentId, PreparedDocument, ReadStore, StoreError, TitleUse, WriteStore};
use index::{Index, MergeSettings, WriterSettings};
use search::ingest::{IngestSettings, prepare};
use serde_json::json;
use server::Store;

use crate::parts::{MODEL, Server};

fn prepared(id: &str, text: &str) -> Vec<PreparedDocument> {
    let document = Document {
        id: DocumentId::new(id).unwrap(),
        title: String::new(),
        text: text.to_owned(),
        metadata: Default::default(),
    };
    let settings = IngestSettings {
        chunk_tokens: 64,
        chunk_overlap: 8,
        titles: TitleUse::Join,
    };
    prepare(&**MODEL, vec![document], &settings).unwrap()
}

#[test]
fn commits_of_other_processes_are_seen() {
    let server = Server::start();
    let mut writer = server.index().writer(WriterSettings::default()).unwrap();
    writer.add(prepared("elsewhere", "written elsewhere")).unwrap();
    assert!(server.found("elsewhere").is_empty());
    writer.commit().unwrap();
    assert_eq!(server.found("elsewhere"), ["elsewhere"]);
}

#[test]
fn while_another_process_writes_only_reading_works() {
    let server = Server::start();
    let other = server.index().writer(WriterSettings::default()).unwrap();
    let answer = server.put("/v1/documents/a", &json!({"text": "word"}));
    answer.problem(503);
    assert!(answer.retry_after.is_some());
    server.post_lines(r#"{"id": "a", "text": "word"}"#).problem(503);
    server.delete("/v1/documents/a").problem(503);
    assert!(server.found("word").is_empty());
    drop(other);
    server.put("/v1/documents/a", &json!({"text": "word"})).ok();
    assert_eq!(server.found("word"), ["a"]);
}

#[test]
fn the_right_to_write_is_given_up_when_nothing_is_written() {
    let server = Server::start();
    server.put("/v1/documents/a", &json!({"text": "word"})).ok();
    let index = server.index();
    let begun = std::time::Instant::now();
    while index.writer(WriterSettings::default()).is_err() {
        assert!(
            begun.elapsed().as_secs() < 20,
            "the server never lets go of the lock"
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_server_that_only_reads_refuses_every_write() {
    let server = Server::start_with(|parts| parts.read_only = true);
    server
        .put("/v1/documents/a", &json!({"text": "word"}))
        .problem(403);
    server.post_lines(r#"{"id": "a", "text": "word"}"#).problem(403);
    server.delete("/v1/documents/a").problem(403);
    assert!(server.found("word").is_empty());
    assert_eq!(server.get("/readyz").ok()["read_only"], true);
}

/// An index on a disk that is full when it comes to a commit.
struct Full(Arc<dyn Store>);

struct FullWriter(Box<dyn WriteStore>);

impl Store for Full {
    fn merge(&self, _: &MergeSettings, _: &dyn Fn() -> bool) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn snapshot(&self) -> Result<Arc<dyn ReadStore>, StoreError> {
        self.0.snapshot()
    }

    fn writer(&self) -> Result<Box<dyn WriteStore>, StoreError> {
        Ok(Box::new(FullWriter(self.0.writer()?)))
    }
}

impl WriteStore for FullWriter {
    fn add(&mut self, documents: Vec<PreparedDocument>) -> Result<(), StoreError> {
        self.0.add(documents)
    }

    fn delete(&mut self, id: &DocumentId) -> Result<bool, StoreError> {
        self.0.delete(id)
    }

    fn commit(&mut self) -> Result<Commit, StoreError> {
        Err(StoreError::DiskFull {
            path: "manifest".into(),
        })
    }
}

#[test]
fn a_full_disk_has_its_own_answer_and_loses_nothing() {
    let server = Server::start_with(|parts| {
        let index: Arc<dyn Store> = Arc::clone(&parts.store);
        let mut writer = index.writer().unwrap();
        writer.add(prepared("before", "was here before")).unwrap();
        writer.commit().unwrap();
        parts.store = Arc::new(Full(index));
    });
    server
        .put("/v1/documents/a", &json!({"text": "word"}))
        .problem(507);
    server.post_lines(r#"{"id": "a", "text": "word"}"#).problem(507);
    assert!(server.found("word").is_empty());
    assert_eq!(server.found("before"), ["before"]);
}

/// An index whose writer panics.
struct Broken(Arc<dyn Store>);

struct Panics;

impl Store for Broken {
    fn merge(&self, _: &MergeSettings, _: &dyn Fn() -> bool) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn snapshot(&self) -> Result<Arc<dyn ReadStore>, StoreError> {
        self.0.snapshot()
    }

    fn writer(&self) -> Result<Box<dyn WriteStore>, StoreError> {
        Ok(Box::new(Panics))
    }
}

impl WriteStore for Panics {
    fn add(&mut self, _: Vec<PreparedDocument>) -> Result<(), StoreError> {
        panic!("a defect")
    }

    fn delete(&mut self, _: &DocumentId) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn commit(&mut self) -> Result<Commit, StoreError> {
        panic!("a defect")
    }
}

#[test]
fn a_defect_is_an_answer_and_the_next_write_has_its_chance() {
    let server = Server::start_with(|parts| parts.store = Arc::new(Broken(Arc::clone(&parts.store))));
    server
        .put("/v1/documents/a", &json!({"text": "word"}))
        .problem(500);
    server
        .put("/v1/documents/a", &json!({"text": "word"}))
        .problem(500);
    server.delete("/v1/documents/a").problem(404);
}

#[test]
fn an_index_of_another_model_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = crate::parts::settings();
    settings.fingerprint = "another".to_owned();
    let index = Index::create(folder.path(), settings).unwrap();
    let parts = server::Parts {
        store: Arc::new(index),
        embed: Arc::clone(&*MODEL),
        model: "bundled".to_owned(),
        reranker: None,
        reader: None,
        ingest: IngestSettings {
            chunk_tokens: 64,
            chunk_overlap: 8,
            titles: TitleUse::Join,
        },
        read_only: true,
        limits: Default::default(),
    };
    let error = server::App::new(parts).err().unwrap().to_string();
    assert!(error.contains("another"), "{error}");
}
