//! `POST /v1/search`.

use serde_json::{Value, json};
use server::NamedReranker;

use crate::parts::{Server, WordOverlap};
use std::sync::Arc;

fn filled(server: &Server) {
    for (id, title, text, year) in [
        (
            "rome",
            "Rome",
            "A great fire burned Rome. Nero was in Antium.",
            64,
        ),
        (
            "london",
            "London",
            "The great fire of London began in a bakery.",
            1666,
        ),
        (
            "paris",
            "Paris",
            "The cathedral of Paris burned; its spire fell.",
            2019,
        ),
    ] {
        let document = json!({"title": title, "text": text, "metadata": {"year": year, "city": title}});
        server.put(&format!("/v1/documents/{id}"), &document).ok();
    }
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["hits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hit| hit["document"].as_str().unwrap())
        .collect()
}

#[test]
fn every_mode_answers_with_its_stage_and_times() {
    let server = Server::start();
    filled(&server);
    for mode in ["lexical", "dense", "hybrid"] {
        let answer = server
            .post(
                "/v1/search",
                &json!({"query": "great fire of London", "mode": mode}),
            )
            .ok();
        assert_eq!(answer["stage"], mode);
        assert_eq!(answer["generation"], 3);
        assert_eq!(answer["degraded"], Value::Null);
        assert!(answer["timings_ms"]["total"].as_f64().unwrap() > 0.0);
        assert_eq!(answer["hits"][0]["rank"], 1);
        if mode != "dense" {
            assert_eq!(answer["hits"][0]["document"], "london", "{answer}");
        }
    }
}

#[test]
fn hits_are_highlighted_and_explained_on_request() {
    let server = Server::start();
    filled(&server);
    let answer = server
        .post("/v1/search", &json!({"query": "burned Rome", "explain": true}))
        .ok();
    let hit = &answer["hits"][0];
    assert_eq!(hit["document"], "rome");
    let [from, to] = [0, 1].map(|i| hit["best_sentence"][i].as_u64().unwrap() as usize);
    assert_eq!(
        &hit["text"].as_str().unwrap()[from..to],
        "A great fire burned Rome."
    );
    let marks = hit["highlights"]["text"].as_array().unwrap();
    assert_eq!(marks.len(), 2, "{hit}");
    let terms = hit["explain"]["lexical"]["terms"].as_array().unwrap();
    let sum: f64 = terms.iter().map(|term| term["score"].as_f64().unwrap()).sum();
    assert!((sum - hit["explain"]["lexical"]["score"].as_f64().unwrap()).abs() < 1e-4);
    let plain = server
        .post("/v1/search", &json!({"query": "burned Rome", "highlight": false}))
        .ok();
    assert_eq!(plain["hits"][0]["highlights"]["text"], json!([]));
    assert_eq!(plain["hits"][0].get("explain"), None);
}

#[test]
fn filters_and_pages() {
    let server = Server::start();
    filled(&server);
    let filter = json!({"range": {"year": {"gte": 1000}}});
    let answer = server
        .post("/v1/search", &json!({"query": "burned fire", "filter": filter}))
        .ok();
    assert_eq!(answer["total_candidates"], 2);
    assert!(!ids(&answer).contains(&"rome"));
    let all = server.post("/v1/search", &json!({"query": "burned fire"})).ok();
    for (offset, id) in ids(&all).into_iter().enumerate() {
        let page = json!({"query": "burned fire", "limit": 1, "offset": offset});
        assert_eq!(ids(&server.post("/v1/search", &page).ok()), [id]);
    }
}

#[test]
fn what_is_out_of_bounds_is_named() {
    let server = Server::start();
    for (change, field) in [
        (json!({"query": "  "}), "query"),
        (json!({"query": "x".repeat(8193)}), "query"),
        (json!({"limit": 0}), "limit"),
        (json!({"limit": 1001}), "limit"),
        (json!({"limit": -1}), "limit"),
        (json!({"offset": 2001}), "offset"),
        (json!({"depth": 1001}), "depth"),
        (json!({"mode": "psychic"}), "mode"),
        (json!({"fusion": {"method": "rrf", "k": 0}}), "fusion.k"),
        (json!({"filter": {"eq": {"a": null}}}), "filter"),
        (json!({"top_k": 3}), "top_k"),
    ] {
        let mut request = json!({"query": "a"});
        request
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let answer = server.post("/v1/search", &request);
        assert_eq!(answer.problem(422), field, "{}", answer.text);
        assert!(answer.json["accepted"].is_string(), "{}", answer.text);
        assert!(answer.text.len() < 2000, "{} bytes", answer.text.len());
    }
    assert_eq!(server.post("/v1/search", &json!({})).problem(422), "query");
}

#[test]
fn what_is_no_json_is_refused() {
    let server = Server::start();
    let send =
        |media_type: &str, body: &[u8]| server.send(ureq::http::Method::POST, "/v1/search", media_type, body);
    send("application/json", b"{\"query\": ").problem(400);
    send("application/json", b"").problem(400);
    send("application/json", b"{\"query\": \"\xff\"}").problem(400);
    send("application/json", "[".repeat(100_000).as_bytes()).problem(400);
    assert_eq!(
        send("text/plain", b"{\"query\": \"a\"}").problem(415),
        "Content-Type"
    );
    let answer = send("application/json; charset=utf-8", b"{\"query\": \"a\"}");
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[test]
fn reranking_needs_a_reranker() {
    let server = Server::start();
    let request = json!({"query": "burned Rome", "rerank": {}});
    assert_eq!(server.post("/v1/search", &request).problem(501), "rerank");

    let model = Arc::new(WordOverlap);
    let reranker = NamedReranker {
        name: "words".to_owned(),
        model,
    };
    let server = Server::start_with(|parts| parts.reranker = Some(reranker));
    filled(&server);
    let answer = server.post("/v1/search", &request).ok();
    assert_eq!(
        (&answer["stage"], &answer["hits"][0]["document"]),
        (&json!("reranked"), &json!("rome"))
    );
}
