//! Answers in `POST /v1/search`.

use std::sync::Arc;

use serde_json::{Value, json};
use server::NamedReader;

use crate::parts::{Server, Years};

fn with_reader() -> Server {
    let reader = NamedReader {
        name: "years".to_owned(),
        model: Arc::new(Years::default()),
    };
    let server = Server::start_with(|parts| parts.reader = Some(reader));
    for (id, text) in [
        (
            "rome",
            "The great fire of Rome, in the year 64, burned for six days.",
        ),
        ("london", "The great fire of London of 1666 began in a bakery."),
        ("song", "A song about a great fire."),
    ] {
        server
            .put(&format!("/v1/documents/{id}"), &json!({"text": text}))
            .ok();
    }
    server
}

fn ask(server: &Server, answer: &Value) -> Value {
    let request = json!({"query": "great fire", "limit": 1, "answer": answer});
    server.post("/v1/search", &request).ok()
}

#[test]
fn without_a_reader_nothing_else_takes_its_place() {
    let server = Server::start();
    let answer = server.post("/v1/search", &json!({"query": "a", "answer": {}}));
    assert_eq!(answer.problem(501), "answer");
    assert!(answer.json["detail"].as_str().unwrap().contains("--reader"));
    assert_eq!(server.get("/readyz").ok()["reader"], Value::Null);
    assert!(ask(&server, &Value::Null).get("answer").is_none());
}

#[test]
fn the_best_passage_answers_whatever_page_is_asked_for() {
    let server = with_reader();
    assert_eq!(server.get("/readyz").ok()["reader"], "years");
    let response = ask(&server, &json!({}));
    assert_eq!(response["hits"].as_array().unwrap().len(), 1);
    let answer = &response["answer"];
    assert_eq!(answer["passages_read"], 3);
    assert_eq!(
        (&answer["margin"], &answer["threshold"]),
        (&json!(1666.0), &json!(10.0))
    );
    let best = &answer["best"];
    assert_eq!(
        (&best["text"], &best["document"]),
        (&json!("1666"), &json!("london"))
    );
    let passage = best["passage"].as_str().unwrap();
    let [first, end] = [0, 1].map(|at| best["span"][at].as_u64().unwrap() as usize);
    assert_eq!(&passage[first..end], "1666");
    assert_eq!(best["span"], best["document_span"]);
    assert!(response["timings_ms"]["answer"].as_f64().unwrap() > 0.0);
    let metrics = server.get("/metrics").text;
    let line = r#"cloze_search_stage_duration_seconds_count{stage="answer"} 1"#;
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
}

#[test]
fn none_is_said_and_not_forced() {
    let server = with_reader();
    let answer = ask(&server, &json!({"threshold": 999.5, "passages": 100}))["answer"].clone();
    assert_eq!(answer["best"]["text"], "1666");
    let filter = json!({"query": "great fire", "filter": {"exists": "none"}, "answer": {}});
    let nothing = server.post("/v1/search", &filter).ok()["answer"].clone();
    let expected = json!({"best": null, "margin": null, "threshold": 10.0, "passages_read": 0});
    assert_eq!(nothing, expected);
    let song = json!({"query": "song", "mode": "lexical", "answer": {}});
    let none = server.post("/v1/search", &song).ok()["answer"].clone();
    let expected = json!({"best": null, "margin": -1.0, "threshold": 10.0, "passages_read": 1});
    assert_eq!(none, expected);
}

#[test]
fn what_is_out_of_bounds_is_named() {
    let server = with_reader();
    for (answer, field) in [
        (json!({"passages": 0}), "answer.passages"),
        (json!({"passages": 101}), "answer.passages"),
        (json!({"threshold": 1001}), "answer.threshold"),
        (json!({"threshold": "high"}), "answer.threshold"),
        (json!({"budget_ms": 0}), "answer.budget_ms"),
        (json!({"top": 3}), "answer.top"),
    ] {
        let refused = server.post("/v1/search", &json!({"query": "a", "answer": answer}));
        assert_eq!(refused.problem(422), field, "{}", refused.text);
        assert!(refused.json["accepted"].is_string(), "{}", refused.text);
    }
    let signs = json!({"query": "a", "mode": "lexical", "syntax": "query", "answer": {}});
    assert_eq!(server.post("/v1/search", &signs).problem(422), "syntax");
}
