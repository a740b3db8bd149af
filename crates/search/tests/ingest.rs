//! Documents to passages with vectors.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod support;

use corpus::{StoreError, TitleUse};
use infer::Embed;
use search::SearchError;
use search::ingest::{IngestSettings, prepare};
use support::{DIMENSION, PairEmbedder, document};

fn settings(titles: TitleUse) -> IngestSettings {
    IngestSettings {
        titles,
        chunk_tokens: 32,
        chunk_overlap: 4,
    }
}

fn numbers(n: usize) -> String {
    (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn all_passages_are_embedded_in_one_call_with_their_titles() {
    let model = PairEmbedder::default();
    let documents = vec![
        document("a", "Title", "short text"),
        document("b", "", &numbers(100)),
    ];
    let prepared = prepare(&model, documents, &settings(TitleUse::Join)).unwrap();
    let calls = model.calls.lock().unwrap();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0][0], "Title short text");
    assert_eq!(
        prepared[0].passages.len(),
        1,
        "shorter than a chunk is one passage"
    );
    assert_eq!(prepared[0].passages[0].span, 0..10);
    assert!(prepared[1].passages.len() > 3);
    assert_eq!(calls[0].len(), 1 + prepared[1].passages.len());
    let mut passages = prepared.iter().flat_map(|one| &one.passages);
    assert!(passages.all(|passage| passage.vector.len() == DIMENSION));
}

#[test]
fn nothing_that_is_embedded_is_longer_than_a_chunk_and_no_byte_is_lost() {
    for title in ["", "Title", &numbers(6), &numbers(500)] {
        let model = PairEmbedder::default();
        let text = numbers(200);
        let documents = vec![document("a", title, &text)];
        let prepared = prepare(&model, documents, &settings(TitleUse::Join)).unwrap();
        for embedded in &model.calls.lock().unwrap()[0] {
            assert!(model.count_tokens(embedded).unwrap() + 2 <= 32, "{embedded}");
        }
        let mut covered = 0;
        for passage in &prepared[0].passages {
            assert!(passage.span.start <= covered && passage.span.end > covered);
            covered = passage.span.end;
        }
        assert_eq!(covered, text.len());
        assert_eq!(prepared[0].document.title, title, "the title is stored as it was");
    }
}

#[test]
fn ignored_titles_are_not_embedded() {
    let model = PairEmbedder::default();
    let documents = vec![document("a", "Title", "text")];
    prepare(&model, documents, &settings(TitleUse::Ignore)).unwrap();
    assert_eq!(model.calls.lock().unwrap().as_slice(), [["text"]]);
}

#[test]
fn a_document_without_text_is_named() {
    let documents = vec![document("a", "", "x"), document("b", "only a title", " \n\t")];
    let error = prepare(&PairEmbedder::default(), documents, &settings(TitleUse::Join)).unwrap_err();
    assert!(matches!(error, SearchError::Store(StoreError::NoText(id)) if id.as_str() == "b"));
}

#[test]
fn settings_that_would_lose_text_are_refused() {
    for (chunk_tokens, chunk_overlap, field) in [
        (65, 4, "chunk_tokens"),
        (31, 4, "chunk_tokens"),
        (40, 21, "chunk_overlap"),
    ] {
        let settings = IngestSettings {
            titles: TitleUse::Join,
            chunk_tokens,
            chunk_overlap,
        };
        match prepare(&PairEmbedder::default(), Vec::new(), &settings) {
            Err(SearchError::Field { field: at, .. }) => assert_eq!(at, field),
            other => panic!("{other:?}"),
        }
    }
}
