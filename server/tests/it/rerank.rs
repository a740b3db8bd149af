//! `POST /v1/rerank`.

use std::sync::Arc;

use serde_json::{Value, json};
use server::NamedReranker;

use crate::parts::{Server, WordOverlap};

fn with_reranker() -> Server {
    let reranker = NamedReranker {
        name: "words".to_owned(),
        model: Arc::new(WordOverlap),
    };
    Server::start_with(|parts| {
        parts.reranker = Some(reranker);
        parts.limits.rerank_documents_max = 4;
    })
}

#[test]
fn without_a_reranker_nothing_else_takes_its_place() {
    let server = Server::start();
    let answer = server.post("/v1/rerank", &json!({"query": "a", "documents": ["a"]}));
    answer.problem(501);
    assert!(answer.json["detail"].as_str().unwrap().contains("--reranker"));
}

#[test]
fn texts_come_back_best_first() {
    let server = with_reranker();
    assert_eq!(server.get("/readyz").ok()["reranker"], "words");
    let documents = json!(["Paris", {"text": "burned Rome"}, "Rome"]);
    let answer = server
        .post(
            "/v1/rerank",
            &json!({"query": "burned Rome", "documents": documents}),
        )
        .ok();
    let results = json!([
        {"index": 1, "relevance_score": 1.0},
        {"index": 2, "relevance_score": 0.5},
        {"index": 0, "relevance_score": 0.0},
    ]);
    assert_eq!(answer, json!({"model": "words", "results": results}));
    let request = json!({"model": "words", "query": "burned Rome", "documents": documents, "top_n": 1, "return_documents": true});
    let answer = server.post("/v1/rerank", &request).ok();
    assert_eq!(
        answer["results"],
        json!([{"index": 1, "relevance_score": 1.0, "document": {"text": "burned Rome"}}])
    );
}

#[test]
fn what_cannot_be_ordered_is_refused() {
    let server = with_reranker();
    let post = |request: Value| server.post("/v1/rerank", &request);
    for (request, field) in [
        (json!({"query": "", "documents": ["a"]}), "query"),
        (json!({"query": "a", "documents": []}), "documents"),
        (
            json!({"query": "a", "documents": ["a", "b", "c", "d", "e"]}),
            "documents",
        ),
        (json!({"query": "a", "documents": ["a", 7]}), "documents[1]"),
        (json!({"query": "a", "documents": ["a"], "top_n": 0}), "top_n"),
        (json!({"documents": ["a"]}), "query"),
    ] {
        assert_eq!(post(request).problem(422), field);
    }
    assert_eq!(
        post(json!({"query": "a", "documents": ["a"], "model": "other"})).problem(404),
        "model"
    );
}
